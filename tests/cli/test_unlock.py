"""The guard of a run that has died is removed, that of one that lives is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from reconciler.guard import guard
from tests.cli.terminal import Person, Terminal


@pytest.fixture
def shared(terminal: Terminal) -> Terminal:
    """A project whose lockfile is in the bucket."""
    terminal.share()
    return terminal


def hold(terminal: Terminal, *, ago: float, lease: float = 60, **fields: Any) -> Path:
    """Leave the guard of a run that renewed it so many seconds ago."""
    renewed = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
    holder = {"run": "0" * 16, "what": "apply", "owner": "ana", "host": "build-7", "since": "2026-05-01T10:00:00+00:00"}
    path = terminal.bucket / "state" / "reconciler.lock.guard"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**holder, "renewed": renewed, "lease": lease, **fields}))
    return path


def test_nobody_holds_the_guard_of_this_machine(applied: Terminal) -> None:
    assert applied("unlock") == 0
    assert applied.out == "Nobody holds the guard.\n"


def test_nothing_is_made_where_nothing_is(terminal: Terminal) -> None:
    assert terminal("unlock") == 0
    assert terminal.out == "Nobody holds the guard.\n"
    assert not (terminal.folder / ".reconciler").exists()


def test_a_process_that_lives_is_to_be_ended(applied: Terminal) -> None:
    with guard(applied.folder / ".reconciler"):
        assert applied("unlock", "--yes") == 1
    assert applied.err == (
        f"error: another run is at work on this project (apply, process {os.getpid()})\n"
        "  → end that process; the guard goes with it\n"
    )


def test_what_a_killed_process_left_holds_nothing(applied: Terminal) -> None:
    program = (
        "import os, signal\nfrom pathlib import Path\nfrom reconciler.guard import guard\n"
        f"with guard(Path({str(applied.folder / '.reconciler')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert (applied.folder / ".reconciler" / "guard.owner").exists()
    assert applied("unlock") == 0
    assert applied.out == "Nobody holds the guard.\n"


def test_nobody_holds_the_shared_guard(shared: Terminal) -> None:
    assert shared("unlock", "--yes") == 0
    assert shared.out == "Nobody holds the guard.\n"


def test_the_guard_of_a_run_that_died_is_shown_and_removed(shared: Terminal) -> None:
    path = hold(shared, ago=270)
    assert shared("unlock", "--yes") == 0
    first, second, last = shared.out.splitlines()
    assert first == "The guard is held: apply by ana on build-7, since 2026-05-01T10:00:00+00:00."
    assert second.startswith("Its lease ended 3 min ")
    assert second.endswith(" ago: that run has died, or cannot reach the bucket.")
    assert last == "Removed the guard."
    assert not path.exists()


def test_of_a_lease_that_runs_it_is_said_that_the_run_may_be_alive(shared: Terminal) -> None:
    path = hold(shared, ago=0, lease=3600)
    assert shared("unlock") == 1
    assert " unless it is renewed: that run may be alive.\n" in shared.out
    assert shared.err == "error: there is nobody to ask\n  → add --yes\n"
    assert path.exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1)])
def test_a_person_is_asked(shared: Terminal, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    path = hold(shared, ago=240)
    monkeypatch.setattr("sys.stdin", Person(answer))
    assert shared("unlock") == status
    assert "Remove this guard? [y/N]: " in shared.err
    assert path.exists() is (status == 1)


def test_what_is_no_guard_of_this_program_can_be_removed(shared: Terminal) -> None:
    path = hold(shared, ago=0)
    path.write_text("not ours")
    assert shared("unlock", "--yes") == 0
    assert shared.out == "state/reconciler.lock.guard is no guard of this program\nRemoved the guard.\n"
    assert not path.exists()


def test_a_guard_that_changes_hands_meanwhile_is_left(shared: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hold(shared, ago=240)

    class Slow(Person):
        """Thinks for so long that another run takes the guard."""

        @override
        def isatty(self) -> bool:
            hold(shared, ago=0, run="1" * 16)
            return True

    monkeypatch.setattr("sys.stdin", Slow("y\n"))
    assert shared("unlock") == 1
    assert shared.err.endswith("error: the guard has changed hands meanwhile; nothing was removed\n  → look again\n")
    assert json.loads(path.read_text())["run"] == "1" * 16
