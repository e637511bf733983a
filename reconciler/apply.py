"""Plan → effects, journalled. Obeys the plan and decides nothing.

Every effect is on disk before it happens, so the process may die anywhere. How a job is submitted exactly once is in
``submitting``; here it is waited for, its object is checked and recorded, objects are copied, adopted and deleted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.action import EFFECTIVE, RENDERS, Action, Origin, Plan
from reconciler.api.error_codes import CODES
from reconciler.api.messages import CANCEL, FAILED, SUCCESS, Job
from reconciler.apply_templates import TemplateKeeper
from reconciler.client import Client
from reconciler.decisions import is_made_since
from reconciler.errors import ApplyError, ClientError, Interrupted, ReconcilerError, ServiceError
from reconciler.fingerprint import fingerprint
from reconciler.inflight import Bell, Poller, Queue, came
from reconciler.lockfile import Lockfile
from reconciler.outcome import key_made, mismatch, record_of, told
from reconciler.report import Report
from reconciler.state import Failure, Record, StoredObject, Submission
from reconciler.submitting import (
    Clock,
    OutputFailedError,
    Pace,
    StoppedError,
    Submitter,
    Wire,
    briefly,
    same_content,
)
from reconciler.undeclared import FORMER

__all__ = ["Clock", "Pace", "Wire", "apply"]

GRACE: Final = 1.5
"""Seconds that calls under way get to end once the run is to stop; what they do is found again by the next one."""

_FIRST_RETRY: Final = 1.0
_HISTORY: Final = 10
_GOING: Final = frozenset({"delete", "forget"})
_OTHER: Final = 412


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
    submitter = Submitter(client, lockfile, report, wire, clock, pace, stop, bell or Bell())
    await lockfile.begin()
    try:
        for old, new in plan.moves.items():
            await lockfile.move(old, new)
            report.note(f"{old} is now {new}")
        await _amend(plan, lockfile)
        await _Run(client, lockfile, report, submitter).carry_out(plan)
    finally:
        async with briefly(stop, report, "the lockfile is not written; its journal has everything"):
            await lockfile.checkpoint()
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


async def _amend(plan: Plan, lockfile: Lockfile) -> None:
    """Record what changed beside the results: what manifests say of protection, and fingerprints of today's version."""
    for action in plan.actions:
        record = lockfile.records.get(action.address)
        if record is None or not action.declared or action.address in lockfile.pending:
            continue
        mark = plan.upgrades.get(action.address, record.fingerprint)
        if record.protect is not action.protect or record.fingerprint != mark:
            await lockfile.amend(action.address, replace(record, protect=action.protect, fingerprint=mark))


