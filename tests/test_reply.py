"""What a reply means: its request id, its error, what it wishes, and what to do about a call without one."""

from __future__ import annotations

import errno
import socket
import ssl

import httpx
import pytest

from reconciler.reply import ADVICE, Call, Reply, mistimed, unreachable
from tests.fakes import ERROR

CALL = Call("GET", "jobs", "/jobs/j1")
DATE = "Fri, 01 May 2026 10:00:00 GMT"


def reply(status: int = 200, body: str | bytes = b"", **headers: str) -> Reply:
    content = body.encode() if isinstance(body, str) else body
    return Reply(CALL, status, httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()}), content)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("7", 7),
        (" 120 ", 120),
        ("99999999999999999999", 999_999_999),
        ("Fri, 01 May 2026 10:00:30 GMT", 30),
        ("Fri, 01 May 2026 09:00:00 GMT", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("Fri, 99 May 2026 10:00:30 GMT", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    assert reply(503, Retry_After=text, Date=DATE).retry_after() == seconds


def test_a_date_to_retry_after_says_nothing_without_the_services_own_date() -> None:
    assert reply(503, Retry_After=DATE).retry_after() == 0


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 01 May 2026 10:00:00 -0000", "Fri, 01 May 99999 10:00:00 GMT"])
def test_a_date_that_is_none_is_no_date(date: str) -> None:
    assert reply(Date=date).date is None


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (403, ERROR.format("AccessDenied", "no"), {}, "403 AccessDenied: no (request id id-7)"),
        (403, "", {"x_cos_request_id": "id-1"}, "403 Unknown: Forbidden (request id id-1)"),
        (404, "", {"x_cos_error_code": "NoSuchKey", "x_cos_error_message": "gone"}, "404 NoSuchKey: gone"),
        (502, "<html>\n<b>bad   gateway</b>", {}, "502 Unknown: <html> <b>bad gateway</b>"),
        (500, "\x00\x01", {"x_ci_request_id": "id-2"}, "500 Unknown: \x00\x01 (request id id-2)"),
        (400, "<Error><Message>m</Message></Error>", {}, "400 Unknown: m"),
        (301, "", {"Location": "https://b.example/"}, "301 Unknown: it points to https://b.example/, which is not"),
        (307, "", {}, "307 Unknown: it points to another address"),
        (200, ERROR.format("InternalError", "late"), {}, "500 InternalError: late (request id id-7)"),
        (200, ERROR.format("NoSuchKey", "late"), {}, "404 NoSuchKey: late (request id id-7)"),
        (200, ERROR.format("Novel", "late"), {}, "500 Novel: late (request id id-7)"),
    ],
)
def test_a_refusal_says_what_the_reply_says(status: int, body: str, headers: dict[str, str], said: str) -> None:
    error = reply(status, body, **headers).refusal()
    assert error is not None
    assert error.message.startswith(f"GET /jobs/j1: {said}")


@pytest.mark.parametrize(
    "body", ["", "<Response/>", "<Response><Error>no document</Error></Response>", "<Error", "\x00"]
)
def test_a_good_reply_is_no_refusal(body: str) -> None:
    assert reply(200, body).refusal() is None


@pytest.mark.parametrize(
    ("code", "message", "wrong", "advice"),
    [
        ("RequestTimeTooSkewed", "no", True, "clock"),
        ("AccessDenied", "Request has expired", True, "clock"),
        ("Request has expired", "", True, "clock"),
        ("AccessDenied", "no", False, "right"),
        ("ExpiredToken", "Request has expired", False, "TENCENTCLOUD_SECURITY_TOKEN"),
        ("NotImplemented", "no", False, "older `reconciler serve`"),
        ("Novel", "no", False, None),
    ],
)
def test_a_refusal_for_the_time_is_known_and_what_to_do(
    code: str, message: str, *, wrong: bool, advice: str | None
) -> None:
    error = reply(403, ERROR.format(code, message)).refusal()
    assert error is not None
    assert mistimed(error) is wrong
    assert (advice in error.advice) if advice and error.advice else error.advice is advice


def test_a_redirect_says_where_to_and_what_to_set() -> None:
    error = reply(301, Location="https://portal.example/login").refusal()
    assert error is not None
    assert error.advice == "check `service`, `endpoints` and `region` in reconciler.yaml"


@pytest.mark.parametrize("body", ["<!DOCTYPE html><p>", "  \n<html>", "<HTML>"])
def test_a_web_page_is_called_one(body: str) -> None:
    error = reply(200, body).malformed("not XML")
    assert error.message == "GET /jobs/j1: the answer is a web page, not the API's"
    assert "login page" in (error.advice or "")


def test_a_malformed_answer_of_the_services_own_has_its_request_id() -> None:
    error = reply(200, x_cos_request_id="id-3").malformed("not XML")
    assert error.message == "GET /jobs/j1: not XML (request id id-3)"
    assert (error.request_id, error.advice) == ("id-3", None)


def test_a_long_path_is_shown_in_short() -> None:
    assert len(str(Call("GET", "jobs", "/jobs/" + "j" * 1700))) < 120


def test_every_advice_stands_alone() -> None:
    assert all(text[0].islower() and not text.endswith(".") for text in ADVICE.values())


# No reply.

WHERE = "https://b.example"


def caused(cause: BaseException) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = cause
    return error


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "said", "advised"),
    [
        (caused(socket.gaierror(-2, "Name or service not known")), "the name is not known", True),
        (caused(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "nothing listens there", True),
        (caused(ExceptionGroup("all", [OSError(), ConnectionRefusedError()])), "nothing listens there", True),
        (caused(certificate_error()), "its certificate is not trusted: self-signed certificate", True),
        (caused(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong")), "it does not speak TLS: ", True),
        (caused(OSError("odd")), "All connection attempts failed", False),
        (httpx.ConnectTimeout(""), "it took too long", True),
        (httpx.ProxyError("403 Forbidden"), "the proxy refused: 403 Forbidden", True),
        (httpx.LocalProtocolError("Illegal header value"), "Illegal header value", False),
        (httpx.PoolTimeout(""), "it took too long", True),
    ],
)
def test_what_kept_a_call_from_being_sent_is_said(error: Exception, said: str, *, advised: bool) -> None:
    found = unreachable(CALL, error, WHERE, headers=None)
    assert found.message.startswith(f"GET /jobs/j1: cannot reach https://b.example: {said}")
    assert found.sent is False
    assert bool(found.advice) is advised


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ReadTimeout(""), "no answer from https://b.example: it took too long"),
        (httpx.ReadError("reset"), "no answer from https://b.example: reset"),
        (TimeoutError(), "no answer from https://b.example: it took too long"),
    ],
)
def test_a_call_that_may_have_been_received_is_told_as_such(error: Exception, said: str) -> None:
    found = unreachable(CALL, error, WHERE, headers=None)
    assert (found.message, found.sent) == (f"GET /jobs/j1: {said}", True)


def test_an_answer_that_was_broken_off_has_its_request_id() -> None:
    found = unreachable(CALL, httpx.ReadError("reset"), WHERE, headers=httpx.Headers({"x-ci-request-id": "id-5"}))
    assert found.message == "GET /jobs/j1: https://b.example broke its answer off: reset (request id id-5)"
    assert (found.sent, found.request_id) == (True, "id-5")
