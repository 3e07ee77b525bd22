"""The table of all routes. The router, the question who may, the OpenAPI document and its page are made of it."""

from __future__ import annotations

from hbc.wire import LINK_PATH
from hbd.access import Action
from hbd.web import health, hosts, messages, openapi, pages, plugins, schemas, websocket
from hbd.web.call import Kind, Route

HTML = "text/html"


FEED = Route(
    "GET", "/hbd", websocket.feed, Action.VIEW,
    summary="Live feed: hosts, samples and messages as they change, over a WebSocket.",
    kind=Kind.STREAM, query=websocket.FeedQuery, statuses=(503,),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/0/hosts", hosts.index, Action.VIEW,
        summary="All hosts with their state.", answer=list[schemas.Host],
    ),
    Route(
        "GET", "/api/0/hosts/{host}", hosts.show, Action.VIEW,
        summary="One host with its state.", answer=schemas.Host,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/plugins", plugins.index, Action.VIEW,
        summary="The newest sample of each plugin of a host.", answer=schemas.HostPlugins,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/plugins/{plugin}", plugins.history, Action.VIEW,
        summary="The newest samples of one plugin, newest first.",
        query=plugins.HistoryQuery, answer=schemas.PluginHistory,
    ),
    Route(
        "GET", "/api/0/messages", messages.index, Action.VIEW,
        summary="The message journal, newest first.",
        query=messages.MessagesQuery, answer=list[schemas.JournalMessage], statuses=(404,),
    ),
    Route(
        "GET", "/api/0/status", health.status, Action.VIEW,
        summary="The daemon about itself.", answer=schemas.Status,
    ),
    Route(
        "GET", "/api/0/openapi.json", openapi.show, Action.VIEW,
        summary="This API as an OpenAPI 3.1 document.", answer=dict,
    ),
    Route(
        "GET", "/healthz", health.healthz, Action.ENTER,
        summary="Whether the daemon lives.", answer=health.Health,
    ),
    Route(
        "GET", "/readyz", health.readyz, Action.ENTER,
        summary="Whether the daemon can do its work.", answer=health.Readiness, statuses=(503,),
    ),
    Route(
        "GET", "/metrics", health.metrics, Action.VIEW,
        summary="Numbers for Prometheus.", media="text/plain",
    ),
    FEED,
    Route(
        "GET", LINK_PATH, websocket.agent_link, Action.ENTER,
        summary="The link of an agent, over a WebSocket; the agent proves itself with its key.", kind=Kind.STREAM,
    ),
    Route("GET", "/", pages.index, Action.ENTER, summary="To the live page.", kind=Kind.PAGE),
    Route("GET", "/live", pages.live, Action.VIEW, summary="Live hosts.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/plugins", pages.plugins, Action.VIEW, summary="Samples of a host.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/status", pages.status, Action.VIEW, summary="The daemon itself.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/api", pages.api_docs, Action.VIEW, summary="This API, to read.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/static/{path:.+}", pages.static_file, Action.ENTER, summary="Files of the pages.", kind=Kind.PAGE),
)  # fmt: skip

FEED_ROUTES: tuple[Route, ...] = (FEED,)
