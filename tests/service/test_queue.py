from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.service.database import Database
from reconciler.service.queue import MAX_ATTEMPTS, Queue, Selection, StoredJob

BUCKET = "demo-1250000000"
ALL = Selection("VideoSynthesis")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.create(tmp_path / "service.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


def submit(queue: Queue, *priorities: int, bucket: str = BUCKET) -> list[StoredJob]:
    return queue.submit(bucket, "VideoSynthesis", [("<Request/>", priority) for priority in priorities])


def state(queue: Queue, job: StoredJob) -> str:
    return queue.find(BUCKET, [job.id])[job.id].state


def claimed(queue: Queue) -> StoredJob:
    job = queue.claim()
    assert job is not None
    return job


def test_a_job_has_the_shape_that_the_api_shows(queue: Queue) -> None:
    (job,) = submit(queue, 1)
    assert re.fullmatch(r"j[0-9a-f]{32}", job.id)
    assert re.fullmatch(r"p[0-9a-f]{32}", job.queue)
    assert (job.state, job.progress, job.attempt, job.started_at, job.ended_at) == ("Submitted", 0, 0, None, None)
    told = uuid.UUID(job.id[1:])
    assert told.version == 1
    assert job.created_at == int((told.time - 0x01B21DD213814000) / 1e7)
    assert abs(job.created_at - datetime.now(UTC).timestamp()) < 60


def test_a_bucket_has_one_queue_of_its_own(queue: Queue) -> None:
    assert queue.queue_of(BUCKET) is None
    first, second = submit(queue, 0, 0)
    (other,) = submit(queue, 0, bucket="other-1")
    assert first.queue == second.queue == queue.queue_of(BUCKET)
    assert other.queue != first.queue


def test_ids_are_all_different(queue: Queue) -> None:
    jobs = submit(queue, *[0] * 200)
    assert len({job.id for job in jobs}) == 200


def test_the_next_job_is_the_most_important_then_the_oldest(queue: Queue) -> None:
    low, high, low_again, highest = submit(queue, 0, 1, 0, 2)
    assert [claimed(queue).id for _ in range(4)] == [highest.id, high.id, low.id, low_again.id]
    assert queue.claim() is None


def test_claiming_marks_the_job_as_running(queue: Queue) -> None:
    submit(queue, 0)
    job = claimed(queue)
    assert (job.state, job.attempt) == ("Running", 1)
    assert job.started_at is not None


def test_a_job_succeeds_with_its_results(queue: Queue) -> None:
    submit(queue, 0)
    job = claimed(queue)
    queue.progress(job.id, 40)
    assert queue.find(BUCKET, [job.id])[job.id].progress == 40
    queue.succeed(job.id, media_info="<MediaInfo/>", media_result="<MediaResult/>")
    done = queue.find(BUCKET, [job.id])[job.id]
    assert (done.state, done.progress, done.media_info, done.media_result) == (
        "Success",
        100,
        "<MediaInfo/>",
        "<MediaResult/>",
    )
    assert done.ended_at is not None
    assert done.code is None


def test_a_job_fails_with_its_reason(queue: Queue) -> None:
    submit(queue, 0)
    job = claimed(queue)
    queue.fail(job.id, "NoSuchKey", "there is no object `a`")
    failed = queue.find(BUCKET, [job.id])[job.id]
    assert (failed.state, failed.code, failed.message) == ("Failed", "NoSuchKey", "there is no object `a`")
    assert failed.ended_at is not None


def test_a_released_job_waits_again_and_the_attempt_does_not_count(queue: Queue) -> None:
    submit(queue, 0)
    job = claimed(queue)
    queue.progress(job.id, 40)
    queue.release(job.id)
    waiting = queue.find(BUCKET, [job.id])[job.id]
    assert (waiting.state, waiting.attempt, waiting.progress, waiting.started_at) == ("Submitted", 0, 0, None)


@pytest.mark.parametrize("ending", ["Success", "Failed", "Cancel"])
def test_what_has_ended_stays_as_it_ended(queue: Queue, ending: str) -> None:
    (job,) = submit(queue, 0)
    if ending == "Cancel":
        assert queue.cancel(BUCKET, job.id)
    else:
        claimed(queue)
        queue.fail(job.id, "x", "y") if ending == "Failed" else queue.succeed(job.id, media_info="", media_result="")
    before = queue.find(BUCKET, [job.id])
    assert not queue.cancel(BUCKET, job.id)
    queue.progress(job.id, 7)
    queue.release(job.id)
    queue.fail(job.id, "late", "late")
    queue.succeed(job.id, media_info="late", media_result="late")
    assert queue.rescue() == ([], [])
    assert queue.claim() is None
    assert queue.find(BUCKET, [job.id]) == before


def test_only_a_waiting_job_of_the_bucket_is_cancelled(queue: Queue) -> None:
    running, waiting = submit(queue, 1, 0)
    claimed(queue)
    assert not queue.cancel(BUCKET, running.id)
    assert not queue.cancel("other-1", waiting.id)
    assert queue.cancel(BUCKET, waiting.id)
    assert (state(queue, running), state(queue, waiting)) == ("Running", "Cancel")


def test_jobs_of_a_dead_worker_wait_again(queue: Queue) -> None:
    first, second = submit(queue, 0, 0)
    claimed(queue)
    assert queue.rescue() == ([first.id], [])
    assert (state(queue, first), state(queue, second)) == ("Submitted", "Submitted")
    assert claimed(queue).attempt == 2


def test_a_job_whose_workers_always_die_is_given_up(queue: Queue) -> None:
    (job,) = submit(queue, 0)
    for _ in range(MAX_ATTEMPTS - 1):
        claimed(queue)
        assert queue.rescue() == ([job.id], [])
    claimed(queue)
    assert queue.rescue() == ([], [job.id])
    failed = queue.find(BUCKET, [job.id])[job.id]
    assert (failed.state, failed.code) == ("Failed", "InternalError")
    assert failed.message == f"the service died {MAX_ATTEMPTS} times while it made this job; submit it again to retry"


def test_a_job_that_had_got_on_is_not_to_blame_for_its_worker(queue: Queue) -> None:
    (job,) = submit(queue, 0)
    for _ in range(MAX_ATTEMPTS + 1):
        claimed(queue)
        queue.progress(job.id, 1)
        assert queue.rescue() == ([job.id], [])
    assert queue.find(BUCKET, [job.id])[job.id].attempt == 0


@pytest.mark.parametrize(
    "change",
    [
        "state = 'Done'",
        "state = 'Success'",
        "state = 'Failed', ended_at = 1",
        "state = 'Cancel'",
        "state = 'Running'",
        "ended_at = 1",
        "progress = 101",
        "progress = 5",
        "attempt = -1",
        "id = 'j'",
        "created_at = 'yesterday'",
        "code = 'x', message = 'y'",
        "queue = 'p00000000000000000000000000000000'",
    ],
)
def test_the_schema_refuses_impossible_rows(database: Database, queue: Queue, change: str) -> None:
    submit(queue, 0)
    with pytest.raises(sqlite3.IntegrityError):
        database.rows(f"UPDATE job SET {change}")


# Listing.


def test_pages_go_through_all_jobs_in_either_order(queue: Queue) -> None:
    ids = [job.id for job in submit(queue, *[0] * 5)]
    submit(queue, 0, bucket="other-1")
    for newest_first in (True, False):
        selection, after, seen = Selection("VideoSynthesis", newest_first=newest_first), None, []
        while True:
            jobs, more = queue.page(BUCKET, selection, after=after, limit=2)
            seen += [job.id for job in jobs]
            if not more:
                break
            after = jobs[-1].number
        assert seen == (ids[::-1] if newest_first else ids)


def test_a_listing_can_be_narrowed(queue: Queue) -> None:
    first, second = submit(queue, 0, 0)
    claimed(queue)
    cases: list[tuple[Selection, list[str]]] = [
        (ALL, [second.id, first.id]),
        (Selection("Transcode"), []),
        (Selection("VideoSynthesis", states=("Running",)), [first.id]),
        (Selection("VideoSynthesis", states=("Running", "Submitted")), [second.id, first.id]),
        (Selection("VideoSynthesis", states=("Failed",)), []),
        (Selection("VideoSynthesis", queue=first.queue), [second.id, first.id]),
        (Selection("VideoSynthesis", queue="p0"), []),
        (Selection("VideoSynthesis", created_from=first.created_at), [second.id, first.id]),
        (Selection("VideoSynthesis", created_from=second.created_at + 1), []),
        (Selection("VideoSynthesis", created_to=second.created_at), [second.id, first.id]),
        (Selection("VideoSynthesis", created_to=first.created_at - 1), []),
    ]
    for selection, expected in cases:
        assert [job.id for job in queue.page(BUCKET, selection, after=None, limit=10)[0]] == expected, selection


# More than one connection.


def claim_all(path: Path) -> list[str]:
    database = Database.create(path)
    queue, mine = Queue(database), []
    while job := queue.claim():
        mine.append(job.id)
    database.close()
    return mine


def test_each_job_is_claimed_once_over_however_many_connections(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    database = Database.create(path)
    jobs = submit(Queue(database), *[0] * 100)
    with ThreadPoolExecutor(4) as threads:
        claimed_ids = [job for mine in threads.map(claim_all, [path] * 4) for job in mine]
    database.close()
    assert sorted(claimed_ids) == sorted(job.id for job in jobs)
