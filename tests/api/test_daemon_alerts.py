"""A whole daemon that judges: from a sample or a silence to the alert, over commits, restarts and reloads."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from house import PATH, RULES, RUN, House, report

from hbd.daemon import Daemon
from hbd.errors import StorageError
from hbd.model import Beat, Family, Heartbeat, Level, Moment, Report, Sample
from hbd.pipeline import Outcome


@pytest.fixture
async def house(house: House) -> House:
    house.write(RULES)
    return house


async def cpu(daemon: Daemon, value: float, seq: int, name: str = "web-1") -> None:
    await report(daemon, name, seq=seq, data={"cpu_percent": value})


async def get(daemon: Daemon, path: str) -> Any:
    async with aiohttp.request("GET", f"{daemon.urls[0]}api/0/{path}") as answer:
        return await answer.json()


async def told(daemon: Daemon) -> list[str]:
    """The journal, oldest first, without what the daemon says of itself."""
    await report(daemon, "tail", seq=int(asyncio.get_running_loop().time() * 1e6), plugin="x", data={"y": 1})
    messages = await daemon.store.messages.recent(100)
    return [message.msg for message in reversed(messages) if message.host == "web-1" and "first" not in message.msg]


async def test_a_sample_past_a_threshold_is_an_alert_when_its_report_is_acknowledged(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 95.5, 1)
    (alert,) = (found := await get(daemon, "alerts"))["alerts"]
    assert (alert["hostname"], alert["metric_path"], alert["level"], alert["last_value"], alert["reason"]) == (
        "web-1",
        PATH,
        "CRITICAL",
        95.5,
        "CPU 95.5 > 90",
    )
    assert (found["summary"], found["host_count"]) == ({"critical": 1, "warning": 0, "unknown": 0, "total": 1}, 1)


async def test_all_that_has_a_threshold_is_listed_for_its_host(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    found = await get(daemon, "hosts/web-1/alerts")
    listed = {alert["metric_path"]: alert["level"] for alert in found["alerts"]}
    assert listed == {PATH: "OK", "presence.host": "OK", "presence.IPv4": "OK"}
    assert found["summary"] == {"ok": 3, "warning": 0, "critical": 0, "unknown": 0}


async def test_a_level_that_changes_leaves_one_line_in_the_journal(house: House) -> None:
    daemon = await house.start()
    for seq, value in enumerate((95, 96, 10, 11), start=1):
        await cpu(daemon, value, seq)
    assert await told(daemon) == [f"CRITICAL: {PATH}: CPU 95 > 90", f"OK: {PATH}: CPU 10, no longer > 80"]


async def test_alerts_and_what_was_told_outlive_a_restart(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 95, 1)
    since = (await get(daemon, "alerts"))["alerts"][0]["since"]
    daemon = await house.restart()
    (alert,) = (await get(daemon, "alerts"))["alerts"]
    assert (alert["level"], alert["since"]) == ("CRITICAL", since)
    await cpu(daemon, 96, 2)
    await cpu(daemon, 10, 3)
    assert (await get(daemon, "alerts"))["alerts"] == []
    assert [line for line in await told(daemon) if PATH in line] == [
        f"CRITICAL: {PATH}: CPU 95 > 90",
        f"OK: {PATH}: CPU 10, no longer > 80",
    ]


async def test_nothing_is_told_of_a_report_that_is_not_on_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    record = daemon.store.record

    async def full(turn: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(daemon.store, "record", full)
    with pytest.raises(StorageError):
        await cpu(daemon, 95, 2)
    assert daemon.alerts.totals().critical == 0
    monkeypatch.setattr(daemon.store, "record", record)
    await cpu(daemon, 95, 2)
    assert await told(daemon) == [f"CRITICAL: {PATH}: CPU 95 > 90"]
    assert len(await daemon.store.alerts.events(10)) == 1


async def test_a_rule_that_is_taken_away_ends_its_alert(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 95, 1)
    house.write("threshold_configs: {default: {cpu_monitor: {cpu_percent: {enabled: false}}}}\n")
    assert (await daemon.reload()).ok
    await cpu(daemon, 96, 2)
    assert (await get(daemon, "alerts"))["alerts"] == []


async def test_a_host_may_have_rules_of_its_own(house: House) -> None:
    house.write(
        RULES
        + "  calm: {cpu_monitor: {cpu_percent: {warning: 99}}}\nhosts: {web-1: {threshold_config: [default, calm]}}\n"
    )
    daemon = await house.start()
    for name in ("web-1", "web-2"):
        await cpu(daemon, 95, 1, name)
    assert [alert["hostname"] for alert in (await get(daemon, "alerts"))["alerts"]] == ["web-2"]


async def test_the_feed_tells_of_an_alert_and_of_its_end(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{daemon.urls[0]}hbd?types=alert") as ws:
        for seq, value in ((2, 95.5), (3, 10.0)):
            await cpu(daemon, value, seq)
            message = await ws.receive_json(timeout=30)
            data = message["data"]
            level = "CRITICAL" if value > 90 else "OK"
            assert message["type"] == "alert"
            assert (data["hostname"], data["metric_path"], data["level"], data["last_value"]) == (
                "web-1",
                PATH,
                level,
                value,
            )


async def silent(daemon: Daemon, seconds: float) -> None:
    """Let web-1 be silent for that long, in the daemon's own time, and have it written."""
    now = Moment.now()
    step = 1.0
    for second in range(int(seconds)):
        daemon.pipeline.tick(Moment(now.wall + second * step, now.mono + second * step))
    await report(daemon, "tail", seq=int(now.wall * 1e6), plugin="x", data={"y": 1})


