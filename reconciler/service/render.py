"""From one job to one FFmpeg command: what is visible, how long, at which rate, and the argument list that makes it.

Pure: no I/O, no clock, and the same job always gives the same list. Running it is the business of ``ffmpeg``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from reconciler.api.messages import Operation, SpliceInfo
from reconciler.api.transcode import Audio, TimeInterval, Transcode, Video
from reconciler.errors import ReconcilerError
from reconciler.service import graph
from reconciler.service.graph import Layer, Rect, Span
from reconciler.service.probe import MAX_PIXELS, AudioTrack, Probe
from reconciler.service.unsupported import (
    Refusal,
    audio_codec,
    cropped,
    pixel_format,
    unsupported,
    video_codec,
)

__all__ = ["Refusal", "Render", "RenderFailed", "argv", "plan_render", "unsupported"]

_FASTEST: Final = Fraction(60)
_JITTER: Final = 0.05
"""The part of a frame by which a time may miss a frame's start: containers round times, to milliseconds at worst."""

_TRAILING_SOUND: Final = 0.1
"""Seconds by which a sound may outlast its picture without making the video longer: encoders pad their last block."""

_HDR: Final = frozenset({"smpte2084", "arib-std-b67"})
_DEFAULT_CRF: Final = "25"
_REPRODUCIBLE: Final = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
_NO_METADATA: Final = ("-map_metadata", "-1", "-map_chapters", "-1")


class RenderFailed(ReconcilerError):  # noqa: N818 - it is the outcome of a job, told to the client as its Failed state
    """A job that cannot be rendered, or was not.

    ``code`` is the job's error code: InvalidArgument, InvalidSource, Timeout or InternalError.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Render:
    """What a job's result will be, and what of its sources goes into it.

    ``width`` and ``height`` are those of the result, ``frames`` is their exact number. ``files`` are the positions in
    ``splice_info`` of the files that FFmpeg opens, in its order; ``layers`` and ``sounds`` refer to that order.
    """

    width: int
    height: int
    canvas: Rect
    span: Span
    files: tuple[int, ...]
    layers: tuple[Layer, ...]
    sounds: tuple[tuple[int, AudioTrack], ...]

    @property
    def fps(self) -> Fraction:
        """Frames per second, exactly."""
        return self.span.rate

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.span.frames

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.frames / self.fps)

    @property
    def has_audio(self) -> bool:
        """Whether there is a sound stream."""
        return bool(self.sounds)


def plan_render(operation: Operation, probes: Sequence[Probe]) -> Render:
    """Work out what the job's result will be. ``probes`` are those of the sources, in the order of ``splice_info``.

    The operation must be one of which ``unsupported`` finds nothing. Raises RenderFailed.
    """
    transcode, video = _parameters(operation)
    sources = operation.video_synthesis.splice_info
    canvas = Rect(0, 0, video.width or 0, video.height or 0)
    audible = bool(operation.video_synthesis.keep_audio_track) and _is_kept(transcode.audio)
    rects = [_rect(source, probe) for source, probe in zip(sources, probes, strict=True)]
    visible = [rect.intersection(canvas) for rect in rects]
    needed = [position for position, probe in enumerate(probes) if visible[position] or (audible and probe.audio)]
    files = _first_of_each(sources, needed)
    number = {sources[position].url: index for index, position in enumerate(files)}
    layers = tuple(
        Layer(number[sources[position].url], probe.video, rects[position], part)
        for position, probe in enumerate(probes)
        if (part := visible[position])
    )
    _refuse_hdr(layers, sources, files)
    tracks = ((index, probes[position].audio) for index, position in enumerate(files)) if audible else ()
    sounds = tuple((index, track) for index, track in tracks if track)
    span = _span(video, transcode.time_interval, probes, audible=audible)
    width, height = _result_size(video, canvas)
    return Render(width, height, canvas, span, files, layers, sounds)


def argv(
    operation: Operation, probes: Sequence[Probe], *, ffmpeg: str, inputs: Sequence[Path], output: Path, threads: int
) -> list[str]:
    """Return the whole command, program first.

    ``inputs`` are the sources' files in the order of ``splice_info``; all paths are absolute. ``threads`` belongs to
    the result: another number gives other bytes. Raises RenderFailed.
    """
    render = plan_render(operation, probes)
    transcode, video = _parameters(operation)
    audio = transcode.audio or Audio()
    pixels = pixel_format(video)
    chains = graph.picture(render.layers, render.canvas, render.span, pixels, _finish(video))
    if render.has_audio:
        chains += graph.sound(render.sounds, audio.samplerate or 44100, audio.channels or 2, render.span)
    command = [ffmpeg, *_quiet(), "-filter_complex_threads", str(threads)]
    for position in render.files:
        command += _input(probes[position], inputs[position], threads)
    command += ["-filter_complex", ";".join(chains), "-map", graph.PICTURE]
    command += ["-map", graph.SOUND, *_audio_encoder(audio)] if render.has_audio else ["-an"]
    command += ["-frames:v", str(render.frames), "-fps_mode", "cfr", "-r", graph.rate_text(render.fps)]
    command += _video_encoder(video, threads)
    return [*command, *_NO_METADATA, *_REPRODUCIBLE, "-movflags", "+faststart", "-f", "mp4", f"file:{output}"]


def _parameters(operation: Operation) -> tuple[Transcode, Video]:
    transcode = operation.transcode
    if transcode is None or transcode.video is None:
        raise RenderFailed("InvalidArgument", "the size of the canvas is missing: transcode.video.width and .height")
    return transcode, transcode.video


def _is_kept(audio: Audio | None) -> bool:
    return audio is not None and not audio.remove


def _rect(source: SpliceInfo, probe: Probe) -> Rect:
    """Place one source; a missing side is the source's own, so that one side alone stretches the picture."""
    width = probe.video.width if source.width is None else source.width
    height = probe.video.height if source.height is None else source.height
    return Rect(source.x or 0, source.y or 0, width, height)


