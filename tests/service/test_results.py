"""What finished files are said to be, for every container, with small files of FFmpeg's own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import codecs
from reconciler.service.probe import ProbeError
from reconciler.service.results import media_info, segments_of
from tests.service.media import Films, job, rendered, run

FRAMES = 20


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


NAMES = {
    **{name: name for name in ("mp4", "mov", "avi", "flv", "hls", "dash")},
    "mkv": "matroska",
    "webm": "matroska",
    "ts": "mpegts",
}
"""One of FFmpeg's names of each container; it lists several for some."""

LONG_NAMES = {"hls": "Apple HTTP Live Streaming", "dash": "Dynamic Adaptive Streaming over HTTP"}
PIECES = {"hls": "made-0*.ts", "dash": "made-0-0*.m4s"}
"""How the pieces of the picture are called."""


def test_every_container_of_pictures_is_in_the_table() -> None:
    assert set(NAMES) == set(codecs.VIDEO_CONTAINERS)


@pytest.mark.parametrize("container", NAMES)
def test_every_container(films: Films, tmp_path: Path, container: str) -> None:
    packing: dict[str, Any] = {"format": container}
    if container in codecs.SEGMENTED:
        packing["clip_config"] = {"duration": "0.4"}
    operation = job("a", keep=True, audio={}, container=packing, video={"preset": None})
    target = tmp_path / f"made.{codecs.extension(container)}"
    done = rendered(operation, {"a": films.film(seconds=0.8, tone=500)}, target)
    info = media_info(target)
    assert segments_of(target) == done.names[:-1]
    assert info == done.media_info
    assert info.format is not None
    assert info.stream is not None
    (video,), (audio,) = info.stream.video or (), info.stream.audio or ()
    assert (video.num_frames, video.width, video.height, float(video.fps or 0)) == (FRAMES, 256, 192, 25.0)
    assert (video.codec_name, audio.codec_name) == (("vp8", "vorbis") if container == "webm" else ("h264", "aac"))
    assert (info.format.num_stream, {video.index, audio.index}) == (2, {0, 1})
    assert float(info.format.duration or 0) == pytest.approx(0.8, abs=0.15)
    assert info.format.size == sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())
    assert info.format.bitrate
    assert NAMES[container] in (info.format.format_name or "").split(",")
    assert LONG_NAMES.get(container, info.format.format_long_name) == info.format.format_long_name
    if container in PIECES:
        assert len(list(tmp_path.glob(PIECES[container]))) == 2
    else:
        assert done.names == (target.name,)


@pytest.mark.parametrize(
    ("container", "codec"), [("hls", "H.265"), ("mkv", "H.265"), ("mkv", "AV1"), ("webm", "VP9"), ("hls", "AV1")]
)
def test_frames_are_counted_whatever_they_are_coded_with(
    films: Films, tmp_path: Path, container: str, codec: str
) -> None:
    target = tmp_path / f"made.{codecs.extension(container)}"
    encoding = {"preset": None if codec != "H.265" else "ultrafast", "codec": codec, "width": 128, "height": 128}
    operation = job("a", container={"format": container}, video=encoding)
    done = rendered(operation, {"a": films.film(seconds=0.4)}, target)
    assert done.media_info.stream is not None
    (video,) = done.media_info.stream.video or ()
    assert video.num_frames == 10
    assert done.media_info.format is not None
    assert done.media_info.format.num_stream == 1
    assert done.media_info.format.duration == pytest.approx(Decimal("0.4"), abs=Decimal("0.05"))


def test_the_name_of_every_segment_says_to_which_stream_it_belongs(films: Films, tmp_path: Path) -> None:
    target = tmp_path / "made.mpd"
    packing = {"format": "dash", "clip_config": {"duration": 1}}
    done = rendered(job("a", keep=True, audio={}, container=packing), {"a": films.film(seconds=0.4, tone=500)}, target)
    assert done.names == (*("made-0-00001.m4s", "made-0-init.m4s", "made-1-00001.m4s", "made-1-init.m4s", "made.mpd"),)


def test_two_tracks_are_told(films: Films, tmp_path: Path) -> None:
    both, target = tmp_path / "both.mp4", tmp_path / "made.mp4"
    film, high = films.film(tone=500), films.film("blue", tone=1500)
    run("-i", str(film), "-i", str(high), "-map", "0", "-map", "1:a", "-c", "copy", str(both))
    done = rendered(job("a", keep=True, audio={"keep_two_tracks": True}), {"a": both}, target)
    assert done.media_info.stream is not None
    assert [audio.index for audio in done.media_info.stream.audio or ()] == [1, 2]


def test_files_that_cannot_be_read_again_are_named(tmp_path: Path) -> None:
    (tmp_path / "made.mp4").write_bytes(b"no film")
    assert segments_of(tmp_path / "made.mp4") == ()
    with pytest.raises(ProbeError):
        media_info(tmp_path / "made.mp4")
    (tmp_path / "made.m3u8").write_text("#EXTM3U")
    (tmp_path / "made-00000.ts").write_bytes(b"no film")
    with pytest.raises(ProbeError, match="cannot be read again"):
        media_info(tmp_path / "made.m3u8")
