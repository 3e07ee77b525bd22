"""From where people can get to this daemon: what that means while nobody has to sign in. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import Enum
from urllib.parse import urlsplit

from hbd.config import Config


class Reach(Enum):
    MACHINE = "machine"
    """nobody but this machine gets here"""
    PROXY = "proxy"
    """hbd listens on this machine alone, but its config speaks of a proxy, which brings others"""
    NETWORK = "network"


MAKE_FIRST = "make the first one: hbd user add --admin NAME"
WITHOUT_USERS = {
    Reach.NETWORK: f"users: no users are set up: whoever can reach hbd over the network sees everything; {MAKE_FIRST}",
    Reach.PROXY: "users: no users are set up, and by base_url or trusted_proxies there is a proxy: whoever gets "
    f"through it sees everything; {MAKE_FIRST}",
}
"""``key: reason``, for log and status page"""


def reach(config: Config, urls: Iterable[str]) -> Reach:
    """urls: where it listens; ``0.0.0.0`` and ``::`` are every network."""
    if not all(map(is_loopback, urls)):
        return Reach.NETWORK
    proxied = config.trusted_proxies or (config.base_url is not None and not is_loopback(config.base_url))
    return Reach.PROXY if proxied else Reach.MACHINE


def is_loopback(url: str) -> bool:
    """Whether a URL leads to the very machine that asks."""
    return is_this_machine(urlsplit(url).hostname or "")


def is_this_machine(name: str) -> bool:
    """Whether a host name or an address means the very machine that asks, wherever that is."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
