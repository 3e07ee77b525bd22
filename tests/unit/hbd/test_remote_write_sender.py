"""Remote write over a real database to a receiver on loopback that answers as a script says."""

import asyncio
import math
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from test_remote_write import inflated, unpacked

from hbd.config import Config
from hbd.config.structs import RemoteWrite, Secret
from hbd.errors import StorageError
from hbd.exporters import sender
from hbd.exporters.sender import RemoteWrites, Writer
from hbd.hosts import Host, Hosts
from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn

BEGAN = 1_750_003_200.0
LATER = 4e9


class Receiver:
    """Answers what the script says next, then 204. strict: as Prometheus it refuses what is older than what it has."""

    def __init__(self):
        self.script = []
        self.strict = False
        self.taken = []
        """(host, seconds since BEGAN) in the order in which they were taken"""
        self.headers = []
        self.known = {}
        self.url = ""

    async def answer(self, request):
        body = await request.read()
        self.headers.append(request.headers)
        step = self.script.pop(0) if self.script else 204
        if step == "hang":
            await asyncio.sleep(60)
        if step in ("cut", "taken and cut"):
            if step == "taken and cut":
                self.take(body)
            request.transport.abort()
            return web.Response()
        if isinstance(step, web.Response):
            return step
        if step == 204 and not self.take(body):
            return web.Response(status=400, text="out of order sample\n")
        return web.Response(status=step)

    def take(self, body):
        found = unpacked(inflated(body))
        for names, samples in found:
            time, value = self.known.get(str(names), (-math.inf, 0))
            if self.strict and samples[0] != (time, value) and samples[0][0] <= time:
                return False
        for names, samples in found:
            fresh = [sample for sample in samples if sample != self.known.get(str(names))]
            self.known[str(names)] = samples[-1]
            self.taken += [(names["host"], round(time / 1000 - BEGAN)) for time, _ in fresh]
        return True


@pytest.fixture
async def receiver():
    found = Receiver()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/api/v1/write", found.answer)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/api/v1/write"))
        yield found


class World:
    """A store with two hosts, and a writer for them that makes a step when it is told to."""

    def __init__(self, store, url):
        self.store = store
        self.hosts = Hosts()
        for number in (1, 2):
            self.hosts.add(Host(number, f"web-{number}", f"agent_{number}"))
        self.stats = Stats()
        self.notes = []
        self.seq = 0
        self.url = url
        self.session = None
        self.begin()

    def begin(self, **settings):
        """A new writer, as after a restart."""
        settings = RemoteWrite(url=self.url, **settings)
        self.writer = Writer(
            "there", settings, self.store.exports, self.hosts, self.stats, lambda text, now: self.notes.append(text)
        )

    async def report(self, *times, host_id=1, data=None):
        reports = []
        for time in times:
            self.seq += 1
            samples = (Sample("cpu_monitor", BEGAN + time, data or {"cpu_percent": float(self.seq)}),)
            body = msgspec.json.encode([msgspec.structs.asdict(sample) for sample in samples])
            reports.append((Report(host_id, "a" * 16, self.seq, samples, body), BEGAN + time))
        await self.store.record(Turn(reports=reports))

    async def fold(self):
        while await self.store.samples.fold(LATER, 0, 0):
            pass

    async def step(self):
        return await self.writer.step(self.session)

    async def drain(self):
        while await self.step() == sender.BREATH_SECONDS:
            pass
        while await self.store.exports.next("there", 600) is not None:
            await self.step()

    def count(self, outcome):
        return self.stats.value("remote_write_samples_total", exporter="there", outcome=outcome)


@pytest.fixture
async def world(tmp_path, receiver):
    store = Store(tmp_path / "hbd.db", Stats())
    await store.open()
    for name in ("web-1", "web-2"):
        await store.hosts.enrol(name, name, [], None, 0.0)
    await store.exports.begin(["there"])
    found = World(store, receiver.url)
    async with ClientSession() as found.session:
        yield found
    await store.close()


