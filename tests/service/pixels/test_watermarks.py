"""Watermarks: place, size, opacity, time, order and movement, against the same painter as the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from reconciler.service.lettering import FOLDER
from tests.service.media import Colour
from tests.service.pixels.measure import (
    BLACK,
    BLUE,
    CANVAS,
    CYAN,
    GREEN,
    MAGENTA,
    ORANGE,
    RED,
    WHITE,
    YELLOW,
    Array,
    Result,
    Stage,
    assert_shows,
    blended,
    flat,
    painted,
    quarters,
)

MARK: Final = (40, 24)
GROUND: Final = flat(BLUE, *CANVAS)
WHOLE: Final = {"width": CANVAS[0], "height": CANVAS[1]}


def image(picture: Path, *, mode: str = "Original", opacity: int = 100, **nodes: Any) -> dict[str, Any]:
    """A picture mark in the upper left corner; ``nodes`` are those of Watermark, or of Image where it has them."""
    own: dict[str, Any] = {key: nodes.pop(key) for key in ("width", "height", "background") if key in nodes}
    inner = {"url": picture.name, "mode": mode, "transparency": opacity, **own}
    return {"type": "Image", "pos": "TopLeft", "loc_mode": "Absolute", "dx": 0, "dy": 0, "image": inner, **nodes}


def letters(text: str, *, size: int = 40, opacity: int = 100, color: str = "0xffffff", **nodes: Any) -> dict[str, Any]:
    """A text mark in the upper left corner."""
    font = nodes.pop("font", "arial.ttf")
    inner = {"text": text, "font_size": size, "font_type": font, "font_color": color, "transparency": opacity}
    return {"type": "Text", "pos": "TopLeft", "loc_mode": "Absolute", "dx": 0, "dy": 0, "text": inner, **nodes}


def ground(stage: Stage, frames: int = 5, **more: Any) -> tuple[Path, dict[str, int]]:
    """A source that fills the canvas with blue."""
    return stage.flat(BLUE, 64, 48, frames=frames, **more), WHOLE


def over(*placed: tuple[Array, int, int]) -> Array:
    return painted(CANVAS, (GROUND, 0, 0), *placed)


# Place.


def place(pos: str, dx: float, dy: float) -> tuple[int, int]:
    """Where the mark's upper left corner is: offsets count inwards, and only where the anchor is at an edge."""
    (width, height), (w, h) = CANVAS, MARK
    x = dx if "Left" in pos else width - w - dx if "Right" in pos else (width - w) / 2
    y = dy if "Top" in pos else height - h - dy if "Bottom" in pos else (height - h) / 2
    return round(x), round(y)


COLOURS: Final = (RED, GREEN, BLUE, YELLOW, MAGENTA, ORANGE, WHITE)
POSITIONS: Final = ("TopLeft", "Top", "TopRight", "Left", "Center", "Right", "BottomLeft", "Bottom", "BottomRight")


@pytest.mark.parametrize("pos", POSITIONS)
@pytest.mark.parametrize(
    ("loc_mode", "offset", "pixels"),
    [
        pytest.param("Absolute", (30, 20), (30, 20), id="pixels"),
        pytest.param("Absolute", (31, 21), (31, 21), id="odd pixels"),
        pytest.param("Relativity", (12.5, 25), (32, 48), id="percent"),
        pytest.param("Absolute", (0, 0), (0, 0), id="no offset"),
    ],
)
def test_positions(stage: Stage, pos: str, loc_mode: str, offset: tuple[float, float], pixels: tuple[int, int]) -> None:
    mark = image(stage.picture(quarters(*MARK)), pos=pos, loc_mode=loc_mode, dx=offset[0], dy=offset[1])
    result = stage.compose(ground(stage, 1), marks=[mark])
    assert_shows(result.frames[0], over((quarters(*MARK), *place(pos, *pixels))))


@pytest.mark.parametrize("place", [(13, 9), (13, 8), (12, 9), (-13, -9)])
@pytest.mark.parametrize("video", [{"pixfmt": "yuv444p", "profile": "high444"}, {}], ids=["4:4:4", "4:2:0 of 4:4:4"])
def test_marks_at_odd_places_of_compositions_with_full_chroma(
    stage: Stage, video: dict[str, Any], place: tuple[int, int]
) -> None:
    """A source at an odd place is composed with full chroma, whatever the result has."""
    dx, dy = place
    ground_at = {"x": -1, "y": -1, "width": CANVAS[0] + 2, "height": CANVAS[1] + 2}
    mark = image(stage.picture(quarters(*MARK)), dx=dx, dy=dy)
    result = stage.compose((stage.flat(BLUE, 64, 48, frames=1), ground_at), marks=[mark], video=video)
    assert_shows(result.frames[0], over((quarters(*MARK), dx, dy)))


