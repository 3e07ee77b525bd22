"""What goes over each network interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from hbc.plugins.base import HERE, Data, Machine, Metric, Plugin, psutil_module, read, read_int, read_text
from hbc.plugins.rates import Rates
from hbc.plugins.settings import chooser

TOTAL = "total"
# Columns of /proc/net/dev.
_COLUMNS = {
    "rx_bytes_per_second": 0,
    "rx_packets_per_second": 1,
    "rx_errors_per_second": 2,
    "rx_drops_per_second": 3,
    "tx_bytes_per_second": 8,
    "tx_packets_per_second": 9,
    "tx_errors_per_second": 10,
    "tx_drops_per_second": 11,
}
# The inner ends of containers and virtual machines come and go by the hundred, and their traffic is counted on the
# interface that it leaves by.
_USUALLY_LEFT_OUT = ("veth*", "cali*", "lxc*", "vnet*", "tap*", "ifb*", "dummy*", "tunl*", "sit*", "gre*", "erspan*")
_LINK_SECONDS = 60.0  # asking a driver for its speed is not free


class NetworkMonitor(Plugin):
    name = "network_monitor"
    summary = "traffic, errors and state of each network interface, connections"
    has_rates = True
    metrics = (
        *(
            Metric(f"*.{way}_{name}_per_second", unit, text.format(verb))
            for way, verb in (("rx", "received"), ("tx", "sent"))
            for name, unit, text in (
                ("bytes", "bytes/s", "Bytes {}; `total` is the machine as a whole."),
                ("packets", "1/s", "Packets {}."),
                ("errors", "1/s", "Packets not {} because of an error."),
                ("drops", "1/s", "Packets thrown away instead of {}."),
            )
        ),
        Metric("*.up", "yes/no", "Whether the interface is up and has a link."),
        Metric("*.speed_mbit", "Mbit/s", "Speed of the link, where it has one."),
        Metric("tcp_established", "count", "TCP connections that are open."),
        Metric("tcp_time_wait", "count", "TCP connections that were closed a moment ago."),
        Metric("tcp_sockets", "count", "TCP sockets in use, listening ones included."),
        Metric("udp_sockets", "count", "UDP sockets in use."),
        Metric("tcp_retransmits_per_second", "1/s", "TCP segments sent again because they were lost."),
    )
    options: ClassVar[Mapping[str, str]] = {
        "include": "interfaces to show (shell patterns); default all",
        "exclude": f"interfaces to leave out; default {' '.join(_USUALLY_LEFT_OUT)}",
    }

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._wanted = chooser(options, _USUALLY_LEFT_OUT)
        self._rates = Rates()
        self._links: dict[str, Data] = {}
        self._physical: set[str] = set()
        self._links_read = float("-inf")

    def collect(self) -> Data:
        now = self.machine.clock()
        counters = self._linux() if self.machine.linux else self._psutil()
        shown = {name: row for name, row in counters.items() if self._wanted(name)}
        if now - self._links_read >= _LINK_SECONDS or not shown.keys() <= self._links.keys():
            self._read_links(shown)
            self._links_read = now
        data: Data = {name: self._rates.of(name, row, now) | self._state(name) for name, row in shown.items()}
        self._rates.keep(set(shown) | {""})
        total = self._total(data)
        if total:
            data[TOTAL] = total
        return data | self._sockets(now)

    def _total(self, data: Data) -> Data:
        """The sum over the interfaces with hardware behind them: a packet that passes a bridge, a bond or a tunnel
        is counted there too. Where none has hardware (in a container), over all but the loopback."""
        names = data.keys() & self._physical or {name for name in data if not _is_loopback(name)}
        total: Data = {}
        for key in _COLUMNS:
            known = [data[name][key] for name in names if key in data[name]]
            if known:
                total[key] = round(sum(known), 1)
        return total

    def _linux(self) -> dict[str, dict[str, float]]:
        counters = {}
        for line in read(f"{self.machine.proc}/net/dev").decode("utf-8", "replace").splitlines()[2:]:
            name, _, rest = line.rpartition(":")
            columns = rest.split()
            counters[name.strip()] = {key: float(columns[column]) for key, column in _COLUMNS.items()}
        return counters

    def _psutil(self) -> dict[str, dict[str, float]]:
        return {
            name: {
                "rx_bytes_per_second": row.bytes_recv,
                "rx_packets_per_second": row.packets_recv,
                "rx_errors_per_second": row.errin,
                "rx_drops_per_second": row.dropin,
                "tx_bytes_per_second": row.bytes_sent,
                "tx_packets_per_second": row.packets_sent,
                "tx_errors_per_second": row.errout,
                "tx_drops_per_second": row.dropout,
            }
            for name, row in psutil_module().net_io_counters(pernic=True).items()
        }

    def _read_links(self, names: Mapping[str, Any]) -> None:
        """Fill in what changes rarely: the speed of each link, and which interfaces have hardware."""
        if self.machine.linux:
            root = f"{self.machine.sys}/class/net"
            self._physical = {name for name in names if Path(root, name, "device").exists()}
            speeds = {name: read_int(f"{root}/{name}/speed") for name in names}
            self._links = {name: {"speed_mbit": speed} if speed and speed > 0 else {} for name, speed in speeds.items()}
            return
        found = psutil_module().net_if_stats()
        self._links = {
            name: {"up": found[name].isup} | ({"speed_mbit": found[name].speed} if found[name].speed > 0 else {})
            if name in found
            else {}
            for name in names
        }

    def _state(self, name: str) -> Data:
        link = self._links.get(name, {})
        if not self.machine.linux:
            return link
        state = read_text(f"{self.machine.sys}/class/net/{name}/operstate")
        # The loopback and some tunnels have no notion of a link and say "unknown".
        return link if state is None else {"up": state in ("up", "unknown"), **link}

    def _sockets(self, now: float) -> Data:
        """Counts that the kernel keeps anyway. Nothing elsewhere: there each socket would have to be looked at."""
        if not self.machine.linux:
            return {}
        net = f"{self.machine.proc}/net"
        found: dict[str, dict[str, int]] = {}
        for file in ("sockstat", "sockstat6"):
            for line in (read_text(f"{net}/{file}") or "").splitlines():
                proto, _, rest = line.partition(":")
                words = rest.split()
                found[proto] = dict(zip(words[::2], map(int, words[1::2]), strict=False))

        def used(*protocols: str) -> int:
            return sum(found.get(proto, {}).get("inuse", 0) for proto in protocols)

        data: Data = {}
        if "TCP" in found:
            data["tcp_sockets"] = used("TCP", "TCP6")
            data["tcp_time_wait"] = found["TCP"].get("tw", 0)
            data["udp_sockets"] = used("UDP", "UDP6")
        tcp = [line.split()[1:] for line in (read_text(f"{net}/snmp") or "").splitlines() if line.startswith("Tcp:")]
        if len(tcp) == 2:
            values = dict(zip(*tcp, strict=False))
            data["tcp_established"] = int(values["CurrEstab"])
            data |= self._rates.of("", {"tcp_retransmits_per_second": float(values["RetransSegs"])}, now)
        return data


def _is_loopback(name: str) -> bool:
    return name == "lo" or (name.startswith("lo") and name[2:].isdigit())
