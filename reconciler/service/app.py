"""The ASGI callable: find the bucket and the half of the API, check the signature, call, answer. No call is made here.

Job calls are in ``jobs``, object calls in ``objects``. A call that fails in a way nobody foresaw is answered with
500 InternalError and logged, never with a broken connection.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.api import signing
from reconciler.api.signing import Credentials
from reconciler.service import address
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.http import Receive, Request, Response, Scope, Send, error_response, new_request_id
from reconciler.service.refused import RefusedError

log = logging.getLogger(__name__)

Half = Literal["ci", "cos"]
Calls = Callable[[Request, Bucket], Awaitable[Response]]

_JOB_PATH: Final = re.compile(
    r"/(jobs(/j[0-9a-f]{32}(,j[0-9a-f]{32})*)?|queue(/p[0-9a-f]{32})?|template(/t[0-9a-z]{33})?|mediabucket)"
)
"""What is a job call on a host that serves objects too: an SDK can be set to send both to one host. Objects with
exactly such keys are out of reach there; ``jobs/a.mp4`` is not."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes."""

    half: Half
    bucket: Bucket


class App:
    """The service as an ASGI 3 application; HTTP only, and the lifespan messages of a server."""

    def __init__(
        self, buckets: Buckets, region: str, *, jobs: Calls, objects: Calls, credentials: Credentials | None
    ) -> None:
        self._buckets = buckets
        self._region = region
        self._calls: dict[Half, Calls] = {"ci": jobs, "cos": objects}
        self._credentials = credentials
        self._failure: str | None = None

    def fail(self, reason: str) -> None:
        """Refuse every call from now on: whoever waits for a job must not wait for ever."""
        self._failure = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection of the server, or its lifespan messages."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(Request.of(scope, receive), send)
        else:
            raise NotImplementedError(f"this application speaks HTTP, not {scope['type']}")

    async def _answer(self, request: Request, send: Send) -> None:
        request_id = new_request_id()
        half = self._half(request)
        response = await self._call(request, request_id)
        extra = {"Server": f"tencent-{half}", f"x-{half}-request-id": request_id}
        await response.send(send, extra=extra, without_body=request.method == "HEAD")

    async def _call(self, request: Request, request_id: str) -> Response:
        try:
            self._alive()
            self._verify(request)
            route = self._route(request)
            return await self._calls[route.half](request, route.bucket)
        except RefusedError as error:
            code, message = error.code, error.message
        except OSError as error:
            log.exception("request %s: %s %r", request_id, request.method, request.raw_path)
            code, message = "InternalError", error.strerror or str(error)
        except Exception:
            log.exception("request %s: %s %r", request_id, request.method, request.raw_path)
            code, message = "InternalError", f"the service failed; its log has the reason under {request_id}"
        resource = f"{request.authority}{request.raw_path.decode('latin-1')}"
        return error_response(code, message, resource=resource, request_id=request_id)

    def _alive(self) -> None:
        if self._failure is not None:
            raise RefusedError("InternalError", self._failure)

    def _half(self, request: Request) -> Half:
        named = address.parse(request.authority).half
        path = request.raw_path.decode("latin-1").replace("%2C", ",").replace("%2c", ",")
        return "ci" if named == "ci" or _JOB_PATH.fullmatch(path) else "cos"

    def _route(self, request: Request) -> Route:
        where = address.parse(request.authority)
        name = where.bucket or self._buckets.default
        bucket = self._buckets.get(name)
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{name}` here")
        if where.region not in (None, self._region):
            raise RefusedError("NoSuchBucket", f"the buckets here are in `{self._region}`, not in `{where.region}`")
        return Route(self._half(request), bucket)

    def _verify(self, request: Request) -> None:
        """Check the signature, when the service has credentials to check it with."""
        credentials = self._credentials
        if credentials is None:
            return
        verdict = signing.verify(
            method=request.method,
            path=request.path,
            query=request.query,
            headers={**request.headers, "host": request.authority},
            find=lambda secret_id: credentials if secret_id == credentials.secret_id else None,
            now=int(time.time()),
        )
        if isinstance(verdict, signing.Refused):
            raise RefusedError(verdict.code, verdict.message)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Agree to everything: the service is entered and left by whoever made it, not by the server."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
