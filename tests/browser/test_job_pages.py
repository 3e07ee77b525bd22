"""Pages of jobs: all of them, and those of one host; and of the exporters that hbd asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from conftest import OpenPage
from fed import FedDaemon
from playwright.async_api import Locator, Page, expect
from signing_in import sign_in

from hbd.config import Config
from hbd.config.structs import ScrapeJob
from hbd.hosts import Host
from hbd.job_schedule import Timing
from hbd.store.audit import Entry
from hbd.store.jobs import Job

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = """<img src=x onerror="document.title='owned'">'"</script>"""
JOBS = "/agent/web?tab=jobs"
HOURLY = Timing(3600.0, 600.0)


def entry() -> Entry:
    return Entry(time=time.time(), user="alice", via="session", action="test")


async def add(fed: FedDaemon, host: Host, name: str, timing: Timing = HOURLY) -> Job:
    return await fed.jobs.add(host, name, timing, "alice", entry())


@pytest_asyncio.fixture(loop_scope="session", name="backup")
async def a_job(fleet: FedDaemon) -> Job:
    return await add(fleet, fleet.hosts.require("web"), "backup")


def row(page: Page, name: str) -> Locator:
    return page.locator("table.jobs tbody tr", has_text=name)


async def test_a_job_is_made_on_the_page_of_a_host_and_its_lines_are_shown(
    fleet: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, fleet, "olga", JOBS)
    await expect(page.locator("#agent")).to_contain_text("No job calls from here")
    await page.get_by_role("button", name="Add job").click()
    form = page.locator("#job-form")
    await form.get_by_label("Name").fill("backup")
    await form.get_by_label("as in a crontab").check()
    await form.get_by_label("Crontab fields").fill("30 2 * * *")
    await form.get_by_label("Time zone").fill("Europe/Zurich")
    await form.get_by_label("May be late for").fill("2")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("#agent")).to_contain_text("At 02:30 every day, Europe/Zurich; it may be late for 2 h")
    (job,) = fleet.jobs.all()
    lines = page.locator(".copyable pre")
    await expect(lines.first).to_contain_text("30 2 * * *  /usr/local/bin/backup && curl -fsS")
    await expect(lines.nth(1)).to_contain_text(f"{fleet.origin}/ping/{job.token}/$?")


async def test_a_job_is_made_on_the_page_of_all_jobs(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/jobs", expected="404")
    await page.get_by_role("button", name="Add job").first.click()
    form = page.locator("#job-form")
    await form.get_by_label("Host").fill("nosuch")
    await form.get_by_label("Name").fill("dump")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("#job-host-wrong")).to_contain_text("nosuch")
    await form.get_by_label("Host").fill("db")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("#job-name-title")).to_have_text("dump")
    assert [job.host_id for job in fleet.jobs.all()] == [fleet.hosts.require("db").id]


async def test_a_job_is_changed_paused_and_deleted(fleet: FedDaemon, open_page: OpenPage, backup: Job) -> None:
    page = await sign_in(open_page, fleet, "olga", JOBS)
    await page.get_by_role("button", name="Edit backup").click()
    form = page.locator("#job-form")
    await expect(form.get_by_label("Every", exact=True)).to_have_value("1")
    await form.get_by_label("Every", exact=True).fill("2")
    await form.get_by_label("Paused").check()
    await form.get_by_role("button", name="Save").click()
    await expect(row(page, "backup")).to_contain_text("every 2 h")
    await expect(row(page, "backup")).to_contain_text("paused")
    await page.get_by_role("button", name="Edit backup").click()
    await form.get_by_role("button", name="Delete").click()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator("#agent")).to_contain_text("No job calls from here")
    assert list(fleet.jobs.all()) == []


async def test_what_is_wrong_with_a_job_is_told_beside_its_field(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", JOBS, expected="400")
    await page.get_by_role("button", name="Add job").click()
    form = page.locator("#job-form")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("#job-name-wrong")).to_have_text("This is needed")
    await form.get_by_label("Name").fill("backup")
    await form.get_by_label("as in a crontab").check()
    await form.get_by_label("Crontab fields").fill("30 2 * *")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("#job-cron-wrong")).to_contain_text("xpected five fields")


async def test_a_call_shows_without_a_reload(fleet: FedDaemon, open_page: OpenPage, backup: Job) -> None:
    page = await sign_in(open_page, fleet, "bob", f"{JOBS}&job={backup.id}")
    await expect(page.locator("#agent")).to_contain_text("It has not called yet")
    await fleet.jobs.ping(backup.token, "fail", exit_code=7, body="reading\nno space left on device")
    await expect(page.locator("[data-fragment=job]")).to_contain_text("failed with exit code 7")
    calls = page.locator(".calls li")
    await expect(calls).to_contain_text("exit code 7")
    await expect(calls.locator("summary")).to_contain_text("no space left on device")
    await calls.locator("summary").click()
    await expect(calls.locator("pre")).to_contain_text("reading")


async def test_all_jobs_show_one_that_goes_down_as_it_does(fleet: FedDaemon, open_page: OpenPage, backup: Job) -> None:
    page = await sign_in(open_page, fleet, "alice", "/jobs")
    await expect(row(page, "backup")).to_contain_text("new")
    await fleet.jobs.ping(backup.token, "fail")
    await expect(row(page, "backup")).to_contain_text("says that it failed")


