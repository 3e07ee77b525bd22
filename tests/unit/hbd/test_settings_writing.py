"""The text of a settings file: what it says is read again as it was, by us and by other readers of YAML."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hbd.config.structs import ChannelSettings, Secret
from hbd.settings.document import ConfigUser, Host, Job, Process, Route, Settings, Silence, User, Window
from hbd.settings.reading import SettingsFile
from hbd.settings.writing import duration, moment, plain, scalar, text_of

HASH = f"$2b$12${'a' * 53}"
WORDS = [
    "yes",
    "no",
    "on",
    "off",
    "~",
    "null",
    "true",
    "08",
    "1e3",
    ".5",
    "1_0",
    "22:22",
    "2026-11-21",
    "=",
    "<<",
    "- a",
]
NAMES = st.sampled_from(["web1", "10", "null", "yes", "1e5", "a.b-c", "WEB", "0x10", "2026-11-21"])
USERS = st.sampled_from(["bob", "yes", "1", "1.5", "a@b.c", "null", "N", "+1"])
VISIBLE = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).filter(str.isprintable)
TEXT = VISIBLE | st.sampled_from(WORDS)
TITLE = TEXT.filter(bool)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=80) | st.sampled_from(
    [*WORDS, "a\nb", "a\n\n  b"]
)
SECONDS = st.integers(0, 10**8).map(float) | st.floats(0, 1e8)
LISTS = st.lists(TITLE, max_size=12).map(tuple)
PATTERNS = st.lists(st.sampled_from(["*", "web*", "db[12]", "a-b.c", "10.0.0.?"]), max_size=3).map(tuple)
MOMENTS = st.integers(0, 4 * 10**9).map(float)
HASHES = st.none() | st.just(Secret(HASH))
MAYBE = st.none() | st.booleans()

users = st.builds(
    User,
    role=st.sampled_from(["viewer", "operator", "admin"]),
    full_name=TEXT,
    source=st.sampled_from(["local", "oidc", "proxy"]),
    subject=st.none() | TITLE,
    enabled=st.booleans(),
    notification_channels=LISTS,
    avatar=TEXT,
    password=HASHES,
)
config_users = st.builds(
    ConfigUser,
    role=st.none() | st.sampled_from(["viewer", "operator", "admin"]),
    full_name=st.none() | TEXT,
    subject=st.none() | TITLE,
    enabled=MAYBE,
    notification_channels=st.none() | LISTS,
    avatar=st.none() | TEXT,
    password=HASHES,
)
processes = st.builds(Process, enabled=st.booleans(), cpu_threshold_pct=st.floats(0.01, 100), author=st.none() | USERS)
jobs = st.builds(
    Job,
    period=st.floats(1, 366 * 86_400.0),
    grace=st.integers(1, 10**6).map(float),
    author=TEXT,
    paused=st.booleans(),
    ping_id=st.none() | st.uuids().map(lambda found: Secret(str(found))),
)
hosts = st.builds(
    Host,
    label=TEXT.map(str.strip),
    tags=st.lists(TITLE.map(str.strip).filter(bool), max_size=5).map(tuple),
    owner=st.none() | USERS,
    managers=st.none() | st.lists(USERS, max_size=3).map(tuple),
    monitors=st.none() | st.lists(USERS, max_size=3).map(tuple),
    enabled=MAYBE,
    min_report_interval=st.none() | SECONDS,
    processes=st.dictionaries(TITLE, processes, max_size=3),
    jobs=st.dictionaries(TITLE, jobs, max_size=3),
)
settings_of_channel = st.dictionaries(
    st.sampled_from(["url", "password", "to", "port", "tls"]),
    ANY_TEXT | st.booleans() | st.integers(-(10**9), 10**9) | st.lists(ANY_TEXT, max_size=5),
).map(lambda found: ChannelSettings({"type": "webhook"} | found))
routes = st.builds(
    Route,
    name=TITLE,
    channels=st.lists(TITLE, min_size=1, max_size=3).map(tuple),
    hosts=PATTERNS,
    tags=LISTS,
    min_level=st.sampled_from(["UNKNOWN", "WARNING", "CRITICAL"]),
    after=st.floats(0, 86_400),
)
windows = st.builds(
    Window,
    name=TITLE,
    hosts=st.just(("*",)),
    start=st.just("2026-11-21T22:00"),
    duration=st.floats(60, 86_400),
    timezone=st.sampled_from(["UTC", "Europe/Zurich", "Etc/GMT+5"]),
    repeat=st.just("weekly"),
    days=st.sampled_from([(), ("mon",), ("sat", "sun")]),
    until=st.none() | st.just("2027-01-01"),
    author=TEXT,
)
silences = st.builds(
    Silence,
    reason=TITLE,
    tags=st.just(("prod",)),
    levels=st.sampled_from([(), ("WARNING",), ("WARNING", "CRITICAL")]),
    starts=MOMENTS,
    ends=MOMENTS.map(lambda starts: starts + 5e9),
)


def by_name(names: st.SearchStrategy[str], things: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.dictionaries(names, things, max_size=3)


def lists(things: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.lists(things, max_size=3).map(tuple)


files = st.builds(
    Settings,
    version=st.just(1),
    users=by_name(USERS, users),
    config_users=by_name(USERS, config_users),
    hosts=by_name(NAMES, hosts),
    channels=by_name(TITLE, settings_of_channel),
    routes=lists(routes),
    maintenance=lists(windows),
    silences=lists(silences),
)


def is_one_case(settings: Settings) -> bool:
    """Whether names differ by more than case."""
    return all(
        len({name.lower() for name in found or ()}) == len(found or ()) for found in (settings.users, settings.hosts)
    )


@given(files.filter(is_one_case))
def test_what_is_written_is_read_as_it_was(settings: Settings) -> None:
    file = SettingsFile("x.yaml", text_of(settings, secrets=True))
    assert file.problems == []
    assert file.settings == settings


@given(files.filter(is_one_case))
def test_what_was_read_is_written_as_the_same_bytes(settings: Settings) -> None:
    text = text_of(settings, secrets=True)
    assert text_of(SettingsFile("x.yaml", text).settings, secrets=True) == text


@given(files)
def test_another_reader_of_yaml_reads_the_same(settings: Settings) -> None:
    assert yaml.safe_load(text_of(settings, secrets=True)) == plain(settings)


@given(ANY_TEXT)
def test_a_text_stays_a_text_for_every_reader(text: str) -> None:
    assert yaml.safe_load(f"a: {scalar(text)}\nb: [{scalar(text)}, {scalar(text)}]") == {"a": text, "b": [text, text]}


@pytest.mark.parametrize("value", [True, False, None, 0, -5, 587, 0.5, 1e-05, 2.5e20, 1 / 3])
def test_what_is_no_text_stays_what_it_is(value: object) -> None:
    assert yaml.safe_load(f"a: {scalar(value)}") == {"a": value}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, 0), (30.0, "30s"), (90.0, "90s"), (5400.0, "90m"), (7200.0, "2h"), (172800.0, "2d"), (0.5, 0.5)],
)
def test_a_duration_has_the_largest_unit_that_fits(seconds: float, text: str | float) -> None:
    assert duration(seconds) == text


def test_a_time_is_utc_to_the_second() -> None:
    assert moment(1_795_298_400.4) == "2026-11-21T22:00:00Z"


def test_lines_of_a_text_stay_lines() -> None:
    settings = Settings(version=1, channels={"a": ChannelSettings({"type": "webhook", "body": "{\n  1\n}"})})
    assert "    body: |-\n      {\n        1\n      }\n" in text_of(settings, secrets=True)


def test_what_is_at_its_default_is_left_out() -> None:
    assert plain(Settings(hosts={"web1": Host()}, users={"bob": User(enabled=False)})) == {
        "users": {"bob": {"enabled": False}},
        "hosts": {"web1": {}},
    }


def test_the_words_at_the_top_say_whether_there_are_secrets() -> None:
    tops = [text_of(Settings(), secrets=secrets).splitlines()[3] for secrets in (False, True)]
    assert [top.split(":")[0] for top in tops] == ["# Left out too", "# This file holds secrets"]


def test_nothing_prints_a_secret() -> None:
    assert HASH not in repr(User(password=Secret(HASH)))
