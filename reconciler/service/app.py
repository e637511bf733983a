"""The ASGI callable: find the bucket and the half of the API, check the signature, call, answer. No call is made here.

The calls are in ``jobs``, ``queues``, ``templates``, ``media_buckets`` and ``objects``. A call that fails in a way
nobody foresaw is answered with 500 InternalError and logged, never with a broken connection.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping

from reconciler.api import signing
from reconciler.api.signing import Credentials
from reconciler.service import address
from reconciler.service.account import AccountCalls
from reconciler.service.address import Address
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.dates import http_date
from reconciler.service.gate import Calls
from reconciler.service.halves import Half, half_of
from reconciler.service.http import Receive, Request, Response, Scope, Send, error_response
from reconciler.service.refused import RefusedError

log = logging.getLogger(__name__)


class App:
    """The service as an ASGI 3 application; HTTP only, and the lifespan messages of a server.

    ``media`` has the calls of the job half by the first segment of their path.
    """

    def __init__(
        self,
        buckets: Buckets,
        region: str,
        *,
        media: Mapping[str, Calls],
        objects: Calls,
        credentials: Credentials | None,
    ) -> None:
        self._buckets = buckets
        self._region = region
        self._media = media
        self._objects = objects
        self._account = AccountCalls(buckets, region)
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
        where = address.parse(request.authority)
        half, request = await half_of(request, where)
        response = await self._call(request, where, half)
        now = http_date(int(time.time()))
        extra = {"Server": f"tencent-{half}", "Date": now, f"x-{half}-request-id": request.id}
        await response.send(send, extra=extra, without_body=request.method == "HEAD")

    async def _call(self, request: Request, where: Address, half: Half) -> Response:
        try:
            self._alive()
            self._verify(request)
            bucket = self._bucket(where)
            return await self._target(request, where, half)(request, bucket)
        except RefusedError as error:
            code, message = error.code, error.message
        except PermissionError as error:
            log.warning("request %s: %s %r: %s", request.id, request.method, request.raw_path, error)
            code, message = "AccessDenied", f"the service may not touch the files of this call: {error.strerror}"
        except OSError as error:
            log.exception("request %s: %s %r", request.id, request.method, request.raw_path)
            code, message = "InternalError", error.strerror or str(error)
        except sqlite3.OperationalError as error:
            log.exception("request %s: %s %r", request.id, request.method, request.raw_path)
            code, message = "InternalError", f"the service's database: {error}"
        except Exception:
            log.exception("request %s: %s %r", request.id, request.method, request.raw_path)
            code, message = "InternalError", f"the service failed; its log has the reason under {request.id}"
        resource = f"{request.authority}{request.raw_path.decode('latin-1')}"
        return error_response(code, message, resource=resource, request_id=request.id)

    def _alive(self) -> None:
        if self._failure is not None:
            raise RefusedError("InternalError", self._failure)

    def _bucket(self, where: Address) -> Bucket:
        name = where.bucket or self._buckets.default
        bucket = self._buckets.get(name)
        if bucket is None:
            raise RefusedError("NoSuchBucket", f"there is no bucket `{name}` here")
        if where.region not in (None, self._region):
            raise RefusedError("NoSuchBucket", f"the buckets here are in `{self._region}`, not in `{where.region}`")
        return bucket

    def _target(self, request: Request, where: Address, half: Half) -> Calls:
        if half == "cos":
            return self._account if where.half == "cos" and where.bucket is None else self._objects
        name = request.path[1:].partition("/")[0]
        if name not in self._media:
            raise RefusedError("InvalidURI", f"/{name} is not a call of this API")
        return self._media[name]

    def _verify(self, request: Request) -> None:
        """Check the signature, when the service has credentials to check it with."""
        credentials = self._credentials
        if credentials is None:
            return
        verdict = signing.verify(
            method=request.method,
            path=request.path,
            query=request.query,
            headers={**_as_utf8(request.headers), "host": request.authority},
            find=lambda secret_id: credentials if secret_id == credentials.secret_id else None,
            now=int(time.time()),
        )
        if isinstance(verdict, signing.Refused):
            raise RefusedError(verdict.code, verdict.message)


def _as_utf8(headers: Mapping[str, str]) -> dict[str, str]:
    """Decode headers anew as they are signed: a client signs the UTF-8 that it sends."""
    return {name: value.encode("latin-1").decode(errors="surrogateescape") for name, value in headers.items()}


async def _lifespan(receive: Receive, send: Send) -> None:
    """Agree to everything: the service is entered and left by whoever made it, not by the server."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
