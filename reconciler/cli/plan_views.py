"""Plans → text for a person at a terminal. Computes nothing; ``grouping`` tells what belongs together.

A plan of few actions is shown action by action, a larger one group by group, so that it stays within a screen or two
whatever its size. Markdown and JSON are in ``plan_documents``.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import click

from reconciler.action import UP_TO_DATE, Action
from reconciler.grouping import ELLIPSIS, TROUBLE, Field, Group, Step, grouped, grouped_moves, value_text

if TYPE_CHECKING:
    from reconciler.action import Kind, Plan
    from reconciler.changes import Change
    from reconciler.plan_templates import TemplateAction, TemplateKind

SHOWN_SINGLY: Final = 40
"""A plan of no more actions is shown action by action: it fits on a screen."""

MOST_LINES: Final = 60
WIDTH: Final = 120
"""Columns for whoever reads where no terminal tells its own: a log."""

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "create": ("+", "green"),
    "replace": ("~", "yellow"),
    "update": ("~", "yellow"),
    "reuse": ("=", "cyan"),
    "adopt": ("«", "cyan"),
    "wait": ("…", "blue"),
    "delete": ("-", "red"),
    "forget": ("×", "bright_black"),
    "conflict": ("!", "red"),
    "blocked": ("!", "red"),
    "none": (" ", "bright_black"),
}
_VERBS: Final[Mapping[Kind, str]] = {
    "reuse": "to reuse",
    "adopt": "to adopt",
    "wait": "to wait for",
    "forget": "to forget",
    "conflict": "in conflict",
    "blocked": "blocked",
}
_TEMPLATE_VERBS: Final[Mapping[TemplateKind, str]] = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "adopt": "to adopt",
    "forget": "to forget",
    "conflict": "in conflict",
}
_CHANGES_SHOWN: Final = 8
FIELDS_SHOWN: Final = 3
_PAIRS_SHOWN: Final = 3
_MOVES_SHOWN: Final = 3
_TEMPLATES_ROOM: Final = 12
_TERSE: Final = 3
TRIES: Final = ((45, 11), (30, 8), (20, 4), (0, _TERSE))
"""Room for groups, and how many lines one may take: less and less until the plan fits."""

_WRAPPED: Final = 2
_MARGIN: Final = 13
_HANGING: Final = 2
_NARROWEST: Final = 60
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]")
_GLUE: Final = "\N{NO-BREAK SPACE}"


# For a person at a terminal.


def plan_text(plan: Plan, *, everything: bool = False, verbose: bool = False, width: int = WIDTH) -> str:
    """Return a plan as a person reads it: its actions, or groups of them when they are many, and what they come to.

    ``everything`` also shows what is up to date, ``verbose`` every action by itself whatever their number.
    """
    templates, number = templates_shown(plan, everything=everything), number_shown(plan, everything=everything)
    if verbose or number <= SHOWN_SINGLY:
        lines = _single_lines(templates, tuple(actions_shown(plan, everything=everything)))
        lines += [_move_line(1, old, new) for old, new in sorted(plan.moves.items())]
    else:
        lines = _grouped_lines(plan, everything=everything, width=width)
    return "\n".join([*lines, *([""] if lines else []), summary_line(plan), *remarks(plan)])


def actions_shown(plan: Plan, *, everything: bool) -> Iterator[Action]:
    """Yield the pending actions, or one for each output in address order, without making all of them at once."""
    if not everything:
        return (action for action in plan.actions if action.kind != "none")
    settled = (Action(address, "none", UP_TO_DATE, plan.settled[address]) for address in sorted(plan.settled))
    by_address = attrgetter("address")
    return merge(sorted(plan.actions, key=by_address), settled, key=by_address)


def templates_shown(plan: Plan, *, everything: bool) -> tuple[TemplateAction, ...]:
    """Return the same of the templates."""
    return plan.templates if everything else plan.pending_templates


def number_shown(plan: Plan, *, everything: bool) -> int:
    """Return how many lines a plan takes at least when it is shown action by action."""
    outputs = sum(plan.summary.values()) if everything else sum(action.kind != "none" for action in plan.actions)
    return outputs + len(templates_shown(plan, everything=everything)) + len(plan.moves)


# Action by action.


def terminal_width() -> int:
    """Return the columns of the terminal, or ``WIDTH`` where there is none."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def _single_lines(templates: Sequence[TemplateAction], actions: Sequence[Action]) -> list[str]:
    steps: list[Step] = [*templates, *actions]
    widths = _width(step.address for step in steps), _width(map(kept, steps))
    lines = [line for template in templates for line in _template_lines(template, widths)]
    return lines + [line for action in actions for line in _action_lines(action, widths)]


