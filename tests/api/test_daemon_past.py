"""What ``?at=`` answers is what was answered then: a whole daemon, and a clock that runs fast."""

from __future__ import annotations

import random
import time
from typing import Any

import aiohttp
import msgspec
import pytest
from house import RUN, House

from hbd.daemon import Daemon
from hbd.hosts import Host
from hbd.model import Family, Heartbeat, Moment, Report, Sample
from hbd.web.hostview import HostViews
from hbd.web.recorder import Recorder

BEGIN = 1_763_000_400.0  # a full hour, so that the run is of two windows
RULES = """
grace: 5
threshold_configs:
  default:
    cpu_monitor:
      cpu_percent: {warning: 80, critical: %d, for: 30s, display: CPU}
    disk_monitor:
      "*.percent": {warning: 90, display: Disk space}
"""


class Clock:
    """What all of the daemon takes for the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = Moment(BEGIN, 5_000.0)
        monkeypatch.setattr(time, "time", lambda: self.now.wall)
        for part in (HostViews, Recorder):  # these have bound the real one when they were made
            monkeypatch.setitem(part.__init__.__kwdefaults__, "clock", lambda: self.now.wall)
        monkeypatch.setattr(Moment, "now", classmethod(lambda cls: self.now))

    def pass_(self, seconds: float) -> None:
        self.now = Moment(self.now.wall + seconds, self.now.mono + seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("hbd.pipeline.GATHER_SECONDS", 0.0)
    return Clock(monkeypatch)


@pytest.fixture
async def house(house: House, clock: Clock) -> House:
    house.write(RULES % 95)
    return house


class Fleet:
    """Hosts that report every ten seconds, as seeded chance has it."""

    def __init__(self, daemon: Daemon, hosts: list[Host]) -> None:
        self.daemon = daemon
        self.hosts = hosts
        self.silent: set[str] = set()
        self.busy: set[str] = set()
        self._random = random.Random(7)
        self._seq = 0

    async def second(self, clock: Clock) -> None:
        """Let one second pass."""
        clock.pass_(1)
        self._seq += 1
        for place, host in enumerate(self.hosts):
            if host.name in self.silent or (self._seq + place) % 10:
                continue
            for family in (Family.IPV4, Family.IPV6)[: 1 + place % 2]:
                beat = Heartbeat(
                    host.id, family, "192.0.2.1", RUN, self._seq, interval=10.0, rtt=self._random.random() / 100
                )
                self.daemon.pipeline.beat(beat, 4 if family is Family.IPV4 else 6, clock.now)
            await self._report(host, clock.now)
        self.daemon.pipeline.tick(clock.now)

    async def _report(self, host: Host, now: Moment) -> None:
        at, chance = now.wall - self._random.random(), self._random.random
        data: dict[str, Any] = {
            "cpu_monitor": {
                "cpu_percent": 97.5 + chance() if host.name in self.busy else 50 * chance(),
                "load_1min": chance(),
            },
            "memory_monitor": {"percent": round(100 * chance(), 1), "total": 2**33},
            "disk_monitor": {"/": {"percent": 91.5}, "/srv/a.b": {"percent": 20, "fstype": "ext4", "ok": True}},
        }
        samples = tuple(Sample(plugin, at, values) for plugin, values in data.items())
        body = msgspec.json.encode([{"plugin": one.plugin, "time": one.time, "data": one.data} for one in samples])
        report = Report(host.id, RUN, self._seq, samples, body, 0.0, 10.0, Family.IPV4, "192.0.2.1", now.wall)
        await self.daemon.pipeline.accept(report, now)


async def ask(daemon: Daemon, path: str, at: float | None = None, status: int = 200) -> Any:
    query = {} if at is None else {"at": repr(at)}
    async with aiohttp.request("GET", f"{daemon.urls[0]}api/0/{path}", params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def post(daemon: Daemon, path: str, body: dict[str, Any]) -> Any:
    async with aiohttp.request("POST", f"{daemon.urls[0]}api/0/{path}", json=body) as answer:
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


async def fleet(daemon: Daemon, names: str = "ant bee cat dog") -> Fleet:
    for name in names.split():
        await daemon.enrolment.add(name)
    return Fleet(daemon, [daemon.hosts.require(name) for name in names.split()])


PATHS = ("hosts", "alerts", "hosts/ant/plugins", "hosts/dog/plugins", "hosts/cat")


async def answers(daemon: Daemon, at: float | None = None) -> list[Any]:
    return [await ask(daemon, path, at) for path in PATHS]


async def test_sixty_moments_of_an_hour_are_answered_as_they_were(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon)
    saved: list[tuple[float, list[Any]]] = []
    for minute in range(60):
        match minute:
            case 5:
                herd.busy = {"ant", "bee"}
            case 12:
                await post(daemon, "silences", {"hosts": ["ant"], "reason": "new disks", "duration": 1200})
            case 15:
                acknowledged = {"metric_path": "disk_monitor./.percent", "note": "mine"}
                await post(daemon, "hosts/cat/alerts/acknowledge", acknowledged)
            case 20:
                herd.silent = {"dog"}
            case 25:
                house.write(RULES % 99)
                assert (await daemon.reload()).ok
            case 30:
                herd.daemon = daemon = await house.restart()
            case 35:
                herd.silent, herd.busy = set(), {"bee"}
            case 45:
                house.write(RULES % 95 + "hosts: {cat: {watch: false, tags: [quiet]}}\n")
                assert (await daemon.reload()).ok
            case 50:
                herd.busy = {"cat", "dog"}
        for _ in range(60):
            await herd.second(clock)
            await daemon.recorder.look()
        saved.append((clock.now.wall, await answers(daemon)))
    seen = [alert for _, (_, alerts, *_) in saved for alert in alerts["alerts"]]
    assert {alert["held"] and alert["held"]["kind"] for alert in seen} >= {None, "silence", "acknowledged"}
    assert {alert["level"] for alert in seen} == {"WARNING", "CRITICAL"}
    assert {alert["critical"] for alert in seen if alert["name"] == "CPU"} == {95, 99}
    assert {host["state"] for _, (hosts, *_) in saved for host in hosts} >= {"UP", "DOWN"}
    for at, before in saved:
        assert await answers(daemon, at) == before


async def test_what_was_packed_is_answered_as_before(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant bee")
    saved: list[tuple[float, list[Any]]] = []
    for second in range(600):
        herd.busy = {"ant"} if second > 200 else set()
        herd.silent = {"bee"} if 300 < second < 400 else set()
        await herd.second(clock)
        await daemon.recorder.look()
        if second % 60 == 59:
            saved.append((clock.now.wall, [await ask(daemon, path) for path in PATHS[:3]]))
    await daemon.recorder.flush()
    clock.pass_(5 * 3600)
    await daemon.upkeep.fold(clock.now.wall)
    await daemon.upkeep.pack(clock.now.wall)
    await daemon.upkeep.pack_shown(clock.now.wall)
    assert await daemon.store.chronicle.pack(clock.now.wall) == 0
    for at, before in saved:
        assert [await ask(daemon, path, at) for path in PATHS[:3]] == before


async def test_what_is_older_than_single_samples_is_known_to_the_minute(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant bee")
    saved: list[tuple[float, list[Any]]] = []
    for second in range(600):
        herd.busy = {"ant"} if second > 200 else set()
        await herd.second(clock)
        await daemon.recorder.look()
        if clock.now.wall % 60 == 59:
            saved.append((clock.now.wall, [await ask(daemon, path) for path in PATHS[:2]]))
    await daemon.recorder.flush()
    clock.pass_(3 * 86_400)
    await daemon.upkeep.pack(clock.now.wall)
    await daemon.upkeep.pack_shown(clock.now.wall)
    await daemon.upkeep.prune(clock.now.wall)
    for at, before in saved:
        assert [await ask(daemon, path, at) for path in PATHS[:2]] == before
    error = await ask(daemon, "hosts/ant/plugins", saved[0][0], status=404)
    assert error["error"] == "Single samples are kept for 48 h (retention.samples), and that is longer ago"


async def test_a_time_in_which_the_daemon_did_not_run_is_told(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant")
    for _ in range(20):
        await herd.second(clock)
    await daemon.recorder.look()
    await house.stop()
    clock.pass_(600)
    daemon = await house.start()
    await daemon.recorder.look()
    error = await ask(daemon, "hosts", clock.now.wall - 300, status=404)
    assert error["error"] == (
        "hbd was not running at 2025-11-13 02:25:20 UTC: it stopped at 2025-11-13 02:20:20 UTC,"
        " and started again at 2025-11-13 02:30:20 UTC"
    )


async def test_before_anything_was_written_down_nothing_is_known(house: House, clock: Clock) -> None:
    daemon = await house.start()
    await daemon.recorder.look()
    error = await ask(daemon, "alerts", BEGIN - 60, status=404)
    assert error["error"].startswith("Nothing is known of 2025-11-13 02:19:00 UTC; what was shown is known from")


@pytest.mark.parametrize(
    ("at", "reason"),
    [(BEGIN + 100, "lies in the future"), ("soon", "Unix seconds, ISO 8601 such as"), (-1, "a time between 1970")],
)
async def test_what_is_no_moment_of_the_past_is_refused(house: House, clock: Clock, at: object, reason: str) -> None:
    daemon = await house.start()
    async with aiohttp.request("GET", f"{daemon.urls[0]}api/0/hosts", params={"at": str(at)}) as answer:
        assert answer.status == 400
        assert reason in (error := (await answer.json())["error"])
        assert "at" in error


async def test_a_host_that_came_later_is_not_in_the_past(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant")
    await herd.second(clock)
    await daemon.recorder.look()
    before = clock.now.wall
    clock.pass_(10)
    await daemon.enrolment.add("bee")
    await daemon.recorder.look()
    assert [host["name"] for host in await ask(daemon, "hosts", before)] == ["ant"]
    assert (await ask(daemon, "hosts/bee", before, status=404))["error"].startswith("Host 'bee' was not known at")


async def test_a_host_is_found_in_the_past_by_the_name_that_it_has_now(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant")
    await herd.second(clock)
    await daemon.recorder.look()
    before = clock.now.wall
    clock.pass_(10)
    await daemon.recorder.look()
    assert (await ask(daemon, "hosts/ANT", before))["name"] == "ant"


async def test_what_was_noted_outlives_a_stop(house: House, clock: Clock) -> None:
    daemon = await house.start()
    herd = await fleet(daemon, "ant")
    await herd.second(clock)
    await daemon.recorder.look()
    before, at = await answers_of_ant(daemon), clock.now.wall
    await house.stop()
    clock.pass_(60)
    daemon = await house.start()
    assert await answers_of_ant(daemon, at) == before


async def answers_of_ant(daemon: Daemon, at: float | None = None) -> list[Any]:
    return [await ask(daemon, path, at) for path in PATHS[:3]]
