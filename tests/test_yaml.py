from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.errors import ManifestError
from reconciler.yaml import MAX_DEPTH, Document, decode, excerpt, load, lookup, split_lines
from tests.resolving import refusal, shown


def data(text: str) -> Any:
    return load(text, "demo.yaml").data


def problem(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        load(text, "demo.yaml")
    (found,) = caught.value.diagnostics
    return shown(found)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("12:30:45", "12:30:45"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("NO", "NO"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("=", "="),
        ("50%", "50%"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1F", "-0x1F"),
        ("0X1F", "0X1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("_1", "_1"),
        ("3E0_05", "3E0_05"),
        ("+12", 12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("1.2.3", "1.2.3"),
        ("H.264", "H.264"),
        ("input/cam_01.mp4", "input/cam_01.mp4"),
        ("'12'", "12"),
        ('"\\u00e9"', "é"),
        ("你好", "你好"),
        ("output/${jobid}.${ext}", "output/${jobid}.${ext}"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: object) -> None:
    text = f"a: {scalar}\n"
    for found in (data(text)["a"], Document.composed("demo.yaml", text).data["a"]):
        assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\na: 1\n...\n", {"a": 1}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("\ufeffa: 1\r\nb: [2]\r\n", {"a": 1, "b": [2]}),
        ("a: {b: 1,\n  c: 2\n}\n", {"a": {"b": 1, "c": 2}}),
        ('a: "{{ x | upper }}"\n', {"a": "{{ x | upper }}"}),
        ("a: x!\n", {"a": "x!"}),
    ],
)
def test_documents(text: str, value: object) -> None:
    assert data(text) == value


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("a: !foo 1\n", "the tag `!foo` is not allowed"),
        ("a: !!str 1\n", "the tag `tag:yaml.org,2002:str` is not allowed"),
        ("a: *x\n", "the anchor `&x` does not exist"),
        ("a: &x [*x]\n", "`&x` contains itself"),
        ("? [a]\n: b\n", "a key must be a string"),
        ("a: &x b\n*x : c\n", "a key must be a string"),
        ("true: 1\n", "the key `true` is not a text"),
        ("? \n: 3\n", "the key `` is not a text"),
        ("{a: 1, a: 2}\n", "the key `a` is already there, in line 1"),
        ("a: 1\n'a': 2\n", "the key `a` is already there, in line 1"),
        ("a: " + "9" * 40 + "\n", "the number is too long"),
        ("a: " + "9" * 9000 + "\n", "the number is too long"),
        ("a: x\0\n", "the character U+0000 is not allowed"),
        ("a: x\u2028b\n", "the character U+2028 is not allowed"),
        ("a: \ud800\n", "the character U+D800 is not allowed"),
        ("%FOO\n---\na: 1\n", "not valid YAML: found unknown directive name"),
        ("a: 'x\n", "not valid YAML: found unexpected end of stream"),
        ("a: b: c\n", "not valid YAML: mapping values are not allowed in this context"),
        ("a: @x\n", "not valid YAML: found character that cannot start any token"),
        ("[" * 5000, f"nested more than {MAX_DEPTH} levels deep"),
        ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 2000)), f"nested more than {MAX_DEPTH} levels deep"),
        ("- " * 100_000 + "a\n", f"nested more than {MAX_DEPTH} levels deep"),
        ("-  " * 100_000 + "a\n", f"nested more than {MAX_DEPTH} levels deep"),
        ("- " * 3000 + "a\n", f"nested more than {MAX_DEPTH} levels deep"),
        ("a: [\n" + "x" * 1_000_000, "not valid YAML: did not find expected ',' or ']'"),
    ],
)
def test_what_is_refused(text: str, summary: str) -> None:
    assert problem(text).partition("\n")[0] == f"error: {summary}"


def test_aliases_do_not_grow_without_end() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert problem(bomb).startswith("error: the aliases stand for more than 100,000 nodes\n  --> demo.yaml:5:")


