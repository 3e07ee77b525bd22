"""What people do with hosts and their keys: enrol, describe, rotate, revoke, remove. Each is told in the audit log, in
the same transaction; a running daemon acts on it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hbc.wire import key_hash, key_id
from hbd.enrolment import MAX_TAGS, Enrolment, LiveKey
from hbd.errors import InvalidInput
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.model import Moment, without_joiners
from hbd.pipeline import Pipeline
from hbd.receivers.agent_link import AgentLinks
from hbd.receivers.udp import Heartbeats
from hbd.store.audit import Entry

MAX_LABEL = 200
MAX_TAG = 64


class Running(NamedTuple):
    """The parts of a running daemon that have to hear of a change. on_tags: other tags may mean other thresholds."""

    pipeline: Pipeline
    links: AgentLinks
    heartbeats: Heartbeats
    hushing: Hushing
    on_tags: Callable[[Host], None]


class AgentRegister:
    def __init__(self, enrolment: Enrolment, hosts: Hosts, running: Running | None = None) -> None:
        """running: None where no daemon runs."""
        self.on_removed: list[Callable[[Host], None]] = []
        """told of every host that is gone, by those who keep something for each"""
        self.on_keys: list[Callable[[Host], None]] = []
        """told of every host some keys of which have just become worthless"""
        self._enrolment = enrolment
        self._hosts = hosts
        self._running = running

    def keys(self, host: Host, now: float) -> list[LiveKey]:
        """The keys of a host that work, the newest first."""
        return self._enrolment.keys(host, now)

    @staticmethod
    def fingerprint(key: str) -> str:
        """What a key is called where it may be shown."""
        return key_id(key_hash(key)).hex()

    def has_key(self, host: Host) -> bool:
        return self._enrolment.has_key(host)

    async def enrol(
        self,
        name: str,
        entry: Entry,
        *,
        label: str | None = None,
        tags: Sequence[str] | None = None,
        max_hosts: int | None = None,
    ) -> tuple[Host, str]:
        """Make a host known, or give one that has no key its first; the host and the key.

        Raises InvalidInput; Conflict for a host that has a key or is in drophosts, or when there may be no more hosts.
        """
        label, tags = checked_label(label), checked_tags(tags)
        key = await self._enrolment.add(name, (), entry, max_hosts=max_hosts, label=label, given_tags=tags)
        host = self._hosts.known(name)
        assert host is not None, f"{name} was enrolled a moment ago"
        self._changed(host, "enrolled")
        return host, key

    async def describe(self, host: Host, entry: Entry, *, label: str | None, tags: Sequence[str] | None) -> None:
        """Say how a host is called and what it belongs to; None: as it was. Raises InvalidInput."""
        label, tags = checked_label(label), checked_tags(tags)
        await self._enrolment.describe(host, label, tags, entry)
        self._changed(host)

    async def rotate(self, host: Host, entry: Entry) -> str:
        """A new key for a host; the one it had works for another day."""
        key = await self._enrolment.rotate(host, entry)
        self._changed(host, "the key was rotated")
        return key

    async def revoke(self, host: Host, entry: Entry) -> None:
        """Make the keys of a host worthless at once."""
        await self._enrolment.revoke(host, entry)
        self._changed(host, "the key was revoked")
        if self._running:
            await self._running.links.drop(host, "the key was revoked")
        for listener in self.on_keys:
            listener(host)

    async def remove(self, host: Host, entry: Entry) -> None:
        """Delete a host with all that is stored of it. Raises NotFound when it is gone already."""
        await self._enrolment.remove(host, entry)
        if self._running:
            await self._running.links.drop(host, "this host was removed")
            self._running.heartbeats.forget(host.id)
            self._running.pipeline.forget(host)
            self._running.hushing.forget(host.id)
            self._running.pipeline.note(f"host {host.name} was removed", Moment.now())
        for listener in self.on_removed:
            listener(host)

    def _changed(self, host: Host, told: str = "") -> None:
        if self._running:
            self._running.on_tags(host)
            self._running.pipeline.changed(host)
            if told:
                self._running.pipeline.note(told, Moment.now(), host)


def checked_label(label: str | None) -> str | None:
    """Raises InvalidInput."""
    if label is None:
        return None
    label = label.strip()
    if len(label) > MAX_LABEL or not without_joiners(label).isprintable():
        raise InvalidInput(f"at most {MAX_LABEL} characters that can be seen, on one line", "label")
    return label


def checked_tags(tags: Sequence[str] | None) -> list[str] | None:
    """Each tag once. Raises InvalidInput, which names the tag by its place."""
    if tags is None:
        return None
    if len(tags) > MAX_TAGS:
        raise InvalidInput(f"at most {MAX_TAGS} tags", "tags")
    kept = []
    for index, tag in enumerate(tags):
        tag = tag.strip()
        if not 1 <= len(tag) <= MAX_TAG or not without_joiners(tag).isprintable():
            raise InvalidInput(f"1-{MAX_TAG} characters that can be seen, on one line", f"tags[{index}]")
        kept.append(tag)
    return list(dict.fromkeys(kept))
