"""Silences, windows and acknowledgements on disk: what was answered is there, whatever happens next."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hbd.alerts import Alert, Alerts
from hbd.config import Config
from hbd.config.structs import Maintenance
from hbd.errors import Conflict, NotFound, StorageError
from hbd.hosts import Host
from hbd.hushes import Ack, MaintenanceWindow, Silence
from hbd.hushing import Hushing
from hbd.matching import Matcher
from hbd.model import Level, Message, Moment
from hbd.schedule import Window, WindowTexts
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.audit import Entry

NOW = 1_750_000_000.0
PATH = "presence.host"
TEXTS = WindowTexts("2026-01-14T22:00", 7200.0, "Europe/Zurich", "weekly", ("mon", "sun"), "2026-12-31")
ABOUT = Matcher(hosts=("web*",), tags=("prod",), metrics=("disk_monitor.*",))


def entry(action: str) -> Entry:
    return Entry(time=NOW, user="alice", via="session", action=action)


def silence(ends: float = NOW + 3600) -> Silence:
    matcher = Matcher(hosts=("web*",), tags=("prod",), metrics=("a.*",), levels=(Level.WARNING,))
    return Silence(id=0, matcher=matcher, reason="why", author="alice", created=NOW, starts=NOW, ends=ends)


def window() -> MaintenanceWindow:
    return MaintenanceWindow(
        id=None, name="backup", matcher=ABOUT, window=Window.read(TEXTS), author="alice", source="api"
    )


class Room:
    """A database with a host, its alerts, and what hushes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "hbd.db", Stats())
        self.alerts = Alerts()
        self.hushing = Hushing(self.store, self.alerts)
        self.wall = NOW

    async def open(self) -> None:
        await self.store.open()
        self.alerts.load(await self.store.alerts.all(), Moment(self.wall, 0.0))
        await self.hushing.load(Config(), self.wall)

    async def enrol(self) -> Host:
        return Host(await self.store.hosts.enrol("web1", "agent_000000000001", [], None, NOW), "web1", "agent_1")

    async def tell(self, host: Host, level: Level, *, adopt: bool = True) -> Alert:
        self.wall += 1
        now = Moment(self.wall, self.wall - NOW)
        plan = self.alerts.begin(now)
        plan.liveness(host.id, PATH, level, "because", now)
        await self.store.record(Turn(alerts=plan.rows, gone=plan.gone, events=plan.events))
        self.alerts.adopt(plan)
        for event in plan.events if adopt else ():
            self.hushing.came_to(event)
        alert = self.alerts.get(host.id, PATH)
        assert alert is not None
        return alert

    async def acknowledge(self, alert: Alert, note: str = "mine") -> None:
        ack = Ack(
            problem=alert.problem,
            host_id=alert.host_id,
            path=alert.path,
            level=alert.level,
            user="alice",
            note=note,
            time=NOW,
        )
        await self.hushing.acknowledge(ack, entry("alert.acknowledge"), Message(NOW, "web1", "alice acknowledged it"))

    async def after_kill(self) -> Room:
        """Another daemon on what is on disk now, while this one still has it open."""
        copy = self.folder / f"copy{time.monotonic_ns()}"
        copy.mkdir()
        for name in ("hbd.db", "hbd.db-wal"):
            shutil.copy(self.folder / name, copy / name)
        other = Room(copy)
        other.wall = self.wall
        await other.open()
        return other

    async def acks_on_disk(self) -> list[str]:
        return await self.store.database.read(
            lambda db: [problem for (problem,) in db.execute("SELECT problem FROM acks")]
        )


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    made = Room(tmp_path)
    await made.open()
    yield made
    await made.store.close()


# ------------------------------------------------------------------------------------------------- what outlives a kill


async def test_a_silence_outlives_a_kill(room: Room) -> None:
    made = await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    other = await room.after_kill()
    assert other.hushing.silences(NOW) == [made]
    await other.store.close()