def test_offsets_left_out_are_none(stage: Stage) -> None:
    mark = image(stage.picture(quarters(*MARK)), pos="BottomRight", dx=None, dy=None)
    result = stage.compose(ground(stage, 1), marks=[mark])
    assert_shows(result.frames[0], over((quarters(*MARK), 216, 168)))


def test_a_mark_beyond_the_edge_is_clipped(stage: Stage) -> None:
    marks = [image(stage.picture(flat(RED, *MARK)), pos="TopLeft", dx=240, dy=180)]
    result = stage.compose(ground(stage, 1), marks=marks)
    assert_shows(result.frames[0], over((flat(RED, *MARK), 240, 180)))


Layer = tuple[tuple[int, int, int], int, int, int, int, int]


def layers(*, behind: bool) -> st.SearchStrategy[list[Layer]]:
    """Marks of one colour, at even places: colour, offsets, width, height, opacity."""
    offset = st.integers(0, 40).map(lambda n: -2 * n if behind else 2 * n)
    side, opacity = st.integers(4, 60).map(lambda n: 2 * n), st.sampled_from([10, 40, 100])
    return st.lists(st.tuples(st.sampled_from(COLOURS), offset, offset, side, side, opacity), max_size=2)


@settings(deadline=None, derandomize=True, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers(behind=True), layers(behind=False).map(lambda marks: marks[:1]), st.integers(0, 30), st.integers(0, 255))
def test_any_marks_are_what_the_painter_paints(
    stage: Stage, behind: list[Layer], above: list[Layer], at: int, alpha: int
) -> None:
    """Backgrounds, a source of some alpha, marks: each is mixed with all that lies below it."""
    pixels = np.concatenate([flat(CYAN, 64, 48), np.full((48, 64, 1), float(alpha))], axis=2)
    marks = [
        image(stage.picture(flat(colour, width, height)), opacity=opacity, dx=x, dy=y, background=background)
        for background, group in ((True, behind), (False, above))
        for colour, x, y, width, height, opacity in group
    ]
    source = stage.picture(pixels), {"x": at, "y": at}
    result = stage.compose(source, canvas=(128, 128), marks=marks, time_interval={"duration": 0.04})
    wanted = flat(BLACK, 128, 128)
    for colour, x, y, width, height, opacity in [*behind, (CYAN, at, at, 64, 48, alpha / 2.55), *above]:
        share = painted((128, 128), (flat(WHITE, width, height), x, y)) / 255 * opacity / 100
        wanted = wanted * (1 - share) + np.asarray(colour) * share
    assert_shows(result.frames[0], wanted)


# Size.


@pytest.mark.parametrize(
    ("mode", "nodes", "size"),
    [
        pytest.param("Original", {}, (40, 24), id="its own size"),
        pytest.param("Fixed", {"width": 100, "height": 90}, (100, 90), id="pixels"),
        pytest.param("Fixed", {"width": 80}, (80, 48), id="pixels, the height follows the picture"),
        pytest.param("Fixed", {"height": 48}, (80, 48), id="pixels, the width follows the picture"),
        pytest.param("Fixed", {"width": 51, "height": 33}, (51, 33), id="odd pixels"),
        pytest.param("Proportion", {"width": 50, "height": 25}, (128, 48), id="percent of each side"),
        pytest.param("Proportion", {"width": 25}, (64, 38), id="percent of the width, the height follows the picture"),
        pytest.param("Proportion", {"height": 25}, (80, 48), id="percent of the height, the width follows the picture"),
        pytest.param("Proportion", {"width": 100, "height": 100}, CANVAS, id="the whole canvas"),
    ],
)
@pytest.mark.parametrize("pos", ["TopLeft", "BottomRight"])
def test_sizes(stage: Stage, mode: str, nodes: dict[str, int], size: tuple[int, int], pos: str) -> None:
    mark = image(stage.picture(flat(ORANGE, *MARK)), mode=mode, pos=pos, **nodes)
    result = stage.compose(ground(stage, 1), marks=[mark])
    x, y = (0, 0) if pos == "TopLeft" else (CANVAS[0] - size[0], CANVAS[1] - size[1])
    assert_shows(result.frames[0], over((flat(ORANGE, *size), x, y)))


