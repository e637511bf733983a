"""Jobs that have not started are cancelled, and nothing is left of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from reconciler.guard import guard
from tests.cli.terminal import Terminal


@pytest.fixture
def waiting(terminal: Terminal) -> Terminal:
    """A project whose pair is submitted; its job waits, as nobody works."""
    assert terminal("apply", "--yes", "--no-wait") == 0
    terminal.say("Submitted")
    return terminal


def submitted(terminal: Terminal) -> str:
    """Return the only job of the service."""
    with closing(sqlite3.connect(terminal.folder / ".reconciler" / "service.sqlite")) as database:
        ((job,),) = database.execute("SELECT id FROM job").fetchall()
    return str(job)


@pytest.mark.parametrize("words", [["pair"], ["p*"], ["--all"]])
def test_a_job_that_waits_is_cancelled(waiting: Terminal, words: list[str]) -> None:
    job = submitted(waiting)
    assert waiting("cancel", *words) == 0
    assert waiting.out == f"pair: job {job} cancelled\nCancelled 1 job.\n"
    assert waiting("plan", "--target", "pair") == 0
    assert "+ create   pair" in waiting.out
    assert "not made yet" in waiting.out
    assert waiting("cancel", "--all") == 0
    assert waiting.out == "Nothing to cancel: no job is under way.\n"


def test_a_job_in_doubt_is_looked_for_first(waiting: Terminal) -> None:
    journal = waiting.folder / ".reconciler" / "journal"
    kept = [line for line in journal.read_text().splitlines(keepends=True) if '"op":"submitted"' not in line]
    journal.write_text("".join(kept))
    assert waiting("cancel", "pair") == 0
    assert waiting.out.startswith(f"pair: job {submitted(waiting)} cancelled\n")


def test_a_job_that_has_started_is_told(waiting: Terminal) -> None:
    waiting.say("Running")
    assert waiting("cancel", "--all") == 1
    assert waiting.err == f"pair: job {submitted(waiting)} has started and can no longer be cancelled\n"
    assert waiting.out == "Cancelled 0 jobs; 1 could not be cancelled.\n"


def test_a_job_that_has_ended_is_left_to_apply(terminal: Terminal) -> None:
    assert terminal("apply", "--yes", "--target", "pair") == 0
    journal = terminal.folder / ".reconciler" / "journal"
    before = journal.with_name("journal.before").read_text()
    terminal.lockfile.unlink()
    journal.write_text("".join(line for line in before.splitlines(keepends=True) if '"op":"done"' not in line))
    assert terminal("cancel", "pair") == 1
    assert terminal.err == f"pair: job {submitted(terminal)} has ended as Success; the next apply records that\n"


def test_a_job_that_the_service_does_not_know_is_left_to_apply(waiting: Terminal) -> None:
    job = submitted(waiting)
    with closing(sqlite3.connect(waiting.folder / ".reconciler" / "service.sqlite")) as database:
        database.execute("DELETE FROM job")
        database.commit()
    assert waiting("cancel", "pair") == 1
    assert waiting.err == f"pair: job {job} is not known to the service; the next apply settles that\n"


@pytest.mark.parametrize(
    ("words", "message", "advice"),
    [
        ([], "name the outputs whose jobs to cancel, or give --all", None),
        (["pair", "--all"], "name the outputs whose jobs to cancel, or give --all", None),
        (["pear"], "pear has no job to cancel: nothing of it is under way", "did you mean `pair`?"),
        (["single"], "single has no job to cancel: nothing of it is under way", "`reconciler status` lists"),
    ],
)
def test_wrong_usage(waiting: Terminal, words: list[str], message: str, advice: str | None) -> None:
    assert waiting("cancel", *words) == 1
    assert waiting.err.startswith(f"error: {message}\n")
    assert (advice or "") in waiting.err


def test_an_apply_at_work_is_ended_first(waiting: Terminal) -> None:
    with guard(waiting.folder / ".reconciler"):
        assert waiting("cancel", "--all") == 1
    assert waiting.err.startswith("error: another run is at work on this project (apply, process ")
    assert waiting.err.endswith("  → interrupt that run first: it leaves its jobs, and they can be cancelled then\n")


def test_with_a_shared_lockfile_the_guard_in_the_bucket_counts(terminal: Terminal) -> None:
    terminal.share()
    assert terminal("cancel", "--all") == 0
    assert terminal.out == "Nothing to cancel: no job is under way.\n"
    assert not (terminal.bucket / "state" / "reconciler.lock.guard").exists()
