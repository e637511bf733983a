"""How long the streams of a file really are.

Tables of samples, as mp4 has them, can be believed. What other formats write in front is a claim: recordings that were
cut off or joined, clocks that begin at ten o'clock or jump, headers that somebody made up. There the packets are read,
not decoded, in the way in which FFmpeg will play them: it begins a file at its first time, and closes gaps.
"""

from __future__ import annotations

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
    return container.duration / 1_000_000 if container.duration else None


def start_of(container: av.container.InputContainer) -> float:
    """Return the time at which a file begins, in seconds of its own clock."""
    return (container.start_time or 0) / 1_000_000


def measured(container: av.container.InputContainer, *, whole: bool = False) -> dict[int, float] | None:
    """Return the ends of all pictures and sounds by the index of their stream, in seconds from the start of the file.

    The container must have been opened just now. Of a large file only the end is read, unless it is to be the
    ``whole``; None means that this was too little, as a stream has ended before. Raises TooManyPacketsError.
    """
    clocked = bool(set(_CLOCKED) & set(container.format.name.split(",")))
    clock = _Clock(start_of(container), jumps=clocked)
    streams = [*container.streams.video, *container.streams.audio]
    ends = {stream.index: _End(clock) for stream in streams}
    partly = not clocked and not whole and _go_to_the_tail(container)
    for packet in _packets(container, streams):
        ends[packet.stream_index].add(packet)
    found = {index: end.seconds for index, end in ends.items() if end.packets}
    return None if partly and len(found) < len(ends) else found


def _go_to_the_tail(container: av.container.InputContainer) -> bool:
    """Pass over most of a large file, where that is possible, and tell whether it was."""
    if container.size < _LARGE or not container.duration:
        return False
    tail = container.duration + (container.start_time or 0) - int(_TAIL * 1_000_000)
    if tail > 0:
        container.seek(tail)
    return tail > 0


def _packets(
    container: av.container.InputContainer, streams: list[av.stream.Stream]
) -> Iterator[av.packet.Packet[Any]]:
    for number, packet in enumerate(container.demux(*streams)):
        if number >= _MOST_PACKETS:
            raise TooManyPacketsError
        if packet.size or packet.pts is not None:  # a picture that is shown once more may have no bytes
            yield packet


@dataclass
class _Clock:
    """The clock of one file: where it began, and how far it has been set right. Only some formats' clocks jump."""

    start: float
    jumps: bool
    shift: float = 0.0

    def close_gap(self, step: float) -> None:
        """Take a step of ``step`` seconds from where the next packet was awaited for a gap, when it is too large."""
        if self.jumps and (step > _JUMP or step < -_BACK):
            self.shift -= step


@dataclass
class _End:
    """The end of one stream, as its packets come."""

    clock: _Clock
    seconds: float = 0.0
    packets: int = 0
    _next: float | None = None

    def add(self, packet: av.packet.Packet[Any]) -> None:
        """Take one packet into account."""
        base = float(packet.time_base or 0)
        lasts = (packet.duration or 0) * base
        self.packets += 1
        if packet.pts is None and packet.dts is None:  # of several pictures in one piece only the first has a time
            self.seconds += lasts
            return
        shown = float(packet.pts if packet.pts is not None else packet.dts or 0) * base
        decoded = float(packet.dts if packet.dts is not None else packet.pts or 0) * base
        if self._next is not None:
            self.clock.close_gap(decoded + self.clock.shift - self._next)
        self._next = decoded + self.clock.shift + lasts
        self.seconds = max(self.seconds, shown + self.clock.shift - self.clock.start + lasts)
