"""Commands from the daemon: checked against the host's policy, written down, run once, and answered.

A command that is here already is never run again: while it runs that is said again, afterwards its outcome is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hbc.commands.journal import Journal
from hbc.commands.plan import Denied, Plan
from hbc.commands.program import Ended, Program, environment
from hbc.commands.works import WORKS, Afterwards, Failed, Work
from hbc.policy import Policy
from hbc.wire import MAX_FRAME_BYTES, Offers, Output, Result, Started

log = logging.getLogger(__name__)

OLDEST_SECONDS = 24 * 3600.0  # a command that was issued longer ago is not run, whatever it says of itself
MOST_WAITING = 50  # commands that have not begun
MOST_ANSWERS = 1_000  # under way; what is asked beyond is passed over, and asked again
OUTPUT_CHARACTERS = 1 << 16  # in one frame
BEING_STOPPED = "the agent is being stopped"
STOPPED = "the agent was stopped while this ran"
MOST_TIME = 1e11  # Unix seconds of any clock; a whole number may be too large for a float
_REASON_CHARACTERS = 1000
_ID = re.compile(r"[a-z]{2,6}_[0-9a-f]{12,32}")


@dataclass
class Job:
    """A command that was not here before. looked_at: its task has begun, before which cancelling that would leave no
    trace. cancelled: by whom, "" while nobody has."""

    id: str
    cmd: str
    params: dict[str, Any]
    issued: float
    expires: float
    program: Program | None = None
    task: asyncio.Task[None] | None = None
    looked_at: bool = False
    started: float | None = None
    cancelled: str = ""


class Runner:
    def __init__(
        self,
        policy: Policy,
        journal: Journal,
        send: Callable[[object], bool],
        *,
        works: Mapping[str, Work] | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """journal: may be closed still; until it is open nothing is run. send: a frame for the daemon; False when there
        is no way to it now. works: what the agent does itself, beside the usual."""
        self._policy = policy
        self._journal = journal
        self._send = send
        self._works = {**WORKS, **(works or {})}
        self._wall = wall
        self._clock = clock
        self._daemon_ahead = 0.0
        self._jobs: dict[str, Job] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(policy.limits.parallel)
        self._closing = False

    def linked(self, daemon_time: object) -> None:
        """A daemon has welcomed us, and said what time it has. Tell it what may be done here."""
        try:
            now = self._hear_time(daemon_time)
        except ValueError:
            log.warning("the daemon tells no time; its commands will be refused")
        else:
            if self._journal.forgotten > now:
                self._do(self._begin_record(now))
                return
        self._offer()

    def command(self, frame: Mapping[str, Any]) -> None:
        """A frame ``command``. Raises ValueError when it cannot be one."""
        if self._closing:
            return  # the daemon sends it again to whoever comes after us
        id, cmd, params = frame.get("id"), frame.get("cmd"), frame.get("params")
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise ValueError("a command without an id")
        if not isinstance(cmd, str) or not isinstance(params, dict):
            raise ValueError("a command that says not what to do")
        job = Job(id, cmd, params, _time(frame.get("issued")), _time(frame.get("expires")))
        if "time" in frame:  # that clock may have been set since the welcome
            self._hear_time(frame["time"])
        running = self._jobs.get(id)
        if running is not None:
            if running.started is not None:
                self._send(Started(type="started", id=id))
        elif id in self._journal:
            self._say_again(id)
        elif self._full:
            self._send(_result(job, Ended("failed", reason="too many commands wait on this host"), "rejected"))
        else:
            self._jobs[id] = job
            job.task = self._do(self._handle(job))

    def cancel(self, frame: Mapping[str, Any]) -> None:
        """A frame ``cancel``. Raises ValueError when it cannot be one."""
        id, by = frame.get("id"), frame.get("by")
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise ValueError("a cancel without an id")
        name = str(by)[:100]
        job = self._jobs.get(id)
        if job is not None:
            if job.cancelled:
                return
            job.cancelled = name
            if job.program is not None:
                job.program.cancel(name)
            elif job.task is not None and job.looked_at:
                job.task.cancel()  # it waits, or it is the agent's own doing
        elif id in self._journal:
            self._say_again(id)
        elif not self._full:
            # It never came, or was forgotten. Written down as refused, it cannot come later and be run after all.
            self._jobs[id] = job = Job(id, "", {}, 0.0, 0.0, cancelled=name)
            self._do(self._conclude(job, Ended("failed", reason=f"cancelled by {name}"), "rejected"))

    async def close(self) -> None:
        """End what runs. What became of it is on disk and on its way when this returns."""
        self._closing = True
        for job in list(self._jobs.values()):
            if job.task is not None:
                job.task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    def _hear_time(self, said: object) -> float:
        """What time the daemon has. Raises ValueError."""
        now = _time(said)
        self._daemon_ahead = now - self._clock()
        return now

    def _offer(self) -> None:
        self._send(Offers(type="offers", journal=self._journal.id, policy=self._policy.summary()))

    async def _begin_record(self, now: float) -> None:
        log.warning("the daemon's clock was set back since it sent what is on record: a new record of commands begins")
        try:
            await self._journal.renew(now)
        except OSError as error:
            log.error("the record of commands cannot be written: %s", error)
        self._offer()

    @property
    def _full(self) -> bool:
        return len(self._jobs) >= MOST_WAITING + self._policy.limits.parallel

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._answers.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a command failed in an unexpected way", exc_info=error)

    # --------------------------------------------------------------------------------------------------- one command

    def _say_again(self, id: str) -> None:
        """What became of a command."""
        if len(self._answers) < MOST_ANSWERS:
            self._do(self._answer(id))

    async def _answer(self, id: str) -> None:
        try:
            known = await self._journal.result(id)
        except OSError as error:
            log.error("the record of commands cannot be read: %s", error)
            return
        if known is not None:
            self._send({"type": "result", "id": id, **known})

    async def _handle(self, job: Job) -> None:
        outcome, status, afterwards = await self._carried_out(job)
        job.task = None  # too late to be cancelled
        await self._conclude(job, outcome, status)
        if afterwards is not None:
            afterwards()

    async def _carried_out(self, job: Job) -> tuple[Ended, Literal["rejected"] | None, Afterwards]:
        """What becomes of a command; "rejected" when nothing was done."""
        job.looked_at = True
        try:
            plan = self._permitted(job)
            async with self._places:
                self._permitted(job)  # it may have waited for long
                return await self._run(job, plan)
        except Denied as refusal:
            log.info("refused the command %s (%r): %s", job.id, job.cmd[:64], refusal)
            return Ended("failed", reason=str(refusal)), "rejected", None
        except asyncio.CancelledError:
            if not job.cancelled and job.id not in self._journal:
                raise  # the daemon sends it again to whoever comes after us
            reason = f"cancelled by {job.cancelled}" if job.cancelled else BEING_STOPPED
            return Ended("failed", reason=reason), "rejected", None
        except Exception as error:  # whatever is wrong with it: the daemon is to know that it ended
            log.exception("the command %s cannot be looked at", job.id)
            return Ended("failed", reason=f"unexpected: {error!r}"), "rejected", None

    def _permitted(self, job: Job) -> Plan:
        """Raises Denied."""
        if job.cancelled:
            raise Denied(f"cancelled by {job.cancelled}")
        now = self._clock() + self._daemon_ahead
        if abs(now - job.issued) > OLDEST_SECONDS:
            raise Denied("it was not issued within the last 24 h by the daemon's clock")
        if job.issued <= self._journal.forgotten and self._journal.forgotten > now:
            raise Denied("hbd's clock was set back since this host's record of commands began; restart hbc there")
        if job.issued <= self._journal.forgotten:
            raise Denied("it is older than what this host's record of commands remembers")
        if now >= job.expires:
            raise Denied("it had expired before it could begin")
        plan = self._policy.command(job.cmd, job.params)
        if not plan.argv and job.cmd not in self._works:
            raise Denied(f"this version of hbc cannot do {job.cmd}")
        return plan

    async def _run(self, job: Job, plan: Plan) -> tuple[Ended, Literal["rejected"] | None, Afterwards]:
        try:
            await self._journal.begin(job.id, job.cmd, job.issued)
        except OSError as error:
            log.error("the record of commands cannot be written: %s", error)
            raise Denied(f"this host cannot write down what it runs: {error.strerror or error}") from None
        job.started = self._wall()
        log.info("running the command %s (%s)", job.id, job.cmd)
        self._send(Started(type="started", id=job.id))
        try:
            if plan.argv:
                return await self._run_program(job, plan), None, None
            return await self._work(job, plan)
        except asyncio.CancelledError:
            reason = f"cancelled by {job.cancelled}" if job.cancelled else STOPPED
            return Ended("failed", reason=reason), None, None
        except Exception as error:  # of the agent's own doing: the daemon is to know that it ended
            log.exception("the command %s failed in an unexpected way", job.id)
            return Ended("failed", reason=f"unexpected: {error!r}"), None, None

    async def _run_program(self, job: Job, plan: Plan) -> Ended:
        job.program = Program(
            plan.argv,
            environment(job.id),
            limit=plan.timeout,
            most=self._policy.limits.output_kb << 10,
            say=lambda stream, text: self._say(job, stream, text),
        )
        if job.cancelled:
            job.program.cancel(job.cancelled)
        return await job.program.run()

    async def _work(self, job: Job, plan: Plan) -> tuple[Ended, None, Afterwards]:
        most = self._policy.limits.output_kb << 10
        ended = Ended("done", 0)

        def say(text: str) -> None:
            room = most - len(ended.stdout)
            ended.truncated = ended.truncated or len(text) > room
            if room > 0:
                ended.stdout += text[:room]
                self._say(job, "stdout", text[:room])

        afterwards: Afterwards = None
        try:
            async with asyncio.timeout(plan.timeout):
                afterwards = await self._works[job.cmd](job.params, say)
        except Failed as failure:
            ended.status, ended.exit_code, ended.reason = "failed", None, str(failure)
        except TimeoutError:
            ended.status, ended.exit_code = "timeout", None
            ended.reason = f"took longer than {plan.timeout:g} s and was ended"
        return ended, None, afterwards

    def _say(self, job: Job, stream: Literal["stdout", "stderr"], text: str) -> None:
        for start in range(0, len(text), OUTPUT_CHARACTERS):
            part = text[start : start + OUTPUT_CHARACTERS]
            self._send(Output(type="output", id=job.id, stream=stream, text=part))

    async def _conclude(self, job: Job, ended: Ended, status: Literal["rejected"] | None) -> None:
        """Write down what became of a command, then say it."""
        result = _result(job, ended, status, self._wall())
        kept = {key: value for key, value in result.items() if key not in ("type", "id")}
        try:
            await self._journal.end(job.id, job.cmd, job.issued, kept)
        except OSError as error:
            log.error("the outcome of the command %s is not on disk: %s", job.id, error)
        self._jobs.pop(job.id, None)
        self._send(result)


def _result(job: Job, ended: Ended, status: Literal["rejected"] | None, finished: float | None = None) -> Result:
    result = Result(
        type="result",
        id=job.id,
        cmd=job.cmd[:64],
        status=status or ended.status,
        exit_code=ended.exit_code,
        stdout=ended.stdout,
        stderr=ended.stderr,
        truncated=ended.truncated,
        reason=ended.reason[:_REASON_CHARACTERS],
        started=job.started,
        finished=finished,
    )
    # Control characters take six bytes each in JSON: what is within the limit as text may be too much as a frame.
    while len(json.dumps(result)) > MAX_FRAME_BYTES - 1024:
        result["stdout"] = result["stdout"][: len(result["stdout"]) // 2]
        result["stderr"] = result["stderr"][: len(result["stderr"]) // 2]
        result["truncated"] = True
    return result


def _time(value: object) -> float:
    """Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST_TIME:
        raise ValueError("a command without its times")
    return float(value)
