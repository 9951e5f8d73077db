"""Keeps connections away from private networks, by the address that is really connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")


class AddressForbiddenError(OSError):
    """An address is neither public nor in a network that the operator allows."""


def check_reachable(text: str, networks: Collection[Network]) -> None:
    """Checks an IP address. IPv4 addresses that stand within one of IPv6 count as what they are.

    Raises:
        AddressForbiddenError: If it is not public, and in none of the networks.
        ValueError: If it is no IP address.
    """
    for address in _meant(ip_address(text)):
        public = address.is_global and not address.is_multicast
        if not public and not any(address in network for network in networks):
            raise AddressForbiddenError("the address is not public")


def _meant(address: Address) -> list[Address]:
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    inner: list[Address] = [a for a in (address.sixtofour, *(address.teredo or ())) if a is not None]
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *inner]


def guarded(networks: Collection[Network]) -> Callable[[Any], socket.socket]:
    """Returns what makes the socket of a connection that is about to be made, unless its address is forbidden.

    Names are resolved before, once: nothing can change between the check and the connection.
    """

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        check_reachable(where[0], networks)
        return socket.socket(family=family, type=kind, proto=protocol)

    return make
