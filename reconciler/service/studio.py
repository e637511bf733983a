"""Renders on this machine: a pool of threads, each of which starts one FFmpeg and waits for it.

What one render does is the business of ``rendering``; which jobs are rendered that of ``worker``.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from reconciler.errors import UsageError
from reconciler.service.ffmpeg import locate
from reconciler.service.prober import Prober
from reconciler.service.rendering import Bench, Bounds, Rendered, Work, Workshop, perform
from reconciler.service.sandbox import Sandbox

MOST_THREADS: Final = 8
"""Threads of one encoder at most: x264 gains little from more on a picture of this size, and loses compression."""

FEWEST_THREADS: Final = 2

DEFAULT_SECONDS: Final = 6 * 3600.0
"""Seconds that a render may take unless RECONCILER_RENDER_SECONDS says otherwise."""

_SMALLEST_MEMORY: Final = 256
"""MiB; with less FFmpeg does not even start as it should."""

_LEAST_MEMORY: Final = 4 << 30
"""Bytes of address space that every render may take: threads reserve much of it, and use little."""


class Renderer(Protocol):
    """Renders a work into files in an empty folder.

    ``sources`` maps each url of the work's operation to its file; ``on_progress`` is told the share that is done.
    Raises RenderFailed, RenderError; being cancelled leaves nothing running.
    """

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        """Render."""


@dataclass
class LocalDesk:
    """A desk in the process of the service: files are where they are, and the result is where it belongs."""

    sources: Mapping[str, Path]
    folder: Path
    on_progress: Callable[[float], None]
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def opened(self) -> Iterator[Bench]:
        """Give what is there."""
        yield Bench(self.sources, self.folder)

    def tell(self, share: float) -> None:
        """Say how much is done."""
        self.on_progress(share)

    def stop(self) -> None:
        """Want the result no more."""
        self._stop.set()

    def stopped(self) -> bool:
        """Tell whether nobody wants the result any more."""
        return self._stop.is_set()

    def deliver(self, folder: Path, names: Sequence[str]) -> None:
        """Leave the files where they are: that is where they were to come."""


class Studio:
    """Renders with the tools of this machine, on an executor in this process."""

    def __init__(self, workshop: Workshop, executor: Executor) -> None:
        self._workshop = workshop
        self._executor = executor

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        """Render; see ``Renderer``."""
        loop = asyncio.get_running_loop()
        desk = LocalDesk(sources, folder, lambda share: _tell(loop, on_progress, share))
        future = self._executor.submit(perform, work, desk, self._workshop)
        running = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            desk.stop()
            future.cancel()
            with suppress(asyncio.CancelledError, CancelledError, Exception):
                await running  # FFmpeg has ended when this returns
            raise


def workshop(environ: Mapping[str, str], reads: Sequence[Path]) -> Workshop:
    """Return the tools of this machine; sources lie below the folders ``reads``. Raises RenderError."""
    sandbox = Sandbox.detect(environ)
    return Workshop(locate(environ), sandbox, Prober(reads, sandbox))


def render_threads(processors: int | None = None) -> int:
    """Return the threads of one encoder on a machine: as many as it has processors, within bounds.

    It must depend on nothing that changes from one job to the next: another number gives other bytes.
    """
    return min(max(FEWEST_THREADS, processors or usable_processors()), MOST_THREADS)


def renders_at_once(concurrency: int, processors: int | None = None) -> int:
    """Return how many of ``concurrency`` jobs are best rendered at once.

    Two for each share of the processors that one encoder uses: while one opens its files or waits for the disk, the
    other one has them all.
    """
    count = processors or usable_processors()
    return min(concurrency, max(2, 2 * count // render_threads(count)))


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bounds(environ: Mapping[str, str]) -> Bounds:
    """Return what one render may use.

    RECONCILER_RENDER_SECONDS is the time, RECONCILER_RENDER_MEMORY the address space in MiB; by default six hours, and
    as much as the machine has memory. Raises UsageError.
    """
    seconds = _number(environ, "RECONCILER_RENDER_SECONDS", DEFAULT_SECONDS, (0.001, 1e9))
    default = max(_physical_memory(), _LEAST_MEMORY) / (1 << 20)
    memory = _number(environ, "RECONCILER_RENDER_MEMORY", default, (_SMALLEST_MEMORY, 1e9))
    return Bounds(seconds=seconds, memory=int(memory) << 20)


def _number(environ: Mapping[str, str], name: str, default: float, allowed: tuple[float, float]) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    low, high = allowed
    if not low <= value <= high:
        message = f"{name} is {text}, which is no number from {low:g} to {high:g}"
        raise UsageError(message, advice="write one, or leave it out")
    return value


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _tell(loop: asyncio.AbstractEventLoop, on_progress: Callable[[float], None], share: float) -> None:
    with suppress(RuntimeError):  # the loop has been closed: nobody listens any more
        loop.call_soon_threadsafe(on_progress, share)
