from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.harness import CI, COS, error, running

JOB = "j" + "0" * 32
TEMPLATE = "t1" + "0" * 32
QUEUE = "p" + "0" * 32
MESSAGE = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<Request><Tag>Transcode</Tag><Name>canvas</Name>'
    b"<Container><Format>mp4</Format></Container></Request>"
)
UPDATE = b"<Request><Name>render</Name><State>Active</State><NotifyConfig><State>Off</State></NotifyConfig></Request>"

JOB_CALLS = {
    "an id that there is not": ("GET", f"/jobs/{JOB}", b"", 200),
    "ids with others among them": ("GET", f"/jobs/nonsense%2C{JOB}%2Cj1", b"", 200),
    "ids with literal commas": ("GET", f"/jobs/{JOB},nonsense", b"", 200),
    "cancelling what is no id": ("PUT", "/jobs/j1?cancel", b"", 404),
    "cancelling with an empty value": ("PUT", "/jobs/j1?cancel=", b"", 404),
    "a template under what is no id": ("PUT", "/template/xyz", MESSAGE, 404),
    "a template under an id": ("PUT", f"/template/{TEMPLATE}", MESSAGE, 404),
    "a queue under what is no id": ("PUT", "/queue/q", UPDATE, 404),
    "a queue under an id": ("PUT", f"/queue/{QUEUE}", UPDATE, 404),
    "a template behind a byte order mark": ("PUT", "/template/xyz", b"\xef\xbb\xbf" + MESSAGE, 404),
    "deleting a template by an id": ("DELETE", f"/template/{TEMPLATE}", b"", 404),
    "an older id": ("DELETE", "/template/t0e2b9f4cd25184c6ab73d0c85a6ee9cb5", b"", 404),
}


@pytest.mark.parametrize("case", JOB_CALLS)
@pytest.mark.parametrize("host", [COS, "http://127.0.0.1:8787"])
def test_what_can_only_be_a_job_call_is_one_on_a_shared_host(tmp_path: Path, case: str, host: str) -> None:
    method, target, body, status = JOB_CALLS[case]

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.request(method, host + target, content=body)
            assert reply.status_code == status, reply.text
            assert reply.headers["server"] == "tencent-ci"
            there = await caller.http.request(method, CI + target, content=body)
            assert there.status_code == status
            if status == 200:
                assert reply.text == there.text
            else:
                assert error(reply).code == error(there).code
            assert await caller.keys() == []

    asyncio.run(main())


OBJECTS = {
    "jobs/a.mp4": b"film",
    "jobs/x": b"any",
    "template/canvas.xml": MESSAGE,
    "template/intro": b"<Requests/>",
    "template/sub/xyz": MESSAGE,
    "queue/empty": b"",
    "queue/log": b"text",
}


@pytest.mark.parametrize("key", OBJECTS)
def test_other_objects_beside_job_paths_can_be_reached_on_a_shared_host(tmp_path: Path, key: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            content = OBJECTS[key]
            assert (await caller.put(key, content)).status_code == 200
            assert (await caller.http.get(f"{COS}/{key}")).content == content
            assert (await caller.http.delete(f"{COS}/{key}")).status_code == 204
            assert error(await caller.http.get(f"{COS}/{key}")).code == "NoSuchKey"

    asyncio.run(main())


@pytest.mark.parametrize(("first", "status"), [(MESSAGE[:30], 404), (b"film" * 100, 200)])
def test_a_body_that_was_looked_into_is_whole_again(tmp_path: Path, first: bytes, status: int) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield first[:1]
        yield first[1:]
        yield MESSAGE[30:]

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.put(f"{COS}/template/xyz", content=parts())
            assert reply.status_code == status, reply.text
            if status == 200:
                assert (await caller.http.get(f"{COS}/template/xyz")).content == first + MESSAGE[30:]

    asyncio.run(main())
