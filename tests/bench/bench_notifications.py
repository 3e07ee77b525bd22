"""Notifications under the worst: python tests/bench/bench_notifications.py [events] [kills]

First 200 problems one by one, each for a webhook of its own: how long from a sample to the webhook. Then many problems
on four webhooks of which half of all requests fail (5xx, 429, no answer, a connection that is cut), while the daemon is
killed again and again: what was lost, what came twice, and what came in the wrong order. Prints ``name value unit``
lines. The exit code is 1 when anything was lost or out of order.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from notified import RULES, Ear, Ears, Voice, Word, heard, listening, speaking
from programs import Daemon, eventually

ISOLATED = 200
HOSTS = 50
CHANNELS = ("ops", "mail", "pager", "chat")
FAILURES = ("500", "502", "503", "429", "429", "hang", "hang", "cut", "deaf")
MOST_SECONDS = 0.5  # between the last acknowledgement and a kill
SETTLED_SECONDS = 180.0


def tell(name: str, value: float, unit: str) -> None:
    print(name, f"{value:.6g}", unit, flush=True)


def quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def isolated(folder: Path) -> None:
    """Each change has a channel that was calm before."""
    names = [f"isolated-{number}" for number in range(ISOLATED)]
    async with AsyncExitStack() as stack:
        ears = await stack.enter_async_context(listening(*names))
        daemon = Daemon(
            folder,
            threshold_configs=RULES,
            notification_channels=ears.channels(),
            notification_routes={name: {"hosts": [name], "channels": [name]} for name in names},
        )
        agents = [Voice(name, daemon.url) for name in names]
        await stack.enter_async_context(daemon)
        await stack.enter_async_context(speaking(*agents))
        for agent in agents:
            await agent.connected.wait()
        from_sample, from_ack = [], []
        for agent in agents:
            ear, said = ears[agent.name], time.monotonic()
            agent.say("CRITICAL")
            await eventually(agent.quiet, 10, "the sample is acknowledged")
            acknowledged = time.monotonic()
            await eventually(heard(lambda ear=ear: ear.words), 10, "the webhook was called")
            from_sample.append(ear.words[0].heard - said)
            from_ack.append(max(0.0, ear.words[0].heard - acknowledged))
    tell("isolated.changes", ISOLATED, "count")
    for name, values in (("from_sample", from_sample), ("from_acknowledgement", from_ack)):
        tell(f"isolated.{name}_p50", quantile(values, 0.5) * 1e3, "ms")
        tell(f"isolated.{name}_p99", quantile(values, 0.99) * 1e3, "ms")


class Storm:
    """Events, kills and failures at random, and what came of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.failing = True
        self.done: Counter[str] = Counter()

    def decide(self) -> str:
        answer = self.chance.choice(FAILURES) if self.failing and self.chance.random() < 0.5 else "200"
        self.done[answer] += 1
        return answer

    async def blow(self, folder: Path, events: int, kills: int) -> bool:
        async with AsyncExitStack() as stack:
            ears = await stack.enter_async_context(listening(*CHANNELS))
            for ear in ears.named.values():
                ear.decide, ear.retry_after = self.decide, "1"
            daemon = Daemon(
                folder,
                threshold_configs=RULES,
                flapping={"changes": 0},  # every change is an event
                notification_channels=ears.channels(),
                notification_routes={"everything": {"channels": list(CHANNELS)}},
            )
            agents = [Voice(f"host-{number}", daemon.url) for number in range(HOSTS)]
            levels = dict.fromkeys((agent.name for agent in agents), "OK")
            await stack.enter_async_context(daemon)
            await stack.enter_async_context(speaking(*agents))
            for agent in agents:
                await agent.connected.wait()
            began = time.monotonic()
            for cycle in range(kills):
                for _ in range(events * (cycle + 1) // kills - events * cycle // kills):
                    agent = self.chance.choice(agents)
                    other = [level for level in ("OK", "WARNING", "CRITICAL") if level != levels[agent.name]]
                    levels[agent.name] = self.chance.choice(other)
                    agent.say(levels[agent.name])
                for agent in agents:
                    await eventually(agent.quiet, 60, f"{agent.name} is heard")
                await asyncio.sleep(self.chance.uniform(0, MOST_SECONDS))
                await daemon.kill()
                await daemon.start(ready=False)
            for agent in agents:
                await eventually(agent.quiet, 60, f"{agent.name} is heard")
            tell("storm.seconds", time.monotonic() - began, "s")
            self.failing = False
            calm = time.monotonic()
            wanted = {name: level for name, level in levels.items() if level != "OK"}
            try:
                await eventually(heard(lambda: not _lost(ears, wanted)), SETTLED_SECONDS, "all is told")
            except AssertionError as error:
                print("#", error)
            tell("storm.settled", time.monotonic() - calm, "s")
            faults = "Traceback" in daemon.text
        tell("storm.events", events, "count")
        tell("storm.kills", kills, "count")
        self._tell_requests()
        return _judged(ears, wanted) and not faults

    def _tell_requests(self) -> None:
        for answer, count in sorted(self.done.items()):
            tell(f"storm.requests_{answer}", count, "count")


def _open_at(ear: Ear) -> dict[str, str]:
    """Host to the level that it has there, as far as it is not OK; a problem of another id may be open beside it."""
    found = {}
    for told in ear.of_problem().values():
        if told[-1].level != "OK":
            found[f"{told[-1].host} {told[-1].problem}"] = told[-1].level
    return found


def _lost(ears: Ears, wanted: dict[str, str]) -> int:
    """Problems that a service does not know, knows at another level, or holds to be open though they are over."""
    lost = 0
    for ear in ears.named.values():
        there: dict[str, list[str]] = defaultdict(list)
        for name, level in _open_at(ear).items():
            there[name.partition(" ")[0]].append(level)
        lost += sum(there.get(host) != [level] for host, level in wanted.items())
        lost += sum(len(found) for host, found in there.items() if host not in wanted)
    return lost


def _judged(ears: Ears, wanted: dict[str, str]) -> bool:
    words = repeated = unanswered = changed = disorder = 0
    for ear in ears.named.values():
        words += len(ear.words)
        for told in ear.of_problem().values():
            first: dict[int, Word] = {}
            for word in told:
                again = first.setdefault(word.number, word)
                if again is not word:
                    unanswered += not again.answered
                    repeated += again.answered
                    changed += again.level != word.level
                first[word.number] = word
            disorder += sum(after.number < before.number for before, after in pairwise(told))
        of_host: dict[str, list[float]] = defaultdict(list)
        known = set()
        for word in ear.words:
            if (word.problem, word.number) not in known:  # what comes again is no news
                known.add((word.problem, word.number))
                of_host[word.host].append(word.time)
        disorder += sum(after < before for times in of_host.values() for before, after in pairwise(times))
    lost = _lost(ears, wanted)
    tell("storm.told", words, "problems in messages")
    tell("storm.lost", lost, "problems")
    tell("storm.duplicates_unanswered", unanswered, "as the service cut the connection before its answer")
    tell("storm.duplicates", repeated, "of the same id and number, by kills")
    tell("storm.duplicates_share", repeated / max(1, words) * 100, "%")
    tell("storm.numbers_used_twice", changed, "for different words")
    tell("storm.out_of_order", disorder, "in all")
    return not (lost or changed or disorder)


async def main(events: int, kills: int) -> bool:
    seed = random.randrange(1 << 32)
    print("# seed", seed)
    with tempfile.TemporaryDirectory() as folder:
        await isolated(Path(folder) / "isolated")
        return await Storm(seed).blow(Path(folder) / "storm", events, kills)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:3]]
    sys.exit(0 if asyncio.run(main(*(given + [10_000, 100][len(given) :]))) else 1)
