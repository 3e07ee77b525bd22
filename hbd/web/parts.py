"""What the web side may reach of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from hbd.config import Config
from hbd.feed import Feed
from hbd.hosts import Hosts
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store import Store
from hbd.web import schemas
from hbd.web.hostview import HostViews


@dataclass(kw_only=True)
class Parts:
    """config is replaced at a reload; the rest stays for as long as the daemon runs.

    status: the daemon about itself. unready: why it cannot do its work now, in words; empty when it can.
    agent_link: serves the link of an agent; it checks the agent's key itself.
    """

    config: Config
    hosts: Hosts
    rings: Rings
    presence: Presence
    store: Store
    feed: Feed
    views: HostViews
    stats: Stats
    status: Callable[[], schemas.Status]
    unready: Callable[[], list[str]]
    agent_link: Callable[[web.Request], Awaitable[web.StreamResponse]]
