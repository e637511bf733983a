"""The vectors of reference/signature.md §6, and what a checking server lets in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.signing import Accepted, Credentials, Pairs, Refused, presign, sign, verify

EXAMPLE = Credentials("AKIDEXAMPLEEXAMPLEEXAMPLEEXAMPLE0001", "ExampleSecretKeyExampleSecretKey")
DOCUMENT = Credentials("AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q", "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz")
GO = Credentials("QmFzZTY0IGlzIGEgZ2VuZXJp", "AKIDZfbOA78asKUYBcXFrJD0a1ICvR98JM")
COS = "vs-1250000000.cos.ap-chongqing.myqcloud.com"
CI = "vs-1250000000.ci.ap-chongqing.myqcloud.com"
DOCUMENT_HOST = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"
START, END = 1700000000, 1700003660


@dataclass(frozen=True)
class Vector:
    signature: str
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials = EXAMPLE
    start: int = START
    end: int = END
    header_list: str = "host"
    parameter_list: str = ""


VECTORS = {
    "V1": Vector(
        "fe42e9c55ed9936edd4e26be650b8d5c03a5f317",
        "GET",
        "/",
        {"Host": COS},
        {"prefix": "input/clips/", "delimiter": "/", "marker": "", "max-keys": "100", "encoding-type": "url"},
        parameter_list="delimiter;encoding-type;marker;max-keys;prefix",
    ),
    "V2": Vector(
        "10f2903dfdefd128fcb33f731a9c33b0c8d93303",
        "PUT",
        "/input/演示 (1).mp4",
        {
            "Host": COS,
            "Content-Length": "16",
            "Content-MD5": "oC1oMf1GnZuJMMqfqWRZqA==",
            "Content-Type": "video/mp4",
            "x-cos-forbid-overwrite": "true",
            "x-cos-meta-owner": "team a/b",
        },
        header_list="content-length;content-md5;content-type;host;x-cos-forbid-overwrite;x-cos-meta-owner",
    ),
    "V3": Vector(
        "c6477d0020d34d0c12f83778eefc6c4f90e13293",
        "POST",
        "/jobs",
        {"Host": CI, "Content-Length": "44", "Content-Type": "application/xml"},
        header_list="content-length;content-type;host",
    ),
    "V4": Vector(
        "0af64544d15793bd229979ec4bd1f9f6a7b0b0b9",
        "GET",
        "/jobs",
        {"Host": CI, "x-ci-security-token": "TOKEN/abc+def=="},
        {"tag": "VideoSynthesis", "orderByTime": "Desc", "states": "Success,Failed", "size": "10", "nextToken": ""},
        header_list="host;x-ci-security-token",
        parameter_list="nexttoken;orderbytime;size;states;tag",
    ),
    "V5a": Vector(
        "d08a7d590104145dd381de48c17b37d5a41e69ea",
        "PUT",
        "/jobs/j0001",
        {"Host": CI, "Content-Length": "0"},
        header_list="content-length;host",
    ),
    "V5b": Vector(
        "7ff5d36a17d44c7c695785015ce10094d44db300",
        "PUT",
        "/jobs/j0001",
        {"Host": CI, "Content-Length": "0"},
        {"cancel": ""},
        header_list="content-length;host",
        parameter_list="cancel",
    ),
    "V6": Vector(
        "5a01570443a1a946f461faa7e147c3150c27f9a6",
        "GET",
        "/output/out.mp4",
        {"host": COS},
        {"response-content-type": "video/mp4"},
        end=1700000660,
        parameter_list="response-content-type",
    ),
    "V6 without host": Vector(
        "610156bc854739726a4f8e5d72088d6d88989663", "GET", "/output/out.mp4", {}, end=1700000660, header_list=""
    ),
    "V7 upload": Vector(
        "3b8851a11a569213c17ba8fa7dcf2abec6935172",
        "PUT",
        "/exampleobject(腾讯云)",
        {
            "Content-Length": "13",
            "Content-MD5": "mQ/fVh815F3k6TAUm8m0eg==",
            "Content-Type": "text/plain",
            "Date": "Thu, 16 May 2019 06:45:51 GMT",
            "Host": DOCUMENT_HOST,
            "x-cos-acl": "private",
            "x-cos-grant-read": 'uin="100000000011"',
        },
        credentials=DOCUMENT,
        start=1557989151,
        end=1557996351,
        header_list="content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read",
    ),
    "V7 download": Vector(
        "01681b8c9d798a678e43b685a9f1bba0f6c0e012",
        "GET",
        "/exampleobject(腾讯云)",
        {"Date": "Thu, 16 May 2019 06:55:53 GMT", "Host": DOCUMENT_HOST},
        {"response-content-type": "application/octet-stream", "response-cache-control": "max-age=600"},
        credentials=DOCUMENT,
        start=1557989753,
        end=1557996953,
        header_list="date;host",
        parameter_list="response-cache-control;response-content-type",
    ),
    "V8": Vector(
        "ce4ac0ecbcdb30538b3fee0a97cc6389694ce53a",
        "PUT",
        "/testfile2",
        {
            "Host": "testbucket-125000000.cos.ap-guangzhou.myqcloud.com",
            "x-cos-content-sha1": "db8ac1c259eb89d4a131b253bacfca5f319d54f2",
            "x-cos-stroage-class": "nearline",
        },
        credentials=GO,
        start=1480932292,
        end=1481012292,
        header_list="host;x-cos-content-sha1;x-cos-stroage-class",
    ),
}
V1 = VECTORS["V1"]
V3 = VECTORS["V3"]


def signed(vector: Vector) -> str:
    return sign(
        vector.credentials,
        method=vector.method,
        path=vector.path,
        query=vector.query,
        headers=vector.headers,
        start=vector.start,
        end=vector.end,
    )


def checked(
    vector: Vector,
    authorization: str | None = None,
    *,
    headers: Pairs | None = None,
    query: Pairs | None = None,
    now: int | None = None,
    known: Sequence[Credentials] = (EXAMPLE, DOCUMENT, GO),
) -> Accepted | Refused:
    """Verify a vector as a server receives it, with some part of it changed."""
    pairs = list((vector.headers if headers is None else dict(headers)).items())
    if authorization is not None:
        pairs.append(("Authorization", authorization))
    return verify(
        method=vector.method,
        path=vector.path,
        query=vector.query if query is None else query,
        headers=pairs,
        find={one.secret_id: one for one in known}.get,
        now=vector.start if now is None else now,
    )


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str) -> None:
    vector = VECTORS[name]
    interval = f"{vector.start};{vector.end}"
    assert signed(vector) == (
        f"q-sign-algorithm=sha1&q-ak={vector.credentials.secret_id}&q-sign-time={interval}&q-key-time={interval}"
        f"&q-header-list={vector.header_list}&q-url-param-list={vector.parameter_list}&q-signature={vector.signature}"
    )


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_let_in(name: str) -> None:
    vector = VECTORS[name]
    assert checked(vector, signed(vector)) == Accepted(vector.credentials.secret_id)


def test_presigned_address_of_v6() -> None:
    query = presign(
        EXAMPLE,
        method="GET",
        path="/output/out.mp4",
        query={"response-content-type": "video/mp4"},
        headers={"host": COS},
        start=START,
        end=1700000660,
    )
    assert query == (
        "q-sign-algorithm=sha1&q-ak=AKIDEXAMPLEEXAMPLEEXAMPLEEXAMPLE0001&q-sign-time=1700000000%3B1700000660"
        "&q-key-time=1700000000%3B1700000660&q-header-list=host&q-url-param-list=response-content-type"
        "&q-signature=5a01570443a1a946f461faa7e147c3150c27f9a6&response-content-type=video%2Fmp4"
    )
    received = parse_qsl(query, keep_blank_values=True)
    assert checked(VECTORS["V6"], query=received) == Accepted(EXAMPLE.secret_id)
    other_host = {"host": "other-1250000000.cos.ap-chongqing.myqcloud.com"}
    assert isinstance(checked(VECTORS["V6"], query=received, headers=other_host), Refused)


def test_presigned_address_carries_the_token() -> None:
    temporary = replace(EXAMPLE, token="TOKEN/abc+def==")
    query = presign(temporary, method="GET", path="/a b.mp4", headers={"host": COS}, start=START, end=END)
    assert query.endswith("&x-cos-security-token=TOKEN%2Fabc%2Bdef%3D%3D")
    assert "q-url-param-list=x-cos-security-token" in query
    received = parse_qsl(query, keep_blank_values=True)
    vector = Vector("", "GET", "/a b.mp4", {"host": COS})
    assert checked(vector, query=received, known=[temporary]) == Accepted(EXAMPLE.secret_id)


def test_the_whole_signature_as_one_parameter() -> None:
    vector = VECTORS["V6 without host"]
    assert checked(vector, query={"sign": signed(vector)}) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize(
    ("signed_host", "received_host"),
    [(COS, COS), (f"{COS}:8787", f"{COS}:8787"), (COS, f"{COS}:8787"), ("127.0.0.1", "127.0.0.1:8787")],
)
def test_host_with_and_without_port(signed_host: str, received_host: str) -> None:
    vector = replace(V1, headers={"Host": signed_host})
    assert checked(vector, signed(vector), headers={"host": received_host}) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize(
    ("signed_host", "received_host"), [(f"{COS}:8787", COS), (f"{COS}:1", f"{COS}:2"), (COS, "evil.example")]
)
def test_another_host_does_not_match(signed_host: str, received_host: str) -> None:
    vector = replace(V1, headers={"Host": signed_host})
    assert code(checked(vector, signed(vector), headers={"host": received_host})) == "SignatureDoesNotMatch"


def code(verdict: Accepted | Refused) -> str:
    assert isinstance(verdict, Refused), verdict
    return verdict.code


def test_what_is_not_named_may_be_added() -> None:
    more = {**V3.headers, "User-Agent": "curl", "Accept": "*/*"}
    assert checked(V3, signed(V3), headers=more, query={"cancel": ""}) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize(
    "received",
    [
        replace(V3, method="PUT"),
        replace(V3, path="/jobs/"),
        replace(V3, headers={**V3.headers, "Content-Length": "45"}),
        replace(V3, headers={"Host": CI, "Content-Length": "44"}),
    ],
    ids=["method", "path", "a header's value", "a header left out"],
)
def test_what_is_changed_on_the_way_does_not_match(received: Vector) -> None:
    assert code(checked(received, signed(V3))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "query",
    [
        {**V1.query, "prefix": "other/"},
        {"prefix": "input/clips/"},
        [*V1.query.items(), ("prefix", "other/")],
    ],
    ids=["value", "left out", "twice"],
)
def test_a_changed_query_does_not_match(query: Pairs) -> None:
    assert code(checked(V1, signed(V1), query=query)) == "SignatureDoesNotMatch"


def test_repeated_parameters_are_signed_by_value() -> None:
    def repeated(*values: str) -> list[tuple[str, str]]:
        return [("ids", value) for value in values]

    value = sign(EXAMPLE, method="GET", path="/", query=repeated("b", "a"), start=START, end=END)
    assert "q-url-param-list=ids;ids&" in value
    vector = Vector("", "GET", "/", {})
    assert checked(vector, value, query=repeated("a", "b")) == Accepted(EXAMPLE.secret_id)
    assert code(checked(vector, value, query=repeated("a", "c"))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("q-header-list=content-length;content-type;host", "q-header-list=content-length;content-type;host;x", 403),
        ("q-header-list=content-length;content-type;host", "q-header-list=content-length;host", 403),
        ("q-header-list=content-length;content-type;host", "q-header-list=", 403),
        ("q-url-param-list=", "q-url-param-list=tag", 403),
        ("content-length;content-type;host", "host;content-type;content-length", 200),
        ("content-length;content-type;host", "Content-Length;content-type;HOST", 200),
        ("content-length;content-type;host", ";content-length;;content-type;host;", 200),
        ("content-length;content-type;host", "content-length;content-type;host;host", 200),
    ],
)
def test_lists_of_names(old: str, new: str, expected: int) -> None:
    """What is named must have been sent and signed; in which order, case and how often it is named does not matter."""
    verdict = checked(V3, signed(V3).replace(old, new))
    assert verdict == Accepted(EXAMPLE.secret_id) if expected == 200 else code(verdict) == "SignatureDoesNotMatch"


def test_a_signature_may_name_nothing() -> None:
    value = sign(EXAMPLE, method="POST", path="/jobs", start=START, end=END)
    assert "q-header-list=&q-url-param-list=&" in value
    assert checked(V3, value) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize(
    ("received", "encoded"), [("演示", "%E6%BC%94%E7%A4%BA"), (b"a\xffb".decode(errors="surrogateescape"), "a%FFb")]
)
def test_headers_are_signed_as_the_bytes_that_are_sent(received: str, encoded: str) -> None:
    """The signature is made by hand here: of UTF-8, and of bytes that are none and arrive as surrogates."""
    http_string = f"get\n/a\n\nx-cos-meta-a={encoded}\n"
    to_sign = f"sha1\n{START};{END}\n{hashlib.sha1(http_string.encode()).hexdigest()}\n"
    sign_key = hmac.new(EXAMPLE.secret_key.encode(), f"{START};{END}".encode(), "sha1").hexdigest()
    signature = hmac.new(sign_key.encode(), to_sign.encode(), "sha1").hexdigest()
    vector = Vector(signature, "GET", "/a", {"x-cos-meta-a": received})
    assert signed(vector).endswith(signature)
    assert checked(vector, signed(vector)) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize("sign_time", ["1700000000;1700000100", "1700000100;1700003660", "1700000100;1700000100"])
def test_the_sign_time_may_be_a_part_of_the_key_time(sign_time: str) -> None:
    value = signed(V3).replace(f"q-sign-time={START};{END}", f"q-sign-time={sign_time}")
    start, end = map(int, sign_time.split(";"))
    assert checked(V3, value, now=start) == Accepted(EXAMPLE.secret_id)
    assert checked(V3, value, now=end) == Accepted(EXAMPLE.secret_id)
    assert checked(V3, value, now=end + 1) == Refused("AccessDenied", "Request has expired")


@pytest.mark.parametrize("authorization", ["", "  "])
def test_an_empty_header_leaves_the_query_to_be_looked_at(authorization: str) -> None:
    query = presign(EXAMPLE, method="GET", path="/a", start=START, end=END)
    vector = Vector("", "GET", "/a", {})
    assert checked(vector, authorization, query=parse_qsl(query, keep_blank_values=True)) == Accepted(EXAMPLE.secret_id)


def test_a_header_beats_the_query() -> None:
    query = parse_qsl(presign(EXAMPLE, method="POST", path="/jobs", start=START, end=END), keep_blank_values=True)
    assert checked(V3, query=query) == Accepted(EXAMPLE.secret_id)
    assert code(checked(V3, signed(replace(V3, path="/other")), query=query)) == "SignatureDoesNotMatch"


def test_an_unknown_id_is_as_much_work_as_a_wrong_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who guesses ids learns them from the code, as the documents want it, not sooner from the time."""
    compared: list[bytes] = []
    real = hmac.compare_digest

    def compare(expected: bytes, received: bytes) -> bool:
        compared.append(received)
        return real(expected, received)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    wrong = signed(V3)[:-40] + "0" * 40
    assert code(checked(V3, wrong)) == "SignatureDoesNotMatch"
    assert code(checked(V3, wrong, known=[])) == "InvalidAccessKeyId"
    assert compared == [b"0" * 40] * 2


