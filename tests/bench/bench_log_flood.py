"""What following a log costs the agent while it is written to as fast as can be: CPU, memory, and lost heartbeats."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from log_flood import FLOOD
from stream_site import Site, peak_kilobytes

SECONDS, RATE = 5, 200_000_000  # more than most machines write


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            await site.start()
            log = site.logs / "app.log"
            took = await written(log)
            print(f"the writer alone: {RATE * SECONDS / took / 1e6:.0f} MB/s")
            log.write_bytes(b"")
            async with site.get("/stream/logs", source="file", path=str(log)) as answer:
                idle = cpu_seconds(site.agent.pid)
                ended = asyncio.ensure_future(written(log))
                while not ended.done():
                    await asyncio.wait({ended, asyncio.ensure_future(answer.content.readany())}, timeout=1)
                took = ended.result()
                used = cpu_seconds(site.agent.pid) - idle
            print(f"written: {RATE * SECONDS / took / 1e6:.0f} MB/s for {took:.1f} s")
            print(f"agent's CPU: {100 * used / took:.1f} % of one core")
            print(f"agent's memory at most: {peak_kilobytes(site.agent.pid) / 1024:.0f} MiB")
            async with site.http.get(site.daemon.url + "/api/0/hosts/web1") as host:
                lost = [connection["lost"] for connection in (await host.json())["connections"]]
            print(f"heartbeats lost: {sum(lost)}")
        finally:
            await site.stop()


async def written(log: Path) -> float:
    """Have the flood written; how many seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    flood = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, str(log), str(RATE), str(SECONDS))
    await flood.wait()
    return loop.time() - began


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    asyncio.run(main())
