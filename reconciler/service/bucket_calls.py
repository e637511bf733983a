"""Calls about a bucket as a whole: head, list its objects, list its uploads, delete many of its objects.

Source: reference/cos-objects.md §6, §8 and §9.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Final

from reconciler.api import xml
from reconciler.api.error_codes import error_code
from reconciler.api.objects import (
    CommonPrefix,
    Delete,
    DeletedObject,
    DeleteError,
    DeleteResult,
    ListBucketResult,
    ListMultipartUploadsResult,
    Owner,
    UploadEntry,
)
from reconciler.service import bodies, listing, parameters
from reconciler.service.bucket import Bucket
from reconciler.service.dates import iso_date
from reconciler.service.http import Request, Response, read_message, xml_response
from reconciler.service.index import ObjectInfo, storage_class_of
from reconciler.service.refused import RefusedError
from reconciler.service.uploads import Upload, Uploads

log = logging.getLogger(__name__)

MAX_DELETED: Final = 1000
_XML_LIMIT: Final = 2 << 20
"""A thousand of the longest keys, written with character references."""

_BETWEEN: Final = "\0"
"""No key has this character, because XML cannot carry it."""

_PLAIN: Final = re.compile(rf"[\w.~/{_BETWEEN}-]*", re.ASCII)
"""Keys of nothing but what stands for itself in XML and, ``/`` apart, in a percent-encoded text."""

_AT_ONCE: Final = 50
"""Objects that are deleted before other calls get a turn."""


class BucketCalls:
    """The calls about a bucket, for every bucket."""

    def __init__(self, region: str, uploads: Uploads) -> None:
        self._region = region
        self._uploads = uploads

    async def head(self, _request: Request, _bucket: Bucket) -> Response:
        """Tell that the bucket is there."""
        return Response(headers={"x-cos-bucket-region": self._region})

    async def list_objects(self, request: Request, bucket: Bucket) -> Response:
        """List objects by key."""
        encoded, write = parameters.encoding(request)
        query = _query(request, "marker", "max-keys")
        page = await bucket.page(query)
        result = ListBucketResult(
            name=bucket.name,
            encoding_type=encoded,
            prefix=write(query.prefix),
            marker=write(query.marker),
            max_keys=query.max_keys,
            delimiter=write(query.delimiter) if query.delimiter else None,
            is_truncated=page.next_marker is not None,
            next_marker=None if page.next_marker is None else write(page.next_marker),
            common_prefixes=_prefixes(page.prefixes, write),
        )
        body = _with_contents(xml.write(result, "ListBucketResult"), page.objects, write, account(bucket))
        return Response(200, body, {"Content-Type": "application/xml", "x-cos-bucket-region": self._region})

    async def list_uploads(self, request: Request, bucket: Bucket) -> Response:
        """List uploads that are under way by key, then by age."""
        encoded, write = parameters.encoding(request)
        query = _query(request, "key-marker", "max-uploads")
        after = request.parameter("upload-id-marker") if query.marker else None
        page = self._uploads.page(bucket.name, query, after or "")
        last = page.entries[-1] if page.entries and page.entries[-1][0] == page.next_marker else None
        result = ListMultipartUploadsResult(
            bucket=bucket.name,
            encoding_type=encoded,
            key_marker=write(query.marker),
            upload_id_marker=after or "",
            max_uploads=query.max_keys,
            is_truncated=page.next_marker is not None,
            prefix=write(query.prefix),
            delimiter=write(query.delimiter) if query.delimiter else None,
            next_key_marker=None if page.next_marker is None else write(page.next_marker),
            next_upload_id_marker=last[1].id if last else None,
            upload=tuple(_entry(upload, write, owner(bucket)) for _, upload in page.entries) or None,
            common_prefixes=_prefixes(page.prefixes, write),
        )
        return xml_response(result, "ListMultipartUploadsResult")

    async def delete(self, request: Request, bucket: Bucket) -> Response:
        """Delete many objects; each is deleted, or told with its error."""
        body = await bodies.checked_xml(request, _XML_LIMIT)
        message = read_message(Delete, body, "Delete", most=MAX_DELETED)
        errors = [error for asked in message.objects if (error := _refused(asked))]
        wanted = list(dict.fromkeys(asked.key for asked in message.objects if _refused(asked) is None))
        for first in range(0, len(wanted), _AT_ONCE):
            failed = await bucket.delete(*wanted[first : first + _AT_ONCE])
            errors += [_failed(key, error) for key, error in failed.items()]
        lost = {error.key for error in errors}
        deleted = tuple(DeletedObject(key=key) for key in wanted if key not in lost)
        result = DeleteResult(deleted=(not message.quiet and deleted) or None, error=tuple(errors) or None)
        return xml_response(result, "DeleteResult")


def account(bucket: Bucket) -> str:
    """Return the APPID, the last part of a bucket's name: who owns everything in it."""
    return bucket.name.rpartition("-")[2]


