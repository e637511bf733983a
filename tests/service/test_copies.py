from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from reconciler.api import xml
from reconciler.api.objects import CopyResult
from reconciler.service import files
from reconciler.service.dates import http_date
from reconciler.service.index import Facts, ObjectInfo, Stamp
from tests.service.harness import BUCKET, COS, Caller, drop, error, running
from tests.service.uploading import FIRST, SECOND, VECTOR, begin, crc64, tag

HOST = COS.removeprefix("http://")
OTHER = "films-1250000000"
EARLIER, LATER = http_date(0), http_date(4_000_000_000)


async def copy(caller: Caller, key: str, source: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return await caller.http.put(f"{COS}/{key}", headers={"x-cos-copy-source": source, **(headers or {})})


def copied(reply: httpx.Response, root: str = "CopyObjectResult") -> CopyResult:
    assert reply.status_code == 200, reply.text
    result = xml.read(CopyResult, reply.content, root)
    assert reply.headers["x-cos-hash-crc64ecma"] == result.crc64
    return result


def test_a_copy_has_content_and_metadata_of_its_source(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put(
                "in/a b.mp4", b"content", content_type="video/x-own", x_cos_meta_job="j1", Cache_Control="no-store"
            )
            result = copied(await copy(caller, "out/b", f"{HOST}/in/a%20b.mp4", {"x-cos-meta-other": "ignored"}))
            assert (result.e_tag, result.crc64) == (tag(b"content"), crc64(b"content"))
            assert (result.last_modified or "").endswith("Z")
            made = await caller.http.get(f"{COS}/out/b")
            assert made.content == b"content"
            assert (made.headers["content-type"], made.headers["x-cos-meta-job"]) == ("video/x-own", "j1")
            assert (made.headers["cache-control"], "x-cos-meta-other" in made.headers) == ("no-store", False)
            assert await caller.keys() == ["in/a b.mp4", "out/b"]

    asyncio.run(main())


def test_metadata_can_be_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"content", content_type="video/x-own", x_cos_meta_job="j1")
            headers = {"x-cos-metadata-directive": "Replaced", "x-cos-meta-new": "n", "x-cos-storage-class": "ARCHIVE"}
            for target in ("b", "a"):  # to itself as well
                copied(await copy(caller, target, f"{HOST}/a", headers))
                made = await caller.http.head(f"{COS}/{target}")
                assert (made.headers["x-cos-meta-new"], made.headers["x-cos-storage-class"]) == ("n", "ARCHIVE")
                assert "x-cos-meta-job" not in made.headers
                assert made.headers["content-type"] == "application/octet-stream"
            reply = await copy(caller, "c", f"{HOST}/a")
            assert (reply.status_code, error(reply).code) == (403, "InvalidObjectState")

    asyncio.run(main())


def test_a_copy_to_itself_must_change_something(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"content", x_cos_meta_job="j1")
            reply = await copy(caller, "a", f"{HOST}/a")
            assert (reply.status_code, error(reply).code) == (400, "InvalidRequest")
            copied(await copy(caller, "a", f"{HOST}/a", {"x-cos-storage-class": "STANDARD_IA"}))
            made = await caller.http.get(f"{COS}/a")
            assert (made.content, made.headers["x-cos-meta-job"]) == (b"content", "j1")
            assert made.headers["x-cos-storage-class"] == "STANDARD_IA"
            copied(await copy(caller, "a", f"{HOST}/a"))  # which makes it STANDARD again
            assert "x-cos-storage-class" not in (await caller.http.head(f"{COS}/a")).headers

    asyncio.run(main())


def test_the_etag_of_an_object_of_parts_goes_with_its_content(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            await upload.part(1, FIRST)
            await upload.part(2, SECOND)
            await upload.complete((1, tag(FIRST)), (2, tag(SECOND)))
            assert copied(await copy(caller, "b", f"{HOST}/a")).e_tag == f'"{VECTOR}"'
            made = await caller.http.get(f"{COS}/b")
            assert (made.content, made.headers["x-cos-hash-crc64ecma"]) == (FIRST + SECOND, crc64(FIRST + SECOND))

    asyncio.run(main())


SOURCES = {
    "of another bucket": f"{OTHER}.cos.ap-chongqing.myqcloud.com/films/a.mp4",
    "encoded whole": f"{OTHER}.cos.ap-chongqing.myqcloud.com/films%2Fa.mp4",
    "with a slash before it": f"/{OTHER}.cos.ap-chongqing.myqcloud.com/films/a.mp4",
    "with its version": f"{OTHER}.cos.ap-chongqing.myqcloud.com/films/a.mp4?versionId=null",
    "at another domain": f"{OTHER}.cos.ap-chongqing.tencentcos.cn/films/a.mp4",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_may_be_in_any_bucket_of_the_service(tmp_path: Path, source: str) -> None:
    drop(tmp_path, "films/a.mp4", b"film", bucket=OTHER)

    async def main() -> None:
        async with running(tmp_path) as caller:
            copied(await copy(caller, "a", source))
            made = await caller.http.get(f"{COS}/a")
            assert (made.content, made.headers["content-type"]) == (b"film", "video/mp4")

    asyncio.run(main())


def test_a_host_without_a_bucket_means_the_usual_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("课/a", b"content")
            copied(await copy(caller, "b", "127.0.0.1:8787/%E8%AF%BE/a"))
            assert (await caller.http.get(f"{COS}/b")).content == b"content"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        (f"{HOST}/none", 404, "NoSuchCopySource"),
        (f"{HOST}/%2E%2E/secret", 404, "NoSuchCopySource"),
        ("none-1250000000.cos.ap-chongqing.myqcloud.com/a", 404, "NoSuchCopySource"),
        (f"{BUCKET}.cos.ap-beijing.myqcloud.com/a", 404, "NoSuchCopySource"),
        (f"{BUCKET}.ci.ap-chongqing.myqcloud.com/a", 404, "NoSuchCopySource"),
        (f"{HOST}/a?versionId=MTg0", 404, "NoSuchVersion"),
        (HOST, 400, "InvalidCopySource"),
        (f"{HOST}/", 400, "InvalidCopySource"),
        (f"{HOST}/%ff", 400, "InvalidCopySource"),
        ("", 400, "InvalidCopySource"),
        ("/", 400, "InvalidCopySource"),
    ],
)
def test_sources_that_are_none(tmp_path: Path, source: str, status: int, code: str) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await copy(caller, "b", source)
            assert (reply.status_code, error(reply).code) == (status, code)
            assert await caller.keys() == ["a"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-cos-metadata-directive": "Replace"}, 400, "InvalidArgument"),
        ({"x-cos-forbid-overwrite": "true"}, 409, "FileAlreadyExists"),
        ({"x-cos-storage-class": "x"}, 400, "NotSupportedStorageClass"),
        ({"x-cos-copy-source-If-Match": '"other"'}, 412, "PreconditionFailed"),
        ({"x-cos-copy-source-If-None-Match": tag(b"content")}, 412, "PreconditionFailed"),
        ({"x-cos-copy-source-If-Modified-Since": LATER}, 412, "PreconditionFailed"),
        ({"x-cos-copy-source-If-Unmodified-Since": EARLIER}, 412, "PreconditionFailed"),
        ({"x-cos-copy-source-If-Match": tag(b"content")}, 200, ""),
    ],
)
def test_conditions_and_headers_of_a_copy(tmp_path: Path, headers: dict[str, str], status: int, code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"content")
            await caller.put("b", b"before")
            reply = await copy(caller, "b", f"{HOST}/a", headers)
            assert reply.status_code == status
            assert status == 200 or error(reply).code == code
            assert (await caller.http.get(f"{COS}/b")).content == (b"content" if status == 200 else b"before")

    asyncio.run(main())


