"""One method per API operation: typed calls over one transport.

What may be repeated is repeated: everything but ``POST /jobs`` and ``POST /template``. The API has no idempotency key,
so whoever submits must find out what became of a call without an answer (see ``apply``).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx

from reconciler.api import listings, xml
from reconciler.api.messages import TAG, Accepted, AcceptedReply, Job, JobRequest, JobsReply
from reconciler.api.node import Node
from reconciler.api.objects import CopyResult
from reconciler.api.queues import MediaBucket, MediaBucketsReply, QueueInfo, QueuesReply
from reconciler.api.signing import Credentials
from reconciler.api.templates import (
    CUSTOM,
    TRANSCODE,
    WATERMARK,
    Template,
    TemplateReply,
    TemplateRequest,
    TemplatesReply,
)
from reconciler.endpoints import Endpoints, Half
from reconciler.errors import ServiceError
from reconciler.reply import Call, Reply
from reconciler.state import StoredObject
from reconciler.transport import Clock, Conduct, Patience, SystemClock, Transport

IDS_PER_QUERY: Final = 50
"""Job ids asked for at once; the documents give no limit, and fifty keep the request line under 2 kB."""

PAGE: Final = 1000
JOB_PAGE: Final = 100
SMALL_PAGE: Final = 10
"""Templates, queues and media buckets a page: the documents' default, because they give no upper bound."""

LARGEST_OBJECT: Final = 512 * 1024 * 1024
"""Bytes of an object that is read whole: the lockfile of more than half a million outputs."""

_DOT_SEGMENTS: Final = frozenset({".", ".."})
_NO_SOURCE: Final = frozenset({"NoSuchKey", "NoSuchCopySource"})

Item = TypeVar("Item")
M = TypeVar("M", bound=Node)
N = TypeVar("N", TemplatesReply, QueuesReply, MediaBucketsReply)
"""The replies that are counted in numbered pages."""


