"""The words hbd and hbc share: the frames of the agent link and the datagrams of heartbeats.

Only the standard library is used here, so that the agent runs where nothing can be compiled. The daemon decodes the
same frames with typed structs of its own (``hbd/receivers/agent_frames.py``); a contract test holds the two together.

The link is a WebSocket at ``LINK_PATH`` carrying JSON text frames, each an object with ``type``. Unknown fields and
unknown types are ignored on both sides, so that versions may differ by one either way.

agent → daemon: hello (first, once), proof, report, bye; offers, started, output, result, unopened.
daemon → agent: challenge, welcome or refused, ack, busy; watch; command, cancel, open.

Logs and files do not go over the link, where they would be in the way of reports: the daemon asks for them (open), and
the agent makes a connection of its own for each, at ``STREAM_PATH``.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import struct
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

PROTOCOL = 1
LINK_PATH = "/api/0/agent/link"
STREAM_PATH = "/api/0/agent/stream"
STREAM_HEADER, STREAM_TOKEN_HEADER = "Hbd-Stream", "Hbd-Stream-Token"  # of that request: id and token of Open
HEARTBEAT_PORT = 50003
HTTP_PORT = 50004
MAX_FRAME_BYTES = 1 << 20  # one report at the most; the daemon closes the link on a larger frame
MAX_SAMPLES_PER_REPORT = 256
MAX_SAMPLE_BYTES = 128 << 10  # of one sample's data as JSON; the daemon rejects a larger one
MAX_SEQ = 1 << 53  # of reports and heartbeats; what every JSON reader can count
MAX_WATCHED = 250  # processes of one host; what is told of them fits into one sample


class Hello(TypedDict):
    """The agent's first frame. time: its wall clock, Unix seconds. interval: seconds between reports.

    An agent that is enrolled names its key (``key_id`` in hex) and never sends it: the daemon proves first that it
    knows the key, in a challenge made with ``nonce`` (32 hex characters), then the agent does. ``key`` is the key
    itself, for agents that cannot do that; all three are left out by one that was never enrolled. boot_id changes when
    the machine boots, run_id when the agent starts. event tells why the agent starts: ``booted`` when the machine did
    not run it before.
    """

    type: Literal["hello"]
    protocol: int
    version: str
    name: str
    key: NotRequired[str]
    key_id: NotRequired[str]
    nonce: NotRequired[str]
    boot_id: str
    run_id: str
    time: float
    interval: float
    event: Literal["booted", "started", "reconnected"]
    capabilities: list[str]
    tags: list[str]


class Challenge(TypedDict):
    """The daemon's answer to a hello that names a key. nonce: its own. proof: see ``daemon_proof``."""

    type: Literal["challenge"]
    nonce: str
    proof: str


class Proof(TypedDict):
    """The agent's answer to that. proof: see ``agent_proof``."""

    type: Literal["proof"]
    proof: str


class Welcome(TypedDict):
    """The daemon's answer to a hello it takes. host: the name the daemon shows this agent under.

    interval: seconds between reports that the daemon's config wants for this host; left out: the agent's own.
    key: the agent's new key, given once, when the daemon has just enrolled it.
    watch: names of the processes to look after, as in ``Watch``; left out: none.
    heartbeat_port: where UDP heartbeats go, 0 when the daemon takes none. time: the daemon's wall clock.
    """

    type: Literal["welcome"]
    protocol: int
    version: str
    host: str
    time: float
    heartbeat_port: int
    interval: NotRequired[float]
    key: NotRequired[str]
    watch: NotRequired[list[str]]


class Refused(TypedDict):
    """The daemon will not talk; it closes the link. code: ``key`` (missing, wrong or revoked), ``enrollment``
    (closed), ``name`` (not a host name), ``protocol``, ``busy``. retry: seconds to wait before another try."""

    type: Literal["refused"]
    code: str
    reason: str
    retry: float


class WireSample(TypedDict):
    """time: the agent's wall clock when it was measured, Unix seconds. data: see ``hbd.model.Data``."""

    plugin: str
    time: float
    data: dict[str, Any]


class Report(TypedDict):
    """Samples of one round. time: the agent's wall clock when this frame is sent, not when it was measured, so that
    the daemon can correct for a clock that is off. run_id: of the run that measured, which for spooled reports is
    an earlier one. (run_id, seq) names the report for ever; seq counts from 1 within a run and is never reused."""

    type: Literal["report"]
    run_id: str
    seq: int
    time: float
    samples: list[WireSample]


class Rejected(TypedDict):
    """A sample that will never be taken; resending does not help."""

    seq: int
    plugin: str
    reason: str


class Ack(TypedDict):
    """Reports of one run that are on the daemon's disk. The agent forgets them; rejected ones it counts."""

    type: Literal["ack"]
    run_id: str
    seqs: list[int]
    rejected: NotRequired[list[Rejected]]


