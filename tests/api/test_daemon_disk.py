"""What a daemon says of a full disk, and of a database that no backup can be made of."""

import pytest
from house import PATH, RULES, report
from programs import eventually

from hbd.errors import StorageFull
from hbd.model import Level, Moment
from hbd.store.database import Room


@pytest.mark.parametrize(
    ("room", "reasons"),
    [
        (Room.ENOUGH, []),
        (Room.TIGHT, []),
        (Room.NONE, ["the disk is full: no samples are taken; agents keep their reports"]),
    ],
)
async def test_a_daemon_that_takes_no_samples_is_not_ready(house, room, reasons):
    daemon = await house.start("ballast: 0\n")
    daemon.store.database.room = room
    assert daemon.unready() == reasons


@pytest.mark.parametrize(
    ("room", "storage"),
    [
        (Room.ENOUGH, "ok"),
        (Room.TIGHT, "the disk is full: new samples take the room of the oldest history"),
        (Room.NONE, "the disk is full: no samples are taken; agents keep their reports"),
    ],
)
async def test_the_status_says_what_the_disk_has_room_for(house, room, storage):
    daemon = await house.start("ballast: 0\n")
    daemon.store.database.room = room
    assert daemon.status().storage == storage


async def test_a_reload_gives_the_ballast_another_size(house):
    daemon = await house.start("ballast: 1 MiB\n")
    await daemon.upkeep.look_at_disk(Moment.now())
    house.write("ballast: 2 MiB\n")
    assert (await daemon.reload()).ok
    await daemon.upkeep.look_at_disk(Moment.now())
    assert daemon.store.database.ballast.size() == 2 << 20


async def refused(house):
    """A daemon whose disk has no room, after a report that it did not take."""
    daemon = await house.start(f"ballast: 0\n{RULES}")
    await report(daemon, "web-1", seq=1, data={"cpu_percent": 10.0})
    daemon.pipeline.lacks_room = lambda: True
    with pytest.raises(StorageFull):
        await report(daemon, "web-1", seq=2, data={"cpu_percent": 95.0})

    async def is_told():
        return [event for event in await daemon.store.alerts.events(10) if event.path == PATH]

    daemon.told = await eventually(is_told, 10, "the alert is on disk")
    return daemon


async def test_f06_a_report_that_has_no_room_is_judged(house):
    daemon = await refused(house)
    assert [(event.after, event.value) for event in daemon.told] == [(Level.CRITICAL, 95.0)]


async def test_f06_a_report_that_has_no_room_is_kept_nowhere(house):
    daemon = await refused(house)
    host = daemon.hosts.get("web-1")
    assert daemon.rings.latest(host.id, "cpu_monitor").data["cpu_percent"] == 10.0
    assert await daemon.store.database.read(lambda db: db.execute("SELECT seq FROM samples").fetchall()) == [(1,)]


async def test_f06_a_report_that_had_no_room_is_taken_when_it_comes_again(house):
    daemon = await refused(house)
    daemon.pipeline.lacks_room = lambda: False
    await report(daemon, "web-1", seq=2, data={"cpu_percent": 95.0})
    assert len([event for event in await daemon.store.alerts.events(10) if event.path == PATH]) == 1


async def damaged(house):
    """A daemon that was to make a backup of a database with a damaged page, twice."""
    daemon = await house.start(f"ballast: 0\nbackup: {{folder: {house.folder}/copies}}\n")
    db = daemon.store.database._connection
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'deployments'").fetchone()
    with daemon.store.database.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    now = Moment.now()
    daemon.notes = []
    daemon.pipeline.note = lambda text, now: daemon.notes.append(text)
    for minutes in (0, 11):
        await daemon.upkeep.back_up(Moment(now.wall + minutes * 60, now.mono + minutes * 60))
    return daemon


async def test_a_backup_that_fails_is_told_on_the_status_page(house):
    daemon = await damaged(house)
    (warning,) = [line for line in daemon.status().warnings if line.startswith("backup: ")]
    assert "is damaged: Page" in warning


async def test_a_backup_that_fails_is_told_once_in_the_journal(house):
    daemon = await damaged(house)
    (line,) = daemon.notes
    assert line.startswith("no backup could be made: hbd-")


async def test_people_are_told_of_a_backup_that_fails(house):
    daemon = await damaged(house)
    assert "is damaged: Page" in daemon.notifications.watch.backup_problem()
