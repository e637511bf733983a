"""The embedded service: Tencent Cloud's job and object calls on a folder of this machine, rendering with FFmpeg.

``Service`` owns the folder, the queue and the worker; ``Service.app`` is the ASGI application that speaks the API.
Who listens, and on which address, is the business of whoever serves it.

A plan only lists objects: what renders, delivers or takes jobs is imported when it is first needed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from reconciler.api.signing import Credentials
from reconciler.errors import GuardError
from reconciler.service.app import App
from reconciler.service.bucket import Buckets
from reconciler.service.carriers import Carriers, Ways
from reconciler.service.database import Database
from reconciler.service.gate import Calls, late, reading_only
from reconciler.service.index import ObjectIndex
from reconciler.service.objects import ObjectCalls
from reconciler.service.queue import Queue
from reconciler.service.uploads import Uploads

if TYPE_CHECKING:
    from reconciler.service.deliveries import Outbox
    from reconciler.service.farm import Crew, Farm
    from reconciler.service.studio import Renderer, Studio

__all__ = ["Service"]

log = logging.getLogger(__name__)

_FOLDER: Final = ".reconciler"
_DATABASE: Final = "service.sqlite"
_GUARD: Final = "worker.guard"
_UPLOADS: Final = "uploads"
_HOLDER: Final = "worker.json"
_MESSAGES: Final = "mq"
_MEDIA: Final = ("jobs", "queue", "template", "mediabucket")
_PUBLIC: Final = Ways()


class Service:
    """The service on one folder; enter it with ``async with``, then call ``app``.

    ``root`` holds ``buckets/<bucket>/…`` – plain files, every folder a bucket – and ``.reconciler``, where the
    database is. ``bucket`` is the one that calls without a bucket in their host name mean, and is made.

    With ``work`` it renders, up to ``concurrency`` jobs at once (0: what waits goes on waiting), and owns the folder: a
    second one is refused with GuardError. When it is left, running jobs are stopped and wait for the next one. Without
    ``work`` it stands beside whoever works: it reads everything, takes and cancels jobs once there is a database,
    writes no objects, and makes nothing where nothing is. With ``credentials`` every call must be signed with them.
    ``ways`` settles where callbacks may go. With a ``crew`` other machines render; ``render`` is whoever else does, and
    then takes ``concurrency`` jobs.
    """

    def __init__(  # noqa: PLR0913 - settings of the composition root, all but three with a default
        self,
        root: Path,
        *,
        bucket: str,
        region: str,
        concurrency: int = 4,
        work: bool = True,
        credentials: Credentials | None = None,
        ways: Ways = _PUBLIC,
        environ: Mapping[str, str] = os.environ,
        render: Renderer | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.root = root
        self._bucket = bucket
        self._region = region
        self._concurrency = concurrency
        self._work = work
        self._credentials = credentials
        self._ways = ways
        self._environ = environ
        self._render = render
        self._crew = crew
        self._stack = AsyncExitStack()
        self._app: App | None = None
        self._lacking: Callable[[], Collection[str]] = tuple

    @property
    def app(self) -> App:
        """The ASGI application, while the service is entered."""
        assert self._app is not None, "enter the service first: async with Service(…) as service"
        return self._app

    async def __aenter__(self) -> Self:
        """Open the folder and, with ``work``, start rendering what waits there.

        Raises GuardError, RenderError when there is no FFmpeg, ReconcilerError when the database cannot be used.
        """
        async with self._stack as stack:
            if self._work:
                await self._own(stack)
            else:
                self._stand_beside(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._app = None
        await self._stack.aclose()

    @property
    def _folder(self) -> Path:
        return self.root / _FOLDER

    async def _own(self, stack: AsyncExitStack) -> None:
        """Take the folder, clear up after a dead owner, start the worker and the deliveries."""
        from reconciler.service.deliveries import Outbox
        from reconciler.service.ffmpeg import locate
        from reconciler.service.studio import bounds, render_threads
        from reconciler.service.worker import How, Worker

        how = How(render_threads(), bounds(self._environ))
        if self._render is None and self._crew is None:
            locate(self._environ)  # without FFmpeg nothing is begun, and nothing made
        self._folder.mkdir(parents=True, exist_ok=True)
        _take_guard(self._folder, stack)
        (self.root / "buckets" / self._bucket).mkdir(parents=True, exist_ok=True)
        render = self._render or (None if self._crew else self._studio(stack))
        database = Database.create(self._folder / _DATABASE)
        stack.callback(database.close)
        outbox = Outbox(database)
        queue, buckets = Queue(database, ended=outbox.add), self._buckets(ObjectIndex(database))
        uploads = self._uploads(database)
        buckets.remove_partials()
        uploads.clean()
        waiting, given_up = queue.rescue()
        if waiting or given_up:
            log.info("rescued after the last worker died: %s; given up: %s", waiting, given_up)
        self._deliver(outbox, stack)
        if render is None:
            render = await self._farm(uploads, buckets)
        worker = Worker(queue, buckets, self._region, render, places=self._places, how=how)
        task = asyncio.create_task(worker.run(), name="worker")
        task.add_done_callback(self._worker_ended)
        stack.push_async_callback(_stop, task)
        self._serve(database, queue, buckets, uploads, wake=worker.wake, takes_jobs=True)

    def _studio(self, stack: AsyncExitStack) -> Studio:
        """Set up what renders on this machine. Raises RenderError when there is no FFmpeg."""
        from reconciler.service.studio import Studio, renders_at_once, workshop

        folder = self.root / "buckets"
        tools = workshop(self._environ, [folder, *(bucket.resolve() for bucket in folder.iterdir())])
        stack.callback(tools.prober.close)
        executor = ThreadPoolExecutor(max(renders_at_once(self._concurrency), 1), thread_name_prefix="render")
        stack.callback(executor.shutdown, cancel_futures=True)
        self._lacking = lambda: tools.ffmpeg.lacking
        return Studio(tools, executor)

    async def _farm(self, uploads: Uploads, buckets: Buckets) -> Farm:
        """Set up what renders on other machines."""
        from reconciler.service.farm import Farm

        assert self._crew is not None
        farm = Farm(
            self._crew,
            uploads=uploads,
            buckets=buckets,
            region=self._region,
            credentials=self._credentials,
        )
        await farm.clear()
        return farm

    def _places(self) -> int:
        """Return how many jobs are rendered at once."""
        from reconciler.service.studio import renders_at_once

        if self._render is not None:
            return self._concurrency
        return self._crew.places() if self._crew else renders_at_once(self._concurrency)

    def _deliver(self, outbox: Outbox, stack: AsyncExitStack) -> None:
        """Deliver callbacks until the stack is closed; those that are due then are given a little time."""
        from reconciler.service.deliveries import Deliveries

        carriers = Carriers(self._folder / _MESSAGES, self._ways)
        stack.push_async_callback(carriers.aclose)
        deliveries = Deliveries(outbox, carriers)
        task = asyncio.create_task(deliveries.run(), name="deliveries")
        task.add_done_callback(_deliveries_ended)
        stack.push_async_callback(_stop, task)
        stack.push_async_callback(deliveries.finish)

    def _stand_beside(self, stack: AsyncExitStack) -> None:
        """Open what is there, and make nothing."""
        database = Database.existing(self._folder / _DATABASE, owning=self._owned_for_a_moment)
        takes_jobs = database is not None and database.writable
        memory = Database.in_memory()
        stack.callback(memory.close)
        if database is not None:
            stack.callback(database.close)
        index = ObjectIndex(database if database is not None and database.writable else memory)
        self._serve(
            database or memory,
            Queue(database or memory),
            self._buckets(index),
            self._uploads(database or memory),
            wake=lambda: None,
            takes_jobs=takes_jobs,
        )

    @contextmanager
    def _owned_for_a_moment(self) -> Iterator[None]:
        """Keep everybody from working in the folder while its database is upgraded. Raises GuardError."""
        with ExitStack() as stack:
            try:
                _take_guard(self._folder, stack)
            except GuardError as error:
                raise GuardError(
                    f"{error.message}, with an older version of this program",
                    advice="end it, or let it finish, and start it again: its database must be upgraded first",
                ) from None
            yield

    def _worker_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and self._app is not None:
            log.critical("the worker died; nothing is rendered any more", exc_info=error)
            self._app.fail("the worker died, so nothing is rendered any more; start the service again")

    def _serve(
        self,
        database: Database,
        queue: Queue,
        buckets: Buckets,
        uploads: Uploads,
        *,
        wake: Callable[[], None],
        takes_jobs: bool,
    ) -> None:
        calls = late(_MEDIA, lambda: self._media(database, queue, buckets, wake))
        media = calls if takes_jobs else {name: reading_only(each) for name, each in calls.items()}
        objects = ObjectCalls(self._region, buckets, uploads, writable=self._work)
        self._app = App(buckets, self._region, media=media, objects=objects, credentials=self._credentials)

    def _media(self, database: Database, queue: Queue, buckets: Buckets, wake: Callable[[], None]) -> dict[str, Calls]:
        """Return the calls of the job half by the first segment of their path."""
        from reconciler.service.admission import Admission
        from reconciler.service.gate import bound
        from reconciler.service.jobs import JobCalls
        from reconciler.service.media_buckets import MediaBucketCalls
        from reconciler.service.queue_store import QueueStore
        from reconciler.service.queues import QueueCalls
        from reconciler.service.template_store import TemplateStore
        from reconciler.service.templates import TemplateCalls

        queues, templates = QueueStore(database), TemplateStore(database)
        jobs = JobCalls(queue, Admission(queues, templates, buckets, self._region, lacking=self._lacking), wake=wake)
        return {
            "jobs": bound(jobs, queues),
            "queue": bound(QueueCalls(queues, concurrency=self._concurrency, wake=wake), queues),
            "template": bound(TemplateCalls(templates), queues),
            "mediabucket": MediaBucketCalls(queues, buckets, self._region),
        }

    def _uploads(self, database: Database) -> Uploads:
        return Uploads(database, self._folder / _UPLOADS)

    def _buckets(self, index: ObjectIndex) -> Buckets:
        return Buckets(self.root / "buckets", index, self._bucket)


def _take_guard(folder: Path, stack: ExitStack | AsyncExitStack) -> None:
    """Take the guard on a folder until the stack is closed; the system gives it back when this process dies."""
    from filelock import FileLock, Timeout

    guard = FileLock(folder / _GUARD)
    holder = folder / _HOLDER
    try:
        guard.acquire(timeout=0)
    except Timeout:
        raise GuardError(
            f"another process renders in {folder.parent}: {_who(holder)}",
            advice="let it finish or end it; `plan` and `status` work beside it, and `apply` can use it "
            "when it was started with `reconciler serve`",
        ) from None
    stack.callback(guard.release)
    holder.write_text(
        json.dumps(
            {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat("T", "seconds")}
        )
    )
    stack.callback(holder.unlink, missing_ok=True)


def _who(holder: Path) -> str:
    """Name the process that holds the guard, as far as it has said so."""
    try:
        said = json.loads(holder.read_text())
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said who it is"


def _deliveries_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("callbacks are not delivered any more; start the service again", exc_info=error)


async def _stop(task: asyncio.Task[None]) -> None:
    """Stop a task of the service. One that had died of something unforeseen was said to have when it did."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
