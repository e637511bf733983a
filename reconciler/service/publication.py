"""Bringing a finished render to its key: one file, or a playlist that comes after everything that it names.

The segments of a playlist are named by a digest of their contents and of its key. So a new result never overwrites the
segments of the old one, and which segments belong to a playlist can be proven: nothing else is ever deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.api import codecs
from reconciler.api.messages import Operation
from reconciler.service import files
from reconciler.service.bucket import Bucket
from reconciler.service.index import Stamp
from reconciler.service.refused import RefusedError
from reconciler.service.render.containers import CONTENT_TYPES
from reconciler.service.render.unsupported import container_format

MARK: Final = 16
"""Characters of a digest with which the name of a segment begins."""

_NAMED: Final = re.compile(rb"\b([0-9a-f]{16})-")
_SEGMENT: Final = re.compile(r"[0-9a-f]{16}-(?:\d-)?(?:init|\d{5,})\.(?:ts|m4s|mp4)")
_PLAYLISTS: Final = (b"#EXTM3U", b"<?xml")
_LARGEST_PLAYLIST: Final = 4 << 20
_LONGEST_NAME: Final = "0" * MARK + "-0-0000000000.m4s"


def identity_of(operation: Operation, sources: Mapping[str, Path]) -> str:
    """Return a digest of everything that decides a render, in hexadecimal.

    ``sources`` are the files of the operation's urls; a file counts by its place, size, time and inode. Raises
    RefusedError NoSuchKey when one is gone.
    """
    told = operation.plain()
    for name in ("output", "user_data", "job_level"):
        told.pop(name, None)
    stamps = {url: (str(path), *_stamp(path, url)) for url, path in sources.items()}
    text = json.dumps([told, stamps], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def longest_segment(operation: Operation, key: str) -> str | None:
    """Return the longest key that a segment of a result with the key ``key`` may have; None where there are none."""
    segmented = operation.transcode is not None and container_format(operation.transcode) in codecs.SEGMENTED
    return _beside(key, _LONGEST_NAME) if segmented else None


async def publish(
    bucket: Bucket, key: str, folder: Path, names: Sequence[str], *, token: str, move: bool
) -> dict[str, str]:
    """Publish the files of a result, in order, the last one under ``key`` and the others beside it.

    ``move`` takes them out of ``folder``; otherwise they are copied. Returns the MD5 of every object by its key, that
    of ``key`` first. Segments of the playlist that was there before are deleted afterwards. Raises RefusedError.
    """
    *segments, main = names
    before = await _belonging(bucket, key)
    digests = {key: ""}
    if not segments:
        digests[key] = await _publish(bucket, key, folder / main, token=token, move=move)
    else:
        mark = await files.in_thread(_mark_of, key, folder, segments)
        for name in segments:
            place = _beside(key, f"{mark}{name[MARK:]}")
            digests[place] = await _publish(bucket, place, folder / name, token=token, move=move)
        text = (folder / main).read_bytes().replace(segments[0][:MARK].encode(), mark.encode())
        with bucket.partial(key, f"{token}-playlist") as path:
            path.write_bytes(text)
            digests[key] = (await bucket.publish(key, path, content_type=_type_of(folder / main))).etag
    if stale := sorted(before - digests.keys()):
        await bucket.delete(*stale)
    return digests


async def _publish(bucket: Bucket, key: str, path: Path, *, token: str, move: bool) -> str:
    if move:
        return (await bucket.publish(key, path, content_type=_type_of(path))).etag
    with bucket.partial(key, f"{token}-copy") as copy, files.open_object(path) as source:
        await files.in_thread(files.copy, source, copy)
        return (await bucket.publish(key, copy, content_type=_type_of(path))).etag


def _type_of(path: Path) -> str | None:
    return CONTENT_TYPES.get(path.suffix.removeprefix("."))


def _stamp(path: Path, url: str) -> Stamp:
    try:
        return Stamp.of(path.stat())
    except OSError:
        raise RefusedError("NoSuchKey", f"there is no object `{url}` any more") from None


def _beside(key: str, name: str) -> str:
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{name}"


# Which segments belong to which playlist.


def _mark(key: str, digests: Mapping[str, str]) -> str:
    """Return with what the names of segments begin; ``digests`` are their MD5s by the rest of their names."""
    return hashlib.sha256(json.dumps([key, sorted(digests.items())]).encode()).hexdigest()[:MARK]


def _mark_of(key: str, folder: Path, segments: Sequence[str]) -> str:
    digests = {}
    for name in segments:
        with files.open_object(folder / name) as file:
            digests[name[MARK:]] = files.digest_of(file).md5
    return _mark(key, digests)


async def _belonging(bucket: Bucket, key: str) -> set[str]:
    """Return the keys of the segments that belong to the playlist under ``key``; none when there is no playlist."""
    found: set[str] = set()
    for mark, names in (await files.in_thread(_named, bucket, key)).items():
        keys = {name[MARK:]: _beside(key, name) for name in names}
        try:
            digests = {rest: (await bucket.head(segment)).etag for rest, segment in keys.items()}
        except RefusedError:  # somebody removes them just now
            continue
        if _mark(key, digests) == mark:
            found.update(keys.values())
    return found


def _named(bucket: Bucket, key: str) -> dict[str, list[str]]:
    """Return the files beside a playlist whose names begin with a mark that stands in it, by that mark.

    Dash names its segments by a pattern, so the folder is asked.
    """
    try:
        path = bucket.path(key)
        with files.open_object(path) as file:
            text = file.read(_LARGEST_PLAYLIST)
    except (RefusedError, OSError):
        return {}
    if not text.startswith(_PLAYLISTS):
        return {}
    marks = {match.decode() for match in _NAMED.findall(text)}
    return {mark: [file.name for file in path.parent.glob(f"{mark}-*") if _is_segment(file)] for mark in marks}


def _is_segment(file: Path) -> bool:
    return _SEGMENT.fullmatch(file.name) is not None and file.is_file()
