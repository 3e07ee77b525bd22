"""Running one program: bounded in time and output, and ended with everything that it has started."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

Say = Callable[[Literal["stdout", "stderr"], str], None]

TICK_SECONDS = 0.2  # how often what was written is told to those who watch
DRAIN_SECONDS = 0.05  # how often output that nobody keeps is taken off a program, so that it can go on
TERM_SECONDS = 3.0  # between being asked to end and being killed
LINGER_SECONDS = 1.0  # for the rest of the output, when a child that got away keeps the pipe open
PIPE_BYTES = 1 << 20
_PIECE = 1 << 16
_ROUNDS = 5  # of looking for children that got away: each may have made another meanwhile
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("LANG", "LC_ALL", "HOME", "USER", "LOGNAME", "TZ")  # the agent's key is not among them
MARK = "HBD_COMMAND"  # in the environment of a command and all its children: its id


@dataclass
class Ended:
    """What became of a command. exit_code: None when it never ran or was killed. reason: in words, when it did not end
    by itself."""

    status: Literal["done", "failed", "timeout"]
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    reason: str = ""


def environment(id: str, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a command gets to see of our environment: nothing that could be a secret."""
    kept = {name: ours[name] for name in _PASSED_ON if name in ours}
    return {"PATH": ours.get("PATH") or _USUAL_PATH, "LANG": "C.UTF-8", **kept, MARK: id}


