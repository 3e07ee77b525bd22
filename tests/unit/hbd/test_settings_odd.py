"""Whatever stands in a settings file: it is read or refused, with words, and never breaks anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hbd.channels.registry import OWN
from hbd.config import Config
from hbd.settings import document
from hbd.settings.changes import told
from hbd.settings.gathering import Rows
from hbd.settings.planning import Planning
from hbd.settings.reading import SettingsFile
from hbd.settings.writing import whole

NOTHING = Rows([], [], {}, {}, {}, [], [], [], [], [])
SECTIONS = ("users", "config_users", "hosts", "notification_channels", "notification_routes", "maintenance", "silences")
FIELDS = sorted(
    {
        name
        for kind in (document.User, document.Process, document.Job, document.Route, document.Window, document.Silence)
        for name in whole(kind())
    }
    | {*whole(document.Host()), "type", "url", "trusted", "fallback", "repeat", "body", "headers"}
)
VALUES = st.sampled_from(
    ["", "*", "[", "bob", "•••", "webhook", "email", "1d", "0 0 * * *", "UTC", "weekly", "mon", "2026-11-21T22:00",
     "2026-11-21T22:00:00Z", "https://a.example", "a\nb", 0, -1, 1e300, 10**30, True, None]
)  # fmt: skip
NAMES = st.sampled_from(["bob", "web1", "WEB1", "a b", "", "null", "[", "•••", "x" * 300])
THINGS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | NAMES, inner, max_size=6),
    max_leaves=25,
)


def planned(text: str) -> tuple[list[str], list[str]]:
    """(problems, lines of the plan) of a file that is brought into an empty database."""
    file = SettingsFile("x.yaml", text)
    planning = Planning(file, NOTHING, Config(), dict(OWN), removes=True, now=1_795_000_000.0)
    return file.problems, told(planning.plan) if not file.problems else []


@given(st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(NAMES, THINGS, max_size=3) | THINGS, max_size=4))
def test_every_document_is_read_or_refused(content: dict[str, Any]) -> None:
    problems, lines = planned(json.dumps({"version": 1} | content, ensure_ascii=False))
    assert all(problem.startswith("x.yaml:") for problem in problems)
    assert all(line.isprintable() for line in (*problems, *lines))


@given(st.text(max_size=60))
def test_every_text_is_read_or_refused(text: str) -> None:
    assert planned(text)[0]


@given(st.dictionaries(st.sampled_from(FIELDS), THINGS, max_size=8))
def test_every_thing_of_a_list_is_read_or_refused(thing: dict[str, Any]) -> None:
    for section in SECTIONS[4:]:
        planned(json.dumps({"version": 1, section: [thing]}))
