"""Sockets to listen on: the same port on every address, chosen by the system when it is 0."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

LOOPBACK = ("127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only where the config asks for all interfaces
EPHEMERAL_TRIES = 20
BACKLOG = 4096  # thousands of agents come back at the same moment after a restart
RECEIVE_BUFFER_BYTES = 8 << 20  # a burst of heartbeats waits here while the loop is busy; the kernel may give less


def addresses(host: str | None) -> tuple[str, ...]:
    """What ``hbd_host`` means: None loopback of both families, "" all interfaces, else that address or name."""
    if host is None:
        return LOOPBACK
    return EVERYWHERE if host == "" else (host,)


def tcp(host: str | None, port: int) -> list[socket.socket]:
    """Listening sockets, one an address. Raises OSError, with the address in its text, when a port is taken."""
    return _bind(addresses(host), port, socket.SOCK_STREAM)


def udp(host: str | None, port: int) -> list[socket.socket]:
    """Bound datagram sockets with a large receive buffer, one an address. Raises OSError like ``tcp``."""
    return _bind(addresses(host), port, socket.SOCK_DGRAM)


def url(scheme: str, sock: socket.socket, path: str = "") -> str:
    """The address of a listening socket as a URL, a wildcard as it is: ``http://0.0.0.0:50004/``."""
    host, port = sock.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"


def from_here(url: str) -> str:
    """How this machine reaches what listens at a URL: a wildcard becomes the loopback address."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _bind(hosts: Sequence[str], port: int, kind: socket.SocketKind) -> list[socket.socket]:
    for attempt in range(EPHEMERAL_TRIES):
        opened: list[socket.socket] = []
        try:
            chosen = port
            for family, address in _resolve(hosts, kind):
                sock = _open(family, kind, address, chosen)
                if sock is not None:
                    opened.append(sock)
                    chosen = sock.getsockname()[1]
            if opened:
                return opened
            raise OSError(errno.EADDRNOTAVAIL, f"no address of {', '.join(hosts)} can be listened on here")
        except OSError as error:
            for sock in opened:
                sock.close()
            # A port that the system chose for one family may be taken on the other: let it choose again.
            if port or error.errno != errno.EADDRINUSE or attempt == EPHEMERAL_TRIES - 1:
                raise
    raise AssertionError


def _resolve(hosts: Sequence[str], kind: socket.SocketKind) -> list[tuple[socket.AddressFamily, str]]:
    found: list[tuple[socket.AddressFamily, str]] = []
    for host in hosts:
        try:
            infos = socket.getaddrinfo(host, None, type=kind, flags=socket.AI_PASSIVE)
        except socket.gaierror as error:
            raise OSError(errno.EADDRNOTAVAIL, f"{host}: {error.strerror}") from None
        for family, _, _, _, address in infos:
            if (family, address[0]) not in found and family in (socket.AF_INET, socket.AF_INET6):
                found.append((family, str(address[0])))
    return found


def _open(family: socket.AddressFamily, kind: socket.SocketKind, address: str, port: int) -> socket.socket | None:
    """None when this machine does not have that family or address at all."""
    try:
        sock = socket.socket(family, kind)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL and address in ("::1", "::"):
            return None  # IPv6 is switched off on this machine
        raise OSError(error.errno, f"{address} port {port}: {error.strerror}") from error
    return sock
