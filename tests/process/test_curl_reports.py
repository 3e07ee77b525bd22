"""Agents of other systems that are a shell script around curl, against a real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import SLOW, Daemon

MONITRON = {
    "cpu_usage": 23.5,
    "memory_usage": 67.4,
    "memory_total_mb": 8192,
    "disk_usage": [{"mount": "/", "usage": 91, "size": "50G", "used": "45G", "avail": "5G"}],
    "os": "Ubuntu 24.04 LTS",
}
HITFLOW = {
    "operating_system": "Debian GNU/Linux 12",
    "uptime": 86400,
    "load_average": [0.5, 0.25, 1.0],
    "cpu": 23.5,
    "memory": {"available": 4096, "total": 16384, "used": 12288},
    "swap": {"available": 2048, "total": 2048, "used": 0},
    "storage": [{"name": "/", "total": 100, "used": 91}],
    "process": [["nginx", "www-data", 1.5, 120]],
}


async def run(*command: str) -> str:
    """What a program prints; it must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        *command, env=kept, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30 * SLOW):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def key_of(daemon: Daemon, name: str) -> str:
    return (await run(sys.executable, "-m", "hbd", "agent", "add", name, "-c", str(daemon.config_file))).strip()


async def posted(url: str, report: dict[str, Any], *headers: str) -> tuple[int, Any]:
    """(status, answer) of a report that curl sends."""
    options = [option for header in ("Content-Type: application/json", *headers) for option in ("-H", header)]
    out = await run("curl", "-sS", "-w", "\n%{http_code}", *options, "-d", json.dumps(report), url)
    body, _, status = out.rpartition("\n")
    return int(status), json.loads(body)


@pytest.fixture(name="watching")
async def a_daemon(tmp_path: Path) -> Any:
    settings = {"hosts": {"shy": {"enabled": False}, "slow": {"min_report_interval": "1h"}}}
    async with Daemon(tmp_path / "daemon", **settings) as running:
        yield running


async def test_a_script_of_text_001_is_seen_judged_and_logged(watching: Daemon) -> None:
    report = {"agent_key": await key_of(watching, "web1")} | MONITRON
    assert await posted(f"{watching.url}/agent/report", report) == (200, {"status": "ok"})
    await is_seen(watching, "web1", "monitron", "Ubuntu 24.04 LTS")
    assert await posted(f"{watching.url}/agent/report", MONITRON | {"agent_key": "0" * 64}) == (
        404,
        {"message": "nobody has this agent key"},
    )


async def test_a_script_of_text_000_is_seen_judged_and_logged(watching: Daemon) -> None:
    url, headers = f"{watching.url}/agent/v1/report", await headers_of(watching, "web2")
    status, answer = await posted(url, HITFLOW, *headers)
    assert (status, answer["error"]) == (200, 0)
    await is_seen(watching, "web2", "hitflow", "Debian GNU/Linux 12")
    status, answer = await posted(url, HITFLOW | {"cpu": 101}, *headers)
    assert (status, answer["error"], answer["input"]) == (400, 21101, {"cpu": "must be between 0 and 100"})
    status, answer = await posted(url, HITFLOW)
    assert (status, answer["error"]) == (401, 10000)


async def test_the_config_says_who_may_report_and_how_often(watching: Daemon) -> None:
    url = f"{watching.url}/agent/v1/report"
    for name, codes in (("shy", [(403, 22038)]), ("slow", [(200, 0), (429, 22037)])):
        headers = await headers_of(watching, name)
        answers = [await posted(url, HITFLOW, *headers) for _ in codes]
        assert [(status, answer["error"]) for status, answer in answers] == codes


async def headers_of(daemon: Daemon, name: str) -> tuple[str, str]:
    return f"HitFlow-Agent-Token: {await key_of(daemon, name)}", f"HitFlow-Agent-Server: {name}"


async def is_seen(daemon: Daemon, name: str, receiver: str, os_name: str) -> None:
    """The host is up, its metrics have the names they always have, the default rule for disks fires."""
    host = await daemon.host(name)
    assert (host["state"], host["os"]) == ("UP", os_name)
    plugins = (await daemon.fetch(f"/api/0/hosts/{name}/plugins"))["plugins"]
    assert plugins["cpu_monitor"]["data"]["cpu_percent"] == 23.5
    assert plugins["disk_monitor"]["data"]["/"]["percent"] == 91
    (alert,) = [alert for alert in (await daemon.fetch("/api/0/alerts"))["alerts"] if alert["hostname"] == name]
    assert (alert["metric_path"], alert["level"]) == ("disk_monitor./.percent", "WARNING")
    (logged,) = (await daemon.fetch(f"/api/0/hosts/{name}/reports"))["reports"]
    assert (logged["receiver"], logged["status"]) == (receiver, 200)
