"""A transport for `requests` that calls an ASGI application: any client built on `requests` reaches it without a socket."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from anyio.from_thread import BlockingPortal
from requests.adapters import HTTPAdapter

from reconciler.service.app import App

_BLOCK: Final = 1 << 16


class AsgiAdapter(HTTPAdapter):
    """Hand a session's requests to an application that runs in the portal's event loop.

    Where the caller has set a proxy for the request, its target is in absolute form, as a proxy would receive it.
    """

    def __init__(self, portal: BlockingPortal, app: App) -> None:
        super().__init__()
        self._portal = portal
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one request."""
        sent: list[Mapping[str, Any]] = []

        async def call() -> None:
            blocks = _blocks(request.body)
            asked, answered = False, asyncio.Event()

            async def receive() -> dict[str, Any]:
                nonlocal asked
                if asked:
                    await answered.wait()
                    return {"type": "http.disconnect"}
                block = next(blocks, None)
                asked = block is None
                return {"type": "http.request", "body": block or b"", "more_body": not asked}

            async def send(message: Mapping[str, Any]) -> None:
                sent.append(message)
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    answered.set()

            await self._app(_scope(request, absolute=bool(proxies and proxies.get("http"))), receive, send)

        self._portal.call(call)
        return self.build_response(request, _response(sent, request.method or ""))


def _scope(request: requests.PreparedRequest, *, absolute: bool) -> dict[str, Any]:
    assert request.url is not None
    url = urlsplit(request.url)
    path = f"{url.scheme}://{url.netloc}{url.path}" if absolute else url.path
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers.setdefault("host", url.netloc)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": url.query.encode("ascii"),
        "root_path": "",
        "headers": [(_latin(name), _latin(value)) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _latin(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _blocks(body: Any) -> Iterator[bytes]:
    """Yield a body in blocks; it is text, bytes, a file or blocks already."""
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        yield from (body[start : start + _BLOCK] for start in range(0, len(body), _BLOCK))
    elif hasattr(body, "read"):
        yield from iter(lambda: body.read(_BLOCK), b"")
    elif isinstance(body, Iterable):
        yield from body


def _response(sent: list[Mapping[str, Any]], method: str) -> urllib3.HTTPResponse:
    start, *rest = sent
    content = b"".join(message.get("body", b"") for message in rest)
    return urllib3.HTTPResponse(
        io.BytesIO(content),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]},
        status=start["status"],
        preload_content=False,
        request_method=method,
    )
