"""What runs the jobs: claim, render, publish, finish. How a picture is made is ``rendering``'s business.

One worker at a time owns a service's folder; ``Service`` sees to that. A claimed job stays in the queue until it is
finished, so whatever ends this process, the next worker finds it (``Queue.rescue``).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit
from weakref import WeakValueDictionary

from reconciler.api import xml
from reconciler.api.media import Md5Info, MediaResult, OutputFile
from reconciler.api.messages import Operation
from reconciler.errors import RenderError
from reconciler.service import address
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.database import until_written
from reconciler.service.publication import MARK, identity_of, publish
from reconciler.service.queue import Made, Queue, StoredJob
from reconciler.service.refused import RefusedError
from reconciler.service.render import RenderFailed
from reconciler.service.render.failure import DISK, INTERNAL
from reconciler.service.rendering import Bounds, Rendered, Work
from reconciler.service.resolution import object_key, stored_request
from reconciler.service.shared import InFlight, Make
from reconciler.service.studio import Renderer
from reconciler.service.urls import urls_of
from reconciler.wire import renamed

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""How often to look for jobs that another process submitted; our own submissions wake the worker at once."""

PROGRESS_SECONDS: Final = 0.2
"""How often at most the progress of a job is written down."""

_MOST_WAITING: Final = 64
"""Jobs at most that wait for another one's render without taking a place."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_END: Final = "the end of a job"


@dataclass(frozen=True, slots=True)
class How:
    """How every job is rendered: the threads of one encoder, and what one render may use."""

    threads: int
    bounds: Bounds


class _Output(NamedTuple):
    """A render that has ended: where its files are until they are taken, and what is told of it."""

    folder: Path
    rendered: Rendered


class _Goal(NamedTuple):
    """Where a job's result is to be, and for which job."""

    bucket: Bucket
    key: str
    job: str


@dataclass(slots=True)
class _Progress:
    """Writes a job's progress down, in whole percent and not too often."""

    queue: Queue
    job: str
    percent: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def __call__(self, share: float) -> None:
        percent = min(99, int(share * 100))  # 100 is Success: the object is in its place
        now = time.monotonic()
        if percent <= self.percent or now - self.written_at < PROGRESS_SECONDS:
            return
        self.percent, self.written_at = percent, now
        try:
            self.queue.progress(self.job, percent)
        except sqlite3.Error as error:
            log.warning("the progress of %s is not written down: %s", self.job, error)


