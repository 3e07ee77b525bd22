"""What people do with hosts and keys, and what is left when the disk does not take it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hbd.agent_register import AgentRegister
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.errors import InvalidInput, NotFound, StorageError
from hbd.hosts import Host, Hosts
from hbd.store import Store
from hbd.store.audit import Entry

ENTRY = Entry(time=1.0, user="root", via="cli", action="agent.test")


class Scene:
    def __init__(self, store: Store) -> None:
        self.store, self.hosts = store, Hosts()
        self.enrolment = Enrolment(self.hosts, store)
        self.register = AgentRegister(self.enrolment, self.hosts)
        self.gone: list[Host] = []
        self.register.on_removed.append(self.gone.append)

    async def enrolled(self, **said: Any) -> tuple[Host, str]:
        return await self.register.enrol("web", ENTRY, **said)

    def whose(self, key: str) -> Host | None:
        return self.enrolment.host_of(key, time.time())


@pytest.fixture(name="scene")
def a_scene(store: Store) -> Scene:
    return Scene(store)


def refuse(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    """Have the disk take nothing."""

    async def write(work: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(scene.store.database, "write", write)


async def test_a_removal_that_the_disk_refuses_leaves_all_as_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, key = await scene.enrolled()
    refuse(monkeypatch, scene)
    with pytest.raises(StorageError):
        await scene.register.remove(host, ENTRY)
    assert (scene.hosts.get("web"), scene.whose(key), scene.gone) == (host, host, [])


async def test_a_label_that_the_disk_refuses_is_not_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = await scene.enrolled(label="before")
    refuse(monkeypatch, scene)
    with pytest.raises(StorageError):
        await scene.register.describe(host, ENTRY, label="after", tags=None)
    assert host.label == "before"


async def test_who_keeps_something_for_a_host_hears_that_it_is_gone(scene: Scene) -> None:
    host, key = await scene.enrolled()
    await scene.register.remove(host, ENTRY)
    assert (scene.gone, scene.whose(key), len(scene.hosts)) == ([host], None, 0)


async def test_of_two_who_remove_a_host_at_once_one_is_too_late(scene: Scene) -> None:
    host, _ = await scene.enrolled()
    removing = (scene.register.remove(host, ENTRY) for _ in range(2))
    outcomes = await asyncio.gather(*removing, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "NotFound"]
    assert scene.gone == [host]


async def test_a_host_that_is_gone_cannot_be_removed_under_the_name_of_its_successor(scene: Scene) -> None:
    old, _ = await scene.enrolled()
    await scene.register.remove(old, ENTRY)
    new, key = await scene.enrolled()
    with pytest.raises(NotFound):
        await scene.register.remove(old, ENTRY)
    assert scene.whose(key) is new


async def test_keys_are_listed_the_newest_first_and_without_those_that_have_ended(scene: Scene) -> None:
    host, first = await scene.enrolled()
    second = await scene.register.rotate(host, ENTRY)
    fingerprints = [key.fingerprint for key in scene.register.keys(host, time.time())]
    assert fingerprints == [scene.register.fingerprint(key) for key in (second, first)]
    in_two_days = time.time() + 2 * 86_400
    assert [key.fingerprint for key in scene.register.keys(host, in_two_days)] == fingerprints[:1]


async def test_what_was_said_of_a_host_is_known_after_a_restart(scene: Scene) -> None:
    host, _ = await scene.enrolled(label="Web 1", tags=["a", "b"])
    again = Scene(scene.store)
    await again.enrolment.load(Config())
    found = again.hosts.require("web")
    assert (found.label, found.given_tags, found.agent_tags) == ("Web 1", ["a", "b"], [])
    assert len(again.register.keys(found, time.time())) == len(scene.register.keys(host, time.time()))


async def test_enrolling_a_known_host_keeps_what_is_not_said_anew(scene: Scene) -> None:
    host, _ = await scene.enrolled(label="Web 1", tags=["a"])
    await scene.register.revoke(host, ENTRY)
    again, _ = await scene.enrolled(tags=["b"])
    assert (again, again.label, again.given_tags) == (host, "Web 1", ["b"])


@pytest.mark.parametrize(
    ("said", "field"),
    [({"label": "x" * 201}, "label"), ({"tags": ["x" * 65]}, "tags[0]"), ({"tags": [""]}, "tags[0]")],
)
async def test_what_nobody_could_read_is_refused_before_anything_is_made(
    scene: Scene, said: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await scene.enrolled(**said)
    assert (refused.value.field, len(scene.hosts)) == (field, 0)


async def test_whatever_the_database_keeps_of_a_host_goes_with_it(store: Store) -> None:
    about_hosts = (
        "SELECT tables.name FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND columns.name = 'host_id'"
    )
    going_with_them = (
        "SELECT tables.name FROM sqlite_schema AS tables JOIN pragma_foreign_key_list(tables.name) AS keys"
        " WHERE keys.\"table\" = 'hosts' AND keys.\"from\" = 'host_id' AND keys.on_delete = 'CASCADE'"
    )
    found = await store.database.read(lambda db: [db.execute(sql).fetchall() for sql in (about_hosts, going_with_them)])
    told_elsewhere = {("notices",), ("delivery_items",)}  # channels hear that its problems are over; what was sent was
    assert set(found[0]) - told_elsewhere == set(found[1])
    assert {("samples",), ("alerts",), ("commands",), ("agent_keys",)} <= set(found[0])


async def test_the_keys_of_a_successor_are_not_changed_in_the_name_of_a_host_that_is_gone(scene: Scene) -> None:
    old, _ = await scene.enrolled()
    await scene.register.remove(old, ENTRY)
    new, key = await scene.enrolled()
    for change in (scene.register.rotate, scene.register.revoke):
        with pytest.raises(NotFound):
            await change(old, ENTRY)
    assert scene.whose(key) is new
    assert len(scene.register.keys(new, time.time())) == 1


async def proven(scene: Scene, key: str) -> tuple[bool, float | None]:
    """Whether it is, and since when it is used, in memory; on disk it is the same."""
    known = scene.enrolment.live(key, time.time())
    assert known is not None
    (row,) = [row for row in await scene.store.hosts.keys() if row.hash == known.hash]
    assert (row.proven, row.used) == (known.proven, known.used)
    return known.proven, known.used


async def prove(scene: Scene, key: str, now: float) -> None:
    known = scene.enrolment.live(key, time.time())
    assert known is not None
    await scene.enrolment.prove(known, now)


async def test_the_first_use_of_a_key_is_written_down(scene: Scene) -> None:
    key = await scene.enrolment.add("web", handed_out=True)
    assert await proven(scene, key) == (False, None)
    for now in (10.0, 20.0):
        await prove(scene, key, now)
        assert await proven(scene, key) == (True, 10.0)


async def test_a_use_that_the_disk_refuses_is_noted_with_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await scene.enrolment.add("web", handed_out=True)
    with monkeypatch.context() as patched:
        refuse(patched, scene)
        with pytest.raises(StorageError):
            await prove(scene, key, 10.0)
    assert await proven(scene, key) == (False, None)
    await prove(scene, key, 20.0)
    assert await proven(scene, key) == (True, 20.0)


async def test_a_key_that_is_revoked_while_its_use_is_written_down_stays_revoked(scene: Scene) -> None:
    host, key = await scene.enrolled()
    await asyncio.gather(prove(scene, key, 10.0), scene.register.revoke(host, ENTRY))
    assert scene.whose(key) is None


async def test_a_key_that_has_ended_is_told_once(scene: Scene) -> None:
    host, old = await scene.enrolled()
    new = await scene.register.rotate(host, ENTRY)
    assert scene.enrolment.expired(time.time()) == []
    in_two_days = time.time() + 2 * 86_400
    assert [key.fingerprint for key in scene.enrolment.expired(in_two_days)] == [scene.register.fingerprint(old)]
    assert scene.enrolment.expired(in_two_days) == []
    assert (scene.whose(old), scene.whose(new)) == (None, host)


@pytest.mark.parametrize("key", ["", "x" * 64, "0" * 63, "\udcff\udcfe", "\ud800" * 64, "0" * 64 + "\n"])
async def test_what_is_no_key_is_nobodys(scene: Scene, key: str) -> None:
    await scene.enrolled()
    assert scene.whose(key) is None
