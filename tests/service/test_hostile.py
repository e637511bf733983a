"""Bodies that are too large, never end, lie, or come in other alphabets: refused early and cheaply, or read rightly.

What XML itself can do is in tests/api/test_xml.py, what a connection can do in test_protocol.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import AsyncExitStack
from itertools import repeat
from typing import Any, Final

import pytest

from reconciler.service import http
from reconciler.service.bodies import MAX_UPLOAD
from reconciler.service.http import XML_LIMIT, Request
from reconciler.service.refused import RefusedError
from tests.properties.consistency import check_disk
from tests.service.harness import Caller, drop, running
from tests.service.refusals import JOB, NO_QUEUE, bent
from tests.service.wire import CI_HOST, COS_HOST, Answer, Call, send, well_formed

BLOCK: Final = b"x" * (64 << 10)
ENDLESS: Final = tuple(repeat(BLOCK, 2000))
"""As good as: 125 MiB, of which nobody may take more than a few."""

XML_CALLS: Final = {
    "jobs": ("POST", CI_HOST, b"/jobs", XML_LIMIT),
    "template": ("POST", CI_HOST, b"/template", XML_LIMIT),
    "queue": ("PUT", CI_HOST, f"/queue/{NO_QUEUE}".encode(), XML_LIMIT),
    "delete": ("POST", COS_HOST, b"/?delete", 4 << 20),
    "complete": ("POST", COS_HOST, b"/up?uploadId=", 4 << 20),
}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def caller(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    root = tmp_path_factory.mktemp("service")
    drop(root, "in/a.mp4", b"content")
    stack = AsyncExitStack()
    caller = runner.run(stack.enter_async_context(running(root)))
    yield caller
    runner.run(stack.aclose())
    check_disk(root)


async def call_of(caller: Caller, name: str, *chunks: bytes, **headers: str) -> Answer:
    method, host, target, _ = XML_CALLS[name]
    if name == "complete":
        begun = await send(caller.service.app, Call.of("POST", COS_HOST, b"/up?uploads"))
        target += begun.body.partition(b"<UploadId>")[2].partition(b"<")[0]
    sent = [(b"host", host), *((key.replace("_", "-").encode(), value.encode()) for key, value in headers.items())]
    return await send(caller.service.app, Call(method, target, sent, chunks))


@pytest.mark.parametrize("name", XML_CALLS)
@pytest.mark.parametrize("length", [None, "1", "1000000"])
def test_a_body_without_end_is_read_up_to_the_limit(
    runner: asyncio.Runner, caller: Caller, name: str, length: str | None
) -> None:
    """Also when it was announced to be short."""
    headers = {"transfer_encoding": "chunked"} if length is None else {"content_length": length}
    answer = runner.run(call_of(caller, name, *ENDLESS, **headers))
    said = well_formed("POST", answer)
    assert said is not None
    assert said.code == "XMLSizeLimit"
    assert answer.taken <= XML_CALLS[name][3] // len(BLOCK) + 1


@pytest.mark.parametrize("name", XML_CALLS)
@pytest.mark.parametrize("length", ["9999999", str(2**63), "9" * 4000])
def test_a_body_that_is_announced_as_too_large_is_not_read(
    runner: asyncio.Runner, caller: Caller, name: str, length: str
) -> None:
    answer = runner.run(call_of(caller, name, *ENDLESS, content_length=length))
    said = well_formed("POST", answer)
    assert said is not None
    assert (said.code, answer.taken) == ("XMLSizeLimit", 0)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({b"content-length": str(MAX_UPLOAD + 1).encode()}, "EntityTooLarge"),
        ({b"content-length": b"9" * 4000}, "EntityTooLarge"),
        ({b"content-length": b"-1"}, "InvalidArgument"),
        ({b"content-length": b"1e3"}, "InvalidArgument"),
        ({b"content-length": "٣".encode()}, "InvalidArgument"),
        ({}, "MissingContentLength"),
        ({b"content-length": b"7", b"content-md5": b"x"}, "InvalidDigest"),
        ({b"content-length": b"7", b"x-cos-meta-a": b"a" * 3000}, "InvalidArgument"),
    ],
)
def test_an_object_is_refused_before_its_body_is_read(
    runner: asyncio.Runner, caller: Caller, headers: dict[bytes, bytes], code: str
) -> None:
    sent = [(b"host", COS_HOST), *headers.items()]
    answer = runner.run(send(caller.service.app, Call("PUT", b"/new", sent, ENDLESS)))
    said = well_formed("PUT", answer)
    assert said is not None
    assert (said.code, answer.taken) == (code, 0)


@pytest.mark.parametrize("gone", [False, True])
def test_a_body_that_ends_early_leaves_nothing(runner: asyncio.Runner, caller: Caller, *, gone: bool) -> None:
    sent = [(b"host", COS_HOST), (b"content-length", b"1000")]
    said = well_formed("PUT", runner.run(send(caller.service.app, Call("PUT", b"/cut", sent, (b"half",), gone))))
    assert said is not None
    assert said.code == "IncompleteBody"
    assert runner.run(caller.keys(prefix="cut")) == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_may_come_in_any_pieces(runner: asyncio.Runner, caller: Caller, size: int) -> None:
    body = JOB.encode()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert runner.run(call_of(caller, "jobs", *chunks, transfer_encoding="chunked")).status == 200


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gbk", "gb18030", "iso-8859-1"])
def test_a_body_in_another_encoding_is_read(runner: asyncio.Runner, caller: Caller, encoding: str) -> None:
    name = "é" if encoding == "iso-8859-1" else "演示"
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    body = (declared + bent(JOB, ("out/x.mp4", f"out/{name}.mp4"))).encode(encoding)
    answer = runner.run(call_of(caller, "jobs", body))
    assert answer.status == 200, answer.body
    assert f"<Object>out/{name}.mp4</Object>".encode() in answer.body


def test_what_is_written_otherwise_means_the_same(runner: asyncio.Runner, caller: Caller) -> None:
    changes = [
        ("<Request>", "<?xml version='1.0'?>\n<?x y?><!-- a --><Request a='b' xmlns:x='urn:x'>\n  "),
        ("out/x.mp4", "<![CDATA[out/]]>x<!-- a -->.<?b c?>mp4"),
        ("<JobLevel>0</JobLevel>", "<x:Other/><JobLevel>\n 00001 </JobLevel>"),
    ]
    answer = runner.run(call_of(caller, "jobs", bent(JOB, *changes).encode()))
    assert answer.status == 200, answer.body
    assert b"<Object>out/x.mp4</Object>" in answer.body
    assert b"<JobLevel>1</JobLevel>" in answer.body


def test_an_element_of_another_namespace_is_another_element(runner: asyncio.Runner, caller: Caller) -> None:
    body = bent(JOB, ("<Tag>VideoSynthesis</Tag>", "<Tag xmlns='urn:x'>VideoSynthesis</Tag>"))
    said = well_formed("POST", runner.run(call_of(caller, "jobs", body.encode())))
    assert said is not None
    assert said.message.startswith("Request.Tag: is missing")


def request(*messages: MutableMapping[str, Any]) -> Request:
    """Return a request whose body stops coming after some messages, without an end."""
    sent = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        for message in sent:
            return message
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody ends the wait")

    return Request.of({"method": "POST", "path": "/", "query_string": b"", "headers": []}, receive)


def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STALL_SECONDS", 0.01)
    half = {"type": "http.request", "body": b"<Req", "more_body": True}
    with pytest.raises(RefusedError, match="RequestTimeout: nothing of the body came for"):
        asyncio.run(request(half).xml_body())


def test_a_body_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece comes in time, but the whole does not."""
    monkeypatch.setattr(http, "XML_SECONDS", 0.01)
    half = {"type": "http.request", "body": b"<Req", "more_body": True}
    with pytest.raises(RefusedError, match="RequestTimeout: the body did not come within"):
        asyncio.run(request(half, half).xml_body())
