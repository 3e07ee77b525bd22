"""What was known before a restart is known again."""

from __future__ import annotations

import asyncio
import logging

from hbd.model import Moment, State
from hbd.presence import KnownConnection
from hbd.works import Works

log = logging.getLogger(__name__)

SAMPLES_AT_ONCE = 200  # added to the rings before others get their turn on the loop


async def recall(works: Works, started: Moment) -> None:
    """Know again hosts, keys, which reports are here, when hosts were seen. The store is open. Raises HbdError."""
    store, pipeline, clock = works.store, works.pipeline, works.clock
    await works.security.load(started.wall)
    await works.channels.load()
    for row in await store.hosts.connections():
        works.host_settings.last_seen[row.host_id].append(
            KnownConnection(row.family, row.address, row.last_seen, row.interval)
        )
        if row.state is State.DOWN:
            pipeline.lost_families.add((row.host_id, row.family))
    for host in await store.hosts.all():
        pipeline.told[host.id] = host.state
    pipeline.resume(await store.transitions.watched_until(), started)
    await works.reporting.load()
    await works.enrolment.load(works.config)
    for known in await store.samples.ranges():
        pipeline.sequences.add(known.host_id, known.run_id, known.first, known.last)
    works.heartbeats.load(await store.hosts.beats())
    for host_id in pipeline.derived.load(await store.trends.all()):
        log.error("how the disks of host %d filled up cannot be read and begins anew", host_id)
    await works.processes.load()
    await works.jobs.load()
    await works.deployments.load()
    works.alerts.load(await store.alerts.all(), clock(), await store.alerts.newest_samples())
    pipeline.no_data.load(((alert.host_id, alert.path) for alert in works.alerts.not_ok()), clock())
    works.alerts.reconfigure(pipeline.is_judged)
    await works.hushing.load(works.config, started.wall)
    await works.notifications.load(clock())
    await works.commands.load()


async def refill(works: Works, last_id: int) -> None:
    """Fill the rings from disk, a host at a time and some samples at once. last_id: the newest report of before."""
    for host in works.hosts.everyone():
        try:
            samples = await works.store.samples.newest(host.id, works.config.samples_per_plugin, last_id)
        except Exception:
            log.exception("the samples of %s could not be read again", host.name)
            continue
        for start in range(0, len(samples), SAMPLES_AT_ONCE):
            for sample in samples[start : start + SAMPLES_AT_ONCE]:
                works.rings.add(host.id, sample)
            await asyncio.sleep(0)
        works.pipeline.no_data.recall(host.id, samples, works.clock())
        works.pipeline.changed(host)
