"""Which codec fits which container, and which value fits which codec: the documents' tables as data.

Source: reference/video-synthesis.md §2.4.2 to §2.4.4. No checks here; those are in ``rules_transcode``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Packing(NamedTuple):
    """The codecs that a container takes, its default first. No video codecs: it holds sound only."""

    video: tuple[str, ...]
    audio: tuple[str, ...]


_MODERN: Final = Packing(("H.264", "H.265", "AV1"), ("aac", "mp3"))
_CLASSIC: Final = Packing(("H.264",), ("aac", "mp3"))

CONTAINERS: Final[Mapping[str, Packing]] = MappingProxyType(
    {
        "mp4": _MODERN,
        "hls": _MODERN,  # the documents have a second row for hls and mkv without AV1; the wider one is taken
        "mkv": _MODERN,
        "ts": _CLASSIC,
        "flv": _CLASSIC,
        "avi": _CLASSIC,
        "mov": _CLASSIC,
        "dash": Packing(("H.264",), ("aac",)),
        "webm": Packing(("VP8", "VP9", "AV1"), ("Vorbis", "opus")),
        "aac": Packing((), ("aac",)),
        "mp3": Packing((), ("mp3",)),
        "flac": Packing((), ("flac",)),
        "amr": Packing((), ("amr",)),
        "adts": Packing((), ("aac",)),
        "m4a": Packing((), ("aac",)),
        "wav": Packing((), ("pcm_s16le",)),
    }
)
VIDEO_CONTAINERS: Final = tuple(name for name, packing in CONTAINERS.items() if packing.video)
SEGMENTED: Final = ("hls", "dash")

VIDEO_CODECS: Final = ("H.264", "H.265", "VP8", "VP9", "AV1")
AUDIO_CODECS: Final = ("aac", "mp3", "flac", "amr", "Vorbis", "opus", "pcm_s16le")

PRESETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "H.264": ("veryfast", "fast", "medium", "slow", "slower"),
        "VP8": ("good", "realtime"),
        "AV1": ("4", "5", "medium", "universal"),  # two editions of the documents, two pairs of values
    }
)
PIXEL_FORMATS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "H.264": ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "auto"),
        "H.265": ("yuv420p", "yuv420p10le", "auto"),
    }
)
NOT_FOR: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "profile": ("H.265", "VP8", "VP9", "AV1"),
        "preset": ("H.265", "VP9"),
        "bufsize": ("VP8", "VP9"),
        "maxrate": ("VP8", "VP9"),
        "pixfmt": ("VP8", "VP9", "AV1"),
        "long_short_mode": ("VP8", "VP9", "AV1"),
        "roi": ("VP8", "VP9"),
        "crop": ("H.265", "AV1"),
        "interlaced": ("H.265", "AV1"),
    }
)
"""Parameters of ``video`` that some codecs do not take."""

SAMPLE_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
CODEC_RATES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"amr": (8000,), "opus": (8000, 16000, 24000, 48000), "mp3": SAMPLE_RATES[:9]}
)
MP3_RATES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"flv": (22050, 44100), "mp4": (16000, 22050, 24000, 32000, 44100, 48000)}
)
"""Sample rates of mp3 in the containers that take fewer than ``CODEC_RATES`` says."""

CHANNELS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "aac": (1, 2, 4, 5, 6, 8),
        "flac": (1, 2, 4, 5, 6, 8),
        "mp3": (1, 2),
        "opus": (1, 2),
        "Vorbis": (2,),
        "amr": (1,),
        "pcm_s16le": (1, 2),
    }
)
SAMPLE_FORMATS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "aac": ("fltp",),
        "mp3": ("fltp", "s16p", "s32p"),
        "flac": ("s16", "s32", "s16p", "s32p"),
        "amr": ("s16", "s16p"),
        "opus": ("s16",),
        "pcm_s16le": ("s16",),
        "Vorbis": ("fltp",),
    }
)

_CODEC_NAMES: Final = MappingProxyType({name.lower(): name for name in (*VIDEO_CODECS, *AUDIO_CODECS)})
_CONTAINER_NAMES: Final = MappingProxyType({name.lower(): name for name in CONTAINERS})
_SUFFIXES: Final[Mapping[str, str]] = MappingProxyType({"hls": "m3u8", "dash": "mpd"})


def canonical_codec(name: str) -> str:
    """Return a codec's name as the documents spell it, whatever its case; an unknown name comes back as it is."""
    return _CODEC_NAMES.get(name.strip().lower(), name)


def canonical_format(name: str) -> str:
    """Return a container's name as the documents spell it, whatever its case; an unknown one comes back as it is."""
    return _CONTAINER_NAMES.get(name.strip().lower(), name)


def default_video_codec(container: str) -> str | None:
    """Return the video codec of a container when none is given; None for an unknown or an audio-only container."""
    packing = CONTAINERS.get(canonical_format(container))
    return packing.video[0] if packing and packing.video else None


def default_audio_codec(container: str) -> str | None:
    """Return the audio codec of a container when none is given; None for an unknown container."""
    packing = CONTAINERS.get(canonical_format(container))
    return packing.audio[0] if packing else None


def extension(container: str) -> str:
    """Return the file suffix of a container: ``m3u8`` for hls, ``mpd`` for dash, else its own name."""
    name = canonical_format(container)
    return _SUFFIXES.get(name, name)
