import asyncio
import logging
import math
import subprocess
import sys
import threading

import pytest

from hbc.collect import ASK_AGAIN_SECONDS, Collector
from hbc.plugins.base import Plugin, Unavailable
from hbc.plugins.build import Entry

FOREVER = 60.0  # seconds; longer than any test


class Scripted(Plugin):
    """Does what the test says."""

    def __init__(self, act):
        super().__init__({})
        self.act = act
        self.asked = 0

    def collect(self):
        self.asked += 1
        return self.act()


def entry(name, act=lambda: {"n": 1}, interval=10.0, timeout=FOREVER, follows=False, enabled=True, apart=False):
    return Entry(name, Scripted(act), interval, timeout, follows, enabled, apart)


def raises(error):
    def act():
        raise error

    return act


@pytest.fixture
def gate():
    """Holds hanging plugins until the test has ended."""
    event = threading.Event()
    yield event
    event.set()


async def test_round_gives_the_samples_of_all_that_are_due():
    collector = Collector([entry("a", lambda: {"n": 1}), entry("b", lambda: {"n": 2})])

    assert await collector.round(1711234567.0, 100.0) == [
        {"plugin": "a", "time": 1711234567.0, "data": {"n": 1}},
        {"plugin": "b", "time": 1711234567.0, "data": {"n": 2}},
    ]


async def test_first_round_is_due_at_once():
    assert Collector([entry("a")]).next_due() == -math.inf


async def test_plugins_with_one_interval_meet_in_one_round():
    collector = Collector([entry("a", interval=10), entry("b", interval=10), entry("c", interval=30)])
    await collector.round(0.0, 100.0)
    assert collector.next_due() == 110.0
    await collector.round(0.0, 113.7)  # late

    assert collector.next_due() == 120.0
    assert [entry.name for entry in collector.due(130.0)] == ["a", "b", "c"]


async def test_timer_that_wakes_a_hair_early_makes_no_second_round():
    collector = Collector([entry("a", interval=10)])
    await collector.round(0.0, 100.0)
    samples = await collector.round(0.0, 109.995)

    assert len(samples) == 1
    assert collector.next_due() == 120.0


async def test_missed_rounds_are_not_made_up_for():
    collector = Collector([entry("a", interval=10)])
    await collector.round(0.0, 100.0)
    await collector.round(0.0, 1000.0)

    assert collector.next_due() == 1010.0


async def test_nothing_due_is_an_empty_round():
    collector = Collector([entry("a")])
    await collector.round(0.0, 100.0)

    assert await collector.round(0.0, 105.0) == []


async def test_disabled_plugin_is_never_asked():
    collector = Collector([entry("a", enabled=False)])

    assert await collector.round(0.0, 100.0) == []
    assert collector.next_due() == math.inf


async def test_empty_data_makes_no_sample():
    assert await Collector([entry("a", dict)]).round(0.0, 100.0) == []


async def test_data_are_made_fit_for_the_wire():
    samples = await Collector([entry("a", lambda: {"n": math.nan, "m": 1})]).round(0.0, 100.0)

    assert samples[0]["data"] == {"m": 1}


async def test_data_that_cannot_be_sent_are_a_failure():
    collector = Collector([entry("a", lambda: {"n": object()})])
    await collector.round(0.0, 100.0)

    assert collector.runs["a"].state == "failed"
    assert collector.runs["a"].reason.startswith("n: object cannot be sent here")


async def test_plugin_that_raises_loses_no_other():
    collector = Collector([entry("a", raises(KeyError("x"))), entry("b")])
    samples = await collector.round(0.0, 100.0)

    assert [sample["plugin"] for sample in samples] == ["b"]
    assert collector.runs["a"].state == "failed"


async def test_failure_names_its_kind_and_place():
    collector = Collector([entry("a", raises(KeyError("x")))])
    await collector.round(0.0, 100.0)

    assert collector.runs["a"].reason.startswith("KeyError: 'x' (test_collect.py:")


async def test_failure_in_words_stands_as_it_is():
    collector = Collector([entry("a", raises(RuntimeError("exit code 3")))])
    await collector.round(0.0, 100.0)

    assert collector.runs["a"].reason == "exit code 3"


