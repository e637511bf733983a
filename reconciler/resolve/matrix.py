"""``matrix`` and ``exclude``: from lists of values to one row for every combination that is not left out.

The lists are evaluated already; what a row is used for is the business of ``instances``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product
from math import prod
from typing import Any, Final

from reconciler.diagnostics import did_you_mean
from reconciler.expression import known_words
from reconciler.resolve.problems import show
from reconciler.rows import Numbered, Rows
from reconciler.yaml import Path

MATRIX: Final[Path] = ("matrix",)
EXCLUDE: Final[Path] = ("exclude",)

MAX_COMBINATIONS: Final = 1_000_000
"""More than this is surely a mistake: a few short lists make many combinations."""

Fail = Callable[[Path, str, str | None], None]
"""Takes an error: the path in the entry, what is wrong, and advice."""


def matrix_rows(name: str, matrix: Any, exclude: Any, fail: Fail) -> Rows | None:
    """Return the combinations in written order, the last list changing fastest; None when something is wrong."""
    problems = [*_matrix_problems(matrix)] or [*_exclude_problems(exclude, matrix)]
    for path, summary, advice in problems:
        fail(path, summary, advice)
    if problems:
        return None
    walk = partial(_combinations, matrix, exclude or ())
    return Rows(f"`{name}`", walk, partial(_named, walk))


def _combinations(matrix: Mapping[str, Sequence[Any]], exclude: Sequence[Mapping[str, Any]]) -> Numbered:
    every = (dict(zip(matrix, values, strict=True)) for values in product(*matrix.values()))
    return enumerate((row for row in every if not any(_is_within(row, left_out) for left_out in exclude)), 1)


def _is_within(row: Mapping[str, Any], partial_row: Mapping[str, Any]) -> bool:
    return all(same(row[name], value) for name, value in partial_row.items())


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to a person: 1 is 1.0, but not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _named(walk: Callable[[], Numbered], number: int) -> str:
    _, row = next(islice(walk(), number - 1, None))
    return "the combination " + ", ".join(f"{name}={value}" for name, value in row.items())


def _matrix_problems(matrix: Any) -> Iterator[tuple[Path, str, str | None]]:
    if not isinstance(matrix, Mapping) or not matrix:
        yield MATRIX, "`matrix` must be a mapping of lists", "write `matrix: {lang: [de, en], size: [hd, sd]}`"
        return
    for name, values in matrix.items():
        path = (*MATRIX, name)
        if not isinstance(values, list):
            yield path, f"`{name}` must be a list of values, not {show(values)}", None
        elif not values:
            yield path, f"`{name}` is an empty list, so there is no combination", "give it a value, or leave it out"
        else:
            yield from _repeated(path, values)
    if all(isinstance(values, list) for values in matrix.values()):
        count = prod(map(len, matrix.values()))
        if count > MAX_COMBINATIONS:
            yield MATRIX, f"the lists make {count} combinations", f"at most {MAX_COMBINATIONS} are made"


def _repeated(path: Path, values: Sequence[Any]) -> Iterator[tuple[Path, str, str | None]]:
    for index, value in enumerate(values):
        if any(same(value, earlier) for earlier in values[:index]):
            yield (*path, index), f"{show(value)} is there twice", "remove one of the two"


def _exclude_problems(exclude: Any, matrix: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Path, str, str | None]]:
    if exclude is None:
        return
    advice = "write `exclude: [{lang: de, size: sd}]`"
    if not isinstance(exclude, list):
        yield EXCLUDE, "`exclude` must be a list of mappings", advice
        return
    for index, left_out in enumerate(exclude):
        path = (*EXCLUDE, index)
        if not isinstance(left_out, Mapping) or not left_out:
            yield path, "what is excluded is a mapping of names of the matrix to values", advice
            continue
        for name, value in left_out.items():
            if name not in matrix:
                near = did_you_mean(str(name), matrix) or known_words(list(matrix))
                yield (*path, name), f"the matrix has no `{name}`", near
            elif not any(same(value, known) for known in matrix[name]):
                words = [str(known) for known in matrix[name]]
                near = did_you_mean(str(value), words) or known_words(words)
                yield (*path, name), f"`{name}` of the matrix is never {show(value)}", near
