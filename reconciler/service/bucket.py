"""Objects on disk: put, get, head, list, delete. A bucket is a folder; every regular file in it is an object.

The file is the object, at once and without registration; the index only remembers what the file does not say. What is
written appears under its key whole or not at all. Nothing outside the folder is reached: symbolic links below it are
not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from fastcrc import crc64

from reconciler.service import keys, listing
from reconciler.service.address import BUCKET_NAME
from reconciler.service.index import Facts, ObjectIndex, Stamp
from reconciler.service.refused import RefusedError

_BLOCK: Final = 1 << 20
_ATTEMPTS: Final = 5
_KEPT_WALKS: Final = 8
_WALK_SECONDS: Final = 5.0
_DEFAULT_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its key, its file's stamp and what is known of it."""

    key: str
    stamp: Stamp
    facts: Facts

    @property
    def etag(self) -> str:
        """Lower-case hexadecimal MD5 of the content, without quotes."""
        return self.facts.md5

    @property
    def modified(self) -> int:
        """Seconds since 1970."""
        return self.stamp.mtime_ns // 1_000_000_000

    @property
    def content_type(self) -> str:
        """As the writer named it, otherwise by the key's suffix."""
        return self.facts.content_type or mimetypes.guess_type(self.key, strict=False)[0] or _DEFAULT_TYPE


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """One page of a listing."""

    objects: tuple[ObjectInfo, ...]
    prefixes: tuple[str, ...]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """What a writer demands of a new object. ``md5`` is the digest (hexadecimal) that the content must have."""

    md5: str | None = None
    length: int | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    forbid_overwrite: bool = False


