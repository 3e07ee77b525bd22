from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hbd.access import STRANGER, Identity, Role
from hbd.errors import Busy
from hbd.feed import STALL_SECONDS, Feed
from hbd.hosts import Host, Hosts
from hbd.model import Message, Sample
from hbd.stats import Stats
from hbd.subscription import MAX_PENDING_MESSAGES, View, seer

EVERYTHING = View()


class Words:
    """Frames that can be read: ``host:web``; a pack is its words with blanks between them."""

    def __init__(self) -> None:
        self.made = 0
        self.forgotten: list[int] = []

    def host(self, host: Host) -> bytes:
        self.made += 1
        return f"host:{host.name}={host.os}".encode()

    def plugin(self, host: Host, sample: Sample) -> bytes:
        self.made += 1
        if sample.data.get("poison"):
            raise ValueError("poison")
        return f"{sample.plugin}:{host.name}={sample.data['v']}".encode()

    def message(self, message: Message) -> bytes:
        self.made += 1
        return f"message:{message.msg}".encode()

    def gone(self, host_id: int) -> bytes:
        return f"gone:{host_id}".encode()

    def forget(self, host_id: int) -> None:
        self.forgotten.append(host_id)

    def pack(self, words: Sequence[bytes], batch: bool) -> list[bytes]:
        return [b"[" + b" ".join(words) + b"]"] if batch and words else list(words)


