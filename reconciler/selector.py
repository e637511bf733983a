"""Label selectors: which outputs ``--selector team=x,tier!=low`` means, in the grammar that Kubernetes uses.

Pure. Which labels an output has is decided in ``resolve``; what is done with the selected ones, elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

LABEL_KEY: Final = re.compile(r"[A-Za-z0-9_./-]+")
"""What the key of a label is made of."""

_SET: Final = re.compile(r"(?P<key>\S+)\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARISON: Final = re.compile(r"(?P<key>[^=!]*)(?P<sign>==|=|!=)(?P<value>[^=!()]*)")
_PRESENCE: Final = re.compile(r"(?P<not>!?)\s*(?P<key>[^=!()\s]+)")
_COMMA: Final = re.compile(r",(?![^(]*\))")
"""A comma between requirements, not one in parentheses."""

_EXAMPLES: Final = "write team=x, team!=x, team in (a,b), team notin (a), team or !team, joined by commas"


class SelectorError(ValueError):
    """A selector cannot be read; internal, always turned into an error of the command line."""

    def __init__(self, summary: str, advice: str = _EXAMPLES) -> None:
        super().__init__(summary)
        self.summary = summary
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: ``in`` and ``notin`` with values, ``exists`` and ``absent`` without.

    As in Kubernetes, an output without the label fulfils ``notin``.
    """

    key: str
    test: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fulfil this condition."""
        value = labels.get(self.key)
        if self.test == "exists":
            return value is not None
        if self.test == "absent":
            return value is None
        return (value in self.values) == (self.test == "in")


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; none at all select everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an output with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Read a selector such as ``team=x,tier notin (low,mid),!draft``. Raises SelectorError."""
    if not text.strip():
        raise SelectorError("the selector is empty")
    return Selector(tuple(_requirement(part.strip()) for part in _COMMA.split(text)))


def _requirement(part: str) -> Requirement:
    if not part:
        raise SelectorError("there is nothing between two commas, or at an end of the selector")
    if found := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in found["values"].split(","))
        if values == {""}:
            raise SelectorError(f"`{part}` lists no value")
        return Requirement(_key(found["key"]), "in" if found["word"] == "in" else "notin", values)
    if found := _COMPARISON.fullmatch(part):
        test: Literal["in", "notin"] = "notin" if found["sign"] == "!=" else "in"
        return Requirement(_key(found["key"].strip()), test, frozenset((found["value"].strip(),)))
    if found := _PRESENCE.fullmatch(part):
        return Requirement(_key(found["key"]), "absent" if found["not"] else "exists")
    raise SelectorError(f"`{part}` is no condition on a label")


def _key(key: str) -> str:
    if not LABEL_KEY.fullmatch(key):
        named = f"`{key}` cannot be the key of a label" if key else "the key of a label is missing"
        raise SelectorError(named, "a key is made of letters, digits, _ . / and -")
    return key
