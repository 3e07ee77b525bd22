"""The words of the live feed as WebSocket frames. Built once, they are the same bytes for every subscriber."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from hbd.alerts import AlertEvent
from hbd.hosts import Host
from hbd.model import Message, Sample
from hbd.web import schemas
from hbd.web.hostview import HostViews

TEXT = 0x81  # one whole text message, not compressed; what a server sends is not masked
CHUNK_BYTES = 64 * 1024  # written at once; a batch is cut here too


def text_frame(payload: bytes) -> bytes:
    """One text message as it goes over the wire (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", TEXT, size) + payload
    if size < 65536:
        return struct.pack("!BBH", TEXT, 126, size) + payload
    return struct.pack("!BBQ", TEXT, 127, size) + payload


def error_frame(text: str) -> bytes:
    """For one subscriber, about what it sent."""
    return text_frame(msgspec.json.encode({"type": "error", "error": text}))


def batch_frame(words: Sequence[bytes]) -> bytes:
    return text_frame(b'{"type":"batch","data":[' + b",".join(words) + b"]}")


def chunks(words: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut a list of words into runs of about CHUNK_BYTES."""
    run: list[bytes] = []
    size = 0
    for word in words:
        if run and size + len(word) > CHUNK_BYTES:
            yield run
            run, size = [], 0
        run.append(word)
        size += len(word) + 1
    if run:
        yield run


class WebSocketFrames:
    """What ``hbd.feed.Frames`` asks for."""

    def __init__(self, views: HostViews) -> None:
        self._views = views
        self._encode = msgspec.json.Encoder().encode

    def host(self, host: Host) -> bytes:
        return b'{"type":"host","data":' + self._views.fragment(host) + b"}"

    def plugin(self, host: Host, sample: Sample) -> bytes:
        data = schemas.FeedPluginData(host.name, sample.plugin, sample.data, sample.time)
        return self._encode(schemas.FeedPlugin(data))

    def message(self, message: Message) -> bytes:
        return self._encode(schemas.FeedMessage(schemas.JournalMessage(message.time, message.host, message.msg)))

    def alert(self, host: Host, event: AlertEvent) -> bytes:
        data = schemas.FeedAlertData(
            hostname=host.name,
            metric_path=event.path,
            level=event.after,
            since=event.at,
            last_value=event.value,
            reason=event.reason,
            flapping=event.flapping in ("begins", "goes on"),
        )
        return self._encode(schemas.FeedAlert(data))

    def gone(self, host_id: int) -> bytes:
        return self._encode(schemas.FeedGone(schemas.FeedGoneData(host_id)))

    def forget(self, host_id: int) -> None:
        self._views.forget(host_id)

    def pack(self, words: Sequence[bytes], batch: bool) -> list[bytes]:
        if batch:
            return [batch_frame(run) for run in chunks(words)]
        return [b"".join(map(text_frame, run)) for run in chunks(words)]
