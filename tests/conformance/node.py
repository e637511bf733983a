"""The official Node.js SDK: installed as locked, and driven by one script a scenario, JSON in and JSON out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from reconciler.api.signing import Credentials

FOLDER: Final = Path(__file__).parent / "node"
_SECONDS: Final = 180


class MissingError(Exception):
    """There is no Node.js, or the SDK cannot be installed."""


def install() -> None:
    """Install the locked SDK into the ignored ``node_modules``, once for every state of the lock file.

    Raises MissingError.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise MissingError("there is no node and npm on this machine")
    locked = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    modules = FOLDER / "node_modules"
    stamp = modules / ".installed"
    modules.mkdir(exist_ok=True)
    with FileLock(FOLDER / "node_modules.guard"):
        if stamp.exists() and stamp.read_text() == locked:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=_SECONDS)
        if done.returncode != 0:
            raise MissingError(f"npm ci failed: {done.stderr[-500:]}")
        stamp.write_text(locked)


def options(credentials: Credentials, **rest: Any) -> dict[str, Any]:
    """The options of the SDK for a server of one's own."""
    known = {"SecretId": credentials.secret_id, "SecretKey": credentials.secret_key, "Protocol": "http:"}
    return {**known, **({"SecurityToken": credentials.token} if credentials.token else {}), **rest}


def start(script: str) -> subprocess.Popen[str]:
    """Start a script that goes on answering, one line of JSON for each."""
    return subprocess.Popen(
        ["node", script],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=_environment(),
    )


def run(script: str, known: Any) -> Any:
    """Run a script to its end: ``known`` is what it reads, the result is what it writes."""
    install()
    done = subprocess.run(
        ["node", script],
        cwd=FOLDER,
        input=json.dumps(known),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=_SECONDS,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    """The environment without proxies, which the SDK would obey, and without settings of npm and of ours."""
    known = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in known if name in os.environ}
