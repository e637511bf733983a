"""Conditional requests and byte ranges (RFC 9110 §13 and §14), as values: no request, no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from reconciler.service.refused import RefusedError

_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*")
_MAX_DIGITS: Final = 18


def http_date(seconds: int) -> str:
    """Return a time as HTTP writes it."""
    return formatdate(seconds, usegmt=True)


def not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Tell whether the answer is 304. Raises RefusedError PreconditionFailed when it is 412."""
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, etag):
            raise RefusedError("PreconditionFailed", "If-Match: the object has another ETag")
    elif (since := _time(headers.get("if-unmodified-since"))) is not None and modified > since:
        raise RefusedError("PreconditionFailed", "If-Unmodified-Since: the object was modified later")
    if (known := headers.get("if-none-match")) is not None:
        return _matches(known, etag)
    since = _time(headers.get("if-modified-since"))
    return since is not None and modified <= since


def byte_range(headers: Mapping[str, str], etag: str, size: int) -> range | None:
    """Return the bytes that are asked for; None for all of them, also when several ranges are asked for.

    Raises RefusedError InvalidRange when there are no such bytes.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if not match or not (match[1] or match[2]) or max(map(len, match.groups())) > _MAX_DIGITS:
        return None
    if headers.get("if-range", f'"{etag}"').strip('"') != etag:
        return None
    if match[1]:
        first, last = int(match[1]), int(match[2] or size)
        if match[2] and last < first:
            return None
        wanted = range(first, min(last + 1, size))
    else:
        wanted = range(max(0, size - int(match[2])), size)
    if not wanted:
        raise RefusedError("InvalidRange", f"the object has {size} bytes")
    return wanted


def _matches(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or etag in tags


def _time(header: str | None) -> int | None:
    """Read an HTTP date; one that is not readable counts as absent (RFC 9110 §13.1.3)."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) if header else None
    except (ValueError, OverflowError):
        return None
