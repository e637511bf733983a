"""Uploads in parts through the official Python SDK: its own, resumed ones, aborted ones, and parts that do not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.space import Space, crc, etag, refusal

MIB = 1 << 20


def in_parts(*parts: bytes) -> str:
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    return f'"{digest}-{len(parts)}"'


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(b"a" * MIB + b"b" * MIB + b"c" * 10)
    return path


def test_a_large_file_is_uploaded_in_parts_and_downloaded(
    client: CosS3Client, space: Space, large: Path, tmp_path: Path
) -> None:
    key, content = space.key("large.bin"), large.read_bytes()
    made = client.upload_file(space.bucket, key, str(large), PartSize=1, MAXThread=3, EnableMD5=True)
    tag = in_parts(b"a" * MIB, b"b" * MIB, b"c" * 10)
    assert made["ETag"] == tag
    assert (made["Bucket"], made["Key"]) == (space.bucket, key)
    headed = client.head_object(space.bucket, key)
    assert (headed["ETag"], headed["Content-Length"]) == (tag, str(len(content)))
    assert headed["x-cos-hash-crc64ecma"] == crc(content)
    client.download_file(space.bucket, key, str(tmp_path / "back"), PartSize=1, MAXThread=3, EnableCRC=True)
    assert (tmp_path / "back").read_bytes() == content
    assert "Upload" not in client.list_multipart_uploads(space.bucket, Prefix=key)


def test_an_upload_that_was_broken_off_is_resumed(client: CosS3Client, space: Space, large: Path) -> None:
    key = space.key("large.bin")
    upload = client.create_multipart_upload(space.bucket, key, ContentType="video/mp4")["UploadId"]
    part = client.upload_part(space.bucket, key, b"b" * MIB, 2, upload)
    assert part["ETag"] == etag(b"b" * MIB)
    assert part["x-cos-hash-crc64ecma"] == crc(b"b" * MIB)
    assert not client.object_exists(space.bucket, key)
    listed = client.list_multipart_uploads(space.bucket, Prefix=key)
    assert [(found["Key"], found["UploadId"]) for found in listed["Upload"]] == [(key, upload)]
    assert listed["IsTruncated"] == "false"
    parts = client.list_parts(space.bucket, key, upload)
    assert [(found["PartNumber"], found["Size"]) for found in parts["Part"]] == [("2", str(MIB))]
    assert parts["UploadId"] == upload

    sent: list[int] = []
    client.upload_file(
        space.bucket, key, str(large), PartSize=1, MAXThread=1, progress_callback=lambda done, _: sent.append(done)
    )
    assert "Upload" not in client.list_multipart_uploads(space.bucket, Prefix=key)  # the one that was begun, completed
    assert space.content(client, "large.bin") == large.read_bytes()
    assert client.head_object(space.bucket, key)["Content-Type"] == "video/mp4"


def test_a_small_file_needs_no_parts(client: CosS3Client, space: Space, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"content")
    assert client.upload_file(space.bucket, space.key("a"), str(tmp_path / "small"))["ETag"] == etag(b"content")


def test_an_upload_is_aborted(client: CosS3Client, space: Space) -> None:
    key = space.key("a")
    upload = client.create_multipart_upload(space.bucket, key)["UploadId"]
    client.upload_part(space.bucket, key, b"content", 1, upload)
    client.abort_multipart_upload(space.bucket, key, upload)
    calls: list[Callable[[], Any]] = [
        lambda: client.list_parts(space.bucket, key, upload),
        lambda: client.upload_part(space.bucket, key, b"content", 1, upload),
        lambda: client.complete_multipart_upload(
            space.bucket, key, upload, {"Part": [{"PartNumber": 1, "ETag": etag(b"content")}]}
        ),
    ]
    for call in calls:
        with pytest.raises(CosServiceError) as refused:
            call()
        assert refusal(refused) == (404, "NoSuchUpload")
    assert not client.object_exists(space.bucket, key)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(1, b"x"), (2, b"b")], "InvalidPart"),
        ([(1, b"a"), (3, b"b")], "InvalidPart"),
        ([(2, b"b"), (1, b"a")], "InvalidPartOrder"),
        ([(1, b"a"), (2, b"b")], "EntityTooSmall"),
    ],
)
def test_parts_that_do_not_fit(client: CosS3Client, space: Space, parts: list[tuple[int, bytes]], code: str) -> None:
    key = space.key("a")
    upload = client.create_multipart_upload(space.bucket, key)["UploadId"]
    for number, content in ((1, b"a"), (2, b"b")):
        client.upload_part(space.bucket, key, content, number, upload)
    with pytest.raises(CosServiceError) as refused:
        client.complete_multipart_upload(
            space.bucket,
            key,
            upload,
            {"Part": [{"PartNumber": number, "ETag": etag(content)} for number, content in parts]},
        )
    assert refusal(refused) == (400, code)
    assert not client.object_exists(space.bucket, key)
    client.abort_multipart_upload(space.bucket, key, upload)
