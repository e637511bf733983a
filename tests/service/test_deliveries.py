"""Callbacks are delivered at least once, whoever is slow, refuses or dies in between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import Callback, JobRequest
from reconciler.service import deliveries
from reconciler.service.carriers import Carriers, Ways
from reconciler.service.database import Database
from reconciler.service.deliveries import AT_ONCE, AT_ONCE_PER_SERVER, Deliveries, Outbox, pause_after
from reconciler.service.queue import NewJob, Queue, Submission
from reconciler.service.reach import everything
from reconciler.service.render import RenderFailed
from tests.service.harness import BUCKET, CI, Failing, drop, operation, running
from tests.service.receiver import Received, receiving

ANYWHERE = Ways(everything)


def rows(root: Path) -> list[tuple[Any, ...]]:
    """Return what is left in the outbox of a service: attempts, whether one more will be made, the last reason."""
    connection = sqlite3.connect(root / ".reconciler" / "service.sqlite")
    try:
        return connection.execute("SELECT attempt, due_at IS NOT NULL, error FROM delivery ORDER BY number").fetchall()
    finally:
        connection.close()


def told(received: Received) -> tuple[str, str]:
    """Return the job that a callback in XML is about, and its state."""
    (job,) = xml.read(Callback, received.body, "Response").jobs_detail
    return job.job_id, job.state


# Through the whole service.


def test_the_callback_holds_what_a_query_answers(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving() as receiver, running(tmp_path, ways=ANYWHERE) as caller:
            (job,) = await caller.submit(operation("a", user_data="<u>&"), call_back=receiver.url())
            (sent,) = await receiver.until(1)
            reply = await caller.http.get(f"{CI}/jobs/{job.job_id}")
            assert sent.headers["content-type"] == "application/xml"
            assert sent.body == reply.content.replace(b"<Response>", b"<Response><EventName>TaskFinish</EventName>", 1)

    asyncio.run(main())


def test_the_callback_has_the_persons_text_and_the_query_the_token_too(tmp_path: Path) -> None:
    drop(tmp_path, "a")
    token = f"reconciler:2:{40 * 'b'}:{16 * '0'}"

    async def main() -> None:
        async with receiving() as receiver, running(tmp_path, ways=ANYWHERE) as caller:
            sent = operation("a", user_data=f"order 17 {token}")
            (job,) = await caller.submit(sent, call_back=receiver.url(), call_back_format="JSON")
            (received,) = await receiver.until(1)
            assert json.loads(received.body)["JobsDetail"][0]["Operation"]["UserData"] == "order 17"
            found = await caller.job(job.job_id)
            assert found.operation is not None
            assert found.operation.user_data == f"order 17 {token}"

    asyncio.run(main())
    assert rows(tmp_path) == []


def test_the_callback_in_json(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving() as receiver, running(tmp_path, ways=ANYWHERE) as caller:
            (job,) = await caller.submit(operation("a"), call_back=receiver.url(), call_back_format="JSON")
            (sent,) = await receiver.until(1)
            assert sent.headers["content-type"] == "application/json"
            (said,) = json.loads(sent.body)["JobsDetail"]
            assert (said["JobId"], said["State"], said["Progress"]) == (job.job_id, "Success", "100")

    asyncio.run(main())


def test_failures_are_told_and_cancellations_are_not(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        broken = Failing(RenderFailed("InvalidSource", "moov atom not found"))
        async with receiving() as receiver, running(tmp_path, ways=ANYWHERE, render=broken) as caller:
            assert (await caller.http.put(f"{CI}/queue/{await queue_of(caller)}", content=queue("Paused"))).is_success
            failed, cancelled = await caller.submit(operation("a"), operation("a"), call_back=receiver.url())
            assert (await caller.http.put(f"{CI}/jobs/{cancelled.job_id}?cancel")).is_success
            assert (await caller.http.put(f"{CI}/queue/{await queue_of(caller)}", content=queue("Active"))).is_success
            assert [told(each) for each in await receiver.until(1)] == [(failed.job_id, "Failed")]
            await caller.until(failed.job_id)
            assert len(receiver.received) == 1

    asyncio.run(main())


async def queue_of(caller: Any) -> str:
    reply = await caller.http.get(f"{CI}/queue")
    return xml.parse(reply.content, "Response").findtext("QueueList/QueueId", "")


def queue(state: str, notify: str = "<State>Off</State>") -> str:
    return f"<Request><Name>q</Name><State>{state}</State><NotifyConfig>{notify}</NotifyConfig></Request>"


def test_a_job_that_names_nobody_is_told_to_whom_its_queue_names(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving() as receiver, receiving() as other, running(tmp_path, ways=ANYWHERE) as caller:
            text = f"<State>On</State><Event>TaskFinish</Event><Type>Url</Type><Url>{receiver.url()}</Url>"
            body = queue("Active", f"{text}<ResultFormat>JSON</ResultFormat>")
            assert (await caller.http.put(f"{CI}/queue/{await queue_of(caller)}", content=body)).is_success
            (plain,) = await caller.submit(operation("a"))
            (silent,) = await caller.submit(operation("a"), call_back="no")
            (own,) = await caller.submit(operation("a"), call_back=other.url(), call_back_format="XML")
            for job in (plain, silent, own):
                await caller.until(job.job_id)
            assert json.loads((await receiver.until(1))[0].body)["JobsDetail"][0]["JobId"] == plain.job_id
            assert told((await other.until(1))[0]) == (own.job_id, "Success")
        assert len(receiver.received) == len(other.received) == 1

    asyncio.run(main())


def test_messages_go_into_the_folder_when_there_is_no_broker(tmp_path: Path) -> None:
    drop(tmp_path, "a")
    config = {"mq_region": "sh", "mq_name": "ended"}

    async def main() -> str:
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation("a"), call_back_type="TDMQ", call_back_mq_config=config)
            await caller.until(job.job_id)
        return job.job_id

    job = asyncio.run(main())
    (path,) = (tmp_path / ".reconciler" / "mq").rglob("*.*")
    assert path.relative_to(tmp_path) == Path(".reconciler/mq/sh/ended") / f"{job}.xml"
    (said,) = xml.read(Callback, path.read_bytes(), "Response").jobs_detail
    assert said.job_id == job
    assert rows(tmp_path) == []


def test_this_machine_is_not_called_unless_that_is_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drop(tmp_path, "a")

    async def main() -> str:
        async with receiving() as receiver, running(tmp_path) as caller:
            (job,) = await caller.submit(operation("a"), call_back=receiver.url())
            assert (await caller.until(job.job_id)).state == "Success"
        assert receiver.connected == 0
        return job.job_id

    job = asyncio.run(main())
    reason = "127.0.0.1 is at 127.0.0.1, which is not a public address; callbacks do not go there"
    assert rows(tmp_path) == [(1, 0, reason)]
    assert f"the callback of {job} is given up: {reason}" in caplog.text


def test_what_was_not_taken_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving([500]) as receiver:
            async with running(tmp_path, ways=ANYWHERE) as caller:
                (job,) = await caller.submit(operation("a"), call_back=receiver.url())
                await caller.until(job.job_id)
                await receiver.until(1)
            assert rows(tmp_path) == [(1, 1, "127.0.0.1 answered 500")]
            async with running(tmp_path, ways=ANYWHERE):
                assert {told(each) for each in await receiver.until(2)} == {(job.job_id, "Success")}

    asyncio.run(main())
    assert rows(tmp_path) == []


def test_what_was_under_way_when_the_service_was_left_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "FAREWELL_SECONDS", 0.05)
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving(held=True) as receiver:
            async with running(tmp_path, ways=ANYWHERE) as caller:
                await caller.submit(operation("a"), call_back=receiver.url())
                await receiver.until(1)
            assert rows(tmp_path) == [(0, 1, None)]
            receiver.go_on.set()
            async with running(tmp_path, ways=ANYWHERE):
                await receiver.until(2)

    asyncio.run(main())
    assert rows(tmp_path) == []


VICTIM = """
import asyncio, pathlib, sys
from reconciler.service.carriers import Ways
from reconciler.service.reach import everything
from tests.service.harness import operation, running

