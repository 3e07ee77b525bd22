"""The files of the web UI, read once: a fixed table from URL to bytes, so that no request ever touches a path."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PREFIX = "/static/"
IMPORT = re.compile(r'from "\./([^"]+)";')
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# What the icon of a tab shows: how bad the worst problem is, and how many hosts have one.
ICON_COLOURS = {"ok": "#2f9e5f", "unknown": "#7a6fa8", "warning": "#c77f00", "critical": "#d8333f"}
ICON_COUNTS = ("", *(str(count) for count in range(1, 10)), "9+")
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="{colour}"/>'
    "{inside}</svg>"
)
ICON_PULSE = (
    '<path d="M4 17h6l3-8 5 14 3-6h7" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" '
    'stroke-linejoin="round"/>'
)
ICON_COUNT = (
    '<text x="16" y="23" fill="#fff" font-family="sans-serif" font-weight="700" font-size="20" '
    'text-anchor="middle">{count}</text>'
)


class Asset(NamedTuple):
    content: bytes
    packed: bytes | None
    """gzip of content; None where that saves nothing"""
    type: str
    etag: str


class Assets:
    """Style sheets, modules and icons below ``folder``.

    Every URL carries a digest of all files together: it can be cached for ever, and modules that import each other
    by relative URL never mix two versions.
    """

    def __init__(self, folder: Path) -> None:
        files = dict(_files(folder))
        files.update(_icons())
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
        self.version = digest.hexdigest()[:12]
        self._by_name = {f"{self.version}/{name}": _asset(name, content) for name, content in files.items()}

    def url(self, name: str) -> str:
        """The URL of a file. Raises KeyError when there is none of that name."""
        key = f"{self.version}/{name}"
        if key not in self._by_name:
            raise KeyError(name)
        return PREFIX + key

    def modules(self, entry: str) -> list[str]:
        """URLs of a module of ``js/`` and of all that it imports, for loading them side by side."""
        found: dict[str, None] = {}
        waiting = [entry]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += IMPORT.findall(self._by_name[f"{self.version}/js/{name}"].content.decode())
        return [self.url(f"js/{name}") for name in found]

    def get(self, key: str) -> Asset | None:
        """key: what follows ``/static/`` in the URL."""
        return self._by_name.get(key)


def static_folder() -> Path:
    """``hbd/static`` of an installed package, else ``static`` of the repository."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "static"
    return installed if installed.is_dir() else package.parent / "static"


def icon_name(level: str, count: int) -> str:
    return f"icon-{level}-{min(count, len(ICON_COUNTS) - 1)}.svg"


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES and path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _icons() -> Iterator[tuple[str, bytes]]:
    for level, colour in ICON_COLOURS.items():
        for index, count in enumerate(ICON_COUNTS):
            inside = ICON_COUNT.format(count=count) if count else ICON_PULSE
            yield icon_name(level, index), ICON.format(colour=colour, inside=inside).encode()


def _asset(name: str, content: bytes) -> Asset:
    packed = gzip.compress(content, 9, mtime=0)
    return Asset(
        content,
        packed if len(packed) < len(content) else None,
        TYPES[name[name.rindex(".") :]],
        f'"{hashlib.sha256(content).hexdigest()[:16]}"',
    )
