"""What there is in the database now, as rows and as the things of a settings file."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hbd.channel_register import thawed
from hbd.channels.base import ChannelType
from hbd.channels.spec import ChannelSpec, shown_fields
from hbd.config.structs import ChannelSettings, Secret
from hbd.hushes import Silence as SilenceRow
from hbd.model import Level
from hbd.processes import Watched
from hbd.routing import Route as RouteRow
from hbd.settings import document
from hbd.settings.writing import duration
from hbd.store import Store
from hbd.store.accounts import AccessRow, UserRow
from hbd.store.hosts import HostRow
from hbd.store.hushing import WindowRow
from hbd.store.jobs import Job
from hbd.store.reports import ReportingRow

_SAID_FIRST = ("owner", "private", "trusted", "enabled", "min_level", "fallback", "repeat")
_QUIET = ("quiet_from", "quiet_to", "quiet_days", "quiet_level", "timezone")
COMMON = frozenset((*_SAID_FIRST, *_QUIET))
"""what can be said of a channel of any type"""


class Rows(NamedTuple):
    """users, hosts: in the order in which they were made. access, reporting: by id of the host. silences: not ended."""

    users: list[UserRow]
    hosts: list[HostRow]
    access: dict[int, AccessRow]
    reporting: dict[int, ReportingRow]
    channels: dict[str, ChannelSpec]
    routes: list[RouteRow]
    windows: list[WindowRow]
    silences: list[SilenceRow]
    processes: list[Watched]
    jobs: list[Job]


async def rows(store: Store, now: float) -> Rows:
    """now: Unix seconds. Raises StorageError."""
    specs = await store.channels.all()
    return Rows(
        users=await store.accounts.users(),
        hosts=await store.hosts.all(),
        access={row.host_id: row for row in await store.accounts.access()},
        reporting={row.host_id: row for row in await store.reports.reporting()},
        channels={name: thawed(msgspec.json.decode(spec, type=ChannelSpec)) for name, spec in specs.items()},
        routes=await store.routes.all(),
        windows=await store.hushing.windows(),
        silences=await store.hushing.silences(now),
        processes=[known.watched for known in await store.processes.all()],
        jobs=await store.jobs.all(),
    )


def settings_of(found: Rows) -> document.Settings:
    """All of it, in an order that stays, with all secrets."""
    users = {row.name: user_of(row) for row in found.users if row.source != "config"}
    of_config = {row.name: config_user_of(row) for row in found.users if row.source == "config"}
    silences = sorted(found.silences, key=lambda one: (one.starts, one.ends, one.reason, one.matcher.hosts))
    return document.Settings(
        version=document.FORMAT,
        users=users,
        config_users={name: user for name, user in of_config.items() if user != document.ConfigUser()},
        hosts=hosts_of(found),
        channels={name: channel_of(spec) for name, spec in sorted(found.channels.items())},
        routes=tuple(map(route_of, found.routes)),
        maintenance=tuple(map(window_of, sorted(found.windows, key=lambda one: (one.name.lower(), one.id)))),
        silences=tuple(map(silence_of, silences)),
    )


# ---------------------------------------------------------------------------------------------------------- row by row


def user_of(row: UserRow) -> document.User:
    return document.User(
        role=row.role,  # type: ignore[arg-type]
        full_name=row.full_name,
        source=row.source,  # type: ignore[arg-type]
        subject=row.subject,
        enabled=row.enabled,
        notification_channels=tuple(row.channels),
        avatar=row.avatar,
        password=Secret(row.password) if row.password else None,
    )


def config_user_of(row: UserRow) -> document.ConfigUser:
    """What was changed here of a user of the config file."""
    changed = {field: change["now"] for field, change in row.changes.items()}
    channels, password = changed.get("channels"), changed.get("password")
    return document.ConfigUser(
        role=changed.get("role"),
        full_name=changed.get("full_name"),
        subject=row.subject,
        enabled=changed.get("enabled"),
        notification_channels=tuple(channels) if channels is not None else None,
        avatar=changed.get("avatar"),
        password=Secret(password) if password else None,
    )


def hosts_of(found: Rows) -> dict[str, document.Host]:
    """In the order of their names."""
    names = {row.id: row.name for row in found.users}
    processes: dict[int, dict[str, document.Process]] = {}
    for watched in sorted(found.processes, key=lambda one: one.name):
        processes.setdefault(watched.host_id, {})[watched.name] = process_of(watched, names.get(watched.user_id or 0))
    jobs: dict[int, dict[str, document.Job]] = {}
    for job in sorted(found.jobs, key=lambda one: one.name):
        jobs.setdefault(job.host_id, {})[job.name] = job_of(job)
    return {
        row.name: host_of(
            row, found.access.get(row.id), found.reporting.get(row.id), processes.get(row.id, {}), jobs.get(row.id, {})
        )
        for row in sorted(found.hosts, key=lambda row: row.name.lower())
    }


def host_of(
    row: HostRow,
    access: AccessRow | None,
    reporting: ReportingRow | None,
    processes: dict[str, document.Process],
    jobs: dict[str, document.Job],
) -> document.Host:
    access = access or AccessRow(row.id, None, None, None)
    reporting = reporting or ReportingRow(row.id)
    return document.Host(
        label=row.label,
        tags=tuple(row.given_tags),
        owner=access.owner,
        managers=access.managers,
        monitors=access.monitors,
        enabled=reporting.enabled,
        min_report_interval=reporting.min_interval,
        processes=processes,
        jobs=jobs,
    )


def process_of(watched: Watched, author: str | None) -> document.Process:
    return document.Process(
        enabled=watched.enabled,
        alert_on_down=watched.alert_on_down,
        alert_on_restart=watched.alert_on_restart,
        alert_on_cpu=watched.alert_on_cpu,
        alert_on_memory=watched.alert_on_memory,
        cpu_threshold_pct=watched.cpu_limit,
        memory_threshold_pct=watched.memory_limit,
        author=author,
    )


def job_of(job: Job) -> document.Job:
    timing = job.timing
    return document.Job(
        period=timing.period,
        cron=timing.cron,
        timezone=timing.timezone,
        grace=timing.grace,
        paused=job.paused,
        author=job.author,
        ping_id=Secret(job.token),
    )


def channel_of(spec: ChannelSpec) -> ChannelSettings:
    """As the config file has channels."""
    common = {name: _plain(name, getattr(spec, name)) for name in (*_SAID_FIRST, *_QUIET) if _is_said(spec, name)}
    return ChannelSettings({"type": spec.type} | common | dict(sorted(spec.settings.items())))


def _is_said(spec: ChannelSpec, name: str) -> bool:
    return bool(getattr(spec, name) != getattr(_DEFAULTS, name))


def _plain(name: str, value: object) -> object:
    if name == "repeat" and isinstance(value, float):
        return duration(value)
    return value.value if isinstance(value, Level) else value


_DEFAULTS = ChannelSpec(name="", type="", settings={})


def route_of(route: RouteRow) -> document.Route:
    about = route.matcher
    return document.Route(
        name=route.name,
        channels=route.channels,
        hosts=about.hosts,
        tags=about.tags,
        metrics=about.metrics,
        min_level=route.min_level.value,  # type: ignore[arg-type]
        after=route.after,
        author=route.author,
    )


def window_of(row: WindowRow) -> document.Window:
    about, texts = row.matcher, row.texts
    return document.Window(
        name=row.name,
        hosts=about.hosts,
        tags=about.tags,
        metrics=about.metrics,
        start=texts.start,
        duration=texts.duration,
        timezone=texts.timezone,
        repeat=texts.repeat,  # type: ignore[arg-type]
        days=texts.days,
        until=texts.until,
        author=row.author,
    )


def silence_of(silence: SilenceRow) -> document.Silence:
    about = silence.matcher
    return document.Silence(
        reason=silence.reason,
        hosts=about.hosts,
        tags=about.tags,
        metrics=about.metrics,
        levels=tuple(level.value for level in about.levels),  # type: ignore[misc]
        starts=round(silence.starts),
        ends=round(silence.ends),
        author=silence.author,
    )


# -------------------------------------------------------------------------------------------------------- no secrets


def without_secrets(settings: document.Settings, found: Rows, kinds: dict[str, ChannelType]) -> document.Settings:
    """The same without what only its owner may know. kinds: types of channels by key."""
    replace = msgspec.structs.replace
    hosts = {
        name: replace(host, jobs={of: replace(job, ping_id=None) for of, job in host.jobs.items()})
        for name, host in (settings.hosts or {}).items()
    }
    users = {name: replace(user, password=None) for name, user in (settings.users or {}).items()}
    of_config = {name: replace(user, password=None) for name, user in (settings.config_users or {}).items()}
    return replace(
        settings,
        users=users,
        config_users={name: user for name, user in of_config.items() if user != document.ConfigUser()},
        hosts=hosts,
        channels={
            name: outline_of(found.channels[name], kinds.get(found.channels[name].type))
            for name in (settings.channels or {})
        },
    )


def outline_of(spec: ChannelSpec, kind: ChannelType | None) -> ChannelSettings:
    """A channel as those see it who may not change it."""
    said = channel_of(spec)
    shown = {field["key"]: field["value"] for field in shown_fields(spec, kind, whole=False)}
    return ChannelSettings({key: shown.get(key, said[key]) for key in said if key in shown or key not in spec.settings})
