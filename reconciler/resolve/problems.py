"""What resolving finds wrong: collected from all files and rows, so that a person sees all of it at once, and once.

A problem that many rows share is shown with the first of them. How a problem is printed is the business of ``cli``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from reconciler import schema
from reconciler.diagnostics import Diagnostic
from reconciler.yaml import Path

SHOWN_ROWS: Final = 3

_KINDS: Final = (
    ("int_from_float", "a whole number"),
    ("int", "a whole number"),
    ("decimal", "a number"),
    ("finite", "a number"),
    ("float", "a number"),
    ("bool", "true or false"),
    ("string", "a text"),
    ("model", "a mapping"),
    ("dict", "a mapping"),
    ("tuple", "a list"),
    ("list", "a list"),
)
_BEFORE: Final = {"write true or false": "true or false", "write a number": "a number"}


@dataclass(slots=True)
class _Group:
    """One problem at one place: its wordings with the rows that have them, and how many rows more."""

    found: dict[str, tuple[Diagnostic, list[str]]] = field(default_factory=dict)
    rows: int = 0


class Problems:
    """Everything found so far; ``count`` counts what was taken, shown or not."""

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[Hashable, _Group] = {}

    def add(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take problems that concern no row."""
        for problem in diagnostics:
            place = (problem.severity, problem.summary, problem.position)
            self.row(place, problem.subject, problem.summary, constant(problem))

    def row(self, place: Hashable, subject: str | None, summary: str, make: Callable[[], Diagnostic]) -> None:
        """Take a problem of one output. ``place`` is the same for every row that has it; ``make`` is called rarely."""
        self.count += 1
        group = self._groups.setdefault(place, _Group())
        if summary not in group.found:
            if len(group.found) >= SHOWN_ROWS:
                group.rows += 1
                return
            group.found[summary] = (make(), [])
        if subject is not None:
            shown = sum(len(subjects) for _, subjects in group.found.values())
            if shown < SHOWN_ROWS or not group.found[summary][1]:
                group.found[summary][1].append(subject)
            else:
                group.rows += 1

    @property
    def errors(self) -> bool:
        """Whether anything must be put right."""
        return any(
            problem.severity == "error" for group in self._groups.values() for problem, _ in group.found.values()
        )

    def diagnostics(self) -> list[Diagnostic]:
        """Return everything in reading order: by file, line and column."""
        listed = [problem for group in self._groups.values() for problem in _diagnostics(group)]
        return sorted(listed, key=lambda p: (p.position is None, p.position, p.summary) if p.position else (True,))


def constant(problem: Diagnostic) -> Callable[[], Diagnostic]:
    """Return a function that makes a diagnostic which is there already."""
    return lambda: problem


def _diagnostics(group: _Group) -> Iterable[Diagnostic]:
    for index, (problem, subjects) in enumerate(group.found.values()):
        subject = ", ".join(subjects)
        if group.rows and index == len(group.found) - 1:
            subject += f" and {group.rows} more row{'s' if group.rows != 1 else ''}"
        yield replace(problem, subject=subject.strip() or None)


@dataclass(frozen=True, slots=True)
class TypeProblem:
    """A pydantic error in our words; ``on_key`` when it is the key that is wrong, or missing."""

    path: Path
    summary: str
    advice: str | None
    unknown: bool = False


def type_problems(model: type[BaseModel], errors: Iterable[ErrorDetails]) -> list[TypeProblem]:
    """Return one problem for every path; the branches of a union count as one."""
    found: dict[Path, TypeProblem] = {}
    for error in errors:
        path, owner = _path(model, error["loc"])
        found.setdefault(path, _problem(path, owner, error))
    return list(found.values())


def _path(model: type[BaseModel], loc: Iterable[int | str]) -> tuple[Path, type[BaseModel] | None]:
    """Return a location without pydantic's names for branches, and the node that holds its last step."""
    path: list[int | str] = []
    current: type[BaseModel] | None = model
    owner: type[BaseModel] | None = model
    for step in loc:
        if isinstance(step, int):
            path.append(step)
        elif current is not None:
            owner, child = current, schema.children(current).get(step)
            path.append(step)
            current = child.model if child else None
    return tuple(path), owner


def _problem(path: Path, owner: type[BaseModel] | None, error: ErrorDetails) -> TypeProblem:
    name = next((step for step in reversed(path) if isinstance(step, str)), "it")
    kind = error["type"]
    if kind == "missing":
        described = owner.model_fields[name].description if owner and name in owner.model_fields else None
        return TypeProblem(path, f"`{name}` is missing", f"{name}: {described}" if described else None)
    if kind == "extra_forbidden":
        known = schema.children(owner) if owner else {}
        return TypeProblem(path, f"unknown key `{name}`", schema.key_advice(name, known), unknown=True)
    wanted = _BEFORE.get(error["msg"].removeprefix("Value error, "))
    wanted = wanted or next((words for prefix, words in _KINDS if kind.startswith(prefix)), None)
    if owner and name == "bitrate" and owner.__name__ == "Video":
        wanted = "a whole number or auto"
    label = f"`{name}`" if path and isinstance(path[-1], str) else f"an item of `{name}`"
    if wanted is None:
        return TypeProblem(path, f"{label}: {error['msg']}", None)
    return TypeProblem(path, f"{label} must be {wanted}, not {show(error['input'])}", None)


def show(value: Any) -> str:
    """Name a value in a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"
