"""A whole daemon that foretells and measures: time to full and clock skew over restarts and failed commits, thresholds
by tag, and the command that explains them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house import RUN, House

from hbd import control
from hbd.cli import main
from hbd.daemon import Daemon
from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.model import Data, Family, Heartbeat, Level, Moment, Report, Sample

LEFT = "disk_monitor./.hours_to_full"
SKEW = "agent_monitor.clock_skew_seconds"
RULES = """
threshold_configs:
  calm: {cpu_monitor: {cpu_percent: {warning: 99}}}
  nervous: {cpu_monitor: {cpu_percent: {warning: 50}}}
threshold_assignments:
  bare: {hosts: "web-*", config: nervous}
  tagged: {tags: quiet, config: calm}
"""


@pytest.fixture
async def house(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    # Reports bring their own time with them here, which lies in the past.
    monkeypatch.setattr("hbd.daemon.TICK_SECONDS", 3600.0)
    house.write(RULES)
    return house


async def send(
    daemon: Daemon, plugin: str, data: Data, now: Moment, seq: int, agent_time: float | None = None
) -> Sample:
    """A report that is acknowledged; the sample as it is in memory."""
    if daemon.hosts.get("web-1") is None:
        await daemon.enrolment.add("web-1")
    host = daemon.hosts.require("web-1")
    body = msgspec.json.encode([{"plugin": plugin, "time": now.wall, "data": data}])
    sample = Sample(plugin, now.wall, data)
    report = Report(host.id, RUN, seq, (sample,), body, 0.0, 10.0, Family.IPV4, "192.0.2.1", agent_time)
    await daemon.pipeline.accept(report, now)
    newest = daemon.rings.latest(host.id, plugin)
    assert newest is not None
    return newest


def moments(hours: float, step: float = 300.0) -> list[Moment]:
    """Times up to now, so that the clock of the machine need not be touched."""
    now, count = Moment.now(), int(hours * 3600 / step)
    return [Moment(now.wall - ago * step, now.mono - ago * step) for ago in range(count, -1, -1)]


async def fill(house: House, daemon: Daemon, *, kills: bool) -> tuple[list[Any], Daemon]:
    """A disk that fills by 10 % an hour for two and a half hours: (what was told of it, the daemon)."""
    values = []
    for seq, now in enumerate(moments(2.5), 1):
        percent = 60.0 + round(seq * 10 / 12, 1)
        sample = await send(daemon, "disk_monitor", {"/": {"percent": percent}}, now, seq)
        alert = daemon.alerts.get(daemon.hosts.require("web-1").id, LEFT)
        values.append((sample.data["/"].get("hours_to_full"), alert.level if alert else None))
        if kills and seq % 7 == 0:
            await asyncio.sleep(0)
            daemon = await house.restart()
    return values, daemon


async def test_a_disk_that_fills_up_is_an_alert(house: House) -> None:
    values, daemon = await fill(house, await house.start(), kills=False)
    assert values[-1][0] == pytest.approx((100 - 85.8) / 10, rel=0.1)
    assert values[-1][1] is Level.CRITICAL
    host = daemon.hosts.require("web-1")
    told = [event.reason for event in await daemon.store.alerts.events(10, [host.id]) if event.path == LEFT]
    assert [reason.split(" < ")[1] for reason in told] == ["4 for 30 min"]


async def test_restarts_make_no_difference_to_what_is_foretold_and_told(house: House, tmp_path: Path) -> None:
    values, _ = await fill(house, await house.start(), kills=False)
    await house.stop()
    (tmp_path / "other").mkdir()
    other = House(tmp_path / "other")
    try:
        killed, _ = await fill(other, await other.start(), kills=True)
    finally:
        await other.stop()
    assert killed == values


async def test_what_is_added_is_in_the_database_as_in_memory(house: House) -> None:
    _, daemon = await fill(house, await house.start(), kills=False)
    host = daemon.hosts.require("web-1")
    held = daemon.rings.newest(host.id, "disk_monitor", 100)
    assert held[0].data["/"]["hours_to_full"] < 4
    assert (await daemon.store.samples.newest(host.id, 100, 1 << 40))[::-1] == held


async def test_a_failed_commit_leaves_no_trace_in_what_is_foretold(house: House, monkeypatch: Any) -> None:
    daemon = await house.start()
    points = moments(1.0)
    for seq, now in enumerate(points[:-1], 1):
        await send(daemon, "disk_monitor", {"/": {"percent": 60.0 + seq}}, now, seq)
    before = await daemon.store.trends.all()

    async def full(turn: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(daemon.store, "record", full)
        with pytest.raises(StorageError):
            await send(daemon, "disk_monitor", {"/": {"percent": 99.0}}, points[-1], 99)
    assert await daemon.store.trends.all() == before
    sample = await send(daemon, "disk_monitor", {"/": {"percent": 72.0}}, points[-1], 100)
    assert sample.data["/"]["hours_to_full"] == pytest.approx(28 / 12, rel=0.15)


async def test_a_row_that_cannot_be_written_takes_no_other_trend_with_it(house: House, monkeypatch: Any) -> None:
    daemon = await house.start()
    record = daemon.store.record

    async def picky(turn: Any) -> None:
        if len(turn.reports) > 1 or any(report.seq == 66 for report, _ in turn.reports):
            raise ValueError("poison")
        await record(turn)

    monkeypatch.setattr(daemon.store, "record", picky)
    (now,) = moments(0.0)
    await daemon.enrolment.add("web-1")
    good, bad = (
        asyncio.ensure_future(send(daemon, "disk_monitor", {"/": {"percent": 60.0}}, now, seq)) for seq in (1, 66)
    )
    await asyncio.wait({good, bad})
    assert good.exception() is None
    assert bad.exception() is not None
    assert len(await daemon.store.trends.all()) == 1


async def test_a_clock_that_is_off_is_shown_and_judged(house: House) -> None:
    daemon = await house.start()
    for seq, now in enumerate(moments(0.2, 10.0), 1):
        sample = await send(daemon, "agent_monitor", {"rss_mb": 20}, now, seq, now.wall - 90.0)
    assert sample.data["clock_skew_seconds"] == 90.0
    alert = daemon.alerts.get(daemon.hosts.require("web-1").id, SKEW)
    assert alert is not None
    assert (alert.level, alert.reason) == (Level.WARNING, "Clock skew in seconds 90 > 30 for 5 min")


async def test_heartbeats_tell_the_clock_better_than_late_reports(house: House) -> None:
    daemon = await house.start()
    await daemon.enrolment.add("web-1")
    host, now = daemon.hosts.require("web-1"), Moment.now()
    beat = Heartbeat(host.id, Family.IPV4, "192.0.2.1", RUN, 1, interval=10.0, agent_time=now.wall - 0.01)
    daemon.pipeline.beat(beat, 4, now)
    sample = await send(daemon, "agent_monitor", {"rss_mb": 20}, now, 1, now.wall - 300.0)
    assert sample.data["clock_skew_seconds"] == 0.01


# --------------------------------------------------------------------------------------------------- thresholds by tag


def warning(daemon: Daemon, host: Host) -> float | None:
    rules = daemon.pipeline.rules.of(host.threshold_config)
    return rules.explain("cpu_monitor.cpu_percent")[0].threshold.warning


async def test_a_host_that_the_file_does_not_name_has_what_fits_its_name(house: House) -> None:
    daemon = await house.start()
    await daemon.enrolment.add("web-1")
    await daemon.enrolment.add("db-1")
    assert warning(daemon, daemon.hosts.require("web-1")) == 50
    assert warning(daemon, daemon.hosts.require("db-1")) == 90


async def test_tags_that_an_agent_comes_back_with_count_at_once(house: House) -> None:
    daemon = await house.start()
    (now,) = moments(0.0)
    await send(daemon, "cpu_monitor", {"cpu_percent": 60.0}, now, 1)
    host = daemon.hosts.require("web-1")
    assert daemon.alerts.level(host.id, "cpu_monitor.cpu_percent") is Level.WARNING
    daemon.pipeline.facts(host, tags=["quiet"])
    daemon.links.on_facts(host)
    assert warning(daemon, host) == 99
    await send(daemon, "cpu_monitor", {"cpu_percent": 60.0}, Moment.now(), 2)
    assert daemon.alerts.level(host.id, "cpu_monitor.cpu_percent") is Level.OK


async def test_a_reload_changes_who_has_what(house: House) -> None:
    daemon = await house.start()
    await daemon.enrolment.add("db-1")
    house.write(RULES.replace('"web-*"', '"db-*"'))
    assert (await daemon.reload()).ok
    assert warning(daemon, daemon.hosts.require("db-1")) == 50


# ------------------------------------------------------------------------------------------------------ hbd explain


async def test_the_command_line_asks_the_running_daemon(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = await house.start()
    await send(daemon, "cpu_monitor", {"cpu_percent": 60.0}, Moment.now(), 1)
    words = ["explain", "-c", str(house.file), "web-1", "cpu_monitor.cpu_percent"]
    assert await asyncio.to_thread(main, words) == 0
    told = capsys.readouterr().out
    assert told.startswith("cpu_monitor.cpu_percent of web-1 is WARNING since")
    assert "the config nervous (from threshold_assignments.bare) counts" in told
    assert "its config does not hold for this host" in told
    found = await asyncio.to_thread(control.ask, daemon.config.database, "explain", host="web-1", metric="x.y")
    assert found["metric_path"] == "x.y"


async def test_without_a_daemon_the_database_answers(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = await house.start()
    await send(daemon, "cpu_monitor", {"cpu_percent": 60.0}, Moment.now(), 1)
    running = await asyncio.to_thread(
        control.ask, daemon.config.database, "explain", host="web-1", metric="cpu_monitor.cpu_percent"
    )
    await house.stop()
    words = ["explain", "-c", str(house.file), "web-1", "cpu_monitor.cpu_percent", "--json"]
    assert await asyncio.to_thread(main, words) == 0
    offline = json.loads(capsys.readouterr().out)
    same = ("rules", "layers", "events", "sample")
    assert {key: offline[key] for key in same} == {key: running[key] for key in same}
    assert offline["alert"]["level"] == "WARNING"
    assert offline["notices"] is None


async def test_an_unknown_host_is_an_error_of_the_command(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    await house.start()
    assert await asyncio.to_thread(main, ["explain", "-c", str(house.file), "nobody", "x.y"]) == 1
    assert "Host 'nobody' not found" in capsys.readouterr().err
