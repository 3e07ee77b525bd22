"""From where people can get to a daemon."""

from __future__ import annotations

import pytest

from hbd.config import Config
from hbd.reach import Reach, is_this_machine, reach

HERE = ["http://127.0.0.1:50004/", "http://[::1]:50004/", "udp://127.0.0.1:50003"]


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (Config(), Reach.MACHINE),
        (Config(base_url="http://localhost:50004"), Reach.MACHINE),
        (Config(base_url="https://monitor.example"), Reach.PROXY),
        (Config(trusted_proxies=("127.0.0.1/32",)), Reach.PROXY),
    ],
)
def test_a_daemon_on_loopback_is_reached_by_others_where_its_config_speaks_of_a_proxy(
    config: Config, found: Reach
) -> None:
    assert reach(config, HERE) is found


@pytest.mark.parametrize("url", ["http://0.0.0.0:50004/", "http://[::]:50004/", "https://192.0.2.7:50004/"])
def test_an_address_that_is_not_loopback_is_the_network(url: str) -> None:
    assert reach(Config(), [*HERE, url]) is Reach.NETWORK


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("localhost", True),
        ("hbd.localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost.example", False),
        ("192.0.2.7", False),
        ("monitor", False),
        ("", False),
    ],
)
def test_names_of_this_machine_are_known(name: str, same: bool) -> None:
    assert is_this_machine(name) is same
