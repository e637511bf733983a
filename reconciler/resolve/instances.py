"""``for_each``: from an entry to one instance for every row, each with its address and the names its strings see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.diagnostics import Diagnostic
from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError, Names
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.problems import Problems
from reconciler.resolve.values import Compiler, Failures
from reconciler.rows import SUFFIXES, Rows
from reconciler.schema import is_template
from reconciler.yaml import Path

Reader = Callable[[str], Rows]
"""Reads the row file of a name relative to the project. Raises ManifestError, located, or OSError."""

FOR_EACH: Path = ("for_each",)
KEY: Path = ("key",)


@dataclass(frozen=True, slots=True)
class Instance:
    """One output to be: its address and the names that its strings see."""

    address: str
    names: Names


def address(name: str, key: str) -> str:
    """Return the address of one row: ``lesson["001"]``."""
    return f"{name}[{json.dumps(key, ensure_ascii=False)}]"


class Instances:
    """Reads the rows of entries and makes instances of them."""

    def __init__(self, compiler: Compiler, reader: Reader, problems: Problems) -> None:
        self._compiler = compiler
        self._reader = reader
        self._problems = problems

    def of(self, declaration: Declaration) -> Iterator[Instance]:
        """Yield every instance of an entry. Rows that have no usable key are reported and left out."""
        given = declaration.data.get("for_each")
        if given is None:
            yield Instance(declaration.name, self._compiler.fixed)
            return
        rows = self._rows(declaration, given)
        if rows is None:
            return
        eachs = self._eachs(declaration, rows)
        if not rows.values:
            summary = f"`{declaration.name}` has no rows, so it declares no output"
            self._problems.add([declaration.diagnostic("warning", FOR_EACH, summary, on_key=True)])
        yield from self._keyed(declaration, rows, eachs)

    def _error(self, declaration: Declaration, path: Path, summary: str, advice: str | None = None) -> None:
        self._problems.add([declaration.diagnostic("error", path, summary, advice)])

    def _rows(self, declaration: Declaration, given: Any) -> Rows | None:
        failures: Failures = []
        value = self._compiler.value(given, FOR_EACH, failures)
        for path, error in failures:
            self._error(declaration, path, error.summary, error.advice)
        if failures:
            return None
        if value.build is not None:
            self._error(declaration, FOR_EACH, "`for_each` gives the rows and cannot use `each`", "use `vars`")
            return None
        if isinstance(value.constant, str):
            return self._file(declaration, value.constant)
        if isinstance(value.constant, list | dict):
            return Rows(f"`{declaration.name}`", value.constant)
        self._error(declaration, FOR_EACH, "`for_each` must be a list, a mapping or the name of a row file")
        return None

    def _file(self, declaration: Declaration, name: str) -> Rows | None:
        if not name.lower().endswith(SUFFIXES):
            advice = f"write a list, a mapping, or a name that ends in {', '.join(SUFFIXES)}"
            self._error(declaration, FOR_EACH, f"`{name}` is not the name of a row file", advice)
            return None
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
            advice = "name it relative to the project, with /, such as data/rows.csv"
            self._error(declaration, FOR_EACH, f"`{name}` leads out of the project", advice)
            return None
        try:
            return self._reader(name)
        except ManifestError as error:
            self._problems.add(error.diagnostics)
        except FileNotFoundError:
            advice = "the name is relative to the folder of reconciler.yaml"
            self._error(declaration, FOR_EACH, f"there is no file `{name}`", advice)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._error(declaration, FOR_EACH, f"`{name}` cannot be read: {reason}")
        return None

    def _eachs(self, declaration: Declaration, rows: Rows) -> Sequence[Mapping[str, Any]]:
        """Return what ``each`` is for every row, in order."""
        values = rows.values
        if isinstance(values, Mapping):
            return [{"key": key, "value": value} for key, value in values.items()]
        if all(isinstance(value, dict) for value in values):
            return values
        if any(isinstance(value, dict | list) or value is None for value in values):
            advice = "write only mappings, or only texts and numbers"
            self._error(declaration, FOR_EACH, f"the rows of {rows.source} are not all of one kind", advice)
            return ()
        return [{"key": value, "value": value} for value in values]

    def _keyed(self, declaration: Declaration, rows: Rows, eachs: Sequence[Mapping[str, Any]]) -> Iterator[Instance]:
        key_of = self._key(declaration, eachs)
        if key_of is None:
            return
        first: dict[str, int] = {}
        for index, each in enumerate(eachs):
            names = {**self._compiler.fixed, "each": each}
            try:
                key = _text(key_of(names))
            except ExpressionError as error:
                self._row(declaration, rows.where(index), error)
                continue
            if key in first:
                summary = f"the key `{key}` comes twice: {rows.where(first[key])} and {rows.where(index)}"
                self._row(declaration, None, ExpressionError(summary, "every row needs a key of its own"))
                continue
            first[key] = index
            yield Instance(address(declaration.name, key), names)

    def _row(self, declaration: Declaration, where: str | None, error: ExpressionError) -> None:
        path = KEY if "key" in declaration.data else FOR_EACH

        def make() -> Diagnostic:
            return declaration.diagnostic("error", path, error.summary, error.advice)

        self._problems.row((declaration.name, path), where, error.summary, make)

    def _key(self, declaration: Declaration, eachs: Sequence[Mapping[str, Any]]) -> Callable[[Names], Any] | None:
        text = declaration.data.get("key")
        if text is None:
            if eachs and "value" not in eachs[0]:
                summary = f"`key` is missing: it names the rows of `{declaration.name}`"
                columns = next(iter(eachs[0]), "id")
                self._error(declaration, (), summary, f'write `key: "{{{{ each.{columns} }}}}"`')
                return None
            return lambda names: names["each"]["key"]
        if not is_template(text):
            advice = f'write an expression such as "{{{{ each.{text} }}}}"' if isinstance(text, str) else None
            self._error(declaration, KEY, "`key` is the same for every row", advice)
            return None
        try:
            return self._compiler.expression(text).evaluate
        except ExpressionError as error:
            self._error(declaration, KEY, error.summary, error.advice)
            return None


def _text(key: Any) -> str:
    """Return a key as it stands in an address."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float) and key != "":
        return str(key)
    raise ExpressionError("the key of a row is empty" if key in ("", None) else "the key of a row must be a text")
