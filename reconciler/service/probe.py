"""What a source is: the facts about a media file that placing it needs.

Reads headers, the first picture and nothing else. What is made of a source is the business of ``render``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import ReconcilerError
from reconciler.service import lengths

if TYPE_CHECKING:
    import av.audio.stream
    import av.container
    import av.stream
    import av.video.frame
    import av.video.stream

MAX_PIXELS: Final = 8192 * 4320
"""Largest picture that is decoded; a small file can declare any size."""

MAX_SECONDS: Final = 24 * 3600
"""Longest source; a small file can declare any length, and the last picture would be held for all of it."""

_FIRST_PACKETS: Final = 10_000
"""How many are read in search of the first picture."""

STILLS: Final = ("png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe")
"""FFmpeg's names of the formats that hold one picture."""

DEMUXERS: Final = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "flv", "mpegts", "mpeg", "avi", "asf", "ogg"),
    *("gif", "apng", "webp_anim", *STILLS),
    *("mp3", "aac", "wav", "flac", "amr"),
)
"""FFmpeg's names of the formats that are read. Playlists are none of them: they make FFmpeg read other files."""

RANGES: Final = {1: "tv", 2: "pc"}
_MATRICES: Final = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020nc"}
PRIMARIES: Final = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}
TRANSFERS: Final = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


_Lasts = Callable[["av.stream.Stream"], float]
"""Tells how long a stream of the open file lasts, in seconds from the start of the file."""


class ProbeError(ReconcilerError):
    """The file is no media file that is read here, has no video stream, or its first picture cannot be decoded."""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The picture of a source.

    ``width`` and ``height`` are those of the displayed picture: rotated, with square pixels. ``coded_height`` is that
    of the stored one. ``matrix``, ``transfer``, ``primaries`` and ``range`` are FFmpeg's names, None where the file
    does not say.
    ``duration`` runs from the start of the file to the end of the last frame, in seconds; that of a ``still`` is 0, as
    it is shown for as long as the others. ``decoder`` is set when FFmpeg's own choice would lose the transparency.
    ``bitrate`` is in bits per second, 0 when no header tells it. ``frames`` is None when no header counts them.
    """

    index: int
    codec: str
    width: int
    height: int
    coded_height: int
    sar: Fraction
    rotation: int
    fps: Fraction
    duration: float
    pix_fmt: str
    matrix: str | None = None
    transfer: str | None = None
    primaries: str | None = None
    range: str | None = None
    rgb: bool = False
    alpha: bool = False
    decoder: str | None = None
    frames: int | None = None
    interlaced: bool = False
    still: bool = False
    bitrate: int = 0


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One sound of a source. ``duration`` in seconds from the start of the file, ``bitrate`` in bits per second."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    duration: float
    bitrate: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """What a source is. ``demuxer`` is the name that makes FFmpeg read it as this format and as nothing else.

    ``video`` is None for a sound. ``sounds`` are its sound tracks, the default one first.
    """

    format_name: str
    demuxer: str
    duration: float
    video: VideoTrack | None = None
    sounds: tuple[AudioTrack, ...] = ()

    @property
    def audio(self) -> AudioTrack | None:
        """The default sound track, None without sound."""
        return self.sounds[0] if self.sounds else None


def probe(path: Path) -> Probe:
    """Read what ``path`` is. Costs a few milliseconds, and 100 ms once for loading FFmpeg's libraries.

    Raises ProbeError.
    """
    with _open(path) as container:
        lasts = _lasts(path, container)
        stream = _picture(container)
        video = _video_track(container, stream, lasts) if stream else None
        sounds = _sounds(container, lasts)
        if video is None and not sounds:
            raise ProbeError("has neither a picture nor a sound")
        return Probe(
            format_name=container.format.name,
            demuxer=container.format.name.split(",")[0],
            duration=max(video.duration if video else 0.0, *(sound.duration for sound in sounds), 0.0),
            video=video,
            sounds=sounds,
        )


def _lasts(path: Path, container: av.container.InputContainer) -> _Lasts:
    """Return what tells how long a stream lasts: the headers where they can be believed, else the packets."""
    found: dict[int, float] = {}

    def lasts(stream: av.stream.Stream) -> float:
        declared = lengths.declared(container, stream) if lengths.believed(container) else None
        if declared is None:
            found.update(found or _measured(path))
            declared = found.get(stream.index, 0.0)
        return _plausible(declared)

    return lasts


def _measured(path: Path) -> dict[int, float]:
    try:
        with _open(path) as container:
            found = lengths.measured(container)
        if found is not None:
            return found
        with _open(path) as container:
            return lengths.measured(container, whole=True) or {}
    except lengths.TooManyPacketsError:
        raise ProbeError("has too many packets to find its end") from None


@contextmanager
def _open(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file for reading; whatever FFmpeg's libraries report meanwhile becomes a ProbeError."""
    import av  # here, because it loads FFmpeg's libraries: 100 ms that most commands need not spend

    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}
    try:
        with _nameless(path) as file, av.open(file, "r", options=options, metadata_errors="replace") as container:
            yield container
    except av.error.ArgumentError:  # what a format outside the whitelist comes to
        raise ProbeError(f"is not in a format that is read here ({', '.join(DEMUXERS)})") from None
    except (av.FFmpegError, OSError) as error:
        raise ProbeError(f"is not a video that can be read: {error.strerror}") from None


