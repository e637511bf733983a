"""The decision table: what is to be done about one output. Pure; a part of ``plan``.

What is declared is compared with what was recorded and with what is there. The table is in docs/architecture.md, "What
the planner decides"; each of its rows is a case under tests/plan/.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from reconciler.action import MAKES, RENDERS, UP_TO_DATE, Action, Kind, Origin
from reconciler.api.messages import TERMINAL
from reconciler.contents import Contents
from reconciler.fingerprint import (
    content_digest,
    earlier_fingerprints,
    fingerprint,
    fingerprint_of,
    is_of_today,
    sources_of,
)
from reconciler.ignoring import effective_request, ignored_inputs, ignores_object
from reconciler.naming import changed
from reconciler.settled import Settled
from reconciler.state import (
    DesiredState,
    ObservedState,
    Output,
    Record,
    StoredObject,
    Submission,
    request_keys,
)

UNKNOWN: Final = ""
"""The ETag of a source that nobody recorded, when nobody is asked: no object has it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the person at the terminal and the project's policy say about a plan.

    ``forced`` are made anew whatever their state, ``wanted`` are what the plan is about, ``bad_templates`` says why
    nothing may be made with a template. After ``max_attempts`` failed ones in a row an output is left to a person.
    """

    wanted: Collection[str]
    forced: frozenset[str] = frozenset()
    prune: bool = False
    bad_templates: Mapping[str, str] | None = None
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class _Case:
    """One output to decide about. ``mark`` is its fingerprint, None while something it is made of is being made."""

    output: Output
    record: Record | None
    there: StoredObject | None
    draft: Action
    mark: str | None

    @property
    def remade(self) -> Kind:
        """What making it is called."""
        return "create" if self.record is None else "replace"

    def is_marked(self, other: str) -> bool:
        """Tell whether another fingerprint means the same content, whatever version wrote it."""
        if self.mark is None or other == self.mark:
            return self.mark is not None
        return not is_of_today(other) and other in earlier_fingerprints(self.draft.request, self.draft.inputs)


class Decisions:
    """Decides about one output at a time; what is made of other outputs asks for their decision first."""

    def __init__(self, desired: DesiredState, observed: ObservedState, rules: Rules) -> None:
        self._desired = desired
        self._observed = observed
        self._rules = rules
        self._is_settled = Settled(observed, rules.forced)
        self._contents = Contents(observed)
        self.decided: dict[str, Action] = {}
        self.upgrades: dict[str, str] = {}
        self.settled: dict[str, str] = {}

    def decide(self, address: str) -> Action | None:
        """Return the action for a declared output, deciding what it is made of first, at any depth.

        None for one that is up to date: it is in ``settled`` with its key; the others are in ``decided``.
        """
        output = self._desired.outputs[address]
        if not output.upstream and self._is_settled(output):
            self.settled[address] = output.object
            return None
        return self._with_upstream(address)

    def _with_upstream(self, address: str) -> Action:
        stack = [address]
        while stack:
            current = stack[-1]
            output = self._desired.outputs[current]
            open_ones = [name for name in self._upstream(output) if name not in self.decided]
            if open_ones:
                stack.extend(open_ones)
            else:
                if current not in self.decided:
                    self.decided[current] = self._decide(output)
                stack.pop()
        return self.decided[address]

    # What an output is made of.

    def _upstream(self, output: Output) -> list[str]:
        """Return the outputs that an output is made of, as far as the plan is about them."""
        if not output.upstream:
            return []
        wanted, outputs = self._rules.wanted, self._desired.outputs
        return [name for name in output.upstream if name in wanted and outputs[name].object in output.sources]

    def _made_first(self, output: Output) -> dict[str, str]:
        """Return those of them (address → key) that will be made, or are being made."""
        decided = ((name, self.decided[name]) for name in self._upstream(output))
        return {name: action.object for name, action in decided if action.kind in MAKES}

    def _inputs(self, output: Output, made_first: Mapping[str, str]) -> dict[str, str]:
        """Return the ETag of every source that is known; that of a copy is known before it is made."""
        objects = self._observed.objects
        inputs = {key: objects[key].etag for key in output.sources if key in objects}
        if not self._observed.refreshed:
            record = self._observed.records.get(output.address)
            own = record.inputs if record is not None else {}
            inputs = {key: own.get(key, UNKNOWN) for key in output.sources} | inputs
        for name, key in made_first.items():
            origin = self.decided[name].origin if self.decided[name].kind == "reuse" else None
            if origin is not None and origin.etag is not None and "-" not in origin.etag:
                inputs[key] = origin.etag
            else:
                inputs.pop(key, None)
        return inputs

    # One output.

    def _decide(self, output: Output) -> Action:
        case = self._case(output)
        decided = self._blocked(case) or self._begun(case)
        if decided is None:
            decided = self._usual(case)
        decided = self._saved(case, decided)
        decided = self._with_good_templates(decided)
        decided = self._given_up(case, decided)
        return _protected(decided, case.record) if output.protect else decided

    def _case(self, output: Output) -> _Case:
        record = self._observed.records.get(output.address)
        request, digest = request_keys(output), output.digest
        if record and output.ignore_changes:
            request = effective_request(output, record)
            output, digest = replace(output, sources=sources_of(request)), content_digest(request)
        key = self._key(output, record)
        there = self._observed.objects.get(key)
        made_first = self._made_first(output)
        inputs = self._inputs(output, made_first)
        draft = Action(
            output.address, "none", UP_TO_DATE, key, request=request, seen=there.etag if there else None,
            inputs=inputs, sources=output.sources, upstream=made_first, protect=output.protect,
            templates=output.templates, made_of=tuple(self._upstream(output)),
        )  # fmt: skip
        unknown = any(key not in inputs for key in made_first.values())
        compared = ignored_inputs(output, inputs, record) if record else inputs
        mark = None if unknown else fingerprint_of(digest, output.sources, compared)
        return _Case(output, record, there, draft, mark)

    def _key(self, output: Output, record: Record | None) -> str:
        """Return the object key; one with ``${jobid}`` is known once it was made from the same pattern."""
        if "${jobid}" not in output.object or record is None:
            return output.object
        asked = output.request.operation[0].output.object
        return record.object if _pattern(record.request) == asked else output.object

    def _blocked(self, case: _Case) -> Action | None:
        for name in self._upstream(case.output):
            kind = self.decided[name].kind
            if kind in ("blocked", "conflict"):
                state = "in conflict" if kind == "conflict" else "blocked"
                return replace(case.draft, kind="blocked", reason=f"it is made of {name}, which is {state}")
        known = case.draft.inputs.keys() | set(case.draft.upstream.values())
        if case.record is not None:
            known |= ignored_inputs(case.output, {}, case.record).keys()
        return _missing(case.draft, known)

    def _begun(self, case: _Case) -> Action | None:
        """Decide for an output whose submission has no recorded end."""
        address, draft = case.output.address, case.draft
        begun = self._observed.pending.get(address)
        if begun is None:
            return None
        if not self._observed.refreshed:
            return replace(draft, kind="wait", reason="its job was begun", job=begun.job)
        live = self._observed.jobs.get(address)
        if live is None and begun.job:
            return None  # the service no longer knows the job: decide as if it had never been
        usual, elsewhere = self._usual(case), begun.object != draft.object
        if elsewhere and usual.kind == "conflict":  # what was begun is no reason to write over somebody's object
            return usual
        if live is None and usual.kind == "adopt":  # what is to be made is there; apply settles the doubt first
            return usual
        if live is None:
            return replace(draft, kind=case.remade, reason="its submission was interrupted")
        verb = "ended as" if live.state in TERMINAL else "is"
        needless = elsewhere and usual.kind in ("none", "adopt")
        forced = address in self._rules.forced
        right = case.is_marked(begun.fingerprint) and not is_made_since(begun, self._observed.records, draft.sources)
        # What is protected is recorded first, so that the next plan says that it is, and what of it would change.
        if case.output.protect or (not forced and (needless or right)):
            reason = f"job {live.job} {verb} {live.state}"
            return replace(draft, kind="wait", reason=reason, object=begun.object, job=live.job, twins=live.twins)
        reason = f"job {live.job} for an earlier version {verb} {live.state}"
        return replace(draft, kind=case.remade, reason=reason, job=live.job, twins=live.twins, forced=forced)

    def _usual(self, case: _Case) -> Action:
        """Decide for an output as if nothing of it were under way."""
        return self._first(case) if case.record is None else self._again(case, case.record)

    def _first(self, case: _Case) -> Action:
        """Decide for an output that nothing is recorded of."""
        draft = case.draft
        if case.output.address not in self._rules.forced and (known := self._from_history(case)) is not None:
            return known
        if case.there is None:
            return replace(draft, kind="create", reason="not made yet")
        if (inherited := self._inherited(case, case.there)) is not None:
            return inherited
        if (origin := self._contents.held(case.there, case.is_marked)) is not None:
            return replace(draft, kind="adopt", reason=f"holds the same as {origin}", origin=origin)
        if case.output.adopt:
            return replace(draft, kind="adopt", reason="exists; taken as it is")
        if (past := self._contents.job_at((draft.object,), lambda _: True)) is not None and past.state in TERMINAL:
            reason = (
                f"was made by job {past.job} for something else, of which nothing is recorded; `recover` records it"
            )
            return replace(draft, kind="conflict", reason=reason)
        advice = "set `adopt: true` to take it, or delete it"
        reason = f"exists, but was not made by us; {advice}"
        if (maker := self._contents.maker(case.there)) is not None:
            reason = f"holds what {maker} made, and is not recorded; {advice}"
        return replace(draft, kind="conflict", reason=reason)

    def _again(self, case: _Case, record: Record) -> Action:
        """Decide for an output that was made before."""
        draft, there = case.draft, case.there
        if record.object != draft.object:
            return self._at_another_key(case, record)
        drifted = there is not None and (there.etag != record.etag or record.size not in (None, there.size))
        same = case.mark is not None and self._is_same(case, record)
        forced = draft.address in self._rules.forced
        if same and not forced and (there is None or drifted) and ignores_object(case.output):
            what = "is missing" if there is None else "changed outside"
            return replace(draft, reason=f"object {what}; left, as ignore_changes says", upstream={})
        if same and there is None:
            return replace(draft, kind="create", reason="object is missing (drift)")
        if forced:
            return replace(draft, kind="replace", reason="asked for by --replace", forced=True)
        if same:
            if drifted:
                return replace(draft, kind="replace", reason="object changed outside (drift)")
            return replace(draft, upstream={})
        made = changed(draft, record)
        return replace(made, reason=f"both manifest and object changed: {made.reason}") if drifted else made

    def _at_another_key(self, case: _Case, record: Record) -> Action:
        """Decide for an output that is to be at another key than before."""
        draft, there = case.draft, case.there
        if there is None:
            return changed(draft, record)
        if (inherited := self._inherited(case, there)) is not None:
            return inherited
        if (known := self._from_history(case)) is not None:
            return known
        names = self._recorded_at.get(draft.object, ())
        if not names and (copied := self._contents.held(there, case.is_marked)) is not None:
            return replace(draft, kind="adopt", reason=f"holds the same as {copied}", origin=copied)
        if there.etag == record.etag and not names:  # a copy of it that a run made, and died before it could record it
            return changed(draft, record)
        whose = f"the object of {names[0]} is" if names else "an object exists that was not made by us"
        if not names and (maker := self._contents.maker(there)) is not None:
            whose = f"an object exists that holds what {maker} made, and is not recorded; delete it"
        return replace(draft, kind="conflict", reason=f"its key is now {draft.object}, where {whose}")

    def _inherited(self, case: _Case, there: StoredObject) -> Action | None:
        """Decide by an object that was made for an output that is no longer declared: ours, and nobody else's now."""
        for name in self._recorded_at.get(case.draft.object, ()):
            other = self._observed.records[name]
            if name not in self._desired.outputs and other.etag == there.etag:
                if case.is_marked(other.fingerprint):
                    origin = Origin(case.draft.object, there.etag, address=name)
                    return replace(case.draft, kind="adopt", reason=f"was made for {name}, and is there", origin=origin)
                return changed(case.draft, case.record or other)
        return None

    @cached_property
    def _recorded_at(self) -> Mapping[str, list[str]]:
        """The addresses that are recorded with each key."""
        found: dict[str, list[str]] = {}
        for address, glance in self._observed.glances.items():
            found.setdefault(glance.object, []).append(address)
        return found

    def _is_same(self, case: _Case, record: Record) -> bool:
        """Compare fingerprints; where versions differ, what the record holds is digested in today's way."""
        if record.fingerprint == case.mark:
            return True
        if is_of_today(record.fingerprint) or case.mark != fingerprint(record.request, record.inputs):
            return False
        assert case.mark is not None
        self.upgrades[case.output.address] = case.mark
        return True

    def _from_history(self, case: _Case) -> Action | None:
        """Decide by a job of an earlier run that nobody recorded: it made this, or is making it."""
        past = self._contents.job_at({case.output.object: None, _pattern(case.draft.request): None}, case.is_marked)
        if past is None:
            return None
        origin = Origin(past.key, past.md5, job=past.job, token=past.token)
        if past.state not in TERMINAL:
            reason = f"job {past.job}, of which nothing is recorded, is {past.state}"
            return replace(case.draft, kind="wait", reason=reason, job=past.job, origin=origin)
        there = self._observed.objects[past.key]
        reason = f"was made by job {past.job}, of which nothing is recorded"
        return replace(case.draft, kind="adopt", reason=reason, object=past.key, seen=there.etag, origin=origin)

    # What holds a decision back, or makes it cheaper.

    def _saved(self, case: _Case, decided: Action) -> Action:
        """Copy what has the same content instead of making it."""
        if (
            decided.kind not in RENDERS
            or decided.forced
            or case.mark is None
            or case.output.address in self._observed.pending
            or case.output.address in self._rules.forced
        ):
            return decided
        origin = self._contents.same(case.is_marked, case.mark, but=decided.object)
        if origin is None or "${" in decided.object:
            return decided
        reason = f"{decided.reason}; {origin} has the same content"
        return replace(decided, kind="reuse", reason=reason, origin=origin)

    def _with_good_templates(self, decided: Action) -> Action:
        """Block what would be made with a template that is in conflict."""
        bad = self._rules.bad_templates or {}
        reasons = [bad[name] for name in decided.templates if name in bad]
        if decided.kind not in RENDERS or not reasons:
            return decided
        return replace(decided, kind="blocked", reason=reasons[0])

    def _given_up(self, case: _Case, decided: Action) -> Action:
        """Block what was tried often enough, and what an ignored change would have kept from being missed."""
        if decided.kind not in RENDERS:
            return decided
        if (missing := _missing(decided, decided.inputs.keys() | set(decided.upstream.values()))) is not None:
            return missing
        failure = self._observed.failures.get(decided.address)
        if (
            failure is None
            or failure.attempts < self._rules.max_attempts
            or decided.address in self._rules.forced
            or not case.is_marked(failure.fingerprint)
        ):
            return decided
        reason = (
            f"failed {failure.attempts} times, last with {failure.code}: {failure.message}; `--replace` starts anew"
        )
        return replace(decided, kind="blocked", reason=reason)


