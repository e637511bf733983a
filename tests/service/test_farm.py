"""Renders by executors of every kind: what comes back is what this machine makes, and nothing is left behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.service import farm as farm_module
from reconciler.service import listing, remote
from reconciler.service.index import NO_ATTRIBUTES
from reconciler.service.remote import AttemptFailed, Delivery, Piece
from reconciler.service.render.failure import INTERNAL, INVALID_SOURCE, RenderFailed
from reconciler.service.rendering import Rendered, Work
from reconciler.service.studio import Studio
from tests.service.farming import Farming, encoders, farming, film, job, until
from tests.service.harness import BUCKET, drop
from tests.service.media import workshop

KEY = "in/film.mp4"
LONG = "in/long.mp4"
ODD = "jobs/a b+c%41 电影?&=.mp4"
OTHER = "other-1250000000"
QUICK = Work(job(KEY), "quick", threads=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    content = film(folder / "buckets" / BUCKET / KEY, 1).read_bytes()
    film(folder / "buckets" / BUCKET / LONG, 20)
    drop(folder, ODD, content)
    drop(folder, ODD, content, OTHER)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "result").mkdir()
    return tmp_path / "result"


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm_module, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(farm_module, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(remote, "BEAT_SECONDS", 0.1)


@contextmanager
def spawned() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def on_a_farm(
    root: Path, executor: Callable[[int], Executor], test: Callable[[Farming], Awaitable[None]], **settings: Any
) -> None:
    async def main() -> None:
        async with farming(root, executor, **settings) as farm:
            await test(farm)
            assert farm.leftovers() == []
            assert not [*(root / ".reconciler" / "uploads").glob("*")]

    asyncio.run(main())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def here(work: Work, folder: Path, sources: dict[str, Path]) -> Rendered:
    """Render on this machine."""
    folder.mkdir()
    with ThreadPoolExecutor(1) as pool:
        return asyncio.run(Studio(workshop(), pool)(work, sources, folder, lambda _: None))


class Direct(Executor):
    """Runs tasks at once in threads, and does something to each before or after it; it counts them."""

    def __init__(
        self,
        after: Callable[[Delivery], Delivery] = lambda delivery: delivery,
        before: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._after, self._before = after, before
        self._pool = ThreadPoolExecutor(1)
        self.tasks = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks += 1
        number = self.tasks

        def task() -> Any:
            self._before(number)
            return self._after(fn(*args, **kwargs))

        return self._pool.submit(task)


# --- any executor ----------------------------------------------------------------------------------------------------


def test_threads_give_the_same_files_as_this_machine(root: Path, folder: Path, tmp_path: Path) -> None:
    async def test(farming: Farming) -> None:
        assert await farming.render(QUICK, folder, KEY) == mine

    mine = here(QUICK, tmp_path / "here", {KEY: root / "buckets" / BUCKET / KEY})
    with ThreadPoolExecutor(1) as pool:
        on_a_farm(root, lambda level: pool, test)
    assert content(folder) == content(tmp_path / "here")


def test_another_process_gives_the_same_files_as_this_one(root: Path, folder: Path, tmp_path: Path) -> None:
    work = Work(job(KEY, container="hls"), "spawned", threads=2)

    async def test(farming: Farming) -> None:
        assert await farming.render(work, folder, KEY) == mine

    mine = here(work, tmp_path / "here", {KEY: root / "buckets" / BUCKET / KEY})
    assert len(mine.names) > 1
    with spawned() as pool:
        on_a_farm(root, lambda level: pool, test)
    assert content(folder) == content(tmp_path / "here")


def test_files_that_were_cut_are_whole_again(
    root: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PIECE", 5_000)

    async def test(farming: Farming) -> None:
        await farming.render(QUICK, folder, KEY)

    here(QUICK, tmp_path / "here", {KEY: root / "buckets" / BUCKET / KEY})
    on_a_farm(root, lambda level: Direct(), test)
    assert content(folder) == content(tmp_path / "here")
    assert len(content(folder)["quick.mp4"]) > 10_000


@pytest.mark.parametrize("bucket", [BUCKET, OTHER])
def test_any_key_of_any_bucket_can_be_a_source(root: Path, folder: Path, bucket: str) -> None:
    async def test(farming: Farming) -> None:
        work = Work(job(ODD), "odd", threads=2)
        assert (await farming.render(work, folder, ODD, bucket=bucket)).names == ("odd.mp4",)

    on_a_farm(root, lambda level: Direct(), test)


def test_a_service_without_credentials_needs_no_signatures(root: Path, folder: Path) -> None:
    async def test(farming: Farming) -> None:
        assert (await farming.render(QUICK, folder, KEY)).names == ("quick.mp4",)

    on_a_farm(root, lambda level: Direct(), test, credentials=None)


def test_jobs_go_to_the_executor_of_their_level(root: Path, folder: Path) -> None:
    levels = []

    def executor(level: int) -> Executor:
        levels.append(level)
        return Direct()

    async def test(farming: Farming) -> None:
        await farming.render(replace(QUICK, level=3), folder, KEY)

    on_a_farm(root, executor, test)
    assert levels == [3]


def test_progress_comes_and_goes_to_who_asked(root: Path, folder: Path) -> None:
    async def test(farming: Farming) -> None:
        await farming.render(Work(job(KEY, preset="placebo"), "slow", threads=1), folder, KEY)
        assert farming.told
        assert all(0 < share < 1 for share in farming.told)

    on_a_farm(root, lambda level: Direct(), test)


@pytest.mark.parametrize("said", [b"nan", b"2", b"-1", b"words", b"", b"\xff"])
def test_progress_that_is_none_is_not_told(root: Path, said: bytes) -> None:
    async def test(farming: Farming) -> None:
        upload = farming.uploads.begin(BUCKET, "x", NO_ATTRIBUTES)
        url = f"/{upload.key}?uploadId={upload.id}&partNumber={remote.PROGRESS_PART}"
        assert (await farming.caller.http.put(f"http://{BUCKET}.cos{url}", content=said)).is_success
        assert farming.farm._progress(upload) is None
        await farming.uploads.end(upload)

    on_a_farm(root, lambda level: Direct(), test)


# --- attempts --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_process_has_its_render_done_by_the_next_one(root: Path, folder: Path) -> None:
    """An executor that breaks for good is replaced by who owns it; the farm asks anew for each attempt."""
    with spawned() as first, spawned() as second:
        pools = [second, first]

        async def test(farming: Farming) -> None:
            work = Work(job(LONG, preset="veryslow"), "twice", threads=2)
            task = asyncio.create_task(farming.render(work, folder, LONG))
            await until(lambda: encoders("twice"))
            (process,) = first._processes
            os.kill(process, signal.SIGKILL)
            await until(lambda: not encoders("twice"))
            await until(lambda: encoders("twice"))
            await stopped(task, "twice")

        on_a_farm(root, lambda level: pools.pop(), test)
        assert pools == []


async def stopped(task: asyncio.Task[Any], name: str) -> None:
    """Stop a render: its FFmpeg ends."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not encoders(name))


