"""From one job to what its result will be: what is seen and heard of which file, where, when, how long, at which rate.

Pure: no I/O, no clock, and the same job always gives the same composition. How it is said to FFmpeg is in ``command``.

Source: reference/video-synthesis.md §2.3 to §2.6 and §4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from reconciler.api.messages import Operation, SpliceInfo
from reconciler.api.transcode import AudioMix, TimeInterval, Transcode, Video
from reconciler.service.probe import Probe, VideoTrack
from reconciler.service.render import sound
from reconciler.service.render.checks import checked
from reconciler.service.render.failure import INVALID_ARGUMENT, INVALID_SOURCE, RenderFailed
from reconciler.service.render.marks import Mark, placed
from reconciler.service.render.picture import Layer, Rect, Span, is_hdr
from reconciler.service.render.sound import Heard, Music
from reconciler.service.render.unsupported import cropped, with_defaults

_FASTEST: Final = Fraction(60)
_JITTER: Final = 0.05
"""The part of a frame by which a time may miss a frame's start: containers round times, to milliseconds at worst."""

_TRAILING_SOUND: Final = 0.1
"""Seconds by which a sound may outlast its picture without making the video longer: encoders pad their last block."""

_DEFAULT_RATE: Final = Fraction(25)
_INDEXED: Final = ("mov", "matroska")
"""Formats with an index, in which FFmpeg finds a moment without reading what comes before it."""

_WORTH_SEEKING: Final = 10.0
"""Seconds: what begins earlier is decoded from the start."""

_RUN_UP: Final = 2.0
"""Seconds decoded before the first frame that is kept, so that what is shown there is there."""


@dataclass(frozen=True, slots=True)
class File:
    """One file that FFmpeg opens.

    ``url`` is that of the job, or "" for the picture of a text, whose watermark has the number ``lettering``. It is
    read from ``start`` seconds on, and again and again when ``repeated``.
    """

    url: str
    probe: Probe
    lettering: int | None = None
    start: float = 0.0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Composition:
    """What a job's result will be.

    ``width`` and ``height`` are those of the result, ``transcode`` are the parameters that act. Layers, sounds, music
    and marks refer to ``files`` by their position. ``tracks`` are the sound tracks of the result, each made of what
    is heard of the sources; ``music`` is mixed into every one. ``notes`` say what was done to sources that a person
    may not expect.
    """

    transcode: Transcode
    width: int
    height: int
    canvas: Rect
    span: Span
    files: tuple[File, ...]
    layers: tuple[Layer, ...]
    tracks: tuple[tuple[Heard, ...], ...]
    music: tuple[Music, ...]
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()

    @property
    def video(self) -> Video:
        """The parameters of the picture."""
        assert self.transcode.video is not None
        return self.transcode.video

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
        return bool(self.tracks)


