"""What a finished result is: its MediaInfo, also where no header counts the frames, and where there are segments.

The files come from an FFmpeg that has read what strangers made, so ``prober`` asks for this in a process of its own.

Source: reference/video-synthesis.md §3.5.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from io import RawIOBase
from itertools import accumulate, groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from typing_extensions import override

from reconciler.api.media import AudioStream, Format, MediaInfo, Stream, VideoStream
from reconciler.service.media_info import described, six
from reconciler.service.probe import ProbeError

if TYPE_CHECKING:
    import av.container

_PLAYLISTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        ".m3u8": ("hls", "Apple HTTP Live Streaming"),
        ".mpd": ("dash", "Dynamic Adaptive Streaming over HTTP"),
    }
)
_MOV: Final = ("mov,mp4,m4a,3gp,3g2,mj2", "QuickTime / MOV")
_MATROSKA: Final = ("matroska,webm", "Matroska / WebM")
_FORMATS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        ".mp4": _MOV,
        ".mov": _MOV,
        ".m4s": _MOV,
        ".mkv": _MATROSKA,
        ".webm": _MATROSKA,
        ".avi": ("avi", "AVI (Audio Video Interleaved)"),
        ".flv": ("flv", "FLV (Flash Video)"),
        ".ts": ("mpegts", "MPEG-TS (MPEG-2 Transport Stream)"),
    }
)
"""FFmpeg's names of what is written, by suffix."""

_INIT: Final = "-init."
"""Part of the name of a file with which a player begins before it plays segments."""


def segments_of(path: Path) -> tuple[str, ...]:
    """Return the names of the files that belong to a result, in order: they begin with its own name and a hyphen."""
    names = [found.name for found in path.parent.glob(f"{path.stem}-*")]
    return tuple(sorted(names, key=lambda name: (_stream(name), len(name), name)))


def media_info(path: Path) -> MediaInfo:
    """Return what a result is: one file, or a playlist with its segments beside it. Raises ProbeError."""
    if segments := segments_of(path):
        return _of_segments(path, segments)
    with path.open("rb") as file, _opened(file, path.suffix) as container:
        info = _counted(container)
    name, long_name = _FORMATS[path.suffix]  # PyAV calls a format that it is told as it was told
    assert info.format is not None
    named = info.format.model_copy(update={"format_name": name, "format_long_name": long_name})
    return info.model_copy(update={"format": named})


def _counted(container: av.container.InputContainer) -> MediaInfo:
    """Describe an open file; its frames are counted where no header does, or where it counts empty ones too."""
    info = described(container)
    videos = (info.stream.video if info.stream else None) or ()
    if container.format.name != "avi" and all(video.num_frames for video in videos):
        return info
    return _with_counts(info, _measured(container)[0])


def _of_segments(path: Path, segments: Sequence[str]) -> MediaInfo:
    """Put together what the segments of each stream say."""
    videos: list[VideoStream] = []
    audios: list[AudioStream] = []
    lasts = Fraction(0)
    for _, names in groupby(segments, key=_stream):
        files = sorted((path.parent / name for name in names), key=lambda file: _INIT not in file.name)
        with _Joined(files) as joined, _opened(joined, files[-1].suffix) as container:
            told = described(container)
            counts, seconds = _measured(container)
        stream, base = _with_counts(told, counts).stream or Stream(), len(videos) + len(audios)
        videos += [_moved(video, base) for video in stream.video or ()]
        audios += [_moved(audio, base) for audio in stream.audio or ()]
        lasts = max(lasts, seconds)
    name, long_name = _PLAYLISTS[path.suffix]
    size = sum((path.parent / each).stat().st_size for each in (*segments, path.name))
    described_format = Format(
        num_stream=len(videos) + len(audios),
        num_program=0,
        format_name=name,
        format_long_name=long_name,
        start_time=Decimal("0.000000"),
        duration=six(lasts),
        bitrate=six(Fraction(size * 8, 1000) / lasts) if lasts else None,
        size=size,
    )
    return MediaInfo(format=described_format, stream=Stream(video=tuple(videos), audio=tuple(audios) or None))


_AnyStream = TypeVar("_AnyStream", VideoStream, AudioStream)


def _moved(stream: _AnyStream, base: int) -> _AnyStream:
    """Number a stream behind those of other files; how long it is no single segment says."""
    return stream.model_copy(update={"index": (stream.index or 0) + base, "duration": None})


def _stream(name: str) -> str:
    """Return the part of a segment's name that says to which stream it belongs: dash has files for each."""
    parts = name.split("-")
    return parts[1] if len(parts) > 2 and not parts[1].startswith("init") else ""


class _Joined(RawIOBase):
    """Files one after the other, as a player reads segments."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._ends = list(accumulate(file.stat().st_size for file in files))
        self._place = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1]}[whence]
        self._place = max(0, base + offset)
        return self._place

    @override
    def read(self, size: int = -1) -> bytes:
        number = bisect_right(self._ends, self._place)
        if number == len(self._files):
            return b""
        with self._files[number].open("rb") as file:
            file.seek(self._place - (self._ends[number - 1] if number else 0))
            data = file.read(size)
        self._place += len(data)
        return data


@contextmanager
def _opened(file: BinaryIO | RawIOBase, suffix: str) -> Iterator[av.container.InputContainer]:
    """Open a file as what it was written as: there is no need to guess, and of a short one nobody could."""
    import av

    name = _FORMATS[suffix][0].partition(",")[0]
    try:
        with av.open(file, "r", format=name, metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        raise ProbeError(f"cannot be read again: {error.strerror}") from None


def _measured(container: av.container.InputContainer) -> tuple[Counter[int], Fraction]:
    """Count the packets of each stream, and return how long the picture lasts in seconds."""
    counts: Counter[int] = Counter()
    lasts = Fraction(0)
    for packet in container.demux():
        if packet.size:
            counts[packet.stream_index] += 1
            if packet.stream.type == "video" and packet.time_base:
                lasts += (packet.duration or 0) * packet.time_base
    return counts, lasts


def _with_counts(info: MediaInfo, counts: Mapping[int, int]) -> MediaInfo:
    """Put in how many frames each picture has; a packet holds one."""
    stream = info.stream or Stream()
    videos = tuple(
        video.model_copy(update={"num_frames": counts.get(video.index or 0)}) for video in stream.video or ()
    )
    return info.model_copy(update={"stream": stream.model_copy(update={"video": videos or None})})
