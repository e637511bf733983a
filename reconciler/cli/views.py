"""Values → human text or JSON. Computes nothing, asks nobody. Plans are in ``plan_views`` and ``plan_documents``.

``--json`` documents carry a ``format`` with a version and keep their shape within it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import click

from reconciler.diagnostics import Diagnostic

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
    start, margin = "{", "\n  "
    for key, value in document.items():
        yield f"{start}{margin}{_ENCODE(key)}: "
        if isinstance(value, Iterator):
            yield from _list_pieces(value)
        else:
            yield _indented_json(value, margin)
        start = ","
    yield "{}" if start == "{" else "\n}"


def _list_pieces(values: Iterator[Any]) -> Iterator[str]:
    start, margin = "[", "\n    "
    for value in values:
        yield f"{start}{margin}{_indented_json(value, margin)}"
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
