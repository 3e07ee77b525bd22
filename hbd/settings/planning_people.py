"""The users of a settings file, against those that there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from msgspec.structs import asdict

from hbd.accounts.overlay import changed, configured, copied, user_of
from hbd.accounts.register import MAX_USERS
from hbd.config import Config
from hbd.settings.changes import Change, Entry
from hbd.settings.document import ConfigUser, User
from hbd.settings.gathering import config_user_of
from hbd.settings.gathering import user_of as said_of
from hbd.settings.reading import SettingsFile
from hbd.store.accounts import UserRow


class People:
    """rows: everybody as it would be after the import, by lower-case name."""

    def __init__(self, file: SettingsFile, found: list[UserRow], config: Config, now: float) -> None:
        self._file = file
        self._config = config
        self._now = now
        self._configured = {name.lower() for name in config.users}
        self._before = {row.name.lower(): row for row in found}
        self.rows = dict(self._before)

    def known_as(self, key: str, name: str) -> str:
        """A name as its user writes it; where there will be no users, any that could be one's."""
        row = self.rows.get(name.lower())
        if row is None and self.rows:
            self._file.problem(key, f"there is no user {name}")
        return row.name if row is not None else name

    # -------------------------------------------------------------------------------------------------------- answers

    def there(self) -> dict[str, Entry]:
        """Those who are not of the config file."""
        rows = ((name, row) for name, row in self._before.items() if row.source != "config")
        return {name: Entry(row.name, said_of(row), row) for name, row in rows}

    def there_of_config(self) -> dict[str, Entry]:
        """Those of the config file of whom something was changed here."""
        rows = ((name, row) for name, row in self._before.items() if row.source == "config")
        entries = {name: Entry(row.name, config_user_of(row), row) for name, row in rows}
        return {name: entry for name, entry in entries.items() if entry.thing != ConfigUser()}

    def wanted(self) -> dict[str, Entry]:
        found = {}
        for name, user in (self._file.settings.users or {}).items():
            if name.lower() in self._configured:
                reason = "the config file has a user of that name; what is changed of it stands in config_users"
                self._file.problem(f"users.{name}", reason)
            else:
                row = self._row(name, user, self._before.get(name.lower()))
                found[name.lower()] = Entry(row.name, said_of(row), row)
        return found

    def _row(self, name: str, user: User, before: UserRow | None) -> UserRow:
        values = asdict(user) | {"channels": list(dict.fromkeys(user.notification_channels))}
        del values["notification_channels"]
        kept = before.password if before is not None else None
        values["password"] = user.password.reveal() if user.password is not None else kept
        return copied(before or UserRow(name=name, source=user.source, created=self._now), **values)

    def wanted_of_config(self) -> dict[str, Entry]:
        found = {}
        for name, user in (self._file.settings.config_users or {}).items():
            before = self._before.get(name.lower())
            if before is None or before.source != "config":
                self._file.problem(f"config_users.{name}", "the config file has no user of that name")
                continue
            row = self._as_in_file(before)
            fields = {key: value for key, value in asdict(user).items() if value is not None}
            if "notification_channels" in fields:
                fields["channels"] = list(fields.pop("notification_channels"))
            if user.password is not None:
                fields["password"] = user.password.reveal()
            elif "password" in before.changes:
                fields["password"] = before.changes["password"]["now"]
            row = changed(self._config, row, fields | {"subject": user.subject})
            found[name.lower()] = Entry(row.name, config_user_of(row), row)
        return found

    def _as_in_file(self, row: UserRow) -> UserRow:
        """As the config file says."""
        return configured(self._config, row.name, copied(row, changes={}), self._now)

    # --------------------------------------------------------------------------------------------------------- after

    def take(self, change: Change) -> Change:
        """Somebody comes, goes or is otherwise; returns it with the row to write."""
        if change.kind == "config user" and change.after is None:
            assert change.before is not None
            row = self._as_in_file(change.before.row)
            change = change._replace(after=Entry(row.name, ConfigUser(), row))
        if change.after is None:
            del self.rows[change.name.lower()]
        else:
            self.rows[change.name.lower()] = change.after.row
        return change

    def leave_channels(self, gone: Collection[str]) -> list[Change]:
        """Nobody of whom the file says nothing has these channels in the list any more."""
        settings, found = self._file.settings, []
        said_of_them = {name.lower() for name in (*(settings.users or {}), *(settings.config_users or {}))}
        for name, row in self.rows.items():
            user = user_of(self._config, row)
            if name in said_of_them or not any(channel in gone for channel in user.channels):
                continue
            left = [channel for channel in user.channels if channel not in gone]
            after = changed(self._config, row, {"channels": left})
            of_config = row.source == "config"
            said: Callable[[UserRow], Any] = config_user_of if of_config else said_of
            entries = (Entry(row.name, said(row), row), Entry(row.name, said(after), after))
            found.append(Change("config user" if of_config else "user", *entries))
            self.rows[name] = after
        return found

    def check(self) -> None:
        """What must hold afterwards."""
        if len(self.rows) > MAX_USERS:
            self._file.problem("users", f"there may be {MAX_USERS} users, and these are {len(self.rows)}")
        readable = not (self._file.is_bad("users") or self._file.is_bad("config_users"))
        if readable and self._has_admin(self._before) and not self._has_admin(self.rows):
            self._file.problem("users", "nobody would be admin any more")
        subjects: dict[str, str] = {}
        for row in self.rows.values():
            if row.subject is not None:
                other = subjects.setdefault(row.subject, row.name)
                if other != row.name:
                    section = "config_users" if row.source == "config" else "users"
                    self._file.problem(f"{section}.{row.name}.subject", f"user {other} has the same")

    def _has_admin(self, rows: dict[str, UserRow]) -> bool:
        return any(user_of(self._config, row).leads for row in rows.values())
