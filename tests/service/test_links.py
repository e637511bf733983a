"""Calls by signed addresses against a server that answers what it is told: what is sent, taken, refused and not heard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from typing_extensions import override

from reconciler.service.digest import Digest
from reconciler.service.links import DeniedError, Link, ObjectApi, Stretch, UnheardError

HOST = "demo-1250000000.cos.ap-chongqing.myqcloud.com"
CONTENT = bytes(range(256)) * 3000
"""More than what is read at once."""

REFUSAL = (
    b"<Error><Code>NoSuchUpload</Code><Message>there is no such upload</Message><Resource>/x</Resource>"
    b"<RequestId>1</RequestId><TraceId>2</TraceId></Error>"
)


@dataclass
class Server:
    """What a server answers, and what it was asked. ``cut`` are bytes of the body that do not come."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = 0
    silent: Event | None = None
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def link(self, target: str = "/x?sign=secret") -> Link:
        return Link(f"http://127.0.0.1:{self.port}{target}", HOST)

    def gives(self, content: bytes, **changes: str) -> None:
        """Answer as the service does when it gives an object."""
        digest = Digest()
        digest.update(content)
        self.body, self.headers = content, {"x-cos-hash-crc64ecma": digest.crc64, **changes}


@pytest.fixture
def server() -> Iterator[Server]:
    answers = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            taken = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answers.seen.append((self.command, self.path, headers, taken))
            if answers.silent:
                answers.silent.wait(60)
            self.send_response(answers.status)
            for name, value in {"content-length": str(len(answers.body)), **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answers.body[: len(answers.body) - answers.cut])
            self.close_connection = bool(answers.cut)

        do_GET = do_PUT = answer  # noqa: N815 - the library's names

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers.port = listening.server_address[1]
    thread = Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield answers
    if answers.silent:
        answers.silent.set()
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def api() -> Iterator[ObjectApi]:
    made = ObjectApi(20.0)
    yield made
    made.close()


def nothing() -> None:
    """The call may go on."""


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_an_address_is_not_shown() -> None:
    link = Link("http://127.0.0.1:1/x?sign=secret", HOST)
    assert "secret" not in repr(link)
    assert HOST in repr(link)


def test_a_call_goes_to_the_address_and_names_the_service(server: Server, api: ObjectApi) -> None:
    api.look(server.link())
    ((method, target, headers, _),) = server.seen
    assert (method, target) == ("GET", "/x?sign=secret")
    assert (headers["host"], headers["user-agent"]) == (HOST, "reconciler-render")


def test_no_proxy_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    made = ObjectApi(20.0)
    made.look(server.link())
    made.close()
    assert len(server.seen) == 1


# --- an object -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"a", CONTENT], ids=["nothing", "a byte", "several blocks"])
def test_an_object_is_brought(server: Server, api: ObjectApi, tmp_path: Path, content: bytes) -> None:
    server.gives(content)
    api.get(server.link(), tmp_path / "x", nothing)
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize("changed", ["content", "digest", "no digest"])
def test_an_object_that_came_damaged_is_noticed(server: Server, api: ObjectApi, tmp_path: Path, changed: str) -> None:
    server.gives(CONTENT, **({"x-cos-hash-crc64ecma": "1"} if changed == "digest" else {}))
    if changed == "content":
        server.body = CONTENT[:-1] + b"!"
    if changed == "no digest":
        server.headers = {}
    with pytest.raises(UnheardError, match="an object came damaged"):
        api.get(server.link(), tmp_path / "x", nothing)


def test_an_object_that_came_in_part_is_noticed(server: Server, api: ObjectApi, tmp_path: Path) -> None:
    server.gives(CONTENT)
    server.cut = 1
    with pytest.raises(UnheardError):
        api.get(server.link(), tmp_path / "x", nothing)


class StopError(Exception):
    """Nobody wants it any more."""


def stop() -> None:
    raise StopError


def test_what_nobody_wants_any_more_is_not_brought_to_its_end(server: Server, api: ObjectApi, tmp_path: Path) -> None:
    server.gives(CONTENT)
    with pytest.raises(StopError):
        api.get(server.link(), tmp_path / "x", stop)
    assert (tmp_path / "x").stat().st_size < len(CONTENT)
    api.get(server.link(), tmp_path / "x", nothing)
    assert (tmp_path / "x").read_bytes() == CONTENT


