"""Every awkward source through the layouts: a right picture or a clear error, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from reconciler.api.messages import Job, Operation
from reconciler.layout import Layouts
from tests.resolving import layouts
from tests.service import corpus
from tests.service.corpus import Corpus, Refused, Shown, Source
from tests.service.harness import BUCKET, COS, REGION, Caller, running
from tests.service.media import BLACK, Colour, Picture, loudness, near, pictures

CANVAS: Final = (320, 240)
FPS: Final = 25
PLAIN: Final = Source(
    "plain",
    "mp4",
    corpus.film(sound="sine=f=1100:r=44100", quadrants=(((90, 140, 170), 1),) * 4, mark=None, seconds=0.4),
    Shown(),
)
"""An ordinary film, with a tone of its own."""

MUTE: Final = Source("mute", "mp4", corpus.mute(quadrants=(((150, 120, 60), 1),) * 4, mark=None, seconds=0.4), Shown())
ORDINARY: Final = {"in/plain.mp4": (PLAIN, (90, 140, 170)), "in/mute.mp4": (MUTE, (150, 120, 60))}
ORDINARY_SECONDS: Final = 0.4

OWN_SIZE: Final = "own-size"
LAYOUTS: Final[dict[str, dict[str, Any]]] = {
    "side-by-side": {"left": "?", "right": "in/plain.mp4"},
    "stacked": {"top": "in/plain.mp4", "bottom": "?"},
    "grid": {"sources": ["in/plain.mp4", "?", "in/mute.mp4"]},
    "picture-in-picture": {"main": "in/plain.mp4", "inset": "?"},
    "presenter": {"main": "?", "others": ["in/plain.mp4", "in/mute.mp4"]},
}
"""The parameters of each layout; the question mark is where the awkward source goes."""

KNOWN: Final = Layouts(layouts())


@dataclass(frozen=True)
class Place:
    """Where the awkward source stands on the canvas, and what is below it."""

    x: int
    y: int
    width: int
    height: int
    below: Colour

    def point(self, across: float, down: float) -> tuple[int, int]:
        return self.x + int(self.width * across), self.y + int(self.height * down)


@dataclass(frozen=True)
class Stage:
    """A running service, its bucket's folder, and the corpus to supply it with."""

    bucket: Path
    corpus: Corpus
    runner: asyncio.Runner
    caller: Caller

    def supply(self, key: str, source: Source) -> None:
        """Put a source into the bucket."""
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.linked:
            path.symlink_to(self.corpus.path(source))
        else:
            os.link(self.corpus.path(source), path)

    def render(self, operations: list[Operation]) -> list[Job]:
        """Submit jobs and wait for their ends."""

        async def all_of_them() -> list[Job]:
            accepted = [await self.caller.submit(operation) for operation in operations]
            return [await self._end_of(job.job_id or "") for (job,) in accepted]

        return self.runner.run(all_of_them())

    def files(self) -> set[Path]:
        """Return everything in the bucket that is no folder."""
        return {path for path in self.bucket.rglob("*") if not path.is_dir()}

    async def _end_of(self, job: str) -> Job:
        async with asyncio.timeout(120):
            while True:
                found = await self.caller.job(job)
                if found.state in ("Success", "Failed", "Cancel"):
                    return found
                await asyncio.sleep(0.02)


def test_the_corpus_is_large_and_goes_through_every_layout() -> None:
    assert len({source.name for source in corpus.SOURCES}) == len(corpus.SOURCES) >= 55
    assert sorted(LAYOUTS) == KNOWN.names()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Corpus:
    """The corpus of this test session, shared by its processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "corpus"
    folder.mkdir(exist_ok=True)
    return Corpus(folder)


def _in_turn() -> list[Any]:
    """One layout for each source, all of them in turn; and the picture's own size where that is the point."""
    names, cases = list(LAYOUTS), []
    for number, source in enumerate(corpus.SOURCES):
        chosen = [names[number % len(names)]]
        if isinstance(source.expected, Shown) and source.expected.size:
            chosen.append(OWN_SIZE)
        cases.append(pytest.param(source, chosen, id=f"{source.name}-{chosen[0]}"))
    return cases


