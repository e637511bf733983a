"""The real program as a process, and what is seen of it from outside: started, killed, served, its jobs counted."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.service import Service
from tests.service.media import Films

BUCKET: Final = "clips-1250000000"
REGION: Final = "ap-chongqing"
SETTINGS: Final = f"version: 1\nservice: embedded\nbucket: {BUCKET}\nregion: {REGION}\nparallelism: 2\n"

FIVE: Final = """version: 1
defaults:
  transcode:
    container: {format: mp4}
    video: {width: 256, height: 128, preset: veryfast, fps: 25}
outputs:
  video:
    for_each: {a: 128, b: 126, c: 124, d: 122}
    video_synthesis:
      splice_info: [{url: in/red.mp4, width: 128, height: 128}, {url: in/blue.mp4, x: "{{ each.value }}"}]
    output: "out/{{ each.key }}.mp4"
  last:
    video_synthesis: {splice_info: [{output: 'video["a"]'}]}
    output: out/last.mp4
"""
"""Four different videos, so that none is a copy of another, and one that is made of the first."""

ONE_JOB_EACH: Final = {f"out/{name}.mp4": 1 for name in ("a", "b", "c", "d", "last")}
NOTHING_TO_DO: Final = "No changes. 5 outputs are up to date.\n"


def make_project(root: Path, *, settings: str = SETTINGS, manifest: str = FIVE) -> Path:
    """Write a project, or one more clone of it."""
    (root / "manifests").mkdir(parents=True)
    (root / "reconciler.yaml").write_text(settings)
    (root / "manifests" / "a.yaml").write_text(manifest)
    return root


def drop_films(root: Path, films: Films) -> None:
    """Put the sources of ``FIVE`` into the bucket of a service on ``root``."""
    folder = root / "buckets" / BUCKET / "in"
    folder.mkdir(parents=True)
    for colour in ("red", "blue"):
        shutil.copyfile(films.film(colour, "256x128", seconds=2), folder / f"{colour}.mp4")


def environment(**more: str) -> dict[str, str]:
    """Return the environment without what would change the program's settings, and ``more``."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("RECONCILER_", "TENCENTCLOUD_"))}
    return {**kept, **more}


def start(project: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the program in a process group of its own, as a shell or a CI runner does."""
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", "-C", str(project), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() if env is None else env,
        start_new_session=True,
    )


def run(project: Path, *words: str, env: Mapping[str, str] | None = None, seconds: float = 120) -> tuple[int, str, str]:
    """Run the program to its end and return its exit status and what it said."""
    with start(project, *words, env=env) as process:
        out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def kill_after(project: Path, seconds: float) -> None:
    """Apply, and kill it after some seconds unless it has ended."""
    with start(project, "apply", "--yes") as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def rendering(root: Path) -> bool:
    """Whether FFmpeg writes something at the moment, for the service on ``root``."""
    return any(path.is_dir() for path in (root / "buckets").rglob(".reconciler-*"))


def jobs(root: Path) -> dict[str, int]:
    """Count the jobs of each object in the list of the service on ``root``."""

    async def listed() -> list[str]:
        async with (
            Service(root, bucket=BUCKET, region=REGION, work=False) as service,
            Client(Endpoints.of(BUCKET, REGION), transport=httpx.ASGITransport(app=service.app)) as client,
        ):
            return [job.operation.output.object async for job in client.list_jobs() if job.operation]

    return dict(sorted(Counter(asyncio.run(listed())).items()))


@contextmanager
def serving(
    root: Path, *flags: str, env: Mapping[str, str] | None = None, said: list[str] | None = None
) -> Iterator[str]:
    """Run ``reconciler serve`` on a project's folder while the block runs; give its address.

    What it says goes into ``said``.
    """
    lines = [] if said is None else said
    with start(root, "serve", "--port", "0", *flags, env=env) as server:
        try:
            assert server.stderr is not None
            first = ""
            while not first.startswith("Serving "):
                first = next(server.stderr)
                lines.append(first)
            heard = threading.Thread(target=lines.extend, args=(server.stderr,))
            heard.start()
            yield first.split(" on ")[1].split(";")[0]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
        heard.join()
        assert server.stdout is not None
        lines.extend(server.stdout)
