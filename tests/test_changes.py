"""Differences are named as a person would name them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.changes import Change, changes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": "1"}, {"a": 1}, [("a", "1", 1)]),
        ({}, {"a": 2}, [("a", None, 2)]),
        ({"a": 2}, {}, [("a", 2, None)]),
        ({}, {"a": {"b": 1, "c": [{"d": 2}]}}, [("a.b", None, 1), ("a.c[0].d", None, 2)]),
        ({"a": {"b": 1}}, {}, [("a.b", 1, None)]),
        ({"a": [{"x": 640}, {"x": 0}]}, {"a": [{"x": 700}, {"x": 0}]}, [("a[0].x", 640, 700)]),
        ({"a": [{"u": "p"}]}, {"a": [{"u": "p"}, {"u": "q", "x": 1}]}, [("a[1].u", None, "q"), ("a[1].x", None, 1)]),
        ({"a": True}, {"a": False}, [("a", True, False)]),
        ({"a": {"b": 1}}, {"a": 5}, [("a", {"b": 1}, 5)]),
    ],
)
def test_what_is_named(before: dict[str, Any], after: dict[str, Any], expected: list[tuple[str, Any, Any]]) -> None:
    assert changes(before, after) == tuple(Change(*change) for change in expected)


def without_empty(value: Any) -> Any:
    """Absent, null and empty nodes are one thing to the API."""
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := without_empty(item)) not in (None, {}, [])}
    if isinstance(value, list):
        return [without_empty(item) for item in value]
    return value


@given(
    st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)
)
def test_nothing_is_named_exactly_when_nothing_differs(before: dict[str, Any], after: dict[str, Any]) -> None:
    before, after = without_empty(before), without_empty(after)
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (changes(before, after) == ()) is same
