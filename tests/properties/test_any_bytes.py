"""Any bytes get a well-formed answer: hypothesis at the application, garbage at a socket of `reconciler serve`."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.consistency import check_disk
from tests.properties.visitor import HEADERS, HOSTS, METHODS, PARAMETERS
from tests.service.harness import BUCKET, Caller, drop, running
from tests.service.wire import BOUND, CI_HOST, COS_HOST, Call, send, well_formed

# At the application.


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def caller(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    root = tmp_path_factory.mktemp("service")
    drop(root, "a", b"content")
    stack = AsyncExitStack()
    caller = runner.run(stack.enter_async_context(running(root)))
    yield caller
    runner.run(stack.aclose())
    check_disk(root)


visible = st.integers(0x21, 0x7E)
targets = st.lists(visible, max_size=30).map(bytes) | st.binary(max_size=20).map(
    lambda raw: b"/" + "".join(f"%{byte:02x}" for byte in raw).encode()
)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), st.lists(visible, max_size=12).map(bytes)), max_size=4).map(
    lambda pairs: b"&".join(name.encode("ascii", "replace") + b"=" + value for name, value in pairs)
)
names = st.sampled_from([name.encode() for name in HEADERS])
header_values = st.lists(visible | st.integers(0x80, 0xFF) | st.just(0x20), max_size=20).map(bytes)


@settings(max_examples=80, deadline=None)
@given(
    method=st.sampled_from(METHODS) | st.text("ABCxyz-", min_size=1, max_size=8),
    host=st.sampled_from(HOSTS) | header_values,
    target=targets | st.sampled_from([b"/", b"/a", b"/jobs", b"/queue", b"/template", b"*", b"a:1", b"http://", b""]),
    query=queries,
    headers=st.lists(st.tuples(names, header_values), max_size=4),
    chunks=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
    gone=st.booleans(),
)
def test_any_request_gets_a_well_formed_answer(  # noqa: PLR0917
    runner: asyncio.Runner,
    caller: Caller,
    method: str,
    host: bytes,
    target: bytes,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    chunks: tuple[bytes, ...],
    gone: bool,
) -> None:
    call = Call(method, target + b"?" + query, [(b"host", host), *headers], chunks, gone)
    answer = runner.run(send(caller.service.app, call))
    well_formed(method, answer)
    assert answer.status < 500 or answer.status == 501, answer.body


# At a socket.

PIECES: Final = (
    *(
        b"GET ",
        b"PUT ",
        b"POST ",
        b"/",
        b"/a",
        b"/jobs",
        b"/?uploads",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
    ),
    *(
        b"Host: x",
        b"Host: " + COS_HOST,
        b"Host: " + CI_HOST,
        b"Content-Length: 5",
        b"Content-Length: -1",
        b": ",
        b"hello",
    ),
    *(
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"\0",
        b"\xff",
    ),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"<Request/>",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\n",
    ),
)
TIDY: Final = (
    b"GET /a HTTP/1.1\r\nHost: " + COS_HOST + b"\r\n\r\n",
    b"PUT /b HTTP/1.1\r\nHost: " + COS_HOST + b"\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /jobs HTTP/1.1\r\nHost: " + CI_HOST + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
)


def garbage(source: random.Random) -> bytes:
    """Return bytes that are no HTTP, almost HTTP, or HTTP with something in it that does not belong there."""
    match source.randrange(3):
        case 0:
            return source.randbytes(source.randrange(200))
        case 1:
            return b"".join(source.choice(PIECES) for _ in range(source.randrange(1, 30)))
    tidy = b"".join(source.choice(TIDY) for _ in range(source.randrange(1, 4)))
    at = source.randrange(len(tidy))
    return tidy[:at] + source.choice((b"", *PIECES)) + tidy[at + source.randrange(4) :]


@contextmanager
def serving(root: Path) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """Run the program on a free port; give its address, and what it says."""
    command = [sys.executable, "-m", "reconciler", "serve", "--root", str(root), "--bucket", BUCKET, "--port", "0"]
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("RECONCILER_", "TENCENTCLOUD_"))}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=mine) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("Serving "))
        host, port = line.split(" on http://")[1].split(";")[0].split(":")
        said: list[str] = []
        reader = threading.Thread(target=said.extend, args=(process.stderr,))
        reader.start()
        try:
            yield (host, int(port)), said
        finally:
            process.terminate()
            reader.join()


async def talk(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes and go away again, sometimes before the answer; return what came until then."""
    reader, writer = await asyncio.open_connection(*address)
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), BOUND)
        writer.close()
        await writer.wait_closed()
        return said
    writer.close()
    return b""


async def visit(address: tuple[str, int], seed: int, connections: int) -> None:
    """Talk garbage on so many connections, twenty at a time; every answer is HTTP."""
    source = random.Random(seed)
    for _ in range(connections // 20):
        sent = [garbage(source) for _ in range(20)]
        for data, said in zip(sent, await asyncio.gather(*(talk(address, one) for one in sent)), strict=True):
            assert said[:9] in (b"", b"HTTP/1.1 "), (seed, data, said)
            assert b" 500 " not in said.partition(b"\r\n")[0], (seed, data, said)
    fine = b"GET /a HTTP/1.1\r\nHost: " + COS_HOST + b"\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection(*address)
    writer.write(fine)
    said = await asyncio.wait_for(reader.read(), BOUND)
    writer.close()
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"content")


def check_server(root: Path, seed: int, connections: int) -> None:
    drop(root, "a", b"content")
    with serving(root) as (address, said):
        asyncio.run(visit(address, seed, connections))
    assert not [line for line in said if "Traceback" in line or "Error" in line], "".join(said)
    check_disk(root)


def test_a_server_still_answers_after_garbage(tmp_path: Path) -> None:
    check_server(tmp_path, seed=1, connections=100)


@pytest.mark.slow
def test_a_server_still_answers_after_two_thousand_connections_of_garbage(tmp_path: Path) -> None:
    seed = int(os.environ.get("RECONCILER_SEED") or random.SystemRandom().randrange(2**32))
    check_server(tmp_path, seed, connections=2000)
