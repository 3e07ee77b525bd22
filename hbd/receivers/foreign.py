"""Reports of agents that are not ours: they come over HTTP, and number nothing."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence

import msgspec

from hbd.hosts import Host
from hbd.model import Moment, Report, Sample
from hbd.pipeline import Pipeline, Source


class ForeignReports:
    """The way into the pipeline for all receivers but our own agent's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._run_id = secrets.token_hex(8)
        self._sent: Counter[int] = Counter()

    async def take(
        self,
        host: Host,
        samples: Sequence[Sample],
        now: Moment,
        *,
        source: Source,
        interval: float | None = None,
        alive: bool = True,
    ) -> None:
        """Take a report; it is on disk when this returns. interval: seconds until the next one is to be expected.
        alive: whether it shows that the host lives.

        Raises InvalidInput when it can never be stored, StorageError when it cannot be now, NotFound when the host is
        gone.
        """
        self._sent[host.id] += 1
        await self._pipeline.accept(
            Report(
                host_id=host.id,
                run_id=self._run_id,
                seq=self._sent[host.id],
                samples=tuple(samples),
                body=msgspec.json.encode(samples),
                interval=max(host.interval, host.min_report_interval) if host.interval else interval,
                family=source.family,
                address=source.address,
                alive=alive,
            ),
            now,
        )
