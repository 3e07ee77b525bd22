"""Renewing the agent: only to what was named, only to what works here, and never back."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hbc import __version__, update
from hbc.commands.works import Failed
from hbc.trust import SYSTEM_TRUST
from hbd.remote.package import build

KEY = "5e" * 32
NEWER = "99.0.0"


def packed(version: str = NEWER, body: str = "") -> bytes:
    """A program that says that it is this version, and writes down how it is called."""
    main = body or (
        "import sys, pathlib, json\n"
        f"print('hbc {version}')\n"
        "with open(sys.argv[0] + '.called', 'a') as out: out.write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("__main__.py", main)
    return out.getvalue()


class Served:
    """A daemon that serves one package."""

    def __init__(self) -> None:
        self.data = packed()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked.append((self.path, self.headers["X-Agent-Key"]))
                self.send_response(served.status)
                for name, value in served.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(served.data)))
                self.end_headers()
                self.wfile.write(served.data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def params(self) -> dict[str, str]:
        return {"version": NEWER, "sha256": hashlib.sha256(self.data).hexdigest()}


@pytest.fixture
def daemon() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "hbc.pyz"
    file.write_bytes(b"the one that runs")
    monkeypatch.setattr(update, "package_file", lambda: file)
    return file


async def fetch(daemon: Served, **params: Any) -> Path | None:
    return await update.fetch(daemon.params | params, daemon.url, KEY, SYSTEM_TRUST, None)


async def test_what_was_named_lies_ready_beside_the_package(daemon: Served, package: Path) -> None:
    fresh = await fetch(daemon)
    assert fresh is not None
    assert fresh.parent == package.parent
    assert fresh.read_bytes() == daemon.data
    assert package.read_bytes() == b"the one that runs"


async def test_it_is_fetched_with_the_key_in_a_header_and_nowhere_else(daemon: Served, package: Path) -> None:
    await fetch(daemon)
    assert daemon.asked == [("/api/agents/package", KEY)]


async def test_putting_it_in_place_leaves_one_package(daemon: Served, package: Path) -> None:
    fresh = await fetch(daemon)
    assert fresh is not None
    update.put_in_place(fresh, package)
    assert package.read_bytes() == daemon.data
    assert not fresh.exists()


async def test_the_package_that_runs_already_is_not_fetched_again(daemon: Served, package: Path) -> None:
    package.write_bytes(daemon.data)
    assert await fetch(daemon) is None
    assert not daemon.asked


async def test_it_is_tried_with_the_config_of_the_host(daemon: Served, package: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    fresh = await update.fetch(daemon.params, daemon.url, KEY, SYSTEM_TRUST, config)
    called = [json.loads(line) for line in Path(f"{fresh}.called").read_text().splitlines()]
    assert called == [["--version"], ["self-test"], ["check-config", "-c", str(config)]]


async def refused(daemon: Served, package: Path, because: str, **params: Any) -> None:
    """Nothing is changed, and nothing is left behind."""
    with pytest.raises(Failed, match=because):
        await fetch(daemon, **params)
    assert package.read_bytes() == b"the one that runs"
    assert [file for file in package.parent.iterdir() if not file.name.endswith(".called")] == [package]


async def test_s59_another_digest_is_refused(daemon: Served, package: Path) -> None:
    await refused(daemon, package, "not the package that was named", sha256="0" * 64)


async def test_s59_an_older_version_is_refused(daemon: Served, package: Path) -> None:
    await refused(daemon, package, f"0.0.1 is older than {__version__}", version="0.0.1")
    assert not daemon.asked


async def test_s59_a_package_of_another_version_than_it_is_called_is_refused(daemon: Served, package: Path) -> None:
    daemon.data = packed("0.0.1")
    await refused(daemon, package, "it says 'hbc 0.0.1'")


async def test_s59_a_package_that_does_not_run_here_is_refused(daemon: Served, package: Path) -> None:
    daemon.data = packed(body="import no_such_module")
    await refused(daemon, package, "the old one goes on")


async def test_s59_a_package_whose_agent_is_broken_is_refused(daemon: Served, package: Path) -> None:
    daemon.data = broken(build().data, "hbc/agent.py")
    await refused(daemon, package, "no_such_module", version=__version__)


async def test_the_package_of_the_daemon_is_taken(daemon: Served, package: Path) -> None:
    daemon.data = build().data
    assert await fetch(daemon, version=__version__) is not None


def broken(data: bytes, module: str) -> bytes:
    """The same package with one module that cannot be loaded."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, b"import no_such_module\n" if name == module else source.read(name))
    return out.getvalue()


async def test_s59_a_package_that_hangs_is_refused(
    daemon: Served, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "_PATIENCE_SECONDS", 1.0)
    daemon.data = packed(body="import time; time.sleep(60)")
    await refused(daemon, package, "hangs at --version")


async def test_s59_no_redirect_is_followed(daemon: Served, package: Path) -> None:
    daemon.status, daemon.headers = 302, {"Location": f"{daemon.url}/elsewhere"}
    await refused(daemon, package, "answered 302")
    assert len(daemon.asked) == 1


async def test_more_than_any_package_has_is_refused(
    daemon: Served, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MAX_PACKAGE_BYTES", 100)
    await refused(daemon, package, "no package of an agent")


@pytest.mark.parametrize(
    "params", [{"version": "new"}, {"version": None}, {"sha256": "../x"}, {"sha256": 5}, {"version": "1.2.3; id"}]
)
async def test_what_is_no_version_or_digest_is_refused(daemon: Served, package: Path, params: dict[str, Any]) -> None:
    await refused(daemon, package, next(iter(params)), **params)


async def test_a_daemon_that_is_not_there_changes_nothing(daemon: Served, package: Path) -> None:
    with pytest.raises(Failed, match="cannot be fetched"):
        await update.fetch(daemon.params, "http://127.0.0.1:9", KEY, SYSTEM_TRUST, None)


async def test_an_agent_that_was_installed_otherwise_says_so(daemon: Served) -> None:
    assert update.package_file() is None
    with pytest.raises(Failed, match="renew it the way it was installed"):
        await fetch(daemon)


async def test_a_folder_that_is_not_the_agents_own_is_named(
    daemon: Served, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    await refused(daemon, package, "run the install script again, with --self-update")
