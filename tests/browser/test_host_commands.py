"""Commands on the page of a host in a real browser, with an agent that is played by the test."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from agents_kit import ALLOWED, offer, sent_command
from conftest import OpenPage
from fed import FedDaemon
from playwright.async_api import expect
from signing_in import sign_in

from hbd.remote.frames import Output, Policy, Result, Started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_output_of_a_command_shows_as_it_is_written(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=commands")
    await page.get_by_label("Command", exact=True).select_option("shell")
    await page.get_by_label("Program and arguments").fill("df -h")
    await page.get_by_role("button", name="Run").click()
    command = await sent_command(fleet)
    assert (command["cmd"], command["params"]) == ("shell", {"command": "df -h", "timeout": 30})
    host, status = fleet.hosts.require("web"), page.locator("#current .sign")
    fleet.commands.started(host, Started(command["id"]))
    await expect(status).to_contain_text("running")
    fleet.commands.output(host, Output(command["id"], "stdout", "Filesystem\n"))
    await expect(page.locator("#output")).to_have_text("Filesystem")
    fleet.commands.answered(host, Result(command["id"], "done", exit_code=0, stdout="Filesystem\n/dev/vda\n"))
    await expect(status).to_contain_text("done")
    await expect(page.locator("#output")).to_contain_text("/dev/vda")
    entry = page.locator(".runs li")
    await expect(entry).to_contain_text("shell df -h")
    await entry.locator("summary").click()
    await expect(entry.locator(".output")).to_contain_text("/dev/vda")


async def test_a_refusal_of_the_host_is_told_with_its_reason(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await page.get_by_role("button", name="Run").click()
    command = await sent_command(fleet)
    reason = "disabled by local policy"
    fleet.commands.answered(fleet.hosts.require("web"), Result(command["id"], "rejected", reason=reason))
    await expect(page.locator("#current")).to_contain_text("rejected")
    await expect(page.locator("#current-note")).to_contain_text(reason)


async def test_a_command_that_runs_is_cancelled(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await page.get_by_role("button", name="Run").click()
    command = await sent_command(fleet)
    fleet.commands.started(fleet.hosts.require("web"), Started(command["id"]))
    await expect(page.locator("#current .sign")).to_contain_text("running")
    await page.locator("#cancel").click()
    async with asyncio.timeout(30):
        while fleet.sent[-1]["type"] != "cancel":
            await asyncio.sleep(0.01)
    ended = Result(command["id"], "failed", reason="cancelled by alice")
    fleet.commands.answered(fleet.hosts.require("web"), ended)
    await expect(page.locator("#current")).to_contain_text("cancelled by alice")
    await expect(page.locator("#cancel")).to_be_hidden()


async def test_a_command_waits_for_a_host_that_is_away(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    fleet.hosts.require("web").link = False
    fleet.commands.linked(fleet.hosts.require("web"))
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await expect(page.locator("#command")).to_contain_text("web is not connected")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#current")).to_contain_text("waits for web")
    await page.locator(".runs li summary").click()
    await page.locator(".runs").get_by_role("button", name="Cancel").click()
    await page.locator("#confirm").get_by_role("button", name="Cancel it").click()
    await expect(page.locator(".runs li")).to_contain_text("Cancelled by alice")


async def test_what_is_at_stake_is_asked_once(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await page.get_by_label("Command", exact=True).select_option("reboot")
    await expect(page.locator("#command-hint")).to_contain_text("High risk")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator("#sure")).to_contain_text("reboot on web?")
    await page.locator("#sure").get_by_role("button", name="Cancel").click()
    await expect(page.locator(".runs li")).to_have_count(0)
    await page.get_by_role("button", name="Run", exact=True).click()
    await page.locator("#sure").get_by_role("button", name="Run it").click()
    assert (await sent_command(fleet))["cmd"] == "reboot"


async def test_commands_of_high_risk_are_offered_to_admins_alone(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=commands")
    await expect(page.locator("#command-type option")).to_have_text(["ping", "shell"])


async def test_what_has_the_least_risk_is_chosen_at_first(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, msgspec.structs.replace(ALLOWED, commands=list(reversed(ALLOWED.commands))))
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await expect(page.get_by_label("Command", exact=True)).to_have_value("ping")
    await expect(page.locator("#command-type option")).to_have_text(["ping", "shell", "reboot"])


async def test_where_files_alone_may_be_read_the_log_of_one_is_asked_for(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, msgspec.structs.replace(ALLOWED, log_units=[]))
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=logs")
    await expect(page.get_by_label("Path of the file")).to_be_visible()
    await expect(page.get_by_label("Unit", exact=True)).to_be_hidden()


async def test_a_command_without_its_text_is_not_sent(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await page.get_by_label("Command", exact=True).select_option("shell")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#command-text-wrong")).to_have_text("This is needed")
    assert fleet.sent == []


async def test_a_host_that_allows_nothing_leads_to_its_policy(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, Policy())
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=commands")
    await expect(page.locator("#commands")).to_contain_text("web allows no command")
    for tab in ("logs", "files"):
        await page.goto(f"{fleet.origin}/agent/web?tab={tab}")
        await expect(page.locator("#agent")).to_contain_text("shows how to change it")
    await page.locator("#agent").get_by_role("link", name="Policy").click()
    await expect(page.locator("#agent")).to_contain_text("Nothing. hbd listens to this host and cannot act on it.")


async def test_remote_tabs_say_why_they_are_off_while_there_are_no_users(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("web")
    page = await open_page(fed.origin + "/agent/web?tab=commands", expected="403")
    await expect(page.locator("#agent")).to_contain_text("Remote control is off as long as there are no users")
