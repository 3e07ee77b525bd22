"""Opening files beneath allowed folders and nowhere else, whoever moves folders and swaps links meanwhile.

A path is walked one name at a time from ``/``. Each name is opened in the folder before it without following a link, so
what was looked at is what is used; links are read and walked in the same way. On the way to an allowed folder links
count only when they are root's or our own; beneath it any may be there, as long as they lead to an allowed folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hbc.files.guard import Guard, Thing, stat_of, thing

Code = Literal["denied", "missing", "busy", "failed", "large", "conflict"]

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
MAX_DEPTH = 64  # folders, each an open descriptor while its path is walked
MAX_LINKS = 32

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CODES: dict[int, tuple[Code, str]] = {
    errno.ENOENT: ("missing", "there is no such file"),
    errno.ENOTDIR: ("missing", "there is no such file"),
    errno.ELOOP: ("denied", "there is a link where none was a moment ago"),
    errno.EACCES: ("denied", "the agent's user may not do that"),
    errno.EPERM: ("denied", "the agent's user may not do that"),
    errno.EROFS: ("denied", "the folder is read-only for the agent"),
}


class Refusal(Exception):
    """Something will not be opened. code: see ``hbc.wire.Unopened``."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Root:
    """An allowed folder with everything beneath it, or one allowed file. path: from ``/``, with no ``..`` in it."""

    path: str
    writable: bool = False


@dataclass
class Place:
    """A name in an open folder, not followed any further; ``.`` for the folder itself. close() when done."""

    folder: int
    name: str
    root: Root

    def close(self) -> None:
        os.close(self.folder)


def refusal_of(error: OSError) -> Refusal:
    """What the system said, as a refusal."""
    code, reason = _CODES.get(error.errno or 0, ("failed", os.strerror(error.errno) if error.errno else str(error)))
    return Refusal(code, reason)


def check_name(name: str) -> None:
    """Raises Refusal for what nobody should want as the name of a file."""
    if not name or name in (".", "..") or "/" in name:
        raise Refusal("denied", "that is no name of a file")
    if not name.isprintable():
        raise Refusal("denied", "the name has characters that cannot be printed")
    if name.startswith("-"):
        raise Refusal("denied", "the name begins with '-': programs would take it for an option")
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise Refusal("denied", f"the name is longer than {MAX_NAME_BYTES} bytes")


class Beneath:
    """What may be opened. roots: where a folder is named twice the first counts. protected: files and folders that
    never are opened, nor anything beneath them, though a root has them."""

    def __init__(self, roots: Sequence[Root], protected: Sequence[str] = ()) -> None:
        self.roots = tuple(roots)
        self._by_names: dict[tuple[str, ...], Root] = {}
        for root in roots:
            self._by_names.setdefault(tuple(_names(root.path)), root)
        self._protected = tuple(protected)

    def file(self, path: str) -> tuple[int, os.stat_result]:
        """A regular file, opened for reading. Raises Refusal."""
        place = self.place(path)
        try:
            fd, found = _look(place.folder, place.name)
            os.close(fd)
            if stat.S_ISDIR(found.st_mode):
                raise Refusal("denied", f"{path!r} is a folder; name a file in it")
            if not stat.S_ISREG(found.st_mode):  # opening a device may do something; a pipe might never open
                raise Refusal("denied", f"{_kind(found.st_mode)} is no file that can be given out")
            fd = os.open(place.name, _FILE, dir_fd=place.folder)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    raise Refusal("denied", "that is no plain file")
                _deny(Guard(self._protected).objection(found))
            except BaseException:
                os.close(fd)
                raise
            return fd, found
        except OSError as error:
            raise refusal_of(error) from None
        finally:
            place.close()

    def folder(self, path: str) -> tuple[int, Root]:
        """A folder, opened for reading. Raises Refusal."""
        place = self.place(path)
        try:
            fd = os.open(place.name, _FOLDER, dir_fd=place.folder)
            try:
                _deny(Guard(self._protected).objection(os.fstat(fd)))
            except BaseException:
                os.close(fd)
                raise
            return fd, place.root
        except OSError as error:
            raise refusal_of(error) from None
        finally:
            place.close()

    def place(self, path: str, *, new: bool = False) -> Place:
        """Where a path leads, its folders opened. new: its last name is about to be written, and may not be a link.

        Raises Refusal.
        """
        try:
            return _Walk(self._by_names, self._by_things(), Guard(self._protected), new=new).to(path)
        except OSError as error:
            raise refusal_of(error) from None

    def _by_things(self) -> dict[Thing, Root]:
        """The roots by what they are now. Nothing, where it makes no difference in which of them something is."""
        found: dict[Thing, Root] = {}
        if len({root.writable for root in self.roots}) > 1:
            for root in self.roots:
                if (here := stat_of(Path(root.path))) is not None:
                    found.setdefault(thing(here), root)
        return found


