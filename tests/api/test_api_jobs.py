"""Jobs over HTTP: made, called, missed, and told."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from world import Api, World

from hbd.access import EVERYBODY
from hbd.config import Config
from hbd.config.structs import HostConfig
from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.job_schedule import Timing
from hbd.jobs import MOST_JOBS, Jobs
from hbd.model import Level, Moment, State
from hbd.receivers.foreign import ForeignReports
from hbd.store.audit import Entry
from hbd.web import jobs
from hbd.web.call import Call

JOBS = "/api/0/hosts/db1/jobs"
ENTRY = Entry(time=time.time(), user="", via="cli", action="test")


@pytest.fixture(autouse=True)
async def host(world: World) -> AsyncIterator[Host]:
    yield await world.enrol("db1")


async def made(api: Api, **given: Any) -> dict[str, Any]:
    body = {"name": "backup", "period": "1h", "grace": "10m", **given}
    response = await api.post(JOBS, json={name: value for name, value in body.items() if value is not None})
    assert response.status == 201, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


def path(job: dict[str, Any], *what: str) -> str:
    """What a job calls, as its machine sees it."""
    return "/".join(("/ping", job["ping_url"].rpartition("/")[2], *what))


async def called(api: Api, job: dict[str, Any], *what: str, method: str = "GET", **given: Any) -> None:
    response = await api.request(method, path(job, *what), **given)
    assert (response.status, await response.text()) == (200, "" if method == "HEAD" else "OK")


async def pass_time(world: World, seconds: float) -> None:
    world.now = Moment(world.now.wall + seconds, world.now.mono + seconds)
    await world.jobs.tick()


def level(world: World, name: str = "backup") -> Level:
    return world.alerts.level(world.hosts.require("db1").id, f"jobs.{name}.state")


async def shown(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = await (await api.get(f"{JOBS}/{job['id']}")).json()
    return answer


async def test_a_new_job_has_an_address_to_call_and_misses_nothing(api: Api, world: World) -> None:
    job = await made(api)
    assert job["ping_url"].startswith("http://")
    assert (job["status"], job["period"], job["grace"], job["last_ping"]) == ("new", 3600.0, 600.0, None)
    await pass_time(world, 1e6)
    assert level(world) is Level.OK


async def test_a_job_that_says_nothing_else_calls_once_a_day(api: Api) -> None:
    job = await made(api, period=None, grace=None)
    assert (job["period"], job["grace"]) == (86400.0, 3600.0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_call_is_taken_by_every_method(api: Api, method: str) -> None:
    job = await made(api)
    await called(api, job, method=method)
    assert (await shown(api, job))["last_ping"] is not None


async def test_a_missed_call_is_critical_and_the_next_one_ends_it(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job)
    await pass_time(world, 4199)
    assert level(world) is Level.OK
    await pass_time(world, 1)
    assert level(world) is Level.CRITICAL
    await called(api, job)
    assert level(world) is Level.OK


@pytest.mark.parametrize(("what", "code"), [("fail", None), ("1", 1), ("255", 255)])
async def test_a_failure_is_critical_at_once(api: Api, world: World, what: str, code: int | None) -> None:
    job = await made(api)
    await called(api, job, what)
    assert level(world) is Level.CRITICAL
    assert (await shown(api, job))["exit_code"] == code
    await called(api, job, "0")
    assert level(world) is Level.OK


async def test_a_run_that_does_not_end_is_critical_after_the_grace(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job, "start")
    await pass_time(world, 600)
    assert level(world) is Level.CRITICAL


async def test_a_run_is_measured(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job, "start", params={"rid": "a"})
    await pass_time(world, 90)
    await called(api, job, params={"rid": "a"})
    sample = world.rings.latest(world.hosts.require("db1").id, "jobs")
    assert sample is not None
    assert sample.data["backup"]["seconds"] == 90.0


async def test_the_alert_says_what_is_wrong(api: Api, world: World) -> None:
    job, alert = await made(api), (world.hosts.require("db1").id, "jobs.backup.state")
    await called(api, job, "7")
    assert world.alerts.get(*alert).reason == "Job: failed with exit code 7"  # type: ignore[union-attr]
    await called(api, job)
    assert world.alerts.get(*alert).reason == "Job: called, and all is well"  # type: ignore[union-attr]
    await pass_time(world, 5000)
    assert world.alerts.get(*alert).reason == "Job: did not call in time"  # type: ignore[union-attr]


async def test_a_log_changes_nothing_and_is_kept(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job, "fail")
    await called(api, job, "log", method="POST", data=b"step 2")
    assert level(world) is Level.CRITICAL
    pings = (await (await api.get(f"{JOBS}/{job['id']}/pings")).json())["pings"]
    assert [(ping["kind"], ping["body"]) for ping in pings] == [("log", "step 2"), ("fail", "")]


async def test_what_a_call_says_is_kept_as_far_as_there_is_room(api: Api) -> None:
    job = await made(api)
    await called(api, job, method="POST", data=b"\xffx" * 9000)
    (ping,) = (await (await api.get(f"{JOBS}/{job['id']}/pings")).json())["pings"]
    assert (len(ping["body"]), ping["body"][:2], ping["address"]) == (10_000, "\ufffdx", "127.0.0.1")


async def test_the_last_hundred_calls_are_kept(api: Api, world: World) -> None:
    job = await made(api)
    for number in range(103):
        await world.jobs.ping(path(job).rpartition("/")[2], "log", body=str(number))
    pings = (await (await api.get(f"{JOBS}/{job['id']}/pings?limit=100")).json())["pings"]
    assert [ping["body"] for ping in pings] == [str(number) for number in range(102, 2, -1)]


async def test_calls_are_no_sign_of_life(api: Api, world: World, host: Host) -> None:
    await called(api, await made(api))
    assert world.presence.view(host.id).state is State.UNKNOWN  # type: ignore[union-attr]


async def test_jobs_of_a_host_do_not_end_each_others_alerts(api: Api, world: World) -> None:
    await called(api, await made(api), "fail")
    await called(api, await made(api, name="report"))
    assert (level(world), level(world, "report")) == (Level.CRITICAL, Level.OK)


@pytest.mark.parametrize("what", ["256", "-1", "finish", "1.5", "٣"])
async def test_a_call_that_says_something_else_is_refused(api: Api, what: str) -> None:
    assert (await api.get(path(await made(api), what))).status == 400


async def test_a_call_of_nobody_is_refused(api: Api) -> None:
    assert (await api.get("/ping/5e1f7a52-0000-4000-8000-000000000000")).status == 404


async def test_a_call_whose_write_fails_is_not_acknowledged(api: Api, world: World, monkeypatch: Any) -> None:
    job = await made(api)

    async def refuse(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(world.store.jobs, "ping", refuse)
    assert (await api.get(path(job, "fail"))).status == 503
    assert (await shown(api, job))["status"] == "new"


async def test_a_paused_job_misses_nothing_until_it_calls_again(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job, "fail")
    body = {"name": "backup", "period": 3600, "paused": True}
    assert (await (await api.put(f"{JOBS}/{job['id']}", json=body)).json())["status"] == "paused"
    assert level(world) is Level.OK
    await called(api, job, "fail")
    assert level(world) is Level.CRITICAL


async def test_a_job_that_is_changed_goes_by_its_new_times(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job)
    response = await api.put(
        f"{JOBS}/{job['id']}", json={"name": "nightly", "cron": "30  2 * * *", "timezone": "Europe/Zurich"}
    )
    changed = await response.json()
    assert (changed["name"], changed["cron"], changed["period"]) == ("nightly", "30 2 * * *", None)
    await pass_time(world, 86_400 + 3_601)
    assert (level(world, "nightly"), level(world)) == (Level.CRITICAL, Level.OK)


async def test_a_job_that_is_deleted_ends_its_alert_and_takes_no_calls(api: Api, world: World) -> None:
    job = await made(api)
    await called(api, job, "fail")
    await pass_time(world, 1)
    assert (await api.delete(f"{JOBS}/{job['id']}")).status == 204
    assert level(world) is Level.OK
    assert (await api.get(path(job))).status == 404
    assert (await api.get(f"{JOBS}/{job['id']}")).status == 404


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"name": " "}, "name: is needed"),
        ({"name": "a\nb"}, "name: "),
        ({"name": "a", "period": "soon"}, "period: expected seconds"),
        ({"name": "a", "grace": 0}, "grace: expected a second"),
        ({"name": "a", "cron": "61 * * * *"}, "cron: Bad minute"),
        ({"name": "a", "cron": "* * * * *", "timezone": "Nowhere"}, "timezone: there is no time zone"),
        ({"name": "a", "cron": "* * * * *", "period": 60}, "cron: either period or cron"),
        ({"name": "a", "perod": 60}, "object contains unknown field perod"),
    ],
)
async def test_a_job_that_cannot_be_is_refused_with_the_field(api: Api, body: dict[str, Any], error: str) -> None:
    response = await api.post(JOBS, json=body)
    assert response.status == 400
    assert (await response.json())["error"].startswith(error)


async def test_one_name_is_one_job(api: Api) -> None:
    await made(api)
    assert (await api.post(JOBS, json={"name": "backup"})).status == 409


async def test_a_host_has_so_many_jobs_and_no_more(api: Api) -> None:
    for number in range(MOST_JOBS):
        await made(api, name=f"job{number}")
    assert (await api.post(JOBS, json={"name": "one more"})).status == 409


async def test_jobs_of_another_host_are_not_found(api: Api, world: World) -> None:
    job = await made(api)
    await world.enrol("web1")
    assert (await api.get(f"/api/0/hosts/web1/jobs/{job['id']}")).status == 404
    assert (await api.delete(f"/api/0/hosts/web1/jobs/{job['id']}")).status == 404


async def test_whoever_only_sees_a_host_is_not_told_what_its_jobs_call(api: Api, world: World) -> None:
    await made(api)
    await world.user("alice")
    await world.configure(Config(hosts={"db1": HostConfig(monitors=("alice",))}))
    headers = {"Authorization": f"Bearer {await world.session('alice')}"}
    (job,) = (await (await api.get("/api/0/jobs", headers=headers)).json())["jobs"]
    assert (job["name"], job["host"], job["ping_url"]) == ("backup", "db1", None)


async def test_who_does_not_see_a_host_sees_none_of_its_jobs(api: Api, world: World) -> None:
    await made(api)
    await world.user("bob")
    headers = {"Authorization": f"Bearer {await world.session('bob')}"}
    assert (await (await api.get("/api/0/jobs", headers=headers)).json())["jobs"] == []


def restarted(world: World) -> Jobs:
    return Jobs(world.store.jobs, world.hosts, ForeignReports(world.pipeline), world.stats, clock=lambda: world.now)


async def test_jobs_outlive_a_restart(api: Api, world: World, host: Host) -> None:
    job = await made(api, cron="*/5 * * * *", period=None)
    await called(api, job, "7")
    again = restarted(world)
    await again.load()
    (known,) = again.of(host)
    assert (known.name, known.progress.exit_code, known.timing.cron) == ("backup", 7, "*/5 * * * *")
    assert again.status(known, world.now.wall) == "down"


async def test_what_was_due_while_hbd_did_not_run_is_unknown(api: Api, world: World) -> None:
    await called(api, await made(api))
    world.now = Moment(world.now.wall + 100_000, world.now.mono + 100_000)
    again = restarted(world)
    await again.load()
    await again.tick()
    assert level(world) is Level.UNKNOWN


async def test_what_was_down_before_a_restart_is_down_after_it(api: Api, world: World, host: Host) -> None:
    await called(api, await made(api))
    await pass_time(world, 5000)
    again = restarted(world)
    await again.load()
    assert again.status(again.of(host)[0], world.now.wall) == "down"
    await again.tick()
    assert level(world) is Level.CRITICAL


async def test_what_is_done_about_jobs_is_in_the_audit_log(api: Api, world: World) -> None:
    job = await made(api)
    await api.put(f"{JOBS}/{job['id']}", json={"name": "backup"})
    await api.delete(f"{JOBS}/{job['id']}")
    entries = (await (await api.get("/api/0/audit")).json())["entries"]
    assert [entry["action"] for entry in entries[:3]] == ["job.delete", "job.change", "job.create"]
    assert entries[0]["object"] == "job backup of db1"


async def test_a_host_that_is_removed_takes_its_jobs_with_it(api: Api, world: World, host: Host) -> None:
    job = await made(api)
    world.jobs.forget(host)
    assert (await api.get(path(job))).status == 404
    assert list(world.jobs.all()) == []


async def test_a_job_says_in_words_when_it_runs_and_why_it_is_as_it_is(api: Api) -> None:
    job = await made(api, period=None, cron="30 2 * * *", timezone="Europe/Zurich")
    assert (job["schedule"], job["reason"]) == ("At 02:30 every day, Europe/Zurich", "never called yet")
    await called(api, job, "7")
    assert (await shown(api, job))["reason"] == "failed with exit code 7"


async def test_a_job_that_failed_says_when_it_is_to_call_again(api: Api, world: World) -> None:
    job = await made(api, period=3600)
    await called(api, job, "7")
    assert (await shown(api, job))["due"] == pytest.approx(world.now.wall + 3600, abs=1)


async def test_a_job_that_runs_says_since_when(api: Api, world: World) -> None:
    job = await made(api)
    assert job["begun"] is None
    await called(api, job, "start")
    assert (await shown(api, job))["begun"] == world.now.wall
    await called(api, job)
    assert (await shown(api, job))["begun"] is None


async def test_others_get_their_turn_while_many_jobs_are_listed(api: Api, world: World) -> None:
    for number in range(3):
        host = await world.enrol(f"host{number}")
        for job in range(40):
            await world.jobs.add(host, f"job {job}", Timing(3600.0, 600.0), "", ENTRY)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    call = cast(
        Call, SimpleNamespace(identity=EVERYBODY, parts=world.parts, request=SimpleNamespace(scheme="http", host="x"))
    )
    found = await jobs.index(call)
    other.cancel()
    assert len(found.jobs) == 120
    assert turns >= 2


# --------------------------------------------------------------------------------------------------------------- pages


async def page(api: Api, world: World, user: str, path: str) -> str:
    headers = {"Authorization": f"Bearer {await world.session(user)}"}
    response = await api.get(path, headers=headers)
    assert response.status == 200
    return await response.text()


async def test_pages_show_the_address_of_a_job_to_those_alone_who_manage_its_host(api: Api, world: World) -> None:
    address = (await made(api))["ping_url"]
    for name in ("meg", "bob"):
        await world.user(name)
    await world.configure(Config(hosts={"db1": HostConfig(managers=("meg",), monitors=("bob",))}))
    paths = ("/jobs", "/agent/db1?tab=jobs", "/agent/db1?tab=jobs&job=1")
    assert [address in await page(api, world, "meg", path) for path in paths] == [False, True, True]
    for path in paths:
        text = await page(api, world, "bob", path)
        assert "backup" in text
        assert address not in text


async def test_the_page_of_jobs_is_of_the_hosts_that_one_sees(api: Api, world: World) -> None:
    await made(api, name="nightly dump")
    await world.user("eve")
    assert "nightly dump" not in await page(api, world, "eve", "/jobs")


@pytest.mark.parametrize("job", ["2", "x", "-1", "9" * 30])
async def test_a_job_that_is_gone_is_told_on_its_page(api: Api, job: str) -> None:
    await made(api)
    text = await (await api.get(f"/agent/db1?tab=jobs&job={job}")).text()
    assert "backup" in text
    assert ("There is no such job any more" in text) is (job == "2")


async def test_a_long_text_of_a_call_is_shown_from_its_end(api: Api) -> None:
    job = await made(api)
    await called(api, job, "log", method="POST", data=f"{'a' * 9000}the end")
    text = await (await api.get(f"/agent/db1?tab=jobs&job={job['id']}")).text()
    assert "the end" in text
    assert "a" * 4001 not in text
