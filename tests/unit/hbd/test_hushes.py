"""What holds back which alert, by silences, windows and acknowledgements in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.alert_state import AlertEvent
from hbd.hosts import Host
from hbd.hushes import Ack, Held, Hushes, MaintenanceWindow, Silence
from hbd.matching import Matcher
from hbd.model import Level
from hbd.schedule import Window, WindowTexts

NOW = datetime(2026, 1, 14, 22, tzinfo=UTC).timestamp()
CPU = "cpu_monitor.cpu_percent"
WEB = Host(1, "web1", "agent_000000000001")
DB = Host(2, "Db1", "agent_000000000002")


def silence(number: int = 1, *, starts: float = 0.0, ends: float = 3600.0, **about: tuple[str, ...]) -> Silence:
    """starts, ends: seconds from now."""
    return Silence(
        id=number,
        matcher=Matcher(**(about or {"hosts": ("web1",)})),  # type: ignore[arg-type]
        reason="new disks",
        author="alice",
        created=NOW,
        starts=NOW + starts,
        ends=NOW + ends,
    )


def window(number: int | None = 7, *, hours: float = 2, repeat: str = "daily", host: str = "web1") -> MaintenanceWindow:
    return MaintenanceWindow(
        id=number,
        name="backup",
        matcher=Matcher(hosts=(host,)),
        window=Window.read(WindowTexts("2026-01-14T22:00", hours * 3600, "UTC", repeat, (), None)),
        author="bob" if number else "",
        source="api" if number else "config",
    )


def ack(level: Level = Level.WARNING, problem: str = "p1") -> Ack:
    return Ack(problem=problem, host_id=WEB.id, path=CPU, level=level, user="carol", note="mine", time=NOW)


def event(after: Level, flapping: str = "") -> AlertEvent:
    return AlertEvent("p1-2", "p1", WEB.id, CPU, Level.WARNING, after, NOW, 95.0, "CPU", flapping)  # type: ignore[arg-type]


def hushes(*silences: Silence) -> Hushes:
    made = Hushes()
    made.put_silences(silences, NOW)
    return made


def held(
    found: Hushes, *, host: Host = WEB, path: str = CPU, level: Level = Level.WARNING, after: float = 0
) -> Held | None:
    return found.held(host, path, level, "p1", NOW + after)


# ------------------------------------------------------------------------------------------------------------ silences


def test_nothing_holds_what_nobody_spoke_of() -> None:
    assert held(Hushes()) is None


def test_a_silence_says_who_until_when_and_why() -> None:
    assert held(hushes(silence())) == Held("silence", 1, "alice", NOW + 3600, "new disks")


def test_a_silence_holds_from_its_start_up_to_its_end() -> None:
    found = hushes(silence(starts=60, ends=120))
    assert [held(found, after=after) is not None for after in (59, 60, 119.9, 120)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("about", "holds"),
    [
        ({"hosts": ("db1",)}, True),
        ({"hosts": ("d*",)}, True),
        ({"hosts": ("web1",)}, False),
        ({"metrics": ("cpu_monitor.*",)}, True),
        ({"metrics": ("disk_monitor.*",)}, False),
        ({"levels": (Level.WARNING,)}, True),
        ({"levels": (Level.CRITICAL,)}, False),
        ({"tags": ("prod",)}, False),
    ],
)
def test_a_silence_holds_what_it_is_about(about: dict[str, tuple[str, ...]], holds: bool) -> None:
    assert (held(hushes(silence(**about)), host=DB) is not None) is holds


def test_tags_that_a_host_gets_later_count() -> None:
    found, host = hushes(silence(tags=("prod",))), Host(3, "app", "agent_000000000003")
    assert held(found, host=host) is None
    host.tags = ["prod"]
    host.version += 1
    assert held(found, host=host)


def test_of_several_silences_the_one_that_ends_last_counts() -> None:
    found = hushes(silence(1, ends=60), silence(2, ends=600), silence(3, ends=300, hosts=("w*",)))
    assert (answer := held(found)) is not None
    assert answer.id == 2


def test_a_silence_that_is_ended_holds_no_more() -> None:
    found = hushes(silence())
    assert held(found, after=1)
    found.put_silences([silence(ends=2)], NOW + 2)
    assert held(found, after=2) is None
    assert found.silence(1) is None


def test_silences_are_listed_by_their_ends_as_long_as_they_have_not_ended() -> None:
    found = hushes(silence(1, ends=60), silence(2, ends=30), silence(3, starts=90, ends=100))
    assert [one.id for one in found.silences(NOW + 40)] == [1, 3]


def test_the_silence_of_a_host_is_found_among_a_thousand() -> None:
    found = hushes(*(silence(number, hosts=(f"host{number}",)) for number in range(1, 1000)), silence(1000))
    assert (answer := held(found)) is not None
    assert answer.id == 1000


# ------------------------------------------------------------------------------------------------------------- windows


def test_a_window_holds_while_it_is_active() -> None:
    found = Hushes()
    found.put_window(7, window())
    assert held(found) == Held("window", 7, "bob", NOW + 7200, "backup")
    assert held(found, after=7200) is None
    assert held(found, after=86_400) == Held("window", 7, "bob", NOW + 86_400 + 7200, "backup")


def test_a_window_is_found_again_when_the_clock_was_put_back() -> None:
    found = Hushes()
    found.put_window(7, window(repeat="once"))
    assert held(found, after=90_000) is None
    assert held(found, after=60)


def test_a_window_that_is_changed_or_deleted_holds_as_it_is_now() -> None:
    found = Hushes()
    found.put_window(7, window())
    found.put_window(7, window(host="db1"))
    assert held(found) is None
    assert held(found, host=DB)
    found.put_window(7, None)
    assert held(found, host=DB) is None


def test_windows_of_the_config_are_replaced_by_those_of_the_next_one() -> None:
    found = Hushes()
    found.configure([window(None)])
    assert held(found) == Held("window", None, "", NOW + 7200, "backup")
    found.configure([])
    assert held(found) is None


def test_of_a_silence_and_a_window_the_later_end_counts() -> None:
    found = hushes(silence(ends=600))
    found.put_window(7, window())
    assert (answer := held(found)) is not None
    assert answer.kind == "window"


# ------------------------------------------------------------------------------------------------- what turns by itself


def test_a_silence_turns_when_it_begins_and_when_it_ends() -> None:
    found = hushes(silence(starts=10, ends=20))
    assert [len(found.turned(NOW + after)) for after in (0, 9, 10, 15, 20, 25)] == [0, 0, 1, 0, 1, 0]


def test_a_window_turns_when_it_begins_and_when_it_ends() -> None:
    found = Hushes()
    found.put_window(7, window())
    assert [len(found.turned(NOW + after)) for after in (-1, 0, 60, 7200, 7260)] == [0, 1, 0, 1, 0]


# ------------------------------------------------------------------------------------------------ whatever came before

HOSTS = [Host(number, name, f"agent_{number:012x}") for number, name in enumerate(("web1", "web2", "db1"), 1)]
PATHS = (CPU, "disk_monitor./.percent")
abouts = st.fixed_dictionaries(
    {},
    optional={
        "hosts": st.sampled_from([("web1",), ("WEB2", "db1"), ("web*",), ("*",)]),
        "metrics": st.sampled_from([("cpu*",), ("disk_monitor.*",)]),
        "levels": st.sampled_from([(Level.WARNING,), (Level.CRITICAL, Level.UNKNOWN)]),
        "tags": st.just(("prod",)),
    },
)
put = st.tuples(st.just("put"), st.integers(1, 4), abouts, st.integers(0, 50), st.integers(1, 100))
tag = st.tuples(st.just("tag"), st.sampled_from(HOSTS), st.booleans())
wait = st.tuples(st.just("wait"), st.integers(1, 20))
ask = st.tuples(st.just("ask"), st.sampled_from(HOSTS), st.sampled_from(PATHS), st.sampled_from(Level))


@settings(max_examples=50, deadline=None)
@given(st.lists(put | tag | wait | ask | ask, max_size=40))
def test_what_is_kept_in_mind_answers_as_if_everything_were_looked_at(steps: list[tuple[Any, ...]]) -> None:
    found, known, now = Hushes(), {}, NOW
    for step in steps:
        match step:
            case ("put", number, about, starts, lasts):
                begins = now - NOW + starts
                known[number] = silence(number, starts=begins, ends=begins + lasts, **(about or {"hosts": ("*",)}))
                found.put_silences([known[number]], now)
            case ("tag", host, tagged):
                host.tags = ["prod"] if tagged else []
                host.version += 1
            case ("wait", seconds):
                now += seconds
            case ("ask", host, path, level):
                holding = [
                    one
                    for one in known.values()
                    if one.state(now) == "active" and one.matcher.matches(host, path, level)
                ]
                answer = found.held(host, path, level, "", now)
                assert (answer and answer.until) == (max(one.ends for one in holding) if holding else None)


# ---------------------------------------------------------------------------------------------------- acknowledgements


def test_what_is_acknowledged_is_held_without_an_end() -> None:
    found = Hushes()
    found.put_ack(ack())
    assert held(found) == Held("acknowledged", None, "carol", None, "mine")


def test_a_silence_counts_more_than_an_acknowledgement() -> None:
    found = hushes(silence())
    found.put_ack(ack())
    assert (answer := held(found)) is not None
    assert answer.kind == "silence"


@pytest.mark.parametrize(
    ("level", "flapping", "stays"),
    [
        (Level.OK, "", False),
        (Level.CRITICAL, "", False),
        (Level.UNKNOWN, "", True),
        (Level.WARNING, "", True),
        (Level.OK, "begins", True),
        (Level.OK, "goes on", True),
        (Level.OK, "ends", False),
        (Level.CRITICAL, "goes on", False),
    ],
)
def test_an_acknowledgement_ends_when_its_problem_is_over_or_worse(level: Level, flapping: str, stays: bool) -> None:
    found = Hushes()
    found.put_ack(ack(Level.WARNING))
    found.came_to(event(level, flapping))
    assert (found.ack_of("p1") is not None) is stays


def test_what_is_worse_than_acknowledged_is_not_held_even_before_it_is_on_disk() -> None:
    found = Hushes()
    found.put_ack(ack(Level.WARNING))
    assert held(found, level=Level.CRITICAL) is None


def test_another_problem_of_the_same_metric_is_not_acknowledged() -> None:
    found = Hushes()
    found.put_ack(ack(problem="p0"))
    assert held(found) is None


def test_acknowledgements_go_with_their_host() -> None:
    found = Hushes()
    found.put_ack(ack())
    found.forget(WEB.id)
    assert found.ack_of("p1") is None


# ------------------------------------------------------------------------------------------- what is followed, not made


SILENCES = st.builds(
    lambda number, ends, host, level: silence(number, ends=ends, hosts=(host,), levels=(level,) if level else ()),
    st.integers(1, 4),
    st.sampled_from([0.0, 60.0, 3600.0]),
    st.sampled_from(["web1", "web*", "db1", "*"]),
    st.sampled_from([None, Level.WARNING, Level.CRITICAL]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(SILENCES, max_size=3), max_size=8), st.integers(1, 5))
def test_silences_that_come_one_by_one_hold_what_they_hold_together(rounds: list[list[Silence]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hbd.hushes.MOST_LATELY", most)
        found, known = Hushes(), {}
        for number, changed in enumerate(rounds):
            found.put_silences(changed, NOW)
            known |= {one.id: one for one in changed}
            for host in (WEB, DB) if number % 2 else (WEB,):
                for level in (Level.WARNING, Level.CRITICAL):
                    alone = hushes(*known.values())
                    shown, expected = held(found, host=host, level=level), held(alone, host=host, level=level)
                    assert (shown and shown.until) == (expected and expected.until)


def test_a_new_silence_is_not_a_reason_to_look_at_all_others_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    about_host = Matcher.about_host
    found = hushes(silence(1, hosts=("w*",)), silence(2, hosts=("we*",)))
    held(found)

    def counting(self: Matcher, host: Host) -> bool:
        asked.extend(self.hosts)
        return about_host(self, host)

    monkeypatch.setattr(Matcher, "about_host", counting)
    found.put_silences([silence(3, hosts=("web*",))], NOW)
    held(found)
    assert asked == ["web*"]
