"""Liveness of a large fleet: python tests/bench/bench_presence.py [connections]

Prints ``name value unit`` lines: CPU of a heartbeat, of a report, of a second of ticks, and memory.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
import time

from hbd.model import Family, Heartbeat, Moment
from hbd.presence import Presence

INTERVAL = 10
TICKS_PER_SECOND = 4
SECONDS = 40
STRIP_HOSTS = 10_000


def rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(connections: int) -> None:
    hosts = connections // 2
    start = Moment(1e9, 1000.0)
    gc.collect()
    before = rss_bytes()
    presence = Presence(3.0, start)
    for host_id in range(hosts):
        presence.know(host_id, interval=float(INTERVAL), now=start)

    draw = random.Random(1)
    steps = INTERVAL * TICKS_PER_SECOND
    paths: list[list[tuple[int, Family]]] = [[] for _ in range(steps)]
    for host_id in range(hosts):
        for family in Family:
            paths[draw.randrange(steps)].append((host_id, family))

    beat_seconds = tick_seconds = report_seconds = 0.0
    worst_tick = 0.0
    beats = reports = 0
    for step in range(SECONDS * TICKS_PER_SECOND):
        mono = start.mono + step / TICKS_PER_SECOND
        now = Moment(start.wall + step / TICKS_PER_SECOND, mono)
        warm = step >= 2 * steps
        arrived = [
            Heartbeat(host_id, family, "192.0.2.1", "run", 1 + step // steps, interval=10.0, rtt=0.01)
            for host_id, family in paths[step % steps]
        ]
        began = time.process_time()
        for beat in arrived:
            presence.beat(beat, now)
        between = time.process_time()
        for beat in arrived:
            if beat.family is Family.IPV6:
                presence.report(beat.host_id, family=Family.IPV6, address="2001:db8::1", interval=10.0, now=now)
                reports += warm
        before_tick = time.process_time()
        changes = presence.tick(now)
        ended = time.process_time()
        assert not changes
        if warm:
            beats += len(arrived)
            beat_seconds += between - began
            report_seconds += before_tick - between
            tick_seconds += ended - before_tick
            worst_tick = max(worst_tick, ended - before_tick)

    seconds = SECONDS - 2 * INTERVAL
    print(f"presence.connections {connections} count")
    print(f"presence.beat {beat_seconds / beats * 1e6:.2f} us")
    print(f"presence.report {report_seconds / reports * 1e6:.2f} us")
    print(f"presence.tick {tick_seconds / seconds * 1e3:.2f} ms_per_second")
    print(f"presence.tick_core_share {tick_seconds / seconds * 100:.2f} percent")
    print(f"presence.tick_longest {worst_tick * 1e3:.2f} ms")
    print(f"presence.memory {(rss_bytes() - before) / connections:.0f} bytes_per_connection")

    began = time.process_time()
    for host_id in range(min(hosts, STRIP_HOSTS)):
        presence.view(host_id)
    print(f"presence.view {(time.process_time() - began) / min(hosts, STRIP_HOSTS) * 1e6:.1f} us")

    silence = Moment(now.wall, now.mono + 1.0)
    began = time.process_time()
    downs = 0
    while not downs:
        silence = Moment(silence.wall, silence.mono + 1.0)
        downs = sum(change.family is None for change in presence.tick(silence) if change.after == "DOWN")
    while downs < hosts:
        silence = Moment(silence.wall, silence.mono + 1.0)
        downs += sum(change.family is None for change in presence.tick(silence) if change.after == "DOWN")
    print(f"presence.all_fall_silent {(time.process_time() - began) / connections * 1e6:.2f} us_per_connection")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
