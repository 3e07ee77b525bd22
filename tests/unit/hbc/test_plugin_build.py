import pytest

from hbc.plugins import PLUGINS
from hbc.plugins.build import build

COMMAND = ["/bin/true"]


def entries(config, **options):
    found, problems = build(config, **options)
    assert problems == []
    return {entry.name: entry for entry in found}


def test_all_that_is_built_in_runs_without_being_named():
    assert set(entries({})) == PLUGINS.keys() - {"exec", "nagios_runner"}


def test_plugin_follows_the_agents_interval():
    entry = entries({}, default_interval=30.0)["cpu_monitor"]

    assert (entry.interval, entry.follows) == (30.0, True)


def test_plugin_with_an_interval_of_its_own_keeps_it():
    found = entries({"cpu_monitor": {"interval": "1m"}}, default_interval=30.0)

    assert (found["cpu_monitor"].interval, found["cpu_monitor"].follows) == (60.0, False)
    assert (found["os_info"].interval, found["os_info"].follows) == (600.0, False)


@pytest.mark.parametrize("section", [False, {"enabled": False}])
def test_plugin_can_be_switched_off(section):
    found = entries({"temperature": section})

    assert not found["temperature"].enabled
    assert found["cpu_monitor"].enabled


@pytest.mark.parametrize("section", [None, True, {}])
def test_section_may_say_nothing(section):
    assert entries({"temperature": section})["temperature"].enabled


def test_program_becomes_a_plugin_of_its_own_name():
    entry = entries({"my_check": {"type": "exec", "command": COMMAND, "interval": 30, "timeout": 7}})["my_check"]

    assert (entry.interval, entry.plugin.limit) == (30.0, 7.0)
    assert entry.timeout > 7.0  # it keeps the limit itself, and needs a moment to kill its program


def test_what_is_not_built_in_runs_apart():
    found = entries({"my_check": {"type": "exec", "command": COMMAND}})

    assert found["my_check"].apart
    assert not found["cpu_monitor"].apart


def test_two_programs_stand_beside_each_other():
    section = {"type": "exec", "command": COMMAND}

    assert {"one", "two"} <= entries({"one": section, "two": section}).keys()


def test_file_of_the_user_becomes_a_plugin(tmp_path):
    text = "from hbc.plugins.base import Plugin\nclass P(Plugin):\n    name = 'mine'\n    options = {'x': ''}\n"
    (tmp_path / "mine.py").write_text(text + "    def collect(self): return {'x': self.config['x']}\n")
    tmp_path.chmod(0o755)
    (tmp_path / "mine.py").chmod(0o644)

    assert entries({"mine": {"x": 5}}, plugin_dirs=[tmp_path])["mine"].plugin.collect() == {"x": 5}


def test_facts_reach_the_agent_monitor():
    facts = {"spool_records": 7}

    assert entries({}, facts=facts)["agent_monitor"].plugin.collect()["spool_records"] == 7


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"cpu_moniter": {}}, "plugins.cpu_moniter: there is no such plugin; did you mean cpu_monitor?"),
        ({"zzz": {}}, "plugins.zzz: there is no such plugin; one of your own needs a type: exec"),
        ({"zzz": {"type": "nope"}}, "plugins.zzz.type: 'nope' is none; there is: exec"),
        (
            {"cpu_monitor": {"intervall": 3}},
            "plugins.cpu_monitor.intervall: there is no such option; did you mean",
        ),
        ({"cpu_monitor": {"interval": "x"}}, "plugins.cpu_monitor.interval: 'x' is no duration"),
        ({"cpu_monitor": {"interval": 0}}, "plugins.cpu_monitor.interval: 0 s is out of range"),
        ({"cpu_monitor": {"enabled": "no"}}, "plugins.cpu_monitor.enabled: 'no' is neither true nor false"),
        ({"cpu_monitor": {"type": "exec"}}, "plugins.cpu_monitor.type: cpu_monitor is a plugin already"),
        ({"cpu_monitor": 5}, "plugins.cpu_monitor: 5 is no section"),
        ({"process_monitor": {"top": 99}}, "plugins.process_monitor.top: 99 is no whole number from 0 to 50"),
        ({"my": {"type": "exec"}}, "plugins.my.command: a program is needed"),
        ({"a.b": {"type": "exec", "command": COMMAND}}, "plugins.a.b: that is no name"),
        ({"exec": {"command": COMMAND}}, "plugins.exec: it needs a name of its own"),
    ],
)
def test_every_problem_names_its_place(config, problem):
    found, problems = build(config)

    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert "memory_monitor" in {entry.name for entry in found}


def test_every_problem_of_one_plugin_is_told():
    section = {"type": "exec", "command": ["sleep", 9], "env": 5, "timeout": "soon", "inteval": 3, "enabled": "no"}

    problems = build({"my": section})[1]

    assert {problem.split(":")[0] for problem in problems} == {f"plugins.my.{key}" for key in section if key != "type"}
    assert len(problems) == 5


def test_constructor_that_fails_is_told(tmp_path):
    text = "from hbc.plugins.base import Plugin\nclass P(Plugin):\n    name = 'mine'\n    collect = dict\n"
    (tmp_path / "mine.py").write_text(text + "    def __init__(self, options, machine): 1 / 0\n")
    tmp_path.chmod(0o755)
    (tmp_path / "mine.py").chmod(0o644)

    assert build({}, [tmp_path])[1] == ["plugins.mine: cannot be built: ZeroDivisionError: division by zero"]
