"""Listings and error documents, reference/cos-objects.md §8 and §11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.objects import CommonPrefix, Contents, ErrorDocument, ListBucketResult, Owner

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
