"""What is given up for the disk, on a real SQLite file whose number of pages is bounded as that of a full disk is."""

import random
from itertools import pairwise

import pytest

from hbd.config import Config
from hbd.disk import Disk
from hbd.errors import StorageError
from hbd.model import Moment
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.ballast import SPARE_BYTES
from hbd.store.database import Room
from hbd.store.history import RAW, Row, insert

NOW = 1_750_000_000.0
MIB = 1 << 20
ROW_BYTES = 40_000
TIERS = {"raw": RAW, "minutes": MINUTE, "quarters": QUARTER, "hours": HOUR, "days": DAY}


class Site:
    """A store with a disk that is looked after. free: bytes that the file system has, as far as hbd is told."""

    def __init__(self, folder, monkeypatch):
        self.free = 1 << 40
        monkeypatch.setattr("hbd.store.ballast.free_bytes", lambda folder: self.free)
        monkeypatch.setattr("hbd.disk.BREATH_SECONDS", 0)
        self.store = Store(folder / "hbd.db", Stats())
        self.database = self.store.database
        self.notes = []
        config = Config(database=folder / "hbd.db", ballast=MIB)
        self.disk = Disk(config, self.store, lambda text, now: self.notes.append(text))

    async def keep(self, tier, ages, count):
        """So many rows of each of these ages (seconds)."""
        rng = random.Random(f"{tier} {ages}")
        rows = [
            Row(TIERS[tier], 0, NOW - age, NOW - age, True, rng.randbytes(ROW_BYTES))
            for age in ages
            for _ in range(count)
        ]
        await self.database.write(lambda db: insert(db, 1, rows))

    async def kept(self):
        """How many rows are left of each tier."""
        sql = "SELECT tier, count(*) FROM history GROUP BY tier"
        found = dict(await self.database.read(lambda db: db.execute(sql).fetchall()))
        return {name: found[tier] for name, tier in TIERS.items() if tier in found}

    async def bound(self, more=0):
        """Let the file grow by so many pages and no more."""

        def work(db):
            pages = db.execute("PRAGMA page_count").fetchone()[0] + more
            return db.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        await self.database.write(work)

    async def unbound(self):
        await self.database.write(lambda db: db.execute("PRAGMA max_page_count = 1073741823").fetchone())

    async def write(self, size):
        value = random.Random(size).randbytes(size).hex()
        sql = "INSERT INTO meta (key, value) VALUES ('big', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        await self.database.write(lambda db: db.execute(sql, (value,)))

    async def look(self):
        await self.disk.look(Moment(NOW, 0.0))

    async def fill(self):
        """Let the disk be full: the file is, and there is no more of it."""
        self.free = 0
        await self.bound()
        with pytest.raises(StorageError):
            await self.write(100_000)


@pytest.fixture
async def site(tmp_path, monkeypatch):
    made = Site(tmp_path, monkeypatch)
    await made.store.open()
    await made.store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    yield made
    await made.store.close()


# -------------------------------------------------------------------------------------------------------- a full disk


async def test_with_room_there_is_a_ballast(site):
    await site.look()
    assert (site.database.ballast.size(), site.disk.warnings()) == (MIB, [])


async def test_without_room_for_a_ballast_that_is_told_and_all_is_taken(site):
    site.free = 0
    await site.look()
    assert site.database.room is Room.ENOUGH
    assert site.disk.warnings() == ["ballast: there is no room for it; 17 MiB must be free beside the database"]


async def test_without_a_ballast_wanted_there_is_none(site):
    site.disk.config = Config(ballast=0)
    await site.look()
    assert (site.database.ballast.size(), site.disk.warnings()) == (0, [])


@pytest.mark.parametrize("size", [0, MIB])
async def test_a_ballast_that_is_as_it_should_be_is_left_alone(site, monkeypatch, size):
    site.disk.config = Config(ballast=size)
    await site.look()
    made = []
    monkeypatch.setattr(site.database.ballast, "make", made.append)
    await site.look()
    assert made == []


async def test_what_is_written_to_a_full_disk_has_the_room_of_the_ballast(site, monkeypatch):
    await site.look()
    await site.bound()
    give_up = site.database.ballast.give_up

    def given_up():
        site.database._connection.execute("PRAGMA max_page_count = 1073741823")
        return give_up()

    monkeypatch.setattr(site.database.ballast, "give_up", given_up)
    await site.write(100_000)
    assert (site.database.problem, site.database.room, site.database.ballast.size()) == (None, Room.NONE, 0)


async def test_on_a_full_disk_the_oldest_samples_go_for_what_comes(site):
    await site.keep("raw", [86_400.0, 3600.0], 300)
    await site.keep("minutes", [10 * 86_400.0], 10)
    await site.fill()
    await site.look()
    assert site.database.room is Room.TIGHT
    assert await site.kept() == {"raw": 350, "minutes": 10}  # some 8 MiB
    await site.write(4 * MIB)
    assert site.database.problem is None


