"""Job calls: submit, query, list, cancel. What a request must be is in ``admission``, rows are in ``queue``.

Source: reference/video-synthesis.md §2 and §3, jobs-queues-templates.md §1 to §3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from reconciler.api import xml
from reconciler.api.messages import STATES
from reconciler.service import parameters
from reconciler.service.admission import Admission, read_request
from reconciler.service.bucket import Bucket
from reconciler.service.http import Request, Response, xml_document
from reconciler.service.intake import Intake
from reconciler.service.jobs_detail import jobs_detail
from reconciler.service.queue import Queue, Selection, StoredJob, Submission
from reconciler.service.refused import RefusedError


class JobCalls:
    """The calls about jobs for every bucket; ``wake`` is called after a submission."""

    def __init__(self, queue: Queue, admission: Admission, *, wake: Callable[[], None]) -> None:
        self._queue = queue
        self._admission = admission
        self._intake = Intake(queue)
        self._wake = wake

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one job call."""
        name = request.path.removeprefix("/jobs").removeprefix("/")
        match request.method, bool(name):
            case "POST", False:
                return await self._submit(request, bucket)
            case "GET", False:
                return self._list(request, bucket)
            case "GET", True:
                return self._find(name, bucket)
            case "PUT", True if "cancel" in request.query:
                return self._cancel(name, bucket)
            case "PUT", True:
                raise RefusedError("MethodNotAllowed", "the one thing to do to a job is PUT /jobs/<JobId>?cancel")
        raise RefusedError("MethodNotAllowed", f"{request.method} {request.path} is not a call of this API")

    async def _submit(self, request: Request, bucket: Bucket) -> Response:
        message = read_request(await request.xml_body())
        jobs = self._admission.admit(message, bucket)
        made = await self._intake.submit(Submission(bucket.name, message.tag, jobs))
        self._wake()
        return _reply(made)

    def _find(self, name: str, bucket: Bucket) -> Response:
        ids = [job for job in dict.fromkeys(name.split(",")) if job]
        if not ids:
            raise RefusedError("InvalidURI", f"/jobs/{name} names no job")
        found = self._queue.find(bucket.name, ids)
        missing = "".join(f"<NonExistJobIds>{xml.escaped(job)}</NonExistJobIds>" for job in ids if job not in found)
        return _reply((found[job] for job in ids if job in found), missing)

    def _list(self, request: Request, bucket: Bucket) -> Response:
        size = parameters.size(request, "size")
        after = parameters.number(request, "nextToken", 0) if request.parameter("nextToken") else None
        jobs, more = self._queue.page(bucket.name, _selection(request), after=after, limit=size)
        # Always there, empty at the end: an SDK reads a bare <Response/> as something else.
        return _reply(jobs, f"<NextToken>{jobs[-1].number if more else ''}</NextToken>")

    def _cancel(self, name: str, bucket: Bucket) -> Response:
        job = self._queue.find(bucket.name, [name]).get(name)
        if job is None:
            raise RefusedError("NoSuchJob", f"there is no job `{name}`")
        if not self._queue.cancel(bucket.name, name):
            state = self._queue.find(bucket.name, [name])[name].state
            raise RefusedError("InvalidJobState", f"`{name}` is {state}; only a job that waits can be cancelled")
        return Response()


def _reply(jobs: Iterable[StoredJob], rest: str = "") -> Response:
    return xml_document(f"<Response>{''.join(map(jobs_detail, jobs))}{rest}</Response>".encode())


# The parameters of a listing.


def _selection(request: Request) -> Selection:
    tag = request.parameter("tag")
    if tag is None:
        raise parameters.illegal("tag", "is missing", "write tag=VideoSynthesis")
    return Selection(
        tag=tag,
        queue=request.parameter("queueId"),
        states=_states(request),
        created_from=_instant(request, "startCreationTime"),
        created_to=_instant(request, "endCreationTime"),
        newest_first=parameters.choice(request, "orderByTime", ("Desc", "Asc"), "Desc") == "Desc",
    )


def _states(request: Request) -> tuple[str, ...] | None:
    names = parameters.names(request, "states") or ("All",)
    for name in names:
        if name not in STATES and name != "All":
            raise parameters.illegal("states", f"`{name}` is unknown", f"write All, or some of {', '.join(STATES)}")
    return None if "All" in names else names


def _instant(request: Request, name: str) -> int | None:
    text = request.parameter(name)
    if text is None:
        return None
    try:  # an offset's + that was not encoded arrives as a space
        return int(datetime.strptime(text.replace(" ", "+"), "%Y-%m-%dT%H:%M:%S%z").timestamp())
    except (ValueError, OverflowError):
        raise parameters.illegal(name, f"`{text}` is not a time", "write it as 2026-05-01T10:00:00+0800") from None
