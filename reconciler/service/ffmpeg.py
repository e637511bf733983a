"""Finding FFmpeg and running one render: progress while it lasts, then a checked file or FFmpeg's own last words.

What FFmpeg is told to do is the business of ``render``; where its result goes from here is that of ``worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from reconciler.api.media import MediaInfo
from reconciler.api.messages import Operation
from reconciler.errors import RenderError
from reconciler.service.probe import Probe, ProbeError, media_info, probe
from reconciler.service.render import Render, RenderFailed, argv, plan_render

__all__ = ["FFmpeg", "RenderFailed", "Rendered", "locate", "render"]

_ADVICE: Final = "install imageio-ffmpeg, or set RECONCILER_FFMPEG to the path of an FFmpeg 5.1 or newer"
_PASSED_ON: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The only variables that FFmpeg gets to see: credentials live in others."""

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

ENCODERS: Final = ("libx264", "libx265", "aac", "libmp3lame")
"""Every encoder that ``render`` asks for."""

_LINES: Final = 400
"""How many lines of FFmpeg's complaints are kept."""

_LAST_WORDS: Final = 4
_LINE_LIMIT: Final = 64 * 1024
_AFTERMATH: Final = re.compile(r"Task finished with error|Terminating thread with return|Last message repeated|^\s*$")
_POINTER: Final = re.compile(r" @ 0x[0-9a-f]+")
_INPUT: Final = re.compile(r"\[(?:in|vist|aist)#(\d+)[^\]]*\]")
_DAMAGED: Final = re.compile(rf"{_INPUT.pattern}|Invalid data found when processing input")
_FULL: Final = re.compile("No space left on device")
_CUT_OFF: Final = re.compile("File ended prematurely")
"""The one damage that FFmpeg reports without failing: a matroska file that was cut off."""


