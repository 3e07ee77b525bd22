"""Sorts the notices of a channel: which are to be told now, which wait and why, which are done with. Pure."""

from __future__ import annotations

from collections.abc import Callable

from hbd.channel_line import Choice, Line
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.notice_words import INSTEAD, delivery, why_in_words
from hbd.notices import Key, Notice, Notices
from hbd.routing import Router, at_least, held
from hbd.store.notices import Delivery

REPEATS_SECONDS = 5.0
NOT_TAKEN = "not taken for"  # how the reasons begin of what was given up after a while
GIVE_UP_SECONDS = 24 * 3600.0


class Findings:
    """ready, repeated: to be told, and to be told once more. refreshed: open, for a service that forgets what it does
    not hear again. The rest is to be written down: closed, owed and dead as in ``Notices``. next_due: monotonic."""

    def __init__(self) -> None:
        self.ready: list[Notice] = []
        self.repeated: list[Notice] = []
        self.refreshed: list[Notice] = []
        self.closed: list[Key] = []
        self.owed: list[Key] = []
        self.dead: dict[Key, str] = {}
        self.log: list[Delivery] = []
        self.next_due = float("inf")


class Sorter:
    def __init__(self, notices: Notices, router: Router, why_held: Callable[[Notice], Held | None]) -> None:
        """why_held: see ``Notifier``."""
        self._notices = notices
        self._router = router
        self._held = why_held

    def sort(self, line: Line, choice: Choice, now: Moment) -> Findings:
        found = Findings()
        quiet_until = _quiet_until(choice, now)
        newly_held: dict[tuple[str, str], list[Notice]] = {}
        for notice in self._notices.news(line.name):
            if notice.closed:
                if notice.told is None and notice.key in line.held:
                    reason = f"over before it was told: {line.held[notice.key]}"
                    found.log.append(delivery(line.name, "dropped", [notice], now, detail=reason))
                found.closed.append(notice.key)
                continue
            if not notice.over and now.mono < max(notice.due, notice.after):
                found.next_due = min(found.next_due, max(notice.due, notice.after))
                continue
            why = self._why_held(notice, choice, quiet_until)
            if why is None:
                line.held.pop(notice.key, None)
                if notice.heard or self._is_named(notice):
                    found.ready.append(notice)
                else:
                    found.closed.append(notice.key)
                    detail = "nothing names this channel for it any more"
                    found.log.append(delivery(line.name, "dropped", [notice], now, detail=detail))
                continue
            if why.kind == "quiet hours" and not notice.owed:
                found.owed.append(notice.key)
            if line.held.get(notice.key) != why.kind:
                line.held[notice.key] = why.kind
                newly_held.setdefault((why.kind, why_in_words(why)), []).append(notice)
        for (_, reason), notices in newly_held.items():
            found.log.append(delivery(line.name, "held", notices, now, detail=reason))
        _stop_trying(line, found, now)
        if now.mono >= line.repeats_at or found.ready:
            line.repeats_at = now.mono + REPEATS_SECONDS
            self._sort_told(line, choice, quiet_until, found, now)
        return found

    def why_held(self, notice: Notice, choice: Choice, now: Moment) -> Held | None:
        """Why an open problem is not told now, for whoever asks."""
        if not notice.over and now.mono < max(notice.due, notice.after):
            left = max(notice.due, notice.after) - now.mono
            if notice.after > notice.due:
                return held("escalation", notice.why, now.wall + left)
            return held("settling", "it may pass soon", now.wall + left)
        return self._why_held(notice, choice, _quiet_until(choice, now))

    def _is_named(self, notice: Notice) -> bool:
        """Whether the channel is still one of those that are to be told, by whoever has become so meanwhile."""
        if notice.why.startswith(INSTEAD):
            return True
        targets = self._router.targets(notice.host_id, notice.path, notice.worst)
        return any(target.channel == notice.channel for target in targets)

    def _why_held(self, notice: Notice, choice: Choice, quiet_until: float | None) -> Held | None:
        if not choice.enabled:
            return held("off", "the channel is switched off")
        loud = notice.worst if notice.told is None else max((notice.told, notice.level), key=_loudness)
        if quiet_until is not None and not at_least(loud, choice.quiet_level):
            return held("quiet hours", "quiet hours of the channel", quiet_until)
        if notice.over:
            return None  # good news, and whoever was told waits for it
        if not notice.heard and not at_least(notice.level, choice.min_level):
            return held("level", f"below {choice.min_level}, the least that the channel is told")
        return self._held(notice)

    def _sort_told(self, line: Line, choice: Choice, quiet_until: float | None, found: Findings, now: Moment) -> None:
        """What was told and is still so: to be said again after a while, or to be kept alive."""
        every = choice.repeat
        refresh = line.channel.refresh if line.channel is not None else None
        fresh = refresh is not None and now.mono - line.refreshed >= refresh
        if not every and not fresh:
            return
        for notice in self._notices.of_channel(line.name):
            if notice.told is None or notice.over or not notice.settled or notice.dead:
                continue
            if every and now.mono - notice.told_mono >= every:
                if self._why_held(notice, choice, quiet_until) is None:
                    found.repeated.append(notice)
            elif fresh:
                found.refreshed.append(notice)


def _quiet_until(choice: Choice, now: Moment) -> float | None:
    return choice.quiet.holds(now.wall) if choice.quiet is not None else None


def _stop_trying(line: Line, found: Findings, now: Moment) -> None:
    if line.failing is None or now.mono - line.failing.mono < GIVE_UP_SECONDS:
        return
    late = [notice for notice in found.ready if now.wall - notice.at >= GIVE_UP_SECONDS]
    if late:
        reason = f"{NOT_TAKEN} {GIVE_UP_SECONDS / 3600:.0f} h: {line.last_error}"
        found.dead |= {notice.key: reason for notice in late}
        found.ready = [notice for notice in found.ready if notice.key not in found.dead]
        found.log.append(delivery(line.name, "dead", late, now, detail=reason))


def _loudness(level: Level) -> int:
    return 2 if level is Level.CRITICAL else 1 if level is not Level.OK else 0
