"""Group commit: submissions that arrive together are stored together, in one transaction that waits for the disk once.

Whatever arrives in one turn of the event loop is a group. While a group is being stored the loop stands still, so the
next group is whatever came meanwhile: the more there is to do, the larger the groups.
"""

from __future__ import annotations

import asyncio

from reconciler.service.queue import Queue, StoredJob, Submission
from reconciler.service.refused import RefusedError


class Intake:
    """Where submissions come in."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._group: list[Submission] = []
        self._stored: asyncio.Task[list[list[StoredJob] | RefusedError]] | None = None

    async def submit(self, submission: Submission) -> list[StoredJob]:
        """Store the jobs of one submission, all or none; they survive a power cut once this returns.

        Raises RefusedError when the bucket takes no jobs, or not so many. A caller that goes away meanwhile takes
        nothing back.
        """
        if self._stored is None:
            self._stored = asyncio.create_task(self._store())
        index = len(self._group)
        self._group.append(submission)
        outcome = (await asyncio.shield(self._stored))[index]
        if isinstance(outcome, RefusedError):
            raise outcome
        return outcome

    async def _store(self) -> list[list[StoredJob] | RefusedError]:
        group, self._group, self._stored = self._group, [], None
        return self._queue.submit(group)
