"""The hosts of a settings file with their watched processes and jobs, against those that there are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from hbd.agent_register import checked_label, checked_tags
from hbd.config import Config
from hbd.config.structs import Plan, Secret
from hbd.jobs import MOST_JOBS
from hbd.settings import gathering
from hbd.settings.changes import Change, Entry
from hbd.settings.document import Host, Job
from hbd.settings.gathering import Rows
from hbd.settings.planning_people import People
from hbd.settings.reading import SettingsFile, ping_id_of, timing_of

_RULED = ("owner", "managers", "monitors", "enabled", "min_report_interval")
"""what the config file may say of a host as well"""

OfHost = tuple[str, Mapping[str, Entry], Mapping[str, Entry]]
"""(name of a host, what there is on it, what is wanted)"""


class Hosts:
    def __init__(self, file: SettingsFile, found: Rows, config: Config, people: People) -> None:
        self._file = file
        self._config = config
        self._people = people
        self._rows = {row.name.lower(): row for row in found.hosts}
        self._things = {name.lower(): host for name, host in gathering.hosts_of(found).items()}
        self._processes = _by_host((watched.host_id, watched.name, watched) for watched in found.processes)
        self._jobs = _by_host((job.host_id, job.name, job) for job in found.jobs)
        self._tokens = {job.token: (job.host_id, job.name) for job in found.jobs}

    def there(self) -> dict[str, Entry]:
        return {name: Entry(row.name, _alone(self._things[name]), row) for name, row in self._rows.items()}

    def wanted(self) -> dict[str, Entry]:
        found = {}
        for name, host in self._named():
            row = self._rows.get(name.lower())
            found[name.lower()] = Entry(row.name if row is not None else name, self._host(f"hosts.{name}", host), row)
        return found

    def _named(self) -> Iterator[tuple[str, Host]]:
        """Those of the file that could be read."""
        for name, host in (self._file.settings.hosts or {}).items():
            if not self._file.is_bad(f"hosts.{name}"):
                yield name, host

    def _host(self, key: str, host: Host) -> Host:
        def known(part: str, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
            if names is None:
                return None
            found = (self._people.known_as(f"{key}.{part}[{index}]", name) for index, name in enumerate(names))
            return tuple(dict.fromkeys(found))

        return replace(
            _alone(host),
            label=checked_label(host.label) or "",
            tags=tuple(checked_tags(host.tags) or ()),
            owner=self._people.known_as(f"{key}.owner", host.owner) if host.owner is not None else None,
            managers=known("managers", host.managers),
            monitors=known("monitors", host.monitors),
        )

    # --------------------------------------------------------------------------------------------- processes and jobs

    def processes(self) -> Iterator[OfHost]:
        limit = next((plan.limit for plan in self._config.plans.values()), Plan().limit)
        for name, host in self._named():
            key, rows = f"hosts.{name}.processes", self._of(name, self._processes)
            things = self._there(name).processes
            wanted = {}
            for title, process in host.processes.items():
                before = things.get(title)
                if before is not None:
                    process = replace(process, author=before.author)
                elif process.author is not None:
                    process = replace(process, author=self._people.known_as(f"{key}.{title}.author", process.author))
                wanted[title] = Entry(title, process, rows.get(title))
            self._require_room(key, rows, wanted, limit)
            yield name, {title: Entry(title, things[title], row) for title, row in rows.items()}, wanted

    def jobs(self) -> Iterator[OfHost]:
        for name, host in self._named():
            key, rows = f"hosts.{name}.jobs", self._of(name, self._jobs)
            things = self._there(name).jobs
            wanted = {}
            for title, job in host.jobs.items():
                row = rows.get(title)
                wanted[title] = Entry(title, self._job(f"{key}.{title}", job, things.get(title), row), row)
            self._require_room(key, rows, wanted, MOST_JOBS)
            yield name, {title: Entry(title, things[title], row) for title, row in rows.items()}, wanted

    def _job(self, key: str, job: Job, before: Job | None, row: Any) -> Job:
        """A new one may have no address yet; one that is there keeps its own where the file says none."""
        timing, token = timing_of(job), ping_id_of(job)
        if token is not None:
            mine = (row.host_id, row.name) if row is not None else (0, key)
            if self._tokens.setdefault(token, mine) != mine:
                self._file.problem(f"{key}.ping_id", "another job has it")
        kept = before.ping_id if before is not None else None
        return replace(
            job,
            cron=timing.cron,
            timezone=timing.timezone,
            author=before.author if before is not None else job.author,
            ping_id=Secret(token) if token is not None else kept,
        )

    def _there(self, name: str) -> Host:
        return self._things.get(name.lower()) or Host()

    def _of(self, name: str, rows: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        row = self._rows.get(name.lower())
        return rows.get(row.id, {}) if row is not None else {}

    def _require_room(self, key: str, there: Mapping[str, Any], wanted: Mapping[str, Entry], most: int) -> None:
        if wanted.keys() - there.keys() and (count := len(there.keys() | wanted.keys())) > most:
            self._file.problem(key, f"there may be {most} on a host, and these are {count}")

    # ---------------------------------------------------------------------------------------------------------- after

    def check(self, new: list[str]) -> None:
        """new: names of the hosts that are not there yet."""
        most, count = self._config.limits.max_hosts, len(self._rows) + len(new)
        if new and count > most:
            self._file.problem("hosts", f"there may be {most} hosts, and these are {count}")

    def is_ruled(self, change: Change) -> bool:
        """Whether the config file says something of it that is said here too."""
        section = self._config.hosts_by_name.get(change.name.lower())
        if section is None or change.after is None:
            return False
        host = change.after.thing
        return any(getattr(section, part) is not None and getattr(host, part) is not None for part in _RULED)


def _alone(host: Host) -> Host:
    return replace(host, processes={}, jobs={})


def _by_host(found: Iterator[tuple[int, str, Any]]) -> dict[int, dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for host_id, name, row in found:
        rows.setdefault(host_id, {})[name] = row
    return rows
