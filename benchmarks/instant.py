"""How many jobs a second go through apply, journalled and safe, when the service answers at once.

Beside it the same calls without apply: submit, ask, look at the object, by the same client and as many at once, with
nothing recorded. What apply adds is the journal with its syncs, the fingerprints and the checks.
"""

from __future__ import annotations

import asyncio
import gc
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from reconciler.api.messages import JobRequest
from reconciler.apply import Pace, apply
from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.lockfile import Lockfile
from reconciler.plan import Plan, plan
from reconciler.report import Report
from reconciler.state import DesiredState, ObservedState, Output, StoredObject
from reconciler.wire import wire_request

JOBS = 10_000
AT_ONCE = 500
RUNS = 3
BUCKET, REGION = "bench-1250000000", "ap-chongqing"
DIGEST = 32 * "0"
_KEY = re.compile(rb"<Object>(.*?)</Object>")
_OPERATION = re.compile(rb"<Operation>.*(?=</Operation>)", re.DOTALL)


class Instant(httpx.AsyncBaseTransport):
    """A service whose jobs have succeeded as soon as they are asked about."""

    def __init__(self) -> None:
        self._jobs: dict[str, bytes] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the API does."""
        if request.method == "HEAD":
            headers = {"ETag": f'"{DIGEST}"', "Content-Length": "100", "x-cos-request-id": "r"}
            return httpx.Response(200, headers=headers)
        body = self._taken(await request.aread()) if request.method == "POST" else self._told(request.url.path)
        return httpx.Response(200, headers={"x-ci-request-id": "r"}, content=b"<Response>%b</Response>" % body)

    def _taken(self, body: bytes) -> bytes:
        operation = _OPERATION.search(body)
        assert operation is not None
        name = f"j{len(self._jobs):032x}"
        self._jobs[name] = operation[0]
        return b"<JobsDetail><JobId>%b</JobId><State>Submitted</State>%b</Operation></JobsDetail>" % (
            name.encode(),
            operation[0],
        )

    def _told(self, path: str) -> bytes:
        return b"".join(map(self._finished, path.removeprefix("/jobs/").split(",")))

    def _finished(self, name: str) -> bytes:
        operation = self._jobs[name]
        key = _KEY.search(operation)
        assert key is not None
        result = b"<MediaInfo><Format><Duration>5.0</Duration><Size>100</Size></Format></MediaInfo><MediaResult>"
        result += b"<OutputFile><ObjectName>%b</ObjectName><Md5Info><Md5>%b</Md5></Md5Info></OutputFile></MediaResult>"
        told = (name.encode(), operation, result % (key[1], DIGEST.encode()))
        return b"<JobsDetail><JobId>%b</JobId><State>Success</State>%b%b</Operation></JobsDetail>" % told


class Clock:
    """The real time, and real chance."""

    sleep = staticmethod(asyncio.sleep)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def nonce(self) -> str:
        """Return sixteen random hexadecimal digits."""
        return secrets.token_hex(8)


def main() -> None:
    """Measure both in turn. Aim: 1,500 jobs a second through apply."""
    made = everything_to_create(JOBS)
    rates: dict[str, list[float]] = {"the calls alone": [], "apply": []}
    for _ in range(RUNS):
        rates["the calls alone"].append(JOBS / asyncio.run(calls_alone(made)))
        rates["apply"].append(JOBS / asyncio.run(applied(made)))
    print(f"\n| {JOBS:,} jobs, {AT_ONCE} at once | jobs a second | ratio |\n| --- | ---: | ---: |")
    best = statistics.median(rates["the calls alone"])
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):,.0f} | {best / statistics.median(found):.2f} |")


def everything_to_create(count: int) -> Plan:
    """Return a plan that creates ``count`` outputs, each of a source of its own and of one that all share."""
    outputs: dict[str, Output] = {}
    objects = {"in/shared.mp4": StoredObject("shared", 1)}
    for number in range(count):
        address, source, key = f'video["{number:06}"]', f"in/{number:06}.mp4", f"out/{number:06}.mp4"
        request = JobRequest.model_validate({"operation": [operation(source, key)]})
        outputs[address] = Output(address, request, key, (source, "in/shared.mp4"))
        objects[source] = StoredObject(f"{number:032x}", 1)
    return plan(DesiredState(outputs), ObservedState(objects, {}))


def operation(source: str, key: str) -> dict[str, Any]:
    """Return two sources side by side."""
    placed = [{"url": source, "width": 640}, {"url": "in/shared.mp4", "x": 640, "width": 640}]
    video = {"codec": "H.264", "width": 1280, "height": 720, "fps": 25, "crf": 23}
    transcode = {"container": {"format": "mp4"}, "video": video}
    return {"video_synthesis": {"splice_info": placed}, "transcode": transcode, "output": {"object": key}}


async def applied(made: Plan) -> float:
    """Return how many seconds apply takes, with a journal and a lockfile on this disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lockfile = Lockfile.load(folder / "reconciler.lock", folder / "state" / "journal")
        async with client() as calls:
            start = begin()
            pace = Pace(parallelism=AT_ONCE, poll=0.2)
            await apply(
                made, calls, lockfile, Report(), wire=wired, clock=Clock(), pace=pace, stop=asyncio.Event()
            )  # fmt: skip
            return time.perf_counter() - start


async def calls_alone(made: Plan) -> float:
    """Return how many seconds the same calls take, with nothing recorded."""
    waiting = [action.request for action in reversed(made.actions)]

    async def work() -> None:
        while waiting:
            request = wired(waiting.pop())
            job = (await calls.submit(request)).job_id
            told.append(job)
            await calls.head_object(request.operation[0].output.object)

    told: list[str] = []
    async with client() as calls:
        start = begin()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await calls.jobs(told)
        return time.perf_counter() - start


def begin() -> float:
    """Return the time, with nothing left to collect of what was before."""
    gc.collect()
    gc.freeze()
    return time.perf_counter()


def client() -> Client:
    """Return a client of a new service."""
    return Client(Endpoints.of(BUCKET, REGION), transport=Instant(), parallelism=AT_ONCE)


def wired(request: Mapping[str, Any]) -> JobRequest:
    """Return a request as it is sent."""
    return wire_request(request, bucket=BUCKET, region=REGION)
