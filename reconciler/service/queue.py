"""The jobs of the service, in SQLite: submit, claim, finish, list. What a job does is not known here.

Every statement about jobs stands at the top. The states and what they demand of a row are drawn in ``schema.sql``,
which refuses everything else.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from reconciler.api.messages import PAUSE, SUBMITTED
from reconciler.api.queues import PAUSED
from reconciler.service.database import Database
from reconciler.service.queue_store import QueueStore, StoredQueue
from reconciler.service.refused import RefusedError

MAX_ATTEMPTS: Final = 10
"""How often a job is begun when its worker dies each time: a job that takes the machine down must not do so for ever.

Most workers die of something else – a person, the machine – and then the job is not to blame; a stop on purpose gives
it back uncounted.
"""

MAX_SIZE: Final = 1_000_000
"""How many jobs may wait in one queue; the documents' samples show 10,000, and accounts differ."""

_UUID_EPOCH: Final = 0x01B21DD213814000
"""Hundreds of nanoseconds from 1582-10-15, where version-1 UUIDs begin, to 1970."""

_SUBMIT: Final = """
    INSERT INTO job (id, bucket, queue, tag, request, resolved, priority, state, created_at)
    VALUES (:id, :bucket, :queue, :tag, :request, :resolved, :priority, :state, :created_at) RETURNING *
"""
_FIND: Final = "SELECT * FROM job WHERE id = :id AND bucket = :bucket"
_PAGE: Final = """
    SELECT * FROM job
    WHERE bucket = :bucket AND tag = :tag
      AND (:queue IS NULL OR queue = :queue)
      AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
      AND (:created_from IS NULL OR created_at >= :created_from)
      AND (:created_to IS NULL OR created_at <= :created_to)
"""
_NEWEST_FIRST: Final = " AND number < :after ORDER BY number DESC LIMIT :limit"
_OLDEST_FIRST: Final = " AND number > :after ORDER BY number LIMIT :limit"
_CANCEL: Final = """
    UPDATE job SET state = 'Cancel', ended_at = :now
    WHERE bucket = :bucket AND id = :id AND state IN ('Submitted', 'Pause') RETURNING id
"""
_WAITING: Final = "SELECT EXISTS (SELECT 1 FROM job WHERE state = 'Submitted') AS waiting"
_CLAIM: Final = """
    UPDATE job SET state = 'Running', attempt = attempt + 1, started_at = :now
    WHERE number = (SELECT number FROM job WHERE state = 'Submitted' ORDER BY priority DESC, number LIMIT 1)
    RETURNING *
"""
_PROGRESS: Final = "UPDATE job SET progress = :progress WHERE id = :id AND state = 'Running'"
_SUCCEED: Final = """
    UPDATE job SET state = 'Success', progress = 100, ended_at = :now, media_info = :media_info,
                   media_result = :media_result, engine = :engine, notes = :notes
    WHERE id = :id AND state = 'Running' RETURNING *
"""
_FAIL: Final = """
    UPDATE job SET state = 'Failed', ended_at = :now, code = :code, message = :message
    WHERE id = :id AND state = 'Running' RETURNING *
"""
_RELEASE: Final = """
    UPDATE job SET state = (SELECT iif(state = 'Paused', 'Pause', 'Submitted') FROM queue WHERE id = job.queue),
                   attempt = attempt - 1, started_at = NULL, progress = 0
    WHERE id = :id AND state = 'Running'
"""
_GIVE_UP: Final = """
    UPDATE job SET state = 'Failed', ended_at = :now, code = 'InternalError',
                   message = 'the service died ' || attempt || ' times while it made this job; submit it again to retry'
    WHERE state = 'Running' AND attempt >= :attempts RETURNING *
"""
_RESCUE: Final = """
    UPDATE job SET state = (SELECT iif(state = 'Paused', 'Pause', 'Submitted') FROM queue WHERE id = job.queue),
                   started_at = NULL, progress = 0
    WHERE state = 'Running' RETURNING id
"""


@dataclass(frozen=True, slots=True)
class NewJob:
    """One job to be: its request with one operation, as XML, and the same with its templates put in, if it has any."""

    request: str
    resolved: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Submission:
    """What one call submits: all of its jobs are stored, or none."""

    bucket: str
    tag: str
    jobs: Sequence[NewJob]


