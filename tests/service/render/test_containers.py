"""How a result is packed: the options of every container, and the names of its files."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api import codecs
from reconciler.api.transcode import Transcode
from reconciler.service.render.containers import CONTENT_TYPES, container_options, main_name, segment_seconds
from tests.service.media import job
from tests.service.render.probes import command, option, source

KEPT = "-map_metadata 0 -map_chapters -1 -metadata major_brand= -metadata minor_version="
KEPT += " -metadata compatible_brands= -metadata encoder= -fflags +bitexact"


def transcode(container: str | None, codec: str | None = None, **rest: Any) -> Transcode:
    packing = {"format": container} if container else None
    return Transcode.model_validate({"container": packing, "video": {"codec": codec}, **rest})


def options(*arguments: Any, **rest: Any) -> str:
    return " ".join(container_options(transcode(*arguments, **rest), "made"))


@pytest.mark.parametrize(
    ("container", "codec", "wanted"),
    [
        ("mp4", None, "-movflags +faststart -f mp4 file:made.mp4"),
        ("MP4", "H.264", "-movflags +faststart -f mp4 file:made.mp4"),
        ("mp4", "H.265", "-tag:v hvc1 -movflags +faststart -f mp4 file:made.mp4"),
        ("mp4", "AV1", "-movflags +faststart -f mp4 file:made.mp4"),
        (None, None, "-movflags +faststart -f mp4 file:made.mp4"),
        ("mov", "H.264", "-movflags +faststart -f mov file:made.mov"),
        ("mkv", "H.265", "-f matroska file:made.mkv"),
        ("avi", "H.264", "-f avi file:made.avi"),
        ("flv", "H.264", "-f flv file:made.flv"),
        ("ts", "H.264", "-f mpegts file:made.ts"),
        ("webm", "VP8", "-f webm file:made.webm"),
        ("webm", "AV1", "-f webm file:made.webm"),
    ],
)
def test_one_file(container: str | None, codec: str | None, wanted: str) -> None:
    assert options(container, codec) == f"{KEPT} {wanted}"


VOD = "-hls_playlist_type vod -hls_flags independent_segments"
FRAGMENTS = "-hls_segment_type fmp4 -hls_fmp4_init_filename made-init.mp4 -hls_segment_filename made-%05d.m4s"
TEMPLATE = "-use_template 1 -use_timeline 1 -init_seg_name made-$RepresentationID$-init.m4s"
TEMPLATE += " -media_seg_name made-$RepresentationID$-$Number%05d$.m4s -f dash file:made.mpd"


@pytest.mark.parametrize(
    ("container", "codec", "rest", "wanted"),
    [
        ("hls", "H.264", {}, f"-hls_time 5 {VOD} -hls_segment_filename made-%05d.ts -f hls file:made.m3u8"),
        ("hls", "H.265", {}, f"-tag:v hvc1 -hls_time 5 {VOD} {FRAGMENTS} -f hls file:made.m3u8"),
        ("hls", "AV1", {}, f"-hls_time 5 {VOD} {FRAGMENTS} -f hls file:made.m3u8"),
        ("dash", "H.264", {}, f"-seg_duration 5 {TEMPLATE}"),
    ],
)
def test_a_playlist_and_its_segments(container: str, codec: str, rest: dict[str, Any], wanted: str) -> None:
    assert options(container, codec, **rest) == f"{KEPT} {wanted}"


@pytest.mark.parametrize(
    ("container", "clip", "old", "seconds"),
    [
        ("hls", None, None, 5),
        ("hls", {}, None, 5),
        ("hls", {"duration": 2}, None, 2),
        ("hls", {"duration": "2.5"}, 9, 2.5),
        ("hls", {}, 9, 9),
        ("HLS", None, 9, 9),
        ("dash", {"duration": 4}, None, 4),
        ("mp4", {"duration": 4}, 9, None),
    ],
)
def test_the_length_of_a_segment(container: str, clip: Any, old: int | None, seconds: float | None) -> None:
    asked = Transcode.model_validate(
        {"container": {"format": container, "clip_config": clip}, "video": {"hls_ts_time": old}}
    )
    assert segment_seconds(asked) == seconds
    if seconds is not None:
        name = {"hls": "-hls_time", "dash": "-seg_duration"}[container.lower()]
        assert option(container_options(asked, "made"), name) == f"{seconds:g}"


@pytest.mark.parametrize(
    ("video", "gop", "forced"),
    [
        ({}, "125", "expr:not(mod(n,125))"),
        ({"hls_ts_time": 2}, "50", "expr:not(mod(n,50))"),
        ({"hls_ts_time": 2, "fps": 60}, "120", "expr:not(mod(n,120))"),
        ({"gop": 10}, "10", "expr:not(mod(n,125))"),
        ({"hls_ts_time": 1, "fps": "29.97"}, "30", "expr:not(mod(n,30))"),
        ({"hls_ts_time": "1e9"}, "100000", "expr:not(mod(n,100000))"),
        ({"hls_ts_time": "0.001"}, "1", "expr:not(mod(n,1))"),
    ],
)
def test_a_segment_begins_with_a_key_frame(video: dict[str, Any], gop: str, forced: str) -> None:
    arguments = command(job("a.mp4", container={"format": "hls"}, video=video), source())
    assert (option(arguments, "-g"), option(arguments, "-force_key_frames")) == (gop, forced)


def test_one_file_has_no_forced_key_frames() -> None:
    arguments = command(job("a.mp4"), source())
    assert (option(arguments, "-g"), option(arguments, "-force_key_frames")) == (None, None)


@pytest.mark.parametrize(
    ("container", "name"),
    [
        *[(each, f"x.{each}") for each in ("mp4", "mkv", "mov", "avi", "flv", "ts", "webm")],
        ("hls", "x.m3u8"),
        ("dash", "x.mpd"),
        ("Mp4", "x.mp4"),
        (None, "x.mp4"),
    ],
)
def test_names(container: str | None, name: str) -> None:
    assert main_name(transcode(container), "x") == name
    assert container_options(transcode(container), "x")[-1] == f"file:{name}"


def test_every_file_has_a_media_type() -> None:
    written = {codecs.extension(name) for name in codecs.VIDEO_CONTAINERS} | {"m4s", "ts", "mp4"}
    assert written == set(CONTENT_TYPES)


LABEL = {"label": "1", "content_producer": "我们", "produce_id": "p-1", "propagate_id": "q"}
WRITTEN = 'AIGC={"Label":"1","ContentProducer":"我们","ProduceID":"p-1","PropagateID":"q"}'


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (None, KEPT.split()),
        ({"delete_metadata": False}, KEPT.split()),
        ({"delete_metadata": True}, ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]),
        ({"aigc_metadata": LABEL}, [*KEPT.split()[:-2], "-metadata", WRITTEN, "-fflags", "+bitexact"]),
        (
            {"aigc_metadata": LABEL, "delete_metadata": True},
            ["-map_metadata", "-1", "-map_chapters", "-1", "-metadata", WRITTEN, "-fflags", "+bitexact"],
        ),
    ],
)
def test_metadata(config: dict[str, Any] | None, wanted: list[str]) -> None:
    found = container_options(transcode("mkv", trans_config=config), "made")
    assert found[:-3] == wanted


@pytest.mark.parametrize(
    ("container", "flags"),
    [("mp4", "+faststart+use_metadata_tags"), ("mov", "+faststart+use_metadata_tags"), ("flv", None)],
)
def test_a_label_needs_a_place_in_mp4(container: str, flags: str | None) -> None:
    found = container_options(transcode(container, trans_config={"aigc_metadata": LABEL}), "made")
    assert option(found, "-movflags") == flags
