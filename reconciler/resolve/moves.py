"""``moved``: which declared address an old one became, entry by entry or, for an entry with rows, all at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from reconciler.manifest import Manifest
from reconciler.resolve.problems import Problems
from reconciler.resolve.references import near_addresses
from reconciler.yaml import Path


def moved(manifests: Sequence[Manifest], declared: Collection[str], problems: Problems) -> dict[str, str]:
    """Return new addresses by old ones. A move of an entry with ``for_each`` moves each of its rows."""
    moves: dict[str, str] = {}
    taken: dict[str, str] = {}
    for manifest in manifests:
        for index, (old, new) in manifest.moved:
            problem = _problem(old, new, declared, moves, taken)
            if problem is not None:
                key, summary, advice = problem
                path: Path = ("moved", index, key)
                problems.add([manifest.diagnostic("error", path, summary, advice)])
                continue
            taken[new] = old
            moves.update(_pairs(old, new, declared))
    return moves


def _problem(
    old: str, new: str, declared: Collection[str], moves: dict[str, str], taken: dict[str, str]
) -> tuple[str, str, str | None] | None:
    if old in declared or any(_rows(old, declared)):
        return "from", f"`{old}` is still declared", "remove its entry, or the move"
    if old in moves:
        return "from", f"`{old}` is moved twice", "remove one of the two"
    if new in taken:
        return "to", f"`{taken[new]}` is already moved to `{new}`", "remove one of the two"
    if new not in declared and not any(_rows(new, declared)):
        return "to", f"there is no output `{new}`", near_addresses(new, declared)
    return None


def _rows(name: str, declared: Collection[str]) -> Iterator[str]:
    return (address for address in declared if address.startswith(f"{name}["))


def _pairs(old: str, new: str, declared: Collection[str]) -> Iterator[tuple[str, str]]:
    if new in declared:
        yield old, new
    else:
        yield from ((old + address[len(new) :], address) for address in _rows(new, declared))
