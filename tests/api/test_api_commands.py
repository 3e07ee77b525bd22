"""Commands over HTTP."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from stream_events import Events
from world import Api, World

from hbd.config import Config
from hbd.config.structs import HostConfig
from hbd.hosts import Host
from hbd.remote.frames import Frame, OfferedCommand, Offers, Output, Policy, Result, Started

WEB = "/api/agents/web-1"
DEADLINE = 10.0


class Agent:
    """The agent of a host, by hand. heard: the frames that came."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self.host = host
        self.heard: list[Frame] = []

    def connect(self, policy: Policy | None = None) -> None:
        self._world.links.agents[self.host.name] = self.heard.append
        self.host.link = True
        self._world.commands.linked(self.host)
        self._world.commands.offers(self.host, Offers("journal", policy or Policy()))

    async def hears(self, kind: str) -> Frame:
        async with asyncio.timeout(DEADLINE):
            while not (found := [frame for frame in self.heard if frame["type"] == kind]):
                await asyncio.sleep(0.002)
        return found[-1]


@pytest.fixture
async def agent(world: World) -> Agent:
    host = await world.enrol("web-1")
    for name, role in (("root", "admin"), ("ops", "operator"), ("ann", "viewer"), ("bob", "viewer")):
        await world.user(name, role)
    await world.enrol("web-2")
    await world.configure(Config(hosts={"web-1": HostConfig(managers=["ann"], monitors=["bob"])}))
    return Agent(world, host)


@pytest.fixture
async def ops(world: World, agent: Agent) -> dict[str, str]:
    return {"X-Auth-Token": await world.session("ops")}


async def ask(api: Api, who: dict[str, str], type: str = "shell", **params: Any) -> str:
    usual = {"command": "df -h", "timeout": 30} if type == "shell" else {}
    body = {"type": type, "params": params or usual}
    async with api.post(f"{WEB}/commands", json=body, headers=who) as answer:
        told = await answer.json()
        assert (answer.status, told["status"]) == (200, "queued"), told
        return str(told["command_id"])


async def test_the_example_of_the_agents_api(api: Api, ops: dict[str, str]) -> None:
    body = {"type": "shell", "params": {"command": "df -h", "timeout": 30}}
    async with api.post(f"{WEB}/commands", json=body, headers=ops) as answer:
        told = await answer.json()
    assert (answer.status, told.keys(), told["status"]) == (200, {"command_id", "status"}, "queued")
    assert re.fullmatch(r"cmd_[0-9a-f]{24}", told["command_id"])


async def test_an_agent_is_named_by_its_id_too(api: Api, ops: dict[str, str], agent: Agent) -> None:
    path = f"/api/agents/{agent.host.agent_id}/commands"
    async with api.post(path, json={"type": "ping"}, headers=ops) as answer:
        assert answer.status == 200


async def test_the_history_has_what_was_asked_and_what_became_of_it(
    api: Api, ops: dict[str, str], agent: Agent, world: World
) -> None:
    agent.connect()
    first = await ask(api, ops)
    await agent.hears("command")
    second = await ask(api, ops, "ping")
    result = Result(first, "failed", exit_code=1, stdout="out", stderr="err", truncated=True)
    world.commands.answered(agent.host, result)
    async with api.get(f"{WEB}/commands/{first}/stream", headers=ops) as answer:
        await answer.read()
    async with api.get(f"{WEB}/commands", headers=ops) as answer:
        newest, oldest = await answer.json()
    assert newest["command_id"] == second
    assert oldest == {
        "command_id": first,
        "type": "shell",
        "params": {"command": "df -h", "timeout": 30},
        "risk": "medium",
        "status": "failed",
        "exit_code": 1,
        "stdout": "out",
        "stderr": "err",
        "truncated": True,
        "reason": "",
        "queued_by": "ops",
        "cancelled_by": "",
        "queued_at": int(world.now.wall),
        "expires_at": int(world.now.wall) + 3600,
        "delivered_at": int(world.now.wall),
        "started_at": None,
        "finished_at": int(world.now.wall),
    }


async def test_a_command_is_watched_as_it_goes_on(api: Api, ops: dict[str, str], agent: Agent, world: World) -> None:
    agent.connect()
    id = await ask(api, ops)
    await agent.hears("command")
    token = ops["X-Auth-Token"]
    async with api.get(f"{WEB}/commands/{id}/stream?token={token}") as answer:
        assert answer.content_type == "text/event-stream"
        events = Events(answer)
        assert (await events.next())["data"] == '{"status":"delivered"}'
        world.commands.started(agent.host, Started(id))
        assert (await events.next())["data"] == '{"status":"running"}'
        world.commands.output(agent.host, Output(id, "stderr", "a\nb"))
        event = await events.next()
        assert (event["event"], event["data"]) == ("output", '{"stream":"stderr","text":"a\\nb"}')
        world.commands.answered(agent.host, Result(id, "done", exit_code=0))
        last = await events.next()
        assert (last["event"], last["id"]) == ("result", "end")
        assert await answer.content.read() == b""
    seen = {"Last-Event-ID": "end", **ops}
    async with api.get(f"{WEB}/commands/{id}/stream", headers=seen) as answer:
        assert answer.status == 204


