"""The page of one host in a real browser: overview, settings, reports, policy, processes."""

from __future__ import annotations

import pytest
from agents_kit import ALLOWED, feed_numbers, offer
from conftest import OpenPage
from fed import FedDaemon
from playwright.async_api import Locator, Page, Route, expect
from signing_in import sign_in

from hbd.processes import Watched
from hbd.remote.frames import OfferedCommand, Policy
from hbd.store.audit import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


def rows(page: Page) -> Locator:
    return page.locator("table.agents tbody tr")


async def test_overview_can_be_read_without_scripts(fleet: FedDaemon, open_page: OpenPage) -> None:
    feed_numbers(fleet)
    host = fleet.hosts.require("web")
    await fleet.judge(host, "disk_monitor", {"/": {"percent": 97.5}})
    page = await sign_in(open_page, fleet, "bob", "/agent/web", scripts=False)
    await expect(page.locator(".hostline")).to_contain_text("up for")
    await expect(page.locator(".card", has_text="CPU")).to_contain_text("40.0")
    await expect(page.locator(".section", has_text="Disks")).to_contain_text("93.5 %")
    await expect(page.locator(".section", has_text="Busiest processes")).to_contain_text("postgres")
    await expect(page.locator(".section", has_text="Alerts")).to_contain_text("97.5 %")
    await expect(page.locator(".section", has_text="Connections")).to_contain_text("192.0.2.7")


async def test_numbers_change_as_they_come(fleet: FedDaemon, open_page: OpenPage) -> None:
    feed_numbers(fleet)
    page = await sign_in(open_page, fleet, "alice", "/agent/web")
    fleet.sample(fleet.hosts.require("web"), "cpu_monitor", {"cpu_percent": 77.0})
    await expect(page.locator(".card", has_text="CPU").locator(".value")).to_have_text("77.0")


async def test_alerts_show_as_they_come_and_go(fleet: FedDaemon, open_page: OpenPage) -> None:
    feed_numbers(fleet)
    page = await sign_in(open_page, fleet, "alice", "/agent/web")
    panel = page.locator(".section", has_text="Alerts")
    await expect(panel).to_contain_text("nothing is wrong")
    await fleet.judge(fleet.hosts.require("web"), "disk_monitor", {"/": {"percent": 97.5}})
    await expect(panel).to_contain_text("97.5 %")


async def test_watched_processes_stand_on_the_overview(fleet: FedDaemon, open_page: OpenPage) -> None:
    host = fleet.hosts.require("web")
    entry = Entry(time=fleet.now.wall, user="alice", via="session", action="test")
    await fleet.processes.add(Watched(host_id=host.id, user_id=None, name="nginx", created=fleet.now.wall), entry)
    page = await sign_in(open_page, fleet, "bob", "/agent/web", scripts=False)
    await expect(page.locator(".section", has_text="Watched processes")).to_contain_text("nginx pending")


async def test_the_page_names_what_reports_come_through(fleet: FedDaemon, open_page: OpenPage) -> None:
    host = fleet.hosts.require("web")
    fleet.report_log.note(host, "monitron", fleet.now.wall, request={}, status=200, answer={})
    page = await sign_in(open_page, fleet, "bob", "/agent/web", scripts=False)
    await expect(page.locator("#agent")).to_contain_text("reports come through monitron")


