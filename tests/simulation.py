"""A service, a disk and a clock under the real planner and applier, all of which can fail at a chosen effect.

The service keeps its jobs and objects over a crash of the program, as a real one does. Every effect the program has
on the world asks ``Process.effect`` first and tells it afterwards, so a test can let the program die at each of them.
Time is the world's: where a real event loop would wait, the simulated one lets it pass. The disk knows what was synced,
and can lose the rest. Random histories of all this are in ``histories``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import selectors
import stat
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from reconciler import disk
from reconciler.api.messages import CANCEL, FAILED, RUNNING, SUBMITTED, SUCCESS, Accepted, Job, JobOperation, JobRequest
from reconciler.api.templates import WATERMARK, Template, TemplateRequest
from reconciler.apply import Pace, apply
from reconciler.client import Client
from reconciler.errors import ServiceError, UnreachableError
from reconciler.fingerprint import content
from reconciler.guard import SharedGuard
from reconciler.inflight import Bell
from reconciler.lockfile import Lockfile
from reconciler.lockformat import is_whole
from reconciler.plan import Plan
from reconciler.planning import make_plan
from reconciler.report import Report
from reconciler.state import DesiredState, StoredObject
from reconciler.stores import BucketStore, LocalStore
from reconciler.wire import wire_request

T = TypeVar("T")

BUCKET, REGION = "sim-1250000000", "ap-chongqing"
BEGINNING = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
SHARED_KEY = "state/reconciler.lock"
"""Where a shared lockfile is."""


class Crash(BaseException):
    """The process dies here: nothing after this point happens, no cleaning up either."""


class Process:
    """One run of the program, as far as it can be harmed: it counts its effects, and dies at a chosen one."""

    def __init__(self) -> None:
        self.effects = 0
        self.crash_at: int | None = None
        self.dead = False
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

    async def reach(self, what: str) -> None:
        """Count a point at which a call leaves or comes back; others may be at work meanwhile."""
        self.effect(what)

    def revive(self) -> None:
        self.effects, self.crash_at, self.dead = 0, None, False


class World(Process):
    """What outlives a crash: time, objects and jobs. Where one process runs at a time, it is that process too."""

    def __init__(self, folder: Path, sources: Mapping[str, str]) -> None:
        super().__init__()
        self.folder = folder
        self.disk = SimulatedDisk(folder, folder / "state")
        self.time = BEGINNING
        self.objects = {key: StoredObject(etag, 1) for key, etag in sources.items()}
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, Template] = {}
        self.templates_made = 0
        self.lose_template_answers = 0
        self.refuse_templates = False
        self.nonces = 0
        self.copies = 0
        self.broken: set[str] = set()
        self.passing: dict[str, int] = {}
        self.lose_answer_of: set[int] = set()
        self.refuse_with: dict[int, ServiceError] = {}
        self.slow_downs: list[ServiceError] = []
        self.accepts_all_the_same = False
        self.visible_after = timedelta(0)
        self.known_after = timedelta(0)
        self.ahead = timedelta(0)
        self.answer_takes = timedelta(0)
        self.a_job_takes = timedelta(0)

    # The clock.

    def now(self) -> datetime:
        return self.time

    def ticks(self) -> float:
        return (self.time - BEGINNING).total_seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

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
        """A job is Running when it is asked about first, and may have ended the second time."""
        job = self.jobs[name]
        if job["state"] in (SUCCESS, FAILED):
            return
        job["asked"] += 1
        job["state"] = RUNNING
        if job["asked"] > 1 and self.knows(name, after=self.a_job_takes):
            self._end(job)

    def _end(self, job: dict[str, Any]) -> None:
        operation = job["request"].operation[0]
        keys = [info.url.split(".com/")[1] for info in operation.video_synthesis.splice_info]
        if any(key in self.broken or key not in self.objects for key in keys):
            job["state"] = FAILED
            return
        for key in keys:
            if self.passing.get(key):
                self.passing[key] -= 1
                job["state"], job["passes"] = FAILED, True
                return
        etags = [self.objects[key].etag for key in keys]
        job["made"] = picture(job["request"].plain(), etags)
        self.objects[operation.output.object] = StoredObject(job["made"], 7)
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
            result = {"output_file": {"object_name": [operation.output.object], "md5_info": [{"md5": job["made"]}]}}
            fields["operation"] = JobOperation.model_validate({**operation.plain(), "media_result": result})
        if job["state"] == FAILED:
            passes = job.get("passes", False)
            fields |= {"code": "InternalError", "message": "try again"} if passes else {
                "code": "InvalidSource", "message": "moov atom not found",
            }  # fmt: skip
        times = {"creation_time": "2026-05-01T10:00:00+0800", "end_time": "2026-05-01T10:00:09+0800"}
        return Job(job_id=name, state=job["state"], progress=50, **times, **fields)

    def jobs_of(self, key: str) -> list[str]:
        return [name for name, job in self.jobs.items() if job["request"].operation[0].output.object == key]


def picture(request: Mapping[str, Any], etags: Iterable[str]) -> str:
    """Return the digest of what a request makes of sources with these ETags, one for each that is composed."""
    kept = content(request)
    infos = kept["video_synthesis"]["splice_info"]
    parts = [{**info, "url": etag} for info, etag in zip(infos, etags, strict=True)]
    return hashlib.md5(json.dumps({**kept, "video_synthesis": parts}, sort_keys=True).encode()).hexdigest()


class SimulatedClient(Client):
    """The client's methods on a World, called by one process."""

    def __init__(self, world: World, process: Process | None = None) -> None:
        self.world = world
        self.process = process or world

    @property
    def skew(self) -> float | None:
        return self.world.ahead.total_seconds()

    async def turn(self) -> None:
        """Nothing holds back."""

    async def submit(self, request: JobRequest) -> Accepted:
        await self.process.reach("submit: before")
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
        await self.process.reach("submit: accepted")
        if number in self.world.lose_answer_of:
            raise UnreachableError("POST /jobs: no answer", sent=True)
        return Accepted(job_id=name)

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        await self.process.reach("jobs")
        found = {}
        for name in ids:
            if name in self.world.jobs and self.world.knows(name, after=self.world.known_after):
                self.world.advance(name)
                found[name] = self.world.describe(name)
        return found

    async def list_jobs(self, *, created_after: str | None = None) -> AsyncIterator[Job]:
        await self.process.reach("list_jobs")
        since = datetime.fromisoformat(created_after) if created_after else datetime.min.replace(tzinfo=UTC)
        for name in reversed(self.world.jobs):
            if self.world.jobs[name]["time"] >= since and self.world.knows(name, after=self.world.visible_after):
                yield self.world.describe(name)

    async def list_objects(self, prefix: str = "") -> dict[str, StoredObject]:
        await self.process.reach("list_objects")
        there = self.world.objects | {key: StoredObject("-", len(body)) for key, body in self.world.files.items()}
        return {key: value for key, value in sorted(there.items()) if key.startswith(prefix)}

    async def head_object(self, key: str) -> StoredObject | None:
        await self.process.reach("head_object")
        return self.world.objects.get(key)

    async def get_object(self, key: str) -> tuple[bytes, str] | None:
        await self.process.reach(f"get {key}")
        body = self.world.files.get(key)
        return None if body is None else (body, hashlib.md5(body).hexdigest())

    async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
        await self.process.reach(f"put {key}: before")
        if forbid_overwrite and key in self.world.files:
            raise ServiceError(409, "FileAlreadyExists", "it is there", request_id="r")
        self.world.files[key] = content
        await self.process.reach(f"put {key}: after")
        return hashlib.md5(content).hexdigest()

    async def copy_object(self, source_key: str, key: str, *, etag: str) -> StoredObject | None:
        await self.process.reach("copy_object: before")
        there = self.world.objects.get(source_key)
        if there is None:
            return None
        if there.etag != etag:
            raise ServiceError(412, "PreconditionFailed", "it is another one", request_id="r")
        self.world.objects[key] = there
        self.world.copies += 1
        await self.process.reach("copy_object: after")
        return there

    async def cancel(self, job: str) -> None:
        await self.process.reach("cancel: before")
        if self.world.jobs[job]["state"] != SUBMITTED:
            raise ServiceError(409, "InvalidJobState", "it has started", request_id="r")
        self.world.jobs[job]["state"] = CANCEL
        await self.process.reach("cancel: after")

    async def delete_object(self, key: str) -> None:
        await self.process.reach("delete_object: before")
        self.world.objects.pop(key, None)
        self.world.files.pop(key, None)
        await self.process.reach("delete_object: after")

    async def list_templates(self) -> list[Template]:
        await self.process.reach("list_templates")
        return list(self.world.templates.values())

    async def create_template(self, request: TemplateRequest) -> Template:
        await self.process.reach("create_template: before")
        if self.world.refuse_templates:
            raise ServiceError(400, "InvalidArgument", "Request.Video: no", request_id="r", call="POST /template")
        self.world.templates_made += 1
        made = self.world.keep(f"t1{self.world.templates_made:032x}", request)
        await self.process.reach("create_template: after")
        if self.world.lose_template_answers:
            self.world.lose_template_answers -= 1
            raise UnreachableError("POST /template: no answer", sent=True)
        return made

    async def update_template(self, template: str, request: TemplateRequest) -> Template:
        await self.process.reach("update_template: before")
        made = self.world.keep(template, request)
        await self.process.reach("update_template: after")
        return made

    async def delete_template(self, template: str) -> None:
        await self.process.reach("delete_template: before")
        self.world.templates.pop(template, None)
        await self.process.reach("delete_template: after")


