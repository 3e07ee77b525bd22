"""All notification channels: those of the config file, and those that people have made over the API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hbd.access import Identity, Role
from hbd.accounts import Accounts
from hbd.channels import configured, guard
from hbd.channels.base import Channel, ChannelType, Message, SendFailed, Tools
from hbd.channels.guard import Allowed, Guard
from hbd.channels.registry import Types
from hbd.channels.script import Script
from hbd.channels.spec import ChannelSpec, flaw_of_name, read
from hbd.channels.threads import Threads
from hbd.config import Config
from hbd.errors import Busy, Conflict, Forbidden, InvalidInput, NotFound, StorageError
from hbd.store import Store
from hbd.store.audit import Entry

log = logging.getLogger(__name__)

MOST_OF_ONE = 200  # channels that one user may have
MOST = 5_000
SENDING_THREADS = 32
LOOKUP_THREADS = 16

Change = Callable[[], None]


class ChannelState(Struct, frozen=True, kw_only=True):
    """How sending through a channel goes. Times are Unix seconds; waiting, dead: messages."""

    failing_since: float | None = None
    last_sent: float | None = None
    last_error: str = ""
    waiting: int = 0
    dead: int = 0


class ChannelRegister:
    """own_ports: where this daemon listens. changed: called after every change of what channels there are."""

    def __init__(
        self,
        config: Config,
        store: Store,
        accounts: Accounts,
        own_ports: Callable[[], Collection[int]],
        *,
        lookup: guard.Lookup = guard.look_up,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store.channels
        self._accounts = accounts
        self._own_ports = own_ports
        self._lookup = lookup
        self._clock = clock
        self._senders = Threads(SENDING_THREADS, "apprise")
        self._lookups = Threads(LOOKUP_THREADS, "lookup")
        self._types = Types(self._senders)
        self._configured: dict[str, ChannelSpec] = {}
        self._made: dict[str, ChannelSpec] = {}
        self._changing = asyncio.Lock()
        self._testing: set[str] = set()
        self._disowning: set[asyncio.Task[None]] = set()
        self.version = 0
        self.changed: list[Change] = []
        self.state: Callable[[str], ChannelState] = lambda name: ChannelState()
        self.awaited: Callable[[str, str], bool] = lambda name, user: False
        """whether there is something of others than a user that leads to a channel of that name, should there be one"""

    async def load(self) -> None:
        """Know all channels. Raises StorageError."""
        self._made = await self._stored()
        self._accounts.changed.append(self._people_changed)
        self._people_changed()
        await self.configure(self._config)

    async def _stored(self) -> dict[str, ChannelSpec]:
        rows = await self._store.all()
        return {name: thawed(msgspec.json.decode(spec, type=ChannelSpec)) for name, spec in rows.items()}

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """No channel is changed otherwise while the block writes some; then they are what is on disk. Raises
        StorageError."""
        async with self._changing:
            yield
            self._made = await self._stored()
        self._tell()

    async def configure(self, config: Config) -> None:
        """Take the channels of a config. One that cannot be used is kept, and says why when it is."""
        types = await self._types.enough_for(configured.type_keys(config))
        self._config = config
        self._configured = configured.specs(config, types)
        self._tell()

    async def close(self) -> None:
        await asyncio.gather(*self._disowning)
        self._senders.shutdown()
        self._lookups.shutdown()

    # ------------------------------------------------------------------------------------------------------- reading

    def get(self, name: str) -> ChannelSpec | None:
        return self._configured.get(name) or self._made.get(name)

    def all(self) -> list[ChannelSpec]:
        """In the order of their names. One of the config hides one of the same name that was made here."""
        return [spec for _, spec in sorted({**self._made, **self._configured}.items())]

    def visible(self, identity: Identity) -> list[ChannelSpec]:
        return [spec for spec in self.all() if may_see(identity, spec)]

    def require(self, name: str, identity: Identity) -> ChannelSpec:
        """The channel of that name. Raises NotFound, also for one that this caller shall not know of."""
        spec = self.get(name)
        if spec is None or not may_see(identity, spec):
            raise NotFound(f"Channel '{name}' not found")
        return spec

    async def types(self) -> dict[str, ChannelType]:
        """Those that channels can be made of over the API, by key."""
        return {key: kind for key, kind in (await self._types.all()).items() if key != Script.key}

    async def type_of(self, spec: ChannelSpec) -> ChannelType | None:
        return await self._types.find(spec.type)

    # ------------------------------------------------------------------------------------------------------ changing

    async def create(self, given: dict[str, Any], identity: Identity, entry: Entry) -> ChannelSpec:
        """Raises InvalidInput, and Conflict when the name is taken or there are too many."""
        name = given.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidInput("is needed", "name")
        if reason := flaw_of_name(name):
            raise InvalidInput(reason, "name")
        owner = identity.name or None
        kind = await self._kind(given.get("type"))
        bare = ChannelSpec(
            name=name, type=kind.key, settings={}, owner=owner, trusted=_is_trusted(identity), made_at=self._clock()
        )
        made = await self._checked(bare, given, kind, identity)
        async with self._changing:
            taken = {other.casefold() for other in (*self._made, *self._configured)}
            if name.casefold() in taken:
                raise Conflict(f"A channel '{name}' exists already")
            if not made.trusted and self.awaited(name, identity.name):
                raise Conflict(f"Others were or are told over a channel '{name}'; only an admin may make one")
            own = sum(spec.owner == owner for spec in self._made.values())
            if len(self._made) >= MOST or own >= MOST_OF_ONE:
                raise Conflict(f"There are too many channels; {MOST_OF_ONE} may be yours")
            await self._write(made, entry)
        return made

    async def update(self, name: str, given: dict[str, Any], identity: Identity, entry: Entry) -> ChannelSpec:
        """Raises NotFound, Forbidden, Conflict for one of the config, InvalidInput."""
        before = self._require_own(name, identity)
        kind = await self._kind(given["type"]) if "type" in given else await self.type_of(before)
        if kind is None:
            raise InvalidInput(f"there is no channel type {before.type}", "type")
        bare = replace(before, trusted=_is_trusted(identity))
        made = await self._checked(bare, given, kind, identity)
        if made.trusted and not before.trusted and _leads_alike(kind, before, made):
            made = replace(made, trusted=False)  # where it leads to is still what somebody else chose
        async with self._changing:
            if self._require_own(name, identity) != before:
                raise Conflict("Somebody else has just changed this channel; look at it again")
            await self._write(made, entry)
        return made

    async def delete(self, name: str, identity: Identity, entry: Entry) -> None:
        """Nobody has the channel in their list any more. Raises as ``update`` does."""
        async with self._changing:
            self._require_own(name, identity)
            for user in self._accounts.everyone():
                if name in user.channels:
                    left = tuple(channel for channel in user.channels if channel != name)
                    await self._accounts.change(user, {"channels": left})
            await self._store.write({}, [name], self._clock(), [entry])
            del self._made[name]
        self._tell()

    def _people_changed(self) -> None:
        """Whose owner has gone is the admins' alone: whoever gets that name later has nothing to do with it."""
        known = {user.name.casefold() for user in self._accounts.everyone()}
        orphans = {
            name: replace(spec, owner=None)
            for name, spec in self._made.items()
            if spec.owner is not None and spec.owner.casefold() not in known
        }
        if orphans:
            self._made |= orphans
            task = asyncio.create_task(self._write_orphans(orphans))
            self._disowning.add(task)
            task.add_done_callback(self._disowning.discard)
            self._tell()

    async def _write_orphans(self, orphans: dict[str, ChannelSpec]) -> None:
        try:
            specs = {name: msgspec.json.encode(spec) for name, spec in orphans.items() if self._made.get(name) is spec}
            await self._store.write(specs, [], self._clock(), [])
        except StorageError as error:
            log.warning("channels of users who have gone are looked at again at the next start: %s", error)

    def _require_own(self, name: str, identity: Identity) -> ChannelSpec:
        spec = self.require(name, identity)
        if spec.source == "config":
            raise Conflict(f"Channel '{name}' is in the config file; change it there")
        if not may_change(identity, spec):
            raise Forbidden("Only the owner of a channel or an admin may do this")
        return spec

    async def _kind(self, key: object) -> ChannelType:
        if not isinstance(key, str) or not key:
            raise InvalidInput("is needed", "type")
        if key == Script.key:
            raise InvalidInput("channels that run programs are made in the config file alone", "type")
        kind = await self._types.find(key)
        if kind is None:
            raise InvalidInput(f"there is no channel type '{key[:64]}'", "type")
        return kind

    async def _checked(
        self, bare: ChannelSpec, given: dict[str, Any], kind: ChannelType, identity: Identity
    ) -> ChannelSpec:
        made, flaws = await asyncio.to_thread(read, bare, given, kind)  # Apprise can take seconds over odd settings
        if flaws:
            raise InvalidInput(flaws[0][1], flaws[0][0])
        if made.fallback is not None and given.get("fallback") is not None:
            other = self.get(made.fallback)
            if other is None or not may_see(identity, other):
                raise InvalidInput(f"there is no channel '{made.fallback}'", "fallback")
        judge = self._guard(made)
        for host, port in kind.targets(made.settings):
            if reason := await judge.objection(host, port):
                raise InvalidInput(reason, "url" if "url" in made.settings else "host")
        return made

    async def _write(self, spec: ChannelSpec, entry: Entry) -> None:
        await self._store.write({spec.name: msgspec.json.encode(spec)}, [], self._clock(), [entry])
        self._made[spec.name] = spec
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        for changed in self.changed:
            changed()

    # ------------------------------------------------------------------------------------------------------- sending

    async def open(self, name: str) -> Channel:
        """The channel, ready to send; whoever asks closes it. Raises SendFailed when it cannot be used."""
        spec = self.get(name)
        if spec is None:
            raise SendFailed("there is no such channel", permanent=True)
        kind = await self._types.find(spec.type)
        if spec.flaw or kind is None:
            raise SendFailed(f"the settings cannot be used: {spec.flaw or 'unknown type'}", permanent=True)
        tools = Tools(
            guard=self._guard(spec),
            threads=self._senders,
            scripts=self._config.notifications.scripts,
            clock=self._clock,
        )
        return kind.open(spec.name, spec.settings, tools)

    async def test(self, name: str, message: Message) -> str:
        """Send a message outside of everything that is waiting. Raises SendFailed, and Busy while another test runs."""
        if name in self._testing:
            raise Busy("A test message is under way already")
        self._testing.add(name)
        try:
            channel = await self.open(name)
            try:
                return await channel.send(message)
            finally:
                await channel.close()
        finally:
            self._testing.discard(name)

    def _guard(self, spec: ChannelSpec) -> Guard:
        return Guard(
            trusted=spec.trusted,
            allowed=Allowed(self._config.limits.channel_targets),
            own_ports=self._own_ports,
            threads=self._lookups,
            lookup=self._lookup,
        )


def may_see(identity: Identity, spec: ChannelSpec) -> bool:
    return not spec.private or may_change(identity, spec)


def may_change(identity: Identity, spec: ChannelSpec) -> bool:
    """Whether it is the own channel, or that of an admin's care. Those of the config cannot be changed, but seen so."""
    if identity.open or identity.role is Role.ADMIN:
        return True
    return spec.owner is not None and spec.owner.casefold() == identity.name.casefold() != ""


def _is_trusted(identity: Identity) -> bool:
    return identity.open or identity.role is Role.ADMIN


def _leads_alike(kind: ChannelType, before: ChannelSpec, after: ChannelSpec) -> bool:
    return before.type == after.type and kind.targets(before.settings) == kind.targets(after.settings)


def thawed(spec: ChannelSpec) -> ChannelSpec:
    """As it was before it was JSON: lists come back from JSON as lists."""
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.settings.items()}
    return replace(spec, settings=settings)
