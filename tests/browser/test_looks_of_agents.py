"""How the pages of agents look: to people who cannot see them, on phones, and over slow lines."""

from __future__ import annotations

import pytest
import pytest_asyncio
from agents_kit import ALLOWED, feed_numbers, offer
from conftest import OpenPage
from fed import FedDaemon
from looks import FIRST_LOAD_BYTES, loaded_bytes, overflows, violations, with_dialogs
from playwright.async_api import expect
from signing_in import sign_in

from hbd.job_schedule import Timing
from hbd.model import Family
from hbd.processes import Watched
from hbd.store.audit import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


TABS = ("commands", "logs", "processes", "jobs", "reports", "policy", "settings")
PATHS = [
    *("/agents", "/agents/deploy", "/agent/web", "/agent/web?tab=processes&process=1"),
    *("/jobs", "/agent/web?tab=jobs&job=1", "/scrapes"),
    *(f"/agent/web?tab={tab}" for tab in TABS),
]
DIALOGS = {
    "/agents": ["[data-opens=add-agent]"],
    "/agent/web?tab=processes": ["[data-adds]"],
    "/agent/web?tab=jobs": ["[data-adds]", "[data-edits]"],
    "/jobs": ["[data-adds]"],
    "/agent/web?tab=settings": ["#rotate", "[data-opens=delete-host]"],
}


@pytest_asyncio.fixture(loop_scope="session")
async def busy(fleet: FedDaemon) -> FedDaemon:
    """With something of each kind to look at."""
    host = fleet.hosts.require("web")
    feed_numbers(fleet)
    fleet.beat(host, Family.IPV6)
    await fleet.judge(host, "disk_monitor", {"/": {"percent": 97.5}})
    fleet.report_log.note(host, "monitron", fleet.now.wall, request={"cpu_usage": 1}, status=200, answer={})
    offer(fleet, ALLOWED)
    entry = Entry(time=fleet.now.wall, user="alice", via="session", action="test")
    await fleet.commands.queue(host, "shell", {"command": "df -h"}, entry)
    await fleet.processes.add(Watched(host_id=host.id, user_id=None, name="nginx", created=fleet.now.wall), entry)
    job = await fleet.jobs.add(host, "backup", Timing(None, 3600.0, "30 2 * * *", "Europe/Zurich"), "alice", entry)
    await fleet.jobs.ping(job.token, "fail", exit_code=7, body="no space left on device")
    return fleet


@pytest.mark.parametrize("path", PATHS)
async def test_agent_pages_open_while_there_are_no_users(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    fed.add("web")
    page = await open_page(fed.origin + path, expected="403")
    await expect(page.locator("#feed")).to_have_text("live")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_on_agent_pages(busy: FedDaemon, open_page: OpenPage, path: str, theme: str) -> None:
    page = await sign_in(open_page, busy, "alice", path, theme=theme)
    async for _ in with_dialogs(page, DIALOGS.get(path, [])):
        assert await violations(page) == []


@pytest.mark.parametrize("path", PATHS)
async def test_no_agent_page_scrolls_sideways_on_a_small_phone(busy: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await sign_in(open_page, busy, "alice", path, width=360, height=740)
    async for _ in with_dialogs(page, DIALOGS.get(path, [])):
        assert not await overflows(page)


@pytest.mark.parametrize("path", PATHS)
async def test_first_load_of_agent_pages_is_small(busy: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await sign_in(open_page, busy, "alice", path)
    assert 0 < await loaded_bytes(page) <= FIRST_LOAD_BYTES
