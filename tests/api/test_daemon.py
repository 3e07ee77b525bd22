"""A whole daemon inside the test: start, reload, restart, and the socket for commands."""

import asyncio
import time

import msgspec
import pytest
from house import House, report

from hbd import config as configuration
from hbd import control
from hbd.config import Config
from hbd.daemon import Daemon
from hbd.errors import Conflict, HbdError
from hbd.model import Moment, State


@pytest.fixture
async def daemon(house):
    return await house.start()


def state(daemon, name="web-1"):
    return daemon.presence.view(daemon.hosts.require(name).id).state


async def messages(daemon):
    await report(daemon, "tail", seq=int(time.time() * 1e6))  # whatever was said before is on disk with this
    return [message.msg for message in await daemon.store.messages.recent(100)]


# ------------------------------------------------------------------------------------------------------------ restart


async def test_samples_outlive_a_restart(house, daemon):
    odd = {"percent": 5, "a.b": {"c": [1, "x", None]}, "text": "ü\u202e", "big": 2**60, "yes": True}
    for seq in range(1, 30):
        await report(daemon, seq=seq, data=odd | {"seq": seq})
    before = daemon.rings.newest(daemon.hosts.require("web-1").id, "cpu_monitor", 100)
    daemon = await house.restart()
    assert daemon.rings.newest(daemon.hosts.require("web-1").id, "cpu_monitor", 100) == before


async def test_a_resend_after_a_restart_is_known(house, daemon):
    await report(daemon, seq=5)
    daemon = await house.restart()
    host = await report(daemon, seq=5)
    assert daemon.rings.count(host.id, "cpu_monitor") == 1


async def test_after_a_restart_a_host_is_unknown_until_it_is_heard(house, daemon):
    await report(daemon)
    daemon = await house.restart()
    assert state(daemon) is State.UNKNOWN
    await report(daemon, seq=2)
    assert state(daemon) is State.UP


async def test_a_restart_does_not_repeat_in_the_journal_that_a_host_is_up(house, daemon):
    await report(daemon)
    daemon = await house.restart()
    await report(daemon, seq=2)
    lines = [message.msg for message in await daemon.store.messages.recent(100) if message.host == "web-1"]
    assert [line for line in lines if line.startswith("UP")] == lines[-1:]


async def test_keys_and_what_is_known_of_a_host_outlive_a_restart(house, daemon):
    key = await daemon.enrolment.add("Web-1", tags=["edge"])
    await report(daemon, "web-1", plugin="os_info", data={"os": "Debian 12", "agent_version": "0.1.0"})
    before = daemon.hosts.require("web-1")
    daemon = await house.restart()
    host = daemon.enrolment.host_of(key, time.time())
    assert (host.name, host.id, host.agent_id) == (before.name, before.id, before.agent_id)
    assert (host.os, host.tags) == ("Debian 12", ["edge"])


async def test_a_taken_port_stops_the_start_and_leaves_nothing_open(house, daemon, tmp_path):
    port = int(daemon.urls[0].rsplit(":", 1)[1].strip("/"))
    second = Daemon(
        Config(hbd_host="127.0.0.1", hbd_port=port, hb_port=0, ws_port=0, database=tmp_path / "b" / "hbd.db")
    )
    with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
        await second.start()
    third = Daemon(Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "b" / "hbd.db"))
    await third.start()
    await third.stop()


async def test_a_second_daemon_on_the_same_database_is_turned_away(house, daemon):
    with pytest.raises(Conflict, match="in use by another hbd"):
        await Daemon(configuration.load(house.file)).start()
    assert await report(daemon) is not None


