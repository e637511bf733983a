from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable

import pytest

from reconciler.service.database import Database
from reconciler.service.intake import Intake
from reconciler.service.queue import NewJob, Queue, StoredJob, Submission
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError

BUCKET = "demo-1250000000"


class Watched(Queue):
    """A queue that notes how many submissions it is given at once."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.groups: list[int] = []

    def submit(self, submissions: Iterable[Submission]) -> list[list[StoredJob] | RefusedError]:
        group = list(submissions)
        self.groups.append(len(group))
        return super().submit(group)


def submission(text: str = "<Request/>", bucket: str = BUCKET) -> Submission:
    return Submission(bucket, "VideoSynthesis", [NewJob(text)])


def test_what_arrives_together_is_stored_together_and_each_gets_its_own() -> None:
    queue = Watched(Database.in_memory())

    async def main() -> None:
        intake = Intake(queue)
        made = await asyncio.gather(*(intake.submit(submission(str(number))) for number in range(20)))
        assert [[job.request for job in jobs] for jobs in made] == [[str(number)] for number in range(20)]
        assert queue.groups == [20]
        await intake.submit(submission())
        await intake.submit(submission())
        assert queue.groups == [20, 1, 1]

    asyncio.run(main())


def test_one_that_is_refused_does_no_harm_to_the_others() -> None:
    database = Database.in_memory()
    QueueStore(database).switch_off("off-1")

    async def main() -> None:
        intake = Intake(Queue(database))
        calls = [submission(), submission(bucket="off-1"), submission()]
        good, refused, also_good = await asyncio.gather(*map(intake.submit, calls), return_exceptions=True)
        assert isinstance(good, list)
        assert isinstance(also_good, list)
        assert isinstance(refused, RefusedError)
        assert refused.code == "MediaBucketUnbound"

    asyncio.run(main())


def test_a_caller_that_goes_away_takes_nothing_back() -> None:
    database = Database.in_memory()

    async def main() -> None:
        intake = Intake(Queue(database))
        gone, stays = (asyncio.create_task(intake.submit(submission())) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert len(await stays) == 1
        assert gone.cancelled() or await asyncio.wait([gone])
        assert database.rows("SELECT count(*) FROM job")[0][0] == 2

    asyncio.run(main())


def test_a_disk_that_is_full_is_told_to_everyone_and_the_next_group_is_stored() -> None:
    database = Database.in_memory()
    queue = Queue(database)

    async def main() -> None:
        intake = Intake(queue)
        database.rows("PRAGMA max_page_count = 1")
        large = submission("x" * 1_000_000)
        failed = await asyncio.gather(intake.submit(large), intake.submit(large), return_exceptions=True)
        assert [type(error) for error in failed] == [sqlite3.OperationalError] * 2
        assert database.rows("SELECT count(*) FROM job")[0][0] == 0
        database.rows("PRAGMA max_page_count = 100000")
        assert len(await intake.submit(large)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 5])
def test_the_jobs_of_one_submission_stay_together_and_in_order(count: int) -> None:
    async def main() -> None:
        intake = Intake(Queue(Database.in_memory()))
        jobs = [NewJob(str(number)) for number in range(count)]
        made = await intake.submit(Submission(BUCKET, "VideoSynthesis", jobs))
        assert [job.request for job in made] == [job.request for job in jobs]
        assert [job.number for job in made] == list(range(1, count + 1))

    asyncio.run(main())
