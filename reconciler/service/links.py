"""Calls of the object API by addresses that were signed before: get an object, put a part, look at an upload.

Each call is made once; whether to make it again is decided by who calls. Content is checked on both ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import httpx

from reconciler.api import xml
from reconciler.api.objects import ErrorDocument
from reconciler.service import files
from reconciler.service.digest import Digest

_CONNECT_SECONDS: Final = 10.0
_BLOCK: Final = 1 << 18
_LATER: Final = (408, 429)
_USER_AGENT: Final = "reconciler-render"


@dataclass(frozen=True, slots=True)
class Link:
    """An address of the service that holds by itself, and the name to call the service by there."""

    url: str = field(repr=False)
    host: str


class UnheardError(Exception):
    """No usable answer came; the same call may succeed a little later."""


class DeniedError(Exception):
    """The service said no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Stretch:
    """At most ``most`` bytes of a file from ``start`` on, which can be read again."""

    path: Path
    start: int
    most: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        with files.open_object(self.path) as file:
            file.seek(self.start)
            left = self.most
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block

    def __len__(self) -> int:
        return min(self.most, self.path.stat().st_size - self.start)


class ObjectApi:
    """The calls of the object API that a render makes, each once; for ``seconds`` the next bytes are waited for.

    A bare transport asks no proxies, follows no redirects, and writes no address, with its signature, into a log.
    """

    def __init__(self, seconds: float) -> None:
        self._timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS).as_dict()
        self._http = httpx.HTTPTransport()

    def close(self) -> None:
        """Close the connections; no call may be under way."""
        self._http.close()

    def look(self, link: Link) -> None:
        """Ask whether the upload is there. Raises DeniedError when it is not."""
        with self._answer("GET", link):
            pass

    def get(self, link: Link, path: Path, check: Callable[[], None]) -> None:
        """Bring an object into a file, and see that it came whole."""
        digest = Digest()
        with self._answer("GET", link) as answer, path.open("wb") as file:
            for block in answer.iter_raw(_BLOCK):
                check()
                digest.update(block)
                file.write(block)
        said = answer.headers.get("content-length"), answer.headers.get("x-cos-hash-crc64ecma")
        if said != (str(digest.size), digest.crc64):
            raise UnheardError("an object came damaged")

    def put(self, link: Link, content: bytes | Stretch, check: Callable[[], None]) -> str:
        """Send a part, see that it came whole, and return its MD5."""
        digest = hashlib.md5(usedforsecurity=False)

        def blocks() -> Iterator[bytes]:
            for block in (content,) if isinstance(content, bytes) else content.blocks():
                check()
                digest.update(block)
                yield block

        with self._answer("PUT", link, blocks(), {"Content-Length": str(len(content))}) as answer:
            etag: str = answer.headers.get("etag", "").strip('"')
        if etag != digest.hexdigest():
            raise UnheardError("a part came damaged")
        return etag

    @contextmanager
    def _answer(
        self, method: str, link: Link, content: Iterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Give an answer of success whose body is still to be read. Raises DeniedError, UnheardError."""
        named = {"Host": link.host, "User-Agent": _USER_AGENT, **(headers or {})}
        request = httpx.Request(method, link.url, headers=named, content=content, extensions={"timeout": self._timeout})
        try:
            with closing(self._http.handle_request(request)) as answer:
                if not answer.is_success:
                    answer.read()
                    _refuse(answer)
                yield answer
        except (httpx.TransportError, httpx.StreamError) as error:
            raise UnheardError(str(error) or type(error).__name__) from None


def _refuse(answer: httpx.Response) -> NoReturn:
    """Raise what an answer means that is none of success."""
    status, code, message = answer.status_code, "", answer.reason_phrase
    with suppress(Exception):  # a proxy answers in its own words
        said = xml.read(ErrorDocument, answer.content, "Error")
        code, message = said.code or "", said.message or ""
    error = DeniedError(status, code, message)
    if status >= 500 or status in _LATER:
        raise UnheardError(f"it answers {error}")
    raise error
