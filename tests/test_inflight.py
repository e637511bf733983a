"""The queue keeps the order of dependency; the poller asks for all jobs together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.messages import Job
from reconciler.client import Client
from reconciler.errors import ClientError
from reconciler.inflight import MISSED, PATIENCE, Bell, Poller, Queue, came, queue_of
from reconciler.plan import RENDERS, Action
from reconciler.project import QueueLimits


def actions(**upstream: str) -> dict[str, Action]:
    """Return one create action for each name, made of those that its letters name."""
    return {
        name: Action(name, "create", "", f"{name}.mp4", upstream={other: f"{other}.mp4" for other in names})
        for name, names in upstream.items()
    }


def order(queue: Queue, failing: str = "") -> list[str]:
    async def work() -> list[str]:
        taken = []
        while (action := await queue.take(asyncio.Event())) is not None:
            taken.append(action.address)
            await queue.settle(action.address, succeeded=action.address not in failing)
        return taken

    return asyncio.run(work())


def test_what_something_is_made_of_comes_first() -> None:
    assert order(Queue(actions(a="bc", b="d", c="", d=""))) == ["c", "d", "b", "a"]


def test_what_depends_on_a_failure_is_never_taken() -> None:
    queue = Queue(actions(a="b", b="", c="a", d=""))
    assert order(queue, failing="b") == ["b", "d"]
    assert queue.unreachable == ["a", "c"]


def test_several_workers_wait_for_each_other() -> None:
    queue = Queue(actions(a="b", b="c", c=""))
    taken: list[str] = []

    async def work() -> None:
        while (action := await queue.take(asyncio.Event())) is not None:
            taken.append(action.address)
            await asyncio.sleep(0)
            await queue.settle(action.address, succeeded=True)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(3)))

    asyncio.run(asyncio.wait_for(main(), 5))
    assert taken == ["c", "b", "a"]


def test_those_who_wait_begin_as_soon_as_something_is_ready() -> None:
    async def main() -> None:
        queue = Queue(actions(a="z", b="z", c="y", y="", z=""))
        assert await taken_of(queue) == ["y", "z"]
        waiting = [asyncio.create_task(queue.take(asyncio.Event())) for _ in range(3)]
        await settled()
        await queue.settle("z", succeeded=True)
        await settled()
        begun = [task.result() for task in waiting if task.done()]
        assert [action.address for action in begun if action] == ["a", "b"]
        for address in "yab":
            await queue.settle(address, succeeded=True)
        last = await asyncio.wait_for(waiting[2], 5)
        assert last is not None
        assert last.address == "c"

    asyncio.run(main())


def test_nothing_is_taken_after_a_stop_or_a_drain() -> None:
    queue = Queue(actions(a="", b=""))
    stop = asyncio.Event()
    stop.set()
    assert asyncio.run(queue.take(stop)) is None
    queue.drain()
    assert order(queue) == []


# Limits of the service's queues.


def jobs(**queues: str | None) -> dict[str, Action]:
    """Return one create action for each name, in the queue that is given."""
    return {
        name: Action(name, "create", "", f"{name}.mp4", request={"queue_id": queue} if queue else {})
        for name, queue in queues.items()
    }


async def taken_of(queue: Queue) -> list[str]:
    """Take what may begin now, and return the addresses."""
    found: list[str] = []
    while True:
        taking = asyncio.create_task(queue.take(asyncio.Event()))
        await settled()
        if not taking.done():
            taking.cancel()
            return found
        if (action := taking.result()) is None:
            return found
        found.append(action.address)


def test_where_the_limit_is_reached_others_go_first_and_the_order_is_kept() -> None:
    async def main() -> None:
        queue = Queue(jobs(a="p1", b="p1", c="p1", d="p2", e=None, f="p1"), {"p1": QueueLimits(parallelism=2)})
        assert await taken_of(queue) == ["a", "b", "d", "e"]
        await queue.settle("d", succeeded=True)
        assert await taken_of(queue) == []
        await queue.settle("b", succeeded=False)
        assert await taken_of(queue) == ["c"]
        await queue.settle("a", succeeded=True)
        await queue.settle("c", succeeded=True)
        assert await taken_of(queue) == ["f"]
        await queue.settle("f", succeeded=True)
        await queue.settle("e", succeeded=True)
        assert await taken_of(queue) == []

    asyncio.run(main())


def test_every_queue_has_its_own_limit_and_default_is_of_jobs_that_name_none() -> None:
    limits = {"p1": QueueLimits(parallelism=1), "default": QueueLimits(parallelism=2), "p2": QueueLimits()}
    queue = Queue(jobs(a="p1", b="p1", c=None, d=None, e=None, f="p2", g="p2", h="p2"), limits)
    assert asyncio.run(taken_of(queue)) == ["a", "c", "d", "f", "g", "h"]


def test_a_job_that_was_submitted_before_counts_and_is_not_held_back() -> None:
    async def main() -> None:
        actions = jobs(a="p1", b="p1", x="p1", y="p1")
        for address in "xy":
            actions[address] = replace(actions[address], kind="wait")
        queue = Queue(actions, {"p1": QueueLimits(parallelism=2)})
        assert await taken_of(queue) == ["x", "y"]
        await queue.settle("y", succeeded=True)
        assert await taken_of(queue) == ["a"]
        await queue.settle("x", succeeded=True)
        assert await taken_of(queue) == ["b"]

    asyncio.run(main())


def test_a_job_in_flight_that_waits_for_its_input_does_not_stand_in_the_inputs_way() -> None:
    actions = jobs(a="p1", b="p1")
    actions["a"] = replace(actions["a"], kind="wait", upstream={"b": "b.mp4"})
    assert order(Queue(actions, {"p1": QueueLimits(parallelism=1)})) == ["b", "a"]


def test_what_makes_no_job_takes_no_place() -> None:
    actions = jobs(a="p1", b="p1", c="p1")
    for address in "ab":
        actions[address] = replace(actions[address], kind="adopt")
    queue = Queue(actions, {"p1": QueueLimits(parallelism=1)})
    assert asyncio.run(taken_of(queue)) == ["a", "b", "c"]


def test_what_becomes_ready_is_limited_too() -> None:
    actions = jobs(a="p1", b="p1", c="p1")
    actions |= {name: replace(actions[name], upstream={"a": "a.mp4"}) for name in "bc"}

    async def main() -> None:
        queue = Queue(actions, {"p1": QueueLimits(parallelism=1)})
        assert await taken_of(queue) == ["a"]
        await queue.settle("a", succeeded=True)
        assert await taken_of(queue) == ["b"]

    asyncio.run(main())


def test_a_drained_queue_lets_its_workers_go_whatever_was_held_back() -> None:
    async def main() -> None:
        queue = Queue(jobs(a="p1", b="p1", c="p1"), {"p1": QueueLimits(parallelism=1)})
        assert (await queue.take(asyncio.Event())) is not None
        waiting = [asyncio.create_task(queue.take(asyncio.Event())) for _ in range(5)]
        await settled()
        queue.drain()
        await queue.settle("a", succeeded=False)
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [None] * 5

    asyncio.run(main())


def test_a_hundred_thousand_actions_wait_for_one_place_without_being_looked_at() -> None:
    """To look at each of them whenever a place is free would be five thousand million looks."""
    many, workers = 100_000, 100
    queue = Queue(jobs(**{f"a{number:06}": "p1" for number in range(many)}), {"p1": QueueLimits(parallelism=1)})
    taken: list[str] = []
    at_once: set[str] = set()

    async def work() -> None:
        while (action := await queue.take(asyncio.Event())) is not None:
            at_once.add(action.address)
            assert len(at_once) == 1
            if len(taken) % 1000 == 0:
                await asyncio.sleep(0)
            taken.append(action.address)
            at_once.remove(action.address)
            await queue.settle(action.address, succeeded=True)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(workers)))

    asyncio.run(main())
    assert taken == [f"a{number:06}" for number in range(many)]


@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(["p1", "p2", "p3", None]), st.sampled_from(["create", "replace", "wait", "adopt"])),
        max_size=30,
    ),
    limits=st.dictionaries(st.sampled_from(["p1", "p2", "default"]), st.integers(1, 3)),
    workers=st.integers(1, 8),
    chance=st.randoms(use_true_random=False),
)
def test_everything_is_taken_once_within_the_limits(
    kinds: list[tuple[str | None, Any]], limits: dict[str, int], workers: int, chance: Random
) -> None:
    actions = {
        f"a{number:02}": Action(
            f"a{number:02}",
            kind,
            "",
            f"{number}.mp4",
            request={"queue_id": queue},
            upstream={f"a{other:02}": "x" for other in chance.sample(range(number), min(number, chance.randint(0, 2)))},
        )
        for number, (queue, kind) in enumerate(kinds)
    }
    queue = Queue(actions, {name: QueueLimits(parallelism=most) for name, most in limits.items()})
    taken: list[str] = []
    flying: list[Action] = []

    async def work() -> None:
        while (action := await queue.take(asyncio.Event())) is not None:
            taken.append(action.address)
            flying.append(action)
            mine = queue_of(action.request)
            fresh = [other for other in flying if other.kind in RENDERS and queue_of(other.request) == mine]
            assert len(fresh) <= limits.get(mine, len(actions))
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
            flying.remove(action)
            await queue.settle(action.address, succeeded=True)

    async def main() -> None:
        await asyncio.wait_for(asyncio.gather(*(work() for _ in range(workers))), 2)

    asyncio.run(main())
    assert sorted(taken) == sorted(actions)
    assert queue.unreachable == []


class Scripted(Client):
    """Answers each question with the next of the given replies."""

    def __init__(self, *replies: dict[str, str] | ClientError) -> None:
        self.replies = list(replies)
        self.asked: list[list[str]] = []

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        self.asked.append(list(ids))
        reply = self.replies.pop(0)
        if isinstance(reply, ClientError):
            raise reply
        return {name: Job(job_id=name, state=state, progress=7) for name, state in reply.items()}


async def follow(client: Scripted, *names: str, visibility: float = 0.0) -> tuple[list[Job | BaseException], list[str]]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    heard: list[str] = []
    poller = Poller(client, sleep, 0.1, visibility=visibility)
    ended = [poller.watch(name, lambda job: heard.append(f"{job.job_id} {job.state}")) for name in names]
    task = asyncio.create_task(poller.run())
    outcomes = await asyncio.gather(*ended, return_exceptions=True)
    task.cancel()
    before_answers = [round(pause, 9) for pause in pauses[: len(client.asked)]]
    assert before_answers == sorted(before_answers)
    assert max(before_answers) <= 0.1
    return outcomes, heard


def test_what_takes_long_is_asked_about_less_often_than_what_was_just_begun() -> None:
    asked: list[tuple[float, list[str]]] = []
    one_minute, two_minutes = asyncio.Event(), asyncio.Event()
    now = 0.0

    class Endless(Client):
        def __init__(self) -> None:
            """Nothing to connect to."""

        async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
            asked.append((now, list(ids)))
            return {name: Job(job_id=name, state="Running") for name in ids}

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        for minute, event in ((60.0, one_minute), (120.0, two_minutes)):
            if now >= minute:
                event.set()
        await asyncio.sleep(0)

    async def main() -> None:
        poller = Poller(Endless(), sleep, 5.0)
        poller.watch("old", lambda _: None)
        task = asyncio.create_task(poller.run())
        await one_minute.wait()
        poller.watch("new", lambda _: None)
        await two_minutes.wait()
        task.cancel()

    asyncio.run(main())
    since = [ids for time, ids in asked if time >= 60.0]
    assert len([ids for ids in since if "new" in ids]) > len([ids for ids in since if "old" in ids]) + 5
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(e for e in asked if "old" in e[1])]
    assert 4.9 <= max(gaps) <= 5.1


def test_all_jobs_are_asked_for_together_until_they_end() -> None:
    client = Scripted({"j1": "Running", "j2": "Submitted"}, {"j1": "Success", "j2": "Running"}, {"j2": "Failed"})
    outcomes, heard = asyncio.run(follow(client, "j1", "j2"))
    assert [outcome.state for outcome in outcomes if isinstance(outcome, Job)] == ["Success", "Failed"]
    assert heard == ["j1 Running", "j2 Submitted", "j2 Running"]
    assert client.asked == [["j1", "j2"], ["j1", "j2"], ["j2"]]


@pytest.mark.parametrize(
    ("reply", "message"),
    [({}, "does not know job j1"), (ClientError("GET /jobs: no answer"), "GET /jobs: no answer")],
)
def test_a_job_that_cannot_be_asked_about_ends_with_an_error(reply: dict[str, str] | ClientError, message: str) -> None:
    outcomes, _ = asyncio.run(follow(Scripted(reply), "j1"))
    assert isinstance(outcomes[0], ClientError)
    assert message in str(outcomes[0])


def test_an_accepted_job_may_be_unknown_for_a_while() -> None:
    client = Scripted({}, {"j2": "Running"}, {"j1": "Running", "j2": "Success"}, {}, {}, {}, {}, {}, {})
    outcomes, heard = asyncio.run(follow(client, "j1", "j2", visibility=0.3))
    assert [type(outcome) for outcome in outcomes] == [ClientError, Job]
    assert "j1 Running" in heard
    assert len(client.asked) == 7


@pytest.mark.parametrize(
    ("comes", "stops", "came_first"), [(True, False, True), (False, True, False), (True, True, True)]
)
def test_what_comes_before_the_stop_has_come(*, comes: bool, stops: bool, came_first: bool) -> None:
    async def main() -> None:
        stop, awaited = asyncio.Event(), asyncio.get_running_loop().create_future()
        if comes:
            awaited.set_result(None)
        if stops:
            stop.set()
        assert await came(awaited, stop) is came_first
        assert awaited.cancelled() is not came_first

    asyncio.run(main())


# Callbacks.

ADDRESS = "http://192.0.2.7:9000/secret"
REQUEST: Mapping[str, Any] = {"operation": [{}]}


@pytest.mark.parametrize(
    ("own", "asks"),
    [
        ({}, True),
        ({"user_data": "x", "call_back_format": "XML"}, True),
        ({"call_back": "http://hooks.example.com/"}, False),
        ({"call_back": "no"}, False),
        ({"call_back_type": "TDMQ", "call_back_mq_config": {"mq_name": "q"}}, False),
        ({"call_back_type": "Kafka", "call_back_kafka_config": {"topic": "t"}}, False),
        ({"call_back_type": "Url"}, False),
    ],
)
def test_a_job_that_names_no_callback_is_given_one(own: dict[str, Any], *, asks: bool) -> None:
    bell, request = Bell(ADDRESS), {**REQUEST, **own}
    given = {"call_back": ADDRESS, "call_back_type": "Url", "call_back_format": "JSON"}
    assert bell.attached(request) == ({**request, **given} if asks else request)
    bell.expect("j1", request)
    assert bell.expects("j1") is asks


def test_a_bell_without_an_address_changes_nothing_and_expects_nothing() -> None:
    bell = Bell()
    assert bell.attached(REQUEST) is REQUEST
    bell.expect("j1", REQUEST)
    assert not bell.expects("j1")


async def settled() -> None:
    """Let every task go on as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Rounds:
    """A poller whose rounds a test takes one by one."""

    def __init__(self, client: Client, bell: Bell) -> None:
        self._go_on = asyncio.Semaphore(0)
        self._paused = asyncio.Event()
        self.bell = bell
        self.poller = Poller(client, self._sleep, 0.1, bell)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.poller.run())
        await self._paused.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _sleep(self, _: float) -> None:
        self._paused.set()
        await self._go_on.acquire()

    async def take(self, count: int = 1) -> None:
        """Let so many rounds happen."""
        for _ in range(count):
            self._paused.clear()
            self._go_on.release()
            await self._paused.wait()

    def watch(self, *jobs: str, expected: bool = True) -> list[asyncio.Future[Job]]:
        for job in jobs if expected else ():
            self.bell.expect(job, REQUEST)
        return [self.poller.watch(job, lambda _: None) for job in jobs]


