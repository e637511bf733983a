"""The queue keeps the order of dependency; the poller asks for all jobs together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pytest

from reconciler.api.messages import Job
from reconciler.client import Client
from reconciler.errors import ClientError
from reconciler.inflight import MISSED, PATIENCE, Bell, Poller, Queue, came
from reconciler.plan import Action


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


def test_nothing_is_taken_after_a_stop_or_a_drain() -> None:
    queue = Queue(actions(a="", b=""))
    stop = asyncio.Event()
    stop.set()
    assert asyncio.run(queue.take(stop)) is None
    queue.drain()
    assert order(queue) == []


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
    assert pauses == sorted(pauses)
    assert max(pauses) <= 0.1
    return outcomes, heard


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
