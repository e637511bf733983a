"""A project of two outputs at the terminal, and a person who answers."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from reconciler.cli import run
from tests.service.media import Films

SETTINGS = """version: 1
service: embedded
bucket: clips-1250000000
region: ap-chongqing
"""
MANIFEST = """version: 1
outputs:
  pair:
    video_synthesis:
      splice_info: [{{url: in/red.mp4, width: 128, height: 128}}, {{url: in/blue.mp4, x: 128, width: 128, height: 128}}]
    transcode:
      container: {{format: mp4}}
      video: {{codec: H.264, width: {width}, height: 128, preset: veryfast, fps: 25}}
    output: out/pair.${{ext}}
  single:
    video_synthesis: {{splice_info: [{{output: pair, width: 128, height: 128}}]}}
    transcode:
      container: {{format: mp4}}
      video: {{codec: H.264, width: 128, height: 128, preset: veryfast, fps: 25}}
    output: {key}
"""


class Person(io.StringIO):
    """Somebody at the keyboard, who has typed this."""

    @override
    def isatty(self) -> bool:
        return True


@dataclass
class Terminal:
    """A project's folder, and what was said there last."""

    folder: Path
    capfd: pytest.CaptureFixture[str] | None = None
    out: str = ""
    err: str = ""

    def __call__(self, *words: str) -> int:
        """Run one command; keep what it says on either stream."""
        assert self.capfd is not None, "nobody listens"
        self.capfd.readouterr()
        status = run(["--no-color", "-C", str(self.folder), *words])
        self.out, self.err = self.capfd.readouterr()
        return status

    @property
    def bucket(self) -> Path:
        return self.folder / "buckets" / "clips-1250000000"

    @property
    def lockfile(self) -> Path:
        return self.folder / "reconciler.lock"

    def jobs(self) -> int:
        """Return how many jobs the service ever had."""
        with closing(sqlite3.connect(self.folder / ".reconciler" / "service.sqlite")) as database:
            (count,) = database.execute("SELECT count(*) FROM job").fetchone()
        return int(count)

    def say(self, state: str) -> None:
        """Let the service say that its jobs wait, or that they have started."""
        started = "created_at" if state == "Running" else "NULL"
        nothing = ", ".join(f"{name} = NULL" for name in ("ended_at", "media_info", "media_result", "engine", "notes"))
        with closing(sqlite3.connect(self.folder / ".reconciler" / "service.sqlite")) as database:
            database.execute(f"UPDATE job SET state = ?, started_at = {started}, progress = 0, {nothing}", (state,))
            database.commit()

    def declare(self, *, width: int = 256, key: str = "out/single.mp4") -> None:
        """Write the manifest: how wide the pair is, and where the single one goes."""
        (self.folder / "manifests" / "a.yaml").write_text(MANIFEST.format(width=width, key=key))

    def share(self) -> None:
        """Keep the lockfile in the bucket."""
        (self.folder / "reconciler.yaml").write_text(f"{SETTINGS}lockfile: bucket:state/reconciler.lock\n")

    def records(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lockfile.read_bytes())["outputs"]
        return found

    def files(self) -> dict[str, bytes]:
        """Return everything that the project holds outside the service's own folder."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and ".reconciler" not in path.parts)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


def begin(folder: Path, films: Films) -> None:
    """Write the project, with its sources."""
    project = Terminal(folder)
    (folder / "reconciler.yaml").write_text(SETTINGS)
    (folder / "manifests").mkdir()
    project.declare()
    source = project.bucket / "in"
    source.mkdir(parents=True)
    for colour in ("red", "blue"):
        shutil.copyfile(films.film(colour), source / f"{colour}.mp4")
