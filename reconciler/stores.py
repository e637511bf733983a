"""Where lockfile and journal are kept: on this disk, or in the project's bucket.

A store knows nothing of what is in them, only how each is made to survive: the lockfile is replaced whole, the journal
is appended to, and neither is given up before what replaces it is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final, Protocol

from reconciler import disk
from reconciler.errors import ClientError, GuardError, LockfileError, ServiceError
from reconciler.lockformat import document, line, parse_line
from reconciler.records import Source

HEAD: Final = "journal"
"""The op of a journal's first line: which lockfile it belongs to."""

_PART: Final = "part"
_NO_RECORDS: Final = document((), ()).encode()
_READINGS: Final = 10
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read: where the lockfile's text is, None without one; the journal's entries; what was amiss, in words.

    ``rebuilt`` says that the text is not what the store holds.
    """

    source: Source | None
    entries: tuple[Mapping[str, Any], ...] = ()
    note: str | None = None
    rebuilt: bool = False


class Store(Protocol):
    """Where a lockfile and its journal are kept. ``name`` and ``journal`` are what they are called in messages.

    All methods raise LockfileError when the store refuses, GuardError when another run has taken over.
    """

    name: str
    journal: str

    async def begin(self) -> None:
        """Get ready for writing."""
        ...

    async def append(self, lines: str) -> None:
        """Append to the journal; when this returns, the lines survive whatever happens."""
        ...

    async def fold(self, text: str | None, lines: str, *, empty: bool) -> None:
        """Replace the lockfile, unless it has this text already (None: it has), then the journal.

        ``empty`` says that the text holds no record; where no lockfile is, none is made for it.
        """
        ...

    def check(self) -> None:
        """Raise GuardError when this run may have no effect any more: another one has taken over, or may have."""
        ...

    def close(self) -> None:
        """Write no more."""
        ...


class LocalStore:
    """Lockfile and journal as files on this disk.

    The lockfile's last version and the journal that leads from it to today's are kept beside the journal. A disk that
    brings a rename before the data to the platter leaves an empty lockfile or journal after a power cut; what they held
    is then put together again. The first line of a journal names the lockfile that it belongs to, so only what fits is.
    """

    def __init__(self, path: Path, journal: Path, *, is_whole: Callable[[bytes], bool]) -> None:
        self.name = str(path)
        self.journal = str(journal)
        self._path = path
        self._log = journal
        self._is_whole = is_whole
        self._stream: FileIO | None = None

    @property
    def _earlier(self) -> tuple[Path, Path]:
        """Return where the lockfile and the journal of before the last checkpoint are."""
        return self._log.with_name(f"{self._path.name}.before"), self._log.with_name(f"{self._log.name}.before")

    # Reading.

    def load(self) -> Snapshot:
        """Read both, writing nothing."""
        log = _read(self._log)
        base, before = self._earlier
        entries, torn = _entries(log or b"", self.journal)
        notes = ["a torn line of the journal was cut off"] if torn else []
        if log is not None and not entries and (earlier := _read(before)) is not None:
            # Every journal has a first line: this one was renamed before its data was on the disk.
            entries, _ = _entries(earlier, str(before))
            notes = ["the journal was not whole, and its last version was taken"]
        source, rebuilt = self._source(), False
        if source is not None and not self._is_sound():
            kept, steps = _read(base), _entries(_read(before) or b"", str(before))[0]
            if not steps or steps[0].get("lockfile") != _digest(kept or b""):
                return Snapshot(source)  # whoever parses it says what is wrong
            source, rebuilt = Source(kept) if kept else None, True
            entries = (*steps, *entries)
            notes.append("the lockfile was not whole, and was put together again from its last version and the journal")
        kept_entries = tuple(entry for entry in entries if entry["op"] != HEAD)
        return Snapshot(source, kept_entries, "; ".join(notes) or None, rebuilt)

    def _source(self) -> Source | None:
        try:
            return Source(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LockfileError(f"cannot read {self._path}: {error.strerror}") from error

    def _is_sound(self) -> bool:
        """Tell whether the lockfile is whole, or none is there; only when its ends are in doubt is all of it read."""
        with disk.plainly(self._path):
            ends = disk.ends(self._path)
            return ends is None or self._is_whole(ends) or self._is_whole(disk.content(self._path) or b"")

    # Writing.

    async def begin(self) -> None:
        """Make the folder."""
        folder = self._log.parent
        with disk.plainly(folder):
            folder.mkdir(parents=True, exist_ok=True)
            disk.sync_folder(folder.parent)

    async def append(self, lines: str) -> None:
        """Append to the journal and sync it."""
        if self._stream is None:
            raise LockfileError("the journal is not open for writing")
        whole = self._stream.tell()
        try:
            disk.write_whole(self._stream, lines.encode())
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._give_up(whole)
            raise LockfileError(
                f"cannot write {self._log}: {error.strerror}",
                advice="nothing is lost: free space, then run apply again",
            ) from error

    async def fold(self, text: str | None, lines: str, *, empty: bool) -> None:
        """Replace the lockfile, then the journal, each beside its last version."""
        base, before = self._earlier
        with disk.plainly(self._path):
            there = disk.content(self._path)
            new = there if text is None else text.encode()
            new = b"" if new is None or (empty and there is None) else new
            # What is not whole is no last version: until all is whole again, the one of before stays.
            sound = there is None or self._is_whole(there)
            if new and new != there:
                if sound:
                    disk.keep(self._path, base)
                disk.replace(self._path, new)
            self.close()
            if sound and _begins(self._log):
                disk.keep(self._log, before)
            # Always, also when nothing is pending: the rename puts the journal's name on the disk before an intent.
            disk.replace(self._log, f"{_head(new)}{lines}".encode())
            self._stream = self._log.open("ab", buffering=0)

    def check(self) -> None:
        """Nothing to check: the kernel keeps the guard of this disk for us."""

    def close(self) -> None:
        """Close the journal; what was appended stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _give_up(self, whole: int) -> None:
        """Append nothing more: what would follow a torn line would be lost with it."""
        with suppress(OSError):
            os.truncate(self._log, whole)
        stream, self._stream = self._stream, None
        with suppress(OSError):
            if stream is not None:
                stream.close()


