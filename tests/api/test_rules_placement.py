"""Sources on their canvas: limits, and placements that were surely not meant."""

from __future__ import annotations

import pytest

from tests.api.cases import (
    Keys,
    check,
    told,
)

# Placement.

STRETCHED = "without `{0}` stretches the picture: `{0}` stays that of the source [write {0} too]"
PLACEMENTS: list[tuple[list[Keys], list[str]]] = [
    (
        [{"url": "a", "x": 1280, "width": 64, "height": 64}],
        [
            "0.x: 1280 puts the source wholly outside the canvas of 1280×720 [`x` counts pixels from the canvas's left edge]"
        ],
    ),
    (
        [{"url": "a", "y": 720}],
        [
            "0.y: 720 puts the source wholly outside the canvas of 1280×720 [`y` counts pixels from the canvas's upper edge]"
        ],
    ),
    (
        [{"url": "a", "x": -64, "width": 64, "height": 64}],
        [
            "0.x: -64 puts the source wholly outside the canvas of 1280×720 [`x` counts pixels from the canvas's left edge]"
        ],
    ),
    ([{"url": "a", "x": -64}], []),
    ([{"url": "a", "x": 1278, "y": -62, "width": 64, "height": 64}], []),
    ([{"url": "a", "width": 640}], [f"0.width: `width` 640 {STRETCHED.format('height')}"]),
    ([{"url": "a", "height": 360}], [f"0.height: `height` 360 {STRETCHED.format('width')}"]),
    (
        [{"url": "a", "x": 1, "y": -3, "width": 641, "height": 359}],
        [
            "0.x: 1 is odd; where colours are stored for pairs of pixels `x` may become 0 [write 0]",
            "0.y: -3 is odd; where colours are stored for pairs of pixels `y` may become -4 [write -4]",
            "0.width: 641 is odd; where colours are stored for pairs of pixels `width` may become 640 [write 640]",
            "0.height: 359 is odd; where colours are stored for pairs of pixels `height` may become 358 [write 358]",
        ],
    ),
    (
        [{"url": "a", "width": 64, "height": 64}, {"url": "b", "width": 64, "height": 64}],
        [
            (
                "0: source 1 is wholly hidden by source 2, which is painted over it "
                "[later sources are painted over earlier ones: change the order]"
            )
        ],
    ),
    ([{"url": "a", "width": 64, "height": 64}, {"url": "b", "width": 64, "height": 62}], []),
    ([{"url": "a", "width": 64, "height": 64}, {"url": "b"}], []),
    ([{"url": "a"}, {"url": "b", "width": 1280, "height": 720}], []),
    (
        [
            {"url": "a", "x": 1200, "y": 700, "width": 640, "height": 360},
            {"url": "b", "x": 1180, "y": 680, "width": 100, "height": 40},
        ],
        [
            (
                "0: source 1 is wholly hidden by source 2, which is painted over it "
                "[later sources are painted over earlier ones: change the order]"
            )
        ],
    ),
    (
        [{"url": "a", "name": "my name!"}],
        [("0.name: my name! holds ' ' and '!'; `name` takes Chinese, English letters, digits, _ - * [write my-name-]")],
    ),
    ([{"url": "a", "name": "n" * 65}], [f"0.name: {'n' * 59}… has 65 characters; `name` takes 64"]),
    ([{"url": "a", "name": "游戏-1_*"}, {"url": "b", "name": "n" * 64}], []),
    (
        [{"url": "a", "width": 0, "height": 64}],
        ["0.width: 0 is out of range; `width` must be 2 to 16384 px"],
    ),
    ([{"url": "a", "x": 20000}], ["0.x: 20000 is out of range; `x` must be -16384 to 16384 px"]),
    ([{"url": ""}], ["0.url: `url` is empty, which the API reads as absent [write a value, or leave it out]"]),
]


@pytest.mark.parametrize(("sources", "expected"), PLACEMENTS)
def test_placement(sources: list[Keys], expected: list[str]) -> None:
    found = [
        line.removeprefix("video_synthesis.splice_info.")
        for line in told(check({"video_synthesis.splice_info": sources}))
    ]
    assert found == expected


def test_odd_positions_are_fine_in_444() -> None:
    odd = [{"url": "a", "x": 1, "width": 101, "height": 99}]
    assert told(check({"video_synthesis.splice_info": odd, "transcode.video.pixfmt": "yuv444p"})) == []


def test_without_a_known_canvas_only_sources_are_compared() -> None:
    template: dict[str, object] = {"transcode": None, "transcode_template_id": "t1"}
    far = [{"url": "a", "x": 9000, "width": 64, "height": 64}]
    assert told(check({**template, "video_synthesis.splice_info": far})) == []
    assert len(check({**template, "video_synthesis.splice_info": far * 2})) == 1
