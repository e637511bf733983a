"""Calls of an upload in parts: begin, upload a part, list parts, complete, abort. Rows and files are ``uploads``'.

Source: reference/cos-objects.md §9.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import quote

from reconciler.api import objects as messages
from reconciler.api.objects import (
    CompleteMultipartUpload,
    CompleteMultipartUploadResult,
    InitiateMultipartUploadResult,
    ListPartsResult,
)
from reconciler.service import attributes, bodies, keys, parameters
from reconciler.service.bucket import Bucket
from reconciler.service.bucket_calls import owner
from reconciler.service.copies import SOURCE, Copies
from reconciler.service.dates import iso_date
from reconciler.service.digest import crc64_of_parts, etag_of_parts
from reconciler.service.http import Request, Response, read_message, xml_response
from reconciler.service.index import Facts
from reconciler.service.refused import RefusedError
from reconciler.service.uploads import PART_NUMBERS, Part, Upload, Uploads

MIN_PART: Final = 1 << 20
"""Bytes of every part but the last."""

_XML_LIMIT: Final = 4 << 20
"""Ten thousand parts, written with white space and character references."""


class MultipartCalls:
    """The calls of uploads in parts, for every bucket."""

    def __init__(self, uploads: Uploads, copies: Copies) -> None:
        self._uploads = uploads
        self._copies = copies

    async def begin(self, request: Request, bucket: Bucket, key: str) -> Response:
        """Begin an upload; what its headers say the object will have."""
        keys.check(key)
        upload = self._uploads.begin(bucket.name, key, attributes.read(request.headers))
        result = InitiateMultipartUploadResult(bucket=bucket.name, key=key, upload_id=upload.id)
        return xml_response(result, "InitiateMultipartUploadResult")

    async def upload_part(self, request: Request, bucket: Bucket, key: str) -> Response:
        """Store a part, sent or copied; one that is there under its number is replaced."""
        number = parameters.number(request, "partNumber", 0)
        if number not in PART_NUMBERS:
            raise RefusedError("InvalidArgument", f"partNumber is a number from 1 to {PART_NUMBERS[-1]}")
        upload = self._upload(request, bucket, key)
        if SOURCE in request.headers:
            return await self._copies.copy_part(request, upload, number)
        expected = bodies.expected(request)
        part = await self._uploads.put(upload, number, bodies.content(request, expected.length), expected)
        return Response(headers={"ETag": f'"{part.md5}"', "x-cos-hash-crc64ecma": part.crc64})

    async def list_parts(self, request: Request, bucket: Bucket, key: str) -> Response:
        """List the parts that are there by number."""
        encoded, write = parameters.encoding(request)
        size = parameters.page_size(request, "max-parts")
        after = parameters.number(request, "part-number-marker", 0)
        if not request.parameter("uploadId"):
            raise RefusedError("ListPartUploadIdIsEmpty", "uploadId is empty")
        upload = self._upload(request, bucket, key)
        found = self._uploads.parts(upload, after=after, limit=size + 1)
        listed = found[:size]
        is_truncated = len(found) > size
        result = ListPartsResult(
            bucket=bucket.name,
            encoding_type=encoded,
            key=write(key),
            upload_id=upload.id,
            initiator=owner(bucket),
            owner=owner(bucket),
            part_number_marker=after,
            next_part_number_marker=listed[-1].number if is_truncated else None,
            storage_class=upload.attributes.storage_class,
            max_parts=size,
            is_truncated=is_truncated,
            part=tuple(map(_told, listed)) or None,
        )
        return xml_response(result, "ListPartsResult")

    async def complete(self, request: Request, bucket: Bucket, key: str) -> Response:
        """Make an object of the parts that are named; the others are dropped. The upload stays when it fails."""
        forbid_overwrite = attributes.forbids_overwrite(request.headers)
        upload = self._upload(request, bucket, key)
        body = await bodies.checked_xml(request, _XML_LIMIT)
        message = read_message(CompleteMultipartUpload, body, "CompleteMultipartUpload", most=len(PART_NUMBERS))
        with self._uploads.completing(upload):
            parts = _chosen(message.part, self._uploads.parts(upload))
            etag = etag_of_parts([part.md5 for part in parts])
            crc64 = crc64_of_parts((part.crc64, part.size) for part in parts)
            paths = [self._uploads.path(upload, part) for part in parts]
            facts = Facts(etag, crc64, upload.attributes)
            await bucket.join(key, paths, facts, forbid_overwrite=forbid_overwrite)
            await self._uploads.end(upload)
        result = CompleteMultipartUploadResult(
            location=f"http://{request.authority}/{quote(key)}", bucket=bucket.name, key=key, e_tag=f'"{etag}"'
        )
        response = xml_response(result, "CompleteMultipartUploadResult")
        return Response(200, response.body, {**response.headers, "x-cos-hash-crc64ecma": crc64})

    async def abort(self, request: Request, bucket: Bucket, key: str) -> Response:
        """Drop an upload and its parts."""
        await self._uploads.abort(self._upload(request, bucket, key))
        return Response(204)

    def _upload(self, request: Request, bucket: Bucket, key: str) -> Upload:
        return self._uploads.find(bucket.name, key, request.query.get("uploadId", ""))


def _told(part: Part) -> messages.Part:
    return messages.Part(
        part_number=part.number,
        last_modified=iso_date(part.modified_at),
        e_tag=f'"{part.md5}"',
        size=part.size,
    )


def _chosen(named: Sequence[messages.Part], there: Sequence[Part]) -> list[Part]:
    """Return the parts that are named, when they can become an object."""
    numbers = [part.part_number for part in named]
    if any(second <= first for first, second in pairwise(numbers)):
        raise RefusedError("InvalidPartOrder", "CompleteMultipartUpload.Part: the numbers are not in ascending order")
    known = {part.number: part for part in there}
    for each in named:
        if each.part_number not in known:
            raise RefusedError("InvalidPart", f"there is no part {each.part_number}")
        if each.e_tag.strip().strip('"').lower() != known[each.part_number].md5:
            raise RefusedError("InvalidPart", f"part {each.part_number} has another ETag than {each.e_tag}")
    chosen = [known[number] for number in numbers]
    for part in chosen[:-1]:
        if part.size < MIN_PART:
            reason = f"part {part.number} has {part.size} bytes; all but the last have at least {MIN_PART}"
            raise RefusedError("EntityTooSmall", reason)
    return chosen
