"""Commands from the daemon: run once, or refused, and always answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hbc.allow import Allow, Limits, NamedCommand
from hbc.commands import program
from hbc.commands.journal import UNKNOWN, Journal
from hbc.commands.runner import Runner
from hbc.commands.works import Afterwards, Failed, SayText
from hbc.policy import Policy

NOW = 1_750_000_000.0
A, B = "cmd_aaaaaaaaaaaa", "cmd_bbbbbbbbbbbb"
DEADLINE = 20.0
ALLOW = Allow(commands=("ping", "shell", "process_list"))


class Agent:
    """A runner on a real record, and what it has sent. lines: how often ``count`` ran."""

    def __init__(self, folder: Path, allow: Allow = ALLOW, **options: Any) -> None:
        self.folder = folder
        self.sent: list[dict[str, Any]] = []
        self.up = True
        self.journal = Journal(folder, "boot-1", lambda: NOW)
        self.journal.open()
        self.now = 0.0
        self.runner = Runner(
            Policy(allow), self.journal, self._send, wall=lambda: NOW, clock=lambda: self.now, **options
        )
        self.runner.linked(NOW)

    def _send(self, frame: Any) -> bool:
        if self.up:
            self.sent.append(frame)
        return self.up

    def ask(self, id: str = A, cmd: str = "shell", *, age: float = 0.0, expires: float = 60.0, **params: Any) -> None:
        self.runner.command(
            {"id": id, "cmd": cmd, "params": params, "issued": NOW - age, "expires": NOW - age + expires}
        )

    def count(self, id: str = A, **options: Any) -> None:
        self.ask(id, command=f"echo x >> {self.folder}/runs", **options)

    @property
    def runs(self) -> int:
        file = self.folder / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    async def result(self, id: str = A, number: int = 1) -> dict[str, Any]:
        """The n-th result of a command, when it comes."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = [frame for frame in self.sent if frame["type"] == "result" and frame["id"] == id]
                if len(found) >= number:
                    return found[number - 1]
                await asyncio.sleep(0.005)

    async def begun(self, id: str = A) -> None:
        async with asyncio.timeout(DEADLINE):
            while {"type": "started", "id": id} not in self.sent:
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        await self.runner.close()
        self.journal.close()


Start = Callable[..., Agent]


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(program, "TERM_SECONDS", 0.2)
    agents: list[Agent] = []

    def make(allow: Allow = ALLOW, **options: Any) -> Agent:
        agents.append(Agent(tmp_path, allow, **options))
        return agents[-1]

    yield make
    for agent in agents:
        await agent.end()


async def test_a_welcome_is_answered_with_what_may_be_done(start: Start) -> None:
    agent = start()
    (offers,) = agent.sent
    assert (offers["type"], offers["journal"], offers["policy"]["user"]) == ("offers", agent.journal.id, "")


async def test_a_command_is_run_and_answered(start: Start) -> None:
    agent = start()
    agent.ask(command="echo hello; exit 3")
    result = await agent.result()
    assert [frame["type"] for frame in agent.sent] == ["offers", "started", "output", "result"]
    assert (result["status"], result["exit_code"], result["stdout"], result["truncated"]) == (
        "failed",
        3,
        "hello\n",
        False,
    )
    assert result["cmd"] == "shell" and result["started"] == result["finished"] == NOW


async def test_a_ping_is_answered_without_a_program(start: Start) -> None:
    agent = start()
    agent.ask(cmd="ping")
    assert ((await agent.result())["status"], (await agent.result())["stdout"]) == ("done", "pong\n")


async def test_the_processes_are_listed(start: Start) -> None:
    agent = start()
    agent.ask(cmd="process_list")
    assert (await agent.result())["stdout"].split()[:3] == ["PID", "USER", "S"]


async def test_f47_a_command_that_comes_again_is_not_run_again(start: Start) -> None:
    agent = start()
    agent.count()
    first = await agent.result()
    for number in (2, 3):
        agent.count()
        assert await agent.result(number=number) == first
    assert agent.runs == 1


