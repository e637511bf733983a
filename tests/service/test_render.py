"""The plan and the FFmpeg command of a job, compared as values; what they do is seen in test_ffmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, strategies
from pydantic import BaseModel

from reconciler.api.messages import Operation
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import DigitalWatermark, Watermark
from reconciler.service.graph import Rect
from reconciler.service.probe import AudioTrack, Probe, VideoTrack
from reconciler.service.render import Refusal, RenderFailed, argv, plan_render, unsupported
from tests.service.media import job


def source(
    width: int = 128,
    height: int = 96,
    *,
    fps: Fraction | int = 25,
    seconds: float = 2.0,
    sound: float = 0,
    **track: Any,
) -> Probe:
    """A source as the probe describes it; ``sound`` is the length of its sound in seconds."""
    described: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "width": width,
        "height": height,
        "coded_height": height,
        "sar": Fraction(1),
        "rotation": 0,
        "fps": Fraction(fps),
        "duration": seconds,
        "pix_fmt": "yuv420p",
    }
    video = VideoTrack(**described | track)
    audio = AudioTrack(index=1, codec="aac", sample_rate=48000, channels=2, duration=sound) if sound else None
    return Probe("mov,mp4,m4a,3gp,3g2,mj2", "mov", max(seconds, sound), video, audio)


def command(operation: Operation, *probes: Probe) -> list[str]:
    inputs = [Path(f"/in/{number}.mp4") for number in range(len(probes))]
    return argv(operation, probes, ffmpeg="ffmpeg", inputs=inputs, output=Path("/out/result.mp4"), threads=2)


def graph(operation: Operation, *probes: Probe) -> list[str]:
    arguments = command(operation, *probes)
    return arguments[arguments.index("-filter_complex") + 1].split(";")


def option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def test_the_whole_command() -> None:
    operation = job(
        ("in/a.mp4", {"width": 640}),
        ("in/b.mp4", {"x": 640, "width": 640, "height": 960}),
        keep=True,
        video={"width": 1280, "height": 960, "fps": 30, "bitrate": 1500, "preset": "medium"},
        audio={"codec": "aac", "samplerate": 48000, "bitrate": 128, "channels": 2},
    )
    scale = "flags=bicubic+accurate_rnd:in_color_matrix=bt709:out_color_matrix=bt709:out_range=tv"
    hardened = "-protocol_whitelist file -format_whitelist mov -f mov -enable_drefs 0 -use_absolute_path 0"
    assert " ".join(command(operation, source(1280, 720, fps=30, sound=2), source(1280, 720, sound=2))) == (
        "ffmpeg -hide_banner -nostdin -nostats -v error -xerror -y -progress pipe:1 -stats_period 0.2"
        " -max_alloc 1073741824 -filter_complex_threads 2"
        f" {hardened} -max_pixels 35389440 -threads 2 -i file:/in/0.mp4"
        f" {hardened} -max_pixels 35389440 -threads 2 -i file:/in/1.mp4"
        " -filter_complex"
        f" [0:0]scale=640:720:{scale},format=yuv420p,setsar=1,fps=30/1:start_time=0[placed0];"
        f"[1:0]scale=640:960:{scale},format=yuv420p,setsar=1,fps=30/1:start_time=0[placed1];"
        "[placed0][placed1]xstack=inputs=2:layout=0_0|640_0:fill=black,pad=1280:960:0:0:black[base];"
        "[base]tpad=stop=60:stop_mode=clone,trim=end_frame=60,"
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709[picture];"
        "[0:1]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo[sound0];"
        "[1:1]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo[sound1];"
        "[sound0][sound1]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.98:level=0:latency=1,"
        "apad=whole_dur=2.000000,atrim=start=0.000000:end=2.000000,asetpts=PTS-STARTPTS[sound]"
        " -map [picture] -map [sound] -c:a aac -ar 48000 -ac 2 -b:a 128k -frames:v 60 -fps_mode cfr -r 30/1"
        " -c:v libx264 -preset medium -b:v 1500k -threads 2 -pix_fmt yuv420p -profile:v high"
        " -map_metadata -1 -map_chapters -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact"
        " -movflags +faststart -f mp4 file:/out/result.mp4"
    )


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


def test_a_source_wholly_outside_is_not_opened_unless_it_is_heard() -> None:
    outside = ("b.mp4", {"x": 256})
    assert command(job("a.mp4", outside), source(), source(sound=2)).count("-i") == 1
    heard = job("a.mp4", outside, keep=True, audio={})
    assert command(heard, source(), source(sound=2)).count("-i") == 2
    assert command(heard, source(), source()).count("-i") == 1


def test_a_file_that_is_placed_twice_is_decoded_once_and_heard_once() -> None:
    operation = job("a.mp4", ("b.mp4", {"y": 96}), ("a.mp4", {"x": 128}), keep=True, audio={})
    arguments = command(operation, source(sound=2), source(), source(sound=2))
    chains = graph(operation, source(sound=2), source(), source(sound=2))
    assert [a for a in arguments if a.startswith("file:/in")] == ["file:/in/0.mp4", "file:/in/1.mp4"]
    assert chains[0] == "[0:0]split=2[copy0][copy2]"
    assert [chain.partition("scale")[0] for chain in chains[1:4]] == ["[copy0]", "[1:0]", "[copy2]"]
    assert "amix" not in chains[-1]


@pytest.mark.parametrize(
    ("track", "chain"),
    [
        ({"coded_height": 720}, "in_color_matrix=bt709"),
        ({"coded_height": 719}, "in_color_matrix=smpte170m"),
        ({"coded_height": 360, "matrix": "bt709"}, "in_color_matrix=bt709"),
        ({"coded_height": 720, "matrix": "bt2020nc"}, "in_color_matrix=bt2020nc"),
        ({"rgb": True}, "accurate_rnd:out_color_matrix=bt709"),
        ({"alpha": True}, "format=yuva420p,"),
        ({"index": 3}, "[0:3]scale"),
    ],
)
def test_what_the_samples_of_a_source_mean(track: dict[str, Any], chain: str) -> None:
    assert chain in graph(job("a.mp4"), source(**track))[0]


def test_a_transparent_source_is_painted_over_black_with_its_own_decoder() -> None:
    transparent = source(alpha=True, decoder="libvpx-vp9")
    chains = graph(job("a.mp4"), transparent)
    assert chains[1] == "color=c=black:s=256x192:r=25/1:d=2.040000,format=yuv420p,trim=end_frame=50[base]"
    assert option(command(job("a.mp4"), transparent), "-c:v") == "libvpx-vp9"


def test_frames_are_dropped_before_scaling_and_repeated_after_it() -> None:
    operation = job("a.mp4", ("b.mp4", {"x": 128}), video={"fps": 30})
    slow, fast = graph(operation, source(fps=25), source(fps=50))[:2]
    assert slow.endswith("setsar=1,fps=30/1:start_time=0[placed0]")
    assert fast.startswith("[1:0]fps=30/1:start_time=0,scale=")


@pytest.mark.parametrize(
    ("fps", "sources", "rate"),
    [
        (None, [25, 30], Fraction(30)),
        (None, [Fraction(30000, 1001), 25], Fraction(30000, 1001)),
        (None, [120, 25], Fraction(60)),
        (None, [Fraction(1, 10)], Fraction(1)),
        (12, [25], Fraction(12)),
        (Decimal("29.97"), [25], Fraction(2997, 100)),
        (Decimal("23.976023976"), [25], Fraction(24000, 1001)),
    ],
)
def test_frame_rate(fps: Decimal | int | None, sources: list[Fraction | int], rate: Fraction) -> None:
    places = [f"{number}.mp4" for number in range(len(sources))]
    plan = plan_render(job(*places, video={"fps": fps}), [source(fps=each) for each in sources])
    assert plan.fps == rate


@pytest.mark.parametrize(
    ("probes", "keep", "interval", "frames"),
    [
        pytest.param([source(seconds=2), source(seconds=3.2)], False, None, 80, id="the longest source decides"),
        pytest.param([source(seconds=2.01)], False, None, 51, id="no time is lost"),
        pytest.param([source(seconds=2.001)], False, None, 50, id="rounded time stamps add no frame"),
        pytest.param([source(seconds=0.001)], False, None, 1, id="one picture at least"),
        pytest.param([source(seconds=2, sound=3)], True, None, 75, id="a kept sound that goes on counts"),
        pytest.param([source(seconds=2, sound=3)], False, None, 50, id="a dropped one does not"),
        pytest.param([source(seconds=2, sound=2.05)], True, None, 50, id="the padding of an encoder does not"),
        pytest.param([source(seconds=2)], False, {"start": 0.5}, 37, id="from half a second on"),
        pytest.param([source(seconds=2)], False, {"duration": 0.5}, 13, id="the first half second"),
        pytest.param([source(seconds=2)], False, {"start": 1, "duration": 0.4}, 10, id="a part"),
        pytest.param([source(seconds=2)], False, {"start": 1, "duration": 9}, 25, id="no more than there is"),
        pytest.param([source(seconds=2)], False, {"duration": 0.001}, 1, id="a moment"),
        pytest.param([source(seconds=2)], False, {"duration": 0}, 50, id="0 is nothing said"),
    ],
)
def test_length(probes: list[Probe], keep: bool, interval: dict[str, float] | None, frames: int) -> None:
    operation = job(*[f"{n}.mp4" for n in range(len(probes))], keep=keep, audio={}, time_interval=interval)
    plan = plan_render(operation, probes)
    assert plan.frames == frames
    assert plan.duration == frames / 25
    assert option(command(operation, *probes), "-frames:v") == str(frames)


def test_picture_and_sound_are_cut_at_the_same_frame() -> None:
    operation = job("a.mp4", keep=True, audio={}, time_interval={"start": 0.5, "duration": 1})
    picture, sound = (chain for chain in graph(operation, source(sound=2)) if chain.endswith(("[picture]", "[sound]")))
    assert "trim=start_frame=13:end_frame=38,setpts=PTS-STARTPTS" in picture
    assert "atrim=start=0.520000:end=1.520000,asetpts=PTS-STARTPTS" in sound


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(RenderFailed) as failure:
        plan_render(job("a.mp4", time_interval={"start": 2}), [source(seconds=2)])
    assert failure.value.code == "InvalidArgument"
    assert str(failure.value) == "transcode.time_interval.start is 2 s, but the composed video lasts 2 s"


def test_hdr_is_refused_where_it_would_be_seen() -> None:
    hdr = source(transfer="smpte2084")
    with pytest.raises(RenderFailed, match=r"^in/b\.mp4 is HDR \(smpte2084\); HDR is not converted here$"):
        plan_render(job("in/a.mp4", ("in/b.mp4", {"x": 128})), [source(), hdr])
    assert plan_render(job("in/a.mp4", ("in/b.mp4", {"x": 256})), [source(), hdr]).frames == 50


@pytest.mark.parametrize(
    ("keep", "audio", "sounds", "heard"),
    [
        (True, {}, [2, 2], 2),
        (True, {}, [0, 2], 1),
        (True, {}, [0, 0], 0),
        (False, {}, [2, 2], 0),
        (True, None, [2, 2], 0),
        (True, {"remove": True}, [2, 2], 0),
        (True, {"remove": False}, [2, 2], 2),
    ],
)
def test_sound(keep: bool, audio: dict[str, Any] | None, sounds: list[int], heard: int) -> None:
    operation = job("a.mp4", "b.mp4", keep=keep, audio=audio)
    probes = [source(sound=each) for each in sounds]
    arguments = command(operation, *probes)
    assert plan_render(operation, probes).has_audio == bool(heard)
    assert ("-an" in arguments) == (not heard)
    assert ("amix=inputs=2" in ";".join(graph(operation, *probes))) == (heard == 2)
    assert option(arguments, "-c:a") == ("aac" if heard else None)


@pytest.mark.parametrize(
    ("video", "options"),
    [
        ({}, {"-c:v": "libx264", "-crf": "25", "-profile:v": "high", "-pix_fmt": "yuv420p", "-b:v": None}),
        ({"preset": None}, {"-preset": "medium"}),
        ({"preset": "slower"}, {"-preset": "slower"}),
        ({"codec": "h.264"}, {"-c:v": "libx264"}),
        ({"codec": "H.265"}, {"-c:v": "libx265", "-tag:v": "hvc1", "-profile:v": None}),
        ({"crf": Decimal("18.5")}, {"-crf": "18.5", "-b:v": None}),
        ({"bitrate": 1500}, {"-b:v": "1500k", "-crf": None, "-maxrate": None}),
        ({"bitrate": "auto"}, {"-crf": "25", "-b:v": None}),
        ({"bitrate": 1500, "crf": 30}, {"-crf": "30", "-b:v": None}),
        ({"bitrate": 1500, "maxrate": 2000, "bufsize": 3000}, {"-maxrate": "2000k", "-bufsize": "3000k"}),
        ({"bitrate": 1500, "maxrate": 2000}, {"-maxrate": "2000k", "-bufsize": "4000k"}),
        ({"bitrate": 1500, "bufsize": 3000}, {"-maxrate": "1500k", "-bufsize": "3000k"}),
        ({"maxrate": 0, "bufsize": 0}, {"-maxrate": None, "-bufsize": None}),
        ({"gop": 50}, {"-g": "50"}),
        ({"profile": "baseline"}, {"-profile:v": "baseline"}),
        ({"profile": "auto"}, {"-profile:v": None}),
        ({"profile": "high", "pixfmt": "auto"}, {"-profile:v": None, "-pix_fmt": "yuv420p"}),
        ({"pixfmt": "yuv444p"}, {"-profile:v": None, "-pix_fmt": "yuv444p"}),
        ({"pixfmt": "yuvj420p"}, {"-profile:v": "high", "-pix_fmt": "yuvj420p"}),
        ({"codec": "H.265", "pixfmt": "yuv420p10le"}, {"-pix_fmt": "yuv420p10le"}),
        ({"fps": 12}, {"-r": "12/1"}),
    ],
)
def test_video_encoder(video: dict[str, Any], options: dict[str, str | None]) -> None:
    operation = job("a.mp4", video=video)
    assert unsupported(operation) == ()
    arguments = command(operation, source())
    assert {name: option(arguments, name) for name in options} == options


@pytest.mark.parametrize(
    ("audio", "options"),
    [
        ({}, {"-c:a": "aac", "-ar": "44100", "-ac": "2", "-b:a": None, "-sample_fmt": None}),
        ({"codec": "AAC", "samplerate": 48000, "bitrate": 96}, {"-c:a": "aac", "-ar": "48000", "-b:a": "96k"}),
        ({"codec": "mp3", "sample_format": "s16p"}, {"-c:a": "libmp3lame", "-sample_fmt": "s16p"}),
        ({"channels": 1}, {"-ac": "1"}),
        ({"channels": 6}, {"-ac": "6"}),
    ],
)
def test_audio_encoder(audio: dict[str, Any], options: dict[str, str | None]) -> None:
    operation = job("a.mp4", keep=True, audio=audio)
    assert unsupported(operation) == ()
    arguments = command(operation, source(sound=2))
    assert {name: option(arguments, name) for name in options} == options


@pytest.mark.parametrize(
    ("video", "filters", "size"),
    [
        ({}, "", (256, 192)),
        ({"crop": "128:64:10:20"}, "crop=128:64:10:20:exact=1,", (128, 64)),
        ({"rotate": 90}, "transpose=clock,", (192, 256)),
        ({"rotate": 180}, "hflip,vflip,", (256, 192)),
        ({"rotate": 270}, "transpose=cclock,", (192, 256)),
        ({"rotate": 30}, "rotate=0.523598776:fillcolor=black,", (256, 192)),
        ({"crop": "128:64:0:0", "rotate": 90}, "crop=128:64:0:0:exact=1,transpose=clock,", (64, 128)),
    ],
)
def test_what_follows_the_composition(video: dict[str, Any], filters: str, size: tuple[int, int]) -> None:
    operation = job("a.mp4", video=video)
    assert f"trim=end_frame=50,{filters}setparams=" in graph(operation, source())[-1]
    plan = plan_render(operation, [source()])
    assert (plan.width, plan.height) == size


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


NOTHING_ASKED: dict[tuple[str, ...], tuple[Any, str]] = {
    ("trans_config", "adj_dar_method"): ("pad", "the output has the shape of the canvas"),
    ("trans_config", "reso_adj_method"): (1, "acts only together with its check"),
    ("trans_config", "video_bitrate_adj_method"): (1, "acts only together with its check"),
    ("trans_config", "audio_bitrate_adj_method"): (1, "acts only together with its check"),
    ("trans_config", "video_fps_adj_method"): (1, "acts only together with its check"),
    ("trans_config", "delete_metadata"): (True, "no metadata of a source is ever kept"),
}
"""Nodes that change nothing with any value, and why."""

ACTED_ON: dict[tuple[str, ...], Any] = {
    ("time_interval", "start"): 1,
    ("time_interval", "duration"): 1,
    ("video", "codec"): "H.265",
    ("video", "width"): 512,
    ("video", "height"): 512,
    ("video", "fps"): 10,
    ("video", "profile"): "main",
    ("video", "bitrate"): 1000,
    ("video", "crf"): 30,
    ("video", "gop"): 10,
    ("video", "preset"): "slow",
    ("video", "bufsize"): 2000,
    ("video", "maxrate"): 2000,
    ("video", "pixfmt"): "yuv444p",
    ("video", "rotate"): 90,
    ("video", "crop"): "128:64:0:0",
    ("audio", "codec"): "mp3",
    ("audio", "samplerate"): 48000,
    ("audio", "bitrate"): 64,
    ("audio", "channels"): 1,
    ("audio", "remove"): True,
    ("audio", "sample_format"): "fltp",
}
REFUSED: dict[tuple[str, ...], Any] = {
    ("container", "format"): "mkv",
    ("video", "remove"): True,
    ("video", "long_short_mode"): True,
    ("video", "roi"): "high",
    ("video", "interlaced"): True,
    ("video", "hls_ts_time"): 5,
    ("video", "scan_mode"): "interlaced",
    ("video", "std_ext_info"): "single-pps=1",
    ("audio", "keep_two_tracks"): True,
    ("audio", "switch_track"): True,
    ("trans_config", "is_check_reso"): True,
    ("trans_config", "is_check_video_bitrate"): True,
    ("trans_config", "is_check_audio_bitrate"): True,
    ("trans_config", "is_check_video_fps"): True,
    ("trans_config", "is_hdr2_sdr"): True,
    ("trans_config", "transcode_index"): 1,
}
WHOLE_NODES: dict[tuple[str, ...], Any] = {
    ("container", "clip_config"): {"duration": 5},
    ("video", "color_param"): {"color_range": "tv"},
    ("trans_config", "hls_encrypt"): {"is_hls_encrypt": True, "uri_key": "k"},
    ("trans_config", "dash_encrypt"): {"is_encrypt": True, "uri_key": "k"},
    ("trans_config", "aigc_metadata"): {"produce_id": "1"},
    ("audio_mix",): {"audio_source": "b.mp3"},
    ("audio_mix_array",): [{"audio_source": "b.mp3"}],
}
"""Nodes that are refused with everything below them."""


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every node without children below a model."""
    for name, info in model.model_fields.items():
        nodes = [each for each in _nested(info.annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
        if nodes:
            yield from leaves(nodes[0], (*path, name))
        else:
            yield (*path, name)


def _nested(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _nested(each)


def with_node(path: tuple[str, ...], value: Any) -> Operation:
    base: dict[str, Any] = {"container": {"format": "mp4"}, "audio": {}, "video": {"bitrate": 1500}}
    node = base
    for name in path[:-1]:
        node = node.setdefault(name, {})
    node[path[-1]] = value
    if path == ("video", "crf"):
        del base["video"]["bitrate"]
    return job("a.mp4", keep=True, **base)


@pytest.mark.parametrize("path", list(leaves(Transcode)), ids=".".join)
def test_every_node_of_transcode_is_acted_on_or_refused(path: tuple[str, ...]) -> None:
    probe = source(sound=2)
    plain = command(job("a.mp4", keep=True, audio={}, video={"bitrate": 1500}), probe)
    if path in ACTED_ON:
        operation = with_node(path, ACTED_ON[path])
        assert unsupported(operation) == ()
        assert command(operation, probe) != plain
    elif path in NOTHING_ASKED:
        operation = with_node(path, NOTHING_ASKED[path][0])
        assert unsupported(operation) == ()
        assert command(operation, probe) == plain
    else:
        refused = REFUSED | WHOLE_NODES
        named = next(above for above in refused if path[: len(above)] == above)
        (refusal,) = unsupported(with_node(named, refused[named]))
        assert refusal.path == ("transcode", *named)


@pytest.mark.parametrize("kind", [{"type": "Text", "text": {"text": "demo"}}, {"type": "Image", "image": {"url": "a"}}])
def test_every_watermark_is_refused(kind: dict[str, Any]) -> None:
    assert set(Watermark.model_fields) >= set(kind)
    operation = job("a.mp4").model_copy(update={"watermark": (Watermark.model_validate(kind),) * 2})
    assert unsupported(operation) == (
        Refusal(("watermark", 0), "watermarks are not rendered here"),
        Refusal(("watermark", 1), "watermarks are not rendered here"),
    )


@pytest.mark.parametrize("ignore", [True, False, None])
def test_a_digital_watermark_is_refused_unless_its_failure_does_not_matter(ignore: bool | None) -> None:
    mark = DigitalWatermark(message="demo", type="Text", version="V1", ignore_error=ignore)
    refusals = unsupported(job("a.mp4").model_copy(update={"digital_watermark": mark}))
    assert [refusal.path for refusal in refusals] == ([] if ignore else [("digital_watermark",)])


def test_an_output_without_parameters_is_refused() -> None:
    (refusal,) = unsupported(job("a.mp4").model_copy(update={"transcode": None}))
    assert refusal.path == ("transcode",)


def test_templates_are_judged_when_they_are_put_in() -> None:
    inline = job("a.mp4", container={"format": "mkv"})
    assert [refusal.path for refusal in unsupported(inline)] == [("transcode", "container", "format")]
    marks = (Watermark.model_validate({"type": "Text"}),)
    beaten = {"transcode_template_id": "t1", "watermark_template_id": ("t2",), "watermark": marks}
    assert unsupported(inline.model_copy(update=beaten)) == ()


@pytest.mark.parametrize(
    ("transcode", "path", "message"),
    [
        ({"video": {"width": None}}, "video.width", "the canvas has an even size of 128 to 4096 pixels"),
        ({"video": {"height": 193}}, "video.height", "the canvas has an even size of 128 to 4096 pixels"),
        ({"video": {"fps": 61}}, "video.fps", "a frame rate is above 0 and at most 60"),
        ({"video": {"codec": "VP9"}}, "video.codec", "only H.264 and H.265 are encoded here"),
        ({"video": {"pixfmt": "yuv420p10le"}}, "video.pixfmt", "H264 is encoded here as yuv420p, yuv422p"),
        ({"video": {"preset": "good"}}, "video.preset", "is none of ultrafast, superfast"),
        ({"video": {"profile": "main", "pixfmt": "yuv444p"}}, "video.profile", "main cannot hold yuv444p; write auto"),
        ({"video": {"codec": "H.265", "profile": "high"}}, "video.profile", "H.265 takes auto"),
        ({"video": {"bufsize": 1000}}, "video.bufsize", "a buffer acts only together with maxrate or bitrate"),
        ({"video": {"crop": "1:2"}}, "video.crop", "is not width:height:left:top"),
        ({"video": {"crop": "256:192:2:0"}}, "video.crop", "reaches over the canvas of 256×192"),
        ({"video": {"crop": "101:64:0:0"}}, "video.crop", "must be even and above 0"),
        ({"audio": {"codec": "opus"}}, "audio.codec", "only aac and mp3 are encoded here"),
        ({"audio": {"codec": "mp3", "channels": 6}}, "audio.channels", "mp3 is encoded here with 1, 2 channels"),
        ({"audio": {"sample_format": "s16"}}, "audio.sample_format", "aac is encoded here from fltp"),
    ],
)
def test_refusals_say_what_is_possible(transcode: dict[str, Any], path: str, message: str) -> None:
    (refusal,) = unsupported(job("a.mp4", **transcode))
    assert refusal.path == ("transcode", *path.split("."))
    assert message in refusal.message


def test_a_source_has_a_size_that_can_be_made() -> None:
    refusals = unsupported(job(("a.mp4", {"width": 0}), ("b.mp4", {"height": 9000})))
    assert [refusal.path[2:] for refusal in refusals] == [(0, "width"), (1, "height")]
    assert refusals[1].message == "a source is scaled to 1 to 8192 pixels, not to 9000"


@pytest.mark.parametrize(
    "transcode",
    [
        {"audio": None, "audio_mix": {"audio_source": "a.mp3"}},
        {"audio": {"remove": True, "codec": "opus"}, "audio_mix_array": [{"audio_source": "a.mp3"}]},
        {"video": {"roi": "none", "long_short_mode": False, "remove": False, "interlaced": False}},
        {"trans_config": {"adj_dar_method": "none", "is_check_reso": False, "is_hdr2_sdr": False}},
        {"trans_config": {"hls_encrypt": {"is_hls_encrypt": False}, "dash_encrypt": {"is_encrypt": False}}},
        {"container": {"format": "MP4"}},
        {"container": None},
    ],
)
def test_nodes_that_ask_for_nothing_pass(transcode: dict[str, Any]) -> None:
    assert unsupported(job("a.mp4", **transcode)) == ()


SIDES = strategies.integers(-300, 300)
SIZES = strategies.integers(1, 600)
RECTS = strategies.builds(Rect, SIDES, SIDES, SIZES, SIZES)


@given(RECTS, RECTS)
def test_an_intersection_lies_in_both(one: Rect, other: Rect) -> None:
    common = one.intersection(other)
    assert common == other.intersection(one)
    if common:
        assert common.intersection(one) == common == common.intersection(other)


@given(strategies.lists(RECTS, min_size=1, max_size=5))
def test_every_visible_source_is_placed_once_and_every_label_is_used(rects: list[Rect]) -> None:
    places = [{"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height} for rect in rects]
    operation = job(*[(f"{number % 3}.mp4", place) for number, place in enumerate(places)])
    probes = [source()] * len(rects)
    plan = plan_render(operation, probes)
    chains = ";".join(graph(operation, *probes))
    canvas = Rect(0, 0, 256, 192)
    assert len(plan.layers) == sum(rect.intersection(canvas) is not None for rect in rects)
    for number in range(len(plan.layers)):
        assert chains.count(f"[placed{number}]") == 2
