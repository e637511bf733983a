"""Row files (CSV, JSON, JSON Lines, YAML) to the rows of a ``for_each``, each with the line it came from.

CSV and JSON Lines are read row by row, so a file of a million rows needs the memory of one. Where every row is a line,
``Lines`` reads any one of them for itself. Opening the file is the caller's business, what a row is used for that of
``resolve``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, BinaryIO, Final

from reconciler import yaml
from reconciler.diagnostics import Diagnostic, Position
from reconciler.errors import ManifestError

SUFFIXES: Final = (".csv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml")
"""What the name of a row file ends in."""

MAX_PROBLEMS: Final = 20
"""Rows of a wrong length that are named one by one; those after them are counted."""

Open = Callable[[], BinaryIO]
"""Opens a row file for reading. Raises OSError."""

Numbered = Iterator[tuple[int, Any]]
"""Rows, each with its number: its line, or which row it is, counted from 1."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one file, inline list or mapping, in order; they may be walked through several times.

    ``walk`` begins anew each time it is called. What it yields is a value, or for a mapping ``{"key": …, "value": …}``.
    ``where`` names a row by its number for people: ``line 7 of data/lessons.csv``. ``open`` opens their file when it is
    one of lines. Walking raises ManifestError, located in the file, or OSError.
    """

    source: str
    walk: Callable[[], Numbered]
    where: Callable[[int], str]
    open: Open | None = None

    @classmethod
    def of(
        cls, source: str, values: Iterable[Any] | Mapping[str, Any], where: Callable[[int], str] | None = None
    ) -> Rows:
        """Return rows that are there already."""
        return cls(source, partial(_numbered, values), where or partial(_row_of, source))


def _numbered(values: Iterable[Any] | Mapping[str, Any]) -> Numbered:
    if isinstance(values, Mapping):
        return enumerate(({"key": key, "value": value} for key, value in values.items()), 1)
    return enumerate(values, 1)


def _row_of(source: str, number: int) -> str:
    return f"row {number} of {source}"


def _line_of(source: str, number: int) -> str:
    return f"line {number} of {source}"


def read_rows(open_file: Open, source: str) -> Rows:
    """Return the rows of a file by the suffix of its name, ``source``; nothing is read before they are walked through.

    CSV cells are strings, its first line is the header. Raises ManifestError when the name is not that of a row file.
    """
    suffix = source[source.rfind(".") :].lower()
    if suffix == ".csv":
        return Rows(source, partial(_csv, open_file, source), partial(_line_of, source), open_file)
    if suffix in (".jsonl", ".ndjson"):
        return Rows(source, partial(_json_lines, open_file, source), partial(_line_of, source), open_file)
    if suffix == ".json":
        return Rows(source, partial(_json_file, open_file, source), partial(_row_of, source))
    if suffix in (".yaml", ".yml"):
        read = cache(lambda: yaml.load(_whole(open_file, source), source))
        return Rows(source, lambda: _numbered(_collection(read().data, source)), partial(_yaml_line, read))
    raise _problem(source, "", (1, 1), "not a row file", f"the name must end in one of {', '.join(SUFFIXES)}")


def parse_rows(text: str | bytes, source: str) -> Rows:
    """Return the rows of a file whose text is there already."""
    data = text.encode() if isinstance(text, str) else text
    return read_rows(lambda: io.BytesIO(data), source)


# Files in which every row is a line.


@dataclass(frozen=True)
class Lines:
    """The lines of a CSV or JSON Lines file, none of which needs another to be read but the ``header`` of a CSV file.

    ``text`` are the lines from number ``first`` on. Two rows of files with one header are the same if their lines are.
    """

    source: str
    header: str | None
    text: str

    @cached_property
    def body(self) -> Sequence[str]:
        """The lines below the header, each without its end."""
        return self.text.split("\n")

    @property
    def first(self) -> int:
        """The number of the first line of the body."""
        return 1 if self.header is None else 2

    @classmethod
    def of(cls, data: bytes, source: str) -> Lines | None:
        """Split what a file holds; None when a row may be more than a line, or the file is wrong as a whole."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None
        if not source.lower().endswith(".csv"):
            return cls(source, None, text)
        text = text.replace("\r\n", "\n")
        if '"' in text or "\r" in text:
            return None
        header, _, body = text.partition("\n")
        return cls(source, header, body) if header else None

    def row(self, number: int) -> dict[str, Any] | None:
        """Return the row of a line, None for a line without one. Raises ManifestError for all else."""
        line = self.body[number - self.first]
        if not line or (self.header is None and line.isspace()):
            return None
        value = _json(line, self.source, number) if self.header is None else self._cells(self.header, line, number)
        if isinstance(value, dict):
            return value
        raise _problem(self.source, line, (number, 1), "the row is no mapping", first_line=number)

    def _cells(self, header: str, line: str, number: int) -> dict[str, str]:
        names = header.split(",")
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise _problem(self.source, line, (number, 1), f"not valid CSV: {error}", first_line=number) from None
        if len(cells) != len(names):
            raise _problem(self.source, line, (number, 1), *_ragged(cells, names), first_line=number)
        return dict(zip(names, cells, strict=True))


