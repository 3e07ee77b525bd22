"""The agent link of a whole daemon, spoken to frame by frame."""

import asyncio
import json
import time

import aiohttp
import msgspec
import pytest

from hbc import wire
from hbd.config import Config
from hbd.config.structs import Agents, HostConfig, Limits
from hbd.daemon import Daemon
from hbd.errors import StorageError
from hbd.receivers.agent_link import Link
from hbd.remote.frames import Started

RUN = "0123456789abcdef"
HELLO = {
    "type": "hello",
    "protocol": wire.PROTOCOL,
    "version": "0.1.0",
    "name": "web-1",
    "boot_id": "boot",
    "run_id": RUN,
    "interval": 10.0,
    "event": "started",
    "capabilities": [],
    "tags": [],
}


@pytest.fixture
def settings():
    """What a test's daemon is told beside its ports and its database."""
    return {}


@pytest.fixture
async def daemon(tmp_path, settings):
    config = Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "hbd.db", **settings)
    running = Daemon(config)
    await running.start()
    yield running
    await running.stop()


class Agent:
    def __init__(self, socket):
        self.socket = socket

    async def send(self, frame):
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self):
        return json.loads(await self.socket.receive_str(timeout=10))

    async def hello(self, **changes):
        await self.send(HELLO | {"time": time.time()} | changes)
        return await self.hear()

    async def report(self, seq=1, samples=None, **changes):
        sample = {"plugin": "cpu_monitor", "time": time.time(), "data": {"cpu_percent": 1.5}}
        frame = {"type": "report", "run_id": RUN, "seq": seq, "time": time.time()}
        await self.send(frame | {"samples": [sample] if samples is None else samples} | changes)
        return await self.hear()


@pytest.fixture
async def connect(daemon):
    async with aiohttp.ClientSession() as session:

        async def open_link():
            return Agent(await session.ws_connect(daemon.urls[0].rstrip("/") + wire.LINK_PATH))

        yield open_link


@pytest.fixture
async def agent(connect):
    return await connect()


@pytest.fixture
async def welcome(agent):
    return await agent.hello()


def newest(daemon, plugin="cpu_monitor", host="web-1"):
    return daemon.rings.latest(daemon.hosts.require(host).id, plugin)


# -------------------------------------------------------------------------------------------------------------- hello


async def test_an_unknown_agent_is_enrolled_and_given_a_key(welcome, daemon):
    assert welcome["type"] == "welcome"
    assert daemon.enrolment.host_of(welcome["key"], time.time()).name == "web-1"


async def test_the_welcome_tells_where_heartbeats_go(welcome, daemon):
    assert welcome["heartbeat_port"] == daemon.links.heartbeat_port > 0


async def test_a_key_is_given_only_once(welcome, connect):
    again = await (await connect()).hello(key=welcome["key"])
    assert again["type"] == "welcome"
    assert "key" not in again


async def test_the_key_alone_decides_which_host_it_is(welcome, connect):
    again = await (await connect()).hello(key=welcome["key"], name="somebody-else")
    assert again["host"] == "web-1"


async def test_a_name_that_has_a_key_cannot_be_taken_without_it(agent, welcome, connect):
    await agent.report()
    refused = await (await connect()).hello()
    assert (refused["type"], refused["code"]) == ("refused", "key")


async def test_an_agent_that_never_got_its_key_is_given_another(welcome, connect, daemon):
    again = await (await connect()).hello()
    assert again["type"] == "welcome"
    assert again["key"] != welcome["key"]
    assert daemon.enrolment.host_of(welcome["key"], time.time()) is None


async def test_a_key_that_an_admin_made_cannot_be_replaced_over_a_link(daemon, agent):
    await daemon.enrolment.add("web-1")
    assert (await agent.hello())["code"] == "key"


async def test_a_key_that_was_used_stays_after_a_restart(daemon, agent, welcome):
    await agent.report()
    keys = await daemon.store.hosts.keys()
    assert [key.proven for key in keys] == [True]


async def test_a_wrong_key_is_refused(agent):
    refused = await agent.hello(key="f" * 64)
    assert (refused["type"], refused["code"]) == ("refused", "key")


@pytest.mark.parametrize("name", ["", "a b", "x" * 254, "<b>", "web\n1", "../etc"])
async def test_what_cannot_name_a_host_is_refused_and_not_stored(agent, daemon, name):
    refused = await agent.hello(name=name)
    assert (refused["type"], refused["code"]) == ("refused", "name")
    assert len(daemon.hosts) == 0


