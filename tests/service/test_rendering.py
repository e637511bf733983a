"""Real renders, looked at and listened to; and what is left when one is stopped or fed with rubbish."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest

from reconciler.api.media import AudioStream, VideoStream
from reconciler.errors import RenderError
from reconciler.service import rendering
from reconciler.service.ffmpeg import FFmpeg, locate
from reconciler.service.prober import Prober
from reconciler.service.render import RenderFailed
from reconciler.service.rendering import Bounds, Rendered, Work, Workshop, perform
from reconciler.service.sandbox import Sandbox
from reconciler.service.studio import LocalDesk
from tests.service.media import (
    BLACK,
    BLUE,
    FFMPEG,
    GREEN,
    RED,
    SAMPLE,
    WHITE,
    Colour,
    Films,
    Picture,
    job,
    loudness,
    near,
    pictures,
    rendered,
    run,
    workshop,
)
from tests.service.processes import none_left, program, relatives
from tests.service.render.probes import marked


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "result.mp4"


def video(result: Rendered) -> VideoStream:
    assert result.media_info.stream is not None
    (stream,) = result.media_info.stream.video or ()
    return stream


def frames_of(result: Rendered) -> int:
    return video(result).num_frames or 0


def size_of(result: Rendered) -> int:
    assert result.media_info.format is not None
    return result.media_info.format.size or 0


def audio(result: Rendered) -> AudioStream:
    assert result.media_info.stream is not None
    (stream,) = result.media_info.stream.audio or ()
    return stream


def shows(picture: Picture, **wanted: Colour) -> None:
    """Check colours at points that are written ``x10y20``."""
    for place, colour in wanted.items():
        x, y = (int(part) for part in place[1:].split("y"))
        assert near(picture.at(x, y), colour), f"{picture.at(x, y)} at {x},{y} instead of {colour}"


# --- the picture -----------------------------------------------------------------------------------------------------


def test_sources_are_placed_and_the_rest_is_black(films: Films, target: Path) -> None:
    places = job(("red", {"x": 0, "y": 0}), ("blue", {"x": 128, "y": 64}))
    result = rendered(places, {"red": films.film("red"), "blue": films.film("blue")}, target)
    first, *_, last = pictures(target)
    for picture in (first, last):
        assert (picture.width, picture.height) == (256, 192)
        shows(picture, x1y1=RED, x126y126=RED, x129y65=BLUE, x254y190=BLUE)
        shows(picture, x129y62=BLACK, x254y1=BLACK, x1y129=BLACK, x126y190=BLACK)
    assert frames_of(result) == 10


def test_later_sources_cover_earlier_ones(films: Films, target: Path) -> None:
    places = job("red", ("blue", {"x": 64, "y": 32}), ("lime", {"x": 96, "y": 64, "width": 32, "height": 32}))
    rendered(places, {name: films.film(name) for name in ("red", "blue", "lime")}, target)
    shows(pictures(target)[5], x62y40=RED, x66y40=BLUE, x94y70=BLUE, x98y70=GREEN, x126y94=GREEN, x130y94=BLUE)


@pytest.mark.parametrize(
    ("place", "points"),
    [
        pytest.param({"x": -96}, {"x30y10": RED, "x34y10": BLACK, "x30y126": RED}, id="left"),
        pytest.param({"y": -96}, {"x10y30": RED, "x10y34": BLACK, "x126y30": RED}, id="top"),
        pytest.param({"x": 224}, {"x226y10": RED, "x222y10": BLACK, "x254y126": RED}, id="right"),
        pytest.param({"y": 160}, {"x10y162": RED, "x10y158": BLACK, "x126y190": RED}, id="bottom"),
        pytest.param({"x": -8, "y": -8, "width": 400, "height": 400}, {"x1y1": RED, "x254y190": RED}, id="all around"),
        pytest.param({"x": 500}, {"x1y1": BLACK, "x254y190": BLACK}, id="wholly outside"),
        pytest.param({"x": 33, "y": 17}, {"x34y18": RED, "x31y18": BLACK, "x34y15": BLACK, "x159y143": RED}, id="odd"),
        pytest.param({"width": 31, "height": 33}, {"x28y30": RED, "x32y10": BLACK, "x10y34": BLACK}, id="odd size"),
        pytest.param({"width": 256}, {"x254y126": RED, "x254y130": BLACK}, id="width alone: height is the source's"),
        pytest.param({"height": 20}, {"x126y18": RED, "x126y22": BLACK}, id="height alone"),
        pytest.param({"width": 1, "height": 1}, {"x3y3": BLACK}, id="one pixel"),
    ],
)
def test_placement(films: Films, target: Path, place: dict[str, int], points: dict[str, Colour]) -> None:
    rendered(job(("red", place)), {"red": films.film("red")}, target)
    shows(pictures(target)[3], **points)


def test_a_picture_is_stretched_to_its_place_and_cut_not_squeezed_at_the_edge(films: Films, target: Path) -> None:
    halves = films.film("red", size="128x64", filters="drawbox=x=64:w=64:h=64:color=blue:t=fill")
    rendered(job(("a", {"width": 200, "height": 100, "x": -50})), {"a": halves}, target)
    shows(pictures(target)[0], x46y50=RED, x54y50=BLUE, x148y98=BLUE, x152y50=BLACK, x10y102=BLACK)


def test_a_rotated_source_stands_upright(films: Films, tmp_path: Path, target: Path) -> None:
    halves, turned = films.film("red", filters="drawbox=y=64:h=64:w=128:color=blue:t=fill"), tmp_path / "turned.mp4"
    run("-display_rotation", "-90", "-i", str(halves), "-c", "copy", str(turned))
    rendered(job("a"), {"a": turned}, target)
    shows(pictures(target)[0], x10y10=BLUE, x10y120=BLUE, x120y10=RED, x120y120=RED)


def test_oblong_pixels_become_square(films: Films, target: Path) -> None:
    rendered(job("a"), {"a": films.film("red", size="64x64", filters="setsar=2/1")}, target)
    shows(pictures(target)[0], x126y10=RED, x130y10=BLACK, x126y62=RED, x126y66=BLACK)


def test_a_transparent_source_lets_the_one_below_through(films: Films, target: Path) -> None:
    half = "format=rgba,colorchannelmixer=aa=0.5,format=yuva420p"
    alpha = films.film("red", filters=half, suffix="webm", options=["-c:v", "libvpx-vp9"])
    rendered(job("below", "above"), {"below": films.film("blue"), "above": alpha}, target)
    assert near(pictures(target)[0].at(64, 64), (128, 0, 128), 40)


@pytest.mark.parametrize(
    ("matrix", "size"), [("bt709", "128x128"), ("smpte170m", "128x128"), (None, "128x128"), (None, "1280x720")]
)
def test_colours_survive_whatever_the_source_is_coded_in(
    films: Films, target: Path, matrix: str | None, size: str
) -> None:
    coded = matrix or ("bt709" if size == "1280x720" else "smpte170m")
    tag = f"setparams=colorspace={matrix or 'unknown'}:color_primaries=unknown:color_trc=unknown"
    filters = f"format=gbrp,scale=out_color_matrix={coded}:out_range=tv,format=yuv444p,{tag}"
    source = films.film("0x30A0E0", size=size, filters=filters, seconds=0.1)
    rendered(job(("a", {"width": 256, "height": 192}), video={"crf": 5}), {"a": source}, target)
    assert near(pictures(target)[0].at(100, 100), (0x30, 0xA0, 0xE0), 4)


def test_the_colours_of_the_output_are_tagged(films: Films, target: Path) -> None:
    result = rendered(job("a", ("b", {"x": 64})), {"a": films.film(), "b": films.film("blue")}, target)
    stream = video(result)
    assert (stream.color_primaries, stream.color_transfer, stream.color_range) == ("bt709", "bt709", "tv")
    assert stream.sar == "1:1"


@pytest.mark.parametrize(
    ("transcode", "size", "points"),
    [
        ({"crop": "128:64:64:96"}, (128, 64), {"x62y30": RED, "x66y30": BLACK, "x10y34": BLACK}),
        ({"rotate": 90}, (192, 256), {"x62y10": BLACK, "x66y10": RED, "x190y126": RED, "x190y130": BLACK}),
        ({"rotate": 180}, (256, 192), {"x126y190": BLACK, "x130y190": RED, "x254y66": RED, "x254y62": BLACK}),
        ({"rotate": 270}, (192, 256), {"x10y254": RED, "x126y130": RED, "x130y254": BLACK, "x10y126": BLACK}),
        ({"rotate": 45}, (256, 192), {"x1y1": BLACK, "x127y60": RED, "x254y190": BLACK}),
        ({"crop": "128:64:64:96", "rotate": 90}, (64, 128), {"x62y60": RED, "x62y66": BLACK, "x30y10": BLACK}),
    ],
)
def test_crop_and_rotation_follow_the_composition(
    films: Films, target: Path, transcode: dict[str, Any], size: tuple[int, int], points: dict[str, Colour]
) -> None:
    result = rendered(job("red", video=transcode), {"red": films.film("red")}, target)
    assert (video(result).width, video(result).height) == size
    shows(pictures(target)[0], **points)


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [0, 64])
def test_a_source_that_has_ended_holds_its_last_picture(films: Films, target: Path, overlap: int) -> None:
    turning = films.film("red", seconds=0.4, filters="drawbox=w=128:h=128:color=blue:t=fill:enable='gte(n,8)'")
    places = job("short", ("long", {"x": 128 - overlap}))
    result = rendered(places, {"short": turning, "long": films.film("lime", seconds=1)}, target)
    frames = pictures(target)
    assert frames_of(result) == len(frames) == 25
    shows(frames[7], x10y10=RED, x200y10=BLACK if overlap else GREEN)
    shows(frames[8], x10y10=BLUE)
    shows(frames[24], x10y10=BLUE, x140y10=GREEN)


@pytest.mark.parametrize(
    ("rates", "fps", "frames", "rate"),
    [
        (("25", "50"), None, 20, 50),
        (("10", "15"), 30, 12, 30),
        (("30000/1001", "25"), None, 12, 29.97),
        (("120", "25"), None, 24, 60),
        (("25", "25"), 12.5, 5, 12.5),
    ],
)
def test_frame_rates(
    films: Films, target: Path, rates: tuple[str, str], fps: float | None, frames: int, rate: float
) -> None:
    sources = {name: films.film(name, rate=each) for name, each in zip(("red", "blue"), rates, strict=True)}
    result = rendered(job("red", ("blue", {"x": 128}), video={"fps": fps}), sources, target)
    assert frames_of(result) == len(pictures(target)) == frames
    assert float(video(result).fps or 0) == pytest.approx(rate, abs=0.001)
    assert float(video(result).duration or 0) == pytest.approx(frames / rate, abs=0.001)


def test_an_uneven_source_keeps_its_timing(films: Films, target: Path) -> None:
    pause = "select='not(between(n,5,19))',drawbox=w=128:h=128:color=blue:t=fill:enable='gte(t,0.75)'"
    uneven = films.film("red", seconds=1, filters=pause, options=["-fps_mode", "vfr"])
    rendered(job("a", video={"fps": 25}), {"a": uneven}, target)
    frames = pictures(target)
    assert len(frames) == 25
    shows(frames[17], x10y10=RED)
    shows(frames[21], x10y10=BLUE)


def test_a_source_without_a_length_is_rendered_whole(films: Films, target: Path) -> None:
    live = films.film(seconds=1, suffix="mkv", options=["-f", "matroska", "-live", "1"])
    assert frames_of(rendered(job("a"), {"a": live}, target)) == 25


def test_one_picture_is_a_video(films: Films, target: Path) -> None:
    assert frames_of(rendered(job("a"), {"a": films.film(seconds=0.04)}, target)) == 1


def test_a_part_of_the_composition(films: Films, target: Path) -> None:
    turning = films.film("red", seconds=1, filters="drawbox=w=128:h=128:color=blue:t=fill:enable='gte(n,15)'")
    operation = job("short", ("a", {"x": 128}), time_interval={"start": 0.52, "duration": 0.2})
    result = rendered(operation, {"a": turning, "short": films.film("lime", seconds=0.2)}, target)
    frames = pictures(target)
    assert frames_of(result) == len(frames) == 5
    assert video(result).start_time == 0
    shows(frames[0], x10y10=GREEN, x140y10=RED)
    shows(frames[1], x140y10=RED)
    shows(frames[2], x140y10=BLUE)


def test_the_same_file_twice(films: Films, target: Path) -> None:
    operation = job(("a", {"width": 64, "height": 64}), ("a", {"x": 100, "y": 100, "width": 32, "height": 32}))
    rendered(operation, {"a": films.film("red")}, target)
    shows(pictures(target)[0], x62y62=RED, x66y66=BLACK, x102y102=RED, x130y130=RED, x134y134=BLACK)


# --- sound -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["aac", "mp3"])
def test_the_sound_of_all_sources_is_mixed(films: Films, target: Path, codec: str) -> None:
    sources = {
        "low": films.film("red", tone=500),
        "high": films.film("blue", tone=1500),
        "silent": films.film("lime", seconds=1),
    }
    operation = job("low", ("high", {"x": 128}), ("silent", {"y": 64}), keep=True, audio={"codec": codec})
    result = rendered(operation, sources, target)
    alone = loudness(sources["low"], 500)
    assert audio(result).codec_name == codec
    assert loudness(target, 500) == pytest.approx(alone, rel=0.1)
    assert loudness(target, 1500) == pytest.approx(alone, rel=0.1)
    assert loudness(target, 1000) < alone / 50
    assert loudness(target, 500, start=0.6) < alone / 50
    assert float(audio(result).duration or 0) == pytest.approx(1, abs=0.06)


def test_a_source_that_ends_does_not_make_the_other_one_louder(films: Films, target: Path) -> None:
    sources = {"a": films.film("red", tone=500, seconds=0.4), "b": films.film("blue", tone=1500, seconds=1)}
    rendered(job("a", ("b", {"x": 128}), keep=True, audio={}), sources, target)
    assert loudness(target, 1500) == pytest.approx(loudness(target, 1500, start=0.6), rel=0.05)


def test_a_source_that_is_heard_but_not_seen(films: Films, target: Path) -> None:
    sources = {"a": films.film("red"), "b": films.film("blue", tone=500)}
    rendered(job("a", ("b", {"x": 256}), keep=True, audio={}), sources, target)
    assert loudness(target, 500) > 0.05


def test_the_part_of_the_sound_belongs_to_the_part_of_the_picture(films: Films, target: Path) -> None:
    sources = {"a": films.film("red", tone=500, seconds=0.4), "b": films.film("blue", tone=1500, seconds=1)}
    operation = job("a", ("b", {"x": 128}), keep=True, audio={}, time_interval={"start": 0.48})
    result = rendered(operation, sources, target)
    assert loudness(target, 500) < 0.005
    assert loudness(target, 1500) > 0.05
    assert float(audio(result).duration or 0) == pytest.approx(0.52, abs=0.05)


@pytest.mark.parametrize(
    ("keep", "node", "tone"),
    [(False, {"codec": "aac"}, 500), (True, None, 500), (True, {"remove": True}, 500), (True, {"codec": "aac"}, None)],
)
def test_no_sound_is_no_stream(
    films: Films, target: Path, keep: bool, node: dict[str, Any] | None, tone: int | None
) -> None:
    result = rendered(job("a", keep=keep, audio=node), {"a": films.film(tone=tone)}, target)
    assert result.media_info.stream is not None
    assert result.media_info.stream.audio is None
    assert result.media_info.format is not None
    assert result.media_info.format.num_stream == 1


# --- encoders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "facts"),
    [
        (
            {"preset": None},
            {"codec_name": "h264", "profile": "High", "pix_format": "yuv420p", "codec_tag_string": "avc1"},
        ),
        ({"profile": "main", "preset": "veryfast"}, {"profile": "Main"}),
        ({"profile": "baseline"}, {"profile": "Constrained Baseline", "has_b_frame": 0}),
        ({"codec": "H.265"}, {"codec_name": "hevc", "profile": "Main", "codec_tag_string": "hvc1"}),
        ({"codec": "H.265", "pixfmt": "yuv420p10le"}, {"profile": "Main 10", "pix_format": "yuv420p10le"}),
        ({"pixfmt": "yuv422p"}, {"pix_format": "yuv422p", "profile": "High 4:2:2"}),
        ({"pixfmt": "yuv444p"}, {"pix_format": "yuv444p"}),
        ({"pixfmt": "yuvj420p"}, {"pix_format": "yuvj420p", "color_range": "pc"}),
        ({"width": 130, "height": 128}, {"width": 130, "height": 128, "dar": "65:64"}),
    ],
)
def test_video_parameters(films: Films, target: Path, parameters: dict[str, Any], facts: dict[str, Any]) -> None:
    result = rendered(job("a", video=parameters), {"a": films.film("red")}, target)
    assert {name: getattr(video(result), name) for name in facts} == facts
    assert near(pictures(target)[0].at(10, 10), RED)


def test_gop_and_rate(tmp_path: Path) -> None:
    sizes = []
    for bitrate in (100, 800):
        target = tmp_path / f"{bitrate}.mp4"
        encoding = {"bitrate": bitrate, "gop": 5, "maxrate": 2 * bitrate, "bufsize": 2 * bitrate}
        result = rendered(job("a", video=encoding, time_interval={"duration": 1}), {"a": SAMPLE}, target)
        sizes.append(size_of(result))
        with av.open(str(target)) as container:
            keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert keys == [number % 5 == 0 for number in range(25)]
    assert sizes[1] > 2 * sizes[0]


def test_quality(tmp_path: Path) -> None:
    fine, coarse = (
        rendered(job("a", video={"crf": crf}, time_interval={"duration": 0.4}), {"a": SAMPLE}, tmp_path / f"{crf}.mp4")
        for crf in (10, 45)
    )
    assert size_of(fine) > 3 * size_of(coarse)


@pytest.mark.parametrize(
    ("parameters", "facts"),
    [
        ({}, {"sample_rate": 44100, "channel": 2, "channel_layout": "stereo", "sample_fmt": "fltp"}),
        ({"samplerate": 22050, "channels": 1}, {"sample_rate": 22050, "channel": 1, "channel_layout": "mono"}),
        ({"channels": 6}, {"channel": 6, "channel_layout": "5.1"}),
        ({"codec": "mp3", "samplerate": 48000, "sample_format": "s16p"}, {"sample_rate": 48000, "channel": 2}),
    ],
)
def test_audio_parameters(films: Films, target: Path, parameters: dict[str, Any], facts: dict[str, Any]) -> None:
    result = rendered(job("a", keep=True, audio=parameters), {"a": films.film(tone=500)}, target)
    assert {name: getattr(audio(result), name) for name in facts} == facts
    assert loudness(target, 500) > 0.03


def test_audio_bitrate(tmp_path: Path) -> None:
    small, large = (
        rendered(job("a", keep=True, audio={"bitrate": rate}), {"a": SAMPLE}, tmp_path / f"{rate}.mp4")
        for rate in (32, 192)
    )
    assert float(audio(small).bitrate or 0) < 50
    assert float(audio(large).bitrate or 0) > 120


# --- the promise -----------------------------------------------------------------------------------------------------


def test_real_footage_twice_is_the_same_file(tmp_path: Path) -> None:
    operation = job("a", ("a", {"x": 60, "y": 40, "width": 101}), keep=True, audio={}, time_interval={"duration": 0.6})
    one, two = (rendered(operation, {"a": SAMPLE}, tmp_path / name) for name in ("one.mp4", "two.mp4"))
    content = (tmp_path / "one.mp4").read_bytes()
    assert content == (tmp_path / "two.mp4").read_bytes()
    assert one == two
    assert size_of(one) == len(content)
    assert content.index(b"moov") < content.index(b"mdat")


def test_h265_twice_is_the_same_file(films: Films, tmp_path: Path) -> None:
    operation = job("a", video={"codec": "H.265", "bitrate": 300}, time_interval={"duration": 0.6})
    one, two = (rendered(operation, {"a": SAMPLE}, tmp_path / name) for name in ("one.mp4", "two.mp4"))
    assert one == two
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


WRITTEN = {"text": "demo", "font_size": 20, "font_type": "arial.ttf", "font_color": "0xFFFFFF", "transparency": 100}
"""A text as the API wants it."""


# --- sources as they are ---------------------------------------------------------------------------------------------


def test_what_was_done_to_a_source_is_told_with_the_result(films: Films, target: Path) -> None:
    bt2020 = "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    ten_bit = ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error"]
    hdr = films.film("white", filters=bt2020, options=ten_bit, suffix="mkv")
    fields = films.film("blue", rate="50", filters="interlace,setfield=tff", options=["-flags", "+ildct+ilme"])
    result = rendered(job("in/hdr", ("in/fields", {"x": 128})), {"in/hdr": hdr, "in/fields": fields}, target)
    assert result.notes == (
        "in/hdr is HDR (arib-std-b67) and was converted to BT.709",
        "in/fields is interlaced and was deinterlaced",
    )
    assert near(pictures(target)[3].at(200, 60), BLUE)
    assert result.engine == f"ffmpeg {FFMPEG.version}, 2 threads"


def test_a_still_picture_is_a_source(films: Films, tmp_path: Path, target: Path) -> None:
    png = tmp_path / "red.png"
    run("-i", str(films.film("red")), "-frames:v", "1", str(png))
    result = rendered(job("still", ("film", {"x": 128})), {"still": png, "film": films.film("blue")}, target)
    assert frames_of(result) == 10
    shows(pictures(target)[9], x64y64=RED, x200y64=BLUE)
    assert result.notes == ()


def test_a_mark_and_a_text_are_painted(films: Films, tmp_path: Path, target: Path) -> None:
    png = tmp_path / "lime.png"
    run("-i", str(films.film("lime")), "-frames:v", "1", str(png))
    logo = {"type": "Image", "pos": "BottomRight", "image": {"url": "logo", "mode": "Fixed", "width": 32, "height": 32}}
    text = {"type": "Text", "pos": "TopLeft", "text": {**WRITTEN, "font_size": 40}}
    operation = marked(job(("a", {"width": 256, "height": 192})), logo, text)
    result = rendered(operation, {"a": films.film("red"), "logo": png}, target)
    (first, *_) = pictures(target)
    shows(first, x240y176=GREEN, x220y176=RED, x128y150=RED)
    white = [first.at(x, y) for x in range(0, 120, 2) for y in range(0, 60, 2) if near(first.at(x, y), WHITE, 60)]
    assert len(white) > 20
    assert result.names == ("made.mp4",)


@pytest.mark.parametrize(("delete", "kept"), [(None, True), (False, True), (True, False)])
def test_the_metadata_of_the_first_source_is_kept_unless_it_is_to_be_deleted(
    films: Films, tmp_path: Path, target: Path, delete: bool | None, kept: bool
) -> None:
    marked_films = []
    for name in ("first", "second"):
        options = ["-metadata", f"title=of {name}", "-metadata", f"comment=by {name}"]
        marked_films.append(films.film(tone=500, options=options))
    first, second = marked_films
    operation = job("a", ("b", {"x": 128}), keep=True, audio={}, trans_config={"delete_metadata": delete})
    rendered(operation, {"a": first, "b": second}, target)
    content = target.read_bytes()
    assert (b"of first" in content, b"by first" in content) == (kept, kept)
    assert b"second" not in content


# --- one render ------------------------------------------------------------------------------------------------------


def on_desk(
    operation: Any,
    sources: dict[str, Path],
    folder: Path,
    *,
    bounds: Bounds | None = None,
    tools: Workshop | None = None,
    tell: Callable[[float], None] = lambda _: None,
) -> Rendered:
    folder.mkdir(exist_ok=True)
    work = Work(operation, "made", threads=2, bounds=bounds or Bounds(seconds=60))
    return perform(work, LocalDesk(sources, folder, tell), tools or workshop())


def failed(*arguments: Any, **settings: Any) -> tuple[str, str]:
    with pytest.raises(RenderFailed) as caught:
        on_desk(*arguments, **settings)
    return caught.value.code, str(caught.value)


def test_progress_is_a_share_that_only_grows(tmp_path: Path) -> None:
    told: list[float] = []
    operation = job("a", video={"width": 768, "height": 512, "preset": "medium"})
    on_desk(operation, {"a": SAMPLE}, tmp_path / "made", tell=told.append)
    assert told == sorted(told)
    assert told[0] == 0.0
    assert 1.0 not in told
    assert len(told) > 2
    assert all((share * 132) == pytest.approx(round(share * 132)) for share in told)


class Desk(LocalDesk):
    """A desk that notes what is taken away."""

    taken: tuple[Path, Sequence[str]] | None = None

    def deliver(self, folder: Path, names: Sequence[str]) -> None:
        self.taken = folder, names


def test_the_finished_files_are_taken_away_the_playlist_last(tmp_path: Path) -> None:
    desk = Desk({"a": SAMPLE}, tmp_path, lambda _: None)
    packing = {"format": "hls", "clip_config": {"duration": "0.4"}}
    work = Work(job("a", container=packing, time_interval={"duration": "0.8"}), "x", threads=2)
    done = perform(work, desk, workshop())
    assert desk.taken == (tmp_path, done.names)
    assert done.names == ("x-00000.ts", "x-00001.ts", "x.m3u8")


def test_no_file_of_a_text_is_part_of_the_result(films: Films, tmp_path: Path) -> None:
    text = {"type": "Text", "text": WRITTEN}
    done = on_desk(marked(job("a"), text), {"a": films.film()}, tmp_path / "made")
    assert done.names == ("made.mp4",)


def test_a_text_that_cannot_be_drawn_is_named(films: Films, tmp_path: Path) -> None:
    marks = [{"type": "Text", "text": {**WRITTEN, "text": text}} for text in ("demo", "\U0001f600")]
    code, message = failed(marked(job("a"), *marks), {"a": films.film()}, tmp_path / "made")
    assert code == "InvalidArgument"
    assert message.startswith("watermark[1].text: ")


# --- bounds ----------------------------------------------------------------------------------------------------------


def endless() -> Any:
    """A job that takes minutes: a still picture for hours."""
    return job("a", video={"fps": 60}, time_interval={"duration": 20_000})


@pytest.fixture(scope="module")
def still(films: Films) -> Path:
    path = films.folder / "still.png"
    run("-i", str(films.film("red")), "-frames:v", "1", str(path))
    return path


def test_a_sound_that_nobody_can_decode_is_left_out(films: Films, target: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    content = films.film("red", tone=500).read_bytes()
    path.write_bytes(content.replace(b"mp4a", b"apac").replace(b"esds", b"none"))
    result = rendered(job("a", keep=True, audio={}), {"a": path}, target)
    assert video(result).num_frames == 10
    assert near(pictures(target)[0].at(64, 64), RED)


def test_a_render_has_a_time_limit(still: Path, tmp_path: Path) -> None:
    found = failed(endless(), {"a": still}, tmp_path / "made", bounds=Bounds(seconds=0.8))
    assert found == ("Timeout", "the render was stopped after 0.8 s, its time limit")
    assert none_left(str(tmp_path))


def test_a_render_that_nobody_wants_any_more_is_stopped(still: Path, tmp_path: Path) -> None:
    begun = threading.Event()
    desk = LocalDesk({"a": still}, tmp_path, lambda share: begun.set() if share else None)

    def stop() -> None:
        begun.wait(60)
        desk.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(CancelledError):
        perform(Work(endless(), "made", threads=2), desk, workshop())
    stopping.join()
    assert relatives(str(tmp_path)) == {}


def test_a_render_that_was_given_up_before_it_began_is_not_begun(tmp_path: Path) -> None:
    desk = LocalDesk({"a": tmp_path / "none"}, tmp_path, lambda _: None)
    desk.stop()
    with pytest.raises(CancelledError):
        perform(Work(job("a"), "made", threads=2), desk, workshop())
    assert list(tmp_path.iterdir()) == []


def test_a_render_whose_source_is_still_looked_at_is_stopped(tmp_path: Path) -> None:
    """The probe of a slow source has minutes; nobody waits for it who wants to end."""
    asked, folder = tmp_path / "asked", tmp_path / "work"
    folder.mkdir()
    with Prober([tmp_path], Sandbox("none")) as prober:
        prober._command = ["/bin/sh", "-c", 'echo ready; read -r q; : >"$0"; sleep 600', str(asked)]
        tools = dataclasses.replace(workshop(), prober=prober)
        desk = LocalDesk({"a": SAMPLE}, folder, lambda _: None)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(perform, Work(job("a"), "made", threads=2), desk, tools)
            for _ in range(3000):
                if asked.exists():
                    break
                time.sleep(0.01)
            desk.stop()
            with pytest.raises(CancelledError):
                running.result(20)
        assert none_left(str(asked))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("confined", [True, False], ids=["in the sandbox", "without one"])
def test_a_render_has_a_memory_limit(tmp_path: Path, confined: bool) -> None:
    tools = workshop() if confined else dataclasses.replace(workshop(), sandbox=Sandbox("none"))
    size = {"width": 2048, "height": 2048}
    operation = job(("a", size), ("b", {**size, "x": 1}), video=size)
    sources = {"a": SAMPLE, "b": SAMPLE}
    code, message = failed(operation, sources, tmp_path / "made", bounds=Bounds(memory=600 << 20), tools=tools)
    assert (code, message.partition(":")[0]) == (
        "MemoryLimitExceeded",
        "the render needs more memory than it may have (RECONCILER_RENDER_MEMORY)",
    )


def test_a_disk_with_too_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but 20 kB of the disk are reserved."""
    free = rendering.shutil.disk_usage(tmp_path).free  # type: ignore[attr-defined]
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(rendering.shutil, "disk_usage", lambda _: usage)  # type: ignore[attr-defined]
    monkeypatch.setattr(rendering, "RESERVE", free - 20_000)
    code, message = failed(job("a", video={"crf": 1}), {"a": SAMPLE}, tmp_path / "made")
    assert code == "InsufficientStorage"
    assert message.startswith("there is not enough room on the disk for the result")