def test_a_mark_is_stretched_to_its_size(stage: Stage) -> None:
    mark = image(stage.picture(quarters(*MARK)), mode="Fixed", width=160, height=40, dx=10, dy=10)
    result = stage.compose(ground(stage, 1), marks=[mark])
    assert_shows(result.frames[0], over((quarters(160, 40), 10, 10)), margin=8)


# Opacity.


@pytest.mark.parametrize("opacity", [1, 25, 50, 75, 100])
def test_transparency_is_an_opacity(stage: Stage, opacity: int) -> None:
    mark = image(stage.picture(flat(ORANGE, *MARK)), opacity=opacity, dx=30, dy=20)
    result = stage.compose(ground(stage, 1), marks=[mark])
    mixed = flat(BLUE, *MARK) * (1 - opacity / 100) + flat(ORANGE, *MARK) * opacity / 100
    assert_shows(result.frames[0], over((mixed, 30, 20)))


@pytest.mark.parametrize("opacity", [100, 50])
def test_the_alpha_of_the_picture_counts_too(stage: Stage, opacity: int) -> None:
    pixels = np.concatenate([flat(RED, *MARK), np.full((MARK[1], MARK[0], 1), 255.0)], axis=2)
    pixels[:, 20:, 3] = 102
    mark = image(stage.picture(pixels), opacity=opacity, dx=30, dy=20)
    result = stage.compose(ground(stage, 1), marks=[mark])
    wanted = flat(RED, *MARK)
    wanted[:, :20] = blended(BLUE, RED, opacity / 100)
    wanted[:, 20:] = blended(BLUE, RED, 0.4 * opacity / 100)
    assert_shows(result.frames[0], over((wanted, 30, 20)))


# Time.


def visible(result: Result, x: int = 40, y: int = 30) -> list[bool]:
    """For each frame whether something else than the ground is seen at a place."""
    return [bool(np.abs(np.subtract(frame.at(x, y), BLUE)).max() > 60) for frame in result.frames]


@pytest.mark.parametrize(
    ("nodes", "frames"),
    [
        pytest.param({}, range(20), id="always"),
        pytest.param({"start_time": 0.2}, range(5, 20), id="start inclusive"),
        pytest.param({"end_time": 0.4}, range(10), id="end exclusive"),
        pytest.param({"start_time": 0.2, "end_time": 0.4}, range(5, 10), id="both"),
        pytest.param({"start_time": 0.21, "end_time": 0.39}, range(6, 10), id="between frames"),
        pytest.param({"start_time": 0.4, "end_time": 0.44}, range(10, 11), id="a single frame"),
        pytest.param({"start_time": 0.6, "end_time": 90}, range(15, 20), id="end beyond the end"),
        pytest.param({"start_time": 2}, range(0), id="start beyond the end"),
    ],
)
@pytest.mark.parametrize("kind", ["Image", "Text"])
def test_times(stage: Stage, nodes: dict[str, Any], frames: range, kind: str) -> None:
    """Frame n of 25 a second is at n/25 s."""
    picture = image(stage.picture(flat(ORANGE, *MARK)), dx=25, dy=20, **nodes)
    text = letters("*" * 30, size=100, **nodes)
    result = stage.compose(ground(stage, 20), marks=[picture if kind == "Image" else text])
    seen = visible(result) if kind == "Image" else [bool(f.rgb[..., 0].max() > 120) for f in result.frames]
    assert seen == [number in frames for number in range(20)]


def test_times_count_from_the_first_kept_frame(stage: Stage) -> None:
    mark = image(stage.picture(flat(ORANGE, *MARK)), dx=25, dy=20, start_time=0.2, end_time=0.4)
    result = stage.compose(ground(stage, 40), marks=[mark], time_interval={"start": 0.52, "duration": 0.6})
    assert visible(result) == [number in range(5, 10) for number in range(15)]


def test_times_hold_at_any_frame_rate(stage: Stage) -> None:
    mark = image(stage.picture(flat(ORANGE, *MARK)), dx=25, dy=20, start_time=0.5, end_time=1)
    result = stage.compose(ground(stage, 50), marks=[mark], video={"fps": 10})
    assert visible(result) == [number in range(5, 10) for number in range(20)]


