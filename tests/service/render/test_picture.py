"""How pictures are placed, as filter chains; what they do is seen in test_rendering."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, strategies

from reconciler.service.probe import VideoTrack
from reconciler.service.render.picture import (
    BT709,
    Colors,
    Layer,
    Rect,
    Span,
    composition_format,
    converted,
    cut,
    is_hdr,
    matrix_of,
    rate_text,
)
from tests.service.media import job
from tests.service.render.probes import command, graph, option, source, still


def track(**facts: Any) -> VideoTrack:
    found = source(**facts).video
    assert found is not None
    return found


# --- the composition -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        pytest.param([{}], ["[placed0]pad=256:192:0:0:black[base]"], id="one source"),
        pytest.param([{"x": 64, "y": 32}], ["[placed0]pad=256:192:64:32:black[base]"], id="one source, moved"),
        pytest.param(
            [{"x": 0, "y": 96}, {"x": 128, "y": 96}],
            ["[placed0][placed1]xstack=inputs=2:layout=0_0|128_0:fill=black,pad=256:192:0:96:black[base]"],
            id="apart: side by side in one step",
        ),
        pytest.param(
            [{"width": 256, "height": 192}, {"x": 10, "y": 20}],
            [
                "[placed0]pad=256:192:0:0:black[base]",
                "[base][placed1]overlay=x=10:y=20:format=yuv420[painted1]",
            ],
            id="picture in picture",
        ),
        pytest.param(
            [{}, {"x": 128}, {"x": 64}, {"x": 0, "y": 96}],
            [
                "[placed0][placed1]xstack=inputs=2:layout=0_0|128_0:fill=black,pad=256:192:0:0:black[base]",
                "[base][placed2]overlay=x=64:y=0:format=yuv420[painted2]",
                "[painted2][placed3]overlay=x=0:y=96:format=yuv420[painted3]",
            ],
            id="from the first overlap on one over the other, in document order",
        ),
        pytest.param(
            [{"x": 300}, {"y": -96}],
            ["color=c=black:s=256x192:r=25/1:d=2.040000,format=yuv420p,trim=end_frame=50[base]"],
            id="nothing visible",
        ),
    ],
)
def test_composition(places: list[dict[str, int]], wanted: list[str]) -> None:
    operation = job(*[(f"{number}.mp4", place) for number, place in enumerate(places)])
    chains = graph(operation, *[source()] * len(places))
    assert [chain for chain in chains if "scale=" not in chain][:-1] == wanted


@pytest.mark.parametrize(
    ("place", "crop"),
    [
        ({"x": -28}, "crop=100:96:28:0:exact=1"),
        ({"y": -6}, "crop=128:90:0:6:exact=1"),
        ({"x": 200}, "crop=56:96:0:0:exact=1"),
        ({"y": 100}, "crop=128:92:0:0:exact=1"),
        ({"x": 200, "y": 100}, "crop=56:92:0:0:exact=1"),
        ({"x": -44, "y": -4, "width": 400, "height": 400}, "crop=256:192:44:4:exact=1"),
    ],
)
def test_what_reaches_over_the_canvas_is_cut_off(place: dict[str, int], crop: str) -> None:
    assert crop in graph(job(("a.mp4", place)), source())[0].split(",")


@pytest.mark.parametrize(
    ("place", "samples"),
    [
        ({"x": 2, "y": 4}, "yuv420p"),
        ({"x": 3}, "yuv444p"),
        ({"y": 5}, "yuv444p"),
        ({"width": 101}, "yuv444p"),
        ({"height": 77}, "yuv444p"),
        ({"x": -3, "width": 259}, "yuv444p"),
        ({"x": -2, "width": 401}, "yuv420p"),
    ],
)
def test_odd_edges_are_composed_with_full_chroma(place: dict[str, int], samples: str) -> None:
    chains = graph(job(("a.mp4", place)), source())
    assert f"format={samples}" in chains[0].split(",")
    assert ("format=yuv420p" in chains[-1].split(",")) == (samples == "yuv444p")


@pytest.mark.parametrize(
    ("rects", "pixfmt", "samples"),
    [
        ([Rect(0, 0, 128, 96)], "yuv420p", "yuv420p"),
        ([Rect(0, 0, 128, 96), Rect(1, 0, 128, 96)], "yuv420p", "yuv444p"),
        ([], "yuv420p", "yuv420p"),
        ([Rect(0, 0, 128, 96)], "yuvj420p", "yuv420p"),
        ([Rect(0, 0, 128, 96)], "yuv422p", "yuv444p"),
        ([Rect(0, 0, 128, 96)], "yuv420p10le", "yuv420p10le"),
        ([Rect(0, 0, 127, 96)], "yuv420p10le", "yuv444p10le"),
    ],
)
def test_the_samples_of_the_composition(rects: list[Rect], pixfmt: str, samples: str) -> None:
    layers = [Layer(0, track(), rect, rect) for rect in rects]
    assert composition_format(layers, pixfmt) == samples


@pytest.mark.parametrize(
    ("pixfmt", "samples"),
    [("yuv420p", "yuv444p"), ("yuv420p10le", "yuv444p10le"), ("yuv422p", "yuv444p"), ("yuv444p", "yuv444p")],
)
def test_what_moves_over_even_edges_is_composed_with_full_chroma(pixfmt: str, samples: str) -> None:
    even = [Layer(0, track(), Rect(0, 0, 128, 96), Rect(0, 0, 128, 96))]
    assert composition_format(even, pixfmt, exact=False) == composition_format([], pixfmt, exact=False) == samples


def test_a_file_that_is_placed_twice_is_decoded_once() -> None:
    operation = job("a.mp4", ("b.mp4", {"y": 96}), ("a.mp4", {"x": 128}))
    chains = graph(operation, source(), source())
    assert chains[0] == "[0:0]split=2[copy0][copy2]"
    assert [chain.partition("scale")[0] for chain in chains[1:4]] == ["[copy0]", "[1:0]", "[copy2]"]
    assert command(operation, source(), source()).count("-i") == 2


# --- one source ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "chain"),
    [
        ({"coded_height": 720}, "in_color_matrix=bt709"),
        ({"coded_height": 719}, "in_color_matrix=smpte170m"),
        ({"coded_height": 360, "matrix": "bt709"}, "in_color_matrix=bt709"),
        ({"coded_height": 720, "matrix": "bt2020nc"}, "in_color_matrix=bt2020nc"),
        ({"still": True, "coded_height": 1080}, "in_color_matrix=bt470bg"),
        ({"rgb": True}, "accurate_rnd:out_color_matrix=bt709"),
        ({"alpha": True}, "format=yuva420p,"),
        ({"index": 3}, "[0:3]scale"),
    ],
)
def test_what_the_samples_of_a_source_mean(facts: dict[str, Any], chain: str) -> None:
    assert chain in graph(job("a.mp4", time_interval={"duration": 1}), source(**facts))[0]


@pytest.mark.parametrize(
    ("facts", "matrix"),
    [
        ({"matrix": "fcc", "still": True}, "fcc"),
        ({"still": True, "coded_height": 2160}, "bt470bg"),
        ({"coded_height": 720}, "bt709"),
        ({"coded_height": 718}, "smpte170m"),
    ],
)
def test_the_matrix_of_a_picture(facts: dict[str, Any], matrix: str) -> None:
    assert matrix_of(track(**facts)) == matrix


@pytest.mark.parametrize(
    ("transfer", "hdr"),
    [("smpte2084", True), ("arib-std-b67", True), ("bt709", False), ("bt2020-10", False), (None, False)],
)
def test_which_transfer_is_hdr(transfer: str | None, hdr: bool) -> None:
    assert is_hdr(track(transfer=transfer)) == hdr


@pytest.mark.parametrize(("matrix", "taken"), [(None, "bt2020nc"), ("bt709", "bt709")])
def test_hdr_is_brought_to_the_brightness_of_a_screen(matrix: str | None, taken: str) -> None:
    chain = graph(job("a.mp4"), source(transfer="arib-std-b67", matrix=matrix))[0]
    assert chain == (
        f"[0:0]scale=128:96:flags=bicubic+accurate_rnd:in_color_matrix={taken}:out_color_matrix={taken}:out_range=tv,"
        f"format=yuv444p10le,zscale=rin=tv:min={taken}:pin=bt2020:tin=arib-std-b67:t=linear:npl=203,format=gbrpf32le,"
        "zscale=p=bt709,tonemap=mobius:param=0.7:desat=2:peak=5,zscale=t=bt709:m=bt709:r=tv,"
        "format=yuv420p,setsar=1,fps=25/1:start_time=0[placed0]"
    )


def test_hdr_of_a_narrower_screen_keeps_its_primaries() -> None:
    chain = graph(job("a.mp4"), source(transfer="smpte2084", primaries="smpte432"))[0]
    assert "zscale=rin=tv:min=bt2020nc:pin=smpte432:tin=smpte2084:t=linear:npl=203," in chain
    unnamed = graph(job("a.mp4"), source(transfer="smpte2084", primaries="bt709"))[0]
    assert ":pin=bt2020:tin=smpte2084:" in unnamed


@pytest.mark.parametrize(
    ("facts", "matrix"),
    [
        ({"primaries": "bt2020"}, "bt2020nc"),
        ({"primaries": "bt2020", "matrix": "bt2020nc", "transfer": "bt2020-10"}, "bt2020nc"),
        ({"primaries": "smpte432", "matrix": "bt709", "transfer": "bt709"}, "bt709"),
        ({"primaries": "smpte432", "coded_height": 720}, "bt709"),
        ({"primaries": "smpte432", "coded_height": 480}, "smpte170m"),
        ({"primaries": "smpte432", "matrix": "smpte170m", "transfer": "smpte170m"}, "smpte170m"),
    ],
)
def test_wide_colours_become_those_of_bt709(facts: dict[str, Any], matrix: str) -> None:
    chain = graph(job("a.mp4"), source(**facts))[0]
    assert chain == (
        f"[0:0]scale=128:96:flags=bicubic+accurate_rnd:in_color_matrix={matrix}:out_color_matrix={matrix}:out_range=tv,"
        f"format=yuv444p10le,zscale=rin=tv:min={matrix}:pin={facts['primaries']}:tin=bt709:t=bt709:m=bt709:p=bt709:r=tv,"
        "format=yuv420p,setsar=1,fps=25/1:start_time=0[placed0]"
    )


def test_the_transparency_of_hdr_goes_its_own_way() -> None:
    """zscale would darken colours by it."""
    assert graph(job("a.mp4"), source(transfer="smpte2084", alpha=True))[:4] == [
        (
            "[0:0]scale=128:96:flags=bicubic+accurate_rnd:in_color_matrix=bt2020nc:out_color_matrix=bt2020nc:out_range=tv,"
            "split[layer0_c][layer0_a]"
        ),
        "[layer0_a]format=yuva444p,alphaextract[layer0_m]",
        (
            "[layer0_c]format=yuv444p10le,zscale=rin=tv:min=bt2020nc:pin=bt2020:tin=smpte2084:t=linear:npl=203,"
            "format=gbrpf32le,zscale=p=bt709,tonemap=mobius:param=0.7:desat=2:peak=5,zscale=t=bt709:m=bt709:r=tv,"
            "format=yuv420p[layer0_k]"
        ),
        "[layer0_k][layer0_m]alphamerge,format=yuva420p,setsar=1,fps=25/1:start_time=0[placed0]",
    ]


@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_wide_colours_keep_their_transparency(primaries: str) -> None:
    chains = graph(job("a.mp4"), source(primaries=primaries, alpha=True))
    assert "alphaextract" in chains[1]
    assert "alphamerge,format=yuva420p" in chains[3]


@pytest.mark.parametrize("primaries", [None, "bt709", "bt470bg", "smpte170m", "smpte240m", "bt470m"])
def test_colours_of_usual_screens_are_left_alone(primaries: str | None) -> None:
    chain = graph(job("a.mp4"), source(primaries=primaries))[0]
    assert chain == graph(job("a.mp4"), source())[0]
    assert "zscale" not in chain


@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_pictures_of_red_green_and_blue_are_what_they_say(primaries: str) -> None:
    assert graph(job("a.mp4"), source(rgb=True, primaries=primaries)) == graph(job("a.mp4"), source(rgb=True))


@pytest.mark.parametrize(
    ("size", "scaler"),
    [
        ((128, 96), "bicubic"),
        ((2048, 1536), "bicubic"),
        ((2049, 1536), "area"),
        ((2048, 1537), "area"),
        ((8, 6), "bicubic"),
    ],
)
def test_a_reduction_to_less_than_a_sixteenth_averages(size: tuple[int, int], scaler: str) -> None:
    placed = job(("a.mp4", {"width": 128, "height": 96}))
    assert f"scale=128:96:flags={scaler}+accurate_rnd:in_color_matrix=" in graph(placed, source(*size))[0]
    hdr = graph(placed, source(*size, transfer="smpte2084"))[0]
    assert f"scale=128:96:flags={scaler}+accurate_rnd:in_color_matrix=bt2020nc" in hdr


def test_a_transparent_source_is_painted_over_black_with_its_own_decoder() -> None:
    transparent = source(alpha=True, decoder="libvpx-vp9")
    chains = graph(job("a.mp4"), transparent)
    assert chains[1] == "color=c=black:s=256x192:r=25/1:d=2.040000,format=yuv420p,trim=end_frame=50[base]"
    assert chains[2] == "[base][placed0]overlay=x=0:y=0:format=yuv420[painted0]"
    assert option(command(job("a.mp4"), transparent), "-c:v") == "libvpx-vp9"


def test_frames_are_dropped_before_scaling_and_repeated_after_it() -> None:
    operation = job("a.mp4", ("b.mp4", {"x": 128}), video={"fps": 30})
    slow, fast = graph(operation, source(fps=25), source(fps=50))[:2]
    assert slow.endswith("setsar=1,fps=30/1:start_time=0[placed0]")
    assert fast.startswith("[1:0]fps=30/1:start_time=0,scale=")


@pytest.mark.parametrize(
    ("fps", "start"),
    [
        (25, "[0:0]bwdif=mode=send_frame:deint=interlaced,scale="),
        (50, "[0:0]bwdif=mode=send_frame:deint=interlaced,fps=30/1:start_time=0,scale="),
    ],
)
def test_fields_are_put_together_before_frames_are_dropped(fps: int, start: str) -> None:
    (chain, *_) = graph(job("a.mp4", video={"fps": 30}), source(fps=fps, interlaced=True))
    assert chain.startswith(start)


@pytest.mark.parametrize(
    ("seconds", "fps", "rate", "whole"),
    [
        (0.03, 50, 25, False),
        (0.04, 50, 25, True),
        (0.5, 25, 1, False),
        (1.0, 25, 1, True),
        (0.02, 50, 60, True),
    ],
)
def test_a_film_that_is_shorter_than_a_frame_of_the_result_is_seen(
    seconds: float, fps: int, rate: int, whole: bool
) -> None:
    operation = job("a.mp4", ("b.mp4", {"x": 128}), video={"fps": rate})
    chain = graph(operation, source(fps=fps, seconds=seconds), source(seconds=2))[0]
    assert f"fps={rate}/1:start_time=0" in chain
    assert (":eof_action=pass" in chain) is not whole


def test_a_still_is_held_for_as_long_as_the_others_last() -> None:
    chains = graph(job("a.png", ("b.mp4", {"x": 128})), still(), source(seconds=2))
    assert chains[0].endswith("format=yuv420p,setsar=1,fps=25/1:start_time=0:eof_action=pass[placed0]")
    assert chains[1].endswith("format=yuv420p,setsar=1,fps=25/1:start_time=0[placed1]")
    assert "tpad=stop=50:stop_mode=clone,trim=end_frame=50" in chains[-1]


# --- what follows ----------------------------------------------------------------------------------------------------


def test_the_frames_that_are_kept() -> None:
    assert cut(Span(Fraction(25), 0, 50)) == ["tpad=stop=50:stop_mode=clone", "trim=end_frame=50"]
    assert cut(Span(Fraction(25), 13, 25)) == [
        "tpad=stop=38:stop_mode=clone",
        "trim=start_frame=13:end_frame=38",
        "setpts=PTS-STARTPTS",
    ]


def test_a_rate_is_written_exactly() -> None:
    assert [rate_text(Fraction(each)) for each in ("25", "30000/1001")] == ["25/1", "30000/1001"]


@pytest.mark.parametrize(
    ("pixfmt", "last"),
    [
        ("yuv420p", "trim=end_frame=50,setparams=range=tv"),
        ("yuv444p", "trim=end_frame=50,setparams=range=tv"),
        ("yuv422p", "accurate_rnd,format=yuv422p,setparams=range=tv"),
        ("yuvj420p", "in_range=tv:out_range=pc,format=yuvj420p,setparams=range=pc"),
    ],
)
def test_the_composition_becomes_the_samples_of_the_output(pixfmt: str, last: str) -> None:
    assert last in graph(job("a.mp4", video={"pixfmt": pixfmt}), source())[-1]


@pytest.mark.parametrize(
    ("colors", "steps"),
    [
        (BT709, []),
        (Colors(range="pc"), ["scale=flags=bicubic+accurate_rnd:in_range=tv:out_range=pc", "format=yuv420p"]),
        (
            Colors(matrix="smpte170m"),
            ["zscale=min=bt709:tin=bt709:pin=bt709:rin=tv:m=smpte170m:t=bt709:p=bt709:r=tv", "format=yuv420p"],
        ),
        (
            Colors("pc", "bt2020nc", "bt2020-10", "bt2020"),
            ["zscale=min=bt709:tin=bt709:pin=bt709:rin=tv:m=bt2020nc:t=bt2020-10:p=bt2020:r=pc", "format=yuv420p"],
        ),
    ],
)
def test_the_composition_is_converted_to_the_colours_of_the_output_and_says_so(
    colors: Colors, steps: list[str]
) -> None:
    *found, tags = converted("yuv420p", "yuv420p", colors)
    assert found == steps
    assert tags == (
        f"setparams=range={colors.range}:color_primaries={colors.primaries}:color_trc={colors.transfer}"
        f":colorspace={colors.matrix}"
    )


# --- rectangles ------------------------------------------------------------------------------------------------------

SIDES = strategies.integers(-300, 300)
SIZES = strategies.integers(1, 600)
RECTS = strategies.builds(Rect, SIDES, SIDES, SIZES, SIZES)


@given(RECTS, RECTS)
def test_an_intersection_lies_in_both(one: Rect, other: Rect) -> None:
    common = one.intersection(other)
    assert common == other.intersection(one)
    if common:
        assert common.intersection(one) == common == common.intersection(other)


@pytest.mark.parametrize(
    ("rect", "even"),
    [
        (Rect(0, 0, 2, 2), True),
        (Rect(-2, 4, 6, 8), True),
        (Rect(1, 0, 2, 2), False),
        (Rect(0, -1, 2, 2), False),
        (Rect(0, 0, 3, 2), False),
        (Rect(0, 0, 2, 3), False),
    ],
)
def test_even_edges(rect: Rect, even: bool) -> None:
    assert rect.even is even
