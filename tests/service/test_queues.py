from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.api import xml
from reconciler.api.queues import NotifyConfig, QueueInfo, QueueReply, QueuesReply, QueueUpdate
from tests.service.harness import CI, Caller, Studio, drop, error, lasting, operation, running

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0800")
OFF = NotifyConfig(state="Off")
HOOK = NotifyConfig(state="On", event="TaskFinish", type="Url", url="http://hooks.example.com/ci", result_format="JSON")


Examples = Callable[[Callable[[Caller], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    """Run the cases of a table on one service."""
    with lasting(tmp_path_factory.mktemp("service")) as run:
        yield run


async def listed(caller: Caller, **parameters: str) -> QueuesReply:
    reply = await caller.http.get(f"{CI}/queue", params=parameters)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/xml"
    return xml.read(QueuesReply, reply.content, "Response")


async def queue(caller: Caller) -> QueueInfo:
    (found,) = (await listed(caller)).queue_list or ()
    return found


async def put(caller: Caller, address: str, **keys: Any) -> httpx.Response:
    update = QueueUpdate.model_validate({"name": "n", "state": "Active", "notify_config": OFF, **keys})
    return await caller.http.put(f"{CI}/queue/{address}", content=xml.write(update, "Request"))


def test_a_bucket_has_its_queue_from_the_first_question_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, concurrency=3) as caller:
            reply = await listed(caller)
            assert (reply.total_count, reply.page_number, reply.page_size) == (1, 1, 10)
            assert reply.request_id
            assert reply.non_exist_pids is None
            (found,) = reply.queue_list or ()
            assert re.fullmatch("p[0-9a-f]{32}", found.queue_id)
            assert (found.name, found.state, found.category) == ("default", "Active", "Transcoding")
            assert (found.max_size, found.max_concurrent) == (1_000_000, 3)
            assert found.notify_config == OFF
            assert TIME.fullmatch(found.create_time or "")
            assert TIME.fullmatch(found.update_time or "")
            (job,) = await caller.submit(operation("a"), queue_id=found.queue_id)
            assert job.queue_id == found.queue_id

    asyncio.run(main())


def test_the_list_is_narrowed_by_state_category_and_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            cases: list[tuple[dict[str, str], int]] = [
                ({"queueIds": "", "state": "All", "pageNumber": "", "pageSize": ""}, 1),
                ({"state": "Active"}, 1),
                ({"state": "Paused"}, 0),
                ({"category": "CateAll"}, 1),
                ({"category": "Transcoding"}, 1),
                ({"category": "SpeedTranscoding"}, 0),
            ]
            for parameters, count in cases:
                reply = await listed(caller, **parameters)
                assert (len(reply.queue_list or ()), reply.total_count) == (count, count), parameters
            beyond = await listed(caller, pageNumber="2", pageSize="1")
            assert (beyond.queue_list, beyond.total_count, beyond.page_number, beyond.page_size) == (None, 1, 2, 1)

    asyncio.run(main())


def test_named_queues_are_told_without_pages_and_missing_ones_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            found = await queue(caller)
            reply = await listed(caller, queueIds=f"p1,{found.queue_id},p2,p1", state="Paused")
            assert reply.queue_list == (found,)
            assert (reply.total_count, reply.page_number, reply.page_size) == (None, None, None)
            assert reply.non_exist_pids is not None
            assert reply.non_exist_pids.queue_id == ("p1", "p2")
            assert (await listed(caller, queueIds=found.queue_id)).non_exist_pids is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("state=active", "state: `active` is unknown; write Active, Paused or All"),
        ("category=All", "category: `All` is unknown; write CateAll, Transcoding or SpeedTranscoding"),
        ("pageNumber=0", "pageNumber: 0 is out of range; pages are counted from 1"),
        ("pageNumber=x", "pageNumber: `x` is not a number; write digits"),
        ("pageSize=0", "pageSize: 0 is out of range; write 1 to 100"),
        ("pageSize=101", "pageSize: 101 is out of range; write 1 to 100"),
    ],
)
def test_parameters_that_cannot_be(examples: Examples, query: str, reason: str) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.get(f"{CI}/queue?{query}")
        assert (reply.status_code, error(reply).code, error(reply).message) == (400, "InvalidArgument", reason)

    examples(calls)


