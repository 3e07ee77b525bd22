"""What people could do with notifications to each other and to the daemon: by channels, silences and messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channel_kit import message, serving, tools
from world import Api, World

from hbd.channels import apprise_types, base
from hbd.channels.base import Channel, SendFailed
from hbd.channels.confinement import MAX_ANSWER
from hbd.channels.spec import ChannelSpec
from hbd.config import Config
from hbd.config.structs import ChannelSettings, HostConfig, Notifications, User
from hbd.config.structs import NotificationRoute as RouteConfig
from hbd.model import Level
from hbd.notices import Notice
from hbd.store.audit import Entry
from hbd.store.notices import Delivery, Item

CHANNELS = "/api/0/notification_channels"
HOOK = {"type": "webhook", "url": "https://198.41.0.4/"}  # never called

Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def ask(api: Api, world: World, name: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {await world.session(name)}"}
    answer = await api.request(method, path, json=body, headers=headers)
    return answer.status, await answer.text()


@pytest.fixture(autouse=True)
async def people(world: World) -> None:
    await world.user("alice", "admin")
    await world.user("oscar", "operator")
    await world.user("bob", "viewer")
    await world.user("eve", "viewer")


# --------------------------------------------------------------------------------------- services that mean no good


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[Channel]:
    """A channel of Apprise's to a server that says what it likes after it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        settings = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "tls": False}
        yield apprise_types.load()["json"].open("x", settings, tools())


async def failure(channel: Channel) -> str:
    with pytest.raises(SendFailed) as caught:
        await channel.send(message())
    return str(caught.value)


async def test_s63_a_service_that_answers_drop_by_drop_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with talking(drip) as channel:
        assert await failure(channel) == "no answer within 0 s"
        async with asyncio.timeout(3):
            while await failure(channel) != "no answer within 0 s":
                await asyncio.sleep(0.01)


async def test_s61_an_answer_of_any_length_is_not_kept_in_memory() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_ANSWER + 1))
        await writer.drain()

    async with talking(flood) as channel:
        assert await failure(channel) == "the service did not take it"


# --------------------------------------------------------------------------------------------- names of other people


def require(world: World, name: str) -> ChannelSpec:
    found = world.channels.get(name)
    assert found is not None
    return found


def dead_letter(channel: str) -> Notice:
    return Notice(
        problem="p1",
        channel=channel,
        host_id=1,
        host="web1",
        path="a.b",
        why="",
        opened=1.0,
        worst=Level.CRITICAL,
        level=Level.CRITICAL,
        at=1.0,
        value=None,
        reason="",
        dead="given up",
    )


async def make(api: Api, world: World, who: str, name: str, **settings: Any) -> int:
    return (await ask(api, world, who, "POST", CHANNELS, {"name": name, **HOOK, **settings}))[0]


async def test_s18_nobody_takes_over_the_name_of_a_channel_that_a_route_leads_to(api: Api, world: World) -> None:
    await make(api, world, "alice", "pager")
    await ask(api, world, "alice", "POST", "/api/0/notification_routes", {"name": "all", "channels": ["pager"]})
    await ask(api, world, "alice", "DELETE", f"{CHANNELS}/pager")
    assert [await make(api, world, who, "pager") for who in ("oscar", "eve", "alice")] == [409, 409, 200]


@pytest.mark.parametrize(
    "config",
    [
        Config(notifications=Notifications(fallback="pager")),
        Config(notifications=Notifications(about_hbd=("pager",))),
        Config(notification_routes={"all": RouteConfig(channels=("pager",))}),
        Config(hosts={"web1": HostConfig(notification_channels=("pager",))}),
        Config(users={"bob": User(notification_channels=("pager",))}),
        Config(notification_channels={"mail": ChannelSettings(HOOK | {"fallback": "pager"})}),
    ],
)
async def test_s18_nor_one_that_the_config_is_waiting_for(api: Api, world: World, config: Config) -> None:
    await world.configure(config)
    assert await make(api, world, "eve", "pager") == 409


async def test_s18_what_the_own_profile_is_waiting_for_may_be_made(api: Api, world: World) -> None:
    await world.configure(Config(users={"bob": User(notification_channels=("pager",))}))
    assert await make(api, world, "bob", "pager") == 200


async def test_s17_a_channel_of_an_old_name_inherits_no_log(api: Api, world: World) -> None:
    told = Delivery(time=1.0, channel="phone", outcome="sent", message="m", title="CRITICAL secret1: x")
    await world.store.notices.save(told)
    await make(api, world, "eve", "phone")
    assert "secret1" not in (await ask(api, world, "eve", "GET", "/api/0/notifications"))[1]
    assert "secret1" in (await ask(api, world, "alice", "GET", "/api/0/notifications"))[1]


async def test_s17_dead_letters_of_a_channel_with_a_similar_name_are_not_shown(api: Api, world: World) -> None:
    await make(api, world, "eve", "phone")
    await world.configure(Config(notification_channels={"Phone": ChannelSettings(HOOK | {"private": True})}))
    world.notifications.notices.load([dead_letter("Phone")])
    assert (await ask(api, world, "eve", "GET", "/api/0/notifications/dead"))[1] == "[]"
    assert (await ask(api, world, "eve", "DELETE", "/api/0/notifications/dead/p1:Phone"))[0] == 404