def test_keys_that_cannot_be_copied_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"content")
            for key, code in (("a//b", "InvalidObjectName"), ("a/b", "PathConflict")):
                assert error(await copy(caller, key, f"{HOST}/a")).code == code
        assert [path.name for path in (tmp_path / "buckets" / BUCKET).iterdir()] == ["a"]

    asyncio.run(main())


def test_a_source_that_changes_while_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drop(tmp_path, "a", b"content")
    original = files.copy

    def changing(*args: object) -> None:
        original(*args)  # type: ignore[arg-type]
        path.write_bytes(b"content and more")

    monkeypatch.setattr(files, "copy", changing)

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await copy(caller, "b", f"{HOST}/a")
            assert (reply.status_code, error(reply).code) == (409, "PathConflict")
            assert await caller.keys() == ["a"]

    asyncio.run(main())


def test_what_is_too_large_is_copied_in_parts(tmp_path: Path) -> None:
    path = drop(tmp_path, "a", b"")
    os.truncate(path, 5 * 1024**3 + 1)  # a file with a hole takes no room

    async def main() -> None:
        async with running(tmp_path) as caller:
            bucket = caller.service.app._buckets.get(BUCKET)
            assert bucket is not None
            known = ObjectInfo.of(
                "a", Stamp.of(path.stat()), Facts("0" * 32, "0")
            )  # to read 5 GiB is not what is tested
            bucket._index.remember(BUCKET, [known])
            reply = await copy(caller, "b", f"{HOST}/a")
            assert (reply.status_code, error(reply).code) == (400, "EntityTooLarge")
            upload = await begin(caller, "b")
            reply = await copy(caller, f"b?partNumber=1&uploadId={upload.id}", f"{HOST}/a")
            assert (reply.status_code, error(reply).code) == (400, "EntityTooLarge")
            headers = {"x-cos-copy-source-range": f"bytes={5 * 1024**3 - 10}-{5 * 1024**3}"}
            made = copied(
                await copy(caller, f"b?partNumber=1&uploadId={upload.id}", f"{HOST}/a", headers), "CopyPartResult"
            )
            assert made.e_tag == tag(b"\0" * 11)

    asyncio.run(main())


