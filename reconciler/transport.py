"""Signed calls over one pool of connections, at one pace for everybody, repeated where that is safe.

``send`` sends a call once, ``repeat`` until it is answered. What the calls mean is in ``client``.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from reconciler.api.error_codes import error_code
from reconciler.api.signing import Credentials, sign
from reconciler.endpoints import Endpoints
from reconciler.errors import ClientError, MalformedReplyError, ServiceError, UnreachableError
from reconciler.pacer import Pacer
from reconciler.reply import Call, Reply, mistimed, request_id, unreachable

LONGEST_CALL: Final = 60.0
"""Seconds after which a call that was begun is given up, however slowly its answer still trickles in.

One that carries a large object is given longer.
"""

LARGEST_REPLY: Final = 32 * 1024 * 1024
"""Bytes; the largest page of the API, a thousand of the longest keys, has three million."""

SLOWEST: Final = 1024 * 1024
"""Bytes of a large object that arrive in a second at least."""

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_KEEP_ALIVE: Final = 30.0
_BESIDES: Final = 4
"""Connections beyond one for each job in flight: the poller, listings, the search for jobs in doubt."""

_SIGNATURE_SECONDS: Final = 3600
_EARLY_SECONDS: Final = 60
"""How long before now a signature begins to hold, for clocks that differ a little; the vendor's SDK does the same."""

_NO_STREAM: Final = httpx.ByteStream(b"")

_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 8.0
_MOST_REFUSALS: Final = 20
_INSTANT: Final = 1e-3


