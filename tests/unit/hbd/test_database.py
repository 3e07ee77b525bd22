"""Against real SQLite files."""

import asyncio
import os
import sqlite3
import stat
import weakref

import pytest

from hbd.errors import Conflict, InvalidInput, StorageError, StorageFull
from hbd.stats import Stats
from hbd.store.ballast import Ballast
from hbd.store.database import RESTART_BYTES, Database, Room, holder_of, migrate
from hbd.store.migrations import Migration, migrations


@pytest.fixture
async def database(tmp_path):
    opened = Database(tmp_path / "state" / "hbd.db", Stats())
    await opened.open()
    yield opened
    await opened.close()


def put(value):
    return lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, 'x')", (value,))


def keys(db):
    return [row[0] for row in db.execute("SELECT key FROM meta ORDER BY key")]


async def test_what_was_written_can_be_read(database):
    await database.write(put("a"))
    assert await database.read(keys) == ["a"]


async def test_work_that_fails_leaves_nothing(database):
    def work(db):
        put("a")(db)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(work)
    assert await database.read(keys) == []


async def test_a_refused_write_is_a_storage_error_and_shows_as_a_problem(database):
    with pytest.raises(StorageError, match="no such table"):
        await database.write(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    assert database.problem is not None


async def test_the_problem_ends_with_the_next_write_that_works(database):
    with pytest.raises(StorageError):
        await database.write(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    await database.write(put("a"))
    assert database.problem is None


async def test_a_full_database_is_told_apart(database):
    def fill(db):
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        db.execute("INSERT INTO meta (key, value) VALUES ('big', ?)", ("x" * 100_000,))

    with pytest.raises(StorageFull):
        await database.write(fill)


async def test_readers_cannot_write(database):
    with pytest.raises(StorageError, match="readonly"):
        await database.read(put("a"))


@pytest.mark.parametrize("ask", ["write", "read"])
async def test_no_cursor_leaves_the_thread_of_its_connection(database, ask):
    """Let go of in another thread, it would reset a statement that is being used for something else."""
    cursors = []

    def work(db):
        cursor = db.execute("SELECT 1 UNION SELECT 2")
        cursors.append(weakref.ref(cursor))
        return cursor

    assert await getattr(database, ask)(work) is None
    assert [cursor() for cursor in cursors] == [None]


@pytest.mark.parametrize("ask", ["write", "read"])
async def test_no_cursor_leaves_its_thread_with_an_error(database, ask):
    cursors = []

    def work(db):
        cursor = db.execute("SELECT 1 UNION SELECT 2")
        cursors.append(weakref.ref(cursor))
        raise InvalidInput("no")

    with pytest.raises(InvalidInput) as caught:
        await getattr(database, ask)(work)
    assert caught.tb is not None
    assert [cursor() for cursor in cursors] == [None]


async def test_no_cursor_leaves_its_thread_with_what_an_error_came_of(database):
    cursors = []

    def ask(db):
        cursor = db.execute("SELECT 1 UNION SELECT 2")
        cursors.append(weakref.ref(cursor))
        raise LookupError

    def work(db):
        try:
            ask(db)
        except LookupError:
            raise InvalidInput("no") from None

    with pytest.raises(InvalidInput):
        await database.write(work)
    assert [cursor() for cursor in cursors] == [None]


async def test_a_slow_query_is_cut_off(database):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StorageError, match="longer than"):
        await database.read_long(lambda db: db.execute(endless).fetchone(), 0.05)


async def test_writes_are_carried_out_in_order(database):
    await asyncio.gather(*(database.write(put(f"{number:03}")) for number in range(50)))
    rows = await database.read(lambda db: [row[0] for row in db.execute("SELECT key FROM meta ORDER BY rowid")])
    assert rows == [f"{number:03}" for number in range(50)]


async def test_a_second_daemon_is_turned_away_and_told_who_was_first(database):
    with pytest.raises(Conflict, match=rf"in use by another hbd \(process {os.getpid()}\)"):
        await Database(database.path, Stats()).open()


async def test_works_that_wait_together_share_a_transaction(database):
    before = database._commit_seconds.count
    await asyncio.gather(*(database.write(put(f"{number:03}")) for number in range(50)))
    assert database._commit_seconds.count - before <= 2


async def test_one_work_that_fails_takes_no_other_with_it(database):
    def fail(db):
        put("bad")(db)
        raise ValueError("no")

    def refused(db):
        put("refused")(db)
        db.execute("INSERT INTO nowhere VALUES (1)")

    works = [put("a"), put("b"), fail, refused, put("c")]
    outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[2:4]] == [ValueError, StorageError]
    assert await database.read(keys) == ["a", "b", "c"]


