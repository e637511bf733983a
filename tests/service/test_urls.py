from __future__ import annotations

from typing import Any

import pytest

from reconciler.service.urls import urls_of
from reconciler.wire import renamed
from tests.service.media import job
from tests.service.render.probes import marked

MIX = {"audio_source": "m.mp3"}
OTHERS = [{"audio_source": "n.mp3"}, {"audio_source": "o.mp3"}]
IMAGE = {"type": "Image", "image": {"url": "l.png"}}
TEXT = {"type": "Text", "text": {"text": "demo"}}


@pytest.mark.parametrize(
    ("transcode", "marks", "urls"),
    [
        pytest.param({}, [], "a b", id="sources, each once"),
        pytest.param({"audio": {}, "audio_mix": MIX}, [], "a b m.mp3", id="a sound"),
        pytest.param({"audio": {}, "audio_mix_array": OTHERS}, [], "a b n.mp3 o.mp3", id="sounds"),
        pytest.param(
            {"audio": {}, "audio_mix": MIX, "audio_mix_array": OTHERS}, [], "a b m.mp3", id="one beats several"
        ),
        pytest.param({"audio": {"remove": True}, "audio_mix": MIX}, [], "a b", id="removed audio"),
        pytest.param({"audio_mix": MIX}, [], "a b", id="no audio"),
        pytest.param({}, [IMAGE, TEXT], "a b l.png", id="a picture; a text has no file"),
        pytest.param({}, [{**TEXT, "image": {"url": "x.png"}}], "a b", id="a text with the picture of another type"),
        pytest.param(
            {"audio": {}, "audio_mix": MIX}, [IMAGE, IMAGE], "a b m.mp3 l.png", id="in the order of the nodes"
        ),
        pytest.param({"audio": {}, "audio_mix": {"audio_source": "a"}}, [], "a b", id="a source that is music too"),
    ],
)
def test_what_a_job_reads(transcode: dict[str, Any], marks: list[dict[str, Any]], urls: str) -> None:
    operation = job("a", "b", "a", keep=True, **transcode)
    assert urls_of(marked(operation, *marks) if marks else operation) == tuple(urls.split())


def test_without_parameters_only_sources_are_read() -> None:
    assert urls_of(job("a").model_copy(update={"transcode": None})) == ("a",)


def test_every_file_is_renamed_also_those_that_have_no_effect() -> None:
    operation = marked(
        job(("a", {"x": 3}), "b", keep=True, audio={}, audio_mix=MIX, audio_mix_array=OTHERS), IMAGE, TEXT
    )
    found = renamed(operation, lambda url: f"in/{url}")
    assert urls_of(found) == ("in/a", "in/b", "in/m.mp3", "in/l.png")
    transcode, marks = found.transcode, found.watermark
    assert transcode is not None
    assert transcode.audio_mix_array is not None
    assert [mix.audio_source for mix in transcode.audio_mix_array] == ["in/n.mp3", "in/o.mp3"]
    assert marks is not None
    assert marks[1] == (operation.watermark or ())[1]
    assert found.video_synthesis.splice_info[0].x == 3
    assert renamed(found, lambda url: url.removeprefix("in/")) == operation


def test_what_is_not_there_needs_no_name() -> None:
    operation = job("a").model_copy(update={"transcode": None})
    assert renamed(operation, str.upper).video_synthesis.splice_info[0].url == "A"
