"""Whether a file can be believed: nobody but root and this user could have written it, or put another in its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MOST_LINKS = 40


def written_by_others(path: Path) -> str:
    """Why a file may hold what somebody else wrote, "" when it cannot. All folders and links on the way count."""
    todo = list(Path(os.path.abspath(path)).parts[1:])  # noqa: PTH100 - links are followed one by one
    here, links = Path("/"), 0
    try:
        while todo:
            following = here.parent if todo[0] == ".." else here / todo[0]
            del todo[0]
            about = following.lstat()
            if reason := open_to_others(following, about):
                return reason
            if not stat.S_ISLNK(about.st_mode):
                here = following
                continue
            links += 1
            if links > _MOST_LINKS:
                return f"{path}: too many links"
            target = following.readlink()
            here = Path("/") if target.is_absolute() else here
            todo = [part for part in target.parts if part != "/"] + todo
    except OSError as error:
        return f"{path}: cannot be looked at: {error.strerror or error}"
    return ""


def open_to_others(path: Path, about: os.stat_result) -> str:
    """Why somebody else could change what is there, "" when nobody can."""
    if about.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {about.st_uid}, not to root or the user that the agent runs as"
    if stat.S_ISLNK(about.st_mode):
        return ""  # its mode means nothing; who may replace it, its folder says
    if not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return ""
    if stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX:
        return ""  # as in /tmp: only the owner of what is there may replace it
    return f"others than its owner can write to {path}; do: chmod go-w {path}"
