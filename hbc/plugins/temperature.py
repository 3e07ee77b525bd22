"""How warm it is inside, where there are sensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hbc.plugins.base import HERE, Data, Machine, Metric, Plugin, Unavailable, psutil_module, read_int, read_text

_SEARCH_SECONDS = 600.0  # sensors hardly come and go
# Sensors that are not connected read as the ends of their scale: -128, -55, 127, 255 degrees and the like.
_LOWEST, _HIGHEST = -50.0, 126.0


class Sensor(NamedTuple):
    """path: of the file with thousandths of a degree. limits: name to degrees."""

    name: str
    path: str
    limits: Mapping[str, float]


class Temperature(Plugin):
    name = "temperature"
    summary = "temperature of each sensor"
    metrics = (
        Metric("*.celsius", "celsius", "Temperature now."),
        Metric("*.high", "celsius", "What the sensor says is too warm, where it says so."),
        Metric("*.critical", "celsius", "What the sensor says is dangerous, where it says so."),
    )

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._sensors: list[Sensor] = []
        self._searched = float("-inf")

    def collect(self) -> Data:
        data = self._linux() if self.machine.linux else self._psutil()
        if not data:
            raise Unavailable("this machine shows no temperature sensors")
        return data

    def _linux(self) -> Data:
        now = self.machine.clock()
        if not self._sensors or now - self._searched >= _SEARCH_SECONDS:
            self._sensors = find_sensors(self.machine.sys)
            self._searched = now
        data: Data = {}
        for sensor in self._sensors:
            thousandths = read_int(sensor.path)  # None: asleep, or taken away
            if thousandths is not None and _LOWEST < thousandths / 1000 < _HIGHEST:
                data[sensor.name] = {"celsius": round(thousandths / 1000, 1), **sensor.limits}
        return data

    def _psutil(self) -> Data:
        ask = getattr(psutil_module(), "sensors_temperatures", None)  # not on macOS
        return {
            f"{chip} {entry.label}".strip(): {"celsius": round(entry.current, 1)}
            for chip, entries in (ask() if ask else {}).items()
            for entry in entries
            if _LOWEST < entry.current < _HIGHEST
        }


def find_sensors(sys: str) -> list[Sensor]:
    """The sensors of hwmon; where it has none (small ARM boards), the thermal zones."""
    chips = [(chip, read_text(f"{chip}/name") or chip.name) for chip in sorted(Path(sys, "class/hwmon").glob("hwmon*"))]
    alike = Counter(name for _, name in chips)
    found = []
    for chip, name in chips:
        # Two disks have chips of one name, and hwmon numbers change from boot to boot; the device's name does not.
        title = f"{name} {(chip / 'device').resolve().name}" if alike[name] > 1 else name
        for path in sorted(chip.glob("temp*_input")):
            stem = path.name.removesuffix("_input")
            label = read_text(f"{chip}/{stem}_label") or stem
            found.append(Sensor(f"{title} {label}", str(path), _limits(f"{chip}/{stem}")))
    if not found:
        zones = sorted(Path(sys, "class/thermal").glob("thermal_zone*"))
        found = [Sensor(read_text(f"{zone}/type") or zone.name, f"{zone}/temp", {}) for zone in zones]
    return found


def _limits(stem: str) -> dict[str, float]:
    limits = {"high": read_int(f"{stem}_max"), "critical": read_int(f"{stem}_crit")}
    return {name: limit / 1000 for name, limit in limits.items() if limit is not None and 0 < limit / 1000 < _HIGHEST}
