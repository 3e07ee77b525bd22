"""What a host's policy comes to, in words."""

from __future__ import annotations

import pytest

from hbd.remote.frames import OfferedCommand, OfferedRoot, Policy
from hbd.web.exposure import Allowed, exposure


def test_an_empty_policy_exposes_nothing() -> None:
    shown = exposure(Policy(limits={"timeout": 300}))
    assert (shown.extent, shown.commands, shown.logs, shown.files, shown.limits) == ("nothing", [], [], [], [])


@pytest.mark.parametrize(
    "policy",
    [
        Policy(commands=[OfferedCommand("ping", "low")]),
        Policy(commands=[OfferedCommand("shell")], programs=["/usr/bin/df"]),
        Policy(log_units=["nginx.service"]),
        Policy(log_paths=["/var/log"]),
        Policy(file_roots=[OfferedRoot("/", writable=False)]),
    ],
)
def test_what_is_limited_exposes_some(policy: Policy) -> None:
    assert exposure(policy).extent == "some"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(commands=[OfferedCommand("shell")]),
        Policy(commands=[OfferedCommand("shell")], programs=["/usr/bin/df", "/usr/bin/python3.11"]),
        Policy(file_roots=[OfferedRoot("/", writable=True)]),
    ],
)
def test_what_can_run_anything_or_write_anywhere_exposes_everything(policy: Policy) -> None:
    assert exposure(policy).extent == "everything"


def test_the_headline_names_the_user_of_the_agent() -> None:
    policy = Policy(commands=[OfferedCommand("shell")], user="root")
    assert exposure(policy).headline == "Everything that the user root may do on this host."


def test_programs_and_services_stand_beside_their_commands() -> None:
    policy = Policy(
        commands=[OfferedCommand("shell"), OfferedCommand("service_restart")],
        programs=["/usr/bin/df"],
        services=["nginx.service"],
    )
    assert exposure(policy).commands == [
        Allowed("shell", "run these programs", "medium", ["/usr/bin/df"]),
        Allowed("service_restart", "restart services", "medium", ["nginx.service"]),
    ]


def test_a_list_that_is_empty_allows_none() -> None:
    policy = Policy(commands=[OfferedCommand("shell"), OfferedCommand("service_restart")], programs=[], services=[])
    shown = exposure(policy)
    assert shown.extent == "some"
    assert [one.words for one in shown.commands] == [
        "run no program: none is listed",
        "restart services, but none is listed",
    ]


def test_no_named_service_means_any() -> None:
    policy = Policy(commands=[OfferedCommand("service_status", "low")])
    assert exposure(policy).commands == [
        Allowed("service_status", "ask how services are, whichever there are", "low", [])
    ]


def test_a_command_of_the_config_is_told_by_its_title() -> None:
    policy = Policy(commands=[OfferedCommand("renew", "medium", "Renew the certificates")])
    assert exposure(policy).commands == [Allowed("renew", "Renew the certificates", "medium")]


def test_a_star_is_the_whole_journal() -> None:
    assert exposure(Policy(log_units=["nginx.service", "*"])).logs == [
        Allowed("journal", "of every unit", ""),
        Allowed("nginx.service", "journal of this unit", ""),
    ]


def test_limits_bear_their_units() -> None:
    policy = Policy(commands=[OfferedCommand("ping", "low")], limits={"timeout": 300, "output_kb": 128, "parallel": 4})
    assert exposure(policy).limits == [("output", "128 kB"), ("parallel", "4"), ("timeout", "300 s")]
