"""Listings, uploads in parts, copies, deletions and error documents, reference/cos-objects.md §6 and §8 to §11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.objects import (
    CommonPrefix,
    CompleteMultipartUpload,
    CompleteMultipartUploadResult,
    Contents,
    CopyResult,
    Delete,
    DeletedObject,
    DeleteError,
    DeleteResult,
    ErrorDocument,
    InitiateMultipartUploadResult,
    ListBucketResult,
    ListMultipartUploadsResult,
    ListPartsResult,
    Owner,
    Part,
    UploadEntry,
)

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    Owner: (
        "<ID>1250000000</ID><DisplayName>1250000000</DisplayName>",
        {"id": "1250000000", "display_name": "1250000000"},
    ),
    Contents: (
        (
            "<Key>in%2Fb.mp4</Key><LastModified>2026-05-01T02:00:00.000Z</LastModified>"
            '<ETag>"5eb63bbbe01eeed093cb22bb8f5acdc3"</ETag><Size>11</Size><Owner><ID>1</ID></Owner>'
            "<StorageClass>STANDARD</StorageClass>"
        ),
        {
            "key": "in%2Fb.mp4",
            "last_modified": "2026-05-01T02:00:00.000Z",
            "e_tag": '"5eb63bbbe01eeed093cb22bb8f5acdc3"',
            "size": 11,
            "owner": {"id": "1"},
            "storage_class": "STANDARD",
        },
    ),
    CommonPrefix: ("<Prefix>in%2Fa%2F</Prefix>", {"prefix": "in%2Fa%2F"}),
    ListBucketResult: (
        (
            "<Name>clips-1250000000</Name><EncodingType>url</EncodingType><Prefix>in%2F</Prefix><Marker>in%2F0</Marker>"
            "<MaxKeys>2</MaxKeys><Delimiter>%2F</Delimiter><IsTruncated>true</IsTruncated>"
            "<NextMarker>in%2Fb.mp4</NextMarker><CommonPrefixes><Prefix>in%2Fa%2F</Prefix></CommonPrefixes>"
            '<Contents><Key>in%2Fb.mp4</Key><ETag>"5e"</ETag><Size>11</Size></Contents>'
            '<Contents><Key>in%2Fc.mp4</Key><ETag>"5f"</ETag><Size>12</Size></Contents>'
        ),
        {
            "name": "clips-1250000000",
            "encoding_type": "url",
            "prefix": "in%2F",
            "marker": "in%2F0",
            "max_keys": 2,
            "delimiter": "%2F",
            "is_truncated": True,
            "next_marker": "in%2Fb.mp4",
            "common_prefixes": [{"prefix": "in%2Fa%2F"}],
            "contents": [
                {"key": "in%2Fb.mp4", "e_tag": '"5e"', "size": 11},
                {"key": "in%2Fc.mp4", "e_tag": '"5f"', "size": 12},
            ],
        },
    ),
    ErrorDocument: (
        (
            "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
            "<Resource>clips-1250000000.cos.ap-chongqing.myqcloud.com/in/none.mp4</Resource>"
            "<RequestId>NjYwMDAwMDBfYWJj</RequestId><TraceId>OGVmYzZi</TraceId>"
        ),
        {
            "code": "NoSuchKey",
            "message": "The specified key does not exist.",
            "resource": "clips-1250000000.cos.ap-chongqing.myqcloud.com/in/none.mp4",
            "request_id": "NjYwMDAwMDBfYWJj",
            "trace_id": "OGVmYzZi",
        },
    ),
}

CASES |= {
    DeletedObject: ("<Key>a</Key><VersionId>null</VersionId>", {"key": "a", "version_id": "null"}),
    Delete: (
        "<Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object>",
        {"quiet": True, "objects": [{"key": "a"}, {"key": "b"}]},
    ),
    DeleteError: (
        "<Key>a</Key><VersionId>7</VersionId><Code>NoSuchVersion</Code><Message>m</Message>",
        {"key": "a", "version_id": "7", "code": "NoSuchVersion", "message": "m"},
    ),
    DeleteResult: (
        "<Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code><Message>m</Message></Error>",
        {"deleted": [{"key": "a"}], "error": [{"key": "b", "code": "AccessDenied", "message": "m"}]},
    ),
    CopyResult: (
        '<ETag>"5e"</ETag><LastModified>2026-05-01T02:00:00.000Z</LastModified><CRC64>7</CRC64>',
        {"e_tag": '"5e"', "last_modified": "2026-05-01T02:00:00.000Z", "crc64": "7"},
    ),
    InitiateMultipartUploadResult: (
        "<Bucket>clips-1250000000</Bucket><Key>in/a.mp4</Key><UploadId>u1</UploadId>",
        {"bucket": "clips-1250000000", "key": "in/a.mp4", "upload_id": "u1"},
    ),
    Part: (
        (
            "<PartNumber>2</PartNumber><LastModified>2026-05-01T02:00:00.000Z</LastModified>"
            '<ETag>"e1f0"</ETag><Size>10</Size>'
        ),
        {"part_number": 2, "last_modified": "2026-05-01T02:00:00.000Z", "e_tag": '"e1f0"', "size": 10},
    ),
    CompleteMultipartUpload: (
        (
            '<Part><PartNumber>1</PartNumber><ETag>"95ab"</ETag></Part>'
            '<Part><PartNumber>2</PartNumber><ETag>"e1f0"</ETag></Part>'
        ),
        {"part": [{"part_number": 1, "e_tag": '"95ab"'}, {"part_number": 2, "e_tag": '"e1f0"'}]},
    ),
    CompleteMultipartUploadResult: (
        '<Location>http://h/in/a.mp4</Location><Bucket>b-1</Bucket><Key>in/a.mp4</Key><ETag>"5e-2"</ETag>',
        {"location": "http://h/in/a.mp4", "bucket": "b-1", "key": "in/a.mp4", "e_tag": '"5e-2"'},
    ),
    ListPartsResult: (
        (
            "<Bucket>b-1</Bucket><Encoding-type>url</Encoding-type><Key>in%2Fa.mp4</Key><UploadId>u1</UploadId>"
            "<Initiator><ID>1</ID></Initiator><Owner><ID>1</ID></Owner><PartNumberMarker>0</PartNumberMarker>"
            "<NextPartNumberMarker>1</NextPartNumberMarker><StorageClass>STANDARD</StorageClass><MaxParts>1</MaxParts>"
            '<IsTruncated>true</IsTruncated><Part><PartNumber>1</PartNumber><ETag>"95ab"</ETag></Part>'
        ),
        {
            "bucket": "b-1",
            "encoding_type": "url",
            "key": "in%2Fa.mp4",
            "upload_id": "u1",
            "initiator": {"id": "1"},
            "owner": {"id": "1"},
            "part_number_marker": 0,
            "next_part_number_marker": 1,
            "storage_class": "STANDARD",
            "max_parts": 1,
            "is_truncated": True,
            "part": [{"part_number": 1, "e_tag": '"95ab"'}],
        },
    ),
    UploadEntry: (
        (
            "<Key>in/a.mp4</Key><UploadId>u1</UploadId><StorageClass>STANDARD</StorageClass><Initiator><ID>1</ID></Initiator>"
            "<Owner><ID>1</ID></Owner><Initiated>2026-05-01T02:00:00.000Z</Initiated>"
        ),
        {
            "key": "in/a.mp4",
            "upload_id": "u1",
            "storage_class": "STANDARD",
            "initiator": {"id": "1"},
            "owner": {"id": "1"},
            "initiated": "2026-05-01T02:00:00.000Z",
        },
    ),
    ListMultipartUploadsResult: (
        (
            "<Bucket>b-1</Bucket><Encoding-Type>url</Encoding-Type><KeyMarker>a</KeyMarker><UploadIdMarker>u0</UploadIdMarker>"
            "<MaxUploads>1</MaxUploads><IsTruncated>true</IsTruncated><Prefix>in%2F</Prefix><Delimiter>%2F</Delimiter>"
            "<NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker>"
            "<Upload><Key>b</Key><UploadId>u1</UploadId></Upload><CommonPrefixes><Prefix>in%2Fa%2F</Prefix></CommonPrefixes>"
        ),
        {
            "bucket": "b-1",
            "encoding_type": "url",
            "key_marker": "a",
            "upload_id_marker": "u0",
            "max_uploads": 1,
            "is_truncated": True,
            "prefix": "in%2F",
            "delimiter": "%2F",
            "next_key_marker": "b",
            "next_upload_id_marker": "u1",
            "upload": [{"key": "b", "upload_id": "u1"}],
            "common_prefixes": [{"prefix": "in%2Fa%2F"}],
        },
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


def test_an_empty_listing() -> None:
    body = b"<ListBucketResult><Name>b-1</Name><Prefix/><Marker/><MaxKeys>1000</MaxKeys></ListBucketResult>"
    listing = xml.read(ListBucketResult, body, "ListBucketResult")
    assert listing.contents is None
    assert listing.is_truncated is False


def test_an_error_document_without_anything_is_still_one() -> None:
    assert xml.read(ErrorDocument, b"<Error/>", "Error").code == "InternalError"
