"""Bringing a finished render to its key: one file, or a playlist that comes after everything that it names.

The files of a segmented result carry a digest of what they were made from in their names. So a new result never
overwrites the segments of the old one, and whoever plays sees the old one whole or the new one whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from reconciler.api import codecs
from reconciler.api.messages import Operation
from reconciler.service import files
from reconciler.service.bucket import Bucket
from reconciler.service.index import Stamp
from reconciler.service.refused import RefusedError
from reconciler.service.render.containers import CONTENT_TYPES
from reconciler.service.render.unsupported import container_format

_SEGMENT: Final = re.compile(rb"\b[0-9a-f]{16}-[0-9A-Za-z$%-]+\.(?:ts|m4s|mp4)\b")
_MARK: Final = re.compile(rb"\b([0-9a-f]{16})-")
_LARGEST_PLAYLIST: Final = 4 << 20


def identity_of(operation: Operation, sources: Mapping[str, Path], *rest: str) -> str:
    """Return a digest of everything that decides a render, in hexadecimal.

    ``sources`` are the files of the operation's urls; a file counts by its place, size, time and inode. Raises
    RefusedError NoSuchKey when one is gone.
    """
    told = operation.plain()
    for name in ("output", "user_data", "job_level"):
        told.pop(name, None)
    stamps = {url: (str(path), *_stamp(path, url)) for url, path in sources.items()}
    text = json.dumps([told, stamps, rest], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_segmented(operation: Operation) -> bool:
    """Tell whether the result is a playlist with segments."""
    return operation.transcode is not None and container_format(operation.transcode) in codecs.SEGMENTED


async def publish(
    bucket: Bucket, key: str, folder: Path, names: Sequence[str], *, token: str, move: bool
) -> dict[str, str]:
    """Publish the files of a result, in order, the last one under ``key`` and the others beside it.

    ``move`` takes them out of ``folder``; otherwise they are copied. Returns the MD5 of every object by its key, that
    of ``key`` first. Segments that only the playlist before this one named are deleted afterwards. Raises RefusedError.
    """
    *others, main = names
    before = await files.in_thread(_segments_of, bucket, key) if others else set()
    digests = {key: ""}
    for name in (*others, main):
        place = key if name is main else _beside(key, name)
        digests[place] = await _publish(bucket, place, folder / name, token=token, move=move)
    stale = [place for name in sorted(before - set(others)) if (place := _beside(key, name)) not in digests]
    if stale:
        await bucket.delete(*stale)
    return digests


async def _publish(bucket: Bucket, key: str, path: Path, *, token: str, move: bool) -> str:
    content_type = CONTENT_TYPES.get(path.suffix.removeprefix("."))
    if move:
        return (await bucket.publish(key, path, content_type=content_type)).etag
    with bucket.partial(key, f"{token}-copy") as copy, files.open_object(path) as source:
        await files.in_thread(files.copy, source, copy)
        return (await bucket.publish(key, copy, content_type=content_type)).etag


def _stamp(path: Path, url: str) -> Stamp:
    try:
        return Stamp.of(path.stat())
    except OSError:
        raise RefusedError("NoSuchKey", f"there is no object `{url}` any more") from None


def _beside(key: str, name: str) -> str:
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{name}"


def _segments_of(bucket: Bucket, key: str) -> set[str]:
    """Return the segments that the playlist under ``key`` names, as we name them; none when there is no playlist."""
    try:
        with files.open_object(bucket.path(key)) as file:
            return _named(bucket, key, file)
    except (RefusedError, OSError):
        return set()


def _named(bucket: Bucket, key: str, playlist: BinaryIO) -> set[str]:
    """Read which files are those of a playlist: dash names them by a pattern, so the folder is asked."""
    marks = {match.decode() for match in _MARK.findall(playlist.read(_LARGEST_PLAYLIST))}
    folder = bucket.path(key).parent
    return {path.name for mark in marks for path in folder.glob(f"{mark}-*") if _SEGMENT.fullmatch(path.name.encode())}
