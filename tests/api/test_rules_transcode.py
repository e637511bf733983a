"""Encoding parameters: ranges, and which value fits which codec and container."""

from __future__ import annotations

import pytest

from reconciler.api import codecs
from reconciler.api.rules import (
    Violation,
    check_transcode,
)
from reconciler.api.transcode import Transcode
from tests.api.cases import (
    GOOD_TRANSCODE,
    Keys,
    changed,
    check,
    told,
)

# Video.

VIDEO: list[tuple[Keys, list[str]]] = [
    ({"width": 126}, ["width: 126 is out of range; `width` must be 128 to 4096 px"]),
    ({"height": 4098}, ["height: 4098 is out of range; `height` must be 128 to 4096 px"]),
    ({"width": 1281}, ["width: 1281 is odd; `width` must be even [write 1280 or 1282]"]),
    ({"fps": 0}, ["fps: 0 is out of range; `fps` must be above 0 and at most 60"]),
    ({"fps": 60.5}, ["fps: 60.5 is out of range; `fps` must be above 0 and at most 60"]),
    ({"bitrate": 9}, ["bitrate: 9 is out of range; `bitrate` must be 10 to 50000 kbps, or auto"]),
    ({"crf": 0}, ["crf: 0 is out of range; `crf` must be above 0 and at most 51"]),
    ({"crf": 52}, ["crf: 52 is out of range; `crf` must be above 0 and at most 51"]),
    ({"gop": -1}, ["gop: -1 is out of range; `gop` must be 0 to 100000 frames"]),
    ({"rotate": 360}, ["rotate: 360 is out of range; `rotate` must be at least 0 and below 360 degrees"]),
    ({"bufsize": 999}, ["bufsize: 999 is out of range; `bufsize` must be 1000 to 128000 Kb"]),
    ({"maxrate": 50001}, ["maxrate: 50001 is out of range; `maxrate` must be 10 to 50000 kbps"]),
    (
        {"codec": "h264"},
        ["codec: h264 is unknown; `codec` must be H.264, H.265, VP8, VP9 or AV1 [did you mean `H.264`?]"],
    ),
    (
        {"codec": "VP9"},
        ["codec: VP9 does not fit mp4; `codec` must be H.264, H.265 or AV1 [or choose the container webm]"],
    ),
    (
        {"profile": "High"},
        ["profile: High is unknown; `profile` must be baseline, main, high or auto [write high]"],
    ),
    (
        {"preset": "ultrafast"},
        [
            (
                "preset: ultrafast is unknown; `preset` must be veryfast, fast, medium, slow or slower "
                "[did you mean `fast`?]"
            )
        ],
    ),
    (
        {"pixfmt": "yuv420p10le"},
        [
            (
                "pixfmt: yuv420p10le is unknown; `pixfmt` must be yuv420p, yuv422p, yuv444p, yuvj420p, yuvj422p, yuvj444p "
                "or auto [did you mean `yuv420p` or `yuvj420p` or `yuv422p`?]"
            )
        ],
    ),
    ({"roi": "on"}, ["roi: on is unknown; `roi` must be none, low, medium or high [did you mean `none`?]"]),
    ({"crop": "1280x720"}, ["crop: 1280x720 is not width:height:left:top [write 1280:720:0:0, say]"]),
    ({"crop": "640:360:-2:0"}, ["crop: 640:360:-2:0 is not width:height:left:top [write 1280:720:0:0, say]"]),
    ({"crop": "640:0:0:0"}, ["crop: 640:0:0:0 is empty; width and height must be above 0"]),
    (
        {"crop": "640:360:0:0", "bitrate": "auto"},
        ["crop: `crop` does not go together with `bitrate` auto [leave crop out]"],
    ),
    (
        {"interlaced": True, "roi": "low"},
        ["interlaced: `interlaced` does not go together with `roi` low [leave interlaced out]"],
    ),
    ({"codec": "H.265", "preset": "fast"}, ["preset: fast: H.265 does not take `preset` [leave it out]"]),
    ({"codec": "H.265", "profile": "main"}, ["profile: main: H.265 does not take `profile` [leave it out]"]),
    ({"codec": "H.265", "crop": "64:64:0:0"}, ["crop: 64:64:0:0: H.265 does not take `crop` [leave it out]"]),
    ({"codec": "av1", "interlaced": True}, ["interlaced: true: AV1 does not take `interlaced` [leave it out]"]),
    ({"codec": "AV1", "pixfmt": "yuv420p"}, ["pixfmt: yuv420p: AV1 does not take `pixfmt` [leave it out]"]),
    (
        {"codec": "AV1", "preset": "fast"},
        ["preset: fast is unknown; `preset` must be 4, 5, medium or universal"],
    ),
    ({"hls_ts_time": 0}, ["hls_ts_time: 0 is out of range; `hls_ts_time` must be above 0 seconds"]),
]


