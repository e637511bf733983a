"""Templates as they are created; the rules of their content stand in ``test_rules_transcode`` and ``…_watermark``."""

from __future__ import annotations

import pytest

from reconciler.api.rules import check_template
from reconciler.api.templates import TemplateRequest
from tests.api.cases import GOOD_TRANSCODE, TEXT_MARK, Keys, changed, told

TRANSCODE: Keys = {"tag": "Transcode", "name": "canvas-720", **GOOD_TRANSCODE}
WATERMARK: Keys = {"tag": "Watermark", "name": "水印_*", "watermark": TEXT_MARK}

CASES: list[tuple[Keys, dict[str, object], list[str]]] = [
    (TRANSCODE, {}, []),
    (TRANSCODE, {"video.width": None, "video.height": None}, []),
    (TRANSCODE, {"video": None}, []),
    (TRANSCODE, {"container.format": "mp3", "video": None, "audio.codec": "mp3"}, []),
    (
        TRANSCODE,
        {"video": None, "audio": None},
        ["video: `video` and `audio` are both missing: nothing would be kept"],
    ),
    (
        TRANSCODE,
        {"container": None},
        ["container: `container` is missing: there is no default format [write container: {format: mp4}]"],
    ),
    (
        TRANSCODE,
        {"video.width": 1281},
        ["video.width: 1281 is odd; `width` must be even [write 1280 or 1282]"],
    ),
    (TRANSCODE, {"name": "n" * 64}, []),
    (TRANSCODE, {"name": "n" * 65}, [f"name: {'n' * 59}… has 65 characters; `name` takes 64"]),
    (
        TRANSCODE,
        {"name": "a b"},
        ["name: a b holds ' '; `name` takes Chinese, English letters, digits, _ - * [write a-b]"],
    ),
    (
        TRANSCODE,
        {"watermark": TEXT_MARK},
        ["watermark: `watermark` has no place in a template with the tag Transcode [leave it out]"],
    ),
    (WATERMARK, {}, []),
    (
        WATERMARK,
        {"watermark": None},
        ["watermark: `watermark` is missing: the template is one of a watermark"],
    ),
    (
        WATERMARK,
        {"watermark.type": "text"},
        ["watermark.type: text is unknown; `type` must be Text or Image [write Text]"],
    ),
    (
        WATERMARK,
        {"audio.codec": "aac"},
        ["audio: `audio` has no place in a template with the tag Watermark [leave it out]"],
    ),
    (
        TRANSCODE,
        {"tag": "Animation"},
        ["tag: templates with the tag Animation are of another product; `tag` must be Transcode or Watermark"],
    ),
    (
        TRANSCODE,
        {"tag": "transcode"},
        ["tag: transcode is unknown; `tag` must be Transcode or Watermark [write Transcode]"],
    ),
    (TRANSCODE, {"tag": "VideoSynthesis"}, ["tag: VideoSynthesis is unknown; `tag` must be Transcode or Watermark"]),
]


@pytest.mark.parametrize(("base", "changes", "expected"), CASES)
def test_template(base: Keys, changes: Keys, expected: list[str]) -> None:
    for path, value in changes.items():
        base = changed(base, path, value)
    assert told(check_template(TemplateRequest.model_validate(base, extra="forbid")), "error") == expected
