"""(DesiredState, ObservedState) → Plan: which actions turn the one into the other, and why each.

Pure. The decision table is in docs/architecture.md, "What the planner decides"; each of its rows is a case under
tests/plan/. What is declared is compared with what was recorded and with what is there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from reconciler.api.messages import TERMINAL
from reconciler.plan_templates import TEMPLATE_EFFECTS, TemplateAction, in_the_way, plan_templates
from reconciler.state import (
    DesiredState,
    ObservedState,
    Output,
    Record,
    StoredObject,
    content,
    fingerprint,
    request_keys,
    sources_of,
)

if TYPE_CHECKING:
    from reconciler.changes import Change

T = TypeVar("T")

Kind = Literal["create", "replace", "reuse", "adopt", "wait", "delete", "forget", "conflict", "blocked", "none"]

KINDS: Final[tuple[Kind, ...]] = (
    "create", "replace", "reuse", "adopt", "wait", "delete", "forget", "conflict", "blocked", "none",
)  # fmt: skip
EFFECTIVE: Final = frozenset({"create", "replace", "adopt", "wait", "delete", "forget"})
"""Actions that apply carries out; the others only say why nothing can or need be done."""

RENDERS: Final = frozenset({"create", "replace"})
_SHARE_FROM: Final = 10
"""A share of the outputs guards only projects with at least this many: half of three is not a mistake."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan.

    ``request`` and ``inputs`` (source → ETag) are what the output will be made of; an input that is itself still to
    be made is left out of ``inputs`` and named in ``upstream``. ``templates`` are the declared templates that it names.
    ``job`` is a job of ours to wait for first. ``seen`` is the ETag of the object under the key when the plan was made.
    ``protect`` goes into the record, so that it outlives the entry.
    """

    address: str
    kind: Kind
    reason: str
    object: str
    changes: tuple[Change, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    upstream: Mapping[str, str] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    job: str | None = None
    seen: str | None = None
    protect: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Every action in address order, the templates' before them, and the records that get a new address (old → new)."""

    actions: tuple[Action, ...]
    moves: Mapping[str, str] = field(default_factory=dict)
    recorded: int = 0
    templates: tuple[TemplateAction, ...] = ()

    @property
    def summary(self) -> dict[Kind, int]:
        """Count the actions of each kind; kinds that do not occur are 0."""
        counts = dict.fromkeys(KINDS, 0)
        for action in self.actions:
            counts[action.kind] += 1
        return counts

    @property
    def pending(self) -> tuple[Action, ...]:
        """The actions that say anything but "nothing to do"."""
        return tuple(action for action in self.actions if action.kind != "none")

    @property
    def pending_templates(self) -> tuple[TemplateAction, ...]:
        """The same of the templates."""
        return tuple(action for action in self.templates if action.kind != "none")

    @property
    def effective(self) -> bool:
        """Whether apply has anything to carry out that a person should be asked about."""
        kinds = {action.kind for action in self.actions} & EFFECTIVE
        return bool(kinds or {action.kind for action in self.templates} & TEMPLATE_EFFECTS)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do, and nothing in the way."""
        return not (self.pending or self.pending_templates or self.moves)


def plan(
    desired: DesiredState,
    observed: ObservedState,
    *,
    prune: bool = False,
    replace_addresses: Collection[str] = (),
    only: Collection[str] | None = None,
    excluded: Collection[str] = (),
) -> Plan:
    """Decide one action for every output that is declared, recorded or begun.

    ``prune`` deletes what is no longer declared; ``replace_addresses`` are made anew whatever their state; ``only``
    limits the plan to these addresses and what they are made of; ``excluded`` are left as they are, and what is made
    of them is made of what is there.
    """
    observed, moves = _moved(desired, observed)
    records = observed.records
    wanted = set(desired.outputs if only is None else _with_upstream(desired, only)) - set(excluded)
    named = None
    if only is not None or excluded:
        named = {template for address in wanted for template in desired.outputs[address].templates}
    templates = plan_templates(desired, observed, prune=prune, wanted=named)
    planner = _Planner(desired, observed, frozenset(replace_addresses), frozenset(wanted), dict(in_the_way(templates)))
    actions = [planner.decide(address) for address in sorted(wanted)]
    gone = sorted((records.keys() | observed.pending.keys()) - desired.outputs.keys() - set(excluded))
    actions += [planner.undeclared(address, prune=prune) for address in gone if only is None or address in only]
    actions.sort(key=lambda action: action.address)
    return Plan(tuple(actions), moves, recorded=len(records), templates=templates)


def excess(made: Plan, limit: str | int) -> str | None:
    """Say how the plan exceeds ``limit`` (a count, or a share such as ``"50%"``) of replaced and deleted outputs.

    A share counts against the recorded outputs, and only from ten of them on. None when the plan is within it.
    """
    touched = made.summary["replace"] + made.summary["delete"]
    if isinstance(limit, str) and limit.endswith("%"):
        if made.recorded < _SHARE_FROM or touched * 100 <= int(limit[:-1]) * made.recorded:
            return None
    elif touched <= int(limit):
        return None
    return f"the plan replaces or deletes {touched} of {made.recorded} outputs; policy.max_changes is {limit}"


def _moved(desired: DesiredState, observed: ObservedState) -> tuple[ObservedState, dict[str, str]]:
    """Give what is recorded or begun the addresses it has now: those of ``moved``, and those that the key tells.

    What is no longer declared, and a new output with the same key, are one output under a new name.
    """
    known = {address: record.object for address, record in observed.records.items()}
    known |= {address: begun.object for address, begun in observed.pending.items()}
    moves = {
        old: new
        for old, new in desired.moved.items()
        if old in known and old not in desired.outputs and new not in known
    }
    homeless = {key: old for old, key in known.items() if old not in desired.outputs and old not in moves}
    taken = set(moves.values())
    for new, output in desired.outputs.items():
        if output.object in homeless and new not in known and new not in taken:
            moves[homeless[output.object]] = new
    if not moves:
        return observed, {}

    def renamed(values: Mapping[str, T]) -> dict[str, T]:
        return {moves.get(address, address): value for address, value in values.items()}

    pending = {address: replace(begun, address=address) for address, begun in renamed(observed.pending).items()}
    return replace(observed, records=renamed(observed.records), pending=pending, jobs=renamed(observed.jobs)), moves


def _with_upstream(desired: DesiredState, only: Collection[str]) -> list[str]:
    wanted: set[str] = set()
    waiting = [address for address in only if address in desired.outputs]
    while waiting:
        address = waiting.pop()
        if address not in wanted:
            wanted.add(address)
            waiting.extend(desired.outputs[address].upstream)
    return sorted(wanted)


class _Planner:
    """The decision table, one output at a time; what is made of other outputs asks for their decision first."""

    def __init__(
        self,
        desired: DesiredState,
        observed: ObservedState,
        forced: frozenset[str],
        wanted: frozenset[str],
        bad_templates: Mapping[str, str],
    ) -> None:
        self._desired = desired
        self._observed = observed
        self._forced = forced
        self._wanted = wanted
        self._bad_templates = bad_templates
        self._owners = {output.object: address for address, output in desired.outputs.items()}
        self._readers = {key: address for address, output in desired.outputs.items() for key in output.sources}
        self._decided: dict[str, Action] = {}

    def decide(self, address: str) -> Action:
        """Return the action for a declared output, deciding what it is made of first, at any depth."""
        stack = [address]
        while stack:
            current = stack[-1]
            open_ones = [name for name in self._upstream(self._desired.outputs[current]) if name not in self._decided]
            if open_ones:
                stack.extend(open_ones)
            else:
                self._decided.setdefault(current, self._decide(self._desired.outputs[current]))
                stack.pop()
        return self._decided[address]

    def _upstream(self, output: Output) -> list[str]:
        """Return what an output is made of, as far as the plan is about it."""
        return [
            name
            for name in output.upstream
            if name in self._wanted and self._desired.outputs[name].object in output.sources
        ]

    def undeclared(self, address: str, *, prune: bool) -> Action:
        """Return the action for a record, or a begun submission, whose output is no longer declared."""
        record = self._observed.records.get(address)
        live = self._observed.jobs.get(address)
        if record is None:
            key = self._observed.pending[address].object
            job = live.job if live else None
            return Action(address, "forget", "no longer declared; its job was begun and not recorded", key, job=job)
        if (owner := self._owners.get(record.object)) is not None:
            return Action(address, "forget", f"no longer declared; its object belongs to {owner}", record.object)
        there = self._observed.objects.get(record.object)
        if there is None:
            return Action(address, "forget", "no longer declared, and already gone", record.object)
        if not prune:
            return Action(address, "none", "no longer declared; kept, as prune is off", record.object)
        if there.etag != record.etag:
            reason = "no longer declared, but changed outside; delete it by hand, or `state rm` it"
            return Action(address, "conflict", reason, record.object)
        if (reader := self._readers.get(record.object)) is not None:
            return Action(address, "none", f"no longer declared; kept, as {reader} is made of it", record.object)
        if live is not None and live.state not in TERMINAL:
            reason = f"no longer declared, but job {live.job} is {live.state}; prune once it has ended"
            return Action(address, "blocked", reason, record.object)
        if record.protect:
            reason = "no longer declared, but protected; `state rm` it, or delete the object by hand"
            return Action(address, "blocked", reason, record.object)
        return Action(address, "delete", "no longer declared", record.object, seen=there.etag)

    def _decide(self, output: Output) -> Action:
        record = self._observed.records.get(output.address)
        request = request_keys(output)
        if record and output.ignore_changes:
            request = effective_request(output, record)
            output = replace(output, sources=sources_of(request))
        key = self._key(output, record)
        there = self._observed.objects.get(key)
        draft = Action(
            output.address, "none", "up to date", key, request=request, seen=there.etag if there else None,
            inputs=self._inputs(output), sources=output.sources, upstream=self._rebuilt(output), protect=output.protect,
            templates=output.templates,
        )  # fmt: skip
        decided = self._blocked(output, draft) or self._begun(output, draft)
        if decided is None:
            decided = self._first(output, draft, there) if record is None else self._again(draft, record, there)
        decided = self._without_template(decided)
        return _protected(decided) if output.protect else decided

    def _without_template(self, decided: Action) -> Action:
        """Block what would be made with a template that is in conflict."""
        reasons = [self._bad_templates[name] for name in decided.templates if name in self._bad_templates]
        if decided.kind not in RENDERS or not reasons:
            return decided
        return replace(decided, kind="blocked", reason=reasons[0])

    def _key(self, output: Output, record: Record | None) -> str:
        """Return the object key; one with ``${jobid}`` is known once it was made from the same pattern."""
        if "${jobid}" in output.object and record:
            pattern = record.request["operation"][0]["output"]["object"]
            if pattern == output.request.operation[0].output.object:
                return record.object
        return output.object

    def _inputs(self, output: Output) -> dict[str, str]:
        rebuilt = set(self._rebuilt(output).values())
        objects = self._observed.objects
        return {key: objects[key].etag for key in output.sources if key in objects and key not in rebuilt}

    def _rebuilt(self, output: Output) -> dict[str, str]:
        """Return those upstream outputs (address → key) that will be made, or are being made."""
        decided = ((name, self._decided[name]) for name in self._upstream(output))
        return {name: action.object for name, action in decided if action.kind in RENDERS | {"wait"}}

    def _blocked(self, output: Output, draft: Action) -> Action | None:
        for name in self._upstream(output):
            if self._decided[name].kind in ("blocked", "conflict"):
                return replace(draft, kind="blocked", reason=f"it is made of {name}, which is {self._kind_of(name)}")
        missing = [key for key in output.sources if key not in draft.inputs and key not in draft.upstream.values()]
        if not missing:
            return None
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return replace(draft, kind="blocked", reason=f"{missing[0]}{others} {'are' if others else 'is'} missing")

    def _kind_of(self, name: str) -> str:
        return "in conflict" if self._decided[name].kind == "conflict" else "blocked"

    def _begun(self, output: Output, draft: Action) -> Action | None:
        """Decide for an output whose submission has no recorded end."""
        begun = self._observed.pending.get(output.address)
        if begun is None:
            return None
        live = self._observed.jobs.get(output.address)
        current = not draft.upstream and begun.fingerprint == fingerprint(draft.request, draft.inputs)
        if live is None:
            if begun.job:
                return None  # the service no longer knows the job: decide as if it had never been
            kind: Kind = "replace" if output.address in self._observed.records else "create"
            return replace(draft, kind=kind, reason="its submission was interrupted")
        ended = live.state in TERMINAL
        verb = "ended as" if ended else "is"
        if current and output.address not in self._forced:
            return replace(draft, kind="wait", reason=f"job {live.job} {verb} {live.state}", job=live.job)
        kind = "replace" if output.address in self._observed.records else "create"
        reason = f"job {live.job} for an earlier version {verb} {live.state}"
        return replace(draft, kind=kind, reason=reason, job=live.job)

    def _first(self, output: Output, draft: Action, there: StoredObject | None) -> Action:
        """Decide for an output that was never made by us."""
        if there is None:
            return replace(draft, kind="create", reason="not made yet")
        if output.adopt:
            return replace(draft, kind="adopt", reason="exists; taken as it is")
        reason = "exists, but was not made by us; set `adopt: true` to take it, or delete it"
        return replace(draft, kind="conflict", reason=reason)

    def _again(self, draft: Action, record: Record, there: StoredObject | None) -> Action:
        """Decide for an output that was made before."""
        if record.object != draft.object:
            if there is not None:
                owners = [name for name, other in self._observed.records.items() if other.object == draft.object]
                whose = f"the object of {owners[0]} is" if owners else "an object exists that was not made by us"
                reason = f"its key is now {draft.object}, where {whose}"
                return replace(draft, kind="conflict", reason=reason)
            return _changed(draft, record)
        drifted = there is not None and there.etag != record.etag
        same = not draft.upstream and self._same(draft, record)
        if same and there is None:
            return replace(draft, kind="create", reason="object is missing (drift)")
        if draft.address in self._forced:
            return replace(draft, kind="replace", reason="asked for by --replace")
        if same:
            return replace(draft, kind="replace", reason="object changed outside (drift)") if drifted else draft
        changed = _changed(draft, record)
        if drifted:
            return replace(changed, reason=f"both manifest and object changed: {changed.reason}")
        return changed

    def _same(self, draft: Action, record: Record) -> bool:
        """Compare digests; where they differ, what the record holds: another version may have digested it otherwise."""
        now = fingerprint(draft.request, draft.inputs)
        return now == record.fingerprint or now == fingerprint(record.request, record.inputs)


def _changed(draft: Action, record: Record) -> Action:
    """Name what changed: the fields, the inputs, or what it is made of."""
    from reconciler.changes import Change, changes

    fields = changes(content(record.request), content(draft.request))
    if record.object != draft.object:
        fields = (Change("output.object", record.object, draft.object), *fields)
    inputs = tuple(
        Change(f"inputs.{key}", record.inputs.get(key), etag)
        for key, etag in sorted(draft.inputs.items())
        if key in record.inputs and record.inputs[key] != etag
    )
    upstream = tuple(Change(f"inputs.{key}", record.inputs.get(key), None) for _, key in sorted(draft.upstream.items()))
    reason = _why(fields, inputs, draft.upstream)
    return replace(draft, kind="replace", reason=reason, changes=(*fields, *inputs, *upstream))


def _why(fields: tuple[Change, ...], inputs: tuple[Change, ...], upstream: Mapping[str, str]) -> str:
    if fields:
        from reconciler.changes import first_of

        return first_of(fields)
    if inputs:
        names = [change.path.removeprefix("inputs.") for change in inputs]
        return f"{names[0]} changed" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more inputs changed"
    if upstream:
        return (
            f"{', '.join(sorted(upstream))} is made anew" if len(upstream) == 1 else "what it is made of is made anew"
        )
    return "changed"


def _protected(action: Action) -> Action:
    if action.kind in ("replace", "delete"):
        return replace(action, kind="blocked", reason=f"is protected ({action.reason})")
    return action


def effective_request(output: Output, record: Record | None) -> dict[str, Any]:
    """Return the request of an output as it is planned and sent: with the recorded values at its ignored paths."""
    request = request_keys(output)
    if record is None:
        return request
    operation = request["operation"][0]
    for path in output.ignore_changes:
        operation = _graft(operation, record.request["operation"][0], path_steps(path))
    return {**request, "operation": [operation]}


def path_steps(path: str) -> list[str | int]:
    """Split the path of a field: ``splice_info[1].x`` → ``["splice_info", 1, "x"]``."""
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def _graft(target: Any, source: Any, steps: list[str | int]) -> Any:
    """Return ``target`` with the value that ``source`` has under ``steps``, or without it when it has none."""
    head, *rest = steps
    if isinstance(target, list) and isinstance(head, int) and head < len(target):
        before = source[head] if isinstance(source, list) and head < len(source) else None
        item = _graft(target[head], before, rest) if rest else before
        return [*target[:head], *([item] if item is not None else []), *target[head + 1 :]]
    if not isinstance(target, Mapping) or isinstance(head, int):
        return target
    before = source.get(head) if isinstance(source, Mapping) else None
    if rest:
        return {**target, head: _graft(target[head], before, rest)} if head in target else target
    without = {key: value for key, value in target.items() if key != head}
    return without if before is None else {**without, head: before}