async def test_another_protocol_is_refused_with_the_reason(agent):
    refused = await agent.hello(protocol=99)
    assert (refused["code"], "protocol 1" in refused["reason"]) == ("protocol", True)


@pytest.mark.parametrize("frame", ["nonsense", "[]", '{"type": "bye"}', '{"type": "hello"}', "null"])
async def test_what_is_no_hello_is_refused(agent, frame):
    await agent.send(frame)
    assert (await agent.hear())["code"] == "protocol"


@pytest.mark.parametrize("settings", [{"agents": Agents(enrollment="key")}, {"agents": Agents(enrollment="closed")}])
async def test_without_open_enrolment_a_key_is_needed(agent):
    assert (await agent.hello())["code"] == "enrollment"


@pytest.mark.parametrize("settings", [{"drophosts": ("web-*",)}])
async def test_a_host_in_drophosts_is_refused(agent, daemon):
    assert (await agent.hello())["code"] == "disabled"
    assert len(daemon.hosts) == 0


@pytest.mark.parametrize("settings", [{"hosts": {"web-1": HostConfig(enabled=False)}}])
async def test_a_host_that_is_switched_off_is_refused(agent):
    assert (await agent.hello())["code"] == "disabled"


@pytest.mark.parametrize("settings", [{"limits": Limits(max_hosts=1)}])
async def test_there_are_no_more_hosts_than_the_limit(welcome, connect, daemon):
    refused = await (await connect()).hello(name="web-2")
    assert (refused["code"], len(daemon.hosts)) == ("enrollment", 1)


@pytest.mark.parametrize("settings", [{"limits": Limits(max_links=1)}])
async def test_there_are_no_more_links_than_the_limit(welcome, connect):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect()
    assert refused.value.status == 503


@pytest.mark.parametrize("settings", [{"limits": Limits(max_links_per_address=1)}])
async def test_one_address_has_no_more_links_than_its_limit(welcome, connect):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect()
    assert refused.value.status == 503


@pytest.mark.parametrize("settings", [{"hosts": {"web-1": HostConfig(interval=3.0)}}])
async def test_the_config_says_how_often_a_host_reports(welcome):
    assert welcome["interval"] == 3.0


