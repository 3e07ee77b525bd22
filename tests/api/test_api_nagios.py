"""Results of checks that were made elsewhere."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from world import Api, World

from hbd.hosts import Host
from hbd.model import Level, Moment, State
from hbd.receivers.nagios import KEPT_SECONDS, MOST_RESULTS, PassiveResults
from hbd.receivers.rates import Rates

XML = (
    "<?xml version='1.0'?><checkresults><checkresult type='service' checktype='1'><hostname>elsewhere</hostname>"
    "<servicename>raid</servicename><state>2</state><output>md0 &lt;degraded&gt;|disks=1;;;0;2</output></checkresult>"
    "<checkresult type='host'><hostname>h</hostname><state>1</state><output>gone</output></checkresult></checkresults>"
)


@pytest.fixture
async def host(world: World) -> Host:
    return await world.enrol("web1")


@pytest.fixture
async def key(world: World, host: Host) -> str:
    return await world.key(host)


async def send(api: Api, key: str, *results: Any) -> tuple[int, Any]:
    body = results[0] if len(results) == 1 else list(results)
    response = await api.post("/nagios/results", data=json.dumps(body), headers={"X-Agent-Key": key})
    return response.status, await response.json()


def level(world: World, host: Host, service: str) -> Level:
    return world.alerts.level(host.id, f"nagios_passive.{service}.state")


def known(world: World, host: Host) -> Any:
    sample = world.rings.latest(host.id, "nagios_passive")
    return None if sample is None else sample.data


async def test_a_result_is_an_alert_of_its_level(api: Api, world: World, host: Host, key: str) -> None:
    result = {"service": "raid", "state": 2, "output": "CRITICAL - md0 degraded | disks=1;;;0;2"}
    assert await send(api, key, result) == (200, {"taken": 1})
    assert level(world, host, "raid") is Level.CRITICAL
    alert = world.alerts.get(host.id, "nagios_passive.raid.state")
    assert alert is not None
    assert alert.reason == "Check: CRITICAL - md0 degraded"
    assert known(world, host) == {
        "raid": {"state": 2, "output": "CRITICAL - md0 degraded", "disks": 1.0, "checked": world.now.wall}
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [(0, Level.OK), ("1", Level.WARNING), ("critical", Level.CRITICAL), (3, Level.UNKNOWN), ("Unknown", Level.UNKNOWN)],
)
async def test_a_state_is_a_number_or_a_word(
    api: Api, world: World, host: Host, key: str, state: Any, expected: Level
) -> None:
    assert (await send(api, key, {"service": "a", "state": state}))[0] == 200
    assert level(world, host, "a") is expected


async def test_services_do_not_end_each_others_alerts(api: Api, world: World, host: Host, key: str) -> None:
    await send(api, key, {"service": "a", "state": 2})
    world.now = Moment(world.now.wall + 60, world.now.mono + 60)
    await send(api, key, {"service": "b", "state": 1})
    assert (level(world, host, "a"), level(world, host, "b")) == (Level.CRITICAL, Level.WARNING)


async def test_results_are_no_sign_of_life_unless_somebody_says_how_often_they_come(
    api: Api, world: World, host: Host, key: str
) -> None:
    await send(api, key, {"service": "a", "state": 0})
    assert world.presence.view(host.id).state is State.UNKNOWN  # type: ignore[union-attr]
    host.interval = 300.0
    await send(api, key, {"service": "a", "state": 0})
    assert world.presence.view(host.id).state is State.UP  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"state": 0}, "result 1: Object missing required field `service`"),
        ({"service": " ", "state": 0}, "result 1: service: expected 1-128 characters that can be seen"),
        ({"service": "a\nb", "state": 0}, "result 1: service: expected"),
        ({"service": "a" * 129, "state": 0}, "result 1: service: expected"),
        ({"service": "b", "state": 4}, "result 1: state: expected 0, 1, 2, 3, or"),
        ({"service": "b", "state": "bad"}, "result 1: state: expected"),
        ({"service": "b", "state": None}, "result 1: Expected `int | str`"),
        ("b", "result 1: Expected `object`"),
    ],
)
async def test_a_bad_result_is_named_and_the_others_are_taken(
    api: Api, world: World, host: Host, key: str, bad: Any, reason: str
) -> None:
    status, answer = await send(api, key, {"service": "a", "state": 1}, bad)
    assert status == 400
    assert answer["error"].startswith(reason)
    assert answer["error"].endswith("(taken: 1, refused: 1)")
    assert set(known(world, host)) == {"a"}


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b"[" * 5000, b"\xff", json.dumps([{}] * (MOST_RESULTS + 1)).encode()]
)
async def test_a_body_that_holds_no_results_is_refused(api: Api, key: str, body: bytes) -> None:
    response = await api.post("/nagios/results", data=body, headers={"X-Agent-Key": key})
    assert response.status == 400


@pytest.mark.parametrize("key_shown", ["", "wrong", "0" * 64])
async def test_without_a_key_nothing_is_taken(api: Api, world: World, host: Host, key_shown: str) -> None:
    assert (await send(api, key_shown, {"service": "a", "state": 2}))[0] == 401
    assert known(world, host) is None


async def test_a_host_that_is_switched_off_is_refused(api: Api, host: Host, key: str) -> None:
    host.enabled = False
    assert (await send(api, key, {"service": "a", "state": 2}))[0] == 403


async def test_a_host_has_so_many_metrics_and_no_more(api: Api, world: World, host: Host, key: str) -> None:
    data = " ".join(f"m{number}=1" for number in range(150))
    results = [{"service": f"s{number}", "state": 0, "output": f"OK | {data}"} for number in range(20)]
    status, answer = await send(api, key, *results)
    assert (status, "have more than 2000 metrics" in answer["error"]) == (400, True)
    assert len(known(world, host)) == 13


async def test_results_are_in_the_report_log(api: Api, world: World, host: Host, key: str) -> None:
    await send(api, key, {"service": "a", "state": 2})
    (report,) = await world.report_log.recent(host, 1)
    assert (report.receiver, report.status, report.request) == ("nagios", 200, [{"service": "a", "state": 2}])


async def test_a_result_holds_over_a_restart(api: Api, world: World, host: Host, key: str) -> None:
    await send(api, key, {"service": "a", "state": 2})
    again = PassiveResults(Rates(), world.rings.latest)
    later = Moment(world.now.wall + 3600, world.now.mono + 3600)
    (sample,) = again.take(host, [{"service": "b", "state": 0}], later).samples
    assert {name: data["state"] for name, data in sample.data.items()} == {"a": 2, "b": 0}


def test_a_service_of_which_nothing_comes_any_more_is_gone() -> None:
    results = PassiveResults(Rates(), lambda host_id, plugin: None)
    host = Host(1, "web1", "agent_000000000001")
    results.take(host, [{"service": "a", "state": 2}], Moment(0.0, 0.0))
    (sample,) = results.take(host, [{"service": "b", "state": 0}], Moment(KEPT_SECONDS + 1, 0.0)).samples
    assert set(sample.data) == {"b"}


def test_a_counter_has_its_rate_beside_it() -> None:
    results = PassiveResults(Rates(), lambda host_id, plugin: None)
    host = Host(1, "web1", "agent_000000000001")
    for second, count in ((0.0, 100), (60.0, 700)):
        moment = Moment(second, second)
        (sample,) = results.take(
            host, [{"service": "net", "state": 0, "output": f"OK | hits={count}c"}], moment
        ).samples
    assert sample.data["net"]["hits_per_second"] == 10.0


# --------------------------------------------------------------------------------------------------------------- NRDP


async def nrdp(api: Api, **form: str) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await api.post("/nrdp/", data=urlencode(form), headers=headers)
    return response.status, await response.text()


async def test_nrdp_in_xml_is_taken_and_answered_in_xml(api: Api, world: World, host: Host, key: str) -> None:
    assert await nrdp(api, token=key, cmd="submitcheck", XMLDATA=XML) == (
        200,
        "<result><status>0</status><message>OK</message><meta><output>2 checks processed.</output></meta></result>",
    )
    assert (level(world, host, "raid"), level(world, host, "host check")) == (Level.CRITICAL, Level.CRITICAL)
    assert known(world, host)["raid"]["output"] == "md0 <degraded>"
    assert known(world, host)["raid"]["disks"] == 1.0


async def test_nrdp_in_json_is_taken_and_answered_in_json(api: Api, world: World, host: Host, key: str) -> None:
    result = {"checkresult": {"type": "service", "checktype": "1"}, "hostname": "h", "servicename": "s", "state": "1"}
    status, text = await nrdp(api, token=key, cmd="submitcheck", JSONDATA=json.dumps({"checkresults": [result]}))
    assert (status, json.loads(text)["result"]["status"]) == (200, 0)
    assert level(world, host, "s") is Level.WARNING


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 401),
        ({"token": "wrong"}, 401),
        ({"token": "KEY"}, 400),
        ({"token": "KEY", "cmd": "submitcmd", "XMLDATA": XML}, 400),
        ({"token": "KEY", "XMLDATA": "<nonsense"}, 400),
        ({"token": "KEY", "XMLDATA": "<!DOCTYPE x [<!ENTITY a 'b'>]><checkresults/>"}, 400),
        ({"token": "KEY", "XMLDATA": "<checkresults><checkresult/></checkresults>"}, 400),
        ({"token": "KEY", "JSONDATA": "nonsense"}, 400),
        ({"token": "KEY", "JSONDATA": "[]"}, 400),
        ({"token": "KEY", "JSONDATA": '{"checkresults": [5]}'}, 400),
    ],
)
async def test_nrdp_that_is_wrong_is_answered_with_its_reason(
    api: Api, world: World, host: Host, key: str, form: dict[str, str], status: int
) -> None:
    got, text = await nrdp(api, **{name: key if value == "KEY" else value for name, value in form.items()})
    assert got == status
    assert '"status": -1' in text if "JSONDATA" in form else "<status>-1</status>" in text
    assert known(world, host) is None
