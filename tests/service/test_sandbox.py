"""What a program cannot do in the sandbox, tried from inside by one that would."""

from __future__ import annotations

import hashlib
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import RenderError
from reconciler.service.sandbox import NOT_CONFINED, Kind, Limits, Sandbox, planted
from tests.service.kinds import EVERY, FFMPEG, PYTHON, STRONG, confined, told

ERRORS = {"PermissionError", "FileNotFoundError", "OSError", "ProcessLookupError", "ConnectionRefusedError"}

ODD = ("\udcff",) if sys.platform == "linux" else ()
"""Names that are no text, where the file system has them."""

strong = pytest.mark.parametrize("kind", STRONG)
every = pytest.mark.parametrize("kind", EVERY)


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    (folder / "other").write_text("canary")
    (tmp_path / "work").mkdir()
    return folder


@pytest.fixture
def work(bucket: Path) -> Path:
    return bucket.parent / "work"


# Files.


@strong
def test_only_the_named_files_are_read(bucket: Path, work: Path, kind: Kind) -> None:
    found = told(
        confined(kind),
        {
            "mine": f"open({str(bucket / 'mine')!r}).read()",
            "other": f"open({str(bucket / 'other')!r}).read()",
            "list": f"os.listdir({str(bucket)!r}).remove('mine')",
            "around": "[name for name in os.listdir('/') if name not in ('lib', 'tmp')].clear()",
            "passwd": "open('/etc/passwd').read()",
            "processes": "os.listdir('/proc/self')",
        },
        reads=[bucket / "mine"],
        writes=work,
    )
    if kind == "bubblewrap":  # a listing shows nothing but what may be read
        assert (found.pop("list"), found.pop("around")) == ("None", "None")
    assert found.pop("mine") == "'mine'"
    assert set(found.values()) <= ERRORS, found


@strong
def test_a_folder_is_read_with_all_below_it(bucket: Path, work: Path, kind: Kind) -> None:
    (bucket / "in").mkdir()
    (bucket / "in" / "deep").write_text("deep")
    found = told(confined(kind), {"deep": f"open({str(bucket / 'in' / 'deep')!r}).read()"}, reads=[bucket], writes=work)
    assert found == {"deep": "'deep'"}


@strong
def test_only_the_folder_is_written(bucket: Path, work: Path, kind: Kind) -> None:
    (work.parent / "beside").mkdir()
    mine, other, new = str(bucket / "mine"), str(bucket / "other"), str(work / "new")
    before = {path: path.stat() for path in bucket.iterdir()}
    found = told(
        confined(kind),
        {
            "new": f"open({new!r}, 'w').write('new')",
            "renamed": f"os.rename({new!r}, {new + '2'!r})",
            "input": f"open({mine!r}, 'r+').write('x')",
            "appended": f"open({mine!r}, 'a').write('x')",
            "cut": f"os.truncate({mine!r}, 1)",
            "moved": f"os.rename({mine!r}, {str(work / 'moved')!r})",
            "removed": f"os.remove({mine!r})",
            "linked": f"os.link({mine!r}, {str(work / 'linked')!r})",
            "mode": f"os.chmod({mine!r}, 0o777)",
            "times": f"os.utime({mine!r}, (1, 1))",
            "other": f"open({other!r}, 'r+')",
            "created": f"open({str(bucket / 'created')!r}, 'w')",
            "beside": f"open({str(work.parent / 'beside' / 'x')!r}, 'w')",
            "temporary": "open('/tmp/reconciler-sandbox-test', 'w')",
            "root": "open('/reconciler-sandbox-test', 'w')",
        },
        reads=[bucket / "mine"],
        writes=work,
    )
    assert (found.pop("new"), found.pop("renamed")) == ("3", "None")
    assert set(found.values()) <= ERRORS, found
    assert [path.name for path in work.iterdir()] == ["new2"]
    after = {path: path.stat() for path in bucket.iterdir()}
    assert [(s.st_mode, s.st_size, s.st_mtime_ns) for s in after.values()] == [
        (s.st_mode, s.st_size, s.st_mtime_ns) for s in before.values()
    ]


@strong
def test_nothing_is_written_where_nothing_may_be(bucket: Path, work: Path, kind: Kind) -> None:
    found = told(confined(kind), {"work": f"open({str(work / 'x')!r}, 'w')", "here": "open('x', 'w')"}, reads=[bucket])
    assert set(found.values()) <= ERRORS, found


def test_landlock_makes_no_links_pipes_and_sockets(bucket: Path, work: Path) -> None:
    found = told(
        confined("landlock"),
        {
            "symbolic": f"os.symlink('/etc/passwd', {str(work / 'a')!r})",
            "pipe": f"os.mkfifo({str(work / 'b')!r})",
            "device": f"os.mknod({str(work / 'c')!r}, 0o20666, os.makedev(1, 3))",
        },
        writes=work,
    )
    assert set(found.values()) == {"PermissionError"}
    assert not list(work.iterdir())


