"""Programs that stand for FFmpeg, and which processes are left of a run."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def program(path: Path, text: str) -> Path:
    """Write a shell script that can be started."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def relatives(mark: str) -> dict[int, list[str]]:
    """The arguments of every process that has ``mark`` in one of them, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(mark in argument for argument in arguments):
                found[int(folder.name)] = arguments
    return found


def none_left(mark: str) -> bool:
    """Wait until no process with ``mark`` is left; only a stuck one takes long."""
    for _ in range(500):
        if not relatives(mark):
            return True
        time.sleep(0.01)
    return False
