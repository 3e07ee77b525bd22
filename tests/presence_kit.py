"""One host that is listened for. Time is a pair of numbers: the wall clock is 1,000,000 s ahead of the other one."""

from typing import Any

from hbd.model import Family, Heartbeat, Moment, State, Transition
from hbd.presence import Presence

V4, V6 = Family.IPV4, Family.IPV6
UP, OVERDUE, DOWN, UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
WALL = 1_000_000.0


def at(mono: float) -> Moment:
    return Moment(WALL + mono, mono)


def heartbeat(seq: int, **more: Any) -> Heartbeat:
    facts: dict[str, Any] = {"family": V4, "address": "192.0.2.1", "run_id": "a" * 16, "interval": 10.0}
    return Heartbeat(host_id=1, seq=seq, **(facts | more))


class Watch:
    """A Presence with host 1, and a tick every half second."""

    def __init__(self, *, grace: float = 3.0, interval: float = 10.0, heard: bool = True, **know: Any) -> None:
        self.presence = Presence(grace, at(0.0))
        self.presence.know(1, interval=interval, now=at(0.0), **know)
        self.mono = 0.0
        self.seq = 0
        if heard:
            self.beat()

    def wait(self, seconds: float) -> list[Transition]:
        """Transitions on the way, ticks at both ends of it included."""
        transitions = []
        until = self.mono + seconds
        while self.mono < until:
            self.mono = min(self.mono + 0.5, until)
            transitions += self.presence.tick(at(self.mono))
        return transitions

    def beat(self, seq: int | None = None, **more: Any) -> list[Transition]:
        self.seq = self.seq + 1 if seq is None else seq
        return self.presence.beat(heartbeat(self.seq, **more), at(self.mono))

    def report(self, family: Family | None = V4, interval: float | None = None) -> list[Transition]:
        address = None if family is None else "192.0.2.1"
        return self.presence.report(1, family=family, address=address, interval=interval, now=at(self.mono))

    @property
    def host(self):
        view = self.presence.view(1)
        assert view is not None
        return view

    def link(self, family: Family = V4):
        return next(link for link in self.host.connections if link.family is family)
