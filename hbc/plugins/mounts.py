"""Which of the mounted file systems are disks that can fill up. Reads tables of the kernel, never a disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# Made by the kernel or a desktop, without blocks of their own; images that are always full; automounters, which must
# not be woken.
_PSEUDO = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devfs", "devpts", "devtmpfs"),
        *("efivarfs", "fusectl", "hugetlbfs", "map", "mqueue", "none", "nsfs", "nullfs", "proc", "procfs", "pstore"),
        *("ramfs", "rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs"),
        *("fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse"),
        *("erofs", "iso9660", "squashfs", "udf"),
        *("aufs", "overlay", "overlayfs"),
    )
)
_NETWORK = ("nfs", "cifs", "smb", "fuse.", "9p", "ceph", "glusterfs", "afs", "ncpfs", "lustre", "beegfs")
# Other programs' working space, the same disk seen again, and the single files that containers get from outside.
_ELSEWHERE = re.compile(
    r"/(?:proc|sys|dev|snap|run/(?:credentials|user|snapd|docker|containerd)|var/snap|var/lib/docker|var/lib/containerd"
    r"|var/lib/containers/storage|var/lib/kubelet|System/Volumes/(?!Data$)[^/]+)(?:/.+)|/etc/(?:hosts|hostname|resolv\.conf)"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """device: ``major:minor`` on Linux, else what psutil names it; source: as in the mount table."""

    path: str
    device: str
    source: str
    kind: str
    read_only: bool

    @property
    def remote(self) -> bool:
        """Whether it may hang for reasons outside this machine."""
        return self.kind.startswith(_NETWORK)


def parse_mountinfo(text: str) -> list[Mount]:
    """/proc/self/mountinfo, see proc_pid_mountinfo(5). What another mount covers is left out."""
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(tail) < 3:
            continue
        path = _unescape(fields[4])
        # A read-only file system (an ext4 after an error) says so behind the dash, a read-only view of it before.
        read_only = "ro" in fields[5].split(",") or "ro" in tail[2].split(",")
        found.pop(path, None)
        found[path] = Mount(path, fields[2], _unescape(tail[1]), tail[0], read_only)
    return list(found.values())


def worth_watching(mounts: Iterable[Mount]) -> list[Mount]:
    """One mount for each disk, ``/`` always, remote ones last.

    Of several mounts of one device (bind mounts, subvolumes) the one with the shortest path stands for all.
    """
    chosen: dict[str, Mount] = {}
    for mount in sorted(mounts, key=lambda mount: (len(mount.path), mount.path)):
        if mount.path == "/" or not (mount.kind in _PSEUDO or _ELSEWHERE.fullmatch(mount.path)):
            chosen.setdefault(mount.device, mount)
    if not any(mount.path == "/" for mount in chosen.values()):
        chosen["/"] = Mount("/", "", "", "", False)
    return sorted(chosen.values(), key=lambda mount: (mount.remote, mount.path))


def _unescape(text: str) -> str:
    """The kernel writes blanks and the like as octal: ``/mnt/my\\040disk``."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text) if "\\" in text else text
