"""What keys and addresses are: those of the bucket, near ones, and outputs that are made of each other in a circle.

Nothing is known here of requests, or of what is declared where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from reconciler.diagnostics import did_you_mean

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST: Final = re.compile(r"(?P<bucket>[a-z0-9-]+)\.cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com")
_NEAR: Final = 2000
MAX_KEY: Final = 850


class BadUrlError(ValueError):
    """A source is not in the project's bucket; internal, always turned into a diagnostic."""

    def __init__(self, summary: str, advice: str | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.advice = advice


def object_key(url: str, bucket: str, region: str) -> str:
    """Return the key that a key, or a full URL of an object in the project's bucket, means. Raises BadUrlError."""
    if _SCHEME.match(url):
        url = _key_of(url, bucket, region)
    elif ".myqcloud.com/" in url:
        raise BadUrlError(f"`{_short(url)}` is half a URL", "write https:// in front, or only the key")
    if not url.strip():
        raise BadUrlError("the key of the source is empty", "write a key of the bucket, such as input/a.mp4")
    if url.startswith("/"):
        raise BadUrlError(f"`{_short(url)}` starts with a slash; a key does not", f"write `{_short(url.lstrip('/'))}`")
    if len(url.encode()) > MAX_KEY:
        raise BadUrlError(f"the key is longer than {MAX_KEY} bytes", None)
    return url


def known_key(url: str, bucket: str, region: str) -> str:
    """Return the key of a sound or picture, or what was written when it means none: one that does not act may be so."""
    try:
        return object_key(url, bucket, region)
    except BadUrlError:
        return url


def _key_of(url: str, bucket: str, region: str) -> str:
    own = f"https://{bucket}.cos.{region}.myqcloud.com/"
    advice = f"the API takes only objects of the same bucket: write a key, or a URL that begins with {own}"
    try:
        parts = urlsplit(url)
        host = _HOST.fullmatch(parts.hostname or "")
        port = parts.port
    except ValueError:
        raise BadUrlError(f"`{_short(url)}` is not a URL", advice) from None
    if parts.scheme not in ("http", "https") or host is None or port not in (None, 80, 443):
        raise BadUrlError(f"`{_short(url)}` is not in the project's bucket", advice)
    if host["bucket"] != bucket:
        raise BadUrlError(f"the bucket `{host['bucket']}` is not the project's, `{bucket}`", advice)
    if host["region"] != region:
        raise BadUrlError(f"the region `{host['region']}` is not the project's, `{region}`", advice)
    if parts.query or parts.fragment:
        raise BadUrlError("the URL has a query", "write only the key; a ? or # in a key is %3F or %23 in a URL")
    try:
        return unquote_to_bytes(parts.path.removeprefix("/")).decode()
    except UnicodeDecodeError:
        raise BadUrlError(f"`{_short(url)}` is not UTF-8 when decoded", "write the key itself") from None


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def near_addresses(wanted: str, declared: Iterable[str]) -> str | None:
    """Return which declared address may have been meant. Looks at rows only of the entry that was named."""
    name = wanted.partition("[")[0]
    known = list(declared)
    rows = list(islice((known_one for known_one in known if known_one.startswith(f"{name}[")), _NEAR))
    if rows and wanted != name:
        return did_you_mean(wanted, rows) or f"its addresses look like `{rows[0]}`"
    if rows:
        return f"name one of its rows, such as `{rows[0]}`"
    return did_you_mean(wanted, list(islice((one for one in known if "[" not in one), _NEAR)))


def circles(upstream: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield circles, each as ``(a, b, a)`` where each is made of the next, until the rest has an order."""
    left = {address: tuple(sources) for address, sources in upstream.items() if sources}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            found = list(reversed(error.args[1]))[:-1]
            start = found.index(min(found))
            circle = (*found[start:], *found[:start])
            yield (*circle, circle[0])
            for address in circle:
                left.pop(address, None)
        else:
            return
