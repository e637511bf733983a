"""Plans → Markdown for a pull-request comment, and JSON for a program. Computes nothing, asks nobody.

Both keep a limit whatever the plan: Markdown that of a comment's length, JSON that of memory, as it is written in
pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from reconciler.action import Action
from reconciler.cli.plan_views import (
    FIELDS_SHOWN,
    SHOWN_SINGLY,
    TRIES,
    actions_shown,
    clipped,
    field_text,
    groups_of,
    kept,
    number_shown,
    remarks,
    summary_line,
    templates_shown,
    why_text,
)
from reconciler.cli.views import json_pieces
from reconciler.grouping import ELLIPSIS, Group, Step

if TYPE_CHECKING:
    from reconciler.action import Origin, Plan
    from reconciler.changes import Change
    from reconciler.plan_templates import TemplateAction

MOST_CHARACTERS: Final = 65_536
"""What a pull-request comment holds; a plan in Markdown stays under it."""


# For a pull-request comment.


def plan_markdown(plan: Plan) -> str:
    """Return a plan for a pull-request comment, in less than ``MOST_CHARACTERS`` whatever it is."""
    summary = [*(f"**{line}**" for line in summary_line(plan).splitlines()), *remarks(plan)]
    text = ""
    for rows in _markdown_tables(plan):
        text = "\n".join(["  \n".join(summary), "", *rows]) + "\n"
        if len(text) < MOST_CHARACTERS:
            break
    return text


def _markdown_tables(plan: Plan) -> Iterator[list[str]]:
    """Yield tables that say less and less."""
    if number_shown(plan, everything=False) <= SHOWN_SINGLY:
        steps: list[Step] = [*plan.pending_templates, *plan.pending]
        head = ["| Action | Output | Object | Why |", "| --- | --- | --- | --- |"]
        yield [*(head if steps else []), *map(_markdown_row, steps)]
    for room, _ in TRIES:
        head = ["| Action | Number | Outputs | Why | First of them |", "| --- | ---: | --- | --- | --- |"]
        yield [*head, *map(_markdown_group, groups_of(plan, room, everything=False))]


def _markdown_row(step: Step) -> str:
    return f"| {step.kind} | {_code(step.address)} | {_kept(step)} | {_cell(step.reason)} |"


def _markdown_group(group: Group) -> str:
    why = [_cell(why_text(group)), *(_cell(field_text(field)) for field in group.fields[:FIELDS_SHOWN])]
    if len(group.fields) > FIELDS_SHOWN:
        why.append(f"and {len(group.fields) - FIELDS_SHOWN} more fields")
    first = [f"{_code(step.address)} → {_kept(step)}" for step in group.steps]
    shown = "<br>".join(filter(None, why)), "<br>".join([*first, *([ELLIPSIS] if group.count > len(first) else [])])
    return f"| {group.kind} | {group.count:,} | {_code(group.address)} | {shown[0]} | {shown[1]} |"


def _kept(step: Step) -> str:
    return _code(step.object) if isinstance(step, Action) else _cell(kept(step))


def _code(text: str, most: int = 200) -> str:
    """Return a code span that stands in a cell of a table, cut when it is long; a fence longer than any in it."""
    shown = _in_a_cell(clipped(" ".join(text.splitlines()), most))
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    padding = " " if "`" in shown else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def _cell(text: str, most: int = 400) -> str:
    """Return a text that stands in a cell of a table, cut when it is long but never within a code span."""
    shown = " ".join(text.splitlines())
    if len(shown) > most:
        shown = shown[: most - 1]
        if shown.count("`") % 2:
            shown = shown[: shown.rindex("`")]
        shown = f"{shown.rstrip(chr(92))}{ELLIPSIS}"
    return _in_a_cell(shown)


def _in_a_cell(text: str) -> str:
    """Escape what would end a cell, also where a backslash stands before it."""
    return re.sub(r"(\\*)\|", r"\1\1\\|", text)


# For a program.


def plan_json(plan: Plan, *, everything: bool = False) -> Iterator[str]:
    """Yield what ``plan --json`` prints, piece by piece: neither the text nor its data is ever whole in memory."""
    return json_pieces(
        {
            "format": "reconciler.plan/1",
            "summary": plan.summary,
            "actions": map(action_data, actions_shown(plan, everything=everything)),
            "templates": map(template_data, templates_shown(plan, everything=everything)),
            "moves": ({"from": old, "to": new} for old, new in sorted(plan.moves.items())),
            "upgrades": iter(sorted(plan.upgrades)),
            "left": plan.left,
            "refreshed": plan.refreshed,
        }
    )


def action_data(action: Action) -> dict[str, Any]:
    """Return one action as JSON data."""
    return {
        "address": action.address,
        "action": action.kind,
        "reason": action.reason,
        "object": action.object,
        "job": action.job,
        "from": _origin_data(action.origin),
        "changes": [change_data(change) for change in action.changes],
    }


def _origin_data(origin: Origin | None) -> dict[str, str | None] | None:
    """Return where an object comes from that is not rendered for its output."""
    return {"object": origin.object, "address": origin.address, "job": origin.job} if origin else None


def template_data(action: TemplateAction) -> dict[str, Any]:
    """Return one action about a template as JSON data."""
    return {
        "address": action.address,
        "action": action.kind,
        "reason": action.reason,
        "tag": action.tag,
        "name": action.name,
        "id": action.id,
        "changes": [change_data(change) for change in action.changes],
    }


def change_data(change: Change) -> dict[str, Any]:
    """Return one change as JSON data."""
    return {"path": change.path, "before": change.before, "after": change.after}
