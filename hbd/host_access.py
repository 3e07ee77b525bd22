"""Who owns, manages and monitors which host, where that was changed here and not in the config."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from hbd.accounts import Accounts, Leave, Stays, User
from hbd.config import Config, HostConfig
from hbd.errors import Conflict
from hbd.hosts import Host
from hbd.store import Store
from hbd.store.accounts import AccessRow
from hbd.store.audit import Entry

UNKNOWN_TOLD = 20

Names = tuple[str, ...]
Part = Literal["managers", "monitors"]


class Access(NamedTuple):
    """None for the owner: nobody owns it, and nobody could."""

    owner: str | None
    managers: Names
    monitors: Names


class HostAccess:
    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store.accounts
        self._accounts = accounts
        self._rows: dict[int, AccessRow] = {}
        self._changing = asyncio.Lock()
        accounts.rights = self

    async def load(self, now: float) -> None:
        """Know what was changed here, and have the accounts load: whose user has gone has lost everything."""
        self._rows = {row.host_id: row for row in await self._store.access()}
        await self._in_step(lambda leave: self._accounts.load(now, leave), {})

    async def configure(self, config: Config, hosts: Iterable[Host], now: float) -> None:
        """A config was read again: have the accounts take it. What it names goes back to what it says, and whom it no
        longer has is gone. All of it is one transaction. Raises StorageError, with everything as it was."""
        sections = {host.id: config.hosts_by_name.get(host.name.lower()) or HostConfig() for host in hosts}
        await self._in_step(lambda leave: self._accounts.configure(config, now, leave), sections)

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Nothing is changed otherwise while the block writes rights; then they are what is on disk. Comes before that
        of the accounts. Raises StorageError."""
        async with self._changing:
            yield
            self._rows = {row.host_id: row for row in await self._store.access()}

    async def _in_step(self, work: Callable[[Leave], Awaitable[None]], sections: Mapping[int, HostConfig]) -> None:
        """Do something with the accounts that may end users, and write with it what is left of their rights."""
        changed: list[AccessRow] = []

        def leave(stays: Stays) -> list[AccessRow]:
            left = (
                _left(_overruled(row, sections.get(row.host_id) or HostConfig()), stays) for row in self._rows.values()
            )
            changed.extend(row for row in left if row != self._rows[row.host_id])
            return changed

        async with self._changing:
            await work(leave)
            self.took(changed)

    def of(self, host: Host, config: Config) -> Access:
        """What holds for a host: what was changed here, else what the config says, else the defaults."""
        row = self._rows.get(host.id, AccessRow(host.id, None, None, None))
        section = config.hosts_by_name.get(host.name.lower()) or HostConfig()
        owner = row.owner or section.owner or config.default_owner
        return Access(
            owner=self._known_as(owner) if owner else self._accounts.first_admin(),
            managers=self._known(row.managers if row.managers is not None else section.managers or ()),
            monitors=self._known(row.monitors if row.monitors is not None else section.monitors or ()),
        )

    def _known_as(self, name: str) -> str:
        """A name as its user writes it."""
        user = self._accounts.get(name)
        return user.name if user is not None else name

    def _known(self, names: Iterable[str]) -> Names:
        return tuple(dict.fromkeys(map(self._known_as, names)))

    async def change(
        self,
        host: Host,
        entry: Entry,
        *,
        owner: str | None = None,
        managers: Names | None = None,
        monitors: Names | None = None,
    ) -> None:
        """Change what is given; None leaves it. The caller has it put into force (``of``).

        Raises Conflict when one of these users has gone meanwhile.
        """
        async with self._changing, self._accounts.unchanged():
            for name in (*((owner,) if owner is not None else ()), *(managers or ()), *(monitors or ())):
                if not self._is_known(name):
                    raise Conflict(f"There is no user '{name}' any more")
            row = self._rows.get(host.id, AccessRow(host.id, None, None, None))
            row = row._replace(
                owner=owner if owner is not None else row.owner,
                managers=managers if managers is not None else row.managers,
                monitors=monitors if monitors is not None else row.monitors,
            )
            await self._store.save_access([row], entry)
            self._rows[host.id] = row

    async def give(
        self, user: User, part: Part, hosts: Iterable[Host], config: Config, entry: Callable[[Host], Entry], *, on: bool
    ) -> list[Host]:
        """Make a user one of the managers or monitors of hosts, or (on False) none of them any more; all or nothing.

        entry: what the audit log has of each. Returns the hosts where that is a change; the caller has it put into
        force (``of``). Raises Conflict when the user has gone meanwhile.
        """
        async with self._changing:
            if not self._is_known(user.name):
                raise Conflict(f"There is no user '{user.name}' any more")
            changed: dict[int, AccessRow] = {}
            found = []
            for host in hosts:
                names: Names = getattr(self.of(host, config), part)
                if (user.name in names) is on:
                    continue
                names = (*names, user.name) if on else tuple(name for name in names if name != user.name)
                row = self._rows.get(host.id, AccessRow(host.id, None, None, None))
                changed[host.id] = row._replace(managers=names) if part == "managers" else row._replace(monitors=names)
                found.append(host)
            await self._store.save_access(changed.values(), *map(entry, found))
            self._rows |= changed
            return found

    async def delete_user(self, user: User, *entries: Entry) -> None:
        """Delete a user; somebody else of that name will inherit nothing. Raises what ``Accounts.delete`` does."""
        lower = user.name.lower()
        async with self._changing:
            changed = self.left(lambda name: name.lower() != lower)
            before = [self._rows[row.host_id] for row in changed]
            self.took(changed)  # first: who listens to the accounts looks here
            try:
                await self._accounts.delete(user, changed, *entries)
            except BaseException:
                self.took(before)
                raise

    def unknown_people(self, config: Config) -> list[str]:
        """As ``nobodies`` tells them."""
        return nobodies(config, lambda name: self._accounts.get(name) is not None)

    def left(self, stays: Stays) -> list[AccessRow]:
        """Rows that are not as they were once only these names stay."""
        left = (_left(row, stays) for row in self._rows.values())
        return [row for row in left if row != self._rows[row.host_id]]

    def took(self, rows: Iterable[AccessRow]) -> None:
        """What is written of these hosts now."""
        self._rows |= {row.host_id: row for row in rows}

    def _is_known(self, name: str) -> bool:
        """Whether it is a user's; as long as there are none, anybody may be one later."""
        return not len(self._accounts) or self._accounts.get(name) is not None


