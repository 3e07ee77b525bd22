from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from agents_kit import fleet
from fed import FedDaemon
from people_kit import some_people
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

ELSEWHERE = "hbd.test"  # leads here too, but the browser takes it for another machine
CHROMIUM = os.environ.get("HBD_TEST_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
]
NO_DAEMON = ("WebSocket connection to", "ERR_CONNECTION_REFUSED")  # what the browser says while nobody listens
START_SECONDS = 30.0
STOP_SECONDS = 10.0

expect.set_options(timeout=30_000)

OpenPage = Callable[..., Awaitable[Page]]

__all__ = ["fleet", "some_people"]  # fixtures


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real daemon with a real agent for this machine, as ``hbd run --with-agent`` starts them. Its URL."""
    home = tmp_path_factory.mktemp("daemon")
    config = home / "hbd.yaml"
    config.write_text(f"hbd_port: 0\nhb_port: 0\nws_port: 0\ninterval: 2\ndatabase: {home / 'hbd.sqlite'}\n")
    output = home / "output"
    command = [sys.executable, "-m", "hbd", "run", "--with-agent", "-c", str(config)]
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    with output.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, cwd=home)
    try:
        yield printed_url(process, output)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


def printed_url(process: subprocess.Popen[bytes], output: Path) -> str:
    """The first URL that the daemon prints. Fails with its output when none comes in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", output.read_text())
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the daemon did not say where it listens:\n{output.read_text()}")


@pytest_asyncio.fixture(loop_scope="session")
async def fed(tmp_path: Path) -> AsyncIterator[FedDaemon]:
    daemon = FedDaemon(tmp_path)
    await daemon.start()
    yield daemon
    await daemon.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, chromium_sandbox=False, args=ARGUMENTS
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages. A console error, an exception or a request to another origin on any of them fails the test.

    expected: parts of console errors that belong to what is tested, one of which is in each.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    async def open(
        url: str,
        *,
        width: int = 1440,
        height: int = 900,
        theme: Any = "light",
        scripts: bool = True,
        expected: str | tuple[str, ...] = (),
    ) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            java_script_enabled=scripts,
            service_workers="block",
        )
        contexts.append(context)
        page = await context.new_page()
        origin = urlsplit(url).netloc
        parts = (expected,) if isinstance(expected, str) else expected

        def note(kind: str, text: str) -> None:
            if not any(part in text for part in parts):
                problems.append(f"{kind}: {text}")

        page.on("console", lambda message: note("console", message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note("exception", str(error)))
        page.on(
            "request",
            lambda request: note("request", request.url) if urlsplit(request.url).netloc != origin else None,
        )
        await page.goto(url)
        return page

    yield open
    for context in contexts:
        await context.close()
    assert not problems
