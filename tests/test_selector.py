from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.selector import Requirement, Selector, SelectorError, parse_selector

LABELS = {"team": "x", "tier": "low", "example.com/area": "a b"}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("team=x", True),
        ("team==x", True),
        ("team = y", False),
        ("team!=x", False),
        ("team!=y", True),
        ("missing!=y", True),
        ("missing=y", False),
        ("team in (a, x)", True),
        ("team in(a)", False),
        ("team notin (a,b)", True),
        ("team notin (x)", False),
        ("missing notin (x)", True),
        ("team", True),
        ("missing", False),
        ("!missing", True),
        ("! team", False),
        ("team=x,tier in (low,mid),!draft", True),
        ("team=x,tier in (high,mid)", False),
        ("example.com/area=a b", True),
        ("missing=", False),
        ("in in (in)", False),
    ],
)
def test_what_is_selected(selector: str, selected: bool) -> None:
    assert parse_selector(selector).matches(LABELS) is selected


def test_an_empty_value_is_a_value() -> None:
    assert parse_selector("team=").matches({"team": ""})
    assert parse_selector("team in (a,)").matches({"team": ""})
    assert not parse_selector("team=").matches({})


def test_no_conditions_select_everything() -> None:
    assert Selector().matches({})


@pytest.mark.parametrize(
    ("selector", "summary"),
    [
        ("", "the selector is empty"),
        ("  ", "the selector is empty"),
        ("team=x,", "there is nothing between two commas, or at an end of the selector"),
        (",team", "there is nothing between two commas, or at an end of the selector"),
        ("=x", "the key of a label is missing"),
        ("!", "`!` is no condition on a label"),
        ("a b", "`a b` is no condition on a label"),
        ("team in x", "`team in x` is no condition on a label"),
        ("team in (x", "`team in (x` is no condition on a label"),
        ("team in ()", "`team in ()` lists no value"),
        ("team=x=y", "`team=x=y` is no condition on a label"),
        ("team===x", "`team===x` is no condition on a label"),
        ("t€am=x", "`t€am` cannot be the key of a label"),
        ("team>3", "`team>3` cannot be the key of a label"),
    ],
)
def test_what_is_refused(selector: str, summary: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(selector)
    assert caught.value.summary == summary
    assert caught.value.advice


keys = st.from_regex(r"[A-Za-z0-9_./-]{1,8}", fullmatch=True)
values = st.from_regex(r"[A-Za-z0-9_.-]{0,4}", fullmatch=True)
requirements = st.builds(
    Requirement, keys, st.sampled_from(["in", "notin"]), st.frozensets(values.filter(bool), min_size=1, max_size=3)
) | st.builds(Requirement, keys, st.sampled_from(["exists", "absent"]))


def written(requirement: Requirement) -> str:
    if requirement.test in ("exists", "absent"):
        return ("!" if requirement.test == "absent" else "") + requirement.key
    return f"{requirement.key} {requirement.test} ({','.join(sorted(requirement.values))})"


@given(st.lists(requirements, min_size=1, max_size=4))
def test_what_is_written_is_read(conditions: list[Requirement]) -> None:
    assert parse_selector(",".join(map(written, conditions))) == Selector(tuple(conditions))


@given(st.text("ab=!,() in", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_selector(text)
    except SelectorError as error:
        assert error.summary  # noqa: PT017 - both ways are right
