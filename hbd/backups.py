"""Copies of the database: made while it is in use, proven to be whole, and put back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from hbd.errors import Conflict, HbdError, InvalidInput, StorageError
from hbd.store import Store
from hbd.store.database import lock_path, make_private_file, make_private_folder, take_lock
from hbd.store.migrations import migrations

log = logging.getLogger(__name__)

COPY_SECONDS = 3600.0
ROOM = 16 << 20  # bytes that stay free beside a copy
_NAME = re.compile(r"hbd-\d{8}-\d{6}\.db")


class Backup(Struct, frozen=True):
    """A copy that was proven. time: Unix seconds. size: bytes. hosts, samples: how many of them are in it."""

    path: str
    time: float
    size: int
    hosts: int
    samples: int


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

            def copy(source: sqlite3.Connection) -> None:
                with closing(sqlite3.connect(partial)) as copied:
                    source.backup(copied)  # in one go: what is written meanwhile would have it begin anew

            await self._store.database.read_long(copy, COPY_SECONDS)
            proven = await asyncio.to_thread(_finish, partial, target)
        log.info("backup %s: %d hosts, %d bytes", target, proven.hosts, proven.size)
        return proven

    async def rotate(self, folder: Path, every: float, keep: int, now: float) -> bool:
        """Make a copy in folder when the newest there is older than ``every`` seconds; of those made so, ``keep`` stay.

        Returns whether one was made. Raises StorageError, OSError.
        """
        known = await asyncio.to_thread(_known, folder)
        if known and now - known[-1].stat().st_mtime < every:
            return False
        await self.make(str(folder / time.strftime("hbd-%Y%m%d-%H%M%S.db", time.gmtime(now))))
        for old in (await asyncio.to_thread(_known, folder))[:-keep]:
            old.unlink(missing_ok=True)
        return True


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
            _prove(partial)
            kept = _put_aside(database) if there else None
            for suffix in ("-wal", "-shm"):
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            partial.replace(database)
            _sync(database.parent)
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
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)


def _finish(partial: Path, target: Path) -> Backup:
    hosts, samples = _prove(partial)
    size = partial.stat().st_size
    partial.replace(target)
    _sync(target.parent)
    return Backup(str(target), time.time(), size, hosts, samples)


def _prove(path: Path) -> tuple[int, int]:
    """Open a copy and check all of it; (hosts, samples) in it. Raises StorageError for one that cannot be used."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")  # one file, not one that points to others
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if not 0 < version <= len(migrations()):
                newer = f"of a newer hbd (schema {version}, this one knows {len(migrations())})"
                raise StorageError(f"{path.name} is {newer if version else 'no database of hbd'}")
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise StorageError(f"{path.name} is damaged: {found}")
            if (orphan := db.execute("PRAGMA foreign_key_check").fetchone()) is not None:
                raise StorageError(f"{path.name} is damaged: a row of {orphan[0]} belongs to nothing")
            (hosts,) = db.execute("SELECT count(*) FROM hosts").fetchone()
            (folded,) = db.execute("SELECT coalesce(sum(count), 0) FROM chunks").fetchone()
            (fresh,) = db.execute("SELECT count(*) FROM samples").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path.name} cannot be used: {error}") from error
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return hosts, folded + fresh


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


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
