"""What people may write about themselves, and an account as API and command line show it."""

from __future__ import annotations

from typing import Any

from hbd.access import Role
from hbd.accounts.known import Known
from hbd.accounts.model import ApiToken, User
from hbd.errors import InvalidInput

MAX_NAME_LENGTH, MAX_AVATAR_LENGTH = 200, 64 * 1024


def check_texts(**texts: str) -> None:
    """Refuse what cannot be seen. Raises InvalidInput."""
    for field, text in texts.items():
        if not text.isprintable():
            raise InvalidInput("holds a line break or another character that cannot be seen", field)


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
