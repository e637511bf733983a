"""The queues of the service's buckets, in SQLite: which a bucket has, pause and resume, switch off and on.

A bucket has media processing, and so a queue, from the first question on; only who switches it off takes it away. The
jobs of a queue are in ``queue``; only what a change of their queue does to those that wait stands here.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from typing import Final, NamedTuple

from reconciler.api.error_codes import CODES
from reconciler.api.queues import PAUSED
from reconciler.service.database import Database
from reconciler.service.refused import RefusedError

_OPEN: Final = "SELECT * FROM queue WHERE bucket = :bucket AND closed_at IS NULL"
_ALL_OPEN: Final = "SELECT * FROM queue WHERE closed_at IS NULL"
_IS_OFF: Final = "SELECT min(closed_at IS NOT NULL) AS off FROM queue WHERE bucket = :bucket"
_MAKE: Final = """
    INSERT INTO queue (id, bucket, created_at, updated_at) VALUES (:id, :bucket, :now, :now) RETURNING *
"""
_UPDATE: Final = """
    UPDATE queue SET name = :name, state = :state, notify = :notify, updated_at = :now
    WHERE id = :queue RETURNING *
"""
_PAUSE: Final = "UPDATE job SET state = 'Pause' WHERE queue = :queue AND state = 'Submitted'"
_RESUME: Final = "UPDATE job SET state = 'Submitted' WHERE queue = :queue AND state = 'Pause'"
_CANCEL: Final = "UPDATE job SET state = 'Cancel', ended_at = :now WHERE queue = :queue AND state = 'Pause'"
_CLOSE: Final = "UPDATE queue SET state = 'Active', updated_at = :now, closed_at = :now WHERE id = :queue"


class StoredQueue(NamedTuple):
    """One row, in the order of its columns. Times are seconds since 1970; ``notify`` is a NotifyConfig as XML."""

    id: str
    bucket: str
    name: str
    state: str
    notify: str | None
    created_at: int
    updated_at: int
    waiting: int
    closed_at: int | None


class QueueStore:
    """The queues of all buckets of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, bucket: str) -> StoredQueue | None:
        """Return the queue of a bucket; None when nobody has asked for it yet, or it was taken away."""
        rows = self._database.rows(_OPEN, {"bucket": bucket})
        return _queue(rows[0]) if rows else None

    def is_off(self, bucket: str) -> bool:
        """Tell whether media processing was switched off for a bucket."""
        return bool(self._database.rows(_IS_OFF, {"bucket": bucket})[0]["off"])

    def get(self, bucket: str) -> StoredQueue | None:
        """Return the queue of a bucket, which is made when it is first asked for, unless nothing can be written.

        Raises RefusedError MediaBucketUnbound when media processing was switched off.
        """
        found = self.find(bucket)
        if found is not None or not self._database.writable:
            return found
        with self._database.transaction(durable=True):
            return self.made(bucket)

    def made(self, bucket: str) -> StoredQueue:
        """Return the queue of a bucket, made if need be, as a part of the transaction that is under way."""
        found = self.find(bucket)
        if found is None and self.is_off(bucket):
            raise RefusedError("MediaBucketUnbound", CODES["MediaBucketUnbound"].message)
        return found or self._make(bucket)

    def all(self) -> dict[str, StoredQueue]:
        """Return every queue by its bucket."""
        return {row["bucket"]: _queue(row) for row in self._database.rows(_ALL_OPEN)}

    def update(self, bucket: str, *, name: str, state: str, notify: str) -> StoredQueue:
        """Change the queue of a bucket. Jobs that wait in it are Pause while it is paused; running ones go on."""
        with self._database.transaction(durable=True):
            values = {"queue": self.made(bucket).id, "name": name, "state": state, "notify": notify, "now": _now()}
            self._database.rows(_PAUSE if state == PAUSED else _RESUME, {"queue": values["queue"]})
            return _queue(self._database.rows(_UPDATE, values)[0])

    def switch_off(self, bucket: str) -> None:
        """Take the queue of a bucket away. What waits in it is cancelled, what runs goes on to its end."""
        with self._database.transaction(durable=True):
            if not self.is_off(bucket):
                values = {"queue": self.made(bucket).id, "now": _now()}
                self._database.rows(_PAUSE, values)
                self._database.rows(_CANCEL, values)
                self._database.rows(_CLOSE, values)

    def switch_on(self, bucket: str) -> StoredQueue:
        """Give a bucket a queue, a new one after it was switched off; one that has a queue keeps it."""
        with self._database.transaction(durable=True):
            return self.find(bucket) or self._make(bucket)

    def _make(self, bucket: str) -> StoredQueue:
        values = {"id": f"p{uuid.uuid4().hex}", "bucket": bucket, "now": _now()}
        return _queue(self._database.rows(_MAKE, values)[0])


def _queue(row: sqlite3.Row) -> StoredQueue:
    return StoredQueue(*row)


def _now() -> int:
    return int(time.time())
