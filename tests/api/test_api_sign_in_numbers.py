"""What signing in leaves behind for those who watch: numbers at /metrics, and a line in the log for each failure."""

from __future__ import annotations

import logging

import pytest
from oidc_provider import OidcProvider
from world import PASSWORD, Api, World

from hbd.config import Config
from hbd.config.structs import Auth, Limits

FORWARDED = {"X-Forwarded-For": "198.51.100.7"}


@pytest.fixture
async def people(api: Api, world: World) -> World:
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",), limits=Limits(logins_per_account=2)))
    await world.user("alice", "admin")
    return world


async def login(api: Api, password: str = PASSWORD, name: str = "alice") -> int:
    body = {"username": name, "password": password}
    return (await api.post("/api/0/auth/login", json=body, headers=FORWARDED)).status


async def login_page(api: Api, password: str = PASSWORD) -> int:
    form = {"username": "alice", "password": password}
    return (await api.post("/login", data=form, headers=FORWARDED, allow_redirects=False)).status


def counted(world: World, outcome: str) -> float:
    return world.stats.value("sign_ins_total", outcome=outcome)


async def test_sign_ins_are_counted_by_outcome(api: Api, people: World) -> None:
    assert (await login(api), await login_page(api), await login(api, "wrong")) == (200, 303, 401)
    assert (counted(people, "done"), counted(people, "failed")) == (2, 1)


async def test_guesses_that_have_to_wait_are_counted(api: Api, people: World) -> None:
    for _ in range(2):
        await login(api, "wrong")
    assert (await login(api), await login_page(api)) == (429, 429)
    assert (counted(people, "limited"), people.stats.value("login_limited_total")) == (2, 2)


async def test_guesses_at_the_own_password_count_as_guesses(api: Api, people: World) -> None:
    headers = {"X-Auth-Token": await people.session("alice")} | FORWARDED
    body = {"password": {"current": "wrong", "new": "something new"}}
    answers = [await api.put("/api/0/users/me", json=body, headers=headers) for _ in range(3)]
    assert [answer.status for answer in answers] == [403, 403, 429]
    assert people.stats.value("login_limited_total") == 1


async def test_requests_that_come_too_often_are_counted(api: Api, people: World) -> None:
    people.parts.throttle.configure(0.001, 1)
    assert [(await api.get("/login")).status for _ in range(3)] == [200, 429, 429]
    assert people.stats.value("requests_limited_total") == 2


async def test_metrics_tell_how_many_users_sessions_and_tokens_there_are(api: Api, people: World) -> None:
    await people.user("bob")
    token = await people.session("alice")
    await api.post("/api/0/users/me/tokens", json={"name": "script"}, headers={"X-Auth-Token": token})
    text = await (await api.get("/metrics", headers={"X-Auth-Token": token})).text()
    for line in ("hbd_users 2.0", "hbd_sessions 1.0", "hbd_api_tokens 1.0", "hbd_passwords_waiting 0.0"):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize("way", [login, login_page])
async def test_a_failure_is_one_line_with_address_and_outcome(
    api: Api, people: World, way: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hbd")
    await login(api, "hunter2") if way is login else await login_page(api, "hunter2")
    (line,) = [record.getMessage() for record in caplog.records if "sign-in" in record.getMessage()]
    assert line == "sign-in from 198.51.100.7: failed"


async def test_a_name_nobody_has_is_not_in_the_log(api: Api, people: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await login(api, "x", name="mistyped-pass-word")
    assert "sign-in from 198.51.100.7: failed" in caplog.text
    assert "mistyped" not in caplog.text


async def test_who_signs_in_is_no_failure(api: Api, people: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hbd")
    await login(api)
    assert "sign-in from" not in caplog.text


async def test_failures_of_single_sign_on_are_counted_and_no_warnings(
    api: Api, people: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with OidcProvider().running() as provider:
        base_url = f"http://{api.host}:{api.port}"
        await people.configure(Config(base_url=base_url, auth=Auth(oidc=provider.settings())))
        caplog.set_level(logging.INFO, "hbd")
        assert (await api.get("/login/oidc/callback?state=guess")).status == 403
    assert counted(people, "failed") == 1
    assert "sign-in from 127.0.0.1: failed" in caplog.text
    assert "unknown state" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
