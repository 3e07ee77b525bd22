"""Where the agent's log goes: to stderr, one line an event."""

from __future__ import annotations

import logging
import os
import sys
import time

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Line(logging.Formatter):
    """Texts from elsewhere cannot break out of their line: what is not printable is escaped."""

    converter = staticmethod(time.gmtime)

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().format(record))
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def set_up(*, verbose: bool = False) -> None:
    """Under systemd's journal, which has its own clock, lines carry their priority and no time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a closed stderr is no reason to end
