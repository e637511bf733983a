"""`reconciler serve`, a process of its own, under large objects and sudden ends.

Memory stays constant, nobody waits for anybody else, and whoever is killed leaves nothing half.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Semaphore, Thread

import pytest

from benchmarks.objects import BLOCK, BUCKET, HOST, MIB, called, copy, get, peak, put, serving, upload

GROWTH = 48
"""MiB that a handful of connections may take, whatever they carry; the bodies here are a hundred times as large."""


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    bucket: Path


@pytest.fixture
def server() -> Iterator[Server]:
    with TemporaryDirectory() as name, serving(Path(name)) as (pid, port):  # `tmp_path` would be kept
        assert answers(port)  # everything is loaded now
        yield Server(pid, port, Path(name) / "buckets" / BUCKET)


def answers(port: int) -> bool:
    with called(port, "HEAD", "/") as reply:
        return reply.status == 200


def listing(port: int, target: str) -> str:
    with called(port, "GET", target) as reply:
        return reply.read().decode()


@pytest.mark.slow
def test_four_gibibytes_move_in_constant_memory(server: Server) -> None:
    pid, port = server.pid, server.port
    before = peak(pid)
    put(port, "/whole", 4096)
    get(port, "/whole", 4096)
    copy(port, "/whole", "/copy")
    upload(port, "/whole", 4096)  # in the place of the first
    get(port, "/whole", 4096)
    assert peak(pid) - before < GROWTH
    root = server.bucket.parent.parent
    large = [path for path in root.rglob("*") if path.is_file() and path.stat().st_size >= MIB]
    assert sorted(path.name for path in large) == ["copy", "whole"]
    assert {path.stat().st_size for path in large} == {4096 * MIB}


@pytest.mark.slow
def test_readers_that_do_not_read_fill_no_memory(server: Server) -> None:
    pid, port = server.pid, server.port
    put(port, "/large", 512)
    before = peak(pid)
    with ExitStack() as stack:
        for _ in range(20):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            reader.sendall(f"GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert reader.recv(10) == b"HTTP/1.1 2"
        assert answers(port)
        get(port, "/large", 512)
        assert peak(pid) - before < GROWTH
    assert answers(port)


@pytest.mark.slow
def test_other_calls_are_answered_while_large_bodies_come_and_go(server: Server) -> None:
    port = server.port
    with ExitStack() as stack:
        working = [Thread(target=put, args=(port, f"/{number}", 1024)) for number in range(3)]
        for thread in working:
            thread.start()
            stack.callback(thread.join)
        answered = 0
        while any(thread.is_alive() for thread in working):
            assert answers(port)
            answered += 1
        assert answered > 10


@pytest.mark.slow
def test_a_writer_that_goes_away_leaves_nothing(server: Server) -> None:
    port = server.port
    for target in ("/new/a", "/b"):
        with socket.create_connection(("127.0.0.1", port)) as writer:
            writer.sendall(f"PUT {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
            for _ in range(64):
                writer.sendall(BLOCK)
    put(port, "/kept", 64)
    while len(list(server.bucket.rglob("*"))) > 1:  # the service learns of it in its own time
        assert answers(port)
    assert [path.name for path in server.bucket.rglob("*")] == ["kept"]


def work(port: int, done: Semaphore) -> None:
    """Write, copy, upload and abort until the service is gone; count every call."""
    with suppress(OSError, http.client.HTTPException):
        for number in count():
            put(port, f"/whole/{number}", 3)
            done.release()
            copy(port, f"/whole/{number}", f"/copy/{number}")
            done.release()
            upload(port, f"/parts/{number}", 3, part=1)
            done.release()
            upload(port, "/parts/again", 3, part=1)
            done.release()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_service_that_is_killed_leaves_nothing_half(seed: int) -> None:
    random = Random(seed)
    etags = set()
    with TemporaryDirectory() as name:
        for _ in range(5):
            with serving(Path(name)) as (pid, port):
                kill(pid, port, after=random.randrange(1, 40))
            with serving(Path(name)) as (_, port):
                assert answers(port)
                etags |= look(Path(name), port)
    assert len(etags) == 2, "objects of three parts, and others"


def kill(pid: int, port: int, *, after: int) -> None:
    """Let three callers work, and kill the service after some calls."""
    done = Semaphore(0)
    workers = [Thread(target=work, args=(port, done)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(after):
        done.acquire()
    os.kill(pid, signal.SIGKILL)
    for worker in workers:
        worker.join()


def look(root: Path, port: int) -> set[str]:
    """Check that nothing is half, abort what was not completed, and return the ETags that are there."""
    for path in (root / "buckets" / BUCKET).rglob("*"):
        assert path.is_dir() or path.read_bytes() == BLOCK * 3
        assert not path.name.startswith(".")
    files = root / ".reconciler" / "uploads"
    uploads = re.findall("<Key>(.*?)</Key><UploadId>(.*?)</UploadId>", listing(port, "/?uploads"))
    parts = "".join(listing(port, f"/{key}?uploadId={upload}") for key, upload in uploads)
    assert len([path for path in files.rglob("*") if path.is_file()]) == parts.count("<PartNumber>")
    for key, name in uploads:
        with called(port, "DELETE", f"/{key}?uploadId={name}"):
            pass
    assert list(files.rglob("*")) == []
    return set(re.findall("<ETag>(.*?)</ETag>", listing(port, "/")))
