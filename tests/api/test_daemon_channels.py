"""Channels of the config file in a whole daemon: at the start, at a reload, and on the command line."""

from __future__ import annotations

import pytest
from house import House

from hbd import cli
from hbd.errors import ConfigError

BROKEN = (
    "notification_channels:\n  ops:\n    type: webhook\n    url: ftp://example.org\n"
    "  phone: {type: pushover, user: u}\n"
)
RIGHT = (
    "notification_channels:\n  phone: {type: pushover, token: t, user: u}\n"
    "  hook: {type: webhook, url: https://example.org}\n"
)


def problems(house: House) -> list[str]:
    return [
        f"{house.file}:8: notification_channels.ops.url: must begin with http:// or https://",
        f"{house.file}:9: notification_channels.phone.token: is needed",
    ]


async def test_channels_of_the_config_are_known_from_the_start(house: House) -> None:
    daemon = await house.start(RIGHT)
    assert [spec.name for spec in daemon.channels.all()] == ["hook", "phone"]
    assert not any(spec.flaw for spec in daemon.channels.all())


async def test_a_channel_that_cannot_be_stops_a_start(house: House) -> None:
    with pytest.raises(ConfigError) as caught:
        await house.start(BROKEN)
    assert caught.value.problems == problems(house)


async def test_a_channel_that_cannot_be_fails_a_reload_and_the_old_ones_stay(house: House) -> None:
    daemon = await house.start(RIGHT)
    house.write(BROKEN)
    told = await daemon.reload()
    assert (told.ok, told.problems) == (False, problems(house))
    assert [spec.name for spec in daemon.channels.all()] == ["hook", "phone"]


async def test_a_reload_takes_new_channels(house: House) -> None:
    daemon = await house.start("")
    house.write(RIGHT)
    assert (await daemon.reload()).ok
    assert [spec.name for spec in daemon.channels.all()] == ["hook", "phone"]


async def test_no_channel_may_call_where_the_daemon_listens(house: House) -> None:
    daemon = await house.start("")
    port = int(daemon.urls[0].rstrip("/").rpartition(":")[2])
    house.write(f"notification_channels: {{self: {{type: webhook, url: 'http://127.0.0.1:{port}/'}}}}\n")
    await daemon.reload()
    spec = daemon.channels.get("self")
    assert spec is not None and daemon.channels._guard(spec).refusal("127.0.0.1", port) == "hbd does not call itself"


def test_check_config_names_every_wrong_channel(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.write(BROKEN)
    assert cli.main(["check-config", "-c", str(house.file)]) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == problems(house)
