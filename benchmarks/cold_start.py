"""How long the command line takes to begin: `--help`, and `validate` on ten outputs, beside the bare interpreter."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import RECONCILER, Side, compare, report

SETTINGS = "version: 1\nservice: embedded\nbucket: bench-1250000000\nregion: ap-chongqing\n"
ENTRY = """  video{number}:
    video_synthesis:
      splice_info:
        - {{url: input/a.mp4, width: 640, height: 720}}
        - {{url: input/b.mp4, x: 640, width: 640, height: 720}}
    transcode:
      container: {{format: mp4}}
      video: {{codec: H.264, width: 1280, height: 720, fps: "{{{{ vars.fps | default(25) }}}}"}}
    output: output/video{number}.${{ext}}
"""


def main(runs: int = 9) -> None:
    """Aims: `--help` under 150 ms of CPU time, `validate` under 400 ms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reconciler.yaml").write_text(SETTINGS + "vars: {fps: 25}\n")
        (folder / "manifests").mkdir()
        entries = "".join(ENTRY.format(number=number) for number in range(10)).replace(" | default(25)", "")
        (folder / "manifests" / "ten.yaml").write_text(f"version: 1\noutputs:\n{entries}")
        sides = [
            Side("reconciler --help", (*RECONCILER, "--help"), folder),
            Side("reconciler validate, ten outputs", (*RECONCILER, "validate"), folder),
            Side(
                "python -c 'import click, pydantic, jinja2'",
                (sys.executable, "-c", "import click, pydantic, jinja2"),
                folder,
            ),
            Side("python -c pass", (sys.executable, "-c", "pass"), folder),
        ]
        report(sides, compare(sides, runs))
