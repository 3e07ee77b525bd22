"""Copies of the database: made while it is in use, proven to be whole, and put back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from hbd.errors import Conflict, HbdError, InvalidInput, StorageError
from hbd.model import Moment
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.database import lock_path, make_private_file, make_private_folder, sync_folder, take_lock
from hbd.store.migrations import migrations

log = logging.getLogger(__name__)

COPY_SECONDS = 3600.0
ROOM = 16 << 20  # bytes that stay free beside a copy
_NAME = re.compile(r"hbd-\d{8}-\d{6}\.db")
_CHECKSUM = re.compile(_NAME.pattern + r"\.sha256")
_LEFT = re.compile(r"\.hbd-\d{8}-\d{6}\.db\.partial.*")
_COUNTS = """SELECT (SELECT count(*) FROM hosts), (SELECT count(*) FROM users),
    (SELECT count(*) FROM alerts WHERE problem <> ''), (SELECT count(*) FROM alert_events),
    (SELECT count(*) FROM messages), (SELECT count(*) FROM samples), (SELECT count(*) FROM chunks),
    (SELECT count(*) FROM history)"""


class Backup(Struct, frozen=True):
    """A copy that was proven. time: Unix seconds. size: bytes. hosts, users, problems: how many of them are in it."""

    path: str
    time: float
    size: int
    hosts: int
    users: int
    problems: int


class Counts(NamedTuple):
    """How much there is in a database. problems: alerts that are open."""

    hosts: int
    users: int
    problems: int
    events: int
    messages: int
    samples: int
    chunks: int
    history: int


class Backups:
    """The copies of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.last: Backup | None = None
        """the newest that was proven since the start"""
        self.problem = ""
        """why the last try failed, "" when it did not"""
        self._making = asyncio.Lock()

    async def make(self, path: str) -> dict[str, Any]:
        """Copy the database to a file that is not there yet, prove the copy, and say what is in it.

        Raises InvalidInput, StorageError.
        """
        target = Path(path)
        if not target.is_absolute():
            raise InvalidInput("an absolute path is needed", "path")
        async with self._making:
            try:
                self.last = await self._make(target)
            except (HbdError, OSError) as error:
                self.problem = str(error)
                raise
            self.problem = ""
        return asdict(self.last)

    async def _make(self, target: Path) -> Backup:
        with _partial(target, self._store.database.size_bytes()) as partial:

            def copy(source: sqlite3.Connection) -> Counts:
                there = _counts(source)
                try:
                    with closing(sqlite3.connect(partial)) as copied:
                        source.backup(copied)  # in one go: what is written meanwhile would have it begin anew
                except sqlite3.Error as error:
                    raise StorageError(f"{target} cannot be written: {error}") from error
                return there

            there = await self._store.database.read_long(copy, COPY_SECONDS)
            try:
                found = await asyncio.to_thread(_prove, partial, target.name)
            except StorageError as error:
                raise StorageError(f"{error}; so may be the database: keep the backups that there are") from error
            if found != there:
                raise StorageError(f"{target.name} is not what the database was: {found}, not {there}")
            await _rehearse(partial, target.name)
            proven = await asyncio.to_thread(_finish, partial, target, found)
        log.info("backup %s: %d hosts, %d bytes", target, proven.hosts, proven.size)
        return proven

    async def rotate(self, folder: Path, every: float, keep: int, now: float) -> bool:
        """Make a copy in folder when the newest there is older than ``every`` seconds; of those made so, ``keep`` stay.

        Returns whether one was made. Raises StorageError, OSError.
        """
        known = await asyncio.to_thread(_known, folder)
        if known and now - known[-1].stat().st_mtime < every:
            return False
        if not self._making.locked():
            await asyncio.to_thread(_sweep, folder)
        await self.make(str(folder / time.strftime("hbd-%Y%m%d-%H%M%S.db", time.gmtime(now))))
        for old in (await asyncio.to_thread(_known, folder))[:-keep]:
            old.unlink(missing_ok=True)
            checksum_path(old).unlink(missing_ok=True)
        return True


def checksum_path(copy: Path) -> Path:
    """Where the SHA-256 of a copy stands, as ``sha256sum`` writes and checks it."""
    return copy.with_name(f"{copy.name}.sha256")


def restore(copy: Path, database: Path, *, force: bool = False) -> Path | None:
    """Put a copy in the place of a database that no daemon has open.

    force: whether one that is there may be replaced; it is kept beside. Returns where, None when there was none.
    Raises StorageError for a copy that cannot be used, Conflict when there is a database or a daemon runs on it.
    """
    if not copy.is_file():
        raise StorageError(f"{copy} is no file")
    make_private_folder(database.parent)
    lock = take_lock(database)
    try:
        there = database.exists() and database.stat().st_size > 0
        if there and not force:
            raise Conflict(f"there is a database {database} already; --force replaces it and keeps it beside")
        with _partial(database, copy.stat().st_size, replaces=True) as partial:
            shutil.copyfile(copy, partial)
            _compare(partial, copy)
            _prove(partial, copy.name)
            _settle(partial)
            kept = _put_aside(database) if there else None
            for suffix in ("-wal", "-shm"):
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            partial.replace(database)
            sync_folder(database.parent)
    finally:
        os.close(lock)
        with contextlib.suppress(FileNotFoundError):
            lock_path(database).chmod(0o600)
    return kept


