"""What the agent can measure. ``PLUGINS`` is the only list of what is built in."""

from hbc.plugins.agent_monitor import AgentMonitor
from hbc.plugins.base import Plugin
from hbc.plugins.cpu_monitor import CpuMonitor
from hbc.plugins.disk_monitor import DiskMonitor
from hbc.plugins.exec_program import ExecProgram
from hbc.plugins.memory_monitor import MemoryMonitor
from hbc.plugins.nagios_runner import NagiosRunner
from hbc.plugins.network_monitor import NetworkMonitor
from hbc.plugins.os_info import OsInfo
from hbc.plugins.process_monitor import ProcessMonitor
from hbc.plugins.temperature import Temperature
from hbc.plugins.watched_processes import WatchedProcesses

PLUGINS: dict[str, type[Plugin]] = {
    plugin.name: plugin
    for plugin in (
        CpuMonitor,
        MemoryMonitor,
        DiskMonitor,
        NetworkMonitor,
        ProcessMonitor,
        WatchedProcesses,
        OsInfo,
        Temperature,
        AgentMonitor,
        ExecProgram,
        NagiosRunner,
    )
}
