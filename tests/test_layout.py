from __future__ import annotations

import re
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError
from reconciler.layout import Layouts
from tests.resolving import TEMPLATES, layouts, refusal, shown

SIZES = [(128, 128), (640, 360), (1280, 720), (1280, 960), (1920, 1080), (1080, 1920), (130, 4094), (4096, 2160)]
LAYOUTS = Layouts(layouts())

Rectangle = tuple[int, int, int, int]


def expand(
    name: str, size: tuple[int, int], parameters: dict[str, Any], own: dict[str, str] | None = None
) -> list[Any]:
    names = {"canvas": {"width": size[0], "height": size[1]}, "vars": {}, "each": {}, **parameters}
    return (LAYOUTS if own is None else Layouts(layouts(own))).get(name).expand(names, "race")


def rectangles(name: str, size: tuple[int, int], parameters: dict[str, Any]) -> list[Rectangle]:
    return [(item["x"], item["y"], item["width"], item["height"]) for item in expand(name, size, parameters)]


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


PLACEMENTS: list[tuple[str, dict[str, Any], tuple[int, int], list[Rectangle]]] = [
    ("side-by-side", {"left": "a", "right": "b"}, (1280, 720), [(0, 0, 640, 720), (640, 0, 640, 720)]),
    ("side-by-side", {"left": "a", "right": "b", "gap": 20}, (1280, 720), [(0, 0, 630, 720), (650, 0, 630, 720)]),
    ("side-by-side", {"left": "a", "right": "b", "share": 75}, (1280, 720), [(0, 0, 960, 720), (960, 0, 320, 720)]),
    ("side-by-side", {"left": "a", "right": "b"}, (130, 128), [(0, 0, 64, 128), (64, 0, 66, 128)]),
    ("stacked", {"top": "a", "bottom": "b"}, (720, 1280), [(0, 0, 720, 640), (0, 640, 720, 640)]),
    (
        "stacked",
        {"top": "a", "bottom": "b", "gap": 11, "share": 25},
        (720, 1290),
        [(0, 0, 720, 320), (0, 330, 720, 960)],
    ),
    ("picture-in-picture", {"main": "a", "inset": "b"}, (1280, 720), [(0, 0, 1280, 720), (936, 516, 320, 180)]),
    (
        "picture-in-picture",
        {"main": "a", "inset": "b", "corner": "top-left", "margin": 10, "size": 50},
        (1280, 720),
        [(0, 0, 1280, 720), (10, 10, 640, 360)],
    ),
    (
        "picture-in-picture",
        {"main": "a", "inset": "b", "corner": "top-right", "margin": 0},
        (1280, 720),
        [(0, 0, 1280, 720), (960, 0, 320, 180)],
    ),
    (
        "picture-in-picture",
        {"main": "a", "inset": "b", "corner": "bottom-left", "margin": 0},
        (1280, 720),
        [(0, 0, 1280, 720), (0, 540, 320, 180)],
    ),
    ("grid", {"sources": ["a"]}, (1280, 720), [(0, 0, 1280, 720)]),
    (
        "grid",
        {"sources": list("abcd")},
        (1280, 720),
        [(0, 0, 640, 360), (640, 0, 640, 360), (0, 360, 640, 360), (640, 360, 640, 360)],
    ),
    (
        "grid",
        {"sources": list("abc"), "gap": 8},
        (1280, 720),
        [(0, 0, 636, 356), (644, 0, 636, 356), (0, 364, 636, 356)],
    ),
    (
        "grid",
        {"sources": list("abc"), "columns": 1},
        (1280, 720),
        [(0, 0, 1280, 240), (0, 240, 1280, 240), (0, 480, 1280, 240)],
    ),
    (
        "grid",
        {"sources": list("abc"), "columns": 3},
        (1280, 720),
        [(0, 0, 426, 720), (426, 0, 426, 720), (852, 0, 428, 720)],
    ),
    ("grid", {"sources": []}, (1280, 720), []),
    (
        "presenter",
        {"main": "a", "others": ["b", "c"]},
        (1280, 720),
        [(0, 0, 960, 720), (960, 0, 320, 360), (960, 360, 320, 360)],
    ),
    (
        "presenter",
        {"main": "a", "others": ["b"], "side": "left", "share": 50, "gap": 4},
        (1280, 720),
        [(642, 0, 638, 720), (0, 0, 638, 720)],
    ),
    ("presenter", {"main": "a", "others": []}, (1280, 720), [(0, 0, 1280, 720)]),
]


