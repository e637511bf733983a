"""What a job that has ended tells of its result: the key, the digest, the record of it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.api.messages import Job
from reconciler.state import Record, StoredObject, Submission


def key_made(job: Job, declared: str) -> str:
    """Return the key of the object that a job made; the ``declared`` one when it does not tell."""
    return (_names(job) or (declared,))[0]


def reported_md5(job: Job) -> str | None:
    """Return the MD5 of the object that a job made, when it tells."""
    result = job.operation.media_result if job.operation else None
    digests = (result.output_file.md5_info if result and result.output_file else None) or ()
    return digests[0].md5 if digests else None


def _names(job: Job) -> tuple[str, ...]:
    """Return the keys of everything that a job made: that of its object, then what belongs to it."""
    result = job.operation.media_result if job.operation else None
    return (result.output_file.object_name if result and result.output_file else None) or ()


def record_of(submission: Submission, job: Job, key: str, stored: StoredObject, *, protect: bool) -> Record:
    """Return the record of an output whose job has succeeded."""
    info = job.operation.media_info if job.operation else None
    duration = info.format.duration if info and info.format else None
    return Record(
        object=key,
        fingerprint=submission.fingerprint,
        request=submission.request,
        inputs=submission.inputs,
        etag=stored.etag,
        job=job.job_id,
        size=stored.size,
        duration=float(duration) if duration is not None else None,
        created=_utc(job.creation_time),
        finished=_utc(job.end_time),
        engine=job.engine,
        files=[name for name in _names(job) if name != key] or None,
        protect=protect,
    )


def _utc(time: str | None) -> str | None:
    """Return a time of the service, which is written with its own offset, in UTC; None when it tells none."""
    try:
        return datetime.fromisoformat(time or "").astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return None
