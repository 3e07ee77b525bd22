"""What of the samples could not be worked on, so that it costs itself and never what others sent."""

from __future__ import annotations

import logging
from types import TracebackType

from hbd.errors import StorageError
from hbd.stats import Stats

log = logging.getLogger(__name__)

MAX_REMEMBERED = 1000


class Mishaps:
    """Counts them, and tells each once in the log."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._told: set[str] = set()
        stats.describe("history_failures_total", "Times that samples of one plugin or host could not be made history.")

    def passed_over(self, what: str) -> PassedOver:
        """A context: whatever is raised within ends it, and no more, but for StorageError.

        what: words for the log, and for what is told once.
        """
        return PassedOver(self, what)

    def tell(self, what: str, error: BaseException) -> None:
        self._stats.count("history_failures_total")
        if what not in self._told and len(self._told) < MAX_REMEMBERED:
            self._told.add(what)
            log.error("%s; this is passed over", what, exc_info=error)


class PassedOver:
    def __init__(self, mishaps: Mishaps, what: str) -> None:
        self._mishaps = mishaps
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, StorageError):
            return False
        self._mishaps.tell(self._what, error)
        return True
