"""The shape of a settings file: one struct a thing, one field a key. What is at its default is left out of the file."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from hbd.config.structs import (
    ChannelSettings,
    Duration,
    HostName,
    HostPatterns,
    Name,
    OneOrMore,
    PasswordHash,
    RoleName,
    SecretText,
    Section,
    UserName,
)
from hbd.model import LONGEST_USER_NAME
from hbd.schedule import UTC

FORMAT = 1
"""grows when a file of the format before could not be read any more"""

MOST_AVATAR = 64 * 1024

PersonText = Annotated[str, Meta(max_length=200, extra={"as": "visible text"})]
Avatar = Annotated[str, Meta(max_length=MOST_AVATAR, extra={"as": "visible text"})]
Tag = Annotated[str, Meta(min_length=1, max_length=64, extra={"as": "visible text"})]
Title = Annotated[str, Meta(min_length=1, max_length=100)]
Pattern = Annotated[str, Meta(min_length=1, max_length=1000)]
Patterns = Annotated[tuple[Pattern, ...], Meta(extra={"as": "one or more"})]
Author = Annotated[str, Meta(max_length=LONGEST_USER_NAME)]
Moment = Annotated[float, Meta(extra={"as": "moment"})]
Percent = Annotated[float, Meta(ge=0.01, le=100)]
LevelName = Literal["UNKNOWN", "WARNING", "CRITICAL"]


class User(Section, frozen=True, kw_only=True):
    """source: where it was made, and signs in. subject: whom the provider of single sign-on means."""

    role: RoleName = "viewer"
    full_name: PersonText = ""
    source: Literal["local", "oidc", "proxy"] = "local"
    subject: Name | None = None
    enabled: bool = True
    notification_channels: OneOrMore = ()
    avatar: Avatar = ""
    password: PasswordHash | None = None


class ConfigUser(Section, frozen=True, kw_only=True):
    """What was changed here of a user of the config file. None: it is as the file says."""

    role: RoleName | None = None
    full_name: PersonText | None = None
    subject: Name | None = None
    enabled: bool | None = None
    notification_channels: OneOrMore | None = None
    avatar: Avatar | None = None
    password: PasswordHash | None = None


class Process(Section, frozen=True, kw_only=True):
    """A watched process. author: who made it, if that is still a user."""

    enabled: bool = True
    alert_on_down: bool = True
    alert_on_restart: bool = False
    alert_on_cpu: bool = False
    alert_on_memory: bool = False
    cpu_threshold_pct: Percent = 50.0
    memory_threshold_pct: Percent = 25.0
    author: UserName | None = None


class Job(Section, frozen=True, kw_only=True):
    """A job that calls. ping_id: the end of the address that it calls, which is a secret; None: as it is, or new."""

    period: Duration | None = None
    cron: str = ""
    timezone: str = UTC
    grace: Duration = 3600.0
    paused: bool = False
    author: Author = ""
    ping_id: SecretText | None = None


class Host(Section, frozen=True, kw_only=True):
    """None: it is as the config says."""

    label: PersonText = ""
    tags: tuple[Tag, ...] = ()
    owner: UserName | None = None
    managers: tuple[UserName, ...] | None = None
    monitors: tuple[UserName, ...] | None = None
    enabled: bool | None = None
    min_report_interval: Duration | None = None
    processes: dict[Title, Process] = field(default_factory=dict)
    jobs: dict[Title, Job] = field(default_factory=dict)


class Route(Section, frozen=True, kw_only=True):
    """A notification route, as in the config file."""

    name: Title | None = None
    channels: OneOrMore = ()
    hosts: HostPatterns = ()
    tags: OneOrMore = ()
    metrics: Patterns = ()
    min_level: LevelName = "WARNING"
    after: Duration = 0.0
    author: Author = ""


class Window(Section, frozen=True, kw_only=True):
    """A maintenance window, as in the config file."""

    name: Title | None = None
    hosts: HostPatterns = ()
    tags: OneOrMore = ()
    metrics: Patterns = ()
    start: Name | None = None
    duration: Duration | None = None
    timezone: Name = UTC
    repeat: Literal["once", "daily", "weekly", "monthly"] = "once"
    days: OneOrMore = ()
    until: Name | None = None
    author: Author = ""


class Silence(Section, frozen=True, kw_only=True):
    """starts, ends: Unix seconds."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    hosts: HostPatterns = ()
    tags: OneOrMore = ()
    metrics: Patterns = ()
    levels: tuple[LevelName, ...] = ()
    starts: Moment | None = None
    ends: Moment | None = None
    author: Author = ""


class Settings(Section, frozen=True, kw_only=True):
    """The whole file. None: it says nothing of that kind."""

    version: int | None = None
    users: dict[UserName, User] | None = None
    config_users: dict[UserName, ConfigUser] | None = None
    hosts: dict[HostName, Host] | None = None
    channels: dict[Name, ChannelSettings] | None = field(default=None, name="notification_channels")
    routes: tuple[Route, ...] | None = field(default=None, name="notification_routes")
    maintenance: tuple[Window, ...] | None = None
    silences: tuple[Silence, ...] | None = None