class Busy(TypedDict):
    """The daemon could not store these reports now (its disk is full, say). Keep them, send again after retry s."""

    type: Literal["busy"]
    run_id: str
    seqs: list[int]
    reason: str
    retry: float


class Bye(TypedDict):
    """The agent is being stopped on purpose: silence that follows is no failure."""

    type: Literal["bye"]
    reason: Literal["stopped", "shutdown"]


class Watch(TypedDict):
    """Look after the processes of these names and of no others, in the sample ``watched_processes`` of every round.
    Sent when that is not what the welcome said, or the frame before."""

    type: Literal["watch"]
    names: list[str]


# --------------------------------------------------------------------------------------------------- remote control


class OfferedCommand(TypedDict):
    """A kind of command that the host's config allows. risk: ``low``, ``medium`` or ``high``."""

    name: str
    risk: str
    title: NotRequired[str]


class OfferedRoot(TypedDict):
    path: str
    writable: bool


class Policy(TypedDict):
    """What the host's own config lets the daemon do; all empty: nothing. user: as whom the agent runs.

    programs, services: null means any, where the command is allowed at all. problem: why nothing is allowed
    although the config says more (others could write its file, say), "" as a rule. limits: by name, in the unit of
    their name.
    """

    commands: list[OfferedCommand]
    programs: list[str] | None
    services: list[str] | None
    log_units: list[str]
    log_paths: list[str]
    file_roots: list[OfferedRoot]
    limits: dict[str, float]
    user: str
    problem: str


class Offers(TypedDict):
    """The agent's first frame after every welcome. journal: names its record of commands; new when that was lost."""

    type: Literal["offers"]
    journal: str
    policy: Policy


class Command(TypedDict):
    """Run this, once: an id that the agent's journal has is never run again, it is answered with what became of it.

    issued, expires: the daemon's wall clock (compare ``Welcome.time``); after ``expires`` it is not started any more.
    time: what that clock says as this is sent; it may have been set since the welcome.
    """

    type: Literal["command"]
    id: str
    cmd: str
    params: dict[str, Any]
    issued: float
    expires: float
    time: NotRequired[float]


class Cancel(TypedDict):
    """Do not start that command, or end it with all that it has started."""

    type: Literal["cancel"]
    id: str
    by: str


class Started(TypedDict):
    """A command was taken and runs."""

    type: Literal["started"]
    id: str


class Output(TypedDict):
    """What a running command wrote, for those who watch; the result has it all again."""

    type: Literal["output"]
    id: str
    stream: Literal["stdout", "stderr"]
    text: str


class Result(TypedDict):
    """What became of a command. truncated: stdout or stderr was longer than is kept. reason: in words, when it did not
    end by itself. started, finished: the agent's wall clock."""

    type: Literal["result"]
    id: str
    cmd: str
    status: Literal["done", "failed", "timeout", "rejected"]
    exit_code: int | None
    stdout: str
    stderr: str
    truncated: bool
    reason: str
    started: float | None
    finished: float | None


class Open(TypedDict):
    """Make a connection to ``STREAM_PATH`` and show this token there, which is good once and for a short time.

    kind: ``logs``, ``download``, ``upload``, ``arrived`` (how much of an upload is there) or ``list``. What is said
    over the stream stands in ``hbc/talks.py`` and ``hbd/remote/streams.py``.
    """

    type: Literal["open"]
    id: str
    token: str
    kind: str
    params: dict[str, Any]


class Unopened(TypedDict):
    """That stream is not to be had. code: ``denied`` by the host's policy, ``missing``, ``busy``, too ``large``, in
    ``conflict`` with what is there, or ``failed`` for another reason."""

    type: Literal["unopened"]
    id: str
    code: Literal["denied", "missing", "busy", "large", "conflict", "failed"]
    reason: str


# ------------------------------------------------------------------------------------------------------- agent keys


def new_key() -> str:
    """A fresh agent key: 256 random bits as 64 hex characters."""
    return secrets.token_hex(32)


def key_hash(key: str) -> bytes:
    """SHA-256 of the key, 32 bytes: what the daemon stores, and what signs heartbeats on both sides."""
    return hashlib.sha256(key.encode()).digest()


def key_id(hashed: bytes) -> bytes:
    """8 bytes that name a key in a datagram without giving anything of it away. hashed: see ``key_hash``."""
    return hashlib.sha256(b"hbc key id\0" + hashed).digest()[:8]


def new_nonce() -> str:
    """16 random bytes in hex."""
    return secrets.token_hex(16)


