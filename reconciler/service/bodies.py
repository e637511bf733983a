"""The bodies of object calls: what is announced of one that comes, and sending one until its reader goes away."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from reconciler.service.digest import Expected
from reconciler.service.http import Request
from reconciler.service.refused import RefusedError

MAX_UPLOAD: Final = 5 * 1024**3
"""Bytes of an object, or of a part, that is sent or copied at once."""

_DIGITS: Final = 18


def expected(request: Request) -> Expected:
    """Return what the headers say of the body; its length is None when it comes in chunks."""
    return Expected(_content_md5(request.headers.get("content-md5")), _length(request))


def content(request: Request, length: int | None) -> AsyncIterator[bytes]:
    """Yield the body, cut at its announced length."""
    return _capped(request) if length is None else _announced(request, length)


async def checked_xml(request: Request, limit: int) -> bytes:
    """Return a body of XML, which must be what Content-MD5 says."""
    md5 = _content_md5(request.headers.get("content-md5"))
    body = await request.xml_body(limit)
    if md5 not in (None, hashlib.md5(body, usedforsecurity=False).hexdigest()):
        raise RefusedError("BadDigest", "Content-MD5 is not the digest of the body")
    return body


async def until_gone(request: Request, blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield blocks as long as the caller is there: a server takes what is sent to nobody without a word."""
    gone = asyncio.create_task(_gone(request))
    try:
        async with aclosing(blocks):
            async for block in blocks:
                yield block
                if gone.done():
                    return
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _announced(request: Request, length: int) -> AsyncIterator[bytes]:
    left = length
    async for chunk in request.chunks():
        if left:
            yield chunk[:left]
        left -= min(left, len(chunk))


async def _capped(request: Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.chunks():
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise too_large()
        yield chunk


def _length(request: Request) -> int | None:
    announced = request.headers.get("content-length")
    if announced is None:
        if "transfer-encoding" in request.headers:
            return None
        raise RefusedError("MissingContentLength", "the request has no Content-Length")
    if not (announced.isascii() and announced.isdigit()):
        raise RefusedError("InvalidArgument", "Content-Length is not a number")
    if len(announced) > _DIGITS or int(announced) > MAX_UPLOAD:
        raise too_large()
    return int(announced)


def too_large() -> RefusedError:
    """Return the refusal of what must be sent, or copied, in parts."""
    return RefusedError("EntityTooLarge", f"what is sent or copied at once has at most {MAX_UPLOAD} bytes")


def _content_md5(header: str | None) -> str | None:
    if not header:
        return None
    try:
        digest = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise RefusedError("InvalidDigest", "Content-MD5 is not the Base64 of an MD5 digest")
    return digest.hex()
