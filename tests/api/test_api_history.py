import csv
import io

import pytest
from asking import asked, put, refused
from world import Api, World

from hbd.config import Config

HERE = "/api/0/hosts/web1/history"
METRIC = "metric=cpu_monitor.cpu_percent"


async def test_a_metric_is_told_with_mean_least_and_most(world: World, api: Api) -> None:
    await put(world, "web1", {100_000: {"cpu_percent": 10.0}, 100_001: {"cpu_percent": 30.0}})
    answer = await asked(api, f"{HERE}?{METRIC}&from=now-2d&step=1d")
    (series,) = answer["series"]
    assert answer["columns"] == ["time", "mean", "min", "max", "last", "count"]
    assert [row[1:] for row in series["points"]] == [[20.0, 10.0, 30.0, 10.0, 2]]


async def test_without_a_time_it_is_about_the_last_six_hours(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.0}, 7 * 3600: {"cpu_percent": 9.0}})
    answer = await asked(api, f"{HERE}?{METRIC}")
    assert [row[1] for row in answer["series"][0]["points"]] == [1.0]


async def test_a_pattern_names_all_metrics_that_it_fits(world: World, api: Api) -> None:
    data = {"/": {"percent": 1.0, "free_gb": 5.0}, "/home": {"percent": 2.0}}
    await put(world, "web1", {60: data}, "disk_monitor")
    answer = await asked(api, f"{HERE}?metric=disk_monitor.*.percent")
    assert [series["metric"] for series in answer["series"]] == ["disk_monitor./.percent", "disk_monitor./home.percent"]


async def test_several_metrics_are_told_at_once(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.0, "load_1min": 2.0}})
    answer = await asked(api, f"{HERE}?{METRIC},cpu_monitor.load_1min")
    assert len(answer["series"]) == 2


async def test_a_metric_nobody_has_is_no_series(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.0}})
    assert (await asked(api, f"{HERE}?metric=cpu_monitor.none"))["series"] == []


async def test_a_counter_is_told_as_a_rate(world: World, api: Api) -> None:
    await put(world, "web1", {1800: {"sent_total": 100}, 1200: {"sent_total": 700}}, "own")
    answer = await asked(api, f"{HERE}?metric=own.sent_total&step=1m")
    assert answer["series"][0]["counter"] is True
    assert answer["series"][0]["points"][0][1] == pytest.approx(1.0, rel=0.2)


async def test_a_counter_can_be_had_as_it_was(world: World, api: Api) -> None:
    await put(world, "web1", {600: {"sent_total": 100}}, "own")
    answer = await asked(api, f"{HERE}?metric=own.sent_total&show=value")
    assert answer["series"][0]["points"][0][1] == 100


async def test_what_does_not_fit_into_one_answer_goes_on_in_the_next(world: World, api: Api) -> None:
    await put(world, "web1", {ago * 3600: {"cpu_percent": 1.0} for ago in range(1, 15 * 24, 24)})
    first = await asked(api, f"{HERE}?{METRIC}&from=now-14d&step=1m")
    assert first["next"] == first["to"]
    second = await asked(api, f"{HERE}?{METRIC}&from={first['next']}&step=1m")
    times = [row[0] for answer in (first, second) for row in answer["series"][0]["points"]]
    assert times == sorted(set(times))


async def test_hosts_are_told_one_by_one(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.0}})
    await put(world, "web2", {60: {"cpu_percent": 3.0}})
    answer = await asked(api, f"/api/0/history?hosts=web1,web2&{METRIC}")
    assert [series["host"] for series in answer["series"]] == ["web1", "web2"]


async def test_hosts_can_be_put_together(world: World, api: Api) -> None:
    await put(world, "web1", {100_000: {"cpu_percent": 1.0}})
    await put(world, "web2", {100_000: {"cpu_percent": 3.0}})
    answer = await asked(api, f"/api/0/history?hosts=web1,web2&{METRIC}&aggregate=sum&from=now-2d&step=1d")
    (series,) = answer["series"]
    assert (series["host"], series["points"][0][1]) == (None, 4.0)


