"""Asked to stop with very many jobs in flight: it is gone within seconds, and the next apply goes on from there."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

import pytest
import uvicorn

from reconciler.lockfile import Lockfile
from reconciler.service import Service
from reconciler.service.protocol import BoundedProtocol
from reconciler.state import Submission
from tests.cli.program import BUCKET, REGION, jobs, make_project, run, start, wait_for
from tests.service.harness import Studio, drop

PROMISED: Final = 5
"""Seconds after which a run that was asked to stop is gone, with a thousand jobs in flight."""

MANIFEST = """version: 1
outputs:
  video:
    for_each: [{names}]
    video_synthesis: {{splice_info: [{{url: in/a.mp4, width: 128, height: 128}}]}}
    transcode: {{container: {{format: mp4}}, video: {{width: 128, height: 128}}}}
    output: "out/{{{{ each.value }}}}.mp4"
    user_data: "{{{{ each.value }}}}"
"""


class SlowService:
    """The service behind a socket, whose renders end when they are let.

    Once it is ``mute`` it takes every connection and answers nobody any more: the jobs that are asked for are made all
    the same, or not when it is ``deaf`` too. ``submissions`` counts those that have arrived.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mute = self.deaf = False
        self.submissions = 0
        self._studio = Studio(held=True)
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve in a thread of its own while the block runs."""
        config = uvicorn.Config(
            self._answer, interface="asgi3", http=BoundedProtocol, ws="none", lifespan="off", log_level="error"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(server),))
        thread.start()
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
            self._loop.close()

    def let(self) -> None:
        """Answer again, and let every render end."""
        self.mute = self.deaf = False
        self._loop.call_soon_threadsafe(self._studio.let)

    async def _serve(self, server: uvicorn.Server) -> None:
        async with Service(self.root, bucket=BUCKET, region=REGION, render=self._studio) as self._service:
            await server.serve(sockets=[self._listener])

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        submits = scope["method"] == "POST"
        self.submissions += submits
        if not self.mute:
            await self._service.app(scope, receive, send)
            return
        if submits and not self.deaf:
            await self._service.app(scope, receive, _to_nobody)
        while (await receive())["type"] != "http.disconnect":
            pass


async def _to_nobody(_message: Any) -> None:
    """Drop an answer."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SlowService]:
    drop(tmp_path / "service", "in/a.mp4", bucket=BUCKET)
    service = SlowService(tmp_path / "service")
    with service.serving():
        yield service


def project_of(service: SlowService, count: int) -> Path:
    settings = f"version: 1\nservice: {service.address}\nbucket: {BUCKET}\nregion: {REGION}\nvisibility: 2\n"
    names = ", ".join(f"v{number}" for number in range(count))
    return make_project(service.root.with_name("project"), settings=settings, manifest=MANIFEST.format(names=names))


def pending(project: Path) -> list[Submission]:
    """Return what is begun and not ended, as any later run reads it."""
    return list(Lockfile.load(project / "reconciler.lock", project / ".reconciler" / "journal").pending.values())


def apply(project: Path, count: int) -> Popen[str]:
    return start(project, "apply", "--yes", "--parallelism", str(count))


@contextmanager
def in_flight(service: SlowService, count: int) -> Iterator[tuple[Path, Popen[str]]]:
    """Have an apply wait for jobs that never end; when the service is mute, for the answers to its submissions."""
    project = project_of(service, count)
    mute, service.mute = service.mute, False
    with apply(project, count) as process:
        try:
            wait_for(lambda: service.submissions > 0, 60)  # what a plan asks is answered
            service.mute = mute
            wait_for(lambda: service.submissions == count, 60)
            if not mute:
                wait_for(lambda: all(begun.job for begun in pending(project)), 60)
            yield project, process
        finally:
            process.kill()


def ended(process: Popen[str], number: signal.Signals) -> str:
    """Ask a run to stop, and return what it said once it is gone."""
    process.send_signal(number)
    out, err = process.communicate(timeout=PROMISED)
    assert process.returncode == 128 + number, out + err
    assert "Traceback" not in err
    assert "nothing more is submitted" in err
    assert err.endswith("error: stopped; the next apply goes on from here\n")
    return err


def assert_converges(service: SlowService, project: Path, count: int, *, seconds: float = 120) -> None:
    """The next apply makes all that is left, and everything is one job at the service."""
    service.let()
    status, out, err = run(project, "apply", "--yes", "--parallelism", str(count), seconds=seconds)
    assert status == 0, out + err
    assert f"Taking up {count} submissions of an earlier run." in err
    assert out.endswith(f"Apply: {count} created, 0 replaced, 0 deleted.\n")
    assert jobs(service.root) == {f"out/v{number}.mp4": 1 for number in sorted(map(str, range(count)))}
    assert pending(project) == []


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stopped_while_jobs_run(service: SlowService, number: signal.Signals, count: int) -> None:
    with in_flight(service, count) as (project, process):
        ended(process, number)
    begun = pending(project)
    assert len(begun) == count
    assert all(submission.job for submission in begun)
    assert_converges(service, project, count)


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stopped_while_no_submission_is_answered(service: SlowService, number: signal.Signals, count: int) -> None:
    service.mute = True
    with in_flight(service, count) as (project, process):
        ended(process, number)
    assert len(pending(project)) == count
    assert any(submission.job is None for submission in pending(project))
    assert_converges(service, project, count)


@pytest.mark.slow
def test_stopped_while_submissions_are_lost(service: SlowService) -> None:
    """None of them becomes a job, which is known only when their calls can be under way no longer."""
    service.mute = service.deaf = True
    with in_flight(service, 20) as (project, process):
        ended(process, signal.SIGTERM)
    assert len(pending(project)) == 20
    assert_converges(service, project, 20, seconds=300)


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_asked_twice_it_does_not_wait_for_answers(service: SlowService, count: int) -> None:
    service.mute = True
    with in_flight(service, count) as (project, process):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert any("Once more ends at once." in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PROMISED)
        assert process.returncode == 128 + signal.SIGTERM
    assert len(pending(project)) == count
    assert_converges(service, project, count)