def test_nobody_signs_with_an_empty_key() -> None:
    nobody = Vector("", "GET", "/", {}, credentials=Credentials("", ""))
    assert code(checked(nobody, signed(nobody))) == "InvalidAccessKeyId"


def test_another_key_does_not_match() -> None:
    assert code(checked(V3, signed(V3), known=[replace(EXAMPLE, secret_key="other")])) == "SignatureDoesNotMatch"


def test_an_unknown_id_has_its_own_code() -> None:
    assert code(checked(V3, signed(V3), known=[])) == "InvalidAccessKeyId"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (START - 901, "RequestTimeTooSkewed"),
        (START - 900, None),
        (START, None),
        (END, None),
        (END + 1, "AccessDenied"),
    ],
)
def test_the_clock(now: int, expected: str | None) -> None:
    verdict = checked(V3, signed(V3), now=now)
    assert (verdict.code if isinstance(verdict, Refused) else None) == expected


def test_an_expired_signature_says_so() -> None:
    assert checked(V3, signed(V3), now=END + 1) == Refused("AccessDenied", "Request has expired")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", None),
        ("Tue, 14 Nov 2023 22:43:20 GMT", "RequestTimeTooSkewed"),
        ("Tue, 14 Nov 2023 21:43:20 GMT", "RequestTimeTooSkewed"),
        ("yesterday", None),
        ("Tue, 99 Nov 99999 99:99:99 GMT", None),
    ],
)
def test_a_date_header_tells_the_clients_clock(date: str, expected: str | None) -> None:
    verdict = checked(V3, signed(V3), headers={**V3.headers, "Date": date})
    assert (verdict.code if isinstance(verdict, Refused) else None) == expected


