"""Forty short jobs, submitted all at once, beside a shell loop of FFmpeg by hand, and encoding alone."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import footage
from benchmarks.measure import Run, Way, alternate, medians, of_command
from benchmarks.one_job import FILL, THREADS, Yard, by_hand, encode

JOBS, SECONDS, RUNS = 40, 3, 3
QUICK_JOBS, QUICK_SECONDS = 6, 1
CLIPS = 8
"""So many sources are composed in pairs, no two alike: identical renders would be one."""

RAW = 4
"""So many compositions are kept as raw frames, which are large."""

Commands = Sequence[Sequence[str]]


def main(*, quick: bool = False) -> None:
    """Aim: on two processors at least 1.3 times the throughput of the loop."""
    jobs, seconds, runs = (QUICK_JOBS, QUICK_SECONDS, 1) if quick else (JOBS, SECONDS, RUNS)
    with tempfile.TemporaryDirectory() as name:
        yard = Yard(Path(name))
        clips = footage.clips(yard.sources, CLIPS, seconds)
        pairs = [(left, right) for left in clips for right in clips if left is not right][:jobs]
        made = [yard.root / f"by-hand-{number}.mp4" for number in range(jobs)]
        frames = [footage.raw(yard.root / f"{n}.nut", pairs[n], FILL.whole_graph) for n in range(RAW)]
        looped = [by_hand(FILL, pair, path, threads="") for pair, path in zip(pairs, made, strict=True)]
        in_pairs = [by_hand(FILL, pair, path) for pair, path in zip(pairs, made, strict=True)]
        encoded = [encode(frames[number % RAW], path) for number, path in enumerate(made)]
        ways = [
            Way("reconciler, all submitted at once", lambda: yard.serve_all(FILL, pairs)),
            Way("a shell loop of FFmpeg by hand", _loop(yard.root / "loop.sh", looped)),
            Way(f"xargs -P 2, {THREADS} threads each", _two_at_a_time(yard.root / "by-hand.txt", in_pairs)),
            Way("encoding alone, two at a time: the limit", _two_at_a_time(yard.root / "raw.txt", encoded)),
        ]
        _tabulate(f"{jobs} jobs of {seconds} s", ways, alternate(ways, runs), jobs)


def _loop(script: Path, commands: Commands) -> Callable[[], Run]:
    """Return what runs commands one after the other."""
    script.write_text("".join(f"{shlex.join(command)}\n" for command in commands))
    return lambda: of_command(("sh", "-e", str(script)))


def _two_at_a_time(lines: Path, commands: Commands) -> Callable[[], Run]:
    """Return what runs commands in parallel, as people do it."""
    lines.write_text("".join(f"{shlex.join(command)}\n" for command in commands))
    return lambda: of_command(("xargs", "-a", str(lines), "-d", "\\n", "-P", "2", "-n", "1", "sh", "-c"))


def _tabulate(title: str, ways: Sequence[Way], results: Sequence[Sequence[Run]], jobs: int) -> None:
    """Print a table of medians, and of the throughput beside that of the loop."""
    print(f"\n| {title} | wall s | CPU s | peak MiB | jobs a minute | throughput ratio | CPU ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    loop = medians(results[1])
    for way, runs in zip(ways, results, strict=True):
        each = medians(runs)
        ratios = f"{jobs * 60 / each.wall:.1f} | {loop.wall / each.wall:.3f} | {each.cpu / loop.cpu:.3f}"
        print(f"| {way.name} | {each.wall:.2f} | {each.cpu:.2f} | {each.mib:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
