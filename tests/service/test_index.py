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
    index.remember("b-1", [ObjectInfo(key, STAMP, FACTS) for key in ("a", "b", "b/c", "é", "z")])
    index.remember("b-2", [ObjectInfo("b", STAMP, FACTS)])
    assert index.between("b-1", "b", "é") == {key: ObjectInfo(key, STAMP, FACTS) for key in ("b", "b/c", "z", "é")}
    assert index.between("b-2", "a", "z") == {"b": ObjectInfo("b", STAMP, FACTS)}
    database.close()


def test_a_later_fact_replaces_an_earlier_one_and_can_be_forgotten() -> None:
    database = Database.in_memory()
    index = ObjectIndex(database)
    index.remember("b-1", [ObjectInfo("a", STAMP, FACTS)])
    later = ObjectInfo("a", Stamp(4, 5, 6), Facts("1" * 32, "0"))
    index.remember("b-1", [later])
    assert index.between("b-1", "a", "a") == {"a": later}
    index.forget("b-1", ["a", "none"])
    assert index.between("b-1", "a", "a") == {}
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
        (ObjectInfo("a.mp4", STAMP, FACTS._replace(attributes=Attributes("text/x"))), "text/x"),
        (ObjectInfo("a.mp4", STAMP, Facts("0" * 32, "0")), "video/mp4"),
        (ObjectInfo("a", STAMP, Facts("0" * 32, "0")), "application/octet-stream"),
    ],
)
def test_the_type_of_an_object(info: ObjectInfo, content_type: str) -> None:
    assert info.content_type == content_type


def test_the_usual_storage_class_is_not_named() -> None:
    assert Attributes().storage_class == "STANDARD"
    assert Attributes(None, {"x-cos-storage-class": "ARCHIVE"}).storage_class == "ARCHIVE"
