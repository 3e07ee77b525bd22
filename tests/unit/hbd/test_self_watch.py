"""What hbd says of itself, over a real notifier and a real database."""

import pytest
from notifier_world import CRITICAL, OK, TellingWorld, Way

from hbd.channels.base import SendFailed
from hbd.isolation import DOUBT_SECONDS
from hbd.model import Level, Moment
from hbd.routing import LIVES, held
from hbd.self_watch import CHANNEL_SECONDS, STORAGE_SECONDS, SelfWatch

HOSTS = (1, 2, 3)


class Watched(TellingWorld):
    """With somebody who looks after it once a second. problem, backup: what does not work. heard: hosts that are up."""

    def __init__(self, store, **ways: Way) -> None:
        super().__init__(store, **ways)
        self.problem: str | None = None
        self.backup: str | None = None
        self.heard = len(HOSTS)
        self.watch = SelfWatch(
            self.notifier,
            self.notices,
            self.alerts,
            storage_problem=lambda: self.problem,
            backup_problem=lambda: self.backup,
            heard=lambda: self.heard,
            listeners=lambda: ["ops", "mail"],
        )
        self.hold = lambda notice: held("isolated", "cut off") if self.watch.isolation.holds else None

    async def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now = Moment(self.now.wall + 1, self.now.mono + 1)
            self.watch.look(self.now)
            await self.settle()

    async def live(self, level: Level, *hosts: int) -> None:
        """What presence says of hosts, written as the pipeline does."""
        plan = self.alerts.begin(self.now)
        for host in hosts:
            plan.liveness(host, LIVES, level, "no heartbeat", self.now)
        self.alerts.adopt(plan)
        self.heard = len(HOSTS) - sum(1 for alert in self.alerts.open() if alert.level is not OK)
        await self.happen(*plan.events)

    def titles(self, name: str = "ops") -> list[str]:
        return [message.title for message in self.ways.channels[name].taken]


@pytest.fixture
def watched(store):
    return Watched(store, ops=Way(), mail=Way())


async def test_storage_that_fails_is_told_and_so_is_its_end(watched):
    watched.problem = "disk full"
    await watched.go_on(int(STORAGE_SECONDS) + 1)
    watched.problem = None
    await watched.go_on(10)
    assert watched.titles() == ["CRITICAL hbd: storage is degraded", "OK hbd: it stores again"]


async def test_storage_that_fails_for_a_moment_is_not(watched):
    watched.problem = "disk full"
    await watched.go_on(int(STORAGE_SECONDS) - 2)
    watched.problem = None
    await watched.go_on(10)
    assert watched.titles() == []


async def test_backups_that_fail_are_told_and_so_is_the_next_that_does_not(watched):
    watched.backup = "none could be made: hbd-1.db is damaged"
    await watched.go_on(2)
    watched.backup = "none could be made: hbd-2.db is damaged"
    await watched.go_on(600)
    watched.backup = None
    await watched.go_on(2)
    assert watched.titles() == ["WARNING hbd: no backup can be made", "OK hbd: a backup was made"]
    assert watched.ways.channels["ops"].taken[0].text == "none could be made: hbd-1.db is damaged"


async def test_a_channel_that_fails_is_told_through_the_others(watched):
    watched.ways.channels["ops"].answers = [SendFailed("status 500")] * 10
    await watched.happen(watched.event(CRITICAL))
    await watched.go_on(int(CHANNEL_SECONDS) + 5)
    assert [title for title in watched.titles("mail") if "channel" in title] == ["WARNING channel ops fails"]
    assert not [title for title in watched.titles("ops") if "channel" in title]


async def test_a_channel_that_works_again_is_told_where_its_failure_was(watched):
    watched.ways.channels["ops"].answers = [SendFailed("status 500")] * 5
    await watched.happen(watched.event(CRITICAL))
    await watched.go_on(200)
    assert [title for title in watched.titles("mail") if "channel" in title] == [
        "WARNING channel ops fails",
        "OK channel ops works again",
    ]


async def test_most_hosts_silent_at_once_are_one_message(watched):
    await watched.live(Level.WARNING, *HOSTS)
    await watched.go_on(2)
    await watched.live(CRITICAL, *HOSTS)
    await watched.go_on(int(DOUBT_SECONDS) - 5)
    assert watched.titles() == ["CRITICAL hbd hears only 0 of 3 hosts"]


async def test_hosts_that_stay_silent_while_channels_work_are_told_after_a_while(watched):
    await watched.live(Level.WARNING, *HOSTS)
    await watched.go_on(2)
    await watched.live(CRITICAL, *HOSTS)
    await watched.go_on(int(DOUBT_SECONDS) + 10)
    assert [len(message) for message in watched.taken()] == [0, 3]


async def test_hosts_that_were_not_heard_while_no_channel_worked_are_never_told(watched):
    for name in ("ops", "mail"):
        watched.ways.channels[name].answers = [SendFailed("the server cannot be reached")] * 4
    await watched.live(Level.WARNING, *HOSTS)
    await watched.go_on(2)
    await watched.live(CRITICAL, *HOSTS)
    await watched.go_on(20)
    await watched.live(OK, *HOSTS)
    await watched.go_on(300)
    assert watched.titles() == ["OK hbd hears its hosts again"]