def daemon_proof(hashed: bytes, agent_nonce: str, daemon_nonce: str) -> str:
    """What only somebody can say who knows the key (its hash, see ``key_hash``), to an agent that asked just now."""
    return hmac.new(hashed, f"hbd link: daemon {agent_nonce} {daemon_nonce}".encode(), "sha256").hexdigest()


def agent_proof(hashed: bytes, agent_nonce: str, daemon_nonce: str) -> str:
    """The same from the agent's side; neither can be made of the other."""
    return hmac.new(hashed, f"hbd link: agent {agent_nonce} {daemon_nonce}".encode(), "sha256").hexdigest()


# ------------------------------------------------------------------------------------------------------- heartbeats
#
# A heartbeat is 76 bytes, its echo 60, both in network byte order, each ending in HMAC-SHA256 (32 bytes) over all
# before it. rtt_us: microseconds of the round trip before this one, 0xFFFFFFFF when unknown. Each family counts its
# own seq, and names itself (4 or 6) under the MAC, so that a datagram caught on one path is a repeat on the other too.

_BEAT = struct.Struct("!4s8s8sQdIHBB")  # magic, key id, run id, seq, time, rtt_us, interval (1/10 s), kind, family
_ECHO = struct.Struct("!4s8sQd")  # magic, run id, seq, the beat's time
_BEAT_MAGIC = b"hbh1"
_ECHO_MAGIC = b"hbe1"
_MAC_BYTES = 32
_RTT_UNKNOWN = 0xFFFFFFFF
BEAT_BYTES = _BEAT.size + _MAC_BYTES
ECHO_BYTES = _ECHO.size + _MAC_BYTES
BEAT_KINDS = ("alive", "started", "booted", "stopped", "shutdown")


class Beat(NamedTuple):
    """One heartbeat, unpacked. time: the agent's wall clock; rtt, interval: seconds; rtt None when unknown.

    family: 4 or 6, the one the agent sent over; behind a translator the daemon may see the other.
    """

    run_id: str
    seq: int
    time: float
    rtt: float | None
    interval: float
    kind: str
    family: int


def pack_beat(hashed: bytes, beat: Beat) -> bytes:
    """The datagram of a heartbeat. run_id: 16 hex characters; interval: 0.1-6553.5 s, rounded to tenths."""
    rtt_us = _RTT_UNKNOWN if beat.rtt is None else min(int(beat.rtt * 1e6), _RTT_UNKNOWN - 1)
    interval = min(max(round(beat.interval * 10), 1), 0xFFFF)
    head = _BEAT.pack(
        _BEAT_MAGIC,
        key_id(hashed),
        bytes.fromhex(beat.run_id),
        beat.seq,
        beat.time,
        rtt_us,
        interval,
        BEAT_KINDS.index(beat.kind),
        beat.family,
    )
    return head + hmac.digest(hashed, head, "sha256")


def beat_key_id(datagram: bytes) -> bytes | None:
    """The key id a datagram claims, or None when it cannot be a heartbeat at all."""
    if len(datagram) != BEAT_BYTES or datagram[:4] != _BEAT_MAGIC:
        return None
    return datagram[4:12]


def unpack_beat(hashed: bytes, datagram: bytes) -> Beat | None:
    """The heartbeat in a datagram for which ``beat_key_id`` gave this key, or None when its MAC or a field is wrong."""
    head = datagram[: _BEAT.size]
    if not hmac.compare_digest(hmac.digest(hashed, head, "sha256"), datagram[_BEAT.size :]):
        return None
    _, _, run, seq, time, rtt_us, interval, kind, family = _BEAT.unpack(head)
    if kind >= len(BEAT_KINDS) or family not in (4, 6) or interval == 0 or not math.isfinite(time) or seq >= MAX_SEQ:
        return None
    rtt = None if rtt_us == _RTT_UNKNOWN else rtt_us / 1e6
    return Beat(run.hex(), seq, time, rtt, interval / 10, BEAT_KINDS[kind], family)


def pack_echo(hashed: bytes, beat: Beat) -> bytes:
    """The daemon's answer to a heartbeat; smaller than it, so that it amplifies nothing."""
    head = _ECHO.pack(_ECHO_MAGIC, bytes.fromhex(beat.run_id), beat.seq, beat.time)
    return head + hmac.digest(hashed, head, "sha256")


def unpack_echo(hashed: bytes, datagram: bytes) -> tuple[str, int, float] | None:
    """(run_id, seq, time) of the heartbeat that this datagram answers, or None when it is no true echo."""
    head = datagram[: _ECHO.size]
    if len(datagram) != ECHO_BYTES or head[:4] != _ECHO_MAGIC:
        return None
    if not hmac.compare_digest(hmac.digest(hashed, head, "sha256"), datagram[_ECHO.size :]):
        return None
    _, run, seq, time = _ECHO.unpack(head)
    return run.hex(), seq, time
