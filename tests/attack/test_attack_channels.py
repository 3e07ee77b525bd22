"""What somebody could do to this machine or its network by means of a notification channel (S35-S39)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from channel_kit import Service, serving
from world import Api, World

from hbd.config import Config
from hbd.config.structs import ChannelSettings, Limits

INNER = "canary-secret-7f3a"


@pytest.fixture(name="canary")
async def a_canary() -> AsyncIterator[Service]:
    """A service that no stranger's channel may reach, with something to hide."""
    async with serving() as service:
        service.body = INNER.encode()
        yield service


async def ask(api: Api, world: World, name: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {await world.session(name)}"}
    answer = await api.request(method, f"/api/0/notification_channels{path}", json=body, headers=headers)
    return answer.status, await answer.text()


@pytest.fixture(autouse=True)
async def people(world: World) -> None:
    await world.user("alice", "admin")
    await world.user("eve", "operator")


def hook(url: str) -> dict[str, Any]:
    return {"name": "hook", "type": "webhook", "url": url}


INSIDE = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "0.0.0.0",
    "[::]",
    "169.254.169.254",
    "10.0.0.1",
    "[fc00::1]",
    "[fe80::1]",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
]


@pytest.mark.parametrize("host", INSIDE)
async def test_s35_a_channel_for_an_inner_address_is_not_taken(
    api: Api, world: World, canary: Service, host: str
) -> None:
    status, text = await ask(api, world, "eve", "POST", "", hook(f"http://{host}:{canary.port}/"))
    assert (status, canary.asked) == (400, []), text


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "email", "tls": "none", "from": "a@b.example", "to": ["a@b.example"]},
        {"type": "gotify", "token": "x", "tls": False},
        {"type": "json", "tls": False},
    ],
)
async def test_s35_nor_is_one_of_another_type(
    api: Api, world: World, canary: Service, settings: dict[str, Any]
) -> None:
    body = {"name": "x", "host": "127.0.0.1", "port": canary.port, **settings}
    assert (await ask(api, world, "eve", "POST", "", body))[0] == 400


async def test_s35_a_name_that_turns_inward_after_saving_is_refused_when_sending(
    api: Api, world: World, canary: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["198.41.0.4", "127.0.0.1"])
    monkeypatch.setattr(world.channels, "_lookup", lambda name, port: [(2, 1, 6, "", (next(answers), port))])
    assert (await ask(api, world, "eve", "POST", "", hook(f"http://rebinds.example.org:{canary.port}/")))[0] == 200
    status, text = await ask(api, world, "eve", "POST", "/hook/test")
    assert (status, "only public addresses" in text, canary.asked) == (502, True, [])


async def test_s35_a_redirect_inward_is_not_followed(api: Api, world: World, canary: Service) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(canary.url("/inner"))

    async with serving() as public:
        public.answer = redirect
        assert (await ask(api, world, "alice", "POST", "", hook(public.url())))[0] == 200
        assert (await ask(api, world, "alice", "POST", "/hook/test"))[0] == 502
    assert canary.asked == []


async def test_s35_nobody_makes_the_daemon_call_itself(api: Api, world: World, canary: Service) -> None:
    world.own_ports = {canary.port}
    assert (await ask(api, world, "alice", "POST", "", hook(canary.url())))[0] == 400
    await world.configure(Config(notification_channels={"hook": ChannelSettings(hook(canary.url()) | {})}))
    assert (await ask(api, world, "alice", "POST", "/hook/test"))[0] == 502
    assert canary.asked == []


async def test_s35_what_the_config_lists_may_be_called(api: Api, world: World, canary: Service) -> None:
    await world.configure(Config(limits=Limits(channel_targets=("127.0.0.0/8",))))
    assert (await ask(api, world, "eve", "POST", "", hook(canary.url())))[0] == 200
    assert (await ask(api, world, "eve", "POST", "/hook/test"))[0] == 200