@pytest.mark.parametrize("authorization", [None, "", "  "])
def test_an_unsigned_request_is_refused(authorization: str | None) -> None:
    assert checked(V3, authorization) == Refused("AccessDenied", "The request is not signed.")


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("Bearer abc", "The signature is malformed: q-sign-algorithm, q-ak, q-sign-time, q-key-time, q-header-list,"),
        (signed(V3).replace("sha1", "sha256"), "The signature is malformed: q-sign-algorithm must be sha1."),
        (signed(V3) + "&q-ak=other", "The signature is malformed: unknown or repeated fields."),
        (signed(V3) + "&more=1", "The signature is malformed: unknown or repeated fields."),
        (signed(V3).partition("&q-signature")[0], "The signature is malformed: q-signature missing."),
        (
            signed(V3).replace("q-sign-time=1700000000;", "q-sign-time=1600000000;"),
            "The signature is malformed: q-sign-time must lie within q-key-time.",
        ),
        (
            signed(V3).replace("q-key-time=1700000000;1700003660", "q-key-time=now;later"),
            "The signature is malformed: q-sign-time must lie within q-key-time.",
        ),
        (
            signed(V3).replace("1700000000;1700003660", "1700003660;1700000000"),
            "The signature is malformed: q-sign-time must lie within q-key-time.",
        ),
    ],
)
def test_a_malformed_signature_is_refused(authorization: str, message: str) -> None:
    verdict = checked(V3, authorization)
    assert isinstance(verdict, Refused)
    assert verdict.code == "AccessDenied"
    assert verdict.message.startswith(message)


