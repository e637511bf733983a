"""Values → human text or JSON. Computes nothing, asks nobody.

``--json`` documents carry a ``format`` with a version and keep their shape within it.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.diagnostics import Diagnostic

if TYPE_CHECKING:
    from reconciler.changes import Change
    from reconciler.plan import Action, Kind, Origin, Plan
    from reconciler.plan_templates import TemplateAction, TemplateKind

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
_PIECE: Final = 1 << 16
"""A piece of a document has about so many characters: few enough to hold, and not too few for one write."""

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def json_text(document: Mapping[str, Any]) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, ensure_ascii=False, indent=2)


def json_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a document as ``json_text`` returns it, and a line's end; an iterator in it is written as a list.

    Only a piece of the text is held at a time, and what an iterator yields only until it is written.
    """
    piece: list[str] = []
    length = 0
    for text in chain(_object_pieces(document), ("\n",)):
        piece.append(text)
        length += len(text)
        if length >= _PIECE:
            yield "".join(piece)
            piece.clear()
            length = 0
    yield "".join(piece)


def _object_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    start = "{"
    for key, value in document.items():
        yield f"{start}\n  {_ENCODE(key)}: "
        if isinstance(value, Iterator):
            yield from _list_pieces(value)
        else:
            yield _indented_json(value, "\n  ")
        start = ","
    yield "{}" if start == "{" else "\n}"


def _list_pieces(values: Iterator[Any]) -> Iterator[str]:
    start = "["
    for value in values:
        yield f"{start}\n    {_indented_json(value, chr(10) + ' ' * 4)}"
        start = ","
    yield "[]" if start == "[" else "\n  ]"


def _indented_json(value: Any, margin: str) -> str:
    """Return what ``json.dumps`` does, which is slow as soon as it indents; a ``margin`` begins with the line's end."""
    inner = f"{margin}  "
    if isinstance(value, Mapping) and value:
        pairs = [f"{_ENCODE(key)}: {_indented_json(part, inner)}" for key, part in value.items()]
        return f"{{{inner}{f',{inner}'.join(pairs)}{margin}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{inner}{f',{inner}'.join([_indented_json(part, inner) for part in value])}{margin}]"
    return _ENCODE(value)


# Problems.


def diagnostics_text(diagnostics: Iterable[Diagnostic]) -> str:
    """Return located problems as a person reads them, an empty line between two."""
    return "\n\n".join(_diagnostic_text(diagnostic) for diagnostic in diagnostics) + "\n"


def _diagnostic_text(diagnostic: Diagnostic) -> str:
    color = "red" if diagnostic.severity == "error" else "yellow"
    lines = [f"{click.style(diagnostic.severity + ':', fg=color, bold=True)} {diagnostic.summary}"]
    position = diagnostic.position
    if position is None:
        return "\n".join([*lines, *_advice(diagnostic.advice)])
    number = str(position.line)
    margin = " " * len(number)
    arrow = click.style("-->", fg="blue")
    subject = f" ({diagnostic.subject})" if diagnostic.subject else ""
    lines.append(f"{margin} {arrow} {position.source}:{position.line}:{position.column}{subject}")
    if diagnostic.excerpt is None:
        return "\n".join([*lines, *_advice(diagnostic.advice)])
    bar = click.style("|", fg="blue")
    excerpt, column = _clip(diagnostic.excerpt, position.column)
    caret = click.style("^", fg=color, bold=True)
    lines += [
        f"{margin} {bar}",
        f"{click.style(number, fg='blue')} {bar} {excerpt}",
        f"{margin} {bar} {' ' * _display_width(excerpt[: column - 1])}{caret} {diagnostic.advice or ''}".rstrip(),
    ]
    return "\n".join(lines)


def _display_width(text: str) -> int:
    """Return how many columns a terminal gives a text: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _advice(advice: str | None) -> list[str]:
    return [f"  {click.style('→', fg='cyan')} {advice}"] if advice else []


def _clip(excerpt: str, column: int, width: int = 100) -> tuple[str, int]:
    """Cut a very long line around its column."""
    text = excerpt.replace("\t", " ")
    if len(text) <= width:
        return text, column
    start = max(0, min(column - 1 - width // 2, len(text) - width))
    return text[start : start + width], column - start


def diagnostic_data(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a located problem as JSON data."""
    position = diagnostic.position
    return {
        "severity": diagnostic.severity,
        "summary": diagnostic.summary,
        "file": position.source if position else None,
        "line": position.line if position else None,
        "column": position.column if position else None,
        "excerpt": diagnostic.excerpt,
        "advice": diagnostic.advice,
        "subject": diagnostic.subject,
    }


