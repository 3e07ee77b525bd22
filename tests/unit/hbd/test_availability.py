"""How much of a time something was up: by hand where the answer is plain, by properties where it is not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.availability import Change, Planned, Span, Unseen, cells, figures, newer, outages, timeline
from hbd.model import State

UP, OVERDUE, DOWN, UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
HOUR = 3600.0


def states(pieces):
    return [(piece.start, piece.end, piece.state) for piece in pieces]


def of(*changes, unseen=(), first=0.0, end=HOUR, planned=()):
    return figures(timeline(changes, unseen, first, end), Planned(planned))


# ------------------------------------------------------------------------------------------------------------ timeline


def test_the_time_before_the_first_sign_is_unknown():
    assert states(timeline([Change(60, UP)], [], 0, 100)) == [(0, 60, UNKNOWN), (60, 100, UP)]


def test_what_held_before_the_span_holds_in_it():
    assert states(timeline([Change(10, UP)], [], 50, 100)) == [(50, 100, UP)]


def test_the_time_in_which_the_daemon_could_not_see_is_unknown():
    pieces = timeline([Change(0, UP)], [Unseen(30, 40, False)], 0, 100)
    assert states(pieces) == [(0, 30, UP), (30, 40, UNKNOWN), (40, 100, UP)]


def test_after_a_restart_nothing_is_known_until_the_next_change():
    pieces = timeline([Change(0, UP), Change(55, UP)], [Unseen(30, 40, True)], 0, 100)
    assert states(pieces) == [(0, 30, UP), (30, 55, UNKNOWN), (55, 100, UP)]


def test_a_restart_before_the_span_is_remembered_in_it():
    assert states(timeline([Change(0, UP)], [Unseen(10, 20, True)], 50, 100)) == [(50, 100, UNKNOWN)]


def test_a_change_at_the_moment_of_a_restart_comes_after_it():
    assert states(timeline([Change(0, DOWN), Change(20, UP)], [Unseen(10, 20, True)], 20, 30)) == [(20, 30, UP)]


def test_a_change_that_a_fast_clock_wrote_gives_way_to_what_was_written_later():
    changes = [Change(0, UP), Change(90_000, DOWN), Change(50, UP)]
    assert states(timeline(changes, [], 0, 100)) == [(0, 100, UP)]


def test_a_span_without_length_has_no_pieces():
    assert timeline([Change(0, UP)], [], 10, 10) == []


# ------------------------------------------------------------------------------------------------------------- figures


def test_overdue_counts_as_up():
    told = of(Change(0, UP), Change(1800, OVERDUE))
    assert (told.up, told.overdue, told.percent) == (1800, 1800, 100)


def test_unknown_time_is_left_out_of_the_quotient():
    told = of(Change(900, UP), Change(1800, DOWN), unseen=[Unseen(2700, 3600, False)])
    assert (told.unknown, told.percent) == (1800, 50)


def test_where_nothing_is_known_there_is_no_percentage():
    assert of().percent is None


def test_a_short_outage_in_years_is_not_rounded_away():
    years = 5 * 365 * 86_400.0
    assert of(Change(0, UP), Change(10, DOWN), Change(10.5, UP), end=years).percent == 99.9999


def test_outages_are_counted_with_the_longest_and_the_mean_time_to_repair():
    told = of(Change(0, UP), Change(100, DOWN), Change(200, UP), Change(1000, DOWN), Change(1400, UP))
    assert (told.outages, told.longest, told.mean_time_to_repair) == (2, 400, 250)


def test_an_outage_that_goes_on_is_no_repair():
    told = of(Change(0, UP), Change(100, DOWN), Change(200, UP), Change(1000, DOWN))
    assert (told.outages, told.mean_time_to_repair) == (2, 100)


def test_an_outage_that_began_before_the_span_is_no_repair():
    assert of(Change(0, DOWN), Change(100, UP), first=50.0).mean_time_to_repair is None


def test_maintenance_is_told_beside_and_changes_nothing():
    changes = (Change(0, UP), Change(1000, DOWN), Change(2000, UP))
    without, with_it = of(*changes), of(*changes, planned=[Span(500, 1500), Span(1200, 1600), Span(9000, 9999)])
    assert (with_it.planned, with_it.planned_down) == (1100, 600)
    assert (with_it.percent, with_it.down, with_it.outages) == (without.percent, without.down, without.outages)


def test_maintenance_counts_from_a_time_on():
    windows = Planned([Span(100, 200), Span(300, 400)])
    assert windows.since(150).seconds(0, 1000) == 150
    assert (windows.since(150).seconds(0, 120), windows.seconds(0, 1000)) == (0, 200)


def test_maintenance_that_is_not_known_leaves_all_else():
    pieces = timeline([Change(0, UP), Change(100, DOWN), Change(200, UP)], [], 0, 1000)
    told = figures(pieces, None)
    assert (told.percent, told.outages, told.planned, told.planned_down) == (90, 1, None, None)
    assert [outage.planned for outage in outages(pieces, None)] == [None]


# ------------------------------------------------------------------------------------------------------------- outages


def test_an_outage_that_is_still_there_after_an_unknown_time_is_one():
    changes = [Change(0, UP), Change(100, DOWN, "gone"), Change(350, DOWN, "gone still"), Change(500, UP)]
    (outage,) = outages(timeline(changes, [Unseen(200, 300, True)], 0, 1000))
    assert (outage.start, outage.end, outage.seconds, outage.reason) == (100, 500, 250, "gone")


def test_an_outage_with_a_sign_of_life_between_is_two():
    changes = [Change(0, DOWN), Change(100, UP), Change(101, DOWN)]
    assert len(outages(timeline(changes, [], 0, 1000))) == 2


def test_an_outage_of_which_nobody_saw_the_end_is_not_over():
    (outage,) = outages(timeline([Change(0, UP), Change(100, DOWN)], [Unseen(200, 1000, False)], 0, 1000))
    assert (outage.over, outage.end) == (False, 200)


@pytest.mark.parametrize(("first", "whole"), [(0.0, True), (150.0, False)])
def test_an_outage_says_whether_its_beginning_is_in_the_span(first, whole):
    (outage,) = outages(timeline([Change(0, UP), Change(100, DOWN), Change(200, UP)], [], first, 1000))
    assert (outage.whole, outage.over) == (whole, True)


# ---------------------------------------------------------------------------------------------------------- properties

moments = st.integers(0, 1000).map(float)
changes = st.lists(st.builds(Change, moments, st.sampled_from(State)), max_size=12)
unseen = st.lists(
    st.builds(lambda a, b, r: Unseen(min(a, b), max(a, b), r), moments, moments, st.booleans()), max_size=6
)
windows = st.lists(st.builds(lambda a, b: Span(min(a, b), max(a, b)), moments, moments), max_size=4)
planned = windows.map(Planned)
spans = st.tuples(moments, moments).filter(lambda pair: pair[0] != pair[1]).map(sorted)


def total(told):
    return told.up + told.overdue + told.down + told.unknown


@given(changes, unseen, spans)
def test_pieces_cover_the_span_without_gap_or_overlap(changes, unseen, span):
    pieces = timeline(changes, unseen, *span)
    assert [pieces[0].start, pieces[-1].end] == span
    for one, following in pairwise(pieces):
        assert one.start < one.end == following.start
        assert one.state is not following.state


@given(changes, unseen, spans, planned)
def test_the_seconds_of_all_states_are_the_whole_span(changes, unseen, span, planned):
    told = figures(timeline(changes, unseen, *span), planned)
    assert total(told) == span[1] - span[0]
    assert 0 <= told.planned_down <= told.planned <= span[1] - span[0]
    assert told.planned_down <= told.down


@given(windows, spans)
def test_every_second_that_any_window_holds_is_planned_once(windows, span):
    held = [second for second in range(*map(int, span)) if any(one.start <= second < one.end for one in windows)]
    assert Planned(windows).seconds(*span) == len(held)


@given(changes, unseen, st.lists(moments, min_size=3, max_size=3, unique=True).map(sorted), planned)
def test_two_adjoining_spans_add_up_to_their_union(changes, unseen, edges, planned):
    one, other, whole = (
        figures(timeline(changes, unseen, first, end), planned)
        for first, end in ((edges[0], edges[1]), (edges[1], edges[2]), (edges[0], edges[2]))
    )
    for name in ("up", "overdue", "down", "unknown", "planned", "planned_down"):
        assert getattr(one, name) + getattr(other, name) == getattr(whole, name)
    assert one.outages + other.outages - whole.outages in (0, 1)


@given(changes, unseen, spans)
def test_the_newer_part_is_what_a_timeline_of_it_would_be(changes, unseen, span):
    middle = (span[0] + span[1]) / 2
    assert states(newer(timeline(changes, unseen, *span), middle)) == states(timeline(changes, unseen, middle, span[1]))


@given(changes, unseen, spans, planned)
def test_outages_hold_all_that_was_down(changes, unseen, span, planned):
    pieces = timeline(changes, unseen, *span)
    told, found = figures(pieces, planned), outages(pieces, planned)
    assert sum(outage.seconds for outage in found) == told.down
    assert sum(outage.planned for outage in found) == told.planned_down
    for outage in found:
        assert 0 < outage.seconds <= outage.end - outage.start


@given(changes, unseen, spans, st.sampled_from([1, 2, 5, 10]))
def test_cells_have_every_second_of_the_span_once(changes, unseen, span, count):
    pieces = timeline(changes, unseen, *span)
    parts, told = cells(pieces, count), figures(pieces)
    assert len(parts) == count
    for name in ("up", "overdue", "down", "unknown"):
        assert sum(getattr(part, name) for part in parts) == pytest.approx(getattr(told, name))
    for part in parts:
        assert sum(part[2:]) == pytest.approx(part.end - part.start)