async def test_hanging_plugin_is_left_behind_and_the_others_answer(gate):
    collector = Collector([entry("a", gate.wait, timeout=0.05), entry("b")])
    samples = await collector.round(0.0, 100.0)

    assert [sample["plugin"] for sample in samples] == ["b"]
    assert collector.runs["a"].state == "timeout"


async def test_hanging_plugin_is_not_asked_again_while_it_hangs(gate):
    hanging = entry("a", gate.wait, timeout=0.05)
    collector = Collector([hanging, entry("b")])
    for number in range(3):
        await collector.round(0.0, 100.0 + 10 * number)

    assert hanging.plugin.asked == 1
    assert collector.runs["a"].state == "timeout"


async def test_plugin_that_comes_back_is_asked_again_and_its_late_answer_is_thrown_away(gate):
    slow = entry("a", lambda: gate.wait(FOREVER) and {"n": 5}, timeout=0.05)
    collector = Collector([slow])
    assert await collector.round(0.0, 100.0) == []
    gate.set()
    slow.timeout = FOREVER
    for number in range(1, 500):
        samples = await collector.round(0.0, 100.0 + 10 * number)
        if samples:
            break
        await asyncio.sleep(0.01)

    assert slow.plugin.asked == 2
    assert collector.runs["a"].state == "ok"


async def test_event_loop_goes_on_while_a_plugin_hangs(gate):
    collector = Collector([entry("a", lambda: gate.wait(FOREVER) and {"n": 1})])
    round_ = asyncio.create_task(collector.round(0.0, 100.0))
    await asyncio.sleep(0)
    assert not round_.done()
    gate.set()

    assert len(await round_) == 1


async def test_slow_plugin_apart_holds_no_sample_up(gate):
    slow = entry("slow", lambda: gate.wait(FOREVER) and {"n": 1}, apart=True)
    collector = Collector([slow, entry("a")])

    assert [sample["plugin"] for sample in await collector.round(0.0, 100.0, patience=0)] == ["a"]


async def test_sample_of_a_slow_plugin_comes_with_a_later_round(gate):
    slow = entry("slow", lambda: gate.wait(FOREVER) and {"n": 1}, apart=True)
    collector = Collector([slow])
    assert await collector.round(1000.0, 100.0, patience=0) == []
    gate.set()

    assert await collector.round(1005.0, 105.0, patience=math.inf) == [
        {"plugin": "slow", "time": pytest.approx(1000.0, abs=6), "data": {"n": 1}}
    ]
    assert slow.plugin.asked == 1


async def test_quick_plugin_apart_comes_with_its_own_round():
    collector = Collector([entry("quick", apart=True), entry("a")])
    samples = await collector.round(0.0, 100.0, patience=math.inf)

    assert [sample["plugin"] for sample in samples] == ["a", "quick"]


async def test_slow_plugin_that_is_due_again_is_asked_once_more_and_not_twice_at_a_time(gate):
    running, most = [], []

    def act():
        running.append(1)
        most.append(len(running))
        gate.wait(FOREVER)
        running.pop()
        return {"n": 1}

    collector = Collector([entry("slow", act, apart=True)])
    for number in range(5):
        assert await collector.round(0.0, 100.0 + 10 * number, patience=0) == []
    gate.set()

    assert len(await collector.round(0.0, 145.0, patience=math.inf)) == 2
    assert most == [1, 1]


async def test_plugin_with_nothing_to_measure_is_asked_rarely():
    absent = entry("a", raises(Unavailable("no sensors")))
    collector = Collector([absent])
    await collector.round(0.0, 100.0)

    assert collector.runs["a"] == ("unavailable", collector.runs["a"].seconds, "no sensors")
    assert collector.next_due() == 100.0 + ASK_AGAIN_SECONDS


async def test_plugin_that_is_hastened_is_asked_in_a_round_of_its_own():
    collector = Collector([entry("a"), entry("b")])
    await collector.round(0.0, 100.0)
    collector.hasten("b")

    assert collector.next_due() == -math.inf
    assert [sample["plugin"] for sample in await collector.round(0.0, 103.0)] == ["b"]
    assert collector.next_due() == 110.0


