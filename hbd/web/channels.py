"""Which notification channels somebody may choose. Pure."""

from __future__ import annotations

from hbd.access import Role
from hbd.accounts import User
from hbd.config import Config


def visible_channels(config: Config, user: User) -> set[str]:
    """Names of the notification channels that a user may choose: public ones and the own, for admins all."""
    return {
        name
        for name, settings in config.notification_channels.items()
        if user.role is Role.ADMIN
        or not settings.get("private")
        or str(settings.get("owner", "")).lower() == user.name.lower()
    }