@every
@pytest.mark.parametrize("name", ["-i", "a:b.mp4", "%03d.png", "http:x", "a b", "ü", "a\nb", "'\"$(x)`", "--", *ODD])
def test_names_are_names(tmp_path: Path, kind: Kind, name: str) -> None:
    inside = tmp_path / f"in{name}"
    inside.mkdir()
    (inside / name).write_text("mine")
    argv = ["/bin/cat", str(inside / name)]
    command = confined(kind).command(argv, reads=[inside / name], writes=tmp_path, limits=Limits())
    assert subprocess.run(command, env={}, capture_output=True, check=True).stdout == b"mine"


@every
def test_links_lead_to_what_they_led_to(bucket: Path, work: Path, kind: Kind) -> None:
    """A folder that is a link (as /tmp is on some systems), a link to the file, a link to the program."""
    linked, inputs, program = (bucket.parent / name for name in ("linked", "inputs", "program"))
    linked.symlink_to(work)
    inputs.symlink_to(bucket)
    (bucket / "link").symlink_to("mine")
    program.symlink_to("/bin/cp")
    argv = [str(program), str(inputs / "link"), str(linked / "copy")]
    command = confined(kind).command(argv, reads=[inputs / "link"], writes=linked, limits=Limits())
    subprocess.run(command, env={}, check=True)
    assert (work / "copy").read_text() == "mine"


def test_what_is_planted_is_found(bucket: Path, work: Path) -> None:
    """Bubblewrap cannot keep a program from making links; whoever takes the results has to look."""
    (work / "deep").mkdir()
    (work / "deep" / "film.mp4").write_text("film")
    assert planted(work) == []
    links = [work / "link", work / "deep" / "hard", work / "folder", work / "pipe"]
    links[0].symlink_to(bucket / "other")
    links[1].hardlink_to(bucket / "other")
    links[2].symlink_to(bucket)
    os.mkfifo(links[3])
    assert sorted(planted(work)) == sorted(links)


# Network, processes, privileges, environment.


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@strong
def test_nothing_is_reached_over_a_network(bucket: Path, work: Path, kind: Kind, listener: socket.socket) -> None:
    path, name = str(work.parent / "s"), f"reconciler-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        for server, address in ((unix, path), (abstract, f"\0{name}")):
            server.bind(address)
            server.listen()
            server.setblocking(False)
        datagrams.bind(("127.0.0.1", 0))
        datagrams.setblocking(False)
        port, udp = listener.getsockname()[1], datagrams.getsockname()[1]
        found = told(
            confined(kind),
            {
                "tcp": f"socket.create_connection(('127.0.0.1', {port}), 5)",
                "unix": f"socket.socket(socket.AF_UNIX).connect({path!r})",
                "abstract": f"socket.socket(socket.AF_UNIX).connect('\\0{name}')",
                "udp": f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))",
            },
            writes=work,
        )
        sent = found.pop("udp")  # bubblewrap's own loopback takes it, and nobody listens there
        assert set(found.values()) <= ERRORS, found
        assert sent in ("1", "PermissionError", "OSError")
        for server in (listener, unix, abstract):
            with pytest.raises(BlockingIOError):
                server.accept()
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)


@strong
def test_no_other_process_is_reached(work: Path, kind: Kind) -> None:
    found = told(
        confined(kind),
        {
            "signal": f"os.kill({os.getpid()}, 0)",
            "limits": f"__import__('resource').prlimit({os.getpid()}, 7)",
            "traced": f"ctypes.CDLL(None).ptrace(16, {os.getpid()}, 0, 0)",
        },
        writes=work,
    )
    assert found.pop("traced") == "-1"
    assert set(found.values()) <= ERRORS, found


@strong
def test_no_privileges(work: Path, kind: Kind) -> None:
    actions = {
        "gains": "ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)",
        "mounts": "ctypes.CDLL(None).mount(b'none', b'/usr', b'tmpfs', 0, None)",
        "remounts": "ctypes.CDLL(None).mount(None, b'/', None, 32 | 4096, None)",
        "root": "os.chroot('/usr')",
    }
    found = told(confined(kind), actions, writes=work)
    assert (found.pop("gains"), found.pop("mounts"), found.pop("remounts")) == ("1", "-1", "-1")
    if kind == "bubblewrap" or os.getuid():
        assert found == {"root": "PermissionError"}


@every
def test_the_environment_is_the_one_that_was_given(work: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "planted")
    given = {"LC_ALL": "C", "LD_LIBRARY_PATH": str(work), "WORD": "a=b"}
    found = told(confined(kind), {"seen": "dict(os.environ)"}, writes=work, environment=given)
    seen = {name: value for name, value in eval(found["seen"]).items() if name not in ("PWD", "OLDPWD", "_", "SHLVL")}
    assert seen == given


