"""Probing in a process of its own: a file that crashes a decoder, hangs it or takes it over ends that process alone.

The process lives in the sandbox and is kept between questions. A question and its answer are one line of JSON each;
an answer is validated like any other input from outside. What is asked is the business of ``probe``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import BoundedSemaphore, Condition, Event, Lock
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import TypeAdapter

from reconciler.api.media import MediaInfo
from reconciler.errors import RenderError
from reconciler.service.probe import DEMUXERS, Probe, ProbeError
from reconciler.service.sandbox import Limits, Sandbox

AT_ONCE: Final = 4
"""How many helpers there are at most."""

_WORTH_WAITING: Final = 0.3
"""Seconds that a question waits for a helper at work before it starts another one: that takes half as long."""

REMEMBERED: Final = 1000
"""How many probes are remembered."""

_LIMITS: Final = Limits(memory=2 << 30, file_size=0, open_files=64)
_START_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
"""How often whoever waits looks whether the answer is still wanted."""

_LONGEST_ANSWER: Final = 1 << 20
_LONGEST_WORDS: Final = 500
_PLAIN: Final = re.compile(r"[\w.,/+-]{0,200}", re.ASCII)
"""A word of a probe: names of formats and of kinds of samples, and fractions."""

_NEEDED: Final = ("av", "pydantic", "pydantic_core", "typing_extensions", "annotated_types", "typing_inspection")

_BOOT: Final = """
import sys, types
sys.path[:0] = sys.argv[2:]
for name, folder in (("reconciler", ""), ("reconciler.service", "/service")):
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + folder]
from reconciler.service.probing import main
main()
"""
"""Starts a helper.

What the packages do when they are imported is left out: it loads the whole service, which no decoder needs; and the
folder around ours cannot be searched from inside, for it may be the project's.
"""

_GUARDED: Final = """
exec 3<&2 4<&0 </dev/null 2>/dev/null
"$@" <&4 2>&1 3<&- 4<&- &
helper=$!
exec 4<&- >/dev/null
read -r _ <&3
kill -9 "$helper"
"""
"""Keeps a helper for exactly as long as somebody holds the other end of the shell's standard error.

That end is ours and closes when we die. Standard input and output are the helper's; its complaints about not being
able to start come before its first answer.
"""

_Question = Literal["probe", "media_info"]
_Answer = TypeVar("_Answer")
_Key = tuple[str, int, int, int]


class Prober:
    """Probes files below the folders ``reads``, with the functions of ``probe``; safe to use from several threads.

    Helpers are started when they are first needed. What ``probe`` found is remembered for as long as the file stays
    the same.
    """

    def __init__(self, reads: Sequence[Path], sandbox: Sandbox) -> None:
        self._command = _command(reads, sandbox)
        self._environment = _environment(sandbox)
        self._places = BoundedSemaphore(AT_ONCE)
        self._lock = Lock()
        self._returned = Condition(self._lock)
        self._starting = 0
        self._idle: list[_Helper] = []
        self._working: list[_Helper] = []
        self._known: OrderedDict[_Key, Probe] = OrderedDict()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def probe(self, path: Path, *, timeout: float = 30.0, given_up: Event | None = None) -> Probe:
        """Return what ``probe.probe`` says of a file, at once if it said so before.

        ``timeout`` is in seconds; when ``given_up`` is set nobody waits any more. Raises ProbeError, also for a file
        that crashes or hangs the decoder; RenderError when the helper cannot be started.
        """
        key = _key(path)
        if (known := self._recall(key)) is not None:
            return known
        found = self._ask("probe", path, _Waiting(timeout, given_up), _read_probe)
        self._remember(key, found)
        return found

    def media_info(self, path: Path, *, timeout: float = 30.0) -> MediaInfo:
        """Return what ``results.media_info`` says of a result. ``timeout`` and errors are those of ``probe``."""
        return self._ask("media_info", path, _Waiting(timeout), MediaInfo.model_validate)

    def close(self) -> None:
        """End the helpers, also those that are at work: their questions fail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for helper in self._working:
                helper.kill()
        for helper in idle:
            helper.end()

    def _recall(self, key: _Key | None) -> Probe | None:
        with self._lock:
            if key is None or key not in self._known:
                return None
            self._known.move_to_end(key)
            return self._known[key]

    def _remember(self, key: _Key | None, found: Probe) -> None:
        if key is None:
            return
        with self._lock:
            self._known[key] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _ask(self, question: _Question, path: Path, waiting: _Waiting, read: Callable[[Any], _Answer]) -> _Answer:
        """Ask a helper; one that died may have been killed by somebody, so the file is only to blame for a second."""
        try:
            return self._asked(question, path, waiting, read)
        except _CrashError:
            if self._closed:
                raise
            return self._asked(question, path, waiting, read)

    def _asked(self, question: _Question, path: Path, waiting: _Waiting, read: Callable[[Any], _Answer]) -> _Answer:
        with self._helper(waiting) as helper:
            answer = helper.ask(question, path, waiting)
            if isinstance(answer.get("error"), str):
                raise ProbeError(_printable(answer["error"]))
            try:
                return read(answer.get("answer"))
            except (ValueError, ArithmeticError):
                helper.end()
                raise ProbeError("is not a video that can be read: what its headers say makes no sense") from None

    @contextmanager
    def _helper(self, waiting: _Waiting) -> Iterator[_Helper]:
        """Give a helper that is ready; it is kept afterwards if it still is."""
        while not self._places.acquire(timeout=_LOOK_SECONDS):
            waiting.check()
        try:
            helper = self._taken()
            try:
                yield helper
            finally:
                with self._returned:
                    self._working.remove(helper)
                    kept = not self._closed and helper.running
                    if kept:
                        self._idle.append(helper)
                    self._returned.notify()
                if not kept:
                    helper.end()
        finally:
            self._places.release()

    def _taken(self) -> _Helper:
        """Take an idle helper, or start one when none becomes idle soon: an answer takes less time than a start."""
        with self._returned:
            if self._working or self._starting:
                self._returned.wait_for(lambda: self._idle or self._closed, _WORTH_WAITING)
            helper = self._idle.pop() if self._idle else None
            self._starting += 1
        try:
            return self._ready(helper)
        finally:
            with self._returned:
                self._starting -= 1

    def _ready(self, helper: _Helper | None) -> _Helper:
        if helper is None or not helper.ready():
            helper = _Helper(self._command, self._environment)
        with self._lock:
            self._working.append(helper)
            if self._closed:
                helper.kill()
        return helper


