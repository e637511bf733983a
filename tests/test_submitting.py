"""One submission is one job: what each answer means, and what is looked for when it tells nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.api.messages import Accepted, JobRequest
from reconciler.errors import ApplyError, ClientError, GuardError, Interrupted, ServiceError, UnreachableError
from reconciler.fingerprint import earlier_fingerprints
from reconciler.planning import make_plan
from reconciler.report import Report
from reconciler.state import DesiredState
from reconciler.submitting import Pace, same_content
from tests.factory import output
from tests.simulation import Crash, SimulatedClient, World, apply_once, in_world, open_lockfile, run_once

ONE = DesiredState({"a": output("a")})
PACE = Pace(parallelism=1, poll=1.0, visibility=20, longest_call=60)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"in/a.mp4": "e"})


class Answering(SimulatedClient):
    """Gives these answers to submissions, the first ones first; then it behaves. ``effect``: they made a job."""

    def __init__(self, world: World, *answers: ClientError, effect: bool = False) -> None:
        super().__init__(world)
        self.answers = list(answers)
        self.effect = effect
        self.tokens: list[str] = []

    async def submit(self, request: JobRequest) -> Accepted:
        self.tokens.append(str(request.operation[0].user_data))
        if not self.answers:
            return await super().submit(request)
        if self.effect:
            self.world.accept(request)
        raise self.answers.pop(0)


def run(client: Answering, *, pace: Pace = PACE) -> Report:
    async def main() -> Report:
        world, report = client.world, Report()
        lockfile = open_lockfile(world)
        made, _ = await make_plan(client, lockfile, ONE)
        try:
            await apply_once(made, client, lockfile, report, world, pace=pace)
        except ClientError:
            raise
        except Exception as error:  # noqa: BLE001 - what it says is compared
            report.note(str(error))
        finally:
            lockfile.close()
        return report

    return in_world(client.world, main())


NO_ANSWER = UnreachableError("POST /jobs: no answer", sent=True)
UNCERTAIN = [
    pytest.param(NO_ANSWER, id="no answer"),
    pytest.param(ServiceError(500, "InternalError", "failed"), id="500"),
    pytest.param(ServiceError(502, "Unknown", "Bad Gateway"), id="502"),
    pytest.param(ServiceError(408, "Unknown", "Request Timeout"), id="408"),
    pytest.param(ServiceError(503, "SlowDown", "no room"), id="503"),
    pytest.param(ServiceError(429, "Novel", "no room"), id="429"),
]


@pytest.mark.parametrize("error", UNCERTAIN)
def test_a_job_that_was_made_without_an_answer_is_taken_up(world: World, error: ClientError) -> None:
    client = Answering(world, error, effect=True)
    assert run(client).counts == {"create": 1}
    assert (len(client.tokens), len(world.jobs)) == (1, 1)


@pytest.mark.parametrize("error", UNCERTAIN)
def test_only_after_the_bound_the_same_token_goes_out_again(world: World, error: ClientError) -> None:
    client, began = Answering(world, error), world.time
    assert run(client).counts == {"create": 1}
    assert len(client.tokens) == 2
    assert client.tokens[0] == client.tokens[1]
    (job,) = world.jobs.values()
    assert job["time"] - began >= timedelta(seconds=PACE.visibility)


@pytest.mark.parametrize("late", [0.0, 5.0, 19.0])
def test_a_job_that_shows_within_the_bound_is_never_made_twice(world: World, late: float) -> None:
    world.visible_after = timedelta(seconds=late)
    client = Answering(world, NO_ANSWER, effect=True)
    run(client)
    assert len(client.tokens) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceError(400, "InvalidArgument", "Width is odd"), "InvalidArgument"),
        (ServiceError(403, "AccessDenied", "no"), "AccessDenied"),
        (UnreachableError("POST /jobs: refused", sent=False), "Unreachable"),
    ],
)
def test_what_certainly_made_no_job_is_not_looked_for(world: World, error: ClientError, code: str) -> None:
    client = Answering(world, error)
    asked: list[str] = []
    world.on_effect = asked.append
    report = run(client)
    assert report.failures["a"].startswith(f"{code}: ")
    assert world.jobs == {}
    assert open_lockfile(world).pending == {}
    assert len(client.tokens) == 1
    assert asked.count("list_jobs") == 1, "when it was planned"


def test_a_refusal_after_a_submission_in_doubt_leaves_the_doubt(world: World) -> None:
    run(Answering(world, NO_ANSWER, ServiceError(403, "AccessDenied", "no"), effect=False))
    assert open_lockfile(world).pending["a"].sends == 2


def test_what_is_never_found_is_given_up_after_three_times(world: World) -> None:
    client = Answering(world, *[NO_ANSWER] * 9)
    report = run(client)
    assert report.failures["a"].startswith("InternalError: the service answered with an error each time")
    assert len(client.tokens) == PACE.retries + 1
    assert len(set(client.tokens)) == 1


def test_a_submission_of_a_dead_process_waits_for_its_longest_call_and_then_for_the_bound(world: World) -> None:
    world.on_effect = lambda what: setattr(world, "crash_at", world.effects if what == "submit: before" else None)
    with pytest.raises(Crash):
        run_once(world, ONE, pace=PACE)
    begun = world.time
    world.on_effect = lambda _: None
    world.revive()
    run_once(world, ONE, pace=PACE)
    (job,) = world.jobs.values()
    assert job["time"] - begun >= timedelta(seconds=PACE.longest_call + PACE.visibility)


@pytest.mark.parametrize("where", ["intent: after", "submit: before", "submit: accepted"])
def test_a_run_that_is_stopped_in_the_middle_leaves_what_the_next_one_needs(world: World, where: str) -> None:
    stop = asyncio.Event()
    world.on_effect = lambda what: stop.set() if what == where else None
    with pytest.raises(Interrupted):
        run_once(world, ONE, pace=PACE, stop=stop)
    assert list(open_lockfile(world).pending) == ["a"]
    run_once(world, ONE, pace=PACE)
    assert len(world.jobs) == 1


def test_a_lost_guard_stops_before_the_submission(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        client, lockfile = SimulatedClient(world), open_lockfile(world)
        made, _ = await make_plan(client, lockfile, ONE)

        def check() -> None:
            raise GuardError("lost")

        monkeypatch.setattr(lockfile.store, "check", check)  # its lease ends just now
        try:
            await apply_once(made, client, lockfile, Report(), world)
        finally:
            lockfile.close()

    with pytest.raises(GuardError, match="lost"):
        in_world(world, main())
    assert world.jobs == {}
    assert open_lockfile(world).pending == {}


def test_the_same_content_is_known_again_whatever_version_began_it(world: World) -> None:
    run_once(world, ONE, pace=Pace(wait=False))
    draft = open_lockfile(world).pending["a"]
    (earlier,) = earlier_fingerprints(draft.request, draft.inputs)
    assert same_content(draft, draft)
    assert same_content(replace(draft, fingerprint=earlier), draft)
    assert not same_content(replace(draft, fingerprint="2:0"), draft)


# What an earlier version began.

CHANGED, NOTHING = DesiredState({"a": output("a", video={"fps": 30})}), DesiredState({})


def interrupted(world: World, desired: DesiredState, at: str) -> None:
    """Run, and die at this effect."""

    def on_effect(what: str) -> None:
        if what == at:
            world.crash_at = world.effects

    world.on_effect = on_effect
    with pytest.raises(Crash):
        run_once(world, desired)
    world.revive()
    world.on_effect = lambda _: None


def test_what_an_earlier_version_made_is_recorded_before_anything_else(world: World) -> None:
    """So it is ours, whatever becomes of the job that follows."""
    interrupted(world, ONE, "submitted: after")
    interrupted(world, CHANGED, "submit: before")
    made = open_lockfile(world).records["a"]
    assert (made.job, made.etag) == ("j" + "0" * 32, world.objects["out/a.mp4"].etag)
    assert run_once(world, CHANGED).failures == {}
    assert len(world.jobs) == 2


def test_nothing_is_made_again_when_the_earlier_version_is_what_is_wanted_after_all(world: World) -> None:
    run_once(world, ONE)
    interrupted(world, CHANGED, "intent: after")
    assert run_once(world, ONE).counts == {"none": 1}
    assert (len(world.jobs), open_lockfile(world).pending) == (1, {})


def test_the_job_of_what_is_no_longer_declared_is_not_forgotten(world: World) -> None:
    """Not before it can be shown that there is none: then nobody would know of what it makes."""
    world.visible_after = timedelta(seconds=30)
    interrupted(world, ONE, "submit: accepted")
    assert run_once(world, NOTHING).left == {"a": "j" + "0" * 32}
    assert run_once(world, NOTHING).counts == {"wait": 1}
    assert run_once(world, NOTHING, prune=True).counts == {"delete": 1}
    assert "out/a.mp4" not in world.objects


def test_what_is_no_longer_declared_and_had_no_effect_is_forgotten(world: World) -> None:
    interrupted(world, ONE, "submit: before")
    assert run_once(world, NOTHING).counts == {"forget": 1}
    assert open_lockfile(world).pending == {}


def test_what_was_made_after_all_is_not_made_anew_when_it_is_protected(world: World) -> None:
    world.visible_after = timedelta(seconds=30)
    interrupted(world, ONE, "submit: accepted")
    protected = DesiredState({"a": output("a", video={"fps": 30}, protect=True)})
    with pytest.raises(ApplyError):
        run_once(world, protected)
    with pytest.raises(ApplyError):
        run_once(world, protected)
    assert (len(world.jobs), open_lockfile(world).records["a"].protect) == (1, True)