def is_made_since(begun: Submission, records: Mapping[str, Record], sources: Collection[str]) -> bool:
    """Tell whether one of these sources was made once more since a job was begun: it may have read what was between."""
    known = [(records[name], job) for name, job in begun.made_of.items() if name in records]
    return any(record.job != job and record.object in sources for record, job in known)


def rendered_after_all(action: Action, record: Record | None) -> Action:
    """Return the action that makes what cannot be copied: what it would be copied from is replaced itself."""
    reason = action.reason.removesuffix(f"; {action.origin} has the same content")
    kind: Kind = "create" if record is None or action.seen is None else "replace"
    return replace(action, kind=kind, reason=reason, origin=None)


def _pattern(request: Mapping[str, Any]) -> str:
    """Return the key as it was asked for: ``${ext}`` and ``${jobid}`` are filled in later."""
    return str(request["operation"][0]["output"]["object"])


def _missing(draft: Action, known: Collection[str]) -> Action | None:
    missing = [key for key in draft.sources if key not in known]
    if not missing:
        return None
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return replace(draft, kind="blocked", reason=f"{missing[0]}{others} {'are' if others else 'is'} missing")


def _protected(action: Action, record: Record | None) -> Action:
    overwrites = action.kind == "reuse" and record is not None
    if action.kind in ("replace", "delete") or overwrites:
        return replace(action, kind="blocked", reason=f"is protected ({action.reason})")
    return action
