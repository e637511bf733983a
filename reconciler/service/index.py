"""What the service remembers of objects and cannot see in their files: digests, types, metadata. SQL, no files.

A row holds for a file of one size, modification time and inode. So a file is read once to learn its ETag, and a file
that a person puts in the place of another is a new object.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.service.database import Database

_INT64: Final = 2**63 - 1
"""SQLite's integers are signed; some file systems use all 64 bits for an inode."""

_NO_HEADERS: Final = "{}"

_BETWEEN: Final = "SELECT * FROM object WHERE bucket = :bucket AND key BETWEEN :first AND :last"
_REMEMBER: Final = """
    INSERT OR REPLACE INTO object (bucket, key, size, mtime_ns, inode, md5, crc64, content_type, headers)
    VALUES (:bucket, :key, :size, :mtime_ns, :inode, :md5, :crc64, :content_type, :headers)
"""
_FORGET: Final = "DELETE FROM object WHERE bucket = :bucket AND key = :key"
_BEGIN_PARTIAL: Final = "INSERT OR IGNORE INTO partial (bucket, path) VALUES (:bucket, :path)"
_END_PARTIAL: Final = "DELETE FROM partial WHERE bucket = :bucket AND path = :path"
_PARTIALS: Final = "SELECT bucket, path FROM partial ORDER BY bucket, path"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from another; ``size`` in bytes."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & _INT64)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an object beside its file.

    ``md5`` is lower-case hexadecimal, ``crc64`` (CRC-64/XZ) unsigned decimal; ``headers`` are given back as they came.
    """

    md5: str
    crc64: str
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ObjectIndex:
    """The remembered facts of all buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(self, bucket: str, first: str, last: str) -> dict[str, tuple[Stamp, Facts]]:
        """Return what is known of the keys from ``first`` to ``last``, both included, in one query."""
        rows = self._database.rows(_BETWEEN, {"bucket": bucket, "first": first, "last": last})
        return {row["key"]: _entry(row) for row in rows}

    def remember(self, bucket: str, found: Iterable[tuple[str, Stamp, Facts]]) -> None:
        """Remember facts of files as they are now."""
        values = [_values(bucket, key, stamp, facts) for key, stamp, facts in found]
        if values:
            with self._database.transaction(durable=False):
                self._database.many(_REMEMBER, values)

    def forget(self, bucket: str, key: str) -> None:
        """Forget a deleted object."""
        with self._database.transaction(durable=False):
            self._database.rows(_FORGET, {"bucket": bucket, "key": key})

    def begin_partial(self, bucket: str, path: str) -> None:
        """Note that a temporary file is about to appear."""
        with self._database.transaction(durable=False):
            self._database.rows(_BEGIN_PARTIAL, {"bucket": bucket, "path": path})

    def end_partial(self, bucket: str, path: str) -> None:
        """Note that a temporary file is gone."""
        with self._database.transaction(durable=False):
            self._database.rows(_END_PARTIAL, {"bucket": bucket, "path": path})

    def partials(self) -> list[tuple[str, str]]:
        """Return bucket and path of every temporary file that may be there."""
        return [(row["bucket"], row["path"]) for row in self._database.rows(_PARTIALS)]


def _entry(row: sqlite3.Row) -> tuple[Stamp, Facts]:
    headers = json.loads(row["headers"]) if row["headers"] != _NO_HEADERS else {}  # most have none, and lists are long
    facts = Facts(row["md5"], row["crc64"], row["content_type"], headers)
    return Stamp(row["size"], row["mtime_ns"], row["inode"]), facts


def _values(bucket: str, key: str, stamp: Stamp, facts: Facts) -> dict[str, Any]:
    return {
        "bucket": bucket,
        "key": key,
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "inode": stamp.inode,
        "md5": facts.md5,
        "crc64": facts.crc64,
        "content_type": facts.content_type,
        "headers": json.dumps(dict(facts.headers), sort_keys=True),
    }
