"""What commands stand and cost, as ``name value unit`` lines.

The link between a daemon and an agent breaks 10,000 times, at random messages; then single commands go over a good one.

Run: python tests/bench/bench_commands.py
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_site import Loss, Site

BREAKS = 10_000
CHANCE = 0.35  # that the link breaks at a message
AT_ONCE = 20
SINGLE = 200


class Chance(dict[int, Loss]):
    """Whether the link breaks at a message, and how; decided when it comes."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self.count = 0

    def get(self, number: int, default: Loss | None = None) -> Loss | None:  # type: ignore[override]
        if self.count == BREAKS or self._draw.random() >= CHANCE:
            return None
        self.count += 1
        return self._draw.choice(("before it arrives", "after it arrived"))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        await site.open()
        site.breaks = chance = Chance(14)
        became: Counter[str] = Counter()
        asked, began = 0, time.perf_counter()
        while chance.count < BREAKS:
            ids = [await site.ask(number) for number in range(asked, asked + AT_ONCE)]
            became.update(await site.ended(ids))
            asked += AT_ONCE
        seconds = time.perf_counter() - began
        twice = sum(1 for runs in site.runs.values() if runs > 1)
        print(f"commands.link_breaks {chance.count} count")
        print(f"commands.messages {site.messages} count")
        print(f"commands.asked {asked} count")
        print(f"commands.run_twice {twice} count")
        print(f"commands.not_run {asked - len(site.runs)} count")
        print(f"commands.not_done {asked - became['done']} count")
        print(f"commands.breaking_seconds {seconds:.0f} s")
        began = time.perf_counter()
        for number in range(asked, asked + SINGLE):
            await site.ended([await site.ask(number)])
        print(f"commands.one_all_of_it {(time.perf_counter() - began) / SINGLE * 1e3:.1f} ms")
        await site.close()


if __name__ == "__main__":
    asyncio.run(main())
