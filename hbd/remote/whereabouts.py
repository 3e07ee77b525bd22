"""Where agents find this daemon, as others see it, and what they have to trust there."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from hbd.config import Config
from hbd.errors import Conflict
from hbd.reach import is_loopback
from hbd.remote.install_script import Server
from hbd.tls import Certificate

HTTPS_PORT = 443


class Whereabouts:
    def __init__(
        self, config: Callable[[], Config], urls: Callable[[], list[str]], certificate: Certificate | None = None
    ) -> None:
        """urls: where the pages and the agents' links are served, wildcards as they are."""
        self._config = config
        self._urls = urls
        self._certificate = certificate

    def at(self, url: str) -> Server:
        """This daemon at a URL that somebody has named. Raises InvalidInput when that is none."""
        pair = self._certificate.pair if self._certificate is not None else None
        if pair is None or pair.anchor is None or not self._is_direct(url):
            return Server(url)
        assert self._certificate is not None
        return Server(url, pair.anchor, itself=pair.anchor == self._certificate.pem())

    def as_asked(self, scheme: str, host: str) -> Server:
        """As somebody has just reached it: ``base_url``, or else by that scheme and host (with its port)."""
        return self.at(self._config().base_url or f"{scheme}://{host}")

    def from_network(self, own_address: str) -> Server:
        """As a machine sees it that knows us by this address: ``base_url``, or else that address and our port.

        Raises Conflict when we do not listen there.
        """
        if base_url := self._config().base_url:
            return self.at(base_url)
        address = ipaddress.ip_address(own_address.partition("%")[0])
        urls = self._urls()
        if not address.is_loopback and all(map(is_loopback, urls)):
            raise Conflict(
                "hbd listens on its own machine alone, where other machines do not reach it: "
                "set hbd_host, or base_url when there is a proxy"
            )
        first = urlsplit(urls[0])
        host = f"[{address}]" if address.version == 6 else str(address)
        return self.at(f"{first.scheme}://{host}:{first.port}")

    def _is_direct(self, url: str) -> bool:
        """Whether a URL leads to our own TLS and not to that of a proxy."""
        parts = urlsplit(url)
        own = {urlsplit(one).port for one in self._urls() if one.startswith("https:")}
        return parts.scheme == "https" and (parts.port or HTTPS_PORT) in own
