"""What the receivers of foreign reports share: whose key it is, whether it may report now, and the way in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from hbc.wire import MAX_SAMPLE_BYTES
from hbd.config.structs import Limits
from hbd.enrolment import Enrolment, LiveKey
from hbd.errors import Forbidden, StorageError, TooMany
from hbd.hosts import Host
from hbd.model import Data, Family, Moment, Sample
from hbd.pipeline import Pipeline, Source
from hbd.receivers.agent_frames import count_metrics, encode
from hbd.receivers.fields import Problems
from hbd.receivers.foreign import ForeignReports
from hbd.receivers.pace import Pace
from hbd.receivers.rates import Rates
from hbd.report_log import ReportLog

log = logging.getLogger(__name__)


class SwitchedOff(Forbidden):
    """Nothing of this host is taken."""


class TooEarly(TooMany):
    """The least time between two reports has not passed."""


class Doors:
    """log: what was sent and answered. rates: counters made into rates."""

    def __init__(
        self,
        enrolment: Enrolment,
        pipeline: Pipeline,
        report_log: ReportLog,
        clock: Callable[[], Moment] = Moment.now,
        limits: Callable[[], Limits] = Limits,
    ) -> None:
        """limits: as the config has them now."""
        self.clock = clock
        self.log = report_log
        self.rates = Rates()
        self._enrolment = enrolment
        self._pipeline = pipeline
        self._limits = limits
        self._reports = ForeignReports(pipeline)
        self._pace = Pace()

    async def whose(self, key: str, now: Moment) -> Host | None:
        """The host that a key belongs to; None when nobody has it."""
        found = await self.key(key, now)
        return found.host if found is not None else None

    async def key(self, key: str, now: Moment) -> LiveKey | None:
        """What is known of a key that an agent shows; None when nobody has it."""
        found = self._enrolment.live(key, now.wall)
        if found is None:
            return None
        try:
            await self._enrolment.prove(found, now.wall)
        except StorageError as error:  # it will be noted with a later report
            log.debug("that the key of %s is used was not noted: %s", found.host.name, error)
        return found if self.is_open_to(found) else None

    def is_open_to(self, key: LiveKey) -> bool:
        """Whether a key that was shown a while ago still works."""
        return self._enrolment.works(key, self.clock().wall)

    def admit(self, host: Host, now: Moment) -> None:
        """Raises SwitchedOff or TooEarly for a host that may not report now."""
        if not host.enabled:
            raise SwitchedOff("monitoring of this host is switched off")
        wait = self._pace.wait(host, now.mono)
        if wait > 0:
            raise TooEarly(f"reports of this host may come every {host.min_report_interval:g} s", wait)

    async def take(
        self,
        host: Host,
        samples: Sequence[Sample],
        now: Moment,
        *,
        source: Source,
        interval: float | None = None,
        alive: bool = True,
        problems: Problems | None = None,
        limited: bool = False,
    ) -> None:
        """Take what was admitted; it is on disk when this returns. interval: seconds until the next report.

        problems: hears of samples that are too large, which are left out; None: they cost the whole report. limited:
        whether the receiver itself sees to that none is. Raises what ``ForeignReports.take`` does, and InvalidFields.
        """
        if not limited:
            told = Problems() if problems is None else problems
            samples = within(samples, self._limits().max_metrics_per_report, told)
            if problems is None:
                told.check()
        interval = max(interval or 0.0, host.min_report_interval) or None  # who may not come earlier is not late
        self._pace.took(host, now.mono)
        try:
            await self._reports.take(host, samples, now, source=source, interval=interval, alive=alive)
        except StorageError:
            self._pace.forget(host.id)  # it may come again at once
            raise

    def interval_of(self, host: Host, silence: float) -> float:
        """Seconds between reports of a host as they were last expected; of a new one so many that it is down after
        ``silence`` seconds."""
        return self._pipeline.report_interval(host, silence)

    def forget(self, host: Host) -> None:
        """A host is gone."""
        self._pace.forget(host.id)
        self.rates.forget(host.id)


def within(samples: Sequence[Sample], most_metrics: int, problems: Problems) -> list[Sample]:
    """The samples of one report without those that are too large, or too many; those are told by their plugin."""
    kept, metrics = [], 0
    for sample in samples:
        more = count_metrics(sample.data)
        if len(encode(sample.data)) > MAX_SAMPLE_BYTES:
            problems.add(sample.plugin, f"more than {MAX_SAMPLE_BYTES} bytes in one sample")
        elif metrics + more > most_metrics:
            problems.add(sample.plugin, f"more than {most_metrics} metrics in one report")
        else:
            metrics += more
            kept.append(sample)
    return kept


def samples_of(plugins: Mapping[str, Data], time: float) -> list[Sample]:
    """Samples of what was measured at one moment (Unix seconds), without the plugins that have nothing to say."""
    return [Sample(name, time, data) for name, data in plugins.items() if data]


def source_of(address: str) -> Source:
    """Family and address of whoever calls from there; an IPv4 address that came in over IPv6 is what it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return Source(None, address or None)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return Source(Family.IPV6, str(parsed))
        parsed = parsed.ipv4_mapped
    return Source(Family.IPV4, str(parsed))
