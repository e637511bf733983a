"""Callbacks are heard at a secret path, read for job ids, and believed in nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import listener as module
from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.inflight import Bell, Poller
from reconciler.listener import BODY_LIMIT, CONNECTIONS, Listener, job_ids
from reconciler.service.carriers import Ways
from reconciler.service.reach import everything
from reconciler.wire import wire_request
from tests.service.harness import BUCKET, REGION, Studio, drop, running

XML = b"<Response><EventName>TaskFinish</EventName><JobsDetail><JobId>j1</JobId><State>Success</State></JobsDetail></Response>"


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Listener, list[str]]]:
    heard: list[str] = []
    listener = Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1")
    async with listener.ringing(heard.append):
        yield listener, heard


def port(listener: Listener) -> int:
    return int(listener.address.split(":")[2].split("/")[0])


async def said(listener: Listener, raw: bytes) -> bytes:
    """Send bytes, and return everything that comes back; nothing when the connection is broken off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(listener))
    try:
        writer.write(raw)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


# What a callback says.


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (XML, ["j1"]),
        (b"\n" + XML, ["j1"]),
        (b"<Response/>", []),
        ({"EventName": "TaskFinish", "JobsDetail": [{"JobId": "j1", "State": "Success"}]}, ["j1"]),
        ({"EventName": "TaskFinish", "JobsDetail": {"JobId": "j1", "Progress": 100}}, ["j1"]),
        ({"JobsDetail": [{"JobId": "j1"}, {"JobId": "j2"}]}, ["j1", "j2"]),
        ({"JobsDetail": [{"JobId": 7}, {"JobId": "j" * 65}, {}, "j3", None]}, []),
        ({}, []),
        ({"JobsDetail": None}, []),
    ],
)
def test_ids(body: bytes | dict[str, object], ids: list[str]) -> None:
    assert job_ids(body if isinstance(body, bytes) else json.dumps(body).encode()) == ids


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{" * 100_000, b'{"a":' * 100_000, b"<a/>", b"\xff", b"{\xff}"])
def test_what_is_no_callback_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        job_ids(body)


@given(st.one_of(st.binary(), st.binary().map(lambda some: b"{" + some), st.binary().map(lambda some: XML[:60] + some)))
def test_anything_else_is_refused_or_names_nobody(body: bytes) -> None:
    with suppress(ValueError):
        assert job_ids(body) == []


# How it comes.


def test_a_callback_is_answered_and_rings() -> None:
    async def main() -> None:
        async with listening() as (listener, heard), httpx.AsyncClient() as http:
            body = {"JobsDetail": [{"JobId": "j2"}]}
            assert (await http.post(listener.address, content=XML)).status_code == 200
            assert (await http.post(listener.address, json=body)).status_code == 200
            assert (await http.post(listener.address, content=aiter_of(XML))).status_code == 200
            assert heard == ["j1", "j2", "j1"]

    asyncio.run(main())


async def aiter_of(body: bytes) -> AsyncIterator[bytes]:
    """Give a body in pieces, so that it is sent in chunks."""
    for start in range(0, len(body), 10):
        yield body[start : start + 10]


def test_two_addresses_are_never_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        paths = {Listener(one, "h").address.split("/")[3] for _ in range(50)}
    assert len(paths) == 50
    assert min(map(len, paths)) == 32


def test_an_address_of_version_6_stands_in_brackets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert Listener(one, "2001:db8::7").address.startswith("http://[2001:db8::7]:")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/", XML, 404),
        ("POST", "/x", XML, 404),
        ("POST", "{path}/", XML, 404),
        ("POST", "{path}?x", XML, 404),
        ("GET", "{path}", b"", 405),
        ("PUT", "{path}", XML, 405),
        ("POST", "{path}", b"", 400),
        ("POST", "{path}", b"{", 400),
        ("POST", "{path}", b"x" * (BODY_LIMIT + 1), 413),
        ("POST", "{path}", b"<!DOCTYPE Response><Response/>", 400),
    ],
)
def test_anything_else_is_refused_and_rings_nothing(method: str, path: str, body: bytes, status: int) -> None:
    async def main() -> None:
        async with listening() as (listener, heard):
            target = path.format(path=listener.address[listener.address.index("/", 8) :])
            head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            answer = await said(listener, head.encode() + body)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert heard == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_is_refused(raw: bytes, status: int) -> None:
    async def main() -> None:
        async with listening() as (listener, _):
            assert (await said(listener, raw)).startswith(f"HTTP/1.1 {status} ".encode())
            assert (await said(listener, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")).startswith(b"HTTP/1.1 404 ")

    asyncio.run(main())


def test_who_asks_before_sending_is_told_to_go_on() -> None:
    async def main() -> None:
        async with listening() as (listener, heard):
            path = listener.address[listener.address.index("/", 8) :]
            reader, writer = await asyncio.open_connection("127.0.0.1", port(listener))
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {len(XML)}\r\n\r\n"
            writer.write(head.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(XML)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            assert heard == ["j1"]

    asyncio.run(main())


def test_who_never_gets_to_an_end_is_parted_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)

    async def main() -> None:
        async with listening() as (listener, heard):
            assert await said(listener, b"POST / HTTP/1.1\r\n") == b""
            assert heard == []

    asyncio.run(main())


def test_only_so_many_talk_at_once_and_leaving_waits_for_none_of_them() -> None:
    async def main() -> None:
        async with listening() as (listener, _):
            open_ones = [await asyncio.open_connection("127.0.0.1", port(listener)) for _ in range(CONNECTIONS)]
            assert await said(listener, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == b""
        for reader, writer in open_ones:
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


# With a service.


def test_the_end_of_a_job_is_heard_and_asked_about_once(tmp_path: Path) -> None:
    """The poller's pauses last for ever here: what comes, comes by callback."""
    drop(tmp_path, "a.mp4")

    async def forever(_: float) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        listener = Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1")
        bell = Bell(listener.address)
        studio = Studio(held=True)
        request = {
            "operation": [
                {
                    "video_synthesis": {"splice_info": [{"url": "a.mp4"}]},
                    "transcode": {"container": {"format": "mp4"}, "video": {"width": 128, "height": 128}},
                    "output": {"object": "out.mp4"},
                }
            ]
        }
        async with listener.ringing(bell.ring), running(tmp_path, ways=Ways(everything), render=studio) as caller:
            asked = Counted(caller.service.app)
            async with Client(Endpoints.of(BUCKET, REGION), transport=asked) as client:
                wired = wire_request(bell.attached(request), bucket=BUCKET, region=REGION)
                job = (await client.submit(wired)).job_id
                bell.expect(job, request)
                poller = Poller(client, forever, 1.0, bell)
                task = asyncio.create_task(poller.run())
                ended = poller.watch(job, lambda _: None)
                studio.let()
                assert (await asyncio.wait_for(ended, 20)).state == "Success"
                task.cancel()
            assert asked.queries == 1

    asyncio.run(main())


class Counted(httpx.ASGITransport):
    """Counts the questions about jobs."""

    queries = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.queries += request.method == "GET" and request.url.path.startswith("/jobs/")
        return await super().handle_async_request(request)
