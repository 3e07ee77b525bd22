"""The shape of the configuration: one struct a section, one field a YAML key, each default written once, here.

Durations are float seconds, sizes are bytes, lists are tuples. What a key does is told in ``docs/config.md``.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from hbc.wire import MAX_WATCHED
from hbd import tls
from hbd.addresses import Networks
from hbd.errors import InvalidInput
from hbd.matching import Matcher
from hbd.schedule import UTC, Window, WindowTexts

# The "as" of a field says how its text is read; hbd/config/leaves.py has one reader for each.
Port = Annotated[int, Meta(ge=0, le=65535)]
Duration = Annotated[float, Meta(ge=0, le=100 * 365.25 * 86400, extra={"as": "duration"})]
Interval = Annotated[float, Meta(ge=0.1, le=86400, extra={"as": "duration"})]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
Retained = Annotated[float, Meta(ge=86400, le=100 * 365.25 * 86400, extra={"as": "duration"})]
Size = Annotated[int, Meta(ge=1024, le=2**30, extra={"as": "size"})]
FileSize = Annotated[int, Meta(ge=1024, le=2**40, extra={"as": "size"})]
HostName = Annotated[str, Meta(extra={"as": "host name"})]
HostPattern = Annotated[str, Meta(extra={"as": "host pattern"})]
BindAddress = Annotated[str, Meta(extra={"as": "bind address"})]
Url = Annotated[str, Meta(extra={"as": "url"})]
Origin = Annotated[str, Meta(extra={"as": "origin"})]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
OneOrMore = Annotated[tuple[Name, ...], Meta(extra={"as": "one or more"})]
ExporterUrls = Annotated[
    tuple[Annotated[str, Meta(extra={"as": "exporter url"})], ...], Meta(extra={"as": "one or more"})
]
HostPatterns = Annotated[tuple[HostPattern, ...], Meta(extra={"as": "one or more"})]
UserName = Annotated[str, Meta(extra={"as": "user name"})]
Network = Annotated[str, Meta(extra={"as": "network"})]
HeaderName = Annotated[str, Meta(extra={"as": "header name"})]
RoleName = Literal["viewer", "operator", "admin"]


class Secret:
    """A text that nobody gets to see by accident: it prints as ``•••``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "•••"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


PasswordHash = Annotated[Secret, Meta(extra={"as": "password hash"})]
SecretText = Annotated[Secret, Meta(extra={"as": "secret"})]


class ChannelSettings(dict[str, Any]):
    """One notification channel: its ``type``, and whatever that type needs. Secrets may be anywhere in it."""

    def __repr__(self) -> str:
        return f"ChannelSettings(type={self.get('type')!r}, •••)"


class Section(Struct, frozen=True, kw_only=True):
    """A mapping of the file whose keys are known."""


class Threshold(Section, frozen=True, kw_only=True):
    """When a metric is worth a word. for, keep_firing_for: seconds; hysteresis: fraction of the threshold."""

    warning: float | None = None
    critical: float | None = None
    operator: Literal[">", ">=", "<", "<=", "==", "!=", "nagios"] = ">"
    hysteresis: Annotated[float, Meta(ge=0, le=1)] = 0.0
    hold: Duration = field(default=0.0, name="for")
    keep_firing_for: Duration = 0.0
    enabled: bool = True
    display: str | None = None


class Thresholds(dict[tuple[str, ...], Threshold]):
    """One entry of ``threshold_configs``: path of names, such as ("disk_monitor", "*", "percent"), to threshold."""


class Assignment(Section, frozen=True, kw_only=True):
    """Threshold configs for all hosts with such a name (patterns) and one of the tags; none of either means any."""

    config: OneOrMore = ()
    hosts: HostPatterns = ()
    tags: OneOrMore = ()


