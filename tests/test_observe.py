"""Observing asks for folders, not for objects, and for the job list only in doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.api.messages import Job
from reconciler.observe import find_jobs, observe, prefixes, token_of
from reconciler.state import DesiredState, LiveJob, Submission
from reconciler.submitting import Pace, with_token
from tests.factory import output
from tests.simulation import SimulatedClient, World, open_lockfile, run_once, send


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], []),
        (["in/a.mp4", "in/deep/b.mp4", "out/c.mp4"], ["in/", "out/"]),
        (["a.mp4", "b.mp4", "in/c.mp4"], ["a.mp4", "b.mp4", "in/"]),
        ([f"d{number}/a.mp4" for number in range(51)], [""]),
    ],
)
def test_prefixes_cover_the_keys(keys: list[str], expected: list[str]) -> None:
    assert prefixes(keys) == expected
    assert all(any(key.startswith(prefix) for prefix in expected) for key in keys)


def asked(world: World) -> list[str]:
    calls: list[str] = []
    world.on_effect = calls.append
    return calls


def test_nothing_in_doubt_asks_for_no_jobs(tmp_path: Path) -> None:
    world = World(tmp_path, {"in/a.mp4": "e"})
    calls = asked(world)
    desired = DesiredState({"a": output("a")})
    observed = asyncio.run(observe(SimulatedClient(world), open_lockfile(world), desired))
    assert calls == ["list_objects", "list_objects", "jobs"]
    assert list(observed.objects) == ["in/a.mp4"]


def doubtful(world: World) -> Submission:
    """A submission that reached the service and whose answer did not reach us."""
    run_once(world, DesiredState({"a": output("a")}), pace=Pace(wait=False))
    return replace(open_lockfile(world).pending["a"], job=None)


def test_a_submission_in_doubt_is_found_by_its_token(tmp_path: Path) -> None:
    world = World(tmp_path, {"in/a.mp4": "e"})
    begun = doubtful(world)
    found = asyncio.run(find_jobs(SimulatedClient(world), {"a": begun}))
    assert found == {"a": LiveJob(next(iter(world.jobs)), "Submitted", 50, begun.token)}


def test_a_job_with_another_token_is_not_taken_for_ours(tmp_path: Path) -> None:
    world = World(tmp_path, {"in/a.mp4": "e"})
    begun = replace(doubtful(world), token="reconciler:1:other:0")
    assert asyncio.run(find_jobs(SimulatedClient(world), {"a": begun})) == {}


def test_clocks_that_differ_by_a_quarter_of_an_hour_hide_no_job(tmp_path: Path) -> None:
    world = World(tmp_path, {"in/a.mp4": "e"})
    begun = doubtful(world)
    ahead = replace(begun, time=(datetime.fromisoformat(begun.time) + timedelta(minutes=15)).isoformat())
    assert list(asyncio.run(find_jobs(SimulatedClient(world), {"a": ahead}))) == ["a"]


TOKEN = f"reconciler:1:{40 * 'b'}:{16 * '0'}"


@pytest.mark.parametrize(
    ("user_data", "token"),
    [(None, ""), ("order-17", ""), ("order 17", ""), (f"order {TOKEN}", TOKEN)],
)
def test_the_token_of_a_job(user_data: str | None, token: str) -> None:
    request = send(output("a").request.plain())
    operation = request.operation[0].model_copy(update={"user_data": user_data})
    job = Job.model_validate({"job_id": "j1", "state": "Running", "operation": operation.plain()})
    assert token_of(job) == token
    assert token_of(Job(job_id="j1", state="Running")) == ""
    sent = with_token(request, TOKEN).operation[0]
    assert token_of(job.model_copy(update={"operation": sent})) == TOKEN