def test_a_full_disk_is_told_before_anything_is_written(
    films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "RESERVE", 1 << 60)
    assert failed(job("a"), {"a": films.film()}, tmp_path / "made")[0] == "InsufficientStorage"


def unconfined(ffmpeg: FFmpeg) -> Workshop:
    return dataclasses.replace(workshop(), ffmpeg=ffmpeg, sandbox=Sandbox("none"))


def test_an_ffmpeg_that_hangs_is_given_up(films: Films, tmp_path: Path) -> None:
    stuck = program(tmp_path / "stuck", "echo frame=3\nwhile :; do echo frame=3; sleep 0.05; done")
    tools = unconfined(FFmpeg(str(stuck), FFMPEG.environment))
    found = failed(job("a"), {"a": films.film()}, tmp_path / "made", bounds=Bounds(patience=0.4), tools=tools)
    assert found == ("Timeout", "FFmpeg made no progress for 0.4 s after frame 3 of 10")
    assert none_left(str(stuck))


def test_an_ffmpeg_that_makes_something_else_is_found_out(films: Films, tmp_path: Path) -> None:
    short = films.film(seconds=0.2)
    liar = program(tmp_path / "liar", f"cp {short} made.mp4; echo progress=end")
    tools = unconfined(FFmpeg(str(liar), {"PATH": os.environ["PATH"]}))
    found = failed(job("a"), {"a": films.film()}, tmp_path / "made", tools=tools)
    assert found == ("InternalError", "the rendered file has 5 frames instead of 10")
    idler = program(tmp_path / "idler", "echo nothing >made.mp4; echo progress=end")
    tools = unconfined(FFmpeg(str(idler), {"PATH": os.environ["PATH"]}))
    code, message = failed(job("a"), {"a": films.film()}, tmp_path / "other", tools=tools)
    assert (code, message.startswith("the rendered file ")) == ("InternalError", True)


