"""Which reports of which agent run were taken: what makes a resend harmless. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in the fewest ranges, in order. A range is (first, last), both included."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


class Sequences:
    """Sets of report numbers by (host id, run id), kept as ranges: a run without gaps costs two numbers."""

    def __init__(self) -> None:
        self._runs: dict[tuple[int, str], tuple[list[int], list[int]]] = {}  # firsts and lasts, both rising

    def __contains__(self, report: tuple[int, str, int]) -> bool:
        """report: (host id, run id, seq)."""
        host_id, run_id, seq = report
        run = self._runs.get((host_id, run_id))
        if run is None:
            return False
        firsts, lasts = run
        at = bisect_right(firsts, seq) - 1
        return at >= 0 and seq <= lasts[at]

    def add(self, host_id: int, run_id: str, first: int, last: int | None = None) -> None:
        """Add one number, or all from first to last."""
        last = first if last is None else last
        run = self._runs.get((host_id, run_id))
        if run is None:
            self._runs[host_id, run_id] = ([first], [last])
        elif run[1][-1] + 1 == first:
            run[1][-1] = last
        else:
            ranges = merged([*zip(*run, strict=True), (first, last)])
            self._runs[host_id, run_id] = ([start for start, _ in ranges], [end for _, end in ranges])

    def forget(self, host_id: int) -> None:
        """Drop all runs of a host."""
        for key in [key for key in self._runs if key[0] == host_id]:
            del self._runs[key]

    def runs(self) -> int:
        return len(self._runs)
