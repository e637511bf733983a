"""Which colours a result shows: sources of every matrix, range and depth look as they were meant.

A source is made from RGB by the formula of its own matrix and range, and the result read by the formula that its tags
name; what lies between must give the same RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import av
import numpy as np
import pytest
from PIL import Image

from tests.service.media import Colour, run
from tests.service.pixels.measure import (
    BLACK,
    BLUE,
    CYAN,
    GREEN,
    MAGENTA,
    ORANGE,
    RED,
    WHITE,
    YELLOW,
    Array,
    Frame,
    Result,
    Source,
    Stage,
    blended,
    flat,
)

BARS: Final = (RED, GREEN, BLUE, WHITE, ORANGE, (30, 120, 220), (128, 128, 128), (20, 20, 20))
STRIPE: Final = 16
WIDTH: Final = STRIPE * len(BARS)
TOLERANCE: Final = 6


def bars(colours: Sequence[Colour] = BARS, height: int = 96) -> Array:
    """Stripes side by side."""
    return np.concatenate([flat(colour, STRIPE, height) for colour in colours], axis=1)


def stripes(frame: Frame, count: int = len(BARS)) -> list[Colour]:
    """The colour in the middle of each stripe."""
    return [frame.at(STRIPE * number + STRIPE // 2, 48) for number in range(count)]


def assert_colours(found: Sequence[Colour], wanted: Sequence[Colour] = BARS, tolerance: int = TOLERANCE) -> None:
    off = np.abs(np.subtract(found, wanted)).max()
    assert off <= tolerance, f"{list(found)} instead of {list(wanted)}"


def placed(source: Any) -> Source:
    return source, {"width": WIDTH, "height": 96}


# Matrices and ranges.


@pytest.mark.parametrize("full", [False, True], ids=["limited range", "full range"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg", "smpte240m", "bt2020nc"])
@pytest.mark.parametrize("lines", [96, 720])
def test_a_source_that_names_its_matrix_is_read_by_it(stage: Stage, matrix: str, full: bool, lines: int) -> None:
    film = stage.film([bars(height=lines)] * 2, matrix=matrix, full=full)
    assert_colours(stripes(stage.compose(placed(film)).frames[0]))


@pytest.mark.parametrize(
    ("lines", "meant"),
    [(96, "smpte170m"), (480, "smpte170m"), (576, "smpte170m"), (718, "smpte170m"), (720, "bt709"), (1080, "bt709")],
)
def test_a_source_that_names_no_matrix_is_read_by_its_lines(stage: Stage, lines: int, meant: str) -> None:
    film = stage.film([bars(height=lines)] * 2, matrix=None, full=None, stored_as=meant)
    assert_colours(stripes(stage.compose(placed(film)).frames[0]))


def test_sources_of_different_matrices_look_alike_side_by_side(stage: Stage) -> None:
    """The same green and the same orange from five sources: no seam."""
    kinds = [("bt709", False), ("bt709", True), ("smpte170m", False), ("smpte170m", True), ("bt2020nc", False)]
    films = [stage.film([bars([GREEN, ORANGE])] * 2, matrix=matrix, full=full) for matrix, full in kinds]
    result = stage.compose(*[(film, {"x": 32 * number}) for number, film in enumerate(films)])
    assert_colours(stripes(result.frames[0], 10), [GREEN, ORANGE] * 5)


@pytest.mark.parametrize("overlap", [0, 8], ids=["beside another", "over another"])
def test_the_matrix_holds_however_sources_are_put_together(stage: Stage, overlap: int) -> None:
    film = stage.film([bars()] * 2, matrix="smpte170m")
    result = stage.compose(film, (stage.flat(MAGENTA), {"x": WIDTH, "y": overlap and 96 - overlap}))
    assert_colours(stripes(result.frames[0]))


def test_greys_stay_grey_and_in_step(stage: Stage) -> None:
    """Sixteen steps from black to white, each within two levels: nothing is crushed at either end."""
    greys = [(17 * n, 17 * n, 17 * n) for n in range(16)]
    assert_colours(stripes(stage.compose(stage.film([bars(greys)] * 2)).frames[0], 16), greys, 2)


def test_ten_bits(stage: Stage) -> None:
    film = stage.film([bars()] * 2, depth=10)
    assert_colours(stripes(stage.compose(placed(film)).frames[0]))


# Still pictures.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("still.png", {}),
        ("still.bmp", {}),
        ("best.jpg", {"quality": 100, "subsampling": 0}),
        ("halved.jpg", {"quality": 100, "subsampling": 2}),
        ("lossless.webp", {"lossless": True}),
        ("lossy.webp", {"quality": 100}),
    ],
)
@pytest.mark.parametrize("lines", [96, 720])
def test_a_still_picture_looks_as_any_viewer_shows_it(
    stage: Stage, name: str, options: dict[str, Any], lines: int
) -> None:
    """Pillow is the viewer, so what a lossy file has lost already is no matter."""
    path = stage.folder / f"{lines}-{name}"
    Image.fromarray(bars(height=lines).astype(np.uint8)).save(path, **options)
    shown = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
    wanted = [tuple(shown[lines // 2, STRIPE * n + STRIPE // 2].round().astype(int)) for n in range(len(BARS))]
    assert_colours(wanted, BARS, 12)
    result = stage.compose(placed(path), time_interval={"duration": 0.08})
    assert_colours(stripes(result.frames[0]), wanted)


# High dynamic range.


def pq(nits: Array) -> Array:
    """The signal of SMPTE ST 2084, from 0 to 1, for an absolute luminance."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (np.asarray(nits, dtype=np.float64) / 10000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def wide(stage: Stage, signals: Sequence[Sequence[float]], transfer: str) -> list[Colour]:
    """Compose a film of BT.2020 with a transfer of its own; ``signals`` are R'G'B' from 0 to 1."""
    pixels = np.concatenate([np.full((96, STRIPE, 3), signal) * 255.0 for signal in signals], axis=1)
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}"
    film = stage.film([pixels] * 2, matrix="bt2020nc", depth=10, filters=tags)
    result = stage.compose(film)
    return stripes(result.frames[0], len(signals))


