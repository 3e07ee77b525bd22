"""A whole daemon that has processes watched: what agents hear, what is told, and what outlives a restart."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from house import House, report

from hbc import wire
from hbd.config import Config
from hbd.daemon import Daemon
from hbd.enrolment import LiveKey
from hbd.errors import StorageError
from hbd.explain import offline
from hbd.hosts import Hosts
from hbd.model import Data, Level, Moment
from hbd.process_register import ProcessRegister
from hbd.processes import ProcessSample, Watched
from hbd.receivers.agent_frames import Hello
from hbd.receivers.agent_link import Link
from hbd.store import Turn
from hbd.store.audit import Entry

ENTRY = Entry(time=0.0, user="", via="cli", action="test")
COUNT = "watched_processes.nginx.count"
RESTARTS = "watched_processes.nginx.restarts"
_seqs = itertools.count(1)


@pytest.fixture
async def daemon(house: House) -> Daemon:
    running: Daemon = await house.start()
    await running.enrolment.add("web-1")
    return running


async def watch(daemon: Daemon, name: str = "nginx", **settings: Any) -> Watched:
    host = daemon.hosts.require("web-1")
    wanted = Watched(host_id=host.id, user_id=None, name=name, created=time.time(), **settings)
    return (await daemon.processes.add(wanted, ENTRY)).watched


async def seen(daemon: Daemon, count: int = 1, start: float = 1000.0, name: str = "nginx", **more: Any) -> None:
    values: Data = {"count": count, "cpu_percent": 1.0, "memory_percent": 2.0} | more
    if count:
        values |= {"oldest_start_time": start, "oldest_after_boot_seconds": start}
    await report(daemon, seq=next(_seqs), plugin="watched_processes", data={name: values})


def told(daemon: Daemon) -> dict[str, Level]:
    alerts = daemon.alerts.of(daemon.hosts.require("web-1").id)
    return {alert.path: alert.level for alert in alerts if alert.plugin == "watched_processes"}


async def settle(daemon: Daemon) -> None:
    """Let time pass once, and what it brings be written."""
    daemon.pipeline.tick(Moment.now())
    await report(daemon, "tail", seq=next(_seqs))


# ------------------------------------------------------------------------------------------------------------- alerts


async def test_a_process_that_is_gone_is_an_alert_when_its_report_is_acknowledged(daemon: Daemon) -> None:
    await watch(daemon)
    await seen(daemon, count=0)
    (alert,) = daemon.alerts.not_ok()
    assert (alert.path, alert.level, alert.reason) == (COUNT, Level.CRITICAL, "nginx processes 0 < 1")


async def test_a_restart_is_an_alert_that_outlives_it(daemon: Daemon) -> None:
    await watch(daemon, alert_on_restart=True)
    for start in (1000.0, 2000.0, 2000.0):
        await seen(daemon, start=start)
    assert told(daemon) == {COUNT: Level.OK, RESTARTS: Level.WARNING}


@pytest.mark.parametrize("change", [{"enabled": False}, {"alert_on_down": False}, {"name": "caddy"}])
async def test_an_alert_ends_with_what_it_was_about_though_no_sample_comes(
    daemon: Daemon, change: dict[str, Any]
) -> None:
    watched = await watch(daemon)
    await seen(daemon, count=0)
    await daemon.processes.change(watched.host_id, watched.id, change, ENTRY)
    await settle(daemon)
    assert told(daemon) == {}


async def test_an_alert_by_a_threshold_config_goes_on_when_the_process_is_changed(house: House) -> None:
    house.write("threshold_configs: {default: {watched_processes: {'*': {cpu_percent: {warning: 50}}}}}\n")
    daemon = await house.start()
    await daemon.enrolment.add("web-1")
    watched = await watch(daemon)
    await seen(daemon, cpu_percent=90.0)
    await daemon.processes.change(watched.host_id, watched.id, {"memory_limit": 30.0}, ENTRY)
    await settle(daemon)
    assert told(daemon)["watched_processes.nginx.cpu_percent"] is Level.WARNING


async def test_an_alert_of_a_deleted_process_ends(daemon: Daemon) -> None:
    watched = await watch(daemon)
    await seen(daemon, count=0)
    await daemon.processes.delete(watched.host_id, watched.id, ENTRY)
    await settle(daemon)
    assert told(daemon) == {}
    messages = [message.msg for message in await daemon.store.messages.recent(100)]
    assert f"OK: {COUNT}: no rule any more" in messages


async def test_a_reload_ends_no_alert_of_a_process(house: House, daemon: Daemon) -> None:
    await watch(daemon)
    await seen(daemon, count=0)
    await daemon.reload()
    await settle(daemon)
    assert told(daemon) == {COUNT: Level.CRITICAL}


async def test_a_threshold_config_makes_a_process_wait(house: House, daemon: Daemon) -> None:
    await watch(daemon)
    rule = '{operator: "<", critical: 1, for: 5m}'
    house.write(f'threshold_configs: {{default: {{watched_processes: {{"*": {{count: {rule}}}}}}}}}\n')
    await daemon.reload()
    await seen(daemon, count=0)
    assert told(daemon) == {COUNT: Level.OK}


async def test_why_a_process_has_its_level_is_explained(house: House, daemon: Daemon) -> None:
    await watch(daemon, alert_on_cpu=True, cpu_limit=80.0)
    await seen(daemon, cpu_percent=93.0)
    host, path = daemon.hosts.require("web-1"), "watched_processes.nginx.cpu_percent"
    running = await daemon.explainer.explain(host, path, None, time.time())
    assert "The threshold watched_processes.nginx.cpu_percent of the watched process itself counts: " in "".join(
        running.text
    )
    assert (running.rules[0].warning, running.rules[0].applies) == (80.0, True)
    hosts = Hosts()
    hosts.add(host)
    without = await (await offline(daemon.config, daemon.store, hosts)).explain(host, path, None, time.time())
    assert without.rules == running.rules


# ------------------------------------------------------------------------------------------------------------ restarts


async def test_what_was_watched_and_seen_outlives_a_restart_of_the_daemon(house: House, daemon: Daemon) -> None:
    watched = await watch(daemon, alert_on_restart=True, cpu_limit=33.3)
    await seen(daemon, start=1000.0)
    before = daemon.processes.get(watched.host_id, watched.id)
    daemon = await house.restart()
    after = daemon.processes.get(watched.host_id, watched.id)
    assert after.watched == before.watched
    assert after.newest is not None
    assert (after.newest.count, after.newest.oldest_start) == (1, 1000.0)


@pytest.mark.parametrize("gone", [False, True])
async def test_a_restart_while_the_daemon_was_away_is_noticed(house: House, daemon: Daemon, gone: bool) -> None:
    watched = await watch(daemon, alert_on_restart=True)
    await seen(daemon, start=1000.0)
    if gone:
        await seen(daemon, count=0)
    daemon = await house.restart()
    await seen(daemon, start=2000.0)
    assert told(daemon)[RESTARTS] is Level.WARNING
    assert (await daemon.processes.history(watched, time.time())).restarts == 1


async def test_a_sample_that_the_disk_refused_counts_once_it_is_taken(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await watch(daemon)
    await seen(daemon, start=1000.0)
    record = daemon.store.record

    async def refuse(turn: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(daemon.store, "record", refuse)
    with pytest.raises(StorageError):
        await seen(daemon, start=2000.0)
    monkeypatch.setattr(daemon.store, "record", record)
    await seen(daemon, start=2000.0)
    history = await daemon.processes.history(watched, time.time())
    assert (history.total, history.restarts) == (2, 1)


async def test_a_change_that_the_disk_refuses_changes_nothing(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = await watch(daemon)

    async def refuse(work: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(daemon.store.database, "write", refuse)
    with pytest.raises(StorageError):
        await watch(daemon, "cron")
    with pytest.raises(StorageError):
        await daemon.processes.delete(watched.host_id, watched.id, ENTRY)
    assert daemon.processes.watches.names(watched.host_id) == ["nginx"]


async def test_changes_at_the_same_time_are_all_made(daemon: Daemon) -> None:
    watched = await watch(daemon)
    changes: list[dict[str, Any]] = [{"cpu_limit": 1.0}, {"memory_limit": 2.0}, {"alert_on_cpu": True}]
    await asyncio.gather(*(daemon.processes.change(watched.host_id, watched.id, one, ENTRY) for one in changes))
    after = daemon.processes.get(watched.host_id, watched.id).watched
    assert (after.cpu_limit, after.memory_limit, after.alert_on_cpu) == (1.0, 2.0, True)


async def test_a_name_that_is_asked_for_twice_at_the_same_time_is_watched_once(daemon: Daemon) -> None:
    made = await asyncio.gather(watch(daemon), watch(daemon), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["Duplicate", "Watched"]


async def test_a_host_that_is_removed_takes_its_processes_along(daemon: Daemon) -> None:
    watched = await watch(daemon)
    await seen(daemon)
    await daemon.agents.remove(daemon.hosts.require("web-1"), ENTRY)
    assert daemon.processes.watches.of(watched.host_id) == []
    for sql in ("SELECT id FROM processes", "SELECT id FROM process_samples"):
        assert await daemon.store.database.read(lambda db, sql=sql: db.execute(sql).fetchall()) == []


async def test_old_samples_are_forgotten_and_restarts_of_a_day_are_not(daemon: Daemon) -> None:
    watched = await watch(daemon)
    for start in (1000.0, 2000.0, 2000.0):
        await seen(daemon, start=start)
    now = time.time()
    await daemon.upkeep.prune(now + daemon.config.retention.samples - 60)
    assert (await daemon.processes.history(watched, now - 60)).total == 3
    assert await daemon.store.processes.prune(now + 1, now - 86_400) == 2
    history = await daemon.processes.history(watched, now - 60)
    assert (history.total, history.restarts) == (1, 1)
    assert await daemon.store.processes.prune(now + 1, now + 1) == 1


async def test_a_sample_that_is_written_after_its_process_got_another_name_is_dropped(daemon: Daemon) -> None:
    watched = await watch(daemon)
    await daemon.processes.change(watched.host_id, watched.id, {"name": "caddy"}, ENTRY)
    rows = [ProcessSample(watched.id, name, time.time(), 1, 1.0, 1.0, None, None) for name in ("nginx", "caddy")]
    await daemon.store.record(Turn(processes=rows))
    assert (await daemon.processes.history(watched, time.time())).total == 1


# ------------------------------------------------------------------------------------------------------------- agents


class Agent:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def hello(self, key: str) -> dict[str, Any]:
        hello = wire.Hello(
            type="hello",
            protocol=wire.PROTOCOL,
            version="1",
            name="web-1",
            key=key,
            boot_id="boot",
            run_id="0" * 16,
            time=time.time(),
            interval=10.0,
            event="started",
            capabilities=[],
            tags=[],
        )
        await self._socket.send_str(json.dumps(hello))
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self._socket.receive_str(timeout=10))
        return found


@pytest.fixture
async def agent(daemon: Daemon) -> AsyncIterator[Agent]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(daemon.urls[0].rstrip("/") + wire.LINK_PATH) as socket,
    ):
        yield Agent(socket)


async def test_an_agent_hears_with_its_welcome_what_to_watch(daemon: Daemon, agent: Agent) -> None:
    await watch(daemon, "nginx")
    await watch(daemon, "cron")
    await watch(daemon, "sshd", enabled=False)
    assert (await agent.hello(await daemon.enrolment.rotate(daemon.hosts.require("web-1"))))["watch"] == [
        "nginx",
        "cron",
    ]


async def test_an_agent_hears_at_once_of_every_other_list(daemon: Daemon, agent: Agent) -> None:
    assert "watch" not in await agent.hello(await daemon.enrolment.rotate(daemon.hosts.require("web-1")))
    watched = await watch(daemon)
    other = await watch(daemon, "cron", enabled=False)
    await daemon.processes.change(watched.host_id, watched.id, {"cpu_limit": 1.0}, ENTRY)
    await daemon.processes.change(other.host_id, other.id, {"enabled": True}, ENTRY)
    await daemon.processes.delete(watched.host_id, watched.id, ENTRY)
    heard = [(await agent.hear())["names"] for _ in range(3)]
    assert heard == [["nginx"], ["nginx", "cron"], ["cron"]]


class Line:
    """The daemon's end of a connection, which keeps what is sent."""

    closed = False

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_str(self, text: str) -> None:
        self.sent.append(json.loads(text)["type"])


