"""What a plan was decided from, and every way in which that can have moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.plan import Action, Origin, Plan, plan
from reconciler.plan_templates import TemplateAction
from reconciler.staleness import Before, TemplateBefore, carried_out, expectations, plain, stale
from reconciler.state import (
    DeclaredTemplate,
    DesiredState,
    ObservedState,
    StoredObject,
    StoredTemplate,
    Submission,
    TemplateRecord,
)
from tests.factory import output, record
from tests.test_plan import CASES, begun, declared, recorded

HD = {"container": {"format": "mp4"}}
UHD = {"container": {"format": "mp4"}, "video": {"width": 1280}}
TEMPLATE = "transcode_template.hd"


def objects(**etags: str) -> dict[str, StoredObject]:
    return {f"{name.replace('_', '/')}.mp4": StoredObject(etag, 1) for name, etag in etags.items()}


def submission(address: str = "a", job: str | None = None) -> Submission:
    return Submission(address, "reconciler:2:f:0", "2:f", f"out/{address}.mp4", {}, {}, "2026-05-01T10:00:00Z", job)


MADE = record(output("a"), {"in/a.mp4": "e1"}, "m1", job="j1")
EDITED = output("a", video={"width": 320})


def world(of: ObservedState, **fields: Any) -> ObservedState:
    return replace(of, **fields)


NOT_MADE = ObservedState(objects(in_a="e1"), {})
DONE = ObservedState(objects(in_a="e1", out_a="m1"), {"a": MADE})
NEWLY_MADE = {"a": replace(MADE, job="j2", etag="m2")}


@pytest.mark.parametrize(
    ("declared_now", "before", "after", "messages"),
    [
        (output("a"), NOT_MADE, world(NOT_MADE, objects=objects(in_a="e2")), ['in/a.mp4 was "e1", is now "e2"']),
        (output("a"), NOT_MADE, world(NOT_MADE, objects={}), ["in/a.mp4 is gone"]),
        (output("a"), NOT_MADE, world(NOT_MADE, objects=objects(in_a="e1", out_a="x")), ["out/a.mp4 did not exist, exists now"]),
        (output("a"), NOT_MADE, DONE, ["was made meanwhile (job j1)"]),
        (output("a"), NOT_MADE, world(DONE, records={"a": replace(MADE, job=None)}), ["was recorded meanwhile"]),
        (
            output("a"), NOT_MADE, world(DONE, objects=objects(in_a="e1", out_a="x")),
            ["was made meanwhile (job j1)", "out/a.mp4 did not exist, exists now"],
        ),
        (output("a"), NOT_MADE, world(NOT_MADE, pending={"a": submission()}), ["was submitted meanwhile"]),
        (output("a"), NOT_MADE, world(NOT_MADE, pending={"a": submission(job="j1")}), ["was submitted meanwhile (job j1)"]),
        (output("a"), world(NOT_MADE, pending={"a": submission()}), NOT_MADE, ["its submission was settled meanwhile"]),
        (
            output("a"), world(NOT_MADE, pending={"a": submission()}), world(NOT_MADE, pending={"a": submission(job="j1")}),
            ["was submitted meanwhile (job j1)"],
        ),
        (EDITED, DONE, world(DONE, objects=objects(in_a="e1", out_a="m2"), records=NEWLY_MADE), ["its record has changed (job j2)"]),
        (EDITED, DONE, world(DONE, records={}), ["its record is gone"]),
        (EDITED, DONE, world(DONE, objects=objects(in_a="e1", out_a="x")), ['out/a.mp4 was "m1", is now "x"']),
        (output("a"), ObservedState({}, {}), NOT_MADE, ["in/a.mp4 did not exist, exists now"]),
        (output("a"), DONE, ObservedState({}, {}), []),  # nothing was to be done about it
    ],
)  # fmt: skip
def test_what_moved_is_named(
    declared_now: Any, before: ObservedState, after: ObservedState, messages: list[str]
) -> None:
    made = plan(DesiredState({"a": declared_now}), before)
    assert stale(made, expectations(made, before), after) == tuple(f"a: {text}" for text in messages)


def test_everything_that_moved_is_named_by_address() -> None:
    desired = DesiredState({"a": output("a"), 'b["1"]': output('b["1"]', "in/b.mp4", key="out/b.mp4")})
    before = ObservedState(objects(in_a="e1", in_b="e1"), {})
    made = plan(desired, before)
    after = ObservedState(objects(in_a="e2", in_b="e2", out_a="x"), {})
    assert stale(made, expectations(made, before), after) == (
        'a: in/a.mp4 was "e1", is now "e2"',
        "a: out/a.mp4 did not exist, exists now",
        'b["1"]: in/b.mp4 was "e1", is now "e2"',
    )


def observed_of(case: dict[str, Any]) -> ObservedState:
    return ObservedState(
        objects={key: StoredObject(etag, 1) for key, etag in case.get("objects", {}).items()},
        records=recorded(case.get("records", {})),
        pending=begun(case.get("pending", {})),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_plan_for_a_world_that_stands_still_is_never_stale(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    observed = observed_of(case)
    desired = DesiredState(declared(case.get("desired", {})), moved=case.get("moved", {}))
    made = plan(desired, observed, **case.get("options", {}))
    expected = expectations(made, observed)
    assert stale(made, expected, observed) == ()
    assert not carried_out(made, expected, observed)


def test_what_the_plan_makes_itself_is_not_compared() -> None:
    desired = DesiredState({"a": output("a"), "b": output("b", "out/a.mp4", upstream=("a",))})
    before = ObservedState(objects(in_a="e1"), {})
    expected = expectations(plan(desired, before), before)
    assert expected.outputs == {
        "a": Before({"in/a.mp4": "e1", "out/a.mp4": None}),
        "b": Before({"out/b.mp4": None}),
    }
    assert expected.keys == {"in/a.mp4", "out/a.mp4", "out/b.mp4"}


def test_what_is_copied_is_compared() -> None:
    action = Action("a", "reuse", "as b", "out/a.mp4", request=MADE.request, origin=Origin("out/b.mp4", "m1"))
    before = ObservedState(objects(out_b="m1"), {})
    expected = expectations(Plan((action,)), before)
    assert expected.keys == {"out/a.mp4", "out/b.mp4"}
    assert stale(Plan((action,)), expected, before) == ()
    after = ObservedState(objects(out_b="m2"), {})
    assert stale(Plan((action,)), expected, after) == ('a: out/b.mp4 was "m1", is now "m2"',)


def test_a_record_that_gets_another_fingerprint_is_compared() -> None:
    upgrade = Plan((), upgrades={"a": "2:f"})
    expected = expectations(upgrade, DONE)
    assert stale(upgrade, expected, DONE) == ()
    assert stale(upgrade, expected, world(DONE, records=NEWLY_MADE)) == ("a: its record has changed (job j2)",)


def test_a_moved_record_is_expected_where_it_was() -> None:
    desired = DesiredState({"new": replace(output("a"), address="new")}, moved={"a": "new"})
    made = plan(desired, DONE)
    expected = expectations(made, DONE)
    assert made.moves == {"a": "new"}
    assert stale(made, expected, DONE) == ()
    assert stale(made, expected, world(DONE, records={})) == ("new: its record is gone",)
    moved = world(DONE, records={"new": MADE})
    assert stale(made, expected, moved) == ("new: is recorded under this address already",)
    assert carried_out(made, expected, moved)


# Templates.


def kept(content: Any, **fields: Any) -> dict[str, TemplateRecord]:
    return {TEMPLATE: TemplateRecord("t1", "Transcode", "hd", content, content, **fields)}


def stored(content: Any, name: str = "hd", id: str = "t1") -> StoredTemplate:  # noqa: A002
    return StoredTemplate(id, "Transcode", name, content)


NONE = ObservedState({}, {})
KEPT = ObservedState({}, {}, templates=(stored(HD),), template_records=kept(HD))


@pytest.mark.parametrize(
    ("content", "before", "after", "messages"),
    [
        (HD, NONE, NONE, []),
        (HD, NONE, world(NONE, templates=(stored(HD, "other"),)), []),
        (HD, NONE, world(NONE, templates=(stored(UHD),)), ["t1, of the same name, exists now"]),
        (HD, NONE, KEPT, ["was recorded meanwhile"]),
        (UHD, KEPT, KEPT, []),
        (UHD, KEPT, world(KEPT, templates=(*KEPT.templates, stored(UHD, id="t2"))), []),
        (UHD, KEPT, world(KEPT, templates=()), ["t1 is gone"]),
        (UHD, KEPT, world(KEPT, templates=(stored(HD, "renamed"),)), ["t1 was changed meanwhile"]),
        (UHD, KEPT, NONE, ["its record is gone"]),
        (UHD, KEPT, world(KEPT, template_records=kept(UHD)), ["was recorded meanwhile"]),
    ],
)
def test_what_moved_of_a_template_is_named(
    content: Any, before: ObservedState, after: ObservedState, messages: list[str]
) -> None:
    desired = DesiredState({}, templates={TEMPLATE: DeclaredTemplate(TEMPLATE, "Transcode", "hd", content)})
    made = plan(desired, before)
    assert stale(made, expectations(made, before), after) == tuple(f"{TEMPLATE}: {text}" for text in messages)


def test_a_template_to_render_with_is_compared_though_it_is_up_to_date() -> None:
    desired = DesiredState(
        {"a": output("a", templates=(TEMPLATE,))},
        templates={TEMPLATE: DeclaredTemplate(TEMPLATE, "Transcode", "hd", HD)},
    )
    before = world(KEPT, objects=objects(in_a="e1"))
    made = plan(desired, before)
    assert [action.kind for action in made.templates] == ["none"]
    after = world(before, templates=(stored(UHD),))
    assert stale(made, expectations(made, before), after) == (f"{TEMPLATE}: t1 was changed meanwhile",)


# Carried out already.


def test_a_plan_that_was_applied_is_told_from_one_that_another_change_overtook() -> None:
    made = plan(DesiredState({"a": output("a")}), NOT_MADE)
    expected = expectations(made, NOT_MADE)
    assert not carried_out(made, expected, NOT_MADE)
    assert carried_out(made, expected, DONE)
    other = record(EDITED, {"in/a.mp4": "e1"}, "m1", job="j1")
    assert not carried_out(made, expected, world(DONE, records={"a": other}))
    assert not carried_out(made, expected, world(DONE, records={"a": replace(MADE, inputs={"in/a.mp4": "e2"})}))


def test_a_deletion_that_was_applied() -> None:
    made = plan(DesiredState({}), DONE, prune=True)
    expected = expectations(made, DONE)
    assert [action.kind for action in made.actions] == ["delete"]
    assert not carried_out(made, expected, DONE)
    assert carried_out(made, expected, world(DONE, records={}, objects=objects(in_a="e1")))


def test_a_template_that_was_written() -> None:
    desired = DesiredState({}, templates={TEMPLATE: DeclaredTemplate(TEMPLATE, "Transcode", "hd", UHD)})
    made = plan(desired, KEPT)
    expected = expectations(made, KEPT)
    written = world(KEPT, templates=(stored(UHD),), template_records=kept(UHD))
    assert carried_out(made, expected, written)
    assert not carried_out(made, expected, world(written, templates=(stored(HD),)))
    gone = plan(DesiredState({}), KEPT, prune=True)
    assert carried_out(gone, expectations(gone, KEPT), NONE)


def test_a_plan_without_effect_was_never_carried_out() -> None:
    made = plan(DesiredState({"a": output("a")}), DONE)
    assert not carried_out(made, expectations(made, DONE), DONE)


# Plans that were not made here.


def forged(**fields: Any) -> Action:
    return replace(Action("a", "create", "", "out/a.mp4"), **fields)


@pytest.mark.parametrize(
    ("action", "observed", "message"),
    [
        (forged(kind="delete", seen="m1"), world(DONE, records={}), "out/a.mp4 is not ours to delete"),
        (forged(kind="delete", seen="m2"), DONE, "out/a.mp4 is not ours to delete"),
        (forged(kind="delete", seen="e1", object="in/a.mp4"), DONE, "in/a.mp4 is not ours to delete"),
        (forged(kind="replace"), world(DONE, records={}), "out/a.mp4 is not ours to replace"),
        (forged(kind="create", object="in/a.mp4"), DONE, "in/a.mp4 is not ours to replace"),
        (forged(kind="wait"), DONE, "nothing of it is under way"),
        (forged(upstream={"b": "out/b.mp4"}), NOT_MADE, "what it is made of is not made"),
    ],
)
def test_what_is_not_ours_is_never_touched(action: Action, observed: ObservedState, message: str) -> None:
    made = Plan((action,))
    assert stale(made, expectations(made, observed), observed) == (f"a: {message}",)


@pytest.mark.parametrize("kind", ["update", "delete"])
def test_a_template_that_is_not_ours_is_never_touched(kind: Any) -> None:
    made = Plan((), templates=(TemplateAction(TEMPLATE, kind, "", "Transcode", "hd", HD, id="t1"),))
    observed = world(KEPT, template_records={})
    assert stale(made, expectations(made, observed), observed) == (f"{TEMPLATE}: is not ours",)


# Values as data.


def test_plain_data_leaves_defaults_out() -> None:
    assert plain(TemplateBefore()) == {}
    assert plain(TemplateBefore({"t1": "d"})) == {"stored": {"t1": "d"}}
    assert plain(forged(sources=("a", "b"))) == {
        "address": "a", "kind": "create", "reason": "", "object": "out/a.mp4", "sources": ["a", "b"],
    }  # fmt: skip


def change_nothing(observed: ObservedState) -> ObservedState:
    return observed


def drop_defaults(observed: ObservedState) -> ObservedState:
    """A record that was read by a program with a further field, which has its default value."""
    return replace(observed, records={"a": replace(MADE, files=None, protect=False)})


@pytest.mark.parametrize("change", [change_nothing, drop_defaults])
def test_an_equal_record_is_no_change(change: Callable[[ObservedState], ObservedState]) -> None:
    made = plan(DesiredState({"a": EDITED}), DONE)
    assert stale(made, expectations(made, DONE), change(DONE)) == ()
