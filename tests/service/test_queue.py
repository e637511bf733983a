from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.service import queue as rows
from reconciler.service.database import Database
from reconciler.service.queue import MAX_ATTEMPTS, Made, NewJob, Queue, Selection, StoredJob, Submission
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError

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


def submission(*priorities: int, bucket: str = BUCKET) -> Submission:
    return Submission(bucket, "VideoSynthesis", [NewJob("<Request/>", priority=priority) for priority in priorities])


def submit(queue: Queue, *priorities: int, bucket: str = BUCKET) -> list[StoredJob]:
    (made,) = queue.submit([submission(*priorities, bucket=bucket)])
    assert isinstance(made, list), made
    return made


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
    first, second = submit(queue, 0, 0)
    (other,) = submit(queue, 0, bucket="other-1")
    assert first.queue == second.queue != other.queue


def test_a_row_is_read_in_the_order_of_its_columns(database: Database) -> None:
    assert [row["name"] for row in database.rows("PRAGMA table_info(job)")] == list(StoredJob._fields)


def test_the_resolved_request_is_kept_beside_the_one_that_was_asked_for(queue: Queue) -> None:
    (made,) = queue.submit([Submission(BUCKET, "VideoSynthesis", [NewJob("asked", "resolved", 2)])])
    assert isinstance(made, list)
    (job,) = made
    assert (job.request, job.resolved, job.priority) == ("asked", "resolved", 2)


def test_submissions_share_a_transaction_and_each_has_its_own_outcome(queue: Queue, database: Database) -> None:
    queues = QueueStore(database)
    queues.switch_off("off-1")
    before = queue.submit([submission(0), submission(0, bucket="off-1"), submission(0, 0, bucket="other-1")])
    counts = [len(made) if isinstance(made, list) else made.code for made in before]
    assert counts == [1, "MediaBucketUnbound", 2]


def test_a_full_queue_takes_all_jobs_of_a_submission_or_none(
    queue: Queue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_SIZE", 3)
    first, *_ = submit(queue, 0, 0)
    (refused,) = queue.submit([submission(0, 0)])
    assert isinstance(refused, RefusedError)
    assert (refused.code, refused.message) == ("SlowDown", f"2 jobs wait in the queue `{first.queue}`; it holds 3")
    submit(queue, 0)
    claimed(queue)
    assert len(submit(queue, 0)) == 1, "a job that runs does not wait"


def test_what_waits_is_counted_however_it_comes_and_goes(queue: Queue, database: Database) -> None:
    queues = QueueStore(database)

    def waiting() -> int:
        found = queues.find(BUCKET)
        assert found is not None
        return found.waiting

    first, second, third, _ = submit(queue, 0, 0, 0, 0)
    assert waiting() == 4
    claimed(queue)
    claimed(queue)
    assert waiting() == 2
    queue.release(first.id)
    assert waiting() == 3
    queue.rescue()
    assert waiting() == 4
    queue.cancel(BUCKET, third.id)
    claimed(queue)
    queue.progress(first.id, 40)
    queue.fail(first.id, "x", "y")
    assert waiting() == 2
    queues.update(BUCKET, name="n", state="Paused", notify="")
    submit(queue, 0)
    assert waiting() == 3
    queue.cancel(BUCKET, second.id)
    queues.switch_off(BUCKET)
    assert database.rows("SELECT waiting FROM queue")[0]["waiting"] == 0


def test_what_comes_back_to_a_paused_queue_waits_as_pause(queue: Queue, database: Database) -> None:
    first, second, third = submit(queue, 0, 0, 0)
    claimed(queue)
    claimed(queue)
    QueueStore(database).update(BUCKET, name="n", state="Paused", notify="")
    assert [state(queue, job) for job in (first, second, third)] == ["Running", "Running", "Pause"]
    queue.release(first.id)
    assert queue.rescue() == ([second.id], [])
    (fourth,) = submit(queue, 0)
    assert {state(queue, job) for job in (first, second, third, fourth)} == {"Pause"}
    assert queue.claim() is None
    QueueStore(database).update(BUCKET, name="n", state="Active", notify="")
    assert [claimed(queue).id for _ in range(4)] == [first.id, second.id, third.id, fourth.id]


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
    queue.succeed(job.id, Made("<MediaInfo/>", "<MediaResult/>", "ffmpeg 7.1, 2 threads", "in/a.mp4 is HDR"))
    done = queue.find(BUCKET, [job.id])[job.id]
    assert (done.state, done.progress, done.media_info, done.media_result) == (
        "Success",
        100,
        "<MediaInfo/>",
        "<MediaResult/>",
    )
    assert (done.engine, done.notes) == ("ffmpeg 7.1, 2 threads", "in/a.mp4 is HDR")
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
        queue.fail(job.id, "x", "y") if ending == "Failed" else queue.succeed(job.id, Made("", ""))
    before = queue.find(BUCKET, [job.id])
    assert not queue.cancel(BUCKET, job.id)
    queue.progress(job.id, 7)
    queue.release(job.id)
    queue.fail(job.id, "late", "late")
    queue.succeed(job.id, Made("late", "late", "late", "late"))
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


def test_attempts_are_counted_however_far_the_job_had_got(queue: Queue) -> None:
    (job,) = submit(queue, 0)
    for attempt in range(1, MAX_ATTEMPTS):
        claimed(queue)
        queue.progress(job.id, 99)
        assert queue.rescue() == ([job.id], [])
        found = queue.find(BUCKET, [job.id])[job.id]
        assert (found.attempt, found.progress) == (attempt, 0)
    claimed(queue)
    queue.progress(job.id, 99)
    assert queue.rescue() == ([], [job.id])
    assert queue.find(BUCKET, [job.id])[job.id].state == "Failed"


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


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (rows._FIND, "sqlite_autoindex_job_1 (id=?)"),
        (rows._CANCEL, "sqlite_autoindex_job_1 (id=?)"),
        (rows._PAGE + rows._NEWEST_FIRST, "job_listing (bucket=? AND number<?)"),
        (rows._PAGE + rows._OLDEST_FIRST, "job_listing (bucket=? AND number>?)"),
        (rows._WAITING, "job_waiting"),
        (rows._CLAIM, "job_waiting"),
        (rows._PROGRESS, "sqlite_autoindex_job_1 (id=?)"),
        (rows._RESCUE, "job_running"),
    ],
)
def test_what_is_asked_often_looks_jobs_up_instead_of_reading_them_all(
    database: Database, statement: str, index: str
) -> None:
    values = dict.fromkeys(re.findall(r":(\w+)", statement))
    plan = [row["detail"] for row in database.rows(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any(line.startswith(("SEARCH job", "SCAN job")) and line.endswith(f"INDEX {index}") for line in plan), plan
    assert "SCAN job" not in plan


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