async def test_f47_a_command_that_comes_again_while_it_runs_is_not_run_again(start: Start) -> None:
    agent = start()
    agent.ask(command=f"echo x >> {agent.folder}/runs; sleep 0.2")
    agent.count()
    await agent.begun()
    agent.count()
    await agent.result()
    assert agent.runs == 1


async def test_f47_an_outcome_that_nobody_heard_is_told_when_asked_again(start: Start) -> None:
    agent = start()
    agent.up = False
    agent.count()
    async with asyncio.timeout(DEADLINE):
        while A not in agent.journal or await agent.journal.result(A) is None:
            await asyncio.sleep(0.005)
    agent.up = True
    agent.count()
    assert (await agent.result())["status"] == "done"
    assert agent.runs == 1


async def test_s49_a_command_that_is_replayed_after_a_restart_is_not_run_again(start: Start) -> None:
    agent = start()
    agent.count()
    await agent.result()
    await agent.end()
    again = start()
    again.count()
    assert (await again.result())["status"] == "done"
    assert again.runs == 1


async def test_f47_what_ran_when_the_agent_was_killed_is_not_run_again(start: Start) -> None:
    agent = start()
    await agent.journal.begin(A, "shell", NOW)
    agent.journal.close()
    again = start()
    again.count()
    result = await again.result()
    assert (result["status"], result["reason"], again.runs) == ("failed", UNKNOWN, 0)


@pytest.mark.parametrize(
    ("age", "expires", "reason"),
    [
        (25 * 3600.0, 1e9, "it was not issued within the last 24 h by the daemon's clock"),
        (-25 * 3600.0, 60.0, "it was not issued within the last 24 h by the daemon's clock"),
        (60.0, 60.0, "it had expired before it could begin"),
    ],
)
async def test_s49_an_old_command_is_refused(start: Start, age: float, expires: float, reason: str) -> None:
    agent = start()
    agent.count(age=age, expires=expires)
    result = await agent.result()
    assert (result["status"], result["reason"], agent.runs) == ("rejected", reason, 0)


async def test_s49_a_command_older_than_what_is_remembered_is_refused(start: Start) -> None:
    agent = start()
    agent.journal.forgotten = NOW - 10
    agent.count(age=10.0)
    assert "older than what this host's record" in (await agent.result())["reason"]
    assert agent.runs == 0


async def test_the_time_is_the_daemons(start: Start) -> None:
    agent = start()
    agent.runner.linked(NOW + 7200)
    agent.count(age=-7200.0)
    assert (await agent.result())["status"] == "done"


async def test_the_time_is_what_the_daemon_says_last(start: Start) -> None:
    agent = start()
    ahead = NOW + 30 * 86_400
    agent.runner.command(
        {"id": A, "cmd": "ping", "params": {}, "issued": ahead - 5, "expires": ahead + 60, "time": ahead}
    )
    assert (await agent.result())["status"] == "done"


async def test_a_record_that_the_daemons_clock_ran_ahead_of_begins_anew(start: Start) -> None:
    agent = start()
    before, agent.journal.forgotten = agent.journal.id, NOW + 10 * 365 * 86_400
    agent.count(A)
    assert (await agent.result(A))["reason"].endswith(
        "was set back since this host's record of commands began; restart hbc there"
    )
    agent.runner.linked(NOW)
    async with asyncio.timeout(DEADLINE):
        while agent.sent[-1]["type"] != "offers":
            await asyncio.sleep(0.005)
    assert agent.sent[-1]["journal"] == agent.journal.id != before
    agent.now += 1.0
    agent.count(B, age=-1.0)
    assert ((await agent.result(B))["status"], agent.runs) == ("done", 1)


async def test_without_the_daemons_time_the_record_stays(start: Start) -> None:
    agent = start()
    before, agent.journal.forgotten = agent.journal.id, NOW
    agent.runner.linked(None)
    assert agent.sent[-1]["journal"] == agent.journal.id == before