@pytest.mark.parametrize("name", ["x-cos-security-token", "x-ci-security-token"])
def test_the_token_may_come_in_either_header(name: str) -> None:
    vector = replace(V3, headers={**V3.headers, name: "TOKEN"})
    assert checked(vector, signed(vector), known=[replace(EXAMPLE, token="TOKEN")]) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize("name", ["x-cos-security-token", "X-CI-Security-Token"])
def test_the_token_may_come_in_the_query(name: str) -> None:
    vector = replace(V3, query={name: "TOKEN"})
    assert checked(vector, signed(vector), known=[replace(EXAMPLE, token="TOKEN")]) == Accepted(EXAMPLE.secret_id)


def test_a_token_that_nobody_asked_for_is_let_be() -> None:
    vector = replace(V3, headers={**V3.headers, "x-cos-security-token": "TOKEN"})
    assert checked(vector, signed(vector)) == Accepted(EXAMPLE.secret_id)


@pytest.mark.parametrize("headers", [{}, {"x-cos-security-token": "OTHER"}])
def test_a_missing_or_wrong_token_is_refused(headers: Mapping[str, str]) -> None:
    vector = replace(V3, headers={**V3.headers, **headers})
    verdict = checked(vector, signed(vector), known=[replace(EXAMPLE, token="TOKEN")])
    assert verdict == Refused("AccessDenied", "The security token is missing or not the one of this SecretId.")


