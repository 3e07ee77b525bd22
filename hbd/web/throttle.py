"""How often somebody may do something: a bucket of tokens for each key. Pure: time is passed in."""

from __future__ import annotations

KEPT_AT_CLEANING = 0.75  # of the most keys, so that cleaning is rare


class Throttle:
    """Each key may spend ``burst`` at once and ``rate`` a second in the long run; a rate of 0 is no limit.

    A bucket is kept as one number: the time at which it will be full again. One that is full by now says nothing and is
    forgotten when room is needed; after those the fullest go, so nobody gets a fresh bucket by coming as many others.
    """

    __slots__ = ("_full_at", "_max_keys", "_slack", "_spacing")

    def __init__(self, rate: float, burst: int, max_keys: int = 10_000) -> None:
        """rate: a second. burst: 1 or more. max_keys: buckets in memory."""
        self._max_keys = max_keys
        self._full_at: dict[str, float] = {}
        self._spacing, self._slack = _gaps(rate, burst)

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """Take one token: 0.0 when there was one, else seconds until there will be. now: seconds, never put back."""
        if not self._spacing:
            return 0.0
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        # A bucket that lacks more than burst - 1 tokens has none left.
        wait = full_at - now - self._slack
        if wait > 0.0:
            return wait
        self._full_at[key] = full_at + self._spacing
        if len(self._full_at) > self._max_keys:
            self._clean(now)
        return 0.0

    def configure(self, rate: float, burst: int) -> None:
        """The limits from now on. Where they differ from those before, every bucket is full again."""
        gaps = _gaps(rate, burst)
        if gaps != (self._spacing, self._slack):
            self._spacing, self._slack = gaps
            self._full_at.clear()

    def _clean(self, now: float) -> None:
        """Forget the full buckets, and as many of the fullest as it takes."""
        used = [(full_at, key) for key, full_at in self._full_at.items() if full_at > now]
        used.sort(reverse=True)
        self._full_at = {key: full_at for full_at, key in used[: int(self._max_keys * KEPT_AT_CLEANING)]}


def _gaps(rate: float, burst: int) -> tuple[float, float]:
    """Seconds that one token takes to come back, 0.0 for no limit, and seconds that all but one of them take."""
    spacing = 1.0 / rate if rate > 0.0 else 0.0
    return spacing, spacing * (max(burst, 1) - 1)
