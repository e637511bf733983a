"""Random histories: a seed gives manifests that change, runs that die, a service that misbehaves, hands that meddle.

The planner, the applier, lockfile, stores and guard are the real ones; clock, disk and service are simulated. What must
hold is checked at every effect and after every step. ``python -m tests.histories SEED`` tells one history from its
beginning, the same each time.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn

from reconciler.api.messages import CANCEL, FAILED, RUNNING, SUBMITTED, SUCCESS, TERMINAL, Job, JobRequest
from reconciler.api.user_data import fingerprint_in, split_user_data
from reconciler.apply import Pace, apply
from reconciler.errors import (
    ApplyError,
    ClientError,
    GuardError,
    Interrupted,
    LockfileError,
    ServiceError,
    UnreachableError,
)
from reconciler.lockfile import Lockfile
from reconciler.plan import RENDERS, Plan
from reconciler.planning import make_plan
from reconciler.report import Report
from reconciler.state import DesiredState, StoredObject
from tests.factory import output
from tests.simulation import (
    Crash,
    Process,
    SimulatedClient,
    World,
    in_world,
    open_lockfile,
    picture,
    send,
    shared_lockfile,
    shared_state,
)

VISIBILITY: Final = 20.0
"""Seconds that an accepted job may take to be listed; the service keeps to it, but in histories ``beyond`` it."""

LONGEST_CALL: Final = 60.0
LEASE: Final = 30.0
LONGEST_FREEZE: Final = 50.0
QUIET: Final = 3600.0
"""Seconds after which whatever was under way has ended."""

Tell = Callable[[str], None]


class ViolationError(AssertionError):
    """Something that must never happen did."""


@dataclass(frozen=True)
class Weather:
    """What kinds of misfortune a history has."""

    shared: bool
    beyond: bool
    proxied: bool
    rough: float

    @classmethod
    def of(cls, chance: Random) -> Weather:
        return cls(chance.random() < 0.35, chance.random() < 0.1, chance.random() < 0.15, chance.choice((0, 0.2, 0.6)))


# The service.


class SeededWorld(World):
    """A service whose jobs take their time, end as chance will have it, and show late in the list."""

    def __init__(self, folder: Path, chance: Random, weather: Weather, tell: Tell) -> None:
        super().__init__(folder, {f"in/{number}.mp4": f"e{number}" for number in range(3)})
        self.chance = chance
        self.weather = weather
        self.tell = tell
        self.calm = False
        self.ahead = timedelta(seconds=chance.choice((0, 0, 240, -240)))
        self.coming: list[tuple[datetime, JobRequest]] = []
        self.forced: set[str] = set()
        self.doubled: Counter[str] = Counter()
        self.in_doubt: set[str] = set()
        self.written: dict[str, datetime] = {}

    def later(self, most: float) -> datetime:
        return self.time + timedelta(seconds=self.chance.uniform(0, most))

    def unlucky(self, share: float = 1.0) -> bool:
        return not self.calm and self.chance.random() < share * self.weather.rough

    def accept(self, request: JobRequest) -> str:
        name = super().accept(request)
        job = self.jobs[name]
        lag = VISIBILITY * 3 if self.weather.beyond and not self.calm else VISIBILITY / 2
        job |= {"starts": self.later(5), "listed": self.later(lag), "known": self.later(lag)}
        job["ends"] = job["starts"] + timedelta(seconds=self.chance.uniform(0.1, 40))
        job["fate"] = self.chance.choice((FAILED, "passing")) if self.unlucky(0.3) else SUCCESS
        job["token"] = split_user_data(request.operation[0].user_data or "")[1]
        self.tell(f"service: {short(name)} accepted for {key_of(job)} ({job['token'][-4:]})")
        self._judge(name)
        return name

    def _judge(self, name: str) -> None:
        """No wanted render has two jobs, and no finished work is made again while it is there."""
        new = self.jobs[name]
        key, mark = key_of(new), fingerprint_in(new["token"])
        alike = [
            other
            for other in self.jobs.values()
            if other is not new and key_of(other) == key and fingerprint_in(other["token"]) == mark
        ]
        twins = sum(other["token"] == new["token"] and other["state"] not in (FAILED, CANCEL) for other in alike)
        if twins > self.doubled[new["token"]]:
            fail(f"{key}: {twins + 1} jobs with one token")
        for other in alike:
            if other["token"] == new["token"] or key in self.forced or self._was_overtaken(other):
                continue
            there = self.objects.get(key)
            if other["state"] not in TERMINAL:
                fail(f"{key}: a second job, while one for the same content is {other['state']}")
            if other["state"] == SUCCESS and there is not None and there.etag == other["made"]:
                fail(f"{key}: made again, though it is there")

    def _was_overtaken(self, job: dict[str, Any]) -> bool:
        """Tell whether something that a job is made of was written after it was accepted: it may have read either."""
        accepted, keys, seen = job["time"] - self.ahead, sources_of(job), set[str]()
        while keys:
            if self.written.get(key := keys.pop(), accepted) > accepted:
                return True
            seen.add(key)
            makers = [other for other in self.jobs.values() if key_of(other) == key]
            keys += [source for maker in makers for source in sources_of(maker) if source not in seen]
        return False

    def catch_up(self) -> None:
        """Let happen what was to happen until now, in its order."""
        now = self.time
        while True:
            due = [(time, 0, request) for time, request in self.coming if time <= now]
            live = [job for job in self.jobs.values() if job["state"] in (SUBMITTED, RUNNING)]
            due += [(job["ends"], 1, job) for job in live if job["ends"] <= now]
            if not due:
                break
            moment, kind, what = min(due, key=lambda event: event[:2])
            self.time = moment
            if kind == 0:
                self.coming.remove((moment, what))
                self.accept(what)
            else:
                self._conclude(what)
        self.time = now
        for job in self.jobs.values():
            if job["state"] == SUBMITTED and job["starts"] <= now:
                job["state"] = RUNNING

    def _conclude(self, job: dict[str, Any]) -> None:
        if job["fate"] == SUCCESS:
            self._end(job)
            self.written[key_of(job)] = self.time
        else:
            job["state"], job["passes"] = FAILED, job["fate"] == "passing"
        job.pop("described", None)
        self.tell(f"service: a job for {key_of(job)} ended as {job['state']}")

    def advance(self, name: str) -> None:
        """Jobs go on by themselves."""

    def describe(self, name: str) -> Job:
        job = self.jobs[name]
        state, described = job.get("described", (None, None))
        if state != job["state"]:
            described = super().describe(name)
            job["described"] = job["state"], described
        assert isinstance(described, Job)
        return described

    def overwritten(self, key: str, etag: str) -> None:
        self.objects[key] = StoredObject(etag, 3)
        self.written[key] = self.time


def sources_of(job: dict[str, Any]) -> list[str]:
    return [info.url.split(".com/")[1] for info in job["request"].operation[0].video_synthesis.splice_info]


def fail(what: str) -> NoReturn:
    raise ViolationError(what)


def key_of(job: dict[str, Any]) -> str:
    key: str = job["request"].operation[0].output.object
    return key


def short(name: str) -> str:
    return f"j{int(name[1:], 16)}"


class SeededProcess(Process):
    """A run whose calls take their time, and which dies, freezes or is stopped at a chosen effect."""

    def __init__(self, name: str, world: SeededWorld) -> None:
        super().__init__()
        self.name = name
        self.world = world
        self.chance = Random(world.chance.random())
        self.stop = asyncio.Event()
        self.stop_at: int | None = None
        self.freeze_at: int | None = None
        self.full_at: int | None = None
        self.frozen_until = world.time
        self.last = ""
        self.lockfile: Lockfile | None = None

    def doom(self) -> None:
        """Choose what happens to this run."""
        at = self.chance.choice((self.chance.randint(1, 30), self.chance.randint(10, 80)))
        fate = self.chance.random()
        if fate < 0.45:
            self.crash_at = at
        elif fate < 0.6:
            self.stop_at = at
        elif fate < 0.75:
            self.freeze_at = at
        elif fate < 0.8:
            self.full_at = at

    def effect(self, what: str) -> None:
        if not self.dead:
            self.last = what
        super().effect(what)
        if self.effects == self.stop_at:
            self.stop.set()
            self.world.tell(f"{self.name}: asked to stop")
        if self.full_at is not None and self.effects >= self.full_at and what == "sync: before":
            raise OSError(errno.ENOSPC, "No space left on device")

    async def reach(self, what: str) -> None:
        if self.dead:
            raise Crash
        if self.effects + 1 == self.freeze_at:
            self.freeze_at = None
            self.frozen_until = self.world.later(LONGEST_FREEZE)
            self.world.tell(f"{self.name}: freezes before {what}")
        pause = self.chance.choice((0, 0.01, 0.2, 1.0)) if self.world.weather.shared else 0
        await asyncio.sleep(max(pause, (self.frozen_until - self.world.time).total_seconds()))
        self.world.catch_up()
        self.effect(what)


class SeededClient(SimulatedClient):
    """Calls that get lost, on their way or on their way back."""

    world: SeededWorld
    process: SeededProcess

    def __init__(self, world: SeededWorld, process: SeededProcess, desired: DesiredState) -> None:
        super().__init__(world, process)
        self.desired = desired

    async def submit(self, request: JobRequest) -> Job:
        world, operation = self.world, request.operation[0]
        self._check_protection(operation.output.object)
        token = split_user_data(operation.user_data or "")[1]
        try:
            await self.process.reach(f"submit {operation.output.object}: before")
        except (Crash, asyncio.CancelledError):
            if world.chance.random() < 0.5:  # it is in a buffer somewhere
                world.coming.append((world.later(LONGEST_CALL - LONGEST_FREEZE - 5), request))
            world.in_doubt.add(token)
            raise
        if world.unlucky():
            await self._mishap(request, token)
        name = world.accept(request)
        if world.weather.proxied and world.unlucky(0.5):
            world.doubled[token] += 1
            world.accept(request)
        await self.process.reach("submit: accepted")
        return world.describe(name)

    async def _mishap(self, request: JobRequest, token: str) -> None:
        """Let something go wrong with a submission; whether it had an effect is another question."""
        world = self.world
        error: ClientError = world.chance.choice(
            (
                UnreachableError("refused", sent=False),
                UnreachableError("no answer", sent=True),
                UnreachableError("no answer", sent=True),
                ServiceError(500, "InternalError", "failed"),
                ServiceError(502, "Unknown", "Bad Gateway"),
                ServiceError(408, "Unknown", "Request Timeout"),
                ServiceError(503, "SlowDown", "no room"),
                ServiceError(429, "Novel", "no room"),
                ServiceError(400, "InvalidArgument", "odd"),
            )
        )
        uncertain = error.uncertain if isinstance(error, ServiceError) else getattr(error, "sent", False)
        effect = world.chance.choice(("none", "at once", "late")) if uncertain else "none"
        world.tell(f"{self.process.name}: {error}; effect: {effect}")
        if uncertain:
            world.in_doubt.add(token)
        if effect == "at once":
            world.doubled[token] += world.weather.beyond
            world.accept(request)
        elif effect == "late":
            world.doubled[token] += world.weather.beyond
            world.coming.append((world.later(VISIBILITY / 2 - 2), request))
        await self.process.reach("submit: failed")
        raise error

    def _check_protection(self, key: str) -> None:
        assert self.process.lockfile is not None
        there = self.world.objects.get(key)
        for record in self.process.lockfile.records.values():
            if record.protect and record.object == key and there is not None and there.etag == record.etag:
                fail(f"{key}: made anew, though it is protected")

    def _lose(self, what: str) -> None:
        if self.world.unlucky(0.1):
            self.world.tell(f"{self.process.name}: no answer to {what}")
            raise UnreachableError(f"{what}: no answer", sent=True)

    async def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        await self.process.reach("jobs")
        self._lose("jobs")
        jobs, now = self.world.jobs, self.world.time
        return {name: self.world.describe(name) for name in ids if name in jobs and jobs[name]["known"] <= now}

    async def list_jobs(self, *, created_after: str | None = None) -> AsyncIterator[Job]:
        await self.process.reach("list_jobs")
        self._lose("list_jobs")
        since = datetime.fromisoformat(created_after) if created_after else None
        for name, job in reversed(list(self.world.jobs.items())):
            if job["listed"] <= self.world.time and (since is None or job["time"] >= since):
                yield self.world.describe(name)

    async def head_object(self, key: str) -> StoredObject | None:
        found = await super().head_object(key)
        self._lose(f"HEAD {key}")
        return found

    async def copy_object(self, source_key: str, key: str, *, etag: str) -> StoredObject | None:
        self._lose(f"copy to {key}")
        self._check_protection(key)
        copied = await super().copy_object(source_key, key, etag=etag)
        self.world.tell(f"{self.process.name}: copied {source_key} to {key}")
        self._lose(f"copy to {key}")
        return copied

    async def cancel(self, job: str) -> None:
        await super().cancel(job)
        self.world.tell(f"{self.process.name}: cancelled {short(job)}")

    async def delete_object(self, key: str) -> None:
        self._lose(f"DELETE {key}")
        await self.process.reach(f"delete {key}: before")
        if key.startswith("out/"):
            self._check_deletion(key)
            self.world.tell(f"{self.process.name}: deleted {key}")
        self.world.objects.pop(key, None)
        self.world.files.pop(key, None)
        await self.process.reach(f"delete {key}: after")
        self._lose(f"DELETE {key}")

    def _check_deletion(self, key: str) -> None:
        """Deletes only ever remove what the lockfile calls ours, and what is as it was recorded."""
        assert self.process.lockfile is not None
        there = self.world.objects.get(key)
        records = [record for record in self.process.lockfile.records.values() if record.object == key]
        if there is not None and not any(record.etag == there.etag and not record.protect for record in records):
            fail(f"{key}: deleted, though it is not ours, or protected, or changed")
        if any(made.object == key for made in self.desired.outputs.values()):
            fail(f"{key}: deleted, though it is declared")

    async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
        self._lose(f"PUT {key}")
        stored = await super().put_object(key, content, forbid_overwrite=forbid_overwrite)
        if forbid_overwrite and self.world.unlucky(0.1):  # the answer was lost, and the call was repeated
            raise ServiceError(409, "FileAlreadyExists", "it is there", request_id="r")
        self._lose(f"PUT {key}")
        return stored


# The manifests.


@dataclass(frozen=True)
class Entry:
    """One output: what it is made of (``@address`` is another output), and how."""

    rank: int
    sources: tuple[str, ...]
    fps: int
    key: str
    protect: bool = False


@dataclass
class Manifests:
    """What is declared, and every state of it that was there before."""

    chance: Random
    entries: dict[str, Entry] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    earlier: list[tuple[dict[str, Entry], dict[str, str]]] = field(default_factory=list)

    def desired(self) -> DesiredState:
        outputs = {}
        for address, entry in sorted(self.entries.items()):
            upstream = tuple(name[1:] for name in entry.sources if name[0] == "@")
            names = [self.entries[name[1:]].key if name[0] == "@" else name for name in entry.sources]
            outputs[address] = output(
                address, *names, key=entry.key, upstream=upstream, video={"fps": entry.fps}, protect=entry.protect
            )
        return DesiredState(outputs, moved=dict(self.moved))

    def change(self) -> str:
        """Change something, and tell what."""
        if not self.entries:
            return self.add()
        self.earlier.append((dict(self.entries), dict(self.moved)))
        change = self.chance.choice(
            (self.add, self._remove, self._rename, self._rekey, self._retune, self._retune, self._remake, self._remake)
            + (self._protect, self._revert, self._revert)
        )
        return change()

    def _new(self) -> int:
        self.numbers += 1
        return self.numbers

    def _some(self) -> str:
        return self.chance.choice(sorted(self.entries))

    def _sources(self, rank: int) -> tuple[str, ...]:
        names = [f"in/{number}.mp4" for number in range(3)]
        names += [f"@{address}" for address, entry in sorted(self.entries.items()) if entry.rank < rank] * 2
        return tuple(self.chance.sample(names, self.chance.randint(1, 2)))

    def _key(self) -> str:
        used = {entry.key for entry in self.entries.values()}
        past = {entry.key for entries, _ in self.earlier for entry in entries.values()} - used
        return self.chance.choice(sorted(past)) if past and self.chance.random() < 0.3 else f"out/{self._new()}.mp4"

    def add(self) -> str:
        rank = self._new()
        address = f"v{rank}"
        self.entries[address] = Entry(rank, self._sources(rank), self.chance.choice((24, 25, 30)), self._key())
        return f"{address} is new: {self.entries[address]}"

    def _remove(self) -> str:
        address = self._some()
        del self.entries[address]
        for name, entry in self.entries.items():
            kept = tuple(source for source in entry.sources if source != f"@{address}") or ("in/0.mp4",)
            self.entries[name] = replace(entry, sources=kept)
        return f"{address} is gone"

    def _rename(self) -> str:
        address = self._some()
        new = f"v{self._new()}"
        self.entries = {
            (new if name == address else name): replace(
                entry, sources=tuple(f"@{new}" if source == f"@{address}" else source for source in entry.sources)
            )
            for name, entry in self.entries.items()
        }
        if self.chance.random() < 0.7:
            self.moved[address] = new
        return f"{address} is now {new}"

    def _rekey(self) -> str:
        address = self._some()
        self.entries[address] = replace(self.entries[address], key=self._key())
        return f"{address} is to be at {self.entries[address].key}"

    def _retune(self) -> str:
        address = self._some()
        self.entries[address] = replace(self.entries[address], fps=self.chance.choice((24, 25, 30)))
        return f"{address} is to have {self.entries[address].fps} fps"

    def _remake(self) -> str:
        address = self._some()
        entry = self.entries[address]
        self.entries[address] = replace(entry, sources=self._sources(entry.rank))
        return f"{address} is to be made of {self.entries[address].sources}"

    def _protect(self) -> str:
        address = self._some()
        entry = self.entries[address]
        self.entries[address] = replace(entry, protect=not entry.protect)
        return f"{address} is {'no longer ' if entry.protect else ''}protected"

    def _revert(self) -> str:
        entries, moved = self.chance.choice(self.earlier)
        self.entries, self.moved = dict(entries), dict(moved)
        return f"back to {sorted(self.entries)}"


# The history.


class History:
    """One seed's history: some rounds of changes, meddling and runs, then peace."""

    def __init__(self, seed: int, folder: Path, tell: Tell | None = None) -> None:
        self.chance = Random(f"history {seed}")
        self.weather = Weather.of(self.chance)
        self.folder = folder
        self.heard = tell or (lambda _: None)
        self.world = SeededWorld(folder, Random(f"world {seed}"), self.weather, self.tell)
        self.manifests = Manifests(self.chance)
        self.etags = 10
        self.runs = 0
        self.notes: list[str] = []

    def tell(self, text: str) -> None:
        self.heard(f"{self.world.ticks():9.2f} {text}" if hasattr(self, "world") else text)

    def play(self) -> None:
        self.tell(f"weather: {self.weather}")
        for _ in range(self.chance.randint(1, 4)):
            self.tell(f"manifest: {self.manifests.add()}")
        for _ in range(self.chance.randint(1, 4)):
            self._round()
            self._check()
            self._pass(self.chance.choice((0, 1, 10, 40, 200)))
            for _ in range(self.chance.choice((0, 0, 1, 2))):
                self.tell(f"manifest: {self.manifests.change()}")
            if self.chance.random() < 0.3:
                self._meddle()
        self._settle()

    # What happens between runs.

    def _pass(self, seconds: float) -> None:
        self.world.time += timedelta(seconds=seconds)
        self.world.catch_up()

    def _meddle(self) -> None:
        keys = sorted(key for key in self.world.objects if key.startswith("out/"))
        kind = self.chance.choice(("source", "delete", "overwrite", "truncate", "lose"))
        if kind == "source":
            key = f"in/{self.chance.randrange(3)}.mp4"
            self.etags += 1
            self.world.overwritten(key, f"e{self.etags}")
            self.tell(f"hand: {key} is now e{self.etags}")
        elif kind == "lose":
            self._lose_state()
        elif keys:
            key = self.chance.choice(keys)
            self.tell(f"hand: {kind} {key}")
            self.etags += 1
            if kind == "delete":
                del self.world.objects[key]
            else:
                self.world.overwritten(key, f"foreign{self.etags}")

    def _lose_state(self) -> None:
        """Lose what is recorded, once everything that was begun can be seen."""
        self._pass(QUIET)
        if self.weather.shared:
            self.tell("hand: the shared lockfile is deleted")
            self.world.files.clear()
            return
        what = self.chance.choice(("the lockfile", "all"))
        self.tell(f"hand: {what} is deleted")
        (self.folder / "reconciler.lock").unlink(missing_ok=True)
        if what == "all":
            shutil.rmtree(self.folder / "state", ignore_errors=True)

    # Runs.

    def _round(self) -> None:
        desired, prune = self.manifests.desired(), self.chance.random() < 0.4
        forced = {address for address in desired.outputs if self.chance.random() < 0.05}
        count = 2 if self.weather.shared and self.chance.random() < 0.6 else 1
        self.run(desired, [self._process(doomed=True) for _ in range(count)], prune=prune, forced=forced)

    def _process(self, *, doomed: bool) -> SeededProcess:
        self.runs += 1
        process = SeededProcess(f"run {self.runs}", self.world)
        if doomed:
            process.doom()
        return process

    def run(
        self,
        desired: DesiredState,
        processes: list[SeededProcess],
        *,
        prune: bool = False,
        forced: set[str] | None = None,
    ) -> None:
        self.world.forced |= {desired.outputs[address].object for address in forced or ()}
        if not self.weather.shared:
            (process,) = processes
            self.world.on_effect = process.effect  # the disk asks the world

        async def main() -> None:
            await asyncio.gather(*(self._one(process, desired, prune, forced or set()) for process in processes))

        in_world(self.world, main())
        cut = processes[0].dead and processes[0].last != "fold: power cut"  # that one did its damage itself
        if cut and not self.weather.shared and self.chance.random() < 0.5:
            self.tell("the power goes")
            self.world.disk.cut(self.chance)
        self._pass(0)

    async def _one(self, process: SeededProcess, desired: DesiredState, prune: bool, forced: set[str]) -> None:
        """Run once; whatever may come of it is told, whatever may not is a violation."""
        report = Report()
        await asyncio.sleep(process.chance.choice((0, 0.5, 40.0)) if self.weather.shared else 0)
        self.tell(
            f"{process.name}: starts{' with prune' if prune else ''}{f', replaces {sorted(forced)}' if forced else ''}"
        )
        allowed: tuple[type[BaseException], ...] = (ApplyError, Interrupted, ClientError, Crash)
        if self.weather.shared:
            allowed += (GuardError,)
        if process.full_at is not None:
            allowed += (LockfileError,)
        try:
            try:
                await self._plan_and_apply(process, desired, report, prune, forced)
            except BaseExceptionGroup as group:
                if (violation := group.subgroup(ViolationError)) is not None:
                    raise _first(violation) from None
                if not process.dead:
                    raise
                raise Crash from None
        except allowed as error:
            self.tell(f"{process.name}: {type(error).__name__}: {error} {report.failures or ''}")
        else:
            self.tell(f"{process.name}: {dict(report.counts)}")
        for note in report.notes:
            self.tell(f"{process.name}: note: {note}")
        self.notes += report.notes

    async def _plan_and_apply(
        self, process: SeededProcess, desired: DesiredState, report: Report, prune: bool, forced: set[str]
    ) -> None:
        client = SeededClient(self.world, process, desired)
        if self.weather.shared:
            patience = process.chance.choice((0.0, 0.0, 100.0))
            async with shared_lockfile(client, process.name, lease=LEASE, patience=patience) as lockfile:
                await self._apply(client, lockfile, desired, report, prune, forced)
            return
        lockfile = open_lockfile(self.world, process)
        try:
            await self._apply(client, lockfile, desired, report, prune, forced)
        finally:
            lockfile.close()

    async def _apply(
        self,
        client: SeededClient,
        lockfile: Lockfile,
        desired: DesiredState,
        report: Report,
        prune: bool,
        forced: set[str],
    ) -> None:
        client.process.lockfile = lockfile
        made, _ = await make_plan(client, lockfile, desired, prune=prune, replace_addresses=forced)
        # What is made of something that is itself being made waits for its earlier job, and is made again to be sure.
        self.world.forced |= {action.object for action in made.actions if action.kind in RENDERS and action.job}
        for action in made.pending:
            self.tell(f"{client.process.name}: {action.kind} {action.address} at {action.object}: {action.reason}")
        await apply(
            made, client, lockfile, report, wire=send, clock=self.world, stop=client.process.stop,
            pace=Pace(parallelism=3, poll=2.0, visibility=VISIBILITY, longest_call=LONGEST_CALL),
        )  # fmt: skip

    # What must hold.

    def _state(self) -> Lockfile:
        if self.weather.shared:
            return in_world(self.world, shared_state(self.world))
        return Lockfile.load(self.folder / "reconciler.lock", self.folder / "state" / "journal")

    def _check(self) -> None:
        """The lockfile always loads."""
        self.world.on_effect = lambda _: None
        try:
            self._state()
        except LockfileError as error:
            fail(f"the lockfile does not load: {error}")

    def _settle(self) -> None:
        """Once nothing goes wrong any more, three runs are enough, and one more does nothing at all."""
        self.tell("from here on nothing goes wrong")
        self.world.calm = True
        self._pass(QUIET)
        prune = self.chance.random() < 0.5
        for number in range(4):
            if number and self._plan(self.manifests.desired(), prune=prune).empty:
                break
            forced = self._person(prune=prune)
            self.run(self.manifests.desired(), [self._process(doomed=False)], prune=prune, forced=forced)
            self._check()
            self._pass(100)
        desired = self.manifests.desired()
        left = self._plan(desired, prune=prune).pending
        if left:
            fail(f"not settled: {[(action.kind, action.address, action.reason) for action in left]}")
        for address, made in desired.outputs.items():
            there = self.world.objects.get(made.object)
            if there is None or there.etag != self._expected(desired, address):
                fail(f"{address}: {made.object} is not what is declared")
        self._check_quiet(desired, prune=prune)
        self._check_told()

    def _person(self, *, prune: bool) -> set[str]:
        """Do what a person is asked to do; return what is to be replaced."""
        forced = set()
        for action in self._plan(self.manifests.desired(), prune=prune).actions:
            entry = self.manifests.entries.get(action.address)
            if action.kind == "conflict":
                self.tell(f"person: deletes {action.object}, as {action.address} is in conflict: {action.reason}")
                self.world.objects.pop(action.object, None)
            elif action.kind == "blocked" and action.reason.startswith("failed"):
                forced.add(action.address)
            elif action.kind == "blocked" and "protected" in action.reason and entry is not None:
                self.manifests.entries[action.address] = replace(entry, protect=False)
            elif action.kind == "blocked" and "protected" in action.reason:
                self.world.objects.pop(action.object, None)
        return forced

    def _plan(self, desired: DesiredState, *, prune: bool) -> Plan:
        async def main() -> Plan:
            process = SeededProcess("looking", self.world)
            lockfile = await shared_state(self.world) if self.weather.shared else open_lockfile(self.world, process)
            made, _ = await make_plan(SeededClient(self.world, process, desired), lockfile, desired, prune=prune)
            return made

        return in_world(self.world, main())

    def _expected(self, desired: DesiredState, address: str) -> str:
        """Return the digest of what an output is to be, by what its sources are now."""
        made = desired.outputs[address]
        owners = {other.object: name for name, other in desired.outputs.items()}
        keys = [info.url for info in made.request.operation[0].video_synthesis.splice_info]
        etags = [
            self._expected(desired, owners[key]) if key in owners else self.world.objects[key].etag for key in keys
        ]
        return picture(send(made.request.plain()).plain(), etags)

    def _check_quiet(self, desired: DesiredState, *, prune: bool) -> None:
        before = len(self.world.jobs), self.world.copies, dict(self.world.objects), dict(self._state().records)
        self.run(desired, [self._process(doomed=False)], prune=prune)
        after = len(self.world.jobs), self.world.copies, dict(self.world.objects), dict(self._state().records)
        if before != after:
            fail("one more apply had an effect")

    def _check_told(self) -> None:
        """A pair that a submission in doubt became was told."""
        tokens: dict[str, list[str]] = {}
        for name, job in self.world.jobs.items():
            tokens.setdefault(job["token"], []).append(name)
        for token, names in tokens.items():
            paid = [name for name in names if self.world.jobs[name]["state"] == SUCCESS]
            told = any(name in note for note in self.notes for name in names)
            if len(paid) > 1 and token in self.world.in_doubt and not told and not self.weather.beyond:
                fail(f"{', '.join(map(short, names))}: a pair that nobody was told of")


def _first(group: BaseExceptionGroup[ViolationError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def play(seed: int, tell: Tell | None = None) -> History:
    """Play a history. Raises AssertionError that says how to see it again when something that must hold does not."""
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        history = History(seed, Path(folder), tell)
        try:
            history.play()
        except Exception as error:
            raise AssertionError(f"{error!r}\nto see it: python -m tests.histories {seed}") from error
        return history


def main(arguments: list[str]) -> int:
    """Tell the histories of these seeds; of a range FROM-TO only the ones that fail."""
    failed = 0
    for text in arguments:
        first, dash, last = text.partition("-")
        for seed in range(int(first), int(last or first) + 1):
            try:
                play(seed, None if dash else lambda line: print(line))  # noqa: T201, PLW0108 - it is for people
            except AssertionError as error:
                failed += 1
                known = dash or isinstance(error.__cause__, ViolationError)
                print(error if known else "".join(traceback.format_exception(error)))  # noqa: T201 - as above
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
