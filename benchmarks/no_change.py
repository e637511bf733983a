"""Plan with nothing to do for many outputs, beside `make` with nothing to do for as many files."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.cold_start import SETTINGS
from benchmarks.measure import RECONCILER, Side, compare, report, run

MANIFEST = """version: 1
outputs:
  video:
    for_each: data/rows.jsonl
    key: "{{ each.id }}"
    video_synthesis:
      splice_info:
        - {url: "input/{{ each.a }}.mp4", width: 640, height: 720}
        - {url: "input/{{ each.b }}.mp4", x: 640, width: 640, height: 720}
    transcode:
      container: {format: mp4}
      video: {codec: H.264, width: 1280, height: 720, fps: 25}
    output: "output/{{ each.id }}.${ext}"
"""
SOURCES = 100


def main(count: int = 10_000, runs: int = 5) -> None:
    """Print time and memory for ``count`` outputs that are all up to date."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, count)
        make_makefile(folder, count)
        plan = Side(f"reconciler plan, {count:,} outputs up to date", (*RECONCILER, "plan"), folder)
        sides = [plan, Side(f"make -q, {count:,} targets up to date", ("make", "-q", "-f", "Makefile"), folder)]
        first = run(plan)
        results = compare(sides, runs)
        report(sides, results)
        wall = sorted(each.wall for each in results[0])[runs // 2]
        print(
            f"  {wall / count * 1e6:.1f} µs per output; the first plan, which reads every file once: {first.wall:.2f} s"
        )


def make_project(folder: Path, count: int) -> None:
    """Write a project, its bucket, and the lockfile that an apply would have left."""
    (folder / "reconciler.yaml").write_text(SETTINGS)
    bucket = folder / "buckets" / "bench-1250000000"
    for name in ("manifests", "data", "buckets/bench-1250000000/input", "buckets/bench-1250000000/output"):
        (folder / name).mkdir(parents=True)
    (folder / "manifests" / "videos.yaml").write_text(MANIFEST)
    rows = [{"id": f"v{n:06}", "a": f"s{n % SOURCES}", "b": f"s{(n * 7 + 1) % SOURCES}"} for n in range(count)]
    (folder / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number in range(SOURCES):
        (bucket / "input" / f"s{number}.mp4").write_bytes(b"source %d" % number)
    for row in rows:
        (bucket / "output" / f"{row['id']}.mp4").write_bytes(row["id"].encode())
    asyncio.run(record(folder))


async def record(folder: Path) -> None:
    """Adopt every object that is there as what the manifest says, as after a successful apply."""
    from reconciler.cli import Globals, session
    from reconciler.fingerprint import fingerprint
    from reconciler.lockfile import Lockfile
    from reconciler.observe import observe
    from reconciler.state import Record, request_keys

    os.chdir(folder)
    project = session.open_project(Globals(folder, None, (), color=None, quiet=True, verbose=False))
    desired = session.read_desired(project)
    lockfile = Lockfile.load(project.lockfile, project.state_dir / "journal")
    async with session.connect(project, "render") as client:
        objects = (await observe(client, lockfile, desired)).objects
    there_are = {address: output for address, output in desired.outputs.items() if output.object in objects}
    records = {}
    for address, output in there_are.items():
        request, inputs = request_keys(output), {key: objects[key].etag for key in output.sources}
        there = objects[output.object]
        mark = fingerprint(request, inputs)
        records[address] = Record(output.object, mark, request, inputs, there.etag, size=there.size)
    await lockfile.begin()
    await asyncio.gather(*(lockfile.amend(address, made) for address, made in records.items()))
    await lockfile.checkpoint()
    lockfile.close()


def make_makefile(folder: Path, count: int) -> None:
    """Write the same work for make: each output of two sources."""
    bucket = Path("buckets/bench-1250000000")
    names = [f"{bucket}/output/v{n:06}.mp4" for n in range(count)]
    rules = "".join(
        f"{name}: {bucket}/input/s{n % SOURCES}.mp4 {bucket}/input/s{(n * 7 + 1) % SOURCES}.mp4\n\tfalse\n"
        for n, name in enumerate(names)
    )
    (folder / "Makefile").write_text(f"all: {' '.join(names)}\n{rules}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
