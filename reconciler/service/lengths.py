"""How long the streams of a file really are.

Tables of samples, as mp4 has them, can be believed. What other formats write in front is a claim: recordings that were
cut off or joined, clocks that begin at ten o'clock or jump, headers that somebody made up. There the packets are read,
not decoded, in the way in which FFmpeg will play them: it begins a file at its first time, and closes gaps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import av.container
    import av.packet
    import av.stream

_CLAIMING: Final = ("matroska", "flv", "asf", "ogg")
"""Formats whose headers may say anything, and in which one can go to a moment."""

_CLOCKED: Final = ("mpegts", "mpeg")
"""Formats of broadcasts, whose clock may start anywhere and jump."""

_JUMP: Final = 10.0
"""Seconds beyond which FFmpeg takes a step of the clock for a gap to close; any step back of more than ``_BACK``."""

_BACK: Final = 0.1
_LARGE: Final = 64 << 20
"""Bytes from which on only the end of a file is read, where one can go there."""

_TAIL: Final = 30.0
_MOST_PACKETS: Final = 10_000_000
"""How many packets are read at most: more than a day has."""

_CLOCK: Final = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


class TooManyPacketsError(Exception):
    """A file holds more packets than anybody plays."""


def believed(container: av.container.InputContainer) -> bool:
    """Tell whether the headers of a file can be believed."""
    return not {*_CLAIMING, *_CLOCKED} & set(container.format.name.split(","))


def declared(container: av.container.InputContainer, stream: av.stream.Stream) -> float | None:
    """Return the end of a stream in seconds from the start of the file, as the headers say; None when they do not."""
    start = start_of(container)
    if stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - start
    if tag := _CLOCK.match(stream.metadata.get("DURATION", "")):  # matroska
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - start
    return container.duration / 1_000_000 if container.duration else None


def start_of(container: av.container.InputContainer) -> float:
    """Return the time at which a file begins, in seconds of its own clock."""
    return (container.start_time or 0) / 1_000_000


def measured(container: av.container.InputContainer) -> dict[int, float]:
    """Return the ends of all pictures and sounds by the index of their stream, in seconds from the start of the file.

    The container must have been opened just now. Raises TooManyPacketsError.
    """
    clocked = bool(set(_CLOCKED) & set(container.format.name.split(",")))
    streams = [*container.streams.video, *container.streams.audio]
    ends = {stream.index: _End(start_of(container), clocked=clocked) for stream in streams}
    _go_to_the_tail(container, clocked=clocked)
    for packet in _packets(container, streams):
        ends[packet.stream_index].add(packet)
    return {index: end.seconds for index, end in ends.items() if end.packets}


def _go_to_the_tail(container: av.container.InputContainer, *, clocked: bool) -> None:
    """Pass over most of a large file, where that is possible."""
    if clocked or container.size < _LARGE or not container.duration:
        return
    tail = container.duration + (container.start_time or 0) - int(_TAIL * 1_000_000)
    if tail > 0:
        container.seek(tail)


def _packets(
    container: av.container.InputContainer, streams: list[av.stream.Stream]
) -> Iterator[av.packet.Packet[Any]]:
    for number, packet in enumerate(container.demux(*streams)):
        if number >= _MOST_PACKETS:
            raise TooManyPacketsError
        if packet.size:
            yield packet


@dataclass
class _End:
    """The end of one stream, as its packets come."""

    start: float
    clocked: bool
    seconds: float = 0.0
    packets: int = 0
    _shift: float = 0.0
    _next: float | None = None
    _timeless: int = 0

    def add(self, packet: av.packet.Packet[Any]) -> None:
        """Take one packet into account."""
        base = float(packet.time_base or 0)
        lasts = (packet.duration or 0) * base
        self.packets += 1
        if packet.pts is None and packet.dts is None:  # of several pictures in one piece only the first has a time
            self._timeless += 1
            self.seconds += lasts
            return
        shown = float(packet.pts if packet.pts is not None else packet.dts or 0) * base
        decoded = float(packet.dts if packet.dts is not None else packet.pts or 0) * base
        self._close_gap(decoded)
        self._next = decoded + self._shift + lasts
        self.seconds = max(self.seconds, shown + self._shift - self.start + lasts)

    def _close_gap(self, decoded: float) -> None:
        if not self.clocked or self._next is None:
            return
        step = decoded + self._shift - self._next
        if step > _JUMP or step < -_BACK:
            self._shift -= step
