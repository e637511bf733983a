"""What of a plan may begin, and what is in flight: the queue of actions, the poller of jobs, the bell of callbacks.

None of them knows what an action does; that is ``apply``.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.api.messages import TERMINAL, Job
from reconciler.client import Client
from reconciler.errors import ClientError
from reconciler.plan import MAKES, RENDERS, Action
from reconciler.project import DEFAULT_QUEUE, QueueLimits

FIRST_PAUSE: Final = 0.05
"""Seconds before a job is asked about for the first time."""

_GROWTH: Final = 1.5
_SLACK: Final = 0.02
"""Seconds by which a question may come early, so that it goes with others."""

PATIENCE: Final = 10
"""A job whose callback is expected is asked about in every so-manieth round of questions only."""

MISSED: Final = 3
"""So many ends in a row without a callback mean that callbacks do not arrive here."""

_JOBS: Final = RENDERS | {"wait"}
_REMEMBERED: Final = 10_000
_OWN_CALLBACK: Final = ("call_back", "call_back_type", "call_back_mq_config", "call_back_kafka_config")


async def came(awaited: Awaitable[object], stop: asyncio.Event) -> bool:
    """Wait for something or for ``stop``, whichever comes first; tell whether it came. What did not is cancelled."""
    both = (asyncio.ensure_future(awaited), asyncio.create_task(stop.wait()))
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return both[0].done()
    finally:
        for future in both:
            future.cancel()


def queue_of(request: Mapping[str, Any]) -> str:
    """Return which of the service's queues a resolved request names."""
    return request.get("queue_id") or DEFAULT_QUEUE


def _comes_first(action: Action) -> bool:
    """Tell whether what is made of an output waits for it: until it is made, or recorded with the job that made it."""
    return action.kind in MAKES or action.kind == "adopt"


@dataclass(slots=True)
class _Lane:
    """Actions that may begin as soon as fewer than ``most`` of them are in flight, each with its place in the order."""

    most: int = sys.maxsize
    ready: deque[tuple[int, str]] = field(default_factory=deque)
    running: int = 0

    @property
    def free(self) -> int:
        """How many of those that are ready may begin now."""
        return min(len(self.ready), max(self.most - self.running, 0))


class Queue:
    """Actions whose inputs are there, in address order; the others wait until what they are made of is made.

    Jobs in flight are limited by ``limits``, for each of the service's queues (``default`` is what requests without
    a ``queue_id`` go to). Where the limit is reached, what goes elsewhere is taken first. A job that was submitted
    before counts from the moment on at which it can be waited for, and is never held back.
    """

    def __init__(self, actions: Mapping[str, Action], limits: Mapping[str, QueueLimits] | None = None) -> None:
        self._actions = actions
        self._waits = {
            address: {
                name for name in (*action.upstream, *action.made_of) if name in actions and _comes_first(actions[name])
            }
            for address, action in actions.items()
        }
        self._dependents: dict[str, list[str]] = {}
        for address, names in self._waits.items():
            for name in names:
                self._dependents.setdefault(name, []).append(address)
        self._unlimited = _Lane()
        self._limited = {
            queue: _Lane(limit.parallelism) for queue, limit in (limits or {}).items() if limit.parallelism is not None
        }
        self._lanes = (self._unlimited, *self._limited.values())
        self._places = itertools.count()
        self._running = 0
        self._changed = asyncio.Condition()
        self._left = set(actions)
        self._drained = False
        for address in sorted(address for address, names in self._waits.items() if not names):
            self._line_up(address)

    def __len__(self) -> int:
        return len(self._actions)

    @property
    def unreachable(self) -> list[str]:
        """Return what was never begun because something that it is made of was not made."""
        return sorted(address for address in self._left if self._waits[address])

    async def take(self, stop: asyncio.Event) -> Action | None:
        """Return the next action, waiting for one; None when there will be no more."""
        async with self._changed:
            while not self._free and self._running and not stop.is_set():
                await self._changed.wait()
            if not self._free or stop.is_set():
                return None
            return self._next()

    async def settle(self, address: str, *, succeeded: bool) -> None:
        """An action has ended; what waited for it may become ready."""
        async with self._changed:
            self._running -= 1
            self._lane(self._actions[address]).running -= 1
            for dependent in self._dependents.get(address, ()) if succeeded and not self._drained else ():
                self._waits[dependent].discard(address)
                if not self._waits[dependent]:
                    self._line_up(dependent)
            if self._running:
                self._changed.notify(self._free)  # no more than can begin something: there may be many who wait
            else:
                self._changed.notify_all()  # it may be over, which all of them have to see

    def drain(self) -> None:
        """Begin nothing more."""
        self._drained = True
        for lane in self._lanes:
            lane.ready.clear()

    @property
    def _free(self) -> int:
        """How many actions may begin now."""
        return sum(lane.free for lane in self._lanes)

    def _lane(self, action: Action) -> _Lane:
        """Return where an action counts: only jobs take a place in a queue of the service."""
        return self._limited.get(queue_of(action.request), self._unlimited) if action.kind in _JOBS else self._unlimited

    def _line_up(self, address: str) -> None:
        action = self._actions[address]
        lane = self._lane(action)
        if action.kind == "wait":
            lane.running += 1
            lane = self._unlimited
        lane.ready.append((next(self._places), address))

    def _next(self) -> Action:
        """Take the first action, in order, of those that may begin."""
        lane = min((lane for lane in self._lanes if lane.free), key=lambda lane: lane.ready[0])
        _, address = lane.ready.popleft()
        action = self._actions[address]
        if action.kind != "wait":
            lane.running += 1
        self._left.discard(address)
        self._running += 1
        return action


