from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.service.database import Database
from reconciler.service.queue import NewJob, Queue, StoredJob, Submission
from reconciler.service.queue_store import QueueStore, StoredQueue
from reconciler.service.refused import RefusedError

BUCKET = "demo-1250000000"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.create(tmp_path / "service.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def queues(database: Database) -> QueueStore:
    return QueueStore(database)


def got(queues: QueueStore, bucket: str = BUCKET) -> StoredQueue:
    queue = queues.get(bucket)
    assert queue is not None
    return queue


def submit(database: Database, count: int) -> list[StoredJob]:
    jobs = [NewJob("<Request/>")] * count
    (made,) = Queue(database).submit([Submission(BUCKET, "VideoSynthesis", jobs)])
    assert isinstance(made, list)
    return made


def states(database: Database, jobs: list[StoredJob]) -> list[str]:
    found = Queue(database).find(BUCKET, [job.id for job in jobs])
    return [found[job.id].state for job in jobs]


def test_a_row_is_read_in_the_order_of_its_columns(database: Database) -> None:
    assert [row["name"] for row in database.rows("PRAGMA table_info(queue)")] == list(StoredQueue._fields)


def test_the_first_question_makes_the_queue_and_it_stays(queues: QueueStore) -> None:
    assert queues.find(BUCKET) is None
    queue = got(queues)
    assert re.fullmatch(r"p[0-9a-f]{32}", queue.id)
    assert (queue.name, queue.state, queue.notify, queue.waiting) == ("default", "Active", None, 0)
    assert queues.get(BUCKET) == queues.find(BUCKET) == queue
    assert got(queues, "other-1").id != queue.id
    assert queues.all().keys() == {BUCKET, "other-1"}


def test_a_job_is_a_first_question_too(database: Database, queues: QueueStore) -> None:
    (job,) = submit(database, 1)
    assert got(queues).id == job.queue


def test_nothing_is_made_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "service.sqlite"
    Database.create(path).close()
    monkeypatch.setattr("reconciler.service.database.os.access", lambda *_: False)
    database = Database.existing(path)
    assert database is not None
    assert QueueStore(database).get(BUCKET) is None
    database.close()


def test_a_bucket_has_one_open_queue(database: Database, queues: QueueStore) -> None:
    got(queues)
    with pytest.raises(sqlite3.IntegrityError):
        database.rows(
            "INSERT INTO queue (id, bucket, created_at, updated_at) SELECT 'p' || substr(id, 1, 32), bucket, 1, 1 FROM queue"
        )


def test_pausing_touches_what_waits_and_resuming_gives_it_back(database: Database, queues: QueueStore) -> None:
    jobs = submit(database, 3)
    Queue(database).claim()
    paused = queues.update(BUCKET, name="night", state="Paused", notify="<NotifyConfig/>")
    assert (paused.name, paused.state, paused.notify, paused.id) == (
        "night",
        "Paused",
        "<NotifyConfig/>",
        jobs[0].queue,
    )
    assert states(database, jobs) == ["Running", "Pause", "Pause"]
    assert Queue(database).claim() is None
    queues.update(BUCKET, name="day", state="Active", notify="")
    assert states(database, jobs) == ["Running", "Submitted", "Submitted"]
    assert got(queues).name == "day"


def test_pausing_one_bucket_leaves_the_others_alone(database: Database, queues: QueueStore) -> None:
    jobs = submit(database, 1)
    got(queues, "other-1")
    queues.update("other-1", name="n", state="Paused", notify="")
    assert states(database, jobs) == ["Submitted"]


def test_switching_off_cancels_what_waits_and_takes_the_queue_away(database: Database, queues: QueueStore) -> None:
    jobs = submit(database, 3)
    Queue(database).claim()
    Queue(database).cancel(BUCKET, jobs[2].id)
    queues.switch_off(BUCKET)
    assert states(database, jobs) == ["Running", "Cancel", "Cancel"]
    assert queues.is_off(BUCKET)
    assert queues.find(BUCKET) is None
    assert queues.all() == {}
    with pytest.raises(RefusedError, match="MediaBucketUnbound: media bucket unbinded, bucket's host is unavailable"):
        queues.get(BUCKET)
    queues.switch_off(BUCKET)
    assert database.rows("SELECT count(*) FROM queue")[0][0] == 1


def test_what_runs_when_it_is_switched_off_goes_on_even_with_another_worker(
    database: Database, queues: QueueStore
) -> None:
    (job,) = submit(database, 1)
    Queue(database).claim()
    queues.update(BUCKET, name="n", state="Paused", notify="")
    queues.switch_off(BUCKET)
    assert Queue(database).rescue() == ([job.id], [])
    again = Queue(database).claim()
    assert again is not None
    assert again.id == job.id


def test_switched_on_again_it_has_a_new_queue(queues: QueueStore) -> None:
    first = queues.switch_on(BUCKET)
    assert queues.switch_on(BUCKET) == first
    queues.switch_off(BUCKET)
    second = queues.switch_on(BUCKET)
    assert second.id != first.id
    assert not queues.is_off(BUCKET)
    assert got(queues) == second


def test_a_bucket_of_which_nobody_has_asked_is_not_off(queues: QueueStore) -> None:
    assert not queues.is_off(BUCKET)
    queues.switch_off(BUCKET)
    assert queues.is_off(BUCKET)
