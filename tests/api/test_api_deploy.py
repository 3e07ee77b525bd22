"""Installing agents over HTTP: what is refused before anything begins, how failures look, and what a key opens."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from world import Api, World

from hbd.config import Config
from hbd.config.structs import Agents


@pytest.fixture
async def admin(world: World, tmp_path: Path) -> dict[str, str]:
    """The headers of an admin; the folder of keys has one that is none."""
    await world.configure(Config(agents=Agents(ssh_keys=tmp_path)))
    (tmp_path / "id_ed25519").write_text("no key")
    (tmp_path / "id_ed25519").chmod(0o600)
    await world.user("root", "admin")
    return {"Authorization": f"Bearer {await world.session('root')}"}


BODY = {"host": "127.0.0.1", "ssh_user": "ubuntu", "ssh_port": 1, "ssh_key": "~/.ssh/id_ed25519", "label": "db-01"}


async def test_without_users_nothing_is_deployed(api: Api) -> None:
    for path in ("/api/agents/deploy", "/api/agents/deployments"):
        async with api.post(path, json=BODY) as answer:
            assert answer.status == 403
            assert "hbd user add" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("host", value) for value in ("", "-oProxyCommand=id", "a b", "x;id", "$(id)", "a\n", "h" * 300)),
        *(("ssh_user", value) for value in ("", "-l", "a b", "x;id", "a\n")),
        *(("ssh_port", value) for value in (0, 65536, "22")),
        *(("ssh_key", value) for value in ("../id_ed25519", "/etc/shadow", "nosuch")),
        *(("name", value) for value in ("a b", "x/y")),
        *(("server", value) for value in ("ftp://x", "https://x/$(id)")),
        *(("host_key", value) for value in ("MD5:aa", "SHA256:short")),
        ("scope", "everything"),
    ],
)
async def test_a_field_that_cannot_be_is_named(api: Api, admin: dict[str, str], field: str, value: Any) -> None:
    async with api.post("/api/agents/deployments", json=BODY | {field: value}, headers=admin) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith(f"{field}: ")


async def test_a_step_that_fails_is_named_with_its_reason(api: Api, admin: dict[str, str]) -> None:
    async with api.post("/api/agents/deploy", json=BODY, headers=admin) as answer:
        assert answer.status == 502
        told = await answer.json()
    assert (told["step"], told["deployment_id"]) == ("connect", 1)
    assert "id_ed25519" in told["error"]


async def test_a_deployment_can_be_looked_at_afterwards(api: Api, admin: dict[str, str]) -> None:
    async with api.post("/api/agents/deployments", json=BODY, headers=admin) as answer:
        assert (answer.status, await answer.json()) == (202, {"id": 1})
    async with api.get("/api/agents/deployments/1/stream", headers=admin) as answer:
        assert answer.content_type == "text/event-stream"
        assert b'"status":"failed"' in await answer.read()
    async with api.get("/api/agents/deployments/1", headers=admin) as answer:
        shown = await answer.json()
    assert (shown["host"], shown["by"], shown["status"]) == ("127.0.0.1", "root", "failed")
    assert [step["name"] for step in shown["steps"]] == ["connect", "check", "enrol", "install", "report"]
    async with api.get("/api/agents/deployments", headers=admin) as answer:
        assert await answer.json() == [shown]


async def test_one_that_has_ended_cannot_be_cancelled(api: Api, admin: dict[str, str]) -> None:
    async with api.post("/api/agents/deploy", json=BODY, headers=admin):
        pass
    async with api.delete("/api/agents/deployments/1", headers=admin) as answer:
        assert answer.status == 409


@pytest.mark.parametrize("id", ["0", "x", "-1", "9" * 30, "²"])
async def test_a_deployment_that_there_is_not_is_not_found(api: Api, admin: dict[str, str], id: str) -> None:
    async with api.get(f"/api/agents/deployments/{id}", headers=admin) as answer:
        assert answer.status == 404


# --------------------------------------------------------------------------------------------------- what a key opens


async def test_a_key_opens_the_script_of_its_host(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/install-script", params={"key": key}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/x-shellscript")
        text = await answer.text()
    assert text.startswith("#!/bin/sh\n")
    assert f"KEY={key}\n" in text
    assert "NAME=alpha\n" in text
    assert f"SERVER=http://127.0.0.1:{api.port}\n" in text


async def test_the_script_can_be_had_without_the_key_in_the_address(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/install-script", headers={"X-Agent-Key": key}) as answer:
        assert answer.status == 200


async def test_the_script_sends_agents_to_base_url(api: Api, world: World) -> None:
    await world.configure(Config(base_url="https://mon.example"))
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/install-script", params={"key": key}) as answer:
        assert "SERVER=https://mon.example\n" in await answer.text()


async def test_that_a_script_was_handed_out_is_in_the_audit_log(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/install-script", params={"key": key}):
        pass
    await world.security.audit.write()
    (entry,) = await world.store.audit.recent(1)
    assert (entry.action, entry.object) == ("agent.script", "host alpha")
    assert key not in repr(entry)


async def test_the_package_is_the_one_that_the_script_names(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/package", headers={"X-Agent-Key": key}) as answer:
        data = await answer.read()
        assert hashlib.sha256(data).hexdigest() == answer.headers["X-Agent-Digest"]
    async with api.get("/api/agents/install-script", params={"key": key}) as answer:
        assert f"DIGEST={hashlib.sha256(data).hexdigest()}\n" in await answer.text()
    assert "hbc/agent.py" in zipfile.ZipFile(io.BytesIO(data)).namelist()


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-Agent-Key": "ab" * 32}, 403)])
async def test_without_a_key_that_holds_there_is_no_package(api: Api, headers: dict[str, str], status: int) -> None:
    async with api.get("/api/agents/package", headers=headers) as answer:
        assert answer.status == status
