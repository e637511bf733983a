"""Probing in another process: the same answers, whatever a file does to that process, or that process to us."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from reconciler.errors import RenderError
from reconciler.service import prober as module
from reconciler.service.probe import ProbeError, probe
from reconciler.service.prober import AT_ONCE, Prober
from reconciler.service.results import media_info
from reconciler.service.sandbox import Kind, Sandbox
from tests.service.kinds import EVERY, SAMPLE, STRONG, confined
from tests.service.processes import none_left

every = pytest.mark.parametrize("kind", EVERY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "bucket"
    found.mkdir()
    (found / "film.mp4").write_bytes(SAMPLE.read_bytes())
    (found / "text.mp4").write_text("This is a text.\n" * 40)
    return found


@pytest.fixture
def prober(folder: Path) -> Iterator[Prober]:
    with Prober([folder], Sandbox.detect(os.environ)) as prober:
        yield prober


@pytest.fixture
def pipe(folder: Path) -> Path:
    """A pipe that nobody writes to: whoever opens it waits for ever."""
    path = folder / "pipe.mp4"
    os.mkfifo(path)
    return path


@every
def test_the_answers_are_those_of_the_probe(folder: Path, kind: Kind) -> None:
    with Prober([folder], confined(kind)) as prober:
        assert prober.probe(folder / "film.mp4") == probe(folder / "film.mp4")
        assert prober.media_info(folder / "film.mp4") == media_info(folder / "film.mp4")
        for name in ("text.mp4", "absent.mp4"):
            with pytest.raises(ProbeError) as told:
                prober.probe(folder / name)
            with pytest.raises(ProbeError) as wanted:
                probe(folder / name)
            assert str(told.value) == str(wanted.value)


@pytest.mark.parametrize("kind", STRONG)
def test_only_the_folders_are_read(folder: Path, tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "film.mp4").write_bytes(SAMPLE.read_bytes())
    (folder / "link.mp4").symlink_to(tmp_path / "film.mp4")
    with Prober([folder], confined(kind)) as prober:
        for path in (tmp_path / "film.mp4", folder / "link.mp4"):
            with pytest.raises(ProbeError, match=r"No such file or directory|Permission denied"):
                prober.probe(path)


def test_names_of_any_bytes(folder: Path, prober: Prober) -> None:
    for name in ("-i", "a\nb.mp4", "ü", "concat:a|b", *(("\udcff",) if sys.platform == "linux" else ())):
        path = (folder / "film.mp4").rename(folder / name)
        assert prober.probe(path).duration == 5.312
        path.rename(folder / "film.mp4")


def test_a_helper_starts_with_the_first_question_and_is_kept(folder: Path, prober: Prober) -> None:
    assert prober._idle == []
    prober.probe(folder / "film.mp4")
    (helper,) = prober._idle
    prober.media_info(folder / "film.mp4")
    with pytest.raises(ProbeError):
        prober.probe(folder / "text.mp4")
    assert prober._idle == [helper]


def test_no_more_helpers_than_places(folder: Path, prober: Prober) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(prober.media_info, [folder / "film.mp4"] * 24))
    assert found == [media_info(folder / "film.mp4")] * 24
    assert 1 <= len(prober._idle) <= AT_ONCE


def logged(prober: Prober, log: Path) -> None:
    """Let every helper that is started write a line first."""
    prober._command = ["/bin/sh", "-c", 'echo started >>"$0"; exec "$@"', str(log), *prober._command]


def copies(folder: Path, count: int) -> list[Path]:
    found = [folder / f"{number}.mp4" for number in range(count)]
    for path in found:
        path.write_bytes(SAMPLE.read_bytes())
    return found


def test_a_question_waits_for_a_helper_at_work_rather_than_start_another(
    folder: Path, tmp_path: Path, prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORTH_WAITING", 60.0)  # a busy machine may take longer than is worth waiting
    log = tmp_path / "log"
    logged(prober, log)
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(prober.probe, copies(folder, 10)))
    assert found == [probe(folder / "film.mp4")] * 10
    assert log.read_text() == "started\n"
    assert len(prober._idle) == 1


def test_a_question_waits_no_longer_than_a_helper_takes_to_start(
    folder: Path, pipe: Path, tmp_path: Path, prober: Prober
) -> None:
    log = tmp_path / "log"
    logged(prober, log)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(prober.probe, pipe)
        writer = os.open(pipe, os.O_WRONLY)  # returns when the helper has opened it
        try:
            assert prober.probe(folder / "film.mp4") == probe(folder / "film.mp4")
            assert log.read_text() == "started\nstarted\n"
            assert not asked.done()
        finally:
            os.close(writer)
        with pytest.raises(ProbeError):
            asked.result()
    assert len(prober._idle) == 2


def test_the_next_question_waits_for_nobody(folder: Path, tmp_path: Path, prober: Prober) -> None:
    log = tmp_path / "log"
    logged(prober, log)
    for path in copies(folder, 3):
        prober.probe(path)
    assert log.read_text() == "started\n"
    assert (prober._starting, prober._working) == (0, [])


def test_a_helper_that_cannot_be_started_is_started_no_more(folder: Path, prober: Prober) -> None:
    command = prober._command
    helper(prober, "exit 3")
    with pytest.raises(RenderError):
        prober.probe(folder / "film.mp4")
    assert (prober._starting, prober._working, prober._idle) == (0, [], [])
    prober._command = command
    assert prober.probe(folder / "film.mp4").duration == 5.312


# Remembering.


def test_a_file_is_probed_once(folder: Path) -> None:
    prober = Prober([folder], Sandbox.detect(os.environ))
    first = prober.probe(folder / "film.mp4")
    prober.close()
    prober._command = ["/bin/false"]
    assert prober.probe(folder / "film.mp4") is first


def test_a_file_that_changed_is_probed_again(folder: Path, prober: Prober) -> None:
    prober.probe(folder / "film.mp4")
    (folder / "film.mp4").write_text("This is a text.\n" * 40)
    with pytest.raises(ProbeError):
        prober.probe(folder / "film.mp4")


def test_what_failed_is_probed_again(folder: Path, prober: Prober) -> None:
    status = (folder / "text.mp4").stat()
    with pytest.raises(ProbeError):
        prober.probe(folder / "text.mp4")
    assert module._key(folder / "text.mp4") == (str(folder / "text.mp4"), status.st_size, status.st_mtime_ns, status.st_ino)  # fmt: skip
    assert len(prober._known) == 0


def test_the_oldest_is_forgotten(folder: Path, prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for name in ("a", "b", "a", "c"):
        (folder / name).write_bytes(SAMPLE.read_bytes()) if not (folder / name).exists() else None
        prober.probe(folder / name)
    assert [Path(key[0]).name for key in prober._known] == ["a", "c"]


# A helper that fails.


def test_a_file_that_is_not_read_in_time(folder: Path, pipe: Path, prober: Prober) -> None:
    with pytest.raises(ProbeError) as failure:
        prober.probe(pipe, timeout=0.2)
    assert str(failure.value) == "cannot be read within 0.2 s"
    assert prober._idle == []
    assert prober.probe(folder / "film.mp4").duration == 5.312


def deserted(writer: int) -> bool:
    """Whether, within half a minute, nobody is left who reads the pipe."""
    poll = select.poll()
    poll.register(writer, select.POLLERR)
    return bool(poll.poll(30_000))


@every
def test_closing_leaves_no_process(folder: Path, pipe: Path, kind: Kind) -> None:
    prober = Prober([folder], confined(kind))
    prober.probe(folder / "film.mp4")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(prober.probe, pipe)
        writer = os.open(pipe, os.O_WRONLY)  # returns when the helper has opened it
        try:
            prober.close()
            assert deserted(writer)
        finally:
            os.close(writer)
        with pytest.raises(ProbeError):
            asked.result()
    assert (prober._idle, prober._working) == ([], [])


DYING = """
import os, sys, threading
from pathlib import Path
from reconciler.service.prober import Prober
from reconciler.service.sandbox import Sandbox
prober = Prober([Path(sys.argv[1]).parent], Sandbox.detect(os.environ))
threading.Thread(target=prober.probe, args=(Path(sys.argv[1]),)).start()
sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def opened(pipe: Path, reader: subprocess.Popen[bytes]) -> int:
    """Open a pipe for writing, as soon as somebody has opened it for reading."""
    while reader.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.01)
    pytest.fail(f"it ended with status {reader.returncode}")


