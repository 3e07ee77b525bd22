from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

import hbc.greeting
import hbc.link
from hbc.greeting import link_url
from hbc.link import Backoff, Link, report_frame
from hbc.outbox import Outbox
from hbc.segment import Entry
from hbc.spool import Spool
from hbc.wire import LINK_PATH, PROTOCOL, Hello, Welcome, agent_proof, daemon_proof, key_hash, key_id

RUN = "00112233445566aa"
KEY, NONCE = "5f" * 32, "0" * 32
Frame = dict[str, Any]
Answer = Callable[[ServerConnection, Frame], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


class Daemon:
    """A WebSocket server that keeps what it is told and answers as the test says."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.paths: list[str] = []
        self.sockets: list[ServerConnection] = []
        self.closed = 0
        self.welcome: Frame = {"type": "welcome", "protocol": 1, "version": "9", "host": "web1", "heartbeat_port": 0}
        self.welcome_text = ""
        self.answer: Answer = self.ack
        self.hashed: bytes | None = None
        """of the key that this server knows"""
        self.server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def start(self, **options: Any) -> None:
        self.server = await serve(self._talk, "127.0.0.1", self.port, **options)
        self.port = next(iter(self.server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
            self.server = None

    async def ack(self, socket: ServerConnection, frame: Frame) -> None:
        await socket.send(json.dumps({"type": "ack", "run_id": frame["run_id"], "seqs": [frame["seq"]]}))

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        self.sockets.append(socket)
        async for text in socket:
            frame = json.loads(text)
            self.frames.append(frame)
            if frame["type"] == "hello" and self.hashed is not None:
                proof = daemon_proof(self.hashed, frame["nonce"], NONCE)
                await socket.send(json.dumps({"type": "challenge", "nonce": NONCE, "proof": proof}))
            elif frame["type"] in ("hello", "proof"):
                await socket.send(self.welcome_text or json.dumps(self.welcome))
            elif frame["type"] == "report":
                await self.answer(socket, frame)
        self.closed += 1


class Agent:
    """A link with its outbox, and what it told us."""

    def __init__(self, path: Path, *servers: str, key: str | None = None) -> None:
        self.spool = Spool(path, max_bytes=1 << 24, max_age=1e6)
        self.spool.open(now=0.0, wall=0.0)
        self.outbox = Outbox(self.spool)
        self.welcomes: list[tuple[str, Welcome]] = []
        self.link = Link(
            servers,
            self.outbox,
            hello=self.hello,
            on_welcome=lambda server, welcome: self.welcomes.append((server, welcome)),
            backoff=Backoff(lambda low, high: min(high, 0.02)),
            hashed=lambda: None if key is None else key_hash(key),
        )
        self.seq = 0

    def hello(self) -> Hello:
        return Hello(
            type="hello", protocol=PROTOCOL, version="1", name="web1", boot_id="b", run_id=RUN, time=1.0, interval=10.0,
            event="started", capabilities=[], tags=[],
        )  # fmt: skip

    def measure(self, payload: bytes = b"[]") -> None:
        self.seq += 1
        self.outbox.put(self.spool.append(RUN, self.seq, 0.0, payload, 0.0))
        self.link.wake()


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(agent.link.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        agent.spool.close()


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
async def other() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.start()
    yield daemon
    await daemon.stop()


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
    waits: list[float] = []
    waiting = asyncio.Event()

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        waiting.set()
        await asyncio.Event().wait()

    agent = Agent(tmp_path, daemon.url)
    monkeypatch.setattr(agent.link, "_pause", pause)
    async with running(agent):
        await asyncio.wait_for(waiting.wait(), 10.0)
    assert 119.0 < waits[0] <= 150.0
    assert "the key was revoked (key)" in caplog.text


async def test_retry_after_of_a_busy_front_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon()

    def full(socket: ServerConnection, request: Any) -> Any:
        response = socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full")
        response.headers["Retry-After"] = "40"
        return response

    await daemon.start(process_request=full)
    waits: list[float] = []
    waiting = asyncio.Event()

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        waiting.set()
        await asyncio.Event().wait()

    agent = Agent(tmp_path, daemon.url)
    monkeypatch.setattr(agent.link, "_pause", pause)
    async with running(agent):
        await asyncio.wait_for(waiting.wait(), 10.0)
    assert 39.0 < waits[0] <= 50.0
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


# ------------------------------------------------------------------------------------------------------ hostile servers


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
