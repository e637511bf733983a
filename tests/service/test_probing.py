"""What a helper answers, asked as ``prober`` asks it: over the pipes of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from reconciler.service import probing, results
from reconciler.service.probe import probe
from tests.service.media import SAMPLE

MAIN = "from reconciler.service.probing import main; main()"


class Helper:
    """A helper, and the ends of its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.questions, self.answers = self._end(process.stdin), self._end(process.stdout)

    @staticmethod
    def _end(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def say(self, line: bytes) -> bytes:
        """Return the line that is answered to a line; less at its end."""
        self.questions.write(line + b"\n")
        self.questions.flush()
        return self.answers.readline()

    def ask(self, question: str, path: Path) -> Any:
        """Return the answer to one question."""
        return json.loads(self.say(json.dumps({"question": question, "path": str(path)}).encode()))

    def ended(self) -> int:
        """Ask nothing more; return the status."""
        self.questions.close()
        assert self.answers.read() == b""
        return self.process.wait(60)


@pytest.fixture
def helper() -> Iterator[Helper]:
    """A helper that is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        made = Helper(process)
        assert made.answers.readline() == b"ready\n"
        yield made
        process.kill()


def test_questions_are_answered_one_after_the_other_until_there_are_no_more(helper: Helper, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for _ in range(2):
        said = helper.ask("probe", SAMPLE)["answer"]
        found = probe(SAMPLE)
        assert found.video is not None
        assert (said["demuxer"], said["duration"], said["video"]["sar"]) == ("mov", found.duration, "1")
        assert len(said["sounds"]) == 1
        assert list(helper.ask("probe", tmp_path / "text.mp4")) == ["error"]
        told = helper.ask("media_info", SAMPLE)["answer"]
        assert told == results.media_info(SAMPLE).model_dump(mode="json", by_alias=False, exclude_none=True)
    assert helper.ended() == 0


def test_nobody_who_asks_nothing_is_answered(helper: Helper) -> None:
    assert helper.ended() == 0


def test_a_file_that_is_not_there(helper: Helper, tmp_path: Path) -> None:
    assert helper.ask("probe", tmp_path / "none.mp4") == {
        "error": "is not a video that can be read: No such file or directory"
    }
    assert list(helper.ask("media_info", tmp_path / "none.mp4")) == ["error"]
    assert helper.ask("probe", SAMPLE)["answer"]["demuxer"] == "mov"


@pytest.mark.parametrize("line", [b"{}", b"nonsense", b"[]"])
def test_what_is_no_question_gets_no_answer(helper: Helper, line: bytes) -> None:
    assert helper.say(line) == b""


def test_a_question_that_is_not_known_gets_no_answer(helper: Helper) -> None:
    said = helper.say(json.dumps({"question": "guess", "path": str(SAMPLE)}).encode())
    assert b"answer" not in said


def test_what_libraries_print_is_no_answer() -> None:
    chatty = (
        "import reconciler.service.probe as p; o = p.probe; p.probe = lambda x: (print('hello', flush=True), o(x))[1]"
    )
    question = json.dumps({"question": "probe", "path": str(SAMPLE)}) + "\n"
    ended = subprocess.run(
        [sys.executable, "-c", f"{chatty}; {MAIN}"], input=question.encode(), capture_output=True, check=True
    )
    ready, answer = ended.stdout.splitlines()
    assert (ready, list(json.loads(answer)), ended.stderr) == (b"ready", ["answer"], b"")


@pytest.mark.parametrize("question", ["probe", "media_info"])
@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (MemoryError(), "needs more memory than it may have to be looked at"),
        (AttributeError("'NoneType' object has no attribute 'name'"), "what its headers say makes no sense"),
        (ZeroDivisionError("Fraction(1, 0)"), "what its headers say makes no sense"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "what its headers say makes no sense"),
        (RecursionError("maximum recursion depth exceeded"), "what its headers say makes no sense"),
    ],
)
def test_whatever_a_file_brings_about_is_said_in_words_of_its_own(
    monkeypatch: pytest.MonkeyPatch, question: str, raised: Exception, words: str
) -> None:
    def fails(_: Path) -> None:
        raise raised

    monkeypatch.setattr("reconciler.service.probe.probe", fails)
    monkeypatch.setattr(results, "media_info", fails)
    error = probing._answered(question, SAMPLE)["error"]
    assert error.removeprefix("is not a video that can be read: ") == words


@pytest.mark.parametrize(
    ("at", "bits"), [(at, bits) for at in (*range(4, 44, 4), 60, 100, 200, 400, 1000) for bits in (0x01, 0xFF)]
)
def test_no_damage_is_told_in_the_words_of_python(tmp_path: Path, at: int, bits: int) -> None:
    """The header lies at the end of what was cut off there."""
    content = bytearray(SAMPLE.read_bytes())
    header = content.index(b"moov")
    content[header + at] ^= bits
    (tmp_path / "film.mp4").write_bytes(content)
    said = probing._answered("probe", tmp_path / "film.mp4")
    assert not any(word in said.get("error", "") for word in ("Error:", "Error(", "Exception", "object has", "None"))
