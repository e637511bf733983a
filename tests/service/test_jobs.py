from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.templates import TemplateReply, TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.service.rendering import Rendered, Work
from tests.service.harness import BUCKET, CI, COS, Studio, drop, error, jobs, operation, running

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0800")


def changed(operation: Operation, path: str, value: Any) -> Operation:
    """Return an operation with one node changed or, by None, taken away."""
    keys = operation.plain()
    node: Any = keys
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        node = node[step]
    node[last] = value
    return Operation.model_validate(keys)


def test_a_submission_is_told_as_it_came(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, render=Studio(held=True)) as caller:
            asked = operation(
                "in/a.mp4",
                user_data=" order 17 ",
                job_level=1,
                digital_watermark={"message": "x", "type": "Text", "version": "V1", "ignore_error": True},
            )
            (job,) = await caller.submit(asked, call_back="no")
            assert (job.code, job.message, job.state, job.progress, job.tag) == (
                "Success",
                None,
                "Submitted",
                0,
                "VideoSynthesis",
            )
            assert TIME.fullmatch(job.creation_time or "")
            assert (job.start_time, job.end_time) == ("-", "-")
            assert re.fullmatch("p[0-9a-f]{32}", job.queue_id or "")
            assert job.operation is not None
            assert job.operation.plain() == asked.plain()

    asyncio.run(main())


def test_several_operations_are_several_jobs_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, render=Studio(held=True)) as caller:
            made = await caller.submit(*(operation("a", user_data=str(number)) for number in range(3)))
            assert [job.operation.user_data for job in made if job.operation] == ["0", "1", "2"]

    asyncio.run(main())


def test_a_finished_job_carries_its_results(tmp_path: Path) -> None:
    drop(tmp_path, "in/a.mp4")

    async def main() -> None:
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation("in/a.mp4", to="out/${jobid}.${ext}"))
            done = await caller.until(job.job_id)
            assert (done.state, done.progress, done.code) == ("Success", 100, "Success")
            assert TIME.fullmatch(done.start_time or "")
            assert TIME.fullmatch(done.end_time or "")
            assert done.operation is not None
            assert done.operation.media_info is not None
            assert done.operation.media_result is not None
            file = done.operation.media_result.output_file
            assert file is not None
            assert (file.bucket, file.region, file.object_name) == (BUCKET, "ap-chongqing", (f"out/{job.job_id}.mp4",))
            (listed,) = jobs(await caller.http.get(f"{CI}/jobs", params={"tag": "VideoSynthesis"}))
            assert listed == done

    asyncio.run(main())


