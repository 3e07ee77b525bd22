from __future__ import annotations

from hbd.web.status_view import Trouble, troubles


def test_what_was_refused_is_told_in_words() -> None:
    assert troubles({"heartbeats_refused_total[replayed]": 3.0, "heartbeats_refused_total[bad_mac]": 1.0}) == [
        Trouble("Heartbeats refused: replayed", 3.0),
        Trouble("Heartbeats refused: wrong signature", 1.0),
    ]


def test_outcome_that_is_a_refusal_is_trouble_and_others_are_not() -> None:
    counters = {"reports_total[duplicate]": 7.0, "reports_total[refused]": 2.0, "reports_total[stored]": 9.0}
    assert troubles(counters) == [Trouble("Reports: refused", 2.0)]


def test_counter_that_stayed_at_nothing_is_no_trouble() -> None:
    assert troubles({"storage_errors_total": 0.0}) == []


def test_what_clients_asked_in_vain_is_not_ours() -> None:
    assert troubles({"http_requests_total[GET][/errors][404]": 5.0}) == []
