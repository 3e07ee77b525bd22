"""What logins tell and cost: the time of an unknown name against a wrong password, and floods of logins under load.

Prints ``name value unit`` lines. ``login.auc``: how well the time of one answer tells whether there is such a user,
from 0.5 (not at all) to 1. ``login_flood.*``: how long agents wait for an acknowledgement before and while 200 logins
at once are answered; hashes have the cost of real ones.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import aiohttp
import bcrypt
from load import edge_of, histograms, quantile, tell

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from programs import Daemon
from virtual_agents import Fleet

USERS = 10
TRIES = 400  # half of them for names that nobody has
LOGINS = 200
AGENTS = 200
INTERVAL = 1.0  # seconds between reports of an agent
QUIET_SECONDS = 10.0
PASSWORD = "correct horse"
MANY = 1_000_000


def settings() -> dict[str, object]:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt()).decode()
    return {
        "users": {f"user{number}": {"password": hashed, "role": "admin"} for number in range(USERS)},
        "agents": {"enrollment": "open"},
        "limits": {"logins_per_account": MANY, "logins_per_address": MANY},
    }


async def login(http: aiohttp.ClientSession, url: str, name: str, password: str) -> tuple[int, str | None]:
    """The status, and the token when it let in."""
    async with http.post(url + "/api/0/auth/login", json={"username": name, "password": password}) as answer:
        return answer.status, (await answer.json()).get("token")


def auc(known: Sequence[float], unknown: Sequence[float]) -> float:
    """How often a time of ``known`` is on the one side of one of ``unknown``, whichever side is the better guess."""
    below = sorted(unknown)
    wins = sum((bisect_left(below, value) + bisect_right(below, value)) / 2 for value in known)
    share = wins / len(known) / len(unknown)
    return max(share, 1 - share)


async def tell_names_apart(http: aiohttp.ClientSession, url: str) -> None:
    times: dict[bool, list[float]] = {True: [], False: []}
    tries = [number % 2 == 0 for number in range(TRIES)]
    random.Random(1).shuffle(tries)
    for number, exists in enumerate(tries):
        name = f"user{number % USERS}" if exists else f"none{number % USERS}"
        started = time.perf_counter()
        status, _ = await login(http, url, name, "wrong horse")
        assert status == 401, status
        times[exists].append(time.perf_counter() - started)
    tell("login.wrong_password_median", median(times[True]) * 1e3, "ms")
    tell("login.unknown_name_median", median(times[False]) * 1e3, "ms")
    tell("login.auc", auc(times[True], times[False]), "")


def tell_latencies(name: str, latencies: list[float]) -> None:
    latencies.sort()
    tell(f"{name}.reports", len(latencies), "reports")
    for part in (0.5, 0.99):
        tell(f"{name}.ack_p{part * 100:.0f}", quantile(latencies, part) * 1e3, "ms")
    tell(f"{name}.ack_max", latencies[-1] * 1e3, "ms")


async def flood(http: aiohttp.ClientSession, url: str, token: str) -> None:
    fleet = Fleet(url, AGENTS, interval=INTERVAL, ramp=INTERVAL)
    async with fleet:
        await fleet.connected()
        latencies = fleet.tally.latencies
        latencies.clear()
        await asyncio.sleep(QUIET_SECONDS)
        tell_latencies("login_flood.before", latencies)
        for kind, password in (("right", PASSWORD), ("wrong", "wrong horse")):
            before = await histograms(url, token)
            latencies.clear()
            started = time.perf_counter()
            tries = (login(http, url, f"user{number % USERS}", password) for number in range(LOGINS))
            answers = Counter(status for status, _ in await asyncio.gather(*tries))
            tell(f"login_flood.{kind}.seconds", time.perf_counter() - started, "s")
            for status, times in sorted(answers.items()):
                tell(f"login_flood.{kind}.answered_{status}", times, "logins")
            tell_latencies(f"login_flood.{kind}", latencies)
            after = await histograms(url, token)
            lag = edge_of(0.99, before["loop_lag_seconds"], after["loop_lag_seconds"])
            tell(f"login_flood.{kind}.daemon_loop_lag_p99", lag * 1e3, "ms at the most")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hbd-logins-") as folder:
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        async with (
            Daemon(Path(folder), **settings()) as daemon,
            aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http,
        ):
            await tell_names_apart(http, daemon.url)
            _, token = await login(http, daemon.url, "user0", PASSWORD)
            assert token is not None
            await flood(http, daemon.url, token)


if __name__ == "__main__":
    asyncio.run(main())
