"""What the service remembers of objects and cannot see in their files: digests, types, metadata. SQL, no files.

A row holds for a file of one size, modification time and inode. So a file is read once to learn its ETag, and a file
that a person puts in the place of another is a new object.
"""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from reconciler.service.database import Database

INODE: Final = 2**63 - 1
"""The bits of an inode that are kept. SQLite's integers are signed; some file systems use all 64 bits for an inode."""

_DEFAULT_TYPE: Final = "application/octet-stream"

STORAGE_CLASS: Final = "x-cos-storage-class"
STANDARD: Final = "STANDARD"

_MD5_DIGITS: Final = 32
_NONE: Final = "{}"

_BETWEEN: Final = """
    SELECT key, size, mtime_ns, inode, etag, crc64, content_type, headers FROM object
    WHERE bucket = :bucket AND key BETWEEN :first AND :last ORDER BY key
"""
_REMEMBER: Final = """
    INSERT OR REPLACE INTO object (bucket, key, size, mtime_ns, inode, etag, crc64, content_type, headers)
    VALUES (:bucket, :key, :size, :mtime_ns, :inode, :etag, :crc64, :written_type, :headers)
"""
_FORGET: Final = "DELETE FROM object WHERE bucket = :bucket AND key = :key"
_BEGIN_PARTIAL: Final = "INSERT OR IGNORE INTO partial (bucket, path) VALUES (:bucket, :path)"
_END_PARTIAL: Final = "DELETE FROM partial WHERE bucket = :bucket AND path = :path"
_PARTIALS: Final = "SELECT bucket, path FROM partial ORDER BY bucket, path"


class Stamp(NamedTuple):
    """What tells one state of a file from another; ``size`` in bytes."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & INODE)


class Attributes(NamedTuple):
    """What a writer says of an object beside its content; ``headers`` are given back as they came."""

    content_type: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})

    @property
    def storage_class(self) -> str:
        """The name of the class; the usual one is kept by not being named."""
        return self.headers.get(STORAGE_CLASS, STANDARD)


NO_ATTRIBUTES: Final = Attributes()


class Facts(NamedTuple):
    """What is known of an object beside its file.

    ``etag`` has no quotes: the MD5 of the content in hexadecimal, or that of an upload in parts. ``crc64`` (CRC-64/XZ)
    is unsigned decimal.
    """

    etag: str
    crc64: str
    attributes: Attributes = NO_ATTRIBUTES

    @property
    def are_those_of_the_file(self) -> bool:
        """Whether reading the file would tell all of this again."""
        return self.attributes == NO_ATTRIBUTES and len(self.etag) == _MD5_DIGITS


class ObjectInfo(NamedTuple):
    """One object, as a row of the index has it: long lists are made of these, and nothing else."""

    key: str
    size: int
    mtime_ns: int
    inode: int
    etag: str
    crc64: str
    written_type: str | None
    headers: str

    @classmethod
    def of(cls, key: str, stamp: Stamp, facts: Facts) -> ObjectInfo:
        """Return the object that a file of this stamp is."""
        content_type, headers = facts.attributes
        return cls(key, *stamp, facts.etag, facts.crc64, content_type, headers_json(headers))

    def is_still(self, stamp: Stamp) -> bool:
        """Tell whether this is what is known of a file of this stamp."""
        return self[1:4] == stamp

    @property
    def modified(self) -> int:
        """Seconds since 1970."""
        return self.mtime_ns // 1_000_000_000

    @property
    def attributes(self) -> Attributes:
        """What its writer said of it."""
        return Attributes(self.written_type, headers_of(self.headers))

    @property
    def storage_class(self) -> str:
        """The name of its class."""
        return storage_class_of(self.headers)

    @property
    def content_type(self) -> str:
        """As the writer named it, otherwise by the key's suffix."""
        return self.written_type or mimetypes.guess_type(self.key, strict=False)[0] or _DEFAULT_TYPE


class ObjectIndex:
    """The remembered facts of all buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(self, bucket: str, first: str, last: str) -> list[ObjectInfo]:
        """Return what is known of the keys from ``first`` to ``last``, both included, in their order, in one query."""
        rows = self._database.tuples(_BETWEEN, {"bucket": bucket, "first": first, "last": last})
        return list(map(ObjectInfo._make, rows))

    def remember(self, bucket: str, found: Iterable[ObjectInfo], *, durable: bool = False) -> None:
        """Remember objects as their files are now; ``durable`` when the files could not tell it again."""
        values = [{"bucket": bucket, **info._asdict()} for info in found]
        if values:
            with self._database.transaction(durable=durable):
                self._database.many(_REMEMBER, values)

    def forget(self, bucket: str, keys: Iterable[str]) -> None:
        """Forget deleted objects."""
        with self._database.transaction(durable=False):
            self._database.many(_FORGET, [{"bucket": bucket, "key": key} for key in keys])

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


def headers_json(headers: Mapping[str, str]) -> str:
    """Write headers as a column holds them."""
    return json.dumps(dict(headers), sort_keys=True) if headers else _NONE


def storage_class_of(column: str) -> str:
    """Read the name of an object's class from the column of its headers."""
    return STANDARD if column == _NONE else Attributes(None, headers_of(column)).storage_class


def headers_of(column: str) -> Mapping[str, str]:
    """Read headers from a column; most objects have none, and lists are long."""
    return NO_ATTRIBUTES.headers if column == _NONE else json.loads(column)
