"""Who may report: hosts get keys here, and a key tells here which host it belongs to."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from hbc.wire import key_hash, key_id, new_key
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput, NotFound, StorageError
from hbd.hosts import Host, Hosts
from hbd.model import HOST_NAME_RULE, is_host_name
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.hosts import HostRow, KeyRow

ROTATION_OVERLAP_SECONDS = 86_400.0
LENT_SECONDS = 86_400.0
MAX_TAGS = 64
HOSTS_AT_ONCE = 200  # taken in before others get their turn on the loop

_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class LimitReached(Conflict):
    """There are as many hosts as there may be."""


class LiveKey(NamedTuple):
    """A key that works. expires: Unix seconds, None for the one that stays.

    proven: nobody is given another one in its place. used: when an agent first showed it, Unix seconds, None: not yet.
    """

    host: Host
    hash: bytes
    created: float
    expires: float | None
    proven: bool
    used: float | None = None

    @property
    def fingerprint(self) -> str:
        """Names the key and gives nothing of it away."""
        return key_id(self.hash).hex()


class Enrolment:
    """All live keys, in memory by their hash and by their key id, and on disk in ``agent_keys``."""

    def __init__(self, hosts: Hosts, store: Store, on_new: Callable[[Host], None] = lambda host: None) -> None:
        """on_new is called with every host that becomes known."""
        self.on_new = on_new
        self._hosts = hosts
        self._store = store
        self._by_hash: dict[bytes, LiveKey] = {}
        self._by_id: dict[bytes, LiveKey] = {}
        self._of_host: dict[int, list[LiveKey]] = {}
        self._ending: dict[bytes, LiveKey] = {}
        """those that will expire, by their hash"""
        self._changing = asyncio.Lock()

    async def load(self, config: Config) -> None:
        """Know the hosts and keys of the store, and the hosts that the config names."""
        for row in await self._store.hosts.all():
            self._know(row)
        for key in await self._store.hosts.keys():
            self._adopt(key)
        await self.name_hosts(config)

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Hosts neither come nor change otherwise while the block writes some; then those are known. Raises
        StorageError."""
        async with self._changing:
            yield
            for number, row in enumerate(await self._store.hosts.all()):
                if number % HOSTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                host = self._hosts.known(row.name)
                if host is None:
                    self._know(row)
                else:
                    host.label, host.given_tags = row.label, row.given_tags

    def _know(self, row: HostRow) -> None:
        host = Host(row.id, row.name, row.agent_id, row.created)
        host.agent_tags, host.os, host.agent_version = row.tags, row.os, row.agent_version
        host.label, host.given_tags = row.label, row.given_tags
        self._hosts.add(host)
        self.on_new(host)

    async def name_hosts(self, config: Config) -> None:
        """Make the hosts known that the config names."""
        async with self._changing:
            for name in (*config.hosts, *(config.watchhosts or ()), *(target.host for target in config.scrape_targets)):
                if self._hosts.known(name) is None:
                    await self._create(name, [], None)

    def _adopt(self, row: KeyRow) -> None:
        host = self._hosts.by_id(row.host_id)
        if host is not None:
            self._hold(LiveKey(host, row.hash, row.created, row.expires, row.proven, row.used))

    def _hold(self, key: LiveKey) -> None:
        self._by_hash[key.hash] = key
        self._by_id[key_id(key.hash)] = key
        keys = self._of_host.setdefault(key.host.id, [])
        keys[:] = [known for known in keys if known.hash != key.hash] + [key]
        self._ending.pop(key.hash, None)
        if key.expires is not None:
            self._ending[key.hash] = key
        else:
            self._ending.pop(key.hash, None)

    def _let_go(self, key: LiveKey) -> None:
        del self._by_hash[key.hash]
        del self._by_id[key_id(key.hash)]
        self._ending.pop(key.hash, None)

    # ------------------------------------------------------------------------------------------------ whose key is it

    def host_of(self, key: str, now: float) -> Host | None:
        """The host a key belongs to; None when nobody has it."""
        found = self.live(key, now)
        return found.host if found is not None else None

    def live(self, key: str, now: float) -> LiveKey | None:
        """What is known of a key; None when nobody has it. The look-up is by hash: its time tells nothing."""
        if _KEY.fullmatch(key) is None:
            return None
        found = self._by_hash.get(key_hash(key))
        return found if found and _live(found, now) and not found.host.dropped else None

    def works(self, key: LiveKey, now: float) -> bool:
        """Whether a key that worked a while ago still does, for the same host."""
        known = self._by_hash.get(key.hash)
        return known is not None and known.host is key.host and _live(known, now) and not known.host.dropped

    def expired(self, now: float) -> list[LiveKey]:
        """The keys that have ended by now, each told once: whoever came in with one has to leave."""
        ended = [key for key in self._ending.values() if not _live(key, now)]
        for key in ended:
            self._let_go(key)
            keys = self._of_host[key.host.id]
            keys[:] = [known for known in keys if known.hash != key.hash]
        return ended

    def by_key_id(self, identifier: bytes, now: float) -> LiveKey | None:
        """The key that a heartbeat claims to be signed with."""
        found = self._by_id.get(identifier)
        return found if found and _live(found, now) and not found.host.dropped else None

    def has_key(self, host: Host) -> bool:
        """Whether a host has a key that is not on its way out."""
        return any(key.expires is None for key in self._of_host.get(host.id, ()))

    def keys(self, host: Host, now: float) -> list[LiveKey]:
        """The keys of a host that work, the newest first."""
        return sorted((key for key in self._of_host.get(host.id, ()) if _live(key, now)), key=_created, reverse=True)

    async def prove(self, key: LiveKey, now: float) -> None:
        """An agent has used this key: from now on nobody is given another one in the name of its host.

        Raises StorageError when the disk cannot note it; the next use of the key tells it again.
        """
        if key.proven and key.used is not None:
            return
        await self._store.hosts.prove(key.hash, now)
        if self._by_hash.get(key.hash) is key:  # else it was changed or taken away meanwhile
            self._hold(key._replace(proven=True, used=now))

    # ------------------------------------------------------------------------------------------------------- changing

    async def add(
        self,
        name: str,
        tags: Sequence[str] = (),
        *entries: Entry,
        handed_out: bool = False,
        max_hosts: int | None = None,
        label: str | None = None,
        given_tags: Sequence[str] | None = None,
    ) -> str:
        """Enrol a host and return its key, which is shown only now.

        label, given_tags: what people say of it; None: what they said before, if anything.
        handed_out: it goes over a link, which may break before it arrives. As long as nobody has used such a key,
        the host may be enrolled again; otherwise an agent that never got its key would be locked out for good.
        Raises InvalidInput for a name that cannot be one, Conflict for a host that has a live key or is in drophosts,
        LimitReached when there may be no more than max_hosts.
        """
        if not is_host_name(name):
            raise InvalidInput(HOST_NAME_RULE, "name")
        async with self._changing:
            key = new_key()
            host = self._hosts.known(name)
            if host is None:
                if max_hosts is not None and len(self._hosts) >= max_hosts:
                    raise LimitReached(f"the limit of {max_hosts} hosts is reached")
                await self._create(
                    name,
                    list(tags)[:MAX_TAGS],
                    key_hash(key),
                    *entries,
                    proven=not handed_out,
                    label=label or "",
                    given_tags=given_tags or (),
                )
            elif host.dropped:
                raise Conflict(f"host '{host.name}' is in drophosts of the config")
            elif self.has_key(host) and not (handed_out and not any(key.proven for key in self._of_host[host.id])):
                raise Conflict(f"host '{host.name}' has a key already; rotate or revoke it")
            else:
                described = _described(host, label, given_tags)
                await self._replace(host, key, 0, *entries, proven=not handed_out, described=described)
                host.label, host.given_tags = described
            return key

    async def describe(self, host: Host, label: str | None, given_tags: Sequence[str] | None, *entries: Entry) -> None:
        """Keep what people say of a host; None: what they said before."""
        async with self._changing:
            described = _described(host, label, given_tags)
            await self._store.hosts.describe(host.id, *described, *entries)
            host.label, host.given_tags = described

    async def _create(
        self,
        name: str,
        tags: list[str],
        hashed: bytes | None,
        *entries: Entry,
        proven: bool = True,
        label: str = "",
        given_tags: Sequence[str] = (),
    ) -> None:
        now = time.time()
        agent_id = f"agent_{secrets.token_hex(6)}"

        def key(host_id: int) -> KeyRow:
            assert hashed is not None
            return KeyRow(hashed, host_id, now, None, proven)

        made = key if hashed is not None else None
        host_id = await self._store.hosts.enrol(
            name, agent_id, tags, made, now, *entries, label=label, given_tags=given_tags
        )
        host = Host(host_id, name, agent_id, now)
        host.agent_tags, host.label, host.given_tags = tags, label, list(given_tags)
        self._hosts.add(host)
        if hashed is not None:
            self._adopt(key(host_id))
        self.on_new(host)

    async def rotate(self, host: Host, *entries: Entry, overlap: float = ROTATION_OVERLAP_SECONDS) -> str:
        """A new key for a host; the old one works for ``overlap`` more seconds. Raises NotFound when it is gone."""
        async with self._changing:
            self._require(host)
            key = new_key()
            await self._replace(host, key, overlap, *entries)
            return key

    async def revoke(self, host: Host, *entries: Entry) -> None:
        """Make a host's keys worthless at once. Raises NotFound when it is gone."""
        async with self._changing:
            self._require(host)
            await self._replace(host, None, 0, *entries)

    def _require(self, host: Host) -> None:
        """Raises NotFound for a host that is gone, or hidden, whoever has its name now."""
        if self._hosts.get(host.name) is not host:
            raise NotFound(f"Host '{host.name}' not found")

    async def lend(self, host: Host) -> str:
        """A further key for a host, beside those it has, until it is known whether its agent will get it.

        ``settle`` or ``withdraw`` comes after; without them it ends after a day.
        """
        async with self._changing:
            key, now = new_key(), time.time()
            row = KeyRow(key_hash(key), host.id, now, now + LENT_SECONDS, True)
            await self._store.hosts.add_key(row)
            self._adopt(row)
            return key

    async def settle(self, host: Host, kept: bytes, overlap: float = ROTATION_OVERLAP_SECONDS) -> None:
        """The agent of a host has got the key with this hash, which lasts; those it had before work for ``overlap``
        more seconds."""
        async with self._changing:
            until = time.time() + overlap
            await self._store.hosts.keep_key(host.id, kept, until)
            for key in list(self._of_host.get(host.id, ())):
                self._hold(key._replace(expires=None if key.hash == kept else min(key.expires or until, until)))

    async def withdraw(self, host: Host, taken: bytes) -> None:
        """The agent of a host has not got the key with this hash, and nobody shall have it."""
        async with self._changing:
            await self._store.hosts.delete_key(taken)
            if (known := self._by_hash.get(taken)) is not None:
                self._let_go(known)
                self._of_host[host.id] = [other for other in self._of_host[host.id] if other.hash != taken]

    async def remove(self, host: Host, *entries: Entry) -> None:
        """Delete a host with its keys and all that is stored of it. From now on its keys are nobody's.

        Raises NotFound when it is gone already, StorageError with all as it was before.
        """
        async with self._changing:
            if self._hosts.known(host.name) is not host:
                raise NotFound(f"Host '{host.name}' not found")
            keys = self._forget_keys(host)
            self._hosts.remove(host)
            try:
                await self._store.hosts.delete(host.id, *entries)
            except StorageError:
                self._hosts.add(host)
                for key in keys:
                    self._hold(key)
                raise

    def _forget_keys(self, host: Host) -> list[LiveKey]:
        keys = self._of_host.pop(host.id, [])
        for key in keys:
            self._let_go(key)
        return keys

    async def _replace(
        self,
        host: Host,
        key: str | None,
        overlap: float,
        *entries: Entry,
        proven: bool = True,
        described: tuple[str, list[str]] | None = None,
    ) -> None:
        now = time.time()
        row = KeyRow(key_hash(key), host.id, now, None, proven) if key else None
        until = now + overlap if overlap else None
        await self._store.hosts.replace_keys(host.id, row, until, *entries, described=described)
        for old in self._forget_keys(host):
            if until is not None:
                self._hold(old._replace(expires=min(old.expires or until, until)))
        if row is not None:
            self._adopt(row)


def _described(host: Host, label: str | None, given_tags: Sequence[str] | None) -> tuple[str, list[str]]:
    return (host.label if label is None else label, host.given_tags if given_tags is None else list(given_tags))


def _created(key: LiveKey) -> float:
    return key.created


def _live(key: LiveKey, now: float) -> bool:
    return key.expires is None or now < key.expires
