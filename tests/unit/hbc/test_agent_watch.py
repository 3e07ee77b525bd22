"""What the agent makes of the processes that the daemon wants watched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from hbc.agent import Agent
from hbc.config import Config, HeartbeatConfig
from hbc.identity import Identity
from hbc.spool import Spool
from hbc.wire import Welcome

OTHERS = ("cpu_monitor", "memory_monitor", "disk_monitor", "network_monitor", "process_monitor", "os_info")
QUIET: dict[str, Any] = dict.fromkeys((*OTHERS, "temperature", "agent_monitor"), False)
INIT = Path("/proc/self/comm").read_text().strip()  # of this process, which there is in every case


def agent_in(folder: Path, plugins: dict[str, Any]) -> Agent:
    config = Config(servers=("http://127.0.0.1:9",), name="web1", plugins=plugins, heartbeat=HeartbeatConfig(port=0))
    agent = Agent(
        config, Identity(folder, None, folder / "key"), Spool(folder / "spool", max_bytes=1 << 20, max_age=1e6)
    )
    agent.spool.open(now=0.0, wall=1.8e9)
    return agent


def welcomed(agent: Agent, **words: Any) -> None:
    agent._welcomed("http://127.0.0.1:9", cast(Welcome, {"heartbeat_port": 0} | words))


async def seen(agent: Agent) -> list[str]:
    """The names that the next round tells of."""
    return [name for sample in await agent.collector.round(1.8e9) for name in sample["data"]]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return agent_in(tmp_path, QUIET)


async def test_what_the_welcome_names_is_watched(agent: Agent) -> None:
    welcomed(agent, watch=[INIT])
    assert await seen(agent) == [INIT]


async def test_a_welcome_that_names_nothing_ends_what_was_watched(agent: Agent) -> None:
    welcomed(agent, watch=[INIT])
    welcomed(agent)
    assert await seen(agent) == []


async def test_a_frame_puts_another_list_in_its_place_which_is_looked_at_at_once(agent: Agent) -> None:
    welcomed(agent, watch=[INIT])
    await seen(agent)
    assert await seen(agent) == []
    agent.link._obey({"type": "watch", "names": ["no-such-program"]})
    assert await seen(agent) == ["no-such-program"]


async def test_a_list_that_comes_while_nothing_is_watched_wakes_the_agent(agent: Agent) -> None:
    welcomed(agent)
    measuring = asyncio.create_task(agent._measure())
    async with asyncio.timeout(30):
        while not agent.collector.runs:
            await asyncio.sleep(0.01)
        agent.link._obey({"type": "watch", "names": [INIT]})
        while not agent.spool.records:
            await asyncio.sleep(0.01)
    measuring.cancel()
    entry = agent.spool.read()
    assert entry is not None
    (sample,) = json.loads(agent.spool.payload(entry) or b"[]")
    assert list(sample["data"]) == [INIT]


@pytest.mark.parametrize("names", [None, "nginx", [7], [""], ["x"] * 1000])
async def test_names_that_cannot_be_change_nothing(agent: Agent, names: Any) -> None:
    welcomed(agent, watch=[INIT])
    with pytest.raises(ValueError, match="processes"):
        agent.link._obey({"type": "watch", "names": names})
    assert await seen(agent) == [INIT]


async def test_a_welcome_with_names_that_cannot_be_is_a_welcome(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    welcomed(agent, watch=7)
    assert "wants processes watched that cannot be" in caplog.text


async def test_where_the_plugin_is_switched_off_nothing_is_watched(tmp_path: Path) -> None:
    agent = agent_in(tmp_path, QUIET | {"watched_processes": False})
    welcomed(agent, watch=[INIT])
    assert await seen(agent) == []
