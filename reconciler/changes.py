"""Which fields differ between two resolved requests, named as a person would name them.

Only called for what is known to differ and is going to be shown: deepdiff takes hundreds of microseconds a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepdiff import DeepDiff
from deepdiff.helper import NotPresent


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; None stands for absent."""

    path: str
    before: Any
    after: Any


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Name every leaf that differs, ``video_synthesis.splice_info[1].x``, in path order."""
    difference = DeepDiff(*_narrowed(before, after), view="tree", threshold_to_diff_deeper=0)
    found = [
        change
        for level in (level for levels in difference.values() for level in levels)
        for change in _leaves(_name(level.path(output_format="list")), _plain(level.t1), _plain(level.t2))
    ]
    return tuple(sorted(found, key=lambda change: change.path))


def _narrowed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leave out what is equal on both sides: most of a request is, and looking into it takes the most time."""
    left, right = dict(before), dict(after)
    for key in before.keys() & after.keys():
        old, new = before[key], after[key]
        if old == new:
            del left[key], right[key]
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            left[key], right[key] = _narrowed(old, new)
    return left, right


def first_of(found: Sequence[Change]) -> str:
    """Say in one line what changed: the first field, and how many more."""
    text = f"{found[0].path}: {_shown(found[0].before)} → {_shown(found[0].after)}"
    return text if len(found) == 1 else f"{text}, and {len(found) - 1} more"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    return None if isinstance(value, NotPresent) else value


def _leaves(path: str, before: Any, after: Any) -> list[Change]:
    """Split a whole node that came or went into its leaves."""
    whole = before if after is None else after if before is None else None
    steps: list[tuple[str, Any]] = []
    if isinstance(whole, Mapping):
        steps = [(f".{key}", value) for key, value in whole.items()]
    elif isinstance(whole, list | tuple):
        steps = [(f"[{index}]", value) for index, value in enumerate(whole)]
    if not steps:
        return [Change(path, before, after)]
    return [
        leaf
        for step, value in steps
        for leaf in _leaves(path + step, None if before is None else value, None if after is None else value)
    ]


def _name(steps: list[Any]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")
