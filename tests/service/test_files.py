from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.service import files


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@given(
    sizes=st.lists(
        st.sampled_from([1, 1000, 65_536, 65_537, files.BLOCK - 1, files.BLOCK, files.BLOCK + 1]), max_size=5
    )
)
@settings(max_examples=20, deadline=None)
def test_a_body_is_written_whole_in_whatever_pieces_it_comes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    path = tmp_path_factory.mktemp("files") / "a"
    digest = asyncio.run(files.fill(path, body(*chunks)))
    assert path.read_bytes() == b"".join(chunks)
    assert digest.size == sum(sizes)
    with path.open("rb") as file:
        again = files.digest_of(file)
    assert (again.md5, again.crc64, again.size) == (digest.md5, digest.crc64, digest.size)


@pytest.mark.parametrize("size", [10, files.BLOCK + 1], ids=["inline", "in a thread"])
def test_what_the_disk_refuses_is_raised(size: int) -> None:
    """/dev/full takes nothing."""
    with pytest.raises(OSError, match="No space left on device"):
        asyncio.run(files.fill(Path("/dev/full"), body(*[b"x" * size] * 3)))


def test_a_body_that_breaks_off_is_raised_when_its_blocks_are_written(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (files.BLOCK + 1)
        raise EOFError

    with pytest.raises(EOFError):
        asyncio.run(files.fill(tmp_path / "a", broken()))
    assert (tmp_path / "a").stat().st_size == files.BLOCK + 1


def test_a_cancelled_call_waits_for_its_thread(tmp_path: Path) -> None:
    begun, let = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        begun.set()
        let.wait(20)
        ended.append(True)
        raise OSError(errno.EIO, "nobody asks any more")

    async def main() -> None:
        task = asyncio.create_task(files.in_thread(work))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        await asyncio.sleep(0)
        let.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended

    asyncio.run(main())


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 4096)

    async def read(part: range) -> bytes:
        return b"".join([block async for block in files.blocks_of(path.open("rb"), part)])

    for part in (range(10, 20), range(5, 700_000), range(0), range(1_048_576)):
        assert asyncio.run(read(part)) == path.read_bytes()[part.start : part.stop]
    assert len(asyncio.run(read(range(1_048_570, 2_000_000)))) == 6, "a file that was cut short ends early"


@pytest.mark.parametrize("kernel", ["copies", "cannot", "cannot any more"])
def test_files_are_joined_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    calls: list[int] = []
    original = os.copy_file_range

    def copy_file_range(source: int, target: int, count: int, **rest: Any) -> int:
        calls.append(count)
        if kernel == "cannot" or (len(calls) > 1 and kernel == "cannot any more"):
            raise OSError(errno.EXDEV, "another file system")
        return original(source, target, min(count, 300_000), **rest)

    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    contents = [b"a" * 700_000, b"", b"b", bytes(range(256)) * 3000]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    files.join([tmp_path / str(number) for number in range(4)], tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == b"".join(contents)
    with (tmp_path / "joined").open("rb") as file:
        file.read(10)  # where a reader stands makes no difference
        files.copy(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"".join(contents)


def test_a_full_disk_is_no_reason_to_copy_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(OSError, match="No space left on device"):
        files.join([tmp_path / "a"], Path("/dev/full"))

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="No space left on device"):
        files.join([tmp_path / "a"], tmp_path / "b")


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        files.open_object(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    files.open_object(tmp_path / "pipe").close()
