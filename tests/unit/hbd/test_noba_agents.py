"""NOBA-style agents: how often they are expected, and how they get commands and answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.model import Moment, Sample
from hbd.pipeline import Pipeline, Source
from hbd.receivers.doors import Doors, SwitchedOff, TooEarly
from hbd.receivers.fields import Problems
from hbd.receivers.noba_agents import (
    IN_ONE_REPLY,
    INTERVAL_SECONDS,
    LONGEST_INTERVAL,
    MAX_SENT,
    SILENCE_SECONDS,
    NobaAgents,
)
from hbd.receivers.rates import Rates
from hbd.remote.frames import Frame, Output, Result
from hbd.rings import Rings

HERE = Source(None, None)
GRACE = 3.0


def frame(number: int, kind: str = "shell") -> Frame:
    return {"type": "command", "id": f"cmd_{number:012x}", "cmd": kind, "params": {"n": number}, "expires": 2e9}


def unknown(number: int, kind: str = "shell") -> dict[str, Any]:
    return {"id": f"cmd_{number:012x}", "type": kind, "status": "error", "error": f"Unknown command: {kind}"}


class Desk:
    """What is queued, and what was answered."""

    def __init__(self) -> None:
        self.queued: list[Frame] = []
        self.results: list[Result] = []
        self.outputs: list[Output] = []

    def attach(self, host: Host, channel: object, offered: object) -> None:
        raise AssertionError("nobody holds a socket here")

    def detach(self, host: Host, channel: object) -> None:
        raise AssertionError("nobody holds a socket here")

    async def take(self, host: Host, offered: object) -> Sequence[Frame]:
        taken, self.queued = self.queued, []
        return taken

    def output(self, host: Host, frame: Output) -> None:
        self.outputs.append(frame)

    def answered(self, host: Host, frame: Result) -> None:
        self.results.append(frame)


class TakingDoors:
    """The way into the pipeline, which ends here. full: whether the disk takes nothing. early: whether nothing may
    come yet. expected: seconds until the next report, as was said before a restart."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.full = False
        self.early = False
        self.expected: float | None = None
        self.intervals: list[float | None] = []
        self.samples: list[Sample] = []

    def admit(self, host: Host, now: Moment) -> None:
        if self.early:
            raise TooEarly("too early", 10.0)

    async def take(
        self,
        host: Host,
        samples: Sequence[Sample],
        now: Moment,
        *,
        source: Source,
        interval: float | None,
        problems: Problems | None = None,
    ) -> None:
        if self.full:
            raise StorageError("no space left")
        self.intervals.append(interval)
        self.expected = interval
        self.samples += samples

    def interval_of(self, host: Host, silence: float) -> float:
        return self.expected or silence / GRACE


class Channel:
    def __init__(self, agents: NobaAgents, host: Host) -> None:
        self._agents, self._host = agents, host
        self.open = True
        self.sent: list[Frame] = []

    def send(self, command: Frame) -> bool:
        if self.open:
            self.sent.append(self._agents.worded(self._host, command))
        return self.open


class Scene:
    def __init__(self) -> None:
        self.desk, self.doors = Desk(), TakingDoors()
        self.host = Host(1, "web", "agent_000000000001")
        self.agents = NobaAgents(cast(Doors, self.doors), cast(Pipeline, None), Rings(), self.desk)
        self.at = 0.0

    async def report(self, body: object = None, *, after: float = 30.0) -> dict[str, Any]:
        self.at += after
        now = Moment(1_750_000_000.0 + self.at, self.at)
        return await self.agents.report(self.host, {} if body is None else body, HERE, now)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ---------------------------------------------------------------------------------------------------------------- pace


async def test_a_new_agent_is_waited_for_until_its_pace_is_known(scene: Scene) -> None:
    for _ in range(4):
        await scene.report()
    assert scene.doors.intervals == [SILENCE_SECONDS / GRACE] * 3 + [INTERVAL_SECONDS]


