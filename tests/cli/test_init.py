"""`init` writes a project that works, and touches nothing that is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciler.cli import run

FILES = {
    ".gitattributes",
    ".gitignore",
    "buckets/demo-1250000000/input/bunny.mp4",
    "buckets/demo-1250000000/input/clock.mp4",
    "buckets/demo-1250000000/input/fractal.mp4",
    "data/lessons.csv",
    "manifests/demo.yaml",
    "reconciler.yaml",
    "templates/grid.yaml.j2",
    "templates/picture-in-picture.yaml.j2",
    "templates/presenter.yaml.j2",
    "templates/side-by-side.yaml.j2",
    "templates/stacked.yaml.j2",
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_project_plans_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "new")]) == 0
    assert files(tmp_path / "new") == FILES
    said = capsys.readouterr()
    assert f"Next: reconciler -C {tmp_path / 'new'} plan" in said.out
    assert said.err.endswith("  In a Git clone, run `reconciler lock install`: then Git merges lockfiles.\n")
    assert run(["-C", str(tmp_path / "new"), "plan"]) == 0
    assert "Plan: 4 to create, 0 to replace, 0 to delete." in capsys.readouterr().out


def test_what_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "demo.yaml").write_text("mine")
    clips = tmp_path / "buckets" / "demo-1250000000" / "input"
    clips.mkdir(parents=True)
    for name in ("clock.mp4", "fractal.mp4"):
        (clips / name).write_text("mine")
    assert run(["-C", str(tmp_path), "init"]) == 0
    assert (tmp_path / "manifests" / "demo.yaml").read_text() == "mine"
    assert (clips / "clock.mp4").read_text() == "mine"
    capsys.readouterr()
    assert run(["-C", str(tmp_path), "init"]) == 0
    said = capsys.readouterr()
    assert "Nothing to do" in said.out
    assert said.err == ""


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout


def test_in_a_git_work_tree_lockfiles_are_merged_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tmp_path, "init", "-q")
    assert run(["init", str(tmp_path / "videos")]) == 0
    said = capsys.readouterr().err
    assert said.endswith("  Git now merges lockfiles with `reconciler lock merge` in this clone.\n")
    assert git(tmp_path, "check-attr", "merge", "videos/reconciler.lock").endswith(": merge: reconciler\n")
    assert git(tmp_path, "config", "merge.reconciler.driver") == "reconciler lock merge %O %A %B --path %P\n"


def test_a_driver_that_was_set_by_hand_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "merge.reconciler.driver", "mine %O %A %B")
    (tmp_path / ".gitattributes").write_text("*.mp4 binary\n")
    assert run(["-C", str(tmp_path), "init"]) == 0
    assert "Git now merges" not in capsys.readouterr().err
    assert git(tmp_path, "config", "merge.reconciler.driver") == "mine %O %A %B\n"
    assert (tmp_path / ".gitattributes").read_text().startswith("*.mp4 binary\nreconciler.lock merge=reconciler\n")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert run(["init", str(tmp_path / "file" / "new")]) == 1
    assert "error: cannot write" in capsys.readouterr().err


def test_without_a_working_ffmpeg_nothing_half_made_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_FFMPEG", "/bin/false")
    assert run(["init", str(tmp_path)]) == 1
    assert "error: FFmpeg could not make fractal.mp4" in capsys.readouterr().err
    assert [name for name in files(tmp_path) if "partial" in name or "fractal" in name] == []