class SimulatedDisk:
    """What of some folders has reached the platter: whatever was not synced is lost, or not, when the power goes.

    Files are appended to or replaced whole, so how far a file was synced is a length.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self._lengths: dict[int, int] = {}
        self._names: dict[int, dict[str, tuple[int, bytes]]] = {}

    @contextmanager
    def synced(self, effect: Callable[[str], None]) -> Iterator[None]:
        """Take note of what is synced while the block runs, and sync nothing in earnest."""
        real = os.fsync

        def fsync(fd: Any) -> None:
            effect("sync: before")
            self._sync(fd)

        os.fsync = fsync
        try:
            yield
        finally:
            os.fsync = real

    def _sync(self, number: int) -> None:
        status = os.fstat(number)
        if not stat.S_ISDIR(status.st_mode):
            self._lengths[status.st_ino] = status.st_size
            return
        for folder in self.folders:
            if folder.exists() and folder.stat().st_ino == status.st_ino:
                self._names[status.st_ino] = self._files(folder)

    @staticmethod
    def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
        with os.scandir(folder) as entries:
            return {
                entry.name: (entry.inode(), Path(entry.path).read_bytes()) for entry in entries if not entry.is_dir()
            }

    def cut(self, chance: Random) -> None:
        """The power goes: of every name and every file what was synced stays, and of the rest what chance leaves."""
        lengths, self._lengths = self._lengths, {}
        for folder in filter(Path.exists, self.folders):
            there, synced = self._files(folder), self._names.get(folder.stat().st_ino, {})
            bodies = dict(there.values())
            for name in sorted(there.keys() | synced.keys()):
                chosen = chance.choice((there.get(name), synced.get(name)))
                (folder / name).unlink(missing_ok=True)
                if chosen is not None:
                    inode, body = chosen[0], bodies.get(chosen[0], chosen[1])
                    (folder / name).write_bytes(_left(body, lengths.get(inode, 0), chance))
                    self._lengths[(folder / name).stat().st_ino] = len((folder / name).read_bytes())
            self._names[folder.stat().st_ino] = self._files(folder)


def _left(body: bytes, synced: int, chance: Random) -> bytes:
    """Return what is left of a file of which so many bytes were synced."""
    kept = chance.choice((synced, len(body), chance.randint(min(synced, len(body)), len(body))))
    return body[:kept] if chance.random() < 0.8 else body[:synced] + bytes(max(kept - synced, 0))


class SimulatedStore(LocalStore):
    """The real files, of which every write may be the last one: whole, torn, or renamed before its data was there."""

    def __init__(self, process: Process, path: Path, journal: Path) -> None:
        super().__init__(path, journal, is_whole=is_whole)
        self.process = process

    async def append(self, lines: str) -> None:
        names = "+".join(json.loads(line)["op"] for line in lines.splitlines())
        self.process.effect(f"{names}: before")
        try:
            self.process.effect(f"{names}: torn")
        except Crash:
            assert self._stream is not None
            self._stream.write(lines.encode()[: len(lines) // 2])
            raise
        await super().append(lines)
        self.process.effect(f"{names}: after")

    async def fold(self, text: str | None, lines: str, *, empty: bool) -> None:
        if self.process.dead:
            self.close()
            raise Crash
        self.process.effect("fold: before")
        before = disk.content(self._path)
        try:
            self.process.effect("fold: between")
        except Crash:
            if text is not None and text.encode() != before and not (empty and before is None):
                disk.keep(self._path, self._earlier[0])
                disk.replace(self._path, text)
            raise
        await super().fold(text, lines, empty=empty)
        try:
            self.process.effect("fold: power cut")
        except Crash:
            self.close()
            if disk.content(self._path) != before:
                self._path.write_bytes(b"")
            self._log.write_bytes(b"")
            raise
        self.process.effect("fold: after")


class SimulatedGuard(SharedGuard):
    """The real guard by the world's clock."""

    def __init__(self, client: SimulatedClient, run: str, lease: float) -> None:
        super().__init__(client, SHARED_KEY, run, lease, client.world.ticks)
        self.world = client.world

    def _now(self) -> str:
        return self.world.time.isoformat(timespec="milliseconds")