async def test_a_slow_agent_is_waited_for_from_its_second_report_on(scene: Scene) -> None:
    for _ in range(3):
        await scene.report(after=300)
    assert scene.doors.intervals == [SILENCE_SECONDS / GRACE, 300, 300]


async def test_the_pace_of_an_agent_outlives_a_restart(scene: Scene) -> None:
    scene.doors.expected = 600.0
    await scene.report()
    assert scene.doors.intervals == [600.0]


async def test_an_agent_with_a_slower_pace_is_expected_at_that(scene: Scene) -> None:
    for _ in range(4):
        await scene.report(after=300)
    assert scene.doors.intervals[-1] == 300


async def test_a_pause_does_not_change_the_pace(scene: Scene) -> None:
    for gap in (30, 30, 30, 30, 7200, 30):
        await scene.report(after=gap)
    assert set(scene.doors.intervals[3:]) == {INTERVAL_SECONDS}


async def test_a_burst_does_not_change_the_pace(scene: Scene) -> None:
    for _ in range(10):
        await scene.report(after=2)
    assert set(scene.doors.intervals[3:]) == {INTERVAL_SECONDS}


async def test_an_agent_that_hardly_ever_reports_is_not_waited_for_all_day(scene: Scene) -> None:
    for _ in range(5):
        await scene.report(after=86_400)
    assert scene.doors.intervals[-1] == LONGEST_INTERVAL


# ------------------------------------------------------------------------------------------------------------ commands


async def test_queued_commands_are_in_the_reply(scene: Scene) -> None:
    scene.desk.queued = [frame(1, "ping")]
    answer = await scene.report()
    assert answer == {"status": "ok", "commands": [{"id": "cmd_000000000001", "type": "ping", "params": {"n": 1}}]}


async def test_what_an_agent_would_pass_over_waits_for_the_next_reply(scene: Scene) -> None:
    scene.desk.queued = [frame(number) for number in range(IN_ONE_REPLY + 5)]
    first, second = (await scene.report())["commands"], (await scene.report())["commands"]
    assert [len(first), len(second)] == [IN_ONE_REPLY, 5]


async def test_what_has_expired_meanwhile_is_not_sent_any_more(scene: Scene) -> None:
    scene.agents.keep(scene.host, frame(1) | {"expires": 1_750_000_001.0})
    assert (await scene.report(after=30))["commands"] == []


async def test_results_and_output_in_a_report_are_passed_on(scene: Scene) -> None:
    done = {"id": "cmd_000000000001", "type": "ping", "status": "ok", "pong": 1}
    await scene.report({"_cmd_results": [done], "_stream_data": {"cmd_000000000002": ["a line"]}})
    assert [(result.id, result.status) for result in scene.desk.results] == [("cmd_000000000001", "done")]
    assert [output.text for output in scene.desk.outputs] == ["a line\n"]


async def test_results_are_passed_on_although_the_disk_is_full(scene: Scene) -> None:
    scene.doors.full = True
    with pytest.raises(StorageError):
        await scene.report({"_cmd_results": [{"id": "cmd_000000000001", "status": "ok"}]})
    assert [result.id for result in scene.desk.results] == ["cmd_000000000001"]


async def test_results_are_passed_on_although_the_report_comes_too_early(scene: Scene) -> None:
    scene.doors.early = True
    with pytest.raises(TooEarly):
        await scene.report({"_cmd_results": [{"id": "cmd_000000000001", "status": "ok"}]})
    assert [result.id for result in scene.desk.results] == ["cmd_000000000001"]


async def test_a_host_that_is_switched_off_says_nothing(scene: Scene) -> None:
    scene.host.enabled = False
    with pytest.raises(SwitchedOff):
        await scene.report({"_cmd_results": [{"id": "cmd_000000000001", "status": "ok"}]})
    assert scene.desk.results == []


async def test_commands_are_not_taken_by_a_report_that_was_not_stored(scene: Scene) -> None:
    scene.doors.full, scene.desk.queued = True, [frame(1)]
    with pytest.raises(StorageError):
        await scene.report()
    assert scene.desk.queued == [frame(1)]


