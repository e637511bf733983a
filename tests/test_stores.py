"""Lockfile and journal survive what disks and buckets do, and nothing that a person did to them is "repaired"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import GuardError, LockfileError
from reconciler.lockfile import Lockfile
from reconciler.state import Record
from reconciler.stores import BucketStore
from tests.factory import output, record
from tests.simulation import SHARED_KEY, Process, SimulatedClient, World, in_world, shared_state


def made(etag: str) -> Record:
    return record(output("a"), {"in/a.mp4": "e"}, etag, size=5)


def load(folder: Path) -> Lockfile:
    return Lockfile.load(folder / "reconciler.lock", folder / "state" / "journal")


def recorded(lockfile: Lockfile) -> dict[str, str]:
    return {address: kept.etag for address, kept in lockfile.records.items()}


def work(folder: Path, *etags: str, fold: bool = True) -> None:
    """Do what an apply does to the files: begin, record one after the other, fold."""

    async def main() -> None:
        lockfile = load(folder)
        await lockfile.begin()
        for number, etag in enumerate(etags):
            await lockfile.done(f"a{number}", made(etag))
        if fold:
            await lockfile.checkpoint()
        lockfile.close()

    asyncio.run(main())


# On this disk.


@pytest.mark.parametrize("body", [b"", b"\x00" * 80, b'{"version": 2, "outp'], ids=["empty", "zeros", "cut"])
@pytest.mark.parametrize("both", [False, True])
def test_a_lockfile_that_was_renamed_before_its_data_is_put_together_again(
    tmp_path: Path, body: bytes, *, both: bool
) -> None:
    work(tmp_path, "one")
    work(tmp_path, "two", "three")
    (tmp_path / "reconciler.lock").write_bytes(body)
    if both:
        (tmp_path / "state" / "journal").write_bytes(b"\x00" * 40)
    again = load(tmp_path)
    assert recorded(again) == {"a0": "two", "a1": "three"}
    assert again.note is not None
    assert "put together again" in again.note
    work(tmp_path)
    assert recorded(load(tmp_path)) == {"a0": "two", "a1": "three"}
    assert load(tmp_path).note is None


@pytest.mark.parametrize("body", [b"", b"\x00" * 80])
def test_a_journal_that_was_renamed_before_its_data_is_the_last_one(tmp_path: Path, body: bytes) -> None:
    work(tmp_path, "one", fold=False)
    work(tmp_path, fold=False)  # folds what the first one left, and keeps its journal beside
    (tmp_path / "state" / "journal").write_bytes(body)
    again = load(tmp_path)
    assert recorded(again) == {"a0": "one"}
    assert again.note == "the journal was not whole, and its last version was taken"


def test_a_disk_that_lies_at_every_single_checkpoint_loses_nothing(tmp_path: Path) -> None:
    for number in range(5):
        work(tmp_path, f"e{number}", fold=number % 2 == 0)
        assert recorded(load(tmp_path)) == {"a0": f"e{number}"}
        if number % 2 == 0:
            (tmp_path / "reconciler.lock").write_bytes(b"")
            assert recorded(load(tmp_path)) == {"a0": f"e{number}"}


CONFLICT = b'{"version": 2, "outputs": {\n<<<<<<< ours\n=======\n>>>>>>> theirs\n}}\n'


def by_hand(folder: Path, change: Callable[[bytes], bytes]) -> bytes:
    path = folder / "reconciler.lock"
    path.write_bytes(change(path.read_bytes()))
    return path.read_bytes()


def test_a_lockfile_with_a_merge_conflict_is_told_and_left(tmp_path: Path) -> None:
    work(tmp_path, "one")
    work(tmp_path, "two")
    text = by_hand(tmp_path, lambda _: CONFLICT)
    with pytest.raises(LockfileError) as caught:
        _ = recorded(load(tmp_path))
    assert "merge conflict" in (caught.value.advice or "")
    assert (tmp_path / "reconciler.lock").read_bytes() == text


def test_an_older_lockfile_that_was_checked_out_counts(tmp_path: Path) -> None:
    work(tmp_path, "one")
    older = (tmp_path / "reconciler.lock").read_bytes()
    work(tmp_path, "two", "three")
    by_hand(tmp_path, lambda _: older)
    assert recorded(load(tmp_path)) == {"a0": "one"}
    work(tmp_path)
    assert recorded(load(tmp_path)) == {"a0": "one"}


def test_what_a_person_wrote_counts(tmp_path: Path) -> None:
    work(tmp_path, "one")
    by_hand(tmp_path, lambda text: text.replace(b'"one"', b'"two"'))
    assert recorded(load(tmp_path)) == {"a0": "two"}


def test_a_lockfile_that_was_deleted_is_gone(tmp_path: Path) -> None:
    work(tmp_path, "one")
    (tmp_path / "reconciler.lock").unlink()
    assert recorded(load(tmp_path)) == {}


def test_a_damaged_line_with_whole_ones_behind_it_is_told(tmp_path: Path) -> None:
    work(tmp_path, "one", "two", fold=False)
    path = tmp_path / "state" / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{torn\n", *lines[2:]]))
    with pytest.raises(LockfileError, match="damaged in line 2, with whole lines behind it"):
        load(tmp_path)


# In the bucket.


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {})


def play(world: World, main: Coroutine[Any, Any, None]) -> None:
    in_world(world, main)


async def opened(world: World, run: str, *, fence: bool = False, check: Callable[[], None] = lambda: None) -> Lockfile:
    store = BucketStore(SimulatedClient(world, Process()), SHARED_KEY, run=run, fence=fence, check=check)
    return Lockfile(store, await store.load())


def test_what_one_machine_wrote_another_one_reads(world: World) -> None:
    async def main() -> None:
        one = await opened(world, "one")
        await one.begin()
        await one.done("a", made("first"))
        assert recorded(await shared_state(world)) == {"a": "first"}
        await one.checkpoint()
        assert recorded(await shared_state(world)) == {"a": "first"}
        two = await opened(world, "two")
        await two.begin()
        await two.done("a", made("second"))
        await two.checkpoint()
        assert recorded(await shared_state(world)) == {"a": "second"}

    play(world, main())
    assert len(world.files) == 3, "the lockfile for people, the one that counts, the journal's beginning"


def test_of_two_writers_only_one_gets_the_next_number(world: World) -> None:
    async def main() -> None:
        one, two = await opened(world, "one"), await opened(world, "two")
        await one.begin()
        await two.begin()
        await one.done("a", made("first"))
        with pytest.raises(GuardError, match="another run has taken over bucket:state"):
            await two.done("a", made("second"))
        assert recorded(await shared_state(world)) == {"a": "first"}

    play(world, main())


@pytest.mark.parametrize("folds", [False, True], ids=["and only fenced", "and has folded since"])
def test_a_run_that_was_taken_over_while_it_wrote_has_no_effect(world: World, *, folds: bool) -> None:
    """Its number may be free again: the other run has deleted what it folded."""

    async def main() -> None:
        one = await opened(world, "one")
        await one.begin()
        await one.done("a", made("first"))
        two = await opened(world, "two", fence=True)
        await two.store.begin()
        if folds:
            await two.checkpoint()
            await two.done("b", made("theirs"))
            await two.checkpoint()
        for attempt in (one.done("a", made("late")), one.checkpoint()):
            with pytest.raises(GuardError):
                await attempt
        assert recorded(await shared_state(world)) == ({"a": "first"} | ({"b": "theirs"} if folds else {}))

    play(world, main())


def test_a_run_without_a_lease_writes_nothing(world: World) -> None:
    def lost() -> None:
        raise GuardError("lost")

    async def main() -> None:
        one = await opened(world, "one", check=lost)
        with pytest.raises(GuardError, match="lost"):
            await one.done("a", made("first"))

    play(world, main())
    assert world.files == {}


def test_a_lost_answer_to_a_part_is_no_other_run(world: World) -> None:
    class Repeating(SimulatedClient):
        async def put_object(self, key: str, content: bytes, *, forbid_overwrite: bool = False) -> str:
            await super().put_object(key, content, forbid_overwrite=forbid_overwrite)
            return await super().put_object(key, content, forbid_overwrite=forbid_overwrite)

    async def main() -> None:
        store = BucketStore(Repeating(world, Process()), SHARED_KEY, run="one")
        lockfile = Lockfile(store, await store.load())
        await lockfile.begin()
        await lockfile.done("a", made("first"))
        await lockfile.checkpoint()
        assert recorded(await shared_state(world)) == {"a": "first"}

    play(world, main())


def test_a_journal_that_was_deleted_leaves_the_lockfile_for_people(world: World) -> None:
    async def main() -> None:
        one = await opened(world, "one")
        await one.begin()
        await one.done("a", made("first"))
        await one.checkpoint()
        for key in [key for key in world.files if key != SHARED_KEY]:
            del world.files[key]
        assert recorded(await shared_state(world)) == {"a": "first"}

    play(world, main())
