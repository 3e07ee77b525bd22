from __future__ import annotations

from typing import NamedTuple

import pytest

from hbd.web import notify_view


class Window(NamedTuple):
    repeat: str
    days: tuple[str, ...] = ()
    start: str = "2026-11-21T22:00"
    duration: float = 5400.0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["mon", "tue", "wed", "thu", "fri"], "Mon–Fri"),
        (["sun", "sat", "tue"], "Tue, Sat–Sun"),
        (["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "every day"),
        ([], ""),
    ],
)
def test_days_are_said_as_people_say_them(names: list[str], words: str) -> None:
    assert notify_view.days(names) == words


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Window("once"), "once, 2026-11-21 22:00 for 1 h 30 min"),
        (Window("daily"), "every day at 22:00 for 1 h 30 min"),
        (Window("weekly"), "every week at 22:00 for 1 h 30 min"),
        (Window("weekly", ("tue", "thu")), "Tue, Thu at 22:00 for 1 h 30 min"),
        (Window("monthly"), "each month on day 21 at 22:00 for 1 h 30 min"),
    ],
)
def test_recurrence_of_a_window_is_one_phrase(window: Window, words: str) -> None:
    assert notify_view.recurrence(window) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (False, "no"), (["a@b.example", "c@d.example"], "a@b.example, c@d.example"), (5, "5")],
)
def test_settings_are_shown_as_text(value: object, text: str) -> None:
    assert notify_view.shown(value) == text
