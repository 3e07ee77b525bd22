"""How stored samples are read: what is damaged is told in the log and passed over."""

from __future__ import annotations

import logging

import msgspec

from hbd import history
from hbd.model import Data, Sample
from hbd.tables import Plain

log = logging.getLogger(__name__)


class _StoredSample(msgspec.Struct):
    plugin: str
    time: float
    data: Data


_decode_body = msgspec.json.Decoder(list[_StoredSample]).decode


def read_report(shift: float, body: bytes) -> list[Sample]:
    """The samples of one report as it came; none when it is damaged. shift: seconds to add to its times."""
    try:
        return [Sample(sample.plugin, sample.time + shift, sample.data) for sample in _decode_body(body)]
    except (msgspec.MsgspecError, RecursionError, TypeError) as error:
        log.error("a stored report cannot be read and is passed over: %s", error)
        return []


def read_chunk(plugin: str, data: bytes) -> list[Sample]:
    """The samples of one chunk; none when it is damaged."""
    try:
        return [Sample(plugin, time, values) for time, values in history.decode(data)]
    except ValueError as error:
        log.error("a chunk of %s cannot be read and is passed over: %s", plugin, error)
        return []


def read_table(plugin: str, data: bytes) -> history.Table:
    """The same as columns."""
    try:
        return history.read(data)
    except ValueError as error:
        log.error("a chunk of %s cannot be read and is passed over: %s", plugin, error)
        return history.Table([], Plain([]))


def as_table(samples: list[Sample]) -> history.Table:
    """Samples of one plugin as columns, in the order of time; none when any cannot be in such."""
    try:
        return history.table([(sample.time, sample.data) for sample in sorted(samples, key=lambda sample: sample.time)])
    except ValueError as error:
        log.error("samples of %s are passed over: %s", samples[0].plugin, error)
        return history.Table([], Plain([]))
