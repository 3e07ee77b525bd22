import os

import pytest

from hbc.plugins.base import Machine
from hbc.plugins.memory_monitor import MemoryMonitor

MEMINFO = """MemTotal:       16777216 kB
MemFree:         1048576 kB
MemAvailable:    4194304 kB
Buffers:          102400 kB
Cached:          2097152 kB
SwapCached:            7 kB
Shmem:            204800 kB
SReclaimable:     102400 kB
SwapTotal:       2097152 kB
SwapFree:        1572864 kB
"""


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "vmstat").write_text("nr_free_pages 1\npswpin 100\npswpout 200\n")
    return tmp_path


def collect(proc):
    return MemoryMonitor({}, Machine(linux=True, proc=str(proc))).collect()


def test_percent_is_what_is_not_available(proc):
    data = collect(proc)

    assert (data["percent"], data["total_mb"], data["available_mb"], data["used_mb"]) == (75.0, 16384, 4096, 12288)


def test_caches_that_can_be_given_back_are_cached(proc):
    assert collect(proc)["cached_mb"] == 2148.0


def test_swap_in_use(proc):
    data = collect(proc)

    assert (data["swap_percent"], data["swap_total_mb"], data["swap_used_mb"]) == (25.0, 2048, 512)


def test_machine_without_swap_uses_none(proc):
    (proc / "meminfo").write_text("MemTotal: 1024 kB\nMemFree: 512 kB\nMemAvailable: 512 kB\n")
    data = collect(proc)

    assert (data["swap_percent"], data["swap_total_mb"], data["swap_used_mb"]) == (0.0, 0, 0)


def test_old_kernel_that_tells_no_available_memory(proc):
    (proc / "meminfo").write_text("MemTotal: 4096 kB\nMemFree: 1024 kB\nBuffers: 512 kB\nCached: 512 kB\n")

    assert collect(proc)["percent"] == 50.0


def test_swapping_is_a_rate_in_bytes(proc):
    moments = iter([0.0, 10.0])
    plugin = MemoryMonitor({}, Machine(linux=True, proc=str(proc), clock=lambda: next(moments)))
    plugin.collect()
    (proc / "vmstat").write_text("pswpin 110\npswpout 200\n")
    data = plugin.collect()

    assert data["swap_in_bytes_per_second"] == os.sysconf("SC_PAGE_SIZE")
    assert data["swap_out_bytes_per_second"] == 0.0


def test_psutil_gives_the_same_metrics():
    data = MemoryMonitor({}, Machine(linux=False)).collect()

    assert data["total_mb"] > data["used_mb"] > 0
    assert {"percent", "available_mb", "swap_percent", "swap_total_mb", "swap_used_mb"} <= data.keys()


def test_this_machine_can_be_read():
    data = MemoryMonitor({}).collect()

    assert 0 < data["percent"] < 100
