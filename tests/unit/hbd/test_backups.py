"""Copies of a real SQLite file."""

import asyncio
import hashlib
import sqlite3
import stat

import pytest

from hbd.backups import Backups, Counts, restore
from hbd.errors import Conflict, InvalidInput, StorageError
from hbd.stats import Stats
from hbd.store import Store


@pytest.fixture
async def store(tmp_path):
    opened = Store(tmp_path / "hbd.db", Stats())
    await opened.open()
    await opened.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    yield opened
    await opened.close()


def damage(store, table):
    """Overwrite the first page of a table where it lies on disk."""
    db = store.database._connection
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    with store.database.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def hosts_in(path):
    db = sqlite3.connect(path)
    try:
        return [name for (name,) in db.execute("SELECT name FROM hosts ORDER BY name")]
    finally:
        db.close()


async def test_a_backup_has_what_was_committed(store, tmp_path):
    await Backups(store).make(str(tmp_path / "copy.db"))
    assert hosts_in(tmp_path / "copy.db") == ["web-1"]


async def test_a_backup_says_what_is_in_it(store, tmp_path):
    made = await Backups(store).make(str(tmp_path / "copy.db"))
    assert (made["hosts"], made["users"], made["problems"]) == (1, 0, 0)
    assert made["size"] == (tmp_path / "copy.db").stat().st_size


async def test_a_backup_is_one_file_and_its_checksum_that_nobody_else_reads(store, tmp_path):
    folder = tmp_path / "copies"
    await Backups(store).make(str(folder / "copy.db"))
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "copy.db": 0o600,
        "copy.db.sha256": 0o600,
    }


async def test_the_checksum_beside_a_backup_is_one_that_sha256sum_checks(store, tmp_path):
    await Backups(store).make(str(tmp_path / "copy.db"))
    digest = hashlib.sha256((tmp_path / "copy.db").read_bytes()).hexdigest()
    assert (tmp_path / "copy.db.sha256").read_text() == f"{digest}  copy.db\n"


async def test_a_backup_made_under_writes_is_of_one_moment(store, tmp_path):
    done = asyncio.Event()

    async def write():
        number = 2
        while not done.is_set():
            await store.hosts.enrol(f"web-{number:05}", f"agent_{number}", [], None, 0.0)
            number += 1

    writing = asyncio.create_task(write())
    made = await Backups(store).make(str(tmp_path / "copy.db"))
    done.set()
    await writing
    names = hosts_in(tmp_path / "copy.db")
    assert len(names) == made["hosts"]
    assert names == ["web-00002", *names[1:-1], "web-1"] or names == ["web-1"]