def _nameless(path: Path) -> FileIO:
    """Open a file as one whose name says nothing: what it is decides, not what it is called."""
    file = FileIO(path)
    file.name = "media"
    return file


def _picture(container: av.container.InputContainer) -> av.video.stream.VideoStream | None:
    """Choose the video stream that is shown; a cover picture of a sound is none."""
    from av.stream import Disposition

    shown = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not shown:
        return None
    if not any(map(_is_known, shown)):
        raise ProbeError("has a picture in a coding that is not known here")
    best = container.streams.best("video")
    known = list(filter(_is_known, shown))
    return next((stream for stream in known if stream == best), known[0])


def _video_track(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, lasts: _Lasts
) -> VideoTrack:
    frame = _first_frame(container, stream)
    codec = stream.codec_context.name
    decoder = _ALPHA_DECODERS.get(codec) if stream.metadata.get("alpha_mode") == "1" else None
    width, height = _display_size(frame, stream)
    still = container.format.name in STILLS
    return VideoTrack(
        index=stream.index,
        codec=codec,
        width=width,
        height=height,
        coded_height=frame.height,
        sar=stream.sample_aspect_ratio or Fraction(1),
        rotation=frame.rotation,
        fps=_rate(stream),
        duration=0.0 if still else lasts(stream),
        pix_fmt=frame.format.name,
        matrix=_MATRICES.get(frame.colorspace),
        transfer=TRANSFERS.get(stream.codec_context.color_trc),
        primaries=PRIMARIES.get(stream.codec_context.color_primaries),
        range=RANGES.get(frame.color_range),
        rgb=frame.format.is_rgb or frame.format.has_palette,
        alpha=bool(decoder) or frame.format.has_palette or any(c.is_alpha for c in frame.format.components),
        decoder=decoder,
        frames=stream.frames or None,
        interlaced=bool(frame.interlaced_frame),
        still=still,
        bitrate=stream.bit_rate or 0,
    )


def _display_size(frame: av.video.frame.VideoFrame, stream: av.video.stream.VideoStream) -> tuple[int, int]:
    width = max(1, round(frame.width * (stream.sample_aspect_ratio or 1)))
    if width * frame.height > MAX_PIXELS:
        raise ProbeError(f"declares pictures of {width}×{frame.height}, more than is decoded")
    return (frame.height, width) if abs(frame.rotation) in (90, 270) else (width, frame.height)


def _first_frame(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> av.video.frame.VideoFrame:
    """Decode one picture: only a decoded frame says how it is rotated and what its samples mean."""
    if stream.width * stream.height > MAX_PIXELS:
        raise ProbeError(f"declares pictures of {stream.width}×{stream.height}, more than is decoded")
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    for packet in islice(container.demux(stream), _FIRST_PACKETS):
        for frame in packet.decode():
            return frame
    raise ProbeError("has a video stream without a picture")


def _sounds(container: av.container.InputContainer, lasts: _Lasts) -> tuple[AudioTrack, ...]:
    """Return the sound tracks, the default one first."""
    best = container.streams.best("audio")
    streams = sorted(container.streams.audio, key=lambda stream: stream != best)
    return tuple(
        AudioTrack(
            index=stream.index,
            codec=stream.codec_context.name,
            sample_rate=stream.sample_rate,
            channels=stream.codec_context.channels,
            duration=lasts(stream),
            bitrate=stream.bit_rate or 0,
        )
        for stream in streams
        if _is_known(stream) and stream.sample_rate
    )


def _is_known(stream: av.stream.Stream) -> bool:
    """Tell whether anybody here can decode a stream; PyAV has no context for what nobody can."""
    context: object = stream.codec_context
    return context is not None


def _rate(stream: av.video.stream.VideoStream) -> Fraction:
    """Return the frame rate: the nominal one where the average confirms it, else the average of an uneven stream."""
    average, nominal = stream.average_rate, stream.guessed_rate
    if average and nominal and abs(nominal / average - 1) < Fraction(1, 50):
        average = nominal
    rate = average or nominal or Fraction(25)
    return max(rate.limit_denominator(1001), Fraction(1, 1001))


def _plausible(seconds: float) -> float:
    """Return a length that a source can have. Raises ProbeError for one beyond ``MAX_SECONDS``."""
    if seconds > MAX_SECONDS:
        raise ProbeError(f"declares a length of {seconds:g} s, more than is rendered ({MAX_SECONDS} s)")
    return max(seconds, 0.0)