# CSV.


class _Reading:
    """The lines of a text file; ``record`` has those that were read since it was last cleared."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self.record: list[str] = []

    def __iter__(self) -> _Reading:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        self.record.append(line)
        return line


def _csv(open_file: Open, source: str) -> Numbered:
    with open_file() as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        lines = _Reading(text)
        reader = csv.reader(lines, strict=True)
        line = 1
        try:
            header = next(reader, None)
            if header is None:
                advice = "the first line names the columns, such as `id,left,right`"
                raise _problem(source, "", (1, 1), "the file is empty", advice)
            _check_header(header, lines.record[0], source)
            yield from _records(reader, header, lines, source)
        except csv.Error as error:
            line += reader.line_num - len(lines.record)
            quoted, advice = "".join(lines.record), 'write a cell that holds " as "…""…"'
            raise _problem(source, quoted, (line, 1), f"not valid CSV: {error}", advice, first_line=line) from None
        except UnicodeDecodeError:
            raise _not_utf8(open_file, source) from None


def _records(reader: Any, header: list[str], lines: _Reading, source: str) -> Numbered:
    """Yield the rows below the header, and at the end raise what is wrong with those that do not fit it."""
    width = len(header)
    problems: list[Diagnostic] = []
    more = 0
    line: int = reader.line_num + 1
    lines.record.clear()
    for cells in reader:
        if len(cells) == width:
            yield line, dict(zip(header, cells, strict=True))
        elif cells and len(problems) < MAX_PROBLEMS:
            found = _problem(source, lines.record[0], (line, 1), *_ragged(cells, header), first_line=line)
            problems.extend(found.diagnostics)
        elif cells:
            more += 1
        line = reader.line_num + 1
        lines.record.clear()
    if more:
        summary = f"{more} more row{'s have' if more > 1 else ' has'} another number of cells than the header"
        problems.append(Diagnostic("error", summary, Position(source, line), None, "compare them with the first line"))
    if problems:
        raise ManifestError(problems)


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


# JSON and YAML.


def _json_lines(open_file: Open, source: str) -> Numbered:
    with open_file() as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
        try:
            for number, line in enumerate(text, 1):
                if not line.isspace():
                    yield number, _json(line, source, number)
        except UnicodeDecodeError:
            raise _not_utf8(open_file, source) from None


def _json_file(open_file: Open, source: str) -> Numbered:
    return _numbered(_collection(_json(_whole(open_file, source), source, 1), source))


def _yaml_line(read: Callable[[], yaml.Document], number: int) -> str:
    """Name a row by its line, which is sought only when somebody asks."""
    document = read()
    step = list(document.data)[number - 1] if isinstance(document.data, dict) else number - 1
    return _line_of(document.source, document.position((step,), on_key=True).line)


def _json(text: str, source: str, first_line: int) -> Any:
    """Read one JSON text that begins in ``first_line`` of its file."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            summary = f"the key `{twice}` is there twice"
            raise _problem(source, text, (first_line, 1), summary, "remove one of the two", first_line=first_line)
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise _problem(
            source, text, (line, error.colno), f"not valid JSON: {error.msg}", first_line=first_line
        ) from None
    except RecursionError:
        summary = "not usable JSON: nested too deeply"
        raise _problem(source, text, (first_line, 1), summary, first_line=first_line) from None
    except ValueError:
        summary = "not usable JSON: a number is too long"
        raise _problem(source, text, (first_line, 1), summary, first_line=first_line) from None


def _collection(data: Any, source: str) -> Sequence[Any] | Mapping[str, Any]:
    if isinstance(data, list | dict):
        return data
    raise _problem(source, "", (1, 1), "the file holds no rows", "write a list or a mapping")


# The text of a file.


def _whole(open_file: Open, source: str) -> str:
    with open_file() as file:
        return yaml.decode(file.read(), source)


def _not_utf8(open_file: Open, source: str) -> ManifestError:
    """Return the problem of a file that is not UTF-8, located: the reader of a long file does not know the place."""
    with open_file() as file:
        for number, line in enumerate(file, 1):
            try:
                yaml.decode(line, source, first_line=number)
            except ManifestError as error:
                return error
    return _problem(source, "", (1, 1), "the file is not UTF-8", "save the file as UTF-8")


def _problem(
    source: str, text: str, place: tuple[int, int], summary: str, advice: str | None = None, *, first_line: int = 1
) -> ManifestError:
    """Return one problem at a line and column of the file; ``text`` is that part of it which begins in a line."""
    line, column = place
    quoted = yaml.excerpt(yaml.split_lines(text), Position(source, line - first_line + 1, column))
    return ManifestError([Diagnostic("error", summary, Position(source, line, column), quoted, advice)])