class _Walk:
    """One walk along one path. ``_floor`` folders of those that are open lead to the root and cannot be gone back over;
    0 as long as it is not reached. ``_met``: for each that is open, the innermost root that it is in."""

    def __init__(
        self, roots: dict[tuple[str, ...], Root], things: dict[Thing, Root], guard: Guard, *, new: bool
    ) -> None:
        self._roots = roots
        self._things = things
        self._guard = guard
        self._new = new
        self._links = 0
        self._open: list[int] = []
        self._met: list[Root] = []

    def to(self, path: str) -> Place:
        try:
            self._begin(_names(path))
            while self._pending:
                if (place := self._step(self._pending.popleft())) is not None:
                    return place
            return self._place(".", self._met[-1])
        finally:
            self._close()

    def _begin(self, names: Sequence[str]) -> None:
        """names: of a path from ``/``. Beneath several roots the innermost counts."""
        if ".." in names:
            raise Refusal("denied", "the path has '..' in it")
        for length in range(len(names), -1, -1):
            if (root := self._roots.get(tuple(names[:length]))) is not None:
                break
        else:
            raise Refusal("denied", "it is outside of the folders that the agent's config allows")
        self._root = root
        self._pending = deque(names)
        self._approach = length  # names until the root is reached
        self._restart()

    def _restart(self) -> None:
        self._close()
        self._floor = 0
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._enter(top, os.fstat(top))
        if not self._approach:
            self._floor = 1

    def _enter(self, fd: int, found: os.stat_result) -> None:
        """fd: of a folder, which is closed with the walk."""
        self._met.append(self._root_of(found))
        self._open.append(fd)

    def _root_of(self, found: os.stat_result) -> Root:
        """The innermost root that something in the folder reached so far is in. A link may have led into it, so it is
        known by what it is."""
        outer = self._met[-1] if self._floor else self._root
        return self._things.get(thing(found), outer)

    def _place(self, name: str, root: Root) -> Place:
        return Place(self._open.pop(), name, root)

    def _step(self, name: str) -> Place | None:
        """Go on by one name; the place, when it was the last."""
        if name == "..":
            self._back()
            self._arrived()
            return None
        last = not self._pending
        try:
            fd, found = _look(self._open[-1], name)
        except FileNotFoundError:
            if not (last and self._new) or self._approach:
                raise
            _deny(self._guard.objection_to_new(os.fstat(self._open[-1]), name))
            return self._place(name, self._met[-1])
        try:
            if stat.S_ISLNK(found.st_mode):
                if last and self._new:
                    raise Refusal("denied", "there is a link; name the file that it leads to")
                self._follow(os.readlink("", dir_fd=fd), found)
                return None
            _deny(self._guard.objection(found))
            if last and self._new and self._approach and not stat.S_ISDIR(found.st_mode):
                raise Refusal("denied", "only what is in an allowed folder can be written")
            if last:
                _deny(self._guard.objection_to_new(os.fstat(self._open[-1]), name))
                return self._place(name, self._root_of(found))
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder")
            if len(self._open) > MAX_DEPTH:
                raise Refusal("denied", f"the path is more than {MAX_DEPTH} folders deep")
            self._enter(fd, found)
            fd = -1
        finally:
            if fd >= 0:
                os.close(fd)
        self._arrived()
        return None

    def _follow(self, target: str, link: os.stat_result) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise Refusal("denied", "there are too many links on the way")
        names = [name for name in target.split("/") if name not in ("", ".")]
        if self._approach:
            if link.st_uid not in (0, os.geteuid()):
                raise Refusal("denied", "a link on the way to the allowed folder is somebody else's")
            self._approach += len(names) - 1
            self._pending.extendleft(reversed(names))
            if target.startswith("/"):
                self._restart()
            elif not self._approach:
                self._floor = len(self._open)
        elif target.startswith("/"):
            self._begin([*names, *self._pending])
        else:
            self._pending.extendleft(reversed(names))

    def _back(self) -> None:
        if self._floor and len(self._open) == self._floor:
            raise Refusal("denied", "a link leads out of the folders that the agent's config allows")
        if len(self._open) > 1:
            os.close(self._open.pop())
            self._met.pop()

    def _arrived(self) -> None:
        """One name further on the way to the root."""
        if self._approach:
            self._approach -= 1
            if not self._approach:
                self._floor = len(self._open)

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())
        self._met.clear()


def _deny(reason: str) -> None:
    if reason:
        raise Refusal("denied", reason)


def _look(folder: int, name: str) -> tuple[int, os.stat_result]:
    """Whatever has that name, not opened but held: a link itself, and nothing happens to a device."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return fd, os.fstat(fd)
    except BaseException:
        os.close(fd)
        raise


def _names(path: str) -> list[str]:
    """The names in a path from ``/``. Raises Refusal for what is none."""
    if not path.startswith("/"):
        raise Refusal("denied", "a path begins with '/'")
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise Refusal("denied", "the path has characters that no file can be called by") from None
    if "\0" in path or len(raw) > MAX_PATH_BYTES:
        raise Refusal("denied", f"a path has no NUL and at most {MAX_PATH_BYTES} bytes")
    return [name for name in path.split("/") if name not in ("", ".")]


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "that")
