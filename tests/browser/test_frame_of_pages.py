"""What all pages have in common: theme, search, the state of the feed, small screens, no scripts, accessibility."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from conftest import NO_DAEMON, OpenPage
from fed import FedDaemon, machine
from looks import FIRST_LOAD_BYTES, loaded_bytes, overflows, violations
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = [
    "/live",
    "/live?view=cards&group=tag",
    "/plugins?plugin=cpu_monitor",
    "/plugins?plugin=disk_monitor",
    "/users",
    "/access",
    "/audit",
    "/status",
    "/api",
    "/nosuch",
]


def populate(fed: FedDaemon) -> None:
    for number in range(30):
        machine(fed, f"a-rather-long-name-of-a-host-{number}.rack-7.example.org", 3.3 * number, "web", "production")
    host = next(iter(fed.hosts))
    for age in range(20, 0, -1):
        fed.sample(host, "cpu_monitor", {"cpu_percent": float(age), "load_1min": 0.5, "cpu_count": 4}, age=age * 10.0)
    fed.wait(40)
    fed.add("fresh")
    fed.sample(host, "agent_monitor", {"broken": {"ok": False, "seconds": 0.1, "reason": "no such file"}})
    fed.counters = {"heartbeats_refused_total[replayed]": 3.0}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
async def test_axe_finds_nothing(fed: FedDaemon, open_page: OpenPage, path: str, theme: str) -> None:
    populate(fed)
    page = await open_page(fed.origin + path, theme=theme, expected="404")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert await violations(page) == []


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_scrolls_sideways_on_a_small_phone(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    populate(fed)
    page = await open_page(fed.origin + path, width=360, height=740, expected="404")
    await expect(page.locator("#feed")).to_have_text("live")
    assert not await overflows(page)


@pytest.mark.parametrize("path", ["/live", "/plugins", "/status", "/api"])
async def test_first_load_is_small(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    populate(fed)
    page = await open_page(fed.origin + path)
    await expect(page.locator("#feed")).to_have_text("live")
    assert 0 < await loaded_bytes(page) <= FIRST_LOAD_BYTES


async def test_theme_choice_survives_a_reload(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/status", theme="light")
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.locator("#theme").click()
    await page.locator("#theme").click()
    await expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != paper


async def test_ctrl_k_finds_a_host_from_any_page(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("needle")
    page = await open_page(fed.origin + "/api")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("need")
    await expect(page.locator("#palette li .label")).to_have_text(["needle"])
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{fed.origin}/agent/needle")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("dialog", ["help", "join"])
async def test_axe_finds_nothing_in_dialogs(fed: FedDaemon, open_page: OpenPage, dialog: str, theme: str) -> None:
    fed.add("alpha")
    page = await open_page(fed.origin + "/live", theme=theme)
    await expect(page.locator("#feed")).to_have_text("live")
    await page.locator(f"header [data-opens={dialog}], .toolbar [data-opens={dialog}]").click()
    await expect(page.locator(f"#{dialog}")).to_be_visible()
    assert await violations(page) == []


async def test_help_explains_the_signs(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/live")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.get_by_role("button", name="Help").click()
    for words in ("■", "silent for too long", "a bar a minute", "90 % or more", "received and sent"):
        await expect(page.locator("#help")).to_contain_text(words)


async def test_question_mark_shows_the_keys(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/live")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).to_be_hidden()


async def test_lost_feed_is_told_and_comes_back_by_itself(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    page = await open_page(fed.origin + "/live", expected=NO_DAEMON)
    await expect(page.locator("#feed")).to_have_text("live")
    await fed.stop()
    await expect(page.locator("#feed")).to_contain_text("as of")
    await expect(page.locator("#feed")).to_contain_text("reconnecting")
    await fed.start()
    await expect(page.locator("#feed")).to_have_text("live")
    fed.sample(host, "cpu_monitor", {"cpu_percent": 55.0})
    await expect(page.locator(".c-cpu .value")).to_have_text("55 %")


async def test_loopback_is_told_on_the_status_page_and_in_the_help(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/status")
    await expect(page.locator(".banner")).to_contain_text("hbd listens on it only")
    await page.goto(fed.origin + "/live")
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(page.locator(".banner")).to_have_count(0)
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_contain_text("hbd listens on it only")


@pytest.mark.parametrize("url", ["http://0.0.0.0:50004/", "http://[::]:50004/", "http://192.0.2.1:50004/"])
@pytest.mark.parametrize("path", ["/live", "/plugins", "/status", "/api"])
async def test_network_is_warned_of_on_every_page(fed: FedDaemon, open_page: OpenPage, path: str, url: str) -> None:
    fed.urls = ["http://127.0.0.1:50004/", url]
    page = await open_page(fed.origin + path, scripts=False)
    await expect(page.locator(".banner.open")).to_contain_text("over the network sees everything here")


async def test_warning_can_be_hidden_except_on_the_status_page(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.urls = ["http://0.0.0.0:50004/"]
    page = await open_page(fed.origin + "/live")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.get_by_role("button", name="Hide").click()
    await expect(page.locator(".banner")).to_be_hidden()
    await page.goto(fed.origin + "/plugins")
    await expect(page.locator(".banner")).to_be_hidden()
    await page.goto(fed.origin + "/status")
    await expect(page.locator(".banner")).to_be_visible()
    again = await open_page(fed.origin + "/live")
    await expect(again.locator(".banner")).to_be_visible()


async def test_unknown_address_has_a_way_back(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("quiet", heard=False)
    page = await open_page(fed.origin + "/nosuch", expected="404")
    await expect(page.locator("main h2")).to_have_text("There is no such page")
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(page).to_have_title("(1) No such page · hbd")
    await page.get_by_role("link", name="To the live page").click()
    await expect(page).to_have_url(f"{fed.origin}/live")


@pytest.mark.parametrize(("path", "accept"), [("/nosuch", "application/json"), ("/api/0/nosuch", "text/html")])
async def test_programs_that_ask_for_what_is_not_there_get_json(fed: FedDaemon, path: str, accept: str) -> None:
    async with ClientSession() as session, session.get(fed.origin + path, headers={"Accept": accept}) as answer:
        assert (answer.status, await answer.json()) == (404, {"error": "Not Found"})


async def test_active_page_does_not_touch_the_edges_of_the_rail(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/plugins")
    item, text = page.locator(".rail a.item[aria-current]"), page.locator(".rail a.item[aria-current] span")
    outer, inner = await item.bounding_box(), await text.bounding_box()
    assert outer is not None and inner is not None
    assert inner["x"] - outer["x"] >= 4


async def test_live_page_can_be_read_without_scripts(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    machine(fed, "beta", 55.0)
    page = await open_page(fed.origin + "/live?sort=cpu&q=a", scripts=False)
    await expect(page.locator("tr.host .c-host a")).to_have_text(["beta", "alpha"])
    await expect(page.locator("tr.host .c-state .word").first).to_have_text("up")
    await page.locator("th[data-sort=cpu] a").click()
    await expect(page.locator("tr.host .c-host a")).to_have_text(["alpha", "beta"])


async def test_plugins_page_can_be_read_without_scripts(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    page = await open_page(fed.origin + "/plugins", scripts=False)
    await page.locator("#plugin").select_option("memory_monitor")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator(".card .big").first).to_have_text("43.2%")


async def test_row_reads_the_same_with_and_without_scripts(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0, "web", "prod")
    fed.add("silent", heard=False)
    fed.add("bare")
    reading = """rows => rows.map(row => [...row.cells].slice(0, -1).map(cell => [
        cell.textContent, cell.title, cell.dataset.state ?? "", cell.className.trim(),
        [...cell.querySelectorAll("path, rect, svg")].filter(part => !part.closest(".spark"))
            .map(part => part.outerHTML.replace(/ data-strip="[^"]*"/, "")),
    ]))"""
    script = await open_page(fed.origin + "/live")
    await expect(script.locator("#feed")).to_have_text("live")
    drawn = await script.locator("tr.host").evaluate_all(reading)
    await script.evaluate(
        """async () => {
            const text = await (await fetch(location.href)).text();
            const fresh = new DOMParser().parseFromString(text, "text/html");
            document.getElementById("hosts").replaceWith(fresh.getElementById("hosts"));
        }"""
    )
    assert drawn == await script.locator("tr.host").evaluate_all(reading)


async def test_get_routes_can_be_tried_on_the_api_page(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("alpha")
    page = await open_page(fed.origin + "/api#get-api-0-hosts-host")
    operation = page.locator("#get-api-0-hosts-host")
    await operation.locator("input[name=host]").fill("alpha")
    await operation.get_by_role("button", name="Try it").click()
    await expect(operation.locator(".answer")).to_contain_text('"name": "alpha"')


async def test_status_page_names_what_needs_a_look(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/status")
    await expect(page.locator(".verdict")).to_contain_text("hbd needs a look")
    await expect(page.locator("main")).to_contain_text("hbd.yaml:3: intervall: unknown")
    await expect(page.locator("main")).to_contain_text("a warning")


async def test_status_page_tells_what_was_refused_before_all_counters(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.counters = {"heartbeats_refused_total[replayed]": 3.0, "reports_total[stored]": 12.0}
    page = await open_page(fed.origin + "/status")
    await expect(page.locator(".trouble", has_text="Heartbeats refused: replayed")).to_be_visible()
    await expect(page.locator("#counters table")).to_be_hidden()
    await page.locator("#counters summary").click()
    await expect(page.locator("#counters")).to_contain_text("reports_total[stored]")


async def test_lines_to_copy_name_the_address_in_the_browser(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin.replace("127.0.0.1", "localhost") + "/api")
    own = fed.origin.replace("127.0.0.1", "localhost")
    hosts = page.locator("#get-api-0-hosts .copyable code")
    await expect(hosts).to_have_text(f"curl -s '{own}/api/0/hosts'")
    feed = page.locator("#get-hbd .copyable code")
    await expect(feed).to_have_text(f"python3 -m websockets '{own.replace('http', 'ws')}/hbd'")


async def test_names_are_suggested_where_a_route_wants_one(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    page = await open_page(fed.origin + "/api#get-api-0-hosts-host-plugins-plugin")
    for name, value in (("host", "alpha"), ("plugin", "cpu_monitor")):
        field = page.locator(f"#get-api-0-hosts-host-plugins-plugin input[name={name}]")
        await expect(field).to_have_attribute("list", f"known-{name}")
        await expect(page.locator(f"#known-{name} option").first).to_have_attribute("value", value)


async def test_meaning_of_a_parameter_is_whole_on_a_phone(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/api#get-api-0-hosts-host-plugins-plugin", width=390, height=844)
    region = page.locator("#get-api-0-hosts-host-plugins-plugin .scroll")
    await expect(region).to_be_visible()
    assert await region.evaluate("part => part.scrollWidth <= part.clientWidth")
    await expect(region.locator("code")).to_have_text("cpu_monitor")
