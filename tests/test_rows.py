from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ManifestError
from reconciler.rows import parse_rows
from tests.resolving import refusal, shown


@pytest.mark.parametrize(
    ("name", "text", "values", "lines"),
    [
        ("a.csv", "id,n\n001,2\n", [{"id": "001", "n": "2"}], [2]),
        ("a.CSV", "\ufeffid\r\n1\r\n\r\n2\r\n", [{"id": "1"}, {"id": "2"}], [2, 4]),
        ("a.csv", 'id,t\n1,"a,""b""\nc"\n2,x\n', [{"id": "1", "t": 'a,"b"\nc'}, {"id": "2", "t": "x"}], [2, 4]),
        ("a.csv", "id,n\n", [], []),
        ("a.json", '[{"id": 1}, 2]', [{"id": 1}, 2], []),
        ("a.json", '{"a": 1}', {"a": 1}, []),
        ("a.jsonl", '{"id": 1}\n\n{"id": 2}\n', [{"id": 1}, {"id": 2}], [1, 3]),
        ("a.ndjson", '"x"\r\n"y"', ["x", "y"], [1, 2]),
        ("a.yaml", "- {id: 001}\n- no\n", [{"id": 1}, "no"], []),
        ("a.yml", "a: 12:30:45\n", {"a": "12:30:45"}, []),
    ],
)
def test_rows(name: str, text: str, values: object, lines: list[int]) -> None:
    rows = parse_rows(text, name)
    assert (rows.values, list(rows.lines)) == (values, lines)


def test_rows_are_named_by_line_where_they_have_one() -> None:
    assert parse_rows("id\n1\n", "data/a.csv").where(0) == "line 2 of data/a.csv"
    assert parse_rows("[1, 2]", "data/a.json").where(1) == "row 2 of data/a.json"


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
        parse_rows(text, name)
    assert shown(caught.value.diagnostics[0]).startswith(f"error: {message}")


@given(st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.yaml"]), st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    refusal(lambda: parse_rows(text, name))


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), max_size=5))
def test_what_the_csv_module_writes_is_read(cells: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    writer: Any = csv.writer(file)
    writer.writerows([("a", "b"), *cells])
    rows = parse_rows(file.getvalue(), "a.csv")
    assert rows.values == [{"a": a, "b": b} for a, b in cells]
