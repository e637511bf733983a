"""Three-way merge of lockfiles: bytes in, text out. Pure; which files they are is the business of the command.

A record is merged whole: what one side changed, added or deleted is taken, what both sides changed differently is a
conflict. So is what neither side had: two records of one object. Records in conflict stand between Git's marks, those
of one conflict together, and everything else is merged around them::

    {"version": 2, "outputs": {
    "duel": {…},
    <<<<<<< ours
    "race": {"object": "output/race.mp4", "etag": "a…", …},
    =======
    "race": {"object": "output/race.mp4", "etag": "b…", …},
    >>>>>>> theirs
    "wall": {…}
    }}

Whichever sides are kept between the marks, what is left is a whole lockfile: commas stand behind the lines that need
them in every case. For that the last record may come behind its place in the order; the next apply sorts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, TypeVar

from reconciler.errors import LockfileError
from reconciler.lockformat import CONFLICT, HEAD, dump, parse, record_line
from reconciler.state import Record, TemplateRecord

R = TypeVar("R", Record, TemplateRecord)

_ADVICE: Final = "take the last good version of that side from Git (git log finds it), commit it there, and merge again"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Records between which a person has to choose, by address, and why."""

    addresses: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged lockfile. Without ``conflicts`` its text is the one that a checkpoint of the same records writes."""

    text: str
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines of the file: those of both sides; where they are equal, they are agreed upon."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    @property
    def lasting(self) -> bool:
        """Tell whether a line is left whichever side is kept."""
        return bool(self.ours and self.theirs)

    def text(self, end: str) -> str:
        """Return the lines, the last one of each side with this end."""
        ours, theirs = (",\n".join(lines) + end if lines else "" for lines in (self.ours, self.theirs))
        return ours if self.ours == self.theirs else f"{CONFLICT} ours\n{ours}=======\n{theirs}>>>>>>> theirs\n"


def merge(base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """Merge what two sides made of a common lockfile; an empty ``base`` is one that recorded nothing.

    Older versions come out as this program's. Raises LockfileError, naming the side, for one that is damaged, holds
    conflict marks, or is newer than this program.
    """
    before = _parse(base, "the common ancestor") if base.strip() else ({}, {})
    mine, yours = _parse(ours, "our side"), _parse(theirs, "their side")
    outputs = _Merge(before[0], mine[0], yours[0], lambda record: record.object)
    templates = _Merge(before[1], mine[1], yours[1], lambda record: record.id)
    conflicts = (*outputs.conflicts(), *templates.conflicts())
    if not conflicts:
        return Merged(dump(outputs.settled, templates.settled))
    kept = templates.text()
    kept = f', "templates": {{\n{kept}}}' if kept else ""
    return Merged(f"{HEAD}{outputs.text()}}}{kept}}}\n", conflicts)


def _parse(raw: bytes, side: str) -> tuple[dict[str, Record], dict[str, TemplateRecord]]:
    if any(line.startswith(CONFLICT.encode()) for line in raw.split(b"\n")):
        raise LockfileError(
            f"{side} holds the marks of an earlier conflict",
            advice="keep one side of each there, commit that, and merge again",
        )
    try:
        return parse(raw.decode(), side)
    except UnicodeDecodeError as error:
        raise LockfileError(f"{side} is damaged: {error}", advice=_ADVICE) from error
    except LockfileError as error:
        damaged = error.__cause__ is not None  # the other refusal is that of a newer version: its advice fits here too
        raise LockfileError(error.message, advice=_ADVICE if damaged else error.advice) from error


class _Merge(Generic[R]):
    """The merge of the records of one kind; ``claim`` is what no two records may have in common."""

    def __init__(
        self, base: Mapping[str, R], ours: Mapping[str, R], theirs: Mapping[str, R], claim: Callable[[R], str]
    ) -> None:
        self._base: Mapping[str, R] = base
        self._ours: Mapping[str, R] = ours
        self._theirs: Mapping[str, R] = theirs
        self._claim: Callable[[R], str] = claim
        self.settled: dict[str, R] = {}
        self._disputed: set[str] = set()
        for address in sorted(base.keys() | ours.keys() | theirs.keys()):
            self._settle(address)
        while clashing := self._clashing() - self._disputed:
            self._disputed |= clashing
        for address in self._disputed:
            self.settled.pop(address, None)
        self._groups = self._grouped()

    def _settle(self, address: str) -> None:
        """Take what one side did with a record and the other did not; what both did is taken once."""
        before, mine, yours = (side.get(address) for side in (self._base, self._ours, self._theirs))
        if before not in (mine, yours) and mine != yours:
            self._disputed.add(address)
        elif (chosen := yours if mine == before else mine) is not None:
            self.settled[address] = chosen

    def _clashing(self) -> set[str]:
        """Return the addresses that may claim what another one claims, as neither side has it."""
        holders: dict[str, set[str]] = {}
        for address in self.settled.keys() | self._disputed:
            for claim in self._claims(address):
                holders.setdefault(claim, set()).add(address)
        return {
            address
            for names in holders.values()
            if len(names) > 1 and not self._stands_in(self._ours, names) and not self._stands_in(self._theirs, names)
            for address in names
        }

    def _claims(self, address: str) -> set[str]:
        """Return what an address claims: in conflict that is up to the person, so what it claims on either side."""
        if address not in self._disputed:
            return {self._claim(self.settled[address])}
        return {self._claim(side[address]) for side in (self._ours, self._theirs) if address in side}

    def _stands_in(self, side: Mapping[str, R], addresses: set[str]) -> bool:
        """Tell whether these records are settled as one side has them: then it is no doing of this merge."""
        return all(
            address not in self._disputed and self.settled[address] == side.get(address) for address in addresses
        )

    def _grouped(self) -> list[tuple[str, ...]]:
        """Return the addresses in conflict, those together that claim the same, in order."""
        groups: dict[str, set[str]] = {}
        for address in self._disputed:
            group = {address}.union(*(groups.get(claim, ()) for claim in self._claims(address)))
            groups.update((claim, group) for name in group for claim in self._claims(name))
        return sorted({tuple(sorted(group)) for group in groups.values()})

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what a person has to decide."""
        for group in self._groups:
            yield Conflict(group, self._reason(group))

    def _reason(self, group: tuple[str, ...]) -> str:
        if len(group) > 1:
            counts = Counter(claim for address in group for claim in self._claims(address))
            return f"more than one record of {' and '.join(sorted(c for c, count in counts.items() if count > 1))}"
        (address,) = group
        if address not in self._ours:
            return "deleted by ours, changed by theirs"
        if address not in self._theirs:
            return "deleted by theirs, changed by ours"
        return "changed by both sides" if address in self._base else "added by both sides, not the same"

    def text(self) -> str:
        """Return the lines of all records, those in conflict between marks."""
        pieces = {address: _Piece(lines, lines) for address, lines in self._lines(self.settled, sorted(self.settled))}
        for group in self._groups:
            ours, theirs = (
                tuple(line for _, lines in self._lines(side, group) for line in lines)
                for side in (self._ours, self._theirs)
            )
            pieces[group[0]] = _Piece(ours, theirs)
        *others, last = _ending_well([pieces[address] for address in sorted(pieces)])
        return "".join(piece.text(",\n") for piece in others) + last.text("\n")

    @staticmethod
    def _lines(side: Mapping[str, R], addresses: Sequence[str]) -> Iterator[tuple[str, tuple[str]]]:
        for address in addresses:
            if address in side:
                yield address, (record_line(address, side[address]),)


def _ending_well(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Return the pieces so that the last one leaves a line in any case: it is the one without a comma.

    When there is no such piece, all become one.
    """
    last = next((index for index in reversed(range(len(pieces))) if pieces[index].lasting), None)
    if last is not None:
        return [*pieces[:last], *pieces[last + 1 :], pieces[last]]
    ours, theirs = chain.from_iterable(p.ours for p in pieces), chain.from_iterable(p.theirs for p in pieces)
    return [_Piece(tuple(ours), tuple(theirs))]
