from __future__ import annotations

import pytest

from hbd.model import Family, State
from hbd.web import paint, schemas


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("cpu_percent", 12.34, "12.3 %"),
        ("percent", 0, "0.0 %"),
        ("total_mb", 16384, "16\u202f384 MB"),
        ("free_gb", 3.456, "3.46 GB"),
        ("rx_bytes_per_second", 1234567.0, "1.2 MB/s"),
        ("rx_bytes_per_second", 999.6, "1.0 kB/s"),
        ("size_bytes", 7.3e11, "680 GiB"),
        ("uptime_seconds", 93784, "1 d 2 h"),
        ("took_seconds", 0.0123, "12.3 ms"),
        ("errors_per_second", 0.5, "0.5 /s"),
        ("package_celsius", 48.5, "48.5 °C"),
        ("freq_mhz", 2400.4, "2\u202f400 MHz"),
        ("speed_mbit", 1000, "1\u202f000 Mbit/s"),
        ("rtt_ms", 0.4, "0.4 ms"),
        ("cpu_count", 4, "4"),
        ("load_1min", 0.12345, "0.1235"),
        ("flag", True, "yes"),
        ("nothing", None, "–"),
        ("broken_percent", float("nan"), "–"),
        ("broken_bytes", float("inf"), "–"),
        ("os", "Debian", "Debian"),
    ],
)
def test_reading_takes_its_unit_from_the_name(metric: str, value: object, expected: str) -> None:
    assert str(paint.reading(metric, value)) == expected


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("cpu_percent", "CPU"),
        ("percent", "Percent"),
        ("load_15min", "Load 15 min"),
        ("rx_bytes_per_second", "Rx"),
        ("io_wait_percent", "I/O wait"),
        ("iowait_percent", "I/O wait"),
        ("fstype", "Type"),
        ("rtt_ipv4_ms", "RTT IPv4"),
        ("total_mb", "Total"),
        ("boot_time", "Boot time"),
        ("<b>", "<b>"),
        ("", ""),
        ("_", "_"),
    ],
)
def test_label_is_the_name_without_its_unit(metric: str, expected: str) -> None:
    assert paint.label(metric) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (2e5, "2 d")]
)
def test_short_span_has_one_unit_rounded_down(seconds: float, expected: str) -> None:
    assert paint.short_span(seconds) == expected


def test_json_is_set_out_for_people_and_a_text_stays_as_it_is() -> None:
    assert paint.pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
    assert paint.pretty("no JSON") == "no JSON"


def test_strip_draws_one_path_for_each_state_in_it() -> None:
    assert paint.strip_paths("uu-d") == [
        ("u", "M0 0h3v10h-3zM4 0h3v10h-3z"),
        ("n", "M8 9h3v1h-3z"),
        ("d", "M12 6h3v4h-3z"),
    ]


def test_strip_is_told_in_words() -> None:
    assert paint.strip_words("uud-") == "last 4 min: up 2, down 1, not known 1"


def test_curve_runs_from_edge_to_edge() -> None:
    curve = paint.spark([(0.0, 5.0), (10.0, 15.0)])
    assert curve is not None
    assert curve.line == "M0.00 29.00L100.00 1.00"


def test_curve_is_broken_where_nothing_came() -> None:
    curve = paint.spark([(0.0, 1.0), (10.0, 1.0), (90.0, 1.0), (100.0, 1.0)])
    assert curve is not None
    assert curve.line == "M0.00 15.00L10.00 15.00M90.00 15.00L100.00 15.00"


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(5.0, 1.0), (5.0, 2.0)]])
def test_no_curve_without_a_span(points: list[tuple[float, float]]) -> None:
    assert paint.spark(points) is None


def test_load_meter_is_full_when_every_processor_has_work() -> None:
    assert paint.load_cell(4.0, 4) == paint.Cell("4.00", 100.0, True, "4.00 on 4 CPUs")


def test_meter_stays_within_its_box() -> None:
    assert paint.percent_cell(250.0).fill == 100.0
    assert paint.percent_cell(-5.0).fill == 0.0


def test_family_that_is_up_shows_its_latency_and_its_losses() -> None:
    connection = schemas.Connection(
        family=Family.IPV6, address="::1", state=State.UP, since=0.0, last_seen=0.0, interval=10.0, rtt_ms=0.42, lost=2
    )
    host = schemas.Host(name="a", id=1, agent_id="x", state=State.UP, interval=10.0, connections=[connection])
    assert paint.link(host, Family.IPV6) == paint.Link("UP", "●", "0.4 ms", "IPv6 ::1: up, 2 lost")
    assert paint.link(host, Family.IPV4).text == paint.NOTHING


def test_the_digits_of_a_process_id_stay_together() -> None:
    assert str(paint.reading("pid", 26207)) == "26207"


def test_a_process_id_keeps_its_name() -> None:
    assert paint.label("pid") == "PID"


def test_labels_that_would_read_the_same_say_their_unit() -> None:
    assert paint.labels(["cpu_percent", "memory_percent", "memory_mb"]) == ["CPU", "Memory %", "Memory MB"]


def test_spans_of_one_column_have_one_unit() -> None:
    form = paint.same_unit("seconds", [0.00005, 0.0123])
    assert [form(0.00005), form(0.0123)] == ["0.05 ms", "12.30 ms"]


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (State.DOWN, "agent stopped on purpose", "stopped"),
        (State.OVERDUE, "host was shut down", "stopped"),
        (State.DOWN, "no heartbeat for 30 s", "down"),
        (State.UP, "agent stopped on purpose", "up"),
    ],
)
def test_silence_on_purpose_is_a_word_of_its_own(state: State, reason: str, expected: str) -> None:
    assert paint.word(schemas.Host(name="a", id=1, agent_id="x", state=state, interval=10.0, reason=reason)) == expected
