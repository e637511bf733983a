"""What people read."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from reconciler.changes import Change
from reconciler.cli import views
from reconciler.diagnostics import Diagnostic, Position
from reconciler.plan import Action, Kind, Origin, Plan
from reconciler.plan_templates import TemplateAction, TemplateKind


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


def action(kind: Kind, address: str = "a", **fields: object) -> Action:
    return Action(address, kind, f"why {kind}", f"out/{address}.mp4", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actions", "line"),
    [
        ([], "No changes. 0 outputs are up to date."),
        ([action("none")], "No changes. 1 output is up to date."),
        ([action("create")], "Plan: 1 to create, 0 to replace, 0 to delete."),
        (
            [action(kind) for kind in ("reuse", "adopt", "wait", "forget", "conflict", "blocked", "blocked")],
            (
                "Plan: 0 to create, 0 to replace, 0 to delete, 1 to reuse, 1 to adopt, 1 to wait for, 1 to forget, "
                "1 in conflict, 2 blocked."
            ),
        ),
    ],
)
def test_the_line_that_counts(actions: list[Action], line: str) -> None:
    assert views.summary_line(Plan(tuple(actions))) == line


def test_many_changed_fields_are_listed_and_then_counted() -> None:
    changes = tuple(Change(f"f{number}", number, None) for number in range(11))
    text = plain(views.plan_text(Plan((action("replace", changes=changes),))))
    assert "f0: 0 → absent" in text
    assert "f7: 7 → absent" in text
    assert "f8" not in text
    assert "and 3 more fields" in text


COPY = Origin("out/b.mp4", "e", address="b")


def test_a_copy_says_where_it_comes_from() -> None:
    change = Change("output.object", "out/z.mp4", "out/a.mp4")
    reason = f"output.object: out/z.mp4 → out/a.mp4; {COPY} has the same content"
    one = Action("a", "reuse", reason, "out/a.mp4", changes=(change,), origin=COPY)
    several = replace(one, changes=(change, Change("transcode.video.fps", 25, 30)))
    assert plain(views.plan_text(Plan((one, several)))).splitlines() == [
        "  = reuse    a  out/a.mp4",
        "             output.object: out/z.mp4 → out/a.mp4; out/b.mp4 (b) has the same content",
        "  = reuse    a  out/a.mp4",
        "             output.object: out/z.mp4 → out/a.mp4",
        "             transcode.video.fps: 25 → 30",
        "             copied from out/b.mp4 (b)",
        "",
        "Plan: 0 to create, 0 to replace, 0 to delete, 2 to reuse.",
    ]
    assert f"| reuse | `a` | `out/a.mp4` | {reason} |" in views.plan_markdown(Plan((one,)))


@pytest.mark.parametrize(
    ("kind", "origin", "data"),
    [
        ("reuse", COPY, {"object": "out/b.mp4", "address": "b", "job": None}),
        ("adopt", Origin("out/a.mp4", "e", job="j1"), {"object": "out/a.mp4", "address": None, "job": "j1"}),
        ("adopt", None, None),
    ],
)
def test_the_document_says_where_an_object_comes_from(kind: Kind, origin: Origin | None, data: object) -> None:
    assert views.action_data(action(kind, origin=origin))["from"] == data


@pytest.mark.parametrize(
    ("upgrades", "line"),
    [
        ({"a": "2:0"}, "1 record was digested by an earlier version and is unchanged; apply rewrites its fingerprint."),
        (
            {"b": "2:0", "a": "2:0"},
            "2 records were digested by an earlier version and are unchanged; apply rewrites their fingerprints.",
        ),
    ],
)
def test_records_of_an_earlier_version_are_counted(upgrades: dict[str, str], line: str) -> None:
    plan = Plan((action("none"),), upgrades=upgrades)
    assert views.plan_text(plan) == f"No changes. 1 output is up to date.\n{line}"
    assert views.plan_markdown(plan) == f"**No changes. 1 output is up to date.**  \n{line}\n\n"
    assert views.plan_data(plan)["upgrades"] == sorted(upgrades)
    assert views.plan_data(Plan(()))["upgrades"] == []


def test_what_is_left_at_a_former_key_is_shown_under_it() -> None:
    reason = "left behind when a got another key"
    former = Action("a@out/old.mp4", "delete", reason, "out/old.mp4", declared=False)
    assert plain(views.plan_text(Plan((former,)))).splitlines()[0] == (
        f"  - delete   a@out/old.mp4  out/old.mp4  {reason}"
    )


def test_an_input_still_to_be_made_has_no_etag_yet() -> None:
    changes = (Change("inputs.out/a.mp4", "e", None), Change("transcode.video.fps", 25, 30))
    text = plain(views.plan_text(Plan((action("replace", changes=changes),))))
    assert "inputs.out/a.mp4: e → made anew" in text


def test_everything_includes_what_is_up_to_date() -> None:
    plan = Plan((action("none", "a"), action("create", "b")))
    assert "why none" not in views.plan_text(plan)
    assert "why none" in views.plan_text(plan, everything=True)
    assert [entry["address"] for entry in views.plan_data(plan)["actions"]] == ["b"]
    assert [entry["address"] for entry in views.plan_data(plan, everything=True)["actions"]] == ["a", "b"]


def test_markdown_cells_cannot_be_broken() -> None:
    text = views.plan_markdown(Plan((Action("a", "create", "one | two\nthree", "o"),)))
    assert "| create | `a` | `o` | one \\| two three |" in text
    assert views.plan_markdown(Plan(())) == "**No changes. 0 outputs are up to date.**\n\n"


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


def template(kind: TemplateKind, *changes: Change, reason: str = "why") -> TemplateAction:
    return TemplateAction("transcode_template.hd", kind, reason, "Transcode", "hd", changes=changes)


CREATED, UPDATED = template("create"), template("update", Change("video.fps", 25, 30), reason="video.fps: 25 → 30")
DRIFTED = template("update", Change("video.fps", 25, 30), Change("video.width", None, 2), reason="changed outside")


def test_templates_come_first_and_are_counted_on_a_line_of_their_own() -> None:
    plan = Plan((action("create"),), templates=(CREATED, UPDATED, DRIFTED, template("none")))
    assert plain(views.plan_text(plan)).splitlines() == [
        "  + create   transcode_template.hd  Transcode template  why",
        "  ~ update   transcode_template.hd  Transcode template  video.fps: 25 → 30",
        "  ~ update   transcode_template.hd  Transcode template  changed outside",
        "             video.fps: 25 → 30",
        "             video.width: absent → 2",
        "  + create   a                      out/a.mp4           why create",
        "",
        "Plan: 1 to create, 0 to replace, 0 to delete.",
        "Templates: 1 to create, 2 to update.",
    ]
    assert views.plan_markdown(plan).splitlines()[:2] == [
        "**Plan: 1 to create, 0 to replace, 0 to delete.**  ",
        "**Templates: 1 to create, 2 to update.**",
    ]
    assert "| create | `transcode_template.hd` | Transcode template | why |" in views.plan_markdown(plan)


def test_templates_alone_are_no_empty_plan() -> None:
    assert views.summary_line(Plan((), templates=(template("conflict"),))) == (
        "Plan: 0 to create, 0 to replace, 0 to delete.\nTemplates: 1 in conflict."
    )
    assert views.summary_line(Plan((), templates=(template("none"),))) == "No changes. 0 outputs are up to date."


def test_the_document_of_a_plan_has_its_templates() -> None:
    plan = Plan((), templates=(UPDATED, template("none")))
    assert views.plan_data(plan)["templates"] == [
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
    assert [one["action"] for one in views.plan_data(plan, everything=True)["templates"]] == ["update", "none"]
