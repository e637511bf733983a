from __future__ import annotations

from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.service.queue import StoredJob
from reconciler.service.refused import RefusedError
from reconciler.service.resolution import object_key, problems, resolve, stored_request, template_ids
from reconciler.service.template_store import StoredTemplate
from tests.service.harness import operation

CANVAS: dict[str, Any] = {"container": {"format": "mp4"}, "video": {"codec": "H.264", "width": 640, "height": 360}}
MARK: dict[str, Any] = {"type": "Text", "pos": "TopLeft", "loc_mode": "Absolute"}
TEXT = {"text": "demo", "font_size": 25, "font_type": "arial.ttf", "font_color": "0xffffff", "transparency": 80}


def template(name: str, content: Transcode | Watermark) -> StoredTemplate:
    request = TemplateRequest.of(name, content)
    return StoredTemplate(1, name, "b-1", request.tag, name, xml.write(request, "Request").decode(), 0, 0)


def transcode(**nodes: Any) -> Transcode:
    return Transcode.model_validate(CANVAS | nodes)


def mark(text: str) -> Watermark:
    return Watermark.model_validate(MARK | {"text": TEXT | {"text": text}})


KEPT = {
    "canvas": template("canvas", transcode()),
    "one": template("one", mark("one")),
    "two": template("two", mark("two")),
}


def test_ids_are_named_in_the_order_of_the_nodes() -> None:
    assert template_ids(operation("a")) == []
    assert template_ids(operation("a", transcode_template_id="t", watermark_template_id=["u", "v"])) == ["t", "u", "v"]


def test_an_operation_without_ids_is_resolved_as_it_is() -> None:
    asked = operation("a")
    assert resolve(asked, "Request.Operation", {}) is asked


def test_templates_beat_what_stands_inline() -> None:
    inline: dict[str, Any] = {"watermark": [MARK | {"text": TEXT}]}
    asked = operation("a", transcode_template_id="canvas", watermark_template_id=["two", "one"], **inline)
    resolved = resolve(asked, "Request.Operation", KEPT)
    assert resolved.transcode == transcode()
    assert resolved.watermark == (mark("two"), mark("one"))
    assert template_ids(resolved) == []
    assert resolved.output == asked.output
    assert template_ids(asked) == ["canvas", "two", "one"]


def test_what_has_no_template_stays_inline() -> None:
    asked = operation("a", watermark_template_id=["one"])
    assert resolve(asked, "Request.Operation", KEPT).transcode == asked.transcode


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        (
            {"transcode_template_id": "none"},
            "NoSuchTemplate",
            "Request.Operation[2].TranscodeTemplateId: there is no template `none`",
        ),
        (
            {"watermark_template_id": ["one", "none"]},
            "NoSuchTemplate",
            "Request.Operation[2].WatermarkTemplateId[1]: there is no template `none`",
        ),
        (
            {"transcode_template_id": "one"},
            "InvalidArgument",
            (
                "Request.Operation[2].TranscodeTemplateId: the template `one` has the tag Watermark; "
                "one with the tag Transcode belongs here"
            ),
        ),
        (
            {"watermark_template_id": ["canvas"]},
            "InvalidArgument",
            (
                "Request.Operation[2].WatermarkTemplateId[0]: the template `canvas` has the tag Transcode; "
                "one with the tag Watermark belongs here"
            ),
        ),
    ],
)
def test_an_id_must_be_one_of_its_tag(keys: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        resolve(operation("a", **keys), "Request.Operation[2]", KEPT)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    "nodes",
    [
        {"video": None, "audio": {"codec": "aac"}},
        {"video": {"codec": "H.264"}},
        {"video": {"codec": "H.264", "width": 640}},
        {"video": {"codec": "H.264", "height": 360}},
    ],
)
def test_a_template_without_a_canvas_is_refused_with_the_documented_rule(nodes: dict[str, Any]) -> None:
    kept = {"plain": template("plain", transcode(**nodes))}
    with pytest.raises(RefusedError) as caught:
        resolve(operation("a", transcode_template_id="plain"), "Request.Operation", kept)
    assert (caught.value.code, caught.value.message) == (
        "InvalidArgument",
        (
            "Request.Operation.TranscodeTemplateId: the template `plain` lacks Video.Width or Video.Height; both are "
            "mandatory for VideoSynthesis, although they are optional in an ordinary transcode template"
        ),
    )


def told(keys: dict[str, Any], kept: dict[str, StoredTemplate]) -> list[str]:
    asked = operation("a", **keys)
    return list(problems(asked, resolve(asked, "Request.Operation", kept), "Request.Operation"))


def test_the_documents_rules_hold_for_what_a_template_put_in() -> None:
    kept = {
        "vp8": template("vp8", transcode(video={"codec": "VP8", "width": 640, "height": 360})),
        "mp3": template("mp3", transcode(container={"format": "mp3"})),
        "huge": template("huge", mark("demo").model_copy(update={"dx": 9999})),
    }
    (codec,) = told({"transcode_template_id": "vp8"}, kept)
    assert codec.startswith(
        "Request.Operation.TranscodeTemplateId: in `vp8`, Transcode.Video.Codec: VP8 does not fit mp4"
    )
    assert told({"transcode_template_id": "mp3"}, kept)[0].startswith(
        "Request.Operation.TranscodeTemplateId: in `mp3`, Transcode.Container.Format: mp3 holds sound only"
    )
    (offset,) = told({"watermark_template_id": ["huge"]}, kept)
    assert offset == (
        "Request.Operation.WatermarkTemplateId[0]: in `huge`, Watermark[0].Dx: 9999 is out of range; "
        "Dx must be 0 to 4096 px"
    )


def test_what_is_not_rendered_here_is_named_by_where_it_comes_from() -> None:
    stream = {"trans_config": {"transcode_index": 1}}
    kept = {"stream": template("stream", transcode(**stream))}
    reason = "Transcode.TransConfig.TranscodeIndex: every source shows its own best stream here; leave it out"
    assert told({"transcode_template_id": "stream"}, kept) == [
        f"Request.Operation.TranscodeTemplateId: in `stream`, {reason}"
    ]
    assert told({"transcode": CANVAS | stream}, {}) == [f"Request.Operation.{reason}"]
    assert told({"transcode_template_id": "canvas"}, KEPT) == []


def test_the_suffix_comes_from_the_templates_container() -> None:
    kept = {"mkv": template("mkv", transcode(container={"format": "mkv"}))}
    resolved = resolve(operation("a", to="out/${jobid}.${ext}", transcode_template_id="mkv"), "", kept)
    assert object_key(resolved, "j1") == "out/j1.mkv"
    assert object_key(operation("a", to="out/${jobid}.${ext}"), "j1") == "out/j1.mp4"
    assert object_key(operation("a", to="${other}"), "j1") == "${other}"


def test_a_stored_job_is_rendered_as_it_was_resolved() -> None:
    asked, resolved = JobRequest(operation=(operation("a"),)), JobRequest(operation=(operation("b"),))
    texts = [xml.write(request, "Request").decode() for request in (asked, resolved)]
    job = StoredJob(1, "j1", "b-1", "p1", "VideoSynthesis", texts[0], 0, "Running", 1, 0, 0, 0, *[None] * 8)
    assert stored_request(job) == asked
    assert stored_request(job._replace(resolved=texts[1])) == resolved
