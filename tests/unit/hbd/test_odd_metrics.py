"""Whatever strangers write in the formats of other systems, what becomes of it can be stored."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hbd.config.structs import ScrapeJob, ScrapeTarget
from hbd.hosts import Host
from hbd.model import Moment, Sample
from hbd.receivers.influx import InfluxWrites, arrange
from hbd.receivers.influx_names import TRANSLATIONS
from hbd.receivers.line_protocol import parse
from hbd.receivers.nagios import PassiveResults
from hbd.receivers.rates import Rates
from hbd.receivers.sound import sound
from hbd.scraping.scraper import Exporter, ScrapeFailed

HOST = Host(1, "web1", "agent_000000000001")
NOW = 1_800_000_000.0
NUMBERS = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "1e308", "-1e308", "1e-308", "9223372036854775807i", "18446744073709551615", "NaN"]
    ),
    st.integers(-(10**18), 10**18).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
)
FIELDS = st.sampled_from(
    [
        *("total", "used", "free", "available", "size", "idle", "iowait", "usage_idle", "usage_iowait", "load1"),
        *("load5", "min1", "min5", "n_cpus", "cpucore", "uptime", "bytes_recv", "cumulative_rx", "read_bytes"),
        *("time_since_update", "inodes_total", "inodes_used", "temp", "value", "seconds", "in", "established"),
    ]
)
TAGS = st.sampled_from(
    ["", ",interface=eth0", ",name=sda", ",disk_name=sda", ",path=/,device=sda", ",sensor=x", ",cpu=cpu0"]
)
LINES = st.builds(
    lambda name, tags, fields: f"{name}{tags} {','.join(f'{field}={value}' for field, value in fields.items())}",
    st.sampled_from([*TRANSLATIONS, "other"]),
    TAGS,
    st.dictionaries(FIELDS, NUMBERS, min_size=1, max_size=8),
)
SERIES = st.builds(
    lambda name, labels, value: f"{name}{labels} {value}",
    st.sampled_from(
        [
            *("node_uname_info", "node_load5", "node_cpu_seconds_total", "node_memory_MemTotal_bytes"),
            *("node_memory_MemAvailable_bytes", "node_memory_SwapTotal_bytes", "node_filesystem_size_bytes"),
            *("node_filesystem_free_bytes", "node_filesystem_avail_bytes", "node_filesystem_files"),
            *("node_filesystem_files_free", "node_network_receive_bytes_total", "node_network_speed_bytes"),
            *("node_network_up", "node_disk_io_time_seconds_total", "node_disk_read_bytes_total", "node_time_seconds"),
            *("node_boot_time_seconds", "node_hwmon_temp_celsius", "node_cpu_scaling_frequency_hertz", "other"),
        ]
    ),
    st.sampled_from(
        ["", '{device="eth0"}', '{mountpoint="/",device="/dev/sda1"}', '{cpu="0",mode="idle"}', '{mode="user"}']
    ),
    NUMBERS,
)


def check(samples: Iterable[Sample]) -> None:
    for sample in samples:
        assert msgspec.json.decode(msgspec.json.encode(sample.data)) == sample.data
        for value in numbers(sample.data):
            assert isfinite(value)


def numbers(data: dict[str, Any]) -> Iterable[float]:
    for value in data.values():
        if isinstance(value, dict):
            yield from numbers(value)
        elif isinstance(value, int | float):
            yield value


@given(st.lists(st.lists(st.one_of(LINES, st.text(max_size=40)), max_size=6), min_size=1, max_size=3))
def test_whatever_is_written_to_an_influxdb_can_be_stored(writes: list[list[str]]) -> None:
    receiver = InfluxWrites(Rates(), lambda host_id, plugin: None)
    for second, lines in enumerate(writes):
        now = Moment(NOW + second * 10, second * 10.0)
        for samples in receiver.samples(HOST, arrange(parse("\n".join(lines)), 1.0, now, 100).moments):
            check(samples)


@given(st.lists(st.lists(st.one_of(SERIES, st.text(max_size=40)), max_size=12), min_size=1, max_size=3))
def test_whatever_an_exporter_answers_can_be_stored(answers: list[list[str]]) -> None:
    exporter = Exporter(ScrapeTarget("node", "http://web1/metrics", "web1", ScrapeJob()))
    for second, lines in enumerate(answers):
        try:
            found = exporter.read("\n".join(lines), Moment(NOW, second * 10.0), 100)
        except ScrapeFailed:
            continue
        check(found.samples)


@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries({"service": st.text(max_size=8), "state": st.integers(-1, 4), "output": st.text()}),
            st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)),
        ),
        max_size=6,
    )
)
def test_whatever_is_handed_in_as_a_result_can_be_stored(results: list[Any]) -> None:
    taken = PassiveResults(Rates(), lambda host_id, plugin: None).take(HOST, results, Moment(NOW, 0.0))
    assert taken.results + taken.refused == len(results)
    check(taken.samples)


def test_a_sum_that_is_beyond_all_numbers_is_left_out() -> None:
    clocks = "node_cpu_scaling_frequency_hertz 1e308\n" * 2
    exporter = Exporter(ScrapeTarget("node", "http://web1/metrics", "web1", ScrapeJob()))
    (sample,) = exporter.read(f'node_uname_info{{nodename="w"}} 1\n{clocks}', Moment(NOW, 0.0), 100).samples[-1:]
    assert (sample.plugin, sample.data) == ("os_info", {"hostname": "w"})


def test_numbers_without_a_word_in_json_are_left_out() -> None:
    data = {"a": float("nan"), "b": {"c": float("inf"), "d": 1}, "e": 10**300, "f": True, "g": "x"}
    assert sound(data) == {"b": {"d": 1}, "e": 1e300, "f": True, "g": "x"}
