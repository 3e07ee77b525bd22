"""A whole daemon with users: over HTTP, over reloads and restarts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import aiohttp
import bcrypt
import pytest
from house import House

from hbd.daemon import Daemon
from hbd.errors import StorageError
from hbd.store.audit import Entry

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
OTHER_HASH = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
ALICE = f'users:\n  alice: {{admin: true, password: "{HASH}"}}\n'
BOTH = ALICE + f'  bob: {{password: "{HASH}"}}\n'


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def login(browser: aiohttp.ClientSession, daemon: Daemon, name: str, password: str = "secret") -> str | None:
    body = {"username": name, "password": password}
    async with browser.post(f"{daemon.urls[0]}api/0/auth/login", json=body) as answer:
        token: str | None = (await answer.json()).get("token")
        return token


async def ask(
    browser: aiohttp.ClientSession,
    daemon: Daemon,
    token: str | None,
    path: str,
    method: str = "GET",
    body: object = None,
) -> int:
    headers = {"X-Auth-Token": token} if token else {}
    async with browser.request(method, f"{daemon.urls[0]}api/0/{path}", headers=headers, json=body) as answer:
        return answer.status


async def test_sessions_outlive_a_restart_of_the_daemon(house: House, browser: aiohttp.ClientSession) -> None:
    house.write(ALICE)
    token = await login(browser, await house.start(), "alice")
    assert await ask(browser, await house.restart(), token, "hosts") == 200


async def test_users_that_come_with_a_reload_close_the_daemon(house: House, browser: aiohttp.ClientSession) -> None:
    daemon = await house.start()
    before = await ask(browser, daemon, None, "hosts")
    house.write(ALICE)
    await daemon.reload()
    assert (before, await ask(browser, daemon, None, "hosts")) == (200, 401)
    assert daemon.status().users == 1


async def test_a_user_who_goes_with_a_reload_loses_the_sessions(house: House, browser: aiohttp.ClientSession) -> None:
    house.write(BOTH)
    daemon = await house.start()
    token = await login(browser, daemon, "bob")
    house.write(ALICE)
    await daemon.reload()
    assert await ask(browser, daemon, token, "hosts") == 401
    assert await login(browser, daemon, "bob") is None


async def test_a_password_changed_here_holds_over_reloads_until_the_file_has_another(
    house: House, browser: aiohttp.ClientSession
) -> None:
    house.write(ALICE)
    daemon = await house.start()
    token = await login(browser, daemon, "alice")
    change = {"password": {"current": "secret", "new": "changed here"}}
    assert await ask(browser, daemon, token, "users/me", "PUT", change) == 200
    await daemon.reload()
    assert await login(browser, daemon, "alice", "changed here")
    house.write(ALICE.replace(HASH, OTHER_HASH))
    await daemon.reload()
    assert await login(browser, daemon, "alice", "changed here") is None
    assert await login(browser, daemon, "alice", "another")


async def test_access_changed_here_outlives_a_restart_and_yields_to_the_file_at_a_reload(
    house: House, browser: aiohttp.ClientSession
) -> None:
    house.write(BOTH + "hosts:\n  web: {monitors: [bob]}\n")
    daemon = await house.start()
    token = await login(browser, daemon, "alice")
    await ask(browser, daemon, token, "hosts/web/access", "PUT", {"owner": "bob", "monitors": []})
    daemon = await house.restart()
    host = daemon.hosts.require("web")
    assert (host.owner, host.monitors) == ("bob", [])
    await daemon.reload()
    assert (host.owner, host.monitors) == ("bob", ["bob"])


async def test_the_first_admin_owns_what_nobody_else_does(house: House) -> None:
    house.write(BOTH + "watchhosts: [web]\n")
    daemon = await house.start()
    assert daemon.hosts.require("web").owner == "alice"
    house.write(BOTH + "watchhosts: [web]\ndefault_owner: bob\n")
    await daemon.reload()
    assert daemon.hosts.require("web").owner == "bob"


async def test_the_setup_link_is_there_until_there_was_a_user(house: House) -> None:
    daemon = await house.start()
    assert daemon.setup_urls()
    entry = Entry(time=time.time(), user="", via="cli", action="user.create")
    await daemon.security.accounts.add("alice", entry, role="admin")
    assert daemon.setup_urls() == []
    assert (await house.restart()).setup_urls() == []


async def test_a_reload_is_in_the_audit_log(house: House) -> None:
    daemon = await house.start()
    house.write("interval: 20\n")
    await daemon.reload()
    house.write("interval: soon\n")
    await daemon.reload()
    await daemon.security.audit.write()
    entries = await daemon.store.audit.recent(10)
    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("config.reload", "failed"),
        ("config.reload", "done"),
    ]


async def test_a_reload_that_the_disk_refuses_leaves_users_and_rights_as_they_were(
    house: House, browser: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(BOTH + "watchhosts: [web]\n")
    daemon = await house.start()
    token = await login(browser, daemon, "alice")
    await ask(browser, daemon, token, "hosts/web/access", "PUT", {"owner": "bob", "monitors": ["bob"]})
    house.write(ALICE + "watchhosts: [web]\n")

    async def refuse(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(daemon.store.accounts, "save", refuse)
        assert not (await daemon.reload()).ok
    await ask(browser, daemon, token, "users/alice", "PUT", {"full_name": "Alice"})
    host = daemon.hosts.require("web")
    assert (host.owner, host.monitors, await login(browser, daemon, "bob") is None) == ("bob", ["bob"], False)


async def test_who_listens_to_the_accounts_finds_the_new_config_in_force(house: House) -> None:
    house.write(ALICE)
    daemon = await house.start()
    found: list[object] = []
    daemon.security.accounts.changed.append(lambda: found.append(daemon.config.default_owner))
    house.write(BOTH + "default_owner: bob\n")
    await daemon.reload()
    assert found == ["bob"]


async def test_the_user_of_the_file_is_not_the_one_of_that_name_who_was_made_here(
    house: House, browser: aiohttp.ClientSession
) -> None:
    house.write(ALICE)
    daemon = await house.start()
    entry = Entry(time=time.time(), user="", via="cli", action="user.create")
    await daemon.security.accounts.add("bob", entry, password=HASH.encode())
    token = await login(browser, daemon, "bob")
    house.write(BOTH)
    await daemon.reload()
    assert await ask(browser, daemon, token, "hosts") == 401
    assert await login(browser, daemon, "bob")
