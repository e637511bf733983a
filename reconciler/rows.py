"""Row files (CSV, JSON, JSON Lines, YAML) to the rows of a ``for_each``, each with the line it came from.

Text in, values out: reading the file is the caller's business, what a row is used for that of ``resolve``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler import yaml
from reconciler.diagnostics import Diagnostic, Position
from reconciler.errors import ManifestError

SUFFIXES: Final = (".csv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml")
"""What the name of a row file ends in."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one file or inline list, in order.

    ``values`` is a list of mappings or scalars, or a mapping. ``lines`` has the line of each, counted from 1, when the
    rows come from a file in which a row has a line of its own.
    """

    source: str
    values: Sequence[Any] | Mapping[str, Any]
    lines: Sequence[int] = ()

    def where(self, index: int) -> str:
        """Name a row for people: ``line 7 of data/lessons.csv``."""
        if index < len(self.lines):
            return f"line {self.lines[index]} of {self.source}"
        return f"row {index + 1} of {self.source}"


def parse_rows(text: str, source: str) -> Rows:
    """Read the rows of a file by the suffix of its name.

    CSV cells are strings, its first line is the header. Raises ManifestError, located in the file.
    """
    suffix = source[source.rfind(".") :].lower()
    if suffix == ".csv":
        return _csv(text, source)
    if suffix == ".json":
        return Rows(source, _collection(_json(text, source, 1), source))
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(text, source)
    if suffix in (".yaml", ".yml"):
        return Rows(source, _collection(yaml.load(text, source).data, source))
    raise _problem(source, text, (1, 1), "not a row file", f"the name must end in one of {', '.join(SUFFIXES)}")


def _csv(text: str, source: str) -> Rows:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    problems: list[Diagnostic] = []
    line = 1
    header: list[str] | None = None
    try:
        for cells in reader:
            if header is None:
                header = cells
                _check_header(header, text, source)
            elif cells and len(cells) != len(header):
                problems.extend(_problem(source, text, (line, 1), *_ragged(cells, header)).diagnostics)
            elif cells:
                rows.append(dict(zip(header, cells, strict=True)))
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _problem(
            source, text, (line, 1), f"not valid CSV: {error}", 'write a cell that holds " as "…""…"'
        ) from None
    if header is None:
        raise _problem(
            source, text, (1, 1), "the file is empty", "the first line names the columns, such as `id,left,right`"
        )
    if problems:
        raise ManifestError(problems)
    return Rows(source, rows, lines)


def _check_header(header: Sequence[str], text: str, source: str) -> None:
    for index, name in enumerate(header):
        if not name.strip():
            raise _problem(
                source, text, (1, 1), f"column {index + 1} has no name", "name every column in the first line"
            )
        if name in header[:index]:
            raise _problem(source, text, (1, 1), f"the column `{name}` is there twice", "rename one of the two")


def _ragged(cells: Sequence[str], header: Sequence[str]) -> tuple[str, str]:
    summary = f"{len(cells)} cell{'s' if len(cells) != 1 else ''} where the header has {len(header)}"
    if len(cells) > len(header):
        return summary, "write a cell that contains a comma in double quotes"
    return summary, f"nothing is given for `{header[len(cells)]}`; an empty cell needs its comma"


def _json_lines(text: str, source: str) -> Rows:
    values: list[Any] = []
    lines: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            values.append(_json(line, source, number))
            lines.append(number)
    return Rows(source, values, lines)


def _json(text: str, source: str, first_line: int) -> Any:
    """Read one JSON text that begins in ``first_line`` of its file."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _problem(source, text, (first_line, 1), f"the key `{twice}` is there twice", "remove one of the two")
        return found

    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise _problem(
            source, text, (line, error.colno), f"not valid JSON: {error.msg}", first_line=first_line
        ) from None
    except RecursionError:
        raise _problem(source, text, (first_line, 1), "not usable JSON: nested too deeply") from None
    except ValueError:
        raise _problem(source, text, (first_line, 1), "not usable JSON: a number is too long") from None


def _collection(data: Any, source: str) -> Sequence[Any] | Mapping[str, Any]:
    if isinstance(data, list | dict):
        return data
    raise _problem(source, "", (1, 1), "the file holds no rows", "write a list or a mapping")


def _problem(
    source: str, text: str, place: tuple[int, int], summary: str, advice: str | None = None, *, first_line: int = 1
) -> ManifestError:
    """Return one problem at a line and column of the file; ``text`` is that part of it which begins in a line."""
    line, column = place
    quoted = yaml.excerpt(yaml.split_lines(text), Position(source, line - first_line + 1, column))
    return ManifestError([Diagnostic("error", summary, Position(source, line, column), quoted, advice)])