async def test_a_backup_replaces_nothing(store, tmp_path):
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(StorageError, match="exists"):
        await Backups(store).make(str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_backup_goes_to_a_place_that_is_named_whole(store):
    with pytest.raises(InvalidInput, match="absolute"):
        await Backups(store).make("copy.db")


async def test_without_room_there_is_no_backup(store, tmp_path, monkeypatch):
    monkeypatch.setattr("hbd.backups.ROOM", 1 << 60)
    backups = Backups(store)
    with pytest.raises(StorageError, match="no room"):
        await backups.make(str(tmp_path / "copy.db"))
    assert "no room" in backups.problem


async def test_a_copy_that_is_not_whole_gets_no_name(store, tmp_path, monkeypatch):
    def prove(path, name):
        raise StorageError("damaged")

    monkeypatch.setattr("hbd.backups._prove", prove)
    with pytest.raises(StorageError, match="damaged"):
        await Backups(store).make(str(tmp_path / "copies" / "copy.db"))
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_database_with_a_damaged_page_gives_no_backup(store, tmp_path):
    damage(store, "messages")
    with pytest.raises(StorageError, match=r"^copy\.db is damaged: Page \d+: .*; so may be the database: keep"):
        await Backups(store).make(str(tmp_path / "copies" / "copy.db"))
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_copy_with_less_in_it_than_the_database_is_no_backup(store, tmp_path, monkeypatch):
    counted = iter([Counts(1, 0, 0, 0, 0, 0, 0, 0), Counts(0, 0, 0, 0, 0, 0, 0, 0)])
    monkeypatch.setattr("hbd.backups._counts", lambda db: next(counted))
    with pytest.raises(StorageError, match="is not what the database was"):
        await Backups(store).make(str(tmp_path / "copies" / "copy.db"))
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_copy_that_hbd_would_not_start_with_is_no_backup(store, tmp_path):
    await store.database.write(lambda db: db.execute("DROP TABLE connections"))
    with pytest.raises(StorageError, match=r"hbd would not start with copy\.db: no such table: connections"):
        await Backups(store).make(str(tmp_path / "copies" / "copy.db"))
    assert list((tmp_path / "copies").iterdir()) == []


async def test_what_a_kill_left_of_a_copy_is_removed_with_the_next_one(store, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / ".hbd-20260101-000000.db.partial").write_text("half")
    (folder / "hbd-20260101-000000.db.sha256").write_text("of the half")
    (folder / ".mine.partial").write_text("mine")
    await Backups(store).rotate(folder, 3600.0, 2, 1_750_000_000.0)
    assert sorted(path.name for path in folder.iterdir()) == [
        ".mine.partial",
        "hbd-20250615-150640.db",
        "hbd-20250615-150640.db.sha256",
    ]


async def test_the_newest_backup_is_remembered(store, tmp_path):
    backups = Backups(store)
    await backups.make(str(tmp_path / "copy.db"))
    assert backups.last is not None
    assert backups.last.path == str(tmp_path / "copy.db")


async def test_a_backup_is_made_when_it_is_due_and_the_oldest_go(store, tmp_path):
    backups, folder = Backups(store), tmp_path / "copies"
    for day in range(4):
        assert await backups.rotate(folder, 0.0, 2, 4e9 + day * 86_400)
    assert sorted(path.name for path in folder.glob("*.db")) == ["hbd-20961004-070640.db", "hbd-20961005-070640.db"]


async def test_the_checksum_goes_with_its_backup(store, tmp_path):
    backups, folder = Backups(store), tmp_path / "copies"
    for day in range(3):
        await backups.rotate(folder, 0.0, 1, 4e9 + day * 86_400)
    assert [path.name for path in folder.glob("*.sha256")] == ["hbd-20961004-070640.db.sha256"]


async def test_the_checksum_of_a_backup_that_somebody_compressed_stays(store, tmp_path):
    backups, folder = Backups(store), tmp_path / "copies"
    await backups.rotate(folder, 0.0, 1, 4e9)
    (folder / "hbd-20961002-070640.db").rename(folder / "hbd-20961002-070640.db.gz")
    await backups.rotate(folder, 0.0, 1, 4e9 + 86_400)
    assert (folder / "hbd-20961002-070640.db.sha256").exists()


async def test_a_backup_that_is_not_due_is_not_made(store, tmp_path):
    backups, folder = Backups(store), tmp_path / "copies"
    await backups.rotate(folder, 3600.0, 2, 1_750_000_000.0)
    assert not await backups.rotate(folder, 3600.0, 2, 1_750_000_001.0)


async def test_what_somebody_else_put_into_the_folder_stays(store, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "hbd-mine.db").write_text("mine")
    for day in range(3):
        await Backups(store).rotate(folder, 0.0, 1, 4e9 + day * 86_400)
    assert (folder / "hbd-mine.db").exists()


# ------------------------------------------------------------------------------------------------------------- restore


@pytest.fixture
async def copy(store, tmp_path):
    await Backups(store).make(str(tmp_path / "copy.db"))
    return tmp_path / "copy.db"


def test_restoring_to_where_nothing_is_asks_nothing(copy, tmp_path):
    assert restore(copy, tmp_path / "new" / "hbd.db") is None
    assert hosts_in(tmp_path / "new" / "hbd.db") == ["web-1"]


async def test_a_database_that_is_there_is_not_replaced_by_accident(store, copy, tmp_path):
    await store.close()
    with pytest.raises(Conflict, match="--force"):
        restore(copy, tmp_path / "hbd.db")


async def test_a_database_that_is_replaced_is_kept_with_its_newest_changes(store, copy, tmp_path):
    await store.hosts.enrol("web-2", "agent_2", [], None, 0.0)
    await store.close()
    kept = restore(copy, tmp_path / "hbd.db", force=True)
    assert (hosts_in(kept), hosts_in(tmp_path / "hbd.db")) == (["web-1", "web-2"], ["web-1"])


async def test_a_restored_database_is_one_that_hbd_opens(copy, tmp_path):
    restore(copy, tmp_path / "new" / "hbd.db")
    again = Store(tmp_path / "new" / "hbd.db", Stats())
    await again.open()
    assert [row.name for row in await again.hosts.all()] == ["web-1"]
    await again.close()


def test_nothing_is_restored_under_a_running_daemon(store, copy, tmp_path):
    with pytest.raises(Conflict, match="in use"):
        restore(copy, tmp_path / "hbd.db", force=True)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + bytes(4080)])
async def test_what_is_no_backup_replaces_nothing(store, tmp_path, content):
    await store.close()
    (tmp_path / "odd.db").write_bytes(content)
    with pytest.raises(StorageError):
        restore(tmp_path / "odd.db", tmp_path / "hbd.db", force=True)
    assert hosts_in(tmp_path / "hbd.db") == ["web-1"]


async def test_a_damaged_backup_replaces_nothing(store, copy, tmp_path):
    await store.close()
    whole = bytearray(copy.read_bytes())
    whole[4096 * 3 : 4096 * 6] = bytes(4096 * 3)
    (tmp_path / "odd.db").write_bytes(whole)
    with pytest.raises(StorageError):
        restore(tmp_path / "odd.db", tmp_path / "hbd.db", force=True)
    assert hosts_in(tmp_path / "hbd.db") == ["web-1"]


async def test_a_value_that_went_bad_in_a_backup_is_seen(store, copy, tmp_path):
    await store.close()
    copy.write_bytes(copy.read_bytes().replace(b"web-1", b"web-7"))
    with pytest.raises(StorageError, match=r"^copy\.db is damaged: it is not the file that copy\.db\.sha256"):
        restore(copy, tmp_path / "hbd.db", force=True)
    assert hosts_in(tmp_path / "hbd.db") == ["web-1"]


def test_a_backup_without_its_checksum_is_restored(copy, tmp_path):
    (tmp_path / "copy.db.sha256").unlink()
    restore(copy, tmp_path / "new" / "hbd.db")
    assert hosts_in(tmp_path / "new" / "hbd.db") == ["web-1"]


async def test_a_backup_of_a_newer_hbd_is_refused(store, copy, tmp_path):
    (tmp_path / "copy.db.sha256").unlink()
    db = sqlite3.connect(copy)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StorageError, match="newer hbd"):
        restore(copy, tmp_path / "new" / "hbd.db")


def test_a_backup_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="is no file"):
        restore(tmp_path / "none.db", tmp_path / "hbd.db")