def test_a_job_whose_callback_is_expected_is_asked_about_now_and_then() -> None:
    async def main() -> None:
        client = Scripted({"j2": "Running"}, *[{"j2": "Running"}] * (PATIENCE - 2), {"j1": "Success", "j2": "Success"})
        async with Rounds(client, Bell(ADDRESS)) as rounds:
            (first,) = rounds.watch("j1")
            (second,) = rounds.watch("j2", expected=False)
            await rounds.take(PATIENCE)
            assert client.asked == [*[["j2"]] * (PATIENCE - 1), ["j1", "j2"]]
            assert (await first).state == (await second).state == "Success"

    asyncio.run(main())


def test_a_ring_asks_at_once_and_about_that_job_only() -> None:
    async def main() -> None:
        client = Scripted({"j2": "Success"})
        async with Rounds(client, Bell(ADDRESS)) as rounds:
            _, second = rounds.watch("j1", "j2")
            rounds.bell.ring("j2")
            assert (await second).state == "Success"
            assert client.asked == [["j2"]]

    asyncio.run(main())


def test_a_callback_may_be_sooner_than_the_answer_to_the_submission() -> None:
    async def main() -> None:
        client = Scripted({"j1": "Success"})
        async with Rounds(client, Bell(ADDRESS)) as rounds:
            rounds.bell.ring("j1")
            await settled()
            assert client.asked == []
            (first,) = rounds.watch("j1")
            assert (await first).state == "Success"

    asyncio.run(main())


