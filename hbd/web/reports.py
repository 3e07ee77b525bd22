"""What agents of other systems sent for a host and were answered, and whether and how often it may report."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.errors import InvalidInput
from hbd.report_log import LoggedReport
from hbd.store.reports import KEPT
from hbd.web.call import Call

MAX_INTERVAL = 86_400.0


class ReportsQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=KEPT, description="How many reports.")] = 50


class HostReports(Struct):
    hostname: str
    reports: list[LoggedReport]
    """newest first"""


class ReportingTerms(Struct):
    """min_report_interval: the least seconds between two reports of an agent of another system; 0: any."""

    enabled: bool
    min_report_interval: float


class ReportingChange(Struct, forbid_unknown_fields=True):
    """What is left out stays."""

    enabled: bool | UnsetType = UNSET
    min_report_interval: Annotated[float, Meta(ge=0, le=MAX_INTERVAL)] | UnsetType = UNSET


async def index(call: Call) -> HostReports:
    query: ReportsQuery = call.query
    return HostReports(call.host.name, await call.parts.doors.log.recent(call.host, query.limit))


async def show_terms(call: Call) -> ReportingTerms:
    return ReportingTerms(call.host.enabled, call.host.min_report_interval)


async def update_terms(call: Call) -> ReportingTerms:
    host, body = call.host, call.body
    assert isinstance(body, ReportingChange)
    enabled = None if body.enabled is UNSET else body.enabled
    interval = None if body.min_report_interval is UNSET else body.min_report_interval
    if enabled is None and interval is None:
        raise InvalidInput("enabled or min_report_interval is needed")
    told = [] if enabled is None else ["switched on" if enabled else "switched off"]
    told += [] if interval is None else [f"a report every {interval:g} s at most"]
    entry = call.entry("host.reporting", f"host {host.name}", detail=", ".join(told))
    await call.parts.reporting.change(host, entry, enabled=enabled, min_report_interval=interval)
    await call.parts.apply_reporting(host)
    return await show_terms(call)
