"""The pages of jobs: all of them, and those of one host with what they said."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from hbd.access import Action, may, visible
from hbd.store.jobs import PINGS_KEPT, Ping
from hbd.web import jobs
from hbd.web.call import Call
from hbd.web.filtered import ROWS, filtered, fits, number, words
from hbd.web.layout import page
from hbd.web.pointing import calls

HOSTS_OFFERED = 500  # names that a field offers
CALLS = 50
LONGEST_TEXT = 4000  # characters of what a job said; the API has all of it
LOOKS = {
    "down": ("DOWN", "■"),
    "unseen": ("UNKNOWN", "?"),
    "late": ("OVERDUE", "▲"),
    "up": ("UP", "●"),
    "new": ("", "○"),
    "paused": ("", "–"),
}
"""statuses as a state, for its colour, and a shape; the worst first"""
_ORDER = {status: place for place, status in enumerate(LOOKS)}
CALL_LOOKS = {
    "success": ("UP", "●", "done"),
    "fail": ("DOWN", "■", "failed"),
    "start": ("ON", "◐", "began"),
    "log": ("", "–", "said"),
}


class Choice(NamedTuple):
    """A status to see only those of, and how many have it."""

    word: str
    href: str
    jobs: int
    chosen: bool


class Said(NamedTuple):
    """A call with the end of what came with it. cut: whether there was more."""

    ping: Ping
    text: str
    cut: bool


async def index(call: Call) -> web.Response:
    """``?q=&status=&from=``: the jobs of all hosts that the caller sees, the worst first."""
    found = (await jobs.index(call)).jobs
    asked = call.request.query.get("status", "")
    status = asked if asked in LOOKS else ""
    wanted = words(call)
    named = [job for job in found if fits(wanted, (job.name, job.host, job.schedule))]
    fitting = [job for job in named if status in ("", job.status)]
    fitting.sort(key=lambda job: (_ORDER[job.status], job.host.lower(), job.name.lower()))
    part = filtered(call, "/jobs", len(found), len(fitting), {"status": status} if status else {})
    managed = [
        host.name
        for host in visible(call.identity, call.parts.hosts)
        if may(call.identity, Action.MANAGE, host, changes=True).allowed
    ]
    return await page(
        call,
        "jobs",
        filtered=part,
        status=status,
        statuses=_choices(Counter(job.status for job in named), status, part.q),
        rows=fitting[part.first : part.first + ROWS],
        looks=LOOKS,
        may_add=bool(managed),
        hosts=managed[:HOSTS_OFFERED],
    )


def _choices(counts: Counter[str], status: str, q: str) -> list[Choice]:
    """All, and each status that there is."""

    def href(name: str) -> str:
        asked = {key: value for key, value in (("status", name), ("q", q)) if value}
        return f"/jobs?{urlencode(asked)}" if asked else "/jobs"

    every = Choice("All", href(""), counts.total(), not status)
    shown = [name for name in LOOKS if counts[name] or name == status]
    return [every, *(Choice(name.capitalize(), href(name), counts[name], name == status) for name in shown)]


async def of_host(call: Call) -> dict[str, Any]:
    """``?job=``: the id of one, with its calls; without it all of the host."""
    asked = number(call, "job")
    found = (await jobs.of_host(call)).jobs
    chosen = next((job for job in found if job.id == asked), None)
    values: dict[str, Any] = {
        "looks": LOOKS,
        "asked": asked,
        "chosen": chosen,
        "may_manage": may(call.identity, Action.MANAGE, call.host, changes=True).allowed,
    }
    if chosen is None:
        return values | {"jobs": found}
    made = await call.parts.jobs.pings(call.parts.jobs.get(call.host, chosen.id), CALLS)
    return values | {
        "lines": calls(chosen.ping_url, chosen.cron) if chosen.ping_url else [],
        "calls": [Said(one, one.body[-LONGEST_TEXT:], len(one.body) > LONGEST_TEXT) for one in made],
        "call_looks": CALL_LOOKS,
        "kept": PINGS_KEPT,
    }
