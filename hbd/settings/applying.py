"""Writes what an import changes, each with its audit entry."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from hbd.accounts.register import SETUP_DONE
from hbd.hushes import Silence
from hbd.job_schedule import Timing
from hbd.processes import Watched
from hbd.routing import Route
from hbd.settings.changes import Change, Kind, Plan, fields
from hbd.settings.document import Host, Job, Process
from hbd.settings.gathering import Rows
from hbd.store import Store
from hbd.store.accounts import AccessRow
from hbd.store.audit import Entry
from hbd.store.hushing import WindowRow
from hbd.store.jobs import Job as JobRow
from hbd.store.reports import ReportingRow

_WORDS = ("label", "tags")
_ACCESS = ("owner", "managers", "monitors")
_REPORTING = ("enabled", "min_report_interval")
"""what is said of a host, by where it is kept and how the audit log calls it"""
_VERBS = {"+": "create", "~": "change", "-": "delete"}
_ACTIONS = {
    ("config user", "+"): "user.change",
    ("config user", "~"): "user.change",
    ("host", "+"): "agent.add",
    ("host", "~"): "agent.change",
    ("route", "~"): "route.update",
    ("silence", "-"): "silence.end",
}
"""what the audit log calls it, where that is not kind and verb"""


class Applying:
    """store: one whose writes are kept together. told: for the audit log, such as "imported from x.yaml by root"."""

    def __init__(self, store: Store, found: Rows, plan: Plan, told: str, now: float) -> None:
        self._store = store
        self._found = found
        self._plan = plan
        self._told = told
        self._now = now
        self._host_ids = {row.name.lower(): row.id for row in found.hosts}
        self._user_ids: dict[str, int] = {}

    async def run(self) -> None:
        """Raises StorageError."""
        await self._write_users()
        await self._each("host", self._write_host)
        await self._write_channels()
        await self._each("route", self._write_route)
        await self._each("window", self._write_window)
        await self._each("silence", self._write_silence)
        await self._each("process", self._write_process)
        await self._each("job", self._write_job)
        count = {mark: sum(change.mark == mark for change in self._plan.changes) for mark in "+~-"}
        told = f"{count['+']} added, {count['~']} changed, {count['-']} removed; {self._told}"
        await self._store.audit.add([self._entry("settings.import", "", told)])

    async def _each(self, kind: Kind, write: Callable[[Change, Entry], Any]) -> None:
        for change in self._changes(kind):
            await write(change, self._entry_of(change))

    def _changes(self, *kinds: Kind) -> Iterable[Change]:
        return (change for change in self._plan.changes if change.kind in kinds)

    def _entry_of(self, change: Change, parts: Collection[str] = ()) -> Entry:
        """parts: fields that are told; none: all of them."""
        of = f" of {change.host}" if change.host else ""
        action = _ACTIONS.get((change.kind, change.mark), f"{change.kind}.{_VERBS[change.mark]}")
        kind = "user" if change.kind == "config user" else change.kind
        said = [line for line in fields(change, self._plan.kinds) if not parts or line.partition(":")[0] in parts]
        detail = "; ".join([self._told, *said])
        return self._entry(action, f"{kind} {change.name}{of}", detail)

    def _entry(self, action: str, what: str, detail: str) -> Entry:
        return Entry(time=self._now, user="", via="cli", action=action, object=what[:300], detail=detail[:1000])

    # --------------------------------------------------------------------------------------------------------- people

    async def _write_users(self) -> None:
        changes = list(self._changes("user", "config user"))
        written = [change.after.row for change in changes if change.after is not None]
        gone = {change.before.row.id for change in changes if change.after is None and change.before is not None}
        new_passwords, kept_out = set(), set()
        for change in changes:
            if change.before is not None and change.after is not None:
                before, after = change.before.row, change.after.row
                if before.password != after.password:
                    new_passwords.add(before.id)
                if not after.enabled or after.changes.get("enabled", {}).get("now") is False:
                    kept_out.add(before.id)
        sessions = await self._store.accounts.sessions()
        tokens = await self._store.accounts.tokens()
        self._user_ids = {row.name.lower(): row.id for row in self._found.users if row.id not in gone}
        names = {*self._user_ids, *(row.name.lower() for row in written)}
        await self._store.accounts.save(
            written,
            *map(self._entry_of, changes),
            ended=[row.id for row in sessions if row.user_id in new_passwords | kept_out],
            revoked=[row.id for row in tokens if row.user_id in new_passwords],
            gone=gone,
            access=[_left(row, names) for row in self._found.access.values() if names],
            flag=SETUP_DONE if names else None,
        )
        self._user_ids |= {row.name.lower(): row.id for row in written}

    # ---------------------------------------------------------------------------------------------------------- hosts

    async def _write_host(self, change: Change, added: Entry) -> None:
        assert change.after is not None and isinstance(change.after.thing, Host)
        host, row = change.after.thing, change.after.row
        before = change.before.thing if change.before is not None else Host()
        if row is None:
            agent_id = f"agent_{secrets.token_hex(6)}"
            host_id = await self._store.hosts.enrol(
                change.name, agent_id, [], None, self._now, added, label=host.label, given_tags=host.tags
            )
            self._host_ids[change.name.lower()] = host_id
        else:
            host_id = row.id
            if _differ(before, host, _WORDS):
                await self._store.hosts.describe(host_id, host.label, host.tags, self._entry_of(change, _WORDS))
        if _differ(before, host, _ACCESS):
            access = AccessRow(host_id, host.owner, host.managers, host.monitors)
            entry = replace(self._entry_of(change, _ACCESS), action="host.access")
            await self._store.accounts.save_access([access], entry)
        if _differ(before, host, _REPORTING):
            reporting = ReportingRow(host_id, host.enabled, host.min_report_interval)
            entry = replace(self._entry_of(change, _REPORTING), action="host.reporting")
            await self._store.reports.save_reporting([reporting], entry)

    async def _write_process(self, change: Change, entry: Entry) -> None:
        before: Watched | None = change.before.row if change.before is not None else None
        if change.after is None:
            assert before is not None
            await self._store.processes.delete(before.id, entry)
            return
        assert isinstance(change.after.thing, Process)
        watched = self._watched(change.name, change.host, change.after.thing, before)
        await (self._store.processes.add if before is None else self._store.processes.change)(watched, entry)

    def _watched(self, name: str, host: str, said: Process, before: Watched | None) -> Watched:
        author = self._user_ids.get(said.author.lower()) if said.author is not None else None
        bare = before or Watched(host_id=self._host_ids[host.lower()], user_id=author, name=name, created=self._now)
        return replace(
            bare,
            enabled=said.enabled,
            alert_on_down=said.alert_on_down,
            alert_on_restart=said.alert_on_restart,
            alert_on_cpu=said.alert_on_cpu,
            alert_on_memory=said.alert_on_memory,
            cpu_limit=said.cpu_threshold_pct,
            memory_limit=said.memory_threshold_pct,
        )

    async def _write_job(self, change: Change, entry: Entry) -> None:
        before: JobRow | None = change.before.row if change.before is not None else None
        if change.after is None:
            assert before is not None
            await self._store.jobs.delete(before.id, entry)
            return
        said = change.after.thing
        assert isinstance(said, Job)
        timing = Timing(said.period, said.grace, said.cron, said.timezone)
        bare = before or JobRow(
            id=0,
            host_id=self._host_ids[change.host.lower()],
            name=change.name,
            token=str(uuid.uuid4()),
            timing=timing,
            paused=said.paused,
            created=self._now,
            author=said.author,
        )
        token = said.ping_id.reveal() if said.ping_id is not None else bare.token
        job = replace(bare, token=token, timing=timing, paused=said.paused)
        await (self._store.jobs.add if before is None else self._store.jobs.change)(job, entry)

    # ------------------------------------------------------------------------------------------------- notifications

    async def _write_channels(self) -> None:
        changes = list(self._changes("channel"))
        specs = {change.name: msgspec.json.encode(change.after.row) for change in changes if change.after is not None}
        gone = [change.name for change in changes if change.after is None]
        await self._store.channels.write(specs, gone, self._now, map(self._entry_of, changes))

    async def _write_route(self, change: Change, entry: Entry) -> None:
        before: Route | None = change.before.row if change.before is not None else None
        if change.after is None:
            assert before is not None
            await self._store.routes.delete(before.id, replace(entry, object=f"route {before.id} {before.name}"))
            return
        route: Route = change.after.row
        if before is not None:
            route = replace(route, id=before.id, author=before.author, created=before.created)
        await self._store.routes.save(route, entry)

    async def _write_window(self, change: Change, entry: Entry) -> None:
        before: WindowRow | None = change.before.row if change.before is not None else None
        if change.after is None:
            assert before is not None
            await self._store.hushing.delete_window(before.id, entry)
            return
        window: WindowRow = change.after.row
        await self._store.hushing.save_window(window._replace(id=before.id if before is not None else 0), entry)

    async def _write_silence(self, change: Change, entry: Entry) -> None:
        if change.after is not None:
            await self._store.hushing.add_silence(change.after.row, entry)
            return
        assert change.before is not None
        silence: Silence = change.before.row
        await self._store.hushing.end_silence(
            replace(silence, ends=self._now), replace(entry, object=f"silence {silence.id}")
        )


def _differ(before: object, after: object, names: Iterable[str]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in names)


def _left(row: AccessRow, names: set[str]) -> AccessRow:
    """What is left of rights with these users alone; lower-case names."""

    def known(given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if given is None else tuple(name for name in given if name.lower() in names)

    owner = row.owner if row.owner is not None and row.owner.lower() in names else None
    return AccessRow(row.host_id, owner, known(row.managers), known(row.monitors))
