"""Applying: every effect is a crash point once, and whatever happens one wanted render is one job."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.messages import JobRequest
from reconciler.apply import Pace
from reconciler.errors import ApplyError, Interrupted, ServiceError
from reconciler.inflight import Bell
from reconciler.lockfile import Lockfile
from reconciler.report import Report
from reconciler.state import DesiredState, StoredObject
from reconciler.submitting import SUBMISSIONS, with_token
from tests.factory import output, request
from tests.simulation import Crash, SimulatedStore, World, open_lockfile, plan_once, run_once

SOURCES = {"in/a.mp4": "ea", "in/b.mp4": "eb", "in/c.mp4": "ec"}
DESIRED = DesiredState(
    {
        "a": output("a"),
        "b": output("b"),
        "c": output("c"),
        "d": output("d", "out/a.mp4", "in/b.mp4", upstream=("a",)),
        "e": output("e", "out/d.mp4", upstream=("d",)),
    }
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, SOURCES)


def settled(world: World, desired: DesiredState, **options: Any) -> bool:
    """Whether planning anew finds nothing to do."""
    world.revive()
    made, _, _ = asyncio.run(plan_once(world, desired, **options))
    return made.empty


def recorded(world: World) -> Lockfile:
    return Lockfile.load(world.folder / "reconciler.lock", world.folder / "state" / "journal")


def test_everything_is_made_once_and_a_second_run_does_nothing(world: World) -> None:
    report = run_once(world, DESIRED)
    assert report.counts == {"create": 5}
    assert {key: len(world.jobs_of(key)) for key in world.objects if key.startswith("out/")} == {
        f"out/{name}.mp4": 1 for name in "abcde"
    }
    assert settled(world, DESIRED)
    before = dict(world.jobs)
    assert run_once(world, DESIRED).counts == {}
    assert world.jobs.keys() == before.keys()


def test_what_is_made_of_another_output_comes_after_it_and_records_its_etag(world: World) -> None:
    run_once(world, DESIRED)
    order = [job["request"].operation[0].output.object for job in world.jobs.values()]
    assert order.index("out/a.mp4") < order.index("out/d.mp4") < order.index("out/e.mp4")
    assert recorded(world).records["d"].inputs == {"in/b.mp4": "eb", "out/a.mp4": world.objects["out/a.mp4"].etag}


def test_one_change_makes_one_video_anew(world: World) -> None:
    run_once(world, DESIRED)
    changed = DesiredState({**DESIRED.outputs, "c": output("c", video={"fps": 30})})
    report = run_once(world, changed)
    assert report.counts == {"replace": 1}
    assert len(world.jobs) == 6
    assert settled(world, changed)


def survive(world: World, desired: DesiredState, **options: Any) -> int:
    """Crash at effect 1, 2, 3 … of a run, each time in a new world, until the run survives; return how many."""
    point = 0
    while True:
        point += 1
        fresh = World(world.folder / str(point), SOURCES)
        fresh.folder.mkdir()
        fresh.crash_at = point
        try:
            run_once(fresh, desired, **options)
        except Crash:
            pass
        else:
            return point
        fresh.revive()
        run_once(fresh, desired, **options)
        jobs = {key: len(fresh.jobs_of(key)) for key in fresh.objects if key.startswith("out/")}
        assert jobs == {made.object: 1 for made in desired.outputs.values()}, f"crash point {point}"
        assert settled(fresh, desired), f"crash point {point}"
        assert recorded(fresh).pending == {}


def test_every_effect_is_a_crash_point(world: World) -> None:
    assert survive(world, DESIRED) > 50


def test_every_effect_of_a_replacing_and_pruning_run_is_a_crash_point(world: World) -> None:
    changed = DesiredState({"c": output("c", video={"fps": 30}), "x": output("x", "in/c.mp4")}, moved={"a": "x"})
    run_once(world, DESIRED)
    count = len(world.jobs)
    first = (world.folder / "reconciler.lock").read_bytes()
    objects = dict(world.objects)
    point = 0
    while True:
        point += 1
        fresh = World(world.folder / str(point), {})
        fresh.folder.mkdir()
        (fresh.folder / "reconciler.lock").write_bytes(first)
        fresh.objects, fresh.jobs = dict(objects), {name: dict(job) for name, job in world.jobs.items()}
        fresh.crash_at = point
        try:
            run_once(fresh, changed, prune=True)
        except Crash:
            fresh.revive()
            run_once(fresh, changed, prune=True)
        else:
            break
        assert len(fresh.jobs) == count + 2
        assert settled(fresh, changed, prune=True)
        assert sorted(key for key in fresh.objects if key.startswith("out/")) == ["out/c.mp4", "out/x.mp4"]
    assert point > 30


def test_two_crashes_in_a_row_are_survived(world: World) -> None:
    for first in range(5, 60, 6):
        for second in range(1, 40, 5):
            fresh = World(world.folder / f"{first}-{second}", SOURCES)
            fresh.folder.mkdir()
            for point in (first, second):
                fresh.revive()
                fresh.crash_at = point
                with contextlib.suppress(Crash):
                    run_once(fresh, DESIRED)
            fresh.revive()
            run_once(fresh, DESIRED)
            assert len(fresh.jobs) == 5
            assert settled(fresh, DESIRED)


def test_a_lost_answer_is_settled_in_the_same_run(world: World) -> None:
    world.lose_answer_of = {0, 2}
    assert run_once(world, DESIRED).counts == {"create": 5}
    assert len(world.jobs) == 5


def test_a_lost_answer_whose_job_appears_late_is_waited_for(world: World) -> None:
    world.lose_answer_of = {0}
    world.visible_after = timedelta(seconds=100)
    run_once(world, DESIRED, pace=Pace(parallelism=1, poll=1.0, visibility=120))
    assert len(world.jobs) == 5


def tokens(world: World) -> list[str]:
    """Return the token of every job, in the order in which they were made."""
    return [str(job["sent"].operation[0].user_data) for job in world.jobs.values()]


def test_beyond_the_bound_the_same_token_goes_out_again_and_the_pair_is_told(world: World) -> None:
    world.lose_answer_of = {0}
    world.visible_after = timedelta(seconds=15)
    world.a_job_takes = timedelta(seconds=9)
    one = DesiredState({"a": DESIRED.outputs["a"]})
    report = run_once(world, one, pace=Pace(poll=1.0, visibility=10))
    first, second = world.jobs
    assert len(set(tokens(world))) == 1
    assert [note for note in report.notes if "one submission became two jobs" in note] == [
        f"a: one submission became two jobs; {second} counts, {first} was cancelled"
    ]
    assert settled(world, one)


def test_what_was_never_found_keeps_its_token_for_the_next_run(world: World) -> None:
    one = DesiredState({"a": DESIRED.outputs["a"]})
    world.slow_downs = [ServiceError(500, "InternalError", "failed")] * 3
    with pytest.raises(ApplyError):
        run_once(world, one)
    token = recorded(world).pending["a"].token
    assert recorded(world).failures["a"].code == "InternalError"
    run_once(world, one)
    assert tokens(world) == [token]


def test_a_server_error_is_in_doubt_and_a_refusal_is_not(world: World) -> None:
    world.refuse_with = {0: ServiceError(500, "InternalError", "failed")}
    run_once(world, DesiredState({"a": DESIRED.outputs["a"]}))
    assert world.time - timedelta(seconds=120) >= World(world.folder, {}).time
    assert len(world.jobs) == 1
    world.refuse_with = {1: ServiceError(400, "InvalidArgument", "Width is odd")}
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({"b": DESIRED.outputs["b"]}))
    assert recorded(world).pending == {}
    assert recorded(world).failures["b"].message == "Width is odd"


def test_a_request_that_timed_out_at_a_proxy_is_in_doubt(world: World) -> None:
    world.slow_downs = [ServiceError(408, "Unknown", "Request Timeout")]
    world.accepts_all_the_same = True
    assert run_once(world, DESIRED).counts == {"create": 5}
    assert len(world.jobs) == 5


@pytest.mark.parametrize("dies", [True, False])
def test_a_job_that_was_begun_after_a_failure_is_never_begun_again(world: World, *, dies: bool) -> None:
    one = DesiredState({"a": DESIRED.outputs["a"]})
    world.broken = {"in/a.mp4"}
    with pytest.raises(ApplyError):
        run_once(world, one)
    world.broken = set()
    if dies:
        world.on_effect = lambda what: setattr(world, "crash_at", world.effects if what == "submitted: after" else None)
    with contextlib.suppress(Crash):
        run_once(world, one, pace=Pace(wait=dies))
    world.on_effect = lambda _: None
    for _ in range(2):
        world.revive()
        run_once(world, one, pace=Pace(wait=False))
    run_once(world, one)
    assert len(world.jobs) == 2
    assert settled(world, one)


def test_a_job_that_the_service_does_not_know_yet_is_waited_for(world: World) -> None:
    world.known_after = timedelta(seconds=60)
    assert run_once(world, DESIRED).counts == {"create": 5}
    assert len(world.jobs) == 5


def test_a_job_that_the_next_run_does_not_find_at_first_is_not_made_twice(world: World, tmp_path: Path) -> None:
    one = DesiredState({"a": DESIRED.outputs["a"]})
    run_once(world, one)
    for effect in range(1, world.effects + 1):
        fresh = World(tmp_path / str(effect), SOURCES)
        fresh.folder.mkdir()
        fresh.known_after = fresh.visible_after = timedelta(seconds=100)
        fresh.crash_at = effect
        with contextlib.suppress(Crash):
            run_once(fresh, one)
        fresh.revive()
        run_once(fresh, one)
        assert len(fresh.jobs) == 1, f"crash point {effect}"


SLOW_DOWN = ServiceError(503, "SlowDown", "no room")


@pytest.mark.parametrize("error", [SLOW_DOWN, ServiceError(429, "Novel", "no room")])
def test_what_the_service_has_no_room_for_is_submitted_again(world: World, error: ServiceError) -> None:
    world.slow_downs = [error] * 12
    assert run_once(world, DESIRED).counts == {"create": 5}
    assert len(world.jobs) == 5


def test_a_job_that_was_made_although_the_service_said_slow_down_is_not_made_twice(world: World) -> None:
    world.slow_downs = [SLOW_DOWN] * 2
    world.accepts_all_the_same = True
    assert run_once(world, DESIRED).counts == {"create": 5}
    assert len(world.jobs) == 5


def test_a_service_that_never_has_room_is_given_up(world: World) -> None:
    world.slow_downs = [SLOW_DOWN] * 100
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({"a": DESIRED.outputs["a"]}))
    assert recorded(world).failures["a"].message == "the service had no room for the job, 10 times in a row"
    assert recorded(world).pending["a"].sends == SUBMISSIONS
    assert len(world.slow_downs) == 100 - SUBMISSIONS


def test_dying_between_two_submissions_of_a_job_makes_it_once(world: World, tmp_path: Path) -> None:
    one = DesiredState({"a": DESIRED.outputs["a"]})
    world.slow_downs = [SLOW_DOWN] * 2
    run_once(world, one)
    for effect in range(1, world.effects + 1):
        fresh = World(tmp_path / str(effect), SOURCES)
        fresh.folder.mkdir()
        fresh.visible_after = timedelta(seconds=100)
        fresh.slow_downs = [SLOW_DOWN] * 2
        fresh.crash_at = effect
        with contextlib.suppress(Crash):
            run_once(fresh, one)
        fresh.revive()
        run_once(fresh, one)
        assert len(fresh.jobs) == 1


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=-1)])
def test_a_clock_that_is_set_right_between_two_runs_hides_no_job(
    world: World, tmp_path: Path, ahead: timedelta
) -> None:
    one = DesiredState({"a": DESIRED.outputs["a"]})
    world.ahead = ahead
    run_once(world, one)
    for effect in range(1, world.effects + 1):
        fresh = World(tmp_path / str(effect), SOURCES)
        fresh.folder.mkdir()
        fresh.ahead = ahead
        fresh.crash_at = effect
        with contextlib.suppress(Crash):
            run_once(fresh, one)
        fresh.revive()
        fresh.time, fresh.ahead = fresh.time + ahead, timedelta(0)
        run_once(fresh, one)
        assert len(fresh.jobs) == 1


def test_a_run_that_is_stopped_while_it_waits_for_its_turn_submits_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()

    async def turn(_: object) -> None:
        stop.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("tests.simulation.SimulatedClient.turn", turn)
    with pytest.raises(Interrupted):
        run_once(world, DESIRED, stop=stop)
    assert not world.jobs
    assert not recorded(world).pending


def test_a_failure_leaves_the_others_and_is_tried_again_by_the_next_apply(world: World) -> None:
    world.broken = {"in/c.mp4"}
    with pytest.raises(ApplyError, match="1 output could not be made") as caught:
        run_once(world, DESIRED)
    assert caught.value.exit_code == 1
    assert sorted(recorded(world).records) == ["a", "b", "d", "e"]
    assert recorded(world).failures["c"].message == "moov atom not found"
    world.broken = set()
    world.revive()
    assert run_once(world, DESIRED).counts == {"create": 1}
    assert recorded(world).failures == {}
    assert len(world.jobs) == 6


def test_what_is_made_of_a_failed_output_is_not_begun(world: World) -> None:
    world.broken = {"in/a.mp4"}
    report = Report()
    with pytest.raises(ApplyError, match="3 outputs"):
        report = run_once(world, DESIRED)
    assert report.counts == {}
    assert sorted(recorded(world).records) == ["b", "c"]
    assert len(world.jobs) == 3


def test_fail_fast_begins_nothing_after_a_failure(world: World) -> None:
    world.broken = {"in/a.mp4"}
    with pytest.raises(ApplyError):
        run_once(world, DESIRED, pace=Pace(parallelism=1, poll=1.0, fail_fast=True))
    assert len(world.jobs) == 1


def test_an_object_that_is_not_what_the_job_reported_is_a_failure(world: World) -> None:
    def tamper(what: str) -> None:
        if what == "head_object":
            world.objects["out/a.mp4"] = StoredObject("tampered", 7)

    world.on_effect = tamper
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({"a": DESIRED.outputs["a"]}))
    assert "out/a.mp4: its ETag is tampered, the job said " in recorded(world).failures["a"].message


def test_an_object_that_is_missing_after_success_is_a_failure(world: World) -> None:
    def vanish(what: str) -> None:
        if what == "head_object":
            world.objects.pop("out/a.mp4", None)

    world.on_effect = vanish
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({"a": DESIRED.outputs["a"]}))
    assert recorded(world).failures["a"].message == "the job reports Success, but out/a.mp4 is not there"


def test_stopped_runs_submit_nothing_more_and_the_next_picks_up(world: World) -> None:
    for after in range(1, 12):
        fresh = World(world.folder / str(after), SOURCES)
        fresh.folder.mkdir()
        stop = asyncio.Event()
        count = 0

        def press(what: str, stop: asyncio.Event = stop, after: int = after) -> None:
            nonlocal count
            count += what == "jobs" or what.startswith("submit")
            if count >= after:
                stop.set()

        fresh.on_effect = press
        with pytest.raises(Interrupted) as caught:
            run_once(fresh, DESIRED, stop=stop)
        assert caught.value.exit_code == 130
        submitted = len(fresh.jobs)
        assert submitted < 5
        fresh.on_effect = lambda _: None
        run_once(fresh, DESIRED)
        assert len(fresh.jobs) == 5
        assert settled(fresh, DESIRED)


def test_without_waiting_jobs_are_left_and_the_next_apply_records_them(world: World) -> None:
    report = run_once(world, DESIRED, pace=Pace(wait=False))
    assert sorted(report.left) == ["a", "b", "c"]
    assert recorded(world).records == {}
    report = run_once(world, DESIRED)
    assert report.counts == {"wait": 3, "create": 2}
    assert len(world.jobs) == 5


def test_a_job_of_an_earlier_version_ends_before_the_new_one_is_submitted(world: World) -> None:
    run_once(world, DesiredState({"c": output("c")}), pace=Pace(wait=False))
    changed = DesiredState({"c": output("c", video={"fps": 30})})
    run_once(world, changed)
    assert [job["state"] for job in world.jobs.values()] == ["Success", "Success"]
    assert settled(world, changed)


def test_adopting_takes_the_object_as_it_is(world: World) -> None:
    world.objects["out/a.mp4"] = StoredObject("theirs", 9)
    desired = DesiredState({"a": output("a", adopt=True)})
    assert run_once(world, desired).counts == {"adopt": 1}
    assert recorded(world).records["a"].etag == "theirs"
    assert world.jobs == {}
    assert settled(world, desired)


def test_pruning_deletes_last_and_only_after_success(world: World) -> None:
    run_once(world, DESIRED)
    world.broken = {"in/b.mp4"}
    less = DesiredState({"b": output("b", video={"fps": 30})})
    with pytest.raises(ApplyError):
        run_once(world, less, prune=True)
    assert "out/a.mp4" in world.objects
    world.broken = set()
    report = run_once(world, less, prune=True)
    assert report.counts == {"replace": 1, "delete": 4}
    assert sorted(key for key in world.objects if key.startswith("out/")) == ["out/b.mp4"]


def test_an_object_changed_since_the_plan_is_not_deleted(world: World) -> None:
    run_once(world, DESIRED)
    world.on_effect = lambda what: (
        world.objects.update({"out/a.mp4": StoredObject("other", 1)}) if what == "head_object" else None
    )
    less = replace(DESIRED, outputs={name: made for name, made in DESIRED.outputs.items() if name in "bc"})
    with pytest.raises(ApplyError):
        run_once(world, less, prune=True)
    assert world.objects["out/a.mp4"].etag == "other"


SEGMENTS = ["out/0-00000.ts", "out/0-00001.ts"]


def with_segments(world: World) -> None:
    """Make one output, and let it be a playlist whose segments are there."""
    run_once(world, DesiredState({"a": output("a")}))
    world.objects |= {key: StoredObject("segment", 1) for key in SEGMENTS}
    lockfile = open_lockfile(world)

    async def amend() -> None:
        await lockfile.begin()
        await lockfile.amend("a", replace(lockfile.records["a"], files=SEGMENTS))
        await lockfile.checkpoint()

    asyncio.run(amend())
    lockfile.close()
    world.effects = 0


def test_what_belongs_to_an_output_is_deleted_before_it(world: World) -> None:
    with_segments(world)
    left: list[list[str]] = []
    world.on_effect = lambda what: left.append(made_keys(world)) if what == "delete_object: after" else None
    assert run_once(world, DesiredState({}), prune=True).counts == {"delete": 1}
    assert left == [[SEGMENTS[1], "out/a.mp4"], ["out/a.mp4"], []]
    assert recorded(world).records == {}


def made_keys(world: World) -> list[str]:
    return sorted(key for key in world.objects if key.startswith("out/"))


def test_dying_while_segments_are_deleted_leaves_none_behind(world: World, tmp_path: Path) -> None:
    with_segments(world)
    run_once(world, DesiredState({}), prune=True)
    for effect in range(1, world.effects + 1):
        fresh = World(tmp_path / str(effect), SOURCES)
        fresh.folder.mkdir()
        with_segments(fresh)
        fresh.crash_at = effect
        with contextlib.suppress(Crash):
            run_once(fresh, DesiredState({}), prune=True)
        fresh.revive()
        run_once(fresh, DesiredState({}), prune=True)
        assert (made_keys(fresh), recorded(fresh).records) == ([], {}), f"crash point {effect}"


def test_segments_of_an_object_that_changed_since_the_plan_are_kept_with_it(world: World) -> None:
    with_segments(world)
    world.on_effect = lambda what: (
        world.objects.update({"out/a.mp4": StoredObject("other", 1)}) if what == "head_object" else None
    )
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({}), prune=True)
    assert made_keys(world) == [*SEGMENTS, "out/a.mp4"]
    assert recorded(world).records["a"].files == SEGMENTS


class Listening(Report):
    """Keeps what is said of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("told", "notes"),
    [
        ({"engine": "ffmpeg 7.1", "message": "in/a.mp4 is HDR"}, ["a: in/a.mp4 is HDR"]),
        ({"engine": "ffmpeg 7.1"}, []),
        pytest.param({"message": "Success"}, [], id="the cloud's says no more than that it is done"),
        ({}, []),
    ],
)
def test_what_was_done_to_sources_is_told_with_the_address(
    world: World, monkeypatch: pytest.MonkeyPatch, told: dict[str, str], notes: list[str]
) -> None:
    describe = World.describe
    monkeypatch.setattr(World, "describe", lambda self, name: describe(self, name).model_copy(update=told))
    monkeypatch.setattr("tests.simulation.Report", Listening)
    report = run_once(world, DesiredState({"a": output("a")}))
    assert isinstance(report, Listening)
    assert report.notes == notes
    assert recorded(world).records["a"].engine == told.get("engine")


