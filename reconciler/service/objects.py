"""Object calls: which call a request is, its headers and parameters, and the answer. Files are ``bucket``'s business.

Source: reference/cos-objects.md. Multipart uploads, copies, deleting many, and the calls about buckets are answered
with 501 NotImplemented.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import html
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import BinaryIO, Final
from urllib.parse import quote

from reconciler.api import xml
from reconciler.api.objects import CommonPrefix, ListBucketResult
from reconciler.service import conditions, listing
from reconciler.service.bucket import Bucket, ObjectInfo, ObjectPage, Upload
from reconciler.service.http import Request, Response
from reconciler.service.refused import RefusedError

MAX_UPLOAD: Final = 5 * 1024**3
_BLOCK: Final = 256 * 1024
_KEPT_HEADERS: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_META: Final = "x-cos-meta-"
_UNSUPPORTED: Final = frozenset(
    {
        *("acl", "append", "ci-process", "cors", "delete", "domain"),
        *("encryption", "inventory", "lifecycle", "location", "logging", "object-lock"),
        *("partNumber", "policy", "referer", "replication", "restore", "select"),
        *("tagging", "torrent", "uploadId", "uploads", "versioning", "versions"),
        "website",
    }
)
"""Sub-resources and operations of other calls; each selects a call of its own, so none can be ignored."""


class ObjectCalls:
    """The object half of the API for every bucket. Without ``writable`` only reading is served."""

    def __init__(self, region: str, *, writable: bool) -> None:
        self._region = region
        self._writable = writable

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one object call."""
        if asked := _UNSUPPORTED & request.query.keys():
            raise RefusedError("NotImplemented", f"`?{min(asked)}` is not part of this service")
        key = request.path[1:]
        if request.method in ("PUT", "POST", "DELETE"):
            return await self._write(request, bucket, key)
        if request.method not in ("GET", "HEAD"):
            raise RefusedError("MethodNotAllowed", f"{request.method} is not a call of this API")
        if key:
            return await _get(request, bucket, key)
        if request.method == "HEAD":
            return Response(headers={"x-cos-bucket-region": self._region})
        return await self._list(request, bucket)

    async def _write(self, request: Request, bucket: Bucket, key: str) -> Response:
        if not key or request.method == "POST" or "x-cos-copy-source" in request.headers:
            raise RefusedError("NotImplemented", "this call is not part of this service")
        if not self._writable:
            raise RefusedError("AccessDenied", "this service only reads: it does not own its folder")
        if request.method == "PUT":
            return await _put(request, bucket, key)
        await bucket.delete(key)
        return Response(204)

    async def _list(self, request: Request, bucket: Bucket) -> Response:
        encoded = request.parameter("encoding-type")
        if encoded not in (None, "url"):
            raise RefusedError("InvalidArgument", "encoding-type: only `url` is known")
        query = listing.Query(
            request.query.get("prefix", ""),
            request.query.get("marker", ""),
            request.query.get("delimiter", ""),
            _max_keys(request),
        )
        page = await bucket.page(query)
        write = _encoded if encoded else str
        result = ListBucketResult(
            name=bucket.name,
            encoding_type=encoded,
            prefix=write(query.prefix),
            marker=write(query.marker),
            max_keys=query.max_keys,
            delimiter=write(query.delimiter) if query.delimiter else None,
            is_truncated=page.next_marker is not None,
            next_marker=None if page.next_marker is None else write(page.next_marker),
            common_prefixes=tuple(CommonPrefix(prefix=write(prefix)) for prefix in page.prefixes) or None,
        )
        body = _with_contents(xml.write(result, "ListBucketResult"), page, write, bucket.name.rpartition("-")[2])
        return Response(200, body, {"Content-Type": "application/xml", "x-cos-bucket-region": self._region})


async def _put(request: Request, bucket: Bucket, key: str) -> Response:
    length = _length(request)
    upload = Upload(
        md5=_content_md5(request.headers.get("content-md5")),
        length=length,
        content_type=request.headers.get("content-type") or None,
        headers={k: v for k, v in request.headers.items() if k in _KEPT_HEADERS or k.startswith(_META)},
        forbid_overwrite=request.headers.get("x-cos-forbid-overwrite", "").lower() == "true",
    )
    info = await bucket.put(key, _capped(request) if length is None else _announced(request, length), upload)
    return Response(headers={"ETag": f'"{info.etag}"', "x-cos-hash-crc64ecma": info.facts.crc64})


