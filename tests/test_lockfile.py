"""The lockfile and its journal survive everything that can happen to files."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import LockfileError
from reconciler.fingerprint import fingerprint
from reconciler.lockfile import Lockfile
from reconciler.state import Failure, Record, Submission, request_keys
from tests.factory import output, record


def made(address: str, etag: str = "made") -> Record:
    return record(output(address), {f"in/{address}.mp4": "e"}, etag, size=5, duration=1.5)


def begun(address: str, job: str | None = None) -> Submission:
    keys = request_keys(output(address))
    mark = fingerprint(keys, {})
    return Submission(address, f"reconciler:{mark}:0", mark, "out/a.mp4", keys, {}, "2026-05-01T10:00:00+00:00", job)


class Opened:
    """A lockfile that is open for writing, whose changes are waited for one by one."""

    def __init__(self, lockfile: Lockfile) -> None:
        self.lockfile = lockfile
        asyncio.run(lockfile.begin())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.lockfile, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *given: asyncio.run(found(*given))


OPENED: list[Opened] = []


@pytest.fixture(autouse=True)
def _close_what_was_opened() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def opened(folder: Path) -> Opened:
    lockfile = Opened(load(folder))
    OPENED.append(lockfile)
    return lockfile


def load(folder: Path) -> Lockfile:
    return Lockfile.load(folder / "reconciler.lock", folder / ".reconciler" / "journal")


def test_nothing_there_is_an_empty_lockfile_and_stays_unwritten(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.checkpoint()
    assert lockfile.records == {}
    assert not (tmp_path / "reconciler.lock").exists()


def test_what_was_journalled_is_there_without_a_checkpoint(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.intend(begun("a"))
    lockfile.submitted("a", "j1")
    lockfile.intend(begun("b"))
    lockfile.done("a", made("a"))
    again = load(tmp_path)
    assert again.records == {"a": made("a")}
    assert again.pending == {"b": begun("b")}


def test_a_checkpoint_keeps_what_is_pending_and_what_failed(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    failure = Failure("c", "j9", "InvalidSource", "not a video", "2026-05-01T10:00:00+00:00")
    lockfile.done("a", made("a"))
    lockfile.intend(begun("b"))
    lockfile.submitted("b", "j1")
    lockfile.failed(failure)
    lockfile.checkpoint()
    again = load(tmp_path)
    assert (again.records, again.pending, again.failures) == ({"a": made("a")}, {"b": begun("b", "j1")}, {"c": failure})
    assert "pending" not in (tmp_path / "reconciler.lock").read_text()


def test_a_failure_of_before_does_not_end_what_was_begun_since(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    failures = [Failure(name, job, "InvalidSource", "no", "2026-05-01T10:00:00+00:00") for name, job in ("a0", "b-")]
    for failure in failures:
        lockfile.failed(replace(failure, job=None if failure.job == "-" else failure.job))
        lockfile.intend(begun(failure.address))
        lockfile.submitted(failure.address, "j1")
    lockfile.checkpoint()
    for _ in range(2):
        assert load(tmp_path).pending == {"a": begun("a", "j1"), "b": begun("b", "j1")}
        opened(tmp_path)
    assert load(tmp_path).failures.keys() == {"a", "b"}


def test_only_the_failure_of_its_own_job_ends_a_submission(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    for name, job in (("a", None), ("b", "j1"), ("c", "j2")):
        lockfile.intend(begun(name))
        if job:
            lockfile.submitted(name, job)
        lockfile.failed(Failure(name, "j2" if job else None, "Failed", "no", "2026-05-01T10:00:00+00:00"))
    assert load(tmp_path).pending == lockfile.pending == {"a": begun("a"), "b": begun("b", "j1")}


def test_the_lockfile_is_sorted_and_has_one_line_for_each_output(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    for address in ("b", 'a["2"]', "a"):
        lockfile.done(address, made("a"))
    lockfile.checkpoint()
    text = (tmp_path / "reconciler.lock").read_text()
    lines = text.splitlines()
    assert lines[0] == '{"version": 2, "outputs": {'
    assert [line.split('": {')[0] for line in lines[1:-1]] == ['"a', '"a[\\"2\\"]', '"b']
    assert lines[-1] == "}}"
    assert json.loads(text)["outputs"]["b"]["duration"] == 1.5


def test_a_checkpoint_without_a_change_leaves_the_file_alone(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.done("a", made("a"))
    lockfile.checkpoint()
    before = (tmp_path / "reconciler.lock").stat()
    lockfile.checkpoint()
    after = (tmp_path / "reconciler.lock").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_every_way_to_cut_the_journal_keeps_a_prefix_of_what_happened(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    states = [(dict(lockfile.records), dict(lockfile.pending))]
    acts: tuple[Callable[[], None], ...] = (
        lambda: lockfile.intend(begun("a")),
        lambda: lockfile.submitted("a", "j1"),
        lambda: lockfile.done("a", made("a")),
        lambda: lockfile.move("a", "b"),
        lambda: lockfile.intend(begun("c")),
        lambda: lockfile.dropped("c"),
        lambda: lockfile.forget("b"),
    )
    for act in acts:
        act()
        states.append((dict(lockfile.records), dict(lockfile.pending)))
    lockfile.close()
    journal = tmp_path / ".reconciler" / "journal"
    whole = journal.read_bytes()
    for length in range(len(whole) + 1):
        journal.write_bytes(whole[:length])
        again = load(tmp_path)
        lines = max(whole[:length].count(b"\n") - 1, 0)  # the first line tells which lockfile the journal belongs to
        assert (again.records, again.pending) == states[lines]
        torn = whole[length - 1 : length] not in (b"", b"\n")
        assert (again.note is not None) is torn


def test_a_torn_tail_is_cut_off_so_that_later_lines_are_not_lost_with_it(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.intend(begun("a"))
    lockfile.close()
    with (tmp_path / ".reconciler" / "journal").open("ab") as stream:
        stream.write(b'{"op":"submit')
    lockfile = opened(tmp_path)
    lockfile.submitted("a", "j1")
    assert load(tmp_path).pending == {"a": begun("a", "j1")}


def test_replaying_the_journal_over_its_own_checkpoint_changes_nothing(tmp_path: Path) -> None:
    """The crash between writing the lockfile and emptying the journal."""
    lockfile = opened(tmp_path)
    lockfile.done("a", made("a"))
    lockfile.move("a", "b")
    lockfile.intend(begun("a"))
    lockfile.done("a", made("a", "second"))
    lockfile.close()
    journal = tmp_path / ".reconciler" / "journal"
    lines = journal.read_bytes()
    before = load(tmp_path)
    lockfile = opened(tmp_path)
    lockfile.close()
    journal.write_bytes(lines)
    again = load(tmp_path)
    assert again.records == before.records == {"b": made("a"), "a": made("a", "second")}


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("", "is damaged", "git checkout"),
        ("{", "is damaged", "git checkout"),
        ("[]", "is damaged", "git checkout"),
        ('{"version": 1}', "is damaged", "git checkout"),
        ('{"version": 1, "outputs": {"a": {"object": "x"}}}', "is damaged", "git checkout"),
        ('{"version": 1, "outputs": {"a": 7}}', "is damaged", "git checkout"),
        ('{"version": 1, "outputs": []}', "is damaged", "git checkout"),
        ("<<<<<<< HEAD\n", "is damaged", "merge conflict"),
        ('{"version": 3, "outputs": {}}', "has version 3, this reconciler reads up to 2", "upgrade"),
        ('{"version": "1", "outputs": {}}', "has version 1", "upgrade"),
    ],
)
def test_a_damaged_lockfile_is_refused_and_left_alone(tmp_path: Path, text: str, message: str, advice: str) -> None:
    (tmp_path / "reconciler.lock").write_text(text)
    with pytest.raises(LockfileError, match=message) as caught:
        load(tmp_path)
    assert advice in (caught.value.advice or "")
    assert (tmp_path / "reconciler.lock").read_text() == text


SEGMENTS = ["out/0123456789abcdef-00000.ts", "out/0123456789abcdef-00001.ts"]


def test_what_belongs_to_an_output_and_what_made_it_is_kept(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    playlist = replace(made("a"), engine="ffmpeg 7.1, 2 threads", files=SEGMENTS)
    lockfile.done("a", playlist)
    lockfile.done("b", made("b"))
    assert load(tmp_path).records == {"a": playlist, "b": made("b")}
    lockfile.checkpoint()
    assert load(tmp_path).records == {"a": playlist, "b": made("b")}
    lines = (tmp_path / "reconciler.lock").read_text().splitlines()
    assert f'"engine": "ffmpeg 7.1, 2 threads", "etag": "made", "files": {json.dumps(SEGMENTS)}, ' in lines[1]
    assert "engine" not in lines[2]
    assert "files" not in lines[2]


def test_what_an_older_version_wrote_is_read_and_rewritten_as_ours(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.done("a", made("a"))
    lockfile.checkpoint()
    path = tmp_path / "reconciler.lock"
    text = path.read_text()
    path.write_text(text.replace('"version": 2', '"version": 1'))
    again = opened(tmp_path)
    assert again.records == {"a": made("a")}
    assert path.read_text() == text


@pytest.mark.parametrize("files", ['"out/a.ts"', "[7]", '["out/a.ts", null]', "{}", "7", "true"])
def test_files_that_are_no_list_of_keys_are_damage(tmp_path: Path, files: str) -> None:
    lockfile = opened(tmp_path)
    lockfile.done("a", replace(made("a"), files=SEGMENTS))
    lockfile.checkpoint()
    path = tmp_path / "reconciler.lock"
    path.write_text(path.read_text().replace(json.dumps(SEGMENTS), files))
    with pytest.raises(LockfileError, match=r"is damaged: files is "):
        load(tmp_path)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; the kernel refuses the write half-way."""
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path.cwd())!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from dataclasses import replace
from pathlib import Path
from tests.test_lockfile import begun, opened
from reconciler.errors import LockfileError
lockfile = opened(Path({str(tmp_path)!r}))
lockfile.intend(begun("a"))
size = (Path({str(tmp_path)!r}) / ".reconciler" / "journal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
for _ in range(2):
    try:
        lockfile.intend(begun("b"))
        print("written")
    except LockfileError as error:
        print(error.message, "|", error.advice)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "File too large | nothing is lost" in first
    assert second == first
    again = load(tmp_path)
    assert again.pending == {"a": begun("a")}
    assert again.note is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "reconciler.lock").mkdir()
    with pytest.raises(LockfileError, match="Is a directory"):
        load(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_in_the_journal_are_read_or_cut(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    folder = tmp_path_factory.mktemp("journal")
    lockfile = opened(folder)
    lockfile.intend(begun("a"))
    lockfile.close()
    with (folder / ".reconciler" / "journal").open("ab") as stream:
        stream.write(garbage)
    assert load(folder).pending == {"a": begun("a")}


def test_a_damaged_line_with_whole_ones_behind_it_is_no_crash_and_is_refused(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.intend(begun("a"))
    lockfile.close()
    journal = tmp_path / ".reconciler" / "journal"
    journal.write_bytes(b"garbage\n" + journal.read_bytes())
    with pytest.raises(LockfileError, match="is damaged in line 1, with whole lines behind it"):
        load(tmp_path)


@pytest.mark.parametrize("line", ['{"op": "intent", "address": "a"}', '{"op": "done", "address": "a", "record": 5}'])
def test_a_journal_of_another_version_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".reconciler").mkdir()
    (tmp_path / ".reconciler" / "journal").write_text(line + "\n")
    with pytest.raises(LockfileError, match="has an entry that this reconciler does not know"):
        load(tmp_path)


def test_a_pending_submission_moves_with_its_output(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    lockfile.intend(begun("a"))
    lockfile.submitted("a", "j1")
    lockfile.move("a", "b")
    assert load(tmp_path).pending == {"b": replace(begun("a", "j1"), address="b")}


def test_an_amended_record_leaves_what_is_begun_or_failed(tmp_path: Path) -> None:
    lockfile = opened(tmp_path)
    failure = Failure("a", "j9", "InvalidSource", "no", "2026-05-01T10:00:00+00:00")
    lockfile.done("a", made("a"))
    lockfile.failed(failure)
    lockfile.amend("a", replace(made("a"), protect=True))
    again = load(tmp_path)
    assert (again.records["a"].protect, again.failures) == (True, {"a": failure})
