"""A daemon with a receiver of remote write that is not there."""

import asyncio

from hbd.config import Config
from hbd.config.structs import RemoteWrite
from hbd.daemon import Daemon


async def failing(daemon):
    """The warnings, once the receiver is among them."""
    async with asyncio.timeout(30):
        while not any(line.startswith("remote_write") for line in daemon.status().warnings):
            await asyncio.sleep(0.01)
    return daemon.status().warnings


async def test_a_receiver_that_takes_nothing_is_on_the_status_page_until_it_is_removed(tmp_path):
    ports = {"hbd_port": 0, "hb_port": 0, "ws_port": 0}
    nobody = RemoteWrite(url="http://127.0.0.1:9/api/v1/write", interval=1)
    config = Config(database=tmp_path / "hbd.db", remote_write={"prom": nobody}, **ports)
    daemon = Daemon(config)
    await daemon.start()
    try:
        await daemon.store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
        await daemon.enrolment.load(config)  # before its sample: what comes of hosts that nobody knows is passed over
        await daemon.store.database.write(
            lambda db: db.execute(
                "INSERT INTO samples (host_id, run_id, seq, received_at, time, shift, body)"
                ' VALUES (1, \'a\', 1, 1, 1, 0, CAST(\'[{"plugin":"cpu_monitor","time":1,"data":{"a":1}}]\' AS BLOB))'
            )
        )
        (told,) = [line for line in await failing(daemon) if line.startswith("remote_write")]
        assert told.startswith("remote_write.prom: the receiver has taken nothing since ")
        daemon.remote_writes.configure(Config())
        async with asyncio.timeout(30):
            while any(line.startswith("remote_write") for line in daemon.status().warnings):
                await asyncio.sleep(0.01)
    finally:
        await daemon.stop()
