"""What a daemon as a whole offers to whoever is near: S41, S68, S69, S73 to S75."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import bcrypt
import pytest
from callers import Callers
from certificates import Authority
from programs import Daemon as Process
from world import Api

import hbc
import hbd
from hbc.trust import SYSTEM_TRUST
from hbd import tls
from hbd.config import Config
from hbd.config.structs import HostConfig, User
from hbd.daemon import Daemon
from hbd.signin import Visitor

# ------------------------------------------------------------------------------------------------ S68 what listens


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    running = Daemon(Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "state" / "hbd.db"))
    await running.start()
    yield running
    await running.stop()


async def test_s68_without_a_word_in_the_config_nothing_listens_beyond_loopback(daemon: Daemon) -> None:
    names = {urlsplit(url).hostname for url in daemon.urls}
    assert names <= {"127.0.0.1", "::1", "localhost"}


def test_s68_older_tls_is_not_spoken(tmp_path: Path) -> None:
    certificate = tls.load(tls.Files(*Authority(tmp_path).issue()))
    assert certificate.context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_s69_a_private_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    chain, key = Authority(tmp_path).issue()
    key.chmod(0o644)
    with pytest.raises(tls.CertificateProblem, match="chmod 600"):
        tls.load(tls.Files(chain, key))


def test_s68_agents_check_certificates_and_names_unless_told_whom_to_trust() -> None:
    context = SYSTEM_TRUST.context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


# ------------------------------------------------------------------------------------------- S4, S9 as a whole


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon whose hosts ``alpha`` and ``beta`` ``bob`` may see: the one as its monitor, the other as an operator."""
    users = {"root": User(role="admin"), "bob": User(role="operator")}
    hosts = {"alpha": HostConfig(monitors=("bob",)), "beta": HostConfig()}
    database = tmp_path / "hbd.db"
    running = Daemon(Config(hbd_port=0, hb_port=0, ws_port=0, database=database, users=users, hosts=hosts))
    await running.start()
    yield running
    await running.stop()


async def bearer(daemon: Daemon, name: str) -> dict[str, str]:
    security = daemon.security
    signed_in = await security.sign_in.trusted(security.accounts.require(name), "password", Visitor("192.0.2.1", "x"))
    return {"Authorization": f"Bearer {signed_in.token}"}


async def heard_until(ws: aiohttp.ClientWebSocketResponse, text: str) -> str:
    async with asyncio.timeout(10):
        heard = ""
        while text not in heard:
            heard += await ws.receive_str()
    return heard


async def test_s04_an_open_feed_follows_what_its_user_may(shared: Daemon) -> None:
    root = await bearer(shared, "root")
    url = shared.urls[0].rstrip("/")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url + "/hbd", headers=await bearer(shared, "bob")) as ws,
    ):
        await heard_until(ws, '"beta"')
        async with http.put(url + "/api/0/users/bob", json={"role": "viewer"}, headers=root) as answer:
            assert answer.status == 200
        beta, alpha = (shared.hosts.require(name).id for name in ("beta", "alpha"))
        after = await heard_until(ws, f'"gone","data":{{"id":{beta}}}')
        after += await heard_until(ws, '"alpha"')
        assert '"beta"' not in after
        async with http.put(url + "/api/0/hosts/alpha/access", json={"monitors": []}, headers=root) as answer:
            assert answer.status == 200
        await heard_until(ws, f'"gone","data":{{"id":{alpha}}}')


async def test_s09_an_open_feed_of_a_daemon_ends_with_its_session(shared: Daemon) -> None:
    url = shared.urls[0].rstrip("/")
    bob = await bearer(shared, "bob")
    async with aiohttp.ClientSession() as http, http.ws_connect(url + "/hbd", headers=bob) as ws:
        await heard_until(ws, '"beta"')
        async with http.delete(url + "/api/0/users/bob/sessions", headers=await bearer(shared, "root")) as answer:
            assert answer.status == 200
        async with asyncio.timeout(10):
            async for _ in ws:
                pass
        assert ws.close_code == 4401


# ----------------------------------------------------------------------------------------------- S41 a real log


