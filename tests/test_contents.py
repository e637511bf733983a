"""Which object of the bucket has the same content, and what an object turns out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.contents import LARGEST_COPY, Contents
from reconciler.fingerprint import fingerprint
from reconciler.state import ObservedState, PastJob, StoredObject, request_keys
from tests.factory import output, record

MADE = output("a")
MARK = fingerprint(request_keys(MADE), {"in/a.mp4": "e"})
THERE = StoredObject("made", 5)
PAST = PastJob("j1", "Success", f"reconciler:{MARK}:0", MARK, "out/a.mp4", "out/a.mp4", md5="made", size=5)


def is_marked(mark: str) -> bool:
    return mark == MARK


def contents(
    *,
    records: Mapping[str, Any] | None = None,
    objects: Mapping[str, StoredObject] | None = None,
    past: tuple[PastJob, ...] = (),
) -> Contents:
    there = {"out/a.mp4": THERE} if objects is None else objects
    return Contents(ObservedState(objects=there, records=records or {}, history=past))


RECORDED = {"a": record(MADE, {"in/a.mp4": "e"})}
OTHER = {"a": record(MADE, {"in/a.mp4": "other"})}


@pytest.mark.parametrize(
    ("records", "objects", "past", "found"),
    [
        pytest.param(RECORDED, None, (), "out/a.mp4 (a)", id="recorded, and there"),
        pytest.param(RECORDED, {}, (), None, id="recorded, and gone"),
        pytest.param(RECORDED, {"out/a.mp4": StoredObject("other", 5)}, (), None, id="recorded, and changed since"),
        pytest.param(RECORDED, {"out/a.mp4": StoredObject("made", LARGEST_COPY + 1)}, (), None, id="too large"),
        pytest.param(OTHER, None, (), None, id="recorded with another content"),
        pytest.param({}, None, (PAST,), "out/a.mp4 (job j1)", id="a past job's"),
        pytest.param({}, {}, (PAST,), None, id="a past job's, and gone"),
        pytest.param({}, None, (replace(PAST, md5="other"),), None, id="a past job's, and changed since"),
        pytest.param({}, None, (replace(PAST, state="Failed"),), None, id="a past job failed"),
        pytest.param({}, None, (replace(PAST, state="Running"),), None, id="a past job still runs"),
        pytest.param({}, None, (replace(PAST, fingerprint="2:0"),), None, id="a past job made something else"),
        pytest.param({}, None, (replace(PAST, files=["out/0.ts"]),), None, id="it is not one object"),
        pytest.param(OTHER, None, (PAST,), "out/a.mp4 (job j1)", id="the record says otherwise, the job proves it"),
    ],
)
def test_what_can_be_copied(
    records: Mapping[str, Any], objects: Mapping[str, StoredObject] | None, past: tuple[PastJob, ...], found: str | None
) -> None:
    origin = contents(records=records, objects=objects, past=past).same(is_marked, MARK, but="out/b.mp4")
    assert (str(origin) if origin else None) == found


def test_nothing_is_copied_onto_itself() -> None:
    assert contents(records=RECORDED, past=(PAST,)).same(is_marked, MARK, but="out/a.mp4") is None


def test_of_equal_records_the_first_is_found() -> None:
    both = {name: record(MADE, {"in/a.mp4": "e"}) for name in ("b", "a", "c")}
    origin = contents(records=both).same(is_marked, MARK, but="out/b.mp4")
    assert origin is not None
    assert origin.address == "a"


PARTS = StoredObject("made-2", 5)


@pytest.mark.parametrize(
    ("past", "objects", "found"),
    [
        pytest.param((PAST,), None, "j1", id="its object is there"),
        pytest.param((PAST,), {}, None, id="its object is gone"),
        pytest.param((replace(PAST, md5="other"),), None, None, id="its object was changed"),
        pytest.param((replace(PAST, state="Running"),), {}, "j1", id="it is still at work"),
        pytest.param((replace(PAST, state="Failed"),), None, None, id="it failed"),
        pytest.param((replace(PAST, fingerprint="2:0"),), None, None, id="it made something else"),
        pytest.param((replace(PAST, declared="out/z.mp4", key="out/z.mp4"),), None, None, id="it made another key"),
        pytest.param((replace(PAST, job="j2"), PAST), None, "j2", id="the newest of two"),
        pytest.param((replace(PAST, md5=None),), {"out/a.mp4": PARTS}, "j1", id="stored in parts: its size tells"),
        pytest.param((replace(PAST, size=9),), {"out/a.mp4": PARTS}, None, id="stored in parts, of another size"),
        pytest.param(
            (replace(PAST, job="j2", fingerprint="2:0"), PAST),
            {"out/a.mp4": PARTS},
            None,
            id="stored in parts, and a later job wrote the key",
        ),
    ],
)
def test_which_past_job_made_a_key(
    past: tuple[PastJob, ...], objects: Mapping[str, StoredObject] | None, found: str | None
) -> None:
    job = contents(objects=objects, past=past).job_at(["out/a.mp4"], is_marked)
    assert (job.job if job else None) == found


@pytest.mark.parametrize(
    ("records", "past", "there", "found"),
    [
        pytest.param(RECORDED, (), StoredObject("made", 5), "out/a.mp4 (a)", id="a copy of what is recorded"),
        pytest.param({}, (PAST,), StoredObject("made", 5), "out/a.mp4 (job j1)", id="a copy of what a job made"),
        pytest.param(RECORDED, (PAST,), StoredObject("other", 5), None, id="something else"),
        pytest.param(RECORDED, (PAST,), StoredObject("made-2", 5), None, id="stored in parts: no digest"),
        pytest.param(OTHER, (), StoredObject("made", 5), None, id="the same digest, another content"),
    ],
)
def test_what_an_object_is_a_copy_of(
    records: Mapping[str, Any], past: tuple[PastJob, ...], there: StoredObject, found: str | None
) -> None:
    origin = contents(records=records, past=past).held(there, is_marked)
    assert (str(origin) if origin else None) == found


@pytest.mark.parametrize(
    ("records", "past", "etag", "maker"),
    [
        pytest.param(OTHER, (), "made", "a", id="a copy of what is recorded, whatever it shows"),
        pytest.param({}, (PAST,), "made", "job j1", id="what a job made"),
        pytest.param(OTHER, (PAST,), "other", None, id="a stranger's"),
    ],
)
def test_whose_an_object_is_that_nobody_recorded(
    records: Mapping[str, Any], past: tuple[PastJob, ...], etag: str, maker: str | None
) -> None:
    assert contents(records=records, past=past).maker(StoredObject(etag, 5)) == maker
