"""One job for one wanted render: a part of ``apply``.

A submission is first an intent in the journal, whose token travels in the job's UserData; then it is sent once; then
its job id is recorded. One without an answer is settled by looking for its token in the service's own list. Only when
the visibility bound has passed without a trace of it does the same token go out again; should two jobs appear then, one
of them is cancelled, and both are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from reconciler.action import Action
from reconciler.api.messages import JobRequest
from reconciler.api.user_data import USER_DATA_MARK
from reconciler.client import Client
from reconciler.errors import ClientError, ServiceError, UnreachableError
from reconciler.fingerprint import earlier_fingerprints, fingerprint
from reconciler.inflight import FIRST_PAUSE, Bell, came, queue_of
from reconciler.lockfile import Lockfile
from reconciler.observe import find_jobs
from reconciler.pacer import Spacing
from reconciler.project import QueueLimits
from reconciler.report import Report
from reconciler.state import LiveJob, Submission
from reconciler.wire import with_templates

Wire = Callable[[Mapping[str, Any]], JobRequest]
"""Turns a resolved request into the one that is sent: urls in full, bucket and region filled in."""

SUBMISSIONS: Final = 10
"""How often a job is submitted at most, when the service says each time that it has no room for it."""

LONGEST_REST: Final = 30.0
"""Seconds between two of these, besides its turn."""


LAST_WORDS: Final = 0.7
"""Seconds that each thing gets that is done after them, and that the next run does as well."""


class Clock(Protocol):
    """What of time and chance the applier needs; a test hands in its own."""

    def now(self) -> datetime:
        """Return the time, with its offset."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        ...

    def nonce(self) -> str:
        """Return sixteen hexadecimal digits that were never returned before."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes about its plan.

    ``parallelism`` is the number of jobs in flight, ``poll`` the longest pause in seconds between two questions, and
    ``visibility`` how many seconds an accepted job may take to appear in the service's list (docs/assumptions.md).
    ``longest_call`` is how many seconds after an intent its call may still have been under way. ``retries`` counts how
    often a job is made once more when it failed for a passing reason, or when nothing was found of it.
    ``queues`` are what each of the service's queues is given at most.
    Without ``wait`` jobs are submitted and left to the next apply; ``fail_fast`` begins nothing after a failure.
    """

    parallelism: int = 4
    poll: float = 5.0
    visibility: float = 120.0
    longest_call: float = 60.0
    retries: int = 2
    queues: Mapping[str, QueueLimits] = field(default_factory=dict)
    wait: bool = True
    fail_fast: bool = False


