from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.signing import Credentials, sign
from reconciler.service.bucket import Bucket
from tests.service.harness import BUCKET, CI, COS, REGION, Caller, drop, error, lasting, operation, running

KEY = Credentials("AKIDEXAMPLE", "SecretExample")
JOB = "j" + "0" * 32


def test_the_host_says_which_half_and_which_bucket(tmp_path: Path) -> None:
    drop(tmp_path, "a", b"1")
    drop(tmp_path, "a", b"22", bucket="other-1")

    async def main() -> None:
        async with running(tmp_path) as caller:
            lengths = {
                f"{COS}/a": 1,
                f"http://other-1.cos.{REGION}.tencentcos.cn:8787/a": 2,
                "http://other-1.localhost:8787/a": 2,
                "http://127.0.0.1:8787/a": 1,
            }
            for url, length in lengths.items():
                reply = await caller.http.get(url)
                assert (reply.status_code, len(reply.content)) == (200, length), url
                assert reply.headers["server"] == "tencent-cos"
                assert reply.headers["x-cos-request-id"]
            for host in (CI, COS, "http://127.0.0.1:8787", f"http://ci.{REGION}.myqcloud.com"):
                reply = await caller.http.get(f"{host}/jobs?tag=VideoSynthesis")
                assert reply.text == "<Response><NextToken></NextToken></Response>", host
                assert reply.headers["server"] == "tencent-ci"
                assert reply.headers["x-ci-request-id"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://none-1.cos.{REGION}.myqcloud.com/a", "there is no bucket `none-1` here"),
        (f"http://{BUCKET}.cos.ap-beijing.myqcloud.com/a", f"are in `{REGION}`, not in `ap-beijing`"),
    ],
)
def test_another_bucket_or_region_is_refused(tmp_path: Path, url: str, reason: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.get(url)
            assert reply.status_code == 404
            document = error(reply)
            assert document.code == "NoSuchBucket"
            assert reason in document.message
            assert document.resource == url.removeprefix("http://")

    asyncio.run(main())


def test_objects_beside_the_job_paths_can_be_reached_on_a_shared_host(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("jobs/a.mp4", b"film")
            assert (await caller.http.get(f"{COS}/jobs/a.mp4")).content == b"film"
            missing = await caller.http.get(f"{COS}/jobs/{JOB}%2C{JOB[:-1]}1")
            assert missing.text.count("<NonExistJobIds>") == 2

    asyncio.run(main())


def test_only_signed_calls_pass_when_there_are_credentials(tmp_path: Path) -> None:
    drop(tmp_path, "in/a b.mp4", b"film")
    headers = {"host": COS.removeprefix("http://")}
    now = int(time.time())

    def signed(key: Credentials, path: str) -> dict[str, str]:
        value = sign(key, method="GET", path=path, start=now - 60, end=now + 600, headers=headers)
        return {"Authorization": value}

    async def main() -> None:
        async with running(tmp_path, credentials=KEY) as caller:
            get = caller.http.get
            good = await get(f"{COS}/in/a%20b.mp4", headers=signed(KEY, "/in/a b.mp4"))
            assert good.content == b"film"
            cases: list[tuple[dict[str, str], str]] = [
                ({}, "AccessDenied"),
                (signed(KEY, "/other"), "SignatureDoesNotMatch"),
                (signed(Credentials("AKIDOTHER", "x"), "/in/a b.mp4"), "InvalidAccessKeyId"),
            ]
            for authorization, code in cases:
                reply = await get(f"{COS}/in/a%20b.mp4", headers=authorization)
                assert (reply.status_code, error(reply).code) == (403, code)
            assert error(await caller.http.post(f"{CI}/jobs", content=b"<Request/>")).code == "AccessDenied"

    asyncio.run(main())


def test_what_nobody_foresaw_is_answered_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Bucket, "open", broken)

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.get(f"{COS}/a")
            assert reply.status_code == 500
            document = error(reply)
            assert document.code == "InternalError"
            assert document.request_id in document.message
            assert "a bug" not in reply.text
            assert document.request_id in caplog.text
            assert "ZeroDivisionError: a bug" in caplog.text

    asyncio.run(main())


@pytest.mark.parametrize(
    ("trouble", "status", "code", "message"),
    [
        (OSError(28, "No space left on device"), 500, "InternalError", "No space left on device"),
        (
            PermissionError(13, "Permission denied", "/folder/a"),
            403,
            "AccessDenied",
            "the service may not touch the files of this call: Permission denied",
        ),
    ],
    ids=["a full disk", "another one's file"],
)
def test_trouble_with_the_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: OSError, status: int, code: str, message: str
) -> None:
    async def put(*_: Any, **__: Any) -> None:
        raise trouble

    monkeypatch.setattr(Bucket, "put", put)

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.put("a")
            document = error(reply)
            assert (reply.status_code, document.code, document.message) == (status, code, message)

    asyncio.run(main())


def test_trouble_with_the_database_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.http.get(f"{CI}/queue")
            other = sqlite3.connect(tmp_path / ".reconciler" / "service.sqlite")
            other.execute("DROP TABLE template")
            other.close()
            reply = await caller.http.get(f"{CI}/template")
            assert (reply.status_code, error(reply).message) == (500, "the service's database: no such table: template")

    asyncio.run(main())


