"""Visible and invisible watermarks."""

from __future__ import annotations

import pytest

from reconciler.api.rules import (
    check_watermark,
)
from reconciler.api.watermark import Watermark
from tests.api.cases import (
    DEMANDED,
    DIGITAL,
    IMAGE,
    IMAGE_MARK,
    TEXT_MARK,
    Keys,
    changed,
    check,
    told,
)

# Watermarks.

NO_POS = f"pos: `pos` {DEMANDED} [write pos: TopRight, say]"
WATERMARKS: list[tuple[Keys, dict[str, object], list[str]]] = [
    (TEXT_MARK, {"type": "text"}, ["type: text is unknown; `type` must be Text or Image [write Text]"]),
    (TEXT_MARK, {"pos": None}, [NO_POS]),
    (
        TEXT_MARK,
        {"pos": "topright"},
        [
            (
                "pos: topright is unknown; `pos` must be TopLeft, Top, TopRight, Left, Center, Right, BottomLeft, Bottom or "
                "BottomRight [write TopRight]"
            )
        ],
    ),
    (
        TEXT_MARK,
        {"loc_mode": None},
        [f"loc_mode: `loc_mode` {DEMANDED} [write loc_mode: Absolute for pixels, Relativity for percent]"],
    ),
    (TEXT_MARK, {"dx": None, "dy": None}, []),
    (TEXT_MARK, {"dx": 4097}, ["dx: 4097 is out of range; `dx` must be 0 to 4096 px"]),
    (TEXT_MARK, {"dy": -1}, ["dy: -1 is out of range; `dy` must be 0 to 4096 px"]),
    (IMAGE_MARK, {"dx": 100.5}, ["dx: 100.5 is out of range; `dx` must be 0 to 100 percent"]),
    (
        IMAGE_MARK,
        {"image.background": True},
        [
            "dx: 5 is out of range; `dx` must be -300 to 0 percent behind the video",
            "dy: 5 is out of range; `dy` must be -300 to 0 percent behind the video",
        ],
    ),
    (IMAGE_MARK, {"image.background": True, "dx": -300, "dy": 0}, []),
    (
        IMAGE_MARK,
        {"image.background": True, "loc_mode": "Absolute", "dx": -4097, "dy": -4096},
        ["dx: -4097 is out of range; `dx` must be -4096 to 0 px behind the video"],
    ),
    (
        IMAGE_MARK,
        {"image.background": True, "dx": 0, "dy": 0, "start_time": 1},
        ["start_time: 1: a background picture takes no `start_time` [leave it out]"],
    ),
    (TEXT_MARK, {"start_time": -1}, ["start_time: -1 is out of range; `start_time` must be at least 0 seconds"]),
    (
        TEXT_MARK,
        {"start_time": 2, "end_time": 2},
        ["end_time: 2 is not after `start_time` 2: nothing is shown"],
    ),
    (
        TEXT_MARK,
        {"slide_config": {"slide_mode": "Scroll", "x_slide_speed": 11, "y_slide_speed": -1}},
        [
            (
                "slide_config.slide_mode: Scroll is unknown; `slide_mode` must be Default or ScrollFromLeft "
                "[did you mean `ScrollFromLeft`?]"
            ),
            "slide_config.x_slide_speed: 11 is out of range; `x_slide_speed` must be 0 to 10",
            "slide_config.y_slide_speed: -1 is out of range; `y_slide_speed` must be 0 to 10",
        ],
    ),
    (TEXT_MARK, {"text": None}, ["text: `text` is missing: `type` is Text"]),
    (IMAGE_MARK, {"image": None}, ["image: `image` is missing: `type` is Image"]),
    (TEXT_MARK, {"image": IMAGE}, ["image: `image` is ignored because `type` is Text [leave it out]"]),
    (
        TEXT_MARK,
        {"text.text": "© me"},
        [
            "text.text: © me holds ' ' and '©'; `text` takes Chinese, English letters, digits, _ - * [write --me]",
        ],
    ),
    (TEXT_MARK, {"text.text": "x" * 65}, [f"text.text: {'x' * 59}… has 65 characters; `text` takes 64"]),
    (TEXT_MARK, {"text.font_size": None}, [f"text.font_size: `font_size` {DEMANDED} [write font_size: 25, say]"]),
    (TEXT_MARK, {"text.font_size": 4}, ["text.font_size: 4 is out of range; `font_size` must be 5 to 100 px"]),
    (
        TEXT_MARK,
        {"text.font_type": None},
        [f"text.font_type: `font_type` {DEMANDED} [write font_type: arial.ttf, or simhei.ttf for Chinese]"],
    ),
    (TEXT_MARK, {"text.font_type": "simfang"}, []),
    (
        TEXT_MARK,
        {"text.font_type": "Arial.ttf"},
        [
            (
                "text.font_type: Arial.ttf is unknown; `font_type` must be simfang.ttf, simhei.ttf, simkai.ttf, simsun.ttc, "
                "STHeiti-Light.ttc, STHeiti-Medium.ttc, youyuan.TTF, ariblk.ttf, arial.ttf, ahronbd.ttf, Helvetica.dfont or "
                "HelveticaNeue.dfont [write arial.ttf]"
            )
        ],
    ),
    (
        TEXT_MARK,
        {"text.font_color": "white"},
        [
            'text.font_color: white is not 0xRRGGBB [write "0xffffff" for white, in quotes: without them YAML reads a number]'
        ],
    ),
    (TEXT_MARK, {"text.font_color": "#99ff00"}, []),
    (
        TEXT_MARK,
        {"text.transparency": 101},
        ["text.transparency: 101 is out of range; `transparency` must be 0 to 100 percent"],
    ),
    (
        TEXT_MARK,
        {"text.transparency": 0},
        [
            "text.transparency: 0 is invisible: `transparency` is an opacity [write 100 for a fully opaque mark]",
        ],
    ),
    (
        IMAGE_MARK,
        {"image.transparency": None},
        [f"image.transparency: `transparency` {DEMANDED} [write transparency: 100 for a fully opaque mark]"],
    ),
    (
        IMAGE_MARK,
        {"image.mode": None},
        [f"image.mode: `mode` {DEMANDED} [write mode: Original for the picture's own size]"],
    ),
    (
        IMAGE_MARK,
        {"image.width": 64},
        [
            (
                "image.width: 64: mode Original keeps the picture's own size and takes no `width` "
                "[write mode: Fixed for pixels, Proportion for percent]"
            )
        ],
    ),
    (
        IMAGE_MARK,
        {"image.mode": "Fixed", "image.width": 7, "image.height": 4096},
        ["image.width: 7 is out of range; `width` must be 8 to 4096 px"],
    ),
    (
        IMAGE_MARK,
        {"image.mode": "Proportion", "image.width": 101, "image.height": 1},
        ["image.width: 101 is out of range; `width` must be 1 to 100 percent"],
    ),
    (
        IMAGE_MARK,
        {
            "image.mode": "Proportion",
            "image.background": True,
            "image.width": 99,
            "image.height": 300,
            "dx": 0,
            "dy": 0,
        },
        ["image.width: 99 is out of range; `width` must be 100 to 300 percent behind the video"],
    ),
    (
        IMAGE_MARK,
        {"image.url": ""},
        ["image.url: `url` is empty, which the API reads as absent [write a value, or leave it out]"],
    ),
]


