"""Callbacks by POST: taken or not, and never to an address that was not judged."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from reconciler.service import posting
from reconciler.service.callbacks import UndeliveredError
from reconciler.service.posting import Poster
from reconciler.service.reach import Address, Reach, everything, public_only
from tests.peers import missing_peer
from tests.service.receiver import Receiver, receiving

XML = "application/xml"


async def post(url: str, *, reach: Reach = everything, seconds: float = 10.0) -> None:
    poster = Poster(reach, seconds=seconds)
    try:
        await poster.post(url, b"<Response/>", XML)
    finally:
        await poster.aclose()


async def refusal(url: str, *, reach: Reach = everything, seconds: float = 10.0) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as caught:
        await post(url, reach=reach, seconds=seconds)
    return caught.value


def leading(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[tuple[str, int]]:
    """Let names lead to these addresses, one answer for each question; return the questions."""
    asked: list[tuple[str, int]] = []
    left = list(answers)

    def resolve(host: str, port: int) -> list[Address]:
        asked.append((host, port))
        return [ipaddress.ip_address(text) for text in left.pop(0)]

    monkeypatch.setattr(posting, "_resolve", resolve)
    return asked


def test_what_is_sent() -> None:
    async def main() -> None:
        async with receiving() as receiver:
            await post(receiver.url("/a%20b?c=d").replace("http://", "http://me:p%40ss@"))
            (sent,) = receiver.received
            assert sent.line == "POST /a%20b?c=d HTTP/1.1"
            assert sent.body == b"<Response/>"
            assert sent.headers["host"] == f"127.0.0.1:{receiver.port}"
            assert sent.headers["content-type"] == XML
            assert sent.headers["user-agent"] == "reconciler-callbacks"
            assert sent.headers["authorization"] == "Basic bWU6cEBzcw=="

    asyncio.run(main())


def test_an_answer_of_2xx_means_that_it_was_taken_and_any_other_that_it_was_not() -> None:
    refused = [301, 302, 307, 304, 400, 401, 404, 410, 429, 500, 503]

    async def main() -> None:
        poster = Poster(everything)
        async with receiving() as other, receiving([200, 201, 204, 299, *refused]) as receiver:
            receiver.extra = f"Location: {other.url()}\r\n"
            for _ in range(4):
                await poster.post(receiver.url(), b"", XML)
            for status in refused:
                with pytest.raises(UndeliveredError, match=f"^127.0.0.1 answered {status}$") as caught:
                    await poster.post(receiver.url(), b"", XML)
                assert not caught.value.final
            assert other.connected == 0, "redirects are not followed"
        await poster.aclose()

    asyncio.run(main())


def test_the_environments_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def main() -> None:
        async with receiving() as receiver:
            await post(receiver.url())
            assert len(receiver.received) == 1

    asyncio.run(main())


# Where callbacks go.


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_not_called_however_it_is_written(host: str) -> None:
    async def main() -> None:
        async with receiving() as receiver:
            error = await refusal(receiver.url().replace("127.0.0.1", host), reach=public_only)
            assert error.final
            assert "which is not a public address; callbacks do not go there" in error.reason
            assert receiver.connected == 0

    asyncio.run(main())


def test_one_address_that_must_not_be_reached_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    leading(monkeypatch, ["1.1.1.1", "10.0.0.7"])
    error = asyncio.run(refusal("http://hooks.example.com/", reach=public_only))
    assert error.reason == "hooks.example.com is at 10.0.0.7, which is not a public address; callbacks do not go there"


def test_a_name_is_asked_for_once_so_that_a_second_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = leading(monkeypatch, ["127.0.0.1"], ["10.0.0.7"])

    async def main() -> None:
        async with receiving() as receiver:
            await post(f"http://hooks.example.com:{receiver.port}/x")
            assert asked == [("hooks.example.com", receiver.port)]
            assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"

    asyncio.run(main())


def test_the_port_is_judged_too() -> None:
    async def main() -> None:
        async with receiving() as allowed, receiving() as other:
            await post(allowed.url(), reach=lambda _, port: port == allowed.port)
            assert (await refusal(other.url(), reach=lambda _, port: port == allowed.port)).final

    asyncio.run(main())


def test_when_one_address_cannot_be_connected_to_the_next_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    leading(monkeypatch, ["127.0.0.9", "127.0.0.1"], ["127.0.0.9"])

    async def main() -> None:
        async with receiving() as receiver:
            await post(f"http://hooks.example.com:{receiver.port}/x")
            error = await refusal(f"http://hooks.example.com:{receiver.port}/x")
            assert not error.final
            assert error.reason.startswith("hooks.example.com cannot be reached: ")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://[::1", "the address is no URL: Invalid port: ':1'"),
        ("http://h:99999/", "the address is no URL of http or https with a port up to 65535"),
        ("http://h:0/", "the address is no URL of http or https with a port up to 65535"),
        ("ftp://h/", "the address is no URL of http or https with a port up to 65535"),
    ],
)
def test_what_is_no_address_is_given_up_at_once(url: str, reason: str) -> None:
    error = asyncio.run(refusal(url))
    assert (error.reason, error.final) == (reason, True)


@pytest.mark.parametrize("host", ["a" * 300, "x..y"])
def test_what_cannot_be_a_name_cannot_be_found(host: str) -> None:
    error = asyncio.run(refusal(f"http://{host}/"))
    assert f"{host} cannot be found" in error.reason


def test_a_name_that_is_not_known_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> list[Address]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(posting, "_resolve", unknown)
    error = asyncio.run(refusal("http://hooks.example.com/"))
    assert error.reason == "hooks.example.com cannot be found: [Errno -2] Name or service not known"
    assert not error.final


# Servers that misbehave.


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    async def main() -> None:
        async with receiving(held=True) as receiver:
            error = await refusal(receiver.url(), seconds=0.2)
            assert (error.reason, error.final) == ("127.0.0.1 did not answer within 0.2 s", False)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"", "Server disconnected without sending a response."), (b"SSH-2.0-x\r\n\r\n", "illegal status line")],
)
def test_a_server_that_speaks_something_else_has_not_taken_it(answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"<Response/>")
        writer.write(answer)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            error = await refusal(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            assert reason in error.reason
            assert not error.final

    asyncio.run(main())


def test_the_answers_body_is_not_read() -> None:
    """An answer without an end is over with its status."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"<Response/>")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            gone.set()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await gone.wait()

    asyncio.run(main())


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that is its own authority."""
    if not shutil.which("openssl"):
        missing_peer("openssl")
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_the_certificate_is_that_of_the_name_not_of_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate(tmp_path, "hooks.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    leading(monkeypatch, ["127.0.0.1"], ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    asked: list[str] = []
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def main() -> Receiver:
        async with receiving(tls=context) as receiver:
            await post(f"https://hooks.example.com:{receiver.port}/")
            error = await refusal(f"https://other.example.com:{receiver.port}/")
            assert "CERTIFICATE_VERIFY_FAILED" in error.reason
            assert "not valid for 'other.example.com'" in error.reason
            return receiver

    receiver = asyncio.run(main())
    assert asked == ["hooks.example.com", "other.example.com"]
    assert len(receiver.received) == 1
