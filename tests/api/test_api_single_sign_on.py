"""Single sign-on from the login page to the session, at a real provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from oidc_provider import OidcProvider, visit
from world import Api, World
from yarl import URL

from hbd.config import Config
from hbd.config.structs import Auth


@pytest.fixture
async def provider(api: Api, world: World) -> AsyncIterator[OidcProvider]:
    async with OidcProvider().running() as running:
        await use(api, world, running)
        yield running


async def use(api: Api, world: World, provider: OidcProvider, **changes: Any) -> None:
    base_url = f"http://{api.host}:{api.port}"
    provider.redirect_uris.add(f"{base_url}/login/oidc/callback")
    await world.configure(Config(base_url=base_url, auth=Auth(oidc=provider.settings(**changes))))


async def sign_in(api: Api, wanted: str = "/plugins", cookie: str | None = None) -> ClientResponse:
    begun = await api.get("/login/oidc", params={"next": wanted}, allow_redirects=False)
    assert begun.status == 303
    given = begun.headers["Set-Cookie"].partition(";")[0]
    query = await visit(begun.headers["Location"])
    path = URL("/login/oidc/callback").with_query(query)
    return await api.get(str(path), headers={"Cookie": given if cookie is None else cookie}, allow_redirects=False)


def session_of(answer: ClientResponse) -> dict[str, str]:
    (cookie,) = [value for value in answer.headers.getall("Set-Cookie") if value.startswith("hbd_session=")]
    return {"Cookie": cookie.partition(";")[0]}


async def test_whoever_the_provider_knows_comes_back_signed_in(api: Api, world: World, provider: OidcProvider) -> None:
    provider.claims |= {"preferred_username": "carol", "name": "Carol C", "groups": ["staff"]}
    answer = await sign_in(api)
    assert (answer.status, answer.headers["Location"]) == (303, "/plugins")
    me = await (await api.get("/api/0/users/me", headers=session_of(answer))).json()
    assert (me["username"], me["full_name"], me["role"], me["source"]) == ("carol", "Carol C", "viewer", "oidc")


async def test_a_daemon_with_a_provider_and_no_users_is_not_open(api: Api, provider: OidcProvider) -> None:
    assert (await api.get("/api/0/hosts")).status == 401


async def test_the_role_is_read_anew_each_time(api: Api, world: World, provider: OidcProvider) -> None:
    await use(api, world, provider, roles={"staff": "viewer", "ops": "operator"})
    provider.claims |= {"preferred_username": "carol", "groups": ["staff"]}
    await sign_in(api)
    provider.claims |= {"groups": ["ops"]}
    await sign_in(api)
    assert world.security.accounts.require("carol").role == "operator"


async def test_a_name_that_belongs_to_somebody_here_lets_nobody_in(
    api: Api, world: World, provider: OidcProvider
) -> None:
    await world.user("root", "admin")
    provider.claims |= {"preferred_username": "root", "groups": ["staff"]}
    answer = await sign_in(api)
    assert (answer.status, "belongs to another account" in await answer.text()) == (403, True)
    assert "hbd_session" not in str(answer.headers)


async def test_with_link_users_it_is_that_account(api: Api, world: World, provider: OidcProvider) -> None:
    await use(api, world, provider, link_users=True)
    await world.user("root", "admin")
    provider.claims |= {"preferred_username": "root", "groups": ["staff"]}
    me = await (await api.get("/api/0/users/me", headers=session_of(await sign_in(api)))).json()
    assert (me["username"], me["role"], me["source"]) == ("root", "admin", "local")


async def test_who_is_in_no_group_stays_outside(api: Api, world: World, provider: OidcProvider) -> None:
    provider.claims |= {"preferred_username": "carol", "groups": []}
    answer = await sign_in(api)
    assert (answer.status, "None of your groups" in await answer.text()) == (403, True)
    assert world.security.accounts.get("carol") is None


async def test_a_disabled_account_stays_outside(api: Api, world: World, provider: OidcProvider) -> None:
    await world.user("root", "admin")
    provider.claims |= {"preferred_username": "carol", "groups": ["staff"]}
    await sign_in(api)
    token = await world.session("root")
    await api.put("/api/0/users/carol", json={"enabled": False}, headers={"X-Auth-Token": token})
    assert (await sign_in(api)).status == 403


async def test_only_the_browser_that_began_can_finish(api: Api, world: World, provider: OidcProvider) -> None:
    provider.claims |= {"preferred_username": "carol", "groups": ["staff"]}
    answer = await sign_in(api, cookie="hbd_oidc=another")
    assert (answer.status, "hbd_session" in str(answer.headers)) == (403, False)


async def test_afterwards_one_stays_here(api: Api, world: World, provider: OidcProvider) -> None:
    provider.claims |= {"preferred_username": "carol", "groups": ["staff"]}
    assert (await sign_in(api, "//evil.example")).headers["Location"] == "/live"


async def test_a_provider_that_is_down_is_told_on_the_page(api: Api, provider: OidcProvider) -> None:
    provider.faults["/.well-known/openid-configuration"] = "fail"
    answer = await api.get("/login/oidc", allow_redirects=False)
    assert (answer.status, answer.content_type) == (403, "text/html")


async def test_the_failure_is_in_the_audit_log(api: Api, world: World, provider: OidcProvider) -> None:
    provider.claims |= {"preferred_username": "carol", "groups": []}
    await sign_in(api)
    await world.security.audit.write()
    (entry,) = await world.store.audit.recent(10)
    assert (entry.action, entry.outcome) == ("login", "failed")


async def test_without_a_provider_there_is_no_such_page(api: Api) -> None:
    assert (await api.get("/login/oidc")).status == 404
