"""What is no longer declared goes only when it is ours, unchanged and nobody's, and nothing of it is lost before."""

from __future__ import annotations

from typing import Any

from reconciler.action import Action
from reconciler.plan import plan
from reconciler.state import DesiredState, LiveJob, ObservedState, Output, StoredObject, Submission
from tests.factory import output, record

A, B = output("a"), output("b", key="out/a.mp4")
THERE = {f"in/{name}.mp4": StoredObject(f"e{name}", 1) for name in "ab"}
RECORDED = record(A, {"in/a.mp4": "ea"})


def begun(of: Output, inputs: dict[str, str], **fields: Any) -> Submission:
    made = record(of, inputs)
    time = "2026-05-01T10:00:00+00:00"
    return Submission(of.address, "token", made.fingerprint, of.object, made.request, inputs, time, **fields)


def decided(*declared: Output, prune: bool = True, **observed: Any) -> dict[str, Action]:
    state = ObservedState(**{"objects": {**THERE, "out/a.mp4": StoredObject("made", 1)}, "records": {}, **observed})
    desired = DesiredState({one.address: one for one in declared})
    return {action.address: action for action in plan(desired, state, prune=prune).everything}


def test_what_is_ours_and_unchanged_is_deleted() -> None:
    action = decided(records={"a": RECORDED})["a"]
    assert (action.kind, action.seen, action.declared) == ("delete", "made", False)


def test_what_its_job_makes_is_recorded_before_it_goes() -> None:
    """The record still tells of what was there before: by that, its own job would have changed the object outside."""
    old = record(A, {"in/a.mp4": "before"}, etag="old")
    for live in ("Running", "Success"):
        action = decided(
            records={"a": old}, pending={"a": begun(A, {"in/a.mp4": "ea"}, job="j1")}, jobs={"a": LiveJob("j1", live)}
        )["a"]
        assert (action.kind, action.job, action.declared) == ("wait", "j1", False)


def test_a_job_that_made_nothing_holds_nothing_back() -> None:
    action = decided(
        records={"a": RECORDED},
        pending={"a": begun(A, {"in/a.mp4": "ea"}, job="j1")},
        jobs={"a": LiveJob("j1", "Failed")},
    )["a"]
    assert (action.kind, action.job) == ("delete", "j1")


def test_an_object_is_kept_until_the_output_that_gets_it_has_it() -> None:
    """An output whose job is at work for its former key takes the object by the next plan only."""
    former = begun(output("b", key="out/b.mp4"), {"in/b.mp4": "eb"}, job="j1")
    actions = decided(B, records={"a": RECORDED}, pending={"b": former}, jobs={"b": LiveJob("j1", "Running")})
    assert (actions["b"].kind, actions["b"].object) == ("wait", "out/b.mp4")
    assert (actions["a"].kind, actions["a"].reason) == ("none", "no longer declared; kept until b has its object")


def test_what_another_output_has_by_now_is_forgotten() -> None:
    theirs = record(B, {"in/b.mp4": "eb"})
    action = decided(B, records={"a": RECORDED, "b": theirs})["a"]
    assert (action.kind, action.reason) == ("forget", "no longer declared; its object belongs to b")


def test_an_object_at_a_former_key_goes_once_its_output_is_elsewhere() -> None:
    moved = output("a", key="out/z.mp4")
    actions = decided(moved, records={"a": RECORDED})
    assert actions["a@out/a.mp4"].kind == "delete"
    assert decided(moved, records={"a": RECORDED}, prune=False).keys() == {"a"}
