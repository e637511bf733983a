"""Sources as the probe describes them, and what a job becomes with them: as values, without any file."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from reconciler.api.messages import Operation
from reconciler.api.watermark import Watermark
from reconciler.service.probe import AudioTrack, Probe, VideoTrack
from reconciler.service.render import Composition, argv, compose
from reconciler.service.urls import urls_of


def source(
    width: int = 128,
    height: int = 96,
    *,
    fps: Fraction | int = 25,
    seconds: float = 2.0,
    sound: float | tuple[float, ...] = 0,
    kbps: int = 0,
    demuxer: str = "mov",
    **track: Any,
) -> Probe:
    """A film; ``sound`` is the length in seconds of its sound, or of each of them, at ``kbps``."""
    described: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "width": width,
        "height": height,
        "coded_height": height,
        "sar": Fraction(1),
        "rotation": 0,
        "fps": Fraction(fps),
        "duration": seconds,
        "pix_fmt": "yuv420p",
    }
    lengths = sound if isinstance(sound, tuple) else (sound,) if sound else ()
    sounds = _sounds(lengths, 1, kbps)
    return Probe(demuxer, demuxer, max(seconds, *lengths, 0), VideoTrack(**described | track), sounds)


def still(width: int = 128, height: int = 96, **track: Any) -> Probe:
    """A picture that does not move."""
    described: dict[str, Any] = {"codec": "png", "pix_fmt": "rgb24", "rgb": True, "still": True, "demuxer": "png_pipe"}
    return source(width, height, seconds=0.0, **described | track)


def song(seconds: float = 2.0, *, kbps: int = 0) -> Probe:
    """A sound without a picture."""
    return Probe("mp3", "mp3", seconds, None, _sounds((seconds,), 0, kbps))


def _sounds(lengths: tuple[float, ...], first: int, kbps: int) -> tuple[AudioTrack, ...]:
    return tuple(
        AudioTrack(first + number, "aac", sample_rate=48000, channels=2, duration=length, bitrate=kbps * 1000)
        for number, length in enumerate(lengths)
    )


def marked(operation: Operation, *marks: dict[str, Any]) -> Operation:
    """The operation with watermarks."""
    return operation.model_copy(update={"watermark": tuple(Watermark.model_validate(mark) for mark in marks)})


def composed(operation: Operation, *probes: Probe, letterings: Mapping[int, Probe] | None = None) -> Composition:
    """The composition of a job whose files are these, in the order in which it names them."""
    return compose(operation, dict(zip(urls_of(operation), probes, strict=True)), letterings)


def command(operation: Operation, *probes: Probe, letterings: Mapping[int, Probe] | None = None) -> list[str]:
    """The command of a job; its files are called /in/0.mp4 and so on."""
    composition = composed(operation, *probes, letterings=letterings)
    inputs = [Path(f"/in/{number}.mp4") for number in range(len(composition.files))]
    return argv(composition, ffmpeg="ffmpeg", inputs=inputs, name="made", threads=2)


def graph(operation: Operation, *probes: Probe, letterings: Mapping[int, Probe] | None = None) -> list[str]:
    """The chains of a job's filter graph."""
    found = option(command(operation, *probes, letterings=letterings), "-filter_complex")
    assert found is not None
    return found.split(";")


def option(arguments: list[str], name: str) -> str | None:
    """What an option is given, None where it is absent."""
    return arguments[arguments.index(name) + 1] if name in arguments else None
