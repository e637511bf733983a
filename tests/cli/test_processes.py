"""The real program as a process: killed, interrupted, run twice at once; real renders, jobs counted at the service."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import (
    NOTHING_TO_DO,
    ONE_JOB_EACH,
    SETTINGS,
    drop_films,
    environment,
    jobs,
    kill_after,
    make_project,
    rendering,
    run,
    serving,
    start,
    wait_for,
)
from tests.service.media import Films


@pytest.fixture
def project(tmp_path: Path, films: Films) -> Path:
    drop_films(tmp_path, films)
    return make_project(tmp_path)


def leftovers(project: Path) -> list[str]:
    return [path.name for path in (project / "buckets").rglob(".*") if path.is_file()]


def assert_converged(project: Path) -> None:
    status, out, err = run(project, "apply", "--yes")
    assert status == 0, out + err
    assert jobs(project) == ONE_JOB_EACH
    assert leftovers(project) == []
    status, out, _ = run(project, "plan", "--detailed-exitcode")
    assert (status, out) == (0, NOTHING_TO_DO)


def test_killed_at_any_moment_everything_is_done_once(project: Path) -> None:
    chance = random.Random(5)
    for _ in range(4):
        kill_after(project, chance.uniform(0.4, 2.5))
    assert_converged(project)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_killed_at_many_moments_everything_is_done_once(project: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        kill_after(project, chance.uniform(0.3, 3.0))
    assert_converged(project)


def test_killed_while_rendering_nothing_half_written_is_under_the_key(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(lambda: rendering(project))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run(project, "status", "--json")[0] == 0
    assert_converged(project)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_leaves_a_clean_record(project: Path, number: signal.Signals, status: int) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(lambda: rendering(project))
        process.send_signal(number)
        asked = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert time.monotonic() - asked < 10
    assert "nothing more is submitted" in err
    assert "stopped; the next apply goes on from here" in err
    assert "Traceback" not in err
    assert "left running" in out
    status, out, err = run(project, "apply", "--yes")
    assert status == 0
    assert "Taking up" in err
    assert_converged(project)


def test_asked_twice_it_ends_at_once(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(lambda: rendering(project))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode in (130, -signal.SIGINT)
    assert_converged(project)


def test_two_at_once_are_kept_apart(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(lambda: rendering(project))
        process.send_signal(signal.SIGSTOP)  # so that it is still there when the second one looks
        status, out, err = run(project, "apply", "--yes")
        assert (status, out) == (1, "")
        assert f"another run is at work on this project (apply, process {process.pid})" in err
        assert run(project, "plan")[0] == 0
        assert run(project, "status")[0] == 0
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert_converged(project)


def test_jobs_that_were_left_are_finished_by_the_next_apply(project: Path) -> None:
    status, out, _ = run(project, "apply", "--yes", "--no-wait")
    assert (status, out.splitlines()[-1]) == (0, "Apply: 0 created, 0 replaced, 0 deleted, 4 left running.")
    assert_converged(project)


def test_a_reader_that_goes_away_is_no_traceback(project: Path) -> None:
    command = f"{sys.executable} -m reconciler -C {project} schema | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_the_same_over_a_socket(project: Path) -> None:
    """The service behind ``serve``, the client as a stranger to it."""
    with serving(project) as address:
        away = make_project(project / "away", settings=SETTINGS.replace("embedded", address))
        status, out, err = run(away, "apply", "--yes")
        assert status == 0, err
        assert out.splitlines()[-1] == "Apply: 5 created, 0 replaced, 0 deleted."
        assert jobs(project) == ONE_JOB_EACH
        assert run(away, "plan", "--detailed-exitcode")[0] == 0
        assert not (away / "buckets").exists()


def test_callbacks_are_waited_for_instead_of_polling(project: Path) -> None:
    """Both sides for real. A callback is forgotten by the service only when it was taken."""
    with serving(project, "--allow-private-callbacks") as address:
        away = make_project(project / "away", settings=SETTINGS.replace("embedded", address))
        words = ("--target", 'video["a"]', "--callback-listen", "127.0.0.1:0")
        status, out, err = run(away, "apply", "--yes", *words)
        assert (status, out.splitlines()[-1]) == (0, "Apply: 1 created, 0 replaced, 0 deleted."), err
    database = sqlite3.connect(project / ".reconciler" / "service.sqlite")
    assert database.execute("SELECT job, error FROM delivery").fetchall() == []
    database.close()
    assert b"127.0.0.1" not in b"".join(path.read_bytes() for path in away.glob("reconciler.lock"))