class Objects(Protocol):
    """What a store in the bucket needs of a client."""

    async def get_object(self, key: str) -> tuple[bytes, str] | None:
        """Return content and ETag, or None."""
        ...

    async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
        """Store an object; with ``forbid_overwrite`` ServiceError FileAlreadyExists when there is one."""
        ...

    async def delete_object(self, key: str) -> None:
        """Delete an object."""
        ...

    async def list_objects(self, prefix: str = "") -> Mapping[str, object]:
        """Return the keys below a prefix, in order."""
        ...


class BucketStore:
    """Lockfile and journal as objects of the bucket, for runs on several machines.

    The journal is a row of numbered objects, ``KEY.journal/000000000007``, each made with ``x-cos-forbid-overwrite``:
    of two runs that think that they hold the guard only one gets the next number, and the other one stops before its
    next effect. A checkpoint writes the lockfile beside its number (``KEY.journal/000000000008.RUN.lock``), then the
    number, and only then the copy under ``KEY`` that people read; so a run that was taken over never harms what counts.

    ``run`` names this run, ``check`` raises GuardError once it no longer holds the guard, and ``fence`` says that it
    took the guard from another run, which is to be shut out before anything else.
    """

    def __init__(
        self,
        objects: Objects,
        key: str,
        *,
        run: str = "",
        check: Callable[[], None] = lambda: None,
        fence: bool = False,
    ) -> None:
        self.name = f"bucket:{key}"
        self.journal = f"bucket:{key}.journal"
        self._objects = objects
        self._key = key
        self._run = run
        self._check = check
        self._fence = fence
        self._last = 0
        self._held = _NO_RECORDS

    # Reading.

    async def load(self) -> Snapshot:
        """Read both; another run may write meanwhile, so until what was read belongs together."""
        for _ in range(_READINGS):
            numbers = await self._numbers()
            parts = [await self._objects.get_object(self._at(number)) for number in numbers]
            read = [part[0] for part in parts if part is not None]
            if len(read) < len(parts):
                continue  # folded meanwhile
            entries = [_entries(part, self.journal)[0] for part in read]
            first = max((at for at, part in enumerate(entries) if part and part[0]["op"] == HEAD), default=None)
            base = self._key if first is None else self._base(numbers[first], entries[first][0]["run"])
            stored = await self._objects.get_object(base)
            if stored is None and first is not None:
                continue
            self._last = numbers[-1] if numbers else 0
            self._held = stored[0] if stored else _NO_RECORDS
            kept = [entry for part in entries[first or 0 :] for entry in part if entry["op"] not in (HEAD, _PART)]
            return Snapshot(Source(stored[0]) if stored else None, tuple(kept))
        raise LockfileError(f"{self.name} changes faster than it can be read", advice="wait for the other run to end")

    async def _numbers(self) -> list[int]:
        prefix = f"{self._key}.journal/"
        names = [key.removeprefix(prefix) for key in await self._objects.list_objects(prefix)]
        return sorted(int(name) for name in names if name.isdecimal())

    def _at(self, number: int) -> str:
        return f"{self._key}.journal/{number:012d}"

    def _base(self, number: int, run: str) -> str:
        return f"{self._at(number)}.{run}.lock"

    # Writing.

    async def begin(self) -> None:
        """Shut the run out from which the guard was taken."""
        if self._fence:
            await self.append("")
            self._fence = False

    async def append(self, lines: str) -> None:
        """Write the next part of the journal."""
        await self._put(line({"op": _PART, "address": "", "run": self._run}) + lines)

    async def fold(self, text: str | None, lines: str, *, empty: bool) -> None:
        """Write the lockfile, the journal's new beginning, the copy for people; then delete what came before."""
        listed = await self._objects.list_objects(f"{self._key}.journal/")
        names = [key for key in listed if key <= self._at(self._last + 1)]
        content = self._held if text is None else text.encode()
        if not lines and (not names if empty else await self._is_folded(content)):
            return
        await self._objects.put_object(self._base(self._last + 1, self._run), content)
        await self._put(_head(content, self._run) + lines)
        await self._objects.put_object(self._key, content)
        self._held = content
        for key in names:
            await self._objects.delete_object(key)

    async def _is_folded(self, content: bytes) -> bool:
        """Tell whether the journal is nothing but the beginning that belongs to this lockfile."""
        numbers = await self._numbers()
        first = await self._objects.get_object(self._at(numbers[0])) if len(numbers) == 1 else None
        entries = _entries(first[0], self.journal)[0] if first else ()
        return len(entries) == 1 and entries[0].get("lockfile") == _digest(content)

    async def _put(self, text: str) -> None:
        self.check()
        content = text.encode()
        key = self._at(self._last + 1)
        try:
            await self._objects.put_object(key, content, forbid_overwrite=True)
        except ServiceError as error:
            if error.status != _CONFLICT:
                raise LockfileError(f"cannot write {key}: {error.message}") from error
            there = await self._objects.get_object(key)
            if there is None or there[0] != content:  # else the answer to an earlier attempt was lost
                raise self._taken_over() from error
        except ClientError as error:
            raise LockfileError(
                f"cannot write {key}: {error.message}", advice="nothing is lost: run apply again"
            ) from error
        if (await self._numbers())[-1:] != [self._last + 1]:  # free again, as the other run has folded what came before
            raise self._taken_over()
        self._last += 1

    def _taken_over(self) -> GuardError:
        advice = "nothing is lost: run apply again once it has ended"
        return GuardError(f"another run has taken over {self.name}", advice=advice)

    def check(self) -> None:
        """Raise GuardError once the lease of the guard has ended or was taken."""
        self._check()

    def close(self) -> None:
        """Nothing to close."""