# --- a part ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"a", CONTENT], ids=["nothing", "a byte", "much"])
def test_a_part_is_sent(server: Server, api: ObjectApi, content: bytes) -> None:
    server.headers = {"etag": f'"{md5(content)}"'}
    assert api.put(server.link(), content, nothing) == md5(content)
    ((method, _, headers, taken),) = server.seen
    assert (method, taken, headers["content-length"]) == ("PUT", content, str(len(content)))


@pytest.mark.parametrize(
    ("start", "most", "wanted"),
    [
        (0, len(CONTENT), CONTENT),
        (5, 300_000, CONTENT[5:300_005]),
        (len(CONTENT) - 7, 300_000, CONTENT[-7:]),
        (len(CONTENT), 10, b""),
    ],
)
def test_a_stretch_of_a_file_is_sent(
    server: Server, api: ObjectApi, tmp_path: Path, start: int, most: int, wanted: bytes
) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    stretch = Stretch(tmp_path / "x", start, most)
    assert len(stretch) == len(wanted)
    server.headers = {"etag": f'"{md5(wanted)}"'}
    for _ in range(2):
        assert api.put(server.link(), stretch, nothing) == md5(wanted)
    assert [taken for *_, taken in server.seen] == [wanted, wanted]


@pytest.mark.parametrize("headers", [{}, {"etag": '"0"'}, {"etag": f'"{md5(b"another")}"'}])
def test_a_part_that_came_damaged_is_noticed(server: Server, api: ObjectApi, headers: dict[str, str]) -> None:
    server.headers = headers
    with pytest.raises(UnheardError, match="a part came damaged"):
        api.put(server.link(), b"a part", nothing)


def test_what_nobody_wants_any_more_is_not_sent(server: Server, api: ObjectApi) -> None:
    with pytest.raises(StopError):
        api.put(server.link(), CONTENT, stop)


# --- what is answered instead ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 599, 408, 429])
def test_what_may_succeed_later_is_not_heard(server: Server, api: ObjectApi, tmp_path: Path, status: int) -> None:
    server.status, server.body = status, REFUSAL
    for call in (
        lambda: api.look(server.link()),
        lambda: api.get(server.link(), tmp_path / "x", nothing),
        lambda: api.put(server.link(), b"a part", nothing),
    ):
        with pytest.raises(UnheardError, match=rf"^it answers {status} NoSuchUpload: there is no such upload$"):
            call()
    assert len(server.seen) == 3
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("status", [400, 403, 404, 409, 416])
def test_a_refusal_is_told_with_its_code(server: Server, api: ObjectApi, tmp_path: Path, status: int) -> None:
    server.status, server.body = status, REFUSAL
    for call in (
        lambda: api.look(server.link()),
        lambda: api.get(server.link(), tmp_path / "x", nothing),
        lambda: api.put(server.link(), b"a part", nothing),
    ):
        with pytest.raises(DeniedError) as caught:
            call()
        assert (caught.value.code, caught.value.message) == ("NoSuchUpload", "there is no such upload")
        assert str(caught.value) == f"{status} NoSuchUpload: there is no such upload"


@pytest.mark.parametrize("body", [b"", b"<html>Forbidden</html>", b"\xff\0", b"<Error><Code>"])
def test_a_refusal_in_other_words_is_one_too(server: Server, api: ObjectApi, body: bytes) -> None:
    server.status, server.body = 403, body
    with pytest.raises(DeniedError) as caught:
        api.look(server.link())
    assert caught.value.code == ""
    assert str(caught.value).startswith("403 ")


def test_nobody_is_followed_elsewhere(server: Server, api: ObjectApi) -> None:
    server.status, server.headers = 302, {"location": f"http://127.0.0.1:{server.port}/elsewhere"}
    with pytest.raises(DeniedError, match=r"^302 "):
        api.look(server.link())
    assert len(server.seen) == 1


def test_nobody_there_is_not_heard(api: ObjectApi, tmp_path: Path) -> None:
    nobody = Link("http://127.0.0.1:9/x", HOST)
    for call in (
        lambda: api.look(nobody),
        lambda: api.get(nobody, tmp_path / "x", nothing),
        lambda: api.put(nobody, b"a part", nothing),
    ):
        with pytest.raises(UnheardError, match=r"."):
            call()


def test_who_says_nothing_for_too_long_is_not_heard(server: Server) -> None:
    server.silent = Event()
    impatient = ObjectApi(0.2)
    with pytest.raises(UnheardError, match="timed out"):
        impatient.look(server.link())
    impatient.close()