@dataclass
class _Run:
    """One apply: takes what may begin, submits it, follows its job, records the result."""

    client: Client
    lockfile: Lockfile
    report: Report
    submitter: Submitter
    poller: Poller = field(init=False)
    templates: TemplateKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.pace, self.stop, self.clock = self.submitter.pace, self.submitter.stop, self.submitter.clock
        self.templates = TemplateKeeper(self.client, self.lockfile, self.report, self.stop)
        self.poller = Poller(
            self.client, self.clock.sleep, self.pace.poll, self.submitter.bell, visibility=self.pace.visibility
        )

    async def carry_out(self, plan: Plan) -> None:
        """Make everything in order of dependency, several at a time; deletes come last, and only after success."""
        await self.templates.write(plan.templates)
        actions = [action for action in plan.actions if action.kind in EFFECTIVE]
        queue = Queue(
            {action.address: action for action in actions if action.kind not in _GOING}, limits=self.pace.queues
        )
        if self.pace.fail_fast and self.report.failures:
            queue.drain()
        await self._work_off(queue)
        made = [action for action in actions if action.address in self.report.done and action.kind in RENDERS]
        async with briefly(self.stop, self.report, "whether templates changed during the run is not known"):
            await self.templates.recheck(sorted({address for action in made for address in action.templates}))
        if self.stop.is_set() or self.report.left:
            return
        for address in queue.unreachable:
            self.report.failed(address, "not begun: what it is made of could not be made")
        if not self.report.failures:
            for action in actions:
                if action.kind in _GOING and not self.stop.is_set():
                    with suppress(StoppedError):
                        await self._remove(action)
            await self.templates.remove(plan.templates)

    async def _work_off(self, queue: Queue) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                poller = group.create_task(self.poller.run())
                workers = [group.create_task(self._work(queue)) for _ in range(min(self.pace.parallelism, len(queue)))]
                if workers:
                    await self._until_done_or_stopped(workers)
                poller.cancel()
        except* ReconcilerError as errors:
            raise errors.exceptions[0] from None

    async def _until_done_or_stopped(self, workers: list[asyncio.Task[None]]) -> None:
        """Wait for the workers; once the run is to stop, no longer than its grace for calls that hang."""
        together = asyncio.ensure_future(asyncio.wait(workers))
        if not await came(asyncio.shield(together), self.stop):
            await asyncio.wait([together], timeout=GRACE)
            for worker in workers:
                worker.cancel()
        await together

    async def _work(self, queue: Queue) -> None:
        """Take actions until none is left; one worker is one job in flight."""
        while (action := await queue.take(self.stop)) is not None:
            succeeded = False
            try:
                succeeded = await self._perform(action)
            except OutputFailedError as failure:
                await self._fail(action, failure)
            except StoppedError:
                pass  # the journal has what the next apply needs
            except ClientError as error:
                # What was begun stays in the journal: the next apply settles it.
                self.report.failed(action.address, error.message)
            if self.pace.fail_fast and self.report.failures:
                queue.drain()
            await queue.settle(action.address, succeeded=succeeded)

    async def _perform(self, action: Action) -> bool:
        """Make one output; False when its job was left running."""
        self.lockfile.store.check()
        if action.kind == "adopt":
            return await self._adopt(action)
        if action.kind == "reuse":
            await self._copy(action)
            return True
        if action.kind == "wait":
            return await self._conclude(action, await self._taken_up(action))
        if action.job is not None:
            await self.submitter.part(action.address, action.job, action.twins)
            if not await self._supersede(action, action.job):
                return False
        if (action.upstream or action.job) and await self._came_out_the_same(action):
            return True
        self._check_templates(action)
        return await self._make(action)

    async def _came_out_the_same(self, action: Action) -> bool:
        """Spare a render when what it is made of was made anew and is, byte for byte, what it was.

        Or when an earlier submission, which had to be settled first, has made it or has left alone what was there.
        """
        record = self.lockfile.records.get(action.address)
        if record is None or action.forced or action.address in self.lockfile.pending:
            return False
        if action.object != record.object or self.submitter.draft(action).fingerprint != record.fingerprint:
            return False
        stored = await self.client.head_object(action.object)
        if stored is None or (stored.etag, stored.size) != (record.etag, record.size or stored.size):
            return False
        self.report.unchanged(action.address, record)
        return True

    def _check_templates(self, action: Action) -> None:
        """Make nothing with a template that could not be written."""
        for address in action.templates:
            if address in self.templates.failed:
                raise OutputFailedError("NoSuchTemplate", f"not begun: {address} could not be written")

    async def _taken_up(self, action: Action) -> Submission:
        """Return the submission of a job that an earlier run began, recorded by now."""
        assert action.job is not None
        submission = self.lockfile.pending.get(action.address)
        if submission is None:  # found in the service's history
            token = (action.origin.token if action.origin else None) or ""
            submission = replace(self.submitter.draft(action), token=token)
            await self.lockfile.intend(submission)
        if submission.job is None:
            submission = await self.submitter.accepted(submission, action.job)
        await self.submitter.part(action.address, action.job, action.twins)
        return submission

    async def _supersede(self, action: Action, job: str) -> bool:
        """Let the job of an earlier version end first: it writes the same key. False when the run ends before.

        What it made is recorded: should nothing come of what is to follow, it is ours all the same.
        """
        ended = await self._follow(action.address, job)
        if ended is None:
            return False
        begun = self.lockfile.pending[action.address]
        key = key_made(ended, begun.object)
        stored = await self.client.head_object(key) if ended.state == SUCCESS else None
        if stored is None or mismatch(ended, key, stored, begun.request) is not None:
            await self.lockfile.dropped(action.address)
            return True
        await self._keep(action.address, self._record_of(action, begun, ended, key, stored))
        if action.protect:
            raise OutputFailedError(
                "Protected", f"job {job} has made it after all, and it is protected; plan again", job
            )
        return True

    async def _make(self, action: Action) -> bool:
        """Have an output rendered, once more when that fails for a passing reason."""
        for attempt in range(self.pace.retries + 1):
            submission = await self._submitted(action)
            if submission is None:
                return action.address in self.report.done
            job = await self._follow(action.address, submission.job)
            if job is None:
                return False
            if attempt == self.pace.retries or not _passes(job):
                return await self._record(action, submission, job)
            pause = _FIRST_RETRY * 2**attempt
            self.report.note(f"{action.address}: {job.code}: {job.message}; made once more in {pause:.0f} s")
            await self.lockfile.dropped(action.address)
            await self.submitter.rest(pause)
        raise AssertionError  # the last attempt has returned

    async def _submitted(self, action: Action) -> Submission | None:
        """Submit a job unless an earlier run did; None when the run ends before, or when none is needed after all."""
        draft = self.submitter.draft(action)
        earlier = await self.submitter.settle_earlier(action)
        if earlier is not None:
            doubtful, found = earlier
            same = same_content(doubtful, draft)
            if found is not None and same:
                return await self.submitter.accepted(doubtful, found)
            if found is not None and not await self._supersede(action, found):
                return None
            if not same:
                if found is None:
                    await self.lockfile.dropped(action.address)
                if await self._came_out_the_same(action):
                    return None
            if same:
                draft = replace(draft, token=doubtful.token, sends=doubtful.sends)
        return await self.submitter.submit(action, draft)

    # Following and recording.

    async def _follow(self, address: str, job: str | None) -> Job | None:
        """Wait until a job has ended; None when the run ends before."""
        assert job is not None, "it was submitted"
        self.report.begun(address, job)
        if not self.pace.wait:
            self.report.leaving(address, job)
            return None
        ended = self.poller.watch(job, lambda live: self.report.progress(address, live.state, live.progress or 0))
        if await came(ended, self.stop):
            return ended.result()
        self.report.leaving(address, job)
        return None

    async def _conclude(self, action: Action, submission: Submission) -> bool:
        job = await self._follow(action.address, submission.job)
        return False if job is None else await self._record(action, submission, job)

    async def _record(self, action: Action, submission: Submission, job: Job) -> bool:
        """Record what a job that has ended made; raises when it made nothing, or something else."""
        if job.state != SUCCESS:
            code = job.code or job.state
            detail = {CANCEL: "the job was cancelled"}.get(job.state, job.message or "no reason given")
            failed = job.state == FAILED
            raise OutputFailedError(code if failed else job.state, detail, job.job_id, counts=failed)
        key = key_made(job, submission.object)
        stored = await self.client.head_object(key)
        wrong = mismatch(job, key, stored, submission.request)
        if wrong is not None:
            raise OutputFailedError(*wrong, job.job_id, counts=True)
        assert stored is not None
        await self._done(action, self._record_of(action, submission, job, key, stored))
        await self.submitter.look_for_twins(submission)
        if job.engine and job.message:  # the cloud's says no more than that it is done
            self.report.note(f"{action.address}: {job.message}")
        return True

    def _record_of(self, action: Action, submission: Submission, job: Job, key: str, stored: StoredObject) -> Record:
        """Return the record of what a job made; of what it made it is left open where nobody can tell."""
        if is_made_since(submission, self.lockfile.records, action.sources or submission.inputs):
            submission = replace(submission, inputs={}, fingerprint=fingerprint(submission.request, {}))
        return record_of(submission, job, key, stored, protect=action.protect)

    async def _done(self, action: Action, record: Record) -> None:
        """Record a result, and tell of it."""
        await self._keep(action.address, record)
        self.report.finished(action.address, action.kind, record)

    async def _keep(self, address: str, record: Record) -> None:
        """Record a result; an object that the output had under another key stays recorded, so that prune finds it."""
        before = self.lockfile.records.get(address)
        if before is not None and before.object != record.object:
            await self.lockfile.amend(f"{address}{FORMER}{before.object}", replace(before, protect=False))
        await self.lockfile.done(address, record)

    # Without a render.

    async def _copy(self, action: Action) -> None:
        """Copy an object that has the same content on the service."""
        origin = action.origin
        assert origin is not None
        assert origin.etag is not None
        there = await self.client.head_object(action.object)
        if (there.etag if there else None) not in (action.seen, origin.etag):
            raise OutputFailedError("ObjectMismatch", f"{action.object} has changed since the plan was made")
        stored = None
        try:
            stored = await self.client.copy_object(origin.object, action.object, etag=origin.etag)
        except ServiceError as error:
            if error.status != _OTHER:
                raise
        if stored is None or stored.etag != origin.etag:
            message = f"{origin.object} has changed since the plan was made; plan again"
            raise OutputFailedError("ObjectMismatch", message)
        await self._done(action, await self._recorded_from(action, origin, stored))

    async def _adopt(self, action: Action) -> bool:
        """Record the object that is there; False when a job shows up that an earlier run began to make it anew."""
        if (job := await self.submitter.shown_up(action)) is not None:
            self.report.leaving(action.address, job)
            return False
        stored = await self.client.head_object(action.object)
        if stored is None or stored.etag != action.seen:
            raise OutputFailedError("ObjectMismatch", f"{action.object} has changed since the plan was made")
        await self._done(action, await self._recorded_from(action, action.origin, stored))
        return True

    async def _recorded_from(self, action: Action, origin: Origin | None, stored: StoredObject) -> Record:
        """Return the record of an object that was not rendered for it, with what is known of where it comes from."""
        known: dict[str, Any] = {"finished": self.clock.now().isoformat(timespec="seconds")}
        if origin is not None and origin.job is not None:
            job = (await self.client.jobs([origin.job])).get(origin.job)
            known = {**told(job, origin.object), "job": origin.job} if job is not None else known
        elif origin is not None and (other := self.lockfile.records.get(origin.address or "")) is not None:
            known = {
                name: getattr(other, name) for name in ("job", "duration", "created", "finished", "engine", "files")
            }
        return Record(
            object=action.object,
            fingerprint=fingerprint(action.request, action.inputs),
            request=action.request,
            inputs=action.inputs,
            etag=stored.etag,
            protect=action.protect,
            **{**known, "size": stored.size},
        )

    async def _remove(self, action: Action) -> None:
        self.lockfile.store.check()
        if action.job is None and (job := await self.submitter.shown_up(action)) is not None:
            self.report.leaving(action.address, job)
            return
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
            await self.lockfile.dropped(action.address)
        await self.lockfile.forget(action.address)
        self.report.gone(action.address, action.kind)

    async def _fail(self, action: Action, failure: OutputFailedError) -> None:
        before = self.lockfile.failures.get(action.address)
        begun = self.lockfile.pending.get(action.address)
        mark = begun.fingerprint if begun else (before.fingerprint if before else "")
        again = before is not None and before.fingerprint == mark
        earlier = (*before.earlier, f"{before.time} {before.code}: {before.message}") if before and again else ()
        await self.lockfile.failed(
            Failure(
                action.address,
                failure.job,
                failure.code,
                failure.message,
                self.clock.now().isoformat(timespec="seconds"),
                attempts=(before.attempts if before and again else 0) + failure.counts,
                fingerprint=mark,
                earlier=earlier[-_HISTORY:],
            )
        )
        self.report.failed(action.address, f"{failure.code}: {failure.message}")


def _passes(job: Job) -> bool:
    """Tell whether a job failed for a reason that may be gone a little later."""
    known = CODES.get(job.code or "")
    return job.state == FAILED and known is not None and known.retry
