"""Advice names what is near, and says nothing when nothing is."""

from __future__ import annotations

import pytest

from reconciler.diagnostics import Position, did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "advice"),
    [
        ("widht", ["width", "height", "x"], "did you mean `width`?"),
        ("splice", ["splice_info", "slice"], "did you mean `slice` or `splice_info`?"),
        ("zzz", ["width"], None),
        ("width", [], None),
    ],
)
def test_did_you_mean(word: str, known: list[str], advice: str | None) -> None:
    assert did_you_mean(word, known) == advice


def test_positions_are_in_reading_order() -> None:
    assert sorted([Position("b", 1), Position("a", 9), Position("a", 2, 5), Position("a", 2)]) == [
        Position("a", 2),
        Position("a", 2, 5),
        Position("a", 9),
        Position("b", 1),
    ]
