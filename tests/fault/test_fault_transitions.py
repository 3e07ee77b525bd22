"""Kills while states change: what a kill took with it lies in a time of which nothing is claimed."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from programs import SLOW

from hbd.availability import Change, timeline
from hbd.model import Family, State
from hbd.stats import Stats
from hbd.store import Store

KILLS = int(os.environ.get("HBD_TEST_KILLS", "10"))
LEAST_LINES = 20  # of a run before it is killed
GAP = 1000.0  # seconds between two runs, of their clock

DAEMON = """
import asyncio, random, sys
from pathlib import Path
import msgspec
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import Beat, Family, Heartbeat, Moment
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store import Store
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews

class Telling(Pipeline):
    def _told_apart(self, transitions, because=""):
        for change in transitions:
            print(msgspec.json.encode(change).decode(), flush=True)
        return super()._told_apart(transitions, because)

async def run(path, began, chance):
    stats = Stats()
    store, hosts, presence, rings = Store(path, stats), Hosts(), Presence(3.0, Moment(began, 0.0)), Rings(10)
    await store.open()
    feed = Feed(hosts, WebSocketFrames(HostViews(hosts, presence, rings)), stats)
    pipeline = Telling(hosts, presence, rings, store, feed, stats)
    pipeline.resume(await store.transitions.watched_until(), Moment(began, 0.0))
    host = Host(1, "web-1", "agent_1")
    hosts.add(host)
    presence.know(1, interval=10.0, now=Moment(began, 0.0))
    turns = asyncio.create_task(pipeline.run())
    run_id, mono, seq = f"{chance.getrandbits(64):016x}", 0.0, 0
    while True:
        for silent in (False, True):
            for _ in range(chance.randrange(5, 100)):
                mono += 0.5
                now = Moment(began + mono, mono)
                if not silent and mono % 10 == 0:
                    seq += 1
                    pipeline.beat(Heartbeat(1, Family.IPV4, "192.0.2.1", run_id, seq, Beat.ALIVE, 10.0), 4, now)
                pipeline.tick(now)
                await asyncio.sleep(0.001)

asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2]), random.Random(sys.argv[3])))
"""


class Told(NamedTuple):
    family: Family | None
    at: float
    state: State


async def told_until_killed(path: Path, began: float, lines: int, pause: float) -> list[Told]:
    """Let states change, and kill the daemon some time after so many changes; all changes that it saw."""
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(path), str(began), f"{began}", stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout is not None
    seen = [await asyncio.wait_for(daemon.stdout.readline(), 30 * SLOW) for _ in range(lines)]
    await asyncio.sleep(pause)
    daemon.kill()
    rest = await daemon.stdout.read()
    await daemon.wait()
    whole = [line for line in b"".join([*seen, rest]).splitlines() if line.endswith(b"}")]
    changes = [msgspec.json.decode(line) for line in whole]
    return [
        Told(None if one["family"] is None else Family(one["family"]), one["at"], State(one["after"]))
        for one in changes
    ]


@pytest.mark.timeout((30 + 10 * KILLS) * SLOW)
async def test_kills_at_random_points_lose_and_double_no_change_of_state(tmp_path: Path) -> None:
    seed = int(os.environ.get("HBD_TEST_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    path, began = tmp_path / "hbd.db", 1_750_000_000.0
    store = Store(path, Stats())
    await store.open()
    assert await store.hosts.enrol("web-1", "agent_1", [], None, 0.0) == 1
    await store.close()

    seen: list[Told] = []
    for _ in range(KILLS):
        # Anywhere within a transaction, or between two.
        seen += await told_until_killed(path, began, LEAST_LINES + chance.randrange(20), chance.uniform(0, 0.1))
        began = seen[-1].at + GAP

    store = Store(path, Stats())
    await store.open()
    recorded = await store.transitions.between([1], 0, began)
    ended = await store.transitions.watched_until()
    await store.close()
    stored = sqlite3.connect(path).execute("SELECT family, at, state FROM transitions ORDER BY id").fetchall()
    written = [Told(Family(family) if family else None, at, State(state)) for family, at, state in stored]
    assert ended is not None
    assert len(set(written)) == len(written), f"written twice, seed {seed}"
    assert set(written) <= set(seen), f"written and never seen, seed {seed}"
    assert len(recorded.unseen) == KILLS - 1, f"seed {seed}"
    for family in (None, Family.IPV4):
        all_of_them = [Change(one.at, one.state) for one in seen if one.family is family]
        kept = [Change(one.at, one.state) for one in recorded.hosts[1][family]]
        first = all_of_them[0].at
        expected = timeline(all_of_them, recorded.unseen, first, ended)
        assert timeline(kept, recorded.unseen, first, ended) == expected, f"seed {seed}"
        assert {State.UP, State.DOWN, State.UNKNOWN} <= {piece.state for piece in expected}
