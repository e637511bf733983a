from __future__ import annotations

import asyncio
import base64
import hashlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.service.dates import http_date
from tests.service.harness import BUCKET, COS, Caller, drop, error, lasting, running
from tests.service.uploading import MIB, begin

VECTORS = {  # reference/cos-objects.md §3
    b"": "0",
    b"123456789": "11051210869376104954",
    b"hello, synthesis": "5371956432961692090",
    b"ObjectContent": "2900061071848923409",
}


@pytest.mark.parametrize("content", VECTORS)
def test_a_stored_object_has_its_digests(tmp_path: Path, content: bytes) -> None:
    md5 = hashlib.md5(content).hexdigest()

    async def main() -> None:
        async with running(tmp_path) as caller:
            stored = await caller.put("in/a.bin", content)
            assert (stored.status_code, stored.content) == (200, b"")
            for reply in (stored, await caller.http.get(f"{COS}/in/a.bin"), await caller.http.head(f"{COS}/in/a.bin")):
                assert reply.headers["etag"] == f'"{md5}"'
                assert reply.headers["x-cos-hash-crc64ecma"] == VECTORS[content]
        assert (tmp_path / "buckets" / BUCKET / "in" / "a.bin").read_bytes() == content

    asyncio.run(main())


def test_headers_come_back_as_they_were_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put(
                "a", content_type="video/x-own", x_cos_meta_job="j1", Cache_Control="no-store", X_Other="x"
            )
            reply = await caller.http.get(f"{COS}/a")
            assert reply.headers["content-type"] == "video/x-own"
            assert (reply.headers["x-cos-meta-job"], reply.headers["cache-control"]) == ("j1", "no-store")
            assert "x-other" not in reply.headers
            await caller.put("a")
            assert "x-cos-meta-job" not in (await caller.http.head(f"{COS}/a")).headers

    asyncio.run(main())


def test_the_type_of_a_dropped_file_follows_its_suffix(tmp_path: Path) -> None:
    drop(tmp_path, "a.mp4")
    drop(tmp_path, "a.unknown-suffix")

    async def main() -> None:
        async with running(tmp_path) as caller:
            assert (await caller.http.head(f"{COS}/a.mp4")).headers["content-type"] == "video/mp4"
            other = await caller.http.head(f"{COS}/a.unknown-suffix?response-content-type=text/x")
            assert other.headers["content-type"] == "text/x"
            other = await caller.http.head(f"{COS}/a.unknown-suffix")
            assert other.headers["content-type"] == "application/octet-stream"

    asyncio.run(main())


def test_a_part_of_an_object(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"0123456789abc")
            reply = await caller.http.get(f"{COS}/a", headers={"Range": "bytes=2-4"})
            assert (reply.status_code, reply.content) == (206, b"234")
            assert reply.headers["content-range"] == "bytes 2-4/13"
            assert reply.headers["accept-ranges"] == "bytes"
            assert reply.headers["content-length"] == "3"
            reply = await caller.http.head(f"{COS}/a", headers={"Range": "bytes=-3"})
            assert (reply.status_code, reply.headers["content-length"], reply.content) == (206, "3", b"")
            reply = await caller.http.get(f"{COS}/a", headers={"Range": "bytes=13-"})
            assert (reply.status_code, error(reply).code) == (416, "InvalidRange")

    asyncio.run(main())


def test_conditions(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            etag = (await caller.put("a")).headers["etag"]
            for method in ("GET", "HEAD"):
                same = await caller.http.request(method, f"{COS}/a", headers={"If-None-Match": etag})
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
                other = await caller.http.request(method, f"{COS}/a", headers={"If-Match": '"x"'})
                assert other.status_code == 412
            later = await caller.http.get(f"{COS}/a", headers={"If-Modified-Since": http_date(4_000_000_000)})
            assert later.status_code == 304

    asyncio.run(main())


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "buckets" / BUCKET / "folder").mkdir(parents=True)

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("file")
            for key in ("none", "folder", "file/below", "a//b", "..", "%00", "folder/"):
                reply = await caller.http.get(f"{COS}/{key}".replace("..", "%2E%2E"))
                assert (reply.status_code, error(reply).code) == (404, "NoSuchKey"), key
            head = await caller.http.head(f"{COS}/none")
            assert (head.status_code, head.content) == (404, b"")
            assert int(head.headers["content-length"]) > 0

    asyncio.run(main())


