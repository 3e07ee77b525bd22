"""Numbered schema steps, one SQL file each: ``0001_foundation.sql``. They are only ever appended, never edited."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent


class Migration(NamedTuple):
    number: int
    name: str
    sql: str

    def statements(self) -> Iterator[str]:
        """The statements one by one: ``executescript`` would commit the transaction they must share."""
        statement = ""
        for line in self.sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""
        if statement.strip():
            raise ValueError(f"migration {self.number} ends in the middle of a statement")


def migrations() -> list[Migration]:
    """All steps, in order; their numbers count from 1 without a gap."""
    found = []
    for path in sorted(_FOLDER.glob("[0-9]*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 …")
    return found
