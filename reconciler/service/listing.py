"""The keys below a folder, in the order and the pages of the API: UTF-8 byte order, prefix, marker, delimiter.

Reads names, and of the files of one page what their system says of them, never contents. Objects are regular files;
symbolic links are not followed, so that nothing outside the folder can be listed, and the service's own temporary files
do not show. ``page`` cuts any listing by key, that of uploads too.

A folder may hold a hundred thousand files: what is done for each of them is done for many at once, and no file is asked
for its state before its page is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import methodcaller
from pathlib import Path
from typing import Final, Generic, TypeVar

from reconciler.service import keys
from reconciler.service.index import INODE, Stamp

MAX_KEYS: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; ``max_keys`` counts keys and common prefixes together."""

    prefix: str = ""
    marker: str = ""
    delimiter: str = ""
    max_keys: int = MAX_KEYS


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Keys with what stands under them, collapsed prefixes, and where the next page starts, when there is one."""

    entries: tuple[tuple[str, T], ...] = ()
    prefixes: tuple[str, ...] = ()
    next_marker: str | None = None


class Found(Generic[T]):
    """Keys in order with what stands under them, of which pages are cut; it can tell whether there are more."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._entries = iter(entries)
        self._ahead: list[tuple[str, T]] = []

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self

    def __next__(self) -> tuple[str, T]:
        return self._ahead.pop() if self._ahead else next(self._entries)

    def take(self, most: int) -> tuple[tuple[str, T], ...]:
        """Return the next entries, at most so many."""
        ahead, self._ahead = self._ahead, []
        return (*ahead, *islice(self._entries, most - len(ahead)))

    def put_back(self, entry: tuple[str, T]) -> None:
        """Let an entry be the next one; there can be one."""
        self._ahead = [entry]

    @property
    def is_over(self) -> bool:
        """Whether there are no more."""
        if not self._ahead:
            self._ahead = list(islice(self._entries, 1))
        return not self._ahead


def page(found: Found[T], query: Query) -> Page[T]:
    """Take one page from what was found for the query; what is left is for the pages after it."""
    if query.delimiter:
        return _grouped(found, query)
    entries = found.take(query.max_keys)
    return Page(entries, (), None if found.is_over else entries[-1][0])


def _grouped(found: Found[T], query: Query) -> Page[T]:
    entries: list[tuple[str, T]] = []
    prefixes: list[str] = []
    last = ""
    for key, value in found:
        end = key.find(query.delimiter, len(query.prefix))
        group = key[: end + len(query.delimiter)] if end >= 0 else ""
        if group and (group == last or group <= query.marker):
            continue
        if len(entries) + len(prefixes) == query.max_keys:
            found.put_back((key, value))
            return Page(tuple(entries), tuple(prefixes), last)
        last = group or key
        if group:
            prefixes.append(group)
        else:
            entries.append((key, value))
    return Page(tuple(entries), tuple(prefixes))


# Files.


def walk(folder: Path, prefix: str = "", marker: str = "") -> Found[str]:
    """Find the keys that start with ``prefix`` and come after ``marker``, in UTF-8 byte order, with their files' paths.

    Texts of Unicode sort by code point, which is the same order.
    """
    return Found(chain.from_iterable(_walk(os.fspath(folder), "", prefix, marker)))


def stamped(entries: Iterable[tuple[str, str]]) -> list[tuple[str, Stamp]]:
    """Ask for the state of the files that were found; those that are gone, or are something else now, are left out."""
    found = []
    for key, path in entries:
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((key, Stamp(status.st_size, status.st_mtime_ns, status.st_ino & INODE)))
    return found


def _walk(folder: str, base: str, prefix: str, marker: str) -> Iterator[Iterable[tuple[str, str]]]:
    """Yield keys and paths in runs: the files of a folder between two folders in it."""
    for is_folder, names in groupby(_names(folder, base, prefix, marker), methodcaller("endswith", "/")):
        if is_folder:
            for name in names:
                yield from _walk(f"{folder}/{name[:-1]}", f"{base}{name}", prefix, marker)
        else:
            files = list(names)
            yield zip(map(base.__add__, files), map(f"{folder}/".__add__, files), strict=True)


def _names(folder: str, base: str, prefix: str, marker: str) -> list[str]:
    """Return what can hold wanted keys, in order; the name of a folder ends in a slash, as the keys below it go on."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name if entry.is_file(follow_symlinks=False) else f"{entry.name}/"
                for entry in entries
                if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    if not keys.are_segments(names):
        names = [name for name in names if keys.is_segment(name.removesuffix("/"))]
    if not keys.all_fit(len(base) + max(map(len, names), default=0)):
        names = [name for name in names if keys.fits(base + name)]
    if marker or not base.startswith(prefix):
        names = [name for name in names if _may_hold(base + name, prefix, marker)]
    names.sort()
    return names


def _may_hold(name: str, prefix: str, marker: str) -> bool:
    if name.endswith("/"):
        return (name > marker or marker.startswith(name)) and (name.startswith(prefix) or prefix.startswith(name))
    return name > marker and name.startswith(prefix)
