"""What the page of a host says of its availability."""

from __future__ import annotations

from hbd.availability import Cell, Change, Planned, Span, Unseen, timeline
from hbd.model import Family, State
from hbd.web.availability_view import HEIGHT, LONGEST, MAX_OUTAGES, _bar, availability_view

UP, OVERDUE, DOWN = State.UP, State.OVERDUE, State.DOWN
NOW = 1_750_000_000.0
HOUR = 3600.0


def of(*changes, unseen=(), planned=(), ipv6=None):
    """changes: (hours ago, state)."""

    def series(given):
        return timeline([Change(NOW - ago * HOUR, state, "why") for ago, state in given], unseen, NOW - LONGEST, NOW)

    pieces = {None: series(changes)} | ({Family.IPV6: series(ipv6)} if ipv6 else {})
    return availability_view(pieces, None if planned is None else Planned(planned))


def parts(up=0.0, overdue=0.0, down=0.0, unknown=0.0):
    return _bar(Cell(0, 100, up, overdue, down, unknown)).parts


def test_there_is_a_row_for_each_span_with_its_bars():
    view = of((2, UP))
    assert [(row.name, len(row.bars)) for row in view.rows] == [
        ("24 hours", 48),
        ("7 days", 56),
        ("30 days", 60),
        ("1 year", 73),
    ]


def test_a_percentage_is_never_rounded_up():
    view = of((48, UP), (10, DOWN), (9.999, UP))
    assert view.rows[0].percent == "99.9958 %"


def test_what_was_never_down_says_so():
    row = of((48, UP)).rows[0]
    assert (row.percent, row.down, row.words) == ("100 %", "–", "last 24 hours: 100 %, never down")


def test_an_outage_is_in_the_words_of_its_row():
    assert of((48, UP), (6, DOWN), (5, UP)).rows[0].words == "last 24 hours: 95.83 %, down 1 h in 1 outage"


def test_a_host_that_was_never_heard_has_no_figures():
    row = of().rows[0]
    assert (row.percent, row.outages, row.words) == ("–", 0, "last 24 hours: nothing is known")


def test_a_family_has_a_column_of_its_own():
    view = of((48, UP), ipv6=((48, UP), (12, DOWN)))
    assert (view.families, view.rows[0].families, view.rows[0].percent) == ([Family.IPV6], ["50 %"], "100 %")
    assert [shown.of for shown in view.outages] == ["IPv6"]


def test_outages_come_newest_first_the_host_before_its_families():
    changes = ((48, UP), (20, DOWN), (19, UP), (3, DOWN), (2, UP))
    view = of(*changes, ipv6=changes)
    assert [(shown.of, (NOW - shown.outage.start) / HOUR) for shown in view.outages] == [
        ("host", 3),
        ("IPv6", 3),
        ("host", 20),
        ("IPv6", 20),
    ]


def test_more_outages_than_are_shown_are_counted():
    changes = [(48, UP), *((40 - place / 10, DOWN if place % 2 == 0 else UP) for place in range(2 * (MAX_OUTAGES + 3)))]
    view = of(*changes)
    assert (len(view.outages), view.left) == (MAX_OUTAGES, 3)


def test_an_outage_that_is_cut_off_lasted_longer():
    (shown,) = of((500 * 24, DOWN), (24, UP)).outages
    assert shown.lasted == "more than 364 d"


def test_planned_time_is_told_beside_an_outage():
    window = Span(NOW - 20.5 * HOUR, NOW - 19.5 * HOUR)
    (shown,) = of((48, UP), (20, DOWN), (19, UP), planned=[window]).outages
    assert (shown.lasted, shown.planned) == ("1 h", "30 min")


def test_maintenance_that_is_not_counted_says_so():
    view = of((48, UP), (20, DOWN), (19, UP), planned=None)
    assert {row.planned for row in view.rows} == {"not counted"}
    assert view.outages[0].planned == ""


def test_a_bar_is_green_where_all_was_well():
    assert parts(up=100) == [("u", 0, HEIGHT)]


def test_a_bar_is_a_line_where_nothing_is_known():
    assert parts(unknown=100) == [("n", 9, 1)]


def test_a_short_outage_can_be_seen_in_a_bar():
    assert parts(up=99.9, down=0.1) == [("u", 0, 7.5), ("d", 7.5, 2.5)]


def test_a_bar_shows_what_was_worst_by_its_share_of_what_is_known():
    assert parts(up=20, down=30, unknown=50) == [("u", 0, 4), ("d", 4, 6)]


def test_a_bar_shows_what_was_late_only_where_nothing_was_down():
    assert [name for name, _, _ in parts(up=50, overdue=50)] == ["u", "o"]
    assert [name for name, _, _ in parts(up=50, overdue=10, down=40)] == ["u", "d"]


def test_a_bar_is_red_where_all_was_down():
    assert parts(down=100) == [("d", 0, HEIGHT)]


def test_the_words_of_a_bar_leave_out_what_there_was_none_of():
    unseen = [Unseen(NOW - 24 * HOUR, NOW - 23.75 * HOUR, False)]
    assert of((48, UP), unseen=unseen).rows[0].bars[0].words == "up 15 min, unknown 15 min"
