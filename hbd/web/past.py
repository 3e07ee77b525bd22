"""What was shown at a moment of the past: ``?at=`` of the API and of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from hbd import chronicle
from hbd.access import visible
from hbd.errors import Busy, InvalidInput, NotFound
from hbd.hosts import Host
from hbd.model import Level, Sample
from hbd.store.chronicle import Run
from hbd.web import schemas
from hbd.web.alert_count import SEVERITY
from hbd.web.alert_words import allowed_to
from hbd.web.call import Call
from hbd.web.history import moment
from hbd.web.recorder import NEWEST, OPEN, STANDS

HOSTS_AT_ONCE = 50  # read in one go; others get at the database between two
CHART_SECONDS = 3600.0  # of samples that the page of plugins draws
MOST_SAMPLES = 1_000
STEPS = (("1 min", 60.0), ("10 min", 600.0), ("1 h", 3600.0), ("1 d", 86_400.0))
LOOK_BACK = 600.0


class AtQuery(Struct):
    at: Annotated[
        str,
        Meta(
            max_length=64,
            description="What was answered at that moment: Unix seconds, ISO 8601, or `now-6h`. Without it: now.",
        ),
    ] = ""


class Shown(Struct):
    """What was shown of a host. alerts: those that were open, by path; newest: time and count of samples by plugin."""

    host: Host
    doc: dict[str, Any]
    alerts: dict[str, dict[str, Any]]
    newest: dict[str, dict[str, Any]]


async def moment_of(call: Call, text: str) -> float | None:
    """Unix seconds of the moment that is asked for; None: now.

    Raises InvalidInput for what is no moment of the past, NotFound when nothing is known of it.
    """
    if not text:
        return None
    now = call.parts.recorder.clock()
    at = moment(text, now, "at")
    if at > now:
        raise InvalidInput("lies in the future", "at")
    before, after = await call.parts.store.chronicle.run_at(_ms(at))
    current = call.parts.recorder.current
    if current is not None and current.started <= _ms(at):
        before, after = current, None
    elif current is not None and after is None:
        after = current
    if before is None:
        oldest = "" if after is None else f"; what was shown is known from {_words(after.started)} on"
        raise NotFound(f"Nothing is known of {_words(_ms(at))}{oldest}")
    if after is not None and at * 1000 > before.last:
        raise NotFound(_not_running(at, before, after))
    return at


def _not_running(at: float, before: Run, after: Run) -> str:
    return (
        f"hbd was not running at {_words(_ms(at))}: it stopped at {_words(before.last)},"
        f" and started again at {_words(after.started)}"
    )


async def shown(call: Call, hosts: Iterable[Host], at: float) -> list[Shown]:
    """Of hosts that the caller may see, those that were there, in the order of the names that they had.

    Raises Busy when too many ask for the past already.
    """
    asked = {host.id: host for host in hosts}
    ids, found = list(asked), []
    async with call.parts.past_readers.turn(call.identity.name or call.caller.address):
        for start in range(0, len(ids), HOSTS_AT_ONCE):
            if call.request.transport is None or call.request.transport.is_closing():
                raise Busy("Whoever asked is gone")
            found += await _shown(call, asked, ids[start : start + HOSTS_AT_ONCE], _ms(at))
    found.sort(key=lambda one: str(one.doc["name"]).lower())
    return found


async def _shown(call: Call, asked: dict[int, Host], ids: list[int], at: int) -> list[Shown]:
    waiting = {host_id: call.parts.recorder.waiting(host_id) for host_id in ids}
    stored = await call.parts.store.chronicle.at(ids, at)
    found = []
    for host_id in ids:
        leaves = chronicle.apply(stored.get(host_id, {}), waiting[host_id], at)
        if leaves:
            doc = chronicle.unflatten(leaves)
            found.append(Shown(asked[host_id], doc, doc.pop(OPEN, {}), doc.pop(NEWEST, {})))
    return found


async def hosts_at(call: Call, at: float) -> list[schemas.Host]:
    """All hosts that the caller may see."""
    return [host_of(one) for one in await shown(call, visible(call.identity, call.parts.hosts), at)]


def host_of(one: Shown) -> schemas.Host:
    return msgspec.convert(one.doc, schemas.Host)


async def alerts_at(call: Call, at: float, limit: int | None = None) -> schemas.Alerts:
    """What was open on the hosts that the caller may see."""
    return alerts_of(call, await shown(call, visible(call.identity, call.parts.hosts), at), limit)


def alerts_of(call: Call, hosts: Sequence[Shown], limit: int | None = None) -> schemas.Alerts:
    """limit: so many are shown, and all are counted."""
    answer = schemas.Alerts(host_count=len(hosts), metric_count=sum(sum(one.doc["alerts"].values()) for one in hosts))
    found: list[schemas.Alert] = []
    for one in hosts:
        allowed = allowed_to(call.identity, one.host) if one.alerts else []
        for words in one.alerts.values():
            stands = words.pop(STANDS, False)
            words |= {"hostname": one.doc["name"], "tags": one.doc["tags"], "allowed": allowed}
            alert = msgspec.convert(words, schemas.Alert)
            found.append(alert)
            if stands:
                answer.open_count += 1
                answer.open_level = min(answer.open_level, alert.level, key=SEVERITY.__getitem__)
    found.sort(key=lambda alert: (SEVERITY[alert.level], -alert.since, alert.hostname.lower(), alert.metric_path))
    levels = [alert.level for alert in found]
    answer.summary = schemas.AlertTotals(
        critical=levels.count(Level.CRITICAL),
        warning=levels.count(Level.WARNING),
        unknown=levels.count(Level.UNKNOWN),
        total=len(found),
    )
    answer.alerts = found[:limit]
    return answer


async def plugins_at(call: Call, host: Host, at: float) -> schemas.HostPlugins:
    """The newest samples of a host, as they were. Raises NotFound when the host was not there, or single samples of
    that time are not kept any more."""
    one, newest = await one_at(call, host, at), await newest_at(call, host, at)
    counts = {plugin: known["count"] for plugin, known in one.newest.items()}
    plugins = {name: schemas.PluginState(sample.time, sample.data, counts[name]) for name, sample in newest.items()}
    return schemas.HostPlugins(one.doc["name"], plugins)


async def newest_at(call: Call, host: Host, at: float) -> dict[str, Sample]:
    """The newest sample of each plugin, as they were. Raises NotFound as ``plugins_at``."""
    one = await one_at(call, host, at)
    kept = call.parts.config.retention.samples
    if at < call.parts.recorder.clock() - kept:
        raise NotFound(f"Single samples are kept for {kept / 3600:g} h (retention.samples), and that is longer ago")
    found: dict[str, Sample] = {}
    for plugin, newest in one.newest.items():
        sample = await call.parts.store.samples.newest_before(host.id, plugin, newest["time"])
        if sample is not None and sample.time == newest["time"]:
            found[plugin] = sample
    return found


async def one_at(call: Call, host: Host, at: float) -> Shown:
    found = await shown(call, [host], at)
    if not found:
        raise NotFound(f"Host '{host.name}' was not known at {_words(_ms(at))}")
    return found[0]


async def samples_at(call: Call, host: Host, plugin: str, newest: float) -> list[Sample]:
    """The samples of a plugin in the hour up to one of them, newest first."""
    found = await call.parts.store.history.samples(
        host.id, plugin, newest - CHART_SECONDS, newest + 0.001, MOST_SAMPLES
    )
    return [sample for sample in reversed(found) if sample.time <= newest]


# ---------------------------------------------------------------------------------------------------------------- pages


class Step(NamedTuple):
    label: str
    href: str


class Moment(NamedTuple):
    """What a page of the past says of its time. text: as the URL has it. at: Unix seconds; None where ``problem`` says
    why there is nothing to show; instead: a page that has something of that time, "" for none. kept: the other
    parameters of its URL."""

    text: str
    at: float | None
    problem: str
    ago: float
    back: list[Step]
    forth: list[Step]
    now: str
    kept: list[tuple[str, str]]
    instead: str = ""


async def moment_of_page(call: Call) -> Moment | None:
    """What the URL of a page asks for; None: now."""
    query = call.request.query
    text = query.get("at", "").strip()[:64]
    kept = [(name, value) for name, value in query.items() if name != "at"]
    if not text:
        return None
    problem, at = "", None
    try:
        at = await moment_of(call, text)
    except InvalidInput as wrong:
        problem = f"“{text}” is no moment of the past: {wrong.reason}."
    except NotFound as wrong:
        problem = f"{wrong}."
    now = call.parts.recorder.clock()
    shown = at if at is not None else _read(text, now)
    back = [Step(f"−{label}", _at(call, shown - seconds, kept)) for label, seconds in reversed(STEPS)]
    forth = [Step(f"+{label}", _at(call, shown + seconds, kept)) for label, seconds in STEPS if shown + seconds < now]
    # A moment is named as such, so that a page of some minutes ago is the same when it is opened again.
    text = text if at is None else _iso(at)
    return Moment(text, at, problem, now - shown, back, forth, _address(call, kept), kept)


def way_back(call: Call, parameters: Mapping[str, str]) -> str:
    """The page that is shown, as it was some minutes ago. parameters: of its URL, as far as they mean anything."""
    kept = [(name, value) for name, value in parameters.items() if value]
    return _at(call, call.parts.recorder.clock() - LOOK_BACK, kept)


def _read(text: str, now: float) -> float:
    try:
        return min(moment(text, now, "at"), now)
    except InvalidInput:
        return now


def _at(call: Call, at: float, kept: list[tuple[str, str]]) -> str:
    return _address(call, [*kept, ("at", _iso(at))])


def _address(call: Call, parameters: list[tuple[str, str]]) -> str:
    return call.request.path + (f"?{urlencode(parameters, safe=',:')}" if parameters else "")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(at: float) -> int:
    return round(at * 1000)


def _words(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
