"""A person takes an object for the wanted one."""

from __future__ import annotations

import hashlib
import json

import pytest
from typing_extensions import override

from tests.cli.terminal import Person, Terminal


def put(terminal: Terminal, content: bytes, name: str = "pair") -> str:
    """Put an object under the key of an output and return its ETag."""
    path = terminal.bucket / "out" / f"{name}.mp4"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def test_an_object_that_nobody_recorded_is_adopted(terminal: Terminal) -> None:
    etag = put(terminal, b"from elsewhere")
    assert terminal("plan", "--target", "pair") == 0
    assert "! conflict pair" in terminal.out
    assert terminal("adopt", "pair", "--yes") == 0
    assert terminal.out.splitlines() == [
        "ADDRESS  OBJECT        SIZE",
        "pair     out/pair.mp4  14 B",
        "Adopted 1 output.",
    ]
    record = terminal.records()["pair"]
    assert (record["etag"], record["size"], "job" in record) == (etag, 14, False)
    assert terminal("plan", "--target", "pair", "--detailed-exitcode") == 0
    assert terminal("state", "verify") == 0


def test_drift_is_accepted(applied: Terminal) -> None:
    before = applied.records()["pair"]
    etag = put(applied, b"made by hand, and better")
    assert applied("plan", "--target", "pair") == 0
    assert "object changed outside (drift)" in applied.out
    assert applied("adopt", "pair", "--yes") == 0
    record = applied.records()["pair"]
    assert record["etag"] == etag
    assert record["fingerprint"] == before["fingerprint"]
    assert "job" not in record
    assert applied("plan", "--target", "pair", "--detailed-exitcode") == 0


def test_a_changed_manifest_is_accepted_with_the_object_as_it_is(applied: Terminal) -> None:
    applied.declare(width=512)
    assert applied("adopt", "pair", "--yes") == 0
    assert applied("plan", "--detailed-exitcode") == 0
    count = applied.jobs()
    assert applied("apply", "--yes") == 0
    assert applied.jobs() == count


def test_a_glob_takes_what_can_be_taken(applied: Terminal) -> None:
    put(applied, b"new", "single")
    assert applied("adopt", "*", "--yes") == 0
    assert applied.err == "pair is left: is recorded like this already\n"
    assert applied.out.endswith("Adopted 1 output.\n")
    (applied.bucket / "out" / "single.mp4").unlink()
    assert applied("adopt", "*", "--yes") == 1
    assert applied.err.startswith("error: pair cannot be adopted: is recorded like this already\n")


def test_what_cannot_be_adopted_is_refused(terminal: Terminal) -> None:
    assert terminal("adopt", "pear", "--yes") == 1
    assert terminal.err == "error: adopt pear names no output\n  → did you mean `pair`?\n"
    assert terminal("adopt", "pair", "--yes") == 1
    assert terminal.err == (
        "error: pair cannot be adopted: there is no object out/pair.mp4\n  → nothing was recorded\n"
    )
    put(terminal, b"made of nothing", "single")
    assert terminal("adopt", "single", "--yes") == 1
    assert "out/pair.mp4, which it is made of, is missing" in terminal.err
    assert not terminal.lockfile.exists()


def test_a_job_under_way_is_not_passed_over(terminal: Terminal) -> None:
    assert terminal("apply", "--yes", "--no-wait", "--target", "pair") == 0
    put(terminal, b"meanwhile")
    assert terminal("adopt", "pair", "--yes") == 1
    assert "error: pair cannot be adopted: its job j" in terminal.err
    assert terminal("cancel", "pair") == 0
    assert terminal("adopt", "pair", "--yes") == 0


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1)])
def test_a_person_is_asked(applied: Terminal, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    etag = put(applied, b"new")
    monkeypatch.setattr("sys.stdin", Person(answer))
    assert applied("adopt", "pair") == status
    assert "Record this object? [y/N]: " in applied.err
    assert (json.loads(applied.lockfile.read_bytes())["outputs"]["pair"]["etag"] == etag) is (status == 0)


def test_what_another_run_records_meanwhile_is_not_overwritten(
    applied: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(applied, b"new")

    class Slow(Person):
        """Thinks for so long that the record is changed by hand."""

        @override
        def isatty(self) -> bool:
            return applied.lockfile.write_text(applied.lockfile.read_text().replace('"job": "j', '"job": "i')) > 0

    monkeypatch.setattr("sys.stdin", Slow("y\n"))
    assert applied("adopt", "pair") == 1
    assert applied.err.endswith("error: pair was recorded meanwhile; nothing was adopted\n  → look, and run it again\n")
    assert applied.records()["pair"]["job"].startswith("i")


def test_nobody_to_ask_is_an_error(applied: Terminal) -> None:
    put(applied, b"new")
    assert applied("adopt", "pair") == 1
    assert applied.err == "error: there is nobody to ask\n  → add --yes\n"
