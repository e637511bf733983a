from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from reconciler.service import bucket as module
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.database import Database
from reconciler.service.digest import Digest, Expected
from reconciler.service.index import NO_ATTRIBUTES, Attributes, ObjectIndex, ObjectInfo
from reconciler.service.listing import Query
from reconciler.service.refused import RefusedError

NAME = "demo-1250000000"


@pytest.fixture
def index() -> Iterator[ObjectIndex]:
    database = Database.in_memory()
    yield ObjectIndex(database)
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.mkdir()
    return path


@pytest.fixture
def bucket(folder: Path, index: ObjectIndex) -> Bucket:
    return Bucket(NAME, folder, index)


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def put(bucket: Bucket, key: str, content: bytes = b"content", attributes: Attributes = NO_ATTRIBUTES) -> ObjectInfo:
    return asyncio.run(bucket.put(key, body(content), Expected(), attributes))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read for their digests."""
    seen: list[str] = []
    original = module._digest_file

    def counted(file: BinaryIO, key: str) -> ObjectInfo:
        seen.append(Path(file.name).name)
        return original(file, key)

    monkeypatch.setattr(module, "_digest_file", counted)
    return seen


def test_a_file_is_read_once_and_again_when_it_changed(bucket: Bucket, folder: Path, reads: list[str]) -> None:
    for name in "abc":
        (folder / name).write_bytes(name.encode())
    first = asyncio.run(bucket.page(Query()))
    again = asyncio.run(bucket.page(Query()))
    assert first == again
    assert reads == ["a", "b", "c"]
    (folder / "b").write_bytes(b"changed")
    changed = asyncio.run(bucket.page(Query()))
    assert reads == ["a", "b", "c", "b"]
    assert changed.objects[1].etag == hashlib.md5(b"changed").hexdigest()
    assert asyncio.run(bucket.head("b")) == changed.objects[1]
    assert len(reads) == 4


def test_what_was_put_is_not_read_for_its_digest(bucket: Bucket, reads: list[str]) -> None:
    info = put(bucket, "in/a")
    assert asyncio.run(bucket.head("in/a")) == info
    assert asyncio.run(bucket.page(Query())).objects == (info,)
    assert reads == []


def test_a_file_put_in_the_place_of_an_object_is_another_object(bucket: Bucket, folder: Path) -> None:
    put(bucket, "a", attributes=Attributes("video/x-own", {"x-cos-meta-a": "b"}))
    (folder / "a").unlink()
    (folder / "a").write_bytes(b"dropped")
    found = asyncio.run(bucket.head("a"))
    assert (found.etag, found.attributes.headers) == (hashlib.md5(b"dropped").hexdigest(), {})
    assert found.content_type == "application/octet-stream"


def test_an_open_object_keeps_its_content_when_the_key_gets_another(bucket: Bucket) -> None:
    put(bucket, "a", b"old")
    info, file = asyncio.run(bucket.open("a"))
    put(bucket, "a", b"new!")
    with file:
        assert (file.read(), info.size) == (b"old", 3)


def test_nothing_is_seen_of_an_upload_before_it_is_complete(bucket: Bucket, folder: Path) -> None:
    seen: list[list[str]] = []

    async def watched() -> AsyncIterator[bytes]:
        for chunk in (b"first", b"second"):
            yield chunk
            page = await bucket.page(Query())
            seen.append([info.key for info in page.objects])

    asyncio.run(bucket.put("in/a", watched(), Expected(), NO_ATTRIBUTES))
    assert seen == [[], []]
    assert names(folder) == ["in", "in/a"]


@pytest.mark.parametrize("existed", [True, False])
def test_a_broken_upload_leaves_the_folder_as_it_was(bucket: Bucket, folder: Path, existed: bool) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RefusedError("IncompleteBody", "gone")

    if existed:
        (folder / "in").mkdir()
    with pytest.raises(RefusedError, match="gone"):
        asyncio.run(bucket.put("in/a", broken(), Expected(), NO_ATTRIBUTES))
    assert names(folder) == (["in"] if existed else [])
    assert bucket._index.partials() == []


def test_deleting_leaves_no_empty_folders_but_keeps_the_others(bucket: Bucket, folder: Path) -> None:
    put(bucket, "a/b/c")
    put(bucket, "a/d")
    asyncio.run(bucket.delete("a/b/c"))
    assert names(folder) == ["a", "a/d"]
    asyncio.run(bucket.delete("a/d"))
    assert names(folder) == []


def test_links_are_not_followed(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "file").symlink_to(outside / "secret")
    (folder / "sub").symlink_to(outside)
    for key in ("file", "sub/secret"):
        with pytest.raises(RefusedError, match="NoSuchKey"):
            asyncio.run(bucket.head(key))
        asyncio.run(bucket.delete(key))
    with pytest.raises(RefusedError, match="PathConflict"):
        put(bucket, "sub/new/deep")
    assert names(outside) == ["secret"]
    put(bucket, "file", b"own")
    assert (outside / "secret").read_bytes() == b"secret"
    assert (folder / "file").read_bytes() == b"own"


def test_a_bucket_folder_that_is_a_link_is_followed(tmp_path: Path, index: ObjectIndex) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "buckets").mkdir()
    (tmp_path / "buckets" / NAME).symlink_to(tmp_path / "films")
    found = Buckets(tmp_path / "buckets", index, NAME).get(NAME)
    assert found is not None
    put(found, "in/a")
    assert names(tmp_path / "films") == ["in", "in/a"]


def test_a_file_that_cannot_be_read_is_named(bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_bytes(b"x")

    def forbidden(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", forbidden)  # the tests may run as root, who may read everything
    with pytest.raises(RefusedError, match="AccessDenied: the service may not read the file of `a`"):
        asyncio.run(bucket.page(Query()))
    with pytest.raises(RefusedError, match="AccessDenied: the service may not read the file of `a`"):
        asyncio.run(bucket.head("a"))


def test_a_file_that_grew_while_it_was_read_is_read_again(bucket: Bucket, folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(b"begin")
    original = Digest.update

    def growing(digest: Digest, block: bytes) -> None:
        original(digest, block)
        if path.stat().st_size == 5:
            path.write_bytes(b"begin and end")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digest, "update", growing)
        asyncio.run(bucket.head("a"))
    assert asyncio.run(bucket.head("a")).etag == hashlib.md5(b"begin and end").hexdigest()


# Buckets.


def test_every_folder_that_is_named_as_a_bucket_is_one(tmp_path: Path, index: ObjectIndex) -> None:
    for name in ("other-1", "not a bucket", "UPPER-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "file-1").write_bytes(b"")
    buckets = Buckets(tmp_path, index, NAME)
    there = [
        name
        for name in (NAME, "other-1", "none-1", "file-1", "not a bucket", "UPPER-1", "..", ".", "")
        if buckets.get(name)
    ]
    assert there == [NAME, "other-1"]


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path: Path, index: ObjectIndex) -> None:
    for relative in ("new/.reconciler-1.partial", "old/.reconciler-2.partial", "old/a"):
        path = tmp_path / NAME / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    for relative in ("new/.reconciler-1.partial", "old/.reconciler-2.partial", "gone/.reconciler-3.partial", "old/a"):
        index.begin_partial(NAME, relative)
    Buckets(tmp_path, index, NAME).remove_partials()
    assert names(tmp_path / NAME) == ["old", "old/a"]
    assert index.partials() == []
