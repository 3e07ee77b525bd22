"""The live feed: changes of hosts, samples and messages fanned out to whoever has a page open.

What changes between two ticks is gathered by key, so that the newest word of each host and plugin is all that is kept.
At a tick it is put into bytes once for each distinct view and handed to every subscriber with that view. A subscriber
whose last bytes have not left yet is *behind*: its changes wait, again by key, and go out when it has caught up; one
that takes longer than ``STALL_SECONDS`` is told to come again (1013). So nobody slows anybody else, and what waits for
one subscriber is bounded by the number of hosts and plugins.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from hbd.access import EVERYBODY
from hbd.alerts import AlertEvent
from hbd.audience import Audience
from hbd.errors import Busy
from hbd.hosts import Host, Hosts
from hbd.model import Message, Sample
from hbd.stats import Stats
from hbd.subscription import Channel, Frames, Key, Subscription, View, Who, seer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.15
CATCH_UP_SECONDS = 0.02  # how often those who are behind are looked at
STALL_SECONDS = 10.0
MAX_BUFFERED_BYTES = 32 * 1024  # handed to one connection before it has taken what it was handed before
MAX_PENDING = 20_000  # changes that wait for one subscriber
MAX_MESSAGES_PER_TICK = 500
MAX_OF_USER = 100  # connections: pages left open, and scripts

GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013
SIGN_IN = 4401

MESSAGE: Key = ("message", 0, "")


class _Change:
    """Something new. host is None for the daemon's own messages. Its words are found once, when somebody wants them."""

    __slots__ = ("_words", "host", "key", "value")

    def __init__(self, key: Key, host: Host | None, value: Sample | AlertEvent | Message | None = None) -> None:
        self.key = key
        self.host = host
        self.value = value
        self._words: bytes | None = None

    def words(self, frames: Frames) -> bytes:
        if self._words is None:
            if isinstance(self.value, Message):
                self._words = frames.message(self.value)
            else:
                assert self.host is not None
                if isinstance(self.value, AlertEvent):
                    self._words = frames.alert(self.host, self.value)
                else:
                    self._words = frames.plugin(self.host, self.value) if self.value else frames.host(self.host)
        return self._words


class _Changes(NamedTuple):
    """What is new. by_host: states by host id."""

    by_host: dict[int, list[_Change]]
    messages: list[_Change]

    def __bool__(self) -> bool:
        return bool(self.by_host or self.messages)


class _News(NamedTuple):
    """What one view gets at one tick, in words."""

    states: dict[Key, bytes]
    messages: list[bytes]

    def words(self) -> list[bytes]:
        return [*self.states.values(), *self.messages]


