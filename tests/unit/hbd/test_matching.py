"""Which metrics of which hosts silences, windows and routes are about."""

from __future__ import annotations

import pytest

from hbd.hosts import Host
from hbd.matching import Matcher
from hbd.model import Level

CPU = "cpu_monitor.cpu_percent"


def host(name: str = "web1", *tags: str) -> Host:
    made = Host(1, name, "agent_000000000001")
    made.tags = list(tags)
    return made


def fits(matcher: Matcher, name: str = "web1", *tags: str, path: str = CPU, level: Level = Level.WARNING) -> bool:
    return matcher.matches(host(name, *tags), path, level)


def test_what_says_nothing_fits_everything() -> None:
    assert fits(Matcher())


@pytest.mark.parametrize("pattern", ["web1", "WEB1", "web*", "web?", "web[12]", "*"])
def test_a_pattern_fits_a_host_name_in_any_case(pattern: str) -> None:
    assert fits(Matcher(hosts=(pattern,)))


@pytest.mark.parametrize("pattern", ["web", "eb1", "web10", "web.", "web[23]", "web1\n"])
def test_a_pattern_has_to_fit_the_whole_name(pattern: str) -> None:
    assert not fits(Matcher(hosts=(pattern,)))


def test_one_entry_of_a_list_is_enough() -> None:
    assert fits(Matcher(hosts=("db1", "web1"), tags=("test", "prod")), "web1", "prod")


def test_every_list_has_to_fit() -> None:
    assert not fits(Matcher(hosts=("web1",), tags=("prod",)), "web1", "test")


def test_tags_are_the_same_in_any_case() -> None:
    assert fits(Matcher(tags=("PROD",)), "web1", "prod")


def test_a_tag_is_no_pattern() -> None:
    assert not fits(Matcher(tags=("pro*",)), "web1", "prod")


def test_metrics_are_patterns_of_paths() -> None:
    matcher = Matcher(metrics=("disk_monitor.*.percent",))
    assert fits(matcher, path="disk_monitor./srv.data.percent")
    assert not fits(matcher, path="disk_monitor./srv.free")


def test_levels_are_those_that_are_told() -> None:
    matcher = Matcher(levels=(Level.WARNING,))
    assert fits(matcher, level=Level.WARNING)
    assert not fits(matcher, level=Level.CRITICAL)


@pytest.mark.parametrize(
    ("hosts", "exact"),
    [(("Web1", "db1"), {"web1", "db1"}), (("web1", "db*"), None), ((), None)],
)
def test_names_without_patterns_are_all_it_is_about(hosts: tuple[str, ...], exact: set[str] | None) -> None:
    assert Matcher(hosts=hosts).exact_hosts == exact


def test_stars_cost_no_more_than_letters() -> None:
    assert not fits(Matcher(hosts=("a*" * 100 + "b",)), "a" * 250)  # going back and forth would never end