class Worker:
    """Runs as many jobs at once as there are ``places`` until it is cancelled, which gives the running ones back."""

    def __init__(
        self, queue: Queue, buckets: Buckets, region: str, render: Renderer, *, places: Callable[[], int], how: How
    ) -> None:
        self._queue = queue
        self._buckets = buckets
        self._region = region
        self._render = render
        self._places = places
        self._how = how
        self._in_flight: InFlight[_Output] = InFlight()
        self._publishing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._waiting = 0  # jobs whose result is being made for another one: they take no place
        self._running: dict[asyncio.Task[None], str] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look for jobs now."""
        self._awake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._awake.clear()
                while self._has_place() and (job := self._claim()):
                    task = group.create_task(self._work(job), name=job.id)
                    self._running[task] = job.id
                    task.add_done_callback(self._ended)
                await self._pause()

    def _has_place(self) -> bool:
        return len(self._running) < self._places() + min(self._waiting, _MOST_WAITING)

    def _claim(self) -> StoredJob | None:
        try:
            return self._queue.claim()
        except sqlite3.Error as error:
            log.warning("no job can be claimed at the moment: %s", error)
            return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Free a place; a job that was stopped, or not even begun, goes back to those that wait."""
        job = self._running.pop(task)
        if task.cancelled():
            try:
                self._queue.release(job)
            except sqlite3.Error as error:
                log.warning("%s stays Running until the next worker rescues it: %s", job, error)
        self.wake()

    async def _pause(self) -> None:
        """Wait for a submission or a free place; for another process's submission not longer than a poll."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._awake.wait()
        except TimeoutError:
            return

    async def _work(self, job: StoredJob) -> None:
        """Bring one job to its end."""
        try:
            made = await self._make(job)
        except (RenderFailed, RefusedError) as error:
            code, message = error.code, str(error) if isinstance(error, RenderFailed) else error.message
        except (RenderError, OSError, sqlite3.OperationalError) as error:
            full = isinstance(error, OSError) and error.errno in _FULL
            code, message = DISK if full else INTERNAL, _reason(error)
        except Exception as error:
            log.exception("job %s", job.id)
            code, message = INTERNAL, f"{type(error).__name__}: {error}"
        else:
            await until_written(lambda: self._queue.succeed(job.id, made), _END)
            return
        await until_written(lambda: self._queue.fail(job.id, code, message), _END)

    async def _make(self, job: StoredJob) -> Made:
        """Render a job, unless an identical one is being rendered, and publish the result under its key."""
        operation = stored_request(job).operation[0]
        key = object_key(operation, job.id)
        target = self._target(operation)
        operation = renamed(operation, lambda url: source_key(url, job.bucket, self._region))
        sources = self._sources(operation, job.bucket)
        identity = identity_of(operation, sources)
        work = Work(operation, identity[:MARK], self._how.threads, self._how.bounds, job.priority)

        @asynccontextmanager
        async def make(tell: Callable[[float], None]) -> AsyncIterator[_Output]:
            with target.partial_folder(key, job.id) as folder:
                yield _Output(folder, await self._render(work, sources, folder, tell))

        progress, goal = _Progress(self._queue, job.id), _Goal(target, key, job.id)
        with self._placed(identity) as waits:
            try:
                rendered, digests = await self._published(identity, make, progress, goal)
            except (RefusedError, OSError):
                if not waits:
                    raise  # else it may be the fault of the other job's key
                rendered, digests = await self._published(job.id, make, progress, goal)
        result = MediaResult(
            output_file=OutputFile(
                bucket=target.name,
                region=self._region,
                object_name=tuple(digests),
                object_prefix="",
                md5_info=tuple(Md5Info(object_name=name, md5=md5) for name, md5 in digests.items()),
            )
        )
        return Made(
            xml.write(rendered.media_info, "MediaInfo").decode(),
            xml.write(result, "MediaResult").decode(),
            rendered.engine,
            "; ".join(rendered.notes) or None,
        )

    async def _published(
        self, identity: str, make: Make[_Output], progress: _Progress, goal: _Goal
    ) -> tuple[Rendered, dict[str, str]]:
        """Publish what is made, or being made already; return the MD5s of its objects, the main one first."""
        bucket, key, job = goal
        async with self._in_flight.use(identity, make, progress) as (output, alone):
            lock = self._publishing.setdefault((bucket.name, key), asyncio.Lock())
            async with lock:  # two results of several files for one key must not be mixed
                names = output.rendered.names
                return output.rendered, await publish(bucket, key, output.folder, names, token=job, move=alone)

    @contextmanager
    def _placed(self, identity: str) -> Iterator[bool]:
        """Give our place away while another job's render makes our result; tell whether one does."""
        waits = self._in_flight.holds(identity)
        self._waiting += waits
        if waits:
            self.wake()
        try:
            yield waits
        finally:
            self._waiting -= waits

    def _target(self, operation: Operation) -> Bucket:
        bucket = self._buckets.get(operation.output.bucket or "")
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{operation.output.bucket}` here any more")
        return bucket

    def _sources(self, operation: Operation, name: str) -> dict[str, Path]:
        """Return the file of every source by key. Raises RefusedError for one that is missing."""
        bucket = self._buckets.get(name)
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{name}` here any more")
        return {url: bucket.path(url) for url in urls_of(operation)}


def source_key(url: str, bucket: str, region: str) -> str:
    """Return the key that a source's URL means in its job's bucket.

    Raises RefusedError: InvalidArgument when it is no URL, AccessDenied when it leads out of the bucket.
    """
    try:
        parts = urlsplit(url)
        key = unquote_to_bytes(parts.path.removeprefix("/")).decode()
    except ValueError:
        raise RefusedError("InvalidArgument", f"`{url}` is not the URL of an object") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or not key:
        raise RefusedError("InvalidArgument", f"`{url}` is not the URL of an object")
    where = address.parse(parts.netloc)
    if (where.bucket, where.half, where.region) != (bucket, "cos", region):
        raise RefusedError("AccessDenied", f"`{url}` is not in the job's bucket, `{bucket}` in `{region}`")
    return key


def _reason(error: RenderError | OSError | sqlite3.OperationalError) -> str:
    if isinstance(error, OSError):
        advice = "; see that the service may write there" if error.errno in _FORBIDDEN else ""
        return f"the result could not be stored: {error.strerror or error}{advice}"
    if isinstance(error, sqlite3.OperationalError):
        return f"the result could not be noted down: {error}"
    return f"{error.message}; {error.advice}" if error.advice else error.message
