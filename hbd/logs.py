"""Log lines on standard error: one an event, for people or for machines, never with a line break from outside."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping

# Control characters and the ones that turn text around could forge lines or hide what stands in them.
_HARMFUL = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
}


def harmless(text: str) -> str:
    """text with everything escaped that could break or fake a log line."""
    return text.translate(_HARMFUL)


class _Text(logging.Formatter):
    """``2026-11-21T08:00:00Z INFO  hbd.daemon message``; under the journal a priority instead of the time."""

    def __init__(self, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = harmless(record.getMessage())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if self._journal:
            return f"<{_priority(record.levelno)}>{record.name}: {text}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{stamp} {record.levelname:<7} {record.name}: {text}"


class _Json(logging.Formatter):
    """One JSON object a line: ts, level, logger, msg, and error with its traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _priority(level: int) -> int:
    return 3 if level >= logging.ERROR else 4 if level >= logging.WARNING else 6 if level >= logging.INFO else 7


def _to_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error goes to systemd's journal."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure(level: str, form: str) -> None:
    """Send all logs to standard error. level: ``debug`` … ``error``; form: ``text``, ``json``. May be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text(_to_journal(os.environ)))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a standard error that went away must not take the daemon along