def owner(bucket: Bucket) -> Owner:
    """Return the account as a node."""
    return Owner(id=account(bucket), display_name=account(bucket))


def _query(request: Request, marker: str, size: str) -> listing.Query:
    return listing.Query(
        request.query.get("prefix", ""),
        request.query.get(marker, ""),
        request.query.get("delimiter", ""),
        parameters.page_size(request, size),
    )


def _prefixes(prefixes: Sequence[str], write: Callable[[str], str]) -> tuple[CommonPrefix, ...] | None:
    return tuple(CommonPrefix(prefix=write(prefix)) for prefix in prefixes) or None


def _entry(upload: Upload, write: Callable[[str], str], account: Owner) -> UploadEntry:
    return UploadEntry(
        key=write(upload.key),
        upload_id=upload.id,
        storage_class=upload.attributes.storage_class,
        initiator=account,
        owner=account,
        initiated=iso_date(upload.initiated_at),
    )


def _refused(asked: DeletedObject) -> DeleteError | None:
    try:
        parameters.check_version(asked.version_id)
    except RefusedError as error:
        return DeleteError(key=asked.key, version_id=asked.version_id, code=error.code, message=error.message)
    return None


def _failed(key: str, error: OSError) -> DeleteError:
    """Tell a person what the system said, and a program what it can act on."""
    log.warning("%s cannot be deleted: %s", key, error)
    code = error_code("AccessDenied" if isinstance(error, PermissionError) else "InternalError")
    return DeleteError(key=key, code=code.code, message=error.strerror or code.message)


def _with_contents(document: bytes, objects: Sequence[ObjectInfo], write: Callable[[str], str], account: str) -> bytes:
    """Put the objects into a listing as text: a hundred thousand times a model each takes ten times as long."""
    owner = f"<Owner><ID>{account}</ID><DisplayName>{account}</DisplayName></Owner>"
    keys = _written([info.key for info in objects], write)
    contents = "".join(
        [
            f"<Contents><Key>{key}</Key>"
            f"<LastModified>{iso_date(*divmod(mtime_ns, 1_000_000_000))}</LastModified>"
            f'<ETag>"{etag}"</ETag><Size>{size}</Size>{owner}'
            f"<StorageClass>{storage_class_of(headers)}</StorageClass></Contents>"
            for key, (_, size, mtime_ns, _, etag, _, _, headers) in zip(keys, objects, strict=True)
        ]
    )
    end = b"</ListBucketResult>"
    return b"".join((document.removesuffix(end), contents.encode(), end))


def _written(keys: Sequence[str], write: Callable[[str], str]) -> Sequence[str]:
    """Write keys as a listing has them; what all of them need, most often nothing or ``/``, is done for all at once."""
    joined = _BETWEEN.join(keys)
    if joined and _PLAIN.fullmatch(joined):
        return joined.replace("/", write("/")).split(_BETWEEN)
    return [xml.escaped(write(key)) for key in keys]
