"""Where channels may call. Whoever may make a channel shall not reach with it what only this machine reaches (SSRF).

Channels of the config and of admins may call private addresses too, those of others public ones alone and what
``limits.channel_targets`` lists. Nobody's may call this daemon itself, unless that list has it. A name is looked up
once for every message, all its addresses are judged, and the connection goes to those very addresses: what a name
stands for cannot change in between. Redirects and proxies from the environment are nowhere followed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import psutil
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from hbd.addresses import Networks
from hbd.channels.base import SEND_SECONDS, SendFailed

MAX_URL = 2_000
LOOK_SECONDS = 3.0  # how long saving a channel waits for a name server

Lookup = Callable[[str, int], list[tuple[Any, ...]]]
"""(name, port) → what getaddrinfo answers; raises OSError"""

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_PROTOCOLS = IPv4Network("192.0.0.0/24")  # some of it is global by the letter, none of it is a server


def look_up(name: str, port: int) -> list[tuple[Any, ...]]:
    return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)


class Allowed:
    """What ``limits.channel_targets`` lists: networks, and host names."""

    def __init__(self, texts: Iterable[str]) -> None:
        networks: list[str] = []
        names: set[str] = set()
        for text in texts:
            try:
                Networks([text])
            except ValueError:
                names.add(text.lower().rstrip("."))
            else:
                networks.append(text)
        self._networks = Networks(networks)
        self._names = frozenset(names)

    def has_name(self, name: str) -> bool:
        return name.lower().rstrip(".") in self._names

    def has_address(self, address: str) -> bool:
        return address in self._networks


class Guard:
    """Judges and opens the connections of one channel.

    trusted: it may call private addresses. own_ports: where this daemon listens.
    """

    def __init__(
        self,
        *,
        trusted: bool,
        allowed: Allowed,
        own_ports: Callable[[], Collection[int]],
        threads: Executor,
        lookup: Lookup = look_up,
    ) -> None:
        self._trusted = trusted
        self._allowed = allowed
        self._own_ports = own_ports
        self._threads = threads
        self._lookup = lookup

    def refusal(self, address: str, port: int) -> str:
        """Why nothing may be sent there, "" when it may."""
        address = address.partition("%")[0]
        if self._allowed.has_address(address):
            return ""
        parsed = unwrapped(ip_address(address))
        if not self._trusted and not is_public(parsed):
            return "only public addresses may be called"
        if port in self._own_ports() and is_here(parsed):
            return "hbd does not call itself"
        return ""

    async def addresses(self, host: str, port: int) -> list[ResolveResult]:
        """Where a host is to be found. Raises SendFailed, also when one of its addresses may not be called."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, UnicodeError) as error:
            raise SendFailed("the name of the server cannot be resolved") from error
        if not self._allowed.has_name(host):
            for *_, place in found:
                if reason := self.refusal(place[0], port):
                    raise SendFailed(reason, permanent=True)
        return [
            ResolveResult(
                hostname=host,
                host=place[0],
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, place in found
        ]

    async def objection(self, host: str, port: int) -> str:
        """Why a channel for this host is not taken, "" when it is. A name that nobody knows now is judged later."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.addresses(host, port)
        except SendFailed as error:
            return str(error) if error.permanent else ""
        except TimeoutError:
            pass
        return ""

    async def session(self, url: str) -> ClientSession:
        """For requests to this URL alone that follow no redirects; the caller closes it. Raises SendFailed."""
        addresses = await self.addresses(*target_of(url))
        return ClientSession(
            connector=TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False, force_close=True),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=SEND_SECONDS),
            trust_env=False,
        )

    async def connect(self, host: str, port: int) -> socket.socket:
        """A socket that is connected with this host. Raises SendFailed."""
        loop = asyncio.get_running_loop()
        for place in await self.addresses(host, port):
            sock = socket.socket(place["family"], socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, (place["host"], port))
            except OSError:
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise SendFailed("the server cannot be reached")


class _Pinned(AbstractResolver):
    """Answers with addresses that have been judged."""

    def __init__(self, addresses: list[ResolveResult]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return self._addresses

    async def close(self) -> None:
        pass


def flaw_of_url(text: str) -> str:
    """What is wrong with the form of a URL that a channel is to call, "" when nothing is."""
    if len(text) > MAX_URL or not text.isprintable() or any(char in text for char in ' \\"<>'):
        return "not a URL"
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        return "not a URL"
    if url.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not url.host or not port:
        return "needs a host name"
    if url.user is not None or url.password is not None:
        return "must not have a user or password in it"
    return ""


def target_of(url: str) -> tuple[str, int]:
    """Host and port that a URL without flaws leads to."""
    where = URL(url)
    return where.host or "", where.port or 0


def unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, where it does; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if (inner := address.ipv4_mapped or address.sixtofour) is not None:
        return inner
    if address.teredo is not None:
        return address.teredo[1]
    carries_one = any(address in network for network in _NAT64)
    if carries_one or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the internet could call it just as well."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    special = site_local or address in _PROTOCOLS or address.is_multicast or address.is_reserved or address.is_loopback
    return address.is_global and not special


def is_here(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is an address of this machine."""
    if address.is_loopback or address.is_unspecified:
        return True
    own = (entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries)
    return str(address) in own
