"""`state verify` says of each record whether it is true, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.lockformat import dump
from reconciler.state import Record
from tests.factory import output, record

SETTINGS = "version: 1\nservice: embedded\nbucket: clips-1250000000\nregion: ap-chongqing\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("RECONCILER_", "TENCENTCLOUD_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "reconciler.yaml").write_text(SETTINGS)
    return tmp_path


def made(project: Path, name: str) -> Record:
    """Put an object into the bucket, and return the record of it; the service has forgotten its job."""
    path = project / "buckets" / "clips-1250000000" / "out" / f"{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    etag = hashlib.md5(name.encode()).hexdigest()
    return record(output(name), {f"in/{name}.mp4": "e"}, etag, job=f"j{'0' * 32}", size=len(name))


def write(project: Path, records: dict[str, Record]) -> Path:
    path = project / "reconciler.lock"
    path.write_text(dump(records, {}))
    return path


def verify(project: Path, *words: str) -> int:
    return run(["-C", str(project), "state", "verify", *words])


def test_a_true_lockfile(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, {name: made(project, name) for name in ("duel", "race")})
    assert verify(project) == 0
    assert capsys.readouterr() == ("No faults in 2 records.\n", "")


def test_nothing_recorded_is_true(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(project) == 0
    assert capsys.readouterr() == ("No faults in 0 records.\n", "")


def test_each_fault_has_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = {name: made(project, name) for name in ("duel", "race", "wall")}
    lockfile = write(project, {**records, "duel": replace(records["duel"], etag="e" * 32)})
    (project / "buckets" / "clips-1250000000" / "out" / "race.mp4").unlink()
    before = lockfile.read_bytes(), lockfile.stat().st_mtime_ns
    assert verify(project) == 1
    etag = hashlib.md5(b"duel").hexdigest()
    assert capsys.readouterr().out == (
        f"duel: out/duel.mp4 is another object: its ETag is {etag}, recorded is {'e' * 32}\n"
        "race: out/race.mp4 is gone\n"
        "2 faults in 3 records.\n"
    )
    assert (lockfile.read_bytes(), lockfile.stat().st_mtime_ns) == before
    assert not (project / ".reconciler" / "journal").exists()


def test_a_note_is_said_once_and_is_no_fault(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = {name: replace(made(project, name), fingerprint=f"0:{'0' * 40}") for name in "abcde"}
    write(project, older)
    assert verify(project) == 0
    note = "note: a, b, c and 2 more: digested by another version of reconciler, and not compared\n"
    assert capsys.readouterr() == ("No faults in 5 records.\n", note)
    assert verify(project, "--quiet") == 0
    assert capsys.readouterr() == ("No faults in 5 records.\n", "")


def test_the_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone, older = made(project, "gone"), replace(made(project, "old"), fingerprint="0:0")
    write(project, {"gone": gone, "old": older})
    (project / "buckets" / "clips-1250000000" / "out" / "gone.mp4").unlink()
    assert verify(project, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    (note,) = document.pop("notes")
    assert document == {
        "format": "reconciler.verify/1",
        "records": 2,
        "faults": [
            {
                "address": "gone",
                "part": "object",
                "summary": "out/gone.mp4 is gone",
                "recorded": "out/gone.mp4",
                "found": None,
            }
        ],
    }
    assert (note["address"], note["part"], note["recorded"]) == ("old", "fingerprint", "0:0")


def test_a_damaged_lockfile_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "reconciler.lock").write_text('{"version": 2')
    assert verify(project) == 1
    assert "reconciler.lock is damaged: " in capsys.readouterr().err
