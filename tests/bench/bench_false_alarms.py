"""False alarms and late ones: python tests/bench/bench_false_alarms.py [heartbeats [seed]]

Lets virtual fleets live through bad networks and everything that may happen to a daemon (``tests/virtual_fleet.py``),
and prints ``name value unit`` lines. ``false_alarms.*``: hosts of all kinds, whose agents send a heartbeat again that
is not answered. ``unrepeated.*``: the same network and agents that do not, a tenth of the heartbeats; of hosts that
have only one way to be heard, some are then falsely told to be down. 10,000,000 heartbeats take six minutes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from virtual_fleet import GRACE, Fleet, history, kinds

from hbd.model import Level

DEATHS = 5  # before each of the things that happen


def measure(name: str, heartbeats: int, seed: int, *, repeats: bool) -> None:
    fleet = Fleet(kinds(repeats=repeats), seed)
    asyncio.run(history(fleet, heartbeats, DEATHS))
    print(f"{name}.hosts {len(fleet.agents)} count")
    print(f"{name}.heartbeats {fleet.sent} count")
    print(f"{name}.lost {fleet.lost / fleet.sent * 100:.1f} percent")
    print(f"{name}.time {fleet.true / 86_400:.1f} days")
    for what, count in sorted(fleet.happened.items()):
        print(f"{name}.{what} {count} count")
    print(f"{name}.false_downs {len(fleet.false_downs)} count")
    print(f"{name}.false_messages {len(fleet.false_messages)} count")
    print(f"{name}.messages_of_late_hosts {fleet.late_messages} count")
    print(f"{name}.true_downs {len(fleet.down_after)} count")
    print(f"{name}.missed_downs {fleet.missed} count")
    print(f"{name}.downs_while_flapping {fleet.flapping_downs} count")
    print(f"{name}.critical_messages {fleet.told[Level.CRITICAL]} count")
    print(f"{name}.down_after {median(seconds / interval for seconds, interval in fleet.down_after):.2f} intervals")
    worst = max(seconds - GRACE * interval for seconds, interval in fleet.down_after)
    print(f"{name}.down_beyond_three_intervals {worst:.2f} s")


def main(heartbeats: int, seed: int) -> None:
    measure("false_alarms", heartbeats, seed, repeats=True)
    measure("unrepeated", heartbeats // 10, seed, repeats=False)


if __name__ == "__main__":
    main(
        int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 1,
    )
