"""Calls of the application as bytes: targets, headers and bodies that no client library would send, and their answers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import uvicorn
from lxml import etree

from reconciler.api.error_codes import CODES
from reconciler.service.app import App
from reconciler.service.protocol import BoundedProtocol
from tests.service.harness import BUCKET, REGION

COS_HOST: Final = f"{BUCKET}.cos.{REGION}.myqcloud.com".encode()
CI_HOST: Final = f"{BUCKET}.ci.{REGION}.myqcloud.com".encode()
BOUND: Final = 60.0
"""Seconds after which a call counts as hanging; a call takes milliseconds."""

Headers = Sequence[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One request. ``target`` is what stands in the request line; ``gone``: the caller leaves before the body's end."""

    method: str
    target: bytes
    headers: Headers = ()
    chunks: tuple[bytes, ...] = ()
    gone: bool = False

    @classmethod
    def of(cls, method: str, host: bytes, target: bytes, body: bytes = b"", headers: Headers = ()) -> Call:
        """Return a request as clients send it, with Host and Content-Length."""
        length = [(b"content-length", str(len(body)).encode())]
        return cls(method, target, [(b"host", host), *length, *headers], (body,) if body else ())


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are lower-case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    taken: int
    """Parts of the body that were received."""

    def header(self, name: str) -> str | None:
        """Return a header that is there at most once."""
        found = [value.decode("latin-1") for key, value in self.headers if key.decode() == name]
        assert len(found) <= 1, found
        return found[0] if found else None


async def send(app: App, call: Call) -> Answer:
    """Make one call, as uvicorn would; whatever the application raises is raised."""
    raw_path, _, query = call.target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": call.method,
        "path": unquote(raw_path.decode("ascii", "replace")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": list(call.headers),
    }
    incoming = _Incoming(call)
    sent: list[Message] = []

    async def collect(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(BOUND):
        await app(scope, incoming.receive, collect)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert [part["type"] for part in rest] == ["http.response.body"] * len(rest)
    assert [part.get("more_body", False) for part in rest] == [True] * (len(rest) - 1) + [False]
    body = b"".join(part.get("body", b"") for part in rest)
    headers = tuple((name.lower(), value) for name, value in start["headers"])
    return Answer(start["status"], headers, body, incoming.taken)


class _Incoming:
    def __init__(self, call: Call) -> None:
        self._messages = self._all(call)
        self.taken = 0

    async def receive(self) -> Message:
        return await anext(self._messages)

    async def _all(self, call: Call) -> AsyncIterator[Message]:
        last = len(call.chunks) - 1
        for number, chunk in enumerate(call.chunks):
            self.taken += 1
            yield {"type": "http.request", "body": chunk, "more_body": call.gone or number < last}
        if not call.chunks and not call.gone:
            yield {"type": "http.request", "body": b"", "more_body": False}
        while True:
            yield {"type": "http.disconnect"}


@dataclass(frozen=True)
class Refusal:
    """An error document."""

    status: int
    code: str
    message: str


def well_formed(method: str, answer: Answer) -> Refusal | None:
    """Check an answer against everything that every answer has to be; return what it says when it is a refusal."""
    assert 200 <= answer.status < 600
    for name, value in answer.headers:
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9a-z-]+", name), name
        assert not re.search(rb"[\x00\r\n]", value), value
    half = (answer.header("server") or "").removeprefix("tencent-")
    assert half in ("cos", "ci")
    request_id = answer.header(f"x-{half}-request-id")
    assert request_id
    _check_length(method, answer)
    if answer.status < 400:
        if answer.body and half == "ci":
            assert etree.fromstring(answer.body).tag == "Response"
        return None
    if method == "HEAD":
        return Refusal(answer.status, "", "")
    assert answer.header("content-type") == "application/xml"
    refusal = error_of(answer, request_id)
    assert CODES[refusal.code].status == answer.status, refusal
    return refusal


def error_of(answer: Answer, request_id: str) -> Refusal:
    """Read an error document by the rules of the strictest client: five elements, each once, none empty."""
    root = etree.fromstring(answer.body)
    found = {str(child.tag): child.text for child in root}
    assert root.tag == "Error"
    assert [child.tag for child in root] == ["Code", "Message", "Resource", "RequestId", "TraceId"]
    assert all(text and text.strip() for text in found.values()), found
    assert found["RequestId"] == request_id
    return Refusal(answer.status, found["Code"] or "", found["Message"] or "")


def _check_length(method: str, answer: Answer) -> None:
    announced = answer.header("content-length")
    if answer.status in (204, 304):
        assert not answer.body
    elif method == "HEAD":
        assert announced is not None
        assert not answer.body
    else:
        assert announced == str(len(answer.body))


def mapping(headers: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    """Return headers as they are on the wire."""
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    """Cut a body into chunks."""
    return (body[at : at + size] for at in range(0, len(body), size))


# Over a socket.


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[tuple[str, int]]:
    """Serve an application on a free port of this machine, as ``reconciler serve`` does; give its address."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            await serving


async def exchange(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(BOUND):
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            with suppress(ConnectionError):
                return await reader.read()
            return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