def _head(lockfile: bytes, run: str = "") -> str:
    return line({"op": HEAD, "address": "", "lockfile": _digest(lockfile), **({"run": run} if run else {})})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockfileError(f"cannot read {path}: {error.strerror}") from error


def _begins(log: Path) -> bool:
    """Tell whether a journal has its first line; one that is not there yet has nothing to lose."""
    try:
        with log.open("rb") as stream:
            return parse_line(stream.readline()) is not None
    except FileNotFoundError:
        return True


def _entries(raw: bytes, name: str) -> tuple[tuple[Mapping[str, Any], ...], bool]:
    """Return the whole lines of a journal, and whether a torn tail was left out.

    Every intent was synced together with all bytes before it, so what a crash damages is always at the end. A damaged
    line with whole ones behind it is no crash's doing, and cutting there could lose a submission.
    """
    entries = [parse_line(text) for text in raw.splitlines(keepends=True)]
    whole = next((index for index, entry in enumerate(entries) if entry is None), len(entries))
    if any(entry is not None for entry in entries[whole:]):
        raise LockfileError(
            f"{name} is damaged in line {whole + 1}, with whole lines behind it",
            advice="take that line out by hand; what it recorded is then looked for at the service",
        )
    return tuple(entry for entry in entries[:whole] if entry is not None), whole < len(entries)