@pytest.mark.parametrize(("video", "expected"), VIDEO)
def test_video_errors(video: Keys, expected: list[str]) -> None:
    assert told(check_video(video), "error") == expected


def check_video(video: Keys, container: str = "mp4") -> tuple[Violation, ...]:
    keys = {"container": {"format": container}, "video": {"width": 1280, "height": 720, **video}}
    found = check_transcode(Transcode.model_validate(keys, extra="forbid"))
    return tuple(Violation(v.severity, v.path[1:], v.message, v.advice) for v in found)


@pytest.mark.parametrize(
    ("video", "container"),
    [
        ({"width": 128, "height": 4096}, "mp4"),
        ({"fps": 60, "crf": 51, "gop": 0, "rotate": 0, "bufsize": 1000, "maxrate": 10}, "mp4"),
        ({"fps": 0.001, "bitrate": 50000, "gop": 100000, "rotate": 359.9, "bufsize": 128000}, "mp4"),
        ({"bufsize": 0, "maxrate": 0, "codec": "VP8"}, "webm"),
        ({"codec": "h.264", "preset": "veryfast", "profile": "baseline", "pixfmt": "yuvj444p"}, "MP4"),
        ({"codec": "H.265", "pixfmt": "yuv420p10le", "interlaced": False, "roi": "none"}, "mkv"),
        ({"codec": "av1", "preset": "5"}, "hls"),
        ({"codec": "AV1", "preset": "universal"}, "mp4"),
        ({"codec": "vp8", "preset": "realtime", "long_short_mode": False}, "WebM"),
        ({"preset": "good"}, "webm"),
        ({"profile": "auto", "pixfmt": "auto"}, "ts"),
        ({"crop": "1280:720:0:0", "interlaced": True}, "mov"),
        ({"bitrate": "auto"}, "dash"),
    ],
)
def test_videos_that_are_fine(video: Keys, container: str) -> None:
    assert told(check_video(video, container)) == []


NOT_FOR = [
    *(("H.265", key) for key in ("profile", "preset", "crop", "interlaced")),
    *(("VP8", key) for key in ("profile", "bufsize", "maxrate", "pixfmt", "long_short_mode", "roi")),
    *(("VP9", key) for key in ("profile", "preset", "bufsize", "maxrate", "pixfmt", "long_short_mode", "roi")),
    *(("AV1", key) for key in ("profile", "pixfmt", "long_short_mode", "crop", "interlaced")),
]
ACTING: Keys = {
    "profile": "high",
    "preset": "medium",
    "bufsize": 2000,
    "maxrate": 2000,
    "pixfmt": "yuv420p",
    "long_short_mode": True,
    "roi": "high",
    "crop": "64:64:0:0",
    "interlaced": True,
}


@pytest.mark.parametrize("codec", codecs.VIDEO_CODECS)
@pytest.mark.parametrize("key", ACTING)
def test_parameters_that_a_codec_does_not_take(codec: str, key: str) -> None:
    container = "webm" if codec.startswith("VP") else "mp4"
    value = {"VP8": "good", "AV1": "5"}.get(codec, "medium") if key == "preset" else ACTING[key]
    refused = any("does not take" in v.message for v in check_video({"codec": codec, key: value}, container))
    assert refused == ((codec, key) in NOT_FOR)


# Containers, and codecs in them.

VIDEO_FITS = {
    "mp4": {"H.264", "H.265", "AV1"},
    "hls": {"H.264", "H.265", "AV1"},
    "mkv": {"H.264", "H.265", "AV1"},
    "ts": {"H.264"},
    "flv": {"H.264"},
    "avi": {"H.264"},
    "mov": {"H.264"},
    "dash": {"H.264"},
    "webm": {"VP8", "VP9", "AV1"},
}
AUDIO_FITS = {
    **{name: {"aac", "mp3"} for name in ("mp4", "hls", "mkv", "ts", "flv", "avi", "mov")},
    "dash": {"aac"},
    "webm": {"Vorbis", "opus"},
    "aac": {"aac"},
    "mp3": {"mp3"},
    "flac": {"flac"},
    "amr": {"amr"},
    "adts": {"aac"},
    "m4a": {"aac"},
    "wav": {"pcm_s16le"},
}


@pytest.mark.parametrize("codec", codecs.VIDEO_CODECS)
@pytest.mark.parametrize("container", VIDEO_FITS)
def test_video_codec_in_container(container: str, codec: str) -> None:
    assert (told(check_video({"codec": codec.lower()}, container)) == []) == (codec in VIDEO_FITS[container])


