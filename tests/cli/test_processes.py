"""The real program as a process: killed, interrupted, run twice at once; real renders, jobs counted at the service."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.service import Service
from tests.service.media import Films

BUCKET, REGION = "clips-1250000000", "ap-chongqing"
SETTINGS = "version: 1\nservice: embedded\nbucket: clips-1250000000\nregion: ap-chongqing\nparallelism: 2\n"
MANIFEST = """version: 1
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
OUTPUTS = 5


@pytest.fixture
def project(tmp_path: Path, films: Films) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "reconciler.yaml").write_text(SETTINGS)
    (tmp_path / "manifests" / "a.yaml").write_text(MANIFEST)
    bucket = tmp_path / "buckets" / "clips-1250000000" / "in"
    bucket.mkdir(parents=True)
    for colour in ("red", "blue"):
        shutil.copyfile(films.film(colour, "256x128", seconds=2), bucket / f"{colour}.mp4")
    return tmp_path


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(("RECONCILER_", "TENCENTCLOUD_"))}


def start(project: Path, *words: str) -> subprocess.Popen[str]:
    """Start the program in a process group of its own, as a shell or a CI runner does."""
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", "-C", str(project), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def run(project: Path, *words: str) -> tuple[int, str, str]:
    with start(project, *words) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def jobs(project: Path) -> dict[str, int]:
    """Count the jobs of each object in the service's own list."""

    async def listed() -> list[str]:
        async with (
            Service(project, bucket=BUCKET, region=REGION, work=False) as service,
            Client(Endpoints.of(BUCKET, REGION), transport=httpx.ASGITransport(app=service.app)) as client,
        ):
            return [job.operation.output.object async for job in client.list_jobs() if job.operation]

    return dict(sorted(Counter(asyncio.run(listed())).items()))


