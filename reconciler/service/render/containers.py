"""How the result is packed: one file, or a playlist and its segments. Pure.

FFmpeg is started in the folder of the result and told names without a folder: neither a pattern nor a playlist can be
confused by what a path or a key holds.

Source: reference/video-synthesis.md §2.4.2 and §2.8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from reconciler.api import codecs
from reconciler.api.transcode import AigcMetadata, Transcode
from reconciler.service.render.unsupported import container_format, video_codec

CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mp4": "video/mp4",
        "mkv": "video/x-matroska",
        "mov": "video/quicktime",
        "avi": "video/x-msvideo",
        "flv": "video/x-flv",
        "ts": "video/mp2t",
        "webm": "video/webm",
        "m3u8": "application/vnd.apple.mpegurl",
        "mpd": "application/dash+xml",
        "m4s": "video/iso.segment",
    }
)
"""The media types of the files that are written, by their suffix."""

_MUXERS: Final = MappingProxyType({"mkv": "matroska", "ts": "mpegts"})
_FRAGMENTED: Final = ("H265", "AV1")
"""Codecs whose hls segments are fragments of mp4: players expect them so, or MPEG-TS cannot hold them."""

_TAGGED: Final = ("mp4", "mov")
_SEGMENT_SECONDS: Final = 5.0
_LONGEST_SEGMENT: Final = 86_400.0
_OF_THE_FILE: Final = ("major_brand", "minor_version", "compatible_brands", "encoder")
"""What a source's metadata says of its own file."""


def main_name(transcode: Transcode, name: str) -> str:
    """Return the file name of the result: the video, or the playlist of its segments."""
    return f"{name}.{codecs.extension(container_format(transcode))}"


def segment_seconds(transcode: Transcode) -> float | None:
    """Return how long a segment is, None where there are none."""
    if container_format(transcode) not in codecs.SEGMENTED:
        return None
    clip = transcode.container.clip_config if transcode.container else None
    asked = (clip.duration if clip else None) or (transcode.video.hls_ts_time if transcode.video else None)
    return min(float(asked or _SEGMENT_SECONDS), _LONGEST_SEGMENT)


def container_options(transcode: Transcode, name: str, *, sourced: bool = True) -> list[str]:
    """Return how everything is packed, and, last, the file to write; segments are called ``name-…``.

    ``sourced`` tells whether FFmpeg's first file is a source, whose metadata may be kept.
    """
    container = container_format(transcode)
    options = [*_metadata(transcode, sourced=sourced), "-fflags", "+bitexact", *_tag(transcode, container)]
    if container == "hls":
        options += _hls(transcode, name)
    elif container == "dash":
        options += _dash(transcode, name)
    else:
        options += [*_flags(transcode, container), "-f", _MUXERS.get(container, container)]
    return [*options, f"file:{main_name(transcode, name)}"]


def _tag(transcode: Transcode, container: str) -> list[str]:
    """Return the mark by which players of mp4 know H.265."""
    codec = video_codec(transcode.video) if transcode.video else ""
    return ["-tag:v", "hvc1"] if codec == "H265" and container in (*_TAGGED, "hls") else []


def _flags(transcode: Transcode, container: str) -> list[str]:
    if container not in _TAGGED:
        return []
    labels = "+use_metadata_tags" if _label(transcode) else ""
    return ["-movflags", f"+faststart{labels}"]


def _hls(transcode: Transcode, name: str) -> list[str]:
    seconds = segment_seconds(transcode)
    options = ["-hls_time", f"{seconds:g}", "-hls_playlist_type", "vod", "-hls_flags", "independent_segments"]
    if transcode.video and video_codec(transcode.video) in _FRAGMENTED:
        options += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", f"{name}-init.mp4"]
        return [*options, "-hls_segment_filename", f"{name}-%05d.m4s", "-f", "hls"]
    return [*options, "-hls_segment_filename", f"{name}-%05d.ts", "-f", "hls"]


def _dash(transcode: Transcode, name: str) -> list[str]:
    return [
        *("-seg_duration", f"{segment_seconds(transcode):g}", "-use_template", "1", "-use_timeline", "1"),
        *("-init_seg_name", f"{name}-$RepresentationID$-init.m4s"),
        *("-media_seg_name", f"{name}-$RepresentationID$-$Number%05d$.m4s"),
        *("-f", "dash"),
    ]


def _metadata(transcode: Transcode, *, sourced: bool) -> list[str]:
    """Return which metadata is written: that of the first source, unless it is to be deleted, and the label."""
    config = transcode.trans_config
    kept = sourced and not (config is not None and config.delete_metadata)
    options = ["-map_metadata", "0" if kept else "-1", "-map_chapters", "-1"]
    if kept:
        options += [part for name in _OF_THE_FILE for part in ("-metadata", f"{name}=")]
    label = _label(transcode)
    return [*options, "-metadata", f"AIGC={_label_text(label)}"] if label else options


def _label(transcode: Transcode) -> AigcMetadata | None:
    return transcode.trans_config.aigc_metadata if transcode.trans_config else None


def _label_text(label: AigcMetadata) -> str:
    """Write a label of generated content as GB 45438-2025 has it: JSON under the name AIGC."""
    said = label.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
