"""Deliver callbacks: keep what is to be sent, send it, send it again later when it was not taken.

What is to be sent is written in the transaction that ends the job, and goes when it was taken; so a callback is
delivered at least once, whatever ends this process in between. How one is sent is the business of ``posting`` and
``mq``; whom a job names, and the words, of ``callbacks``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.queues import NotifyConfig
from reconciler.service import callbacks
from reconciler.service.callbacks import Target, UndeliveredError
from reconciler.service.carriers import Carriers
from reconciler.service.database import RETRY_SECONDS, Database, until_written
from reconciler.service.jobs_detail import jobs_detail
from reconciler.service.queue import StoredJob

log = logging.getLogger(__name__)

ATTEMPTS: Final = 10
"""Attempts at one callback; with the pauses between them about three and a half hours."""

LONGEST_PAUSE: Final = 3600.0
AT_ONCE: Final = 16
AT_ONCE_PER_SERVER: Final = 4
"""Attempts under way at once, and those of them at one server: one that does not answer must not hold up the others."""

FAREWELL_SECONDS: Final = 2.0
"""How long the service waits, when it is left, for callbacks that are due; the others wait for its next start."""

_OUTCOME: Final = "what came of a callback"
_LOOK_SECONDS: Final = 60.0
"""How often at least to look at the clock, which somebody may have set."""

_NOTIFY: Final = "SELECT notify FROM queue WHERE id = :queue"
_ADD: Final = "INSERT INTO delivery (job, target, server, due_at) VALUES (:job, :target, :server, :now)"
_FIRST: Final = """
    SELECT number, job, target, server, attempt, due_at FROM delivery
    WHERE due_at IS NOT NULL
      AND number NOT IN (SELECT value FROM json_each(:under_way))
      AND server NOT IN (SELECT value FROM json_each(:full))
    ORDER BY due_at, number LIMIT 1
"""
_JOB: Final = "SELECT * FROM job WHERE id = :job"
_TAKEN: Final = "DELETE FROM delivery WHERE number = :number"
_NOT_TAKEN: Final = """
    UPDATE delivery SET attempt = attempt + 1, due_at = :due_at, error = :error WHERE number = :number
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row: a callback that is to be sent. ``attempt`` counts those that were made."""

    number: int
    job: str
    target: str
    server: str
    attempt: int
    due_at: float


class Outbox:
    """The callbacks of one service that were not taken yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.added: Callable[[], None] = lambda: None

    def add(self, job: StoredJob) -> None:
        """Note the callback of a job that ends, as a part of the transaction that ends it."""
        try:
            target = self._target(job)
        except xml.XmlError:  # stored by another version; the job must be able to end
            log.exception("whom to tell of the end of %s cannot be read", job.id)
            return
        if target is not None:
            values = {"job": job.id, "target": target.stored(), "server": target.server, "now": time.time()}
            self._database.rows(_ADD, values)
            self.added()

    def _target(self, job: StoredJob) -> Target | None:
        rows = self._database.rows(_NOTIFY, {"queue": job.queue})
        text = rows[0]["notify"] if rows else None
        notify = xml.read(NotifyConfig, text.encode(), "NotifyConfig") if text else None
        return callbacks.target(xml.read(JobRequest, job.request.encode(), "Request"), notify)

    def first(self, under_way: Iterable[int], full: Iterable[str]) -> Delivery | None:
        """Return the callback that is due first, besides those under way and those to servers that have enough."""
        values = {"under_way": json.dumps(list(under_way)), "full": json.dumps(list(full))}
        rows = self._database.rows(_FIRST, values)
        return Delivery(**dict(rows[0])) if rows else None

    def job(self, delivery: Delivery) -> StoredJob:
        """Return the job that a callback is about."""
        return StoredJob(**dict(self._database.rows(_JOB, {"job": delivery.job})[0]))

    def taken(self, delivery: Delivery) -> None:
        """Forget a callback that was taken."""
        with self._database.transaction(durable=False):
            self._database.rows(_TAKEN, {"number": delivery.number})

    def not_taken(self, delivery: Delivery, reason: str, due_at: float | None) -> None:
        """Note why an attempt failed, and when the next one is due; None gives the callback up."""
        with self._database.transaction(durable=False):
            self._database.rows(_NOT_TAKEN, {"number": delivery.number, "due_at": due_at, "error": reason})


def pause_after(attempt: int) -> float | None:
    """Return how many seconds after an attempt, counted from 1, the next one is due; None when there is none."""
    if attempt >= ATTEMPTS:
        return None
    return min(4.0 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter


class Deliveries:
    """Sends what is in the outbox until it is cancelled."""

    def __init__(
        self, outbox: Outbox, carriers: Carriers, *, pause_after: Callable[[int], float | None] = pause_after
    ) -> None:
        self._outbox = outbox
        self._carriers = carriers
        self._pause_after = pause_after
        self._under_way: dict[asyncio.Task[None], Delivery] = {}
        self._awake = asyncio.Event()
        self._idle = asyncio.Event()
        outbox.added = self._awake.set

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._awake.clear()
                next_due = self._begin_due(group)
                if not self._under_way:
                    self._idle.set()
                await self._pause(next_due)

    async def finish(self) -> None:
        """Give what is due the time to be delivered, for a little while."""
        self._idle.clear()
        self._awake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._idle.wait()

    def _begin_due(self, group: asyncio.TaskGroup) -> float:
        """Begin what is due, as far as there is room, and return how many seconds to wait then."""
        while len(self._under_way) < AT_ONCE:
            try:
                delivery = self._outbox.first((each.number for each in self._under_way.values()), self._full())
            except sqlite3.Error as error:
                log.warning("no callback can be looked for at the moment: %s", error)
                return RETRY_SECONDS
            if delivery is None:
                return _LOOK_SECONDS
            if (wait := delivery.due_at - time.time()) > 0:
                return min(wait, _LOOK_SECONDS)
            task = group.create_task(self._deliver(delivery), name=f"callback of {delivery.job}")
            self._under_way[task] = delivery
            task.add_done_callback(self._ended)
        return _LOOK_SECONDS

    def _full(self) -> list[str]:
        counts = Counter(delivery.server for delivery in self._under_way.values())
        return [server for server, count in counts.items() if count >= AT_ONCE_PER_SERVER]

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._awake.set()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._awake.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt and write down what came of it."""
        try:
            job = self._outbox.job(delivery)
            target = Target.of(delivery.target)
            await self._carriers.carry(job, target, callbacks.body(jobs_detail(job), target.format))
        except UndeliveredError as error:
            reason, final = error.reason, error.final
        except Exception as error:
            log.exception("the callback of %s", delivery.job)
            reason, final = f"{type(error).__name__}: {error}", False
        else:
            await until_written(lambda: self._outbox.taken(delivery), _OUTCOME)
            return
        await self._put_off(delivery, reason, None if final else self._pause_after(delivery.attempt + 1))

    async def _put_off(self, delivery: Delivery, reason: str, seconds: float | None) -> None:
        if seconds is None:
            log.warning("the callback of %s is given up: %s", delivery.job, reason)
        else:
            log.info("the callback of %s was not taken, again in %.0f s: %s", delivery.job, seconds, reason)
        due_at = None if seconds is None else time.time() + seconds
        await until_written(lambda: self._outbox.not_taken(delivery, reason, due_at), _OUTCOME)
