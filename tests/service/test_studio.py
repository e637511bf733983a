"""How many renders at once, with what, and that none is left when nobody wants it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.errors import RenderError, UsageError
from reconciler.service.render import RenderFailed
from reconciler.service.rendering import PATIENCE, Bounds, Work
from reconciler.service.studio import (
    LocalDesk,
    Studio,
    bounds,
    render_threads,
    renders_at_once,
    usable_processors,
    workshop,
)
from tests.service import media
from tests.service.media import SAMPLE, job, run
from tests.service.processes import none_left, program, relatives

# --- how much of the machine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("processors", "threads"), [(1, 2), (2, 2), (3, 3), (4, 4), (8, 8), (9, 8), (64, 8)])
def test_threads_of_one_encoder(processors: int, threads: int) -> None:
    assert render_threads(processors) == threads


@pytest.mark.parametrize(
    ("concurrency", "processors", "renders"),
    [(8, 1, 2), (8, 2, 2), (8, 4, 2), (8, 8, 2), (8, 16, 4), (8, 64, 8), (1, 64, 1), (3, 64, 3), (40, 64, 16)],
)
def test_renders_at_once(concurrency: int, processors: int, renders: int) -> None:
    assert renders_at_once(concurrency, processors) == renders


def test_the_machine_is_asked_where_nothing_is_said() -> None:
    count = usable_processors()
    assert 1 <= count <= (os.cpu_count() or 1)
    assert render_threads() == render_threads(count)
    assert renders_at_once(40) == renders_at_once(40, count)


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_bounds_by_default_are_those_of_the_machine() -> None:
    found = bounds({})
    assert (found.seconds, found.patience) == (6 * 3600.0, PATIENCE)
    assert found.memory is not None
    assert found.memory >= 4 << 30
    assert found.memory % (1 << 20) == 0


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"RECONCILER_RENDER_SECONDS": "90"}, (90.0, None)),
        ({"RECONCILER_RENDER_SECONDS": " 0.5 "}, (0.5, None)),
        ({"RECONCILER_RENDER_MEMORY": "2048"}, (None, 2 << 30)),
        ({"RECONCILER_RENDER_SECONDS": "", "RECONCILER_RENDER_MEMORY": " "}, (None, None)),
        ({"RECONCILER_RENDER_SECONDS": "1e3", "RECONCILER_RENDER_MEMORY": "512"}, (1000.0, 512 << 20)),
        ({"RECONCILER_RENDER_SECONDS": "0.001", "RECONCILER_RENDER_MEMORY": "256"}, (0.001, 256 << 20)),
        ({"RECONCILER_RENDER_SECONDS": "1e9", "RECONCILER_RENDER_MEMORY": "1e9"}, (1e9, 10**9 << 20)),
    ],
)
def test_bounds_can_be_said(environ: dict[str, str], wanted: tuple[float | None, int | None]) -> None:
    usual = bounds({})
    seconds, memory = wanted
    assert bounds(environ) == Bounds(seconds or usual.seconds, memory or usual.memory)


@pytest.mark.parametrize(
    ("name", "least", "less"),
    [("RECONCILER_RENDER_SECONDS", "0.001", "0.0009"), ("RECONCILER_RENDER_MEMORY", "256", "255.9")],
)
@pytest.mark.parametrize("text", ["0", "-1", "ten", "inf", "nan", "1h", "less", "1.1e9", "1e308"])
def test_bounds_that_cannot_be(name: str, least: str, less: str, text: str) -> None:
    said = less if text == "less" else text
    with pytest.raises(UsageError) as caught:
        bounds({name: said})
    assert str(caught.value) == f"{name} is {said}, which is no number from {least} to 1e+09"
    assert caught.value.advice == "write one, or leave it out"


def test_a_workshop_needs_an_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="which is not a program"):
        workshop({**os.environ, "RECONCILER_FFMPEG": str(tmp_path / "none")}, [tmp_path])


# --- the desk --------------------------------------------------------------------------------------------------------


def test_a_desk_gives_what_is_there_and_leaves_what_is_made(tmp_path: Path) -> None:
    told: list[float] = []
    desk = LocalDesk({"a": SAMPLE}, tmp_path, told.append)
    with desk.opened() as bench:
        assert (bench.sources, bench.folder) == ({"a": SAMPLE}, tmp_path)
        (tmp_path / "made.mp4").touch()
        desk.tell(0.5)
        desk.deliver(tmp_path, ["made.mp4"])
    assert (told, list(tmp_path.iterdir())) == ([0.5], [tmp_path / "made.mp4"])
    assert not desk.stopped()
    desk.stop()
    assert desk.stopped()


# --- rendering -------------------------------------------------------------------------------------------------------


def small() -> Work:
    return Work(job("a", video={"width": 128, "height": 128}, time_interval={"duration": "0.4"}), "made", threads=2)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    run("-i", str(SAMPLE), "-frames:v", "1", str(path))
    return path


def endless() -> Work:
    """A work that takes minutes: a still picture for hours."""
    return Work(job("a", video={"fps": 60}, time_interval={"duration": 20_000}), "made", threads=2)


def in_studio(play: Callable[[Studio], object], places: int = 1) -> None:
    with ThreadPoolExecutor(places) as executor:
        coroutine = play(Studio(media.workshop(), executor))
        assert asyncio.iscoroutine(coroutine)
        asyncio.run(coroutine)


def test_progress_is_told_on_the_loop_in_order(tmp_path: Path) -> None:
    told: list[float] = []
    threads = set()

    def tell(share: float) -> None:
        told.append(share)
        threads.add(threading.get_ident())

    async def play(studio: Studio) -> None:
        done = await studio(small(), {"a": SAMPLE}, tmp_path, tell)
        assert done.names == ("made.mp4",)

    in_studio(play)
    assert told[0] == 0.0
    assert told == sorted(told)
    assert threads == {threading.get_ident()}


def test_a_failure_of_the_render_is_raised(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no film at all")

    async def play(studio: Studio) -> None:
        with pytest.raises(RenderFailed, match=r"^a ") as caught:
            await studio(small(), {"a": text}, tmp_path, lambda _: None)
        assert caught.value.code == "InvalidSource"

    in_studio(play)


def test_a_cancelled_render_leaves_no_process_and_the_place_is_free(tmp_path: Path, picture: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()

    async def play(studio: Studio) -> None:
        begun = asyncio.Event()
        running = asyncio.create_task(
            studio(endless(), {"a": picture}, first, lambda share: begun.set() if share else None)
        )
        await begun.wait()
        assert relatives(str(first))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert relatives(str(first)) == {}
        await studio(small(), {"a": SAMPLE}, second, lambda _: None)

    in_studio(play)
    assert (second / "made.mp4").exists()


def test_a_render_that_waits_for_a_place_is_given_up_at_once(tmp_path: Path, picture: Path) -> None:
    async def play(studio: Studio) -> None:
        begun = asyncio.Event()
        running = asyncio.create_task(
            studio(endless(), {"a": picture}, tmp_path, lambda share: begun.set() if share else None)
        )
        await begun.wait()
        told: list[float] = []
        waiting = asyncio.create_task(studio(small(), {"a": SAMPLE}, tmp_path / "none", told.append))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (waiting.cancelled(), running.done(), told) == (True, False, [])
        running.cancel()
        await asyncio.wait([running])

    in_studio(play)
    assert none_left(str(tmp_path))


def test_renders_run_beside_one_another(tmp_path: Path) -> None:
    """Two stand-ins for FFmpeg that wait for each other: they end only when both run."""
    folders = [tmp_path / name for name in ("one", "two")]
    meet = "touch here; until [ -e ../one/here ] && [ -e ../two/here ]; do sleep 0.01; done; exit 3"
    stand_in = program(tmp_path / "stand-in", meet)
    environ = {"PATH": os.environ["PATH"], "RECONCILER_FFMPEG": str(stand_in), "RECONCILER_SANDBOX": "none"}
    tools = workshop(environ, [SAMPLE.parent])
    for folder in folders:
        folder.mkdir()

    async def both() -> list[object]:
        with ThreadPoolExecutor(2) as executor:
            studio = Studio(tools, executor)
            renders = (studio(small(), {"a": SAMPLE}, folder, lambda _: None) for folder in folders)
            async with asyncio.timeout(60):
                return list(await asyncio.gather(*renders, return_exceptions=True))

    found = asyncio.run(both())
    tools.prober.close()
    assert [str(each) for each in found] == ["FFmpeg failed with status 3 and said nothing"] * 2
