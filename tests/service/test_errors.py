"""Every wrong request has its own code and a message that names the node or parameter; see ``refusals``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest

from reconciler.api.error_codes import CODES
from tests.service.harness import BUCKET, Caller, Studio, drop, running
from tests.service.refusals import (
    ALL,
    CI,
    COS,
    JOB,
    MARK_TEMPLATE,
    NO_XML,
    QUEUE,
    TEMPLATE,
    VIDEO,
    Wrong,
    bent,
)
from tests.service.wire import Answer, Call, mapping, send, well_formed

Ask: TypeAlias = Callable[[Wrong], Answer]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """One service for all cases: with an object, a running and a cancelled job, templates, and an upload."""
    root = tmp_path_factory.mktemp("service")
    drop(root, "in/a.mp4", b"content")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        running_service = running(root, render=Studio(held=True), concurrency=1)
        caller = runner.run(stack.enter_async_context(running_service))
        names = runner.run(made(caller))

        def one(wrong: Wrong) -> Answer:
            return runner.run(send(caller.service.app, call_of(wrong, names)))

        yield one
        runner.run(stack.aclose())


async def made(caller: Caller) -> dict[str, str]:
    """Make what the cases refer to, and return the ids by the names that the cases use."""

    async def found(element: str, method: str, url: str, body: str = "") -> list[str]:
        answer = await send(caller.service.app, call_of(Wrong(method, url, 200, "", (), body), {}))
        assert answer.status == 200, answer.body
        return re.findall(rf"<{element}>([^<]+)</{element}>", answer.body.decode())

    (first,) = await found("JobId", "POST", f"{CI}/jobs", JOB)
    (second,) = await found("JobId", "POST", f"{CI}/jobs", JOB)
    await caller.until(first, "Running")
    await found("-", "PUT", f"{CI}/jobs/{second}?cancel")
    return {
        "running": first,
        "cancelled": second,
        "queue": (await found("QueueId", "GET", f"{CI}/queue"))[0],
        "canvas": (await found("TemplateId", "POST", f"{CI}/template", TEMPLATE))[0],
        "bare": (
            await found(
                "TemplateId", "POST", f"{CI}/template", bent(TEMPLATE, (VIDEO, "<Audio/><Video><Crf>20</Crf></Video>"))
            )
        )[0],
        "mark": (await found("TemplateId", "POST", f"{CI}/template", MARK_TEMPLATE))[0],
        "upload": (await found("UploadId", "POST", f"{COS}/up?uploads"))[0],
    }


def filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def call_of(wrong: Wrong, names: dict[str, str]) -> Call:
    host, _, rest = filled(wrong.url, names).partition("/")
    body = wrong.body if isinstance(wrong.body, bytes) else filled(wrong.body or "", names).encode()
    headers = {"Host": host, "Content-Length": str(len(body)), **wrong.headers}
    return Call(wrong.method, f"/{rest}".encode(), tuple(mapping(headers)), (body,) if body else ())


def named(wrong: Wrong) -> str:
    return re.sub(
        r"\W+", "-", f"{wrong.method} {wrong.url.partition('/')[2][:30]} {wrong.code} {' '.join(wrong.words)[:50]}"
    )


@pytest.mark.parametrize("wrong", ALL, ids=named)
def test_a_wrong_request_is_told_what_is_wrong(ask: Ask, wrong: Wrong) -> None:
    answer = ask(wrong)
    said = well_formed(wrong.method, answer)
    assert said is not None, answer.body
    assert (said.status, said.code) == (wrong.status, wrong.code), said
    for word in wrong.words:
        if "{" not in word or "{urn" in word:
            assert word.lower() in said.message.lower(), said


BODIES = {
    "jobs": ("POST", f"{CI}/jobs"),
    "template": ("POST", f"{CI}/template"),
    "queue": ("PUT", f"{CI}/queue/{{queue}}"),
}


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize(("body", "code", "words"), NO_XML, ids=range(len(NO_XML)))
def test_a_body_that_no_call_takes(ask: Ask, call: str, body: bytes, code: str, words: str) -> None:
    said = well_formed(BODIES[call][0], ask(Wrong(*BODIES[call], 400, code, (), body)))
    assert said is not None
    assert (said.status, said.code) == (400, code), said
    assert words in said.message


@pytest.mark.parametrize("root", ["Delete", "CompleteMultipartUpload"])
@pytest.mark.parametrize(("body", "code", "words"), NO_XML, ids=range(len(NO_XML)))
def test_a_body_that_no_object_call_takes(ask: Ask, root: str, body: bytes, code: str, words: str) -> None:
    query = "?delete" if root == "Delete" else "up?uploadId={upload}"
    said = well_formed(
        "POST", ask(Wrong("POST", f"{COS}/{query}", 400, code, (), body.replace(b"Request", root.encode())))
    )
    assert said is not None
    assert (said.status, said.code) == (400, code), said
    assert words.replace("Request", root) in said.message


@pytest.mark.parametrize("wrong", [each for each in ALL if each.method == "GET"], ids=named)
def test_head_is_refused_as_get_is_without_a_body(ask: Ask, wrong: Wrong) -> None:
    """Where there is no such HEAD call that is said, which has no body either."""
    answer = ask(wrong._replace(method="HEAD"))
    said = well_formed("HEAD", answer)
    assert said is not None or "?" in wrong.url
    if said is not None:
        assert said.status in (wrong.status, 405, 501)
        assert answer.header("content-type") == "application/xml"
        assert int(answer.header("content-length") or 0) > 100


def test_after_all_that_a_right_request_is_taken(ask: Ask) -> None:
    for right in (
        Wrong("POST", f"{CI}/jobs", 200, "", (), JOB),
        Wrong("POST", f"{CI}/template", 200, "", (), TEMPLATE),
        Wrong("PUT", f"{CI}/queue/{{queue}}", 200, "", (), QUEUE),
    ):
        assert well_formed(right.method, ask(right)) is None
    listed = ask(Wrong("GET", f"{CI}/jobs?tag=VideoSynthesis&size=100", 200, ""))
    assert listed.body.count(b"<JobsDetail>") == 3, "a refused request leaves nothing"


def test_media_calls_of_a_bucket_that_processes_no_media(ask: Ask) -> None:
    host = f"other-1250000000.{CI.partition('.')[2]}"
    assert ask(Wrong("GET", f"{host}/jobs?tag=a", 404, "")).status == 404
    assert ask(Wrong("DELETE", f"{CI}/mediabucket", 200, "")).status == 200
    for method, path in (("POST", "/jobs"), ("GET", "/jobs?tag=a"), ("GET", "/queue"), ("GET", "/template")):
        said = well_formed(method, ask(Wrong(method, f"{CI}{path}", 400, "", (), JOB)))
        assert said is not None
        assert (said.status, said.code) == (400, "MediaBucketUnbound")
        assert said.message == "media bucket unbinded, bucket's host is unavailable"
    assert ask(Wrong("POST", f"{CI}/mediabucket", 200, "")).status == 200
    assert ask(Wrong("GET", f"{CI}/jobs?tag=a", 200, "")).status == 200


def test_request_ids_are_all_different(ask: Ask) -> None:
    answers = [ask(Wrong("GET", f"{COS}/none", 404, "NoSuchKey")) for _ in range(50)]
    assert len({answer.header("x-cos-request-id") for answer in answers}) == 50
    traces = {trace for answer in answers for trace in re.findall(rb"<TraceId>(.+)</TraceId>", answer.body)}
    assert len(traces) == 50


def test_a_message_stays_readable_however_much_is_wrong(ask: Ask) -> None:
    url = f"<Url>http://{COS}/in/a.mp4</Url>"
    source = f"<SpliceInfo>{url}<X>99999</X><Y>99999</Y></SpliceInfo>"
    body = bent(JOB, (JOB[JOB.index("<SpliceInfo>") : JOB.index("</VideoSynthesis>")], source * 1000))
    for wrong in (
        Wrong("POST", f"{CI}/jobs", 400, "", (), body),
        Wrong("GET", f"{COS}/{'a' * 20_000}", 404, ""),
        Wrong("GET", f"{COS}/?encoding-type={'a' * 20_000}", 404, ""),
        Wrong("GET", f"{CI}/{'a' * 20_000}", 404, ""),
    ):
        answer = ask(wrong)
        assert well_formed(wrong.method, answer) is not None
        assert len(answer.body) < 10_000


def test_every_code_that_is_said_is_in_the_table() -> None:
    assert {wrong.code for wrong in ALL} - {""} <= CODES.keys()
    assert BUCKET in COS
