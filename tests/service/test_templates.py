from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.api import xml
from reconciler.api.templates import Template, TemplateDeleted, TemplateReply, TemplateRequest, TemplatesReply
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from tests.service.harness import BUCKET, CI, Caller, error, lasting, running

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0800")
CANVAS = Transcode.model_validate(
    {
        "container": {"format": "mp4"},
        "video": {"codec": "H.264", "width": 1280, "height": 720},
        "audio": {"codec": "aac"},
    }
)
TEXT = {"text": "demo", "font_size": 25, "font_type": "arial.ttf", "font_color": "0xffffff", "transparency": 80}
MARK = Watermark.model_validate({"type": "Text", "pos": "TopRight", "loc_mode": "Absolute", "dx": 16, "text": TEXT})


Examples = Callable[[Callable[[Caller], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    """Run the cases of a table on one service."""
    with lasting(tmp_path_factory.mktemp("service")) as run:
        yield run


def request(name: str, content: Transcode | Watermark = CANVAS) -> bytes:
    return xml.write(TemplateRequest.of(name, content), "Request")


async def create(caller: Caller, name: str, content: Transcode | Watermark = CANVAS) -> Template:
    return told(await caller.http.post(f"{CI}/template", content=request(name, content)))


def told(reply: httpx.Response) -> Template:
    assert reply.status_code == 200, reply.text
    found = xml.read(TemplateReply, reply.content, "Response")
    assert found.request_id == reply.headers["x-ci-request-id"]
    return found.template


async def listed(caller: Caller, **parameters: str) -> TemplatesReply:
    reply = await caller.http.get(f"{CI}/template", params=parameters)
    assert reply.status_code == 200, reply.text
    return xml.read(TemplatesReply, reply.content, "Response")


def ids(reply: TemplatesReply) -> list[str]:
    return [template.template_id for template in reply.template_list or ()]


@pytest.mark.parametrize(("tag", "content"), [("Transcode", CANVAS), ("Watermark", MARK)])
def test_a_template_is_created_and_told_as_it_came(tmp_path: Path, tag: str, content: Transcode | Watermark) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            made = await create(caller, "水印_canvas-720", content)
            assert (made.tag, made.name, made.bucket_id, made.category) == (tag, "水印_canvas-720", BUCKET, "Custom")
            assert re.fullmatch("t1[0-9a-f]{32}", made.template_id)
            assert TIME.fullmatch(made.create_time or "")
            assert made.update_time == made.create_time
            assert made.content == content
            assert (made.trans_tpl is None, made.watermark is None) == (tag == "Watermark", tag == "Transcode")
            reply = await listed(caller)
            assert reply.template_list == (made,)
            assert (reply.total_count, reply.page_number, reply.page_size) == (1, 1, 10)

    asyncio.run(main())


def test_an_update_replaces_the_whole_template(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            made = await create(caller, "hd")
            other = Transcode.model_validate({"container": {"format": "mkv"}, "video": {"codec": "H.265"}})
            changed = told(await caller.http.put(f"{CI}/template/{made.template_id}", content=request("sd", other)))
            assert (changed.template_id, changed.name, changed.content) == (made.template_id, "sd", other)
            assert changed.create_time == made.create_time
            assert (await listed(caller)).template_list == (changed,)

    asyncio.run(main())


def test_a_deleted_template_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            made = await create(caller, "hd")
            reply = await caller.http.delete(f"{CI}/template/{made.template_id}")
            assert reply.status_code == 200
            deleted = xml.read(TemplateDeleted, reply.content, "Response")
            assert (deleted.template_id, bool(deleted.request_id)) == (made.template_id, True)
            assert ids(await listed(caller)) == []

    asyncio.run(main())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_template_is_not_found(examples: Examples, method: str) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.request(method, f"{CI}/template/t1{'0' * 32}", content=request("hd"))
        assert (reply.status_code, error(reply).code) == (404, "NoSuchTemplate")
        assert error(reply).message == f"the bucket has no template `t1{'0' * 32}`"

    examples(calls)


def test_the_tag_of_a_template_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            made = await create(caller, "hd")
            reply = await caller.http.put(f"{CI}/template/{made.template_id}", content=request("hd", MARK))
            assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")
            assert error(reply).message == (
                f"Request.Tag: `{made.template_id}` is a template with the tag Transcode and cannot become one with the "
                "tag Watermark"
            )
            assert (await listed(caller)).template_list == (made,)

    asyncio.run(main())


def test_the_list_is_narrowed_and_paged(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            one, two = await create(caller, "hd-1"), await create(caller, "sd-1")
            mark = await create(caller, "hd-mark", MARK)
            newest_first = [each.template_id for each in (mark, two, one)]
            cases: list[tuple[dict[str, str], list[str]]] = [
                ({}, newest_first),
                ({"category": "Custom", "ids": "", "name": "", "pageNumber": "1", "pageSize": "10"}, newest_first),
                ({"category": "Official"}, []),
                ({"tag": "Watermark"}, newest_first[:1]),
                ({"tag": "Animation"}, []),
                ({"name": "hd"}, [newest_first[0], newest_first[2]]),
                ({"name": "d-1"}, []),
                ({"pageSize": "2"}, newest_first[:2]),
                ({"pageSize": "2", "pageNumber": "2"}, newest_first[2:]),
                ({"pageNumber": "9223372036854775807", "pageSize": "100"}, []),
            ]
            for parameters, expected in cases:
                assert ids(await listed(caller, **parameters)) == expected, parameters
            assert (await listed(caller, pageSize="2")).total_count == 3

    asyncio.run(main())


def test_named_templates_are_found_and_missing_ones_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            one, two = await create(caller, "hd-1"), await create(caller, "sd-1")
            reply = await listed(caller, ids=f"t1x,{one.template_id},{two.template_id},t1y", category="Custom")
            assert ids(reply) == [two.template_id, one.template_id]
            assert reply.non_exist_tids is not None
            assert reply.non_exist_tids.template_id == ("t1x", "t1y")
            assert (await listed(caller, ids=one.template_id)).non_exist_tids is None

    asyncio.run(main())


def test_templates_outlive_the_service(tmp_path: Path) -> None:
    async def first() -> Template:
        async with running(tmp_path) as caller:
            return await create(caller, "hd")

    async def second() -> TemplatesReply:
        async with running(tmp_path, work=False) as caller:
            return await listed(caller)

    made = asyncio.run(first())
    assert asyncio.run(second()).template_list == (made,)


FORMAT = "<Container><Format>mp4</Format></Container><Video><Codec>H.264</Codec></Video>"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("", "MissingRequestBodyError", "no body"),
        ("<Template/>", "MalformedXML", "the root element is `Template`"),
        ("<Request><Name>n</Name></Request>", "InvalidArgument", "Request.Tag: "),
        (f"<Request><Tag>Transcode</Tag>{FORMAT}</Request>", "InvalidArgument", "Request.Name: "),
        (
            f"<Request><Tag>Snapshot</Tag><Name>n</Name>{FORMAT}</Request>",
            "InvalidArgument",
            "Request.Tag: templates with the tag Snapshot are of another product; Tag must be Transcode or Watermark",
        ),
        (
            f"<Request><Tag>Transcode</Tag><Name>a b</Name>{FORMAT}</Request>",
            "InvalidArgument",
            "Request.Name: a b holds ' '; Name takes Chinese",
        ),
        (
            f"<Request><Tag>Transcode</Tag><Name>{'n' * 65}</Name>{FORMAT}</Request>",
            "InvalidArgument",
            "has 65 characters; Name takes 64",
        ),
        (
            "<Request><Tag>Transcode</Tag><Name>n</Name><Video><Codec>H.264</Codec></Video></Request>",
            "InvalidArgument",
            "Request.Container: Container is missing",
        ),
        (
            (
                "<Request><Tag>Transcode</Tag><Name>n</Name><Container><Format>webm</Format></Container>"
                "<Video><Codec>H.264</Codec></Video></Request>"
            ),
            "InvalidArgument",
            "Request.Video.Codec: H.264 does not fit webm",
        ),
        ("<Request><Tag>Watermark</Tag><Name>n</Name></Request>", "InvalidArgument", "Request.Watermark: "),
        (
            (
                "<Request><Tag>Watermark</Tag><Name>n</Name><Watermark><Type>Text</Type></Watermark>"
                "<Watermark><Type>Text</Type></Watermark></Request>"
            ),
            "InvalidArgument",
            "Request.Watermark: 2 are there, only one is taken",
        ),
        (
            "<Request><Tag>Watermark</Tag><Name>n</Name><Watermark><Type>Text</Type></Watermark></Request>",
            "InvalidArgument",
            "Request.Watermark.Pos: Pos is missing",
        ),
    ],
)
def test_templates_that_cannot_be(examples: Examples, body: str, code: str, reason: str) -> None:
    async def calls(caller: Caller) -> None:
        made = await create(caller, "hd")
        for reply in (
            await caller.http.post(f"{CI}/template", content=body),
            await caller.http.put(f"{CI}/template/{made.template_id}", content=body),
        ):
            assert (reply.status_code, error(reply).code) == (400, code)
            assert reason in error(reply).message
        assert (await listed(caller, pageSize="1")).template_list == (made,)

    examples(calls)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/template"), ("DELETE", "/template"), ("GET", "/template/t1"), ("POST", "/template/t1")],
)
def test_calls_that_there_are_not(examples: Examples, method: str, path: str) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.request(method, f"{CI}{path}")
        assert (reply.status_code, error(reply).code) == (405, "MethodNotAllowed")

    examples(calls)


def test_an_unknown_category_is_refused(examples: Examples) -> None:
    async def calls(caller: Caller) -> None:
        reply = await caller.http.get(f"{CI}/template?category=Mine")
        assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")
        assert error(reply).message == "category: `Mine` is unknown; write Custom or Official"

    examples(calls)
