"""The contract of Grafana's JSON data source (simpod's, and SimpleJSON before it): what there is, and showing it.

Everything is asked by POST and nothing is changed. ``docs/grafana.md`` has the contract in examples.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

import hbd
from hbd.access import visible
from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.web import grafana_asked, grafana_rows, grafana_series
from hbd.web.call import Body, Call
from hbd.web.grafana_asked import Budget
from hbd.web.grafana_rows import milliseconds
from hbd.web.grafana_series import MOST_POINTS, MOST_TOP, Fields, Line, Wanted
from hbd.web.grafana_shapes import (
    AnnotationQuery,
    AnnotationSpan,
    GrafanaWelcome,
    MetricSetting,
    OfferedMetric,
    PanelColumn,
    PanelPayload,
    PanelQuery,
    PanelRange,
    PanelSeries,
    PanelTable,
    SettingChoice,
    TagKey,
    TagValue,
    VariableTarget,
    VariableValue,
)
from hbd.web.invalid import invalid

MOST_POINTS_OF_A_SERIES = 10_000
POINTS = 1_000  # of a series, where nobody says how many
MOST_SPANS = 1_000
ECHOED = ("name", "datasource", "enable", "iconColor", "query")
"""of an annotation, with each of its spans"""
MOST_ECHOED = 4_000  # bytes of that

TIMES = frozenset(("time", "timeEnd", "since", "last_seen"))
"""columns of tables"""
NUMBERS = (int, float, int | None, float | None)


class Listed(NamedTuple):
    """A target that is a table and no metric, which has a dot in its name."""

    label: str
    row: type[Struct]


TABLES = {
    "hosts": Listed("Hosts", grafana_rows.HostRow),
    "alerts": Listed("What is wrong now", grafana_rows.AlertRow),
    "alert_history": Listed("When something was wrong", grafana_rows.SpanRow),
}


def choices(*names: str) -> list[SettingChoice]:
    return [SettingChoice(name, name) for name in names]


SETTINGS_OF_TABLES = [
    MetricSetting("host", "Hosts", "multi-select", "all"),
    MetricSetting("tag", "With a tag", "multi-select", "any"),
]
SETTINGS = [
    *SETTINGS_OF_TABLES,
    MetricSetting("of", "Value", "select", "mean", choices("mean", "min", "max", "last")),
    MetricSetting(
        "show",
        "Counters",
        "select",
        "as rates",
        [SettingChoice("as rates", "auto"), SettingChoice("as they are", "value")],
    ),
    MetricSetting("aggregate", "Together", "select", "each host", choices("none", "mean", "sum", "min", "max")),
    MetricSetting("top", "Largest", "input", "all"),
]


async def welcome(call: Call) -> GrafanaWelcome:
    """What "Save & test" of a data source asks for."""
    return GrafanaWelcome("ok", hbd.__version__, len(visible(call.identity, call.parts.hosts)))


async def query(call: Call) -> Body:
    asked: PanelQuery = call.body
    now = time.time()
    span = _span(asked.range, now)
    conditions = grafana_asked.conditions([*asked.adhoc_filters, *asked.filters])
    budget = Budget()
    answers: list[bytes] = []
    room = MOST_POINTS
    for number, target in enumerate(asked.targets):
        if target.target is None or target.target == "" or target.hide:
            continue
        place = f"targets[{number}]"
        payload = _payload(target.payload, f"{place}.payload")
        fields = _fields(place)
        names = grafana_asked.names(payload.host, fields.hosts, budget)
        tags = grafana_asked.names(payload.tag, fields.tags, budget)
        hosts = grafana_series.hosts_of(call, names, tags, fields, conditions)
        await asyncio.sleep(0)  # others have their turn before the next one
        if target.target in TABLES:
            table = await _table(call, target.target, hosts, span)
            table.ref_id = target.ref_id
            answers.append(msgspec.json.encode(table))
            continue
        wanted = Wanted(
            grafana_asked.metrics(target.target, fields.metric, budget, several=False),
            hosts,
            *span,
            _step(call, asked, span, now),
            payload.of or "mean",
            payload.show or "auto",
            None if payload.aggregate == "" or payload.aggregate == "none" else payload.aggregate,
            _top(payload.top, fields.top),
        )
        found = await grafana_series.lines(call, wanted, fields, room)
        room -= sum(len(line.points) for line in found)
        together = f"{payload.aggregate} of all" if wanted.aggregate is not None else ""
        answers += await asyncio.to_thread(_encoded, found, target.ref_id, together)
    return Body(b"[" + b",".join(answers) + b"]")


async def metrics(call: Call) -> list[OfferedMetric]:
    """What the editor of a query offers."""
    hosts = visible(call.identity, call.parts.hosts)
    found = [OfferedMetric(f"{table.label} (table)", name, SETTINGS_OF_TABLES) for name, table in TABLES.items()]
    found += [OfferedMetric(name, name, SETTINGS) for name in await grafana_series.metric_names(call, hosts)]
    # A metric with stars is typed in, and stays what it is.
    typed = (call.body.metric or "").strip()
    if typed and all(typed != metric.value for metric in found):
        found.append(OfferedMetric(typed, typed, SETTINGS))
    return found


async def setting_choices(call: Call) -> list[SettingChoice]:
    hosts = visible(call.identity, call.parts.hosts)
    match call.body.name:
        case "host":
            names = [host.name for host in hosts[: grafana_series.MOST_NAMES]]
        case "tag":
            names = grafana_series.tag_names(hosts)
        case _:
            names = []
    return choices(*names)


async def variable(call: Call) -> list[VariableValue]:
    wanted: VariableTarget = call.body.payload
    fields = Fields(hosts="payload.host", tags="payload.tag")
    budget = Budget()
    names = grafana_asked.names(wanted.host, fields.hosts, budget)
    tags = grafana_asked.names(wanted.tag, fields.tags, budget)
    hosts = grafana_series.hosts_of(call, names, tags, fields)
    found = await _names(call, wanted.target, hosts, wanted.find)
    if found is None:
        raise InvalidInput("hosts, metrics and tags are known", "payload.target")
    return [VariableValue(name, name) for name in found]


async def search(call: Call) -> list[str]:
    """SimpleJSON asks this both for the values of a variable and for what a query can be about."""
    text = call.body.target or ""
    hosts = visible(call.identity, call.parts.hosts)
    found = await _names(call, text, hosts, "")
    if found is not None:
        return found
    tables = [name for name in TABLES if text.lower() in name]
    return [*tables, *await grafana_series.metric_names(call, hosts, text)]


async def tag_keys(call: Call) -> list[TagKey]:
    return [TagKey("string", "host"), TagKey("string", "tag")]


async def tag_values(call: Call) -> list[TagValue]:
    hosts = visible(call.identity, call.parts.hosts)
    found = await _names(call, "hosts" if call.body.key == "host" else "tags", hosts, "")
    return list(map(TagValue, found or ()))


async def wrong_times(call: Call) -> list[AnnotationSpan]:
    """When something was wrong, as SimpleJSON asks for it; with the JSON data source it is ``alert_history``."""
    asked: AnnotationQuery = call.body
    fields = Fields(hosts="annotation.query")
    annotation = {name: asked.annotation[name] for name in ECHOED if name in asked.annotation}
    if len(msgspec.json.encode(annotation)) > MOST_ECHOED:
        raise InvalidInput(f"more than {MOST_ECHOED:,} bytes in {', '.join(ECHOED)}", "annotation")
    given = annotation.get("query") or ""
    if not isinstance(given, str):
        raise InvalidInput("expected str", fields.hosts)
    hosts = grafana_series.hosts_of(call, grafana_asked.names(given, fields.hosts, Budget()), [], fields)
    rows = await grafana_rows.span_rows(call, hosts, *_span(asked.range, time.time()), MOST_SPANS)
    return [
        AnnotationSpan(annotation, row.time, row.time_end, True, row.title, row.text, row.tags.split(","))
        for row in rows
    ]


async def _table(call: Call, name: str, hosts: list[Host], span: tuple[float, float]) -> PanelTable:
    rows: Sequence[Struct]
    match name:
        case "hosts":
            rows = await grafana_rows.host_rows(call, hosts)
        case "alerts":
            rows = grafana_rows.alert_rows(call, hosts)
        case _:
            rows = await grafana_rows.span_rows(call, hosts, *span, MOST_SPANS)
    fields = msgspec.structs.fields(TABLES[name].row)
    columns = [PanelColumn(field.encode_name, _type(field.encode_name, field.type)) for field in fields]
    return PanelTable(columns, [list(msgspec.structs.astuple(row)) for row in rows])


def _type(name: str, kind: Any) -> Literal["time", "string", "number", "boolean"]:
    if name in TIMES:
        return "time"
    if kind is bool:
        return "boolean"
    return "number" if kind in NUMBERS else "string"


async def _names(call: Call, what: str, hosts: list[Host], find: str) -> list[str] | None:
    """The names of hosts, metrics or tags; None for anything else."""
    match what:
        case "hosts":
            found = [host.name for host in hosts]
        case "tags":
            found = grafana_series.tag_names(hosts)
        case "metrics":
            return await grafana_series.metric_names(call, hosts, find)
        case _:
            return None
    return [name for name in found if find.lower() in name.lower()]


def _span(range: PanelRange, now: float) -> tuple[float, float]:
    start = grafana_asked.moment(range.start, now, "range.from")
    to = grafana_asked.moment(range.to, now, "range.to")
    if not start < to:
        raise InvalidInput("must be before range.to", "range.from")
    return start, to


def _step(call: Call, asked: PanelQuery, span: tuple[float, float], now: float) -> float:
    length = span[1] - span[0]
    most = min(asked.max_data_points or POINTS, MOST_POINTS_OF_A_SERIES)
    wanted = max((asked.interval_ms or 0.0) / 1000, length / most)
    return grafana_series.step_of(call, length, wanted, now, span[0])


def _payload(given: PanelPayload | str | None, name: str) -> PanelPayload:
    """An object, or one as text, as older versions send what was typed in."""
    if not isinstance(given, str):
        return given or PanelPayload()
    if not given.strip():
        return PanelPayload()
    try:
        return msgspec.json.decode(given, type=PanelPayload)
    except msgspec.ValidationError as error:
        wrong = invalid(error, PanelPayload)
        raise InvalidInput(wrong.reason, f"{name}.{wrong.field}" if wrong.field else name) from None
    except msgspec.DecodeError:
        raise InvalidInput("is not JSON", name) from None


def _top(given: int | str, name: str) -> int | None:
    if given == "":
        return None
    try:
        top = int(given)
    except ValueError:
        top = 0
    if not 1 <= top <= MOST_TOP:
        raise InvalidInput(f"a number from 1 to {MOST_TOP}", name)
    return top


def _fields(place: str) -> Fields:
    payload = f"{place}.payload"
    return Fields(
        f"{place}.target",
        f"{payload}.host",
        f"{payload}.tag",
        "range.from",
        "range.to",
        "intervalMs",
        f"{payload}.top",
        f"{payload}.aggregate",
    )


def _encoded(found: list[Line], ref_id: str | None, together: str) -> list[bytes]:
    encode = msgspec.json.Encoder().encode
    answers = []
    for line in found:
        name = f"{line.host or together} {line.metric}"
        points = [(value, milliseconds(moment)) for moment, value in line.points]
        labels = {"host": line.host, "metric": line.metric} if line.host else {"metric": line.metric}
        answers.append(encode(PanelSeries(name, name, points, labels, ref_id)))
    return answers
