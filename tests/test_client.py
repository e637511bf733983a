"""The client says what the API expects, repeats what may be repeated, and never repeats a submission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.signing import Credentials
from reconciler.api.templates import TemplateRequest
from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.errors import MalformedReplyError, ServiceError, UnreachableError
from reconciler.state import StoredObject
from reconciler.transport import LARGEST_REPLY, Patience
from tests.factory import request
from tests.fakes import Answer, StandingClock, Wire, answer, done, refuse

ENDPOINTS = Endpoints.of("clips-1250000000", "ap-chongqing")
T = TypeVar("T")
JOB = b"<Response><JobsDetail><JobId>j1</JobId><State>Submitted</State></JobsDetail></Response>"


def call(wire: Wire, act: Callable[[Client], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        endpoints = options.pop("endpoints", ENDPOINTS)
        credentials = options.pop("credentials", None)
        transport, clock = httpx.MockTransport(wire), StandingClock()
        async with Client(endpoints, credentials, transport=transport, clock=clock) as client:
            return await act(client)

    return asyncio.run(main())


def test_a_submission_is_the_request_as_xml_on_the_job_host() -> None:
    wire = Wire(answer(200, JOB))
    job = call(wire, lambda client: client.submit(request()))
    assert job.job_id == "j1"
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
    wire = Wire(refuse(500, "InternalError", "reduce your rate"))
    with pytest.raises(ServiceError, match=r"GET /jobs/j1: 500 InternalError: reduce your rate \(request id id-7\)"):
        call(wire, lambda client: client.jobs(["j1"]))
    assert len(wire.sent) == Patience().attempts


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
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>a</NextMarker></ListBucketResult>",
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


def test_a_list_of_jobs_that_leads_back_is_refused() -> None:
    pages = [JOB.replace(b"</Response>", f"<NextToken>{token}</NextToken></Response>".encode()) for token in "abab"]

    async def collect(client: Client) -> list[str]:
        return [job.job_id async for job in client.list_jobs()]

    with pytest.raises(MalformedReplyError, match="NextToken 'a' leads back"):
        call(Wire(*(answer(200, body) for body in pages)), collect)


def test_head_tells_what_is_there_and_what_is_not() -> None:
    there = done(200, ETag='"abc"', Content_Length="7", Last_Modified="now")
    assert call(Wire(done(404)), lambda client: client.head_object("a b.mp4")) is None
    wire = Wire(there)
    stored = call(wire, lambda client: client.head_object("演/a b.mp4"))
    assert stored is not None
    assert stored.etag == "abc"
    assert wire.sent[0].url.raw_path == b"/%E6%BC%94/a%20b.mp4"


PORTAL = answer(200, "<html>Welcome to the airport</html>", Content_Length="35")


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.head_bucket(),
        lambda client: client.head_object("a"),
        lambda client: client.get_object("a"),
        lambda client: client.put_object("a", b"x"),
        lambda client: client.copy_object("a", "b", etag="e"),
        lambda client: client.delete_object("a"),
        lambda client: client.cancel("j1"),
        lambda client: client.delete_template("t1"),
        lambda client: client.submit(request()),
        lambda client: client.jobs(["j1"]),
        lambda client: client.list_objects(),
        lambda client: client.list_templates(),
    ],
)
@pytest.mark.parametrize("reply", [PORTAL, answer(200)], ids=["page", "nothing"])
def test_no_call_takes_a_login_page_for_success(act: Callable[[Client], Awaitable[object]], reply: Answer) -> None:
    with pytest.raises(MalformedReplyError):
        call(Wire(reply), act)


def test_a_portal_that_knows_nothing_does_not_say_that_an_object_is_missing() -> None:
    with pytest.raises(ServiceError, match="404"):
        call(Wire(answer(404, "<html>")), lambda client: client.head_object("a"))


def test_an_object_is_put_and_deleted() -> None:
    wire = Wire(done(200, ETag='"abc"'), done(204))

    async def both(client: Client) -> None:
        assert await client.put_object("a b", b"content") == "abc"
        await client.delete_object("a b")

    call(wire, both, credentials=Credentials("AKIDEXAMPLE", "key", "planted-token"))
    assert [(sent.method, sent.content) for sent in wire.sent] == [("PUT", b"content"), ("DELETE", b"")]
    for sent in wire.sent:
        assert sent.url.raw_path == b"/a%20b"
        assert sent.headers["x-cos-security-token"] == "planted-token"
        assert "x-ci-security-token" not in sent.headers


def test_what_keeps_an_object_from_being_overwritten_is_signed() -> None:
    wire = Wire(done(200, ETag='"abc"'))
    act = partial(Client.put_object, key="guard", content=b"mine", forbid_overwrite=True)
    assert call(wire, act, credentials=Credentials("AKIDEXAMPLE", "key")) == "abc"
    (sent,) = wire.sent
    assert sent.headers["x-cos-forbid-overwrite"] == "true"
    assert "content-length;host;x-cos-forbid-overwrite" in sent.headers["Authorization"]
    wire = Wire(done(200, ETag='"abc"'))
    call(wire, lambda client: client.put_object("guard", b"mine"))
    assert "x-cos-forbid-overwrite" not in wire.sent[0].headers


def test_an_object_that_is_there_already_is_said_at_once() -> None:
    wire = Wire(refuse(409, "FileAlreadyExists"))
    with pytest.raises(ServiceError, match="PUT /guard: 409 FileAlreadyExists"):
        call(wire, lambda client: client.put_object("guard", b"mine", forbid_overwrite=True))
    assert len(wire.sent) == 1


def test_an_object_is_read_with_its_etag_or_is_not_there() -> None:
    assert call(Wire(done(200, ETag='"abc"')), lambda client: client.get_object("a")) == (b"", "abc")
    assert call(Wire(refuse(404, "NoSuchKey")), lambda client: client.get_object("a")) is None


@pytest.mark.parametrize(
    "reply", [refuse(404, "NoSuchBucket"), answer(404, "<html>"), done(404), refuse(403, "NoSuchKe")]
)
def test_only_the_service_says_that_an_object_is_not_there(reply: Answer) -> None:
    with pytest.raises(ServiceError, match="GET /a"):
        call(Wire(reply), lambda client: client.get_object("a"))


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.get_object("a"),
        lambda client: client.put_object("a", b"x"),
        lambda client: client.head_object("a"),
    ],
)
def test_an_answer_about_an_object_has_its_etag(act: Callable[[Client], Awaitable[object]]) -> None:
    with pytest.raises(MalformedReplyError, match="the answer has no ETag"):
        call(Wire(done(200, Content_Length="0")), act)


def test_an_object_may_be_larger_than_any_message() -> None:
    content = b"x" * (LARGEST_REPLY + 1)
    reply = answer(200, content, x_cos_request_id="id-1", ETag='"abc"')
    assert call(Wire(reply), lambda client: client.get_object("a")) == (content, "abc")
    with pytest.raises(MalformedReplyError, match="larger than 32 MiB"):
        call(Wire(reply), lambda client: client.list_objects())


# Copies.

COPIED = '<CopyObjectResult><ETag>"abc"</ETag><LastModified>t</LastModified></CopyObjectResult>'
COPY = partial(Client.copy_object, source_key="in/a b+演.mp4", key="out/../c.mp4", etag="abc")


@pytest.mark.parametrize("objects", ["", "https://media.example.com"])
def test_a_copy_names_its_source_by_the_true_host_of_the_bucket(objects: str) -> None:
    wire = Wire(answer(200, COPIED), done(200, ETag='"abc"', Content_Length="7"))
    endpoints = Endpoints.of("clips-1250000000", "ap-chongqing", templates={"objects": objects})
    assert call(wire, COPY, endpoints=endpoints, credentials=Credentials("AKID", "key")) == StoredObject("abc", 7)
    sent, looked = wire.sent
    assert (sent.method, sent.url.raw_path, sent.content) == ("PUT", b"/out%2F..%2Fc.mp4", b"")
    assert {name: value for name, value in sent.headers.items() if name.startswith("x-cos-")} == {
        "x-cos-copy-source": "clips-1250000000.cos.ap-chongqing.myqcloud.com/in/a%20b%2B%E6%BC%94.mp4",
        "x-cos-copy-source-if-match": '"abc"',
        "x-cos-metadata-directive": "Copy",
    }
    signed = "content-length;host;x-cos-copy-source;x-cos-copy-source-if-match;x-cos-metadata-directive"
    assert signed in sent.headers["Authorization"]
    assert looked.method == "HEAD"


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchCopySource"])
def test_there_is_no_copy_of_what_is_not_there(code: str) -> None:
    assert call(Wire(refuse(404, code)), COPY) is None


@pytest.mark.parametrize(
    ("reply", "message", "times"),
    [
        (refuse(412, "PreconditionFailed"), "412 PreconditionFailed", 1),
        (refuse(404, "NoSuchBucket"), "404 NoSuchBucket", 1),
        (refuse(200, "PreconditionFailed"), "412 PreconditionFailed", 1),
        (refuse(200, "InternalError"), "500 InternalError", Patience().attempts),
    ],
)
def test_a_copy_that_is_refused_is_said(reply: Answer, message: str, times: int) -> None:
    wire = Wire(reply)
    with pytest.raises(ServiceError, match=message):
        call(wire, COPY)
    assert len(wire.sent) == times


@pytest.mark.parametrize("looked", [done(200, ETag='"other"', Content_Length="7"), done(404)])
def test_a_copy_that_is_not_there_afterwards_is_no_copy(looked: Answer) -> None:
    with pytest.raises(MalformedReplyError, match="the copy has the ETag 'abc', but what is there then is"):
        call(Wire(answer(200, COPIED), looked), COPY)


# The pace.


def test_calls_begin_at_most_so_often_and_who_connects_hears_of_slow_downs() -> None:
    clock, heard, begun = StandingClock(), list[str](), list[float]()

    async def service(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        begun.append(clock.ticks())
        return refuse(503, "SlowDown", Retry_After="8") if len(begun) == 5 else done()

    async def main() -> None:
        options: dict[str, Any] = {"requests_per_second": 2, "hear": heard.append, "clock": clock}
        async with Client(ENDPOINTS, transport=httpx.MockTransport(service), **options) as client:
            for _ in range(5):
                await client.head_bucket()

    asyncio.run(main())
    assert begun == pytest.approx([0, 0, 0.5, 1, 1.5, 9.5])
    assert heard == ["the service asks to slow down (503 SlowDown); the next call goes out in 8 s"]


@given(st.text(st.sampled_from("./a b%?#\\演"), min_size=1, max_size=12))
def test_every_key_arrives_as_it_is(key: str) -> None:
    wire = Wire(done(204))
    call(wire, lambda client: client.delete_object(key))
    assert unquote(wire.sent[0].url.raw_path.decode()) == f"/{key}"


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
    assert "content-length;content-type;host;x-ci-security-token" in sent.headers["Authorization"]
    assert sent.headers["x-ci-security-token"] == "planted-token"
    assert "planted-secret-key" not in str(sent.headers) + sent.content.decode() + repr(credentials)


def test_an_unreachable_service_says_where_it_should_be() -> None:
    with pytest.raises(UnreachableError, match=r"POST /jobs: cannot reach https://clips-1250000000\.ci\.ap-chongqing"):
        call(Wire(httpx.ConnectError("refused")), lambda client: client.submit(request()))


def templates(tag: str, *ids: str, total: int) -> httpx.Response:
    listed = "".join(
        f"<TemplateList><Tag>{tag}</Tag><Name>n</Name><TemplateId>{one}</TemplateId></TemplateList>" for one in ids
    )
    return answer(200, f"<Response><TotalCount>{total}</TotalCount>{listed}</Response>")


def test_templates_of_both_tags_are_listed_to_the_last_page() -> None:
    many = [f"t{number}" for number in range(12)]
    wire = Wire(
        templates("Transcode", *many[:10], total=12),
        templates("Transcode", *many[9:], total=12),
        templates("Watermark", "w1", total=1),
    )
    found = call(wire, lambda client: client.list_templates())
    assert [template.template_id for template in found] == [*many, "w1"]
    assert [dict(sent.url.params) for sent in wire.sent] == [
        {"tag": tag, "category": "Custom", "pageNumber": number, "pageSize": "10"}
        for tag, number in (("Transcode", "1"), ("Transcode", "2"), ("Watermark", "1"))
    ]


def test_numbered_pages_that_never_end_are_refused() -> None:
    wire = Wire(templates("Transcode", "t1", total=3))
    with pytest.raises(MalformedReplyError, match="GET /template: 3 entries are promised, 1 are on the pages"):
        call(wire, lambda client: client.list_templates())
    assert len(wire.sent) == 2


TEMPLATE = TemplateRequest(tag="Transcode", name="hd")
KEPT = "<Response><Template><Tag>Transcode</Tag><Name>hd</Name><TemplateId>t1</TemplateId></Template></Response>"


def test_a_template_is_created_once_whatever_happens() -> None:
    wire = Wire(refuse(503, "SlowDown"))
    with pytest.raises(ServiceError):
        call(wire, lambda client: client.create_template(TEMPLATE))
    (sent,) = wire.sent
    assert (sent.method, sent.url.path) == ("POST", "/template")
    assert xml.read(TemplateRequest, sent.content, "Request") == TEMPLATE
    assert call(Wire(answer(200, KEPT)), lambda client: client.create_template(TEMPLATE)).template_id == "t1"


def test_a_template_is_updated_until_it_is_answered() -> None:
    wire = Wire(refuse(503, "SlowDown"), answer(200, KEPT))
    assert call(wire, lambda client: client.update_template("t1", TEMPLATE)).name == "hd"
    assert [(sent.method, sent.url.path) for sent in wire.sent] == [("PUT", "/template/t1")] * 2
    assert xml.read(TemplateRequest, wire.sent[1].content, "Request") == TEMPLATE


@pytest.mark.parametrize("code", ["NoSuchTemplate", "InvalidArgument"])
def test_deleting_a_template_that_is_not_there_is_no_error(code: str) -> None:
    call(Wire(refuse(404, code)), lambda client: client.delete_template("t1"))


@pytest.mark.parametrize("failure", [refuse(404, "NoSuchBucket"), refuse(403, "AccessDenied")])
def test_a_template_that_cannot_be_deleted_is_said(failure: Answer) -> None:
    with pytest.raises(ServiceError, match=r"DELETE /template/t1"):
        call(Wire(failure), lambda client: client.delete_template("t1"))


def test_media_buckets_are_asked_for_on_the_host_without_bucket() -> None:
    bucket = "<MediaBucketList><Name>b-1</Name><BucketId>b-1</BucketId><Region>r</Region><CreateTime>t</CreateTime></MediaBucketList>"
    wire = Wire(answer(200, f"<Response><TotalCount>1</TotalCount>{bucket}</Response>"))
    found = call(wire, lambda client: client.media_buckets("b-1", "c-1"))
    assert [bucket.name for bucket in found] == ["b-1"]
    assert wire.sent[0].headers["Host"] == "ci.ap-chongqing.myqcloud.com"
    assert wire.sent[0].url.params["bucketNames"] == "b-1,c-1"