class HostConfig(Section, frozen=True, kw_only=True):
    """What the file says of one host. None: it does not say."""

    owner: Name | None = None
    managers: tuple[Name, ...] | None = None
    monitors: tuple[Name, ...] | None = None
    watch: bool | None = None
    dyn: bool | None = None
    tags: tuple[Name, ...] = ()
    interval: Interval | None = None
    enabled: bool | None = None
    min_report_interval: Duration | None = None
    threshold_config: OneOrMore = ()
    notification_channels: OneOrMore = ()
    depends_on: OneOrMore = ()


class HostSettings(Struct, frozen=True, kw_only=True):
    """What holds for one host when the whole file has been considered. interval None: as its agent says."""

    owner: str | None
    managers: tuple[str, ...]
    monitors: tuple[str, ...]
    watch: bool
    dyn: bool
    tags: tuple[str, ...]
    interval: float | None
    enabled: bool
    min_report_interval: float


class User(Section, frozen=True, kw_only=True):
    """One account. admin: shorthand for ``role: admin``."""

    full_name: str = ""
    avatar: str = ""
    password: PasswordHash | None = None
    role: RoleName = "viewer"
    admin: bool = False
    notification_channels: OneOrMore = ()


class Oidc(Section, frozen=True, kw_only=True):
    """Sign-in at an OpenID Connect provider. issuer None: there is none.

    roles: group of the provider → role here, the strongest counts. default_role: of people in none of these groups;
    None: they do not get in. link_users: whether a name from the provider may be that of an account which exists here
    already, which trusts the provider with every account.
    """

    issuer: Url | None = None
    client_id: Name | None = None
    client_secret: SecretText | None = None
    label: Name = "single sign-on"
    scopes: tuple[Name, ...] = ("openid", "profile", "email")
    name_claim: Name = "preferred_username"
    groups_claim: Name = "groups"
    roles: dict[Name, RoleName] = {}
    default_role: RoleName | None = None
    link_users: bool = False


class ProxyLogin(Section, frozen=True, kw_only=True):
    """Sign-in by a proxy of ``trusted_proxies`` that says in headers who is calling. user_header None: none does.

    roles, default_role: as in ``Oidc``; groups are separated by commas.
    """

    user_header: HeaderName | None = None
    name_header: HeaderName = "Remote-Name"
    groups_header: HeaderName = "Remote-Groups"
    roles: dict[Name, RoleName] = {}
    default_role: RoleName | None = None


class Auth(Section, frozen=True, kw_only=True):
    """How people sign in. second_factor: roles whose users must have one."""

    session: Annotated[float, Meta(ge=60, le=365 * 86400, extra={"as": "duration"})] = 86400.0
    min_password_length: Annotated[int, Meta(ge=1, le=72)] = 6
    second_factor: tuple[RoleName, ...] = ()
    oidc: Oidc = Oidc()
    proxy: ProxyLogin = ProxyLogin()


class Agents(Section, frozen=True, kw_only=True):
    """enrollment None: open as long as there are no users, else key.

    ssh_keys: folder of the keys that agents are installed with over SSH; None: ~/.ssh. unknown_host_keys: whether the
    key of a machine that nobody has seen before is recorded, or shown and asked about. command_expiry: seconds in which
    a command has to begin.
    """

    enrollment: Literal["open", "key", "closed"] | None = None
    ssh_keys: Path | None = None
    unknown_host_keys: Literal["record", "ask"] = "record"
    command_expiry: Annotated[float, Meta(ge=10, le=86400, extra={"as": "duration"})] = 3600.0


class Watchdog(Section, frozen=True, kw_only=True):
    """Somebody outside who is to notice when hbd itself is dead. url None: nobody.

    It is called every ``interval`` seconds, as long as the daemon works and its database takes writes.
    """

    url: Url | None = None
    interval: Annotated[float, Meta(ge=10, le=86400, extra={"as": "duration"})] = 60.0


class Notifications(Section, frozen=True, kw_only=True):
    """scripts: folder of the programs that channels may run; None: none. fallback: channel for what another one does
    not take. about_hbd: channels that are told of hbd itself; none: the fallback, else those that admins have chosen.
    """

    scripts: Path | None = None
    fallback: Name | None = None
    about_hbd: OneOrMore = ()
    watchdog: Watchdog = Watchdog()


