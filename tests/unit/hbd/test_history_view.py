from __future__ import annotations

from hbd.web import history_view as view
from hbd.web.history import COLUMNS, History, Series
from hbd.web.history_asked import Asked

NOW = 1_800_000_000.0
HOUR = 3600.0
SIX = Asked("web1", ("cpu_monitor.cpu_percent",), "6h")


def told(*series: Series, step: int = 60) -> History:
    return History(int(NOW - 6 * HOUR), int(NOW), step, step, COLUMNS, list(series), None)


def line(metric: str, *points: tuple[float, float], counter: bool = False) -> Series:
    return Series("web1", metric, counter, [[at, value, value - 1, value + 1, value, 2] for at, value in points])


def test_numbers_of_the_newest_sample_can_be_chosen() -> None:
    data = {"/": {"percent": 1.0, "device": "sda"}, "boot_time": NOW, "busy": True}
    (group,) = view.choices({"disk_monitor": data}, ["disk_monitor./.percent"])
    assert group.choices == [view.Choice("disk_monitor./.percent", "/ · Disk used", True)]


def test_what_is_chosen_and_not_known_stays_chosen() -> None:
    groups = view.choices({"own": {"value": 1}}, ["own.*.gone"])
    assert groups[0] == view.Group("", [view.Choice("own.*.gone", "own.*.gone", True)])


def test_a_host_without_the_usual_metrics_shows_its_first() -> None:
    assert view.usual(view.choices({"own": {"value": 1, "other": 2}}, [])) == ("own.value",)


def test_metrics_of_one_unit_share_a_chart() -> None:
    found = told(line("a.x_percent", (1, 5.0)), line("a.y_seconds", (1, 5.0)), line("b.percent", (1, 5.0)))
    charts = view.charts(found, SIX, ["a", "b"])
    assert [[curve.metric for curve in chart.curves] for chart in charts] == [
        ["a.x_percent", "b.percent"],
        ["a.y_seconds"],
    ]


def test_numbers_without_a_unit_share_a_chart_within_their_plugin() -> None:
    found = told(line("a.one", (1, 5.0)), line("b.one", (1, 5.0)), line("a.two", (1, 5.0)))
    assert [len(chart.curves) for chart in view.charts(found, SIX, ["a", "b"])] == [2, 1]


def test_a_counter_has_the_unit_of_its_rate() -> None:
    (chart,) = view.charts(told(line("a.sent_bytes_total", (1, 5000.0), counter=True)), SIX, ["a"])
    assert (chart.unit, chart.curves[0].newest) == ("bytes_per_second", "5.0 kB/s")


def test_the_plugin_is_the_longest_that_fits() -> None:
    (chart,) = view.charts(told(line("a.b.value", (1, 5.0))), SIX, ["a", "a.b"])
    assert (chart.curves[0].plugin, chart.curves[0].label) == ("a.b", "Value")


def test_a_time_in_which_one_metric_is_silent_has_a_dash() -> None:
    (chart,) = view.charts(told(line("a.x_percent", (1, 5.0), (2, 6.0)), line("a.y_percent", (2, 7.0))), SIX, ["a"])
    assert [[cell.mean for cell in cells] for _, cells in chart.rows] == [["6.0 %", "7.0 %"], ["5.0 %", "–"]]


def test_rows_beyond_the_limit_are_counted() -> None:
    points = [(float(at), 1.0) for at in range(view.ROWS + 7)]
    (chart,) = view.charts(told(line("a.x", *points)), SIX, ["a"])
    assert (len(chart.rows), chart.left, chart.rows[0][0]) == (view.ROWS, 7, view.ROWS + 6)


def test_nothing_known_is_no_chart() -> None:
    assert view.charts(told(line("a.x")), SIX, ["a"]) == []


def test_what_a_pattern_named_cannot_be_left_out_alone() -> None:
    asked = Asked("web1", ("a.*", "b.x"))
    charts = view.charts(told(line("a.y", (1, 1.0)), line("b.x", (1, 1.0))), asked, ["a", "b"])
    assert [chart.curves[0].drop is None for chart in charts] == [True, False]