async def test_all_jobs_can_be_read_without_scripts_and_by_state(fleet: FedDaemon, open_page: OpenPage) -> None:
    web, db = fleet.hosts.require("web"), fleet.hosts.require("db")
    broken = await add(fleet, web, "backup")
    await add(fleet, db, "dump", Timing(None, 60.0, "0 3 * * mon"))
    await fleet.jobs.ping(broken.token, "fail", exit_code=3)
    page = await sign_in(open_page, fleet, "alice", "/jobs", scripts=False)
    await expect(page.locator("table.jobs tbody tr").first).to_contain_text("failed with exit code 3")
    await page.get_by_role("link", name="New 1").click()
    await expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    await expect(row(page, "dump")).to_contain_text("At 03:00 on Monday, UTC")


async def test_who_may_not_manage_a_host_sees_its_jobs_and_no_address(
    fleet: FedDaemon, open_page: OpenPage, backup: Job
) -> None:
    await add(fleet, fleet.hosts.require("db"), "of others")
    page = await sign_in(open_page, fleet, "bob", "/jobs")
    await expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    await expect(page.get_by_role("button", name="Add job")).to_have_count(0)
    await row(page, "backup").get_by_role("link", name="backup").click()
    await expect(page.locator("#job-name-title")).to_have_text("backup")
    assert backup.token not in await page.content()


async def test_jobs_stand_on_the_overview_of_their_host(fleet: FedDaemon, open_page: OpenPage, backup: Job) -> None:
    page = await sign_in(open_page, fleet, "bob", "/agent/web", scripts=False)
    await expect(page.locator(".section", has_text="Jobs")).to_contain_text("backup new")


async def test_s22_names_and_output_of_jobs_are_no_markup(fleet: FedDaemon, open_page: OpenPage) -> None:
    job = await add(fleet, fleet.hosts.require("web"), EVIL)
    await fleet.jobs.ping(job.token, "fail", body=EVIL)
    page = await sign_in(open_page, fleet, "alice", "/jobs")
    await row(page, "onerror").get_by_role("link", name="onerror").click()
    await expect(page.locator("#job-name-title")).to_have_text(EVIL)
    await page.get_by_role("button", name="Edit").click()
    await expect(page.locator("#job-title")).to_have_text(EVIL)
    assert "owned" not in await page.title()
    assert await page.locator("img[src=x], [onerror]").count() == 0


# ----------------------------------------------------------------------------------------------------------- exporters


@pytest_asyncio.fixture(loop_scope="session", name="exporter")
async def an_exporter(fleet: FedDaemon) -> AsyncIterator[TestServer]:
    """Asked every second for host web; for db hbd asks one that is not there."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="orders 3\nthis is none")

    app = web.Application()
    app.router.add_get("/metrics", answer)
    server = TestServer(app)
    async with server:
        urls = {"web": str(server.make_url("/metrics")), "db": "http://127.0.0.1:1/metrics"}
        jobs = {f"shop-{host}": ScrapeJob(urls=(url,), host=host, interval=1.0) for host, url in urls.items()}
        fleet.scraper.config = Config(scrape=jobs)
        asking = asyncio.create_task(fleet.scraper.run())
        yield server
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking


async def test_without_exporters_the_page_says_how_to_begin(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents")
    await page.get_by_role("link", name="Exporters").click()
    await expect(page.locator("main")).to_contain_text("hbd asks no exporter yet")
    await expect(page.locator(".copyable pre")).to_contain_text("urls: http://web1.example.org:9100/metrics")


async def test_exporters_show_how_they_answer_as_they_do(
    fleet: FedDaemon, open_page: OpenPage, exporter: TestServer
) -> None:
    page = await sign_in(open_page, fleet, "alice", "/scrapes")
    rows = page.locator("table.scrapes tbody tr")
    await expect(rows.filter(has_text="shop-web")).to_contain_text("1 line cannot be read")
    await expect(rows.filter(has_text="shop-web")).to_contain_text("up")
    await expect(rows.first).to_contain_text("127.0.0.1:1")
    await expect(rows.first).to_contain_text("failing")
    await exporter.close()
    await expect(page.locator("[data-fragment=count]")).to_have_text("2 exporters, 2 fail")
    await page.goto(fleet.origin + "/status")
    await expect(page.locator(".section", has_text="Exporters")).to_contain_text("fails for")


async def test_exporters_of_hosts_of_others_are_not_shown(
    fleet: FedDaemon, open_page: OpenPage, exporter: TestServer
) -> None:
    page = await sign_in(open_page, fleet, "bob", "/scrapes")
    await expect(page.locator("table.scrapes tbody tr")).to_have_count(1)
    await expect(page.locator("main")).not_to_contain_text("shop-db")


# ----------------------------------------------------------------------------------------------- lines for other agents


async def test_lines_for_other_agents_come_with_the_key_of_a_new_host(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents")
    await page.get_by_role("button", name="Add agent").first.click()
    await page.get_by_label("Host name").fill("nas1")
    await page.get_by_role("button", name="Make its key").click()
    await page.get_by_text("Another agent, or the key alone").click()
    key = await page.locator("#key-alone code").inner_text()
    text = "\n".join(await page.locator(".ways pre").all_text_contents())
    assert key in text
    assert "KEY" not in text
    assert "http://nas1:9100/metrics" in text
    assert f"HitFlow-Agent-Server: {fleet.hosts.require('nas1').id}'" in text
    await page.get_by_role("button", name="Close").last.click()
    assert key not in await page.content()