def test_credentials_hide_their_secrets() -> None:
    shown = f"{replace(EXAMPLE, token='TOKEN')!r} {replace(EXAMPLE, token='TOKEN')}"
    assert EXAMPLE.secret_id in shown
    assert EXAMPLE.secret_key not in shown
    assert "TOKEN" not in shown


TEXTS = st.text(max_size=12)
PAIRS = st.dictionaries(st.text("abcXYZ-é", min_size=1, max_size=6), TEXTS, max_size=4)


@given(path=TEXTS, query=PAIRS, headers=PAIRS)
def test_whatever_is_signed_is_let_in(path: str, query: dict[str, str], headers: dict[str, str]) -> None:
    folded = {name.lower(): value for name, value in headers.items()}
    vector = Vector("", "GET", f"/{path}", folded, query)
    assert checked(vector, signed(vector)) == Accepted(EXAMPLE.secret_id)


@given(authorization=st.text(), query=PAIRS)
def test_no_garbage_is_let_in_and_none_raises(authorization: str, query: dict[str, str]) -> None:
    assert isinstance(checked(V3, authorization, query=query), Refused)


@given(position=st.integers(0, 39), character=st.text(min_size=1, max_size=1))
def test_no_other_signature_is_let_in(position: int, character: str) -> None:
    right = signed(V3)
    cut = len(right) - 40 + position
    wrong = right[:cut] + character + right[cut + 1 :]
    assert isinstance(checked(V3, wrong), Accepted) == (wrong == right)
