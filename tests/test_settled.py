"""The quick look: what it calls up to date is, and whatever it cannot tell is looked at closer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.settled import Settled
from reconciler.state import ObservedState, StoredObject, Submission
from tests.factory import output, record

OUTPUT = output("a", "in/x.mp4", "in/y.mp4")
RECORD = record(OUTPUT, {"in/x.mp4": "1", "in/y.mp4": "2"}, size=5)
OBJECTS = {"in/x.mp4": StoredObject("1", 9), "in/y.mp4": StoredObject("2", 9), "out/a.mp4": StoredObject("made", 5)}
BEGUN = Submission("a", "token", "2:x", "out/a.mp4", {}, {}, "2026-05-01T10:00:00+00:00")


@pytest.mark.parametrize("refreshed", [True, False])
def test_what_is_as_it_was_made_is_settled(refreshed: bool) -> None:
    objects = OBJECTS if refreshed else {}
    assert Settled(ObservedState(objects, {"a": RECORD}, refreshed=refreshed), ())(OUTPUT)


@pytest.mark.parametrize(
    ("world", "declared"),
    [
        ({"records": {}}, {}),
        ({"pending": {"a": BEGUN}}, {}),
        ({}, {"object": "out/b.mp4"}),
        ({}, {"protect": True}),
        ({}, {"ignore_changes": ("object",)}),
        ({}, {"request": output("a", "in/x.mp4", "in/y.mp4", video={"crf": 30}).request}),
        ({"records": {"a": replace(RECORD, fingerprint="1:other")}}, {}),
    ],
)
@pytest.mark.parametrize("refreshed", [True, False])
def test_anything_else_takes_a_closer_look(
    world: Mapping[str, Any], declared: Mapping[str, Any], refreshed: bool
) -> None:
    observed = ObservedState(**{"objects": OBJECTS, "records": {"a": RECORD}, "refreshed": refreshed, **world})
    assert not Settled(observed, ())(replace(OUTPUT, **declared))


@pytest.mark.parametrize(
    "changed",
    [
        {"out/a.mp4": None},
        {"out/a.mp4": StoredObject("other", 5)},
        {"out/a.mp4": StoredObject("made", 4)},
        {"in/x.mp4": None},
        {"in/x.mp4": StoredObject("3", 9)},
    ],
)
def test_an_object_that_changed_takes_one_too(changed: Mapping[str, StoredObject | None]) -> None:
    objects = {key: there for key, there in {**OBJECTS, **changed}.items() if there is not None}
    assert not Settled(ObservedState(objects, {"a": RECORD}), ())(OUTPUT)


def test_what_is_asked_for_takes_one_too() -> None:
    assert not Settled(ObservedState(OBJECTS, {"a": RECORD}), {"a"})(OUTPUT)
