"""A daemon in hostile hands: what it can make an agent do is what the host's own config allows, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hbc.allow import Allow, NamedCommand
from hbc.commands.journal import Journal
from hbc.commands.kinds import KINDS
from hbc.commands.plan import Denied
from hbc.commands.runner import Runner
from hbc.config import load
from hbc.policy import Policy, policy_of

NOW = 1_750_000_000.0
DEADLINE = 20.0
EXAMPLE = Path(__file__).resolve().parents[2] / "hbc_example.yaml"


class Agent:
    """The part of an agent that obeys; sent: what it answered."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self.policy = policy
        self.sent: list[dict[str, Any]] = []
        self.journal = Journal(folder, "boot-1", lambda: NOW)
        self.journal.open()
        self.runner = Runner(policy, self.journal, self._send, wall=lambda: NOW, clock=lambda: 0.0)
        self.runner.linked(NOW)
        self._number = 0

    def _send(self, frame: Any) -> bool:
        self.sent.append(frame)
        return True

    async def ask(self, cmd: str, params: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Its result."""
        self._number += 1
        id = f"cmd_{self._number:012x}"
        self.runner.command({"id": id, "cmd": cmd, "params": params, "issued": NOW, "expires": NOW + 60, **more})
        async with asyncio.timeout(DEADLINE):
            while not (found := [each for each in self.sent if each["type"] == "result" and each["id"] == id]):
                await asyncio.sleep(0.002)
        return found[0]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Callable[[Policy], Agent]]:
    agents: list[Agent] = []

    def make(policy: Policy) -> Agent:
        agents.append(Agent(tmp_path, policy))
        return agents[-1]

    yield make
    for made in agents:
        await made.runner.close()
        made.journal.close()


def example(tmp_path: Path) -> Policy:
    """The policy of the config that is shipped."""
    file = tmp_path / "hbc.yaml"
    file.write_bytes(EXAMPLE.read_bytes())
    file.chmod(0o600)
    return policy_of(load(file), tmp_path / "state", tmp_path / "state" / "spool")


PARAMS = {"command": "true", "service": "nginx", "path": "/etc/passwd", "unit": "nginx"}


async def test_s51_what_is_shipped_allows_nothing(tmp_path: Path, agent: Callable[[Policy], Agent]) -> None:
    policy = example(tmp_path)
    made = agent(policy)
    for cmd in KINDS:
        result = await made.ask(cmd, PARAMS)
        assert result["status"] == "rejected" and result["reason"].startswith("disabled by local policy: "), cmd
    asks = (lambda: policy.log_unit("nginx"), lambda: policy.log_path("/var/log/x"), lambda: policy.file("/etc/motd"))
    for ask in asks:
        with pytest.raises(Denied, match="disabled by local policy"):
            ask()


WIDENING: list[dict[str, Any]] = [
    {"allow": {"commands": ["shell"]}},
    {"policy": {"commands": [{"name": "shell", "risk": "low"}]}},
    {"allowed": True, "force": True, "risk": "low", "by": "root"},
]


@pytest.mark.parametrize("more", WIDENING)
async def test_s51_nothing_in_a_frame_widens_what_is_allowed(
    tmp_path: Path, agent: Callable[[Policy], Agent], more: dict[str, Any]
) -> None:
    made = agent(Policy(Allow(commands=("ping",))))
    canary = tmp_path / "canary"
    before = json.dumps(made.policy.summary())
    result = await made.ask("shell", {"command": f"touch {canary}", **more}, **more)
    assert result["status"] == "rejected" and not canary.exists()
    assert json.dumps(made.policy.summary()) == before


async def test_s51_a_name_of_a_command_is_no_path_and_no_attribute(agent: Callable[[Policy], Agent]) -> None:
    made = agent(Policy(Allow(commands=tuple(KINDS))))
    for cmd in ("", "/bin/sh", "../shell", "__class__", "shell ", "SHELL", "ping\n", "shell\0", "x" * 10_000):
        result = await made.ask(cmd, PARAMS)
        assert result["status"] == "rejected", cmd
        assert len(result["reason"]) < 200 and len(result["cmd"]) <= 64


HOSTILE = [
    "; touch {}",
    "| touch {}",
    "& touch {}",
    "$(touch {})",
    "`touch {}`",
    "\ntouch {}\n",
    "' ; touch {} ; '",
    '" ; touch {} ; "',
    "-oProxyCommand=touch {}",
    "--property=ExecStart=touch {}",
    "nginx.service; touch {}",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_s52_shell_characters_reach_no_shell(tmp_path: Path, agent: Callable[[Policy], Agent], text: str) -> None:
    canary = tmp_path / "canary"
    hostile = text.format(canary)
    allow = Allow(
        commands=("shell", "service_status", "service_restart"),
        programs=("/bin/echo",),
        run={"say": NamedCommand(("/bin/echo", hostile))},
    )
    made = agent(Policy(allow))
    await made.ask("shell", {"command": f"/bin/echo {hostile}"})
    await made.ask("shell", {"command": hostile})
    for cmd in ("service_status", "service_restart"):
        assert (await made.ask(cmd, {"service": hostile}))["status"] == "rejected"
    assert (await made.ask("say", {}))["stdout"] == f"{hostile}\n"
    await made.ask("say", {"args": hostile})
    assert not canary.exists()


ODD: list[Any] = [None, True, 7, 1e308, [], {}, ["a"], {"a": {"b": "c"}}, "\ud800", "\0", "x" * 100_000]


@pytest.mark.parametrize("name", ["command", "service", "timeout"])
async def test_s51_odd_parameters_are_refused_with_a_reason(agent: Callable[[Policy], Agent], name: str) -> None:
    made = agent(Policy(Allow(commands=tuple(kind for kind in KINDS if kind != "reboot"), programs=("/bin/true",))))
    for cmd in ("shell", "service_status"):
        for odd in ODD:
            result = await made.ask(cmd, {"command": "/bin/true", "service": "nginx", name: odd})
            assert result["status"] in ("rejected", "done", "failed"), odd
            assert result["status"] != "rejected" or 0 < len(result["reason"]) <= 1000


async def test_s49_a_flood_of_one_command_runs_it_once(tmp_path: Path, agent: Callable[[Policy], Agent]) -> None:
    made = agent(Policy(Allow(commands=("shell",))))
    frame = {
        "id": "cmd_aaaaaaaaaaaa",
        "cmd": "shell",
        "params": {"command": f"echo x >> {tmp_path}/runs"},
        "issued": NOW,
        "expires": NOW + 60,
    }
    for _ in range(500):
        made.runner.command(frame)
    async with asyncio.timeout(DEADLINE):
        while not any(each["type"] == "result" for each in made.sent):
            made.runner.command(frame)
            await asyncio.sleep(0)
    assert (tmp_path / "runs").read_text() == "x\n"
