"""What holds for every request: one shape of errors, nothing echoed, odd paths and heads turned away."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Annotated, Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from msgspec import Meta, Struct
from world import Api, RealServer, World

from hbc.wire import LINK_PATH
from hbd.access import Action
from hbd.config import Config
from hbd.errors import Conflict, Forbidden, HbdError, InvalidInput, NotFound, StorageError, StorageFull
from hbd.web.app import application
from hbd.web.call import Call, Route
from hbd.web.errors import MAX_TEXT


class Order(Struct):
    count: Annotated[int, Meta(ge=1)]
    tags: list[str] = []


async def take(call: Call) -> Order:
    assert isinstance(call.body, Order)
    return call.body


def failing(error: Exception) -> Route:
    async def fail(call: Call) -> Any:
        raise error

    return Route("GET", "/fail", fail, Action.VIEW, summary="Fails.")


async def raw(api: Api, text: bytes) -> bytes:
    """Everything that comes back for some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        writer.write(text)
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("too small", "limit"), 400),
        (Forbidden("not yours"), 403),
        (NotFound("gone"), 404),
        (Conflict("running"), 409),
        (StorageError("disk"), 503),
        (StorageFull("full"), 503),
    ],
)
async def test_kinds_of_error_have_their_status_and_keep_their_words(
    world: World, error: HbdError, status: int
) -> None:
    async with TestClient(RealServer(application(world.parts, [failing(error)]))) as client:
        answer = await client.get("/fail")
        assert (answer.status, await answer.json()) == (status, {"error": str(error)})


async def test_the_unexpected_is_logged_whole_and_told_as_internal(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestClient(RealServer(application(world.parts, [failing(RuntimeError("the secret cause"))]))) as client:
        answer = await client.get("/fail")
        assert (answer.status, await answer.json()) == (500, {"error": "internal error"})
    assert "the secret cause" in caplog.text


async def test_the_busy_say_when_to_come_again(world: World) -> None:
    async with TestClient(RealServer(application(world.parts, [failing(StorageError("disk"))]))) as client:
        assert int((await client.get("/fail")).headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/0/hosts/",
        "/api/0/hosts/web/plugins/cpu/x",
        "//api/0/hosts",
        "/api/./0/hosts",
        "/api/0/hosts;x",
        "/api%2F0/hosts",
        "/API/0/hosts",
        "/static/../hbd.yaml",
        "/static/%2e%2e/hbd.yaml",
        "/static/..%2fhbd.yaml",
        "/static/%5c..%5chbd.yaml",
        "/static//etc/passwd",
        "/static/%00",
        "/static../x",
    ],
)
async def test_paths_that_are_no_route_are_not_found(api: Api, path: str) -> None:
    answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b'{"error":"Not Found"}')


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "POST", "OPTIONS"])
async def test_methods_that_are_not_offered_are_405(api: Api, method: str) -> None:
    answer = await api.request(method, "/api/0/hosts")
    assert (answer.status, set(answer.headers["Allow"].split(","))) == (405, {"GET", "HEAD"})


async def test_a_giant_name_is_not_echoed(api: Api) -> None:
    answer = await api.get("/api/0/hosts/" + "x" * 5000)
    assert answer.status == 404
    assert len((await answer.json())["error"]) <= MAX_TEXT + 1


async def test_what_cannot_be_seen_is_written_visibly(api: Api) -> None:
    answer = await api.get("/api/0/hosts/a%0d%0a%1b%E2%80%AEb")
    assert (await answer.json())["error"] == "Host 'a\\u000d\\u000a\\u001b\\u202eb' not found"


async def test_markup_in_an_error_is_json_and_not_a_page(api: Api) -> None:
    answer = await api.get("/api/0/hosts/%3Cscript%3E")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00secret\r\n\r\n",
        b"GET / HTTP/9.9secret\r\n\r\n",
        b"GET /secret HTTP/1.1\r\nHost: x\r\nX: " + b"secret" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -secret\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nsecret",
    ],
)
async def test_what_is_not_http_is_refused_without_an_echo(api: Api, request_bytes: bytes) -> None:
    answer = await raw(api, request_bytes)
    assert answer.partition(b"\r\n")[0].endswith(b" 400 Bad Request")
    assert b"secret" not in answer
    assert b"aiohttp" not in answer
    assert answer.endswith(b'{"error":"This is not a request that can be read"}')


async def test_what_is_not_http_does_not_fill_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await raw(api, b"\x1b[31mred\r\n\r\n")
    assert caplog.text == ""


# ------------------------------------------------------------------------------------------------------------- bodies


@pytest.fixture
async def taking(world: World) -> Any:
    route = Route("POST", "/orders", take, Action.VIEW, summary="Takes.", body=Order, answer=Order)
    async with TestClient(RealServer(application(world.parts, [route]))) as client:
        yield client


