"""What is said over each kind of stream. Control is JSON in text frames, what a file holds goes in binary ones.

- logs: we say ``log`` (events, see ``_told``), ``alive`` now and then, and at last ``end`` or ``error``.
- download: we say ``file`` (size, etag, modified), the daemon ``send`` (offset, length), then the bytes come.
- upload: we say ``ready`` (path, offset), the daemon sends bytes, then ``end`` (all is there) or ``keep`` (more comes
  another time), and we say ``done`` (path, size).
- arrived: we say ``arrived`` (offset). list: we say ``entries`` as often as it takes, then ``end``.

Whatever goes wrong on our side is an ``error`` (code and reason, as in ``Unopened``).
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from hbc.files.beneath import Refusal
from hbc.files.transfers import Download, Listed, Upload
from hbc.greeting import parse
from hbc.tail.events import TICK_SECONDS, Event, Line, Notice, Skipped, Tail

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CHUNK_BYTES = 128 << 10
ALIVE_SECONDS = 15.0  # of an idle log: says that we are still here
SILENCE_SECONDS = 120.0  # of a daemon that is to send something
_FRAME_CHARACTERS = 128 << 10  # of lines in one frame, beside the one that goes over it
_FRAME_ENTRIES = 200


class LogTalk:
    """A log, as it grows. Looks a few times a second and no more often, so that a flood costs little."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        # Only reading tells at once that nobody watches any more.
        tasks = {asyncio.ensure_future(part) for part in (self._follow(socket, threads), socket.wait_closed())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, socket: ClientConnection, threads: Executor) -> None:
        loop = asyncio.get_running_loop()
        told = time.monotonic()
        while True:
            try:
                events = await loop.run_in_executor(threads, self._tail.poll, time.monotonic())
            except Refusal as refusal:
                await _say_error(socket, refusal)
                return
            for frame in frames_of(events or ()):
                await socket.send(frame)
                told = time.monotonic()
            if events is None:
                await _say(socket, "end")
                return
            if time.monotonic() - told >= ALIVE_SECONDS:
                await _say(socket, "alive")
                told = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)

    def close(self) -> None:
        self._tail.close()


class DownloadTalk:
    def __init__(self, file: Download) -> None:
        self._file = file

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        file, loop = self._file, asyncio.get_running_loop()
        await _say(socket, "file", size=file.size, etag=file.etag, modified=file.modified)
        async with asyncio.timeout(SILENCE_SECONDS):
            wanted = parse(await socket.recv())
        offset, left = int(wanted["offset"]), int(wanted["length"])
        try:
            while left > 0:
                data = await loop.run_in_executor(threads, file.read, offset, min(left, CHUNK_BYTES))
                await socket.send(data)
                offset += len(data)
                left -= len(data)
        except Refusal as refusal:
            await _say_error(socket, refusal)
        await socket.wait_closed()

    def close(self) -> None:
        self._file.close()


class UploadTalk:
    def __init__(self, file: Upload) -> None:
        self._file = file

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        file, loop = self._file, asyncio.get_running_loop()
        await _say(socket, "ready", path=file.path, offset=file.offset)
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    message = await socket.recv()
                if isinstance(message, bytes):
                    await loop.run_in_executor(threads, file.write, message)
                    continue
                if parse(message).get("type") == "end":
                    await loop.run_in_executor(threads, file.finish)
                await loop.run_in_executor(threads, file.close)  # the next part may come as soon as we answer
                await _say(socket, "done", path=file.path, size=file.offset)
                return
        except Refusal as refusal:
            await _say_error(socket, refusal)

    def close(self) -> None:
        self._file.close()


class AnswerTalk:
    """All that there is to say is known already."""

    def __init__(self, frames: list[str]) -> None:
        self._frames = frames

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        for frame in self._frames:
            await socket.send(frame)
        await socket.wait_closed()

    def close(self) -> None:
        pass


def listing_talk(entries: list[Listed], *, truncated: bool, writable: bool) -> AnswerTalk:
    parts = [entries[begin : begin + _FRAME_ENTRIES] for begin in range(0, len(entries), _FRAME_ENTRIES)]
    frames = [json.dumps({"type": "entries", "entries": part}) for part in parts]
    return AnswerTalk([*frames, json.dumps({"type": "end", "truncated": truncated, "writable": writable})])


def arrived_talk(offset: int) -> AnswerTalk:
    return AnswerTalk([json.dumps({"type": "arrived", "offset": offset})])


def frames_of(events: list[Event] | tuple[()]) -> list[str]:
    """Events as frames, none of them larger than a frame may be."""
    frames: list[str] = []
    part: list[list[Any]] = []
    characters = 0
    for event in events:
        part.append(_told(event))
        characters += len(event.text) if isinstance(event, Line) else 0
        if characters > _FRAME_CHARACTERS:
            frames.append(_log_frame(part))
            part, characters = [], 0
    if part:
        frames.append(_log_frame(part))
    return frames


def _told(event: Event) -> list[Any]:
    match event:
        case Line():
            return ["line", event.position, event.text]
        case Skipped():
            return ["skipped", event.position, event.lines, event.bytes]
        case Notice():
            return ["notice", event.what, event.text]


def _log_frame(events: list[list[Any]]) -> str:
    return json.dumps({"type": "log", "events": events}, ensure_ascii=False, separators=(",", ":"))


async def _say(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind} | fields))


async def _say_error(socket: ClientConnection, refusal: Refusal) -> None:
    await _say(socket, "error", code=refusal.code, reason=refusal.reason)
