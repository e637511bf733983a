from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Image, Watermark
from reconciler.service.admission import Admission, read_request
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.database import Database
from reconciler.service.ffmpeg import locate
from reconciler.service.index import ObjectIndex
from reconciler.service.queue_store import QueueStore
from reconciler.service.refused import RefusedError
from reconciler.service.template_store import TemplateStore
from tests.service.harness import BUCKET, REGION, operation

CANVAS = Transcode.model_validate({"container": {"format": "mp4"}, "video": {"width": 640, "height": 360}})


ASKED = xml.write(operation("a"), "Operation").decode()


class Desk:
    """An admission, and what it asks."""

    def __init__(self, root: Path) -> None:
        self.database = Database.in_memory()
        self.queues, self.templates = QueueStore(self.database), TemplateStore(self.database)
        (root / "other-1").mkdir()
        self.buckets = Buckets(root, ObjectIndex(self.database), BUCKET)
        self.admission = Admission(self.queues, self.templates, self.buckets, REGION)

    def bucket(self, name: str = BUCKET) -> Bucket:
        found = self.buckets.get(name)
        assert found is not None
        return found

    def refusal(self, message: JobRequest, bucket: str = BUCKET) -> tuple[str, str]:
        with pytest.raises(RefusedError) as caught:
            self.admission.admit(message, self.bucket(bucket))
        return caught.value.code, caught.value.message


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()


def request(*operations: Any, **rest: Any) -> JobRequest:
    return JobRequest(tag="VideoSynthesis", operation=operations, **rest)


def test_each_operation_is_a_job_with_the_request_around_it(desk: Desk) -> None:
    one, two = operation("a", job_level=2), operation("b")
    jobs = desk.admission.admit(request(one, two, call_back="no", call_back_format="JSON"), desk.bucket())
    assert [job.priority for job in jobs] == [2, 0]
    assert [job.resolved for job in jobs] == [None, None]
    stored = [xml.read(JobRequest, job.request.encode(), "Request") for job in jobs]
    assert stored == [request(each, call_back="no", call_back_format="JSON") for each in (one, two)]


def test_templates_are_put_in_beside_what_was_asked_for(desk: Desk) -> None:
    template = desk.templates.create(BUCKET, TemplateRequest.of("hd", CANVAS)).id
    asked = operation("a", transcode_template_id=template)
    (job,) = desk.admission.admit(request(asked, call_back="no"), desk.bucket())
    assert xml.read(JobRequest, job.request.encode(), "Request").operation == (asked,)
    assert job.resolved is not None
    resolved = xml.read(JobRequest, job.resolved.encode(), "Request")
    assert resolved.call_back == "no"
    assert (resolved.operation[0].transcode, resolved.operation[0].transcode_template_id) == (CANVAS, None)


def test_a_template_belongs_to_its_bucket(desk: Desk) -> None:
    template = desk.templates.create(BUCKET, TemplateRequest.of("hd", CANVAS)).id
    code, message = desk.refusal(request(operation("a", transcode_template_id=template)), "other-1")
    assert (code, message) == (
        "NoSuchTemplate",
        f"Request.Operation.TranscodeTemplateId: there is no template `{template}`",
    )


def test_the_queue_that_is_named_must_be_the_buckets(desk: Desk) -> None:
    mine, others = desk.queues.get(BUCKET), desk.queues.get("other-1")
    assert mine is not None
    assert others is not None
    assert desk.admission.admit(request(operation("a"), queue_id=mine.id), desk.bucket())
    assert desk.refusal(request(operation("a"), queue_id=others.id)) == (
        "NoSuchQueue",
        f"Request.QueueId: the bucket has no queue `{others.id}`",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ASKED, "Request.Tag: is missing; write VideoSynthesis"),
        (f"<Tag> </Tag>{ASKED}", "Request.Tag: is missing; write VideoSynthesis"),
        (f"<Tag>videosynthesis</Tag>{ASKED}", "Request.Tag: videosynthesis is unknown; Tag must be VideoSynthesis"),
        (
            "<Tag>Transcode</Tag><Operation><Output/></Operation>",
            "Request.Tag: Transcode is unknown; Tag must be VideoSynthesis",
        ),
        (
            "<Tag>VideoSynthesis</Tag><Operation><UserData>x</UserData></Operation>",
            "Request.Operation[0].VideoSynthesis: is missing",
        ),
    ],
)
def test_the_tag_is_named_before_what_it_decides(body: str, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_request(f"<Request>{body}</Request>".encode())
    assert caught.value.code == "InvalidArgument"
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        ({"job_level": 3}, "InvalidArgument", "JobLevel: 3 is out of range; JobLevel must be 0 to 2"),
        ({"transcode": None}, "InvalidArgument", "Transcode: Transcode is missing"),
        ({"transcode_template_id": "t1"}, "NoSuchTemplate", "TranscodeTemplateId: there is no template `t1`"),
        ({"watermark_template_id": ["1", "2", "3", "4"]}, "InvalidArgument", "WatermarkTemplateId[3]: 4 are too many"),
        ({"output": {"region": REGION, "bucket": "none-1", "object": "x"}}, "InvalidArgument", "Output.Bucket: "),
        ({"output": {"region": "r", "bucket": BUCKET, "object": "x"}}, "InvalidArgument", "Output.Region: "),
        ({"output": {"region": REGION, "bucket": BUCKET, "object": "a//x"}}, "InvalidObjectName", "Output.Object: "),
    ],
)
def test_one_broken_operation_refuses_them_all_by_its_number(
    desk: Desk, keys: dict[str, Any], code: str, message: str
) -> None:
    broken = operation("a", **keys)
    assert desk.refusal(request(operation("a"), broken))[0] == code
    assert desk.refusal(request(operation("a"), broken))[1].startswith(f"Request.Operation[1].{message}")
    assert desk.refusal(request(broken))[1].startswith(f"Request.Operation.{message}")