@every
def test_our_death_leaves_no_process(pipe: Path, kind: Kind) -> None:
    confined(kind)
    environment = {**os.environ, "RECONCILER_SANDBOX": kind}
    with subprocess.Popen([sys.executable, "-c", DYING, str(pipe)], stdin=subprocess.PIPE, env=environment) as dying:
        writer = opened(pipe, dying)
        try:
            assert dying.stdin is not None
            dying.stdin.close()
            assert dying.wait() == -9
            assert deserted(writer)
        finally:
            os.close(writer)


def helper(prober: Prober, script: str) -> None:
    """Let something else be the helper."""
    prober._command = ["/bin/sh", "-c", script]


@pytest.mark.parametrize("end", ["kill -SEGV $$", "kill -KILL $$", "exit 0", "exec >&- 2>&-; exec sleep 600"])
def test_a_file_that_crashes_the_decoder(folder: Path, prober: Prober, end: str) -> None:
    command = prober._command
    helper(prober, f"echo ready; read -r question; {end}")
    with pytest.raises(ProbeError) as failure:
        prober.probe(folder / "film.mp4")
    assert str(failure.value) == "makes the decoder crash"
    prober._command = command
    assert prober.probe(folder / "film.mp4").duration == 5.312


def test_a_file_is_asked_about_twice_before_it_is_blamed(folder: Path, tmp_path: Path, prober: Prober) -> None:
    log = tmp_path / "log"
    helper(prober, "echo ready; read -r question; kill -SEGV $$")
    logged(prober, log)
    with pytest.raises(ProbeError, match=r"^makes the decoder crash$"):
        prober.probe(folder / "film.mp4")
    assert log.read_text() == "started\nstarted\n"
    assert (prober._starting, prober._working, prober._idle) == (0, [], [])


