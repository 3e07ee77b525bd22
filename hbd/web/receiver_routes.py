"""The rows of the table of routes that foreign agents report to, and what became of their reports."""

from __future__ import annotations

from hbd.access import Action
from hbd.web import foreign, influx, jobs, nagios, reports, scrapes
from hbd.web.call import Route

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/agent/report", foreign.monitron_report, Action.ENTER,
        summary="The report of a Monitron-style agent, its key in the body; any media type.",
        answer=dict, statuses=(403, 404, 413, 422, 429, 503), limited=False,
    ),
    Route(
        "POST", "/agent/v1/report", foreign.hitflow_report, Action.ENTER,
        summary="The report of a HitFlow-style agent, its key in a header; any media type.",
        answer=dict, statuses=(400, 401, 403, 413, 429, 503), limited=False,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/reports", reports.index, Action.VIEW,
        summary="What agents of other systems sent for a host and were answered, newest first.",
        query=reports.ReportsQuery, answer=reports.HostReports,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/reporting", reports.show_terms, Action.VIEW,
        summary="Whether a host may report, and how often.", answer=reports.ReportingTerms,
    ),
    Route(
        "PUT", "/api/0/hosts/{host}/reporting", reports.update_terms, Action.MANAGE,
        summary="Say whether a host may report, and how often.",
        body=reports.ReportingChange, answer=reports.ReportingTerms,
    ),
    Route(
        "POST", "/write", influx.write, Action.ENTER,
        summary="Points in InfluxDB's line protocol, as clients of its version 1 write them.",
        query=influx.WriteQuery, media="text/plain", status=204, statuses=(400, 401, 403, 413, 429, 503),
    ),
    Route(
        "POST", "/api/v2/write", influx.write, Action.ENTER,
        summary="Points in InfluxDB's line protocol, as clients of its version 2 write them.",
        query=influx.WriteQuery, media="text/plain", status=204, statuses=(400, 401, 403, 413, 429, 503),
    ),
    Route(
        "GET", "/query", influx.query, Action.ENTER,
        summary="What clients of InfluxDB ask before they write.", query=influx.SqlQuery, statuses=(401,),
    ),
    Route(
        "POST", "/query", influx.query, Action.ENTER,
        summary="What clients of InfluxDB ask before they write.", query=influx.SqlQuery, statuses=(401,),
    ),
    Route(
        "GET", "/ping", influx.ping, Action.ENTER,
        summary="Tells clients of InfluxDB that there is one.", media="text/plain", status=204,
    ),
    Route(
        "GET", "/api/0/jobs", jobs.index, Action.VIEW,
        summary="The jobs of all hosts.", answer=jobs.JobList,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/jobs", jobs.of_host, Action.VIEW,
        summary="The jobs of a host.", answer=jobs.JobList,
    ),
    Route(
        "POST", "/api/0/hosts/{host}/jobs", jobs.create, Action.MANAGE,
        summary="Have a job of a host call when it is done.",
        body=jobs.JobBody, answer=jobs.JobView, status=201, statuses=(409,),
    ),
    Route(
        "GET", "/api/0/hosts/{host}/jobs/{id}", jobs.show, Action.VIEW,
        summary="One job.", answer=jobs.JobView,
    ),
    Route(
        "PUT", "/api/0/hosts/{host}/jobs/{id}", jobs.update, Action.MANAGE,
        summary="Change a job.", body=jobs.JobBody, answer=jobs.JobView, statuses=(409,),
    ),
    Route(
        "DELETE", "/api/0/hosts/{host}/jobs/{id}", jobs.delete, Action.MANAGE,
        summary="Expect nothing of a job any more.", status=204,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/jobs/{id}/pings", jobs.pings, Action.VIEW,
        summary="The last calls of a job, newest first.", query=jobs.PingsQuery, answer=jobs.Pings,
    ),
    *(
        Route(
            method, path, jobs.ping, Action.ENTER,
            summary="The call of a job: it is done, begins, failed, or ended with that exit code.",
            query=jobs.PingQuery, media="text/plain", statuses=(400, 404, 503),
        )
        for method in ("GET", "POST")
        for path in ("/ping/{token}", "/ping/{token}/{what}")
    ),
    Route(
        "GET", "/api/0/scrapes", scrapes.index, Action.VIEW,
        summary="The exporters that hbd asks, and how each answers.", answer=scrapes.ScrapeList,
    ),
    Route(
        "POST", "/nagios/results", nagios.results, Action.ENTER,
        summary="Results of checks that were made elsewhere, as JSON; the key in X-Agent-Key.",
        answer=nagios.Results, statuses=(400, 401, 403, 413, 429, 503),
    ),
    *(
        Route(
            "POST", path, nagios.nrdp, Action.ENTER,
            summary="Results of checks that were made elsewhere, as NRDP sends them; the key is the token.",
            media="text/xml", statuses=(400, 401, 403, 413, 429, 503),
        )
        for path in ("/nrdp", "/nrdp/")
    ),
)  # fmt: skip
