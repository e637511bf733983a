"""Real renders, looked at and listened to; and what is left when one is stopped, killed or fed with rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from reconciler.api.media import AudioStream, VideoStream
from reconciler.errors import RenderError
from reconciler.service.ffmpeg import FFmpeg, Rendered, RenderFailed, locate, render
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
)


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
    assert result.frames == video(result).num_frames == 10


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
    assert result.frames == len(frames) == 25
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
    assert result.frames == len(pictures(target)) == frames
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
    assert rendered(job("a"), {"a": live}, target).frames == 25


def test_one_picture_is_a_video(films: Films, target: Path) -> None:
    assert rendered(job("a"), {"a": films.film(seconds=0.04)}, target).frames == 1


def test_a_part_of_the_composition(films: Films, target: Path) -> None:
    turning = films.film("red", seconds=1, filters="drawbox=w=128:h=128:color=blue:t=fill:enable='gte(n,15)'")
    operation = job("short", ("a", {"x": 128}), time_interval={"start": 0.52, "duration": 0.2})
    result = rendered(operation, {"a": turning, "short": films.film("lime", seconds=0.2)}, target)
    frames = pictures(target)
    assert result.frames == len(frames) == 5
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
    assert audio(result).codec_name == ("aac" if codec == "aac" else "mp3float")
    assert loudness(target, 500) == pytest.approx(alone * 0.7, rel=0.15)
    assert loudness(target, 1500) == pytest.approx(alone * 0.7, rel=0.15)
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
        sizes.append(result.size)
        with av.open(str(target)) as container:
            keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert keys == [number % 5 == 0 for number in range(25)]
    assert sizes[1] > 2 * sizes[0]


def test_quality(tmp_path: Path) -> None:
    fine, coarse = (
        rendered(job("a", video={"crf": crf}, time_interval={"duration": 0.4}), {"a": SAMPLE}, tmp_path / f"{crf}.mp4")
        for crf in (10, 45)
    )
    assert fine.size > 3 * coarse.size


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
    assert one.md5 == hashlib.md5(content).hexdigest()
    assert one.size == len(content)
    assert content.index(b"moov") < content.index(b"mdat")


def test_h265_twice_is_the_same_file(films: Films, tmp_path: Path) -> None:
    operation = job("a", video={"codec": "H.265", "bitrate": 300}, time_interval={"duration": 0.6})
    one, two = (rendered(operation, {"a": SAMPLE}, tmp_path / name) for name in ("one.mp4", "two.mp4"))
    assert one == two


def test_nothing_of_the_sources_metadata_leaks(films: Films, target: Path) -> None:
    marked = films.film(tone=500, options=["-metadata", "title=secret", "-metadata", "comment=secret"])
    rendered(job("a", keep=True, audio={}), {"a": marked}, target)
    assert b"secret" in marked.read_bytes()
    assert b"secret" not in target.read_bytes()


def test_progress_is_a_share_that_only_grows(target: Path) -> None:
    told: list[float] = []
    operation = job("a", video={"width": 768, "height": 512, "preset": "medium"})
    asyncio.run(render(operation, {"a": SAMPLE}, target, ffmpeg=FFMPEG, threads=2, on_progress=told.append))
    assert told == sorted(told)
    assert (told[0], told[-1], told.count(1.0)) == (0.0, 1.0, 1)
    assert len(told) > 3
    assert all((share * 132) == pytest.approx(round(share * 132)) for share in told)


# --- failures --------------------------------------------------------------------------------------------------------


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
    assert str(caught) == "in/text.mp4 is not a video that can be read: Invalid data found when processing input"


def test_sound_is_not_a_video(tmp_path: Path, target: Path) -> None:
    song = tmp_path / "song.mp4"
    run("-f", "lavfi", "-i", "sine=d=0.2", str(song))
    caught = failure({"in/song.mp4": song}, target)
    assert (caught.code, str(caught)) == ("InvalidSource", "in/song.mp4 has no video stream")


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


def slow_job() -> Any:
    """A job that takes some seconds: long enough to be interrupted."""
    size = {"width": 2048, "height": 2048}
    return job(("a", size), video={**size, "fps": 60})


async def begin(target: Path) -> tuple[asyncio.Task[Rendered], int]:
    """Start a slow render; return it with the process id of its FFmpeg when that writes."""
    begun = asyncio.Event()
    task = asyncio.create_task(
        render(
            slow_job(),
            {"a": SAMPLE},
            target,
            ffmpeg=FFMPEG,
            threads=1,
            on_progress=lambda share: begun.set() if share else None,
        )
    )
    waiter = asyncio.create_task(begun.wait())
    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    (pid,) = encoders(target)
    return task, pid


def encoders(target: Path) -> list[int]:
    """The processes that are FFmpeg and write ``target``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if arguments[0] == FFMPEG.path.encode() and f"file:{target}".encode() in arguments:
                found.append(int(folder.name))
    return found