def check_audio(audio: Keys, container: str, *, codec: str | None = None) -> list[str]:
    keys: Keys = {"container": {"format": container}, "audio": audio}
    if codec:
        keys["video"] = {"codec": codec}
    found = told(check_transcode(Transcode.model_validate(keys, extra="forbid"), composition=False))
    return [line.removeprefix("audio.") for line in found]


@pytest.mark.parametrize("codec", codecs.AUDIO_CODECS)
@pytest.mark.parametrize("container", AUDIO_FITS)
def test_audio_codec_in_container(container: str, codec: str) -> None:
    assert (check_audio({"codec": codec.upper()}, container) == []) == (codec in AUDIO_FITS[container])


def test_the_tables_know_the_same_containers() -> None:
    assert set(codecs.CONTAINERS) == set(AUDIO_FITS)
    assert set(codecs.VIDEO_CONTAINERS) == set(VIDEO_FITS)


@pytest.mark.parametrize("container", sorted(set(AUDIO_FITS) - set(VIDEO_FITS)))
def test_a_composition_needs_a_container_with_pictures(container: str) -> None:
    assert told(check({"transcode.container.format": container, "transcode.audio": None}), "error") == [
        (
            f"transcode.container.format: {container} holds sound only; `format` must be mp4, hls, mkv, ts, flv, avi, mov, "
            "dash or webm [write mp4]"
        )
    ]


def test_an_unknown_container() -> None:
    assert told(check({"transcode.container.format": "mpeg4"})) == [
        (
            "transcode.container.format: mpeg4 is unknown; `format` must be mp4, hls, mkv, ts, flv, avi, mov, dash or webm "
            "[did you mean `mp4`?]"
        )
    ]


def test_segments_of_hls() -> None:
    assert told(check_transcode(Transcode.model_validate(changed(GOOD_TRANSCODE, "container", HLS)))) == [
        "container.clip_config.duration: 0 is out of range; `duration` must be above 0 seconds"
    ]


HLS = {"format": "hls", "clip_config": {"duration": 0}}


# Audio.

AUDIO: list[tuple[str, Keys, list[str]]] = [
    ("mp4", {"bitrate": 7}, ["bitrate: 7 is out of range; `bitrate` must be 8 to 1000 kbps"]),
    ("mp4", {"bitrate": 8, "channels": 8, "samplerate": 96000, "sample_format": "fltp"}, []),
    ("mp4", {"channels": 3}, ["channels: 3 does not fit aac; `channels` must be 1, 2, 4, 5, 6 or 8"]),
    ("dash", {"channels": 8}, ["channels: 8 does not fit aac in dash; `channels` must be 1, 2, 4, 5 or 6"]),
    ("mp4", {"codec": "mp3", "channels": 6}, ["channels: 6 does not fit mp3; `channels` must be 1 or 2"]),
    ("webm", {"channels": 1}, ["channels: 1 does not fit Vorbis; `channels` must be 2"]),
    ("amr", {"samplerate": 44100}, ["samplerate: 44100 does not fit amr; `samplerate` must be 8000"]),
    (
        "webm",
        {"codec": "opus", "samplerate": 44100},
        ["samplerate: 44100 does not fit opus; `samplerate` must be 8000, 16000, 24000 or 48000"],
    ),
    (
        "mp4",
        {"samplerate": 44000},
        [
            (
                "samplerate: 44000 does not fit aac; `samplerate` must be 8000, 11025, 12000, 16000, 22050, 24000, 32000, "
                "44100, 48000, 88200 or 96000"
            )
        ],
    ),
    (
        "mp4",
        {"sample_format": "s16"},
        ["sample_format: s16 is unknown; `sample_format` must be fltp"],
    ),
    (
        "mp4",
        {"codec": "acc"},
        [
            (
                "codec: acc is unknown; `codec` must be aac, mp3, flac, amr, Vorbis, opus or pcm_s16le "
                "[did you mean `aac`?]"
            )
        ],
    ),
    (
        "mp4",
        {"codec": "opus"},
        ["codec: opus does not fit mp4; `codec` must be aac or mp3 [or choose the container webm]"],
    ),
]


@pytest.mark.parametrize(("container", "audio", "expected"), AUDIO)
def test_audio(container: str, audio: Keys, expected: list[str]) -> None:
    assert check_audio(audio, container) == expected


MP3_REFUSED = {
    "flv": {8000, 11025, 12000, 16000, 24000, 32000, 48000, 88200, 96000},
    "mp4": {8000, 11025, 12000, 88200, 96000},
    **{name: {88200, 96000} for name in ("hls", "ts", "mp3", "mkv", "avi", "mov")},
}


@pytest.mark.parametrize("container", MP3_REFUSED)
def test_sample_rates_of_mp3(container: str) -> None:
    refused = {rate for rate in codecs.SAMPLE_RATES if check_audio({"codec": "mp3", "samplerate": rate}, container)}
    assert refused == MP3_REFUSED[container]


