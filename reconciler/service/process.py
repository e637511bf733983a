"""One run of FFmpeg: exact progress while it lasts, then success or what it has come to, in the words of the request.

What FFmpeg is told to do is the business of ``render``; what of the machine it sees that of ``sandbox``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.errors import RenderError
from reconciler.service.render.failure import DISK, INTERNAL, INVALID_SOURCE, MEMORY, TIMEOUT, RenderFailed
from reconciler.service.sandbox import NOT_CONFINED

_ADVICE: Final = "install imageio-ffmpeg, or set RECONCILER_FFMPEG to the path of an FFmpeg 5.1 or newer"
_SANDBOX_ADVICE: Final = "`reconciler doctor` tells which sandbox works here; RECONCILER_SANDBOX names one"
_KEPT_OUT: Final = re.compile(r"^bwrap: ")
_GUARDED: Final = """
exec 3<&0 4>&2 </dev/null 2>/dev/null
"$@" 2>&4 3<&- 4>&- &
ffmpeg=$!
{ read -r _ <&3; kill -9 "$ffmpeg"; } >/dev/null 4>&- &
guard=$!
exec 3<&- 4>&-
wait "$ffmpeg"
status=$?
kill -9 "$guard"
exit "$status"
"""
"""Runs FFmpeg for exactly as long as somebody holds the other end of its standard input.

That end is ours and closes when we die, however we die: then ``read`` returns and FFmpeg is killed. PR_SET_PDEATHSIG
would do the same on Linux only, and needs code of ours between fork and exec, which is unsafe beside threads.
"""

_NO_ROOM: Final = "there is not enough room on the disk for the result: make some, and submit the job again"
_NO_MEMORY: Final = "the render needs more memory than it may have (RECONCILER_RENDER_MEMORY)"
_LINES: Final = 400
"""How many lines of FFmpeg's complaints are kept."""

_LAST_WORDS: Final = 4
_LINE_LIMIT: Final = 64 * 1024
_AFTERMATH: Final = re.compile(r"Task finished with error|Terminating thread with return|Last message repeated|^\s*$")
_POINTER: Final = re.compile(r" @ 0x[0-9a-f]+")
_INPUT: Final = re.compile(r"\[(?:in|vist|aist)#(\d+)[^\]]*\]")
_DAMAGED: Final = re.compile(rf"{_INPUT.pattern}|Invalid data found when processing input")
_FULL: Final = re.compile("No space left on device|File too large")
_EXHAUSTED: Final = re.compile(
    r"Cannot allocate memory|Out of memory|bad_alloc|Resource temporarily unavailable|malloc of size"
    r"|get_buffer\(\) failed"
)
_CUT_OFF: Final = re.compile("File ended prematurely")
"""The one damage that FFmpeg reports without failing: a matroska file that was cut off."""


class Words:
    """What FFmpeg complained about, kept short and told in the words of the request: keys instead of paths."""

    def __init__(self, names: Sequence[str], paths: Mapping[Path, str]) -> None:
        self._names = names
        self._paths = paths
        self._lines: deque[str] = deque(maxlen=_LINES)

    def add(self, line: str) -> None:
        """Keep one line."""
        self._lines.append(line)

    def blamed(self) -> list[str]:
        """Return the sources that FFmpeg had trouble with."""
        numbers = [int(number) for line in self._lines for number in _INPUT.findall(line)]
        return [self._names[number] for number in sorted(set(numbers))]

    def mention(self, pattern: re.Pattern[str]) -> bool:
        """Tell whether a line says it."""
        return any(pattern.search(line) for line in self._lines)

    def after(self, summary: str, *, silent: str = "") -> str:
        """Return a message: our summary, then FFmpeg's own last words, or what is said when it had none."""
        telling = [line for line in self._lines if not _AFTERMATH.search(line)]
        last = "; ".join(self._plain(line) for line in telling[-_LAST_WORDS:])
        return f"{summary}: {last}" if last else f"{summary}{silent}"

    def _plain(self, line: str) -> str:
        for path, name in self._paths.items():
            line = line.replace(f"file:{path}", name).replace(str(path), name)
        line = _INPUT.sub(lambda match: f"[{self._names[int(match[1])]}]", line)
        return _POINTER.sub("", line).strip()


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the command, the folder that it works in, all of the environment that it sees, and what is expected.

    ``frames`` is the number of frames of the result. ``patience`` is how many seconds may pass without a new frame:
    before the first one FFmpeg may have to decode an hour that a time interval leaves out.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    frames: int
    patience: float
    words: Words


