"""Whole sessions at the terminal: given files and commands, expected output and exit status.

A transcript is ``-- path --`` sections with files, then commands with what they say::

    $ reconciler plan
    > what goes to standard output
    ! what goes to standard error
    ? 1                      (the exit status, when it is not 0)

``append``, ``sed``, ``rm`` and ``cp`` change files between commands, ``ls`` lists a folder. What differs from run to run is shown as <job>, <time>, <size>, <etag>, <engine> or <digest>. ``UPDATE_TRANSCRIPTS=1 pytest tests/cli`` writes what is said now; read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli import run
from tests.service.media import Films

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
CHANGING = (
    (r"\bj[0-9a-f]{32}\b", "<job>"),
    (r"\bt1[0-9a-f]{32}\b", "<template>"),
    (r"\b[0-9a-f]{32}\b", "<etag>"),
    (r"\b[12]:[0-9a-f]{40}\b", "<fingerprint>"),
    (r"\b[0-9a-f]{16}-(?=\w+\.(ts|m4s|mp4)\b)", "<digest>-"),
    (r"ffmpeg \S+, \d+ threads", "<engine>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:?\d\d|Z)", "<time>"),
    (r"\d+(\.\d)? (B|KiB|MiB)\b", "<size>"),
    (r'"size": \d+', '"size": <size>'),
    (r'"age": [\d.]+', '"age": <age>'),
    (r"^(\s*)size: \d+", r"\1size: <size>"),
    (r"request id [A-Za-z0-9_=-]+", "request id <id>"),
    (r", in \d+\.\d s\)", ", in <seconds>)"),
    (r"  \d+(\.\d)? s$", "  <age>"),
    (r"process \d+", "process <pid>"),
)


def steps(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the files of a transcript, and its commands."""
    head, _, body = text.partition("\n$ ")
    files: dict[str, str] = {}
    for name, content in re.findall(r"^-- (\S+) --\n(.*?)(?=^-- \S+ --\n|\Z)", head + "\n", re.MULTILINE | re.DOTALL):
        files[name] = content.rstrip("\n") + "\n"
    commands = [line[2:] for line in ("$ " + body).splitlines() if line.startswith("$ ")]
    return files, commands


def perform(command: str, capfd: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Run one command and yield its lines as the transcript shows them."""
    yield f"$ {command}"
    words = shlex.split(command)
    if words[0] == "ls":
        yield from sorted(f"> {stable(path.name)}" for path in Path(words[1]).iterdir())
        return
    if words[0] != "reconciler":
        change_files(words)
        return
    capfd.readouterr()
    status = run(words[1:])
    said = capfd.readouterr()
    for mark, text in ((">", said.out), ("!", said.err)):
        for line in text.splitlines():
            if '"type": "progress"' in line:
                continue  # how many of them there are is up to the machine
            yield f"{mark} {stable(line)}".rstrip()
    if status:
        yield f"? {status}"


def change_files(words: list[str]) -> None:
    match words:
        case ["sed", expression, name]:
            before, after = expression.replace("\\n", "\n").split("/")[1:3]
            text = Path(name).read_text(encoding="utf-8")
            assert before in text, f"{before} is not in {name}"
            Path(name).write_text(text.replace(before, after), encoding="utf-8")
        case ["append", name, line]:
            with Path(name).open("a", encoding="utf-8") as stream:
                stream.write(line.replace("\\n", "\n") + "\n")
        case ["rm", name]:
            Path(name).unlink() if Path(name).is_file() else shutil.rmtree(name)
        case ["cp", source, target]:
            shutil.copyfile(source, target)
        case ["mkdir", name]:
            Path(name).mkdir(parents=True)
        case _:
            raise AssertionError(f"no such command in transcripts: {words}")


def stable(line: str) -> str:
    for pattern, name in CHANGING:
        line = re.sub(pattern, name, line)
    return line


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_session(
    path: Path,
    tmp_path: Path,
    films: Films,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("RECONCILER_", "TENCENTCLOUD_"))]:
        monkeypatch.delenv(name)
    text = path.read_text(encoding="utf-8")
    files, commands = steps(text)
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("<clip "):
            shutil.copyfile(films.film(content.split()[1].rstrip(">")), name)
        else:
            Path(name).write_text(content, encoding="utf-8")
    said = [line for command in commands for line in [*perform(command, capfd), ""]]
    head = text.partition("\n$ ")[0]
    now = head + "\n" + "\n".join(said).rstrip() + "\n"
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        path.write_text(now, encoding="utf-8")
    assert now == text
