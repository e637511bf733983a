"""The request signature ``q-sign-algorithm=sha1``: ``sign`` and ``presign`` for clients, ``verify`` for the service.

One algorithm used by both sides. No I/O, no clock: times are handed in. Source: reference/signature.md (document
436/7778); that page's vectors are the tests.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

Pairs = Mapping[str, str] | Sequence[tuple[str, str]]
"""Headers or query parameters, decoded. A parameter without a value has an empty one."""

SKEW_SECONDS: Final = 15 * 60
"""How far a client's clock may be off."""

TOKEN_HEADERS: Final = ("x-cos-security-token", "x-ci-security-token")
"""Either may carry the token of temporary credentials, on either host, as a header or as a query parameter."""

_ALGORITHM: Final = "sha1"
_FIELDS: Final = (
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
)
_INTERVAL: Final = re.compile(r"(\d{1,15});(\d{1,15})", re.ASCII)
_PORT: Final = re.compile(r":\d+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs. ``token`` belongs to temporary credentials. The key and the token never show in a representation."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


_NOBODY: Final = Credentials("", "")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The signature is right; ``secret_id`` says whose it is."""

    secret_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not let in; ``code`` and ``message`` are what to answer (see ``error_codes`` for the status)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its own signature: the seven fields."""

    secret_id: str
    sign_time: str
    key_time: str
    header_names: tuple[str, ...]
    parameter_names: tuple[str, ...]
    signature: str


def sign(  # noqa: PLR0913 - one keyword for each part of the call and its interval
    credentials: Credentials,
    *,
    method: str,
    path: str,
    start: int,
    end: int,
    query: Pairs = (),
    headers: Pairs = (),
) -> str:
    """Return the value of the ``Authorization`` header.

    ``path`` is decoded and starts with ``/``; everything in ``query`` and ``headers`` is signed. The signature holds
    from ``start`` to ``end``, in Unix seconds. The token of temporary credentials must be among the headers.
    """
    return "&".join(
        f"{name}={value}" for name, value in _sealed(credentials, method, path, (start, end), query, headers)
    )


def presign(  # noqa: PLR0913 - as sign
    credentials: Credentials,
    *,
    method: str,
    path: str,
    start: int,
    end: int,
    query: Pairs = (),
    headers: Pairs = (),
) -> str:
    """Return the query string, percent-encoded, of an address that holds by itself from ``start`` to ``end``.

    Parameters are those of ``sign``; whoever uses the address must send the same ``headers`` (usually ``host`` only).
    The token of temporary credentials is added and signed.
    """
    token = [(TOKEN_HEADERS[0], credentials.token)] if credentials.token else []
    parameters = [*_items(query), *token]
    fields = _sealed(credentials, method, path, (start, end), parameters, headers)
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in [*fields, *parameters])


def verify(
    *,
    method: str,
    path: str,
    query: Pairs,
    headers: Pairs,
    find: Callable[[str], Credentials | None],
    now: int,
) -> Accepted | Refused:
    """Check the signature of a request, from its ``Authorization`` header or from its query.

    ``path`` and ``query`` are decoded, ``find`` returns the credentials of a secret id, ``now`` is in Unix seconds.
    Header values are UTF-8, as SDKs send them; bytes that are none are surrogates (``errors="surrogateescape"``).
    Only what the request names as signed is checked, as the service does: an SDK leaves ``cancel`` out.
    """
    received = [(name.lower(), value) for name, value in _items(headers)]
    fields = _fields(dict(received), dict(_items(query)))
    if fields is None:
        return Refused("AccessDenied", "The request is not signed.")
    claim = _claim(fields)
    if isinstance(claim, Refused):
        return claim
    found = find(claim.secret_id)
    credentials = found or _NOBODY
    forged = _forged(claim, credentials, method, path, _items(query), received)  # the same work for an unknown id
    if found is None:
        return Refused("InvalidAccessKeyId", "The SecretId is unknown.")
    return (
        _late(claim, dict(received), now)
        or forged
        or _without_token(credentials, [*received, *_items(query)])
        or Accepted(claim.secret_id)
    )


# The algorithm; reference/signature.md §2.


def _sealed(
    credentials: Credentials, method: str, path: str, interval: tuple[int, int], query: Pairs, headers: Pairs
) -> list[tuple[str, str]]:
    """Return the seven fields in the order in which they are written."""
    parameters, signed_headers = _canonical(_items(query)), _canonical(_items(headers))
    key_time = f"{interval[0]};{interval[1]}"
    signature = _signature(credentials.secret_key, key_time, method, path, parameters, signed_headers)
    header_list, parameter_list = (";".join(name for name, _ in pairs) for pairs in (signed_headers, parameters))
    values = (_ALGORITHM, credentials.secret_id, key_time, key_time, header_list, parameter_list, signature)
    return list(zip(_FIELDS, values, strict=True))