async def test_the_end_of_a_silence_outlives_a_kill(room: Room) -> None:
    made = await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    await room.hushing.end_silence(made.id, entry("silence.end"), NOW + 5)
    other = await room.after_kill()
    assert other.hushing.silences(NOW + 5) == []
    (ended,) = await other.hushing.ended_silences(NOW + 5, 10)
    assert (ended.id, ended.ends) == (made.id, NOW + 5)
    await other.store.close()


async def test_a_window_outlives_a_kill_with_all_that_was_said_of_it(room: Room) -> None:
    made = await room.hushing.add_window(window(), entry("window.create"))
    other = await room.after_kill()
    assert other.hushing.windows() == [made]
    await other.store.close()


async def test_an_acknowledgement_outlives_a_kill(room: Room) -> None:
    alert = await room.tell(await room.enrol(), Level.WARNING)
    await room.acknowledge(alert)
    other = await room.after_kill()
    assert (found := other.hushing.ack_of(alert.problem)) is not None
    assert (found.user, found.note, found.level, found.time) == ("alice", "mine", Level.WARNING, NOW)
    await other.store.close()


@pytest.mark.parametrize("level", [Level.OK, Level.CRITICAL])
async def test_the_end_of_an_acknowledgement_is_on_disk_with_what_ended_it(room: Room, level: Level) -> None:
    host = await room.enrol()
    await room.acknowledge(await room.tell(host, Level.WARNING))
    await room.tell(host, level, adopt=False)
    assert await room.acks_on_disk() == []


async def test_an_acknowledgement_outlives_a_change_for_the_better(room: Room) -> None:
    host = await room.enrol()
    await room.acknowledge(await room.tell(host, Level.CRITICAL))
    alert = await room.tell(host, Level.WARNING)
    assert await room.acks_on_disk() == [alert.problem]
    assert room.hushing.ack_of(alert.problem)


# ------------------------------------------------------------------------------------------------------------- changes


async def test_what_is_changed_is_in_the_audit_log(room: Room) -> None:
    made = await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    added = await room.hushing.add_window(window(), entry("window.create"))
    assert added.id is not None
    await room.hushing.change_window(added.id, window(), entry("window.change"))
    await room.hushing.delete_window(added.id, entry("window.delete"))
    await room.acknowledge(alert := await room.tell(await room.enrol(), Level.WARNING))
    await room.hushing.end_ack(alert.problem, entry("alert.unacknowledge"), Message(NOW, "web1", "taken back"))
    told = [(found.action, found.object) for found in reversed(await room.store.audit.recent(10))]
    assert told == [
        ("silence.create", f"silence {made.id}"),
        ("window.create", ""),
        ("window.change", ""),
        ("window.delete", ""),
        ("alert.acknowledge", ""),
        ("alert.unacknowledge", ""),
    ]


async def test_acknowledging_is_told_in_the_journal(room: Room) -> None:
    await room.acknowledge(await room.tell(await room.enrol(), Level.WARNING))
    assert [message.msg for message in await room.store.messages.recent(10)] == ["alice acknowledged it"]


async def test_a_second_acknowledgement_takes_the_place_of_the_first(room: Room) -> None:
    alert = await room.tell(await room.enrol(), Level.WARNING)
    await room.acknowledge(alert, "first")
    await room.acknowledge(alert, "second")
    assert (found := room.hushing.ack_of(alert.problem)) is not None
    assert found.note == "second"


@pytest.mark.parametrize("level", [Level.OK, Level.CRITICAL])
async def test_what_changed_meanwhile_is_not_acknowledged(room: Room, level: Level) -> None:
    host = await room.enrol()
    seen = await room.tell(host, Level.WARNING)
    await room.tell(host, level)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await room.acknowledge(seen)
    assert room.hushing.ack_of(seen.problem) is None
    assert await room.store.audit.recent(10) == []


async def test_what_gets_worse_while_it_is_acknowledged_is_not_acknowledged(room: Room) -> None:
    host = await room.enrol()
    alert = await room.tell(host, Level.WARNING)
    await asyncio.gather(room.acknowledge(alert), room.tell(host, Level.CRITICAL))
    assert await room.acks_on_disk() == []
    assert room.hushing.ack_of(alert.problem) is None