class _Passing(selectors.SelectSelector):
    """Lets the time pass for which nothing is to be done."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for something that will never come"
        if timeout > 0:
            self.world.time += timedelta(seconds=timeout, microseconds=1)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop by the world's clock, in which everything happens in the same order each time."""

    def __init__(self, world: World) -> None:
        super().__init__(_Passing(world))
        self.world = world

    def time(self) -> float:
        return self.world.ticks()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody hears what the tasks of a dead process die of."""
        if not isinstance(context.get("exception"), Crash):
            super().call_exception_handler(context)


def in_world(world: World, main: Coroutine[Any, Any, T]) -> T:
    """Run by the world's clock, on its disk. A crash comes as Crash."""
    try:
        with world.disk.synced(world.effect), asyncio.Runner(loop_factory=lambda: SimulatedLoop(world)) as runner:
            return runner.run(main)
    except BaseExceptionGroup as group:
        crash = group.subgroup(Crash)
        if crash is None:
            raise
        raise Crash from None


def open_lockfile(world: World, process: Process | None = None) -> Lockfile:
    store = SimulatedStore(process or world, world.folder / "reconciler.lock", world.folder / "state" / "journal")
    return Lockfile(store, store.load())


@asynccontextmanager
async def shared_lockfile(
    client: SimulatedClient, run: str, *, lease: float = 30.0, patience: float = 0.0
) -> AsyncIterator[Lockfile]:
    """Yield the lockfile in the bucket to a run that holds its guard, as the command line does."""
    guard = SimulatedGuard(client, run, lease)
    async with guard.held("apply", patience=patience):
        fence = guard.taken_from is not None
        store = BucketStore(client, SHARED_KEY, run=run, check=guard.check, fence=fence)
        yield Lockfile(store, await store.load())


