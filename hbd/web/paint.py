"""Values as people read them: numbers with units, states with shapes, small charts as SVG paths. Pure.

``static/js/format.js`` says the same in the browser; a browser test holds the two together.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import NamedTuple

from hbd.model import Family, Level, State
from hbd.web import schemas

MARKS = {State.UP: "●", State.OVERDUE: "▲", State.DOWN: "■", State.UNKNOWN: "?"}
WORDS = {State.UP: "up", State.OVERDUE: "overdue", State.DOWN: "down", State.UNKNOWN: "unknown"}
LEVEL_MARKS = {Level.CRITICAL: "■", Level.WARNING: "▲", Level.UNKNOWN: "?", Level.OK: "●"}
SEVERITY = {State.DOWN: 0, State.OVERDUE: 1, State.UNKNOWN: 2, State.UP: 3}
NOTHING = "–"
HIGH_PERCENT = 90.0
GAP = 3.0
MOMENTS = ("time", "timestamp")

# Strip: one bar of 3 in a cell of 4, in a box 10 high. Height tells the states apart without colour.
STRIP_BARS = {"u": ("u", 0, 10), "o": ("o", 3, 7), "d": ("d", 6, 4), "-": ("n", 9, 1)}
STRIP_WORDS = {"u": "up", "o": "overdue", "d": "down", "-": "not known"}

SPELLING = (
    *("CPU", "GPU", "RAM", "RSS", "VMS", "RTT", "OS", "PID", "UID", "ID", "OK"),
    *("IP", "IPv4", "IPv6", "TCP", "UDP", "I/O"),
)
ACRONYMS = {word.lower(): word for word in SPELLING} | {"io": "I/O", "iowait": "I/O wait", "fstype": "type"}

# How the reason of a host's state begins when somebody wanted it to be silent.
FAREWELLS = ("agent stopped on purpose", "host was shut down")


# Numbers


def whole_percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} %"


def latency(ms: float) -> str:
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def scaled(value: float, unit: str, base: int = 1000) -> str:
    """``1234567, "B"`` → ``1.2 MB``. base 1024 says KiB, MiB ..."""
    prefixes = ("", "k", "M", "G", "T", "P") if base == 1000 else ("", "Ki", "Mi", "Gi", "Ti", "Pi")
    size, index = abs(value), 0
    while size >= base * 0.9995 and index < len(prefixes) - 1:
        size, index = size / base, index + 1
    digits = 1 if index and size < 9.95 else 0
    return f"{'-' if value < 0 else ''}{size:.{digits}f} {prefixes[index]}{unit}"


def short_span(seconds: float) -> str:
    """``95`` → ``1 min``: one unit, rounded down."""
    if seconds < 60:
        return f"{max(0, int(seconds))} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 172800 else f"{int(seconds // 86400)} d"


def long_span(seconds: float) -> str:
    """``93784`` → ``1 d 2 h``: two units; below a minute with digits that matter."""
    if seconds < 0.0005:
        return "0 s" if seconds <= 0 else f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def plain(value: float) -> str:
    """A number without a unit: grouped when large, at most four digits that matter when small."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 1000 else f"{value:.4g}"


def pretty(value: object) -> str:
    """JSON as people read it; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def word(host: schemas.Host) -> str:
    """The state of a host in a word; ``stopped`` when it is silent because somebody wanted that."""
    silent = host.state in (State.OVERDUE, State.DOWN)
    return "stopped" if silent and host.reason.startswith(FAREWELLS) else WORDS[host.state]


# Metrics


class Reading(NamedTuple):
    """A value and its unit as text, apart so that the unit may be set smaller."""

    value: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.unit}" if self.unit else self.value


def _split(text: str) -> Reading:
    value, _, unit = text.rpartition(" ")
    return Reading(value, unit) if value and " " not in value else Reading(text)


# The end of a metric's name says its unit; the first that fits counts.
UNITS: tuple[tuple[str, Callable[[float], Reading]], ...] = (
    ("percent", lambda value: Reading(f"{value:.1f}", "%")),
    ("bytes_per_second", lambda value: _split(scaled(value, "B/s"))),
    ("bits_per_second", lambda value: _split(scaled(value, "bit/s"))),
    ("per_second", lambda value: Reading(f"{value:.1f}" if value < 100 else plain(round(value)), "/s")),
    ("bytes", lambda value: _split(scaled(value, "B", 1024))),
    ("kb", lambda value: Reading(plain(value), "kB")),
    ("mb", lambda value: Reading(plain(round(value, 1)), "MB")),
    ("gb", lambda value: Reading(plain(round(value, 2)), "GB")),
    ("tb", lambda value: Reading(plain(round(value, 2)), "TB")),
    ("pid", lambda value: Reading(f"{value:.0f}")),  # a name, not an amount: its digits stay together
    ("timestamp", lambda value: Reading(clock(value) if _is_recent(value) else plain(value))),
    ("time", lambda value: Reading(clock(value) if _is_recent(value) else plain(value))),
    ("seconds", lambda value: _split(long_span(value))),
    ("ms", lambda value: _split(latency(value))),
    ("celsius", lambda value: Reading(f"{value:.1f}", "°C")),
    ("mhz", lambda value: Reading(plain(round(value)), "MHz")),
    ("mbit", lambda value: Reading(plain(value), "Mbit/s")),
    ("rpm", lambda value: Reading(plain(round(value)), "rpm")),
    ("watts", lambda value: Reading(f"{value:.1f}", "W")),
    ("volts", lambda value: Reading(f"{value:.2f}", "V")),
)


UNIT_WORDS = {
    "percent": "%",
    "bytes_per_second": "bytes/s",
    "bits_per_second": "bit/s",
    "per_second": "/s",
    "bytes": "bytes",
    "kb": "kB",
    "mb": "MB",
    "gb": "GB",
    "tb": "TB",
    "seconds": "time",
    "ms": "ms",
    "celsius": "°C",
    "mhz": "MHz",
    "rpm": "rpm",
    "watts": "W",
    "volts": "V",
}


def _unit_of(metric: str) -> tuple[str, Callable[[float], Reading]] | None:
    name = metric.lower()
    for suffix, form in UNITS:
        if name == suffix or name.endswith("_" + suffix):
            return suffix, form
    return None


def unit_key(metric: str) -> str:
    """The end of a metric's name that says its unit: ``percent``; "" when none does."""
    unit = _unit_of(metric)
    return unit[0] if unit else ""