def wait_for(happened: Iterator[bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not next(happened):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def rendering(project: Path) -> Iterator[bool]:
    """Whether FFmpeg writes something at the moment."""
    while True:
        yield any((project / "buckets").rglob(".reconciler-*"))


def leftovers(project: Path) -> list[str]:
    return [path.name for path in (project / "buckets").rglob(".*") if path.is_file()]


def assert_converged(project: Path) -> None:
    status, out, err = run(project, "apply", "--yes")
    assert status == 0, out + err
    assert jobs(project) == {f"out/{name}.mp4": 1 for name in ("a", "b", "c", "d", "last")}
    assert leftovers(project) == []
    status, out, _ = run(project, "plan", "--detailed-exitcode")
    assert (status, out) == (0, f"No changes. {OUTPUTS} outputs are up to date.\n")


def kill_after(project: Path, seconds: float) -> None:
    with start(project, "apply", "--yes") as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def test_killed_at_any_moment_everything_is_done_once(project: Path) -> None:
    chance = random.Random(5)
    for _ in range(4):
        kill_after(project, chance.uniform(0.4, 2.5))
    assert_converged(project)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_killed_at_many_moments_everything_is_done_once(project: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        kill_after(project, chance.uniform(0.3, 3.0))
    assert_converged(project)


def test_killed_while_rendering_nothing_half_written_is_under_the_key(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(rendering(project))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run(project, "status", "--json")[0] == 0
    assert_converged(project)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_leaves_a_clean_record(project: Path, number: signal.Signals, status: int) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(rendering(project))
        process.send_signal(number)
        asked = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert time.monotonic() - asked < 10
    assert "nothing more is submitted" in err
    assert "stopped; the next apply goes on from here" in err
    assert "Traceback" not in err
    assert "left running" in out
    status, out, err = run(project, "apply", "--yes")
    assert status == 0
    assert "Taking up" in err
    assert_converged(project)


def test_asked_twice_it_ends_at_once(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(rendering(project))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode in (130, -signal.SIGINT)
    assert_converged(project)


def test_two_at_once_are_kept_apart(project: Path) -> None:
    with start(project, "apply", "--yes") as process:
        wait_for(rendering(project))
        process.send_signal(signal.SIGSTOP)  # so that it is still there when the second one looks
        status, out, err = run(project, "apply", "--yes")
        assert (status, out) == (1, "")
        assert f"another run is at work on this project (apply, process {process.pid})" in err
        assert run(project, "plan")[0] == 0
        assert run(project, "status")[0] == 0
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert_converged(project)


def test_jobs_that_were_left_are_finished_by_the_next_apply(project: Path) -> None:
    status, out, _ = run(project, "apply", "--yes", "--no-wait")
    assert (status, out.splitlines()[-1]) == (0, "Apply: 0 created, 0 replaced, 0 deleted, 4 left running.")
    assert_converged(project)


def test_a_reader_that_goes_away_is_no_traceback(project: Path) -> None:
    command = f"{sys.executable} -m reconciler -C {project} schema | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_the_same_over_a_socket(project: Path) -> None:
    """The service behind ``serve``, the client as a stranger to it."""
    server = start(project, "serve", "--root", str(project), "--port", "0")
    try:
        assert server.stderr is not None
        address = ""
        for line in server.stderr:
            if line.startswith("Serving "):
                address = line.split(" on ")[1].split(";")[0]
                break
        settings = (project / "reconciler.yaml").read_text().replace("embedded", address)
        away = project / "away"
        (away / "manifests").mkdir(parents=True)
        (away / "reconciler.yaml").write_text(settings)
        (away / "manifests" / "a.yaml").write_text(MANIFEST)
        status, out, err = run(away, "apply", "--yes")
        assert status == 0, err
        assert out.splitlines()[-1] == "Apply: 5 created, 0 replaced, 0 deleted."
        assert jobs(project) == {f"out/{name}.mp4": 1 for name in ("a", "b", "c", "d", "last")}
        assert run(away, "plan", "--detailed-exitcode")[0] == 0
        assert not (away / "buckets").exists()
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)


def test_callbacks_are_waited_for_instead_of_polling(project: Path) -> None:
    """Both sides for real. A callback is forgotten by the service only when it was taken."""
    flags = ("--port", "0", "--allow-private-callbacks")
    with start(project, "serve", *flags) as server:
        try:
            assert server.stderr is not None
            address = next(line for line in server.stderr if line.startswith("Serving ")).split(" on ")[1].split(";")[0]
            away = project / "away"
            (away / "manifests").mkdir(parents=True)
            (away / "reconciler.yaml").write_text(SETTINGS.replace("embedded", address))
            (away / "manifests" / "a.yaml").write_text(MANIFEST)
            words = ("--target", 'video["a"]', "--callback-listen", "127.0.0.1:0")
            status, out, err = run(away, "apply", "--yes", *words)
            assert (status, out.splitlines()[-1]) == (0, "Apply: 1 created, 0 replaced, 0 deleted."), err
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=20)
    database = sqlite3.connect(project / ".reconciler" / "service.sqlite")
    assert database.execute("SELECT job, error FROM delivery").fetchall() == []
    database.close()
    assert b"127.0.0.1" not in b"".join(path.read_bytes() for path in away.glob("reconciler.lock"))


def test_secrets_of_the_environment_are_found_nowhere(project: Path) -> None:
    secret = "planted-secret-0123456789"
    variables = {**environment(), "TENCENTCLOUD_SECRET_ID": "AKIDPLANTED", "TENCENTCLOUD_SECRET_KEY": secret}
    said = ""
    for words in (("plan", "--json"), ("apply", "--yes", "--verbose"), ("status",), ("show", "last", "--json")):
        command = [sys.executable, "-m", "reconciler", "-C", str(project), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, check=True, stdin=subprocess.DEVNULL
        )
        said += done.stdout + done.stderr
    written = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert secret not in said
    assert secret.encode() not in written
    assert json.loads(run(project, "status", "--json")[1])["outputs"][0]["state"] == "done"
