"""Who may report: hosts get keys here, and a key tells here which host it belongs to."""

from __future__ import annotations

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


class LiveKey(NamedTuple):
    host: Host
    hash: bytes
    expires: float | None


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

    async def load(self, config: Config) -> None:
        """Know the hosts of the store, and those that the config names, but for those that it drops.

        May be called again: hosts that are known stay as they are.
        """
        for row in await self._store.hosts.all():
            if self._hosts.by_id(row.id) is None and not config.is_dropped(row.name):
                host = Host(row.id, row.name, row.agent_id, row.created)
                host.label, host.agent_tags, host.os, host.agent_version = (
                    row.label,
                    row.tags,
                    row.os,
                    row.agent_version,
                )
                self._hosts.add(host)
                self.on_new(host)
        for key in await self._store.hosts.keys():
            if key.hash not in self._by_hash:
                self._adopt(key)
        for name in (*config.hosts, *(config.watchhosts or ())):
            if self._hosts.get(name) is None and not config.is_dropped(name):
                await self._create(name, "", [], None)

    def forget(self, host: Host) -> None:
        """The host is dropped; its keys open nothing until it is loaded again."""
        for key in self._of_host.pop(host.id, []):
            del self._by_hash[key.hash]
            del self._by_id[key_id(key.hash)]

    def _adopt(self, row: KeyRow) -> None:
        host = self._hosts.by_id(row.host_id)
        if host is not None:
            key = LiveKey(host, row.hash, row.expires)
            self._by_hash[row.hash] = key
            self._by_id[key_id(row.hash)] = key
            self._of_host.setdefault(host.id, []).append(key)

    # ------------------------------------------------------------------------------------------------ whose key is it

    def host_of(self, key: str, now: float) -> Host | None:
        """The host a key belongs to; None when nobody has it. The look-up is by hash: its time tells nothing."""
        found = self._by_hash.get(key_hash(key))
        return found.host if found and _live(found, now) else None

    def by_key_id(self, identifier: bytes, now: float) -> LiveKey | None:
        """The key that a heartbeat claims to be signed with."""
        found = self._by_id.get(identifier)
        return found if found and _live(found, now) else None

    def has_key(self, host: Host) -> bool:
        """Whether a host has a key that is not on its way out."""
        return any(key.expires is None for key in self._of_host.get(host.id, ()))

    # ------------------------------------------------------------------------------------------------------- changing

    async def add(self, name: str, label: str = "", tags: Sequence[str] = ()) -> str:
        """Enrol a host and return its key, which is shown only now.

        Raises InvalidInput for a name that cannot be one, Conflict for a host that has a live key.
        """
        if not is_host_name(name):
            raise InvalidInput("1-253 letters, digits, '.', '_', '-' or ':' are allowed", "name")
        key = new_key()
        host = self._hosts.get(name)
        if host is None:
            await self._create(name, label, list(tags)[:MAX_TAGS], key_hash(key))
        elif self.has_key(host):
            raise Conflict(f"host '{host.name}' has a key already; rotate or revoke it")
        else:
            await self._replace(host, key, overlap=0)
        return key

    async def _create(self, name: str, label: str, tags: list[str], hashed: bytes | None) -> None:
        now = time.time()
        agent_id = f"agent_{secrets.token_hex(6)}"
        host_id = await self._store.hosts.enrol(name, agent_id, label, tags, hashed, now)
        host = Host(host_id, name, agent_id, now)
        host.label, host.agent_tags = label, tags
        self._hosts.add(host)
        if hashed is not None:
            self._adopt(KeyRow(hashed, host_id, now, None))
        self.on_new(host)

    async def rotate(self, name: str, overlap: float = ROTATION_OVERLAP_SECONDS) -> str:
        """A new key for a host; the old one works for ``overlap`` more seconds. Raises NotFound."""
        key = new_key()
        await self._replace(self._hosts.require(name), key, overlap)
        return key

    async def revoke(self, name: str) -> None:
        """Make a host's keys worthless at once. Raises NotFound."""
        await self._replace(self._hosts.require(name), None, overlap=0)

    async def _replace(self, host: Host, key: str | None, overlap: float) -> None:
        now = time.time()
        row = KeyRow(key_hash(key), host.id, now, None) if key else None
        until = now + overlap if overlap else None
        await self._store.hosts.replace_keys(host.id, row, until)
        for old in self._of_host.pop(host.id, []):
            del self._by_hash[old.hash]
            del self._by_id[key_id(old.hash)]
            if until is not None:
                self._adopt(KeyRow(old.hash, host.id, now, min(old.expires or until, until)))
        if row is not None:
            self._adopt(row)


def _live(key: LiveKey, now: float) -> bool:
    return key.expires is None or now < key.expires