def test_deleting_is_no_error_twice(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("in/deep/a")
            for _ in range(2):
                reply = await caller.http.delete(f"{COS}/in/deep/a")
                assert (reply.status_code, reply.content) == (204, b"")
                assert "content-length" not in reply.headers
            assert await caller.keys() == []
            assert (await caller.put("in")).status_code == 200, "no empty folder stands in the way"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content_md5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"content_md5": "nonsense"}, "InvalidDigest"),
        ({"content_md5": base64.b64encode(b"short").decode()}, "InvalidDigest"),
        ({"content_length": "8"}, "IncompleteBody"),
        ({"content_length": "-1"}, "InvalidArgument"),
        ({"content_length": str(5 * 1024**3 + 1)}, "EntityTooLarge"),
        ({"content_length": "9" * 30}, "EntityTooLarge"),
    ],
)
def test_an_upload_that_is_not_what_it_says_leaves_nothing(tmp_path: Path, headers: dict[str, str], code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("kept/a", b"before!")
            for key in ("kept/a", "new/a"):
                reply = await caller.put(key, b"content", **headers)
                assert (reply.status_code, error(reply).code) == (400, code)
            assert (await caller.http.get(f"{COS}/kept/a")).content == b"before!"
        bucket = tmp_path / "buckets" / BUCKET
        assert sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*")) == ["kept", "kept/a"]

    asyncio.run(main())


def test_a_right_digest_is_accepted_and_a_longer_body_is_cut(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            digest = base64.b64encode(hashlib.md5(b"content").digest()).decode()
            assert (await caller.put("a", content_md5=digest)).status_code == 200
            assert (await caller.put("b", content_length="4")).status_code == 200
            assert (await caller.http.get(f"{COS}/b")).content == b"cont"

    asyncio.run(main())


def test_a_body_in_chunks_and_one_without_length(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"chunk"

    async def main() -> None:
        async with running(tmp_path) as caller:
            assert (await caller.http.put(f"{COS}/a", content=chunks())).status_code == 200
            assert (await caller.http.get(f"{COS}/a")).content == b"chunk" * 3
            request = caller.http.build_request("PUT", f"{COS}/b", content=b"x")
            del request.headers["content-length"]
            reply = await caller.http.send(request)
            assert (reply.status_code, error(reply).code) == (411, "MissingContentLength")

    asyncio.run(main())


def test_forbidding_to_overwrite_lets_exactly_one_writer_win(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            writers = [caller.put("a", b"%d" % number, x_cos_forbid_overwrite="true") for number in range(8)]
            replies = await asyncio.gather(*writers)
            assert sorted(reply.status_code for reply in replies) == [200] + [409] * 7
            assert {error(reply).code for reply in replies if reply.status_code == 409} == {"FileAlreadyExists"}
            (winner,) = (number for number, reply in enumerate(replies) if reply.status_code == 200)
            assert (await caller.http.get(f"{COS}/a")).content == b"%d" % winner
            assert (await caller.put("a", b"over", x_cos_forbid_overwrite="false")).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("a//b", 400, "InvalidObjectName"),
        ("%2E%2E/a", 400, "InvalidObjectName"),
        ("a%00b", 400, "InvalidObjectName"),
        ("x" * 300, 400, "KeyTooLong"),
        ("%ff", 400, "InvalidURI"),
        ("file/below", 409, "PathConflict"),
        ("folder", 409, "PathConflict"),
        ("link/a", 409, "PathConflict"),
    ],
)
def test_keys_that_cannot_be_stored(tmp_path: Path, key: str, status: int, code: str) -> None:
    drop(tmp_path, "file")
    drop(tmp_path, "folder/a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "buckets" / BUCKET / "link").symlink_to(tmp_path / "outside")

    async def main() -> None:
        async with running(tmp_path) as caller:
            for forbid in ("false", "true"):
                reply = await caller.put(key, x_cos_forbid_overwrite=forbid)
                expected = "FileAlreadyExists" if (key, forbid) == ("folder", "true") else code
                assert (reply.status_code, error(reply).code) == (status, expected)
            assert await caller.keys() == ["file", "folder/a"]
        assert list((tmp_path / "outside").iterdir()) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        ("GET", "/a?acl", {}, 501, "NotImplemented"),
        ("PUT", "/", {}, 501, "NotImplemented"),
        ("DELETE", "/", {}, 501, "NotImplemented"),
        ("POST", "/a", {}, 501, "NotImplemented"),
        ("POST", "/a?append&position=0", {}, 501, "NotImplemented"),
        ("POST", "/a?restore", {}, 501, "NotImplemented"),
        ("GET", "/?versions", {}, 501, "NotImplemented"),
        ("PUT", "/a?symlink=", {}, 501, "NotImplemented"),
        ("PUT", "/a?live=x", {}, 501, "NotImplemented"),
        ("PUT", "/b", {"Pic-Operations": "{}"}, 501, "NotImplemented"),
        ("GET", "/a?imageMogr2/thumbnail/100x", {}, 501, "NotImplemented"),
        ("PATCH", "/a", {}, 405, "MethodNotAllowed"),
        ("OPTIONS", "/a", {}, 405, "MethodNotAllowed"),
        ("PUT", "/?delete", {}, 405, "MethodNotAllowed"),
        ("POST", "/a?delete", {}, 405, "MethodNotAllowed"),
        ("GET", "/a?versionId=MTg0", {}, 404, "NoSuchVersion"),
        ("DELETE", "/a?versionId=MTg0", {}, 404, "NoSuchVersion"),
        ("GET", "/a?x-cos-traffic-limit=1", {}, 400, "InvalidArgument"),
        ("GET", "/a", {"x-cos-traffic-limit": "many"}, 400, "InvalidArgument"),
        ("GET", "/a?response-content-type=a%0Ab", {}, 400, "InvalidArgument"),
    ],
)
def test_calls_that_are_refused(
    tmp_path: Path, method: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.request(method, f"{COS}{target}", headers=headers)
            assert (reply.status_code, error(reply).code) == (status, code)

    asyncio.run(main())


def test_what_sdks_and_signatures_send_without_a_value_selects_no_other_call(tmp_path: Path) -> None:
    names = "prefix delimiter marker max-keys encoding-type q-url-param-list x-cos-security-token sign response-expires"

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a")
            query = "&".join(f"{name}=" for name in names.split())
            assert (await caller.http.get(f"{COS}/?{query}")).status_code == 200
            assert (await caller.http.get(f"{COS}/a?{query}&versionId=&cache=7")).content == b"content"

    asyncio.run(main())


def test_headers_are_spelled_as_in_the_documents(tmp_path: Path) -> None:
    """Some clients look for them in exactly that spelling."""

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", Cache_Control="no-store", Expires="0")
            reply = await caller.http.get(f"{COS}/a?response-content-language=zh", headers={"Range": "bytes=0-1"})
            spelled = {name.decode() for name, _ in reply.headers.raw}
            assert spelled >= {"ETag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Type"}
            assert spelled >= {"Content-Length", "Content-Language", "Cache-Control", "Expires", "x-cos-hash-crc64ecma"}

    asyncio.run(main())


def test_headers_of_the_answer_can_be_replaced(tmp_path: Path) -> None:
    names = ("content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding")
    stored = dict.fromkeys(names, "stored") | {"content-encoding": "identity"}
    asked = {f"response-{name}": f" {name} " for name in names if name != "content-encoding"}

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.http.put(f"{COS}/a", content=b"content", headers=stored)
            for method in ("GET", "HEAD"):
                reply = await caller.http.request(method, f"{COS}/a", params=asked | {"response-content-encoding": ""})
                assert {name: reply.headers[name] for name in names} == {
                    **{name: name for name in names},
                    "content-encoding": "identity",
                }

    asyncio.run(main())


def test_storage_classes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", x_cos_storage_class="STANDARD")
            assert "x-cos-storage-class" not in (await caller.http.head(f"{COS}/a")).headers
            await caller.put("a", x_cos_storage_class="ARCHIVE")
            assert (await caller.http.head(f"{COS}/a")).headers["x-cos-storage-class"] == "ARCHIVE"
            reply = await caller.http.get(f"{COS}/a")
            assert (reply.status_code, error(reply).code) == (403, "InvalidObjectState")
            reply = await caller.put("b", x_cos_storage_class="COLDEST")
            assert (reply.status_code, error(reply).code) == (400, "NotSupportedStorageClass")
            assert await caller.keys() == ["a"]

    asyncio.run(main())


def test_the_one_version_of_an_object_is_null(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a")
            for version in ("", "null"):
                assert (await caller.http.get(f"{COS}/a?versionId={version}")).content == b"content"
            assert (await caller.http.delete(f"{COS}/a?versionId=null")).status_code == 204
            assert await caller.keys() == []

    asyncio.run(main())


def test_of_two_writers_of_a_key_one_wins_whole(tmp_path: Path) -> None:
    async def slowly(content: bytes) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield content * 10_000
            await asyncio.sleep(0)

    async def main() -> None:
        async with running(tmp_path) as caller:
            writers = [caller.http.put(f"{COS}/a", content=slowly(b"%d" % number)) for number in range(5)]
            replies = await asyncio.gather(*writers)
            assert {reply.status_code for reply in replies} == {200}
            stored = await caller.http.get(f"{COS}/a")
            assert stored.content in [b"%d" % number * 200_000 for number in range(5)]
            assert stored.headers["etag"] == f'"{hashlib.md5(stored.content).hexdigest()}"'

    asyncio.run(main())


@pytest.mark.parametrize("call", ["put", "part", "copy", "complete"])
def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path, call: str) -> None:
    """A limit on the size of files stands for the full disk: the system refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    files = [tmp_path / "buckets", tmp_path / ".reconciler" / "uploads"]

    async def refused(caller: Caller) -> httpx.Response:
        upload = await begin(caller, "new/b")
        large = drop(tmp_path, "a", b"x" * (6 * MIB))
        etag = (await caller.http.head(f"{COS}/a")).headers["etag"]
        if call == "complete":
            source = {"x-cos-copy-source": f"{BUCKET}.cos.ap-chongqing.myqcloud.com/a"}
            await caller.http.put(f"{COS}/new/b?partNumber=1&uploadId={upload.id}", headers=source)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * MIB, before[1]))
        try:
            match call:
                case "put":
                    return await caller.put("new/b", large.read_bytes())
                case "part":
                    return await upload.part(1, large.read_bytes())
                case "copy":
                    return await caller.http.put(f"{COS}/new/b", headers={"x-cos-copy-source": "127.0.0.1/a"})
                case _:
                    return await upload.complete((1, etag))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await refused(caller)
            assert (reply.status_code, error(reply).code) == (500, "InternalError")
            assert error(reply).message == "File too large"
            assert await caller.keys() == ["a"]
        left = [path.name for folder in files for path in folder.rglob("*") if path.is_file()]
        assert sorted(left) == sorted(
            ["a"] + ([f"1-{hashlib.md5(b'x' * (6 * MIB)).hexdigest()}"] if call == "complete" else [])
        )

    asyncio.run(main())


def test_a_reader_that_goes_away_is_not_read_for(tmp_path: Path) -> None:
    """What a server takes and nobody gets is not read from the disk: a player that seeks leaves many bodies behind."""
    drop(tmp_path, "a", b"x" * (20 * MIB))
    sent: list[int] = []

    async def main() -> None:
        async with running(tmp_path) as caller:
            gone = asyncio.Event()

            async def receive() -> dict[str, Any]:
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message: MutableMapping[str, Any]) -> None:
                sent.append(len(message.get("body", b"")))
                if sum(sent) > MIB:
                    gone.set()
                await asyncio.sleep(0)

            host = COS.removeprefix("http://").encode()
            scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": [(b"host", host)]}
            await caller.service.app(scope, receive, send)
            assert MIB < sum(sent) < 3 * MIB

    asyncio.run(main())


@pytest.fixture(scope="module")
def examples(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Callable[[Caller], Awaitable[None]]], None]]:
    with lasting(tmp_path_factory.mktemp("service")) as run:
        yield run


@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text("a/.%-", max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_key_makes_the_round_trip_or_is_refused(
    examples: Callable[[Callable[[Caller], Awaitable[None]]], None], key: str
) -> None:
    raw = quote(key.encode(), safe="")

    async def calls(caller: Caller) -> None:
        stored = await caller.http.put(f"{COS}/{raw}", content=key.encode())
        if stored.status_code != 200:
            assert error(stored).code in ("InvalidObjectName", "KeyTooLong", "NotImplemented")
            assert await caller.keys() == []
            return
        assert await caller.keys() == [key]
        assert [unquote(found) for found in await caller.keys(encoding_type="url")] == [key]
        assert (await caller.http.get(f"{COS}/{raw}")).content == key.encode()
        assert (await caller.http.delete(f"{COS}/{raw}")).status_code == 204
        assert await caller.keys() == []

    examples(calls)