@pytest.mark.parametrize(("name", "parameters", "size", "expected"), PLACEMENTS)
def test_placement(name: str, parameters: dict[str, Any], size: tuple[int, int], expected: list[Rectangle]) -> None:
    assert rectangles(name, size, parameters) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("side-by-side", {"left": "a", "right": "b", "gap": 7}),
        ("side-by-side", {"left": "a", "right": "b", "share": 33}),
        ("stacked", {"top": "a", "bottom": "b", "gap": 7, "share": 66}),
        ("grid", {"sources": list("abcdefg"), "gap": 3}),
        ("grid", {"sources": list("abcdefghij"), "columns": 3}),
        ("presenter", {"main": "a", "others": list("bcde"), "gap": 5}),
        ("presenter", {"main": "a", "others": list("bcd"), "side": "left", "share": 61}),
    ],
)
def test_every_rectangle_is_even_on_the_canvas_and_alone(
    name: str, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    found = rectangles(name, size, parameters)
    for index, (x, y, width, height) in enumerate(found):
        assert all(number % 2 == 0 for number in (x, y, width, height))
        assert x >= 0
        assert y >= 0
        assert 2 <= width <= size[0] - x
        assert 2 <= height <= size[1] - y
        assert not any(overlap((x, y, width, height), other) for other in found[index + 1 :])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_an_inset_keeps_its_margin(corner: str, size: tuple[int, int]) -> None:
    main, (x, y, width, height) = rectangles("picture-in-picture", size, {"main": "a", "inset": "b", "corner": corner})
    assert main == (0, 0, *size)
    assert all(number % 2 == 0 for number in (x, y, width, height))
    edge = size[0] // 50 // 2 * 2
    assert x == (edge if "left" in corner else size[0] - width - edge)
    assert y == (edge if "top" in corner else size[1] - height - edge)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_a_grid_reaches_every_edge(count: int, columns: int, gap: int) -> None:
    found = rectangles("grid", (1280, 720), {"sources": ["a"] * count, "columns": columns, "gap": gap})
    assert max(y + height for _, y, _, height in found) == 720
    assert count < columns or max(x + width for x, _, width, _ in found) == 1280


def test_sources_keep_what_else_they_say() -> None:
    left, right = expand(
        "side-by-side", (256, 128), {"left": {"output": "race"}, "right": {"url": "b: #1", "name": "b"}}
    )
    assert left == {"output": "race", "x": 0, "y": 0, "width": 128, "height": 128}
    assert right == {"url": "b: #1", "name": "b", "x": 128, "y": 0, "width": 128, "height": 128}


@given(st.text())
def test_any_key_survives_a_layout_or_is_refused(key: str) -> None:
    found: list[str] = []
    wrong = refusal(
        lambda: found.extend(i["url"] for i in expand("side-by-side", (256, 128), {"left": key, "right": "b"}))
    )
    assert found == [key, "b"] or wrong[0].summary.startswith(("the character U+", "not valid YAML"))


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.yaml.j2")), ids=lambda path: path.name)
def test_every_parameter_is_explained_in_the_layout(path: Any) -> None:
    parameters = LAYOUTS.get(path.name.removesuffix(".yaml.j2")).parameters
    header = path.read_text(encoding="utf-8").partition("#}")[0]
    assert parameters is not None
    for name in parameters - {"canvas"}:
        assert re.search(rf"(?m)^  ([a-z]+, )*{name}\b", header), name


def test_the_names_of_all_layouts_and_a_project_s_own_wins() -> None:
    found = Layouts(layouts({"grid": "- {url: own}\n", "mine": ""}))
    assert found.names() == ["grid", "mine", "picture-in-picture", "presenter", "side-by-side", "stacked"]
    assert found.get("grid").expand({}, "race") == [{"url": "own"}]
    assert found.get("grid") is found.get("grid")


OWN = {
    "plain": "- url: {{ a }}\n  width: {{ canvas.width // 2 }}\n- {url: b}\n",
    "json": '- {"url": "{{ a }}", "x": 1}\n\n- {"url": "b"}\n',
    "uses": "{% include 'part.yaml.j2' %}",
    "part": "- {url: {{ a }}}\n",
    "nothing": "{# nothing #}\n",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", [{"url": "k", "width": 640}, {"url": "b"}]),
        ("json", [{"url": "k", "x": 1}, {"url": "b"}]),
        ("uses", [{"url": "k"}]),
        ("nothing", []),
    ],
)
def test_layouts_of_one_s_own(name: str, expected: list[Any]) -> None:
    assert expand(name, (1280, 720), {"a": "k"}, OWN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- {url: a}\n- {url: {{ lfet }}}\n",
            "error: the layout needs `lfet` [race]\n  --> templates/own.yaml.j2:2:1\n   | - {url: {{ lfet }}}\n   | ^\n   = did you mean `left`?",
        ),
        (
            "\n  - {url: {{ canvas.widht }}}\n",
            "error: `canvas.widht` is not defined [race]\n  --> templates/own.yaml.j2:2:3\n   |   - {url: {{ canvas.widht }}}\n   |   ^\n   = did you mean `width`?",
        ),
        (
            "- {url: {{ needed }}}\n",
            "error: the layout needs `needed` [race]\n  --> templates/own.yaml.j2:1:1\n   | - {url: {{ needed }}}\n   | ^\n   = give it under `with`",
        ),
        (
            "{% for x in y %}\n- {url: a}\n",
            "error: not valid Jinja2: Unexpected end of template. Jinja was looking for the following tags: 'endfor' or 'else'. The innermost block that needs to be closed is 'for'",
        ),
        ("url: a\n", "error: the layout renders no list of sources [race]\n  --> templates/own.yaml.j2:1:1"),
        ("- a\n", "error: the layout renders no list of sources [race]"),
        (
            "- {url: a\n- {url: b}\n",
            "error: not valid YAML: did not find expected ',' or '}' [race]\n  --> templates/own.yaml.j2 (rendered):",
        ),
        (
            '- {"url": "a", "url": "b"}\n',
            "error: the key `url` is already there, in line 1 [race]\n  --> templates/own.yaml.j2 (rendered):1:16",
        ),
        ("- {{ 3 | place(0, 0, 2, 2) }}\n", "error: a source is a key, or a mapping with `url` or `output` [race]"),
        ("\n{{ fail('no') }}\n", "error: no [race]\n  --> templates/own.yaml.j2:2:1"),
        ("{{ ''.__class__ }}\n", "error: access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ 'x' * 10 ** 8 }}\n", "error: the product is too long [race]"),
    ],
)
def test_problems_are_located_in_the_layout(text: str, expected: str) -> None:
    known = {"left": "a"} if "needed" not in text else {}
    with pytest.raises(ManifestError) as caught:
        expand("own", (1280, 720), known, {"own": text})
    assert shown(caught.value.diagnostics[0]).startswith(expected)


