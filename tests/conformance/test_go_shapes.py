"""Requests in the shapes of the official Go SDK (reference/sdk-as-client.md §5), sent over a socket as it sends them.

Where it differs from the Python SDK: it signs the host with its port and every parameter, writes ``/`` in keys as
``%2F``, ``?uploads`` without ``=``, XML without declaration and with empty nodes, adds Content-MD5 to it, uploads
readers in chunks, sends one token header for both halves, and refuses an upload whose reply lacks its CRC.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree as ET

import fastcrc
import pytest

from reconciler.api.signing import Credentials, sign
from tests.conformance import targets
from tests.conformance.space import Space
from tests.conformance.targets import TEMPORARY, Target

MIB: Final = 1 << 20
UNKNOWN: Final = "0" * 32


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def root(self) -> ET.Element:
        """The body as XML."""
        return ET.fromstring(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal."""
        return self.root.findtext("Code")


@dataclass(frozen=True)
class _Asked:
    """Where a call goes; ``target`` is the path as it is sent, ``action`` is a parameter without a value."""

    method: str
    host: str
    target: str
    path: str
    action: str
    query: Mapping[str, str]

    @property
    def line(self) -> str:
        """The target with its parameters, the action first."""
        pairs = (f"{name}={quote_plus(value)}" for name, value in self.query.items())
        parameters = "&".join([*([self.action] if self.action else []), *pairs])
        return f"{self.target}?{parameters}" if parameters else self.target


@dataclass(frozen=True)
class Go:
    """The SDK's habits. ``objects`` and ``jobs`` are the Host headers of its two base URLs."""

    address: str
    objects: str
    jobs: str
    credentials: Credentials
    always: Mapping[str, str] = field(default_factory=dict)

    def object(
        self,
        method: str,
        key: str,
        action: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
    ) -> Reply:
        """Call the object half."""
        asked = _Asked(method, self.objects, "/" + quote(key, safe=""), f"/{key}", action, query or {})
        return self._call(asked, headers or {}, body)

    def media(
        self, method: str, path: str, action: str = "", *, query: Mapping[str, str] | None = None, body: str = ""
    ) -> Reply:
        """Call the job half."""
        content = body.encode()
        asked = _Asked(method, self.jobs, f"/{path}", f"/{path}", action, query or {})
        return self._call(asked, _xml_headers(content) if body else {}, content)

    def _call(self, asked: _Asked, headers: Mapping[str, str], body: bytes | Iterator[bytes]) -> Reply:
        signed = {**headers, **self.always}
        if isinstance(body, bytes) and (body or asked.method in ("PUT", "POST")):
            signed["Content-Length"] = str(len(body))
        if self.credentials.token:
            signed["x-cos-security-token"] = self.credentials.token
        now = int(time.time())
        signed["Authorization"] = sign(
            self.credentials,
            method=asked.method,
            path=asked.path,
            query={**({asked.action: ""} if asked.action else {}), **asked.query},
            headers={"Host": asked.host, **signed},
            start=now,
            end=now + 3600,
        )
        with closing(http.client.HTTPConnection(self.address, timeout=30)) as connection:
            connection.putrequest(asked.method, asked.line, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", asked.host)
            connection.putheader("User-Agent", "cos-go-sdk-v5/0.7.75")
            for name, value in signed.items():
                connection.putheader(name, value)
            chunked = not isinstance(body, bytes)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            connection.putheader("Accept-Encoding", "gzip")
            connection.endheaders(body or None, encode_chunked=chunked)
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


def _xml_headers(content: bytes) -> dict[str, str]:
    digest = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {"Content-Type": "application/xml", "Content-MD5": digest}


def _of(target: Target, how: str) -> Go:
    if how == "address":
        return Go(target.address, target.address, target.address, target.credentials)
    return Go(target.address, target.objects, target.jobs, target.credentials)


@pytest.fixture(params=["address", "true names"])
def go(request: pytest.FixtureRequest, served: Target) -> Go:
    """The base URLs are the address itself, or the client's Host field has the true names."""
    return _of(served, request.param)


@pytest.fixture
def space(served: Target) -> Space:
    return Space(served)


def uploaded(reply: Reply, content: bytes) -> None:
    """What the SDK demands of the reply to an upload."""
    assert reply.status == 200, reply.body
    assert reply.headers["x-cos-hash-crc64ecma"] == str(fastcrc.crc64.xz(content))


def test_a_key_is_one_segment(go: Go, space: Space) -> None:
    key = space.key("演 a+b/c (1).txt")
    uploaded(go.object("PUT", key, headers={"Content-Type": "text/plain"}, body=b"content"), b"content")
    with space.target.python() as client:
        assert client.get_object(space.bucket, key)["Body"].get_raw_stream().read() == b"content"
    got = go.object("GET", key, headers={"Range": "bytes=1-3"})
    assert (got.status, got.body, got.headers["content-range"]) == (206, b"ont", "bytes 1-3/7")
    assert go.object("HEAD", key).headers["content-length"] == "7"
    assert go.object("DELETE", key).status == 204
    missing = go.object("GET", key)
    assert (missing.status, missing.code) == (404, "NoSuchKey")
    assert go.object("HEAD", key).status == 404


def test_a_reader_is_uploaded_in_chunks(go: Go, space: Space) -> None:
    blocks = [b"a" * 70_000, b"b", b"c" * 5]
    uploaded(go.object("PUT", space.key("a"), body=iter(blocks)), b"".join(blocks))
    assert go.object("GET", space.key("a")).body == b"".join(blocks)


def test_an_upload_in_parts(go: Go, space: Space) -> None:
    key, parts = space.key("large.bin"), [b"a" * MIB, b"b" * 10]
    begun = go.object("POST", key, "uploads", headers={"Content-Type": "video/mp4"})
    upload = begun.root.findtext("UploadId") or ""
    assert (begun.root.findtext("Bucket"), begun.root.findtext("Key")) == (space.bucket, key)
    tags = []
    for number, part in enumerate(parts, 1):
        reply = go.object("PUT", key, query={"partNumber": str(number), "uploadId": upload}, body=iter([part]))
        uploaded(reply, part)
        tags.append(reply.headers["etag"])
    listed = go.object("GET", key, query={"uploadId": upload}).root
    assert [part.findtext("ETag") for part in listed.iterfind("Part")] == tags
    assert key in str(go.object("GET", "", "uploads", query={"prefix": key}).body, "utf-8")
    body = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag.replace(chr(34), '&#34;')}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    content = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()
    done = go.object("POST", key, query={"uploadId": upload}, headers=_xml_headers(content), body=content)
    assert done.root.findtext("ETag", "").strip('"').endswith("-2")
    uploaded(go.object("HEAD", key), b"".join(parts))