async def run(task: Run, on_progress: Callable[[float], None]) -> None:
    """Run FFmpeg to its end; ``on_progress`` is told the share that is done. Being cancelled leaves nothing running.

    Raises RenderFailed; RenderError when FFmpeg cannot be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _GUARDED, "reconciler-render", *task.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=task.folder,
            env=task.environment,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
    except OSError as error:
        raise RenderError(f"FFmpeg could not be started: {error}", advice=_ADVICE) from None
    listening = asyncio.create_task(_listen(process.stderr, task.words))
    try:
        ended = await _follow(process.stdout, task.frames, task.patience, on_progress)
        await listening
        _judge(await process.wait(), ended=ended, words=task.words)
    finally:
        await _end(process, listening)


async def _end(process: asyncio.subprocess.Process, listening: asyncio.Task[None]) -> None:
    """Leave nothing running, whatever happened: what was not finished is thrown away, so it need not end politely."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    listening.cancel()
    await asyncio.wait([listening])
    await process.communicate()  # to the end of its pipes: the loop may be closed next, and would leave them open


async def _follow(
    reports: asyncio.StreamReader | None, frames: int, patience: float, on_progress: Callable[[float], None]
) -> bool:
    """Read FFmpeg's progress blocks; return whether the last of them was the end. Raises RenderFailed on a hang."""
    assert reports is not None
    ended, reached = False, 0
    clock = asyncio.get_running_loop().time
    hang = asyncio.timeout(patience)
    try:
        async with hang:
            async for line in reports:
                name, _, value = line.decode("ascii", "replace").strip().partition("=")
                if name == "progress":
                    ended = value == "end"
                elif name == "frame" and value.isdigit() and int(value) > reached:
                    reached = int(value)
                    hang.reschedule(clock() + patience)
                    if reached < frames:
                        on_progress(reached / frames)
    except TimeoutError:
        if not hang.expired():
            raise
        message = f"FFmpeg made no progress for {patience:g} s after frame {reached} of {frames}"
        raise RenderFailed(TIMEOUT, message) from None
    return ended


async def _listen(complaints: asyncio.StreamReader | None, words: Words) -> None:
    assert complaints is not None
    pending = b""
    while chunk := await complaints.read(_LINE_LIMIT):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            words.add(line.decode("utf-8", "replace"))
        pending = pending[-_LINE_LIMIT:]
    words.add(pending.decode("utf-8", "replace"))


def _judge(status: int, *, ended: bool, words: Words) -> None:
    """Raise what a run has come to, unless it succeeded."""
    if status in (126, 127):  # the shell's way to say that a program is not there or does not run
        raise RenderError(words.after("FFmpeg could not be started"), advice=_ADVICE)
    if status == NOT_CONFINED or (status == 1 and words.mention(_KEPT_OUT)):
        raise RenderError(words.after("the sandbox could not be set up"), advice=_SANDBOX_ADVICE)
    signalled = _signal_of(status)
    if signalled == signal.SIGXFSZ or words.mention(_FULL):
        raise RenderFailed(DISK, words.after(_NO_ROOM))
    if (status or not ended) and words.mention(_EXHAUSTED):
        raise RenderFailed(MEMORY, words.after(_NO_MEMORY))
    if signalled:
        guess = ", which is what happens when memory runs out" if signalled == signal.SIGKILL else ""
        silent = "" if guess else " and said nothing"
        raise RenderFailed(INTERNAL, words.after(f"FFmpeg was killed by signal {signalled}{guess}", silent=silent))
    blamed = ", ".join(words.blamed()) or "a source"
    if status or not ended:
        if words.mention(_DAMAGED):
            raise RenderFailed(INVALID_SOURCE, words.after(f"FFmpeg cannot decode {blamed}"))
        raise RenderFailed(INTERNAL, words.after(f"FFmpeg failed with status {status}", silent=" and said nothing"))
    if words.mention(_CUT_OFF):
        raise RenderFailed(INVALID_SOURCE, words.after(f"{blamed} is incomplete"))


def _signal_of(status: int) -> int | None:
    """Return the signal that ended the shell (negative) or, as the shell reports it, FFmpeg (128 and the number)."""
    number = -status if status < 0 else status - 128
    return number if 0 < number < 32 else None