# Limits.


@pytest.mark.skipif(sys.platform == "darwin", reason="its kernel does not limit the address space")
@every
def test_memory_is_limited(work: Path, kind: Kind) -> None:
    actions = {"small": "len(bytearray(1 << 20))", "large": "len(bytearray(1 << 30))"}
    found = told(confined(kind), actions, writes=work, limits=Limits(memory=512 << 20))
    assert found == {"small": str(1 << 20), "large": "MemoryError"}


@every
def test_a_file_grows_no_further(work: Path, kind: Kind) -> None:
    command = confined(kind).command(["/bin/cat", "/dev/zero"], reads=[], writes=work, limits=Limits(file_size=65536))
    with (work / "endless").open("wb") as file:
        done = subprocess.run(command, env={}, stdout=file, check=False, timeout=60)
    assert done.returncode in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
    assert (work / "endless").stat().st_size == 65536


@every
def test_descriptors_and_cores_are_limited(work: Path, kind: Kind) -> None:
    actions = {"files": "__import__('resource').getrlimit(7)", "core": "__import__('resource').getrlimit(4)"}
    found = told(confined(kind), actions, writes=work, limits=Limits(open_files=40))
    assert found == {"files": "(40, 40)", "core": "(0, 0)"}


@every
def test_a_limit_is_never_above_our_own(work: Path, kind: Kind) -> None:
    """Asking for more than one has would fail: then nothing would start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = told(confined(kind), {"files": "__import__('resource').getrlimit(7)[1]"}, writes=work, limits=Limits(open_files=hard + 1))  # fmt: skip
    assert found == {"files": str(hard)}


# Its end.


def ends(process: subprocess.Popen[bytes]) -> bool:
    """Whether nobody is left who holds the process's standard output."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return bool(selector.select(30)) and process.stdout.read() == b""


FORKING = """
import os, sys, time
os.fork()
os.fork()
os.write(1, b'up')
time.sleep(600)
"""
ALONE = "import os, time; os.write(1, b'up'); time.sleep(600)"


def started(sandbox: Sandbox, script: str, work: Path, *before: str) -> subprocess.Popen[bytes]:
    command = sandbox.command([PYTHON, "-I", "-S", "-c", script], reads=[], writes=work, limits=Limits())
    return subprocess.Popen([*before, *command], env={}, stdout=subprocess.PIPE, start_new_session=True)


@every
def test_killing_the_group_leaves_nothing(work: Path, kind: Kind) -> None:
    process = started(confined(kind), FORKING, work, "/bin/sh", "-c", '"$@" & wait', "x")
    with process:
        assert process.stdout is not None
        assert process.stdout.read(8) == b"upupupup"
        os.killpg(process.pid, signal.SIGKILL)
        assert ends(process)


@strong
def test_the_death_of_the_parent_leaves_nothing(work: Path, kind: Kind) -> None:
    """The parent alone is killed, as by the system when memory runs out."""
    process = started(confined(kind), ALONE, work, "/bin/sh", "-c", '"$@" & wait', "x")
    with process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        process.kill()
        assert ends(process)


# Which one.


def test_the_strongest_that_works_is_chosen() -> None:
    chosen = Sandbox.detect({name: value for name, value in os.environ.items() if name != "RECONCILER_SANDBOX"})
    working = [kind for kind in EVERY if kind == "none" or not confined(kind).reason]
    assert chosen.kind == working[0]


def test_landlock_where_bubblewrap_is_missing(tmp_path: Path) -> None:
    confined("landlock")
    chosen = Sandbox.detect({"PATH": str(tmp_path)})
    assert (chosen.kind, chosen.reason) == ("landlock", "bubblewrap is not installed")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "bwrap: No permissions to create new"),
        ('until [ "$1" = -- ]; do shift; done; shift; exec "$@"', "status 4"),
    ],
    ids=["not permitted", "does not confine"],
)
def test_landlock_where_bubblewrap_does_not_work(tmp_path: Path, script: str, reason: str) -> None:
    confined("landlock")
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    chosen = Sandbox.detect({"PATH": str(tmp_path)})
    assert chosen.kind == "landlock"
    assert chosen.reason.startswith(f"bubblewrap does not work here: {reason}")
    with pytest.raises(RenderError, match="RECONCILER_SANDBOX is bubblewrap, but bubblewrap does not work here"):
        Sandbox.detect({"PATH": str(tmp_path), "RECONCILER_SANDBOX": "bubblewrap"})


def test_none_only_when_told() -> None:
    assert Sandbox.detect({"RECONCILER_SANDBOX": "none"}) == Sandbox("none", "RECONCILER_SANDBOX says so")


