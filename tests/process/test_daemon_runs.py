"""A real daemon's life: start, reload, restart, stop, and the reasons not to start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from programs import SLOW, Agent, Daemon, eventually, ipv6_works
from virtual_agents import Fleet

PLUGINS = {"cpu_monitor", "memory_monitor", "disk_monitor", "network_monitor", "process_monitor", "os_info"}


async def test_one_command_shows_this_machine_on_both_families_with_its_data(tmp_path: Path) -> None:
    families = {"IPv4", "IPv6"} if ipv6_works() else {"IPv4"}

    async def seen() -> bool:
        hosts = await daemon.fetch("/api/0/hosts") or []
        connections = hosts[0]["connections"] if hosts else []
        alive = {one["family"] for one in connections if one["state"] == "UP" and one["rtt_ms"] is not None}
        return alive == families and hosts[0]["state"] == "UP"

    async def reported() -> bool:
        name = (await daemon.fetch("/api/0/hosts"))[0]["name"]
        found = await daemon.fetch(f"/api/0/hosts/{name}/plugins")
        return found is not None and found["plugins"].keys() >= PLUGINS

    async with Daemon(tmp_path / "daemon", "--with-agent", hbd_port=0, hb_port=0, ws_port=0) as daemon:
        await eventually(seen, 30, "the host is up with a latency on " + " and ".join(families))
        await eventually(reported, 30, f"the host has data of {PLUGINS}")


async def test_printed_urls_are_the_real_ones(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon", hbd_port=0, hb_port=0, ws_port=0) as daemon:
        printed = [url for url in daemon.printed_urls() if "/setup/" not in url]
        assert (await daemon.fetch("/api/0/status"))["urls"] == printed


async def test_stop_ends_the_agent_beside_the_daemon_too(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon", "--with-agent") as daemon:
        await eventually(lambda: _hosts_up(daemon, 1), 30, "the agent reports")
        assert await daemon.stop() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(daemon.pid, 0)


@pytest.mark.timeout(180 * SLOW)
async def test_hundred_reloads_under_load_disturb_no_agent(daemon: Daemon) -> None:
    async def reloaded() -> bool:
        status = await daemon.fetch("/api/0/status")
        return status is not None and status["reload"]["at"] != last

    last = None
    async with Fleet(daemon.url, 20, interval=0.2) as fleet:
        await asyncio.wait_for(fleet.connected(), 20 * SLOW)
        for number in range(100):
            daemon.configure(samples_per_plugin=100 + number % 2, hosts={"virtual-00001": {"tags": [f"t{number % 3}"]}})
            daemon.signal(signal.SIGHUP)
            await eventually(reloaded, 10, f"reload {number} is done")
            last = (await daemon.fetch("/api/0/status"))["reload"]["at"]
        fleet.finish()
        await eventually(fleet.settled, 20, "every report is acknowledged")
        assert fleet.tally.connections == 20
    assert "Traceback" not in daemon.text


async def test_reload_of_a_broken_config_keeps_the_old_one_and_says_so(daemon: Daemon) -> None:
    async def told() -> bool:
        return not (await daemon.fetch("/api/0/status"))["reload"]["ok"]

    async with Fleet(daemon.url, 3, interval=0.2) as fleet:
        await asyncio.wait_for(fleet.connected(), 20 * SLOW)
        daemon.config_file.write_text("interval: never\nsamples_per_plugim: 5\n")
        daemon.signal(signal.SIGHUP)
        await eventually(told, 10, "the status tells that the reload failed")
        problems = (await daemon.fetch("/api/0/status"))["reload"]["problems"]
        assert [problem.split(": ")[0] for problem in problems] == [f"{daemon.config_file}:{line}" for line in (1, 2)]
        fleet.finish()
        await eventually(fleet.settled, 20, "every report is acknowledged")
        assert fleet.tally.connections == 3


async def test_restart_knows_hosts_and_samples_again_and_calls_nobody_down(daemon: Daemon) -> None:
    async def samples() -> list[float]:
        found = await daemon.fetch("/api/0/hosts/virtual-00001/plugins/cpu_monitor?limit=100")
        return [sample["timestamp"] for sample in found["samples"]]

    async def some() -> bool:
        return fleet.tally.acked >= 12

    async with Fleet(daemon.url, 1, interval=0.1) as fleet:
        await eventually(some, 20, "a dozen reports are acknowledged")
        fleet.finish()
        await eventually(fleet.settled, 20, "every report is acknowledged")
    before = await samples()
    assert await daemon.stop() == 0
    await daemon.start()
    assert (await daemon.host("virtual-00001"))["state"] == "UNKNOWN"
    assert await samples() == before
    again = Fleet(daemon.url, 1, interval=0.1)
    again.agents[0].key = fleet.agents[0].key
    async with again:
        await eventually(lambda: _hosts_up(daemon, 1), 10, "the host is up again")


async def test_second_daemon_on_one_database_gives_up(daemon: Daemon, tmp_path: Path) -> None:
    second = Daemon(tmp_path / "second", database=str(daemon.database))
    await second.start(ready=False)
    assert await second.ended(10) == 1
    assert str(daemon.database) in second.text
    assert "Traceback" not in second.text


@pytest.mark.parametrize("key", ["hbd_port", "ws_port", "hb_port"])
async def test_taken_port_ends_the_start_with_a_reason(tmp_path: Path, key: str) -> None:
    daemon = Daemon(tmp_path / "daemon")
    port = daemon.settings[key]
    kind = socket.SOCK_DGRAM if key == "hb_port" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        await daemon.start(ready=False)
        assert await daemon.ended(10) == 1
    assert str(port) in daemon.text
    assert "Traceback" not in daemon.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_signal_ends_the_daemon_with_0(daemon: Daemon, number: signal.Signals) -> None:
    daemon.signal(number)
    assert await daemon.ended(5) == 0


async def _hosts_up(daemon: Daemon, count: int) -> bool:
    hosts = await daemon.fetch("/api/0/hosts") or []
    return len([host for host in hosts if host["state"] == "UP"]) == count


async def test_an_agent_obeys_an_interval_that_the_config_gives_and_takes_back(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "hbd") as daemon, Agent(tmp_path / "hbc", daemon.url, "web-1", interval=30) as agent:

        async def keeps(interval: float) -> bool:
            host = await daemon.host("web-1")
            connections = host["connections"] if host else []
            return bool(connections) and {connection["interval"] for connection in connections} == {interval}

        await eventually(lambda: keeps(30), 20, "the agent reports at its own interval")
        for given, expected in (({"interval": 1}, 1), ({}, 30)):
            daemon.configure(hosts={"web-1": given})
            daemon.signal(signal.SIGHUP)
            await eventually(lambda expected=expected: keeps(expected), 20, f"it reports every {expected} s")
        states = [message["msg"] for message in await daemon.fetch("/api/0/messages") if message["host"] == "web-1"]
        assert not [state for state in states if state.startswith(("OVERDUE", "DOWN"))]
        assert await agent.alive()