RARE = ("\U00020000", "\U00020001")
"""Characters of Chinese names, which the documents allow and no font here has."""


def written(*texts: str) -> tuple[Watermark, ...]:
    """A watermark for each text."""
    looks = {"font_size": 20, "font_type": "simfang.ttf", "font_color": "0xFF0000", "transparency": 100}
    node = {"type": "Text", "pos": "TopLeft", "loc_mode": "Absolute"}
    return tuple(Watermark.model_validate({**node, "text": {"text": text, **looks}}) for text in texts)


def test_a_text_that_no_font_can_draw_is_refused_by_its_node(desk: Desk) -> None:
    drawn = operation("a", watermark=written("demo", "样片"))
    assert desk.admission.admit(request(drawn), desk.bucket())
    undrawn = operation("b", watermark=written("demo", f"{RARE[1]}a{RARE[0]}a{RARE[1]}"))
    assert desk.refusal(request(drawn, undrawn)) == (
        "InvalidArgument",
        f"Request.Operation[1].Watermark[1].Text.Text: no font here can draw {RARE[1]} {RARE[0]}",
    )
    assert desk.refusal(request(operation("a", watermark=written(RARE[0])))) == (
        "InvalidArgument",
        f"Request.Operation.Watermark[0].Text.Text: no font here can draw {RARE[0]}",
    )


def test_the_text_of_a_picture_is_not_drawn(desk: Desk) -> None:
    (mark,) = written(RARE[0])
    image = {
        "type": "Image",
        "image": Image(url=f"https://{BUCKET}.cos.{REGION}.myqcloud.com/l.png", mode="Original", transparency=100),
    }
    assert desk.admission.admit(request(operation("a", watermark=(mark.model_copy(update=image),))), desk.bucket())


def test_a_text_of_a_template_is_looked_at_too(desk: Desk) -> None:
    template = desk.templates.create(BUCKET, TemplateRequest.of("names", *written(RARE[0]))).id
    code, message = desk.refusal(request(operation("a", watermark_template_id=[template])))
    assert code == "InvalidArgument"
    assert message.endswith(f"Text.Text: no font here can draw {RARE[0]}")


FEWER = """#!/bin/sh
echo "Encoders:"
echo " V....D libx264              H.264"
echo " A....D aac                  AAC"
"""


def test_what_ffmpeg_cannot_encode_is_refused_by_its_node(desk: Desk, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(FEWER)
    program.chmod(0o755)
    ffmpeg = locate({"RECONCILER_FFMPEG": str(program)})
    admission = Admission(desk.queues, desk.templates, desk.buckets, REGION, lacking=lambda: ffmpeg.lacking)
    encoded = {"container": {"format": "mp4"}, "video": {"width": 640, "height": 360}, "audio": {}}
    assert admission.admit(request(operation("a", transcode=encoded)), desk.bucket())
    encoded |= {"video": {"width": 640, "height": 360, "codec": "H.265"}, "audio": {"codec": "mp3"}}
    with pytest.raises(RefusedError) as caught:
        admission.admit(request(operation("a", transcode=encoded)), desk.bucket())
    assert caught.value.code == "InvalidArgument"
    assert caught.value.message == (
        "Request.Operation.Transcode.Video.Codec: this machine's FFmpeg has no libx265, so it cannot encode H.265; "
        "Request.Operation.Transcode.Audio.Codec: this machine's FFmpeg has no libmp3lame, so it cannot encode mp3"
    )


def test_the_key_is_judged_with_the_suffix_of_the_templates_container(desk: Desk) -> None:
    template = desk.templates.create(BUCKET, TemplateRequest.of("hd", CANVAS)).id
    asked = operation("a", to="x" * 251 + ".${ext}", transcode_template_id=template)
    assert desk.admission.admit(request(asked), desk.bucket())
    longer = operation("a", to="x" * 252 + ".${ext}", transcode_template_id=template)
    assert desk.refusal(request(longer))[0] == "KeyTooLong"


SEGMENTED: dict[str, Any] = {"container": {"format": "hls"}, "video": {"width": 640, "height": 360}}
DEEP = "/".join(["y" * 200] * 4)
"""A folder that leaves room for 47 bytes."""


@pytest.mark.parametrize("container", ["hls", "dash"])
def test_the_keys_of_segments_must_be_short_enough_too(desk: Desk, container: str) -> None:
    transcode = {**SEGMENTED, "container": {"format": container}}
    fits, too_long = f"{DEEP}/{'z' * 12}/x", f"{DEEP}/{'z' * 13}/x"
    assert desk.admission.admit(request(operation("a", to=fits, transcode=transcode)), desk.bucket())
    code, message = desk.refusal(request(operation("a", to=too_long, transcode=transcode)))
    assert code == "KeyTooLong"
    assert message.startswith("Request.Operation.Output.Object: ")
    assert desk.admission.admit(request(operation("a", to=too_long)), desk.bucket())


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("out/", "InvalidObjectName"),
        ("out/.reconciler-x.partial", "InvalidObjectName"),
        ("a//x", "InvalidObjectName"),
        ("x" * 256, "KeyTooLong"),
    ],
)
def test_the_key_of_a_playlist_is_judged_like_any_other(desk: Desk, to: str, code: str) -> None:
    assert desk.refusal(request(operation("a", to=to, transcode=SEGMENTED)))[0] == code
    assert desk.refusal(request(operation("a", to=to)))[0] == code