def _width(texts: Iterable[str]) -> int:
    """Return the width of a column: its longest text, but no more than leaves room for the next."""
    return min(max(map(len, texts), default=0), 40)


def _action_lines(action: Action, widths: tuple[int, int]) -> list[str]:
    """Return one line for an action, and one more for each field that changed."""
    line = f"{_head(action.kind)} {action.address:<{widths[0]}}  {action.object:<{widths[1]}}"
    if not action.changes:
        return [f"{line}  {click.style(action.reason, dim=True)}"]
    # The reason names a single change, and where a copy comes from.
    shown = [action.reason] if len(action.changes) == 1 else [*_change_lines(action.changes), *_origin_line(action)]
    return [line.rstrip(), *(f"{'':<{_MARGIN}}{text}" for text in shown)]


def _origin_line(action: Action) -> list[str]:
    return [f"copied from {action.origin}"] if action.kind == "reuse" else []


def _template_lines(action: TemplateAction, widths: tuple[int, int]) -> list[str]:
    """Return one line for a template, and one more for each field that changed."""
    reason = click.style(action.reason, dim=True)
    line = f"{_head(action.kind)} {action.address:<{widths[0]}}  {kept(action):<{widths[1]}}  {reason}"
    # A single change that the reason names is not said twice.
    told = len(action.changes) == 1 and action.reason.startswith(action.changes[0].path)
    return [line, *(f"{'':<{_MARGIN}}{text}" for text in ([] if told else _change_lines(action.changes)))]


def _head(kind: str) -> str:
    sign, color = _SIGNS[kind]
    return f"  {click.style(f'{sign} {kind:<8}', fg=color, bold=True)}"


def kept(step: Step) -> str:
    """Say where the result is kept."""
    return step.object if isinstance(step, Action) else f"{step.tag} template"


def _change_lines(changes: Sequence[Change]) -> list[str]:
    shown = [f"{change.path}: {_before(change)}{_after(change)}" for change in changes[:_CHANGES_SHOWN]]
    if len(changes) > _CHANGES_SHOWN:
        shown.append(f"and {len(changes) - _CHANGES_SHOWN} more fields")
    return shown


def _before(change: Change) -> str:
    return value_text(change.before)


def _after(change: Change) -> str:
    """An input that is still to be made has no ETag yet."""
    pending = change.after is None and change.path.startswith("inputs.")
    return " → made anew" if pending else f" → {value_text(change.after)}"


def _move_line(count: int, old: str, new: str) -> str:
    arrow = click.style("→", fg="cyan")
    return f"  {arrow} {old} is now {new}" if count == 1 else f"  {arrow} {count:,} {old} are now {new}"


# Group by group.


def _grouped_lines(plan: Plan, *, everything: bool, width: int) -> list[str]:
    """Return the groups of a plan in as many lines as fit."""
    lines: list[str] = []
    for room, most in TRIES:
        groups = groups_of(plan, room, everything=everything)
        lines = [*_block_lines(groups, most, max(width, _NARROWEST)), *_moves_lines(plan, max(width, _NARROWEST))]
        if len(lines) <= MOST_LINES - len(_closing(plan)):
            break
    return lines


