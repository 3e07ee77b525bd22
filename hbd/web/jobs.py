"""Jobs that call when they are done: their calls, and what people see and change of them."""

from __future__ import annotations

import asyncio
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct, field

from hbd.access import Action, may, visible
from hbd.accounts.shown import check_texts
from hbd.errors import InvalidInput, NotFound
from hbd.hosts import Host
from hbd.job_schedule import Status, Timing, deadlines
from hbd.jobs import in_words
from hbd.schedule import UTC
from hbd.store.jobs import PINGS_KEPT, Job, Ping
from hbd.web.call import Call
from hbd.web.scope import seconds

LONGEST_RUN = 64
JOBS_AT_ONCE = 50  # so many are looked at before others get their turn on the event loop
MOST_BODY_BYTES = 10_000  # of a call; what is more is not kept
HIGHEST_CODE = 255
DAY, HOUR = 86_400.0, 3_600.0

Duration = float | Annotated[str, Meta(max_length=20)]


class JobBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """period, grace: seconds, or ``1d``. cron: five fields, in place of a period; timezone: where clocks show them.

    paused: nothing is missed until it calls again.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    period: Duration | None = None
    grace: Duration = HOUR
    cron: Annotated[str, Meta(max_length=100)] = ""
    timezone: Annotated[str, Meta(max_length=64)] = UTC
    paused: bool = False


class JobView(Struct):
    """reason: why it has its status, in words. schedule: period or cron in words. ping_url: what the job calls; null
    for those who may not change it. begun: since when it runs. due: when the next call is due, and down_at: when it
    counts as missed. Unix seconds; null: it is not known, or there is none."""

    id: int
    host: str
    name: str
    status: str
    reason: str
    schedule: str
    period: float | None
    cron: str
    timezone: str
    grace: float
    paused: bool
    created: float
    author: str
    ping_url: str | None
    last_ping: float | None
    running: bool
    begun: float | None
    seconds: float | None
    exit_code: int | None
    due: float | None
    down_at: float | None


class JobList(Struct):
    jobs: list[JobView] = field(default_factory=list)


class Pings(Struct):
    pings: list[Ping]
    """newest first"""


class PingsQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=PINGS_KEPT, description="How many calls.")] = 20


class PingQuery(Struct):
    """rid: of the run, so that runs that overlap are told apart."""

    rid: Annotated[str, Meta(max_length=LONGEST_RUN)] = ""


# -------------------------------------------------------------------------------------------------------------- calls


async def ping(call: Call) -> web.Response:
    """``/ping/<uuid>``, ``…/start``, ``…/fail``, ``…/log`` and ``…/<exit code>``."""
    kind, code = _kind(call.path.get("what", ""))
    body = b""
    if call.request.method == "POST":
        async for chunk in call.request.content.iter_chunked(MOST_BODY_BYTES):
            body += chunk[: MOST_BODY_BYTES - len(body)]
            if len(body) >= MOST_BODY_BYTES:
                break
    await call.parts.jobs.ping(
        call.path["token"].lower(),
        kind,
        exit_code=code,
        run=call.query.rid,
        address=call.caller.address,
        body=body.decode("utf-8", "replace"),
    )
    return web.Response(text="OK")


def _kind(what: str) -> tuple[str, int | None]:
    if what.isascii() and what.isdecimal() and len(what) <= 3 and int(what) <= HIGHEST_CODE:
        return ("success" if int(what) == 0 else "fail"), int(what)
    if what not in ("", "start", "fail", "log"):
        raise InvalidInput("expected start, fail, log or an exit code from 0 to 255")
    return what or "success", None


# ------------------------------------------------------------------------------------------------------------- people


async def index(call: Call) -> JobList:
    """Of all hosts that the caller sees."""
    hosts = {host.id: host for host in visible(call.identity, call.parts.hosts)}
    found = JobList()
    for number, job in enumerate(list(call.parts.jobs.all())):
        if job.host_id in hosts:
            found.jobs.append(view(call, hosts[job.host_id], job))
        if number % JOBS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


async def of_host(call: Call) -> JobList:
    return JobList([view(call, call.host, job) for job in call.parts.jobs.of(call.host)])


async def show(call: Call) -> JobView:
    return view(call, call.host, _named(call))


async def pings(call: Call) -> Pings:
    return Pings(await call.parts.jobs.pings(_named(call), call.query.limit))


async def create(call: Call) -> JobView:
    name, timing = _given(call)
    entry = call.entry("job.create", f"job {name} of {call.host.name}")
    return view(call, call.host, await call.parts.jobs.add(call.host, name, timing, call.identity.name, entry))


async def update(call: Call) -> JobView:
    job = _named(call)
    name, timing = _given(call)
    entry = call.entry("job.change", f"job {job.name} of {call.host.name}")
    return view(call, call.host, await call.parts.jobs.change(call.host, job.id, name, timing, call.body.paused, entry))


async def delete(call: Call) -> web.Response:
    job = _named(call)
    await call.parts.jobs.delete(call.host, job.id, call.entry("job.delete", f"job {job.name} of {call.host.name}"))
    return web.Response(status=204)


def _named(call: Call) -> Job:
    text = call.path["id"]
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return call.parts.jobs.get(call.host, int(text))
    raise NotFound(f"Job '{text}' not found")


def _given(call: Call) -> tuple[str, Timing]:
    """Name and times in the body. A job that says neither period nor cron calls once a day."""
    body = call.body
    assert isinstance(body, JobBody)
    check_texts(name=body.name, cron=body.cron, timezone=body.timezone)
    name = body.name.strip()
    if not name:
        raise InvalidInput("is needed", "name")
    period = _seconds("period", body.period) if body.period is not None else None
    if period is None and not body.cron:
        period = DAY
    grace = _seconds("grace", body.grace)
    return name, Timing.read(period=period, grace=grace, cron=" ".join(body.cron.split()), timezone=body.timezone)


def _seconds(name: str, duration: Duration) -> float:
    try:
        return seconds(duration)
    except InvalidInput as wrong:
        raise InvalidInput(wrong.reason, name) from None


def view(call: Call, host: Host, job: Job) -> JobView:
    now, progress, timing = call.parts.jobs.clock().wall, job.progress, job.timing
    status = call.parts.jobs.status(job, now)
    due, down_at = deadlines(timing, progress)
    waits = status in (Status.UP, Status.LATE, Status.NEW)
    comes_again = progress.failed and status is Status.DOWN and now < due
    mine = may(call.identity, Action.MANAGE, host, changes=True).allowed
    return JobView(
        id=job.id,
        host=host.name,
        name=job.name,
        status=str(status),
        reason=in_words(job, status, now),
        schedule=timing.words,
        period=timing.period,
        cron=timing.cron,
        timezone=timing.timezone,
        grace=timing.grace,
        paused=job.paused,
        created=job.created,
        author=job.author,
        ping_url=f"{_base(call)}/ping/{job.token}" if mine else None,
        last_ping=progress.heard,
        running=progress.begun is not None,
        begun=progress.begun,
        seconds=progress.seconds,
        exit_code=progress.exit_code,
        due=due if (waits or comes_again) and due < float("inf") else None,
        down_at=down_at if waits and down_at < float("inf") else None,
    )


def _base(call: Call) -> str:
    return call.parts.config.base_url or f"{call.request.scheme}://{call.request.host}"