class NotificationRoute(Section, frozen=True, kw_only=True):
    """Who else is told of problems: those of these hosts (patterns), tags and metrics (patterns); none means all.

    after: how long a problem has to last, seconds, and not be acknowledged, before: a step of an escalation.
    """

    channels: OneOrMore = ()
    hosts: HostPatterns = ()
    tags: OneOrMore = ()
    metrics: OneOrMore = ()
    min_level: Literal["UNKNOWN", "WARNING", "CRITICAL"] = "WARNING"
    after: Duration = 0.0


class Maintenance(Section, frozen=True, kw_only=True):
    """A time in which nobody is told of some hosts or metrics; the texts are those of ``hbd.schedule``.

    hosts, metrics: patterns. duration: seconds. until: the last day on which it may begin.
    """

    hosts: HostPatterns = ()
    tags: OneOrMore = ()
    metrics: OneOrMore = ()
    start: Name | None = None
    duration: Duration | None = None
    timezone: Name = UTC
    repeat: Literal["once", "daily", "weekly", "monthly"] = "once"
    days: OneOrMore = ()
    until: Name | None = None

    @property
    def matcher(self) -> Matcher:
        return Matcher(hosts=self.hosts, tags=self.tags, metrics=self.metrics)

    @property
    def window(self) -> Window:
        """Raises InvalidInput with the key that is wrong, in a file that was not checked."""
        if self.start is None or self.duration is None:
            raise InvalidInput("is needed", "start" if self.start is None else "duration")
        return Window.read(WindowTexts(self.start, self.duration, self.timezone, self.repeat, self.days, self.until))


class ScrapeJob(Section, frozen=True, kw_only=True):
    """Exporters of Prometheus metrics that are asked alike.

    host: whose metrics they are, for a job with one URL; None: the host that the URL names. ca_file: what is believed
    in place of the machine's own authorities.
    """

    urls: ExporterUrls = ()
    host: HostName | None = None
    interval: Annotated[float, Meta(ge=1, le=86400, extra={"as": "duration"})] = 30.0
    timeout: Annotated[float, Meta(ge=0.1, le=300, extra={"as": "duration"})] = 10.0
    token: SecretText | None = None
    username: Name | None = None
    password: SecretText | None = None
    ca_file: Path | None = None


class ScrapeTarget(Struct, frozen=True):
    """One exporter. job: its name; what has no place among the common plugins is kept in a plugin of that name."""

    job: str
    url: str
    host: str
    settings: ScrapeJob


class Plan(Section, frozen=True, kw_only=True):
    """limit: watched processes on each host."""

    limit: Annotated[int, Meta(ge=1, le=MAX_WATCHED)] = 100


class FlappingLimits(Section, frozen=True, kw_only=True):
    """When a metric flaps: its level turned ``changes`` times ``within`` that many seconds, until it kept still for
    ``calm`` seconds. changes 0: nothing ever does.
    """

    changes: CountOrZero = 6
    within: Duration = 1800.0
    calm: Duration = 900.0


class Retention(Section, frozen=True, kw_only=True):
    """How long the database keeps what, seconds. minutes to days: rollups with buckets of that length, a quarter being
    that of an hour. max_size: bytes that all of it may take; None: as much as there is room for.
    """

    samples: Annotated[float, Meta(ge=60, le=100 * 365.25 * 86400, extra={"as": "duration"})] = 48 * 3600.0
    minutes: Retained = 30 * 86400.0
    quarters: Retained = 180 * 86400.0
    hours: Retained = 5 * 365 * 86400.0
    days: Retained = 20 * 365 * 86400.0
    messages: Annotated[float, Meta(ge=60, le=100 * 365.25 * 86400, extra={"as": "duration"})] = 90 * 86400.0
    audit: Retained = 365 * 86400.0
    availability: Retained = 5 * 365 * 86400.0
    max_size: Annotated[int, Meta(ge=16 << 20, le=2**50, extra={"as": "size"})] | None = None