def relatives(target: Path) -> list[str]:
    """Every process that was started for ``target``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes()
            if f"file:{target}".encode() in line:
                found.append(line.decode())
    return found


def none_left(target: Path) -> bool:
    """Wait until no process of the render is left; only a stuck one takes long."""
    for _ in range(500):
        if not relatives(target):
            return True
        time.sleep(0.01)
    return False


def test_a_killed_ffmpeg_is_a_failed_render(target: Path) -> None:
    async def scenario() -> None:
        task, pid = await begin(target)
        os.kill(pid, signal.SIGKILL)
        await task

    with pytest.raises(RenderFailed) as caught:
        asyncio.run(scenario())
    assert (caught.value.code, str(caught.value)) == (
        "InternalError",
        "FFmpeg was killed by signal 9 and said nothing",
    )
    assert not target.exists()
    assert none_left(target)


def test_an_ffmpeg_that_ends_politely_but_early_is_a_failed_render(target: Path) -> None:
    async def scenario() -> None:
        task, pid = await begin(target)
        os.kill(pid, signal.SIGTERM)
        await task

    with pytest.raises(RenderFailed, match="FFmpeg failed with status 255") as caught:
        asyncio.run(scenario())
    assert caught.value.code == "InternalError"
    assert not target.exists()


def test_cancelling_leaves_nothing(target: Path) -> None:
    async def scenario() -> None:
        task, _ = await begin(target)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())
    assert not target.exists()
    assert none_left(target)


def test_a_render_has_a_time_limit(target: Path) -> None:
    limited = render(
        slow_job(), {"a": SAMPLE}, target, ffmpeg=FFMPEG, threads=1, on_progress=lambda _: None, time_limit=0.8
    )
    with pytest.raises(RenderFailed) as caught:
        asyncio.run(limited)
    assert (caught.value.code, str(caught.value)) == ("Timeout", "the render was stopped after 0.8 s")
    assert not target.exists()
    assert none_left(target)


def test_an_ffmpeg_that_hangs_is_given_up(films: Films, tmp_path: Path, target: Path) -> None:
    stuck = program(tmp_path / "stuck", "echo frame=3\nwhile :; do echo frame=3; sleep 0.05; done")
    hanging = FFmpeg(str(stuck), FFMPEG.environment, patience=0.4)
    with pytest.raises(RenderFailed) as caught:
        asyncio.run(
            render(job("a"), {"a": films.film()}, target, ffmpeg=hanging, threads=1, on_progress=lambda _: None)
        )
    assert caught.value.code == "Timeout"
    assert str(caught.value) == "FFmpeg made no progress for 0.4 s after frame 3 of 10"
    assert none_left(target)


PARENT = """
import asyncio, os, sys
from pathlib import Path
from tests.service.test_ffmpeg import FFMPEG, SAMPLE, render, slow_job

def said(share):
    if share:
        print("begun", flush=True)

