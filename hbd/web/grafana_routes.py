"""The rows of the table of routes that Grafana asks: the contract of its JSON data source, and flat tables."""

from __future__ import annotations

from typing import Any

from hbd.access import Action
from hbd.web import grafana, grafana_rows, grafana_tables
from hbd.web import grafana_shapes as shapes
from hbd.web.call import Route

BASE = "/api/0/grafana"

ROUTES: tuple[Route, ...] = (
    *(
        Route(
            "GET", path, grafana.welcome, Action.VIEW,
            summary="Whether Grafana may ask here.", answer=shapes.GrafanaWelcome,
        )
        for path in (BASE, f"{BASE}/")
    ),
    Route(
        "POST", f"{BASE}/query", grafana.query, Action.VIEW, asks=True,
        summary="Series and tables for a panel of Grafana's JSON data source.",
        body=shapes.PanelQuery, answer=list[dict[str, Any]], statuses=(404, 503),
    ),
    Route(
        "POST", f"{BASE}/metrics", grafana.metrics, Action.VIEW, asks=True,
        summary="What a query of Grafana's JSON data source can be about, with its settings.",
        body=shapes.EditedQuery, answer=list[shapes.OfferedMetric],
    ),
    Route(
        "POST", f"{BASE}/metric-payload-options", grafana.setting_choices, Action.VIEW, asks=True,
        summary="The choices of a setting of a query.", body=shapes.SettingQuery, answer=list[shapes.SettingChoice],
    ),
    Route(
        "POST", f"{BASE}/variable", grafana.variable, Action.VIEW, asks=True,
        summary="The values of a variable of Grafana's JSON data source.",
        body=shapes.VariableQuery, answer=list[shapes.VariableValue], statuses=(404,),
    ),
    Route(
        "POST", f"{BASE}/search", grafana.search, Action.VIEW, asks=True,
        summary="Names of metrics, hosts or tags, as SimpleJSON asks for them.",
        body=shapes.SearchQuery, answer=list[str],
    ),
    Route(
        "POST", f"{BASE}/tag-keys", grafana.tag_keys, Action.VIEW, asks=True,
        summary="What ad hoc filters of Grafana can filter by.", answer=list[shapes.TagKey],
    ),
    Route(
        "POST", f"{BASE}/tag-values", grafana.tag_values, Action.VIEW, asks=True,
        summary="The values of an ad hoc filter.", body=shapes.TagKeyQuery, answer=list[shapes.TagValue],
    ),
    Route(
        "POST", f"{BASE}/annotations", grafana.wrong_times, Action.VIEW, asks=True,
        summary="When something was wrong, as SimpleJSON asks for it.",
        body=shapes.AnnotationQuery, answer=list[shapes.AnnotationSpan], statuses=(404, 503),
    ),
    Route(
        "GET", f"{BASE}/hosts", grafana_tables.hosts, Action.VIEW,
        summary="Hosts with their state and a few numbers, as flat rows.",
        query=grafana_tables.HostsQuery, answer=list[grafana_rows.HostRow], statuses=(404,),
    ),
    Route(
        "GET", f"{BASE}/metrics", grafana_tables.metrics, Action.VIEW,
        summary="Names of what hosts measure as numbers.",
        query=grafana_tables.NamesQuery, answer=list[grafana_rows.MetricRow], statuses=(404,),
    ),
    Route(
        "GET", f"{BASE}/latest", grafana_tables.latest, Action.VIEW,
        summary="Newest values of metrics, as flat rows.",
        query=grafana_tables.LatestQuery, answer=list[grafana_rows.ValueRow], statuses=(404,),
    ),
    Route(
        "GET", f"{BASE}/series", grafana_tables.series, Action.VIEW,
        summary="What metrics of hosts were in a span of time, as flat rows.",
        query=grafana_tables.SeriesQuery, answer=list[grafana_rows.ValueRow], statuses=(404, 503),
    ),
    Route(
        "GET", f"{BASE}/alerts", grafana_tables.alerts, Action.VIEW,
        summary="What is wrong now, as flat rows.",
        query=grafana_tables.AlertsQuery, answer=list[grafana_rows.AlertRow], statuses=(404,),
    ),
    Route(
        "GET", f"{BASE}/annotations", grafana_tables.wrong_times, Action.VIEW,
        summary="When something was wrong, as flat rows.",
        query=grafana_tables.SpansQuery, answer=list[grafana_rows.SpanRow], statuses=(404, 503),
    ),
    Route(
        "GET", f"{BASE}/dashboards/{{name}}", grafana_tables.dashboard, Action.VIEW,
        summary="A dashboard to import into Grafana.", answer=dict, statuses=(404,),
    ),
)  # fmt: skip
