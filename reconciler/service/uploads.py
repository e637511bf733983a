"""Uploads in parts that are under way: their rows, and the files of their parts, which lie outside the buckets.

A part's file is named by its number and its MD5, and its row is written when the file is there and whole. So whenever
the process dies, every row has its file; files without a row are removed by the next owner (``clean``).
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.service import files, listing
from reconciler.service.database import Database
from reconciler.service.digest import Expected
from reconciler.service.index import Attributes, headers_json, headers_of
from reconciler.service.refused import RefusedError

log = logging.getLogger(__name__)

PART_NUMBERS: Final = range(1, 10_000 + 1)

_BEGIN: Final = """
    INSERT INTO upload (id, bucket, key, initiated_at, content_type, headers)
    VALUES (:id, :bucket, :key, :now, :content_type, :headers)
"""
_FIND: Final = "SELECT * FROM upload WHERE id = :id AND bucket = :bucket AND key = :key"
_PAGE: Final = """
    SELECT * FROM upload
    WHERE bucket = :bucket AND substr(key, 1, length(:prefix)) = :prefix
        AND (key > :marker OR key = :marker AND :after != '' AND id > :after)
    ORDER BY key, id LIMIT :limit
"""
_END: Final = "DELETE FROM upload WHERE id = :id"
_UPLOADS: Final = "SELECT id FROM upload"
_KEEP: Final = """
    INSERT OR REPLACE INTO part (upload, number, size, md5, crc64, modified_at)
    VALUES (:upload, :number, :size, :md5, :crc64, :modified_at)
"""
_PARTS: Final = """
    SELECT number, size, md5, crc64, modified_at FROM part
    WHERE upload = :upload AND number > :after ORDER BY number LIMIT :limit
