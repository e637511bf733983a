"""Plans as a pull request holds them, and as programs read them."""

from __future__ import annotations

import json
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.action import Action, Kind, Origin, Plan
from reconciler.changes import Change
from reconciler.cli import plan_documents as documents
from reconciler.cli.views import json_text
from reconciler.grouping import Step
from reconciler.plan_templates import TemplateAction
from tests.cli.plans import catalogue, plans


def action(kind: Kind, address: str = "a", **fields: object) -> Action:
    return Action(address, kind, f"why {kind}", f"out/{address}.mp4", **fields)  # type: ignore[arg-type]


COPY = Origin("out/b.mp4", "e", address="b")
UPDATED = TemplateAction(
    "transcode_template.hd", "update", "video.fps: 25 → 30", "Transcode", "hd", changes=(Change("video.fps", 25, 30),)
)
KEPT = TemplateAction("transcode_template.sd", "none", "up to date", "Transcode", "sd")


def document(plan: Plan, *, everything: bool = False) -> dict[str, object]:
    read: dict[str, object] = json.loads("".join(documents.plan_json(plan, everything=everything)))
    return read


# Markdown.


def test_a_small_plan_has_a_row_for_each_action() -> None:
    copied = Action("a", "reuse", f"not made yet; {COPY} has the same content", "out/a.mp4", origin=COPY)
    assert documents.plan_markdown(Plan((copied,), templates=(UPDATED, KEPT))).splitlines() == [
        "**Plan: 0 to create, 0 to replace, 0 to delete, 1 to reuse.**  ",
        "**Templates: 1 to update.**",
        "",
        "| Action | Output | Object | Why |",
        "| --- | --- | --- | --- |",
        "| update | `transcode_template.hd` | Transcode template | video.fps: 25 → 30 |",
        "| reuse | `a` | `out/a.mp4` | not made yet; out/b.mp4 (b) has the same content |",
    ]


def test_remarks_stand_under_the_totals() -> None:
    plan = Plan((action("none"),), upgrades={"a": "2:0"})
    assert documents.plan_markdown(plan) == (
        "**No changes. 1 output is up to date.**  \n"
        "1 record was digested by an earlier version and is unchanged; apply rewrites its fingerprint.\n\n"
    )


def test_a_large_plan_has_a_row_for_each_group() -> None:
    rows = documents.plan_markdown(catalogue(100_000)).splitlines()
    assert len(rows) < 20
    assert rows[3:5] == [
        "| Action | Number | Outputs | Why | First of them |",
        "| --- | ---: | --- | --- | --- |",
    ]
    (row,) = [row for row in rows if "lesson[*]" in row]
    assert row == (
        "| replace | 40,000 | `lesson[*]` | transcode.video.crf: 23 → 20 (39,200), 22 → 20 (800) | "
        '`lesson["000000"]` → `out/lesson/000000.mp4`<br>`lesson["000001"]` → `out/lesson/000001.mp4`<br>'
        '`lesson["000002"]` → `out/lesson/000002.mp4`<br>… |'
    )


@pytest.mark.parametrize(
    ("reason", "cell"),
    [
        ("one | two\nthree", r"one \| two three"),
        (r"a\|b", r"a\\\|b"),
        ("x" * 390 + " `adopt: true` or delete", "x" * 390 + " …"),
        ("x" * 390 + " `a` or delete", "x" * 390 + " `a` or d…"),
        ("x" * 398 + "\\\\\\", "x" * 398 + "…"),
    ],
)
def test_a_cell_cannot_be_broken(reason: str, cell: str) -> None:
    text = documents.plan_markdown(Plan((Action("a", "create", reason, "o"),)))
    assert text.splitlines()[-1] == f"| create | `a` | `o` | {cell} |"


@pytest.mark.parametrize(
    ("address", "span"),
    [("a`b", "`` a`b ``"), ("`a", "`` `a ``"), ("a|b", r"`a\|b`"), ("x" * 300, "`" + "x" * 199 + "…`")],
)
def test_an_address_stays_within_its_code_span(address: str, span: str) -> None:
    text = documents.plan_markdown(Plan((Action(address, "create", "why", "o"),)))
    assert text.splitlines()[-1] == f"| create | {span} | `o` | why |"


