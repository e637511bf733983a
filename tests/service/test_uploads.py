from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reconciler.service.database import Database
from reconciler.service.digest import Expected
from reconciler.service.index import NO_ATTRIBUTES, Attributes
from reconciler.service.listing import Query
from reconciler.service.refused import RefusedError
from reconciler.service.uploads import Part, Upload, Uploads

BUCKET = "demo-1250000000"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.create(tmp_path / "service.sqlite")
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def uploads(database: Database, folder: Path) -> Uploads:
    return Uploads(database, folder)


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def put(uploads: Uploads, upload: Upload, number: int, content: bytes) -> Part:
    return asyncio.run(uploads.put(upload, number, body(content), Expected()))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []


def test_an_upload_and_its_parts_are_there_for_the_next_owner(database: Database, folder: Path) -> None:
    first = Uploads(database, folder)
    upload = first.begin(BUCKET, "in/a", Attributes("video/mp4", {"x-cos-meta-a": "b"}))
    part = put(first, upload, 2, b"second")
    later = Uploads(database, folder)
    later.clean()
    assert later.find(BUCKET, "in/a", upload.id) == upload
    assert later.parts(upload) == [part]
    assert later.path(upload, part).read_bytes() == b"second"


@pytest.mark.parametrize(("bucket", "key"), [("other-1", "in/a"), (BUCKET, "in/b")])
def test_an_upload_belongs_to_its_key(uploads: Uploads, bucket: str, key: str) -> None:
    upload = uploads.begin(BUCKET, "in/a", NO_ATTRIBUTES)
    with pytest.raises(RefusedError, match=f"NoSuchUpload: there is no upload `{upload.id}` of this key"):
        uploads.find(bucket, key, upload.id)


def test_parts_come_in_order_and_a_number_again_replaces_its_part(uploads: Uploads, folder: Path) -> None:
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    for number in (10, 2, 10_000, 2):
        put(uploads, upload, number, b"%d" % number)
    put(uploads, upload, 2, b"other")
    assert [(part.number, part.size) for part in uploads.parts(upload)] == [(2, 5), (10, 2), (10_000, 5)]
    assert [part.number for part in uploads.parts(upload, after=2, limit=1)] == [10]
    files = [
        f"{number}-{hashlib.md5(content).hexdigest()}"
        for number, content in ((2, b"other"), (10, b"10"), (10_000, b"10000"))
    ]
    assert names(folder / upload.id) == sorted(files)


def test_a_part_that_is_not_as_expected_leaves_nothing(uploads: Uploads, folder: Path) -> None:
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    put(uploads, upload, 1, b"kept")
    before = names(folder)
    with pytest.raises(RefusedError, match="IncompleteBody"):
        asyncio.run(uploads.put(upload, 1, body(b"short"), Expected(length=6)))
    assert names(folder) == before
    assert [part.size for part in uploads.parts(upload)] == [4]


def test_an_aborted_upload_leaves_nothing(uploads: Uploads, folder: Path) -> None:
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    put(uploads, upload, 1, b"part")
    asyncio.run(uploads.abort(upload))
    assert names(folder) == []
    assert uploads.parts(upload) == []
    for call in (uploads.abort(upload), uploads.put(upload, 1, body(b"late"), Expected())):
        with pytest.raises(RefusedError, match="NoSuchUpload"):
            asyncio.run(call)
    assert names(folder) == []


def test_a_part_under_way_when_its_upload_is_aborted_leaves_nothing(uploads: Uploads, folder: Path) -> None:
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)

    async def interrupted() -> AsyncIterator[bytes]:
        yield b"begin"
        await uploads.abort(upload)
        yield b"end"

    with pytest.raises(RefusedError, match="NoSuchUpload"):
        asyncio.run(uploads.put(upload, 1, interrupted(), Expected()))
    assert names(folder) == []


