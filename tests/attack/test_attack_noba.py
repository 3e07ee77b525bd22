"""S47, S48: keys of NOBA-style agents, in reports and on sockets."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest
from noba_client import NobaClient, NobaSocket, Refused
from noba_site import (
    Ask,
    a_client,
    a_daemon,
    a_person,
    connected,
    enrolled,
    no_settings,
    open_sockets,
    reported,
    until,
    web,
)

from hbd.daemon import Daemon

__all__ = ["a_client", "a_daemon", "a_person", "no_settings", "open_sockets"]


async def test_s47_a_key_reports_for_its_own_host_alone(daemon: Daemon, client: NobaClient) -> None:
    await enrolled(daemon, "db")
    for name in ("db", daemon.hosts.require("db").agent_id, "nobody"):
        assert (await reported(client, path=f"/api/agents/{name}/report"))[0] == 403
    assert daemon.rings.plugins(daemon.hosts.require("db").id) == []


async def test_s47_a_socket_is_of_the_host_of_its_key_whatever_it_calls_itself(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    await enrolled(daemon, "db")
    ws = await asyncio.to_thread(client.connect)
    sockets.append(ws)
    ws.identify(hostname="db")
    await until(lambda: daemon.noba_sockets.holds(web(daemon)))
    assert not daemon.noba_sockets.holds(daemon.hosts.require("db"))


async def test_s48_a_revoked_key_is_refused_from_then_on(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await ask("DELETE", "/api/agents/web/key")
    assert (await reported(client))[0] == 403


async def test_s48_the_key_of_a_deleted_host_is_nobodys(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    assert (await ask("DELETE", "/api/agents/web"))[0] == 200
    assert (await reported(client))[0] == 403
    assert len(daemon.hosts) == 0


async def test_s48_a_new_host_of_an_old_name_has_nothing_to_do_with_the_old_key(
    daemon: Daemon, client: NobaClient, ask: Ask
) -> None:
    await reported(client)
    await ask("DELETE", "/api/agents/web")
    await enrolled(daemon)
    assert (await reported(client))[0] == 403
    assert daemon.rings.plugins(web(daemon).id) == []


@pytest.mark.parametrize("path", ["/api/agents/web/key", "/api/agents/web"])
async def test_s48_a_socket_ends_with_its_key(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket], path: str
) -> None:
    ws = await connected(client, daemon, sockets)
    assert (await ask("DELETE", path))[0] == 200
    assert await asyncio.to_thread(ws.receive) is None
    assert ws.close_code is not None


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("", 401), ("0" * 64, 403)])
async def test_s47_a_socket_needs_a_key_that_somebody_has(
    daemon: Daemon, client: NobaClient, key: str | None, status: int
) -> None:
    client.key = key
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(client.connect)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/agents/web/key", None),
        ("DELETE", "/api/agents/web", None),
        ("PUT", "/api/0/hosts/web/reporting", {"enabled": False}),
    ],
)
async def test_s48_a_key_that_is_worth_nothing_by_the_time_of_the_identify_gets_no_socket(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket], method: str, path: str, body: object
) -> None:
    ws = await asyncio.to_thread(client.connect)
    sockets.append(ws)
    host = web(daemon)
    assert (await ask(method, path, json=body))[0] == 200
    ws.identify()
    assert await asyncio.to_thread(ws.receive) is None
    assert ws.close_code == 1008
    assert not daemon.noba_sockets.holds(host)


async def test_s48_a_socket_ends_with_the_overlap_of_its_rotated_key(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    old = await connected(client, daemon, sockets)
    await daemon.enrolment.rotate(web(daemon), overlap=0.01)
    assert await asyncio.to_thread(old.receive) is None
    await until(lambda: not daemon.noba_sockets.holds(web(daemon)))


async def test_s48_a_socket_of_the_new_key_outlives_the_old_one(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    client.key = await daemon.enrolment.rotate(web(daemon), overlap=0.5)
    ws = await connected(client, daemon, sockets)
    await until(lambda: len(daemon.enrolment.keys(web(daemon), time.time())) == 1)
    for key in daemon.enrolment.keys(web(daemon), time.time()):
        daemon.noba_sockets.cut(key._replace(hash=b"another"))
    ws.send({"type": "ping"})
    assert await asyncio.to_thread(ws.receive) == {"type": "pong"}


async def test_s48_who_is_taken_over_while_taking_over_leaves_the_newest_its_commands(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket]
) -> None:
    waiting = [await asyncio.to_thread(client.connect) for _ in range(3)]
    sockets += waiting
    for ws in waiting:
        ws.identify()
        await until(lambda: daemon.noba_sockets.holds(web(daemon)))
    assert await asyncio.to_thread(waiting[1].receive) is None
    await ask("POST", "/api/agents/web/commands", json={"type": "ping", "params": {}})
    message = await asyncio.to_thread(waiting[2].receive)
    assert message is not None and message["cmd"] == "ping"


@pytest.mark.parametrize("name", ["X-Agent-Key", "HitFlow-Agent-Token"])
async def test_s47_a_key_that_is_no_text_is_nobodys(daemon: Daemon, client: NobaClient, name: str) -> None:
    path = "/api/agent/report" if name == "X-Agent-Key" else "/agent/v1/report"
    place = urlsplit(daemon.urls[0])
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nHitFlow-Agent-Server: web\r\nContent-Length: 2\r\n{name}: "
    writer.write(head.encode() + b"\xff\xfe\r\n\r\n{}")
    status = (await reader.readline()).split()[1]
    writer.close()
    assert status in (b"401", b"403")


@pytest.mark.parametrize("version", ["1\x1b[31m", "1\nFAKE", "1\u202e", "1\0"])
async def test_s47_what_cannot_be_seen_is_no_version(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket], version: str
) -> None:
    ws = await asyncio.to_thread(client.connect)
    sockets.append(ws)
    ws.identify(agent_version=version)
    await until(lambda: daemon.noba_sockets.holds(web(daemon)))
    assert web(daemon).agent_version == ""


async def test_s47_the_report_log_tells_nothing_of_commands(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await ask("POST", "/api/agents/web/commands", json={"type": "shell", "params": {"command": "CANARY"}})
    id = (await reported(client))[1]["commands"][0]["id"]
    outcome = {"id": id, "status": "ok", "stdout": "CANARY"}
    await reported(client, {"cpu_percent": 1, "_cmd_results": [outcome], "_stream_data": {id: ["CANARY"]}})
    await reported(client, b'{"cpu_percent": 1, "_cmd_results": [{"stdout": "CANARY"')
    _, shown = await ask("GET", "/api/0/hosts/web/reports")
    assert [report["request"] for report in shown["reports"][:2]] == ['{"cpu_percent": 1, "', {"cpu_percent": 1}]
    assert "CANARY" not in str(shown)