# Parts.


def test_an_object_is_copied_in_parts(tmp_path: Path) -> None:
    content = FIRST + SECOND

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", content)
            upload = await begin(caller, "b")
            ranges = ("bytes=0-1048575", "bytes=1048576-1048585")
            tags = []
            for number, asked in enumerate(ranges, start=1):
                target = f"b?partNumber={number}&uploadId={upload.id}"
                made = copied(
                    await copy(caller, target, f"{HOST}/a", {"x-cos-copy-source-range": asked}), "CopyPartResult"
                )
                tags.append(made.e_tag)
            assert tags == [tag(FIRST), tag(SECOND)]
            whole = copied(await copy(caller, f"b?partNumber=3&uploadId={upload.id}", f"{HOST}/a"), "CopyPartResult")
            assert whole.e_tag == tag(content)
            reply = await upload.complete((1, tags[0]), (2, tags[1]))
            assert reply.status_code == 200
            assert (await caller.http.get(f"{COS}/b")).content == content

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-cos-copy-source-range": "bytes=0-7"}, 416, "InvalidRange"),
        ({"x-cos-copy-source-range": "bytes=7-8"}, 416, "InvalidRange"),
        ({"x-cos-copy-source-range": "bytes=3-2"}, 400, "InvalidArgument"),
        ({"x-cos-copy-source-range": "bytes=3-"}, 400, "InvalidArgument"),
        ({"x-cos-copy-source-range": "bytes=0-1,3-4"}, 400, "InvalidArgument"),
        ({"x-cos-copy-source-range": "3-4"}, 400, "InvalidArgument"),
        ({"x-cos-copy-source": f"{HOST}/none"}, 404, "NoSuchCopySource"),
        ({"x-cos-copy-source-If-None-Match": "*"}, 412, "PreconditionFailed"),
    ],
)
def test_parts_that_cannot_be_copied(tmp_path: Path, headers: dict[str, str], status: int, code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", b"content")
            upload = await begin(caller, "b")
            reply = await copy(caller, f"b?partNumber=1&uploadId={upload.id}", f"{HOST}/a", headers)
            assert (reply.status_code, error(reply).code) == (status, code)
            assert (await upload.list()).part is None

    asyncio.run(main())
