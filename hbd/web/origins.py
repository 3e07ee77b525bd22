"""What a browser tells of where a request comes from: whom it believes us to be, and whose page is asking."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import cache, lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from hbd.addresses import Networks, client
from hbd.config import Config
from hbd.errors import Forbidden, InvalidInput
from hbd.web.errors import Misdirected

HOST_HEADER = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?P<port>:[0-9]{1,5})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
CORS_HEADERS = "Authorization, Content-Type, X-Auth-Token, X-Request-ID"
CORS_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
CORS_EXPOSED = "ETag, Retry-After, X-Request-ID"
CORS_SECONDS = "600"


class ForeignPage(Forbidden):
    """Another site's page asks for it, or may: whoever is signed in has not asked."""


# ------------------------------------------------------------------------------------------------------ who is there


def from_proxy(request: web.Request, config: Config) -> bool:
    """Whether it comes from one of ``trusted_proxies``, whose word counts."""
    return bool(config.trusted_proxies) and (request.remote or "") in config.proxies


def client_address(request: web.Request, config: Config) -> str:
    if not config.trusted_proxies:
        return _direct(request.remote)
    return client(request.remote, request.headers.getall("X-Forwarded-For", ()), config.proxies)


@lru_cache(maxsize=4096)
def _direct(peer: str | None) -> str:
    return client(peer, (), Networks(()))


def is_secure(request: web.Request, config: Config) -> bool:
    """Whether whoever asks speaks TLS, to us or to a trusted proxy."""
    if request.secure:
        return True
    return from_proxy(request, config) and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"


# ------------------------------------------------------------------------------------------- who they believe we are


def check_host_header(request: web.Request, config: Config, *, guarded: bool) -> None:
    """Refuse requests that a browser was tricked into sending here under another site's name (DNS rebinding).

    Addresses are no names that anybody could point elsewhere; this machine's names and that of ``base_url`` are known.
    guarded: nothing else stands between such a page and what is asked for, as nobody has to sign in. Otherwise a
    daemon that listens on a network has names it never heard of, and takes them all: cookies are not sent to another.
    """
    if len(request.headers.getall("Host", ())) > 1 or not request.raw_path.startswith("/"):
        raise InvalidInput("This server answers under one host name at a time")
    host = request.headers.get("Host")
    if host is None:
        return
    match = HOST_HEADER.fullmatch(host)
    if match is None:
        raise InvalidInput("The Host header is not a host name")
    if (guarded or on_loopback(config)) and not _is_ours(match["name"].lower(), config):
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


def check_feed_origin(request: web.Request, config: Config, *, ambient: bool) -> None:
    """Refuse a WebSocket that the page of another site opens; browsers send Origin, programs do not.

    Same host and port as the request, ``base_url``, ``cors.origins``, and our pages' own port on the same host.
    ambient: the browser says by itself who is there, so it has to say whose page asks, too.
    """
    origins = request.headers.getall("Origin", ())
    if not origins:
        if ambient:
            raise Forbidden("A cookie counts for a page of hbd alone; programs send their token in a header")
        return
    origin, others = origins[0].lower(), () if ambient else config.cors.origins  # for them, cookies never count
    known = _is_known_origin(origin, request, config, others) or _is_our_pages_port(origin, request, config)
    if len(origins) > 1 or not known:
        raise Forbidden("Pages of other sites may not open this feed")


def check_form_origin(request: web.Request, config: Config, *, ambient: bool) -> None:
    """Refuse to change anything because the page of another site asks for it (CSRF).

    Browsers tell by Sec-Fetch-Site (not over plain HTTP) and by Origin. ambient: as above.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origins = request.headers.getall("Origin", ())
    if site == "same-origin" or (site == "none" and not origins):
        return
    if origins:
        if len(origins) == 1 and _is_known_origin(origins[0].lower(), request, config, ()):
            return
        raise ForeignPage("Pages of other sites may not change anything here; behind a proxy, set base_url")
    if site is not None or ambient:
        raise ForeignPage("A cookie counts for a page of hbd alone; programs send their token in a header")


def _is_known_origin(origin: str, request: web.Request, config: Config, others: tuple[str, ...]) -> bool:
    scheme, _, netloc = origin.partition("://")
    if scheme not in DEFAULT_PORTS or not netloc:
        return False
    default = DEFAULT_PORTS[scheme]
    # A page that came in the clear may be anybody's who is on the way. The other way round, a proxy may have taken
    # TLS off and not say so.
    downgraded = scheme == "http" and is_secure(request, config)
    if not downgraded and netloc.removesuffix(default) == request.host.lower().removesuffix(default):
        return True
    own = {url.lower().rstrip("/") for url in (*others, *_origin_of(config.base_url))}
    return origin.removesuffix(default) in own or origin in own


def _is_our_pages_port(origin: str, request: web.Request, config: Config) -> bool:
    """Whether it is our pages' own port on the same host, where the feed has another; through a proxy it has not."""
    if from_proxy(request, config):
        return False
    scheme = "https" if config.hbd_tls else "http"
    own = f"{scheme}://{_without_port(request.host.lower())}:{config.hbd_port}"
    return origin.removesuffix(DEFAULT_PORTS[scheme]) == own.removesuffix(DEFAULT_PORTS[scheme])


def _origin_of(url: str | None) -> tuple[str, ...]:
    if url is None:
        return ()
    parts = urlsplit(url)
    return (f"{parts.scheme}://{parts.netloc}",)


def _without_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)


# ------------------------------------------------------------------------------------------------ other sites' pages


def cors_headers(request: web.Request, config: Config) -> dict[str, str]:
    """What lets the page that asks read the answer, if ``cors.origins`` lets it. Cookies never count for it."""
    allowed = config.cors.origins
    if not allowed:
        return {}
    origin = request.headers.get("Origin", "")
    if "*" in allowed:
        headers = {"Access-Control-Allow-Origin": "*"}
    elif origin.lower().rstrip("/") in {entry.lower() for entry in allowed}:
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    else:
        return {"Vary": "Origin"}
    return headers | {"Access-Control-Expose-Headers": CORS_EXPOSED}


def preflight(request: web.Request, config: Config) -> web.Response | None:
    """The answer to a browser that asks whether a page may ask; None when this is no such question, or it may not."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    headers = cors_headers(request, config)
    if "Access-Control-Allow-Origin" not in headers:
        return None
    headers |= {
        "Access-Control-Allow-Methods": CORS_METHODS,
        "Access-Control-Allow-Headers": CORS_HEADERS,
        "Access-Control-Max-Age": CORS_SECONDS,
    }
    return web.Response(status=204, headers=headers)
