"""The documents say what the program does: generated parts are fresh, examples resolve, names and links exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reconciler import project
from reconciler.cli import cli, run, session
from reconciler.project import Project

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```(?P<language>yaml|jinja|csv)\n(?P<text>(?:# |\{# ?)(?P<path>[\w./-]+)\b.*?)^```$", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _named_blocks(document: Path) -> list[tuple[str, str]]:
    """Return the examples of a document that begin with the name of their file, each with its text."""
    text = document.read_text(encoding="utf-8")
    return [(found["path"].rstrip("."), found["text"]) for found in BLOCK.finditer(text)]


MANIFESTS = [
    pytest.param(document, path, text, id=f"{_name(document)}-{path}")
    for document in DOCUMENTS
    for path, text in _named_blocks(document)
    if path.startswith("manifests/")
]
SETTINGS = [
    pytest.param(text, id=f"{_name(document)}-{number}")
    for document in DOCUMENTS
    for number, (path, text) in enumerate(_named_blocks(document))
    if path == "reconciler.yaml"
]


def test_what_the_program_writes_into_the_documents_is_fresh() -> None:
    script = ROOT / "scripts" / "write_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, click.Context(inner, info_name=name, parent=context))


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (reconciler[ \w]*)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    for path, command in _commands(cli, click.Context(cli, info_name="reconciler")):
        assert path in sections
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                for option in param.opts:
                    assert re.search(rf"(?<![\w-]){option}(?![\w-])", sections[path]), f"{path} {option}"


def test_the_documents_have_examples() -> None:
    assert {"docs/manifest.md", "docs/layouts.md"} <= {
        _name(document) for document in DOCUMENTS if _named_blocks(document)
    }
    assert len(MANIFESTS) >= 8
    assert SETTINGS


@pytest.mark.parametrize(("document", "path", "text"), MANIFESTS)
def test_an_example_of_a_manifest_resolves_without_a_warning(
    tmp_path: Path, document: Path, path: str, text: str
) -> None:
    """It stands alone in the project that ``init`` writes, beside the layouts and rows of its document."""
    shutil.copyfile(ROOT / "reconciler.yaml", tmp_path / "reconciler.yaml")
    for folder in ("data", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    beside = [(name, content) for name, content in _named_blocks(document) if name.startswith(("data/", "templates/"))]
    for name, content in [*beside, (path, text)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    desired = session.read_desired(project.load(tmp_path, environ={}))
    assert desired.outputs
    assert desired.warnings == ()


@pytest.mark.parametrize("text", SETTINGS)
def test_an_example_of_settings_is_read_in_each_environment(tmp_path: Path, text: str) -> None:
    (tmp_path / "reconciler.yaml").write_text(text, encoding="utf-8")
    environments: list[str | None] = [None, *re.findall(r"^  (\w+):\n    service:", text, re.MULTILINE)]
    for environment in environments:
        assert isinstance(project.load(tmp_path, environment=environment, environ={}), Project)


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    for found in LINK.finditer(document.read_text(encoding="utf-8")):
        target = (document.parent / found["path"]).resolve() if found["path"] else document
        assert target.exists(), found[0]
        if found["anchor"]:
            assert found["anchor"] in _anchors(target), found[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_tests_and_assumptions_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, name in TEST.findall(text):
        assert re.search(rf"^ *(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name
    numbers = re.findall(r"^\| A(\d+) \|", (ROOT / "docs" / "assumptions.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert set(re.findall(r"\[A(\d+)\]\(assumptions", text)) <= set(numbers)


def test_the_mistake_in_the_readme_is_answered_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    manifest = re.findall(r"```yaml\n# manifests/first\.yaml\n(.*?)```", text, re.DOTALL)[0]
    answer = re.findall(r"\$ reconciler validate\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "manifests").mkdir()
    (tmp_path / "reconciler.yaml").write_text("version: 1\nbucket: demo-1250000000\nregion: ap-chongqing\n")
    (tmp_path / "manifests" / "first.yaml").write_text(manifest.replace("width: 1280", "widht: 1280", 1))
    assert run(["-C", str(tmp_path), "validate"]) == 1
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert said.split("\n\n")[0] == answer.rstrip("\n")
