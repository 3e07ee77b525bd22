"""The link to a server: what is said over it, which server is taken, and what becomes of reports."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from link_kit import KEY, NONCE, RUN, Agent, Daemon, Frame, a_daemon, another_daemon, first_pause, running, until
from websockets.asyncio.server import ServerConnection

import hbc.greeting
import hbc.link
from hbc.greeting import link_url
from hbc.link import Backoff, report_frame
from hbc.segment import Entry
from hbc.wire import LINK_PATH, agent_proof, key_hash, key_id

__all__ = ["a_daemon", "another_daemon"]


# ----------------------------------------------------------------------------------------------------------- pure parts


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("http://mon:50004", f"ws://mon:50004{LINK_PATH}"),
        ("https://mon.example", f"wss://mon.example{LINK_PATH}"),
        ("https://mon.example/hbd/", f"wss://mon.example/hbd{LINK_PATH}"),
        ("http://[::1]:50004", f"ws://[::1]:50004{LINK_PATH}"),
    ],
)
def test_link_url_follows_the_server(server: str, url: str) -> None:
    assert link_url(server) == url


def test_report_frame_is_the_reports_json() -> None:
    frame = report_frame(Entry(1, 0, 2, RUN, 7, 0.0), b'[{"plugin":"cpu","time":1.5,"data":{}}]', 12.5)
    assert json.loads(frame) == {
        "type": "report", "run_id": RUN, "seq": 7, "time": 12.5,
        "samples": [{"plugin": "cpu", "time": 1.5, "data": {}}],
    }  # fmt: skip


def test_backoff_bound_doubles_up_to_its_cap() -> None:
    backoff = Backoff(lambda low, high: high)
    assert [backoff.next() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    backoff.reset()
    assert backoff.next() == 0.5


def test_backoff_draws_from_zero() -> None:
    assert Backoff(lambda low, high: low).next() == 0.0


# -------------------------------------------------------------------------------------------------------------- session


async def test_hello_comes_first_on_the_link_path(tmp_path: Path, daemon: Daemon) -> None:
    agent = Agent(tmp_path, daemon.url)
    agent.measure()
    async with running(agent):
        await until(lambda: bool(daemon.of("report")))
    assert daemon.paths == [LINK_PATH]
    assert daemon.frames[0]["type"] == "hello"
    assert agent.welcomes == [(daemon.url, daemon.welcome)]


async def test_acknowledged_reports_leave_the_spool(tmp_path: Path, daemon: Daemon) -> None:
    agent = Agent(tmp_path, daemon.url)
    async with running(agent):
        for _ in range(100):
            agent.measure()
        await until(lambda: agent.spool.records == 0)
    assert sorted(frame["seq"] for frame in daemon.of("report")) == list(range(1, 101))


async def test_stop_says_bye_and_returns(tmp_path: Path, daemon: Daemon) -> None:
    agent = Agent(tmp_path, daemon.url)
    async with running(agent) as task:
        await until(lambda: agent.link.connected)
        agent.link.stop("shutdown")
        await asyncio.wait_for(task, 5.0)
        await until(lambda: daemon.closed == 1)
    assert daemon.frames[-1] == {"type": "bye", "reason": "shutdown"}


async def test_stop_without_a_link_returns(tmp_path: Path) -> None:
    agent = Agent(tmp_path, "http://127.0.0.1:9")
    async with running(agent) as task:
        agent.link.stop("stopped")
        await asyncio.wait_for(task, 5.0)


async def test_unacknowledged_reports_are_sent_again_after_a_restart_of_the_server(tmp_path: Path) -> None:
    daemon = Daemon()
    await daemon.start()

    async def silent(socket: ServerConnection, frame: Frame) -> None: ...

    daemon.answer = silent
    agent = Agent(tmp_path, daemon.url)
    async with running(agent):
        agent.measure()
        agent.measure()
        await until(lambda: len(daemon.of("report")) == 2)
        await daemon.stop()
        await until(lambda: not agent.link.connected)
        daemon.frames.clear()
        daemon.answer = daemon.ack
        agent.measure()
        await daemon.start()
        await until(lambda: agent.spool.records == 0)
    assert sorted(frame["seq"] for frame in daemon.of("report")) == [1, 2, 3]
    assert agent.link.welcomes == 2
    await daemon.stop()


async def test_busy_reports_are_sent_again(tmp_path: Path, daemon: Daemon) -> None:
    async def busy_once(socket: ServerConnection, frame: Frame) -> None:
        daemon.answer = daemon.ack
        busy = {"type": "busy", "run_id": RUN, "seqs": [frame["seq"]], "reason": "disk full", "retry": 0.05}
        await socket.send(json.dumps(busy))

    daemon.answer = busy_once
    agent = Agent(tmp_path, daemon.url)
    async with running(agent):
        agent.measure()
        await until(lambda: agent.spool.records == 0)
    assert [frame["seq"] for frame in daemon.of("report")] == [1, 1]


@pytest.mark.parametrize(
    "nonsense",
    ["", "[]", "no json", '{"type":"ack","run_id":"x","seqs":[1' + "0" * 4000 + ',true,1.0,NaN,null,"1"]}',
     '{"type":"ack","run_id":{},"seqs":{"1":2},"rejected":true}', '{"type":"busy","run_id":[],"seqs":7,"retry":1}',
     '{"type":"busy","run_id":"x","seqs":[1],"retry":0,"reason":["\\ud800"]}',
     '{"type":["ack"]}', '{"type":"ack","run_id":"x","seqs":[]' + ',"a":[' * 3000 + "]" * 3000 + "}",
     "{}", '{"type":"ack"}', '{"type":"ack","run_id":1,"seqs":7}', "[" * 100_000,
     '{"type":"ack","run_id":"x","seqs":[1],"rejected":[5]}', '{"type":"from the future"}'],
)  # fmt: skip
async def test_nonsense_from_the_server_is_survived(tmp_path: Path, daemon: Daemon, nonsense: str) -> None:
    async def mad(socket: ServerConnection, frame: Frame) -> None:
        await socket.send(nonsense)
        await daemon.ack(socket, frame)

    daemon.answer = mad
    agent = Agent(tmp_path, daemon.url)
    async with running(agent):
        agent.measure()
        await until(lambda: agent.spool.records == 0)
    assert agent.link.welcomes == 1


@pytest.mark.parametrize("retry", ["-5", "NaN", "1e999", "-1e999", "1" + "0" * 4000, "true", '"1"', "[]", "null"])
async def test_absurd_wait_of_a_busy_server_is_kept_in_bounds(
    tmp_path: Path, daemon: Daemon, retry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[float] = []

    async def busy(socket: ServerConnection, frame: Frame) -> None:
        await socket.send(f'{{"type":"busy","run_id":"{RUN}","seqs":[{frame["seq"]}],"retry":{retry}}}')

    daemon.answer = busy
    agent = Agent(tmp_path, daemon.url)
    monkeypatch.setattr(agent.outbox, "hold", lambda run_id, seqs, retry, now: held.append(retry))
    async with running(agent):
        agent.measure()
        await until(lambda: bool(held))
    assert 0.0 <= held[0] <= hbc.greeting.RETRY_MAX


@pytest.mark.parametrize("retry", ["NaN", "-1e999", "1" + "0" * 4000, '"soon"', "true"])
async def test_absurd_refusal_does_not_end_the_link(tmp_path: Path, daemon: Daemon, other: Daemon, retry: str) -> None:
    daemon.welcome_text = f'{{"type":"refused","code":["key"],"reason":{{}},"retry":{retry}}}'
    agent = Agent(tmp_path, daemon.url, other.url)
    async with running(agent):
        await until(lambda: agent.link.connected)
    assert agent.welcomes[0][0] == other.url


async def test_link_closed_for_a_new_config_comes_back_without_back_off(
    tmp_path: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, daemon.url)
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    backoff = Backoff(lambda low, high: high)
    for _ in range(8):
        backoff.next()
    monkeypatch.setattr(agent.link, "_backoff", backoff)
    monkeypatch.setattr(agent.link, "_pause", pause)
    async with running(agent):
        await until(lambda: agent.link.connected)
        await daemon.sockets[0].close(*hbc.link.CONFIG_CHANGED)
        await until(lambda: agent.link.welcomes == 2)
    assert waits == [Backoff.FIRST]


@pytest.mark.parametrize("welcome", ["no json", "7", '{"type":"welcome"}'])
async def test_server_that_speaks_otherwise_is_no_end_of_the_agent(
    tmp_path: Path, daemon: Daemon, other: Daemon, welcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hbc.greeting, "OPEN_TIMEOUT", 0.2)
    daemon.welcome_text = welcome
    agent = Agent(tmp_path, daemon.url, other.url)
    async with running(agent):
        await until(lambda: agent.link.connected)


async def test_cancelled_link_ends_however_busy_it_is(tmp_path: Path, daemon: Daemon) -> None:
    async def report_one(agent: Agent) -> None:
        async with running(agent):
            await until(lambda: agent.link.connected)
            agent.measure()
            await until(lambda: agent.spool.records == 0)

    for round_ in range(60):
        await report_one(Agent(tmp_path / str(round_), daemon.url))


async def test_refused_agent_waits_as_long_as_it_is_told(
    tmp_path: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.welcome = {"type": "refused", "code": "key", "reason": "the key was revoked", "retry": 120.0}
    assert 119.0 < await first_pause(Agent(tmp_path, daemon.url), monkeypatch) <= 150.0
    assert "the key was revoked (key)" in caplog.text


async def test_retry_after_of_a_busy_front_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon()

    def full(socket: ServerConnection, request: Any) -> Any:
        response = socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full")
        response.headers["Retry-After"] = "40"
        return response

    await daemon.start(process_request=full)
    assert 39.0 < await first_pause(Agent(tmp_path, daemon.url), monkeypatch) <= 50.0
    await daemon.stop()


async def test_failure_is_logged_once_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(tmp_path, "http://127.0.0.1:9")
    tries = 0
    real = agent.link._open

    async def counted(rank: int) -> Any:
        nonlocal tries
        tries += 1
        return await real(rank)

    monkeypatch.setattr(agent.link, "_open", counted)
    async with running(agent):
        await until(lambda: tries >= 4)
    assert caplog.text.count("trying again") == 1


async def test_frame_too_large_for_the_server_does_not_hold_up_the_others(tmp_path: Path) -> None:
    daemon = Daemon()
    await daemon.start(max_size=4096)
    agent = Agent(tmp_path, daemon.url)
    for seq in range(1, 20):
        agent.measure(b'["' + b"x" * (8000 if seq == 3 else 10) + b'"]')
    async with running(agent):
        await until(lambda: agent.spool.records == 0)
    assert {frame["seq"] for frame in daemon.of("report")} == set(range(1, 20)) - {3}
    assert agent.outbox.rejected == 1
    await daemon.stop()


# ------------------------------------------------------------------------------------------------------------- failover


async def test_next_server_is_taken_when_the_first_fails(tmp_path: Path, other: Daemon) -> None:
    agent = Agent(tmp_path, "http://127.0.0.1:9", other.url)
    agent.measure()
    async with running(agent):
        await until(lambda: agent.spool.records == 0)
    assert agent.welcomes[0][0] == other.url


async def test_next_server_is_taken_when_the_first_refuses(tmp_path: Path, daemon: Daemon, other: Daemon) -> None:
    daemon.welcome = {"type": "refused", "code": "busy", "reason": "full", "retry": 600}
    agent = Agent(tmp_path, daemon.url, other.url)
    async with running(agent):
        await until(lambda: agent.link.connected)
    assert agent.welcomes[0][0] == other.url


async def test_first_server_is_taken_back_when_it_welcomes_again(
    tmp_path: Path, other: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hbc.link, "KNOCK_SECONDS", 0.02)
    first = Daemon()
    await first.start()
    await first.stop()
    agent = Agent(tmp_path, first.url, other.url)
    async with running(agent):
        await until(lambda: len(agent.welcomes) == 1)
        await first.start()
        await until(lambda: len(agent.welcomes) == 2)
        await until(lambda: other.closed == 1)
        agent.measure()
        await until(lambda: agent.spool.records == 0)
    assert [server for server, _ in agent.welcomes] == [other.url, first.url]
    assert len(first.of("report")) == 1
    await first.stop()


async def test_later_server_is_kept_while_the_first_refuses(
    tmp_path: Path, daemon: Daemon, other: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hbc.link, "KNOCK_SECONDS", 0.01)
    daemon.welcome = {"type": "refused", "code": "key", "reason": "unknown", "retry": 0.0}
    agent = Agent(tmp_path, daemon.url, other.url)
    async with running(agent):
        await until(lambda: agent.link.connected)
        await until(lambda: len(daemon.of("hello")) >= 2)
        assert agent.link.connected
    assert [server for server, _ in agent.welcomes] == [other.url]


# ------------------------------------------------------------------------------------------------------------ the key


async def test_an_agent_names_its_key_and_proves_that_it_has_it(daemon: Daemon, tmp_path: Path) -> None:
    daemon.hashed = key_hash(KEY)
    agent = Agent(tmp_path, daemon.url, key=KEY)
    task = asyncio.create_task(agent.link.run())
    await until(lambda: bool(agent.welcomes))
    agent.link.stop("stopped")
    await task
    hello, proof = daemon.frames[:2]
    assert hello["key_id"] == key_id(key_hash(KEY)).hex()
    assert proof == {"type": "proof", "proof": agent_proof(key_hash(KEY), hello["nonce"], NONCE)}


async def test_every_hello_has_a_nonce_of_its_own(daemon: Daemon, tmp_path: Path) -> None:
    daemon.hashed = key_hash(KEY)
    agent = Agent(tmp_path, daemon.url, key=KEY)
    task = asyncio.create_task(agent.link.run())
    await until(lambda: bool(agent.welcomes))
    await daemon.sockets[0].close()
    await until(lambda: len(agent.welcomes) == 2)
    agent.link.stop("stopped")
    await task
    assert len({hello["nonce"] for hello in daemon.of("hello")}) == 2


@pytest.mark.parametrize("known", [None, key_hash("0" * 64)], ids=["welcomes at once", "knows another key"])
async def test_s50_a_server_that_does_not_know_the_key_is_told_neither_the_key_nor_a_report(
    daemon: Daemon, tmp_path: Path, known: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.hashed = known
    agent = Agent(tmp_path, daemon.url, key=KEY)
    agent.measure()
    task = asyncio.create_task(agent.link.run())
    await until(lambda: "did not prove" in caplog.text)
    agent.link.stop("stopped")
    await task
    assert {frame["type"] for frame in daemon.frames} == {"hello"}
    assert KEY not in json.dumps(daemon.frames)
    assert agent.welcomes == []
