"""What a broken rule is, and the small checks that rules are made of.

Which node obeys which rule stands in ``rules`` and the ``rules_*`` modules; nothing here knows a particular node.

Every check is a generator of violations whose paths start at the node it was given; ``under`` puts a node's name in
front. A message gives the value and what is wrong with it, and quotes names of nodes in backticks under their manifest
keys, so that ``wire_message`` can turn them into the API's names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from pydantic.alias_generators import to_pascal

from reconciler.api.node import Node
from reconciler.api.shape import UNSENDABLE, tag_path
from reconciler.diagnostics import did_you_mean

Path = tuple[str | int, ...]

NAME_LENGTH: Final = 64
_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9_*\-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_QUOTED_KEY: Final = re.compile(r"`([a-z][a-z0-9_.]*)`")
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule, or a warning about something that is allowed and surely not meant.

    ``path`` leads to the node under manifest keys, relative to what was checked; its last step may name a node that is
    missing. ``advice`` says what to write instead.
    """

    severity: Literal["error", "warning"]
    path: Path
    message: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed numbers, both ends included unless ``above`` excludes ``low`` or ``below`` excludes ``high``."""

    low: int
    high: int | None = None
    unit: str = ""
    above: bool = False
    below: bool = False

    def __contains__(self, value: Decimal | int) -> bool:
        if value < self.low or (self.above and value == self.low):
            return False
        return self.high is None or value < self.high or (value == self.high and not self.below)

    def __str__(self) -> str:
        if self.high is None:
            text = f"above {self.low}" if self.above else f"at least {self.low}"
        elif self.above or self.below:
            low = "above" if self.above else "at least"
            high = "below" if self.below else "at most"
            text = f"{low} {self.low} and {high} {self.high}"
        else:
            text = f"{self.low} to {self.high}"
        return f"{text} {self.unit}".rstrip()


def error(path: Path, message: str, advice: str | None = None) -> Violation:
    """Return a violation that must be put right."""
    return Violation("error", path, message, advice)


def warning(path: Path, message: str, advice: str | None = None) -> Violation:
    """Return a violation that the API takes but a person surely did not mean."""
    return Violation("warning", path, message, advice)


def under(violations: Iterable[Violation], *prefix: str | int) -> Iterator[Violation]:
    """Put ``prefix`` in front of every path."""
    for violation in violations:
        yield replace(violation, path=(*prefix, *violation.path))


def show(value: object) -> str:
    """Write a value as a person wrote it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def listed(values: Collection[str], last: str = "or") -> str:
    """Join words for a sentence: ``a, b or c``."""
    *first, final = values
    return f"{', '.join(first)} {last} {final}" if first else final


def blank(value: str | None) -> bool:
    """Tell whether the API reads a text as absent."""
    return value is None or not value.strip()


def within(node: Node, key: str, allowed: Range) -> Iterator[Violation]:
    """Check that the number under ``key`` lies in a range; absent numbers and words such as ``auto`` pass."""
    value = getattr(node, key)
    if isinstance(value, int | Decimal) and value not in allowed:
        yield error((key,), f"{show(value)} is out of range; `{key}` must be {allowed}")


def one_of(key: str, value: str | None, allowed: Collection[str]) -> Iterator[Violation]:
    """Check that a text is one of the allowed words, exactly as they are written."""
    if value is None or blank(value) or value in allowed:
        return
    same = next((word for word in allowed if word.lower() == value.strip().lower()), None)
    advice = f"write {same}" if same else did_you_mean(value, allowed)
    yield error((key,), f"{show(value)} is unknown; `{key}` must be {listed(allowed)}", advice)


def number_of(key: str, value: int | None, allowed: Collection[int], what: str) -> Iterator[Violation]:
    """Check that a number is one of a few; ``what`` says for which case."""
    if value is not None and value not in allowed:
        numbers = listed([str(number) for number in allowed])
        yield error((key,), f"{value} does not fit {what}; `{key}` must be {numbers}")


def required(node: Node, key: str, why: str, advice: str | None = None) -> Iterator[Violation]:
    """Check that something stands under ``key``; ``why`` says who demands it."""
    value = getattr(node, key)
    if value is None or (isinstance(value, str) and blank(value)):
        yield error((key,), f"`{key}` is missing: {why}", advice)


def named(key: str, value: str | None) -> Iterator[Violation]:
    """Check a text against the alphabet and length of names, texts and messages of the API."""
    if value is None or blank(value):
        return
    if len(value) > NAME_LENGTH:
        yield error((key,), f"{show(value)} has {len(value)} characters; `{key}` takes {NAME_LENGTH}")
    if strange := sorted(set(_NOT_IN_NAME.findall(value))):
        found = listed([repr(character) for character in strange[:5]], "and")
        message = f"{show(value)} holds {found}; `{key}` takes Chinese, English letters, digits, _ - *"
        yield error((key,), message, f"write {show(_NOT_IN_NAME.sub('-', value))}")


def at_most(key: str, values: Collection[object] | None, limit: int) -> Iterator[Violation]:
    """Check the length of an array; every item above the limit is pointed at."""
    for index in range(limit, len(values or ())):
        yield error((key, index), f"{len(values or ())} are too many; `{key}` takes {limit}")


def audited(node: Node, rules: Iterable[Violation], *, skip: Collection[str] = ()) -> tuple[Violation, ...]:
    """Return what is empty or cannot be sent in ``node``, and then the violations of ``rules`` elsewhere.

    ``skip`` names children that are audited elsewhere.
    """
    defects = tuple(_defects(node, skip))
    spots = {defect.path for defect in defects if defect.severity == "error"}
    return defects + tuple(violation for violation in rules if not _inside(violation.path, spots))


def _inside(path: Path, spots: Collection[Path]) -> bool:
    return bool(spots) and any(path[:length] in spots for length in range(len(path) + 1))


def _defects(node: Node, skip: Collection[str] = ()) -> Iterator[Violation]:
    for key, value in vars(node).items():
        if key in skip:
            continue
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                yield from under(_item_defects(item, key, None), key, index)
        elif isinstance(value, Node) or (isinstance(value, str) and not _is_sound(value)):
            yield from under(_item_defects(value, key, type(node)), key)


def _item_defects(value: object, key: str, owner: type[Node] | None) -> Iterator[Violation]:
    """Find defects in a child of ``owner``, or in an item of an array."""
    if isinstance(value, Node):
        if all(child is None for child in vars(value).values()):
            yield error((), f"`{key}` is empty, which the API reads as absent", "write its children, or leave it out")
        else:
            yield from _defects(value)
    elif isinstance(value, str) and blank(value):
        found = error if owner is None or owner.model_fields[key].is_required() else warning
        yield found((), f"`{key}` is empty, which the API reads as absent", "write a value, or leave it out")
    elif isinstance(value, str) and (strange := UNSENDABLE.search(value)):
        yield error((), f"`{key}` holds the character U+{ord(strange[0]):04X}, which XML cannot carry", "leave it out")


def _is_sound(text: str) -> bool:
    return not blank(text) and UNSENDABLE.search(text) is None


def wire_message(violation: Violation, model: type[Node], root: str = "") -> str:
    """Write a violation for a reader of the API's documents: path and names as the API spells them.

    ``model`` is the class of what was checked, ``root`` what its element is called:
    ``Request.Operation[0].Transcode.Video.Width: 1281 is odd; Width must be even``.
    """
    path = ".".join(part for part in (root, tag_path(model, violation.path)) if part)
    text = _QUOTED_KEY.sub(lambda match: ".".join(map(to_pascal, match[1].split("."))), violation.message)
    return f"{path}: {text}" if path else text
