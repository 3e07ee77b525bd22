"""Open connections on which nobody has said yet who they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from hbd import addresses
from hbd.errors import Busy

MAX_STRANGERS = 200
MAX_OF_ADDRESS = 20  # so that one address does not keep all others waiting


class Strangers:
    """Bounded, in all and for each address (IPv6: for each /64)."""

    def __init__(self) -> None:
        self._of_address: Counter[str] = Counter()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """One more for as long as the block runs. Raises Busy when there are too many."""
        key = addresses.key(address)
        if self._of_address.total() >= MAX_STRANGERS or self._of_address[key] >= MAX_OF_ADDRESS:
            raise Busy("Too many open connections to the live feed")
        self._of_address[key] += 1
        try:
            yield
        finally:
            self._of_address[key] -= 1
            if not self._of_address[key]:
                del self._of_address[key]


STRANGERS: web.AppKey[Strangers] = web.AppKey("strangers", Strangers)
