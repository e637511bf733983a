"""Look, then decide: ``observe`` and ``plan`` in turn, as often as the plan needs to know more; or decide unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.action import Plan
from reconciler.lockfile import Lockfile
from reconciler.observe import as_recorded, history, observe
from reconciler.plan import plan
from reconciler.state import DesiredState, ObservedState

if TYPE_CHECKING:
    from reconciler.client import Client


async def make_plan(
    client: Client, lockfile: Lockfile, desired: DesiredState, **rules: Any
) -> tuple[Plan, ObservedState]:
    """Return the plan, and what the world looked like when it was made; ``rules`` are those of ``plan``.

    The service's history is asked for only when it may spare a render, or prove whose an object is.
    """
    observed = await observe(client, lockfile, desired)
    made = plan(desired, observed, **rules)
    unknown = {action.object for action in made.actions if action.kind == "conflict" and action.declared}
    if unknown or any(action.kind == "create" for action in made.actions):
        observed = replace(observed, history=await history(client, unknown))
        if observed.history:
            made = plan(desired, observed, **rules)
    return made, observed


def plan_unrefreshed(lockfile: Lockfile, desired: DesiredState, **rules: Any) -> tuple[Plan, ObservedState]:
    """Return the same without asking anybody: the world is taken to be as the lockfile has it."""
    observed = as_recorded(lockfile)
    return plan(desired, observed, **rules), observed