async def _get(request: Request, bucket: Bucket, key: str) -> Response:
    replaced = _replaced(request)
    info, file = await bucket.open(key)
    with ExitStack() as stack:
        stack.callback(file.close)
        if conditions.not_modified(request.headers, info.etag, info.modified):
            return Response(304, headers=_identity(info))
        wanted = conditions.byte_range(request.headers, info.etag, info.stamp.size)
        part = range(info.stamp.size) if wanted is None else wanted
        headers = _headers(info) | replaced
        if wanted is not None:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{info.stamp.size}"
        if request.method == "HEAD":
            return Response(206 if wanted else 200, b"", headers, length=len(part))
        stack.pop_all()  # the stream closes the file
        return Response(206 if wanted else 200, _stream(file, part), headers, length=len(part))


async def _stream(file: BinaryIO, part: range) -> AsyncGenerator[bytes, None]:
    """Yield a part of a file, and close it. A file that was cut short meanwhile ends the connection early."""
    with file:
        file.seek(part.start)
        left = len(part)
        while left and (block := await asyncio.to_thread(file.read, min(left, _BLOCK))):
            left -= len(block)
            yield block


async def _announced(request: Request, length: int) -> AsyncIterator[bytes]:
    """Yield the body, cut at its announced length."""
    left = length
    async for chunk in request.chunks():
        yield chunk[:left]
        left -= min(left, len(chunk))


async def _capped(request: Request) -> AsyncIterator[bytes]:
    """Yield a body whose length nobody announced."""
    size = 0
    async for chunk in request.chunks():
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise _too_large()
        yield chunk


def _length(request: Request) -> int | None:
    """Return the announced length; None for a body that comes in chunks."""
    announced = request.headers.get("content-length")
    if announced is None:
        if "transfer-encoding" in request.headers:
            return None
        raise RefusedError("MissingContentLength", "the request has no Content-Length")
    if not (announced.isascii() and announced.isdigit()):
        raise RefusedError("InvalidArgument", "Content-Length is not a number")
    if len(announced) > 18 or int(announced) > MAX_UPLOAD:
        raise _too_large()
    return int(announced)


def _too_large() -> RefusedError:
    return RefusedError("EntityTooLarge", f"an object that is put at once has at most {MAX_UPLOAD} bytes")


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


def _max_keys(request: Request) -> int:
    text = request.parameter("max-keys") or str(listing.MAX_KEYS)
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) == 0:
        raise RefusedError("InvalidArgument", "max-keys is a number from 1 to 1000")
    return min(int(text), listing.MAX_KEYS)


def _with_contents(document: bytes, page: ObjectPage, write: Callable[[str], str], account: str) -> bytes:
    """Put the objects into a listing as text: a hundred thousand times a model each takes ten times as long."""
    owner = f"<Owner><ID>{account}</ID><DisplayName>{account}</DisplayName></Owner>"
    contents = "".join(
        f"<Contents><Key>{_escaped(write(info.key))}</Key><LastModified>{_iso_time(info.stamp.mtime_ns)}</LastModified>"
        f'<ETag>"{info.etag}"</ETag><Size>{info.stamp.size}</Size>{owner}<StorageClass>STANDARD</StorageClass></Contents>'
        for info in page.objects
    )
    end = b"</ListBucketResult>"
    return document.removesuffix(end) + contents.encode() + end


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("\r", "&#13;")


def _iso_time(nanoseconds: int) -> str:
    time = datetime.fromtimestamp(nanoseconds // 1_000_000 / 1000, UTC)
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _identity(info: ObjectInfo) -> dict[str, str]:
    return {"ETag": f'"{info.etag}"', "Last-Modified": conditions.http_date(info.modified)}


def _headers(info: ObjectInfo) -> dict[str, str]:
    return {
        **info.facts.headers,
        **_identity(info),
        "Accept-Ranges": "bytes",
        "Content-Type": info.content_type,
        "x-cos-hash-crc64ecma": info.facts.crc64,
    }


def _replaced(request: Request) -> dict[str, str]:
    """Return the headers that ``response-…`` parameters ask for."""
    names = {"response-content-type": "Content-Type"} | {f"response-{name}": name for name in _KEPT_HEADERS}
    asked = {header: request.query[name] for name, header in names.items() if request.query.get(name)}
    if any(not value.isprintable() or not value.isascii() for value in asked.values()):
        raise RefusedError("InvalidArgument", "a header of the answer is printable ASCII")
    return asked


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
