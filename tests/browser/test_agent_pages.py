"""The list of agents, adding one, and installing one over SSH, in a real browser."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import pytest_asyncio
from conftest import OpenPage
from fed import FedDaemon
from msgspec.structs import replace
from playwright.async_api import Locator, Page, expect
from signing_in import sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


def rows(page: Page) -> Locator:
    return page.locator("table.agents tbody tr")


def unused_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_agents_can_be_read_without_scripts(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents", scripts=False)
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).last).to_contain_text("Debian 13")
    await page.get_by_role("link", name="web", exact=True).click()
    await expect(page).to_have_url(fleet.origin + "/agent/web")


async def test_only_those_that_one_may_see_are_listed(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "bob", "/agents")
    await expect(rows(page)).to_have_count(1)
    await expect(page.get_by_role("button", name="Add agent")).to_have_count(0)


async def test_agents_are_filtered_by_words_and_by_status(fleet: FedDaemon, open_page: OpenPage) -> None:
    fleet.add("silent", heard=False)
    page = await sign_in(open_page, fleet, "alice", "/agents")
    await page.get_by_label("Filter by name").fill("debian")
    await expect(rows(page)).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"/agents\?q=debian$"))
    await page.goto(fleet.origin + "/agents")
    await page.get_by_role("link", name="Pending").click()
    await expect(rows(page).locator("th a")).to_have_text(["silent"])
    await page.get_by_label("Filter by name").fill("web")
    await expect(page.locator("main")).to_contain_text("No agent fits this filter")
    await expect(page).to_have_url(re.compile(r"status=pending&q=web$"))


async def test_without_hosts_the_page_says_what_an_agent_is(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/agents")
    await expect(page.locator("main")).to_contain_text("An agent is a small program")
    await page.get_by_role("button", name="Add agent").last.click()
    await expect(page.get_by_label("Host name")).to_be_visible()


async def test_a_new_agent_gets_a_line_to_run_and_its_first_report_is_told(
    fleet: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents")
    await page.get_by_role("button", name="Add agent").click()
    form = page.locator("#add-form")
    await form.get_by_label("Host name").fill("cellar")
    await form.get_by_label("Label").fill("The one in the cellar")
    await form.get_by_label("Tags").last.fill("home")
    await form.get_by_role("button", name="Make its key").click()
    await expect(page.locator("#install-line")).to_be_visible()
    line = await page.locator("#install-line code").inner_text()
    key = await page.locator("#key-alone code").text_content() or ""
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert fleet.origin in line
    assert key in line
    await expect(page.locator("#arrival")).to_contain_text("waiting for the first report")
    host = fleet.hosts.require("cellar")
    assert (host.label, host.given_tags) == ("The one in the cellar", ["home"])
    fleet.beat(host)
    await expect(page.locator("#arrival")).to_contain_text("received: cellar is up")
    await page.get_by_role("link", name="Open it").click()
    await expect(page).to_have_url(fleet.origin + "/agent/cellar")


async def test_a_name_that_is_none_is_told_beside_its_field(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents", expected="400")
    await page.get_by_role("button", name="Add agent").click()
    form = page.locator("#add-form")
    await form.get_by_role("button", name="Make its key").click()
    await expect(form.locator("[data-field=hostname] .wrong")).to_have_text("This is needed")
    await form.get_by_label("Host name").fill("my host")
    await form.get_by_role("button", name="Make its key").click()
    await expect(form.locator("[data-field=hostname] .wrong")).to_contain_text("letters, digits")


async def test_a_host_with_a_key_is_not_given_another(fleet: FedDaemon, open_page: OpenPage) -> None:
    await fleet.enrolment.rotate(fleet.hosts.require("web"))
    page = await sign_in(open_page, fleet, "alice", "/agents", expected="409")
    await page.get_by_role("button", name="Add agent").click()
    form = page.locator("#add-form")
    await form.get_by_label("Host name").fill("web")
    await form.get_by_role("button", name="Make its key").click()
    await expect(form.get_by_role("alert")).to_contain_text("has a key already")


async def test_the_key_does_not_go_away_by_a_slip_of_a_key(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agents#add")
    await page.locator("#add-form").get_by_label("Host name").fill("cellar")
    await page.get_by_role("button", name="Make its key").click()
    await expect(page.locator("#key-alone code")).not_to_be_empty()
    await page.keyboard.press("Escape")
    await expect(page.locator("#install-line")).to_be_visible()
    await page.locator("#added").get_by_role("button", name="Close").click()
    await expect(page.locator("#key-alone code")).to_be_empty()


# -------------------------------------------------------------------------------------------------------------- deploy


@pytest_asyncio.fixture(loop_scope="session")
async def deployer(fleet: FedDaemon, tmp_path: Path) -> FedDaemon:
    """With an SSH key."""
    (tmp_path / "id_test").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    fleet.config = replace(fleet.config, agents=replace(fleet.config.agents, ssh_keys=tmp_path))
    await fleet.stop()
    await fleet.start()
    return fleet


async def test_a_deployment_that_fails_says_at_which_step_and_why(deployer: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, deployer, "alice", "/agents/deploy")
    form = page.locator("#deploy-form")
    await expect(form.get_by_label("SSH key")).to_have_value("id_test")
    await form.get_by_label("Machine").fill("127.0.0.1")
    await form.get_by_label("Port").fill(str(unused_port()))
    await form.get_by_role("button", name="Deploy").click()
    await expect(page.locator("#outcome")).to_contain_text("failed")
    step = page.locator("#steps li").first
    await expect(step).to_have_attribute("data-state", "DOWN")
    await expect(step.locator(".below")).not_to_be_empty()
    await expect(page).to_have_url(re.compile(r"/agents/deploy\?id=1$"))
    await expect(page.locator("[data-fragment=earlier] tbody tr")).to_contain_text("127.0.0.1")
    await expect(page.locator("[data-fragment=earlier] tbody tr")).to_contain_text("others may read this key")
    await page.reload()
    await expect(page.locator("#outcome")).to_contain_text("failed")
    await page.get_by_role("button", name="Fill in again").click()
    await expect(form.get_by_label("Machine")).to_have_value("127.0.0.1")


async def test_what_is_wrong_with_a_deployment_is_told_beside_its_field(
    deployer: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, deployer, "alice", "/agents/deploy", expected="400")
    form = page.locator("#deploy-form")
    await form.get_by_label("Machine").fill("db 01")
    await form.get_by_role("button", name="Deploy").click()
    await expect(form.locator("#deploy-host-wrong")).to_contain_text("name or the address of a machine")
    await form.get_by_label("Machine").fill("192.0.2.1")
    await form.get_by_label("Name of the host").fill("db 01")
    await form.get_by_role("button", name="Deploy").click()
    await expect(form.locator("#deploy-name-wrong")).to_contain_text("letters")


async def test_deploying_is_for_admins(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agents", expected="403")
    await expect(page.get_by_role("link", name="Deploy over SSH")).to_have_count(0)
    await page.goto(fleet.origin + "/agents/deploy")
    await expect(page.locator("main")).to_contain_text("Only an admin may do this")
