"""One run of a program as if it were FFmpeg: what is made of what it says and of how it ends, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import RenderError
from reconciler.service.process import Run, Words, run
from reconciler.service.render.failure import RenderFailed
from tests.service.media import FFMPEG
from tests.service.processes import none_left, program, relatives

ENVIRONMENT = {"PATH": os.environ["PATH"]}
PATHS = {Path("/in/1.mp4"): "in/a.mp4", Path("/made"): "the output"}


def task(folder: Path, text: str | None = None, *, command: list[str] | None = None, **changes: Any) -> Run:
    """A run of a script, or of another command, that is to make ten frames of two sources."""
    facts: dict[str, Any] = {"environment": ENVIRONMENT, "frames": 10, "patience": 30.0}
    words = Words(["in/a.mp4", "in/b.mp4"], PATHS)
    start = command or [str(program(folder / "stand-in", text or ""))]
    return Run(start, folder, words=words, **facts | changes)


def perform(task: Run) -> list[float]:
    told: list[float] = []
    asyncio.run(run(task, told.append))
    return told


def failure(task: Run) -> tuple[str, str]:
    with pytest.raises(RenderFailed) as caught:
        perform(task)
    return caught.value.code, str(caught.value)


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reports", "told"),
    [
        ("frame=1 progress=continue frame=5 progress=continue frame=10 progress=end", [0.1, 0.5]),
        ("frame=0 frame=2 frame=2 frame=1 progress=end", [0.2]),
        ("frame=x fps=3 frame=-1 out_time=00:00 frame= frame=9 progress=end", [0.9]),
        ("progress=end", []),
        ("frame=12 progress=end", []),
    ],
)
def test_progress_only_grows_and_ends_before_the_last_frame(tmp_path: Path, reports: str, told: list[float]) -> None:
    text = "\n".join(f"echo {report}" for report in reports.split())
    assert perform(task(tmp_path, text)) == told


def test_the_program_works_in_the_folder_with_its_own_environment_alone(tmp_path: Path) -> None:
    os.environ["TENCENTCLOUD_SECRET_KEY"] = "hush"
    try:
        perform(task(tmp_path, "pwd >where; env >seen; echo progress=end", environment={**ENVIRONMENT, "LC_ALL": "C"}))
    finally:
        del os.environ["TENCENTCLOUD_SECRET_KEY"]
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)
    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert {"PATH", "LC_ALL"} <= names <= {"PATH", "LC_ALL", "PWD", "_", "OLDPWD", "SHLVL"}


def test_complaints_without_a_failure_are_none(tmp_path: Path) -> None:
    assert perform(task(tmp_path, "echo 'deprecated pixel format' >&2; echo progress=end")) == []


def test_a_flood_of_complaints_is_read_and_forgotten(tmp_path: Path) -> None:
    text = "i=0; while [ $i -lt 3000 ]; do echo complaint $i >&2; i=$((i+1)); done"
    text += "; head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1"
    code, message = failure(task(tmp_path, text))
    assert code == "InternalError"
    assert message.startswith("FFmpeg failed with status 1: complaint 2998; complaint 2999; xxx")
    assert message.endswith("x; the end")


# --- how it ends -----------------------------------------------------------------------------------------------------

NO_ROOM = "there is not enough room on the disk for the result: make some, and submit the job again"
NO_MEMORY = "the render needs more memory than it may have (RECONCILER_RENDER_MEMORY)"

ENDS: dict[str, tuple[str, str, str]] = {
    "silent": ("exit 1", "InternalError", "FFmpeg failed with status 1 and said nothing"),
    "telling": ("echo 'No such filter' >&2; exit 8", "InternalError", "FFmpeg failed with status 8: No such filter"),
    "early": ("echo frame=3; exit 0", "InternalError", "FFmpeg failed with status 0 and said nothing"),
    "paths are keys": (
        "echo 'Error opening file:/in/1.mp4 and /made/x' >&2; exit 1",
        "InternalError",
        "FFmpeg failed with status 1: Error opening in/a.mp4 and the output/x",
    ),
    "aftermath": (
        (
            "echo 'cause @ 0x55aa' >&2; echo 'Task finished with error code: -1' >&2; echo >&2"
            "; echo 'Terminating thread with return code 0' >&2; echo '    Last message repeated 3 times' >&2; exit 1"
        ),
        "InternalError",
        "FFmpeg failed with status 1: cause",
    ),
    "last words": (
        "for i in 1 2 3 4 5 6; do echo word $i >&2; done; exit 1",
        "InternalError",
        "FFmpeg failed with status 1: word 3; word 4; word 5; word 6",
    ),
    "damaged source": (
        "echo '[vist#1:0/h264 @ 0x1] bad' >&2; echo '[in#0/mov @ 0x2] worse' >&2; exit 69",
        "InvalidSource",
        "FFmpeg cannot decode in/a.mp4, in/b.mp4: [in/b.mp4] bad; [in/a.mp4] worse",
    ),
    "a damaged source that is not named": (
        "echo 'Invalid data found when processing input' >&2; exit 1",
        "InvalidSource",
        "FFmpeg cannot decode a source: Invalid data found when processing input",
    ),
    "cut off": (
        "echo '[in#1/matroska @ 0x3] File ended prematurely at pos. 7' >&2; echo progress=end",
        "InvalidSource",
        "in/b.mp4 is incomplete: [in/b.mp4] File ended prematurely at pos. 7",
    ),
    "full disk": (
        "echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 228",
        "InsufficientStorage",
        f"{NO_ROOM}: av_interleaved_write_frame(): No space left on device",
    ),
    "a full disk that FFmpeg overlooked": (
        "echo 'Error: No space left on device' >&2; echo progress=end",
        "InsufficientStorage",
        f"{NO_ROOM}: Error: No space left on device",
    ),
    "a file that may not grow": (
        "echo 'File too large' >&2; exit 1",
        "InsufficientStorage",
        f"{NO_ROOM}: File too large",
    ),
    "a signal for a file that may not grow": (
        "kill -XFSZ $$",
        "InsufficientStorage",
        NO_ROOM,
    ),
    "memory": (
        "echo '[vf#0] Cannot allocate memory' >&2; exit 244",
        "MemoryLimitExceeded",
        f"{NO_MEMORY}: [vf#0] Cannot allocate memory",
    ),
    "memory of C++": (
        "echo 'terminate called: std::bad_alloc' >&2; kill -ABRT $$",
        "MemoryLimitExceeded",
        f"{NO_MEMORY}: terminate called: std::bad_alloc",
    ),
    "memory of a thread": (
        "echo 'pthread_create failed: Resource temporarily unavailable' >&2; exit 1",
        "MemoryLimitExceeded",
        f"{NO_MEMORY}: pthread_create failed: Resource temporarily unavailable",
    ),
    "memory of x264": (
        "echo 'x264 [error]: malloc of size 12345 failed' >&2; exit 1",
        "MemoryLimitExceeded",
        f"{NO_MEMORY}: x264 [error]: malloc of size 12345 failed",
    ),
    "crash": ("kill -SEGV $$", "InternalError", "FFmpeg was killed by signal 11 and said nothing"),
    "killed": (
        "kill -KILL $$",
        "InternalError",
        "FFmpeg was killed by signal 9, which is what happens when memory runs out",
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_how_a_run_ends(tmp_path: Path, case: str) -> None:
    text, code, message = ENDS[case]
    assert failure(task(tmp_path, text)) == (code, message)


def test_memory_that_was_short_for_a_moment_is_no_failure(tmp_path: Path) -> None:
    assert perform(task(tmp_path, "echo 'Cannot allocate memory, retrying' >&2; echo progress=end")) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/nowhere/ffmpeg"], "FFmpeg could not be started: .*/nowhere/ffmpeg"),
        (["/etc/passwd"], "FFmpeg could not be started: .*[Pp]ermission denied"),
    ],
)
def test_a_program_that_cannot_be_started(tmp_path: Path, command: list[str], message: str) -> None:
    with pytest.raises(RenderError, match=message) as caught:
        perform(task(tmp_path, command=command))
    assert "install imageio-ffmpeg" in (caught.value.advice or "")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    there = task(tmp_path, "echo progress=end")
    gone = Run(there.command, tmp_path / "gone", there.environment, there.frames, there.patience, there.words)
    with pytest.raises(RenderError, match="FFmpeg could not be started"):
        perform(gone)


# --- hanging, stopping, dying ----------------------------------------------------------------------------------------


def endless(mark: Path) -> list[str]:
    """A real FFmpeg that would run for ever and says so in its arguments."""
    film = ["-f", "lavfi", "-i", "testsrc2=s=320x240", "-metadata", f"comment={mark}"]
    return [
        FFMPEG.path,
        "-v",
        "error",
        "-nostdin",
        "-progress",
        "pipe:1",
        "-stats_period",
        "0.05",
        *film,
        "-f",
        "null",
        "-",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo frame=3; while :; do echo frame=3; sleep 0.05; done", "after frame 3 of 10"),
        ("sleep 1000", "after frame 0 of 10"),
        ("trap '' TERM; echo frame=1; sleep 1000", "after frame 1 of 10"),
        ("echo frame=2; exec >&- 2>&-; sleep 1000", "after frame 2 of 10"),
    ],
)
def test_a_program_that_hangs_is_given_up_with_all_that_it_started(tmp_path: Path, text: str, message: str) -> None:
    code, said = failure(task(tmp_path, text, patience=0.4))
    assert (code, said) == ("Timeout", f"FFmpeg made no progress for 0.4 s {message}")
    assert none_left(str(tmp_path))


def test_patience_begins_anew_with_every_frame(tmp_path: Path) -> None:
    text = "for i in 1 2 3 4 5 6; do echo frame=$i; sleep 0.25; done; echo progress=end"
    assert perform(task(tmp_path, text, patience=1.0)) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


async def begin(start: Run) -> asyncio.Task[None]:
    """Start a run; return when it has told of its first frame."""
    begun = asyncio.Event()
    running = asyncio.create_task(run(start, lambda _: begun.set()))
    waiter = asyncio.create_task(begun.wait())
    await asyncio.wait((running, waiter), return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    return running


def encoders(mark: Path) -> list[int]:
    """The processes that are FFmpeg itself, not what started it."""
    return [pid for pid, arguments in relatives(str(mark)).items() if arguments[0] == FFMPEG.path]


def interrupted(folder: Path, interrupt: Callable[[asyncio.Task[None]], object]) -> None:
    async def main() -> None:
        running = await begin(task(folder, command=endless(folder), frames=10**9))
        assert len(encoders(folder)) == 1
        interrupt(running)
        await running

    asyncio.run(main())


def test_cancelling_leaves_nothing_running(tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        interrupted(tmp_path, lambda running: running.cancel())
    assert relatives(str(tmp_path)) == {}


def test_a_killed_ffmpeg_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match="FFmpeg was killed by signal 9") as caught:
        interrupted(tmp_path, lambda _: os.kill(encoders(tmp_path)[0], signal.SIGKILL))
    assert caught.value.code == "InternalError"
    assert none_left(str(tmp_path))


def test_an_ffmpeg_that_ends_politely_but_early_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match="FFmpeg failed with status 255") as caught:
        interrupted(tmp_path, lambda _: os.kill(encoders(tmp_path)[0], signal.SIGTERM))
    assert caught.value.code == "InternalError"
    assert none_left(str(tmp_path))


PARENT = """
import asyncio, sys
from pathlib import Path
from reconciler.service.process import run
from tests.service.test_process import endless, task

folder = Path(sys.argv[1])
start = task(folder, command=endless(folder), frames=10**9)
asyncio.run(run(start, lambda _: print("begun", flush=True)))
"""


def test_no_ffmpeg_outlives_a_killed_parent(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        assert len(encoders(tmp_path)) == 1
        parent.kill()
    assert none_left(str(tmp_path))