class OutputFailedError(Exception):
    """One output could not be made; the others go on. When it ``counts``, it was the output's own fault."""

    def __init__(self, code: str, message: str, job: str | None = None, *, counts: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.job = job
        self.counts = counts


class StoppedError(Exception):
    """The run was asked to stop while this output was at a point from which the next apply goes on."""


@dataclass
class Submitter:
    """Submits the jobs of a run, each exactly once."""

    client: Client
    lockfile: Lockfile
    report: Report
    wire: Wire
    clock: Clock
    pace: Pace
    stop: asyncio.Event
    bell: Bell = field(default_factory=Bell)
    spacing: Spacing = field(init=False)
    _doubtful: dict[str, Submission] = field(default_factory=dict, init=False)
    _looking: asyncio.Future[dict[str, LiveJob]] | None = field(default=None, init=False)
    _look_in_turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        self.spacing = Spacing({queue: limits.requests_per_second for queue, limits in self.pace.queues.items()})

    async def settle_earlier(self, action: Action) -> tuple[Submission, str | None] | None:
        """Find out what became of a submission of an earlier run that the plan did not find; None when there is none.

        Also when its job is recorded: unknown is not absent.
        """
        doubtful = self.lockfile.pending.get(action.address)
        if doubtful is None:
            return None
        since = datetime.fromisoformat(doubtful.time) + timedelta(seconds=self.pace.longest_call)
        return doubtful, await self._settle(doubtful, since=since)

    async def shown_up(self, action: Action) -> str | None:
        """Return the job of an earlier submission that is wanted no more, recorded for the next apply, or None.

        Raises StoppedError when the run is to stop before that is known.
        """
        doubtful, job = await self.settle_earlier(action) or (None, None)
        if doubtful is not None and job is not None:
            await self.accepted(doubtful, job)
        return job

    def draft(self, action: Action) -> Submission:
        """Return what is about to be submitted, made of what its sources hold by now."""
        records = self.lockfile.records
        inputs = {**action.inputs, **{key: records[name].etag for name, key in action.upstream.items()}}
        mark = fingerprint(action.request, inputs)
        return Submission(
            address=action.address,
            token=f"{USER_DATA_MARK}{mark}:{self.clock.nonce()}",
            fingerprint=mark,
            object=action.object,
            request=action.request,
            inputs=inputs,
            time=self.now(),
            made_of={name: records[name].job for name in action.made_of if name in records},
        )

    async def submit(self, action: Action, draft: Submission) -> Submission:
        """Submit the job of an action, and return the submission with its job id."""
        sent = draft.sends if draft.token == getattr(self.lockfile.pending.get(draft.address), "token", "") else 0
        unfound = 0
        for attempt in range(SUBMISSIONS):
            # Its turn may be minutes away; the intent says when the call was begun, so it is written after that.
            await self._turn(attempt, draft.request)
            draft = replace(draft, time=self.now(), sends=sent + attempt + 1)
            await self.lockfile.intend(draft)
            self.lockfile.store.check()  # writing it may have taken longer than the guard held
            job, slowed = await self._send(draft, action.templates)
            if job is not None:
                self.bell.expect(job, draft.request)
                return await self.accepted(draft, job)
            unfound += not slowed
            if unfound > self.pace.retries:
                message = "the service answered with an error each time, and made no job that could be found"
                raise OutputFailedError("InternalError", message)
        raise OutputFailedError("SlowDown", f"the service had no room for the job, {SUBMISSIONS} times in a row")

    async def accepted(self, submission: Submission, job: str) -> Submission:
        """Record the job of a submission."""
        await self.lockfile.submitted(submission.address, job)
        return replace(submission, job=job)

    async def part(self, address: str, job: str, twins: tuple[str, ...]) -> None:
        """Cancel the twins of a job, and tell of them: one submission is to be one job."""
        for twin in twins:
            try:
                await self.client.cancel(twin)
                fate = "was cancelled"
            except ClientError as error:
                fate = f"could not be cancelled ({error.message}) and will be paid for"
            self.report.note(f"{address}: one submission became two jobs; {job} counts, {twin} {fate}")

    async def look_for_twins(self, submission: Submission) -> None:
        """Look for a second job of a submission that was sent more than once, when both have had time to appear."""
        if submission.sends == 1:
            return
        appears = datetime.fromisoformat(submission.time) + timedelta(seconds=self.pace.visibility)
        with suppress(StoppedError):
            await self.rest(max((appears - self._now()).total_seconds(), 0.0))
        if (live := await self._found(submission)) is not None:
            await self.part(submission.address, live.job, live.twins)

    def now(self) -> str:
        """Return the time by the service's clock: that of its list of jobs, while ours may be set right any day."""
        return self._now().isoformat(timespec="milliseconds")

    def _now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.client.skew or 0.0)

    async def rest(self, seconds: float) -> None:
        """Pause, unless the run is to stop; then raises StoppedError."""
        if not await came(self.clock.sleep(seconds), self.stop) or self.stop.is_set():
            raise StoppedError

    async def _turn(self, attempt: int, request: Mapping[str, Any]) -> None:
        """Wait until the service, which may have asked everybody to slow down, can be given one more job."""
        if attempt:
            await self.rest(min(2.0**attempt, LONGEST_REST))
        if (delay := self.spacing.delay(queue_of(request), self.clock.now().timestamp())) > 0:
            await self.rest(delay)
        await self.client.turn()  # which may take long: a run that is to stop cancels it
        if self.stop.is_set():
            raise StoppedError
        self.lockfile.store.check()

    async def _send(self, submission: Submission, templates: tuple[str, ...]) -> tuple[str | None, bool]:
        """Send one submission and return its job id; settle it when the answer does not tell.

        Without an id no job of it was found. The second value tells whether the service had asked to slow down.
        """
        kept = [self.lockfile.templates[address] for address in templates if address in self.lockfile.templates]
        request = with_token(with_templates(self.wire(self.bell.attached(submission.request)), kept), submission.token)
        slowed = False
        try:
            return (await self.client.submit(request)).job_id, False
        except ServiceError as error:
            slowed = error.slowed
            if not error.uncertain:
                reason = f"{error.detail} (request id {error.request_id})" if error.request_id else error.detail
                raise await self._refused(submission, error.code, reason) from error
        except UnreachableError as error:
            if not error.sent:
                raise await self._refused(submission, "Unreachable", error.message) from error
        return await self._settle(submission, since=self._now()), slowed

    async def _found(self, submission: Submission) -> LiveJob | None:
        """Look for the jobs that carry a token; one look at the service's list is for all that are in doubt by then."""
        self._doubtful[submission.address] = submission
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(_heard)
        return (await asyncio.shield(self._looking)).get(submission.address)

    async def _look(self) -> dict[str, LiveJob]:
        async with self._look_in_turn:
            await asyncio.sleep(0)  # for company
            doubtful, self._doubtful, self._looking = self._doubtful, {}, None
            return await find_jobs(self.client, doubtful)

    async def _refused(self, submission: Submission, code: str, reason: str) -> OutputFailedError:
        """Record that a submission certainly made no job; one that was sent before may have."""
        if submission.sends == 1:
            await self.lockfile.dropped(submission.address)
        return OutputFailedError(code, reason)

    async def _settle(self, submission: Submission, since: datetime) -> str | None:
        """Find out what became of a submission in doubt: its job's id, or None once it certainly made none.

        Unknown is not absent: a job that was accepted at the latest at ``since`` may take ``visibility`` seconds from
        then to appear in the list.
        """
        deadline = since + timedelta(seconds=self.pace.visibility)
        pause = FIRST_PAUSE
        self.report.note(f"{submission.address}: whether its job was made is not known; looking for it")
        while True:
            late = self._now() >= deadline
            if (live := await self._found(replace(submission, job=None))) is not None:
                await self.part(submission.address, live.job, live.twins)
                return live.job
            if late:
                return None
            await self.rest(pause)
            pause = min(pause * 2, self.pace.poll)


@asynccontextmanager
async def briefly(stop: asyncio.Event, report: Report, otherwise: str) -> AsyncIterator[None]:
    """Give what is inside as long as it needs, but little once the run is to stop: a service may answer no more."""
    try:
        async with asyncio.timeout(LAST_WORDS if stop.is_set() else None):
            yield
    except TimeoutError:
        report.note(otherwise)


def _heard(looked: asyncio.Future[dict[str, LiveJob]]) -> None:
    """Hear of a failure that everybody who waited for the look is gone to hear."""
    if not looked.cancelled():
        looked.exception()


def same_content(submission: Submission, draft: Submission) -> bool:
    """Tell whether a begun submission is to make what the draft is to make, whatever version began it."""
    earlier = earlier_fingerprints(draft.request, draft.inputs)
    return submission.fingerprint in (draft.fingerprint, *earlier)


def with_token(request: JobRequest, token: str) -> JobRequest:
    """Return the request with the token after the user's own text in UserData."""
    operation = request.operation[0]
    text = f"{operation.user_data} {token}" if operation.user_data else token
    return request.model_copy(update={"operation": (operation.model_copy(update={"user_data": text}),)})