def test_an_unknown_one_is_an_error() -> None:
    with pytest.raises(RenderError) as failure:
        Sandbox.detect({"RECONCILER_SANDBOX": "docker"})
    assert str(failure.value) == "RECONCILER_SANDBOX is docker, which is no sandbox"
    assert failure.value.advice == "set RECONCILER_SANDBOX to auto, bubblewrap, landlock or none"


@strong
def test_what_cannot_be_confined_does_not_start(tmp_path: Path, kind: Kind) -> None:
    argv = ["/bin/sh", "-c", 'echo started >"$1"', "x", str(tmp_path / "started")]
    command = confined(kind).command(argv, reads=[tmp_path / "absent"], writes=tmp_path, limits=Limits())
    done = subprocess.run(command, env={}, capture_output=True, check=False)
    assert done.returncode == (1 if kind == "bubblewrap" else NOT_CONFINED)
    assert b"absent" in done.stderr
    assert not (tmp_path / "started").exists()


# FFmpeg itself.


def digest(sandbox: Sandbox, work: Path, *options: str, program: str = FFMPEG) -> str:
    target = work / "film.mp4"
    pictures = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1"]
    argv = [program, "-v", "error", "-nostdin", "-y", *pictures, *options, "-fflags", "+bitexact", f"file:{target}"]
    command = sandbox.command(argv, reads=[], writes=work, limits=Limits(memory=4 << 30))
    subprocess.run(command, env={"LC_ALL": "C"}, check=True, timeout=120)
    return hashlib.md5(target.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        ["-c:v", "libx264", "-threads", "2"],
        ["-c:v", "libx265", "-x265-params", "pools=2:frame-threads=2:log-level=error"],
    ],
    ids=["x264", "x265"],
)
def test_the_sandbox_does_not_change_a_byte(work: Path, options: list[str]) -> None:
    outside = digest(Sandbox("none"), work, *options)
    assert {digest(confined(kind), work, *options) for kind in STRONG} == {outside}


@every
def test_the_program_may_be_a_link_anywhere(work: Path, tmp_path: Path, kind: Kind) -> None:
    link = tmp_path / "link"
    link.symlink_to(FFMPEG)
    command = confined(kind).command([str(link), "-version"], reads=[], writes=None, limits=Limits())
    assert subprocess.run(command, env={}, capture_output=True, check=True).stdout.startswith(b"ffmpeg version")


@every
def test_the_program_may_be_a_script_that_calls_others(tmp_path: Path, kind: Kind) -> None:
    script = tmp_path / "a script"
    script.write_text('#!/bin/sh\nexec nice cat "$1"\n')
    script.chmod(0o755)
    (tmp_path / "mine").write_text("mine")
    argv = [str(script), str(tmp_path / "mine")]
    command = confined(kind).command(argv, reads=[tmp_path / "mine"], writes=None, limits=Limits())
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    assert done.stdout == b"mine"


# FFmpeg told to do what it is never told.


@strong
def test_ffmpeg_reads_no_other_file_and_connects_to_nobody(
    bucket: Path, work: Path, kind: Kind, listener: socket.socket
) -> None:
    """With every protocol and format allowed: what the argument list forbids, the sandbox forbids once more."""
    port = listener.getsockname()[1]
    outputs = [
        ("-f", "data", "-i", f"file:{bucket / 'other'}", "-map", "0", "-c", "copy", "-f", "data", f"{work / 'a'}"),
        ("-f", "data", "-i", f"http://127.0.0.1:{port}/", "-map", "0", "-c", "copy", "-f", "data", f"{work / 'b'}"),
        ("-f", "data", "-i", f"{bucket / 'mine'}", "-map", "0", "-c", "copy", "-f", "data", f"tcp://127.0.0.1:{port}"),
        ("-f", "data", "-i", f"{bucket / 'mine'}", "-map", "0", "-c", "copy", "-f", "data", f"{bucket / 'c'}"),
        ("-f", "data", "-i", f"{bucket / 'mine'}", "-map", "0", "-c", "copy", "-f", "data", f"{bucket / 'other'}"),
    ]
    said = []
    for options in outputs:
        argv = [FFMPEG, "-v", "error", "-nostdin", "-y", *options]
        command = confined(kind).command(argv, reads=[bucket / "mine"], writes=work, limits=Limits())
        done = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, check=False, timeout=60)
        assert done.returncode != 0
        said.append(done.stdout + done.stderr)
    assert b"canary" not in b"".join(said)
    assert not list(work.iterdir())
    assert sorted(path.name for path in bucket.iterdir()) == ["mine", "other"]
    assert (bucket / "other").read_text() == "canary"
    with pytest.raises(BlockingIOError):
        listener.accept()
