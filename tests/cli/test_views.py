"""What people read, and documents that programs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli import views
from reconciler.diagnostics import Diagnostic, Position


def plain(text: str) -> str:
    return click.unstyle(text)


def test_a_problem_quotes_the_line_and_points_at_it() -> None:
    problem = Diagnostic(
        "error",
        "`widht` is not a key of this node",
        Position("manifests/a.yaml", 12, 9),
        "        widht: 640",
        "did you mean `width`?",
        'lesson["1"]',
    )
    assert plain(views.diagnostics_text([problem])) == (
        "error: `widht` is not a key of this node\n"
        '   --> manifests/a.yaml:12:9 (lesson["1"])\n'
        "   |\n"
        "12 |         widht: 640\n"
        "   |         ^ did you mean `width`?\n"
    )


def test_a_problem_without_a_place_or_a_line_is_still_whole() -> None:
    problems = [
        Diagnostic("error", "no place", advice="do this"),
        Diagnostic("warning", "no line", Position("a.yaml", 3, 1), advice="do that"),
    ]
    assert plain(views.diagnostics_text(problems)) == (
        "error: no place\n  → do this\n\nwarning: no line\n  --> a.yaml:3:1\n  → do that\n"
    )


def test_a_very_long_line_is_cut_around_the_place() -> None:
    text = "a" * 500 + "HERE" + "b" * 500
    shown = plain(views.diagnostics_text([Diagnostic("error", "x", Position("a", 1, 501), text)])).splitlines()
    quoted, caret = shown[3], shown[4]
    assert len(quoted) < 110
    assert quoted[caret.index("^") :].startswith("HERE")


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 1024**2, "5.0 MiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert views.size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3661, "1 h 01 min"), (90000, "1 d 1 h")],
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    assert views.seconds_text(seconds) == text


def test_a_table_is_aligned() -> None:
    assert plain(views.table(("A", "LONGER"), [("aaaa", "b"), ("c", "d")])) == "A     LONGER\naaaa  b\nc     d"


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_json = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.dictionaries(st.text(), _json, max_size=5))
def test_pieces_are_the_document_as_it_is_written_whole(document: dict[str, Any]) -> None:
    streamed = {key: iter(value) if isinstance(value, list) else value for key, value in document.items()}
    assert "".join(views.json_pieces(streamed)) == views.json_text(document) + "\n"


def test_a_list_is_read_only_as_far_as_it_is_written() -> None:
    read: list[int] = []

    def rows() -> Iterator[dict[str, object]]:
        for number in range(10_000):
            read.append(number)
            yield {"number": number, "text": "x" * 100}

    pieces = views.json_pieces({"format": "f/1", "rows": rows(), "end": []})
    first = next(pieces)
    assert len(read) < 1_000
    assert max(map(len, pieces)) < 2 * len(first)
    assert len(read) == 10_000


def test_pieces_of_a_document_are_json() -> None:
    document = {"rows": iter([{"a": [1, {"b": ()}]}]), "none": iter(())}
    assert json.loads("".join(views.json_pieces(document))) == {"rows": [{"a": [1, {"b": []}]}], "none": []}
