"""What a request must be to become jobs: the documents' rules, its queue and templates, this service's limits.

All operations of a request are checked before any is stored; a message names the node as the API spells it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from reconciler.api import rules, xml
from reconciler.api.messages import TAG, JobRequest, Operation, Output
from reconciler.api.violations import show
from reconciler.service import keys
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.http import read_message
from reconciler.service.publication import longest_segment
from reconciler.service.queue import NewJob
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError, refuse_broken
from reconciler.service.resolution import Kept, object_key, problems, resolve, template_ids
from reconciler.service.template_store import TemplateStore

_ONE_OPERATION: Final = re.compile(r"\bOperation\[0\]")
_SOME_JOB: Final = "j" + "0" * 32


def read_request(body: bytes) -> JobRequest:
    """Read the body of a submission. Raises RefusedError; one of another product is known by its tag, not its nodes."""
    try:
        message = read_message(JobRequest, body, "Request")
    except RefusedError as error:
        if error.code == "InvalidArgument":
            _check_tag(xml.parse(body, "Request").findtext("Tag"))
        raise
    if "tag" not in message.model_fields_set:  # manifests need not write it, requests must
        raise RefusedError("InvalidArgument", f"Request.Tag: is missing; write {TAG}")
    _check_tag(message.tag)
    return message


def _check_tag(tag: str | None) -> None:
    if tag is not None and tag.strip() and tag != TAG:
        raise RefusedError("InvalidArgument", f"Request.Tag: {show(tag)} is unknown; Tag must be {TAG}")


class Admission:
    """Checks requests against the queues, templates and buckets of one service.

    ``lacking`` tells which encoders its FFmpeg has not got.
    """

    def __init__(
        self,
        queues: QueueStore,
        templates: TemplateStore,
        buckets: Buckets,
        region: str,
        *,
        lacking: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._queues = queues
        self._templates = templates
        self._buckets = buckets
        self._region = region
        self._lacking = lacking

    def admit(self, message: JobRequest, bucket: Bucket) -> list[NewJob]:
        """Return the jobs that a request is, with their templates put in. Raises RefusedError."""
        try:
            refuse_broken(rules.check_received(message), JobRequest)
            self._check_queue(message.queue_id, bucket)
            kept = self._kept(message, bucket)
            return [self._job(message, index, kept) for index in range(len(message.operation))]
        except RefusedError as error:
            if len(message.operation) > 1:
                raise
            raise RefusedError(error.code, _ONE_OPERATION.sub("Operation", error.message)) from None

    def _check_queue(self, queue: str | None, bucket: Bucket) -> None:
        if queue is None:
            return
        known = self._queues.get(bucket.name)
        if known is None or known.id != queue:
            raise RefusedError("NoSuchQueue", f"Request.QueueId: the bucket has no queue `{queue}`")

    def _kept(self, message: JobRequest, bucket: Bucket) -> Kept:
        ids = [name for operation in message.operation for name in template_ids(operation)]
        return self._templates.find(bucket.name, ids) if ids else {}

    def _job(self, message: JobRequest, index: int, kept: Kept) -> NewJob:
        asked = message.operation[index]
        where = f"Request.Operation[{index}]"
        resolved = resolve(asked, where, kept)
        self._check_output(asked.output, where)
        if found := list(problems(asked, resolved, where, self._lacking())):
            raise RefusedError("InvalidArgument", "; ".join(found))
        _check_key(resolved, where)
        put_in = None if resolved is asked else _stored(message, resolved)
        return NewJob(_stored(message, asked), put_in, asked.job_level or 0)

    def _check_output(self, output: Output, where: str) -> None:
        if output.region != self._region:
            text = f"the buckets here are in `{self._region}`, not in `{output.region}`"
            raise RefusedError("InvalidArgument", f"{where}.Output.Region: {text}")
        if output.bucket is None or self._buckets.get(output.bucket) is None:
            raise RefusedError("InvalidArgument", f"{where}.Output.Bucket: there is no bucket `{output.bucket}` here")


def _check_key(operation: Operation, where: str) -> None:
    key = object_key(operation, _SOME_JOB)
    segment = longest_segment(operation, key)
    try:
        keys.check(key)
    except RefusedError as error:
        raise RefusedError(error.code, f"{where}.Output.Object: {error.message}") from None
    if segment is not None and not keys.is_key(segment):
        message = "the segments beside it would have keys that are too long"
        raise RefusedError("KeyTooLong", f"{where}.Output.Object: {message}")


def _stored(message: JobRequest, operation: Operation) -> str:
    """Return the request with one operation, as it is stored."""
    alone = message if message.operation == (operation,) else message.model_copy(update={"operation": (operation,)})
    return xml.write(alone, "Request").decode()
