"""Small films made with FFmpeg, jobs that compose them, and what can be seen and heard in the result."""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import av

from reconciler.api.messages import Operation
from reconciler.service import studio
from reconciler.service.ffmpeg import locate
from reconciler.service.rendering import Bounds, Rendered, Work, Workshop
from reconciler.service.studio import Studio

FFMPEG: Final = locate(os.environ)
SAMPLE: Final = Path(__file__).parents[2] / "reconciler" / "samples" / "big-buck-bunny.mp4"

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)

Colour = tuple[int, int, int]


def run(*arguments: str) -> None:
    """Run FFmpeg by hand."""
    subprocess.run([FFMPEG.path, "-v", "error", "-nostdin", "-y", *arguments], check=True)


@dataclass
class Films:
    """Films by what they show, each made once, in one folder."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def film(
        self,
        colour: str = "red",
        size: str = "128x128",
        *,
        rate: str = "25",
        seconds: float = 0.4,
        tone: int | None = None,
        suffix: str = "mp4",
        filters: str = "null",
        options: Sequence[str] = (),
    ) -> Path:
        """One colour for some seconds, with a tone of some Hz or without sound."""
        key = "-".join([colour, size, rate, str(seconds), str(tone), suffix, filters, *options])
        if key not in self.made:
            path = self.folder / f"{len(self.made)}.{suffix}"
            picture = ["-f", "lavfi", "-i", f"color=c={colour}:s={size}:r={rate}:d={seconds}"]
            sound = ["-f", "lavfi", "-i", f"sine=f={tone}:d={seconds}:r=44100"] if tone else []
            encoder = ["-vf", filters, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "8"]
            run(*picture, *sound, *encoder, *options, str(path))
            self.made[key] = path
        return self.made[key]


def job(*sources: tuple[str, dict[str, int]] | str, keep: bool = False, **transcode: Any) -> Operation:
    """A job on a canvas of 256×192; ``video`` and the other nodes of transcode are merged into that."""
    video = {"width": 256, "height": 192, "preset": "ultrafast", **transcode.pop("video", {})}
    placed = [{"url": s} if isinstance(s, str) else {"url": s[0], **s[1]} for s in sources]
    return Operation.model_validate(
        {
            "video_synthesis": {"keep_audio_track": keep, "splice_info": placed},
            "transcode": {"container": {"format": "mp4"}, "video": video, **transcode},
            "output": {"object": "result.mp4"},
        }
    )


def rendered(operation: Operation, sources: dict[str, Path], target: Path, **settings: Any) -> Rendered:
    """Render a job, with two threads, into a folder of its own; its file, or its playlist, becomes ``target``."""
    folder = target.with_name(f"{target.name}.folder")
    folder.mkdir()
    work = Work(operation, "made", threads=2, bounds=Bounds(seconds=60), **settings)
    with ThreadPoolExecutor(1) as executor:
        done = asyncio.run(Studio(workshop(), executor)(work, sources, folder, lambda _: None))
    for name in done.names[:-1]:
        (folder / name).rename(target.with_name(name))
    (folder / done.names[-1]).rename(target)
    return done


@cache
def workshop() -> Workshop:
    """The tools of this machine, which may read any test's files."""
    tools = studio.workshop(os.environ, [Path(gettempdir())])
    atexit.register(tools.prober.close)
    return tools


@dataclass(frozen=True)
class Picture:
    """One decoded frame."""

    width: int
    height: int
    stride: int
    samples: bytes

    def at(self, x: int, y: int) -> Colour:
        """The colour of one pixel."""
        start = y * self.stride + 3 * x
        red, green, blue = self.samples[start : start + 3]
        return red, green, blue


def pictures(path: Path) -> list[Picture]:
    """Every frame of a film in RGB, read as BT.709."""
    found = []
    kind = "mpegts" if path.suffix == ".ts" else None  # it may be too short to guess
    with av.open(str(path), format=kind) as container:
        for frame in container.decode(video=0):
            rgb = frame.reformat(format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU709")
            plane = rgb.planes[0]
            found.append(Picture(rgb.width, rgb.height, plane.line_size, bytes(plane)))
    return found


def near(colour: Colour, wanted: Colour, tolerance: int = 24) -> bool:
    """Whether two colours look alike."""
    return all(abs(a - b) <= tolerance for a, b in zip(colour, wanted, strict=True))


def loudness(path: Path, hertz: int, start: float = 0.0, seconds: float = 0.3) -> float:
    """Amplitude of one frequency in a film's sound, 1 being full scale (Goertzel's algorithm at 8 kHz)."""
    rate = 8000
    samples = sounds(path, rate)[round(start * rate) : round((start + seconds) * rate)]
    coefficient = 2 * math.cos(2 * math.pi * hertz / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + coefficient * last - before, last
    power = last * last + before * before - coefficient * last * before
    return 2 * math.sqrt(max(power, 0.0)) / max(len(samples), 1)


def sounds(path: Path, rate: int) -> list[float]:
    """A film's sound as one channel, from -1 to 1."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    samples: list[float] = []
    with av.open(str(path)) as container:
        for frame in [*container.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                raw = memoryview(bytes(piece.planes[0])[: piece.samples * 2]).cast("h")
                samples.extend(value / 32768 for value in raw)
    return samples
