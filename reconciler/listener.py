"""Where callbacks arrive during one apply: a small HTTP server that takes job ids and believes nothing else.

Whoever reaches the port may send anything, so the path is a secret that only the service is told, a callback is read
for the ids of its jobs alone, and its size, its time and the number of connections are bounded. Read are XML and both
kinds of JSON (reference/jobs-queues-templates.md §13).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import h11

from reconciler.api import xml
from reconciler.api.messages import Callback

BODY_LIMIT: Final = 1 << 20
"""Bytes of one callback; the largest sensible one is a few tens of kilobytes."""

HEAD_LIMIT: Final = 1 << 14
CONNECTIONS: Final = 100
SECONDS: Final = 10.0
"""How long one callback may take to arrive."""

_ID_LENGTH: Final = 64
_BLOCK: Final = 1 << 14


class Listener:
    """Hears callbacks at ``address`` while somebody listens: ``async with listener.ringing(ring)``."""

    def __init__(self, listening: socket.socket, host: str) -> None:
        self._socket = listening
        self._path = f"/{secrets.token_urlsafe(24)}"
        self._ring: Callable[[str], None] = lambda _: None
        self._connections: set[asyncio.Task[None]] = set()
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{listening.getsockname()[1]}{self._path}"

    @asynccontextmanager
    async def ringing(self, ring: Callable[[str], None]) -> AsyncIterator[None]:
        """Call ``ring`` with the id of every job that a callback names, while the block runs."""
        self._ring = ring
        server = await asyncio.start_server(self._connected, sock=self._socket)
        try:
            yield
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one callback from one connection."""
        if len(self._connections) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._take(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await self._answer(_Exchange(reader, writer))
        except (TimeoutError, ConnectionError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, exchange: _Exchange) -> None:
        try:
            request = await exchange.request()
            refusal = self._refusal(request)
            ids = [] if refusal else job_ids(await exchange.body())
        except h11.RemoteProtocolError as error:
            refusal, ids = error.error_status_hint, []
        except ValueError:
            refusal, ids = 400, []
        for job in ids:
            self._ring(job)
        await exchange.answer(refusal or 200)

    def _refusal(self, request: h11.Request) -> int | None:
        """Return the status for what is certainly no callback."""
        if not hmac.compare_digest(request.target, self._path.encode()):
            return 404
        return None if request.method == b"POST" else 405


class _Exchange:
    """One request and its answer on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)

    async def request(self) -> h11.Request:
        """Return the head of the request. Raises h11.RemoteProtocolError for what is none."""
        event = await self._event()
        if not isinstance(event, h11.Request):
            raise ConnectionResetError
        return event

    async def body(self) -> bytes:
        """Return the body of the request. Raises h11.RemoteProtocolError when it is broken or too long."""
        if self._http.they_are_waiting_for_100_continue:
            self._say(h11.InformationalResponse(status_code=100, headers=[]))
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > BODY_LIMIT:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
        return bytes(body)

    async def answer(self, status: int) -> None:
        """Send an answer without a body; what else the caller may say is not read."""
        headers = [("Content-Length", "0"), ("Connection", "close")]
        self._say(h11.Response(status_code=status, headers=headers))
        self._say(h11.EndOfMessage())
        await self._writer.drain()

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_BLOCK))
        return event

    def _say(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")


def job_ids(body: bytes) -> list[str]:
    """Return the ids of the jobs that a callback is about. Raises ValueError when it is none."""
    if not body.lstrip().startswith(b"{"):
        return [job.job_id for job in xml.read(Callback, body, "Response").jobs_detail]
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    details = document.get("JobsDetail", [])
    found = [_job_id(detail) for detail in (details if isinstance(details, list) else [details])]
    return [job for job in found if job]


def _job_id(detail: object) -> str | None:
    job = detail.get("JobId") if isinstance(detail, dict) else None
    return job if isinstance(job, str) and len(job) <= _ID_LENGTH else None
