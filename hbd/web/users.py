"""Users over HTTP, for admins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.access import Role
from hbd.accounts import Accounts, User
from hbd.accounts.shown import ALL_ENDED, MAX_NAME_LENGTH, check_avatar, check_texts, listed_user, shown_user
from hbd.errors import Conflict, Forbidden, InvalidInput
from hbd.passwords import check_new
from hbd.web import schemas
from hbd.web.auth import ask_again
from hbd.web.call import Call

FullName = Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]
ChannelNames = Annotated[list[Annotated[str, Meta(min_length=1, max_length=253)]], Meta(max_length=100)]
RoleName = Literal["viewer", "operator", "admin"]


class NewUser(Struct, forbid_unknown_fields=True):
    """admin: true is short for the role. Without a password the user signs in from outside alone."""

    username: str
    password: str | None = None
    full_name: FullName = ""
    avatar: str = ""
    role: RoleName | UnsetType = UNSET
    admin: bool | UnsetType = UNSET
    notification_channels: ChannelNames = []


class UserChange(Struct, forbid_unknown_fields=True):
    """What is left out stays. A new password, and disabling, sign the user out everywhere; a new password revokes the
    user's API tokens too."""

    full_name: FullName | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    role: RoleName | UnsetType = UNSET
    admin: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    password: str | UnsetType = UNSET
    notification_channels: ChannelNames | UnsetType = UNSET


def shown(user: User, accounts: Accounts) -> schemas.User:
    return schemas.User(**shown_user(user, accounts))


async def index(call: Call) -> list[schemas.User]:
    accounts = call.parts.accounts
    return [schemas.User(**listed_user(user, accounts)) for user in accounts.everyone()]


async def show(call: Call) -> schemas.User:
    return shown(call.parts.accounts.require(call.path["user"]), call.parts.accounts)


async def create(call: Call) -> schemas.ChangedUser:
    body: NewUser = call.body
    role = _role(body.role, body.admin, Role.VIEWER)
    check_texts(full_name=body.full_name, avatar=body.avatar, **_channels(body.notification_channels))
    check_avatar(body.avatar)
    hashed = None if body.password is None else await _hashed(call, body.password)
    user = await call.parts.accounts.add(
        body.username,
        call.entry("user.create", f"user {body.username[:64]}", detail=f"role {role}"),
        password=hashed,
        role=role.value,
        full_name=body.full_name,
        avatar=body.avatar,
        channels=list(body.notification_channels),
    )
    return changed(user, call.parts.accounts)


async def update(call: Call) -> schemas.ChangedUser:
    body: UserChange = call.body
    accounts = call.parts.accounts
    user = accounts.require(call.path["user"])
    fields: dict[str, Any] = {
        name: value for name in ("full_name", "avatar", "enabled") if (value := getattr(body, name)) is not UNSET
    }
    if body.role is not UNSET or body.admin is not UNSET:
        fields["role"] = _role(body.role, body.admin, user.role)
    if body.notification_channels is not UNSET:
        check_texts(**_channels(body.notification_channels))
        fields["channels"] = tuple(body.notification_channels)
    check_texts(**{name: fields[name] for name in ("full_name", "avatar") if name in fields})
    check_avatar(fields.get("avatar", ""), user.avatar)
    if body.password is not UNSET:
        _require_other(call, user, "password")
        fields["password"] = await _hashed(call, body.password)
    if not fields:
        raise InvalidInput("nothing to change was given")
    reset = "password" in fields
    signs_out = reset or fields.get("enabled") is False
    told = ", ".join(name if name in ("password", "avatar") else f"{name}: {_told(fields[name])}" for name in fields)
    told += f"; {ALL_ENDED}" if reset else ""
    own = call.caller.credential.session if call.caller.credential is not None else None
    entry = call.entry("user.change", f"user {user.name}", detail=told)
    fresh = await accounts.change(user, fields, entry, keep=own, sign_out=signs_out, revoke=reset)
    return changed(fresh, accounts)


async def delete(call: Call) -> schemas.Done:
    user = call.parts.accounts.require(call.path["user"])
    await call.parts.host_access.delete_user(user, call.entry("user.delete", f"user {user.name}"))
    return schemas.Done()


async def sign_out(call: Call) -> schemas.Ended:
    accounts = call.parts.accounts
    user = accounts.require(call.path["user"])
    own = call.caller.credential.session if call.caller.credential is not None else None
    ending = [session for session in accounts.sessions(user) if session is not own]
    await accounts.end(ending, call.entry("user.sign_out", f"user {user.name}", detail=f"{len(ending)} sessions"))
    return schemas.Ended(ended=len(ending))


async def remove_second_factor(call: Call) -> schemas.Done:
    user = call.parts.accounts.require(call.path["user"])
    _require_other(call, user, "second factor")
    if user.totp is None:
        raise Conflict(f"User '{user.name}' has no second factor")
    await call.parts.second_factors.remove(user, call.entry("second_factor.remove", f"user {user.name}"))
    return schemas.Done()


def changed(user: User, accounts: Accounts) -> schemas.ChangedUser:
    return schemas.ChangedUser(**msgspec.structs.asdict(shown(user, accounts)))


def _require_other(call: Call, user: User, what: str) -> None:
    """Whoever gets hold of an admin's session shall not be able to keep the admin out of the account with it."""
    if call.user is not None and call.user.id == user.id:
        raise Forbidden(f"Your own {what} is changed by /api/0/users/me, which asks for what you sign in with")


def _channels(names: Sequence[str]) -> dict[str, str]:
    return {f"notification_channels[{index}]": name for index, name in enumerate(names)}


def _role(role: RoleName | UnsetType, admin: bool | UnsetType, before: Role) -> Role:
    wanted = before if role is UNSET else Role(role)
    if admin is UNSET or admin == (wanted is Role.ADMIN):
        return wanted
    if admin and role is not UNSET:
        raise InvalidInput(f"true, and role is {wanted}: which of the two?", "admin")
    return Role.ADMIN if admin else Role.VIEWER


async def _hashed(call: Call, password: str) -> bytes:
    hashed = await call.parts.passwords.hash(check_new(password, call.parts.config.auth.min_password_length))
    ask_again(call)
    return hashed


def _told(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
