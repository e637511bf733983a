"""An entry's values for one row: strings compiled once, and what does not depend on the row computed once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.expression import Environment, Expression, ExpressionError, Names
from reconciler.schema import is_template
from reconciler.yaml import Path

Failures = list[tuple[Path, ExpressionError]]
Build = Callable[[Names, Failures], Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A node of an entry: either constant, or built anew for every row."""

    constant: Any = None
    build: Build | None = None

    def get(self, names: Names, failures: Failures) -> Any:
        """Return the value for one row. Nodes are shared between rows and must not be changed."""
        return self.constant if self.build is None else self.build(names, failures)


@dataclass
class Compiler:
    """Compiles the values of one manifest's entries. ``fixed`` are the names that are the same for every row."""

    env: Environment
    fixed: Names
    _expressions: dict[str, Expression] = field(default_factory=dict)
    _constants: dict[int, Value] = field(default_factory=dict)

    def expression(self, text: str) -> Expression:
        """Compile a text, or return it as it was compiled before. Raises ExpressionError."""
        if text not in self._expressions:
            self._expressions[text] = Expression(self.env, text)
        return self._expressions[text]

    def evaluator(self, text: str) -> Callable[[Names], Any]:
        """Return what evaluates a text that may be a template, see ``Expression.raw``. Raises ExpressionError."""
        if not is_template(text):
            return lambda _: text
        expression = self.expression(text)
        if "each" in expression.names:
            return expression.raw
        constant = expression.evaluate(self.fixed)
        return lambda _: constant

    def value(self, data: Any, path: Path, failures: Failures) -> Value:
        """Compile a node and all below it. What fails already now is put into ``failures``."""
        if isinstance(data, dict):
            known = self._constants.get(id(data))
            if known is not None and known.constant is data:
                return known
            return self._keep(
                data, _mapping(data, {key: self.value(value, (*path, key), failures) for key, value in data.items()})
            )
        if isinstance(data, list):
            return _list(data, [self.value(item, (*path, index), failures) for index, item in enumerate(data)])
        if is_template(data):
            return self._text(data, path, failures)
        return Value(data)

    def _keep(self, data: dict[str, Any], value: Value) -> Value:
        """Remember a mapping without templates, such as a default that many entries share."""
        if value.constant is data:
            self._constants[id(data)] = value
        return value

    def _text(self, text: str, path: Path, failures: Failures) -> Value:
        try:
            expression = self.expression(text)
            if expression.names <= self.fixed.keys() or "each" not in expression.names:
                return Value(expression.evaluate(self.fixed))
        except ExpressionError as error:
            failures.append((path, error))
            return Value()

        def build(names: Names, failures: Failures) -> Any:
            try:
                return expression.evaluate(names)
            except ExpressionError as error:
                failures.append((path, error))
                return None

        return Value(build=build)


def _mapping(data: dict[str, Any], items: Mapping[str, Value]) -> Value:
    constants = {key: value.constant for key, value in items.items()}
    builders = [(key, value.build) for key, value in items.items() if value.build is not None]
    if not builders:
        return Value(data if all(constants[key] is data[key] for key in data) else constants)

    def build(names: Names, failures: Failures) -> dict[str, Any]:
        made = constants.copy()
        for key, builder in builders:
            made[key] = builder(names, failures)
        return made

    return Value(build=build)


def _list(data: list[Any], items: list[Value]) -> Value:
    constants = [value.constant for value in items]
    builders = [(index, value.build) for index, value in enumerate(items) if value.build is not None]
    if not builders:
        return Value(data if all(map(operator.is_, constants, data)) else constants)

    def build(names: Names, failures: Failures) -> list[Any]:
        made = constants.copy()
        for index, builder in builders:
            made[index] = builder(names, failures)
        return made

    return Value(build=build)