def of(host, *times):
    return [(host, time) for time in times]


async def test_what_is_new_is_sent_and_then_nothing_until_the_next_interval(world, receiver):
    await world.report(10, 20)
    assert await world.step() == 15
    assert receiver.taken == of("web-1", 10, 20)
    assert await world.step() == 15
    assert len(receiver.headers) == 1
    assert world.count("sent") == 2


async def test_a_request_says_what_it_is(world, receiver):
    await world.report(10)
    await world.step()
    (headers,) = receiver.headers
    assert headers["Content-Encoding"] == "snappy"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert headers["User-Agent"].startswith("hbd/")


@pytest.mark.parametrize(
    ("settings", "header", "sent"),
    [
        ({"bearer_token": Secret("abc")}, "Authorization", "Bearer abc"),
        ({"username": "hbd", "password": Secret("ü")}, "Authorization", "Basic aGJkOsO8"),
        ({"headers": {"X-Scope-OrgID": Secret("ops")}}, "X-Scope-OrgID", "ops"),
    ],
)
async def test_a_receiver_is_shown_what_the_config_says(world, receiver, settings, header, sent):
    world.begin(**settings)
    await world.report(10)
    await world.step()
    assert receiver.headers[0][header] == sent


async def test_only_hosts_that_fit_are_sent(world, receiver):
    world.begin(hosts=("*-2",))
    await world.report(10)
    await world.report(10, host_id=2)
    await world.fold()
    await world.report(20)
    await world.report(20, host_id=2)
    await world.drain()
    assert receiver.taken == of("web-2", 10, 20)


@pytest.mark.parametrize("trouble", [500, 503, 429, 302, "cut"])
async def test_what_could_not_be_sent_is_sent_later(world, receiver, trouble):
    receiver.script = [trouble, trouble]
    await world.report(10)
    for _ in range(2):
        assert 0.5 <= await world.step() <= 2
    assert receiver.taken == []
    assert await world.step() == 15
    assert receiver.taken == of("web-1", 10)


async def test_a_receiver_that_hangs_is_left_and_tried_again(world, receiver, monkeypatch):
    monkeypatch.setattr(sender, "SEND_SECONDS", 0.2)
    receiver.script = ["hang"]
    await world.report(10)
    assert await world.step() <= 1
    assert world.writer.trouble.reason == "no answer within 0.2 s"
    await world.step()
    assert receiver.taken == of("web-1", 10)


async def test_a_receiver_that_is_not_there_is_tried_again_ever_less_often(world):
    world.url = "http://127.0.0.1:9/api/v1/write"
    world.begin()
    await world.report(10)
    waits = [await world.step() for _ in range(10)]
    for number, wait in enumerate(waits):
        full = min(2.0**number, 60)
        assert full / 2 <= wait <= full
    assert world.writer.trouble.reason == "the receiver cannot be reached"


async def test_a_receiver_may_ask_for_time(world, receiver):
    receiver.script = [web.Response(status=429, headers={"Retry-After": "120"})]
    await world.report(10)
    assert await world.step() == 120


async def test_a_receiver_may_not_ask_for_ever(world, receiver):
    receiver.script = [web.Response(status=503, headers={"Retry-After": "999999"})]
    await world.report(10)
    assert await world.step() == 3600


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_settings_that_are_refused_cost_one_batch_a_try_and_ever_fewer_tries(world, receiver, status):
    receiver.script = [status, status]
    await world.report(10)
    assert 0.5 <= await world.step() <= 1
    await world.report(20)
    assert 1 <= await world.step() <= 2
    await world.report(30)
    await world.step()
    assert receiver.taken == of("web-1", 30)
    assert world.count("refused") == 2
    assert len(world.notes) == 1


