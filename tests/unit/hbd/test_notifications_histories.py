"""Notifications over histories at random: services that fail, crashes at every point, silences, routes that change.

What is asked of them when all is calm again is in ``World.check``: what docs/decisions/0008-notifications.md says.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from notifier_world import Way

from hbd.alerts import Alert, Alerts, Flapping
from hbd.channels.base import Message, SendFailed
from hbd.config import Config
from hbd.config.structs import Threshold
from hbd.hosts import Host, Hosts
from hbd.model import Level, Moment
from hbd.notices import Notice, Notices
from hbd.notifier import Notifier
from hbd.routing import Router, held
from hbd.rules import Rule, Verdict
from hbd.schedule import QuietHours
from hbd.stats import Stats
from hbd.store import Store, Turn

OK, WARNING, CRITICAL = Level.OK, Level.WARNING, Level.CRITICAL
NOON = 1_790_000_000.0 - 1_790_000_000.0 % 86400 + 12 * 3600
HOSTS = (1, 2, 3)
MORTAL = 3  # the host that may be removed
METRICS = ("cpu.percent", "disk.percent")
FLAPPING = Flapping(changes=3, within=120.0, calm=20.0)
RULE = Rule(("*", "*"), Threshold(warning=1.0, critical=2.0), "default")
CALM = (90.0, 3600.0, 3600.0, 3600.0)  # longer than any failure puts off, than quiet hours, and than any repeat


WAYS = {
    "ops": Way(fallback="spare", repeat=1800.0),
    "mail": Way(min_level=CRITICAL, quiet=QuietHours.read("12:10", "13:30", (), "UTC"), repeat=0.0),
    "pager": Way(quiet=QuietHours.read("12:01", "12:20", (), "UTC")),
    "spare": Way(repeat=1800.0),
}
ROUTED = ("ops", "mail", "pager")


# ---------------------------------------------------------------------------------------------------- what can happen


class Sample(NamedTuple):
    host_id: int
    path: str
    level: Level


class Samples(NamedTuple):
    """One turn. commit: as it should be, refused by the disk first, or a crash when it is on disk."""

    samples: list[Sample]
    commit: str


class Wait(NamedTuple):
    seconds: float


class Answers(NamedTuple):
    """What a service does with the next messages; see ``Provider.send``."""

    channel: str
    answers: list[str]


class Away(NamedTuple):
    channel: str
    away: bool


class Refuse(NamedTuple):
    """A service refuses for good what is about one metric."""

    channel: str
    path: str


class Silence(NamedTuple):
    host_id: int
    silent: bool


class Routes(NamedTuple):
    channels: tuple[str, ...]


class Remove(NamedTuple):
    """A host. crash: at once, before anybody could be told."""

    crash: bool


class Crash(NamedTuple):
    pass


Step = Samples | Wait | Answers | Away | Refuse | Silence | Routes | Remove | Crash

ONE_SAMPLE = st.builds(
    Sample, st.sampled_from(HOSTS), st.sampled_from(METRICS), st.sampled_from([OK, WARNING, CRITICAL])
)
SAMPLES = st.builds(
    Samples,
    st.lists(ONE_SAMPLE, min_size=1, max_size=4),
    st.sampled_from(["done", "done", "done", "refused", "crash"]),
)
ANSWERS = ["taken", "500", "429", "lost", "unanswered", "crash before", "crash after"]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        SAMPLES,
        SAMPLES,
        SAMPLES,
        st.builds(Wait, st.sampled_from([0.5, 3.0, 12.0, 70.0, 700.0, 2000.0])),
        st.builds(Wait, st.sampled_from([3.0, 25.0, 90_000.0])),
        st.builds(Answers, st.sampled_from(ROUTED), st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=5)),
        st.builds(Away, st.sampled_from(ROUTED), st.booleans()),
        st.builds(Refuse, st.sampled_from(ROUTED), st.sampled_from(METRICS)),
        st.builds(Silence, st.sampled_from(HOSTS), st.booleans()),
        st.builds(Routes, st.sampled_from([ROUTED, ("ops",), ("mail", "pager"), ()])),
        st.builds(Remove, st.booleans()),
        st.just(Crash()),
    ),
    max_size=25,
)


# ------------------------------------------------------------------------------------------------------ the other side


class Record(NamedTuple):
    """One problem of a message as a service has it. answered: hbd heard that it was taken."""

    problem: str
    number: int
    level: Level
    flapping: bool
    owed: bool
    at: float
    answered: bool

    @property
    def ends(self) -> bool:
        return self.level is OK and not self.flapping


class Provider:
    """A service that remembers all it took."""

    refresh = None

    def __init__(self, crash: Callable[[], None]) -> None:
        self.records: list[Record] = []
        self.titles: list[str] = []
        self.answers: deque[str] = deque()
        self.away = False
        self.refuses = ""
        self._crash = crash
        self._last = 0
        """where the records of the last message begin"""

    async def send(self, message: Message) -> str:
        if self.away:
            raise SendFailed("status 503")
        if any(item.metric == self.refuses for item in message.items):
            raise SendFailed("status 400", permanent=True)
        match self.answers.popleft() if self.answers else "taken":
            case "500":
                raise SendFailed("status 500")
            case "429":
                raise SendFailed("status 429", retry_after=30.0)
            case "lost":
                raise SendFailed("no answer within 10 s")
            case "unanswered":
                self._take(message, answered=False)
                raise SendFailed("no answer within 10 s")
            case "crash before":
                await self._die()
            case "crash after":
                self._take(message, answered=False)
                await self._die()
        self._take(message, answered=True)
        return "200"

    def _take(self, message: Message, *, answered: bool) -> None:
        self.titles.append(message.title)
        self._last = len(self.records)
        self.records += [
            Record(
                problem=item.id,
                number=item.number,
                level=item.level,
                flapping=item.note.startswith("flapping:"),
                owed="could not be told then" in item.note,
                at=item.at,
                answered=answered,
            )
            for item in message.items
        ]

    async def _die(self) -> None:
        self._crash()
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass

    def answer_was_lost(self) -> None:
        """hbd died before it could write down that the last message was taken."""
        self.records = [
            *self.records[: self._last],
            *(record._replace(answered=False) for record in self.records[self._last :]),
        ]

    def of_problem(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            found[record.problem].append(record)
        return found

    def open(self) -> dict[str, Level]:
        """Problems as whoever reads all messages believes them to be."""
        return {problem: told[-1].level for problem, told in self.of_problem().items() if not told[-1].ends}


class Ways(dict[str, Way]):
    def __init__(self, crash: Callable[[], None]) -> None:
        super().__init__(WAYS)
        self.providers = {name: Provider(crash) for name in WAYS}

    async def open(self, name: str) -> Provider:
        return self.providers[name]


# ---------------------------------------------------------------------------------------------------------- the daemon


class World:
    """Alerts, notices and notifier over one database. What a crash takes away is read from it again."""

    def __init__(self, store: Store) -> None:
        self.now = Moment(NOON, 1000.0)
        self.store = store
        self.ways = Ways(self.crash)
        self.silent: set[int] = set()
        self.crashed = asyncio.Event()
        self.hosts = Hosts()
        self.config = self._routes(ROUTED)
        self._boot([], [])

    async def begin(self, hosts: int = len(HOSTS)) -> None:
        made = [Host(number, f"web{number}", f"agent_{number:012x}") for number in range(1, hosts + 1)]
        rows = [(host.id, host.name, host.agent_id, NOON, "[]") for host in made]
        sql = "INSERT INTO hosts (id, name, agent_id, created, tags) VALUES (?, ?, ?, ?, ?)"
        await self.store.database.write(lambda db: db.executemany(sql, rows))
        for host in made:
            self.hosts.add(host)

    def _routes(self, channels: Sequence[str]) -> Config:
        return msgspec.convert({"notification_routes": {"all": {"channels": list(channels)}}}, Config)

    def _boot(self, rows: list[object], left: list[Notice]) -> None:
        self.crashed.clear()
        self.alerts = Alerts(FLAPPING)
        self.alerts.load(rows, self.now)  # type: ignore[arg-type]
        self.router = Router(self.config, self.hosts, lambda name: None, self.ways.get, lambda user, name: True)
        self.notices = Notices(self.router)
        self.notices.load(left)
        for host_id in {notice.host_id for notice in left} - {host.id for host in self.hosts.everyone()}:
            self.notices.forget_host(host_id)
        self.notices.reroute()
        self.notifier = Notifier(
            self.notices,
            self.store.notices,
            self.alerts,
            self.hosts,
            self.router,
            self.ways,
            Stats(),
            why_held=self.why_held,
            now=lambda: self.now,
            jitter=lambda: 0.5,
        )

    def why_held(self, notice: Notice) -> object:
        return held("silence", "moving house") if notice.host_id in self.silent else None

    def crash(self) -> None:
        self.crashed.set()

    async def restart(self) -> None:
        """Nothing but the disk is left."""
        for name, line in self.notifier._lines.items():
            if line.task is not None:
                self.ways.providers[name].answer_was_lost()
        await self.notifier.close()
        self._boot([*await self.store.alerts.all()], await self.store.notices.all(self.now))

    async def turn(self, samples: Iterable[Sample] = (), commit: str = "done") -> None:
        plan = self.alerts.begin(self.now)
        for host_id, path, level in samples:
            if self.hosts.by_id(host_id) is not None:
                verdict = Verdict(path, level, 1.5, RULE)
                plan.judge(host_id, path.partition(".")[0], [verdict], self.now.wall, self.now)
        plan.tick(self.now)
        wanted = self.notices.begin(plan.events, self.alerts.open(), self.now)
        if commit == "refused":
            await self.turn(samples)
            return
        await self.store.record(Turn(alerts=plan.rows, gone=plan.gone, events=plan.events, notices=wanted.rows))
        if commit == "crash":
            await self.restart()
            return
        self.alerts.adopt(plan)
        self.notices.adopt(wanted)

    async def settle(self) -> None:
        """Let everything run that can without time passing."""
        for _ in range(200):
            if self.alerts.has_due(self.now) or self.notices.has_wishes:
                await self.turn()
            self.notifier.round()
            busy = [line.task for line in self.notifier._lines.values() if line.task is not None]
            if not busy:
                return
            died = asyncio.create_task(self.crashed.wait())
            await asyncio.wait([*busy, died], return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
            if self.crashed.is_set():
                await self.restart()
                return  # what happens next may be sooner than the first message
        raise AssertionError("it never rests")

    async def wait(self, seconds: float) -> None:
        """In steps that grow: little happens late in a long calm."""
        step = 1.0
        while seconds > 0:
            step = min(step * 1.5, 1800.0, seconds)
            seconds -= step
            self.now = Moment(self.now.wall + step, self.now.mono + step)
            await self.settle()

    async def remove(self, *, crash: bool) -> None:
        host = self.hosts.by_id(MORTAL)
        if host is None:
            return
        await self.store.hosts.delete(MORTAL)
        self.hosts.remove(host)
        if crash:
            await self.restart()
            return
        self.alerts.forget(MORTAL)
        self.notices.forget_host(MORTAL)

    async def do(self, step: Step) -> None:
        match step:
            case Samples(samples, commit):
                await self.turn(samples, commit)
            case Wait(seconds):
                await self.wait(seconds)
            case Answers(channel, answers):
                self.ways.providers[channel].answers.extend(answers)
            case Away(channel, away):
                self.ways.providers[channel].away = away
            case Refuse(channel, path):
                self.ways.providers[channel].refuses = path
            case Silence(host_id, silent):
                (self.silent.add if silent else self.silent.discard)(host_id)
                self.notifier.wake()
            case Routes(channels):
                self.config = self.router.config = self._routes(channels)
                self.notices.reroute()
            case Remove(crash):
                await self.remove(crash=crash)
            case Crash():
                await self.restart()
        await self.settle()

    async def calm(self) -> None:
        """All services take everything again, nothing is silent, and what was given up is sent again."""
        self.silent.clear()
        for provider in self.ways.providers.values():
            provider.away, provider.refuses = False, ""
            provider.answers.clear()
        for notice in self.notices.dead():
            await self.notifier.resend(notice.key)
        for seconds in CALM:
            await self.wait(seconds)

    # --------------------------------------------------------------------------------------------------- what must hold

    def check(self) -> None:
        problems = {alert.problem: alert for alert in self.alerts.open()}
        for name, provider in self.ways.providers.items():
            self._check_what_is_open(name, provider, problems)
            for told in provider.of_problem().values():
                _check_order(told)
                _check_ends(told)
        left = {notice.problem for notice in self.notices._all.values()}
        assert left <= problems.keys(), "a notice outlives its problem"

    def _check_what_is_open(self, name: str, provider: Provider, problems: dict[str, Alert]) -> None:
        """Nothing is open there that is over, all is at its level, and nothing that it is to know is missing."""
        found = provider.open()
        assert found == {problem: problems[problem].level for problem in found if problem in problems}, name
        for problem, alert in problems.items():
            if any(target.channel == name for target in self.router.targets(alert.host_id, alert.path, alert.level)):
                assert problem in found, (name, alert.path)


def _check_order(told: list[Record]) -> None:
    """What is newer comes later. A number comes again only if nobody heard an answer, and says the same then."""
    for before, after in pairwise(told):
        assert before.at <= after.at
        assert before.number <= after.number
        if before.number == after.number:
            assert not before.answered
            assert (before.level, before.flapping) == (after.level, after.flapping)


def _check_ends(told: list[Record]) -> None:
    """A problem ends once, for a channel that knew of it; who did not know is told that it was."""
    ends = {record.number for record in told if record.ends}
    assert len(ends) <= 1
    if told[0].ends:
        assert told[0].owed
    if ends:
        assert told[-1].ends


async def lived(steps: Sequence[Step]) -> World:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "hbd.db", Stats())
        await store.open()
        world = World(store)
        try:
            await world.begin()
            for step in steps:
                await world.do(step)
            await world.calm()
        finally:
            await world.notifier.close()
            await store.close()
    return world


ONE = [Sample(1, METRICS[0], CRITICAL)]
BETTER = [Sample(1, METRICS[0], WARNING)]
OVER = [Sample(1, METRICS[0], OK)]


@given(STEPS)
@example([Answers("ops", ["crash after"]), Samples(ONE, "done"), Samples(OVER, "done")])
@example([Samples([Sample(MORTAL, METRICS[0], CRITICAL)], "done"), Wait(70.0), Remove(crash=True)])
@example([Answers("mail", ["unanswered"]), Samples(ONE, "done"), Samples(BETTER, "done")])
@example([Samples([Sample(MORTAL, METRICS[0], WARNING)], "done"), Remove(crash=False), Away("ops", True), Wait(9e4)])
@pytest.mark.timeout(400)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_after_any_history_every_channel_knows_what_is_so(steps: list[Step]) -> None:
    asyncio.run(lived(steps)).check()


MANY = 1000


@pytest.mark.parametrize("seconds", [0.0, 10.0])
async def test_a_thousand_hosts_that_fail_together_are_three_messages_at_most(tmp_path: Path, seconds: float) -> None:
    store = Store(tmp_path / "hbd.db", Stats())
    await store.open()
    world = World(store)
    try:
        await world.begin(MANY)
        for first in range(1, MANY + 1, 100):
            ill = [Sample(number, METRICS[0], CRITICAL) for number in range(first, first + 100)]
            await world.do(Samples(ill, "done"))
            await world.do(Wait(seconds / 10))
        await world.do(Wait(90.0))
    finally:
        await world.notifier.close()
        await store.close()
    ops = world.ways.providers["ops"]
    assert len(ops.titles) <= 3
    assert sum(int(title.split(" problems on ")[0]) for title in ops.titles) == MANY
    assert len(ops.open()) == len(ops.records) == MANY


CRASHES = st.lists(
    st.tuples(SAMPLES, st.lists(st.sampled_from(["crash before", "crash after"]), max_size=2)), min_size=1, max_size=12
)


@given(CRASHES)
@pytest.mark.timeout(400)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_run_with_crashes_tells_what_a_run_without_tells(history: list[tuple[Samples, list[str]]]) -> None:
    rough: list[Step] = []
    smooth: list[Step] = []
    for turn, crashes in history:
        rough += [Answers("ops", crashes), turn, Wait(90.0)]
        smooth += [Samples(turn.samples, "done"), Wait(90.0)]
    heard = [_heard(asyncio.run(lived(steps)).ways.providers["ops"]) for steps in (smooth, rough)]
    assert heard[0] == heard[1]


def _heard(provider: Provider) -> dict[str, list[tuple[int, Level]]]:
    """What came more than once counts once."""
    return {
        problem: list(dict.fromkeys((record.number, record.level) for record in told))
        for problem, told in provider.of_problem().items()
    }
