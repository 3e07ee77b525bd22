"""How long the API takes to answer, as a client on the same machine sees it. Prints ``name value unit`` lines."""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import chain

from web_server import Server, run, server

HOSTS = 1000
SECONDS = 2.0


async def ask(port: int, path: str, until: float, gzip: bool, token: str = "") -> list[float]:
    """One client that asks again as soon as it is answered. Returns seconds of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    encoding = "gzip" if gzip else "identity"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {encoding}\r\n"
    request = (request + (f"X-Auth-Token: {token}\r\n" if token else "") + "\r\n").encode()
    taken: list[float] = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append(time.perf_counter() - began)
    writer.close()
    return taken


async def measure(port: int, name: str, path: str, *, clients: int = 1, gzip: bool = False, token: str = "") -> None:
    await ask(port, path, time.perf_counter() + 0.2, gzip, token)
    until = time.perf_counter() + SECONDS
    answers = await asyncio.gather(*(ask(port, path, until, gzip, token) for _ in range(clients)))
    taken = sorted(chain.from_iterable(answers))
    print(f"{name}.p50 {statistics.median(taken) * 1e3:.3f} ms")
    print(f"{name}.p99 {taken[int(len(taken) * 0.99)] * 1e3:.3f} ms")
    print(f"{name}.rate {len(taken) / SECONDS:.0f} /s")


async def main(serving: Server) -> None:
    port = serving.port
    await measure(port, f"api.hosts_{HOSTS}", "/api/0/hosts")
    await measure(port, f"api.hosts_{HOSTS}.gzip", "/api/0/hosts", gzip=True)
    await measure(port, f"api.hosts_{HOSTS}.gzip.clients_16", "/api/0/hosts", gzip=True, clients=16)
    serving.ask("churn", HOSTS // 10)
    await measure(port, f"api.hosts_{HOSTS}.changing", "/api/0/hosts")
    await measure(port, f"api.hosts_{HOSTS}.changing.gzip", "/api/0/hosts", gzip=True)
    serving.ask("still")
    await measure(port, "api.host", "/api/0/hosts/host-0500.example.org")
    await measure(port, "api.plugin", "/api/0/hosts/host-0500.example.org/plugins/cpu_monitor")
    await measure(port, "api.healthz", "/healthz")
    token, *_ = serving.ask("viewers", 10, 10)
    await measure(port, "api.viewer_of_100.host", "/api/0/hosts/host-0001.example.org", token=token)
    await measure(port, "api.viewer_of_100.hosts", "/api/0/hosts", token=token)


if __name__ == "__main__":
    with server(HOSTS) as serving:
        run(main(serving))
