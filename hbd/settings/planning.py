"""What a settings file would change: compares it with what there is, and says what cannot be. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from msgspec.structs import replace

from hbd.channel_register import MOST as MOST_CHANNELS
from hbd.channels.base import ChannelType
from hbd.config import Config
from hbd.hushes import Silence as SilenceRow
from hbd.hushing import MOST_SILENCES, MOST_WINDOWS
from hbd.model import Level
from hbd.route_register import MOST_ROUTES
from hbd.routing import Route as RouteRow
from hbd.settings import gathering
from hbd.settings.changes import Change, Entry, Plan, compare, compare_lists
from hbd.settings.document import Route, Silence, Window
from hbd.settings.gathering import Rows
from hbd.settings.planning_channels import wanted_channel
from hbd.settings.planning_hosts import Hosts
from hbd.settings.planning_people import People
from hbd.settings.reading import LONGEST_SILENCE, SettingsFile, TooManyProblems, matcher_of, times_of
from hbd.store.hushing import WindowRow

TOLD = 5  # names in one note


class Planning:
    """One comparison; what cannot be is among the problems of the file afterwards.

    kinds: types of channels by key. removes: whether what the file does not name goes, in the sections that it has.
    now: Unix seconds.
    """

    def __init__(
        self,
        file: SettingsFile,
        found: Rows,
        config: Config,
        kinds: dict[str, ChannelType],
        *,
        removes: bool,
        now: float,
    ) -> None:
        self._file = file
        self._settings = file.settings
        self._found = found
        self._config = config
        self._removes = removes
        self._now = now
        self._people = People(file, found.users, config, now)
        self._channels = {name.casefold() for name in config.notification_channels}
        self.plan = Plan(kinds=kinds)
        with suppress(TooManyProblems):  # with any problem there is no plan
            self._plan_all()

    def _plan_all(self) -> None:
        self._plan_users()
        self._plan_hosts()
        self._plan_channels()
        self._plan_routes()
        self._plan_windows()
        self._plan_silences()
        self._note_unknown_channels()

    def _plan_users(self) -> None:
        people, plan = self._people, self.plan
        if self._settings.users is not None:
            compare(plan, "user", people.there(), people.wanted(), removes=self._removes)
        if self._settings.config_users is not None:
            compare(plan, "config user", people.there_of_config(), people.wanted_of_config(), removes=self._removes)
        plan.changes = [people.take(change) for change in plan.changes]
        people.check()
        unable = [change.name for change in plan.changes if _has_no_password(change)]
        self._note(unable, "no password yet, and cannot sign in: hbd passwd NAME")
        if not self._found.users and any(change.kind == "user" and change.after for change in plan.changes):
            plan.notes.append("there were no users: from now on everybody has to sign in")

    def _plan_hosts(self) -> None:
        if self._settings.hosts is None:
            return
        hosts = Hosts(self._file, self._found, self._config, self._people)
        found = compare(self.plan, "host", hosts.there(), hosts.wanted(), removes=False)
        for name, there, wanted in hosts.processes():
            compare(self.plan, "process", there, wanted, removes=self._removes, host=name)
        for name, there, wanted in hosts.jobs():
            compare(self.plan, "job", there, wanted, removes=self._removes, host=name)
        new = [change.name for change in found if change.before is None]
        hosts.check(new)
        self._note(new, "no key yet, so no agent can report: hbd agent add NAME prints one")
        ruled = [change.name for change in found if hosts.is_ruled(change)]
        self._note(ruled, "settings in the config file too: at the next reload it is as that says")

    def _plan_channels(self) -> None:
        there = {
            name.casefold(): Entry(name, gathering.channel_of(spec), spec)
            for name, spec in self._found.channels.items()
        }
        if self._settings.channels is None:
            self._channels |= there.keys()
            return
        wanted: dict[str, Entry] = {}
        lacking = []
        for name, given in self._settings.channels.items():
            key, before = f"notification_channels.{name}", there.get(name.casefold())
            if name.casefold() in wanted:
                self._file.problem(key, "given twice; names that differ in case alone are the same")
                continue
            spec, missing, flaws = wanted_channel(
                before.name if before else name, given, before.row if before else None, self.plan.kinds, self._now
            )
            for where, reason in flaws:
                self._file.problem(f"{key}.{where}" if where else key, reason)
            if spec.owner is not None:
                spec = replace(spec, owner=self._people.known_as(f"{key}.owner", spec.owner))
            wanted[name.casefold()] = Entry(spec.name, gathering.channel_of(spec), spec)
            lacking += [f"{spec.name} ({', '.join(missing)})"] if missing else []
        found = compare(self.plan, "channel", there, wanted, removes=self._removes)
        self._require_room("notification_channels", "channel", len(there), MOST_CHANNELS)
        gone = {change.name for change in found if change.after is None}
        self._channels |= {*there, *wanted} - {name.casefold() for name in gone}
        self.plan.changes += self._people.leave_channels(gone)
        self._note(lacking, "secrets that the file does not have; they send nothing until these are given")

    # ---------------------------------------------------------------------------------------- routes, windows, silences

    def _plan_routes(self) -> None:
        if self._settings.routes is None or self._file.is_bad("notification_routes"):
            return
        there = [Entry(route.name, gathering.route_of(route), route) for route in self._found.routes]
        rows = [_route(route, self._now) for route in self._settings.routes]
        wanted = [Entry(row.name, gathering.route_of(row), row) for row in rows]
        compare_lists(self.plan, "route", there, wanted, removes=self._removes)
        self._require_room("notification_routes", "route", len(there), MOST_ROUTES)

    def _plan_windows(self) -> None:
        if self._settings.maintenance is None or self._file.is_bad("maintenance"):
            return
        there = [Entry(row.name, gathering.window_of(row), row) for row in self._found.windows]
        rows = [_window(window, self._now) for window in self._settings.maintenance]
        wanted = [Entry(row.name, gathering.window_of(row), row) for row in rows]
        compare_lists(self.plan, "window", there, wanted, removes=self._removes)
        self._require_room("maintenance", "window", len(there) + len(self._config.maintenance), MOST_WINDOWS)

    def _plan_silences(self) -> None:
        if self._settings.silences is None or self._file.is_bad("silences"):
            return
        there = [Entry(one.reason, gathering.silence_of(one), one) for one in self._found.silences]
        rows = [_silence(silence, self._now) for silence in self._settings.silences]
        for index, row in enumerate(rows):
            if row.ends > self._now + LONGEST_SILENCE:
                self._file.problem(f"silences[{index}].ends", "at most a year from now")
        running = [row for row in rows if row.ends > self._now]
        wanted = [Entry(row.reason, gathering.silence_of(row), row) for row in running]
        # A silence ends and is never changed: what differs is another one.
        compare_lists(self.plan, "silence", there, wanted, removes=self._removes, by_name=False)
        self._require_room("silences", "silence", len(there), MOST_SILENCES)
        if over := len(rows) - len(running):
            self.plan.notes.append(f"{over} of the silences {'is' if over == 1 else 'are'} over by now, and left out")

    def _require_room(self, key: str, kind: str, there: int, most: int) -> None:
        turns = [{"+": 1, "~": 0, "-": -1}[change.mark] for change in self.plan.changes if change.kind == kind]
        if turns.count(1) and there + sum(turns) > most:
            self._file.problem(key, f"there may be {most}, and these are {there + sum(turns)}")

    # ---------------------------------------------------------------------------------------------------------- notes

    def _note(self, names: list[str], lacking: str) -> None:
        if names:
            more = f" and {len(names) - TOLD} more" if names[TOLD:] else ""
            self.plan.notes.append(f"{', '.join(names[:TOLD])}{more}: {lacking}")

    def _note_unknown_channels(self) -> None:
        unknown: dict[str, None] = {}
        for name in self._named_channels():
            if name.casefold() not in self._channels:
                unknown[name] = None
        self._note(list(unknown), "no such channel is there or in the file, though it is named")

    def _named_channels(self) -> Iterable[str]:
        settings = self._settings
        for user in (settings.users or {}).values():
            yield from user.notification_channels
        for of_config in (settings.config_users or {}).values():
            yield from of_config.notification_channels or ()
        for route in settings.routes or ():
            yield from route.channels
        for channel in (settings.channels or {}).values():
            if isinstance(channel.get("fallback"), str):
                yield channel["fallback"]


def _has_no_password(change: Change) -> bool:
    if change.kind != "user" or change.before is not None or change.after is None:
        return False
    return change.after.row.source == "local" and change.after.row.password is None


def _route(route: Route, now: float) -> RouteRow:
    return RouteRow(
        name=(route.name or "").strip(),
        matcher=matcher_of(route),
        channels=tuple(dict.fromkeys(route.channels)),
        min_level=Level(route.min_level),
        after=route.after,
        author=route.author,
        created=now,
    )


def _window(window: Window, now: float) -> WindowRow:
    return WindowRow(0, (window.name or "").strip(), matcher_of(window), times_of(window).texts, window.author, now)


def _silence(silence: Silence, now: float) -> SilenceRow:
    assert silence.reason is not None and silence.starts is not None and silence.ends is not None
    return SilenceRow(
        id=0,
        matcher=matcher_of(silence, silence.levels),
        reason=silence.reason.strip(),
        author=silence.author,
        created=now,
        starts=silence.starts,
        ends=silence.ends,
    )
