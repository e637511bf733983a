"""How picture and sound are encoded, as FFmpeg's options."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler.api.transcode import Audio, Video
from reconciler.service.render import unsupported
from reconciler.service.render.encoders import audio_options, video_options
from reconciler.service.render.unsupported import samplerate
from tests.service.media import job
from tests.service.render.probes import command, option, source

VIDEOS: list[tuple[dict[str, Any], dict[str, str | None]]] = [
    ({}, {"-c:v": "libx264", "-crf": "25", "-profile:v": "high", "-pix_fmt": "yuv420p", "-b:v": None}),
    ({"preset": None}, {"-preset": "medium"}),
    ({"preset": "slower"}, {"-preset": "slower"}),
    ({"codec": "h.264"}, {"-c:v": "libx264"}),
    ({"codec": "H.265"}, {"-c:v": "libx265", "-tag:v": "hvc1", "-profile:v": None, "-flags:v": "+bitexact"}),
    (
        {"codec": "H.265", "preset": None},
        {"-preset": "medium", "-x265-params": "log-level=error:pools=2:frame-threads=2", "-crf": "25"},
    ),
    ({"crf": Decimal("18.5")}, {"-crf": "18.5", "-b:v": None}),
    ({"bitrate": 1500}, {"-b:v": "1500k", "-crf": None, "-maxrate": None}),
    ({"bitrate": "auto"}, {"-crf": "25", "-b:v": None}),
    ({"bitrate": 1500, "crf": 30}, {"-crf": "30", "-b:v": None}),
    ({"bitrate": 1500, "maxrate": 2000, "bufsize": 3000}, {"-maxrate": "2000k", "-bufsize": "3000k"}),
    ({"bitrate": 1500, "maxrate": 2000}, {"-maxrate": "2000k", "-bufsize": "4000k"}),
    ({"bitrate": 1500, "bufsize": 3000}, {"-maxrate": "1500k", "-bufsize": "3000k"}),
    ({"crf": 30, "maxrate": 2000}, {"-crf": "30", "-maxrate": "2000k", "-bufsize": "4000k"}),
    ({"maxrate": 0, "bufsize": 0}, {"-maxrate": None, "-bufsize": None}),
    ({"gop": 50}, {"-g": "50"}),
    ({"gop": 0}, {"-g": None}),
    ({"profile": "baseline"}, {"-profile:v": "baseline"}),
    ({"profile": "auto"}, {"-profile:v": None}),
    ({"profile": "high", "pixfmt": "auto"}, {"-profile:v": None, "-pix_fmt": "yuv420p"}),
    ({"pixfmt": "yuv444p"}, {"-profile:v": None, "-pix_fmt": "yuv444p"}),
    ({"pixfmt": "yuvj420p"}, {"-profile:v": "high", "-pix_fmt": "yuvj420p"}),
    ({"codec": "H.265", "pixfmt": "yuv420p10le"}, {"-pix_fmt": "yuv420p10le"}),
    ({"fps": 12}, {"-r": "12/1"}),
    ({"interlaced": True}, {"-flags:v": "+bitexact+ildct+ilme", "-c:v": "libx264"}),
    ({"interlaced": False}, {"-flags:v": "+bitexact"}),
]


@pytest.mark.parametrize(("video", "options"), VIDEOS)
def test_h264_and_h265(video: dict[str, Any], options: dict[str, str | None]) -> None:
    operation = job("a.mp4", video=video)
    assert unsupported(operation) == ()
    arguments = command(operation, source())
    assert {name: option(arguments, name) for name in options} == options


def encoder(threads: int = 2, **video: Any) -> str:
    return " ".join(video_options(Video.model_validate(video), threads, gop=None))


@pytest.mark.parametrize(
    ("video", "wanted"),
    [
        (
            {"codec": "VP8"},
            "-c:v libvpx -deadline good -cpu-used 2 -crf 25 -b:v 50000k -qmin 0 -threads 2 -pix_fmt yuv420p -flags:v +bitexact",
        ),
        (
            {"codec": "VP8", "preset": "realtime", "bitrate": 900},
            "-c:v libvpx -deadline realtime -cpu-used -4 -b:v 900k -threads 2 -pix_fmt yuv420p -flags:v +bitexact",
        ),
        (
            {"codec": "VP9", "crf": 31},
            (
                "-c:v libvpx-vp9 -deadline good -cpu-used 4 -row-mt 0 -tile-columns 1 -crf 31 -b:v 0"
                " -threads 2 -pix_fmt yuv420p -flags:v +bitexact"
            ),
        ),
        (
            {"codec": "VP9", "bitrate": 900},
            (
                "-c:v libvpx-vp9 -deadline good -cpu-used 4 -row-mt 0 -tile-columns 1 -b:v 900k"
                " -threads 2 -pix_fmt yuv420p -flags:v +bitexact"
            ),
        ),
        (
            {"codec": "AV1"},
            "-c:v libsvtav1 -preset 5 -svtav1-params lp=2 -crf 25 -threads 2 -pix_fmt yuv420p -flags:v +bitexact",
        ),
        (
            {"codec": "AV1", "bitrate": 900},
            "-c:v libsvtav1 -preset 5 -svtav1-params lp=1 -b:v 900k -threads 2 -pix_fmt yuv420p -flags:v +bitexact",
        ),
        (
            {"codec": "AV1", "bitrate": 900, "crf": 40, "maxrate": 1000},
            (
                "-c:v libsvtav1 -preset 5 -svtav1-params lp=2 -crf 40 -maxrate 1000k -bufsize 2000k"
                " -threads 2 -pix_fmt yuv420p -flags:v +bitexact"
            ),
        ),
    ],
)
def test_vp8_vp9_and_av1(video: dict[str, Any], wanted: str) -> None:
    assert encoder(**video) == wanted


@pytest.mark.parametrize(
    ("preset", "taken"), [("4", "4"), ("5", "5"), ("medium", "5"), ("universal", "8"), (None, "5")]
)
def test_presets_of_av1(preset: str | None, taken: str) -> None:
    assert f"-preset {taken} " in encoder(codec="AV1", preset=preset)


@pytest.mark.parametrize(
    ("codec", "crf", "told"),
    [
        ("H.264", "0.5", "1"),
        ("H.264", "18.5", "18.5"),
        ("H.265", "18.5", "18.5"),
        ("H.264", "1", "1"),
        ("H.265", "0.01", "1"),
        ("VP8", "18.5", "18"),
        ("VP8", "0.5", "1"),
        ("VP9", "1.4", "1"),
        ("AV1", "0.9", "1"),
        ("H.264", "51", "51"),
        ("VP9", "0.2", "1"),
        ("AV1", "30.6", "31"),
    ],
)
def test_quality_is_a_whole_number_for_most_encoders_and_never_lossless(codec: str, crf: str, told: str) -> None:
    assert option(video_options(Video(codec=codec, crf=Decimal(crf)), 2, gop=None), "-crf") == told


@pytest.mark.parametrize(
    ("preset", "speed"),
    [
        (None, "-deadline good -cpu-used 2 "),
        ("good", "-deadline good -cpu-used 2 "),
        ("realtime", "-deadline realtime -cpu-used -4 "),
    ],
)
def test_the_speed_of_vp8_never_follows_the_clock(preset: str | None, speed: str) -> None:
    assert f"-c:v libvpx {speed}" in encoder(codec="VP8", preset=preset)


@pytest.mark.parametrize(
    ("video", "alone"),
    [
        ({}, False),
        ({"bitrate": "auto"}, False),
        ({"bitrate": 900}, True),
        ({"bitrate": 900, "crf": 30}, False),
        ({"crf": 30}, False),
    ],
)
def test_av1_works_alone_where_threads_would_vary_its_bitrate(video: dict[str, Any], alone: bool) -> None:
    assert f"-svtav1-params lp={1 if alone else 4} " in encoder(4, codec="AV1", **video)


@pytest.mark.parametrize("codec", ["H.264", "H.265", "VP8", "VP9", "AV1"])
def test_the_number_of_threads_belongs_to_the_result(codec: str) -> None:
    assert "-threads 3 " in encoder(3, codec=codec)
    assert encoder(3, codec=codec) == encoder(3, codec=codec) != encoder(4, codec=codec)


def test_key_frames() -> None:
    assert video_options(Video(), 2, gop=75)[-6:-2] == ["-g", "75", "-profile:v", "high"]
    assert "-g" not in video_options(Video(), 2, gop=None)


AUDIOS: list[tuple[dict[str, Any], dict[str, str | None]]] = [
    ({}, {"-c:a": "aac", "-ar": "44100", "-ac": "2", "-b:a": None, "-sample_fmt": None, "-flags:a": "+bitexact"}),
    ({"codec": "AAC", "samplerate": 48000, "bitrate": 96}, {"-c:a": "aac", "-ar": "48000", "-b:a": "96k"}),
    ({"codec": "mp3", "sample_format": "s16p"}, {"-c:a": "libmp3lame", "-sample_fmt": "s16p"}),
    ({"channels": 1}, {"-ac": "1"}),
    ({"channels": 6}, {"-ac": "6"}),
]


@pytest.mark.parametrize(("audio", "options"), AUDIOS)
def test_aac_and_mp3(audio: dict[str, Any], options: dict[str, str | None]) -> None:
    operation = job("a.mp4", keep=True, audio=audio)
    assert unsupported(operation) == ()
    arguments = command(operation, source(sound=2))
    assert {name: option(arguments, name) for name in options} == options


@pytest.mark.parametrize(
    ("audio", "wanted"),
    [
        ({"codec": "opus"}, "-c:a libopus -ar 48000 -ac 2 -flags:a +bitexact"),
        (
            {"codec": "Opus", "samplerate": 16000, "channels": 1, "bitrate": 64, "sample_format": "s16"},
            "-c:a libopus -ar 16000 -ac 1 -b:a 64k -sample_fmt s16 -flags:a +bitexact",
        ),
        ({"codec": "Vorbis", "bitrate": 128}, "-c:a libvorbis -ar 44100 -ac 2 -b:a 128k -flags:a +bitexact"),
        (
            {"codec": "vorbis", "sample_format": "fltp"},
            "-c:a libvorbis -ar 44100 -ac 2 -sample_fmt fltp -flags:a +bitexact",
        ),
    ],
)
def test_opus_and_vorbis(audio: dict[str, Any], wanted: str) -> None:
    assert " ".join(audio_options(Audio.model_validate(audio))) == wanted


@pytest.mark.parametrize(
    ("audio", "rate"),
    [({}, 44100), ({"codec": "mp3"}, 44100), ({"codec": "OPUS"}, 48000), ({"codec": "opus", "samplerate": 8000}, 8000)],
)
def test_the_rate_is_the_same_in_the_graph_and_for_the_encoder(audio: dict[str, Any], rate: int) -> None:
    assert samplerate(Audio.model_validate(audio)) == rate
    arguments = command(job("a.mp4", keep=True, audio=audio), source(sound=2))
    assert option(arguments, "-ar") == str(rate)
    assert f"aresample={rate}:" in (option(arguments, "-filter_complex") or "")