async def test_nobody_takes_back_what_nobody_acknowledged(room: Room) -> None:
    alert = await room.tell(await room.enrol(), Level.WARNING)
    with pytest.raises(Conflict, match="Nobody"):
        await room.hushing.end_ack(alert.problem, entry("x"), Message(NOW, "web1", "x"))


async def test_a_silence_ends_once(room: Room) -> None:
    made = await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    answers = await asyncio.gather(
        room.hushing.end_silence(made.id, entry("silence.end"), NOW + 5),
        room.hushing.end_silence(made.id, entry("silence.end"), NOW + 5),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), NotFound]


async def test_a_window_keeps_its_author_when_another_changes_it(room: Room) -> None:
    made = await room.hushing.add_window(window(), entry("window.create"))
    assert made.id is not None
    changed = MaintenanceWindow(
        id=None, name="other", matcher=ABOUT, window=Window.read(TEXTS), author="bob", source="api"
    )
    await room.hushing.change_window(made.id, changed, entry("window.change"))
    other = await room.after_kill()
    (found,) = other.hushing.windows()
    assert (found.id, found.name, found.author) == (made.id, "other", "alice")
    await other.store.close()


async def test_what_the_disk_does_not_take_has_not_happened(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(work: object) -> None:
        raise StorageError("full")

    alert = await room.tell(await room.enrol(), Level.WARNING)
    monkeypatch.setattr(room.store.database, "write", refuse)
    with pytest.raises(StorageError):
        await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    with pytest.raises(StorageError):
        await room.hushing.add_window(window(), entry("window.create"))
    with pytest.raises(StorageError):
        await room.acknowledge(alert)
    assert (room.hushing.silences(NOW), room.hushing.windows()) == ([], [])
    assert room.hushing.ack_of(alert.problem) is None


async def test_there_is_an_end_to_how_many_silences_there_are(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbd.hushing.MOST_SILENCES", 1)
    await room.hushing.add_silence(silence(NOW + 60), entry("silence.create"), NOW)
    with pytest.raises(Conflict, match="already"):
        await room.hushing.add_silence(silence(), entry("silence.create"), NOW)
    await room.hushing.add_silence(silence(), entry("silence.create"), NOW + 61)


async def test_there_is_an_end_to_how_many_windows_there_are(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbd.hushing.MOST_WINDOWS", 1)
    await room.hushing.add_window(window(), entry("window.create"))
    with pytest.raises(Conflict, match="already"):
        await room.hushing.add_window(window(), entry("window.create"))


# ----------------------------------------------------------------------------------------------------- start and upkeep


async def test_a_window_in_a_zone_that_is_gone_is_passed_over_and_said(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    made = await room.hushing.add_window(window(), entry("window.create"))
    await room.store.database.write(lambda db: db.execute("UPDATE windows SET timezone = 'Mars/Base'"))
    other = await room.after_kill()
    assert made not in other.hushing.windows()
    assert "the maintenance window backup is passed over" in caplog.text
    await other.store.close()


async def test_windows_of_the_config_come_with_a_reload(room: Room) -> None:
    section = Maintenance(hosts=("db1",), start="2026-01-14T22:00", duration=60.0)
    room.hushing.configure(Config(maintenance={"nightly": section}))
    (found,) = room.hushing.windows()
    assert (found.id, found.name, found.source, found.matcher.hosts) == (None, "nightly", "config", ("db1",))


async def test_old_silences_are_forgotten_and_new_ones_stay(room: Room) -> None:
    await room.hushing.add_silence(silence(NOW + 10), entry("silence.create"), NOW)
    kept = await room.hushing.add_silence(silence(NOW + 30), entry("silence.create"), NOW)
    assert await room.store.hushing.prune(NOW + 20) == 1
    assert await room.hushing.ended_silences(NOW + 40, 10) == [kept]


async def test_a_deleted_host_takes_its_acknowledgements_along(room: Room) -> None:
    host = await room.enrol()
    await room.acknowledge(alert := await room.tell(host, Level.WARNING))
    await room.store.hosts.delete(host.id)
    room.hushing.forget(host.id)
    assert await room.acks_on_disk() == []
    assert room.hushing.ack_of(alert.problem) is None
