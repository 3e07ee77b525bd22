"""What the web side may reach of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from hbd.accounts import Accounts
from hbd.alerts import Alerts
from hbd.audit import Audit
from hbd.channel_register import ChannelRegister
from hbd.config import Config
from hbd.explain import Explainer
from hbd.feed import Feed
from hbd.host_access import HostAccess
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.notifications import Notifications
from hbd.oidc import Provider
from hbd.passwords import Passwords
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.second_factor import SecondFactors
from hbd.signin import SignIn
from hbd.stats import Stats
from hbd.store import Store
from hbd.web import schemas
from hbd.web.hostview import HostViews
from hbd.web.throttle import Throttle


@dataclass(kw_only=True)
class Parts:
    """config is replaced at a reload; the rest stays for as long as the daemon runs.

    status: the daemon about itself. urls: where it listens. unready: why it cannot do its work now, in words; empty
    when it can.
    agent_link: serves the link of an agent; it checks the agent's key itself. apply_access: puts into force what
    host_access says of hosts. throttle: how often anybody may ask. tests: how often a channel may be tried by people
    who may not change it, as some services cost money. provider: of single sign-on, where there is one.
    """

    config: Config
    hosts: Hosts
    rings: Rings
    presence: Presence
    alerts: Alerts
    hushing: Hushing
    explainer: Explainer
    channels: ChannelRegister
    notifications: Notifications
    store: Store
    feed: Feed
    views: HostViews
    stats: Stats
    accounts: Accounts
    host_access: HostAccess
    apply_access: Callable[[Iterable[Host]], None]
    passwords: Passwords
    sign_in: SignIn
    audit: Audit
    throttle: Throttle
    provider: Callable[[], Provider | None]
    second_factors: SecondFactors
    status: Callable[[], schemas.Status]
    urls: Callable[[], list[str]]
    unready: Callable[[], list[str]]
    agent_link: Callable[[web.Request], Awaitable[web.StreamResponse]]
    tests: Throttle = field(default_factory=lambda: Throttle(1 / 300, 3))
