"""``moved``: which declared address an old one became, entry by entry or, for an entry with rows, all at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from reconciler.manifest import Manifest
from reconciler.resolve.problems import Problems
from reconciler.resolve.references import near_addresses
from reconciler.yaml import Path


def moved(manifests: Sequence[Manifest], declared: Collection[str], problems: Problems) -> dict[str, str]:
    """Return new addresses by old ones. A move of an entry with rows moves each of its rows."""
    moves: dict[str, str] = {}
    taken: dict[str, str] = {}
    rows = _rows(declared)
    for manifest in manifests:
        for index, (old, new) in manifest.moved:
            problem = _problem(old, new, declared, rows, moves) or _taken(new, taken)
            if problem is not None:
                key, summary, advice = problem
                path: Path = ("moved", index, key)
                problems.add([manifest.diagnostic("error", path, summary, advice)])
                continue
            taken[new] = old
            moves.update(_pairs(old, new, rows))
    return moves


def _rows(declared: Iterable[str]) -> dict[str, list[str]]:
    """Return the addresses of the rows of every entry that has some."""
    rows: dict[str, list[str]] = {}
    for address in declared:
        name, bracket, _ = address.partition("[")
        if bracket:
            rows.setdefault(name, []).append(address)
    return rows


def _problem(
    old: str, new: str, declared: Collection[str], rows: Mapping[str, list[str]], moves: Mapping[str, str]
) -> tuple[str, str, str | None] | None:
    if old in declared or old in rows:
        return "from", f"`{old}` is still declared", "remove its entry, or the move"
    if old in moves:
        return "from", f"`{old}` is moved twice", "remove one of the two"
    if new not in declared and new not in rows:
        return "to", f"there is no output `{new}`", near_addresses(new, declared)
    return None


def _taken(new: str, taken: Mapping[str, str]) -> tuple[str, str, str | None] | None:
    if new not in taken:
        return None
    return "to", f"`{taken[new]}` is already moved to `{new}`", "remove one of the two"


def _pairs(old: str, new: str, rows: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    if new not in rows:
        yield old, new
    else:
        yield from ((old + address[len(new) :], address) for address in rows[new])