def _first_of_each(sources: Sequence[SpliceInfo], needed: Sequence[int]) -> tuple[int, ...]:
    """Return the positions of the files to open: each file once, however often it is placed."""
    first: dict[str, int] = {}
    for position in needed:
        first.setdefault(sources[position].url, position)
    return tuple(first.values())


def _refuse_hdr(layers: Sequence[Layer], sources: Sequence[SpliceInfo], files: Sequence[int]) -> None:
    for layer in layers:
        if layer.track.transfer in _HDR:
            url = sources[files[layer.input]].url
            raise RenderFailed("InvalidSource", f"{url} is HDR ({layer.track.transfer}); HDR is not converted here")


def _span(video: Video, interval: TimeInterval | None, probes: Sequence[Probe], *, audible: bool) -> Span:
    """Return which frames are kept: as many as the longest source needs, cut by the time interval."""
    rate = _frame_rate(video, probes)
    length = max(_source_length(probe, audible=audible) for probe in probes)
    total = max(1, _frames(length, rate))
    first = _frames(float(interval.start or 0), rate) if interval else 0
    if interval and first >= total:
        lasts = f"the composed video lasts {float(total / rate):g} s"
        raise RenderFailed("InvalidArgument", f"transcode.time_interval.start is {interval.start} s, but {lasts}")
    if interval is None or not interval.duration:  # 0, as everywhere in the vendor's samples, is nothing said
        return Span(rate, first, total - first)
    return Span(rate, first, min(max(1, _frames(float(interval.duration), rate)), total - first))


def _frames(seconds: float, rate: Fraction) -> int:
    """Return the least number of frames that covers a time."""
    return max(0, math.ceil(seconds * float(rate) - _JITTER))


def _source_length(probe: Probe, *, audible: bool) -> float:
    picture = probe.video.duration
    if audible and probe.audio and probe.audio.duration > picture + _TRAILING_SOUND:
        return probe.audio.duration
    return picture


