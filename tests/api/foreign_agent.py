"""An agent of another system on a host of ``world``, and what has become of its reports."""

from __future__ import annotations

from typing import Any

from world import Api, World

from hbd.hosts import Host
from hbd.model import Moment, State


class ForeignAgent:
    def __init__(self, api: Api, world: World, host: Host, key: str) -> None:
        self.api, self.world, self.host, self.key = api, world, host, key

    def later(self, seconds: int) -> None:
        for _ in range(seconds):
            now = self.world.now
            self.world.now = Moment(now.wall + 1, now.mono + 1)
            self.world.presence.tick(self.world.now)

    @property
    def state(self) -> State:
        view = self.world.presence.view(self.host.id)
        assert view is not None
        return view.state

    def data(self, plugin: str) -> Any:
        """The newest of a plugin."""
        newest = self.world.rings.latest(self.host.id, plugin)
        return None if newest is None else newest.data
