"""What a plugin is. One file holds one plugin; ``hbc/plugins/__init__.py`` lists them."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

Data = dict[str, Any]

MIB = 1 << 20
GIB = 1 << 30


class Metric(NamedTuple):
    """Declares one metric beside the code that reads it.

    name: as in the data; ``*`` stands for any key of a nested metric (``*.percent``). unit: ``percent``, ``MB``,
    ``GB``, ``bytes``, ``bytes/s``, ``Mbit/s``, ``seconds``, ``ms``, ``celsius``, ``MHz``, ``count``, ``1/s``, ``text``,
    ``yes/no``, ``list`` or "". MB and GB are 2^20 and 2^30 bytes. help: one sentence.
    """

    name: str
    unit: str
    help: str


class Unavailable(Exception):
    """This machine has nothing here to measure (no sensors, say). Not a failure; says why in words."""


@dataclass(frozen=True)
class Machine:
    """What a plugin looks at; a test gives another one than the machine it runs on.

    linux: read ``proc`` and ``sys``; otherwise psutil is asked. clock: seconds that never step, for rates.
    facts: what the rest of the agent tells about itself, shown by ``agent_monitor``.
    shared: what several plugins use, each under a name of its own.
    """

    linux: bool = sys.platform.startswith("linux")
    proc: str = "/proc"
    sys: str = "/sys"
    etc: str = "/etc"
    clock: Callable[[], float] = time.monotonic
    facts: Mapping[str, Any] = field(default_factory=dict)
    shared: dict[str, object] = field(default_factory=dict, repr=False, compare=False)


HERE = Machine()


class Plugin:
    """Base of every plugin.

    A plugin is built once with its section of the agent's config (without ``type``, ``enabled``, ``interval`` and
    ``timeout``) and then asked for data every ``interval`` seconds, always from one thread at a time but not always
    the same thread. ``collect`` may block; when it takes longer than ``timeout`` the run is given up, the plugin is
    not asked again before that run has come back, and the rest of the agent goes on.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for ``hbc plugins``
    metrics: ClassVar[tuple[Metric, ...]] = ()
    interval: ClassVar[float | None] = None  # seconds, default; None: as often as the agent reports
    timeout: ClassVar[float] = 5.0  # seconds, default
    overtime: ClassVar[float] = 0.0  # seconds on top, for a plugin that keeps its timeout itself and tidies up then
    options: ClassVar[Mapping[str, str]] = {}  # option name → one-line help; others are refused
    standard: ClassVar[bool] = True  # runs without being named in the config
    named: ClassVar[bool] = False  # not standard; runs under its own name once the config has a section for it
    has_rates: ClassVar[bool] = False  # its first sample lacks what needs two readings

    def __init__(self, options: Mapping[str, Any], machine: Machine = Machine()) -> None:
        """Raises ValueError naming the option when one cannot be used."""
        self.config = options
        self.machine = machine
        self.limit = self.timeout  # seconds, what the config gave in the end

    def collect(self) -> Data:
        """Measure once. Raises Unavailable when there is nothing to measure, anything else is a failure.

        An empty answer makes no sample: a plugin that only has rates has none at its first reading.
        """
        raise NotImplementedError


def read(path: str) -> bytes:
    """A file of /proc or /sys, whole. Raises OSError. A third of the cost of ``open(path).read()``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    finally:
        os.close(descriptor)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_text(path: str) -> str | None:
    """The one line that a small file of /sys holds, or None when it cannot be read."""
    try:
        return read(path).decode("utf-8", "replace").strip()
    except OSError:
        return None


def read_int(path: str) -> int | None:
    """The number that a small file of /sys holds, or None when there is none."""
    try:
        return int(read(path))
    except (OSError, ValueError):
        return None


def psutil_module() -> ModuleType:
    """psutil, imported when first needed: the agent runs on Linux without it. Raises Unavailable."""
    try:
        return importlib.import_module("psutil")
    except ImportError:
        raise Unavailable("psutil is not installed, and this is not Linux") from None
