"""The FFmpeg command that makes a composition. Pure; running it is the business of ``process``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from reconciler.api.transcode import Audio, ColorParam, Video
from reconciler.service.probe import MAX_PIXELS
from reconciler.service.render import containers, encoders, marks, picture, sound
from reconciler.service.render.composition import Composition, File
from reconciler.service.render.picture import Colors, Span
from reconciler.service.render.unsupported import cropped, pixel_format, samplerate, video_codec

_ALLOCATION: Final = 1 << 30
"""Bytes of the largest piece of memory that FFmpeg may ask for: a 4096×4096 picture of 16 bits takes a tenth."""

_JITTER: Final = 0.01
_LONGEST_GOP: Final = 100_000
"""Frames, as the API has it."""

_MANY: Final = 3
"""From this number of sources on each has one decoding thread: they run side by side, and every thread keeps frames."""


def argv(composition: Composition, *, ffmpeg: str, inputs: Sequence[Path], name: str, threads: int) -> list[str]:
    """Return the whole command, program first, to be started in the folder of the result.

    ``inputs`` are the paths, absolute, of the composition's files. The result is called ``name`` with the suffix of its
    container, and so are its segments with what follows a ``-``. ``threads`` belongs to the result: another number
    gives other bytes.
    """
    video, audio = composition.video, composition.transcode.audio or Audio()
    command = [ffmpeg, *_quiet(), "-filter_complex_threads", str(threads)]
    decoding = 1 if len({layer.input for layer in composition.layers}) >= _MANY else threads
    for file, path in zip(composition.files, inputs, strict=True):
        command += _input(file, path, decoding)
    command += ["-filter_complex", ";".join(graph(composition)), "-map", picture.PICTURE]
    for number in range(len(composition.tracks)):
        command += ["-map", sound.label(number)]
    command += encoders.audio_options(audio) if composition.has_audio else ["-an"]
    command += ["-frames:v", str(composition.frames), "-fps_mode", "cfr", "-r", picture.rate_text(composition.fps)]
    command += [*_key_frames(composition), *encoders.video_options(video, threads, gop=_gop(composition))]
    sourced = len(composition.files) > len(composition.music) + len(composition.marks)
    return [*command, *containers.container_options(composition.transcode, name, sourced=sourced)]


def graph(composition: Composition) -> list[str]:
    """Return the chains of the filter graph."""
    video, audio = composition.video, composition.transcode.audio or Audio()
    span = _fields(composition.span) if video.interlaced else composition.span
    pixels = pixel_format(video)
    exact = all(map(marks.exact, composition.marks))
    samples = picture.composition_format(composition.layers, pixels, exact=exact)
    behind = [mark for mark in composition.marks if mark.background]
    above = [mark for mark in composition.marks if not mark.background]
    begins = float(span.first / span.rate)
    backgrounds, ground = marks.painted(behind, "[black]", samples, "ground", begins=begins)
    chains, base = picture.composed(composition.layers, backgrounds, ground, composition.canvas, span, samples)
    filters = picture.cut(span)
    if above:
        chains.append(base + ",".join(filters) + "[cut]")
        painted, base = marks.painted(above, "[cut]", samples, "mark")
        chains, filters = chains + painted, []
    colors = _colors(video, pixels)
    chains.append(
        base + ",".join([*filters, *_finish(video), *picture.converted(samples, pixels, colors)]) + picture.PICTURE
    )
    rate = samplerate(audio)
    return chains + sound.chains(composition.tracks, composition.music, audio, rate, composition.span)


def _fields(span: Span) -> Span:
    """Return the span of an interlaced result, which is composed at the rate of its fields."""
    return replace(span, rate=2 * span.rate, first=2 * span.first, frames=2 * span.frames)


def _finish(video: Video) -> list[str]:
    """Return the filters that act on the composed picture: the crop, then the rotation, clockwise, then the fields."""
    filters = []
    if crop := cropped(video):
        filters.append("crop={}:{}:{}:{}:exact=1".format(*crop))
    turns = {90: ["transpose=clock"], 180: ["hflip", "vflip"], 270: ["transpose=cclock"]}
    if video.rotate in turns:
        filters += turns[int(video.rotate)]
    elif video.rotate:  # the size stays, so corners are lost and the rest is black
        filters.append(f"rotate={math.radians(video.rotate):.9f}:fillcolor=black")
    return [*filters, "interlace=scan=tff:lowpass=off"] if video.interlaced else filters


def _colors(video: Video, pixels: str) -> Colors:
    """Return what the samples of the result mean: BT.709 unless asked otherwise, but VP8 knows only BT.601."""
    asked = video.color_param or ColorParam()
    return Colors(
        "pc" if pixels.startswith("yuvj") or asked.color_range in ("pc", "full", "jpeg") else "tv",
        asked.color_space or ("bt470bg" if video_codec(video) == "VP8" else "bt709"),
        asked.color_trc or "bt709",
        asked.color_primaries or "bt709",
    )


def _gop(composition: Composition) -> int | None:
    """Return the number of frames from one key frame to the next: a segment begins with one."""
    return composition.video.gop or _segment_frames(composition)


def _segment_frames(composition: Composition) -> int | None:
    """Return the least number of frames that fills a segment; None where there are none."""
    seconds = containers.segment_seconds(composition.transcode)
    if seconds is None:
        return None
    return min(max(1, math.ceil(seconds * float(composition.fps) - _JITTER)), _LONGEST_GOP)


def _key_frames(composition: Composition) -> list[str]:
    """Force a key frame where a segment begins: counted, as FFmpeg measures each segment from its own beginning."""
    frames = _segment_frames(composition)
    return [] if frames is None else ["-force_key_frames", f"expr:not(mod(n,{frames}))"]


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
        str(_ALLOCATION),
    ]


def _input(file: File, path: Path, threads: int) -> list[str]:
    """Return one input: read as the format that it was found to be, from this file and from no other."""
    probe = file.probe
    options = ["-protocol_whitelist", "file", "-format_whitelist", probe.demuxer, "-f", probe.demuxer]
    if probe.demuxer == "mov":
        options += ["-enable_drefs", "0", "-use_absolute_path", "0"]
    if probe.video is not None:
        options += ["-c:v", probe.video.decoder] if probe.video.decoder else []
        options += ["-max_pixels", str(MAX_PIXELS), "-reinit_filter", "0"]  # a size that changes is scaled, no more
    if file.repeated:
        options += ["-stream_loop", "-1"]
    if file.start:
        options += ["-ss", f"{file.start:.6f}"]
    return [*options, "-threads", str(threads), "-i", f"file:{path}"]
