"""NOBA-style agents against a whole daemon: a client of their own reports, gets commands both ways, and answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from noba_client import NobaClient, NobaSocket, Refused, metrics
from noba_site import (
    Ask,
    a_client,
    a_daemon,
    a_person,
    config,
    connected,
    newest,
    no_settings,
    open_sockets,
    reported,
    until,
    web,
)

from hbd.config.structs import HostConfig
from hbd.daemon import Daemon
from hbd.receivers import noba

__all__ = ["a_client", "a_daemon", "a_person", "no_settings", "open_sockets"]


# ------------------------------------------------------------------------------------------------------------- reports


async def test_a_report_can_be_read_at_once(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    assert await reported(client) == (200, {"status": "ok", "commands": []})
    _, shown = await ask("GET", "/api/agents/web")
    assert (shown["status"], shown["os"], shown["version"]) == ("online", "Linux", "3.0.1")
    numbers = shown["metrics"]
    assert (numbers["cpu_percent"], numbers["mem_percent"], numbers["disk_percent"]) == (12.4, 25.0, 62.0)


async def test_the_report_of_the_documentation_is_taken_at_its_address(daemon: Daemon, client: NobaClient) -> None:
    body = {"hostname": "web-01", "os": "Ubuntu 24.04", "cpu_percent": 12.4, "mem_percent": 45.0, "disk_percent": 62.0}
    for name in (web(daemon).agent_id, "web"):
        assert (await reported(client, body, f"/api/agents/{name}/report"))[0] == 200
    assert (newest(daemon, "disk_monitor"), web(daemon).os) == ({"/": {"percent": 62.0}}, "Ubuntu 24.04")


async def test_a_host_name_in_a_report_names_nobody(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await reported(client, {"hostname": "somebody-else", "cpu_percent": 1})
    assert [host.name for host in daemon.hosts] == ["web"]
    assert (await ask("GET", "/api/agents/web"))[1]["reported_hostname"] == "somebody-else"


async def test_a_report_raises_an_alert_at_once(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await reported(client, {"disks": [{"mount": "/srv", "percent": 99.5}]})
    _, shown = await ask("GET", "/api/0/alerts")
    assert [alert["metric_path"] for alert in shown["alerts"]] == ["disk_monitor./srv.percent"]


async def test_tags_of_an_agent_stand_beside_those_that_people_gave(
    daemon: Daemon, client: NobaClient, ask: Ask
) -> None:
    await ask("PUT", "/api/agents/web", json={"tags": ["mine"]})
    await reported(client, metrics() | {"tags": "web,prod"})
    assert web(daemon).tags == ["web", "prod", "mine"]


async def test_label_and_tags_survive_a_restart(daemon: Daemon, client: NobaClient, ask: Ask, tmp_path: Path) -> None:
    await ask("PUT", "/api/agents/web", json={"label": "Web 1", "tags": ["mine"]})
    await reported(client, metrics() | {"tags": ["its"]})
    await daemon.stop()
    again = Daemon(config(tmp_path))
    await again.start()
    host = again.hosts.require("web")
    assert (host.label, host.given_tags, host.tags) == ("Web 1", ["mine"], ["its", "mine"])
    await again.stop()


async def test_bad_values_are_named_and_the_rest_is_taken(daemon: Daemon, client: NobaClient) -> None:
    status, answer = await reported(client, b'{"cpu_percent": NaN, "mem_percent": 45}')
    assert (status, answer["rejected"]) == (200, {"cpu_percent": "must be a number"})
    assert newest(daemon, "memory_monitor") == {"percent": 45}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 5000])
async def test_what_is_no_report_is_refused_and_changes_nothing(
    daemon: Daemon, client: NobaClient, body: bytes
) -> None:
    status, answer = await reported(client, body)
    assert (status, answer["error"].partition(":")[0]) == (400, "body")
    assert daemon.rings.plugins(web(daemon).id) == []


async def test_a_report_beyond_all_measure_is_too_large(daemon: Daemon, client: NobaClient) -> None:
    assert (await reported(client, b'{"x": "' + b"y" * (2 << 20) + b'"}'))[0] == 413


async def test_reports_are_in_the_report_log_without_the_key(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await reported(client, metrics() | {"note": client.key})
    _, shown = await ask("GET", "/api/0/hosts/web/reports")
    (entry,) = shown["reports"]
    assert (entry["receiver"], entry["status"], entry["request"]["cpu_percent"]) == ("noba", 200, 12.4)
    assert client.key is not None and client.key not in str(shown)


# ----------------------------------------------------------------------------------------------------- who may report


async def test_without_a_key_nobody_reports(daemon: Daemon, client: NobaClient) -> None:
    client.key = None
    assert (await reported(client))[0] == 401


@pytest.mark.parametrize("key", ["0" * 64, "x", "ü", "5f" * 4000])
async def test_a_wrong_key_is_refused(daemon: Daemon, client: NobaClient, key: str) -> None:
    client.key = key.encode().decode("latin-1")
    assert (await reported(client))[0] == 403


@pytest.mark.parametrize("settings", [{"hosts": {"web": HostConfig(enabled=False)}}])
async def test_a_host_that_is_switched_off_is_refused(daemon: Daemon, client: NobaClient) -> None:
    assert (await reported(client))[0] == 403
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(client.connect)
    assert refused.value.status == 403


# ------------------------------------------------------------------------------------------------------------ commands


async def test_a_command_is_in_the_reply_and_its_result_in_the_next_report(
    daemon: Daemon, client: NobaClient, ask: Ask
) -> None:
    _, queued = await ask("POST", "/api/agents/web/commands", json={"type": "ping"})
    (command,) = (await reported(client))[1]["commands"]
    assert (command["id"], command["type"], command["params"]) == (queued["command_id"], "ping", {})
    await reported(client, metrics() | {"_cmd_results": [client.run(command)]})
    (entry,) = (await ask("GET", "/api/agents/web/commands"))[1]
    assert (entry["status"], entry["command_id"]) == ("done", queued["command_id"])


async def test_a_command_is_in_one_reply_alone(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await ask("POST", "/api/agents/web/commands", json={"type": "ping"})
    replies = [(await reported(client))[1]["commands"] for _ in range(3)]
    assert [len(commands) for commands in replies] == [1, 0, 0]


async def test_on_a_socket_a_command_comes_at_once(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket]
) -> None:
    ws = await connected(client, daemon, sockets)
    params = {"command": "echo hello", "timeout": 30}
    _, queued = await ask("POST", "/api/agents/web/commands", json={"type": "shell", "params": params})
    message = await asyncio.to_thread(ws.receive)
    assert message == {"type": "command", "id": queued["command_id"], "cmd": "shell", "params": params}
    ws.send(
        {"type": "result", "id": message["id"], "cmd": "shell", "status": "ok", "exit_code": 0, "stdout": "hello\n"}
    )

    async def done() -> dict[str, Any]:
        while True:
            (entry,) = (await ask("GET", "/api/agents/web/commands"))[1]
            if entry["status"] == "done":
                return dict(entry)
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30):
        entry = await done()
    assert (entry["exit_code"], entry["stdout"]) == (0, "hello\n")
    assert (await reported(client))[1]["commands"] == []


async def test_what_was_queued_comes_when_the_socket_opens(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket]
) -> None:
    _, queued = await ask("POST", "/api/agents/web/commands", json={"type": "ping"})
    ws = await connected(client, daemon, sockets)
    message = await asyncio.to_thread(ws.receive)
    assert message is not None and (message["id"], message["cmd"]) == (queued["command_id"], "ping")


async def test_a_command_that_the_agent_refuses_ends_rejected(daemon: Daemon, client: NobaClient, ask: Ask) -> None:
    await ask("POST", "/api/agents/web/commands", json={"type": "process_list"})
    (command,) = (await reported(client))[1]["commands"]
    await reported(client, {"_cmd_results": [client.run(command)]})
    (entry,) = (await ask("GET", "/api/agents/web/commands"))[1]
    assert (entry["status"], entry["reason"]) == ("rejected", "Unknown command: process_list")


# ------------------------------------------------------------------------------------------------------------- sockets


async def test_a_ping_is_answered_and_unknown_types_are_passed_over(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    ws = await connected(client, daemon, sockets)
    for message in ({"type": "pty_output", "data": "x"}, {"no": "type"}, "no json", "[]", {"type": "ping"}):
        ws.send(message)
    assert await asyncio.to_thread(ws.receive) == {"type": "pong"}


async def test_whoever_holds_a_socket_is_shown_as_connected(
    daemon: Daemon, client: NobaClient, ask: Ask, sockets: list[NobaSocket]
) -> None:
    ws = await connected(client, daemon, sockets)
    assert (await ask("GET", "/api/agents/web"))[1]["connected"] is True
    ws.close()
    await until(lambda: not daemon.noba_sockets.holds(web(daemon)))
    assert (await ask("GET", "/api/agents/web"))[1]["connected"] is False


async def test_a_socket_begins_with_who_it_is(daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]) -> None:
    ws = await asyncio.to_thread(client.connect)
    sockets.append(ws)
    ws.send({"type": "ping"})
    assert await asyncio.to_thread(ws.receive) is None
    assert ws.close_code == 4002
    assert not daemon.noba_sockets.holds(web(daemon))


async def test_the_newest_socket_of_a_host_counts(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    old = await connected(client, daemon, sockets)
    new = await asyncio.to_thread(client.connect)
    sockets.append(new)
    new.identify()
    assert await asyncio.to_thread(old.receive) is None
    assert old.close_code == 1000
    new.send({"type": "ping"})
    assert await asyncio.to_thread(new.receive) == {"type": "pong"}
    assert daemon.noba_sockets.holds(web(daemon))


async def test_a_socket_that_sends_nonsense_is_closed(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    ws = await connected(client, daemon, sockets)
    for _ in range(20):
        ws.send("nonsense")
    assert await asyncio.to_thread(ws.receive) is None
    assert ws.close_code == 1008


async def test_a_frame_beyond_all_measure_closes_the_socket(
    daemon: Daemon, client: NobaClient, sockets: list[NobaSocket]
) -> None:
    ws = await connected(client, daemon, sockets)
    ws.send('{"x": "' + "y" * (2 << 20) + '"}')
    assert await asyncio.to_thread(ws.receive) is None
    assert ws.close_code in (1006, 1009)


async def test_a_page_of_a_browser_opens_no_socket(daemon: Daemon, client: NobaClient) -> None:
    url = f"{daemon.urls[0]}api/agent/ws?key={client.key}"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, origin="http://elsewhere.example")
    assert refused.value.status == 403


async def test_a_plugin_with_too_much_in_it_is_named_and_the_rest_is_taken(daemon: Daemon, client: NobaClient) -> None:
    most = range(noba.MAX_ENTRIES)
    disks = [{"mount": f"/{disk}"} | {f"n{number}": 1 for number in range(noba.MAX_MORE)} for disk in most]
    status, answer = await reported(client, {"cpu_percent": 1, "disks": disks})
    assert (status, answer["rejected"]) == (200, {"disk_monitor": "more than 2000 metrics in one report"})
    assert newest(daemon, "cpu_monitor") == {"cpu_percent": 1}
