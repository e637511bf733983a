"""What stands before the media calls: a service that only reads, and a bucket whose processing is switched off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from reconciler.api.error_codes import CODES
from reconciler.service.bucket import Bucket
from reconciler.service.http import Request, Response
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError

Calls = Callable[[Request, Bucket], Awaitable[Response]]
"""Answers one call that concerns a bucket. Raises RefusedError."""

_CHANGING: Final = frozenset({"POST", "PUT", "DELETE"})


def bound(calls: Calls, queues: QueueStore) -> Calls:
    """Let calls through for a bucket that processes media; refuse them with the documents' text for another one."""

    async def answer(request: Request, bucket: Bucket) -> Response:
        if queues.is_off(bucket.name):
            raise RefusedError("MediaBucketUnbound", CODES["MediaBucketUnbound"].message)
        return await calls(request, bucket)

    return answer


def reading_only(calls: Calls) -> Calls:
    """Let only those calls through that change nothing."""

    async def answer(request: Request, bucket: Bucket) -> Response:
        if request.method in _CHANGING:
            raise RefusedError("AccessDenied", "this service only reads: nothing has been made in its folder yet")
        return await calls(request, bucket)

    return answer
