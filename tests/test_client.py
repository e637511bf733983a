"""The client says what the API expects, repeats what may be repeated, and never repeats a submission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.signing import Credentials
from reconciler.client import ATTEMPTS, Client, Endpoints
from reconciler.errors import MalformedReplyError, ServiceError, UnreachableError
from reconciler.state import StoredObject
from tests.factory import request

ENDPOINTS = Endpoints.of("clips-1250000000", "ap-chongqing")
T = TypeVar("T")
Answer = httpx.Response | Exception
JOB = b"<Response><JobsDetail><JobId>j1</JobId><State>Submitted</State></JobsDetail></Response>"
ERROR = "<Error><Code>{}</Code><Message>{}</Message><Resource>r</Resource><RequestId>id-7</RequestId><TraceId>t</TraceId></Error>"


def answer(status: int = 200, body: bytes | str = b"", **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers={key.replace("_", "-"): text for key, text in headers.items()})


def refuse(status: int, code: str, message: str = "no") -> httpx.Response:
    return answer(status, ERROR.format(code, message))


class Wire:
    """Gives prepared answers, and keeps what was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []

    async def __call__(self, sent: httpx.Request) -> httpx.Response:
        await sent.aread()
        self.sent.append(sent)
        reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, content=reply.content, headers=reply.headers)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr("reconciler.client.asyncio.sleep", lambda _: real(0))


def call(wire: Wire, act: Callable[[Client], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        endpoints = options.pop("endpoints", ENDPOINTS)
        credentials = options.pop("credentials", None)
        async with Client(endpoints, credentials, transport=httpx.MockTransport(wire)) as client:
            return await act(client)

    return asyncio.run(main())


def test_a_submission_is_the_request_as_xml_on_the_job_host() -> None:
    wire = Wire(answer(200, JOB))
    job = call(wire, lambda client: client.submit(request()))
    assert (job.job_id, job.state) == ("j1", "Submitted")
    (sent,) = wire.sent
    assert (sent.method, sent.url.path) == ("POST", "/jobs")
    assert sent.headers["Host"] == "clips-1250000000.ci.ap-chongqing.myqcloud.com"
    assert sent.headers["Content-Type"] == "application/xml"
    assert xml.read(JobRequest, sent.content, "Request") == request()


@pytest.mark.parametrize(
    "failure",
    [
        refuse(500, "InternalError"),
        refuse(503, "SlowDown"),
        httpx.ReadTimeout("too slow"),
        httpx.RemoteProtocolError("closed"),
        httpx.ConnectError("refused"),
    ],
    ids=lambda failure: type(failure).__name__ if isinstance(failure, Exception) else str(failure.status_code),
)
def test_a_submission_is_sent_once_whatever_happens(failure: Answer) -> None:
    wire = Wire(failure)
    with pytest.raises((ServiceError, UnreachableError)):
        call(wire, lambda client: client.submit(request()))
    assert len(wire.sent) == 1


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.WriteError("reset"), True),
    ],
)
def test_whether_a_call_without_an_answer_was_sent_is_known(error: Exception, sent: bool) -> None:
    with pytest.raises(UnreachableError) as caught:
        call(Wire(error), lambda client: client.submit(request()))
    assert caught.value.sent is sent


@pytest.mark.parametrize("failure", [refuse(503, "SlowDown"), refuse(500, "InternalError"), httpx.ReadTimeout("slow")])
def test_a_read_is_repeated_until_it_is_answered(failure: Answer) -> None:
    wire = Wire(failure, failure, answer(200, b"<Response><NextToken/></Response>"))
    assert call(wire, lambda client: client.jobs(["j1"])) == {}
    assert len(wire.sent) == 3


def test_a_read_is_given_up_at_last() -> None:
    wire = Wire(refuse(503, "SlowDown", "reduce your rate"))
    with pytest.raises(ServiceError, match=r"GET /jobs/j1: 503 SlowDown: reduce your rate \(request id id-7\)"):
        call(wire, lambda client: client.jobs(["j1"]))
    assert len(wire.sent) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_repeated(status: int) -> None:
    wire = Wire(refuse(status, "AccessDenied"))
    with pytest.raises(ServiceError) as caught:
        call(wire, lambda client: client.jobs(["j1"]))
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (status, "AccessDenied", "id-7")
    assert len(wire.sent) == 1


@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", "\x00\xff", "<Error>"])
def test_an_error_that_is_no_error_document_is_still_told(body: str) -> None:
    with pytest.raises(ServiceError) as caught:
        call(Wire(answer(404, body.encode(), x_cos_request_id="id-9")), lambda client: client.jobs(["j1"]))
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (404, "Unknown", "id-9")


