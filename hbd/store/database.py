"""The SQLite file: one connection that writes, a few that read, each in threads of its own.

Only the one writing connection ever writes or checkpoints. That is not a matter of taste: SQLite before 3.51.3 can
lose committed rows when two connections write and checkpoint at the same instant (docs/decisions/0001-storage.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import glob
import logging
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar, cast

from hbd.errors import Conflict, StorageError, StorageFull
from hbd.stats import Stats
from hbd.store.ballast import Ballast, free_bytes
from hbd.store.migrations import Migration, migrations

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Outcome = tuple[Any, Exception | None]
"""(result, None) or (None, error)"""

READERS = 2
READ_SECONDS = 2.0  # a query that takes longer is cut off: it would hold back checkpoints and everybody behind it
LOCK_SECONDS = 1.0
MAX_SHARING = 500  # works in one transaction
SHRINK_PAGES = 200  # in one transaction: some 10 ms
BUSY_SECONDS = 5.0  # how long to wait for a lock that some outside tool holds
FULL_BYTES = 1 << 20  # a disk with less than this is full
RESTART_BYTES = 2 << 20  # of a full disk, for the next start


class Usage(NamedTuple):
    """Bytes of the database file. free: of pages that nothing is on any more, which are used before the file grows."""

    used: int
    free: int


class Room(StrEnum):
    """What the disk has room for. TIGHT: it is full; new samples take the room of old history. NONE: it is full; no
    samples are taken, and all else is written as long as that works."""

    ENOUGH = "enough"
    TIGHT = "tight"
    NONE = "none"


_TROUBLES = {
    Room.ENOUGH: None,
    Room.TIGHT: "the disk is full: new samples take the room of the oldest history",
    Room.NONE: "the disk is full: no samples are taken; agents keep their reports",
}


class Database:
    """One SQLite database in WAL mode. What ``write`` returned from is on disk (``synchronous=FULL``)."""

    def __init__(self, path: Path, stats: Stats) -> None:
        self.path = path
        self.problem: str | None = None
        """why the last write failed, in words; None while writing works"""
        self.ballast = Ballast(path)
        self.room = Room.ENOUGH
        """lowered by a write that found the disk full; see ``hbd.disk`` for what comes then"""
        self._stats = stats
        self._commit_seconds = stats.histogram("commit_seconds", "Time that one transaction took, commit included.")
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._queue: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Future[list[Outcome]] | None = None
        self._closing = False
        self._opened: dict[Path, tuple[int, int] | None] = {}
        self._beyond_repair: str | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="hbd-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="hbd-read")
        self._reading = threading.local()
        self._read_connections: list[sqlite3.Connection] = []

    # ------------------------------------------------------------------------------------------------ open and close

    async def open(self) -> None:
        """Take the lock, bring the schema up to date, be ready.

        Raises Conflict when another daemon has the database, StorageError when it cannot be opened or is newer than
        this program.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open)

    async def close(self) -> None:
        """Finish what is queued, fold the WAL back into the file, let go of the lock. Safe to call twice."""
        self._closing = True
        while self._writing is not None:
            await asyncio.wait({self._writing})
            await asyncio.sleep(0)  # its callback begins the next one, if anything waits
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _open(self) -> None:
        make_private_folder(self.path.parent)
        self._lock = take_lock(self.path)
        held = 0
        if free_bytes(self.path.parent) < FULL_BYTES:  # not even opening it may work then
            self.room = Room.NONE
            held = self.ballast.give_up()
        try:
            make_private_file(self.path)
            self._connection = self._connect()
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts for a file that is new
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA journal_size_limit = 67108864")
            # What is removed is overwritten where that costs no page more, and history is not written to be forgotten.
            self._connection.execute("PRAGMA secure_delete = FAST")
            migrate(self._connection, self.path, migrations())
            self._hold_log(held // 2)
            self._opened = {path: _identity(path) for path in (self.path, lock_path(self.path))}
        except sqlite3.Error as error:
            full = "; the disk is full" if self.room is not Room.ENOUGH else ""
            raise StorageError(f"{self.path}: {error}{full}") from error

    def _close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)
        for connection in self._read_connections:
            connection.close()
        self._read_connections.clear()
        self._writer.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            if self.room is not Room.ENOUGH:
                self.ballast.make(RESTART_BYTES, beside=0)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    # ------------------------------------------------------------------------------------------------ write and read

    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction and return its result once that is committed.

        Whatever is asked for while a transaction is being written shares the next one. work must do nothing but talk
        to the connection it is given. Raises StorageError (StorageFull) when nothing of it was kept because the
        database would not take it; any other error of work also keeps nothing of it, and all of the others.
        """
        if self._closing or self._beyond_repair:
            raise StorageError(self._beyond_repair or "the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._write_next()
        return await future

    def _write_next(self) -> None:
        if self._writing or not self._queue:
            return
        batch, self._queue = self._queue[:MAX_SHARING], self._queue[MAX_SHARING:]
        works = [work for work, _ in batch]
        self._writing = asyncio.get_running_loop().run_in_executor(self._writer, self._transact, works)
        self._writing.add_done_callback(partial(self._written, [future for _, future in batch]))

    def _written(self, futures: list[asyncio.Future[Any]], done: asyncio.Future[list[Outcome]]) -> None:
        self._writing = None
        failed = None if done.cancelled() else done.exception()
        for index, future in enumerate(futures):
            result, error = (None, failed) if failed or done.cancelled() else done.result()[index]
            if future.done():
                continue  # whoever asked has left
            if error is not None:
                future.set_exception(error)
            elif done.cancelled():
                future.cancel()
            else:
                future.set_result(result)
        self._write_next()

    def require_room(self) -> None:
        """To be asked before a write that can wait. Raises StorageFull while what room there is goes to alerts."""
        if self.room is Room.NONE:
            raise StorageFull("the disk is full")

    async def read(self, work: Work[T]) -> T:
        """Run work on a connection that cannot write, beside the writer. Raises StorageError, also when it is slow."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, work, READ_SECONDS)

    async def read_long(self, work: Work[T], seconds: float) -> T:
        """Like read, for work of our own that may take that long."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, work, seconds)

    def _transact(self, works: Sequence[Work[Any]]) -> list[Outcome]:
        """All works in one transaction; the result or the error of each. Raises StorageError when none is kept."""
        connection = self._connection
        if connection is None:
            raise StorageError("the database is closed")
        started, changed = time.perf_counter(), connection.total_changes
        while True:
            try:
                outcomes = self._commit(connection, works)
                break
            except sqlite3.Error as error:
                if not (self._lacks_room(error) and self._give_up_ballast(connection)):
                    raise self._failed(error) from error
        self._commit_seconds.observe(time.perf_counter() - started)
        refused = next((error for _, error in outcomes if isinstance(error, StorageError)), None)
        wrote = connection.total_changes != changed  # else it proves nothing
        if self.problem is not None and wrote and refused is None and self._beyond_repair is None:
            log.warning("the database takes writes again: %s", self.path)
            self.problem = None
        return outcomes

    def _commit(self, connection: sqlite3.Connection, works: Sequence[Work[Any]]) -> list[Outcome]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._outcome(connection, work) for work in works]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes

    def _outcome(self, connection: sqlite3.Connection, work: Work[Any]) -> Outcome:
        connection.execute("SAVEPOINT work")
        try:
            result = _run(work, connection)
        except Exception as error:
            if not connection.in_transaction:  # a full or broken disk: SQLite has undone everything already
                raise
            if self._lacks_room(error) and self.ballast.size():  # with that there will be room for all
                raise
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
            return None, self._failed(error) if _is_of_the_disk(error) else error
        connection.execute("RELEASE work")
        return result, None

    def _failed(self, error: sqlite3.Error) -> StorageError:
        self._stats.count("storage_errors_total")
        full = self._lacks_room(error)
        if full:
            self.room = Room.NONE
        problem = f"{error}"
        if problem != self.problem:
            log.error("the database does not take writes: %s: %s", self.path, error)
        self.problem = problem
        return StorageFull(problem) if full else StorageError(problem)

    def _lacks_room(self, error: Exception) -> bool:
        """Whether something was not written because the disk is full."""
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):  # of the files beside the database
            with contextlib.suppress(OSError):
                return free_bytes(self.path.parent) < FULL_BYTES
        return bool(name == "SQLITE_FULL")

    def _give_up_ballast(self, connection: sqlite3.Connection) -> bool:
        """Let the database have the room of the ballast; whether there was any. Called between transactions."""
        size = self.ballast.give_up()
        if not size:
            return False
        self.room = Room.NONE
        log.error("the disk is full; the ballast of %s is given up", self.path)
        self._hold_log(size // 2)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return True

    def _hold_log(self, more: int) -> None:
        """Have the write-ahead log, through which all goes that is written, take so much of the disk before others do.

        What lies behind its end is nothing to SQLite.
        """
        if not more:
            return
        try:
            descriptor = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, more)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("%s-wal can have no room of its own: %s", self.path, error)

    def _query(self, work: Work[T], seconds: float) -> T:
        connection: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        try:
            if connection is None:
                connection = self._reading.connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                self._read_connections.append(connection)
            deadline = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            connection.execute("BEGIN")  # all that one reader asks is of the same moment
            try:
                return _run(work, connection)
            finally:
                connection.set_progress_handler(None, 0)
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if "interrupted" in str(error):
                raise StorageError(f"the query took longer than {seconds:g} s") from error
            raise StorageError(str(error)) from error

    # ------------------------------------------------------------------------------------------------- what it is like

    @property
    def trouble(self) -> str | None:
        """What keeps it from storing everything, in words."""
        return self.problem or _TROUBLES[self.room]

    async def make_ballast(self, size: int) -> bool:
        """Have the ballast take so many bytes of the disk; whether it does. Then there is room for everything."""
        if self.room is Room.ENOUGH and self.ballast.size() == size:
            return True
        made = await asyncio.get_running_loop().run_in_executor(self._writer, self.ballast.make, size)
        if made:
            self.room = Room.ENOUGH
        return made

    def look_after_files(self) -> None:
        """See that the files are still those that were opened: what is written to a deleted file is lost."""
        missing = [path for path, opened in self._opened.items() if _identity(path) != opened]
        if missing:
            problem = f"{' and '.join(path.name for path in missing)} was removed or replaced; restart hbd"
            if problem != self.problem:
                log.critical("%s in %s", problem, self.path.parent)
            self.problem = self._beyond_repair = problem

    async def usage(self) -> Usage:
        def query(db: sqlite3.Connection) -> Usage:
            asked = ("PRAGMA page_size", "PRAGMA page_count", "PRAGMA freelist_count")
            size, pages, free = (int(db.execute(question).fetchone()[0]) for question in asked)
            return Usage((pages - free) * size, free * size)

        return await self.read(query)

    async def shrink(self) -> None:
        """Give some free pages back to the file system; a file that an older hbd made keeps its size."""

        def work(db: sqlite3.Connection) -> None:
            for _ in range(SHRINK_PAGES):  # one by one: the sqlite3 module ends the statement after its first page
                db.execute("PRAGMA incremental_vacuum(1)")

        await self.write(work)

    def size_bytes(self) -> int:
        """The database with its write-ahead log, as it lies on disk."""
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += Path(f"{self.path}{suffix}").stat().st_size
            except FileNotFoundError:
                continue
        return total


def _run(work: Work[T], connection: sqlite3.Connection) -> T:
    """What work returns or raises, without any cursor of the connection.

    A cursor resets its statement when it is let go of. In another thread that can be while the same statement, which
    the connection keeps for whoever asks the same again, is being used for something else: SQLITE_MISUSE.
    """
    result: Any
    try:
        result = work(connection)
    except Exception as error:
        _clear_frames(error)
        raise
    if isinstance(result, sqlite3.Cursor):
        result.close()
        result = None
    return cast(T, result)


def _clear_frames(error: BaseException) -> None:
    """Let go of all that functions held when they failed with it, and with what it came of."""
    known: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in known:
            known.add(id(each))
            traceback.clear_frames(each.__traceback__)
            waiting += [each.__cause__, each.__context__]


def _is_of_the_disk(error: Exception) -> TypeGuard[sqlite3.Error]:
    """Whether the database would not take something; other errors are of what it was to take."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def may_lose_commits(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite has the race that loses commits when a second program writes (docs/decisions/0001)."""
    return (
        (3, 7, 0) <= version < (3, 51, 3)
        and not (version[:2] == (3, 44) and version[2] >= 6)
        and not (version[:2] == (3, 50) and version[2] >= 7)
    )


