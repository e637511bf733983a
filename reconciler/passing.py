"""Which parameters a layout passes on without looking at them.

Such a parameter names sources, and what it is called changes nothing but the name in the result: so outputs that
differ in nothing else need one rendering. What a layout is, and how it is rendered, is the business of ``layout``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from jinja2 import nodes

_KINDS: Final = frozenset(("string", "mapping", "defined", "undefined"))
"""Tests that ask what something is, not how it reads."""

_LENGTHS: Final = frozenset(("length", "count"))
_NEIGHBOURS: Final = frozenset(("previtem", "nextitem", "changed"))


def passed_on(tree: nodes.Template, parameters: Iterable[str]) -> Mapping[str, bool]:
    """Return the parameters that a layout only hands to ``place``, and whether only lists of sources are meant.

    Only so are: ``{{ main | place(…) }}`` as a whole, ``{% for one in main %}`` whose ``one`` is passed on,
    ``main | length``, ``main is string``, and ``main`` as a condition. Loops and lengths mean lists: of a text they
    would look at the characters.
    """
    uses = _Uses()
    uses.statements(tree.body)
    return {name: name in uses.listed for name in parameters if name not in uses.seen()}


class _Uses:
    """What a layout does with names: ``looked_at`` are those of which more is asked than passing on."""

    def __init__(self) -> None:
        self.looked_at: set[str] = set()
        self.listed: set[str] = set()
        self.loops: list[tuple[str, str]] = []

    def seen(self) -> set[str]:
        """Return the names that are looked at, as such or item by item; an item must not be a list again."""
        seen = self.looked_at | {one for one, _ in self.loops if one in self.listed}
        while more := {name for one, name in self.loops if one in seen} - seen:
            seen |= more
        return seen

    def statements(self, body: Iterable[nodes.Node]) -> None:
        """Take statements whose output goes to the result as it is."""
        for node in body:
            if isinstance(node, nodes.Output):
                self._output(node)
            elif isinstance(node, nodes.If):
                self._condition(node.test)
                self.statements((*node.body, *node.elif_, *node.else_))
            elif isinstance(node, nodes.For):
                self._loop(node)
            else:
                self.expression(node)

    def _output(self, node: nodes.Output) -> None:
        for piece in node.nodes:
            if isinstance(piece, nodes.Filter) and piece.name == "place" and isinstance(piece.node, nodes.Name):
                self._all((*piece.args, *piece.kwargs, piece.dyn_args, piece.dyn_kwargs))
            else:
                self.expression(piece)

    def _loop(self, node: nodes.For) -> None:
        if isinstance(node.target, nodes.Name) and isinstance(node.iter, nodes.Name) and not node.recursive:
            self.loops.append((node.target.name, node.iter.name))
            self.listed.add(node.iter.name)
        else:
            self._all((node.target, node.iter))
        self._all((node.test,))
        self.statements((*node.body, *node.else_))

    def _condition(self, node: nodes.Node) -> None:
        """Take an expression of which only whether it is true matters."""
        if isinstance(node, nodes.And | nodes.Or):
            self._condition(node.left)
            self._condition(node.right)
        elif isinstance(node, nodes.Not):
            self._condition(node.node)
        elif not isinstance(node, nodes.Name):
            self.expression(node)

    def expression(self, node: nodes.Node) -> None:
        """Take a node in which a name that merely stands there is looked at."""
        if isinstance(node, nodes.Name):
            self.looked_at.add(node.name)
        elif isinstance(node, nodes.CondExpr):
            self._condition(node.test)
            self._all((node.expr1, node.expr2))
        elif isinstance(node, nodes.Test) and node.name in _KINDS and isinstance(node.node, nodes.Name):
            return
        elif isinstance(node, nodes.Filter) and node.name in _LENGTHS and isinstance(node.node, nodes.Name):
            self.listed.add(node.node.name)
        elif isinstance(node, nodes.Getattr) and node.attr in _NEIGHBOURS:  # loop.previtem is another name of an item
            self.looked_at.update(one for one, _ in self.loops)
        else:
            self._all(node.iter_child_nodes())

    def _all(self, found: Iterable[nodes.Node | None]) -> None:
        for node in found:
            if node is not None:
                self.expression(node)
