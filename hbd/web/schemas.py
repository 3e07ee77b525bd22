"""What the HTTP API and the feed send and take, as types. OpenAPI is made from these; so are the bytes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from hbd.backups import Backup
from hbd.model import Data, Family, Level, State


class Connection(Struct, kw_only=True):
    """One address family a host is seen on. Times are Unix seconds."""

    family: Family
    address: str
    state: State
    since: float
    """when it entered this state"""
    last_seen: float
    interval: float
    """seconds between signs of life"""
    rtt_ms: float | None = None
    """round trip of the last heartbeat, null until known"""
    lost: int = 0
    """heartbeats that were missed"""
    heartbeat_at: float | None = None
    """last UDP heartbeat; null when none came in this run of the daemon"""
    report_at: float | None = None
    """last report over this family"""


class AlertCounts(Struct):
    ok: int = 0
    warning: int = 0
    critical: int = 0
    unknown: int = 0


class Summary(Struct, kw_only=True):
    """The few numbers of the live table, from the newest samples; null where the host does not report them."""

    cpu_percent: float | None = None
    cpu_count: int | None = None
    load_1min: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None
    """the fullest disk"""
    disk_mount: str | None = None
    rx_bytes_per_second: float | None = None
    tx_bytes_per_second: float | None = None


class Host(Struct, kw_only=True):
    """One monitored host."""

    name: str
    dyn: bool = False
    owner: str | None = None
    managers: list[str] = field(default_factory=list)
    monitors: list[str] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    id: int
    agent_id: str
    label: str = ""
    state: State
    since: float | None = None
    """when it entered this state; null when it was never heard"""
    reason: str = ""
    """why it is in this state, in words"""
    last_seen: float | None = None
    interval: float
    watched: bool = True
    tags: list[str] = field(default_factory=list)
    os: str = ""
    agent_version: str = ""
    link: bool = False
    """whether its agent holds a link to the daemon now"""
    clock_offset: float | None = None
    """seconds by which the agent's clock is behind the daemon's"""
    alerts: AlertCounts = field(default_factory=AlertCounts)
    summary: Summary = field(default_factory=Summary)
    strip: str = ""
    """the last 30 minutes, oldest first, one letter a minute: u up, o overdue, d down, - not known"""


class JournalMessage(Struct):
    time: float
    host: str
    msg: str


class PluginState(Struct):
    timestamp: float
    data: Data
    sample_count: int
    """how many samples the daemon holds in memory"""


class HostPlugins(Struct):
    hostname: str
    plugins: dict[str, PluginState]


class PluginSample(Struct):
    timestamp: float
    data: Data


class PluginHistory(Struct):
    hostname: str
    plugin: str
    samples: list[PluginSample]
    """newest first"""
    sample_count: int


class Error(Struct):
    error: str


class ChannelType(Struct):
    """fields: each with key, label, type and required, and where there are some choices, default and help."""

    label: str
    fields: list[dict[str, Any]]


class ChannelState(Struct):
    """How sending goes. Times are Unix seconds; waiting, dead: how many messages."""

    failing_since: float | None
    last_sent: float | None
    last_error: str
    waiting: int
    dead: int


class Channel(Struct):
    """A notification channel. fields: its settings, each with key, label, value and sensitive; secrets as ``•••``.

    repeat: seconds. source: config or api. editable: whether this caller may change it.
    """

    name: str
    type: str
    type_label: str
    owner: str | None
    private: bool
    min_level: str
    fields: list[dict[str, Any]]
    fallback: str | None
    quiet_from: str | None
    quiet_to: str | None
    quiet_days: list[str]
    timezone: str | None
    quiet_level: str
    repeat: float | None
    enabled: bool
    source: str
    editable: bool
    state: ChannelState


class CreatedChannel(Struct):
    name: str
    ok: bool = True


class TestedChannel(Struct):
    """answer: what the service said, in short, such as its status."""

    answer: str
    ok: bool = True


class Done(Struct):
    ok: bool = True


class Ended(Struct):
    """ended: how many sessions."""

    ok: bool = True
    ended: int = 0


class User(Struct, kw_only=True):
    """One account. source: where it comes from: ``config``, ``local``, ``oidc`` or ``proxy``."""

    username: str
    full_name: str = ""
    avatar: str = ""
    role: str
    admin: bool
    notification_channels: list[str] = field(default_factory=list)
    enabled: bool = True
    source: str = "local"
    second_factor: bool = False
    has_password: bool = False
    created: float | None = None
    last_login: float | None = None
    sessions: int = 0
    """where it is signed in now"""
    tokens: int = 0


class ChangedUser(User, kw_only=True):
    ok: bool = True


class Me(User, kw_only=True):
    """Whoever is calling; without a name where nobody needs to sign in."""

    username: str = ""
    via: str = "none"
    """``session``, ``token``, ``proxy``, or ``none``"""
    min_password_length: int = 1
    second_factor_required: bool = False
    """whether this account needs a second factor and has none"""
    expires: float | None = None
    """when the session or token ends"""


class Session(Struct, kw_only=True):
    """Somebody who is signed in. method: ``password``, ``oidc`` or ``setup``."""

    id: int
    created: float
    expires: float
    last_used: float
    address: str
    user_agent: str
    method: str
    current: bool
    """whether it is the one that asks"""


class Revoked(Struct):
    """revoked: how many tokens."""

    ok: bool = True
    revoked: int = 0


class Token(Struct, kw_only=True):
    """An API token. start: its first characters. hosts: it is for these alone; null: for all that its user may."""

    id: int
    name: str
    start: str
    scope: str
    hosts: list[str] | None
    created: float
    expires: float | None
    last_used: float | None
    last_address: str | None


class CreatedToken(Token, kw_only=True):
    token: str
    """to be kept now: it is not shown again"""


class SecondFactorOffer(Struct):
    """qr: an SVG image of uri, which an authenticator app reads."""

    secret: str
    uri: str
    qr: str


class RecoveryCodes(Struct, kw_only=True):
    ok: bool = True
    recovery_codes: list[str]
    """each replaces a code of the app once; not shown again"""


class Access(Struct, kw_only=True):
    owner: str | None
    managers: list[str]
    monitors: list[str]


class ChangedAccess(Access, kw_only=True):
    ok: bool = True


class AuditEntry(Struct, kw_only=True):
    """via: ``session``, ``token``, ``proxy``, ``cli``, ``none`` or ``daemon``.

    outcome: ``done``, ``refused`` or ``failed``.
    """

    id: int
    time: float
    user: str
    via: str
    address: str
    action: str
    object: str
    outcome: str
    detail: str


class AuditPage(Struct):
    """Newest first. next: ``before`` of the page that follows; null at the end."""

    entries: list[AuditEntry]
    next: int | None


class Acknowledged(Struct):
    """Somebody looks after an alert. time: Unix seconds."""

    user: str
    note: str
    time: float


class Held(Struct, kw_only=True):
    """Why nothing is sent of an alert for now.

    kind: ``silence``, ``window`` or ``acknowledged``. id: of the silence or window. until: Unix seconds; null: no end.
    """

    kind: str
    id: int | None = None
    by: str = ""
    until: float | None = None
    reason: str = ""


class Silence(Struct, kw_only=True):
    """Nobody is told of what it is about. Times are Unix seconds.

    hosts: names and patterns, of those that the caller may see. levels: none means all.
    """

    id: int
    hosts: list[str]
    tags: list[str]
    metrics: list[str]
    levels: list[Level]
    reason: str
    author: str
    created: float
    starts: float
    ends: float
    state: Literal["pending", "active", "ended"]
    editable: bool
    """whether the caller may end it"""


class ChangedSilence(Silence, kw_only=True):
    ok: bool = True


class Span(Struct):
    """Unix seconds."""

    start: float
    end: float


class Window(Struct, kw_only=True):
    """A maintenance window. id: null for one of the config file, which is changed there alone."""

    id: int | None
    name: str
    hosts: list[str]
    tags: list[str]
    metrics: list[str]
    timezone: str
    start: str
    """what clocks show when it begins for the first time, ``2026-11-21T22:00``"""
    duration: float
    """seconds"""
    repeat: Literal["once", "daily", "weekly", "monthly"]
    days: list[str]
    """``mon`` to ``sun``, of a weekly one; none: the weekday of its start"""
    until: str | None
    """the last day on which it may begin, ``2027-01-01``"""
    author: str
    source: Literal["config", "api"]
    active: bool
    current: Span | None
    """what now lies in"""
    next: Span | None
    """the first that begins after now"""
    editable: bool


class ChangedWindow(Window, kw_only=True):
    ok: bool = True


class HostAlert(Struct, kw_only=True):
    """Where one metric of a host stands. Times are Unix seconds."""

    metric_path: str
    level: Level
    since: float
    last_value: float | None
    """null for what has no number, such as whether a host is heard"""
    last_check: float
    notification_count: int = 0
    reason: str = ""
    """why it has this level, in words"""
    rule: str = ""
    """the threshold config whose rule judges it"""
    pending: Level | None = None
    """the level that it will have when what is so now has lasted long enough"""
    pending_since: float | None = None
    flapping: bool = False
    """whether its level turns again and again"""
    acknowledged: Acknowledged | None = None
    held: Held | None = None
    name: str = ""
    """what it is about, for people"""
    key: str = ""
    """of which disk, interface ... where a host has several"""
    unit: str = ""
    """of the value and its limits"""
    operator: str = ""
    """how the value is compared with the limits; empty where there are none"""
    warning: float | None = None
    critical: float | None = None


class Alert(HostAlert, kw_only=True):
    hostname: str
    tags: list[str] = field(default_factory=list)
    """of the host"""
    allowed: list[str] = field(default_factory=list)
    """what the caller may do about it: ``acknowledge``, ``silence``"""


class AlertTotals(Struct):
    critical: int = 0
    warning: int = 0
    unknown: int = 0
    total: int = 0


class HostAlerts(Struct, kw_only=True):
    """Every metric of a host that has a threshold."""

    hostname: str
    alerts: list[HostAlert] = field(default_factory=list)
    summary: AlertCounts = field(default_factory=AlertCounts)


class Alerts(Struct, kw_only=True):
    """All that is not OK on the hosts that the caller may see."""

    alerts: list[Alert] = field(default_factory=list)
    summary: AlertTotals = field(default_factory=AlertTotals)
    host_count: int
    metric_count: int = 0
    """how many metrics of these hosts are judged"""
    open_count: int = 0
    """how many alerts nobody has acknowledged and nothing silences"""
    open_level: Level = Level.OK
    """the worst of these"""


class PastAlert(Struct, kw_only=True):
    """One change of what is told of a metric. problem: the same from the first bad level to the OK that ends it.

    flapping: "" for what is steady; else it begins, goes on or ends, and the problem is open until it ends.
    """

    id: int
    hostname: str
    metric_path: str
    problem: str
    before: Level
    after: Level
    time: float
    value: float | None
    reason: str
    flapping: Literal["", "begins", "goes on", "ends"] = ""


class AlertHistory(Struct):
    """Newest first. next: ``before`` of the page that follows; null at the end."""

    events: list[PastAlert]
    next: int | None


class Reload(Struct):
    """How the last reload of the configuration went."""

    at: float | None
    ok: bool
    problems: list[str]
    restart_needed: list[str]
    """keys whose new value takes effect only after a restart"""


class Status(Struct, kw_only=True):
    """The daemon about itself."""

    version: str
    started: float
    uptime_seconds: float
    config_file: str | None
    urls: list[str]
    users: int
    warnings: list[str]
    reload: Reload
    storage: str
    """``ok``, or in words why reports are not being taken"""
    database: str
    database_bytes: int
    backup: Backup | None
    """the newest copy of the database that was made and proven since the start"""
    hosts: dict[str, int]
    """how many hosts are in each state"""
    links: int
    subscribers: int
    loop_lag_p99_ms: float
    commit_p99_ms: float
    counters: dict[str, float]


class FeedHost(Struct, tag="host"):
    data: Host


class FeedPluginData(Struct):
    host: str
    plugin: str
    data: dict[str, Any]
    timestamp: float


class FeedPlugin(Struct, tag="plugin"):
    data: FeedPluginData


class FeedMessage(Struct, tag="message"):
    data: JournalMessage


class FeedAlertData(Struct, kw_only=True):
    """level: the one from now on; ``OK`` when the problem is over, unless it is flapping."""

    hostname: str
    metric_path: str
    level: Level
    since: float
    last_value: float | None
    reason: str
    flapping: bool = False


class FeedAlert(Struct, tag="alert"):
    data: FeedAlertData


class FeedGoneData(Struct):
    id: int


class FeedGone(Struct, tag="gone"):
    """A host was removed, or the subscriber may not see it any more. id: the one in its ``host`` messages."""

    data: FeedGoneData


FeedType = Literal["host", "plugin", "alert", "message"]
FeedHosts = Annotated[list[Annotated[str, Meta(max_length=253)]], Meta(max_length=1_000)]
FeedTypes = Annotated[list[FeedType], Meta(max_length=20)]


class Subscribe(Struct, tag="subscribe"):
    """What a subscriber may send to narrow what it gets. None means all.

    batch: get one frame per tick, ``{"type": "batch", "data": [messages]}``, instead of a frame per message.
    """

    hosts: FeedHosts | None = None
    types: FeedTypes | None = None
    batch: bool = False


class NotificationRoute(Struct, kw_only=True):
    """Who else is told of what. hosts, metrics: patterns; what no list names is told of everything.

    id: null for those of the config. after: seconds that a problem has to last, and not be acknowledged, before.
    """

    id: int | None
    name: str
    hosts: list[str]
    tags: list[str]
    metrics: list[str]
    min_level: Level
    channels: list[str]
    after: float
    author: str
    source: Literal["config", "api"]


class ChangedRoute(NotificationRoute, kw_only=True):
    ok: bool = True


class NotificationEntry(Struct, kw_only=True):
    """What became of a message, or why there was none. time: Unix seconds. text: its title, "" when there was none.

    hosts: those that the caller may see; problems: ids, as in the history of alerts.
    """

    id: int
    time: float
    channel: str
    outcome: Literal["sent", "failed", "held", "dropped", "dead"]
    detail: str
    message_id: str
    hosts: list[str]
    problems: list[str]
    text: str


class NotificationPage(Struct, kw_only=True):
    """next: ``before`` of the next page, null when there is none."""

    entries: list[NotificationEntry]
    next: int | None


class DeadNotice(Struct, kw_only=True):
    """What a channel was to be told and will not be, unless somebody has it sent again. why: in words."""

    id: str
    channel: str
    hostname: str
    metric_path: str
    level: Level
    reason: str
    since: float
    time: float
    why: str
