"""A lockfile that is lost or damaged is got back, and nothing is rendered for it."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.terminal import Person, Terminal


def test_a_deleted_lockfile_comes_back_as_it_was(applied: Terminal) -> None:
    before = applied.lockfile.read_bytes()
    applied.lockfile.unlink()
    assert applied("recover", "--yes") == 0
    head, *rows, summary = applied.out.splitlines()
    assert head.split() == ["ADDRESS", "JOB", "OBJECT", "PROVEN"]
    records = applied.records()
    assert [row.split(maxsplit=3) for row in rows] == [
        ["pair", records["pair"]["job"], "out/pair.mp4", "object and content"],
        ["single", records["single"]["job"], "out/single.mp4", "object and content"],
    ]
    assert summary == "Recovered 2 outputs."
    assert applied.lockfile.read_bytes() == before
    assert applied("plan", "--detailed-exitcode") == 0
    assert applied("state", "verify") == 0


def test_apply_alone_gets_it_back_too(applied: Terminal) -> None:
    before = json.loads(applied.lockfile.read_bytes())["outputs"]
    count = applied.jobs()
    applied.lockfile.unlink()
    assert applied("plan", "--json") == 0
    actions = json.loads(applied.out)["actions"]
    assert [(action["address"], action["action"]) for action in actions] == [("pair", "adopt"), ("single", "adopt")]
    assert [action["from"]["job"] for action in actions] == [before[name]["job"] for name in ("pair", "single")]
    assert applied("apply", "--yes") == 0
    assert applied.out.splitlines()[-1] == "Apply: 0 created, 0 replaced, 0 deleted, 2 adopted."
    assert applied.records() == before
    assert applied.jobs() == count


def test_nothing_lost_is_nothing_done(applied: Terminal) -> None:
    before = applied.files()
    assert applied("recover") == 0
    assert applied.out == "Recovered 0 outputs.\n"
    assert applied.files() == before


@pytest.mark.parametrize("damage", [b'{"version": 2, "outp', b'{"version": 2, "outputs": {"pair": 7}}', b"\xff\xfe"])
def test_a_damaged_lockfile_is_kept_under_another_name(applied: Terminal, damage: bytes) -> None:
    before = applied.lockfile.read_bytes()
    for path in (applied.folder / ".reconciler").glob("*.before"):
        path.unlink()
    applied.lockfile.write_bytes(damage)
    applied.lockfile.with_name("reconciler.lock.damaged").write_text("an earlier one")
    assert applied("recover") == 1
    assert applied.err.endswith("error: there is nobody to ask\n  → add --yes\n")
    assert applied.lockfile.read_bytes() == damage
    assert applied("recover", "--yes", "--json") == 0
    assert json.loads(applied.out)["set_aside"] == "reconciler.lock.damaged.2"
    assert applied.lockfile.with_name("reconciler.lock.damaged").read_text() == "an earlier one"
    assert applied.lockfile.with_name("reconciler.lock.damaged.2").read_bytes() == damage
    assert applied.lockfile.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('{"version": 9, "outputs": {}}', "upgrade reconciler"),
        ('{"version": 2, "outputs": {\n<<<<<<< ours\n', "it holds a merge conflict"),
    ],
)
def test_what_a_person_can_mend_is_left_to_them(applied: Terminal, text: str, advice: str) -> None:
    applied.lockfile.write_text(text)
    assert applied("recover", "--yes") == 1
    assert advice in applied.err
    assert applied.lockfile.read_text() == text


def test_what_changed_since_is_planned_and_not_adopted(applied: Terminal) -> None:
    applied.lockfile.unlink()
    applied.declare(width=512)
    assert applied("recover", "--yes") == 0
    assert (
        applied.out.count("object; the content is not what is declared now") == 1
    )  # single is made of a pair that is there as it was
    assert applied("plan", "--target", "pair") == 0
    assert "replace  pair  out/pair.mp4\n             transcode.video.width: 256 → 512\n" in applied.out
    assert applied("state", "verify") == 0


def test_a_source_that_changed_since_is_planned(applied: Terminal) -> None:
    applied.lockfile.unlink()
    shutil.copyfile(applied.bucket / "in" / "red.mp4", applied.bucket / "in" / "blue.mp4")
    assert applied("recover", "--yes", "--json") == 0
    assert [one["current"] for one in json.loads(applied.out)["outputs"]] == [False, True]
    assert applied("plan", "--json") == 0
    assert [one["action"] for one in json.loads(applied.out)["actions"]] == ["replace", "replace"]


@pytest.mark.parametrize("state", ["Submitted", "Running"])
def test_a_job_that_has_not_ended_is_taken_up(terminal: Terminal, state: str) -> None:
    assert terminal("apply", "--yes", "--no-wait", "--target", "pair") == 0
    terminal.say(state)
    (terminal.folder / ".reconciler" / "journal").unlink()
    count = terminal.jobs()
    assert terminal("recover", "--yes") == 0
    assert f"out/pair.mp4  is {state}\n" in terminal.out
    assert terminal.out.endswith("Recovered 0 outputs and 1 running job.\n")
    assert terminal("apply", "--yes", "--target", "pair") == 0
    assert "finished  pair → out/pair.mp4" in terminal.err
    assert terminal.jobs() == count


def test_what_nobody_can_prove_and_what_is_not_declared_is_told(applied: Terminal) -> None:
    applied.lockfile.unlink()
    (applied.bucket / "out" / "pair.mp4").write_bytes(b"somebody else's")
    applied.declare(key="out/other.mp4")
    assert applied("recover", "--yes") == 0
    assert applied.out.splitlines() == [
        "pair: out/pair.mp4 is there, but no job can be shown to have made it; `adopt` takes it as it is",
        "Made by us and not declared here, so left: out/single.mp4",
        "Recovered 0 outputs; 1 output has no job that can be proven; 1 object of jobs that are not declared here.",
    ]
    assert not applied.lockfile.exists()


def test_a_copy_is_recovered_by_the_job_of_its_original(applied: Terminal) -> None:
    applied.declare(key="out/moved.mp4")
    assert applied("apply", "--yes") == 0
    assert applied.out.splitlines()[-1] == "Apply: 0 created, 0 replaced, 0 deleted, 1 copied."
    before = applied.records()
    applied.lockfile.unlink()
    (applied.bucket / "out" / "single.mp4").unlink()
    assert applied("recover", "--yes") == 0
    assert applied.out.endswith("Recovered 2 outputs.\n")
    assert {name: record["job"] for name, record in applied.records().items()} == {
        name: before[name]["job"] for name in ("pair", "single")
    }
    assert applied("plan", "--detailed-exitcode") == 0


TEMPLATE = """version: 1
transcode_templates:
  small:
    container: {format: mp4}
    video: {codec: H.264, width: 128, height: 128, preset: veryfast, fps: 25, crf: CRF}