def test_a_queue_is_renamed_and_given_a_callback(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            before = await queue(caller)
            reply = await put(caller, before.queue_id, name="夜 render", queue_id=before.queue_id, notify_config=HOOK)
            assert reply.status_code == 200, reply.text
            changed = xml.read(QueueReply, reply.content, "Response")
            assert changed.request_id == reply.headers["x-ci-request-id"]
            after = await queue(caller)
            assert changed.queue == after
            assert (after.name, after.state, after.notify_config) == ("夜 render", "Active", HOOK)
            assert after.queue_id == before.queue_id

    asyncio.run(main())
    asyncio.run(_still_there(tmp_path))


async def _still_there(root: Path) -> None:
    async with running(root) as caller:
        found = await queue(caller)
        assert (found.name, found.notify_config) == ("夜 render", HOOK)


def test_a_paused_queue_keeps_what_waits_and_lets_run_what_runs(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=1) as caller:
            first, second = await caller.submit(operation("a"), operation("a"))
            await caller.until(first.job_id, "Running")
            name = (await queue(caller)).queue_id
            assert (await put(caller, name, state="Paused")).status_code == 200
            assert (await listed(caller, state="Paused")).total_count == 1
            (third,) = await caller.submit(operation("a"))
            assert third.state == "Pause"
            studio.let()
            assert (await caller.until(first.job_id)).state == "Success"
            assert [(await caller.job(job.job_id)).state for job in (second, third)] == ["Pause", "Pause"]
            assert (await caller.http.put(f"{CI}/jobs/{third.job_id}?cancel")).status_code == 200
            assert (await put(caller, name, state="Active")).status_code == 200
            assert (await caller.until(second.job_id)).state == "Success"
            assert (await caller.job(third.job_id)).state == "Cancel"

    asyncio.run(main())


def test_a_pause_outlives_the_service(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def pause() -> str:
        async with running(tmp_path, render=Studio(held=True), concurrency=1) as caller:
            (job,) = await caller.submit(operation("a"))
            await caller.until(job.job_id, "Running")
            await put(caller, (await queue(caller)).queue_id, state="Paused")
            return job.job_id

    async def resume(job: str) -> None:
        async with running(tmp_path) as caller:
            assert (await caller.job(job)).state == "Pause"
            await put(caller, (await queue(caller)).queue_id, state="Active")
            assert (await caller.until(job)).state == "Success"

    asyncio.run(resume(asyncio.run(pause())))


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("", "MissingRequestBodyError", "no body"),
        ("<a/>", "MalformedXML", "the root element is `a`, expected `Request`"),
        ("<Request><State>Active</State></Request>", "InvalidArgument", "Request.Name: "),
        ("<Request><Name>n</Name></Request>", "InvalidArgument", "Request.State: "),
        ("<Request><Name>n</Name><State>On</State></Request>", "InvalidArgument", "Request.State: On is unknown"),
        (
            "<Request><Name>n</Name><State>Active</State></Request>",
            "InvalidArgument",
            "Request.NotifyConfig: NotifyConfig is missing",
        ),
        (
            "<Request><Name>n</Name><State>Active</State><NotifyConfig><State>On</State></NotifyConfig></Request>",
            "InvalidArgument",
            "Request.NotifyConfig.Event: Event is missing: State is On; Request.NotifyConfig.Type: ",
        ),
        (
            (
                "<Request><Name>n</Name><QueueID>p1</QueueID><State>Active</State>"
                "<NotifyConfig><State>Off</State></NotifyConfig></Request>"
            ),
            "InvalidArgument",
            "Request.QueueID: `p1` is not the queue of the address, `p",
        ),
    ],
)
def test_updates_that_cannot_be(examples: Examples, body: str, code: str, reason: str) -> None:
    async def calls(caller: Caller) -> None:
        before = await queue(caller)
        reply = await caller.http.put(f"{CI}/queue/{before.queue_id}", content=body)
        assert (reply.status_code, error(reply).code) == (400, code)
        assert reason in error(reply).message
        assert await queue(caller) == before

    examples(calls)


def test_another_queue_is_unknown(examples: Examples) -> None:
    async def calls(caller: Caller) -> None:
        reply = await put(caller, "p" + "0" * 32)
        assert (reply.status_code, error(reply).code) == (404, "NoSuchQueue")
        assert error(reply).message == f"the bucket has no queue `p{'0' * 32}`"

    examples(calls)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/queue"), ("DELETE", "/queue"), ("GET", "/queue/p1"), ("PUT", "/queue")]
)
def test_calls_that_there_are_not(examples: Examples, method: str, path: str) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.request(method, f"{CI}{path}")
        assert (reply.status_code, error(reply).code) == (405, "MethodNotAllowed")

    examples(calls)