@pytest.mark.parametrize(("base", "changes", "expected"), WATERMARKS)
def test_watermark(base: Keys, changes: dict[str, object], expected: list[str]) -> None:
    keys = base
    for path, value in changes.items():
        keys = changed(keys, path, value)
    watermark = Watermark.model_validate(keys, extra="forbid")
    assert told(check_watermark(watermark)) == expected
    prefixed = [f"watermark.0.{line}" for line in expected]
    assert told(check({"watermark": [keys]})) == prefixed


def test_a_sliding_watermark_does_not_work_with_h265() -> None:
    sliding = {**TEXT_MARK, "slide_config": {"slide_mode": "ScrollFromLeft"}}
    assert told(check({"watermark": [sliding]})) == []
    assert told(check({"watermark": [sliding], "transcode.video.codec": "h.265"})) == [
        (
            "watermark.0.slide_config.slide_mode: ScrollFromLeft does not work with H.265 "
            "[use the codec H.264, or leave slide_config out]"
        )
    ]


def test_a_share_of_the_canvas_has_a_largest_size() -> None:
    image = {**IMAGE, "mode": "Proportion", "background": True, "width": 300, "height": 300}
    mark = {**IMAGE_MARK, "dx": 0, "dy": 0, "image": image}
    assert told(check({"watermark": [mark], "transcode.video.width": 1920})) == [
        "watermark.0.image.width: 300 percent of 1920 px is more than 4096 px [write at most 213]"
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "Image"}, ["type: Image is unknown; `type` must be Text"]),
        ({"version": "V2"}, ["version: V2 is unknown; `version` must be V1"]),
        ({"version": None}, [f"version: `version` {DEMANDED} [write version: V1]"]),
        (
            {"ignore_error": None},
            [f"ignore_error: `ignore_error` {DEMANDED} [write ignore_error: false to fail when embedding fails]"],
        ),
        (
            {"message": "a b"},
            ["message: a b holds ' '; `message` takes Chinese, English letters, digits, _ - * [write a-b]"],
        ),
    ],
)
def test_digital_watermark(changes: Keys, expected: list[str]) -> None:
    keys = {name: value for name, value in {**DIGITAL, **changes}.items() if value is not None}
    assert told(check({"digital_watermark": keys})) == [f"digital_watermark.{line}" for line in expected]
