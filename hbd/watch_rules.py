"""What watched processes are judged by: what people have set for each, unless a threshold config has a rule for it.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hbd.config.structs import Threshold
from hbd.processes import METRICS, PLUGIN, RESTARTS, Watched, Watches
from hbd.rules import HostRules, Rule

SOURCE = "watched process"
"""where a rule comes from that no config gives"""
RESTART_SECONDS = 600.0  # a restart is over when it has happened; this is how long it is told
HYSTERESIS = 0.05


def path_of(name: str, metric: str) -> str:
    return f"{PLUGIN}.{name}.{metric}"


def ended(before: Watched, after: Watched | None, is_judged: Callable[[str], bool]) -> list[str]:
    """What is judged no more of a process that was changed, or is not watched any longer (None).

    is_judged: whether there is a rule for a path now, of whatever source.
    """
    paths = [path_of(before.name, metric) for metric in METRICS]
    if after is None or not after.enabled or after.name != before.name:
        return paths
    return [path for path in paths if not is_judged(path)]


class WatchRules:
    """Of all hosts; made when they are asked for, and again when a watched process or the threshold configs change."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._made: dict[int, tuple[tuple[Watched, ...], HostRules, HostRules]] = {}

    def of(self, host_id: int, configured: HostRules) -> HostRules:
        """configured: by the threshold configs of the host. Their rules count before what was set for a process."""
        watched = self._watches.enabled(host_id)
        made = self._made.get(host_id)
        if made is None or made[0] is not watched or made[1] is not configured:
            made = self._made[host_id] = (watched, configured, rules_of(watched, configured))
        return made[2]

    def forget(self, host_id: int) -> None:
        self._made.pop(host_id, None)


def rules_of(watched: tuple[Watched, ...], configured: HostRules) -> HostRules:
    """Those for the watched processes of a host, and all that are configured."""
    return HostRules(_rules(watched, configured))


def _rules(watched: tuple[Watched, ...], configured: HostRules) -> Iterator[Rule]:
    for one in watched:
        for metric, threshold in _thresholds(one):
            if not configured.explain(path_of(one.name, metric)):
                yield Rule((PLUGIN, one.name, metric), threshold, SOURCE)
    yield from configured.weakest_first()


def _thresholds(watched: Watched) -> Iterator[tuple[str, Threshold]]:
    name = watched.name
    yield "count", Threshold(operator="<", critical=1.0, enabled=watched.alert_on_down, display=f"{name} processes")
    yield (
        RESTARTS,
        Threshold(
            warning=0.0,
            keep_firing_for=RESTART_SECONDS,
            enabled=watched.alert_on_restart,
            display=f"{name} restarts",
        ),
    )
    yield (
        "cpu_percent",
        Threshold(
            warning=watched.cpu_limit, hysteresis=HYSTERESIS, enabled=watched.alert_on_cpu, display=f"CPU of {name}"
        ),
    )
    yield (
        "memory_percent",
        Threshold(
            warning=watched.memory_limit,
            hysteresis=HYSTERESIS,
            enabled=watched.alert_on_memory,
            display=f"Memory of {name}",
        ),
    )
