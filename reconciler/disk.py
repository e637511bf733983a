"""Files that must survive a power cut: replaced whole, synced with their folder; what the disk refuses, in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from reconciler.errors import LockfileError


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


def has_content(path: Path, text: str) -> bool:
    """Tell whether a file holds exactly this text."""
    try:
        return path.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def write_whole(stream: FileIO, data: bytes) -> None:
    """Write past any buffer of ours: what a full disk refused must not come back at close."""
    while data:
        data = data[stream.write(data) :]


def replace(path: Path, text: str) -> None:
    """Replace a file whole: write beside it, sync, rename, sync the folder."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(text.encode())
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