def test_attempts_that_come_to_nothing_are_repeated(root: Path, folder: Path) -> None:
    def fail(number: int) -> None:
        if number < farm_module.ATTEMPTS:
            raise [AttemptFailed("out of reach"), BrokenExecutor("broken")][number - 1]

    executor = Direct(before=fail)

    async def test(farming: Farming) -> None:
        assert (await farming.render(QUICK, folder, KEY)).names == ("quick.mp4",)

    on_a_farm(root, lambda level: executor, test)
    assert executor.tasks == farm_module.ATTEMPTS


def tampered(delivery: Delivery, **changes: Any) -> Delivery:
    return replace(delivery, rendered=replace(delivery.rendered, **changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: replace(d, pieces=(Piece(d.pieces[0].name, "0" * 32),)), "what came is not what"),
        (lambda d: replace(d, pieces=(*d.pieces, *d.pieces)), "what came is not what"),
        (lambda d: replace(d, pieces=(Piece("quick-1.mp4", d.pieces[0].md5),)), "other files than it says"),
        (lambda d: tampered(d, names=("quick/../../x",)), "other names than it was told"),
        (lambda d: tampered(d, names=("/etc/quick",)), "other names than it was told"),
        (lambda d: tampered(d, names=("film.mp4",)), "other names than it was told"),
    ],
)
def test_what_a_machine_delivers_is_checked(
    root: Path, folder: Path, change: Callable[[Delivery], Delivery], message: str
) -> None:
    executor = Direct(after=change)

    async def test(farming: Farming) -> None:
        with pytest.raises(RenderFailed, match=message) as caught:
            await farming.render(QUICK, folder, KEY)
        assert caught.value.code == INTERNAL

    on_a_farm(root, lambda level: executor, test)
    assert executor.tasks == farm_module.ATTEMPTS
    assert content(folder) == {}


