"""Everything about telling people, put together: routes, notices, the notifier, and what hbd says of itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import tzinfo

from msgspec import Struct

from hbd.access import Identity, Role
from hbd.accounts import Accounts
from hbd.alerts import Alert, Alerts
from hbd.channel_register import ChannelRegister, may_see
from hbd.channels.base import Channel
from hbd.channels.spec import ChannelSpec
from hbd.config import Config
from hbd.explanation import NoticeState
from hbd.hosts import Host, Hosts
from hbd.hushes import Held
from hbd.hushing import Hushing
from hbd.model import Level, Moment
from hbd.notices import Notice, Notices
from hbd.notifier import Notifier
from hbd.route_register import RouteRegister
from hbd.routing import LIVES, Router, held, unknown_channels
from hbd.schedule import UTC, QuietHours, zone
from hbd.self_watch import SelfWatch
from hbd.stats import Stats
from hbd.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Way(Struct, frozen=True, kw_only=True):
    """A channel as the notifier sees it."""

    enabled: bool
    min_level: Level
    quiet: QuietHours | None
    quiet_level: Level
    fallback: str | None
    repeat: float | None
    zone: tzinfo


class Ways:
    """The channels of the register for router and notifier; the same channel is the same object until it changes."""

    def __init__(self, channels: ChannelRegister, config: Config) -> None:
        self.config = config
        self._channels = channels
        self._known: dict[str, tuple[ChannelSpec, float, Way]] = {}

    def get(self, name: str) -> Way | None:
        spec = self._channels.get(name)
        if spec is None:
            self._known.pop(name, None)
            return None
        every = self.config.threshold_renotify_interval
        known = self._known.get(name)
        if known is None or known[0] is not spec or known[1] != every:
            known = self._known[name] = (spec, every, _way(spec, every))
        return known[2]

    async def open(self, name: str) -> Channel:
        return await self._channels.open(name)


def _way(spec: ChannelSpec, every: float) -> Way:
    quiet = None
    if spec.quiet_from is not None and spec.quiet_to is not None:
        quiet = QuietHours.read(spec.quiet_from, spec.quiet_to, spec.quiet_days, spec.timezone or UTC)
    return Way(
        enabled=spec.enabled,
        min_level=spec.min_level,
        quiet=quiet,
        quiet_level=spec.quiet_level,
        fallback=spec.fallback,
        repeat=spec.repeat if spec.repeat is not None else every,
        zone=zone(spec.timezone or UTC),
    )


class Notifications:
    def __init__(
        self,
        config: Config,
        store: Store,
        hosts: Hosts,
        alerts: Alerts,
        accounts: Accounts,
        hushing: Hushing,
        channels: ChannelRegister,
        stats: Stats,
        *,
        heard: Callable[[], int],
    ) -> None:
        """heard: how many hosts are up."""
        self._store = store
        self._hosts = hosts
        self._alerts = alerts
        self._accounts = accounts
        self._hushing = hushing
        self.channels = channels
        self._ways = Ways(self.channels, config)
        self.router = Router(config, hosts, accounts.get, self._ways.get, self._may_use)
        self.notices = Notices(self.router)
        self.notifier = Notifier(
            self.notices, store.notices, alerts, hosts, self.router, self._ways, stats, why_held=self.held
        )
        self.routes = RouteRegister(store, self.router, self.notices)
        self.watch = SelfWatch(
            self.notifier,
            self.notices,
            alerts,
            storage_problem=self._storage_problem,
            heard=heard,
            listeners=self._listeners,
        )
        self.channels.state = self.notifier.state
        self.channels.awaited = self._is_awaited
        self._people: dict[str, tuple[bool, Role, tuple[str, ...]]] = {}

    async def load(self, now: Moment) -> None:
        """Know what was to be told and was told before a restart; the channels are known. Raises StorageError."""
        await self.routes.load()
        left = await self._store.notices.all(now)
        self.notices.load(left)
        hosts = {host.id for host in self._hosts.everyone()}
        for host_id in {
            notice.host_id for notice in left
        } - hosts:  # removed while no daemon ran, or just before a crash
            self.notices.forget_host(host_id)
        self.notifier.remember(await self._store.notices.last_sent())
        self.channels.changed.append(self.reroute)
        self._accounts.changed.append(self._people_changed)
        self.reroute()

    def configure(self, config: Config) -> None:
        """Take a config that is in force everywhere else."""
        self.router.config = self._ways.config = config
        self.reroute()

    def _people_changed(self) -> None:
        people = {user.name: (user.enabled, user.role, user.channels) for user in self._accounts.everyone()}
        if people != self._people:
            self._people = people
            self.reroute()

    def reroute(self) -> None:
        """Who is told may have changed."""
        self.notices.reroute()
        self.notifier.wake()

    async def run(self) -> None:
        """Send, and look after hbd itself, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.notifier.run())
            group.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.watch.look(Moment.now())
            except Exception:
                log.exception("hbd could not look after itself")

    def warnings(self) -> list[str]:
        """``key: reason``."""
        known: Mapping[str, object] = {spec.name: spec for spec in self.channels.all()}
        return unknown_channels(self.router.config, known)

    def explain(self, host_id: int, path: str, at: float) -> list[NoticeState]:
        """Every channel that is or was to be told of the problem that a metric has now; at: Unix seconds.

        Of problems that are over only the log knows.
        """
        alert = self._alerts.get(host_id, path)
        found = []
        for notice in self.notices.of_problem(alert.problem) if alert is not None and alert.problem else ():
            if notice.opened > at:
                continue
            why = self.notifier.why_held(notice) if not notice.settled else None
            found.append(
                NoticeState(
                    channel=notice.channel,
                    why=notice.why,
                    wanted=notice.level,
                    told=notice.told,
                    told_at=notice.told_at if notice.told is not None else None,
                    count=notice.count,
                    held=why.reason if why is not None else "",
                    dead=notice.dead,
                    next=why.until if why is not None else None,
                )
            )
        return found

    def held_back(self, host: Host, alert: Alert) -> Held | None:
        """Why nobody is told of an alert now, whatever its channels."""
        return self._held_back(host, alert.path, alert.level, alert.problem)

    def _held_back(self, host: Host, path: str, level: Level, problem: str) -> Held | None:
        if path == LIVES and self.watch.isolation.holds:
            return held("isolated", "most hosts fell silent at once; hbd itself may be cut off")
        hushed = self._hushing.held(host, path, level, problem, Moment.now().wall)
        return hushed or self.router.hidden(host, path, self._alerts)

    def _may_use(self, user: str, channel: str) -> bool:
        person, spec = self._accounts.get(user), self.channels.get(channel)
        return person is not None and spec is not None and may_see(Identity(name=person.name, role=person.role), spec)

    def _is_awaited(self, channel: str, user: str) -> bool:
        """Whether something of others than this user leads to a channel of that name, should there be one."""
        config = self.router.config
        lists = [route.channels for route in self.router.routes]
        lists += [host.notification_channels for host in config.hosts.values()]
        lists += [person.channels for person in self._accounts.everyone() if person.name != user]
        named = {config.notifications.fallback, *config.notifications.about_hbd}
        named.update(spec.fallback for spec in self.channels.all() if spec.owner != user)
        left = any(True for _ in self.notices.of_channel(channel))
        return left or channel in named or any(channel in names for names in lists)

    def held(self, notice: Notice) -> Held | None:
        """What holds back a problem that is open, whatever its channel."""
        host = self._hosts.by_id(notice.host_id)
        if host is None:
            return None
        found = self._held_back(host, notice.path, notice.level, notice.problem)
        # Who looks after it need not be told again, nor need others; how it goes on is told to who was told.
        if found is not None and found.kind == "acknowledged" and notice.told is not None and not notice.settled:
            return self.router.hidden(host, notice.path, self._alerts)
        return found

    def _storage_problem(self) -> str | None:
        database = self._store.database
        if database.problem is None:
            return f"On the machine of hbd {database.trouble}." if database.trouble else None
        return (
            f"The database takes no writes: {database.problem}\n"
            "Agents keep their reports. Alerts wait until it is mended."
        )

    def _listeners(self) -> list[str]:
        """Channels that are told of hbd itself."""
        settings = self.router.config.notifications
        if settings.about_hbd:
            return list(settings.about_hbd)
        if settings.fallback is not None:
            return [settings.fallback]
        admins = (user for user in self._accounts.everyone() if user.role is Role.ADMIN and user.enabled)
        return list(dict.fromkeys(name for user in admins for name in user.channels if self._may_use(user.name, name)))