class Feed:
    """``host``, ``plugin`` and ``message`` never wait and never raise; ``run`` does the work. Times are monotonic."""

    def __init__(self, hosts: Hosts, frames: Frames, stats: Stats, max_subscribers: int = 2_000) -> None:
        self._hosts = hosts
        self._frames = frames
        self._stats = stats
        self.max_subscribers = max_subscribers
        self._groups: dict[View, set[Subscription]] = {}
        self._behind: dict[Subscription, None] = {}
        self._snapshots: dict[View, list[bytes]] = {}
        self._audience = Audience(hosts)
        hosts.on_people = self._people
        self._changed_hosts: dict[int, None] = {}
        self._changed_plugins: dict[tuple[int, str], Sample] = {}
        self._changed_alerts: dict[tuple[int, str], AlertEvent] = {}
        self._messages: deque[Message] = deque(maxlen=MAX_MESSAGES_PER_TICK)
        self._everybody: set[Subscription] = set()
        self._of_user: Counter[str] = Counter()
        self._news_came = asyncio.Event()
        self._shut = False
        stats.describe("feed_messages_total", "Words handed to subscribers of the live feed.")
        stats.describe("feed_coalesced_total", "Words that were not sent because newer ones came.")
        stats.describe("feed_slow_total", "Subscribers that were sent away because they could not follow.")
        stats.describe("feed_refused_total", "Connections that were refused, as their user had too many.")
        stats.describe("feed_snapshots_total", "Snapshots built; shared by all who come with the same view.")
        stats.describe("feed_errors_total", "Changes that could not be sent, and rounds that failed.")
        stats.gauge("feed_subscribers", "Open connections to the live feed.", lambda: len(self._everybody))
        stats.gauge("feed_behind", "Subscribers that have not taken what they were sent.", lambda: len(self._behind))

    def __len__(self) -> int:
        return len(self._everybody)

    # ------------------------------------------------------------------------------------------------ what is new

    def host(self, host_id: int) -> None:
        """The state of a host, or anything else its readers see, has changed."""
        self._frames.forget(host_id)
        if self._everybody:
            self._changed_hosts[host_id] = None
            self._news_came.set()

    def plugin(self, host_id: int, sample: Sample) -> None:
        """A sample came in; of several in one tick the newest counts. The host's own numbers change with it."""
        self.host(host_id)
        if self._everybody:
            key = (host_id, sample.plugin)
            known = self._changed_plugins.get(key)
            if known is None or known.time <= sample.time:
                self._changed_plugins[key] = sample

    def alert(self, event: AlertEvent) -> None:
        """Another level is told of a path; the host's own counts change with it."""
        self.host(event.host_id)
        if self._everybody:
            self._changed_alerts[event.host_id, event.path] = event

    def message(self, message: Message) -> None:
        if self._everybody:
            if len(self._messages) == MAX_MESSAGES_PER_TICK:
                self._stats.count("feed_coalesced_total")
            self._messages.append(message)
            self._news_came.set()

    # ------------------------------------------------------------------------------------------------ who listens

    @property
    def full(self) -> bool:
        """Whether nobody else gets in now."""
        return self._shut or len(self._everybody) >= self.max_subscribers

    def require_room(self, user: str) -> None:
        """Raises Busy when somebody of this name does not get in now; "" where nobody has one."""
        if self.full:
            raise Busy("Too many open connections to the live feed")
        if user and self._of_user[user] >= MAX_OF_USER:
            self._stats.count("feed_refused_total")
            raise Busy(f"You have {MAX_OF_USER} open connections to the live feed already")

    def subscribe(
        self, channel: Channel, view: View, now: float, who: Who = lambda: EVERYBODY, user: str = ""
    ) -> Subscription:
        """Take a subscriber in and start its snapshot. Raises Busy when there is no room.

        who: whom it stands for, as long as it stands for anybody; see ``review``. user: as for ``require_room``.
        """
        self.require_room(user)
        self._settle(now)
        subscription = Subscription(channel, view, who, user)
        self._everybody.add(subscription)
        if user:
            self._of_user[user] += 1
        self._enter(subscription, view, now)
        return subscription

    def narrow(self, subscription: Subscription, view: View) -> None:
        """Show another view from the next tick on, beginning with its snapshot."""
        subscription.wanted = view
        self._news_came.set()

    def tell(self, subscription: Subscription, packed: Iterable[bytes], now: float) -> None:
        """Packed words for this subscriber alone, in order with all else."""
        if not subscription.closed:
            subscription.backlog.extend(packed)
            self._start(subscription, now)

    def leave(self, subscription: Subscription) -> None:
        """Its connection is gone."""
        self._silence(subscription)
        if subscription in self._everybody:
            self._everybody.discard(subscription)
            self._of_user -= Counter((subscription.user,))
        if not self._everybody:
            self._take_changes()
            self._audience.settle()
            self._snapshots.clear()

    def _people(self, host: Host) -> None:
        """A host came or went, or others may see it than before; see ``_settle``."""
        self._audience.changed(host)
        self.host(host.id)

    def _settle(self, now: float) -> None:
        """Tell everybody who lost hosts that they are gone; what waits for them is made anew, for these are in it."""
        lost = self._audience.settle()
        if lost:
            self._snapshots.clear()
        for view, host_ids in lost.items():
            packed = self._frames.pack([self._frames.gone(host_id) for host_id in host_ids], view.batch)
            for subscription in list(self._groups.get(view, ())):
                if subscription.behind_since is None and not subscription.channel.buffered():
                    for data in packed:
                        subscription.channel.write(data)
                else:
                    subscription.gone.update(dict.fromkeys(host_ids))
                    self._begin_again(subscription, view, now)

    def review(self, now: float) -> None:
        """Ask of every subscriber whom it stands for now: who has lost the right to be here goes, at once."""
        for subscription in list(self._everybody):
            if subscription.closed:
                continue
            identity = subscription.who()
            if identity is None:
                self.send_away(subscription, SIGN_IN, "Sign in again")
                continue
            identity = seer(identity)
            if subscription.wanted is not None:
                subscription.wanted = msgspec.structs.replace(subscription.wanted, identity=identity)
            before = subscription.view
            if before.identity != identity:
                view = msgspec.structs.replace(before, identity=identity)
                lost = self._audience.ids(before) - self._audience.ids(view)
                subscription.gone.update(dict.fromkeys(lost))
                self._begin_again(subscription, view, now)

    def _begin_again(self, subscription: Subscription, view: View, now: float) -> None:
        """Drop what waits for a subscriber; tell it what is gone, and give it the snapshot of a view."""
        self._silence(subscription)
        gone = [self._frames.gone(host_id) for host_id in subscription.gone]
        subscription.backlog.extend(self._frames.pack(gone, view.batch))
        self._enter(subscription, view, now)

    def close(self) -> None:
        """Send everybody away and let nobody in any more: the daemon stops."""
        self._shut = True
        for subscription in list(self._everybody):
            self.send_away(subscription, GOING_AWAY, "The daemon is stopping")

    # ------------------------------------------------------------------------------------------------ the work

    async def run(self) -> None:
        """Tick for ever: at once when something changes after a pause, else every TICK_SECONDS; sleep without news."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news_came.wait()
            self._news_came.clear()
            due = loop.time() + TICK_SECONDS
            self._round(self.tick, loop.time())
            while (wait := due - loop.time()) > 0:
                await asyncio.sleep(min(wait, CATCH_UP_SECONDS) if self._behind else wait)
                self._round(self.catch_up, loop.time())
            if self._behind:
                self._news_came.set()

    def _round(self, work: Callable[[float], None], now: float) -> None:
        try:
            work(now)
        except Exception:
            self._stats.count("feed_errors_total")
            log.exception("A round of the live feed failed")

    def tick(self, now: float) -> None:
        """Hand everybody what changed since the last tick."""
        self._settle(now)
        changes = self._take_changes()
        if changes:
            self._snapshots.clear()
        for view, group in list(self._groups.items()) if changes else ():
            news = self._news(view, changes)
            words = news.words()
            if not words:
                continue
            packed = self._frames.pack(words, view.batch)
            delivered = 0
            for subscription in list(group):
                channel = subscription.channel
                if subscription.behind_since is None and not channel.buffered():
                    for data in packed:
                        channel.write(data)
                    delivered += len(words)
                else:
                    self._put_by(subscription, news, now)
            self._stats.count("feed_messages_total", delivered)
        for subscription in [waiting for waiting in self._everybody if waiting.wanted]:
            self._change_view(subscription, now)
        self.catch_up(now)

    def catch_up(self, now: float) -> None:
        """Send on to those who are behind what they can take; send away those who take nothing."""
        self._settle(now)
        for subscription in list(self._behind):
            self._catch_up(subscription, now)

    def _take_changes(self) -> _Changes:
        by_host: dict[int, list[_Change]] = {}
        for host_id in self._changed_hosts:
            if (host := self._hosts.by_id(host_id)) is not None:
                by_host[host_id] = [_Change(("host", host_id, ""), host)]
        for key, sample in self._changed_plugins.items():
            if (host := self._hosts.by_id(key[0])) is not None:
                by_host.setdefault(host.id, []).append(_Change(("plugin", *key), host, sample))
        for path, event in self._changed_alerts.items():
            if (host := self._hosts.by_id(path[0])) is not None:
                by_host.setdefault(host.id, []).append(_Change(("alert", *path), host, event))
        messages = [_Change(MESSAGE, self._hosts.get(message.host), message) for message in self._messages]
        self._changed_hosts.clear()
        self._changed_plugins.clear()
        self._changed_alerts.clear()
        self._messages.clear()
        return _Changes(by_host, messages)

    def _seen(self, view: View, changes: _Changes) -> Iterator[_Change]:
        """What a view shows of what is new."""
        for host_id in self._audience.among(view, changes.by_host.keys()):
            yield from changes.by_host[host_id]
        for change in changes.messages:
            if view.sees(None) if change.host is None else self._audience.shows(view, change.host):
                yield change

    def _news(self, view: View, changes: _Changes) -> _News:
        news = _News({}, [])
        for change in self._seen(view, changes):
            if not view.takes(change.key[0]):
                continue
            try:
                words = change.words(self._frames)
            except Exception:  # one value that cannot be said takes nothing else with it
                self._stats.count("feed_errors_total")
                log.exception("A change cannot be put into words")
                continue
            if isinstance(change.value, Message):
                news.messages.append(words)
            else:
                news.states[change.key] = words
        return news

    def _enter(self, subscription: Subscription, view: View, now: float) -> None:
        """Put a subscriber into the group of its view, with the view's snapshot before it."""
        subscription.view = view
        self._groups.setdefault(view, set()).add(subscription)
        self._audience.enter(view)
        subscription.backlog.extend(self._snapshot(view))
        self._start(subscription, now)

    def _change_view(self, subscription: Subscription, now: float) -> None:
        # Whoever has not taken what it was sent waits, so that asking again and again holds nothing up but itself.
        if subscription.wanted is not None and not subscription.closed and not subscription.channel.buffered():
            self._begin_again(subscription, subscription.wanted, now)
            subscription.wanted = None

    def _snapshot(self, view: View) -> list[bytes]:
        """All hosts of a view. It is kept until the tick that finds a change, which then follows it."""
        if view not in self._snapshots:
            shown = self._audience.hosts(view) if view.takes("host") else []
            self._snapshots[view] = self._frames.pack([self._frames.host(host) for host in shown], view.batch)
            self._stats.count("feed_snapshots_total")
        return self._snapshots[view]

    def _fall_behind(self, subscription: Subscription, now: float) -> None:
        if subscription.behind_since is None:
            subscription.behind_since = now
            self._behind[subscription] = None
            self._news_came.set()

    def _put_by(self, subscription: Subscription, news: _News, now: float) -> None:
        """Keep news for a subscriber that is behind."""
        self._fall_behind(subscription, now)
        pending, messages = subscription.pending, subscription.messages
        before = len(pending) + len(messages)
        pending.update(news.states)
        messages.extend(news.messages)
        added = len(pending) + len(messages) - before
        self._stats.count("feed_coalesced_total", len(news.states) + len(news.messages) - added)
        if len(pending) > MAX_PENDING:
            self._send_away_slow(subscription)

    def _start(self, subscription: Subscription, now: float) -> None:
        """Begin with a backlog, unless it has to wait behind an earlier one."""
        if subscription.behind_since is None:
            self._fall_behind(subscription, now)
            if not subscription.channel.buffered():
                self._write_backlog(subscription)

    def _catch_up(self, subscription: Subscription, now: float) -> None:
        if subscription.channel.buffered():
            assert subscription.behind_since is not None
            if now - subscription.behind_since > STALL_SECONDS:
                self._send_away_slow(subscription)
            return
        if not subscription.backlog:
            words = [*subscription.pending.values(), *subscription.messages]
            subscription.pending.clear()
            subscription.messages.clear()
            subscription.backlog.extend(self._frames.pack(words, subscription.view.batch))
            self._stats.count("feed_messages_total", len(words))
        subscription.behind_since = now
        self._write_backlog(subscription)
        if not subscription.backlog:
            subscription.behind_since = None
            subscription.gone.clear()
            del self._behind[subscription]

    @staticmethod
    def _write_backlog(subscription: Subscription) -> None:
        while subscription.backlog and subscription.channel.buffered() < MAX_BUFFERED_BYTES:
            subscription.channel.write(subscription.backlog.popleft())

    def _silence(self, subscription: Subscription) -> None:
        """Take a subscriber out of its group with all that waits for it."""
        group = self._groups.get(subscription.view)
        if group is not None:
            group.discard(subscription)
            if not group:
                del self._groups[subscription.view]
                self._audience.leave(subscription.view)
        self._behind.pop(subscription, None)
        subscription.behind_since = None
        subscription.backlog.clear()
        subscription.pending.clear()
        subscription.messages.clear()

    def _send_away_slow(self, subscription: Subscription) -> None:
        self._stats.count("feed_slow_total")
        self.send_away(subscription, TRY_AGAIN_LATER, "Too slow to follow")

    def send_away(self, subscription: Subscription, code: int, reason: str) -> None:
        """End a subscription. It holds its place until its connection is gone."""
        if not subscription.closed:
            subscription.closed = True
            self._silence(subscription)
            subscription.channel.close(code, reason)
