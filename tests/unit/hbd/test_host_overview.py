"""What the page of a host begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hbd.model import Sample
from hbd.web.host_overview import LINES, Overview, overview


def of(**plugins: Sequence[dict[str, Any]]) -> Overview:
    """plugins: what each has sent, newest first."""

    def samples(plugin: str) -> list[Sample]:
        return [Sample(plugin, 1000.0 - 10 * age, data) for age, data in enumerate(plugins.get(plugin, ()))]

    return overview(samples)


def test_nothing_is_shown_of_a_host_that_sent_nothing() -> None:
    assert of() == Overview([], [])


def test_a_metric_is_a_card_with_its_name_its_value_and_its_range() -> None:
    (shown,) = of(cpu_monitor=[{"cpu_percent": 40.0}, {"cpu_percent": 10.0}]).cards
    assert (shown.plugin, shown.card.label, str(shown.card.reading)) == ("cpu_monitor", "CPU", "40.0 %")
    assert (str(shown.card.low), str(shown.card.high)) == ("10.0 %", "40.0 %")


def test_metrics_of_a_part_of_a_sample_are_found() -> None:
    (shown,) = of(
        network_monitor=[{"total": {"rx_bytes_per_second": 1500.0}, "eth0": {"rx_bytes_per_second": 1.0}}]
    ).cards
    assert (shown.card.label, str(shown.card.reading)) == ("Received", "1.5 kB/s")


def test_a_metric_that_is_no_number_is_left_out() -> None:
    assert of(cpu_monitor=[{"cpu_percent": "much"}], network_monitor=[{"total": 3}]).cards == []


def test_disks_and_processes_are_tables_and_no_longer_than_a_look() -> None:
    disks = {f"/{number}": {"percent": 5.0} for number in range(LINES + 5)}
    processes = {"total": 2, "top_cpu": [{"pid": 1, "name": "init", "cpu_percent": 0.5}]}
    shown = of(disk_monitor=[disks], process_monitor=[processes])
    assert [(plugin, table.title, len(table.lines)) for plugin, table in shown.tables] == [
        ("disk_monitor", "Disks", LINES),
        ("process_monitor", "Busiest processes", 1),
    ]