async def test_nothing_is_heard_before_the_welcome(daemon: Daemon) -> None:
    hello = Hello(wire.PROTOCOL, "1", "web-1", "boot", "0" * 16, time.time(), 10.0)
    line = Line()
    key = LiveKey(daemon.hosts.require("web-1"), b"", 0.0, None, True)
    link = Link(daemon.links, cast(Any, line), key, hello, None)
    assert link.send({"type": "watch", "names": []})
    await asyncio.sleep(0)
    assert line.sent == []
    await link.welcome(0)
    async with asyncio.timeout(30):
        while len(line.sent) < 2:
            await asyncio.sleep(0)
    assert line.sent == ["welcome", "watch"]


# --------------------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("", ("self-hosted", 100)),
        ("plans: {self-hosted: {limit: 3}}\n", ("self-hosted", 3)),
        ("plans: {home: {}, pro: {limit: 250}}\n", ("home", 100)),
    ],
)
async def test_the_first_plan_of_the_config_counts_from_the_reload_on(
    house: House, daemon: Daemon, text: str, plan: tuple[str, int]
) -> None:
    house.write(text)
    await daemon.reload()
    assert daemon.processes.plan == plan


def test_without_a_config_there_is_the_plan_of_those_who_host_themselves(daemon: Daemon) -> None:
    register = ProcessRegister(Config(), daemon.store, daemon.processes.watches, daemon.alerts)
    assert register.plan == ("self-hosted", 100)