async def test_s35_a_change_by_somebody_else_than_an_admin_takes_the_trust_away(
    api: Api, world: World, canary: Service
) -> None:
    assert (await ask(api, world, "eve", "POST", "", hook("https://198.41.0.4/")))[0] == 200
    assert (await ask(api, world, "alice", "PUT", "/hook", {"url": canary.url()}))[0] == 200
    assert (await ask(api, world, "eve", "PUT", "/hook", {"url": canary.url("/other")}))[0] == 400
    assert canary.asked == []


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "file:///etc/passwd"},
        {"url": "gopher://198.41.0.4/"},
        {"url": "ftp://198.41.0.4/"},
        {"url": "unix:///run/docker.sock"},
        {"url": "http://user@198.41.0.4/"},
        {"url": "http://198.41.0.4/\r\nX: y"},
        {"headers": ["X: y\r\nHost: inner"]},
        {"headers": ["X: y\nZ: w"]},
        {"secret": "a\x00b"},
    ],
)
async def test_s36_another_scheme_or_a_second_line_is_refused(api: Api, world: World, changed: dict[str, Any]) -> None:
    assert (await ask(api, world, "alice", "POST", "", hook("http://198.41.0.4/") | changed))[0] == 400


@pytest.mark.parametrize("status", [200, 302, 403, 500])
async def test_s37_nothing_of_the_answer_is_shown(api: Api, world: World, canary: Service, status: int) -> None:
    canary.status, canary.headers = status, {"X-Inner": INNER, "Location": f"http://{INNER}/"}
    await ask(api, world, "alice", "POST", "", hook(canary.url()))
    _, text = await ask(api, world, "alice", "POST", "/hook/test")
    assert INNER not in text and str(status) in text


@pytest.mark.parametrize("odd", ["{{config}}", "${x}", "{0.__class__}", "%(x)s", "{title.__class__}", "{" * 4_000])
async def test_s38_a_template_is_filled_in_and_never_run(api: Api, world: World, canary: Service, odd: str) -> None:
    body = hook(canary.url()) | {"body": f'{{"x": "{odd}"}}'}
    assert (await ask(api, world, "alice", "POST", "", body))[0] == 200
    assert (await ask(api, world, "alice", "POST", "/hook/test"))[0] == 200
    assert odd.encode() in canary.asked[0][3]


async def test_s38_a_template_cannot_make_a_message_endless(api: Api, world: World) -> None:
    body = hook("http://198.41.0.4/") | {"body": '"' + "{text}" * 150_000 + '"'}
    assert (await ask(api, world, "alice", "POST", "", body))[0] in (400, 413)


async def test_no_program_is_run_by_a_channel_that_somebody_made(api: Api, world: World) -> None:
    body = {"name": "x", "type": "script", "program": "id"}
    assert [(await ask(api, world, name, "POST", "", body))[0] for name in ("alice", "eve")] == [400, 400]


@pytest.mark.parametrize("key", ["template", "keyfile", "subfile", "pgppub", "pgpprv", "verify", "redirect", "rto"])
async def test_no_setting_of_apprise_that_reads_files_or_weakens_it_is_taken(api: Api, world: World, key: str) -> None:
    body = {"name": "x", "type": "slack", "token_a": "T1JJ3T3L2", "token_b": "A1BRTD4JD",
            "token_c": "TIiajkdnlazkcOXrIdevi7FQ", key: "/etc/passwd"}  # fmt: skip
    status, text = await ask(api, world, "alice", "POST", "", body)
    assert (status, "no such setting" in text) == (400, True)


async def test_secrets_of_a_channel_are_nowhere_in_the_database_but_in_its_row(api: Api, world: World) -> None:
    await ask(api, world, "eve", "POST", "", {"name": "x", "type": "pushover", "token": INNER, "user": "u"})
    text = await world.store.database.read(
        lambda db: [line for line in db.iterdump() if INNER in line and 'INTO "channels"' not in line]
    )
    assert text == []
