"""What a delivered word of the live feed costs the daemon. Prints ``name value unit`` lines.

one_by_one: a frame for each word. batch: one frame for all words of a tick. Both with CHANGES changed hosts a tick; the
single_ lines are the worst case, one changed host a tick.
"""

from __future__ import annotations

import asyncio
from typing import cast

from web_server import Server, run, server

HOSTS = 100
CHANGES = 10
TICKS = 8
SUBSCRIBERS = (200, 1000)


class Reader(asyncio.Protocol):
    """A subscriber that takes everything and looks at nothing."""

    def __init__(self, path: str) -> None:
        self._path = path

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )


async def measure(serving: Server, name: str, path: str, subscribers: int, changes: int) -> None:
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Reader(path), "127.0.0.1", serving.port))[0] for _ in range(subscribers)
    ]
    while await serving.ask_aside("subscribers") < subscribers:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    idle, _ = await serving.ask_aside("publish", 0, TICKS)
    busy, delivered = await serving.ask_aside("publish", changes, TICKS)
    assert delivered == subscribers * changes * TICKS, (delivered, subscribers * changes * TICKS)
    print(f"{name}.subscribers_{subscribers} {(busy - idle) / delivered * 1e6:.2f} us/message")
    for transport in opened:
        transport.abort()
    while await serving.ask_aside("subscribers"):
        await asyncio.sleep(0.05)


async def main(serving: Server) -> None:
    for subscribers in SUBSCRIBERS:
        await measure(serving, "feed.single", "/hbd", subscribers, 1)
        await measure(serving, "feed.one_by_one", "/hbd", subscribers, CHANGES)
        await measure(serving, "feed.batch", "/hbd?batch=true", subscribers, CHANGES)
    await viewers(serving, 500, 2)


async def viewers(serving: Server, number: int, each: int) -> None:
    """Many people who see a few hosts each: what a tick costs with every host changed."""
    loop = asyncio.get_running_loop()
    tokens = await serving.ask_aside("viewers", number, each)
    opened = [
        (
            await loop.create_connection(
                lambda path=f"/hbd?batch=true&token={token}": Reader(path), "127.0.0.1", serving.port
            )
        )[0]
        for token in tokens
    ]
    while await serving.ask_aside("subscribers") < number:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    idle, _ = await serving.ask_aside("publish", 0, TICKS)
    busy, delivered = await serving.ask_aside("publish", HOSTS, TICKS)
    name = f"feed.viewers_{number}.of_{each}_hosts"
    print(f"{name} {(busy - idle) / TICKS * 1e3:.1f} ms/tick {delivered / TICKS:.0f} words/tick")
    for transport in opened:
        transport.abort()


if __name__ == "__main__":
    with server(HOSTS) as serving:
        run(main(serving))
