"""What Telegraf and Glances write, as samples."""

from itertools import chain

import pytest

from hbd.hosts import Host
from hbd.model import Data, Moment, Sample
from hbd.receivers.influx import MOMENTS_COMPLETED, InfluxWrites, Written, arrange
from hbd.receivers.line_protocol import parse
from hbd.receivers.rates import Rates

GIB = 1 << 30
NOW = 1_800_000_000
HOST = Host(1, "web1", "agent_000000000001")


def arranged(text: str, now: float = NOW, most: int = 2000) -> Written:
    return arrange(parse(text), 1.0, Moment(now, now), most)


class Writer:
    """Somebody who writes for one host."""

    def __init__(self, latest: Sample | None = None) -> None:
        self._writes = InfluxWrites(Rates(), lambda host_id, plugin: latest)

    def write(self, text: str, now: float = NOW) -> list[Sample]:
        return list(chain.from_iterable(self._writes.samples(HOST, arranged(text, now).moments)))

    def data(self, text: str, now: float = NOW) -> dict[str, Data]:
        assert arranged(text, now).problems == []
        return {sample.plugin: sample.data for sample in self.write(text, now)}


@pytest.mark.parametrize(
    ("line", "plugin", "data"),
    [
        (
            "cpu,cpu=cpu-total,host=w usage_idle=60,usage_iowait=10,usage_user=20,usage_nice=1,usage_system=5,"
            "usage_irq=1,usage_softirq=2,usage_steal=1",
            "cpu_monitor",
            {
                "cpu_percent": 30.0,
                "user_percent": 21.0,
                "system_percent": 8.0,
                "iowait_percent": 10.0,
                "steal_percent": 1.0,
            },
        ),
        (
            f"mem total={4 * GIB}i,available={GIB}i,free={GIB // 2}i,buffered=0i,cached={GIB}i,used_percent=1",
            "memory_monitor",
            {
                "percent": 75.0,
                "total_mb": 4096.0,
                "available_mb": 1024.0,
                "used_mb": 3072.0,
                "free_mb": 512.0,
                "buffers_mb": 0.0,
                "cached_mb": 1024.0,
            },
        ),
        (
            f"swap total={GIB}i,used={GIB // 4}i,free={GIB}i",
            "memory_monitor",
            {"swap_percent": 25.0, "swap_total_mb": 1024.0, "swap_used_mb": 256.0},
        ),
        (
            "system load1=1,load5=3,load15=2,n_cpus=2i,n_users=1i",
            "cpu_monitor",
            {"load_1min": 1.0, "load_5min": 3.0, "load_15min": 2.0, "cpu_count": 2, "load_per_core": 1.5},
        ),
        ("system,host=w uptime=77i", "os_info", {"uptime_seconds": 77.0, "hostname": "w"}),
        (
            f"disk,path=/,device=sda1,fstype=ext4,mode=rw total={100 * GIB}i,used={70 * GIB}i,free={20 * GIB}i,"
            "inodes_total=1000i,inodes_used=100i",
            "disk_monitor",
            {
                "/": {
                    "percent": 77.8,
                    "total_gb": 100.0,
                    "used_gb": 70.0,
                    "free_gb": 20.0,
                    "inodes_total": 1000.0,
                    "inodes_free": 900.0,
                    "inodes_percent": 10.0,
                    "read_only": False,
                    "device": "sda1",
                    "fstype": "ext4",
                }
            },
        ),
        ("processes total=90i,zombies=1i,blocked=2i", "process_monitor", {"total": 90, "zombies": 1, "disk_sleep": 2}),
        ("netstat tcp_established=4i,udp_socket=2i", "network_monitor", {"tcp_established": 4.0, "udp_sockets": 2.0}),
        ("temp,sensor=coretemp_0 temp=45.04", "temperature", {"coretemp_0": {"celsius": 45.0}}),
    ],
)
def test_telegraf_is_told_in_our_words(line: str, plugin: str, data: Data) -> None:
    assert Writer().data(line) == {plugin: data}


@pytest.mark.parametrize(
    ("line", "plugin", "data"),
    [
        (
            "cpu,hostname=w idle=60,iowait=10,user=20,system=5,total=30,cpucore=2,cpu_user_careful=50",
            "cpu_monitor",
            {
                "cpu_percent": 30.0,
                "user_percent": 20.0,
                "system_percent": 5.0,
                "iowait_percent": 10.0,
                "steal_percent": 0.0,
                "cpu_count": 2.0,
            },
        ),
        (
            "load min1=1,min5=3,min15=2,cpucore=2",
            "cpu_monitor",
            {"load_1min": 1.0, "load_5min": 3.0, "load_15min": 2.0, "cpu_count": 2, "load_per_core": 1.5},
        ),
        (
            f'fs,mnt_point=/ size={10 * GIB}.0,used={5 * GIB}.0,free={5 * GIB}.0,device_name="/dev/vda",fs_type="ext4"',
            "disk_monitor",
            {
                "/": {
                    "percent": 50.0,
                    "total_gb": 10.0,
                    "used_gb": 5.0,
                    "free_gb": 5.0,
                    "device": "/dev/vda",
                    "fstype": "ext4",
                }
            },
        ),
        (
            f"memswap total={GIB}.0,used=0.0",
            "memory_monitor",
            {"swap_percent": 0.0, "swap_total_mb": 1024.0, "swap_used_mb": 0.0},
        ),
        ("uptime seconds=35", "os_info", {"uptime_seconds": 35.0}),
        (
            'system hr_name="Debian 12",os_name="Linux",os_version="6.1",hostname="w",platform="64bit"',
            "os_info",
            {"os": "Debian 12", "kernel": "6.1", "hostname": "w", "arch": "64bit"},
        ),
        (
            "processcount total=9,running=1,thread=20",
            "process_monitor",
            {"total": 9.0, "running": 1.0, "threads": 20.0},
        ),
    ],
)
def test_glances_is_told_in_our_words(line: str, plugin: str, data: Data) -> None:
    assert Writer().data(line) == {plugin: data}


