"""What a log that is followed gives: lines, and words about what is not there."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

LINE_BYTES = 64 << 10  # of one line that are shown
GATHERED_BYTES = 256 << 10  # what is more than that at once is skipped …
SHOWN_BYTES = 64 << 10  # … but for the newest
TICK_SECONDS = 0.25  # how often one looks for more

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}


class Line(NamedTuple):
    """position: where to go on behind it; "" when that is not known."""

    position: str
    text: str


class Skipped(NamedTuple):
    """Something came too fast to be shown. lines: None when there was too much even to count them."""

    position: str
    lines: int | None
    bytes: int


class Notice(NamedTuple):
    """Something happened to the log."""

    what: Literal["rotated", "truncated", "deleted", "reappeared"]
    text: str


Event = Line | Skipped | Notice


class Tail(Protocol):
    """A log that is followed. It blocks, so it is for a thread."""

    def poll(self, now: float) -> list[Event] | None:
        """What came since the last time; None: nothing more will. now: seconds, never put back. Raises Refusal."""

    def close(self) -> None: ...


def shown(raw: bytes, cut: int = 0) -> str:
    """A line as text without control characters, whatever it is made of. cut: bytes that were left out at its end."""
    text = raw.rstrip(b"\r").decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = text.translate(_CONTROLS)
    return f"{text} … [{cut} bytes more]" if cut else text
