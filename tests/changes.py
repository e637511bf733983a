"""Manifests that change between runs, at random; for ``histories``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from reconciler.state import DesiredState
from tests.factory import output


@dataclass(frozen=True)
class Entry:
    """One output: what it is made of (``@address`` is another output), and how."""

    rank: int
    sources: tuple[str, ...]
    fps: int
    key: str
    protect: bool = False


@dataclass
class Manifests:
    """What is declared, and every state of it that was there before."""

    chance: Random
    entries: dict[str, Entry] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    earlier: list[tuple[dict[str, Entry], dict[str, str]]] = field(default_factory=list)

    def desired(self) -> DesiredState:
        outputs = {}
        for address, entry in sorted(self.entries.items()):
            upstream = tuple(name[1:] for name in entry.sources if name[0] == "@")
            names = [self.entries[name[1:]].key if name[0] == "@" else name for name in entry.sources]
            outputs[address] = output(
                address, *names, key=entry.key, upstream=upstream, video={"fps": entry.fps}, protect=entry.protect
            )
        return DesiredState(outputs, moved=dict(self.moved))

    def change(self) -> str:
        """Change something, and tell what."""
        if not self.entries:
            return self.add()
        self.earlier.append((dict(self.entries), dict(self.moved)))
        changes = [self.add, self._remove, self._rename, self._rekey, self._protect]
        changes += [self._retune, self._remake, self._revert] * 2
        return self.chance.choice(changes)()

    def _new(self) -> int:
        self.numbers += 1
        return self.numbers

    def _some(self) -> str:
        return self.chance.choice(sorted(self.entries))

    def _sources(self, rank: int) -> tuple[str, ...]:
        names = [f"in/{number}.mp4" for number in range(3)]
        names += [f"@{address}" for address, entry in sorted(self.entries.items()) if entry.rank < rank] * 2
        return tuple(self.chance.sample(names, self.chance.randint(1, 2)))

    def _key(self) -> str:
        used = {entry.key for entry in self.entries.values()}
        past = {entry.key for entries, _ in self.earlier for entry in entries.values()} - used
        return self.chance.choice(sorted(past)) if past and self.chance.random() < 0.3 else f"out/{self._new()}.mp4"

    def add(self) -> str:
        rank = self._new()
        address = f"v{rank}"
        self.entries[address] = Entry(rank, self._sources(rank), self.chance.choice((24, 25, 30)), self._key())
        return f"{address} is new: {self.entries[address]}"

    def _remove(self) -> str:
        address = self._some()
        del self.entries[address]
        for name, entry in self.entries.items():
            kept = tuple(source for source in entry.sources if source != f"@{address}") or ("in/0.mp4",)
            self.entries[name] = replace(entry, sources=kept)
        return f"{address} is gone"

    def _rename(self) -> str:
        address = self._some()
        new = f"v{self._new()}"
        self.entries = {
            (new if name == address else name): replace(
                entry, sources=tuple(f"@{new}" if source == f"@{address}" else source for source in entry.sources)
            )
            for name, entry in self.entries.items()
        }
        if self.chance.random() < 0.7:
            self.moved[address] = new
        return f"{address} is now {new}"

    def _rekey(self) -> str:
        address = self._some()
        self.entries[address] = replace(self.entries[address], key=self._key())
        return f"{address} is to be at {self.entries[address].key}"

    def _retune(self) -> str:
        address = self._some()
        self.entries[address] = replace(self.entries[address], fps=self.chance.choice((24, 25, 30)))
        return f"{address} is to have {self.entries[address].fps} fps"

    def _remake(self) -> str:
        address = self._some()
        entry = self.entries[address]
        self.entries[address] = replace(entry, sources=self._sources(entry.rank))
        return f"{address} is to be made of {self.entries[address].sources}"

    def _protect(self) -> str:
        address = self._some()
        entry = self.entries[address]
        self.entries[address] = replace(entry, protect=not entry.protect)
        return f"{address} is {'no longer ' if entry.protect else ''}protected"

    def _revert(self) -> str:
        entries, moved = self.chance.choice(self.earlier)
        self.entries, self.moved = dict(entries), dict(moved)
        return f"back to {sorted(self.entries)}"