async def shared_state(world: World) -> Lockfile:
    """Return what the shared lockfile says, read by somebody who is harmed by nothing."""
    store = BucketStore(SimulatedClient(world, Process()), SHARED_KEY)
    return Lockfile(store, await store.load())


def send(request: Mapping[str, Any]) -> JobRequest:
    return wire_request(request, bucket=BUCKET, region=REGION)


async def plan_once(world: World, desired: DesiredState, **options: Any) -> tuple[Plan, Client, Lockfile]:
    client, lockfile = SimulatedClient(world), open_lockfile(world)
    made, _ = await make_plan(client, lockfile, desired, **options)
    return made, client, lockfile


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
            await apply_once(made, client, lockfile, report, world, pace=pace, stop=stop, bell=bell)
        finally:
            lockfile.close()
        return report

    return in_world(world, main())


async def apply_once(
    made: Plan,
    client: Client,
    lockfile: Lockfile,
    report: Report,
    world: World,
    *,
    pace: Pace | None = None,
    stop: asyncio.Event | None = None,
    bell: Bell | None = None,
) -> None:
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


def run_shared(world: World, desired: DesiredState, run: str, **options: Any) -> Report:
    """Plan and apply once against the lockfile in the bucket, on a machine whose disk holds nothing."""

    async def main() -> Report:
        client, report = SimulatedClient(world), Report()
        async with shared_lockfile(client, run) as lockfile:
            made, _ = await make_plan(client, lockfile, desired, **options)
            await apply_once(made, client, lockfile, report, world)
        return report

    return in_world(world, main())


async def plan_shared(world: World, desired: DesiredState, **options: Any) -> Plan:
    lockfile = await shared_state(world)
    made, _ = await make_plan(SimulatedClient(world, Process()), lockfile, desired, **options)
    return made
