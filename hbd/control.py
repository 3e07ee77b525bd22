"""The local socket over which ``hbd agent …`` and ``hbd reload`` reach a running daemon.

Only one process writes to the database, so a command asks the daemon while one runs, and opens the database itself
otherwise. The socket lies beside the database, 0600; each request and each answer is one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hbd.errors import HbdError
from hbd.store.database import holder_of

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 32 << 20  # a settings file, as JSON may have it
ANSWER_SECONDS = 30.0
START_SECONDS = 15.0  # a daemon has its database before it listens
LONG_SECONDS = {"backup": 3600.0, "settings export": 600.0, "settings import": 600.0}
"""of commands that take their time"""

Command = Callable[..., Awaitable[Any]]
"""Takes the request's arguments by name, answers with what JSON can say."""


def socket_path(database: Path) -> Path:
    return database.with_name(database.name + ".sock")


class Gone(HbdError):
    """Nobody has the database any more."""


class Control:
    """Serves the commands it is given. commands: name → coroutine function."""

    def __init__(self, database: Path, commands: dict[str, Command]) -> None:
        self._path = socket_path(database)
        self._commands = commands
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that an earlier daemon left behind is replaced: the database's lock proves it is gone."""
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _beside(self._path) as name:
                sock.bind(name)
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE_BYTES)
        except BaseException:
            sock.close()
            raise

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
            writer.write(await asyncio.to_thread(_line, answer))
            await writer.drain()
        except (ConnectionError, ValueError) as error:
            log.debug("control socket: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = await asyncio.to_thread(json.loads, line)
            command = self._commands[request["command"]]
            return {"result": await command(**request.get("arguments", {}))}
        except HbdError as error:
            return {"error": str(error)}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return {"error": f"this daemon does not know that request ({error!r}); is it of another version?"}
        except Exception:
            log.exception("a command on the control socket failed")
            return {"error": "internal error; the daemon's log says more"}


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def ask(database: Path, command: str, **arguments: Any) -> Any:
    """Have the running daemon carry out a command; one that is just starting is waited for.

    Raises HbdError with its words, or when it does not listen; Gone; OSError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, _beside(socket_path(database)) as name:
        sock.settimeout(LONG_SECONDS.get(command, ANSWER_SECONDS))
        _connect(sock, name, database)
        sock.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        with sock.makefile("rb") as answers:
            answer = json.loads(answers.readline() or b'{"error": "the daemon hung up"}')
    if "error" in answer:
        raise HbdError(answer["error"])
    return answer["result"]


def _connect(sock: socket.socket, name: str, database: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return sock.connect(name)
        except (FileNotFoundError, ConnectionRefusedError):
            holder = holder_of(database)
            if holder is None:
                raise Gone(f"nobody uses {database} any more; try again") from None
            if time.monotonic() >= deadline:
                raise HbdError(
                    f"{database} is in use by process {holder}, which does not listen for commands:"
                    " an hbd that is upgrading it, or another command"
                ) from None
            time.sleep(0.1)  # in the process of a command, where nobody else waits


class _beside:
    """A name for a socket that is short enough for the kernel (about 100 bytes), wherever its folder lies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)
