"""What `doctor` looks at, step by step; each step says what it found, and what depends on a failed one is skipped.

Nothing is changed, neither here nor at the service, unless a step is asked to ``write``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from reconciler.cli import session
from reconciler.errors import ClientError, GuardError, ManifestError, ReconcilerError, ServiceError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.project import Project

Status = Literal["ok", "warning", "failed", "skipped"]

PROBE: Final = "reconciler-doctor-probe-"
"""How the key of the object begins that is written and deleted again."""

_TOLERABLE_SKEW: Final = 60.0
_MOST_SKEW: Final = 900.0
_TOUCHING_THE_SIGNATURE: Final = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
)
_CREDENTIALS: Final = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SECURITY_TOKEN")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found, and what to do about it."""

    step: str
    status: Status
    summary: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    summary: str
    status: Status = "ok"
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """``needs`` are the steps without which this one makes no sense."""

    name: str
    needs: tuple[str, ...]
    look: Callable[[], Awaitable[_Outcome]]


async def examine(options: Globals, *, write: bool) -> AsyncIterator[Finding]:
    """Yield what every step finds, as soon as it is found."""
    passed: set[str] = set()
    async with AsyncExitStack() as stack:
        examination = _Examination(options, stack)
        for step in examination.steps(write=write):
            found = await _finding(step, passed)
            if found.status in ("ok", "warning"):
                passed.add(step.name)
            yield found


async def _finding(step: _Step, passed: set[str]) -> Finding:
    missing = [name for name in step.needs if name not in passed]
    if missing:
        return Finding(step.name, "skipped", f"needs {missing[0]}")
    try:
        outcome = await step.look()
    except ManifestError as error:
        first = error.diagnostics[0]
        where = f"{first.position.source}:{first.position.line}: " if first.position else ""
        more = f" ({error.message} in all)" if len(error.diagnostics) > 1 else ""
        return Finding(step.name, "failed", f"{where}{first.summary}{more}", "run `reconciler validate`")
    except ReconcilerError as error:
        return Finding(step.name, "failed", error.message, error.advice)
    except OSError as error:
        return Finding(step.name, "failed", f"{error.filename or 'reading'}: {error.strerror or error}")
    return Finding(step.name, outcome.status, outcome.summary, outcome.advice)


