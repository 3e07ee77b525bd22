"""The running agent: measures when it is time, queues, and lets the link and the heart tell the daemon.

Every round goes into the spool before it goes anywhere else. The heart beats on its own; the link comes and goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hbc import __version__
from hbc.belongings import within_reach
from hbc.collect import Collector
from hbc.commands.journal import Journal
from hbc.commands.runner import Runner
from hbc.config import INTERVAL_LEAST, INTERVAL_MOST, Config
from hbc.heartbeat import Heart
from hbc.identity import Identity
from hbc.link import Link, Reason
from hbc.outbox import Outbox
from hbc.plugins.build import build
from hbc.plugins.watched_processes import WatchedProcesses
from hbc.policy import policy_of
from hbc.spool import Spool
from hbc.streams import Streams, opener_of
from hbc.trial import TRIAL_SECONDS, Trial
from hbc.wire import (
    HEARTBEAT_PORT,
    MAX_FRAME_BYTES,
    MAX_SAMPLE_BYTES,
    MAX_SAMPLES_PER_REPORT,
    PROTOCOL,
    Hello,
    Welcome,
    WireSample,
)

log = logging.getLogger(__name__)

PAYLOAD_BYTES = MAX_FRAME_BYTES - 1024  # of the samples in one report; the rest is for the frame around them
_GOODBYE_SECONDS = 2.0
_LAST_SECONDS = 1.0
_COMMANDS_SECONDS = 1.0  # for what still runs to be killed, and for its outcome to be on disk
_PRIME_SECONDS = 1.0  # between the two readings that the first rates are made from
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SYSTEMD = Path("/run/systemd/system")


class Agent:
    def __init__(self, config: Config, identity: Identity, spool: Spool, trial: Trial | None = None) -> None:
        """spool: not opened yet. trial: of the package, None when there is none. Plugins that cannot be built are left
        out; the log says which and why."""
        self.config = config
        self.facts: dict[str, Any] = {}  # what agent_monitor shows
        self.unsendable = 0  # samples that fit in no report
        self.seq = 0
        self._trial = trial
        entries, problems = build(config.plugins, config.plugin_dirs, config.interval, self.facts)
        for problem in problems:
            log.error("%s (the plugin is left out)", config.locate(problem))
        self.collector = Collector(entries, self.facts)
        self.spool = spool
        self.outbox = Outbox(spool)
        self.interval = config.interval
        self._identity = identity
        self.policy = policy_of(config, identity.state, spool.path)
        if self.policy.problem:
            log.error("nothing is allowed here: %s", self.policy.problem)
        for problem in within_reach(config):
            log.warning("%s", config.locate(problem))
        self.journal = Journal(identity.state, identity.boot_id, time.time)
        works = {"update_agent": self._update}
        self.runner = Runner(self.policy, self.journal, lambda frame: self.link.send(frame), works=works)
        self.fresh: Path | None = None
        """a package that is to take the place of this agent's, once ``run`` has ended"""
        self.link = Link(
            config.servers,
            self.outbox,
            hello=self._hello,
            on_welcome=self._welcomed,
            advise=self._advise,
            trust=config.trust,
            hashed=lambda: identity.key_hash,
            handlers={
                "watch": self._watch,
                "command": self.runner.command,
                "cancel": self.runner.cancel,
                "open": lambda frame: self.streams.open(frame),
            },
        )
        self.streams = Streams(
            opener_of(self.policy),
            tell=self.link.send,
            linked=lambda: self.link.connected,
            most=self.policy.limits.streams,
            trust=config.trust,
        )
        self.heart = Heart(
            identity.run_id, identity.event, lambda: identity.key_hash, config.heartbeat.interval or config.interval
        )
        self._stop = asyncio.Event()
        self._rescheduled = asyncio.Event()

    async def run(self) -> None:
        """Work until ``stop``, SIGTERM or SIGINT; SIGHUP is only logged. Raises SpoolLocked when another agent runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, _no_reload)
        self._warn_of_plain_servers()
        self._aim(self.config.servers[0], HEARTBEAT_PORT)
        tasks: list[asyncio.Task[Any]] = []
        try:
            # Before anything is sent: a second agent on this machine must not be heard.
            try:
                await asyncio.to_thread(self.spool.open, now=time.monotonic(), wall=time.time())
            except OSError as error:
                log.error("the spool cannot be used, reports wait in memory: %s", error)
            try:
                await asyncio.to_thread(self.journal.open)
            except OSError as error:
                log.error("the record of commands cannot be used, all are refused: %s", error)
            parts = (self.heart.run(), self.link.run(), self._measure(), self._stop.wait())
            tasks = [loop.create_task(part) for part in parts]
            beating, linking, measuring, _ = tasks
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await self._end(beating, linking, measuring)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            self.spool.close()
            self.journal.close()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End ``run`` within a few seconds; a second call changes nothing."""
        self._stop.set()

    async def _end(self, beating: asyncio.Task[Any], linking: asyncio.Task[Any], measuring: asyncio.Task[Any]) -> None:
        beating.cancel()
        measuring.cancel()
        reason: Reason = "shutdown" if await asyncio.to_thread(machine_stops) else "stopped"
        log.info("stopping (%s)", reason)
        remote = {asyncio.create_task(part) for part in (self.runner.close(), self.streams.end())}
        await asyncio.wait(remote, timeout=_COMMANDS_SECONDS)
        self.link.stop(reason)
        await asyncio.gather(
            asyncio.wait({linking}, timeout=_GOODBYE_SECONDS),
            self.heart.farewell(reason),
        )
        linking.cancel()
        await asyncio.wait({beating, linking, measuring}, timeout=_LAST_SECONDS)
        self.spool.sync_now()
        if self.spool.records:
            log.info("%d reports stay in the spool for the next start", self.spool.records)

    # -------------------------------------------------------------------------------------------------------- measure

    async def _measure(self) -> None:
        await self.collector.prime()
        await asyncio.sleep(_PRIME_SECONDS)
        while True:
            wait = self.collector.next_due() - time.monotonic()
            if wait > 0:
                self._rescheduled.clear()
                try:
                    async with asyncio.timeout(None if math.isinf(wait) else wait):
                        await self._rescheduled.wait()
                except TimeoutError:
                    pass
                continue
            self._tell_facts()
            # Whole milliseconds: nobody needs more, and what is kept of them takes half the room.
            self.queue(await self.collector.round(round(time.time(), 3)))
            if not self.link.connected:
                await self.spool.sync()

    def queue(self, samples: list[WireSample]) -> None:
        """Put samples in the spool as one report, or several when they are too many or too large for one."""
        for payload in self._payloads(samples):
            self.seq += 1
            entry = self.spool.append(self._identity.run_id, self.seq, samples[0]["time"], payload, time.monotonic())
            self.outbox.put(entry)
        self.link.wake()

    def _payloads(self, samples: list[WireSample]) -> list[bytes]:
        reports: list[list[bytes]] = []
        size = 0
        for sample in samples:
            try:
                encoded = json.dumps(sample, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
            except (TypeError, ValueError, RecursionError) as error:
                self._unsendable(sample, str(error))
                continue
            if len(encoded) > MAX_SAMPLE_BYTES:
                self._unsendable(sample, f"{len(encoded)} bytes are too many")
                continue
            if not reports or size + len(encoded) + 1 > PAYLOAD_BYTES or len(reports[-1]) == MAX_SAMPLES_PER_REPORT:
                reports.append([])
                size = 1
            reports[-1].append(encoded)
            size += len(encoded) + 1
        return [b"[" + b",".join(report) + b"]" for report in reports]

    def _unsendable(self, sample: WireSample, reason: str) -> None:
        self.unsendable += 1
        if self.unsendable == 1:
            log.error("a sample of %s cannot be sent: %s (later ones are only counted)", sample["plugin"], reason)

    def _tell_facts(self) -> None:
        self.facts.update(
            spool_records=self.spool.records,
            spool_bytes=self.spool.size,
            dropped_total=self.spool.dropped + self.spool.damaged + self.unsendable,
            rejected_total=self.outbox.rejected,
            reconnects_total=max(0, self.link.welcomes - 1),
        )
        if self._trial is not None and (outcome := self._trial.outcome) is not None:
            self.facts["update_agent"] = outcome
        for family, rtt in self.heart.rtt().items():
            self.facts[f"rtt_{family}_ms"] = round(rtt * 1000, 3)

    # ----------------------------------------------------------------------------------------------------------- link

    def _hello(self) -> Hello:
        return Hello(
            type="hello",
            protocol=PROTOCOL,
            version=__version__,
            name=self.config.name,
            boot_id=self._identity.boot_id,
            run_id=self._identity.run_id,
            time=time.time(),
            interval=self.config.interval,
            event="reconnected" if self.link.welcomes else self._identity.event,
            capabilities=[],
            tags=list(self.config.tags),
        )

    def _welcomed(self, server: str, welcome: Welcome) -> None:
        if self._trial is not None:
            self._trial.passed()
        key = welcome.get("key")
        if key is not None and self._identity.key is not None:
            log.warning("the server gave a key to an agent that has one; it is not taken")
        elif key is not None:
            try:
                self._identity.enrolled(key)
                log.info("enrolled: the server gave this agent a key")
            except ValueError as error:
                log.error("the server gave a key that is none: %s", error)
            except OSError as error:
                log.error("the new key cannot be kept and is lost at the end of this run: %s", error)
        self._obey_interval(welcome.get("interval"))
        try:
            self._watch({"names": welcome.get("watch", [])})
        except ValueError as error:
            log.warning("the server wants processes watched that cannot be: %s", error)
        self.runner.linked(welcome.get("time"))
        self.streams.server = server
        port = welcome.get("heartbeat_port")
        usable = isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= 65535
        self._aim(server, port if usable else HEARTBEAT_PORT)

    async def _update(self, params: Mapping[str, Any], say: Callable[[str], None]) -> Callable[[], None] | None:
        """The command ``update_agent``."""
        from hbc import update

        fresh = await update.fetch(
            params, self.streams.server, self._identity.key, self.config.trust, self.config.source
        )
        if fresh is None:
            say(f"hbc {__version__} is what the daemon has; nothing is changed\n")
            return None
        say(f"hbc {__version__} becomes {params['version']}\n")
        if await asyncio.to_thread(update.keep_way_back, params, fresh, self._identity.state):
            say(f"{__version__} comes back if that does not reach hbd within {TRIAL_SECONDS / 60:g} min\n")
        else:
            say(f"It went back to {__version__} once, and does not again: this is for good\n")

        def begin_anew() -> None:
            self.fresh = fresh
            self.stop()

        return begin_anew

    def _watch(self, frame: dict[str, Any]) -> None:
        """Which processes the daemon wants watched. Where the plugin is switched off, none are."""
        entry = self.collector.entries.get(WatchedProcesses.name)
        if entry is not None and isinstance(entry.plugin, WatchedProcesses) and entry.plugin.watch(frame["names"]):
            self.collector.hasten(entry.name)
            self._rescheduled.set()

    def _advise(self, code: str) -> str:
        """What to know when the daemon refuses us with this code."""
        return self._identity.about_key if code in ("key", "enrollment") else ""

    def _obey_interval(self, wanted: object) -> None:
        """The daemon's config has the last word on the interval; without one it is our own again."""
        number = wanted if isinstance(wanted, int | float) and not isinstance(wanted, bool) else 0.0
        interval = float(number) if INTERVAL_LEAST <= number <= INTERVAL_MOST else self.config.interval
        if interval == self.interval:
            return
        log.info("reporting every %g s from now on", interval)
        self.interval = interval
        self.heart.pace(self.config.heartbeat.interval or interval)
        self.collector.follow(interval)
        self._rescheduled.set()

    def _aim(self, server: str, port: int) -> None:
        """A port in our own config wins over what the daemon says."""
        host = urlsplit(server).hostname or ""
        self.heart.aim(host, port if self.config.heartbeat.port is None else self.config.heartbeat.port)

    def _warn_of_plain_servers(self) -> None:
        for server in self.config.servers:
            parts = urlsplit(server)
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                log.warning(
                    "%s is not encrypted: everybody on the way can read and change what is sent; "
                    "have hbd speak TLS (docs/running.md) and use https",
                    server,
                )


def _no_reload() -> None:
    log.warning("SIGHUP: hbc has no reload; restart it to use a new config")


def machine_stops() -> bool:
    """Whether the whole machine goes down, as far as its init tells. Takes a second at the most."""
    import subprocess

    ask, answers = (
        (["systemctl", "is-system-running"], ("stopping",)) if _SYSTEMD.is_dir() else (["runlevel"], ("0", "6"))
    )
    try:
        told = subprocess.run(ask, capture_output=True, text=True, timeout=1.0, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.stdout.strip().rpartition(" ")[2] in answers
