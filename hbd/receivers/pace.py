"""The least time between two reports of a host. Pure: the time is passed in."""

from __future__ import annotations

from hbd.hosts import Host

JITTER = 0.05  # of the least interval: who is started by a clock each minute is now and then a moment early
MOST_JITTER = 2.0  # seconds


class Pace:
    """When each host's last report was taken; after a start of the daemon the first one is never too early."""

    def __init__(self) -> None:
        self._taken: dict[int, float] = {}

    def wait(self, host: Host, now: float) -> float:
        """Seconds until the next report of a host may come; 0.0 when it may come now. now: monotonic seconds."""
        least, last = host.min_report_interval or 0.0, self._taken.get(host.id)
        if not least or last is None:
            return 0.0
        left = last + least - now
        return left if left > min(least * JITTER, MOST_JITTER) else 0.0

    def took(self, host: Host, now: float) -> None:
        """One was taken."""
        self._taken[host.id] = now

    def forget(self, host_id: int) -> None:
        """The last one does not count: it could not be stored, or its host is gone."""
        self._taken.pop(host_id, None)
