"""What finished files are said to be, for every container, with small files of FFmpeg's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import pytest

from reconciler.api import codecs
from reconciler.api.media import MediaInfo, VideoStream
from reconciler.service.media_info import described
from reconciler.service.probe import ProbeError
from reconciler.service.results import _Joined, _stream, media_info, segments_of
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


@pytest.mark.parametrize(
    ("suffix", "options", "name", "long_name"),
    [
        ("mp4", [], "mov,mp4,m4a,3gp,3g2,mj2", "QuickTime / MOV"),
        ("mov", [], "mov,mp4,m4a,3gp,3g2,mj2", "QuickTime / MOV"),
        ("mkv", [], "matroska,webm", "Matroska / WebM"),
        ("webm", ["-c:v", "libvpx"], "matroska,webm", "Matroska / WebM"),
        ("avi", [], "avi", "AVI (Audio Video Interleaved)"),
        ("flv", [], "flv", "FLV (Flash Video)"),
        ("ts", [], "mpegts", "MPEG-TS (MPEG-2 Transport Stream)"),
    ],
)
def test_formats_are_called_as_ffmpeg_calls_them(
    films: Films, suffix: str, options: list[str], name: str, long_name: str
) -> None:
    path = films.film(seconds=0.4, suffix=suffix, options=options)
    found = media_info(path).format
    assert found is not None
    assert (found.format_name, found.format_long_name, found.num_stream) == (name, long_name, 1)
    if suffix != "ts":  # so short a one is not recognized by those who have to guess
        guessed = opened(path).format
        assert guessed is not None
        assert (guessed.format_name, guessed.format_long_name) == (name, long_name)


def test_pictures_of_avi_that_hold_nothing_are_not_counted(films: Films, tmp_path: Path) -> None:
    """A frame that is shown longer is followed by empty ones, which its header counts."""
    path = tmp_path / "made.avi"
    held = ["-vf", "setpts=PTS+if(gte(N\\,5)\\,0.4/TB\\,0)", "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "0"]
    run("-i", str(films.film(seconds=0.4)), *held, str(path))
    (told,) = streams(opened(path))
    (counted,) = streams(media_info(path))
    assert (told.num_frames, counted.num_frames) == (20, 10)
    assert counted == told.model_copy(update={"num_frames": 10})


def opened(path: Path) -> MediaInfo:
    """What the headers of a file say, of which FFmpeg has to find out what it is."""
    with av.open(str(path)) as container:
        return described(container)


def streams(info: MediaInfo) -> Sequence[VideoStream]:
    assert info.stream is not None
    return info.stream.video or ()


@pytest.mark.parametrize(
    ("codec", "suffix", "begins"),
    [("H.264", ".ts", []), ("H.265", ".m4s", ["made-init.mp4"])],
)
def test_segments_are_read_as_one_with_or_without_what_they_begin_with(
    films: Films, tmp_path: Path, codec: str, suffix: str, begins: list[str]
) -> None:
    target = tmp_path / "made.m3u8"
    packing = {"format": "hls", "clip_config": {"duration": "0.4"}}
    operation = job("a", keep=True, audio={}, container=packing, video={"codec": codec})
    rendered(operation, {"a": films.film(seconds=1.2, tone=500)}, target)
    pieces = [f"made-0000{number}{suffix}" for number in range(3)]
    assert segments_of(target) == (*begins, *pieces)
    info = media_info(target)
    (video,) = streams(info)
    assert (video.num_frames, video.duration) == (30, None)
    assert info.format is not None
    assert info.format.duration == pytest.approx(Decimal("1.2"), abs=Decimal("0.001"))
    (tmp_path / pieces[1]).unlink()
    (fewer,) = streams(media_info(target))
    assert fewer.num_frames == 20


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("made-00001.ts", ""),
        ("made-init.mp4", ""),
        ("made-0-init.m4s", "0"),
        ("made-1-00001.m4s", "1"),
        ("0123456789abcdef-12-00001.m4s", "12"),
    ],
)
def test_the_stream_of_a_segment(name: str, stream: str) -> None:
    assert _stream(name) == stream


PIECES_OF_TEXT = ("One ", "", "and two", " make three.")
TEXT = "".join(PIECES_OF_TEXT).encode()


@pytest.fixture
def pieces(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / str(number) for number in range(len(PIECES_OF_TEXT))]
    for path, text in zip(paths, PIECES_OF_TEXT, strict=True):
        path.write_text(text)
    return paths


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_files_one_after_the_other_are_read_as_one(pieces: list[Path], size: int) -> None:
    with _Joined(pieces) as joined:
        assert (joined.readable(), joined.seekable()) == (True, True)
        assert b"".join(iter(lambda: joined.read(size), b"")) == TEXT
        assert (joined.tell(), joined.read(size)) == (len(TEXT), b"")


@pytest.mark.parametrize(
    ("offset", "whence", "place"),
    [
        (0, os.SEEK_SET, 0),
        (4, os.SEEK_SET, 4),
        (13, os.SEEK_SET, 13),
        (-3, os.SEEK_CUR, 4),
        (2, os.SEEK_CUR, 9),
        (-12, os.SEEK_END, 11),
        (0, os.SEEK_END, 23),
        (9, os.SEEK_END, 32),
        (-99, os.SEEK_CUR, 0),
    ],
)
def test_any_place_of_joined_files_can_be_gone_to(pieces: list[Path], offset: int, whence: int, place: int) -> None:
    with _Joined(pieces) as joined:
        assert joined.seek(7) == 7
        assert joined.seek(offset, whence) == place == joined.tell()
        assert b"".join(iter(lambda: joined.read(2), b"")) == TEXT[place:]


def test_the_name_of_every_segment_says_to_which_stream_it_belongs(films: Films, tmp_path: Path) -> None:
    target = tmp_path / "made.mpd"
    packing = {"format": "dash", "clip_config": {"duration": 1}}
    done = rendered(job("a", keep=True, audio={}, container=packing), {"a": films.film(seconds=0.4, tone=500)}, target)
    assert done.names == ("made-0-init.m4s", "made-0-00001.m4s", "made-1-init.m4s", "made-1-00001.m4s", "made.mpd")


def test_segments_are_in_the_order_in_which_they_are_played(tmp_path: Path) -> None:
    names = ["made-0-init.m4s", "made-0-00002.m4s", "made-0-99999.m4s", "made-0-100000.m4s", "made-1-00001.m4s"]
    for name in (*reversed(names), "made.mpd", "madeira-0-00001.m4s", "other-0-00001.m4s"):
        (tmp_path / name).touch()
    assert segments_of(tmp_path / "made.mpd") == tuple(names)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "flv"])
def test_a_title_that_is_no_text_is_no_reason_to_fail(films: Films, tmp_path: Path, suffix: str) -> None:
    """FFmpeg takes the title of a source over as it is."""
    titled, target = films.film(suffix=suffix, options=["-metadata", "title=\udcff"]), tmp_path / f"made.{suffix}"
    assert b"\xff" in titled.read_bytes()
    done = rendered(job("a", container={"format": suffix}), {"a": titled}, target)
    assert b"\xff" in target.read_bytes()
    (video,) = streams(done.media_info)
    assert (video.width, video.height, video.num_frames) == (256, 192, 10)
    assert [video.codec_name for video in streams(media_info(titled))] == ["h264"]


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
