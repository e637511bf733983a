"""Many actions → few groups: of one kind, with one reason but for its own values, under one template of addresses.

Pure. What a group looks like in a terminal or a comment is in ``cli.plan_views``. Reads each action once; memory grows
with the number of groups, not of actions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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

TROUBLE: Final = frozenset({"conflict", "blocked"})

_PAIRS: Final = 8
"""So many different changes of one field are told apart; the others are only counted."""

_LONGEST: Final = 400
"""Reasons that only differ beyond so many characters are taken for one."""

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
    | (?:^|(?<=;\ ))[^;]+(?=\ \([^()]+\)\ has\ the\ same\ content)
    | (?<=\ \()(?:job\ )?[^()]+(?=\)\ has\ the\ same\ content)
    | (?<=\bbehind\ when\ ).+(?=\ got\ another\ key)
    | (?<=\bits\ template\ ).+(?=\ is\ in\ conflict)
    | (?<=\bjob\ )[^\s,;]+
    # Anything else that is no word: addresses of rows, keys, ids and ETags, numbers.
    | (?<![\w.-])[\w.-]+\["(?:[^"\\]|\\.)*"\](?:@\S+)?
    | (?<![^\s(])[^\s(]*/[^\s),;]*
    | \b(?=[a-z-]*\d)[\w-]{6,}\b
    | \b\d+(?:\.\d+)*\b
    )""",
    re.VERBOSE,
)
_IN_PATH: Final = re.compile(rf"((?<=^{re.escape(_INPUTS)}).+|(?<=\[)\d+(?=\]))", re.DOTALL)
_DIGITS: Final = re.compile(r"\d+")
_FIRST_WORD: Final = re.compile(r"^\w+")
_LAST_WORD: Final = re.compile(r"\w+$")
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
    for what differs; it is empty when ``fields`` say all, or when there are more ``reasons`` than can be told.
    ``steps`` are the first actions in order, all of a small group.
    """

    kind: str
    address: str
    count: int
    why: str
    fields: tuple[Field, ...]
    steps: tuple[Step, ...]
    reasons: int = 1

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


class Likeness:
    """What texts have in common, as they come: how they begin, and how they end."""

    __slots__ = ("_first", "_head", "_joker", "_same", "_tail")

    def __init__(self, first: str, joker: str = ELLIPSIS) -> None:
        self._first = self._head = self._tail = first
        self._joker = joker
        self._same = True

    def add(self, text: str) -> None:
        """Take one more text into account."""
        if text == self._first:
            return
        self._same = False
        if not text.startswith(self._head):
            self._head = _shared_start(self._head, text)
        if not text.endswith(self._tail):
            self._tail = _shared_start(self._tail[::-1], text[::-1])[::-1]

    def merge(self, other: Likeness) -> None:
        """Take all texts of another into account."""
        if other._same:
            self.add(other._first)
            return
        self._same = False
        self._head = _shared_start(self._head, other._head)
        self._tail = _shared_start(self._tail[::-1], other._tail[::-1])[::-1]

    def __str__(self) -> str:
        """The text itself when there was no other; otherwise its common ends, whole words, around the joker."""
        if self._same:
            return self._first
        head, tail = _LAST_WORD.sub("", self._head), _FIRST_WORD.sub("", self._tail)
        # Ends that overlap in the shortest text were counted twice.
        return f"{head}{self._joker}{'' if head.endswith(tail) else tail}"


def _shared_start(one: str, other: str) -> str:
    differs = (index for index, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return one[: next(differs, min(len(one), len(other)))]


class _Spread:
    """How one field changes, as the actions of a pile come."""

    def __init__(self, path: Shape, change: Change) -> None:
        self._path = path
        self._places: list[Likeness] = []
        self._before, self._after = Likeness(value_text(change.before)), Likeness(value_text(change.after))
        self._pairs: dict[tuple[str, str], int] = {}
        self._others = 0
        self._is_input = change.path.startswith(_INPUTS)

    def add(self, places: Sequence[str], change: Change) -> None:
        _add(self._places, places)
        if self._is_input:
            return
        pair = value_text(change.before), value_text(change.after)
        self._before.add(pair[0])
        self._after.add(pair[1])
        self._count(pair, 1)

    def merge(self, other: _Spread) -> None:
        for place, more in zip(self._places, other._places, strict=True):
            place.merge(more)
        self._before.merge(other._before)
        self._after.merge(other._after)
        for pair, count in other._pairs.items():
            self._count(pair, count)
        self._others += other._others

    def _count(self, pair: tuple[str, str], count: int) -> None:
        if pair in self._pairs or len(self._pairs) < _PAIRS:
            self._pairs[pair] = self._pairs.get(pair, 0) + count
        else:
            self._others += count

    def field(self) -> Field:
        pairs = sorted(self._pairs.items(), key=lambda pair: -pair[1])
        counted = tuple((before, after, count) for (before, after), count in pairs)
        return Field(_filled(self._path, self._places), str(self._before), str(self._after), counted, self._others)


class _Pile:
    """The actions of a group, as they come: only what the group will say of them is kept."""

    def __init__(self, kind: str, sentence: Shape, address: Likeness) -> None:
        self.kind = kind
        self.count = 0
        self._sentence = sentence
        self._address = address
        self._values: list[Likeness] = []
        self._spreads: dict[Shape, _Spread] = {}
        self._steps: list[Step] = []
        self._reasons = 1

    @property
    def room(self) -> int:
        return min(self.count, SMALL)

    def add(self, step: Step, values: Sequence[str], paths: _Paths) -> None:
        self.count += 1
        if len(self._steps) < EXAMPLES:
            self._steps.append(step)
        _add(self._values, values)
        for path, places, change in paths:
            spread = self._spreads.get(path)
            if spread is None:
                spread = self._spreads[path] = _Spread(path, change)
            spread.add(places, change)

    def merge(self, other: _Pile) -> None:
        """Take in another pile; unless both have one reason, only their number is still told."""
        self.count += other.count
        self._steps = sorted((*self._steps, *other._steps), key=lambda step: step.address)[:EXAMPLES]
        self._address.merge(other._address)
        if self._reasons > 1 or other._reasons > 1 or not self._is_like(other):
            self._reasons += other._reasons
            return
        for value, more in zip(self._values, other._values, strict=True):
            value.merge(more)
        for path, spread in self._spreads.items():
            spread.merge(other._spreads[path])

    def _is_like(self, other: _Pile) -> bool:
        return self._sentence == other._sentence and self._spreads.keys() == other._spreads.keys()

    def group(self) -> Group:
        address = self._steps[0].address if self.count == 1 else str(self._address)
        if self._reasons > 1:
            return Group(self.kind, address, self.count, "", (), tuple(self._steps), self._reasons)
        fields = tuple(spread.field() for spread in self._spreads.values())
        why = _filled(self._sentence, self._values)
        return Group(self.kind, address, self.count, why, fields, tuple(self._steps))


def _add(likenesses: list[Likeness], texts: Sequence[str]) -> None:
    if likenesses:
        for likeness, text in zip(likenesses, texts, strict=True):
            likeness.add(text)
    else:
        likenesses.extend(map(Likeness, texts))


def _filled(shape: Shape, values: Sequence[Likeness]) -> str:
    """Return a text again, with what the values have in common."""
    return shape[0] + "".join(f"{value}{fixed}" for value, fixed in zip(values, shape[1:], strict=True))


def grouped_moves(moves: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Return how many records get a new address, from which template to which, the most frequent first.

    A move that is alone of its kind keeps its own two addresses.
    """
    sorts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for old, new in sorted(moves.items()):
        sorts.setdefault((address_template(old), address_template(new)), []).append((old, new))
    found = [(len(own), *(own[0] if len(own) == 1 else sort)) for sort, own in sorts.items()]
    return sorted(found, key=lambda move: -move[0])


