"""Commands for agents: queued, delivered, followed, ended; each is run at most once.

What an agent may have got is on disk as delivered before it leaves. An agent of ours keeps a record of what it ran,
and names it in its offers: as long as that is the one a command was delivered to, the command may be sent again, for it
is run, or answered from the record. To any other agent nothing is ever sent twice; then the outcome is unknown, and
stays so unless the agent still tells it. See docs/decisions/0010-remote-control.md.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from hbd.errors import Conflict, NotFound, StorageError, TooMany
from hbd.hosts import Host, Hosts
from hbd.remote.deadlines import overdue
from hbd.remote.following import Change, Story
from hbd.remote.frames import Frame, Offers, Output, Policy, Result, Started
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry, Outcome
from hbd.store.commands import Command, Risk, Status

log = logging.getLogger(__name__)

RISKS: Mapping[str, Risk] = {
    "ping": "low",
    "service_status": "low",
    "process_list": "low",
    "shell": "medium",
    "service_restart": "medium",
    "reboot": "high",
    "update_agent": "high",
}
PARAMS: Mapping[str, tuple[str, ...]] = {
    "ping": ("timeout",),
    "service_status": ("service", "timeout"),
    "process_list": ("timeout",),
    "shell": ("command", "timeout"),
    "service_restart": ("service", "timeout"),
    "reboot": ("timeout",),
    "update_agent": ("timeout",),
}
"""what people may say with a command that we know, what matters most first"""
MOST_OPEN = 50  # commands of one host that have not ended
MOST_NAMES = 200  # of commands that an agent says it knows
MOST_OUTPUT = 256 * 1024  # characters that are kept of stdout and stderr each
ASKED_AGAIN_SECONDS = 48 * 3600.0  # as long as agents remember
LOOK_SECONDS = 1.0
RETRY_SECONDS = 5.0
_DETAIL_CHARACTERS = 4_096
_NO_RECORD = "outcome unknown: the agent's record of commands was lost"
_TOO_LATE = "hbd, as its time was over"
_UNCLEAR = "outcome unknown: hbd cannot make out how long it may take"


class Channel(Protocol):
    """The connection of an agent of another system."""

    def send(self, frame: Frame) -> bool:
        """Send it a ``command`` (``hbc.wire.Command``), without waiting; False when that cannot be."""


class Links(Protocol):
    """What carries the frames of agents of ours."""

    on_linked: list[Callable[[Host], None]]
    on_frame: dict[type, Callable[[Host, Any], None]]


class Heard(msgspec.Struct, frozen=True):
    """What an agent offers. policy: of one of ours; None for others, which only name what they can do. at: Unix
    seconds."""

    policy: Policy | None
    names: tuple[str, ...]
    at: float


class Commands:
    """Memory follows the disk. What is asked of this raises StorageError, with everything as it was."""

    def __init__(
        self,
        store: Store,
        hosts: Hosts,
        stats: Stats,
        send: Callable[[Host, Frame], bool],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """send: to the agent of ours on a host; False when it has no link."""
        self.expiry = 3600.0
        """seconds in which a command has to begin, unless it says otherwise"""
        self._store = store.commands
        self._hosts = hosts
        self._stats = stats
        self._send = send
        self._wall = wall
        self._open: dict[int, dict[str, Command]] = {}
        self._unsure: dict[int, dict[str, Command]] = {}
        self._stories: dict[str, Story] = {}
        self._heard: dict[int, Heard] = {}
        self._journals: dict[int, str] = {}
        self._channels: dict[int, Channel] = {}
        self._turns: dict[int, asyncio.Lock] = {}
        self._arriving: Counter[int] = Counter()
        """commands that the disk does not have yet: nothing is known of them but their number"""
        self._links: Counter[int] = Counter()
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}
        stats.describe("commands_total", "Commands for agents that have ended, by how.")
        stats.gauge("commands_open", "Commands for agents that have not ended.", self._count)

    def _count(self) -> int:
        return sum(map(len, self._open.values()))

    async def load(self) -> None:
        """Know what an earlier run of the daemon had not finished."""
        now = self._wall()
        for command in await self._store.open_ones():
            if command.finished_at is None:
                self._open.setdefault(command.host_id, {})[command.id] = command
                self._stories[command.id] = Story()
            elif command.finished_at > now - ASKED_AGAIN_SECONDS:
                self._unsure.setdefault(command.host_id, {})[command.id] = command

    async def run(self) -> None:
        """Watch the time until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(self._wall())

    async def close(self) -> None:
        for story in self._stories.values():
            story.close()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, host: Host) -> None:
        """The host is gone, with its commands."""
        for id in self._open.pop(host.id, {}):
            self._stories.pop(id).close()
        for known in (self._unsure, self._heard, self._journals, self._channels, self._turns, self._links):
            known.pop(host.id, None)

    # ---------------------------------------------------------------------------------------------------- for people

    def heard(self, host: Host) -> Heard | None:
        """What the agent of a host offered last."""
        return self._heard.get(host.id)

    def risk(self, host: Host, type: str) -> Risk:
        """How much is at stake with a command. Of what nobody has described, the most."""
        if type in RISKS:
            return RISKS[type]
        heard = self._heard.get(host.id)
        offered = heard.policy.commands if heard is not None and heard.policy is not None else ()
        return next((command.risk for command in offered if command.name == type), "high")

    async def queue(
        self, host: Host, type: str, params: dict[str, Any], entry: Entry, *, expires: float | None = None
    ) -> Command:
        """A new command. entry: who asks, for the audit log. expires: seconds.

        Raises TooMany when too many of the host have not ended, NotFound when it is gone.
        """
        now = self._wall()
        command = Command(
            id=f"cmd_{secrets.token_hex(12)}",
            host_id=host.id,
            type=type,
            params=params,
            risk=self.risk(host, type),
            queued_by=entry.user,
            queued_at=now,
            expires_at=now + (expires or self.expiry),
        )
        if len(self._open.get(host.id, ())) + self._arriving[host.id] >= MOST_OPEN:
            raise TooMany(f"{MOST_OPEN} commands wait on this host already", 60.0)
        self._arriving[host.id] += 1
        try:
            await self._store.add(command, replace(entry, detail=_asked(command)))
        finally:
            self._arriving[host.id] -= 1
        self._put(command)
        self._go("deliver", host.name, self._deliver(host))
        return command

    async def cancel(self, host: Host, id: str, entry: Entry) -> Command:
        """Have a command not begin, or end. Raises NotFound; Conflict when it has ended or cannot be reached."""
        async with self._turn(host):
            command = self._open.get(host.id, {}).get(id)
            if command is None:
                await self.get(host, id)
                raise Conflict("This command has ended already")
            entry = replace(entry, detail=_asked(command))
            if command.status == "queued":
                return await self._end(
                    command, "rejected", entry, reason=f"cancelled by {entry.user}", cancelled_by=entry.user
                )
            if command.journal is None:
                raise Conflict("The agent of this host takes nothing back")
            if not command.cancelled_by:
                command = replace(command, cancelled_by=entry.user)
                await self._store.save(command, entry)
                self._put(command)
            self._send_cancel(host, command)
            return command

    async def get(self, host: Host, id: str) -> Command:
        """Raises NotFound."""
        command = self._open.get(host.id, {}).get(id) or await self._store.find(host.id, id)
        if command is None:
            raise NotFound(f"Command '{id}' not found")
        return command

    async def history(self, host: Host) -> list[Command]:
        """The last ones, the newest first; long outputs are cut."""
        return await self._store.of_host(host.id)

    def follow(self, command: Command, after: str) -> AsyncIterator[Change]:
        """What happens to it until it has ended. after: the id of the last change that is known already."""
        story = self._stories.get(command.id)
        if story is None:
            story = Story()
            if not after:  # who has seen a part of it finds the whole in the result
                story.wrote("stdout", command.stdout)
                story.wrote("stderr", command.stderr)
            story.ended(command)
        return story.follow(after)

    # ---------------------------------------------------------------------------------------- from agents of our own

    def listen(self, links: Links) -> None:
        """Hear what agents of ours say of commands."""
        links.on_linked.append(self.linked)
        links.on_frame |= {
            Offers: self.offers,
            Started: self.started,
            Output: self.output,
            Result: self.answered,
        }

    def linked(self, host: Host) -> None:
        """The agent has a new link; what it says of itself there is still to come."""
        self._links[host.id] += 1
        self._journals.pop(host.id, None)

    def offers(self, host: Host, frame: Offers) -> None:
        names = tuple(command.name for command in frame.policy.commands)
        self._heard[host.id] = Heard(frame.policy, names, self._wall())
        self._journals[host.id] = frame.journal
        if host.id in self._open or host.id in self._unsure:  # seldom so, and agents may come by the thousand
            self._go("meet", f"{host.id} {self._links[host.id]}", self._meet(host))

    def started(self, host: Host, frame: Started) -> None:
        command = self._open.get(host.id, {}).get(frame.id)
        if command is not None and command.status == "delivered":
            self._go("start", command.id, self._note_start(host, command.id))

    def output(self, host: Host, frame: Output) -> None:
        if frame.id in self._open.get(host.id, {}):
            self._stories[frame.id].wrote(frame.stream, frame.text)

    def answered(self, host: Host, frame: Result) -> None:
        """What became of a command. What was not asked for, or is known, is passed over."""
        command = self._open.get(host.id, {}).get(frame.id) or self._unsure.get(host.id, {}).get(frame.id)
        if command is not None and command.status != "queued":
            self._go("result", command.id, self._take_result(host, frame))

    # ------------------------------------------------------------------------------- from agents of the other system

    def attach(self, host: Host, channel: Channel, offered: Sequence[str] | None = None) -> None:
        """Such an agent has connected. offered: the types of commands that it says it knows; None: it says nothing."""
        self._channels[host.id] = channel
        self._hear_foreign(host, offered)
        self._go("deliver", host.name, self._deliver(host))

    def detach(self, host: Host, channel: Channel) -> None:
        if self._channels.get(host.id) is channel:
            del self._channels[host.id]

    async def take(self, host: Host, offered: Sequence[str] | None = None) -> list[Frame]:
        """What waits for such an agent, for the reply to its report; it counts as delivered then."""
        self._hear_foreign(host, offered)
        if not self._open.get(host.id) or host.link:
            return []
        frames: list[Frame] = []
        async with self._turn(host):
            for command in self._waiting(host):
                try:
                    frames.append(self._frame(await self._hand_over(command, None)))
                except StorageError as error:  # those before it count as delivered, and have to leave
                    log.debug("commands wait for the disk: %s", error)
                    break
        return frames

    def _hear_foreign(self, host: Host, offered: Sequence[str] | None) -> None:
        if offered is not None and not host.link:
            self._heard[host.id] = Heard(None, tuple(offered[:MOST_NAMES]), self._wall())

    # ------------------------------------------------------------------------------------------------------ delivery

    async def _meet(self, host: Host) -> None:
        """An agent of ours has said which record it keeps: settle what was under way, then deliver what is new."""
        async with self._turn(host):
            journal = self._record(host)
            if journal is None:
                return
            left = [each for each in self._open.get(host.id, {}).values() if each.journal is not None]
            for command in left:
                if command.journal == journal and command.cancelled_by:
                    self._send_cancel(host, command)
                elif command.journal == journal:
                    self._send(host, self._frame(command))
            for command in self._unsure.get(host.id, {}).values():
                if command.journal == journal:
                    self._send_cancel(host, command)  # it is not to begin any more; what became of it is told
            for command in left:
                if command.journal != journal:
                    await self._end(command, "failed", reason=_NO_RECORD, certain=False)
        await self._deliver(host)

    async def _deliver(self, host: Host) -> None:
        async with self._turn(host):
            while (command := next(iter(self._waiting(host)), None)) is not None:
                journal, channel = self._record(host), self._channels.get(host.id)
                if journal is not None:
                    command = await self._hand_over(command, journal)
                    # Another link may have come meanwhile, of an agent with another record: its offers settle this.
                    if self._record(host) == journal:
                        self._send(host, self._frame(command))
                elif channel is not None and not host.link:
                    channel.send(self._frame(await self._hand_over(command, None)))
                else:
                    return

    def _record(self, host: Host) -> str | None:
        """The record of the agent of ours that is there now and has said so."""
        return self._journals.get(host.id) if host.link else None

    def _waiting(self, host: Host) -> list[Command]:
        now = self._wall()
        commands = self._open.get(host.id, {}).values()
        return [command for command in commands if command.status == "queued" and command.expires_at > now]

    async def _hand_over(self, command: Command, journal: str | None) -> Command:
        """It is on disk as delivered when this returns, and may leave."""
        command = replace(command, status="delivered", delivered_at=self._wall(), journal=journal)
        await self._store.save(command)
        self._put(command)
        self._stories[command.id].became("delivered")
        return command

    def _frame(self, command: Command) -> Frame:
        return {
            "type": "command",
            "id": command.id,
            "cmd": command.type,
            "params": command.params,
            "issued": command.queued_at,
            "expires": command.expires_at,
            "time": self._wall(),
        }

    def _send_cancel(self, host: Host, command: Command) -> None:
        self._send(host, {"type": "cancel", "id": command.id, "by": command.cancelled_by or _TOO_LATE})

    # ----------------------------------------------------------------------------------------------------------- end

    async def _note_start(self, host: Host, id: str) -> None:
        async with self._turn(host):
            command = self._open.get(host.id, {}).get(id)
            if command is not None and command.status == "delivered":
                command = replace(command, status="running", started_at=self._wall())
                await self._store.save(command)
                self._put(command)
                self._stories[id].became("running")

    async def _take_result(self, host: Host, frame: Result) -> None:
        """Write down what became of a command, however long the disk takes no writes."""
        while True:
            try:
                async with self._turn(host):
                    await self._write_result(host, frame)
                return
            except StorageError as error:
                log.warning("the outcome of %s waits for the disk: %s", frame.id, error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _write_result(self, host: Host, frame: Result) -> None:
        command = self._open.get(host.id, {}).get(frame.id) or self._unsure.get(host.id, {}).get(frame.id)
        if command is None:
            return
        stdout, stderr = _text(frame.stdout), _text(frame.stderr)
        await self._end(
            command,
            frame.status,
            reason=_text(frame.reason),
            exit_code=frame.exit_code if abs(frame.exit_code or 0) < 1 << 31 else None,
            stdout=stdout[:MOST_OUTPUT],
            stderr=stderr[:MOST_OUTPUT],
            truncated=frame.truncated or max(len(stdout), len(stderr)) > MOST_OUTPUT,
            started_at=None if frame.status == "rejected" else command.started_at,
        )

    async def _end(
        self, command: Command, status: Status, *entries: Entry, certain: bool = True, **how: Any
    ) -> Command:
        """Write down what became of a command, and tell those who watch."""
        ended = replace(command, status=status, finished_at=self._wall(), certain=certain, **how)
        host = self._hosts.by_id(command.host_id)
        outcome: Outcome = "done" if status == "done" else "refused" if status == "rejected" else "failed"
        told = Entry(
            time=ended.finished_at or 0.0,
            user=command.queued_by,
            via="daemon",
            action="command.end",
            object=f"host {host.name if host is not None else command.host_id}",
            outcome=outcome,
            detail=_became(ended),
        )
        await self._store.save(ended, *entries, told)
        self._drop(command)
        if not certain:
            self._unsure.setdefault(ended.host_id, {})[ended.id] = ended
        self._stats.count("commands_total", status=status)
        if (story := self._stories.pop(ended.id, None)) is not None:
            story.ended(ended)
        return ended

    def look(self, now: float) -> None:
        """End what has waited for too long, and deliver what the disk did not take when it was due."""
        for host_id, commands in self._open.items():
            host = self._hosts.by_id(host_id)
            linked = host is not None and self._record(host) is not None
            for command in commands.values():
                try:
                    over = overdue(command, now, allowed=self._allowed(host_id), linked=linked)
                except Exception:  # one command never ends the daemon
                    log.exception("the command %s of host %s cannot be watched", command.id, host_id)
                    over = "failed", _UNCLEAR
                if over is not None:
                    self._go("end", command.id, self._give_up(command, *over))
            if host is not None and (linked or host_id in self._channels) and self._waiting(host):
                self._go("deliver", host.name, self._deliver(host))
        for unsure in self._unsure.values():
            for command in list(unsure.values()):
                if (command.finished_at or 0.0) < now - ASKED_AGAIN_SECONDS:
                    del unsure[command.id]

    def _allowed(self, host_id: int) -> float | None:
        """The most seconds that a host lets a command take, as far as it said so."""
        heard = self._heard.get(host_id)
        return heard.policy.limits.get("timeout") if heard is not None and heard.policy is not None else None

    async def _give_up(self, command: Command, status: Status, reason: str) -> None:
        async with self._turns.setdefault(command.host_id, asyncio.Lock()):
            if self._open.get(command.host_id, {}).get(command.id) is command:
                await self._end(command, status, reason=reason, certain=status == "expired")

    # -------------------------------------------------------------------------------------------------------- memory

    def _put(self, command: Command) -> None:
        self._open.setdefault(command.host_id, {})[command.id] = command
        if command.id not in self._stories:
            self._stories[command.id] = Story()

    def _drop(self, command: Command) -> None:
        for known in (self._open, self._unsure):
            commands = known.get(command.host_id, {})
            commands.pop(command.id, None)
            if not commands:
                known.pop(command.host_id, None)

    def _turn(self, host: Host) -> asyncio.Lock:
        """What happens to the commands of one host happens one after the other."""
        return self._turns.setdefault(host.id, asyncio.Lock())

    def _go(self, what: str, which: str, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside everything else; the same thing is not begun twice."""
        key = what, which
        if key in self._under_way:
            work.close()
            return

        def done(_: asyncio.Task[None]) -> None:
            self._under_way.pop(key, None)
            work.close()  # cancelled early, it has never begun

        self._under_way[key] = task = asyncio.get_running_loop().create_task(self._try(work))
        task.add_done_callback(done)

    @staticmethod
    async def _try(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StorageError as error:  # the database has said so in the log
            log.debug("commands wait for the disk: %s", error)
        except Exception:
            log.exception("something went wrong with a command")


def _asked(command: Command) -> str:
    """For the audit log. What matters most comes first, and what does not fit can be told from anything else."""
    first = PARAMS.get(command.type, ())
    named = {name: command.params[name] for name in first if name in command.params}
    params = msgspec.json.encode(named | command.params)
    told = f"{command.id} {command.type} {params.decode()}"
    if len(told) <= _DETAIL_CHARACTERS:
        return told
    return f"{told[:_DETAIL_CHARACTERS]}… ({len(params)} bytes with the SHA-256 {sha256(params).hexdigest()})"


def _became(command: Command) -> str:
    size = len(command.stdout.encode()) + len(command.stderr.encode())
    code = "" if command.exit_code is None else f", exit code {command.exit_code}"
    reason = f": {command.reason}" if command.reason else ""
    return f"{command.id} {command.type}: {command.status}{code}, {size} bytes{reason}"[:_DETAIL_CHARACTERS]


def _text(text: str) -> str:
    """What SQLite can keep: it takes a NUL for the end."""
    return text.replace("\0", "\ufffd")
