"""``--changed-since``: real repositories, edited and planned."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

MANIFEST = """version: 1
defaults:
  transcode:
    container: {format: mp4}
    video: {codec: H.264, width: 128, height: 128, preset: veryfast, fps: 25}
outputs:
  lesson:
    for_each: data/lessons.csv
    key: "{{ each.id }}"
    layout: whole
    with: {clip: "in/{{ each.clip }}.mp4"}
    user_data: "{{ vars.note }}"
    output: "out/{{ each.id }}.mp4"
  last:
    video_synthesis: {splice_info: [{output: 'lesson["2"]', width: 128, height: 128}]}
    output: out/last.mp4
  other:
    video_synthesis: {splice_info: [{url: in/red.mp4, width: 128, height: 128}]}
    output: out/other.mp4
"""
LAYOUT = "- {url: {{ clip }}, width: 128, height: 128}\n"
ALL = ["last", 'lesson["1"]', 'lesson["2"]', "other"]


def git(folder: Path, *words: str) -> str:
    """Run Git as nobody in particular."""
    names = {f"GIT_{role}_{part}": "n@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    plain = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, env=plain)
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "more")


def write(folder: Path) -> Path:
    """Write a project without sources, which plans nobody asks about do not need."""
    for name in ("manifests", "templates", "data"):
        (folder / name).mkdir(parents=True)
    settings = "version: 1\nbucket: clips-1250000000\nregion: ap-chongqing\nvars: {note: hello}\n"
    (folder / "reconciler.yaml").write_text(f"{settings}environments:\n  loud: {{vars: {{note: HELLO}}}}\n")
    (folder / "manifests" / "a.yaml").write_text(MANIFEST)
    (folder / "templates" / "whole.yaml.j2").write_text(LAYOUT)
    (folder / "data" / "lessons.csv").write_text("id,clip,remark\n1,red,good\n2,blue,better\n")
    return folder


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], unset: None) -> Terminal:
    """A project in a folder of a repository, committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    terminal = Terminal(write(tmp_path / "videos"), capfd)
    commit(tmp_path)
    return terminal


def edit(project: Terminal, name: str, before: str, after: str) -> None:
    file = project.folder / name
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def changed(project: Terminal, *flags: str, since: str = "HEAD") -> list[str]:
    """Return what a plan is about that looks at nothing but the declarations."""
    assert project("plan", "--no-refresh", "--all", "--json", "--changed-since", since, *flags) == 0, project.err
    return [action["address"] for action in json.loads(project.out)["actions"]]


def test_nothing_is_changed(project: Terminal) -> None:
    before = project.files()
    status = git(project.folder, "status", "--porcelain")
    assert changed(project) == []
    assert project.files() == before
    assert git(project.folder, "status", "--porcelain") == status
    assert project("plan", "--no-refresh", "--changed-since", "main") == 0
    assert project.out.startswith("No changes. 0 outputs are up to date.\n")


@pytest.mark.parametrize(
    ("name", "before", "after", "found"),
    [
        ("data/lessons.csv", "1,red", "1,blue", ['lesson["1"]']),
        ("data/lessons.csv", "2,blue", "2,red", ["last", 'lesson["2"]']),  # with what is made of it
        ("data/lessons.csv", "better", "best", []),  # no output says it
        ("data/lessons.csv", "2,blue,better\n", "2,blue,better\n3,red,new\n", ['lesson["3"]']),
        ("templates/whole.yaml.j2", "width: 128", "width: 64", ["last", 'lesson["1"]', 'lesson["2"]']),
        ("reconciler.yaml", "hello", "goodbye", ["last", 'lesson["1"]', 'lesson["2"]']),
        ("manifests/a.yaml", "out/other.mp4", "out/another.mp4", ["other"]),
        ("manifests/a.yaml", "    output: out/other", "    protect: true\n    output: out/other", ["other"]),
        ("manifests/a.yaml", "    output: out/last", "    labels: {a: b}\n    output: out/last", []),
        ("manifests/a.yaml", "  last:\n", "  final:\n", ["final", 'lesson["2"]']),
        ("manifests/a.yaml", "version: 1\n", "# The same, said again.\nversion: 1\n", []),
    ],
)
def test_what_is_declared_otherwise_is_chosen(
    project: Terminal, name: str, before: str, after: str, found: list[str]
) -> None:
    edit(project, name, before, after)
    assert changed(project) == found
    commit(project.folder)
    assert changed(project) == []
    assert changed(project, since="HEAD~1") == found


def test_what_is_chosen_comes_with_what_it_is_made_of(project: Terminal) -> None:
    edit(project, "manifests/a.yaml", "out/last.mp4", "out/end.mp4")
    assert changed(project) == ["last", 'lesson["2"]']


def test_all_that_limits_must_hold(project: Terminal) -> None:
    edit(project, "templates/whole.yaml.j2", "width: 128", "width: 64")
    assert changed(project, "--target", 'lesson["1"]', "--target", "other") == ['lesson["1"]']
    assert changed(project, "--target", "other") == []
    assert changed(project, "--exclude", "lesson*") == ["last"]
    assert changed(project, "--limit", "1") == ['lesson["2"]']