def assert_grey_and_rising(found: Sequence[Colour]) -> None:
    assert all(max(colour) - min(colour) <= TOLERANCE for colour in found), found
    assert all(later[1] >= earlier[1] for earlier, later in pairwise(found)), found


def test_pq_becomes_sdr_with_203_nits_as_white(stage: Stage) -> None:
    """Middle grey is 18 % of white; above white there is room for detail or there is not, but never a fold."""
    nits = (0, 5, 36.5, 100, 203, 400, 1000, 4000)
    found = wide(stage, [[float(pq(np.asarray(n)))] * 3 for n in nits], "smpte2084")
    assert_grey_and_rising(found)
    assert found[0][1] <= 6
    assert 85 <= found[2][1] <= 140
    assert found[4][1] >= 200
    assert found[6][1] >= 240


def test_hlg_becomes_sdr_with_75_percent_as_white(stage: Stage) -> None:
    signals = (0, 0.25, 0.38, 0.5, 0.75, 0.9, 1)
    found = wide(stage, [[signal] * 3 for signal in signals], "arib-std-b67")
    assert_grey_and_rising(found)
    assert found[0][1] <= 6
    assert found[4][1] >= 200
    assert found[6][1] >= 240


def test_colours_of_hdr_keep_their_hue(stage: Stage) -> None:
    """Colours of BT.709 at half of SDR white, expressed in BT.2020 and PQ, come back as about themselves."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    linear = [np.array(c, dtype=np.float64) for c in ([0.5, 0.05, 0.05], [0.05, 0.5, 0.05], [0.05, 0.05, 0.5])]
    found = wide(stage, [pq(to_2020 @ colour * 203).tolist() for colour in linear], "smpte2084")
    wanted = [tuple(round(255 * float(part) ** (1 / 2.2)) for part in colour) for colour in linear]
    assert_colours(found, wanted, 40)


def transparent(stage: Stage, transfer: str) -> Frame:
    """A grey of BT.2020 over blue: opaque, half transparent and not there at all, 32 pixels each, from x=64 on."""
    pixels = np.concatenate([flat((128, 128, 128), 96), np.full((96, 96, 1), 255.0)], axis=2)
    pixels[:, 32:64, 3], pixels[:, 64:, 3] = 128, 0
    film = stage.folder / f"transparent-{transfer}.mkv"
    tags = f"setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}"
    chain = f"scale=out_color_matrix=bt2020:out_range=tv,format=yuva444p10le,{tags}"
    run("-loop", "1", "-i", str(stage.picture(pixels)), "-frames:v", "2", "-vf", chain, "-c:v", "ffv1", str(film))
    placed = {"x": 64, "y": 48, "width": 96, "height": 96}
    return stage.compose((stage.flat(BLUE, 96), placed), (film, placed)).frames[0]


WIDE: Final = ("smpte2084", "arib-std-b67", "bt709")


@pytest.mark.parametrize("transfer", WIDE)
def test_wide_colours_keep_their_transparency(stage: Stage, transfer: str) -> None:
    frame = transparent(stage, transfer)
    opaque, *nothing = [frame.at(x, 96) for x in (80, 144, 176)]
    assert_grey_and_rising([opaque])
    assert 85 <= opaque[1] <= 200
    assert_colours(nothing, [BLUE, BLACK])


@pytest.mark.parametrize("transfer", WIDE)
def test_what_is_half_transparent_has_the_colour_of_what_is_opaque(stage: Stage, transfer: str) -> None:
    frame = transparent(stage, transfer)
    red, green, blue = blended(BLUE, frame.at(80, 96), 128 / 255)
    assert_colours([frame.at(112, 96)], [(round(red), round(green), round(blue))])


# What the result says of itself.


@pytest.mark.parametrize(
    ("container", "video"),
    [
        pytest.param("mp4", {}, id="H.264"),
        pytest.param("mp4", {"codec": "H.265"}, id="H.265"),
        pytest.param("mkv", {}, id="mkv"),
        pytest.param("webm", {"codec": "VP9"}, id="VP9"),
        pytest.param("mp4", {"codec": "AV1"}, id="AV1"),
    ],
)
@pytest.mark.parametrize("matrix", ["smpte170m", "bt2020nc"])
def test_the_result_says_that_it_is_bt709(stage: Stage, container: str, video: dict[str, str], matrix: str) -> None:
    film = stage.film([bars()] * 2, matrix=matrix)
    result = stage.compose(film, container=container, video=video)
    with av.open(str(result.path)) as file:
        frame = next(file.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)
    assert_colours(stripes(result.frames[0]), BARS, 8)


@pytest.mark.parametrize("pixfmt", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"])
def test_every_pixel_format_shows_the_same(stage: Stage, pixfmt: str) -> None:
    result = stage.compose(stage.film([bars()] * 2), video={"pixfmt": pixfmt, "profile": "auto"})
    assert result.frames[0].full == pixfmt.startswith("yuvj")
    assert_colours(stripes(result.frames[0]))
    assert result.frames[0].at(200, 150) == BLACK


def test_ten_bits_out_show_the_same(stage: Stage) -> None:
    result = stage.compose(stage.film([bars()] * 2), video={"codec": "H.265", "pixfmt": "yuv420p10le"})
    assert_colours(stripes(result.frames[0]))


def test_colours_hold_over_many_frames_and_layers(stage: Stage) -> None:
    """Four overlapping layers, twenty frames: no step adds its rounding to that of the one before."""
    layers: list[tuple[Colour, int]] = [(ORANGE, 0), (CYAN, 40), (MAGENTA, 80), (YELLOW, 120)]
    result: Result = stage.compose(*[(stage.flat(colour, frames=20), {"x": x, "y": x // 2}) for colour, x in layers])
    for frame in (result.frames[0], result.frames[-1]):
        assert_colours([frame.at(x + 10, x // 2 + 10) for _, x in layers], [colour for colour, _ in layers], 4)
    assert_colours([result.frames[-1].at(250, 10), result.frames[0].at(245, 100)], [BLACK, YELLOW])
    assert WHITE not in [result.frames[0].at(x, 180) for x in range(5, 250, 10)]
