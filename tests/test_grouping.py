"""What of many actions belongs together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.action import Action, Kind, Origin, Plan
from reconciler.changes import Change
from reconciler.grouping import (
    EXAMPLES,
    ORDER,
    Group,
    Likeness,
    address_template,
    grouped,
    grouped_moves,
    value_text,
)
from tests.cli.plans import catalogue, plans

ROOM = 45


def rows(
    number: int, reason: str, kind: Kind = "create", name: str = "lesson", changes: tuple[Change, ...] = ()
) -> list[Action]:
    """Return the actions of so many rows; ``#`` in the reason is the number of the row."""
    return [
        Action(f'{name}["{row:03}"]', kind, reason.replace("#", f"{row:03}"), f"out/{row:03}.mp4", changes)
        for row in range(number)
    ]


def only(actions: list[Action], room: int = ROOM) -> Group:
    (group,) = grouped(actions, room)
    return group


@pytest.mark.parametrize(
    ("address", "template"),
    [
        ("race", "race"),
        ("clip_007_2", "clip_*_*"),
        ('lesson["001"]', "lesson[*]"),
        ('lesson["a[b]@c"]', "lesson[*]"),
        ('lesson["001"]@out/old 1.mp4', "lesson[*]@*"),
        ("race@out/a[1].mp4", "race@*"),
        ("transcode_template.hd", "transcode_template.hd"),
    ],
)
def test_the_template_of_an_address(address: str, template: str) -> None:
    assert address_template(address) == template


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["in/a.mp4"], "in/a.mp4"),
        (["in/a.mp4", "in/a.mp4"], "in/a.mp4"),
        (["in/001.mp4", "in/002.mp4", "in/103.mp4"], "in/….mp4"),
        (["in/001.mp4", "in/002.mp4"], "in/….mp4"),
        (["j7f3a", "j7f4b"], "…"),
        (["a/b", "a/b/c"], "a/…"),
        (["-", "--"], "-…"),
        (["", "x"], "…"),
    ],
)
def test_what_texts_have_in_common(texts: list[str], shown: str) -> None:
    one = Likeness(texts[0])
    for text in texts[1:]:
        one.add(text)
    assert str(one) == shown


@given(st.lists(st.text("ab/", max_size=5), min_size=1), st.lists(st.text("ab/", max_size=5), min_size=1))
def test_taking_two_together_is_as_taking_all_one_by_one(left: list[str], right: list[str]) -> None:
    one, other, both = Likeness(left[0]), Likeness(right[0]), Likeness(left[0])
    for text in left:
        one.add(text)
        both.add(text)
    for text in right:
        other.add(text)
        both.add(text)
    one.merge(other)
    assert str(one) == str(both)


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("not made yet", "not made yet"),
        ("in/#.mp4 is missing", "in/….mp4 is missing"),
        ("in/clip # b.mp4 and 2 more are missing", "in/clip … b.mp4 and 2 more are missing"),
        ("in/intro.mp4 is missing", "in/intro.mp4 is missing"),
        ("x#.mp4 changed", "….mp4 changed"),
        ("both manifest and object changed: in/#.mp4 changed", "both manifest and object changed: in/….mp4 changed"),
        ("is protected (in/#.mp4 and 3 more inputs changed)", "is protected (in/….mp4 and 3 more inputs changed)"),
        ("pair_# is made anew", "… is made anew"),
        ('clip["#"] is made anew', 'clip["…"] is made anew'),
        ("it is made of clip#, which is blocked", "it is made of …, which is blocked"),
        ('it is made of clip["#"], which is in conflict', 'it is made of clip["…"], which is in conflict'),
        ("no longer declared; its object belongs to race#", "no longer declared; its object belongs to …"),
        ("no longer declared; kept, as clip# is made of it", "no longer declared; kept, as … is made of it"),
        ("no longer declared; kept, as prune is off", "no longer declared; kept, as prune is off"),
        (
            "its key is now out/#.mp4, where the object of race# is",
            "its key is now out/….mp4, where the object of … is",
        ),
        ("was made for race#, and is there", "was made for …, and is there"),
        ("holds the same as out/#.mp4 (race#)", "holds the same as out/…)"),
        (
            "not made yet; out/#.mp4 (race#) has the same content",
            "not made yet; out/….mp4 (…) has the same content",
        ),
        ("was made by job j#f, of which nothing is recorded", "was made by job …, of which nothing is recorded"),
        ("job j#f is Running", "job … is Running"),
        ("left behind when race# got another key", "left behind when … got another key"),
        ("its template hd is in conflict", "its template hd is in conflict"),
        ("its template t# is in conflict", "its template … is in conflict"),
        (
            "failed 3 times, last with AccessDenied: no (request id 5f#ab); `--replace` starts anew",
            "failed 3 times, last with AccessDenied: no (request id …); `--replace` starts anew",
        ),
    ],
)
def test_a_reason_is_one_whatever_the_values_of_its_row(reason: str, why: str) -> None:
    group = only(rows(20, reason, "blocked"))
    assert (group.kind, group.address, group.count, group.why) == ("blocked", "lesson[*]", 20, why)
    assert [step.address for step in group.steps] == ['lesson["000"]', 'lesson["001"]', 'lesson["002"]']


def test_kind_reason_and_template_each_part_groups() -> None:
    actions = [
        *rows(5, "not made yet"),
        *rows(6, "object is missing (drift)"),
        *rows(7, "not made yet", "blocked"),
        *rows(8, "not made yet", name="race"),
    ]
    found = [(group.kind, group.count, group.address, group.why) for group in grouped(actions, ROOM)]
    assert found == [
        ("blocked", 7, "lesson[*]", "not made yet"),
        ("create", 8, "race[*]", "not made yet"),
        ("create", 6, "lesson[*]", "object is missing (drift)"),
        ("create", 5, "lesson[*]", "not made yet"),
    ]


