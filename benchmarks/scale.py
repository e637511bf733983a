"""What planning costs as outputs become many, beside what ninja, make and `git status` take to find nothing to do.

Every output is made of a source of its own and of one that all share. Files are tiny; lockfiles are written by the
program itself.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.cold_start import SETTINGS
from benchmarks.measure import RECONCILER, Run, Side, compare, medians
from benchmarks.no_change import record

SIZES = (1_000, 10_000, 100_000)
RUNS = 3
BUCKET = "bench-1250000000"
SHARED = "input/presenter.mp4"
LITERAL = 10_000
"""Outputs that are written out one by one, at most: nobody writes more by hand."""

CHANGED = 100
"""One row of so many is edited."""

ROWS = """version: 1
outputs:
  video:
    for_each: data/rows.csv
    key: "{{{{ each.id }}}}"
    layout: side-by-side
    with: {{left: "input/{{{{ each.id }}}}.mp4", right: {shared}}}
    transcode:
      container: {{format: mp4}}
      video: {{codec: H.264, width: 1280, height: 720, fps: 25, crf: "{{{{ each.quality }}}}"}}
    output: "{folder}/{{{{ each.id }}}}.${{ext}}"
"""
ENTRY = """  {name}:
    video_synthesis:
      splice_info:
        - {{url: input/{name}.mp4, width: 640, height: 720}}
        - {{url: {shared}, x: 640, width: 640, height: 720}}
    transcode:
      container: {{format: mp4}}
      video: {{codec: H.264, width: 1280, height: 720, fps: 25, crf: 23}}
    output: output/{name}.${{ext}}
"""
PROJECTS = ("same", "edited", "first", "literal")
PLAN = (*RECONCILER, "plan")
NO_REFRESH = "--no-refresh"
NOTHING = "plan, nothing to do"
Results = Mapping[str, Sequence[Run]]


def main(sizes: Sequence[int] = SIZES, runs: int = RUNS) -> None:
    """Measure at each of ``sizes``, which are multiples of a hundred.

    Aims at 100,000: nothing to do 1.5 × ninja and 200 MiB; 1 % changed 1.3 × nothing to do; linear growth.

    Per output: 50 µs when all are to be made, 100 µs when they are written out in YAML, 40 µs to validate.
    """
    measured: dict[int, Results] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            sides = compared(Path(name), size)
            measured[size] = dict(zip((side.name for side in sides), compare(sides, runs), strict=True))
        show(size, measured[size])
    if len(sizes) > 1:
        show_growth(measured)


# What is measured.


def compared(folder: Path, size: int) -> list[Side]:
    """Prepare everything in a process of its own, and return what is compared, the peers first.

    What a process holds counts as the peak of those that it starts, so this one must stay small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(prepare, folder, size).result()
    same, edited, first, literal = (folder / name for name in PROJECTS)
    editions = itertools.count()
    sides = [
        *(Side(f"{name}, nothing to do", command, same) for name, command in peers().items()),
        Side(NOTHING, PLAN, same),
        Side("plan, 1 % of the rows edited", PLAN, edited, lambda: write_rows(edited, size, edition=next(editions))),
        Side("plan, everything to create", PLAN, first),
        Side(f"plan, {min(size, LITERAL):,} written out, file edited", PLAN, literal, partial(edit, literal, editions)),
        Side("validate", (*RECONCILER, "validate"), same),
    ]
    if NO_REFRESH in output_of(*PLAN, "--help"):
        sides.append(Side(f"plan {NO_REFRESH}, nothing to do", (*PLAN, NO_REFRESH), same))
    check(sides, size)
    return sides


def prepare(folder: Path, size: int) -> None:
    """Make the projects, their lockfiles, and the peers' files."""
    same, edited, first, literal = (folder / name for name in PROJECTS)
    make_files(same / "buckets" / BUCKET, size)
    make_files(literal / "buckets" / BUCKET, min(size, LITERAL))
    for project in (edited, first):
        project.mkdir()
        (project / "buckets").symlink_to(same / "buckets")
    rows = ROWS.format(folder="output", shared=SHARED)
    entries = "".join(ENTRY.format(name=name, shared=SHARED) for name in names(min(size, LITERAL)))
    for project, manifest in (
        (same, rows),
        (edited, rows),
        (first, ROWS.format(folder="first", shared=SHARED)),
        (literal, f"version: 1\noutputs:\n{entries}"),
    ):
        make_project(project, manifest, size)
        asyncio.run(record(project))
    prepare_peers(same, size)


def names(size: int) -> Iterator[str]:
    """Yield the names of so many outputs."""
    return (f"v{number:06}" for number in range(size))


def make_files(bucket: Path, size: int) -> None:
    """Write the sources, and after them what is made of them."""
    for part in ("input", "output"):
        (bucket / part).mkdir(parents=True)
    (bucket / SHARED).write_bytes(b"presenter")
    for part in ("input", "output"):
        for name in names(size):
            (bucket / part / f"{name}.mp4").write_bytes(f"{part} {name}".encode())


