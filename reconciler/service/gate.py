"""What stands before the media calls: a service that only reads, a bucket switched off, calls that are not made yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
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


def late(names: Iterable[str], make: Callable[[], Mapping[str, Calls]]) -> dict[str, Calls]:
    """Return the named calls, which are made, all together, when the first of them is called."""
    made = cache(make)

    def named(name: str) -> Calls:
        async def answer(request: Request, bucket: Bucket) -> Response:
            return await made()[name](request, bucket)

        return answer

    return {name: named(name) for name in names}


def reading_only(calls: Calls) -> Calls:
    """Let only those calls through that change nothing."""

    async def answer(request: Request, bucket: Bucket) -> Response:
        if request.method in _CHANGING:
            raise RefusedError("AccessDenied", "this service only reads: nothing has been made in its folder yet")
        return await calls(request, bucket)

    return answer
