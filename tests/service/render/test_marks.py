"""Where watermarks are, how large and when; what they look like is seen in test_rendering."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from reconciler.api.watermark import Watermark
from reconciler.service.probe import VideoTrack
from reconciler.service.render.marks import Mark, Slide, exact, painted, placed
from reconciler.service.render.picture import Rect
from tests.service.media import job
from tests.service.render.probes import graph, marked, source, still

CANVAS = Rect(0, 0, 400, 300)
LOGO = {"type": "Image", "image": {"url": "logo.png"}}
TEXT = {"type": "Text", "text": {"text": "demo"}}


def picture(width: int = 60, height: int = 40, **facts: Any) -> VideoTrack:
    found = still(width, height, **facts).video
    assert found is not None
    return found


def at(track: VideoTrack | None = None, *, canvas: Rect = CANVAS, **node: Any) -> Mark:
    """Place an image watermark."""
    image = {"url": "logo.png", **node.pop("image", {})}
    return placed(Watermark.model_validate({**LOGO, **node, "image": image}), track or picture(), canvas, number=7)


# --- the place -------------------------------------------------------------------------------------------------------

_COLUMNS = {"Left": (12, 40), "": (170, 170), "Right": (400 - 60 - 12, 400 - 60 - 40)}
_ROWS = {"Top": (9, 24), "": (130, 130), "Bottom": (300 - 40 - 9, 300 - 40 - 24)}
ANCHORS = {f"{row}{column}" or "Center": (_COLUMNS[column], _ROWS[row]) for row, column in product(_ROWS, _COLUMNS)}


@pytest.mark.parametrize("pos", ANCHORS)
def test_offsets_are_measured_inwards_from_the_anchor_in_pixels_or_percent(pos: str) -> None:
    x, y = ANCHORS[pos]
    absolute = at(pos=pos, loc_mode="Absolute", dx=12, dy=9)
    relative = at(pos=pos, loc_mode="Relativity", dx=10, dy=8)
    assert absolute.rect == Rect(x[0], y[0], 60, 40)
    assert relative.rect == Rect(x[1], y[1], 60, 40)
    assert absolute.input == 7
    text = placed(Watermark.model_validate({**TEXT, "pos": pos, "dx": 12, "dy": 9}), picture(), CANVAS, number=0)
    assert text.rect == absolute.rect


def test_all_nine_anchors_are_looked_at() -> None:
    assert set(ANCHORS) == {
        *("TopLeft", "Top", "TopRight", "Left", "Center", "Right", "BottomLeft", "Bottom", "BottomRight"),
    }


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ({}, (170, 130)),
        ({"pos": "TopLeft"}, (0, 0)),
        ({"pos": "BottomRight"}, (340, 260)),
        ({"pos": "TopLeft", "dx": "2.5", "dy": "3.5", "loc_mode": "Absolute"}, (2, 4)),
        ({"pos": "TopLeft", "dx": "0.3", "dy": "0.3", "loc_mode": "Relativity"}, (1, 1)),
        ({"pos": "TopLeft", "dx": 12}, (12, 0)),
        ({"pos": "BottomRight", "dy": 100, "loc_mode": "Relativity"}, (340, -40)),
    ],
)
def test_offsets_that_are_left_out_or_uneven(node: dict[str, Any], place: tuple[int, int]) -> None:
    found = at(**node)
    assert (found.rect.x, found.rect.y) == place


def test_the_middle_of_an_odd_rest_is_rounded_down() -> None:
    assert at(picture(61, 41), pos="Center").rect == Rect(169, 129, 61, 41)


# --- the size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "size"),
    [
        pytest.param({}, (60, 40), id="its own"),
        pytest.param({"mode": "Original", "width": 10, "height": 10}, (60, 40), id="original: as it is"),
        pytest.param({"mode": "Original"}, (60, 40), id="original"),
        pytest.param({"mode": "Fixed", "width": 120, "height": 30}, (120, 30), id="fixed: pixels"),
        pytest.param({"mode": "Fixed", "width": 120}, (120, 80), id="the other side follows"),
        pytest.param({"mode": "Fixed", "height": 30}, (45, 30), id="whichever it is"),
        pytest.param({"mode": "Fixed", "width": 100}, (100, 67), id="rounded"),
        pytest.param({"mode": "Fixed"}, (60, 40), id="fixed without a side"),
        pytest.param({"mode": "Proportion", "width": 50, "height": 10}, (200, 30), id="percent of the canvas"),
        pytest.param({"mode": "Proportion", "width": 50}, (200, 133), id="percent, the other side follows"),
        pytest.param({"mode": "Proportion", "height": 50}, (225, 150), id="percent of its height"),
        pytest.param({"mode": "Proportion"}, (60, 40), id="percent without a side"),
        pytest.param({"mode": "Fixed", "width": 1}, (1, 1), id="at least a pixel"),
        pytest.param({"mode": "Proportion", "height": 1}, (4, 3), id="small"),
        pytest.param({"mode": "Fixed", "width": 4096}, (4096, 2731), id="large"),
        pytest.param({"mode": "Fixed", "height": 4096}, (4096, 4096), id="bounded"),
        pytest.param({"width": 30, "height": 20}, (30, 20), id="without a mode they are pixels"),
    ],
)
def test_size(image: dict[str, Any], size: tuple[int, int]) -> None:
    found = at(pos="TopLeft", image=image)
    assert (found.rect.width, found.rect.height) == size


def test_a_flat_picture_keeps_a_pixel_and_a_text_its_own_size() -> None:
    assert at(picture(4000, 1), image={"mode": "Fixed", "width": 10}).rect.height == 1
    text = placed(
        Watermark.model_validate({**TEXT, "image": {"url": "x", "width": 5}}), picture(33, 21), CANVAS, number=0
    )
    assert (text.rect.width, text.rect.height) == (33, 21)


# --- what else it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        ({}, (100, False, None, None, None)),
        ({"image": {"transparency": 40}}, (40, False, None, None, None)),
        ({"image": {"transparency": 0}}, (0, False, None, None, None)),
        ({"image": {"background": True}}, (100, True, None, None, None)),
        ({"start_time": "1.5", "end_time": 3}, (100, False, 1.5, 3.0, None)),
        ({"start_time": 0, "end_time": 0}, (100, False, None, None, None)),
        ({"slide_config": {"slide_mode": "Default", "x_slide_speed": 5}}, (100, False, None, None, None)),
        (
            {"slide_config": {"slide_mode": "ScrollFromLeft", "x_slide_speed": 5, "y_slide_speed": 2}},
            (100, False, None, None, Slide(20.0, 6.0, 400, 300)),
        ),
        ({"slide_config": {"slide_mode": "ScrollFromLeft"}}, (100, False, None, None, Slide(0.0, 0.0, 400, 300))),
    ],
)
def test_facts(node: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    found = at(**node)
    assert (found.opacity, found.background, found.start, found.end, found.slide) == wanted


# --- the chains ------------------------------------------------------------------------------------------------------


def chains(*marks: Mark, samples: str = "yuv420p") -> list[str]:
    found, last = painted(marks, "[cut]", samples, "mark")
    assert last == (f"[marked{len(marks) - 1}]" if marks else "[cut]")
    return found


def test_marks_are_painted_one_over_the_other() -> None:
    scaled = "scale=60:40:flags=bicubic+accurate_rnd:out_color_matrix=bt709:out_range=tv,format=yuva420p,setsar=1"
    assert chains(at(pos="TopLeft"), at(pos="BottomRight")) == [
        f"[7:0]{scaled}[mark0]",
        "[cut][mark0]overlay=x=0:y=0:format=yuv420[marked0]",
        f"[7:0]{scaled}[mark1]",
        "[marked0][mark1]overlay=x=340:y=260:format=yuv420[marked1]",
    ]
    assert chains() == []


@pytest.mark.parametrize(
    ("dx", "dy", "pad", "place"),
    [
        (12, 8, None, "x=12:y=8"),
        (13, 8, "pad=61:40:1:0:color=black@0", "x=12:y=8"),
        (12, 9, "pad=60:41:0:1:color=black@0", "x=12:y=8"),
        (13, 9, "pad=61:41:1:1:color=black@0", "x=12:y=8"),
    ],
)
def test_transparent_pixels_move_a_mark_to_an_odd_place(dx: int, dy: int, pad: str | None, place: str) -> None:
    scaled, *smeared, laid = chains(at(pos="TopLeft", dx=dx, dy=dy))
    assert [step for step in scaled.split(",") if step.startswith("pad")] == ([pad] if pad else [])
    assert f"overlay={place}:" in laid
    left, top = dx % 2, dy % 2
    assert smeared == (
        [
            "[mark0_a]alphaextract[mark0_m]",
            f"[mark0_c]format=yuv444p,fillborders=left={left}:top={top}:mode=smear[mark0_k]",
            "[mark0_k][mark0_m]alphamerge,scale=flags=bicubic+accurate_rnd,format=yuva420p,setsar=1[mark0]",
        ]
        if pad
        else []
    )


@pytest.mark.parametrize("samples", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize(("dx", "dy"), [(12, 8), (13, 8), (12, 9), (13, 9), (-13, -9)])
def test_with_full_chroma_a_mark_lies_at_any_place_as_it_is(samples: str, dx: int, dy: int) -> None:
    scaled, laid = chains(at(pos="TopLeft", dx=dx, dy=dy), samples=samples)
    assert "pad" not in scaled
    assert f"overlay=x={dx}:y={dy}:" in laid


def test_a_mark_that_reaches_over_the_left_edge_is_placed_there() -> None:
    scaled, *_, laid = chains(at(pos="TopLeft", dx=-13))
    assert "pad=61:40:1:0:color=black@0" in scaled
    assert "overlay=x=-14:y=0:" in laid


@pytest.mark.parametrize(
    ("opacity", "step"), [(100, None), (99, "lut=a=val*0.99"), (50, "lut=a=val*0.50"), (0, "lut=a=val*0.00")]
)
def test_opacity(opacity: int, step: str | None) -> None:
    scaled, _ = chains(at(image={"transparency": opacity}))
    assert [each for each in scaled.split(",") if "lut" in each] == ([step] if step else [])


@pytest.mark.parametrize(
    ("times", "enable"),
    [
        ({}, ""),
        ({"start_time": 1}, ":enable='gte(t,1.000)'"),
        ({"end_time": 2.5}, ":enable='gte(t,0.000)*lt(t,2.500)'"),
        ({"start_time": "1.25", "end_time": 2}, ":enable='gte(t,1.250)*lt(t,2.000)'"),
    ],
)
def test_times(times: dict[str, Any], enable: str) -> None:
    _, laid = chains(at(pos="TopLeft", **times))
    assert laid == f"[cut][mark0]overlay=x=0:y=0:format=yuv420{enable}[marked0]"


def sliding(x: int, y: int, **node: Any) -> Mark:
    return at(slide_config={"slide_mode": "ScrollFromLeft", "x_slide_speed": x, "y_slide_speed": y}, **node)


@pytest.mark.parametrize(
    ("mark", "place"),
    [
        pytest.param(sliding(5, 0), "x='mod(20.000*(t-0.000)+0,460)-60':y='0'", id="from beyond the left edge"),
        pytest.param(sliding(0, 2), "x='0':y='mod(6.000*(t-0.000)+40,340)-40'", id="downwards from the top"),
        pytest.param(
            sliding(5, 2),
            "x='mod(20.000*(t-0.000)+0,460)-60':y='mod(6.000*(t-0.000)+40,340)-40'",
            id="both",
        ),
        pytest.param(sliding(0, 0), "x='0':y='0'", id="neither"),
        pytest.param(
            sliding(10, 0, start_time="1.5"), "x='mod(40.000*(t-1.500)+0,460)-60':y='0'", id="from its start on"
        ),
        pytest.param(
            sliding(1, 0, pos="BottomRight", dx=33, dy=33),
            "x='mod(4.000*(t-0.000)+0,460)-60':y='0'",
            id="its offsets do not act",
        ),
    ],
)
def test_sliding(mark: Mark, place: str) -> None:
    scaled, laid = chains(mark)
    assert f"overlay={place}:format=yuv420" in laid
    assert "pad=" not in scaled


@pytest.mark.parametrize(
    ("mark", "place", "enable"),
    [
        pytest.param(at(pos="TopLeft"), "x=0:y=0", "", id="always"),
        pytest.param(at(pos="TopLeft", start_time=1), "x=0:y=0", ":enable='gte(t,3.480)'", id="from a time on"),
        pytest.param(
            at(pos="TopLeft", end_time="0.5"), "x=0:y=0", ":enable='gte(t,2.480)*lt(t,2.980)'", id="until a time"
        ),
        pytest.param(
            sliding(5, 2, start_time=1),
            "x='mod(20.000*(t-3.480)+0,460)-60':y='mod(6.000*(t-3.480)+40,340)-40'",
            ":enable='gte(t,3.480)'",
            id="one that moves begins at its edge",
        ),
        pytest.param(sliding(5, 0), "x='mod(20.000*(t-2.480)+0,460)-60':y='0'", "", id="always moving"),
    ],
)
def test_times_count_from_the_start_of_the_result(mark: Mark, place: str, enable: str) -> None:
    (_, laid), _ = painted([mark], "[black]", "yuv420p", "ground", begins=2.48)
    assert laid == f"[black][ground0]overlay={place}:format=yuv420{enable}[grounded0]"


def test_only_what_moves_needs_full_chroma() -> None:
    assert exact(at(pos="TopLeft", dx=13, dy=7))
    assert exact(at(slide_config={"slide_mode": "Default", "x_slide_speed": 5}))
    assert not exact(sliding(5, 0))
    assert not exact(sliding(0, 0))


@pytest.mark.parametrize("samples", ["yuv444p", "yuv444p10le"])
def test_with_full_chroma_no_mark_gets_transparent_pixels(samples: str) -> None:
    scaled, _ = chains(at(pos="TopLeft", dx=13, dy=7), samples=samples)
    assert "pad=" not in scaled


@pytest.mark.parametrize(
    ("facts", "colours"),
    [
        ({}, "accurate_rnd:out_color_matrix=bt709"),
        ({"rgb": False}, "accurate_rnd:in_color_matrix=bt470bg:out_color_matrix=bt709"),
        ({"rgb": False, "matrix": "smpte170m"}, "accurate_rnd:in_color_matrix=smpte170m:out_color_matrix=bt709"),
    ],
)
def test_the_colours_of_the_picture(facts: dict[str, Any], colours: str) -> None:
    scaled, _ = chains(at(picture(**facts)))
    assert colours in scaled


@pytest.mark.parametrize(
    ("samples", "planes", "mode"),
    [
        ("yuv420p", "yuva420p", "yuv420"),
        ("yuv444p", "yuva444p", "yuv444"),
        ("yuv420p10le", "yuva420p10le", "yuv420p10"),
        ("yuv444p10le", "yuva444p10le", "yuv444p10"),
    ],
)
def test_marks_have_the_samples_of_the_composition(samples: str, planes: str, mode: str) -> None:
    scaled, laid = chains(at(), samples=samples)
    assert f"format={planes}" in scaled.split(",")
    assert f":format={mode}[" in laid


# --- in the graph ----------------------------------------------------------------------------------------------------


def test_marks_lie_over_the_composition_and_below_crop_and_rotation() -> None:
    operation = marked(job("a.mp4", video={"crop": "128:64:0:0", "rotate": 90}), LOGO)
    found = graph(operation, source(), still())
    assert found[1] == "[placed0]pad=256:192:0:0:black[base]"
    assert found[2] == "[base]tpad=stop=50:stop_mode=clone,trim=end_frame=50[cut]"
    assert found[-2].startswith("[cut][mark0]overlay=")
    assert found[-1].startswith("[marked0]crop=128:64:0:0:exact=1,transpose=clock,setparams=")


def test_times_of_marks_count_from_the_first_kept_frame() -> None:
    operation = marked(job("a.mp4", time_interval={"start": 1}), {**LOGO, "start_time": "0.5"})
    found = graph(operation, source(), still())
    assert found[2].endswith("trim=start_frame=25:end_frame=50,setpts=PTS-STARTPTS[cut]")
    assert ":enable='gte(t,0.500)'" in found[-2]


def test_times_of_backgrounds_count_from_the_first_kept_frame_too() -> None:
    sliding_wall = {"slide_config": {"slide_mode": "ScrollFromLeft", "x_slide_speed": 10}}
    behind = {**LOGO, **sliding_wall, "image": {"url": "wall.png", "background": True}, "start_time": "0.5"}
    operation = marked(job("a.mp4", time_interval={"start": 1}), behind)
    (laid,) = (chain for chain in graph(operation, source(), still()) if chain.endswith("[grounded0]"))
    assert "(t-1.500)" in laid
    assert laid.endswith(":enable='gte(t,1.500)'[grounded0]")


def test_times_of_backgrounds_count_from_where_the_sources_were_sought() -> None:
    behind = {**LOGO, "image": {"url": "wall.png", "background": True}, "start_time": "0.5"}
    operation = marked(job("a.mp4", time_interval={"start": 100, "duration": 1}), behind)
    found = graph(operation, source(seconds=200), still())
    assert any("trim=start_frame=50:end_frame=75" in chain for chain in found)
    (laid,) = (chain for chain in found if chain.endswith("[grounded0]"))
    assert ":enable='gte(t,2.500)'" in laid


def test_backgrounds_lie_behind_the_sources_on_black() -> None:
    behind = {**LOGO, "image": {"url": "wall.png", "background": True}}
    operation = marked(job("a.mp4", ("b.mp4", {"x": 128})), LOGO, behind)
    found = graph(operation, source(), source(), still(), still())
    assert [chain.rpartition("[")[2] for chain in found] == [
        *("placed0]", "placed1]", "black]", "ground0]", "grounded0]", "painted0]", "painted1]"),
        *("cut]", "mark0]", "marked0]", "picture]"),
    ]
    assert found[2] == "color=c=black:s=256x192:r=25/1:d=2.040000,format=yuv420p,trim=end_frame=50[black]"
    assert found[3].startswith("[3:0]scale=")
    assert found[4].startswith("[black][ground0]overlay=")
    assert found[5] == "[grounded0][placed0]overlay=x=0:y=0:format=yuv420[painted0]"


def test_nothing_that_a_person_wrote_gets_into_a_chain() -> None:
    nasty = "',[x];movie=/etc/passwd"
    text = {"type": "Text", "text": {"text": nasty, "font_color": nasty, "font_type": nasty}}
    image = {"type": "Image", "image": {"url": nasty}}
    found = ";".join(graph(marked(job("a.mp4"), text, image), source(), still(), letterings={0: still(20, 10)}))
    assert "movie" not in found
    assert "passwd" not in found
