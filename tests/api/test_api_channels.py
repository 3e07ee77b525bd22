"""Notification channels over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from channel_kit import Service, serving
from world import Api, World

from hbd import channel_register
from hbd.channel_register import ChannelState
from hbd.config import Config
from hbd.config.structs import ChannelSettings

PUSHOVER = {"type": "pushover", "token": "app-token", "user": "user-key"}
CHANNELS = "/api/0/notification_channels"


class Person:
    """Somebody who asks; without a token whoever calls a daemon without users."""

    def __init__(self, api: Api, token: str = "") -> None:
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, method: str, path: str = "", body: Any = None) -> ClientResponse:
        return await self._api.request(method, f"{CHANNELS}{path}", json=body, headers=self._headers)

    async def status(self, method: str, path: str = "", body: Any = None) -> int:
        return (await self.ask(method, path, body)).status

    async def said(self, method: str, path: str = "", body: Any = None) -> Any:
        return await (await self.ask(method, path, body)).json()

    async def refused(self, method: str, path: str = "", body: Any = None) -> tuple[int, str]:
        answer = await self.ask(method, path, body)
        return answer.status, (await answer.json())["error"]

    async def page(self, path: str) -> str:
        return await (await self._api.get(path, headers=self._headers)).text()

    async def names(self) -> list[str]:
        return [channel["name"] for channel in await self.said("GET")]


@pytest.fixture
async def admin(api: Api, world: World) -> Person:
    await world.user("alice", "admin")
    return Person(api, await world.session("alice"))


@pytest.fixture
async def bob(api: Api, world: World, admin: Person) -> Person:
    await world.user("bob")
    return Person(api, await world.session("bob"))


@pytest.fixture
async def carol(api: Api, world: World, admin: Person) -> Person:
    await world.user("carol")
    return Person(api, await world.session("carol"))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as serves:
        yield serves


# -------------------------------------------------------------------------------------------------------- to the letter


async def test_the_types_are_as_the_contract_shows_them(api: Api) -> None:
    types = await (await api.get("/api/0/notification_channel_types")).json()
    assert types["pushover"] == {
        "label": "Pushover",
        "fields": [
            {"key": "token", "label": "App token", "type": "secret", "required": True},
            {"key": "user", "label": "User key", "type": "secret", "required": True},
            {"key": "sound", "label": "Sound", "type": "text", "required": False},
        ],
    }
    assert types["email"]["label"] == "E-mail"


async def test_a_channel_is_made_and_shown_as_the_contract_says(bob: Person) -> None:
    body = {"name": "my_pushover", **PUSHOVER, "min_level": "WARNING", "private": True}
    answer = await bob.ask("POST", "", body)
    assert (answer.status, await answer.json()) == (200, {"name": "my_pushover", "ok": True})
    (channel,) = await bob.said("GET")
    shown = {key: channel[key] for key in ("name", "type", "type_label", "owner", "private", "min_level", "fields")}
    assert shown == {
        "name": "my_pushover",
        "type": "pushover",
        "type_label": "Pushover",
        "owner": "bob",
        "private": True,
        "min_level": "WARNING",
        "fields": [
            {"key": "token", "label": "App token", "value": "•••", "sensitive": True},
            {"key": "user", "label": "User key", "value": "•••", "sensitive": True},
        ],
    }


async def test_without_users_everybody_makes_channels_that_nobody_owns(api: Api) -> None:
    guest = Person(api)
    assert await guest.said("POST", "", {"name": "ops", **PUSHOVER}) == {"name": "ops", "ok": True}
    assert (await guest.said("GET", "/ops"))["owner"] is None
    assert await guest.said("PUT", "/ops", {**PUSHOVER, "sound": "siren"}) == {"ok": True}
    assert await guest.said("DELETE", "/ops") == {"ok": True}


@pytest.mark.parametrize(
    ("changed", "status", "begins"),
    [
        ({"type": "pigeon"}, 400, "type: there is no channel type 'pigeon'"),
        ({"type": None}, 400, "type: is needed"),
        ({"token": None}, 400, "token: is needed"),
        ({"token": "•••"}, 400, "token: the secret itself is needed"),
        ({"user": ""}, 400, "user: is needed"),
        ({"name": ""}, 400, "name: is needed"),
        ({"name": "x" * 65}, 400, "name: must be 1 to 64 printable"),
        ({"name": "a\nb"}, 400, "name: must be 1 to 64 printable"),
        ({"name": "a/b"}, 400, "name: must be 1 to 64 printable"),
        ({"name": 7}, 400, "name: is needed"),
        ({"min_level": "BAD"}, 400, "min_level: must be one of"),
        ({"private": "perhaps"}, 400, "private: must be true or false"),
        ({"nonsense": 1}, 400, "nonsense: Pushover has no such setting"),
        ({"sound": ["a"]}, 400, "sound: must be text"),
        ({"sound": "x" * 9_000}, 400, "sound: must be 8000 characters at most"),
        ({"quiet_from": "22:00"}, 400, "quiet_to: is needed"),
        ({"quiet_from": "25:00", "quiet_to": "7:00"}, 400, "quiet_from: must be a time"),
        ({"quiet_days": ["moonday", "xyz"]}, 400, "quiet_days: must be of mon"),
        ({"timezone": "Europe/Nowhere"}, 400, "timezone: there is no time zone"),
        ({"repeat": "10s"}, 400, "repeat: must be 60 s at least"),
        ({"fallback": "none"}, 400, "fallback: there is no channel 'none'"),
        ({"fallback": "new"}, 400, "fallback: must be another channel"),
        ({"type": "script", "program": "x"}, 400, "type: channels that run programs"),
    ],
)
async def test_what_cannot_be_is_named(bob: Person, changed: dict[str, Any], status: int, begins: str) -> None:
    told = await bob.refused("POST", "", {"name": "new", **PUSHOVER, **changed})
    assert told[0] == status and told[1].startswith(begins), told
    assert await bob.names() == []


@pytest.mark.parametrize("body", [[], "x", 1, None])
async def test_a_body_that_is_no_object_is_refused(bob: Person, body: Any) -> None:
    assert await bob.status("POST", "", body) in (400, 415)


@pytest.mark.parametrize("again", ["ops", "OPS"])
async def test_a_name_is_taken_once(bob: Person, again: str) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    assert (await bob.refused("POST", "", {"name": again, **PUSHOVER}))[0] == 409


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_channel_that_is_not_there_is_404(bob: Person, method: str) -> None:
    body = None if method != "PUT" else PUSHOVER
    assert await bob.refused(method, "/none", body) == (404, "Channel 'none' not found")


# ------------------------------------------------------------------------------------------------------------- who may


async def test_anybody_sees_a_public_channel_and_the_owner_alone_a_private_one(
    admin: Person, bob: Person, carol: Person
) -> None:
    await bob.ask("POST", "", {"name": "public", **PUSHOVER})
    await bob.ask("POST", "", {"name": "mine", **PUSHOVER, "private": True})
    assert (await bob.names(), await carol.names()) == (["mine", "public"], ["public"])
    assert await admin.names() == ["mine", "public"]
    assert await carol.status("GET", "/mine") == await carol.status("POST", "/mine/test") == 404


async def test_the_owner_and_admins_alone_change_a_channel(admin: Person, bob: Person, carol: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    assert await carol.status("PUT", "/ops", PUSHOVER) == await carol.status("DELETE", "/ops") == 403
    assert [await person.status("PUT", "/ops", PUSHOVER) for person in (admin, bob)] == [200, 200]
    assert [(await person.said("GET", "/ops"))["editable"] for person in (admin, bob, carol)] == [True, True, False]
    assert await admin.status("DELETE", "/ops") == 200


async def test_who_changes_a_channel_does_not_become_its_owner(admin: Person, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER, "owner": "alice"})
    await admin.ask("PUT", "/ops", {**PUSHOVER, "owner": "alice"})
    assert (await bob.said("GET", "/ops"))["owner"] == "bob"


async def test_who_may_not_change_a_channel_sees_of_its_urls_and_headers_the_outline(
    admin: Person, carol: Person
) -> None:
    body = {"name": "hook", "type": "webhook", "url": "https://127.0.0.1:9/token", "headers": ["X-Key: abc"]}
    assert (await admin.ask("POST", "", body)).status == 200
    shown = [{field["key"]: field["value"] for field in (await one.said("GET", "/hook"))["fields"]}
             for one in (admin, carol)]  # fmt: skip
    assert shown[0] == {"url": "https://127.0.0.1:9/token", "headers": ["X-Key: abc"]}
    assert shown[1] == {"url": "https://127.0.0.1:9/•••", "headers": ["X-Key: •••"]}


@pytest.mark.parametrize("rest", ["?token=abc", "#abc", "/abc", "/a?b#abc"])
async def test_the_outline_of_a_url_ends_with_its_host(admin: Person, carol: Person, rest: str) -> None:
    body = {"name": "hook", "type": "webhook", "url": f"https://127.0.0.1:9{rest}"}
    assert (await admin.ask("POST", "", body)).status == 200
    (field,) = (await carol.said("GET", "/hook"))["fields"]
    assert field["value"] == "https://127.0.0.1:9/•••"


async def test_there_is_an_end_to_how_many_one_may_have(bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_register, "MOST_OF_ONE", 2)
    for name in ("a", "b"):
        assert await bob.status("POST", "", {"name": name, **PUSHOVER}) == 200
    assert await bob.status("POST", "", {"name": "c", **PUSHOVER}) == 409


async def test_the_channels_of_a_user_who_has_gone_belong_to_nobody(
    api: Api, world: World, admin: Person, bob: Person
) -> None:
    await bob.ask("POST", "", {"name": "mine", **PUSHOVER, "private": True})
    accounts = world.security.accounts
    await world.security.host_access.delete_user(accounts.require("bob"))
    await world.user("bob")
    again = Person(api, await world.session("bob"))
    assert (await again.names(), (await admin.said("GET", "/mine"))["owner"]) == ([], None)


# -------------------------------------------------------------------------------------------------------------- change


async def stored(world: World, name: str) -> dict[str, Any]:
    spec = world.channels.get(name)
    assert spec is not None
    return spec.settings


async def test_secrets_that_come_back_hidden_stay(world: World, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    body = {"type": "pushover", "token": "•••", "user": "•••", "sound": "siren", "min_level": "CRITICAL"}
    assert await bob.said("PUT", "/ops", body) == {"ok": True}
    assert await stored(world, "ops") == {"token": "app-token", "user": "user-key", "sound": "siren"}
    assert (await bob.said("GET", "/ops"))["min_level"] == "CRITICAL"


async def test_what_is_left_out_of_a_change_stays_and_null_takes_away(world: World, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER, "sound": "siren", "repeat": "30m"})
    await bob.ask("PUT", "/ops", {"private": True})
    assert await stored(world, "ops") == {"token": "app-token", "user": "user-key", "sound": "siren"}
    await bob.ask("PUT", "/ops", {"sound": None, "repeat": None})
    channel = await bob.said("GET", "/ops")
    assert "sound" not in await stored(world, "ops") and (channel["private"], channel["repeat"]) == (True, None)


async def test_another_type_takes_no_secret_along(bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    told = await bob.refused("PUT", "/ops", {"type": "gotify", "host": "192.0.2.1", "token": "•••"})
    assert told == (400, "token: the secret itself is needed")


async def test_an_entry_of_the_list_can_be_sent_back(bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    entry = await bob.said("GET", "/ops")
    flat = {field["key"]: field["value"] for field in entry["fields"]}
    assert await bob.said("PUT", "/ops", {**entry, **flat}) == {"ok": True}
    assert await bob.said("GET", "/ops") == entry


async def test_channels_outlive_a_restart(world: World, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "hook", "type": "webhook", "url": "https://192.0.0.1.example/",
                               "headers": ["A: b"], "quiet_from": "22:00", "quiet_to": "07:00"})  # fmt: skip
    before = world.channels.all()
    again = channel_register.ChannelRegister(Config(), world.store, world.security.accounts, set)
    await again.load()
    assert again.all() == before != []
    await again.close()


async def test_a_deleted_channel_leaves_everybodys_list(api: Api, world: World, bob: Person, carol: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    accounts = world.security.accounts
    await accounts.change(accounts.require("carol"), {"channels": ("other", "ops")})
    assert await bob.said("DELETE", "/ops") == {"ok": True}
    assert accounts.require("carol").channels == ("other",)


async def test_what_is_done_with_channels_is_in_the_audit_log_without_secrets(world: World, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    await bob.ask("PUT", "/ops", {"token": "another"})
    await bob.ask("DELETE", "/ops")
    entries = await world.store.audit.recent(3, action="channel")
    assert [entry.action for entry in entries] == ["channel.delete", "channel.change", "channel.create"]
    assert {(entry.user, entry.object) for entry in entries} == {("bob", "channel ops")}
    assert not any("token" in entry.detail and "another" in entry.detail for entry in entries)


async def test_two_who_make_the_same_name_at_once_are_told_apart(bob: Person, carol: Person) -> None:
    body = {"name": "ops", **PUSHOVER}
    answers = await asyncio.gather(bob.status("POST", "", body), carol.status("POST", "", body))
    assert sorted(answers) == [200, 409]


# -------------------------------------------------------------------------------------------------------------- config


async def test_a_channel_of_the_config_is_seen_and_not_changed(world: World, admin: Person) -> None:
    await world.configure(Config(notification_channels={"ops": ChannelSettings(PUSHOVER)}))
    channel = await admin.said("GET", "/ops")
    assert (channel["source"], channel["editable"], channel["owner"]) == ("config", False, None)
    assert await admin.status("PUT", "/ops", PUSHOVER) == await admin.status("DELETE", "/ops") == 409
    assert await admin.status("POST", "", {"name": "ops", **PUSHOVER}) == 409


async def test_the_owner_of_a_channel_is_the_same_user_in_any_case(world: World, bob: Person, carol: Person) -> None:
    channels = {"own": ChannelSettings(**PUSHOVER, private=True, owner="BOB")}
    await world.configure(Config(notification_channels=channels))
    assert (await bob.names(), await carol.names()) == (["own"], [])


async def test_a_channel_that_leaves_the_config_is_gone(world: World, admin: Person) -> None:
    await world.configure(Config(notification_channels={"ops": ChannelSettings(PUSHOVER)}))
    await world.configure(Config())
    assert await admin.names() == []


# ------------------------------------------------------------------------------------------------------- state and test


async def test_a_channel_says_how_sending_goes(world: World, bob: Person) -> None:
    await bob.ask("POST", "", {"name": "ops", **PUSHOVER})
    world.channels.state = lambda name: ChannelState(failing_since=1.5, last_error="status 500", waiting=3, dead=1)
    assert (await bob.said("GET", "/ops"))["state"] == {
        "failing_since": 1.5,
        "last_sent": None,
        "last_error": "status 500",
        "waiting": 3,
        "dead": 1,
    }


async def test_the_status_page_tells_of_a_channel_that_fails(world: World, admin: Person) -> None:
    await admin.ask("POST", "", {"name": "ops", **PUSHOVER})
    assert "hbd works as it should" in await admin.page("/status")
    world.channels.state = lambda name: ChannelState(failing_since=1.5, last_error="status 500", waiting=3)
    told = await admin.page("/status")
    assert "hbd needs a look" in told and "status 500; 3 waiting" in told


async def test_a_channel_that_is_switched_off_is_no_trouble(world: World, admin: Person) -> None:
    await admin.ask("POST", "", {"name": "ops", **PUSHOVER, "enabled": False})
    world.channels.state = lambda name: ChannelState(failing_since=1.5, last_error="status 500")
    assert "hbd works as it should" in await admin.page("/status")


async def test_a_test_message_is_one_call(admin: Person, service: Service) -> None:
    await admin.ask("POST", "", {"name": "hook", "type": "webhook", "url": service.url()})
    assert await admin.said("POST", "/hook/test") == {"answer": "200", "ok": True}
    assert b'"kind":"test"' in service.asked[0][3]


async def test_a_test_that_fails_is_a_502_that_says_why(admin: Person, service: Service) -> None:
    service.status = 503
    await admin.ask("POST", "", {"name": "hook", "type": "webhook", "url": service.url()})
    assert await admin.refused("POST", "/hook/test") == (502, "status 503")


async def test_tests_are_in_the_log_of_the_channel(world: World, admin: Person, service: Service) -> None:
    await admin.ask("POST", "", {"name": "hook", "type": "webhook", "url": service.url()})
    await admin.said("POST", "/hook/test")
    service.status = 503
    await admin.refused("POST", "/hook/test")
    log = await world.store.notices.log(10, channels=["hook"])
    assert [(entry.outcome, entry.detail) for entry in log] == [("failed", "status 503"), ("sent", "200")]


async def test_a_test_of_an_unusable_channel_of_the_config_says_what_is_wrong(world: World, admin: Person) -> None:
    await world.configure(Config(notification_channels={"mail": ChannelSettings(type="email")}))
    assert await admin.refused("POST", "/mail/test") == (502, "the settings cannot be used: host: is needed")