class Digest:
    """MD5 and CRC-64/XZ of what was fed to it."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = 0
        self.size = 0

    def update(self, block: bytes) -> None:
        """Feed the next bytes."""
        self._md5.update(block)
        self._crc64 = crc64.xz(block, self._crc64)
        self.size += len(block)

    def facts(self, content_type: str | None = None, headers: Mapping[str, str] | None = None) -> Facts:
        """Return the digests as facts of an object."""
        return Facts(self._md5.hexdigest(), str(self._crc64), content_type, headers or {})


class _Walks:
    """Listings that were cut into pages, so that the next page goes on where the last one ended.

    Without it every page would read the folder anew. A listing may so miss, for a few seconds, what a person drops
    into the folder behind its marker; what is written through the bucket makes it look again.
    """

    def __init__(self) -> None:
        self._walks: OrderedDict[listing.Query, tuple[float, listing.Found]] = OrderedDict()

    def keep(self, query: listing.Query, rest: listing.Found) -> None:
        self._walks[query] = (time.monotonic(), rest)
        if len(self._walks) > _KEPT_WALKS:
            self._walks.popitem(last=False)

    def resume(self, query: listing.Query) -> listing.Found | None:
        kept, rest = self._walks.pop(query, (0.0, None))
        return rest if time.monotonic() - kept < _WALK_SECONDS else None

    def forget(self) -> None:
        self._walks.clear()


class Bucket:
    """The objects below one folder, which need not exist as long as nothing is written."""

    def __init__(self, name: str, folder: Path, index: ObjectIndex) -> None:
        self.name = name
        self._folder = folder.resolve()
        self._index = index
        self._walks = _Walks()

    # Reading.

    async def head(self, key: str) -> ObjectInfo:
        """Return what is stored under a key. Raises RefusedError NoSuchKey."""
        info, file = await self.open(key)
        file.close()
        return info

    async def open(self, key: str) -> tuple[ObjectInfo, BinaryIO]:
        """Return an object and its open file, whose content is the object's whatever happens to the key meanwhile."""
        file = _open(self.path(key), key)
        try:
            stamp = Stamp.of(os.fstat(file.fileno()))
            if known := self._known(key, stamp):
                return ObjectInfo(key, stamp, known), file
            stamp, facts = await asyncio.to_thread(_digest_file, file)
            self._index.remember(self.name, [(key, stamp, facts)])
            return ObjectInfo(key, stamp, facts), file
        except BaseException:
            file.close()
            raise

    def path(self, key: str) -> Path:
        """Return the file of an existing object. Raises RefusedError NoSuchKey."""
        if not keys.is_key(key):
            raise _no_such_key(key)
        path = self._folder / key
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise _no_such_key(key) from None
        if not stat.S_ISREG(status.st_mode) or not self._inside(path.parent):
            raise _no_such_key(key)
        return path

    async def page(self, query: listing.Query) -> ObjectPage:
        """Return one page of the bucket's objects; contents that are not known yet are read to learn their ETag."""
        walk = self._walks.resume(query) or listing.walk(self._folder, query.prefix, query.marker)
        page, rest = await asyncio.to_thread(listing.page, walk, query)
        if page.next_marker is not None:
            self._walks.keep(replace(query, marker=page.next_marker), rest)
        objects = await self._describe(page.objects)
        return ObjectPage(tuple(objects), page.prefixes, page.next_marker)

    # Writing.

    async def put(self, key: str, chunks: AsyncIterator[bytes], upload: Upload) -> ObjectInfo:
        """Store an object. Raises RefusedError when the content is not what ``upload`` says, or the key cannot be."""
        digest = Digest()
        with self.partial(key, secrets.token_hex(8)) as path:
            with path.open("wb") as file:
                async for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            if upload.length is not None and digest.size != upload.length:
                raise RefusedError("IncompleteBody", f"{digest.size} of {upload.length} bytes came")
            facts = digest.facts(upload.content_type, upload.headers)
            if upload.md5 is not None and upload.md5 != facts.md5:
                raise RefusedError("BadDigest", "Content-MD5 is not the digest of the body")
            return await self.publish(key, path, facts=facts, forbid_overwrite=upload.forbid_overwrite)

    @contextmanager
    def partial(self, key: str, token: str) -> Iterator[Path]:
        """Give a new, empty temporary file in the folder that ``key`` belongs to; it is gone at the end of the block.

        Raises RefusedError when there cannot be an object with this key.
        """
        keys.check(key)
        folder = (self._folder / key).parent
        name = keys.partial_name(token)
        relative = os.path.relpath(folder / name, self._folder)
        existed = folder.is_dir()
        self._index.begin_partial(self.name, relative)
        try:
            yield self._create(folder, name, key)
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                (folder / name).unlink()
            if not existed:
                self._remove_empty(folder)
            self._index.end_partial(self.name, relative)

    async def publish(
        self,
        key: str,
        path: Path,
        *,
        facts: Facts | None = None,
        content_type: str | None = None,
        forbid_overwrite: bool = False,
    ) -> ObjectInfo:
        """Move a complete temporary file to its key, whatever is there, and return the new object.

        It is on the disk for good when this returns. Without ``facts`` the file is read for its digests.
        """
        stored = await asyncio.to_thread(_settle, path, facts, content_type)
        target = self._folder / key
        _move(path, target, key, forbid_overwrite=forbid_overwrite)
        self._walks.forget()
        info = ObjectInfo(key, Stamp.of(target.lstat()), stored)
        self._index.remember(self.name, [(key, info.stamp, stored)])
        await asyncio.to_thread(self._sync_folders, target.parent)
        return info

    async def delete(self, key: str) -> None:
        """Delete an object, and the folders that it leaves empty; deleting one that is not there is no error."""
        try:
            path = self.path(key)
        except RefusedError:
            return
        with suppress(FileNotFoundError):
            path.unlink()
        self._walks.forget()
        self._index.forget(self.name, key)
        if path.parent.is_dir():
            await asyncio.to_thread(_sync_folder, path.parent)
        self._remove_empty(path.parent)

    def remove_partial(self, relative: str) -> None:
        """Remove a temporary file that a dead process left."""
        path = self._folder / relative
        if keys.is_partial(path.name) and self._inside(path.parent):
            path.unlink(missing_ok=True)
            self._remove_empty(path.parent)
        self._index.end_partial(self.name, relative)

    # Details.

    def _known(self, key: str, stamp: Stamp) -> Facts | None:
        known = self._index.between(self.name, key, key).get(key)
        return known[1] if known and known[0] == stamp else None

    async def _describe(self, found: tuple[tuple[str, Stamp], ...]) -> list[ObjectInfo]:
        if not found:
            return []
        known = self._index.between(self.name, found[0][0], found[-1][0])
        unknown = [key for key, stamp in found if key not in known or known[key][0] != stamp]
        if unknown:
            fresh = await asyncio.to_thread(_digest_files, self._folder, unknown)
            self._index.remember(self.name, ((key, stamp, facts) for key, (stamp, facts) in fresh.items()))
            known |= fresh
            vanished = set(unknown) - fresh.keys()
            found = tuple((key, stamp) for key, stamp in found if key not in vanished)
        return [ObjectInfo(key, *known[key]) for key, _ in found]

    def _create(self, folder: Path, name: str, key: str) -> Path:
        """Create an empty file, and the folders above it; one may be removed as empty just before the file is there."""
        for _ in range(_ATTEMPTS):
            try:
                if not self._inside(folder):
                    raise _path_conflict(key)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).touch(exist_ok=False)
            except FileNotFoundError:
                continue
            except (FileExistsError, NotADirectoryError):
                raise _path_conflict(key) from None
            return folder / name
        raise RefusedError("PathConflict", f"the folder of `{key}` is being deleted; try again")

    def _inside(self, folder: Path) -> bool:
        """Tell whether a path below the bucket's folder really lies there: no symbolic link on the way."""
        return os.path.realpath(folder) == os.fspath(folder)

    def _sync_folders(self, folder: Path) -> None:
        while folder.is_relative_to(self._folder):
            _sync_folder(folder)
            folder = folder.parent

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders that hold nothing: the API has no folders, and an empty one would stand in a key's way."""
        while folder != self._folder and folder.is_relative_to(self._folder):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


