"""The commands ``hbd user …``, ``hbd passwd USER`` and ``hbd token …``, carried out by the running daemon or, without
one, on the database itself. Passwords come as bcrypt hashes."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import translate
from typing import Any

from hbd.access import Role
from hbd.accounts import Accounts, User
from hbd.accounts.shown import ALL_ENDED, MAX_NAME_LENGTH, check_texts, listed_user, shown_token
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput, NotFound
from hbd.host_access import HostAccess, Part
from hbd.hosts import Host, Hosts
from hbd.second_factor import SecondFactors
from hbd.store import Store
from hbd.store.audit import Entry

NO_USERS = "There are no users yet, so everything is open; make the first one: hbd user add --admin NAME"
NO_USERS_LEFT = "There are no users any more, and hbd stays closed; make one: hbd user add --admin NAME"


class People:
    """by: who gave the command, a user of the machine; it is told in the audit log.

    config: as it is now. apply_access: puts into force what host_access says of hosts.
    """

    def __init__(
        self,
        accounts: Accounts,
        host_access: HostAccess,
        second_factors: SecondFactors,
        hosts: Hosts,
        config: Callable[[], Config],
        apply_access: Callable[[Iterable[Host]], None],
    ) -> None:
        self._accounts = accounts
        self._host_access = host_access
        self._second_factors = second_factors
        self._hosts = hosts
        self._config = config
        self._apply_access = apply_access

    @classmethod
    async def offline(cls, config: Config, store: Store, hosts: Hosts) -> People:
        """Where no daemon runs. Raises StorageError."""
        accounts = Accounts(config, store)
        host_access = HostAccess(store, accounts)
        await host_access.load(time.time())
        return cls(accounts, host_access, SecondFactors(accounts), hosts, lambda: config, lambda changed: None)

    def commands(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """By name, as ``control`` knows them."""
        return {
            "user add": self.add,
            "user list": self.users,
            "user remove": self.remove,
            "user disable": self.disable,
            "user enable": self.enable,
            "user role": self.set_role,
            "user password": self.set_password,
            "user grant": self.grant,
            "user revoke": self.revoke,
            "user reset-second-factor": self.reset_second_factor,
            "token create": self.create_token,
            "token list": self.tokens,
            "token revoke": self.revoke_token,
        }

    # --------------------------------------------------------------------------------------------------------- users

    async def add(self, name: str, role: str, full_name: str, password: str | None, by: str) -> bool:
        """Make a user; returns whether anybody is admin now. password None: it signs in from outside alone.

        Raises InvalidInput, Conflict.
        """
        _require_text("full name", full_name)
        entry = _entry("user.create", f"user {name[:64]}", by, f"role {role}")
        hashed = password.encode() if password is not None else None
        await self._accounts.add(name, entry, password=hashed, role=Role(role), full_name=full_name)
        return self._accounts.first_admin() is not None

    async def users(self) -> list[dict[str, Any]]:
        """As the API lists them."""
        return [listed_user(user, self._accounts) for user in self._accounts.everyone()]

    async def remove(self, name: str, by: str) -> None:
        """Raises NotFound, and Conflict for the last admin and for a user of the config."""
        user = self._accounts.require(name)
        await self._host_access.delete_user(user, _entry("user.delete", f"user {user.name}", by))

    async def disable(self, name: str, by: str) -> bool:
        """Keep a user out and end its sessions. Returns and raises as ``_change``."""
        return await self._change(name, {"enabled": False}, "enabled: False", by, sign_out=True)

    async def enable(self, name: str, by: str) -> bool:
        return await self._change(name, {"enabled": True}, "enabled: True", by)

    async def set_role(self, name: str, role: str, by: str) -> bool:
        """Returns and raises as ``_change``."""
        return await self._change(name, {"role": Role(role)}, f"role: {role}", by)

    async def set_password(self, name: str, password: str, by: str) -> bool:
        """All sessions and API tokens of the user end. Returns and raises as ``_change``."""
        fields = {"password": password.encode()}
        return await self._change(name, fields, f"password; {ALL_ENDED}", by, sign_out=True, revoke=True)

    async def reset_second_factor(self, name: str, by: str) -> None:
        """Raises NotFound, Conflict for a user without one."""
        user = self._accounts.require(name)
        if user.totp is None:
            raise Conflict(f"User '{user.name}' has no second factor")
        await self._second_factors.remove(user, _entry("second_factor.remove", f"user {user.name}", by))

    async def grant(self, name: str, part: Part, hosts: list[str], by: str) -> list[dict[str, Any]]:
        """Make a user manager or monitor of hosts. hosts: names and patterns such as ``web*``, in any case.

        Returns of each host its name, whether that is a change, and whether the config file names its managers (its
        monitors) too, so that a reload takes it back. Raises NotFound for an unknown user, or a name or pattern that
        fits no host; nothing is changed then.
        """
        return await self._give(name, part, hosts, by, on=True)

    async def revoke(self, name: str, part: Part, hosts: list[str], by: str) -> list[dict[str, Any]]:
        """The opposite of ``grant``; returns and raises as that."""
        return await self._give(name, part, hosts, by, on=False)

    async def _give(self, name: str, part: Part, patterns: list[str], by: str, *, on: bool) -> list[dict[str, Any]]:
        user, config = self._accounts.require(name), self._config()
        hosts = self._fitting(patterns)
        told = f"{part}: {'+' if on else '-'}{user.name}"
        changed = await self._host_access.give(
            user, part, hosts, config, lambda host: _entry("host.access", f"host {host.name}", by, told), on=on
        )
        self._apply_access(changed)
        return [
            {"host": host.name, "changed": host in changed, "from_file": _is_in_file(config, host, part)}
            for host in hosts
        ]

    def _fitting(self, patterns: list[str]) -> list[Host]:
        found: dict[str, Host] = {}
        for pattern in patterns:
            exact = self._hosts.get(pattern)
            fits = re.compile(translate(pattern.lower()))
            fitting = [exact] if exact else [host for host in self._hosts if fits.match(host.name.lower())]
            if not fitting:
                raise NotFound(f"No host is called '{pattern}'; hbd agent list shows those that there are")
            found |= {host.name: host for host in fitting}
        return sorted(found.values(), key=lambda host: host.name.lower())

    async def _change(
        self, name: str, fields: dict[str, Any], told: str, by: str, *, sign_out: bool = False, revoke: bool = False
    ) -> bool:
        """Returns whether the config file has the user too: what it says holds again once it says something else.

        Raises NotFound, and Conflict when nobody would be admin any more.
        """
        user = self._accounts.require(name)
        entry = _entry("user.change", f"user {user.name}", by, told)
        return (await self._accounts.change(user, fields, entry, sign_out=sign_out, revoke=revoke)).source == "config"

    # -------------------------------------------------------------------------------------------------------- tokens

    async def create_token(
        self, user: str | None, name: str, write: bool, hosts: list[str], expires_in: float | None, by: str
    ) -> str:
        """The text of a new API token, which is shown only now. user None: of the first admin. hosts: [] for no limit.

        Raises NotFound, Conflict where there is nobody to make it for.
        """
        owner = self._accounts.require(user) if user is not None else self._first_admin()
        _require_text("name", name)
        entry = _entry("token.create", f"token {name}", by, f"{'write' if write else 'read'}, for {owner.name}")
        _, text = await self._accounts.add_token(
            owner,
            name,
            entry,
            scope="write" if write else "read",
            hosts=tuple(dict.fromkeys(self._hosts.require(host).name for host in hosts)) or None,
            expires=entry.time + expires_in if expires_in is not None else None,
        )
        return text

    def _first_admin(self) -> User:
        name = self._accounts.first_admin()
        if name is not None:
            return self._accounts.require(name)
        if len(self._accounts):
            raise Conflict("Nobody is admin; say whose token it is: --user NAME")
        raise Conflict(NO_USERS_LEFT if self._accounts.shut else NO_USERS)

    async def tokens(self, user: str | None) -> list[dict[str, Any]]:
        """Of that user, or of all. Raises NotFound."""
        owners = [self._accounts.require(user)] if user is not None else self._accounts.everyone()
        return [{"user": owner.name} | shown_token(token) for owner in owners for token in self._accounts.tokens(owner)]

    async def revoke_token(self, id: int, by: str) -> None:
        """Raises NotFound."""
        for owner in self._accounts.everyone():
            for token in self._accounts.tokens(owner):
                if token.id == id:
                    entry = _entry("token.revoke", f"token {token.name}", by, f"of {owner.name}")
                    await self._accounts.delete_token(token, entry)
                    return
        raise NotFound(f"Token '{id}' not found")


def _entry(action: str, what: str, by: str, told: str = "") -> Entry:
    detail = f"{told}; by {by}" if told else f"by {by}"
    return Entry(time=time.time(), user="", via="cli", action=action, object=what, detail=detail)


def _is_in_file(config: Config, host: Host, part: Part) -> bool:
    section = config.hosts_by_name.get(host.name.lower())
    return section is not None and getattr(section, part) is not None


def _require_text(field: str, text: str) -> None:
    check_texts(**{field: text})
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidInput(f"at most {MAX_NAME_LENGTH} characters", field)
