"""Requests and responses on bare ASGI, and the XML that they carry. Which call is meant is not known here."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from reconciler.api import xml
from reconciler.api.error_codes import error_code
from reconciler.api.node import Node
from reconciler.api.objects import ErrorDocument
from reconciler.service.refused import RefusedError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

XML_LIMIT: Final = 1 << 20
"""Bytes of XML that a call may send; the largest sensible request is a few tens of kilobytes."""

_DECLARATION: Final = b"<?xml version='1.0' encoding='utf-8' ?>\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Names of headers are lower-case; a query parameter without a value is there with an empty one."""

    method: str
    authority: str
    raw_path: bytes
    query: Mapping[str, str]
    headers: Mapping[str, str]
    receive: Receive = field(repr=False)

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Request:
        """Read the head of a call; its target may be in absolute form, as clients of a proxy send it."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        authority = headers.get("host", "")
        if raw_path.lower().startswith((b"http://", b"https://")):
            rest = raw_path.split(b"://", 1)[1]
            host, slash, raw_path = rest.partition(b"/")
            authority, raw_path = host.decode("latin-1"), slash + raw_path
        query = scope["query_string"].decode("latin-1")
        parameters = dict(parse_qsl(query, keep_blank_values=True, errors="replace"))
        return cls(scope["method"], authority, raw_path or b"/", parameters, headers, receive)

    @property
    def path(self) -> str:
        """The decoded path. Raises RefusedError InvalidURI when it is not UTF-8."""
        try:
            return unquote_to_bytes(self.raw_path).decode()
        except UnicodeDecodeError:
            raise RefusedError("InvalidURI", "the path is not percent-encoded UTF-8") from None

    def parameter(self, name: str) -> str | None:
        """Return a query parameter; an empty one counts as absent, because SDKs send empty ones."""
        return self.query.get(name) or None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises RefusedError IncompleteBody when the caller goes away."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise RefusedError("IncompleteBody", "the connection was closed before the end of the body")
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    async def xml_body(self) -> bytes:
        """Return the whole body. Raises RefusedError when there is none, or too much of it."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > XML_LIMIT:
                raise RefusedError("XMLSizeLimit", f"the body is larger than {XML_LIMIT} bytes")
        if not body:
            raise RefusedError("MissingRequestBodyError", "the request has no body")
        return bytes(body)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``length`` is what Content-Length says when the bytes of ``body`` do not."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None

    async def send(self, send: Send, *, extra: Mapping[str, str], without_body: bool) -> None:
        """Send it with further headers; an answer to HEAD announces its body and leaves it out."""
        headers = {**self.headers, **extra}
        length = len(self.body) if isinstance(self.body, bytes) and self.length is None else self.length
        if self.status not in (204, 304):
            headers["Content-Length"] = str(length)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        if isinstance(self.body, bytes):
            await send({"type": "http.response.body", "body": b"" if without_body else self.body})
            return
        async with aclosing(self.body) as blocks:
            async for block in blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def xml_response(message: Node, root: str) -> Response:
    """Return a message as the answer to a successful call."""
    return Response(200, xml.write(message, root), {"Content-Type": "application/xml"})


def error_response(code: str, message: str, *, resource: str, request_id: str) -> Response:
    """Return an error document; all five elements are filled, older SDKs need them."""
    known = error_code(code)
    document = ErrorDocument(
        code=code,
        message=message or known.message or code,
        resource=resource or "/",
        request_id=request_id,
        trace_id=new_request_id(),
    )
    body = _DECLARATION + xml.write(document, "Error")
    return Response(known.status, body, {"Content-Type": "application/xml"})


def new_request_id() -> str:
    """Return a fresh id in the shape of the cloud's: Base64 of ``seconds_random_random_random`` in hexadecimal."""
    random = secrets.token_hex(7)
    text = f"{int(time.time()):x}_{random[:6]}_{random[6:10]}_{random[10:]}"
    return base64.b64encode(text.encode()).decode()
