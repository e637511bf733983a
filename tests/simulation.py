"""A service, a disk and a clock under the real planner and applier, all of which can fail at a chosen effect.

The service keeps its jobs and objects over a crash of the program, as a real one does. Every effect the program has
on the world asks ``World.effect`` first and tells it afterwards, so a test can let the program die at each of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler import disk
from reconciler.api.messages import CANCEL, FAILED, RUNNING, SUBMITTED, SUCCESS, Job, JobOperation, JobRequest
from reconciler.api.templates import WATERMARK, Template, TemplateRequest
from reconciler.apply import Pace, apply
from reconciler.client import Client
from reconciler.errors import ServiceError, UnreachableError
from reconciler.inflight import Bell
from reconciler.lockfile import Lockfile
from reconciler.lockformat import is_whole
from reconciler.observe import observe
from reconciler.plan import Plan, plan
from reconciler.report import Report
from reconciler.state import DesiredState, StoredObject, content
from reconciler.stores import LocalStore
from reconciler.wire import wire_request

BUCKET, REGION = "sim-1250000000", "ap-chongqing"


class Crash(BaseException):
    """The process dies here: nothing after this point happens, no cleaning up either."""


class World:
    """What outlives a crash: time, objects and jobs; and where the next crash is to be."""

    def __init__(self, folder: Path, sources: Mapping[str, str]) -> None:
        self.folder = folder
        self.time = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
        self.objects = {key: StoredObject(etag, 1) for key, etag in sources.items()}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, Template] = {}
        self.templates_made = 0
        self.lose_template_answers = 0
        self.refuse_templates = False
        self.nonces = 0
        self.copies = 0
        self.effects = 0
        self.crash_at: int | None = None
        self.dead = False
        self.broken: set[str] = set()
        self.lose_answer_of: set[int] = set()
        self.refuse_with: dict[int, ServiceError] = {}
        self.slow_downs: list[ServiceError] = []
        self.accepts_all_the_same = False
        self.visible_after = timedelta(0)
        self.known_after = timedelta(0)
        self.ahead = timedelta(0)
        self.answer_takes = timedelta(0)
        self.on_effect: Callable[[str], None] = lambda _: None

    def effect(self, what: str) -> None:
        """Count one point at which the program may die, and die there when it is the chosen one."""
        if self.dead:
            raise Crash
        self.effects += 1
        self.on_effect(what)
        if self.effects == self.crash_at:
            self.dead = True
            raise Crash(what)

    def revive(self) -> None:
        self.effects, self.crash_at, self.dead = 0, None, False

    # The clock.

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def nonce(self) -> str:
        self.nonces += 1
        return f"{self.nonces:016x}"

    # The service.

    def accept(self, request: JobRequest) -> str:
        name = f"j{len(self.jobs):032x}"
        self.jobs[name] = {
            "request": self.resolved(request),
            "sent": request,
            "state": SUBMITTED,
            "asked": 0,
            "time": self.time + self.ahead,
        }
        return name

    def resolved(self, request: JobRequest) -> JobRequest:
        """Return a request with its templates as they are now, as the service does at submission."""
        operation = request.operation[0]
        update: dict[str, Any] = {}
        if operation.transcode_template_id:
            update["transcode"] = self.templates[operation.transcode_template_id].trans_tpl
        if operation.watermark_template_id:
            update["watermark"] = tuple(self.templates[name].watermark for name in operation.watermark_template_id)
        if update:
            update |= {"transcode_template_id": None, "watermark_template_id": None}
        return request.model_copy(update={"operation": (operation.model_copy(update=update),)})

    def keep(self, name: str, request: TemplateRequest) -> Template:
        watermark = request.tag == WATERMARK
        self.templates[name] = Template(
            tag=request.tag,
            name=request.name,
            template_id=name,
            watermark=request.watermark,
            trans_tpl=None if watermark else request.transcode,
        )
        return self.templates[name]

    def advance(self, name: str) -> None:
        """A job is Running when it is asked about first, and has ended the second time."""
        job = self.jobs[name]
        if job["state"] in (SUCCESS, FAILED):
            return
        job["asked"] += 1
        job["state"] = RUNNING
        if job["asked"] > 1:
            self._end(job)

    def _end(self, job: dict[str, Any]) -> None:
        operation = job["request"].operation[0]
        keys = [info.url.split(".com/")[1] for info in operation.video_synthesis.splice_info]
        if any(key in self.broken or key not in self.objects for key in keys):
            job["state"] = FAILED
            return
        made_of = [content(job["request"].plain()), [self.objects[key].etag for key in keys]]
        digest = hashlib.md5(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        self.objects[operation.output.object] = StoredObject(digest, 7)
        job["state"] = SUCCESS

    def knows(self, name: str, *, after: timedelta) -> bool:
        """Whether a job has been there for so long, by the service's clock."""
        accepted: datetime = self.jobs[name]["time"]
        return accepted + after <= self.time + self.ahead

    def describe(self, name: str) -> Job:
        job = self.jobs[name]
        operation = job["request"].operation[0]
        fields: dict[str, Any] = {"operation": JobOperation.model_validate(operation.plain())}
        if job["state"] == SUCCESS:
            etag = self.objects[operation.output.object].etag
            result = {"output_file": {"object_name": [operation.output.object], "md5_info": [{"md5": etag}]}}
            fields["operation"] = JobOperation.model_validate({**operation.plain(), "media_result": result})
        if job["state"] == FAILED:
            fields |= {"code": "InvalidSource", "message": "moov atom not found"}
        times = {"creation_time": "2026-05-01T10:00:00+0800", "end_time": "2026-05-01T10:00:09+0800"}
        return Job(job_id=name, state=job["state"], progress=50, **times, **fields)

    def jobs_of(self, key: str) -> list[str]:
        return [name for name, job in self.jobs.items() if job["request"].operation[0].output.object == key]


