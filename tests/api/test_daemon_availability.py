"""What a whole daemon remembers of when hosts were up: over a restart, a reload, upkeep."""

from __future__ import annotations

import itertools
import time

import msgspec
from house import House, report

from hbd.availability import Piece, timeline
from hbd.daemon import Daemon
from hbd.model import State, Transition
from hbd.store import Turn

UP, UNKNOWN = State.UP, State.UNKNOWN
_seqs = itertools.count(1)


async def heard(daemon: Daemon) -> int:
    """The host reports, and everything until then is on disk; its id."""
    host = await report(daemon, seq=next(_seqs))
    await report(daemon, "tail", seq=next(_seqs))
    return host.id  # type: ignore[no-any-return]


async def pieces(daemon: Daemon, host_id: int) -> list[Piece]:
    """From the first sign of life until now."""
    now = time.time()
    recorded = await daemon.store.transitions.between([host_id], 0, now)
    changes = recorded.hosts[host_id][None]
    return timeline(changes, recorded.unseen, changes[0].at, now)


async def test_a_restart_is_time_of_which_nothing_is_known(house: House) -> None:
    host_id = await heard(await house.start())
    daemon = await house.restart()
    assert await heard(daemon) == host_id
    known = await pieces(daemon, host_id)
    assert [piece.state for piece in known] == [UP, UNKNOWN, UP]
    recorded = await daemon.store.transitions.between([host_id], 0, time.time())
    assert [one.restarted for one in recorded.unseen] == [True]


async def test_the_first_start_of_all_makes_nothing_unseen(house: House) -> None:
    daemon = await house.start()
    host_id = await heard(daemon)
    assert (await daemon.store.transitions.between([host_id], 0, time.time())).unseen == []


async def test_a_host_that_the_config_drops_is_known_no_more(house: House) -> None:
    daemon = await house.start()
    host_id = await heard(daemon)
    house.write("drophosts: [web-1]\n")
    assert (await daemon.reload()).ok
    await report(daemon, "tail", seq=next(_seqs))
    assert (await pieces(daemon, host_id))[-1].state is UNKNOWN


async def test_upkeep_forgets_what_is_older_than_its_retention(house: House) -> None:
    daemon = await house.start()
    host_id, now = await heard(daemon), time.time()
    old = [Transition(host_id, None, UNKNOWN, UP, now - days * 86_400) for days in (30, 20, 10)]
    await daemon.store.record(Turn(transitions=old))
    retention = msgspec.structs.replace(daemon.config.retention, availability=15 * 86_400.0)
    daemon.upkeep.config = msgspec.structs.replace(daemon.config, retention=retention)
    await daemon.upkeep.prune(now)
    changes = (await daemon.store.transitions.between([host_id], 0, now)).hosts[host_id][None]
    assert [round((now - change.at) / 86_400) for change in changes] == [0, 20, 10]
