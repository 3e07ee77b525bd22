"""Users, one's own account, who may do what on a host, and the audit log, over HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiohttp import ClientResponse
from world import PASSWORD, Api, World

from hbd import totp
from hbd.config import Config
from hbd.config.structs import ChannelSettings, HostConfig


class Client:
    """Somebody who is signed in."""

    def __init__(self, api: Api, token: str) -> None:
        self._api = api
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None) -> ClientResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self._api.request(method, f"/api/0{path}", json=body, headers=headers)

    async def status(self, method: str, path: str, body: Any = None) -> int:
        return (await self.ask(method, path, body)).status

    async def said(self, method: str, path: str, body: Any = None) -> Any:
        return await (await self.ask(method, path, body)).json()


@pytest.fixture
async def admin(api: Api, world: World) -> Client:
    await world.user("alice", "admin")
    return Client(api, await world.session("alice"))


@pytest.fixture
async def bob(api: Api, world: World, admin: Client) -> Client:
    await world.user("bob")
    return Client(api, await world.session("bob"))


# -------------------------------------------------------------------------------------------------------------- users


async def test_an_admin_makes_a_user_who_can_sign_in(api: Api, admin: Client) -> None:
    answer = await admin.ask("POST", "/users", {"username": "carol", "password": PASSWORD, "role": "operator"})
    body = await answer.json()
    assert (answer.status, body["ok"], body["username"], body["role"]) == (201, True, "carol", "operator")
    login = await api.post("/api/0/auth/login", json={"username": "carol", "password": PASSWORD})
    assert login.status == 200


async def test_admin_is_short_for_the_role(admin: Client) -> None:
    body = await admin.said("POST", "/users", {"username": "carol", "admin": True})
    assert (body["role"], body["admin"]) == ("admin", True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"username": "a b"}, "username: "),
        ({"username": ""}, "username: "),
        ({"username": "me"}, "username: "),
        ({"username": "../x"}, "username: "),
        ({"username": "carol", "password": "abc"}, "password: at least 6 characters"),
        ({"username": "carol", "password": "x" * 73}, "password: at most 72 bytes"),
        ({"username": "carol", "role": "root"}, "role: "),
        ({"username": "carol", "role": "viewer", "admin": True}, "admin: "),
        ({"username": "carol", "id": 1}, "object contains unknown field id"),
        ({"username": "carol", "password_hash": "x"}, "object contains unknown field password_hash"),
        ({"username": "carol", "full_name": "a\nb"}, "full_name: "),
        ({"password": PASSWORD}, "object missing required field username"),
    ],
)
async def test_a_wrong_user_is_named(admin: Client, body: dict[str, Any], error: str) -> None:
    answer = await admin.ask("POST", "/users", body)
    assert (answer.status, (await answer.json())["error"][: len(error)]) == (400, error)


async def test_a_name_in_another_case_is_taken(admin: Client) -> None:
    assert await admin.status("POST", "/users", {"username": "ALICE"}) == 409


async def test_the_list_tells_no_secret(admin: Client, bob: Client) -> None:
    text = await (await admin.ask("GET", "/users")).text()
    assert [user["username"] for user in await admin.said("GET", "/users")] == ["alice", "bob"]
    assert "$2b$" not in text


async def test_an_admin_changes_a_user(admin: Client, bob: Client) -> None:
    body = await admin.said("PUT", "/users/BOB", {"full_name": "Bob B", "role": "operator"})
    assert (body["ok"], body["full_name"], body["role"]) == (True, "Bob B", "operator")


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": "another one"}])
async def test_disabling_and_a_new_password_sign_out_everywhere(
    admin: Client, bob: Client, change: dict[str, Any]
) -> None:
    await admin.ask("PUT", "/users/bob", change)
    assert await bob.status("GET", "/users/me") == 401


async def test_enabling_again_brings_no_session_back(admin: Client, bob: Client) -> None:
    for enabled in (False, True):
        await admin.ask("PUT", "/users/bob", {"enabled": enabled})
    assert await bob.status("GET", "/users/me") == 401


async def test_a_deleted_user_is_gone_with_everything(admin: Client, bob: Client) -> None:
    token = (await bob.said("POST", "/users/me/tokens", {"name": "script"}))["token"]
    assert await admin.said("DELETE", "/users/bob") == {"ok": True}
    assert [await bob.status("GET", "/users/me"), await Client(bob._api, token).status("GET", "/hosts")] == [401, 401]
    assert await admin.status("GET", "/users/bob") == 404


@pytest.mark.parametrize(
    ("method", "body"),
    [("DELETE", None), ("PUT", {"role": "viewer"}), ("PUT", {"admin": False}), ("PUT", {"enabled": False})],
)
async def test_the_last_admin_stays(admin: Client, bob: Client, method: str, body: Any) -> None:
    answer = await admin.ask(method, "/users/alice", body)
    assert (answer.status, "last admin" in (await answer.json())["error"]) == (409, True)
    await admin.ask("PUT", "/users/bob", {"role": "admin"})
    assert await admin.status(method, "/users/alice", body) == 200


async def test_an_admin_signs_somebody_out_everywhere(admin: Client, bob: Client) -> None:
    assert await admin.said("DELETE", "/users/bob/sessions") == {"ok": True, "ended": 1}
    assert await bob.status("GET", "/users/me") == 401


async def test_users_are_for_admins(bob: Client) -> None:
    for method, path, body in (
        ("GET", "/users", None),
        ("GET", "/users/alice", None),
        ("POST", "/users", {"username": "x"}),
        ("PUT", "/users/bob", {"role": "admin"}),
        ("DELETE", "/users/alice", None),
        ("GET", "/audit", None),
        ("GET", "/status", None),
    ):
        assert await bob.status(method, path, body) == 403, path


async def test_without_users_nobody_makes_one_from_outside(api: Api) -> None:
    answer = await api.post("/api/0/users", json={"username": "eve", "admin": True})
    assert (answer.status, "hbd user add --admin" in (await answer.json())["error"]) == (403, True)


async def test_without_users_the_lists_are_empty_and_me_is_nobody(api: Api) -> None:
    assert await (await api.get("/api/0/users")).json() == []
    assert (await (await api.get("/api/0/users/me")).json())["username"] == ""


# ------------------------------------------------------------------------------------------------------- own account


async def test_one_changes_the_own_name_and_picture(bob: Client) -> None:
    assert await bob.said("PUT", "/users/me", {"full_name": "Bob B", "avatar": "🐙"}) == {"ok": True}
    me = await bob.said("GET", "/users/me")
    assert (me["full_name"], me["avatar"], me["via"]) == ("Bob B", "🐙", "session")


@pytest.mark.parametrize("field", ["role", "admin", "username", "id", "is_admin", "permissions", "owner", "enabled"])
async def test_what_one_may_not_change_is_no_field(bob: Client, field: str) -> None:
    answer = await bob.ask("PUT", "/users/me", {field: "admin", "full_name": "Eve"})
    assert (answer.status, await answer.json()) == (400, {"error": f"object contains unknown field {field}"})
    assert (await bob.said("GET", "/users/me"))["full_name"] == ""


async def test_a_new_password_ends_the_other_sessions_alone(api: Api, world: World, bob: Client) -> None:
    other = Client(api, await world.session("bob"))
    body = {"password": {"current": PASSWORD, "new": "something else"}}
    assert await bob.said("PUT", "/users/me", body) == {"ok": True}
    assert [await bob.status("GET", "/users/me"), await other.status("GET", "/users/me")] == [200, 401]
    login = await api.post("/api/0/auth/login", json={"username": "bob", "password": "something else"})
    assert login.status == 200


async def test_a_wrong_current_password_changes_nothing_at_all(bob: Client) -> None:
    body = {"full_name": "Bob", "password": {"current": "wrong", "new": "something else"}}
    assert await bob.status("PUT", "/users/me", body) == 403
    assert (await bob.said("GET", "/users/me"))["full_name"] == ""


async def test_guessing_the_current_password_is_limited_too(bob: Client) -> None:
    body = {"password": {"current": "wrong", "new": "something else"}}
    assert [await bob.status("PUT", "/users/me", body) for _ in range(11)] == [403] * 10 + [429]


async def test_channels_one_cannot_see_are_dropped(api: Api, world: World) -> None:
    channels = {
        "ops": ChannelSettings(type="email"),
        "own": ChannelSettings(type="email", private=True, owner="bob"),
        "secret": ChannelSettings(type="email", private=True, owner="alice"),
    }
    await world.configure(Config(notification_channels=channels))
    await world.user("bob")
    bob = Client(api, await world.session("bob"))
    wanted = {"notification_channels": ["ops", "secret", "nowhere", "own", "ops"]}
    assert await bob.said("PUT", "/users/me", wanted) == {"ok": True}
    assert (await bob.said("GET", "/users/me"))["notification_channels"] == ["ops", "own"]


async def test_sessions_are_listed_and_ended_one_by_one(api: Api, world: World, bob: Client) -> None:
    other = Client(api, await world.session("bob"))
    listed = await bob.said("GET", "/users/me/sessions")
    assert [session["current"] for session in listed] == [True, False]
    (away,) = [session["id"] for session in listed if not session["current"]]
    assert await bob.said("DELETE", f"/users/me/sessions/{away}") == {"ok": True}
    assert await other.status("GET", "/users/me") == 401


async def test_all_other_sessions_end_at_once(api: Api, world: World, bob: Client) -> None:
    others = [Client(api, await world.session("bob")) for _ in range(3)]
    assert await bob.said("DELETE", "/users/me/sessions") == {"ok": True, "ended": 3}
    assert [await other.status("GET", "/users/me") for other in others] == [401] * 3


async def test_nobody_ends_the_session_of_somebody_else(admin: Client, bob: Client) -> None:
    (session,) = await admin.said("GET", "/users/me/sessions")
    assert await bob.status("DELETE", f"/users/me/sessions/{session['id']}") == 404
    assert await admin.status("GET", "/users/me") == 200


# ------------------------------------------------------------------------------------------------------------- tokens


async def test_a_token_works_until_it_is_revoked(api: Api, bob: Client) -> None:
    made = await bob.ask("POST", "/users/me/tokens", {"name": "script"})
    body = await made.json()
    script = Client(api, body["token"])
    assert (made.status, body["scope"], body["start"], await script.status("GET", "/hosts")) == (
        201,
        "read",
        body["token"][:10],
        200,
    )
    assert await bob.status("DELETE", f"/users/me/tokens/{body['id']}") == 200
    assert await script.status("GET", "/hosts") == 401


async def test_the_text_of_a_token_is_shown_once(bob: Client) -> None:
    text = (await bob.said("POST", "/users/me/tokens", {"name": "script"}))["token"]
    assert text not in await (await bob.ask("GET", "/users/me/tokens")).text()


async def test_a_token_to_read_changes_nothing(api: Api, world: World, admin: Client) -> None:
    await world.enrol("web")
    script = Client(api, (await admin.said("POST", "/users/me/tokens", {"name": "script"}))["token"])
    answer = await script.ask("PUT", "/hosts/web/access", {"monitors": []})
    assert (answer.status, await answer.json()) == (403, {"error": "This token may only read"})
    assert await script.status("PUT", "/users/me", {"full_name": "x"}) == 403


async def test_a_token_to_write_does_what_its_user_may(api: Api, world: World, admin: Client) -> None:
    await world.enrol("web")
    body = {"name": "script", "scope": "write"}
    script = Client(api, (await admin.said("POST", "/users/me/tokens", body))["token"])
    assert await script.status("PUT", "/hosts/web/access", {"monitors": []}) == 200


async def test_a_token_makes_no_token(api: Api, admin: Client) -> None:
    body = {"name": "script", "scope": "write"}
    script = Client(api, (await admin.said("POST", "/users/me/tokens", body))["token"])
    for method, path in (
        ("POST", "/users/me/tokens"),
        ("GET", "/users/me/tokens"),
        ("GET", "/users/me/sessions"),
        ("POST", "/users/me/second_factor"),
    ):
        assert await script.status(method, path, body if method == "POST" else None) == 403


async def test_a_token_for_a_host_is_for_that_one_alone(api: Api, world: World, admin: Client) -> None:
    await world.enrol("web"), await world.enrol("db")
    body = {"name": "script", "scope": "write", "hosts": ["WEB"]}
    script = Client(api, (await admin.said("POST", "/users/me/tokens", body))["token"])
    assert [host["name"] for host in await script.said("GET", "/hosts")] == ["web"]
    assert [await script.status("GET", f"/hosts/{name}") for name in ("web", "db")] == [200, 403]
    assert await script.status("GET", "/users") == 403


@pytest.mark.parametrize("hosts", [[], ["nowhere"], ["*"]])
async def test_hosts_that_are_none_make_no_token(admin: Client, hosts: list[str]) -> None:
    answer = await admin.ask("POST", "/users/me/tokens", {"name": "script", "hosts": hosts})
    assert (answer.status, (await answer.json())["error"][:6]) == (400, "hosts:")


async def test_a_token_ends_when_it_is_old(api: Api, world: World, bob: Client) -> None:
    made = await bob.said("POST", "/users/me/tokens", {"name": "script", "expires_in": 3600})
    accounts = world.security.accounts
    assert 3590 < made["expires"] - time.time() <= 3600
    assert accounts.credential(made["token"], made["expires"] - 1) is not None
    assert accounts.credential(made["token"], made["expires"]) is None


async def test_a_token_has_no_more_rights_than_its_user_has_left(api: Api, admin: Client, bob: Client) -> None:
    await admin.ask("PUT", "/users/bob", {"role": "admin"})
    script = Client(api, (await bob.said("POST", "/users/me/tokens", {"name": "script"}))["token"])
    assert await script.status("GET", "/users") == 200
    await admin.ask("PUT", "/users/bob", {"role": "viewer"})
    assert await script.status("GET", "/users") == 403


# ------------------------------------------------------------------------------------------------------ second factor


async def test_a_second_factor_is_set_up_and_removed_with_codes(bob: Client) -> None:
    offer = await bob.said("POST", "/users/me/second_factor", {"password": PASSWORD})
    assert offer["uri"].startswith("otpauth://totp/hbd:bob?") and offer["qr"].startswith("<svg")
    step = int(time.time() // 30)
    taken = await bob.said("PUT", "/users/me/second_factor", {"code": totp.code_at(offer["secret"], step)})
    assert (await bob.said("GET", "/users/me"))["second_factor"] is True
    assert await bob.status("DELETE", "/users/me/second_factor", {"code": "abc"}) == 403
    assert await bob.status("DELETE", "/users/me/second_factor", {"code": taken["recovery_codes"][0]}) == 200
    assert (await bob.said("GET", "/users/me"))["second_factor"] is False


async def test_a_second_factor_needs_the_password_and_a_right_code(bob: Client) -> None:
    assert await bob.status("POST", "/users/me/second_factor", {"password": "wrong"}) == 403
    assert await bob.status("PUT", "/users/me/second_factor", {"code": "123456"}) == 409
    await bob.ask("POST", "/users/me/second_factor", {"password": PASSWORD})
    assert await bob.status("PUT", "/users/me/second_factor", {"code": "abc"}) == 400


async def test_an_admin_removes_a_lost_second_factor(admin: Client, bob: Client) -> None:
    offer = await bob.said("POST", "/users/me/second_factor", {"password": PASSWORD})
    code = totp.code_at(offer["secret"], int(time.time() // 30))
    await bob.ask("PUT", "/users/me/second_factor", {"code": code})
    assert await admin.said("DELETE", "/users/bob/second_factor") == {"ok": True}
    assert (await bob.said("GET", "/users/me"))["second_factor"] is False


# ------------------------------------------------------------------------------------------------------------- access


async def test_who_may_what_is_shown_in_the_words_of_the_contract(world: World, admin: Client) -> None:
    await world.enrol("web")
    assert await admin.said("GET", "/hosts/web/access") == {"owner": "alice", "managers": [], "monitors": []}


async def test_what_is_changed_holds_at_once_and_after_a_restart(world: World, admin: Client, bob: Client) -> None:
    host = await world.enrol("web")
    body = {"owner": "bob", "managers": ["ALICE"], "monitors": []}
    assert (await admin.said("PUT", "/hosts/web/access", body))["ok"] is True
    assert await bob.said("GET", "/hosts/web/access") == {"owner": "bob", "managers": ["alice"], "monitors": []}
    await world.security.host_access.load(world.now.wall)
    assert world.security.host_access.of(host, world.parts.config).owner == "bob"


async def test_a_manager_decides_who_monitors_and_no_more(world: World, admin: Client, bob: Client) -> None:
    await world.enrol("web")
    await admin.ask("PUT", "/hosts/web/access", {"managers": ["bob"]})
    assert await bob.status("PUT", "/hosts/web/access", {"monitors": ["alice"]}) == 200
    for body in ({"managers": []}, {"owner": "bob"}, {"owner": "bob", "monitors": []}):
        assert await bob.status("PUT", "/hosts/web/access", body) == 403


async def test_an_owner_hands_the_host_on(world: World, admin: Client, bob: Client) -> None:
    await world.enrol("web")
    await admin.ask("PUT", "/hosts/web/access", {"owner": "bob"})
    assert await bob.status("PUT", "/hosts/web/access", {"owner": "alice"}) == 200
    assert await bob.status("GET", "/hosts/web/access") == 403


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"owner": "nobody"}, "owner: there is no user 'nobody'"),
        ({"monitors": ["alice", "nobody"]}, "monitors[1]: there is no user 'nobody'"),
        ({"monitors": ["a b"]}, "monitors[0]: is no user name"),
        ({"monitors": "alice"}, "monitors: expected array"),
        ({"owner": None}, "owner: expected str"),
        ({"admins": []}, "object contains unknown field admins"),
    ],
)
async def test_wrong_access_is_named_and_changes_nothing(
    world: World, admin: Client, body: dict[str, Any], error: str
) -> None:
    await world.enrol("web")
    answer = await admin.ask("PUT", "/hosts/web/access", body)
    assert (answer.status, (await answer.json())["error"][: len(error)]) == (400, error)
    assert (await admin.said("GET", "/hosts/web/access"))["monitors"] == []


async def test_a_reload_puts_back_what_the_config_names(world: World, admin: Client, bob: Client) -> None:
    host = await world.enrol("web")
    await admin.ask("PUT", "/hosts/web/access", {"owner": "bob", "monitors": ["bob"]})
    await world.configure(Config(hosts={"web": HostConfig(monitors=())}))
    assert (host.owner, host.monitors) == ("bob", [])


async def test_without_users_access_is_open_too(api: Api, world: World) -> None:
    await world.enrol("web")
    answer = await api.put("/api/0/hosts/web/access", json={"owner": "bob", "managers": ["carol"], "monitors": []})
    assert (answer.status, (await answer.json())["owner"]) == (200, "bob")


async def test_the_journal_shows_only_ones_own_hosts(world: World, admin: Client, bob: Client) -> None:
    web, db = await world.enrol("web"), await world.enrol("db")
    await admin.ask("PUT", "/hosts/web/access", {"monitors": ["bob"]})
    for host in (web, db, None):
        await world.note("something", host)
    assert [message["host"] for message in await bob.said("GET", "/messages")] == ["web"]
    assert [message["host"] for message in await admin.said("GET", "/messages")] == ["", "db", "web"]
    assert await bob.status("GET", "/messages?host=db") == 403


async def test_metrics_are_of_ones_own_hosts(api: Api, world: World, admin: Client, bob: Client) -> None:
    for name in ("web", "db"):
        world.beat(await world.enrol(name))
    await admin.ask("PUT", "/hosts/web/access", {"monitors": ["bob"]})
    text = await (await api.get("/metrics", headers={"X-Auth-Token": bob.token})).text()
    assert 'hbd_host_up{host="web"} 1' in text and 'hbd_hosts{state="UP"} 1.0' in text
    assert '"db"' not in text and "http_requests_total" not in text


# -------------------------------------------------------------------------------------------------------------- audit


async def test_what_was_done_is_in_the_audit_log(admin: Client, bob: Client) -> None:
    await admin.ask("PUT", "/users/bob", {"role": "operator"})
    entry = (await admin.said("GET", "/audit?action=user.change"))["entries"][0]
    assert (entry["user"], entry["via"], entry["action"], entry["object"], entry["outcome"], entry["detail"]) == (
        "alice",
        "session",
        "user.change",
        "user bob",
        "done",
        "role: operator",
    )


async def test_what_was_refused_is_in_the_audit_log(admin: Client, bob: Client) -> None:
    await bob.ask("DELETE", "/users/alice")
    (entry,) = (await admin.said("GET", "/audit?outcome=refused"))["entries"]
    assert (entry["user"], entry["action"], entry["object"]) == ("bob", "DELETE /api/0/users/{user}", "alice")


async def test_a_password_typed_as_a_name_is_not_written_down(api: Api, admin: Client) -> None:
    await api.post("/api/0/auth/login", json={"username": "my-secret-password", "password": "x"})
    page = await admin.said("GET", "/audit")
    assert page["entries"][0]["outcome"] == "failed"
    assert "my-secret-password" not in str(page)


@pytest.mark.parametrize(("method", "path"), [("POST", "/users"), ("PUT", "/users/bob")])
async def test_channels_have_names_that_can_be_seen(admin: Client, bob: Client, method: str, path: str) -> None:
    body = {"notification_channels": ["ops", "o\u0007ps"]} | ({"username": "carol"} if method == "POST" else {})
    answer = await admin.ask(method, path, body)
    assert (answer.status, (await answer.json())["error"][:25]) == (400, "notification_channels[1]:")


async def test_of_as_many_entries_as_a_page_holds_there_is_no_next(admin: Client) -> None:
    for number in range(3):
        await admin.ask("PUT", "/users/alice", {"full_name": f"Alice {number}"})
    page = await admin.said("GET", "/audit?limit=3&action=user.change")
    assert (len(page["entries"]), page["next"]) == (3, None)


async def test_the_audit_log_comes_in_pages(admin: Client) -> None:
    for number in range(5):
        await admin.ask("PUT", "/users/alice", {"full_name": f"Alice {number}"})
    first = await admin.said("GET", "/audit?limit=3&action=user.change")
    second = await admin.said("GET", f"/audit?limit=3&action=user.change&before={first['next']}")
    told = [entry["detail"] for entry in [*first["entries"], *second["entries"]]]
    assert told == [f"full_name: Alice {number}" for number in (4, 3, 2, 1, 0)]
    assert second["next"] is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_audit_log_is_not_edited(admin: Client, method: str) -> None:
    assert await admin.status(method, "/audit", {}) == 405
