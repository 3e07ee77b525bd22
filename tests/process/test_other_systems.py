"""What people have already: an exporter that is asked, a sender that writes to an InfluxDB, checks made for Nagios.

All of them end in the same metrics, and one threshold holds for all.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from programs import Agent, Daemon, eventually, free_port

WITHIN = 60.0
FULL = {"default": {"memory_monitor": {"percent": {"operator": ">=", "warning": 0}}}}


@asynccontextmanager
async def running(folder: Path, *command: str) -> AsyncIterator[None]:
    """Somebody else's program, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    with (folder / "output").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await process.wait()


async def enrolled(daemon: Daemon, name: str) -> str:
    """The key of a new host."""
    async with aiohttp.request("POST", f"{daemon.url}/api/agents", json={"hostname": name}) as answer:
        assert answer.status == 201
        return str((await answer.json())["key"])


async def level(daemon: Daemon, host: str, path: str, wanted: str) -> Any:
    """The alert of a path, once it has that level."""

    async def look() -> Any:
        found = await daemon.fetch("/api/0/alerts") or {"alerts": []}
        return next(
            (
                alert
                for alert in found["alerts"]
                if (alert["hostname"], alert["metric_path"], alert["level"]) == (host, path, wanted)
            ),
            None,
        )

    return await eventually(look, WITHIN, f"{path} of {host} is {wanted}")


async def plugin(daemon: Daemon, host: str, name: str, *needed: str) -> Any:
    """The newest data of a plugin, once it has these metrics."""

    async def look() -> Any:
        found = await daemon.fetch(f"/api/0/hosts/{host}/plugins/{name}?limit=1")
        data = found["samples"][0]["data"] if found and found["samples"] else {}
        return data if set(needed) <= data.keys() else None

    return await eventually(look, WITHIN, f"{name} of {host} with {needed}")


async def test_node_exporter_is_scraped(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    scrape = {"node": {"urls": url, "host": "web1", "interval": "1s", "timeout": "1s"}}
    exporter = running(tmp_path / "exporter", "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}")
    async with exporter, Daemon(tmp_path / "daemon", scrape=scrape, threshold_configs=FULL) as daemon:
        await level(daemon, "web1", "memory_monitor.percent", "WARNING")
        cpu = await plugin(daemon, "web1", "cpu_monitor", "cpu_percent", "load_1min", "iowait_percent")
        assert 0 <= cpu["cpu_percent"] <= 100
        disks = await plugin(daemon, "web1", "disk_monitor")
        assert all("percent" in disk for disk in disks.values())
        network = await plugin(daemon, "web1", "network_monitor", "total")
        assert "rx_bytes_per_second" in network["total"]
        assert (await plugin(daemon, "web1", "os_info"))["agent_version"].startswith("node_exporter ")
        assert "go_goroutines" in await plugin(daemon, "web1", "node")
        assert (await daemon.host("web1"))["state"] == "UP"


async def test_an_exporter_that_ends_takes_its_host_down(tmp_path: Path) -> None:
    port = free_port()
    scrape = {"node": {"urls": f"http://127.0.0.1:{port}/metrics", "host": "web1", "interval": "1s", "timeout": "1s"}}
    command = ("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}")
    async with Daemon(tmp_path / "daemon", scrape=scrape, grace=2) as daemon:
        async with running(tmp_path / "exporter", *command):
            await plugin(daemon, "web1", "cpu_monitor", "load_1min")
        await level(daemon, "web1", "presence.host", "CRITICAL")


async def test_glances_writes_to_hbd_as_to_an_influxdb(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon", threshold_configs=FULL) as daemon:
        key = await enrolled(daemon, "nas1")
        config = tmp_path / "glances.conf"
        config.write_text(
            f"[influxdb]\nhost=127.0.0.1\nport={daemon.settings['hbd_port']}\nprotocol=http\nuser=hbd\n"
            f"password={key}\ndb=glances\n"
        )
        command = ("glances", "-C", str(config), "-q", "--export", "influxdb", "--time", "1")
        async with running(tmp_path / "glances", *command):
            await level(daemon, "nas1", "memory_monitor.percent", "WARNING")
            cpu = await plugin(daemon, "nas1", "cpu_monitor", "cpu_percent", "load_1min", "load_per_core")
            assert 0 <= cpu["cpu_percent"] <= 100
            disks = await plugin(daemon, "nas1", "disk_monitor")
            assert all("percent" in disk for disk in disks.values())
            network = await plugin(daemon, "nas1", "network_monitor", "lo")
            assert "rx_bytes" in network["lo"]
            assert (await daemon.host("nas1"))["state"] == "UP"


async def test_checks_made_for_nagios_run_in_the_agent(tmp_path: Path) -> None:
    checks = {
        "load": ["check_load", "-w", "900,900,900", "-c", "999,999,999"],
        "disk": {"command": ["check_disk", "-w", "1%", "-p", "/"], "interval": 1},
        "bad": ["check_dummy", "2", "it is broken"],
        "missing": ["check_that_is_not_there"],
    }
    async with (
        Daemon(tmp_path / "daemon", threshold_configs=FULL) as daemon,
        Agent(tmp_path / "agent", daemon.url, "db1", plugins={"nagios_runner": {"checks": checks}}),
    ):
        await level(daemon, "db1", "memory_monitor.percent", "WARNING")
        await level(daemon, "db1", "nagios_runner.bad.state", "CRITICAL")
        await level(daemon, "db1", "nagios_runner.missing.state", "UNKNOWN")
        found = await plugin(daemon, "db1", "nagios_runner", *checks)
        assert found["bad"]["output"] == "CRITICAL: it is broken"
        assert (found["load"]["state"], found["disk"]["state"]) == (0, 0)
        assert found["load"]["load1"] >= 0
        assert found["disk"]["/"] > 0


async def curl(*arguments: str) -> str:
    """What it prints; it must succeed."""
    process = await asyncio.create_subprocess_exec("curl", "-fsS", *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_job_that_stops_calling_is_told_and_comes_back(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon", hosts={"db1": {}}) as daemon:
        job = {"name": "backup", "period": 3, "grace": 3}
        async with aiohttp.request("POST", f"{daemon.url}/api/0/hosts/db1/jobs", json=job) as answer:
            url = (await answer.json())["ping_url"]
        assert await curl(url) == "OK"
        await level(daemon, "db1", "jobs.backup.state", "CRITICAL")
        assert await curl("-X", "POST", "--data-binary", "no space left", f"{url}/log") == "OK"
        assert await curl(f"{url}/0") == "OK"

        async def well() -> bool:
            return (await daemon.fetch("/api/0/hosts/db1/jobs"))["jobs"][0]["status"] in ("up", "late")

        await eventually(well, WITHIN, "the job is well")
        await daemon.kill()
        await daemon.start()
        (known,) = (await daemon.fetch("/api/0/hosts/db1/jobs"))["jobs"]
        assert known["ping_url"] == url
        assert await curl(f"{url}/7") == "OK"
        await level(daemon, "db1", "jobs.backup.state", "CRITICAL")
