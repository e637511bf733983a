"""An open file as the API tells it: ``MediaInfo``, every node of it that the headers answer.

Source: reference/video-synthesis.md §3.5.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from reconciler.api.media import AudioStream, Format, MediaInfo, Stream, SubtitleStream, VideoStream
from reconciler.service import lengths
from reconciler.service.probe import PRIMARIES, RANGES, TRANSFERS

if TYPE_CHECKING:
    import av.audio.stream
    import av.container
    import av.stream
    import av.video.stream

_UNKNOWN: Final = "unknown"
_FIELD_ORDERS: Final = {0: _UNKNOWN, 1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}


def described(container: av.container.InputContainer) -> MediaInfo:
    """Return the MediaInfo of an open file.

    RefFrames is not among its nodes, and Rotation is 0 because ``render`` writes none.
    """
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
        color_primaries=PRIMARIES.get(codec.color_primaries, _UNKNOWN),
        color_range=RANGES.get(codec.color_range, _UNKNOWN),
        color_transfer=TRANSFERS.get(codec.color_trc, _UNKNOWN),
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
