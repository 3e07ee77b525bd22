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
    """All plugins there are, disabled ones too, and every problem found, one line each: ``plugins.x.y: reason``.

    A plugin with a problem is left out, the others are not touched by it. config: name → ``{enabled, interval,
    timeout, …options}``, or just false or true. facts: what ``agent_monitor`` shows; give the same to the Collector.
    """
    machine = machine or Machine(facts=facts if facts is not None else {})
    classes, problems = custom.load(plugin_dirs)
    classes = PLUGINS | classes
    entries = []
    for name in [
        *(name for name in classes if classes[name].standard),
        *(name for name in config if name not in classes),
    ]:
        try:
            entries.append(_entry(name, classes, _section(config.get(name)), default_interval, machine))
        except ValueError as problem:
            problems.append(f"plugins.{name}{'' if str(problem).startswith(':') else '.'}{problem}")
    problems += [
        f"plugins.{name}: it needs a name of its own: `my_check: {{type: {name}, …}}`"
        for name in config
        if name in classes and not classes[name].standard
    ]
    return entries, problems


def _section(value: Any) -> Mapping[str, Any]:
    if value is None or isinstance(value, bool):
        return {"enabled": value is not False}
    if not isinstance(value, Mapping):
        raise ValueError(f": {value!r} is no section; write `enabled: false`, or options")
    return value


def _entry(
    name: str,
    classes: Mapping[str, type[Plugin]],
    section: Mapping[str, Any],
    default_interval: float,
    machine: Machine,
) -> Entry:
    """Raises ValueError, as ``option: reason`` or ``: reason``."""
    kind = _class(name, classes, section)
    enabled = section.get("enabled", True)
    if not isinstance(enabled, bool):
        raise ValueError(f"enabled: {enabled!r} is neither true nor false")
    known = (*_COMMON, *kind.options)
    for option in section:
        if option not in known:
            raise ValueError(f"{option}: there is no such option{_suggest(str(option), known)}")
    follows = section.get("interval") is None and kind.interval is None
    usual = default_interval if kind.interval is None else kind.interval
    interval = seconds(section, "interval", usual, least=SHORTEST_INTERVAL, most=LONGEST_INTERVAL)
    timeout = seconds(section, "timeout", kind.timeout, least=0.1, most=600.0)
    try:
        plugin = kind({option: value for option, value in section.items() if option not in _COMMON}, machine)
    except ValueError:
        raise
    # A rim: a custom plugin's constructor may raise anything.
    except Exception as problem:
        raise ValueError(f": cannot be built: {type(problem).__name__}: {problem}") from None
    plugin.limit = timeout
    apart = not kind.standard or name not in PLUGINS
    return Entry(name, plugin, interval, timeout + kind.overtime, follows, enabled, apart)


def _class(name: str, classes: Mapping[str, type[Plugin]], section: Mapping[str, Any]) -> type[Plugin]:
    wanted = section.get("type")
    if name in classes:
        if wanted not in (None, name):
            raise ValueError(f"type: {name} is a plugin already; give this one another name")
        return classes[name]
    types = [other for other, kind in classes.items() if not kind.standard]
    if wanted is None:
        hint = _suggest(name, list(classes)) or f"; one of your own needs a type: {', '.join(types)}"
        raise ValueError(f": there is no such plugin{hint}")
    if wanted not in types:
        raise ValueError(f"type: {wanted!r} is none; there is: {', '.join(types)}")
    if not custom.PLUGIN_NAME.fullmatch(name):
        raise ValueError(": that is no name; 1-64 letters, digits, _ and - can be used")
    return classes[wanted]


def _suggest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # late: only a mistake needs it

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