@pytest.mark.parametrize(
    "body", [b"", b"<Response>", b"<Other/>", b"<Response><JobsDetail><State>x</State></JobsDetail></Response>"]
)
def test_an_answer_that_is_not_what_the_api_promises_is_said(body: bytes) -> None:
    with pytest.raises(MalformedReplyError, match="GET /jobs/j1"):
        call(Wire(answer(200, body)), lambda client: client.jobs(["j1"]))


def test_a_submission_answered_without_a_job_is_malformed() -> None:
    with pytest.raises(MalformedReplyError, match="holds no job"):
        call(Wire(answer(200, b"<Response/>")), lambda client: client.submit(request()))


def test_jobs_are_asked_for_fifty_at_once() -> None:
    wire = Wire(answer(200, b"<Response/>"))
    call(wire, lambda client: client.jobs([f"j{number}" for number in range(120)]))
    assert [len(sent.url.path.split(",")) for sent in wire.sent] == [50, 50, 20]


def page(keys: list[str], marker: str = "") -> httpx.Response:
    contents = "".join(f'<Contents><Key>{key}</Key><ETag>"e"</ETag><Size>5</Size></Contents>' for key in keys)
    more = f"<IsTruncated>true</IsTruncated><NextMarker>{marker}</NextMarker>" if marker else ""
    return answer(200, f"<ListBucketResult>{contents}{more}</ListBucketResult>")


def test_a_listing_is_read_to_its_last_page_and_decoded() -> None:
    wire = Wire(page(["in%2Fa%20b.mp4"], "in%2Fa%20b.mp4"), page(["in%2F%E6%BC%94.mp4"]))
    found = call(wire, lambda client: client.list_objects("in/"))
    assert found == {"in/a b.mp4": StoredObject("e", 5), "in/演.mp4": StoredObject("e", 5)}
    assert [sent.url.params["marker"] for sent in wire.sent] == ["", "in/a b.mp4"]
    assert wire.sent[0].headers["Host"] == "clips-1250000000.cos.ap-chongqing.myqcloud.com"


@pytest.mark.parametrize(
    "body",
    [
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        b"not xml",
    ],
)
def test_a_listing_that_lies_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedReplyError, match="GET /"):
        call(Wire(answer(200, body)), lambda client: client.list_objects())


def test_the_list_of_jobs_is_read_to_its_last_page() -> None:
    first = JOB.replace(b"</Response>", b"<NextToken>2</NextToken></Response>")
    wire = Wire(answer(200, first), answer(200, JOB.replace(b"j1", b"j2")))

    async def collect(client: Client) -> list[str]:
        return [job.job_id async for job in client.list_jobs(created_after="2026-05-01T10:00:00+0000")]

    assert call(wire, collect) == ["j1", "j2"]
    assert wire.sent[0].url.params["startCreationTime"] == "2026-05-01T10:00:00+0000"
    assert wire.sent[1].url.params["nextToken"] == "2"


def test_head_tells_what_is_there_and_what_is_not() -> None:
    there = answer(200, b"", ETag='"abc"', Content_Length="7", Last_Modified="now")
    assert call(Wire(answer(404)), lambda client: client.head_object("a b.mp4")) is None
    wire = Wire(there)
    stored = call(wire, lambda client: client.head_object("演/a b.mp4"))
    assert stored is not None
    assert stored.etag == "abc"
    assert wire.sent[0].url.raw_path == b"/%E6%BC%94/a%20b.mp4"


def test_another_origin_is_connected_to_under_the_true_host() -> None:
    wire = Wire(answer(200, b"<Response/>"))
    endpoints = Endpoints.of("clips-1250000000", "ap-chongqing", "http://127.0.0.1:8787")
    call(wire, lambda client: client.jobs(["j1"]), endpoints=endpoints)
    assert str(wire.sent[0].url) == "http://127.0.0.1:8787/jobs/j1"
    assert wire.sent[0].headers["Host"] == "clips-1250000000.ci.ap-chongqing.myqcloud.com"


def test_with_credentials_every_call_is_signed_and_the_secret_stays_here() -> None:
    wire = Wire(answer(200, JOB))
    credentials = Credentials("AKIDEXAMPLE", "planted-secret-key", "planted-token")
    call(wire, lambda client: client.submit(request()), credentials=credentials)
    (sent,) = wire.sent
    assert sent.headers["Authorization"].startswith("q-sign-algorithm=sha1&q-ak=AKIDEXAMPLE&")
    assert "content-length;content-type;host;x-cos-security-token" in sent.headers["Authorization"]
    assert sent.headers["x-cos-security-token"] == "planted-token"
    assert "planted-secret-key" not in str(sent.headers) + sent.content.decode() + repr(credentials)


def test_an_unreachable_service_says_where_it_should_be() -> None:
    with pytest.raises(UnreachableError, match=r"POST /jobs: cannot reach clips-1250000000\.ci\.ap-chongqing"):
        call(Wire(httpx.ConnectError("refused")), lambda client: client.submit(request()))
