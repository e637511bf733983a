"""One render, from sources to finished files, wherever it runs: in a thread of this process, or on another machine.

``perform`` is what an executor is given. What it needs of the world it gets through a ``Desk``: files to read, a folder
to write in, somebody to tell how far it is, and whether anybody still wants the result.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from reconciler.api.media import MediaInfo
from reconciler.api.messages import Operation
from reconciler.service import lettering, process, results
from reconciler.service.ffmpeg import FFmpeg
from reconciler.service.probe import Probe, ProbeError, VideoTrack
from reconciler.service.prober import Prober
from reconciler.service.process import Run, Words
from reconciler.service.render import argv, compose, containers, with_defaults
from reconciler.service.render.composition import Composition
from reconciler.service.render.failure import INTERNAL, INVALID_ARGUMENT, INVALID_SOURCE, TIMEOUT, RenderFailed
from reconciler.service.sandbox import Limits, Sandbox, planted
from reconciler.service.urls import urls_of

PATIENCE: Final = 1800.0
"""Seconds that FFmpeg may go without a new frame: it must not hang for ever."""

RESERVE: Final = 64 << 20
"""Bytes of the disk that no render may take."""

_READING_SECONDS: Final = 30.0
_READING_SPEED: Final = 10 << 20
"""Bytes a second at which a result is read at least: some containers count no frames, so every packet is looked at."""

_LOOK_SECONDS: Final = 0.1
"""How often a render looks whether anybody still wants it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one render may use: ``seconds`` of time, ``memory`` in bytes of address space; None is no bound."""

    seconds: float | None = None
    memory: int | None = None
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Work:
    """One render as a value, which travels: a resolved operation whose urls are keys.

    ``name`` begins the names of the files that are made. ``threads`` belongs to the result: another number gives other
    bytes. ``level`` is the job's priority.
    """

    operation: Operation
    name: str
    threads: int
    bounds: Bounds = Bounds()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was made: the ``names`` of the files in the order in which they may be shown, the playlist last.

    ``engine`` says which FFmpeg made it and how; ``notes`` what was done to sources that a person may not expect.
    """

    media_info: MediaInfo
    names: tuple[str, ...]
    engine: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a render works: the file of each url of its operation, and an empty folder for what it makes."""

    sources: Mapping[str, Path]
    folder: Path


class Desk(Protocol):
    """What a render needs of the world."""

    def opened(self) -> AbstractContextManager[Bench]:
        """Bring the sources here. Raises RenderFailed when one is missing."""

    def tell(self, share: float) -> None:
        """Say how much is done, from 0 to 1."""

    def stopped(self) -> bool:
        """Tell whether nobody wants the result any more."""

    def deliver(self, folder: Path, names: Sequence[str]) -> None:
        """Take the finished files away."""


@dataclass(frozen=True)
class Workshop:
    """The tools of one machine."""

    ffmpeg: FFmpeg
    sandbox: Sandbox
    prober: Prober


def perform(work: Work, desk: Desk, workshop: Workshop) -> Rendered:
    """Render one job. Runs in a thread of an executor.

    Raises RenderFailed; RenderError when FFmpeg cannot be started; CancelledError when nobody wanted it any more, and
    then nothing is left running.
    """
    with desk.opened() as bench:
        try:
            rendered = asyncio.run(_unless_stopped(work, desk, bench, workshop))
        except asyncio.CancelledError:
            raise CancelledError from None
        desk.deliver(bench.folder, rendered.names)
        return rendered


async def _unless_stopped(work: Work, desk: Desk, bench: Bench, workshop: Workshop) -> Rendered:
    rendering = asyncio.create_task(_within_time(work, desk, bench, workshop))
    while not rendering.done():
        if desk.stopped():
            rendering.cancel()
        await asyncio.wait([rendering], timeout=_LOOK_SECONDS)
    return await rendering


async def _within_time(work: Work, desk: Desk, bench: Bench, workshop: Workshop) -> Rendered:
    limit = work.bounds.seconds
    deadline = asyncio.timeout(limit)
    try:
        async with deadline:
            return await _render(work, desk, bench, workshop)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise RenderFailed(TIMEOUT, f"the render was stopped after {limit:g} s, its time limit") from None


async def _render(work: Work, desk: Desk, bench: Bench, workshop: Workshop) -> Rendered:
    operation = with_defaults(work.operation)
    texts = await asyncio.to_thread(_write_texts, operation, bench.folder)
    probes = await _probe_all(bench.sources, urls_of(operation), workshop.prober)
    composition = compose(operation, probes, {number: drawn for number, (_, drawn) in texts.items()})
    desk.tell(0.0)
    run = _run(work, composition, bench, {number: path for number, (path, _) in texts.items()}, workshop)
    await process.run(run, desk.tell)
    path = bench.folder / containers.main_name(composition.transcode, work.name)
    names, info = await asyncio.to_thread(_finished, path, composition, workshop.prober)
    engine = f"ffmpeg {workshop.ffmpeg.version}, {work.threads} threads"
    return Rendered(info, names, engine, composition.notes)


def _write_texts(operation: Operation, folder: Path) -> dict[int, tuple[Path, Probe]]:
    """Draw the text watermarks; return the pictures by the number of the watermark."""
    texts = {}
    for number, mark in enumerate(operation.watermark or ()):
        if mark.type == "Text" and mark.text is not None:
            try:
                drawn = lettering.draw(mark.text)
            except lettering.LetteringError as error:
                raise RenderFailed(INVALID_ARGUMENT, f"watermark[{number}].text: {error}") from None
            path = folder / f"text-{number}.png"
            path.write_bytes(drawn.png)
            texts[number] = path, _text_probe(drawn)
    return texts


async def _probe_all(sources: Mapping[str, Path], urls: Sequence[str], prober: Prober) -> dict[str, Probe]:
    """Probe every file, all at the same time."""
    given_up = Event()

    async def one(url: str) -> Probe:
        try:
            path = sources[url]
            return await asyncio.to_thread(prober.probe, path, timeout=_patience(path), given_up=given_up)
        except ProbeError as error:
            raise RenderFailed(INVALID_SOURCE, f"{url} {error}") from None

    try:
        return dict(zip(urls, await asyncio.gather(*map(one, urls)), strict=True))
    finally:
        given_up.set()  # the threads of those that are still asked cannot be stopped otherwise


def _text_probe(drawn: lettering.Lettering) -> Probe:
    """Say what the picture of a text is: nobody need look at what was just written."""
    track = VideoTrack(
        index=0,
        codec="png",
        width=drawn.width,
        height=drawn.height,
        coded_height=drawn.height,
        sar=Fraction(1),
        rotation=0,
        fps=Fraction(25),
        duration=0.0,
        pix_fmt="rgba",
        rgb=True,
        alpha=True,
        still=True,
    )
    return Probe("png_pipe", "png_pipe", 0.0, track)


def _run(work: Work, composition: Composition, bench: Bench, texts: Mapping[int, Path], workshop: Workshop) -> Run:
    """Return the run of FFmpeg that makes a composition."""
    inputs, names = [], []
    for file in composition.files:
        inputs.append((bench.sources[file.url] if file.lettering is None else texts[file.lettering]).resolve())
        names.append(file.url or f"the text of watermark[{file.lettering}]")
    command = argv(composition, ffmpeg=workshop.ffmpeg.path, inputs=inputs, name=work.name, threads=work.threads)
    room = max(0, shutil.disk_usage(bench.folder).free - RESERVE)
    confined = workshop.sandbox.command(
        command, reads=inputs, writes=bench.folder, limits=Limits(memory=work.bounds.memory, file_size=room)
    )
    paths = dict(zip(inputs, names, strict=True)) | {bench.folder: "the output", Path(command[0]): "FFmpeg"}
    words = Words(names, paths)
    environment = workshop.ffmpeg.environment
    return Run(confined, bench.folder, environment, composition.frames, work.bounds.patience, words)


def _patience(path: Path, size: int | None = None) -> float:
    """Return how many seconds looking at a file may take: some formats have to be read through."""
    try:
        size = path.stat().st_size if size is None else size
    except OSError:  # the prober will say it better
        size = 0
    return _READING_SECONDS + size / _READING_SPEED


def _finished(path: Path, composition: Composition, prober: Prober) -> tuple[tuple[str, ...], MediaInfo]:
    """Check the files against the plan, by their headers; return their names and what they are."""
    names = (*results.segments_of(path), path.name)
    if planted(path.parent):  # an FFmpeg that somebody has taken over would leave links to what it may not read
        raise RenderFailed(INTERNAL, "FFmpeg left something else than files")
    size = sum((path.parent / name).stat().st_size for name in names)
    try:
        info = prober.media_info(path, timeout=_patience(path, size))
    except ProbeError as error:
        raise RenderFailed(INTERNAL, f"the rendered file {error}") from None
    video = info.stream.video if info.stream else None
    frames = (video[0].num_frames or 0) if video else 0
    if frames != composition.frames:
        raise RenderFailed(INTERNAL, f"the rendered file has {frames} frames instead of {composition.frames}")
    return names, info
