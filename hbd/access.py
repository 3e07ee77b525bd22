"""Who may do what: the one policy for the API, the pages and the feed alike. What is not granted is denied."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct


class Action(StrEnum):
    """What somebody wants to do, with a host where one is concerned, else with the daemon."""

    ENTER = "enter"
    """what everybody may: health, the files of the pages"""
    VIEW = "view"
    """see a host with its data; without a host: see the daemon's own"""
    ACKNOWLEDGE = "acknowledge"
    MANAGE = "manage"
    """change what is done with a host, and who monitors it"""
    OWN = "own"
    """hand a host on, or drop it"""
    ADMIN = "admin"


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Identity(Struct, frozen=True):
    """Who is calling. role None: nobody we know. open: the daemon has no users, so everybody may do everything."""

    name: str = ""
    role: Role | None = None
    open: bool = False


EVERYBODY = Identity(open=True)
"""whoever calls a daemon without users"""
STRANGER = Identity()
"""whoever calls a daemon with users and has not said who they are"""


class Owned(Protocol):
    """What the policy needs to know of a host."""

    owner: str | None

    @property
    def managers(self) -> Sequence[str]: ...
    @property
    def monitors(self) -> Sequence[str]: ...


class Verdict(NamedTuple):
    """reason: in words, for whoever was denied. stranger: it was denied because we do not know who is asking."""

    allowed: bool
    reason: str = ""
    stranger: bool = False


class Standing(IntEnum):
    """What somebody is to a host; each includes those before it."""

    NONE = 0
    MONITOR = 1
    MANAGER = 2
    OWNER = 3
    ADMIN = 4


NEEDED = {
    Action.VIEW: Standing.MONITOR,
    Action.ACKNOWLEDGE: Standing.MONITOR,
    Action.MANAGE: Standing.MANAGER,
    Action.OWN: Standing.OWNER,
    Action.ADMIN: Standing.ADMIN,
}

_ALLOWED = Verdict(True)
_STRANGER = Verdict(False, "Log in first", stranger=True)


def standing(identity: Identity, host: Owned) -> Standing:
    """What a known user is to a host."""
    if identity.role is Role.ADMIN:
        return Standing.ADMIN
    if host.owner == identity.name:
        return Standing.OWNER
    if identity.role is Role.OPERATOR or identity.name in host.managers:
        return Standing.MANAGER
    return Standing.MONITOR if identity.name in host.monitors else Standing.NONE


def may(identity: Identity, action: Action | None, host: Owned | None = None) -> Verdict:
    """Whether identity may do action, with host where one is concerned. action None is nobody's right."""
    if action is None:
        return Verdict(False, "Nobody may do this")
    if action is Action.ENTER or identity.open:
        return _ALLOWED
    if identity.role is None:
        return _STRANGER
    if host is not None:
        needed = NEEDED[action]
        if standing(identity, host) >= needed:
            return _ALLOWED
        return Verdict(False, f"You need to be {needed.name.lower()} of this host")
    if action is Action.VIEW or identity.role is Role.ADMIN:
        return _ALLOWED
    return Verdict(False, "Only an admin may do this")
