"""How picture and sound are encoded: from the API's parameters to FFmpeg's options. Pure.

``threads`` belongs to the result: an encoder makes other bytes with another number of them, and some encoders make
other bytes each time unless parts of them run alone.

Source: reference/video-synthesis.md §2.4.3 and §2.4.4; docs/assumptions.md says what is chosen where it is silent.
"""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Final

from reconciler.api.transcode import Audio, Video
from reconciler.service.render.unsupported import (
    AUDIO_ENCODERS,
    VIDEO_ENCODERS,
    audio_codec,
    pixel_format,
    samplerate,
    video_codec,
)

_DEFAULT_CRF: Final = "25"
_HIGHEST: Final = 50_000
"""kbps, the highest bitrate of the API: VP8 takes a quality only together with a bitrate that is not to be exceeded."""

_AV1_PRESETS: Final = MappingProxyType({"4": "4", "5": "5", "medium": "5", "universal": "8"})


def video_options(video: Video, threads: int, *, gop: int | None) -> list[str]:
    """Return the options of the picture's encoder; ``gop`` is the number of frames from one key frame to the next."""
    codec = video_codec(video)
    pixels = pixel_format(video)
    options = ["-c:v", VIDEO_ENCODERS[codec], *_SPEED[codec](video, threads), *_rate_control(video, codec)]
    options += ["-threads", str(threads), "-pix_fmt", pixels]
    if gop:
        options += ["-g", str(gop)]
    if codec == "H264":
        options += _profile(video, pixels)
    fields = "+ildct+ilme" if video.interlaced else ""
    return [*options, "-flags:v", f"+bitexact{fields}"]


def audio_options(audio: Audio) -> list[str]:
    """Return how the sound is encoded; rate and channels are set in the graph and repeated for whoever reads this."""
    options = [
        "-c:a",
        AUDIO_ENCODERS[audio_codec(audio)],
        "-ar",
        str(samplerate(audio)),
        "-ac",
        str(audio.channels or 2),
    ]
    if audio.bitrate:
        options += ["-b:a", f"{audio.bitrate}k"]
    if audio.sample_format:
        options += ["-sample_fmt", audio.sample_format]
    return [*options, "-flags:a", "+bitexact"]


def _h264(video: Video, _: int) -> list[str]:
    return ["-preset", video.preset or "medium"]


def _h265(video: Video, threads: int) -> list[str]:
    return [
        "-preset",
        video.preset or "medium",
        "-x265-params",
        f"log-level=error:pools={threads}:frame-threads={threads}",
    ]


def _vp8(video: Video, _: int) -> list[str]:
    if video.preset == "realtime":
        return ["-deadline", "realtime", "-cpu-used", "-4"]  # below 0 it is a speed, above it follows the clock
    return ["-deadline", "good", "-cpu-used", "2"]


def _vp9(_: Video, __: int) -> list[str]:
    return ["-deadline", "good", "-cpu-used", "4", "-row-mt", "0", "-tile-columns", "1"]  # rows in parallel vary


def _av1(video: Video, threads: int) -> list[str]:
    alone = 1 if isinstance(video.bitrate, int) and video.crf is None else threads  # its bitrates vary with threads
    return ["-preset", _AV1_PRESETS[video.preset or "5"], "-svtav1-params", f"lp={alone}"]


_SPEED: Final = MappingProxyType({"H264": _h264, "H265": _h265, "VP8": _vp8, "VP9": _vp9, "AV1": _av1})


def _rate_control(video: Video, codec: str) -> list[str]:
    """Return quality or bitrate: crf beats bitrate, and is 25 when neither was asked for or bitrate is ``auto``."""
    bitrate = video.bitrate if isinstance(video.bitrate, int) and video.crf is None else None
    options = ["-b:v", f"{bitrate}k"] if bitrate else ["-crf", _quality(video, codec)]
    if not bitrate and codec == "VP8":
        options += ["-b:v", f"{_HIGHEST}k", "-qmin", "0"]
    if not bitrate and codec == "VP9":
        options += ["-b:v", "0"]
    peak = video.maxrate or (bitrate if video.bufsize else None)
    if peak:  # the encoders take a peak and its buffer only together
        options += ["-maxrate", f"{peak}k", "-bufsize", f"{video.bufsize or 2 * peak}k"]
    return options


def _quality(video: Video, codec: str) -> str:
    """Return the quality; below 1 most encoders are lossless, in profiles that few players know, or refuse it."""
    if not video.crf:
        return _DEFAULT_CRF
    crf = max(video.crf, Decimal(1))
    return f"{crf:f}" if codec in ("H264", "H265") else f"{round(crf)}"


def _profile(video: Video, pixels: str) -> list[str]:
    profile = video.profile or "high"
    if video.pixfmt == "auto" or "420" not in pixels or profile == "auto":
        return []
    return ["-profile:v", profile]