class Clock(Protocol):
    """What of time and chance the transport needs."""

    def wall(self) -> float:
        """Return the seconds since 1970."""
        ...

    def ticks(self) -> float:
        """Return the seconds of a clock that never goes back."""
        ...

    def chance(self) -> float:
        """Return a random number between 0 and 1."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        ...


class SystemClock:
    """The real time, and real chance."""

    wall = staticmethod(time.time)
    ticks = staticmethod(time.monotonic)
    chance: Callable[[], float] = staticmethod(random.SystemRandom().random)
    sleep = staticmethod(asyncio.sleep)


@dataclass(frozen=True, slots=True)
class Patience:
    """When a call that may be repeated is given up.

    ``attempts`` counts those that failed. ``slowed`` is how many seconds the service may ask everybody to slow down
    without a single good answer in between.
    """

    attempts: int = 5
    slowed: float = 120.0


@dataclass(frozen=True, slots=True)
class Conduct:
    """How calls are made.

    ``parallelism`` is the number of jobs in flight that connections are kept for. At most ``requests_per_second`` calls
    begin in a second, whatever they are. ``hear`` is told, in a text for people, that the service asks to slow down.
    """

    parallelism: int = 4
    requests_per_second: float | None = None
    patience: Patience = Patience()
    hear: Callable[[str], None] | None = None


class Transport:
    """Sends calls; enter it with ``async with``.

    Raises ServiceError when the service refuses, UnreachableError when no answer comes, MalformedReplyError when the
    answer is too large or cannot be decoded.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials | None,
        *,
        base: httpx.AsyncBaseTransport | None,
        conduct: Conduct,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._credentials = credentials
        self._patience = conduct.patience
        self._hear = conduct.hear
        self._clock = clock
        self._pacer = Pacer(conduct.requests_per_second)
        self._gate = asyncio.Lock()
        self._skew: float | None = None
        self._correction = 0.0
        self._http = _pool(base, conduct.parallelism + _BESIDES)
        self._usual = dict(self._http.headers)  # as build_request would, which merges and parses each address twice

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def skew(self) -> float | None:
        """How many seconds the service's clock is ahead of ours, by its last answer that told its time."""
        return self._skew

    async def turn(self) -> None:
        """Wait until the next call may begin. Whoever comes first goes first."""
        async with self._gate:
            while (pause := self._pacer.wait(self._clock.ticks())) > 0:
                await self._clock.sleep(pause)
            self._pacer.begin(self._clock.ticks())

    async def repeat(self, call: Call, *, largest: int = LARGEST_REPLY) -> Reply:
        """Send a call that may be repeated, until it is answered or patience is at its end.

        ``largest`` is how many bytes the answer may have.
        """
        tries = _Tries()
        while True:
            await self.turn()
            try:
                return await self.send(call, largest=largest)
            except (ServiceError, UnreachableError) as error:
                pause = self._pause(error, tries)
                if pause is None:
                    raise
            await self._clock.sleep(pause)

    async def send(self, call: Call, *, largest: int = LARGEST_REPLY) -> Reply:
        """Send a call once; whoever cares for the pace waits for a ``turn`` first."""
        began = self._clock.ticks()
        reply = await self._exchange(call, largest)
        refusal = reply.refusal()
        genuine = reply.request_id or (refusal is not None and refusal.request_id)
        if reply.date is not None and genuine:  # whoever else stands in between may be wrong about the time
            self._skew = reply.date.timestamp() - self._clock.wall()
        if refusal is not None and refusal.slowed:
            self._slow_down(refusal, began, reply.retry_after())
        else:
            self._pacer.accepted(began)
        if refusal is not None:
            if mistimed(refusal) and self._skew is not None:
                self._correction = self._skew
            raise refusal
        return reply

    def _slow_down(self, refusal: ServiceError, began: float, wish: float) -> None:
        """Let everybody call less often, and say why when it is news."""
        now = self._clock.ticks()
        is_news = self._pacer.refused(began, now, chance=self._clock.chance(), wish=wish)
        if is_news and self._hear is not None:
            wait = max(math.ceil(self._pacer.wait(now) - _INSTANT), 1)
            self._hear(
                f"the service asks to slow down ({refusal.status} {refusal.code}); the next call goes out in {wait} s"
            )

    def _pause(self, error: ServiceError | UnreachableError, tries: _Tries) -> float | None:
        """Return how long to wait before a call is sent once more, besides its turn; None to give it up."""
        if isinstance(error, ServiceError):
            if error.slowed:
                tries.refusals += 1
                refused_for = self._pacer.refusing(self._clock.ticks())
                return None if tries.refusals == _MOST_REFUSALS or refused_for >= self._patience.slowed else 0.0
            if mistimed(error):
                tries.corrections += 1
                return None if tries.corrections > 1 or self._skew is None else 0.0
            if not error_code(error.code, error.status).retry:
                return None
        tries.failures += 1
        if tries.failures == self._patience.attempts:
            return None
        return self._clock.chance() * min(_FIRST_BACKOFF * 2.0 ** (tries.failures - 1), _LONGEST_BACKOFF)

    async def _exchange(self, call: Call, largest: int) -> Reply:
        """Send a call and take its answer, whatever it says."""
        endpoint = self._endpoints[call.half]
        headers = self._signed(call, {"Host": endpoint.host, **call.headers})
        received: httpx.Response | None = None
        try:
            async with asyncio.timeout(_longest(call, largest)):
                request = httpx.Request(
                    call.method,
                    f"{endpoint.url}{call.path}",
                    params=call.query or None,
                    headers={**self._usual, **headers},
                    content=call.body,
                    extensions={"timeout": _TIMEOUT.as_dict()},
                )
                received = await self._http.send(request, stream=True)
                body = await _whole(received, largest)
        except httpx.DecodingError as error:
            said = request_id(received.headers) if received else ""
            raise MalformedReplyError(f"{call}: the answer cannot be decoded: {error}", request_id=said) from error
        except (httpx.RequestError, httpx.InvalidURL, TimeoutError) as error:
            answered = received.headers if received else None
            raise unreachable(
                call, error, f"{endpoint.url}{self._by_way_of(endpoint.url)}", headers=answered
            ) from error
        finally:
            if received is not None:
                await received.aclose()
                received.stream = _NO_STREAM  # the two hold each other, and what was read, until somebody collects
        reply = Reply(call, received.status_code, received.headers, body or b"")
        if body is None:
            raise reply.malformed(f"the answer is larger than {largest >> 20} MiB")
        return reply

    def _by_way_of(self, url: str) -> str:
        """Name the proxy that the environment puts before an address: it may be what does not answer."""
        parts = urlsplit(url)
        proxies = getproxies() if self._http.trust_env else {}
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or proxy_bypass(parts.hostname or ""):
            return ""
        return f" by way of the proxy {(urlsplit(proxy).netloc or proxy).rpartition('@')[2]}"

    def _signed(self, call: Call, headers: dict[str, str]) -> dict[str, str]:
        """Return the headers of a call with a signature that begins now."""
        if call.method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(call.body))
        if self._credentials is None:
            return headers
        if self._credentials.token:
            headers["x-cos-security-token" if call.half == "objects" else "x-ci-security-token"] = (
                self._credentials.token
            )
        now = int(self._clock.wall() + self._correction)
        headers["Authorization"] = sign(
            self._credentials,
            method=call.method,
            path=unquote(call.path),
            query=call.query,
            headers=headers,
            start=now - _EARLY_SECONDS,
            end=now + _SIGNATURE_SECONDS,
        )
        return headers


@dataclass(slots=True)
class _Tries:
    """What has become of one call so far."""

    failures: int = 0
    refusals: int = 0
    corrections: int = 0


def _pool(base: httpx.AsyncBaseTransport | None, connections: int) -> httpx.AsyncClient:
    """Return what holds the connections. What is wrong with a proxy is not repeated: it may hold a password."""
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP_ALIVE
    )
    advice = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
    try:
        pool = httpx.AsyncClient(transport=base, trust_env=base is None, timeout=_TIMEOUT, limits=limits)
    except ImportError:
        raise ClientError("the environment asks for a SOCKS proxy, which is not supported", advice=advice) from None
    except (ValueError, httpx.InvalidURL):
        raise ClientError("a proxy of the environment has no address of http:// or https://", advice=advice) from None
    # The API has no cookies, and those of whoever stands in between are none of ours; looking for them costs a tenth.
    vars(pool.cookies)["extract_cookies"] = lambda _: None  # httpx has no switch for it
    return pool


def _longest(call: Call, largest: int) -> float:
    """Return the seconds after which a call is given up: for a submission always the same, ``apply`` counts on it."""
    if call.half != "objects":
        return LONGEST_CALL
    return LONGEST_CALL + (len(call.body) + max(largest - LARGEST_REPLY, 0)) / SLOWEST


async def _whole(response: httpx.Response, largest: int) -> bytes | None:
    """Read an answer to its end; None when it is larger than it may be."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > largest:
            return None
    return bytes(body)
