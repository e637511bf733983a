"""Copies of objects: whole, and of a range as a part of an upload.

Source: reference/cos-objects.md §10. The bytes are copied here, so a copy is answered when it is there.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import BinaryIO, Final
from urllib.parse import parse_qs, unquote_to_bytes

from reconciler.api.objects import CopyResult
from reconciler.service import address, attributes, bodies, conditions, files, parameters
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.dates import iso_date
from reconciler.service.digest import Expected
from reconciler.service.http import Request, Response, xml_response
from reconciler.service.index import STORAGE_CLASS, Attributes, ObjectInfo
from reconciler.service.refused import RefusedError
from reconciler.service.uploads import Upload, Uploads

SOURCE: Final = "x-cos-copy-source"
_RANGE: Final = "x-cos-copy-source-range"
_DIRECTIVE: Final = "x-cos-metadata-directive"
_BYTES: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


class Copies:
    """Copies from any bucket of this service into any."""

    def __init__(self, region: str, buckets: Buckets, uploads: Uploads) -> None:
        self._region = region
        self._buckets = buckets
        self._uploads = uploads

    async def copy(self, request: Request, bucket: Bucket, key: str) -> Response:
        """Copy an object."""
        forbid_overwrite = attributes.forbids_overwrite(request.headers)
        given = attributes.read(request.headers)
        source, origin, file = await self._open(request)
        with file:
            if origin.size > bodies.MAX_UPLOAD:
                raise bodies.too_large()
            is_itself = (source.name, origin.key) == (bucket.name, key)
            wanted = _attributes(request, given, origin, is_itself=is_itself)
            info = await bucket.copy(key, origin, file, wanted, forbid_overwrite=forbid_overwrite)
        return _copied("CopyObjectResult", info.etag, info.modified, info.crc64)

    async def copy_part(self, request: Request, upload: Upload, number: int) -> Response:
        """Copy an object, or a range of it, as a part of an upload."""
        _, origin, file = await self._open(request)
        with ExitStack() as stack:
            stack.callback(file.close)
            part = _part(request, origin.size)
            if len(part) > bodies.MAX_UPLOAD:
                raise bodies.too_large()
            made = await self._uploads.put(upload, number, files.blocks_of(file, part), Expected(length=len(part)))
        return _copied("CopyPartResult", made.md5, made.modified_at, made.crc64)

    async def _open(self, request: Request) -> tuple[Bucket, ObjectInfo, BinaryIO]:
        """Return the source, open, when the request's conditions on it hold."""
        bucket, key = self._source(request.headers[SOURCE])
        try:
            info, file = await bucket.open(key)
        except RefusedError as error:
            if error.code != "NoSuchKey":
                raise
            raise RefusedError("NoSuchCopySource", f"{SOURCE}: there is no object `{key}` in {bucket.name}") from None
        with ExitStack() as stack:
            stack.callback(file.close)
            conditions.check_source(request.headers, info.etag, info.modified)
            attributes.check_readable(key, info.attributes)
            stack.pop_all()
        return bucket, info, file

    def _source(self, header: str) -> tuple[Bucket, str]:
        """Read ``<bucket>.cos.<region>.myqcloud.com/<key>``, the key percent-encoded; there may be a version behind."""
        path, _, query = header.partition("?")
        parameters.check_version(parse_qs(query).get("versionId", [None])[0])
        host, _, encoded = path.removeprefix("/").partition("/")
        try:
            key = unquote_to_bytes(encoded.encode("latin-1")).decode()
        except UnicodeDecodeError:
            key = ""
        if not host or not key:
            raise RefusedError("InvalidCopySource", f"{SOURCE} is written <host of the bucket>/<key, percent-encoded>")
        where = address.parse(host)
        name = where.bucket or self._buckets.default
        bucket = self._buckets.get(name)
        if bucket is None or where.half == "ci" or where.region not in (None, self._region):
            raise RefusedError("NoSuchCopySource", f"{SOURCE}: there is no bucket `{host}` here")
        return bucket, key


def _attributes(request: Request, given: Attributes, origin: ObjectInfo, *, is_itself: bool) -> Attributes:
    """Return what the copy has beside its content: what the source has, or what the request says."""
    directive = request.headers.get(_DIRECTIVE) or "Copy"
    if directive.lower() == "replaced":
        return given
    if directive.lower() != "copy":
        raise RefusedError("InvalidArgument", f"{_DIRECTIVE}: `{directive}` is neither Copy nor Replaced")
    kept = origin.attributes
    if is_itself and given.storage_class == kept.storage_class:
        raise RefusedError("InvalidRequest", f"a copy of an object to itself needs {_DIRECTIVE}: Replaced")
    headers = {name: value for name, value in kept.headers.items() if name != STORAGE_CLASS}
    if STORAGE_CLASS in given.headers:
        headers[STORAGE_CLASS] = given.storage_class
    return Attributes(origin.content_type, headers)


def _part(request: Request, size: int) -> range:
    asked = request.headers.get(_RANGE)
    if not asked:
        return range(size)
    match = _BYTES.fullmatch(asked)
    if match is None or int(match[2]) < int(match[1]):
        raise RefusedError("InvalidArgument", f"{_RANGE} is written bytes=first-last")
    if int(match[2]) >= size:
        raise RefusedError("InvalidRange", f"{_RANGE}: the source has {size} bytes")
    return range(int(match[1]), int(match[2]) + 1)


def _copied(root: str, etag: str, modified: int, crc64: str) -> Response:
    result = CopyResult(e_tag=f'"{etag}"', last_modified=iso_date(modified), crc64=crc64)
    response = xml_response(result, root)
    return Response(200, response.body, {**response.headers, "x-cos-hash-crc64ecma": crc64})