def test_a_stop_ends_the_deleting(world: World) -> None:
    run_once(world, DESIRED)
    stop = asyncio.Event()
    world.on_effect = lambda what: stop.set() if what == "delete_object: after" else None
    with pytest.raises(Interrupted):
        run_once(world, DesiredState({"b": DESIRED.outputs["b"]}), prune=True, stop=stop)
    assert len([key for key in world.objects if key.startswith("out/")]) == 4


def test_a_moved_address_makes_nothing_anew(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    moved = DesiredState({"z": output("z", "in/a.mp4", key="out/a.mp4")}, moved={"a": "z"})
    assert run_once(world, moved).counts == {}
    assert list(recorded(world).records) == ["z"]
    assert len(world.jobs) == 1
    assert settled(world, moved)


def test_blocked_and_conflicting_outputs_fail_the_run_after_the_others_are_made(world: World) -> None:
    world.objects["out/b.mp4"] = StoredObject("theirs", 1)
    desired = DesiredState({"a": output("a"), "b": output("b"), "z": output("z")})
    with pytest.raises(ApplyError, match="2 outputs could not be made"):
        run_once(world, desired)
    assert list(recorded(world).records) == ["a"]


@pytest.mark.parametrize("text", [None, "This is my data.", "trailing space "])
def test_the_token_travels_behind_the_users_own_text(text: str | None) -> None:
    plain = request()
    given = plain.model_copy(update={"operation": (plain.operation[0].model_copy(update={"user_data": text}),)})
    sent = with_token(given, "reconciler:1:abc:0")
    assert isinstance(sent, JobRequest)
    assert (sent.operation[0].user_data or "").endswith("reconciler:1:abc:0")
    assert (sent.operation[0].user_data or "").removesuffix("reconciler:1:abc:0") == (f"{text} " if text else "")


def test_the_lockfile_of_a_simulated_world_is_the_real_one(world: World) -> None:
    run_once(world, DESIRED)
    assert open_lockfile(world).records == recorded(world).records


def test_protection_is_recorded_without_making_anything_anew(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    kept = DesiredState({"a": output("a", protect=True)})
    assert run_once(world, kept).counts == {}
    assert recorded(world).records["a"].protect is True
    with pytest.raises(ApplyError):
        run_once(world, DesiredState({}), prune=True)
    assert "out/a.mp4" in world.objects
    assert len(world.jobs) == 1


def test_a_renamed_entry_that_is_told_to_adopt_never_loses_its_object(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    renamed = DesiredState({"z": output("z", "in/a.mp4", key="out/a.mp4", adopt=True)})
    assert run_once(world, renamed).counts == {}
    assert run_once(world, renamed, prune=True).counts == {}
    assert "out/a.mp4" in world.objects
    assert list(recorded(world).records) == ["z"]


def test_times_are_recorded_in_utc(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    record = recorded(world).records["a"]
    assert (record.created, record.finished) == ("2026-05-01T02:00:00+00:00", "2026-05-01T02:00:09+00:00")


def test_a_job_that_is_under_way_moves_with_its_renamed_output(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}), pace=Pace(wait=False))
    renamed = DesiredState({"z": output("z", "in/a.mp4", key="out/a.mp4")})
    assert run_once(world, renamed).counts == {"wait": 1}
    assert len(world.jobs) == 1
    assert settled(world, renamed)


def test_the_bound_counts_from_the_lost_answer(world: World) -> None:
    """The service may have taken the call at its very end; only from then on is the job bound to appear."""
    world.lose_answer_of = {0}
    world.visible_after = timedelta(seconds=9)
    world.answer_takes = timedelta(seconds=29)
    one = DesiredState({"a": DESIRED.outputs["a"]})
    assert run_once(world, one, pace=Pace(poll=1.0, visibility=10)).counts == {"create": 1}
    assert len(world.jobs) == 1


def test_what_declared_outputs_are_made_of_is_not_pruned(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    reader = DesiredState({"n": output("n", "out/a.mp4")})
    assert run_once(world, reader, prune=True).counts == {"create": 1}
    assert "out/a.mp4" in world.objects


@pytest.mark.parametrize("rings", [True, False])
def test_jobs_are_given_the_address_for_callbacks_and_nothing_of_it_is_recorded(world: World, *, rings: bool) -> None:
    """With callbacks or without a single one, everything is made once; the world ends a job when it is asked twice."""
    bell = Bell("http://192.0.2.7:9000/secret")

    def ring(what: str) -> None:
        if rings and what == "jobs":
            for job in world.jobs:
                bell.ring(job)

    world.on_effect = ring
    assert run_once(world, DESIRED, bell=bell).counts == {"create": 5}
    sent = {(job["request"].call_back, job["request"].call_back_format) for job in world.jobs.values()}
    assert sent == {("http://192.0.2.7:9000/secret", "JSON")}
    assert len(world.jobs) == 5
    assert "192.0.2.7" not in (world.folder / "reconciler.lock").read_text()
    assert settled(world, DESIRED)


def test_a_callback_of_the_manifests_own_stays(world: World) -> None:
    own = output("a")
    own = replace(own, request=own.request.model_copy(update={"call_back": "no"}))
    run_once(world, DesiredState({"a": own}), bell=Bell("http://192.0.2.7:9000/secret"))
    (job,) = world.jobs.values()
    assert job["request"].call_back == "no"


# What fails, what passes, what is copied.


def test_a_job_that_failed_for_a_passing_reason_is_made_once_more(world: World) -> None:
    world.passing = {"in/a.mp4": 2}
    report = run_once(world, DesiredState({"a": output("a")}))
    assert report.counts == {"create": 1}
    assert [job["state"] for job in world.jobs.values()] == ["Failed", "Failed", "Success"]
    assert [note for note in report.notes if "made once more" in note] == [
        "a: InternalError: try again; made once more in 1 s",
        "a: InternalError: try again; made once more in 2 s",
    ]


def test_what_fails_is_tried_by_three_applies_and_then_left_to_a_person(world: World) -> None:
    one = DesiredState({"a": output("a")})
    world.broken = {"in/a.mp4"}
    for attempts in (1, 2, 3):
        with pytest.raises(ApplyError):
            run_once(world, one)
        assert recorded(world).failures["a"].attempts == attempts
    assert [text.partition(" ")[2] for text in recorded(world).failures["a"].earlier] == [
        "InvalidSource: moov atom not found"
    ] * 2
    with pytest.raises(ApplyError):
        run_once(world, one)
    assert len(world.jobs) == 3
    world.broken = set()
    assert run_once(world, one, replace_addresses=["a"]).counts == {"create": 1}
    assert recorded(world).failures == {}


def test_a_change_of_what_failed_starts_anew(world: World) -> None:
    world.broken = {"in/a.mp4"}
    for fps in (24, 25, 30, 50):
        with pytest.raises(ApplyError):
            run_once(world, DesiredState({"a": output("a", video={"fps": fps})}))
        assert recorded(world).failures["a"].attempts == 1
    assert len(world.jobs) == 4


def test_the_same_content_at_another_key_is_copied(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    both = DesiredState({"a": output("a"), "b": output("b", "in/a.mp4")})
    assert run_once(world, both).counts == {"reuse": 1}
    assert (len(world.jobs), world.copies) == (1, 1)
    assert recorded(world).records["b"].job == recorded(world).records["a"].job
    assert settled(world, both)


def test_a_changed_key_costs_a_copy_and_going_back_costs_nothing(world: World) -> None:
    there, elsewhere = (DesiredState({"a": output("a", key=key)}) for key in ("out/a.mp4", "out/b.mp4"))
    run_once(world, there)
    assert run_once(world, elsewhere).counts == {"reuse": 1}
    assert settled(world, elsewhere)
    assert run_once(world, there).counts == {"adopt": 1, "forget": 1}
    assert settled(world, there)
    assert (len(world.jobs), world.copies) == (1, 1)
    assert run_once(world, there, prune=True).counts == {"delete": 1}
    assert "out/b.mp4" not in world.objects


def test_a_copy_whose_source_changes_in_between_fails_and_is_made_by_the_next_run(world: World) -> None:
    run_once(world, DesiredState({"a": output("a")}))
    both = DesiredState({"a": output("a"), "b": output("b", "in/a.mp4")})

    def overwrite(what: str) -> None:
        if what == "copy_object: before":
            world.objects["out/a.mp4"] = StoredObject("other", 7)

    world.on_effect = overwrite
    with pytest.raises(ApplyError):
        run_once(world, both)
    assert recorded(world).failures["b"].message == "out/a.mp4 has changed since the plan was made; plan again"
    world.on_effect = lambda _: None
    run_once(world, both)
    assert settled(world, both)
    assert recorded(world).records["b"].etag == world.objects["out/b.mp4"].etag


def test_an_upstream_that_comes_out_the_same_spares_what_is_made_of_it(world: World) -> None:
    run_once(world, DESIRED)
    before = len(world.jobs)
    report = run_once(world, DESIRED, replace_addresses=["a"])
    assert report.counts == {"replace": 1, "none": 2}
    assert len(world.jobs) == before + 1
    assert settled(world, DESIRED)


def test_a_source_that_changes_while_its_job_runs_is_made_anew_by_the_next_run(world: World) -> None:
    one = DesiredState({"a": output("a")})

    def swap(what: str) -> None:
        if what == "submit: accepted":
            world.objects["in/a.mp4"] = StoredObject("newer", 1)

    world.on_effect = swap
    run_once(world, one)
    world.on_effect = lambda _: None
    assert run_once(world, one).counts == {"replace": 1}
    assert settled(world, one)


def test_a_lost_lockfile_costs_nothing_to_get_back(world: World) -> None:
    run_once(world, DESIRED)
    before = len(world.jobs)
    (world.folder / "reconciler.lock").unlink()
    assert run_once(world, DESIRED).counts == {"adopt": 5}
    assert len(world.jobs) == before
    assert settled(world, DESIRED)


def test_a_store_that_answers_no_more_does_not_hold_up_a_run_that_is_to_stop(world: World) -> None:
    """As a lockfile in the bucket of a service that is mute: its journal has everything, so nothing is waited for."""
    stop = asyncio.Event()

    def mute(what: str) -> None:
        if what == "submit: accepted":
            stop.set()

    world.on_effect = mute
    fold = SimulatedStore.fold

    async def hanging(store: SimulatedStore, text: str | None, lines: str, *, empty: bool) -> None:
        if stop.is_set():
            await asyncio.Event().wait()
        await fold(store, text, lines, empty=empty)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedStore, "fold", hanging)
        with pytest.raises(Interrupted):
            run_once(world, DESIRED, stop=stop)
    assert recorded(world).pending
    world.on_effect = lambda _: None
    run_once(world, DESIRED)
    assert len(world.jobs) == 5
    assert settled(world, DESIRED)
