"""The jobs of the service, in SQLite: submit, claim, finish, list. What a job does is not known here.

Every statement about jobs stands at the top. The states and what they demand of a row are drawn in ``schema.sql``,
which refuses everything else.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.service.database import Database

MAX_ATTEMPTS: Final = 10
"""How often a job is begun when its worker dies each time before the first progress.

Sources are probed in the worker's own process, so a job can kill it there; later it only has FFmpeg die. Most workers
die of something else – a person, the machine – and then the job is not to blame.
"""

_UUID_EPOCH: Final = 0x01B21DD213814000
"""Hundreds of nanoseconds from 1582-10-15, where version-1 UUIDs begin, to 1970."""

_QUEUE: Final = "SELECT id FROM queue WHERE bucket = :bucket"
_NEW_QUEUE: Final = "INSERT INTO queue (id, bucket) VALUES (:id, :bucket)"
_SUBMIT: Final = """
    INSERT INTO job (id, bucket, queue, tag, request, priority, created_at)
    VALUES (:id, :bucket, :queue, :tag, :request, :priority, :created_at) RETURNING *
"""
_FIND: Final = "SELECT * FROM job WHERE bucket = :bucket AND id IN (SELECT value FROM json_each(:ids))"
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
                   media_result = :media_result
    WHERE id = :id AND state = 'Running'
"""
_FAIL: Final = """
    UPDATE job SET state = 'Failed', ended_at = :now, code = :code, message = :message
    WHERE id = :id AND state = 'Running'
"""
_RELEASE: Final = """
    UPDATE job SET state = 'Submitted', attempt = attempt - 1, started_at = NULL, progress = 0
    WHERE id = :id AND state = 'Running'
"""
_GIVE_UP: Final = """
    UPDATE job SET state = 'Failed', ended_at = :now, code = 'InternalError',
                   message = 'the service died ' || attempt || ' times while it made this job; submit it again to retry'
    WHERE state = 'Running' AND progress = 0 AND attempt >= :attempts RETURNING id
"""
_RESCUE: Final = """
    UPDATE job SET state = 'Submitted', attempt = iif(progress = 0, attempt, 0), started_at = NULL, progress = 0
    WHERE state = 'Running' RETURNING id
"""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One row. Times are seconds since 1970; XML columns are text as ``api.xml`` writes it."""

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
    """The jobs of all buckets of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A node of our own instead of the network card's address; the multicast bit says so (RFC 9562 §6.10).
        self._node = uuid.uuid4().int & 0xFFFFFFFFFFFF | 0x010000000000

    # What callers of the API do.

    def queue_of(self, bucket: str) -> str | None:
        """Return the id of the bucket's queue; None before its first job."""
        rows = self._database.rows(_QUEUE, {"bucket": bucket})
        return rows[0]["id"] if rows else None

    def submit(self, bucket: str, tag: str, requests: Sequence[tuple[str, int]]) -> list[StoredJob]:
        """Store one job for each request and priority, all or none; they survive a power cut from here on."""
        with self._database.transaction(durable=True):
            queue = self.queue_of(bucket) or self._new_queue(bucket)
            return [self._submit(bucket, queue, tag, request, priority) for request, priority in requests]

    def find(self, bucket: str, ids: Iterable[str]) -> dict[str, StoredJob]:
        """Return those of the named jobs that the bucket has, by id."""
        rows = self._database.rows(_FIND, {"bucket": bucket, "ids": json.dumps(list(ids))})
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

    def succeed(self, job: str, *, media_info: str, media_result: str) -> None:
        """Finish a running job whose object is in its place."""
        with self._database.transaction(durable=True):
            values = {"id": job, "now": _now(), "media_info": media_info, "media_result": media_result}
            self._database.rows(_SUCCEED, values)

    def fail(self, job: str, code: str, message: str) -> None:
        """Finish a running job that cannot be made."""
        with self._database.transaction(durable=True):
            self._database.rows(_FAIL, {"id": job, "now": _now(), "code": code, "message": message})

    def release(self, job: str) -> None:
        """Give back a running job because the worker stops; it does not count as an attempt."""
        with self._database.transaction(durable=False):
            self._database.rows(_RELEASE, {"id": job})

    def rescue(self) -> tuple[list[str], list[str]]:
        """Take back every running job; their worker is dead, because one worker at a time owns the folder.

        Returns the ids that wait again, and those that were begun so often that they are given up.
        """
        with self._database.transaction(durable=True):
            given_up = self._database.rows(_GIVE_UP, {"now": _now(), "attempts": MAX_ATTEMPTS})
            waiting = self._database.rows(_RESCUE)
        return [row["id"] for row in waiting], [row["id"] for row in given_up]

    def _new_queue(self, bucket: str) -> str:
        queue = f"p{uuid.uuid4().hex}"
        self._database.rows(_NEW_QUEUE, {"id": queue, "bucket": bucket})
        return queue

    def _submit(self, bucket: str, queue: str, tag: str, request: str, priority: int) -> StoredJob:
        token = uuid.uuid1(node=self._node)
        values = {
            "id": f"j{token.hex}",
            "bucket": bucket,
            "queue": queue,
            "tag": tag,
            "request": request,
            "priority": priority,
            "created_at": (token.time - _UUID_EPOCH) // 10_000_000,  # the id tells the same time
        }
        return _job(self._database.rows(_SUBMIT, values)[0])


def _job(row: sqlite3.Row) -> StoredJob:
    return StoredJob(**dict(row))


def _now() -> int:
    return int(time.time())