def _frame_rate(video: Video, probes: Sequence[Probe]) -> Fraction:
    """Return the rate that was asked for, else the highest of the sources, at most 60 and at least 1."""
    if video.fps is not None:
        return max(Fraction(video.fps).limit_denominator(1001), Fraction(1, 1001))
    return min(max(Fraction(1), *(probe.video.fps for probe in probes)), _FASTEST)


def _result_size(video: Video, canvas: Rect) -> tuple[int, int]:
    crop = cropped(video)
    width, height = crop[:2] if crop else (canvas.width, canvas.height)
    return (height, width) if video.rotate in (90, 270) else (width, height)


def _finish(video: Video) -> list[str]:
    """Return the filters that act on the composed picture: the crop, then the rotation, clockwise."""
    filters = []
    if crop := cropped(video):
        filters.append("crop={}:{}:{}:{}:exact=1".format(*crop))
    turns = {90: ["transpose=clock"], 180: ["hflip", "vflip"], 270: ["transpose=cclock"]}
    if video.rotate in turns:
        filters += turns[int(video.rotate)]
    elif video.rotate:  # the size stays, so corners are lost and the rest is black
        filters.append(f"rotate={math.radians(video.rotate):.9f}:fillcolor=black")
    return filters


def _quiet() -> list[str]:
    """Return the options of every run: nothing interactive, errors only, exact progress on standard output."""
    reports = ["-progress", "pipe:1", "-stats_period", "0.2"]
    return [
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-v",
        "error",
        "-xerror",
        "-y",
        *reports,
        "-max_alloc",
        "1073741824",
    ]


def _input(probe: Probe, path: Path, threads: int) -> list[str]:
    """Return one input: read as the format that it was found to be, from this file and from no other."""
    options = ["-protocol_whitelist", "file", "-format_whitelist", probe.demuxer, "-f", probe.demuxer]
    if probe.demuxer == "mov":
        options += ["-enable_drefs", "0", "-use_absolute_path", "0"]
    if probe.video.decoder:
        options += ["-c:v", probe.video.decoder]
    return [*options, "-max_pixels", str(MAX_PIXELS), "-threads", str(threads), "-i", f"file:{path}"]


def _video_encoder(video: Video, threads: int) -> list[str]:
    pixels = pixel_format(video)
    preset = ["-preset", video.preset or "medium"]
    shared = [*preset, *_rate_control(video), "-threads", str(threads), "-pix_fmt", pixels]
    if video.gop:
        shared += ["-g", str(video.gop)]
    if video_codec(video) == "H265":
        params = f"log-level=error:pools={threads}:frame-threads={threads}"
        return ["-c:v", "libx265", *shared, "-x265-params", params, "-tag:v", "hvc1"]
    profile = video.profile or "high"
    if video.pixfmt == "auto" or "420" not in pixels:
        profile = "auto"
    return ["-c:v", "libx264", *shared, *([] if profile == "auto" else ["-profile:v", profile])]


def _rate_control(video: Video) -> list[str]:
    """Return quality or bitrate: crf beats bitrate, and is 25 when neither was asked for or bitrate is ``auto``."""
    bitrate = video.bitrate if isinstance(video.bitrate, int) and video.crf is None else None
    options = ["-b:v", f"{bitrate}k"] if bitrate else ["-crf", f"{video.crf:f}" if video.crf else _DEFAULT_CRF]
    peak = video.maxrate or (bitrate if video.bufsize else None)
    if peak:  # the encoders take a peak and its buffer only together
        options += ["-maxrate", f"{peak}k", "-bufsize", f"{video.bufsize or 2 * peak}k"]
    return options


def _audio_encoder(audio: Audio) -> list[str]:
    """Return how the sound is encoded; rate and channels are set in the graph and repeated for whoever reads this."""
    encoder = "libmp3lame" if audio_codec(audio) == "mp3" else "aac"
    options = ["-c:a", encoder, "-ar", str(audio.samplerate or 44100), "-ac", str(audio.channels or 2)]
    if audio.bitrate:
        options += ["-b:a", f"{audio.bitrate}k"]
    if audio.sample_format:
        options += ["-sample_fmt", audio.sample_format]
    return options
