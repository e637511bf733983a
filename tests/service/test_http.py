from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Iterable, MutableMapping
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.objects import ErrorDocument
from reconciler.service.http import XML_LIMIT, Request, Response, error_response, new_request_id
from reconciler.service.refused import RefusedError

Message = MutableMapping[str, Any]


def request(
    raw_path: bytes = b"/", query: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = (), *body: Message
) -> Request:
    messages = iter(body)

    async def receive() -> Message:
        return next(messages)

    scope = {"method": "GET", "path": "/", "raw_path": raw_path, "query_string": query, "headers": list(headers)}
    return Request.of(scope, receive)


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_target_may_be_absolute_and_beats_the_host() -> None:
    found = request(b"http://demo-1.ci.r.x.com:80/jobs/j1%2Cj2", b"", [(b"Host", b"127.0.0.1:8787")])
    assert (found.authority, found.raw_path, found.path) == ("demo-1.ci.r.x.com:80", b"/jobs/j1%2Cj2", "/jobs/j1,j2")
    assert request(b"http://demo-1.ci.r.x.com").path == "/"


def test_keys_are_decoded_whichever_characters_were_encoded() -> None:
    assert request(b"/in%2Fa%20b/%E8%AF%BE.mp4").path == request(b"/in/a%20b/%e8%af%be.mp4").path == "/in/a b/课.mp4"


def test_a_path_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(RefusedError, match="InvalidURI"):
        _ = request(b"/%ff").path


def test_empty_parameters_are_absent() -> None:
    found = request(query=b"nextToken=&size=5&cancel&offset=%2B0800")
    assert (found.parameter("nextToken"), found.parameter("size"), found.parameter("none")) == (None, "5", None)
    assert "cancel" in found.query
    assert found.query["offset"] == "+0800"


def test_a_body_comes_in_parts() -> None:
    assert asyncio.run(request(b"/", b"", [], part(b"<a"), part(b"/>", more=False)).xml_body()) == b"<a/>"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([part(b"", more=False)], "MissingRequestBodyError"),
        ([part(b"x" * XML_LIMIT), part(b"x")], "XMLSizeLimit"),
        ([part(b"<a"), {"type": "http.disconnect"}], "IncompleteBody"),
    ],
)
def test_a_body_that_is_none_too_large_or_cut_off(messages: list[Message], code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        asyncio.run(request(b"/", b"", [], *messages).xml_body())
    assert caught.value.code == code


def sent(response: Response, *, without_body: bool = False) -> tuple[dict[bytes, bytes], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(response.send(send, extra={"Server": "s"}, without_body=without_body))
    assert [message.get("more_body", False) for message in messages[1:]] == [True] * (len(messages) - 2) + [False]
    return dict(messages[0]["headers"]), b"".join(message["body"] for message in messages[1:])


def test_an_answer_announces_its_length() -> None:
    assert sent(Response(body=b"abc")) == ({b"Server": b"s", b"Content-Length": b"3"}, b"abc")
    assert sent(Response(body=b"abc"), without_body=True) == ({b"Server": b"s", b"Content-Length": b"3"}, b"")
    assert sent(Response(length=7)) == ({b"Server": b"s", b"Content-Length": b"7"}, b"")
    assert sent(Response(204)) == ({b"Server": b"s"}, b"")


def test_a_stream_is_closed_when_the_caller_goes_away() -> None:
    closed = []

    async def blocks() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(Response(body=blocks(), length=9).send(send, extra={}, without_body=False))
    assert closed == [True]


def test_an_error_document_is_complete_whatever_the_message_holds() -> None:
    response = error_response("NoSuchKey", "no `\x01`", resource="", request_id="id")
    assert response.status == 404
    assert isinstance(response.body, bytes)
    document = xml.read(ErrorDocument, response.body, "Error")
    assert (document.code, document.message, document.resource, document.request_id) == (
        "NoSuchKey",
        "no `\ufffd`",
        "/",
        "id",
    )
    assert document.trace_id


def test_request_ids_have_the_shape_of_the_clouds() -> None:
    text = base64.b64decode(new_request_id()).decode()
    assert re.fullmatch(r"[0-9a-f]{8}_[0-9a-f]{6}_[0-9a-f]{4}_[0-9a-f]{4}", text)