# Order.


def test_marks_are_drawn_in_order_on_top_of_everything(stage: Stage) -> None:
    layers: list[tuple[Colour, int]] = [(RED, 10), (GREEN, 30), (YELLOW, 50)]
    marks = [image(stage.picture(flat(colour, 60, 40)), dx=at, dy=at) for colour, at in layers]
    result = stage.compose(ground(stage), (stage.flat(WHITE), {"x": 40, "y": 40}), marks=marks)
    wanted = over((flat(WHITE), 40, 40), *[(flat(colour, 60, 40), at, at) for colour, at in layers])
    for frame in result.frames:
        assert_shows(frame, wanted)


def test_pictures_and_texts_keep_their_order(stage: Stage) -> None:
    plate = image(stage.picture(flat(RED, 200, 100)))
    text = letters("HHH", size=60)
    above = stage.compose(ground(stage, 1), marks=[plate, text]).frames[0]
    below = stage.compose(ground(stage, 1), marks=[text, plate]).frames[0]
    assert_shows(below, over((flat(RED, 200, 100), 0, 0)))
    assert above.rgb[:100, :200, 1].max() > 240


def test_marks_are_drawn_before_the_picture_is_cropped_and_turned(stage: Stage) -> None:
    mark = image(stage.picture(quarters(*MARK)), pos="TopRight", dx=20, dy=10)
    video = {"crop": "140:100:110:4", "rotate": 90}
    result = stage.compose(ground(stage, 1), marks=[mark], video=video)
    wanted = over((quarters(*MARK), 196, 10))[4:104, 110:250]
    assert_shows(result.frames[0], np.rot90(wanted, -1))


def test_a_mark_stays_when_the_source_ends(stage: Stage) -> None:
    mark = image(stage.picture(quarters(*MARK)), pos="TopRight", dx=20, dy=10)
    result = stage.compose(ground(stage, 5), (stage.flat(RED, frames=15), {"y": 96}), marks=[mark])
    wanted = over((flat(RED), 0, 96), (quarters(*MARK), 196, 10))
    assert_shows(result.frames[-1], wanted)


# Backgrounds.


def test_a_background_lies_under_the_sources_and_over_black(stage: Stage) -> None:
    behind = image(stage.picture(flat(ORANGE, 150, 120)), background=True)
    result = stage.compose((stage.flat(BLUE), {"x": 100, "y": 60}), marks=[behind])
    assert_shows(result.frames[-1], painted(CANVAS, (flat(ORANGE, 150, 120), 0, 0), (flat(BLUE), 100, 60)))


def test_a_background_can_begin_outside_of_the_canvas(stage: Stage) -> None:
    behind = image(stage.picture(quarters(300, 240)), background=True, dx=-40, dy=-60)
    result = stage.compose((stage.flat(BLUE), {"x": 100, "y": 60}), marks=[behind])
    assert_shows(result.frames[-1], painted(CANVAS, (quarters(300, 240), -40, -60), (flat(BLUE), 100, 60)))


def test_a_background_larger_than_the_canvas_in_percent(stage: Stage) -> None:
    behind = image(
        stage.picture(quarters(40, 30)),
        mode="Proportion",
        width=200,
        height=200,
        background=True,
        loc_mode="Relativity",
        dx=-50,
        dy=-50,
    )
    result = stage.compose((stage.flat(BLUE, 64, 48), {"x": 10, "y": 10}), marks=[behind])
    wanted = painted(CANVAS, (quarters(512, 384), -128, -96), (flat(BLUE, 64, 48), 10, 10))
    assert_shows(result.frames[-1], wanted, margin=24)


def test_a_background_has_an_opacity_too(stage: Stage) -> None:
    behind = image(stage.picture(flat(WHITE, *CANVAS)), background=True, opacity=50)
    result = stage.compose((stage.flat(BLUE), {"x": 100, "y": 60}), marks=[behind])
    assert_shows(result.frames[-1], painted(CANVAS, (flat((128, 128, 128), *CANVAS), 0, 0), (flat(BLUE), 100, 60)))


def test_a_background_listed_last_is_still_behind(stage: Stage) -> None:
    plate = stage.picture(flat(ORANGE, 150, 120))
    marks = [image(stage.picture(flat(RED, *MARK)), dx=120, dy=70), image(plate, background=True)]
    result = stage.compose((stage.flat(BLUE), {"x": 100, "y": 60}), marks=marks)
    layers = [(flat(ORANGE, 150, 120), 0, 0), (flat(BLUE), 100, 60), (flat(RED, *MARK), 120, 70)]
    assert_shows(result.frames[-1], painted(CANVAS, *layers))


