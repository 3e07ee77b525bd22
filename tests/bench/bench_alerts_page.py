"""How soon the page of alerts shows what a sample did: python tests/bench/bench_alerts_page.py [changes]

A real daemon on loopback with its database, and a real Chromium (``HBD_TEST_CHROMIUM``) that has ``/alerts`` open with
some other problems on it. Reports break a limit and keep it again. Measured is from ``Pipeline.accept`` to the row
being there, or gone, in the page: the write to disk, the live feed, its WebSocket, and the page. Both have the same
clock. Prints ``name value unit`` lines.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
from playwright.async_api import Page, async_playwright

from hbd import config as configuration
from hbd.daemon import Daemon
from hbd.hosts import Host
from hbd.model import Moment, Report, Sample

CHROMIUM = os.environ.get("HBD_TEST_CHROMIUM", "/usr/bin/chromium")
OTHERS = 20  # hosts with a problem all the time
PLUGIN = "temperature"
CONFIG = """
hbd_host: 127.0.0.1
hbd_port: 0
hb_port: 0
ws_port: 0
database: {folder}/hbd.sqlite
threshold_configs:
  default:
    temperature:
      celsius: {{critical: 90}}
flapping: {{changes: 0}}
"""
WATCH = """name => {
  window.shows = []
  let before = null
  const look = () => {
    const there = [...document.querySelectorAll("li.alert .where a")].some(link => link.textContent === name)
    if (before !== null && there !== before) window.shows.push([there, performance.timeOrigin + performance.now()])
    before = there
  }
  look()
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true })
}"""


class Reporter:
    def __init__(self, daemon: Daemon) -> None:
        self._pipeline = daemon.pipeline
        self._seq = 0

    async def report(self, host: Host, celsius: float) -> tuple[float, float]:
        """Unix seconds: when it came in, when it was on disk."""
        self._seq += 1
        now = Moment.now()
        data = {"celsius": celsius}
        body = msgspec.json.encode([{"plugin": PLUGIN, "time": now.wall, "data": data}])
        sample = Sample(PLUGIN, now.wall, data)
        await self._pipeline.accept(Report(host.id, "0123456789abcdef", self._seq, (sample,), body, 0.0, 10.0), now)
        return now.wall, time.time()


async def shown(page: Page, count: int) -> float:
    """When the page changed for the count-th time, Unix seconds."""
    await page.wait_for_function("count => window.shows.length >= count", arg=count, timeout=20_000)
    at: float = await page.evaluate("count => window.shows[count - 1][1]", count)
    return at / 1000


async def measure(daemon: Daemon, page: Page, changes: int) -> None:
    draw = random.Random(1)
    for number in range(OTHERS + 1):
        await daemon.enrolment.add(f"host-{number}")
    hosts = list(daemon.hosts)
    measured, others = hosts[0], hosts[1:]
    reporter = Reporter(daemon)
    for host in others:
        await reporter.report(host, 95.0)
    await reporter.report(measured, 20.0)
    await page.goto(f"{daemon.urls[0]}alerts")
    await page.wait_for_function("() => document.querySelector('#feed').textContent === 'live'")
    await page.evaluate(WATCH, measured.name)
    to_page, to_disk = [], []
    for number in range(1, changes + 1):
        await asyncio.sleep(draw.uniform(0.0, 1.0))  # at any time of whatever has a beat of its own
        came, stored = await reporter.report(measured, 95.0 if number % 2 else 20.0)
        to_disk.append(stored - came)
        to_page.append(await shown(page, number) - came)
    print(f"alerts_page.changes {changes} count")
    for name, times in (("on_disk", sorted(to_disk)), ("on_page", sorted(to_page))):
        print(f"alerts_page.{name}_p50 {median(times) * 1e3:.0f} ms")
        print(f"alerts_page.{name}_p95 {times[int(0.95 * len(times))] * 1e3:.0f} ms")
        print(f"alerts_page.{name}_max {times[-1] * 1e3:.0f} ms")


async def main(changes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hbd.yaml"
        path.write_text(CONFIG.format(folder=folder))
        daemon = Daemon(configuration.load(path))
        await daemon.start()
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=CHROMIUM, chromium_sandbox=False, args=["--disable-gpu"]
                )
                page = await browser.new_page()
                await measure(daemon, page, changes)
                await browser.close()
        finally:
            await daemon.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
