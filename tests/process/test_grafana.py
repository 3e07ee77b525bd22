"""Every query of the dashboard for Infinity, asked of a real daemon; and Prometheus' own word on our metrics."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from dashboards import dashboard, filled_in, queries, site
from programs import SLOW, eventually

from hbd.exporters.names import named

ROOT = Path(__file__).resolve().parents[2]
MILLISECONDS = ("timestamp_epoch", "number")


def of_kind(value: Any, kind: str) -> bool:
    return value is None or isinstance(value, (int, float) if kind in MILLISECONDS else str)


@pytest.mark.timeout(240 * SLOW)
async def test_every_query_of_the_dashboard_for_infinity_is_answered(tmp_path: Path) -> None:
    async with site(tmp_path) as daemon, aiohttp.ClientSession(daemon.url) as http:

        async def unanswered(query: Any) -> str:
            """Asks as the data source does: parameters beside the URL, columns picked from flat rows."""
            parameters = {each["key"]: filled_in(each["value"]) for each in query["url_options"]["params"]}
            async with http.get(query["url"], params=parameters) as answer:
                if answer.status != 200:
                    return await answer.text()
                rows = await answer.json()
            if not rows:
                return "no rows"
            wrong = [
                column["selector"]
                for column in query["columns"]
                if not all(
                    column["selector"] in row and of_kind(row[column["selector"]], column["type"]) for row in rows
                )
            ]
            return f"columns {wrong}" if wrong else ""

        problems: dict[str, str] = {}

        async def all_answered() -> bool:
            problems.clear()
            found = {where: await unanswered(query) for where, query in queries(dashboard("infinity.json"))}
            problems.update({where: problem for where, problem in found.items() if problem})
            return not problems

        try:
            await eventually(all_answered, 60, "every query is answered with rows")
        except AssertionError:
            raise AssertionError(problems) from None


# --------------------------------------------------------------------------------------------------------------- names


async def linted(exposition: str) -> str:
    """What promtool finds wrong with metrics, "" when it is nothing."""
    pipe = asyncio.subprocess.PIPE
    promtool = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await promtool.communicate(exposition.encode())
    assert (promtool.returncode == 0) == (not output.strip())
    return output.decode()


async def test_promtool_finds_nothing_wrong_with_our_metrics(tmp_path: Path) -> None:
    async with site(tmp_path) as daemon:

        async def shown() -> bool:
            text = await daemon.fetch("/metrics") or ""
            return all(
                f"hbd_{name}" in text for name in ("cpu_ratio", "disk_busy_ratio", "process_number", "host_alerts")
            )

        await eventually(shown, 30, "samples are shown")
        assert await linted(await daemon.fetch("/metrics")) == ""


async def test_promtool_finds_nothing_wrong_with_the_name_of_any_metric_that_plugins_have() -> None:
    plugin, families = "", {}
    for line in (ROOT / "docs" / "plugins.md").read_text("utf-8").splitlines():
        if heading := re.match(r"### `(\w+)`", line):
            plugin = heading[1]
        elif plugin and (metric := re.match(r"\| `([^`]+)` \|", line)):
            found = named(plugin, metric[1].rpartition(".")[2])
            families[found.name] = "counter" if found.counter else "gauge"
    assert len(families) > 80
    lines = [f"# HELP {name} It.\n# TYPE {name} {kind}\n{name} 1\n" for name, kind in families.items()]
    assert await linted("".join(lines)) == ""
