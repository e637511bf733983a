"""Identical renders in flight are one render: whoever wants what is being made already waits for it.

What is made, and where, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
Progress = Callable[[float], None]
Make = Callable[[Progress], AbstractAsyncContextManager[T]]
"""Makes something while the block is entered, and keeps it until the block ends."""


@dataclass
class Shared(Generic[T]):
    """What several users wait for, or use. ``alone`` tells whether one of them may take it away."""

    users: int = 0
    listeners: list[Progress] = field(default_factory=list)
    made: asyncio.Future[T] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    left: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self, share: float) -> None:
        """Tell every user how much is done."""
        for listener in self.listeners:
            listener(share)


class InFlight(Generic[T]):
    """What is being made at the moment, by what makes it what it is."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, Shared[T]] = {}

    def holds(self, identity: Hashable) -> bool:
        """Tell whether it is being made, so that the next user only waits."""
        return identity in self._shared

    @asynccontextmanager
    async def use(self, identity: Hashable, make: Make[T], on_progress: Progress) -> AsyncIterator[tuple[T, bool]]:
        """Give what is made, and whether it is ours alone, so that we may take it away.

        Raises what making it raised. It is given up when its last user is cancelled.
        """
        shared = self._shared.get(identity)
        if shared is None:
            shared = self._shared[identity] = Shared()
            shared.task = asyncio.create_task(self._make(identity, shared, make))
        shared.users += 1
        shared.listeners.append(on_progress)
        alone = False
        try:
            thing = await asyncio.shield(shared.made)
            alone = len(shared.listeners) == 1
            yield thing, alone
        finally:
            await self._leave(identity, shared)

    async def _make(self, identity: Hashable, shared: Shared[T], make: Make[T]) -> None:
        try:
            async with make(shared.tell) as thing:
                self._forget(identity, shared)  # from here on nobody joins
                shared.made.set_result(thing)
                await shared.left.wait()
        except asyncio.CancelledError:
            shared.made.cancel()
            raise
        except BaseException as error:
            if shared.made.done():
                raise
            shared.made.set_exception(error)
        finally:
            self._forget(identity, shared)

    def _forget(self, identity: Hashable, shared: Shared[T]) -> None:
        if self._shared.get(identity) is shared:
            del self._shared[identity]

    async def _leave(self, identity: Hashable, shared: Shared[T]) -> None:
        """Leave what is used; the last one ends it, and waits until nothing of it is left."""
        shared.users -= 1
        if shared.users:
            return
        self._forget(identity, shared)
        shared.left.set()
        assert shared.task is not None
        if not shared.made.done():
            shared.task.cancel()
        await asyncio.wait([shared.task])
        if shared.made.done() and not shared.made.cancelled():
            shared.made.exception()  # every user has seen it