def compose(
    operation: Operation, probes: Mapping[str, Probe], letterings: Mapping[int, Probe] | None = None
) -> Composition:
    """Work out what the job's result will be.

    ``probes`` says what every file that the operation names is, by url; ``letterings`` what the pictures of its texts
    are, by the number of the watermark. The operation must be one of which ``unsupported`` finds nothing. Raises
    RenderFailed.
    """
    operation = with_defaults(operation)
    transcode, video = _parameters(operation)
    sources = operation.video_synthesis.splice_info
    tracks = _pictures(sources, probes)
    canvas = Rect(0, 0, video.width or 0, video.height or 0)
    rects = [_rect(source, track) for source, track in zip(sources, tracks, strict=True)]
    visible = [rect.intersection(canvas) for rect in rects]
    listed = sound.listed(operation)
    kept = list(dict.fromkeys(source.url for source in sources)) if sound.keeps_sources(operation, listed) else []
    seen = [source for source, part in zip(sources, visible, strict=True) if part]
    urls = [source.url for source in sources if source in seen or (source.url in kept and probes[source.url].sounds)]
    files = [File(url, probes[url]) for url in dict.fromkeys(urls)]
    number = {file.url: index for index, file in enumerate(files)}
    transcode = checked(transcode, [probes[source.url] for source in sources], [probes[url] for url in kept])
    span = _span(transcode, [probes[source.url] for source in sources], _lengths(kept, listed, probes))
    skipped, files = _sought(span, files, kept)
    music = sound.music(listed, probes, first=len(files))
    files += [File(each.source, probes[each.source], repeated=each.repeated) for each in music]
    marks, pictures = _marks(operation, probes, letterings or {}, canvas, first=len(files))
    assert transcode.video is not None
    width, height = _result_size(transcode.video, canvas)
    layers = tuple(
        Layer(number[source.url], track, rect, part)
        for source, track, rect, part in zip(sources, tracks, rects, visible, strict=True)
        if part
    )
    return Composition(
        transcode,
        width,
        height,
        canvas,
        replace(span, first=span.first - skipped),
        (*files, *pictures),
        layers,
        sound.tracks(operation, [(number[url], probes[url]) for url in kept if url in number], music),
        music,
        marks,
        tuple(_notes(layers, files)),
    )


def _parameters(operation: Operation) -> tuple[Transcode, Video]:
    transcode = operation.transcode
    if transcode is None or transcode.video is None:
        raise RenderFailed(INVALID_ARGUMENT, "the size of the canvas is missing: transcode.video.width and .height")
    return transcode, transcode.video


def _pictures(sources: Sequence[SpliceInfo], probes: Mapping[str, Probe]) -> list[VideoTrack]:
    tracks = []
    for source in sources:
        track = probes[source.url].video
        if track is None:
            raise RenderFailed(INVALID_SOURCE, f"{source.url} has no video stream, so there is nothing to place")
        tracks.append(track)
    return tracks


def _rect(source: SpliceInfo, track: VideoTrack) -> Rect:
    """Place one source; a missing side is the source's own, so that one side alone stretches the picture."""
    width = track.width if source.width is None else source.width
    height = track.height if source.height is None else source.height
    return Rect(source.x or 0, source.y or 0, width, height)


def _marks(
    operation: Operation, probes: Mapping[str, Probe], letterings: Mapping[int, Probe], canvas: Rect, *, first: int
) -> tuple[tuple[Mark, ...], list[File]]:
    """Place the watermarks; each has a file of its own."""
    marks: list[Mark] = []
    files: list[File] = []
    for index, watermark in enumerate(operation.watermark or ()):
        if watermark.image is not None and watermark.type == "Image":
            file = File(watermark.image.url, probes[watermark.image.url])
        else:
            file = File("", letterings[index], lettering=index)
        if file.probe.video is None:
            raise RenderFailed(INVALID_SOURCE, f"{file.url} has no picture, so it is no watermark")
        marks.append(placed(watermark, file.probe.video, canvas, number=first + len(files)))
        files.append(file)
    return tuple(marks), files


# Time.


def _lengths(kept: Sequence[str], listed: Sequence[AudioMix], probes: Mapping[str, Probe]) -> tuple[float, float]:
    """Return how long the sources are heard, and how long the music that is played once, in seconds."""
    sounds = [track.duration for url in kept if (track := probes[url].audio)]
    once = (probes[mix.audio_source].audio for mix in listed if mix.mix_mode == sound.ONCE)
    return max(sounds, default=0.0), max((track.duration for track in once if track), default=0.0)


