"""Which network interfaces are worth a row, and which make up the traffic of a machine. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from hbd.model import Data

TOTAL = "total"
# As our own agent has it: the inner ends of containers and virtual machines come and go by the hundred.
_LEFT_OUT = ("veth*", "cali*", "lxc*", "vnet*", "tap*", "ifb*", "dummy*", "tunl*", "sit*", "gre*", "erspan*")
_NO_HARDWARE = (
    *("lo", "lo[0-9]*", "br-*", "br[0-9]*", "docker*", "virbr*", "bond*", "tun*", "wg*", "tailscale*", "cni*"),
    *("flannel*", "vlan*", "*.[0-9]*"),
)


def is_shown(name: str) -> bool:
    return not any(fnmatchcase(name, pattern) for pattern in _LEFT_OUT)


def total(interfaces: Mapping[str, Any]) -> Data:
    """Traffic of the machine as a whole: what passes a bridge or a tunnel is counted where it leaves, too.

    interfaces: name to metrics; what is no interface is passed over.
    """
    found = {name: data for name, data in interfaces.items() if isinstance(data, dict) and name != TOTAL}
    with_hardware = [name for name in found if not any(fnmatchcase(name, pattern) for pattern in _NO_HARDWARE)]
    summed: dict[str, float] = defaultdict(float)
    for name in with_hardware or found.keys() - {"lo"}:
        for metric, value in found[name].items():
            if metric.endswith("_per_second"):
                summed[metric] = round(summed[metric] + value, 1)
    return dict(summed)
