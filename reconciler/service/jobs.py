"""Job calls: submit, query, list, cancel – what a request must be, and how a job is told. Rows are in ``queue``.

Source: reference/video-synthesis.md §2 and §3, jobs-queues-templates.md §1 to §3. Queues, templates and the media
bucket are answered with 501 NotImplemented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from reconciler.api import rules, xml
from reconciler.api.media import MediaInfo, MediaResult
from reconciler.api.messages import STATES, SUCCESS, Job, JobOperation, JobRequest, JobsReply, Operation
from reconciler.api.shape import tag_path
from reconciler.service import keys
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.http import Request, Response, xml_response
from reconciler.service.queue import Queue, Selection, StoredJob
from reconciler.service.refused import RefusedError
from reconciler.service.unsupported import unsupported

_CHINA: Final = timezone(timedelta(hours=8))
_MAX_SIZE: Final = 100
_DEFAULT_SIZE: Final = 10
_ONE_OPERATION: Final = re.compile(r"\bOperation\[0\]")
_MAX_NUMBER: Final = 2**63 - 1


class JobCalls:
    """The job half of the API for every bucket.

    ``wake`` is called after a submission. Without ``writable`` only reading is served.
    """

    def __init__(
        self, queue: Queue, buckets: Buckets, region: str, *, wake: Callable[[], None], writable: bool
    ) -> None:
        self._queue = queue
        self._buckets = buckets
        self._region = region
        self._wake = wake
        self._writable = writable

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one job call."""
        what, _, name = request.path[1:].partition("/")
        if what in ("queue", "template", "mediabucket"):
            raise RefusedError("NotImplemented", f"/{what} is not part of this service")
        if what != "jobs":
            raise RefusedError("InvalidURI", f"/{what} is not a call of this API")
        match request.method, bool(name):
            case "POST", False:
                return await self._submit(request, bucket)
            case "GET", False:
                return self._list(request, bucket)
            case "GET", True:
                return self._find(name, bucket)
            case "PUT", True if "cancel" in request.query:
                return self._cancel(name, bucket)
        raise RefusedError("MethodNotAllowed", f"{request.method} {request.path} is not a call of this API")

    # The calls.

    async def _submit(self, request: Request, bucket: Bucket) -> Response:
        message = _read(await request.xml_body())
        self._check(message, bucket)
        self._check_writable()
        jobs = self._queue.submit(bucket.name, message.tag, [_single(message, job) for job in message.operation])
        self._wake()
        return _reply([_told(job) for job in jobs])

    def _find(self, name: str, bucket: Bucket) -> Response:
        ids = [job for job in dict.fromkeys(name.split(",")) if job]
        found = self._queue.find(bucket.name, ids)
        missing = tuple(job for job in ids if job not in found)
        return _reply([_told(found[job]) for job in ids if job in found], non_exist_job_ids=missing or None)

    def _list(self, request: Request, bucket: Bucket) -> Response:
        after, size = _next_token(request), _size(request)
        jobs, more = self._queue.page(bucket.name, _selection(request), after=after, limit=size)
        # Always there, empty at the end: an SDK reads a bare <Response/> as something else.
        return _reply([_told(job) for job in jobs], next_token=str(jobs[-1].number) if more else "")

    def _cancel(self, name: str, bucket: Bucket) -> Response:
        job = self._queue.find(bucket.name, [name]).get(name)
        if job is None:
            raise RefusedError("NoSuchJob", f"there is no job `{name}`")
        self._check_writable()
        if not self._queue.cancel(bucket.name, name):
            state = self._queue.find(bucket.name, [name])[name].state
            raise RefusedError("InvalidJobState", f"`{name}` is {state}; only a job that waits can be cancelled")
        return Response()

    # What a request must be.

    def _check_writable(self) -> None:
        if not self._writable:
            raise RefusedError("AccessDenied", "this service only reads: nothing has been made in its folder yet")

    def _check(self, message: JobRequest, bucket: Bucket) -> None:
        """Refuse a request that cannot become jobs; all of its operations are checked before any is stored."""
        for problem in self._problems(message, bucket):
            single = len(message.operation) == 1
            raise RefusedError(
                problem.code, _ONE_OPERATION.sub("Operation", problem.message) if single else problem.message
            )

    def _problems(self, message: JobRequest, bucket: Bucket) -> Iterator[RefusedError]:
        """Yield what stands against a request, the documents' rules before this service's own limits."""
        broken = [found for found in rules.check_request(message, complete=True) if found.severity == "error"]
        if broken:
            texts = [rules.wire_message(violation, JobRequest, "Request") for violation in broken]
            yield RefusedError("InvalidArgument", "; ".join(texts))
        if message.queue_id is not None and message.queue_id != self._queue.queue_of(bucket.name):
            yield RefusedError("NoSuchQueue", f"Request.QueueId: the bucket has no queue `{message.queue_id}`")
        for index, operation in enumerate(message.operation):
            where = f"Request.Operation[{index}]"
            yield from _template_problems(operation, where)
            yield from self._output_problems(operation, where)
            limits = [f"{_path(where, limit.path)}: {limit.message}" for limit in unsupported(operation)]
            if limits:
                yield RefusedError("InvalidArgument", "; ".join(limits))

    def _output_problems(self, operation: Operation, where: str) -> Iterator[RefusedError]:
        output = operation.output
        if output.region != self._region:
            text = f"the buckets here are in `{self._region}`, not in `{output.region}`"
            yield RefusedError("InvalidArgument", f"{where}.Output.Region: {text}")
        if output.bucket is None or self._buckets.get(output.bucket) is None:
            yield RefusedError("InvalidArgument", f"{where}.Output.Bucket: there is no bucket `{output.bucket}` here")
        try:
            keys.check(object_key(operation, "j" + "0" * 32))
        except RefusedError as error:
            yield RefusedError(error.code, f"{where}.Output.Object: {error.message}")


