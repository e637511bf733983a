"""Calls of the embedded service in process, on one core, each beside what bounds it: a bare ASGI app, a bare SQLite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reconciler.api import xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.service import Service

BUCKET, REGION = "bench-1250000000", "ap-chongqing"
CI, COS = f"{BUCKET}.ci.{REGION}.myqcloud.com", f"{BUCKET}.cos.{REGION}.myqcloud.com"
SOURCE = f"https://{COS}/in/%s.mp4"
OPERATION = Operation.model_validate(
    {
        "video_synthesis": {
            "keep_audio_track": True,
            "splice_info": [
                {"url": SOURCE % "left", "width": 640, "height": 720},
                {"url": SOURCE % "right", "x": 640, "width": 640, "height": 720},
            ],
        },
        "transcode": {
            "container": {"format": "mp4"},
            "video": {"codec": "H.264", "width": 1280, "height": 720, "fps": 25, "bitrate": 1500},
            "audio": {"codec": "aac", "samplerate": 44100, "bitrate": 128, "channels": 2},
        },
        "output": {"region": REGION, "bucket": BUCKET, "object": "out/${jobid}.${ext}"},
        "user_data": "order-17",
    }
)
BODY = xml.write(JobRequest(operation=(OPERATION,)), "Request")
AT_ONCE = 64

Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Callable[[], Awaitable[Any]], Send], Awaitable[None]]
Call = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared: its name, one call of it, and how many calls are in flight at once."""

    name: str
    call: Call
    at_once: int = 1


async def ask(app: App, method: str, host: str, target: str, body: bytes = b"") -> bytes:
    """Make one call as a server does, and return the body of its answer; anything but 200 ends the benchmark."""
    path, _, query = target.partition("?")
    headers = [(b"host", host.encode()), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    answer = b"".join(message["body"] for message in sent[1:])
    if sent[0]["status"] != 200:
        raise SystemExit(f"{method} {target}: {answer.decode()}")
    return answer


async def constant(_: Any, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    """Answer as the smallest application that reads the body does."""
    await receive()
    headers = [(b"content-type", b"application/xml"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * 1000})


async def never(*_: object) -> Any:
    """Render without end: the jobs of the benchmark are only stored."""
    await asyncio.Event().wait()


def main(calls: int = 2000, rounds: int = 5) -> None:
    """Aims: 1,000 submissions and 5,000 queries a second, memory flat."""
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(_jobs(Path(name), calls, rounds))


async def _jobs(root: Path, calls: int, rounds: int) -> None:
    sources = root / "buckets" / BUCKET / "in"
    sources.mkdir(parents=True)
    for name in ("left", "right"):
        (sources / f"{name}.mp4").write_bytes(b"film")
    settings: Mapping[str, Any] = {"bucket": BUCKET, "region": REGION, "concurrency": 1, "render": never}
    async with Service(root, **settings) as service:
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport) as http:
            first = await ask(service.app, "POST", CI, "/jobs", BODY)
            job = first.partition(b"<JobId>")[2].partition(b"<")[0].decode()
            await _compare(_sides(service.app, http, job, root), calls, rounds)


def _sides(app: App, http: httpx.AsyncClient, job: str, root: Path) -> list[Side]:
    insert = _bare_insert(root / "bare.sqlite")

    async def submit_by_httpx() -> bytes:
        return (await http.post(f"http://{CI}/jobs", content=BODY)).content

    async def query_by_httpx() -> bytes:
        return (await http.get(f"http://{CI}/jobs/{job}")).content

    return [
        Side("query one job", lambda: ask(app, "GET", CI, f"/jobs/{job}")),
        Side("list ten jobs", lambda: ask(app, "GET", CI, "/jobs?tag=VideoSynthesis")),
        Side(f"submit one job, {AT_ONCE} calls at once", lambda: ask(app, "POST", CI, "/jobs", BODY), AT_ONCE),
        Side("submit one job, one call at a time", lambda: ask(app, "POST", CI, "/jobs", BODY)),
        Side("query one job through httpx", query_by_httpx),
        Side(f"submit one job through httpx, {AT_ONCE} at once", submit_by_httpx, AT_ONCE),
        Side("bare SQLite: one row, one durable commit", insert),
        Side("bare ASGI application, constant answer", lambda: ask(constant, "POST", CI, "/jobs", BODY)),
    ]


def _bare_insert(path: Path) -> Call:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE job (request TEXT)")
    text = BODY.decode()

    async def insert() -> bytes:
        database.execute("INSERT INTO job VALUES (?)", (text,))
        return b""

    return insert


async def _compare(sides: list[Side], calls: int, rounds: int) -> None:
    """Run all sides in turn, after one round that is not counted, and print rates, ratios and memory."""
    for side in sides:
        await _run(side, calls // 10)
    before = _resident()
    results = [[await _run(side, calls) for side in sides] for _ in range(rounds)]
    print(f"  {'':<48} {'calls/s':>10} {'wall µs':>9} {'cpu µs':>9}   cpu of a bare ASGI call")
    for index, side in enumerate(sides):
        wall, cpu = (statistics.median(row[index][kind] for row in results) for kind in (0, 1))
        ratio = statistics.median(row[index][1] / row[-1][1] for row in results)
        print(f"  {side.name:<48} {1 / wall:10,.0f} {wall * 1e6:9.1f} {cpu * 1e6:9.1f}   {ratio:.1f}")
    jobs = sum(calls for side in sides if side.name.startswith("submit")) * rounds
    print(f"  memory: {before:.1f} MiB before, {_resident():.1f} MiB after {jobs:,} jobs and as many queries")


async def _run(side: Side, calls: int) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""

    async def some(count: int) -> None:
        for _ in range(count):
            await side.call()

    each = max(1, calls // side.at_once)
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some(each) for _ in range(side.at_once)))
    made = each * side.at_once
    return (time.perf_counter() - wall) / made, (time.process_time() - cpu) / made


def _resident() -> float:
    """Return how much memory this process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