async def test_on_a_full_disk_without_old_history_samples_are_not_taken(site):
    await site.keep("raw", [3600.0], 10)
    await site.fill()
    await site.look()
    assert (site.database.room, await site.kept()) == (Room.NONE, {"raw": 10})
    assert site.notes == ["the disk is full: no samples are taken; agents keep their reports"]


async def test_when_there_is_room_again_everything_is_taken(site):
    await site.keep("raw", [86_400.0], 300)
    await site.fill()
    await site.look()
    site.free = 1 << 40
    await site.unbound()
    await site.look()
    assert (site.database.room, site.database.ballast.size()) == (Room.ENOUGH, MIB)
    assert site.notes == [
        "the disk is full: new samples take the room of the oldest history",
        "the disk has room again; 250 rows of history were given up",
    ]


async def test_a_disk_with_little_room_is_still_full(site):
    await site.keep("raw", [86_400.0], 300)
    await site.fill()
    site.free = SPARE_BYTES
    await site.look()
    assert site.database.room is Room.TIGHT


async def test_on_a_full_disk_free_pages_are_kept(site):
    await site.keep("raw", [86_400.0], 300)
    await site.fill()
    await site.look()
    before = await site.database.usage()
    await site.disk.keep_within(None, NOW)
    assert (await site.database.usage()).free == before.free


async def test_a_write_that_changes_nothing_proves_nothing(site):
    await site.fill()
    await site.store.history.give_up(RAW, NOW)
    assert site.database.problem is not None


# ------------------------------------------------------------------------------------------------- a limit of its size


async def filled(site):
    await site.keep("raw", [86_400.0, 7 * 3600.0, 5 * 3600.0], 100)
    await site.keep("minutes", [10 * 86_400.0, 86_400.0], 100)
    await site.keep("quarters", [30 * 86_400.0, 86_400.0], 100)
    await site.keep("hours", [100 * 86_400.0, 86_400.0], 100)
    await site.keep("days", [1000 * 86_400.0], 100)


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        (950, {"raw": 250, "minutes": 200, "quarters": 200, "hours": 200, "days": 100}),
        (850, {"raw": 150, "minutes": 200, "quarters": 200, "hours": 200, "days": 100}),
        (750, {"raw": 100, "minutes": 150, "quarters": 200, "hours": 200, "days": 100}),
        (650, {"raw": 100, "minutes": 100, "quarters": 150, "hours": 200, "days": 100}),
        (550, {"raw": 100, "minutes": 100, "quarters": 100, "hours": 150, "days": 100}),
        (450, {"raw": 100, "minutes": 100, "quarters": 100, "hours": 100, "days": 100}),
    ],
)
async def test_within_its_limit_history_goes_in_the_declared_order(site, rows, left):
    await filled(site)
    used = (await site.database.usage()).used
    await site.disk.keep_within(used - (1000 - rows) * ROW_BYTES, NOW)
    assert await site.kept() == left


async def test_a_database_within_its_limit_keeps_everything(site):
    await filled(site)
    await site.disk.keep_within((await site.database.usage()).used, NOW)
    assert sum((await site.kept()).values()) == 1000


async def test_what_was_given_up_leaves_the_file(site):
    await filled(site)
    limit = (await site.database.usage()).used - 300 * ROW_BYTES
    await site.disk.keep_within(limit, NOW)
    await site.database.write(lambda db: None)
    used, free = await site.database.usage()
    await site.store.close()  # what it wrote is in the file then
    assert site.database.path.stat().st_size == used + free <= limit


async def test_the_file_shrinks_in_steps_that_nobody_feels(site, monkeypatch):
    await filled(site)
    sizes = []
    shrink = site.database.shrink

    async def step():
        await shrink()
        sizes.append(sum(await site.database.usage()))

    monkeypatch.setattr(site.database, "shrink", step)
    await site.disk.keep_within((await site.database.usage()).used - 300 * ROW_BYTES, NOW)
    steps = [before - after for before, after in pairwise(sizes)]
    assert len(steps) > 3
    assert max(steps) <= 3 * MIB


async def test_a_limit_that_cannot_be_kept_is_told_once(site):
    await filled(site)
    for _ in range(2):
        await site.disk.keep_within(16 * MIB, NOW)
    assert len(site.notes) == 1
    assert "larger than retention.max_size, with nothing to give up" in site.notes[0]
    assert "retention.max_size: the database is" in site.disk.warnings()[0]


async def test_a_limit_that_is_kept_again_is_no_matter(site):
    await filled(site)
    await site.disk.keep_within(16 * MIB, NOW)
    await site.disk.keep_within(64 * MIB, NOW)
    assert site.disk.warnings() == []
