"""What past jobs prove of declared outputs, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.api.messages import Operation
from reconciler.fingerprint import earlier_fingerprints, fingerprint
from reconciler.plan import plan
from reconciler.recover import Recovered, adopt, recover
from reconciler.state import (
    DeclaredTemplate,
    DesiredState,
    LiveJob,
    ObservedState,
    Output,
    PastJob,
    Record,
    StoredObject,
    StoredTemplate,
    Submission,
    TemplateRecord,
    request_keys,
)
from tests.factory import output, record
from tests.simulation import send

SOURCE = StoredObject("source", 9)
MADE = StoredObject("made", 7)
TIMES = {"created": "2026-05-01T10:00:00+00:00", "finished": "2026-05-01T10:00:09+00:00"}


def past(of: Output, job: str = "j1", state: str = "Success", **fields: Any) -> PastJob:
    """Return the job that made an output of sources with the ETag of SOURCE, as the service tells of it."""
    keys = request_keys(of)
    mark = fields.pop("fingerprint", fingerprint(keys, dict.fromkeys(of.sources, SOURCE.etag)))
    token = fields.pop("token", f"reconciler:{mark}:{job.encode().hex():0>16}")
    asked = send(keys).operation[0]
    operation = Operation(**{**dict(asked), "user_data": f"{asked.user_data or ''} {token}".strip()})
    return PastJob(
        job=job,
        state=state,
        token=token,
        fingerprint=mark,
        declared=asked.output.object,
        **{"key": of.object, "md5": MADE.etag, "size": MADE.size, "operation": operation, **TIMES, **fields},
    )


def name(url: str) -> str:
    return url.rpartition(".myqcloud.com/")[2]


def seen(*jobs: PastJob, objects: dict[str, StoredObject] | None = None, **fields: Any) -> ObservedState:
    """Return a world with the source of ``a``, what it was made into, and these jobs, newest first."""
    return ObservedState(
        objects or {"in/a.mp4": SOURCE, "out/a.mp4": MADE}, fields.pop("records", {}), history=jobs, **fields
    )


def found(observed: ObservedState, *declared: Output) -> Recovered:
    return recover(desired(*declared), observed, name=name)


def desired(*declared: Output) -> DesiredState:
    return DesiredState({one.address: one for one in declared or (output("a"),)})


def only(recovered: Recovered) -> Record:
    (proven,) = recovered.proven.values()
    return proven.record


# What is proven.


def test_what_is_declared_is_recorded_as_if_it_had_just_been_made() -> None:
    recovered = found(seen(past(output("a"))))
    assert only(recovered) == record(output("a"), {"in/a.mp4": "source"}, job="j1", size=7, **TIMES)
    assert recovered.proven["a"].current
    assert recovered.strangers == ()


def test_plan_is_empty_then() -> None:
    observed = seen(past(output("a")))
    assert plan(desired(), replace(observed, records={"a": only(found(observed))})).empty


def test_protection_comes_from_the_manifest() -> None:
    assert only(found(seen(past(output("a"))), output("a", protect=True))).protect


def test_a_job_of_an_earlier_version_proves_the_same() -> None:
    inputs = {"in/a.mp4": "source"}
    (earlier,) = earlier_fingerprints(request_keys(output("a")), inputs)
    assert only(found(seen(past(output("a"), fingerprint=earlier)))) == record(
        output("a"), inputs, job="j1", size=7, **TIMES
    )


def test_of_what_was_declared_otherwise_the_request_of_its_job_is_recorded() -> None:
    before = output("a", video={"width": 320})
    observed = seen(past(before))
    recovered = found(observed)
    assert only(recovered) == record(before, {"in/a.mp4": "source"}, job="j1", size=7, **TIMES)
    assert not recovered.proven["a"].current
    (action,) = plan(desired(), replace(observed, records={"a": only(recovered)})).actions
    assert (action.kind, action.reason) == ("replace", "transcode.video.width: 320 → 640")


def test_of_sources_that_changed_since_it_is_not_known_what_they_held() -> None:
    observed = seen(past(output("a")), objects={"in/a.mp4": StoredObject("other", 9), "out/a.mp4": MADE})
    made = only(found(observed))
    assert (made.inputs, made.request) == ({}, request_keys(output("a")))
    assert made.fingerprint == past(output("a")).fingerprint
    assert [action.kind for action in plan(desired(), replace(observed, records={"a": made})).actions] == ["replace"]


def test_a_person_keeps_their_own_user_data() -> None:
    own = output("a", video={"width": 320})
    request = own.request.operation[0].model_copy(update={"user_data": "order 17"})
    own = replace(own, request=own.request.model_copy(update={"operation": (request,)}))
    assert only(found(seen(past(own)))).request["operation"][0]["user_data"] == "order 17"


def test_the_key_of_a_job_with_its_id_in_it() -> None:
    declared = output("a", key="out/${jobid}.mp4")
    objects = {"in/a.mp4": SOURCE, "out/j1.mp4": MADE}
    made = only(found(seen(past(declared, key="out/j1.mp4"), objects=objects), declared))
    assert (made.object, made.request) == ("out/j1.mp4", request_keys(declared))


def test_the_segments_of_a_playlist_belong_to_it() -> None:
    assert only(found(seen(past(output("a"), files=("out/a0.ts",))))).files == ("out/a0.ts",)


def test_the_newest_job_whose_object_is_there_counts() -> None:
    older, newer = past(output("a"), "j1"), past(output("a"), "j2", md5="gone since")
    assert only(found(seen(newer, older))).job == "j1"


def test_of_an_object_stored_in_parts_the_size_of_the_newest_tells() -> None:
    objects = {"in/a.mp4": SOURCE, "out/a.mp4": StoredObject("made-2", 7)}
    assert only(found(seen(past(output("a")), objects=objects))).etag == "made-2"
    assert found(seen(past(output("a"), size=8), objects=objects)).unproven == {"a": "out/a.mp4"}


def test_a_copy_is_proven_by_the_job_of_its_original() -> None:
    original = output("b", "in/a.mp4", key="out/b.mp4")
    recovered = found(seen(past(original, files=("x.ts",))))
    assert only(recovered) == record(output("a"), {"in/a.mp4": "source"}, job="j1", size=7, **TIMES)


# What is not.


@pytest.mark.parametrize(
    "job",
    [
        past(output("a"), md5="other"),
        past(output("a"), md5=None),
        past(output("a"), state="Failed"),
        past(output("a"), state="Cancel"),
        past(output("b", video={"width": 320})),
    ],
)
def test_an_object_without_its_job_is_told(job: PastJob) -> None:
    recovered = found(seen(job))
    assert (recovered.proven, recovered.unproven) == ({}, {"a": "out/a.mp4"})


def test_what_is_not_there_is_not_told() -> None:
    assert found(seen(past(output("a")), objects={"in/a.mp4": SOURCE})) == Recovered()


def test_records_stay() -> None:
    there = record(output("a"), {"in/a.mp4": "earlier"}, etag="earlier")
    assert found(seen(past(output("a")), records={"a": there})) == Recovered()


def test_what_jobs_made_for_others_is_told_and_not_recorded() -> None:
    others = [past(output(name), name) for name in ("c", "b", "gone")]
    objects = {"in/a.mp4": SOURCE, "out/b.mp4": MADE, "out/c.mp4": MADE, "out/d.mp4": MADE}
    kept = {"e": record(output("d"), {})}
    recovered = found(seen(*others, past(output("d")), objects=objects, records=kept))
    assert recovered == Recovered(strangers=("out/b.mp4", "out/c.mp4"))


# Templates.


HELD: dict[str, Any] = {"container": {"format": "mp4"}, "video": {"width": 640, "height": 360}}
MARK = {"type": "Text", "text": {"text": "x"}}
SMALL = DeclaredTemplate("transcode_template.small", "Transcode", "small", {})


def named(of: Output, **templates: Any) -> PastJob:
    """Return the job of an output that was submitted with the ids of templates in the place of what they hold."""
    job = past(of)
    assert job.operation is not None
    return replace(job, operation=job.operation.model_copy(update=templates))


def test_what_a_template_held_is_part_of_the_request() -> None:
    before = output("a", video={"crf": 30})
    held = {**HELD, "video": {**HELD["video"], "crf": 30}}
    job = named(before, transcode=None, transcode_template_id="t1")
    observed = seen(job, templates=(StoredTemplate("t1", "Transcode", "small", held),))
    assert only(found(observed)) == record(before, {"in/a.mp4": "source"}, job="j1", size=7, **TIMES)


@pytest.mark.parametrize(("templates", "expected"), [(("transcode_template.small",), HELD), ((), None)])
def test_what_it_held_then_is_not_known_when_nothing_fits(templates: tuple[str, ...], expected: object) -> None:
    job = replace(
        named(output("a", templates=templates), transcode=None, transcode_template_id="t1"), fingerprint="2:0"
    )
    observed = seen(job, templates=(StoredTemplate("t1", "Transcode", "small", HELD),))
    made = only(found(observed, output("a", templates=templates)))
    operation = made.request["operation"][0]
    assert (operation.get("transcode"), operation.get("transcode_template_id")) == (
        expected,
        None if expected else "t1",
    )
    assert made.inputs == {}


def test_watermarks_that_templates_held_are_put_back() -> None:
    job = replace(named(output("a", templates=("w",)), watermark_template_id=("t2", "t2")), fingerprint="2:0")
    observed = seen(job, templates=(StoredTemplate("t2", "Watermark", "mark", MARK),))
    operation = only(found(observed, output("a", templates=("w",)))).request["operation"][0]
    assert operation["watermark"] == [MARK, MARK]
    assert "watermark_template_id" not in operation


def test_a_template_that_our_jobs_named_is_recorded_as_the_service_has_it() -> None:
    job = named(output("a"), transcode=None, transcode_template_id="t1")
    stored = [StoredTemplate(f"t{number}", "Transcode", "small", HELD) for number in range(3)]
    world = replace(seen(job), templates=tuple(stored))
    state = DesiredState({}, templates={SMALL.address: SMALL})
    expected = TemplateRecord("t1", "Transcode", "small", HELD, HELD, adopted=True)
    assert recover(state, world, name=name).templates == {SMALL.address: expected}
    assert recover(state, replace(world, template_records={SMALL.address: expected}), name=name).templates == {}
    assert recover(state, replace(world, history=()), name=name).templates == {}


# Jobs at work.


@pytest.mark.parametrize("state", ["Submitted", "Running", "Pause"])
def test_a_job_at_work_becomes_a_submission(state: str) -> None:
    job = past(output("a"), state=state)
    (live,) = found(seen(job, objects={"in/a.mp4": SOURCE})).live.values()
    assert (live.state, live.current) == (state, True)
    assert live.submission == Submission(
        address="a",
        token=job.token,
        fingerprint=job.fingerprint,
        object="out/a.mp4",
        request=request_keys(output("a")),
        inputs={"in/a.mp4": "source"},
        time=TIMES["created"],
        job="j1",
    )


def test_a_job_at_work_on_an_earlier_version_is_waited_for_too() -> None:
    before = output("a", video={"width": 320})
    observed = seen(past(before, "j2", state="Running"), past(before, "j1"))
    recovered = found(observed)
    live = recovered.live["a"]
    assert (live.current, live.submission.request) == (False, request_keys(before))
    assert only(recovered).job == "j1"
    world = replace(
        observed,
        records={"a": only(recovered)},
        pending={"a": live.submission},
        jobs={"a": LiveJob("j2", "Running")},
    )
    (action,) = plan(desired(), world).actions
    assert (action.kind, action.reason, action.job) == ("replace", "job j2 for an earlier version is Running", "j2")


def test_what_was_begun_stays() -> None:
    job = past(output("a"), state="Running")
    begun = {"a": found(seen(job)).live["a"].submission}
    assert found(seen(job, objects={"in/a.mp4": SOURCE}, pending=begun)) == Recovered()


def test_a_job_that_does_not_tell_its_time_is_looked_for_since_ever() -> None:
    job = past(output("a"), state="Running", created=None)
    assert found(seen(job)).live["a"].submission.time == "1970-01-01T00:00:00+00:00"


def test_two_jobs_of_one_submission_are_told() -> None:
    token = past(output("a")).token
    twins = [past(output("a"), name, state="Running", token=token) for name in ("j2", "j1")]
    recovered = found(seen(*twins))
    assert recovered.twins == {token: ("j1", "j2")}
    assert (recovered.live["a"].submission.job, recovered.live["a"].submission.sends) == ("j2", 2)
    parted = found(seen(twins[0], replace(twins[1], state="Cancel")))
    assert (parted.twins, parted.live["a"].submission.sends) == ({}, 1)


# Because a person says so.


NOW = "2026-05-02T10:00:00+00:00"


def test_whatever_is_there_is_adopted() -> None:
    expected = record(output("a"), {"in/a.mp4": "source"}, size=7, finished=NOW)
    assert adopt(output("a"), seen(), now=NOW) == expected


def test_drift_is_adopted_and_what_is_recorded_so_is_not() -> None:
    there = record(output("a"), {"in/a.mp4": "source"}, etag="before", job="j1")
    adopted = adopt(output("a"), seen(records={"a": there}), now=NOW)
    assert isinstance(adopted, Record)
    assert (adopted.etag, adopted.job) == ("made", None)
    assert adopt(output("a"), seen(records={"a": adopted}), now=NOW) == "is recorded like this already"


def test_the_object_of_a_key_with_the_id_of_its_job_is_that_of_the_record() -> None:
    declared = output("a", key="out/${jobid}.mp4")
    objects = {"in/a.mp4": SOURCE, "out/j1.mp4": MADE}
    reason = adopt(declared, seen(objects=objects), now=NOW)
    assert reason == "which object is meant is not known: its key, out/${jobid}.mp4, is made of the id of its job"
    there = record(declared, {"in/a.mp4": "source"}, etag="before", object="out/j1.mp4")
    adopted = adopt(declared, seen(objects=objects, records={"a": there}), now=NOW)
    assert isinstance(adopted, Record)
    assert (adopted.object, adopted.etag) == ("out/j1.mp4", "made")


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ({"in/a.mp4": SOURCE}, "there is no object out/a.mp4"),
        ({"out/a.mp4": MADE}, "in/a.mp4, which it is made of, is missing"),
    ],
)
def test_what_is_missing_cannot_be_adopted(objects: dict[str, StoredObject], reason: str) -> None:
    assert adopt(output("a"), seen(objects=objects), now=NOW) == reason


@pytest.mark.parametrize(
    ("job", "live", "reason"),
    [
        (None, None, "its submission was interrupted; apply settles that"),
        ("j1", LiveJob("j1", "Running"), "its job j1 is Running; wait for it, or cancel it"),
        ("j1", LiveJob("j1", "Success"), "its job j1 ended as Success; apply records that"),
    ],
)
def test_what_is_under_way_cannot_be_adopted(job: str | None, live: LiveJob | None, reason: str) -> None:
    begun = replace(found(seen(past(output("a"), state="Running"))).live["a"].submission, job=job)
    observed = seen(pending={"a": begun}, jobs={"a": live} if live else {})
    assert adopt(output("a"), observed, now=NOW) == reason


def test_a_job_that_the_service_does_not_know_is_in_nobody_s_way() -> None:
    begun = found(seen(past(output("a"), state="Running"))).live["a"].submission
    assert isinstance(adopt(output("a"), seen(pending={"a": begun}), now=NOW), Record)