@pytest.mark.parametrize(("host", "warned"), [('hbd_host: ""\n', True), ("hbd_host: 127.0.0.1\n", False), ("", False)])
async def test_who_listens_to_the_network_without_users_is_warned(house, caplog, host, warned):
    house.write(host)
    await house.start()
    assert ("no users are set up" in caplog.text) is warned


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("base_url: https://monitor.example\n", True),
        ("trusted_proxies: [127.0.0.1]\n", True),
        ("base_url: http://localhost:50004\n", False),
    ],
)
async def test_who_is_behind_a_proxy_without_users_is_warned(house, caplog, text, warned):
    house.write(text)
    daemon = await house.start()
    assert ("whoever gets through it sees everything" in caplog.text) is warned
    assert bool(daemon.status().warnings) is warned


async def test_both_families_listen_on_the_same_port(daemon):
    ports = {url.rsplit(":", 1)[1] for url in daemon.urls}
    assert len(daemon.urls) == 2
    assert len(ports) == 1


# ------------------------------------------------------------------------------------------------------------- reload


async def test_hosts_that_the_config_names_are_known(house):
    house.write("hosts:\n  db-1: {owner: alice}\nwatchhosts: [web-9]\n")
    daemon = await house.start()
    assert [host.name for host in daemon.hosts] == ["db-1", "web-9"]
    assert daemon.hosts.require("db-1").owner == "alice"
    assert state(daemon, "db-1") is State.UNKNOWN


async def test_a_host_that_the_config_names_can_be_enrolled(house):
    house.write("hosts:\n  db-1: {owner: alice}\n")
    daemon = await house.start()
    key = await daemon.enrolment.add("DB-1")
    assert daemon.enrolment.host_of(key, time.time()).owner == "alice"


async def test_a_reload_puts_the_new_config_into_force(house, daemon):
    await report(daemon)
    house.write("interval: 7\nsamples_per_plugin: 3\nhosts:\n  web-1: {tags: [edge], interval: 5}\n")
    result = await daemon.reload()
    assert (result.ok, result.restart_needed) == (True, [])
    host = daemon.hosts.require("web-1")
    assert (host.tags, daemon.presence.view(host.id).interval) == (["edge"], 5.0)
    assert daemon.config.samples_per_plugin == 3


async def test_what_needs_a_restart_is_named(house, daemon):
    house.write("")
    house.file.write_text(house.file.read_text().replace("hb_port: 0", "hb_port: 1"))
    result = await daemon.reload()
    assert result.restart_needed == ["hb_port"]
    assert any("after a restart: hb_port" in line for line in await messages(daemon))


async def test_a_broken_config_changes_nothing_and_is_told_everywhere(house, daemon, caplog):
    before = daemon.config
    house.write("intervall: 5\n")
    result = await daemon.reload()
    assert not result.ok
    assert "intervall" in result.problems[0]
    assert daemon.config is before
    assert daemon.status().reload.problems == result.problems
    assert any("reload failed" in line and "intervall" in line for line in await messages(daemon))
    assert "intervall" in caplog.text


async def test_a_reload_that_works_ends_the_trouble_of_the_one_before(house, daemon):
    house.write("intervall: 5\n")
    await daemon.reload()
    house.write("interval: 5\n")
    await daemon.reload()
    assert daemon.status().reload.ok


async def test_a_host_in_drophosts_is_gone_and_comes_back_with_all_it_had(house, daemon):
    key = await daemon.enrolment.add("web-1")
    await report(daemon)
    house.write("drophosts: ['web-*']\n")
    await daemon.reload()
    assert daemon.hosts.get("web-1") is None
    assert daemon.enrolment.host_of(key, time.time()) is None
    house.write("")
    await daemon.reload()
    assert daemon.enrolment.host_of(key, time.time()).name == "web-1"
    assert state(daemon) in (State.UNKNOWN, State.UP)


async def test_a_drop_that_is_taken_back_loses_nothing(house, daemon):
    for seq in (1, 2, 3):
        host = await report(daemon, seq=seq)
    house.write("drophosts: [web-1]\n")
    await daemon.reload()
    house.write("")
    await daemon.reload()
    assert daemon.rings.count(host.id, "cpu_monitor") == 3
    await report(daemon, seq=2)
    assert daemon.rings.count(host.id, "cpu_monitor") == 3