def validation_data(outputs: int, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Return what ``validate --json`` prints."""
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    return {
        "format": "reconciler.validate/1",
        "valid": errors == 0,
        "outputs": outputs,
        "error_count": errors,
        "warning_count": len(diagnostics) - errors,
        "diagnostics": [diagnostic_data(diagnostic) for diagnostic in diagnostics],
    }


# Plans.


def plan_text(plan: Plan, *, everything: bool = False) -> str:
    """Return a plan as a person reads it: one block for every action, then the line that counts them."""
    shown = plan.everything if everything else plan.pending
    templates = plan.templates if everything else plan.pending_templates
    addresses = [action.address for action in templates] + [action.address for action in shown]
    kept = [_kept(action) for action in templates] + [action.object for action in shown]
    widths = _width(addresses), _width(kept)
    lines = [line for template in templates for line in _template_lines(template, widths)]
    lines += [line for action in shown for line in _action_lines(action, widths)]
    lines += [f"  {click.style('→', fg='cyan')} {old} is now {new}" for old, new in sorted(plan.moves.items())]
    return "\n".join([*lines, *([""] if lines else []), summary_line(plan), *_remarks(plan)])


def _width(texts: Iterable[str]) -> int:
    """Return the width of a column: its longest text, but no more than leaves room for the next."""
    return min(max(map(len, texts), default=0), 40)


def _action_lines(action: Action, widths: tuple[int, int]) -> list[str]:
    """Return one line for an action, and one more for each field that changed."""
    sign, color = _SIGNS[action.kind]
    head = click.style(f"{sign} {action.kind:<8}", fg=color, bold=True)
    line = f"  {head} {action.address:<{widths[0]}}  {action.object:<{widths[1]}}"
    if not action.changes:
        return [f"{line}  {click.style(action.reason, dim=True)}"]
    # The reason names a single change, and where a copy comes from.
    shown = [action.reason] if len(action.changes) == 1 else [*_change_lines(action.changes), *_origin_line(action)]
    return [line.rstrip(), *(f"{'':<13}{text}" for text in shown)]


def _origin_line(action: Action) -> list[str]:
    return [f"copied from {action.origin}"] if action.kind == "reuse" else []


def _template_lines(action: TemplateAction, widths: tuple[int, int]) -> list[str]:
    """Return one line for a template, and one more for each field that changed."""
    sign, color = _SIGNS[action.kind]
    head = click.style(f"{sign} {action.kind:<8}", fg=color, bold=True)
    reason = click.style(action.reason, dim=True)
    line = f"  {head} {action.address:<{widths[0]}}  {_kept(action):<{widths[1]}}  {reason}"
    # A single change that the reason names is not said twice.
    told = len(action.changes) == 1 and action.reason.startswith(action.changes[0].path)
    return [line, *(f"{'':<13}{text}" for text in ([] if told else _change_lines(action.changes)))]


def _kept(action: TemplateAction) -> str:
    return f"{action.tag} template"


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


def value_text(value: Any) -> str:
    """Return the value of a field as a person reads it."""
    if value is None:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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


def _remarks(plan: Plan) -> list[str]:
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


def plan_data(plan: Plan, *, everything: bool = False) -> dict[str, Any]:
    """Return what ``plan --json`` prints."""
    shown = plan.everything if everything else plan.pending
    return {
        "format": "reconciler.plan/1",
        "summary": plan.summary,
        "actions": [action_data(action) for action in shown],
        "templates": [template_data(action) for action in (plan.templates if everything else plan.pending_templates)],
        "moves": [{"from": old, "to": new} for old, new in sorted(plan.moves.items())],
        "upgrades": sorted(plan.upgrades),
        "left": plan.left,
        "refreshed": plan.refreshed,
    }


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


def plan_markdown(plan: Plan) -> str:
    """Return a plan for a pull-request comment."""
    rows = [
        f"| {action.kind} | `{action.address}` | {_kept(action)} | {_cell(action.reason)} |"
        for action in plan.pending_templates
    ]
    rows += [
        f"| {action.kind} | `{action.address}` | `{action.object}` | {_cell(action.reason)} |"
        for action in plan.pending
    ]
    head = ["| Action | Output | Object | Why |", "| --- | --- | --- | --- |"] if rows else []
    summary = [*(f"**{line}**" for line in summary_line(plan).splitlines()), *_remarks(plan)]
    return "\n".join(["  \n".join(summary), "", *head, *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# Amounts.


def size_text(size: int | None) -> str:
    """Return a number of bytes as a person reads it, in binary units."""
    if size is None:
        return "-"
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def seconds_text(seconds: float | None) -> str:
    """Return a length of time as a person reads it."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns under a bold head; the last column is not padded."""
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    return "\n".join([click.style(line(head), bold=True), *map(line, rows)])


def yaml_text(value: Any) -> str:
    """Return plain data as block YAML in the order given, with strings quoted that YAML 1.1 readers would misread."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def indented(text: str) -> str:
    """Return text two columns to the right."""
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())
