"""Commands for agents of the other system, which keep no record of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from command_scene import Scene, a_scene, entry

from hbd.errors import Conflict, StorageFull
from hbd.remote.frames import Frame

__all__ = ["a_scene"]


class Channel:
    def __init__(self) -> None:
        self.sent: list[Frame] = []

    def send(self, frame: Frame) -> bool:
        self.sent.append(frame)
        return True


async def test_an_agent_of_the_other_system_gets_what_waits_when_it_connects(scene: Scene) -> None:
    command, channel = await scene.ask("ping"), Channel()
    scene.commands.attach(scene.host, channel, ["ping", "shell"])
    await scene.settle()
    assert [frame["id"] for frame in channel.sent] == [command.id]
    await scene.answer(command.id)
    assert await scene.state(command.id) == ("done", "")
    heard = scene.commands.heard(scene.host)
    assert heard is not None and (heard.policy, heard.names) == (None, ("ping", "shell"))


async def test_nothing_is_sent_twice_to_an_agent_without_a_record(scene: Scene) -> None:
    channel = Channel()
    scene.commands.attach(scene.host, channel)
    command = await scene.ask("ping", timeout=10)
    scene.commands.detach(scene.host, channel)
    scene.commands.attach(scene.host, channel)
    await scene.settle()
    assert len(channel.sent) == 1
    await scene.pass_time(70.0)
    assert await scene.state(command.id) == ("timeout", "outcome unknown: the agent did not answer")
    await scene.answer(command.id)
    assert await scene.state(command.id) == ("done", "")


async def test_what_waits_is_handed_out_once_with_the_reply_to_a_report(scene: Scene) -> None:
    command = await scene.ask("ping")
    taken = await asyncio.gather(*(scene.commands.take(scene.host) for _ in range(3)))
    assert [frame["id"] for frames in taken for frame in frames] == [command.id]


async def test_what_the_disk_did_not_take_as_delivered_does_not_leave_with_the_reply(scene: Scene, monkeypatch) -> None:
    first, second = await scene.ask("ping"), await scene.ask("ping")
    save, works = scene.store.commands.save, iter([True])

    async def once(*arguments: Any) -> None:
        if not next(works, False):
            raise StorageFull("no space")
        await save(*arguments)

    monkeypatch.setattr(scene.store.commands, "save", once)
    assert [frame["id"] for frame in await scene.commands.take(scene.host)] == [first.id]
    monkeypatch.undo()
    assert [frame["id"] for frame in await scene.commands.take(scene.host)] == [second.id]


async def test_a_command_that_left_to_such_an_agent_cannot_be_taken_back(scene: Scene) -> None:
    command = await scene.ask("ping")
    await scene.commands.take(scene.host)
    with pytest.raises(Conflict, match="takes nothing back"):
        await scene.commands.cancel(scene.host, command.id, entry("command.cancel"))


async def test_our_own_agent_goes_before_another_on_the_same_host(scene: Scene) -> None:
    channel = Channel()
    scene.commands.attach(scene.host, channel)
    await scene.link()
    await scene.ask("ping")
    assert (len(scene.sent), channel.sent, await scene.commands.take(scene.host)) == (1, [], [])