class Client:
    """Typed calls to one bucket of the service; enter it with ``async with``.

    Raises ServiceError when the service refuses, UnreachableError when no answer comes, MalformedReplyError when the
    answer is not what the API promises. ``transport.Conduct`` says what the numbers and ``hear`` mean.
    """

    def __init__(  # noqa: PLR0913 - every choice of whoever connects has its name and its default
        self,
        endpoints: Endpoints,
        credentials: Credentials | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        parallelism: int = 4,
        requests_per_second: float | None = None,
        patience: Patience | None = None,
        hear: Callable[[str], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._bucket_host = endpoints.bucket_host
        self._transport = Transport(
            endpoints,
            credentials,
            base=transport,
            conduct=Conduct(parallelism, requests_per_second, patience or Patience(), hear),
            clock=clock or SystemClock(),
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    @property
    def skew(self) -> float | None:
        """How many seconds the service's clock is ahead of ours, by its last answer that told its time."""
        return self._transport.skew

    # Jobs.

    async def turn(self) -> None:
        """Wait until the next submission may begin: the service may have asked everybody to slow down."""
        await self._transport.turn()

    async def submit(self, request: JobRequest) -> Accepted:
        """Submit one job (``POST /jobs``) and return its id. Sent once, at once, never repeated.

        After UnreachableError with ``sent``, a ServiceError that is ``uncertain``, or MalformedReplyError, the job may
        exist.
        """
        reply = await self._transport.send(_message("POST", "/jobs", request))
        jobs = _read(AcceptedReply, reply).jobs_detail
        if not jobs:
            raise reply.malformed("the reply holds no job")
        return jobs[0]

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        """Return the named jobs by id (``GET /jobs/<ids>``); those that do not exist are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Job] = {}
        for start in range(0, len(wanted), IDS_PER_QUERY):
            path = "/jobs/" + ",".join(wanted[start : start + IDS_PER_QUERY])
            reply = await self._ask("GET", "jobs", path)
            found |= {job.job_id: job for job in _read(JobsReply, reply).jobs_detail or ()}
        return found

    async def list_jobs(self, *, created_after: str | None = None) -> AsyncIterator[Job]:
        """Yield the bucket's VideoSynthesis jobs, newest first; ``created_after`` is ISO 8601 with offset."""
        token = ""
        seen: set[str] = set()
        while True:
            query = {"tag": TAG, "orderByTime": "Desc", "states": "All", "size": str(JOB_PAGE)}
            if created_after:
                query["startCreationTime"] = created_after
            if token:
                query["nextToken"] = token
            reply = await self._ask("GET", "jobs", "/jobs", query)
            page = _read(JobsReply, reply)
            for job in page.jobs_detail or ():
                yield job
            if not page.next_token or page.next_token == token:
                return
            token = page.next_token
            if token in seen:
                raise reply.malformed(f"NextToken {token!r} leads back to a page that was read before")
            seen.add(token)

    async def cancel(self, job: str) -> None:
        """Cancel a job that has not started (``PUT /jobs/<id>?cancel``)."""
        _done(await self._ask("PUT", "jobs", f"/jobs/{job}", {"cancel": ""}))

    # Templates, queues, media buckets.

    async def list_templates(self) -> list[Template]:
        """Return the bucket's own transcode and watermark templates (``GET /template``)."""
        found = []
        for tag in (TRANSCODE, WATERMARK):
            query = {"tag": tag, "category": CUSTOM}
            found += await self._numbered("jobs", "/template", query, TemplatesReply, _templates)
        return found

    async def create_template(self, request: TemplateRequest) -> Template:
        """Create a template (``POST /template``). Sent once, never repeated: as with ``submit``, it may then exist."""
        await self.turn()
        return _read(TemplateReply, await self._transport.send(_message("POST", "/template", request))).template

    async def update_template(self, template: str, request: TemplateRequest) -> Template:
        """Replace the content of a template (``PUT /template/<id>``)."""
        reply = await self._transport.repeat(_message("PUT", f"/template/{template}", request))
        return _read(TemplateReply, reply).template

    async def delete_template(self, template: str) -> None:
        """Delete a template (``DELETE /template/<id>``); deleting one that is not there is no error."""
        try:
            _done(await self._ask("DELETE", "jobs", f"/template/{template}"))
        except ServiceError as error:
            if error.status != httpx.codes.NOT_FOUND or error.code == "NoSuchBucket":
                raise

    async def queues(self) -> list[QueueInfo]:
        """Return the bucket's queues (``GET /queue``). Refused when media processing is switched off."""
        return await self._numbered("jobs", "/queue", {}, QueuesReply, _queues)

    async def media_buckets(self, *names: str) -> list[MediaBucket]:
        """Return which of the named buckets process media (``GET /mediabucket``), or all that do."""
        query = {"bucketNames": ",".join(names)} if names else {}
        return await self._numbered("account", "/mediabucket", query, MediaBucketsReply, _media_buckets)

    async def _numbered(
        self, half: Half, path: str, query: Mapping[str, str], model: type[N], items: Callable[[N], Mapping[str, Item]]
    ) -> list[Item]:
        """Read a listing to its last page. An item is returned once, even when it moved between two pages."""
        found: dict[str, Item] = {}
        for number in itertools.count(1):
            page = {"pageNumber": str(number), "pageSize": str(SMALL_PAGE)}
            reply = await self._ask("GET", half, path, {**query, **page})
            listed = _read(model, reply)
            before = len(found)
            found.update(items(listed))
            total = listed.total_count or 0
            if len(found) >= total:
                break
            if len(found) == before:
                raise reply.malformed(f"{total} entries are promised, {before} are on the pages")
        return list(found.values())

    # Objects.

    async def head_bucket(self) -> None:
        """Ask whether the bucket is there (``HEAD /``)."""
        _done(await self._ask("HEAD", "objects", "/"))

    async def list_objects(self, prefix: str = "") -> dict[str, StoredObject]:
        """Return every object whose key starts with ``prefix``, a thousand a request, in key order."""
        found: dict[str, StoredObject] = {}
        marker = ""
        while True:
            page, marker = await self.list_page(prefix, marker)
            found |= page
            if not marker:
                return found

    async def list_page(self, prefix: str = "", marker: str = "") -> tuple[dict[str, StoredObject], str]:
        """Return one page of a listing, and where the next one starts; empty when this was the last."""
        query = {"prefix": prefix, "marker": marker, "max-keys": str(PAGE), "encoding-type": "url"}
        reply = await self._ask("GET", "objects", "/", query)
        page, following = _listing(reply)
        if following and following <= marker:
            raise reply.malformed(f"the page after {marker!r} names {following!r} as the next one")
        return page, following

    async def head_object(self, key: str) -> StoredObject | None:
        """Return what is stored under a key, or None."""
        try:
            reply = await self._ask("HEAD", "objects", _path(key))
        except ServiceError as error:
            if error.status == httpx.codes.NOT_FOUND and error.request_id:
                return None
            raise
        length = reply.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise reply.malformed(f"Content-Length is {length!r}")
        return StoredObject(etag=_etag(reply), size=int(length))

    async def get_object(self, key: str) -> tuple[bytes, str] | None:
        """Return the content and the ETag of an object, or None when the bucket is there and the object is not."""
        try:
            reply = await self._transport.repeat(Call("GET", "objects", _path(key)), largest=LARGEST_OBJECT)
        except ServiceError as error:
            if error.code == "NoSuchKey" and error.request_id:
                return None
            raise
        _done(reply)
        return reply.body, _etag(reply)

    async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
        """Store an object and return its ETag.

        With ``forbid_overwrite`` it is only stored where there is none; otherwise ServiceError 409 FileAlreadyExists is
        raised. The object may then be our own all the same: a call whose answer was lost is repeated, and finds what
        it has stored itself. Whoever must know reads the object and looks for something that only they can have
        written. A bucket that ever had versioning switched on overwrites without a word (reference/cos-objects.md §3).
        """
        headers = {"x-cos-forbid-overwrite": "true"} if forbid_overwrite else {}
        reply = await self._transport.repeat(Call("PUT", "objects", _path(key), headers=headers, body=content))
        _done(reply)
        return _etag(reply)

    async def copy_object(self, source_key: str, key: str, *, etag: str) -> StoredObject | None:
        """Copy an object within the bucket and return the copy; None when there is no object to copy.

        Raises ServiceError 412 PreconditionFailed when the source has another ETag than ``etag``, and
        MalformedReplyError when what is under ``key`` afterwards is not the copy. What is beside the content, such as
        its type, is copied too. The service takes objects of at most 5 GB, and none onto itself.
        """
        headers = {
            "x-cos-copy-source": f"{self._bucket_host}{_path(source_key)}",
            "x-cos-copy-source-If-Match": f'"{etag}"',
            "x-cos-metadata-directive": "Copy",
        }
        try:
            reply = await self._transport.repeat(Call("PUT", "objects", _path(key), headers=headers))
        except ServiceError as error:
            if error.code in _NO_SOURCE and error.request_id:
                return None
            raise
        made = _read(CopyResult, reply, "CopyObjectResult").e_tag.strip('"')
        stored = await self.head_object(key)
        if stored is None or stored.etag != made:
            found = stored.etag if stored else "missing"
            raise reply.malformed(f"the copy has the ETag {made!r}, but what is there then is {found!r}")
        return stored

    async def delete_object(self, key: str) -> None:
        """Delete an object; deleting one that is not there is no error."""
        _done(await self._ask("DELETE", "objects", _path(key)))

    async def _ask(self, method: str, half: Half, path: str, query: Mapping[str, str] | None = None) -> Reply:
        return await self._transport.repeat(Call(method, half, path, query or {}))


def _path(key: str) -> str:
    """Return a key as a path in which no segment can be taken for a step to another folder."""
    if _DOT_SEGMENTS.isdisjoint(key.split("/")):
        return "/" + quote(key, safe="/-_.~")
    path = quote(key, safe="-_.~")
    return "/" + (path.replace(".", "%2E") if key in _DOT_SEGMENTS else path)


def _message(method: str, path: str, message: Node) -> Call:
    return Call(method, "jobs", path, headers={"Content-Type": "application/xml"}, body=xml.write(message, "Request"))


# Replies.


def _read(model: type[M], reply: Reply, root: str = "Response") -> M:
    try:
        return xml.read(model, reply.body, root)
    except xml.XmlError as error:
        raise reply.malformed(str(error)) from error


def _done(reply: Reply) -> None:
    """Take the answer to a call that returns nothing; whoever stands in between may say "200 OK" to anything."""
    if not reply.request_id:
        raise reply.malformed("the answer has no request id, so it is not the service's")


def _etag(reply: Reply) -> str:
    etag: str = reply.headers.get("ETag", "").strip('"')
    if not etag:
        raise reply.malformed("the answer has no ETag")
    return etag


def _templates(reply: TemplatesReply) -> dict[str, Template]:
    return {template.template_id: template for template in reply.template_list or ()}


def _queues(reply: QueuesReply) -> dict[str, QueueInfo]:
    return {queue.queue_id: queue for queue in reply.queue_list or ()}


def _media_buckets(reply: MediaBucketsReply) -> dict[str, MediaBucket]:
    return {bucket.name: bucket for bucket in reply.media_bucket_list or ()}


def _listing(reply: Reply) -> tuple[dict[str, StoredObject], str]:
    """Read one page of a listing into plain values, and where the next one starts."""
    try:
        page = listings.read(reply.body)
    except ValueError as error:
        raise reply.malformed(str(error)) from error
    if page.next_marker == "":
        raise reply.malformed("a truncated listing without NextMarker")
    return dict(zip(page.keys, map(StoredObject, page.etags, page.sizes), strict=True)), page.next_marker or ""
