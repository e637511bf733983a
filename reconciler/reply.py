"""One call and what came back: a reply, a refusal, or nothing, each told with the request id that it carried."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from reconciler.api import xml
from reconciler.api.error_codes import error_code
from reconciler.api.objects import ErrorDocument
from reconciler.endpoints import Half
from reconciler.errors import MalformedReplyError, ServiceError, UnreachableError

ADVICE: Final[Mapping[str, str]] = {
    "AccessDenied": "give these credentials the right to make this call",
    "ExpiredToken": "get new temporary credentials, and set TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and"
    " TENCENTCLOUD_SECURITY_TOKEN to them, all three",
    "InvalidAccessKeyId": "check TENCENTCLOUD_SECRET_ID; temporary credentials need TENCENTCLOUD_SECURITY_TOKEN too",
    "NoSuchBucket": "check `bucket` and `region` in reconciler.yaml",
    "NotImplemented": "this service does not offer the call; an older `reconciler serve` has to be upgraded",
    "PaymentRequired": "settle the bill of the account",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "SignatureDoesNotMatch": "check TENCENTCLOUD_SECRET_KEY: it must be the one that belongs to TENCENTCLOUD_SECRET_ID",
}
"""What a person can do about a refusal, by its code."""

_SHOWN: Final = 200
_SHOWN_PATH: Final = 100
_EXPIRED: Final = "request has expired"
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
"""Failures of which the service has certainly seen nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to one half of the API. ``path`` is percent-encoded."""

    method: str
    half: Half
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        path = self.path if len(self.path) <= _SHOWN_PATH else f"{self.path[:_SHOWN_PATH]}…"
        return f"{self.method} {path}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answered, whole."""

    call: Call
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def request_id(self) -> str:
        """What the vendor's support asks for; empty when the answer is not the service's own."""
        return request_id(self.headers)

    @property
    def date(self) -> datetime | None:
        """When it was answered, by the service's clock."""
        return _date(self.headers.get("Date", ""))

    def retry_after(self) -> float:
        """Return how many seconds its Retry-After asks for, which is a number or a date; 0 when it asks for nothing."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdecimal():
            return float(text[:9])
        moment, now = _date(text), self.date
        return max((moment - now).total_seconds(), 0.0) if moment and now else 0.0

    def malformed(self, reason: str) -> MalformedReplyError:
        """Return the error that this reply is not what the API promises."""
        start = self.body[:_SHOWN].lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")):
            reason = "the answer is a web page, not the API's"
        foreign = "look whether a proxy or a login page stands between here and the service"
        advice = None if self.request_id else foreign
        return MalformedReplyError(f"{self.call}: {reason}", request_id=self.request_id, advice=advice)

    def refusal(self) -> ServiceError | None:
        """Return why the call was refused, when it was: also when a status of 200 stands before an error document."""
        document = self._error_document()
        if 200 <= self.status < 300:
            if document is None:
                return None
            status = error_code(document.code).status
        else:
            status = self.status
        code = self.headers.get("x-cos-error-code") or "Unknown"
        message, advice = self._own_words(), None
        if document is not None:
            code, message = document.code if "code" in document.model_fields_set else code, document.message
        if 300 <= status < 400:
            message = f"it points to {self.headers.get('Location') or 'another address'}, which is not followed"
            advice = "check `service`, `endpoints` and `region` in reconciler.yaml"
        return ServiceError(
            status,
            code,
            message,
            request_id=(document.request_id if document else "") or self.request_id,
            call=str(self.call),
            advice=advice or _advice(code, message),
        )

    def _error_document(self) -> ErrorDocument | None:
        if b"<Error" not in self.body:
            return None
        try:
            return xml.read(ErrorDocument, self.body, "Error")
        except xml.XmlError:
            return None

    def _own_words(self) -> str:
        """Return what the reply says when it has no error document."""
        text = " ".join(self.body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]
        return text or self.headers.get("x-cos-error-message") or httpx.codes.get_reason_phrase(self.status)


def request_id(headers: httpx.Headers) -> str:
    """Return the request id of either half."""
    return headers.get("x-cos-request-id") or headers.get("x-ci-request-id") or ""


def mistimed(error: ServiceError) -> bool:
    """Tell whether a call was refused for the time in its signature; an expired token is another thing."""
    return error.code == "RequestTimeTooSkewed" or _has_expired(error.code, error.detail)


def _has_expired(code: str, message: str) -> bool:
    return code != "ExpiredToken" and _EXPIRED in f"{code} {message}".lower()


def _advice(code: str, message: str) -> str | None:
    return ADVICE["RequestTimeTooSkewed"] if _has_expired(code, message) else ADVICE.get(code)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else None


# No reply.


def unreachable(call: Call, error: Exception, where: str, *, headers: httpx.Headers | None) -> UnreachableError:
    """Return the error that a call to ``where`` was not answered, or not to the end: then ``headers`` are there."""
    if headers is not None:
        said = request_id(headers)
        return UnreachableError(f"{call}: {where} broke its answer off: {_reason(error)}", sent=True, request_id=said)
    if not isinstance(error, _UNSENT):
        return UnreachableError(f"{call}: no answer from {where}: {_reason(error)}", sent=True)
    summary, advice = _obstacle(error)
    return UnreachableError(f"{call}: cannot reach {where}: {summary}", sent=False, advice=advice)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "it took too long"
    return str(error) or type(error).__name__


def _obstacle(error: Exception) -> tuple[str, str | None]:
    """Say what kept a connection from being made, and what to do about it."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "the name is not known", "check `region` and `endpoints` in reconciler.yaml, and the network"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {cause.verify_message}",
                "check the address; SSL_CERT_FILE names further authorities to trust",
            )
        if isinstance(cause, ssl.SSLError):
            text = str(cause).partition(" (_ssl.c")[0]
            return f"it does not speak TLS: {text}", "check whether the address is http:// or https://"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there", "check the address, and that the service runs"
    if isinstance(error, httpx.TimeoutException):
        return _reason(error), "check the network, and HTTPS_PROXY when there is a proxy"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refused: {error}", "check HTTPS_PROXY and NO_PROXY"
    return _reason(error), None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything that led to it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