def test_a_bad_file_is_asked_about_once(folder: Path, tmp_path: Path, prober: Prober) -> None:
    log = tmp_path / "log"
    helper(prober, 'echo ready; read -r question; echo \'{"error": "is bad"}\'; exit 0')
    logged(prober, log)
    with pytest.raises(ProbeError, match=r"^is bad$"):
        prober.probe(folder / "film.mp4")
    assert log.read_text() == "started\n"


def appeared(path: Path) -> str:
    """What a file holds, as soon as it is there."""
    for _ in range(3000):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.01)
    raise AssertionError(path)


@pytest.mark.parametrize("question", ["probe", "media_info"])
def test_a_helper_that_somebody_else_kills_is_not_the_files_fault(
    folder: Path, tmp_path: Path, prober: Prober, question: str
) -> None:
    """As the kernel does when memory runs out: it need not be the file that took it."""
    asked = tmp_path / "asked"
    first = 'echo ready; read -r question; echo $$ >"$0"; exec sleep 600'
    prober._command = ["/bin/sh", "-c", f'[ -e "$0" ] && exec "$@"; {first}', str(asked), *prober._command]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(getattr(prober, question), folder / "film.mp4")
        os.kill(int(appeared(asked)), signal.SIGKILL)
        assert answer.result(60) == {"probe": probe, "media_info": media_info}[question](folder / "film.mp4")
    assert len(prober._idle) == 1


# A question that nobody asks any more.

SLOW = 'echo ready; read -r question; echo asked >"$0"; sleep 600'
"""A helper that never answers, and tells when it was asked."""

NOBODY = r"^was not looked at to the end: nobody wants to know any more$"


def test_an_answer_that_nobody_waits_for_any_more(folder: Path, tmp_path: Path, prober: Prober) -> None:
    command, asked, given_up = prober._command, tmp_path / "asked", Event()
    prober._command = ["/bin/sh", "-c", SLOW, str(asked)]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(prober.probe, folder / "film.mp4", timeout=600, given_up=given_up)
        appeared(asked)
        given_up.set()
        with pytest.raises(ProbeError, match=NOBODY):
            answer.result(20)
    assert none_left(str(asked))
    assert (prober._starting, prober._working, prober._idle) == (0, [], [])
    prober._command = command
    assert prober.probe(folder / "film.mp4", given_up=Event()).duration == 5.312


def test_a_place_that_nobody_waits_for_any_more(folder: Path, tmp_path: Path, prober: Prober) -> None:
    asked, given_up = tmp_path / "asked", [Event() for _ in range(AT_ONCE + 1)]
    prober._command = ["/bin/sh", "-c", SLOW, str(asked)]
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        answers = []
        for each in given_up[:-1]:
            answers.append(pool.submit(prober.probe, folder / "film.mp4", timeout=600, given_up=each))
            appeared(asked)
            asked.unlink()  # the next one writes it again
        waiting = pool.submit(prober.probe, folder / "film.mp4", timeout=600, given_up=given_up[-1])
        given_up[-1].set()
        with pytest.raises(ProbeError, match=NOBODY):
            waiting.result(20)
        assert not any(answer.done() for answer in answers)
        assert not asked.exists()
        for each in given_up:
            each.set()
        for answer in answers:
            with pytest.raises(ProbeError, match=NOBODY):
                answer.result(20)


def test_what_is_known_is_told_even_to_nobody(folder: Path, prober: Prober) -> None:
    found, given_up = prober.probe(folder / "film.mp4"), Event()
    given_up.set()
    assert prober.probe(folder / "film.mp4", given_up=given_up) is found


def test_a_helper_that_ended_meanwhile_is_replaced(folder: Path, prober: Prober) -> None:
    command = prober._command
    helper(prober, 'echo ready; read -r question; echo \'{"error": "is bad"}\'; exit 0')
    with pytest.raises(ProbeError, match=r"^is bad$"):
        prober.probe(folder / "film.mp4")
    (ended,) = prober._idle
    prober._command = command
    assert ended._readable(30.0)
    assert prober.probe(folder / "film.mp4").duration == 5.312
    assert ended not in prober._idle


