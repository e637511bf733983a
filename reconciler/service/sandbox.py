"""What a program that reads other people's media may touch: the command that starts it without any other right.

A decoder that a crafted file has taken over is still only a program that can read its inputs and write its output.
Which of two mechanisms sees to that is found out by trying them; ``confine`` is the second one. Starting, watching
and ending the program is the business of whoever runs it.
"""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from reconciler.errors import RenderError

__all__ = ["NOT_CONFINED", "Kind", "Limits", "Sandbox", "planted"]

Kind = Literal["bubblewrap", "landlock", "none"]
_Right = Literal["run", "read", "write"]

NOT_CONFINED: Final = 125
"""The status of a command that could not set up its limits or its sandbox; the program did not start."""

_VARIABLE: Final = "RECONCILER_SANDBOX"
_ADVICE: Final = f"set {_VARIABLE} to auto, bubblewrap, landlock or none"

_LIBRARIES: Final = (
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"),
    *("/etc/ld.so.cache", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path", "/etc/alternatives"),
    *("/nix/store", "/gnu/store", "/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/fontconfig", "/etc/fonts"),
)
"""What any program may need to start and to draw letters. Nothing below them is anybody's secret."""

_PROGRAMS: Final = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin")
"""What a script needs besides."""

_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

_ISOLATED: Final = ("--unshare-all", "--die-with-parent", "--cap-drop", "ALL")
_CONFINE: Final = Path(__file__).with_name("confine.py")
_BLOCK: Final = 512
"""The unit in which the shell counts the size of files."""

_UNIT: Final = 1024
"""That in which it counts memory."""

_TRIAL: Final = ': >"$1"/mine || exit 3; (: <"$2") 2>/dev/null && exit 4; exit 0'
_TRIAL_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the system lets one process use; None is whatever we may use ourselves.

    ``memory`` is in bytes of address space: a bomb fails to unpack instead of driving the machine out of memory.
    Threads reserve space that they never fill, so it has to be generous. ``file_size`` is in bytes that a file may
    grow to, rounded up to 512: beyond it the program is killed by SIGXFSZ before the disk is full. ``open_files`` is a
    number of descriptors. ``core`` is in bytes of the picture that a crash leaves: none, for it would hold the media.
    """

    memory: int | None = None
    file_size: int | None = None
    open_files: int | None = 256
    core: int | None = 0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How programs are kept in.

    ``reason`` says why it is nothing stronger; empty for the strongest. ``program`` is where bubblewrap is.
    ``libraries`` are the folders of LD_LIBRARY_PATH: they may be read.
    """

    kind: Kind
    reason: str = ""
    program: str = ""
    libraries: tuple[Path, ...] = ()

    @staticmethod
    def detect(environ: Mapping[str, str]) -> Sandbox:
        """Return the strongest sandbox that works here, or the one that RECONCILER_SANDBOX names.

        Tries them the first time it is asked, which takes some 20 ms. Raises RenderError when the one that is named
        does not work.
        """
        folders = environ.get("LD_LIBRARY_PATH", "").split(":")
        libraries = tuple(Path(folder) for folder in folders if folder.startswith("/"))
        return _detect(environ.get(_VARIABLE) or "auto", environ.get("PATH"), libraries)

    def command(self, argv: Sequence[str], *, reads: Sequence[Path], writes: Path | None, limits: Limits) -> list[str]:
        """Return what to start instead of ``argv``: the same program, that cannot do more than it needs.

        It can read ``reads`` (files, or folders with all below them; symbolic links are resolved now), itself and the
        system's libraries; it can write below the folder ``writes`` alone, or nowhere; it reaches neither the network
        nor another process. All paths are absolute, and the same inside; the working folder is ``writes``, else
        the root. The environment is the one that the command is started with. With the kind none there are only the
        limits, and the working folder is that of the command.

        Start it in a session of its own, and end that with SIGKILL to its process group; on Linux it also ends when
        the thread that started it does. Status ``NOT_CONFINED`` with a word on standard error means that the program
        did not start; bubblewrap says so with status 1. What it has written may be anything: see ``planted``.
        """
        given = _within(limits)
        if self.kind == "none":
            return [*_limited(given), *argv]
        needs = _needs(Path(argv[0]), [Path(path) for path in reads], writes, self.libraries)
        if self.kind == "bubblewrap":
            place = ["--chdir", str(writes or "/")]
            return [*_limited(given), self.program, *_ISOLATED, *_mounts(needs), *place, "--", *argv]
        rules = [word for path, right in needs.items() for word in (right, str(path))]
        numbers = [word for name, value in given.items() for word in (name, str(value))]
        null = ["write", "/dev/null"]
        return [sys.executable, "-I", "-S", str(_CONFINE), *rules, *null, *numbers, "--", *argv]


def planted(folder: Path) -> list[Path]:
    """Return what a program left in its folder that is neither a folder nor a file there and nowhere else.

    A link would make whoever takes the results give away what it leads to.
    """
    found = [Path(where, name) for where, folders, names in os.walk(folder) for name in (*folders, *names)]
    return [path for path in found if not _is_plain(path.lstat())]


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)


