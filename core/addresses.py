"""The part of a client's address by which requests and failed logins are counted. Logs have the full address."""

from functools import lru_cache
from ipaddress import IPv6Network, ip_address
from typing import Final

_NETWORK_BITS: Final = 64


@lru_cache(maxsize=50_000)
def counted_address(address: str) -> str:
    """Return the text under which the requests and failures of an address are counted.

    That is the address itself for IPv4, and the network of 64 bits for IPv6: a provider gives each customer at least
    such a network, so a single client could otherwise use a new address for every request. Text that is no address, as
    for a peer on a Unix socket, is returned unchanged.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004 - the version of the protocol.
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _NETWORK_BITS), strict=False))
