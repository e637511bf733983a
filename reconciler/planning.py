"""Look, then decide: ``observe`` and ``plan`` in turn, as often as the plan needs to know more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.action import Plan
from reconciler.client import Client
from reconciler.lockfile import Lockfile
from reconciler.observe import history, observe
from reconciler.plan import plan
from reconciler.state import DesiredState, ObservedState


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
