"""Plans as people read them, small ones action by action, large ones group by group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.action import Action, Kind, Origin, Plan
from reconciler.changes import Change
from reconciler.cli import plan_views as views
from reconciler.grouping import TROUBLE, Step
from reconciler.plan_templates import TemplateAction, TemplateKind
from tests.cli.plans import catalogue, plans


def plain(text: str) -> str:
    return click.unstyle(text)


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


def test_templates_alone_are_no_empty_plan() -> None:
    assert views.summary_line(Plan((), templates=(template("conflict"),))) == (
        "Plan: 0 to create, 0 to replace, 0 to delete.\nTemplates: 1 in conflict."
    )
    assert views.summary_line(Plan((), templates=(template("none"),))) == "No changes. 0 outputs are up to date."


@pytest.mark.parametrize(("number", "lines"), [(views.SHOWN_SINGLY, 42), (views.SHOWN_SINGLY + 1, 4)])
def test_so_many_actions_are_shown_one_by_one_and_no_more(number: int, lines: int) -> None:
    plan = Plan(tuple(action("create", f'lesson["{place:02}"]') for place in range(number)))
    assert len(views.plan_text(plan).splitlines()) == lines
    assert len(views.plan_text(plan, verbose=True).splitlines()) == number + 2


LARGE = """\
  ! conflict   200  summary[*]
                      exists, but was not made by us; set `adopt: true` to take
                      it, or delete it
                      summary["017800"] → out/summary/017800.mp4, …

  ! blocked    600  poster[*]   in/poster/…/title page.png is missing
                      poster["017200"] → out/poster/017200.mp4, …

  ~ update          transcode_template.hd  Transcode template
                      video.fps: 25 → 30

  - delete   1,400  clip[*]     no longer declared
                      clip["018600"] → out/clip/018600.mp4, …

  ~ replace  8,000  lesson[*]
                      transcode.video.crf: 23 → 20 (7,840), 22 → 20 (160)
                      lesson["000000"] → out/lesson/000000.mp4, …
  ~ replace  2,000  lecture[*]  in/talk/….mov changed
                      lecture["010000"] → out/lecture/010000.mp4, …
  ~ replace  2,000  trailer[*]  transcode.audio.bitrate: … → 128
                      transcode.video.bitrate: … → 900
                      trailer["008000"] → out/trailer/008000.mp4, …
  ~ replace    600  banner[*]   output.object: out/old/….mp4 → out/new/….mp4
                      banner["012000"] → out/new/012000.mp4, …
  ~ replace         outro  out/outro.mp4  transcode.video.fps: 25 → 30

  + create   4,000  summary[*]  not made yet
                      summary["012600"] → out/summary/012600.mp4, …
  + create          intro  out/intro.mp4  object is missing (drift)

  = reuse      600  poster[*]
                      not made yet; out/lesson/….mp4 (lesson["…"]) has the same
                      content
                      poster["016600"] → out/poster/016600.mp4, …

  … wait       600  clip[*]     job … is Running
                      clip["018000"] → out/clip/018000.mp4, …

  → 20 talk[*] are now lecture[*]
"""


def test_many_actions_are_shown_group_by_group() -> None:
    text = plain(views.plan_text(catalogue(20_000), width=80))
    shown, _, totals = text.rpartition("\n\n")
    assert f"{shown}\n" == LARGE
    assert totals.splitlines() == views.summary_line(catalogue(20_000)).splitlines()


def test_the_example_in_the_documentation_is_what_is_printed() -> None:
    document = (Path(__file__).parents[2] / "docs" / "reading-plans.md").read_text(encoding="utf-8")
    assert f"```text\n{plain(views.plan_text(catalogue(100_000), width=100))}\n```\n" in document


def test_a_wide_terminal_has_room_for_more_examples() -> None:
    text = plain(views.plan_text(catalogue(20_000), width=140))
    assert 'clip["018600"] → out/clip/018600.mp4, clip["018601"] → out/clip/018601.mp4, clip["018602"] → ' in text


def test_what_is_up_to_date_is_a_group_too() -> None:
    plan = Plan((action("create", "new"),), settled={f'lesson["{place}"]': f"out/{place}.mp4" for place in range(500)})
    shown = plain(views.plan_text(plan, everything=True)).splitlines()
    assert shown[0].split() == ["+", "create", "new", "out/new.mp4", "why", "create"]
    assert shown[2].split() == ["none", "500", "lesson[*]", "up", "to", "date"]
    assert len(plain(views.plan_text(plan, everything=True, verbose=True)).splitlines()) == 503


def test_many_sorts_of_moves_are_counted_together() -> None:
    moves = {f"old{'x' * place}": f"new{'x' * place}" for place in range(60)}
    shown = plain(views.plan_text(Plan((), moves))).splitlines()
    assert shown[:5] == [
        "",
        "  → old is now new",
        "  → oldx is now newx",
        "  → oldxx is now newxx",
        "  → 57 more get another address",
    ]


def test_reasons_that_are_too_many_are_counted() -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in "abcdefghij"]
    plan = Plan(tuple(Action(word, "create", f"because of {word}", f"out/{word}.mp4") for word in words))
    *_, last, examples, _, _ = plain(views.plan_text(plan)).splitlines()
    assert last.split() == ["+", "create", "58", "*", "58", "other", "reasons"]
    assert examples.strip().startswith("ec → out/ec.mp4, ed → out/ed.mp4, ")


def test_more_fields_than_three_are_counted() -> None:
    changes = tuple(Change(f"f{letter}", 1, 2) for letter in "abcde")
    text = plain(views.plan_text(Plan(tuple(action("replace", f"a{place}", changes=changes) for place in range(50)))))
    assert "fc: 1 → 2" in text
    assert "fd" not in text
    assert "and 2 more fields" in text


@settings(max_examples=60, deadline=None)
@given(plans(), st.integers(20, 200), st.booleans())
def test_any_plan_stays_within_a_screen_or_two(plan: Plan, width: int, everything: bool) -> None:
    text = views.plan_text(plan, everything=everything, width=width)
    totals = views.summary_line(plan).splitlines()
    if views.number_shown(plan, everything=everything) > views.SHOWN_SINGLY:
        *shown, _ = plain(text).split("\n" + totals[0])
        assert len(shown[0].split("\n")) <= views.MOST_LINES
    assert totals[-1] in text.split("\n")
    steps: list[Step] = [*plan.pending, *plan.pending_templates]
    for kind in TROUBLE & {step.kind for step in steps}:
        assert f"! {kind}" in plain(text)
