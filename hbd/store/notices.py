"""What channels are to know and were told, and the log of what became of messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from hbd.alert_state import moment_of
from hbd.model import Level, Moment
from hbd.notices import Key, Notice, NoticeRow
from hbd.store.database import Database

PRUNE_ROWS = 5_000
MOST_ITEMS = 1_000  # of one message that the log names

CLOSE = "DELETE FROM notices WHERE problem = ? AND channel = ?"
Outcome = Literal["sent", "failed", "held", "dropped", "dead"]


class Item(NamedTuple):
    """One problem in a message. number: of the message among those that told its channel of this problem."""

    host_id: int
    path: str
    problem: str
    level: Level
    number: int


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of a message, or why there was none. time: Unix seconds; message: its id; detail: in words."""

    time: float
    channel: str
    outcome: Outcome
    message: str = ""
    title: str = ""
    detail: str = ""
    items: tuple[Item, ...] = ()
    id: int = 0


class NoticeTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, now: Moment) -> list[Notice]:
        sql = (
            "SELECT problem, channel, host_id, host, path, why, opened, worst, level, at, value, reason, flapping, due,"
            " after, told, told_flapping, told_at, count, tried, owed, dead FROM notices ORDER BY at"
        )

        def query(db: sqlite3.Connection) -> list[Notice]:
            return [_notice(row, now) for row in db.execute(sql)]

        return await self._database.read_long(query, 60)

    async def attempt(self, tried: Sequence[Notice]) -> None:
        """A message about these is about to be sent. Raises StorageError."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE notices SET tried = ?, count = ?, owed = 1 WHERE problem = ? AND channel = ?",
                [(notice.said, notice.number - 1, *notice.key) for notice in tried],
            )

        await self._database.write(work)

    async def tell(self, told: Sequence[Notice], now: float, *log: Delivery, closed: Iterable[Key] = ()) -> None:
        """A channel took a message about these, as they were then. closed: these are done with. Raises StorageError."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE notices SET told = ?, told_flapping = ?, told_at = ?, count = ?, tried = '', owed = 0"
                " WHERE problem = ? AND channel = ?",
                [(notice.level, notice.flapping, now, notice.number, *notice.key) for notice in told],
            )
            db.executemany(CLOSE, closed)
            insert(db, *log)

        await self._database.write(work)

    async def save(
        self,
        *log: Delivery,
        owed: Iterable[Key] = (),
        dead: Mapping[Key, str] | None = None,
        revived: Iterable[Key] = (),
        closed: Iterable[Key] = (),
    ) -> None:
        """Everything else that the notifier decides, with its log. Raises StorageError."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE notices SET owed = 1 WHERE problem = ? AND channel = ?", owed)
            db.executemany(
                "UPDATE notices SET dead = ? WHERE problem = ? AND channel = ?",
                [(reason, *key) for key, reason in (dead or {}).items()],
            )
            db.executemany("UPDATE notices SET dead = '', owed = 1 WHERE problem = ? AND channel = ?", revived)
            db.executemany(CLOSE, closed)
            insert(db, *log)

        await self._database.write(work)

    async def last_sent(self) -> dict[str, float]:
        """When the newest message of every channel was taken, Unix seconds."""
        sql = "SELECT channel, max(time) FROM deliveries WHERE outcome = 'sent' GROUP BY channel"
        return await self._database.read(lambda db: dict(db.execute(sql).fetchall()))

    # ---------------------------------------------------------------------------------------------------------- log

    async def log(
        self,
        limit: int,
        *,
        before: int | None = None,
        channels: Iterable[str] | None = None,
        since: Mapping[str, float] | None = None,
        outcome: str = "",
        host_id: int | None = None,
        path: str = "",
        until: float | None = None,
    ) -> list[Delivery]:
        """The newest entries, newest first. channels: only of these; host_id, path: only what was about these.

        since: by channel, what is older does not count: it was of another channel of that name.
        """
        names = None if channels is None else msgspec.json.encode(list(channels)).decode()
        begins = msgspec.json.encode(since or {}).decode()

        def query(db: sqlite3.Connection) -> list[Delivery]:
            rows = db.execute(
                "SELECT id, time, channel, outcome, message, title, detail FROM deliveries d"
                " WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR channel IN (SELECT value FROM json_each(?2)))"
                " AND (?3 = '' OR outcome = ?3) AND (?4 IS NULL OR time <= ?4)"
                " AND (?5 IS NULL OR id IN (SELECT delivery FROM delivery_items"
                "   WHERE host_id = ?5 AND (?6 = '' OR path = ?6) ORDER BY delivery DESC LIMIT 10000))"
                " AND NOT EXISTS (SELECT 1 FROM json_each(?8) WHERE key = d.channel AND value > d.time)"
                " ORDER BY id DESC LIMIT ?7",
                (before, names, outcome, until, host_id, path, limit, begins),
            ).fetchall()
            return [
                Delivery(
                    id=row[0],
                    time=row[1],
                    channel=row[2],
                    outcome=row[3],
                    message=row[4],
                    title=row[5],
                    detail=row[6],
                    items=tuple(
                        Item(item[0], item[1], item[2], Level(item[3]), item[4])
                        for item in db.execute(
                            "SELECT host_id, path, problem, level, number FROM delivery_items WHERE delivery = ?",
                            (row[0],),
                        )
                    ),
                )
                for row in rows
            ]

        return await self._database.read(query)

    async def prune(self, before: float) -> int:
        """Forget entries older than that time, some at once; returns how many."""
        sql = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE time < ? ORDER BY time LIMIT ?)"
        return await self._database.write(lambda db: db.execute(sql, (before, PRUNE_ROWS)).rowcount)


def save(db: sqlite3.Connection, rows: Iterable[NoticeRow]) -> None:
    """Within the transaction of the events: what is wanted. What was told stays as it is."""
    db.executemany(
        "INSERT INTO notices (problem, channel, host_id, host, path, why, opened, worst, level, at, value, reason,"
        " flapping, due, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (problem, channel) DO UPDATE SET worst = excluded.worst, level = excluded.level,"
        " at = excluded.at, value = excluded.value, reason = excluded.reason, flapping = excluded.flapping,"
        " due = excluded.due, after = excluded.after, dead = ''",
        rows,
    )


def insert(db: sqlite3.Connection, *log: Delivery) -> None:
    for entry in log:
        cursor = db.execute(
            "INSERT INTO deliveries (time, channel, outcome, message, title, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (entry.time, entry.channel, entry.outcome, entry.message, entry.title, entry.detail),
        )
        db.executemany(
            "INSERT OR IGNORE INTO delivery_items (delivery, host_id, path, problem, level, number)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(cursor.lastrowid, *item) for item in entry.items[:MOST_ITEMS]],
        )


def _notice(row: tuple[Any, ...], now: Moment) -> Notice:
    return Notice(
        problem=row[0],
        channel=row[1],
        host_id=row[2],
        host=row[3],
        path=row[4],
        why=row[5],
        opened=row[6],
        worst=Level(row[7]),
        level=Level(row[8]),
        at=row[9],
        value=row[10],
        reason=row[11],
        flapping=bool(row[12]),
        due=_ahead(row[13], row[9], now),
        after=_ahead(row[14], row[6], now),
        told=Level(row[15]) if row[15] is not None else None,
        told_flapping=bool(row[16]),
        told_at=row[17],
        told_mono=moment_of(row[17], now).mono,
        count=row[18],
        tried=row[19],
        owed=bool(row[20]),
        dead=row[21],
    )


def _ahead(due: float, since: float, now: Moment) -> float:
    """When a time that was counted from another one is, monotonic seconds. It is never further away than it was then,
    though the wall clock may have been set back."""
    return now.mono + min(due - now.wall, max(0.0, due - since))
