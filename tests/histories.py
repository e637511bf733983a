"""Random histories: a seed gives manifests that change, runs that die, a service that misbehaves, hands that meddle.

The planner, the applier, lockfile, stores and guard are the real ones; clock, disk and service are simulated. What must
hold is checked at every effect and after every step. ``python -m tests.histories SEED`` tells one history from its
beginning, the same each time.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

from reconciler.action import Action, Plan
from reconciler.api.messages import SUCCESS
from reconciler.apply import Pace, apply
from reconciler.errors import (
    ApplyError,
    ClientError,
    Interrupted,
    LockfileError,
)
from reconciler.lockfile import Lockfile
from reconciler.observe import history, observe
from reconciler.planning import make_plan
from reconciler.recover import recover
from reconciler.report import Report
from reconciler.state import DesiredState, Output
from tests.changes import Manifests
from tests.misfortunes import (
    LEASE,
    LONGEST_CALL,
    QUIET,
    VISIBILITY,
    SeededClient,
    SeededProcess,
    SeededWorld,
    Tell,
    ViolationError,
    Weather,
    fail,
    key_of,
    short,
)
from tests.simulation import (
    Crash,
    in_world,
    open_lockfile,
    picture,
    send,
    shared_lockfile,
    shared_state,
)


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
        self.lost = False
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
        self.lost = True
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
        process = SeededProcess(self.runs, self.world)
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
        for process in processes:
            self.world.forced |= {(process.number, desired.outputs[address].object) for address in forced or ()}
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
            allowed += (LockfileError,)  # a part of the journal could not be written, or another run took over
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
        async with self._held(client) as lockfile:
            await self._apply(client, lockfile, desired, report, prune, forced)

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
        for action in made.pending:
            self.tell(f"{client.process.name}: {action.kind} {action.address} at {action.object}: {action.reason}")
        await apply(
            made, client, lockfile, report, wire=send, clock=client.process, stop=client.process.stop,
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
            right = there is not None and there.etag == self._expected(made)
            if not right and not (self.lost and self._is_overtaken(made.object)):
                fail(f"{address}: {made.object} is not what is declared")
        self._check_quiet(desired, prune=prune)
        self._check_told()
        self._check_remembered()

    def _person(self, *, prune: bool) -> set[str]:
        """Do what a person is asked to do; return what is to be replaced."""
        forced = set()
        for action in self._plan(self.manifests.desired(), prune=prune).actions:
            entry = self.manifests.entries.get(action.address)
            if (
                action.kind == "conflict"
                and "`recover`" in action.reason
                and (self.lost or self._is_doubled(action.object))
            ):
                self.tell(f"person: recovers, as {action.address} is in conflict: {action.reason}")
                in_world(self.world, self._recover())
            elif action.kind == "conflict" and (self._is_foreign(action.object) or self._is_lost(action)):
                self.tell(f"person: deletes {action.object}, as {action.address} is in conflict: {action.reason}")
                self.world.objects.pop(action.object, None)
            elif action.kind == "blocked" and action.reason.startswith("failed"):
                forced.add(action.address)
            elif action.kind == "blocked" and "protected" in action.reason and entry is not None:
                self.manifests.entries[action.address] = replace(entry, protect=False)
            elif action.kind == "blocked" and "protected" in action.reason:
                self.world.objects.pop(action.object, None)
        return forced

    async def _recover(self) -> None:
        """Do what `reconciler recover` does."""
        desired = self.manifests.desired()
        client = SeededClient(self.world, self._process(doomed=False), desired)
        async with self._held(client) as lockfile:
            await lockfile.begin()
            observed = await observe(client, lockfile, desired)
            observed = replace(observed, history=await history(client, observed.objects.keys()))
            found = recover(desired, observed, name=lambda url: url.split(".com/")[1])
            for address, proven in found.proven.items():
                await lockfile.amend(address, proven.record)
            await lockfile.checkpoint()

    @asynccontextmanager
    async def _held(self, client: SeededClient) -> AsyncIterator[Lockfile]:
        """Yield the lockfile to a run that holds its guard, and closes it when it is on this disk."""
        if self.weather.shared:
            patience = client.process.chance.choice((0.0, 0.0, 100.0))
            async with shared_lockfile(client, client.process.name, lease=LEASE, patience=patience) as lockfile:
                yield lockfile
            return
        lockfile = open_lockfile(self.world, client.process)
        try:
            yield lockfile
        finally:
            lockfile.close()

    def _is_lost(self, action: Action) -> bool:
        """Tell whether a conflict is about an object of ours that is not what is declared, and whose record was lost."""
        return self.lost and "is not recorded" in action.reason

    def _is_doubled(self, key: str) -> bool:
        """Tell whether something on the way made a second job of one call for a key, of which nobody can know."""
        return any(job.get("double") and key_of(job) == key for job in self.world.jobs.values())

    def _is_foreign(self, key: str) -> bool:
        """Tell whether a stranger wrote an object: what we made ourselves is never in anybody's way."""
        there = self.world.objects.get(key)
        return there is not None and there.etag.startswith("foreign")

    def _plan(self, desired: DesiredState, *, prune: bool) -> Plan:
        async def main() -> Plan:
            process = SeededProcess(0, self.world)
            lockfile = await shared_state(self.world) if self.weather.shared else open_lockfile(self.world, process)
            made, _ = await make_plan(SeededClient(self.world, process, desired), lockfile, desired, prune=prune)
            return made

        return in_world(self.world, main())

    def _expected(self, made: Output) -> str:
        """Return the digest of what an output is to be, by what its sources are now."""
        etags = [self.world.objects[info.url].etag for info in made.request.operation[0].video_synthesis.splice_info]
        return picture(send(made.request.plain()).plain(), etags)

    def _is_overtaken(self, key: str) -> bool:
        """Tell whether the job that made an object may have read what its sources held in between.

        That it was made of what was there before and after is all that its token tells, once the records are lost.
        """
        there = self.world.objects[key]
        made = [job for job in self.world.jobs.values() if key_of(job) == key and job.get("made") == there.etag]
        return any(self.world.was_overtaken(job) for job in made)

    def _check_quiet(self, desired: DesiredState, *, prune: bool) -> None:
        before = len(self.world.jobs), self.world.copies, dict(self.world.objects), dict(self._state().records)
        self.run(desired, [self._process(doomed=False)], prune=prune)
        after = len(self.world.jobs), self.world.copies, dict(self.world.objects), dict(self._state().records)
        if before != after:
            fail("one more apply had an effect")

    def _check_remembered(self) -> None:
        """Every object that jobs of ours made is recorded, whatever became of its output, unless the records were lost."""
        known = {record.object for record in self._state().records.values()}
        known |= self.world.copied  # a copy has no intent: when its run dies, and the key is given up, it stays
        known |= set(filter(self._is_doubled, self.world.objects))
        for key, there in self.world.objects.items():
            if key.startswith("out/") and key not in known and not self._is_foreign(key) and not self.lost:
                fail(f"{key}: {there.etag} is there, and nobody knows of it")

    def _check_told(self) -> None:
        """A pair that a submission in doubt became was told, when it is what is recorded."""
        records, tokens = list(self._state().records.values()), dict[str, list[str]]()
        for name, job in self.world.jobs.items():
            tokens.setdefault(job["token"], []).append(name)
        for token, names in tokens.items():
            paid = [name for name in names if self.world.jobs[name]["state"] == SUCCESS]
            told = any(name in note for note in self.notes for name in names)
            counts = any(record.job in names for record in records)
            if len(paid) > 1 and token in self.world.in_doubt and counts and not told and not self.weather.beyond:
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
