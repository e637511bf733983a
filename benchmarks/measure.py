"""Run things in turn and keep what the operating system says of each: wall and CPU seconds, peak memory.

A ``Side`` is a command, of whose one process the system tells everything. A ``Way`` is anything that is done in or
below this process, measured as a whole tree of processes, on Linux.
"""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

RECONCILER = (sys.executable, "-m", "reconciler")

LOOK_SECONDS = 1.0
"""How often the memory of a tree is looked at: an encoder takes its own once and keeps it."""

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Run:
    """What was done once: seconds and MiB."""

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


# Trees of processes.


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways to do the same work: what it is called, and what does it once and says what that took.

    ``most`` is how often it is done at most, for ways that take minutes.
    """

    name: str
    work: Callable[[], Run]
    most: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds until now: those of this process and of what it waited for, and of each process that still is."""

    ended: float
    running: Mapping[int, float]

    def since(self, before: Spent) -> float:
        """Return what was spent since then; one that was ending then, and whose seconds are gone, is left out."""
        running = sum(seconds - before.running.get(pid, 0.0) for pid, seconds in self.running.items())
        return self.ended - before.ended + running


class Meter:
    """Measures a block: wall seconds, CPU seconds and peak memory of every process below this one.

    ``inside`` says that the block works in this process too, whose memory then belongs to it. Memory is proportional
    (PSS): what two processes share counts once. What the meter itself spends is taken off the CPU seconds. Processes
    whose parent ends first, as those in a sandbox, become children of this one, so that what they took is not lost.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._peak = 0.0
        self._own = 0.0
        self._before = Spent(0.0, {})
        self._cpu = 0.0
        self._wall = 0.0

    def __enter__(self) -> Self:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._before, self._wall = spent(), time.perf_counter()
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wall = time.perf_counter() - self._wall
        self._over.set()
        self._watch.join()
        self._cpu = spent().since(self._before) - self._own

    @property
    def run(self) -> Run:
        """What the block took, once it is over."""
        return Run(self._wall, self._cpu, self._peak)

    def _look(self) -> None:
        own = [os.getpid()] if self._inside else []
        while not self._over.wait(LOOK_SECONDS):
            self._peak = max(self._peak, sum(map(_resident, (*own, *descendants()))))
            self._own = time.thread_time()


def of_command(command: Sequence[str], folder: Path | None = None) -> Run:
    """Run a command and everything that it starts; a failure ends the benchmark with what it said."""
    with Meter() as meter:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        words = done.stdout.decode(errors="replace")
        raise SystemExit(f"{' '.join(command)}\nfailed with {done.returncode}:\n{words}")
    return meter.run


def alternate(ways: Sequence[Way], runs: int) -> list[list[Run]]:
    """Do the work in all ways in turn, A B A B: the machine's drift hits them alike."""
    results: list[list[Run]] = [[] for _ in ways]
    for number in range(runs):
        for way, done in zip(ways, results, strict=True):
            if number < way.most:
                done.append(way.work())
    return results


def medians(runs: Sequence[Run]) -> Run:
    """Return the median of each figure."""
    return Run(*(statistics.median(getattr(each, key) for each in runs) for key in ("wall", "cpu", "mib")))


def tabulate(title: str, ways: Sequence[Way], results: Sequence[Sequence[Run]], *, base: int = 1) -> None:
    """Print a table of medians, and of their ratios to those of the way number ``base``."""
    print(f"\n| {title} | wall s | CPU s | peak MiB | wall ratio | CPU ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    beside = medians(results[base])
    for way, runs in zip(ways, results, strict=True):
        each = medians(runs)
        ratios = f"{each.wall / beside.wall:.3f} | {each.cpu / beside.cpu:.3f}"
        print(f"| {way.name} | {each.wall:.2f} | {each.cpu:.2f} | {each.mib:.0f} | {ratios} |", flush=True)


def spent() -> Spent:
    """Return the CPU seconds of this process and of all that it started."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    stats = ((pid, _stat(pid)) for pid in descendants())
    running = {pid: sum(map(int, fields[11:15])) / TICKS for pid, fields in stats if fields}
    return Spent(sum(usage.ru_utime + usage.ru_stime for usage in usages), running)


def descendants() -> list[int]:
    """Return the processes below this one."""
    children = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    return list(_below(os.getpid(), children))


def _below(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    for child in children.get(pid, ()):
        yield child
        yield from _below(child, children)


def _stat(pid: int) -> list[str]:
    """Return what the system says of a process from its state on; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(pid: int) -> float:
    """Return the memory of a process in MiB, that which it shares with others in part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0.0
    return int(text.partition("\nPss:")[2].split()[0]) / 1024 if "\nPss:" in text else 0.0
