"""A first careful step: so much of a plan, and the rest later. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from reconciler.action import EFFECTIVE, MAKES, Action, Plan
from reconciler.plan_templates import TEMPLATE_EFFECTS

_COUNTED: Final = frozenset({"create", "replace", "reuse", "adopt"})
"""What a limit counts. A job that was begun is no new step: its result is recorded whatever the limit."""


def limited(plan: Plan, count: int) -> Plan:
    """Return a plan that makes, copies and adopts at most ``count`` outputs, and deletes nothing.

    The first in address order are taken, what they are made of before them. Everything else that apply would carry out
    is counted as ``left``; what only says why nothing can be done, and new addresses of records, stay.
    """
    kept = _first(plan.actions, count)
    named = {name for action in plan.actions if action.address in kept for name in action.templates}
    actions = tuple(action for action in plan.actions if action.kind not in EFFECTIVE or action.address in kept)
    templates = tuple(
        action for action in plan.templates if action.kind not in TEMPLATE_EFFECTS or action.address in named
    )
    left = len(plan.actions) - len(actions) + len(plan.templates) - len(templates)
    return replace(plan, actions=actions, templates=templates, left=left, limit=count)


def _first(actions: tuple[Action, ...], count: int) -> set[str]:
    """Return the addresses of what is carried out: whatever is begun, and the first ``count`` of the others."""
    making = {action.address: action for action in actions if action.kind in _COUNTED | MAKES}
    kept: set[str] = set()
    room = count
    for action in _upstream_first(making):
        counts = action.kind in _COUNTED
        if (room or not counts) and all(name in kept for name in action.upstream if name in making):
            kept.add(action.address)
            room -= counts
    return kept


def _upstream_first(making: Mapping[str, Action]) -> Iterator[Action]:
    """Yield the actions in address order, but what one is made of before it."""
    done: set[str] = set()
    for address in making:
        stack = [address]
        while stack:
            action = making[stack[-1]]
            before = [name for name in action.upstream if name in making and name not in done]
            stack.extend(before)
            if not before:
                stack.pop()
                if action.address not in done:
                    done.add(action.address)
                    yield action