def test_many_are_deleted(go: Go, space: Space) -> None:
    for name in "ab":
        go.object("PUT", space.key(name), body=b"content")
    objects = "".join(f"<Object><Key>{space.key(name)}</Key></Object>" for name in "ab")
    content = f"<Delete><Quiet>false</Quiet>{objects}</Delete>".encode()
    told = go.object("POST", "", "delete", headers=_xml_headers(content), body=content)
    assert [found.findtext("Key") for found in told.root.iterfind("Deleted")] == [space.key("a"), space.key("b")]


def test_a_listing_has_only_what_was_asked(go: Go, space: Space) -> None:
    go.object("PUT", space.key("a b"), body=b"content")
    root = go.object("GET", "", query={"prefix": space.key("a b")}).root
    assert [found.text for found in root.iterfind("Contents/Key")] == [space.key("a b")]
    assert root.find("EncodingType") is None
    assert root.find("Delimiter") is None
    assert int(root.findtext("MaxKeys", "")) == 1000


def _submission(space: Space, *names: str) -> str:
    """A request in the order of the SDK's structs: what is inside an operation, VideoSynthesis nearly last."""
    operations = "".join(
        f"<Operation><Output><Region>{space.target.region}</Region><Bucket>{space.bucket}</Bucket>"
        f"<Object>{space.key(name)}</Object></Output>"
        "<Transcode><Container><Format>mp4</Format></Container>"
        "<Video><Codec></Codec><Width>256</Width><Height>128</Height></Video></Transcode>"
        "<UserData>go</UserData><JobLevel>1</JobLevel>"
        "<VideoSynthesis><KeepAudioTrack>false</KeepAudioTrack><SpliceInfo>"
        f"<Url>{space.url('none.mp4')}</Url><X>64</X><Width>128</Width></SpliceInfo></VideoSynthesis></Operation>"
        for name in names
    )
    return f"<Request><Tag>VideoSynthesis</Tag>{operations}<CallBackFormat></CallBackFormat></Request>"


def test_jobs(go: Go, space: Space) -> None:
    made = go.media("POST", "jobs", body=_submission(space, "a.mp4", "b.mp4"))
    assert made.status == 200, made.body
    ids = [job.findtext("JobId") or "" for job in made.root.iterfind("JobsDetail")]
    assert len(ids) == 2
    assert made.headers["x-ci-request-id"]

    missing = f"j{UNKNOWN}"
    found = go.media("GET", f"jobs/{ids[0]},{missing},{ids[1]}").root  # commas as they are
    assert [job.findtext("JobId") for job in found.iterfind("JobsDetail")] == ids
    assert [node.text for node in found.iterfind("NonExistJobIds")] == [missing]
    assert found.findtext("JobsDetail/Operation/UserData") == "go"

    listed = go.media("GET", "jobs", query={"tag": "VideoSynthesis", "startCreationTime": _long_ago()})
    assert listed.status == 200, listed.body
    assert set(ids) <= {job.findtext("JobId") for job in listed.root.iterfind("JobsDetail")}
    unknown = go.media("PUT", f"jobs/{missing}", "cancel")
    assert (unknown.status, unknown.code) == (404, "NoSuchJob")