def test_two_backgrounds_are_painted_in_order(stage: Stage) -> None:
    marks = [
        image(stage.picture(flat(ORANGE, *CANVAS)), background=True),
        image(stage.picture(flat(CYAN, 90, 90)), background=True),
    ]
    result = stage.compose((stage.flat(BLUE), {"x": 64, "y": 48}), marks=marks)
    layers = [(flat(ORANGE, *CANVAS), 0, 0), (flat(CYAN, 90, 90), 0, 0), (flat(BLUE), 64, 48)]
    assert_shows(result.frames[-1], painted(CANVAS, *layers))


# Movement.


def sliding(x: int, y: int = 0) -> dict[str, Any]:
    return {"slide_config": {"slide_mode": "ScrollFromLeft", "x_slide_speed": x, "y_slide_speed": y}}


def corner(result: Result, seconds: float) -> tuple[int, int] | None:
    """The upper left pixel of what is red at a time."""
    shown = result.at(seconds)
    rows, columns = np.nonzero((shown.rgb[..., 0] > 150) & (shown.rgb[..., 2] < 100))
    return (int(columns.min()), int(rows.min())) if len(rows) else None


@pytest.fixture(scope="module")
def slide(stage: Stage) -> Result:
    """Thirteen seconds of a mark at 10 % of 256 pixels a second, five frames each, without regard to its place."""
    mark = image(stage.picture(flat(RED, *MARK)), pos="BottomRight", dx=50, dy=50, **sliding(10))
    return stage.compose(ground(stage, 65, rate="5"), marks=[mark])


def test_a_sliding_mark_comes_from_the_left_and_passes_at_its_speed(slide: Result) -> None:
    assert corner(slide, 0) is None
    for seconds in (2, 3.4, 5, 7, 9):
        found = corner(slide, seconds)
        assert found is not None
        assert found[0] == pytest.approx(25.6 * seconds - 40, abs=1.5)
        assert found[1] == pytest.approx(0, abs=1)


def test_a_sliding_mark_is_cut_at_the_edges(slide: Result) -> None:
    width = (slide.at(1).rgb[5, :, 0] > 150).sum()
    assert width == pytest.approx(25.6, abs=1.5)
    assert ((slide.at(11).rgb[5, :, 0] > 150).sum()) == pytest.approx(256 - (25.6 * 11 - 40), abs=1.5)


def test_a_sliding_mark_comes_again_after_it_has_left(slide: Result) -> None:
    """It has left when it went its own width more than the canvas: 296 pixels, 11.56 seconds."""
    again = (slide.at(12.4).rgb[5, :, 0] > 150).sum()
    assert again == pytest.approx(25.6 * 12.4 - 296, abs=2)


def test_a_sliding_mark_moves_down_by_its_own_speed(stage: Stage) -> None:
    mark = image(stage.picture(flat(RED, *MARK)), **sliding(10, 5))
    result = stage.compose(ground(stage, 50, rate="5"), marks=[mark])
    for seconds in (2, 4, 6, 8):
        found = corner(result, seconds)
        assert found is not None
        assert found == pytest.approx((25.6 * seconds - 40, 9.6 * seconds), abs=1.5)


def test_a_sliding_mark_has_times_and_opacity_too(stage: Stage) -> None:
    mark = image(stage.picture(flat(RED, *MARK)), opacity=50, start_time=2, end_time=6, **sliding(10))
    result = stage.compose(ground(stage, 40, rate="5"), marks=[mark])
    seen = [bool(frame.rgb[:24, :, 0].max() > 90) for frame in result.frames]
    assert seen[:10] == [False] * 10
    assert all(seen[15:30])
    assert seen[30:] == [False] * 10
    assert result.frames[28].rgb[:24, :, 0].max() == pytest.approx(128, abs=10)


def test_a_text_slides_too(stage: Stage) -> None:
    mark = letters("HHHH", size=40, pos="Center", **sliding(10))
    result = stage.compose(ground(stage, 40, rate="5"), marks=[mark])
    ink = [np.nonzero((frame.rgb[..., 0] > 128).any(axis=0))[0] for frame in result.frames]
    assert len(ink[0]) == 0
    assert ink[30].max() - ink[20].max() == pytest.approx(51.2, abs=1.5)
    assert (result.frames[30].rgb[:60, :, 0] > 128).any()
    assert not (result.frames[30].rgb[60:, :, 0] > 128).any()


