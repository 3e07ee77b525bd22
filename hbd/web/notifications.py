"""What became of notifications, over HTTP: the log, and what was given up."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hbd.access import Action, may, visible
from hbd.channel_register import may_change
from hbd.channels.spec import ChannelSpec
from hbd.errors import NotFound
from hbd.notices import Notice
from hbd.store.notices import Delivery
from hbd.web import schemas
from hbd.web.call import Call


class NotificationsQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many entries.")] = 100
    before: Annotated[
        Annotated[int, Meta(ge=1, le=2**63 - 1)] | None,
        Meta(description="Only entries with a smaller id: the next page."),
    ] = None
    channel: Annotated[str, Meta(max_length=64, description="Only of this channel.")] = ""
    outcome: Annotated[
        Literal["", "sent", "failed", "held", "dropped", "dead"], Meta(description="Only what became of it this.")
    ] = ""
    host: Annotated[str, Meta(max_length=253, description="Only what was about this host.")] = ""


async def index(call: Call) -> schemas.NotificationPage:
    entries, following = await found(call, call.query)
    return schemas.NotificationPage(entries=entries, next=following)


async def found(call: Call, query: NotificationsQuery) -> tuple[list[schemas.NotificationEntry], int | None]:
    """Of the channels that are the caller's own, of all for admins; newest first, and ``before`` of the next page."""
    specs = _own(call)
    if query.channel:
        specs = [spec for spec in specs if spec.name.lower() == query.channel.lower()]
    names = [spec.name for spec in specs]
    all_of_them = may(call.identity, Action.ADMIN).allowed
    since = {} if all_of_them else {spec.name: spec.made_at for spec in specs if spec.made_at}
    hosts = visible(call.identity, call.parts.hosts)
    host_id = None
    if query.host:
        host_id = next((host.id for host in hosts if host.name.lower() == query.host.lower()), None)
        if host_id is None:
            return [], None
    log = await call.parts.store.notices.log(
        query.limit + 1, before=query.before, channels=names, since=since, outcome=query.outcome, host_id=host_id
    )
    shown = log[: query.limit]
    by_id = {host.id: host.name for host in hosts}
    return [_entry(one, by_id) for one in shown], shown[-1].id if len(log) > len(shown) else None


def own_channels(call: Call) -> list[str]:
    """Names of the channels whose messages the caller may see: their own, for admins all."""
    return [spec.name for spec in _own(call)]


def _own(call: Call) -> list[ChannelSpec]:
    if call.identity.hosts is not None:  # a token for some hosts: messages are about any
        return []
    return [spec for spec in call.parts.channels.all() if may_change(call.identity, spec)]


async def dead(call: Call) -> list[schemas.DeadNotice]:
    return listed_dead(call)


def listed_dead(call: Call) -> list[schemas.DeadNotice]:
    """What was given up on channels that are the caller's own, the newest first."""
    names = set(own_channels(call))
    return [_dead(notice) for notice in call.parts.notifications.notices.dead() if notice.channel in names]


async def resend(call: Call) -> schemas.Done:
    notice = _named(call)
    await call.parts.notifications.notifier.resend(notice.key)
    call.parts.audit.note(call.entry("notification.resend", f"channel {notice.channel}", detail=notice.problem))
    return schemas.Done()


async def dismiss(call: Call) -> schemas.Done:
    notice = _named(call)
    await call.parts.notifications.notifier.dismiss(notice.key)
    call.parts.audit.note(call.entry("notification.dismiss", f"channel {notice.channel}", detail=notice.problem))
    return schemas.Done()


def _named(call: Call) -> Notice:
    problem, _, channel = call.path["id"].partition(":")
    notice = call.parts.notifications.notices.get((problem, channel))
    if notice is None or not notice.dead or channel not in own_channels(call):
        raise NotFound(f"Notification '{call.path['id']}' not found")
    return notice


def _entry(entry: Delivery, names: dict[int, str]) -> schemas.NotificationEntry:
    seen = [item for item in entry.items if item.host_id in names]
    return schemas.NotificationEntry(
        id=entry.id,
        time=entry.time,
        channel=entry.channel,
        outcome=entry.outcome,
        detail=entry.detail,
        message_id=entry.message,
        hosts=sorted({names[item.host_id] for item in seen}),
        problems=[item.problem for item in seen],
        text=entry.title,
    )


def _dead(notice: Notice) -> schemas.DeadNotice:
    return schemas.DeadNotice(
        id=f"{notice.problem}:{notice.channel}",
        channel=notice.channel,
        hostname=notice.host,
        metric_path=notice.path,
        level=notice.level,
        reason=notice.reason,
        since=notice.opened,
        time=notice.at,
        why=notice.dead,
    )
