"""How one callback goes where it is to go: by POST, to the broker, or into the folder for messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.service.callbacks import CONTENT_TYPES, Target
from reconciler.service.queue import StoredJob
from reconciler.service.reach import Reach, public_only

if TYPE_CHECKING:
    from reconciler.service.mq import Broker, MessageQueue
    from reconciler.service.posting import Poster


@dataclass(frozen=True, slots=True)
class Ways:
    """What whoever runs the service settles about callbacks: where they may go, and the broker, when there is one."""

    reach: Reach = public_only
    broker: Broker | None = None


class Carriers:
    """Everything that carries callbacks; each part is made, and its library loaded, when it is first needed."""

    def __init__(self, folder: Path, ways: Ways) -> None:
        self._folder = folder
        self._ways = ways

    @cached_property
    def _poster(self) -> Poster:
        from reconciler.service.posting import Poster

        return Poster(self._ways.reach)

    @cached_property
    def _message_queue(self) -> MessageQueue:
        from reconciler.service.mq import MessageQueue

        return MessageQueue(self._folder, self._ways.broker)

    async def carry(self, job: StoredJob, target: Target, body: bytes) -> None:
        """Send one callback once. Raises UndeliveredError."""
        if target.means == "url":
            await self._poster.post(target.name, body, CONTENT_TYPES[target.format])
            return
        from reconciler.service.mq import Message

        await self._message_queue.put(target, Message(job.id, job.bucket, job.state, body))

    async def aclose(self) -> None:
        """Give back what is held; nothing may be under way."""
        for name in ("_poster", "_message_queue"):
            if name in self.__dict__:
                await getattr(self, name).aclose()
