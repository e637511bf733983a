"""What a job that has ended tells of its result: the key, the digest, the record of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.api.media import MediaInfo
from reconciler.api.messages import Job
from reconciler.state import Record, StoredObject, Submission

TOLERANCE: Final = 0.5
"""Seconds by which a result may be longer than declared: the last frame, and the sound that ends in whole packets."""

_TURNING: Final = frozenset({"rotate", "crop", "long_short_mode"})
"""Parameters after which the picture need not have the declared size."""


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


def told(job: Job, key: str) -> dict[str, Any]:
    """Return what a job tells of the object under ``key`` beside its digest, under the names of a Record."""
    info = job.operation.media_info if job.operation else None
    form = info.format if info else None
    return {
        "duration": float(form.duration) if form and form.duration is not None else None,
        "size": form.size if form else None,
        "created": _utc(job.creation_time),
        "finished": _utc(job.end_time),
        "engine": job.engine,
        "files": [name for name in _names(job) if name != key] or None,
    }


def record_of(submission: Submission, job: Job, key: str, stored: StoredObject, *, protect: bool) -> Record:
    """Return the record of an output whose job has succeeded."""
    return Record(
        object=key,
        fingerprint=submission.fingerprint,
        request=submission.request,
        inputs=submission.inputs,
        etag=stored.etag,
        job=job.job_id,
        protect=protect,
        **{**told(job, key), "size": stored.size},
    )


def mismatch(job: Job, key: str, stored: StoredObject | None, request: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return an error code and what is wrong when a finished job did not make what was declared; None when it did.

    The object has to be there, with the ETag and the size that the job reported; its picture has to have the declared
    size, and it may not be longer than the part of the composition that was asked for.
    """
    if stored is None:
        return "NoSuchKey", f"the job reports Success, but {key} is not there"
    reported = reported_md5(job)
    if reported and "-" not in stored.etag and stored.etag != reported:
        return "ObjectMismatch", f"{key}: its ETag is {stored.etag}, the job said {reported}"
    info = job.operation.media_info if job.operation else None
    size = info.format.size if info and info.format else None
    if size is not None and not _names(job)[1:] and stored.size != size:
        return "ObjectMismatch", f"{key}: it has {stored.size} bytes, the job said {size}"
    if info is not None and (problem := _otherwise(info, request)) is not None:
        return "ObjectMismatch", f"{key}: {problem}"
    return None


def _otherwise(info: MediaInfo, request: Mapping[str, Any]) -> str | None:
    """Say in what the result is not what was declared."""
    transcode = request["operation"][0].get("transcode") or {}
    video, interval = transcode.get("video") or {}, transcode.get("time_interval") or {}
    stream = next(iter((info.stream and info.stream.video) or ()), None)
    if stream is not None and not _TURNING & video.keys():
        for name in ("width", "height"):
            wanted, made = video.get(name), getattr(stream, name)
            if wanted is not None and made is not None and made != wanted:
                return f"its {name} is {made}, declared is {wanted}"
    longest = interval.get("duration")
    made_for = info.format.duration if info.format else None
    if longest and made_for is not None and float(made_for) > float(longest) + TOLERANCE:
        return f"it lasts {made_for} s, declared is {longest} s"
    return None


def _utc(time: str | None) -> str | None:
    """Return a time of the service, which is written with its own offset, in UTC; None when it tells none."""
    try:
        return datetime.fromisoformat(time or "").astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return None
