"""Channels, routes, silences and maintenance windows in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from conftest import OpenPage
from fed import FedDaemon
from looks import FIRST_LOAD_BYTES, loaded_bytes, overflows, violations, with_dialogs
from playwright.async_api import Locator, Page, expect
from signing_in import sign_in

from hbd.access import Identity
from hbd.config import Config
from hbd.config.structs import ChannelSettings
from hbd.hushes import Silence
from hbd.matching import Matcher
from hbd.model import Level
from hbd.notices import Notice
from hbd.routing import Route
from hbd.store.audit import Entry
from hbd.store.notices import Delivery, Item

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = ["/channels", "/channels?channel=hook", "/routes", "/silences"]


class Receiver:
    """What a webhook leads to. status: what it answers with; bodies: what came."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response(status=self.status)


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield found
    await runner.cleanup()


async def channel(fed: FedDaemon, name: str, owner: str = "alice", **given: Any) -> None:
    """A webhook that somebody has made."""
    user = fed.security.accounts.require(owner)
    made = {"name": name, "type": "webhook", "url": "http://192.0.2.1/hook", "secret": "swordfish", **given}
    await fed.channels.create(made, Identity(name=user.name, role=user.role), entry())


def entry() -> Entry:
    return Entry(time=time.time(), user="", via="cli", action="test")


def give_up(fed: FedDaemon, channel: str) -> None:
    """Something that this channel was to be told and was not."""
    host = fed.hosts.require("web")
    notice = Notice(
        problem="p1",
        channel=channel,
        host_id=host.id,
        host="web",
        path="cpu_monitor.cpu_percent",
        why="a test",
        opened=fed.now.wall - 60,
        worst=Level.CRITICAL,
        level=Level.CRITICAL,
        at=fed.now.wall - 60,
        value=95.0,
        reason="CPU 95 > 90",
        dead="status 410",
    )
    fed.notifications.notices.load([notice])


async def delivered(fed: FedDaemon, channel: str, outcome: Any, title: str, detail: str = "") -> None:
    host = fed.hosts.require("web")
    item = Item(host.id, "cpu_monitor.cpu_percent", "p1", Level.CRITICAL, 1)
    delivery = Delivery(
        time=fed.now.wall, channel=channel, outcome=outcome, message="m", title=title, detail=detail, items=(item,)
    )
    await fed.store.notices.save(delivery)


async def pick_type(page: Page, words: str) -> Locator:
    """Begin a new channel of the type that fits; gives its form."""
    await page.get_by_role("button", name="Add channel").first.click()
    await expect(page.locator("#type-list li").first).to_be_visible()
    await page.get_by_label("What shall it reach?").fill(words)
    await page.keyboard.press("Enter")
    form = page.locator("#channel-form")
    await expect(form).to_be_visible()
    return form


# ----------------------------------------------------------------------------------------------------------- channels