async def test_a_full_disk_fails_all_that_share_the_transaction_and_keeps_none_of_it(database):
    def fill(db):
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        db.execute("INSERT INTO meta (key, value) VALUES ('big', ?)", ("x" * 100_000,))

    works = [put("first"), put("a"), fill, put("b")]
    outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    stored = await database.read(keys)
    kept = [
        name
        for name, outcome in zip(["first", "a", "big", "b"], outcomes, strict=True)
        if not isinstance(outcome, Exception)
    ]
    assert isinstance(outcomes[2], StorageFull)
    assert sorted(kept) == stored


async def test_whoever_leaves_before_the_commit_disturbs_nobody(database):
    leaving = asyncio.create_task(database.write(put("left")))
    staying = asyncio.create_task(database.write(put("stayed")))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert "stayed" in await database.read(keys)


async def test_what_waits_at_the_close_is_written(tmp_path):
    database = Database(tmp_path / "hbd.db", Stats())
    await database.open()
    waiting = [asyncio.create_task(database.write(put(f"{number:04}"))) for number in range(1_200)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*waiting)


async def test_a_closed_database_takes_nothing(tmp_path):
    database = Database(tmp_path / "hbd.db", Stats())
    await database.open()
    await database.close()
    with pytest.raises(StorageError, match="closed"):
        await database.write(put("a"))


async def test_the_holder_of_an_open_database_is_this_process(database):
    assert holder_of(database.path) == os.getpid()


async def test_a_closed_database_has_no_holder(tmp_path):
    database = Database(tmp_path / "hbd.db", Stats())
    await database.open()
    await database.close()
    assert holder_of(database.path) is None


async def test_on_a_full_disk_it_is_opened_with_the_room_of_the_ballast(tmp_path, monkeypatch):
    path = tmp_path / "hbd.db"
    Ballast(path).make(1 << 20, beside=0)
    monkeypatch.setattr("hbd.store.database.free_bytes", lambda folder: 0)
    database = Database(path, Stats())
    await database.open()
    assert (database.room, database.ballast.size()) == (Room.NONE, 0)
    await database.close()


async def test_what_is_left_of_a_full_disk_is_kept_for_the_next_start(tmp_path):
    database = Database(tmp_path / "hbd.db", Stats())
    await database.open()
    database.room = Room.NONE
    await database.close()
    assert Ballast(tmp_path / "hbd.db").size() == RESTART_BYTES


async def test_the_log_takes_of_the_ballast_what_others_cannot_take_then(database, monkeypatch):
    assert await database.make_ballast(4 << 20)
    give_up = database.ballast.give_up

    def given_up():
        database._connection.execute("PRAGMA max_page_count = 1073741823")
        return give_up()

    def fill(db):
        db.execute("INSERT INTO meta (key, value) VALUES ('big', ?)", ("x" * 100_000,))

    monkeypatch.setattr(database.ballast, "give_up", given_up)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    await database.write(fill)
    assert database.path.with_name("hbd.db-wal").stat().st_size >= 2 << 20
    await database.write(put("a"))
    assert await database.read(keys) == ["a", "big"]


