"""Plans that ask nobody: the lockfile is read from the disk, and the world is as it says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.lockfile import Lockfile
from reconciler.observe import as_recorded
from reconciler.plan import plan
from reconciler.planning import plan_unrefreshed
from reconciler.records import Records
from reconciler.state import (
    DeclaredTemplate,
    DesiredState,
    ObservedState,
    Output,
    Record,
    StoredObject,
    Submission,
    TemplateRecord,
)
from tests.factory import output, record

A = output("a", "in/x.mp4", "in/y.mp4")
B = output("b", "in/x.mp4", video={"crf": 30})
HD = DeclaredTemplate("transcode_template.hd", "Transcode", "hd", {"video": {"width": 1280}})


def write(folder: Path, records: Mapping[str, Record], *, begun: Submission | None = None, kept: bool = False) -> None:
    async def written() -> None:
        lockfile = Lockfile.load(folder / "reconciler.lock", folder / "journal")
        await lockfile.begin()
        for address, held in records.items():
            await lockfile.done(address, held)
        if kept:
            await lockfile.keep_template(HD.address, TemplateRecord("t1", HD.tag, HD.name, HD.content, HD.content))
        await lockfile.checkpoint()
        if begun is not None:
            await lockfile.intend(begun)
        lockfile.close()

    asyncio.run(written())


def read(folder: Path, *, inputs: bool = True) -> Lockfile:
    return Lockfile.load(folder / "reconciler.lock", folder / "journal", inputs=inputs)


def decided(folder: Path, *outputs: Output, inputs: bool = True) -> dict[str, tuple[str, str]]:
    """Return kind and reason by address."""
    desired = DesiredState({declared.address: declared for declared in outputs})
    made, observed = plan_unrefreshed(read(folder, inputs=inputs), desired)
    assert not made.refreshed
    assert not observed.refreshed
    return {action.address: (action.kind, action.reason) for action in made.everything}


@pytest.mark.parametrize("inputs", [True, False])
def test_each_record_is_compared_with_its_own_inputs(tmp_path: Path, inputs: bool) -> None:
    """The source was replaced between the two: nobody asks which of them it is now."""
    write(tmp_path, {"a": record(A, {"in/x.mp4": "1", "in/y.mp4": "2"}), "b": record(B, {"in/x.mp4": "3"})})
    assert decided(tmp_path, A, B, inputs=inputs) == {"a": ("none", "up to date"), "b": ("none", "up to date")}


def test_a_glance_has_inputs_only_where_they_are_compared(tmp_path: Path) -> None:
    held = record(A, {"in/x.mp4": "1", "in/y.mp4": "2"})
    write(tmp_path, {"a": held})
    assert read(tmp_path).glances["a"].inputs == held.inputs
    assert read(tmp_path, inputs=False).glances["a"].inputs is None


def test_what_is_up_to_date_is_not_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a": record(A, {"in/x.mp4": "1", "in/y.mp4": "2"}), "b": record(B, {"in/x.mp4": "1"})})
    lockfile = read(tmp_path)

    def refuse(self: Records, address: str) -> Record:
        raise AssertionError(address)

    monkeypatch.setattr(Records, "__getitem__", refuse)
    made, _ = plan_unrefreshed(lockfile, DesiredState({"a": A, "b": B}))
    assert made.empty


@pytest.mark.parametrize(
    ("agreed", "found"),
    [("1", ("reuse", "not made yet; out/b.mp4 (b) has the same content")), ("2", ("create", "not made yet"))],
)
def test_a_new_output_reads_what_all_records_say_of_a_source(
    tmp_path: Path, agreed: str, found: tuple[str, str]
) -> None:
    write(tmp_path, {"a": record(A, {"in/x.mp4": agreed, "in/y.mp4": "2"}), "b": record(B, {"in/x.mp4": "1"})})
    twin = output("c", "in/x.mp4", video={"crf": 30})
    assert decided(tmp_path, A, B, twin)["c"] == found


def test_an_output_made_of_another_follows_its_record(tmp_path: Path) -> None:
    upper = output("upper", "out/b.mp4", upstream=("b",))
    below = record(B, {"in/x.mp4": "1"}, etag="new")
    write(tmp_path, {"b": below, "upper": record(upper, {"out/b.mp4": "new"})})
    assert decided(tmp_path, B, upper)["upper"] == ("none", "up to date")
    write(tmp_path, {"upper": record(upper, {"out/b.mp4": "old"})})
    assert decided(tmp_path, B, upper)["upper"] == ("replace", "out/b.mp4 changed")


def test_what_was_begun_is_waited_for_whatever_became_of_it(tmp_path: Path) -> None:
    held = record(A, {"in/x.mp4": "1", "in/y.mp4": "2"})
    begun = Submission("a", "token", "2:other", A.object, held.request, held.inputs, "2026-05-01T10:00:00+00:00")
    write(tmp_path, {"a": held}, begun=begun)
    assert decided(tmp_path, A, B) == {"a": ("wait", "its job was begun"), "b": ("create", "not made yet")}
    assert decided(tmp_path, B)["a"] == ("none", "no longer declared; kept, as prune is off")


def test_templates_are_as_recorded(tmp_path: Path) -> None:
    write(tmp_path, {}, kept=True)
    other = replace(HD, content={"video": {"width": 640}})
    for template, kind in ((HD, "none"), (other, "update")):
        made, _ = plan_unrefreshed(read(tmp_path), DesiredState({}, templates={HD.address: template}))
        assert [action.kind for action in made.templates] == [kind]


def test_the_world_as_recorded_plans_as_the_same_world_seen(tmp_path: Path) -> None:
    """Where nothing was changed outside, asking makes no difference."""
    records = {"a": record(A, {"in/x.mp4": "1", "in/y.mp4": "2"}, size=5), "b": record(B, {"in/x.mp4": "1"}, size=7)}
    write(tmp_path, records)
    seen = {"in/x.mp4": StoredObject("1", 9), "in/y.mp4": StoredObject("2", 9)}
    seen |= {held.object: StoredObject(held.etag, held.size or 0) for held in records.values()}
    trusted = as_recorded(read(tmp_path))
    assert dict(trusted.objects).keys() == seen.keys()
    assert len(trusted.objects) == len(seen)
    for outputs in ({"a": A}, {"b": replace(B, object="out/other.mp4"), "a": A}, {"a": output("a", "in/y.mp4")}):
        for prune in (False, True):
            unseen = plan(DesiredState(outputs), trusted, prune=prune)
            asked = plan(DesiredState(outputs), ObservedState(seen, read(tmp_path).records), prune=prune)
            assert replace(unseen, refreshed=True) == asked
