"""``hbd explain``: why a metric of a host has the level that it has."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hbd.asking import ask, local_time, table
from hbd.config.leaves import Wrong, read_duration
from hbd.config.yaml_source import Scalar

_CLOCK = ("%H:%M", "%H:%M:%S")


def add_command(command: Callable[..., Any]) -> None:
    """command: makes a parser for a command."""
    made = command("explain", _explain, "say why a metric has its level: which threshold counts, and who was told")
    made.epilog = "Example: hbd explain web1 disk_monitor./.percent --at 03:15"
    made.add_argument("host", metavar="HOST")
    made.add_argument("metric", metavar="METRIC", help="as the alerts name it, such as cpu_monitor.cpu_percent")
    made.add_argument(
        "--at",
        metavar="TIME",
        type=_time,
        help="as it was then: 03:15, '2026-11-21 03:15', now-2h, or Unix seconds; now unless you say so",
    )
    made.add_argument("--json", action="store_true", help="as one JSON document, with all that is known")


def _time(text: str) -> float:
    """Unix seconds. A time of day is the last one that was, in the time zone of this machine."""
    ago = text.removeprefix("now").removeprefix("-").strip() if text.startswith("now") else text
    now = datetime.now()  # noqa: DTZ005  # what people write has no zone
    try:
        at = datetime.fromisoformat(text) if "-" in ago else None
        for form in _CLOCK if at is None else ():
            try:
                at = datetime.combine(now, datetime.strptime(text, form).time())  # noqa: DTZ007
            except ValueError:
                continue
            at = at if at <= now else at - timedelta(days=1)
            break
        if at is not None:
            return at.timestamp()
        seconds = 0.0 if text == "now" else read_duration(Scalar(0, ago))
    except (ValueError, OverflowError, Wrong):
        raise argparse.ArgumentTypeError(
            "a time such as 03:15, '2026-11-21 03:15', now-2h or 1763694900 is wanted"
        ) from None
    return seconds if text.replace(".", "").isdigit() else time.time() - seconds


def _explain(options: argparse.Namespace) -> int:
    found = ask(options, "explain", host=options.host, metric=options.metric, at=options.at)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print("\n".join(found["text"]))
    if found["rules"]:
        rows = [("THRESHOLD", "CONFIG", "WARNING", "CRITICAL", "")]
        rows += [
            (
                rule["pattern"],
                rule["config"],
                _limit(rule["operator"], rule["warning"]),
                _limit(rule["operator"], rule["critical"]),
                rule["why"],
            )
            for rule in found["rules"]
        ]
        print(f"\n{table(rows)}")
    if found["deliveries"]:
        rows = [("TIME", "CHANNEL", "OUTCOME", "MESSAGE", "DETAIL")]
        rows += [
            (local_time(entry["time"]), entry["channel"], entry["outcome"], entry["title"], entry["detail"])
            for entry in found["deliveries"]
        ]
        print(f"\n{table(rows)}")
    if found["notices"] is None:
        print("\nNo daemon is running here: who is to be told next is not known.")
    return 0


def _limit(operator: str, limit: float | None) -> str:
    return "-" if limit is None else f"{operator} {limit:g}"