@pytest.mark.parametrize("key", ["keep_two_tracks", "switch_track"])
def test_tracks_have_no_effect_with_h265(key: str) -> None:
    assert check_audio({key: True}, "mp4", codec="h.265") == [
        f"{key}: true: `{key}` has no effect with H.265 [leave it out]"
    ]
    assert check_audio({key: False}, "mp4", codec="h.265") == []
    assert check_audio({key: True}, "mp4", codec="H.264") == []


# The rest of the encoding parameters.

TRANSCODE: list[tuple[Keys, list[str]]] = [
    (
        {"time_interval": {"start": -1, "duration": -0.5}},
        [
            "time_interval.start: -1 is out of range; `start` must be at least 0 seconds",
            "time_interval.duration: -0.5 is out of range; `duration` must be at least 0 seconds",
        ],
    ),
    ({"time_interval": {"start": 0, "duration": 0.001}}, []),
    (
        {"trans_config": {"adj_dar_method": "stretch"}},
        ["trans_config.adj_dar_method: stretch is unknown; `adj_dar_method` must be scale, crop, pad or none"],
    ),
    (
        {"trans_config": {"reso_adj_method": 2, "video_fps_adj_method": -1}},
        [
            "trans_config.reso_adj_method: 2 does not fit this switch; `reso_adj_method` must be 0 or 1",
            "trans_config.video_fps_adj_method: -1 does not fit this switch; `video_fps_adj_method` must be 0 or 1",
        ],
    ),
    (
        {"trans_config": {"transcode_index": -1}},
        ["trans_config.transcode_index: -1 is out of range; `transcode_index` must be at least 0"],
    ),
    (
        {"trans_config": {"aigc_metadata": {"label": "1", "reserved_code1": "?"}}},
        [
            (
                "trans_config.aigc_metadata.produce_id: `produce_id` is missing: the documents demand it "
                "[write the number of the content]"
            ),
            "trans_config.aigc_metadata.reserved_code1: ? is not Base64",
        ],
    ),
    ({"trans_config": {"aigc_metadata": {"produce_id": "1", "reserved_code1": "YQ=="}}}, []),
    (
        {"audio_mix_array": [{"audio_source": "a"}, {"audio_source": "b"}, {"audio_source": "c"}]},
        ["audio_mix_array.2: 3 are too many; `audio_mix_array` takes 2"],
    ),
    (
        {"audio_mix": {"audio_source": "m.mp3", "mix_mode": "Loop"}},
        ["audio_mix.mix_mode: Loop is unknown; `mix_mode` must be Repeat or Once"],
    ),
    (
        {"audio_mix_array": [{"audio_source": "m.mp3", "effect_config": {"enable_start_fadein": True}}]},
        [
            (
                "audio_mix_array.0.effect_config.start_fadein_time: `start_fadein_time` is missing: `enable_start_fadein` "
                "is true [write start_fadein_time: 2, say]"
            )
        ],
    ),
    (
        {"audio_mix": {"audio_source": "m", "effect_config": {"enable_bgm_fade": True, "bgm_fade_time": 0}}},
        ["audio_mix.effect_config.bgm_fade_time: 0 is out of range; `bgm_fade_time` must be above 0 seconds"],
    ),
    (
        {"audio_mix": {"audio_source": "m", "effect_config": {"enable_end_fadeout": False, "end_fadeout_time": 0}}},
        [],
    ),
    (
        {"audio_mix": {"audio_source": "m", "effect_config": {"end_fadeout_time": 1.5}}},
        [
            (
                "audio_mix.effect_config.end_fadeout_time: 1.5 has no effect: `enable_end_fadeout` is not true "
                "[write enable_end_fadeout: true]"
            )
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), TRANSCODE)
def test_transcode(changes: Keys, expected: list[str]) -> None:
    assert told(check_transcode(Transcode.model_validate({**GOOD_TRANSCODE, **changes}, extra="forbid"))) == expected


def test_a_template_of_the_service_needs_no_canvas() -> None:
    sound = Transcode.model_validate({"container": {"format": "mp3"}, "audio": {"codec": "mp3"}})
    assert check_transcode(sound, composition=False) == ()
    assert told(check_transcode(sound)) == [
        "video: `video` is missing: its width and height are the canvas",
        (
            "container.format: mp3 holds sound only; `format` must be mp4, hls, mkv, ts, flv, avi, mov, dash or webm "
            "[write mp4]"
        ),
    ]


def test_a_template_of_the_service_keeps_something() -> None:
    nothing = Transcode.model_validate({"container": {"format": "mp4"}})
    assert told(check_transcode(nothing, composition=False)) == [
        "video: `video` and `audio` are both missing: nothing would be kept"
    ]
