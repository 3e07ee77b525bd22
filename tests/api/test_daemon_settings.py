"""Settings that are imported while the daemon runs: every part knows them at once, as after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from settings_kit import HASH, PING_ID, database, fill

from hbd import control
from hbd.config import load
from hbd.daemon import Daemon
from hbd.errors import HbdError

PASSWORD = "correct horse"
ROOT = f'version: 1\nusers:\n  root: {{role: admin, password: "{HASH}"}}\n'
SEEN = ("users", "hosts", "notification_channels", "notification_routes", "windows", "silences", "jobs")


class House:
    """A daemon, and who calls it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hbd.yaml"
        self.database = folder / "hbd.db"
        self.file.write_text(f"database: {self.database}\nhbd_port: 0\nhb_port: 0\nws_port: 0\n", "utf-8")
        self.daemon = Daemon(load(self.file))
        self.headers: dict[str, str] = {}

    async def restart(self) -> None:
        await self.daemon.stop()
        self.daemon = Daemon(load(self.file))
        await self.daemon.start()

    async def take(self, text: str, *, removes: bool = False, dry_run: bool = False) -> dict[str, Any]:
        """An import as the command line asks for it."""
        asked = {"text": text, "name": "x.yaml", "removes": removes, "dry_run": dry_run, "by": "pat"}
        found: dict[str, Any] = await asyncio.to_thread(control.ask, self.database, "settings import", **asked)
        return found

    async def export(self) -> str:
        text: str = await asyncio.to_thread(control.ask, self.database, "settings export", secrets=True, by="pat")
        return text

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """(status, answer)."""
        sent = {"json": body} if body else {}
        async with aiohttp.request(method, self.daemon.urls[0] + path, headers=self.headers, **sent) as answer:
            return answer.status, await answer.json() if "json" in answer.content_type else await answer.text()

    async def sign_in(self, name: str) -> int:
        status, answer = await self.ask("POST", "api/0/auth/login", username=name, password=PASSWORD)
        if status == 200:
            self.headers = {"Authorization": f"Bearer {answer['token']}"}
        return status

    async def seen(self) -> dict[str, Any]:
        """What the API shows of all settings."""
        found = {name: (await self.ask("GET", f"api/0/{name}"))[1] for name in SEEN}
        for host in ("web1", "db1"):
            found[f"access of {host}"] = await self.ask("GET", f"api/0/hosts/{host}/access")
            found[f"processes of {host}"] = await self.ask("GET", f"api/0/servers/{host}/processes")
        for user in found["users"]:
            user.pop("last_login"), user.pop("sessions")
        for job in found["jobs"]["jobs"]:
            job["ping_url"] = job["ping_url"].partition("/ping/")[2]  # ports are others after a restart
        return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.daemon.start()
    yield made
    await made.daemon.stop()


@pytest.fixture
async def full(tmp_path: Path) -> str:
    """A file with something of every kind."""
    async with database(tmp_path / "full.db") as other:
        await fill(other.store)
        return await other.export()


async def test_what_was_imported_is_shown_as_after_a_restart(house: House, full: str) -> None:
    assert (await house.take(full))["problems"] == []
    assert await house.sign_in("root") == 200
    at_once = await house.seen()
    assert all(at_once.values())
    await house.restart()
    assert await house.seen() == at_once


async def test_what_was_removed_is_gone_as_after_a_restart(house: House, full: str) -> None:
    await house.take(full)
    await house.sign_in("root")
    nothing = "hosts: {web1: {}, db1: {}}\nnotification_channels: {}\n"
    nothing += "".join(f"{section}: []\n" for section in ("notification_routes", "maintenance", "silences"))
    assert (await house.take(ROOT + nothing, removes=True))["problems"] == []
    at_once = await house.seen()
    assert [at_once[name] for name in SEEN[2:6]] == [[], [], [], []] and at_once["jobs"] == {"jobs": []}
    assert at_once["processes of web1"][1]["processes"] == []
    await house.restart()
    assert await house.seen() == at_once


async def test_an_export_of_a_running_daemon_is_what_was_imported(house: House, full: str) -> None:
    await house.take(full)
    assert await house.export() == full


async def test_the_first_user_that_is_imported_closes_an_open_daemon(house: House) -> None:
    assert (await house.ask("GET", "api/0/hosts"))[0] == 200
    await house.take(ROOT)
    assert (await house.ask("GET", "api/0/hosts"))[0] == 401
    assert await house.sign_in("root") == 200