async def test_the_newest_link_of_a_host_takes_over(agent, welcome, connect, daemon):
    await (await connect()).hello(key=welcome["key"])
    assert (await agent.socket.receive(timeout=30)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert len(daemon.links) == 1


async def test_many_agents_at_once_do_not_pass_the_limit_of_hosts(daemon, connect):
    daemon.links.config = msgspec.structs.replace(daemon.config, limits=Limits(max_hosts=5))
    agents = [await connect() for _ in range(20)]
    answers = await asyncio.gather(*(agent.hello(name=f"h{index}") for index, agent in enumerate(agents)))
    assert sum(answer["type"] == "welcome" for answer in answers) == len(daemon.hosts) == 5


async def test_one_name_that_enrols_twice_at_once_ends_with_one_key_that_works(daemon, connect):
    agents = [await connect() for _ in range(8)]
    answers = await asyncio.gather(*(agent.hello() for agent in agents))
    keys = [answer["key"] for answer in answers if answer["type"] == "welcome"]
    assert sum(daemon.enrolment.host_of(key, time.time()) is not None for key in keys) == 1


async def test_an_agent_that_leaves_before_its_welcome_leaves_no_link_behind(daemon, connect, monkeypatch):
    async def gone(link, port):
        raise ConnectionResetError

    monkeypatch.setattr(Link, "welcome", gone)
    agent = await connect()
    await agent.socket.send_str(json.dumps(HELLO | {"time": time.time()}))
    assert (await agent.socket.receive(timeout=30)).type is not aiohttp.WSMsgType.TEXT
    assert len(daemon.links) == 0
    assert not daemon.hosts.require("web-1").link


async def test_tags_of_the_agent_are_those_of_its_last_hello(daemon, connect):
    key = await daemon.enrolment.add("web-1")
    for tags in (["edge"], ["edge", "db"], ["db"]):
        await (await connect()).hello(key=key, tags=tags)
        assert daemon.hosts.require("web-1").tags == tags


async def test_a_refused_agent_is_in_the_log_once(daemon, connect, caplog):
    for _ in range(3):
        await (await connect()).hello(key="f" * 64)
    assert caplog.text.count("was refused (key): nobody has this key") == 1


async def test_two_machines_with_one_key_are_noticed(welcome, connect, daemon):
    await (await connect()).hello(key=welcome["key"], boot_id="another")
    last = await connect()
    await last.hello(key=welcome["key"], boot_id="boot")
    await last.report()
    messages = [message.msg for message in await daemon.store.messages.recent(50)]
    assert sum("two machines" in message for message in messages) == 1


# ------------------------------------------------------------------------------------------------------------ reports


async def test_a_report_is_acknowledged_and_there(agent, welcome, daemon):
    assert await agent.report(seq=7) == {"type": "ack", "run_id": RUN, "seqs": [7]}
    assert newest(daemon).data == {"cpu_percent": 1.5}


async def test_a_report_of_an_earlier_run_is_acknowledged_under_that_run(agent, welcome):
    assert (await agent.report(run_id="f" * 16))["run_id"] == "f" * 16


async def test_a_resend_is_acknowledged_and_counted_once(agent, welcome, daemon):
    await agent.report()
    assert (await agent.report())["seqs"] == [1]
    assert daemon.rings.count(daemon.hosts.require("web-1").id, "cpu_monitor") == 1


HOSTILE = [
    '{"x": NaN}',
    '{"x": Infinity}',
    '{"x": -Infinity}',
    '{"x": 1e999}',
    '{"x": {"a": {"b": {"c": {"d": 1}}}}}',
    '{"x": "' + "y" * 5000 + '"}',
    '{"": 1}',
    '{"' + "k" * 300 + '": 1}',
    '{"x": "\\ud800"}',
    "[]",
    '"text"',
    "null",
    '{"x": ' + "9" * 5000 + "}",
    "{" + ",".join(f'"k{number}": 1' for number in range(3000)) + "}",
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:24])
async def test_a_sample_that_cannot_be_is_rejected_and_the_others_are_taken(agent, welcome, daemon, data):
    good = '{"plugin": "memory_monitor", "time": 1795000000.5, "data": {"percent": 5}}'
    bad = f'{{"plugin": "bad", "time": 1795000000.5, "data": {data}}}'
    head = f'"type": "report", "run_id": "{RUN}", "seq": 1, "time": {time.time()}'
    await agent.send(f'{{{head}, "samples": [{bad}, {good}]}}')
    answer = await agent.hear()
    assert answer["seqs"] == [1]
    assert [rejected["plugin"] for rejected in answer["rejected"]] == ["bad"]
    assert newest(daemon, "memory_monitor").data == {"percent": 5}
    assert newest(daemon, "bad") is None


@pytest.mark.parametrize("depth", [900, 100_000])
async def test_a_report_that_is_nested_without_end_is_rejected_for_good(agent, welcome, depth):
    head = f'"type": "report", "run_id": "{RUN}", "seq": 4, "time": {time.time()}'
    await agent.send(f'{{{head}, "samples": [{{"plugin": "x", "time": 1, "data": {"[" * depth}{"]" * depth}}}]}}')
    answer = await agent.hear()
    assert (answer["seqs"], len(answer["rejected"])) == ([4], 1)


@pytest.mark.parametrize("plugin", ["", "a b", "x" * 65, "a/b", "a\n"])
async def test_a_sample_of_a_plugin_without_a_proper_name_is_rejected(agent, welcome, plugin):
    answer = await agent.report(samples=[{"plugin": plugin, "time": 1.0, "data": {}}])
    assert len(answer["rejected"]) == 1


async def test_a_rejection_names_the_reason(agent, welcome):
    answer = await agent.report(samples=[{"plugin": "bad", "time": "noon", "data": {}}])
    assert "time" in answer["rejected"][0]["reason"]


async def test_frames_of_no_known_type_are_ignored(agent, welcome):
    await agent.send('{"type": "from the future", "x": 1}')
    await agent.send("nonsense")
    await agent.send('{"type": "report", "run_id": "short", "seq": 1}')
    assert (await agent.report(seq=2))["seqs"] == [2]


async def test_unknown_fields_are_ignored(agent, welcome):
    assert (await agent.report(extra={"a": 1}))["seqs"] == [1]


