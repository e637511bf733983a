"""Pages of a listing as columns of plain values: a hundred thousand objects are too many for a node each.

Most pages have one shape, element for element and without a character that needs an escape. Such a page is cut apart by
one expression, and only what is left of it is parsed; every other page is parsed whole. Both give the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lxml import etree

from reconciler.api import xml

_ROOT: Final = "ListBucketResult"
_BETWEEN: Final = "\0"
_MOST: Final = 1000
"""Objects of a page, by the API."""

_TEXT: Final = "[ -%'-;=?-~]*"
_KEY: Final = "[!-%'-;=?-~]+"
_QUOTED: Final = "[ !#-%'-;=?-~]*"
"""Printable ASCII without ``<``, ``&`` and ``>``: it means the same to an expression and to a parser of XML."""

_OBJECT: Final = re.compile(
    f"<Contents><Key>({_KEY})</Key><LastModified>{_TEXT}</LastModified>"
    f'<ETag>(?:"|&quot;)({_QUOTED})(?:"|&quot;)</ETag><Size>([0-9]{{1,18}})</Size>'
    f"<Owner><ID>{_TEXT}</ID><DisplayName>{_TEXT}</DisplayName></Owner>"
    f"<StorageClass>{_TEXT}</StorageClass></Contents>"
)
_COLUMNS: Final = 1 + _OBJECT.groups
_HEAD: Final = re.compile(rf"<{_ROOT}>(<(\w+)>{_TEXT}</\2>|<\w+/>)*")
"""The beginning of a page in which nothing is still open but the root."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page: of every object its key, decoded, its ETag without quotes and its size in bytes; the next marker.

    The marker is None when this was the last page, and empty when the page does not say where the next one starts.
    """

    keys: Sequence[str]
    etags: Sequence[str]
    sizes: Sequence[int]
    next_marker: str | None


def read(body: bytes) -> Listed:
    """Read a page whose keys are percent-encoded. Raises ValueError when it is none."""
    return _cut(body) or _parsed(body)


def _cut(body: bytes) -> Listed | None:
    """Read a page of the usual shape; None for another one."""
    if not body.isascii():
        return None
    pieces = _OBJECT.split(body.decode("ascii"))
    head, tail = pieces[0], pieces[-1]
    count = len(pieces) // _COLUMNS
    in_one_piece = not any(pieces[_COLUMNS:-1:_COLUMNS]) and _HEAD.fullmatch(head)
    if not (0 < count <= _MOST and in_one_piece) or "<Contents" in head or "<Contents" in tail:
        return None
    try:
        rest = xml.parse(f"{head}{tail}".encode(), _ROOT)
    except xml.XmlError:
        return None  # where the mistake stands is told of the whole page
    keys, etags, sizes = (pieces[column:-1:_COLUMNS] for column in range(1, _COLUMNS))
    return Listed(_decoded(keys), etags, list(map(int, sizes)), _next_marker(rest))


def _decoded(keys: Sequence[str]) -> Sequence[str]:
    """Decode keys, all at once where they hold nothing that could be taken for what stands between them."""
    decoded = unquote(_BETWEEN.join(keys).replace("%2F", "/")).split(_BETWEEN)
    return decoded if len(decoded) == len(keys) else [unquote(key) for key in keys]


def _parsed(body: bytes) -> Listed:
    root = xml.parse(body, _ROOT)
    entries = root.findall("Contents")
    return Listed(
        [unquote(entry.findtext("Key", "")) for entry in entries],
        [entry.findtext("ETag", "").strip('"') for entry in entries],
        [int(entry.findtext("Size", "0")) for entry in entries],
        _next_marker(root),
    )


def _next_marker(root: etree._Element) -> str | None:
    truncated = (root.findtext("IsTruncated") or "").lower() == "true"
    return unquote(root.findtext("NextMarker") or "") if truncated else None
