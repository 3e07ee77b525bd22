"""Lines that point agents at this daemon."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hbc import cli
from hbc import config as agent_config
from hbd import config
from hbd.web.pointing import HOST_NAME, HOST_NUMBER, KEY, Step, calls, ways

ORIGIN = "https://hbd.test"
ASKED = ("node_exporter", "collectd")
"""who is asked by hbd, and has no key"""


def steps(title: str, origin: str = ORIGIN) -> tuple[Step, ...]:
    return next(way.steps for way in ways(origin, "web1", 7) if way.title == title)


def test_every_way_names_the_daemon_and_where_the_key_goes() -> None:
    for way in ways(ORIGIN, "web1", 7):
        if way.title not in ASKED:
            text = "".join(step.text for step in way.steps)
            assert KEY in text
            assert str(urlsplit(ORIGIN).hostname) in text


def test_a_host_that_is_still_to_be_made_has_a_place_in_every_line_that_names_one() -> None:
    texts = [step.text for way in ways(ORIGIN, HOST_NAME, HOST_NUMBER) for step in way.steps]
    filled = [text.replace(HOST_NAME, "web1").replace(HOST_NUMBER, "7") for text in texts]
    assert filled == [step.text for way in ways(ORIGIN, "web1", 7) for step in way.steps]


def test_our_own_agent_takes_its_line() -> None:
    (step,) = steps("hbc")
    taken = cli._parser().parse_args(shlex.split(step.text.replace(KEY, "5f" * 32))[1:])
    assert (taken.server, taken.key) == ([ORIGIN], "5f" * 32)


def test_what_the_agent_runs_for_nagios_is_a_config_that_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(steps("Nagios and Icinga")[-1].text)
    checks = agent_config.load(file).plugins["nagios_runner"]["checks"]
    assert checks == {"load": ["check_load", "-w", "5,4,3", "-c", "10,8,6"]}


def test_telegraf_is_told_in_its_own_language() -> None:
    (step,) = steps("Telegraf")
    (output,) = tomllib.loads(step.text)["outputs"]["influxdb"]
    assert (output["urls"], output["password"]) == ([ORIGIN], KEY)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://hbd.test", ("https", "hbd.test", "443")),
        ("http://hbd.test", ("http", "hbd.test", "80")),
        ("http://[2001:db8::1]:50004", ("http", "[2001:db8::1]", "50004")),
        ("http://192.0.2.1:50004", ("http", "192.0.2.1", "50004")),
    ],
)
def test_glances_is_told_the_parts_of_the_address(origin: str, expected: tuple[str, str, str]) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(steps("Glances", origin)[0].text)
    section = parser["influxdb"]
    assert (section["protocol"], section["host"], section["port"]) == expected


@pytest.mark.parametrize("title", ASKED)
def test_what_hbd_asks_is_a_config_that_it_reads(tmp_path: Path, title: str) -> None:
    file = tmp_path / "hbd.yaml"
    file.write_text(steps(title)[-1].text)
    (target,) = config.load(file).scrape_targets
    assert (target.host, urlsplit(target.url).hostname) == ("web1", "web1")


def test_a_crontab_line_has_its_times_in_front() -> None:
    texts = [step.text for step in calls(f"{ORIGIN}/ping/x", "30 2 * * *")]
    assert [text.startswith("30 2 * * *  /") for text in texts] == [True, True, False]
    assert not any(text.startswith("30") for text in (step.text for step in calls(f"{ORIGIN}/ping/x", "")))
