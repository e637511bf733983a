from __future__ import annotations

import pytest

from reconciler.service.conditions import byte_range, check_source, not_modified
from reconciler.service.dates import http_date
from reconciler.service.refused import RefusedError

ETAG = "5eb63bbbe01eeed093cb22bb8f5acdc3"
NOW = 1_780_000_000
EARLIER, LATER = http_date(NOW - 60), http_date(NOW + 60)

RANGES: dict[str, range | None] = {
    "bytes=0-0": range(1),
    "bytes=2-4": range(2, 5),
    "bytes=2-": range(2, 10),
    "bytes=-3": range(7, 10),
    "bytes=-30": range(10),
    "bytes=8-100": range(8, 10),
    "bytes=4-2": None,
    "bytes=-": None,
    "bytes=0-1,3-4": None,
    "bytes=a-b": None,
    "lines=1-2": None,
    "bytes=0-" + "9" * 40: None,
    "": None,
}


@pytest.mark.parametrize("header", RANGES)
def test_ranges(header: str) -> None:
    assert byte_range({"range": header}, ETAG, NOW, 10) == RANGES[header]


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_without_bytes_is_refused(header: str, size: int) -> None:
    with pytest.raises(RefusedError, match=f"InvalidRange: the object has {size} bytes"):
        byte_range({"range": header}, ETAG, NOW, size)


@pytest.mark.parametrize(
    ("validator", "kept"),
    [
        (f'"{ETAG}"', True),
        ('"other"', False),
        (f'W/"{ETAG}"', False),
        (http_date(NOW), True),
        (EARLIER, False),
        (LATER, False),
        ("", False),
    ],
)
def test_a_range_of_another_content_is_the_whole_object(validator: str, kept: bool) -> None:
    assert (byte_range({"range": "bytes=0-1", "if-range": validator}, ETAG, NOW, 10) is not None) == kept


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, False),
        ({"if-match": f'"{ETAG}"'}, False),
        ({"if-match": "*"}, False),
        ({"if-none-match": f'"{ETAG}"'}, True),
        ({"if-none-match": f'"x", W/"{ETAG}"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, False),
        ({"if-modified-since": LATER}, True),
        ({"if-modified-since": http_date(NOW)}, True),
        ({"if-modified-since": EARLIER}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-unmodified-since": LATER}, False),
        ({"if-match": f'"{ETAG}"', "if-unmodified-since": EARLIER}, False),
    ],
)
def test_not_modified(headers: dict[str, str], answer: bool) -> None:
    assert not_modified(headers, ETAG, NOW) == answer


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"if-match": '"other"'}, "If-Match: the object has another ETag"),
        ({"if-match": f'W/"{ETAG}"'}, "If-Match: the object has another ETag"),
        ({"if-match": '"other"', "if-none-match": f'"{ETAG}"'}, "If-Match"),
        ({"if-unmodified-since": EARLIER}, "If-Unmodified-Since: the object was modified later"),
    ],
)
def test_a_precondition_that_does_not_hold_is_refused(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        not_modified(headers, ETAG, NOW)
    assert caught.value.code == "PreconditionFailed"


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"match": f'"{ETAG}"'}, True),
        ({"match": '"other"'}, False),
        ({"none-match": '"other"'}, True),
        ({"none-match": f'"{ETAG}"'}, False),
        ({"modified-since": EARLIER}, True),
        ({"modified-since": LATER}, False),
        ({"unmodified-since": LATER}, True),
        ({"unmodified-since": EARLIER}, False),
        ({"match": f'"{ETAG}"', "unmodified-since": EARLIER}, True),
        ({"none-match": '"other"', "modified-since": LATER}, True),
    ],
)
def test_conditions_on_the_source_of_a_copy(conditions: dict[str, str], holds: bool) -> None:
    headers = {f"x-cos-copy-source-if-{name}": value for name, value in conditions.items()}
    if holds:
        check_source({**headers, "if-match": '"of the call itself, which has no meaning"'}, ETAG, NOW)
        return
    with pytest.raises(RefusedError, match="x-cos-copy-source-If-") as caught:
        check_source(headers, ETAG, NOW)
    assert caught.value.code == "PreconditionFailed"
    assert any(name in caught.value.message.lower() for name in headers)
