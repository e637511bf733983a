"""The keys below a folder, in the order and the pages of the API: UTF-8 byte order, prefix, marker, delimiter.

Reads names and sizes, never contents. Objects are regular files; symbolic links are not followed, so that nothing
outside the folder can be listed, and the service's own temporary files do not show. ``page`` cuts any listing by key,
that of uploads too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, Generic, TypeVar

from reconciler.service import keys
from reconciler.service.index import Stamp

MAX_KEYS: Final = 1000

T = TypeVar("T")

Found = Iterator[tuple[str, Stamp]]
"""Keys in order, with their files' stamps."""


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


def page(found: Iterator[tuple[str, T]], query: Query) -> tuple[Page[T], Iterator[tuple[str, T]]]:
    """Take one page from what was found for the query, in order; return it with what is left for the pages after it."""
    if not query.delimiter:
        entries = tuple(islice(found, query.max_keys))
        return _page(entries, (), entries[-1][0] if entries else "", found)
    return _grouped(found, query)


def _grouped(found: Iterator[tuple[str, T]], query: Query) -> tuple[Page[T], Iterator[tuple[str, T]]]:
    entries: list[tuple[str, T]] = []
    prefixes: list[str] = []
    last = ""
    for key, value in found:
        end = key.find(query.delimiter, len(query.prefix))
        group = key[: end + len(query.delimiter)] if end >= 0 else ""
        if group and (group == last or group <= query.marker):
            continue
        if len(entries) + len(prefixes) == query.max_keys:
            return _page(entries, prefixes, last, chain([(key, value)], found))
        last = group or key
        if group:
            prefixes.append(group)
        else:
            entries.append((key, value))
    return _page(entries, prefixes, last, iter(()))


def _page(
    entries: Iterable[tuple[str, T]], prefixes: Iterable[str], last: str, rest: Iterator[tuple[str, T]]
) -> tuple[Page[T], Iterator[tuple[str, T]]]:
    following = list(islice(rest, 1))
    return Page(tuple(entries), tuple(prefixes), last if following else None), chain(following, rest)


def walk(folder: Path, prefix: str = "", marker: str = "") -> Found:
    """Find the keys that start with ``prefix`` and come after ``marker``, in UTF-8 byte order.

    Texts of Unicode sort by code point, which is the same order.
    """
    yield from _walk(os.fspath(folder), "", prefix, marker)


def _walk(folder: str, base: str, prefix: str, marker: str) -> Found:
    entries = _entries(folder, base, prefix, marker)
    while entries:
        entry = entries.pop()  # it keeps its status for as long as it lives, and there may be a million of them
        key = base + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{key}/", prefix, marker)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since the folder was read
        if stat.S_ISREG(status.st_mode) and keys.fits(key):
            yield key, Stamp.of(status)


def _entries(folder: str, base: str, prefix: str, marker: str) -> list[os.DirEntry[str]]:
    """Return what can hold wanted keys, the last one first."""
    try:
        with os.scandir(folder) as entries:
            wanted = [entry for entry in entries if keys.is_segment(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    if prefix or marker:
        wanted = [entry for entry in wanted if _may_hold(base + _name(entry), prefix, marker)]
    return sorted(wanted, key=_name, reverse=True)


def _name(entry: os.DirEntry[str]) -> str:
    """Return a name as the keys below it begin: that of a folder ends in a slash."""
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _may_hold(name: str, prefix: str, marker: str) -> bool:
    if name.endswith("/"):
        return (name > marker or marker.startswith(name)) and (name.startswith(prefix) or prefix.startswith(name))
    return name > marker and name.startswith(prefix)