def test_an_ffmpeg_that_cannot_be_started(films: Films, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"^FFmpeg could not be started"):
        on_desk(job("a"), {"a": films.film()}, tmp_path / "made", tools=unconfined(FFmpeg(str(tmp_path / "gone"))))


def test_ffmpeg_sees_no_secret(films: Films, tmp_path: Path) -> None:
    spy = program(tmp_path / "spy", f'env >seen\nexec {FFMPEG.path} "$@"')
    secrets = {"TENCENTCLOUD_SECRET_KEY": "hush", "RECONCILER_FFMPEG": str(spy), "PATH": "/usr/bin:/bin"}
    on_desk(job("a"), {"a": films.film()}, tmp_path / "made", tools=unconfined(_speaking(locate(secrets))))
    lines = (tmp_path / "made" / "seen").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "LC_ALL", "SVT_LOG"} <= names <= {"PATH", "LC_ALL", "SVT_LOG", "PWD", "_", "OLDPWD", "SHLVL"}


def _speaking(ffmpeg: FFmpeg) -> FFmpeg:
    """The program, asked for its version beforehand: that call is not the one that is looked at."""
    assert ffmpeg.version
    return ffmpeg


# --- sources that cannot be rendered ---------------------------------------------------------------------------------


def failure(sources: dict[str, Path], target: Path) -> RenderFailed:
    operation = job(*sources, ("in/good.mp4", {"x": 128}))
    with pytest.raises(RenderFailed) as caught:
        rendered(operation, {**sources, "in/good.mp4": SAMPLE}, target)
    assert not target.exists()
    return caught.value