async def test_a_host_that_falls_silent_is_an_alert_until_it_is_heard(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    host = daemon.hosts.require("web-1")
    await silent(daemon, 60)
    assert daemon.alerts.level(host.id, "presence.host") is Level.CRITICAL
    daemon.pipeline.beat(
        Heartbeat(host.id, Family.IPV4, "192.0.2.1", "0123456789abcdef", 1, interval=10.0), 4, Moment.now()
    )
    await report(daemon, "tail", seq=5, plugin="x", data={"y": 1})
    assert daemon.alerts.level(host.id, "presence.host") is Level.OK


async def test_the_silence_of_a_host_that_nobody_watches_is_no_alert(house: House) -> None:
    house.write(RULES + "watchhosts: [other]\n")
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    await silent(daemon, 60)
    assert daemon.alerts.get(daemon.hosts.require("web-1").id, "presence.host") is None


async def test_a_host_that_was_stopped_on_purpose_is_no_alert(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 10, 1)
    host = daemon.hosts.require("web-1")
    daemon.pipeline.farewell(host.id, Beat.STOPPED, Moment.now())
    await silent(daemon, 60)
    assert daemon.alerts.level(host.id, "presence.host") is Level.OK


async def test_a_removed_host_takes_its_alerts_along(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 95, 1)
    host = daemon.hosts.require("web-1")
    await daemon.enrolment.remove(host)
    daemon.pipeline.forget(host)
    assert daemon.alerts.totals().critical == 0
    assert await daemon.store.alerts.all() == []


# ----------------------------------------------------------------------------------------------------------- flapping


async def swing(daemon: Daemon, first: int, count: int) -> None:
    for seq in range(first, first + count):
        await cpu(daemon, 95 if seq % 2 else 10, seq)


async def test_what_flaps_is_listed_while_it_is_fine(house: House) -> None:
    daemon = await house.start()
    await swing(daemon, 1, 6)
    (alert,) = (found := await get(daemon, "alerts"))["alerts"]
    assert (alert["metric_path"], alert["level"], alert["flapping"]) == (PATH, "OK", True)
    assert found["summary"] == {"critical": 0, "warning": 0, "unknown": 0, "total": 1}


async def test_the_journal_tells_that_it_flaps_and_not_each_swing(house: House) -> None:
    daemon = await house.start()
    await swing(daemon, 1, 12)
    assert (await told(daemon))[-2:] == [
        f"CRITICAL: {PATH}: CPU 95 > 90",
        f"flapping, OK: {PATH}: CPU 10, no longer > 80",
    ]


async def test_what_flaps_flaps_after_a_restart_until_it_is_calm(house: House) -> None:
    daemon = await house.start()
    await swing(daemon, 1, 7)
    problem = daemon.alerts.get(daemon.hosts.require("web-1").id, PATH)
    daemon = await house.restart()
    host = daemon.hosts.require("web-1")
    again = daemon.alerts.get(host.id, PATH)
    assert problem is not None and again is not None
    assert (again.flapping, again.problem, again.level) == (True, problem.problem, Level.CRITICAL)
    now = Moment.now()
    daemon.pipeline.tick(Moment(now.wall + 900, now.mono + 900))
    await report(daemon, "tail", seq=int(now.wall * 1e6), plugin="x", data={"y": 1})
    (event,) = await daemon.store.alerts.events(1, [host.id])
    assert (event.flapping, event.after, event.problem) == ("ends", Level.CRITICAL, problem.problem)


# ------------------------------------------------------------------------------------------------------------ no data


class Watch:
    """web-1 with its heartbeats and reports, in the daemon's own time."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.start = Moment.now()
        self.second = 0
        self.seq = 1000

    @property
    def now(self) -> Moment:
        return Moment(self.start.wall + self.second, self.start.mono + self.second)

    async def wait(self, seconds: int, *plugins: str) -> None:
        """The daemon's own clock ticks only at the end: time that runs back and forth would be a blindness."""
        host, sent = self.daemon.hosts.require("web-1"), []
        for _ in range(seconds):
            self.second += 1
            if self.second % 10 == 0:
                self.seq += 1
                beat = Heartbeat(host.id, Family.IPV4, "192.0.2.1", RUN, self.seq, interval=10.0)
                self.daemon.pipeline.beat(beat, 4, self.now)
                if plugins:
                    sent.append(self.report(host.id, *plugins))
            self.daemon.pipeline.tick(self.now)
        await asyncio.gather(*sent)

    def report(self, host_id: int, *plugins: str) -> asyncio.Future[Outcome]:
        samples = tuple(Sample(plugin, self.now.wall, {"x": 1.0}) for plugin in plugins)
        body = msgspec.json.encode(samples)
        sent = Report(host_id, RUN, self.seq, samples, body, 0.0, 10.0, Family.IPV4, "192.0.2.1")
        return self.daemon.pipeline.accept(sent, self.now)

    async def paths(self) -> dict[str, str]:
        found = await get(self.daemon, "alerts")
        return {alert["metric_path"]: alert["level"] for alert in found["alerts"]}


async def watched(house: House) -> Watch:
    daemon = await house.start()
    await report(daemon, "web-1", seq=1, data={"x": 1.0})
    watch = Watch(daemon)
    await watch.wait(40, "cpu_monitor", "disk_monitor")
    return watch


async def test_a_plugin_that_stops_while_the_host_is_up_is_an_alert_until_it_reports(house: House) -> None:
    watch = await watched(house)
    await watch.wait(310, "disk_monitor")
    assert await watch.paths() == {"presence.data.cpu_monitor": "UNKNOWN"}
    await watch.wait(20, "cpu_monitor", "disk_monitor")
    assert await watch.paths() == {}
    lines = [line for line in await told(watch.daemon) if "presence" in line]
    assert lines == [
        "UNKNOWN: presence.data.cpu_monitor: no cpu_monitor data for 5 min",
        "OK: presence.data.cpu_monitor: data arrive again",
    ]


async def test_a_host_whose_reports_stop_while_its_heartbeats_come_is_one_alert(house: House) -> None:
    watch = await watched(house)
    await watch.wait(320)
    await report(watch.daemon, "tail", seq=int(watch.start.wall * 1e6), plugin="x", data={"y": 1})
    assert await watch.paths() == {"presence.reports": "UNKNOWN"}


async def test_a_threshold_that_is_off_switches_the_silence_of_a_plugin_off(house: House) -> None:
    house.write(f"{RULES}    presence: {{data: {{cpu_monitor: {{enabled: false}}}}}}\n")
    watch = await watched(house)
    await watch.wait(400, "disk_monitor")
    assert await watch.paths() == {}


async def test_switching_it_off_ends_what_is_told(house: House) -> None:
    watch = await watched(house)
    await watch.wait(310, "disk_monitor")
    house.write(f"{RULES}    presence: {{data: {{'*': {{enabled: false}}}}}}\n")
    assert (await watch.daemon.reload()).ok
    await watch.wait(20, "disk_monitor")
    assert await watch.paths() == {}
    lines = [line for line in await told(watch.daemon) if "presence" in line]
    assert lines[1:] == ["OK: presence.data.cpu_monitor: no longer watched"]


async def test_the_silence_of_a_plugin_is_known_after_a_restart_and_ends_with_its_sample(house: House) -> None:
    watch = await watched(house)
    await watch.wait(310, "disk_monitor")
    watch.daemon = await house.restart()
    assert await watch.paths() == {"presence.data.cpu_monitor": "UNKNOWN"}
    await watch.wait(20, "cpu_monitor", "disk_monitor")
    assert await watch.paths() == {}