def _is_recent(seconds: float) -> bool:
    """Whether a number can be meant as Unix seconds: 2001 to 2096."""
    return 1e9 <= seconds < 4e9


def is_moment(metric: str, value: float) -> bool:
    """Whether a metric says when something was."""
    unit = _unit_of(metric)
    return unit is not None and unit[0] in MOMENTS and _is_recent(value)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def reading(metric: str, value: object) -> Reading:
    """A metric's value as people read it; the name's end says the unit."""
    if value is None:
        return Reading(NOTHING)
    if isinstance(value, bool):
        return Reading("yes" if value else "no")
    if isinstance(value, int | float):
        if not isfinite(value):
            return Reading(NOTHING)
        unit = _unit_of(metric)
        return unit[1](value) if unit else Reading(plain(value))
    return Reading(str(value))


def label(metric: str) -> str:
    """``cpu_percent`` → ``CPU``, ``load_1min`` → ``Load 1 min``: the name without the unit that the value shows."""
    unit = _unit_of(metric)
    name = metric
    if unit and unit[0] not in MOMENTS and len(metric) > len(unit[0]):
        name = metric[: -len(unit[0]) - 1]
    words = re.sub(r"(\d)(min|s|h|d)\b", r"\1 \2", name.replace("_", " ")).split()
    shown = [ACRONYMS.get(word.lower(), word) for word in words]
    if shown and shown[0] not in SPELLING:
        shown[0] = shown[0][:1].upper() + shown[0][1:]
    return " ".join(shown) or metric


def labels(metrics: Sequence[str], names: Mapping[str, str] | None = None) -> list[str]:
    """The labels of metrics that stand side by side; those that would read the same say their unit too.

    names: labels that are given, by metric.
    """
    given = names or {}
    found = [given.get(metric) or label(metric) for metric in metrics]
    counts = Counter(found)
    return [
        f"{text} {unit}" if counts[text] > 1 and (unit := unit_word(metric)) else text
        for metric, text in zip(metrics, found, strict=True)
    ]


def unit_word(metric: str) -> str:
    """``memory_mb`` → ``MB``; "" when the name says no unit, or one that depends on the value."""
    unit = _unit_of(metric)
    return UNIT_WORDS.get(unit[0], "") if unit else ""


def same_unit(metric: str, values: Sequence[float]) -> Callable[[float], str]:
    """How to write the values of a column: spans of less than two minutes all in one unit, chosen by the longest."""
    unit = _unit_of(metric)
    longest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    if unit is None or unit[0] != "seconds" or not 0 < longest < 120:
        return lambda value: str(reading(metric, value))
    factor, word = (1000.0, "ms") if longest < 10 else (1.0, "s")
    digits = max(0, 2 - max(0, len(str(int(longest * factor))) - 2))
    return lambda value: f"{value * factor:.{digits}f} {word}" if isfinite(value) else NOTHING


# Shapes


def strip_paths(strip: str) -> list[tuple[str, str]]:
    """(class, SVG path) for each state that occurs in a strip of letters u, o, d, -."""
    paths: dict[str, list[str]] = {}
    for index, letter in enumerate(strip):
        name, top, height = STRIP_BARS.get(letter, STRIP_BARS["-"])
        paths.setdefault(name, []).append(f"M{index * 4} {top}h3v{height}h-3z")
    return [(name, "".join(parts)) for name, parts in paths.items()]


