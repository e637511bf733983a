from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.service.database import Database
from reconciler.service.index import Attributes, Facts, ObjectIndex, ObjectInfo, Stamp

STAMP = Stamp(3, 1_780_000_000_000_000_000, 7)
FACTS = Facts("0" * 32 + "-2", str(2**64 - 1), Attributes("video/mp4", {"x-cos-meta-a": "é"}))


def test_what_is_remembered_is_told_for_a_range_of_keys() -> None:
    database = Database.in_memory()
    index = ObjectIndex(database)
    index.remember("b-1", [ObjectInfo.of(key, STAMP, FACTS) for key in ("é", "a", "z", "b", "b/c")])
    index.remember("b-2", [ObjectInfo.of("b", STAMP, FACTS)])
    assert index.between("b-1", "b", "é") == [ObjectInfo.of(key, STAMP, FACTS) for key in ("b", "b/c", "z", "é")]
    assert index.between("b-2", "a", "z") == [ObjectInfo.of("b", STAMP, FACTS)]
    database.close()


def test_a_later_fact_replaces_an_earlier_one_and_can_be_forgotten() -> None:
    database = Database.in_memory()
    index = ObjectIndex(database)
    index.remember("b-1", [ObjectInfo.of("a", STAMP, FACTS)])
    later = ObjectInfo.of("a", Stamp(4, 5, 6), Facts("1" * 32, "0"))
    index.remember("b-1", [later])
    assert index.between("b-1", "a", "a") == [later]
    index.forget("b-1", ["a", "none"])
    assert index.between("b-1", "a", "a") == []
    database.close()


def test_temporary_files_are_noted_until_they_are_gone() -> None:
    database = Database.in_memory()
    index = ObjectIndex(database)
    index.begin_partial("b-1", "in/x")
    index.begin_partial("b-1", "in/y")
    index.end_partial("b-1", "in/x")
    assert index.partials() == [("b-1", "in/y")]
    database.close()


def test_a_stamp_tells_a_replaced_file_of_the_same_size_and_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        path.write_bytes(b"abc")
        os.utime(path, ns=(5, 5))
    assert Stamp.of(first.stat()) != Stamp.of(second.stat())
    assert Stamp.of(first.stat()) == Stamp.of(first.stat())


@pytest.mark.parametrize(
    ("info", "content_type"),
    [
        (ObjectInfo.of("a.mp4", STAMP, Facts("0" * 32, "0", Attributes("text/x"))), "text/x"),
        (ObjectInfo.of("a.mp4", STAMP, Facts("0" * 32, "0")), "video/mp4"),
        (ObjectInfo.of("a", STAMP, Facts("0" * 32, "0")), "application/octet-stream"),
    ],
)
def test_the_type_of_an_object(info: ObjectInfo, content_type: str) -> None:
    assert info.content_type == content_type


def test_the_usual_storage_class_is_not_named() -> None:
    assert Attributes().storage_class == "STANDARD"
    assert Attributes(None, {"x-cos-storage-class": "ARCHIVE"}).storage_class == "ARCHIVE"


def test_an_object_is_told_as_it_was_said() -> None:
    info = ObjectInfo.of("a", STAMP, FACTS)
    assert (info.etag, info.crc64, info.attributes) == FACTS
    assert (info.size, info.modified, info.storage_class) == (3, 1_780_000_000, "STANDARD")
    assert info.is_still(STAMP)
    assert not info.is_still(STAMP._replace(inode=8))
    archived = ObjectInfo.of("a", STAMP, Facts("0" * 32, "0", Attributes(None, {"x-cos-storage-class": "ARCHIVE"})))
    assert archived.storage_class == "ARCHIVE"


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        (Facts("0" * 32, "0"), True),
        (Facts("0" * 32 + "-1", "0"), False),
        (Facts("0" * 32, "0", Attributes("text/x")), False),
        (Facts("0" * 32, "0", Attributes(None, {"expires": "0"})), False),
    ],
)
def test_what_a_file_would_tell_again(facts: Facts, answer: bool) -> None:
    assert facts.are_those_of_the_file == answer
