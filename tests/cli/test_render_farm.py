"""``serve --executor`` as processes: a service that renders on a cluster, is killed in the middle, and goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from reconciler.api import xml
from reconciler.api.messages import Job, JobRequest
from reconciler.cli.commands.serve import _advertised
from reconciler.errors import UsageError
from reconciler.wire import renamed
from tests.service.cluster import Processes, cluster
from tests.service.farming import KEY, Signing, encoders, film, job
from tests.service.harness import BUCKET, CI, COS, jobs

SIGNED: Final = {"TENCENTCLOUD_SECRET_ID": KEY.secret_id, "TENCENTCLOUD_SECRET_KEY": KEY.secret_key}


def serve(*words: str, program: str = "") -> subprocess.Popen[str]:
    command = ["-c", program] if program else ["-m", "reconciler"]
    return subprocess.Popen(
        [sys.executable, *command, "serve", "--bucket", BUCKET, "--port", "0", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **SIGNED},
        start_new_session=True,
    )


def refused(*words: str, program: str = "") -> str:
    with serve(*words, program=program) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    return said


# --- the options -----------------------------------------------------------------------------------------------------


def test_an_address_without_other_machines_makes_no_sense(tmp_path: Path) -> None:
    assert "add --executor" in refused("--root", str(tmp_path), "--advertise", "http://render:8787")


def test_another_kind_of_executor_is_refused(tmp_path: Path) -> None:
    said = refused("--root", str(tmp_path), "--executor", "ray://somewhere:1")
    assert "ray://somewhere:1 is not the address of a cluster" in said
    assert "dask://HOST:PORT" in said


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['distributed'] = None\nfrom reconciler.__main__ import main\nraise SystemExit(main())"
    )
    said = refused("--root", str(tmp_path), "--executor", "dask://127.0.0.1:9", program=program)
    assert "distributed is not installed" in said
    assert "pip install 'reconciler[dask]'" in said


@pytest.mark.parametrize(
    ("url", "listening", "address"),
    [
        (None, ("127.0.0.1", 8787), "http://127.0.0.1:8787"),
        (None, ("::1", 8787, 0, 0), "http://[::1]:8787"),
        ("http://render.example:80/", ("0.0.0.0", 8787), "http://render.example:80"),
        ("https://render.example", ("0.0.0.0", 8787), "https://render.example"),
        ("http://[2001:db8::1]:8787", ("::", 8787, 0, 0), "http://[2001:db8::1]:8787"),
    ],
)
def test_where_other_machines_find_this_one(url: str | None, listening: tuple[Any, ...], address: str) -> None:
    assert _advertised(url, listening) == address


@pytest.mark.parametrize(
    ("url", "listening"),
    [
        (None, ("0.0.0.0", 8787)),
        (None, ("::", 8787, 0, 0)),
        ("render:8787", ("127.0.0.1", 8787)),
        ("ftp://render:8787", ("127.0.0.1", 8787)),
        ("http://me@render", ("127.0.0.1", 8787)),
        ("http://render/path", ("127.0.0.1", 8787)),
        ("http://render?x", ("127.0.0.1", 8787)),
    ],
)
def test_where_other_machines_cannot_find_this_one(url: str | None, listening: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        _advertised(url, listening)
    assert "http://" in (caught.value.advice or "")


# --- the whole -------------------------------------------------------------------------------------------------------


class Caller:
    """A client of a service behind a socket, which signs."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def submit(self, *keys: str) -> list[str]:
        """Submit a job for each key; identical ones would be one render."""
        wanted = [job("in/film.mp4", to=key, preset="slower", crf=20 + number) for number, key in enumerate(keys)]
        operations = [renamed(each, lambda url: f"{COS}/{url}") for each in wanted]
        body = xml.write(JobRequest(operation=tuple(operations)), "Request")
        return [each.job_id or "" for each in jobs(self._call("POST", "/jobs", body))]

    def job(self, number: str) -> Job:
        return jobs(self._call("GET", f"/jobs/{number}"))[0]

    def _call(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        host = CI.removeprefix("http://")
        reply = self._http.request(method, path, content=body, headers={"Host": host})
        assert reply.status_code == 200, reply.text
        return reply


@contextmanager
def serving(root: Path, processes: Processes) -> Iterator[tuple[subprocess.Popen[str], Caller]]:
    with serve("--root", str(root), "--executor", processes.url) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            found = re.search(r"on (http://127\.0\.0\.1:\d+);", said)
            assert found, said
            with httpx.Client(auth=Signing(), base_url=found[1]) as http:
                yield server, Caller(http)
        finally:
            server.kill()


def wait(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_service_that_ends_ends_its_renders_and_goes_on_later(tmp_path: Path) -> None:
    root = tmp_path / "service"
    film(root / "buckets" / BUCKET / "in" / "film.mp4", 20)
    with cluster(tmp_path, 2) as processes:

        def rendering() -> int:
            return len(encoders(str(processes.work)))

        with serving(root, processes) as (server, caller):
            ids = caller.submit("out/a.mp4", "out/b.mp4", "out/c.mp4")
            wait(lambda: rendering() == 2)
            server.send_signal(signal.SIGKILL)
            server.wait()
            wait(lambda: rendering() == 0)
        with serving(root, processes) as (server, caller):
            wait(lambda: rendering() == 2)
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
            wait(lambda: rendering() == 0)
        with serving(root, processes) as (server, caller):
            wait(lambda: all(caller.job(each).state in ("Success", "Failed") for each in ids))
            assert [caller.job(each).message for each in ids if caller.job(each).state != "Success"] == []
        assert not [*processes.work.glob("reconciler-renders-*/render-*")]
    assert sorted(path.name for path in (root / "buckets" / BUCKET / "out").iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]
