"""The report log over HTTP, and who may report how often."""

from pathlib import Path

import pytest
from world import Api, World

from hbd.config import Config
from hbd.config.structs import HostConfig
from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.reporting import Reporting
from hbd.store.audit import Entry

REPORTING = "/api/0/hosts/web1/reporting"
ENTRY = Entry(time=0.0, user="", via="cli", action="host.reporting")


@pytest.fixture(name="host")
async def a_host(world: World) -> Host:
    return await world.enrol("web1")


async def test_a_host_that_nothing_was_sent_for_has_no_reports(api: Api, host: Host) -> None:
    async with api.get("/api/0/hosts/web1/reports") as answer:
        assert await answer.json() == {"hostname": "web1", "reports": []}


async def test_the_limit_counts(api: Api, world: World, host: Host) -> None:
    for number in range(5):
        world.report_log.note(host, "test", number, request=number, status=200, answer=None)
    async with api.get("/api/0/hosts/web1/reports?limit=2") as answer:
        assert [report["request"] for report in (await answer.json())["reports"]] == [4, 3]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "many"])
async def test_a_limit_that_is_none_is_a_400(api: Api, host: Host, limit: str) -> None:
    async with api.get(f"/api/0/hosts/web1/reports?limit={limit}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("limit: ")


async def test_a_host_may_report_at_any_pace_unless_somebody_says_otherwise(api: Api, host: Host) -> None:
    async with api.get(REPORTING) as answer:
        assert await answer.json() == {"enabled": True, "min_report_interval": 0.0}


async def test_it_can_be_changed_in_part_and_is_in_force_at_once(api: Api, world: World, host: Host) -> None:
    async with api.put(REPORTING, json={"min_report_interval": 30}) as answer:
        assert await answer.json() == {"enabled": True, "min_report_interval": 30.0}
    async with api.put(REPORTING, json={"enabled": False}) as answer:
        assert await answer.json() == {"enabled": False, "min_report_interval": 30.0}
    assert (host.enabled, host.min_report_interval) == (False, 30.0)
    off, slow = await world.store.audit.recent(2)
    assert (off.action, off.object, off.detail) == ("host.reporting", "host web1", "switched off")
    assert slow.detail == "a report every 30 s at most"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"min_report_interval": -1}, "min_report_interval"),
        ({"min_report_interval": 86401}, "min_report_interval"),
        ({"min_report_interval": "1m"}, "min_report_interval"),
        ({"interval": 5}, "interval"),
    ],
)
async def test_what_it_cannot_be_is_a_400_that_names_the_field(
    api: Api, host: Host, body: dict[str, object], field: str
) -> None:
    async with api.put(REPORTING, json=body) as answer:
        assert answer.status == 400
        assert field in (await answer.json())["error"]


async def test_what_was_changed_here_survives_a_restart(world: World, host: Host) -> None:
    await world.reporting.change(host, ENTRY, enabled=False)
    await world.reporting.change(host, ENTRY, min_report_interval=9.0)
    again = Reporting(world.store)
    await again.load()
    assert again.of(host, Config()) == (False, 9.0)


async def test_a_reload_takes_back_what_the_config_names_and_no_more(world: World, host: Host) -> None:
    await world.reporting.change(host, ENTRY, enabled=False, min_report_interval=9.0)
    config = Config(hosts={"WEB1": HostConfig(min_report_interval=60.0)})
    await world.reporting.configure(config, [host])
    assert world.reporting.of(host, config) == (False, 60.0)
    again = Reporting(world.store)
    await again.load()
    assert again.of(host, Config()) == (False, 0.0)


async def test_what_the_disk_refuses_is_not_in_force(world: World, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*rows: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(world.store.reports, "save_reporting", full)
    with pytest.raises(StorageError):
        await world.reporting.change(host, ENTRY, enabled=False)
    assert world.reporting.of(host, Config()).enabled


async def test_it_goes_with_the_host(world: World, host: Host, tmp_path: Path) -> None:
    await world.reporting.change(host, ENTRY, enabled=False)
    await world.enrolment.remove(host)
    again = Reporting(world.store)
    await again.load()
    assert again.of(host, Config()).enabled