def nobodies(config: Config, is_user: Callable[[str], bool]) -> list[str]:
    """``hosts.web1.owner: there is no user alice``: each name that nobody has, where the config has it first."""
    places: dict[str, list[str]] = {}
    for key, name in _people(config):
        if not is_user(name):
            places.setdefault(name, []).append(key)
    found = [
        f"{keys[0]}: there is no user {name}" + (f" (and {len(keys) - 1} more of the kind)" if keys[1:] else "")
        for name, keys in places.items()
    ]
    return found[:UNKNOWN_TOLD] + ([f"{len(found)} names in hosts have no user"] if found[UNKNOWN_TOLD:] else [])


def _people(config: Config) -> Iterator[tuple[str, str]]:
    """(key, user name) of everybody to whom the config gives a host."""
    if config.default_owner:
        yield "default_owner", config.default_owner
    for host_name, section in config.hosts.items():
        if section.owner:
            yield f"hosts.{host_name}.owner", section.owner
        for role, names in (("managers", section.managers), ("monitors", section.monitors)):
            yield from ((f"hosts.{host_name}.{role}", name) for name in names or ())


def _overruled(row: AccessRow, section: HostConfig) -> AccessRow:
    """What the config does not say."""
    return AccessRow(
        row.host_id,
        None if section.owner is not None else row.owner,
        None if section.managers is not None else row.managers,
        None if section.monitors is not None else row.monitors,
    )


def _left(row: AccessRow, stays: Stays) -> AccessRow:
    """What is left of it with these names alone."""
    managers, monitors = (
        None if names is None else tuple(filter(stays, names)) for names in (row.managers, row.monitors)
    )
    return AccessRow(row.host_id, row.owner if row.owner is not None and stays(row.owner) else None, managers, monitors)
