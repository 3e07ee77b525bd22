"""Accounts over a real database, and people who sign in. Times are passed in."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from hbd.access import Role
from hbd.accounts import Accounts, ApiToken, Outsider, User
from hbd.config import Config, Secret
from hbd.config.structs import Auth
from hbd.config.structs import User as ConfigUser
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0
DAY = 86_400.0


def config(auth: Auth | None = None, **users: ConfigUser) -> Config:
    return Config(users=users, auth=auth or Auth())


def told(password: str | None = None, **fields: Any) -> ConfigUser:
    return ConfigUser(password=Secret(password) if password else None, **fields)


async def known(store: Store, used: Config | None = None, now: float = NOW) -> Accounts:
    """Accounts as after a start."""
    made = Accounts(used or Config(), store)
    await made.load(now)
    return made


def entry(action: str = "user.change", time: float = NOW) -> Entry:
    return Entry(time=time, user="root", via="cli", action=action)


async def sign_in(accounts: Accounts, user: User, now: float = NOW, **fields: Any) -> str:
    return await accounts.sign_in(
        user, "password", entry("login", now), address="192.0.2.1", user_agent="test", **fields
    )


async def add_token(accounts: Accounts, user: User, **fields: Any) -> tuple[ApiToken, str]:
    chosen: dict[str, Any] = {"scope": "read", "hosts": None, "expires": None} | fields
    return await accounts.add_token(user, "script", entry("token.create"), **chosen)


async def admin_and_bob(store: Store) -> tuple[Accounts, User, User]:
    accounts = await known(store)
    admin = await accounts.add("root", entry(), role=Role.ADMIN, password=b"hash-of-root")
    return accounts, admin, await accounts.add("bob", entry(), password=b"hash-of-bob")


def outsider(name: str = "eve", subject: str | None = "s-1", role: Role = Role.VIEWER, **fields: Any) -> Outsider:
    return Outsider(fields.pop("source", "oidc"), name, subject, fields.pop("full_name", ""), role)


async def outcome(work: Awaitable[object]) -> str:
    """What became of it: "done", or the name of the error."""
    try:
        await work
    except Exception as error:
        return type(error).__name__
    return "done"