async def test_an_agent_that_does_not_know_our_name_gets_its_own(scene: Scene) -> None:
    scene.desk.queued = [frame(1)]
    await scene.report()
    again = (await scene.report({"_cmd_results": [unknown(1)]}))["commands"]
    assert again == [{"id": "cmd_000000000001", "type": "exec", "params": {"n": 1}}]
    assert scene.desk.results == []


async def test_an_agent_is_called_by_its_own_names_from_then_on(scene: Scene) -> None:
    scene.desk.queued = [frame(1)]
    await scene.report()
    await scene.report({"_cmd_results": [unknown(1)]})
    scene.desk.queued = [frame(2)]
    assert [command["type"] for command in (await scene.report())["commands"]] == ["exec"]


async def test_a_command_that_is_known_under_no_name_ends_rejected(scene: Scene) -> None:
    scene.desk.queued = [frame(1)]
    await scene.report()
    await scene.report({"_cmd_results": [unknown(1)]})
    await scene.report({"_cmd_results": [unknown(1, "exec")]})
    assert [(result.status, result.reason) for result in scene.desk.results] == [("rejected", "Unknown command: exec")]


async def test_a_command_with_one_name_ends_rejected_at_once(scene: Scene) -> None:
    scene.desk.queued = [frame(1, "backup")]
    await scene.report()
    await scene.report({"_cmd_results": [unknown(1, "backup")]})
    assert [result.status for result in scene.desk.results] == ["rejected"]


async def test_on_a_socket_the_other_name_goes_out_at_once(scene: Scene) -> None:
    channel = Channel(scene.agents, scene.host)
    assert channel.send(frame(1))
    scene.agents.heard(scene.host, {"type": "result", "cmd": "shell"} | unknown(1) | {"type": "result"}, channel)
    assert [command["cmd"] for command in channel.sent] == ["shell", "exec"]
    assert scene.desk.results == []


async def test_with_the_socket_gone_the_other_name_goes_into_the_next_reply(scene: Scene) -> None:
    channel = Channel(scene.agents, scene.host)
    channel.send(frame(1))
    channel.open = False
    scene.agents.heard(scene.host, unknown(1) | {"type": "result"}, channel)
    assert [command["type"] for command in (await scene.report())["commands"]] == ["exec"]


async def test_the_oldest_agents_answer_with_the_name_of_the_command_as_type(scene: Scene) -> None:
    channel = Channel(scene.agents, scene.host)
    channel.send(frame(1, "ping"))
    scene.agents.heard(scene.host, {"type": "ping", "id": "cmd_000000000001", "status": "ok"}, channel)
    assert [result.status for result in scene.desk.results] == ["done"]


@pytest.mark.parametrize(
    "message", [{}, {"type": "pty_output", "id": []}, {"type": "result"}, {"type": None, "id": "x"}]
)
async def test_what_is_of_no_known_type_is_passed_over(scene: Scene, message: dict[str, Any]) -> None:
    scene.agents.heard(scene.host, message, Channel(scene.agents, scene.host))
    assert (scene.desk.results, scene.desk.outputs) == ([], [])


async def test_what_is_remembered_of_commands_has_a_limit(scene: Scene) -> None:
    channel = Channel(scene.agents, scene.host)
    for number in range(MAX_SENT + 1):
        channel.send(frame(number))
    scene.agents.heard(scene.host, unknown(0) | {"type": "result"}, channel)  # the oldest: no longer known as ours
    assert [result.status for result in scene.desk.results] == ["rejected"]


async def test_nothing_is_left_of_a_host_that_is_gone(scene: Scene) -> None:
    scene.desk.queued = [frame(number) for number in range(IN_ONE_REPLY + 1)]
    await scene.report()
    scene.agents.forget(scene.host)
    assert (await scene.report())["commands"] == []


async def test_what_was_left_out_is_named_in_the_answer(scene: Scene) -> None:
    answer = await scene.report({"cpu_percent": "much", "mem_percent": 40})
    assert answer["rejected"] == {"cpu_percent": "must be a number"}
    assert [sample.plugin for sample in scene.doors.samples] == ["memory_monitor"]