async def test_a_host_is_found_by_its_agent_id_too(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", f"/agent/{fleet.hosts.require('db').agent_id}")
    await expect(page.locator("h1")).to_have_text("db")


async def test_hosts_of_others_are_refused_and_unknown_ones_missing(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "bob", "/agent/web", expected="40")
    await page.goto(fleet.origin + "/agent/db")
    await expect(page.locator("main")).to_contain_text("You need to be monitor of this host")
    await page.goto(fleet.origin + "/agent/nope")
    await expect(page.locator("h1")).to_have_text("No such page")


async def test_a_monitor_has_no_tabs_to_act_on_the_host(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "bob", "/agent/web", expected="403")
    tabs = page.locator("nav.tabs a")
    await expect(tabs.filter(has_text="Settings")).to_have_count(0)
    await page.goto(fleet.origin + "/agent/web?tab=settings")
    await expect(page.locator("main")).to_contain_text("You need to be manager of this host")


async def test_a_host_that_was_never_heard_says_what_is_missing(fleet: FedDaemon, open_page: OpenPage) -> None:
    await fleet.enrol("new", owner="alice")
    fleet.presence.forget(fleet.hosts.require("new").id)
    page = await sign_in(open_page, fleet, "alice", "/agent/new")
    await expect(page.locator("main")).to_contain_text("Nothing has been heard of new yet")
    await page.locator("main").get_by_role("link", name="Settings").last.click()
    await expect(page.get_by_role("button", name="Make a key")).to_be_visible()


async def test_live_rows_lead_to_the_page_of_the_host(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/live")
    await page.get_by_role("link", name="web", exact=True).click()
    await expect(page).to_have_url(fleet.origin + "/agent/web")


# ------------------------------------------------------------------------------------------------------------ settings


async def test_label_and_tags_are_changed(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=settings")
    form = page.locator("#about")
    await form.get_by_label("Label").fill("Front door")
    await form.get_by_label("Tags").last.fill("berlin")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    await expect(page.locator(".hostline")).to_contain_text("Front door")
    host = fleet.hosts.require("web")
    assert (host.label, host.given_tags) == ("Front door", ["berlin"])
    await form.get_by_role("button", name="Remove berlin").click()
    await form.get_by_label("Tags").last.fill("cellar")
    async with page.expect_response(lambda answer: answer.request.method == "PUT"):
        await form.get_by_role("button", name="Save").click()
    assert (host.label, host.given_tags) == ("Front door", ["cellar"])


async def test_only_who_owns_a_host_changes_its_key(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=settings")
    await expect(page.locator("[data-fragment=keys]")).to_contain_text("Its owner and admins change the key")
    await expect(page.get_by_role("button", name="Make a key")).to_have_count(0)


async def test_a_key_is_made_shown_once_and_revoked(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=settings")
    await page.get_by_role("button", name="Make a key").click()
    await page.get_by_role("button", name="Make it").click()
    await expect(page.locator("#key-made")).to_be_visible()
    key = await page.locator("#key-made .copyable code").first.inner_text()
    assert fleet.enrolment.host_of(key, fleet.now.wall) is fleet.hosts.require("web")
    assert key in await page.locator("#key-line code").inner_text()
    await page.get_by_role("button", name="I have it").click()
    await expect(page.locator("#key-made code").first).to_be_empty()
    await page.get_by_role("button", name="Revoke").click()
    await page.locator("#confirm").get_by_role("button", name="Revoke").click()
    await expect(page.locator("[data-fragment=keys]")).to_contain_text("This host has no key")
    assert fleet.enrolment.host_of(key, fleet.now.wall) is None


async def test_a_host_is_deleted_only_when_its_name_is_typed(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agent/db?tab=settings")
    await page.get_by_role("button", name="Delete db").click()
    button = page.locator("#delete")
    await page.get_by_label("Type its name").fill("web")
    await expect(button).to_be_disabled()
    await page.get_by_label("Type its name").fill("db")
    await button.click()
    await expect(page).to_have_url(fleet.origin + "/agents")
    await expect(rows(page)).to_have_count(1)
    assert fleet.hosts.get("db") is None


async def test_a_host_that_is_being_deleted_is_not_asked_for_again(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agent/db?tab=settings")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "x-refresh" in request.headers else None)

    async def late(route: Route) -> None:
        asked.clear()
        answer = await route.fetch()
        # Timers of a page run in order: the one that the news from the feed has set would have run before this one.
        await page.evaluate("new Promise(done => setTimeout(done, 2000))")
        await route.fulfill(response=answer)

    await page.route("**/api/0/hosts/db", late)
    await page.get_by_role("button", name="Delete db").click()
    await page.get_by_label("Type its name").fill("db")
    await page.locator("#delete").click()
    await expect(page).to_have_url(fleet.origin + "/agents")
    assert not any("/agent/db" in url for url in asked)


async def test_reports_of_other_agents_are_switched_off(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=settings")
    await page.get_by_label("Taken from agents of other systems").uncheck()
    await page.get_by_label("At most one every").fill("2.5")
    await page.locator("#terms").get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    host = fleet.hosts.require("web")
    assert (host.enabled, host.min_report_interval) == (False, 2.5)


# ------------------------------------------------------------------------------------------------------------- reports


async def test_reports_show_what_was_sent_and_answered(fleet: FedDaemon, open_page: OpenPage) -> None:
    host = fleet.hosts.require("web")
    sent = {"agent_key": "swordfish", "cpu_usage": 120}
    fleet.report_log.note(host, "monitron", fleet.now.wall, request=sent, status=422, answer={"message": "no"})
    page = await sign_in(open_page, fleet, "bob", "/agent/web?tab=reports", scripts=False)
    entry = page.locator(".reports li")
    await expect(entry).to_contain_text("422")
    await entry.locator("summary").click()
    await expect(entry).to_contain_text('"cpu_usage": 120')
    await expect(page.locator("body")).not_to_contain_text("swordfish")


async def test_lines_for_other_agents_name_this_daemon_and_this_host(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=reports")
    await page.get_by_text("HitFlow", exact=True).click()
    text = page.locator("details", has_text="HitFlow").locator("pre")
    await expect(text).to_contain_text(f"{fleet.origin}/agent/v1/report")
    await expect(text).to_contain_text(f"HitFlow-Agent-Server: {fleet.hosts.require('web').id}")


# -------------------------------------------------------------------------------------------------------------- policy


async def test_policy_tells_what_the_daemon_could_do(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, ALLOWED)
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=policy", scripts=False)
    shown = page.locator("[data-fragment=policy]")
    await expect(shown).to_contain_text("What stands here, as the user hbc, and nothing else.")
    await expect(shown).to_contain_text("/usr/bin/df")
    await expect(shown.locator("li", has_text="/srv/www")).to_contain_text("put files there")
    await expect(shown.locator("li", has_text="reboot")).to_contain_text("high risk")


async def test_a_policy_that_does_not_count_says_why(fleet: FedDaemon, open_page: OpenPage) -> None:
    offer(fleet, Policy(problem="/etc/hbc.yaml is not to be trusted: everybody may write it"))
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=policy")
    await expect(page.locator("#agent")).to_contain_text("everybody may write it")


async def test_a_policy_that_changes_shows_without_a_reload(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "alice", "/agent/web?tab=policy")
    await expect(page.locator("#agent")).to_contain_text("has not said what it allows")
    offer(fleet, Policy(commands=[OfferedCommand("shell")], user="root"))
    fleet.beat(fleet.hosts.require("web"))
    await expect(page.locator("#agent")).to_contain_text("Everything that the user root may do")


# ----------------------------------------------------------------------------------------------------------- processes


async def test_a_process_is_watched_changed_and_let_go(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=processes")
    await expect(page.locator("#agent")).to_contain_text("No process is watched here")
    await page.get_by_role("button", name="Watch a process").click()
    form = page.locator("#process-form")
    await form.get_by_label("Process name").fill("nginx")
    await form.get_by_label("it takes more processor").check()
    await form.get_by_label("Limit of cpu").fill("80")
    await form.get_by_role("button", name="Save").click()
    row = page.locator("table.processes tbody tr")
    await expect(row).to_contain_text("pending")
    await expect(row).to_contain_text("down, CPU over 80 %")
    await page.get_by_role("button", name="Edit nginx").click()
    await form.get_by_label("Watched now").uncheck()
    await form.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("paused")
    await page.get_by_role("button", name="Edit nginx").click()
    await form.get_by_role("button", name="Stop watching").click()
    await page.locator("#confirm").get_by_role("button", name="Stop watching").click()
    await expect(page.locator("#agent")).to_contain_text("No process is watched here")


async def test_what_is_wrong_with_a_process_is_told_beside_its_field(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "olga", "/agent/web?tab=processes", expected="40")
    form, wrong = page.locator("#process-form"), page.locator("#process-name-wrong")
    await page.get_by_role("button", name="Watch a process").click()
    await form.get_by_label("Process name").fill("nginx; rm")
    await form.get_by_role("button", name="Save").click()
    await expect(wrong).to_contain_text("cannot be used")
    await form.get_by_label("Process name").fill("nginx")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("table.processes tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Watch a process").click()
    await form.get_by_label("Process name").fill("nginx")
    await form.get_by_role("button", name="Save").click()
    await expect(wrong).to_contain_text("watched here already")


async def test_a_monitor_reads_processes_and_changes_none(fleet: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, fleet, "bob", "/agent/web?tab=processes")
    await expect(page.get_by_role("button", name="Watch a process")).to_have_count(0)
