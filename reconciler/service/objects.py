"""Object calls: which call a request is, and those about one object. Files are ``bucket``'s business.

Source: reference/cos-objects.md. Sub-resources that are not served – access lists, versions, and the like – are
answered with 501 NotImplemented.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import Final

from reconciler.service import attributes, bodies, conditions, files, parameters
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.bucket_calls import BucketCalls
from reconciler.service.copies import SOURCE, Copies
from reconciler.service.dates import http_date
from reconciler.service.http import Request, Response
from reconciler.service.index import ObjectInfo
from reconciler.service.multipart import MultipartCalls
from reconciler.service.refused import RefusedError
from reconciler.service.uploads import Uploads

_UNSUPPORTED: Final = frozenset({"append", "ci-process", "inventory", "live", "restore", "select", "versions", "vod"})
"""Calls of this API that are selected by a parameter which may have a value."""

_MAY_BE_EMPTY: Final = frozenset(
    {
        *("delimiter", "encoding-type", "key-marker", "marker", "max-keys", "max-parts", "max-uploads"),
        *("part-number-marker", "prefix", "sign", "upload-id-marker", "versionId"),
    }
)
_MAY_BE_EMPTY_PREFIXES: Final = ("q-", "response-", "x-ci-", "x-cos-")
"""Parameters that SDKs and signatures send without a value. Any other one without a value is a sub-resource, such as
``?acl``, and selects a call of its own, so none can be ignored."""

_SERVED: Final = ("delete", "uploads", "uploadId", "partNumber")
"""Likewise, of calls that are served; the first that is there decides."""


_QUOTED: Final = 40

_BucketCall = Callable[[Request, Bucket], Awaitable[Response]]
_ObjectCall = Callable[[Request, Bucket, str], Awaitable[Response]]


class ObjectCalls:
    """The object half of the API for every bucket. Without ``writable`` only reading is served."""

    def __init__(self, region: str, buckets: Buckets, uploads: Uploads, *, writable: bool) -> None:
        self._writable = writable
        self._copies = Copies(region, buckets, uploads)
        bucket, multipart = BucketCalls(region, uploads), MultipartCalls(uploads, self._copies)
        self._of_bucket: Mapping[tuple[str, str | None], _BucketCall] = {
            ("GET", None): bucket.list_objects,
            ("GET", "uploads"): bucket.list_uploads,
            ("HEAD", None): bucket.head,
            ("POST", "delete"): bucket.delete,
        }
        self._of_object: Mapping[tuple[str, str | None], _ObjectCall] = {
            ("DELETE", None): _delete,
            ("DELETE", "uploadId"): multipart.abort,
            ("GET", None): _get,
            ("GET", "uploadId"): multipart.list_parts,
            ("HEAD", None): _get,
            ("POST", "uploadId"): multipart.complete,
            ("POST", "uploads"): multipart.begin,
            ("PUT", None): self._put,
            ("PUT", "uploadId"): multipart.upload_part,
        }

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one object call."""
        _check_served(request)
        if request.method not in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            raise RefusedError("MethodNotAllowed", f"{request.method} is not a call of this API")
        if request.method not in ("GET", "HEAD") and not self._writable:
            raise RefusedError("AccessDenied", "this service only reads: it does not own its folder")
        operation = next((name for name in _SERVED if name in request.query), None)
        key = request.path[1:]
        if key and (of_object := self._of_object.get((request.method, operation))):
            return await of_object(request, bucket, key)
        if not key and (of_bucket := self._of_bucket.get((request.method, operation))):
            return await of_bucket(request, bucket)
        raise _no_call(request.method, "/…" if key else "/", operation)

    async def _put(self, request: Request, bucket: Bucket, key: str) -> Response:
        return await (self._copies.copy if SOURCE in request.headers else _put)(request, bucket, key)


async def _put(request: Request, bucket: Bucket, key: str) -> Response:
    expected = bodies.expected(request)
    info = await bucket.put(
        key,
        bodies.content(request, expected.length),
        expected,
        attributes.read(request.headers),
        forbid_overwrite=attributes.forbids_overwrite(request.headers),
    )
    return Response(headers={"ETag": f'"{info.etag}"', "x-cos-hash-crc64ecma": info.crc64})


async def _get(request: Request, bucket: Bucket, key: str) -> Response:
    parameters.check_version(request.parameter("versionId"))
    if limit := request.parameter("x-cos-traffic-limit") or request.headers.get("x-cos-traffic-limit"):
        attributes.check_traffic_limit(limit)
    replaced = _replaced(request)
    info, file = await bucket.open(key)
    with ExitStack() as stack:
        stack.callback(file.close)
        if conditions.not_modified(request.headers, info.etag, info.modified):
            return Response(304, headers=_identity(info))
        wanted = conditions.byte_range(request.headers, info.etag, info.modified, info.size)
        part = range(info.size) if wanted is None else wanted
        headers = _headers(info) | replaced
        if wanted is not None:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{info.size}"
        if request.method == "HEAD":
            return Response(206 if wanted else 200, b"", headers, length=len(part))
        attributes.check_readable(key, info.attributes)
        stack.pop_all()  # the stream closes the file
        body = bodies.until_gone(request, files.blocks_of(file, part))
        return Response(206 if wanted else 200, body, headers, length=len(part))


async def _delete(request: Request, bucket: Bucket, key: str) -> Response:
    parameters.check_version(request.parameter("versionId"))
    failed = await bucket.delete(key)
    if key in failed:
        raise failed[key]
    return Response(204)


def _check_served(request: Request) -> None:
    for name, value in request.query.items():
        is_plain = value or name in _MAY_BE_EMPTY or name in _SERVED or name.startswith(_MAY_BE_EMPTY_PREFIXES)
        if name in _UNSUPPORTED or not is_plain:
            raise RefusedError("NotImplemented", f"`?{name[:_QUOTED]}` is not part of this service")


def _no_call(method: str, path: str, operation: str | None) -> RefusedError:
    if operation is None:
        return RefusedError("NotImplemented", f"{method} {path} is not part of this service")
    if operation == "partNumber":
        return RefusedError("InvalidArgument", "partNumber: a part belongs to an upload, and uploadId is missing")
    return RefusedError("MethodNotAllowed", f"{method} {path}?{operation} is not a call of this API")


def _identity(info: ObjectInfo) -> dict[str, str]:
    return {"ETag": f'"{info.etag}"', "Last-Modified": http_date(info.modified)}


def _headers(info: ObjectInfo) -> dict[str, str]:
    return {
        **attributes.told(info.attributes),
        **_identity(info),
        "Accept-Ranges": "bytes",
        "Content-Type": info.content_type,
        "x-cos-hash-crc64ecma": info.crc64,
    }


def _replaced(request: Request) -> dict[str, str]:
    """Return the headers that ``response-…`` parameters ask for."""
    names = {"response-content-type": "Content-Type"}
    names |= {f"response-{name}": spelled for name, spelled in attributes.KEPT.items()}
    asked = {header: request.query[name].strip() for name, header in names.items() if name in request.query}
    if any(not value.isprintable() or not value.isascii() for value in asked.values()):
        raise RefusedError("InvalidArgument", "response-…: a header of the answer is printable ASCII")
    return {header: value for header, value in asked.items() if value}