def _span(transcode: Transcode, probes: Sequence[Probe], sounds: tuple[float, float]) -> Span:
    """Return which frames are kept: as many as the longest source needs, cut by the time interval."""
    assert transcode.video is not None
    rate = _frame_rate(transcode.video, probes)
    interval = transcode.time_interval or TimeInterval()
    asked = float(interval.duration or 0)  # 0, as everywhere in the vendor's samples, is nothing said
    length = _length([probe.video for probe in probes if probe.video], sounds, float(interval.start or 0), asked)
    total = max(1, _frames(length, rate))
    start = float(interval.start or 0)
    if start * float(rate) >= total:
        lasts = f"the composed video lasts {float(total / rate):g} s"
        raise RenderFailed(INVALID_ARGUMENT, f"transcode.time_interval.start is {interval.start} s, but {lasts}")
    first = min(_frames(start, rate), total - 1)  # the last picture is shown until the end
    if not asked:
        return Span(rate, first, total - first)
    return Span(rate, first, min(max(1, _frames(asked, rate)), total - first))


def _length(pictures: Sequence[VideoTrack], sounds: tuple[float, float], start: float, asked: float) -> float:
    """Return the length of the composition in seconds.

    Stills have none of their own, and music ends with the pictures; where nothing moves it decides.
    """
    moving = max((track.duration for track in pictures if not track.still), default=0.0)
    heard, music = sounds
    if moving:
        return heard if heard > moving + _TRAILING_SOUND else moving
    if heard or music:
        return max(heard, music)
    if all(track.still for track in pictures) and not asked:
        advice = "write transcode.time_interval.duration"
        raise RenderFailed(INVALID_ARGUMENT, f"all sources are still pictures, so nothing says how long; {advice}")
    return start + asked


def _frames(seconds: float, rate: Fraction) -> int:
    """Return the least number of frames that covers a time."""
    return max(0, math.ceil(seconds * float(rate) - _JITTER))


def _frame_rate(video: Video, probes: Sequence[Probe]) -> Fraction:
    """Return the rate that was asked for, else the highest of the sources, at most 60 and at least 1."""
    if video.fps is not None:
        return max(Fraction(video.fps).limit_denominator(1001), Fraction(1, 1001))
    rates = [probe.video.fps for probe in probes if probe.video and not probe.video.still]
    return min(max(Fraction(1), *rates), _FASTEST) if rates else _DEFAULT_RATE


def _sought(span: Span, files: list[File], kept: Sequence[str]) -> tuple[int, list[File]]:
    """Skip what lies long before the first frame: return the frames that are skipped, and where each file begins.

    A file whose picture has ended by then begins a moment before its end, so that its last picture is held; its sound
    must have ended too, as it would be heard at the wrong time.
    """
    start = float(span.first / span.rate) - _RUN_UP
    if start < _WORTH_SEEKING or not all(file.probe.demuxer in _INDEXED or _is_still(file) for file in files):
        return 0, files
    skipped = math.floor(start * float(span.rate))
    at = float(skipped / span.rate)
    sought = []
    for file in files:
        track = file.probe.video
        assert track is not None
        ends = track.duration <= at + 2 / float(track.fps)
        if ends and not track.still and file.url in kept and any(each.duration > at for each in file.probe.sounds):
            return 0, files
        begins = max(0.0, track.duration - _RUN_UP / 2) if ends else at
        sought.append(replace(file, start=0.0 if track.still else begins))
    return skipped, sought


def _is_still(file: File) -> bool:
    return file.probe.video is not None and file.probe.video.still


# What follows the composition.


def _result_size(video: Video, canvas: Rect) -> tuple[int, int]:
    crop = cropped(video)
    width, height = crop[:2] if crop else (canvas.width, canvas.height)
    return (height, width) if video.rotate in (90, 270) else (width, height)


def _notes(layers: Sequence[Layer], files: Sequence[File]) -> Iterator[str]:
    """Say which sources were changed in a way that a person may want to know about, each once."""
    for index, track in dict.fromkeys((layer.input, layer.track) for layer in layers):
        if is_hdr(track):
            yield f"{files[index].url} is HDR ({track.transfer}) and was converted to BT.709"
        if track.interlaced:
            yield f"{files[index].url} is interlaced and was deinterlaced"
