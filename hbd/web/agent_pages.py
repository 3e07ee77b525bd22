"""The pages of agents: all of them, where one is added, and installing one over SSH."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from hbd.access import Action, may
from hbd.remote import ssh_keys
from hbd.remote.install_script import line
from hbd.web import agent_view, agents
from hbd.web import deploy as deployments
from hbd.web.call import Call
from hbd.web.filtered import ROWS, filtered, fits, number, words
from hbd.web.layout import origin_of, page
from hbd.web.origins import is_secure
from hbd.web.pointing import HOST_NAME, HOST_NUMBER, KEY, ways

DEPLOYMENT_LOOKS = {
    "waiting": ("", "○"),
    "running": ("ON", "◐"),
    "done": ("UP", "●"),
    "failed": ("DOWN", "■"),
    "cancelled": ("UNKNOWN", "–"),
}
"""what deployments and their steps can be as a state, for its colour, and a shape"""
STATUSES = {"online": ("UP", "●"), "offline": ("DOWN", "■"), "pending": ("UNKNOWN", "?")}


class Row(NamedTuple):
    """A line of the list, with the sign of its status."""

    agent: agent_view.Agent
    state: str
    mark: str


class Choice(NamedTuple):
    """A status to see only those of, and how many have it."""

    word: str
    href: str
    agents: int
    chosen: bool


async def index(call: Call) -> web.Response:
    """``?q=&status=&from=``"""
    found = await agents.index(call)
    asked = call.request.query.get("status", "")
    status = asked if asked in STATUSES else ""
    wanted = words(call)
    named = [agent for agent in found if fits(wanted, _texts(agent))]
    fitting = [agent for agent in named if status in ("", agent.status)]
    part = filtered(call, "/agents", len(found), len(fitting), {"status": status} if status else {})
    return await page(
        call,
        "agents",
        filtered=part,
        status=status,
        statuses=_choices(Counter(agent.status for agent in named), status, part.q),
        rows=[Row(agent, *STATUSES[agent.status]) for agent in fitting[part.first : part.first + ROWS]],
        versions={agent.version for agent in found if agent.version},
        install_line=install_line(call),
        ways=ways(origin_of(call), HOST_NAME, HOST_NUMBER),
        may_add=may(call.identity, Action.ADMIN, changes=True).allowed,
        may_deploy=may(call.identity, Action.REMOTE_ADMIN, changes=True).allowed,
    )


def install_line(call: Call) -> str:
    """What somebody types on a machine to install its agent, with KEY where its key belongs."""
    scheme = "https" if is_secure(call.request, call.parts.config) else "http"
    return line(call.parts.whereabouts.as_asked(scheme, call.request.host), KEY)


def _texts(agent: agent_view.Agent) -> Sequence[str]:
    return (agent.hostname, agent.label, agent.os, agent.version, agent.ip, *agent.tags)


def _choices(counts: Counter[str], status: str, q: str) -> list[Choice]:
    def href(name: str) -> str:
        asked = {key: value for key, value in (("status", name), ("q", q)) if value}
        return f"/agents?{urlencode(asked)}" if asked else "/agents"

    every = Choice("All", href(""), counts.total(), not status)
    return [every, *(Choice(name.capitalize(), href(name), counts[name], name == status) for name in STATUSES)]


async def deploy(call: Call) -> web.Response:
    """``?id=``: a deployment to watch."""
    config = call.parts.config
    found = [deployments.view(one) for one in call.parts.deployments.recent()]
    asked, folder = number(call, "id"), ssh_keys.folder(config)
    return await page(
        call,
        "deploy",
        shown=next((one for one in found if one.id == asked), None),
        deployments=found,
        looks=DEPLOYMENT_LOOKS,
        ssh_folder=str(folder),
        ssh_keys=await asyncio.to_thread(ssh_keys.names, folder),
    )
