"""One 20 s composition through `reconciler apply`, beside the same FFmpeg command by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.cold_start import SETTINGS
from benchmarks.measure import RECONCILER, Side, compare, report
from reconciler.api.messages import Operation
from reconciler.service.ffmpeg import locate
from reconciler.service.probe import probe
from reconciler.service.render import argv
from reconciler.service.worker import RENDER_THREADS

MANIFEST = """version: 1
outputs:
  seed:
    video_synthesis:
      keep_audio_track: true
      splice_info:
        - {url: input/left.mp4, width: 640, height: 960}
        - {url: input/right.mp4, x: 640, width: 640, height: 960}
    transcode:
      container: {format: mp4}
      video: {codec: H.264, width: 1280, height: 960, fps: 30, bitrate: 1500}
      audio: {codec: aac, samplerate: 44100, bitrate: 128, channels: 2}
    output: output/seed.${ext}
"""


def main(runs: int = 5) -> None:
    """Aim: at most 5 % more wall time than FFmpeg by hand."""
    ffmpeg = str(locate(os.environ).path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = folder / "buckets" / "bench-1250000000" / "input"
        clips.mkdir(parents=True)
        for clip, picture, tone in (("left", "testsrc2", 440), ("right", "mandelbrot", 660)):
            make_clip(ffmpeg, clips / f"{clip}.mp4", picture, tone)
        (folder / "reconciler.yaml").write_text(SETTINGS)
        (folder / "manifests").mkdir()
        (folder / "manifests" / "seed.yaml").write_text(MANIFEST)
        sides = [
            Side("reconciler apply", (*RECONCILER, "apply", "--yes"), folder, before=lambda: start_anew(folder)),
            Side("the same FFmpeg command by hand", by_hand(ffmpeg, clips, folder / "by-hand.mp4"), folder),
        ]
        report(sides, compare(sides, runs))
        same = (folder / "by-hand.mp4").read_bytes() == (clips.parent / "output" / "seed.mp4").read_bytes()
        print(f"  the two files are {'byte-identical' if same else 'DIFFERENT'}")


def make_clip(ffmpeg: str, target: Path, picture: str, tone: int) -> None:
    """Make 20 s of 1280×720 at 30 frames a second with sound."""
    command = [
        ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", f"{picture}=size=1280x720:rate=30",
        "-f", "lavfi", "-i", f"sine=frequency={tone}", "-t", "20", "-c:v", "libx264", "-preset", "veryfast",
        "-b:v", "2500k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", str(target),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def start_anew(folder: Path) -> None:
    """Forget everything that an earlier run made or remembered."""
    shutil.rmtree(folder / ".reconciler", ignore_errors=True)
    shutil.rmtree(folder / "buckets" / "bench-1250000000" / "output", ignore_errors=True)
    (folder / "reconciler.lock").unlink(missing_ok=True)


def by_hand(ffmpeg: str, clips: Path, target: Path) -> list[str]:
    """Return the command that a person who knows FFmpeg well would type: the very one that the service runs."""
    transcode = {
        "container": {"format": "mp4"},
        "video": {"codec": "H.264", "width": 1280, "height": 960, "fps": 30, "bitrate": 1500},
        "audio": {"codec": "aac", "samplerate": 44100, "bitrate": 128, "channels": 2},
    }
    places = [{"url": "l", "width": 640, "height": 960}, {"url": "r", "x": 640, "width": 640, "height": 960}]
    synthesis = {"keep_audio_track": True, "splice_info": places}
    operation = Operation.model_validate(
        {"video_synthesis": synthesis, "transcode": transcode, "output": {"object": "o"}}
    )
    inputs = [clips / "left.mp4", clips / "right.mp4"]
    probes = [probe(path) for path in inputs]
    return argv(operation, probes, ffmpeg=ffmpeg, inputs=inputs, output=target, threads=RENDER_THREADS)


if __name__ == "__main__":
    main()
