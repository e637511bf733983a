"""Which addresses a callback may be sent to: the public network's, unless whoever runs the service allows others."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Reach = Callable[[Address, int], bool]
"""Tells whether a callback may be sent to an address and port."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")


def public_only(address: Address, _port: int) -> bool:
    """Reach the public network: neither this machine, nor its neighbours, nor many machines at once."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    carried = _carried(address)
    if carried is not None:
        return public_only(carried, _port)
    return address in _GLOBAL_UNICAST and address.is_global


def everything(_address: Address, _port: int) -> bool:
    """Reach whatever can be connected to."""
    return True


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address at which a packet to this address ends up, when there is one."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
