"""Signed, unsigned, tampered and mistimed requests, in every way in which the official Python SDK can sign."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError
from requests.adapters import BaseAdapter

from reconciler.api.signing import Credentials, sign
from tests.conformance import targets
from tests.conformance.space import Space, refusal
from tests.conformance.targets import IN_PROCESS, SOCKET, TEMPORARY, Target


class Tampering(BaseAdapter):
    """Somebody on the way, who changes what is sent after it was signed."""

    def __init__(self, inner: BaseAdapter, change: Callable[[requests.PreparedRequest], None]) -> None:
        super().__init__()
        self._inner = inner
        self._change = change

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        self._change(request)
        return self._inner.send(request, stream, timeout, verify, cert, dict(proxies or {}))

    def close(self) -> None:
        self._inner.close()


# What is let in.


@pytest.mark.parametrize("sign_host", [True, False])
@pytest.mark.parametrize("sign_params", [True, False])
def test_hosts_and_parameters_need_not_be_signed(target: Target, *, sign_host: bool, sign_params: bool) -> None:
    space = Space(target)
    with target.python(SignHost=sign_host, SignParams=sign_params) as client:
        _every_kind(client, space)


def _every_kind(client: CosS3Client, space: Space, **presigned: Any) -> None:
    """One call of each kind: with and without parameters, with a body, of both halves, and an address."""
    key = space.key("演 a+b/c.txt")
    client.put_object(space.bucket, b"content", key, EnableMD5=True, ContentType="text/plain")
    assert client.head_object(space.bucket, key)["Content-Length"] == "7"
    assert client.list_objects(space.bucket, Prefix=space.key("演 a+"), Delimiter="")["Contents"][0]["Key"] == key
    assert client.ci_get_media_queue(space.bucket)["QueueList"]
    listed = client.ci_list_media_jobs(space.bucket, "VideoSynthesis", StartCreationTime="2100-01-01T00:00:00+0800")
    assert "JobsDetail" not in listed
    assert client.ci_get_media_jobs(space.bucket, "j" + "0" * 32)["NonExistJobIds"]
    with pytest.raises(CosServiceError) as unknown:
        client.ci_cancel_jobs(space.bucket, "j" + "0" * 32)
    assert refusal(unknown)[0] == 404
    with space.target.session() as stranger:
        reply = stranger.get(client.get_presigned_download_url(space.bucket, key, **presigned))
        assert (reply.status_code, reply.content) == (200, b"content")


# Temporary credentials.


@pytest.fixture(scope="module", params=[IN_PROCESS, SOCKET])
def temporary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A service that was given temporary credentials."""
    opened = {IN_PROCESS: targets.in_process, SOCKET: targets.over_a_socket}[request.param]
    with opened(tmp_path_factory.mktemp("temporary"), TEMPORARY) as target:
        yield target


def test_a_token_goes_with_temporary_credentials(temporary: Target) -> None:
    space, parameters = Space(temporary), {"x-cos-security-token": TEMPORARY.token}
    with temporary.python() as client:
        _every_kind(client, space, Params=parameters)
        with temporary.session() as stranger:
            url = client.get_presigned_download_url(space.bucket, space.key("a"))
            _assert_refused(stranger.get(url), "AccessDenied")


@pytest.mark.parametrize("token", [None, "TOKEN/another"])
def test_temporary_credentials_without_their_token(temporary: Target, token: str | None) -> None:
    with temporary.python(Token=token) as client:
        for call in (client.list_objects, client.ci_get_media_queue):
            with pytest.raises(CosServiceError) as refused:
                call(temporary.bucket)
            assert refusal(refused) == (403, "AccessDenied")


# What is refused.


def test_nobody_in_particular(target: Target) -> None:
    with target.python(Anonymous=True) as client:
        for call in (client.list_objects, client.ci_get_media_queue):
            with pytest.raises(CosServiceError) as refused:
                call(target.bucket)
            assert refusal(refused) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("known", "code"),
    [({"SecretId": "AKIDSTRANGER"}, "InvalidAccessKeyId"), ({"SecretKey": "WrongKey"}, "SignatureDoesNotMatch")],
)
def test_strangers(target: Target, known: dict[str, Any], code: str) -> None:
    with target.python(**known) as client:
        for call in (client.list_objects, client.ci_get_media_queue):
            with pytest.raises(CosServiceError) as refused:
                call(target.bucket)
            assert refusal(refused) == (403, code)


def test_a_large_upload_that_is_refused_is_answered(target: Target) -> None:
    with target.python(SecretKey="WrongKey") as client:
        for _ in range(2):  # the connection is none the worse for it
            with pytest.raises(CosServiceError) as refused:
                client.put_object(target.bucket, b"x" * (8 << 20), "large")
            assert refusal(refused) == (403, "SignatureDoesNotMatch")