@cache
def _detect(wanted: str, path: str | None, libraries: tuple[Path, ...]) -> Sandbox:
    if wanted not in ("auto", "bubblewrap", "landlock", "none"):
        raise RenderError(f"{_VARIABLE} is {wanted}, which is no sandbox", advice=_ADVICE)
    if wanted == "none":
        return Sandbox("none", f"{_VARIABLE} says so", libraries=libraries)
    reasons: list[str] = []
    for candidate in _candidates(wanted, path, libraries):
        fault = _fault(candidate)
        if not fault:
            return Sandbox(candidate.kind, "; ".join(reasons), candidate.program, libraries)
        reasons.append(f"{candidate.kind} {fault}")
    if wanted != "auto":
        raise RenderError(f"{_VARIABLE} is {wanted}, but {reasons[0]}", advice=_ADVICE)
    return Sandbox("none", "; ".join(reasons), libraries=libraries)


def _candidates(wanted: str, path: str | None, libraries: tuple[Path, ...]) -> Iterator[Sandbox]:
    if wanted in ("auto", "bubblewrap"):
        yield Sandbox("bubblewrap", program=shutil.which("bwrap", path=path) or "", libraries=libraries)
    if wanted in ("auto", "landlock"):
        yield Sandbox("landlock", libraries=libraries)


def _fault(sandbox: Sandbox) -> str:
    """Return why a sandbox does not work here, nothing when it does: a shell must run in it, write, and not read."""
    if sys.platform != "linux":
        return "needs Linux"
    if sandbox.kind == "bubblewrap" and not sandbox.program:
        return "is not installed"
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        writes, secret = Path(folder, "writes"), Path(folder, "secret")
        writes.mkdir()
        secret.touch()
        argv = ["/bin/sh", "-c", _TRIAL, "trial", str(writes), str(secret)]
        command = sandbox.command(argv, reads=(), writes=writes, limits=Limits())
        try:
            done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=_TRIAL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            return f"does not start: {error}"
        if done.returncode == 0:
            return ""
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"does not work here: {said[-1] if said else f'status {done.returncode}'}"


def _within(limits: Limits) -> dict[str, int]:
    """Return the limits that were asked for, none higher than our own, which nobody may exceed."""
    kinds = {
        "memory": (limits.memory, resource.RLIMIT_AS),
        "file_size": (limits.file_size, resource.RLIMIT_FSIZE),
        "open_files": (limits.open_files, resource.RLIMIT_NOFILE),
        "core": (limits.core, resource.RLIMIT_CORE),
    }
    found = {}
    for name, (value, kind) in kinds.items():
        if value is not None:
            most = resource.getrlimit(kind)[1]
            found[name] = (
                value
                if most == resource.RLIM_INFINITY
                else min(value, most - most % (1 if name == "open_files" else _UNIT))
            )
    if sys.platform == "darwin":  # its kernel takes the limit and keeps to none
        found.pop("memory", None)
    return found


def _limited(limits: Mapping[str, int]) -> list[str]:
    """Return what goes before a command for the limits to hold: the shell sets them and becomes the command."""
    options = {"memory": ("-v", _UNIT), "file_size": ("-f", _BLOCK), "open_files": ("-n", 1), "core": ("-c", _BLOCK)}
    settings = []
    for name, value in limits.items():
        option, unit = options[name]
        settings.append(f"ulimit {option} {-(-value // unit)} || exit {NOT_CONFINED}")
    return ["/bin/sh", "-c", "; ".join([*settings, 'exec "$@"']), "reconciler-limited"]


def _needs(program: Path, reads: Sequence[Path], writes: Path | None, libraries: Sequence[Path]) -> dict[Path, _Right]:
    """Return every path that the program may use, with what for; the later of two that overlap is meant."""
    needs: dict[Path, _Right] = {}
    system = [*map(Path, _LIBRARIES), *libraries, *_beside(program), *_interpreter(program)]
    needs.update((path, "run") for path in system if path.exists())
    needs[program] = "run"
    needs.update((Path(device), "read") for device in _DEVICES)
    needs.update((path, "read") for path in reads)
    if writes is not None:
        needs[writes] = "write"
    return needs


def _beside(program: Path) -> Iterator[Path]:
    """Yield where a program that was not installed by the system has its libraries: bin/ffmpeg has them in lib."""
    folder = program.resolve().parent
    if folder.name == "bin" and folder != Path("/bin"):
        yield folder.parent / "lib"


def _interpreter(program: Path) -> Iterator[Path]:
    """Yield what a program needs that is a script: what runs it, and what it may call."""
    try:
        with program.open("rb") as file:
            first = file.readline(256)
    except OSError:  # whoever starts it will say so
        return
    if first.startswith(b"#!") and (words := first[2:].split()):
        yield Path(os.fsdecode(words[0]))
        yield from map(Path, _PROGRAMS)


def _mounts(needs: Mapping[Path, _Right]) -> list[str]:
    """Return bubblewrap's options: what is visible, at its own path, outer folders first; the rest is read-only."""
    options, mounted = [], {path.resolve(): right for path, right in needs.items()}
    for path, right in sorted(mounted.items(), key=lambda item: len(item[0].parts)):
        bind = "--bind" if right == "write" else "--dev-bind" if str(path) in _DEVICES else "--ro-bind"
        options += [bind, str(path), str(path)]
    for path in sorted(needs, key=lambda path: len(path.parts)):
        target = path.resolve()
        if path != target and not any(path.is_relative_to(other) for other in (*mounted, *_earlier(path, needs))):
            options += ["--symlink", str(target), str(path)]
    return [*options, "--remount-ro", "/"]


def _earlier(path: Path, needs: Mapping[Path, _Right]) -> Iterator[Path]:
    """Yield the paths through which ``path`` is visible already."""
    return (other for other in needs if other != path and path.is_relative_to(other))
