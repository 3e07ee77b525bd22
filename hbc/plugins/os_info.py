"""What kind of machine this is."""

from __future__ import annotations

import platform
import re
import socket
import time
from pathlib import Path

from hbc import __version__
from hbc.plugins.base import Data, Metric, Plugin, Unavailable, psutil_module, read, read_text

# Words in the names that a hypervisor gives its machines (DMI: vendor and product).
_HYPERVISORS = (
    ("kvm", "KVM"),
    ("qemu", "KVM"),
    ("vmware", "VMware"),
    ("virtualbox", "VirtualBox"),
    ("innotek", "VirtualBox"),
    ("xen", "Xen"),
    ("microsoft corporation virtual", "Hyper-V"),
    ("parallels", "Parallels"),
    ("bochs", "Bochs"),
    ("amazon ec2", "Amazon EC2"),
    ("google compute", "Google Compute Engine"),
    ("digitalocean", "KVM"),
    ("hetzner", "KVM"),
)


class OsInfo(Plugin):
    name = "os_info"
    summary = "operating system, kernel, uptime, version of the agent"
    interval = 600.0
    metrics = (
        Metric("os", "text", "Name and version of the operating system."),
        Metric("kernel", "text", "Release of the kernel."),
        Metric("arch", "text", "Kind of processor."),
        Metric("cpu_model", "text", "Name of the processor, where it tells."),
        Metric("hostname", "text", "What the machine calls itself."),
        Metric("virtualization", "text", "Container or hypervisor it runs in; left out where none shows."),
        Metric("boot_time", "seconds", "When the machine was started, in Unix seconds."),
        Metric("uptime_seconds", "seconds", "How long ago that is."),
        Metric("agent_version", "text", "Version of hbc."),
        Metric("python", "text", "Version of Python that runs it."),
    )

    def collect(self) -> Data:
        data: Data = {
            "os": self._os(),
            "kernel": platform.release(),
            "arch": platform.machine(),
            "cpu_model": self._cpu_model(),
            "hostname": socket.gethostname(),
            "virtualization": self._virtualization(),
            "agent_version": __version__,
            "python": platform.python_version(),
        }
        return {name: text for name, text in data.items() if text} | self._times()

    def _os(self) -> str:
        if not self.machine.linux:
            mac = platform.mac_ver()[0]
            return f"macOS {mac}" if mac else f"{platform.system()} {platform.release()}"
        for path in (f"{self.machine.etc}/os-release", "/usr/lib/os-release"):
            match = re.search(r'^PRETTY_NAME=(["\']?)(.+)\1$', read_text(path) or "", re.MULTILINE)
            if match:
                return match[2]
        return "Linux"

    def _cpu_model(self) -> str:
        if not self.machine.linux:
            return platform.processor()
        match = re.search(r"^model name\s*:\s*(.+)$", read_text(f"{self.machine.proc}/cpuinfo") or "", re.MULTILINE)
        return match[1] if match else ""

    def _times(self) -> Data:
        if self.machine.linux:
            up = float(read(f"{self.machine.proc}/uptime").split()[0])
            match = re.search(rb"^btime (\d+)$", read(f"{self.machine.proc}/stat"), re.MULTILINE)
            return {"uptime_seconds": round(up)} | ({"boot_time": int(match[1])} if match else {})
        try:
            boot = int(psutil_module().boot_time())
        except Unavailable:
            return {}
        return {"uptime_seconds": round(time.time() - boot), "boot_time": boot}

    def _virtualization(self) -> str:
        if not self.machine.linux:
            return ""
        if Path(self.machine.proc, "vz").exists() and not Path(self.machine.proc, "bc").exists():
            return "OpenVZ"
        container = read_text("/run/systemd/container")
        if container:
            return container
        if Path("/.dockerenv").exists():
            return "docker"
        if Path("/run/.containerenv").exists():
            return "podman"
        if "microsoft" in platform.release().lower():
            return "WSL"
        dmi = f"{self.machine.sys}/class/dmi/id"
        named = f"{read_text(f'{dmi}/sys_vendor') or ''} {read_text(f'{dmi}/product_name') or ''}".lower()
        for word, hypervisor in _HYPERVISORS:
            if word in named:
                return hypervisor
        flags = re.search(r"^flags\s*:.*\bhypervisor\b", read_text(f"{self.machine.proc}/cpuinfo") or "", re.MULTILINE)
        return "virtual machine" if flags else ""