@pytest.mark.parametrize("off", [-400_000_000, -86_400, 86_400, 400_000_000])
async def test_a_clock_that_is_off_is_corrected(agent, welcome, daemon, off):
    wrong = time.time() + off
    await agent.report(time=wrong, samples=[{"plugin": "cpu_monitor", "time": wrong - 5, "data": {"x": 1}}])
    assert abs(newest(daemon).time - (time.time() - 5)) < 5
    assert abs(daemon.hosts.require("web-1").clock_offset + off) < 5


@pytest.mark.parametrize("when", [0, -1, 2.0**33, 10.0**18])
async def test_a_sample_from_no_sane_time_is_as_old_as_its_report(agent, welcome, daemon, when):
    await agent.report(samples=[{"plugin": "cpu_monitor", "time": when, "data": {"x": 1}}])
    assert abs(newest(daemon).time - time.time()) < 5


async def test_corrected_times_are_the_same_after_a_restart(agent, welcome, daemon):
    wrong = time.time() - 86_400
    await agent.report(time=wrong, samples=[{"plugin": "cpu_monitor", "time": wrong - 5, "data": {"x": 1}}])
    host = daemon.hosts.require("web-1")
    assert await daemon.store.samples.newest(host.id, 10, 1 << 40) == daemon.rings.newest(host.id, "cpu_monitor", 10)


async def test_reports_that_cannot_be_stored_are_to_be_kept_by_the_agent(agent, welcome, daemon, monkeypatch):
    async def refuse(turn):
        raise StorageError("disk is full")

    monkeypatch.setattr(daemon.store, "record", refuse)
    answer = await agent.report(seq=3)
    monkeypatch.undo()
    assert (answer["type"], answer["seqs"], answer["reason"]) == ("busy", [3], "disk is full")
    assert (await agent.report(seq=3))["type"] == "ack"


async def test_a_report_of_countless_samples_is_answered_in_few_words(agent, welcome):
    await agent.report()
    answer = await agent.report(seq=2, samples=[0] * 200_000)
    assert answer["seqs"] == [2]
    assert "256 of 200000" in answer["rejected"][0]["reason"]
    assert len(answer["rejected"]) <= 50


async def test_a_sample_of_too_many_bytes_is_rejected_and_the_others_are_taken(agent, welcome, daemon):
    big = {"plugin": "big", "time": time.time(), "data": {f"k{index}": "x" * 4000 for index in range(40)}}
    small = {"plugin": "small", "time": time.time(), "data": {"x": 1}}
    answer = await agent.report(samples=[big, small])
    assert [rejected["plugin"] for rejected in answer["rejected"]] == ["big"]
    assert newest(daemon, "small").data == {"x": 1}


async def test_an_interval_that_the_config_changes_is_told_by_a_new_hello(agent, welcome, daemon, connect):
    fresh = msgspec.structs.replace(daemon.config, hosts={"web-1": HostConfig(interval=3.0)})
    await asyncio.gather(*daemon.works.put_into_force(fresh, daemon.works.clock()))
    closed = await agent.socket.receive(timeout=30)
    assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert (await (await connect()).hello(key=welcome["key"]))["interval"] == 3.0


@pytest.mark.parametrize("when", [1e308, -1e308, 1e12])
async def test_a_report_from_no_sane_time_is_as_old_as_its_arrival(agent, welcome, daemon, when):
    await agent.report(time=when, samples=[{"plugin": "cpu_monitor", "time": when, "data": {"x": 1}}])
    assert abs(newest(daemon).time - time.time()) < 5


@pytest.mark.parametrize("frame", ['"time": null, "seq": 28', '"time": 1, "seq": 28.0', '"time": "x", "seq": 28'])
async def test_a_report_whose_head_is_wrong_is_rejected_for_good(agent, welcome, frame):
    await agent.send(f'{{"type": "report", "run_id": "{RUN}", {frame}, "samples": []}}')
    answer = await agent.hear()
    assert (answer["seqs"], len(answer["rejected"])) == ([28], 1)


async def test_a_peer_that_takes_no_answers_is_not_read_without_end(agent, welcome, daemon, monkeypatch):
    link = daemon.links._links[daemon.hosts.require("web-1").id]
    stuck = asyncio.Event()

    async def wait_for_ever(text):
        await stuck.wait()

    monkeypatch.setattr(link._socket, "send_str", wait_for_ever)
    for seq in range(1, 2_000):
        await agent.send({"type": "report", "run_id": RUN, "seq": seq, "time": time.time(), "samples": []})

    def taken():
        return daemon.stats.value("reports_total", outcome="stored")

    async def stands_still():
        while not (before := taken()) or await asyncio.sleep(0.3) or taken() != before:
            await asyncio.sleep(0)
        return before

    assert await asyncio.wait_for(stands_still(), 15) < 1_000
    link.cut()


