"""What the web side may reach of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from hbd.accounts import Accounts
from hbd.agent_register import AgentRegister
from hbd.alerts import Alerts
from hbd.audit import Audit
from hbd.channel_register import ChannelRegister
from hbd.config import Config
from hbd.explain import Explainer
from hbd.feed import Feed
from hbd.host_access import HostAccess
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.jobs import Jobs
from hbd.model import State
from hbd.notifications import Notifications
from hbd.oidc import Provider
from hbd.passwords import Passwords
from hbd.presence import Presence
from hbd.process_register import ProcessRegister
from hbd.receivers.doors import Doors
from hbd.receivers.influx import InfluxWrites
from hbd.receivers.nagios import PassiveResults
from hbd.receivers.noba_agents import NobaAgents
from hbd.receivers.noba_sockets import NobaSockets
from hbd.remote.commands import Commands
from hbd.remote.deploy import Deployments
from hbd.remote.package import Packages
from hbd.remote.streams import Streams
from hbd.remote.whereabouts import Whereabouts
from hbd.reporting import Reporting
from hbd.rings import Rings
from hbd.scraping.scraper import Scraper
from hbd.second_factor import SecondFactors
from hbd.signin import SignIn
from hbd.stats import Stats
from hbd.store import Store
from hbd.web import schemas
from hbd.web.foretelling import Forecasts
from hbd.web.hostview import HostViews
from hbd.web.recorder import Recorder
from hbd.web.throttle import Throttle
from hbd.web.turns import Turns


@dataclass(kw_only=True)
class Parts:
    """config is replaced at a reload; the rest stays for as long as the daemon runs.

    status: the daemon about itself. urls: where it listens. unready: why it cannot do its work now, in words; empty
    when it can.
    agent_link: serves the link of an agent; it checks the agent's key itself. doors: what agents of other systems come
    in by. apply_access: puts into force what
    host_access says of hosts. throttle: how often anybody may ask. tests: how often a channel may be tried by people
    who may not change it, as some services cost money. provider: of single sign-on, where there is one. told: by host
    id, the state that the journal told last.
    """

    config: Config
    hosts: Hosts
    agents: AgentRegister
    noba: NobaAgents
    noba_sockets: NobaSockets
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
    commands: Commands
    streams: Streams
    deployments: Deployments
    packages: Packages
    whereabouts: Whereabouts
    doors: Doors
    influx: InfluxWrites
    passive: PassiveResults
    jobs: Jobs
    scraper: Scraper
    reporting: Reporting
    apply_reporting: Callable[[Host], Awaitable[None]]
    processes: ProcessRegister
    recorder: Recorder
    past_readers: Turns = field(default_factory=lambda: Turns(2, 4, 40, "Too many ask for the past at the moment"))
    tests: Throttle = field(default_factory=lambda: Throttle(1 / 300, 3))
    told: Mapping[int, State] = field(default_factory=dict)
    forecasts: Forecasts = field(default_factory=Forecasts)
