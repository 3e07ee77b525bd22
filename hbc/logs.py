"""Where the agent's log goes: to stderr, one line an event."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Line(logging.Formatter):
    """Texts from elsewhere cannot break out of their line: what is not printable is escaped."""

    converter = staticmethod(time.gmtime)

    def __init__(self, *, journal: bool) -> None:
        line = "%(name)s: %(message)s"
        super().__init__(line if journal else f"%(asctime)s %(levelname)-7s {line}", "%Y-%m-%dT%H:%M:%SZ")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().format(record))
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def _to_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr goes to systemd's journal: what a service starts inherits the variable, not the stream."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def set_up(*, verbose: bool = False) -> None:
    """Under systemd's journal, which has its own clock, lines carry their priority and no time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(journal=_to_journal(os.environ)))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a closed stderr is no reason to end
