"""Channel types of Apprise, with the real library against servers on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channel_kit import Service, message, serving, tools

from hbd.channels import apprise_types, base
from hbd.channels.apprise_types import AppriseType
from hbd.channels.base import Message, SendFailed
from hbd.channels.registry import OWN, Types, types_for
from hbd.channels.spec import ChannelSpec, shown_fields
from hbd.channels.threads import Threads
from hbd.settings.gathering import outline_of

TYPES = apprise_types.load()


@pytest.fixture(name="service")
async def a_service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


def here(service: Service, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": service.port, "tls": False, **more}


async def send(kind: str, settings: dict[str, Any], what: Message | None = None, **of_guard: Any) -> str:
    assert TYPES[kind].check(settings) == []
    return await TYPES[kind].open("it", settings, tools(**of_guard)).send(what or message())


def test_there_are_more_than_150_services() -> None:
    assert len(TYPES) > 150


@pytest.mark.parametrize(
    "key",
    [
        "pushover",
        "slack",
        "discord",
        "telegram",
        "teams",
        "ntfy",
        "gotify",
        "matrix",
        "mattermost",
        "signal",
        "pagerduty",
        "opsgenie",
        "twilio",
        "rocketchat",
        "zulip",
        "webex",
        "homeassistant",
        "google_chat",
    ],
)
def test_a_service_is_found_under_the_name_people_know(key: str) -> None:
    assert key in TYPES


def test_pushover_has_the_fields_of_the_contract() -> None:
    fields = [(field.key, field.label, field.type, field.required) for field in TYPES["pushover"].fields]
    assert fields == [
        ("token", "App token", "secret", True),
        ("user", "User key", "secret", True),
        ("sound", "Sound", "text", False),
    ]


def test_no_type_is_one_of_ours_or_has_a_field_twice() -> None:
    assert not TYPES.keys() & OWN.keys()
    for kind in TYPES.values():
        keys = [field.key for field in kind.fields]
        assert len(set(keys)) == len(keys) and all(field.label for field in kind.fields)


def test_no_field_is_one_that_all_channels_have() -> None:
    common = {*ChannelSpec.__struct_fields__, "fields", "state"}
    assert {field.key for kind in TYPES.values() for field in kind.fields} & common == set()


SECRET = ("token", "key", "secret", "pass", "webhook", "sid", "auth")


@pytest.mark.parametrize("key", TYPES)
def test_what_looks_like_a_secret_is_shown_to_nobody(key: str) -> None:
    typed = [field for field in TYPES[key].fields if field.type not in ("choice", "boolean", "number")]
    settings = {one.key: "hunter2" for one in typed if any(word in one.key.lower() for word in SECRET)}
    spec = ChannelSpec(name="it", type=key, settings=settings)
    assert "hunter2" not in str(outline_of(spec, TYPES[key]))
    assert "hunter2" not in str(shown_fields(spec, TYPES[key], whole=True))


def test_no_setting_reads_a_file_of_this_machine() -> None:
    keys = {field.key for kind in TYPES.values() for field in kind.fields}
    assert keys & {"keyfile", "subfile", "template", "pgppub", "pgpprv", "pgp"} == set()


async def test_gotify_takes_a_message(service: Service) -> None:
    assert await send("gotify", here(service, token="abc")) == "taken"
    method, path, headers, body = service.asked[0]
    assert (method, path, headers["X-Gotify-Key"]) == ("POST", "/message", "abc")
    assert json.loads(body)["title"] == "CRITICAL web1: CPU 95.5 > 90 for 5 min"


async def test_ntfy_takes_a_message(service: Service) -> None:
    assert await send("ntfy", here(service, targets=("ops",))) == "taken"
    assert json.loads(service.asked[0][3])["topic"] == "ops"


async def test_an_odd_password_arrives_as_it_is(service: Service) -> None:
    await send("json", here(service, user="a b", password="p@:/?#%&"))
    _, _, headers, _ = service.asked[0]
    assert headers["Authorization"] == "Basic YSBiOnBAOi8/IyUm"


@pytest.mark.parametrize(("status", "permanent"), [(401, True), (404, True), (429, False), (503, False)])
async def test_a_refusal_tells_its_status_alone(service: Service, status: int, permanent: bool) -> None:
    service.status, service.body = status, b"inner secret"
    with pytest.raises(SendFailed, match=f"^status {status}$") as failed:
        await send("gotify", here(service, token="abc"))
    assert failed.value.permanent is permanent


async def test_apprise_follows_no_redirect(service: Service) -> None:
    service.status, service.headers = 302, {"Location": service.url("/elsewhere")}
    with pytest.raises(SendFailed):
        await send("json", here(service))
    assert len(service.asked) == 1


async def test_apprise_takes_no_proxy_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await send("json", here(service)) == "taken"


async def test_apprise_calls_no_private_address_for_others(service: Service) -> None:
    with pytest.raises(SendFailed, match="only public addresses"):
        await send("json", here(service), trusted=False)
    assert service.asked == []


async def test_a_connection_that_the_guard_did_not_foresee_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AppriseType, "targets", lambda self, settings: [])  # as for a service of a fixed provider
    with pytest.raises(SendFailed, match="did not take it"):
        await send("json", here(service), trusted=False)
    assert service.asked == []


async def test_a_service_that_hangs_fails_in_time_and_holds_up_no_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.3)
    service.answer = service.hang
    channel = TYPES["json"].open("it", here(service), tools())
    with pytest.raises(SendFailed, match="no answer within"):
        await channel.send(message())
    with pytest.raises(SendFailed, match="has not answered the message before"):
        await channel.send(message())


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("slack", {"token_a": "T1JJ3T3L2"}, "token_b"),
        ("telegram", {"targets": ("1",)}, "bot_token"),
        ("gotify", {"host": "a b", "token": "x"}, "host"),
        ("gotify", {"host": "127.0.0.1/x?y=", "token": "x"}, "host"),
        ("gotify", {"host": "gotify.lan", "port": 0, "token": "x"}, "port"),
        ("pushover", {"token": "x", "user": "a\r\nb"}, "user"),
        ("json", {"host": "x", "password": "p" * 2_001}, "password"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(kind: str, settings: dict[str, Any], field: str) -> None:
    assert [key for key, _ in TYPES[kind].check(settings)] == [field]


def test_loading_again_gives_the_same_types() -> None:
    assert apprise_types.load().keys() == TYPES.keys()


async def test_our_own_types_are_known_without_the_library() -> None:
    types = Types(Threads(1, "types"))
    assert (await types.enough_for({"webhook", "email"})).keys() == OWN.keys() == types_for({"script"}).keys()


async def test_any_other_type_loads_all_of_them_once() -> None:
    types = Types(Threads(1, "types"))
    first, second = await asyncio.gather(types.all(), types.all())
    assert first is second and (await types.find("pushover")) is not None and (await types.find("nothing")) is None


def test_every_service_says_what_it_needs_when_it_is_given_nothing() -> None:
    for kind in TYPES.values():
        for key, reason in kind.check({}):
            assert reason and (not key or key in {field.key for field in kind.fields})


def test_ntfy_needs_a_topic_alone() -> None:
    kind = TYPES["ntfy"]
    assert ([key for key, _ in kind.check({})], kind.check({"targets": ("alerts",)})) == (["targets"], [])
    assert kind.targets({"targets": ("alerts",)}) == [("ntfy.sh", 443)]