def object_key(operation: Operation, job: str) -> str:
    """Return the key under which the result of a job is stored."""
    container = operation.transcode.container if operation.transcode else None
    return rules.expand_object(
        operation.output.object, ext=rules.extension(container.format if container else "mp4"), job_id=job
    )


def _template_problems(operation: Operation, where: str) -> Iterator[RefusedError]:
    if operation.transcode_template_id:
        text = f"there is no template `{operation.transcode_template_id}`"
        yield RefusedError("NoSuchTemplate", f"{where}.TranscodeTemplateId: {text}")
    for template in operation.watermark_template_id or ():
        yield RefusedError("NoSuchTemplate", f"{where}.WatermarkTemplateId: there is no template `{template}`")


def _path(where: str, path: tuple[str | int, ...]) -> str:
    return ".".join(part for part in (where, tag_path(Operation, path)) if part)


def _read(body: bytes) -> JobRequest:
    """Read the body of a submission, telling broken XML from broken content."""
    try:
        xml.parse(body, "Request")
    except xml.XmlError as error:
        raise RefusedError("MalformedXML", str(error)) from None
    try:
        return xml.read(JobRequest, body, "Request")
    except xml.XmlError as error:
        raise RefusedError("InvalidArgument", str(error)) from None


def _single(message: JobRequest, operation: Operation) -> tuple[str, int]:
    """Return the request for one of its operations, as it is stored, and its priority."""
    alone = message.model_copy(update={"operation": (operation,)})
    return xml.write(alone, "Request").decode(), operation.job_level or 0


def stored_request(job: StoredJob) -> JobRequest:
    """Return the request of a stored job; it has one operation."""
    return xml.read(JobRequest, job.request.encode(), "Request")


# How a job is told.


def _told(job: StoredJob) -> Job:
    operation = stored_request(job).operation[0]
    results: dict[str, Any] = {}
    if job.media_info is not None and job.media_result is not None:
        results["media_info"] = xml.read(MediaInfo, job.media_info.encode(), "MediaInfo")
        results["media_result"] = xml.read(MediaResult, job.media_result.encode(), "MediaResult")
    return Job(
        code=job.code or SUCCESS,
        message=job.message or "",
        job_id=job.id,
        state=job.state,
        progress=job.progress,
        creation_time=_time(job.created_at),
        start_time=_time(job.started_at),
        end_time=_time(job.ended_at),
        queue_id=job.queue,
        tag=job.tag,
        operation=JobOperation(**dict(operation), **results),
    )


def _reply(jobs: list[Job], **rest: Any) -> Response:
    return xml_response(JobsReply(jobs_detail=tuple(jobs) or None, **rest), "Response")


def _time(seconds: int | None) -> str:
    """Write a time as the API does, in China's time; ``-`` for what has not happened yet."""
    return "-" if seconds is None else datetime.fromtimestamp(seconds, _CHINA).strftime("%Y-%m-%dT%H:%M:%S%z")


# The parameters of a listing.


def _selection(request: Request) -> Selection:
    tag = request.parameter("tag")
    if tag is None:
        raise _illegal("tag", "is missing", "write tag=VideoSynthesis")
    order = request.parameter("orderByTime") or "Desc"
    if order not in ("Desc", "Asc"):
        raise _illegal("orderByTime", f"`{order}` is unknown", "write Desc or Asc")
    return Selection(
        tag=tag,
        queue=request.parameter("queueId"),
        states=_states(request.parameter("states") or "All"),
        created_from=_instant(request, "startCreationTime"),
        created_to=_instant(request, "endCreationTime"),
        newest_first=order == "Desc",
    )


def _states(text: str) -> tuple[str, ...] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STATES and name != "All":
            raise _illegal("states", f"`{name}` is unknown", f"write All, or some of {', '.join(STATES)}")
    return None if "All" in names or not names else tuple(names)


def _instant(request: Request, name: str) -> int | None:
    text = request.parameter(name)
    if text is None:
        return None
    try:  # an offset's + that was not encoded arrives as a space
        return int(datetime.strptime(text.replace(" ", "+"), "%Y-%m-%dT%H:%M:%S%z").timestamp())
    except (ValueError, OverflowError):
        raise _illegal(name, f"`{text}` is not a time", "write it as 2026-05-01T10:00:00+0800") from None


def _size(request: Request) -> int:
    size = _number(request, "size", _DEFAULT_SIZE)
    if not 1 <= size <= _MAX_SIZE:
        raise _illegal("size", f"{size} is out of range", f"write 1 to {_MAX_SIZE}")
    return size


def _next_token(request: Request) -> int | None:
    if request.parameter("nextToken") is None:
        return None
    return _number(request, "nextToken", 0)


def _number(request: Request, name: str, default: int) -> int:
    text = request.parameter(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _MAX_NUMBER):
        raise _illegal(name, f"`{text}` is not a number", "write digits")
    return int(text)


def _illegal(parameter: str, problem: str, advice: str) -> RefusedError:
    return RefusedError("InvalidArgument", f"{parameter}: {problem}; {advice}")