class _CrashError(ProbeError):
    """A helper died over a question."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How long an answer is waited for: ``timeout`` seconds, and no longer than somebody wants it."""

    timeout: float
    given_up: Event | None = None

    def check(self) -> None:
        """Raise ProbeError when nobody wants an answer any more."""
        if self.given_up is not None and self.given_up.is_set():
            raise ProbeError("was not looked at to the end: nobody wants to know any more")


class _Helper:
    """One helper process, from its start to its end."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        guard, self._guard = os.pipe()
        self.running = True
        self._pending = b""
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARDED, "reconciler-probe", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=guard,
                env=environment,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._guard)
            raise RenderError(f"the prober could not be started: {error}") from None
        finally:
            os.close(guard)
        self._greet()

    def _greet(self) -> None:
        """Wait until it is ready. Raises RenderError with the last line that it said when it will never be."""
        words = b"it said nothing"
        with contextlib.suppress(TimeoutError):
            while line := self._line(_START_SECONDS):
                if line == b"ready":
                    return
                words = line
        self.end()
        raise RenderError(f"the prober could not be started: {_printable(words.decode('utf-8', 'replace'))}")

    def ready(self) -> bool:
        """Tell whether it waits for a question; a helper that ended or talks out of turn is thrown away."""
        if self._readable(0.0) or self._pending:
            self.end()
        return self.running

    def ask(self, question: _Question, path: Path, waiting: _Waiting) -> dict[str, Any]:
        """Return the answer to one question. Raises ProbeError, and is at its end, when there is none in time."""
        line = json.dumps({"question": question, "path": str(path.absolute())}).encode() + b"\n"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            answer = self._line(waiting.timeout, waiting.check)
        except BrokenPipeError:
            answer = b""
        except TimeoutError:
            self.end()
            raise ProbeError(f"cannot be read within {waiting.timeout:g} s") from None
        except BaseException:
            self.end()
            raise
        try:
            found = json.loads(answer, parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.end()
            raise _CrashError("makes the decoder crash")
        return found

    def kill(self) -> None:
        """Stop it, from any thread; whoever waits for its answer gets none."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing of it."""
        if not self.running:
            return
        self.running = False
        self.kill()
        self._process.wait()
        os.close(self._guard)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self, timeout: float, check: Callable[[], None] = lambda: None) -> bytes:
        """Return the next line, without its end; less at the end. Raises TimeoutError, and what ``check`` raises."""
        assert self._process.stdout is not None
        end = time.monotonic() + timeout
        while b"\n" not in self._pending and len(self._pending) < _LONGEST_ANSWER:
            check()
            left = end - time.monotonic()
            if not self._readable(min(left, _LOOK_SECONDS)):
                if left <= 0:
                    raise TimeoutError
                continue
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                break
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _readable(self, timeout: float) -> bool:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return bool(selector.select(max(timeout, 0.0)))


def _key(path: Path) -> _Key | None:
    try:
        status = path.stat()
    except OSError:  # the probe will say so in its own words
        return None
    return (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)


def _finite(word: str) -> float:
    """Read a number; JSON as Python reads it knows others that would stop the planning of a render."""
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is no number")
    return value


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else " " for c in words[:_LONGEST_WORDS])


def _environment(sandbox: Sandbox) -> dict[str, str]:
    libraries = ":".join(map(str, sandbox.libraries))
    return {"LC_ALL": "C"} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def _command(reads: Sequence[Path], sandbox: Sandbox) -> list[str]:
    """Return how a helper is started: with this Python, but only the modules that it needs."""
    program = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    package = Path(__file__).resolve().parents[1]
    folders = list(dict.fromkeys(_folder(name) for name in _NEEDED))
    standard = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    visible = [path for path in (package, *folders, *standard, *(p.absolute() for p in reads)) if path.exists()]
    argv = [str(program), "-I", "-S", "-B", "-c", _BOOT, str(package), *map(str, folders)]
    return sandbox.command(argv, reads=visible, writes=None, limits=_LIMITS)


def _folder(module: str) -> Path:
    """Return the folder that has to be searched for a module to be found."""
    spec = find_spec(module)
    assert spec is not None, f"{module} is a dependency"
    if spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]).resolve().parent
    assert spec.origin is not None, f"{module} is a file"
    return Path(spec.origin).resolve().parent


@cache
def _probes() -> TypeAdapter[Probe]:
    return TypeAdapter(Probe)


def _read_probe(answer: Any) -> Probe:
    """Read what a helper said; its words get into FFmpeg's command, so that they must not be able to say anything."""
    found = _probes().validate_python(answer)
    if found.demuxer not in DEMUXERS or not all(map(_PLAIN.fullmatch, _words(answer))):
        raise ValueError("an answer that no probe gives")
    return found


def _words(answer: Any) -> Iterator[str]:
    """Yield every text in an answer."""
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, dict | list):
        for part in answer.values() if isinstance(answer, dict) else answer:
            yield from _words(part)