async def test_files_are_for_the_owner_only_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        database = Database(tmp_path / "new" / "hbd.db", Stats())
        await database.open()
        await database.write(put("a"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        folder = stat.S_IMODE((tmp_path / "new").stat().st_mode)
        await database.close()
    finally:
        os.umask(before)
    assert folder == 0o700
    assert set(modes) >= {"hbd.db", "hbd.db-wal", "hbd.db-shm", "hbd.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_what_is_removed_is_not_written_again_to_be_overwritten(database):
    await database.write(lambda db: db.execute("INSERT INTO meta (key, value) VALUES ('big', hex(zeroblob(2000000)))"))
    wal = database.path.with_name("hbd.db-wal")

    def truncate(db):
        return db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    truncate(database._connection)
    await database.write(lambda db: db.execute("DELETE FROM meta WHERE key = 'big'"))
    assert wal.stat().st_size < 400_000


async def test_commits_are_synced_to_disk(database):
    assert await database.write(lambda db: None) is None
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)


# ------------------------------------------------------------------------------------------------------- migrations

FIRST = Migration(1, "first", "CREATE TABLE a (x);\nINSERT INTO a VALUES (1);")
SECOND = Migration(2, "second", "ALTER TABLE a ADD COLUMN y;\nUPDATE a SET y = 2;")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hbd.db"
    connection = sqlite3.connect(path, isolation_level=None)
    yield path, connection
    connection.close()


def test_steps_are_applied_once(file):
    path, connection = file
    migrate(connection, path, [FIRST])
    migrate(connection, path, [FIRST])
    assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]


def test_an_upgrade_keeps_a_copy_of_the_old_database(file):
    path, connection = file
    migrate(connection, path, [FIRST])
    migrate(connection, path, [FIRST, SECOND])
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]
    copy = sqlite3.connect(path.with_name("hbd.db.schema-1"))
    assert copy.execute("SELECT * FROM a").fetchall() == [(1,)]
    copy.close()


def test_a_step_that_fails_undoes_all_of_the_upgrade(file):
    path, connection = file
    migrate(connection, path, [FIRST])
    broken = Migration(3, "broken", "CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(StorageError, match="from schema 1 to 3, and stays as it was: no such table"):
        migrate(connection, path, [FIRST, SECOND, broken])
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]


def test_without_room_for_a_copy_nothing_is_upgraded(file, monkeypatch):
    path, connection = file
    migrate(connection, path, [FIRST])
    monkeypatch.setattr("hbd.store.database.free_bytes", lambda folder: 10 << 20)
    with pytest.raises(StorageError, match=r"no room to upgrade .*: 16 MiB must be free in .*, 10 are"):
        migrate(connection, path, [FIRST, SECOND])
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]


def test_an_upgrade_that_the_disk_has_no_room_for_leaves_every_row(file):
    path, connection = file
    migrate(connection, path, [FIRST])
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = Migration(2, "large", "CREATE TABLE b (x);\nINSERT INTO b VALUES (zeroblob(100000));")
    with pytest.raises(StorageError, match="stays as it was: database or disk is full"):
        migrate(connection, path, [FIRST, large])
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]


def test_of_the_copies_that_upgrades_leave_the_newest_stays(file):
    path, connection = file
    migrate(connection, path, [FIRST])
    migrate(connection, path, [FIRST, SECOND])
    migrate(connection, path, [FIRST, SECOND, Migration(3, "third", "CREATE TABLE b (x);")])
    assert [copy.name for copy in path.parent.glob("hbd.db.*")] == ["hbd.db.schema-2"]


def test_f04_a_crash_at_any_statement_of_an_upgrade_leaves_the_old_database(file, tmp_path):
    path, connection = file
    shipped, images = migrations(), tmp_path / "images"
    images.mkdir()
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, path, shipped[:1])
    connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'kept')")

    class Crashing(Migration):
        """Leaves before each of its statements a picture of what a crash would leave."""

        def statements(self):
            for statement in super().statements():
                folder = images / f"{len([*images.iterdir()]):04}"
                folder.mkdir()
                for name in ("hbd.db", "hbd.db-wal"):
                    (folder / name).write_bytes(path.with_name(name).read_bytes())
                yield statement

    migrate(connection, path, [Crashing(*step) for step in shipped])
    found = set()
    for folder in images.iterdir():
        crashed = sqlite3.connect(folder / "hbd.db")
        found |= {crashed.execute(f"PRAGMA {what}").fetchone() for what in ("user_version", "integrity_check")}
        found.add(crashed.execute("SELECT value FROM meta WHERE key = 'a'").fetchone())
        crashed.close()
    assert len([*images.iterdir()]) > len(shipped)
    assert found == {(1,), ("ok",), ("kept",)}


def test_a_newer_database_is_refused(file):
    path, connection = file
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match=r"newer hbd \(schema 99, this one knows 1\)"):
        migrate(connection, path, [FIRST])


def test_shipped_steps_split_into_whole_statements():
    for step in migrations():
        assert all(sqlite3.complete_statement(statement) for statement in step.statements())
