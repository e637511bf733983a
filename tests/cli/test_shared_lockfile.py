"""A lockfile in the bucket, and runs of the real program in several clones of one project, as on several machines."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.program import (
    BUCKET,
    NOTHING_TO_DO,
    ONE_JOB_EACH,
    SETTINGS,
    drop_films,
    jobs,
    kill_after,
    make_project,
    run,
    serving,
    start,
    wait_for,
)
from tests.service.media import Films

KEY = "state/reconciler.lock"
SHORT, LONG = 10, 100
"""Leases in seconds: one that a test waits for, and one that does not end during a test."""


class Team:
    """One service, and clones of one project that share a lockfile in its bucket."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self._settings = f"{SETTINGS.replace('embedded', address)}lockfile: bucket:{KEY}\n"

    def clone(self, name: str, *, lease: int = LONG) -> Path:
        return make_project(self.root / name, settings=f"{self._settings}guard_lease: {lease}\n")

    def stored(self, suffix: str = "") -> Path:
        """Return where the service keeps the lockfile, or an object that is named after it."""
        return self.root / "buckets" / BUCKET / f"{KEY}{suffix}"

    def holder(self) -> str | None:
        """Return which run holds the guard."""
        try:
            run: str = json.loads(self.stored(".guard").read_text())["run"]
        except FileNotFoundError:
            return None
        return run

    def expire(self) -> None:
        """Let the lease of a run that is dead or frozen end, as it does by itself after some seconds."""
        guard = self.stored(".guard")
        if guard.exists():
            guard.write_text(re.sub(r'"renewed": "\d{4}', '"renewed": "2020', guard.read_text()))

    def assert_converged(self, clone: Path) -> None:
        assert jobs(self.root) == ONE_JOB_EACH
        assert run(clone, "plan", "--detailed-exitcode")[:2] == (0, NOTHING_TO_DO)
        assert not self.stored(".guard").exists()


@pytest.fixture
def team(tmp_path: Path, films: Films) -> Iterator[Team]:
    drop_films(make_project(tmp_path), films)
    with serving(tmp_path) as address:
        yield Team(tmp_path, address)


def begun(team: Team, clone: Path) -> Popen[str]:
    """Begin an apply that makes one video after the other, and return once its first job is recorded."""
    process = start(clone, "apply", "--yes", "--parallelism", "1")
    journal = team.stored(".journal")
    wait_for(lambda: any(b'"submitted"' in part.read_bytes() for part in journal.glob("0*")))
    return process


def test_the_other_clones_find_nothing_to_do(team: Team) -> None:
    here, there = team.clone("here"), team.clone("there")
    status, out, err = run(here, "apply", "--yes")
    assert (status, out.splitlines()[-1]) == (0, "Apply: 5 created, 0 replaced, 0 deleted."), err
    assert not (here / "reconciler.lock").exists()
    assert list(json.loads(team.stored().read_text())["outputs"]) == ["last", *(f'video["{x}"]' for x in "abcd")]
    team.assert_converged(there)


def test_a_lockfile_that_was_kept_in_the_folder_is_uploaded(team: Team) -> None:
    here, there = team.clone("here"), team.clone("there")
    settings = here / "reconciler.yaml"
    settings.write_text(settings.read_text().replace(f"lockfile: bucket:{KEY}\n", ""))
    assert run(here, "apply", "--yes")[0] == 0
    team.stored().parent.mkdir()
    (here / "reconciler.lock").rename(team.stored())
    assert run(there, "apply", "--yes")[:2] == (0, NOTHING_TO_DO)
    team.assert_converged(there)


def test_of_two_at_once_one_leaves(team: Team) -> None:
    here, there = team.clone("here"), team.clone("there")
    with begun(team, here) as first:
        first.send_signal(signal.SIGSTOP)  # so that it is still there when the second one looks
        status, out, err = run(there, "apply", "--yes")
        assert (status, out) == (1, "")
        holder = rf"apply by \S+ on {re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d"
        assert re.search(rf"another run is at work on this lockfile \({holder}", err)
        assert "--guard-timeout" in err
        for words in (("plan",), ("status",), ("show", "last")):
            assert run(there, *words)[0] == 0
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=120)
    assert (first.returncode, out.splitlines()[-1]) == (0, "Apply: 5 created, 0 replaced, 0 deleted."), err
    team.assert_converged(there)


