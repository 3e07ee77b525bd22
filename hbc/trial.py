"""The way back of an agent that has renewed itself: until the new version has reached a daemon it is on trial, and the
version before it is kept.

One that has not reached a daemon in time, or ends again and again before it has, is exchanged for the version before
it, once: whoever asks for that version again gets it for good. So no agent goes to and fro because its daemon is away.

All of it stands in one file, which is on disk before anything is exchanged. Which of the two packages runs is always
told by its digest; so a crash at any point is gone on from at the next start.

It is about the package in one place. Another copy of the agent leaves it alone, and so does one that starts beside the
agent that runs, which holds a lock until it ends.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hbc import __version__

log = logging.getLogger(__name__)

TRIAL_SECONDS = 600.0
MOST_STARTS = 5
"""that do not reach a daemon; the version before comes back at the next one"""
_MOST_RETURNED = 20  # packages that are known to have been given up
_RECORD, _BEFORE, _LOCK = "renewal.json", "before.pyz", "renewal.lock"
_FRESH = re.compile(r"[0-9a-f]{8}")


class Record:
    """What is known of renewals. package: where the one stands that this is about, "" as long as there was no renewal.
    trial: the package that is tried, as ``version``, ``sha256``, ``before`` and
    ``before_sha256`` of the one that it replaces, ``starts``, and ``over`` with the reason once it is given up.

    returned: digests of packages that were given up. back: the last of these, as ``version``, ``reason`` and ``runs``,
    the digest of the one that came back.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / _RECORD
        self.before = state / _BEFORE
        self.package = ""
        self.trial: dict[str, Any] | None = None
        self.returned: list[str] = []
        self.back: dict[str, Any] | None = None

    def read(self) -> None:
        """What cannot be read counts as nothing: the agent that runs goes on."""
        try:
            kept = json.loads(self._path.read_bytes())
            package, trial, back, returned = kept["package"], kept["trial"], kept["back"], kept["returned"]
            if trial is not None:
                texts = (trial["version"], trial["sha256"], trial["before"], trial["before_sha256"], trial["over"])
                if not all(isinstance(text, str) for text in texts) or not isinstance(trial["starts"], int):
                    raise ValueError
            if back is not None and not all(isinstance(back[name], str) for name in ("version", "reason", "runs")):
                raise ValueError
            if not isinstance(package, str) or not isinstance(returned, list):
                raise ValueError
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("what is known of renewals cannot be read: %s", error)
            return
        self.package, self.trial, self.back, self.returned = package, trial, back, returned

    def write(self) -> None:
        """Raises OSError."""
        returned = self.returned[-_MOST_RETURNED:]
        kept = {"package": self.package, "trial": self.trial, "back": self.back, "returned": returned}
        _put(self._path, json.dumps(kept).encode())

    def end_trial(self) -> None:
        """Raises OSError."""
        self.trial = None
        self.write()
        self.before.unlink(missing_ok=True)


def package_file() -> Path | None:
    """The package that this agent runs from; None when it was installed in another way."""
    file = Path(__file__).parents[1]
    return file if file.is_file() else None


def _place(package: Path) -> str:
    """The same whatever way leads there. A link is replaced itself, not what it leads to."""
    return str(package.parent.resolve() / package.name)


def prepare(state: Path, package: Path, version: str, digest: str) -> bool:
    """The package that runs is kept, and the one of that version and digest is on trial from the moment on at which it
    takes its place. False when there is no way back from it, since there was one before. Raises OSError."""
    record = Record(state)
    record.read()
    if record.package != (place := _place(package)):
        record.package, record.back = place, None
    if digest in record.returned:
        record.end_trial()
        return False
    runs = package.read_bytes()
    _put(record.before, runs)
    record.trial = {
        "version": version,
        "sha256": digest,
        "before": __version__,
        "before_sha256": hashlib.sha256(runs).hexdigest(),
        "starts": 0,
        "over": "",
    }
    record.write()
    return True