BROKEN: dict[str, tuple[Callable[[], Operation], str]] = {
    "canvas too small": (
        lambda: changed(operation("a"), "transcode.video.width", 64),
        "Request.Operation.Transcode.Video.Width: ",
    ),
    "two at once": (
        lambda: changed(changed(operation("a"), "transcode.video.width", 64), "job_level", 9),
        "; Request.Operation.JobLevel: ",
    ),
    "no bucket": (lambda: changed(operation("a"), "output.bucket", None), "Request.Operation.Output.Bucket: "),
    "unknown bucket": (
        lambda: changed(operation("a"), "output.bucket", "none-1"),
        "Request.Operation.Output.Bucket: there is no bucket `none-1` here",
    ),
    "bucket that is a path": (
        lambda: changed(operation("a"), "output.bucket", "../x-1"),
        "Request.Operation.Output.Bucket: there is no bucket `../x-1` here",
    ),
    "other region": (
        lambda: changed(operation("a"), "output.region", "ap-beijing"),
        "Request.Operation.Output.Region: the buckets here are in `ap-chongqing`, not in `ap-beijing`",
    ),
    "not rendered here": (
        lambda: changed(operation("a"), "transcode.trans_config", {"transcode_index": 1}),
        "Request.Operation.Transcode.TransConfig.TranscodeIndex: ",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_request_that_cannot_be_is_refused_by_the_nodes_name(tmp_path: Path, case: str) -> None:
    make, reason = BROKEN[case]

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.post(f"{CI}/jobs", content=xml.write(JobRequest(operation=(make(),)), "Request"))
            document = error(reply)
            assert (reply.status_code, document.code) == (400, "InvalidArgument")
            assert reason in document.message

    asyncio.run(main())


OTHERS: dict[str, tuple[Callable[[], JobRequest], int, str, str]] = {
    "other tag": (
        lambda: JobRequest(tag="Concat", operation=(operation("a"),)),
        400,
        "InvalidArgument",
        "Request.Tag: Concat is unknown",
    ),
    "unknown queue": (
        lambda: JobRequest(queue_id="p1", operation=(operation("a"),)),
        404,
        "NoSuchQueue",
        "Request.QueueId: the bucket has no queue `p1`",
    ),
    "transcode template": (
        lambda: JobRequest(operation=(operation("a", transcode=None, transcode_template_id="t1"),)),
        404,
        "NoSuchTemplate",
        "Request.Operation.TranscodeTemplateId: there is no template `t1`",
    ),
    "watermark template": (
        lambda: JobRequest(operation=(operation("a", watermark_template_id=["t2"]),)),
        404,
        "NoSuchTemplate",
        "Request.Operation.WatermarkTemplateId[0]: there is no template `t2`",
    ),
    "key with an empty segment": (
        lambda: JobRequest(operation=(operation("a", to="a//x.mp4"),)),
        400,
        "InvalidObjectName",
        "Request.Operation.Output.Object: the key has an empty segment, or one that is `.` or `..`",
    ),
    "second operation": (
        lambda: JobRequest(operation=(operation("a"), operation("a", to="x/"))),
        400,
        "InvalidObjectName",
        "Request.Operation[1].Output.Object: ",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_refusals_with_a_code_of_their_own(tmp_path: Path, case: str) -> None:
    make, status, code, reason = OTHERS[case]

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.post(f"{CI}/jobs", content=xml.write(make(), "Request"))
            document = error(reply)
            assert (reply.status_code, document.code) == (status, code)
            assert reason in document.message
            everything = await caller.http.get(f"{CI}/jobs", params={"tag": "VideoSynthesis"})
            assert jobs(everything) == (), "all or none"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "status", "code", "reason"),
    [
        (b"", 400, "MissingRequestBodyError", "no body"),
        (b"{}", 400, "MalformedXML", "not well-formed XML"),
        (b"<Requests/>", 400, "MalformedXML", "the root element is `Requests`, expected `Request`"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><Request>&b;</Request>', 400, "MalformedXML", "document type"),
        (b"<Request><Tag>VideoSynthesis</Tag></Request>", 400, "InvalidArgument", "Request.Operation: "),
        (b"<Request>" + b" " * (1 << 20) + b"</Request>", 400, "XMLSizeLimit", "larger than 1048576 bytes"),
        (b"<Request>" + b"<a>" * 300 + b"</a>" * 300 + b"</Request>", 400, "MalformedXML", "depth"),
    ],
)
def test_bodies_that_are_no_request(tmp_path: Path, body: bytes, status: int, code: str, reason: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.post(f"{CI}/jobs", content=body)
            document = error(reply)
            assert (reply.status_code, document.code) == (status, code)
            assert reason in document.message

    asyncio.run(main())


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "NaN", "9" * 5000])
def test_monstrous_numbers_are_refused_at_once(tmp_path: Path, number: str) -> None:
    body = xml.write(JobRequest(operation=(operation("a", transcode={"time_interval": {"start": 4711}}),)), "Request")

    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.post(f"{CI}/jobs", content=body.replace(b"4711", number.encode()))
            assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")

    asyncio.run(main())


def test_jobs_are_found_in_the_order_asked_for_and_missing_ones_are_named(tmp_path: Path) -> None:
    none = "j" + "0" * 32

    async def main() -> None:
        async with running(tmp_path, render=Studio(held=True)) as caller:
            first, second = await caller.submit(operation("a"), operation("a"))
            for comma in (",", "%2C"):
                path = comma.join([second.job_id, none, first.job_id, second.job_id])
                reply = await caller.http.get(f"{CI}/jobs/{path}")
                assert [job.job_id for job in jobs(reply)] == [second.job_id, first.job_id]
                assert reply.text.count(f"<NonExistJobIds>{none}</NonExistJobIds>") == 1
            reply = await caller.http.get(f"{CI}/jobs/{none}")
            assert (reply.status_code, reply.text) == (
                200,
                f"<Response><NonExistJobIds>{none}</NonExistJobIds></Response>",
            )

    asyncio.run(main())


def test_a_listing_goes_page_by_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, render=Studio(held=True), concurrency=1) as caller:
            made = [job.job_id for job in await caller.submit(*[operation("a")] * 5)]
            for order, expected in (("Asc", made), ("Desc", made[::-1]), ("", made[::-1])):
                token, seen = "", []
                while True:
                    query = {
                        "tag": "VideoSynthesis",
                        "orderByTime": order,
                        "size": "2",
                        "nextToken": token,
                        "states": "",
                    }
                    reply = await caller.http.get(f"{CI}/jobs", params=query)
                    seen += [job.job_id for job in jobs(reply)]
                    token = reply.text.partition("<NextToken>")[2].partition("<")[0]
                    if not token:
                        break
                assert seen == expected

    asyncio.run(main())


def test_a_listing_is_narrowed_by_state_queue_and_inclusive_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, render=Studio(held=True)) as caller:
            (job,) = await caller.submit(operation("a"))
            await caller.until(job.job_id, "Running", "Failed")
            created = job.creation_time or ""
            cases: list[tuple[dict[str, str], int]] = [
                ({"tag": "Concat"}, 0),
                ({"states": "Success,Cancel"}, 0),
                ({"states": "Success,Failed,Running"}, 1),
                ({"states": "All"}, 1),
                ({"queueId": job.queue_id or ""}, 1),
                ({"queueId": "p1"}, 0),
                ({"startCreationTime": created, "endCreationTime": created}, 1),
                ({"startCreationTime": created.replace("+", " ")}, 1),
                ({"startCreationTime": "2100-01-01T00:00:00+0800"}, 0),
                ({"endCreationTime": "2020-01-01T00:00:00+0000"}, 0),
            ]
            for query, count in cases:
                reply = await caller.http.get(f"{CI}/jobs", params={"tag": "VideoSynthesis", **query})
                assert len(jobs(reply)) == count, query

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "tag: is missing; write tag=VideoSynthesis"),
        ("tag=", "tag: is missing"),
        ("tag=V&size=0", "size: 0 is out of range; write 1 to 100"),
        ("tag=V&size=101", "size: 101 is out of range"),
        ("tag=V&size=ten", "size: `ten` is not a number; write digits"),
        ("tag=V&nextToken=-1", "nextToken: `-1` is not a number"),
        ("tag=V&nextToken=99999999999999999999", "nextToken"),
        ("tag=V&states=Success,Done", "states: `Done` is unknown; write All, or some of Submitted, Running"),
        ("tag=V&orderByTime=Up", "orderByTime: `Up` is unknown; write Desc or Asc"),
        ("tag=V&startCreationTime=today", "startCreationTime: `today` is not a time; write it as 2026-05-01T"),
        ("tag=V&endCreationTime=2026-05-01T10:00:00", "endCreationTime"),
    ],
)
def test_parameters_that_cannot_be(tmp_path: Path, query: str, reason: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.get(f"{CI}/jobs?{query}")
            assert (reply.status_code, error(reply).code) == (400, "InvalidArgument")
            assert reason in error(reply).message

    asyncio.run(main())


class Seen(Studio):
    """A studio that notes how it was told to encode."""

    def __init__(self) -> None:
        super().__init__(held=True)
        self.transcodes: list[Transcode | None] = []

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        self.transcodes.append(work.operation.transcode)
        return await super().__call__(work, sources, folder, on_progress)


def test_a_job_is_made_with_its_template_as_it_was_when_it_was_submitted(tmp_path: Path) -> None:
    drop(tmp_path, "a")
    small, large = (
        Transcode.model_validate({"container": {"format": "mp4"}, "video": {"width": size, "height": size}})
        for size in (256, 512)
    )

    async def main() -> None:
        studio = Seen()
        async with running(tmp_path, render=studio, concurrency=1) as caller:
            body = xml.write(TemplateRequest.of("canvas", small), "Request")
            made = xml.read(TemplateReply, (await caller.http.post(f"{CI}/template", content=body)).content, "Response")
            template = made.template.template_id
            asked = operation("a", to="out/${jobid}.${ext}", transcode_template_id=template)
            await caller.submit(operation("a"))  # keeps the one place busy
            (job,) = await caller.submit(asked)
            changed = xml.write(TemplateRequest.of("canvas", large), "Request")
            assert (await caller.http.put(f"{CI}/template/{template}", content=changed)).status_code == 200
            (later,) = await caller.submit(asked)
            assert (await caller.http.delete(f"{CI}/template/{template}")).status_code == 200
            studio.let()
            done = await caller.until(job.job_id)
            await caller.until(later.job_id)
            assert studio.transcodes == [asked.transcode, small, large]
            assert done.operation is not None
            assert done.operation.media_result is not None
            echo = done.operation.plain() | {"media_info": None, "media_result": None}
            assert {key: value for key, value in echo.items() if value is not None} == asked.plain()
            assert (await caller.http.get(f"{COS}/out/{job.job_id}.mp4")).status_code == 200

    asyncio.run(main())


def test_a_waiting_job_is_cancelled_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(held=True)
        drop(tmp_path, "a")
        async with running(tmp_path, render=studio, concurrency=1) as caller:
            first, second = await caller.submit(operation("a"), operation("a"))
            await caller.until(first.job_id, "Running")
            reply = await caller.http.put(f"{CI}/jobs/{second.job_id}?cancel")
            assert (reply.status_code, reply.content) == (200, b"")
            cancelled = await caller.job(second.job_id)
            assert cancelled.state == "Cancel"
            assert TIME.fullmatch(cancelled.end_time or "")
            for job, state in ((first, "Running"), (second, "Cancel")):
                reply = await caller.http.put(f"{CI}/jobs/{job.job_id}?cancel=")
                assert (reply.status_code, error(reply).code) == (409, "InvalidJobState")
                assert f"`{job.job_id}` is {state}; only a job that waits can be cancelled" in error(reply).message
            reply = await caller.http.put(f"{CI}/jobs/j1?cancel")
            assert (reply.status_code, error(reply).code) == (404, "NoSuchJob")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("DELETE", "/jobs", 405, "MethodNotAllowed"),
        ("PUT", "/jobs/j1", 405, "MethodNotAllowed"),
        ("PUT", "/jobs?cancel", 405, "MethodNotAllowed"),
        ("HEAD", "/jobs", 405, None),
        ("PATCH", "/jobs", 405, "MethodNotAllowed"),
        ("POST", "/jobs/j1", 405, "MethodNotAllowed"),
        ("GET", "/", 400, "InvalidURI"),
        ("GET", "/job", 400, "InvalidURI"),
    ],
)
def test_calls_that_there_are_not(tmp_path: Path, method: str, path: str, status: int, code: str | None) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            reply = await caller.http.request(method, f"{CI}{path}")
            assert (reply.status_code, error(reply).code if reply.content else None) == (status, code)

    asyncio.run(main())
