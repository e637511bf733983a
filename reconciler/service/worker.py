"""What runs the jobs: claim, render, publish, finish. How a picture is made is ``ffmpeg``'s business.

One worker at a time owns a service's folder; ``Service`` sees to that. A claimed job stays in the queue until it is
finished, so whatever ends this process, the next worker finds it (``Queue.rescue``).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from reconciler.api import xml
from reconciler.api.media import Md5Info, MediaInfo, MediaResult, OutputFile
from reconciler.api.messages import Operation
from reconciler.errors import RenderError
from reconciler.service import address
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.database import until_written
from reconciler.service.queue import Queue, StoredJob
from reconciler.service.refused import RefusedError
from reconciler.service.render import RenderFailed
from reconciler.service.resolution import object_key, stored_request

log = logging.getLogger(__name__)

RENDER_THREADS: Final = 2
"""Threads of one encoder. Another number gives other bytes, so it depends neither on the machine nor on its load."""

POLL_SECONDS: Final = 1.0
"""How often to look for jobs that another process submitted; our own submissions wake the worker at once."""

PROGRESS_SECONDS: Final = 0.2
"""How often at most the progress of a job is written down."""

_END: Final = "the end of a job"


class Rendered(Protocol):
    """What a renderer tells of a finished file."""

    @property
    def media_info(self) -> MediaInfo:
        """Media information of the file."""


Renderer = Callable[[Operation, Mapping[str, Path], Path, Callable[[float], None]], Awaitable[Rendered]]
"""Renders an operation into a file that is there and empty: the operation, the file of each of its urls, the target,
and whom to tell the share that is done. Raises RenderFailed; being cancelled leaves nothing running."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished job's two results, as XML."""

    media_info: str
    media_result: str


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
    """Runs up to ``concurrency`` jobs at once until it is cancelled, which gives the running ones back."""

    def __init__(self, queue: Queue, buckets: Buckets, region: str, render: Renderer, *, concurrency: int) -> None:
        self._queue = queue
        self._buckets = buckets
        self._region = region
        self._render = render
        self._concurrency = concurrency
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
                while len(self._running) < self._concurrency and (job := self._claim()):
                    task = group.create_task(self._work(job), name=job.id)
                    self._running[task] = job.id
                    task.add_done_callback(self._ended)
                await self._pause()

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
            code, message = "InternalError", _reason(error)
        except Exception as error:
            log.exception("job %s", job.id)
            code, message = "InternalError", f"{type(error).__name__}: {error}"
        else:
            await until_written(
                lambda: self._queue.succeed(job.id, media_info=made.media_info, media_result=made.media_result), _END
            )
            return
        await until_written(lambda: self._queue.fail(job.id, code, message), _END)

    async def _make(self, job: StoredJob) -> _Made:
        """Render a job and publish the result under its key."""
        operation = stored_request(job).operation[0]
        key = object_key(operation, job.id)
        target = self._target(operation)
        operation = self._by_key(operation, job.bucket)
        sources = self._sources(operation, job.bucket)
        with target.partial(key, job.id) as path:
            rendered = await self._render(operation, sources, path, _Progress(self._queue, job.id))
            info = await target.publish(key, path, content_type="video/mp4")
        output = OutputFile(
            bucket=target.name,
            region=self._region,
            object_name=(key,),
            object_prefix="",
            md5_info=(Md5Info(object_name=key, md5=info.etag),),
        )
        return _Made(
            xml.write(rendered.media_info, "MediaInfo").decode(),
            xml.write(MediaResult(output_file=output), "MediaResult").decode(),
        )

    def _target(self, operation: Operation) -> Bucket:
        bucket = self._buckets.get(operation.output.bucket or "")
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{operation.output.bucket}` here any more")
        return bucket

    def _by_key(self, operation: Operation, bucket: str) -> Operation:
        """Return the operation with its sources named by key, as messages should. Raises RefusedError."""
        synthesis = operation.video_synthesis
        named = tuple(
            info.model_copy(update={"url": source_key(info.url, bucket, self._region)})
            for info in synthesis.splice_info
        )
        return operation.model_copy(update={"video_synthesis": synthesis.model_copy(update={"splice_info": named})})

    def _sources(self, operation: Operation, name: str) -> dict[str, Path]:
        """Return the file of every source by key. Raises RefusedError for one that is missing."""
        bucket = self._buckets.get(name)
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{name}` here any more")
        return {info.url: bucket.path(info.url) for info in operation.video_synthesis.splice_info}


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
        return f"the result could not be stored: {error.strerror or error}"
    if isinstance(error, sqlite3.OperationalError):
        return f"the result could not be noted down: {error}"
    return f"{error.message}; {error.advice}" if error.advice else error.message