def changed(place: int, *changes: Change, lead: str = "", tail: str = "", origin: Origin | None = None) -> Action:
    first = changes[0]
    reason = f"{lead}{first.path}: {first.before} → {first.after}{tail}"
    return Action(f'lesson["{place:03}"]', "replace", reason, f"out/{place:03}.mp4", changes, origin=origin)


def test_one_path_is_one_group_and_its_values_are_counted() -> None:
    group = only([changed(place, Change("crf", 22 if place % 10 == 3 else 23, 20)) for place in range(50)])
    (field,) = group.fields
    assert (group.why, field.path, field.before, field.after) == ("", "crf", "…", "20")
    assert (field.pairs, field.others, field.same) == ((("23", "20", 45), ("22", "20", 5)), 0, False)


def test_a_change_that_is_the_same_everywhere_is_told_as_it_is() -> None:
    (field,) = only([changed(place, Change("crf", 23, None)) for place in range(9)]).fields
    assert (field.before, field.after, field.same) == ("23", "absent", True)


def test_of_many_values_only_some_are_told_apart() -> None:
    group = only([changed(place, Change("key", f"out/{place:03}.mp4", f"new/{place:03}.mp4")) for place in range(100)])
    (field,) = group.fields
    assert (field.before, field.after, field.same) == ("out/….mp4", "new/….mp4", False)
    assert len(field.pairs) + field.others == 100
    assert len(field.pairs) < 10


def test_places_in_a_list_are_no_paths_of_their_own() -> None:
    actions = [
        changed(place, *(Change(f"clips[{index}].x", 1, 2) for index in range(1 + place % 3))) for place in range(9)
    ]
    (field,) = only(actions).fields
    assert (field.path, field.same) == ("clips[…].x", True)


def test_an_input_beside_a_field_is_told_without_its_etags() -> None:
    group = only(
        [changed(place, Change("crf", 23, 20), Change(f"inputs.in/{place}.mp4", "e", "f")) for place in range(9)]
    )
    assert [(field.path, field.pairs) for field in group.fields] == [
        ("crf", (("23", "20", 9),)),
        ("inputs.in/….mp4", ()),
    ]


def test_what_a_reason_says_beside_its_change_is_kept() -> None:
    drifted = [changed(place, Change("crf", 23, 20), lead="both manifest and object changed: ") for place in range(5)]
    guarded = [changed(place, Change("crf", 23, 20), lead="is protected (", tail=")") for place in range(6)]
    copied = [
        changed(
            place, Change("crf", 23, 20),
            tail=f"; in/{place}.mp4 (a{place}) has the same content", origin=Origin(f"in/{place}.mp4", address=f"a{place}"),
        )
        for place in range(7)
    ]  # fmt: skip
    assert [group.why for group in grouped([*drifted, *guarded, *copied], ROOM)] == [
        "in/….mp4 (…) has the same content",
        "is protected",
        "both manifest and object changed",
    ]


def test_without_room_templates_with_one_reason_are_taken_together_first() -> None:
    actions = [action for number in range(20) for action in rows(4, "in/#.mp4 is missing", name="x" * (number + 1))]
    group = only(actions)
    assert (group.address, group.count, group.why) == ("*[*]", 80, "in/….mp4 is missing")


def test_then_the_smallest_of_each_kind() -> None:
    words = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"]
    actions = [
        action
        for number, word in enumerate(words)
        for kind in ("blocked", "create")
        for action in rows(4 + number, f"because of {word}", kind)
    ]
    found = [(group.kind, group.count, group.why or group.reasons) for group in grouped(actions, 18)]
    assert found == [
        ("blocked", 11, "because of op"),
        ("blocked", 10, "because of mn"),
        ("blocked", 39, 6),
        ("create", 11, "because of op"),
        ("create", 10, "because of mn"),
        ("create", 39, 6),
    ]


def test_moves_are_counted_by_their_templates() -> None:
    moves = {f'old["{row}"]': f'new["{row}"]' for row in range(5)} | {"a1": "b1"}
    assert grouped_moves(moves) == [(5, "old[*]", "new[*]"), (1, "a1", "b1")]


@pytest.mark.parametrize(("value", "text"), [(None, "absent"), ("é", "é"), (True, "true"), ([1, "é"], '[1, "é"]')])
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert value_text(value) == text


def test_a_large_plan_comes_down_to_a_few_groups() -> None:
    actions = catalogue(20_000).actions
    groups = grouped(actions, ROOM)
    assert sum(group.count for group in groups) == len(actions)
    assert len(groups) == 12


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(0, 60))
def test_no_action_is_lost_and_the_room_is_kept(plan: Plan, room: int) -> None:
    actions = plan.actions
    groups = grouped(actions, room)
    kinds = {action.kind for action in actions}
    assert {group.kind for group in groups} == kinds
    assert [ORDER.index(group.kind) for group in groups] == sorted(ORDER.index(group.kind) for group in groups)
    assert sum(min(group.count, 3) for group in groups) <= max(room, 3 * len(kinds))
    for kind in kinds:
        counts = [group.count for group in groups if group.kind == kind]
        assert sum(counts) == sum(action.kind == kind for action in actions)
    for group in groups:
        assert len(group.steps) == min(group.count, EXAMPLES)
        assert {step.kind for step in group.steps} == {group.kind}