class _Examination:
    """The steps, and what earlier ones leave to later ones: the project, the client, what was heard of the bucket."""

    def __init__(self, options: Globals, stack: AsyncExitStack) -> None:
        self._options = options
        self._stack = stack
        self._project: Project | None = None
        self._client: Client | None = None
        self._denied: ServiceError | None = None
        self._objects = ""

    def steps(self, *, write: bool) -> Iterator[_Step]:
        """Yield the steps in their order; which ones there are is known once the first one was taken."""
        yield _Step("settings", (), self._settings)
        yield _Step("manifests", ("settings",), self._manifests)
        yield _Step("lockfile", ("settings",), self._lockfile)
        yield _Step("guard", ("settings",), self._guard)
        embedded = self._project is not None and self._project.service == "embedded"
        if embedded:
            yield _Step("ffmpeg", ("settings",), self._ffmpeg)
            yield _Step("sandbox", ("settings",), self._sandbox)
            yield _Step("connection", ("settings",), self._connection)
            yield _Step("bucket", ("connection",), self._bucket)
        else:
            yield _Step("credentials", ("settings",), self._credentials)
            yield _Step("connection", ("settings", "credentials"), self._connection)
            yield _Step("clock", ("connection",), self._clock)
            yield _Step("signature", ("connection",), self._signature)
            yield _Step("bucket", ("signature",), self._bucket)
        yield _Step("list objects", ("bucket",), self._list_objects)
        yield _Step("media processing", ("bucket",), self._media_processing)
        yield _Step("list jobs", ("media processing",), self._list_jobs)
        yield _Step("list templates", ("media processing",), self._list_templates)
        if write and not embedded:
            yield _Step("write objects", ("bucket",), self._write_objects)

    # Here.

    async def _settings(self) -> _Outcome:
        self._project = project = session.open_project(self._options)
        environment = f", environment {project.environment}" if project.environment else ""
        return _Outcome(f"{project.bucket} in {project.region}, service {project.service}{environment}")

    async def _manifests(self) -> _Outcome:
        desired = session.read_desired(self._known)
        outputs = _count(len(desired.outputs), "output")
        if desired.warnings:
            summary = f"{outputs} declared, with {_count(len(desired.warnings), 'warning')}"
            return _Outcome(summary, "warning", "run `reconciler validate`")
        return _Outcome(f"{outputs} declared")

    async def _lockfile(self) -> _Outcome:
        lockfile = await session.open_lockfile(self._known)
        summary = f"{_count(len(lockfile.records), 'output')} recorded"
        if lockfile.pending or lockfile.note:
            begun = f"{_count(len(lockfile.pending), 'submission')} of an earlier run not settled"
            return _Outcome(f"{summary}, {begun}", "warning", "run `reconciler apply`: it takes them up")
        return _Outcome(summary)

    async def _guard(self) -> _Outcome:
        if not self._known.state_dir.exists():
            return _Outcome("there was no run yet")
        try:
            with session.guarded(self._known, "doctor"):
                return _Outcome("no other run is at work")
        except GuardError as error:
            return _Outcome(error.message, "warning", error.advice)

    async def _ffmpeg(self) -> _Outcome:
        from reconciler.service import ffmpeg

        program = ffmpeg.locate(os.environ)
        summary, lacking = f"{program.version} ({program.path})", program.lacking
        if lacking:
            advice = "set RECONCILER_FFMPEG to an FFmpeg that has them"
            return _Outcome(f"{summary} has no encoder {', '.join(lacking)}", "failed", advice)
        return _Outcome(summary)

    async def _sandbox(self) -> _Outcome:
        from reconciler.service.sandbox import Sandbox

        found = Sandbox.detect(os.environ)
        summary = f"{found.kind} ({found.reason})" if found.reason else found.kind
        if found.kind == "none":
            advice = "install bubblewrap on Linux; until then render only files that you trust"
            return _Outcome(summary, "warning", advice)
        return _Outcome(summary)

    async def _credentials(self) -> _Outcome:
        for name in _CREDENTIALS:
            value = os.environ.get(name, "")
            if value != value.strip() or not value.isprintable() or not value.isascii():
                return _Outcome(
                    f"{name} holds a space, a line end or another odd character", "failed", f"set {name} anew"
                )
        credentials = session.credentials(required=self._known.service == "cloud")
        if credentials is None:
            return _Outcome("none; requests are not signed")
        temporary = "temporary ones of " if credentials.token else ""
        return _Outcome(f"{temporary}{credentials.secret_id}")

    # At the service.

    async def _connection(self) -> _Outcome:
        from reconciler.transport import Patience

        patience = Patience(attempts=1, slowed=0)
        self._client = await self._stack.enter_async_context(session.connect(self._known, patience=patience))
        try:
            await self._client.head_bucket()
        except ServiceError as error:
            if not error.request_id:
                raise ClientError(
                    f"{error.message}: this is not the API that answers",
                    advice=error.advice or "check `service` and `endpoints`, and whether a proxy stands in between",
                ) from None
            if error.status >= 500:
                raise
        return _Outcome(f"{_where(self._known)} answers")

    async def _clock(self) -> _Outcome:
        skew = self._service.skew
        if skew is None:
            return _Outcome("the service does not tell its time", "warning")
        seconds = round(abs(skew))
        direction = "behind" if skew > 0 else "ahead of"
        if seconds <= _TOLERABLE_SKEW:
            return _Outcome("as the service's")
        return _Outcome(
            f"{seconds} s {direction} the service's{'' if seconds < _MOST_SKEW else ', which refuses such signatures'}",
            "warning",
            "set the clock of this machine; meanwhile requests are signed with the service's time",
        )

    async def _signature(self) -> _Outcome:
        """Ask for a listing: unlike HEAD, its refusal says why."""
        from reconciler.reply import mistimed

        signed = session.credentials() is not None
        try:
            await self._look_into_bucket()
        except ServiceError as error:
            if error.code in _TOUCHING_THE_SIGNATURE or mistimed(error):
                raise
            if error.status == 403 and not signed:
                return _Outcome(error.message, "failed", f"set {_CREDENTIALS[0]} and {_CREDENTIALS[1]}")
            self._denied = error
        return _Outcome("accepted" if signed else "not asked for")

    async def _bucket(self) -> _Outcome:
        if self._denied is None and not self._objects:
            await self._look_into_bucket()
        if self._denied is not None and self._denied.status != 403:
            raise self._denied
        return _Outcome(f"{self._known.bucket} is in {self._known.region}")

    async def _look_into_bucket(self) -> None:
        page, following = await self._service.list_page()
        self._objects = f"{'more than ' if following else ''}{_count(len(page), 'object')}"

    async def _list_objects(self) -> _Outcome:
        if self._denied is not None:
            return _not_allowed(self._denied, "cos:GetBucket")
        return _Outcome(self._objects)

    async def _media_processing(self) -> _Outcome:
        try:
            queues = await self._service.queues()
        except ServiceError as error:
            if error.status == 403:
                return _not_allowed(error, "ci:DescribeMediaQueues")
            if error.status == 400 and not await self._service.media_buckets(self._known.bucket):
                return _Outcome(
                    f"it is switched off for {self._known.bucket}: {error.detail}",
                    "failed",
                    "switch it on in the console of Cloud Infinite",
                )
            raise
        paused = [queue.queue_id for queue in queues if queue.state != "Active"]
        if paused:
            return _Outcome(f"queue {paused[0]} is paused", "warning", "resume it: until then its jobs wait")
        return _Outcome("switched on")

    async def _list_jobs(self) -> _Outcome:
        try:
            newest = await anext(self._service.list_jobs(), None)
        except ServiceError as error:
            return _not_allowed(error, "ci:DescribeMediaJobs")
        if newest is None:
            return _Outcome("there is none")
        return _Outcome(f"the newest is {newest.job_id}, {newest.state}")

    async def _list_templates(self) -> _Outcome:
        try:
            return _Outcome(_count(len(await self._service.list_templates()), "template"))
        except ServiceError as error:
            return _not_allowed(error, "ci:DescribeMediaTemplates")

    async def _write_objects(self) -> _Outcome:
        key = f"{PROBE}{secrets.token_hex(8)}"
        action = "cos:PutObject"
        try:
            await self._service.put_object(key, b"May be deleted.\n")
            action = "cos:DeleteObject"
            await self._service.delete_object(key)
        except ServiceError as error:
            outcome = _not_allowed(error, action)
            left = f"; {key} is left" if action == "cos:DeleteObject" else ""
            return _Outcome(f"{outcome.summary}{left}", "failed", outcome.advice)
        return _Outcome("an object was put and deleted")

    @property
    def _known(self) -> Project:
        assert self._project is not None, "the step needs the settings"
        return self._project

    @property
    def _service(self) -> Client:
        assert self._client is not None, "the step needs the connection"
        return self._client


def _not_allowed(error: ServiceError, action: str) -> _Outcome:
    """Return what a refusal means for a permission; any other refusal is told as it is."""
    if error.status != 403:
        raise error
    return _Outcome(error.message, "failed", f"allow {action} to these credentials")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _where(project: Project) -> str:
    return {"embedded": "the service in this process", "cloud": "the cloud"}.get(project.service, project.service)
