"""Files that must survive a power cut: replaced whole, synced with their folder; what the disk refuses, in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from reconciler.errors import LockfileError

_END: Final = 4096


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Say in plain words what the disk refused; a guard that is taken is not the disk's fault."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise LockfileError(
            f"cannot write {error.filename or path}: {error.strerror}",
            advice="nothing is lost: free space or make the folder writable, then run apply again",
        ) from error


def content(path: Path) -> bytes | None:
    """Return what a file holds, or None without one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def ends(path: Path) -> bytes | None:
    """Return the beginning and the end of what a file holds, a few kilobytes of each; None without one."""
    try:
        with path.open("rb") as stream:
            begins = stream.read(_END)
            stream.seek(max(stream.seek(0, os.SEEK_END) - _END, len(begins)))
            return begins + stream.read()
    except FileNotFoundError:
        return None


def keep(path: Path, beside: Path) -> None:
    """Give a file that is about to be replaced a second name, under which it stays; no file is kept as none."""
    temporary = beside.with_name(f".{beside.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        beside.unlink(missing_ok=True)
        return
    except OSError:  # a file system without hard links
        temporary.write_bytes(path.read_bytes())
    temporary.replace(beside)


def write_whole(stream: FileIO, data: bytes) -> None:
    """Write past any buffer of ours: what a full disk refused must not come back at close."""
    while data:
        data = data[stream.write(data) :]


def replace(path: Path, data: bytes | str) -> None:
    """Replace a file whole: write beside it, sync, rename, sync the folder."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
