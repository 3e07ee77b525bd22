import pytest

from hbc.plugins.mounts import parse_mountinfo, worth_watching

ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


def watched(*lines):
    return [mount.path for mount in worth_watching(parse_mountinfo("\n".join(lines)))]


@pytest.mark.parametrize(
    "line",
    [
        "22 27 0:21 / /proc rw - proc proc rw",
        "23 27 0:5 / /dev rw - devtmpfs devtmpfs rw",
        "24 27 0:22 / /run rw - tmpfs tmpfs rw",
        "25 27 0:40 / /home rw - autofs systemd-1 rw,fd=40",
        "26 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro",
        "28 27 0:50 / /var/lib/docker/overlay2/ab/merged rw - overlay overlay rw",
        "29 27 8:9 / /var/lib/kubelet/pods/x/volumes/y rw - ext4 /dev/sdx rw",
        "30 27 8:9 /etc/hosts /etc/hosts rw - ext4 /dev/sdx rw",
    ],
)
def test_what_is_no_disk_is_left_out(line):
    assert watched(ROOT, line) == ["/"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("30 27 8:1 / /home rw - xfs /dev/sda1 rw", "/home"),
        ("30 27 8:1 / /run/media/ann/stick rw - vfat /dev/sdb1 rw", "/run/media/ann/stick"),
        ("30 27 0:60 / /tank/data rw - zfs tank/data rw", "/tank/data"),
        ("30 27 0:61 / /mnt/nas rw - nfs4 nas:/export rw", "/mnt/nas"),
        ("30 27 8:2 / /var/lib/docker rw - ext4 /dev/sda2 rw", "/var/lib/docker"),
    ],
)
def test_disks_are_watched(line, path):
    assert watched(ROOT, line) == ["/", path]


@pytest.mark.parametrize("kind", ["overlay", "tmpfs", "squashfs", "ext4"])
def test_root_is_always_watched(kind):
    assert watched(f"1 0 0:30 / / rw - {kind} {kind} rw") == ["/"]


def test_root_is_watched_when_the_table_does_not_name_it():
    assert watched("30 27 8:1 / /home rw - xfs /dev/sda1 rw") == ["/", "/home"]


def test_bind_mount_of_a_disk_is_the_same_disk():
    assert watched(ROOT, "40 27 254:0 /srv/www /mnt/www rw - ext4 /dev/vda rw") == ["/"]


def test_subvolumes_are_one_disk():
    lines = ["1 0 0:30 /@ / rw - btrfs /dev/sda1 rw", "2 1 0:30 /@home /home rw - btrfs /dev/sda1 rw"]

    assert watched(*lines) == ["/"]


def test_blanks_in_a_path_are_blanks():
    assert watched(ROOT, r"30 27 8:1 / /mnt/my\040disk rw - ext4 /dev/sda1 rw") == ["/", "/mnt/my disk"]


def test_the_mount_on_top_counts():
    lines = ["25 27 0:40 / /data rw - autofs auto rw", "26 27 8:1 / /data rw - ext4 /dev/sda1 rw"]

    assert watched(ROOT, *lines) == ["/", "/data"]


def test_remote_mounts_come_last():
    lines = ["30 27 0:61 / /a rw - nfs4 nas:/a rw", "31 27 8:1 / /z rw - ext4 /dev/sda1 rw"]

    assert watched(ROOT, *lines) == ["/", "/z", "/a"]


@pytest.mark.parametrize(
    ("line", "read_only"),
    [
        ("1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro", False),
        ("1 0 8:1 / / ro,relatime - ext4 /dev/sda1 rw", True),
        ("1 0 8:1 / / rw,relatime - ext4 /dev/sda1 ro", True),
    ],
)
def test_read_only_in_either_place(line, read_only):
    assert parse_mountinfo(line)[0].read_only is read_only


def test_optional_fields_are_skipped():
    mount = parse_mountinfo("27 1 254:0 / / rw shared:1 master:2 - ext4 /dev/vda rw")[0]

    assert (mount.kind, mount.source) == ("ext4", "/dev/vda")
