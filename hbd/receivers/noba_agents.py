"""NOBA-style agents: their reports, and the WebSocket on which they are told to do something.

An agent that holds a socket gets its commands there, any other one with the answer to its next report. What these
agents call differently is tried under our name first; one that does not know it has not started anything, and gets it
once more under the name of its own.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hbd.enrolment import LiveKey
from hbd.hosts import Host
from hbd.model import Moment
from hbd.pipeline import Pipeline, Source
from hbd.receivers import noba, noba_results
from hbd.receivers.doors import Doors, SwitchedOff
from hbd.receivers.fields import Problems
from hbd.receivers.noba_results import ALSO_CALLED, UNKNOWN_COMMAND
from hbd.remote.frames import Frame, Output, Result
from hbd.rings import Rings

INTERVAL_SECONDS = 30.0  # what these agents do unless they are told otherwise; their reports do not say
SILENCE_SECONDS = 300.0  # so long without a report, and the host is down, as long as nothing is known of its pace
LONGEST_INTERVAL = 3600.0
GAPS = 3  # between reports; the middle one is the agent's pace, and neither a pause nor a burst changes it
IN_ONE_REPLY = 20  # commands; the agents pass over any further
SWITCHED_OFF = "monitoring of this host is switched off"
MAX_SENT = 100  # commands of one host that an answer is awaited of


class Channel(Protocol):
    """An agent that can be told something at once."""

    def send(self, command: Frame) -> bool: ...


class Desk(Protocol):
    """Where commands come from and their outcomes go; ``hbd.remote.commands``."""

    def attach(self, host: Host, channel: Channel, offered: Sequence[str] | None) -> None: ...
    def detach(self, host: Host, channel: Channel) -> None: ...
    async def take(self, host: Host, offered: Sequence[str] | None) -> Sequence[Frame]: ...
    def output(self, host: Host, frame: Output) -> None: ...
    def answered(self, host: Host, frame: Result) -> None: ...


class NobaAgents:
    def __init__(
        self,
        doors: Doors,
        pipeline: Pipeline,
        rings: Rings,
        desk: Desk,
        on_facts: Callable[[Host], None] = lambda host: None,
    ) -> None:
        """on_facts is called when an agent has said anew what it knows of its host."""
        self.desk = desk
        self._doors = doors
        self._pipeline = pipeline
        self._rings = rings
        self._on_facts = on_facts
        self._heard: dict[int, float] = {}
        self._gaps: dict[int, deque[float]] = {}
        self._sent: defaultdict[int, OrderedDict[str, Frame]] = defaultdict(OrderedDict)
        self._waiting: defaultdict[int, list[Frame]] = defaultdict(list)
        """commands that go into the next answer"""
        self._names: defaultdict[int, dict[str, str]] = defaultdict(dict)
        """what the agents of some hosts were found to call commands"""

    def forget(self, host: Host) -> None:
        """The host is gone."""
        for kept in (self._heard, self._gaps, self._sent, self._waiting, self._names):
            kept.pop(host.id, None)

    def may_connect(self, key: LiveKey) -> bool:
        """Whether an agent that has shown this key may hold a socket now."""
        return key.host.enabled and self._doors.is_open_to(key)

    # ------------------------------------------------------------------------------------------------------- reports

    async def report(self, host: Host, body: object, source: Source, now: Moment) -> dict[str, Any]:
        """Take a report; the answer to it. It is on disk when this returns.

        Raises InvalidInput when it is no report, SwitchedOff, TooEarly, StorageError when it cannot be stored now,
        NotFound when the host is gone.
        """
        if not host.enabled:
            raise SwitchedOff(SWITCHED_OFF)
        problems = Problems()
        fields = dict(body) if isinstance(body, dict) else body
        outcomes = fields.pop("_cmd_results", None) if isinstance(fields, dict) else None
        streamed = fields.pop("_stream_data", None) if isinstance(fields, dict) else None
        reading = noba.read(fields, problems)
        for output in noba_results.streamed(streamed):
            self.desk.output(host, output)
        for result in noba_results.results(outcomes, problems):  # it tells them once, whatever it is answered
            self._answered(host, result)
        self._doors.admit(host, now)
        about = self._rings.latest(host.id, "os_info")
        samples = noba.samples(reading, host, {} if about is None else about.data, self._doors.rates, now)
        interval = self._pace(host, now)
        await self._doors.take(host, samples, now, source=source, interval=interval, problems=problems)
        if reading.tags is not None and reading.tags != host.agent_tags:
            self._pipeline.facts(host, tags=reading.tags)
            self._on_facts(host)
        answer: dict[str, Any] = {"status": "ok", "commands": await self._commands(host, now)}
        return answer | ({"rejected": problems.by_path} if problems else {})

    def _pace(self, host: Host, now: Moment) -> float:
        """Seconds until the next report, by those before it."""
        gaps, last = self._gaps.setdefault(host.id, deque(maxlen=GAPS)), self._heard.get(host.id)
        self._heard[host.id] = now.mono
        if last is not None:
            gaps.append(now.mono - last)
        if len(gaps) == GAPS:
            usual = statistics.median(gaps)
        else:  # the agent is new, or it is us who were started anew
            usual = max((self._doors.interval_of(host, SILENCE_SECONDS), *gaps))
        return min(max(usual, INTERVAL_SECONDS), LONGEST_INTERVAL)

    async def _commands(self, host: Host, now: Moment) -> list[Frame]:
        taken = await self.desk.take(host, None)
        waiting = [frame for frame in (*self._waiting.pop(host.id, ()), *taken) if frame["expires"] > now.wall]
        going, later = waiting[:IN_ONE_REPLY], waiting[IN_ONE_REPLY:]
        if later:
            self._waiting[host.id] = later
        return [noba_results.in_reply(frame, self._name(host, frame)) for frame in going]

    # ------------------------------------------------------------------------------------------------------ commands

    def worded(self, host: Host, frame: Frame) -> Frame:
        """A command as it goes out on the socket of a host."""
        return noba_results.command(frame, self._name(host, frame))

    def keep(self, host: Host, frame: Frame) -> None:
        """A command did not leave on a socket: it goes into the next answer."""
        self._waiting[host.id].append(frame)

    def heard(self, host: Host, message: dict[str, Any], channel: Channel) -> None:
        """Take what came on the socket of a host; what is of no known type is passed over."""
        kind, command_id = message.get("type"), message.get("id")
        if kind == "stream":
            output = noba_results.output(message)
            if output is not None:
                self.desk.output(host, output)
        elif kind == "result" or (isinstance(command_id, str) and command_id in self._sent[host.id]):
            result = noba_results.result(message)  # the oldest agents have the command's name where its type should be
            if result is not None:
                self._answered(host, result, channel)

    def _name(self, host: Host, frame: Frame) -> str:
        """What the agent of a host calls a command that is about to be sent."""
        sent = self._sent[host.id]
        sent[frame["id"]] = frame
        if len(sent) > MAX_SENT:
            sent.popitem(last=False)
        kind: str = frame["cmd"]
        return self._names[host.id].get(kind, kind)

    def _answered(self, host: Host, result: Result, channel: Channel | None = None) -> None:
        frame = self._sent[host.id].pop(result.id, None)
        kind = frame["cmd"] if frame is not None else ""
        unknown = result.status == "rejected" and result.reason.lower().startswith(UNKNOWN_COMMAND)
        if frame is None or not unknown or kind not in ALSO_CALLED or kind in self._names[host.id]:
            self.desk.answered(host, result)
            return
        self._names[host.id][kind] = ALSO_CALLED[kind]
        if channel is None or not channel.send(frame):
            self.keep(host, frame)
