"""What is planned about templates: declared, recorded and stored in, one action with its reason out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.plan import plan
from reconciler.plan_templates import TEMPLATE_EFFECTS, TEMPLATE_KINDS, TemplateAction
from reconciler.state import DeclaredTemplate, DesiredState, ObservedState, StoredObject, StoredTemplate, TemplateRecord
from tests.factory import output, record

HD = {"container": {"format": "mp4"}, "video": {"width": 640, "height": 360}}
UHD = {**HD, "video": {"width": 1280, "height": 360}}
FILLED = {**HD, "audio": {"codec": "aac"}}
ADDRESS = "transcode_template.hd"


def declared(content: Any = HD) -> dict[str, DeclaredTemplate]:
    return {ADDRESS: DeclaredTemplate(ADDRESS, "Transcode", "hd", content)}


def stored(content: Any = HD, *, id: str = "t1", name: str = "hd", tag: str = "Transcode") -> StoredTemplate:  # noqa: A002
    return StoredTemplate(id, tag, name, content)


def kept(content: Any = HD, answered: Any = None) -> dict[str, TemplateRecord]:
    return {ADDRESS: TemplateRecord("t1", "Transcode", "hd", content, answered or content)}


def decide(
    desired: dict[str, DeclaredTemplate],
    records: dict[str, TemplateRecord],
    there: list[StoredTemplate],
    **options: Any,
) -> tuple[TemplateAction, ...]:
    observed = ObservedState({}, {}, templates=tuple(there), template_records=records)
    return plan(DesiredState({}, templates=desired), observed, **options).templates


@pytest.mark.parametrize(
    ("desired", "records", "there", "kind", "reason", "changes"),
    [
        (declared(), {}, [], "create", "not on the service yet", 0),
        (declared(), {}, [stored(name="hd2")], "create", "not on the service yet", 0),
        (declared(), {}, [stored(tag="Watermark")], "create", "not on the service yet", 0),
        (declared(), {}, [stored()], "adopt", "is on the service already, with this content", 0),
        (declared(), {}, [stored(UHD, id="t0"), stored()], "adopt", "is on the service already, with this content", 0),
        (
            declared(), {}, [stored(UHD)], "conflict",
            "t1 has this name and another content, and was not made by us; rename one of the two", 1,
        ),
        (declared(), kept(), [stored()], "none", "up to date", 0),
        (declared(), kept(HD, FILLED), [stored(FILLED)], "none", "up to date", 0),
        (declared(), kept(), [], "create", "the template is missing (drift)", 0),
        (declared(), kept(), [stored(UHD, id="t2")], "create", "the template is missing (drift)", 0),
        (declared(), kept(), [stored(UHD)], "update", "the template changed outside (drift)", 1),
        (declared(), kept(), [stored(name="other")], "update", "the template changed outside (drift)", 0),
        (declared(UHD), kept(), [stored()], "update", "video.width: 640 → 1280", 1),
        (declared(UHD), kept(), [stored(FILLED)], "update",
         "both manifest and template changed: video.width: 640 → 1280", 1),
        (declared({**UHD, "audio": {"codec": "aac", "bitrate": 64}}), kept(), [stored()], "update",
         "audio.bitrate: absent → 64, and 2 more", 3),
        ({}, kept(), [stored()], "none", "no longer declared; kept, as prune is off", 0),
        ({}, kept(), [], "forget", "no longer declared, and already gone", 0),
    ],
)  # fmt: skip
def test_one_action_for_every_template(
    desired: Any, records: Any, there: Any, kind: str, reason: str, changes: int
) -> None:
    (action,) = decide(desired, records, there)
    assert (action.kind, action.reason, len(action.changes)) == (kind, reason, changes)
    assert (action.address, action.tag, action.name) == (ADDRESS, "Transcode", "hd")
    assert action.id == ("t1" if kind not in ("create", "conflict") else None)


@pytest.mark.parametrize(
    ("there", "kind", "reason"),
    [
        ([stored()], "delete", "no longer declared"),
        ([], "forget", "no longer declared, and already gone"),
        ([stored(UHD)], "conflict", "no longer declared, but changed outside; delete t1 by hand"),
    ],
)
def test_pruning_deletes_what_nobody_else_changed(there: Any, kind: str, reason: str) -> None:
    (action,) = decide({}, kept(), there, prune=True)
    assert (action.kind, action.reason) == (kind, reason)


def test_what_was_there_before_us_is_never_deleted() -> None:
    records = {ADDRESS: replace(kept()[ADDRESS], adopted=True)}
    (action,) = decide({}, records, [stored()], prune=True)
    assert (action.kind, action.reason) == ("forget", "no longer declared; it was there before us, and stays there")


def test_one_made_in_the_place_of_a_missing_one_is_taken_when_a_run_died_before_it_was_recorded() -> None:
    (action,) = decide(declared(), kept(), [stored(id="t2")])
    assert (action.kind, action.id) == ("adopt", "t2")


def test_a_drifted_template_shows_what_will_be_put_back() -> None:
    (action,) = decide(declared(), kept(), [stored(UHD)])
    assert [(change.path, change.before, change.after) for change in action.changes] == [("video.width", 1280, 640)]


def test_every_kind_is_an_effect_or_says_why_not() -> None:
    assert set(TEMPLATE_KINDS) - TEMPLATE_EFFECTS == {"conflict", "none"}


def test_a_target_limits_the_templates_to_those_it_names_and_deletes_none() -> None:
    desired = DesiredState({"a": output("a", templates=(ADDRESS,)), "b": output("b")}, templates=declared())
    gone = {"watermark_template.old": TemplateRecord("t9", "Watermark", "old", {}, {})}
    observed = ObservedState(
        {}, {}, templates=(stored({}, id="t9", name="old", tag="Watermark"),), template_records=gone
    )
    everything = plan(desired, observed, prune=True).templates
    assert [(action.address, action.kind) for action in everything] == [
        (ADDRESS, "create"),
        ("watermark_template.old", "delete"),
    ]
    assert [action.address for action in plan(desired, observed, prune=True, only=["a"]).templates] == [ADDRESS]
    assert plan(desired, observed, prune=True, only=["b"]).templates == ()
    assert plan(desired, observed, prune=True, excluded=["a"]).templates == ()


def test_outputs_wait_for_a_template_in_conflict_only_when_they_are_to_be_made() -> None:
    made, missing = output("made", templates=(ADDRESS,)), output("missing", templates=(ADDRESS,))
    inputs = {"in/made.mp4": "e1"}
    observed = ObservedState(
        {
            "in/made.mp4": StoredObject("e1", 1),
            "in/missing.mp4": StoredObject("e2", 1),
            "out/made.mp4": StoredObject("made", 1),
        },
        {"made": record(made, inputs)},
        templates=(stored(UHD),),
    )
    actions = plan(DesiredState({"made": made, "missing": missing}, templates=declared()), observed).actions
    assert [(action.kind, action.reason) for action in actions] == [
        ("none", "up to date"),
        ("blocked", "its template hd is in conflict"),
    ]


def test_a_template_alone_makes_a_plan_that_is_not_empty() -> None:
    plans = [
        plan(DesiredState({}, templates=declared()), ObservedState({}, {}, templates=tuple(there)))
        for there in ([], [stored(UHD)])
    ]
    assert [(made.empty, made.effective) for made in plans] == [(False, True), (False, False)]
