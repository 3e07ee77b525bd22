"""Whether and how often a host may report, where that was changed here and not in the config."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from hbd.config import Config, HostConfig, host_settings
from hbd.hosts import Host
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.reports import ReportingRow


class Terms(NamedTuple):
    """min_report_interval: the least seconds between two reports of an agent of another system; 0: any."""

    enabled: bool
    min_report_interval: float


class Reporting:
    def __init__(self, store: Store) -> None:
        self._store = store.reports
        self._rows: dict[int, ReportingRow] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Know what was changed here. Raises StorageError."""
        self._rows = {row.host_id: row for row in await self._store.reporting()}

    async def configure(self, config: Config, hosts: Iterable[Host]) -> None:
        """A config was read again: what it names of a host goes back to what it says. Raises StorageError."""
        async with self._changing:
            changed = []
            for host in hosts:
                row = self._rows.get(host.id)
                section = config.hosts_by_name.get(host.name.lower()) or HostConfig()
                if row is not None and (left := _overruled(row, section)) != row:
                    changed.append(left)
            if changed:
                await self._store.save_reporting(changed)
                self._rows |= {row.host_id: row for row in changed}

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Nothing is changed otherwise while the block writes; then it is what is on disk. Raises StorageError."""
        async with self._changing:
            yield
            await self.load()

    def of(self, host: Host, config: Config) -> Terms:
        """What holds for a host: what was changed here, else what the config says."""
        row, settings = self._rows.get(host.id, ReportingRow(host.id)), host_settings(config, host.name)
        return Terms(
            settings.enabled if row.enabled is None else row.enabled,
            settings.min_report_interval if row.min_interval is None else row.min_interval,
        )

    async def change(
        self, host: Host, entry: Entry, *, enabled: bool | None = None, min_report_interval: float | None = None
    ) -> None:
        """Change what is given; None leaves it. The caller has it put into force (``of``). Raises StorageError."""
        async with self._changing:
            row = self._rows.get(host.id, ReportingRow(host.id))
            row = row._replace(
                enabled=row.enabled if enabled is None else enabled,
                min_interval=row.min_interval if min_report_interval is None else min_report_interval,
            )
            await self._store.save_reporting([row], entry)
            self._rows[host.id] = row

    def forget(self, host: Host) -> None:
        """A host is gone."""
        self._rows.pop(host.id, None)


def _overruled(row: ReportingRow, section: HostConfig) -> ReportingRow:
    """What the config does not say."""
    return ReportingRow(
        row.host_id,
        None if section.enabled is not None else row.enabled,
        None if section.min_report_interval is not None else row.min_interval,
    )
