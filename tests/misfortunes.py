"""A service, runs and calls with which everything goes wrong that can, as chance will have it; for ``histories``.

What must never happen is checked where it would: when a job is accepted, when an object is written over or deleted.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn

from reconciler.api.messages import CANCEL, FAILED, RUNNING, SUBMITTED, SUCCESS, TERMINAL, Accepted, Job, JobRequest
from reconciler.api.user_data import fingerprint_in, split_user_data
from reconciler.errors import (
    ClientError,
    ServiceError,
    UnreachableError,
)
from reconciler.lockfile import Lockfile
from reconciler.state import DesiredState, StoredObject
from tests.simulation import (
    Crash,
    Process,
    SimulatedClient,
    World,
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


class SeededWorld(World):
    """A service whose jobs take their time, end as chance will have it, and show late in the list."""

    NEVER = datetime.max.replace(tzinfo=UTC)

    def __init__(self, folder: Path, chance: Random, weather: Weather, tell: Tell) -> None:
        super().__init__(folder, {f"in/{number}.mp4": f"e{number}" for number in range(3)})
        self.chance = chance
        self.weather = weather
        self.tell = tell
        self.calm = False
        self.ahead = timedelta(seconds=chance.choice((0, 0, 240, -240)))
        self.coming: list[tuple[datetime, JobRequest]] = []
        self.forced: set[tuple[str, str]] = set()
        self.doubled: Counter[str] = Counter()
        self.in_doubt: set[str] = set()
        self.written: dict[str, datetime] = {}
        self.copied: set[str] = set()

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
        doubles = [other for other in alike if other.get("double")]
        for other in alike:
            if other["token"] == new["token"] or any(one["token"] == other["token"] for one in doubles):
                continue
            if other["state"] not in TERMINAL:
                fail(f"{key}: a second job, while one for the same content is {other['state']}")
            there = self.objects.get(key)
            untouched = other["state"] == SUCCESS and there is not None and there.etag == other["made"]
            if untouched and not self._was_asked_for(new, other) and not self.was_overtaken(other):
                fail(f"{key}: made again, though it is there")

    def _was_asked_for(self, new: dict[str, Any], other: dict[str, Any]) -> bool:
        """Tell whether a run was told to make once more, and began to, what another run had made."""
        key, run = key_of(new), run_of(new["token"])
        return (run, key) in self.forced and run_of(other["token"]) != run

    def was_overtaken(self, job: dict[str, Any]) -> bool:
        """Tell whether something that a job is made of was written, or made at another key, after it was accepted.

        What a source held between two looks nobody is told, nor when it was that a stranger wrote over it. So when it
        is made once more, and comes out as it was, a job that was not recorded by then may have read either.
        """
        accepted, keys = job["time"] - self.ahead, sources_of(job)
        made = {fingerprint_in(other["token"]) for other in self.jobs.values() if key_of(other) in keys}
        later = {fingerprint_in(other["token"]) for other in self.jobs.values() if other["time"] > job["time"]}
        return not made.isdisjoint(later) or any(self.written.get(key, accepted) > accepted for key in keys)

    def catch_up(self) -> None:
        """Let happen what was to happen until now, in its order."""
        now = self.time
        while True:
            arriving = min((moment for moment, _ in self.coming), default=self.NEVER)
            ending = min(self._live(), key=lambda job: job["ends"], default={"ends": self.NEVER})
            self.time = min(arriving, ending["ends"])
            if self.time > now:
                break
            if arriving <= ending["ends"]:
                number = [moment for moment, _ in self.coming].index(arriving)
                self.accept(self.coming.pop(number)[1])
            else:
                self._conclude(ending)
        self.time = now
        for job in self.jobs.values():
            if job["state"] == SUBMITTED and job["starts"] <= now:
                job["state"] = RUNNING

    def _live(self) -> list[dict[str, Any]]:
        return [job for job in self.jobs.values() if job["state"] in (SUBMITTED, RUNNING)]

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


def run_of(token: str) -> str:
    """Return the number of the run that wrote a token, whichever run sent it."""
    return token[-16:-8]


def short(name: str) -> str:
    return f"j{int(name[1:], 16)}"


class SeededProcess(Process):
    """A run whose calls take their time, and which dies, freezes or is stopped at a chosen effect."""

    def __init__(self, number: int, world: SeededWorld) -> None:
        super().__init__()
        self.name = f"run {number}"
        self.number = f"{number:08x}"
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

    # The clock of a run: that of the world, but for its nonces, which tell whose they are.

    def now(self) -> datetime:
        return self.world.now()

    async def sleep(self, seconds: float) -> None:
        await self.world.sleep(seconds)

    def nonce(self) -> str:
        return f"{self.number}{self.world.nonce()[8:]}"

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

    async def submit(self, request: JobRequest) -> Accepted:
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
            world.jobs[world.accept(request)]["double"] = True  # nobody can know of it
        await self.process.reach("submit: accepted")
        return Accepted(job_id=name)

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
        for address, record in self.process.lockfile.records.items():
            declared = self.desired.outputs.get(address)
            protected = record.protect if declared is None else declared.protect
            if protected and record.object == key and there is not None and there.etag == record.etag:
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
        self.world.written[key] = self.world.time
        self.world.copied.add(key)
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