class Pipe:
    """A channel that keeps what it is given. stuck: nothing leaves it any more."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.stuck = False
        self.closed: int | None = None
        self._waiting = 0

    def buffered(self) -> int:
        return self._waiting

    def write(self, data: bytes) -> None:
        self.got.append(data.decode())
        if self.stuck:
            self._waiting += len(data)

    def close(self, code: int, reason: str) -> None:
        self.closed = code

    def release(self) -> None:
        self.stuck, self._waiting = False, 0

    def take(self) -> list[str]:
        got, self.got = self.got, []
        return got


class Setting:
    def __init__(self) -> None:
        self.hosts, self.words, self.stats = Hosts(), Words(), Stats()
        for number, name in enumerate(("db", "Web"), start=1):
            self.hosts.add(Host(number, name, f"agent_{number}"))
        self.feed = Feed(self.hosts, self.words, self.stats, max_subscribers=3)

    def join(self, view: View = EVERYTHING) -> Pipe:
        pipe = Pipe()
        self.feed.subscribe(pipe, view, 0.0)
        return pipe

    def join_late(self, view: View = EVERYTHING) -> Pipe:
        """Join and have the snapshot behind oneself."""
        pipe = self.join(view)
        self.feed.tick(0.1)
        pipe.take()
        return pipe


@pytest.fixture
def setting() -> Setting:
    return Setting()


def sample(value: int, *, plugin: str = "cpu", time: float = 1.0) -> Sample:
    return Sample(plugin, time, {"v": value})


def test_a_newcomer_gets_every_host_first(setting: Setting) -> None:
    assert setting.join().got == ["host:db=", "host:Web="]


def test_newcomers_share_one_snapshot(setting: Setting) -> None:
    for _ in range(3):
        setting.join()
    assert (setting.words.made, setting.stats.value("feed_snapshots_total")) == (2, 1)


def test_a_snapshot_after_a_change_shows_the_change(setting: Setting) -> None:
    setting.join()
    setting.hosts.require("db").os = "linux"
    setting.feed.host(1)
    setting.feed.tick(0.2)
    assert "host:db=linux" in setting.join().got


def test_what_changes_between_joining_and_the_tick_follows_the_snapshot(setting: Setting) -> None:
    setting.join()
    setting.hosts.require("db").os = "linux"
    setting.feed.host(1)
    second = setting.join()
    setting.feed.tick(0.2)
    assert second.got == ["host:db=", "host:Web=", "host:db=linux"]


def test_a_change_reaches_everybody_at_the_tick(setting: Setting) -> None:
    first, second = setting.join_late(), setting.join_late()
    setting.feed.host(2)
    assert first.got == []
    setting.feed.tick(0.4)
    assert first.got == second.got == ["host:Web="]


def test_words_are_made_once_for_all(setting: Setting) -> None:
    setting.join_late()
    setting.join_late(View(batch=True))
    made = setting.words.made
    setting.feed.plugin(1, sample(1))
    setting.feed.tick(0.4)
    assert setting.words.made - made == 2  # the sample, and the host whose numbers changed with it


def test_nothing_is_made_while_nobody_listens(setting: Setting) -> None:
    setting.feed.plugin(1, sample(1))
    setting.feed.message(Message(1.0, "db", "hello"))
    setting.feed.tick(0.2)
    assert setting.words.made == 0


def test_what_happened_before_somebody_came_is_not_told_as_news(setting: Setting) -> None:
    setting.feed.message(Message(1.0, "db", "old"))
    assert "message:old" not in setting.join_late().got


def test_kept_words_of_a_host_are_forgotten_even_while_nobody_listens(setting: Setting) -> None:
    setting.feed.plugin(1, sample(1))
    assert setting.words.forgotten == [1]


def test_of_many_samples_in_a_tick_the_newest_is_sent(setting: Setting) -> None:
    pipe = setting.join_late(View(types=frozenset({"plugin"})))
    for value, time in ((1, 1.0), (3, 3.0), (2, 2.0)):
        setting.feed.plugin(1, sample(value, time=time))
    setting.feed.tick(0.4)
    assert pipe.got == ["cpu:db=3"]


def test_every_message_is_sent_in_order(setting: Setting) -> None:
    pipe = setting.join_late()
    for text in "abc":
        setting.feed.message(Message(1.0, "db", text))
    setting.feed.tick(0.4)
    assert pipe.got == ["message:a", "message:b", "message:c"]


def test_a_batch_is_one_pack(setting: Setting) -> None:
    pipe = setting.join_late(View(batch=True))
    setting.feed.host(1)
    setting.feed.message(Message(1.0, "db", "a"))
    setting.feed.tick(0.4)
    assert pipe.got == ["[host:db= message:a]"]


def test_a_view_of_some_hosts_shows_no_other(setting: Setting) -> None:
    pipe = setting.join(View(hosts=frozenset({"web"})))
    setting.feed.host(1)
    setting.feed.host(2)
    for host in ("db", "Web", ""):
        setting.feed.message(Message(1.0, host, f"of {host}"))
    setting.feed.tick(0.4)
    assert pipe.got == ["host:Web=", "host:Web=", "message:of Web"]


def test_a_view_without_hosts_has_no_snapshot(setting: Setting) -> None:
    assert setting.join(View(types=frozenset({"message"}))).got == []


def test_a_user_sees_only_hosts_that_are_granted(setting: Setting) -> None:
    setting.hosts.hand(setting.hosts.require("db"), None, [], ["carol"])
    pipe = setting.join(View(identity=Identity("carol", Role.VIEWER)))
    setting.feed.plugin(2, sample(1))
    setting.feed.message(Message(1.0, "Web", "secret"))
    setting.feed.tick(0.4)
    assert pipe.got == ["host:db="]


def test_a_host_that_is_taken_away_is_silent_at_once(setting: Setting) -> None:
    host = setting.hosts.require("db")
    setting.hosts.hand(host, None, [], ["carol"])
    pipe = setting.join_late(View(identity=Identity("carol", Role.VIEWER)))
    setting.hosts.hand(host, None, [], [])
    setting.feed.host(1)
    setting.feed.tick(0.4)
    assert pipe.got == ["gone:1"]


def test_a_stranger_sees_nothing(setting: Setting) -> None:
    pipe = setting.join(View(identity=STRANGER))
    setting.feed.message(Message(1.0, "", "of the daemon"))
    setting.feed.tick(0.4)
    assert pipe.got == []


def test_a_narrower_view_begins_with_its_snapshot_at_the_next_tick(setting: Setting) -> None:
    pipe = Pipe()
    subscription = setting.feed.subscribe(pipe, EVERYTHING, 0.0)
    pipe.take()
    setting.feed.narrow(subscription, View(hosts=frozenset({"db"})))
    assert pipe.got == []
    setting.feed.tick(0.2)
    setting.feed.host(2)
    setting.feed.tick(0.4)
    assert pipe.got == ["host:db="]


def test_who_is_behind_gets_the_newest_of_each_when_it_has_caught_up(setting: Setting) -> None:
    pipe = setting.join_late(View(types=frozenset({"plugin"})))
    pipe.stuck = True
    for value in range(1, 5):
        setting.feed.plugin(1, sample(value))
        setting.feed.tick(0.2 * value)
    assert pipe.take() == ["cpu:db=1"]
    pipe.release()
    setting.feed.catch_up(1.0)
    assert pipe.take() == ["cpu:db=4"]
    assert setting.stats.value("feed_coalesced_total") == 2


def test_who_has_caught_up_is_sent_to_directly_again(setting: Setting) -> None:
    pipe = setting.join_late(View(types=frozenset({"plugin"})))
    pipe.stuck = True
    for value in (1, 2):
        setting.feed.plugin(1, sample(value))
        setting.feed.tick(0.2)
    pipe.release()
    setting.feed.catch_up(0.3)
    setting.feed.catch_up(0.4)
    setting.feed.plugin(1, sample(3))
    setting.feed.tick(0.5)
    assert pipe.take() == ["cpu:db=1", "cpu:db=2", "cpu:db=3"]


def test_the_slow_do_not_delay_the_others(setting: Setting) -> None:
    slow, quick = setting.join_late(), setting.join_late()
    slow.stuck = True
    for _ in range(2):
        setting.feed.host(1)
        setting.feed.tick(0.4)
    assert quick.got == ["host:db=", "host:db="]


def test_messages_that_wait_are_bounded(setting: Setting) -> None:
    pipe = setting.join_late()
    pipe.stuck = True
    setting.feed.host(1)
    setting.feed.tick(0.2)
    for number in range(MAX_PENDING_MESSAGES + 50):
        setting.feed.message(Message(1.0, "db", str(number)))
    setting.feed.tick(0.4)
    pipe.take()
    pipe.release()
    setting.feed.catch_up(0.5)
    assert [len(pipe.got), pipe.got[0]] == [MAX_PENDING_MESSAGES, "message:50"]


def test_who_takes_nothing_for_too_long_is_told_to_come_again(setting: Setting) -> None:
    pipe = setting.join_late()
    pipe.stuck = True
    for now in (1.0, 2.0):
        setting.feed.host(1)
        setting.feed.tick(now)
    setting.feed.catch_up(2.0 + STALL_SECONDS)
    assert pipe.closed is None
    setting.feed.catch_up(2.1 + STALL_SECONDS)
    assert (pipe.closed, setting.stats.value("feed_slow_total")) == (1013, 1)


def test_who_was_sent_away_gets_nothing_more(setting: Setting) -> None:
    pipe = Pipe()
    subscription = setting.feed.subscribe(pipe, EVERYTHING, 0.0)
    pipe.take()
    setting.feed.send_away(subscription, 1008, "enough")
    setting.feed.host(1)
    setting.feed.tell(subscription, [b"error"], 0.1)
    setting.feed.tick(0.2)
    assert (pipe.closed, pipe.got) == (1008, [])


def test_a_place_is_free_only_when_the_connection_is_gone(setting: Setting) -> None:
    subscriptions = [setting.feed.subscribe(Pipe(), EVERYTHING, 0.0) for _ in range(3)]
    setting.feed.send_away(subscriptions[0], 1013, "slow")
    with pytest.raises(Busy):
        setting.join()
    setting.feed.leave(subscriptions[0])
    assert setting.join().got


def test_asking_for_views_does_not_hide_that_nothing_is_taken(setting: Setting) -> None:
    pipe = Pipe()
    subscription = setting.feed.subscribe(pipe, EVERYTHING, 0.0)
    pipe.stuck = True
    for tick in range(60):
        setting.feed.narrow(subscription, View(batch=bool(tick % 2)))
        setting.feed.host(1)
        setting.feed.tick(0.2 * tick)
    assert pipe.closed == 1013


def test_a_value_that_cannot_be_said_takes_nothing_with_it(setting: Setting) -> None:
    pipe = setting.join_late(View(types=frozenset({"plugin"})))
    setting.feed.plugin(1, Sample("cpu", 1.0, {"poison": True}))
    setting.feed.plugin(2, sample(7))
    setting.feed.tick(0.4)
    assert (pipe.got, setting.stats.value("feed_errors_total")) == (["cpu:Web=7"], 1)


def test_a_host_that_is_gone_is_no_news(setting: Setting) -> None:
    pipe = setting.join_late()
    setting.feed.plugin(1, sample(1))
    setting.hosts.remove(setting.hosts.require("db"))
    setting.feed.tick(0.4)
    assert pipe.got == ["gone:1"]


def test_when_the_daemon_stops_everybody_is_told_and_nobody_comes_in(setting: Setting) -> None:
    pipe = setting.join()
    setting.feed.close()
    assert (pipe.closed, setting.feed.full) == (1001, True)


async def test_the_feed_sends_without_being_asked_and_survives_a_round_that_fails(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = asyncio.create_task(setting.feed.run())
    pipe = setting.join()
    tick = setting.feed.tick

    def fail_once(now: float) -> None:
        monkeypatch.setattr(setting.feed, "tick", tick)
        raise RuntimeError("once")

    monkeypatch.setattr(setting.feed, "tick", fail_once)
    setting.feed.message(Message(1.0, "db", "still there"))
    async with asyncio.timeout(30):
        while "message:still there" not in pipe.got:
            setting.feed.host(1)
            await asyncio.sleep(0.01)
    running.cancel()
    assert setting.stats.value("feed_errors_total") == 1


# -------------------------------------------------------------------------------------------------- who sees what

BOB = View(Identity("bob", Role.VIEWER))


def give(setting: Setting, *names: str) -> None:
    """bob monitors these hosts and no other."""
    for host in setting.hosts:
        setting.hosts.hand(host, None, [], ["bob"] if host.name in names else [])


def test_hosts_that_are_lost_in_one_turn_are_all_told(setting: Setting) -> None:
    give(setting, "db", "Web")
    pipe = setting.join_late(BOB)
    give(setting)
    setting.feed.tick(0.2)
    assert pipe.take() == ["gone:1", "gone:2"]


def test_one_who_is_behind_hears_of_every_host_that_was_lost(setting: Setting) -> None:
    give(setting, "db", "Web")
    pipe = setting.join_late(BOB)
    pipe.stuck = True
    setting.feed.host(1)
    setting.feed.tick(0.2)
    pipe.take()
    give(setting, "Web")
    setting.feed.tick(0.3)
    give(setting)
    setting.feed.tick(0.4)
    pipe.release()
    setting.feed.tick(0.5)
    assert pipe.take() == ["gone:1", "gone:2"]


def test_what_waits_for_one_who_is_behind_holds_no_host_that_was_lost(setting: Setting) -> None:
    give(setting, "db", "Web")
    pipe = setting.join_late(BOB)
    pipe.stuck = True
    setting.feed.host(1)
    setting.feed.tick(0.2)
    pipe.take()
    setting.feed.plugin(1, sample(7))
    setting.feed.message(Message(1.0, "db", "secret"))
    setting.feed.tick(0.3)
    give(setting, "Web")
    pipe.release()
    setting.feed.catch_up(0.4)
    setting.feed.tick(0.5)
    assert [word for word in pipe.take() if "db" in word or "secret" in word] == []


def test_one_who_narrows_right_after_a_loss_hears_of_it(setting: Setting) -> None:
    give(setting, "db", "Web")
    pipe = setting.join_late(BOB)
    subscription = next(iter(setting.feed._everybody))
    pipe.stuck = True
    setting.feed.host(2)
    setting.feed.tick(0.2)
    pipe.take()
    setting.feed.narrow(subscription, View(BOB.identity, frozenset({"web"})))
    give(setting, "Web")
    setting.feed.tick(0.3)
    pipe.release()
    setting.feed.tick(0.4)
    setting.feed.tick(0.5)
    assert pipe.take() == ["gone:1", "host:Web="]


def test_a_newcomer_never_sees_what_was_lost_before_the_tick(setting: Setting) -> None:
    give(setting, "db", "Web")
    setting.join_late(BOB)
    give(setting, "Web")
    assert setting.join(BOB).take() == ["host:Web="]


def test_a_host_that_is_given_comes_with_the_next_tick(setting: Setting) -> None:
    pipe = setting.join_late(BOB)
    give(setting, "db")
    setting.feed.tick(0.2)
    assert pipe.take() == ["host:db="]


def test_a_new_host_comes_to_those_who_see_everything(setting: Setting) -> None:
    pipe = setting.join_late()
    setting.hosts.add(Host(3, "new", "agent_3"))
    setting.feed.tick(0.2)
    assert pipe.take() == ["host:new="]


def test_a_host_that_is_removed_is_gone_for_those_who_saw_it(setting: Setting) -> None:
    give(setting, "db")
    everybody, bob, nobody = (setting.join(view) for view in (EVERYTHING, BOB, View(Identity("eve", Role.VIEWER))))
    setting.feed.tick(0.1)
    for pipe in (everybody, bob, nobody):
        pipe.take()
    setting.hosts.remove(setting.hosts.require("db"))
    setting.feed.tick(0.2)
    assert [pipe.take() for pipe in (everybody, bob, nobody)] == [["gone:1"], ["gone:1"], []]


def test_a_dropped_host_is_gone_and_comes_back(setting: Setting) -> None:
    pipe, host = setting.join_late(), setting.hosts.require("db")
    setting.hosts.drop(host, True)
    setting.feed.tick(0.2)
    setting.hosts.drop(host, False)
    setting.feed.tick(0.3)
    assert pipe.take() == ["gone:1", "host:db="]


def test_people_who_see_everything_share_one_view(setting: Setting) -> None:
    for name, role in (("alice", Role.ADMIN), ("bob", Role.OPERATOR)):
        setting.join(View(seer(Identity(name, role))))
    assert setting.stats.value("feed_snapshots_total") == 1