"""
_ALL_PARTS: Final = "SELECT upload, number, md5 FROM part"
_FORGET: Final = "DELETE FROM part WHERE upload = :upload AND number = :number"


class Upload(NamedTuple):
    """One upload, and what the object will have beside its content."""

    id: str
    key: str
    initiated_at: int
    attributes: Attributes


class Part(NamedTuple):
    """One part that is there; ``md5`` in hexadecimal, ``crc64`` unsigned decimal."""

    number: int
    size: int
    md5: str
    crc64: str
    modified_at: int


class Uploads:
    """The uploads of all buckets; the files are below one folder, which is made when there is a part."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._completing: set[str] = set()

    # Reading.

    def find(self, bucket: str, key: str, upload: str) -> Upload:
        """Return an upload. Raises RefusedError NoSuchUpload."""
        rows = self._database.rows(_FIND, {"id": upload, "bucket": bucket, "key": key})
        if not rows:
            raise _no_such_upload(upload)
        return _upload(rows[0])

    def page(self, bucket: str, query: listing.Query, after: str) -> listing.Page[Upload]:
        """Return one page by key, then by age; of the marker's own key those that come after the id ``after``."""
        values = {"bucket": bucket, "prefix": query.prefix, "marker": query.marker, "after": after}
        limit = -1 if query.delimiter else query.max_keys + 1
        rows = self._database.rows(_PAGE, {**values, "limit": limit})
        return listing.page(listing.Found((row["key"], _upload(row)) for row in rows), query)

    def parts(self, upload: Upload, *, after: int = 0, limit: int = len(PART_NUMBERS)) -> list[Part]:
        """Return the parts that are there, by number, from the one after ``after`` on."""
        rows = self._database.rows(_PARTS, {"upload": upload.id, "after": after, "limit": limit})
        return [Part(*row) for row in rows]

    def path(self, upload: Upload, part: Part) -> Path:
        """Return the file of a part."""
        return self._folder / upload.id / _file_name(part.number, part.md5)

    # Writing.

    def begin(self, bucket: str, key: str, attributes: Attributes) -> Upload:
        """Begin an upload. Ids of one key are in the order of their age: clients resume the last one."""
        upload = Upload(f"{time.time_ns():019}{secrets.token_hex(24)}", key, int(time.time()), attributes)
        values = {"id": upload.id, "bucket": bucket, "key": key, "now": upload.initiated_at}
        kept = {"content_type": attributes.content_type, "headers": headers_json(attributes.headers)}
        with self._database.transaction(durable=False):
            self._database.rows(_BEGIN, values | kept)
        return upload

    async def put(self, upload: Upload, number: int, chunks: AsyncIterator[bytes], expected: Expected) -> Part:
        """Store a part, in the place of the one that had its number. Raises RefusedError when it is not as expected."""
        self._check_open(upload)
        folder = self._folder / upload.id
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / secrets.token_hex(8)
        try:
            digest = await files.fill(path, chunks)
            expected.check(digest)
            part = Part(number, digest.size, digest.md5, digest.crc64, int(time.time()))
            self._keep(upload, part, path)
        finally:
            path.unlink(missing_ok=True)
        await files.in_thread(_sync, folder)
        return part

    async def abort(self, upload: Upload) -> None:
        """Remove an upload and its parts."""
        self._check_open(upload)
        await self.end(upload)

    @contextmanager
    def completing(self, upload: Upload) -> Iterator[None]:
        """Keep everyone else from changing an upload while it becomes an object."""
        self._check_open(upload)
        self._completing.add(upload.id)
        try:
            yield
        finally:
            self._completing.discard(upload.id)

    async def end(self, upload: Upload) -> None:
        """Remove an upload that has become an object, or never will."""
        with self._database.transaction(durable=True):
            self._database.rows(_END, {"id": upload.id})
        await files.in_thread(shutil.rmtree, self._folder / upload.id, ignore_errors=True)

    def clean(self) -> None:
        """Remove files that no row names, and rows whose files a power cut took; only the owner may do so.

        What cannot be removed is in nobody's way; the next owner tries again.
        """
        rows = self._database.rows(_ALL_PARTS)
        wanted = {(row["upload"], _file_name(row["number"], row["md5"])): row["number"] for row in rows}
        uploads = {row["id"] for row in self._database.rows(_UPLOADS)}
        there = set()
        for path in self._folder.glob("*/*"):
            there.add((path.parent.name, path.name))
            if (path.parent.name, path.name) not in wanted:
                _discard(path, path.unlink)
        for folder in self._folder.glob("*"):
            if folder.name not in uploads:
                _discard(folder, folder.rmdir)
        lost = [{"upload": pair[0], "number": wanted[pair]} for pair in wanted.keys() - there]
        with self._database.transaction(durable=False):
            self._database.many(_FORGET, lost)

    # Details.

    def _check_open(self, upload: Upload) -> None:
        if not self._database.rows("SELECT 1 FROM upload WHERE id = :id", {"id": upload.id}):
            raise _no_such_upload(upload.id)
        if upload.id in self._completing:
            raise RefusedError("UploadConflict", f"the upload `{upload.id}` is being completed")

    def _keep(self, upload: Upload, part: Part, path: Path) -> None:
        """Give a whole file its name, write its row, and remove what it replaces; nobody else acts in between."""
        self._check_open(upload)
        (replaced,) = self.parts(upload, after=part.number - 1, limit=1) or (part,)
        path.replace(self.path(upload, part))
        with self._database.transaction(durable=True):
            self._database.rows(_KEEP, {"upload": upload.id, **part._asdict()})
        if replaced.number == part.number and replaced.md5 != part.md5:
            self.path(upload, replaced).unlink(missing_ok=True)


def _discard(path: Path, remove: Callable[[], None]) -> None:
    try:
        remove()
    except OSError as error:
        log.warning("%s is left over and cannot be removed: %s", path, error)


def _upload(row: sqlite3.Row) -> Upload:
    attributes = Attributes(row["content_type"], headers_of(row["headers"]))
    return Upload(row["id"], row["key"], row["initiated_at"], attributes)


def _file_name(number: int, md5: str) -> str:
    return f"{number}-{md5}"


def _sync(folder: Path) -> None:
    """Bring the names in an upload's folder, and its own, to the disk; it may have been aborted meanwhile."""
    try:
        files.sync_folder(folder)
        files.sync_folder(folder.parent)
    except FileNotFoundError:
        return


def _no_such_upload(upload: str) -> RefusedError:
    return RefusedError("NoSuchUpload", f"there is no upload `{upload}` of this key")
