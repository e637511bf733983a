"""Names of codecs and containers, their defaults and suffixes. The tables themselves are tested through the rules."""

from __future__ import annotations

import pytest

from reconciler.api.codecs import (
    canonical_codec,
    canonical_format,
    default_audio_codec,
    default_video_codec,
    extension,
)


@pytest.mark.parametrize(
    ("container", "expected"),
    [("mp4", "mp4"), ("MP4", "mp4"), ("hls", "m3u8"), ("dash", "mpd"), ("WebM", "webm"), ("adts", "adts"), ("x", "x")],
)
def test_extension(container: str, expected: str) -> None:
    assert extension(container) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("h.264", "H.264"), ("AAC", "aac"), ("vorbis", "Vorbis"), (" av1 ", "AV1"), ("x264", "x264")],
)
def test_canonical_codec(name: str, expected: str) -> None:
    assert canonical_codec(name) == expected


def test_defaults_of_containers() -> None:
    assert canonical_format("WebM") == "webm"
    assert (default_video_codec("mp4"), default_video_codec("WebM")) == ("H.264", "VP8")
    assert (default_video_codec("mp3"), default_video_codec("?")) == (None, None)
    assert (default_audio_codec("mp4"), default_audio_codec("webm"), default_audio_codec("wav")) == (
        "aac",
        "Vorbis",
        "pcm_s16le",
    )
    assert default_audio_codec("?") is None
