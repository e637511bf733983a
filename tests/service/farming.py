"""A service behind a socket whose renders are done elsewhere: by any executor, over its object API, with signatures."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from reconciler.api.messages import Operation
from reconciler.api.signing import Credentials, sign
from reconciler.service import Service
from reconciler.service.bucket import Buckets
from reconciler.service.farm import Crew, Farm
from reconciler.service.rendering import Rendered, Work
from reconciler.service.uploads import Uploads
from tests.service.harness import BUCKET, REGION, Caller
from tests.service.media import run
from tests.service.wire import listening

KEY: Final = Credentials("AKIDEXAMPLE", "SecretExample")


class Signing(httpx.Auth):
    """Signs what a test calls."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        now, query = int(time.time()), request.url.params.multi_items()
        path = httpx.URL(request.url).path
        request.headers["Authorization"] = sign(
            KEY, method=request.method, path=path, start=now, end=now + 60, query=query
        )
        yield request


class Late:
    """A renderer that is known only when the service is there."""

    farm: Farm

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        return await self.farm(work, sources, folder, on_progress)


@dataclass
class Farming:
    """A running service, its farm, and what both work with."""

    caller: Caller
    farm: Farm
    uploads: Uploads
    buckets: Buckets
    address: str

    def __post_init__(self) -> None:
        self.told: list[float] = []

    def source(self, key: str, bucket: str = BUCKET) -> Path:
        """The file of a source."""
        found = self.buckets.get(bucket)
        assert found is not None
        return found.path(key)

    async def render(self, work: Work, folder: Path, *keys: str, bucket: str = BUCKET) -> Rendered:
        """Render on the farm, without a job, into a folder that is there."""
        return await self.farm(work, {key: self.source(key, bucket) for key in keys}, folder, self.told.append)

    def leftovers(self) -> list[str]:
        """The uploads that have not ended."""
        return [row["key"] for row in self.uploads._database.rows("SELECT key FROM upload")]


@asynccontextmanager
async def farming(
    root: Path, executor: Callable[[int], Executor], *, credentials: Credentials | None = KEY, **settings: Any
) -> AsyncIterator[Farming]:
    """Run a service whose jobs are rendered by an executor."""
    late = Late()
    settings = {"bucket": BUCKET, "region": REGION, "render": late, "credentials": credentials, **settings}
    async with Service(root, **settings) as service, listening(service.app) as (host, port):
        multipart = service.app._objects._of_object["PUT", "uploadId"].__self__  # type: ignore[attr-defined]
        uploads, buckets, address = multipart._uploads, service.app._buckets, f"http://{host}:{port}"
        crew = Crew(executor, address, lambda: 1)
        late.farm = Farm(crew, uploads=uploads, buckets=buckets, region=REGION, credentials=credentials)
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, auth=Signing()) as http:
            yield Farming(Caller(service, http), late.farm, uploads, buckets, address)


def film(path: Path, seconds: float, size: str = "640x360") -> Path:
    """Make a film that is not the same all over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = f"testsrc2=s={size}:r=25:d={seconds}"
    run("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", str(path))
    return path


def job(
    *keys: str, to: str = "out/result.mp4", preset: str = "veryfast", container: str = "mp4", **video: Any
) -> Operation:
    """Compose sources by key; a slow preset makes the render last."""
    sources = [{"url": key, "width": 320, "height": 180} for key in keys]
    return Operation.model_validate(
        {
            "video_synthesis": {"splice_info": sources},
            "transcode": {
                "container": {"format": container},
                "video": {"width": 640, "height": 360, "preset": preset, **video},
            },
            "output": {"region": REGION, "bucket": BUCKET, "object": to},
        }
    )


def encoders(marker: str) -> list[int]:
    """The processes of FFmpeg whose command mentions a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ffmpeg" in command.split(b"\0")[0] and marker.encode() in command:
                found.append(int(folder.name))
    return found


async def until(happened: Callable[[], object]) -> None:
    """Wait for something that no event tells of."""
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
