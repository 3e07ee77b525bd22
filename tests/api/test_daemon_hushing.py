"""Silences, windows and acknowledgements in a whole daemon: over restarts, reloads and what its alerts become."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from house import PATH, RULES, House, report

from hbd.daemon import Daemon

WINDOW = 'maintenance: {always: {hosts: "web-*", start: 2020-01-01T00:00, duration: 1d, repeat: daily}}\n'


@pytest.fixture
async def house(house: House) -> House:
    house.write(RULES)
    return house


async def cpu(daemon: Daemon, value: float, seq: int) -> None:
    await report(daemon, "web-1", seq=seq, data={"cpu_percent": value})


async def call(daemon: Daemon, method: str, path: str, body: Any = None) -> Any:
    async with aiohttp.request(method, f"{daemon.urls[0]}api/0/{path}", json=body) as answer:
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


async def alert(daemon: Daemon) -> dict[str, Any]:
    """The one that is not OK."""
    (found,) = (await call(daemon, "GET", "alerts"))["alerts"]
    return dict(found)


async def acknowledge(daemon: Daemon) -> None:
    await call(daemon, "POST", "hosts/web-1/alerts/acknowledge", {"metric_path": PATH, "note": "mine"})


async def test_an_acknowledgement_outlives_a_restart(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    await acknowledge(daemon)
    daemon = await house.restart()
    assert (await alert(daemon))["acknowledged"]["note"] == "mine"


async def test_a_sample_that_makes_it_worse_ends_an_acknowledgement(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    await acknowledge(daemon)
    await cpu(daemon, 95, 2)
    assert (await alert(daemon))["acknowledged"] is None
    daemon = await house.restart()
    assert (await alert(daemon))["acknowledged"] is None


async def test_an_acknowledgement_stays_when_it_gets_better_and_as_bad_again(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 95, 1)
    await acknowledge(daemon)
    await cpu(daemon, 85, 2)
    await cpu(daemon, 95, 3)
    assert (await alert(daemon))["acknowledged"]["note"] == "mine"


async def test_the_journal_names_what_was_acknowledged(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    await acknowledge(daemon)
    lines = [message.msg for message in await daemon.store.messages.recent(10)]
    assert "somebody acknowledged CPU on web-1: mine" in lines


async def test_a_silence_outlives_a_restart(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    made = await call(daemon, "POST", "silences", {"hosts": ["web-1"], "reason": "why", "duration": "1h"})
    daemon = await house.restart()
    assert (await alert(daemon))["held"]["id"] == made["id"]


async def test_a_window_of_the_config_holds_from_the_reload_on_and_until_one_without_it(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    assert (await alert(daemon))["held"] is None
    house.write(RULES + WINDOW)
    await daemon.reload()
    assert (await alert(daemon))["held"]["reason"] == "always"
    house.write(RULES)
    await daemon.reload()
    assert (await alert(daemon))["held"] is None


async def test_a_removed_host_takes_what_was_acknowledged_of_it_along(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    await acknowledge(daemon)
    problem = daemon.alerts.of(daemon.hosts.require("web-1").id)[0].problem
    assert daemon.hushing.ack_of(problem)
    await house.ask("agent remove", name="web-1")
    assert daemon.hushing.ack_of(problem) is None


async def test_open_pages_hear_of_an_alert_when_its_silence_is_over(house: House) -> None:
    daemon = await house.start()
    await cpu(daemon, 85, 1)
    await call(daemon, "POST", "silences", {"hosts": ["web-1"], "reason": "why", "duration": 1.5})
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{daemon.urls[0]}hbd?types=alert") as ws:
        frame = await ws.receive_json(timeout=20)
        assert (frame["data"]["metric_path"], (await alert(daemon))["held"]) == (PATH, None)