def test_a_problem_at_the_end_points_into_the_text() -> None:
    assert problem("a: 1\nb: [1,\n\n\n") == (
        "error: not valid YAML: did not find expected node content\n  --> demo.yaml:2:7\n   | b: [1,\n   |       ^"
    )


DOCUMENT = """\
# a comment
top:
  list:
    - {url: a.mp4, width: 640}
    - url: b.mp4
  "quoted": text
empty:
"""


@pytest.mark.parametrize(
    ("path", "on_key", "place"),
    [
        ((), False, (2, 1)),
        (("top",), True, (2, 1)),
        (("top",), False, (3, 3)),
        (("top", "list", 0, "width"), False, (4, 27)),
        (("top", "list", 0, "width"), True, (4, 20)),
        (("top", "list", 1), False, (5, 7)),
        (("top", "list", 1, "url"), False, (5, 12)),
        (("top", "list", 1, "height"), False, (5, 7)),
        (("top", "list", 2, "url"), False, (3, 3)),
        (("top", "quoted"), False, (6, 13)),
        (("top", "quoted", "deeper"), False, (6, 13)),
        (("top", "missing", "deeper"), False, (2, 1)),
        (("empty",), True, (7, 1)),
        (("nothing",), False, (2, 1)),
    ],
)
def test_positions(path: tuple[str | int, ...], on_key: bool, place: tuple[int, int]) -> None:
    position = load(DOCUMENT, "demo.yaml").position(path, on_key=on_key)
    assert (position.source, position.line, position.column) == ("demo.yaml", *place)


def test_positions_behind_an_alias_are_those_of_the_anchor() -> None:
    document = load("a: &x {b: 1}\nc: *x\n", "demo.yaml")
    assert document.position(("c", "b")).line == 1
    assert document.position(("c",), on_key=True).line == 2


def test_excerpts_show_what_cannot_be_seen() -> None:
    document = load("a: 1\n", "demo.yaml")
    position = document.position(("a",))
    assert excerpt(["\ta: \x07x"], position) == "→a: \N{REPLACEMENT CHARACTER}x"
    assert excerpt(["x" * 5000], position) == "x" * 2000
    assert excerpt([""], position) is None
    assert excerpt([], position) is None


def test_decode_takes_utf_8_with_or_without_a_mark() -> None:
    assert decode("\ufeffä".encode(), "x") == decode("ä".encode(), "x") == "ä"


def test_decode_points_at_the_first_byte_that_is_not_utf_8() -> None:
    with pytest.raises(ManifestError) as caught:
        decode("a: 1\nä: \xff\n".encode("latin-1"), "demo.yaml")
    assert shown(caught.value.diagnostics[0]) == (
        "error: byte 0xe4 is not UTF-8\n  --> demo.yaml:2:1\n"
        "   | \N{REPLACEMENT CHARACTER}: \N{REPLACEMENT CHARACTER}\n   | ^\n   = save the file as UTF-8"
    )


def test_lookup() -> None:
    tree = {"a": [{"b": 1}]}
    assert lookup(tree, ("a", 0, "b")) == 1
    assert lookup(tree, ("a", 1), "none") == "none"
    assert lookup(tree, ("a", -1), "none") == "none"
    assert lookup(tree, ("a", 0, "b", "c")) is None


@given(st.text(max_size=60))
@example("a: \x85")
@example("\t")
@example("{a:1}")
@example("- ? a")
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    read: list[Document] = []
    for problem in refusal(lambda: read.append(load(text, "demo.yaml"))):
        assert problem.position is not None
        assert 1 <= problem.position.line <= len(split_lines(text))
    for document in read:
        assert repr(Document.composed("demo.yaml", document.text).data) == repr(document.data)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    for problem in refusal(lambda: decode(content, "demo.yaml")):
        assert "is not UTF-8" in problem.summary


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**29), 10**29) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
    max_leaves=12,
)


@given(plain)
@settings(deadline=None)
def test_json_is_yaml(value: object) -> None:
    text = json.dumps(value, ensure_ascii=True)
    if "\\ud" not in text:  # YAML knows no surrogate pairs
        assert data(text) == value
