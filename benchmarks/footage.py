"""Makes what the benchmarks of rendering read: films of one's own, distinct ones, a real one, and one of an hour."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from reconciler.service.ffmpeg import locate

FFMPEG = locate(os.environ).path
SAMPLE = Path(__file__).resolve().parents[1] / "reconciler" / "samples" / "big-buck-bunny.mp4"

PICTURES = ("testsrc2={}", "mandelbrot={}:start_scale={scale}", "life={}:mold=10:ratio=0.1:random_seed={seed}")
"""What moves in different ways: text and edges, slow details, noise."""

SOURCE = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "2500k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2")
TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
MINUTE = 60


def ffmpeg(*arguments: str) -> None:
    """Run the packaged FFmpeg; a failure ends the benchmark."""
    subprocess.run([FFMPEG, "-v", "error", "-nostdin", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def clips(folder: Path, count: int, seconds: float) -> list[Path]:
    """Make 1280×720 films at 30 frames a second with sound, no two alike."""
    made = []
    for number in range(count):
        path = folder / f"clip{number}.mp4"
        if not path.exists():
            _clip(path, number, seconds)
        made.append(path)
    return made


def _clip(path: Path, number: int, seconds: float) -> None:
    kind = PICTURES[number % len(PICTURES)]
    picture = kind.format("size=1280x720:rate=30", scale=3 - number / 10, seed=number)
    turned = f"hue=h={number * 20},format=yuv420p"
    ffmpeg(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency={220 + 55 * number}"),
        *("-t", str(seconds), "-vf", turned, *SOURCE, *TAGS, str(path)),
    )


def films(folder: Path, seconds: float) -> list[Path]:
    """Make two films of the sample, which is repeated: as it is, and another part of it in a mirror."""
    plain, mirrored = folder / "film0.mp4", folder / "film1.mp4"
    for path, start, look in ((plain, "0", "null"), (mirrored, "2.5", "hflip")):
        ffmpeg(
            *("-stream_loop", "-1", "-i", str(SAMPLE), "-ss", start, "-t", str(seconds)),
            *("-vf", look, *SOURCE, str(path)),
        )
    return [plain, mirrored]


def hours(folder: Path, minutes: int) -> Path:
    """Make a film of many minutes, with a key frame every two seconds: one minute of it, repeated as it is."""
    one, path = folder / "minute.mp4", folder / "hour.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-f", "lavfi", "-i", "sine=frequency=440"),
        *("-t", str(MINUTE), "-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-g", "60"),
        *("-pix_fmt", "yuv420p", *TAGS, "-c:a", "aac", "-b:a", "64k", "-ac", "2", str(one)),
    )
    ffmpeg("-stream_loop", str(minutes - 1), "-i", str(one), "-c", "copy", "-movflags", "+faststart", str(path))
    one.unlink()
    return path


def raw(target: Path, inputs: Sequence[Path], graph: str) -> Path:
    """Compose films by a filter graph that ends in [v] and [s], and keep picture and sound as they are."""
    files = [word for path in inputs for word in ("-i", str(path))]
    kept = ("-map", "[v]", "-map", "[s]", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
    ffmpeg(*files, "-filter_complex", graph, *kept, "-r", "30", "-ar", "44100", "-f", "nut", str(target))
    return target
