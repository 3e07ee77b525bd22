"""``hbd user``, ``hbd passwd`` and ``hbd token`` as programs, with a daemon running and without."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from programs import SLOW, Daemon, eventually

PASSWORD = "correct horse battery"


async def hbd(daemon: Daemon, *arguments: str, typed: str = "") -> str:
    """What a command prints; it must succeed, and say nothing else than what it did where."""
    code, out, err = await tried(daemon, *arguments, typed=typed)
    assert code == 0
    assert all(line.startswith(("hbd: changed ", "hbd: this token ")) for line in err.splitlines())
    return out


async def tried(daemon: Daemon, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HBD_", "HBC_", "XDG_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hbd", *arguments, "-c", str(daemon.config_file)),
        env=kept | {"HOME": str(daemon.folder)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30 * SLOW):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def answer(daemon: Daemon, method: str, path: str, token: str = "", **options: Any) -> tuple[int, Any]:
    """(status, what was sent) of a request as a script makes it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=10 * SLOW)
    async with aiohttp.request(method, daemon.url + path, headers=headers, timeout=timeout, **options) as answered:
        return answered.status, await answered.json()


async def status(daemon: Daemon, path: str, token: str = "") -> int:
    return (await answer(daemon, "GET", path, token))[0]


async def login(daemon: Daemon, name: str, password: str) -> tuple[int, str | None]:
    """(status, token)."""
    sent = {"username": name, "password": password}
    code, said = await answer(daemon, "POST", "/api/0/auth/login", json=sent)
    return code, said.get("token")


async def test_the_first_user_closes_an_open_daemon(daemon: Daemon) -> None:
    async def closed() -> bool:
        return await status(daemon, "/api/0/hosts") == 401

    assert await status(daemon, "/api/0/hosts") == 200
    await hbd(daemon, "user", "add", "--admin", "root", typed=f"{PASSWORD}\n")
    await eventually(closed, 5, "whoever does not say who they are is refused")
    code, token = await login(daemon, "root", PASSWORD)
    assert code == 200 and token is not None
    assert await status(daemon, "/api/0/hosts", token) == 200


async def test_a_password_made_up_for_a_user_works(daemon: Daemon) -> None:
    password = (await hbd(daemon, "user", "add", "--admin", "root")).removesuffix("\n")
    assert (await login(daemon, "root", password))[0] == 200


async def test_a_token_for_scripts_works_until_it_is_revoked(daemon: Daemon) -> None:
    await hbd(daemon, "user", "add", "--admin", "--no-password", "root")
    token = (await hbd(daemon, "token", "create", "--name", "backup")).removesuffix("\n")
    assert await status(daemon, "/api/0/hosts", token) == 200
    assert (await answer(daemon, "POST", "/api/0/users", token, json={"username": "eve"}))[0] == 403
    (listed,) = json.loads(await hbd(daemon, "token", "list", "--json"))
    await hbd(daemon, "token", "revoke", str(listed["id"]))
    assert await status(daemon, "/api/0/hosts", token) == 401


async def test_a_new_password_ends_the_sessions_and_lets_in(daemon: Daemon) -> None:
    await hbd(daemon, "user", "add", "--admin", "root", typed=f"{PASSWORD}\n")
    _, token = await login(daemon, "root", PASSWORD)
    assert token is not None
    await hbd(daemon, "passwd", "root", typed="another one\n")
    assert await status(daemon, "/api/0/hosts", token) == 401
    assert [(await login(daemon, "root", password))[0] for password in (PASSWORD, "another one")] == [401, 200]


async def test_a_disabled_and_a_removed_user_are_out_at_once(daemon: Daemon) -> None:
    await hbd(daemon, "user", "add", "--admin", "--no-password", "root")
    for name, verb in (("bob", "disable"), ("carol", "remove")):
        await hbd(daemon, "user", "add", name, typed=f"{PASSWORD}\n")
        _, token = await login(daemon, name, PASSWORD)
        assert token is not None and await status(daemon, "/api/0/hosts", token) == 200
        told = (await tried(daemon, "user", verb, name))[2]
        assert told.endswith("the hbd that runs on it knows at once\n")
        assert await status(daemon, "/api/0/hosts", token) == 401
        assert (await login(daemon, name, PASSWORD))[0] == 401


async def test_a_host_that_is_granted_is_seen_at_once_and_no_more_once_it_is_revoked(daemon: Daemon) -> None:
    await hbd(daemon, "user", "add", "--admin", "--no-password", "root")
    await hbd(daemon, "user", "add", "--no-password", "bob")
    await tried(daemon, "agent", "add", "web1")
    token = (await hbd(daemon, "token", "create", "--user", "bob")).removesuffix("\n")
    seen = [await status(daemon, "/api/0/hosts/web1", token)]
    for verb in ("grant", "revoke"):
        await hbd(daemon, "user", verb, "bob", "--monitor", "web*")
        seen.append(await status(daemon, "/api/0/hosts/web1", token))
    assert seen == [403, 200, 403]


async def test_what_was_done_without_a_daemon_is_there_when_one_starts(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "daemon")
    await hbd(daemon, "user", "add", "--admin", "root", typed=f"{PASSWORD}\n")
    token = (await hbd(daemon, "token", "create")).removesuffix("\n")
    assert (await tried(daemon, "user", "remove", "root"))[0] == 1
    async with daemon:
        assert await status(daemon, "/api/0/hosts") == 401
        assert await status(daemon, "/api/0/hosts", token) == 200
        assert (await login(daemon, "root", PASSWORD))[0] == 200


async def test_a_hash_of_passwd_in_the_config_lets_in(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "daemon")
    hashed = (await hbd(daemon, "passwd", typed=f"{PASSWORD}\n")).removesuffix("\n")
    daemon.configure(users={"alice": {"admin": True, "password": hashed}})
    async with daemon:
        assert (await login(daemon, "alice", PASSWORD))[0] == 200
        assert (await login(daemon, "alice", "something else"))[0] == 401


async def test_no_password_and_no_token_shows_in_the_log_or_in_the_database(tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon", log={"level": "debug"}) as daemon:
        await hbd(daemon, "user", "add", "--admin", "root", typed=f"{PASSWORD}\n")
        token = (await hbd(daemon, "token", "create")).removesuffix("\n")
        assert (await tried(daemon, "user", "add", "root", typed=f"{PASSWORD}\n"))[0] == 1
        assert await daemon.stop() == 0
        written = b"".join(path.read_bytes() for path in daemon.folder.iterdir() if path.is_file())
    assert PASSWORD.encode() not in written and token.encode() not in written


@pytest.mark.parametrize("running", [True, False])
async def test_what_cannot_be_done_ends_with_1_and_a_reason(tmp_path: Path, running: bool) -> None:
    daemon = Daemon(tmp_path / "daemon")
    try:
        if running:
            await daemon.start()
        told = [
            await tried(daemon, "token", "create"),
            await tried(daemon, "user", "remove", "nobody"),
            await tried(daemon, "user", "add", "--admin", "root", typed="short\n"),
        ]
    finally:
        await daemon.kill()
    assert [(code, out) for code, out, _ in told] == [(1, "")] * 3
    assert [err.split("; ")[0].strip() for _, _, err in told] == [
        "hbd: There are no users yet, so everything is open",
        "hbd: User 'nobody' not found",
        "hbd: password: at least 6 characters",
    ]
