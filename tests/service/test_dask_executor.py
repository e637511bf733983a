"""Renders on a Dask cluster of real processes: priorities, files, workers that are killed, a scheduler that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import Job, JobRequest, Operation
from reconciler.errors import ReconcilerError, UsageError
from reconciler.service.dask_executor import Cluster
from reconciler.service.render.failure import INTERNAL, RenderFailed
from reconciler.wire import renamed
from tests.service.cluster import Processes, ancestors, cluster, kill
from tests.service.farming import Farming, encoders, farming, film, job, until
from tests.service.harness import BUCKET, CI, COS, jobs

KEY = "in/film.mp4"
LONG = "in/long.mp4"
ENDED = ("Success", "Failed", "Cancel")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    film(folder / KEY, 2)
    film(folder / LONG, 12)
    return folder


@pytest.fixture
def root(tmp_path: Path, sources: Path) -> Path:
    bucket = tmp_path / "service" / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    for key in (KEY, LONG):
        (bucket / key).parent.mkdir(exist_ok=True)
        (bucket / key).hardlink_to(sources / key)
    return tmp_path / "service"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A cluster of one worker."""
    with cluster(tmp_path_factory.mktemp("single"), 1) as processes:
        yield processes


def there(dask: Cluster, places: int) -> None:
    """Wait until a cluster has some threads."""
    end = time.monotonic() + 60
    while dask.places() != places:
        assert time.monotonic() < end, f"{dask.places()} places instead of {places}"
        time.sleep(0.05)


@asynccontextmanager
async def serving(root: Path, dask: Cluster, at_once: int = 4) -> AsyncIterator[Farming]:
    async with farming(root, dask.executor, concurrency=at_once) as farm:
        yield farm


async def submit(farm: Farming, *operations: Operation) -> list[str]:
    named = [renamed(operation, lambda key: f"{COS}/{key}") for operation in operations]
    body = xml.write(JobRequest(operation=tuple(named)), "Request")
    reply = await farm.caller.http.post(f"{CI}/jobs", content=body)
    assert reply.status_code == 200, reply.text
    return [submitted.job_id or "" for submitted in jobs(reply)]


async def ended(farm: Farming, *ids: str) -> list[Job]:
    """Wait for the end of jobs that take longer than others."""
    async with asyncio.timeout(120):
        while True:
            found = [await farm.caller.job(each) for each in ids]
            if all(each.state in ENDED for each in found):
                return found
            await asyncio.sleep(0.1)


def worker_of(process: int, processes: Processes) -> Popen[bytes]:
    """Return the worker that started a process."""
    by_id = {worker.pid: worker for worker in processes.workers}
    return next(by_id[each] for each in ancestors(process) if each in by_id)


def working_files(processes: Processes) -> list[Path]:
    return [*processes.work.glob("reconciler-renders-*/render-*")]


# --- one worker ------------------------------------------------------------------------------------------------------


def test_a_job_is_rendered_with_all_its_files(single: Processes, root: Path) -> None:
    async def main() -> None:
        with Cluster.connect(single.url) as dask:
            await asyncio.to_thread(there, dask, 1)
            async with serving(root, dask) as farm:
                (found,) = await ended(farm, *await submit(farm, job(KEY, to="out/a.m3u8", container="hls")))
                assert found.state == "Success", found.message
                keys = await farm.caller.keys(prefix="out/")
                assert "out/a.m3u8" in keys
                assert len(keys) > 1
                assert farm.leftovers() == []
                assert not working_files(single)

    asyncio.run(main())


def test_the_highest_level_goes_first(single: Processes) -> None:
    with Cluster.connect(single.url) as dask:
        there(dask, 1)
        order: list[int] = []
        first = dask.executor(0).submit(time.sleep, 1.0)
        futures: list[Future[Any]] = []
        for level in (0, 2, 1, 9, 0):
            future = dask.executor(level).submit(time.sleep, 0.05)
            future.add_done_callback(lambda _, level=level: order.append(level))  # type: ignore[misc]
            futures.append(future)
        for future in [first, *futures]:
            future.result(60)
        assert order == [9, 2, 1, 0, 0]


def test_cancelling_ends_ffmpeg_on_its_machine(single: Processes, root: Path) -> None:
    async def main() -> None:
        with Cluster.connect(single.url) as dask:
            await asyncio.to_thread(there, dask, 1)
            async with serving(root, dask) as farm:
                await submit(farm, job(LONG, preset="slower"))
                await until(lambda: encoders(str(single.work)))
            await until(lambda: not encoders(str(single.work)))
            await until(lambda: not working_files(single))

    asyncio.run(main())


