from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from reconciler.api import xml
from reconciler.api.queues import MediaBucketClosed, MediaBucketReply, MediaBucketsReply, QueuesReply
from tests.service.harness import BUCKET, CI, REGION, Caller, Studio, drop, error, lasting, operation, running

ACCOUNT = f"http://ci.{REGION}.myqcloud.com"
OTHER = f"http://other-1.ci.{REGION}.myqcloud.com"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0800")
TEXT = "media bucket unbinded, bucket's host is unavailable"


Examples = Callable[[Callable[[Caller], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    """Run the cases of a table on one service."""
    with lasting(tmp_path_factory.mktemp("service")) as run:
        yield run


async def listed(caller: Caller, host: str = ACCOUNT, **parameters: str) -> MediaBucketsReply:
    reply = await caller.http.get(f"{host}/mediabucket", params=parameters)
    assert reply.status_code == 200, reply.text
    return xml.read(MediaBucketsReply, reply.content, "Response")


async def names(caller: Caller, **parameters: str) -> list[str]:
    return [bucket.name for bucket in (await listed(caller, **parameters)).media_bucket_list or ()]


async def queue_id(caller: Caller, host: str = CI) -> str:
    reply = await caller.http.get(f"{host}/queue")
    assert reply.status_code == 200, reply.text
    (found,) = xml.read(QueuesReply, reply.content, "Response").queue_list or ()
    return found.queue_id


def test_every_bucket_processes_media_until_it_is_switched_off(tmp_path: Path) -> None:
    drop(tmp_path, "a", bucket="other-1")
    drop(tmp_path, "a", bucket="not a bucket")

    async def main() -> None:
        async with running(tmp_path) as caller:
            for host in (ACCOUNT, CI, OTHER, "http://127.0.0.1:8787"):
                reply = await listed(caller, host)
                assert (reply.total_count, reply.page_number, reply.page_size) == (2, 1, 10)
                found = reply.media_bucket_list or ()
                assert [bucket.name for bucket in found] == [BUCKET, "other-1"]
                assert [(bucket.bucket_id, bucket.region) for bucket in found] == [
                    (BUCKET, REGION),
                    ("other-1", REGION),
                ]
                assert all(TIME.fullmatch(bucket.create_time) for bucket in found)

    asyncio.run(main())


def test_the_list_is_narrowed_and_paged(tmp_path: Path) -> None:
    for number in range(3):
        drop(tmp_path, "a", bucket=f"x{number}-1")
    everything = [BUCKET, "x0-1", "x1-1", "x2-1"]

    async def main() -> None:
        async with running(tmp_path) as caller:
            cases: list[tuple[dict[str, str], list[str]]] = [
                ({"regions": "", "bucketNames": "", "bucketName": "", "pageNumber": "", "pageSize": ""}, everything),
                ({"regions": f"ap-beijing,{REGION}"}, everything),
                ({"regions": "All"}, everything),
                ({"regions": "ap-beijing"}, []),
                ({"bucketName": "x"}, everything[1:]),
                ({"bucketName": "x1-1"}, ["x1-1"]),
                ({"bucketNames": f"x2-1,none-1,{BUCKET}"}, [BUCKET, "x2-1"]),
                ({"bucketNames": "x2-1", "bucketName": "x0"}, ["x2-1"]),
                ({"pageSize": "3"}, everything[:3]),
                ({"pageSize": "3", "pageNumber": "2"}, everything[3:]),
                ({"pageSize": "3", "pageNumber": "3"}, []),
            ]
            for parameters, expected in cases:
                assert await names(caller, **parameters) == expected, parameters
            assert (await listed(caller, pageSize="3")).total_count == 4

    asyncio.run(main())


def test_switching_on_what_is_on_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            first = await queue_id(caller)
            reply = await caller.http.post(f"{CI}/mediabucket")
            assert reply.status_code == 200
            switched = xml.read(MediaBucketReply, reply.content, "Response")
            assert switched.request_id == reply.headers["x-ci-request-id"]
            assert (switched.media_bucket,) == (await listed(caller)).media_bucket_list
            assert await queue_id(caller) == first

    asyncio.run(main())


def test_a_bucket_that_is_switched_off_answers_no_media_call(tmp_path: Path) -> None:
    drop(tmp_path, "a", bucket="other-1")

    async def main() -> None:
        async with running(tmp_path) as caller:
            first = await queue_id(caller)
            reply = await caller.http.delete(f"{CI}/mediabucket")
            assert reply.status_code == 200
            closed = xml.read(MediaBucketClosed, reply.content, "Response")
            assert (closed.bucket_name, bool(closed.request_id)) == (BUCKET, True)
            for method, path in (
                ("GET", "/queue"),
                ("PUT", f"/queue/{first}"),
                ("GET", "/jobs?tag=VideoSynthesis"),
                ("POST", "/jobs"),
                ("GET", f"/jobs/j{'0' * 32}"),
                ("GET", "/template"),
                ("POST", "/template"),
            ):
                refused = await caller.http.request(method, f"{CI}{path}")
                document = error(refused)
                assert (refused.status_code, document.code, document.message) == (400, "MediaBucketUnbound", TEXT)
            assert (await caller.put("b")).status_code == 200, "objects are another matter"
            assert await names(caller) == ["other-1"]
            assert await queue_id(caller, OTHER)
            assert (await caller.http.delete(f"{CI}/mediabucket")).status_code == 200, "switched off twice is off"
            assert (await caller.http.post(f"{CI}/mediabucket")).status_code == 200
            assert await names(caller) == [BUCKET, "other-1"]
            assert await queue_id(caller) != first

    asyncio.run(main())


def test_switching_off_cancels_what_waits_and_lets_run_what_runs(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=1) as caller:
            first, second = await caller.submit(operation("a"), operation("a"))
            await caller.until(first.job_id, "Running")
            await caller.http.delete(f"{CI}/mediabucket")
            studio.let()
            await caller.http.post(f"{CI}/mediabucket")
            assert (await caller.until(first.job_id)).state == "Success"
            cancelled = await caller.job(second.job_id)
            assert (cancelled.state, cancelled.queue_id) == ("Cancel", second.queue_id)
            assert TIME.fullmatch(cancelled.end_time or "")
            (third,) = await caller.submit(operation("a"))
            assert third.queue_id not in (None, second.queue_id)
            assert (await caller.until(third.job_id)).state == "Success"

    asyncio.run(main())


def test_where_nothing_is_the_list_makes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, work=False) as caller:
            assert await names(caller) == [BUCKET]
            refused = await caller.http.post(f"{CI}/mediabucket")
            assert (refused.status_code, error(refused).code) == (403, "AccessDenied")

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/mediabucket", 405, "MethodNotAllowed"),
        ("GET", "/mediabucket/x", 400, "InvalidURI"),
        ("GET", "/mediabucket?pageSize=1000", 400, "InvalidArgument"),
    ],
)
def test_calls_that_there_are_not(examples: Examples, method: str, path: str, status: int, code: str) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.request(method, f"{CI}{path}")
        assert (reply.status_code, error(reply).code) == (status, code)

    examples(calls)
