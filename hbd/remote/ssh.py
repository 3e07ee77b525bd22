"""SSH to another machine: whose key is believed, one connection, one command after the other. asyncssh is imported on
first use, in a thread: that takes most of a second."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hbd.errors import HbdError
from hbd.remote import ssh_keys

if TYPE_CHECKING:
    import asyncssh

USUAL_PORT = 22
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 0.5
KEEPALIVE_SECONDS = 15.0
MAX_OUTPUT_BYTES = 64 * 1024  # of each stream of a command; a machine that says more is not one of ours
_PIECE_BYTES = 16 * 1024
_ALGORITHMS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)


class SshFailed(HbdError):
    """There is no connection, or it broke; says why in words."""


class HostKeyRefused(SshFailed):
    """The machine is not, or not yet, believed to be what it should be.

    code: ``unknown_host_key`` or ``changed_host_key``. fingerprint: of the key that it showed.
    """

    def __init__(self, text: str, code: str, fingerprint: str) -> None:
        super().__init__(text)
        self.code = code
        self.fingerprint = fingerprint


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    user: str
    key: Path

    @property
    def known_as(self) -> str:
        """How known_hosts names it."""
        return self.host if self.port == USUAL_PORT else f"[{self.host}]:{self.port}"


@dataclass(frozen=True)
class Trust:
    """known: lines of known_hosts. wanted: fingerprint of the one key that is believed, "" for any of the known.

    new: whether a machine of which no key is known is believed at first sight.
    """

    known: str
    wanted: str
    new: bool


class Ran(NamedTuple):
    """What became of a command. status: its exit code; -1 when a signal ended it."""

    status: int
    stdout: str
    stderr: str


class Connection:
    """line: what known_hosts should say of this machine, "" when it does already."""

    def __init__(self, connection: asyncssh.SSHClientConnection, fingerprint: str, line: str) -> None:
        self.fingerprint = fingerprint
        self.line = line
        self._connection = connection

    @property
    def local_address(self) -> str:
        """By which address the machine sees us."""
        return str(self._connection.get_extra_info("sockname")[0])

    async def run(self, command: str, given: str = "", *, seconds: float) -> Ran:
        """Run a command with this on its standard input. Raises SshFailed, also when it takes or says too much.

        When it does not end by itself, by a cancellation too, the connection is gone: a machine that hangs would not
        even answer a farewell.
        """
        library = await _library()
        ended = False
        try:
            async with asyncio.timeout(seconds):
                process = await self._connection.create_process(command, encoding=None)
                reading = asyncio.gather(_read(process.stdout), _read(process.stderr))
                try:
                    process.stdin.write(given.encode())
                    process.stdin.write_eof()
                except BrokenPipeError:
                    pass  # it ended without having read all; its exit code says more
                stdout, stderr = await reading
                await process.wait_closed()
                ended = True
                if process.exit_status is None:
                    raise SshFailed("the connection broke before the command had ended")
                return Ran(process.exit_status, stdout, stderr)
        except TimeoutError:
            raise SshFailed(f"no end after {seconds:g} s") from None
        except (library.Error, OSError) as error:
            raise SshFailed(f"the connection broke: {_reason(error)}") from None
        finally:
            if not ended:
                self._connection.abort()

    async def close(self) -> None:
        self._connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.wait_closed()
        except OSError:  # a TimeoutError is one, too
            pass
        finally:
            self._connection.abort()


async def connect(target: Target, trust: Trust) -> Connection:
    """Raises HostKeyRefused before anything is told to a machine that is not believed; else SshFailed."""
    library = await _library()
    shown = await asyncio.to_thread(_private_key, library, target.key)
    keys, authorities, revoked = _known(library, trust, target)
    witness = _Witness(trust, known=bool(keys or authorities))
    believed = [key for key in keys if trust.wanted in ("", key.get_fingerprint())]

    def client() -> asyncssh.SSHClient:
        made: asyncssh.SSHClient = library.SSHClient()
        made.validate_host_public_key = witness.judge  # type: ignore[method-assign]
        return made

    try:
        connection = await library.connect(
            target.host,
            target.port,
            username=target.user,
            client_keys=[shown],
            client_factory=client,
            known_hosts=(believed, authorities, revoked),
            server_host_key_algs="default" if authorities else _preferred(keys),
            preferred_auth=["publickey"],
            config=None,
            agent_path=None,
            gss_host=None,
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
        )
    except library.HostKeyNotVerifiable:
        raise witness.refusal(target) from None
    except library.PermissionDenied:
        text = f"{target.host} does not let in {target.user} with the key {target.key.name}"
        raise SshFailed(text) from None
    except TimeoutError:
        raise SshFailed(f"{target.host} does not answer on port {target.port}") from None
    except (library.Error, OSError, ValueError) as error:
        raise SshFailed(f"{target.host}, port {target.port}: {_reason(error)}") from None
    key = connection.get_server_host_key()
    assert key is not None
    line = f"{target.known_as} {key.export_public_key().decode().strip()}" if witness.took_new else ""
    return Connection(connection, key.get_fingerprint(), line)


class _Witness:
    """Is asked for the key of a machine when it is none of the known ones."""

    def __init__(self, trust: Trust, *, known: bool) -> None:
        self._trust = trust
        self._known = known
        self._fingerprint = ""
        self.took_new = False

    def judge(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._fingerprint = key.get_fingerprint()
        if self._known:
            return False
        self.took_new = self._trust.wanted == self._fingerprint if self._trust.wanted else self._trust.new
        return self.took_new

    def refusal(self, target: Target) -> HostKeyRefused:
        shown = f"{target.host} shows the host key {self._fingerprint or 'of an authority'}"
        if self._known or self._trust.wanted:
            text = f"{shown}, which is not the one that is known: somebody may be in between. Nothing was sent to it"
            return HostKeyRefused(text, "changed_host_key", self._fingerprint)
        text = f"{shown}, which is not known yet. Compare it with that of the machine, and give it as host_key"
        return HostKeyRefused(text, "unknown_host_key", self._fingerprint)


async def _library() -> Any:
    library = await asyncio.to_thread(importlib.import_module, "asyncssh")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    return library


def _private_key(library: Any, file: Path) -> asyncssh.SSHKey:
    """Raises SshFailed."""
    try:
        if reason := ssh_keys.problem(file):
            raise SshFailed(reason)
        return library.read_private_key(str(file))  # type: ignore[no-any-return]
    except (library.KeyImportError, OSError) as error:
        reason = _reason(error)
        if "passphrase" in reason.lower():
            reason = "the key needs a passphrase, which nobody is here to type; use one without"
        raise SshFailed(f"{file}: {reason}") from None


def _known(library: Any, trust: Trust, target: Target) -> tuple[list[Any], list[Any], list[Any]]:
    """What known_hosts says of a machine: its keys, those of its authorities, revoked ones."""
    try:
        keys, authorities, revoked, *_ = library.import_known_hosts(trust.known).match(target.known_as, "", None)
    except ValueError as error:
        raise SshFailed(f"known_hosts: {error}") from None
    return list(keys), list(authorities), list(revoked)


def _preferred(keys: Sequence[asyncssh.SSHKey]) -> list[str]:
    """All algorithms, the known keys' first, so that a machine with several keys shows the one that is known."""
    kinds = {key.get_algorithm() for key in keys}
    return sorted(_ALGORITHMS, key=lambda name: name not in kinds and not (name[:3] == "rsa" and "ssh-rsa" in kinds))


async def _read(stream: Any) -> str:
    """All that comes. Raises SshFailed when that is too much."""
    pieces, size = [], 0
    while piece := await stream.read(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_OUTPUT_BYTES:
            raise SshFailed(f"the machine says more than {MAX_OUTPUT_BYTES} bytes")
    return b"".join(pieces).decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio has words of its own
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