async def test_plugin_that_is_hastened_while_it_says_that_there_is_nothing_is_asked_again_at_once():
    def nothing():
        collector.hasten("a")
        raise Unavailable("nothing here")

    collector = Collector([entry("a", nothing)])
    await collector.round(0.0, 100.0)

    assert collector.next_due() == -math.inf


def test_hastening_what_is_not_there_does_nothing():
    collector = Collector([])
    collector.hasten("a")

    assert collector.next_due() == math.inf


async def test_prime_takes_the_first_reading_of_rates():
    readings = iter([{}, {"rate": 1.0}])
    rates = entry("a", lambda: next(readings))
    rates.plugin.has_rates = True
    collector = Collector([rates])
    await collector.prime()

    assert [sample["data"] for sample in await collector.round(0.0, 100.0)] == [{"rate": 1.0}]


async def test_prime_leaves_plugins_without_rates_alone():
    plain = entry("a")
    await Collector([plain]).prime()

    assert plain.plugin.asked == 0


async def test_run_is_told_to_the_agent_monitor():
    facts = {}
    collector = Collector([entry("a"), entry("b", raises(RuntimeError("broken")))], facts)
    await collector.round(0.0, 100.0)

    assert facts["a"] == {"ok": True, "seconds": facts["a"]["seconds"]}
    assert facts["b"] == {"ok": False, "seconds": facts["b"]["seconds"], "reason": "broken"}


async def test_same_failure_is_logged_once(caplog):
    numbers = iter(range(100))

    def act():
        raise RuntimeError(f"lost connection {next(numbers)}")

    collector = Collector([entry("a", act)])
    with caplog.at_level(logging.INFO, "hbc.collect"):
        for number in range(5):
            await collector.round(0.0, 100.0 + 10 * number)

    assert [record.getMessage() for record in caplog.records] == ["plugin a: failed: lost connection 0"]


async def test_change_of_reason_and_recovery_are_logged(caplog):
    acts = iter([raises(RuntimeError("one")), raises(RuntimeError("two")), lambda: {"n": 1}, lambda: {"n": 1}])
    collector = Collector([entry("a", lambda: next(acts)())])
    with caplog.at_level(logging.INFO, "hbc.collect"):
        for number in range(4):
            await collector.round(0.0, 100.0 + 10 * number)

    assert [record.getMessage() for record in caplog.records] == [
        "plugin a: failed: one",
        "plugin a: failed: two",
        "plugin a works again",
    ]


async def test_new_interval_of_the_agent_reaches_the_plugins_that_follow_it():
    collector = Collector([entry("a", follows=True), entry("b", interval=600)])
    await collector.round(0.0, 100.0)
    collector.follow(3.0)
    await collector.round(0.0, 101.0)

    assert collector.next_due() == 103.0
    assert collector.entries["b"].interval == 600


async def test_even_exit_called_by_a_plugin_does_not_end_the_agent():
    collector = Collector([entry("a", raises(SystemExit(1))), entry("b")])

    assert len(await collector.round(0.0, 100.0)) == 1


def test_process_ends_although_a_plugin_hangs():
    code = """
import asyncio, threading
from hbc.collect import Collector
from hbc.plugins.base import Plugin
from hbc.plugins.build import Entry

class Hanging(Plugin):
    def collect(self):
        threading.Event().wait()

print(asyncio.run(Collector([Entry("a", Hanging({}), 10.0, 0.05, False)]).round(0.0)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "[]\n")


async def test_mixed_intervals_fall_together_on_common_multiples():
    collector = Collector([entry("a", interval=10), entry("b", interval=600)])
    await collector.round(0.0, 7.0)
    for number in range(1, 60):
        assert [due.name for due in collector.due(collector.next_due())] == ["a"]
        await collector.round(0.0, 7.0 + 10 * number)

    assert [due.name for due in collector.due(collector.next_due())] == ["a", "b"]
