"""Fleets in seeded virtual time: nobody is called down who was heard, nobody stays up who was not."""

import random

from hbd.model import Family, Heartbeat, Moment, State
from hbd.presence import Presence

INTERVAL, GRACE, TICK = 10.0, 3.0, 0.5


class Fleet:
    """Hosts with a heartbeat every 10 s over each of two families and a report over the second, at random phases.

    All that presence says is held against what was really heard.
    """

    def __init__(self, hosts: int, loss: float, seed: int) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.presence = Presence(GRACE, Moment(0.0, 0.0))
        self.hosts = range(hosts)
        self.ticks_per_round = int(INTERVAL / TICK)
        self.senders: list[list[tuple[int, Family]]] = [[] for _ in range(self.ticks_per_round)]
        for host_id in self.hosts:
            self.presence.know(host_id, interval=INTERVAL, now=Moment(0.0, 0.0))
            for family in Family:
                self.senders[self.random.randrange(self.ticks_per_round)].append((host_id, family))
        self.heard: dict[tuple[int, Family | None], float] = {}
        self.seq = dict.fromkeys(((host_id, family) for host_id in self.hosts for family in Family), 0)
        self.sent = 0
        self.false_downs = 0
        self.downs: dict[tuple[int, Family | None], float] = {}
        self.dead: set[int] = set()

    def run(self, first_tick: int, ticks: int, *, reports: bool, spared: bool = False) -> None:
        """spared: loss never takes the one heartbeat that keeps its connection within the grace."""
        draw, presence, loss = self.random.random, self.presence, self.loss
        for step in range(first_tick, first_tick + ticks):
            mono = step * TICK
            now = Moment(mono, mono)
            for host_id, family in self.senders[step % self.ticks_per_round]:
                if host_id in self.dead:
                    continue
                path = (host_id, family)
                self.sent += 1
                self.seq[path] += 1
                last_chance = spared and mono - self.heard.get(path, -INTERVAL * GRACE) >= INTERVAL * (GRACE - 1)
                if draw() >= loss or last_chance:
                    self.note(presence.beat(Heartbeat(host_id, family, "", "run", self.seq[path], interval=10.0), now))
                    self.heard[path] = mono
                if reports and family is Family.IPV6:
                    self.note(presence.report(host_id, family=family, address=None, interval=10.0, now=now))
                    self.heard[path] = mono
            self.note(presence.tick(now))

    def note(self, transitions) -> None:
        for change in transitions:
            if change.after is State.DOWN:
                families = [change.family] if change.family else list(Family)
                heard = max(self.heard[change.host_id, family] for family in families)
                self.false_downs += change.at - heard < INTERVAL * GRACE
                self.downs[change.host_id, change.family] = change.at


def test_no_false_down_in_a_million_heartbeats_with_30_percent_lost():
    fleet = Fleet(hosts=1000, loss=0.3, seed=64)
    fleet.run(0, 500 * 20, reports=True)
    assert fleet.sent == 1_000_000
    assert fleet.false_downs == 0
    assert not [host_id for host_id, family in fleet.downs if family is None]


def test_one_heartbeat_in_each_grace_keeps_every_connection_from_down():
    fleet = Fleet(hosts=200, loss=0.8, seed=65)
    fleet.run(0, 200 * 20, reports=False, spared=True)
    assert fleet.downs == {}


def test_true_silence_is_down_within_the_grace_and_a_tick():
    fleet = Fleet(hosts=200, loss=0.2, seed=66)
    fleet.run(0, 20 * 20, reports=True)
    fleet.dead = set(fleet.random.sample(fleet.hosts, 50))
    fleet.downs.clear()
    fleet.run(20 * 20, 4 * 20, reports=True)
    late = [
        fleet.downs[host_id, None] - max(fleet.heard[host_id, family] for family in Family) - INTERVAL * GRACE
        for host_id in fleet.dead
    ]
    assert 0 <= min(late) <= max(late) <= TICK
    assert {host_id for host_id, family in fleet.downs if family is None} == fleet.dead


def test_suspended_daemon_calls_no_living_host_down():
    fleet = Fleet(hosts=200, loss=0.2, seed=67)
    step = 0
    for _ in range(10):
        fleet.run(step, 10 * 20, reports=True)
        step += 10 * 20 + fleet.random.randrange(20, 7200)
    assert fleet.false_downs == 0
    assert not [host_id for host_id, family in fleet.downs if family is None]