@dataclass(frozen=True)
class FFmpeg:
    """An FFmpeg that renders.

    ``environment`` is all that it sees of ours. ``patience`` is how many seconds it may go without a new frame: before
    the first one it may have to decode an hour that a time interval leaves out, but it must not hang for ever.
    """

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = 1800.0

    @cached_property
    def version(self) -> str:
        """The version as the program states it; asking for it starts the program once. Raises RenderError."""
        match = re.match(rb"ffmpeg version (\S+)", self._said("-version"))
        if match is None:
            raise RenderError(f"{self.path} is not FFmpeg", advice=_ADVICE)
        return match[1].decode()

    def lacking(self) -> list[str]:
        """Return which of the encoders that renders use it does not have; asking starts the program once."""
        found = set(re.findall(rb"^ [A-Z.]{6} (\S+)", self._said("-encoders"), re.MULTILINE))
        return [name for name in ENCODERS if name.encode() not in found]

    def _said(self, question: str) -> bytes:
        try:
            return subprocess.run(
                [self.path, "-hide_banner", question],
                env=self.environment,
                capture_output=True,
                check=True,
                timeout=30,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise RenderError(f"FFmpeg does not run: {error}", advice=_ADVICE) from None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished output: its media information, the MD5 of its bytes in hexadecimal, its size in bytes."""

    media_info: MediaInfo
    md5: str
    size: int
    frames: int


def locate(environ: Mapping[str, str]) -> FFmpeg:
    """Find FFmpeg: RECONCILER_FFMPEG, else the one that imageio-ffmpeg brings, else the one on PATH.

    Does not start it. Raises RenderError, with advice, when there is none.
    """
    environment = {name: environ[name] for name in _PASSED_ON if name in environ} | {"LC_ALL": "C"}
    if chosen := environ.get("RECONCILER_FFMPEG"):
        path = shutil.which(chosen, path=environ.get("PATH"))
        if path is None:
            raise RenderError(f"RECONCILER_FFMPEG names {chosen}, which is not a program", advice=_ADVICE)
        return FFmpeg(str(Path(path).absolute()), environment)
    path = _bundled() or shutil.which("ffmpeg", path=environ.get("PATH"))
    if path is None:
        raise RenderError("FFmpeg is missing", advice=_ADVICE)
    return FFmpeg(path, environment)


def _bundled() -> str | None:
    """Return the program inside imageio-ffmpeg; asking the package itself takes 70 ms and starts the program."""
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("binaries/ffmpeg-*")):
            if os.access(path, os.X_OK):
                return str(path.absolute())
    return None


async def render(  # noqa: PLR0913 - a job, where from, where to, and the four things that its caller decides
    operation: Operation,
    sources: Mapping[str, Path],
    target: Path,
    *,
    ffmpeg: FFmpeg,
    threads: int,
    on_progress: Callable[[float], None],
    time_limit: float | None = None,
) -> Rendered:
    """Render one job into ``target``, which nothing else may use yet: on any failure it is removed.

    ``sources`` maps each url of ``splice_info``, as written there, to its file. ``on_progress`` is told the share that
    is done, from 0 to 1; 1 is said once, of a finished and checked file. ``time_limit`` is in seconds. Cancelling
    kills FFmpeg. Raises RenderFailed; RenderError when FFmpeg cannot be started.
    """
    deadline = asyncio.timeout(time_limit)
    try:
        async with deadline:
            probes = await _probe_all(operation, sources)
            on_progress(0.0)
            task = _prepare(operation, probes, sources, target, ffmpeg=ffmpeg.path, threads=threads)
            await _run(task, ffmpeg, on_progress)
            done = await _finished(target, task.plan)
    except BaseException as error:
        _discard(target)
        if isinstance(error, TimeoutError) and deadline.expired():
            raise RenderFailed("Timeout", f"the render was stopped after {time_limit:g} s") from None
        raise
    on_progress(1.0)
    return done


async def _probe_all(operation: Operation, sources: Mapping[str, Path]) -> list[Probe]:
    """Probe every file once, all at the same time; return what they are in the order of ``splice_info``."""

    async def one(url: str) -> Probe:
        try:
            return await asyncio.to_thread(probe, sources[url])
        except ProbeError as error:
            raise RenderFailed("InvalidSource", f"{url} {error}") from None

    urls = [source.url for source in operation.video_synthesis.splice_info]
    distinct = list(dict.fromkeys(urls))
    found = dict(zip(distinct, await asyncio.gather(*(one(url) for url in distinct)), strict=True))
    return [found[url] for url in urls]


class _Words:
    """What FFmpeg complained about, kept short and told in the words of the request: keys instead of paths."""

    def __init__(self, names: Sequence[str], paths: Mapping[Path, str]) -> None:
        self._names = names
        self._paths = paths
        self._lines: deque[str] = deque(maxlen=_LINES)

    def add(self, line: str) -> None:
        self._lines.append(line)

    def blamed(self) -> list[str]:
        """Return the sources that FFmpeg had trouble with."""
        numbers = [int(number) for line in self._lines for number in _INPUT.findall(line)]
        return [self._names[number] for number in sorted(set(numbers))]

    def mention(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(line) for line in self._lines)

    def after(self, summary: str) -> str:
        """Return a message: our summary, then FFmpeg's own last words."""
        telling = [line for line in self._lines if not _AFTERMATH.search(line)]
        last = "; ".join(self._plain(line) for line in telling[-_LAST_WORDS:])
        return f"{summary}: {last}" if last else f"{summary} and said nothing"

    def _plain(self, line: str) -> str:
        for path, name in self._paths.items():
            line = line.replace(f"file:{path}", name).replace(str(path), name)
        line = _INPUT.sub(lambda match: f"[{self._names[int(match[1])]}]", line)
        return _POINTER.sub("", line).strip()


@dataclass(frozen=True, slots=True)
class _Task:
    """One run of FFmpeg: the command, what it must produce, and the place for its complaints."""

    command: Sequence[str]
    plan: Render
    words: _Words


def _prepare(
    operation: Operation,
    probes: Sequence[Probe],
    sources: Mapping[str, Path],
    target: Path,
    *,
    ffmpeg: str,
    threads: int,
) -> _Task:
    urls = [source.url for source in operation.video_synthesis.splice_info]
    paths = {url: sources[url].absolute() for url in urls}
    output = target.absolute()
    inputs = [paths[url] for url in urls]
    plan = plan_render(operation, probes)
    command = argv(operation, probes, ffmpeg=ffmpeg, inputs=inputs, output=output, threads=threads)
    names = {path: url for url, path in paths.items()} | {output: "the output"}
    return _Task(command, plan, _Words([urls[position] for position in plan.files], names))


async def _run(task: _Task, ffmpeg: FFmpeg, on_progress: Callable[[float], None]) -> None:
    """Run FFmpeg to its end and judge it. Raises RenderFailed, RenderError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _GUARDED, "reconciler-render", *task.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ffmpeg.environment,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
    except OSError as error:
        raise RenderError(f"FFmpeg could not be started: {error}", advice=_ADVICE) from None
    listening = asyncio.create_task(_listen(process.stderr, task.words))
    try:
        ended = await _follow(process.stdout, task.plan.frames, ffmpeg.patience, on_progress)
        await listening
        _judge(await process.wait(), ended=ended, words=task.words)
    finally:
        listening.cancel()
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing running, whatever happened: what was not finished is thrown away, so it need not end politely."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.stdin is not None:
        process.stdin.close()


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
        raise RenderFailed("Timeout", message) from None
    return ended


async def _listen(complaints: asyncio.StreamReader | None, words: _Words) -> None:
    assert complaints is not None
    pending = b""
    while chunk := await complaints.read(_LINE_LIMIT):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            words.add(line.decode("utf-8", "replace"))
        pending = pending[-_LINE_LIMIT:]
    words.add(pending.decode("utf-8", "replace"))


def _judge(status: int, *, ended: bool, words: _Words) -> None:
    """Raise what a run has come to, unless it succeeded."""
    if status in (126, 127):  # the shell's way to say that a program is not there or does not run
        raise RenderError(words.after("FFmpeg could not be started"), advice=_ADVICE)
    if number := _signal_of(status):
        raise RenderFailed("InternalError", words.after(f"FFmpeg was killed by signal {number}"))
    blamed = ", ".join(words.blamed()) or "a source"
    if status or not ended:
        if words.mention(_DAMAGED) and not words.mention(_FULL):
            raise RenderFailed("InvalidSource", words.after(f"FFmpeg cannot decode {blamed}"))
        raise RenderFailed("InternalError", words.after(f"FFmpeg failed with status {status}"))
    if words.mention(_CUT_OFF):
        raise RenderFailed("InvalidSource", words.after(f"{blamed} is incomplete"))


def _signal_of(status: int) -> int | None:
    """Return the signal that ended the shell (negative) or, as the shell reports it, FFmpeg (128 and the number)."""
    number = -status if status < 0 else status - 128
    return number if 0 < number < 32 else None


async def _finished(target: Path, plan: Render) -> Rendered:
    """Check the file against the plan, by its headers, and digest it."""
    try:
        info, md5 = await asyncio.gather(asyncio.to_thread(media_info, target), asyncio.to_thread(_md5, target))
    except ProbeError as error:
        raise RenderFailed("InternalError", f"the rendered file {error}") from None
    frames = _frames(info)
    if frames != plan.frames:
        raise RenderFailed("InternalError", f"the rendered file has {frames} frames instead of {plan.frames}")
    size = info.format.size if info.format else None
    return Rendered(info, md5, size or 0, plan.frames)


def _frames(info: MediaInfo) -> int:
    video = info.stream.video if info.stream else None
    return (video[0].num_frames or 0) if video else 0


def _discard(target: Path) -> None:
    target.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