def test_slide_mode_default_is_no_movement(stage: Stage) -> None:
    still: dict[str, Any] = {"slide_config": {"slide_mode": "Default", "x_slide_speed": 10, "y_slide_speed": 10}}
    mark = image(stage.picture(flat(RED, *MARK)), **still)
    result = stage.compose(ground(stage, 10, rate="5"), marks=[mark])
    assert {corner(result, seconds) for seconds in (0, 0.6, 1.8)} == {(0, 0)}


# Kinds of pictures.


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "jpg", "webp"])
def test_kinds_of_pictures(stage: Stage, suffix: str) -> None:
    path = stage.folder / f"mark.{suffix}"
    exact = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    Image.new("RGB", MARK, (200, 60, 40)).save(path, **exact)
    result = stage.compose(ground(stage, 1), marks=[image(path, dx=30, dy=20)])
    assert_shows(result.frames[0], over((flat((200, 60, 40), *MARK), 30, 20)))


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_only_the_first_picture_of_an_animation_is_seen(stage: Stage, suffix: str) -> None:
    path = stage.folder / f"moving.{suffix}"
    first, *others = [Image.new("RGB", MARK, colour) for colour in (RED, GREEN, WHITE)]
    first.save(path, save_all=True, append_images=others, duration=40, loop=0)
    result = stage.compose(ground(stage, 10), marks=[image(path, dx=30, dy=20)])
    assert len(result.frames) == 10
    for frame in result.frames:
        assert_shows(frame, over((flat(RED, *MARK), 30, 20)))


# Texts.


def drawn(text: str, size: int, file: str = "LiberationSans-Regular.ttf") -> Array:
    """The same letters by Pillow, cut to their ink, from 0 to 1."""
    font = ImageFont.truetype(str(FOLDER / file), size)
    canvas = Image.new("L", (size * (len(text) + 2), size * 3), 0)
    ImageDraw.Draw(canvas).text((size, size), text, fill=255, font=font)
    return np.asarray(canvas.crop(canvas.getbbox()), dtype=np.float64) / 255


def ink(result: Result, number: int = -1) -> tuple[Array, int, int]:
    """What white was drawn on black, from 0 to 1, cut to it; and where its upper left corner is."""
    luma = np.clip((result.frames[number].yuv[..., 0] - 16) / 219, 0, 1)
    rows, columns = np.nonzero(luma > 0.2)
    assert len(rows), "no ink"
    top, left = rows.min(), columns.min()
    return luma[top : rows.max() + 1, left : columns.max() + 1], int(left), int(top)


FACES: Final = ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf", "ArchivoBlack-Regular.ttf", "gbsn00lp.ttf")


def alike(found: Array, wanted: Array) -> float:
    """Correlation of two drawings that may be shifted by a pixel; the smaller one is filled up with nothing."""
    height, width = np.maximum(found.shape, wanted.shape) + 2

    def laid(ink: Array, x: int, y: int) -> Array:
        return np.pad(ink, ((y, height - ink.shape[0] - y), (x, width - ink.shape[1] - x))).ravel()

    middle = laid(found, 1, 1)
    return max(float(np.corrcoef(middle, laid(wanted, x, y))[0, 1]) for x in range(3) for y in range(3))


def dark(stage: Stage, frames: int = 1) -> tuple[Path, dict[str, int]]:
    return stage.flat(BLACK, 64, 48, frames=frames), WHOLE


@pytest.mark.parametrize(("text", "size"), [("Demo", 20), ("Demo", 40), ("Wave_7-*", 33), ("HHH", 80)])
def test_a_text_is_drawn_with_its_font_at_its_size(stage: Stage, text: str, size: int) -> None:
    wanted = drawn(text, size)
    found, _, _ = ink(stage.compose(dark(stage), marks=[letters(text, size=size, dx=10, dy=10)]))
    assert found.shape == pytest.approx(wanted.shape, abs=1)
    likenesses = [alike(found, drawn(text, size, file)) for file in FACES]
    assert likenesses[0] > 0.8
    assert likenesses[0] > max(likenesses[1:])


