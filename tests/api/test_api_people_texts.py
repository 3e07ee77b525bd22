"""What people may write about themselves, and who gets to see names."""

from __future__ import annotations

import time

import pytest
from aiohttp import ClientResponse
from world import Api, World

from hbd.accounts.shown import MAX_AVATAR_LENGTH
from hbd.oidc.person import _one_line
from hbd.store.audit import Entry

PICTURE = "data:image/webp;base64," + "A" * 3_000
LARGE = "data:image/png;base64," + "A" * MAX_AVATAR_LENGTH
PERSIAN = "می\u200cخواهم"
WOMAN_AT_A_COMPUTER = "👩\u200d💻"


class Person:
    def __init__(self, api: Api, token: str) -> None:
        self._api = api
        self._headers = {"X-Auth-Token": token}

    async def ask(self, method: str, path: str, **body: object) -> ClientResponse:
        return await self._api.request(method, f"/api/0{path}", json=body or None, headers=self._headers)

    async def page(self, path: str) -> str:
        return await (await self._api.get(path, headers=self._headers)).text()


@pytest.fixture
async def alice(api: Api, world: World) -> Person:
    """An admin. bob is a viewer."""
    await world.user("alice", "admin")
    await world.user("bob")
    return Person(api, await world.session("alice"))


@pytest.fixture
async def bob(api: Api, world: World, alice: Person) -> Person:
    return Person(api, await world.session("bob"))


async def set_avatar(world: World, name: str, avatar: str) -> None:
    entry = Entry(time=time.time(), user="", via="cli", action="user.change")
    await world.security.accounts.change(world.security.accounts.require(name), {"avatar": avatar}, entry)


# ----------------------------------------------------------------------------------------------------------- avatars


@pytest.mark.parametrize(("method", "path"), [("PUT", "/users/me"), ("PUT", "/users/bob"), ("POST", "/users")])
async def test_an_avatar_that_is_too_large_is_refused_with_its_size(alice: Person, method: str, path: str) -> None:
    body = {"avatar": LARGE} | ({"username": "carol"} if method == "POST" else {})
    answer = await alice.ask(method, path, **body)
    assert answer.status == 400
    told = f"avatar: at most 8192 characters; this one has {len(LARGE)}: take a smaller picture"
    assert (await answer.json())["error"] == told


async def test_an_avatar_of_just_the_size_is_taken(bob: Person) -> None:
    assert (await bob.ask("PUT", "/users/me", avatar=LARGE[:MAX_AVATAR_LENGTH])).status == 200


async def test_a_larger_one_from_before_may_stay(world: World, bob: Person) -> None:
    await set_avatar(world, "bob", LARGE)
    assert (await bob.ask("PUT", "/users/me", avatar=LARGE, full_name="Bob B")).status == 200
    assert (await bob.ask("PUT", "/users/me", avatar=LARGE + "A")).status == 400


async def test_the_list_of_users_holds_no_pictures(world: World, alice: Person) -> None:
    await set_avatar(world, "bob", PICTURE)
    await set_avatar(world, "alice", "🐙")
    users = await (await alice.ask("GET", "/users")).json()
    assert {user["username"]: user["avatar"] for user in users} == {"alice": "🐙", "bob": ""}


async def test_one_user_is_shown_with_the_picture(world: World, alice: Person) -> None:
    await set_avatar(world, "bob", PICTURE)
    assert (await (await alice.ask("GET", "/users/bob")).json())["avatar"] == PICTURE


# ----------------------------------------------------------------------------------------------------------- joiners


@pytest.mark.parametrize("name", [PERSIAN, WOMAN_AT_A_COMPUTER, f"Anna {WOMAN_AT_A_COMPUTER} B", "❤\ufe0f\u200d🔥"])
async def test_joiners_within_a_full_name_are_taken(bob: Person, name: str) -> None:
    assert (await bob.ask("PUT", "/users/me", full_name=name)).status == 200
    assert (await (await bob.ask("GET", "/users/me")).json())["full_name"] == name


async def test_an_emoji_of_several_parts_is_taken_as_an_avatar(bob: Person) -> None:
    assert (await bob.ask("PUT", "/users/me", avatar=WOMAN_AT_A_COMPUTER)).status == 200


@pytest.mark.parametrize(
    "name",
    ["\u200cbob", "bob\u200d", "a \u200cb", "a\u200c b", "a\u200c\u200db", "\u200d", "a\u200bb", "a\u202eb", "a\u2066b",
     "a\ufeffb", "a\u00adb", "a\x00b", "a\x1bb", "a\nb", "a\u2028b", "a\U000e0041b"],
)  # fmt: skip
async def test_all_else_that_cannot_be_seen_is_refused(bob: Person, name: str) -> None:
    assert (await bob.ask("PUT", "/users/me", full_name=name)).status == 400


async def test_joiners_in_the_name_of_a_token_are_refused(bob: Person) -> None:
    assert (await bob.ask("POST", "/users/me/tokens", name=f"a{WOMAN_AT_A_COMPUTER}")).status == 400


async def test_user_names_have_no_joiners(alice: Person) -> None:
    assert (await alice.ask("POST", "/users", username="a\u200cb")).status == 400


@pytest.mark.parametrize(("said", "kept"), [(PERSIAN, PERSIAN), (f" {PERSIAN}\n", PERSIAN.replace("\u200c", ""))])
def test_the_provider_of_single_sign_on_may_tell_names_with_joiners(said: str, kept: str) -> None:
    assert _one_line(said) == kept


# ------------------------------------------------------------------------------------------------------------- names


async def suggestions(world: World, api: Api, user: str, hosts: tuple[str, ...] | None) -> set[str]:
    """The user names that the page about access offers to the holder of a token."""
    accounts = world.security.accounts
    entry = Entry(time=time.time(), user="", via="cli", action="token.create")
    _, text = await accounts.add_token(accounts.require(user), "x", entry, scope="read", hosts=hosts, expires=None)
    page = await Person(api, text).page("/access")
    offered = page.partition('<datalist id="known-users">')[2].partition("</datalist>")[0]
    return {name for name in ("alice", "bob", "carol") if f'"{name}"' in offered}


async def test_a_token_of_an_admin_for_some_hosts_is_offered_the_names_on_these_alone(
    api: Api, world: World, alice: Person
) -> None:
    await world.user("carol")
    web = await world.enrol("web")
    entry = Entry(time=time.time(), user="", via="cli", action="host.access")
    await world.security.host_access.change(web, entry, monitors=("bob",))
    world.apply_access([web])
    assert await suggestions(world, api, "alice", ("web",)) == {"alice", "bob"}
    assert await suggestions(world, api, "alice", None) == {"alice", "bob", "carol"}
