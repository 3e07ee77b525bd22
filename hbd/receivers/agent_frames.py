"""The frames of the agent link as the daemon reads them: typed, within limits, and saved where they can be.

The words themselves are in ``hbc/wire.py``; a contract test holds the two together. Nothing here waits or remembers.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from hbc import wire
from hbd.errors import InvalidInput
from hbd.remote.frames import Offers, Output, Result, Started, Unopened

CLOCK_TOLERANCE_SECONDS = 30.0  # an agent's clock that is further off is corrected for
OLDEST_SAMPLE_SECONDS = 30 * 86_400.0  # agents keep unsent reports for a week; what claims to be older is not
MAX_DIGITS = 300
MANY_METRICS_BYTES = 8_192  # a shorter body cannot hold enough metrics to be worth counting them
PLAUSIBLE_SECONDS = 20 * 366 * 86_400.0  # a clock that is further off says nothing at all

RunId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
PluginName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]
Text = Annotated[str, Meta(max_length=4096)]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
# Three levels of names are what any plugin needs (plugin.key.metric and one to spare); lists hold rows of a table.
Leaf = int | float | bool | None | Text
Level3 = dict[Key, Leaf | list[Leaf]]
Level2 = dict[Key, Leaf | Level3 | list[Leaf | Level3]]
Level1 = dict[Key, Leaf | Level2 | list[Leaf | Level2]]


class Hello(Struct, tag="hello"):
    protocol: int
    version: Annotated[str, Meta(max_length=64)]
    name: Annotated[str, Meta(max_length=1024)]
    boot_id: Annotated[str, Meta(max_length=64)]
    run_id: RunId
    time: float
    interval: Annotated[float, Meta(ge=0.1, le=86_400)]
    event: Literal["booted", "started", "reconnected"] = "started"
    key: Annotated[str, Meta(max_length=256)] | None = None
    key_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")] | None = None
    nonce: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None
    capabilities: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = []
    tags: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = []


class Proof(Struct, tag="proof"):
    proof: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Report(Struct, tag="report", gc=False):
    run_id: RunId
    seq: Annotated[int, Meta(ge=1, lt=1 << 53)]
    time: float
    samples: Raw


class Bye(Struct, tag="bye"):
    reason: Literal["stopped", "shutdown"] = "stopped"


class ReportHead(Struct):
    run_id: RunId
    seq: Annotated[int, Meta(ge=1, lt=1 << 53)]
    time: float


class WireSample(Struct, gc=False):
    plugin: PluginName
    time: float
    data: Level1


decode_frame = msgspec.json.Decoder(Hello | Proof | Report | Bye | Offers | Started | Output | Result | Unopened).decode
decode_samples = msgspec.json.Decoder(Annotated[list[WireSample], Meta(max_length=wire.MAX_SAMPLES_PER_REPORT)]).decode
encode = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.MsgspecError, RecursionError)
_RUN_ID = re.compile(r'"run_id"\s*:\s*"([0-9a-f]{16})"')
_SEQ = re.compile(r'"seq"\s*:\s*(\d{1,15})\b')


def offset_of(sent: float, received: float) -> float | None:
    """Seconds by which an agent's clock is behind ours, None when what it says is no time of day."""
    offset = received - sent
    return offset if abs(offset) < PLAUSIBLE_SECONDS or 0 <= sent < received else None


def shift_of(sent: float, received: float) -> float:
    """Seconds to add to an agent's times: none for a clock that is about right, else what it is off by."""
    offset = offset_of(sent, received)
    return offset if offset is not None and abs(offset) > CLOCK_TOLERANCE_SECONDS else 0.0


def count_metrics(data: object) -> int:
    """How many values there are in it."""
    if isinstance(data, dict):
        return sum(map(count_metrics, data.values()))
    if isinstance(data, list):
        return sum(map(count_metrics, data))
    return 1


def check_size(samples: list[WireSample], limit: int) -> None:
    """Raises InvalidInput when a report says more than one may; ``sift`` then finds what can be kept of it."""
    if sum(count_metrics(sample.data) for sample in samples) > limit:
        raise InvalidInput(f"more than {limit} metrics in one report", "samples")
    if any(len(encode(sample.data)) > wire.MAX_SAMPLE_BYTES for sample in samples):
        raise InvalidInput(f"more than {wire.MAX_SAMPLE_BYTES} bytes in one sample", "samples")


def sift(body: bytes, seq: int, limit: int) -> tuple[list[WireSample], list[wire.Rejected]]:
    """The good samples of a list that is not good as a whole, and why the others are not."""
    taken: list[WireSample] = []
    rejected: list[wire.Rejected] = []
    metrics = 0
    try:
        parts = _loose(body)
    except (ValueError, RecursionError) as error:
        return [], [wire.Rejected(seq=seq, plugin="", reason=f"samples: {error}")]
    if not isinstance(parts, list):
        return [], [wire.Rejected(seq=seq, plugin="", reason="samples: a list is needed")]
    for part in parts[: wire.MAX_SAMPLES_PER_REPORT]:
        name = part.get("plugin") if isinstance(part, dict) else None
        try:
            sample = msgspec.convert(_strict(part), WireSample)
            size = count_metrics(sample.data)
            if metrics + size > limit:
                raise ValueError(f"more than {limit} metrics in one report")
            if len(encode(sample.data)) > wire.MAX_SAMPLE_BYTES:
                raise ValueError(f"more than {wire.MAX_SAMPLE_BYTES} bytes in one sample")
        except (ValueError, RecursionError) as error:
            rejected.append(wire.Rejected(seq=seq, plugin=str(name)[:64], reason=str(error)[:500]))
        else:
            metrics += size
            taken.append(sample)
    if len(parts) > wire.MAX_SAMPLES_PER_REPORT:
        reason = f"only {wire.MAX_SAMPLES_PER_REPORT} of {len(parts)} samples are taken from one report"
        rejected.insert(0, wire.Rejected(seq=seq, plugin="", reason=reason))
    return taken, rejected


def _loose(text: str | bytes) -> Any:
    """JSON with the words that Python's reader knows beyond it; a number of absurd length is none (NaN)."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else math.nan)


def _strict(value: Any) -> Any:
    """value as JSON would carry it. Raises ValueError for what JSON has no word for: NaN, infinities, half letters."""
    return msgspec.json.decode(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


def salvage(text: str) -> Report | None:
    """The report in a frame that is no strict JSON (NaN in one value, say), None when it is none at all.

    One that cannot be read at all but for its number comes without samples: the agent must not send it for ever.
    """
    try:
        frame = _loose(text)
        if not isinstance(frame, dict) or frame.get("type") != "report":
            return None
        samples = json.dumps(frame.pop("samples", None)).encode()
        head = msgspec.convert(frame, ReportHead)
    except (ValueError, RecursionError):
        run_id, seq = _RUN_ID.search(text), _SEQ.search(text)
        if run_id is None or seq is None or '"report"' not in text or not 0 < int(seq[1]) < wire.MAX_SEQ:
            return None
        return Report(run_id=run_id[1], seq=int(seq[1]), time=math.nan, samples=Raw(b"null"))
    return Report(run_id=head.run_id, seq=head.seq, time=head.time, samples=Raw(samples))
