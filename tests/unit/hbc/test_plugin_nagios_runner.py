import os
import sys

import pytest

from hbc.plugins.base import Machine
from hbc.plugins.build import build
from hbc.plugins.nagios_runner import NagiosRunner, judge

LIMIT = 30.0  # seconds; longer than anything here needs


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def check(code, **more):
    return {"command": [sys.executable, "-c", code], "timeout": LIMIT, **more}


def printing(text, code=0):
    return check(f"import sys; print({text!r}); sys.exit({code})")


@pytest.fixture
def clock():
    return Clock()


def runner(clock, limit=LIMIT, **checks):
    plugin = NagiosRunner({"checks": checks}, Machine(clock=clock))
    plugin.limit = limit
    return plugin


def only(data):
    return {name: value for name, value in data.items() if name != "seconds"}


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_exit_code_is_the_state(clock, code):
    data = runner(clock, web=printing("it is so", code)).collect()

    assert only(data["web"]) == {"state": code, "output": "it is so"}


@pytest.mark.parametrize(
    ("code", "note"),
    [
        (4, "exit code 4, which means nothing"),
        (126, "exit code 126, it cannot be executed"),
        (127, "exit code 127, a program is missing"),
        (137, "killed by signal 9"),
        (-15, "killed by signal 15"),
        (255, "killed by signal 127"),
    ],
)
def test_any_other_end_is_unknown_and_says_why(code, note):
    assert judge(code) == (3, note)


def test_performance_data_are_metrics(clock):
    data = runner(clock, load=printing("OK | load1=0.14;5;10;0; '/ used'=7%")).collect()

    assert only(data["load"]) == {"state": 0, "output": "OK", "load1": 0.14, "/ used": 7.0}


def test_counter_has_its_rate_beside_it(clock, tmp_path):
    counter = tmp_path / "counter"
    plugin = runner(clock, net=check(f"print('OK | hits=' + open({str(counter)!r}).read() + 'c')"))
    counter.write_text("100")
    plugin.collect()
    counter.write_text("700")
    clock.now += 60

    assert only(plugin.collect()["net"]) == {"state": 0, "output": "OK", "hits": 700.0, "hits_per_second": 10.0}


def test_check_that_is_missing_is_unknown(clock):
    found = runner(clock, web={"command": ["/nowhere/check_web"]}).collect()["web"]

    assert only(found) == {"state": 3, "output": "cannot start /nowhere/check_web: No such file or directory"}


def test_check_that_hangs_is_killed_and_unknown(clock):
    found = runner(clock, web=check("import time; time.sleep(60)", timeout=0.3)).collect()["web"]

    assert only(found) == {"state": 3, "output": "took longer than 0.3 s and was killed"}


def test_complaint_is_told_when_nothing_was_printed(clock):
    found = runner(clock, web=check("import sys; sys.exit('no such option: -x')")).collect()["web"]

    assert only(found) == {"state": 1, "output": "no such option: -x"}


def test_sample_has_the_last_results_of_all_checks(clock):
    plugin = runner(clock, often=printing("one", 1) | {"interval": 10}, seldom=printing("two", 2) | {"interval": 600})
    plugin.collect()
    clock.now += 10
    data = plugin.collect()

    assert [data[name]["state"] for name in ("often", "seldom")] == [1, 2]


def test_no_sample_is_made_without_a_new_result(clock):
    plugin = runner(clock, web=printing("one"))
    plugin.collect()
    clock.now += 30

    assert plugin.collect() == {}


def test_what_there_is_no_time_for_runs_next_time(clock):
    plugin = runner(clock, limit=5, first=printing("one"), second=printing("two"))

    assert list(plugin.collect()) == ["first"]
    assert set(plugin.collect()) == {"first", "second"}


def test_program_is_found_where_distributions_put_checks(clock):
    plugin = runner(clock, web=check("import os; print(os.environ['PATH'])"))

    assert "/usr/lib/nagios/plugins" in plugin.collect()["web"]["output"].split(os.pathsep)


def test_bare_list_is_a_command(clock):
    found = runner(clock, web=[sys.executable, "-c", "print('fine')"]).collect()["web"]

    assert only(found) == {"state": 0, "output": "fine"}


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        (None, "checks: a mapping of names to commands is needed"),
        ([], "checks: a mapping of names to commands is needed"),
        ({"web": {}}, "checks: web: command: a program is needed"),
        ({"web": {"command": ["x"], "intervall": 3}}, "checks: web: intervall: there is no such option"),
        ({"web": {"command": ["x"], "interval": "soon"}}, "checks: web: interval: 'soon' is no duration"),
        ({"web": {"command": ["x"], "env": 3}}, "checks: web: env: a mapping"),
        ({f"c{n}": ["x"] for n in range(101)}, "checks: there are 101, and 100 can be run"),
    ],
)
def test_config_that_cannot_be_used_is_told(checks, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        NagiosRunner({"checks": checks})


def test_it_runs_under_its_own_name_as_soon_as_the_config_has_it():
    entries, problems = build({"nagios_runner": {"checks": {"web": ["x"]}}})

    assert problems == []
    assert [entry.apart for entry in entries if entry.name == "nagios_runner"] == [True]


def test_it_does_not_run_without_being_configured():
    assert "nagios_runner" not in {entry.name for entry in build({})[0]}


def test_it_is_no_type_for_another_name():
    _, problems = build({"mine": {"type": "nagios_runner", "checks": {"web": ["x"]}}})

    assert problems == ["plugins.mine.type: 'nagios_runner' is none; there is: exec"]
