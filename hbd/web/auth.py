"""Who is calling, and from where: the questions before every route."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

from aiohttp import web

from hbd.access import EVERYBODY, STRANGER, Identity, may
from hbd.config import Config
from hbd.errors import Forbidden, InvalidInput, NotFound
from hbd.hosts import Host, Hosts
from hbd.web.call import Route
from hbd.web.errors import Misdirected, require

HOST_HEADER = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?P<port>:[0-9]{1,5})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def identify(config: Config) -> Identity:
    """Without users everybody is welcome; with users, whoever has not logged in is a stranger."""
    return STRANGER if config.users else EVERYBODY


def authorise(route: Route, identity: Identity, hosts: Hosts, path: Mapping[str, str]) -> Host | None:
    """The host in the path, if the route has one. Raises Unauthorised, Forbidden or NotFound."""
    if "host" not in path:
        require(may(identity, route.action))
        return None
    host = hosts.get(path["host"])
    if host is not None:
        require(may(identity, route.action, host))
        return host
    verdict = may(identity, route.action)
    if route.action is None or verdict.stranger:
        require(verdict)
    raise NotFound(f"Host '{path['host']}' not found")


# ------------------------------------------------------------------------------------------- who they believe we are


def check_host_header(request: web.Request, config: Config) -> None:
    """Refuse requests that a browser was tricked into sending here under another site's name (DNS rebinding).

    That is looked at where it can harm and cannot lock anybody out: the daemon listens on loopback alone, so all who
    reach it know it by a loopback name, or by ``base_url`` when a proxy stands before it. Addresses are no names that
    anybody could point elsewhere. A daemon that listens on a network has names it never heard of, and takes them all.
    """
    if len(request.headers.getall("Host", ())) > 1 or not request.raw_path.startswith("/"):
        raise InvalidInput("This server answers under one host name at a time")
    host = request.headers.get("Host")
    if host is None:
        return
    match = HOST_HEADER.fullmatch(host)
    if match is None:
        raise InvalidInput("The Host header is not a host name")
    if on_loopback(config) and not _is_ours(match["name"].lower(), config):
        raise Misdirected("This daemon is not known by that host name; set base_url to the URL it is reached at")


def on_loopback(config: Config) -> bool:
    """Whether only this machine can connect."""
    if config.hbd_host in (None, "localhost"):
        return True
    address = _address(config.hbd_host or "")
    return address is not None and address.is_loopback


def _is_ours(name: str, config: Config) -> bool:
    if name == "localhost" or name.endswith(".localhost") or _address(name.strip("[]")) is not None:
        return True
    return name in _machine_names() or (config.base_url is not None and name == urlsplit(config.base_url).hostname)


@cache
def _machine_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset((name, name.partition(".")[0]))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------ whose page is asking


def check_origin(request: web.Request, config: Config) -> None:
    """Refuse a WebSocket that the page of another site opens; browsers send Origin, programs do not.

    Same host and port as the request, ``base_url``, ``cors.origins``, and our pages' own port on the same host.
    """
    origins = request.headers.getall("Origin", ())
    if not origins:
        return
    if len(origins) > 1 or not _is_known_origin(origins[0].lower(), request.host.lower(), config):
        raise Forbidden("Pages of other sites may not open this feed")


def _is_known_origin(origin: str, host: str, config: Config) -> bool:
    scheme, _, netloc = origin.partition("://")
    if scheme not in DEFAULT_PORTS or not netloc:
        return False
    default = DEFAULT_PORTS[scheme]
    netloc = netloc.removesuffix(default)
    if netloc == host.removesuffix(default):
        return True
    if netloc == _without_port(host) + f":{config.hbd_port}":
        return True
    own = {url.lower().rstrip("/") for url in (*config.cors.origins, *_origin_of(config.base_url))}
    return origin.removesuffix(default) in own or origin in own


def _origin_of(url: str | None) -> tuple[str, ...]:
    if url is None:
        return ()
    parts = urlsplit(url)
    return (f"{parts.scheme}://{parts.netloc}",)


def _without_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)
