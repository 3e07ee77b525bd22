"""Which threshold configs hold for which host."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbd.config import Config, Layer, load, threshold_layers
from hbd.config.structs import Assignment, HostConfig
from hbd.hosts import Host


def config(own: tuple[str, ...] = (), **assignments: Assignment) -> Config:
    hosts = {"web1": HostConfig(threshold_config=own)} if own else {}
    return Config(hosts=hosts, threshold_assignments=assignments)


def layers(config: Config, name: str = "web1", *tags: str) -> list[str]:
    host = Host(1, name, "agent_1")
    host.tags = list(tags)
    return [layer.config for layer in threshold_layers(config, host)]


def to(*names: str, hosts: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> Assignment:
    return Assignment(config=names, hosts=hosts, tags=tags)


def test_a_host_without_anything_has_the_default() -> None:
    assert layers(config()) == ["default"]


@pytest.mark.parametrize(
    ("assignment", "fits"),
    [
        (to("x", hosts=("web1",)), True),
        (to("x", hosts=("WEB*",)), True),
        (to("x", hosts=("db*",)), False),
        (to("x", hosts=("db*", "web?")), True),
        (to("x", tags=("prod",)), True),
        (to("x", tags=("PROD",)), True),
        (to("x", tags=("test",)), False),
        (to("x", tags=("test", "prod")), True),
        (to("x", hosts=("web*",), tags=("test",)), False),
        (to("x", hosts=("db*",), tags=("prod",)), False),
        (to("x", hosts=("web*",), tags=("prod",)), True),
    ],
)
def test_an_assignment_holds_by_name_and_tag(assignment: Assignment, fits: bool) -> None:
    assert layers(config(a=assignment), "web1", "prod") == ["default", *(["x"] if fits else [])]


def test_an_assignment_holds_for_hosts_that_the_file_does_not_name() -> None:
    assert layers(config(a=to("x", hosts=("new-*",))), "new-7") == ["default", "x"]


def test_assignments_lie_over_each_other_in_the_order_of_the_file() -> None:
    both = config(b=to("x", hosts=("*",)), a=to("y", "z", hosts=("*",)))
    assert layers(both) == ["default", "x", "y", "z"]


def test_what_the_host_names_itself_lies_on_top() -> None:
    assert layers(config(("default", "own"), a=to("x", hosts=("*",)))) == ["default", "x", "own"]


def test_a_host_that_leaves_out_the_default_keeps_what_is_assigned() -> None:
    assert layers(config(("own",), a=to("x", hosts=("*",)))) == ["x", "own"]


def test_a_config_that_is_named_twice_counts_where_it_is_strongest() -> None:
    assert layers(config(("default", "x"), a=to("x", "y", hosts=("*",)))) == ["default", "y", "x"]


def test_assigning_the_default_does_not_lift_it_above_others() -> None:
    assert layers(config(a=to("x", hosts=("*",)), b=to("default", hosts=("*",)))) == ["default", "x"]


def test_each_layer_says_where_it_comes_from() -> None:
    host = Host(1, "web1", "agent_1")
    found = threshold_layers(config(("default", "own"), databases=to("x", hosts=("web1",))), host)
    assert found == [
        Layer("default", "hosts.web1.threshold_config"),
        Layer("x", "threshold_assignments.databases"),
        Layer("own", "hosts.web1.threshold_config"),
    ]


def test_one_name_needs_no_list(tmp_path: Path) -> None:
    (tmp_path / "hbd.yaml").write_text("threshold_assignments: {a: {config: default, hosts: web1, tags: prod}}\n")
    (assignment,) = load(tmp_path / "hbd.yaml").threshold_assignments.values()
    assert assignment == to("default", hosts=("web1",), tags=("prod",))
