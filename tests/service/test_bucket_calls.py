from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from reconciler.api import xml
from reconciler.api.objects import (
    Delete,
    DeletedObject,
    DeleteResult,
    ListBucketResult,
    ListMultipartUploadsResult,
)
from reconciler.service.bucket import Bucket
from tests.service.harness import BUCKET, COS, Caller, drop, error, running
from tests.service.uploading import begin

# Objects.


async def listing(caller: Caller, **parameters: str) -> ListBucketResult:
    reply = await caller.http.get(f"{COS}/", params={k.replace("_", "-"): v for k, v in parameters.items()})
    assert reply.headers["x-cos-bucket-region"] == "ap-chongqing"
    return xml.read(ListBucketResult, reply.content, "ListBucketResult")


def test_a_listing_has_what_the_document_shows(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            for key in ("in/a/x", "in/b.mp4", "in/c&d.mp4"):
                await caller.put(key, b"hello world")
            found = await listing(caller, prefix="in/", delimiter="/", max_keys="2", encoding_type="url")
            assert (found.name, found.encoding_type, found.prefix, found.delimiter) == (BUCKET, "url", "in%2F", "%2F")
            assert (found.is_truncated, found.next_marker, found.max_keys) == (True, "in%2Fb.mp4", 2)
            assert [prefix.prefix for prefix in found.common_prefixes or ()] == ["in%2Fa%2F"]
            (content,) = found.contents or ()
            assert (content.key, content.size, content.storage_class) == ("in%2Fb.mp4", 11, "STANDARD")
            assert content.e_tag == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
            assert content.owner is not None
            assert (content.owner.id, content.owner.display_name) == ("1250000000", "1250000000")
            plain = await listing(caller, prefix="in/", marker="in/b.mp4")
            assert (plain.encoding_type, plain.delimiter) == (None, None)
            assert (plain.is_truncated, plain.next_marker) == (False, None)
            assert [content.key for content in plain.contents or ()] == ["in/c&d.mp4"]

    asyncio.run(main())


KEYS = ("a-b_c.~/d", "a b", "a+b%2F", "a&b<c>d", "a/\"'/é", "a\nb", "课/一.mp4", "plain")


@pytest.mark.parametrize("keys", [KEYS, ("in/a.mp4", "in/b-c_d~e.mp4")])
@pytest.mark.parametrize("encoded", [True, False])
def test_keys_are_written_so_that_each_is_read_again(tmp_path: Path, keys: tuple[str, ...], encoded: bool) -> None:
    for key in keys:
        drop(tmp_path, key)

    async def main() -> None:
        async with running(tmp_path) as caller:
            found = await listing(caller, **({"encoding_type": "url"} if encoded else {}))
            written = [content.key for content in found.contents or ()]
            assert written == [quote(key, safe="-_.~") if encoded else key for key in sorted(keys)]

    asyncio.run(main())


def test_an_empty_bucket_and_its_head(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            assert (await listing(caller)).contents is None
            head = await caller.http.head(f"{COS}/")
            assert (head.status_code, head.headers["x-cos-bucket-region"]) == (200, "ap-chongqing")

    asyncio.run(main())


def test_the_storage_class_of_an_object_and_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a", x_cos_storage_class="STANDARD_IA")
            (content,) = (await listing(caller)).contents or ()
            assert content.storage_class == "STANDARD_IA"
            assert (content.last_modified or "")[10] == "T"
            assert (content.last_modified or "").endswith("Z")

    asyncio.run(main())


def test_a_page_has_at_most_a_thousand_keys_and_the_next_one_sees_what_was_put_meanwhile(tmp_path: Path) -> None:
    for number in range(1005):
        drop(tmp_path, f"{number:04}")

    async def main() -> None:
        async with running(tmp_path) as caller:
            first = await listing(caller, max_keys="5000")
            assert (len(first.contents or ()), first.next_marker, first.max_keys) == (1000, "0999", 1000)
            assert len(await caller.keys(marker="0999")) == 5
            await listing(caller)
            await caller.put("1001-new")
            await caller.http.delete(f"{COS}/1004")
            assert await caller.keys(marker="0999") == ["1000", "1001", "1001-new", "1002", "1003"]

    asyncio.run(main())


def test_a_delimiter_may_be_longer_than_a_character(tmp_path: Path) -> None:
    for key in ("a--b", "a--c", "a-d", "e"):
        drop(tmp_path, key)

    async def main() -> None:
        async with running(tmp_path) as caller:
            found = await listing(caller, delimiter="--")
            assert [prefix.prefix for prefix in found.common_prefixes or ()] == ["a--"]
            assert [content.key for content in found.contents or ()] == ["a-d", "e"]

    asyncio.run(main())


def test_empty_parameters_count_as_absent(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as caller:
            found = await listing(caller, prefix="", delimiter="", marker="", max_keys="", encoding_type="")
            assert (found.max_keys, found.encoding_type, found.delimiter) == (1000, None, None)
            assert len(found.contents or ()) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/?max-keys=0", "max-keys: 0 is out of range; write 1 to 1000"),
        ("/?max-keys=-1", "max-keys: `-1` is not a number; write digits"),
        ("/?max-keys=many", "max-keys: `many` is not a number; write digits"),
        ("/?max-keys=٣", "max-keys"),
        ("/?max-keys=" + "9" * 30, "max-keys"),
        ("/?encoding-type=base64", "encoding-type: `base64` is unknown"),
        ("/?uploads&max-uploads=0", "max-uploads: 0 is out of range; write 1 to 1000"),
        ("/?uploads&max-uploads=x", "max-uploads: `x`"),
        ("/?uploads&encoding-type=x", "encoding-type: `x`"),
    ],
)
def test_parameters_that_are_refused(tmp_path: Path, target: str, reason: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.get(COS + target)
            assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")
            assert reason in error(reply).message

    asyncio.run(main())


# Uploads.


async def uploads(caller: Caller, **parameters: str) -> ListMultipartUploadsResult:
    query = {"uploads": ""} | {name.replace("_", "-"): value for name, value in parameters.items()}
    reply = await caller.http.get(f"{COS}/", params=query)
    return xml.read(ListMultipartUploadsResult, reply.content, "ListMultipartUploadsResult")


def test_a_listing_of_uploads_has_what_the_document_shows(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            begun = await begin(caller, "in/a%20b", x_cos_storage_class="ARCHIVE")
            for key in ("in/c", "in/d/e", "in/d/f"):
                await begin(caller, key)
            found = await uploads(caller, prefix="in/", delimiter="/", max_uploads="2", encoding_type="url")
            assert (found.bucket, found.encoding_type, found.prefix, found.delimiter) == (BUCKET, "url", "in%2F", "%2F")
            assert (found.key_marker, found.upload_id_marker, found.max_uploads) == (None, None, 2)
            assert [upload.key for upload in found.upload or ()] == ["in%2Fa%20b", "in%2Fc"]
            first, second = found.upload or ()
            assert (first.upload_id, first.storage_class) == (begun.id, "ARCHIVE")
            assert first.owner == first.initiator
            assert first.owner is not None
            assert first.owner.id == "1250000000"
            assert (first.initiated or "").endswith(".000Z")
            assert (found.is_truncated, found.next_key_marker) == (True, "in%2Fc")
            assert found.next_upload_id_marker == second.upload_id
            rest = await uploads(
                caller, prefix="in/", delimiter="/", key_marker="in/c", upload_id_marker=second.upload_id
            )
            assert (rest.key_marker, rest.upload_id_marker) == ("in/c", second.upload_id)
            assert (rest.upload, rest.is_truncated, rest.next_key_marker) == (None, False, None)
            assert [prefix.prefix for prefix in rest.common_prefixes or ()] == ["in/d/"]

    asyncio.run(main())


def test_an_upload_id_marker_needs_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await begin(caller, "a")
            found = await uploads(caller, key_marker="", upload_id_marker="9", delimiter="", prefix="", max_uploads="")
            assert (len(found.upload or ()), found.upload_id_marker, found.max_uploads) == (1, None, 1000)

    asyncio.run(main())


# Deleting many.


async def delete(caller: Caller, body: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await caller.http.post(f"{COS}/?delete=", content=body, headers=named)


def asked(*keys: str, quiet: bool = False) -> bytes:
    message = Delete(quiet=quiet, objects=tuple(DeletedObject(key=key) for key in keys))
    return xml.write(message, "Delete")


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.mark.parametrize("quiet", [False, True])
def test_many_are_deleted_and_those_that_are_not_there_count_as_deleted(tmp_path: Path, quiet: bool) -> None:
    keys = [f"in/{number}" for number in range(120)] + ["a & b", "none", "a//b", "none"]
    for key in (*keys[:121], "kept"):
        drop(tmp_path, key)

    async def main() -> None:
        async with running(tmp_path) as caller:
            body = asked(*keys, quiet=quiet)
            reply = await delete(caller, body, content_md5=md5(body))
            assert reply.status_code == 200
            result = xml.read(DeleteResult, reply.content, "DeleteResult")
            assert result.error is None
            assert [deleted.key for deleted in result.deleted or ()] == ([] if quiet else keys[:123])
            assert await caller.keys() == ["kept"]
        assert [path.name for path in (tmp_path / "buckets" / BUCKET).iterdir()] == ["kept"]

    asyncio.run(main())


def test_what_cannot_be_deleted_is_told_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("forbidden", "broken", "gone"):
        drop(tmp_path, key)
    original = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == "forbidden":
            raise PermissionError(13, "Permission denied")
        if path.name == "broken":
            raise OSError(5, "Input/output error")
        original(path, missing_ok)

    async def main() -> None:
        async with running(tmp_path) as caller:
            body = asked("forbidden", "gone", "broken").replace(
                b"</Delete>", b"<Object><Key>old</Key><VersionId>7</VersionId></Object></Delete>"
            )
            with monkeypatch.context() as patch:
                patch.setattr(Path, "unlink", unlink)  # the tests may run as root, who may delete everything
                result = xml.read(DeleteResult, (await delete(caller, body)).content, "DeleteResult")
                single = await caller.http.delete(f"{COS}/broken")
            assert [deleted.key for deleted in result.deleted or ()] == ["gone"]
            assert [(found.key, found.code, found.message) for found in result.error or ()] == [
                ("old", "NoSuchVersion", "objects have no versions here: the only versionId is `null`"),
                ("forbidden", "AccessDenied", "Permission denied"),
                ("broken", "InternalError", "Input/output error"),
            ]
            assert (single.status_code, error(single).message) == (500, "Input/output error")
            assert await caller.keys() == ["broken", "forbidden"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "MissingRequestBodyError"),
        (b"<Delete>", {}, "MalformedXML"),
        (b"<Deletes/>", {}, "MalformedXML"),
        (b"<Delete/>", {}, "InvalidArgument"),
        (b"<Delete><Object/></Delete>", {}, "InvalidArgument"),
        (b"<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>", {}, "InvalidArgument"),
        (asked(*map(str, range(1001))), {}, "InvalidArgument"),
        (asked("a"), {"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        (asked("a"), {"content_md5": "AAAA"}, "InvalidDigest"),
        (b"<Delete>" + b" " * (2 << 20) + b"</Delete>", {}, "XMLSizeLimit"),
    ],
)
def test_a_deletion_that_is_refused_deletes_nothing(
    tmp_path: Path, body: bytes, headers: dict[str, str], code: str
) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await delete(caller, body, **headers)
            assert (reply.status_code, error(reply).code) == (400, code)
            assert await caller.keys() == ["a"]

    asyncio.run(main())


def test_a_thousand_of_the_longest_keys_can_be_deleted_at_once(tmp_path: Path) -> None:
    keys = [f"{number:04}/" + "&" * 200 for number in range(1000)]

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await delete(caller, asked(*keys))
            assert len(xml.read(DeleteResult, reply.content, "DeleteResult").deleted or ()) == 1000

    asyncio.run(main())


def test_other_calls_get_a_turn_while_many_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = Bucket.delete

    async def counted(bucket: Bucket, *keys: str) -> Any:
        calls.append(len(keys))
        return await original(bucket, *keys)

    monkeypatch.setattr(Bucket, "delete", counted)

    async def main() -> None:
        async with running(tmp_path) as caller:
            await delete(caller, asked(*map(str, range(120))))
            assert calls == [50, 50, 20]

    asyncio.run(main())
