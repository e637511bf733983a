"""A first careful step: so many outputs, with what they are made of, and the rest later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.action import EFFECTIVE, Action, Kind, Plan
from reconciler.limits import limited
from reconciler.plan_templates import TemplateAction

COUNTED = {"create", "replace", "reuse", "adopt"}


def plan_of(actions: Mapping[str, tuple[str, Sequence[str]]], *templates: TemplateAction) -> Plan:
    """Return a plan of these actions: address → kind, and the addresses that it waits for."""
    made = (
        Action(
            name,
            cast("Kind", kind),
            "why",
            f"out/{name}.mp4",
            upstream={other: f"out/{other}.mp4" for other in made_of},
        )
        for name, (kind, made_of) in sorted(actions.items())
    )
    return Plan(tuple(made), templates=templates, moves={"old": "new"}, settled={"z": "out/z.mp4"})


@pytest.mark.parametrize(
    ("actions", "count", "kept", "left"),
    [
        ({"a": ("create", ""), "b": ("replace", ""), "c": ("create", "")}, 2, ["a", "b"], 1),
        ({"a": ("create", ""), "b": ("replace", "")}, 2, ["a", "b"], 0),
        ({"a": ("create", "c"), "b": ("create", ""), "c": ("create", "")}, 2, ["a", "c"], 1),
        ({"a": ("create", "c"), "b": ("create", ""), "c": ("create", "")}, 1, ["c"], 2),
        ({"a": ("reuse", ""), "b": ("adopt", ""), "c": ("create", "")}, 2, ["a", "b"], 1),
        ({"a": ("delete", ""), "b": ("forget", ""), "c": ("create", "")}, 5, ["c"], 2),
        ({"a": ("blocked", ""), "b": ("conflict", ""), "c": ("none", "")}, 1, ["a", "b", "c"], 0),
        ({"a": ("create", ""), "b": ("wait", ""), "c": ("wait", "")}, 1, ["a", "b", "c"], 0),
        ({"a": ("create", "b"), "b": ("wait", ""), "c": ("create", "")}, 1, ["a", "b"], 1),
        ({"a": ("create", ""), "b": ("create", ""), "c": ("wait", "b")}, 1, ["a"], 2),
    ],
)
def test_the_first_are_taken_and_what_they_are_made_of_before_them(
    actions: dict[str, tuple[str, str]], count: int, kept: list[str], left: int
) -> None:
    made = limited(plan_of(actions), count)
    assert [action.address for action in made.actions] == kept
    assert (made.left, made.limit) == (left, count)
    assert (made.moves, made.settled) == ({"old": "new"}, {"z": "out/z.mp4"})


def test_a_plan_that_leaves_something_is_not_empty() -> None:
    made = limited(Plan((Action("a", "delete", "no longer declared", "out/a.mp4"),)), 3)
    assert made.actions == ()
    assert not made.empty
    assert not made.effective


def test_only_templates_that_are_rendered_with_are_written() -> None:
    named, other, same = (
        TemplateAction(f"transcode_template.{name}", kind, "why", "Transcode", name)  # type: ignore[arg-type]
        for name, kind in (("hd", "create"), ("sd", "delete"), ("uhd", "none"))
    )
    whole = Plan(
        (
            Action("a", "create", "not made yet", "out/a.mp4", templates=(named.address,)),
            Action("b", "create", "not made yet", "out/b.mp4", templates=(other.address,)),
        ),
        templates=(named, other, same),
    )
    made = limited(whole, 1)
    assert made.templates == (named, same)
    assert made.left == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["create", "replace", "reuse", "adopt", "wait", "delete", "none"]), st.integers(0)),
        max_size=12,
    ),
    st.permutations("abcdefghijkl"),
    st.integers(1, 8),
)
def test_nothing_is_begun_without_what_it_is_made_of_and_nothing_is_lost(
    drawn: list[tuple[str, int]], names: list[str], count: int
) -> None:
    actions = {
        names[index]: (kind, [names[before] for before in range(index) if upstream >> before & 1])
        for index, (kind, upstream) in enumerate(drawn)
    }
    whole = plan_of(actions)
    made = limited(whole, count)
    kept = {action.address: action for action in made.actions}
    making = {action.address for action in whole.actions if action.kind in COUNTED | {"wait"}}
    counted = sum(action.kind in COUNTED for action in made.actions)
    assert counted == min(count, sum(action.kind in COUNTED for action in whole.actions))
    assert all(
        name in kept
        for action in made.actions
        if action.address in making
        for name in action.upstream
        if name in making
    )
    effective = [sum(action.kind in EFFECTIVE for action in plan.actions) for plan in (whole, made)]
    assert made.left == effective[0] - effective[1]