def test_environment_and_variables_are_those_of_now(project: Terminal) -> None:
    assert changed(project, "--env", "loud") == []
    assert changed(project, "--var", "note=other") == []
    edit(project, "reconciler.yaml", "HELLO", "HO")
    assert changed(project) == []
    assert changed(project, "--env", "loud") == ["last", 'lesson["1"]', 'lesson["2"]']


def test_what_was_declared_only_then_is_chosen_as_undeclared(applied: Terminal) -> None:
    git(applied.folder, "init", "-q")
    (applied.folder / ".gitignore").write_text("buckets\n.reconciler\n")
    commit(applied.folder)
    manifest = applied.folder / "manifests" / "a.yaml"
    manifest.write_text(manifest.read_text().partition("  single:")[0])
    assert applied("plan", "--prune", "--changed-since", "HEAD", "--json") == 0
    (action,) = json.loads(applied.out)["actions"]
    assert (action["address"], action["action"]) == ("single", "delete")
    assert applied("apply", "--yes", "--quiet", "--prune", "--changed-since", "HEAD") == 0
    assert list(applied.records()) == ["pair"]


def test_it_is_saved_with_the_plan(project: Terminal) -> None:
    edit(project, "manifests/a.yaml", "out/other.mp4", "out/another.mp4")
    file = project.folder / "plan.json"
    assert project("plan", "--changed-since", "main", "--out", str(file)) == 0
    assert json.loads(file.read_text())["options"] == {"changed_since": "main"}


@pytest.mark.parametrize("attributes", ["* export-ignore\n", "* -text\n"])
def test_what_is_left_out_of_archives_counts_too(project: Terminal, attributes: str) -> None:
    (project.folder / ".gitattributes").write_text(attributes)
    commit(project.folder)
    edit(project, "data/lessons.csv", "1,red", "1,blue")
    assert changed(project) == ['lesson["1"]']


def test_a_bucket_that_is_in_the_repository_is_not_copied(project: Terminal) -> None:
    bucket = project.folder / "buckets" / "clips-1250000000"
    bucket.mkdir(parents=True)
    (bucket / "rows.csv").write_text("id\n")
    (bucket / "a.mp4").symlink_to("/nowhere")
    commit(project.folder)
    assert changed(project) == []


# What cannot be told.


def test_a_revision_that_git_does_not_know(project: Terminal) -> None:
    assert project("plan", "--changed-since", "nope") == 1
    assert project.err == (
        "error: --changed-since nope: fatal: Needed a single revision\n"
        "  → name a commit, a branch or a tag that is there, such as HEAD~1; `git fetch` brings what a clone lacks\n"
    )
    assert project("apply", "--yes", "--changed-since=--all") == 1
    assert project.err.startswith("error: --changed-since --all: fatal: ")


def test_no_repository(tmp_path: Path, capfd: pytest.CaptureFixture[str], unset: None) -> None:
    project = Terminal(write(tmp_path / "videos"), capfd)
    assert project("plan", "--changed-since", "HEAD") == 1
    assert project.err.startswith("error: --changed-since HEAD: fatal: not a git repository")
    assert project.err.endswith("  → run it in a clone of the project\n")


def test_no_git(project: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert project("plan", "--changed-since", "HEAD") == 1
    assert project.err == "error: --changed-since needs git, and there is none\n  → install git, or leave it out\n"


@pytest.mark.parametrize(
    ("name", "before", "after", "why"),
    [
        ("manifests/a.yaml", "layout: whole", "layout: hole", "there is no layout `hole`"),
        ("manifests/a.yaml", "outputs:", "inputs:", "unknown key `inputs`"),
        ("reconciler.yaml", "  loud:", "  quiet:", "there is no environment `loud` in reconciler.yaml"),
    ],
)
def test_what_did_not_resolve_then_counts_as_changed(
    project: Terminal, name: str, before: str, after: str, why: str
) -> None:
    edit(project, name, before, after)
    commit(project.folder)
    edit(project, name, after, before)
    assert changed(project, "--env", "loud") == ALL
    assert project.err.startswith(f"warning: what the project declared in HEAD cannot be told: {why}")
    assert project.err.endswith("  → everything counts as changed since then; name a later revision to see less\n\n")


@pytest.mark.parametrize("kept", [None, "reconciler.yaml"])
def test_a_project_that_was_not_there_then(project: Terminal, kept: str | None) -> None:
    git(project.folder, "rm", "-q", "-r", "--cached", ".")
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "nothing")
    if kept is not None:
        git(project.folder, "add", kept)
        git(project.folder, "commit", "-q", "-m", "settings")
    assert changed(project) == ALL
    why = "there was no reconciler.yaml in this folder" if kept is None else "there is no manifest in manifests"
    assert project.err.startswith(f"warning: what the project declared in HEAD cannot be told: {why}\n")
