"""Every node of a job changes what is made, or is refused by its name, or is known to ask for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from reconciler.api import codecs
from reconciler.api.messages import Operation
from reconciler.api.transcode import Audio, Transcode, Video
from reconciler.api.watermark import DigitalWatermark, Watermark
from reconciler.service.render import Refusal, argv, compose, unsupported, with_defaults
from reconciler.service.render.unsupported import (
    AUDIO_ENCODERS,
    VIDEO_ENCODERS,
    audio_codec,
    container_format,
    cropped,
    pixel_format,
    video_codec,
)
from tests.service.media import job
from tests.service.render.probes import song, source, still

# --- defaults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "video", "audio"),
    [
        *[(name, "H.264", "aac") for name in ("mp4", "mkv", "mov", "avi", "flv", "ts", "hls", "dash", "MP4")],
        ("webm", "VP8", "Vorbis"),
        ("WebM", "VP8", "Vorbis"),
        (None, "H.264", "aac"),
    ],
)
def test_codecs_that_are_left_out_depend_on_the_container(container: str | None, video: str, audio: str) -> None:
    packing = {"format": container} if container else None
    found = with_defaults(job("a", container=packing, audio={"bitrate": 64})).transcode
    assert found is not None
    assert found.video is not None
    assert found.audio is not None
    assert (found.video.codec, found.video.width, found.audio.codec, found.audio.bitrate) == (video, 256, audio, 64)


def test_every_container_has_a_default_that_is_encoded_here() -> None:
    for name in codecs.VIDEO_CONTAINERS:
        video, audio = codecs.default_video_codec(name), codecs.default_audio_codec(name)
        assert video_codec(Video(codec=video)) in VIDEO_ENCODERS
        assert audio_codec(Audio(codec=audio)) in AUDIO_ENCODERS


@pytest.mark.parametrize(
    "operation",
    [
        job("a", container={"format": "webm"}, video={"codec": "VP9"}, audio={"codec": "opus"}),
        job("a", container={"format": "webm"}, video={"codec": "VP9"}),
        job("a").model_copy(update={"transcode": None}),
        job("a").model_copy(update={"transcode": Transcode.model_validate({"container": {"format": "webm"}})}),
    ],
)
def test_what_is_said_stays(operation: Operation) -> None:
    assert with_defaults(operation) == operation


def test_words_of_the_documents_in_any_case() -> None:
    assert [container_format(Transcode.model_validate({"container": {"format": f}})) for f in ("HLS", "Mp4", "x")] == [
        *("hls", "mp4", "x"),
    ]
    assert [video_codec(Video(codec=codec)) for codec in ("h.264", "H.265", "vp8", "AV1", None)] == [
        *("H264", "H265", "VP8", "AV1", "H264"),
    ]
    assert [audio_codec(Audio(codec=codec)) for codec in ("AAC", "Vorbis", None)] == ["aac", "vorbis", "aac"]
    assert [pixel_format(Video(pixfmt=name)) for name in ("auto", None, "yuv444p")] == ["yuv420p", "yuv420p", "yuv444p"]
    assert [cropped(Video(crop=crop)) for crop in (None, "128:64:0:8")] == [None, (128, 64, 0, 8)]


# --- every node of transcode -----------------------------------------------------------------------------------------

HLS: dict[str, Any] = {"container": {"format": "hls"}}
LABELLED: dict[str, Any] = {"trans_config": {"aigc_metadata": {"produce_id": "1"}}}
MIXED: dict[str, Any] = {"audio_mix": {"audio_source": "m.mp3"}}
FADED: dict[str, Any] = {
    "audio_mix": {
        "audio_source": "m.mp3",
        "effect_config": {
            "enable_start_fadein": True,
            "start_fadein_time": "0.1",
            "enable_end_fadeout": True,
            "end_fadeout_time": "0.2",
            "enable_bgm_fade": True,
            "bgm_fade_time": "0.3",
        },
    }
}
COLOR: dict[str, Any] = {"video": {"color_param": {"color_range": "tv"}}}

ACTED_ON: dict[str, tuple[Any, dict[str, Any]]] = {
    "container.format": ("mkv", {}),
    "container.clip_config.duration": (2, HLS),
    "time_interval.start": (1, {}),
    "time_interval.duration": (1, {}),
    "video.codec": ("H.265", {}),
    "video.width": (512, {}),
    "video.height": (512, {}),
    "video.fps": (10, {}),
    "video.profile": ("main", {}),
    "video.bitrate": (1000, {}),
    "video.crf": (30, {}),
    "video.gop": (10, {}),
    "video.preset": ("slow", {}),
    "video.bufsize": (2000, {}),
    "video.maxrate": (2000, {}),
    "video.pixfmt": ("yuv444p", {}),
    "video.rotate": (90, {}),
    "video.crop": ("128:64:0:0", {}),
    "video.interlaced": (True, {}),
    "video.hls_ts_time": (2, HLS),
    "video.color_param.color_range": ("pc", COLOR),
    "video.color_param.color_space": ("smpte170m", COLOR),
    "video.color_param.color_trc": ("smpte170m", COLOR),
    "video.color_param.color_primaries": ("smpte170m", COLOR),
    "audio.codec": ("mp3", {}),
    "audio.samplerate": (48000, {}),
    "audio.bitrate": (64, {}),
    "audio.channels": (1, {}),
    "audio.remove": (True, {}),
    "audio.keep_two_tracks": (True, {}),
    "audio.switch_track": (True, {}),
    "audio.sample_format": ("fltp", {}),
    "trans_config.is_check_video_bitrate": (True, {}),
    "trans_config.is_check_audio_bitrate": (True, {"audio": {"bitrate": 320}}),
    "trans_config.is_check_video_fps": (True, {"video": {"fps": 50}}),
    "trans_config.delete_metadata": (True, {}),
    "trans_config.aigc_metadata.label": ("x", LABELLED),
    "trans_config.aigc_metadata.content_producer": ("x", LABELLED),
    "trans_config.aigc_metadata.produce_id": ("x", LABELLED),
    "trans_config.aigc_metadata.reserved_code1": ("x", LABELLED),
    "trans_config.aigc_metadata.reserved_code2": ("x", LABELLED),
    "trans_config.aigc_metadata.content_propagator": ("x", LABELLED),
    "trans_config.aigc_metadata.propagate_id": ("x", LABELLED),
    "audio_mix.audio_source": ("n.mp3", MIXED),
    "audio_mix.mix_mode": ("Once", MIXED),
    "audio_mix.replace": (True, MIXED),
    "audio_mix.effect_config.enable_start_fadein": (False, FADED),
    "audio_mix.effect_config.start_fadein_time": ("0.4", FADED),
    "audio_mix.effect_config.enable_end_fadeout": (False, FADED),
    "audio_mix.effect_config.end_fadeout_time": ("0.4", FADED),
    "audio_mix.effect_config.enable_bgm_fade": (False, FADED),
    "audio_mix.effect_config.bgm_fade_time": ("0.4", FADED),
}
"""A value with which each node changes the command, and what must be asked for besides."""

NOTHING_ASKED: dict[str, tuple[Any, str]] = {
    "trans_config.adj_dar_method": ("scale", "the output has the shape of the canvas"),
    "trans_config.reso_adj_method": (1, "acts only together with its check"),
    "trans_config.video_bitrate_adj_method": (1, "acts only together with its check"),
    "trans_config.audio_bitrate_adj_method": (1, "acts only together with its check"),
    "trans_config.video_fps_adj_method": (1, "acts only together with its check"),
    "trans_config.is_hdr2_sdr": (True, "HDR is always converted: the canvas is not HDR"),
    "trans_config.hls_encrypt.uri_key": ("k", "acts only together with its switch"),
    "trans_config.dash_encrypt.uri_key": ("k", "acts only together with its switch"),
}
"""Nodes that change nothing with any value that passes, and why."""

REFUSED: dict[str, tuple[Any, str]] = {
    "video.remove": (True, "video.remove"),
    "video.long_short_mode": (True, "video.long_short_mode"),
    "video.roi": ("high", "video.roi"),
    "video.scan_mode": ("interlaced", "video.scan_mode"),
    "video.std_ext_info": ("single-pps=1", "video.std_ext_info"),
    "trans_config.is_check_reso": (True, "trans_config.is_check_reso"),
    "trans_config.transcode_index": (1, "trans_config.transcode_index"),
    "trans_config.hls_encrypt.is_hls_encrypt": (True, "trans_config.hls_encrypt.is_hls_encrypt"),
    "trans_config.dash_encrypt.is_encrypt": (True, "trans_config.dash_encrypt.is_encrypt"),
}
"""A value with which each node is refused, and the node that is named."""

BASE: dict[str, Any] = {"container": {"format": "mp4"}, "audio": {}, "video": {"bitrate": 1500}}
PROBES = {
    "a.mp4": source(sound=(2.0, 2.0), bitrate=800_000, kbps=96),
    "m.mp3": song(1),
    "n.mp3": song(1),
    "logo.png": still(64, 32),
    "wall.png": still(64, 32),
}


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every node without children below a model; an array is like its one."""
    for name, info in model.model_fields.items():
        nodes = [each for each in _nested(info.annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
        if name == "audio_mix_array":
            continue
        if nodes:
            yield from leaves(nodes[0], (*path, name))
        else:
            yield ".".join((*path, name))


def _nested(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _nested(each)


def merged(keys: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = deepcopy(dict(keys))
    for name, value in more.items():
        found[name] = merged(found.get(name) or {}, value) if isinstance(value, dict) else value
    return found


def one_node(path: str, value: Any) -> dict[str, Any]:
    *parents, name = path.split(".")
    node: dict[str, Any] = {name: value}
    for parent in reversed(parents):
        node = {parent: node}
    return node


def told(operation: Operation) -> list[str]:
    """What FFmpeg is told, with the names of the files."""
    composition = compose(operation, PROBES, {0: still(40, 20)})
    inputs = [Path("/", file.url) for file in composition.files]
    return argv(composition, ffmpeg="ffmpeg", inputs=inputs, name="made", threads=2)


def array(transcode: dict[str, Any]) -> dict[str, Any]:
    """Say the same with the array of sounds."""
    mix = transcode.pop("audio_mix", None)
    return transcode | ({"audio_mix_array": [mix]} if mix else {})


def test_every_node_is_in_one_of_the_tables() -> None:
    nodes = list(leaves(Transcode))
    assert sorted([*ACTED_ON, *NOTHING_ASKED, *REFUSED]) == sorted(nodes)


@pytest.mark.parametrize("path", ACTED_ON)
def test_a_node_that_is_acted_on(path: str) -> None:
    value, context = ACTED_ON[path]
    before = merged(BASE, context)
    after = merged(before, one_node(path, value))
    plain, changed = (job("a.mp4", keep=True, **deepcopy(each)) for each in (before, after))
    assert unsupported(plain) == unsupported(changed) == ()
    assert told(plain) != told(changed)
    if path.startswith("audio_mix."):
        assert told(job("a.mp4", keep=True, **array(after))) == told(changed)


@pytest.mark.parametrize("path", NOTHING_ASKED)
def test_a_node_that_asks_for_nothing(path: str) -> None:
    value, _ = NOTHING_ASKED[path]
    operation = job("a.mp4", keep=True, **merged(BASE, one_node(path, value)))
    assert unsupported(operation) == ()
    assert told(operation) == told(job("a.mp4", keep=True, **deepcopy(BASE)))


@pytest.mark.parametrize("path", REFUSED)
def test_a_node_that_is_refused(path: str) -> None:
    value, named = REFUSED[path]
    (refusal,) = unsupported(job("a.mp4", keep=True, **merged(BASE, one_node(path, value))))
    assert refusal.path == ("transcode", *named.split("."))


@pytest.mark.parametrize("method", ["crop", "pad", "Pad"])
def test_a_canvas_is_neither_cropped_nor_padded_to_a_shape(method: str) -> None:
    (refusal,) = unsupported(job("a.mp4", trans_config={"adj_dar_method": method}))
    assert refusal == Refusal(
        ("transcode", "trans_config", "adj_dar_method"),
        "the output has the shape of its canvas, so there is nothing to crop or pad; write none",
    )


# --- every node of a watermark ---------------------------------------------------------------------------------------

SLIDING = {"slide_config": {"slide_mode": "ScrollFromLeft", "x_slide_speed": 1, "y_slide_speed": 1}}
FIXED = {"image": {"mode": "Fixed", "width": 50, "height": 50}}
WRITTEN_TOO = ("text.text", "text.font_size", "text.font_type", "text.font_color", "text.transparency")
"""These nodes are in the picture of the text, which is drawn elsewhere."""

MARKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "type": ("Text", {"text": {"text": "demo"}}),
    "pos": ("BottomLeft", {}),
    "loc_mode": ("Relativity", {}),
    "dx": (9, {}),
    "dy": (9, {}),
    "start_time": (1, {}),
    "end_time": (1, {}),
    "slide_config.slide_mode": ("Default", SLIDING),
    "slide_config.x_slide_speed": (2, SLIDING),
    "slide_config.y_slide_speed": (2, SLIDING),
    "image.url": ("wall.png", {}),
    "image.mode": ("Proportion", FIXED),
    "image.width": (60, FIXED),
    "image.height": (60, FIXED),
    "image.transparency": (50, {}),
    "image.background": (True, {}),
}


def test_every_node_of_a_watermark_is_in_the_table() -> None:
    assert sorted([*MARKED, *WRITTEN_TOO]) == sorted(leaves(Watermark))


@pytest.mark.parametrize("path", MARKED)
def test_a_node_of_a_watermark_is_acted_on(path: str) -> None:
    value, context = MARKED[path]
    before = merged({"type": "Image", "image": {"url": "logo.png"}, "dx": 4, "dy": 4, "pos": "TopLeft"}, context)
    after = merged(before, one_node(path, value))
    plain, changed = (
        job("a.mp4").model_copy(update={"watermark": (Watermark.model_validate(each),)}) for each in (before, after)
    )
    assert unsupported(plain) == unsupported(changed) == ()
    assert told(plain) != told(changed)


# --- what else is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ignore", [True, False, None])
def test_a_digital_watermark_is_refused_unless_its_failure_does_not_matter(ignore: bool | None) -> None:
    mark = DigitalWatermark(message="demo", type="Text", version="V1", ignore_error=ignore)
    refusals = unsupported(job("a.mp4").model_copy(update={"digital_watermark": mark}))
    assert [refusal.path for refusal in refusals] == ([] if ignore else [("digital_watermark",)])


def test_an_output_without_parameters_is_refused() -> None:
    (refusal,) = unsupported(job("a.mp4").model_copy(update={"transcode": None}))
    assert refusal == Refusal(("transcode",), "the parameters of the output are missing")
    without_size = job("a.mp4").model_copy(update={"transcode": Transcode()})
    assert unsupported(without_size) == (Refusal(("transcode", "video"), "the size of the canvas is missing"),)


def test_templates_are_judged_when_they_are_put_in() -> None:
    inline = job("a.mp4", video={"roi": "high"})
    assert [refusal.path for refusal in unsupported(inline)] == [("transcode", "video", "roi")]
    beaten = {"transcode_template_id": "t1", "watermark_template_id": ("t2",)}
    assert unsupported(inline.model_copy(update=beaten)) == ()
    assert unsupported(inline.model_copy(update={**beaten, "transcode": None})) == ()


@pytest.mark.parametrize(
    ("transcode", "path", "message"),
    [
        ({"video": {"width": None}}, "video.width", "the canvas has an even size of 128 to 4096 pixels"),
        ({"video": {"height": 193}}, "video.height", "the canvas has an even size of 128 to 4096 pixels"),
        ({"video": {"fps": 61}}, "video.fps", "a frame rate is 0.01 to 60 here"),
        ({"video": {"fps": 0}}, "video.fps", "a frame rate is 0.01 to 60 here"),
        ({"video": {"codec": "MPEG-2"}}, "video.codec", "MPEG-2 is not encoded here"),
        ({"video": {"pixfmt": "yuv420p10le"}}, "video.pixfmt", "H264 is encoded here as yuv420p, yuv422p"),
        (
            {"video": {"codec": "VP9", "preset": None, "pixfmt": "yuv444p"}},
            "video.pixfmt",
            "VP9 is encoded here as yuv420p",
        ),
        ({"video": {"preset": "good"}}, "video.preset", "is none of ultrafast, superfast"),
        ({"video": {"codec": "VP8", "preset": "fast"}}, "video.preset", "is none of good, realtime"),
        ({"video": {"codec": "VP9", "preset": "good"}}, "video.preset", "VP9 does not take a preset"),
        ({"video": {"codec": "AV1", "preset": "fast"}}, "video.preset", "is none of 4, 5, medium, universal"),
        ({"video": {"profile": "main", "pixfmt": "yuv444p"}}, "video.profile", "main cannot hold yuv444p; write auto"),
        ({"video": {"profile": "high10"}}, "video.profile", "baseline, main and high are profiles of H.264"),
        ({"video": {"codec": "H.265", "profile": "high"}}, "video.profile", "other codecs take auto"),
        ({"video": {"codec": "H.265", "interlaced": True}}, "video.interlaced", "only H.264 in its profiles main and"),
        ({"video": {"profile": "baseline", "interlaced": True}}, "video.interlaced", "only H.264 in its profiles"),
        ({"video": {"bufsize": 1000}}, "video.bufsize", "a buffer acts only together with maxrate or bitrate"),
        ({"video": {"bufsize": 1000, "bitrate": "auto"}}, "video.bufsize", "a buffer acts only together with"),
        ({"video": {"bufsize": 1000, "bitrate": 900, "crf": 20}}, "video.bufsize", "a buffer acts only together with"),
        ({"video": {"codec": "VP8", "preset": None, "maxrate": 900}}, "video.maxrate", "VP8 takes neither; leave it"),
        ({"video": {"codec": "VP9", "preset": None, "bufsize": 900}}, "video.bufsize", "VP9 takes neither; leave it"),
        (
            {"video": {"codec": "AV1", "preset": None, "bitrate": 900, "maxrate": 900}},
            "video.maxrate",
            "AV1 takes a peak only together with crf, and no buffer; leave it out",
        ),
        (
            {"video": {"codec": "AV1", "preset": None, "crf": 30, "maxrate": 900, "bufsize": 1000}},
            "video.bufsize",
            "AV1 takes a peak only together with crf, and no buffer; leave it out",
        ),
        ({"video": {"crop": "1:2"}}, "video.crop", "is not width:height:left:top"),
        ({"video": {"crop": "a:b:c:d"}}, "video.crop", "is not width:height:left:top"),
        ({"video": {"crop": "256:192:2:0"}}, "video.crop", "reaches over the canvas of 256×192"),
        ({"video": {"crop": "101:64:0:0"}}, "video.crop", "must be even and above 0"),
        (
            {"video": {"color_param": {"color_range": "dark"}}},
            "video.color_param.color_range",
            "is none of tv, limited",
        ),
        ({"video": {"color_param": {"color_space": "rgb"}}}, "video.color_param.color_space", "is none of bt709"),
        ({"video": {"color_param": {"color_trc": "x"}}}, "video.color_param.color_trc", "is none of bt709, smpte170m"),
        (
            {"video": {"color_param": {"color_primaries": "x"}}},
            "video.color_param.color_primaries",
            "is none of bt709, bt470bg",
        ),
        (
            {"video": {"pixfmt": "yuvj420p", "color_param": {"color_range": "tv"}}},
            "video.color_param.color_range",
            "yuvj420p has the full range; write pc",
        ),
        (
            {"video": {"interlaced": True, "crop": "128:66:0:0"}},
            "video.interlaced",
            "the result is 66 pixels high; the fields of yuv420p need a multiple of 4",
        ),
        (
            {"video": {"interlaced": True, "crop": "66:128:0:0", "rotate": 90}},
            "video.interlaced",
            "the result is 66 pixels high",
        ),
        ({"container": {"format": "ts"}, "audio": {"channels": 8}}, "audio.channels", "MPEG-TS does not hold 8"),
        ({"container": {"format": "hls"}, "audio": {"channels": 8}}, "audio.channels", "MPEG-TS does not hold 8"),
        ({"audio": {"bitrate": 530}}, "audio.bitrate", "aac takes 1 to 529 kbps at 44100 Hz with 2 channels"),
        ({"audio": {"codec": "mp3", "bitrate": 321}}, "audio.bitrate", "mp3 takes 8 to 320 kbps at 44100 Hz"),
        (
            {"audio": {"codec": "opus", "bitrate": 300, "channels": 1}},
            "audio.bitrate",
            "opus takes 6 to 256 kbps at 48000 Hz with 1 channel",
        ),
        ({"audio": {"codec": "Vorbis", "bitrate": 8}}, "audio.bitrate", "vorbis takes 45 to 500 kbps at 44100 Hz"),
        (
            {"audio": {"codec": "Vorbis", "bitrate": 64, "samplerate": 96000}},
            "audio.bitrate",
            "Vorbis takes none at 96000 Hz; leave it out",
        ),
        ({"audio": {"codec": "flac"}}, "audio.codec", "flac is not encoded beside a picture here"),
        ({"audio": {"codec": "mp3", "channels": 6}}, "audio.channels", "mp3 is encoded here with 1, 2 channels"),
        ({"audio": {"codec": "Vorbis", "channels": 1}}, "audio.channels", "vorbis is encoded here with 2 channels"),
        ({"audio": {"sample_format": "s16"}}, "audio.sample_format", "aac is encoded here from fltp"),
        ({"audio": {"codec": "opus", "sample_format": "fltp"}}, "audio.sample_format", "opus is encoded here from s16"),
        (
            {"container": {"format": "mp4", "clip_config": {"duration": 5}}},
            "container.clip_config",
            "only hls and dash have segments; leave it out",
        ),
        ({"video": {"hls_ts_time": 5}}, "video.hls_ts_time", "only hls and dash have segments; leave it out"),
        (
            {"container": {"format": "ts"}, "trans_config": {"aigc_metadata": {"produce_id": "1"}}},
            "trans_config.aigc_metadata",
            "a label is written into mp4, mov, mkv, webm, flv; ts cannot hold one",
        ),
    ],
)
def test_refusals_say_what_is_possible(transcode: dict[str, Any], path: str, message: str) -> None:
    (refusal,) = unsupported(job("a.mp4", **deepcopy(transcode)))
    assert refusal.path == ("transcode", *path.split("."))
    assert message in refusal.message


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "low", "high"),
    [
        ("aac", 8000, 1, 1, 48),
        ("aac", 44100, None, 1, 529),
        ("aac", 48000, 1, 1, 288),
        ("aac", 96000, 2, 1, 1152),
        ("aac", 22050, 6, 1, 793),
        ("mp3", 44100, 2, 8, 320),
        ("mp3", 32000, 1, 8, 320),
        ("mp3", 24000, 2, 8, 160),
        ("mp3", 16000, 1, 8, 160),
        ("mp3", 12000, 2, 8, 64),
        ("mp3", 8000, 2, 8, 64),
        ("opus", None, None, 6, 512),
        ("opus", 8000, 1, 6, 256),
        ("vorbis", 8000, 2, 12, 84),
        ("vorbis", 11025, 2, 16, 100),
        ("vorbis", 16000, 2, 24, 200),
        ("vorbis", 24000, 2, 30, 180),
        ("vorbis", 32000, 2, 36, 380),
        ("vorbis", None, None, 45, 500),
        ("vorbis", 48000, 2, 45, 500),
    ],
)
def test_the_bitrates_of_a_sound(codec: str, rate: int | None, channels: int | None, low: int, high: int) -> None:
    def refused(bitrate: int) -> list[tuple[str | int, ...]]:
        node = {"codec": codec, "samplerate": rate, "channels": channels, "bitrate": bitrate}
        return [refusal.path for refusal in unsupported(job("a.mp4", audio=node))]

    named = [("transcode", "audio", "bitrate")]
    assert [refused(bitrate) for bitrate in (low, high)] == [[], []]
    assert [refused(bitrate) for bitrate in (low - 1, high + 1)] == [named, named]


@pytest.mark.parametrize("container", codecs.VIDEO_CONTAINERS)
@pytest.mark.parametrize("video", ["H.264", "H.265"])
def test_eight_channels_fit_where_sound_is_not_packed_as_in_mpeg_ts(container: str, video: str) -> None:
    node: dict[str, Any] = {"video": {"codec": video}, "audio": {"codec": "aac", "channels": 8}}
    refusals = unsupported(job("a.mp4", container={"format": container}, **node))
    packed = container == "ts" or (container, video) == ("hls", "H.264")
    assert [refusal.path for refusal in refusals] == ([("transcode", "audio", "channels")] if packed else [])
    node["audio"]["channels"] = 6
    assert unsupported(job("a.mp4", container={"format": container}, **node)) == ()


@pytest.mark.parametrize(
    ("video", "height"),
    [
        ({}, None),
        ({"height": 194}, 194),
        ({"crop": "66:64:0:0"}, None),
        ({"crop": "66:64:0:0", "rotate": 90}, 66),
        ({"crop": "64:66:0:0", "rotate": 270}, None),
        ({"crop": "64:66:0:0", "rotate": 180}, 66),
        ({"width": 254, "rotate": 90}, 254),
        ({"height": 194, "rotate": 90}, None),
        ({"height": 194, "pixfmt": "yuv444p", "profile": "auto"}, None),
        ({"height": 194, "pixfmt": "yuv422p", "profile": "auto"}, None),
        ({"height": 194, "interlaced": False}, None),
    ],
)
def test_fields_need_a_height_that_they_share(video: dict[str, Any], height: int | None) -> None:
    refusals = unsupported(job("a.mp4", video={"interlaced": True} | video))
    message = f"the result is {height} pixels high; the fields of yuv420p need a multiple of 4"
    assert refusals == ((Refusal(("transcode", "video", "interlaced"), message),) if height else ())


def test_a_crop_that_cannot_be_read_is_all_that_is_said_of_it() -> None:
    (refusal,) = unsupported(job("a.mp4", video={"interlaced": True, "crop": "a"}))
    assert refusal.path == ("transcode", "video", "crop")


@pytest.mark.parametrize(
    ("fps", "passes"),
    [("0.01", True), ("0.009", False), ("0.5", True), ("60", True), ("60.01", False), ("-1", False)],
)
def test_frame_rates_that_are_rendered(fps: str, passes: bool) -> None:
    refusals = unsupported(job("a.mp4", video={"fps": fps}))
    assert [refusal.path for refusal in refusals] == ([] if passes else [("transcode", "video", "fps")])


@pytest.mark.parametrize(
    ("space", "passes"), [(None, True), ("bt470bg", True), ("smpte170m", True), ("bt709", False), ("bt2020nc", False)]
)
@pytest.mark.parametrize("named", [True, False])
def test_vp8_has_the_colours_of_bt601(space: str | None, passes: bool, named: bool) -> None:
    video = {"preset": None, "color_param": {"color_space": space}} | ({"codec": "VP8"} if named else {})
    refusals = unsupported(job("a.mp4", container={"format": "webm"}, video=video))
    message = "VP8 knows only BT.601; write bt470bg, or leave it out"
    wanted = (Refusal(("transcode", "video", "color_param", "color_space"), message),)
    assert refusals == (() if passes else wanted)
    elsewhere = unsupported(job("a.mp4", container={"format": "webm"}, video=video | {"codec": "VP9"}))
    assert elsewhere == ()


def test_encoders_that_are_missing_matter_only_to_those_who_need_them() -> None:
    operation = job("a.mp4", video={"roi": "low", "codec": "H.265"}, audio={"codec": "mp3", "bitrate": 7})
    assert [refusal.path[1:] for refusal in unsupported(operation, ["libx265", "libmp3lame"])] == [
        ("video", "roi"),
        ("video", "codec"),
        ("audio", "codec"),
        ("audio", "bitrate"),
    ]
    unheard = job("a.mp4", audio={"codec": "mp3", "remove": True})
    assert unsupported(unheard, ["libmp3lame"]) == unsupported(job("a.mp4"), ["aac"]) == ()


@pytest.mark.parametrize(
    ("codec", "encoder"),
    [("H.264", "libx264"), ("H.265", "libx265"), ("VP8", "libvpx"), ("VP9", "libvpx-vp9"), ("AV1", "libsvtav1")],
)
def test_a_video_encoder_that_ffmpeg_has_not_got(codec: str, encoder: str) -> None:
    operation = job("a.mp4", video={"codec": codec, "preset": None})
    assert unsupported(operation, ["libmp3lame"]) == ()
    assert unsupported(operation, [encoder]) == (
        Refusal(
            ("transcode", "video", "codec"), f"this machine's FFmpeg has no {encoder}, so it cannot encode {codec}"
        ),
    )


@pytest.mark.parametrize(
    ("codec", "encoder"), [("aac", "aac"), ("mp3", "libmp3lame"), ("opus", "libopus"), ("Vorbis", "libvorbis")]
)
def test_an_audio_encoder_that_ffmpeg_has_not_got(codec: str, encoder: str) -> None:
    operation = job("a.mp4", audio={"codec": codec})
    assert unsupported(operation, ["libx265"]) == ()
    assert unsupported(operation, [encoder]) == (
        Refusal(
            ("transcode", "audio", "codec"), f"this machine's FFmpeg has no {encoder}, so it cannot encode {codec}"
        ),
    )


def test_a_default_encoder_may_be_missing_too() -> None:
    (refusal,) = unsupported(job("a.mp4", container={"format": "webm"}, video={"preset": None}), ["libvpx"])
    assert refusal.message == "this machine's FFmpeg has no libvpx, so it cannot encode VP8"


def test_a_source_has_a_size_that_can_be_made() -> None:
    refusals = unsupported(job(("a.mp4", {"width": 0}), ("b.mp4", {"height": 9000})))
    assert [refusal.path[2:] for refusal in refusals] == [(0, "width"), (1, "height")]
    assert refusals[1].message == "a source is scaled to 1 to 8192 pixels, not to 9000"


@pytest.mark.parametrize("format_", codecs.VIDEO_CONTAINERS)
def test_every_container_of_pictures_is_written(format_: str) -> None:
    for codec in codecs.CONTAINERS[format_].video:
        for sound in codecs.CONTAINERS[format_].audio:
            node: dict[str, Any] = {"video": {"codec": codec, "preset": None}, "audio": {"codec": sound}}
            assert unsupported(job("a.mp4", container={"format": format_}, **node)) == ()


@pytest.mark.parametrize(
    "transcode",
    [
        {"audio": None, "audio_mix": {"audio_source": "a.mp3"}},
        {"audio": {"remove": True, "codec": "flac"}, "audio_mix_array": [{"audio_source": "a.mp3"}]},
        {"video": {"roi": "none", "long_short_mode": False, "remove": False, "interlaced": False}},
        {"trans_config": {"adj_dar_method": "none", "is_check_reso": False, "is_hdr2_sdr": False}},
        {"trans_config": {"hls_encrypt": {"is_hls_encrypt": False}, "dash_encrypt": {"is_encrypt": False}}},
        {"container": {"format": "MP4"}},
        {"container": None},
        {"container": {"format": "hls", "clip_config": {"duration": 5}}, "video": {"hls_ts_time": 5}},
        {"video": {"color_param": {}}},
    ],
)
def test_nodes_that_ask_for_nothing_pass(transcode: dict[str, Any]) -> None:
    assert unsupported(job("a.mp4", **deepcopy(transcode))) == ()


def test_refusals_come_in_the_order_of_the_nodes() -> None:
    operation = job(("a.mp4", {"width": 0}), video={"roi": "low", "fps": 99}, audio={"codec": "amr"})
    mark = DigitalWatermark(message="demo", type="Text", version="V1")
    found = unsupported(operation.model_copy(update={"digital_watermark": mark}))
    assert [".".join(map(str, refusal.path)) for refusal in found] == [
        "video_synthesis.splice_info.0.width",
        "transcode.video.roi",
        "transcode.video.fps",
        "transcode.audio.codec",
        "digital_watermark",
    ]
