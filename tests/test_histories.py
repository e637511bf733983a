"""Whatever happens in whatever order, one wanted render is one job, nothing is lost, and every restart converges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Any

import pytest

from reconciler.state import DesiredState
from tests.factory import output
from tests.histories import play
from tests.misfortunes import LEASE
from tests.simulation import Crash, World, plan_once, plan_shared, run_once, run_shared

FEW, MANY, CHUNK = 400, 20_000, 100


@pytest.mark.parametrize("first", range(0, FEW, CHUNK))
def test_some_hundred_histories(first: int) -> None:
    for seed in range(first, first + CHUNK):
        play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FEW, MANY, CHUNK))
def test_twenty_thousand_histories(first: int) -> None:
    for seed in range(first, first + CHUNK):
        play(seed)


@pytest.mark.parametrize("seed", [3, 25, 30])
def test_a_seed_is_the_same_history_each_time(seed: int) -> None:
    told: tuple[list[str], list[str]] = ([], [])
    for lines in told:
        play(seed, lines.append)
    assert [line for line in told[0] if "/" not in line] == [line for line in told[1] if "/" not in line]
    assert len(told[0]) > 5


# Every single effect is a crash point once.

SOURCES = {"in/a.mp4": "ea", "in/b.mp4": "eb", "in/c.mp4": "ec"}
CHAIN = DesiredState(
    {
        "a": output("a"),
        "b": output("b"),
        "d": output("d", "out/a.mp4", "in/b.mp4", upstream=("a",)),
        "e": output("e", "out/d.mp4", upstream=("d",)),
    }
)
ONE, TWINS = DesiredState({"a": output("a")}), DesiredState({"a": output("a"), "b": output("b", "in/a.mp4")})
ELSEWHERE = DesiredState({"a": output("a", key="out/z.mp4"), "b": output("b", "in/a.mp4")})
LESS = DesiredState(
    {"b": output("b", video={"fps": 30}), "x": output("x", "in/a.mp4", key="out/a.mp4")}, moved={"a": "x"}
)


@dataclass(frozen=True)
class Case:
    """What was there before the run that dies, what it is to make, and how many jobs that takes in all."""

    desired: DesiredState
    jobs: int
    before: DesiredState | None = None
    forgotten: bool = False
    prune: bool = False


CASES = {
    "a chain": Case(CHAIN, 4),
    "a copy": Case(TWINS, 1, before=ONE),
    "taken from the history": Case(CHAIN, 4, before=CHAIN, forgotten=True),
    "another key, with prune": Case(ELSEWHERE, 2, before=TWINS, prune=True),
    "replaced, moved and pruned": Case(LESS, 5, before=CHAIN, prune=True),
}


def prepared(folder: Path, case: Case, run: Callable[..., Any]) -> World:
    """Return a world in which everything before the run has happened."""
    folder.mkdir()
    world = World(folder, SOURCES)
    if case.before is not None:
        run(world, case.before)
    if case.forgotten:
        world.files.clear()
        (folder / "reconciler.lock").unlink(missing_ok=True)
        rmtree(folder / "state", ignore_errors=True)
    world.revive()
    return world


def check(world: World, case: Case, plan: Callable[..., Any]) -> None:
    """Nothing was made twice, nothing is left to be done, and all is there that is declared, and no more with prune."""
    world.revive()
    assert len(world.jobs) == case.jobs
    made, *_ = asyncio.run(plan(world, case.desired, prune=case.prune))
    assert made.empty, made.pending
    made_keys = {key for key in world.objects if key.startswith("out/")}
    declared = {made.object for made in case.desired.outputs.values()}
    assert made_keys == declared if case.prune else made_keys >= declared


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
@pytest.mark.parametrize("name", CASES)
def test_every_effect_is_a_crash_point(tmp_path: Path, name: str, *, power: bool) -> None:
    case, point = CASES[name], 0
    while True:
        point += 1
        world = prepared(tmp_path / str(point), case, run_once)
        last: list[str] = []
        world.crash_at, world.on_effect = point, last.append
        try:
            run_once(world, case.desired, prune=case.prune)
        except Crash:
            if power and last[-1] != "fold: power cut":  # that one did its damage itself
                world.disk.cut(Random(point))
            world.revive()
            run_once(world, case.desired, prune=case.prune)
            check(world, case, plan_once)
        else:
            break
    assert point > 20


async def _plan_shared(*given: Any, **options: Any) -> tuple[Any]:
    return (await plan_shared(*given, **options),)


@pytest.mark.parametrize("name", CASES)
def test_every_effect_of_a_run_on_another_machine_is_a_crash_point(tmp_path: Path, name: str) -> None:
    """Whatever died on one machine is ended by another one, which knows only what is in the bucket."""
    case, point = CASES[name], 0
    while True:
        point += 1
        world = prepared(tmp_path / str(point), case, partial(run_shared, run="first"))
        world.crash_at = point
        try:
            run_shared(world, case.desired, "second", prune=case.prune)
        except Crash:
            world.revive()
            world.time += timedelta(seconds=LEASE + 1)
            run_shared(world, case.desired, "third", prune=case.prune)
            check(world, case, _plan_shared)
        else:
            break
    assert point > 30