async def test_empty_page_says_what_a_channel_is(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/channels", scripts=False)
    await expect(page.locator("main")).to_contain_text("A channel is a way to reach somebody")


async def test_channels_can_be_read_without_scripts(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook", min_level="CRITICAL", quiet_from="22:00", quiet_to="07:00", quiet_days=["sat", "sun"])
    page = await sign_in(open_page, people, "alice", "/channels", scripts=False)
    row = page.locator("table.channels tbody tr")
    await expect(row).to_contain_text("never used")
    await expect(row).to_contain_text("quiet 22:00–07:00, Sat–Sun")
    await page.get_by_role("link", name="hook").click()
    await expect(page.locator(".facts")).to_contain_text("http://192.0.2.1/hook")
    await expect(page.locator("body")).not_to_contain_text("swordfish")


async def test_channel_is_made_from_the_form_of_its_type(
    people: FedDaemon, open_page: OpenPage, receiver: Receiver
) -> None:
    page = await sign_in(open_page, people, "alice", "/channels")
    form = await pick_type(page, "webhook")
    await form.get_by_label("Name", exact=True).fill("hook")
    await form.get_by_label(re.compile("^URL")).fill(receiver.url)
    await form.get_by_label("Is told of").select_option("CRITICAL")
    await form.get_by_label("Private").check()
    await form.get_by_label("Quiet hours").check()
    await form.get_by_role("checkbox", name="Sat", exact=True).check()
    await form.get_by_label("Time zone").fill("Europe/Zurich")
    await form.get_by_label("Repeat while").fill("90")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("table.channels tbody tr")).to_contain_text("hook")
    made = people.channels.get("hook")
    assert made is not None
    assert (made.settings["url"], made.owner, made.private) == (receiver.url, "alice", True)
    assert (made.min_level, made.repeat) == (Level.CRITICAL, 5400.0)
    assert (made.quiet_from, made.quiet_to, made.quiet_days, made.timezone) == (
        "22:00", "07:00", ("sat",), "Europe/Zurich",
    )  # fmt: skip


async def test_types_are_found_by_a_part_of_their_name_and_usual_ones_come_first(
    people: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, people, "alice", "/channels")
    await page.get_by_role("button", name="Add channel").first.click()
    options = page.locator("#type-list li")
    await expect(options.first).to_contain_text("mail")
    assert await options.count() > 100
    await page.get_by_label("What shall it reach?").fill("pushov")
    await expect(options).to_have_count(1)
    await page.keyboard.press("Enter")
    fields = page.locator("#type-fields")
    await expect(fields.get_by_label("App token", exact=True)).to_have_attribute("type", "password")
    await expect(fields.get_by_label("User key", exact=True)).to_be_visible()


async def test_what_is_missing_is_said_beside_its_field(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/channels")
    form = await pick_type(page, "webhook")
    await form.get_by_role("button", name="Save").click()
    await expect(form.locator("[data-field=name] .wrong")).to_have_text("This is needed")
    await expect(form.locator("[data-field=url] .wrong")).to_have_text("This is needed")
    await expect(form.get_by_label("Name", exact=True)).to_be_focused()
    await expect(form.get_by_role("alert")).to_be_hidden()


async def test_an_address_without_its_scheme_is_told_how_one_begins(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/channels")
    form = await pick_type(page, "webhook")
    await form.get_by_label(re.compile("^URL")).fill("example.org/hook")
    await form.get_by_role("button", name="Save").click()
    await expect(form.locator("[data-field=url] .wrong")).to_contain_text("one begins with https://")


async def test_what_the_server_refuses_is_said_beside_its_field(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/channels", expected="400")
    form = await pick_type(page, "webhook")
    await form.get_by_label("Name", exact=True).fill("hook")
    await form.get_by_label(re.compile("^URL")).fill("ftp://example.org")
    await form.get_by_role("button", name="Save").click()
    await expect(form.locator("[data-field=url] .wrong")).to_be_visible()
    await expect(form.get_by_label(re.compile("^URL"))).to_be_focused()


async def test_name_that_is_taken_is_told(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "alice", "/channels", expected="409")
    form = await pick_type(page, "webhook")
    await form.get_by_label("Name", exact=True).fill("hook")
    await form.get_by_label(re.compile("^URL")).fill("http://192.0.2.1/")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("exists already")


async def test_secret_that_is_not_touched_is_kept(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "alice", "/channels")
    await page.get_by_role("button", name="Edit hook").click()
    form = page.locator("#channel-form")
    await expect(form.get_by_role("textbox", name="Signing secret")).to_have_value("•••")
    await form.get_by_label("Is told of").select_option("UNKNOWN")
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved: hook")
    kept = people.channels.get("hook")
    assert kept is not None
    assert (kept.settings["secret"], kept.min_level) == ("swordfish", Level.UNKNOWN)


async def test_test_shows_what_the_other_side_said(people: FedDaemon, open_page: OpenPage, receiver: Receiver) -> None:
    await channel(people, "hook", url=receiver.url)
    page = await sign_in(open_page, people, "alice", "/channels", expected="502")
    await page.get_by_role("button", name="Test hook").click()
    told = page.locator("#test")
    await expect(told.locator(".word")).to_have_text("sent")
    await expect(told.locator(".answer")).to_contain_text("200")
    assert len(receiver.bodies) == 1
    receiver.status = 410
    await told.get_by_role("button", name="Test again").click()
    await expect(told.locator(".word")).to_have_text("not sent")
    await expect(told.locator(".answer")).to_contain_text("410")


async def test_deleting_a_channel_names_it_and_asks_once(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "alice", "/channels?channel=hook")
    await page.get_by_role("button", name="Edit hook").click()
    await page.get_by_role("button", name="Delete …").click()
    await expect(page.locator("#confirm h2")).to_have_text("Delete hook?")
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(people.origin + "/channels")
    assert people.channels.get("hook") is None


async def test_channel_of_the_config_is_read_only_and_says_so(people: FedDaemon, open_page: OpenPage) -> None:
    settings = ChannelSettings(type="webhook", url="http://192.0.2.1/")
    await people.stop()
    people.config = Config(notification_channels={"ops": settings})
    await people.start()
    page = await sign_in(open_page, people, "alice", "/channels")
    await expect(page.locator("table.channels tbody tr")).to_contain_text("config file")
    await expect(page.get_by_role("button", name="Edit ops")).to_have_count(0)
    await page.get_by_role("link", name="ops").click()
    await expect(page.locator("main")).to_contain_text("This channel stands in the configuration file")


async def test_deliveries_and_what_was_given_up_stand_on_the_page_of_a_channel(
    people: FedDaemon, open_page: OpenPage
) -> None:
    await channel(people, "hook")
    await delivered(people, "hook", "sent", "CRITICAL web: CPU 95 > 90", "200")
    await delivered(people, "hook", "failed", "CRITICAL web: CPU 96 > 90", "status 410")
    give_up(people, "hook")
    page = await sign_in(open_page, people, "alice", "/channels?channel=hook")
    log = page.locator("[data-fragment=log] tbody tr")
    await expect(log).to_have_count(2)
    await expect(log.first).to_contain_text("failed")
    await expect(log.first).to_contain_text("status 410")
    dead = page.locator("#dead")
    await expect(dead).to_contain_text("CPU 95 > 90")
    await dead.get_by_role("button", name="Resend").click()
    await expect(page.locator(".toast")).to_have_text("It is sent again")
    await expect(dead).to_contain_text("Nothing.")


async def test_log_of_a_channel_is_for_its_owner(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    await delivered(people, "hook", "sent", "CRITICAL db: CPU 95 > 90", "200")
    page = await sign_in(open_page, people, "bob", "/channels?channel=hook")
    await expect(page.locator("main")).to_contain_text("for its owner and admins to see")
    await expect(page.locator("main")).not_to_contain_text("CPU 95")
    await expect(page.get_by_role("button", name="Edit hook")).to_have_count(0)


async def test_private_channel_of_somebody_else_is_not_there(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook", private=True)
    page = await sign_in(open_page, people, "bob", "/channels?channel=hook", expected="404")
    await expect(page.get_by_role("alert").first).to_contain_text("There is no channel “hook” that you may see")


async def test_channel_leads_to_the_profile_where_it_is_chosen(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "bob", "/channels")
    await page.get_by_role("link", name="Use it for myself").click()
    await page.get_by_label("hook").check()
    await page.locator("form", has=page.locator("#channels")).get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    await page.goto(people.origin + "/channels")
    await expect(page.locator("table.channels tbody tr")).to_contain_text("used by you")


# ------------------------------------------------------------------------------------------------------------- routes


async def test_route_is_made_changed_and_deleted(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "alice", "/routes")
    await expect(page.locator("main")).to_contain_text("No routes yet")
    await page.get_by_role("button", name="Add route").first.click()
    form = page.locator("#route-form")
    await form.get_by_label("Name").fill("on call")
    await form.get_by_label("Tags").last.fill("production")
    await form.get_by_label("From level").select_option("CRITICAL")
    await form.get_by_role("checkbox", name="hook", exact=True).check()
    await form.get_by_label("After").fill("15")
    await form.get_by_role("button", name="Save").click()
    row = page.locator("table.routes tbody tr")
    await expect(row).to_contain_text("tagged production")
    await expect(row).to_contain_text("after 15 min")
    (made,) = people.notifications.routes.all()
    assert (made.matcher.tags, made.channels, made.after) == (("production",), ("hook",), 900.0)
    await page.get_by_role("button", name="Edit on call").click()
    await form.get_by_label("After").fill("0")
    await form.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("at once")
    await page.get_by_role("button", name="Edit on call").click()
    await form.get_by_role("button", name="Delete …").click()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator("main")).to_contain_text("No routes yet")


async def test_route_without_a_channel_is_refused_beside_the_channels(people: FedDaemon, open_page: OpenPage) -> None:
    await channel(people, "hook")
    page = await sign_in(open_page, people, "alice", "/routes", expected="400")
    await page.get_by_role("button", name="Add route").first.click()
    form = page.locator("#route-form")
    await form.get_by_label("Name").fill("on call")
    await form.get_by_role("button", name="Save").click()
    await expect(form.locator("[data-field=channels] .wrong")).to_be_visible()


async def test_routes_are_for_admins(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/channels", expected="403")
    await expect(page.get_by_role("link", name="Routes")).to_have_count(0)
    await page.goto(people.origin + "/routes")
    await expect(page.locator("main")).to_contain_text("Only an admin may do this")


# ----------------------------------------------------------------------------------------------------------- silences


async def test_silence_is_made_shown_and_ended(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/silences")
    await expect(page.locator("main")).to_contain_text("Nothing is silenced")
    await page.get_by_role("button", name="Silence …").click()
    form = page.locator("#silence-form")
    await form.get_by_label("Hosts").last.fill("web*")
    await form.get_by_role("checkbox", name="CRITICAL", exact=True).check()
    await form.get_by_label("Why").fill("new disks")
    await form.get_by_role("radio", name="4 h", exact=True).check()
    await form.get_by_role("button", name="Silence", exact=True).click()
    row = page.locator("[data-fragment=silences] tbody tr")
    await expect(row).to_contain_text("web*")
    await expect(row).to_contain_text("for another 3 h")
    (made,) = people.hushing.silences(time.time())
    assert (made.matcher.hosts, made.matcher.levels, made.author) == (("web*",), (Level.CRITICAL,), "olga")
    assert made.ends - made.starts == pytest.approx(14_400)
    await row.get_by_role("button", name="End the silence").click()
    await page.locator("#confirm").get_by_role("button", name="End it now").click()
    await expect(page.locator("[data-fragment=ended] tbody tr")).to_contain_text("new disks")
    await expect(page.locator("[data-fragment=silences]")).to_contain_text("Nothing is silenced")


async def test_silence_that_ended_can_be_had_again(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/silences")
    await page.goto(people.origin + "/silences?host=web&metric=cpu_monitor.*#new")
    form = page.locator("#silence-form")
    await expect(form.locator("[data-name=hosts] li")).to_contain_text("web")
    await form.get_by_label("Why").fill("new disks")
    await form.get_by_role("button", name="Silence", exact=True).click()
    await page.get_by_role("button", name="End the silence").click()
    await page.locator("#confirm").get_by_role("button", name="End it now").click()
    await page.get_by_role("button", name="Silence again: new disks").click()
    await expect(form.get_by_label("Why")).to_have_value("new disks")
    await expect(form.locator("[data-name=metrics] li")).to_contain_text("cpu_monitor.*")


async def test_silence_begins_later_and_ends_when_it_is_told_to(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/silences")
    await page.goto(people.origin + "/silences?host=web#new")
    form = page.locator("#silence-form")
    await form.get_by_label("Why").fill("move")
    await form.get_by_role("radio", name="until …", exact=True).check()
    ends, starts = form.locator("#silence-ends"), form.locator("#silence-starts")
    await form.get_by_label("Begins later").check()
    day = time.strftime("%Y-%m-%d", time.localtime(time.time() + 2 * 86_400))
    await starts.fill(f"{day}T10:00")
    await ends.fill(f"{day}T12:00")
    await form.get_by_role("button", name="Silence", exact=True).click()
    await expect(page.locator("[data-fragment=silences] tbody tr")).to_contain_text("begins")
    (made,) = people.hushing.silences(time.time())
    assert made.ends - made.starts == pytest.approx(7200)


async def test_what_a_silence_lacks_is_said_beside_its_fields(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/silences", expected="400")
    await page.get_by_role("button", name="Silence …").click()
    form = page.locator("#silence-form")
    await form.get_by_role("button", name="Silence", exact=True).click()
    await expect(form.locator("[data-field=reason] .wrong")).to_have_text("This is needed")
    await form.get_by_label("Why").fill("new disks")
    await form.get_by_role("button", name="Silence", exact=True).click()
    await expect(form.locator("[data-field=hosts] .wrong")).to_contain_text("This is needed")


async def test_monitor_may_not_silence_and_is_told_why(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/silences", expected="403")
    await page.goto(people.origin + "/silences?host=web#new")
    form = page.locator("#silence-form")
    await form.get_by_label("Why").fill("peace")
    await form.get_by_role("button", name="Silence", exact=True).click()
    await expect(form.get_by_role("alert")).to_contain_text("hosts that you manage")


async def test_window_is_made_changed_and_deleted(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/silences")
    await page.get_by_role("button", name="Add window").click()
    form = page.locator("#window-form")
    await form.get_by_label("Name").fill("patch day")
    await form.get_by_label("Hosts").last.fill("web")
    await form.get_by_label("Happens").select_option("weekly")
    await form.get_by_label("Begins").fill("2030-01-01T22:00")
    await form.get_by_label("Lasts").fill("3")
    await form.get_by_role("checkbox", name="Tue", exact=True).check()
    await form.get_by_label("Time zone").fill("Europe/Zurich")
    await form.get_by_role("button", name="Save").click()
    row = page.locator("table.windows tbody tr")
    await expect(row).to_contain_text("Tue at 22:00 for 3 h")
    await page.get_by_role("button", name="Edit patch day").click()
    await expect(form.get_by_label("Lasts")).to_have_value("3")
    await form.get_by_label("Happens").select_option("daily")
    await form.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("every day at 22:00 for 3 h")
    await page.get_by_role("button", name="Edit patch day").click()
    await form.get_by_role("button", name="Delete …").click()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator("[data-fragment=windows]")).to_contain_text("No maintenance windows")


async def test_window_that_is_too_long_is_told_beside_its_length(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/silences", expected="400")
    await page.get_by_role("button", name="Add window").click()
    form = page.locator("#window-form")
    await form.get_by_label("Name").fill("backup")
    await form.get_by_label("Hosts").last.fill("web")
    await form.get_by_label("Happens").select_option("daily")
    await form.get_by_label("Lasts").fill("30")
    await form.get_by_role("button", name="Save").click()
    await expect(form.locator("[data-field=duration] .wrong")).to_contain_text("24 hours at most")


async def test_all_that_is_wrong_with_a_field_is_one_sentence_below_it(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/silences", expected="400")
    await page.get_by_role("button", name="Add window").click()
    form = page.locator("#window-form")
    await form.get_by_label("Name").fill("backup")
    await form.get_by_role("button", name="Save").click()
    hosts = form.locator("[data-field=hosts] .wrong")
    await expect(hosts).to_have_text("This is needed, or tags, or metrics; all hosts are *")
    await form.get_by_label("Hosts").last.fill("web")
    await form.get_by_label("Time zone").fill("Europe/Zürich")
    await form.get_by_role("button", name="Save").click()
    zone = form.locator("[data-field=timezone] .wrong")
    await expect(zone).to_have_text("There is no time zone 'Europe/Zürich'; an example is Europe/Zurich")
    await expect(form.get_by_role("alert")).to_be_hidden()


# -------------------------------------------------------------------------------------------------------------- looks

DIALOGS = {
    "/channels": ["[data-adds]", "[data-edits=hook]"],
    "/channels?channel=hook": [],
    "/routes": ["[data-adds]", "[data-edits]"],
    "/silences": ["[data-opens=new-silence]", "[data-adds=window]"],
}


@pytest_asyncio.fixture(loop_scope="session")
async def busy(people: FedDaemon) -> FedDaemon:
    """With something of each kind to look at."""
    await channel(people, "hook")
    await channel(people, "hook-at-night", quiet_from="22:00", quiet_to="07:00", fallback="hook")
    await delivered(people, "hook", "failed", "CRITICAL web: CPU 95 > 90", "status 410")
    give_up(people, "hook")
    await _silence(people)
    await _route(people)
    return people


async def _silence(fed: FedDaemon) -> None:
    now = time.time()
    about = Matcher(hosts=("web",), metrics=("cpu_monitor.*",))
    silence = Silence(id=0, matcher=about, reason="new disks", author="alice", created=now, starts=now, ends=now + 3600)
    await fed.hushing.add_silence(silence, entry(), now)


async def _route(fed: FedDaemon) -> None:
    route = Route(
        name="on call",
        matcher=Matcher(hosts=("web*",), tags=("production",)),
        channels=("hook",),
        min_level=Level.CRITICAL,
        after=900.0,
        author="alice",
        created=time.time(),
    )
    await fed.notifications.routes.add(route, entry())


@pytest.mark.parametrize("path", ["/channels", "/routes", "/silences"])
async def test_notification_pages_work_while_there_are_no_users(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await open_page(fed.origin + path)
    await expect(page.locator("#feed")).to_have_text("live")
    await page.locator(".toolbar .button.primary").click()
    await expect(page.locator("dialog[open]")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_on_notification_pages(
    busy: FedDaemon, open_page: OpenPage, path: str, theme: str
) -> None:
    page = await sign_in(open_page, busy, "alice", path, theme=theme)
    async for _ in with_dialogs(page, DIALOGS[path]):
        assert await violations(page) == []


@pytest.mark.parametrize("path", PATHS)
async def test_no_notification_page_scrolls_sideways_on_a_small_phone(
    busy: FedDaemon, open_page: OpenPage, path: str
) -> None:
    page = await sign_in(open_page, busy, "alice", path, width=360, height=740)
    async for _ in with_dialogs(page, DIALOGS[path]):
        assert not await overflows(page)


@pytest.mark.parametrize("path", PATHS)
async def test_first_load_of_notification_pages_is_small(busy: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await sign_in(open_page, busy, "alice", path)
    assert 0 < await loaded_bytes(page) <= FIRST_LOAD_BYTES
