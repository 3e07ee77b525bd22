"""GET /api/0/messages."""

from __future__ import annotations

import pytest
from world import WALL, Api, World

MESSAGES = "/api/0/messages"


async def test_messages_have_the_fields_of_the_contract(api: Api, world: World) -> None:
    await world.note("heartbeat received", await world.enrol("web"))
    assert await (await api.get(MESSAGES)).json() == [{"time": WALL, "host": "web", "msg": "heartbeat received"}]


async def test_messages_come_newest_first_thirty_at_once(api: Api, world: World) -> None:
    for number in range(35):
        await world.note(str(number))
    shown = await (await api.get(MESSAGES)).json()
    assert [message["msg"] for message in shown] == [str(number) for number in range(34, 4, -1)]


async def test_limit_says_how_many(api: Api, world: World) -> None:
    for number in range(5):
        await world.note(str(number))
    assert len(await (await api.get(f"{MESSAGES}?limit=2")).json()) == 2


@pytest.mark.parametrize("limit", ["0", "-5", "x", "1001"])
async def test_a_limit_out_of_range_is_refused_by_name(api: Api, limit: str) -> None:
    answer = await api.get(f"{MESSAGES}?limit={limit}")
    assert answer.status == 400
    assert (await answer.json())["error"].startswith("limit: ")


async def test_messages_of_one_host_alone(api: Api, world: World) -> None:
    for name in ("web", "db"):
        await world.note(f"{name} is up", await world.enrol(name))
    shown = await (await api.get(f"{MESSAGES}?host=WEB")).json()
    assert [message["msg"] for message in shown] == ["web is up"]


async def test_messages_of_an_unknown_host_are_an_error(api: Api) -> None:
    answer = await api.get(f"{MESSAGES}?host=nope")
    assert (answer.status, await answer.json()) == (404, {"error": "Host 'nope' not found"})
