"""The decision table: every file under tests/plan/ is one case, desired and observed in, actions with reasons out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.fingerprint import earlier_fingerprints, fingerprint
from reconciler.plan import KINDS, Plan, excess, plan
from reconciler.state import (
    DesiredState,
    Failure,
    LiveJob,
    ObservedState,
    Output,
    PastJob,
    Record,
    StoredObject,
    Submission,
    request_keys,
)
from tests.factory import output, record

CASES = sorted((Path(__file__).parent / "plan").glob("*.json"))


def declared(entries: dict[str, Any]) -> dict[str, Output]:
    outputs = {}
    for address, entry in sorted(entries.items()):
        fields = dict(entry)
        sources = fields.pop("sources", [f"in/{address}.mp4"])
        for name in ("upstream", "ignore_changes"):
            fields[name] = tuple(fields.get(name, ()))
        outputs[address] = output(address, *sources, **fields)
    return outputs


def recorded(entries: dict[str, Any]) -> dict[str, Record]:
    """A record is written as the declaration it was made from, with the ETags of that time."""
    records = {}
    for address, entry in entries.items():
        fields = dict(entry)
        inputs, etag, version = fields.pop("inputs", {}), fields.pop("etag", "made"), fields.pop("version", "2")
        protect, digest = fields.pop("protect", False), fields.pop("digest", None)
        size = fields.pop("size", None)
        made = record(declared({address: fields})[address], inputs, etag, protect=protect, size=size)
        if version == "1":
            digest = earlier_fingerprints(made.request, inputs)[0].partition(":")[2]
        digest = digest or (made.fingerprint.partition(":")[2] if version == "2" else "other")
        records[address] = Record(**{**_fields(made), "fingerprint": f"{version}:{digest}"})
    return records


def _fields(made: Record) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Record.__dataclass_fields__}


def begun(entries: dict[str, Any]) -> dict[str, Submission]:
    submissions = {}
    for address, entry in entries.items():
        fields = dict(entry)
        inputs, job = fields.pop("inputs", {}), fields.pop("job", None)
        made = declared({address: fields})[address]
        keys = request_keys(made)
        mark = fingerprint(keys, inputs)
        submissions[address] = Submission(
            address, f"reconciler:{mark}:{16 * '0'}", mark, made.object, keys, inputs, "2026-05-01T10:00:00+00:00", job
        )
    return submissions


def marked(entry: dict[str, Any], address: str) -> tuple[str, Output]:
    """Return the fingerprint of a declaration with these inputs, taken out of the entry, and the output."""
    inputs, version = entry.pop("inputs", {}), entry.pop("version", "2")
    made = declared({address: entry})[address]
    keys = request_keys(made)
    return (earlier_fingerprints(keys, inputs)[0] if version == "1" else fingerprint(keys, inputs)), made


def past(entries: list[dict[str, Any]]) -> tuple[PastJob, ...]:
    """A past job is written as the declaration that it was made from, newest first."""
    jobs = []
    for number, entry in enumerate(entries):
        fields = dict(entry)
        told = {name: fields.pop(name) for name in ("state", "md5", "key_made") if name in fields}
        mark, made = marked(fields, "past")
        key = told.get("key_made", made.object)
        token = f"reconciler:{mark}:{number:016x}"
        state = told.get("state", "Success")
        jobs.append(PastJob(f"j{number}", state, token, mark, made.object, key, told.get("md5")))
    return tuple(jobs)


def failed(entries: dict[str, Any]) -> dict[str, Failure]:
    failures = {}
    for address, entry in entries.items():
        fields = dict(entry)
        attempts = fields.pop("attempts")
        mark, _ = marked(fields, address)
        failures[address] = Failure(address, "j9", "InvalidSource", "not a video", "2026-05-01", attempts, mark)
    return failures


def run(case: dict[str, Any]) -> Plan:
    observed = ObservedState(
        objects={key: StoredObject(etag, 1) for key, etag in case.get("objects", {}).items()},
        records=recorded(case.get("records", {})),
        pending=begun(case.get("pending", {})),
        jobs={address: LiveJob(*job) for address, job in case.get("jobs", {}).items()},
        failures=failed(case.get("failures", {})),
        history=past(case.get("history", [])),
        refreshed=case.get("refreshed", True),
    )
    desired = DesiredState(declared(case.get("desired", {})), moved=case.get("moved", {}))
    return plan(desired, observed, **case.get("options", {}))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_decision(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    made = run(case)
    assert [[action.address, action.kind, action.reason] for action in made.everything] == case["actions"]
    if "changes" in case:
        found = [[change.path, change.before, change.after] for action in made.actions for change in action.changes]
        assert found == case["changes"]
    assert dict(made.moves) == case.get("moves", {})
    assert sorted(made.upgrades) == case.get("upgrades", [])
    if "origins" in case:
        found = [[action.address, str(action.origin)] for action in made.actions if action.origin]
        assert found == case["origins"]


def test_there_are_cases_for_every_kind() -> None:
    kinds = {action[1] for path in CASES for action in json.loads(path.read_text(encoding="utf-8"))["actions"]}
    assert kinds == set(KINDS)


def plan_of(count: int, replaced: int) -> Plan:
    names = [f"o{index:03}" for index in range(count)]
    outputs = {name: output(name) for name in names}
    records = {
        name: record(outputs[name], {f"in/{name}.mp4": "old" if name in names[:replaced] else name}) for name in names
    }
    objects = {key: StoredObject("made", 1) for key in (f"out/{name}.mp4" for name in names)}
    objects |= {f"in/{name}.mp4": StoredObject(name, 1) for name in names}
    return plan(DesiredState(outputs), ObservedState(objects, records))


@pytest.mark.parametrize(
    ("count", "replaced", "limit", "over"),
    [
        (20, 10, "50%", False),
        (20, 11, "50%", True),
        (3, 3, "50%", False),  # a share guards only from ten outputs on
        (3, 3, 2, True),
        (3, 2, 2, False),
        (3, 2, "2", False),
        (20, 1, "0%", True),
    ],
)
def test_a_plan_that_changes_too_much_is_unsafe(count: int, replaced: int, limit: str | int, over: bool) -> None:
    reason = excess(plan_of(count, replaced), limit)
    assert (reason is not None) is over
    if reason:
        assert reason == f"the plan replaces or deletes {replaced} of {count} outputs; policy.max_changes is {limit}"


def test_a_deep_chain_is_decided_without_recursion() -> None:
    outputs = {"o0000": output("o0000", "in/a.mp4")}
    for index in range(1, 3000):
        name, before = f"o{index:04}", f"o{index - 1:04}"
        outputs[name] = output(name, f"out/{before}.mp4", upstream=(before,))
    made = plan(DesiredState(outputs), ObservedState({"in/a.mp4": StoredObject("e", 1)}, {}))
    assert made.summary["create"] == 3000


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(
            st.booleans(), st.sampled_from(["absent", "same", "other"]), st.sampled_from(["none", "same", "old"])
        ),
    )
)
def test_every_output_gets_one_action_and_carrying_it_out_leaves_nothing(
    world: dict[str, tuple[bool, str, str]],
) -> None:
    outputs = {name: output(name) for name, (is_declared, _, _) in sorted(world.items()) if is_declared}
    objects = {f"in/{name}.mp4": StoredObject(name, 1) for name in world}
    records = {}
    for name, (_, there, known) in world.items():
        if there != "absent":
            objects[f"out/{name}.mp4"] = StoredObject("made" if there == "same" else "other", 1)
        if known != "none":
            records[name] = record(output(name), {f"in/{name}.mp4": name if known == "same" else "before"})
    made = plan(DesiredState(outputs), ObservedState(objects, records), prune=True)
    assert [action.address for action in made.everything] == sorted(outputs.keys() | records.keys())

    for action in made.actions:
        if action.kind in ("create", "replace"):
            objects[action.object] = StoredObject("made", 1)
            records[action.address] = record(outputs[action.address], action.inputs)
        elif action.kind in ("delete", "forget"):
            objects.pop(action.object, None)
            del records[action.address]
    again = plan(DesiredState(outputs), ObservedState(objects, records), prune=True)
    assert {action.kind for action in again.pending} <= {"conflict"}