def _signature(
    secret_key: str,
    key_time: str,
    method: str,
    path: str,
    parameters: Sequence[tuple[str, str]],
    headers: Sequence[tuple[str, str]],
) -> str:
    sign_key = _hmac(secret_key, key_time)
    http_string = f"{method.lower()}\n{path}\n{_joined(parameters)}\n{_joined(headers)}\n"
    digest = hashlib.sha1(_bytes(http_string), usedforsecurity=False).hexdigest()
    return _hmac(sign_key, f"{_ALGORITHM}\n{key_time}\n{digest}\n")


def _canonical(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted((_encode(name).lower(), _encode(value)) for name, value in pairs)


def _joined(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


def _items(pairs: Pairs) -> list[tuple[str, str]]:
    return list(pairs.items() if isinstance(pairs, Mapping) else pairs)


def _encode(text: str) -> str:
    return quote(_bytes(text), safe="-_.~")


def _bytes(text: str) -> bytes:
    """Return the bytes that were on the wire: what was no UTF-8 there was decoded to surrogates (PEP 383)."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def _hmac(key: str, message: str) -> str:
    return hmac.new(_bytes(key), _bytes(message), hashlib.sha1).hexdigest()


# What a service checks; reference/signature.md §2.2, §4 and §5.


def _fields(headers: Mapping[str, str], query: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """Return the signature's fields, from the header or else from the query; None when there are none."""
    merged = headers.get("authorization") or query.get("sign") or ""
    if merged.strip():
        parts = (part.partition("=") for part in merged.strip().split("&"))
        return [(name, value) for name, _, value in parts]
    found = [(name, query[name]) for name in _FIELDS if name in query]
    return found or None


def _claim(fields: Sequence[tuple[str, str]]) -> _Claim | Refused:
    values = dict(fields)
    if sorted(name for name, _ in fields) != sorted(_FIELDS):
        missing = [name for name in _FIELDS if name not in values]
        return Refused("AccessDenied", f"The signature is malformed: {_fault(missing)}.")
    if values["q-sign-algorithm"] != _ALGORITHM:
        return Refused("AccessDenied", "The signature is malformed: q-sign-algorithm must be sha1.")
    sign_time, key_time = values["q-sign-time"], values["q-key-time"]
    if not _lies_within(sign_time, key_time):
        return Refused("AccessDenied", "The signature is malformed: q-sign-time must lie within q-key-time.")
    return _Claim(
        values["q-ak"],
        sign_time,
        key_time,
        tuple(_names(values["q-header-list"])),
        tuple(_names(values["q-url-param-list"])),
        values["q-signature"],
    )


def _fault(missing: Sequence[str]) -> str:
    return f"{', '.join(missing)} missing" if missing else "unknown or repeated fields"


def _names(text: str) -> Iterator[str]:
    return (name.lower() for name in text.split(";") if name)


def _lies_within(inner: str, outer: str) -> bool:
    first, second = _INTERVAL.fullmatch(inner), _INTERVAL.fullmatch(outer)
    if first is None or second is None:
        return False
    start, end, earliest, latest = int(first[1]), int(first[2]), int(second[1]), int(second[2])
    return earliest <= start <= end <= latest


def _late(claim: _Claim, headers: Mapping[str, str], now: int) -> Refused | None:
    start, end = map(int, claim.sign_time.split(";"))
    if now > end:
        return Refused("AccessDenied", "Request has expired")
    clock = _date(headers.get("date", ""))
    if start - now > SKEW_SECONDS or (clock is not None and abs(clock - now) > SKEW_SECONDS):
        return Refused("RequestTimeTooSkewed", "The client's clock is more than 15 minutes off.")
    return None


def _date(text: str) -> int | None:
    """Read a Date header; one that is no date says nothing about the client's clock."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        return None


def _forged(
    claim: _Claim,
    credentials: Credentials,
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Sequence[tuple[str, str]],
) -> Refused | None:
    mismatch = Refused("SignatureDoesNotMatch", "The signature does not match what was sent.")
    parameters = _named(query, claim.parameter_names)
    if parameters is None:
        return mismatch
    for variant in _host_variants(headers):
        signed_headers = _named(variant, claim.header_names)
        if signed_headers is None:
            return mismatch
        expected = _signature(credentials.secret_key, claim.key_time, method, path, parameters, signed_headers)
        if hmac.compare_digest(_bytes(expected), _bytes(claim.signature)):
            return None
    return mismatch


def _named(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return what the claim names, in canonical form; None when something it names was not sent."""
    wanted = frozenset(names)
    chosen = [(name, value) for name, value in _canonical(pairs) if name in wanted]
    return chosen if {name for name, _ in chosen} == wanted else None


def _host_variants(headers: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    """Yield the headers as received, and once more with the host's name alone: one SDK signs it without its port."""
    yield headers
    without_port = [(name, _PORT.sub("", value) if name == "host" else value) for name, value in headers]
    if without_port != list(headers):
        yield without_port


def _without_token(credentials: Credentials, pairs: Sequence[tuple[str, str]]) -> Refused | None:
    if credentials.token is None:
        return None
    sent = [value for name, value in pairs if name.lower() in TOKEN_HEADERS]
    if any(hmac.compare_digest(_bytes(value), _bytes(credentials.token)) for value in sent):
        return None
    return Refused("AccessDenied", "The security token is missing or not the one of this SecretId.")
