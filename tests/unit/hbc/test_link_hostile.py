"""Servers that answer what no server of ours would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from link_kit import RUN, Agent, Daemon, Frame, a_daemon, another_daemon, running, until
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

__all__ = ["a_daemon", "another_daemon"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (302, [("Location", "http://[::1")]),
        (302, [("Location", "http://a/"), ("Location", "http://b/")]),
        (302, [("Location", "ws://a..b/")]),
        (302, [("Location", f"ws://{'a' * 70}.example/")]),
        (302, [("Location", "http://a:99999/")]),
        (301, [("Location", "/elsewhere")]),
        (503, [("Retry-After", "5"), ("Retry-After", "6")]),
        (503, [("Retry-After", "tomorrow")]),
    ],
)
async def test_odd_http_answer_is_a_failed_server(
    tmp_path: Path, other: Daemon, caplog: pytest.LogCaptureFixture, status: int, headers: list[tuple[str, str]]
) -> None:
    answer = Response(status, "odd", Headers([*headers, ("Content-Length", "0")]))
    async with serve(other._talk, "127.0.0.1", 0, process_request=lambda *_: answer) as odd:
        agent = Agent(tmp_path, f"http://127.0.0.1:{next(iter(odd.sockets)).getsockname()[1]}", other.url)
        async with running(agent):
            await until(lambda: agent.link.connected)
    assert agent.welcomes[0][0] == other.url
    assert f"the server answered {status}" in caplog.text


async def test_redirect_is_not_followed(tmp_path: Path, other: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    def elsewhere(socket: ServerConnection, request: Any) -> Any:
        nonlocal asked
        asked += 1
        response = socket.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = other.url
        return response

    async with serve(other._talk, "127.0.0.1", 0, process_request=elsewhere) as server:
        agent = Agent(tmp_path, f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        async with running(agent):
            await until(lambda: asked >= 2)
    assert other.paths == []
    assert "the server answered 302" in caplog.text


async def test_server_that_nothing_foresaw_counts_as_failed(
    tmp_path: Path, other: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(tmp_path, "http://mon..example:50004", other.url)
    async with running(agent):
        await until(lambda: agent.link.connected)
    assert agent.welcomes[0][0] == other.url
    assert "http://mon..example:50004: unexpected: " in caplog.text


async def test_chatter_in_place_of_a_welcome_is_a_failed_server(tmp_path: Path, daemon: Daemon, other: Daemon) -> None:
    async def chatter(socket: ServerConnection) -> None:
        try:
            while True:
                await socket.send("{}")
                await asyncio.sleep(0)  # else sending holds the loop, which the agent shares
        except ConnectionClosed:
            pass

    async with serve(chatter, "127.0.0.1", 0) as server:
        agent = Agent(tmp_path, f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", other.url)
        async with running(agent):
            await until(lambda: agent.link.connected)
    assert agent.welcomes[0][0] == other.url


async def test_server_that_sends_garbage_is_left_for_the_next(
    tmp_path: Path, daemon: Daemon, other: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async def garbage(socket: ServerConnection, frame: Frame) -> None:
        for _ in range(1000):
            await socket.send("garbage")

    daemon.answer = garbage
    agent = Agent(tmp_path, daemon.url, other.url)
    agent.measure()
    async with running(agent):
        await until(lambda: agent.spool.records == 0)
    assert [server for server, _ in agent.welcomes] == [daemon.url, other.url]
    assert caplog.text.count("makes no sense") == 1


async def test_frames_that_lie_ready_do_not_keep_the_rest_waiting(tmp_path: Path) -> None:
    class Flood:
        """A socket with a million frames ready, as if they had come at once."""

        def __init__(self) -> None:
            self.read = 0

        async def __aiter__(self) -> AsyncIterator[str]:
            while self.read < 1_000_000:
                self.read += 1
                yield '{"type":"from the future"}'

    agent = Agent(tmp_path, "http://127.0.0.1:9")
    flood = Flood()
    reading = asyncio.create_task(agent.link._read(0, cast(ClientConnection, flood)))
    for _ in range(10):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert 0 < flood.read <= 10
    agent.spool.close()


def test_busy_is_logged_once_until_reports_are_stored_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(tmp_path, "http://127.0.0.1:9")
    busy = {"type": "busy", "run_id": RUN, "seqs": [], "reason": "disk full", "retry": 0}
    for _ in range(100):
        agent.link._obey(busy)
    assert caplog.text.count("disk full") == 1
    agent.link._obey(busy | {"reason": "overloaded"})
    assert caplog.text.count("overloaded") == 1
    agent.measure()
    agent.outbox.next(time.monotonic())
    agent.link._obey({"type": "ack", "run_id": RUN, "seqs": [1]})
    agent.link._obey(busy)
    assert caplog.text.count("disk full") == 2
    agent.spool.close()


def test_busy_with_ever_new_reasons_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(tmp_path, "http://127.0.0.1:9")
    for number in range(1000):
        agent.link._obey({"type": "busy", "run_id": RUN, "seqs": [], "reason": f"reason {number}", "retry": 0})
    assert caplog.text.count("cannot store reports") <= 10
    agent.spool.close()
