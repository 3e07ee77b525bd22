"""A whole daemon that speaks TLS: what listens where, what a reload changes for whom, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from certificates import Authority

from hbd import config as configuration
from hbd.daemon import Daemon
from hbd.errors import ConfigError, HbdError
from hbd.model import Moment
from hbd.web import tls_site


class House:
    """A folder with a config file, a certificate and its authority, and the daemon that lives there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.file = folder / "hbd.yaml"
        self.daemon: Daemon | None = None

    def write(self, text: str = "hbd_tls: true\nwss_port: 0\n") -> None:
        ports = "hbd_port: 0\nhb_port: 0\nws_port: 0\n"
        self.file.write_text(f"database: {self.folder}/hbd.db\n{ports}wss_pem: hbd.pem\nwss_key: hbd.key\n{text}")

    def certify(self, name: str = "first", **options: Any) -> bytes:
        """Put a new certificate in place; what a client will be shown."""
        certificate, key = self.authority.issue(name, **options)
        shutil.copy(certificate, self.folder / "hbd.pem")
        shutil.copy(key, self.folder / "hbd.key")
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    async def start(self) -> Daemon:
        self.daemon = Daemon(configuration.load(self.file))
        await self.daemon.start()
        return self.daemon

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.file)

    async def shown(self) -> bytes:
        """The certificate that a new client is shown."""
        assert self.daemon is not None
        _, writer = await asyncio.open_connection(
            "127.0.0.1", urlsplit(self.daemon.urls[0]).port, ssl=self.trusting(), server_hostname="localhost"
        )
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return certificate


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    made.certify()
    made.write()
    yield made
    if made.daemon is not None:
        await made.daemon.stop()


@pytest.fixture
async def daemon(house: House) -> Daemon:
    return await house.start()


