"""The set-up of docs/scaling.md as it stands there: hbd, VictoriaMetrics and Alertmanager, with its files and commands.

Only ports and folders are others.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from dashboards import dashboard, filled_in, queries, site
from programs import SLOW, eventually, free_port

DOC = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
STORE, ALERTMANAGER, TEAM, HBD = "8428", "9093", "8080", "50004"


def shown(language: str, begin: str) -> str:
    """The block of the document that begins like that."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(begin)]
    return str(found)


def moved(text: str, ports: dict[str, str]) -> str:
    """With other ports and folders."""
    return re.sub(r":(\d{4,5})\b", lambda match: ":" + ports.get(match[1], match[1]), text).replace("/var/lib", "data")


@asynccontextmanager
async def started(command: str, folder: Path, *options: str) -> AsyncIterator[None]:
    program, *arguments = shlex.split(command.replace("\\\n", ""))
    with (folder / f"{program}.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, *options, cwd=folder, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def asked(http: aiohttp.ClientSession, url: str, **parameters: str) -> Any:
    """The JSON of an answer; None while nobody answers."""
    try:
        async with http.get(url, params=parameters) as answer:
            told = await answer.json()
    except aiohttp.ClientConnectionError:
        return None
    assert answer.status == 200, told
    return told


@pytest.mark.timeout(240 * SLOW)
async def test_the_set_up_works_as_it_is_shown(tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in (STORE, ALERTMANAGER, TEAM)}
    settings = yaml.safe_load(moved(shown("yaml", "# hbd.yaml"), ports))
    settings["remote_write"]["store"]["interval"] = "1s"
    async with AsyncExitStack() as programs:
        daemon = await programs.enter_async_context(site(tmp_path, **settings))
        ports[HBD] = str(daemon.settings["hbd_port"])
        scraped = moved(shown("yaml", "# scrape.yml"), ports).replace("scrape_interval: 15s", "scrape_interval: 1s")
        (tmp_path / "scrape.yml").write_text(scraped)
        (tmp_path / "alertmanager.yml").write_text(moved(shown("yaml", "# alertmanager.yml"), ports))
        store = moved(shown("sh", "victoria-metrics"), ports)
        # What is new is shown at once, and not after half a minute.
        await programs.enter_async_context(started(store, tmp_path, "-search.latencyOffset=0s"))
        await programs.enter_async_context(started(moved(shown("sh", "prometheus-alertmanager"), ports), tmp_path))
        http = await programs.enter_async_context(aiohttp.ClientSession())

        async def series(query: str) -> list[Any]:
            told = await asked(http, f"http://127.0.0.1:{ports[STORE]}/api/v1/query", query=query)
            return [] if told is None else list(told["data"]["result"])

        async def unanswered() -> list[str]:
            """The queries of the dashboard that have no answer yet."""
            found = []
            for where, query in queries(dashboard("prometheus.json")):
                expression = filled_in(query["expr"], hosts=".*")
                if labels := re.fullmatch(r"label_values\((.+), (\w+)\)", expression):
                    expression = f"group by ({labels[2]}) ({labels[1]})"
                if not await series(expression):
                    found.append(where)
            return found

        async def everything_is_there() -> bool:
            return not await unanswered()

        try:
            await eventually(everything_is_there, 60, "every query of the dashboard has an answer")
        except AssertionError:
            raise AssertionError(await unanswered()) from None

        for line in shown("sh", "curl").splitlines():
            what = re.search(r"query=(.+)'", line)
            if what is not None:
                assert [float(found["value"][1]) for found in await series(what[1])] == [1.0], what[1]
        assert len(await series("hbd_cpu_ratio")) == 1  # what is sent is not scraped as well

        async def told() -> bool:
            url = f"http://127.0.0.1:{ports[ALERTMANAGER]}/api/v2/alerts"
            return any(alert["labels"]["site"] == "north" for alert in await asked(http, url) or ())

        await eventually(told, 60, "Alertmanager knows what is wrong")


@pytest.mark.parametrize("begin", ["# alertmanager.yml", "# scrape.yml", "# prometheus.yml"])
async def test_the_files_that_are_shown_are_those_that_the_programs_take(tmp_path: Path, begin: str) -> None:
    file = tmp_path / "file.yml"
    file.write_text(shown("yaml", begin))
    check = ("amtool", "check-config") if "alertmanager" in begin else ("promtool", "check", "config")
    process = await asyncio.create_subprocess_exec(*check, str(file), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
