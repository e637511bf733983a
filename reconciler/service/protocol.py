"""HTTP/1.1 on one connection: uvicorn's, with the bounds and the error document that it leaves out.

uvicorn waits without end for the rest of a request's head, reads without end what a refused caller goes on sending, and
answers what is no HTTP with plain text. How long a body is waited for is the business of ``http``.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.service.http import error_response, new_request_id

HEAD_SECONDS: Final = 30.0
"""How long the head of a request may take, from its first byte, or from the start of the connection."""

DRAIN_SECONDS: Final = 60.0
"""How long what an answered caller still sends is read: most clients look for the answer only after their body."""

_ANSWERABLE: Final = (h11.IDLE, h11.SEND_RESPONSE)


class BoundedProtocol(H11Protocol):
    """What ``uvicorn.Config(http=…)`` takes."""

    _deadline: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; every byte belongs to a head, or to the body of a request that is being answered."""
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait(HEAD_SECONDS)
        elif self.conn.our_state is not h11.DONE:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        """Bound what is read after the answer."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._wait(DRAIN_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless the answer has begun already, and end the connection."""
        self._refuse("BadRequest", msg)

    def _refuse(self, code: str, message: str) -> None:
        between_requests = self.conn.our_state is h11.IDLE
        if self.conn.our_state in _ANSWERABLE:
            self._answer(code, message)
        if between_requests and self.transport.can_write_eof():
            self._refused = True  # closing with bytes unread would take the answer from the caller
            self.transport.write_eof()
            self._wait(DRAIN_SECONDS)
        else:
            self.transport.close()

    def _answer(self, code: str, message: str) -> None:
        answer = error_response(code, message, resource="/", request_id=new_request_id())
        assert isinstance(answer.body, bytes)
        headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body))), ("Connection", "close")]
        for event in (
            h11.Response(status_code=answer.status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))

    def _wait(self, seconds: float) -> None:
        """Begin to wait, unless that has begun already: a byte now and then does not prolong it."""
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        begun = bool(self.conn.trailing_data[0])
        if self.conn.their_state is h11.IDLE and begun and not self._refused:
            self._refuse("RequestTimeout", f"the head of the request did not come within {HEAD_SECONDS:g} s")
        else:
            self.transport.close()
