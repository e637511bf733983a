"""Plan → effects, journalled. Obeys the plan and decides nothing.

Every effect is on disk before it happens, so the process may die anywhere: a submission is first an intent, whose
token travels in the job's UserData; then it is sent once; then its job id is recorded; then it is waited for; then the
object is checked and recorded. A submission without an answer is settled by looking for its token in the service's
own list, never by sending it again on hope.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from reconciler.api.messages import CANCEL, FAILED, SUCCESS, Job, JobRequest
from reconciler.apply_templates import TemplateKeeper
from reconciler.client import Client
from reconciler.errors import ApplyError, ClientError, Interrupted, ReconcilerError, ServiceError, UnreachableError
from reconciler.inflight import FIRST_PAUSE, Bell, Poller, Queue, came
from reconciler.lockfile import Failure, Lockfile
from reconciler.observe import find_jobs
from reconciler.outcome import key_made, record_of, reported_md5
from reconciler.plan import EFFECTIVE, RENDERS, Action, Plan
from reconciler.report import Report
from reconciler.state import USER_DATA_MARK, Record, StoredObject, Submission, fingerprint
from reconciler.wire import with_templates

Wire = Callable[[Mapping[str, Any]], JobRequest]
"""Turns a resolved request into the one that is sent: urls in full, bucket and region filled in."""


SUBMISSIONS: Final = 10
"""How often a job is submitted at most, when the service says each time that it has no room for it."""

LONGEST_REST: Final = 30.0
"""Seconds between two of these, besides its turn."""


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
    ``longest_call`` is how many seconds after an intent its call may still have been under way.
    Without ``wait`` jobs are submitted and left to the next apply; ``fail_fast`` begins nothing after a failure.
    """

    parallelism: int = 4
    poll: float = 5.0
    visibility: float = 120.0
    longest_call: float = 60.0
    wait: bool = True
    fail_fast: bool = False


