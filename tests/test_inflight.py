"""The queue keeps the order of dependency; the poller asks for all jobs together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from reconciler.api.messages import Job
from reconciler.client import Client
from reconciler.errors import ClientError
from reconciler.inflight import Poller, Queue
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


async def follow(client: Scripted, *names: str) -> tuple[list[Job | BaseException], list[str]]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    heard: list[str] = []
    poller = Poller(client, sleep, 0.1)
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