def test_a_server_may_announce_its_lifespan(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
            sent: list[Any] = []

            async def receive() -> Any:
                return next(incoming)

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await caller.service.app({"type": "lifespan"}, receive, send)
            assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(main())


async def never(*_: object) -> Any:
    raise AssertionError("nothing is received and nothing is sent")


def test_websockets_are_not_spoken(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            with pytest.raises(NotImplementedError, match="speaks HTTP, not websocket"):
                await caller.service.app({"type": "websocket"}, never, never)

    asyncio.run(main())


# Whatever is sent, the answer is one of the API's.


def well_formed(reply: httpx.Response) -> None:
    assert reply.status_code < 500 or reply.status_code == 501, reply.text
    if reply.status_code >= 400 and reply.request.method != "HEAD":
        error(reply)


Examples = Callable[[Callable[[Caller], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    with lasting(tmp_path_factory.mktemp("service")) as run:
        yield run


def answered(examples: Examples, method: str, host: str, raw_path: bytes, body: bytes, query: bytes = b"") -> None:
    async def calls(caller: Caller) -> None:
        url = httpx.URL(scheme="http", host=host.removeprefix("http://"), raw_path=raw_path + b"?" + query)
        well_formed(await caller.http.request(method, url, content=body))

    examples(calls)


fuzz = settings(max_examples=100, deadline=None)
VALID = (
    b"<Request><Tag>VideoSynthesis</Tag><Operation><VideoSynthesis><SpliceInfo><Url>http://a/b</Url></SpliceInfo>"
    b"</VideoSynthesis><Transcode><Video><Width>128</Width><Height>128</Height></Video></Transcode>"
    b"<Output><Region>r</Region><Bucket>b-1</Bucket><Object>o</Object></Output></Operation></Request>"
)


@given(body=st.binary(max_size=200))
@fuzz
def test_any_bytes_as_a_submission_get_a_well_formed_answer(examples: Examples, body: bytes) -> None:
    answered(examples, "POST", CI, b"/jobs", body)


@given(
    at=st.integers(0, len(VALID)),
    cut=st.integers(0, 30),
    new=st.binary(max_size=12) | st.text(max_size=8).map(str.encode),
)
@fuzz
def test_any_damaged_submission_gets_a_well_formed_answer(examples: Examples, at: int, cut: int, new: bytes) -> None:
    answered(examples, "POST", CI, b"/jobs", VALID[:at] + new + VALID[at + cut :])


PARAMETERS = [
    "tag",
    "size",
    "states",
    "nextToken",
    "prefix",
    "marker",
    "max-keys",
    "delimiter",
    "encoding-type",
    "cancel",
    "uploads",
]
raw_paths = st.text("abj/%.2Fce0é\0-", max_size=12).map(lambda text: b"/" + quote(text, safe="/%").encode())
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), st.text(max_size=4)), max_size=4).map(
    lambda pairs: urlencode(pairs, errors="replace").encode()
)


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]),
    host=st.sampled_from([CI, COS, "http://localhost"]),
    raw_path=raw_paths | st.sampled_from([b"/jobs", b"/jobs/" + JOB.encode(), b"/queue", b"/"]),
    query=queries,
)
@fuzz
def test_any_path_and_query_get_a_well_formed_answer(
    examples: Examples, method: str, host: str, raw_path: bytes, query: bytes
) -> None:
    answered(examples, method, host, raw_path, b"", query)


def test_a_submission_through_a_bare_address_is_a_job_of_the_default_bucket(tmp_path: Path) -> None:
    async def main() -> None:
        drop(tmp_path, "a")
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation("a"))
            assert (await caller.http.get(f"http://127.0.0.1:1/jobs/{job.job_id}")).text.count("<JobsDetail>") == 1

    asyncio.run(main())


def test_the_same_application_is_served_on_a_socket_also_to_clients_that_take_it_for_a_proxy(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as inside:
            config = uvicorn.Config(
                inside.service.app, port=0, log_level="error", server_header=False, date_header=False
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{listener.getsockname()[1]}") as http:
                caller = Caller(inside.service, http)
                content = bytes(range(256)) * 4096
                assert (await caller.put("in/a b.mp4", content)).status_code == 200
                reply = await http.get(f"{COS}/in/a%20b.mp4")
                assert reply.content == content
                assert reply.headers.get_list("server") == ["tencent-cos"]
                head = await http.head(f"{COS}/in/a%20b.mp4")
                assert (head.headers["content-length"], head.content) == (str(len(content)), b"")
                (job,) = await caller.submit(operation("in/a%20b.mp4"))
                assert (await caller.until(job.job_id)).state == "Success"
                assert error(await http.get(f"{COS}/none")).code == "NoSuchKey"
                cut = await asyncio.open_connection(*listener.getsockname())
                cut[1].write(b"PUT /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
                await cut[1].drain()
                cut[1].close()
                await cut[1].wait_closed()
            server.should_exit = True
            await serving
            assert await inside.keys(prefix="cut") == []

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(main())
    assert not list((tmp_path / "buckets").rglob(".reconciler-*"))
