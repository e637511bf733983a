"""Run as a script: gives up every right that a program does not need, then becomes that program. Linux only.

    python -I -S confine.py [WORD VALUE]... -- PROGRAM [ARGUMENT]...

The words are ``run``, ``read`` and ``write`` with a path (a file, or a folder with all below it), and ``memory``,
``file_size``, ``open_files`` and ``core`` with a number. Landlock decides about files, TCP and signals; seccomp about
what Landlock leaves open: other sockets, the modes and times of files, other processes. Nothing is started when any
part of this fails: status 125 and one line on standard error say so; 127 is a program that cannot be started.

Knows nothing of the rest of the package and imports little, because it starts once for every render.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys

NOT_CONFINED = 125
NOT_STARTED = 127

_LIBC = ctypes.CDLL(None, use_errno=True)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# Landlock's rights, by bit.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_RIGHTS = {
    "run": _EXECUTE | _READ_FILE | _READ_DIR,
    "read": _READ_FILE | _READ_DIR,
    # No links, pipes, sockets and devices: whoever takes the result would follow or wait for them.
    "write": _READ_FILE
    | _READ_DIR
    | (_WRITE_FILE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE | _MAKE_DIR | _REMOVE_DIR | _REFER),
}
_KNOWN_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many of the rights a version of Landlock knows; all sixteen from version 5 on."""

_LIMITS = {
    "memory": resource.RLIMIT_AS,
    "file_size": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
}

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The processors whose system calls are known here, by seccomp's number of each."""

_X32 = 0x40000000
"""From this number on, x86-64 has a second set of the same calls."""

# By name: (x86-64, AArch64), None where there is no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "io_uring_setup": (425, 425), "bpf": (321, 280), "userfaultfd": (323, 282),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "perf_event_open": (298, 241), "setpriority": (141, 140),
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268), "mount_setattr": (442, 442),
    "file_setattr": (469, 469),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
_SIGNALLING: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
"""Denied where Landlock is too old to keep signals inside; whoever aborts then dies of another signal."""

_PRLIMIT = {"x86_64": 302, "aarch64": 261}
"""Allowed for the limits of the caller itself only."""


class CannotConfineError(Exception):
    """A right could not be given up."""


def main(words: list[str]) -> int:
    """Confine this process and become the program; returns only when that failed."""
    try:
        end = words.index("--")
        pairs, command = list(zip(words[:end:2], words[1:end:2], strict=True)), words[end + 1 :]
        _confine(pairs)
    except (CannotConfineError, LookupError, OSError, ValueError) as error:
        return _failed(NOT_CONFINED, f"cannot confine {words[-1] if words else 'nothing'}: {error}")
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except (IndexError, OSError) as error:
        return _failed(NOT_STARTED, f"{command[:1]}: {error}")


def _failed(status: int, message: str) -> int:
    os.write(2, f"confine: {message}\n".encode("utf-8", "replace"))
    return status


def _confine(pairs: list[tuple[str, str]]) -> None:
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        raise CannotConfineError(f"the system calls of {machine} are not known")
    version = _landlock_version()
    os.chdir(next((value for word, value in pairs if word == "write" and value != os.devnull), "/"))
    os.closerange(3, 1024)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so
        signal.signal(number, signal.SIG_DFL)
    _call(_control(_PR_SET_PDEATHSIG, int(signal.SIGKILL)), "dying with the parent")
    _call(_control(_PR_SET_NO_NEW_PRIVS, 1), "giving up privileges")
    _restrict_files(version, [(word, value) for word, value in pairs if word not in _LIMITS])
    _restrict_calls(machine, version)
    for word, value in pairs:  # last: the limit of memory is the program's, not this one's
        if word in _LIMITS:
            resource.setrlimit(_LIMITS[word], (int(value), int(value)))


def _call(result: int, what: str) -> int:
    if result < 0:
        raise CannotConfineError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *given))


def _control(*arguments: int) -> int:
    return int(_LIBC.prctl(*(ctypes.c_ulong(number) for number in (*arguments, 0, 0, 0, 0)[:5])))


def _landlock_version() -> int:
    return _call(_system_call(_CREATE_RULESET, None, 0, 1), "Landlock")


def _restrict_files(version: int, paths: list[tuple[str, str]]) -> None:
    """Deny every file but those below the paths, TCP, and whatever else this Landlock can deny."""
    handled = (1 << _KNOWN_RIGHTS.get(version, 16)) - 1
    tcp, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("=QQQ", handled, tcp, scopes)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _call(_system_call(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    for word, path in paths:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _RIGHTS[word] & handled
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs milliseconds
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, opened)
        _call(_system_call(_ADD_RULE, ruleset, 1, rule, 0), f"Landlock, {path}")
        os.close(opened)
    _call(_system_call(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _restrict_calls(machine: str, version: int) -> None:
    """Deny the system calls that Landlock does not judge: they fail with EPERM."""
    denied = _DENIED if version >= 6 else _DENIED | _SIGNALLING
    column = list(_ARCHITECTURES).index(machine)
    numbers = [call[column] for call in denied.values()]
    program = _filter(machine, [number for number in numbers if number is not None])
    instructions = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions)))
    _call(_control(_PR_SET_SECCOMP, 2, ctypes.addressof(head)), "seccomp")


def _filter(machine: str, denied: list[int]) -> bytes:
    """Write the filter in the kernel's language: load a word of the call's data, compare, jump ahead, return."""
    load, equal, at_least, verdict = 0x20, 0x15, 0x35, 0x06
    tests = [(equal, number) for number in denied]
    if machine == "x86_64":
        tests.insert(0, (at_least, _X32))
    code = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (verdict, 0, 0, 0x50001), (load, 0, 0, 0)]
    for position, (operation, number) in enumerate(tests):
        code.append((operation, len(tests) - position + 3, 0, number))
    code += [
        (equal, 0, 2, _PRLIMIT[machine]),
        (load, 0, 0, 16),  # the first argument: whose limits
        (equal, 0, 1, 0),
        (verdict, 0, 0, 0x7FFF0000),  # allow
        (verdict, 0, 0, 0x50001),  # fail with EPERM
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
