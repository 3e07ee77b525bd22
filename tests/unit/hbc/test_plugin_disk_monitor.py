import os
import threading

import pytest

from hbc.plugins import disk_monitor
from hbc.plugins.base import Machine
from hbc.plugins.disk_monitor import DiskMonitor

ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw"
NAS = "30 27 0:61 / /mnt/nas rw - nfs4 nas:/export rw"
STATS = "254 0 vda {reads} 0 {sectors} 0 100 0 800 0 0 {busy} 0\n"


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """A machine whose mount table a test writes; mounts in ``dead`` hang until the test has ended."""

    class Fake:
        now = 0.0

        def __init__(self):
            self.gate, self.dead, self.asked = threading.Event(), set(), []
            (tmp_path / "self").mkdir()

        def mounted(self, *lines):
            (tmp_path / "self/mountinfo").write_text("\n".join(lines) + "\n")

        def counted(self, text):
            (tmp_path / "diskstats").write_text(text)

        def clock(self):
            self.now += 10.0
            return self.now

        def usage(self, path):
            self.asked.append(path)
            if path in self.dead:
                self.gate.wait(60)
            return {"percent": 50.0}

        def plugin(self, **options):
            return DiskMonitor(
                {"mount_timeout": 0.05} | options, Machine(linux=True, proc=str(tmp_path), clock=self.clock)
            )

    fake = Fake()
    monkeypatch.setattr(disk_monitor, "usage", fake.usage)
    yield fake
    fake.gate.set()


def test_each_disk_is_told_under_its_mount_point(disks):
    disks.mounted(ROOT, "30 27 8:1 / /home rw - xfs /dev/sda1 rw")
    data = disks.plugin().collect()

    assert {path: row["percent"] for path, row in data.items()} == {"/": 50.0, "/home": 50.0}


def test_mount_says_what_it_is(disks):
    disks.mounted(ROOT)

    assert disks.plugin().collect()["/"] == {
        "percent": 50.0,
        "read_only": False,
        "hanging": False,
        "device": "/dev/vda",
        "fstype": "ext4",
    }


def test_hanging_mount_is_named_and_hides_no_other(disks):
    disks.mounted(NAS, ROOT, "31 27 0:62 / /mnt/other rw - nfs4 nas:/other rw")
    disks.dead.add("/mnt/nas")
    data = disks.plugin().collect()

    assert data["/mnt/nas"] == {"hanging": True, "device": "nas:/export", "fstype": "nfs4"}
    assert data["/"]["percent"] == data["/mnt/other"]["percent"] == 50.0


def test_hanging_mount_is_not_asked_again_while_it_hangs(disks):
    disks.mounted(ROOT, NAS)
    disks.dead.add("/mnt/nas")
    plugin = disks.plugin()
    for _ in range(3):
        plugin.collect()

    assert disks.asked.count("/mnt/nas") == 1
    assert plugin.collect()["/mnt/nas"]["hanging"] is True


def test_mount_that_answers_again_is_back(disks):
    disks.mounted(ROOT, NAS)
    disks.dead.add("/mnt/nas")
    plugin = disks.plugin()
    plugin.collect()
    disks.dead.clear()
    disks.gate.set()
    for _ in range(500):
        data = plugin.collect()
        if "percent" in data.get("/mnt/nas", {}):
            break
        threading.Event().wait(0.01)

    assert data["/mnt/nas"]["hanging"] is False


def test_reads_and_writes_are_rates_in_bytes(disks):
    disks.mounted(ROOT)
    disks.counted(STATS.format(reads=0, sectors=0, busy=0))
    plugin = disks.plugin()
    plugin.collect()
    disks.counted(STATS.format(reads=20, sectors=200, busy=5000))
    row = plugin.collect()["/"]

    assert (row["reads_per_second"], row["read_bytes_per_second"], row["busy_percent"]) == (2.0, 10240.0, 50.0)


def test_btrfs_is_found_by_the_name_of_its_device(disks):
    disks.mounted("27 1 0:30 / / rw - btrfs /dev/vda rw")
    disks.counted(STATS.format(reads=0, sectors=0, busy=0))
    plugin = disks.plugin()
    plugin.collect()

    assert plugin.collect()["/"]["read_bytes_per_second"] == 0.0


def test_disk_the_kernel_does_not_count_has_no_rates(disks):
    disks.mounted(ROOT, NAS)
    disks.counted(STATS.format(reads=0, sectors=0, busy=0))
    plugin = disks.plugin()
    plugin.collect()

    assert "reads_per_second" not in plugin.collect()["/mnt/nas"]


def test_mounts_can_be_left_out(disks):
    disks.mounted(ROOT, NAS)

    assert list(disks.plugin(exclude="/mnt/*").collect()) == ["/"]


def test_mount_that_is_taken_away_disappears(disks):
    disks.mounted(ROOT, NAS)
    plugin = disks.plugin()
    plugin.collect()
    disks.mounted(ROOT)

    assert list(plugin.collect()) == ["/"]


def test_percent_is_the_one_of_df(tmp_path):
    found = os.statvfs(tmp_path)
    used = found.f_blocks - found.f_bfree
    data = disk_monitor.usage(str(tmp_path))

    assert data["percent"] == pytest.approx(100 * used / (used + found.f_bavail), abs=0.2)
    assert data["total_gb"] >= data["used_gb"]


def test_file_bound_into_a_container_is_no_disk(tmp_path):
    (tmp_path / "resolv.conf").write_text("")

    assert disk_monitor.usage(str(tmp_path / "resolv.conf")) == {}


def test_psutil_gives_the_same_metrics():
    assert 0 < DiskMonitor({}, Machine(linux=False)).collect()["/"]["percent"] <= 100


def test_this_machine_can_be_read():
    assert 0 < DiskMonitor({}).collect()["/"]["percent"] <= 100
