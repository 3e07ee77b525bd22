"""The rows of the table of routes about how much hosts were up, how they did of late, and when disks will be full."""

from __future__ import annotations

from hbd.access import Action
from hbd.web import availability, forecasts, sparklines
from hbd.web.call import Route

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/0/hosts/{host}/availability", availability.of_host, Action.VIEW,
        summary="How much of a span of time a host was up, on each family too, with its outages.",
        query=availability.HostQuery, answer=availability.HostAvailability,
    ),
    Route(
        "GET", "/api/0/availability", availability.of_hosts, Action.VIEW,
        summary="How much of a span of time all hosts were up.",
        query=availability.FleetQuery, answer=availability.FleetAvailability,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/forecast", forecasts.of_host, Action.VIEW,
        summary="When the disks of a host will be full, as far as anybody can tell.", answer=forecasts.HostForecast,
    ),
    Route(
        "GET", "/api/0/sparklines", sparklines.index, Action.VIEW,
        summary="CPU and memory of many hosts in the last hour, a point for each minute.",
        query=sparklines.SparklinesQuery, answer=sparklines.Sparklines,
    ),
)  # fmt: skip
