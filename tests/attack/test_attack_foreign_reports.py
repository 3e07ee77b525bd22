"""Hostile agents, and strangers who play one, at the doors for agents of other systems."""

import asyncio
import logging
import sqlite3
import zlib
from contextlib import closing
from typing import Any

import pytest
from world import Api, World

from hbd.hosts import Host

MONITRON = {"cpu_usage": 1, "memory_usage": 2, "disk_usage": [{"mount": "/", "usage": 3}]}
MEMORY = {"available": 1, "total": 2, "used": 1}
HITFLOW = {
    "operating_system": "Debian",
    "uptime": 1,
    "load_average": [0, 0, 0],
    "cpu": 1,
    "memory": MEMORY,
    "swap": MEMORY,
    "storage": [{"name": "/", "total": 2, "used": 1}],
    "process": [],
}
QUOTES = ("'; DROP TABLE hosts; --", '" OR 1=1', "\\'); DELETE FROM samples; --", "%00", "${jndi:ldap://x}", "{{7*7}}")


async def monitron(api: Api, key: str, **changes: Any) -> int:
    async with api.post("/agent/report", json={"agent_key": key} | MONITRON | changes) as answer:
        return answer.status


async def hitflow(api: Api, server: str, key: str, **changes: Any) -> int:
    headers = {"HitFlow-Agent-Server": server, "HitFlow-Agent-Token": key}
    async with api.post("/agent/v1/report", json=HITFLOW | changes, headers=headers) as answer:
        return answer.status


@pytest.fixture(name="host")
async def a_host(world: World) -> Host:
    return await world.enrol("alpha")


async def test_s47_a_key_reports_for_its_own_host_whatever_the_report_says(api: Api, world: World, host: Host) -> None:
    other = await world.enrol("beta")
    key = await world.key(host)
    assert await monitron(api, key, hostname="beta") == 200
    assert await hitflow(api, "beta", key) == await hitflow(api, str(other.id), key) == 401
    assert world.rings.plugins(other.id) == []
    assert await world.report_log.recent(other, 10) == []


async def test_s47_the_key_of_a_host_that_is_gone_is_nobodys_also_when_its_name_comes_back(
    api: Api, world: World, host: Host
) -> None:
    key = await world.key(host)
    assert await monitron(api, key) == 200
    await world.enrolment.remove(host)
    again = await world.enrol("alpha")
    assert await monitron(api, key) == 404
    assert await hitflow(api, "alpha", key) == 401
    assert await world.report_log.recent(again, 10) == []


async def test_s41_s43_a_key_is_in_no_line_of_the_log_and_nowhere_on_disk(
    api: Api, world: World, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await world.key(host)
    await monitron(api, key, os=f"my key is {key}", cpu_usage=101)
    await monitron(api, key, token=key, **{key: key})
    await hitflow(api, "alpha", key)
    await world.report_log.write()
    assert key not in caplog.text
    with closing(sqlite3.connect(world.store.database.path)) as db:
        bodies = [zlib.decompress(body).decode() for (body,) in db.execute("SELECT body FROM foreign_reports")]
        dump = "\n".join(db.iterdump())
    assert len(bodies) == 3
    assert all(key not in text for text in (*bodies, dump))


async def test_s21_what_looks_like_sql_is_text(api: Api, world: World, host: Host) -> None:
    key = await world.key(host)
    for text in QUOTES:
        assert await monitron(api, key, os=text, disk_usage=[{"mount": text, "usage": 1}]) == 200
        assert await hitflow(api, text, key) == 401
        assert await monitron(api, text) == 422
        newest = world.rings.latest(host.id, "disk_monitor")
        assert newest is not None and list(newest.data) == [text]
    assert world.hosts.get("alpha") is host


@pytest.mark.parametrize("path", ["/agent/report", "/agent/v1/report"])
async def test_s61_a_body_that_unpacks_to_more_than_a_report_is_refused(
    api: Api, world: World, host: Host, path: str
) -> None:
    bomb = zlib.compress(b" " * (50 << 20), 9)
    key = await world.key(host)
    headers = {"Content-Encoding": "deflate", "HitFlow-Agent-Server": "alpha", "HitFlow-Agent-Token": key}
    async with api.post(path, data=bomb, headers=headers) as answer:
        assert answer.status == 413


async def test_f29_a_host_that_goes_while_reports_come_leaves_nothing(api: Api, world: World) -> None:
    for number in range(20):
        host = await world.enrol(f"host{number}")
        key = await world.key(host)
        reports = [asyncio.create_task(monitron(api, key)) for _ in range(5)]
        for _ in range(number):
            await asyncio.sleep(0)
        await world.enrolment.remove(host)
        world.pipeline.forget(host)
        assert set(await asyncio.gather(*reports)) <= {200, 404}
        await world.report_log.write()
    with closing(sqlite3.connect(world.store.database.path)) as db:
        assert db.execute("SELECT count(*) FROM samples").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM foreign_reports").fetchone() == (0,)


async def test_strangers_are_asked_to_slow_down_in_the_words_of_each_system(api: Api, world: World) -> None:
    world.parts.throttle.configure(0.001, 2)
    for _ in range(2):
        assert await monitron(api, "x") == 422
    async with api.post("/agent/report", data="x") as answer:
        assert (answer.status, (await answer.json()).keys()) == (429, {"message"})
        assert int(answer.headers["Retry-After"]) > 0
    async with api.post("/agent/v1/report", data="x") as answer:
        assert (answer.status, (await answer.json())["error"]) == (429, 22037)
