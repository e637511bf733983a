"""The table of error codes against reference/errors.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reconciler.service
from reconciler.api.error_codes import CODES, ErrorCode, error_code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("MalformedXML", 400),
        ("InvalidArgument", 400),
        ("MissingRequestBodyError", 400),
        ("ExpiredToken", 400),
        ("KeyTooLong", 400),
        ("InvalidObjectName", 400),
        ("BadDigest", 400),
        ("PaymentRequired", 402),
        ("AccessDenied", 403),
        ("SignatureDoesNotMatch", 403),
        ("InvalidAccessKeyId", 403),
        ("RequestTimeTooSkewed", 403),
        ("NoSuchBucket", 404),
        ("NoSuchKey", 404),
        ("NoSuchJob", 404),
        ("NoSuchTemplate", 404),
        ("NoSuchQueue", 404),
        ("MethodNotAllowed", 405),
        ("FileAlreadyExists", 409),
        ("InvalidJobState", 409),
        ("MissingContentLength", 411),
        ("PreconditionFailed", 412),
        ("InvalidRange", 416),
        ("UnavailableForLegalReasons", 451),
        ("InternalError", 500),
        ("NotImplemented", 501),
        ("SlowDown", 503),
        ("ServiceUnavailable", 503),
        ("Success", 200),
        ("InvalidSource", 200),
        ("Timeout", 200),
    ],
)
def test_status(code: str, status: int) -> None:
    assert CODES[code].status == status
    assert error_code(code, 599) is CODES[code]


def test_every_code_has_a_text_and_its_own_name() -> None:
    assert all(name == entry.code for name, entry in CODES.items())
    assert [entry.code for entry in CODES.values() if not entry.message] == ["Success"]


def test_the_documents_words() -> None:
    assert CODES["NoSuchKey"].message == "The specified key does not exist."
    assert CODES["MediaBucketUnbound"].message == "media bucket unbinded, bucket's host is unavailable"


def test_what_is_worth_another_attempt() -> None:
    assert {code for code, entry in CODES.items() if entry.retry} == {
        "IncompleteBody",
        "InternalError",
        "KmsFreqControl",
        "PathConflict",
        "RequestTimeout",
        "RestoreAlreadyInProgress",
        "ServiceUnavailable",
        "SlowDown",
        "UploadConflict",
        "UserNetworkTooSlow",
    }


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidArgument", False),
        (400, "RequestTimeout", True),
        (403, "AccessDenied", False),
        (409, "PathConflict", True),
        (409, "FileAlreadyExists", False),
        (412, "PreconditionFailed", False),
        (501, "NotImplemented", False),
        (503, "SlowDown", True),
        (400, "Unknown", False),
        (404, "", False),
        (408, "Unknown", True),
        (429, "Unknown", True),
        (500, "Unknown", True),
        (502, "Unknown", True),
        (504, "", True),
    ],
)
def test_retry(status: int, code: str, *, expected: bool) -> None:
    assert error_code(code, status).retry is expected


def test_an_unknown_code_keeps_its_name_and_status() -> None:
    assert error_code("Teapot", 418) == ErrorCode("Teapot", 418, "", retry=False)


def test_every_code_that_the_service_says_is_in_the_table() -> None:
    """One that is not would be answered as a failure of the service."""
    said: set[str] = set()
    for path in sorted(Path(reconciler.service.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RefusedError":
                words = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                said.update(word for word in words if isinstance(word, str))
    assert {"NoSuchKey", "InvalidArgument", "MalformedXML"} <= said
    assert said - CODES.keys() == set()
    assert all(CODES[code].status >= 400 for code in said)
