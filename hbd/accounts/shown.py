"""What people may write about themselves, and an account as API and command line show it."""

from __future__ import annotations

from typing import Any

from hbd.access import Role
from hbd.accounts.known import Known
from hbd.accounts.model import ApiToken, User
from hbd.errors import InvalidInput
from hbd.model import without_joiners

MAX_NAME_LENGTH = 200
MAX_AVATAR_LENGTH = 8 * 1024  # a picture of 64 by 64 pixels takes 1 to 3 kB
ALL_ENDED = "all sessions and API tokens ended"
"""what a password that somebody else has set does to a user, for the audit log"""
MAY_JOIN = frozenset(("full_name", "full name", "avatar"))
"""fields of people: Persian names and many emoji hold joiners"""


def check_texts(**texts: str) -> None:
    """Refuse what cannot be seen. Raises InvalidInput."""
    for field, text in texts.items():
        if not (without_joiners(text) if field in MAY_JOIN else text).isprintable():
            raise InvalidInput("holds a line break or another character that cannot be seen", field)


def check_avatar(avatar: str, before: str = "") -> None:
    """Refuse what is too large, unless it is what was there before. Raises InvalidInput."""
    if len(avatar) > MAX_AVATAR_LENGTH and avatar != before:
        reason = f"at most {MAX_AVATAR_LENGTH} characters; this one has {len(avatar)}: take a smaller picture"
        raise InvalidInput(reason, "avatar")


def shown_user(user: User, accounts: Known) -> dict[str, Any]:
    return {
        "username": user.name,
        "full_name": user.full_name,
        "avatar": user.avatar,
        "role": user.role.value,
        "admin": user.role is Role.ADMIN,
        "notification_channels": list(user.channels),
        "enabled": user.enabled,
        "source": user.source,
        "second_factor": user.totp is not None,
        "has_password": user.password is not None,
        "created": user.created,
        "last_login": user.last_login,
        "sessions": accounts.session_count(user),
        "tokens": accounts.token_count(user),
    }


def listed_user(user: User, accounts: Known) -> dict[str, Any]:
    """An account in a list of all of them, which has no room for pictures."""
    shown = shown_user(user, accounts)
    return shown | {"avatar": ""} if user.avatar.startswith("data:") else shown


def shown_token(token: ApiToken) -> dict[str, Any]:
    """What everybody may know of a token who may know of it at all."""
    return {
        "id": token.id,
        "name": token.name,
        "start": token.start,
        "scope": token.scope,
        "hosts": None if token.hosts is None else list(token.hosts),
        "created": token.created,
        "expires": token.expires,
        "last_used": token.last_used,
        "last_address": token.last_address,
    }
