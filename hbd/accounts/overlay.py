"""One user out of what the config says and what was changed here. Pure."""

from __future__ import annotations

from typing import Any

from hbd.access import Role
from hbd.accounts.model import User
from hbd.config import Config
from hbd.config.structs import User as ConfigUser
from hbd.store.accounts import UserRow

_TOLD = ("full_name", "avatar", "role", "enabled", "channels", "password")


def user_of(config: Config, row: UserRow) -> User:
    values = _in_force(config, row)
    return User(
        id=row.id,
        name=row.name,
        source=row.source,  # type: ignore[arg-type]
        subject=row.subject,
        full_name=values["full_name"],
        avatar=values["avatar"],
        role=Role(values["role"]),
        enabled=values["enabled"],
        channels=tuple(values["channels"]),
        password=values["password"].encode() if values["password"] else None,
        totp=row.totp,
        totp_step=row.totp_step,
        recovery=tuple(map(bytes.fromhex, row.recovery)),
        created=row.created,
        last_login=row.last_login,
    )


def configured(config: Config, name: str, row: UserRow | None, now: float) -> UserRow:
    """The row of a user of the config. row: the one that it has so far.

    What was changed here is forgotten once the file says something else than then. The password that holds is kept
    in the row too: another one in the file is noticed across a restart.
    """
    row = row or UserRow(name=name, source="config", created=now)
    told = _of_config(config.users[name])
    changes = {field: change for field, change in row.changes.items() if change["was"] == told[field]}
    return _with_password(config, copied(row, name=name, changes=changes))


def changed(config: Config, row: UserRow, fields: dict[str, Any]) -> UserRow:
    """A row with other values for fields of ``User``."""
    values = stored(fields)
    if row.source != "config":
        return copied(row, **values)
    told = _of_config(config.users[row.name])
    changes = dict(row.changes)
    for name in told.keys() & values.keys():
        now = values.pop(name)
        changes.pop(name, None)
        if now != told[name]:
            changes[name] = {"was": told[name], "now": now}
    return _with_password(config, copied(row, **values, changes=changes))


def stored(fields: dict[str, Any]) -> dict[str, Any]:
    """Values of ``User`` as its row has them."""
    return {name: _stored(value) for name, value in fields.items()}


def copied(row: UserRow, **values: Any) -> UserRow:
    return UserRow(**{name: getattr(row, name) for name in row.__struct_fields__} | values)


def _stored(value: Any) -> Any:
    if isinstance(value, Role):
        return value.value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, tuple):
        return [entry.hex() if isinstance(entry, bytes) else entry for entry in value]
    return value


def _of_config(user: ConfigUser) -> dict[str, Any]:
    """What the file says of a user, as it is stored."""
    return {
        "full_name": user.full_name,
        "avatar": user.avatar,
        "role": "admin" if user.admin else user.role,
        "enabled": True,
        "channels": list(user.notification_channels),
        "password": user.password.reveal() if user.password else None,
    }


def _in_force(config: Config, row: UserRow) -> dict[str, Any]:
    """What the file can say of a user, as it holds now."""
    values = {name: getattr(row, name) for name in _TOLD}
    if row.source == "config":
        for name, told in _of_config(config.users[row.name]).items():
            change = row.changes.get(name)
            values[name] = change["now"] if change is not None and change["was"] == told else told
    return values


def _with_password(config: Config, row: UserRow) -> UserRow:
    return copied(row, password=_in_force(config, row)["password"])
