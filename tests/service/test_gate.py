from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from reconciler.service.bucket import Bucket
from reconciler.service.database import Database
from reconciler.service.gate import Calls, late
from reconciler.service.http import Request, Response
from reconciler.service.index import ObjectIndex
from tests.service.harness import BUCKET, CI, REGION, error, operation, running

WAYS_IN = (CI, f"http://{BUCKET}.cos.{REGION}.myqcloud.com", "http://127.0.0.1:8787")


@pytest.mark.parametrize("host", WAYS_IN)
def test_where_a_bucket_is_switched_off_media_calls_are_refused_by_every_way_in(tmp_path: Path, host: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.http.delete(f"{CI}/mediabucket")
            for path in ("/queue", "/template", "/jobs?tag=VideoSynthesis"):
                reply = await caller.http.get(f"{host}{path}")
                assert (reply.status_code, error(reply).code) == (400, "MediaBucketUnbound")
            assert (await caller.http.get(f"{host}/mediabucket")).status_code == 200

    asyncio.run(main())


def test_a_service_that_only_reads_answers_questions_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, work=False) as caller:
            for path in ("/queue", "/template", "/jobs?tag=VideoSynthesis", "/mediabucket"):
                assert (await caller.http.get(f"{CI}{path}")).status_code == 200, path
            for method, path in (
                ("POST", "/jobs"),
                ("PUT", f"/jobs/j{'0' * 32}?cancel"),
                ("PUT", f"/queue/p{'0' * 32}"),
                ("POST", "/template"),
                ("PUT", f"/template/t1{'0' * 32}"),
                ("DELETE", f"/template/t1{'0' * 32}"),
                ("POST", "/mediabucket"),
                ("DELETE", "/mediabucket"),
            ):
                refused: httpx.Response = await caller.http.request(method, f"{CI}{path}")
                assert (refused.status_code, error(refused).code) == (403, "AccessDenied"), path
                assert error(refused).message == "this service only reads: nothing has been made in its folder yet"

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_beside_an_owner_the_media_calls_are_all_served(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path), running(tmp_path, work=False) as other:
            (job,) = await other.submit(operation("a"))
            assert (await other.http.get(f"{CI}/queue")).text.count(f"<QueueId>{job.queue_id}</QueueId>") == 1
            assert (await other.http.post(f"{CI}/mediabucket")).status_code == 200

    asyncio.run(main())


def test_calls_that_are_late_are_made_once_and_together() -> None:
    made: list[str] = []

    def make() -> dict[str, Calls]:
        made.append("made")
        return {name: answering(name) for name in ("a", "b")}

    def answering(name: str) -> Calls:
        async def answer(request: Request, bucket: Bucket) -> Response:
            return Response(200, name.encode())

        return answer

    async def main(request: Request, bucket: Bucket) -> None:
        calls = late(("a", "b"), make)
        assert made == []
        for name in ("b", "a", "b"):
            assert (await calls[name](request, bucket)).body == name.encode()
        assert made == ["made"]

    async def nothing() -> dict[str, object]:
        return {}

    database = Database.in_memory()
    bucket = Bucket("b-1", Path("/none"), ObjectIndex(database))
    asyncio.run(main(Request("GET", "", b"/", {}, {}, nothing), bucket))
    database.close()
