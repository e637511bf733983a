from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.digest import Digest, Expected, crc64_of_parts, etag_of_parts
from reconciler.service.refused import RefusedError


def digest(*blocks: bytes) -> Digest:
    made = Digest()
    for block in blocks:
        made.update(block)
    return made


@pytest.mark.parametrize(
    ("content", "crc64"),
    [
        (b"", "0"),
        (b"123456789", "11051210869376104954"),
        (b"hello, synthesis", "5371956432961692090"),
        (b"ObjectContent", "2900061071848923409"),
    ],
)
def test_digests_are_those_of_the_reference(content: bytes, crc64: str) -> None:
    made = digest(content[:3], content[3:])
    assert (made.crc64, made.md5, made.size) == (crc64, hashlib.md5(content).hexdigest(), len(content))


def test_the_etag_of_parts_is_that_of_the_reference() -> None:
    parts = [digest(b"a" * 1_048_576), digest(b"b" * 10)]
    assert etag_of_parts([part.md5 for part in parts]) == "4075b7e9311da7fee8b3df13ccfc203c-2"


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_the_checksum_of_parts_is_that_of_the_whole(blocks: list[bytes]) -> None:
    parts = [digest(block) for block in blocks]
    assert crc64_of_parts((part.crc64, part.size) for part in parts) == digest(*blocks).crc64


def test_the_checksum_of_large_parts() -> None:
    first, second = b"a" * 3_000_001, b"b" * 1_048_576
    parts = [digest(first), digest(second), digest(second)]
    assert crc64_of_parts((part.crc64, part.size) for part in parts) == digest(first, second, second).crc64


@pytest.mark.parametrize(
    ("expected", "refusal"),
    [
        (Expected(), None),
        (Expected(hashlib.md5(b"content").hexdigest(), 7), None),
        (Expected(length=8), "IncompleteBody: 7 of 8 bytes came"),
        (Expected(md5="0" * 32), "BadDigest: Content-MD5 is not the digest of the body"),
        (Expected("0" * 32, 8), "IncompleteBody"),
    ],
)
def test_a_body_is_what_is_expected_or_refused(expected: Expected, refusal: str | None) -> None:
    if refusal is None:
        expected.check(digest(b"content"))
        return
    with pytest.raises(RefusedError, match=refusal):
        expected.check(digest(b"content"))
