"""The launcher: it confines or it fails, and the filter of system calls says what it should on every processor."""

from __future__ import annotations

import ast
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.service import confine
from reconciler.service.confine import NOT_CONFINED, NOT_STARTED
from tests.service.kinds import PYTHON, confined

SCRIPT = Path(confine.__file__)
SYSTEM = [word for path in ("/lib", "/lib64", "/usr/lib", "/bin", "/usr/bin") if Path(path).exists() for word in ("run", path)]  # fmt: skip
ERRNO, ALLOW = 0x50001, 0x7FFF0000


@pytest.fixture(autouse=True)
def landlock() -> None:
    confined("landlock")


def launched(*words: str, before: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the launcher, after some lines of Python in it."""
    start = [str(SCRIPT)]
    if before:
        start = ["-c", f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import confine\n{before}\nsys.exit(confine.main(sys.argv[1:]))"]  # fmt: skip
    command = [sys.executable, "-I", "-S", *start, *words]
    return subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False, timeout=60)


def test_the_status_and_the_words_of_the_program_are_passed_on() -> None:
    done = launched(*SYSTEM, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), b"cannot confine nothing"),
        (("/bin/echo", "started"), b"cannot confine"),
        (("run", "/usr/lib", "read", "--", "/bin/echo", "started"), b"zip() argument 2 is shorter"),
        (("read", "/nowhere/file", "--", "/bin/echo", "started"), b"No such file or directory: '/nowhere/file'"),
        (("look", "/", "--", "/bin/echo", "started"), b"look"),
        ((*SYSTEM, "memory", "much", "--", "/bin/echo", "started"), b"invalid literal"),
        ((*SYSTEM, "open_files", str(1 << 40), "--", "/bin/echo", "started"), b"confine: cannot confine"),
    ],
)
def test_nothing_starts_that_is_not_confined(words: tuple[str, ...], said: bytes) -> None:
    done = launched(*words)
    assert done.returncode == NOT_CONFINED
    assert done.stdout == b""
    assert done.stderr.startswith(b"confine: ")
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr


def test_a_kernel_that_refuses_is_told() -> None:
    for refused in ("_CREATE_RULESET", "_ADD_RULE", "_RESTRICT_SELF"):
        done = launched(*SYSTEM, "--", "/bin/echo", "started", before=f"confine.{refused} = 9999")
        assert (done.returncode, done.stdout) == (NOT_CONFINED, b"")
        assert b"Landlock" in done.stderr
        assert b"Function not implemented" in done.stderr
    for refused in ("_PR_SET_SECCOMP", "_PR_SET_NO_NEW_PRIVS", "_PR_SET_PDEATHSIG"):
        done = launched(*SYSTEM, "--", "/bin/echo", "started", before=f"confine.{refused} = 9999")
        assert (done.returncode, done.stdout) == (NOT_CONFINED, b"")
    done = launched("--", "/bin/echo", "started", before="confine._ARCHITECTURES.clear()")
    assert (done.returncode, done.stdout) == (NOT_CONFINED, b"")
    assert b"are not known" in done.stderr


@pytest.mark.parametrize("words", [("--",), ("--", "/nowhere/program"), (*SYSTEM, "--", "/etc/hostname")])
def test_a_program_that_cannot_be_started(words: tuple[str, ...]) -> None:
    assert launched(*words).returncode == NOT_STARTED


def test_a_program_finds_signals_as_usual() -> None:
    """Python ignores SIGPIPE: FFmpeg would go on writing for nobody."""
    done = launched(*SYSTEM, "--", "/bin/sh", "-c", "kill -s PIPE $$; echo ignored")
    assert (done.returncode, done.stdout) == (-signal.SIGPIPE, b"")


def test_no_descriptor_is_handed_down(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    with (tmp_path / "secret").open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        shell = f"cat <&{file.fileno()}" if file.fileno() < 10 else f"cat /dev/fd/{file.fileno()}"
        command = [sys.executable, "-I", "-S", str(SCRIPT), *SYSTEM, "--", "/bin/sh", "-c", shell]
        done = subprocess.run(command, pass_fds=[file.fileno()], capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_an_older_landlock_is_made_good_for(tmp_path: Path, version: int) -> None:
    """What an old kernel's Landlock lets through, the filter of system calls does not."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_text("mine")
    other.write_text("canary")
    script = f"""
import os, socket
def tried(action):
    try:
        print(action())
    except PermissionError:
        print("denied")
tried(lambda: open({str(mine)!r}).read())
tried(lambda: open({str(other)!r}).read())
tried(lambda: open({str(other)!r}, "w"))
tried(lambda: os.truncate({str(other)!r}, 0))
tried(lambda: os.kill({os.getpid()}, 0))
tried(lambda: socket.socket())
"""
    library = ("run", str(Path(PYTHON).parent.parent / "lib"), "run", PYTHON)
    words = (*SYSTEM, *library, "read", str(mine), "--", PYTHON, "-I", "-S", "-c", script)
    done = launched(*words, before=f"confine._landlock_version = lambda: {version}")
    assert done.stdout.split() == [b"mine", *[b"denied"] * 5], done.stderr
    assert other.read_text() == "canary"


def test_nothing_but_the_standard_library_is_needed() -> None:
    tree = ast.parse(SCRIPT.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


# The filter, judged as the kernel would.


def verdict(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """Run the filter on one system call."""
    code = [struct.unpack("=HBBI", program[start : start + 8]) for start in range(0, len(program), 8)]
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    position = register = 0
    while True:
        operation, yes, no, value = code[position]
        position += 1
        if operation == 0x20:
            (register,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = register == value if operation == 0x15 else register >= value
            position += yes if holds else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_denies_what_is_listed_and_nothing_else(machine: str) -> None:
    column = list(confine._ARCHITECTURES).index(machine)
    calls = {**confine._DENIED, **confine._SIGNALLING}
    denied = {number for call in calls.values() if (number := call[column]) is not None}
    program = confine._filter(machine, sorted(denied))
    architecture, limits = confine._ARCHITECTURES[machine], confine._PRLIMIT[machine]
    verdicts = {number: verdict(program, architecture, number) for number in range(600)}
    assert {number for number, said in verdicts.items() if said == ERRNO} == denied
    assert {said for number, said in verdicts.items() if number not in denied} == {ALLOW}
    assert verdict(program, architecture, limits, 0) == ALLOW
    assert verdict(program, architecture, limits, 4242) == ERRNO


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_denies_every_call_by_the_numbers_of_another_processor(machine: str) -> None:
    program = confine._filter(machine, [41])
    others = [*({0xC000003E, 0xC00000B7, 0x40000003} - {confine._ARCHITECTURES[machine]})]
    assert {verdict(program, other, 0) for other in others} == {ERRNO}
    if machine == "x86_64":
        assert verdict(program, 0xC000003E, 0x40000000 + 1) == ERRNO


def test_no_number_is_listed_twice() -> None:
    for column in range(len(confine._ARCHITECTURES)):
        numbers = [call[column] for call in (confine._DENIED | confine._SIGNALLING).values()]
        known = [number for number in numbers if number is not None]
        assert len(known) == len(set(known))