async def test_late_samples_are_dropped_without_those_beside_them(world, receiver):
    receiver.strict = True
    await world.report(*range(100, 200, 10))
    await world.step()
    await world.report(*range(50, 90, 10), *range(200, 300, 10))
    await world.report(*range(50, 90, 10), host_id=2)
    await world.step()
    assert sorted(receiver.taken) == of("web-1", *range(100, 300, 10)) + of("web-2", *range(50, 90, 10))
    assert world.count("refused") == 4


async def test_refused_samples_are_told_once_and_why_in_the_log_alone(world, receiver, caplog):
    receiver.strict = True
    await world.report(100)
    await world.step()
    for late in range(1, 6):
        await world.report(late)
        await world.step()
    assert world.count("refused") == 5
    told = "remote write: there refuses values, which are dropped and counted (status 400)"
    assert world.notes == [told]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("hbd")]
    assert ours == [f"{told}: out of order sample"]


async def test_a_batch_that_is_refused_for_ever_takes_a_limited_number_of_requests(world, receiver):
    receiver.script = [400] * 10_000
    await world.report(10, data={f"metric_{number}": number for number in range(2000)})
    await world.step()
    assert len(receiver.headers) <= sender.MOST_HALVES + 1
    assert await world.store.exports.next("there", 600) is None


async def test_a_batch_that_is_too_large_is_sent_in_halves(world, receiver):
    receiver.script = [413]
    await world.report(*range(10, 50, 10))
    await world.step()
    assert receiver.taken == of("web-1", 10, 20, 30, 40)
    assert len(receiver.headers) == 3


async def test_no_request_has_more_than_the_limit(world, receiver, monkeypatch):
    monkeypatch.setattr(sender, "MOST_POINTS", 100)
    await world.report(*range(450))
    await world.drain()
    assert receiver.taken == of("web-1", *range(450))
    assert len(receiver.headers) == 5


async def test_no_body_is_longer_than_the_limit(world, receiver, monkeypatch):
    monkeypatch.setattr(sender, "MOST_BYTES", 2_000)
    await world.report(*range(400))
    await world.drain()
    assert receiver.taken == of("web-1", *range(400))
    assert all(int(headers["Content-Length"]) < 2_100 for headers in receiver.headers)


async def test_what_was_taken_before_a_cut_is_no_loss_when_it_is_refused_the_second_time(world, receiver):
    receiver.strict = True
    receiver.script = ["taken and cut"]
    await world.report(*range(10, 100, 10))
    await world.step()
    await world.report(*range(100, 150, 10))
    await world.step()
    assert receiver.taken == of("web-1", *range(10, 150, 10))
    assert (world.count("refused"), world.notes) == (0, [])
    assert world.count("repeated") > 0


async def test_what_was_taken_before_a_crash_is_no_loss_when_it_is_refused_the_second_time(world, receiver):
    receiver.strict = True
    receiver.script = ["taken and cut"]
    await world.report(*range(10, 100, 10))
    await world.step()
    world.begin()
    await world.report(*range(100, 150, 10))
    await world.step()
    assert receiver.taken == of("web-1", *range(10, 150, 10))
    assert (world.count("refused"), world.notes) == (0, [])


async def test_what_was_taken_while_the_disk_was_sick_is_no_loss_when_it_is_refused_the_second_time(
    world, receiver, monkeypatch
):
    receiver.strict = True
    await world.report(5)
    await world.step()
    await world.report(*range(10, 100, 10))

    async def refuse(name, sent):
        raise StorageError("disk I/O error")

    with monkeypatch.context() as sick:
        sick.setattr(world.store.exports, "done", refuse)
        assert await world.step() == sender.STORAGE_SECONDS
    await world.report(*range(100, 150, 10))
    await world.step()
    assert receiver.taken == of("web-1", 5, *range(10, 150, 10))
    assert (world.count("refused"), world.notes) == (0, [])