async def test_a_goodbye_is_told_in_the_journal(agent, welcome, daemon):
    await agent.send({"type": "bye", "reason": "shutdown"})
    await agent.report()
    assert "host is being shut down" in [message.msg for message in await daemon.store.messages.recent(10)]


async def test_a_frame_that_is_too_large_ends_the_link(agent, welcome):
    await agent.send("x" * (wire.MAX_FRAME_BYTES + 10))
    closed = await agent.socket.receive(timeout=30)
    assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert agent.socket.close_code == 1009


async def test_a_revoked_key_ends_the_link(agent, welcome, daemon):
    await daemon.control._commands["agent revoke"](name="web-1")
    closed = await agent.socket.receive(timeout=30)
    assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_the_old_key_works_on_for_a_while_after_a_rotation(welcome, daemon, connect):
    fresh = await daemon.control._commands["agent rotate"](name="web-1")
    for key in (welcome["key"], fresh):
        assert (await (await connect()).hello(key=key))["type"] == "welcome"


async def test_an_agent_is_sent_what_the_daemon_has_for_it(daemon, agent):
    await agent.hello()
    assert daemon.links.send(daemon.hosts.require("web-1"), {"type": "greeting"})
    assert await agent.hear() == {"type": "greeting"}


async def test_a_host_without_a_link_is_sent_nothing(daemon, agent):
    await agent.hello()
    await daemon.enrolment.add("web-2")
    assert not daemon.links.send(daemon.hosts.require("web-2"), {"type": "greeting"})


async def test_what_an_agent_says_of_remote_control_is_heard_by_whoever_listens(daemon, agent):
    heard = asyncio.get_running_loop().create_future()
    daemon.links.on_frame[Started] = lambda host, frame: heard.set_result((host.name, frame.id))
    await agent.hello()
    await agent.send({"type": "started", "id": "cmd_0123456789ab"})
    assert await asyncio.wait_for(heard, 10) == ("web-1", "cmd_0123456789ab")


# ------------------------------------------------------------------------------------------------------------ the key


async def challenged(agent, key, nonce="ab" * 16, **changes):
    """What the daemon answers to a hello that names a key."""
    return await agent.hello(key_id=wire.key_id(wire.key_hash(key)).hex(), nonce=nonce, **changes)


async def test_a_daemon_proves_that_it_knows_the_key_before_the_agent_does(daemon, agent):
    key = await daemon.enrolment.add("web-1")
    challenge = await challenged(agent, key)
    assert challenge["type"] == "challenge"
    assert challenge["proof"] == wire.daemon_proof(wire.key_hash(key), "ab" * 16, challenge["nonce"])
    proof = wire.agent_proof(wire.key_hash(key), "ab" * 16, challenge["nonce"])
    await agent.send({"type": "proof", "proof": proof})
    assert (await agent.hear())["type"] == "welcome"


async def test_s50_an_agent_that_only_knows_the_name_of_a_key_is_refused(daemon, agent):
    key = await daemon.enrolment.add("web-1")
    challenge = await challenged(agent, key)
    await agent.send({"type": "proof", "proof": challenge["proof"]})
    assert (await agent.hear())["code"] == "key"
    assert not daemon.hosts.require("web-1").link


async def test_s49_a_proof_is_good_for_one_challenge(daemon, connect):
    key = await daemon.enrolment.add("web-1")
    first = await connect()
    challenge = await challenged(first, key)
    proof = wire.agent_proof(wire.key_hash(key), "ab" * 16, challenge["nonce"])
    second = await connect()
    await challenged(second, key)
    await second.send({"type": "proof", "proof": proof})
    assert (await second.hear())["code"] == "key"


async def test_a_key_that_nobody_has_is_refused_without_a_challenge(daemon, agent):
    assert (await challenged(agent, "0" * 64))["code"] == "key"


async def test_a_key_that_is_named_without_a_nonce_is_refused(daemon, agent):
    key = await daemon.enrolment.add("web-1")
    assert (await agent.hello(key_id=wire.key_id(wire.key_hash(key)).hex()))["code"] == "protocol"
