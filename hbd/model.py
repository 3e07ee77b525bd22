"""What travels through the daemon. Plain values: no behaviour beyond their own shape, no I/O.

``gc=False``: none of these can be part of a cycle, and thousands come and go each second.
"""

from __future__ import annotations

import re
import time
from enum import StrEnum
from typing import Any

from msgspec import Struct

# What a plugin measured: metric name to number, text, boolean, null, list, or one more level of names.
# A metric's path joins the names with dots behind the plugin: "disk_monitor./.percent".
Data = dict[str, Any]

HOST_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,253}")  # but for the two that mean folders in a URL
HOST_NAME_RULE = "1-253 letters, digits, '.', '_', '-' or ':' are allowed"

LONGEST_USER_NAME = 64  # what is longer is nobody's name, and need not be kept whole
USER_NAME = re.compile(r"(?!\.{1,2}\Z)(?!(?i:me)\Z)[A-Za-z0-9._@+-]{1,64}")  # "me" is whoever asks
_JOINER = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d](?=[^\s\u200c\u200d])")
USER_NAME_RULE = "1-64 letters, digits, . _ - @ +, and not the word me"


def is_user_name(text: str) -> bool:
    """Whether text may name a user. Names that differ in case alone are the same user."""
    return USER_NAME.fullmatch(text) is not None


def without_joiners(text: str) -> str:
    """Text without what ties two characters together or keeps them apart, which is no character of its own: in Persian
    names, and in emoji that are made of several."""
    return _JOINER.sub("", text)


def is_host_name(text: str) -> bool:
    """Whether text may name a host (CONTRACTS 1): 1-253 letters, digits, ``.``, ``_``, ``-``, ``:``."""
    return HOST_NAME.fullmatch(text) is not None


PLUGIN_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def is_plugin_name(text: str) -> bool:
    """Whether text may name a plugin."""
    return PLUGIN_NAME.fullmatch(text) is not None


class Moment(Struct, frozen=True, gc=False):
    """One point in time, read once where a report or a tick enters and used for all that follows.

    wall: Unix seconds, for people and files. mono: seconds of a clock that never steps, for every deadline.
    """

    wall: float
    mono: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.time(), time.monotonic())


class State(StrEnum):
    """Of a host or of one of its connections."""

    UP = "UP"
    OVERDUE = "OVERDUE"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class Level(StrEnum):
    """How bad a metric is. UNKNOWN: a check could not tell, which is no better than bad."""

    OK = "OK"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"


class Family(StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Sample(Struct, frozen=True, gc=False):
    """What one plugin measured at one moment. time: Unix seconds, already corrected for the agent's clock."""

    plugin: str
    time: float
    data: Data


class Report(Struct, frozen=True, gc=False):
    """What one agent message says of a host, whichever wire format it came in.

    run_id and seq name the report for ever: a second one with the same (host, run_id, seq) is a resend.
    run_id is new at every start of the agent; seq counts from 1 within it.
    body: the samples as JSON bytes, as they are stored: ``[{"plugin", "time", "data"}, ...]``; their times plus
    ``shift`` seconds are the times in ``samples``.
    interval: seconds until the agent means to report again, None when it did not say.
    family, address: where it came from, None when it did not come over a network of ours.
    agent_time: what the agent's clock showed when it sent this, Unix seconds; None when it did not say.
    alive: whether it shows that the host lives; not when hbd found out itself what it says.
    """

    host_id: int
    run_id: str
    seq: int
    samples: tuple[Sample, ...]
    body: bytes
    shift: float = 0.0
    interval: float | None = None
    family: Family | None = None
    address: str | None = None
    agent_time: float | None = None
    alive: bool = True


class Beat(StrEnum):
    """What a heartbeat says beside "I am here"."""

    ALIVE = "alive"
    STARTED = "started"  # the agent was started; the machine was already running
    BOOTED = "booted"  # the agent was started on a freshly booted machine
    STOPPED = "stopped"  # the agent is being stopped on purpose; silence follows
    SHUTDOWN = "shutdown"  # the machine is going down on purpose; silence follows


class Heartbeat(Struct, frozen=True, gc=False):
    """One authenticated sign of life over UDP. rtt: seconds, of the heartbeat before this one; None when unknown."""

    host_id: int
    family: Family
    address: str
    run_id: str
    seq: int
    kind: Beat = Beat.ALIVE
    interval: float | None = None
    rtt: float | None = None
    agent_time: float = 0.0


class Message(Struct, frozen=True, gc=False):
    """One line of the journal. time: Unix seconds; host: shown name, "" for the daemon itself."""

    time: float
    host: str
    msg: str


class Transition(Struct, frozen=True, gc=False):
    """A state change of a host (family None) or of one of its connections. reason: in words, for people."""

    host_id: int
    family: Family | None
    before: State
    after: State
    at: float
    reason: str = ""
