"""Run commands in turn and keep what the operating system says of each: wall and CPU seconds, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

RECONCILER = (sys.executable, "-m", "reconciler")


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: seconds and MiB."""

    wall: float
    cpu: float
    mib: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared: what it is called, how it runs, what to do before each run."""

    name: str
    command: Sequence[str]
    folder: Path
    before: Callable[[], None] = lambda: None


def run(side: Side) -> Run:
    """Run once; a failure ends the benchmark with what the command said."""
    side.before()
    start = time.perf_counter()
    process = subprocess.Popen(side.command, cwd=side.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise SystemExit(f"{side.name} failed with {process.returncode}:\n{output.decode(errors='replace')}")
    return Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(sides: Sequence[Side], runs: int) -> list[list[Run]]:
    """Run all sides in turn, A B A B, after one round that is not counted; the machine's drift hits them alike."""
    for side in sides:
        run(side)
    rounds = [[run(side) for side in sides] for _ in range(runs)]
    return [list(column) for column in zip(*rounds, strict=True)]


def report(sides: Sequence[Side], results: Sequence[Sequence[Run]]) -> None:
    """Print the median of each side, and the median of the pairwise ratios to the last side."""
    print(f"  {'':<44} {'wall s':>8} {'cpu s':>8} {'MiB':>8}   ratio of wall, cpu")
    for side, runs in zip(sides, results, strict=True):
        wall, cpu, mib = (statistics.median(getattr(each, key) for each in runs) for key in ("wall", "cpu", "mib"))
        ratios = [(a.wall / b.wall, a.cpu / b.cpu) for a, b in zip(runs, results[-1], strict=True)]
        shown = ", ".join(f"{statistics.median(pair[index] for pair in ratios):.3f}" for index in (0, 1))
        print(f"  {side.name:<44} {wall:8.3f} {cpu:8.3f} {mib:8.1f}   {shown}")
