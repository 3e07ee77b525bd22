"""The lines that the pages show for other systems' agents, typed as they stand there; and one rule for all of them."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from programs import SLOW, Agent, Daemon, eventually, free_port
from test_other_systems import FULL, level, running

from hbd.web.pointing import KEY, Way, calls, ways

WITHIN = 60.0
SHELL_ONLY = ("Monitron", "HitFlow", "NOBA", "Nagios and Icinga", "A script of your own")
"""ways that are a line of a shell"""


async def sh(text: str) -> str:
    """What a line of a shell prints; it must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", text, env=kept, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30 * SLOW):
        out, err = await process.communicate()
    assert process.returncode == 0, (text, out.decode(), err.decode())
    return out.decode()


async def shown(daemon: Daemon, name: str) -> dict[str, Way]:
    """The ways of a new host, with its key in its place, by title."""
    async with aiohttp.request("POST", f"{daemon.url}/api/agents", json={"hostname": name}) as answer:
        assert answer.status == 201
        made = await answer.json()
    found = ways(daemon.url, name, made["id"])
    return {
        way.title: Way(way.title, tuple(step._replace(text=step.text.replace(KEY, made["key"])) for step in way.steps))
        for way in found
    }


@pytest.fixture(name="watching")
async def a_daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon(tmp_path / "daemon") as daemon:
        yield daemon


async def newest(daemon: Daemon, host: str) -> dict[str, Any]:
    found = await daemon.fetch(f"/api/0/hosts/{host}/plugins")
    return {name: sample["data"] for name, sample in found["plugins"].items()}


async def live_rows(daemon: Daemon) -> dict[str, str]:
    """What the live page has of each host; a cell without a number has one more class."""
    async with aiohttp.request("GET", f"{daemon.url}/live") as answer:
        rows = re.findall(r'<tr role="row" class="host".*?</tr>', await answer.text(), re.DOTALL)
    return {name[1]: row for row in rows if (name := re.search(r'href="/agent/([^"]+)"', row))}


@pytest.mark.parametrize("title", SHELL_ONLY)
async def test_every_line_with_curl_is_taken_as_it_is_shown(watching: Daemon, title: str) -> None:
    lines = [step.text for step in (await shown(watching, "web1"))[title].steps if step.text.startswith("curl ")]
    assert lines
    for line in lines:
        await sh(line)
    found = await newest(watching, "web1")
    if title == "Nagios and Icinga":
        assert found["nagios_passive"]["raid"]["disks"] == 2
    elif title == "A script of your own":
        assert found["tea"] == {"room=kitchen": {"degrees": 80}}
    else:
        assert found["cpu_monitor"]["cpu_percent"] == 12.4
        assert found["disk_monitor"]["/"]["percent"] == 62.0
        assert found["memory_monitor"]["percent"] == pytest.approx(45.0, abs=0.1)


async def test_the_lines_of_a_job_tell_how_it_ended_how_long_it_took_and_what_it_said(
    watching: Daemon, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    backup.write_text("#!/bin/sh\necho no space left >&2\nexit 3\n")
    backup.chmod(0o755)
    await shown(watching, "db1")
    job = {"name": "backup", "cron": "30 2 * * *"}
    async with aiohttp.request("POST", f"{watching.url}/api/0/hosts/db1/jobs", json=job) as answer:
        made = await answer.json()
    quiet, telling, script = (
        step.text.replace("/usr/local/bin/backup", shlex.quote(str(backup))) for step in calls(made["ping_url"], "")
    )
    await sh(f"{quiet} || true")
    path = f"/api/0/hosts/db1/jobs/{made['id']}/pings"
    assert (await watching.fetch(path))["pings"] == []
    await sh(telling)
    await sh(script)
    ended, began, told = (await watching.fetch(path))["pings"]
    assert (told["kind"], told["exit_code"]) == ("fail", 3)
    assert began["kind"] == "start"
    assert (ended["kind"], ended["exit_code"], ended["body"]) == ("fail", 3, "no space left")
    assert ended["seconds"] is not None
    backup.write_text("#!/bin/sh\nexit 0\n")
    await sh(quiet)
    assert (await watching.fetch(path))["pings"][0]["kind"] == "success"


@pytest.mark.timeout(180 * SLOW)
async def test_one_rule_fires_for_whatever_reports_and_all_of_it_is_on_live(tmp_path: Path) -> None:
    """The threshold is of the memory in use; nothing says whose."""
    port = free_port()
    (exporter,) = (way for way in ways("http://127.0.0.1", "node", 1) if way.title == "node_exporter")
    scrape = yaml.safe_load(exporter.steps[0].text)["scrape"]
    scrape["node"] |= {"urls": f"http://127.0.0.1:{port}/metrics", "interval": "1s", "timeout": "1s"}
    checks = {"bad": ["check_dummy", "2", "it is broken"]}
    async with AsyncExitStack() as programs:
        daemon = await programs.enter_async_context(Daemon(tmp_path / "daemon", threshold_configs=FULL, scrape=scrape))
        for title in ("Monitron", "HitFlow", "NOBA"):
            await sh((await shown(daemon, title.lower()))[title].steps[0].text)
        command = ("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}")
        await programs.enter_async_context(running(tmp_path / "exporter", *command))
        settings, start = (await shown(daemon, "glances"))["Glances"].steps
        config = tmp_path / "glances.conf"
        config.write_text(settings.text)
        glances = (*shlex.split(start.text), "-C", str(config), "--time", "1")
        await programs.enter_async_context(running(tmp_path / "glances", *glances))
        agent = Agent(tmp_path / "agent", daemon.url, "hbc", plugins={"nagios_runner": {"checks": checks}})
        await programs.enter_async_context(agent)

        hosts = ("monitron", "hitflow", "noba", "node", "glances", "hbc")
        for host in hosts:
            await level(daemon, host, "memory_monitor.percent", "WARNING")
        await level(daemon, "hbc", "nagios_runner.bad.state", "CRITICAL")

        async def on_live() -> bool:
            rows = await live_rows(daemon)
            return all(f'class="c-{cell}"' in rows[host] for host in hosts for cell in ("cpu", "memory", "disk"))

        await eventually(on_live, WITHIN, "all are on /live with processor, memory and disk")