class BackupPlan(Section, frozen=True, kw_only=True):
    """Copies of the database that hbd makes by itself. folder None: none. every: seconds. keep: so many stay."""

    folder: Path | None = None
    every: Annotated[float, Meta(ge=600, le=366 * 86400, extra={"as": "duration"})] = 86400.0
    keep: Annotated[int, Meta(ge=1, le=10_000)] = 7


class RemoteWrite(Section, frozen=True, kw_only=True):
    """A receiver of Prometheus remote write. hosts: patterns, none: all. interval: seconds between two requests."""

    url: Url | None = None
    bearer_token: SecretText | None = None
    username: Name | None = None
    password: SecretText | None = None
    headers: dict[HeaderName, SecretText] = {}
    interval: Annotated[float, Meta(ge=1, le=3600, extra={"as": "duration"})] = 15.0
    hosts: HostPatterns = ()

    @property
    def has_secrets(self) -> bool:
        return bool(self.bearer_token or self.password or self.headers)


class Limits(Section, frozen=True, kw_only=True):
    """Where the daemon stops taking more. Every hit is counted."""

    max_hosts: Count = 10_000
    max_metrics_per_report: Count = 2_000
    max_frame_bytes: Size = 1024 * 1024
    max_links: Count = 12_000
    max_links_per_address: CountOrZero = 0
    max_streams: Count = 200
    max_streams_per_user: Count = 10
    max_upload_bytes: FileSize = 2**30
    max_subscribers: Count = 2_000
    max_messages: Count = 1_000_000
    max_audit_entries: Count = 1_000_000
    requests_per_second: CountOrZero = 100
    request_burst: Count = 2_000
    logins_per_account: Count = 10
    logins_per_address: Count = 20
    login_window: Annotated[float, Meta(ge=1, le=86400, extra={"as": "duration"})] = 900.0
    channel_targets: tuple[Name, ...] = ()


class Cors(Section, frozen=True, kw_only=True):
    """Which other sites' pages may use the feed and the API from a browser."""

    origins: tuple[Origin, ...] = ()


