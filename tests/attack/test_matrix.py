"""S2: every route × every kind of caller × own, foreign and unknown object, over HTTP.

What is expected stands in ``matrix.py``; what is asked is generated from the table of routes.
"""

from __future__ import annotations

import pytest
from aiohttp import ClientResponse, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient
from callers import ALPHA, BETA, OTHER_USER, UNKNOWN_HOST, UNKNOWN_USER, Callers, login_name
from matrix import MATRIX
from questions import CALLERS, FOREIGN, HELD_BACK, NO_USER, NOBODY, OTHER, OWN, SELF, UNKNOWN, Question
from world import Api, RealServer, World

from hbd.access import Action
from hbd.web import make_feed_app
from hbd.web.call import Kind, Route
from hbd.web.routes import FEED, FEED_ROUTES, ROUTES

HOSTS = {OWN: ALPHA, FOREIGN: BETA, UNKNOWN: UNKNOWN_HOST}
USERS = {OTHER: OTHER_USER, NO_USER: UNKNOWN_USER}

PLACES = ("host", "agent", "server")
"""placeholders that name a host"""

STRANGER, REFUSED = "does not know you", "not yours"
SIGN_IN = 4401


def key(route: Route) -> str:
    return f"{route.method} {route.template}"


def expected(route: Route, question: Question, thing: str, caller: str) -> str:
    if caller in question.allowed[thing]:
        if question.answer == 401:  # a door with a key of its own: no user gets in, whoever it is
            return STRANGER
        return str(404 if thing in (UNKNOWN, NO_USER) else question.answer)
    if caller in NOBODY:
        return STRANGER
    return "to the profile" if caller in HELD_BACK and route.kind is Kind.PAGE else REFUSED


def verdict(answer: ClientResponse) -> str:
    to = answer.headers.get("Location", "")
    if answer.status == 401 or (answer.status == 302 and to.startswith("/login?next=")):
        return STRANGER
    if answer.status == 303 and to == "/profile":
        return "to the profile"
    return REFUSED if answer.status == 403 else str(answer.status)


async def asked(api: Api, route: Route, question: Question, thing: str, caller: str, headers: dict[str, str]) -> str:
    named = dict.fromkeys(PLACES, HOSTS.get(thing, "")) | {
        "user": login_name(caller) if thing == SELF else USERS.get(thing, "")
    }
    url = (route.template + question.query).format(**named, **question.path)
    if route is FEED:
        return await listened(api, url, headers)
    options = {"json": question.body} if question.form is None else {"data": question.form}
    async with api.request(route.method, url, headers=headers, allow_redirects=False, **options) as answer:
        return verdict(answer)


async def listened(api: Api, url: str, headers: dict[str, str]) -> str:
    """A feed lets strangers in far enough to say who they are; whoever is in is told that this is no JSON."""
    try:
        async with api.ws_connect(url, headers=headers) as ws:
            await ws.send_str("nonsense")
            frame = await ws.receive(timeout=10)
            return "200" if frame.type is WSMsgType.TEXT else STRANGER if ws.close_code == SIGN_IN else "cut off"
    except WSServerHandshakeError as error:
        return REFUSED if error.status == 403 else str(error.status)


async def wrong_cells(api: Api, route: Route, callers: Callers) -> dict[tuple[str, str], str]:
    """(caller, object) to what was and what should be."""
    found = {}
    for question in MATRIX[key(route)]:
        for thing in question.allowed:
            others = _allowed_elsewhere(route, question, thing)
            for caller in sorted(CALLERS - others):
                was = await asked(api, route, question, thing, caller, await callers.headers(caller))
                if was != (should := expected(route, question, thing, caller)):
                    found[caller, thing] = f"{was}, and should be: {should}"
    return found


def _allowed_elsewhere(route: Route, question: Question, thing: str) -> frozenset[str]:
    """Callers who get another answer than this to the same question; there is a question about them."""
    same = (other for other in MATRIX[key(route)] if other is not question and other[2:] == question[2:])
    return frozenset().union(*(other.allowed.get(thing, frozenset()) for other in same))


def test_s02_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {key(route) for route in (*ROUTES, *FEED_ROUTES)} == MATRIX.keys()


def test_s02_every_route_with_an_object_is_asked_for_own_foreign_and_unknown_ones() -> None:
    for route in ROUTES:
        for name, things in (*((place, HOSTS) for place in PLACES), ("user", {SELF, *USERS})):
            if name in route.placeholders and route.action is not Action.ENTER:
                assert all(question.allowed.keys() == set(things) for question in MATRIX[key(route)]), key(route)


@pytest.mark.parametrize("route", ROUTES, ids=key)
async def test_s02_who_gets_in(api: Api, callers: Callers, route: Route) -> None:
    assert await wrong_cells(api, route, callers) == {}


async def test_s02_the_feed_port_lets_in_whom_the_feed_lets_in(api: Api, world: World, callers: Callers) -> None:
    async with TestClient(RealServer(make_feed_app(world.parts))) as feed:
        for route in FEED_ROUTES:
            assert await wrong_cells(feed, route, callers) == {}


PRIVILEGED = [route for route in ROUTES if route.action not in (Action.ENTER, Action.VIEW)]


@pytest.mark.parametrize("route", PRIVILEGED, ids=key)
async def test_s02_every_refusal_of_a_privileged_action_is_written_down(
    api: Api, callers: Callers, world: World, route: Route
) -> None:
    for question in MATRIX[key(route)]:
        for thing in question.allowed:
            for caller in ("viewer", "read token"):
                was = await asked(api, route, question, thing, caller, await callers.headers(caller))
                await world.security.audit.write()
                (newest,) = await world.store.audit.recent(1)
                told = (newest.outcome, newest.action, newest.user) == ("refused", key(route), login_name(caller))
                assert told == (was == REFUSED), (caller, thing)


@pytest.mark.parametrize("way", ["X-Auth-Token", "cookie"])
@pytest.mark.parametrize("route", [route for route in ROUTES if {*PLACES} & {*route.placeholders}], ids=key)
async def test_s02_however_a_token_is_shown_it_opens_the_same(
    api: Api, callers: Callers, route: Route, way: str
) -> None:
    own_origin = f"http://{api.host}:{api.port}"
    for question in MATRIX[key(route)]:
        for thing in question.allowed:
            for caller in CALLERS - {"anonymous"}:
                token = await callers.token(caller)
                shown = {"X-Auth-Token": f"{token}"} if way != "cookie" else {"Cookie": f"hbd_session={token}"}
                was = await asked(api, route, question, thing, caller, shown | {"Origin": own_origin})
                assert was == expected(route, question, thing, caller), (caller, thing)
