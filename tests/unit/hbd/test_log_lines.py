from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hbd.errors import AgentFailed, Forbidden
from hbd.remote import log_lines
from hbd.remote.log_lines import Line, LogEvent, LogLines, Notice, Skipped
from hbd.remote.streams import refuse


class Agent:
    """Says what the test puts into it, and then ends its connection."""

    def __init__(self, *said: Any) -> None:
        self._said = list(said)

    async def hear(self, seconds: float = 0) -> Any:
        if not self._said:
            raise AgentFailed("The agent's connection has ended")
        following = self._said.pop(0)
        if isinstance(following, tuple):
            refuse(*following)
        return following


def log(*events: Any) -> dict[str, Any]:
    return {"type": "log", "events": list(events)}


async def heard(*said: Any) -> list[LogEvent]:
    lines = LogLines(Agent(*said))  # type: ignore[arg-type]
    await lines.fill()
    return [event async for events in lines for event in events]


async def test_lines_come_in_their_order() -> None:
    said = log(["line", "1-2", "a"], ["skipped", "1-9", None, 7], ["notice", "rotated", "x"]), {"type": "alive"}
    assert await heard(*said, log(["line", "", "b"]), {"type": "end"}) == [
        Line("1-2", "a"),
        Skipped("1-9", None, 7),
        Notice("rotated", "x"),
        Line("", "b"),
    ]


async def test_what_waits_is_read_before_it_is_told_that_the_agent_has_gone() -> None:
    lines = LogLines(Agent(log(["line", "", "a"])))  # type: ignore[arg-type]
    await lines.fill()
    assert await anext(lines) == [Line("", "a")]
    with pytest.raises(AgentFailed):
        await anext(lines)


async def test_a_refusal_in_the_middle_is_told_as_what_it_is() -> None:
    with pytest.raises(Forbidden, match="a link leads out"):
        await heard(("denied", "a link leads out"))


@pytest.mark.parametrize(
    "said",
    [
        b"bytes",
        log(["line", "1"]),
        log(["line", "a\nb", "x"]),
        log(["other", "1", "2"]),
        log("text"),
        {"type": "log"},
        log(["skipped", "", "many", 1]),
    ],
)
async def test_an_agent_that_talks_nonsense_is_given_up(said: Any) -> None:
    with pytest.raises(AgentFailed):
        await heard(said)


async def test_f45_a_reader_who_is_slow_gets_the_newest_and_the_number_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_lines, "WAITING_EVENTS", 10)
    lines = [["line", f"1-{number}", "xxxx"] for number in range(90)]
    events = await heard(log(*lines[:50], ["skipped", "1-50", 7, 70]), log(*lines[50:]), {"type": "end"})
    assert events[0] == Skipped("1-79", 87, 80 * 4 + 70)
    assert [event.position for event in events[1:] if isinstance(event, Line)] == [f"1-{n}" for n in range(80, 90)]


async def test_f45_what_was_not_counted_stays_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "WAITING_EVENTS", 1)
    events = await heard(log(["skipped", "", None, 70], ["line", "", "a"], ["line", "", "b"]), {"type": "end"})
    assert events == [Skipped("", None, 71), Line("", "b")]


async def test_f45_memory_is_bounded_by_characters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "WAITING_CHARACTERS", 1_000)
    events = await heard(log(*(["line", "", "x" * 400] for _ in range(9))), {"type": "end"})
    assert events == [Skipped("", 7, 2_800), Line("", "x" * 400), Line("", "x" * 400)]


async def test_a_reader_waits_for_what_comes() -> None:
    lines = LogLines(Agent())  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    lines.put([Line("", "a")])
    assert await waiting == [Line("", "a")]
