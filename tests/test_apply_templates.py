"""Templates on the service: written once whatever happens, before what names them; deleted after everything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.apply import Pace
from reconciler.errors import ApplyError, Interrupted
from reconciler.lockfile import Lockfile
from reconciler.state import DeclaredTemplate, DesiredState
from tests.factory import operation, output
from tests.simulation import Crash, World, plan_once, run_once

HD = operation()["transcode"]
ADDRESS, LOGO = "transcode_template.hd", "watermark_template.logo"
MARK = {"type": "Text", "text": {"text": "hello"}}


def desired(content: Any = HD, *, marked: bool = False, **video: Any) -> DesiredState:
    content = {**content, "video": {**content["video"], **video}}
    templates = {ADDRESS: DeclaredTemplate(ADDRESS, "Transcode", "hd", content)}
    a, b = output("a", templates=(ADDRESS,), video=video), output("b", video=video)
    if marked:
        templates[LOGO] = DeclaredTemplate(LOGO, "Watermark", "logo", MARK)
        plain = a.request.plain()
        plain["operation"][0]["watermark"] = [MARK]
        a = replace(a, request=type(a.request).model_validate(plain), templates=(ADDRESS, LOGO))
    return DesiredState({"a": a, "b": b}, templates=templates)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"in/a.mp4": "ea", "in/b.mp4": "eb"})


def sent(world: World, key: str) -> Any:
    (job,) = (job for job in world.jobs.values() if job["request"].operation[0].output.object == key)
    return job["sent"].operation[0]


def recorded(world: World) -> Lockfile:
    return Lockfile.load(world.folder / "reconciler.lock", world.folder / "state" / "journal")


def settled(world: World, wanted: DesiredState, **options: Any) -> bool:
    world.revive()
    return asyncio.run(plan_once(world, wanted, **options))[0].empty


def test_what_names_a_template_is_sent_with_its_id_and_the_rest_inline(world: World) -> None:
    report = run_once(world, desired(marked=True))
    assert report.templates == {ADDRESS: "create", LOGO: "create"}
    assert sent(world, "out/a.mp4").transcode_template_id == f"t1{1:032x}"
    assert sent(world, "out/a.mp4").watermark_template_id == (f"t1{2:032x}",)
    assert sent(world, "out/a.mp4").transcode is sent(world, "out/a.mp4").watermark is None
    assert sent(world, "out/b.mp4").transcode_template_id is None
    assert recorded(world).records["a"].request["operation"][0]["transcode"] == HD
    assert settled(world, desired(marked=True))


def test_a_changed_template_is_updated_and_what_uses_it_is_made_anew(world: World) -> None:
    run_once(world, desired())
    report = run_once(world, replace(desired(), templates=desired(fps=30).templates, outputs=desired(fps=30).outputs))
    assert (report.templates, report.counts) == ({ADDRESS: "update"}, {"replace": 2})
    assert world.templates_made == 1
    assert world.templates[f"t1{1:032x}"].trans_tpl == Transcode.model_validate(
        {**HD, "video": {**HD["video"], "fps": 30}}
    )
    assert settled(world, desired(fps=30))


def test_a_template_changed_outside_is_put_back_and_nothing_is_made_anew(world: World) -> None:
    run_once(world, desired())
    name = f"t1{1:032x}"
    before = world.templates[name]
    world.keep(name, TemplateRequest.of("hd", Transcode.model_validate({"container": {"format": "mp4"}})))
    report = run_once(world, desired())
    assert (report.templates, report.counts) == ({ADDRESS: "update"}, {})
    assert world.templates[name] == before
    assert settled(world, desired())


def test_a_template_that_vanished_is_made_again(world: World) -> None:
    run_once(world, desired())
    world.templates.clear()
    assert run_once(world, desired()).templates == {ADDRESS: "create"}
    assert recorded(world).templates[ADDRESS].id == f"t1{2:032x}"


def test_pruning_deletes_it_after_everything_else(world: World) -> None:
    run_once(world, desired())
    order: list[str] = []
    world.on_effect = order.append
    bare = replace(desired(), templates={}, outputs={"b": desired().outputs["b"]})
    report = run_once(world, bare, prune=True)
    assert (report.templates, report.counts) == ({ADDRESS: "delete"}, {"delete": 1})
    assert order.index("delete_object: after") < order.index("delete_template: before")
    assert (world.templates, recorded(world).templates) == ({}, {})


def test_an_update_that_is_not_declared_any_more_is_only_forgotten_when_it_is_gone(world: World) -> None:
    run_once(world, desired())
    world.templates.clear()
    bare = replace(desired(), templates={}, outputs={"b": desired().outputs["b"]})
    assert run_once(world, bare).templates == {ADDRESS: "forget"}


def test_a_lost_answer_is_settled_by_name_and_content(world: World) -> None:
    world.lose_template_answers = 1
    report = run_once(world, desired())
    assert (report.failures, world.templates_made) == ({}, 1)
    assert settled(world, desired())


def test_what_names_a_template_that_was_refused_is_not_begun(world: World) -> None:
    world.refuse_templates = True
    with pytest.raises(ApplyError, match="1 output could not be made, 1 template could not be kept"):
        run_once(world, desired())
    assert list(world.objects) == ["in/a.mp4", "in/b.mp4", "out/b.mp4"]
    failure = recorded(world).failures["a"]
    assert (failure.code, failure.message) == (
        "NoSuchTemplate",
        "not begun: transcode_template.hd could not be written",
    )


def test_a_submission_in_doubt_stays_in_doubt_when_its_template_cannot_be_written(world: World) -> None:
    one = replace(desired(), outputs={"a": desired().outputs["a"]})
    world.on_effect = lambda what: setattr(world, "crash_at", world.effects if what == "submit: accepted" else None)
    with pytest.raises(Crash):
        run_once(world, one)
    world.revive()
    world.on_effect = lambda _: None
    world.templates.clear()
    world.refuse_templates, world.visible_after = True, timedelta(seconds=100)
    with pytest.raises(ApplyError):
        run_once(world, one)
    assert recorded(world).pending.keys() == {"a"}
    world.refuse_templates = False
    run_once(world, one)
    assert len(world.jobs) == 1


def test_a_stop_ends_the_writing_and_the_deleting(world: World) -> None:
    stop = asyncio.Event()
    world.on_effect = lambda what: (
        stop.set() if what.startswith(("create_template: after", "delete_template")) else None
    )
    with pytest.raises(Interrupted):
        run_once(world, desired(marked=True), stop=stop)
    assert (world.templates_made, world.jobs) == (1, {})
    assert recorded(world).templates.keys() == {ADDRESS}
    world.on_effect = lambda _: None
    run_once(world, desired(marked=True))
    stop.clear()
    world.on_effect = lambda what: stop.set() if what == "delete_template: after" else None
    bare = replace(desired(), templates={}, outputs={"b": desired().outputs["b"]})
    with pytest.raises(Interrupted):
        run_once(world, bare, prune=True, stop=stop)
    assert recorded(world).templates.keys() == {LOGO}


def test_with_fail_fast_nothing_is_begun_after_a_template_that_was_refused(world: World) -> None:
    world.refuse_templates = True
    with pytest.raises(ApplyError):
        run_once(world, replace(desired(), outputs={"b": desired().outputs["b"]}), pace=Pace(fail_fast=True))
    assert not world.jobs


def test_a_template_that_was_there_before_us_outlives_its_entry(world: World) -> None:
    world.keep("t1other", TemplateRequest.of("hd", Transcode.model_validate(HD)))
    assert run_once(world, desired()).templates == {ADDRESS: "adopt"}
    assert run_once(world, desired(fps=30)).templates == {ADDRESS: "update"}
    bare = replace(desired(fps=30), templates={})
    assert run_once(world, bare, prune=True).templates == {ADDRESS: "forget"}
    assert list(world.templates) == ["t1other"]
    assert recorded(world).templates == {}


def test_a_template_that_changed_since_the_plan_is_not_deleted(world: World) -> None:
    run_once(world, desired())
    other = TemplateRequest.of("hd", Transcode.model_validate({"container": {"format": "mp4"}}))

    def meddle(what: str) -> None:
        if what == "delete_object: after":
            world.keep(f"t1{1:032x}", other)

    world.on_effect = meddle
    bare = replace(desired(), templates={}, outputs={"b": desired().outputs["b"]})
    with pytest.raises(ApplyError, match="1 template could not be kept"):
        run_once(world, bare, prune=True)
    assert world.templates.keys() == {f"t1{1:032x}"}
    assert recorded(world).templates.keys() == {ADDRESS}


def test_a_conflict_fails_the_run_and_changes_nothing_on_the_service(world: World) -> None:
    other = world.keep("t1other", TemplateRequest.of("hd", Transcode.model_validate({"container": {"format": "mp4"}})))
    with pytest.raises(ApplyError):
        run_once(world, desired())
    assert world.templates == {"t1other": other}
    assert "out/a.mp4" not in world.objects


@pytest.mark.parametrize("gone", [False, True])
def test_a_template_that_changes_during_the_run_fails_it(world: World, gone: bool) -> None:
    other = TemplateRequest.of("hd", Transcode.model_validate({"container": {"format": "mp4"}}))

    def meddle(what: str) -> None:
        if what == "submit: accepted":
            world.keep(f"t1{1:032x}", other)
            if gone:
                world.templates.clear()

    world.on_effect = meddle
    with pytest.raises(ApplyError, match="1 template could not be kept"):
        run_once(world, desired())


def test_every_effect_is_a_crash_point_and_one_template_stays_one(world: World) -> None:
    point = 0
    while True:
        point += 1
        fresh = World(world.folder / str(point), {"in/a.mp4": "ea", "in/b.mp4": "eb"})
        fresh.folder.mkdir()
        fresh.crash_at = point
        try:
            run_once(fresh, desired(marked=True))
        except Crash:
            fresh.revive()
            run_once(fresh, desired(marked=True))
        else:
            break
        assert fresh.templates_made == 2, f"crash point {point}"
        assert {key: len(fresh.jobs_of(key)) for key in ("out/a.mp4", "out/b.mp4")} == {"out/a.mp4": 1, "out/b.mp4": 1}
        assert settled(fresh, desired(marked=True)), f"crash point {point}"
    assert point > 30
