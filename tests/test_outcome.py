"""What a finished job tells, also when it tells little."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.messages import Job
from reconciler.outcome import key_made, mismatch, record_of, reported_md5
from reconciler.state import StoredObject, Submission
from tests.factory import operation

SUBMISSION = Submission("a", "token", "print", "out/${jobid}.mp4", {"n": 1}, {"in/a.mp4": "e"}, "2026-05-01T10:00:00Z")


def job(result: dict[str, Any] | None = None, **fields: Any) -> Job:
    told = {**operation(), "media_result": result}
    return Job.model_validate({"job_id": "j1", "state": "Success", "operation": told, **fields})


@pytest.mark.parametrize(
    ("told", "key", "md5"),
    [
        (job({"output_file": {"object_name": ["out/j1.mp4"], "md5_info": [{"md5": "d"}]}}), "out/j1.mp4", "d"),
        (job({"output_file": {}}), "declared", None),
        (job({}), "declared", None),
        (job(), "declared", None),
        (Job(job_id="j1", state="Success"), "declared", None),
    ],
)
def test_key_and_digest(told: Job, key: str, md5: str | None) -> None:
    assert (key_made(told, "declared"), reported_md5(told)) == (key, md5)


def test_the_record_has_what_was_submitted_and_what_came_of_it() -> None:
    ended = job(creation_time="2026-05-01T10:00:00+0800", end_time="2026-05-01T10:00:09+0800")
    found = record_of(SUBMISSION, ended, "out/j1.mp4", StoredObject("etag", 7), protect=True)
    assert (found.object, found.etag, found.size, found.job, found.protect) == ("out/j1.mp4", "etag", 7, "j1", True)
    assert (found.fingerprint, found.request, found.inputs) == ("print", {"n": 1}, {"in/a.mp4": "e"})
    assert (found.created, found.finished) == ("2026-05-01T02:00:00+00:00", "2026-05-01T02:00:09+00:00")
    assert found.duration is None


@pytest.mark.parametrize(
    ("names", "key", "files"),
    [
        (["out/j1.mp4"], "out/j1.mp4", None),
        (["out/j1.m3u8", "out/0-00000.ts", "out/0-00001.ts"], "out/j1.m3u8", ["out/0-00000.ts", "out/0-00001.ts"]),
        (["out/j1.m3u8", "out/j1.m3u8", "out/0-00000.ts"], "out/j1.m3u8", ["out/0-00000.ts"]),
        ([], "declared", None),
    ],
)
def test_what_belongs_to_the_object_is_recorded_beside_it(names: list[str], key: str, files: list[str] | None) -> None:
    told = job({"output_file": {"object_name": names}})
    assert key_made(told, "declared") == key
    assert record_of(SUBMISSION, told, key, StoredObject("etag", 7), protect=False).files == files


@pytest.mark.parametrize("engine", [None, "ffmpeg 7.1, 2 threads"])
def test_what_made_the_object_is_recorded(engine: str | None) -> None:
    found = record_of(SUBMISSION, job(engine=engine), "k", StoredObject("etag", 7), protect=False)
    assert (found.engine, found.files) == (engine, None)


@pytest.mark.parametrize("time", [None, "-", "yesterday"])
def test_a_time_that_is_none_is_left_out(time: str | None) -> None:
    found = record_of(SUBMISSION, job(end_time=time), "k", StoredObject("etag", 7), protect=False)
    assert (found.created, found.finished) == (None, None)


def test_the_duration_is_the_one_of_the_result() -> None:
    info = {"format": {"duration": "2.5"}}
    told = Job.model_validate({"job_id": "j1", "state": "Success", "operation": {**operation(), "media_info": info}})
    assert record_of(SUBMISSION, told, "k", StoredObject("etag", 7), protect=False).duration == 2.5


DECLARED: dict[str, Any] = {"operation": [operation(fps=25)]}
THERE = StoredObject("d", 7)


def finished(md5: str | None = "d", size: int | None = 7, **told: Any) -> Job:
    """Return a job that has made out/a.mp4, and what it tells of it."""
    digest = {"md5_info": [{"md5": md5}]} if md5 else {}
    stream = {"video": [{"width": told.pop("width", 640), "height": told.pop("height", 360)}]}
    info = {"format": {"size": size, "duration": told.pop("duration", 5.0)}, "stream": stream}
    return Job.model_validate(
        {
            "job_id": "j1",
            "state": "Success",
            "operation": {
                **operation(),
                "media_info": info,
                "media_result": {"output_file": {"object_name": ["out/a.mp4"], **digest}},
            },
        }
    )


def cut(duration: float) -> dict[str, Any]:
    entry = operation()
    entry["transcode"]["time_interval"] = {"duration": duration}
    return {"operation": [entry]}


@pytest.mark.parametrize(
    ("ended", "stored", "declared", "problem"),
    [
        (finished(), THERE, DECLARED, None),
        (finished(), None, DECLARED, "the job reports Success, but out/a.mp4 is not there"),
        (finished(), StoredObject("e", 7), DECLARED, "out/a.mp4: its ETag is e, the job said d"),
        (finished(), StoredObject("e-2", 7), DECLARED, None),  # stored in parts, so the ETag is no digest
        (finished(), StoredObject("d", 6), DECLARED, "out/a.mp4: it has 6 bytes, the job said 7"),
        (finished(md5=None, size=None), StoredObject("e", 6), DECLARED, None),
        (finished(width=320), THERE, DECLARED, "out/a.mp4: its width is 320, declared is 640"),
        (finished(height=362), THERE, DECLARED, "out/a.mp4: its height is 362, declared is 360"),
        (finished(width=360, height=640), THERE, {"operation": [operation(rotate=90)]}, None),
        (finished(duration=5.4), THERE, cut(5), None),
        (finished(duration=5.6), THERE, cut(5), "out/a.mp4: it lasts 5.6 s, declared is 5 s"),
        (finished(duration=3.0), THERE, cut(5), None),  # the sources may be shorter
        (Job(job_id="j1", state="Success"), THERE, DECLARED, None),
    ],
)
def test_done_means_that_it_is_what_was_declared(
    ended: Job, stored: StoredObject | None, declared: dict[str, Any], problem: str | None
) -> None:
    found = mismatch(ended, "out/a.mp4", stored, declared)
    assert (found[1] if found else None) == problem
