"""Two runs are kept apart, on one disk and on one bucket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import GuardError, UnreachableError
from reconciler.guard import guard
from tests.simulation import SHARED_KEY, Process, SimulatedClient, SimulatedGuard, World, in_world

KEY = f"{SHARED_KEY}.guard"
LEASE = 30.0


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with guard(tmp_path), pytest.raises(GuardError, match=rf"another run .*process {os.getpid()}"), guard(tmp_path):
        pass
    with guard(tmp_path):
        pass


def test_the_guard_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom reconciler.guard import guard\n"
        f"with guard(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with guard(tmp_path):
        pass


# In the bucket.


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {})


def shared(world: World, run: str, process: Process | None = None) -> SimulatedGuard:
    return SimulatedGuard(SimulatedClient(world, process or Process()), run, LEASE)


def run(world: World, main: Coroutine[Any, Any, None]) -> None:
    in_world(world, main)


def holder(world: World) -> str:
    name: str = json.loads(world.files[KEY])["run"]
    return name


def test_one_run_at_a_time_on_one_bucket(world: World) -> None:
    async def main() -> None:
        async with shared(world, "one").held("apply"):
            with pytest.raises(GuardError, match=r"another run is at work on this lockfile .apply by .* on .*, since"):
                await shared(world, "two").held("apply").__aenter__()
            assert holder(world) == "one"
        assert KEY not in world.files
        async with shared(world, "two").held("apply"):
            assert holder(world) == "two"

    run(world, main())


def test_of_two_that_come_at_once_one_works_and_the_other_waits(world: World) -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        async with shared(world, name).held("apply", patience=100):
            order.append(f"{name} begins")
            await asyncio.sleep(40)
            order.append(f"{name} ends")

    async def main() -> None:
        await asyncio.gather(work("one"), work("two"))

    run(world, main())
    assert order in (
        ["one begins", "one ends", "two begins", "two ends"],
        ["two begins", "two ends", "one begins", "one ends"],
    )


def test_a_lease_is_renewed_while_its_run_lives(world: World) -> None:
    async def main() -> None:
        one = shared(world, "one")
        async with one.held("apply"):
            await asyncio.sleep(10 * LEASE)
            one.check()
            with pytest.raises(GuardError):
                await shared(world, "two").held("apply").__aenter__()

    run(world, main())


def dead(world: World) -> None:
    """Let a run die that holds the guard."""

    async def main() -> None:
        process = Process()
        taken = shared(world, "dead", process).held("apply")
        await taken.__aenter__()
        process.dead = True
        with suppress(BaseException):
            await taken.__aexit__(None, None, None)

    run(world, main())
    assert holder(world) == "dead"


@pytest.mark.parametrize(("later", "free"), [(0, False), (LEASE - 1, False), (LEASE + 1, True)])
def test_the_guard_of_a_dead_run_is_taken_once_its_lease_has_ended(world: World, later: float, *, free: bool) -> None:
    dead(world)
    world.time += timedelta(seconds=later)
    two = shared(world, "two")

    async def main() -> None:
        async with two.held("apply"):
            assert holder(world) == "two"

    if free:
        run(world, main())
        assert two.taken_from is not None
        assert two.taken_from.run == "dead"
        assert KEY not in world.files
    else:
        with pytest.raises(GuardError):
            run(world, main())
        assert holder(world) == "dead"


def test_patience_waits_for_the_end_of_a_lease(world: World) -> None:
    dead(world)

    async def main() -> None:
        async with shared(world, "two").held("apply", patience=LEASE + 5):
            assert holder(world) == "two"

    run(world, main())


def test_a_run_that_could_not_renew_stops(world: World) -> None:
    """Nobody has taken the guard, but somebody might have."""

    class Cut(SimulatedClient):
        async def get_object(self, key: str) -> tuple[bytes, str] | None:
            raise UnreachableError("no answer", sent=True)

    async def main() -> None:
        one = SimulatedGuard(Cut(world, Process()), "one", LEASE)
        async with one.held("apply"):
            await asyncio.sleep(LEASE - 1)
            one.check()
            await asyncio.sleep(2)
            with pytest.raises(GuardError, match="its lease ended before it could be renewed"):
                one.check()

    run(world, main())


@pytest.mark.parametrize(("by", "why"), [("two", "taken by apply by"), (None, "it was removed")])
def test_a_run_whose_guard_is_gone_stops_and_leaves_that_of_the_other(world: World, by: str | None, why: str) -> None:
    async def main() -> None:
        one, two = shared(world, "one"), shared(world, "two")
        others = two.held("apply")
        async with one.held("apply"):
            await two.remove()
            if by is not None:
                await others.__aenter__()
            await asyncio.sleep(LEASE / 2)
            with pytest.raises(GuardError, match=why):
                one.check()
        assert (KEY in world.files) is (by is not None)

    run(world, main())


def test_a_lost_answer_to_the_taking_is_no_other_run(world: World) -> None:
    class Repeating(SimulatedClient):
        async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
            await super().put_object(key, content, forbid_overwrite=forbid_overwrite)
            return await super().put_object(key, content, forbid_overwrite=forbid_overwrite)

    async def main() -> None:
        async with SimulatedGuard(Repeating(world, Process()), "one", LEASE).held("apply"):
            assert holder(world) == "one"

    run(world, main())
    assert KEY not in world.files


@pytest.mark.parametrize("body", [b"", b"\x00\x00", b"[]", b"{}", b'{"run": 1}', b"hello", b"null"])
def test_an_object_that_is_no_guard_is_left_and_told(world: World, body: bytes) -> None:
    world.files[KEY] = body
    with pytest.raises(GuardError, match="is no guard of this program"):
        run(world, shared(world, "one").held("apply").__aenter__())
    assert world.files[KEY] == body
