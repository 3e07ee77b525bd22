import pytest

from hbc.plugins.base import Machine
from hbc.plugins.cpu_monitor import CpuMonitor, shares

STAT = (
    "cpu  {user} 10 20 {idle} 30 0 0 5 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr {intr} 1 2\nctxt 500\nbtime 1\nprocesses 70\n"
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "loadavg").write_text("2.50 2.10 1.80 3/700 1234\n")
    (tmp_path / "cpuinfo").write_text("processor : 0\ncpu MHz\t\t: 2445.430\n")
    return tmp_path


@pytest.fixture
def readings(proc):
    """Collect two samples ten seconds apart."""

    def collect(sys="/nonexistent"):
        clock = Clock()
        plugin = CpuMonitor({}, Machine(linux=True, proc=str(proc), sys=str(sys), clock=clock))
        (proc / "stat").write_text(STAT.format(user=100, idle=1000, intr=1000))
        first = plugin.collect()
        clock.now = 10.0
        (proc / "stat").write_text(STAT.format(user=130, idle=1070, intr=1500))
        return first, plugin.collect()

    return collect


def test_first_sample_has_load_but_no_percentages(readings):
    first, _ = readings()

    assert first["load_1min"] == 2.5
    assert "cpu_percent" not in first


def test_percentages_are_those_of_the_time_between(readings):
    _, second = readings()

    assert (second["cpu_percent"], second["user_percent"], second["iowait_percent"]) == (30.0, 30.0, 0.0)


def test_load_has_its_three_means(readings):
    _, second = readings()

    assert (second["load_1min"], second["load_5min"], second["load_15min"]) == (2.5, 2.1, 1.8)


def test_load_per_core_is_the_load_of_5_minutes_for_each_processor(readings):
    assert readings()[0]["load_per_core"] == 1.05


def test_machine_without_load_has_none_per_core_either(monkeypatch):
    def refuse():
        raise OSError

    monkeypatch.setattr("os.getloadavg", refuse)

    assert "load_per_core" not in CpuMonitor({}, Machine(linux=False, clock=Clock())).collect()


def test_interrupts_are_a_rate(readings):
    _, second = readings()

    assert second["interrupts_per_second"] == 50.0


def test_processors_are_counted(readings):
    assert readings()[0]["cpu_count"] == 2


def test_without_scaling_the_frequency_is_the_one_of_cpuinfo(readings):
    assert readings()[0]["frequency_mhz"] == 2445


def test_with_scaling_the_frequency_is_the_mean_of_the_cores(readings, tmp_path):
    for number, khz in enumerate((1_000_000, 3_000_000)):
        policy = tmp_path / f"sys/devices/system/cpu/cpufreq/policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_cur_freq").write_text(f"{khz}\n")

    assert readings(tmp_path / "sys")[0]["frequency_mhz"] == 2000


def test_machine_that_tells_no_frequency_reports_none(readings, proc):
    (proc / "cpuinfo").write_text("processor : 0\n")

    assert "frequency_mhz" not in readings()[0]


def test_iowait_that_went_down_counts_as_nothing():
    before = {"user": 0.0, "idle": 0.0, "iowait": 50.0}

    assert shares(before, {"user": 50.0, "idle": 50.0, "iowait": 40.0})["cpu_percent"] == 50.0


def test_no_time_between_gives_no_percentages():
    assert shares({"user": 1.0, "idle": 1.0}, {"user": 1.0, "idle": 1.0}) == {}


def test_psutil_gives_the_same_metrics():
    clock = Clock()
    plugin = CpuMonitor({}, Machine(linux=False, clock=clock))
    plugin.collect()
    clock.now = 10.0
    data = plugin.collect()

    assert data["cpu_count"] >= 1
    assert data["load_1min"] >= 0
    assert data["context_switches_per_second"] >= 0


def test_this_machine_can_be_read():
    assert CpuMonitor({}).collect()["cpu_count"] >= 1