def strip_words(strip: str) -> str:
    """``last 30 min: up 28, down 2`` for those who do not see the bars."""
    counts = [f"{word} {strip.count(letter)}" for letter, word in STRIP_WORDS.items() if letter in strip]
    return f"last {len(strip)} min: {', '.join(counts)}" if counts else "nothing known yet"


class Spark(NamedTuple):
    """A small curve in a box 100 wide and 30 high."""

    line: str
    area: str


def spark(points: Sequence[tuple[float, float]]) -> Spark | None:
    """points: (time, value), oldest first. None when there is no curve to draw.

    Where nothing came for more than GAP usual intervals the curve is broken.
    """
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    first, span = points[0][0], points[-1][0] - points[0][0]
    usual = median(later[0] - earlier[0] for earlier, later in pairwise(points))
    values = [value for _, value in points]
    low, height = min(values), max(values) - min(values)
    runs: list[list[str]] = []
    before = None
    for at, value in points:
        if before is None or at - before > GAP * usual:
            runs.append([])
        before = at
        x, y = (at - first) / span * 100, (1 - (value - low) / height) * 28 + 1 if height else 15.0
        runs[-1].append(f"{x:.2f} {y:.2f}")
    # A lone point is drawn too: a line without length has round ends.
    lines = ["M" + "L".join(run if len(run) > 1 else run * 2) for run in runs]
    areas = [f"{line}V30H{run[0].split()[0]}z" for line, run in zip(lines, runs, strict=True)]
    return Spark("".join(lines), "".join(areas))


# A host as a row of the live table


class Cell(NamedTuple):
    """text: what is written; fill: 0-100 of the meter, None without one; high: whether it deserves a look."""

    text: str
    fill: float | None = None
    high: bool = False
    title: str = ""


class Link(NamedTuple):
    """One address family of a host."""

    state: str
    mark: str
    text: str
    title: str


class Raised(NamedTuple):
    """How many alerts have a level that is not OK."""

    level: Level
    mark: str
    word: str
    alerts: int


class Row(NamedTuple):
    name: str
    tags: list[str]
    raised: list[Raised]
    state: str
    mark: str
    word: str
    reason: str
    ipv4: Link
    ipv6: Link
    cpu: Cell
    memory: Cell
    disk: Cell
    load: Cell
    received: str
    sent: str
    strip: list[tuple[str, str]]
    strip_words: str
    last_seen: float | None


def percent_cell(value: float | None, title: str = "") -> Cell:
    if value is None:
        return Cell(NOTHING)
    return Cell(whole_percent(value), min(100.0, max(0.0, value)), value >= HIGH_PERCENT, title)


def load_cell(load: float | None, cpus: int | None) -> Cell:
    """The meter is full when every processor has work for the whole minute."""
    if load is None:
        return Cell(NOTHING)
    if not cpus:
        return Cell(f"{load:.2f}")
    return Cell(f"{load:.2f}", min(100.0, load / cpus * 100), load >= cpus, f"{load:.2f} on {cpus} CPUs")


def link(host: schemas.Host, family: Family) -> Link:
    for connection in host.connections:
        if connection.family == family:
            state = connection.state
            quick = state is State.UP and connection.rtt_ms is not None
            text = latency(connection.rtt_ms or 0.0) if quick else WORDS[state]
            lost = f", {connection.lost} lost" if connection.lost else ""
            return Link(state, MARKS[state], text, f"{family} {connection.address}: {WORDS[state]}{lost}")
    return Link("", "", NOTHING, f"{family}: never seen")


def raised(counts: Iterable[schemas.AlertCounts]) -> list[Raised]:
    """The alerts of some hosts by level, the worst first; levels that none has are left out."""
    totals = Counter[Level]()
    for count in counts:
        totals[Level.CRITICAL] += count.critical
        totals[Level.WARNING] += count.warning
        totals[Level.UNKNOWN] += count.unknown
    return [Raised(level, LEVEL_MARKS[level], level.lower(), total) for level, total in totals.items() if total]


def row(host: schemas.Host) -> Row:
    numbers = host.summary
    return Row(
        name=host.name,
        tags=host.tags,
        raised=raised([host.alerts]),
        state=host.state,
        mark=MARKS[host.state],
        word=word(host),
        reason=host.reason,
        ipv4=link(host, Family.IPV4),
        ipv6=link(host, Family.IPV6),
        cpu=percent_cell(numbers.cpu_percent),
        memory=percent_cell(numbers.memory_percent),
        disk=percent_cell(numbers.disk_percent, numbers.disk_mount or ""),
        load=load_cell(numbers.load_1min, numbers.cpu_count),
        received=NOTHING if numbers.rx_bytes_per_second is None else scaled(numbers.rx_bytes_per_second, "B"),
        sent=NOTHING if numbers.tx_bytes_per_second is None else scaled(numbers.tx_bytes_per_second, "B"),
        strip=strip_paths(host.strip),
        strip_words=strip_words(host.strip),
        last_seen=host.last_seen,
    )
