"""An agent of the NOBA kind, written from the shapes of its messages alone: it needs the standard library, and knows
nothing of hbd. As a program it reports and obeys until it is stopped: ``noba_client.py SERVER KEY [--no-socket]``."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

VERSION = "3.0.1"
PAUSE_SECONDS = 0.3  # between reports of the program; real ones take 30
TEXT, CLOSE, PONG = 0x1, 0x8, 0xA


class Refused(Exception):
    """The server did not open a WebSocket. status: what it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class NobaSocket:
    """A WebSocket by hand: masked text frames, no extensions."""

    def __init__(self, server: str, key: str | None) -> None:
        parts = urlsplit(server)
        query = "" if key is None else f"?key={quote(key)}"
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10)
        nonce = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /api/agent/ws{query} HTTP/1.1\r\nHost: {parts.hostname}:{parts.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer and (part := self._socket.recv(4096)):
            answer += part
        status = int(answer.split(b" ", 2)[1])
        if status != 101:
            self._socket.close()
            raise Refused(status)
        self.close_code: int | None = None

    def identify(self, **changes: Any) -> None:
        self.send({"type": "identify", "hostname": socket.gethostname(), "agent_version": VERSION} | changes)

    def send(self, message: object) -> None:
        self.send_text(message if isinstance(message, str) else json.dumps(message))

    def send_text(self, text: str) -> None:
        self._frame(TEXT, text.encode())

    def receive(self, timeout: float = 10.0) -> dict[str, Any] | None:
        """The next message; None when there is none in this time, or the connection is closed."""
        self._socket.settimeout(timeout)
        try:
            while True:
                first, length = self._exactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", self._exactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", self._exactly(8))
                data = self._exactly(length)
                match first & 0x0F:
                    case 0x8:
                        self.close_code = struct.unpack("!H", data[:2])[0] if data else 1005
                        return None
                    case 0x9:
                        self._frame(PONG, data)
                    case 0x1:
                        message: dict[str, Any] = json.loads(data)
                        return message
        except TimeoutError:
            return None
        except ConnectionError:
            self.close_code = self.close_code or 1006
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._frame(CLOSE, b"")
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def _frame(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        mask = os.urandom(4)
        self._socket.sendall(head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)))


class NobaClient:
    """key: None to show none."""

    def __init__(self, server: str, key: str | None) -> None:
        self.server = server.rstrip("/")
        self.key = key
        self.ran: list[str] = []
        """ids of the commands that were run"""

    def report(self, body: object = None, path: str = "/api/agent/report") -> tuple[int, dict[str, Any]]:
        """Status and answer of one report."""
        data = body if isinstance(body, bytes) else json.dumps(metrics() if body is None else body).encode()
        headers = {"Content-Type": "application/json"} | ({} if self.key is None else {"X-Agent-Key": self.key})
        request = urllib.request.Request(self.server + path, data=data, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def connect(self) -> NobaSocket:
        return NobaSocket(self.server, self.key)

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """What becomes of a command from a reply: ``id``, ``type``, ``params``."""
        self.ran.append(command["id"])
        kind, params = command["type"], command["params"]
        head = {"id": command["id"], "type": kind}
        if kind == "ping":
            return head | {"status": "ok", "pong": int(time.time()), "version": VERSION}
        if kind != "exec":
            return head | {"status": "error", "error": f"Unknown command: {kind}"}
        done = subprocess.run(shlex.split(params["command"]), capture_output=True, text=True, timeout=30, check=False)
        status = "ok" if done.returncode == 0 else "error"
        return head | {"status": status, "exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def obey(self, ws: NobaSocket) -> None:
        """Do what the socket says until it is closed."""
        while ws.close_code is None:
            message = ws.receive(timeout=1)
            if message is None:
                if ws.close_code is None:
                    ws.send({"type": "ping"})
            elif message["type"] == "command":
                ws.send(self.answer(message))

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer on the socket to a command from there: ``id``, ``cmd``, ``params``."""
        outcome = self.run({"id": message["id"], "type": message["cmd"], "params": message["params"]})
        return outcome | {"type": "result", "cmd": message["cmd"]}


def metrics() -> dict[str, Any]:
    """A report such as the real agents make."""
    return {
        "hostname": "noba-01",
        "platform": "Linux",
        "arch": "x86_64",
        "agent_version": VERSION,
        "timestamp": int(time.time()),
        "cpu_percent": 12.4,
        "cpu_count": 4,
        "load_1m": 0.42,
        "load_5m": 0.4,
        "load_15m": 0.3,
        "mem_total": 8 << 30,
        "mem_used": 2 << 30,
        "mem_percent": 25.0,
        "disks": [{"mount": "/", "total": 100 << 30, "used": 62 << 30, "percent": 62.0, "fstype": "ext4"}],
        "net_bytes_sent": int(time.monotonic() * 1000),
        "net_bytes_recv": int(time.monotonic() * 2000),
        "temperatures": {"coretemp_Core 0": 41.5},
        "top_processes": [{"pid": 77, "name": "postgres", "cpu": 12.5, "mem": 3.0}],
        "uptime_s": 86_400,
    }


def main() -> None:
    client = NobaClient(sys.argv[1], sys.argv[2])
    if "--no-socket" not in sys.argv[3:]:
        ws = client.connect()
        ws.identify()
        threading.Thread(target=client.obey, args=(ws,), daemon=True).start()
    results: list[dict[str, Any]] = []
    while True:
        status, answer = client.report(metrics() | ({"_cmd_results": results} if results else {}))
        results = [client.run(command) for command in answer["commands"]] if status == 200 else results
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