def cells(row: str) -> list[str]:
    """Split a row as GitHub does: at bars before which an even number of backslashes stands."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", row)[1:-1]


@settings(max_examples=100, deadline=None)
@given(plans())
def test_any_plan_fits_into_a_comment_with_its_tables_whole(plan: Plan) -> None:
    text = documents.plan_markdown(plan)
    assert len(text) < documents.MOST_CHARACTERS
    _, _, table = text.partition("\n\n")
    rows = table.split("\n")[:-1]
    assert len({len(cells(row)) for row in rows}) <= 1
    steps: list[Step] = [*plan.pending_templates, *plan.pending]
    if not rows or "| Object |" in rows[0]:
        assert [cells(row)[0].strip() for row in rows[2:]] == [step.kind for step in steps]
    else:
        assert {cells(row)[0].strip() for row in rows[2:]} == {step.kind for step in steps}


@pytest.mark.parametrize("text", ["|" * 5000, "`" * 5000, "\\|" * 5000, "`|" * 5000, "é" * 5000])
@pytest.mark.parametrize("number", [40, 41, 500])
def test_hostile_texts_fit_into_a_comment(text: str, number: int) -> None:
    changes = tuple(Change(f"{text}{place}", text, text) for place in range(5))
    letters = [f"{chr(97 + place % 26)}{chr(97 + place // 26 % 26)}{chr(97 + place // 676)}" for place in range(number)]
    plan = Plan(tuple(Action(f"{name}{text}", "replace", f"{name}{text}", text, changes) for name in letters))
    shown = documents.plan_markdown(plan)
    assert shown.count("| replace |") > 0
    assert len(shown) < documents.MOST_CHARACTERS


# JSON.


@settings(max_examples=60, deadline=None)
@given(plans(), st.booleans())
def test_the_document_of_any_plan_is_indented_as_all_documents_are(plan: Plan, everything: bool) -> None:
    text = "".join(documents.plan_json(plan, everything=everything))
    assert text == json_text(json.loads(text)) + "\n"


def test_the_document_is_never_whole_in_memory() -> None:
    lessons = {f'lesson["{place:05}"]': f"out/{place:05}.mp4" for place in range(20_000)}
    plan = Plan(catalogue(2_000).actions, settled=lessons)
    tracemalloc.start()
    try:
        length = sum(map(len, documents.plan_json(plan, everything=True)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length > 4_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("kind", "origin", "data"),
    [
        ("reuse", COPY, {"object": "out/b.mp4", "address": "b", "job": None}),
        ("adopt", Origin("out/a.mp4", "e", job="j1"), {"object": "out/a.mp4", "address": None, "job": "j1"}),
        ("adopt", None, None),
    ],
)
def test_the_document_says_where_an_object_comes_from(kind: Kind, origin: Origin | None, data: object) -> None:
    assert documents.action_data(action(kind, origin=origin))["from"] == data


def test_everything_includes_what_is_up_to_date_in_address_order() -> None:
    plan = Plan((action("none", "b"), action("create", "d")), settled={"e": "out/e.mp4", "a": "out/a.mp4"})

    def addresses(*, everything: bool) -> list[str]:
        shown = document(plan, everything=everything)["actions"]
        assert isinstance(shown, list)
        return [entry["address"] for entry in shown]

    assert addresses(everything=False) == ["d"]
    assert addresses(everything=True) == ["a", "b", "d", "e"]


def test_the_document_of_a_plan_has_its_templates() -> None:
    plan = Plan((), {"old": "new"}, templates=(UPDATED, KEPT), upgrades={"b": "2:0", "a": "2:0"})
    read = document(plan)
    assert read["templates"] == [
        {
            "address": "transcode_template.hd",
            "action": "update",
            "reason": "video.fps: 25 → 30",
            "tag": "Transcode",
            "name": "hd",
            "id": None,
            "changes": [{"path": "video.fps", "before": 25, "after": 30}],
        }
    ]
    assert (read["moves"], read["upgrades"]) == ([{"from": "old", "to": "new"}], ["a", "b"])
    every = document(plan, everything=True)["templates"]
    assert isinstance(every, list)
    assert [one["action"] for one in every] == ["update", "none"]