def test_an_upload_that_somebody_ends_is_begun_anew(root: Path, folder: Path) -> None:
    executor = Direct()

    async def test(farming: Farming) -> None:
        work = Work(job(LONG, preset="veryslow"), "anew", threads=2)
        task = asyncio.create_task(farming.render(work, folder, LONG))
        await until(lambda: encoders("anew"))
        (upload,) = farming.uploads.page(BUCKET, listing.Query(), "").entries
        await farming.uploads.end(upload[1])
        await until(lambda: executor.tasks == 2)
        await until(lambda: encoders("anew"))
        await stopped(task, "anew")

    on_a_farm(root, lambda level: executor, test)


def test_the_fault_of_a_job_is_told_at_once(root: Path, folder: Path) -> None:
    executor = Direct()
    drop(root, "in/rubbish.mp4", b"rubbish")

    async def test(farming: Farming) -> None:
        with pytest.raises(RenderFailed) as caught:
            await farming.render(Work(job("in/rubbish.mp4"), "x", 1), folder, "in/rubbish.mp4")
        assert caught.value.code == INVALID_SOURCE

    on_a_farm(root, lambda level: executor, test)
    assert executor.tasks == 1


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["threads", "process"])
def test_cancelling_ends_ffmpeg_wherever_it_runs(root: Path, folder: Path, kind: str) -> None:
    with ThreadPoolExecutor(1) if kind == "threads" else spawned() as pool:

        async def test(farming: Farming) -> None:
            work = Work(job(LONG, preset="placebo"), f"end-{kind}", threads=1)
            task = asyncio.create_task(farming.render(work, folder, LONG))
            await until(lambda: encoders(f"end-{kind}"))
            await stopped(task, f"end-{kind}")
            assert content(folder) == {}

        on_a_farm(root, lambda level: pool, test)


def test_what_a_dead_owner_has_begun_is_ended(root: Path) -> None:
    async def test(farming: Farming) -> None:
        mine = farming.uploads.begin(BUCKET, "somebody/else", NO_ATTRIBUTES)
        for number in range(3):
            farming.uploads.begin(BUCKET, f".reconciler-render-{number}.partial", NO_ATTRIBUTES)
        await farming.farm.clear()
        assert farming.leftovers() == ["somebody/else"]
        await farming.uploads.end(mine)

    on_a_farm(root, lambda level: Direct(), test)


def test_no_caller_can_use_the_key_of_a_render(root: Path) -> None:
    async def test(farming: Farming) -> None:
        url = f"http://{BUCKET}.cos/.reconciler-render-x.partial"
        assert (await farming.caller.http.post(f"{url}?uploads")).status_code == 400
        assert (await farming.caller.http.put(url, content=b"x")).status_code == 400

    on_a_farm(root, lambda level: Direct(), test)