class SimulatedClient(Client):
    """The client's methods on a World."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def skew(self) -> float | None:
        return self.world.ahead.total_seconds()

    async def turn(self) -> None:
        """Nothing holds back."""

    async def submit(self, request: JobRequest) -> Job:
        self.world.effect("submit: before")
        await asyncio.sleep(0)
        number = len(self.world.jobs)
        if self.world.slow_downs:
            if self.world.accepts_all_the_same:
                self.world.accept(request)
            raise self.world.slow_downs.pop()
        if number in self.world.refuse_with:
            raise self.world.refuse_with.pop(number)
        self.world.time += self.world.answer_takes
        name = self.world.accept(request)
        self.world.effect("submit: accepted")
        if number in self.world.lose_answer_of:
            raise UnreachableError("POST /jobs: no answer", sent=True)
        return self.world.describe(name)

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        self.world.effect("jobs")
        found = {}
        for name in ids:
            if name in self.world.jobs and self.world.knows(name, after=self.world.known_after):
                self.world.advance(name)
                found[name] = self.world.describe(name)
        return found

    async def list_jobs(self, *, created_after: str | None = None) -> AsyncIterator[Job]:
        self.world.effect("list_jobs")
        since = datetime.fromisoformat(created_after) if created_after else datetime.min.replace(tzinfo=UTC)
        for name in reversed(self.world.jobs):
            if self.world.jobs[name]["time"] >= since and self.world.knows(name, after=self.world.visible_after):
                yield self.world.describe(name)

    async def list_objects(self, prefix: str = "") -> dict[str, StoredObject]:
        self.world.effect("list_objects")
        return {key: value for key, value in sorted(self.world.objects.items()) if key.startswith(prefix)}

    async def head_object(self, key: str) -> StoredObject | None:
        self.world.effect("head_object")
        return self.world.objects.get(key)

    async def copy_object(self, source_key: str, key: str, *, etag: str) -> StoredObject | None:
        self.world.effect("copy_object: before")
        there = self.world.objects.get(source_key)
        if there is None:
            return None
        if there.etag != etag:
            raise ServiceError(412, "PreconditionFailed", "it is another one", request_id="r")
        self.world.objects[key] = there
        self.world.copies += 1
        self.world.effect("copy_object: after")
        return there

    async def cancel(self, job: str) -> None:
        self.world.effect("cancel: before")
        if self.world.jobs[job]["state"] != SUBMITTED:
            raise ServiceError(409, "InvalidJobState", "it has started", request_id="r")
        self.world.jobs[job]["state"] = CANCEL
        self.world.effect("cancel: after")

    async def delete_object(self, key: str) -> None:
        self.world.effect("delete_object: before")
        self.world.objects.pop(key, None)
        self.world.effect("delete_object: after")

    async def list_templates(self) -> list[Template]:
        self.world.effect("list_templates")
        return list(self.world.templates.values())

    async def create_template(self, request: TemplateRequest) -> Template:
        self.world.effect("create_template: before")
        if self.world.refuse_templates:
            raise ServiceError(400, "InvalidArgument", "Request.Video: no", request_id="r", call="POST /template")
        self.world.templates_made += 1
        made = self.world.keep(f"t1{self.world.templates_made:032x}", request)
        self.world.effect("create_template: after")
        if self.world.lose_template_answers:
            self.world.lose_template_answers -= 1
            raise UnreachableError("POST /template: no answer", sent=True)
        return made

    async def update_template(self, template: str, request: TemplateRequest) -> Template:
        self.world.effect("update_template: before")
        made = self.world.keep(template, request)
        self.world.effect("update_template: after")
        return made

    async def delete_template(self, template: str) -> None:
        self.world.effect("delete_template: before")
        self.world.templates.pop(template, None)
        self.world.effect("delete_template: after")


class SimulatedStore(LocalStore):
    """The real files, of which every write may be the last one: whole, torn, or renamed before its data was there."""

    def __init__(self, world: World, path: Path, journal: Path) -> None:
        super().__init__(path, journal, is_whole=is_whole)
        self.world = world

    async def append(self, lines: str) -> None:
        names = "+".join(json.loads(line)["op"] for line in lines.splitlines())
        self.world.effect(f"{names}: before")
        try:
            self.world.effect(f"{names}: torn")
        except Crash:
            assert self._stream is not None
            self._stream.write(lines.encode()[: len(lines) // 2])
            raise
        await super().append(lines)
        self.world.effect(f"{names}: after")

    async def fold(self, text: str, lines: str, *, empty: bool) -> None:
        if self.world.dead:
            self.close()
            raise Crash
        self.world.effect("fold: before")
        before = disk.content(self._path)
        try:
            self.world.effect("fold: between")
        except Crash:
            if text.encode() != before and not (empty and before is None):
                disk.keep(self._path, self._earlier[0])
                disk.replace(self._path, text)
            raise
        await super().fold(text, lines, empty=empty)
        try:
            self.world.effect("fold: power cut")
        except Crash:
            self.close()
            if disk.content(self._path) != before:
                self._path.write_bytes(b"")
            self._log.write_bytes(b"")
            raise
        self.world.effect("fold: after")


def open_lockfile(world: World) -> Lockfile:
    store = SimulatedStore(world, world.folder / "reconciler.lock", world.folder / "state" / "journal")
    return Lockfile(store, store.load())


def send(request: Mapping[str, Any]) -> JobRequest:
    return wire_request(request, bucket=BUCKET, region=REGION)


async def plan_once(world: World, desired: DesiredState, **options: Any) -> tuple[Plan, Client, Lockfile]:
    client, lockfile = SimulatedClient(world), open_lockfile(world)
    return plan(desired, await observe(client, lockfile, desired), **options), client, lockfile


def run_once(
    world: World,
    desired: DesiredState,
    *,
    pace: Pace | None = None,
    stop: asyncio.Event | None = None,
    bell: Bell | None = None,
    **options: Any,
) -> Report:
    """Plan and apply once, as one process would. Raises what apply raises; a crash comes as Crash."""

    async def main() -> Report:
        made, client, lockfile = await plan_once(world, desired, **options)
        report = Report()
        try:
            await apply(
                made,
                client,
                lockfile,
                report,
                wire=send,
                clock=world,
                pace=pace or Pace(parallelism=3, poll=1.0, visibility=120),
                stop=stop or asyncio.Event(),
                bell=bell,
            )
        finally:
            lockfile.close()
        return report

    try:
        return asyncio.run(main())
    except BaseExceptionGroup as group:
        crash = group.subgroup(Crash)
        if crash is None:
            raise
        raise Crash from None
