"""F29: a host is deleted while its reports arrive."""

from __future__ import annotations

import asyncio

from noba_client import NobaClient
from noba_site import Ask, a_client, a_daemon, a_person, newest, no_settings, reported, until, web

from hbd.daemon import Daemon

__all__ = ["a_client", "a_daemon", "a_person", "no_settings"]

ROWS_OF_A_HOST = (
    "SELECT count(*) FROM hosts WHERE id = ?",
    "SELECT count(*) FROM agent_keys WHERE host_id = ?",
    "SELECT count(*) FROM samples WHERE host_id = ?",
    "SELECT count(*) FROM connections WHERE host_id = ?",
    "SELECT count(*) FROM transitions WHERE host_id = ?",
    "SELECT count(*) FROM alerts WHERE host_id = ?",
    "SELECT count(*) FROM messages WHERE host_id = ?",
    "SELECT count(*) FROM foreign_reports WHERE host_id = ?",
    "SELECT count(*) FROM commands WHERE host_id = ?",
)


async def left_of(daemon: Daemon, host_id: int) -> list[int]:
    """How much each table still has of a host."""
    return await daemon.store.database.read(
        lambda db: [db.execute(sql, (host_id,)).fetchone()[0] for sql in ROWS_OF_A_HOST]
    )


async def test_f29_a_host_that_is_deleted_while_reports_arrive_leaves_nothing(
    daemon: Daemon, client: NobaClient, ask: Ask
) -> None:
    async def reporting() -> list[int]:
        statuses = [200]
        while statuses[-1] == 200:
            statuses.append((await reported(client))[0])
        return statuses

    reporters = [asyncio.create_task(reporting()) for _ in range(4)]
    await until(lambda: newest(daemon, "cpu_monitor"))
    host_id = web(daemon).id
    assert (await ask("DELETE", "/api/agents/web"))[0] == 200
    async with asyncio.timeout(30):
        assert {statuses[-1] for statuses in await asyncio.gather(*reporters)} == {403}
    assert daemon.rings.plugins(host_id) == []
    await daemon.report_log.write()
    assert await left_of(daemon, host_id) == [0] * len(ROWS_OF_A_HOST)
