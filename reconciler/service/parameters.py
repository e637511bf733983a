"""Query parameters that several object calls share. An empty one counts as absent: SDKs send empty ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from reconciler.service.http import Request
from reconciler.service.listing import MAX_KEYS
from reconciler.service.refused import RefusedError

_DIGITS: Final = 18


def page_size(request: Request, name: str) -> int:
    """Return how many entries a page of a listing may have; more than a thousand are cut to that."""
    size = number(request, name, MAX_KEYS)
    if size == 0:
        raise RefusedError("InvalidArgument", f"{name} is a number from 1 to {MAX_KEYS}")
    return min(size, MAX_KEYS)


def number(request: Request, name: str, default: int) -> int:
    """Return a parameter that is a whole number from 0 on."""
    text = request.parameter(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        raise RefusedError("InvalidArgument", f"{name}: `{text[:_DIGITS]}` is not a whole number from 0 on")
    return int(text)


def encoding(request: Request) -> tuple[str | None, Callable[[str], str]]:
    """Return the encoding of keys in the reply as it was asked for, and the function that encodes one."""
    asked = request.parameter("encoding-type")
    if asked not in (None, "url"):
        raise RefusedError("InvalidArgument", f"encoding-type: `{asked}` is not known, only `url` is")
    return asked, _encoded if asked else str


def check_version(version: str | None) -> None:
    """Raise RefusedError NoSuchVersion for any version but the one, `null`, that an object without versions has."""
    if version not in (None, "", "null"):
        raise RefusedError("NoSuchVersion", "objects have no versions here: the only versionId is `null`")


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
