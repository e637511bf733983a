"""Everybody is slowed down together, by what the service says, and comes back to full speed by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pacer import FIRST_PAUSE, LONGEST_PAUSE, LONGEST_WISH, Pacer


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