async def test_a_command_can_be_cancelled(api: Api, ops: dict[str, str], agent: Agent) -> None:
    agent.connect()
    id = await ask(api, ops)
    await agent.hears("command")
    async with api.delete(f"{WEB}/commands/{id}", headers=ops) as answer:
        assert (answer.status, (await answer.json())["cancelled_by"]) == (200, "ops")
    assert await agent.hears("cancel") == {"type": "cancel", "id": id, "by": "ops"}


async def test_what_has_ended_is_a_conflict(api: Api, ops: dict[str, str]) -> None:
    id = await ask(api, ops)
    for status in (200, 409):
        async with api.delete(f"{WEB}/commands/{id}", headers=ops) as answer:
            assert answer.status == status


async def test_what_a_host_offers_can_be_seen(api: Api, ops: dict[str, str], agent: Agent, world: World) -> None:
    async with api.get(f"{WEB}/policy", headers=ops) as answer:
        assert await answer.json() == {"linked": False, "policy": None, "capabilities": [], "at": None}
    agent.connect(Policy(commands=[OfferedCommand("ping", "low")], user="hbc"))
    async with api.get(f"{WEB}/policy", headers=ops) as answer:
        told = await answer.json()
    assert (told["linked"], told["capabilities"], told["at"]) == (True, ["ping"], int(world.now.wall))
    assert told["policy"]["commands"] == [{"name": "ping", "risk": "low", "title": ""}]


BAD: dict[str, tuple[Any, str]] = {
    "no type": ({}, "Object missing required field type"),
    "an odd type": ({"type": "a b"}, "type: "),
    "a line end": ({"type": "ping\n"}, "type: "),
    "no command": ({"type": "shell"}, "params.command: a text is needed"),
    "no service": ({"type": "service_restart", "params": {"service": 5}}, "params.service: a text is needed"),
    "a timeout": ({"type": "ping", "params": {"timeout": "soon"}}, "params.timeout: expected a number of seconds"),
    "an endless timeout": ({"type": "ping", "params": {"timeout": 10**400}}, "params.timeout: expected a number"),
    "a timeout of days": ({"type": "ping", "params": {"timeout": 86_401}}, "params.timeout: expected a number"),
    "a parameter that is none": (
        {"type": "shell", "params": {"a": "x" * 2100, "command": "true"}},
        "params.a: shell takes command and timeout",
    ),
    "params": ({"type": "ping", "params": [1]}, "params: expected object"),
    "many params": ({"type": "ping", "params": {"x": "y" * 70_000}}, "params: more than 64 KiB"),
    "another key": ({"type": "ping", "param": {}}, "object contains unknown field param"),
    "an expiry": ({"type": "ping", "expires": 0}, "expires: "),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_no_command_is_a_400_that_says_why(api: Api, ops: dict[str, str], case: str) -> None:
    body, reason = BAD[case]
    async with api.post(f"{WEB}/commands", json=body, headers=ops) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].lower().startswith(reason.lower())


async def test_managers_of_a_host_may_and_monitors_may_not(api: Api, agent: Agent, world: World) -> None:
    ann, bob = [{"X-Auth-Token": await world.session(name)} for name in ("ann", "bob")]
    await ask(api, ann)
    async with api.post(f"{WEB}/commands", json={"type": "ping"}, headers=bob) as answer:
        assert (answer.status, (await answer.json())["error"]) == (403, "You need to be manager of this host")
    async with api.post("/api/agents/web-2/commands", json={"type": "ping"}, headers=ann) as answer:
        assert answer.status == 403


async def test_what_has_a_high_risk_is_for_admins(api: Api, ops: dict[str, str], agent: Agent, world: World) -> None:
    agent.connect(Policy(commands=[OfferedCommand("wipe", "high"), OfferedCommand("clean", "low")]))
    root = {"X-Auth-Token": await world.session("root")}
    for type in ("reboot", "wipe", "unheard-of"):
        async with api.post(f"{WEB}/commands", json={"type": type}, headers=ops) as answer:
            assert (answer.status, (await answer.json())["error"]) == (403, "You need to be admin of this host")
        await ask(api, root, type)
    await ask(api, ops, "clean")


async def test_without_users_nothing_can_be_asked(api: Api, world: World) -> None:
    await world.enrol("web-1")
    for method, path in (("GET", "/policy"), ("GET", "/commands"), ("POST", "/commands")):
        async with api.request(method, WEB + path, json={"type": "ping"}) as answer:
            assert answer.status == 403
            assert (await answer.json())["error"].startswith("Remote control is off as long as there are no users")


async def test_s55_a_command_of_another_host_is_not_found(api: Api, ops: dict[str, str]) -> None:
    id = await ask(api, ops)
    for method, path in (("GET", ""), ("GET", "/stream"), ("DELETE", "")):
        async with api.request(method, f"/api/agents/web-2/commands/{id}{path}", headers=ops) as answer:
            assert answer.status == 404


async def test_s54_who_asked_for_what_is_in_the_audit_log(api: Api, ops: dict[str, str], world: World) -> None:
    id = await ask(api, ops)
    (newest,) = await world.store.audit.recent(1)
    assert (newest.user, newest.action, newest.object) == ("ops", "command.queue", "host web-1")
    assert newest.detail == f'{id} shell {{"command":"df -h","timeout":30}}'
