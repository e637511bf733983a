"""One method per API operation, over one ``httpx.AsyncClient``.

What may be repeated is repeated here, with growing pauses: reads, and deletes. ``submit`` never is: the API has no
idempotency key, so whoever submits must find out what became of a call without an answer (see ``apply``).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, unquote

import httpx

from reconciler.api import xml
from reconciler.api.error_codes import error_code
from reconciler.api.messages import TAG, Job, JobRequest, JobsReply
from reconciler.api.objects import ErrorDocument
from reconciler.api.signing import Credentials, sign
from reconciler.errors import ClientError, MalformedReplyError, ServiceError, UnreachableError
from reconciler.state import StoredObject

IDS_PER_QUERY: Final = 50
"""Job ids asked for at once; the documents give no limit, and fifty keep the request line under 2 kB."""

PAGE: Final = 1000
JOB_PAGE: Final = 100
ATTEMPTS: Final = 5
"""Attempts at a call that may be repeated; with the pauses between them about eight seconds in all."""

_SIGNATURE_SECONDS: Final = 3600
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
LONGEST_CALL: Final = 60.0
"""Seconds after which a call that was begun has certainly reached the service or never will: connect, write, read."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the calls go.

    ``objects`` and ``jobs`` are the hosts that the API knows (``Host`` header, signature); ``origin`` is the address to
    connect to when it is another one, such as ``http://127.0.0.1:8787``.
    """

    objects: str
    jobs: str
    origin: str | None = None

    @classmethod
    def of(cls, bucket: str, region: str, origin: str | None = None) -> Endpoints:
        """Return the endpoints of a bucket; reference/cos-objects.md §1."""
        return cls(f"{bucket}.cos.{region}.myqcloud.com", f"{bucket}.ci.{region}.myqcloud.com", origin)

    def url(self, host: str, path: str) -> str:
        """Return the address to send a call for ``host`` to."""
        return f"{self.origin or f'https://{host}'}{path}"


class Client:
    """Typed calls to one bucket of the service; enter it with ``async with``.

    Raises ServiceError when the service refuses, UnreachableError when no answer comes, MalformedReplyError when the
    answer is not what the API promises.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._credentials = credentials
        self._http = httpx.AsyncClient(transport=transport, timeout=_TIMEOUT, trust_env=transport is None)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    # Jobs.

    async def submit(self, request: JobRequest) -> Job:
        """Submit one job (``POST /jobs``) and return it as the service accepted it. Sent once, never repeated.

        After UnreachableError with ``sent``, or ServiceError with a status of 500 or more, the job may exist.
        """
        body = xml.write(request, "Request")
        headers = {"Content-Type": "application/xml"}
        reply = await self._send("POST", self._endpoints.jobs, "/jobs", headers=headers, body=body)
        jobs = _jobs(reply).jobs_detail
        if not jobs:
            raise MalformedReplyError("POST /jobs: the reply holds no job")
        return jobs[0]

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        """Return the named jobs by id (``GET /jobs/<ids>``); those that do not exist are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Job] = {}
        for start in range(0, len(wanted), IDS_PER_QUERY):
            path = "/jobs/" + ",".join(wanted[start : start + IDS_PER_QUERY])
            reply = await self._repeat("GET", self._endpoints.jobs, path)
            found |= {job.job_id: job for job in _jobs(reply).jobs_detail or ()}
        return found

    async def list_jobs(self, *, created_after: str | None = None) -> AsyncIterator[Job]:
        """Yield the bucket's VideoSynthesis jobs, newest first; ``created_after`` is ISO 8601 with offset."""
        token = ""
        while True:
            query = {"tag": TAG, "orderByTime": "Desc", "states": "All", "size": str(JOB_PAGE)}
            if created_after:
                query["startCreationTime"] = created_after
            if token:
                query["nextToken"] = token
            reply = _jobs(await self._repeat("GET", self._endpoints.jobs, "/jobs", query))
            for job in reply.jobs_detail or ():
                yield job
            if not reply.next_token or reply.next_token == token:
                return
            token = reply.next_token

    async def cancel(self, job: str) -> None:
        """Cancel a job that has not started (``PUT /jobs/<id>?cancel``)."""
        await self._repeat("PUT", self._endpoints.jobs, f"/jobs/{job}", {"cancel": ""})

    # Objects.

    async def list_objects(self, prefix: str = "") -> dict[str, StoredObject]:
        """Return every object whose key starts with ``prefix``, a thousand a request, in key order."""
        found: dict[str, StoredObject] = {}
        marker = ""
        while True:
            query = {"prefix": prefix, "marker": marker, "max-keys": str(PAGE), "encoding-type": "url"}
            reply = await self._repeat("GET", self._endpoints.objects, "/", query)
            page, marker = _listing(reply)
            found |= page
            if not marker:
                return found

    async def head_object(self, key: str) -> StoredObject | None:
        """Return what is stored under a key, or None."""
        try:
            reply = await self._repeat("HEAD", self._endpoints.objects, _path(key))
        except ServiceError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        length = reply.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise MalformedReplyError(f"HEAD {_path(key)}: Content-Length is {length!r}")
        return StoredObject(etag=reply.headers.get("ETag", "").strip('"'), size=int(length))

    async def delete_object(self, key: str) -> None:
        """Delete an object; deleting one that is not there is no error."""
        await self._repeat("DELETE", self._endpoints.objects, _path(key))

    # One call.

    async def _repeat(
        self, method: str, host: str, path: str, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a call that may be repeated, until it is answered or the attempts are used up."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._send(method, host, path, query)
            except ClientError as error:
                if attempt + 1 == ATTEMPTS or not _passes(error):
                    raise
                await asyncio.sleep(min(0.5 * 2**attempt, 8.0) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        host: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> httpx.Response:
        signed = {"Host": host, **(headers or {})}
        if method in ("POST", "PUT"):
            signed["Content-Length"] = str(len(body))
        if self._credentials:
            signed |= self._authorize(method, path, query or {}, signed)
        call = f"{method} {path}"
        try:
            reply = await self._http.request(
                method, self._endpoints.url(host, path), params=query, headers=signed, content=body
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnreachableError(f"{call}: cannot reach {self._where(host)}: {error}", sent=False) from error
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"{call}: no answer from {self._where(host)}: {reason}", sent=True) from error
        if not reply.is_success:
            raise _refusal(reply, call)
        return reply

    def _where(self, host: str) -> str:
        return self._endpoints.origin or host

    def _authorize(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, str]:
        assert self._credentials is not None
        token = {"x-cos-security-token": self._credentials.token} if self._credentials.token else {}
        now = int(time.time())
        value = sign(
            self._credentials,
            method=method,
            path=unquote(path),
            query=query,
            headers={**headers, **token},
            start=now - 60,
            end=now + _SIGNATURE_SECONDS,
        )
        return {"Authorization": value, **token}


def _path(key: str) -> str:
    return "/" + quote(key, safe="/-_.~")


def _passes(error: ClientError) -> bool:
    """Tell whether the same call may succeed a little later."""
    if isinstance(error, ServiceError):
        return error_code(error.code, error.status).retry
    return isinstance(error, UnreachableError)


def _jobs(reply: httpx.Response) -> JobsReply:
    try:
        return xml.read(JobsReply, reply.content, "Response")
    except xml.XmlError as error:
        raise MalformedReplyError(f"{reply.request.method} {reply.request.url.path}: {error}") from error


def _listing(reply: httpx.Response) -> tuple[dict[str, StoredObject], str]:
    """Read one page of a listing into plain values: it is done a hundred thousand times, a model each is too slow."""
    try:
        root = xml.parse(reply.content, "ListBucketResult")
        page = {
            unquote(entry.findtext("Key", "")): StoredObject(
                etag=entry.findtext("ETag", "").strip('"'),
                size=int(entry.findtext("Size", "0")),
            )
            for entry in root.iterfind("Contents")
        }
    except ValueError as error:
        raise MalformedReplyError(f"GET /: {error}") from error
    truncated = (root.findtext("IsTruncated") or "").lower() == "true"
    marker = unquote(root.findtext("NextMarker") or "") if truncated else ""
    if truncated and not marker:
        raise MalformedReplyError("GET /: a truncated listing without NextMarker")
    return page, marker


def _refusal(reply: httpx.Response, call: str) -> ServiceError:
    header_id = reply.headers.get("x-cos-request-id") or reply.headers.get("x-ci-request-id") or ""
    try:
        document = xml.read(ErrorDocument, reply.content, "Error")
    except xml.XmlError:
        text = reply.text.strip()[:200] or reply.reason_phrase
        return ServiceError(reply.status_code, "Unknown", text, request_id=header_id, call=call)
    request_id = document.request_id or header_id
    return ServiceError(reply.status_code, document.code, document.message, request_id=request_id, call=call)