TRACK = {
    "index": 0, "codec": "h264", "width": 64, "height": 64, "coded_height": 64, "sar": "1", "rotation": 0, "fps": "25",
    "duration": 1.0, "pix_fmt": "yuv420p",
}  # fmt: skip


def told(demuxer: str = "mov", **track: Any) -> str:
    """What a helper says of a film."""
    said = {"format_name": "mov", "demuxer": demuxer, "duration": 1.0, "video": {**TRACK, **track}}
    return json.dumps({"answer": said})


def test_a_helper_is_believed_what_a_probe_may_say(folder: Path, prober: Prober) -> None:
    helper(prober, f"echo ready; read -r question; echo '{told(matrix='bt709')}'")
    assert prober.probe(folder / "film.mp4").demuxer == "mov"


GOOD = json.dumps({"format_name": "mov", "demuxer": "mov", "duration": 1.0})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "makes the decoder crash"),
        ("[1, 2]", "makes the decoder crash"),
        ("null", "makes the decoder crash"),
        ("cos\\nsystem\\n(S'true'\\ntR.", "makes the decoder crash"),
        ("[" * 100_000, "makes the decoder crash"),
        ('{"answer": ' + GOOD.replace("1.0", "NaN") + "}", "makes the decoder crash"),
        ('{"answer": ' + GOOD.replace("1.0", "1e999") + "}", "makes the decoder crash"),
        ("{}", "what its headers say makes no sense"),
        ('{"answer": {"format_name": 5}}', "what its headers say makes no sense"),
        ('{"answer": ' + GOOD.replace("1.0", '"long"') + "}", "what its headers say makes no sense"),
        (told("concat"), "what its headers say makes no sense"),
        (told(matrix="bt709,movie=/etc/passwd"), "what its headers say makes no sense"),
        (told(matrix="bt709[a];[a]"), "what its headers say makes no sense"),
        (told(fps="1/0"), "what its headers say makes no sense"),
        (told(width="wide"), "what its headers say makes no sense"),
        ('{"error": "' + "x" * 100_000 + '"}', "x" * 500),
        ('{"error": "a\\u001b[31mb\\u0000"}', "a [31mb "),
    ],
    ids=range(17),
)
def test_a_helper_that_was_taken_over(folder: Path, tmp_path: Path, prober: Prober, answer: str, message: str) -> None:
    (tmp_path / "answer").write_text(answer + "\n")
    helper(prober, f"echo ready; read -r question; cat '{tmp_path / 'answer'}'; exec sleep 600")
    with pytest.raises(ProbeError) as failure:
        prober.probe(folder / "film.mp4")
    assert str(failure.value).removeprefix("is not a video that can be read: ") == message
    assert len(prober._known) == 0


def test_a_helper_that_never_stops_talking(folder: Path, prober: Prober) -> None:
    helper(prober, "echo ready; read -r question; exec cat /dev/zero")
    with pytest.raises(ProbeError, match="makes the decoder crash"):
        prober.probe(folder / "film.mp4")


def test_a_helper_that_answers_before_it_is_asked(folder: Path, prober: Prober) -> None:
    """An answer to come must not be taken for that of the next file."""
    command = prober._command
    helper(prober, 'echo ready; read -r question; echo \'{"error": "one"}\'; echo \'{"error": "two"}\'; exec sleep 600')
    with pytest.raises(ProbeError, match=r"^one$"):
        prober.media_info(folder / "text.mp4")
    assert prober._idle[0]._pending or prober._idle[0]._readable(30.0)
    prober._command = command
    with pytest.raises(ProbeError, match=r"^cannot be read again"):
        prober.media_info(folder / "text.mp4")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo a; echo 'ImportError: no av' >&2; exit 1", "ImportError: no av"),
        ("exit 3", "it said nothing"),
    ],
)
def test_a_helper_that_cannot_be_started(folder: Path, prober: Prober, script: str, said: str) -> None:
    helper(prober, script)
    with pytest.raises(RenderError) as failure:
        prober.probe(folder / "film.mp4")
    assert str(failure.value) == f"the prober could not be started: {said}"


def test_a_helper_sees_nothing_of_our_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "planted")
    with Prober([folder], Sandbox("none")) as prober:
        helper(prober, 'echo ready; read -r question; echo "{\\"error\\": \\"$(env | tr \'\\n\' \' \')\\"}"')
        with pytest.raises(ProbeError) as failure:
            prober.probe(folder / "film.mp4")
    assert "LC_ALL=C" in str(failure.value)
    assert "planted" not in str(failure.value)
