"""Many actions → few groups: of one kind, with one reason but for its own values, under one template of addresses.

Pure. What a group looks like in a terminal or a comment is in ``cli.plan_views``. Reads each action once; memory grows
with the number of groups, not of actions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reconciler.action import Action
from reconciler.plan_templates import TemplateAction

if TYPE_CHECKING:
    from reconciler.changes import Change

Step: TypeAlias = Action | TemplateAction
Shape: TypeAlias = tuple[str, ...]
"""The fixed parts of a text; between two of them stood a value."""

SMALL: Final = 3
"""A group of no more actions is better read one by one."""

EXAMPLES: Final = 3
ELLIPSIS: Final = "…"

ORDER: Final = (
    "conflict", "blocked", "delete", "forget", "replace", "update", "create", "reuse", "adopt", "wait", "none",
)  # fmt: skip
"""What needs a person comes first, then what destroys, then what costs."""

_PAIRS: Final = 8
"""So many different changes of one field are told apart; the others are only counted."""

_INPUTS: Final = "inputs."

_VALUE: Final = re.compile(
    r"""(
    # What the planner's sentences name, which may be a plain word or have spaces.
      (?:^|(?<=object\ changed:\ )|(?<=protected\ \()).+?(?=
          \ (?:and\ \d+\ more\ )?(?:is|are)\ missing$
        | \ (?:and\ \d+\ more\ inputs\ )?changed\)?$
        | \ is\ made\ anew\)?$)
    | (?<=\bmade\ of\ ).+?(?=,\ which\ is)
    | (?<=\bbelongs\ to\ ).+$
    | (?<=\bkept,\ as\ ).+(?=\ is\ made\ of\ it)
    | (?<=\bis\ now\ ).+?(?=,\ where)
    | (?<=\bthe\ object\ of\ ).+(?=\ is$)
    | (?<=\bmade\ for\ ).+(?=,\ and\ is\ there)
    | (?<=\bsame\ as\ ).+$
    | (?:^|(?<=;\ ))[^;]+(?=\ has\ the\ same\ content)
    | (?<=\bbehind\ when\ ).+(?=\ got\ another\ key)
    | (?<=\bits\ template\ ).+(?=\ is\ in\ conflict)
    | (?<=\bjob\ )[^\s,;]+
    # Anything else that is no word: addresses of rows, keys, ids and ETags, numbers.
    | [\w.-]+\["(?:[^"\\]|\\.)*"\](?:@\S+)?
    | [^\s(]*/[^\s),;]*
    | \b(?=[a-z-]*\d)[\w-]{6,}\b
    | \b\d+(?:\.\d+)*\b
    )""",
    re.VERBOSE,
)
_IN_PATH: Final = re.compile(rf"((?<=^{re.escape(_INPUTS)}).+|(?<=\[)\d+(?=\]))", re.DOTALL)
_DIGITS: Final = re.compile(r"\d+")
_WORDS: Final = re.compile(r"^\w+|\w+$")
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Field:
    """How one field changes over a group.

    ``before`` and ``after`` are what the values have in common; ``pairs`` are the most frequent changes with their
    counts, and ``others`` counts the actions with any other. An input has no values worth showing: ``pairs`` is empty.
    """

    path: str
    before: str
    after: str
    pairs: tuple[tuple[str, str, int], ...]
    others: int

    @property
    def same(self) -> bool:
        """Whether it changes in the same way everywhere."""
        return len(self.pairs) + bool(self.others) < 2


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that a person reads as one.

    ``address`` is a pattern that matches all of theirs, as ``--target`` takes it. ``why`` is their reason, with ``…``
    for what differs; it is empty when ``fields`` say all. ``steps`` are the first in order, all of a small group.
    """

    kind: str
    address: str
    count: int
    why: str
    fields: tuple[Field, ...]
    steps: tuple[Step, ...]

    @property
    def small(self) -> bool:
        """Whether it is better read one by one."""
        return self.count <= SMALL


def value_text(value: Any) -> str:
    """Return the value of a field as a person reads it."""
    if value is None:
        return "absent"
    return value if isinstance(value, str) else _ENCODE(value)