def test_a_chinese_text_is_drawn(stage: Stage) -> None:
    found, _, _ = ink(stage.compose(dark(stage), marks=[letters("水印", size=40, font="simhei.ttf")]))
    height, width = found.shape
    assert 60 < width < 84
    assert 30 < height < 46
    assert 0.1 < (found > 0.5).mean() < 0.6


@pytest.mark.parametrize("color", ["0xff0000", "0x00ff00", "0xe6821e", "0xffffff"])
def test_a_text_has_its_colour(stage: Stage, color: str) -> None:
    """In the stems of large letters, which are wider than the taps of any scaler."""
    result = stage.compose(ground(stage, 1), marks=[letters("HHH", size=100, color=color)])
    wanted = tuple(int(color[at : at + 2], 16) for at in (2, 4, 6))
    off = np.abs(result.frames[0].rgb - wanted).max(axis=2)
    assert (off <= 8).sum() > 500


@pytest.mark.parametrize("opacity", [25, 50, 75])
def test_a_text_has_its_opacity(stage: Stage, opacity: int) -> None:
    result = stage.compose(dark(stage), marks=[letters("HHH", size=100, opacity=opacity)])
    luma = (result.frames[0].yuv[..., 0] - 16) / 219 * 100
    assert np.percentile(luma[luma > 0.6 * opacity], 75) == pytest.approx(opacity, abs=3)
    assert luma.max() <= opacity + 4


@pytest.mark.parametrize("pos", POSITIONS)
def test_a_text_lies_at_its_anchor(stage: Stage, pos: str) -> None:
    """Ink lies inside of its line, which is about as high as its size: that much play is left."""
    result = stage.compose(dark(stage), marks=[letters("HxH", size=40, pos=pos, dx=30, dy=20)])
    found, left, top = ink(result)
    right, bottom = CANVAS[0] - left - found.shape[1], CANVAS[1] - top - found.shape[0]
    across = {"Left": left - 30, "Right": right - 30}.get(
        pos.removeprefix("Top").removeprefix("Bottom"), (left - right) / 2
    )
    down = top - 20 if "Top" in pos else bottom - 20 if "Bottom" in pos else (top - bottom) / 2
    assert abs(across) <= 5
    assert -1 <= down <= 15 if "Top" in pos or "Bottom" in pos else abs(down) <= 6


def test_a_text_at_percent(stage: Stage) -> None:
    pixels = ink(stage.compose(dark(stage), marks=[letters("HxH", dx=64, dy=48)]))
    percent = ink(stage.compose(dark(stage), marks=[letters("HxH", loc_mode="Relativity", dx=25, dy=25)]))
    assert percent[1:] == pixels[1:]


# Codecs.


@pytest.mark.parametrize(
    ("container", "video"),
    [
        pytest.param("mp4", {"codec": "H.264"}, id="H.264"),
        pytest.param("mp4", {"codec": "H.265"}, id="H.265"),
        pytest.param("webm", {"codec": "VP8", "crf": 4}, id="VP8, which is BT.601 by its definition"),
        pytest.param("webm", {"codec": "VP9"}, id="VP9"),
        pytest.param("mp4", {"codec": "AV1"}, id="AV1"),
    ],
)
def test_every_codec_shows_the_same(stage: Stage, container: str, video: Mapping[str, Any]) -> None:
    """Lossy codecs other than H.264 have quantisers of their own: a few levels more, away from the edges."""
    marks: Sequence[dict[str, Any]] = [
        image(stage.picture(quarters(64, 48)), pos="BottomRight", dx=20, dy=10),
        image(stage.picture(flat(MAGENTA, 64, 48)), opacity=50, dx=150, dy=20),
    ]
    result = stage.compose(
        ground(stage, 3), (stage.flat(WHITE), {"x": 20, "y": 20}), marks=marks, container=container, video=video
    )
    half = (flat(MAGENTA, 64, 48) + flat(BLUE, 64, 48)) / 2
    wanted = over((flat(WHITE), 20, 20), (quarters(64, 48), 172, 134), (half, 150, 20))
    assert_shows(result.frames[1], wanted, margin=3, levels=8)


def test_vp8_takes_the_finest_crf_too(stage: Stage) -> None:
    """The documents allow above 0 to 51 for every codec."""
    result = stage.compose((stage.flat(WHITE), {"x": 20, "y": 20}), container="webm", video={"codec": "VP8", "crf": 1})
    assert_shows(result.frames[1], painted(CANVAS, (flat(WHITE), 20, 20)), margin=3, levels=8)