def _header(name: str, value: str | None) -> Callable[[requests.PreparedRequest], None]:
    def change(request: requests.PreparedRequest) -> None:
        assert name in request.headers
        if value is None:
            del request.headers[name]
        else:
            request.headers[name] = value

    return change


def _url(old: str, new: str) -> Callable[[requests.PreparedRequest], None]:
    def change(request: requests.PreparedRequest) -> None:
        assert request.url is not None
        assert old in request.url
        request.url = request.url.replace(old, new)

    return change


def _signature(old: str, new: str) -> Callable[[requests.PreparedRequest], None]:
    def change(request: requests.PreparedRequest) -> None:
        assert old in request.headers["Authorization"]
        request.headers["Authorization"] = str(request.headers["Authorization"]).replace(old, new)

    return change


def _method(request: requests.PreparedRequest) -> None:
    request.method = "DELETE"


TAMPERED = {
    "content type": _header("Content-Type", "text/html"),
    "a digest taken out": _header("Content-MD5", None),
    "metadata": _header("x-cos-meta-owner", "mallory"),
    "key": _url("a.txt", "b.txt"),
    "bucket": _url("//", "//x"),
    "method": _method,
    "a header no longer named": _signature("x-cos-meta-owner", "x-cos-meta-other"),
    "signature": _signature("q-signature=", "q-signature=0"),
    "who": _signature("q-ak=", "q-ak=X"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_signed_cannot_be_changed(target: Target, what: str) -> None:
    space = Space(target)
    with (
        target.python(Tampering(target.adapter(), TAMPERED[what])) as client,
        pytest.raises(CosServiceError) as refused,
    ):
        client.put_object(
            space.bucket,
            b"content",
            space.key("a.txt"),
            EnableMD5=True,
            ContentType="text/plain",
            Metadata={"x-cos-meta-owner": "alice"},
        )
    assert refusal(refused) == (403, "InvalidAccessKeyId" if what == "who" else "SignatureDoesNotMatch")
    with target.python() as client:
        assert not client.object_exists(space.bucket, space.key("a.txt"))


@pytest.mark.parametrize(
    "change", [_url("prefix=mine", "prefix=yours"), _url("prefix=mine&", ""), _url("max-keys=1000", "max-keys=1")]
)
def test_parameters_that_were_signed_cannot_be_changed(
    target: Target, change: Callable[[requests.PreparedRequest], None]
) -> None:
    with target.python(Tampering(target.adapter(), change)) as client, pytest.raises(CosServiceError) as refused:
        client.list_objects(target.bucket, Prefix="mine")
    assert refusal(refused) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("form", ["", "nonsense", "q-sign-algorithm=sha1", "Bearer q-ak=AKID", "q-ak=&q-signature="])
def test_a_malformed_signature(target: Target, form: str) -> None:
    with (
        target.python(Tampering(target.adapter(), _header("Authorization", form))) as client,
        pytest.raises(CosServiceError) as refused,
    ):
        client.list_objects(target.bucket)
    status, code = refusal(refused)
    assert (status, code) in ((403, "AccessDenied"), (400, "InvalidArgument"))


# Time.


def test_an_address_that_has_expired(target: Target) -> None:
    space = Space(target)
    with target.python() as client, target.session() as stranger:
        url = client.get_presigned_url(space.bucket, space.key("a"), "GET", Expired=-30)
        reply = stranger.get(url)
    _assert_refused(reply, "AccessDenied")
    assert "Request has expired" in reply.text


@pytest.mark.parametrize(
    ("hours", "code"), [(2, "RequestTimeTooSkewed"), (-2, "AccessDenied")], ids=["ahead", "behind"]
)
def test_a_clock_that_is_wrong(target: Target, hours: int, code: str) -> None:
    now = int(time.time()) + hours * 3600
    with target.session() as session:
        reply = session.get(
            f"{target.scheme}://{target.objects}/",
            headers={"Authorization": _listing_signed(target.credentials, target.objects, now)},
        )
    _assert_refused(reply, code)
    if code == "AccessDenied":
        assert "Request has expired" in reply.text


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_a_little_wrong(target: Target, minutes: int) -> None:
    now = int(time.time()) + minutes * 60
    with target.session() as session:
        reply = session.get(
            f"{target.scheme}://{target.objects}/",
            headers={"Authorization": _listing_signed(target.credentials, target.objects, now, seconds=1800)},
        )
    assert reply.status_code == 200


def _listing_signed(credentials: Credentials, host: str, now: int, *, seconds: int = 600) -> str:
    return sign(credentials, method="GET", path="/", headers={"host": host}, start=now, end=now + seconds)


def _assert_refused(reply: requests.Response, code: str) -> None:
    assert (reply.status_code, f"<Code>{code}</Code>" in reply.text) == (403, True), reply.text
