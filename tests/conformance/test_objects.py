"""Objects through the official Python SDK: everything that somebody who uploads sources and fetches results does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.space import Space, crc, etag, refusal

# One object.


def test_what_is_put_is_got_headed_and_deleted(client: CosS3Client, space: Space) -> None:
    content, key = b"hello, synthesis", space.key("a.txt")
    made = client.put_object(
        space.bucket,
        content,
        key,
        EnableMD5=True,
        ContentType="text/plain",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="a b.txt"',
        ContentLanguage="zh",
        Metadata={"x-cos-meta-owner": "team a/b"},
    )
    assert made["ETag"] == etag(content)
    assert made["x-cos-hash-crc64ecma"] == crc(content) == "5371956432961692090"
    assert made["x-cos-request-id"]

    got = client.get_object(space.bucket, key)
    assert got["Body"].get_raw_stream().read() == content
    headed = client.head_object(space.bucket, key)
    for reply in (got, headed):
        assert reply["ETag"] == etag(content)
        assert reply["Content-Length"] == "16"
        assert reply["Content-Type"] == "text/plain"
        assert reply["Cache-Control"] == "max-age=60"
        assert reply["Content-Disposition"] == 'attachment; filename="a b.txt"'
        assert reply["Content-Language"] == "zh"
        assert reply["x-cos-meta-owner"] == "team a/b"
        assert reply["x-cos-hash-crc64ecma"] == crc(content)
        assert reply["Accept-Ranges"] == "bytes"
        assert reply["Last-Modified"].endswith(" GMT")
        assert "x-cos-storage-class" not in reply

    assert client.object_exists(space.bucket, key)
    client.delete_object(space.bucket, key)
    assert not client.object_exists(space.bucket, key)
    client.delete_object(space.bucket, key)  # deleting what is not there is no error


def test_bodies_come_as_bytes_text_files_and_blocks(client: CosS3Client, space: Space, tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"con"
        yield b"tent"

    path = tmp_path / "a"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        for name, body in (("bytes", b"content"), ("text", "content"), ("file", file), ("chunked", blocks())):
            client.put_object(space.bucket, body, space.key(name))
            assert space.content(client, name) == b"content", name
    client.put_object(space.bucket, b"", space.key("empty"))
    assert client.head_object(space.bucket, space.key("empty"))["Content-Length"] == "0"


@pytest.mark.parametrize(
    "name", ["演示 (1).mp4", "a b+c.mp4", "%41.txt", "a!'()*~-_.mp4", "ünï?#&=;:@,$.mp4", 'quote"<>&.txt', "...mp4"]
)
def test_keys_arrive_as_they_are(client: CosS3Client, space: Space, name: str) -> None:
    client.put_object(space.bucket, name.encode(), space.key(name))
    assert space.content(client, name) == name.encode()
    listed = client.list_objects(space.bucket, Prefix=space.key(""))["Contents"]
    assert [found["Key"] for found in listed] == [space.key(name)]


@pytest.mark.parametrize("name", ["a//b", "./a", "a/./b", "a/../b"])
def test_keys_that_are_no_files_are_refused_not_changed(client: CosS3Client, space: Space, name: str) -> None:
    if not space.target.local:
        pytest.skip("the cloud keeps them; only the embedded service stores objects as plain files")
    with pytest.raises(CosServiceError) as refused:
        client.put_object(space.bucket, b"content", space.key(name))
    assert refusal(refused) == (400, "InvalidObjectName")
    assert "Contents" not in client.list_objects(space.bucket, Prefix=space.key(""))


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ],
)
def test_a_range(client: CosS3Client, space: Space, asked: str, content: bytes, told: str) -> None:
    client.put_object(space.bucket, b"0123456789", space.key("a"))
    reply = client.get_object(space.bucket, space.key("a"), Range=asked)
    assert reply["Body"].get_raw_stream().read() == content
    assert (reply["Content-Range"], reply["Content-Length"]) == (told, str(len(content)))


def test_a_range_behind_the_end(client: CosS3Client, space: Space) -> None:
    client.put_object(space.bucket, b"0123456789", space.key("a"))
    with pytest.raises(CosServiceError) as refused:
        client.get_object(space.bucket, space.key("a"), Range="bytes=10-")
    assert refusal(refused) == (416, "InvalidRange")


def test_conditions(client: CosS3Client, space: Space) -> None:
    key, past, future = space.key("a"), "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    tag = client.put_object(space.bucket, b"content", key)["ETag"]
    for met in ({"IfMatch": tag}, {"IfNoneMatch": '"no"'}, {"IfModifiedSince": past}, {"IfUnmodifiedSince": future}):
        assert space.content(client, "a", **met) == b"content", met
    for unmet in ({"IfMatch": '"no"'}, {"IfUnmodifiedSince": past}):
        with pytest.raises(CosServiceError) as refused:
            client.get_object(space.bucket, key, **unmet)
        assert refusal(refused) == (412, "PreconditionFailed")
    for unmet in ({"IfNoneMatch": tag}, {"IfModifiedSince": client.head_object(space.bucket, key)["Last-Modified"]}):
        reply = client.head_object(space.bucket, key, **unmet)  # to this SDK 304 is a success
        assert reply["ETag"] == tag
        assert "Content-Length" not in reply or reply["Content-Length"] == "0"


def test_replies_are_made_up_as_asked(client: CosS3Client, space: Space) -> None:
    client.put_object(space.bucket, b"content", space.key("a"))
    reply = client.get_object(
        space.bucket,
        space.key("a"),
        ResponseContentType="video/mp4",
        ResponseContentDisposition="attachment; filename=a.mp4",
        ResponseCacheControl="no-store",
    )
    assert reply["Content-Type"] == "video/mp4"
    assert reply["Content-Disposition"] == "attachment; filename=a.mp4"
    assert reply["Cache-Control"] == "no-store"


def test_an_object_is_not_overwritten_when_that_is_forbidden(client: CosS3Client, space: Space) -> None:
    key, forbid = space.key("a"), {"x-cos-forbid-overwrite": "true"}
    client.put_object(space.bucket, b"first", key, Metadata=forbid)
    with pytest.raises(CosServiceError) as refused:
        client.put_object(space.bucket, b"second", key, Metadata=forbid)
    assert refusal(refused) == (409, "FileAlreadyExists")
    assert space.content(client, "a") == b"first"
    client.put_object(space.bucket, b"third", key)
    assert space.content(client, "a") == b"third"


@pytest.mark.parametrize(
    ("digest", "code"),
    [(base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"), ("nonsense", "InvalidDigest")],
)
def test_a_digest_that_does_not_fit(client: CosS3Client, space: Space, digest: str, code: str) -> None:
    with pytest.raises(CosServiceError) as refused:
        client.put_object(space.bucket, b"content", space.key("a"), ContentMD5=digest)
    assert refusal(refused) == (400, code)
    assert not client.object_exists(space.bucket, space.key("a"))


def test_what_is_not_there(client: CosS3Client, space: Space) -> None:
    with pytest.raises(CosServiceError) as refused:
        client.get_object(space.bucket, space.key("none"))
    assert refusal(refused) == (404, "NoSuchKey")
    with pytest.raises(CosServiceError) as headed:
        client.head_object(space.bucket, space.key("none"))
    assert (headed.value.get_status_code(), headed.value.get_error_code()) == (404, "NoSuchResource")


def test_a_bucket_that_is_not_there(client: CosS3Client, space: Space) -> None:
    bucket = f"no-such-{space.bucket}"
    with pytest.raises(CosServiceError) as refused:
        client.put_object(bucket, b"content", "a")
    assert refusal(refused) == (404, "NoSuchBucket")
    assert client.bucket_exists(space.bucket)
    assert not client.bucket_exists(bucket)


def test_the_account_has_the_bucket(client: CosS3Client, space: Space) -> None:
    if not space.target.local:
        pytest.skip("credentials for one bucket may not list the others")
    told = client.list_buckets()
    assert told["Owner"]["ID"] == space.bucket.rpartition("-")[2]
    assert (space.bucket, space.target.region) in {
        (each["Name"], each["Location"]) for each in told["Buckets"]["Bucket"]
    }


OUTSIDE: dict[str, Callable[[CosS3Client, Space], Any]] = {
    "access": lambda client, space: client.get_bucket_acl(space.bucket),
    "versions": lambda client, space: client.list_objects_versions(space.bucket),
    "appending": lambda client, space: client.append_object(space.bucket, space.key("a"), 0, b"x"),
    "links": lambda client, space: client.put_symlink(space.bucket, space.key("a"), space.key("b")),
    "tags": lambda client, space: client.get_object_tagging(space.bucket, space.key("a")),
    "pictures": lambda client, space: client.put_object(space.bucket, b"x", space.key("a"), PicOperations="{}"),
    "media information": lambda client, space: client.get_media_info(space.bucket, space.key("a")),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_is_not_part_of_the_service_is_never_misunderstood(client: CosS3Client, space: Space, what: str) -> None:
    if not space.target.local:
        pytest.skip("the cloud has all of it")
    with pytest.raises(CosServiceError) as refused:
        OUTSIDE[what](client, space)
    assert refusal(refused) == (501, "NotImplemented")
    assert not client.object_exists(space.bucket, space.key("a"))


# Copies and deletions.


def test_a_copy_keeps_or_replaces_what_is_known_of_it(client: CosS3Client, space: Space) -> None:
    source = {"Bucket": space.bucket, "Key": space.key("演 a+b.txt"), "Region": space.target.region}
    client.put_object(space.bucket, b"content", source["Key"], ContentType="text/plain", Metadata={"x-cos-meta-a": "1"})
    made = client.copy_object(space.bucket, space.key("kept"), source)
    assert made["ETag"] == etag(b"content")
    assert made["LastModified"]
    kept = client.head_object(space.bucket, space.key("kept"))
    assert (kept["Content-Type"], kept["x-cos-meta-a"]) == ("text/plain", "1")

    client.copy_object(
        space.bucket,
        space.key("replaced"),
        source,
        CopyStatus="Replaced",
        ContentType="text/css",
        Metadata={"x-cos-meta-b": "2"},
    )
    replaced = client.head_object(space.bucket, space.key("replaced"))
    assert (replaced["Content-Type"], replaced["x-cos-meta-b"]) == ("text/css", "2")
    assert "x-cos-meta-a" not in replaced
    assert space.content(client, "replaced") == b"content"


def test_a_copy_of_nothing(client: CosS3Client, space: Space) -> None:
    source = {"Bucket": space.bucket, "Key": space.key("none"), "Region": space.target.region}
    with pytest.raises(CosServiceError) as refused:
        client.copy_object(space.bucket, space.key("a"), source)
    status, code = refusal(refused)
    assert status == 404
    assert code in ("NoSuchKey", "NoSuchCopySource")


def test_the_sdks_own_copy_takes_any_size(client: CosS3Client, space: Space) -> None:
    client.put_object(space.bucket, b"content", space.key("a"))
    source = {"Bucket": space.bucket, "Key": space.key("a"), "Region": space.target.region}
    client.copy(space.bucket, space.key("b"), source)
    assert space.content(client, "b") == b"content"


def test_many_are_deleted_at_once(client: CosS3Client, space: Space) -> None:
    for name in ("a", "b&<c>", "演"):
        client.put_object(space.bucket, b"content", space.key(name))
    wanted = [{"Key": space.key(name)} for name in ("a", "演", "none")]
    told = client.delete_objects(space.bucket, {"Object": wanted, "Quiet": "false"})
    assert [found["Key"] for found in told["Deleted"]] == [found["Key"] for found in wanted]
    assert "Error" not in told
    told = client.delete_objects(space.bucket, {"Object": [{"Key": space.key("b&<c>")}], "Quiet": "true"})
    assert "Deleted" not in told
    assert "Contents" not in client.list_objects(space.bucket, Prefix=space.key(""))


# Listing.


def test_listing_pages_prefixes_and_folders(client: CosS3Client, space: Space) -> None:
    names = ["a.mp4", "b/1.mp4", "b/2.mp4", "c d.mp4", "e/1.mp4", "f.mp4"]
    for name in names:
        client.put_object(space.bucket, name.encode(), space.key(name))

    reply = client.list_objects(space.bucket, Prefix=space.key(""))
    assert [found["Key"] for found in reply["Contents"]] == [space.key(name) for name in names]
    assert (reply["Name"], reply["IsTruncated"], reply["MaxKeys"]) == (space.bucket, "false", "1000")
    first = reply["Contents"][0]
    assert (first["ETag"], first["Size"], first["StorageClass"]) == (etag(b"a.mp4"), "5", "STANDARD")
    assert first["Owner"]["ID"] == space.bucket.rpartition("-")[2]
    assert first["LastModified"].endswith("Z")

    keys: list[str] = []
    folders: list[str] = []
    marker = ""
    while True:
        page = client.list_objects(space.bucket, Prefix=space.key(""), Delimiter="/", Marker=marker, MaxKeys=2)
        found = [entry["Key"] for entry in page.get("Contents", [])]
        grouped = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert len(found) + len(grouped) <= 2
        keys, folders = keys + found, folders + grouped
        if page["IsTruncated"] == "false":
            break
        marker = page["NextMarker"]
    assert keys == [space.key(name) for name in ("a.mp4", "c d.mp4", "f.mp4")]
    assert folders == [space.key("b/"), space.key("e/")]


def test_an_empty_listing(client: CosS3Client, space: Space) -> None:
    reply = client.list_objects(space.bucket, Prefix=space.key("nothing/"))
    assert reply["IsTruncated"] == "false"
    assert "Contents" not in reply


# Addresses that hold by themselves.


def test_a_presigned_address_uploads_and_downloads(client: CosS3Client, space: Space) -> None:
    key = space.key("演 a+b.mp4")
    put = client.get_presigned_url(space.bucket, key, "PUT", Expired=60)
    get = client.get_presigned_download_url(
        space.bucket, key, Expired=60, Params={"response-content-type": "video/mp4", "response-cache-control": "a b"}
    )
    with space.target.session() as stranger:
        assert stranger.put(put, data=b"content").status_code == 200
        reply = stranger.get(get)
        assert (reply.status_code, reply.content) == (200, b"content")
        assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == ("video/mp4", "a b")
        assert stranger.get(get, headers={"Range": "bytes=0-2"}).content == b"con"
        _refused(stranger.put(get, data=b"other"), "SignatureDoesNotMatch")
        _refused(stranger.get(get.replace("video%2Fmp4", "text%2Fhtml")), "SignatureDoesNotMatch")
        _refused(stranger.get(get.partition("?")[0]), "AccessDenied")


def _refused(reply: requests.Response, code: str) -> None:
    assert (reply.status_code, f"<Code>{code}</Code>" in reply.text) == (403, True), reply.text
