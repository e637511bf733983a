"""From an entry to one instance for every row of ``for_each`` or ``matrix``, each with the names its strings see.

Rows are walked through one by one and none is kept, so that a million of them need no memory here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple

from reconciler.diagnostics import Diagnostic
from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError, Names
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.matrix import EXCLUDE, MATRIX, matrix_rows
from reconciler.resolve.problems import SHOWN_ROWS, Problems, show
from reconciler.resolve.values import Compiler, Failures, Value
from reconciler.rows import SUFFIXES, Numbered, Rows, parse_rows
from reconciler.schema import is_template
from reconciler.yaml import Path

Reader = Callable[[str], Rows]
"""Returns the rows of the file of a name relative to the project. Raises ManifestError, located, or OSError."""

FOR_EACH: Final[Path] = ("for_each",)
KEY: Final[Path] = ("key",)
WHEN: Final[Path] = ("when",)

ROW_KEYS: Final = frozenset(("for_each", "matrix", "exclude", "key", "when"))
"""What an entry says about its rows, and what no row needs to be built."""


class Instance(NamedTuple):
    """One output to be: its address, the names that its strings see, the number of its row (0 without rows)."""

    address: str
    names: Names
    row: int = 0


def address(name: str, key: str) -> str:
    """Return the address of one row: ``lesson["001"]``."""
    if key.isalnum():
        return f'{name}["{key}"]'
    return f"{name}[{json.dumps(key, ensure_ascii=False)}]"


class Instances:
    """Reads the rows of entries and makes instances of them.

    ``unread`` are the entries whose rows are not all known, because something is wrong with them.
    """

    def __init__(self, compiler: Compiler, reader: Reader, problems: Problems) -> None:
        self.unread: set[str] = set()
        self._compiler = compiler
        self._reader = reader
        self._problems = problems
        self._rows: dict[str, Rows] = {}
        self._opened: dict[str, Rows | None] = {}
        self._files: dict[str, str] = {}
        self._repeats: Counter[str] = Counter()
        self._left_out: dict[str, set[str]] = {}

    def of(self, declaration: Declaration, rows: Rows | None = None, *, wanted: bool = True) -> Iterator[Instance]:
        """Yield every instance of an entry, or those that are not ``wanted``: that its ``when`` leaves out.

        Rows that have no usable key are reported and left out. ``rows`` take the place of those that the entry names.
        """
        decide = self._when(declaration)
        if decide is None:
            self.unread.add(declaration.name)
        elif declaration.rowed:
            yield from self._of_rows(declaration, rows, lambda names: decide(names) == wanted)
        else:
            try:
                if decide(self._compiler.fixed) == wanted:
                    yield Instance(declaration.name, self._compiler.fixed)
            except ExpressionError as error:
                self._row(declaration, WHEN, None, error)

    def is_left_out(self, declaration: Declaration, address: str) -> bool:
        """Tell whether an address is one that ``when`` leaves out.

        There may be millions of those, so they are sought, once more through all rows, when somebody wants to know.
        """
        name = declaration.name
        if name not in self._left_out:
            again = Instances(self._compiler, self._reader, Problems())
            self._left_out[name] = {instance.address for instance in again.of(declaration, wanted=False)}
        return address in self._left_out[name]

    def where(self, name: str, row: int) -> str:
        """Name a row of an entry for people: ``line 7 of data/lessons.csv``."""
        return self._rows[name].where(row)

    def repeated(self, declaration: Declaration, again: Instance, first: int) -> None:
        """Report a row that has the key of an earlier one, whose number is ``first``."""
        self._repeats[declaration.name] += 1
        if self._repeats[declaration.name] > SHOWN_ROWS:  # only counted, so the places need not be sought
            self._row(declaration, _key_path(declaration), None, ExpressionError("a key comes twice"))
            return
        where = self._rows[declaration.name].where
        key = json.loads(again.address[len(declaration.name) + 1 : -1])
        summary = f"the key `{key}` comes twice: {where(first)} and {where(again.row)}"
        error = ExpressionError(summary, "every row needs a key of its own")
        self._row(declaration, _key_path(declaration), None, error)

    def of_row(self, address: str, number: int, each: Mapping[str, Any]) -> Instance:
        """Return the instance of a row whose address is known."""
        return Instance(address, {**self._compiler.fixed, "each": each}, number)

    def held(self, declaration: Declaration) -> tuple[bytes, Rows] | None:
        """Return what the row file of an entry holds, and its rows, which are read from that and no more from the file.

        None when its rows are no lines of a file, or have no ``key``: then the first of them has a say in the others.
        """
        if declaration.data.get("key") is None or (rows := self._read(declaration)) is None or rows.open is None:
            return None
        try:
            with rows.open() as file:
                data = file.read()
        except OSError:
            return None  # reported when the rows are walked through
        rows = self._opened[declaration.name] = parse_rows(data, rows.source)
        return data, rows

    def _of_rows(
        self, declaration: Declaration, given: Rows | None, decide: Callable[[Names], bool]
    ) -> Iterator[Instance]:
        rows = given or self._read(declaration)
        if rows is None:
            self.unread.add(declaration.name)
            return
        self._rows[declaration.name] = rows
        try:
            yield from self._keyed(declaration, rows, decide)
        except ManifestError as error:
            self._problems.add(error.diagnostics)
            self.unread.add(declaration.name)
        except (OSError, ValueError) as error:
            self._unreadable(declaration, self._files.get(declaration.name, rows.source), error)
            self.unread.add(declaration.name)

    def _error(self, declaration: Declaration, path: Path, summary: str, advice: str | None = None) -> None:
        self._problems.add([declaration.diagnostic("error", path, summary, advice)])

    # The rows.

    def _read(self, declaration: Declaration) -> Rows | None:
        name = declaration.name
        if name not in self._opened:
            self._opened[name] = self._named_rows(declaration)
        return self._opened[name]

    def _named_rows(self, declaration: Declaration) -> Rows | None:
        data = declaration.data
        if data.get("matrix") is not None:
            return self._matrix(declaration)
        given = self._given(declaration, FOR_EACH, data["for_each"])
        if given is None:
            return None
        if isinstance(given.constant, str):
            return self._file(declaration, given.constant)
        if isinstance(given.constant, list | dict):
            return Rows.of(f"`{declaration.name}`", given.constant, partial(_written_row, declaration, given.constant))
        self._error(declaration, FOR_EACH, "`for_each` must be a list, a mapping or the name of a row file")
        return None

    def _given(self, declaration: Declaration, path: Path, data: Any) -> Value | None:
        """Evaluate what gives the rows, and can therefore see none of them."""
        failures: Failures = []
        value = self._compiler.value(data, path, failures)
        for at, error in failures:
            self._error(declaration, at, error.summary, error.advice)
        if value.build is not None:
            self._error(declaration, path, f"`{path[0]}` gives the rows and cannot use `each`", "use `vars`")
        return None if failures or value.build is not None else value

    def _matrix(self, declaration: Declaration) -> Rows | None:
        matrix = self._given(declaration, MATRIX, declaration.data["matrix"])
        exclude = self._given(declaration, EXCLUDE, declaration.data.get("exclude"))
        if matrix is None or exclude is None:
            return None
        return matrix_rows(declaration.name, matrix.constant, exclude.constant, partial(self._error, declaration))

    def _file(self, declaration: Declaration, name: str) -> Rows | None:
        if not name.lower().endswith(SUFFIXES):
            advice = f"write a list, a mapping, or a name that ends in {', '.join(SUFFIXES)}"
            self._error(declaration, FOR_EACH, f"`{name}` is not the name of a row file", advice)
            return None
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
            advice = "name it relative to the project, with /, such as data/rows.csv"
            self._error(declaration, FOR_EACH, f"`{name}` leads out of the project", advice)
            return None
        self._files[declaration.name] = name
        try:
            return self._reader(name)
        except ManifestError as error:
            self._problems.add(error.diagnostics)
        except (OSError, ValueError) as error:
            self._unreadable(declaration, name, error)
        return None

    def _unreadable(self, declaration: Declaration, name: str, error: Exception) -> None:
        if isinstance(error, FileNotFoundError):
            advice = "the name is relative to the folder of reconciler.yaml"
            self._error(declaration, FOR_EACH, f"there is no file `{name}`", advice)
            return
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._error(declaration, FOR_EACH, f"`{name}` cannot be read: {reason}")

    # Their keys.

    def _keyed(self, declaration: Declaration, rows: Rows, decide: Callable[[Names], bool]) -> Iterator[Instance]:
        numbered = self._eachs(declaration, rows)
        first = next(numbered, None)
        if first is None and declaration.name in self.unread:
            return  # why has been reported
        key_of = self._key(declaration, first[1] if first else None)
        if first is None:
            summary = f"`{declaration.name}` has no rows, so it declares no output"
            self._problems.add([declaration.diagnostic("warning", _rows_path(declaration), summary, on_key=True)])
        elif key_of is None:
            self.unread.add(declaration.name)
        else:
            yield from self._named(declaration, chain((first,), numbered), decide, key_of)

    def _named(
        self,
        declaration: Declaration,
        numbered: Iterable[tuple[int, Any]],
        decide: Callable[[Names], bool],
        key_of: Callable[[Names], Any],
    ) -> Iterator[Instance]:
        name, fixed = declaration.name, self._compiler.fixed
        for number, each in numbered:
            names = {**fixed, "each": each}
            path = WHEN
            try:
                if not decide(names):
                    continue
                path = KEY
                key = _text(key_of(names))
            except ExpressionError as error:
                at = _key_path(declaration) if path == KEY else WHEN
                self._row(declaration, at, self.where(name, number), error)
                continue
            yield Instance(address(name, key), names, number)

    def _eachs(self, declaration: Declaration, rows: Rows) -> Numbered:
        """Yield what ``each`` is for every row, in order."""
        mappings: bool | None = None
        for number, value in rows.walk():
            if mappings is None:
                mappings = isinstance(value, dict)
            if isinstance(value, dict) != mappings or isinstance(value, list) or value is None:
                advice = "write only mappings, or only texts and numbers"
                summary = f"the rows of {rows.source} are not all of one kind"
                self._error(declaration, _rows_path(declaration), summary, advice)
                self.unread.add(declaration.name)
                return
            yield number, value if mappings else {"key": value, "value": value}

    def _row(self, declaration: Declaration, path: Path, where: str | None, error: ExpressionError) -> None:
        if where is not None or path == WHEN:
            self.unread.add(declaration.name)

        def make() -> Diagnostic:
            return declaration.diagnostic("error", path, error.summary, error.advice)

        self._problems.row((declaration.name, path), where, error.summary, make)

    def _key(self, declaration: Declaration, first: Mapping[str, Any] | None) -> Callable[[Names], Any] | None:
        text = declaration.data.get("key")
        if text is None:
            if declaration.data.get("matrix") is not None:
                return _joined
            if first is not None and "value" not in first:
                summary = f"`key` is missing: it names the rows of `{declaration.name}`"
                columns = next(iter(first), "id")
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

    # Whether they are wanted.

    def _when(self, declaration: Declaration) -> Callable[[Names], bool] | None:
        """Return what ``when`` says of a row; None when it cannot be read, which has been reported."""
        given = declaration.data.get("when")
        if given is None:
            return _always
        failures: Failures = []
        value = self._compiler.value(given, WHEN, failures)
        for path, error in failures:
            self._error(declaration, path, error.summary, error.advice)
        if failures:
            return None
        return partial(_truth, value)


def _always(_: Names) -> bool:
    return True


def _truth(value: Value, names: Names) -> bool:
    failures: Failures = []
    found = value.get(names, failures)
    for _, error in failures:
        raise error
    if found is True or found is False:
        return bool(found)
    advice = "compare it with something, such as \"{{ each.lang == 'de' }}\""
    raise ExpressionError(f"`when` must be true or false, not {show(found)}", advice)


def _rows_path(declaration: Declaration) -> Path:
    return MATRIX if declaration.data.get("matrix") is not None else FOR_EACH


def _key_path(declaration: Declaration) -> Path:
    return KEY if "key" in declaration.data else _rows_path(declaration)


def _joined(names: Names) -> str:
    """Return the key of a combination that names none: its values."""
    for name, value in names["each"].items():
        if not isinstance(value, str | int | float):
            advice = f'write `key: "{{{{ each.{name}.id }}}}"`, or whatever tells them apart'
            raise ExpressionError(
                f"`key` is missing: a value of `{name}` is {show(value)}, which names nothing", advice
            )
    return "-".join(map(_text, names["each"].values()))


def _written_row(declaration: Declaration, values: list[Any] | dict[str, Any], number: int) -> str:
    """Name a row that a person wrote into the entry by its line."""
    step = list(values)[number - 1] if isinstance(values, dict) else number - 1
    path: Path = (*FOR_EACH, step)
    if not declaration.has(path):
        return f"row {number} of `{declaration.name}`"
    at = declaration.diagnostic("error", path, "", on_key=True).position
    assert at is not None  # it was found in the file
    return f"row {number} of `{declaration.name}` in line {at.line} of {at.source}"


def _text(key: Any) -> str:
    """Return a key as it stands in an address."""
    if isinstance(key, str) and key:
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise ExpressionError("the key of a row is empty" if key in ("", None) else "the key of a row must be a text")