def test_nobody_changes_an_upload_while_it_is_completed(uploads: Uploads, folder: Path) -> None:
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    put(uploads, upload, 1, b"part")
    before = names(folder)

    async def interrupted() -> AsyncIterator[bytes]:
        yield b"begin"
        completing.__enter__()
        yield b"end"

    completing = uploads.completing(upload)
    for chunks in (interrupted(), body(b"at once")):
        with pytest.raises(RefusedError, match=f"UploadConflict: the upload `{upload.id}` is being completed"):
            asyncio.run(uploads.put(upload, 1, chunks, Expected()))
    with pytest.raises(RefusedError, match="UploadConflict"):
        asyncio.run(uploads.abort(upload))
    with pytest.raises(RefusedError, match="UploadConflict"), uploads.completing(upload):
        pass
    completing.__exit__(None, None, None)
    assert names(folder) == before
    put(uploads, upload, 2, b"afterwards")


def test_what_a_dead_owner_left_is_removed_and_nothing_else(database: Database, folder: Path) -> None:
    uploads = Uploads(database, folder)
    upload = uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    kept, lost = put(uploads, upload, 1, b"kept"), put(uploads, upload, 2, b"lost with the power")
    uploads.path(upload, lost).unlink()
    (folder / upload.id / "half").write_bytes(b"half")
    (folder / "unknown").mkdir()
    (folder / "unknown" / "1-x").write_bytes(b"of an aborted upload")
    Uploads(database, folder).clean()
    assert names(folder) == [upload.id, f"{upload.id}/1-{kept.md5}"]
    assert uploads.parts(upload) == [kept]


def test_what_cannot_be_removed_keeps_nobody_from_starting(
    uploads: Uploads, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "unknown" / "folder" / "deep").mkdir(parents=True)  # the service makes no folders there
    (folder / "file").write_bytes(b"")
    uploads.clean()
    assert names(folder) == ["file", "unknown", "unknown/folder", "unknown/folder/deep"]
    assert f"{folder / 'unknown'} is left over and cannot be removed" in caplog.text


def test_there_is_nothing_to_clean_where_nothing_is(uploads: Uploads, folder: Path) -> None:
    uploads.begin(BUCKET, "a", NO_ATTRIBUTES)
    uploads.clean()
    assert not folder.exists()


def test_uploads_are_listed_by_key_then_by_age(uploads: Uploads) -> None:
    begun = [uploads.begin(BUCKET, key, NO_ATTRIBUTES) for key in ("b", "a", "b", "é", "b/c", "B")]
    uploads.begin("other-1", "b", NO_ATTRIBUTES)
    page = uploads.page(BUCKET, Query(), "")
    assert [upload for _, upload in page.entries] == [begun[index] for index in (5, 1, 0, 2, 4, 3)]
    assert page.next_marker is None
    assert [upload.key for _, upload in uploads.page(BUCKET, Query(marker="b"), "").entries] == ["b/c", "é"]
    after = uploads.page(BUCKET, Query(marker="b"), begun[0].id)
    assert [upload for _, upload in after.entries] == [begun[2], begun[4], begun[3]]
    assert [key for key, _ in uploads.page(BUCKET, Query(prefix="b/"), "").entries] == ["b/c"]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_of_uploads_joined_are_the_whole_listing(uploads: Uploads, delimiter: str, size: int) -> None:
    for key in ("a", "a", "b/1", "b/2", "c", "c", "c", "d/e/f"):
        uploads.begin(BUCKET, key, NO_ATTRIBUTES)
    found: list[str] = []
    marker = after = ""
    while True:
        page = uploads.page(BUCKET, Query("", marker, delimiter, size), after)
        found += sorted([key for key, _ in page.entries] + list(page.prefixes))
        if page.next_marker is None:
            break
        last = page.entries[-1][1] if page.entries else None
        after = last.id if last and last.key == page.next_marker else ""
        marker = page.next_marker
    expected = ["a", "a", "b/", "c", "c", "c", "d/"] if delimiter else ["a", "a", "b/1", "b/2", "c", "c", "c", "d/e/f"]
    assert found == expected
