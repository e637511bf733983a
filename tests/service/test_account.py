from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.api import xml
from reconciler.api.account import ListAllMyBucketsResult
from tests.service.harness import BUCKET, REGION, drop, error, running

HOSTS = ("service.cos.myqcloud.com", f"cos.{REGION}.myqcloud.com", "service.cos.myqcloud.com:8787")


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_without_a_bucket_lists_the_buckets(tmp_path: Path, host: str) -> None:
    drop(tmp_path, "a", bucket="other-1")
    drop(tmp_path, "a", bucket="not a bucket")

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.get(f"http://{host}/")
            assert reply.headers["x-cos-request-id"]
            found = xml.read(ListAllMyBucketsResult, reply.content, "ListAllMyBucketsResult")
            assert (found.owner.id, found.owner.display_name) == ("1250000000", "1250000000")
            assert [(each.name, each.location) for each in found.buckets.bucket or ()] == [
                (BUCKET, REGION),
                ("other-1", REGION),
            ]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("PUT", "/", 405, "MethodNotAllowed", "PUT is not a call of an account"),
        ("GET", "/a", 400, "InvalidURI", f"the host `{HOSTS[1]}` names no bucket"),
        ("PUT", "/a", 400, "InvalidURI", f"the host `{HOSTS[1]}` names no bucket"),
    ],
)
def test_other_calls_need_a_bucket(
    tmp_path: Path, method: str, path: str, status: int, code: str, message: str
) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.request(method, f"http://{HOSTS[1]}{path}")
            assert (reply.status_code, error(reply).code, error(reply).message) == (status, code, message)

    asyncio.run(main())


def test_where_there_is_no_folder_there_is_no_bucket(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, work=False) as caller:
            reply = await caller.http.get(f"http://{HOSTS[0]}/")
            assert reply.text.endswith("<Buckets/></ListAllMyBucketsResult>")

    asyncio.run(main())