def test_a_forged_callback_only_lets_the_job_be_asked_about_as_usual() -> None:
    async def main() -> None:
        client = Scripted({"j1": "Running"}, {"j1": "Running"}, {"j1": "Success"})
        async with Rounds(client, Bell(ADDRESS)) as rounds:
            (first,) = rounds.watch("j1")
            rounds.bell.ring("j1")
            rounds.bell.ring("j9")
            await settled()
            assert client.asked == [["j1"]]
            await rounds.take(2)
            assert client.asked == [["j1"]] * 3
            assert (await first).state == "Success"

    asyncio.run(main())


def test_when_callbacks_do_not_arrive_they_are_not_waited_for_any_more() -> None:
    async def main() -> None:
        bell = Bell(ADDRESS)
        for number in range(MISSED):
            job = f"j{number}"
            bell.expect(job, REQUEST)
            bell.expect("last", REQUEST)
            assert bell.expects("last")
            bell.ended(job)
        assert not bell.expects("last")
        bell.ring("j9")
        assert bell.expects("last"), "one that arrives after all is a reason to wait again"

    asyncio.run(main())


def test_rings_for_jobs_that_nobody_watches_do_not_fill_the_memory() -> None:
    bell = Bell(ADDRESS)
    for number in range(20_000):
        bell.ring(f"j{number}")
    watched = {"j19999", "j0"}
    assert asyncio.run(bell.rung(watched)) == ["j19999"]


def test_of_two_questions_at_the_same_time_one_brings_the_answer() -> None:
    class Slow(Scripted):
        async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
            await go_on.wait()
            return await super().jobs(ids)

    go_on = asyncio.Event()

    async def main() -> None:
        client = Slow({"j1": "Success"}, {"j1": "Success"})
        async with Rounds(client, Bell(ADDRESS)) as rounds:
            (first,) = rounds.watch("j1")
            rounds.bell.ring("j1")
            await settled()
            taken = asyncio.create_task(rounds.take())
            await settled()
            go_on.set()
            assert (await first).state == "Success"
            await taken
            assert client.asked == [["j1"], ["j1"]]

    asyncio.run(main())
