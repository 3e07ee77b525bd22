"""A log that grows by 100 MB a second, followed by somebody who reads slowly, through a real hbd and a real hbc."""

from __future__ import annotations

import asyncio
import json
import sys

from log_flood import FLOOD, LINE_BYTES
from stream_events import Events
from stream_site import Site, a_site, peak_kilobytes

__all__ = ["a_site"]

SECONDS, RATE = 2, 100_000_000
LINES = SECONDS * RATE // LINE_BYTES


async def test_f45_a_flood_shows_the_newest_counts_the_rest_and_disturbs_nothing(site: Site) -> None:
    log = site.logs / "app.log"
    log.touch()
    async with site.get("/stream/logs", source="file", path=str(log)) as answer:
        flood = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, str(log), str(RATE), str(SECONDS))
        assert await flood.wait() == 0  # so long the reader reads nothing
        shown = skipped = 0
        events, last = Events(answer), ""
        while last != f"{LINES:099}":
            event = await events.next()
            if event.get("event") == "skipped":
                skipped += json.loads(event["data"])["lines"]
            else:
                shown, last = shown + 1, event["data"]
    log.unlink()
    assert shown + skipped == LINES
    assert peak_kilobytes(site.agent.pid) < 100_000
    assert peak_kilobytes(site.daemon.pid) < 250_000
    async with site.http.get(site.daemon.url + "/api/0/hosts/web1") as answer:
        assert (await answer.json())["state"] == "UP"
