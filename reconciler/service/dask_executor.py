"""A Dask cluster as executors: one for each priority. The only module that knows Dask.

A worker that dies has its tasks done by another one: the scheduler sees to that, and gives up a task under which
several workers died in turn. A scheduler that dies loses all tasks; they are handed to it anew when it is back. Neither
is noticed by who waits for a result, except by its taking longer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

import dask
from distributed import Client, KilledWorker, Worker, get_worker
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from distributed.core import Status

from reconciler.errors import ReconcilerError, UsageError
from reconciler.service.remote import heeding
from reconciler.service.render.failure import INTERNAL, RenderFailed

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 10.0
"""How long a scheduler may take to answer."""

LOOK_SECONDS: Final = 2.0
"""How often the cluster is asked for its workers."""

_PAUSE_SECONDS: Final = 1.0
_KEY: Final = "reconciler-render-"
_URL: Final = re.compile(r"dask://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_LOST: Final = (CancelledError, ClosedClientError, CommClosedError, OSError)
"""What a task, or asking for it, ends with when the scheduler is gone."""

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""A function and its arguments."""

P = ParamSpec("P")
T = TypeVar("T")


class Cluster:
    """A Dask cluster; use ``connect``, then ``executor``, and ``close`` it in the end. All methods are thread-safe."""

    def __init__(self, address: str, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        self._client: Any = None  # a Client; its methods have no types
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._threads = 0
        self._connecting = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dask", daemon=True)

    @classmethod
    def connect(cls, url: str, *, seconds: float = CONNECT_SECONDS) -> Self:
        """Connect to the scheduler at ``dask://HOST:PORT``, which may take some seconds to answer.

        Raises UsageError when that is no such address, ReconcilerError when nobody answers there.
        """
        cluster = cls(_address(url), seconds)
        cluster._thread.start()
        try:
            cluster._call(cluster._start()).result()
        except (OSError, ValueError) as error:
            cluster.close()
            raise ReconcilerError(
                f"no Dask scheduler answers at {url}: {error}",
                advice="start one with `dask scheduler`, and see that its version of Dask is the one that is here",
            ) from None
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def executor(self, level: int) -> Executor:
        """Return what runs tasks on the cluster, before all that wait there with a lower level."""
        return _Level(self, level)

    def places(self) -> int:
        """Return how many threads the workers had together a moment ago; 0 when the scheduler is out of reach."""
        return self._threads

    def submit(self, level: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on a worker, which must be able to import it; cancelling the future takes it back there."""
        return self._call(self._run(level, (function, args, kwargs)))

    def close(self) -> None:
        """Leave the cluster; tasks whose results were not fetched are taken back."""
        self._call(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # In the thread of the loop.

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _start(self) -> None:
        self._client = await self._connected()
        self._threads = await self._count(self._client)
        self._tasks.add(asyncio.create_task(self._watch()))

    async def _end(self) -> None:
        tasks = [task for task in self._tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _run(self, level: int, call: _Call) -> Any:
        """Have a function run until it has a result or fails by itself. Raises RenderFailed when it kills workers."""
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            return await self._until_run(level, call)
        finally:
            self._tasks.discard(task)

    async def _until_run(self, level: int, call: _Call) -> Any:
        while True:
            client = await self._running()
            try:
                return await self._run_once(client, level, call)
            except KilledWorker as error:
                count = error.allowed_failures + 1
                raise RenderFailed(INTERNAL, f"{count} workers died while they rendered this, one by one") from None
            except _LOST as error:
                log.warning("the cluster has lost a task, which goes there again: %s", getattr(error, "reason", error))
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _run_once(self, client: Any, level: int, call: _Call) -> Any:
        key = (f"{_KEY}{uuid.uuid4().hex}", 0)  # a pair is a group of its own: Dask orders large groups by other rules
        future = client.submit(_heeding, *call, key=key, priority=level, pure=False)
        try:
            return await future.result()
        finally:
            with suppress(*_LOST):
                await future.cancel()

    async def _running(self) -> Any:
        """Return the client when it is connected, after a new one was made if it has given up."""
        async with self._connecting:
            while self._client is None or self._client.status != "running":
                if self._client is None or self._client.status == "closed":
                    with suppress(OSError):
                        self._client = await self._connected()
                else:
                    await asyncio.sleep(_PAUSE_SECONDS / 10)
            return self._client

    async def _connected(self) -> Any:
        """Return a new client. Raises OSError when nobody answers."""
        new: Any = Client  # its methods have no types
        client = new(self._address, asynchronous=True, timeout=self._seconds, set_as_default=False)
        try:
            return await client
        except OSError:
            await client.close()
            raise

    async def _watch(self) -> None:
        """Keep the number of places up to date."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                threads = await self._count(self._client)
            except _LOST as error:
                threads = 0
                log.debug("the scheduler does not answer: %s", error)
            if threads != self._threads:
                log.info("the cluster has %d threads, after %d", threads, self._threads)
            self._threads = threads
            if not threads:
                await self._running()

    async def _count(self, client: Any) -> int:
        if client is None or client.status != "running":
            return 0
        return sum((await client.nthreads()).values())


class _Level(Executor):
    """A cluster for tasks of one priority."""

    def __init__(self, cluster: Cluster, level: int) -> None:
        self._cluster = cluster
        self._level = level

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ``Cluster.submit``."""
        return self._cluster.submit(self._level, fn, *args, **kwargs)


def _address(url: str) -> str:
    """Return Dask's own way to write an address; encrypted when Dask's settings demand it."""
    if not _URL.fullmatch(url):
        raise UsageError(f"{url} is not the address of a cluster", advice="write it as dask://HOST:PORT")
    encrypted = dask.config.get("distributed.comm.require-encryption", default=None)
    return f"{'tls' if encrypted else 'tcp'}://{url.removeprefix('dask://')}"


# On a worker.


def _heeding(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """Run a function that learns when its task is taken back: a thread cannot be stopped from outside."""
    worker = get_worker()
    key = worker.get_current_task()
    with heeding(lambda: _is_wanted(worker, key)):
        return function(*args, **kwargs)


def _is_wanted(worker: Worker, key: Any) -> bool:
    """Tell whether the scheduler, or who gave it the task, still waits for it; also false when either has died."""
    task = worker.state.tasks.get(key)
    leaving = worker.status in (Status.closing, Status.closed, Status.failed)
    return task is not None and task.state != "cancelled" and not leaving
