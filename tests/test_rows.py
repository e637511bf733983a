from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostics import Position
from reconciler.errors import ManifestError
from reconciler.rows import MAX_PROBLEMS, parse_rows, read_rows
from tests.resolving import refusal, shown


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.csv", "id,n\n001,2\n", [(2, {"id": "001", "n": "2"})]),
        ("a.CSV", "\ufeffid\r\n1\r\n\r\n2\r\n", [(2, {"id": "1"}), (4, {"id": "2"})]),
        ("a.csv", 'id,t\n1,"a,""b""\nc"\n2,x\n', [(2, {"id": "1", "t": 'a,"b"\nc'}), (4, {"id": "2", "t": "x"})]),
        ("a.csv", "id,n\n", []),
        ("a.json", '[{"id": 1}, 2]', [(1, {"id": 1}), (2, 2)]),
        ("a.json", '{"a": 1}', [(1, {"key": "a", "value": 1})]),
        ("a.jsonl", '{"id": 1}\n\n{"id": 2}\n', [(1, {"id": 1}), (3, {"id": 2})]),
        ("a.ndjson", '"x"\r\n"y"', [(1, "x"), (2, "y")]),
        ("a.yaml", "- {id: 001}\n- no\n", [(1, {"id": 1}), (2, "no")]),
        ("a.yml", "a: 12:30:45\n", [(1, {"key": "a", "value": "12:30:45"})]),
    ],
)
def test_rows(name: str, text: str, rows: list[tuple[int, object]]) -> None:
    assert list(parse_rows(text, name).walk()) == rows


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("data/a.csv", "id\n\n1\n2\n", ["line 3 of data/a.csv", "line 4 of data/a.csv"]),
        ("data/a.jsonl", '"a"\n\n"b"\n', ["line 1 of data/a.jsonl", "line 3 of data/a.jsonl"]),
        ("data/a.yaml", "# rows\n- 1\n\n- {id: 2}\n", ["line 2 of data/a.yaml", "line 4 of data/a.yaml"]),
        ("data/a.yaml", "a: 1\nb:\n  - 2\n", ["line 1 of data/a.yaml", "line 2 of data/a.yaml"]),
        ("data/a.json", "[1,\n 2]", ["row 1 of data/a.json", "row 2 of data/a.json"]),
    ],
)
def test_rows_are_named_by_line_where_they_have_one(name: str, text: str, where: list[str]) -> None:
    rows = parse_rows(text, name)
    assert [rows.where(number) for number, _ in rows.walk()] == where


class Counted(io.BytesIO):
    """A file that knows how much of it was asked for."""

    asked = 0

    def read1(self, size: int | None = -1, /) -> bytes:
        found = super().read1(size if size is not None else -1)
        self.asked += len(found)
        return found


@pytest.mark.parametrize(("name", "line"), [("a.csv", b"7,8\n"), ("a.jsonl", b'{"id": 7}\n')])
def test_long_files_are_read_as_far_as_they_are_walked_through(name: str, line: bytes) -> None:
    file = Counted(b"id,n\n" * (name == "a.csv") + line * 200_000)
    rows = read_rows(lambda: file, name).walk()
    next(rows)
    assert 0 < file.asked < 100_000


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.yaml"])
def test_what_is_not_utf_8_is_named_with_its_place(name: str) -> None:
    text = b'"id"\n' * 50_000 + b'"\xc3\xa9\xff"\n"x"\n'
    with pytest.raises(ManifestError) as caught:
        list(read_rows(lambda: io.BytesIO(text), name).walk())
    (problem,) = caught.value.diagnostics
    assert problem.summary == "byte 0xff is not UTF-8"
    assert problem.position == Position(name, 50_001, 3)


def test_rows_that_do_not_fit_the_header_are_named_up_to_a_limit() -> None:
    with pytest.raises(ManifestError) as caught:
        list(parse_rows("id\n" + "1,2\n" * (MAX_PROBLEMS + 2), "a.csv").walk())
    found = caught.value.diagnostics
    assert [problem.position for problem in found[:2]] == [Position("a.csv", 2), Position("a.csv", 3)]
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].summary == "2 more rows have another number of cells than the header"


def test_rows_can_be_walked_through_again() -> None:
    rows = parse_rows("id\n1\n2\n", "a.csv")
    assert list(rows.walk()) == list(rows.walk())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "the file is empty\n  --> a.csv:1:1"),
        ("a.csv", "id,,x\n", "column 2 has no name\n  --> a.csv:1:1\n   | id,,x"),
        ("a.csv", "id,id\n", "the column `id` is there twice\n  --> a.csv:1:1"),
        ("a.csv", 'id\n"x\n', "not valid CSV: unexpected end of data\n  --> a.csv:2:1"),
        ("a.csv", 'id\n"x"y\n', "not valid CSV: ',' expected after '\"'\n  --> a.csv:2:1"),
        ("a.csv", "id\n1\n" + "x" * 200_000, "not valid CSV: field larger than field limit (131072)\n  --> a.csv:3:1"),
        ("a.csv", "id\n1,2\n", "2 cells where the header has 1\n  --> a.csv:2:1\n   | 1,2"),
        ("a.json", "[1,", "not valid JSON: Expecting value\n  --> a.json:1:4"),
        ("a.json", "3", "the file holds no rows\n  --> a.json:1:1"),
        ("a.json", '{"a": 1, "a": 2}', "the key `a` is there twice\n  --> a.json:1:1"),
        ("a.json", "[" * 100_000, "not usable JSON: nested too deeply\n  --> a.json:1:1"),
        ("a.json", "[" + "1" * 5000 + "]", "not usable JSON: a number is too long\n  --> a.json:1:1"),
        ("a.jsonl", '{"a": 1}\nx\n', "not valid JSON: Expecting value\n  --> a.jsonl:2:1\n   | x"),
        ("a.yaml", "a: [", "not valid YAML: did not find expected node content\n  --> a.yaml:1:5"),
        ("a.yaml", "", "the file holds no rows\n  --> a.yaml:1:1"),
        ("a.txt", "x", "not a row file\n  --> a.txt:1:1"),
    ],
)
def test_what_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        list(parse_rows(text, name).walk())
    assert shown(caught.value.diagnostics[0]).startswith(f"error: {message}")


@given(st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.yaml"]), st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    refusal(lambda: list(parse_rows(text, name).walk()))


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), max_size=5))
def test_what_the_csv_module_writes_is_read(cells: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    writer: Any = csv.writer(file)
    writer.writerows([("a", "b"), *cells])
    rows = parse_rows(file.getvalue(), "a.csv")
    assert [row for _, row in rows.walk()] == [{"a": a, "b": b} for a, b in cells]
