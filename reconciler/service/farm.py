"""Renders on other machines: the service's side. What runs there, and how it speaks to us, is ``remote``.

Any ``concurrent.futures.Executor`` will do that takes a function and its arguments to where it runs. For each attempt
there is one upload, under a key that no caller of the API can use. Whatever becomes of the attempt, the upload is ended
then: what a lost machine still sends is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from reconciler.api.signing import Credentials, presign
from reconciler.service import files, keys, listing, remote
from reconciler.service.bucket import Buckets
from reconciler.service.index import NO_ATTRIBUTES
from reconciler.service.links import Link
from reconciler.service.refused import RefusedError
from reconciler.service.remote import PROGRESS_PART, AttemptFailed, Delivery, Order
from reconciler.service.render.failure import INTERNAL, RenderFailed
from reconciler.service.rendering import Rendered, Work
from reconciler.service.uploads import Part, Upload, Uploads

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often a render is tried when attempts come to nothing."""

LINK_SECONDS: Final = 7 * 86_400
"""How long an address holds, from the time when the task is handed over: tasks may wait at the executor."""

_LOOK_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 1.0
_UPLOAD: Final = "render-"
_LONGEST_PROGRESS: Final = 32


@dataclass(frozen=True, slots=True)
class Crew:
    """Who renders for a service.

    ``executor`` returns where the jobs of a level go. ``address`` is the URL under which the machines reach the
    service, without a path. ``places`` tells how many renders they can do at once just now.
    """

    executor: Callable[[int], Executor]
    address: str
    places: Callable[[], int]


class Farm:
    """Renders by a crew; what ``Worker`` calls."""

    def __init__(
        self, crew: Crew, *, uploads: Uploads, buckets: Buckets, region: str, credentials: Credentials | None
    ) -> None:
        self._crew = crew
        self._uploads = uploads
        self._buckets = buckets
        self._region = region
        self._credentials = credentials

    async def clear(self) -> None:
        """End the uploads of an owner that has died; what still renders for it then stops."""
        query = listing.Query(prefix=keys.partial_name(_UPLOAD).partition(_UPLOAD)[0] + _UPLOAD)
        while found := self._uploads.page(self._buckets.default, query, "").entries:
            for _, upload in found:
                await self._uploads.end(upload)

    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        """Render; see ``studio.Renderer``. Raises RenderFailed, also when attempts keep coming to nothing."""
        buckets = {key: self._bucket_of(key, path) for key, path in sources.items()}
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(work, buckets, folder, on_progress)
            except (AttemptFailed, BrokenExecutor) as error:
                reason = str(error) or type(error).__name__
                log.warning("attempt %d to render %s came to nothing: %s", attempt, work.name, reason)
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise RenderFailed(INTERNAL, f"{ATTEMPTS} attempts to render this came to nothing; the last one: {reason}")

    async def _attempt(
        self, work: Work, sources: Mapping[str, str], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        key = keys.partial_name(f"{_UPLOAD}{secrets.token_hex(16)}")
        upload = self._uploads.begin(self._buckets.default, key, NO_ATTRIBUTES)
        try:
            future = self._crew.executor(work.level).submit(remote.fulfil, work, self._order(sources, upload))
            delivery = await self._followed(asyncio.wrap_future(future), upload, on_progress)
            await self._take(upload, delivery, work.name, folder)
        finally:
            await self._uploads.end(upload)
        return delivery.rendered

    # The order.

    def _order(self, sources: Mapping[str, str], upload: Upload) -> Order:
        default, query = self._buckets.default, {"uploadId": upload.id}
        return Order(
            {key: self._link("GET", bucket, key) for key, bucket in sources.items()},
            parts=self._link("PUT", default, upload.key, query),
            look=self._link("GET", default, upload.key, {**query, "max-parts": "1"}),
        )

    def _link(self, method: str, bucket: str, key: str, query: Mapping[str, str] | None = None) -> Link:
        """Sign an address. Our own clock judges it later, so no other one matters."""
        now, parameters = int(time.time()), query or {}
        signed = urlencode(parameters)
        if self._credentials is not None:
            end = now + LINK_SECONDS
            signed = presign(self._credentials, method=method, path=f"/{key}", start=now, end=end, query=parameters)
        url = f"{self._crew.address}{quote(f'/{key}')}"
        return Link(f"{url}?{signed}" if signed else url, f"{bucket}.cos.{self._region}.myqcloud.com")

    def _bucket_of(self, key: str, path: Path) -> str:
        """Return the bucket in which a file is the object ``key``."""
        for name in self._buckets.names():
            bucket = self._buckets.get(name)
            try:
                if bucket is not None and bucket.path(key) == path:
                    return name
            except RefusedError:
                continue
        raise RefusedError("NoSuchKey", f"there is no object `{key}`")

    # Following it.

    async def _followed(
        self, task: asyncio.Future[Delivery], upload: Upload, on_progress: Callable[[float], None]
    ) -> Delivery:
        """Wait for a task, telling how far it says it is; take it back when we are cancelled."""
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=_LOOK_SECONDS)
                share = self._progress(upload)
                if share is not None and not task.done():
                    on_progress(share)
        finally:
            task.cancel()
        if task.cancelled():
            raise AttemptFailed("the executor has dropped the task")
        return task.result()

    def _progress(self, upload: Upload) -> float | None:
        """Return the share that a task says is done, when it has said something sensible."""
        for part in self._uploads.parts(upload, after=PROGRESS_PART - 1):
            try:
                share = float(self._uploads.path(upload, part).read_bytes()[:_LONGEST_PROGRESS])
            except (OSError, ValueError):
                return None
            return share if 0 <= share <= 1 else None
        return None

    # Taking what it made.

    async def _take(self, upload: Upload, delivery: Delivery, name: str, folder: Path) -> None:
        """Make files of the parts, when they are what the task says it sent. Raises AttemptFailed."""
        names = delivery.rendered.names
        if any(not each.startswith(name) or Path(each).name != each for each in names):
            raise AttemptFailed("the task delivered files with other names than it was told")
        try:
            with self._uploads.completing(upload):
                parts = self._uploads.parts(upload)[: len(delivery.pieces)]
                if _named([piece.md5 for piece in delivery.pieces]) != [(part.number, part.md5) for part in parts]:
                    raise AttemptFailed("what came is not what the task says it sent")
                await files.in_thread(self._assemble, upload, parts, delivery, folder)
        except RefusedError as error:
            raise AttemptFailed(error.message) from None

    def _assemble(self, upload: Upload, parts: Sequence[Part], delivery: Delivery, folder: Path) -> None:
        """Give the files of the parts their names; only what is long was cut, and is joined."""
        pairs = zip(delivery.pieces, parts, strict=True)
        found = {
            name: [self._uploads.path(upload, part) for _, part in group]
            for name, group in groupby(pairs, lambda pair: pair[0].name)
        }
        if tuple(found) != delivery.rendered.names:
            raise AttemptFailed("the task delivered other files than it says")
        for name, paths in found.items():
            if len(paths) > 1:
                files.join(paths, folder / name)
            else:
                shutil.move(paths[0], folder / name)


def _named(md5s: Sequence[str]) -> list[tuple[int, str]]:
    return list(enumerate(md5s, 1))