async def test_s41_what_a_daemon_prints_at_debug_holds_no_secret(tmp_path: Path) -> None:
    password, guess = "canary-password-2b", "canary-guess-7d"
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    secrets = [password, guess, hashed]
    users = {"root": {"password": hashed, "role": "admin"}}
    async with Process(tmp_path, users=users, log={"level": "debug"}) as daemon, aiohttp.ClientSession() as http:
        for tried in (guess, password):
            body = {"username": "root", "password": tried}
            async with http.post(f"{daemon.url}/api/0/auth/login", json=body) as answer:
                secrets += filter(None, [(await answer.json()).get("token")])
        headers = {"Authorization": f"Bearer {secrets[-1]}"}
        async with http.post(f"{daemon.url}/api/0/users/me/tokens", json={"name": "x"}, headers=headers) as answer:
            secrets.append((await answer.json())["token"])
        for path in ("/api/0/hosts", "/hbd", "/live", "/api/0/hosts/nope"):
            async with http.get(daemon.url + path, params={"token": secrets[-1]}, headers=headers) as answer:
                await answer.read()
        daemon.signal(signal.SIGHUP)
        await daemon.stop()
        assert len(secrets) == 5
        assert "INFO" in daemon.text
        assert [secret for secret in secrets if secret in daemon.text] == []


# --------------------------------------------------------------------------------------------------- S69 permissions


@pytest.mark.usefixtures("open_umask")
async def test_s69_whatever_the_umask_only_the_daemon_reads_its_files(tmp_path: Path) -> None:
    running = Daemon(Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "state" / "hbd.db"))
    await running.start()
    try:
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*")}
        assert len(found) >= 2
        assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    finally:
        await running.stop()


# ----------------------------------------------------------------------------------------------------- S73 static ban

BANNED = re.compile(
    r"^\s*(?:import|from) (?:pickle|marshal|shelve)\b|(?<![.\w])(?:eval|exec)\(|yaml\.(?:unsafe_)?load\(|shell=True"
    r"|os\.(?:system|popen)\(|verify(?:_ssl)?=False|ssl=False|check_hostname=False|\.execute\w*\(\s*f[\"']",
    re.MULTILINE,
)


def test_s73_nothing_turns_text_into_code() -> None:
    """``tests/contract/test_repository.py`` reads the syntax trees, and the scripts of the pages."""
    found = [
        f"{path}: {match[0]}"
        for package in (hbd, hbc)
        for path in Path(package.__file__).parent.rglob("*.py")
        for match in BANNED.finditer(path.read_text("utf-8"))
        if "PRAGMA" not in path.read_text("utf-8")[match.start() : match.end() + 20]
    ]
    assert found == []


# ---------------------------------------------------------------------------------------------- S74 debugging routes

HIDDEN = [
    "/debug", "/debug/pprof/", "/debug/vars", "/_debug", "/console", "/_profiler", "/server-status", "/actuator/env",
    "/version", "/api/version", "/api/0/version", "/api/0/debug", "/docs", "/openapi.json", "/swagger.json", "/graphql",
    "/.env", "/.git/config", "/config", "/hbd.yaml", "/hbd.db", "/backup", "/api/0/backup", "/api/0/config", "/admin",
    "/robots.txt", "/favicon.ico", "/static/", "/static/js/", "/templates/live.html",
]  # fmt: skip


@pytest.mark.parametrize("path", HIDDEN)
async def test_s74_there_is_nothing_to_find(api: Api, callers: Callers, path: str) -> None:
    for caller in ("anonymous", "admin"):
        assert (await api.get(path, headers=await callers.headers(caller))).status == 404


async def test_s74_nobody_is_told_what_the_server_is_made_of(api: Api, callers: Callers) -> None:
    versions = (aiohttp.__version__, sys.version.split()[0], "aiohttp", "Python/")
    for path in ("/login", "/healthz", "/readyz", "/nope", "/api/0/hosts", "/metrics"):
        answer = await api.get(path)
        told = f"{answer.headers}{await answer.text()}"
        assert "Server" not in answer.headers
        assert not [version for version in versions if version in told], path


async def test_s74_strangers_are_not_told_the_version(api: Api, callers: Callers) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/api/0/status", "/api/0/openapi.json"):
        assert '"version"' not in await (await api.get(path)).text()


# ---------------------------------------------------------------------------------------------------- S75 backups


async def test_s75_no_route_hands_out_the_database(api: Api, callers: Callers) -> None:
    """Copies are made where the daemon runs, by whoever may read its files."""
    admin = await callers.headers("admin")
    for path in ("/api/0/backup", "/backup", "/api/0/database", "/hbd.db", "/static/hbd.db", "/static/../hbd.db"):
        assert (await api.get(path, headers=admin)).status == 404
