"""Requests and responses on bare ASGI, and the XML that they carry. Which call is meant is not known here."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from reconciler.api import xml
from reconciler.api.error_codes import error_code
from reconciler.api.node import Node
from reconciler.api.objects import ErrorDocument
from reconciler.service.refused import RefusedError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

M = TypeVar("M", bound=Node)

XML_LIMIT: Final = 1 << 20
"""Bytes of XML that a call may send; the largest sensible request is a few tens of kilobytes."""

STALL_SECONDS: Final = 30.0
"""How long the next bytes of a body are waited for."""

XML_SECONDS: Final = 60.0
"""How long the whole of an XML body is waited for, so that nobody holds on by sending a byte now and then."""

_LONGEST_MESSAGE: Final = 4000
_DIGITS: Final = 18

_DECLARATION: Final = b"<?xml version='1.0' encoding='utf-8' ?>\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Names of headers are lower-case; a query parameter without a value is there with an empty one.

    ``id`` is the request id that its answer carries.
    """

    method: str
    authority: str
    raw_path: bytes
    query: Mapping[str, str]
    headers: Mapping[str, str]
    receive: Receive = field(repr=False)
    id: str = ""

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
        return cls(scope["method"], authority, raw_path or b"/", parameters, headers, receive, new_request_id())

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
        """Yield the body as it comes.

        Raises RefusedError IncompleteBody when the caller goes away, RequestTimeout when nothing comes for too long.
        """
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    message = await self.receive()
            except TimeoutError:
                raise RefusedError("RequestTimeout", f"nothing of the body came for {STALL_SECONDS:g} s") from None
            if message["type"] == "http.disconnect":
                raise RefusedError("IncompleteBody", "the connection was closed before the end of the body")
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    async def peek(self, size: int) -> tuple[bytes, Request]:
        """Return at least ``size`` bytes of the body, unless it has not so many, and the request with all of it again.

        A body that does not come is not waited for beyond the usual time; whoever reads it then finds that out.
        """
        head, taken = b"", deque[MutableMapping[str, Any]]()
        with suppress(TimeoutError):
            while len(head) < size and (not taken or taken[-1].get("more_body", False)):
                async with asyncio.timeout(STALL_SECONDS):
                    taken.append(await self.receive())
                head += taken[-1].get("body", b"")

        async def again() -> MutableMapping[str, Any]:
            return taken.popleft() if taken else await self.receive()

        return head, replace(self, receive=again)

    async def xml_body(self, limit: int = XML_LIMIT) -> bytes:
        """Return the whole body. Raises RefusedError when there is none, too much of it, or it comes too slowly."""
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > _DIGITS or int(announced) > limit):
            raise _too_large(limit)  # without reading it
        body = bytearray()
        try:
            async with asyncio.timeout(XML_SECONDS):
                async for chunk in self.chunks():
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(limit)
        except TimeoutError:
            raise RefusedError("RequestTimeout", f"the body did not come within {XML_SECONDS:g} s") from None
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
        # Names stay as the documents spell them: the Python SDK hands them to its callers so.
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        if isinstance(self.body, bytes):
            await send({"type": "http.response.body", "body": b"" if without_body else self.body})
            return
        async with aclosing(self.body) as blocks:
            async for block in blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def read_message(model: type[M], body: bytes, root: str, *, most: int = xml.MOST) -> M:
    """Read the body of a call. Raises RefusedError: MalformedXML for other bytes, InvalidArgument for other content."""
    try:
        return xml.read_request(model, body, root, most=most)
    except xml.ContentError as error:
        raise RefusedError("InvalidArgument", str(error)) from None
    except xml.XmlError as error:
        raise RefusedError("MalformedXML", str(error)) from None


def xml_response(message: Node, root: str) -> Response:
    """Return a message as the answer to a successful call."""
    return xml_document(xml.write(message, root))


def xml_document(body: bytes) -> Response:
    """Return a document that is written already as the answer to a successful call."""
    return Response(200, body, {"Content-Type": "application/xml"})


def error_response(code: str, message: str, *, resource: str, request_id: str) -> Response:
    """Return an error document; all five elements are filled, older SDKs need them."""
    known = error_code(code)
    document = ErrorDocument(
        code=code,
        message=_shortened(message) or known.message or code,
        resource=_shortened(resource) or "/",
        request_id=request_id,
        trace_id=new_request_id(),
    )
    body = _DECLARATION + xml.write(document, "Error")
    return Response(known.status, body, {"Content-Type": "application/xml"})


def _shortened(message: str) -> str:
    """A request with a thousand mistakes is not answered with a thousand sentences."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"


def _too_large(limit: int) -> RefusedError:
    return RefusedError("XMLSizeLimit", f"the body is larger than {limit} bytes")


def new_request_id() -> str:
    """Return a fresh id in the shape of the cloud's: Base64 of ``seconds_random_random_random`` in hexadecimal."""
    random = secrets.token_hex(7)
    text = f"{int(time.time()):x}_{random[:6]}_{random[6:10]}_{random[10:]}"
    return base64.b64encode(text.encode()).decode()