def _closing(plan: Plan) -> list[str]:
    return ["", *summary_line(plan).splitlines(), *remarks(plan)]


def groups_of(plan: Plan, room: int, *, everything: bool) -> list[Group]:
    """Return the groups of templates, then those of outputs; what needs a person comes before either."""
    of_templates = grouped(templates_shown(plan, everything=everything), min(room, _TEMPLATES_ROOM))
    groups = of_templates + grouped(actions_shown(plan, everything=everything), room)
    return sorted(groups, key=lambda group: group.kind not in TROUBLE)


def _moves_lines(plan: Plan, width: int) -> list[str]:
    moves = grouped_moves(plan.moves)
    side = width // 2 - len("  → 100,000 ")
    lines = [_move_line(count, clipped(old, side), clipped(new, side)) for count, old, new in moves[:_MOVES_SHOWN]]
    if rest := sum(count for count, _, _ in moves[_MOVES_SHOWN:]):
        lines.append(f"  {click.style('→', fg='cyan')} {rest:,} more get another address")
    return ["", *lines] if lines else []


def _block_lines(groups: Sequence[Group], most: int, width: int) -> list[str]:
    """Return the lines of each group, its number and its addresses in columns of their own, kinds apart."""
    counts = max((len(f"{group.count:,}") for group in groups if not group.small), default=0)
    margin = _MARGIN + counts + 2
    column = min(max((len(group.address) for group in groups if not group.small), default=0), width // 4)
    lines: list[str] = []
    for before, group in pairwise((None, *groups)):
        assert group is not None
        if before is not None and before.kind != group.kind and most > _TERSE:
            lines.append("")
        for number, name, told in _parts(group, width - margin - _HANGING, singly=group.small and most > _TERSE):
            first, *more = _beside(name, column, told, width - margin)
            shown = more if len(more) < most else [*more[: most - 2], more[-1]]
            lines.append(f"{_head(group.kind)} {number:>{counts}}  {first}")
            lines += [f"{'':<{margin + _HANGING}}{line}" for line in shown]
    return lines


def _parts(group: Group, width: int, *, singly: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Yield a group's number, name and lines, or those of each of its actions."""
    if not singly:
        yield f"{group.count:,}", group.address, [*_why_lines(group, width), _dim(_examples(group, width))]
        return
    for step in group.steps:
        name = step.address if step.address.endswith(kept(step)) else f"{step.address}  {kept(step)}"
        yield "", name, _wrapped(step.reason, width)


def _beside(name: str, column: int, told: Sequence[str], width: int) -> list[str]:
    """Put the first line beside the name where it fits, below it where not."""
    name = clipped(name, width)
    padded = f"{name:<{column}}  {told[0]}"
    return [padded, *told[1:]] if len(padded) <= width else [name, *told]


def _why_lines(group: Group, width: int) -> list[str]:
    """Return the reason of a group, then how each field changes in it."""
    why = why_text(group)
    lines = _wrapped(why, width) if why else []
    for field in group.fields[:FIELDS_SHOWN]:
        lines += _wrapped(field_text(field, _GLUE), width)
    if more := len(group.fields) - FIELDS_SHOWN:
        lines += [f"and {more} more fields"] if more > 0 else []
    return lines


def why_text(group: Group) -> str:
    """Return the reason of a group beside its fields, or how many it has."""
    return group.why if group.reasons == 1 else f"{group.reasons:,} other reasons"


def field_text(field: Field, glue: str = " ") -> str:
    """Say how a field changes: in one way, in a few, or what the many have in common.

    ``glue`` is the space within one way of changing.
    """
    if not field.pairs:
        return field.path
    pattern = f"{field.before} → {field.after}"
    if field.same:
        return f"{field.path}: {pattern}"
    shown = field.pairs[:_PAIRS_SHOWN]
    others = field.others + sum(count for _, _, count in field.pairs[_PAIRS_SHOWN:])
    if field.others and pattern.replace(ELLIPSIS, "").strip(" →"):
        return f"{field.path}: {pattern}"
    counted = shown[0][2] > 1
    ways = [f"{before} → {after}{f' ({count:,})' if counted else ''}" for before, after, count in shown]
    told = ", ".join(way.replace(" ", glue) for way in ways)
    return f"{field.path}: {told}" + (f", and {others:,} others" if others else "")


def _examples(group: Group, width: int) -> str:
    """Return the first actions with their keys, as many as fit on a line."""
    told = [_example(step) for step in group.steps]
    while len(told) > 1 and len(", ".join(told)) + 3 > width:
        told.pop()
    more = f", {ELLIPSIS}" if group.count > len(told) else ""
    return clipped(", ".join(told), width - len(more)) + more


def _example(step: Step) -> str:
    return step.address if step.address.endswith(kept(step)) else f"{step.address} → {kept(step)}"


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of a width; what takes too many of them is cut."""
    lines = textwrap.wrap(
        text[: (_WRAPPED + 1) * width], width, max_lines=_WRAPPED, placeholder=f" {ELLIPSIS}", break_on_hyphens=False
    )
    return [_CONTROLS.sub("�", line.replace(_GLUE, " ")) for line in lines] or [""]


def clipped(text: str, width: int) -> str:
    """Return a text on one line, cut when it is longer than a width; nothing in it steers a terminal."""
    return _CONTROLS.sub("�", text if len(text) <= width else f"{text[: width - 1]}{ELLIPSIS}")


def _dim(text: str) -> str:
    return click.style(text, dim=True)


# What a plan comes to.


def summary_line(plan: Plan) -> str:
    """Return the line that counts the actions; its beginning is stable, scripts look for it."""
    counts = plan.summary
    if plan.empty:
        total = counts["none"]
        return f"No changes. {total} output{'s are' if total != 1 else ' is'} up to date."
    text = f"Plan: {counts['create']} to create, {counts['replace']} to replace, {counts['delete']} to delete"
    others = [f"{counts[kind]} {verb}" for kind, verb in _VERBS.items() if counts[kind]]
    if plan.moves:
        others.append(f"{len(plan.moves)} to move")
    return "\n".join([", ".join([text, *others]) + ".", *_templates_line(plan)])


def _templates_line(plan: Plan) -> list[str]:
    """Return the line that counts what is to be done about templates, when there is anything."""
    counts = Counter(action.kind for action in plan.pending_templates)
    parts = [f"{counts[kind]} {verb}" for kind, verb in _TEMPLATE_VERBS.items() if counts[kind]]
    return [f"Templates: {', '.join(parts)}."] if parts else []


def remarks(plan: Plan) -> list[str]:
    """Return what is to be said below the line that counts the actions."""
    return [*_upgrades_line(plan), *_left_line(plan), *_unrefreshed_line(plan)]


def _upgrades_line(plan: Plan) -> list[str]:
    """Return what is to be said of records that another version digested, when there are any."""
    number = len(plan.upgrades)
    if not number:
        return []
    were = (
        "record was digested by an earlier version and is"
        if number == 1
        else ("records were digested by an earlier version and are")
    )
    them = "its fingerprint" if number == 1 else "their fingerprints"
    return [f"{number} {were} unchanged; apply rewrites {them}."]


def _left_line(plan: Plan) -> list[str]:
    """Return how much a limited plan leaves out, if anything."""
    if not plan.left:
        return []
    are = "action is" if plan.left == 1 else "actions are"
    return [f"{plan.left} more {are} left for later, as --limit is {plan.limit}."]


def _unrefreshed_line(plan: Plan) -> list[str]:
    return [] if plan.refreshed else ["This plan was not refreshed: it trusts the lockfile, and no service was asked."]