def make_private_folder(folder: Path) -> None:
    """Make a folder that is missing, for our eyes only (0700); one that is there stays as it is."""
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)


def make_private_file(path: Path) -> None:
    """Make a file that is missing, 0600 whatever the umask; SQLite gives its side files the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands under a name; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def lock_path(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def take_lock(database: Path) -> int:
    """Hold the database for this process; returns the descriptor to close. Raises Conflict when another has it."""
    path = lock_path(database)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)  # a command that only looks, or a daemon that is just ending
                continue
            holder = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Conflict(f"{database} is in use by another hbd (process {holder})") from None
    with contextlib.suppress(OSError):  # of a full disk: the lock holds also without a word of who has it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder_of(database: Path) -> int | None:
    """The process that holds the database now, None when nobody does."""
    try:
        descriptor = os.open(lock_path(database), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 64).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> None:
    """Bring the schema to the last step, all steps in one transaction, after a copy of a database that has content.

    Raises StorageError when the database is newer than the steps, there is no room for the copy, or a step fails; then
    the database is as it was.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise StorageError(
            f"{path} was written by a newer hbd (schema {version}, this one knows {len(steps)}); upgrade hbd"
        )
    if version == len(steps):
        return
    if version:
        log.info(
            "upgrading %s from schema %d to %d; copy kept at %s", path, version, len(steps), snapshot(path, version)
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in step.statements():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise StorageError(
                f"{path} cannot be upgraded from schema {version} to {len(steps)}, and stays as it was: {error}"
            ) from error
        raise
    if version:
        _forget_snapshots(path, version)


def snapshot(path: Path, version: int) -> Path:
    """A consistent copy of the database beside it, for the way back. Raises StorageError when there is no room."""
    copy = path.with_name(f"{path.name}.schema-{version}")
    written = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    needed = written * 2 + (16 << 20)  # the copy, and all that the upgrade may write anew
    if (free := free_bytes(path.parent)) < needed:
        raise StorageError(
            f"no room to upgrade {path}: {needed >> 20} MiB must be free in {path.parent}, {free >> 20} are"
        )
    partial = copy.with_name(copy.name + ".partial")
    partial.unlink(missing_ok=True)
    make_private_file(partial)
    source, target = sqlite3.connect(path), sqlite3.connect(partial)
    try:
        source.backup(target)
    except sqlite3.Error as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"no copy of {path} can be made, so it is not upgraded: {error}") from error
    finally:
        source.close()
        target.close()
    partial.replace(copy)
    sync_folder(path.parent)
    return copy


def _forget_snapshots(path: Path, version: int) -> None:
    """Remove the copies that upgrades before this one left: each is as large as the database was."""
    for copy in path.parent.glob(f"{glob.escape(path.name)}.schema-*"):
        number = copy.name.rpartition("-")[2]
        if number.isdigit() and int(number) < version:
            copy.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder, against a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
