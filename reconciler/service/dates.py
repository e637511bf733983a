"""Points in time as HTTP and as the API's XML write them. Strings only; nobody asks a clock here."""

from __future__ import annotations

import time
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """Return a time as a header has it."""
    return formatdate(seconds, usegmt=True)


def read_http_date(header: str | None) -> int | None:
    """Read a header; one that is not readable counts as absent (RFC 9110 §13.1.3)."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) if header else None
    except (ValueError, OverflowError):
        return None


def iso_date(seconds: int, nanoseconds: int = 0) -> str:
    """Return a time as an element has it: ISO 8601, UTC, with milliseconds."""
    return f"{_second(seconds)}.{nanoseconds // 1_000_000:03}Z"


@lru_cache(maxsize=1024)  # what is listed together was often made together
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
