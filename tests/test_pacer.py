"""Everybody is slowed down together, by what the service says, and comes back to full speed by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pacer import FIRST_PAUSE, LONG_WISH, LONGEST_PAUSE, LONGEST_WISH, QUIET, Pacer, Spacing, TokenBucket


def slowed(times: int) -> tuple[Pacer, float]:
    """A pacer that was refused some times, one after the other, and the time by then."""
    pacer, now = Pacer(), 0.0
    for _ in range(times):
        now += pacer.wait(now)
        pacer.begin(now)
        pacer.refused(now, now + 0.01, chance=1.0)
        now += 0.01
    return pacer, now


def test_unhindered_calls_begin_as_they_come() -> None:
    pacer = Pacer()
    for _ in range(100):
        assert pacer.wait(5.0) == 0
        pacer.begin(5.0)
        pacer.accepted(5.0)


@pytest.mark.parametrize(("times", "pause"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 10.0), (50, 10.0)])
def test_every_refusal_doubles_the_pause_up_to_a_bound(times: int, pause: float) -> None:
    pacer, now = slowed(times)
    assert pacer.pause == pause
    assert pacer.wait(now) == pytest.approx(pause, abs=0.02)


def test_calls_that_were_under_way_together_count_once() -> None:
    pacer = Pacer()
    for _ in range(100):
        pacer.begin(1.0)
    for number in range(100):
        pacer.refused(1.0, 1.1 + number / 1000, chance=1.0)
    assert pacer.pause == FIRST_PAUSE
    pacer.accepted(1.0)
    assert pacer.pause == FIRST_PAUSE, "an answer to a call from before the refusal says nothing"


def test_good_answers_bring_back_full_speed() -> None:
    pacer, now = slowed(6)
    calls = 0
    while pacer.pause:
        now += pacer.wait(now)
        pacer.begin(now)
        pacer.accepted(now)
        calls += 1
    assert calls < 25
    assert pacer.wait(now) == 0


@pytest.mark.parametrize(("wish", "waited"), [(0.0, FIRST_PAUSE), (3.0, 3.0), (1e6, LONGEST_WISH)])
def test_what_the_service_wishes_is_obeyed_within_bounds(wish: float, waited: float) -> None:
    pacer = Pacer()
    pacer.begin(0.0)
    pacer.refused(0.0, 0.0, chance=1.0, wish=wish)
    assert pacer.wait(0.0) == waited


@pytest.mark.parametrize(("chance", "waited"), [(0.0, FIRST_PAUSE / 2), (1.0, FIRST_PAUSE)])
def test_chance_spreads_many_clients(chance: float, waited: float) -> None:
    pacer = Pacer()
    pacer.refused(0.0, 0.0, chance=chance)
    assert pacer.wait(0.0) == waited


def test_how_long_there_was_no_good_answer_is_known() -> None:
    pacer = Pacer()
    assert pacer.refusing(9.0) == 0
    pacer.refused(10.0, 10.0, chance=1.0)
    pacer.refused(11.0, 11.0, chance=1.0)
    assert pacer.refusing(15.0) == 5
    pacer.accepted(12.0)
    assert pacer.refusing(16.0) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["refused", "accepted"]),
            st.floats(0, 100),
            st.floats(0, 1),
            st.floats(0, 1e9, allow_nan=False),
        ),
        max_size=60,
    )
)
def test_nobody_waits_for_ever_and_the_pause_stays_within_bounds(events: list[tuple[str, float, float, float]]) -> None:
    pacer, now = Pacer(), 0.0
    for kind, passed, chance, wish in events:
        wait = pacer.wait(now)
        assert 0 <= wait <= LONGEST_WISH + 1e-6
        now += wait
        assert pacer.wait(now) <= 1e-6, "who has waited may begin"
        pacer.begin(now)
        began, now = now, now + passed
        before = pacer.pause
        if kind == "refused":
            pacer.refused(began, now, chance=chance, wish=wish)
            assert pacer.pause >= before
        else:
            pacer.accepted(began)
            assert pacer.pause <= before
        assert pacer.pause == 0 or 0.01 <= pacer.pause <= LONGEST_PAUSE


@given(limit=st.floats(0.5, 50), unhindered=st.floats(1, 500))
def test_under_a_steady_limit_most_calls_are_accepted(limit: float, unhindered: float) -> None:
    """A service that takes ``limit`` calls a second, and callers who together make up to ``unhindered``."""
    pacer, now, last, allowance = Pacer(), 0.0, 0.0, 1.0
    taken = refused = 0
    while now < 60:
        now += pacer.wait(now) or 1 / unhindered
        pacer.begin(now)
        allowance = min(allowance + (now - last) * limit, max(limit, 1.0))
        last = now
        if allowance >= 1:
            allowance -= 1
            taken += 1
            pacer.accepted(now)
        else:
            refused += 1
            pacer.refused(now, now + 0.001, chance=0.5)
            now += 0.001
    assert taken > min(limit, unhindered) * 60 / 4
    assert refused < taken / 2 + 20


# Beginnings a second.


def begun(bucket: TokenBucket, asked: list[float]) -> list[float]:
    """When those begin who ask at these times, one after the other, and wait as long as they are told."""
    found: list[float] = []
    for time in asked:
        now = max(time, found[-1] if found else 0.0)
        now += bucket.wait(now)
        assert bucket.wait(now) == 0, "who has waited may begin"
        bucket.take(now)
        found.append(now)
    return found


@pytest.mark.parametrize(
    ("rate", "at_once", "then"),
    [(4, [0.0] * 4, [0.25, 0.5]), (1, [0.0], [1.0, 2.0]), (0.1, [0.0], [10.0, 20.0]), (2.5, [0.0, 0.0], [0.2, 0.6])],
)
def test_one_seconds_worth_begins_at_once_and_the_rest_is_spaced(
    rate: float, at_once: list[float], then: list[float]
) -> None:
    asked = [0.0] * (len(at_once) + len(then))
    assert begun(TokenBucket(rate), asked) == pytest.approx([*at_once, *then])


def test_what_was_not_used_is_kept_for_one_second_only() -> None:
    assert begun(TokenBucket(2), [0.0, 0.0, 100.0, 100.0, 100.0]) == pytest.approx([0, 0, 100, 100, 100.5])


@given(rate=st.floats(0.01, 1000), gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60), start=st.floats(0, 1e7))
def test_in_no_time_more_begin_than_the_rate_allows(rate: float, gaps: list[float], start: float) -> None:
    asked = [start]
    for gap in gaps:
        asked.append(asked[-1] + gap)
    times = begun(TokenBucket(rate), asked)
    for first, earlier in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= max(rate, 1) + rate * (times[last] - earlier) + 1e-3


def test_a_pacer_keeps_to_its_rate_and_to_what_the_service_asks_for() -> None:
    pacer = Pacer(10)
    for _ in range(10):
        assert pacer.wait(0.0) == 0
        pacer.begin(0.0)
    assert pacer.wait(0.0) == pytest.approx(0.1)
    pacer.refused(0.0, 0.0, chance=1.0, wish=3.0)
    assert pacer.wait(0.0) == 3


def test_submissions_to_each_queue_are_spaced_by_themselves() -> None:
    spacing = Spacing({"slow": 0.5, "fast": 2, "free": None})
    assert [spacing.delay("slow", 0.0) for _ in range(3)] == [0, 2, 4]
    assert [spacing.delay("fast", 0.0) for _ in range(3)] == [0, 0, 0.5]
    assert [spacing.delay(queue, 0.0) for queue in ("free", "unknown") for _ in range(9)] == [0] * 18
    assert spacing.delay("slow", 5.0) == 1, "who asks later waits for those who asked before"
    assert spacing.delay("slow", 100.0) == 0


# What people are told.


def test_a_slow_down_is_told_when_it_begins_and_not_again_while_it_lasts() -> None:
    pacer = Pacer()
    assert [pacer.refused(now, now, chance=1.0) for now in (1.0, 2.0, 20.0, 90.0)] == [True, False, False, False]
    pacer.accepted(91.0)
    assert pacer.refused(92.0, 92.0, chance=1.0)


def test_a_long_wish_is_told_also_in_the_middle() -> None:
    pacer = Pacer()
    assert pacer.refused(0.0, 0.0, chance=1.0)
    assert not pacer.refused(QUIET, QUIET, chance=1.0, wish=LONG_WISH - 1)
    assert pacer.refused(QUIET, QUIET, chance=1.0, wish=LONG_WISH)
    assert not pacer.refused(QUIET, QUIET + 1, chance=1.0, wish=LONG_WISH), "of many who wish the same one is told"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30), st.floats(0, 200)), max_size=60))
def test_it_is_never_told_often(events: list[tuple[bool, float, float]]) -> None:
    pacer, now, told = Pacer(), 0.0, float("-inf")
    for is_refusal, passed, wish in events:
        now += passed
        if not is_refusal:
            pacer.accepted(now)
        elif pacer.refused(now, now, chance=0.5, wish=wish):
            assert now - told >= QUIET
            told = now
