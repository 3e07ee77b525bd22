"""What a row of the matrices asks, and who is meant by whom.

A row is a route; each of its questions names who is let in, by object. All others are turned away: those we do not know
(``NOBODY``) with 401 or to the sign-in page, those we know with 403.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NOBODY = frozenset(("anonymous", "expired session", "disabled", "agent key"))
HELD_BACK = frozenset(("held back",))
PEOPLE = frozenset(("viewer", "monitor", "manager", "owner", "operator", "admin"))
TOKENS = frozenset(("read token", "write token", "token of own host", "token of other host"))
CALLERS = NOBODY | HELD_BACK | PEOPLE | TOKENS

SIGNED_IN = PEOPLE | TOKENS
OWN_ACCOUNT = PEOPLE | HELD_BACK
ADMINS = frozenset(("admin", "read token", "write token"))
ADMINS_THEMSELVES = frozenset(("admin",))
OPERATORS = ADMINS | {"operator"}

OWN, FOREIGN, UNKNOWN = "own host", "foreign host", "unknown host"
SELF, OTHER, NO_USER = "own user", "other user", "unknown user"

MONITORS = {
    OWN: frozenset(("monitor", "manager", "owner", "operator", "admin")) | TOKENS - {"token of other host"},
    FOREIGN: frozenset(("operator", "admin")) | TOKENS - {"token of own host"},
    UNKNOWN: SIGNED_IN,
}
MANAGERS = {
    OWN: frozenset(("manager", "owner", "operator", "admin", "write token", "token of own host")),
    FOREIGN: frozenset(("operator", "admin", "write token", "token of other host")),
    UNKNOWN: SIGNED_IN,
}
OWNERS = {
    OWN: frozenset(("owner", "admin", "write token", "token of own host")),
    FOREIGN: frozenset(("admin", "write token", "token of other host")),
    UNKNOWN: SIGNED_IN,
}


EVERYWHERE = frozenset(("operator", "admin", "write token"))
"""who may do with all hosts, also those that are not there yet, what managers may with theirs"""
MANAGERS_OF_ALPHA = EVERYWHERE | {"manager", "owner", "token of own host"}
MANAGERS_OF_BETA = EVERYWHERE | {"token of other host"}
WINDOW = {"name": "backup", "start": "2030-01-01T02:00", "duration": "1h"}


class Question(NamedTuple):
    """allowed: object to who is let in; an unknown object is answered 404, all others with ``answer``.

    path: values of placeholders other than host (or agent, or server) and user. query: may hold ``{host}``.
    """

    allowed: dict[str, frozenset[str]]
    answer: int = 200
    body: Any = None
    form: dict[str, str] | None = None
    query: str = ""
    path: Mapping[str, str] = MappingProxyType({})


def anybody(answer: int = 200, **given: Any) -> list[Question]:
    return [Question({"": CALLERS}, answer, **given)]


def only(who: frozenset[str], answer: int = 200, **given: Any) -> list[Question]:
    return [Question({"": who}, answer, **given)]


def user(who: frozenset[str], answer: int = 200, **given: Any) -> list[Question]:
    """One user for those who may, and not even oneself for all others."""
    return [Question(dict.fromkeys((SELF, OTHER, NO_USER), who), answer, **given)]