@contextmanager
def _partial(target: Path, size: int, *, replaces: bool = False) -> Iterator[Path]:
    """A file to write to beside the target, gone when this is left unless it was renamed."""
    if target.exists() and not replaces:
        raise StorageError(f"{target} exists; a backup replaces nothing")
    make_private_folder(target.parent)
    free = shutil.disk_usage(target.parent).free
    if free < size + ROOM:
        raise StorageError(
            f"no room for {target.name}: {(size + ROOM) >> 20} MiB must be free in {target.parent}, {free >> 20} are"
        )
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    make_private_file(partial)
    try:
        yield partial
    finally:
        for suffix in ("", "-journal", "-wal", "-shm", ".lock", ".ballast"):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)


def _finish(partial: Path, target: Path, found: Counts) -> Backup:
    _settle(partial)
    size = partial.stat().st_size
    # The checksum comes first: a copy that has its name is one that can be checked.
    _write_checksum(checksum_path(target), _sha256(partial), target.name)
    partial.replace(target)
    sync_folder(target.parent)
    return Backup(str(target), time.time(), size, found.hosts, found.users, found.problems)


def _settle(partial: Path) -> None:
    """Have a copy be one file, not one that points to others, and on disk."""
    with closing(sqlite3.connect(partial, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    with partial.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_checksum(path: Path, digest: str, name: str) -> None:
    path.unlink(missing_ok=True)
    make_private_file(path)
    with path.open("w") as file:
        file.write(f"{digest}  {name}\n")
        file.flush()
        os.fsync(file.fileno())


def _compare(partial: Path, copy: Path) -> None:
    """Raises StorageError when a copy is not what it was when it was made, as far as somebody wrote that down."""
    noted = checksum_path(copy)
    try:
        words = noted.read_text(errors="replace").split()
    except FileNotFoundError:
        return
    if words[:1] != [_sha256(partial)]:
        raise StorageError(
            f"{copy.name} is damaged: it is not the file that {noted.name} was written for"
            f" (without {noted.name} it is restored all the same, if hbd can read it)"
        )


def _prove(path: Path, name: str) -> Counts:
    """Open a copy and check all of it; how much is in it. Raises StorageError for one that cannot be used.

    name: what people know it by.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if not 0 < version <= len(migrations()):
                newer = f"of a newer hbd (schema {version}, this one knows {len(migrations())})"
                raise StorageError(f"{name} is {newer if version else 'no database of hbd'}")
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise StorageError(f"{name} is damaged: {found.splitlines()[-1]}")
            if (orphan := db.execute("PRAGMA foreign_key_check").fetchone()) is not None:
                raise StorageError(f"{name} is damaged: a row of {orphan[0]} belongs to nothing")
            return _counts(db)
    except sqlite3.Error as error:
        raise StorageError(f"{name} is damaged: {error}") from error


def _counts(db: sqlite3.Connection) -> Counts:
    return Counts._make(db.execute(_COUNTS).fetchone())


async def _rehearse(copy: Path, name: str) -> None:
    """Read of a copy what a start reads. Raises StorageError when that does not work."""
    store = Store(copy, Stats())
    try:
        await store.open()
        await store.hosts.all()
        await store.hosts.keys()
        await store.hosts.connections()
        await store.accounts.users()
        await store.alerts.all()
        await store.notices.all(Moment.now())
        await store.samples.ranges()
    except Exception as error:
        raise StorageError(f"hbd would not start with {name}: {error}") from error
    finally:
        await store.close()


def _put_aside(database: Path) -> Path:
    """Give a database another name, with all that was written to it."""
    kept = database.with_name(time.strftime(f"{database.name}.replaced-%Y%m%d-%H%M%S"))
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        log.warning("%s is kept as it is, its newest changes may be in %s-wal: %s", kept, kept, error)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{database}{suffix}").rename(f"{kept}{suffix}")
    database.rename(kept)
    return kept


def _known(folder: Path) -> list[Path]:
    """The copies that ``rotate`` made, the oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def _sweep(folder: Path) -> None:
    """Remove what is left of copies that ``rotate`` was making, or removing, when hbd was killed."""
    make_private_folder(folder)
    for left in folder.iterdir():
        if _LEFT.fullmatch(left.name) or (_CHECKSUM.fullmatch(left.name) and _is_alone(left)):
            left.unlink(missing_ok=True)


def _is_alone(checksum: Path) -> bool:
    """Whether there is no copy that it is of, compressed or otherwise."""
    return not any(other != checksum for other in checksum.parent.glob(f"{checksum.stem}*"))