async def test_hours_without_a_receiver_are_made_up_for_in_order(world, receiver):
    receiver.strict = True
    times = range(0, 30_000, 10)
    for start in range(0, len(times), 600):
        receiver.script = ["cut", 500]
        some = times[start : start + 600]
        await world.report(*some)
        await world.report(*some, host_id=2)
        await world.step()
        await world.fold()
        await world.step()
        while await world.store.history.pack(BEGAN + some[-1]):
            pass
    receiver.script = []
    await world.drain()
    for host in ("web-1", "web-2"):
        assert [taken for taken in receiver.taken if taken[0] == host] == of(host, *times)
    assert (world.count("refused"), world.notes) == (0, [])


async def test_samples_that_were_deleted_before_they_were_sent_are_told_once(world):
    await world.report(*range(0, 3000, 10))
    await world.fold()
    while await world.store.samples.prune(LATER):
        pass
    await world.drain()
    assert world.notes == ["remote write: samples were deleted before there could take them"]
    assert world.stats.value("remote_write_lost_seconds_total") == pytest.approx(2990)


async def test_a_failure_is_told_when_it_lasts_and_once(world, receiver, monkeypatch):
    receiver.script = [500] * 6
    await world.report(10)
    await world.step()
    assert world.notes == []
    monkeypatch.setattr(sender, "TOLD_SECONDS", 0)
    for _ in range(5):
        await world.step()
    assert world.notes == ["remote write to there fails: status 500; what it misses is kept for it"]
    await world.step()
    assert world.notes[1:] == ["remote write to there works again"]


async def test_a_short_failure_is_told_to_nobody(world, receiver):
    receiver.script = [500, 500]
    await world.report(10)
    for _ in range(3):
        await world.step()
    assert world.notes == []


async def test_the_lag_is_the_age_of_what_waits(world, receiver, monkeypatch):
    monkeypatch.setattr(sender.time, "time", lambda: BEGAN + 1000)
    receiver.script = [500]
    await world.report(400)
    await world.step()
    assert world.writer.lag() == 600
    await world.step()
    await world.step()
    assert world.writer.lag() == 0


async def test_a_fault_of_ours_is_shown_and_ends_nothing(world, receiver, monkeypatch, caplog):
    await world.report(10)
    with monkeypatch.context() as broken:
        broken.setattr(sender, "points", lambda samples: 1 / 0)
        await world.step()
    assert "fault in hbd" in world.writer.trouble.reason
    await world.step()
    assert receiver.taken == of("web-1", 10)


@asynccontextmanager
async def running(world, **remote_write):
    """All receivers of a config, as the daemon runs them."""
    writes = RemoteWrites(
        Config(remote_write=remote_write), world.store.exports, world.hosts, world.stats, lambda text, now: None
    )
    await writes.load()
    task = asyncio.create_task(writes.run())
    try:
        yield writes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_each_receiver_has_a_position_of_its_own(world, receiver):
    dead = RemoteWrite(url="http://127.0.0.1:9/")
    async with running(world, there=RemoteWrite(url=receiver.url, interval=1), dead=dead) as writes:
        await world.report(10)
        await until(lambda: receiver.taken and writes.problems())
        assert receiver.taken == of("web-1", 10)
        (problem,) = writes.problems()
        assert problem.startswith("remote_write.dead: the receiver has taken nothing since ")
        assert problem.endswith(" UTC: the receiver cannot be reached")
        assert world.stats.gauges["remote_write_failing"]() == 1


async def test_a_reload_changes_and_removes_receivers_and_keeps_the_position(world, receiver):
    async with running(world, there=RemoteWrite(url="http://127.0.0.1:9/")) as writes:
        await world.report(10)
        await until(writes.problems)
        writes.configure(Config(remote_write={"there": RemoteWrite(url=receiver.url, interval=1)}))
        await until(lambda: receiver.taken)
        assert receiver.taken == of("web-1", 10)
        writes.configure(Config())
        rows = []
        while rows != [(0,)]:
            rows = await world.store.database.read(lambda db: db.execute("SELECT count(*) FROM exports").fetchall())
        assert writes.problems() == []
