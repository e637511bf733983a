"""Write docs/plan-and-apply.svg: a real session of `plan` and `apply`, read off a real terminal (needs tmux)."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 96, 46


def tmux(*words: str) -> str:
    """Run one tmux command on a server of our own."""
    return subprocess.run(["tmux", "-L", "pictures", *words], check=True, capture_output=True, text=True).stdout


def type_line(line: str, until: str, seconds: float = 90) -> None:
    """Type a line at the prompt and wait until the screen shows ``until`` after it."""
    while tmux("capture-pane", "-p").rstrip().rsplit("\n", 1)[-1].strip() not in ("$", "#"):
        time.sleep(0.05)
    tmux("send-keys", "-l", line)
    tmux("send-keys", "Enter")
    end = time.monotonic() + seconds
    while until not in tmux("capture-pane", "-p").split(line)[-1]:
        if time.monotonic() > end:
            raise SystemExit(f"{line}: {until!r} did not appear")
        time.sleep(0.05)


def main() -> None:
    """Play the session twice over one project: the picture holds a moment of the rendering, and the end."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"{shlex.quote(sys.executable)} -m reconciler"
        subprocess.run(
            [sys.executable, "-m", "reconciler", "-q", "init", folder], check=True, stdout=subprocess.DEVNULL
        )
        shell = f'cd {shlex.quote(folder)}; reconciler() {{ {program} "$@"; }}; clear'
        tmux("new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), "env", "PS1=$ ", "bash", "--norc")
        try:
            tmux("send-keys", shell, "Enter")
            time.sleep(0.5)
            type_line("reconciler plan", "to delete.")
            type_line("reconciler apply", "[y/N]:")
            tmux("send-keys", "y", "Enter")
            while not re.search(r"[3-8]\d% rendering", tmux("capture-pane", "-p")):
                time.sleep(0.02)
            during = tmux("capture-pane", "-ep")
            while "Apply:" not in tmux("capture-pane", "-p"):
                time.sleep(0.1)
            bars = [line for line in during.splitlines() if "rendering" in line]
            type_line("reconciler apply", "up to date.")
            type_line("sed -i s/bottom-right/bottom-left/ data/lessons.csv; reconciler plan", "to delete.")
            screen = tmux("capture-pane", "-ep").rstrip("\n").splitlines()
        finally:
            tmux("kill-server")
    first = next(index for index, line in enumerate(screen) if "created" in line)
    write(ROOT / "docs" / "plan-and-apply.svg", [*screen[:first], *bars, *screen[first:]])


def write(target: Path, lines: list[str]) -> None:
    """Write lines with their colours as a picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    console.save_svg(str(target), title="reconciler", unique_id="reconciler")


if __name__ == "__main__":
    main()
