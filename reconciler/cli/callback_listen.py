"""``apply --callback-listen HOST:PORT``: the socket at which callbacks are heard, or plainly why there is none."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from reconciler.errors import UsageError

_OPTION = "--callback-listen"


def listen(text: str) -> tuple[socket.socket, str]:
    """Listen on HOST:PORT, and return the host as it was written: the service is to call it by that name.

    Raises UsageError when the address cannot be had, and for one that stands for every address of the machine.
    """
    host, port = _host_and_port(text)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_unspecified:
            raise UsageError(
                f"{_OPTION} {text}: {host} stands for every address of this machine; the service needs one to call",
                advice="write the address at which the service reaches this machine",
            )
        return socket.create_server((str(address[0]), port), family=family), host
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{_OPTION} {text}: {reason}", advice="choose another address or port") from error


def _host_and_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port is not None and parts.netloc == text and parts.username is None:
            return parts.hostname, parts.port
    except ValueError:
        pass  # a port beyond 65535, a bracket that is not closed
    raise UsageError(f"{_OPTION} {text} is not HOST:PORT", advice="write it as 192.0.2.7:9000 or [2001:db8::7]:9000")