asyncio.run(render(slow_job(), {"a": SAMPLE}, Path(sys.argv[1]), ffmpeg=FFMPEG, threads=1, on_progress=said))
"""


def test_no_encoder_outlives_a_killed_parent(target: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(target)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        assert len(encoders(target)) == 1
        parent.kill()
    assert none_left(target)


def test_a_full_disk(films: Films, target: Path) -> None:
    """/dev/full takes nothing; the link to it stands for the file on the full disk, and is removed like one."""
    target.symlink_to("/dev/full")
    with pytest.raises(RenderFailed) as caught:
        rendered(job("a"), {"a": films.film()}, target)
    assert caught.value.code == "InternalError"
    assert "No space left on device" in str(caught.value)
    assert not target.is_symlink()
    assert Path("/dev/full").exists()


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow(target: Path) -> None:
    with file_size_limit(20_000), pytest.raises(RenderFailed, match="FFmpeg was killed by signal 25") as caught:
        rendered(job("a", video={"crf": 1}), {"a": SAMPLE}, target)
    assert caught.value.code == "InternalError"
    assert not target.exists()


def test_a_folder_that_is_not_there(films: Films, tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match=r"Error opening output the output: No such file or directory") as caught:
        rendered(job("a"), {"a": films.film()}, tmp_path / "absent" / "result.mp4")
    assert caught.value.code == "InternalError"
    assert str(tmp_path) not in str(caught.value)


# --- finding FFmpeg --------------------------------------------------------------------------------------------------


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_packages_own_ffmpeg_is_found_without_starting_it() -> None:
    found = locate({"PATH": "/nowhere"})
    assert "imageio_ffmpeg" in found.path
    assert found.version.startswith(("n", "4", "5", "6", "7", "8", "9"))


def test_another_ffmpeg_can_be_named(tmp_path: Path) -> None:
    other = program(tmp_path / "my-ffmpeg", "echo 'ffmpeg version 7.1 Copyright'")
    assert locate({"RECONCILER_FFMPEG": str(other)}) == FFmpeg(str(other), {"LC_ALL": "C"})
    found = locate({"RECONCILER_FFMPEG": "my-ffmpeg", "PATH": str(tmp_path)})
    assert (found.path, found.version) == (str(other), "7.1")


def test_a_name_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(RenderError) as caught:
        locate({"RECONCILER_FFMPEG": str(tmp_path / "absent")})
    assert str(caught.value) == f"RECONCILER_FFMPEG names {tmp_path}/absent, which is not a program"
    assert caught.value.advice == (
        "install imageio-ffmpeg, or set RECONCILER_FFMPEG to the path of an FFmpeg 5.1 or newer"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("echo hello", "other is not FFmpeg"), ("exit 3", "FFmpeg does not run: .* returned non-zero exit status 3")],
)
def test_a_program_that_is_not_ffmpeg(tmp_path: Path, text: str, message: str) -> None:
    found = locate({"RECONCILER_FFMPEG": str(program(tmp_path / "other", text))})
    with pytest.raises(RenderError, match=message):
        _ = found.version


def test_the_packages_own_ffmpeg_has_every_encoder() -> None:
    assert locate({"PATH": "/nowhere"}).lacking() == []


def test_encoders_that_another_ffmpeg_does_not_have(tmp_path: Path) -> None:
    said = "echo ' V....D libx264   H.264'; echo ' V....D libx265rgb  no'; echo ' A....D aac   AAC'"
    found = locate({"RECONCILER_FFMPEG": str(program(tmp_path / "other", said))})
    assert found.lacking() == ["libx265", "libmp3lame"]


def test_an_ffmpeg_that_cannot_be_started(films: Films, tmp_path: Path, target: Path) -> None:
    gone = FFmpeg(str(tmp_path / "gone"))
    with pytest.raises(RenderError, match=r"^FFmpeg could not be started"):
        asyncio.run(render(job("a"), {"a": films.film()}, target, ffmpeg=gone, threads=1, on_progress=lambda _: None))
    assert not target.exists()


def test_ffmpeg_sees_no_secret(films: Films, tmp_path: Path, target: Path) -> None:
    seen = tmp_path / "seen"
    spy = program(tmp_path / "spy", f'env > {seen}\nexec {FFMPEG.path} "$@"')
    secrets = {"TENCENTCLOUD_SECRET_KEY": "hush", "RECONCILER_FFMPEG": str(spy), "PATH": "/usr/bin:/bin"}
    found = locate(secrets)
    asyncio.run(render(job("a"), {"a": films.film()}, target, ffmpeg=found, threads=1, on_progress=lambda _: None))
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert {"PATH", "LC_ALL"} <= names <= {"PATH", "LC_ALL", "PWD", "_", "OLDPWD", "SHLVL"}


def test_colours_of_the_helper() -> None:
    """The helper that looks at pictures tells colours apart."""
    assert near(WHITE, (250, 250, 240))
    assert not near(RED, BLUE)