def address_template(address: str) -> str:
    """Return the pattern of an address and its siblings: ``lesson[*]``, ``clip_*``, ``lesson[*]@*``, ``race``."""
    name, keyed, key = address.partition("[")
    if "@" in name:
        return f"{_DIGITS.sub('*', name.partition('@')[0])}@*"
    if not keyed:
        return _DIGITS.sub("*", name)
    return f"{name}[*]@*" if '"]@' in key else f"{name}[*]"


def grouped(steps: Iterable[Step], room: int) -> list[Group]:
    """Return groups, ordered by kind and size, that together take no more ``room`` than given.

    A group takes three, a small one as much as it has actions. Where room lacks, groups with one reason are taken
    together, then the smallest of each kind; but each kind that occurs has at least one group.
    """
    piles: dict[_Sort, _Pile] = {}
    for step in steps:
        sentence, values, paths = _read(step)
        sort = step.kind, address_template(step.address), sentence, tuple([shape for shape, _, _ in paths])
        pile = piles.get(sort)
        if pile is None:
            pile = piles[sort] = _Pile(step.kind, sentence, Likeness(sort[1], "*"))
        pile.add(step, values, paths)
    return sorted((pile.group() for pile in _fitted(piles, room)), key=_rank)


_Sort: TypeAlias = tuple[str, str, Shape, tuple[Shape, ...]]
_Paths: TypeAlias = Sequence[tuple[Shape, Sequence[str], "Change"]]


def _rank(group: Group) -> tuple[int, int, str]:
    return ORDER.index(group.kind), -group.count if not group.small else 0, group.steps[0].address


def _fitted(piles: dict[_Sort, _Pile], room: int) -> list[_Pile]:
    """Take piles together until they fit."""
    found = list(piles.values())
    if _room_of(found) <= room:
        return found
    by_reason: dict[tuple[str, Shape, tuple[Shape, ...]], _Pile] = {}
    for (kind, _, *why), pile in piles.items():
        sort = kind, why[0], why[1]
        if sort in by_reason:
            by_reason[sort].merge(pile)
        else:
            by_reason[sort] = pile
    found = list(by_reason.values())
    return found if _room_of(found) <= room else _largest(found, room)


def _largest(piles: list[_Pile], room: int) -> list[_Pile]:
    """Keep the largest piles of each kind in turn; make one of what is left of each kind."""
    by_kind: dict[str, list[_Pile]] = {}
    for pile in sorted(piles, key=lambda pile: -pile.count):
        by_kind.setdefault(pile.kind, []).append(pile)
    turns = sorted(
        ((turn, ORDER.index(kind), pile) for kind, own in by_kind.items() for turn, pile in enumerate(own)),
        key=lambda turn: turn[:2],
    )
    left = room - (SMALL + 1) * len(by_kind)
    kept, rest = [], {}
    for _, _, pile in turns:
        left -= pile.room
        if left >= 0:
            kept.append(pile)
        elif pile.kind in rest:
            rest[pile.kind].merge(pile)
        else:
            rest[pile.kind] = pile
    return [*kept, *rest.values()]


def _room_of(piles: Iterable[_Pile]) -> int:
    return sum(pile.room for pile in piles)


def _read(step: Step) -> tuple[Shape, Sequence[str], _Paths]:
    """Return the reason's fixed parts and its values, and the same of the path of each change."""
    if all(change.path.startswith(_INPUTS) for change in step.changes):
        return *_cut(step.reason), ()
    return *_cut(_beside_change(step)), [(*_cut_path(change.path), change) for change in step.changes]


def _beside_change(step: Step) -> str:
    """Return what a reason says beside the first change, which it repeats."""
    lead, told, _ = step.reason.partition(f"{step.changes[0].path}: ")
    if not told:
        return step.reason
    copied = step.reason.endswith(" has the same content") and isinstance(step, Action) and step.origin
    parts = (lead.strip(" :("), f"{step.origin} has the same content" if copied else "")  # type: ignore[union-attr]
    return "; ".join(filter(None, parts))


@lru_cache(maxsize=1024)
def _cut(text: str) -> tuple[Shape, Shape]:
    """Return the fixed parts of a text, and the values between them."""
    parts = _VALUE.split(text)
    return tuple(parts[::2]), tuple(parts[1::2])


@lru_cache(maxsize=1024)
def _cut_path(path: str) -> tuple[Shape, Shape]:
    parts = _IN_PATH.split(path)
    return tuple(parts[::2]), tuple(parts[1::2])
