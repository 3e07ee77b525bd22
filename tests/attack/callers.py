"""Everybody who may call a daemon, and two hosts: ``alpha``, where some have a part, and ``beta``, another's."""

from __future__ import annotations

import time
from typing import Literal

import bcrypt
from world import PASSWORD, World

from hbd import totp
from hbd.config import Config
from hbd.config.structs import Auth, HostConfig, Secret, User
from hbd.store.audit import Entry
from hbd.web.call import Route

ALPHA, BETA, UNKNOWN_HOST = "alpha", "beta", "gamma"
OTHER_USER, UNKNOWN_USER = "keeper", "nobody"
AGENT_KEY = "5f" * 32

ROLES: dict[str, Literal["viewer", "operator", "admin"]] = {
    "viewer": "viewer",
    "monitor": "viewer",
    "manager": "viewer",
    "owner": "viewer",
    "operator": "operator",
    "admin": "admin",
    "disabled": "admin",
    "held back": "operator",
    OTHER_USER: "admin",
}
"""user to role; ``viewer`` has no part in any host"""

TOKENS: dict[str, tuple[Literal["read", "write"], tuple[str, ...] | None]] = {
    "read token": ("read", None),
    "write token": ("write", None),
    "token of own host": ("write", (ALPHA,)),
    "token of other host": ("write", (BETA,)),
}
"""API tokens of ``admin``: scope, hosts"""

_HASH = Secret(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())


def entry(action: str) -> Entry:
    return Entry(time=time.time(), user="", via="cli", action=action)


def login_name(caller: str) -> str:
    """The user that a caller is or whose token it shows."""
    return "admin" if caller in TOKENS else caller.replace(" ", "-")


class Callers:
    """Users come from the config, so that nothing that one of them may do takes another away."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._accounts = world.security.accounts
        self._kept: dict[str, str] = {}

    async def settle(self) -> None:
        world = self._world
        users = {login_name(name): User(role=role, password=_HASH) for name, role in ROLES.items()}
        hosts = {
            ALPHA: HostConfig(owner="owner", managers=("manager",), monitors=("monitor",)),
            BETA: HostConfig(owner=OTHER_USER),
        }
        await self._settle_hosts()
        await world.configure(Config(users=users, hosts=hosts, auth=Auth(second_factor=("operator",))))
        operator = self._accounts.require("operator")
        fields = {"totp": totp.new_secret(), "totp_step": 0, "recovery": ()}
        await self._accounts.change(operator, fields, entry("second_factor.set_up"))
        await self._keep_expired_session()
        await self._keep_disabled()
        for name in TOKENS:
            await self._keep_token(name)
        self._kept["agent key"] = AGENT_KEY

    async def _settle_hosts(self) -> None:
        """Those that are not there, or no longer: some callers may delete them."""
        for name in (ALPHA, BETA):
            if self._world.hosts.get(name) is None:
                await self._world.enrolment.add(name)
                host = self._world.hosts.require(name)
                self._world.sample(host, "cpu_monitor", {"cpu_percent": 1.0})
                await self._world.note(f"{name} is up", host)

    async def _keep_token(self, name: str) -> None:
        scope, hosts = TOKENS[name]
        _, self._kept[name] = await self._accounts.add_token(
            self._accounts.require("admin"), name, entry("token.create"), scope=scope, hosts=hosts, expires=None
        )

    async def _keep_expired_session(self) -> None:
        self._kept["expired session"] = await self._world.session("admin")
        self._accounts.sessions(self._accounts.require("admin"))[0].expires = time.time() - 1

    async def _keep_disabled(self) -> None:
        """A session of somebody who is disabled, which was there before."""
        self._kept["disabled"] = await self._world.session("disabled")
        await self._accounts.change(self._accounts.require("disabled"), {"enabled": False}, entry("user.change"))

    async def token(self, caller: str) -> str | None:
        """What a caller shows; people come with a session of their own each time, scripts with a token that is good."""
        await self._settle_hosts()
        if caller == "anonymous":
            return None
        if caller in TOKENS and self._accounts.credential(self._kept[caller], time.time()) is None:
            await self._keep_token(caller)
        return self._kept.get(caller) or await self._world.session(login_name(caller))

    async def headers(self, caller: str) -> dict[str, str]:
        token = await self.token(caller)
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def url(route: Route) -> str:
    """A route's path with something in all its places."""
    values = {
        "host": ALPHA,
        "agent": ALPHA,
        "server": ALPHA,
        "user": OTHER_USER,
        "plugin": "cpu_monitor",
        "id": "1",
        "name": "ops",
        "machine": "192.0.2.1",
        "token": "x",
        "what": "start",
        "path": "none.css",
    }
    return route.template.format(**values)