class Log(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


def default_database() -> Path:
    """``hbd.db`` in systemd's state directory, else in ``hbd/`` of the user's XDG state directory.

    A user without a home directory gets it in the working directory.
    """
    if granted := os.environ.get("STATE_DIRECTORY"):
        return Path(granted.split(":")[0]) / "hbd.db"
    state_home = Path(os.environ.get("XDG_STATE_HOME") or "")
    if not state_home.is_absolute():
        try:
            state_home = Path.home() / ".local" / "state"
        except RuntimeError:
            return Path.cwd() / "hbd.db"
    return state_home / "hbd" / "hbd.db"


class ConfigFile(Section, frozen=True, kw_only=True):
    """Every key that may stand in the file. hbd_host None: loopback, both families; "": all interfaces."""

    hbd_host: BindAddress | None = None
    hbd_port: Port = 50004
    hb_port: Port = 50003
    ws_port: Port = 50005
    wss_port: Port | None = None
    hbd_tls: bool = False
    cert_path: Path | None = None
    wss_pem: Name | None = None
    wss_key: Name | None = None
    base_url: Url | None = None
    trusted_proxies: tuple[Network, ...] = ()
    cors: Cors = Cors()

    database: Path = field(default_factory=default_database)
    ballast: Annotated[int, Meta(ge=0, le=2**36, extra={"as": "size"})] = 16 << 20
    retention: Retention = Retention()
    backup: BackupPlan = BackupPlan()
    remote_write: dict[Name, RemoteWrite] = {}
    samples_per_plugin: Annotated[int, Meta(ge=1, le=100_000)] = 100
    limits: Limits = Limits()
    log: Log = Log()

    interval: Interval = 10.0
    grace: Annotated[float, Meta(ge=1, le=1000)] = 3.0
    agents: Agents = Agents()
    watchhosts: tuple[HostName, ...] | None = None
    dyndnshosts: tuple[HostName, ...] = ()
    drophosts: tuple[HostPattern, ...] = ()
    default_owner: Name | None = None
    hosts: dict[HostName, HostConfig] = {}
    users: dict[UserName, User] = {}
    auth: Auth = Auth()

    threshold_configs: dict[Name, Thresholds] = {}
    threshold_assignments: dict[Name, Assignment] = {}
    flapping: FlappingLimits = FlappingLimits()
    threshold_renotify_interval: Duration = 4 * 3600.0
    notification_channels: dict[Name, ChannelSettings] = {}
    notification_routes: dict[Name, NotificationRoute] = {}
    notifications: Notifications = Notifications()
    maintenance: dict[Name, Maintenance] = {}
    scrape: dict[Name, ScrapeJob] = {}
    plans: dict[Name, Plan] = {}

    def certificate_in(self, folder: Path) -> tls.Files | None:
        """The files of the certificate; None when no listener speaks TLS. folder: where the config file lies."""
        if not (self.hbd_tls or self.wss_port is not None) or self.wss_pem is None:
            return None
        place = self.cert_path or folder
        return tls.Files(place / self.wss_pem, place / self.wss_key if self.wss_key is not None else None)


class Config(ConfigFile, frozen=True, kw_only=True, dict=True):
    """The configuration in force. source: its file, None for the built-in defaults.

    warnings: ``key: reason`` lines, things that were read but are not as somebody may think.
    lines: where the keys of ``notification_channels`` stand, for those who know what their types need.
    """

    source: Path | None = None
    warnings: tuple[str, ...] = ()
    lines: dict[str, int] = {}

    def enrollment(self, closed: bool) -> Literal["open", "key", "closed"]:
        """Whether agents that nobody enrolled are taken, need a key, or none is taken any more.

        closed: whether people have to sign in.
        """
        return self.agents.enrollment or ("key" if closed else "open")

    @property
    def certificate(self) -> tls.Files | None:
        """The files of the certificate; None when no listener speaks TLS."""
        return self.certificate_in(self.source.absolute().parent if self.source else Path.cwd())

    @cached_property
    def proxies(self) -> Networks:
        """Whose word counts for where a request comes from."""
        return Networks(self.trusted_proxies)

    @cached_property
    def hosts_by_name(self) -> Mapping[str, HostConfig]:
        """Sections of ``hosts`` by lower-case name."""
        return {name.lower(): host for name, host in self.hosts.items()}

    @cached_property
    def watched_names(self) -> frozenset[str] | None:
        """Lower-case names of the watched hosts; None: all are, as neither key is anywhere in the file."""
        if self.watchhosts is None and all(host.watch is None for host in self.hosts.values()):
            return None
        marked = {name.lower() for name, host in self.hosts.items() if host.watch}
        return frozenset(marked | {name.lower() for name in self.watchhosts or ()})

    @cached_property
    def dyn_names(self) -> frozenset[str]:
        """Lower-case names of the hosts whose address is expected to change."""
        marked = {name.lower() for name, host in self.hosts.items() if host.dyn}
        return frozenset(marked | {name.lower() for name in self.dyndnshosts})

    @cached_property
    def scrape_targets(self) -> tuple[ScrapeTarget, ...]:
        return tuple(
            ScrapeTarget(name, url, job.host or urlsplit(url).hostname or "", job)
            for name, job in self.scrape.items()
            for url in job.urls
        )

    @cached_property
    def threshold_matchers(self) -> tuple[tuple[str, Matcher, tuple[str, ...]], ...]:
        """(name, what it is about, configs) of each entry of ``threshold_assignments``, in their order."""
        return tuple(
            (name, Matcher(hosts=entry.hosts, tags=entry.tags), entry.config)
            for name, entry in self.threshold_assignments.items()
        )

    @cached_property
    def _drop_pattern(self) -> re.Pattern[str] | None:
        if not self.drophosts:
            return None
        return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in self.drophosts))

    def is_dropped(self, name: str) -> bool:
        """Whether ``drophosts`` says that nothing of this host is taken or kept."""
        return self._drop_pattern is not None and self._drop_pattern.fullmatch(name.lower()) is not None
