"""Files that survive a power cut, and what a disk that refuses is reported as."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

import pytest

from reconciler import disk
from reconciler.errors import LockfileError


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for text in ("first", "später"):
        disk.replace(path, text)
        assert disk.content(path) == text.encode()
        assert list(tmp_path.iterdir()) == [path]
    assert disk.content(tmp_path / "none") is None


def test_a_kept_file_stays_when_it_is_replaced(tmp_path: Path) -> None:
    path, beside = tmp_path / "state", tmp_path / "state.before"
    disk.keep(path, beside)
    assert not beside.exists()
    for text in ("first", "second"):
        disk.keep(path, beside)
        disk.replace(path, text)
    assert beside.read_text() == "first"
    path.unlink()
    disk.keep(path, beside)  # nothing is kept as nothing
    assert not beside.exists()


def test_a_refused_replacement_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    with pytest.raises(LockfileError, match=r"cannot write .*state.*: Is a directory") as refused, disk.plainly(path):
        disk.replace(path, "text")
    assert refused.value.advice is not None
    assert refused.value.advice.startswith("nothing is lost: free space")
    assert list(tmp_path.iterdir()) == [path]


def test_a_guard_that_is_taken_is_not_the_disks_fault(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), disk.plainly(tmp_path):
        raise TimeoutError


class Dripping(FileIO):
    """A disk that takes a byte at a time."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:1])  # type: ignore[call-overload]


def test_a_short_write_is_gone_on_with(tmp_path: Path) -> None:
    with Dripping(tmp_path / "journal", "wb") as stream:
        disk.write_whole(stream, b"a whole line\n")
    assert (tmp_path / "journal").read_bytes() == b"a whole line\n"
