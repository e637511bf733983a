"""Lockfiles in real Git repositories: what merges, what conflicts, and what makes Git call the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.lockformat import dump, parse
from reconciler.state import Record
from tests.factory import output, record

ATTRIBUTES = "reconciler.lock merge=reconciler\nreconciler.*.lock merge=reconciler\n"
DRIVER = "reconciler lock merge %O %A %B --path %P"


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Git without anybody's settings, and with this reconciler first on PATH."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "gitconfig").write_text("[user]\nname = A\nemail = a@b\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose project is in a folder of it, with the driver set up."""
    clone = tmp_path / "clone"
    project = clone / "videos"
    project.mkdir(parents=True)
    assert git(clone, "init", "-q") == ""
    assert run(["-C", str(project), "lock", "install"]) == 0
    write(clone, {name: made(name) for name in "abc"})
    commit(clone, "base")
    return clone


def git(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def made(name: str, etag: str = "made") -> Record:
    return record(output(name), {f"in/{name}.mp4": "e"}, etag)


def lockfile(clone: Path) -> Path:
    return clone / "videos" / "reconciler.lock"


def write(clone: Path, records: dict[str, Record]) -> None:
    lockfile(clone).write_text(dump(records, {}))


def commit(clone: Path, message: str) -> None:
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", message)


def branch(clone: Path, name: str, changed: str, etag: str) -> None:
    """Make a branch of main on which one more output, or one of them anew, is recorded."""
    git(clone, "checkout", "-q", "-b", name, "main")
    write(clone, {**recorded(clone), changed: made(changed, etag)})
    commit(clone, f"{name} makes {changed}")


def recorded(clone: Path) -> dict[str, Record]:
    return parse(lockfile(clone).read_text(), "the lockfile")[0]


@pytest.mark.parametrize(
    "words", [("merge", "-q", "--no-edit", "two"), ("rebase", "-q", "two")], ids=["merge", "rebase"]
)
def test_branches_with_different_outputs_merge(clone: Path, words: tuple[str, ...]) -> None:
    branch(clone, "two", "b", "of two")
    branch(clone, "one", "a", "of one")
    git(clone, *words)
    assert {name: found.etag for name, found in recorded(clone).items()} == {"a": "of one", "b": "of two", "c": "made"}
    assert lockfile(clone).read_text() == dump(recorded(clone), {})
    assert git(clone, "status", "--porcelain") == ""


def test_lines_side_by_side_are_why_the_driver_is_needed(clone: Path) -> None:
    git(clone, "config", "--remove-section", "merge.reconciler")
    branch(clone, "two", "b", "of two")
    branch(clone, "one", "a", "of one")
    assert "CONFLICT" in git(clone, "merge", "two", status=1)


def test_a_driver_that_is_not_there_is_a_conflict_and_loses_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch(clone, "two", "b", "of two")
    branch(clone, "one", "a", "of one")
    before = lockfile(clone).read_text()
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not (Path(folder) / "reconciler").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    said = git(clone, "merge", "two", status=1)
    assert "not found" in said
    assert "CONFLICT (content): Merge conflict in videos/reconciler.lock" in said
    assert lockfile(clone).read_text() == before


@pytest.mark.parametrize("verb", ["merge", "rebase"])
def test_branches_with_the_same_output_conflict_by_its_name(clone: Path, verb: str) -> None:
    branch(clone, "two", "b", "of two")
    branch(clone, "one", "b", "of one")
    said = git(clone, verb, "two", status=1)
    assert "conflict  b: changed by both sides\n" in said
    assert (
        "error: videos/reconciler.lock has 1 conflict\n  → keep one side of each between its marks, `git add`" in said
    )
    ours, theirs = ("one", "two") if verb == "merge" else ("two", "one")
    lines = lockfile(clone).read_text().split("\n")
    assert [line[:8] for line in lines[2:7]] == ["<<<<<<< ", '"b": {"e', "=======", '"b": {"e', ">>>>>>> "]
    assert (f'"etag": "of {ours}"' in lines[3], f'"etag": "of {theirs}"' in lines[5]) == (True, True)
    assert "<<<<<<< ours" in git(clone, "diff")


def test_a_conflict_is_settled_by_taking_lines_away(clone: Path) -> None:
    branch(clone, "two", "b", "of two")
    branch(clone, "one", "b", "of one")
    git(clone, "merge", "two", status=1)
    lines = lockfile(clone).read_text().split("\n")
    lockfile(clone).write_text("\n".join([*lines[:2], lines[5], *lines[7:]]))
    git(clone, "commit", "-a", "-q", "--no-edit")
    assert recorded(clone) == {"a": made("a"), "b": made("b", "of two"), "c": made("c")}


def test_two_branches_that_both_begin_a_lockfile(clone: Path) -> None:
    git(clone, "rm", "-q", "videos/reconciler.lock")
    commit(clone, "no lockfile")
    for name in ("one", "two"):
        git(clone, "checkout", "-q", "-b", name, "main")
        write(clone, {name: made(name)})
        commit(clone, name)
    git(clone, "merge", "-q", "--no-edit", "one")
    assert recorded(clone) == {"one": made("one"), "two": made("two")}


# The driver by hand.


def sides(folder: Path, *contents: str) -> list[str]:
    paths = [folder / name for name in ("base", "ours", "theirs")]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return [str(path) for path in paths]


def test_a_lockfile_that_cannot_be_read_leaves_ours_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = dump({"a": made("a")}, {})
    paths = sides(tmp_path, "", good, good.replace('"version": 2', '"version": 99'))
    assert run(["lock", "merge", *paths, "--path", "videos/reconciler.lock"]) == 1
    assert (tmp_path / "ours").read_text() == good
    said = capsys.readouterr().err
    assert "error: videos/reconciler.lock is not merged: their side has version 99, this reconciler reads up to" in said
    assert "→ upgrade reconciler" in said


def test_a_side_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = dump({}, {})
    base, ours, _ = sides(tmp_path, good, good, good)
    assert run(["lock", "merge", base, ours, str(tmp_path / "nothing")]) == 1
    assert "'THEIRS'" in capsys.readouterr().err
    assert run(["lock", "merge", base, ours]) == 1


def test_a_folder_that_takes_no_file_leaves_ours_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, more = dump({}, {}), dump({"a": made("a")}, {})
    paths = sides(tmp_path, good, good, more)
    (tmp_path / ".ours.partial").mkdir()
    assert run(["lock", "merge", *paths]) == 1
    assert "error: " in capsys.readouterr().err
    assert (tmp_path / "ours").read_text() == good


# Setting it up.


def configured(clone: Path) -> str:
    return git(clone, "config", "--local", "--get", "merge.reconciler.driver").rstrip("\n")


def test_installing_writes_attributes_and_configuration_once(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = clone / "videos"
    git(clone, "config", "--remove-section", "merge.reconciler")
    (project / ".gitattributes").unlink()
    assert run(["-C", str(project), "lock", "install"]) == 0
    assert ((project / ".gitattributes").read_text(), configured(clone)) == (ATTRIBUTES, DRIVER)
    said = capsys.readouterr()
    assert said.out == "Git now merges lockfiles with `reconciler lock merge` in this clone.\n"
    assert said.err == "  wrote .gitattributes; commit it\n"
    before = (clone / ".git" / "config").read_text()
    assert run(["-C", str(project), "lock", "install"]) == 0
    assert ((project / ".gitattributes").read_text(), (clone / ".git" / "config").read_text()) == (ATTRIBUTES, before)
    assert capsys.readouterr() == ("Nothing to do: Git merges lockfiles with reconciler.\n", "")


def test_every_environment_has_its_lockfile_merged(clone: Path) -> None:
    for name in ("reconciler.lock", "reconciler.production.lock", "deep/down/reconciler.lock"):
        assert git(clone, "check-attr", "merge", f"videos/{name}") == f"videos/{name}: merge: reconciler\n"
    assert git(clone, "check-attr", "merge", "poetry.lock") == "poetry.lock: merge: unspecified\n"


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("*.mp4 binary\n", ATTRIBUTES),
        ("*.mp4 binary", "\n" + ATTRIBUTES),
        ("reconciler.lock merge=reconciler\n", "reconciler.*.lock merge=reconciler\n"),
        ("reconciler.lock -merge\nreconciler.*.lock  merge=union\n", ""),
        ("# reconciler.lock merge=reconciler\n", ATTRIBUTES),
    ],
)
def test_attributes_are_added_behind_what_is_there(clone: Path, before: str, added: str) -> None:
    attributes = clone / "videos" / ".gitattributes"
    attributes.write_text(before)
    assert run(["-C", str(clone / "videos"), "lock", "install"]) == 0
    assert attributes.read_text() == before + added


def test_attributes_that_are_no_text_are_left_alone(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attributes = clone / "videos" / ".gitattributes"
    attributes.write_bytes(b"\xff")
    assert run(["-C", str(clone / "videos"), "lock", "install"]) == 1
    assert f"error: cannot read {attributes}" in capsys.readouterr().err
    assert attributes.read_bytes() == b"\xff"


def test_outside_a_work_tree_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(tmp_path), "lock", "install"]) == 1
    assert f"error: {tmp_path} is not in a Git work tree\n  → run this inside the clone" in capsys.readouterr().err
    assert not (tmp_path / ".gitattributes").exists()


def test_without_git_there_is_nothing_to_install(
    clone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(clone))
    assert run(["-C", str(clone / "videos"), "lock", "install"]) == 1
    assert "error: git is not there\n  → install it, or put it on PATH\n" in capsys.readouterr().err


def test_what_git_refuses_is_said_in_its_words(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(clone, "config", "--unset", "merge.reconciler.driver")
    (clone / ".git" / "config.lock").touch()
    assert run(["-C", str(clone / "videos"), "lock", "install"]) == 1
    assert "error: git cannot set merge.reconciler.driver: error: could not lock config file" in capsys.readouterr().err