outputs:
  one:
    video_synthesis: {splice_info: [{url: in/red.mp4}]}
    transcode_template: small
    output: out/one.mp4
"""


def test_templates_come_back_with_what_was_made_of_them(terminal: Terminal) -> None:
    manifest = terminal.folder / "manifests" / "a.yaml"
    manifest.write_text(TEMPLATE.replace("CRF", "30"))
    assert terminal("apply", "--yes") == 0
    terminal.lockfile.unlink()
    manifest.write_text(TEMPLATE.replace("CRF", "35"))
    assert terminal("recover", "--yes") == 0
    assert terminal.out.endswith("Recovered 1 output and 1 template.\n")
    assert terminal("state", "verify") == 0
    assert terminal("plan") == 0
    assert terminal.out.splitlines() == [
        "  ~ update   transcode_template.small  Transcode template  video.crf: 30 → 35",
        "  ~ replace  one                       out/one.mp4",
        "             transcode.video.crf: 30 → 35",
        "",
        "Plan: 0 to create, 1 to replace, 0 to delete.",
        "Templates: 1 to update.",
    ]
    terminal.lockfile.unlink()
    manifest.write_text(TEMPLATE.replace("CRF", "30"))
    assert terminal("recover", "--yes") == 0
    assert terminal("plan", "--detailed-exitcode") == 0


def test_the_document(applied: Terminal) -> None:
    records = applied.records()
    applied.lockfile.unlink()
    assert applied("recover", "--json") == 1
    assert applied.err == "error: --json asks no questions\n  → add --yes\n"
    assert applied("recover", "--json", "--yes") == 0
    assert json.loads(applied.out) == {
        "format": "reconciler.recover/1",
        "outputs": [
            {"address": name, "job": records[name]["job"], "object": f"out/{name}.mp4", "current": True}
            for name in ("pair", "single")
        ],
        "running": [],
        "templates": [],
        "unproven": [],
        "undeclared": [],
        "twins": [],
        "set_aside": None,
    }


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1)])
def test_a_person_is_asked(applied: Terminal, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    applied.lockfile.unlink()
    monkeypatch.setattr("sys.stdin", Person(answer))
    assert applied("recover") == status
    assert "Record this? [y/N]: " in applied.err
    assert applied.lockfile.exists() is (status == 0)
    assert applied.err.endswith("error: nothing was recorded\n") is (status == 1)


def test_a_shared_lockfile_that_is_lost_comes_back(terminal: Terminal) -> None:
    terminal.share()
    assert terminal("apply", "--yes") == 0
    state = terminal.bucket / "state"
    before = (state / "reconciler.lock").read_bytes()
    shutil.rmtree(state)
    assert terminal("recover", "--yes") == 0
    assert terminal.out.endswith("Recovered 2 outputs.\n")
    assert (state / "reconciler.lock").read_bytes() == before


def test_a_shared_lockfile_that_is_damaged_is_said(terminal: Terminal) -> None:
    terminal.share()
    (terminal.bucket / "state").mkdir()
    (terminal.bucket / "state" / "reconciler.lock").write_text("{")
    assert terminal("recover", "--yes") == 1
    assert "bucket:state/reconciler.lock is damaged" in terminal.err
    assert "delete it and everything below state/reconciler.lock.journal/" in terminal.err
