"""Calls are repeated where that is safe, at a pace that everybody shares, signed anew, and never taken for what they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, TypeVar

import httpx
import pytest

from reconciler import transport as module
from reconciler.api.signing import SKEW_SECONDS, Credentials, Refused, verify
from reconciler.endpoints import Endpoint, Endpoints, Half
from reconciler.errors import ClientError, MalformedReplyError, ServiceError, UnreachableError
from reconciler.reply import Call, Reply
from reconciler.transport import LARGEST_REPLY, LONGEST_CALL, Conduct, Patience, SystemClock, Transport
from tests.fakes import ERROR, Answer, StandingClock, Wire, answer, done, refuse

ENDPOINTS = Endpoints.of("clips-1250000000", "ap-chongqing")
CREDENTIALS = Credentials("AKIDEXAMPLE", "planted-secret-key")
READ = Call("GET", "jobs", "/jobs/j1")
SEND = Call("POST", "jobs", "/jobs", body=b"<Request/>")
T = TypeVar("T")


def transport(
    answers: Callable[[httpx.Request], Coroutine[None, None, httpx.Response]],
    clock: StandingClock,
    *,
    credentials: Credentials | None = None,
    **conduct: Any,
) -> Transport:
    return Transport(
        ENDPOINTS,
        credentials,
        base=httpx.MockTransport(answers),
        conduct=Conduct(**conduct),
        clock=clock,
    )


def on(wire: Wire, act: Callable[[Transport], Awaitable[T]], clock: StandingClock | None = None) -> T:
    async def main() -> T:
        async with transport(wire, clock or StandingClock()) as sending:
            return await act(sending)

    return asyncio.run(main())


# Repeating.


def test_pauses_grow_to_a_bound_and_are_jittered_in_full() -> None:
    class Halfway(StandingClock):
        def chance(self) -> float:
            return 0.5

    clock = Halfway()
    with pytest.raises(ServiceError):
        on(Wire(refuse(500, "InternalError")), lambda sending: sending.repeat(READ), clock)
    assert clock.slept == [0.25, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "failure",
    [refuse(500, "InternalError"), answer(502), answer(504), refuse(400, "RequestTimeout"), httpx.ReadError("reset")],
)
def test_what_passes_is_repeated(failure: Answer) -> None:
    assert on(Wire(failure, done()), lambda sending: sending.repeat(READ)).status == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 501])
def test_what_stays_is_not_repeated(status: int) -> None:
    wire = Wire(answer(status))
    with pytest.raises(ServiceError):
        on(wire, lambda sending: sending.repeat(READ))
    assert len(wire.sent) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_that_says_where_to(status: int) -> None:
    wire = Wire(answer(status, Location="https://elsewhere.example/jobs"))
    with pytest.raises(ServiceError, match=f"{status} .*it points to https://elsewhere.example/jobs"):
        on(wire, lambda sending: sending.repeat(READ))
    assert len(wire.sent) == 1


@pytest.mark.parametrize("failure", [refuse(503, "SlowDown"), refuse(500, "InternalError"), httpx.ConnectError("no")])
def test_what_is_sent_once_is_sent_once(failure: Answer) -> None:
    wire = Wire(failure)
    with pytest.raises(ClientError):
        on(wire, lambda sending: sending.send(SEND))
    assert len(wire.sent) == 1


def test_an_answer_in_another_encoding_is_no_answer() -> None:
    async def garbled(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Encoding": "gzip", "x-ci-request-id": "id-4"}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"not gzip"))

    async def main() -> None:
        async with transport(garbled, StandingClock()) as sending:
            await sending.repeat(READ)

    with pytest.raises(MalformedReplyError, match=r"GET /jobs/j1: the answer cannot be decoded: .*\(request id id-4\)"):
        asyncio.run(main())


# The pace.


@pytest.mark.parametrize(
    ("wish", "paused"),
    [("", 0.5), ("7", 7), ("100000", 120), ("Fri, 01 May 2026 10:00:20 GMT", 20)],
)
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (429, "TooManyRequests"), (503, "ServiceUnavailable")])
def test_retry_after_is_obeyed_within_bounds(status: int, code: str, wish: str, paused: float) -> None:
    clock = StandingClock()
    slow = refuse(status, code, Retry_After=wish, Date="Fri, 01 May 2026 10:00:00 GMT")
    on(Wire(slow, done()), lambda sending: sending.repeat(READ), clock)
    assert sum(clock.slept) == paused


def test_one_refusal_holds_back_everybody_submissions_included() -> None:
    clock = StandingClock()
    begun: list[float] = []

    async def main() -> None:
        wire = Wire(refuse(503, "SlowDown"), done())
        async with transport(wire, clock) as sending:
            with pytest.raises(ServiceError):
                await sending.send(SEND)
            for _ in range(3):
                await sending.turn()
                begun.append(clock.ticks())
                await sending.send(SEND)

    asyncio.run(main())
    assert begun[0] == 0.5
    assert all(later > earlier for earlier, later in pairwise(begun))


class Overloaded:
    """A service that asks everybody to slow down until a certain moment."""

    def __init__(self, clock: StandingClock, until: float) -> None:
        self.clock = clock
        self.until = until
        self.asked = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(0)
        return refuse(503, "SlowDown") if self.clock.ticks() < self.until else done()


@pytest.mark.parametrize(("callers", "at_once", "most"), [(1, 1, 20), (50, 50, 130), (200, 8, 230)])
def test_a_service_that_is_overloaded_for_a_minute_hears_little_and_everybody_is_served(
    callers: int, at_once: int, most: int
) -> None:
    clock = StandingClock()
    service = Overloaded(clock, until=60)

    async def main() -> list[Reply]:
        places = asyncio.Semaphore(at_once)
        async with transport(service, clock) as sending:

            async def one() -> Reply:
                async with places:
                    return await sending.repeat(READ)

            return await asyncio.gather(*(one() for _ in range(callers)))

    assert len(asyncio.run(main())) == callers
    assert callers < service.asked <= most
    assert clock.ticks() < 200


def test_a_service_that_never_recovers_is_given_up() -> None:
    clock = StandingClock()
    service = Overloaded(clock, until=1e9)

    async def main() -> None:
        async with transport(service, clock) as sending:
            await sending.repeat(READ)

    with pytest.raises(ServiceError, match="503 SlowDown"):
        asyncio.run(main())
    assert 120 <= clock.ticks() < 140
    assert service.asked <= 20


def test_a_call_that_alone_is_always_refused_is_given_up_too() -> None:
    async def answers(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return refuse(503, "SlowDown") if request.url.path == READ.path else done()

    async def main() -> None:
        async with transport(answers, StandingClock()) as sending:
            refused = asyncio.create_task(sending.repeat(READ))
            while not refused.done():
                await sending.repeat(Call("GET", "jobs", "/queue"))
            await refused

    with pytest.raises(ServiceError, match="503 SlowDown"):
        asyncio.run(main())


def test_without_patience_the_first_answer_counts() -> None:
    async def main(failure: Answer) -> int:
        wire = Wire(failure)
        async with transport(wire, StandingClock(), patience=Patience(attempts=1, slowed=0)) as sending:
            with pytest.raises(ClientError):
                await sending.repeat(READ)
        return len(wire.sent)

    for failure in (refuse(503, "SlowDown"), refuse(500, "InternalError"), httpx.ConnectError("no")):
        assert asyncio.run(main(failure)) == 1


# What people hear.


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (
            refuse(503, "SlowDown"),
            "the service asks to slow down (503 SlowDown); the next call goes out in 1 s",
        ),
        (
            refuse(429, "TooManyRequests", Retry_After="90"),
            "the service asks to slow down (429 TooManyRequests); the next call goes out in 90 s",
        ),
    ],
)
def test_why_nothing_happens_is_said_once_and_nothing_when_it_has_passed(failure: Answer, text: str) -> None:
    clock, heard = StandingClock(), list[str]()

    async def main() -> None:
        wire = Wire(failure, failure, done())
        async with transport(wire, clock, hear=heard.append) as sending:
            with suppress(ServiceError):
                await sending.send(SEND)
            with suppress(ServiceError):
                await sending.send(SEND)
            for _ in range(3):
                await sending.repeat(READ)

    asyncio.run(main())
    assert heard == [text]


def test_one_slow_down_of_many_calls_is_said_once() -> None:
    clock, heard = StandingClock(), list[str]()

    async def main() -> None:
        async with transport(Overloaded(clock, until=60), clock, hear=heard.append) as sending:
            await asyncio.gather(*(sending.repeat(READ) for _ in range(50)))

    asyncio.run(main())
    assert len(heard) == 1


@pytest.mark.parametrize("failure", [refuse(500, "InternalError"), answer(502), httpx.ReadError("reset")])
def test_what_is_no_slow_down_is_not_said(failure: Answer) -> None:
    heard = list[str]()

    async def main() -> None:
        async with transport(Wire(failure, done()), StandingClock(), hear=heard.append) as sending:
            await sending.repeat(READ)

    asyncio.run(main())
    assert heard == []


# Calls a second.


def test_no_more_calls_begin_than_allowed_whatever_they_are() -> None:
    clock = StandingClock()
    begun: list[float] = []

    async def answers(_: httpx.Request) -> httpx.Response:
        begun.append(clock.ticks())
        await asyncio.sleep(0)
        return done()

    async def main() -> None:
        async with transport(answers, clock, requests_per_second=5) as sending:

            async def submit() -> None:
                await sending.turn()
                await sending.send(SEND)

            await asyncio.gather(*(call() for _ in range(10) for call in (submit, lambda: sending.repeat(READ))))

    asyncio.run(main())
    assert begun == pytest.approx([0.0] * 5 + [number / 5 for number in range(1, 16)])


# How long a call may take.


@pytest.mark.parametrize(
    ("half", "body", "largest", "seconds"),
    [
        ("jobs", b"x" * (4 << 20), LARGEST_REPLY * 8, LONGEST_CALL),
        ("account", b"", LARGEST_REPLY, LONGEST_CALL),
        ("objects", b"", LARGEST_REPLY, LONGEST_CALL),
        ("objects", b"x" * (4 << 20), LARGEST_REPLY, LONGEST_CALL + 4),
        ("objects", b"", LARGEST_REPLY + (64 << 20), LONGEST_CALL + 64),
    ],
)
def test_only_a_large_object_is_given_longer(
    monkeypatch: pytest.MonkeyPatch, half: Half, body: bytes, largest: int, seconds: float
) -> None:
    given: list[float] = []
    real = asyncio.timeout

    def timeout(delay: float) -> asyncio.Timeout:
        given.append(delay)
        return real(delay)

    async def main() -> None:
        async with transport(Wire(done()), StandingClock()) as sending:
            monkeypatch.setattr(asyncio, "timeout", timeout)
            await sending.repeat(Call("PUT", half, "/a", body=body), largest=largest)

    asyncio.run(main())
    assert given == [seconds]


# Signatures and clocks.


class Verifying:
    """A service that checks signatures by its own clock, and says what time it is."""

    def __init__(self, clock: StandingClock, ahead: float, *, tells: bool = True) -> None:
        self.clock = clock
        self.ahead = ahead
        self.tells = tells
        self.codes: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        now = self.clock.wall() + self.ahead
        verdict = verify(
            method=request.method,
            path=request.url.path,
            query=dict(request.url.params),
            headers=dict(request.headers),
            find=lambda _: CREDENTIALS,
            now=int(now),
        )
        self.codes.append(verdict.code if isinstance(verdict, Refused) else "")
        reply = refuse(403, verdict.code, verdict.message) if isinstance(verdict, Refused) else done()
        if self.tells:
            reply.headers["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        return reply


@pytest.mark.parametrize(
    ("ahead", "codes"),
    [
        (0.0, ["", ""]),
        (-120.0 - SKEW_SECONDS, ["RequestTimeTooSkewed", "", ""]),
        (-86400.0, ["RequestTimeTooSkewed", "", ""]),
        (3600.0 + 60, ["AccessDenied", "", ""]),
        (86400.0 * 365, ["AccessDenied", "", ""]),
    ],
)
def test_a_wrong_clock_is_corrected_once_and_remembered(ahead: float, codes: list[str]) -> None:
    clock = StandingClock()
    service = Verifying(clock, ahead)

    async def main() -> float | None:
        async with transport(service, clock, credentials=CREDENTIALS) as sending:
            await sending.repeat(READ)
            await sending.repeat(READ)
            return sending.skew

    assert asyncio.run(main()) == pytest.approx(ahead, abs=1)
    assert service.codes == codes


def test_a_clock_that_cannot_be_corrected_is_said() -> None:
    clock = StandingClock()
    service = Verifying(clock, -86400, tells=False)

    async def main() -> None:
        async with transport(service, clock, credentials=CREDENTIALS) as sending:
            await sending.repeat(READ)

    with pytest.raises(ServiceError) as caught:
        asyncio.run(main())
    assert caught.value.advice == "set the clock of this machine"
    assert len(service.codes) == 1


def test_only_the_service_is_believed_about_the_time() -> None:
    wire = Wire(done(Date="Fri, 01 May 2026 10:00:00 GMT"), answer(404, Date="Fri, 01 May 2099 10:00:00 GMT"))

    async def skews(sending: Transport) -> list[float | None]:
        found = []
        for _ in range(2):
            with suppress(ServiceError):
                await sending.send(READ)
            found.append(sending.skew)
        return found

    first, second = on(wire, skews)
    assert first == second is not None


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("socks5://user:planted-password@127.0.0.1:1", "a SOCKS proxy, which is not supported"),
        ("ftp://user:planted-password@127.0.0.1:1", "has no address of http:// or https://"),
        ("http://user:planted-password@[::1", "has no address of http:// or https://"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ClientError) as caught:
        Transport(ENDPOINTS, None, base=None, conduct=Conduct(), clock=StandingClock())
    assert message in caught.value.message
    assert caught.value.advice == "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
    assert "planted" not in str(caught.value)


def test_a_submission_is_not_sent_again_but_the_next_one_has_the_right_time() -> None:
    clock = StandingClock()
    service = Verifying(clock, -86400)

    async def main() -> None:
        async with transport(service, clock, credentials=CREDENTIALS) as sending:
            with pytest.raises(ServiceError, match="RequestTimeTooSkewed"):
                await sending.send(SEND)
            await sending.send(SEND)

    asyncio.run(main())
    assert service.codes == ["RequestTimeTooSkewed", ""]


def test_every_attempt_is_signed_anew() -> None:
    wire = Wire(refuse(500, "InternalError"), answer(502), done())

    async def main() -> None:
        async with transport(wire, StandingClock(), credentials=CREDENTIALS) as sending:
            await sending.repeat(READ)

    asyncio.run(main())
    first, _, third = (sent.headers["Authorization"] for sent in wire.sent)
    assert first != third, "they are a second and a half apart"


@pytest.mark.parametrize(
    ("half", "name"),
    [("objects", "x-cos-security-token"), ("jobs", "x-ci-security-token"), ("account", "x-ci-security-token")],
)
def test_the_token_of_temporary_credentials_is_sent_and_signed_as_each_half_wants_it(half: Half, name: str) -> None:
    wire = Wire(done())

    async def main() -> None:
        temporary = Credentials("AKIDEXAMPLE", "key", "planted-token")
        async with transport(wire, StandingClock(), credentials=temporary) as sending:
            await sending.repeat(Call("GET", half, "/"))

    asyncio.run(main())
    headers = wire.sent[0].headers
    assert [key for key in headers if "token" in key] == [name]
    assert f"q-header-list=host;{name}&" in headers["Authorization"]


def test_an_expired_token_is_not_tried_again_and_says_what_to_do() -> None:
    wire = Wire(refuse(400, "ExpiredToken", "Request has expired"))
    with pytest.raises(ServiceError) as caught:
        on(wire, lambda sending: sending.repeat(READ))
    assert len(wire.sent) == 1
    assert "TENCENTCLOUD_SECURITY_TOKEN" in (caught.value.advice or "")


# A network that lies. Here it is a real one.


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def lying(talk: Talk) -> AsyncIterator[str]:
    """Serve whatever ``talk`` says once somebody has said something; yield the address."""
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        with suppress(ConnectionError):
            try:
                await reader.read(4096)
                await talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


def said(content: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return talk


async def asked(address: str, call: Call = READ) -> Reply:
    endpoint = Endpoint(address, "clips-1250000000.ci.ap-chongqing.myqcloud.com")
    patience = Patience(attempts=1, slowed=0)
    async with Transport(
        Endpoints(endpoint, endpoint, endpoint, ""),
        None,
        base=None,
        conduct=Conduct(parallelism=1, patience=patience),
        clock=SystemClock(),
    ) as sending:
        return await sending.repeat(call)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no answer"),
        (b"\x00\xff\xfe garbage\r\n\r\n", "no answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nx-ci-request-id: id-8\r\n\r\n<Response>", "broke its answer off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<Resp", "broke its answer off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke its answer off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000, "no answer"),
    ],
)
def test_what_is_not_a_whole_answer_is_none(content: bytes, problem: str) -> None:
    async def main() -> None:
        async with lying(said(content)) as address:
            await asked(address)

    with pytest.raises(UnreachableError, match=problem) as caught:
        asyncio.run(main())
    assert caught.value.sent
    assert caught.value.request_id == ("id-8" if b"id-8" in content else "")


def test_an_answer_that_is_longer_than_it_says_is_cut_there() -> None:
    async def main() -> Reply:
        async with lying(said(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n<Response/><html>")) as address:
            return await asked(address)

    assert asyncio.run(main()).body == b"<Response/>"


def test_a_connection_that_is_reset_in_the_middle_is_said() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nx-cos-request-id: id-6\r\n\r\n<Resp")
        await writer.drain()
        writer.transport.abort()

    async def main() -> None:
        async with lying(talk) as address:
            await asked(address)

    with pytest.raises(UnreachableError, match=r"broke its answer off: .* \(request id id-6\)"):
        asyncio.run(main())


def test_an_answer_that_trickles_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_CALL", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx-cos-request-id: id-6\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with lying(talk) as address:
            await asked(address)

    with pytest.raises(UnreachableError, match=r"broke its answer off: it took too long \(request id id-6\)"):
        asyncio.run(main())


def test_an_answer_without_an_end_is_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx-cos-request-id: id-6\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * (1 << 20))
            await writer.drain()

    async def main() -> None:
        async with lying(talk) as address:
            await asked(address)

    with pytest.raises(MalformedReplyError, match=rf"larger than {LARGEST_REPLY >> 20} MiB \(request id id-6\)"):
        asyncio.run(main())


def test_nothing_listens() -> None:
    async def main() -> None:
        async with lying(said(b"")) as address:
            pass
        await asked(address)

    with pytest.raises(
        UnreachableError, match=r"cannot reach http://127\.0\.0\.1:\d+: nothing listens there"
    ) as caught:
        asyncio.run(main())
    assert not caught.value.sent
    assert caught.value.advice


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("HTTP_PROXY", "http://a.example by way of the proxy 127.0.0.1:9"),
        ("ALL_PROXY", "http://a.example by way of the proxy 127.0.0.1:9"),
    ],
)
def test_a_proxy_of_the_environment_is_gone_through_and_named_without_its_password(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://user:planted@127.0.0.1:9")
    with pytest.raises(UnreachableError) as caught:
        asyncio.run(asked("http://a.example"))
    assert caught.value.message == f"GET /jobs/j1: cannot reach {where}: nothing listens there"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:9: nothing listens there"):
        asyncio.run(asked("http://127.0.0.1:9"))


def test_tls_to_a_server_that_speaks_none_is_said() -> None:
    async def main() -> None:
        async with lying(said(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address:
            await asked(address.replace("http:", "https:"))

    with pytest.raises(UnreachableError, match="it does not speak TLS") as caught:
        asyncio.run(main())
    assert not caught.value.sent


def test_an_error_inside_a_good_answer_is_an_error() -> None:
    body = ERROR.format("InternalError", "late").encode()
    content = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def main() -> None:
        async with lying(said(content)) as address:
            await asked(address)

    with pytest.raises(ServiceError, match="500 InternalError: late"):
        asyncio.run(main())


def test_connections_are_kept_and_used_again() -> None:
    connections: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            if not await reader.read(4096):
                return

    async def main() -> None:
        async with lying(talk) as address:
            endpoint = Endpoint(address, "a.example")
            everywhere = Endpoints(endpoint, endpoint, endpoint, "")
            async with Transport(
                everywhere, None, base=None, conduct=Conduct(parallelism=2), clock=SystemClock()
            ) as sending:
                for _ in range(3):
                    await asyncio.gather(*(sending.repeat(READ) for _ in range(20)))

    asyncio.run(main())
    assert len(connections) <= 2 + 4