async def test_a_table_has_a_line_for_each_point(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.5}})
    async with api.get(f"{HERE}?{METRIC}&format=csv") as answer:
        assert answer.content_type == "text/csv"
        rows = list(csv.reader(io.StringIO(await answer.text())))
    assert rows[0] == ["host", "metric", "time", "mean", "min", "max", "last", "count"]
    assert [*rows[1][:2], *rows[1][3:]] == ["web1", "cpu_monitor.cpu_percent", "1.5", "1.5", "1.5", "1.5", "1"]


async def test_a_spreadsheet_gets_no_formula(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"=1+1": 1}}, "-own")
    async with api.get(f"{HERE}?metric=-own.*&format=csv") as answer:
        assert "\n'-own" in (await answer.text()).replace("web1,", "\n").replace("\r", "")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("from=now-6h", "object missing required field metric"),
        (f"{METRIC}&step=6d6", "step: a duration"),
        (f"{METRIC}&from=yesterday", "from: Unix seconds"),
        (f"{METRIC}&to=nan", "to: a time between"),
        (f"{METRIC}&from=now&to=now-1h", "from: must be before to"),
        (f"{METRIC}&step=0", "step: a duration"),
        (f"{METRIC}&step=-5m", "step: a duration"),
        (f"{METRIC}&from=now-5x", "from: a duration"),
        ("metric=,", "metric: 1 to 50"),
        (f"{METRIC}&show=all", "show: "),
    ],
)
async def test_a_question_that_cannot_be_answered_says_what_is_wrong(
    world: World, api: Api, query: str, reason: str
) -> None:
    await world.enrol("web1")
    status, error = await refused(api, f"{HERE}?{query}")
    assert (status, error[: len(reason)]) == (400, reason)


async def test_too_many_series_are_refused(world: World, api: Api) -> None:
    await put(world, "web1", {60: {f"m{number}": 1 for number in range(600)}}, "own")
    status, error = await refused(api, f"{HERE}?metric=own.*")
    assert (status, error[:8]) == (400, "metric: ")


async def test_a_host_that_one_may_not_see_cannot_be_asked_for_among_others(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"cpu_percent": 1.0}})
    await world.configure(Config())
    await world.user("carol")
    headers = {"Authorization": f"Bearer {await world.session('carol')}"}
    async with api.get(f"/api/0/history?hosts=web1&{METRIC}", headers=headers) as answer:
        assert answer.status == 403


async def test_each_sample_can_be_had(world: World, api: Api) -> None:
    await put(world, "web1", {20: {"cpu_percent": 1.5}, 10: {"cpu_percent": 2.5}})
    answer = await asked(api, f"{HERE}?{METRIC}&step=raw")
    assert (answer["step"], [row[1] for row in answer["series"][0]["points"]]) == (0, [1.5, 2.5])


async def test_the_time_of_a_sample_is_told_to_the_millisecond(world: World, api: Api) -> None:
    await put(world, "web1", {20.25: {"cpu_percent": 1.5}, 10.125: {"cpu_percent": 2.5}})
    (first, *_), (second, *_) = (await asked(api, f"{HERE}?{METRIC}&step=raw"))["series"][0]["points"]
    assert second - first == pytest.approx(10.125, abs=0.002)


async def test_as_many_inodes_as_there_are_is_no_counter(world: World, api: Api) -> None:
    await put(world, "web1", {60: {"/": {"inodes_total": 5000}}}, "disk_monitor")
    answer = await asked(api, f"{HERE}?metric=disk_monitor./.inodes_total")
    assert (answer["series"][0]["counter"], answer["series"][0]["points"][0][1]) == (False, 5000)


async def test_samples_of_several_hosts_are_not_put_together(world: World, api: Api) -> None:
    await put(world, "web1", {20: {"cpu_percent": 1.5}})
    status, error = await refused(api, f"/api/0/history?hosts=web1&{METRIC}&step=raw&aggregate=sum")
    assert (status, error[:11]) == (400, "aggregate: ")
