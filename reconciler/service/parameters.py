"""Query parameters as the calls of both halves read them. An empty one counts as absent: SDKs send empty ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from reconciler.service.http import Request
from reconciler.service.listing import MAX_KEYS
from reconciler.service.refused import RefusedError

MAX_PAGE: Final = 100
"""Largest page: what the documents say of the list of jobs holds for the others, of which they say nothing."""

_DEFAULT_PAGE: Final = 10
_MAX_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a list is wanted: its number, from 1, and how many entries a page has."""

    number: int
    size: int

    @property
    def skipped(self) -> int:
        """How many entries stand on the pages before."""
        return min((self.number - 1) * self.size, _MAX_NUMBER)


def number(request: Request, name: str, default: int) -> int:
    """Read a whole number that SQLite can hold. Raises RefusedError InvalidArgument."""
    text = request.parameter(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _MAX_NUMBER):
        raise illegal(name, f"`{text}` is not a number", "write digits")
    return int(text)


def choice(request: Request, name: str, allowed: Collection[str], default: str) -> str:
    """Read one of a few words. Raises RefusedError InvalidArgument."""
    text = request.parameter(name) or default
    if text not in allowed:
        *others, last = allowed
        raise illegal(name, f"`{text}` is unknown", f"write {', '.join(others)} or {last}")
    return text


def names(request: Request, name: str) -> tuple[str, ...] | None:
    """Read a list with commas, each name once and in its order; None when there is none."""
    listed = (part.strip() for part in (request.parameter(name) or "").split(","))
    return tuple(dict.fromkeys(part for part in listed if part)) or None


def illegal(name: str, problem: str, advice: str) -> RefusedError:
    """Return the refusal of a parameter."""
    return RefusedError("InvalidArgument", f"{name}: {problem}; {advice}")


# Of the media half: pages are counted.


def page(request: Request) -> Page:
    """Read ``pageNumber`` and ``pageSize``. Raises RefusedError InvalidArgument."""
    first = number(request, "pageNumber", 1)
    if first < 1:
        raise illegal("pageNumber", "0 is out of range", "pages are counted from 1")
    return Page(first, size(request, "pageSize"))


def size(request: Request, name: str) -> int:
    """Read how many entries a page has. Raises RefusedError InvalidArgument."""
    value = number(request, name, _DEFAULT_PAGE)
    if not 1 <= value <= MAX_PAGE:
        raise illegal(name, f"{value} is out of range", f"write 1 to {MAX_PAGE}")
    return value


# Of the object half: pages begin after a marker.


def page_size(request: Request, name: str) -> int:
    """Return how many entries a page of a listing may have; more than a thousand are cut to that."""
    size = number(request, name, MAX_KEYS)
    if size == 0:
        raise illegal(name, "0 is out of range", f"write 1 to {MAX_KEYS}")
    return min(size, MAX_KEYS)


def encoding(request: Request) -> tuple[str | None, Callable[[str], str]]:
    """Return the encoding of keys in the reply as it was asked for, and the function that encodes one."""
    asked = request.parameter("encoding-type")
    if asked not in (None, "url"):
        raise illegal("encoding-type", f"`{asked}` is unknown", "write url, or leave it out")
    return asked, _encoded if asked else str


def check_version(version: str | None) -> None:
    """Raise RefusedError NoSuchVersion for any version but the one, `null`, that an object without versions has."""
    if version not in (None, "", "null"):
        raise RefusedError("NoSuchVersion", "objects have no versions here: the only versionId is `null`")


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
