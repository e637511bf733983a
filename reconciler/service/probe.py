"""What a media file is: the facts about a source that placing it needs, and the MediaInfo of a finished output.

Reads headers, the first picture and nothing else. What is made of a source is the business of ``render``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.api.media import AudioStream, Format, MediaInfo, Stream, SubtitleStream, VideoStream
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

_UNKNOWN: Final = "unknown"
_RANGES: Final = {1: "tv", 2: "pc"}
_MATRICES: Final = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020nc"}
_PRIMARIES: Final = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}
_TRANSFERS: Final = {
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
_FIELD_ORDERS: Final = {0: _UNKNOWN, 1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_CLOCK: Final = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
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
            return lengths.measured(container)
    except lengths.TooManyPacketsError:
        raise ProbeError("has too many packets to find its end") from None


def media_info(path: Path) -> MediaInfo:
    """Return the MediaInfo of an output: every node that the file's headers answer.

    RefFrames is not among them, and Rotation is 0 because ``render`` writes none. Raises ProbeError when the file
    cannot be read.
    """
    with _open(path) as container:
        return described(container)


def described(container: av.container.InputContainer) -> MediaInfo:
    """Return the MediaInfo of an open file."""
    streams = container.streams
    return MediaInfo(
        format=_format_info(container),
        stream=Stream(
            video=tuple(_video_info(s) for s in streams.video) or None,
            audio=tuple(_audio_info(s) for s in streams.audio) or None,
            subtitle=tuple(SubtitleStream(index=s.index, language=s.language or "und") for s in streams.subtitles)
            or None,
        ),
    )


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
    best = container.streams.best("video")
    return next((stream for stream in shown if stream == best), shown[0])


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
        transfer=_TRANSFERS.get(stream.codec_context.color_trc),
        primaries=_PRIMARIES.get(stream.codec_context.color_primaries),
        range=_RANGES.get(frame.color_range),
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
        if stream.sample_rate
    )


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


def _format_info(container: av.container.InputContainer) -> Format:
    return Format(
        num_stream=len(container.streams),
        num_program=0,
        format_name=container.format.name,
        format_long_name=container.format.long_name,
        start_time=six(lengths.start_of(container)),
        duration=six(container.duration / 1_000_000) if container.duration else None,
        bitrate=_kbps(container.bit_rate),
        size=container.size,
    )


def _video_info(stream: av.video.stream.VideoStream) -> VideoStream:
    codec = stream.codec_context
    sar, dar = stream.sample_aspect_ratio, stream.display_aspect_ratio
    return VideoStream(
        **_common_info(stream),
        color_primaries=_PRIMARIES.get(codec.color_primaries, _UNKNOWN),
        color_range=_RANGES.get(codec.color_range, _UNKNOWN),
        color_transfer=_TRANSFERS.get(codec.color_trc, _UNKNOWN),
        profile=codec.profile,
        width=codec.width,
        height=codec.height,
        has_b_frame=codec.reorder_depth,
        sar=_ratio(sar) if sar else None,
        dar=_ratio(dar) if dar else None,
        pix_format=codec.pix_fmt,
        field_order=_FIELD_ORDERS.get(codec.field_order, _UNKNOWN),
        level=codec.level,
        fps=six(stream.guessed_rate or 0),
        avg_fps=_fraction(stream.average_rate or Fraction(0)),
        num_frames=stream.frames or None,
        rotation=six(0),
    )


def _audio_info(stream: av.audio.stream.AudioStream) -> AudioStream:
    codec = stream.codec_context
    return AudioStream(
        **_common_info(stream),
        sample_fmt=codec.format.name,
        sample_rate=codec.sample_rate,
        channel=codec.channels,
        channel_layout=codec.layout.name,
    )


def _common_info(stream: av.video.stream.VideoStream | av.audio.stream.AudioStream) -> dict[str, object]:
    """Return the nodes that a video and an audio stream share."""
    tag = _tag(stream)
    base = stream.time_base or Fraction(0)
    return {
        "index": stream.index,
        "codec_name": stream.codec_context.codec.canonical_name,
        "codec_long_name": stream.codec_context.codec.long_name,
        "codec_time_base": _fraction(base),
        "codec_tag_string": tag.decode("ascii") if tag.isascii() and tag.strip(b"\0").isalnum() else "",
        "codec_tag": f"0x{int.from_bytes(tag, 'little'):04x}",
        "timebase": _fraction(base),
        "start_time": six((stream.start_time or 0) * base),
        "duration": six(stream.duration * base) if stream.duration else None,
        "bitrate": _kbps(stream.bit_rate),
        "language": stream.language or "und",
    }


def _tag(stream: av.stream.Stream) -> bytes:
    """Return the four bytes by which the container calls the codec; not all of them are letters."""
    try:
        return stream.codec_context.codec_tag.encode("latin-1", "replace")
    except UnicodeDecodeError as error:
        return bytes(error.object)


def six(value: float | Fraction) -> Decimal:
    """Write a number as the API does: six decimals."""
    exact = Fraction(value)
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.000001"))


def _kbps(bits: int | None) -> Decimal | None:
    return six(Fraction(bits, 1000)) if bits else None


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