@pytest.mark.parametrize(
    ("line", "plugin", "data"),
    [
        (
            'nginx,host=w,port=80,server=a active=3i,waiting=1i,version="1.2"',
            "nginx",
            {"port=80,server=a": {"active": 3, "waiting": 1}},
        ),
        ("temperature_of_tea,host=w degrees=80", "temperature_of_tea", {"degrees": 80.0}),
        ("my\\ m open=t", "my_m", {"open": True}),
        ("cpu,cpu=cpu0 usage_idle=60", "cpu", {"cpu=cpu0": {"usage_idle": 60.0}}),
    ],
)
def test_all_else_is_kept_as_it_is(line: str, plugin: str, data: Data) -> None:
    assert Writer().data(line) == {plugin: data}


def test_traffic_is_a_rate_beside_its_counter_and_has_a_total() -> None:
    writer = Writer()
    line = "net,interface=eth0 bytes_recv={0}i,bytes_sent=5i\nnet,interface=lo bytes_recv={0}i"
    writer.data(line.format(1000))
    found = writer.data(line.format(6000), NOW + 10)["network_monitor"]
    assert found["eth0"] == {
        "rx_bytes": 6000.0,
        "tx_bytes": 5.0,
        "rx_bytes_per_second": 500.0,
        "tx_bytes_per_second": 0.0,
    }
    assert found["total"] == {"rx_bytes_per_second": 500.0, "tx_bytes_per_second": 0.0}


def test_traffic_of_a_disk_goes_to_its_mount() -> None:
    writer = Writer()
    writer.data(f'fs,mnt_point=/ size={GIB},used=0,free={GIB},device_name="/dev/vda"')
    found = writer.data("diskio,disk_name=vda read_bytes=3000,write_count=6,time_since_update=3")
    assert found["disk_monitor"]["/"]["read_bytes_per_second"] == 1000.0
    assert found["disk_monitor"]["/"]["percent"] == 0.0


def test_traffic_of_a_disk_that_is_nowhere_mounted_stands_by_its_name() -> None:
    found = Writer().data("diskio,name=sdb reads=5i")
    assert found == {"diskio": {"sdb": {"reads": 5.0}}}


def test_what_comes_in_several_writes_is_one_sample() -> None:
    writer = Writer()
    writer.data("cpu idle=60,iowait=0")
    found = writer.data("load min1=2", NOW + 1)
    assert (found["cpu_monitor"]["cpu_percent"], found["cpu_monitor"]["load_1min"]) == (40.0, 2.0)


def test_after_a_start_of_hbd_what_was_known_still_holds() -> None:
    writer = Writer(Sample("cpu_monitor", NOW - 20.0, {"cpu_percent": 99.0}))
    assert writer.data("load min1=2")["cpu_monitor"] == {"cpu_percent": 99.0, "load_1min": 2.0}


def test_what_is_long_ago_does_not_hold_after_a_start() -> None:
    writer = Writer(Sample("cpu_monitor", NOW - 2000.0, {"cpu_percent": 99.0}))
    assert writer.data("load min1=2")["cpu_monitor"] == {"load_1min": 2.0}


def test_each_moment_of_a_write_is_a_sample_of_its_own() -> None:
    samples = Writer().write(f"load min1=1 {NOW - 20}\nload min1=2 {NOW - 10}")
    assert [(sample.time, sample.data["load_1min"]) for sample in samples] == [(NOW - 20, 1.0), (NOW - 10, 2.0)]


def test_a_backlog_is_taken_as_it_was_written() -> None:
    moments = MOMENTS_COMPLETED + 2
    lines = [f"cpu idle=60 {NOW - 1000}", *(f"load min1=1 {NOW - 900 + number}" for number in range(moments))]
    samples = Writer().write("\n".join(lines))
    assert [len(sample.data) for sample in samples[:3]] == [5, 1, 1]


def test_a_clock_that_is_ahead_is_ours() -> None:
    (sample,) = Writer().write(f"load min1=1 {NOW + 3600}")
    assert sample.time == NOW


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken() -> None:
    lines = ["load min1=1", "nonsense", f"load min1=1 {NOW // 1000}", "presence host=1", f"m,t={'x' * 2000} a=1"]
    written = arranged("\n".join(lines))
    assert (written.points, written.refused) == (1, 4)
    assert written.problems == [
        "line 2: 'nonsense' is no measurement, fields and time",
        f"line 5: '{'x' * 40}' is no name of at most 256 characters",
        "load: its time is more than 30 days ago; is the precision right?",
        "presence: the measurement presence is hbd's own",
    ]


def test_one_moment_has_so_many_metrics_and_no_more() -> None:
    written = arranged("\n".join(f"m{number} a=1,b=2" for number in range(5)), most=6)
    assert (written.points, written.refused) == (3, 2)
    assert written.problems[0] == "m3: more than 6 metrics of one moment"


def test_a_host_that_is_gone_is_forgotten() -> None:
    writes = InfluxWrites(Rates(), lambda host_id, plugin: None)
    list(writes.samples(HOST, arranged("cpu idle=60").moments))
    writes.forget(HOST)
    ((sample,),) = writes.samples(HOST, arranged("load min1=1").moments)
    assert sample.data == {"load_1min": 1.0}