class Buckets:
    """The buckets of a service: every folder below one folder that is named as a bucket, and the project's own."""

    def __init__(self, folder: Path, index: ObjectIndex, default: str) -> None:
        self._folder = folder
        self._index = index
        self._known: dict[str, Bucket] = {}
        self.default = default

    def get(self, name: str) -> Bucket | None:
        """Return a bucket, or None when there is none of this name."""
        if name != self.default and not (BUCKET_NAME.fullmatch(name) and (self._folder / name).is_dir()):
            return None
        if name not in self._known:
            self._known[name] = Bucket(name, self._folder / name, self._index)
        return self._known[name]

    def remove_partials(self) -> None:
        """Remove the temporary files that dead processes left; only the owner of the folder may do so."""
        for name, relative in self._index.partials():
            Bucket(name, self._folder / name, self._index).remove_partial(relative)


def _open(path: Path, key: str) -> BinaryIO:
    try:
        return open(path, "rb", opener=_without_following)
    except FileNotFoundError:
        raise _no_such_key(key) from None
    except PermissionError:
        raise RefusedError("AccessDenied", f"the service may not read the file of `{key}`") from None


def _without_following(path: str, flags: int) -> int:
    """Open neither what a link leads to, should it have become one just now, nor wait for the writer of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _digest_file(file: BinaryIO) -> tuple[Stamp, Facts]:
    """Read a file for its digests. The stamp is from before: a file that grew meanwhile will not match it."""
    stamp = Stamp.of(os.fstat(file.fileno()))
    digest = Digest()
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return stamp, digest.facts()


def _digest_files(folder: Path, wanted: Iterable[str]) -> dict[str, tuple[Stamp, Facts]]:
    """Read those files that are still there."""
    found = {}
    for key in wanted:
        try:
            with _open(folder / key, key) as file:
                found[key] = _digest_file(file)
        except RefusedError as error:
            if error.code != "NoSuchKey":
                raise
    return found


def _settle(path: Path, facts: Facts | None, content_type: str | None) -> Facts:
    """Bring a file's content to the disk, and read its digests when nobody knows them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return facts or replace(_digest_file(file)[1], content_type=content_type)


def _move(path: Path, target: Path, key: str, *, forbid_overwrite: bool) -> None:
    """Give a file its final name in one step; a link fails where something has the name already."""
    try:
        if forbid_overwrite:
            os.link(path, target)
        else:
            path.replace(target)
    except FileExistsError:
        raise RefusedError("FileAlreadyExists", f"an object `{key}` exists") from None
    except (IsADirectoryError, NotADirectoryError):
        raise _path_conflict(key) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_such_key(key: str) -> RefusedError:
    return RefusedError("NoSuchKey", f"there is no object `{key}`")


def _path_conflict(key: str) -> RefusedError:
    return RefusedError("PathConflict", f"`{key}`: one key cannot be a folder of another in a plain folder of files")
