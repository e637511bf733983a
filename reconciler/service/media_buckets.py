"""Media bucket calls: which buckets process media, switch it on, switch it off.

A bucket processes media until it is switched off. Then its queue is gone and what waited in it is cancelled; what runs
goes on to its end. Switched on again it has a new queue, and its old jobs and templates can be seen again.

Source: reference/jobs-queues-templates.md §10 to §12.
"""

from __future__ import annotations

from reconciler.api.queues import MediaBucket, MediaBucketClosed, MediaBucketReply, MediaBucketsReply
from reconciler.service import parameters
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.http import Request, Response, xml_response
from reconciler.service.jobs_detail import wire_time
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError


class MediaBucketCalls:
    """The calls that switch media processing on and off."""

    def __init__(self, queues: QueueStore, buckets: Buckets, region: str) -> None:
        self._queues = queues
        self._buckets = buckets
        self._region = region

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one media bucket call."""
        if request.path != "/mediabucket":
            raise RefusedError("InvalidURI", f"{request.path} is not a call of this API")
        match request.method:
            case "GET":
                return self._list(request)
            case "POST":
                return self._switch_on(request, bucket)
            case "DELETE":
                return self._switch_off(request, bucket)
        raise RefusedError("MethodNotAllowed", f"{request.method} /mediabucket is not a call of this API")

    def _list(self, request: Request) -> Response:
        page = parameters.page(request)
        wanted = self._wanted(request)
        shown = wanted[page.skipped : page.skipped + page.size]
        reply = MediaBucketsReply(
            request_id=request.id,
            total_count=len(wanted),
            page_number=page.number,
            page_size=page.size,
            media_bucket_list=tuple(self._told(name) for name in shown) or None,
        )
        return xml_response(reply, "Response")

    def _wanted(self, request: Request) -> list[str]:
        """Return the names that are asked for, in order; a list of names beats a prefix."""
        regions = parameters.names(request, "regions")
        if regions is not None and not {self._region, "All"} & set(regions):
            return []
        exact, prefix = parameters.names(request, "bucketNames"), request.parameter("bucketName") or ""
        named = [name for name in self._buckets.names() if (name in exact if exact else name.startswith(prefix))]
        return [name for name in named if not self._queues.is_off(name)]

    def _switch_on(self, request: Request, bucket: Bucket) -> Response:
        self._queues.switch_on(bucket.name)
        return xml_response(MediaBucketReply(request_id=request.id, media_bucket=self._told(bucket.name)), "Response")

    def _switch_off(self, request: Request, bucket: Bucket) -> Response:
        self._queues.switch_off(bucket.name)
        return xml_response(MediaBucketClosed(request_id=request.id, bucket_name=bucket.name), "Response")

    def _told(self, name: str) -> MediaBucket:
        queue = self._queues.get(name)
        since = wire_time(queue.created_at if queue else None)
        return MediaBucket(name=name, bucket_id=name, region=self._region, create_time=since)
