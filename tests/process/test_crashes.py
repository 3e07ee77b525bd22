"""What was acknowledged is on disk, once, whatever was killed and when."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from programs import SLOW, Agent, Daemon, eventually, stored_reports, stored_samples, twice
from virtual_agents import Fleet

KILLS = int(os.environ.get("HBD_TEST_KILLS", "25"))
AGENTS = 20


@pytest.mark.timeout((60 + 5 * KILLS) * SLOW)
async def test_kills_at_random_points_lose_and_double_nothing_that_was_acknowledged(daemon: Daemon) -> None:
    seed = int(os.environ.get("HBD_TEST_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    ledger: set[tuple[str, str, int]] = set()
    kills, recoveries = 0, []
    fleet = Fleet(
        daemon.url, AGENTS, interval=0.1, retry=0.1, on_ack=lambda name, run_id, seq: ledger.add((name, run_id, seq))
    )
    async with fleet:
        # An agent that was enrolled but did not hear its key needs an administrator; that is no matter of this test.
        await asyncio.wait_for(fleet.connected(), 20 * SLOW)
        while kills < KILLS:
            await _acknowledged(fleet, chance.randrange(120))
            await asyncio.sleep(chance.uniform(0, 0.05))  # anywhere within a commit, or between two
            await daemon.kill()
            kills += 1
            if chance.random() < 0.25:  # now and then while it is still starting
                await daemon.start(ready=False)
                await asyncio.sleep(chance.uniform(0, 1.0))
                await daemon.kill()
                kills += 1
            killed = time.monotonic()
            await daemon.start(ready=False)
            await _acknowledged(fleet, 1)
            recoveries.append(time.monotonic() - killed)
        fleet.finish()
        await eventually(fleet.settled, 20, "every report is acknowledged")
    assert await daemon.stop() == 0

    stored = stored_reports(daemon.database)
    sent = {(agent.name, agent.run_id, seq) for agent in fleet.agents for seq in range(1, agent.seq + 1)}
    told = f"seed {seed}"
    assert not ledger - set(stored), f"acknowledged and lost, {told}"
    assert not twice(stored), f"stored twice, {told}"
    assert set(stored) == sent == ledger, told
    assert "Traceback" not in daemon.text, told
    print(f"{kills} kills, {len(ledger)} acknowledged reports; from start to the first acknowledgement:")
    print(f"median {statistics.median(recoveries):.2f} s, most {max(recoveries):.2f} s")


async def test_stop_under_load_keeps_everything_that_was_acknowledged(daemon: Daemon) -> None:
    ledger: set[tuple[str, str, int]] = set()
    fleet = Fleet(daemon.url, AGENTS, interval=0.1, on_ack=lambda name, run_id, seq: ledger.add((name, run_id, seq)))
    async with fleet:
        await _acknowledged(fleet, 100)
        assert await daemon.stop(seconds=5) == 0
    assert ledger <= set(stored_reports(daemon.database))


async def test_agent_keeps_what_it_measures_while_the_daemon_is_down(daemon: Daemon, tmp_path: Path) -> None:
    async def reports() -> list[int]:
        return [seq for name, _, seq in stored_reports(daemon.database) if name == "spooler"]

    async def caught_up() -> bool:
        taken = set(await reports())
        return max(taken) > before + 3 and taken == set(range(1, max(taken) + 1))

    async with Agent(tmp_path / "agent", daemon.url, "spooler") as agent:
        await eventually(reports, 20, "the agent's first report is stored")
        assert await daemon.stop() == 0
        before = max(await reports())
        for _ in range(4):
            await eventually(partial(_grown, agent, agent.spooled_bytes()), 20, "the agent's queue grows")
        await daemon.start()
        await eventually(caught_up, 30, "every report of the time without the daemon is stored")
        assert await agent.stop() == 0
    assert await daemon.stop() == 0
    assert not twice(stored_reports(daemon.database))


FOLD_EVERYTHING = """
import asyncio, sys
from pathlib import Path
from hbd.stats import Stats
from hbd.store import Store

async def fold():
    store = Store(Path(sys.argv[1]), Stats())
    await store.open()
    print("open", flush=True)
    while await store.samples.fold(now=4e9, keep=0, due=0):
        pass
    await store.close()

asyncio.run(fold())
"""


@pytest.mark.timeout(180 * SLOW)
async def test_kills_while_samples_are_folded_into_history_lose_and_double_nothing(daemon: Daemon) -> None:
    async with Fleet(daemon.url, 40, interval=0.1) as fleet:
        await _acknowledged(fleet, 1_000)
        fleet.finish()
        await eventually(fleet.settled, 20, "every report is acknowledged")
    assert await daemon.stop() == 0
    reports, samples = sorted(stored_reports(daemon.database)), stored_samples(daemon.database)

    code, kills = None, 0
    while code != 0:
        folding = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FOLD_EVERYTHING, str(daemon.database), stdout=asyncio.subprocess.PIPE
        )
        assert folding.stdout is not None
        assert await folding.stdout.readline() == b"open\n"
        try:
            code = await asyncio.wait_for(folding.wait(), random.uniform(0, 0.02 * (1 + kills)))
        except TimeoutError:
            with suppress(ProcessLookupError):  # it ended at this very moment
                folding.kill()
            code = await folding.wait()
            kills += code != 0
        assert sorted(stored_reports(daemon.database)) == reports
        assert stored_samples(daemon.database) == samples
    assert kills > 0


async def _acknowledged(fleet: Fleet, more: int) -> None:
    """Wait until so many more reports are acknowledged."""
    wanted = fleet.tally.acked + more

    async def reached() -> bool:
        return fleet.tally.acked >= wanted

    await eventually(reached, 20, f"{more} more acknowledgements; refused: {fleet.tally.refusals[-3:]}")


async def _grown(agent: Agent, size: int) -> bool:
    return agent.spooled_bytes() > size
