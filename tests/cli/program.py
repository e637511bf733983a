"""The real program as a process, beside services that are real too: started, stopped, asked, counted."""

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
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn

from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.service import Service
from reconciler.service.protocol import BoundedProtocol
from tests.service.harness import Studio
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
    for_each: [a, b, c, d]
    video_synthesis: {splice_info: [{url: in/red.mp4, width: 128, height: 128}, {url: in/blue.mp4, x: 128}]}
    output: "out/{{ each.value }}.mp4"
  last:
    video_synthesis: {splice_info: [{output: 'video["a"]'}]}
    output: out/last.mp4
"""
"""Four videos and one that is made of the first."""

ONE_JOB_EACH: Final = {f"out/{name}.mp4": 1 for name in ("a", "b", "c", "d", "last")}
NOTHING_TO_DO: Final = "No changes. 5 outputs are up to date.\n"

Ask = Callable[[Mapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


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


def run(
    project: Path, *words: str, env: Mapping[str, str] | None = None, seconds: float = 120
) -> tuple[int, str, str]:
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
    return any((root / "buckets").rglob(".reconciler-*"))


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
def serving(root: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run ``reconciler serve`` on a project's folder while the block runs; give its address."""
    with start(root, "serve", "--port", "0", *flags, env=env) as server:
        try:
            assert server.stderr is not None
            line = next(line for line in server.stderr if line.startswith("Serving "))
            drain = threading.Thread(target=server.stderr.read, daemon=True)
            drain.start()
            yield line.split(" on ")[1].split(";")[0]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
            drain.join()


class HeldService:
    """The service behind a socket of this process, whose renders end when they are let.

    It takes every connection. From the moment on at which ``hold`` is set it makes the jobs that are asked for
    (``making``) or does not, and answers nobody.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = ""
        self.asked = 0
        self.hold = False
        self.making = True
        self._studio = Studio(held=True)
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator[HeldService]:
        """Serve while the block runs."""
        started = threading.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(started),))
        thread.start()
        started.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._server.force_exit_now)
            thread.join()

    def let(self) -> None:
        """Let every render end, and answer again."""
        self.hold = False
        self._loop.call_soon_threadsafe(self._studio.let)

    async def _serve(self, started: threading.Event) -> None:
        async with Service(self.root, bucket=BUCKET, region=REGION, render=self._studio, concurrency=4) as service:

            async def app(scope: Any, receive: Any, send: Any) -> None:
                if scope["method"] == "POST":
                    self.asked += 1
                if not self.hold:
                    await service.app(scope, receive, send)
                    return
                if self.making:
                    await service.app(scope, receive, _nobody)
                while (await receive())["type"] != "http.disconnect":
                    pass

            config = uvicorn.Config(app, port=0, http=BoundedProtocol, ws="none", lifespan="off", log_level="error")
            self._server = _Server(config)
            self._server.ready = started
            self._server.found = lambda address: setattr(self, "address", address)
            await self._server.serve()


class _Server(uvicorn.Server):
    ready: threading.Event
    found: Callable[[str], None]

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self.found(f"http://{host}:{port}")
        self.ready.set()

    def install_signal_handlers(self) -> None:
        pass

    def force_exit_now(self) -> None:
        self.should_exit = self.force_exit = True


async def _nobody(_message: Any) -> None:
    """Answer to nobody."""
