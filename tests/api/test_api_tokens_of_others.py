"""API tokens of other users, for admins; and what an admin does to the own account only as everybody else does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiohttp import ClientResponse
from world import PASSWORD, Api, World

from hbd.store.audit import Entry


async def token_of(world: World, user: str, name: str = "script", scope: Any = "write") -> str:
    accounts = world.security.accounts
    entry = Entry(time=time.time(), user="", via="cli", action="token.create")
    _, text = await accounts.add_token(accounts.require(user), name, entry, scope=scope, hosts=None, expires=None)
    return text


class Admin:
    """Asks as alice, an admin; bob is a viewer."""

    def __init__(self, api: Api, token: str) -> None:
        self._api = api
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None, token: str = "") -> ClientResponse:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return await self._api.request(method, f"/api/0{path}", json=body, headers=headers)


@pytest.fixture
async def admin(api: Api, world: World) -> Admin:
    await world.user("alice", "admin")
    await world.user("bob")
    return Admin(api, await world.session("alice"))


# ---------------------------------------------------------------------------------------------------- of other users


async def test_an_admin_sees_the_tokens_of_a_user(admin: Admin, world: World) -> None:
    text = await token_of(world, "bob", "backup")
    (shown,) = await (await admin.ask("GET", "/users/bob/tokens")).json()
    assert (shown["name"], shown["start"], shown["scope"]) == ("backup", text[:10], "write")
    assert "token" not in shown


async def test_an_admin_revokes_one_token_of_a_user(admin: Admin, world: World) -> None:
    revoked, kept = await token_of(world, "bob", "old"), await token_of(world, "bob", "new")
    number = world.security.accounts.tokens(world.security.accounts.require("bob"))[0].id
    assert await (await admin.ask("DELETE", f"/users/bob/tokens/{number}")).json() == {"ok": True}
    assert [(await admin.ask("GET", "/hosts", token=token)).status for token in (revoked, kept)] == [401, 200]


async def test_an_admin_revokes_all_tokens_of_a_user(admin: Admin, world: World) -> None:
    texts = [await token_of(world, "bob", name) for name in ("old", "new")]
    others = await token_of(world, "alice")
    assert await (await admin.ask("DELETE", "/users/bob/tokens")).json() == {"ok": True, "revoked": 2}
    assert [(await admin.ask("GET", "/hosts", token=token)).status for token in (*texts, others)] == [401, 401, 200]


async def test_a_token_is_not_found_at_another_user(admin: Admin, world: World) -> None:
    await token_of(world, "alice")
    number = world.security.accounts.tokens(world.security.accounts.require("alice"))[0].id
    assert (await admin.ask("DELETE", f"/users/bob/tokens/{number}")).status == 404


async def test_revoking_says_in_the_audit_log_whose_token_it_was(admin: Admin, world: World) -> None:
    await token_of(world, "bob", "backup")
    await admin.ask("DELETE", "/users/bob/tokens")
    (entry,) = await world.store.audit.recent(1)
    assert (entry.user, entry.action, entry.object, entry.detail) == ("alice", "token.revoke", "token backup", "of bob")


# -------------------------------------------------------------------------------------------------- the own account


async def test_an_admin_changes_the_own_password_with_the_present_one_alone(admin: Admin) -> None:
    answer = await admin.ask("PUT", "/users/alice", {"password": "something new"})
    assert (answer.status, "/api/0/users/me" in (await answer.json())["error"]) == (403, True)


async def test_an_admin_removes_the_own_second_factor_with_a_code_alone(admin: Admin) -> None:
    assert (await admin.ask("DELETE", "/users/alice/second_factor")).status == 403


async def test_an_admin_may_change_the_rest_of_the_own_account_like_that_of_others(admin: Admin) -> None:
    assert (await admin.ask("PUT", "/users/alice", {"full_name": "Alice"})).status == 200


# ------------------------------------------------------------------------------------------------------ API tokens


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users", {"username": "carol", "password": PASSWORD, "role": "admin"}),
        ("PUT", "/users/bob", {"password": PASSWORD}),
        ("PUT", "/users/alice", {"password": PASSWORD}),
        ("DELETE", "/users/bob", None),
        ("DELETE", "/users/bob/second_factor", None),
        ("DELETE", "/users/bob/sessions", None),
        ("GET", "/users/bob/tokens", None),
        ("DELETE", "/users/bob/tokens", None),
        ("DELETE", "/users/bob/tokens/1", None),
    ],
)
async def test_no_token_changes_users_or_what_they_sign_in_with(
    admin: Admin, world: World, method: str, path: str, body: Any
) -> None:
    answer = await admin.ask(method, path, body, token=await token_of(world, "alice"))
    assert (answer.status, "token" in (await answer.json())["error"]) == (403, True)


async def test_a_token_of_an_admin_may_list_users(admin: Admin, world: World) -> None:
    token = await token_of(world, "alice", scope="read")
    assert (await admin.ask("GET", "/users", token=token)).status == 200
