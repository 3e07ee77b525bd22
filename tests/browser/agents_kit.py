"""A daemon with people and hosts for the pages about agents, and hands to move what they show."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio
from fed import FedDaemon

from hbd.remote.frames import OfferedCommand, OfferedRoot, Offers, Policy

ALLOWED = Policy(
    commands=[OfferedCommand("ping", "low"), OfferedCommand("shell"), OfferedCommand("reboot", "high")],
    programs=["/usr/bin/df"],
    services=["nginx.service"],
    log_units=["nginx.service"],
    log_paths=["/var/log/nginx"],
    file_roots=[OfferedRoot("/etc/nginx"), OfferedRoot("/srv/www", writable=True)],
    limits={"timeout": 300},
    user="hbc",
)


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(people: FedDaemon) -> FedDaemon:
    """The same people; more is known of the host that bob monitors."""
    web = people.hosts.require("web")
    web.os, web.agent_version, web.agent_tags, web.tags = "Debian 13", "0.9.0", ["prod"], ["prod"]
    return people


def feed_numbers(fed: FedDaemon, name: str = "web") -> None:
    """Samples of the plugins that the overview shows."""
    host = fed.hosts.require(name)
    for age in (20.0, 10.0, 0.0):
        fed.sample(host, "cpu_monitor", {"cpu_percent": 40.0 + age, "cpu_count": 4, "load_1min": 1.5}, age)
        fed.sample(host, "disk_monitor", {"/": {"percent": 93.5, "total_gb": 100.0, "free_gb": 6.5}}, age)
        fed.sample(host, "network_monitor", {"total": {"rx_bytes_per_second": 1500.0}}, age)
    fed.sample(
        host, "process_monitor", {"total": 2, "top_cpu": [{"pid": 812, "name": "postgres", "cpu_percent": 22.1}]}
    )


def offer(fed: FedDaemon, policy: Policy, name: str = "web") -> None:
    """The agent of a host is connected and has said what it allows."""
    host = fed.hosts.require(name)
    host.link = True
    fed.commands.offers(host, Offers("journal", policy))


async def sent_command(fed: FedDaemon) -> dict[str, Any]:
    """The command that went to the agent last, as soon as it is there."""
    async with asyncio.timeout(30):
        while not any(frame["type"] == "command" for frame in fed.sent):
            await asyncio.sleep(0.01)
    return next(frame for frame in reversed(fed.sent) if frame["type"] == "command")
