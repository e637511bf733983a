"""Merging lockfiles loses nothing, decides nothing that a person must decide, and is the same from both sides."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import LockfileError
from reconciler.lockfile import Lockfile
from reconciler.lockformat import VERSION, dump, parse
from reconciler.lockmerge import Conflict, merge
from reconciler.state import Record, TemplateRecord
from tests.factory import output, record

HUNK = re.compile(r"<<<<<<< ours\n(.*?)=======\n(.*?)>>>>>>> theirs\n", re.DOTALL)


def made(name: str, etag: str = "made", **fields: str) -> Record:
    return record(output(name), {f"in/{name}.mp4": "e"}, etag, size=5, duration=1.5, **fields)


def kept(name: str, width: int = 640) -> TemplateRecord:
    return TemplateRecord(name, "Transcode", "hd", {"video": {"width": width}}, {"video": {"width": width}})


A, A1, A2, B, B1, C = made("a"), made("a", "1"), made("a", "2"), made("b"), made("b", "1"), made("c")

Records = dict[str, Record]
Templates = dict[str, TemplateRecord]


def text(records: Records, templates: Templates | None = None) -> bytes:
    return dump(records, templates or {}).encode()


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        pytest.param({"a": A}, {"a": A}, {"a": A}, {"a": A}, id="nothing changed"),
        pytest.param({"a": A}, {"a": A1}, {"a": A}, {"a": A1}, id="changed here"),
        pytest.param({"a": A}, {"a": A}, {"a": A1}, {"a": A1}, id="changed there"),
        pytest.param({"a": A}, {"a": A1}, {"a": A1}, {"a": A1}, id="the same change twice"),
        pytest.param({}, {"a": A}, {"b": B}, {"a": A, "b": B}, id="both added"),
        pytest.param({}, {"a": A}, {"a": A}, {"a": A}, id="both added the same"),
        pytest.param({"a": A, "b": B}, {"b": B}, {"a": A, "b": B}, {"b": B}, id="deleted here"),
        pytest.param({"a": A, "b": B}, {"b": B}, {"a": A}, {}, id="each deleted one"),
        pytest.param({"a": A, "b": B}, {"a": A1, "b": B}, {"a": A, "b": B1}, {"a": A1, "b": B1}, id="neighbours"),
        pytest.param({"a": A}, {"z": A}, {"a": A, "b": B}, {"z": A, "b": B}, id="renamed here, added there"),
        pytest.param(
            {"a": A, "b": B}, {"a": C, "b": B}, {"a": A, "b": A1}, {"a": C, "b": A1}, id="a key given up and taken"
        ),
        pytest.param({"a": A}, {"z": A}, {"z": A}, {"z": A}, id="the same name given twice"),
    ],
)
def test_what_merges(base: Records, ours: Records, theirs: Records, merged: Records) -> None:
    found = merge(text(base), text(ours), text(theirs))
    assert (found.text.encode(), found.conflicts) == (text(merged), ())


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "conflict"),
    [
        pytest.param({"a": A}, {"a": A1}, {"a": A2}, Conflict(("a",), "changed by both sides"), id="changed"),
        pytest.param({}, {"a": A1}, {"a": A2}, Conflict(("a",), "added by both sides, not the same"), id="added"),
        pytest.param(
            {"a": A}, {}, {"a": A1}, Conflict(("a",), "deleted by ours, changed by theirs"), id="deleted here"
        ),
        pytest.param(
            {"a": A}, {"a": A1}, {}, Conflict(("a",), "deleted by theirs, changed by ours"), id="deleted there"
        ),
        pytest.param(
            {"a": A}, {"y": A}, {"z": A}, Conflict(("y", "z"), "more than one record of out/a.mp4"), id="renamed twice"
        ),
        pytest.param(
            {"a": A},
            {"y": A},
            {"a": A1},
            Conflict(("a", "y"), "more than one record of out/a.mp4"),
            id="renamed and changed",
        ),
        pytest.param(
            {}, {"y": A}, {"z": A1}, Conflict(("y", "z"), "more than one record of out/a.mp4"), id="one key added twice"
        ),
        pytest.param(
            {"a": A, "b": B},
            {"a": B, "b": A},
            {"a": A1, "b": B1},
            Conflict(("a", "b"), "more than one record of out/a.mp4 and out/b.mp4"),
            id="names exchanged here, both changed there",
        ),
        pytest.param(
            {"a": A},
            {"a": B},
            {"a": A, "b": B1},
            Conflict(("a", "b"), "more than one record of out/b.mp4"),
            id="a key changed here to one that was added there",
        ),
    ],
)
def test_what_a_person_decides(base: Records, ours: Records, theirs: Records, conflict: Conflict) -> None:
    found = merge(text(base), text(ours), text(theirs))
    assert found.conflicts == (conflict,)
    assert chosen(found.text, itertools.repeat(0)) == (ours, {})
    assert chosen(found.text, itertools.repeat(1)) == (theirs, {})


def chosen(conflicted: str, sides: itertools.repeat[int] | list[int]) -> tuple[Records, Templates]:
    """Return what a file records in which a person has kept one side of each conflict."""
    choice = iter(sides)
    return parse(HUNK.sub(lambda found: found[1 + next(choice)], conflicted), "the file")


def test_a_conflict_stands_alone_between_its_marks() -> None:
    base = {"a": A, "b": B, "c": C}
    found = merge(text(base), text({"a": A1, "b": B1, "c": C}), text({"a": A2, "b": B, "c": C}))
    head, ours, _, theirs, *rest = found.text.split("\n")[1:]
    assert (head, rest[0]) == ("<<<<<<< ours", ">>>>>>> theirs")
    assert [json.loads("{" + line.removesuffix(",") + "}")["a"]["etag"] for line in (ours, theirs)] == ["1", "2"]
    assert rest[1:] == dump({"b": B1, "c": C}, {}).split("\n")[1:]


def test_templates_are_merged_as_outputs_are() -> None:
    base = {"t.a": kept("1"), "t.b": kept("2")}
    found = merge(text({}, base), text({}, {**base, "t.a": kept("1", 320)}), text({}, {**base, "t.b": kept("2", 320)}))
    assert found.text.encode() == text({}, {"t.a": kept("1", 320), "t.b": kept("2", 320)})
    found = merge(b"", text({"a": A}, {"t.a": kept("1")}), text({"b": B}, {"t.a": kept("2"), "t.b": kept("3")}))
    assert found.conflicts == (Conflict(("t.a",), "added by both sides, not the same"),)
    assert chosen(found.text, [1]) == ({"a": A, "b": B}, {"t.a": kept("2"), "t.b": kept("3")})


def test_one_object_recorded_twice_by_one_side_is_left_as_it_is() -> None:
    twice = {"a": A, "b": A}
    assert merge(text({"a": A}), text(twice), text({"a": A})).text.encode() == text(twice)
    assert merge(text(twice), text(twice), text({**twice, "c": C})).conflicts == ()


def test_an_older_version_is_merged_as_this_one() -> None:
    older = text({"a": A}).replace(b'"version": %d' % VERSION, b'"version": 1')
    found = merge(older, older, text({"a": A, "b": B}))
    assert found.text.encode() == text({"a": A, "b": B})


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_without_a_common_ancestor_both_sides_added(content: bytes) -> None:
    assert merge(content, text({"a": A}), text({"b": B})).text.encode() == text({"a": A, "b": B})


NEWER = text({}).replace(b'"version": %d' % VERSION, b'"version": 99')
MARKED = text({"a": A, "b": B}).replace(b'"b"', b'<<<<<<< HEAD\n"b"')


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    ("content", "message", "advice"),
    [
        (b'{"version": 2', "{} is damaged: ", "take the last good version of that side from Git"),
        (b"\xff", "{} is damaged: 'utf-8' codec", "take the last good version of that side from Git"),
        (text({"a": A}).replace(b'"made"', b"7"), "{} is damaged: etag is 7", "take the last good version"),
        (NEWER, "{} has version 99, this reconciler reads up to", "upgrade reconciler"),
        (MARKED, "{} holds the marks of an earlier conflict", "keep one side of each there, commit that"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_side(place: int, content: bytes, message: str, advice: str) -> None:
    sides = [text({"a": A})] * 3
    sides[place] = content
    name = ("the common ancestor", "our side", "their side")[place]
    with pytest.raises(LockfileError) as caught:
        merge(*sides)
    assert caught.value.message.startswith(message.format(name))
    assert (caught.value.advice or "").startswith(advice)


@pytest.mark.parametrize("place", [1, 2])
def test_only_the_ancestor_may_be_empty(place: int) -> None:
    sides = [text({"a": A})] * 3
    sides[place] = b""
    with pytest.raises(LockfileError, match="side is damaged"):
        merge(*sides)


# Whatever the three are.

ADDRESSES = ["a", "b", 'c["1"]', "ü\u2028"]
RECORDS = st.dictionaries(
    st.sampled_from(ADDRESSES),
    st.builds(made, st.sampled_from("xyz"), st.sampled_from("12")),
    max_size=4,
)
TEMPLATES = st.dictionaries(st.sampled_from(["t.a", "t.b"]), st.builds(kept, st.sampled_from("12")), max_size=2)
SIDES = st.builds(text, RECORDS, TEMPLATES)
UNIQUE = RECORDS.filter(lambda records: len({made.object for made in records.values()}) == len(records))
OTHER = {"ours": "theirs", "theirs": "ours"}


def swapped(conflict: Conflict) -> Conflict:
    return replace(conflict, reason=re.sub("ours|theirs", lambda found: OTHER[found[0]], conflict.reason))


@given(SIDES, SIDES, SIDES)
def test_a_merge_is_the_same_from_both_sides(base: bytes, ours: bytes, theirs: bytes) -> None:
    there, back = merge(base, ours, theirs), merge(base, theirs, ours)
    assert there.conflicts == tuple(map(swapped, back.conflicts))
    assert there.text == HUNK.sub(r"<<<<<<< ours\n\2=======\n\1>>>>>>> theirs\n", back.text)


@given(SIDES, SIDES)
def test_an_unchanged_side_gives_the_other_one(base: bytes, changed: bytes) -> None:
    for ours, theirs in ((base, changed), (changed, base), (changed, changed)):
        found = merge(base, ours, theirs)
        assert (found.text.encode(), found.conflicts) == (changed, ())


@given(RECORDS, RECORDS, RECORDS, st.sets(st.sampled_from(ADDRESSES)))
def test_edits_of_different_outputs_never_conflict(
    base: Records, mine: Records, yours: Records, half: set[str]
) -> None:
    """Ours edits the addresses of one half, theirs those of the other; each output has keys of its own."""
    base, mine, yours = (
        {address: replace(found, object=f"{address}/{found.object}") for address, found in side.items()}
        for side in (base, mine, yours)
    )
    ours = {**without(base, half), **only(mine, half)}
    theirs = {**only(base, half), **without(yours, half)}
    found = merge(text(base), text(ours), text(theirs))
    assert (found.text.encode(), found.conflicts) == (text({**only(mine, half), **without(yours, half)}), ())


def only(records: Records, addresses: set[str]) -> Records:
    return {address: found for address, found in records.items() if address in addresses}


def without(records: Records, addresses: set[str]) -> Records:
    return only(records, records.keys() - addresses)


@given(SIDES, SIDES, SIDES, st.data())
def test_whatever_a_person_keeps_is_a_whole_lockfile(
    base: bytes, ours: bytes, theirs: bytes, data: st.DataObject
) -> None:
    found = merge(base, ours, theirs)
    count = len(HUNK.findall(found.text))
    assert (count > 0) == (found.conflicts != ())
    choice = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    records, templates = chosen(found.text, choice)
    disputed = {address for conflict in found.conflicts for address in conflict.addresses}
    sides = [parse(side.decode(), "side") for side in (ours, theirs)]
    for address in records.keys() | templates.keys():
        assert address in disputed or any(address in part for side in sides for part in side)
    for address in (disputed & records.keys()) | (disputed & templates.keys()):
        assert any({**records, **templates}[address] == {**side[0], **side[1]}.get(address) for side in sides)


@given(UNIQUE, UNIQUE, UNIQUE, st.data())
def test_no_merge_records_an_object_twice(base: Records, ours: Records, theirs: Records, data: st.DataObject) -> None:
    found = merge(text(base), text(ours), text(theirs))
    count = len(HUNK.findall(found.text))
    records, _ = chosen(found.text, data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    assert len({made.object for made in records.values()}) == len(records)


def test_a_merged_file_is_what_a_checkpoint_leaves_alone(tmp_path: Path) -> None:
    path = tmp_path / "reconciler.lock"
    path.write_text(merge(b"", text({"a": A}, {"t.a": kept("1")}), text({"b": B1})).text)
    lockfile = Lockfile.load(path, tmp_path / ".reconciler" / "journal")
    assert (lockfile.records, lockfile.templates) == ({"a": A, "b": B1}, {"t.a": kept("1")})
    assert dump(lockfile.records, lockfile.templates) == path.read_text()
