"""Commands through a real hbd and a real hbc."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from programs import SLOW, Agent, Daemon, eventually
from stream_events import Events

PASSWORD = "correct horse"
COMMANDS = "/api/agents/web1/commands"


class Site:
    """A daemon with an operator, an agent that allows some commands, and a client who has signed in."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        self.daemon = Daemon(
            tmp_path / "daemon",
            users={"ops": {"role": "operator", "password": hashed}},
            agents={"enrollment": "open"},
        )
        allow = {"commands": ["ping", "shell"], "run": {"greet": {"command": ["/bin/echo", "$(id)"], "risk": "low"}}}
        self.agent = Agent(tmp_path / "agent", self.daemon.url, "web1", allow=allow)
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60 * SLOW))

    async def start(self) -> None:
        await self.daemon.start()
        await self.agent.start()
        await self.sign_in()
        await self.linked()

    async def sign_in(self) -> None:
        sent = {"username": "ops", "password": PASSWORD}
        async with self.http.post(self.daemon.url + "/api/0/auth/login", json=sent) as answer:
            self.http.headers["X-Auth-Token"] = (await answer.json())["token"]

    async def linked(self) -> None:
        async def offered() -> bool:
            async with self.http.get(self.daemon.url + "/api/agents/web1/policy") as answer:
                return answer.status == 200 and (await answer.json())["policy"] is not None

        await eventually(offered, 20, "the agent is connected")

    async def ask(self, type: str = "shell", **params: Any) -> str:
        async with self.http.post(self.daemon.url + COMMANDS, json={"type": type, "params": params}) as answer:
            told = await answer.json()
            assert (answer.status, told["status"]) == (200, "queued"), told
            return str(told["command_id"])

    async def command(self, id: str) -> dict[str, Any]:
        async with self.http.get(f"{self.daemon.url}{COMMANDS}/{id}") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def ended(self, id: str) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            found = await self.command(id)
            return found if found["finished_at"] else None

        found = await eventually(over, 30, "the command has ended")
        assert found is not None
        return found

    async def written(self, name: str) -> str:
        async def there() -> str:
            file = self.folder / name
            return file.read_text() if file.exists() else ""

        return await eventually(there, 20, f"{name} is written")

    async def stop(self) -> None:
        await self.http.close()
        await self.agent.kill()
        await self.daemon.kill()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    try:
        await site.start()
        yield site
    finally:
        await site.stop()


async def told(events: Events, kind: str) -> Any:
    """What the next event of that kind says."""
    while (event := await events.next())["event"] != kind:
        pass
    return json.loads(event["data"])


async def gone(pid: int) -> None:
    async def over() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    await eventually(over, 20, f"process {pid} has ended")


async def test_a_command_runs_and_is_watched_and_what_is_not_allowed_is_refused(site: Site) -> None:
    id = await site.ask(
        command=f"echo hello; while [ ! -e {site.folder}/go ]; do sleep 0.05; done; echo bye >&2; exit 3"
    )
    async with site.http.get(f"{site.daemon.url}{COMMANDS}/{id}/stream") as answer:
        events = Events(answer)
        assert await told(events, "output") == {"stream": "stdout", "text": "hello\n"}
        (site.folder / "go").touch()
        result = await told(events, "result")
    assert (result["status"], result["exit_code"], result["stdout"], result["stderr"]) == (
        "failed",
        3,
        "hello\n",
        "bye\n",
    )
    assert await site.ended(id) == result
    assert (await site.ended(await site.ask("greet")))["stdout"] == "$(id)\n"
    refused = await site.ended(await site.ask("process_list"))
    assert (refused["status"], refused["exit_code"]) == ("rejected", None)
    assert refused["reason"] == "disabled by local policy: process_list is not in this host's allow.commands"


async def test_f48_a_command_that_takes_too_long_or_is_cancelled_ends_with_its_children(site: Site) -> None:
    script = f"trap '' TERM; sleep 1000 & echo $! > {site.folder}/%s; wait; sleep 1000"
    late = await site.ended(await site.ask(command=script % "late", timeout=0.5))
    assert (late["status"], late["exit_code"]) == ("timeout", None)
    await gone(int(await site.written("late")))

    id = await site.ask(command=script % "cancelled")
    child = int(await site.written("cancelled"))
    async with site.http.delete(f"{site.daemon.url}{COMMANDS}/{id}") as answer:
        assert answer.status == 200
    ended = await site.ended(id)
    assert (ended["status"], ended["reason"]) == ("failed", "cancelled by ops")
    await gone(child)


async def test_f47_a_command_whose_agent_is_killed_is_not_run_again(site: Site) -> None:
    id = await site.ask(command=f"echo $$ >> {site.folder}/runs; exec sleep 1000")
    running = int(await site.written("runs"))
    await site.agent.kill()
    os.kill(running, 9)
    await site.agent.start()
    ended = await site.ended(id)
    assert (ended["status"], ended["reason"]) == ("failed", "outcome unknown: the agent was stopped while this ran")
    assert (site.folder / "runs").read_text().split() == [str(running)]


async def test_f47_a_command_whose_daemon_is_killed_runs_on_and_is_answered_once(site: Site) -> None:
    wait = f"while [ ! -e {site.folder}/go ]; do sleep 0.05; done"
    id = await site.ask(command=f"echo x >> {site.folder}/runs; {wait}; echo done")
    await site.written("runs")
    await site.daemon.kill()
    await site.daemon.start()
    await site.linked()
    assert (await site.command(id))["status"] in ("delivered", "running")
    (site.folder / "go").touch()
    ended = await site.ended(id)
    assert (ended["status"], ended["stdout"]) == ("done", "done\n")
    assert (site.folder / "runs").read_text() == "x\n"
