"""What Grafana's JSON data source sends and takes, as types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from hbd.web.grafana_asked import MOST_LISTED, Filter

MOST_TARGETS = 26  # of one panel

Text = Annotated[str, Meta(max_length=200_000)]
Short = Annotated[str, Meta(max_length=1_000)]
Time = Annotated[str, Meta(max_length=64)] | float
Names = Text | Annotated[list[Short], Meta(max_length=MOST_LISTED)]
Filters = Annotated[list[Filter], Meta(max_length=20)]


class PanelRange(Struct):
    """ISO 8601, or milliseconds since 1970."""

    start: Time = field(name="from")
    to: Time


class PanelPayload(Struct):
    """What somebody chose beside the metric. host, tag: names, patterns, or variables with several values.

    top: only so many hosts, those where the newest value is the largest; "" for all.
    """

    host: Names = ""
    tag: Names = ""
    of: Literal["", "mean", "min", "max", "last"] = ""
    show: Literal["", "auto", "value", "rate"] = ""
    aggregate: Literal["", "none", "mean", "sum", "min", "max"] = ""
    top: int | Short = ""


class PanelTarget(Struct):
    """target: a metric with ``*``, or one of ``hosts``, ``alerts`` and ``alert_history``."""

    target: Annotated[str, Meta(max_length=4_000)] | None = None
    ref_id: Short | None = field(default=None, name="refId")
    hide: bool = False
    payload: PanelPayload | Text | None = None


class PanelQuery(Struct):
    range: PanelRange
    targets: Annotated[list[PanelTarget], Meta(max_length=MOST_TARGETS)] = field(default_factory=list)
    interval_ms: Annotated[float, Meta(gt=0)] | None = field(default=None, name="intervalMs")
    max_data_points: Annotated[float, Meta(gt=0)] | None = field(default=None, name="maxDataPoints")
    adhoc_filters: Filters = field(default_factory=list, name="adhocFilters")
    filters: Filters = field(default_factory=list)
    """the same, as Grafana 11 and later name them"""


class PanelSeries(Struct, omit_defaults=True):
    """datapoints: (value, milliseconds), oldest first; null in a gap. tags: what becomes the labels of the series.

    title: what it is called in the legend, which would be its labels otherwise.
    """

    target: str
    title: str
    datapoints: list[tuple[float | None, int]]
    tags: dict[str, str]
    ref_id: str | None = field(default=None, name="refId")


class PanelColumn(Struct):
    text: str
    type: Literal["time", "string", "number", "boolean"]


class PanelTable(Struct):
    columns: list[PanelColumn]
    rows: list[list[Any]]
    type: Literal["table"] = "table"
    ref_id: str | None = field(default=None, name="refId")


class GrafanaWelcome(Struct):
    """hosts: how many the caller sees."""

    status: str
    version: str
    hosts: int


class EditedQuery(Struct):
    """What the editor of a query has so far."""

    metric: Annotated[str, Meta(max_length=4_000)] | None = None


class SettingChoice(Struct):
    label: str
    value: str


class MetricSetting(Struct, omit_defaults=True):
    """One field beside the metric, in the editor of a query."""

    name: str
    label: str
    type: Literal["input", "select", "multi-select"] = "input"
    placeholder: str = ""
    options: list[SettingChoice] = field(default_factory=list)


class OfferedMetric(Struct):
    label: str
    value: str
    payloads: list[MetricSetting]


class SettingQuery(Struct):
    """name: of the setting whose choices are asked for."""

    name: Short


class VariableTarget(Struct):
    """target: ``hosts``, ``metrics`` or ``tags``. host, tag: only of these hosts. find: only what has this in it."""

    target: Short = "hosts"
    host: Names = ""
    tag: Names = ""
    find: Short = ""


class VariableQuery(Struct):
    payload: VariableTarget = field(default_factory=VariableTarget)


class VariableValue(Struct, rename={"text": "__text", "value": "__value"}):
    text: str
    value: str


class SearchQuery(Struct):
    target: Annotated[str, Meta(max_length=4_000)] | None = None


class TagKey(Struct):
    type: str
    text: str


class TagKeyQuery(Struct):
    key: Literal["host", "tag"]


class TagValue(Struct):
    text: str


class AnnotationQuery(Struct):
    """annotation: as it is in the dashboard. Its ``query`` has names and patterns of hosts, separated by commas; all
    where it is empty."""

    range: PanelRange
    annotation: dict[str, Any] = field(default_factory=dict)


class AnnotationSpan(Struct, rename={"time_end": "timeEnd", "is_region": "isRegion"}):
    """annotation: of the one that was asked for, what tells it from others. time, timeEnd: milliseconds."""

    annotation: dict[str, Any]
    time: int
    time_end: int
    is_region: bool
    title: str
    text: str
    tags: list[str]