def test_text_is_not_a_video(tmp_path: Path, target: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("No video at all.\n" * 100)
    caught = failure({"in/text.mp4": text}, target)
    assert caught.code == "InvalidSource"
    assert str(caught).startswith("in/text.mp4 ")


def test_sound_is_not_a_video(tmp_path: Path, target: Path) -> None:
    song = tmp_path / "song.mp4"
    run("-f", "lavfi", "-i", "sine=d=0.2", str(song))
    caught = failure({"in/song.mp4": song}, target)
    assert (caught.code, str(caught)) == (
        "InvalidSource",
        "in/song.mp4 has no video stream, so there is nothing to place",
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_truncated_source_fails_with_the_words_of_ffmpeg(
    tmp_path: Path, target: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, half = tmp_path / f"whole.{suffix}", tmp_path / f"half.{suffix}"
    run(
        "-i",
        str(SAMPLE),
        "-c",
        "copy",
        "-map",
        "0:v",
        *(["-movflags", "+faststart"] if suffix == "mp4" else []),
        str(whole),
    )
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    caught = failure({f"in/{half.name}": half}, target)
    assert caught.code == "InvalidSource"
    assert str(caught).startswith(
        "in/half.mkv is incomplete: " if suffix == "mkv" else "FFmpeg cannot decode in/half.mp4: "
    )
    assert ("File ended prematurely" if suffix == "mkv" else "corrupt input packet in stream 0") in str(caught)
    assert str(tmp_path) not in str(caught)
    assert capfd.readouterr().err == ""


def test_a_damaged_source_fails(tmp_path: Path, target: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(SAMPLE.read_bytes())
    for offset in range(len(content) // 3, len(content) // 2):
        content[offset] ^= 0x55
    damaged.write_bytes(content)
    caught = failure({"in/damaged.mp4": damaged}, target)
    assert caught.code == "InvalidSource"
    assert str(caught).startswith("FFmpeg cannot decode in/damaged.mp4: ")


def test_a_playlist_reads_no_other_file(films: Films, tmp_path: Path, target: Path) -> None:
    playlist = tmp_path / "playlist.mp4"
    inner = films.film(suffix="ts")
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{inner}\n#EXT-X-ENDLIST\n")
    assert failure({"in/playlist.mp4": playlist}, target).code == "InvalidSource"


def test_colours_of_the_helper() -> None:
    """The helper that looks at pictures tells colours apart."""
    assert near(WHITE, (250, 250, 240))
    assert not near(RED, BLUE)
