"""(DesiredState, ObservedState) → Plan: which actions turn the one into the other, and why each.

Pure. What is decided about one output is in ``decisions``; here is what concerns them together: which outputs the plan
is about, which records get a new address, how much a plan may change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from copy import copy
from dataclasses import replace
from typing import Final, TypeVar, cast

from reconciler.action import EFFECTIVE, KINDS, MAKES, RENDERS, Action, Kind, Origin, Plan
from reconciler.decisions import Decisions, Rules, rendered_after_all
from reconciler.ignoring import effective_request
from reconciler.plan_templates import in_the_way, plan_templates
from reconciler.state import DesiredState, ObservedState, Record
from reconciler.undeclared import Undeclared

__all__ = [
    "EFFECTIVE",
    "KINDS",
    "MAKES",
    "RENDERS",
    "Action",
    "Kind",
    "Origin",
    "Plan",
    "effective_request",
    "excess",
    "plan",
]

T = TypeVar("T")

_SHARE_FROM: Final = 10
"""A share of the outputs guards only projects with at least this many: half of three is not a mistake."""


def plan(  # noqa: PLR0913 - each of them is a person's word about the plan
    desired: DesiredState,
    observed: ObservedState,
    *,
    prune: bool = False,
    replace_addresses: Collection[str] = (),
    only: Collection[str] | None = None,
    excluded: Collection[str] = (),
    max_attempts: int = 3,
) -> Plan:
    """Decide one action for every output that is declared, recorded or begun.

    ``prune`` deletes what is no longer declared; ``replace_addresses`` are made anew whatever their state; ``only``
    limits the plan to these addresses and what they are made of; ``excluded`` are left as they are, and what is made
    of them is made of what is there. What failed ``max_attempts`` times is left to a person.
    """
    observed, moves = _moved(desired, observed)
    records = observed.records
    wanted: Collection[str] = desired.outputs
    named = None
    if only is not None or excluded:
        chosen = set(desired.outputs if only is None else _with_upstream(desired, only))
        wanted = dict.fromkeys(sorted(chosen.difference(excluded)))
        named = {template for address in wanted for template in desired.outputs[address].templates}
    templates = plan_templates(desired, observed, prune=prune, wanted=named)
    rules = Rules(wanted, frozenset(replace_addresses), prune, dict(in_the_way(templates)), max_attempts)
    decisions = Decisions(desired, observed, rules)
    others = Undeclared(desired, observed, decisions.decided, prune=prune)
    actions = [action for action in map(decisions.decide, wanted) if action is not None]
    if prune:
        actions += filter(None, map(others.left_behind, list(actions)))
    gone = ((observed.glances.keys() | observed.pending.keys()) - desired.outputs.keys()).difference(excluded)
    actions += [others.action(address) for address in gone if only is None or address in only]
    actions.sort(key=lambda action: action.address)
    copied = _without_circles(actions, records)
    return Plan(
        copied, moves, len(records), templates, decisions.upgrades, decisions.settled, refreshed=observed.refreshed
    )


def _without_circles(actions: list[Action], records: Mapping[str, Record]) -> tuple[Action, ...]:
    """Render what would be copied from an object that is itself replaced."""
    if not any(action.kind == "reuse" for action in actions):
        return tuple(actions)
    written = {action.object for action in actions if action.kind in MAKES}
    return tuple(
        rendered_after_all(action, records.get(action.address))
        if action.kind == "reuse" and action.origin is not None and action.origin.object in written
        else action
        for action in actions
    )


def excess(made: Plan, limit: str | int) -> str | None:
    """Say how the plan exceeds ``limit`` (a count, or a share such as ``"50%"``) of replaced and deleted outputs.

    A share counts against the recorded outputs, and only from ten of them on. None when the plan is within it.
    """
    overwritten = sum(action.kind == "reuse" and action.seen is not None for action in made.actions)
    touched = made.summary["replace"] + made.summary["delete"] + overwritten
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
    glances, pending, outputs = observed.glances, observed.pending, desired.outputs
    lost = {address: glances[address].object for address in glances.keys() - outputs.keys()}
    lost |= {address: pending[address].object for address in pending.keys() - outputs.keys()}
    if not lost:
        return observed, {}
    known = glances.keys() | pending.keys()
    moves = {old: new for old, new in desired.moved.items() if old in lost and new not in known}
    homeless = {key: old for old, key in lost.items() if old not in moves}
    taken = set(moves.values())
    for new, output in outputs.items():
        if output.object in homeless and new not in known and new not in taken:
            moves[homeless[output.object]] = new
    if not moves:
        return observed, {}

    records = _renamed(observed.records, moves)
    begun = {address: value.renamed(address, moves) for address, value in _renamed(pending, moves).items()}
    glimpsed = None if observed.glimpsed is None else _renamed(observed.glimpsed, moves)
    jobs, failures = _renamed(observed.jobs, moves), _renamed(observed.failures, moves)
    moved = replace(observed, records=records, pending=begun, jobs=jobs, failures=failures, glimpsed=glimpsed)
    return moved, moves


def _renamed(values: Mapping[str, T], moves: Mapping[str, str]) -> Mapping[str, T]:
    """Return the values under their new addresses; what is not moved is not read."""
    found = copy(cast("MutableMapping[str, T]", values))
    going = {new: found.pop(old) for old, new in moves.items() if old in found}
    found.update(going)
    return found


def _with_upstream(desired: DesiredState, only: Collection[str]) -> list[str]:
    wanted: set[str] = set()
    waiting = [address for address in only if address in desired.outputs]
    while waiting:
        address = waiting.pop()
        if address not in wanted:
            wanted.add(address)
            waiting.extend(desired.outputs[address].upstream)
    return sorted(wanted)
