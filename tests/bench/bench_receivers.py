"""Mutated reports through the receivers of foreign agents:
python tests/bench/bench_receivers.py [reports] [seed] [receiver ...]

In process, by the real handlers onto a real database. It fails when one is answered with a 5xx, when an error is
logged, when anything is stored of a report that was refused, or when one that was taken is not stored or holds a value
that cannot be. Prints ``name value unit`` lines: reports by receiver and status, and what one costs.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "api")]

from mutated_reports import receivers_of  # noqa: E402

REPORTS = 2_000_000
SLICE = 100_000


async def main(reports: int, seed: int, *only: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world, receivers = await receivers_of(Path(folder) / "hbd.db", seed, only=only)
        writing = asyncio.create_task(world.report_log.run())
        began = time.process_time()
        for first in range(0, reports, SLICE):
            await receivers.send(min(SLICE, reports - first))
        spent = time.process_time() - began
        writing.cancel()
        await world.close()
    print(f"receivers_reports {reports} reports")
    for (receiver, status), count in sorted(receivers.outcomes.items()):
        print(f"receivers_{receiver}_{status} {count} reports")
    print(f"receivers_cpu_per_report {spent / reports * 1e6:.0f} us")


if __name__ == "__main__":
    given = [int(float(text)) for text in sys.argv[1:3]]
    logging.getLogger("hbd").setLevel(logging.ERROR)
    reports, seed = (*given, *(REPORTS, 1)[len(given) :])
    asyncio.run(main(reports, seed, *sys.argv[3:]))
