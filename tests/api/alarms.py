"""An alert on a host of ``world``, written as the pipeline writes it."""

from __future__ import annotations

from world import World

from hbd.hosts import Host
from hbd.model import Level, Moment
from hbd.store import Turn

PATH = "presence.host"


async def alarm(world: World, host: Host, level: Level = Level.CRITICAL) -> None:
    """Have it told that a host is not heard."""
    world.now = Moment(world.now.wall + 1, world.now.mono + 1)
    plan = world.alerts.begin(world.now)
    plan.liveness(host.id, PATH, level, "no heartbeat", world.now)
    await world.store.record(Turn(alerts=plan.rows, gone=plan.gone, events=plan.events))
    world.alerts.adopt(plan)
    for event in plan.events:
        world.hushing.came_to(event)
        world.feed.alert(event)
