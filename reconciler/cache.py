"""What came of the rows of a project, kept from one run to the next in ``.reconciler/cache``.

Nobody needs it: a file that is missing, torn, foreign or of another version counts as none, and one that cannot be
written is not. What is in it is the business of ``resolve.memory``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from zlib import crc32

import jinja2
import msgspec
import pydantic

from reconciler import __version__
from reconciler.resolve import Memory
from reconciler.resolve.memory import Known

MIN_OUTPUTS: Final = 1000
"""Fewer are resolved so quickly that no file is written for them."""

_MAGIC: Final = b"reconciler desired state 1\n"
_DECODER: Final = msgspec.msgpack.Decoder(dict[str, Known])
_KEY: Final = hashlib.blake2b().digest_size
_CHECK: Final = 4


def key(*parts: object, files: Collection[tuple[str, bytes]], folders: Collection[Path]) -> bytes | None:
    """Digest all that decides what comes of a row: ``parts`` by their text, files, folders, and this program.

    None when what is in the folders cannot be told for sure.
    """
    digest = hashlib.blake2b()

    def put(*values: bytes) -> None:
        for value in values:
            digest.update(len(value).to_bytes(8, "big"))
            digest.update(value)

    versions = (__version__, sys.version, jinja2.__version__, pydantic.VERSION)
    try:
        put(repr((parts, versions, *_code())).encode(errors="surrogatepass"))
        for name, data in files:
            put(os.fsencode(name), data)
        for folder in folders:
            put(b"folder")
            for path in _files(folder):
                put(os.fsencode(path.relative_to(folder)), path.read_bytes())
    except (OSError, ValueError):
        return None
    return digest.digest()


def _code() -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of every module of this program."""
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        status = path.stat()
        yield str(path.relative_to(package)), status.st_size, status.st_mtime_ns


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in name order. Raises ValueError when there is a link to a folder."""
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            yield path
        elif path.is_symlink():
            raise ValueError(f"{path} is a link to a folder")


class Cache:
    """The file of one project and environment. ``decide`` returns the ``key``; without one it is empty and stays so."""

    def __init__(self, path: Path, decide: Callable[[], bytes | None]) -> None:
        self._path = path
        self._decide = decide
        self._key = decide()

    def memory(self) -> Memory:
        """Return what is known of the rows."""
        return Memory(self._read())

    def keep(self, memory: Memory) -> None:
        """Write what a run has learned, when that is worth it."""
        if self._key is None or not memory.stale or memory.size < MIN_OUTPUTS:
            return
        if self._decide() != self._key:
            return  # somebody has changed a layout meanwhile
        try:
            body = msgspec.msgpack.encode(memory.learned())
            self._write(_MAGIC + self._key + crc32(body).to_bytes(_CHECK, "big"), body)
        except (OSError, ValueError, OverflowError, msgspec.MsgspecError):
            return  # the next run resolves every row again

    def _read(self) -> dict[str, Known]:
        if self._key is None:
            return {}
        try:
            with self._path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC or file.read(_KEY) != self._key:
                    return {}
                check, body = file.read(_CHECK), file.read()
            return _DECODER.decode(body) if crc32(body).to_bytes(_CHECK, "big") == check else {}
        except (OSError, ValueError, msgspec.MsgspecError):
            return {}

    def _write(self, *parts: bytes) -> None:
        """Write beside and rename; nothing is synced, for what a power cut leaves torn counts as none."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._path.parent, prefix=f".{self._path.name}.", delete=False) as file:
            try:
                file.writelines(parts)
                file.close()
                Path(file.name).replace(self._path)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