class _OutputFailedError(Exception):
    """One output could not be made; the others go on."""

    def __init__(self, code: str, message: str, job: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.job = job


class _StoppedError(Exception):
    """The run was asked to stop while this output was at a point from which the next apply goes on."""


async def apply(  # noqa: PLR0913 - every effect it may cause is handed in, by name
    plan: Plan,
    client: Client,
    lockfile: Lockfile,
    report: Report,
    *,
    wire: Wire,
    clock: Clock,
    pace: Pace,
    stop: asyncio.Event,
    bell: Bell | None = None,
) -> None:
    """Carry the plan out and record every result; the caller holds the guard.

    Once ``stop`` is set nothing more is submitted, and what runs is left to the next apply. Raises ApplyError when
    outputs failed or were in the way, Interrupted when it was stopped, and LockfileError, after which nothing more is
    submitted, when the disk refuses. Jobs that name no callback are given the ``bell``'s address.
    """
    lockfile.begin()
    try:
        for old, new in plan.moves.items():
            lockfile.move(old, new)
            report.note(f"{old} is now {new}")
        _keep_protection(plan, lockfile)
        await _Run(client, lockfile, report, wire, clock, pace, stop, bell or Bell()).carry_out(plan)
    finally:
        lockfile.checkpoint()
        lockfile.close()
    for action in plan.actions:
        if action.kind in ("blocked", "conflict"):
            report.failed(action.address, action.reason)
    if stop.is_set():
        raise Interrupted("stopped; the next apply goes on from here")
    if report.failures:
        templates = report.failures.keys() & {action.address for action in plan.templates}
        counts = [(len(report.failures) - len(templates), "output", "made"), (len(templates), "template", "kept")]
        parts = [
            f"{count} {what}{'s' if count > 1 else ''} could not be {done}" for count, what, done in counts if count
        ]
        raise ApplyError(", ".join(parts))


def _keep_protection(plan: Plan, lockfile: Lockfile) -> None:
    """Record what the manifests say of protection now, so that it outlives the entry."""
    for action in plan.actions:
        record = lockfile.records.get(action.address)
        if record is None or not action.request or action.address in lockfile.pending:
            continue
        if record.protect is not action.protect:
            lockfile.amend(action.address, replace(record, protect=action.protect))


@dataclass
class _Run:
    """One apply: takes what may begin, submits it, follows its job, records the result."""

    client: Client
    lockfile: Lockfile
    report: Report
    wire: Wire
    clock: Clock
    pace: Pace
    stop: asyncio.Event
    bell: Bell
    poller: Poller = field(init=False)
    templates: TemplateKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.templates = TemplateKeeper(self.client, self.lockfile, self.report, self.stop)
        self.poller = Poller(self.client, self.clock.sleep, self.pace.poll, self.bell, visibility=self.pace.visibility)

    async def carry_out(self, plan: Plan) -> None:
        """Make everything in order of dependency, several at a time; deletes come last, and only after success."""
        await self.templates.write(plan.templates)
        actions = [action for action in plan.actions if action.kind in EFFECTIVE]
        queue = Queue({action.address: action for action in actions if action.kind not in ("delete", "forget")})
        if self.pace.fail_fast and self.report.failures:
            queue.drain()
        await self._work_off(queue)
        made = [action for action in actions if action.address in self.report.done and action.kind in RENDERS]
        await self.templates.recheck(sorted({address for action in made for address in action.templates}))
        if self.stop.is_set() or self.report.left:
            return
        for address in queue.unreachable:
            self.report.failed(address, "not begun: what it is made of could not be made")
        if not self.report.failures:
            for action in actions:
                if action.kind in ("delete", "forget") and not self.stop.is_set():
                    await self._remove(action)
            await self.templates.remove(plan.templates)

    async def _work_off(self, queue: Queue) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                poller = group.create_task(self.poller.run())
                workers = [group.create_task(self._work(queue)) for _ in range(min(self.pace.parallelism, len(queue)))]
                if workers:
                    await asyncio.wait(workers)
                poller.cancel()
        except* ReconcilerError as errors:
            raise errors.exceptions[0] from None

    async def _work(self, queue: Queue) -> None:
        """Take actions until none is left; one worker is one job in flight."""
        while (action := await queue.take(self.stop)) is not None:
            succeeded = False
            try:
                succeeded = await self._perform(action)
            except _OutputFailedError as failure:
                self._fail(action.address, failure)
            except _StoppedError:
                pass  # the journal has what the next apply needs
            except ClientError as error:
                # What was begun stays in the journal: the next apply settles it.
                self.report.failed(action.address, error.message)
            if self.pace.fail_fast and self.report.failures:
                queue.drain()
            await queue.settle(action.address, succeeded=succeeded)

    async def _perform(self, action: Action) -> bool:
        """Make one output; False when its job was left running."""
        if action.kind == "adopt":
            await self._adopt(action)
            return True
        if action.kind == "wait":
            submission = self.lockfile.pending[action.address]
            if submission.job is None and action.job is not None:
                submission = self._accepted(submission, action.job)
        else:
            if action.job is not None and not await self._supersede(action.address, action.job):
                return False
            self._check_templates(action)
            submission = await self._submit(action)
        assert submission.job is not None
        job = await self._follow(action.address, submission.job)
        if job is None:
            return False
        await self._conclude(action, submission, job)
        return True

    def _check_templates(self, action: Action) -> None:
        """Make nothing with a template that could not be written."""
        for address in action.templates:
            if address in self.templates.failed:
                raise _OutputFailedError("NoSuchTemplate", f"not begun: {address} could not be written")

    async def _supersede(self, address: str, job: str) -> bool:
        """Let the job of an earlier version end first: it writes the same key. False when the run ends before."""
        if await self._follow(address, job) is None:
            return False
        self.lockfile.dropped(address)
        return True

    # Submitting.

    async def _submit(self, action: Action) -> Submission:
        """Submit the job of an action exactly once, and return it with its job id."""
        draft = self._draft(action)
        doubtful = self.lockfile.pending.get(action.address)
        if doubtful is not None:
            # Also when its job is recorded: the plan did not find it, and unknown is not absent.
            since = datetime.fromisoformat(doubtful.time) + timedelta(seconds=self.pace.longest_call)
            found = await self._settle(doubtful, since=since)
            if found is not None and doubtful.fingerprint == draft.fingerprint:
                return self._accepted(doubtful, found)
            if found is not None and not await self._supersede(action.address, found):
                raise _StoppedError
            if doubtful.fingerprint == draft.fingerprint:
                draft = replace(draft, token=doubtful.token)
        for attempt in range(SUBMISSIONS):
            # Its turn may be minutes away; the intent says when the call was begun, so it is written after that.
            await self._turn(attempt)
            draft = replace(draft, time=self._now().isoformat(timespec="milliseconds"))
            self.lockfile.intend(draft)
            job = await self._send(draft, action.templates)
            if job is not None:
                self.bell.expect(job, draft.request)
                return self._accepted(draft, job)
        raise self._refused(draft, "SlowDown", f"the service had no room for the job, {SUBMISSIONS} times in a row")

    async def _turn(self, attempt: int) -> None:
        """Wait until the service, which may have asked everybody to slow down, can be given one more job."""

        async def turn() -> None:
            if attempt:
                await self.clock.sleep(min(2.0**attempt, LONGEST_REST))
            await self.client.turn()

        if not await came(turn(), self.stop) or self.stop.is_set():
            raise _StoppedError

    def _draft(self, action: Action) -> Submission:
        inputs = {**action.inputs, **{key: self.lockfile.records[name].etag for name, key in action.upstream.items()}}
        mark = fingerprint(action.request, inputs)
        return Submission(
            address=action.address,
            token=f"{USER_DATA_MARK}{mark}:{self.clock.nonce()}",
            fingerprint=mark,
            object=action.object,
            request=action.request,
            inputs=inputs,
            time=self._now().isoformat(timespec="milliseconds"),
        )

    async def _send(self, submission: Submission, templates: tuple[str, ...]) -> str | None:
        """Send one submission and return its job id; settle it when the answer does not tell.

        None when the service asked to slow down and, as was found out, made no job.
        """
        kept = [self.lockfile.templates[address] for address in templates if address in self.lockfile.templates]
        request = with_token(with_templates(self.wire(self.bell.attached(submission.request)), kept), submission.token)
        slowed = False
        try:
            return (await self.client.submit(request)).job_id
        except ServiceError as error:
            slowed = error.slowed
            if not error.uncertain:
                reason = f"{error.detail} (request id {error.request_id})" if error.request_id else error.detail
                raise self._refused(submission, error.code, reason) from error
        except UnreachableError as error:
            if not error.sent:
                raise self._refused(submission, "Unreachable", error.message) from error
        found = await self._settle(submission, since=self._now())
        if found is None and not slowed:
            raise self._refused(submission, "InternalError", "the service did not accept the job")
        return found

    def _now(self) -> datetime:
        """Return the time by the service's clock: that of its list of jobs, while ours may be set right any day."""
        return self.clock.now() + timedelta(seconds=self.client.skew or 0.0)

    def _refused(self, submission: Submission, code: str, reason: str) -> _OutputFailedError:
        """Record that a submission certainly made no job."""
        self.lockfile.dropped(submission.address)
        return _OutputFailedError(code, reason)

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
            found = await find_jobs(self.client, {submission.address: replace(submission, job=None)})
            if submission.address in found:
                return found[submission.address].job
            if late:
                return None
            if self.stop.is_set():
                raise _StoppedError
            await self.clock.sleep(pause)
            pause = min(pause * 2, self.pace.poll)

    def _accepted(self, submission: Submission, job: str) -> Submission:
        self.lockfile.submitted(submission.address, job)
        return replace(submission, job=job)

    # Following and recording.

    async def _follow(self, address: str, job: str) -> Job | None:
        """Wait until a job has ended; None when the run ends before."""
        self.report.begun(address, job)
        if not self.pace.wait:
            self.report.leaving(address, job)
            return None
        ended = self.poller.watch(job, lambda live: self.report.progress(address, live.state, live.progress or 0))
        if await came(ended, self.stop):
            return ended.result()
        self.report.leaving(address, job)
        return None

    async def _conclude(self, action: Action, submission: Submission, job: Job) -> None:
        """Record what a job that has ended made; raises when it made nothing."""
        if job.state != SUCCESS:
            code = job.code or job.state
            detail = {CANCEL: "the job was cancelled"}.get(job.state, job.message or "no reason given")
            raise _OutputFailedError(code if job.state == FAILED else job.state, detail, job.job_id)
        key = key_made(job, submission.object)
        stored = await self.client.head_object(key)
        record = record_of(submission, job, key, self._checked(job, key, stored), protect=action.protect)
        self.lockfile.done(action.address, record)
        self.report.finished(action.address, action.kind, record)
        if job.engine and job.message:  # the cloud's says no more than that it is done
            self.report.note(f"{action.address}: {job.message}")

    @staticmethod
    def _checked(job: Job, key: str, stored: StoredObject | None) -> StoredObject:
        """Done means that the object is there and is the one that the job reported."""
        if stored is None:
            raise _OutputFailedError("NoSuchKey", f"the job reports Success, but {key} is not there", job.job_id)
        reported = reported_md5(job)
        if reported and "-" not in stored.etag and stored.etag != reported:
            message = f"{key} is not what the job reported: its ETag is {stored.etag}, the job said {reported}"
            raise _OutputFailedError("ObjectMismatch", message, job.job_id)
        return stored

    async def _adopt(self, action: Action) -> None:
        stored = await self.client.head_object(action.object)
        if stored is None or stored.etag != action.seen:
            raise _OutputFailedError("ObjectMismatch", f"{action.object} has changed since the plan was made")
        now = self.clock.now().isoformat(timespec="seconds")
        record = Record(
            object=action.object,
            fingerprint=fingerprint(action.request, action.inputs),
            request=action.request,
            inputs=action.inputs,
            etag=stored.etag,
            size=stored.size,
            finished=now,
            protect=action.protect,
        )
        self.lockfile.done(action.address, record)
        self.report.finished(action.address, action.kind, record)

    async def _remove(self, action: Action) -> None:
        if action.kind == "delete":
            stored = await self.client.head_object(action.object)
            if stored is not None and stored.etag != action.seen:
                self.report.failed(action.address, f"{action.object} has changed since the plan was made; kept")
                return
            record = self.lockfile.records.get(action.address)
            for key in (record.files if record else None) or ():  # first: what is left half deleted is deleted again
                await self.client.delete_object(key)
            await self.client.delete_object(action.object)
        if action.address in self.lockfile.pending:
            self.lockfile.dropped(action.address)
        self.lockfile.forget(action.address)
        self.report.gone(action.address, action.kind)

    def _fail(self, address: str, failure: _OutputFailedError) -> None:
        before = self.lockfile.failures.get(address)
        self.lockfile.failed(
            Failure(
                address,
                failure.job,
                failure.code,
                failure.message,
                self.clock.now().isoformat(timespec="seconds"),
                attempts=before.attempts + 1 if before else 1,
            )
        )
        self.report.failed(address, f"{failure.code}: {failure.message}")


def with_token(request: JobRequest, token: str) -> JobRequest:
    """Return the request with the token after the user's own text in UserData."""
    operation = request.operation[0]
    text = f"{operation.user_data} {token}" if operation.user_data else token
    return request.model_copy(update={"operation": (operation.model_copy(update={"user_data": text}),)})
