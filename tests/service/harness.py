"""A running service and its callers: real folder, real database, real HTTP client, and a renderer that tests can hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from reconciler.api import xml
from reconciler.api.media import Format, MediaInfo
from reconciler.api.messages import Job, JobRequest, JobsReply, Operation
from reconciler.api.objects import ErrorDocument
from reconciler.service import Service
from reconciler.service.rendering import Rendered, Work

BUCKET: Final = "demo-1250000000"
REGION: Final = "ap-chongqing"
COS: Final = f"http://{BUCKET}.cos.{REGION}.myqcloud.com"
CI: Final = f"http://{BUCKET}.ci.{REGION}.myqcloud.com"


class Studio:
    """A renderer that writes the operation's user data as the result, when it is let; it counts what runs."""

    def __init__(self, *, held: bool = False) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.most = 0
        self.stopped = 0
        self.progress: list[float] = []
        self._let = asyncio.Event()
        if not held:
            self._let.set()

    def let(self) -> None:
        """Let every render finish."""
        self._let.set()

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        self.begun.append(work.operation.user_data or "")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for share in self.progress:
                await asyncio.sleep(0.25)
                on_progress(share)
            await self._let.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.running -= 1
        text = f"{work.operation.user_data}: {[path.name for path in sources.values()]}"
        return _written(folder, text)


class Failing:
    """A renderer that always raises the same thing, after it has written half a file."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self, work: Work, sources: object, folder: Path, on_progress: object) -> Rendered:
        _written(folder, "half")
        raise self.error


def _written(folder: Path, text: str) -> Rendered:
    (folder / "made.mp4").write_text(text)
    return Rendered(MediaInfo(format=Format(size=len(text))), ("made.mp4",), "a studio")


@dataclass
class Caller:
    """A client of one running service."""

    service: Service
    http: httpx.AsyncClient

    async def submit(self, *operations: Operation, **rest: Any) -> tuple[Job, ...]:
        """Submit jobs and return how they were accepted."""
        body = xml.write(JobRequest(operation=operations, **rest), "Request")
        reply = await self.http.post(f"{CI}/jobs", content=body)
        assert reply.status_code == 200, reply.text
        return jobs(reply)

    async def job(self, job: str) -> Job:
        """Return one job as it is now."""
        (found,) = jobs(await self.http.get(f"{CI}/jobs/{job}"))
        return found

    async def until(self, job: str, *states: str) -> Job:
        """Wait for a job to be in one of some states; by default for its end."""
        wanted = states or ("Success", "Failed", "Cancel")
        async with asyncio.timeout(20):
            while True:
                found = await self.job(job)
                if found.state in wanted:
                    return found
                await asyncio.sleep(0.01)

    async def put(self, key: str, content: bytes = b"content", **headers: str) -> httpx.Response:
        """Store an object."""
        return await self.http.put(
            f"{COS}/{key}", content=content, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def keys(self, **parameters: str) -> list[str]:
        """Return the keys of one listing."""
        reply = await self.http.get(f"{COS}/", params={k.replace("_", "-"): v for k, v in parameters.items()})
        root = xml.parse(reply.content, "ListBucketResult")
        return [element.text or "" for element in root.iterfind("Contents/Key")]


@asynccontextmanager
async def running(root: Path, *, raises: bool = True, **settings: Any) -> AsyncIterator[Caller]:
    """Run a service on a folder, with a renderer that needs no video unless another one is given.

    ``raises`` lets what the application does not catch through to the test.
    """
    settings = {"bucket": BUCKET, "region": REGION, "render": Studio(), **settings}
    async with Service(root, **settings) as service:
        transport = httpx.ASGITransport(app=service.app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport) as http:
            yield Caller(service, http)


@contextmanager
def lasting(root: Path) -> Iterator[Callable[[Callable[[Caller], Awaitable[None]]], None]]:
    """Run one service for many examples; give a function that runs an example's calls on it."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        caller = runner.run(stack.enter_async_context(running(root)))
        yield lambda calls: runner.run(_awaited(calls(caller)))
        runner.run(stack.aclose())


async def _awaited(calls: Awaitable[None]) -> None:
    await calls


def jobs(reply: httpx.Response) -> tuple[Job, ...]:
    """Return the jobs of a reply."""
    return xml.read(JobsReply, reply.content, "Response").jobs_detail or ()


def error(reply: httpx.Response) -> ErrorDocument:
    """Return an error document, which must have all its five elements."""
    document = xml.read(ErrorDocument, reply.content, "Error")
    assert all((document.code, document.message, document.resource, document.request_id, document.trace_id))
    assert document.request_id in (reply.headers.get("x-cos-request-id"), reply.headers.get("x-ci-request-id"))
    assert reply.headers["content-type"] == "application/xml"
    return document


def operation(*keys: str, to: str = "out/${jobid}.${ext}", **rest: Any) -> Operation:
    """Compose sources of the bucket, given by their keys or by whole URLs, on a small canvas."""
    urls = [key if "://" in key else f"https://{COS.removeprefix('http://')}/{key}" for key in keys]
    return Operation.model_validate(
        {
            "video_synthesis": {"splice_info": [{"url": url, "width": 128, "height": 128} for url in urls]},
            "transcode": {"container": {"format": "mp4"}, "video": {"width": 128, "height": 128, "preset": "veryfast"}},
            "output": {"region": REGION, "bucket": BUCKET, "object": to},
            **rest,
        }
    )


def drop(root: Path, key: str, content: bytes = b"dropped", bucket: str = BUCKET) -> Path:
    """Put a file into a bucket's folder as a person does."""
    path = root / "buckets" / bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
