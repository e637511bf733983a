"""Large objects into and out of `reconciler serve`, and a long listing, beside what they cost without a service."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fastcrc import crc64

from benchmarks.measure import RECONCILER

BUCKET = "bench-1250000000"
HOST = f"{BUCKET}.cos.ap-chongqing.myqcloud.com"
MIB = 1 << 20
BLOCK = os.urandom(MIB)
PART = 64


def main(size: int = 4096, keys: int = 100_000) -> None:
    """Aims: memory that does not grow with the object, nothing twice as slow as its limit, a listing under 2 s."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (folder / "buckets" / BUCKET, folder / "listed" / "buckets" / BUCKET):
            path.mkdir(parents=True)
        with serving(folder) as (pid, port):
            measure(folder, pid, port, size)
    with tempfile.TemporaryDirectory() as name:
        listing(Path(name), keys)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve a folder by a process of its own; give its id and its port."""
    command = [*RECONCILER, "serve", "--root", str(folder), "--bucket", BUCKET, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            ports = (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in server.stderr)
            yield server.pid, next(int(match[1]) for match in ports if match)
        finally:
            server.terminate()


def measure(folder: Path, pid: int, port: int, size: int) -> None:
    """Print seconds, throughput, ratio and peak memory of every way of a large object."""
    print(f"  {size} MiB of content; the service holds {peak(pid):.0f} MiB when nothing has happened yet")
    print(f"  {'':<44} {'wall s':>8} {'MiB/s':>8} {'MiB':>8}   ratio to the limit")
    written = timed(lambda: by_hand(folder / "by-hand", size))
    show("write, MD5, CRC-64 and sync by hand", written, size, None, written)
    for name, limit, call in (
        ("PUT Object", written, lambda: put(port, "/whole", size)),
        (f"upload in parts of {PART} MiB, and complete", written, lambda: upload(port, "/parts", size)),
        ("copy", timed(lambda: copied_by_hand(folder, size)), lambda: copy(port, "/parts", "/copy")),
        ("GET Object", timed(lambda: through_a_socket(folder / "by-hand")), lambda: get(port, "/whole", size)),
    ):
        reset_peak(pid)
        show(name, timed(call), size, peak(pid), limit)


def listing(folder: Path, keys: int) -> None:
    """Print how long it takes to list many objects in pages, in process, once their ETags are known."""
    bucket = folder / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    for number in range(keys):
        (bucket / f"video-{number:06}.mp4").write_bytes(b"")
    limit = timed(lambda: sorted((entry.name, entry.stat().st_size) for entry in os.scandir(bucket)))
    first, again = asyncio.run(_listed_twice(folder, keys))
    print(f"  list {keys:,} objects, every file read: {first:.2f} s; again: {again:.2f} s")
    print(f"  scandir, stat and sort alone: {limit:.2f} s; ratio {again / limit:.1f}")


async def _listed_twice(folder: Path, keys: int) -> tuple[float, float]:
    from reconciler.service import Service

    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is rendered here")

    async with Service(folder, bucket=BUCKET, region="ap-chongqing", render=nothing) as service:  # type: ignore[arg-type]
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            found = 0
            marker: str | None = ""
            while marker is not None:
                body = await _page(service.app, marker)
                found += body.count(b"<Key>")
                match = re.search(rb"<NextMarker>(.*?)</NextMarker>", body)
                marker = match[1].decode() if match else None
            times.append(time.perf_counter() - begin)
            assert found == keys
        return times[0], times[1]


async def _page(app: Callable[..., object], marker: str) -> bytes:
    body = bytearray()

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: dict[str, bytes]) -> None:
        body.extend(message.get("body", b""))

    query = f"max-keys=1000&marker={marker}".encode()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": [(b"host", HOST.encode())]}
    await app(scope, receive, send)  # type: ignore[misc]
    return bytes(body)


# The calls.


def put(port: int, target: str, size: int) -> str:
    """Send an object of ``size`` MiB; return its ETag."""
    headers = {"Content-Length": str(size * MIB)}
    with called(port, "PUT", target, (BLOCK for _ in range(size)), headers) as reply:
        return reply.headers["ETag"]


def upload(port: int, target: str, size: int, part: int = PART) -> None:
    """Send an object in parts of ``part`` MiB, one after the other."""
    with called(port, "POST", f"{target}?uploads") as reply:
        (name,) = re.findall("<UploadId>(.*?)</UploadId>", reply.read().decode())
    parts = ""
    for number in range(1, -(-size // part) + 1):
        etag = put(port, f"{target}?partNumber={number}&uploadId={name}", min(part, size - (number - 1) * part))
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    with called(port, "POST", f"{target}?uploadId={name}", body):
        pass


def copy(port: int, source: str, target: str) -> None:
    """Copy an object."""
    with called(port, "PUT", target, headers={"x-cos-copy-source": f"{HOST}{source}", "Content-Length": "0"}):
        pass


def get(port: int, target: str, size: int) -> None:
    """Read an object and throw it away."""
    received = 0
    with called(port, "GET", target) as reply:
        while block := reply.read(MIB):
            received += len(block)
    assert received == size * MIB


@contextmanager
def called(
    port: int,
    method: str,
    target: str,
    body: Iterator[bytes] | bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Make one call, which must succeed, and give its reply."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request(method, target, body, {"Host": HOST, **(headers or {})})
        reply = connection.getresponse()
        assert reply.status in (200, 204), reply.read()
        yield reply


# The limits.


def by_hand(path: Path, size: int) -> None:
    """Do with the content what must be done with it, in one loop."""
    md5, crc = hashlib.md5(), 0
    with path.open("wb") as file:
        for _ in range(size):
            md5.update(BLOCK)
            crc = crc64.xz(BLOCK, crc)
            file.write(BLOCK)
        os.fsync(file.fileno())


def copied_by_hand(folder: Path, size: int) -> None:
    """Let `cp` copy the content, and sync it."""
    subprocess.run(["cp", "--reflink=auto", folder / "by-hand", folder / "copy"], check=True)
    subprocess.run(["sync", folder / "copy"], check=True)
    assert (folder / "copy").stat().st_size == size * MIB
    (folder / "copy").unlink()


def through_a_socket(path: Path) -> None:
    """Send a file through a socket and throw it away, without HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with listener.accept()[0] as there, path.open("rb") as file:
            while block := file.read(MIB):
                there.sendall(block)

    sender = threading.Thread(target=send)
    sender.start()
    with socket.create_connection(listener.getsockname()) as here:
        while here.recv(MIB):
            pass
    sender.join()
    listener.close()


# Measuring.


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def peak(pid: int) -> float:
    """Return the most memory that a process has held, in MiB."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def reset_peak(pid: int) -> None:
    """Begin to measure anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def show(name: str, wall: float, size: int, memory: float | None, limit: float) -> None:
    """Print one line."""
    mib = "" if memory is None else f"{memory:.0f}"
    print(f"  {name:<44} {wall:8.2f} {size / wall:8.0f} {mib:>8}   {wall / limit:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