async def test_what_waits_for_a_restart_is_compared_with_the_start(house, daemon):
    text = house.file.read_text()
    house.file.write_text(text.replace("hb_port: 0", "hb_port: 1"))
    await daemon.reload()
    house.file.write_text(text.replace("hb_port: 0", "hb_port: 1") + "interval: 5\n")
    assert (await daemon.reload()).restart_needed == ["hb_port"]
    house.file.write_text(text)
    assert (await daemon.reload()).restart_needed == []


async def test_a_failed_reload_keeps_what_waits_for_a_restart(house, daemon):
    house.file.write_text(house.file.read_text().replace("hb_port: 0", "hb_port: 1"))
    await daemon.reload()
    house.write("intervall: 5\n")
    assert (await daemon.reload()).restart_needed == ["hb_port"]


async def test_a_reload_that_the_disk_refuses_changes_nothing(house, daemon):
    before = daemon.config
    await daemon.store.database.write(lambda db: db.execute("ALTER TABLE hosts RENAME TO hidden"))
    house.write("interval: 5\nhosts:\n  new-1: {}\n")
    result = await daemon.reload()
    assert not result.ok
    assert daemon.config is before
    await daemon.store.database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO hosts"))
    assert (await daemon.reload()).ok


async def test_what_the_command_line_set_stays_at_a_reload(tmp_path):
    file = tmp_path / "hbd.yaml"
    file.write_text(f"database: {tmp_path}/hbd.db\n")
    ports = {"hbd_port": 0, "hb_port": 0, "ws_port": 0}
    daemon = Daemon(msgspec.structs.replace(configuration.load(file), **ports), overridden=ports)
    await daemon.start()
    try:
        assert (await daemon.reload()).restart_needed == []
    finally:
        await daemon.stop()


# ----------------------------------------------------------------------------------------------------------- commands


async def test_a_removed_host_is_gone_with_all_it_had(house, daemon):
    host = await report(daemon)
    key = await house.ask("agent rotate", name="web-1")
    await house.ask("agent remove", name="WEB-1")
    assert daemon.hosts.get("web-1") is None
    assert daemon.enrolment.host_of(key, time.time()) is None
    assert await daemon.store.samples.newest(host.id, 10, 1 << 40) == []
    again = await report(daemon)
    assert again.id != host.id


async def test_removing_a_host_that_is_not_there_says_so(house, daemon):
    with pytest.raises(HbdError, match="Host 'nope' not found"):
        await house.ask("agent remove", name="nope")


async def test_what_is_done_to_a_key_is_in_the_journal(house, daemon):
    await house.ask("agent add", name="web-1")
    await house.ask("agent rotate", name="web-1")
    await house.ask("agent revoke", name="web-1")
    await report(daemon, "tail")  # what was said before is on disk with this
    lines = [message.msg for message in reversed(await daemon.store.messages.recent(10)) if message.host == "web-1"]
    assert lines == ["enrolled", "the key was rotated", "the key was revoked"]


async def test_a_host_is_enrolled_through_the_socket(house, daemon):
    key = await house.ask("agent add", name="web-1")
    assert daemon.enrolment.host_of(key, time.time()).name == "web-1"


async def test_an_error_comes_back_in_the_same_words(house, daemon):
    await house.ask("agent add", name="web-1")
    with pytest.raises(HbdError, match="host 'web-1' has a key already; rotate or revoke it"):
        await house.ask("agent add", name="WEB-1")


async def test_a_command_that_the_daemon_does_not_know_is_refused(house, daemon):
    with pytest.raises(HbdError, match="does not know that request"):
        await house.ask("make coffee")


async def test_hosts_are_listed_through_the_socket(house, daemon):
    await report(daemon)
    (host,) = await house.ask("agent list")
    assert (host["name"], host["state"], host["key"]) == ("web-1", "UP", True)


