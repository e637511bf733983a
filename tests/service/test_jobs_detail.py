"""How jobs are told: the echo of what was asked for, the results, and what was done that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import xml
from reconciler.api.media import Format, MediaInfo, MediaResult, OutputFile
from reconciler.api.messages import Job, JobOperation, JobRequest, Operation
from reconciler.api.watermark import DigitalWatermark
from reconciler.service.jobs_detail import jobs_detail, wire_time
from reconciler.service.queue import StoredJob
from reconciler.service.rendering import Rendered, Work
from tests.service.harness import Studio, drop, operation, running

INFO = MediaInfo(format=Format(size=7))
RESULT = MediaResult(output_file=OutputFile(bucket="b-1", object_name=("out/x.mp4",)))
DONE = StoredJob(
    number=1,
    id="j" + "0" * 32,
    bucket="b-1",
    queue="p" + "0" * 32,
    tag="VideoSynthesis",
    request="",
    priority=0,
    state="Success",
    attempt=1,
    progress=100,
    created_at=1777600800,
    started_at=1777600802,
    ended_at=1777600820,
    code=None,
    message=None,
    media_info=xml.write(INFO, "MediaInfo").decode(),
    media_result=xml.write(RESULT, "MediaResult").decode(),
    resolved=None,
    engine="ffmpeg 7.1 <lts>, 2 threads",
    notes=None,
)


def stored(asked: Operation, **request: str) -> str:
    return xml.write(JobRequest(operation=(asked,), **request), "Request").decode()


def told(job: StoredJob) -> Job:
    return xml.read(Job, jobs_detail(job).encode(), "JobsDetail")


def test_a_finished_job_is_told_with_its_results() -> None:
    asked = operation("a", user_data="order-17")
    assert told(DONE._replace(request=stored(asked))) == Job(
        code="Success",
        job_id=DONE.id,
        state="Success",
        progress=100,
        creation_time="2026-05-01T10:00:00+0800",
        start_time="2026-05-01T10:00:02+0800",
        end_time="2026-05-01T10:00:20+0800",
        queue_id=DONE.queue,
        tag="VideoSynthesis",
        engine=DONE.engine,
        operation=JobOperation(**dict(asked), media_info=INFO, media_result=RESULT),
    )


def test_a_finished_job_tells_which_ffmpeg_made_it() -> None:
    text = jobs_detail(DONE._replace(request=stored(operation("a"))))
    assert text.endswith("</Operation><Engine>ffmpeg 7.1 &lt;lts&gt;, 2 threads</Engine></JobsDetail>")
    assert "<Engine>" not in jobs_detail(DONE._replace(request=stored(operation("a")), engine=None))


def test_what_was_done_to_the_sources_of_a_finished_job_is_its_message() -> None:
    job = DONE._replace(request=stored(operation("a")), notes="in/a.mp4 is HDR & was converted")
    assert (told(job).code, told(job).message) == ("Success", "in/a.mp4 is HDR & was converted")


@pytest.mark.parametrize(
    ("state", "message", "notes", "told_as"),
    [
        ("Success", None, None, None),
        ("Success", None, "in/a.mp4 is HDR", "in/a.mp4 is HDR"),
        ("Failed", "no room", None, "no room"),
        ("Failed", "no room", "in/a.mp4 is HDR", "no room"),
    ],
)
def test_why_a_job_failed_comes_before_what_was_done(
    state: str, message: str | None, notes: str | None, told_as: str | None
) -> None:
    job = DONE._replace(request=stored(operation("a")), state=state, message=message, notes=notes)
    assert told(job).message == told_as


class Noting(Studio):
    """A renderer that has something to say of its sources."""

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        made = await super().__call__(work, sources, folder, on_progress)
        return replace(made, notes=("one is HDR", "two is interlaced"))


def test_notes_reach_whoever_asks(tmp_path: Path) -> None:
    drop(tmp_path, "in/a.mp4")

    async def main() -> None:
        async with running(tmp_path, render=Noting()) as caller:
            noted, same = await caller.submit(*(operation("in/a.mp4", user_data=number) for number in "12"))
            done = await caller.until(noted.job_id)
            assert (done.state, done.code, done.engine) == ("Success", "Success", "a studio")
            assert done.message == "one is HDR; two is interlaced"
            assert (noted.message, noted.engine) == (None, None)
            assert (await caller.until(same.job_id)).message == done.message

    asyncio.run(main())


MARK = DigitalWatermark(message="demo", type="Text", version="V1", ignore_error=True)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [("Submitted", None), ("Running", None), ("Success", "Failed"), ("Failed", None), ("Cancel", None)],
)
def test_a_finished_job_went_on_without_its_digital_watermark(state: str, wanted: str | None) -> None:
    found = told(DONE._replace(request=stored(operation("a", digital_watermark=MARK)), state=state)).operation
    assert found is not None
    assert found.digital_watermark == MARK.model_copy(update={"state": wanted})


def test_only_a_digital_watermark_has_such_a_state() -> None:
    asked = operation("a", user_data="</DigitalWatermark>")
    found = told(DONE._replace(request=stored(asked))).operation
    assert found is not None
    assert (found.digital_watermark, found.user_data) == (None, "</DigitalWatermark>")
    marked = told(
        DONE._replace(request=stored(operation("a", digital_watermark=MARK, user_data="</DigitalWatermark>")))
    )
    assert marked.operation is not None
    assert marked.operation.digital_watermark == MARK.model_copy(update={"state": "Failed"})


def test_the_echo_is_what_was_asked_for_not_what_is_rendered() -> None:
    asked = operation("a", transcode=None, transcode_template_id="t1x")
    job = DONE._replace(request=stored(asked), resolved=stored(operation("a")))
    found = told(job).operation
    assert found is not None
    assert (found.transcode_template_id, found.transcode) == ("t1x", None)


def test_a_failed_job_has_its_code_and_message_and_no_results() -> None:
    job = DONE._replace(
        request=stored(operation("a")),
        state="Failed",
        progress=30,
        code="NoSuchKey",
        message="there is no object `<a>&\x01`",
        media_info=None,
        media_result=None,
    )
    found = told(job)
    assert (found.code, found.message, found.progress) == ("NoSuchKey", "there is no object `<a>&\ufffd`", 30)
    assert found.operation is not None
    assert found.operation.media_info is None


def test_what_has_not_happened_yet_is_a_dash() -> None:
    assert wire_time(None) == "-"
    assert wire_time(0) == "1970-01-01T08:00:00+0800"


@given(st.text())
def test_no_text_of_a_request_can_be_taken_for_its_operation(text: str) -> None:
    asked = operation("a", user_data=f"</Operation><Operation>{text}")
    job = DONE._replace(request=stored(asked, call_back=f"<Operation>{text}</Operation>"))
    found = told(job).operation
    assert found is not None
    assert (found.user_data or "").startswith("</Operation><Operation>")
    assert found.output == asked.output
