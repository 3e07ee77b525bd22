"""Renewing the agent: its package is fetched from the daemon, checked, tried, and then put in place of the one that
runs.

The command names the version and the digest, and nothing but that very package is taken. Whatever is wrong is said, and
the agent that runs goes on. What shows only later, that it does not reach the daemon, is for ``hbc/trial.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hbc import __version__
from hbc.commands.works import Failed
from hbc.trial import fresh_name, package_file, prepare, sync_folder
from hbc.trust import Trust, TrustProblem

PACKAGE_PATH = "/api/agents/package"
MAX_PACKAGE_BYTES = 64 << 20
_PATIENCE_SECONDS = 30.0
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SAID_CHARACTERS = 300


async def fetch(
    params: Mapping[str, Any], server: str, key: str | None, trust: Trust, config: Path | None
) -> Path | None:
    """A file beside the package with the version that the daemon has, checked and tried, ready to take its place; None
    when that is the one that runs. Raises Failed."""
    package = package_file()
    if package is None:
        raise Failed("this agent was not installed by hbd's script; renew it the way it was installed")
    version, digest = _wanted(params)
    if await asyncio.to_thread(_digest_of, package) == digest:
        return None
    if not os.access(package.parent, os.W_OK):
        raise Failed(f"this agent may not write to {package.parent}; run the install script again, with --self-update")
    if key is None:
        raise Failed("this agent has no key to fetch it with")
    data = await asyncio.to_thread(_download, server, key, trust)
    if hashlib.sha256(data).hexdigest() != digest:
        raise Failed("what came is not the package that was named; nothing is changed")
    return await asyncio.to_thread(_tried, package, data, version, config)


def keep_way_back(params: Mapping[str, Any], fresh: Path, state: Path) -> bool:
    """See ``hbc.trial.prepare``. Raises Failed, without the fresh package."""
    package = package_file()
    assert package is not None, "there is nothing fresh without one"
    try:
        return prepare(state, package, *_wanted(params))
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Failed(f"the version that runs cannot be kept to go back to: {error.strerror or error}") from None


def put_in_place(fresh: Path, package: Path) -> None:
    """Raises OSError, with the package as it was."""
    fresh.replace(package)
    sync_folder(package.parent)


def _wanted(params: Mapping[str, Any]) -> tuple[str, str]:
    version, digest = params.get("version"), params.get("sha256")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise Failed("version: a text like 1.2.3 is needed")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Failed("sha256: 64 characters of 0-9 and a-f are needed")
    if _number(version) < _number(__version__):
        raise Failed(f"{version} is older than {__version__}, which runs here; an agent goes back by hand alone")
    return version, digest


def _number(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(map(int, match.groups())) if match else ()


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _download(server: str, key: str, trust: Trust) -> bytes:
    """The key goes to the server that the link goes to, over TLS that is believed in the same way, and no further."""
    parts = urlsplit(server)
    host, path = parts.hostname or "", parts.path.rstrip("/") + PACKAGE_PATH
    connection: HTTPConnection | None = None
    try:
        if parts.scheme == "https":
            secured = HTTPSConnection(host, parts.port, timeout=_PATIENCE_SECONDS, context=trust.context())
            connection = secured
            secured.connect()
            trust.check(secured.sock.getpeercert(binary_form=True))
        else:
            connection = HTTPConnection(host, parts.port, timeout=_PATIENCE_SECONDS)
        connection.request("GET", path, headers={"X-Agent-Key": key, "User-Agent": f"hbc/{__version__}"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failed(f"{server} answered {answer.status}")
        data = answer.read(MAX_PACKAGE_BYTES + 1)
    except (OSError, HTTPException, TrustProblem) as error:
        raise Failed(f"it cannot be fetched from {server}: {str(error)[:_SAID_CHARACTERS]}") from None
    finally:
        if connection is not None:
            connection.close()
    if len(data) > MAX_PACKAGE_BYTES:
        raise Failed(f"more than {MAX_PACKAGE_BYTES >> 20} MiB came, which is no package of an agent")
    return data


def _tried(package: Path, data: bytes, version: str, config: Path | None) -> Path:
    """The new package in a file, which has run, is what it is called, is whole, and can use the config."""
    fresh = fresh_name(package)
    try:
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        said = _run(fresh, "--version")
        if said != f"hbc {version}":
            raise Failed(f"the package is not the version that was named: it says {said!r}")
        _run(fresh, "self-test")
        if config is not None:
            _run(fresh, "check-config", "-c", str(config))
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Failed(f"it cannot be kept: {error.strerror or error}") from None
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def _run(package: Path, *arguments: str) -> str:
    try:
        ran = subprocess.run(  # noqa: S603  what was checked, with our own Python
            [sys.executable, "-I", str(package), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"the new version hangs at {arguments[0]}; the old one goes on") from None
    if ran.returncode != 0:
        said = (ran.stderr or ran.stdout).strip()[-_SAID_CHARACTERS:]
        raise Failed(f"the new version does not work here, the old one goes on: {said}")
    return ran.stdout.strip()
