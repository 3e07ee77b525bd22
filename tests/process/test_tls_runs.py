"""Real programs that speak TLS to each other: who is believed, and what changes when the certificate does."""

from __future__ import annotations

import asyncio
import shutil
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from certificates import Authority
from programs import Agent, Daemon, eventually

from hbd.cli import main
from hbd.companion import machine_name


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def make(folder: Path, authority: Authority, *options: str, **settings: Any) -> Daemon:
    """A daemon that is to speak TLS, with a certificate by that authority."""
    daemon = Daemon(folder, *options, hbd_tls=True, wss_pem="hbd.pem", wss_key="hbd.key", **settings)
    daemon.authority = authority.file
    certify(daemon, authority, "first")
    return daemon


def certify(daemon: Daemon, authority: Authority, name: str, *names: str, **options: Any) -> None:
    certificate, key = authority.issue(name, *names, **options)
    shutil.copy(certificate, daemon.folder / "hbd.pem")
    shutil.copy(key, daemon.folder / "hbd.key")


@pytest.fixture
async def daemon(tmp_path: Path, authority: Authority) -> AsyncIterator[Daemon]:
    async with make(tmp_path / "daemon", authority) as running:
        yield running


async def up(daemon: Daemon, name: str) -> bool:
    host = await daemon.host(name)
    return host is not None and host["state"] == "UP"


async def test_an_agent_with_the_authority_reports(daemon: Daemon, authority: Authority, tmp_path: Path) -> None:
    async def reported() -> bool:
        return bool(await daemon.fetch("/api/0/hosts/web-1/plugins/cpu_monitor"))

    async with Agent(tmp_path / "agent", daemon.url, "web-1", ca_file=str(authority.file)):
        await eventually(reported, 30, "the agent has reported")


async def test_an_agent_without_the_authority_reports_nothing_and_says_why(daemon: Daemon, tmp_path: Path) -> None:
    async def told() -> bool:
        return "trying again" in agent.text

    async with Agent(tmp_path / "agent", daemon.url, "web-1") as agent:
        await eventually(told, 30, "the agent has been refused")
        reason = f"unable to get local issuer certificate (127.0.0.1:{daemon.settings['hbd_port']})"
        assert f"the TLS certificate is not trusted: {reason}; name its authority in ca_file" in agent.text
        assert await daemon.host("web-1") is None
        assert "Traceback" not in agent.text


async def test_the_agent_beside_the_daemon_goes_with_its_certificate(tmp_path: Path, authority: Authority) -> None:
    async def connected_twice() -> bool:
        return daemon.text.count("hbc.link: connected to https://127.0.0.1:") == 2

    name = machine_name()
    async with make(tmp_path / "daemon", authority, "--with-agent") as daemon:
        await eventually(lambda: up(daemon, name), 30, "the host is up")
        # It bears no name of this machine: the agent knows the certificate itself.
        certify(daemon, authority, "second", "monitor.example")
        daemon.authority = None
        daemon.configure(hosts={name: {"interval": 2}})  # the daemon closes the link, so that it is greeted anew
        daemon.signal(signal.SIGHUP)
        await eventually(connected_twice, 30, "the agent has connected to the new certificate")


async def test_printed_urls_tell_of_tls(tmp_path: Path, authority: Authority) -> None:
    ports = {"hbd_port": 0, "hb_port": 0, "ws_port": 0, "wss_port": 0}
    async with make(tmp_path / "daemon", authority, **ports) as daemon:
        real = (await daemon.fetch("/api/0/status"))["urls"]
        assert set(real) <= set(daemon.printed_urls())
        assert {urlsplit(url).scheme for url in daemon.printed_urls()} == {"https", "ws", "wss", "udp"}


async def test_a_stop_does_not_wait_for_a_client_that_says_no_goodbye(daemon: Daemon, authority: Authority) -> None:
    port = daemon.settings["hbd_port"]
    trusting = ssl.create_default_context(cafile=authority.file)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    assert await daemon.stop() == 0
    writer.transport.abort()


async def test_a_bad_pair_stops_the_start_with_its_line(tmp_path: Path, authority: Authority) -> None:
    daemon = make(tmp_path / "daemon", authority)
    shutil.copy(authority.issue("other")[1], daemon.folder / "hbd.key")
    await daemon.start(ready=False)
    assert await daemon.ended(20) == 1
    line = daemon.config_file.read_text().splitlines().index("wss_key: hbd.key") + 1
    reason = f"the private key is not that of the first certificate in {daemon.folder}/hbd.pem"
    assert daemon.text == f"{daemon.config_file}:{line}: wss_key: {reason}\n"


def test_check_config_warns_of_an_expired_certificate(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = make(tmp_path / "daemon", authority)
    certify(daemon, authority, "expired", days=-1)
    assert main(["check-config", "-c", str(daemon.config_file)]) == 0
    assert capsys.readouterr().err.startswith("warning: wss_pem: the certificate expired on ")