async def test_who_is_disabled_or_removed_is_out_at_once(house: House) -> None:
    users = "".join(f'  {name}: {{password: "{HASH}"}}\n' for name in ("bob", "eve"))
    await house.take(ROOT + users)
    before = []
    for name in ("bob", "eve"):
        await house.sign_in(name)
        before.append(house.headers)
    await house.take(ROOT + f'  bob: {{password: "{HASH}", enabled: false}}\n', removes=True)
    for house.headers in before:
        assert (await house.ask("GET", "api/0/hosts"))[0] == 401


async def test_rights_on_a_host_hold_at_once_and_no_longer_than_the_file_says(house: House) -> None:
    await house.take(ROOT + f'  bob: {{password: "{HASH}"}}\nhosts: {{web1: {{monitors: [bob]}}}}\n')
    await house.sign_in("bob")
    seen = [(await house.ask("GET", "api/0/hosts/web1"))[0]]
    await house.take("version: 1\nhosts: {web1: {}}\n")
    seen.append((await house.ask("GET", "api/0/hosts/web1"))[0])
    assert seen == [200, 403]


async def test_a_host_that_was_imported_can_be_enrolled(house: House) -> None:
    await house.take(ROOT + "hosts: {web1: {label: Shop, tags: [prod]}}\n")
    await house.sign_in("root")
    assert (await house.ask("POST", "api/agents", hostname="web1"))[0] == 201
    host = house.daemon.hosts.require("web1")
    assert (host.label, host.tags) == ("Shop", ["prod"])


async def test_a_host_that_is_switched_off_is_refused_at_once(house: House) -> None:
    await house.take(ROOT + "hosts: {web1: {}}\n")
    await house.sign_in("root")
    _, made = await house.ask("POST", "api/agents", hostname="web1")
    house.headers = {"X-Agent-Key": made["key"]}
    before = (await house.ask("POST", "api/agent/report", cpu_percent=1.0))[0]
    await house.take("version: 1\nhosts: {web1: {enabled: false}}\n")
    assert (before, (await house.ask("POST", "api/agent/report", cpu_percent=1.0))[0]) == (200, 403)


async def test_a_job_calls_the_address_that_was_imported_and_no_other(house: House) -> None:
    for token in (PING_ID, f"{PING_ID[:-1]}0"):
        await house.take(f"version: 1\nhosts: {{web1: {{jobs: {{backup: {{period: 1d, ping_id: {token}}}}}}}}}\n")
    answers = [(await house.ask("GET", f"ping/{token}"))[0] for token in (PING_ID, f"{PING_ID[:-1]}0")]
    assert answers == [404, 200]


async def test_everything_can_be_changed_after_an_import_and_after_one_that_was_refused(house: House) -> None:
    await house.take(ROOT + "hosts: {web1: {}}\n")
    assert (await house.take("version: 1\nhosts: {web1: {owner: nobody}}\n"))["problems"]
    await house.sign_in("root")
    about = {"hosts": ["web1"], "name": "x", "start": "2030-01-01T10:00", "duration": "1h"}
    statuses = [
        (await house.ask("POST", "api/0/users", username="bob", password=PASSWORD))[0],
        (await house.ask("POST", "api/0/windows", **about))[0],
        (await house.ask("POST", "api/0/silences", hosts=["web1"], reason="x", duration="1h"))[0],
        (await house.ask("PUT", "api/0/hosts/web1/access", owner="bob"))[0],
        (await house.ask("POST", "api/0/hosts/web1/jobs", name="backup"))[0],
        (await house.ask("POST", "api/0/servers/web1/processes", process_name="nginx"))[0],
        (await house.ask("POST", "api/0/notification_channels", name="x", type="webhook", url="https://a.example"))[0],
        (await house.ask("POST", "api/0/notification_routes", name="x", channels=["x"]))[0],
        (await house.ask("POST", "api/agents", hostname="web1"))[0],
    ]
    assert all(status in (200, 201) for status in statuses), statuses


async def test_a_dry_run_leaves_a_running_daemon_as_it_is(house: House, full: str) -> None:
    before = await house.seen()
    assert (await house.take(full, dry_run=True))["changes"]
    assert await house.seen() == before


async def test_what_fails_on_disk_changes_nothing_in_memory(
    house: House, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the last step fails")

    before = await house.seen()
    monkeypatch.setattr("hbd.store.jobs.JobTables.add", broken)
    with pytest.raises(HbdError, match="internal error"):
        await house.take(full)
    assert await house.seen() == before