@pytest.mark.parametrize("timeout", [10**400, -(10**400)])
async def test_a_timeout_beyond_all_numbers_is_refused(start: Start, timeout: int) -> None:
    agent = start()
    agent.ask(cmd="ping", timeout=timeout)
    result = await agent.result()
    assert result["status"] == "rejected" and result["reason"].startswith("timeout: ")


async def test_what_goes_wrong_before_a_command_begins_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = start()

    def fails(*_: Any) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(Policy, "command", fails)
    agent.ask(cmd="ping")
    result = await agent.result()
    assert (result["status"], result["reason"]) == ("rejected", "unexpected: OverflowError('too large')")
    assert not agent.runner._jobs


async def test_processes_cannot_write_what_a_terminal_obeys(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbc.plugins.processes.ProcTable.name", lambda *_: "a\x1b[2Jb\n\u202ec\udc9b")
    agent = start()
    agent.ask(cmd="process_list")
    stdout = (await agent.result())["stdout"]
    assert "a\\u001b[2Jb\\u000a\\u202ec\\udc9b" in stdout and stdout.replace("\n", "").isprintable()


async def test_s51_what_the_policy_denies_is_refused_with_its_reason(start: Start) -> None:
    agent = start(Allow())
    agent.count()
    result = await agent.result()
    assert result["reason"] == "disabled by local policy: shell is not in this host's allow.commands"
    assert (result["status"], agent.runs) == ("rejected", 0)


async def test_s51_what_was_refused_once_stays_refused(start: Start) -> None:
    agent = start(Allow())
    agent.count()
    await agent.result()
    await agent.end()
    widened = start()
    widened.count()
    assert (await widened.result())["status"] == "rejected"
    assert widened.runs == 0


async def test_s52_a_command_of_the_hosts_own_has_no_shell(start: Start) -> None:
    allow = Allow(run={"say": NamedCommand(("/bin/echo", "$(id)", "; touch x"))})
    agent = start(allow)
    agent.ask(cmd="say")
    assert (await agent.result())["stdout"] == "$(id) ; touch x\n"


async def test_f48_a_command_that_takes_too_long_is_ended(start: Start) -> None:
    agent = start()
    agent.ask(command="echo begun; sleep 1000", timeout=0.2)
    result = await agent.result()
    assert (result["status"], result["exit_code"], result["stdout"]) == ("timeout", None, "begun\n")


async def test_f48_a_result_fits_into_a_frame_whatever_was_written(start: Start) -> None:
    agent = start(Allow(commands=("shell",), limits=Limits(output_kb=256)))
    agent.ask(command="head -c 400000 /dev/zero; head -c 400000 /dev/zero >&2")
    result = await agent.result()
    assert result["truncated"] and 0 < len(result["stdout"]) < 262_144


async def test_only_so_many_run_at_a_time(start: Start) -> None:
    agent = start(Allow(commands=("shell",), limits=Limits(parallel=1)))
    agent.ask(A, command="sleep 0.2")
    agent.count(B)
    await agent.result(B)
    kinds = [(frame["type"], frame["id"]) for frame in agent.sent if frame["type"] in ("started", "result")]
    assert kinds == [("started", A), ("result", A), ("started", B), ("result", B)]


async def test_more_than_can_wait_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbc.commands.runner.MOST_WAITING", 0)
    agent = start(Allow(commands=("shell",), limits=Limits(parallel=1)))
    agent.ask(A, command="sleep 0.2")
    agent.count(B)
    assert (await agent.result(B))["reason"] == "too many commands wait on this host"


async def test_a_running_command_can_be_cancelled(start: Start) -> None:
    agent = start()
    agent.ask(command="sleep 1000")
    await agent.begun()
    agent.runner.cancel({"id": A, "by": "alice"})
    result = await agent.result()
    assert (result["status"], result["reason"]) == ("failed", "cancelled by alice")


async def test_a_waiting_command_that_is_cancelled_never_runs(start: Start) -> None:
    agent = start(Allow(commands=("shell",), limits=Limits(parallel=1)))
    agent.ask(A, command="sleep 1000")
    await agent.begun(A)
    agent.count(B)
    agent.runner.cancel({"id": B, "by": "alice"})
    result = await agent.result(B)
    assert (result["status"], result["reason"], agent.runs) == ("rejected", "cancelled by alice", 0)


async def test_a_command_that_was_cancelled_before_it_came_never_runs(start: Start) -> None:
    agent = start()
    agent.runner.cancel({"id": A, "by": "alice"})
    agent.count()
    assert (await agent.result())["reason"] == "cancelled by alice"
    agent.count()
    assert (await agent.result(number=2))["status"] == "rejected"
    assert agent.runs == 0


async def test_what_is_over_is_not_cancelled_but_told_again(start: Start) -> None:
    agent = start()
    agent.count()
    await agent.result()
    agent.runner.cancel({"id": A, "by": "alice"})
    assert (await agent.result(number=2))["status"] == "done"


async def test_nothing_runs_that_cannot_be_written_down(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = start()

    async def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agent.journal, "begin", full)
    agent.count()
    result = await agent.result()
    assert result["reason"] == "this host cannot write down what it runs: No space left on device"
    assert (result["status"], agent.runs) == ("rejected", 0)


async def test_the_end_of_the_agent_ends_its_commands(start: Start) -> None:
    agent = start()
    agent.ask(command="sleep 1000")
    await agent.begun()
    await agent.runner.close()
    result = await agent.result()
    assert (result["status"], result["reason"]) == ("failed", "the agent was stopped while this ran")


async def test_what_had_not_begun_is_left_to_the_next_start(start: Start) -> None:
    agent = start(Allow(commands=("shell",), limits=Limits(parallel=1)))
    agent.ask(A, command="sleep 1000")
    await agent.begun(A)
    agent.count(B)
    await agent.end()
    again = start()
    again.count(B)
    assert (await again.result(B))["status"] == "done"


async def test_what_the_agent_does_itself_can_fail_and_can_have_an_afterwards(start: Start) -> None:
    after = asyncio.Event()

    async def work(params: Mapping[str, Any], say: SayText) -> Afterwards:
        say("looking\n")
        if "bad" in params:
            raise Failed("the digest is wrong")
        return after.set

    agent = start(works={"ping": work})
    agent.ask(A, "ping", bad=1)
    result = await agent.result(A)
    assert (result["status"], result["stdout"], result["reason"]) == ("failed", "looking\n", "the digest is wrong")
    assert not after.is_set()
    agent.ask(B, "ping")
    assert (await agent.result(B))["status"] == "done"
    await asyncio.wait_for(after.wait(), DEADLINE)


async def test_what_the_agent_does_itself_ends_in_time_too(start: Start) -> None:
    async def work(params: Mapping[str, Any], say: SayText) -> Afterwards:
        await asyncio.sleep(1000)
        return None

    agent = start(works={"ping": work})
    agent.ask(cmd="ping", timeout=0.05)
    assert (await agent.result())["status"] == "timeout"


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"id": "x", "cmd": "ping", "params": {}},
        {"id": f"{A}\n", "cmd": "ping", "params": {}, "issued": NOW, "expires": NOW},
        {"id": A, "cmd": "ping", "params": [], "issued": NOW, "expires": NOW},
        {"id": A, "cmd": "ping", "params": {}, "issued": "now", "expires": NOW},
        {"id": A, "cmd": "ping", "params": {}, "issued": float("nan"), "expires": NOW},
        {"id": A, "cmd": "ping", "params": {}, "issued": 10**400, "expires": NOW},
        {"id": A, "cmd": "ping", "params": {}, "issued": NOW, "expires": NOW, "time": "now"},
    ],
)
async def test_what_is_no_command_is_passed_over(start: Start, frame: dict[str, Any]) -> None:
    agent = start()
    with pytest.raises(ValueError, match=r"command|id"):
        agent.runner.command(frame)
    assert len(agent.sent) == 1
