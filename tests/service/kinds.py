"""The sandboxes that tests run in, and a Python that tells from inside what it can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from reconciler.errors import RenderError
from reconciler.service.ffmpeg import locate
from reconciler.service.sandbox import Kind, Limits, Sandbox
from tests.peers import missing_peer

STRONG: Final[tuple[Kind, ...]] = ("bubblewrap", "landlock")
EVERY: Final[tuple[Kind, ...]] = (*STRONG, "none")

SAMPLE: Final = Path(__file__).parents[2] / "reconciler" / "samples" / "big-buck-bunny.mp4"
FFMPEG: Final = locate(os.environ).path
PYTHON: Final = str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())

_TOLD: Final = """
import ctypes, json, os, socket, sys
def tried(action):
    try:
        return repr(action())
    except Exception as error:
        return type(error).__name__
told = {}
"""


def confined(kind: Kind) -> Sandbox:
    """A sandbox of this kind, if the machine has what it takes."""
    try:
        return Sandbox.detect({**os.environ, "RECONCILER_SANDBOX": kind})
    except RenderError as error:
        missing_peer(f"the sandbox {kind} ({error.message})")


def told(
    sandbox: Sandbox,
    actions: dict[str, str],
    *,
    reads: Sequence[Path] = (),
    writes: Path | None = None,
    limits: Limits | None = None,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What comes of each action, an expression of Python, inside: its value as text or the name of its exception."""
    lines = [f"told[{name!r}] = tried(lambda: {action})" for name, action in actions.items()]
    script = "\n".join([_TOLD, *lines, "print(json.dumps(told))"])
    argv = [PYTHON, "-I", "-S", "-c", script]
    command = sandbox.command(argv, reads=reads, writes=writes, limits=limits or Limits())
    done = subprocess.run(command, env=environment or {"LC_ALL": "C"}, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found
