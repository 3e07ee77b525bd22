from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import Server, ServerConnection, serve

import hbc.streams
from hbc.files.beneath import Refusal
from hbc.streams import Opener, Streams, Talk
from hbc.tail.events import LINE_BYTES, Line, Notice, Skipped
from hbc.talks import frames_of, listing_talk
from hbc.wire import MAX_FRAME_BYTES, STREAM_HEADER, STREAM_PATH, STREAM_TOKEN_HEADER

FRAME = {"type": "open", "id": "str_1", "token": "t", "kind": "logs", "params": {"path": "/x"}}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Hello:
    """A talk of one word, which then waits for the other side."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        await socket.send("hello")
        await socket.wait_closed()

    def close(self) -> None:
        self.closed.set()


class Daemon:
    """Takes streams and keeps what is said. told: what came over the link. linked: whether there is one."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.heard: list[Any] = []
        self.shown: list[tuple[str, str, str]] = []
        self.linked = True
        self.sockets: list[ServerConnection] = []
        self.server: Server | None = None

    async def start(self) -> None:
        self.server = await serve(self._talk, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}"

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        headers = socket.request.headers
        self.shown.append((socket.request.path, headers[STREAM_HEADER], headers[STREAM_TOKEN_HEADER]))
        self.sockets.append(socket)
        async for said in socket:
            self.heard.append(said)

    def streams(self, opener: Opener, most: int = 4) -> Streams:
        made = Streams(opener, tell=self._tell, linked=lambda: self.linked, most=most)
        made.server = self.url
        return made

    def _tell(self, frame: Any) -> bool:
        self.told.append(frame)
        return True

    @property
    def refusals(self) -> list[tuple[str, str]]:
        return [(frame["id"], frame["code"]) for frame in self.told]


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.start()
    yield daemon
    assert daemon.server is not None
    daemon.server.close()
    await daemon.server.wait_closed()


def opening(talk: Talk) -> Opener:
    return lambda kind, params: talk


async def test_what_is_opened_comes_over_a_connection_of_its_own(daemon: Daemon) -> None:
    talk = Hello()
    streams = daemon.streams(opening(talk))
    streams.open(FRAME)
    await until(lambda: daemon.heard == ["hello"])
    assert daemon.shown == [(STREAM_PATH, "str_1", "t")]
    await daemon.sockets[0].close()
    await until(talk.closed.is_set)
    await streams.end()
    assert daemon.told == []


async def test_what_is_refused_makes_no_connection(daemon: Daemon) -> None:
    def refuse(kind: str, params: dict[str, Any]) -> Talk:
        raise Refusal("denied", "not allowed")

    streams = daemon.streams(refuse)
    streams.open(FRAME)
    await until(lambda: bool(daemon.told))
    assert daemon.told == [{"type": "unopened", "id": "str_1", "code": "denied", "reason": "not allowed"}]
    await streams.end()
    assert daemon.shown == []


async def test_more_than_are_allowed_at_a_time_are_refused(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hbc.streams, "PLACE_SECONDS", 0.05)
    streams = daemon.streams(opening(Hello()), most=1)
    for number in (1, 2):
        streams.open(FRAME | {"id": f"str_{number}"})
    await until(lambda: daemon.refusals == [("str_2", "busy")])
    await streams.end()


async def test_far_more_than_are_allowed_do_not_even_wait(daemon: Daemon) -> None:
    streams = daemon.streams(opening(Hello()), most=1)
    for number in range(5):
        streams.open(FRAME | {"id": f"str_{number}"})
    assert daemon.refusals == [(f"str_{number}", "busy") for number in (2, 3, 4)]
    await streams.end()


async def test_a_place_that_becomes_free_in_a_moment_is_waited_for(daemon: Daemon) -> None:
    streams = daemon.streams(opening(Hello()), most=1)
    streams.open(FRAME)
    await until(lambda: daemon.heard == ["hello"])
    streams.open(FRAME | {"id": "str_2"})
    await daemon.sockets[0].close()
    await until(lambda: daemon.heard == ["hello", "hello"])
    await streams.end()
    assert daemon.told == []


async def test_a_disk_that_hangs_is_not_waited_for_and_what_it_opens_late_is_closed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hbc.streams, "OPEN_SECONDS", 0.05)
    talk, answered = Hello(), threading.Event()

    def hang(kind: str, params: dict[str, Any]) -> Talk:
        answered.wait(10)
        return talk

    streams = daemon.streams(hang)
    streams.open(FRAME)
    await until(lambda: daemon.refusals == [("str_1", "failed")])
    answered.set()
    await until(talk.closed.is_set)
    await streams.end()


async def test_a_daemon_that_cannot_be_reached_for_it_is_told_over_the_link(daemon: Daemon) -> None:
    talk = Hello()
    streams = daemon.streams(opening(talk))
    streams.server = "http://127.0.0.1:1"
    streams.open(FRAME)
    await until(lambda: daemon.refusals == [("str_1", "failed")])
    await until(talk.closed.is_set)
    await streams.end()


async def test_a_fault_of_ours_is_told_too(daemon: Daemon) -> None:
    def fail(kind: str, params: dict[str, Any]) -> Talk:
        raise ZeroDivisionError

    streams = daemon.streams(fail)
    streams.open(FRAME)
    await until(lambda: daemon.refusals == [("str_1", "failed")])
    await streams.end()


async def test_a_stream_ends_when_the_daemon_has_been_gone_for_too_long(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hbc.streams, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(hbc.streams, "LOOK_SECONDS", 0.01)
    talk = Hello()
    streams = daemon.streams(opening(talk))
    streams.open(FRAME)
    await until(lambda: daemon.heard == ["hello"])
    daemon.linked = False
    await until(talk.closed.is_set)
    await streams.end()


async def test_all_end_with_the_agent(daemon: Daemon) -> None:
    talk = Hello()
    streams = daemon.streams(opening(talk))
    streams.open(FRAME)
    await until(lambda: daemon.heard == ["hello"])
    await streams.end()
    assert talk.closed.is_set()


@pytest.mark.parametrize("change", [{"id": 7}, {"token": "a\r\nb"}, {"kind": None}, {"params": []}, {"token": "é"}])
async def test_a_frame_that_makes_no_sense_opens_nothing(daemon: Daemon, change: dict[str, Any]) -> None:
    streams = daemon.streams(opening(Hello()))
    with pytest.raises(TypeError):
        streams.open(FRAME | change)
    await streams.end()


def test_no_frame_of_lines_is_larger_than_a_frame_may_be() -> None:
    worst = "\\x00" * LINE_BYTES + "\u2028" * 10
    frames = frames_of([Line("1-2", worst), Skipped("1-3", None, 5), Line("1-4", "x"), Notice("rotated", "y")])
    assert all(len(frame.encode()) < MAX_FRAME_BYTES for frame in frames)
    events = [event for frame in frames for event in json.loads(frame)["events"]]
    assert [event[0] for event in events] == ["line", "skipped", "line", "notice"]


def test_no_frame_of_a_list_is_larger_than_a_frame_may_be() -> None:
    entry: Any = {"name": "\u2028" * 255, "type": "file", "size": 1, "modified": 1, "mode": "0644"}
    frames = listing_talk([entry] * 1_000, truncated=True, writable=False)._frames
    assert all(len(frame) < MAX_FRAME_BYTES for frame in frames)
    assert json.loads(frames[-1]) == {"type": "end", "truncated": True, "writable": False}
