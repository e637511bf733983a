from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.objects import CompleteMultipartUploadResult
from reconciler.service.bucket import Bucket
from tests.service.harness import BUCKET, COS, drop, error, running
from tests.service.uploading import FIRST, MIB, SECOND, VECTOR, Uploading, begin, crc64, tag


def left(root: Path) -> list[str]:
    """The files of parts that lie about."""
    return [path.name for path in (root / ".reconciler" / "uploads").rglob("*")]


def test_an_upload_in_parts_from_beginning_to_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(
                caller, content_type="video/x-own", x_cos_meta_job="j1", x_cos_storage_class="STANDARD_IA"
            )
            for number, content in ((2, SECOND), (1, FIRST)):  # in any order
                reply = await upload.part(number, content)
                assert (reply.status_code, reply.content) == (200, b"")
                assert (reply.headers["etag"], reply.headers["x-cos-hash-crc64ecma"]) == (tag(content), crc64(content))
            assert await caller.keys() == []
            assert (await caller.http.head(f"{COS}/in/a.mp4")).status_code == 404
            reply = await upload.complete((1, tag(FIRST)), (2, tag(SECOND)))
            assert (reply.status_code, reply.headers["content-type"]) == (200, "application/xml")
            assert reply.headers["x-cos-hash-crc64ecma"] == crc64(FIRST + SECOND)
            result = xml.read(CompleteMultipartUploadResult, reply.content, "CompleteMultipartUploadResult")
            assert (result.bucket, result.key, result.e_tag) == (BUCKET, "in/a.mp4", f'"{VECTOR}"')
            assert result.location == f"{COS}/in/a.mp4"
            stored = await caller.http.get(f"{COS}/in/a.mp4")
            assert stored.content == FIRST + SECOND
            assert stored.headers["etag"] == f'"{VECTOR}"'
            assert stored.headers["x-cos-hash-crc64ecma"] == crc64(FIRST + SECOND)
            assert (stored.headers["content-type"], stored.headers["x-cos-meta-job"]) == ("video/x-own", "j1")
            assert stored.headers["x-cos-storage-class"] == "STANDARD_IA"
            for late in (await upload.complete((1, tag(FIRST))), await upload.abort(), await upload.part(1, b"x")):
                assert (late.status_code, error(late).code) == (404, "NoSuchUpload")
        assert left(tmp_path) == []

    asyncio.run(main())


def test_the_etag_of_parts_lasts(tmp_path: Path) -> None:
    async def store() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            await upload.part(1, FIRST)
            await upload.part(2, SECOND)

    async def resume() -> None:
        async with running(tmp_path) as caller:
            listed = await caller.http.get(f"{COS}/?uploads&prefix=a")
            (element,) = xml.parse(listed.content, "ListMultipartUploadsResult").iterfind("Upload/UploadId")
            upload = Uploading(caller, "a", element.text or "")
            parts = (await upload.list()).part or ()
            assert [(part.part_number, part.e_tag, part.size) for part in parts] == [
                (1, tag(FIRST), MIB),
                (2, tag(SECOND), 10),
            ]
            assert (await upload.complete((1, tag(FIRST)), (2, tag(SECOND)))).status_code == 200

    async def look() -> None:
        async with running(tmp_path) as caller:
            assert (await caller.http.head(f"{COS}/a")).headers["etag"] == f'"{VECTOR}"'
            assert f'<ETag>"{VECTOR}"</ETag>' in (await caller.http.get(f"{COS}/")).text

    for step in (store(), resume(), look()):  # a new owner each time
        asyncio.run(step)


def test_a_listing_of_parts_has_what_the_document_shows(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "in/a%26b%20c.mp4")
            for number in (1, 3, 5):
                await upload.part(number, b"%d" % number)
            whole = await upload.list(encoding_type="", max_parts="", part_number_marker="")
            assert (whole.bucket, whole.key, whole.upload_id) == (BUCKET, "in/a&b c.mp4", upload.id)
            assert (whole.max_parts, whole.part_number_marker, whole.is_truncated) == (1000, 0, False)
            assert (whole.next_part_number_marker, whole.encoding_type, whole.storage_class) == (None, None, "STANDARD")
            assert whole.owner == whole.initiator
            assert whole.owner is not None
            assert whole.owner.id == "1250000000"
            assert [part.part_number for part in whole.part or ()] == [1, 3, 5]
            assert all((part.last_modified or "").endswith(".000Z") for part in whole.part or ())
            page = await upload.list(max_parts="1", part_number_marker="1", encoding_type="url")
            assert (page.encoding_type, page.key) == ("url", "in%2Fa%26b%20c.mp4")
            assert [part.part_number for part in page.part or ()] == [3]
            assert (page.is_truncated, page.next_part_number_marker) == (True, 3)
            last = await upload.list(max_parts="5000", part_number_marker="5")
            assert (last.part, last.max_parts, last.is_truncated) == (None, 1000, False)

    asyncio.run(main())