def _long_ago() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+0800", time.gmtime(time.time() + 8 * 3600 - 600))


def test_templates_queues_and_media_buckets(go: Go, space: Space) -> None:
    body = (
        f"<Request><Tag>Transcode</Tag><Name>{space.name}</Name><Container><Format>mp4</Format></Container>"
        "<Video><Codec>h.264</Codec><Width>256</Width><Height>128</Height></Video><Audio><Codec>AAC</Codec></Audio></Request>"
    )
    made = go.media("POST", "template", body=body)
    template = made.root.findtext("Template/TemplateId") or ""
    assert made.root.tag == "Response"
    assert template, made.body
    assert go.media("PUT", f"template/{template}", body=body).status == 200
    listed = go.media("GET", "template", query={"tag": "Transcode", "ids": template}).root
    assert [found.findtext("TemplateId") for found in listed.iterfind("TemplateList")] == [template]
    for number in ("TotalCount", "PageNumber", "PageSize"):
        assert int(listed.findtext(number, "0")) >= 0
    assert go.media("DELETE", f"template/{template}").root.findtext("TemplateId") == template

    queues = go.media("GET", "queue", query={"category": "CateAll"}).root
    queue = queues.findtext("QueueList/QueueId")
    for number in ("TotalCount", "PageNumber", "PageSize", "QueueList/MaxSize", "QueueList/MaxConcurrent"):
        assert int(queues.findtext(number, "")) >= 1
    changed = go.media(
        "PUT",
        f"queue/{queue}",
        body=f"<Request><Name>go</Name><QueueID>{queue}</QueueID><State>Active</State>"
        "<NotifyConfig><Url></Url><Type></Type><Event></Event><State>Off</State></NotifyConfig></Request>",
    )
    assert changed.root.findtext("Queue/Name") == "go", changed.body

    buckets = go.media("GET", "mediabucket", query={"bucketNames": space.bucket}).root
    assert [found.findtext("BucketId") for found in buckets.iterfind("MediaBucketList")] == [space.bucket]


def test_media_processing_is_switched_off_and_on(go: Go, space: Space) -> None:
    queue = go.media("GET", "queue").root.findtext("QueueList/QueueId")
    try:
        off = go.media("DELETE", "mediabucket")
        assert (off.status, off.root.findtext("BucketName")) == (200, space.bucket)
        for path in ("queue", "template", f"jobs/j{UNKNOWN}"):
            refused = go.media("GET", path)
            assert refused.status == 400, path
            assert "media bucket unbinded, bucket's host is unavailable" in refused.root.findtext("Message", "")
        assert go.media("GET", "mediabucket").root.findtext("TotalCount") == "0"
    finally:
        on = go.media("POST", "mediabucket")
    assert on.root.findtext("MediaBucket/BucketId") == space.bucket
    assert go.media("GET", "queue").root.findtext("QueueList/QueueId") not in (None, queue)


def test_what_is_sent_again_says_so(go: Go, space: Space) -> None:
    again = Go(go.address, go.objects, go.jobs, go.credentials, {"X-Cos-Sdk-Retry": "true"})
    uploaded(again.object("PUT", space.key("a"), body=b"content"), b"content")
    assert again.media("GET", "queue").status == 200


def test_a_wrong_digest_of_a_request(go: Go, space: Space) -> None:
    wrong = Go(go.address, go.objects, go.jobs, go.credentials, {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="})
    reply = wrong.media("POST", "template", body=f"<Request><Tag>Transcode</Tag><Name>{space.name}</Name></Request>")
    assert reply.status == 400


@pytest.mark.parametrize("how", ["address", "true names"])
def test_one_token_header_for_both_halves(tmp_path_factory: pytest.TempPathFactory, how: str) -> None:
    with targets.over_a_socket(tmp_path_factory.mktemp("token"), TEMPORARY) as target:
        go = _of(target, how)
        uploaded(go.object("PUT", "a", body=b"content"), b"content")
        assert go.media("GET", "queue").status == 200


def test_an_address_with_the_whole_signature_in_one_parameter(go: Go, space: Space) -> None:
    go.object("PUT", space.key("a"), body=b"content")
    now = int(time.time())
    value = sign(
        go.credentials,
        method="GET",
        path=f"/{space.key('a')}",
        headers={"host": go.objects},
        start=now,
        end=now + 60,
    )
    with closing(http.client.HTTPConnection(go.address, timeout=30)) as connection:
        target = f"/{quote(space.key('a'), safe='')}?sign={quote_plus(value)}"
        connection.request("GET", target, headers={"Host": go.objects})
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (200, b"content")