def test_what_a_task_raises_comes_back(single: Processes) -> None:
    def fail() -> None:
        raise RenderFailed("Timeout", "too long")

    with Cluster.connect(single.url) as dask:
        with pytest.raises(RenderFailed, match="too long") as caught:
            dask.executor(0).submit(fail).result(60)
        assert caught.value.code == "Timeout"


def test_nobody_answers() -> None:
    with pytest.raises(ReconcilerError, match="no Dask scheduler answers at dask://127") as caught:
        Cluster.connect("dask://127.0.0.1:9", seconds=0.5)
    assert "dask scheduler" in (caught.value.advice or "")


@pytest.mark.parametrize(
    "url", ["dask://", "dask://host", "tcp://host:1", "dask://host:1/x", "dask://a b:1", "dask://u@h:1"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a cluster"):
        Cluster.connect(url)


# --- three workers ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_workers_job_is_done_by_another_one(tmp_path: Path, root: Path) -> None:
    async def main(processes: Processes) -> None:
        with Cluster.connect(processes.url) as dask:
            await asyncio.to_thread(there, dask, 3)
            async with serving(root, dask) as farm:
                wanted = [job(LONG, to=f"out/{n}.mp4", preset="slow", crf=20 + n) for n in range(5)]
                ids = await submit(farm, *wanted)
                await until(lambda: len(encoders(str(processes.work))) == 3)
                victim = worker_of(encoders(str(processes.work))[0], processes)
                progress = dict.fromkeys(ids, 0)
                await seen(farm, progress)
                kill(victim)
                await until(lambda: dask.places() == 2)
                visible = await watched(farm, progress)
                found = await ended(farm, *ids)
                assert [each.state for each in found] == ["Success"] * 5, [each.message for each in found]
                assert all(most < 100 for most in progress.values())
                assert visible
                assert set(visible) <= {f"out/{n}.mp4" for n in range(5)}
                assert visible == {key: await content(farm, key) for key in visible}
                assert farm.leftovers() == []
        assert not encoders(str(processes.work))

    with cluster(tmp_path, 3) as processes:
        asyncio.run(main(processes))


async def seen(farm: Farming, progress: dict[str, int]) -> None:
    """Wait until some progress has been told."""
    while not any(progress.values()):
        await look(farm, progress)


async def look(farm: Farming, progress: dict[str, int]) -> list[Job]:
    found = [await farm.caller.job(each) for each in progress]
    for each in found:
        if each.state == "Running":
            progress[each.job_id or ""] = max(progress[each.job_id or ""], int(each.progress or 0))
    await asyncio.sleep(0.1)
    return found


async def watched(farm: Farming, progress: dict[str, int]) -> dict[str, bytes]:
    """Look at the jobs and the listing until all jobs have ended; return every result as it was when it appeared."""
    visible: dict[str, bytes] = {}
    while not all(each.state in ENDED for each in await look(farm, progress)):
        for key in await farm.caller.keys():
            if key not in (KEY, LONG, *visible):
                visible[key] = await content(farm, key)
    return visible


async def content(farm: Farming, key: str) -> bytes:
    reply = await farm.caller.http.get(f"{COS}/{key}")
    assert reply.status_code == 200, reply.text
    return reply.content


@pytest.mark.slow
def test_a_job_that_kills_its_workers_fails(tmp_path: Path) -> None:
    def die() -> None:
        import os

        os.kill(os.getpid(), 9)

    with cluster(tmp_path, 4) as processes, Cluster.connect(processes.url) as dask:
        there(dask, 4)
        with pytest.raises(RenderFailed, match="4 workers died while they rendered this") as caught:
            dask.executor(0).submit(die).result(120)
        assert caught.value.code == INTERNAL


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_gets_its_tasks_anew(tmp_path: Path, root: Path) -> None:
    async def main(processes: Processes) -> None:
        with Cluster.connect(processes.url) as dask:
            await asyncio.to_thread(there, dask, 1)
            async with serving(root, dask) as farm:
                ids = await submit(farm, job(LONG, preset="slow"))
                await until(lambda: encoders(str(processes.work)))
                assert processes.scheduler is not None
                kill(processes.scheduler)
                await until(lambda: not encoders(str(processes.work)))
                await until(lambda: dask.places() == 0)
                await asyncio.to_thread(processes.start_scheduler)
                processes.start_worker()
                (found,) = await ended(farm, *ids)
                assert found.state == "Success", found.message

    with cluster(tmp_path, 1) as processes:
        asyncio.run(main(processes))
