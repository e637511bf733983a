"""Where a server may listen: a name is resolved once, checked, and bound as what it was checked to be."""

from __future__ import annotations

import ipaddress
import socket

from reconciler.errors import UsageError


def listen(host: str, port: int, *, signed: bool) -> socket.socket:
    """Take an address to listen on. Raises UsageError when it cannot be had.

    Unless callers are ``signed`` – their signatures are checked – every address that the name has must be one of this
    machine alone.
    """
    found = _resolve(host, port)
    open_ones = [address for _, address in found if not _is_loopback(address)]
    if open_ones and not signed:
        shown = host if open_ones[0] == host else f"{host} ({open_ones[0]})"
        raise UsageError(
            f"without credentials no signature is checked, so {shown} would be open to everyone",
            advice="set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or listen on 127.0.0.1",
        )
    family, address = found[0]
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise _unusable(host, port, error) from error


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Return what a name means; all of it, because a later look may give any of it."""
    if not host:
        raise UsageError("there is no address to listen on", advice="write --host 127.0.0.1")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _unusable(host, port, error) from error
    return [(family, str(address[0])) for family, _, _, _, address in found]


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _unusable(host: str, port: int, error: OSError | UnicodeError) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"cannot listen on {host}:{port}: {reason}", advice="choose another --port or --host")
