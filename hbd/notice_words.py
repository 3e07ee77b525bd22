"""What is said of notices: in a message to a channel, and in the log of what was sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from hashlib import blake2b

from hbd.alerts import Alert, Alerts
from hbd.channels.base import Item, Message, worst
from hbd.channels.words import compose
from hbd.hosts import Hosts
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.notices import Notice
from hbd.routing import Router
from hbd.store.notices import Delivery, Outcome
from hbd.store.notices import Item as LogItem

INSTEAD = "instead of "  # how it is said that a channel stands in for another


class NoticeWords:
    def __init__(self, alerts: Alerts, hosts: Hosts, router: Router) -> None:
        self._alerts = alerts
        self._hosts = hosts
        self._router = router

    def message(self, channel: str, zone: tzinfo, items: tuple[Item, ...], now: Moment) -> Message:
        """Said twice it is the same message, with the same id. zone: in which times are given."""
        title, text = compose(items, "alert", self._router.config.base_url, zone)
        said = "\n".join([channel, *(f"{item.id} {item.number} {item.level}" for item in items)])
        return Message(id=message_id(said), items=items, title=title, text=text, level=worst(items), sent=now.wall)

    def item(self, notice: Notice, *, again: bool = False) -> Item:
        """again: it was told before, and is still so."""
        alert = self._alerts.get(notice.host_id, notice.path)
        host = self._hosts.by_id(notice.host_id)
        base = self._router.config.base_url
        return Item(
            id=notice.problem,
            host=notice.host,
            metric=notice.path,
            name=_display(notice.path, alert),
            number=notice.number,
            level=notice.level,
            before=notice.told,
            value="" if notice.value is None else f"{notice.value:.10g}",
            reason=notice.reason,
            since=notice.opened,
            at=notice.at,
            url=f"{base.rstrip('/')}/alerts?host={notice.host}" if base else "",
            note=_note(notice, again=again),
            tags=tuple(host.tags) if host is not None else (),
            owner=host.owner if host is not None else None,
        )


def about_hbd(channel: str, title: str, text: str, level: Level, now: Moment) -> Message:
    """A message that is about no host."""
    name = message_id(f"{channel}\n{title}\n{now.wall}")
    return Message(id=name, kind="notice", title=title, text=text, level=level, sent=now.wall)


def message_id(said: str) -> str:
    return blake2b(said.encode(errors="surrogatepass"), digest_size=10).hexdigest()


def delivery(
    channel: str,
    outcome: Outcome,
    notices: Iterable[Notice],
    now: Moment,
    *,
    message: Message | None = None,
    detail: str = "",
) -> Delivery:
    """What became of notices, for the log. message: in which they were told."""
    return Delivery(
        time=now.wall,
        channel=channel,
        outcome=outcome,
        message=message.id if message is not None else "",
        title=message.title if message is not None else "",
        detail=detail,
        items=tuple(
            LogItem(notice.host_id, notice.path, notice.problem, notice.level, notice.number) for notice in notices
        ),
    )


def why_in_words(why: Held) -> str:
    by = f" by {why.by}" if why.by else ""
    return f"{why.kind}{by}: {why.reason}" if why.id is not None or why.by else why.reason


def _display(path: str, alert: Alert | None) -> str:
    if alert is not None and alert.rule is not None and alert.rule.threshold.display:
        return alert.rule.threshold.display
    return path


def _note(notice: Notice, *, again: bool) -> str:
    notes = []
    if notice.flapping:
        notes.append("flapping: it changes often; its end is told when it is calm")
    elif notice.told_flapping:
        notes.append("no longer flapping")
    if notice.over and notice.told is None:
        notes.append(f"was {notice.worst}, and could not be told then")
    if again:
        notes.append(f"still so, message {notice.number}")
    if notice.told is None and notice.why.startswith(INSTEAD):
        notes.append(notice.why)
    return "; ".join(notes)
