"""From the claims of a provider to somebody who may sign in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hbd.config.structs import Oidc
from hbd.model import USER_NAME_RULE, is_user_name, without_joiners
from hbd.oidc.failure import SignInFailed, shown

_MAX_FULL_NAME = 200


class Person(Struct, frozen=True):
    """Somebody whom the provider vouches for.

    subject: issuer|sub, which stays the same for ever, whatever becomes of the name. name: may name a user here.
    full_name: "" when the provider does not tell. next_path: as it was given to ``begin``.
    """

    subject: str
    name: str
    full_name: str
    groups: frozenset[str]
    next_path: str


def person_of(claims: dict[str, Any], settings: Oidc, subject: str, next_path: str) -> Person:
    """Raises SignInFailed when the name is missing, not vouched for, or cannot name a user, or groups are no names."""
    full_name = claims.get("name")
    return Person(
        subject=subject,
        name=_name(claims, settings.name_claim),
        full_name=_one_line(full_name) if isinstance(full_name, str) else "",
        groups=_groups(claims.get(settings.groups_claim), settings.groups_claim),
        next_path=next_path,
    )


def _name(claims: dict[str, Any], claim: str) -> str:
    """There is no fallback to another claim: people may choose some of theirs, and with them whose name they get."""
    name = claims.get(claim)
    if not isinstance(name, str) or not name:
        raise SignInFailed(
            "The sign-in provider does not tell your user name. An admin can change that.",
            f"{claim}: not among the claims ({shown(', '.join(sorted(claims)))}); see auth.oidc.name_claim",
        )
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise SignInFailed(
            "The sign-in provider has not verified your email address.", "email: email_verified is not true"
        )
    if not is_user_name(name):
        raise SignInFailed(
            f"Your name at the sign-in provider cannot be a user name here, which is {USER_NAME_RULE}.",
            f"{claim}: {shown(name, 80)} cannot be a user name",
        )
    return name


def _groups(value: Any, claim: str) -> frozenset[str]:
    """Of a list, of one name alone, or of a mapping by name, as some providers write roles."""
    if value is None:
        return frozenset()
    groups = [value] if isinstance(value, str) else value
    if not isinstance(groups, list | dict) or not all(isinstance(group, str) for group in groups):
        raise SignInFailed(
            "The sign-in provider does not tell your groups as it should. An admin can change that.",
            f"{claim}: not a list of names; see auth.oidc.groups_claim",
        )
    return frozenset(groups)


def _one_line(text: str) -> str:
    short = text[:_MAX_FULL_NAME]
    if without_joiners(short).isprintable():
        return short.strip()
    return "".join(character for character in short if character.isprintable()).strip()