def make_project(folder: Path, manifest: str, size: int) -> None:
    """Write a project with one manifest and its rows."""
    for part in ("manifests", "data"):
        (folder / part).mkdir()
    (folder / "reconciler.yaml").write_text(SETTINGS)
    (folder / "manifests" / "videos.yaml").write_text(manifest)
    write_rows(folder, size)


def write_rows(folder: Path, size: int, *, edition: int | None = None) -> None:
    """Write the rows; an edition has other values in one of a hundred rows, each edition in other ones."""
    with (folder / "data" / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "quality"))
        writer.writerows(
            (name, 23 if edition is None or number % CHANGED != edition % CHANGED else 24)
            for number, name in enumerate(names(size))
        )


def edit(folder: Path, editions: Iterator[int]) -> None:
    """Change a manifest without changing what it says, so that nothing that was remembered of the file holds."""
    path = folder / "manifests" / "videos.yaml"
    text = path.read_text()
    path.write_text(f"# edition {next(editions)}\n{text[text.index('version:') :]}")


def check(sides: Sequence[Side], size: int) -> None:
    """See that each plan is the one that its name says."""
    for side in sides:
        expected = {
            NOTHING: "No changes",
            "plan, 1 % of the rows edited": f"{size // CHANGED:,} to replace",
            "plan, everything to create": f"{size:,} to create",
        }.get(side.name)
        if expected is not None:
            side.before()
            said = output_of(*side.command, folder=side.folder)
            if expected.replace(",", "") not in said.replace(",", ""):
                raise SystemExit(f"{side.name}: expected `{expected}`, got:\n{said[-2000:]}")


# Peers.


def peers() -> dict[str, Sequence[str]]:
    """Return the commands of those peers that are installed; ninja, when it is there, comes first."""
    commands = {
        "ninja": ("ninja", "--quiet"),
        "make -q": ("make", "-q", "-r", "-f", "Makefile"),
        "git status": ("git", "status", "--porcelain"),
    }
    return {name: command for name, command in commands.items() if shutil.which(command[0])}


def prepare_peers(folder: Path, size: int) -> None:
    """Give the peers the same files and the same graph, and bring each to where it has nothing to do."""
    bucket = f"buckets/{BUCKET}"
    edges = [(f"{bucket}/output/{name}.mp4", f"{bucket}/input/{name}.mp4 {bucket}/{SHARED}") for name in names(size)]
    rules = "".join(f"{target}: {sources}\n\tfalse\n" for target, sources in edges)
    (folder / "Makefile").write_text(f"all: {' '.join(target for target, _ in edges)}\n{rules}")
    builds = "".join(f"build {target}: render {sources}\n" for target, sources in edges)
    (folder / "build.ninja").write_text(f"rule render\n  command = true\n{builds}")
    installed = peers()
    if "ninja" in installed:  # it takes as done only what it has seen done
        output_of(*installed["ninja"], folder=folder)
    if "git status" in installed:
        commit(folder)


def commit(folder: Path) -> None:
    """Commit all files, into one pack."""
    output_of("git", "init", "--quiet", folder=folder)
    (folder / ".git" / "info" / "exclude").write_text("/.reconciler/\n/.ninja_log\n")
    output_of("git", "-c", "core.bigFileThreshold=1", "add", "--all", folder=folder)
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
    output_of("git", *identity, "commit", "--quiet", "--message", "All", folder=folder)


def output_of(*command: str, folder: Path | None = None) -> str:
    """Return what a command says; a failure ends the benchmark."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


# Reports.


def show(size: int, results: Results) -> None:
    """Print medians of one size, and their ratios to those of the peers."""
    middle = {name: medians(runs) for name, runs in results.items()}
    beside = {tool: f"{tool}, nothing to do" for tool in peers()}
    titles = "".join(f" | × {tool}" for tool in beside)
    print(f"\n| {size:,} outputs | wall s | CPU s | peak MiB | µs per output{titles} |")
    print(f"| --- |{' ---: |' * (4 + len(beside))}")
    for name, each in middle.items():
        ratios = "".join(f" | {each.wall / middle[peer].wall:.2f}" for peer in beside.values())
        per_output = each.wall / count(name, size) * 1e6
        print(f"| {name} | {each.wall:.3f} | {each.cpu:.3f} | {each.mib:.0f} | {per_output:.1f}{ratios} |")
    if not any(NO_REFRESH in name for name in middle):
        print(f"| plan {NO_REFRESH} | not there |")


def count(name: str, size: int) -> int:
    """Return how many outputs a side has of a project of this size."""
    return min(size, LITERAL) if "written out" in name else size


def show_growth(measured: Mapping[int, Results]) -> None:
    """Print the CPU time of each further output between two sizes: the same everywhere when growth is linear."""
    steps = list(itertools.pairwise(sorted(measured)))
    titles = " | ".join(f"{small:,} → {large:,}" for small, large in steps)
    print(f"\n| CPU µs for each further output | {titles} |")
    print(f"| --- |{' ---: |' * len(steps)}")
    for name in measured[steps[0][0]]:
        if "written out" in name:
            continue
        spent = {size: medians(results[name]).cpu for size, results in measured.items()}
        cells = " | ".join(f"{(spent[large] - spent[small]) / (large - small) * 1e6:.1f}" for small, large in steps)
        print(f"| {name} | {cells} |")