async def main() -> None:
    async with running(pathlib.Path(sys.argv[1]), ways=Ways(everything)) as caller:
        await caller.submit(operation("a"), call_back=sys.argv[2])
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_what_was_under_way_when_the_service_was_killed_is_sent_again(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with receiving(held=True) as receiver:
            command = [sys.executable, "-c", VICTIM, str(tmp_path), receiver.url()]
            victim = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
            await receiver.until(1)
            victim.kill()
            await victim.wait()
            receiver.go_on.set()
            async with running(tmp_path, ways=ANYWHERE):
                first, second = await receiver.until(2)
            assert first.body == second.body

    asyncio.run(main())
    assert rows(tmp_path) == []


def test_when_deliveries_die_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(deliveries, "FAREWELL_SECONDS", 0.05)
    monkeypatch.setattr(Outbox, "first", broken)

    async def main() -> None:
        async with running(tmp_path):
            pass

    asyncio.run(main())
    assert "callbacks are not delivered any more; start the service again" in caplog.text


# The outbox and who empties it, without a service around.


class Office:
    """Jobs that can be ended at will, and the deliveries of their callbacks."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.in_memory()
        self.outbox = Outbox(self.database)
        self.queue = Queue(self.database, ended=self.outbox.add)
        self.carriers = Carriers(folder, ANYWHERE)

    def begin(self, url: str) -> str:
        """Bring a job with a callback to where a worker runs it."""
        request = JobRequest(operation=(operation("a"),), call_back=url)
        job = NewJob(xml.write(request, "Request").decode())
        self.queue.submit([Submission(BUCKET, "VideoSynthesis", [job])])
        claimed = self.queue.claim()
        assert claimed is not None
        return claimed.id

    def end(self, url: str) -> str:
        job = self.begin(url)
        self.queue.fail(job, "InternalError", "it was only a test")
        return job

    def rows(self) -> list[tuple[Any, ...]]:
        found = self.database.rows("SELECT attempt, due_at IS NOT NULL, error FROM delivery ORDER BY number")
        return [tuple(row) for row in found]


@asynccontextmanager
async def office(folder: Path, pause: Callable[[int], float | None] = lambda _: 0.0) -> AsyncIterator[Office]:
    """Run deliveries whose attempts follow each other as ``pause`` says."""
    async with AsyncExitStack() as stack:
        made = Office(folder)
        stack.callback(made.database.close)
        stack.push_async_callback(made.carriers.aclose)
        task = asyncio.create_task(Deliveries(made.outbox, made.carriers, pause_after=pause).run())
        try:
            yield made
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if happened():
                return
            await asyncio.sleep(0.005)


def test_a_callback_is_sent_until_it_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiving([503, 302, 404]) as receiver, office(tmp_path) as made:
            job = made.end(receiver.url())
            assert [told(each) for each in await receiver.until(4)] == [(job, "Failed")] * 4
            await until(lambda: made.rows() == [])

    asyncio.run(main())


def test_a_job_whose_request_cannot_be_read_ends_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Office(tmp_path)
    job = made.begin("http://127.0.0.1:1/")
    made.database.rows("UPDATE job SET request = '<Request><Strange/></Request>'")
    made.queue.fail(job, "InternalError", "its request cannot be read")
    assert made.queue.find(BUCKET, [job])[job].state == "Failed"
    assert made.rows() == []
    assert f"whom to tell of the end of {job} cannot be read" in caplog.text
    made.database.close()


def test_after_the_last_attempt_it_is_given_up_and_the_reason_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> str:
        pauses = {1: 0.0, 2: 0.0}
        async with receiving([500, 500, 418]) as receiver, office(tmp_path, pauses.get) as made:
            job = made.end(receiver.url())
            await until(lambda: made.rows() == [(3, 0, "127.0.0.1 answered 418")])
            assert len(receiver.received) == 3
            return job

    job = asyncio.run(main())
    assert f"the callback of {job} is given up: 127.0.0.1 answered 418" in caplog.text


def test_the_pauses_grow_up_to_an_hour_and_end() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, deliveries.ATTEMPTS)]
    for attempt, pause in enumerate(pauses):
        usual = min(4**attempt, 3600)
        assert pause is not None
        assert 0.75 * usual <= pause <= 1.25 * usual
    assert pause_after(deliveries.ATTEMPTS) is None


def test_one_server_that_does_not_answer_holds_up_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiving(held=True) as slow, receiving() as quick, office(tmp_path) as made:
            for _ in range(40):
                made.end(slow.url())
            made.end(quick.url())
            await quick.until(1)
            await slow.until(AT_ONCE_PER_SERVER)
            assert slow.connected == AT_ONCE_PER_SERVER
            slow.go_on.set()
            await slow.until(40)

    asyncio.run(main())


def test_so_many_attempts_are_under_way_at_once_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            receivers = [await stack.enter_async_context(receiving(held=True)) for _ in range(6)]
            made = await stack.enter_async_context(office(tmp_path))
            for receiver in receivers * 5:
                made.end(receiver.url())
            await until(lambda: sum(len(each.received) for each in receivers) == AT_ONCE)
            assert sum(each.connected for each in receivers) == AT_ONCE
            for receiver in receivers:
                receiver.go_on.set()
            await until(lambda: sum(len(each.received) for each in receivers) == 30)

    asyncio.run(main())


def test_a_job_that_is_given_up_with_its_worker_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.service.queue.MAX_ATTEMPTS", 1)

    async def main() -> None:
        async with receiving() as receiver, office(tmp_path) as made:
            job = made.begin(receiver.url())
            assert made.queue.rescue() == ([], [job])
            assert told((await receiver.until(1))[0]) == (job, "Failed")

    asyncio.run(main())


def test_the_end_of_a_job_and_its_callback_are_written_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    made = Office(tmp_path)
    job = made.begin("http://127.0.0.1:1/")
    monkeypatch.setattr(made.outbox, "added", full)
    with pytest.raises(sqlite3.OperationalError):
        made.queue.fail(job, "InternalError", "it was only a test")
    assert made.rows() == []
    assert made.queue.find(BUCKET, [job])[job].state == "Running"
    made.database.close()


def test_what_was_taken_is_not_sent_again_because_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = iter([sqlite3.OperationalError("database or disk is full")] * 2)
    original = Outbox.taken

    def taken(outbox: Outbox, delivery: deliveries.Delivery) -> None:
        if trouble := next(troubles, None):
            raise trouble
        original(outbox, delivery)

    monkeypatch.setattr(Outbox, "taken", taken)
    monkeypatch.setattr("reconciler.service.database.RETRY_SECONDS", 0.01)

    async def main() -> None:
        async with receiving() as receiver, office(tmp_path) as made:
            made.end(receiver.url())
            await until(lambda: made.rows() == [])
            assert len(receiver.received) == 1

    asyncio.run(main())
    assert caplog.text.count("what came of a callback is not written down yet: database or disk is full") == 2


def test_a_database_that_cannot_be_read_for_a_moment_delays_callbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = iter([sqlite3.OperationalError("database is locked")])
    original = Outbox.first

    def first(*arguments: Any) -> deliveries.Delivery | None:
        if trouble := next(troubles, None):
            raise trouble
        return original(*arguments)

    monkeypatch.setattr(Outbox, "first", first)
    monkeypatch.setattr(deliveries, "RETRY_SECONDS", 0.01)

    async def main() -> None:
        async with receiving() as receiver, office(tmp_path) as made:
            made.end(receiver.url())
            await receiver.until(1)

    asyncio.run(main())
    assert "no callback can be looked for at the moment: database is locked" in caplog.text


def test_a_mistake_of_ours_is_logged_and_the_callback_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise KeyError("Strange")

    monkeypatch.setattr("reconciler.service.callbacks.body", broken)

    async def main() -> None:
        async with office(tmp_path, lambda _: 1000.0) as made:
            made.end("http://127.0.0.1:1/")
            await until(lambda: made.rows() == [(1, 1, "KeyError: 'Strange'")])

    asyncio.run(main())
    assert "Traceback" in caplog.text
