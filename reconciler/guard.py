"""What keeps two runs apart: a guard on this disk, and one in the bucket when the lockfile is shared.

The kernel releases the guard on a disk when its process dies, however it dies. That in the bucket is an object with a
lease, which is renewed while the run lives; once the lease has ended, another run may take it.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from reconciler import disk
from reconciler.client import Client
from reconciler.errors import ClientError, GuardError, ServiceError

_RENEWALS: Final = 3
"""How often a lease is renewed before it would end."""

_TAKINGS: Final = 3
_RELEASE: Final = 1.5
"""Seconds that giving the guard back may take: a run that is to stop does not wait for a service that is mute."""

_CONFLICT: Final = 409


@contextmanager
def guard(folder: Path, what: str = "apply") -> Iterator[None]:
    """Keep two runs apart: hold the folder's guard while the block runs.

    The kernel releases it when the process dies, however it dies. Raises GuardError, saying who holds it.
    """
    from filelock import FileLock, Timeout

    path, owner = folder / "guard", folder / "guard.owner"
    lock = FileLock(path, timeout=0)
    try:
        with disk.plainly(path):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            owner.write_text(f"{what}, process {os.getpid()}\n", encoding="utf-8")
    except Timeout:
        raise GuardError(
            f"another run is at work on this project ({_holder(owner)})",
            advice="wait for it to end; plan and status work beside it",
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _holder(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8").strip() or "another process"
    except OSError:  # it has just ended, or has not yet said who it is
        return "another process"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the shared guard: ``lease`` is in seconds from ``renewed``, which is by the service's clock."""

    run: str
    what: str
    owner: str
    host: str
    since: str
    renewed: str
    lease: float

    @property
    def ends(self) -> datetime:
        """When the lease ends unless it is renewed."""
        return datetime.fromisoformat(self.renewed) + timedelta(seconds=self.lease)

    def __str__(self) -> str:
        return f"{self.what} by {self.owner} on {self.host}, since {self.since}"


class SharedGuard:
    """The guard of a lockfile in the bucket: the object ``KEY.guard``.

    ``run`` is a name that no other run has, ``lease`` is in seconds; ``ticks`` is a clock that never goes back.
    """

    def __init__(self, client: Client, key: str, run: str, lease: float, ticks: Callable[[], float]) -> None:
        self.key = f"{key}.guard"
        self.taken_from: Holder | None = None
        self._client = client
        self._run = run
        self._lease = lease
        self._ticks = ticks
        self._renewed_at = 0.0
        self._lost: str | None = None

    @asynccontextmanager
    async def held(self, what: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        """Hold the guard while the block runs, waiting ``patience`` seconds for another run to end.

        Raises GuardError when another run holds it. A guard whose lease has ended is taken: ``taken_from`` then says
        whose it was.
        """
        mine = Holder(self._run, what, _user(), socket.gethostname(), self._now(), self._now(), self._lease)
        await self._take(mine, patience)
        renewing = asyncio.create_task(self._renew(mine))
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await self._release()

    def check(self) -> None:
        """Raise GuardError when the guard was lost: taken by another run, or its lease not renewed in time."""
        late = self._ticks() - self._renewed_at >= self._lease
        if self._lost is None and late:
            self._lost = "its lease ended before it could be renewed"
        if self._lost is not None:
            raise GuardError(
                f"this run has lost the guard {self.key}: {self._lost}",
                advice="nothing more was begun, and nothing is lost: run apply again",
            )

    async def holder(self) -> Holder | None:
        """Return who holds the guard, or None."""
        stored = await self._client.get_object(self.key)
        return None if stored is None else _holder_in(stored[0], self.key)

    async def remove(self) -> None:
        """Take the guard away, whoever holds it."""
        await self._client.delete_object(self.key)

    async def _take(self, mine: Holder, patience: float) -> None:
        deadline = self._ticks() + patience
        takings = 0
        while not await self._put(mine):
            holder = await self.holder()
            if holder is None:
                continue  # it has just ended
            if holder.run == self._run:
                break  # the answer to an earlier attempt was lost
            if holder.ends < datetime.fromisoformat(self._now()) and takings < _TAKINGS:
                takings += 1
                self.taken_from = holder
                await self.remove()
            elif self._ticks() >= deadline:
                raise GuardError(
                    f"another run is at work on this lockfile ({holder})",
                    advice="wait for it to end, with --guard-timeout, or `reconciler unlock` when it has died; "
                    "plan and status work beside it",
                )
            else:
                await asyncio.sleep(min(1.0, max(deadline - self._ticks(), 0.05)))
        self._renewed_at = self._ticks()

    async def _put(self, mine: Holder) -> bool:
        try:
            await self._client.put_object(self.key, _body(mine, self._now()), forbid_overwrite=True)
        except ServiceError as error:
            if error.status != _CONFLICT:
                raise
            return False
        return True

    async def _renew(self, mine: Holder) -> None:
        """Renew the lease until cancelled, or until somebody else has taken the guard."""
        while self._lost is None:
            await asyncio.sleep(self._lease / _RENEWALS)
            began = self._ticks()
            with suppress(ClientError):  # tried again; ``check`` knows when it is too late
                holder = await self.holder()
                if holder is None or holder.run != self._run:
                    self._lost = f"taken by {holder}" if holder else "it was removed"
                    return
                await self._client.put_object(self.key, _body(mine, self._now()))
                self._renewed_at = began

    async def _release(self) -> None:
        with suppress(ClientError, GuardError, TimeoutError):  # its lease ends by itself
            async with asyncio.timeout(_RELEASE):
                holder = await self.holder()
                if holder is not None and holder.run == self._run:
                    await self.remove()

    def _now(self) -> str:
        """Return the time by the service's clock, which all machines have in common."""
        moment = datetime.now(UTC) + timedelta(seconds=self._client.skew or 0.0)
        return moment.isoformat(timespec="milliseconds")


def ticks() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, as a lease does."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _body(holder: Holder, renewed: str) -> bytes:
    return (json.dumps({**asdict(holder), "renewed": renewed}, indent=1, ensure_ascii=False) + "\n").encode()


def _holder_in(content: bytes, key: str) -> Holder:
    try:
        holder = Holder(**json.loads(content))
        _ = holder.ends
    except (ValueError, TypeError, OverflowError):
        raise GuardError(
            f"{key} is no guard of this program", advice="look what it is; `reconciler unlock` removes it"
        ) from None
    return holder


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return f"user {os.getuid()}"