async def test_a_reload_through_the_socket_tells_how_it_went(house, daemon):
    house.write("intervall: 5\n")
    result = await house.ask("reload")
    assert (result["ok"], "intervall" in result["problems"][0]) == (False, True)


async def test_the_socket_is_for_the_owner_only(house, daemon):
    assert control.socket_path(house.folder / "hbd.db").stat().st_mode & 0o777 == 0o600


async def test_the_socket_works_at_the_end_of_a_long_path(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 60)
    deep.mkdir(parents=True)
    house = House(deep)
    daemon = await house.start()
    try:
        assert len(await house.ask("agent add", name="web-1")) == 64
    finally:
        await house.stop()
    assert daemon.hosts.require("web-1")


# ------------------------------------------------------------------------------------------------------- its own state


async def test_a_part_that_dies_makes_it_unready_and_end(house, daemon):
    daemon._go(asyncio.sleep(0), "something")
    await asyncio.wait_for(daemon.failed.wait(), 5)
    assert daemon.unready() != []


async def test_a_tick_that_fails_does_not_stop_the_clock(house, daemon, monkeypatch):
    ticks = []

    def tick(now):
        ticks.append(now)
        raise RuntimeError("no")

    monkeypatch.setattr(daemon.pipeline, "tick", tick)

    async def two_ticks():
        while len(ticks) < 2:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(two_ticks(), 10)
    assert not daemon.failed.is_set()


@pytest.mark.parametrize("name", ["hbd.db", "hbd.db.lock"])
async def test_a_database_that_is_removed_under_it_takes_nothing_more_and_is_told(house, daemon, name):
    (house.folder / name).unlink()
    daemon.store.database.look_after_files()
    with pytest.raises(HbdError, match="removed or replaced"):
        await report(daemon)
    assert "restart hbd" in daemon.unready()[0]


async def test_a_clock_that_jumps_throws_nothing_away(house, daemon):
    host = await report(daemon)
    now = Moment.now()
    await daemon.upkeep.round(now)
    await daemon.upkeep.round(Moment(now.wall + 30 * 86_400, now.mono + 60))
    assert len(await daemon.store.samples.newest(host.id, 10, 1 << 40)) == 1


async def test_a_clock_that_stays_where_it_jumped_to_is_believed_in_the_end(house, daemon):
    host = await report(daemon)
    now = Moment.now()
    await daemon.upkeep.round(now)
    for hours in (0.1, 1, 7):
        await daemon.upkeep.round(Moment(now.wall + 30 * 86_400 + hours * 3600, now.mono + hours * 3600))
    assert await daemon.store.samples.newest(host.id, 10, 1 << 40) == []


async def test_a_disk_that_refuses_writes_makes_it_unready_and_says_why(house, daemon):
    await daemon.store.database.write(lambda db: db.execute("ALTER TABLE samples RENAME TO hidden"))
    with pytest.raises(HbdError):
        await report(daemon)
    assert "does not take writes" in daemon.unready()[0]
    assert daemon.status().storage != "ok"


async def test_it_finds_out_by_itself_that_the_disk_is_well_again(house, daemon):
    await daemon.store.database.write(lambda db: db.execute("ALTER TABLE samples RENAME TO hidden"))
    with pytest.raises(HbdError):
        await report(daemon)
    await daemon.store.probe()
    assert daemon.unready() == []


async def test_upkeep_folds_what_is_old_and_forgets_what_is_older(house, daemon):
    host = await report(daemon)
    now = Moment.now()
    await daemon.upkeep.round(Moment(now.wall + 3600, now.mono + 3600))
    assert await daemon.store.database.read(lambda db: db.execute("SELECT count(*) FROM chunks").fetchone()) == (1,)
    assert len(await daemon.store.samples.newest(host.id, 10, 1 << 40)) == 1
    later = daemon.config.retention.samples + 3600
    await daemon.upkeep.round(Moment(now.wall + later, now.mono + later))
    assert await daemon.store.samples.newest(host.id, 10, 1 << 40) == []
