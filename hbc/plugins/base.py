"""What a plugin is. One file holds one plugin; ``hbc/plugins/__init__.py`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

Data = dict[str, Any]


class Metric(NamedTuple):
    """Declares one metric beside the code that reads it.

    name: as in the data; ``*`` stands for any key of a nested metric (``*.percent``). unit: ``percent``, ``MB``,
    ``GB``, ``bytes``, ``bytes/s``, ``seconds``, ``celsius``, ``MHz``, ``count``, ``1/s``, ``text`` or "".
    help: one sentence.
    """

    name: str
    unit: str
    help: str


class Unavailable(Exception):
    """This machine has nothing here to measure (no sensors, no swap, ...). Not a failure; says why in words."""


class Plugin:
    """Base of every plugin.

    A plugin is built once with its section of the agent's config (without ``enabled``, ``interval``, ``timeout``) and
    then asked for data every ``interval`` seconds, always from one thread at a time but not always the same thread.
    ``collect`` may block; when it takes longer than ``timeout`` the run is given up, the plugin is not asked again
    before that run has come back, and the rest of the agent goes on.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for ``hbc plugins``
    metrics: ClassVar[tuple[Metric, ...]]
    interval: ClassVar[float] = 10.0  # seconds, default
    timeout: ClassVar[float] = 5.0  # seconds, default
    options: ClassVar[Mapping[str, str]] = {}  # option name → one-line help; others are refused

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError naming the option when one cannot be used."""
        self.config = options

    def collect(self) -> Data:
        """Measure once. Raises Unavailable when there is nothing to measure, anything else is a failure."""
        raise NotImplementedError