class Bell:
    """Rung by callbacks: which jobs are said to have ended, and for which it may be waited.

    What is said is never believed, only asked about: anybody may ring. Without an ``address`` that jobs can be given,
    it is a bell that nobody rings.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self._expected: set[str] = set()
        self._rung: dict[str, None] = {}
        self._missed = 0
        self._stir = asyncio.Event()

    def attached(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a resolved request that asks for a callback here, unless it names a callback of its own."""
        if not self._is_asked_by(request):
            return request
        return {**request, "call_back": self.address, "call_back_type": "Url", "call_back_format": "JSON"}

    def expect(self, job: str, request: Mapping[str, Any]) -> None:
        """Expect the callback of a job that was submitted with this request attached."""
        if self._is_asked_by(request):
            self._expected.add(job)

    def expects(self, job: str) -> bool:
        """Tell whether the end of a job will be heard."""
        return job in self._expected and self._missed < MISSED

    def ring(self, job: str) -> None:
        """Hear that a job has ended; it may not be known here yet, or never be."""
        self._missed = 0
        self._rung[job] = None
        while len(self._rung) > _REMEMBERED:
            del self._rung[next(iter(self._rung))]
        self.stir()

    def stir(self) -> None:
        """Look again at what was rung for: other jobs are watched now."""
        self._stir.set()

    async def rung(self, watched: Container[str]) -> list[str]:
        """Wait for rings for jobs that are watched, and return those jobs. From then on they are not expected."""
        while True:
            self._stir.clear()
            if jobs := [job for job in self._rung if job in watched]:
                for job in jobs:
                    del self._rung[job]
                    self._expected.discard(job)
                return jobs
            await self._stir.wait()

    def ended(self, job: str) -> None:
        """Note that a job has ended; when its callback is still expected, it was missed."""
        self._missed += job in self._expected
        self._expected.discard(job)

    def _is_asked_by(self, request: Mapping[str, Any]) -> bool:
        return self.address is not None and not any(request.get(key) for key in _OWN_CALLBACK)


@dataclass(slots=True)
class _Watch:
    """A job in flight: who waits for it, when it is asked about next, since when the service does not know it."""

    ended: asyncio.Future[Job]
    tell: Callable[[Job], None]
    due: float
    pause: float = FIRST_PAUSE
    rounds: int = 0
    missed: float | None = None


class Poller:
    """Asks for jobs in flight, many a question; less often for what takes long, at once for what is rung for.

    A job that was accepted may be unknown for ``visibility`` seconds.
    """

    def __init__(
        self,
        client: Client,
        sleep: Callable[[float], Awaitable[None]],
        longest: float,
        bell: Bell | None = None,
        *,
        visibility: float = 0.0,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._longest = longest
        self._bell = bell or Bell()
        self._visibility = visibility
        self._watched: dict[str, _Watch] = {}
        self._slept = 0.0

    def watch(self, job: str, tell: Callable[[Job], None]) -> asyncio.Future[Job]:
        """Return a future for the job's end; ``tell`` hears of its progress until then."""
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._watched[job] = _Watch(future, tell, self._slept + FIRST_PAUSE)
        self._bell.stir()
        return future

    async def run(self) -> None:
        """Ask until cancelled. A question without an answer fails the jobs it was about, not the run."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._answer())
            await self._poll()

    async def _answer(self) -> None:
        """Ask about the jobs that are rung for."""
        while True:
            await self._ask(await self._bell.rung(self._watched))

    async def _poll(self) -> None:
        """Ask in rounds, whatever is rung: callbacks get lost."""
        while True:
            soonest = min((watch.due for watch in self._watched.values()), default=0.0)
            pause = min(max(soonest - self._slept, FIRST_PAUSE), self._longest)
            await self._sleep(pause)
            self._slept += pause
            await self._ask([job for job, watch in self._watched.items() if self._is_due(job, watch)])

    def _is_due(self, job: str, watch: _Watch) -> bool:
        """Tell whether a job is to be asked about now, and settle when it is due again."""
        if watch.due > self._slept + _SLACK:
            return False
        watch.rounds += 1
        watch.pause = min(watch.pause * _GROWTH, self._longest)
        watch.due = self._slept + watch.pause
        return watch.rounds % PATIENCE == 0 or not self._bell.expects(job)

    async def _ask(self, asked: list[str]) -> None:
        if not asked:
            return
        try:
            self._hear(asked, await self._client.jobs(asked))
        except ClientError as error:
            for job in asked:
                self._end(job, error)

    def _hear(self, asked: list[str], jobs: Mapping[str, Job]) -> None:
        for job in asked:
            live, watch = jobs.get(job), self._watched.get(job)
            if watch is None:
                continue  # a question that was asked at the same time has brought the answer
            if live is None:
                self._miss(job, watch)
                continue
            watch.missed = None
            if live.state in TERMINAL:
                self._end(job, live)
            else:
                watch.tell(live)

    def _miss(self, job: str, watch: _Watch) -> None:
        """Give a job up that the service does not know, once it had the time to learn of it."""
        if watch.missed is None:
            watch.missed = self._slept
        if self._slept - watch.missed >= self._visibility:
            self._end(job, ClientError(f"the service does not know job {job}"))

    def _end(self, job: str, outcome: Job | ClientError) -> None:
        watch = self._watched.pop(job, None)
        if watch is None:
            return
        self._bell.ended(job)
        if watch.ended.done():
            return
        if isinstance(outcome, Job):
            watch.ended.set_result(outcome)
        else:
            watch.ended.set_exception(outcome)
