"""What is kept of what foreign agents sent: enough, and no secrets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hbd import report_log
from hbd.enrolment import Enrolment
from hbd.errors import StorageError
from hbd.hosts import Host, Hosts
from hbd.report_log import HIDDEN, MAX_KEPT, UNREADABLE_BYTES, ReportLog, Shown, unreadable
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.reports import KEPT, ReportRow

KEY = "0123456789abcdef" * 4


class Kit:
    def __init__(self, path: Path) -> None:
        self.stats, self.hosts = Stats(), Hosts()
        self.store = Store(path, self.stats)
        self.enrolment = Enrolment(self.hosts, self.store)
        self.log = ReportLog(self.store, self.stats)

    async def host(self, name: str) -> Host:
        await self.enrolment.add(name)
        return self.hosts.require(name)

    def note(self, host: Host, number: int, request: Any = None) -> None:
        self.log.note(host, "test", float(number), request=request, status=200, answer={"number": number})

    async def numbers(self, host: Host, limit: int = KEPT) -> list[int]:
        return [report.answer["number"] for report in await self.log.recent(host, limit)]


@pytest.fixture(name="kit")
async def a_kit(tmp_path: Path) -> AsyncIterator[Kit]:
    kit = Kit(tmp_path / "hbd.db")
    await kit.store.open()
    yield kit
    await kit.store.close()


async def test_the_newest_come_first(kit: Kit) -> None:
    host = await kit.host("web1")
    for number in range(5):
        kit.note(host, number)
    assert await kit.numbers(host, 3) == [4, 3, 2]


async def test_each_host_has_its_own(kit: Kit) -> None:
    one, two = await kit.host("web1"), await kit.host("web2")
    kit.note(one, 1)
    kit.note(two, 2)
    assert (await kit.numbers(one), await kit.numbers(two)) == ([1], [2])


async def test_the_last_500_of_a_host_are_kept_and_no_more(kit: Kit) -> None:
    host, other = await kit.host("web1"), await kit.host("web2")
    kit.note(other, 7)
    for number in range(KEPT + 20):
        kit.note(host, number)
        if number % 100 == 0:
            await kit.log.write()
    assert await kit.numbers(host, KEPT + 20) == list(range(KEPT + 19, 19, -1))
    assert await kit.numbers(other) == [7]


async def test_they_go_with_their_host(kit: Kit) -> None:
    host = await kit.host("web1")
    kit.note(host, 1)
    await kit.log.write()
    kit.note(host, 2)
    await kit.enrolment.remove(host)
    assert await kit.numbers(host) == []


async def test_what_the_disk_refuses_is_shown_and_written_later(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await kit.host("web1")
    kit.note(host, 1)
    await kit.log.write()
    kit.note(host, 2)

    async def full(rows: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(kit.store.reports, "add", full)
        assert not await kit.log.write()
        assert await kit.numbers(host) == [2, 1]
    assert await kit.log.write()
    assert await kit.numbers(host) == [2, 1]


async def test_what_waits_has_a_limit_and_what_is_dropped_is_counted(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_log, "MAX_WAITING", 3)
    host = await kit.host("web1")
    for number in range(5):
        kit.note(host, number)
    assert await kit.numbers(host) == [2, 1, 0]
    assert kit.stats.counters["report_log_dropped_total"] == {(): 2}


async def test_so_has_the_memory_that_it_takes(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_log, "MAX_WAITING_BYTES", 5_000)
    host = await kit.host("web1")
    for number in range(5):
        kit.note(host, number, "x" * 2_000)
    assert await kit.numbers(host) == [1, 0]


async def test_of_very_large_ones_fewer_are_shown_at_once(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_log, "MAX_ANSWER_BYTES", 5_000)
    host = await kit.host("web1")
    for number in range(5):
        kit.note(host, number, "x" * 2_000)
    assert await kit.numbers(host) == [4, 3]


async def test_nothing_is_written_twice_although_the_writer_is_stopped_meanwhile(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, began, write = await kit.host("web1"), asyncio.Event(), kit.store.reports.add

    async def add(rows: list[ReportRow]) -> None:
        began.set()
        await write(rows)

    monkeypatch.setattr(kit.store.reports, "add", add)
    writer = asyncio.create_task(kit.log.run())
    kit.note(host, 1)
    await began.wait()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    await kit.log.write()
    assert await kit.numbers(host) == [1]


def shown(value: Any) -> Any:
    return Shown().of(value)


@pytest.mark.parametrize(
    "name",
    [
        "agent_key",
        "key",
        "Token",
        "api-key",
        "X_PASSWORD",
        "client_secret",
        "accessToken",
        "pwd",
        "passphrase",
        "credentials",
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert shown({"a": [{name: "hunter2"}]}) == {"a": [{name: HIDDEN}]}


@pytest.mark.parametrize("value", [12345678, 0, ["abc"], [["abc"]], {"a": ["abc"]}])
def test_a_secret_is_hidden_whatever_it_is(value: Any) -> None:
    assert shown({"token": value}) == {"token": HIDDEN}


@pytest.mark.parametrize("value", ["", None, True, False])
def test_that_there_is_no_secret_is_told(value: Any) -> None:
    assert shown({"token": value}) == {"token": value}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"password": "hun \\" ter2", "cpu": 1', '{"password": •••, "cpu": 1'),
        ("DB_PASSWORD=hunter2 cpu=1", "DB_PASSWORD=••• cpu=1"),
        ('{"token": "hunter', '{"token": •••'),
        ("monkey: 5, cpu: 1", "monkey: 5, cpu: 1"),
    ],
)
def test_a_secret_is_known_in_what_is_no_json(text: str, kept: str) -> None:
    assert shown(text) == kept


@pytest.mark.parametrize("before", ["z" * (UNREADABLE_BYTES - 63), f"{KEY} " + "z" * (UNREADABLE_BYTES - 128)])
def test_the_key_at_which_an_unreadable_body_was_cut_is_hidden(before: str) -> None:
    kept = str(shown(unreadable(f"{before}{KEY} and more".encode())))
    assert KEY[:8] not in kept


@pytest.mark.parametrize("room", range(60, 140, 7))
def test_the_key_behind_another_one_is_hidden_too(room: int) -> None:
    assert KEY[:8] not in Shown(room=room).of(f"{KEY} {'z' * 5} {KEY} z")


@pytest.mark.parametrize("name", ["keyboard", "tokens_used", "monkey", "hostname"])
def test_what_only_sounds_like_a_secret_is_shown(name: str) -> None:
    assert shown({name: "value"}) == {name: "value"}


@pytest.mark.parametrize("text", [KEY, f"key={KEY}&x=1", f"{KEY} {KEY.upper()}"])
def test_a_key_is_known_wherever_it_stands(text: str) -> None:
    assert KEY not in str(shown({"note": text, text: [text]})).lower()


def test_half_a_key_at_the_end_of_what_is_kept_is_hidden_too() -> None:
    kept = Shown(room=40).of("x" * 20 + KEY)
    assert KEY[:8] not in kept


def test_of_what_is_long_the_beginning_is_kept() -> None:
    for value in ("x" * 10**6, ["x" * 100] * 10**4, {str(number): number for number in range(10**5)}):
        part = Shown()
        kept = part.of(value)
        assert part.cut
        assert len(str(kept)) < 2 * MAX_KEPT


def test_what_is_whole_is_not_called_cut() -> None:
    part = Shown()
    assert part.of({"a": [1, 2.5, True, None, "text", {}]}) == {"a": [1, 2.5, True, None, "text", {}]}
    assert not part.cut


def test_what_json_has_no_word_for_becomes_text() -> None:
    assert shown([float("nan"), float("-inf"), 10**40, 10**400, "\ud800", b"x"]) == [
        "nan",
        "-inf",
        "1.000000e+40",
        "a number of more than 300 digits",
        "?",
        "b'x'",
    ]


def test_what_is_deep_is_cut() -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value]
    part = Shown()
    assert "…" in str(part.of(value))
    assert part.cut
