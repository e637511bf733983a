"""Objects on disk: put, get, head, list, delete. A bucket is a folder; every regular file in it is an object.

The file is the object, at once and without registration; the index only remembers what the file does not say. What is
written appears under its key whole or not at all. Nothing outside the folder is reached: symbolic links below it are
not followed.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from reconciler.service import files, keys, listing
from reconciler.service.address import BUCKET_NAME
from reconciler.service.digest import Expected
from reconciler.service.index import Attributes, Facts, ObjectIndex, ObjectInfo, Stamp
from reconciler.service.refused import RefusedError

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5
_KEPT_WALKS: Final = 8
_WALK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """One page of a listing."""

    objects: tuple[ObjectInfo, ...]
    prefixes: tuple[str, ...]
    next_marker: str | None


class _Walks:
    """Listings that were cut into pages, so that the next page goes on where the last one ended.

    Without it every page would read the folder anew. A listing may so miss, for a few seconds, what a person drops
    into the folder behind its marker; what is written through the bucket makes it look again.
    """

    def __init__(self) -> None:
        self._walks: OrderedDict[listing.Query, tuple[float, listing.Found[str]]] = OrderedDict()

    def keep(self, query: listing.Query, rest: listing.Found[str]) -> None:
        self._walks[query] = (time.monotonic(), rest)
        if len(self._walks) > _KEPT_WALKS:
            self._walks.popitem(last=False)

    def resume(self, query: listing.Query) -> listing.Found[str] | None:
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
        with ExitStack() as stack:
            stack.callback(file.close)
            known = self._index.between(self.name, key, key)
            if known and known[0].is_still(Stamp.of(os.fstat(file.fileno()))):
                info = known[0]
            else:
                info = await files.in_thread(_digest_file, file, key)
                self._index.remember(self.name, [info])
            stack.pop_all()
        return info, file

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
        page, found = await files.in_thread(_page, walk, query)
        if page.next_marker is not None:
            self._walks.keep(replace(query, marker=page.next_marker), walk)
        objects = await self._describe(found)
        return ObjectPage(tuple(objects), page.prefixes, page.next_marker)

    # Writing.

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        expected: Expected,
        attributes: Attributes,
        *,
        forbid_overwrite: bool = False,
    ) -> ObjectInfo:
        """Store an object. Raises RefusedError when the content is not what is expected, or the key cannot be."""
        with self.partial(key, secrets.token_hex(8)) as path:
            digest = await files.fill(path, chunks)
            expected.check(digest)
            facts = Facts(digest.md5, digest.crc64, attributes)
            return await self.publish(key, path, facts=facts, forbid_overwrite=forbid_overwrite)

    async def copy(
        self, key: str, source: ObjectInfo, file: BinaryIO, attributes: Attributes, *, forbid_overwrite: bool = False
    ) -> ObjectInfo:
        """Store the content of an open object under another key; its digests are those of the source."""
        with self.partial(key, secrets.token_hex(8)) as path:
            await files.in_thread(files.copy, file, path)
            if not source.is_still(Stamp.of(os.fstat(file.fileno()))):
                raise RefusedError("PathConflict", f"the file of `{source.key}` changed while it was copied; try again")
            facts = Facts(source.etag, source.crc64, attributes)
            return await self.publish(key, path, facts=facts, forbid_overwrite=forbid_overwrite)

    async def join(
        self, key: str, parts: Sequence[Path], facts: Facts, *, forbid_overwrite: bool = False
    ) -> ObjectInfo:
        """Store files, one after the other, as one object."""
        with self.partial(key, secrets.token_hex(8)) as path:
            await files.in_thread(files.join, parts, path)
            return await self.publish(key, path, facts=facts, forbid_overwrite=forbid_overwrite)

    @contextmanager
    def partial(self, key: str, token: str) -> Iterator[Path]:
        """Give a new, empty temporary file in the folder that ``key`` belongs to; it is gone at the end of the block.

        Raises RefusedError when there cannot be an object with this key.
        """
        with self._temporary(key, token, lambda path: path.touch(exist_ok=False)) as path:
            yield path

    @contextmanager
    def partial_folder(self, key: str, token: str) -> Iterator[Path]:
        """Give a new, empty temporary folder as ``partial`` gives a file."""
        with self._temporary(key, token, Path.mkdir) as path:
            yield path

    @contextmanager
    def _temporary(self, key: str, token: str, make: Callable[[Path], None]) -> Iterator[Path]:
        keys.check(key)
        folder = (self._folder / key).parent
        name = keys.partial_name(token)
        relative = os.path.relpath(folder / name, self._folder)
        existed = folder.is_dir()
        self._index.begin_partial(self.name, relative)
        try:
            yield self._create(folder, name, key, make)
        finally:
            if _discarded(folder / name):
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

        It is on the disk for good when this returns. Without ``facts`` the file is read for its digests; with them its
        content has been brought to the disk before.
        """
        stored = await files.in_thread(_settle, path, content_type) if facts is None else facts
        target = self._folder / key
        _move(path, target, key, forbid_overwrite=forbid_overwrite)
        self._walks.forget()
        info = ObjectInfo.of(key, Stamp.of(target.lstat()), stored)
        self._index.remember(self.name, [info], durable=not stored.are_those_of_the_file)
        await files.in_thread(_sync_existing, self._up_to_here(target.parent))
        return info

    async def delete(self, *wanted: str) -> dict[str, OSError]:
        """Delete objects, and the folders that they leave empty; one that is not there counts as deleted.

        Return what the system says of those that cannot be deleted.
        """
        failed: dict[str, OSError] = {}
        folders: dict[Path, None] = {}
        for key in wanted:
            try:
                path = self.path(key)
                path.unlink()
            except (RefusedError, FileNotFoundError):
                continue
            except OSError as error:
                failed[key] = error
            else:
                folders[path.parent] = None
        self._walks.forget()
        self._index.forget(self.name, [key for key in wanted if key not in failed])
        await files.in_thread(_sync_existing, folders)
        for folder in folders:
            self._remove_empty(folder)
        return failed

    def remove_partial(self, relative: str) -> None:
        """Remove a temporary file that a dead process left; one that cannot be removed is left for the next owner."""
        path = self._folder / relative
        if keys.is_partial(path.name) and self._inside(path.parent):
            if not _discarded(path):
                return
            self._remove_empty(path.parent)
        self._index.end_partial(self.name, relative)

    # Details.

    async def _describe(self, found: Sequence[tuple[str, Stamp]]) -> list[ObjectInfo]:
        if not found:
            return []
        listed = self._index.between(self.name, found[0][0], found[-1][0])
        if [(info[0], info[1:4]) for info in listed] == found:
            return listed
        known = {info.key: info for info in listed}
        unknown = [key for key, stamp in found if (info := known.get(key)) is None or not info.is_still(stamp)]
        if unknown:
            fresh = await files.in_thread(_digest_files, self._folder, unknown)
            self._index.remember(self.name, fresh.values())
            vanished = set(unknown) - fresh.keys()
            known |= fresh
            return [known[key] for key, _ in found if key not in vanished]
        return [known[key] for key, _ in found]

    def _create(self, folder: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """Make what is temporary, and the folders above it; one may be removed as empty just before."""
        for _ in range(_ATTEMPTS):
            try:
                if not self._inside(folder):
                    raise _path_conflict(key)
                folder.mkdir(parents=True, exist_ok=True)
                make(folder / name)
            except FileNotFoundError:
                continue
            except (FileExistsError, NotADirectoryError):
                raise _path_conflict(key) from None
            return folder / name
        raise RefusedError("PathConflict", f"the folder of `{key}` is being deleted; try again")

    def _inside(self, folder: Path) -> bool:
        """Tell whether a path below the bucket's folder really lies there: no symbolic link on the way."""
        return os.path.realpath(folder) == os.fspath(folder)

    def _up_to_here(self, folder: Path) -> Iterator[Path]:
        """Yield a folder and those above it, up to the bucket's own."""
        while folder.is_relative_to(self._folder):
            yield folder
            folder = folder.parent

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders that hold nothing: the API has no folders, and an empty one would stand in a key's way."""
        for empty in self._up_to_here(folder):
            if empty == self._folder:
                return
            try:
                empty.rmdir()
            except OSError:
                return


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

    def names(self) -> list[str]:
        """Return the names of all buckets, in order; the default one need not have a folder yet."""
        return sorted({self.default, *(name for name, _ in self.listed())})

    def listed(self) -> list[tuple[str, int]]:
        """Return name and time of every bucket that has a folder; how old a folder is no file system tells."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted((path.name, int(path.stat().st_mtime)) for path in folders if self.get(path.name))

    def remove_partials(self) -> None:
        """Remove the temporary files that dead processes left; only the owner of the folder may do so."""
        for name, relative in self._index.partials():
            Bucket(name, self._folder / name, self._index).remove_partial(relative)


def _page(walk: listing.Found[str], query: listing.Query) -> tuple[listing.Page[str], list[tuple[str, Stamp]]]:
    """Take a page of a walk, and ask for the state of its files."""
    page = listing.page(walk, query)
    return page, listing.stamped(page.entries)


def _open(path: Path, key: str) -> BinaryIO:
    try:
        return files.open_object(path)
    except FileNotFoundError:
        raise _no_such_key(key) from None
    except PermissionError:
        raise RefusedError("AccessDenied", f"the service may not read the file of `{key}`") from None


def _discarded(path: Path) -> bool:
    """Remove what is temporary, if it is there, and tell whether it is gone: nobody is to fail because it is not."""
    if not os.path.lexists(path):
        return True
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return True
    except OSError as error:
        log.warning("a temporary file stays until the service is started again: %s", error)
        return False
    return True


def _digest_file(file: BinaryIO, key: str) -> ObjectInfo:
    """Read a file for its digests. The stamp is from before: a file that grew meanwhile will not match it."""
    stamp = Stamp.of(os.fstat(file.fileno()))
    digest = files.digest_of(file)
    file.seek(0)
    return ObjectInfo.of(key, stamp, Facts(digest.md5, digest.crc64))


def _digest_files(folder: Path, wanted: Iterable[str]) -> dict[str, ObjectInfo]:
    """Read those files that are still there."""
    found = {}
    for key in wanted:
        try:
            with _open(folder / key, key) as file:
                found[key] = _digest_file(file, key)
        except RefusedError as error:
            if error.code != "NoSuchKey":
                raise
    return found


def _settle(path: Path, content_type: str | None) -> Facts:
    """Bring a file's content to the disk, and read its digests."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = files.digest_of(file)
    return Facts(digest.md5, digest.crc64, Attributes(content_type))


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


def _sync_existing(folders: Iterable[Path]) -> None:
    """Bring the names in folders to the disk; one may have been removed as empty meanwhile."""
    for folder in folders:
        with suppress(FileNotFoundError):
            files.sync_folder(folder)


def _no_such_key(key: str) -> RefusedError:
    return RefusedError("NoSuchKey", f"there is no object `{key}`")


def _path_conflict(key: str) -> RefusedError:
    return RefusedError("PathConflict", f"`{key}`: one key cannot be a folder of another in a plain folder of files")
