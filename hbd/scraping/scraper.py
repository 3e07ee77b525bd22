"""Asks exporters for their metrics, again and again, and takes them in as reports of their hosts.

Only an answer is a sign of life. A host whose exporters do not answer becomes overdue and then down like any other that
is silent; why it is silent is in the journal, the log and the host's report log.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

import aiohttp

from hbc.wire import MAX_SAMPLE_BYTES
from hbd import __version__
from hbd.config import Config
from hbd.config.structs import ScrapeTarget
from hbd.errors import HbdError
from hbd.hosts import Host, Hosts
from hbd.model import Moment, Sample
from hbd.pipeline import Pipeline, Source
from hbd.receivers.doors import source_of
from hbd.receivers.foreign import ForeignReports
from hbd.receivers.rates import Rates
from hbd.receivers.sound import sound
from hbd.report_log import ReportLog
from hbd.scraping import collectd, node_exporter, others
from hbd.scraping.exposition import parse
from hbd.stats import Stats

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how soon a changed config counts
SPREAD_SECONDS = 5.0  # in which the first scrapes after a start are made
PRIME_SECONDS = 3.0  # between the reading that the first rates are made from and the first scrape
MAX_BYTES = 8 << 20  # of one answer
AT_ONCE = 8  # scrapes under way
CHUNK_BYTES = 64 << 10
LONGEST_ERROR = 200  # characters
TEXT_FORMAT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"

_Address = tuple[Any, ...]
_QUESTION = re.compile(r"\?\S+")


class ScrapeFailed(Exception):
    """An exporter gave nothing that can be used. Says why, in words."""


class Found(NamedTuple):
    """What an exporter said. series, left_out, skipped: how many it had, had no room here, could not be read."""

    samples: list[Sample]
    series: int
    left_out: int
    skipped: int
    problems: list[str]


class Outcome(NamedTuple):
    """What became of asking an exporter. at: when, Unix seconds. seconds: that it took. error: why nothing was taken,
    "" when something was. unreadable: lines; problems: why, of the first."""

    at: float
    seconds: float
    error: str = ""
    series: int = 0
    left_out: int = 0
    unreadable: int = 0
    problems: tuple[str, ...] = ()


class Scraper:
    """config is replaced at a reload."""

    def __init__(
        self,
        config: Config,
        hosts: Hosts,
        pipeline: Pipeline,
        report_log: ReportLog,
        stats: Stats,
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        self.config = config
        self._hosts = hosts
        self._pipeline = pipeline
        self._reports = ForeignReports(pipeline)
        self._log = report_log
        self._stats = stats
        self._clock = clock
        self._following: dict[ScrapeTarget, tuple[Exporter, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        stats.describe("scrapes_total", "Exporters asked for their metrics, by outcome.")
        stats.gauge("scrape_targets", "Exporters that are asked.", lambda: len(self._following))

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self._follow(self.config.scrape_targets)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._follow(())

    @property
    def exporters(self) -> list[Exporter]:
        """Those that are asked now."""
        return [exporter for exporter, _ in self._following.values()]

    def _follow(self, targets: tuple[ScrapeTarget, ...]) -> None:
        for gone in self._following.keys() - set(targets):
            _, asking = self._following.pop(gone)
            asking.cancel()
        for target in targets:
            if target not in self._following:
                exporter = Exporter(target)
                self._following[target] = exporter, asyncio.create_task(self._ask_again_and_again(exporter))

    async def _ask_again_and_again(self, exporter: Exporter) -> None:
        target = exporter.target
        due = time.monotonic() + _share(target) * min(SPREAD_SECONDS, target.settings.interval)
        await asyncio.sleep(due - time.monotonic())
        await self._prime(exporter)
        due = time.monotonic() + min(PRIME_SECONDS, target.settings.interval)
        while True:
            await asyncio.sleep(due - time.monotonic())
            try:
                await self.scrape(exporter)
            except Exception:
                log.exception("scraping %s failed in an unexpected way", exporter.shown)
                now = self._clock().wall
                exporter.last = Outcome(now, 0.0, "it failed in an unexpected way; the log of hbd says how")
                exporter.failing_since = exporter.failing_since or now
            due += target.settings.interval * max(1, -((due - time.monotonic()) // target.settings.interval))

    async def _prime(self, exporter: Exporter) -> None:
        """Take the first of the two readings that rates need. A sample without them would end alerts about them."""
        if self._host(exporter) is None:
            return
        try:
            async with self._slots:
                text, _ = await exporter.fetch()
                limit = self.config.limits.max_metrics_per_report
                await asyncio.to_thread(exporter.read, text, self._clock(), limit)
        except ScrapeFailed:
            pass  # the scrape that follows says so
        except Exception:
            log.exception("scraping %s failed in an unexpected way", exporter.shown)

    def _host(self, exporter: Exporter) -> Host | None:
        """The host of an exporter, if anything is taken of it."""
        host = self._hosts.get(exporter.target.host)
        return host if host is not None and host.enabled else None

    async def scrape(self, exporter: Exporter) -> None:
        """Ask once."""
        target = exporter.target
        host = self._host(exporter)
        if host is None:
            return
        limit = self.config.limits.max_metrics_per_report
        try:
            async with self._slots:
                asked, began = self._clock().wall, time.monotonic()
                text, source = await exporter.fetch()
                now = self._clock()
                found = await asyncio.to_thread(exporter.read, text, now, limit)
            await self._reports.take(host, found.samples, now, source=source, interval=target.settings.interval)
        except (ScrapeFailed, HbdError) as failure:
            exporter.last = Outcome(asked, time.monotonic() - began, str(failure))
            self._failed(exporter, host, str(failure))
            return
        exporter.last = Outcome(
            asked,
            time.monotonic() - began,
            series=found.series,
            left_out=found.left_out,
            unreadable=found.skipped,
            problems=tuple(found.problems),
        )
        self._stats.count("scrapes_total", outcome="taken")
        if exporter.failing:
            self._say(exporter, host, f"scraping {exporter.shown} works again")
        exporter.failing_since = None
        self._tell_problems(exporter, found)
        answer = {"series": found.series, "left_out": found.left_out, "unreadable": found.skipped}
        self._note(exporter, host, answer | ({"problems": found.problems} if found.problems else {}))

    def _failed(self, exporter: Exporter, host: Host, reason: str) -> None:
        self._stats.count("scrapes_total", outcome="failed")
        if not exporter.failing:
            self._say(exporter, host, f"scraping {exporter.shown} fails: {reason}")
            exporter.failing_since = self._clock().wall
        self._note(exporter, host, {"error": reason})

    def _say(self, exporter: Exporter, host: Host, text: str) -> None:
        log.log(logging.INFO if exporter.failing else logging.WARNING, "%s: %s", host.name, text)
        self._pipeline.note(text, self._clock(), host)

    def _tell_problems(self, exporter: Exporter, found: Found) -> None:
        told = "; ".join(found.problems)
        if found.left_out:
            told = "; ".join(filter(None, (told, "it has more series than a report may have metrics")))
        if told and not exporter.told:
            log.warning("%s: some of it is not taken: %s", exporter.shown, told)
        exporter.told = bool(told)

    def _note(self, exporter: Exporter, host: Host, answer: Mapping[str, Any]) -> None:
        request = {"url": exporter.shown, "job": exporter.target.job}
        self._log.note(host, "prometheus", self._clock().wall, request=request, status=exporter.status, answer=answer)


class Exporter:
    """One exporter. status: of its last answer, 0 when there was none. last: what came of asking it; None: it was
    not asked yet. failing_since: Unix seconds, while it does. told: whether it was said what is not taken.

    shown: its URL for people, without the question in it, which may hold a secret.
    """

    def __init__(self, target: ScrapeTarget) -> None:
        self.target = target
        self.shown = target.url.partition("?")[0]
        self.status = 0
        self.last: Outcome | None = None
        self.failing_since: float | None = None
        self.told = False
        self._rates = Rates(digits=6)
        self._address: _Address = ("",)

    @property
    def failing(self) -> bool:
        return self.failing_since is not None

    async def fetch(self) -> tuple[str, Source]:
        """What it answers, and from where. Raises ScrapeFailed."""
        self.status = 0
        try:
            return await self._answer()
        except TimeoutError:
            raise ScrapeFailed(f"no answer within {self.target.settings.timeout:g} s") from None
        except aiohttp.ClientResponseError as error:  # its text ends with the whole URL
            raise ScrapeFailed(_tellable(f"it answers no HTTP: {error.message}")) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ScrapeFailed(_tellable(f"{error}") or type(error).__name__) from None

    async def _answer(self) -> tuple[str, Source]:
        target, settings = self.target, self.target.settings
        over_tls = await asyncio.to_thread(self._trust) if target.url.startswith("https:") else True
        # One address after another, so that the last one tried is the one that answers.
        connector = aiohttp.TCPConnector(
            ssl=over_tls, force_close=True, happy_eyeballs_delay=None, socket_factory=self._socket
        )
        headers = {"Accept": TEXT_FORMAT, "Accept-Encoding": "identity", "User-Agent": f"hbd/{__version__}"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.reveal()}"
        elif settings.username is not None:
            password = settings.password.reveal() if settings.password is not None else ""
            headers["Authorization"] = "Basic " + b64encode(f"{settings.username}:{password}".encode()).decode()
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=settings.timeout),
                auto_decompress=False,  # a small answer must not become a large one
            ) as session,
            session.get(target.url, headers=headers, allow_redirects=False) as response,
        ):
            self.status = response.status
            if response.status != 200:
                raise ScrapeFailed(f"it answers {response.status} {response.reason or ''}".rstrip())
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ScrapeFailed("it answers compressed, which was not asked for")
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ScrapeFailed(f"it answers more than {MAX_BYTES >> 20} MiB")
        return body.decode("utf-8", "replace"), source_of(str(self._address[0]))

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.target.settings.ca_file)

    def _socket(self, about: tuple[Any, Any, int, str, _Address]) -> socket.socket:
        family, kind, protocol, _, self._address = about
        return socket.socket(family, kind, protocol)

    def read(self, text: str, now: Moment, most_metrics: int) -> Found:
        """Samples of an answer; called for one at a time, in any thread. Raises ScrapeFailed."""
        exposition = parse(text)
        if not exposition.series:
            raise ScrapeFailed("; ".join(exposition.problems[:1]) or "it answers no metrics")
        families = node_exporter.Families(exposition.series)
        rates = partial(self._rates.of, 0, at=now.mono)
        plugins = node_exporter.translate(families, rates) or collectd.translate(families, rates)
        known = sum(
            len(value) if isinstance(value, dict) else 1 for data in plugins.values() for value in data.values()
        )
        rest = others.gather(
            exposition.series,
            families.used,
            exposition.cumulative,
            rates,
            most_metrics=most_metrics - known,
            most_bytes=MAX_SAMPLE_BYTES,
        )
        if rest.data:
            plugins[self.target.job] = rest.data
        samples = [Sample(plugin, now.wall, sound(data)) for plugin, data in plugins.items()]
        return Found(samples, len(exposition.series), rest.left_out, exposition.skipped, exposition.problems)


def _tellable(text: str) -> str:
    """What may be told of an error: no question of a URL, which may hold a secret, and the first line alone, as what
    follows is a piece of an answer, which may repeat the question."""
    return _QUESTION.sub("?…", text.partition("\n")[0])[:LONGEST_ERROR].rstrip(": ")


def _share(target: ScrapeTarget) -> float:
    """A place between 0 and 1 that a target keeps."""
    return crc32(f"{target.host} {target.url}".encode()) / (1 << 32)