@asynccontextmanager
async def browser(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=house.trusting(), limit=1)) as session:
        yield session


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Fails the test when anything from INFO on was logged in it."""
    caplog.clear()
    yield caplog
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == []


async def noted(daemon: Daemon, text: str) -> bool:
    async with asyncio.timeout(30):
        while text not in [message.msg for message in await daemon.store.messages.recent(100)]:
            await asyncio.sleep(0.01)
    return True


# -------------------------------------------------------------------------------------------------------------- listen


async def test_pages_come_over_tls_with_hsts_for_a_name(house: House, daemon: Daemon) -> None:
    name = {"Host": socket.gethostname()}
    async with browser(house) as session, session.get(f"{daemon.urls[0]}healthz", headers=name) as answer:
        assert answer.status == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_plain_pages_have_no_hsts(house: House) -> None:
    house.write("wss_port: 0\n")
    daemon = await house.start()
    async with aiohttp.request("GET", f"{daemon.urls[0]}healthz") as answer:
        assert (answer.status, answer.headers.get("Strict-Transport-Security")) == (200, None)


async def test_urls_tell_where_tls_is_spoken(daemon: Daemon) -> None:
    schemes = [urlsplit(url).scheme for url in (*daemon.urls, *daemon.feed_urls)]
    families = len(daemon.urls)
    assert schemes == ["https"] * families + ["ws"] * families + ["wss"] * families


async def test_the_feed_comes_over_wss_and_nothing_else_does(house: House, daemon: Daemon) -> None:
    await daemon.enrolment.add("web-1")
    feed = next(url for url in daemon.feed_urls if url.startswith("wss:"))
    async with browser(house) as session:
        async with session.ws_connect(feed) as socket:
            assert (await socket.receive_json(timeout=30))["data"]["name"] == "web-1"
        async with session.get(feed.replace("wss:", "https:").replace("/hbd", "/live")) as answer:
            assert answer.status == 404


async def test_wss_port_alone_leaves_the_pages_plain(house: House) -> None:
    house.write("wss_port: 0\n")
    daemon = await house.start()
    assert {urlsplit(url).scheme for url in daemon.urls} == {"http"}
    assert {urlsplit(url).scheme for url in daemon.feed_urls} == {"ws", "wss"}


async def test_with_tls_the_plain_feed_listens_to_this_machine_alone(house: House) -> None:
    house.write('hbd_tls: true\nhbd_host: "0.0.0.0"\n')
    daemon = await house.start()
    assert {urlsplit(url).hostname for url in daemon.urls} == {"0.0.0.0"}
    assert {urlsplit(url).hostname for url in daemon.feed_urls} <= {"127.0.0.1", "::1"}


async def test_plain_http_on_the_tls_port_is_closed_without_a_word(
    house: House, daemon: Daemon, quiet: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(daemon.urls[0]).port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert b"HTTP" not in answer
    writer.close()


async def test_garbage_leaves_no_trace_in_the_log(
    house: House, daemon: Daemon, quiet: pytest.LogCaptureFixture
) -> None:
    for garbage in (b"\x16\x03\x01\x00\x05hello", b"\x00" * 500, b"\x16\x03\x01\xff\xff" + b"x" * 3000):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(daemon.urls[0]).port)
        writer.write(garbage)
        writer.write_eof()
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert await house.shown()


async def test_a_client_that_shows_distrust_leaves_no_trace_in_the_log(
    house: House, daemon: Daemon, quiet: pytest.LogCaptureFixture
) -> None:
    port = urlsplit(daemon.urls[0]).port
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname="localhost")
    assert await house.shown()


async def test_a_handshake_that_does_not_go_on_is_cut(
    house: House, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_site, "HANDSHAKE_SECONDS", 0.2)
    daemon = await house.start()
    quiet.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(daemon.urls[0]).port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


# -------------------------------------------------------------------------------------------------------------- reload


async def test_a_reload_shows_new_clients_the_new_certificate(house: House, daemon: Daemon) -> None:
    before = await house.shown()
    fresh = house.certify("second")
    result = await daemon.reload()
    assert (result.ok, result.restart_needed) == (True, [])
    assert await house.shown() == fresh != before


async def test_a_reload_leaves_an_open_websocket_open(house: House, daemon: Daemon) -> None:
    async with browser(house) as session, session.ws_connect(f"{daemon.urls[0]}hbd") as socket:
        house.certify("second")
        assert (await daemon.reload()).ok
        await daemon.enrolment.add("web-1")
        assert (await socket.receive_json(timeout=30))["data"]["name"] == "web-1"


async def test_a_reload_leaves_a_resting_connection_open(house: House, daemon: Daemon) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", urlsplit(daemon.urls[0]).port, ssl=house.trusting(), server_hostname="localhost"
    )
    for turn in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 ")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        if turn == 0:
            house.certify("second")
            assert (await daemon.reload()).ok
    writer.close()
    await writer.wait_closed()


async def test_files_are_not_looked_at_before_a_reload(house: House, daemon: Daemon) -> None:
    before = await house.shown()
    house.certify("second")
    assert await house.shown() == before


async def test_a_reload_with_a_bad_pair_changes_nothing(house: House, daemon: Daemon) -> None:
    before = await house.shown()
    house.certify("second")
    shutil.copy(house.authority.issue("third")[1], house.folder / "hbd.key")
    house.write("hbd_tls: true\nwss_port: 0\nsamples_per_plugin: 7\n")
    result = await daemon.reload()
    reason = f"the private key is not that of the first certificate in {house.folder}/hbd.pem"
    assert result.problems == [f"{house.file}:6: wss_key: {reason}"]
    assert daemon.config.samples_per_plugin == 100
    assert await house.shown() == before


async def test_other_files_for_the_certificate_need_no_restart(house: House, daemon: Daemon) -> None:
    certificate, key = house.authority.issue("second")
    text = house.file.read_text().replace("hbd.pem", certificate.name).replace("hbd.key", key.name)
    house.file.write_text(text)
    assert (await daemon.reload()).restart_needed == []
    assert await house.shown() == ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def test_switching_tls_off_waits_for_the_restart(house: House, daemon: Daemon) -> None:
    before = await house.shown()
    house.write("")
    assert (await daemon.reload()).restart_needed == ["wss_port", "hbd_tls"]
    assert await house.shown() == before


async def test_a_new_certificate_is_noted_in_the_journal(house: House, daemon: Daemon) -> None:
    house.certify("second")
    await daemon.reload()
    assert await noted(daemon, "config reloaded: the certificate")


# ---------------------------------------------------------------------------------------------------- about itself


async def test_a_certificate_that_ends_soon_is_told_everywhere(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.certify(days=5.5)
    daemon = await house.start()
    (warning,) = daemon.status().warnings
    assert warning.startswith("wss_pem: the certificate expires on ") and ", in 5 days; " in warning
    assert warning in caplog.messages
    assert await noted(daemon, warning)


async def test_the_warning_is_repeated_the_next_day(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.certify(days=5.5)
    daemon = await house.start()
    caplog.clear()
    now = Moment.now()
    for hours in (1, 23, 25, 26):
        await daemon.upkeep.round(Moment(now.wall + hours * 3600.0, now.mono + hours * 3600.0))
    assert sum("the certificate expires on" in message for message in caplog.messages) == 1


async def test_an_expired_certificate_is_served_with_a_warning(house: House) -> None:
    house.certify(days=-1)
    daemon = await house.start()
    assert "expired on" in daemon.status().warnings[0]


async def test_a_good_certificate_is_not_warned_about(daemon: Daemon) -> None:
    assert daemon.status().warnings == []


async def test_metrics_tell_when_the_certificate_expires(house: House, daemon: Daemon) -> None:
    assert daemon.certificate is not None
    async with browser(house) as session, session.get(f"{daemon.urls[0]}metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "hbd_certificate_expires_timestamp_seconds"
    assert f"{name} {daemon.certificate.pair.expires!r}" in lines


async def test_without_tls_there_is_no_such_metric(house: House) -> None:
    house.write("")
    daemon = await house.start()
    assert "certificate_expires_timestamp_seconds" not in daemon.stats.gauges


# -------------------------------------------------------------------------------------------------------------- start


def test_a_key_for_everybody_to_read_is_a_problem_of_the_config(house: House) -> None:
    key = house.folder / "hbd.key"
    key.chmod(0o644)
    with pytest.raises(ConfigError) as raised:
        configuration.load(house.file)
    reason = f"every user of this machine may read or change the private key in {key}; run: chmod 600 {key}"
    assert raised.value.problems == [f"{house.file}:6: wss_key: {reason}"]


async def test_a_pair_that_broke_after_the_config_was_read_stops_the_start(house: House) -> None:
    config = configuration.load(house.file)
    (house.folder / "hbd.pem").write_text("")
    with pytest.raises(HbdError, match="wss_pem: there is no certificate in"):
        Daemon(config)
