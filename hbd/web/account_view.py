"""People and their sessions as the pages show them. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

PROGRAM = re.compile(r"[\w.-]{1,40}")
# The first that occurs counts: most browsers also name those they descend from.
BROWSERS = (("Firefox/", "Firefox"), ("Edg/", "Edge"), ("OPR/", "Opera"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


class Face(NamedTuple):
    """The small sign of a user. picture: URL of an image; "" where ``text`` stands for it."""

    text: str
    picture: str = ""


def face(name: str, full_name: str = "", avatar: str = "") -> Face:
    """A picture the user has chosen, the one or two characters they have chosen, else the initials."""
    if avatar.startswith("data:image/"):
        return Face("", avatar)
    if 0 < len(avatar) <= 4:  # an emoji may take several code points
        return Face(avatar)
    words = re.findall(r"\w+", full_name or name)
    initials = (words[0][0] + words[-1][0] if len(words) > 1 else words[0][0]) if words else "?"
    return Face(initials.upper())


def browser(user_agent: str) -> str:
    """``Firefox on Linux``; of programs that are no browser the name they give themselves."""
    if not user_agent.startswith("Mozilla/"):
        found = PROGRAM.match(user_agent)
        return found[0] if found else "not told"
    name = next((name for sign, name in BROWSERS if sign in user_agent), "a browser")
    system = next((name for sign, name in SYSTEMS if sign in user_agent), "")
    return f"{name} on {system}" if system else name
