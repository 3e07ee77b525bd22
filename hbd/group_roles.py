"""Groups that somebody else vouches for, an OpenID provider or a proxy, become one role here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hbd.config.structs import RoleName

_WEAKEST_FIRST: tuple[RoleName, ...] = ("viewer", "operator", "admin")


def role_of(groups: Iterable[str], roles: Mapping[str, RoleName], default: RoleName | None) -> RoleName | None:
    """The strongest role that one of groups gives, by exact name; default when none gives any."""
    given = [roles[group] for group in groups if group in roles]
    return max(given, key=_WEAKEST_FIRST.index) if given else default