def test_a_layout_that_is_not_there() -> None:
    with pytest.raises(ExpressionError) as caught:
        LAYOUTS.get("gird")
    assert (caught.value.summary, caught.value.advice) == ("there is no layout `gird`", "did you mean `grid`?")
    with pytest.raises(ExpressionError) as caught:
        LAYOUTS.get("../../etc/passwd")
    assert caught.value.summary == "there is no layout `../../etc/passwd`"


@pytest.mark.parametrize(
    ("name", "parameter", "problem"),
    [
        ("grid", "sources", None),
        ("grid", "source", ("the layout `grid` has no parameter `source`", "did you mean `sources`?")),
        ("grid", "zzz", ("the layout `grid` has no parameter `zzz`", "known: `columns`, `gap`, `sources`")),
        ("grid", "canvas", ("`canvas` is given to every layout and cannot be a parameter", "choose another name")),
        ("uses", "anything", None),
    ],
)
def test_parameters(name: str, parameter: str, problem: tuple[str, str] | None) -> None:
    assert Layouts(layouts(OWN)).get(name).parameter_problem(parameter) == problem


def test_there_is_no_way_out_of_the_loader() -> None:
    with pytest.raises(ManifestError, match="1 error"):
        expand("own", (2, 2), {}, {"own": "{% include '../pyproject.toml' %}"})
    assert isinstance(layouts().loader, jinja2.ChoiceLoader)


def test_rows_share_a_rendering_only_where_the_layout_does_not_look_at_their_keys() -> None:
    own = {
        "looks": "- {{ a | place(0, 0, canvas.width if a == 'x' else 2, 2) }}\n",
        "rows": "- {{ a | place(0, 0, each.w, 2) }}\n",
        "mixed": "- {{ a | place(0, 0, w, 2) }}\n- {url: fixed}\n- {{ {'url': b} | place(0, 0, w, 2) }}\n",
    }
    made = Layouts(layouts(own))

    def urls_and_widths(name: str, **names: Any) -> list[Any]:
        given = {"canvas": {"width": 8, "height": 8}, "vars": {}, "each": {}, **names}
        return [
            (item.get("url", item.get("output")), item.get("width")) for item in made.get(name).expand(given, "race")
        ]

    assert urls_and_widths("looks", a="x") == [("x", 8)]
    assert urls_and_widths("looks", a="y") == [("y", 2)]
    assert urls_and_widths("rows", a="x", each={"w": 4}) == [("x", 4)]
    assert urls_and_widths("rows", a="x", each={"w": 6}) == [("x", 6)]
    for a, b, w in (("x", "y", 2), ("y", "x", 2), ("x", "x", 4)):
        assert urls_and_widths("mixed", a=a, b=b, w=w) == [(a, w), ("fixed", None), (b, w)]
    assert urls_and_widths("mixed", a={"output": "race"}, b="y", w=2)[0] == ("race", 2)


@given(st.text(), st.text())
def test_a_shared_rendering_is_what_each_row_would_get(left: str, right: str) -> None:
    shared = Layouts(layouts()).get("side-by-side")
    names = {"canvas": {"width": 256, "height": 128}, "vars": {}, "each": {}}
    shared.expand({**names, "left": "a", "right": "b"}, "first")
    found = shared.expand({**names, "left": left, "right": right}, "second")
    assert [item["url"] for item in found] == [left, right]
    assert [item["x"] for item in found] == [0, 128]
