"""Addresses on the network: of the client behind proxies, and of those that count as one. Pure.

An IPv4 address that came mapped into IPv6 is that IPv4 address; a zone (``%eth0``) is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

_WITH_PORT = re.compile(r"\[(?P<six>[^\[\]]+)\](?::[0-9]{1,5})?|(?P<four>[0-9.]+):[0-9]{1,5}")
_ONE_SITE_BITS = 64  # of an IPv6 address: what is behind them, everybody chooses freely


class Networks:
    """The networks that texts such as ``10.0.0.0/8`` and ``2001:db8::1`` name. Raises ValueError for other texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._by_shift: dict[tuple[int, int], set[int]] = {}
        for text in texts:
            network = ip_network(text)
            start, bits = network.network_address, network.max_prefixlen - network.prefixlen
            if isinstance(start, IPv6Address) and start.ipv4_mapped is not None and bits <= 32:
                network = IPv4Network((start.ipv4_mapped, 32 - bits))
            shift = network.max_prefixlen - network.prefixlen
            prefix = int(network.network_address) >> shift
            self._by_shift.setdefault((network.version, shift), set()).add(prefix)

    def __contains__(self, address: str) -> bool:
        parsed = _parsed(address)
        if parsed is None:
            return False
        version, number = parsed.version, int(parsed)
        return any(version == of and number >> shift in known for (of, shift), known in self._by_shift.items())


def client(peer: str | None, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address of whoever sent a request; "" when there is none.

    peer: who is at the other end of the connection. forwarded: the values of all X-Forwarded-For headers, in order.

    Everybody can send that header, and a proxy adds to its end from whom it had the request. So the last entry is
    believed when a trusted proxy sent it, the one before it when the last is a trusted proxy too, and so on. At an
    entry that is no address nothing more is known, and it stays at the proxy that added it.
    """
    address = _normal(peer or "")
    for entry in reversed(",".join(forwarded).split(",")):
        if address not in trusted:
            break
        before = _entry(entry.strip())
        if before is None:
            break
        address = str(before)
    return address


def key(address: str) -> str:
    """What limits are kept by: the address, or for IPv6 the /64 it is in; text that is no address as it is."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        free = 128 - _ONE_SITE_BITS
        return f"{IPv6Address(int(parsed) >> free << free)}/{_ONE_SITE_BITS}"
    return address if parsed is None else str(parsed)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _normal(text: str) -> str:
    parsed = _parsed(text)
    return text if parsed is None else str(parsed)


def _entry(text: str) -> IPv4Address | IPv6Address | None:
    """One entry of X-Forwarded-For: an address, which may have a port and, for IPv6, brackets."""
    if match := _WITH_PORT.fullmatch(text):
        text = match["six"] or match["four"]
    return _parsed(text)
