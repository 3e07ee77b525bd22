import re

import msgspec
import pytest
from asking import put
from world import Api, World

from hbd.errors import StorageError

PAGE = "/history?host=web1&metric=own.value"


@pytest.fixture
async def host(world: World):
    return await put(world, "web1", {60: {"value": 41.5}}, "own")


async def told(api, url):
    async with api.get(url) as answer:
        return answer.status, await answer.text()


async def test_the_page_holds_what_its_charts_are_drawn_of(host, api: Api) -> None:
    status, text = await told(api, PAGE)
    found = re.search(r'id="picture"[^>]*>(.*?)</script>', text)
    assert status == 200 and found
    (chart,) = msgspec.json.decode(found[1])["charts"]
    assert [point[1:] for point in chart["curves"][0]["points"]] == [[41.5, 41.5, 41.5]]


async def test_a_database_that_does_not_answer_is_told(host, world: World, api: Api, monkeypatch) -> None:
    async def fail(*_):
        raise StorageError("disk I/O error")

    monkeypatch.setattr(world.store.history, "rolled", fail)
    status, text = await told(api, PAGE)
    assert status == 503 and "The database does not answer" in text


async def test_a_time_that_is_none_is_told_and_kept_in_the_form(host, api: Api) -> None:
    status, text = await told(api, f"{PAGE}&from=yesterday")
    assert status == 400 and "from: Unix seconds" in text and 'value="yesterday"' in text


async def test_too_broad_a_pattern_is_told(world: World, api: Api) -> None:
    await put(world, "web1", {60: {f"m{number}": 1 for number in range(600)}}, "own")
    status, text = await told(api, "/history?host=web1&metric=own.*")
    assert status == 400 and "be more precise" in text


async def test_curves_that_do_not_fit_are_counted(world: World, api: Api) -> None:
    await put(world, "web1", {60: {f"m{number}": 1 for number in range(45)}}, "own")
    status, text = await told(api, "/history?host=web1&metric=own.*")
    assert status == 200 and "5 more are not shown" in text
