"""Queue calls: which queue a bucket has, its name, its callback, pause and resume. Rows are in ``queue_store``.

A bucket has exactly one queue, from the first question on.

Source: reference/jobs-queues-templates.md §4 and §5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reconciler.api import rules, xml
from reconciler.api.queues import (
    OFF,
    QUEUE_STATES,
    NonExistPIDs,
    NotifyConfig,
    QueueInfo,
    QueueReply,
    QueuesReply,
    QueueUpdate,
)
from reconciler.service import parameters
from reconciler.service.bucket import Bucket
from reconciler.service.http import Request, Response, read_message, xml_response
from reconciler.service.jobs_detail import wire_time
from reconciler.service.queue import MAX_SIZE
from reconciler.service.queue_store import QueueStore, StoredQueue
from reconciler.service.refused import RefusedError, refuse_broken

_CATEGORY: Final = "Transcoding"
_CATEGORIES: Final = ("CateAll", _CATEGORY, "SpeedTranscoding")


class QueueCalls:
    """The calls about queues for every bucket.

    ``concurrency`` is how many jobs run at once, ``wake`` is called when jobs may run again.
    """

    def __init__(self, queues: QueueStore, *, concurrency: int, wake: Callable[[], None]) -> None:
        self._queues = queues
        self._concurrency = concurrency
        self._wake = wake

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one queue call."""
        name = request.path.removeprefix("/queue").removeprefix("/")
        match request.method, bool(name):
            case "GET", False:
                return self._list(request, bucket)
            case "PUT", True:
                return await self._update(request, name, bucket)
        raise RefusedError("MethodNotAllowed", f"{request.method} {request.path} is not a call of this API")

    def _list(self, request: Request, bucket: Bucket) -> Response:
        page = parameters.page(request)
        state = parameters.choice(request, "state", (*QUEUE_STATES, "All"), "All")
        category = parameters.choice(request, "category", _CATEGORIES, _CATEGORY)
        queue = self._queues.get(bucket.name)
        known = [queue] if queue else []
        if ids := parameters.names(request, "queueIds"):
            return self._named(request, ids, known)
        wanted = [each for each in known if state in (each.state, "All") and category in (_CATEGORY, "CateAll")]
        shown = [self._info(each) for each in wanted[page.skipped : page.skipped + page.size]]
        reply = QueuesReply(
            request_id=request.id,
            total_count=len(wanted),
            page_number=page.number,
            page_size=page.size,
            queue_list=tuple(shown) or None,
        )
        return xml_response(reply, "Response")

    def _named(self, request: Request, ids: tuple[str, ...], known: list[StoredQueue]) -> Response:
        """Answer for ids: they alone decide, and the reply counts no pages."""
        found = {queue.id: self._info(queue) for queue in known}
        missing = tuple(name for name in ids if name not in found)
        reply = QueuesReply(
            request_id=request.id,
            queue_list=tuple(found[name] for name in ids if name in found) or None,
            non_exist_pids=NonExistPIDs(queue_id=missing) if missing else None,
        )
        return xml_response(reply, "Response")

    async def _update(self, request: Request, name: str, bucket: Bucket) -> Response:
        update = read_message(QueueUpdate, await request.xml_body(), "Request")
        known = self._queues.get(bucket.name)
        if known is None or known.id != name:
            raise RefusedError("NoSuchQueue", f"the bucket has no queue `{name}`")
        _check(update, name)
        notify = xml.write(update.notify_config or NotifyConfig(state=OFF), "NotifyConfig").decode()
        changed = self._queues.update(bucket.name, name=update.name, state=update.state, notify=notify)
        self._wake()
        return xml_response(QueueReply(request_id=request.id, queue=self._info(changed)), "Response")

    def _info(self, queue: StoredQueue) -> QueueInfo:
        notify = xml.read(NotifyConfig, queue.notify.encode(), "NotifyConfig") if queue.notify else None
        return QueueInfo(
            queue_id=queue.id,
            name=queue.name,
            state=queue.state,
            max_size=MAX_SIZE,
            max_concurrent=self._concurrency,
            category=_CATEGORY,
            create_time=wire_time(queue.created_at),
            update_time=wire_time(queue.updated_at),
            notify_config=notify or NotifyConfig(state=OFF),
        )


def _check(update: QueueUpdate, name: str) -> None:
    refuse_broken(rules.check_queue(update), QueueUpdate)
    if update.queue_id not in (None, name):
        text = f"`{update.queue_id}` is not the queue of the address, `{name}`"
        raise RefusedError("InvalidArgument", f"Request.QueueID: {text}")
