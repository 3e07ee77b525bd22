"""One walk over the whole table, so that no route can be added without its manners."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient
from openapi_spec_validator import validate
from world import Api, RealServer, World

from hbd.access import Action
from hbd.web.app import SECURITY_HEADERS, application
from hbd.web.call import Body, Call, Kind, Route
from hbd.web.openapi import document
from hbd.web.routes import FEED_ROUTES, ROUTES

PATHS = {
    "name": "none",
    "host": "web",
    "agent": "web",
    "server": "web",
    "plugin": "cpu_monitor",
    "path": "nope.css",
    "user": "alice",
    "id": "1",
    "token": "x" * 43,
    "what": "start",
    "machine": "192.0.2.1",
}
ALL = [pytest.param(route, id=f"{route.method} {route.path}") for route in ROUTES]
READING = [pytest.param(r, id=r.path) for r in ROUTES if r.method == "GET" and r.kind is not Kind.STREAM]
PLAIN = [pytest.param(route, id=f"{route.method} {route.path}") for route in ROUTES if route.kind is not Kind.STREAM]


def url(route: Route) -> str:
    return route.template.format(**PATHS)


async def furnish(world: World) -> None:
    world.sample(await world.enrol("web"), "cpu_monitor", {"cpu_percent": 1.0})


@pytest.mark.parametrize("route", ALL)
def test_every_route_has_a_permission_and_a_summary(route: Route) -> None:
    assert route.action is not None
    assert route.summary.endswith(".")


def test_no_two_rows_are_the_same_route() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", PLAIN)
async def test_every_route_answers_without_an_internal_error(api: Api, world: World, route: Route) -> None:
    await furnish(world)
    assert (await api.request(route.method, url(route), allow_redirects=False)).status < 500


@pytest.mark.parametrize("route", ALL)
async def test_every_answer_carries_the_strict_headers(api: Api, world: World, route: Route) -> None:
    await furnish(world)
    answer = await api.request(route.method, url(route), allow_redirects=False)
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "Server" not in answer.headers
    assert answer.headers["X-Request-ID"]
    if route.kind is not Kind.PAGE:
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("route", READING)
async def test_head_answers_like_get_without_a_body(api: Api, world: World, route: Route) -> None:
    await furnish(world)
    get = await api.get(url(route), allow_redirects=False)
    head = await api.head(url(route), allow_redirects=False)
    assert (head.status, await head.read()) == (get.status, b"")


@pytest.mark.parametrize("route", ALL)
async def test_other_methods_are_told_which_one_there_is(api: Api, route: Route) -> None:
    answer = await api.patch(url(route))
    assert answer.status == 405
    assert route.method in answer.headers["Allow"]
    assert await answer.json() == {"error": "Method Not Allowed"}


@pytest.mark.parametrize("route", PLAIN)
async def test_with_users_a_stranger_gets_only_what_everybody_may_have(api: Api, world: World, route: Route) -> None:
    await furnish(world)
    await world.user("alice")
    answer = await api.request(route.method, url(route), allow_redirects=False)
    if route.action is Action.ENTER:
        assert answer.status != 401 or "Sign in" not in await answer.text()  # it has keys of its own
    elif route.kind is Kind.PAGE:
        assert (answer.status, answer.headers["Location"]) == (302, f"/login?next={url(route)}")
    else:
        assert answer.status == 401
        assert await answer.json() == {"error": "Sign in, or send a token"}


async def test_with_users_a_stranger_does_not_learn_which_hosts_there_are(api: Api, world: World) -> None:
    await world.user("alice")
    await world.enrol("web")
    assert [(await api.get(f"/api/0/hosts/{name}")).status for name in ("web", "nope")] == [401, 401]


async def test_a_route_without_a_permission_is_nobodys(world: World) -> None:
    async def secret(call: Call) -> Body:
        raise AssertionError("the handler was reached")

    route = Route("GET", "/secret", secret, None, summary="Forgotten.")
    async with TestClient(RealServer(application(world.parts, [route]))) as client:
        assert (await client.get("/secret")).status == 403


# ---------------------------------------------------------------------------------------------------------- document


def test_the_document_is_valid() -> None:
    validate(document(ROUTES))
    validate(document(FEED_ROUTES))


@pytest.mark.parametrize("route", [route for route in ROUTES if route.kind is not Kind.PAGE], ids=lambda r: r.path)
def test_every_row_is_in_the_document(route: Route) -> None:
    operation = document(ROUTES)["paths"][route.template][route.method.lower()]
    assert operation["summary"] == route.summary
    assert [p["name"] for p in operation["parameters"] if p["in"] == "path"] == route.placeholders


def test_query_parameters_are_documented_with_their_limits() -> None:
    operation = document(ROUTES)["paths"]["/api/0/hosts/{host}/plugins/{plugin}"]["get"]
    (limit,) = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
    assert (limit["name"], limit["required"], limit["schema"]["minimum"], limit["schema"]["default"]) == (
        "limit",
        False,
        1,
        10,
    )


def test_operations_have_names_of_their_own() -> None:
    names = [op["operationId"] for path in document(ROUTES)["paths"].values() for op in path.values()]
    assert len(set(names)) == len(names)


async def test_the_document_is_served(api: Api) -> None:
    assert await (await api.get("/api/0/openapi.json")).json() == document(ROUTES)


async def test_no_page_but_one_asks_for_all_there_is_to_say_of_the_daemon(api: Api, world: World) -> None:
    """It costs more the more users and hosts there are."""
    asked = []
    status = world.parts.status
    world.parts.status = lambda: asked.append(1) or status()
    for route in ROUTES:
        if route.method == "GET" and route.media == "text/html" and not route.placeholders and route.path != "/status":
            assert (await api.get(route.path, allow_redirects=False)).status in (200, 303, 403), route.path
    assert asked == []
    assert (await api.get("/status")).status == 200
    assert asked == [1]
