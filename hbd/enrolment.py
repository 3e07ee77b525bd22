"""Who may report: hosts get keys here, and a key tells here which host it belongs to."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hbc.wire import key_hash, key_id, new_key
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput
from hbd.hosts import Host, Hosts
from hbd.model import is_host_name
from hbd.store import Store
from hbd.store.hosts import KeyRow

ROTATION_OVERLAP_SECONDS = 86_400.0
MAX_TAGS = 64


class LimitReached(Conflict):
    """There are as many hosts as there may be."""


class LiveKey(NamedTuple):
    host: Host
    hash: bytes
    expires: float | None
    proven: bool


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
        self._changing = asyncio.Lock()

    async def load(self, config: Config) -> None:
        """Know the hosts and keys of the store, and the hosts that the config names."""
        for row in await self._store.hosts.all():
            host = Host(row.id, row.name, row.agent_id, row.created)
            host.agent_tags, host.os, host.agent_version = row.tags, row.os, row.agent_version
            self._hosts.add(host)
            self.on_new(host)
        for key in await self._store.hosts.keys():
            self._adopt(key)
        await self.name_hosts(config)

    async def name_hosts(self, config: Config) -> None:
        """Make the hosts known that the config names."""
        async with self._changing:
            for name in (*config.hosts, *(config.watchhosts or ())):
                if self._hosts.known(name) is None:
                    await self._create(name, [], None)

    def _adopt(self, row: KeyRow) -> None:
        host = self._hosts.by_id(row.host_id)
        if host is not None:
            self._hold(LiveKey(host, row.hash, row.expires, row.proven))

    def _hold(self, key: LiveKey) -> None:
        self._by_hash[key.hash] = key
        self._by_id[key_id(key.hash)] = key
        keys = self._of_host.setdefault(key.host.id, [])
        keys[:] = [known for known in keys if known.hash != key.hash] + [key]

    # ------------------------------------------------------------------------------------------------ whose key is it

    def host_of(self, key: str, now: float) -> Host | None:
        """The host a key belongs to; None when nobody has it. The look-up is by hash: its time tells nothing."""
        found = self._by_hash.get(key_hash(key))
        return found.host if found and _live(found, now) and not found.host.dropped else None

    def by_key_id(self, identifier: bytes, now: float) -> LiveKey | None:
        """The key that a heartbeat claims to be signed with."""
        found = self._by_id.get(identifier)
        return found if found and _live(found, now) and not found.host.dropped else None

    def has_key(self, host: Host) -> bool:
        """Whether a host has a key that is not on its way out."""
        return any(key.expires is None for key in self._of_host.get(host.id, ()))

    async def prove(self, host: Host) -> None:
        """The agent of this host has used its key: from now on nobody is given another one in its name."""
        for key in [key for key in self._of_host.get(host.id, ()) if not key.proven]:
            self._hold(key._replace(proven=True))
            await self._store.hosts.prove(key.hash)

    # ------------------------------------------------------------------------------------------------------- changing

    async def add(
        self, name: str, tags: Sequence[str] = (), *, handed_out: bool = False, max_hosts: int | None = None
    ) -> str:
        """Enrol a host and return its key, which is shown only now.

        handed_out: it goes over a link, which may break before it arrives. As long as nobody has used such a key,
        the host may be enrolled again; otherwise an agent that never got its key would be locked out for good.
        Raises InvalidInput for a name that cannot be one, Conflict for a host that has a live key or is in drophosts,
        LimitReached when there may be no more than max_hosts.
        """
        if not is_host_name(name):
            raise InvalidInput("1-253 letters, digits, '.', '_', '-' or ':' are allowed", "name")
        async with self._changing:
            key = new_key()
            host = self._hosts.known(name)
            if host is None:
                if max_hosts is not None and len(self._hosts) >= max_hosts:
                    raise LimitReached(f"the limit of {max_hosts} hosts is reached")
                await self._create(name, list(tags)[:MAX_TAGS], key_hash(key), proven=not handed_out)
            elif host.dropped:
                raise Conflict(f"host '{host.name}' is in drophosts of the config")
            elif self.has_key(host) and not (handed_out and not any(key.proven for key in self._of_host[host.id])):
                raise Conflict(f"host '{host.name}' has a key already; rotate or revoke it")
            else:
                await self._replace(host, key, overlap=0, proven=not handed_out)
            return key

    async def _create(self, name: str, tags: list[str], hashed: bytes | None, *, proven: bool = True) -> None:
        now = time.time()
        agent_id = f"agent_{secrets.token_hex(6)}"

        def key(host_id: int) -> KeyRow:
            assert hashed is not None
            return KeyRow(hashed, host_id, now, None, proven)

        host_id = await self._store.hosts.enrol(name, agent_id, tags, key if hashed is not None else None, now)
        host = Host(host_id, name, agent_id, now)
        host.agent_tags = tags
        self._hosts.add(host)
        if hashed is not None:
            self._adopt(key(host_id))
        self.on_new(host)

    async def rotate(self, name: str, overlap: float = ROTATION_OVERLAP_SECONDS) -> str:
        """A new key for a host; the old one works for ``overlap`` more seconds. Raises NotFound."""
        async with self._changing:
            key = new_key()
            await self._replace(self._hosts.require(name), key, overlap)
            return key

    async def revoke(self, name: str) -> None:
        """Make a host's keys worthless at once. Raises NotFound."""
        async with self._changing:
            await self._replace(self._hosts.require(name), None, overlap=0)

    async def remove(self, host: Host) -> None:
        """Delete a host with its keys and all that is stored of it."""
        async with self._changing:
            for key in self._of_host.pop(host.id, []):
                del self._by_hash[key.hash]
                del self._by_id[key_id(key.hash)]
            self._hosts.remove(host)
            await self._store.hosts.delete(host.id)

    async def _replace(self, host: Host, key: str | None, overlap: float, *, proven: bool = True) -> None:
        now = time.time()
        row = KeyRow(key_hash(key), host.id, now, None, proven) if key else None
        until = now + overlap if overlap else None
        await self._store.hosts.replace_keys(host.id, row, until)
        for old in self._of_host.pop(host.id, []):
            del self._by_hash[old.hash]
            del self._by_id[key_id(old.hash)]
            if until is not None:
                self._hold(old._replace(expires=min(old.expires or until, until)))
        if row is not None:
            self._adopt(row)


def _live(key: LiveKey, now: float) -> bool:
    return key.expires is None or now < key.expires
