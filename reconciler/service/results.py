"""What a finished result is: its MediaInfo, also where no header counts the frames, and where there are segments.

The files come from an FFmpeg that has read what strangers made, so ``prober`` asks for this in a process of its own.

Source: reference/video-synthesis.md §3.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final

from reconciler.api.media import AudioStream, Format, MediaInfo, Stream, VideoStream
from reconciler.service import probe
from reconciler.service.probe import ProbeError

if TYPE_CHECKING:
    import av.container

_PLAYLISTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        ".m3u8": ("hls", "Apple HTTP Live Streaming"),
        ".mpd": ("dash", "Dynamic Adaptive Streaming over HTTP"),
    }
)
_INIT: Final = "-init."
"""Part of the name of a file with which a player begins before it plays segments."""


def segments_of(path: Path) -> tuple[str, ...]:
    """Return the names of the files that belong to a result, in order: they begin with its own name and a hyphen."""
    return tuple(sorted(found.name for found in path.parent.glob(f"{path.stem}-*")))


def media_info(path: Path) -> MediaInfo:
    """Return what a result is: one file, or a playlist with its segments beside it. Raises ProbeError."""
    if segments := segments_of(path):
        return _of_segments(path, segments)
    info = probe.media_info(path)
    if _is_counted(info):
        return info
    with path.open("rb") as file, _opened(file) as container:
        return _with_counts(info, _measured(container)[0])


def _is_counted(info: MediaInfo) -> bool:
    return all(video.num_frames for video in (info.stream.video if info.stream else None) or ())


@dataclass
class _Streams:
    """What the segments that were read so far hold."""

    videos: list[VideoStream] = field(default_factory=list)
    audios: list[AudioStream] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    length: Fraction = Fraction(0)

    def add(self, segments: Sequence[bytes]) -> None:
        """Read the segments of one more file that a player puts together, each with its head."""
        base, lasts = len(self.videos) + len(self.audios), Fraction(0)
        for number, data in enumerate(segments):
            with _opened(BytesIO(data)) as container:
                if not number:
                    self._describe(probe.described(container).stream or Stream(), base)
                counts, seconds = _measured(container)
            self.counts.update({index + base: count for index, count in counts.items()})
            lasts += seconds
        self.length = max(self.length, lasts)

    def _describe(self, stream: Stream, base: int) -> None:
        for video in stream.video or ():
            self.videos.append(video.model_copy(update={"index": (video.index or 0) + base, "duration": None}))
        for audio in stream.audio or ():
            self.audios.append(audio.model_copy(update={"index": (audio.index or 0) + base, "duration": None}))


def _of_segments(path: Path, segments: Sequence[str]) -> MediaInfo:
    """Put together what the segments of each stream say; a segment is read behind what a player reads before it."""
    streams, folder = _Streams(), path.parent
    for _, names in groupby(segments, key=_stream):
        found = list(names)
        head = b"".join((folder / name).read_bytes() for name in found if _INIT in name)
        streams.add([head + (folder / name).read_bytes() for name in found if _INIT not in name])
    name, long_name = _PLAYLISTS[path.suffix]
    size = sum((folder / each).stat().st_size for each in (*segments, path.name))
    described = Format(
        num_stream=len(streams.videos) + len(streams.audios),
        num_program=0,
        format_name=name,
        format_long_name=long_name,
        start_time=Decimal("0.000000"),
        duration=probe.six(streams.length),
        bitrate=probe.six(Fraction(size * 8, 1000) / streams.length) if streams.length else None,
        size=size,
    )
    stream = Stream(video=tuple(streams.videos), audio=tuple(streams.audios) or None)
    return _with_counts(MediaInfo(format=described, stream=stream), streams.counts)


def _stream(name: str) -> str:
    """Return the part of a segment's name that says to which stream it belongs: dash has files for each."""
    parts = name.split("-")
    return parts[1] if len(parts) > 2 else ""


@contextmanager
def _opened(file: BinaryIO) -> Iterator[av.container.InputContainer]:
    import av

    try:
        with av.open(file, "r") as container:
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
