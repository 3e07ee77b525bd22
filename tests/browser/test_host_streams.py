"""Logs, files and commands of a real agent on its host's page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import bcrypt
import pytest
import pytest_asyncio
from conftest import START_SECONDS, STOP_SECONDS, OpenPage, printed_url
from fed import CHEAPEST, PASSWORD
from playwright.async_api import FilePayload, Locator, Page, expect

BINARY = "application/octet-stream"

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Site(NamedTuple):
    """A daemon with users, and the agent of one host that allows something. home: where both keep what they have."""

    origin: str
    home: Path

    @property
    def log(self) -> Path:
        return self.home / "logs" / "app.log"

    @property
    def files(self) -> Path:
        return self.home / "files"


def start(program: str, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    state = str(home / f"{program}-state")
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": state, "STATE_DIRECTORY": state}
    with (home / f"{program}.out").open("wb") as sink:
        command = [sys.executable, "-m", program, *arguments]
        return subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, cwd=home)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(CHEAPEST)).decode()
    config = home / "hbd.yaml"
    config.write_text(
        f"hbd_port: 0\nhb_port: 0\nws_port: 0\ninterval: 2\ndatabase: {home / 'hbd.sqlite'}\n"
        f'users: {{alice: {{role: admin, password: "{hashed}"}}}}\n'
    )
    for folder in ("logs", "files", "kept"):
        (home / folder).mkdir()
    (home / "logs" / "app.log").write_text("first line\nsecond line\n")
    (home / "kept" / "as-it-is.txt").write_text("kept\n")
    daemon = start("hbd", home, "run", "-c", str(config))
    try:
        found = Site(printed_url(daemon, home / "hbd.out"), home)
        added = [sys.executable, "-m", "hbd", "agent", "add", "web", "-c", str(config)]
        key = subprocess.run(added, capture_output=True, text=True, check=True, cwd=home)
        agent = start("hbc", home, "run", "-c", str(agent_config(found, key.stdout.strip())))
        try:
            yield found
        finally:
            stop(agent)
    finally:
        stop(daemon)


def agent_config(site: Site, key: str) -> Path:
    path = site.home / "hbc.yaml"
    path.write_text(
        f"server: {site.origin}\nkey: {key}\nname: web\ninterval: 2\n"
        "allow:\n  commands: [ping, shell]\n"
        f"  log_paths: [{site.log.parent}]\n  file_roots: [{site.files}]\n  read_roots: [{site.home / 'kept'}]\n"
    )
    path.chmod(0o600)
    return path


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: Site, open_page: OpenPage) -> AsyncIterator[Page]:
    """Somebody has signed in, and the agent is connected."""
    page = await open_page(f"{site.origin}/login?next={quote('/agent/web?tab=policy')}", expected="40")
    await page.get_by_label("User name").fill("alice")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.locator(".hostline")).to_contain_text(", connected", timeout=START_SECONDS * 1000)
    await expect(page.locator(".verdict")).to_be_visible(timeout=START_SECONDS * 1000)
    yield page


def lines(page: Page) -> Locator:
    return page.locator("#lines li:not([hidden])")


async def follow(page: Page, site: Site) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=logs")
    await page.get_by_label("From").select_option("file")
    await page.get_by_label("Path of the file").fill(str(site.log))
    await page.get_by_role("button", name="Follow").click()
    await expect(page.locator("#stream-state")).to_contain_text("following")


async def test_a_command_runs_and_shows_what_it_wrote(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=commands")
    await page.get_by_label("Command", exact=True).select_option("shell")
    await page.get_by_label("Command line").fill("echo one; echo two >&2; exit 3")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#current .sign")).to_contain_text("failed, exit code 3")
    await expect(page.locator("#output")).to_contain_text("one")
    await expect(page.locator("#output .stderr")).to_contain_text("two")


async def test_lines_show_as_they_are_written(site: Site, page: Page) -> None:
    await follow(page, site)
    await expect(lines(page).first).to_have_text("first line")
    with site.log.open("a") as log:
        log.write("a third <b>line</b>\n")
    await expect(lines(page).last).to_have_text("a third <b>line</b>")
    await expect(page).to_have_url(re.compile(r"tab=logs&source=file&path="))


async def test_lines_that_nobody_counted_are_told(site: Site, page: Page) -> None:
    said = 'event: skipped\ndata: {"lines": null, "bytes": 5000000}\n\ndata: newest\n\nevent: end\ndata: {}\n\n'
    await page.route("**/stream/logs?*", lambda route: route.fulfill(body=said, content_type="text/event-stream"))
    await page.goto(f"{site.origin}/agent/web?tab=logs&source=file&path=/x")
    await expect(lines(page)).to_have_text(
        ["many lines (5.0 MB) came faster than they can be shown, and are left out", "newest"]
    )
    await expect(page.locator("#stream-state")).to_contain_text("ended")


FETCHED = """async (broken) => {
  const module = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/js/events.js"));
  const { Events } = await import(module.name);
  const signals = [], shown = [], faults = [];
  const text = (words) => new TextEncoder().encode(words);
  const others = window.fetch;
  window.fetch = async (url, options) => {
    if (url !== "/x") return others(url, options);
    const { headers, signal } = options;
    signals.push(signal);
    const after = Number(headers["Last-Event-ID"] ?? 0);
    const last = signals.length === 1 ? 2 : 3;
    let next = after + 1;
    return new Response(new ReadableStream({
      async pull(to) {
        await new Promise((turn) => setTimeout(turn));
        if (next <= last) to.enqueue(text(`id: ${next}\ndata: ${next++}\n\n`));
        else if (last === 2) to.error(new TypeError("the connection broke"));
      },
    }));
  };
  addEventListener("error", (event) => { faults.push(event.message); event.preventDefault(); });
  await new Promise((resolve) => {
    const events = new Events("/x", {
      onEvents([{ data }]) {
        if (data === broken && !faults.length) throw new Error("cannot be shown");
        shown.push(data);
        if (data === "3") { events.close(); resolve(); }
      },
    });
  });
  return [shown, faults.length, signals.map(({ aborted }) => aborted)];
}"""


async def test_a_connection_that_broke_is_let_go_of_and_gone_on_with_behind_what_was_shown(
    site: Site, page: Page
) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=logs")
    assert await page.evaluate(FETCHED, "") == [["1", "2", "3"], 0, [True, True]]


async def test_a_fault_of_the_page_is_no_lost_connection(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=logs")
    assert await page.evaluate(FETCHED, "1") == [["2", "3"], 1, [True, True]]


async def test_what_could_not_be_shown_is_asked_for_again(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=logs")
    assert await page.evaluate(FETCHED, "2") == [["1", "2", "3"], 1, [True, True]]


async def test_only_lines_with_some_words_are_shown(site: Site, page: Page) -> None:
    await follow(page, site)
    await expect(lines(page).first).to_have_text("first line")
    await page.get_by_label("Show only lines").fill("SECOND")
    await expect(lines(page)).to_have_text(["second line"])
    await page.get_by_label("Show only lines").fill("")
    await expect(lines(page).first).to_have_text("first line")


async def test_what_is_written_during_a_pause_waits(site: Site, page: Page) -> None:
    await follow(page, site)
    await expect(lines(page).first).to_have_text("first line")
    await page.get_by_role("button", name="Pause").click()
    with site.log.open("a") as log:
        log.write("while paused\n")
    await expect(page.locator("#newest")).to_have_text("1 newer lines")
    await expect(lines(page).last).not_to_have_text("while paused")
    await page.locator("#newest").click()
    await expect(lines(page).last).to_have_text("while paused")


async def test_a_log_outside_of_the_allowed_folders_is_refused_with_the_reason(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=logs&source=file&path=/etc/passwd")
    await expect(page.locator("#log-error")).to_contain_text("log_paths")
    await expect(page.get_by_role("button", name="Follow")).to_be_visible()


async def test_folders_are_walked_and_a_file_is_downloaded(site: Site, page: Page) -> None:
    (site.files / "inner").mkdir(exist_ok=True)
    (site.files / "inner" / "notes.txt").write_text("hello\n")
    await page.goto(f"{site.origin}/agent/web?tab=files")
    await page.get_by_role("link", name=str(site.files)).click()
    await page.get_by_role("link", name="inner").click()
    await expect(page.locator("#crumbs [aria-current]")).to_have_text("inner")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Download notes.txt").click()
    download = await waiting.value
    assert Path(await download.path()).read_text() == "hello\n"
    await page.go_back()
    await expect(page.locator("#crumbs [aria-current]")).to_have_text(str(site.files))


async def test_a_file_is_uploaded_and_replaced_only_when_that_is_wanted(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=files&path={quote(str(site.files))}")
    await expect(page.locator("#choose")).to_be_visible()
    await page.locator("#upload").set_input_files([FilePayload(name="new.bin", mimeType=BINARY, buffer=b"1" * 100_000)])
    await expect(page.locator("#entries")).to_contain_text("new.bin")
    assert (site.files / "new.bin").read_bytes() == b"1" * 100_000
    await page.locator("#upload").set_input_files([FilePayload(name="new.bin", mimeType=BINARY, buffer=b"2")])
    await page.locator("#replace").get_by_role("button", name="Keep it").click()
    await expect(page.locator("#replace")).to_be_hidden()
    assert (site.files / "new.bin").stat().st_size == 100_000
    await page.locator("#upload").set_input_files([FilePayload(name="new.bin", mimeType=BINARY, buffer=b"2")])
    await page.locator("#replace").get_by_role("button", name="Replace it").click()
    await expect(page.locator("#entries tr", has_text="new.bin")).to_contain_text("1 B")
    assert (site.files / "new.bin").read_bytes() == b"2"


async def test_an_upload_in_several_parts_arrives_whole(site: Site, page: Page) -> None:
    data = os.urandom(9 << 20)
    await page.goto(f"{site.origin}/agent/web?tab=files&path={quote(str(site.files))}")
    await expect(page.locator("#choose")).to_be_visible()
    await page.locator("#upload").set_input_files([FilePayload(name="large.bin", mimeType=BINARY, buffer=data)])
    await expect(page.locator(".toast")).to_have_text("Uploaded: large.bin")
    assert (site.files / "large.bin").read_bytes() == data


async def test_nothing_is_put_where_files_may_only_be_read(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=files&path={quote(str(site.home / 'kept'))}")
    await expect(page.locator("#count")).to_contain_text("read only")
    await expect(page.locator("#choose")).to_be_hidden()


async def test_a_folder_outside_of_the_allowed_ones_is_refused_with_the_reason(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/agent/web?tab=files&path=/etc")
    await expect(page.locator("#files-error")).to_contain_text("file_roots")