async def test_s46_a_token_for_one_host_sees_and_moves_no_messages_about_others(api: Api, world: World) -> None:
    await world.configure(Config(notification_channels={"phone": ChannelSettings(HOOK)}))
    world.notifications.notices.load([dead_letter("phone")])
    await world.store.notices.save(Delivery(time=1.0, channel="phone", outcome="sent", message="m", title="web1"))
    alice = world.security.accounts.require("alice")
    entry = Entry(time=1.0, user="", via="cli", action="token.create")
    _, token = await world.security.accounts.add_token(alice, "x", entry, scope="write", hosts=("db1",), expires=None)
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("", "/dead"):
        assert "web1" not in await (await api.get(f"/api/0/notifications{path}", headers=headers)).text()
    answer = await api.delete("/api/0/notifications/dead/p1:phone", headers=headers)
    assert answer.status == 404


async def test_s18_a_private_channel_is_not_named_as_what_another_falls_back_on(api: Api, world: World) -> None:
    await make(api, world, "bob", "bobs-own", private=True)
    await make(api, world, "bob", "team", fallback="bobs-own")
    assert "bobs-own" not in (await ask(api, world, "eve", "GET", CHANNELS))[1]
    assert "bobs-own" in (await ask(api, world, "bob", "GET", CHANNELS))[1]


async def test_s18_nor_in_the_numbers_of_the_daemon(api: Api, world: World) -> None:
    await make(api, world, "bob", "bobs-own", private=True)
    for channel in ("bobs-own", "gone"):
        world.stats.count("notifications_total", channel=channel, outcome="sent")
    _, text = await ask(api, world, "oscar", "GET", "/metrics")
    assert "bobs-own" not in text and 'hbd_notifications_total{channel="",outcome="sent"} 2.0' in text
    assert "bobs-own" in (await ask(api, world, "alice", "GET", "/metrics"))[1]


async def test_s17_explaining_one_host_names_no_other_of_the_same_message(api: Api, world: World) -> None:
    alpha, beta = await world.enrol("alpha"), await world.enrol("beta")
    both = (Item(alpha.id, "a.b", "p1", Level.OK, 2), Item(beta.id, "a.b", "p2", Level.CRITICAL, 1))
    title = "1 problem on beta, 1 recovered"
    await world.store.notices.save(
        Delivery(time=1.0, channel="mail", outcome="sent", message="m", title=title, items=both)
    )
    await world.configure(
        Config(hosts={"alpha": HostConfig(monitors=("eve",))}, notification_channels={"mail": ChannelSettings(HOOK)})
    )
    status, text = await ask(api, world, "eve", "GET", "/api/0/explain?host=alpha&metric=a.b")
    assert (status, "beta" in text, "a message about 2 hosts" in text) == (200, False, True)


# ------------------------------------------------------------------------------------------------ trust and patience


async def test_s35_an_admin_who_touches_a_channel_of_another_does_not_trust_where_it_leads(
    api: Api, world: World
) -> None:
    await make(api, world, "eve", "hook")
    assert (await ask(api, world, "alice", "PUT", f"{CHANNELS}/hook", {"min_level": "CRITICAL"}))[0] == 200
    assert not require(world, "hook").trusted
    assert (await ask(api, world, "alice", "PUT", f"{CHANNELS}/hook", {"url": "http://10.0.0.1/"}))[0] == 200
    assert require(world, "hook").trusted


async def test_others_cannot_make_a_channel_send_tests_without_end(api: Api, world: World) -> None:
    async with serving() as service:
        await make(api, world, "alice", "sms", url=service.url())
        tests = [(await ask(api, world, "eve", "POST", f"{CHANNELS}/sms/test"))[0] for _ in range(5)]
        assert (tests, len(service.asked)) == ([200, 200, 200, 429, 429], 3)
        assert (await ask(api, world, "alice", "POST", f"{CHANNELS}/sms/test"))[0] == 200


@pytest.mark.parametrize("body", ['"' + r"\u007btext}" * 51 + '"', "[" * 900 + "]" * 900])
async def test_s38_a_template_that_takes_long_to_fill_in_is_not_taken(api: Api, world: World, body: str) -> None:
    assert await make(api, world, "eve", "hook", body=body) == 400


@pytest.mark.parametrize("address", ["a@[", "a@[1", ".a@x", "a@]", "a@x.", "a@b]["])
async def test_s39_what_is_no_mail_address_is_not_taken(api: Api, world: World, address: str) -> None:
    mail = {"type": "email", "host": "198.41.0.4", "from": "a@b.example", "to": ["a@b.example"]}
    for changed in ({"from": address}, {"to": [address]}):
        body = {"name": "mail", **mail, **changed}
        assert (await ask(api, world, "eve", "POST", CHANNELS, body))[0] == 400


async def test_s66_patterns_that_take_long_to_get_ready_are_not_taken(api: Api, world: World) -> None:
    for metrics in (["*a" * 11], [f"*{'a' * 300}{number}" for number in range(10)]):
        body = {"hosts": ["h"], "metrics": metrics, "reason": "x", "duration": "1h"}
        assert (await ask(api, world, "oscar", "POST", "/api/0/silences", body))[0] == 400
        route = {"name": "x", "metrics": metrics, "channels": ["hook"]}
        await make(api, world, "alice", "hook")
        assert (await ask(api, world, "alice", "POST", "/api/0/notification_routes", route))[0] == 400


async def test_one_user_does_not_use_up_the_silences_of_all(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.hushing.MOST_OF_ONE", 1)
    silence = {"hosts": ["web1"], "reason": "x", "duration": "1h"}
    window = {"hosts": ["web1"], "name": "x", "start": "2030-01-01T00:00", "duration": "1h"}
    for path, body in (("/api/0/silences", silence), ("/api/0/windows", window)):
        made = [(await ask(api, world, who, "POST", path, body))[0] for who in ("oscar", "oscar", "alice")]
        assert made == [201, 409, 201]
