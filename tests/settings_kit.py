"""A database with something of every kind of setting in it, and what imports and exports it."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import msgspec

from hbd.channels.spec import ChannelSpec
from hbd.config import Config
from hbd.hushes import Silence
from hbd.job_schedule import Timing
from hbd.matching import Matcher
from hbd.model import Level
from hbd.processes import Watched
from hbd.routing import Route
from hbd.schedule import WindowTexts
from hbd.settings.register import SettingsRegister
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.accounts import AccessRow, UserRow
from hbd.store.audit import Entry
from hbd.store.hushing import WindowRow
from hbd.store.jobs import Job
from hbd.store.reports import ReportingRow

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
PING_ID = str(uuid.UUID(int=77))
ENTRY = Entry(time=1.0, user="", via="cli", action="made")
HOUR = 3600.0


class Settings:
    """One database, and the commands on it as they are without a daemon."""

    def __init__(self, store: Store, register: SettingsRegister) -> None:
        self.store = store
        self.register = register

    async def export(self, *, secrets: bool = True) -> str:
        return await self.register.export(secrets, "pat")

    async def take(self, text: str, *, removes: bool = False, dry_run: bool = False) -> dict[str, Any]:
        """An import that has no problems; what it answers."""
        result = await self.register.take(text, "x.yaml", removes, dry_run, "pat")
        assert not result["problems"], result
        return result

    async def problems(self, text: str, *, removes: bool = False) -> list[str]:
        problems: list[str] = (await self.register.take(text, "x.yaml", removes, False, "pat"))["problems"]
        return problems


@asynccontextmanager
async def database(path: Path, config: Config | None = None) -> AsyncIterator[Settings]:
    """An empty one, with the users of the config."""
    store = Store(path, Stats())
    await store.open()
    try:
        yield Settings(store, await SettingsRegister.offline(config or Config(), store))
    finally:
        await store.close()


async def fill(store: Store, canary: str = "c4n4ry") -> None:
    """Make something of every kind. canary: is in all that is secret and no hash."""
    now = time.time()
    await store.accounts.save(
        [
            UserRow(name="root", source="local", role="admin", created=1.0, password=HASH, totp=f"TOTP{canary}"),
            UserRow(name="bob", source="oidc", subject="sub-1", full_name='Bob "B"', channels=["ops"], created=2.0),
            UserRow(name="yes", source="proxy", enabled=False, avatar="👩\u200d💻", created=3.0),
        ]
    )
    web = await store.hosts.enrol("web1", "agent_01", ["x"], None, 1.0, label="Web: front", given_tags=["prod", "a b"])
    db = await store.hosts.enrol("Db1", "agent_02", [], None, 1.0)
    await store.accounts.save_access([AccessRow(web, "bob", (), ("root", "yes"))])
    await store.reports.save_reporting([ReportingRow(web, False, 30.5), ReportingRow(db, True, None)])
    channels = [
        ChannelSpec(
            name="ops",
            type="webhook",
            settings={
                "url": f"https://hooks.example.org/T0/{canary}",
                "headers": (f"Authorization: Bearer {canary}",),
                "secret": canary,
                "body": f'{{"a": "{{title}}",\n "b": "{canary}"}}',
            },
            owner="bob",
            min_level=Level.CRITICAL,
            repeat=1800.0,
            quiet_from="22:00",
            quiet_to="07:00",
            quiet_days=("sat", "sun"),
            timezone="Europe/Zurich",
        ),
        ChannelSpec(
            name="mail",
            type="email",
            settings={
                "host": "mx.example.org",
                "port": 587,
                "username": "hbd",
                "password": canary,
                "from": "a@example.org",
                "to": ("b@example.org", "c@example.org"),
            },
            fallback="ops",
            trusted=True,
        ),
    ]
    await store.channels.write({spec.name: msgspec.json.encode(spec) for spec in channels}, [], now, [])
    for after in (0.0, 900.0):
        route = Route(name="night", matcher=Matcher(hosts=("web*",)), channels=("ops", "mail"), after=after)
        await store.routes.save(route, ENTRY)
    times = WindowTexts("2026-11-21T22:00", 7200.0, "Europe/Zurich", "weekly", ("mon", "tue"), "2027-01-01")
    window = WindowRow(0, "patch day", Matcher(tags=("prod",)), times, "root", 1.0)
    await store.hushing.save_window(window, ENTRY)
    about = Matcher(hosts=("db1",), metrics=("disk_monitor./.percent",), levels=(Level.WARNING,))
    for starts, ends in ((now - 10.3, now + HOUR), (now + HOUR, now + 2.4 * HOUR)):
        silence = Silence(id=0, matcher=about, reason="disk", author="bob", created=now, starts=starts, ends=ends)
        await store.hushing.add_silence(silence, ENTRY)
    nginx = Watched(host_id=web, user_id=2, name="nginx", created=1.0, alert_on_cpu=True, cpu_limit=33.5)
    await store.processes.add(nginx, ENTRY)
    await store.processes.add(Watched(host_id=web, user_id=None, name="1e3", created=1.0, enabled=False), ENTRY)
    timings = {"backup": Timing(None, HOUR, "30 2 * * *", "Europe/Zurich"), "sync": Timing(86_400.0, 90.0)}
    for number, (name, timing) in enumerate(timings.items()):
        token = str(uuid.UUID(PING_ID[:-1] + str(number)))
        job = Job(id=0, host_id=db, name=name, token=token, timing=timing, paused=False, created=1.0, author="root")
        await store.jobs.add(job, ENTRY)