class StoredJob(NamedTuple):
    """One row, in the order of its columns. Times are seconds since 1970; XML is text as ``api.xml`` writes it."""

    number: int
    id: str
    bucket: str
    queue: str
    tag: str
    request: str
    priority: int
    state: str
    attempt: int
    progress: int
    created_at: int
    started_at: int | None
    ended_at: int | None
    code: str | None
    message: str | None
    media_info: str | None
    media_result: str | None
    resolved: str | None
    engine: str | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """What a job has made: its two results as XML, which FFmpeg made it, and what a person may want to know."""

    media_info: str
    media_result: str
    engine: str | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs to list; None is no restriction. Times are inclusive seconds since 1970."""

    tag: str
    queue: str | None = None
    states: tuple[str, ...] | None = None
    created_from: int | None = None
    created_to: int | None = None
    newest_first: bool = True


class Queue:
    """The jobs of all buckets of one service.

    ``ended`` hears of every job that succeeds or fails, in the transaction that ends it.
    """

    def __init__(self, database: Database, *, ended: Callable[[StoredJob], None] = lambda _: None) -> None:
        self._database = database
        self._ended = ended
        self._queues = QueueStore(database)
        # A node of our own instead of the network card's address; the multicast bit says so (RFC 9562 §6.10).
        self._node = uuid.uuid4().int & 0xFFFFFFFFFFFF | 0x010000000000

    # What callers of the API do.

    def submit(self, submissions: Iterable[Submission]) -> list[list[StoredJob] | RefusedError]:
        """Store the jobs of each submission, or say why not; what is stored survives a power cut from here on.

        One submission is refused without harm to the others: they share the transaction, and so its wait for the disk.
        """
        with self._database.transaction(durable=True):
            return [self._submit(submission) for submission in submissions]

    def find(self, bucket: str, ids: Iterable[str]) -> dict[str, StoredJob]:
        """Return those of the named jobs that the bucket has, by id."""
        rows = (row for job in ids for row in self._database.rows(_FIND, {"id": job, "bucket": bucket}))
        return {row["id"]: _job(row) for row in rows}

    def page(self, bucket: str, selection: Selection, *, after: int | None, limit: int) -> tuple[list[StoredJob], bool]:
        """Return at most ``limit`` jobs after the job with the number ``after``, and whether there are more."""
        start = after if after is not None else (2**63 - 1 if selection.newest_first else 0)
        values = {
            "bucket": bucket,
            "tag": selection.tag,
            "queue": selection.queue,
            "states": None if selection.states is None else json.dumps(selection.states),
            "created_from": selection.created_from,
            "created_to": selection.created_to,
            "after": start,
            "limit": limit + 1,
        }
        rows = self._database.rows(_PAGE + (_NEWEST_FIRST if selection.newest_first else _OLDEST_FIRST), values)
        return [_job(row) for row in rows[:limit]], len(rows) > limit

    def cancel(self, bucket: str, job: str) -> bool:
        """Cancel a job that has not started, and tell whether it was one."""
        with self._database.transaction(durable=True):
            return bool(self._database.rows(_CANCEL, {"bucket": bucket, "id": job, "now": _now()}))

    # What the worker does.

    def claim(self) -> StoredJob | None:
        """Take the waiting job that is next – higher priority first, then older – and mark it Running."""
        if not self._database.rows(_WAITING)[0]["waiting"]:
            return None  # asked once a second: no write lock for it
        with self._database.transaction(durable=False):
            rows = self._database.rows(_CLAIM, {"now": _now()})
        return _job(rows[0]) if rows else None

    def progress(self, job: str, percent: int) -> None:
        """Note how far a running job is, 0 to 100."""
        with self._database.transaction(durable=False):
            self._database.rows(_PROGRESS, {"id": job, "progress": percent})

    def succeed(self, job: str, made: Made) -> None:
        """Finish a running job whose object is in its place."""
        with self._database.transaction(durable=True):
            self._end(_SUCCEED, {"id": job, "now": _now(), **asdict(made)})

    def fail(self, job: str, code: str, message: str) -> None:
        """Finish a running job that cannot be made."""
        with self._database.transaction(durable=True):
            self._end(_FAIL, {"id": job, "now": _now(), "code": code, "message": message})

    def release(self, job: str) -> None:
        """Give back a running job because the worker stops; it does not count as an attempt."""
        with self._database.transaction(durable=False):
            self._database.rows(_RELEASE, {"id": job})

    def rescue(self) -> tuple[list[str], list[str]]:
        """Take back every running job; their worker is dead, because one worker at a time owns the folder.

        Returns the ids that wait again, and those that were begun so often that they are given up.
        """
        with self._database.transaction(durable=True):
            given_up = self._end(_GIVE_UP, {"now": _now(), "attempts": MAX_ATTEMPTS})
            waiting = self._database.rows(_RESCUE)
        return [row["id"] for row in waiting], [job.id for job in given_up]

    def _end(self, statement: str, values: Mapping[str, object]) -> list[StoredJob]:
        """End jobs, as a part of the transaction that is under way."""
        jobs = [_job(row) for row in self._database.rows(statement, values)]
        for job in jobs:
            self._ended(job)
        return jobs

    def _submit(self, submission: Submission) -> list[StoredJob] | RefusedError:
        try:
            queue = self._queues.made(submission.bucket)
        except RefusedError as error:
            return error
        if queue.waiting + len(submission.jobs) > MAX_SIZE:
            return RefusedError("SlowDown", f"{queue.waiting} jobs wait in the queue `{queue.id}`; it holds {MAX_SIZE}")
        return [self._insert(submission, queue, job) for job in submission.jobs]

    def _insert(self, submission: Submission, queue: StoredQueue, job: NewJob) -> StoredJob:
        token = uuid.uuid1(node=self._node)
        values = {
            "id": f"j{token.hex}",
            "bucket": submission.bucket,
            "queue": queue.id,
            "tag": submission.tag,
            "request": job.request,
            "resolved": job.resolved,
            "priority": job.priority,
            "state": PAUSE if queue.state == PAUSED else SUBMITTED,
            "created_at": (token.time - _UUID_EPOCH) // 10_000_000,  # the id tells the same time
        }
        return _job(self._database.rows(_SUBMIT, values)[0])


def _job(row: sqlite3.Row) -> StoredJob:
    return StoredJob(*row)


def _now() -> int:
    return int(time.time())