@pytest.fixture(scope="module")
def stage(made: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One service for all sources of this process, as in life; no process survives it."""
    root, others = tmp_path_factory.mktemp("service"), frozenset(_descendants(""))  # of other modules' tests
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        caller = runner.run(stack.enter_async_context(running(root, render=None)))
        stage = Stage(root / "buckets" / BUCKET, made, runner, caller)
        for key, (film, _) in ORDINARY.items():
            stage.supply(key, film)
        yield stage
        runner.run(stack.aclose())
    _nothing_runs("", others)


@pytest.mark.parametrize(("source", "names"), _in_turn())
def test_an_awkward_source_in_one_layout(stage: Stage, source: Source, names: list[str]) -> None:
    _check(stage, source, names)


@pytest.mark.slow
@pytest.mark.parametrize("source", corpus.SOURCES, ids=lambda source: source.name)
def test_an_awkward_source_in_every_layout(stage: Stage, source: Source) -> None:
    _check(stage, source, list(LAYOUTS))


def _check(stage: Stage, source: Source, names: list[str]) -> None:
    """Render a source in layouts and look at everything that came of it."""
    key = source.key or f"in/{source.name}.{source.suffix}"
    before = stage.files()
    stage.supply(key, source)
    ended = stage.render([_operation(source, key, name) for name in names])
    _nothing_runs("ffmpeg")
    results = [stage.bucket / f"out/{name}.mp4" for name in names]
    published = set() if isinstance(source.expected, Refused) else set(results)
    left = stage.files() - before - {stage.bucket / key}
    try:
        for name, job, result in zip(names, ended, results, strict=True):
            if isinstance(source.expected, Refused):
                _is_refused(job, key, source.expected)
            else:
                assert (job.state, job.code) == ("Success", "Success"), f"{name}: {job.code}: {job.message}"
                _is_right(result, name, source)
        assert left == published
    finally:
        for path in (*left, stage.bucket / key):
            path.unlink()


@pytest.mark.parametrize(("seconds", "frames"), [(None, None), (0.48, 12)])
def test_still_pictures_alone_last_as_long_as_was_asked(
    stage: Stage, seconds: float | None, frames: int | None
) -> None:
    still = Source(
        "still-alone", "png", corpus.still(), corpus.STILL, interval={"duration": seconds} if seconds else {}
    )
    stage.supply("in/still.png", still)
    asked = _operation(still, "in/still.png", OWN_SIZE)
    alone = asked.video_synthesis.model_copy(update={"splice_info": asked.video_synthesis.splice_info[:1]})
    (job,) = stage.render([asked.model_copy(update={"video_synthesis": alone})])
    result = stage.bucket / f"out/{OWN_SIZE}.mp4"
    try:
        assert (job.state, job.code) == (("Success", "Success") if frames else ("Failed", "InvalidArgument")), (
            job.message
        )
        assert frames is None or len(pictures(result)) == frames
        assert result.exists() == (frames is not None)
    finally:
        (stage.bucket / "in/still.png").unlink()
        result.unlink(missing_ok=True)


# --- the job ---------------------------------------------------------------------------------------------------------


def _operation(source: Source, key: str, name: str) -> Operation:
    placed = [{**item, "url": f"{COS.replace('http', 'https')}/{quote(item['url'])}"} for item in _items(key, name)]
    video = {"width": CANVAS[0], "height": CANVAS[1], "fps": FPS, "preset": "veryfast", "crf": 10, **source.video}
    transcode: dict[str, Any] = {"container": {"format": "mp4"}, "video": video, "audio": {"codec": "aac"}}
    if source.interval:
        transcode["time_interval"] = source.interval
    return Operation.model_validate(
        {
            "video_synthesis": {"keep_audio_track": True, "splice_info": placed},
            "transcode": transcode,
            "output": {"region": REGION, "bucket": BUCKET, "object": f"out/{name}.mp4"},
        }
    )


def _items(key: str, name: str) -> list[dict[str, Any]]:
    """Return the placed sources of a layout by their keys."""
    if name == OWN_SIZE:
        return [{"url": key, "x": 0, "y": 0}, {"url": "in/plain.mp4", "x": 0, "y": 160, "width": 320, "height": 80}]
    given = {
        word: [key if one == "?" else one for one in value]
        if isinstance(value, list)
        else key
        if value == "?"
        else value
        for word, value in LAYOUTS[name].items()
    }
    canvas = {"width": CANVAS[0], "height": CANVAS[1]}
    return KNOWN.get(name).expand({"canvas": canvas, "vars": {}, "each": {}, **given}, "corpus")


def _place(key: str, name: str, size: tuple[int, int] | None) -> Place:
    items = _items(key, name)
    (item,) = [item for item in items if item["url"] == key]
    below = BLACK
    for other in items[: items.index(item)]:
        if (
            other["x"] <= item["x"] < other["x"] + other["width"]
            and other["y"] <= item["y"] < other["y"] + other["height"]
        ):
            below = ORDINARY[other["url"]][1]
    width, height = size if size and name == OWN_SIZE else (item["width"], item["height"])
    return Place(item["x"], item["y"], width, height, below)


# --- what came of it -------------------------------------------------------------------------------------------------


def _is_refused(job: Job, key: str, expected: Refused) -> None:
    message = job.message or ""
    assert (job.state, job.code) == ("Failed", expected.code), message
    assert key in message
    assert all(word in message for word in expected.words), message


def _rate(source: Source) -> float:
    return float(source.video.get("fps", FPS))


def _frames(source: Source) -> int:
    """Return how many frames a result has: as many as its longest source needs, or the part that was asked for."""
    assert isinstance(source.expected, Shown)
    heard = source.expected.heard[1] if source.expected.heard else 0.0
    picture = source.expected.seconds
    seconds = source.interval.get("duration") or max(picture, heard if heard > picture + 0.1 else 0.0, ORDINARY_SECONDS)
    return math.ceil(round(seconds * _rate(source), 3))


def _is_right(result: Path, name: str, source: Source) -> None:
    assert isinstance(source.expected, Shown)
    expected, frames, shown = source.expected, _frames(source), pictures(result)
    assert {(picture.width, picture.height) for picture in shown} == {CANVAS}
    assert abs(len(shown) - frames) <= expected.slack, f"{len(shown)} frames instead of {frames}"
    place = _place("?", name, expected.size)
    for number in {0, len(shown) // 2, len(shown) - 1}:
        _shows_the_scene(shown[number], place, expected, f"{name}, frame {number}")
    if name == OWN_SIZE:
        _ends_at_its_edges(shown[0], place)
    _is_marked_in_time(shown, place, source, name)
    _sounds_right(result, expected)


def _shows_the_scene(picture: Picture, place: Place, expected: Shown, where: str) -> None:
    for number, (colour, opacity) in enumerate(expected.quadrants):
        x, y = place.point(0.14 + 0.72 * (number % 2), 0.14 + 0.72 * (number // 2))
        wanted = _over(colour, place.below, opacity)
        found = picture.at(x, y)
        assert near(found, wanted, expected.tolerance), f"{where}: {found} at {x},{y} instead of {wanted}"


def _over(colour: Colour, below: Colour, opacity: float) -> Colour:
    red, green, blue = (round(a * opacity + b * (1 - opacity)) for a, b in zip(colour, below, strict=True))
    return red, green, blue


def _ends_at_its_edges(picture: Picture, place: Place) -> None:
    assert near(picture.at(place.x + place.width + 4, place.y), BLACK)
    assert near(picture.at(place.x, place.y + place.height + 4), BLACK)


def _is_marked_in_time(shown: list[Picture], place: Place, source: Source, where: str) -> None:
    """Look for the mark, which is black, one frame before and after the time, and evenly so in every frame."""
    assert isinstance(source.expected, Shown)
    middle = [place.point(0.45, down) for down in (0.40, 0.42, 0.44)]
    first = math.inf if source.expected.mark is None else source.expected.mark * _rate(source)
    for number, picture in enumerate(shown):
        column = [picture.at(x, y) for x, y in middle]
        assert all(near(colour, column[0], 40) for colour in column), f"{where}, frame {number}: torn, {column}"
        marked = near(column[0], BLACK, 40)
        if number < first - 1.5:
            assert not marked, f"{where}, frame {number}: marked too early"
        elif number > first + 1.5:
            assert marked, f"{where}, frame {number}: not marked, {column[0]}"


def _sounds_right(result: Path, expected: Shown) -> None:
    if expected.heard is None:
        assert loudness(result, corpus.TONE, 0, 0.35) < 0.01
        return
    begin, end = expected.heard
    middle = (begin + end) / 2
    assert loudness(result, corpus.TONE, middle - 0.1, 0.2) > 0.05
    if begin > 0.2:
        assert loudness(result, corpus.TONE, 0, begin - 0.1) < 0.01


# --- what is left ----------------------------------------------------------------------------------------------------


def _nothing_runs(name: str, others: frozenset[int] = frozenset()) -> None:
    """Wait until no process but the ``others`` that descends from this one has a name that begins so."""
    attempts = 1000  # the system needs a moment
    while (left := {pid: found for pid, found in _descendants(name).items() if pid not in others}) and attempts:
        attempts -= 1
        time.sleep(0.01)
    assert not left


def _descendants(name: str) -> dict[int, str]:
    """Return the names of the processes below this one that begin so; one that has ended is none."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            before, _, after = status.read_text().rpartition(")")
            state, parent = after.split()[:2]
            parents[int(status.parent.name)] = int(parent)
            if state != "Z":
                names[int(status.parent.name)] = before.partition("(")[2]
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return {pid: names[pid] for pid in mine & names.keys() if pid != os.getpid() and names[pid].startswith(name)}
