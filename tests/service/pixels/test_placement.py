"""Where sources lie on the canvas: every pixel of a result against a painter of twenty lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.service.media import SAMPLE
from tests.service.pixels.measure import (
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
    Stage,
    assert_shows,
    blended,
    flat,
    painted,
    quarters,
)

COLOURS = (RED, GREEN, BLUE, YELLOW, CYAN, MAGENTA, ORANGE, WHITE)
Place = tuple[int, int, int, int]

shared = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(*, step: int, largest: int) -> st.SearchStrategy[list[Place]]:
    """One to four rectangles around a canvas of 128×128, some of them beyond its edges."""
    side = st.integers(2 // step or 1, largest // step).map(lambda n: n * step)
    offset = st.integers(-160 // step, 140 // step).map(lambda n: n * step)
    return st.lists(st.tuples(offset, offset, side, side), min_size=1, max_size=4)


def check(stage: Stage, rects: Sequence[Place], sizes: Sequence[tuple[int, int]]) -> None:
    """Compose sources of flat colours and compare every pixel; luma is exact up to each edge."""
    sources, wanted = [], []
    for (x, y, width, height), colour, size in zip(rects, COLOURS, sizes, strict=False):
        sources.append((stage.flat(colour, *size, frames=1), {"x": x, "y": y, "width": width, "height": height}))
        wanted.append((flat(colour, width, height), x, y))
    result = stage.compose(*sources, canvas=(128, 128))
    assert_shows(result.frames[0], painted((128, 128), *wanted))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param(0, 0, id="the corner"),
        pytest.param(40, 24, id="inside"),
        pytest.param(128, 96, id="touching right and bottom"),
        pytest.param(33, 17, id="odd place"),
        pytest.param(33, 16, id="odd across only"),
        pytest.param(32, 17, id="odd down only"),
        pytest.param(-40, -30, id="beyond left and top"),
        pytest.param(-41, -31, id="beyond left and top by an odd number"),
        pytest.param(200, 150, id="beyond right and bottom"),
        pytest.param(-127, 191, id="one pixel left of it"),
        pytest.param(255, -95, id="one pixel left of it, at the other corner"),
        pytest.param(-128, 0, id="wholly left of the canvas"),
        pytest.param(256, 0, id="wholly right of it"),
        pytest.param(0, -96, id="wholly above it"),
        pytest.param(0, 192, id="wholly below it"),
    ],
)
def test_a_source_lies_at_its_place_and_is_clipped_at_the_edges(stage: Stage, x: int, y: int) -> None:
    result = stage.compose((stage.flat(ORANGE), {"x": x, "y": y}))
    for frame in result.frames:
        assert_shows(frame, painted(CANVAS, (flat(ORANGE), x, y)))


def test_without_a_place_a_source_lies_in_the_corner_in_its_own_size(stage: Stage) -> None:
    result = stage.compose(stage.film([quarters()]))
    assert_shows(result.frames[0], painted(CANVAS, (quarters(), 0, 0)))


@pytest.mark.parametrize(
    ("given_size", "size"),
    [
        pytest.param({"width": 200}, (200, 96), id="width alone: the height stays the source's"),
        pytest.param({"height": 150}, (128, 150), id="height alone: the width stays the source's"),
        pytest.param({"width": 64, "height": 180}, (64, 180), id="both: narrow and high"),
        pytest.param({"width": 256, "height": 192}, (256, 192), id="both: twice the size"),
        pytest.param({"width": 32, "height": 24}, (32, 24), id="both: a quarter of the size"),
        pytest.param({"width": 101, "height": 77}, (101, 77), id="both odd"),
        pytest.param({"width": 2, "height": 2}, (2, 2), id="both as small as can be"),
    ],
)
def test_a_source_is_stretched_to_the_size_given(
    stage: Stage, given_size: dict[str, int], size: tuple[int, int]
) -> None:
    result = stage.compose((stage.film([quarters()]), {"x": 20, "y": 10, **given_size}))
    stretched = np.asarray(Image.fromarray(quarters().astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    inner = painted(CANVAS, (stretched.astype(np.float64), 20, 10))
    outer = painted(CANVAS, (flat(ORANGE, *size), 20, 10))
    assert_shows(result.frames[0], inner, margin=6)
    inside = (outer == ORANGE).all(axis=2)
    luma = result.frames[0].yuv[..., 0]
    assert (np.abs(luma[~inside] - 16) <= 4).all(), "something outside of the place"
    assert (luma[inside] >= 40).all(), "a hole inside of the place"


def test_a_source_beyond_the_edge_is_cut_not_squeezed(stage: Stage) -> None:
    """The sample of the documents: x 700 and width 640 on a canvas of 1280."""
    result = stage.compose((stage.film([quarters()]), {"x": 192, "y": -48, "width": 128, "height": 192}))
    wanted = painted(CANVAS, (flat(RED, 64, 48), 192, 0), (flat(CYAN, 64, 96), 192, 48))
    assert_shows(result.frames[0], wanted, margin=6)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_sources_are_painted_in_document_order(stage: Stage, order: tuple[int, ...]) -> None:
    layers = [(RED, 20, 20), (GREEN, 60, 40), (BLUE, 100, 60)]
    chosen = [layers[number] for number in order]
    result = stage.compose(*[(stage.flat(colour), {"x": x, "y": y}) for colour, x, y in chosen])
    assert_shows(result.frames[-1], painted(CANVAS, *[(flat(colour), x, y) for colour, x, y in chosen]))


def test_a_source_covered_by_another_is_not_seen(stage: Stage) -> None:
    whole = {"width": 256, "height": 192}
    result = stage.compose((stage.flat(RED), {"x": 64, "y": 48}), (stage.flat(BLUE), whole))
    assert_shows(result.frames[-1], flat(BLUE, *CANVAS))


@pytest.mark.parametrize("size", [(127, 96), (128, 95), (127, 95), (1, 1), (9, 7)])
def test_a_source_of_odd_size_keeps_it(stage: Stage, size: tuple[int, int]) -> None:
    result = stage.compose((stage.flat(ORANGE, *size), {"x": 20, "y": 10}))
    assert_shows(result.frames[0], painted(CANVAS, (flat(ORANGE, *size), 20, 10)))


def test_the_same_file_can_be_placed_many_times(stage: Stage) -> None:
    film = stage.film([quarters()])
    spots = [(0, 0), (128, 0), (64, 48), (10, 90)]
    result = stage.compose(*[(film, {"x": x, "y": y}) for x, y in spots])
    assert_shows(result.frames[0], painted(CANVAS, *[(quarters(), x, y) for x, y in spots]))


def test_a_grid_of_sixteen(stage: Stage) -> None:
    cells = [(COLOURS[number * 3 % 8], number % 4 * 64, number // 4 * 48) for number in range(16)]
    place = {"width": 64, "height": 48}
    result = stage.compose(*[(stage.flat(colour), {"x": x, "y": y, **place}) for colour, x, y in cells])
    assert_shows(result.frames[-1], painted(CANVAS, *[(flat(colour, 64, 48), x, y) for colour, x, y in cells]))


@pytest.mark.parametrize("pixfmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_odd_edges_are_sharp_in_every_pixel_format(stage: Stage, pixfmt: str) -> None:
    layers = [(ORANGE, 31, 21), (CYAN, 72, 55)]
    sources = [(stage.flat(colour), {"x": x, "y": y, "width": 99, "height": 67}) for colour, x, y in layers]
    result = stage.compose(*sources, video={"pixfmt": pixfmt, "profile": "auto"})
    assert_shows(result.frames[-1], painted(CANVAS, *[(flat(colour, 99, 67), x, y) for colour, x, y in layers]))


@settings(shared, max_examples=12)
@given(places(step=2, largest=160), st.lists(st.sampled_from([(64, 48), (128, 96), (30, 90)]), min_size=4, max_size=4))
@example([(10, 10, 64, 48)], [(64, 48)] * 4)
def test_any_even_placement_is_what_the_painter_paints(
    stage: Stage, rects: list[Place], sizes: list[tuple[int, int]]
) -> None:
    check(stage, rects, sizes)


@settings(shared, max_examples=12)
@given(places(step=1, largest=160), st.lists(st.sampled_from([(64, 48), (128, 96), (31, 91)]), min_size=4, max_size=4))
@example([(11, 13, 63, 47)], [(64, 48)] * 4)
def test_any_placement_is_what_the_painter_paints(
    stage: Stage, rects: list[Place], sizes: list[tuple[int, int]]
) -> None:
    check(stage, rects, sizes)


@pytest.mark.slow
@settings(shared, max_examples=400)
@given(places(step=1, largest=160), st.lists(st.sampled_from([(64, 48), (128, 96), (31, 91)]), min_size=4, max_size=4))
def test_many_placements_are_what_the_painter_paints(
    stage: Stage, rects: list[Place], sizes: list[tuple[int, int]]
) -> None:
    check(stage, rects, sizes)


# What is drawn is seen through alpha.


@pytest.mark.parametrize("opacity", [0, 64, 128, 191, 255])
def test_alpha_shows_what_is_below(stage: Stage, opacity: int) -> None:
    pixels = np.concatenate([flat(RED, 128, 96), np.full((96, 128, 1), 255.0)], axis=2)
    pixels[:, 64:, 3] = opacity
    result = stage.compose(
        (stage.flat(BLUE), {"width": 256, "height": 144}), (stage.picture(pixels), {"x": 32, "y": 48})
    )
    mixed = blended(BLUE, RED, opacity / 255)
    wanted = painted(CANVAS, (flat(BLUE, 256, 144), 0, 0), (flat(RED, 64, 96), 32, 48))
    wanted[48:144, 96:160] = mixed
    assert_shows(result.frames[0], wanted, margin=1)


def test_alpha_over_nothing_shows_black(stage: Stage) -> None:
    pixels = np.concatenate([flat(WHITE), np.full((96, 128, 1), 128.0)], axis=2)
    result = stage.compose((stage.picture(pixels), {"x": 64, "y": 48}), time_interval={"duration": 0.2})
    assert_shows(result.frames[0], painted(CANVAS, (flat((128, 128, 128)), 64, 48)))


# Crop and rotation.


@pytest.mark.parametrize(
    ("nodes", "turns"),
    [
        pytest.param({"rotate": 90}, -1, id="a quarter clockwise"),
        pytest.param({"rotate": 180}, 2, id="a half"),
        pytest.param({"rotate": 270}, 1, id="three quarters"),
    ],
)
def test_rotation_turns_the_composition_clockwise(stage: Stage, nodes: dict[str, int], turns: int) -> None:
    layers = [(quarters(), 20, 12), (flat(ORANGE, 64, 48), 160, 120)]
    result = stage.compose(
        (stage.film([quarters()]), {"x": 20, "y": 12}), (stage.flat(ORANGE, 64, 48), {"x": 160, "y": 120}), video=nodes
    )
    assert_shows(result.frames[0], np.rot90(painted(CANVAS, *layers), turns))


def test_crop_cuts_the_composition(stage: Stage) -> None:
    result = stage.compose((stage.film([quarters()]), {"x": 20, "y": 12}), video={"crop": "140:100:50:40"})
    assert_shows(result.frames[0], painted(CANVAS, (quarters(), 20, 12))[40:140, 50:190])


def test_the_picture_is_cropped_before_it_is_turned(stage: Stage) -> None:
    video = {"crop": "140:100:50:40", "rotate": 90}
    result = stage.compose((stage.film([quarters()]), {"x": 20, "y": 12}), video=video)
    assert_shows(result.frames[0], np.rot90(painted(CANVAS, (quarters(), 20, 12))[40:140, 50:190], -1))


# Real footage.


def footage(seconds: float) -> Image.Image:
    """The frame of the sample that is on the screen at some time, as PyAV decodes it."""
    with av.open(str(SAMPLE)) as container:
        shown = [frame for frame in container.decode(video=0) if float(frame.time or 0) <= seconds + 1e-4][-1]
        return Image.fromarray(shown.to_ndarray(format="rgb24"))


KINDS: Final = {".png": "PNG", ".webp": "WebP"}


def likeness(one: Array, other: Array) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2)))


def luma(picture: Array) -> Array:
    return np.asarray(picture @ np.array([0.2126, 0.7152, 0.0722]))


def test_real_footage_is_where_it_belongs(stage: Stage) -> None:
    """Against a scaler of another library; only filter kernels and chroma differ, which leaves far more than 34 dB.

    A shift by one pixel in the same picture is told apart by its own likeness.
    """
    film = stage.copy(SAMPLE)
    places: list[Mapping[str, Any]] = [
        {"x": 0, "y": 0, "width": 320, "height": 180},
        {"x": 320, "y": 180, "width": 320, "height": 180},
        {"x": 101, "y": 91, "width": 333, "height": 155},
    ]
    result = stage.compose(
        *[(film, dict(place)) for place in places],
        canvas=(640, 360),
        time_interval={"start": 2, "duration": 0.4},
        video={"crf": 4},
    )
    frame = footage(2.2)
    shown = luma(result.at(0.2).rgb)
    wanted = np.zeros((360, 640))
    for place in places:
        x, y, size = place["x"], place["y"], (place["width"], place["height"])
        scaled = np.asarray(frame.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
        wanted[y : y + size[1], x : x + size[0]] = luma(scaled)
    right = likeness(shown, wanted)
    assert right > 34
    assert likeness(shown[:, 1:], wanted[:, :-1]) < right - 4
    assert likeness(shown[1:], wanted[:-1]) < right - 4


@pytest.mark.parametrize("name", ["photo.jpg", "photo.jpeg", "PHOTO.JPG", "photo", "photo.png", "photo.webp"])
def test_a_photograph_is_shown_whatever_its_name(stage: Stage, name: str) -> None:
    """A still from the sample, as large as photographs are; its name must not decide how it is read."""
    path = stage.folder / name
    Image.fromarray(np.asarray(footage(2))).save(path, format=KINDS.get(path.suffix.lower(), "JPEG"), quality=95)
    result = stage.compose((path, {"width": 160, "height": 90}), time_interval={"duration": 0.08})
    wanted = luma(np.asarray(Image.open(path).convert("RGB").resize((160, 90), Image.Resampling.BICUBIC)))
    assert likeness(luma(result.frames[0].rgb)[:90, :160], wanted) > 34