def grouped(steps: Iterable[Step], room: int) -> list[Group]:
    """Return groups, ordered by kind and size, that together take no more ``room`` than given.

    A group takes three, a small one as much as it has actions. Where room lacks, groups with one reason are taken
    together, then the smallest of each kind; but each kind that occurs has at least one group.
    """
    piles: dict[_Sort, _Pile] = {}
    for step in steps:
        sentence, values, paths = _read(step)
        sort = step.kind, address_template(step.address), sentence, tuple(dict.fromkeys(path for path, _, _ in paths))
        pile = piles.get(sort)
        if pile is None:
            pile = piles[sort] = _Pile(step.kind, sentence, Likeness(sort[1], "*"))
        pile.add(step, values, paths)
    return sorted((pile.group() for pile in _fitted(piles, room)), key=_rank)


_Sort: TypeAlias = tuple[str, str, Shape, tuple[Shape, ...]]
_Paths: TypeAlias = Sequence[tuple[Shape, Shape, "Change"]]


def _rank(group: Group) -> tuple[int, bool, int, str]:
    return ORDER.index(group.kind), group.reasons > 1, 0 if group.small else -group.count, group.steps[0].address


def _fitted(piles: dict[_Sort, _Pile], room: int) -> list[_Pile]:
    """Take piles together until they fit."""
    found = list(piles.values())
    if _room_of(found) <= room:
        return found
    by_reason: dict[tuple[str, Shape, tuple[Shape, ...]], _Pile] = {}
    for (kind, _, sentence, paths), pile in piles.items():
        sort = kind, sentence, paths
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
    left = room - SMALL * len(by_kind)  # for what is left of each kind
    kept: list[_Pile] = []
    rest: dict[str, _Pile] = {}
    for _, _, pile in turns:
        if pile.kind not in rest and pile.room <= left:
            left -= pile.room
            kept.append(pile)
        elif pile.kind in rest:
            rest[pile.kind].merge(pile)
        else:
            rest[pile.kind] = pile
    return [*kept, *rest.values()]


def _room_of(piles: Iterable[_Pile]) -> int:
    return sum(pile.room for pile in piles)


def _read(step: Step) -> tuple[Shape, Shape, _Paths]:
    """Return the reason's fixed parts and its values, and the same of the path of each change."""
    if all(change.path.startswith(_INPUTS) for change in step.changes):
        return *_cut(step.reason), ()
    return *_cut(_beside_change(step)), [(*_cut_path(change.path), change) for change in step.changes]


def _beside_change(step: Step) -> str:
    """Return what a reason says beside the first change, which it repeats."""
    lead, told, _ = step.reason.partition(f"{step.changes[0].path}: ")
    if not told:
        return step.reason
    origin = step.origin if isinstance(step, Action) else None
    copied = f"{origin} has the same content"
    parts = (lead.strip(" :("), copied if step.reason.endswith(f"; {copied}") else "")
    return "; ".join(filter(None, parts))


@lru_cache(maxsize=1024)
def _cut(text: str) -> tuple[Shape, Shape]:
    """Return the fixed parts of a text, and the values between them; what is very long is read from its beginning."""
    parts = _VALUE.split(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}{ELLIPSIS}")
    return tuple(parts[::2]), tuple(parts[1::2])


@lru_cache(maxsize=1024)
def _cut_path(path: str) -> tuple[Shape, Shape]:
    parts = _IN_PATH.split(path[:_LONGEST])
    return tuple(parts[::2]), tuple(parts[1::2])