class Program:
    """One run of a program. limit: seconds; most: bytes that are kept of stdout and stderr each."""

    def __init__(
        self, argv: tuple[str, ...], environment: Mapping[str, str], *, limit: float, most: int, say: Say
    ) -> None:
        self._argv = argv
        self._environment = environment
        self._limit = limit
        self._most = most
        self._say = say
        self._cancelled = asyncio.Event()
        self._by = ""

    def cancel(self, by: str) -> None:
        """Have it ended. by: who wants so."""
        self._by = self._by or by
        self._cancelled.set()

    async def run(self) -> Ended:
        """Start it and see it through. Cancelling this kills it too."""
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError, ValueError):
                _kill_group((await starting).pid, signal.SIGKILL)
                await asyncio.to_thread(_kill_marked, self._environment[MARK])
                await asyncio.to_thread(starting.result().communicate)
            raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return Ended("failed", reason=f"cannot start {self._argv[0]}: {reason}")
        assert process.stdout is not None and process.stderr is not None
        heads = [_Head(process.stdout, self._most), _Head(process.stderr, self._most)]
        telling = asyncio.create_task(self._tell(heads))
        try:
            why = await self._wait(process)
            # What it leaves goes too, or it would keep running, and the pipes open, for nobody. The leader is not
            # reaped yet, so its number cannot be that of another group.
            _kill_group(process.pid, signal.SIGKILL)
            await asyncio.to_thread(_kill_marked, self._environment[MARK])
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    for head in heads:
                        await head.closed.wait()
        except asyncio.CancelledError:
            _kill_group(process.pid, signal.SIGKILL)
            await asyncio.shield(asyncio.to_thread(_kill_marked, self._environment[MARK]))
            raise
        finally:
            _kill_group(process.pid, signal.SIGKILL)
            telling.cancel()
            for head in heads:
                head.close()
            await asyncio.shield(asyncio.to_thread(process.wait))
        self._tell_once(heads, last=True)
        return self._outcome(process.returncode, why, heads)

    def _start(self) -> subprocess.Popen[bytes]:
        home = self._environment.get("HOME", "/")
        return subprocess.Popen(  # noqa: S603 - the host's own policy has let it pass
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self._environment),
            cwd=home if os.access(home, os.X_OK) and Path(home).is_dir() else "/",
            start_new_session=True,
        )

    async def _wait(self, process: subprocess.Popen[bytes]) -> Literal["timeout", "cancelled"] | None:
        """Return when it has ended, by itself (None) or because it was told to."""
        ended = _watched(process)
        cancelled = asyncio.create_task(self._cancelled.wait())
        either: set[asyncio.Future[Any]] = {ended, cancelled}
        try:
            await asyncio.wait(either, timeout=self._limit, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return None
            _kill_group(process.pid, signal.SIGTERM)
            await asyncio.wait({ended}, timeout=TERM_SECONDS)
            _kill_group(process.pid, signal.SIGKILL)
            await asyncio.wait({ended})
            return "cancelled" if cancelled.done() else "timeout"
        finally:
            cancelled.cancel()

    async def _tell(self, heads: list[_Head]) -> None:
        while True:
            draining = [head for head in heads if head.full]
            await asyncio.sleep(DRAIN_SECONDS if draining else TICK_SECONDS)
            for head in draining:
                head.drain()
            self._tell_once(heads)

    def _tell_once(self, heads: list[_Head], *, last: bool = False) -> None:
        for head, name in zip(heads, ("stdout", "stderr"), strict=True):
            if text := head.news(last=last):
                self._say("stdout" if name == "stdout" else "stderr", text)

    def _outcome(self, code: int, why: Literal["timeout", "cancelled"] | None, heads: list[_Head]) -> Ended:
        stdout, stderr = (head.kept.decode("utf-8", "replace") for head in heads)
        ended = Ended("done", code, stdout, stderr, truncated=any(head.cut for head in heads))
        if why == "timeout":
            ended.status, ended.exit_code = "timeout", None
            ended.reason = f"took longer than {self._limit:g} s and was ended"
        elif why == "cancelled":
            ended.status, ended.exit_code, ended.reason = "failed", None, f"cancelled by {self._by}"
        elif code < 0:
            ended.status, ended.exit_code, ended.reason = "failed", 128 - code, f"killed by signal {-code}"
        elif code > 0:
            ended.status = "failed"
        return ended


class _Head:
    """The beginning of what a program writes into one pipe. What comes after it is taken off slowly and thrown away:
    that costs us nothing, and a program that writes without end waits most of the time."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self.kept = bytearray()
        self.cut = False
        self.closed = asyncio.Event()
        self._most = most
        self._pipe = pipe
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._told = 0
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        with suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._loop.add_reader(pipe.fileno(), self._read)

    @property
    def full(self) -> bool:
        return len(self.kept) >= self._most and not self.closed.is_set()

    def _read(self) -> None:
        part = self._take()
        room = self._most - len(self.kept)
        self.kept += part[:room]
        self.cut = self.cut or len(part) > room
        if self.full:
            self._loop.remove_reader(self._pipe.fileno())

    def drain(self) -> None:
        for _ in range(PIPE_BYTES // _PIECE):
            if not self._take():
                return
            self.cut = True

    def _take(self) -> bytes:
        """What is there to be read, b"" when nothing is; then it may have been closed."""
        try:
            part = os.read(self._pipe.fileno(), _PIECE)
        except (BlockingIOError, ValueError):
            return b""
        except OSError:
            part = b""
        if not part:
            self.close()
        return part

    def news(self, *, last: bool) -> str:
        """What was kept since this was last asked."""
        part, self._told = bytes(self.kept[self._told :]), len(self.kept)
        return self._decoder.decode(part, last)

    def close(self) -> None:
        if not self.closed.is_set():
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
            self.closed.set()


def _watched(process: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """Done when the process has ended; it stays a zombie until it is waited for."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ended.done():
            ended.set_result(None)

    def watch() -> None:
        with suppress(ChildProcessError):  # it was killed and waited for meanwhile
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=watch, daemon=True, name=f"command {process.pid}").start()
    return ended


def _kill_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _kill_marked(id: str) -> None:
    """Kill what left the group (a daemon of its own making), as far as its environment shows where it came from."""
    mark = f"{MARK}={id}".encode()
    killed: set[str] = set()
    for _ in range(_ROUNDS):
        found = {folder.name for folder in Path("/proc").glob("[0-9]*") if _is_marked(folder, mark)}
        for pid in found:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        if found <= killed:
            return
        killed |= found


def _is_marked(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it is gone, or somebody else's
        return False
