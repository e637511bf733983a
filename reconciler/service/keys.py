"""Object keys as paths below a bucket's folder: which keys there can be. Strings only, no file is touched.

A key is a relative path of non-empty segments, none of them ``.`` or ``..``; the cloud takes more (``a//b``, ``a/``),
which a plain folder cannot hold. What XML cannot carry cannot be a key either, because no listing could name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.api.shape import UNSENDABLE
from reconciler.service.refused import RefusedError

MAX_KEY_BYTES: Final = 850
MAX_SEGMENT_BYTES: Final = 255
"""What file systems allow; the cloud only limits the whole key."""

_MAX_BYTES: Final = 4
"""Of a character in UTF-8."""

_OWN: Final = ".reconciler-"
_PARTIAL: Final = ".partial"


def check(key: str) -> None:
    """Raise RefusedError, saying why, when no object can have this key."""
    if UNSENDABLE.search(key):
        raise RefusedError("InvalidObjectName", "the key holds a character that XML cannot carry")
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise RefusedError("InvalidObjectName", "the key has an empty segment, or one that is `.` or `..`")
    if any(is_partial(segment) for segment in segments):
        raise RefusedError("InvalidObjectName", "names such as `.reconciler-….partial` are the service's own")
    if not fits(key):
        raise RefusedError("KeyTooLong", f"a key has at most {MAX_KEY_BYTES} bytes of UTF-8")
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in segments):
        raise RefusedError("KeyTooLong", f"a segment of a key has at most {MAX_SEGMENT_BYTES} bytes of UTF-8")


def is_key(key: str) -> bool:
    """Tell whether an object can have this key."""
    try:
        check(key)
    except RefusedError:
        return False
    return True


def fits(key: str) -> bool:
    """Tell whether a key is short enough."""
    return all_fit(len(key)) or len(key.encode()) <= MAX_KEY_BYTES


def all_fit(length: int) -> bool:
    """Tell whether keys of so many characters are short enough, whatever the characters are."""
    return length * _MAX_BYTES <= MAX_KEY_BYTES


def is_segment(name: str) -> bool:
    """Tell whether a name that a file has can be a segment of a key: not when it is our own, or nothing can tell it."""
    return not UNSENDABLE.search(name) and not is_partial(name)


def are_segments(names: Sequence[str]) -> bool:
    """Tell at once that every one of many names can be a segment of a key. False says only: look at each."""
    joined = "/".join(names)
    return _OWN not in joined and not UNSENDABLE.search(joined)


def is_partial(name: str) -> bool:
    """Tell whether a file of this name is a temporary one of the service."""
    return name.startswith(_OWN) and name.endswith(_PARTIAL)


def partial_name(token: str) -> str:
    """Return the name of a temporary file."""
    return f"{_OWN}{token}{_PARTIAL}"