async def test_a_body_arrives_as_its_type(taking: Api) -> None:
    answer = await taking.post("/orders", json={"count": 2, "tags": ["a"]})
    assert (answer.status, await answer.json()) == (200, {"count": 2, "tags": ["a"]})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"count": 0}', "count: expected int >= 1"),
        (b'{"count": 1, "tags": ["a", 2]}', "tags[1]: expected str, got int"),
        (b"{}", "object missing required field count"),
        (b"[", "The body is not JSON"),
        (b'{"count": 1e999}', "The body is not JSON"),
        (b"\xff\xfe", "The body is not JSON"),
        (b"[" * 100_000, "The body is not JSON"),
    ],
)
async def test_a_wrong_body_is_named(taking: Api, body: bytes, error: str) -> None:
    answer = await taking.post("/orders", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    if error != "The body is not JSON":
        assert await answer.json() == {"error": error}


async def test_a_body_of_another_media_type_is_refused(taking: Api) -> None:
    assert (await taking.post("/orders", data={"count": "1"})).status == 415


async def test_a_body_that_is_too_large_is_refused_in_the_one_shape(taking: Api) -> None:
    answer = await taking.post(
        "/orders", data=io.BytesIO(b" " * 1_100_000), headers={"Content-Type": "application/json"}
    )
    assert (answer.status, "error" in await answer.json()) == (413, True)


# ------------------------------------------------------------------------------------------------------ ids and counts


async def test_a_request_id_is_given_back(api: Api) -> None:
    answer = await api.get("/healthz", headers={"X-Request-ID": "abc-1.2_3"})
    assert answer.headers["X-Request-ID"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["a b", "x" * 65, "é", '"'])
async def test_an_odd_request_id_is_replaced(api: Api, given: str) -> None:
    assert (await api.get("/healthz", headers={"X-Request-ID": given})).headers["X-Request-ID"] != given


async def test_requests_are_counted_by_route_and_not_by_path(api: Api, world: World) -> None:
    for name in ("a", "b", "c"):
        await api.get(f"/api/0/hosts/{name}")
    await api.get("/nope")
    count = world.stats.value
    assert count("http_requests_total", route="/api/0/hosts/{host}", method="GET", status="404") == 3
    assert count("http_requests_total", route="none", method="GET", status="404") == 1


async def test_methods_nobody_knows_are_counted_as_one(api: Api, world: World) -> None:
    for method in ("PROPFIND", "MKCOL"):
        await api.request(method, "/nope")
    assert world.stats.value("http_requests_total", route="none", method="other", status="404") == 2


# ------------------------------------------------------------------------------------------------ what we are called


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:50004", "127.0.0.1:1", "192.0.2.7:8080", "[::1]:50004", "hb.localhost"]
)
async def test_on_loopback_loopback_names_and_addresses_are_known(api: Api, host: str) -> None:
    assert (await api.get("/healthz", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", ["evil", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
async def test_on_loopback_other_names_are_another_sites(api: Api, host: str) -> None:
    answer = await api.get("/api/0/hosts", headers={"Host": host})
    assert answer.status == 421
    assert "base_url" in (await answer.json())["error"]


async def test_on_loopback_the_name_in_base_url_is_known(api: Api, world: World) -> None:
    world.parts.config = Config(base_url="https://hb.example.org")
    assert (await api.get("/healthz", headers={"Host": "hb.example.org"})).status == 200


@pytest.mark.parametrize("bind", ["", "192.0.2.1", "::"])
async def test_on_a_network_any_name_is_taken_where_people_sign_in(api: Api, world: World, bind: str) -> None:
    world.parts.config = Config(hbd_host=bind)
    await world.user("alice")
    assert (await api.get("/api/0/hosts", headers={"Host": "nas.fritz.box:50004"})).status == 401


async def test_on_a_network_an_open_daemon_answers_to_names_it_knows_alone(api: Api, world: World) -> None:
    world.parts.config = Config(hbd_host="", base_url="http://nas.fritz.box:50004")
    hosts = ("nas.fritz.box:50004", "192.0.2.7:50004", "evil.example")
    assert [(await api.get("/api/0/hosts", headers={"Host": host})).status for host in hosts] == [200, 200, 421]


async def test_agents_and_health_checks_may_call_an_open_daemon_by_any_name(api: Api, world: World) -> None:
    world.parts.config = Config(hbd_host="")
    answers = [await api.get(path, headers={"Host": "nas.fritz.box"}) for path in ("/healthz", LINK_PATH)]
    assert [answer.status for answer in answers] == [200, 426]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a b\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: <script>\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: user@localhost\r\n",
    ],
)
async def test_a_host_header_that_is_none_is_refused(api: Api, head: bytes) -> None:
    answer = await raw(api, head + b"Connection: close\r\n\r\n")
    assert answer.partition(b"\r\n")[0].endswith(b" 400 Bad Request")


async def test_other_sites_are_not_allowed_to_read(api: Api) -> None:
    answer = await api.get("/api/0/hosts", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert msgspec.json.decode(await answer.read()) == []


async def test_pages_cannot_pose_as_agents(api: Api) -> None:
    own = f"http://{api.host}:{api.port}"
    assert (await api.get(LINK_PATH, headers={"Origin": own})).status == 403
    assert (await api.get(LINK_PATH)).status == 426  # handed on to the agents' own receiver
