"""The records of a lockfile, by address: a glance at each, the whole of it when somebody asks.

Planning compares four short fields of every record and needs the rest of few. So a lockfile is read line by line; of
each line only those fields are kept, and where it stands. Where the lockfile is trusted and nobody is asked, what the
sources held is compared too, and kept.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import LockfileError
from reconciler.lockformat import DamagedError, check_version, parse, record_in, record_line, templates_in
from reconciler.state import Glanced, Record, TemplateRecord


class Glance(msgspec.Struct, gc=False):
    """What planning compares of a record; ``at`` and ``length`` tell where its line stands, in bytes."""

    object: str
    fingerprint: str
    etag: str
    size: int | None = None
    protect: bool = False
    files: list[str] | None = None
    at: int = -1
    length: int = 0

    @property
    def inputs(self) -> dict[str, str] | None:
        """Not kept: where the service is asked, it takes a fifth of the memory and nobody looks at it."""
        return None


class LongGlance(Glance, gc=False):
    """The same with the ETag of every source, for a plan that asks nobody."""

    inputs: dict[str, str] | None = None


_LINE: Final = msgspec.json.Decoder(dict[str, Glance])
_LONG_LINE: Final = msgspec.json.Decoder(dict[str, LongGlance])
_FIRST: Final = re.compile(rb'\{"version": ([0-9]+), "outputs": \{\n')
_LAST: Final = b"}}\n"
_TEMPLATES: Final = b'}, "templates": {\n'


class Source:
    """The bytes of a lockfile, read in pieces: those in memory, or those of a file, which may be replaced meanwhile."""

    def __init__(self, content: bytes | Path) -> None:
        self._content = content if isinstance(content, bytes) else None
        self._descriptor = -1
        if isinstance(content, Path):
            self._descriptor = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, each with its end."""
        if self._content is not None:
            yield from self._content.splitlines(keepends=True)
        else:
            with os.fdopen(os.dup(self._descriptor), "rb", buffering=1 << 20) as stream:
                stream.seek(0)
                yield from stream

    def piece(self, at: int, length: int) -> bytes:
        """Return some of the bytes."""
        if self._content is not None:
            return self._content[at : at + length]
        return os.pread(self._descriptor, length, at)


class Records(MutableMapping[str, Record]):
    """Records by address. One that was read stays a line of its source until somebody asks for it.

    With ``inputs`` a glance tells the ETags of its sources.
    """

    def __init__(self, source: Source | None = None, *, inputs: bool = False) -> None:
        self._source = source
        self._decode = (_LONG_LINE if inputs else _LINE).decode
        self._glances: dict[str, Glance | Record] = {}
        self._whole: dict[str, Record] = {}

    def add_line(self, line: bytes, at: int) -> None:
        """Take up the line of one record, ``"race": {…},``, that stands at a place of the source.

        Raises DamagedError when it is none, or the address came before.
        """
        text = line.rstrip().removesuffix(b",")
        try:
            ((address, glance),) = self._decode(b"{" + text + b"}").items()
        except (msgspec.MsgspecError, ValueError) as error:
            raise DamagedError(str(error)) from error
        if address in self._glances:
            raise DamagedError(f"{address} comes twice")
        glance.at, glance.length = at, len(text)
        self._glances[address] = glance

    @property
    def glances(self) -> Mapping[str, Glanced]:
        """A glance at each record, by address."""
        return self._glances

    def __getitem__(self, address: str) -> Record:
        found = self._whole.get(address)
        if found is None:
            glance = self._glances[address]
            found = glance if isinstance(glance, Record) else self._read(address, glance)
            self._whole[address] = found
        return found

    def __setitem__(self, address: str, record: Record) -> None:
        self._glances[address] = self._whole[address] = record

    def __delitem__(self, address: str) -> None:
        del self._glances[address]
        self._whole.pop(address, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._glances)

    def __len__(self) -> int:
        return len(self._glances)

    def __contains__(self, address: object) -> bool:
        return address in self._glances

    def __copy__(self) -> Records:
        """Return records that can be given other addresses; the source is shared."""
        other = Records(self._source)
        other._glances, other._whole = dict(self._glances), dict(self._whole)
        return other

    def __repr__(self) -> str:
        return f"Records({dict(self)!r})"

    def lines(self) -> Iterator[str]:
        """Yield the line of every record in address order, without its comma; what nobody changed as it was read."""
        for address in sorted(self._glances):
            glance = self._glances[address]
            if isinstance(glance, Record):
                yield record_line(address, glance)
            else:
                assert self._source is not None
                yield self._source.piece(glance.at, glance.length).decode()

    def _read(self, address: str, glance: Glance) -> Record:
        assert self._source is not None
        try:
            ((_, entry),) = msgspec.json.decode(b"{" + self._source.piece(glance.at, glance.length) + b"}").items()
            return record_in(entry)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
            raise LockfileError(
                f"the record of {address} in the lockfile is damaged: {error}",
                advice="take the last good version of its line from Git, or `reconciler recover`",
            ) from error


def read(source: Source, name: str, *, inputs: bool = False) -> tuple[Records, dict[str, TemplateRecord], int]:
    """Read a lockfile: the records of outputs, of templates, and its version. ``name`` is that of the file, for errors.

    A lockfile in another shape than this program writes it, by hand perhaps, is read as a whole. Raises LockfileError
    when it is damaged or of a newer version than this program.
    """
    lines = source.lines()
    head = next(lines, b"")
    version = _FIRST.fullmatch(head)
    if version is not None:
        check_version(int(version[1]), name)
        records = Records(source, inputs=inputs)
        end = _take_up(records, lines, len(head))
        templates = _templates(end, b"".join(lines))
        if templates is not None:
            return records, templates, int(version[1])
    return _read_whole(source, name)


def _take_up(records: Records, lines: Iterator[bytes], at: int) -> bytes:
    """Take up the lines of outputs, of which the first stands ``at``, and return the line that is none."""
    for line in lines:
        if line.startswith(b"}"):
            return line
        try:
            records.add_line(line, at)
        except DamagedError:  # the whole of it tells better what is wrong
            return line
        at += len(line)
    return b""


def _templates(line: bytes, rest: bytes) -> dict[str, TemplateRecord] | None:
    """Return the templates that follow the outputs; None when what follows is something else."""
    if line == _LAST and not rest:
        return {}
    if line != _TEMPLATES or not rest.endswith(_LAST):
        return None
    try:
        return templates_in(json.loads(b"{" + rest.removesuffix(_LAST) + b"}"))
    except (ValueError, TypeError, AttributeError):
        return None


def _read_whole(source: Source, name: str) -> tuple[Records, dict[str, TemplateRecord], int]:
    content = b"".join(source.lines())
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise LockfileError(f"cannot read {name}: {error}") from error
    found, templates = parse(text, name)
    records = Records()
    records.update(found)
    return records, templates, -1
