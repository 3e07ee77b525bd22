"""Who may do what: the one policy for the API, the pages and the feed alike. What is not granted is denied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct


class Action(StrEnum):
    """What somebody wants to do, with a host where one is concerned, else with the daemon."""

    ENTER = "enter"
    """what everybody may: health, the files of the pages, signing in"""
    VIEW = "view"
    """see a host with its data; without a host: what there is to see, host by host"""
    ACKNOWLEDGE = "acknowledge"
    MANAGE = "manage"
    """change what is done with a host, and who monitors it"""
    OWN = "own"
    """hand a host on, or drop it"""
    REMOTE = "remote"
    """act on the host itself: run commands, read logs, move files; nobody's right while there are no users"""
    REMOTE_ADMIN = "remote admin"
    """the same where more is at stake: install agents, reboot, renew an agent"""
    INSPECT = "inspect"
    """see how the daemon itself is doing"""
    ADMIN = "admin"
    ACCOUNTS = "accounts"
    """make and change users, which nobody does from outside while there are none"""
    CHANNELS = "channels"
    """make and change one's own notification channels, and try those that one sees"""
    SELF = "self"
    """see and change one's own profile"""
    CREDENTIALS = "credentials"
    """see and change what one signs in with; a token alone is not enough to make another"""


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Identity(Struct, frozen=True, cache_hash=True):
    """Who is calling. role None: nobody we know. open: the daemon has no users, so everybody may do everything.

    writes: False where a token may only read. hosts: lower-case names of the hosts that a token is for; None: no limit.
    person: False for a token, which is handed to programs. held_back: why this user gets no further than to the own
    account, "" as a rule.
    """

    name: str = ""
    role: Role | None = None
    open: bool = False
    writes: bool = True
    hosts: frozenset[str] | None = None
    person: bool = True
    held_back: str = ""


EVERYBODY = Identity(open=True)
"""whoever calls a daemon without users"""
STRANGER = Identity()
"""whoever calls a daemon with users and has not said who they are"""
ALL_SEEING = Identity(role=Role.OPERATOR, writes=False, person=False)
"""what all who see every host are to the feed"""


class Owned(Protocol):
    """What the policy needs to know of a host."""

    name: str
    owner: str | None

    @property
    def managers(self) -> Sequence[str]: ...
    @property
    def monitors(self) -> Sequence[str]: ...


H = TypeVar("H", bound=Owned)


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
    Action.REMOTE: Standing.MANAGER,
    Action.REMOTE_ADMIN: Standing.ADMIN,
}
NO_USERS_YET = "There are no users yet; make the first one where the daemon runs: hbd user add --admin NAME"
NO_REMOTE_YET = (
    "Remote control is off as long as there are no users; make the first one where the daemon runs: "
    "hbd user add --admin NAME"
)
WITHOUT_USERS = {
    Action.ACCOUNTS: NO_USERS_YET,
    Action.CREDENTIALS: NO_USERS_YET,
    Action.REMOTE: NO_REMOTE_YET,
    Action.REMOTE_ADMIN: NO_REMOTE_YET,
}
"""what not even a daemon that is open to everybody does, and why"""
OWN_ACCOUNT = frozenset((Action.SELF, Action.CREDENTIALS))
NO_TOKENS = frozenset((Action.ACCOUNTS, Action.CREDENTIALS))
"""what no token may do, or whoever has one could make people's accounts their own"""

_ALLOWED = Verdict(True)
_STRANGER = Verdict(False, "Sign in, or send a token", stranger=True)


def standing(identity: Identity, host: Owned) -> Standing:
    """What a known user is to a host."""
    if identity.role is Role.ADMIN:
        return Standing.ADMIN
    if host.owner == identity.name:
        return Standing.OWNER
    if identity.role is Role.OPERATOR or identity.name in host.managers:
        return Standing.MANAGER
    return Standing.MONITOR if identity.name in host.monitors else Standing.NONE


def may(identity: Identity, action: Action | None, host: Owned | None = None, *, changes: bool = False) -> Verdict:
    """Whether identity may do action, with host where one is concerned. action None is nobody's right.

    changes: whether something will be different afterwards.
    """
    if action is None:
        return Verdict(False, "Nobody may do this")
    if action is Action.ENTER:
        return _ALLOWED
    if identity.open:
        return Verdict(False, WITHOUT_USERS[action]) if action in WITHOUT_USERS else _ALLOWED
    if identity.role is None:
        return _STRANGER
    if identity.held_back and action not in OWN_ACCOUNT:
        return Verdict(False, identity.held_back)
    if (limit := _limit_of_token(identity, action, host, changes)) is not None:
        return limit
    if action in OWN_ACCOUNT or (host is None and action in (Action.VIEW, Action.CHANNELS)):
        return _ALLOWED
    if host is not None and action in NEEDED:
        needed = NEEDED[action]
        if standing(identity, host) >= needed:
            return _ALLOWED
        return Verdict(False, f"You need to be {needed.name.lower()} of this host")
    if identity.role is Role.ADMIN or (action is Action.INSPECT and identity.role is Role.OPERATOR):
        return _ALLOWED
    return Verdict(
        False, "Only an admin may do this" if action is not Action.INSPECT else "Only an operator may do this"
    )


def _limit_of_token(identity: Identity, action: Action, host: Owned | None, changes: bool) -> Verdict | None:
    """What a token's own limits forbid, whatever its user may do; None: nothing."""
    if identity.person:
        return None
    if action in NO_TOKENS:
        return Verdict(False, "A token may not do this; sign in with your password")
    if changes and not identity.writes:
        return Verdict(False, "This token may only read")
    if identity.hosts is None:
        return None
    if host is not None:
        return None if host.name.lower() in identity.hosts else Verdict(False, "This token is not for this host")
    if action is Action.VIEW or (action is Action.SELF and not changes):
        return None
    return Verdict(False, "This token is for some hosts only")


class Register(Protocol[H]):
    """What the policy needs to know of all hosts."""

    def __iter__(self) -> Iterator[H]: ...
    def get(self, name: str) -> H | None: ...
    def of_person(self, name: str) -> list[H]: ...


def visible(identity: Identity, hosts: Register[H]) -> list[H]:
    """The hosts that identity may see, in the order of the register.

    Only those are asked about that could be among them: of thousands, most people have a part in a few.
    """
    if sees_everything(identity):
        return list(hosts)
    asked: Iterable[H] = hosts
    if identity.hosts is not None:
        named = (hosts.get(name) for name in sorted(identity.hosts))
        asked = [host for host in named if host is not None]
    elif identity.role is Role.VIEWER:
        asked = hosts.of_person(identity.name)
    return [host for host in asked if may(identity, Action.VIEW, host).allowed]


def sees_everything(identity: Identity) -> bool:
    """Whether there is no host that identity may not see."""
    if identity.open:
        return True
    strong = identity.role in (Role.ADMIN, Role.OPERATOR)
    return strong and identity.hosts is None and not identity.held_back
