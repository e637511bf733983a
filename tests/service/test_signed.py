"""Signatures through the running service: the reference's vectors as bytes, both forms, tokens, and what is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from reconciler.api.signing import Credentials, presign, sign
from reconciler.service import app
from tests.api.test_signing import COS as VECTOR_COS
from tests.api.test_signing import EXAMPLE, VECTORS
from tests.api.test_signing import signed as authorization_of
from tests.service.harness import Caller, drop, running
from tests.service.wire import CI_HOST, COS_HOST, Answer, Call, mapping, send, well_formed

KEY: Final = Credentials("AKIDEXAMPLE", "SecretExample")
TEMPORARY: Final = replace(KEY, token="TOKEN/abc+def==")
NOW: Final = 1_750_000_000
HOST: Final = COS_HOST.decode()
PATH: Final = "/in/演示 (1).mp4"
TARGET: Final = quote(PATH).encode()


@pytest.fixture(autouse=True)
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, NOW)


def set_clock(monkeypatch: pytest.MonkeyPatch, now: int) -> None:
    class Clock:
        time = staticmethod(lambda: float(now))

    monkeypatch.setattr(app, "time", Clock)


class Doors:
    """Services with different credentials, each of them opened once; all of them have one object."""

    def __init__(self, root: Path, runner: asyncio.Runner, stack: AsyncExitStack) -> None:
        self._root = root
        self._runner = runner
        self._stack = stack
        self._callers: dict[str, Caller] = {}

    def answers(self, *calls: Call, credentials: Credentials = KEY, **settings: str) -> list[Answer]:
        return self._runner.run(self._answers(calls, credentials, settings))

    def verdicts(self, *calls: Call, credentials: Credentials = KEY) -> list[str]:
        """Return for each call the code of its refusal, empty when it was let in."""
        found = zip(calls, self.answers(*calls, credentials=credentials), strict=True)
        return [said.code if (said := well_formed(call.method, answer)) else "" for call, answer in found]

    async def _answers(self, calls: Sequence[Call], credentials: Credentials, settings: dict[str, Any]) -> list[Answer]:
        name = f"{credentials.secret_id}-{credentials.secret_key}-{credentials.token is None}-{settings.get('bucket')}"
        if name not in self._callers:
            root = self._root / str(len(self._callers))
            drop(root, PATH[1:], b"content")
            drop(root, "output/out.mp4", b"film", bucket="vs-1250000000")
            service = running(root, credentials=credentials, **settings)
            self._callers[name] = await self._stack.enter_async_context(service)
        return [await send(self._callers[name].service.app, call) for call in calls]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield Doors(tmp_path_factory.mktemp("services"), runner, stack)
        runner.run(stack.aclose())


def get(
    headers: Mapping[str, str] = {}, target: bytes = TARGET, host: str = HOST, method: str = "GET", body: bytes = b""
) -> Call:
    return Call.of(method, host.encode(), target, body, tuple(mapping(headers)))


def authorization(key: Credentials = KEY, start: int = NOW - 60, end: int = NOW + 600, **rest: Any) -> dict[str, str]:
    parts = {"method": "GET", "path": PATH, "headers": {"host": HOST}, **rest}
    return {"Authorization": sign(key, start=start, end=end, **parts)}


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_is_let_in(doors: Doors, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    vector = VECTORS[name]
    set_clock(monkeypatch, vector.start)
    headers = {"host": VECTOR_COS, **{name.lower(): value for name, value in vector.headers.items()}}
    target = quote(vector.path).encode() + (b"?" + urlencode(vector.query).encode() if vector.query else b"")
    call = Call(vector.method, target, tuple(mapping({**headers, "authorization": authorization_of(vector)})), (b"x",))
    bucket, _, rest = headers["host"].partition(".")
    region = rest.split(".")[1]
    (answer,) = doors.answers(call, credentials=vector.credentials, bucket=bucket, region=region)
    assert answer.status != 403, answer.body
    other = replace(vector.credentials, secret_key="other")
    (answer,) = doors.answers(call, credentials=other, bucket=bucket, region=region)
    assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body or vector.method == "HEAD"


def test_the_presigned_address_of_the_reference_is_let_in(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, 1_700_000_000)
    target = (
        b"/output/out.mp4?q-sign-algorithm=sha1&q-ak=AKIDEXAMPLEEXAMPLEEXAMPLEEXAMPLE0001&q-sign-time=1700000000%3B17000"
        b"00660&q-key-time=1700000000%3B1700000660&q-header-list=host&q-url-param-list=response-content-type&q-signature="
        b"5a01570443a1a946f461faa7e147c3150c27f9a6&response-content-type=video%2Fmp4"
    )
    call = get(target=target, host=VECTOR_COS)
    (answer,) = doors.answers(call, credentials=EXAMPLE, bucket="vs-1250000000")
    assert (answer.status, answer.body, answer.header("content-type")) == (200, b"film", "video/mp4")


@pytest.mark.parametrize(
    ("received", "signed"),
    [(HOST, HOST), (f"{HOST}:8787", f"{HOST}:8787"), (f"{HOST}:8787", HOST), ("127.0.0.1:8787", "127.0.0.1")],
)
def test_the_host_is_signed_with_or_without_its_port(doors: Doors, received: str, signed: str) -> None:
    assert doors.verdicts(get(authorization(headers={"host": signed}), host=received)) == [""]


def test_a_proxys_absolute_target_names_the_host_that_is_signed(doors: Doors) -> None:
    absolute = b"http://" + COS_HOST + TARGET
    assert doors.verdicts(get(authorization(), absolute, "127.0.0.1:8787"), get(authorization(), absolute)) == [
        "",
        "",
    ]


def test_both_halves_check(doors: Doors) -> None:
    listing = authorization(path="/jobs", headers={"host": CI_HOST.decode()}, query={"tag": "VideoSynthesis"})
    target = b"/jobs?tag=VideoSynthesis"
    calls = [
        get(listing, target, CI_HOST.decode()),
        get({}, target, CI_HOST.decode()),
        get({}, b"/queue", CI_HOST.decode()),
        get({}, b"/template", CI_HOST.decode()),
        get({}, b"/mediabucket", "ci.ap-chongqing.myqcloud.com"),
        get({}, b"/nothing", CI_HOST.decode()),
        get({}, b"/"),
        get({}, TARGET, "none-1.cos.ap-chongqing.myqcloud.com"),
        get({}, TARGET, method="BREW"),
    ]
    assert doors.verdicts(*calls) == ["", *["AccessDenied"] * 8]


def test_nothing_is_read_of_an_unsigned_body(doors: Doors) -> None:
    call = Call.of("POST", CI_HOST, b"/jobs", b"<Request/>")
    (answer,) = doors.answers(call)
    assert (answer.status, answer.taken) == (403, 0)


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_authorization_is_an_absent_one(doors: Doors, value: str) -> None:
    presigned = TARGET + b"?" + presign(KEY, method="GET", path=PATH, start=NOW, end=NOW + 60).encode()
    assert doors.verdicts(get({"Authorization": value}), get({"Authorization": value}, presigned)) == [
        "AccessDenied",
        "",
    ]


def test_the_forms_of_a_signed_address(doors: Doors) -> None:
    fields = presign(KEY, method="GET", path=PATH, start=NOW, end=NOW + 60, headers={"host": HOST}).encode()
    merged = quote(
        sign(KEY, method="GET", path=PATH, start=NOW, end=NOW + 60, headers={"host": HOST}), safe=""
    ).encode()
    spaced = presign(KEY, method="GET", path="/", start=NOW, end=NOW + 60, query={"prefix": "a b+c"}).replace(
        "%20", "+"
    )
    calls = [
        get(target=TARGET + b"?" + fields),
        get(target=TARGET + b"?response-content-type=a%2Fb&" + fields),
        get(target=TARGET + b"?sign=" + merged),
        get(target=TARGET + b"?sign=" + merged + b"&response-content-type=a%2Fb"),
        get(target=b"/?" + spaced.encode()),
        get(target=TARGET + b"?sign=" + merged, method="PUT", body=b"x"),
        get(target=TARGET + b"?sign=" + merged.replace(b"sha1", b"md5")),
        get(target=TARGET + b"?" + fields.replace(b"q-ak=", b"q-aq=")),
        get(target=TARGET + b"?" + fields, host="other-1250000000.cos.ap-chongqing.myqcloud.com"),
    ]
    expected = ["", "", "", "", "", "SignatureDoesNotMatch", "AccessDenied", "AccessDenied", "SignatureDoesNotMatch"]
    assert doors.verdicts(*calls) == expected


SIGNED: Final = {"x-cos-meta-owner": "演示 a/b", "content-type": "video/mp4", "content-length": "7"}
PUT: Final = authorization(method="PUT", headers={"host": HOST, **SIGNED}, query={"x-id": "PutObject"})
PUT_TARGET: Final = TARGET + b"?x-id=PutObject"
SENT: Final = {"x-cos-meta-owner": "演示 a/b", "content-type": "video/mp4", **PUT}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (get(SENT, PUT_TARGET, method="PUT", body=b"content"), ""),
        (get({**SENT, "user-agent": "curl", "date": ""}, PUT_TARGET, method="PUT", body=b"content"), ""),
        (get(SENT, PUT_TARGET + b"&more=1", method="PUT", body=b"content"), ""),
        (get(SENT, PUT_TARGET, method="POST", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, b"/other?x-id=PutObject", method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, TARGET + b"?x-id=Other", method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, TARGET, method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, PUT_TARGET + b"&x-id=Other", method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, PUT_TARGET, method="PUT", body=b"contents"), "SignatureDoesNotMatch"),
        (get({**SENT, "x-cos-meta-owner": "b"}, PUT_TARGET, method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get({**SENT, "content-type": "a/b"}, PUT_TARGET, method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(PUT, PUT_TARGET, method="PUT", body=b"content"), "SignatureDoesNotMatch"),
        (get(SENT, PUT_TARGET, "x-1.cos.r.a.com", "PUT", b"content"), "SignatureDoesNotMatch"),
    ],
    ids=[
        *(
            "as signed",
            "unsigned header added",
            "unsigned parameter added",
            "method",
            "path",
            "parameter",
            "no parameter",
        ),
        *("parameter twice", "length", "header", "content type", "headers left out", "host"),
    ],
)
def test_what_is_changed_on_the_way_is_refused(doors: Doors, call: Call, expected: str) -> None:
    assert doors.verdicts(call) == [expected]


@pytest.mark.parametrize(
    ("start", "end", "status", "code", "words"),
    [
        (NOW - 60, NOW + 600, 200, "", ""),
        (NOW, NOW, 200, "", ""),
        (NOW + 900, NOW + 1000, 200, "", ""),
        (NOW + 901, NOW + 1000, 403, "RequestTimeTooSkewed", "15 minutes"),
        (NOW - 600, NOW - 1, 403, "AccessDenied", "Request has expired"),
        (NOW + 10, NOW - 10, 403, "AccessDenied", "q-sign-time"),
        (10**15, 10**15 + 1, 403, "AccessDenied", "q-sign-time"),
    ],
)
def test_the_clock(doors: Doors, start: int, end: int, status: int, code: str, words: str) -> None:
    (answer,) = doors.answers(get(authorization(start=start, end=end)))
    said = well_formed("GET", answer)
    assert answer.status == status
    assert (said.code if said else "") == code
    assert words in (said.message if said else "")


@pytest.mark.parametrize(("date", "expected"), [(NOW - 900, ""), (NOW + 901, "RequestTimeTooSkewed"), (None, "")])
def test_the_date_header(doors: Doors, date: int | None, expected: str) -> None:
    text = "no date" if date is None else time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(date))
    assert doors.verdicts(get({**authorization(), "Date": text})) == [expected]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Basic YTpi", "AccessDenied"),
        (authorization()["Authorization"].replace("AKIDEXAMPLE", "AKIDOTHER"), "InvalidAccessKeyId"),
        (authorization()["Authorization"].replace("q-ak=AKIDEXAMPLE&", ""), "AccessDenied"),
        (authorization()["Authorization"] + "&q-ak=AKIDEXAMPLE", "AccessDenied"),
        (authorization()["Authorization"].replace("sha1", "sha256"), "AccessDenied"),
        (authorization()["Authorization"][:-1] + "x", "SignatureDoesNotMatch"),
        (authorization()["Authorization"][:-1], "SignatureDoesNotMatch"),
        (authorization()["Authorization"] + "é", "SignatureDoesNotMatch"),
        (authorization(replace(KEY, secret_key="other"))["Authorization"], "SignatureDoesNotMatch"),
        (authorization(Credentials("", ""))["Authorization"], "InvalidAccessKeyId"),
        ("&" * 5000, "AccessDenied"),
        ("q-ak=" + "a" * 5000, "AccessDenied"),
    ],
)
def test_other_signatures_are_refused(doors: Doors, value: str, code: str) -> None:
    assert doors.verdicts(get({"Authorization": value})) == [code]


TOKEN: Final = TEMPORARY.token or ""


@pytest.mark.parametrize("name", ["x-cos-security-token", "x-ci-security-token"])
@pytest.mark.parametrize(("host", "path"), [(HOST, PATH), (CI_HOST.decode(), "/queue")])
def test_temporary_credentials_need_their_token_on_either_half(doors: Doors, name: str, host: str, path: str) -> None:
    target = quote(path).encode()
    with_token = authorization(path=path, headers={"host": host, name: TOKEN})
    in_query = authorization(path=path, headers={"host": host}, query={name: TOKEN})
    calls = [
        get({**with_token, name: TOKEN}, target, host),
        get({**authorization(path=path, headers={"host": host}), name: TOKEN}, target, host),
        get(in_query, target + b"?" + urlencode({name: TOKEN}).encode(), host),
        get(authorization(path=path, headers={"host": host}), target, host),
        get({**with_token, name: "OTHER"}, target, host),
        get({**authorization(path=path, headers={"host": host}), name: "OTHER"}, target, host),
    ]
    refused = ["AccessDenied", "SignatureDoesNotMatch", "AccessDenied"]
    assert doors.verdicts(*calls, credentials=TEMPORARY) == ["", "", "", *refused]


def test_a_token_is_nothing_to_a_service_without_one(doors: Doors) -> None:
    assert doors.verdicts(get({**authorization(), "x-cos-security-token": TOKEN})) == [""]


def test_a_refusal_says_nothing_of_the_key_or_of_what_was_expected(doors: Doors) -> None:
    (answer,) = doors.answers(get(authorization(replace(KEY, secret_key="other"))), credentials=TEMPORARY)
    right = authorization()["Authorization"][-40:]
    assert answer.status == 403
    for secret in (KEY.secret_key, TOKEN, right):
        assert secret.encode() not in answer.body


def test_head_is_refused_without_a_body(doors: Doors) -> None:
    (answer,) = doors.answers(get(method="HEAD"))
    assert (answer.status, answer.body) == (403, b"")
    assert answer.header("x-cos-request-id")