class Trial:
    """The renewals of the agent that starts now. Made before anything else, which may be what does not work in it."""

    def __init__(self, state: Path, package: Path, begin_anew: Callable[[], None]) -> None:
        """begin_anew: runs what is in the package now, in this process; does not come back. Raises OSError."""
        self._package = package
        self._begin_anew = begin_anew
        self._over = threading.Event()
        self._has_passed = self._mended = False
        self._record = Record(state)
        self._runs = hashlib.sha256(package.read_bytes()).hexdigest()
        self._lock = _locked(state / _LOCK)
        if self._lock is None:
            return
        _sweep(package, state / _RECORD, state / _BEFORE)
        found = Record(state)
        found.read()
        if found.package != _place(package):
            return
        self._record = found
        try:
            self._settle()
        except OSError as error:
            log.error("what is known of renewals cannot be kept: %s", error)
        if self._record.trial is not None:
            threading.Thread(target=self._watch, name="trial", daemon=True).start()

    def passed(self) -> None:
        """A daemon has welcomed us."""
        self._has_passed = True
        self._over.set()

    def close(self) -> None:
        """This start ends, as it would with the process; a trial goes on with the next."""
        self._over.set()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def outcome(self) -> dict[str, Any] | None:
        """How the last renewal went, as ``agent_monitor`` tells of it; None where nothing is to be told."""
        back = self._record.back
        if back is None:
            return {"ok": True} if self._mended else None
        return {"ok": False, "reason": f"hbc {back['version']} {back['reason']}; {__version__} runs again"}

    def _settle(self) -> None:
        """Go on from wherever it was left. Raises OSError."""
        record, trial = self._record, self._record.trial
        if record.back is not None and record.back["runs"] != self._runs:
            record.back, self._mended = None, True
        if trial is None:
            if self._mended:
                record.write()
        elif self._runs == trial["sha256"]:
            trial["starts"] += 1
            if not trial["over"] and trial["starts"] > MOST_STARTS:
                trial["over"] = f"was started {MOST_STARTS} times and did not reach a daemon"
            if trial["over"]:
                self._go_back(trial["over"])
            else:
                record.write()
        else:
            if trial["over"] and self._runs == trial["before_sha256"]:
                record.returned.append(trial["sha256"])
                record.back = {"version": trial["version"], "reason": trial["over"], "runs": self._runs}
            record.end_trial()  # it is over, or somebody has put another package in place
        if (outcome := self.outcome) is not None and not outcome["ok"]:
            log.warning("%s", outcome["reason"])

    def _watch(self) -> None:
        """In a thread of its own, which what hangs in the others does not hold up."""
        try:
            if not self._over.wait(TRIAL_SECONDS):
                self._go_back(f"did not reach a daemon within {TRIAL_SECONDS / 60:g} min")
            elif self._has_passed:
                self._record.end_trial()
                log.info("hbc %s has reached a daemon and stays", __version__)
        except OSError as error:
            log.error("what is known of renewals cannot be kept: %s", error)

    def _go_back(self, why: str) -> None:
        """Does not come back unless it fails. Raises OSError."""
        record, trial = self._record, self._record.trial
        assert trial is not None
        trial["over"] = why
        record.write()
        try:
            before = record.before.read_bytes()
        except OSError:
            before = b""
        if hashlib.sha256(before).hexdigest() != trial["before_sha256"]:
            log.error("hbc %s %s, but %s is no longer there to go back to", __version__, why, trial["before"])
            record.end_trial()
            return
        log.error("hbc %s %s: back to %s", __version__, why, trial["before"])
        _put(self._package, before, mode=0o644)
        self._begin_anew()


def run_package() -> None:
    """Run this program anew, from its file, in this process. Does not come back."""
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, "-I", *sys.argv])  # noqa: S606  ourselves


def _locked(file: Path) -> int | None:
    """The file, open and held until it is closed or the process ends; None when another agent holds it. Raises
    OSError."""
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return opened


def fresh_name(file: Path) -> Path:
    """Beside a file, for what is to take its place; what a crash leaves there goes at the next start."""
    return file.with_name(f".{file.name}.{secrets.token_hex(4)}")


def _sweep(*files: Path) -> None:
    for file in files:
        start = f".{file.name}."
        with suppress(OSError):
            for left in file.parent.glob(f"{glob.escape(start)}*"):
                if _FRESH.fullmatch(left.name.removeprefix(start)):
                    left.unlink()


def _put(file: Path, data: bytes, mode: int = 0o600) -> None:
    """Whole or not at all, and on the disk. Raises OSError."""
    fresh = fresh_name(file)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
