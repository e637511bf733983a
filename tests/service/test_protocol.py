"""The connection over a real socket: what is no HTTP, what comes too slowly, what never ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lxml import etree

from reconciler.service import http, protocol
from reconciler.service.protocol import BoundedProtocol
from tests.service.harness import drop, running
from tests.service.wire import COS_HOST, exchange, listening

SOON = 0.02
"""Seconds; what is waited for in these tests is the end of a wait."""

PUT = b"PUT /a HTTP/1.1\r\nHost: " + COS_HOST + b"\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: " + COS_HOST + b"\r\n"


def talk(tmp_path: Path, *sent: bytes) -> list[bytes]:
    """Return what came back on as many connections, one after the other, and that the server still answers then."""

    async def main() -> list[bytes]:
        drop(tmp_path, "a", b"content")
        async with running(tmp_path) as caller, listening(caller.service.app) as address:
            said = [await exchange(address, data) for data in sent]
            assert (await exchange(address, GET + b"Connection: close\r\n\r\n")).endswith(b"content")
            return said

    return asyncio.run(main())


def refusal(said: bytes) -> tuple[int, str, str]:
    """Read an answer that is an error document."""
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/xml" in lines
    assert f"content-length: {len(body)}".encode() in lines
    found = {str(child.tag): child.text or "" for child in etree.fromstring(body)}
    assert list(found) == ["Code", "Message", "Resource", "RequestId", "TraceId"]
    assert all(found.values())
    return int(head.split()[1]), found["Code"], found["Message"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\xff\xfe\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xe6\xbc\x94 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 600_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 600_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_is_answered_and_the_connection_closed(tmp_path: Path, sent: bytes) -> None:
    (said,) = talk(tmp_path, sent)
    assert refusal(said) == (400, "BadRequest", "Invalid HTTP request received.")


def test_a_broken_chunk_in_a_body_closes_the_connection_and_leaves_nothing(tmp_path: Path) -> None:
    (said,) = talk(tmp_path, PUT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
    assert refusal(said)[:2] == (400, "BadRequest")
    assert sorted(path.name for path in (tmp_path / "buckets").rglob("*") if path.is_file()) == ["a"]


def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", SOON)
    silent, begun = talk(tmp_path, b"", b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
    assert silent == b""
    assert refusal(begun) == (400, "RequestTimeout", f"the head of the request did not come within {SOON:g} s")


def test_a_byte_now_and_then_does_not_prolong_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[asyncio.TimerHandle | None] = []
    real = BoundedProtocol.data_received

    async def main() -> None:
        arrived = asyncio.Semaphore(0)

        def received(self: BoundedProtocol, data: bytes) -> None:
            real(self, data)
            waits.append(self._deadline)
            arrived.release()

        monkeypatch.setattr(BoundedProtocol, "data_received", received)
        async with running(tmp_path) as caller, listening(caller.service.app) as address:
            _, writer = await asyncio.open_connection(*address)
            for byte in GET + b"\r\n":
                writer.write(bytes([byte]))
                await asyncio.wait_for(arrived.acquire(), 20)
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())
    *during, after = waits
    assert during[0] is not None
    assert all(wait is during[0] for wait in during)
    assert after is None


def test_a_body_that_stalls_is_given_up_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STALL_SECONDS", SOON)
    object_, job, chunked = talk(
        tmp_path,
        PUT + b"Connection: close\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n<Req",
        PUT + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    )
    for said in (object_, job, chunked):
        assert refusal(said) == (400, "RequestTimeout", f"nothing of the body came for {SOON:g} s")
    assert sorted(path.name for path in (tmp_path / "buckets").rglob("*") if path.is_file()) == ["a"]


def test_others_are_answered_while_a_body_stalls(tmp_path: Path) -> None:
    async def main() -> None:
        drop(tmp_path, "a", b"content")
        async with running(tmp_path) as caller, listening(caller.service.app) as address:
            stalled = [await asyncio.open_connection(*address) for _ in range(50)]
            for number, (_, writer) in enumerate(stalled):
                writer.write(PUT + b"Content-Length: 9\r\n\r\nhalf" if number % 2 else b"GET / HT")
                await writer.drain()
            assert (await exchange(address, GET + b"Connection: close\r\n\r\n")).endswith(b"content")
            for _, writer in stalled:
                writer.close()
                await writer.wait_closed()

    asyncio.run(main())


async def _send_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 1000)
        await writer.drain()
        await asyncio.sleep(0)


def test_an_answered_caller_is_listened_to_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a body that is too large arrives although the caller sends on; then the connection ends."""
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", SOON)

    async def main() -> bytes:
        async with running(tmp_path) as caller, listening(caller.service.app) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            said = await reader.readuntil(b"</Error>")
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_send_on(writer), 20)
            writer.close()
            return said

    assert refusal(asyncio.run(main()))[:2] == (400, "XMLSizeLimit")


def test_a_body_may_end_after_its_answer_and_the_connection_goes_on(tmp_path: Path) -> None:
    size = 3 << 20
    too_large = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    (said,) = talk(tmp_path, too_large + GET + b"Connection: close\r\n\r\n")
    first, _, second = said.partition(b"</Error>")
    assert refusal(first + b"</Error>")[1] == "XMLSizeLimit"
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert second.endswith(b"content")


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_no_other_protocol_is_spoken(tmp_path: Path, upgrade: str) -> None:
    (said,) = talk(tmp_path, GET + f"Connection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n".encode())
    assert said.endswith(b"content")
