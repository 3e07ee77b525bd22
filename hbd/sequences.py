"""Which reports of which agent run were taken: what makes a resend harmless. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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


MAX_RANGES = 20_000  # of one run: gaps come from reports that are still on their way, so there are few
MAX_RUNS = 2_000  # of one host; an agent makes one at each start


class Sequences:
    """Sets of report numbers by (host id, run id), kept as ranges: a run without gaps costs two numbers.

    What goes beyond the limits is forgotten, the oldest first: a resend of it would be stored twice.
    """

    def __init__(self) -> None:
        self._hosts: dict[int, dict[str, tuple[list[int], list[int]]]] = {}  # firsts and lasts of a run, both rising

    def __contains__(self, report: tuple[int, str, int]) -> bool:
        """report: (host id, run id, seq)."""
        host_id, run_id, seq = report
        run = self._hosts.get(host_id, {}).get(run_id)
        if run is None:
            return False
        firsts, lasts = run
        at = bisect_right(firsts, seq) - 1
        return at >= 0 and seq <= lasts[at]

    def add(self, host_id: int, run_id: str, first: int, last: int | None = None) -> None:
        """Add one number, or all from first to last."""
        last = first if last is None else last
        runs = self._hosts.setdefault(host_id, {})
        run = runs.get(run_id)
        if run is None:
            runs[run_id] = ([first], [last])
            if len(runs) > MAX_RUNS:
                del runs[next(iter(runs))]
            return
        firsts, lasts = run
        if lasts[-1] + 1 == first:
            lasts[-1] = last
            return
        start = bisect_left(lasts, first - 1)  # the first range that touches the new one, and the first behind it
        end = bisect_right(firsts, last + 1)
        if start < end:
            first, last = min(first, firsts[start]), max(last, lasts[end - 1])
        firsts[start:end], lasts[start:end] = [first], [last]
        if len(firsts) > MAX_RANGES:
            del firsts[0], lasts[0]

    def forget(self, host_id: int) -> None:
        """Drop all runs of a host."""
        self._hosts.pop(host_id, None)