def test_parts_that_are_not_named_are_dropped_and_a_number_again_replaces(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            for number, content in ((1, b"dropped"), (2, b"replaced"), (2, SECOND)):
                await upload.part(number, content)
            reply = await upload.complete((2, tag(SECOND).strip('"').upper()))  # as some clients write it
            assert reply.status_code == 200
            stored = await caller.http.get(f"{COS}/a")
            assert stored.content == SECOND
            assert stored.headers["etag"].endswith('-1"')
        assert left(tmp_path) == []

    asyncio.run(main())


SMALL = b"s" * (MIB - 1)
WRONG: dict[str, tuple[list[tuple[int, str]], str, str]] = {
    "missing": ([(1, tag(FIRST)), (4, tag(SECOND))], "InvalidPart", "there is no part 4"),
    "other": ([(1, tag(SECOND))], "InvalidPart", "part 1 has another ETag"),
    "order": ([(2, tag(SECOND)), (1, tag(FIRST))], "InvalidPartOrder", "CompleteMultipartUpload.Part"),
    "twice": ([(1, tag(FIRST)), (1, tag(FIRST))], "InvalidPartOrder", "ascending order"),
    "small": ([(1, tag(FIRST)), (2, tag(SECOND)), (3, tag(SMALL))], "EntityTooSmall", "part 2 has 10 bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_upload_that_cannot_be_completed_stays_as_it_is(tmp_path: Path, case: str) -> None:
    parts, code, reason = WRONG[case]

    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            for number, content in enumerate((FIRST, SECOND, SMALL), start=1):
                await upload.part(number, content)
            reply = await upload.complete(*parts)
            assert (reply.status_code, error(reply).code) == (400, code)
            assert reason in error(reply).message
            assert await caller.keys() == []
            assert (await upload.complete((1, tag(FIRST)), (3, tag(SMALL)))).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "MissingRequestBodyError"),
        (b"<Complete/>", {}, "MalformedXML"),
        (b"<CompleteMultipartUpload/>", {}, "InvalidArgument"),
        (
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            {},
            "InvalidArgument",
        ),
        (
            b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
            {},
            "InvalidArgument",
        ),
        (b"<CompleteMultipartUpload/>", {"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        (b"<CompleteMultipartUpload/>", {"content_md5": "x"}, "InvalidDigest"),
        (b" " * (5 << 20), {}, "XMLSizeLimit"),
    ],
)
def test_completing_with_a_body_that_is_none(tmp_path: Path, body: bytes, headers: dict[str, str], code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            reply = await upload.send(body, **headers)
            assert (reply.status_code, error(reply).code) == (400, code)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("PUT", "/a?partNumber=0&uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?partNumber=10001&uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?partNumber=-1&uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?partNumber=one&uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?partNumber=" + "9" * 40 + "&uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?uploadId={id}", 400, "InvalidArgument"),
        ("PUT", "/a?partNumber=1", 400, "InvalidArgument"),
        ("PUT", "/b?partNumber=1&uploadId={id}", 404, "NoSuchUpload"),
        ("PUT", "/a?partNumber=1&uploadId=", 404, "NoSuchUpload"),
        ("PUT", "/a?partNumber=1&uploadId=..%2F..", 404, "NoSuchUpload"),
        ("GET", "/a?uploadId=", 400, "ListPartUploadIdIsEmpty"),
        ("GET", "/a?uploadId=x", 404, "NoSuchUpload"),
        ("GET", "/a?uploadId={id}&max-parts=0", 400, "InvalidArgument"),
        ("GET", "/a?uploadId={id}&max-parts=-1", 400, "InvalidArgument"),
        ("GET", "/a?uploadId={id}&part-number-marker=x", 400, "InvalidArgument"),
        ("GET", "/a?uploadId={id}&encoding-type=x", 400, "InvalidArgument"),
        ("POST", "/a?uploadId=x", 404, "NoSuchUpload"),
        ("DELETE", "/a?uploadId=x", 404, "NoSuchUpload"),
        ("POST", "/a//b?uploads", 400, "InvalidObjectName"),
        ("POST", "/%2E%2E/b?uploads", 400, "InvalidObjectName"),
        ("GET", "/a?uploads", 405, "MethodNotAllowed"),
        ("POST", "/?uploads", 405, "MethodNotAllowed"),
        ("GET", "/a?partNumber=1", 400, "InvalidArgument"),
    ],
)
def test_calls_of_uploads_that_are_refused(tmp_path: Path, method: str, target: str, status: int, code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            reply = await caller.http.request(method, COS + target.format(id=upload.id))
            assert (reply.status_code, error(reply).code) == (status, code)
        assert left(tmp_path) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_cos_storage_class": "x"}, "NotSupportedStorageClass"),
        ({"x_cos_meta_a_b": "c"}, None),  # the harness writes `-` for `_`
        ({"x_cos_acl": "x"}, "InvalidArgument"),
    ],
)
def test_beginning_with_headers(tmp_path: Path, headers: dict[str, str], code: str | None) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            reply = await caller.http.post(f"{COS}/a?uploads", headers=named)
            assert reply.status_code == (200 if code is None else 400)
            assert code is None or error(reply).code == code

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content_length": "8"}, "IncompleteBody"),
        ({"content_length": str(5 * 1024**3 + 1)}, "EntityTooLarge"),
        ({"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"content_md5": "x"}, "InvalidDigest"),
    ],
)
def test_a_part_that_is_not_what_it_says(tmp_path: Path, headers: dict[str, str], code: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            reply = await upload.part(1, b"content", **headers)
            assert (reply.status_code, error(reply).code) == (400, code)
            assert (await upload.list()).part is None
        assert [name for name in left(tmp_path) if name != upload.id] == []

    asyncio.run(main())


def test_completing_keeps_to_forbid_overwrite(tmp_path: Path) -> None:
    drop(tmp_path, "a", b"before")

    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            await upload.part(1, SECOND)
            reply = await upload.complete((1, tag(SECOND)), x_cos_forbid_overwrite="true")
            assert (reply.status_code, error(reply).code) == (409, "FileAlreadyExists")
            reply = await upload.complete((1, tag(SECOND)), x_cos_forbid_overwrite="perhaps")
            assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")
            assert (await caller.http.get(f"{COS}/a")).content == b"before"
            assert (await upload.complete((1, tag(SECOND)))).status_code == 200
            assert (await caller.http.get(f"{COS}/a")).content == SECOND

    asyncio.run(main())


def test_of_two_that_complete_one_waits_or_comes_too_late(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            await upload.part(1, SECOND)
            replies = await asyncio.gather(*[upload.complete((1, tag(SECOND))) for _ in range(4)])
            assert sum(reply.status_code == 200 for reply in replies) == 1
            others = {error(reply).code for reply in replies if reply.status_code != 200}
            assert others <= {"UploadConflict", "NoSuchUpload"}
        assert left(tmp_path) == []

    asyncio.run(main())


@pytest.mark.parametrize("moment", ["before the object is there", "after the object is there"])
def test_a_completion_that_dies_is_completed_by_the_next_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Dying is an exception that nobody foresaw; what is tidied on its way out is done by the next owner otherwise."""
    original = Bucket.join

    async def dying(bucket: Bucket, *args: Any, **rest: Any) -> Any:
        if moment.startswith("after"):
            await original(bucket, *args, **rest)
        raise MemoryError

    async def die() -> Uploading:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "in/a")
            await upload.part(1, FIRST)
            await upload.part(2, SECOND)
            with monkeypatch.context() as patch:
                patch.setattr(Bucket, "join", dying)
                reply = await upload.complete((1, tag(FIRST)), (2, tag(SECOND)))
            assert reply.status_code == 500
            assert await caller.keys() == (["in/a"] if moment.startswith("after") else [])
            return upload

    async def again(upload: Uploading) -> None:
        async with running(tmp_path) as caller:
            reply = await Uploading(caller, "in/a", upload.id).complete((1, tag(FIRST)), (2, tag(SECOND)))
            assert reply.status_code == 200
            assert (await caller.http.get(f"{COS}/in/a")).content == FIRST + SECOND
        assert left(tmp_path) == []

    asyncio.run(again(asyncio.run(die())))


def test_an_upload_of_many_parts(tmp_path: Path) -> None:
    """Ten thousand rows would take the test a minute; a body for as many is read (reference/cos-objects.md §9)."""

    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            for number in range(1, 4):
                await upload.part(number, FIRST)
            parts = "".join(
                f"\n  <Part>\n    <PartNumber>{number}</PartNumber>\n    <ETag>&quot;{'0' * 32}&quot;</ETag>\n  </Part>"
                for number in range(1, 10_001)
            )
            reply = await upload.send(f"<CompleteMultipartUpload>{parts}\n</CompleteMultipartUpload>".encode())
            assert (error(reply).code, reply.status_code) == ("InvalidPart", 400)
            reply = await upload.send(f"<CompleteMultipartUpload>{parts}<Part/></CompleteMultipartUpload>".encode())
            assert (error(reply).code, reply.status_code) == ("InvalidArgument", 400)

    asyncio.run(main())


def test_a_service_that_only_reads_lists_uploads_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as owner, running(tmp_path, work=False) as caller:
            upload = await begin(owner, "a")
            await upload.part(1, SECOND)
            beside = Uploading(caller, "a", upload.id)
            assert [part.part_number for part in (await beside.list()).part or ()] == [1]
            for reply in (
                await beside.part(1, b"x"),
                await beside.complete((1, tag(SECOND))),
                await beside.abort(),
                await caller.http.post(f"{COS}/a?uploads"),
                await caller.http.post(f"{COS}/?delete", content=b"<Delete/>"),
            ):
                assert (reply.status_code, error(reply).code) == (403, "AccessDenied")

    asyncio.run(main())


def test_a_key_that_became_a_folder_cannot_be_completed(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            upload = await begin(caller, "a")
            await upload.part(1, SECOND)
            await caller.put("a/b")
            reply = await upload.complete((1, tag(SECOND)))
            assert (reply.status_code, error(reply).code) == (409, "PathConflict")
            assert [path.name for path in (tmp_path / "buckets" / BUCKET / "a").iterdir()] == ["b"]
            assert (await upload.abort()).status_code == 204

    asyncio.run(main())
