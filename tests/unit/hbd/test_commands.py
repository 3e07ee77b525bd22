"""Commands for agents: what is sent when, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from command_scene import DEADLINE, NOW, Scene, a_scene, entry, kinds

from hbd.errors import Conflict, NotFound, StorageError, StorageFull, TooMany
from hbd.remote import commands as module
from hbd.remote.frames import OfferedCommand, Output, Policy
from hbd.store.audit import Entry
from hbd.store.commands import Command

__all__ = ["a_scene"]


# ------------------------------------------------------------------------------------------------------- delivery


async def test_a_command_waits_until_the_agent_has_said_which_record_it_keeps(scene: Scene) -> None:
    command = await scene.ask(command="true")
    scene.host.link = True
    scene.commands.linked(scene.host)
    await scene.settle()
    assert (scene.sent, await scene.state(command.id)) == ([], ("queued", ""))
    await scene.link()
    (frame,) = scene.sent
    assert frame == {
        "type": "command",
        "id": command.id,
        "cmd": "shell",
        "params": {"command": "true"},
        "issued": NOW,
        "expires": NOW + 3600.0,
        "time": NOW,
    }
    assert await scene.state(command.id) == ("delivered", "")


async def test_a_command_goes_out_at_once_to_an_agent_that_is_there(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    assert kinds(scene) == [("command", command.id)]


async def test_a_command_is_on_disk_as_delivered_before_it_leaves(scene: Scene, monkeypatch) -> None:
    await scene.link()
    order: list[str] = []
    save = scene.store.commands.save

    async def saved(command: Command, *entries: Entry) -> None:
        await save(command, *entries)
        order.append(command.status)

    monkeypatch.setattr(scene.store.commands, "save", saved)
    monkeypatch.setattr(scene.commands, "_send", lambda host, frame: order.append("sent") or True)
    await scene.ask()
    assert order == ["delivered", "sent"]


async def test_nothing_leaves_that_the_disk_does_not_take(scene: Scene, monkeypatch) -> None:
    command = await scene.ask()

    async def full(*_: Any) -> None:
        raise StorageFull("no space")

    monkeypatch.setattr(scene.store.commands, "save", full)
    await scene.link()
    assert (scene.sent, await scene.state(command.id)) == ([], ("queued", ""))
    monkeypatch.undo()
    await scene.pass_time(1.0)
    assert kinds(scene) == [("command", command.id)]


async def test_what_the_disk_does_not_take_was_not_asked(scene: Scene, monkeypatch) -> None:
    async def full(*_: Any) -> None:
        raise StorageFull("no space")

    await scene.link()
    monkeypatch.setattr(scene.store.commands, "add", full)
    asked = asyncio.create_task(scene.ask())
    await asyncio.sleep(0)
    await scene.pass_time(1.0)
    with pytest.raises(StorageError):
        await asked
    assert scene.sent == []


async def test_the_life_of_a_command(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.start(command.id)
    assert await scene.state(command.id) == ("running", "")
    await scene.answer(command.id, status="failed", exit_code=3, stdout="out", stderr="err", truncated=True)
    ended = await scene.commands.get(scene.host, command.id)
    assert (ended.status, ended.exit_code, ended.stdout, ended.stderr, ended.truncated) == (
        "failed",
        3,
        "out",
        "err",
        True,
    )
    assert (ended.started_at, ended.finished_at, ended.certain) == (NOW, NOW, True)


async def test_f47_an_unanswered_command_is_sent_again_to_the_record_that_has_it(scene: Scene) -> None:
    await scene.link("one")
    command = await scene.ask()
    await scene.start(command.id)
    scene.unlink()
    await scene.link("one")
    assert kinds(scene) == [("command", command.id), ("command", command.id)]
    await scene.answer(command.id)
    assert await scene.state(command.id) == ("done", "")


async def test_f47_a_command_is_never_sent_to_another_record(scene: Scene) -> None:
    await scene.link("one")
    command = await scene.ask()
    scene.unlink()
    await scene.link("two")
    assert kinds(scene) == [("command", command.id)]
    assert await scene.state(command.id) == ("failed", "outcome unknown: the agent's record of commands was lost")


async def test_f47_a_restart_of_the_daemon_forgets_nothing(scene: Scene) -> None:
    await scene.link("one")
    delivered, waiting = await scene.ask(), None
    scene.unlink()
    waiting = await scene.ask()
    await scene.restart()
    await scene.link("one")
    assert kinds(scene)[1:] == [("command", delivered.id), ("command", waiting.id)]
    await scene.restart()
    await scene.link("two")
    assert [await scene.state(each.id) for each in (delivered, waiting)] == [
        ("failed", "outcome unknown: the agent's record of commands was lost")
    ] * 2


async def test_a_second_answer_changes_nothing(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id)
    await scene.answer(command.id, status="failed")
    assert await scene.state(command.id) == ("done", "")


async def test_s49_an_answer_to_what_was_not_sent_changes_nothing(scene: Scene) -> None:
    command = await scene.ask()
    await scene.answer(command.id)
    await scene.answer("cmd_0123456789ab")
    assert await scene.state(command.id) == ("queued", "")


async def test_an_outcome_waits_for_the_disk(scene: Scene, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    await scene.link()
    command = await scene.ask()
    save, failures = scene.store.commands.save, iter([True, True])

    async def sometimes(*arguments: Any) -> None:
        if next(failures, False):
            raise StorageFull("no space")
        await save(*arguments)

    monkeypatch.setattr(scene.store.commands, "save", sometimes)
    await scene.answer(command.id)
    assert await scene.state(command.id) == ("done", "")


async def test_an_exit_code_that_cannot_be_is_none(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id, status="failed", exit_code=1 << 70)
    assert (await scene.commands.get(scene.host, command.id)).exit_code is None


async def test_an_output_with_a_nul_is_kept_whole(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id, stdout="a\0b")
    (listed,) = await scene.commands.history(scene.host)
    assert listed.stdout == "a\ufffdb"


# ------------------------------------------------------------------------------------------------------------ time


async def test_a_command_that_nobody_fetched_expires(scene: Scene) -> None:
    command = await scene.ask()
    await scene.pass_time(3600.0)
    assert await scene.state(command.id) == ("expired", "it was not delivered in time")
    await scene.link()
    assert scene.sent == []


async def test_a_command_can_expire_sooner(scene: Scene) -> None:
    command = await scene.commands.queue(scene.host, "ping", {}, entry("command.queue"), expires=5.0)
    await scene.pass_time(5.0)
    assert (await scene.state(command.id))[0] == "expired"


async def test_an_agent_that_does_not_answer_ends_as_timeout(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask(timeout=30)
    await scene.start(command.id)
    await scene.pass_time(89.0)
    assert await scene.state(command.id) == ("running", "")
    await scene.pass_time(1.0)
    assert await scene.state(command.id) == ("timeout", "outcome unknown: the agent did not answer")


async def test_f47_a_lost_link_ends_in_an_unknown_outcome_that_the_agent_still_tells(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask(timeout=30)
    await scene.start(command.id)
    scene.unlink()
    await scene.pass_time(90.0)
    assert await scene.state(command.id) == (
        "failed",
        "outcome unknown: the link was lost before the agent answered",
    )
    await scene.restart()
    await scene.link()
    assert kinds(scene)[1:] == [("cancel", command.id)]
    await scene.answer(command.id, stdout="hello")
    assert await scene.state(command.id) == ("done", "")


async def test_a_command_that_waits_on_its_host_is_given_the_time(scene: Scene) -> None:
    await scene.link(limits={"timeout": 100})
    command = await scene.ask()
    await scene.pass_time(3600.0 + 100.0 + 59.0)
    assert await scene.state(command.id) == ("delivered", "")
    await scene.pass_time(1.0)
    assert (await scene.state(command.id))[0] == "timeout"


# ---------------------------------------------------------------------------------------------------------- cancel


async def test_a_waiting_command_can_be_taken_back(scene: Scene) -> None:
    command = await scene.ask()
    await scene.commands.cancel(scene.host, command.id, entry("command.cancel", "bob"))
    assert await scene.state(command.id) == ("rejected", "cancelled by bob")
    await scene.link()
    assert scene.sent == []


async def test_a_running_command_is_ended_by_its_agent(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.start(command.id)
    await scene.commands.cancel(scene.host, command.id, entry("command.cancel", "bob"))
    assert scene.sent[-1] == {"type": "cancel", "id": command.id, "by": "bob"}
    assert (await scene.commands.get(scene.host, command.id)).cancelled_by == "bob"
    await scene.answer(command.id, status="failed", exit_code=None, reason="cancelled by bob")
    assert await scene.state(command.id) == ("failed", "cancelled by bob")


async def test_a_cancel_reaches_an_agent_that_comes_back(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    scene.unlink()
    await scene.commands.cancel(scene.host, command.id, entry("command.cancel", "bob"))
    await scene.restart()
    await scene.link()
    assert kinds(scene) == [("command", command.id), ("cancel", command.id)]


async def test_what_has_ended_cannot_be_cancelled(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id)
    with pytest.raises(Conflict, match="has ended already"):
        await scene.commands.cancel(scene.host, command.id, entry("command.cancel"))
    with pytest.raises(NotFound):
        await scene.commands.cancel(scene.host, "cmd_0123456789ab", entry("command.cancel"))


# ---------------------------------------------------------------------------------------------------- limits, audit


async def test_only_so_many_commands_wait_on_one_host(scene: Scene, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    asked = await asyncio.gather(*(scene.ask() for _ in range(4)), return_exceptions=True)
    assert [type(each) for each in asked] == [Command, Command, TooMany, TooMany]


async def test_the_last_hundred_are_kept_newest_first(scene: Scene, monkeypatch) -> None:
    await scene.link()
    asked = []
    for _ in range(103):
        asked.append((await scene.ask("ping")).id)
        await scene.answer(asked[-1])
    assert [command.id for command in await scene.commands.history(scene.host)] == asked[:2:-1]
    with pytest.raises(NotFound):
        await scene.commands.get(scene.host, asked[0])


async def test_long_outputs_are_cut_in_the_list_only(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id, stdout="x" * 20_000)
    (listed,) = await scene.commands.history(scene.host)
    assert (len(listed.stdout), listed.truncated) == (16_384, True)
    assert len((await scene.commands.get(scene.host, command.id)).stdout) == 20_000


async def test_s54_who_asked_what_and_what_became_of_it_is_in_the_audit_log(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask(command="df -h")
    queued = ("command.queue", "alice", "done", f'{command.id} shell {{"command":"df -h"}}')
    assert await scene.audit() == [queued]
    await scene.answer(command.id, stdout="12345", stderr="678")
    assert await scene.audit() == [
        queued,
        ("command.end", "alice", "done", f"{command.id} shell: done, exit code 0, 8 bytes"),
    ]


async def test_s54_a_refusal_of_the_agent_is_in_the_audit_log(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id, status="rejected", exit_code=None, reason="disabled by local policy")
    assert (await scene.audit())[-1] == (
        "command.end",
        "alice",
        "refused",
        f"{command.id} shell: rejected, 0 bytes: disabled by local policy",
    )


@pytest.mark.parametrize(
    ("type", "risk"),
    [("ping", "low"), ("shell", "medium"), ("reboot", "high"), ("backup", "low"), ("unheard-of", "high")],
)
async def test_what_nobody_has_described_has_a_high_risk(scene: Scene, type: str, risk: str) -> None:
    await scene.link(commands=[OfferedCommand("backup", "low"), OfferedCommand("reboot", "low")])
    assert scene.commands.risk(scene.host, type) == risk


async def test_nothing_is_left_of_a_host_that_is_removed(scene: Scene) -> None:
    command = await scene.ask()
    following = scene.commands.follow(command, "")
    scene.commands.forget(scene.host)
    assert [change async for change in following] == []
    assert scene.commands.heard(scene.host) is None


# ---------------------------------------------------------------------------------------------------------- follow


async def story(changes: AsyncIterator[Any]) -> list[Any]:
    return [change async for change in changes]


async def test_whoever_watches_sees_all_of_it(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    watching = asyncio.create_task(story(scene.commands.follow(command, "")))
    await scene.start(command.id)
    scene.commands.output(scene.host, Output(command.id, "stdout", "hello"))
    await scene.answer(command.id)
    changes = await asyncio.wait_for(watching, DEADLINE)
    assert [(each.kind, each.status, each.text) for each in changes] == [
        ("status", "delivered", ""),
        ("status", "running", ""),
        ("output", None, "hello"),
        ("result", None, ""),
    ]
    assert changes[-1].id == "end" and changes[-1].command.status == "done"


async def test_whoever_comes_again_goes_on_behind_what_was_seen(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    first = scene.commands.follow(command, "")
    seen = await anext(first)
    await scene.start(command.id)
    await scene.answer(command.id)
    assert [each.kind for each in await story(scene.commands.follow(command, seen.id))] == ["result"]


async def test_the_story_of_a_command_that_is_over_is_its_output_and_its_result(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask()
    await scene.answer(command.id, stdout="out", stderr="err")
    ended = await scene.commands.get(scene.host, command.id)
    assert [(each.kind, each.text) for each in await story(scene.commands.follow(ended, ""))] == [
        ("output", "out"),
        ("output", "err"),
        ("result", ""),
    ]


# ------------------------------------------------------------------------------------------------------ bad numbers

ENDLESS = 10**400


async def test_a_timeout_beyond_all_numbers_is_a_day(scene: Scene) -> None:
    await scene.link()
    command = await scene.ask(timeout=ENDLESS)
    await scene.start(command.id)
    await scene.pass_time(86_400.0)
    assert (await scene.state(command.id))[0] == "running"
    await scene.pass_time(61.0)
    assert (await scene.state(command.id))[0] == "timeout"


async def test_a_limit_beyond_all_numbers_ends_nothing(scene: Scene) -> None:
    await scene.link(limits={"timeout": ENDLESS})
    command = await scene.ask()
    await scene.pass_time(1.0)
    assert (await scene.state(command.id))[0] == "delivered"


async def test_a_command_that_cannot_be_watched_ends_and_the_others_go_on(scene: Scene, monkeypatch) -> None:
    odd, other = await scene.ask(), await scene.ask()
    overdue = module.overdue

    def fails(command: Command, now: float, **known: Any) -> Any:
        if command.id == odd.id:
            raise OverflowError
        return overdue(command, now, **known)

    monkeypatch.setattr(module, "overdue", fails)
    await scene.pass_time(3601.0)
    assert (await scene.state(odd.id))[1] == "outcome unknown: hbd cannot make out how long it may take"
    assert (await scene.state(other.id))[0] == "expired"


@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1", "1e300"])
def test_a_policy_with_a_limit_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="limits"):
        msgspec.json.decode(f'{{"limits": {{"timeout": {value}}}}}', type=Policy)


async def test_a_command_carries_the_time_at_which_it_leaves(scene: Scene) -> None:
    await scene.ask()
    scene.now += 600.0
    await scene.link()
    assert (scene.sent[0]["issued"], scene.sent[0]["time"]) == (NOW, NOW + 600.0)


# --------------------------------------------------------------------------------------------------------- audit log


async def test_s54_what_is_run_stands_before_all_else_in_the_audit_log(scene: Scene) -> None:
    command = await scene.ask(a="x" * 5000, command="rm -rf /")
    (asked,) = await scene.audit()
    assert asked[3].startswith(f'{command.id} shell {{"command":"rm -rf /",')


async def test_s54_what_is_cut_in_the_audit_log_can_still_be_told_apart(scene: Scene) -> None:
    digests = set()
    for end in ("true", "rm -rf /"):
        await scene.ask(command=" " * 5000 + end)
        digests.add((await scene.audit())[-1][3].rpartition("… (")[2])
    assert len(digests) == 2 and all("bytes with the SHA-256 " in digest for digest in digests)
