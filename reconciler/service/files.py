"""Files of content: fill them from a body, join and copy them in constant memory, bring them to the disk.

What is long runs in a thread, so that other calls are answered meanwhile. What a file is for is not known here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar

from reconciler.disk import write_whole
from reconciler.service.digest import Digest

BLOCK: Final = 1 << 20
"""Bytes that are written and digested in one go."""

_READ: Final = 512 * 1024
_AT_ONCE: Final = 1 << 30
_CANNOT: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_SMALL: Final = 64 * 1024
"""Bytes that are digested sooner than a thread is begun."""

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a thread; a cancellation waits for its end, so that no file is closed while it is used."""
    task = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        task.exception()  # seen: the cancellation is what matters
        raise
    return task.result()


def open_object(path: Path) -> BinaryIO:
    """Open a file for reading: neither what a link leads to, nor waiting for the writer of a pipe."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK))


async def fill(path: Path, chunks: AsyncIterator[bytes]) -> Digest:
    """Write a body into a file and bring it to the disk; while one block is written the next one comes."""
    digest = Digest()
    with path.open("wb") as file:

        def take(block: bytes) -> None:
            digest.update(block)
            file.write(block)

        def sync() -> None:
            file.flush()
            os.fsync(file.fileno())

        busy: asyncio.Task[None] | None = None
        try:
            async for block in _blocks(chunks):
                if busy is not None:
                    await busy
                if len(block) <= _SMALL:
                    take(block)
                else:
                    busy = asyncio.create_task(in_thread(take, block))
        finally:
            if busy is not None:
                await busy
        await in_thread(sync)
    return digest


async def blocks_of(file: BinaryIO, part: range) -> AsyncGenerator[bytes, None]:
    """Yield a part of a file, and close it. A file that was cut short meanwhile ends early."""
    with file:
        file.seek(part.start)
        left = len(part)
        while left and (block := await in_thread(file.read, min(left, _READ))):
            left -= len(block)
            yield block


def digest_of(file: BinaryIO) -> Digest:
    """Read a file from where it is to its end for its digests."""
    digest = Digest()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest


def join(sources: Iterable[Path], target: Path) -> None:
    """Write files one after the other into another one, and bring it to the disk."""
    with target.open("wb", buffering=0) as file:
        for source in sources:
            with source.open("rb", buffering=0) as part:
                _append(part, file)
        os.fsync(file.fileno())


def copy(source: BinaryIO, target: Path) -> None:
    """Write what an open file holds into another one, and bring it to the disk."""
    with target.open("wb", buffering=0) as file:
        _append(source, file)
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(source: BinaryIO, target: FileIO) -> None:
    position = 0
    while copied := _copy_some(source.fileno(), target, position):
        position += copied


def _copy_some(source: int, target: FileIO, position: int) -> int:
    """Copy within the kernel, which shares the blocks where the file system can; by hand where it cannot at all."""
    if sys.platform == "linux":
        try:
            return os.copy_file_range(source, target.fileno(), _AT_ONCE, offset_src=position)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    block = os.pread(source, _READ, position)
    write_whole(target, block)
    return len(block)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather a body's chunks, which are as large as the network made them, into blocks."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BLOCK:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if gathered:
        yield b"".join(gathered)
