"""What a Monitron-style report says, in our vocabulary."""

from typing import Any

import pytest

from hbd.hosts import Host
from hbd.model import Moment
from hbd.receivers import monitron
from hbd.receivers.fields import Problems
from hbd.receivers.rates import Rates

KEY = "0" * 64
NOW = Moment(1_750_000_000.0, 1000.0)


def read(**report: Any) -> tuple[monitron.Reading, dict[str, str]]:
    problems = Problems()
    needed = {"agent_key": KEY, "cpu_usage": 1, "memory_usage": 50, "disk_usage": []}
    return monitron.read(needed | report, problems), problems.by_path


def size(text: str) -> float | None:
    reading, problems = read(disk_usage=[{"mount": "/", "usage": 1, "size": text}])
    assert problems == {}
    found: float | None = reading.plugins["disk_monitor"]["/"].get("total_gb")
    return found


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [
        ("50G", 50.0),
        ("50g", 50.0),
        ("50GB", 50.0),
        ("50GiB", 50.0),
        ("1.5T", 1536.0),
        ("1,5T", 1536.0),
        (" 512M ", 0.5),
        ("1 G", 1.0),
        ("0", 0.0),
        ("0B", 0.0),
        ("1073741824", 1.0),
        ("10K", 0.0),
        ("2P", 2097152.0),
    ],
)
def test_sizes_are_read_as_df_prints_them(text: str, gigabytes: float) -> None:
    assert size(text) == gigabytes


@pytest.mark.parametrize("text", ["", "-", "n/a", " - "])
def test_what_tools_print_where_there_is_no_size_is_none(text: str) -> None:
    assert size(text) is None


@pytest.mark.parametrize("text", ["G", "50X", "5 0G", "-5G", "1e9", "50GG", "५०G", "1.G", "nan"])
def test_what_is_no_size_is_told(text: str) -> None:
    _, problems = read(disk_usage=[{"mount": "/", "usage": 1, "avail": text}])
    assert problems == {"disk_usage.0.avail": "is no size such as 50G"}


def test_of_two_disks_in_one_place_the_later_shows() -> None:
    reading, _ = read(disk_usage=[{"mount": "/", "usage": 1}, {"mount": "/", "usage": 2}])
    assert reading.plugins["disk_monitor"] == {"/": {"percent": 2.0}}


def test_a_key_counts_in_any_case() -> None:
    reading, problems = read(agent_key="A" * 64)
    assert (reading.key, problems) == ("a" * 64, {})


def test_numbers_that_are_whole_may_be_written_as_others() -> None:
    reading, problems = read(memory_total_mb=8192.0, network_rx_bytes=1.5e9)
    assert problems == {}
    assert reading.plugins["memory_monitor"]["total_mb"] == 8192
    assert reading.counters == {"rx_bytes": 1_500_000_000}


def test_a_counter_that_began_anew_has_no_rate_and_the_other_has() -> None:
    host, rates = Host(1, "web1", "agent_000000000001"), Rates()
    first, _ = read(network_rx_bytes=5000, network_tx_bytes=100)
    then, _ = read(network_rx_bytes=10, network_tx_bytes=200)
    monitron.samples(first, host, rates, NOW)
    (network,) = (
        sample
        for sample in monitron.samples(then, host, rates, Moment(NOW.wall + 10, NOW.mono + 10))
        if sample.plugin == "network_monitor"
    )
    assert network.data == {"total": {"rx_bytes": 10, "tx_bytes": 200, "tx_bytes_per_second": 10.0}}