def test_of_two_at_once_one_waits_when_told_to(team: Team) -> None:
    here, there = team.clone("here"), team.clone("there")
    with begun(team, here) as first:
        status, out, err = run(there, "apply", "--yes", "--guard-timeout", "100")
        first.communicate(timeout=120)
    assert first.returncode == 0
    assert (status, out) == (0, NOTHING_TO_DO), err
    team.assert_converged(there)


@pytest.mark.parametrize("lease", [LONG, pytest.param(SHORT, marks=pytest.mark.slow)])
def test_a_run_that_was_frozen_past_its_lease_stops_before_its_next_effect(team: Team, lease: int) -> None:
    here, there = team.clone("here", lease=lease), team.clone("there", lease=lease)
    with begun(team, here) as first:
        first.send_signal(signal.SIGSTOP)
        if lease == LONG:
            team.expire()
        status, out, err = run(there, "apply", "--yes", "--guard-timeout", "100")
        assert status == 0, out + err
        assert re.search(r"the guard of apply by .* had ended, and was taken", err)
        assert jobs(team.root) == ONE_JOB_EACH
        before = team.stored().read_bytes()
        first.send_signal(signal.SIGCONT)
        assert_lost(first)
    assert team.stored().read_bytes() == before
    team.assert_converged(here)


@pytest.mark.slow
def test_frozen_and_back_beside_the_one_that_took_over(team: Team) -> None:
    here, there = team.clone("here", lease=SHORT), team.clone("there", lease=SHORT)
    with begun(team, here) as first:
        first.send_signal(signal.SIGSTOP)
        holder = team.holder()
        with start(there, "apply", "--yes", "--guard-timeout", "100") as second:
            wait_for(lambda: team.holder() not in (None, holder))
            first.send_signal(signal.SIGCONT)
            assert_lost(first)
            out, err = second.communicate(timeout=120)
            assert second.returncode == 0, out + err
    team.assert_converged(here)


def assert_lost(process: Popen[str]) -> None:
    """A run whose guard was taken ends with an error that says so."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "error: this run has lost the guard" in err or "error: another run has taken over" in err
    assert "nothing is lost" in err
    assert "Traceback" not in err


def killed_and_converged(team: Team, kills: int, chance: random.Random) -> None:
    """Apply from one clone after the other, each killed; the last one, left alone, finishes what they began."""
    for number in range(kills):
        kill_after(team.clone(f"clone{number}"), chance.uniform(0.4, 3.0))
        team.expire()
    last = team.clone("last")
    status, out, err = run(last, "apply", "--yes")
    assert status == 0, out + err
    team.assert_converged(last)


def test_killed_in_one_clone_and_continued_in_another(team: Team) -> None:
    killed_and_converged(team, 3, random.Random(7))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_killed_many_times_and_continued_elsewhere(team: Team, seed: int) -> None:
    killed_and_converged(team, 5, random.Random(1000 + seed))


def test_the_guard_of_a_killed_run_can_be_removed(team: Team) -> None:
    here, there = team.clone("here"), team.clone("there")
    with begun(team, here) as first:
        first.kill()
        first.communicate()
    status, _, err = run(there, "apply", "--yes")
    assert status == 1
    assert "`reconciler unlock`" in err
    status, out, err = run(there, "unlock", "--yes")
    assert (status, out.splitlines()[-1]) == (0, "Removed the guard."), err
    assert f"on {socket.gethostname()}, since " in out
    status, _, err = run(there, "apply", "--yes")
    assert status == 0, err
    assert "Taking up " in err
    team.assert_converged(here)


@pytest.mark.slow
def test_the_lease_of_a_killed_run_ends_by_itself(team: Team) -> None:
    here, there = team.clone("here", lease=SHORT), team.clone("there", lease=SHORT)
    with begun(team, here) as first:
        first.kill()
        first.communicate()
    assert run(there, "apply", "--yes")[0] == 1
    status, _, err = run(there, "apply", "--yes", "--guard-timeout", "60")
    assert status == 0, err
    assert "had ended, and was taken" in err
    team.assert_converged(there)
