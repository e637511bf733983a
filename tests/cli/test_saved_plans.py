"""Saved plans at the terminal: reviewed means applied, or nothing is done at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli import run
from tests.service.media import Films

SETTINGS = """version: 1
service: embedded
bucket: clips-1250000000
region: ap-chongqing
environments:
  other: {bucket: other-1250000000}
"""
MANIFEST = """version: 1
defaults:
  transcode:
    container: {format: mp4}
    video: {codec: H.264, width: 256, height: 128, preset: veryfast, fps: 25}
outputs:
  pair:
    video_synthesis:
      splice_info: [{url: in/red.mp4, width: 128, height: 128}, {url: in/blue.mp4, x: 128, width: 128, height: 128}]
    output: out/pair.mp4
  single:
    video_synthesis: {splice_info: [{output: pair, width: 256, height: 128}]}
    output: out/single.mp4
"""
SECRETS = {
    "TENCENTCLOUD_SECRET_ID": "AKIDplanted-id",
    "TENCENTCLOUD_SECRET_KEY": "planted-key",
    "TENCENTCLOUD_SECURITY_TOKEN": "planted-token",
    "HTTPS_PROXY": "http://user:planted-proxy@proxy.example:3128",
}


@dataclass
class Terminal:
    """A project's folder, and what was said there last."""

    folder: Path
    capfd: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> int:
        """Run one command; keep what it says on either stream."""
        self.capfd.readouterr()
        status = run(["--no-color", *words])
        self.out, self.err = self.capfd.readouterr()
        return status

    @property
    def bucket(self) -> Path:
        return self.folder / "buckets" / "clips-1250000000"

    def files(self) -> dict[str, bytes]:
        """Return everything that the project holds outside the service's own folder."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and ".reconciler" not in path.parts)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


@pytest.fixture
def terminal(
    tmp_path: Path, films: Films, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    for name in [name for name in os.environ if name.startswith(("RECONCILER_", "TENCENTCLOUD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "reconciler.yaml").write_text(SETTINGS)
    (tmp_path / "manifests" / "a.yaml").write_text(MANIFEST)
    source = tmp_path / "buckets" / "clips-1250000000" / "in"
    source.mkdir(parents=True)
    for colour in ("red", "blue"):
        shutil.copyfile(films.film(colour), source / f"{colour}.mp4")
    return Terminal(tmp_path, capfd)


def test_what_was_reviewed_is_applied_without_a_question_and_once(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json") == 0
    planned = terminal.out
    assert terminal.err == "Saved to p.json; `reconciler apply p.json` carries it out.\n"
    shutil.rmtree(terminal.folder / "manifests")  # what is declared now does not matter
    assert terminal("apply", "p.json") == 0
    assert terminal.out == f"{planned}Apply: 2 created, 0 replaced, 0 deleted.\n"
    records = json.loads((terminal.folder / "reconciler.lock").read_text())["outputs"]
    before = terminal.files()
    assert terminal("apply", "p.json") == 1
    assert terminal.err.splitlines() == [
        "error: p.json was carried out already",
        f"  pair: was made meanwhile (job {records['pair']['job']})",
        f"  single: was made meanwhile (job {records['single']['job']})",
        "  → nothing was done; plan again",
    ]
    assert terminal.files() == before


def test_a_plan_that_is_stale_names_what_moved_and_does_nothing(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json") == 0
    shutil.copyfile(terminal.bucket / "in" / "red.mp4", terminal.bucket / "in" / "blue.mp4")
    (terminal.bucket / "out").mkdir()
    (terminal.bucket / "out" / "single.mp4").write_bytes(b"somebody else's")
    before = terminal.files()
    assert terminal("apply", "p.json", "--yes", "--force") == 1
    first, changed, appeared, advice = terminal.err.splitlines()
    assert first == "error: p.json is stale: what it was made from has changed"
    assert changed.startswith('  pair: in/blue.mp4 was "')
    assert '", is now "' in changed
    assert appeared == "  single: out/single.mp4 did not exist, exists now"
    assert advice == "  → nothing was done; plan again"
    assert terminal.out == ""
    assert terminal.files() == before
    assert not (terminal.folder / "reconciler.lock").exists()


def test_of_much_that_moved_twenty_are_named(terminal: Terminal) -> None:
    entry = "    video_synthesis: {splice_info: [{url: in/red.mp4}]}\n    output: 'out/{{ each.value }}.mp4'\n"
    manifest = MANIFEST + f"  many:\n    for_each: {[f'n{number:02}' for number in range(21)]}\n{entry}"
    (terminal.folder / "manifests" / "a.yaml").write_text(manifest)
    assert terminal("plan", "--out", "p.json", "--target", "many*") == 0
    (terminal.bucket / "in" / "red.mp4").unlink()
    assert terminal("apply", "p.json") == 1
    lines = terminal.err.splitlines()
    assert lines[1:21] == [f'  many["n{number:02}"]: in/red.mp4 is gone' for number in range(20)]
    assert lines[21:] == ["  and 1 more", "  → nothing was done; plan again"]


def test_an_output_that_did_not_move_is_not_held_up_by_others(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json", "--target", "pair") == 0
    (terminal.bucket / "out").mkdir()
    (terminal.bucket / "out" / "single.mp4").write_bytes(b"not what the plan is about")
    assert terminal("apply", "p.json") == 0
    assert terminal.out.splitlines()[-1] == "Apply: 1 created, 0 replaced, 0 deleted."


def test_a_plan_that_is_left_running_is_not_submitted_again(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json", "--target", "pair") == 0
    assert terminal("apply", "p.json", "--no-wait") == 0
    assert terminal("apply", "p.json") == 1
    assert "  pair: was submitted meanwhile (job j" in terminal.err


def test_another_project_is_refused_with_both_values(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json") == 0
    assert terminal("--env", "other", "apply", "p.json") == 1
    differences = (
        "bucket clips-1250000000 instead of other-1250000000; environment none instead of other; "
        "lockfile reconciler.lock instead of reconciler.other.lock"
    )
    assert terminal.err.splitlines() == [
        f"error: p.json was made for another project: {differences}",
        "  → choose that one with -C and --env, or plan again",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "pair"], ["--exclude", "pair"], ["--replace", "pair"], ["--prune"], ["--var", "fps=25"],
    ],
)  # fmt: skip
def test_what_was_decided_cannot_be_decided_again(terminal: Terminal, words: Sequence[str]) -> None:
    assert terminal("apply", "p.json", *words) == 1
    assert terminal.err == (
        f"error: {words[0]} cannot be given with a plan file: its plan is made already\n"
        f"  → give {words[0]} to `reconciler plan --out FILE`\n"
    )


def test_the_limit_of_changes_counts_as_it_stands(terminal: Terminal) -> None:
    assert terminal("apply", "--yes") == 0
    assert terminal("plan", "--replace", "single", "--out", "p.json") == 0
    (terminal.folder / "reconciler.yaml").write_text(f"{SETTINGS}policy: {{max_changes: 0}}\n")
    assert terminal("apply", "p.json") == 1
    assert "error: the plan replaces or deletes 1 of 2 outputs; policy.max_changes is 0" in terminal.err
    assert terminal("apply", "p.json", "--force") == 0
    assert terminal.out.splitlines()[-1] == "Apply: 0 created, 1 replaced, 0 deleted."


def test_show_prints_a_plan_as_plan_does(terminal: Terminal) -> None:
    assert terminal("plan", "--out", "p.json", "--json") == 0
    planned = terminal.out
    assert terminal("show", "p.json", "--json") == 0
    assert terminal.out == planned
    assert terminal("plan") == 0
    planned = terminal.out
    shutil.rmtree(terminal.folder / "manifests")
    (terminal.folder / "reconciler.yaml").unlink()  # a plan can be read anywhere
    assert terminal("show", "p.json") == 0
    assert terminal.out == planned
    assert terminal("show", "p.json", "--format", "xml") == 1
    assert terminal.err == "error: a plan cannot be shown as xml\n  → leave --format out, or use --format json\n"


def test_a_file_with_the_name_of_an_output_hides_no_output(terminal: Terminal) -> None:
    (terminal.folder / "pair").write_text("not a plan")
    assert terminal("show", "pair") == 0
    assert terminal.out.startswith("pair\n")


@pytest.mark.parametrize("command", ["apply", "show"])
def test_a_file_that_is_cut_off_is_refused(terminal: Terminal, command: str) -> None:
    assert terminal("plan", "--out", "p.json") == 0
    path = terminal.folder / "p.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert terminal(command, "p.json") == 1
    assert terminal.err.startswith("error: p.json is damaged: ")
    assert terminal.err.endswith("  → make a new one: reconciler plan --out FILE\n")


@pytest.mark.parametrize("name", ["reconciler.yaml", "manifests", os.devnull])
def test_nothing_but_a_plan_is_written_over(terminal: Terminal, name: str) -> None:
    before = terminal.files()
    assert terminal("plan", "--out", name) == 1
    assert terminal.err.startswith(f"error: {name} is there already and is no plan file\n")
    assert terminal.files() == before


def test_an_empty_file_and_an_earlier_plan_are_written_over(terminal: Terminal) -> None:
    (terminal.folder / "p.json").touch()
    for target in ("pair", "single"):
        assert terminal("plan", "--out", "p.json", "--target", target, "--markdown") == 0
    assert terminal("show", "p.json") == 0
    assert "Plan: 2 to create" in terminal.out


def test_a_plan_file_holds_no_credential(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    assert terminal("plan", "--out", "p.json") == 0
    text = (terminal.folder / "p.json").read_text()
    assert "planted" not in text + terminal.out + terminal.err
    assert terminal("apply", "p.json") == 0
    assert "planted" not in terminal.out + terminal.err


def test_a_saved_plan_that_is_empty_changes_nothing(terminal: Terminal) -> None:
    assert terminal("apply", "--yes") == 0
    assert terminal("plan", "--out", "p.json", "--detailed-exitcode") == 0
    assert terminal("apply", "p.json") == 0
    assert terminal.out == "No changes. 2 outputs are up to date.\n"
