"""From the ``plugins`` section of the agent's config to plugins that can be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbc.plugins import PLUGINS, custom
from hbc.plugins.base import Machine, Plugin
from hbc.plugins.settings import seconds

_COMMON = ("enabled", "interval", "timeout", "type")
SHORTEST_INTERVAL, LONGEST_INTERVAL = 1.0, 86400.0  # seconds


class _Wrong(Exception):
    """A section cannot be used. reasons: each ``option: reason``, or ``: reason`` for all of it."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


@dataclass
class Entry:
    """A plugin with what the config makes of it. name: what its samples are sent under.

    interval, timeout: seconds. follows: its interval is the agent's own and changes with it. apart: it is not built
    in, so nobody knows how long it takes, and it runs beside the others.
    """

    name: str
    plugin: Plugin
    interval: float
    timeout: float
    follows: bool
    enabled: bool = True
    apart: bool = False


def build(
    config: Mapping[str, Any],
    plugin_dirs: Iterable[str | Path] = (),
    default_interval: float = 10.0,
    facts: Mapping[str, Any] | None = None,
    machine: Machine | None = None,
) -> tuple[list[Entry], list[str]]:
    """All plugins there are, disabled ones too, and every problem found, one line each: ``plugins.x.y: reason``,
    or ``plugin_dirs[0]: file: reason``.

    A plugin with a problem is left out, the others are not touched by it. config: name → ``{enabled, interval,
    timeout, …options}``, or just false or true. facts: what ``agent_monitor`` shows; give the same to the Collector.
    """
    machine = machine or Machine(facts=facts if facts is not None else {})
    classes, problems = custom.load(plugin_dirs)
    classes = PLUGINS | classes
    entries = []
    for name in [
        *(name for name, kind in classes.items() if kind.standard or (kind.named and name in config)),
        *(name for name in config if name not in classes),
    ]:
        try:
            entries.append(_entry(name, classes, _section(config.get(name)), default_interval, machine))
        except _Wrong as wrong:
            places = (f"{'' if reason.startswith(':') else '.'}{reason}" for reason in wrong.reasons)
            problems += [f"plugins.{name}{place}" for place in places]
    problems += [
        f"plugins.{name}: it needs a name of its own: `my_check: {{type: {name}, …}}`"
        for name in config
        if name in classes and not classes[name].standard and not classes[name].named
    ]
    return entries, problems


def _section(value: Any) -> Mapping[str, Any]:
    if value is None or isinstance(value, bool):
        return {"enabled": value is not False}
    if not isinstance(value, Mapping):
        raise _Wrong(f": {value!r} is no section; write `enabled: false`, or options")
    return value


def _entry(
    name: str,
    classes: Mapping[str, type[Plugin]],
    section: Mapping[str, Any],
    default_interval: float,
    machine: Machine,
) -> Entry:
    """Raises _Wrong."""
    kind = _class(name, classes, section)
    known = (*_COMMON, *kind.options)
    reasons = [
        f"{option}: there is no such option{_suggest(str(option), known)}" for option in section if option not in known
    ]
    enabled = section.get("enabled", True)
    if not isinstance(enabled, bool):
        reasons.append(f"enabled: {enabled!r} is neither true nor false")

    def duration(option: str, default: float, least: float, most: float) -> float:
        try:
            return seconds(section, option, default, least=least, most=most)
        except ValueError as reason:
            reasons.append(str(reason))
            return default

    follows = section.get("interval") is None and kind.interval is None
    usual = default_interval if kind.interval is None else kind.interval
    interval = duration("interval", usual, SHORTEST_INTERVAL, LONGEST_INTERVAL)
    timeout = duration("timeout", kind.timeout, 0.1, 600.0)
    own = {option: value for option, value in section.items() if option in kind.options}
    plugin = _made(kind, own, machine, reasons)
    if plugin is None or reasons:
        raise _Wrong(*reasons)
    plugin.limit = timeout
    apart = not kind.standard or name not in PLUGINS
    return Entry(name, plugin, interval, timeout + kind.overtime, follows, enabled is True, apart)


def _made(kind: type[Plugin], options: Mapping[str, Any], machine: Machine, reasons: list[str]) -> Plugin | None:
    """The plugin, or None and why not.

    A plugin names one option that it cannot use at a time; it is asked again without that one, until no new one comes.
    """
    refused: set[str] = set()
    while True:
        try:
            plugin = kind({option: value for option, value in options.items() if option not in refused}, machine)
        except ValueError as problem:
            option = str(problem).partition(":")[0]
            if option in refused:
                return None
            reasons.append(str(problem))
            if option not in options:
                return None
            refused.add(option)
        # A rim: a custom plugin's constructor may raise anything.
        except Exception as problem:
            if not refused:  # else it may be for want of the option that was left out
                reasons.append(f": cannot be built: {type(problem).__name__}: {problem}")
            return None
        else:
            return None if refused else plugin


def _class(name: str, classes: Mapping[str, type[Plugin]], section: Mapping[str, Any]) -> type[Plugin]:
    wanted = section.get("type")
    if name in classes:
        if wanted not in (None, name):
            raise _Wrong(f"type: {name} is a plugin already; give this one another name")
        return classes[name]
    types = [other for other, kind in classes.items() if not kind.standard and not kind.named]
    if wanted is None:
        hint = _suggest(name, list(classes)) or f"; one of your own needs a type: {', '.join(types)}"
        raise _Wrong(f": there is no such plugin{hint}")
    if wanted not in types:
        raise _Wrong(f"type: {wanted!r} is none; there is: {', '.join(types)}")
    if not custom.PLUGIN_NAME.fullmatch(name):
        raise _Wrong(": that is no name; 1-64 letters, digits, _ and - can be used")
    return classes[wanted]


def _suggest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # late: only a mistake needs it

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
