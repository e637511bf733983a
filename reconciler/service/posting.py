"""Send one callback to an address on the network, and to no address that the caller of the API must not reach.

A job may name any address, so the service could be made to call what only this machine can reach. The name is
therefore resolved once, every address that it has is judged, and the connection goes to an address that was judged: an
answer that changes in between changes nothing. ``Host`` and the name in TLS stay those of the URL. Redirects are not
followed, proxies of the environment are not used, and the answer's body is not read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final

import httpx

from reconciler.service.callbacks import UndeliveredError
from reconciler.service.reach import Address, Reach

SECONDS: Final = 10.0
"""How long one attempt may take, from the name to the status."""

_RESOLVERS: Final = 32
"""Names looked up at once; the system's resolver cannot be stopped, so one that hangs must not hold up the others."""

_USER_AGENT: Final = "reconciler-callbacks"
_PORTS: Final = {"http": 80, "https": 443}


class Poster:
    """Sends callbacks by ``POST``."""

    def __init__(self, reach: Reach, *, seconds: float = SECONDS) -> None:
        self._reach = reach
        self._seconds = seconds
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    @cached_property
    def _http(self) -> httpx.AsyncHTTPTransport:
        """What connects; made when it is first needed, because reading the certificates takes a while.

        A bare transport has no cookies, follows no redirects and asks no proxies. A connection is used once: its
        address was judged, and its certificate checked, for one name only.
        """
        return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def aclose(self) -> None:
        """Give back what is held; no attempt may be under way."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        if "_http" in self.__dict__:
            await self._http.aclose()

    async def post(self, address: str, body: bytes, content_type: str) -> None:
        """Send one callback; any answer of 2xx means that it was taken. Raises UndeliveredError."""
        url = _url(address)
        try:
            async with asyncio.timeout(self._seconds):
                status = await self._status(url, body, content_type)
        except TimeoutError:
            raise UndeliveredError(f"{url.host} did not answer within {self._seconds:g} s") from None
        if not httpx.codes.is_success(status):
            raise UndeliveredError(f"{url.host} answered {status}")

    async def _status(self, url: httpx.URL, body: bytes, content_type: str) -> int:
        """Return the status that one of the judged addresses answers."""
        reason = "it has no address"
        for address in await self._judged(url):
            request = self._request(url, address, body, content_type)
            try:
                answer = await self._http.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                reason = str(error) or type(error).__name__
            except httpx.RequestError as error:
                raise UndeliveredError(f"{url.host}: {str(error) or type(error).__name__}") from None
            else:
                await answer.aclose()
                return answer.status_code
        raise UndeliveredError(f"{url.host} cannot be reached: {reason}")

    def _request(self, url: httpx.URL, address: Address, body: bytes, content_type: str) -> httpx.Request:
        headers = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": _USER_AGENT,
            "Content-Type": content_type,
            "Connection": "close",
        }
        extensions = {
            "sni_hostname": url.raw_host.decode("ascii"),
            "timeout": httpx.Timeout(self._seconds).as_dict(),
        }
        request = httpx.Request(
            "POST", url.copy_with(host=str(address)), headers=headers, content=body, extensions=extensions
        )
        return next(httpx.BasicAuth(url.username, url.password).auth_flow(request)) if url.userinfo else request

    async def _judged(self, url: httpx.URL) -> list[Address]:
        """Return every address of a URL's host. Raises UndeliveredError unless all of them may be reached."""
        port = url.port if url.port is not None else _PORTS[url.scheme]
        host = url.raw_host.decode("ascii")
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolvers, _resolve, host, port)
        except (OSError, UnicodeError) as error:
            raise UndeliveredError(f"{url.host} cannot be found: {error}") from None
        for address in found:
            if not self._reach(address, port):
                text = f"{url.host} is at {address}, which is not a public address; callbacks do not go there"
                raise UndeliveredError(text, final=True)
        return found


def _url(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise UndeliveredError(f"the address is no URL: {error}", final=True) from None
    if url.scheme not in _PORTS or (url.port is not None and not 0 < url.port < 65536):
        raise UndeliveredError("the address is no URL of http or https with a port up to 65535", final=True)
    return url


def _resolve(host: str, port: int) -> list[Address]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(answer[4][0]) for answer in answers))
