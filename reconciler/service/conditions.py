"""Conditional requests and byte ranges (RFC 9110 §13 and §14), as values: no request, no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from reconciler.service.dates import read_http_date
from reconciler.service.refused import RefusedError

_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*")
_MAX_DIGITS: Final = 18


def not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Tell whether the answer is 304. Raises RefusedError PreconditionFailed when it is 412."""
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, etag, weak=False):
            raise RefusedError("PreconditionFailed", "If-Match: the object has another ETag")
    elif (since := read_http_date(headers.get("if-unmodified-since"))) is not None and modified > since:
        raise RefusedError("PreconditionFailed", "If-Unmodified-Since: the object was modified later")
    if (known := headers.get("if-none-match")) is not None:
        return _matches(known, etag, weak=True)
    since = read_http_date(headers.get("if-modified-since"))
    return since is not None and modified <= since


def byte_range(headers: Mapping[str, str], etag: str, modified: int, size: int) -> range | None:
    """Return the bytes that are asked for; None for all of them, also when several ranges are asked for.

    Raises RefusedError InvalidRange when there are no such bytes.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if not match or not (match[1] or match[2]) or max(map(len, match.groups())) > _MAX_DIGITS:
        return None
    if not _is_same(headers.get("if-range"), etag, modified):
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


def check_source(headers: Mapping[str, str], etag: str, modified: int) -> None:
    """Check the conditions on the source of a copy. Raises RefusedError PreconditionFailed for any that fails."""
    prefix = "x-cos-copy-source-"
    asked = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(f"{prefix}if-")}
    try:
        is_unwanted = not_modified(asked, etag, modified)
    except RefusedError as error:
        raise RefusedError(error.code, f"{prefix}{error.message}") from None
    if is_unwanted:
        name = "If-None-Match" if "if-none-match" in asked else "If-Modified-Since"
        raise RefusedError("PreconditionFailed", f"{prefix}{name}: the source is what is not wanted")


def _is_same(validator: str | None, etag: str, modified: int) -> bool:
    """Tell whether If-Range names the content as it is, by its ETag or its time."""
    return validator is None or validator.strip('"') == etag or read_http_date(validator) == modified


def _matches(header: str, etag: str, *, weak: bool) -> bool:
    """Tell whether the ETag is in a list; a weak one counts only where that is enough (RFC 9110 §13.1)."""
    tags = {tag.strip().removeprefix("W/" if weak else "").strip('"') for tag in header.split(",")}
    return "*" in tags or etag in tags
