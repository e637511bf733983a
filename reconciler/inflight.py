"""What of a plan may begin, and what is in flight: the queue of actions and the poller of jobs.

Neither knows what an action does; that is ``apply``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from reconciler.api.messages import TERMINAL, Job
from reconciler.client import Client
from reconciler.errors import ClientError
from reconciler.plan import RENDERS, Action

FIRST_PAUSE: Final = 0.05
"""Seconds before a job is asked about for the first time."""

_GROWTH: Final = 1.5


class Queue:
    """Actions whose inputs are there, in address order; the others wait until what they are made of is made."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions
        self._waits = {
            address: {name for name in action.upstream if name in actions and actions[name].kind in RENDERS | {"wait"}}
            for address, action in actions.items()
        }
        self._dependents: dict[str, list[str]] = {}
        for address, names in self._waits.items():
            for name in names:
                self._dependents.setdefault(name, []).append(address)
        self._ready = deque(sorted(address for address, names in self._waits.items() if not names))
        self._running = 0
        self._changed = asyncio.Condition()
        self._left = set(actions)
        self._drained = False

    def __len__(self) -> int:
        return len(self._actions)

    @property
    def unreachable(self) -> list[str]:
        """Return what was never begun because something that it is made of was not made."""
        return sorted(address for address in self._left if self._waits[address])

    async def take(self, stop: asyncio.Event) -> Action | None:
        """Return the next action, waiting for one; None when there will be no more."""
        async with self._changed:
            while not self._ready and self._running and not stop.is_set():
                await self._changed.wait()
            if not self._ready or stop.is_set():
                return None
            address = self._ready.popleft()
            self._left.discard(address)
            self._running += 1
            return self._actions[address]

    async def settle(self, address: str, *, succeeded: bool) -> None:
        """An action has ended; what waited for it may become ready."""
        async with self._changed:
            self._running -= 1
            for dependent in self._dependents.get(address, ()) if succeeded and not self._drained else ():
                self._waits[dependent].discard(address)
                if not self._waits[dependent]:
                    self._ready.append(dependent)
            self._changed.notify_all()

    def drain(self) -> None:
        """Begin nothing more."""
        self._drained = True
        self._ready.clear()


class Poller:
    """Asks for all jobs in flight together, less often the longer nothing ends."""

    def __init__(self, client: Client, sleep: Callable[[float], Awaitable[None]], longest: float) -> None:
        self._client = client
        self._sleep = sleep
        self._longest = longest
        self._watched: dict[str, tuple[asyncio.Future[Job], Callable[[Job], None]]] = {}
        self._pause = FIRST_PAUSE

    def watch(self, job: str, tell: Callable[[Job], None]) -> asyncio.Future[Job]:
        """Return a future for the job's end; ``tell`` hears of its progress until then."""
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._watched[job] = (future, tell)
        self._pause = FIRST_PAUSE
        return future

    async def run(self) -> None:
        """Ask until cancelled. A question without an answer fails the jobs it was about, not the run."""
        while True:
            await self._sleep(self._pause)
            self._pause = min(self._pause * _GROWTH, self._longest)
            asked = list(self._watched)
            if not asked:
                continue
            try:
                self._hear(asked, await self._client.jobs(asked))
            except ClientError as error:
                for job in asked:
                    self._end(job, error)

    def _hear(self, asked: list[str], jobs: Mapping[str, Job]) -> None:
        for job in asked:
            live = jobs.get(job)
            if live is None:
                self._end(job, ClientError(f"the service does not know job {job} any more"))
            elif live.state in TERMINAL:
                self._end(job, live)
            elif job in self._watched:
                self._watched[job][1](live)

    def _end(self, job: str, outcome: Job | ClientError) -> None:
        future, _ = self._watched.pop(job)
        if future.done():
            return
        if isinstance(outcome, Job):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
