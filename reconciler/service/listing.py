"""The keys below a folder, in the order and the pages of the API: UTF-8 byte order, prefix, marker, delimiter.

Reads names and sizes, never contents. Objects are regular files; symbolic links are not followed, so that nothing
outside the folder can be listed, and the service's own temporary files do not show.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from reconciler.service import keys
from reconciler.service.index import Stamp

MAX_KEYS: Final = 1000

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
class Page:
    """Keys with their files' stamps, collapsed prefixes, and where the next page starts, when there is one."""

    objects: tuple[tuple[str, Stamp], ...] = ()
    prefixes: tuple[str, ...] = ()
    next_marker: str | None = None


def page(found: Found, query: Query) -> tuple[Page, Found]:
    """Take one page from what ``walk`` found for the query; return it with what is left for the pages after it."""
    objects: list[tuple[str, Stamp]] = []
    prefixes: list[str] = []
    last = ""
    for key, stamp in found:
        group = _group(key, query)
        if group and (group == last or group.encode() <= query.marker.encode(errors="surrogatepass")):
            continue
        if len(objects) + len(prefixes) == query.max_keys:
            return Page(tuple(objects), tuple(prefixes), last), chain([(key, stamp)], found)
        last = group or key
        if group:
            prefixes.append(group)
        else:
            objects.append((key, stamp))
    return Page(tuple(objects), tuple(prefixes)), iter(())


def walk(folder: Path, prefix: str = "", marker: str = "") -> Found:
    """Find the keys that start with ``prefix`` and come after ``marker``, in UTF-8 byte order."""
    yield from _walk(
        os.fspath(folder), "", prefix.encode(errors="surrogatepass"), marker.encode(errors="surrogatepass")
    )


def _group(key: str, query: Query) -> str:
    """Return the common prefix that stands for this key; empty when it stands for itself."""
    if not query.delimiter:
        return ""
    end = key.find(query.delimiter, len(query.prefix))
    return key[: end + len(query.delimiter)] if end >= 0 else ""


def _walk(folder: str, base: str, prefix: bytes, marker: bytes) -> Found:
    for name, entry in _entries(folder, base, prefix, marker):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, name.decode(), prefix, marker)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since the folder was read
        key = name.decode()
        if stat.S_ISREG(status.st_mode) and keys.is_key(key):
            yield key, Stamp.of(status)


def _entries(folder: str, base: str, prefix: bytes, marker: bytes) -> list[tuple[bytes, os.DirEntry[str]]]:
    """Return what can hold wanted keys, by full name in byte order; the name of a folder ends in a slash."""
    wanted = []
    stem = base.encode()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                name = stem + os.fsencode(entry.name) + (b"/" if is_folder else b"")
                if _may_hold(name, prefix, marker, is_folder=is_folder) and _is_utf8(name):
                    wanted.append((name, entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(wanted, key=lambda pair: pair[0])


def _may_hold(name: bytes, prefix: bytes, marker: bytes, *, is_folder: bool) -> bool:
    if is_folder:
        after = name > marker or marker.startswith(name)
        return after and (name.startswith(prefix) or prefix.startswith(name))
    return name > marker and name.startswith(prefix)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
