"""From a sample of an agent to services that fail, with real programs all the way; and with ``kill -9`` on the way."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from certificates import Authority
from notified import PATH, RULES, Ears, Voice, heard, listening, speaking
from programs import Daemon, Program, eventually, free_port

WITHIN = 45.0  # seconds for any message: two failures put it off for 15 s and some
BOTH = [(1, "CRITICAL"), (2, "OK")]


def told_by(folder: Path, channels: dict[str, Any], **settings: Any) -> Daemon:
    """A daemon that tells these channels of everything."""
    routes = {"everything": {"channels": list(channels)}}
    return Daemon(
        folder, threshold_configs=RULES, notification_channels=channels, notification_routes=routes, **settings
    )


@asynccontextmanager
async def together(daemon: Daemon, agent: Voice) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(daemon)
        await stack.enter_async_context(speaking(agent))
        await asyncio.wait_for(agent.connected.wait(), WITHIN)
        yield


async def say(agent: Voice, level: str) -> None:
    agent.say(level)
    await eventually(agent.quiet, WITHIN, f"{level} is acknowledged")


# ----------------------------------------------------------------------------------------------------------- webhooks


async def test_services_that_fail_in_all_ways_hear_everything_once_and_hold_up_nobody(tmp_path: Path) -> None:
    failures = {
        "fine": [],
        "hangs": ["hang"],
        "cuts": ["cut", "cut"],
        "broken": ["500", "503"],
        "busy": ["429"],
        "deaf": ["deaf"],
    }
    async with listening(*failures) as ears:
        daemon = told_by(tmp_path / "daemon", ears.channels())
        agent = Voice("web-1", daemon.url)
        for name, answers in failures.items():
            ears[name].answers.extend(answers)
        ears["busy"].retry_after = "8"
        async with together(daemon, agent):
            await say(agent, "CRITICAL")
            await eventually(heard(lambda: ears["fine"].words), 5, "who is fine hears at once")
            assert len(ears["hangs"].asked) == 1 and not ears["hangs"].words
            for name, answers in failures.items():
                tries = len(answers) + 1
                await eventually(heard(lambda ear=ears[name], n=tries: len(ear.asked) >= n), WITHIN, f"{name} is asked")
            await say(agent, "OK")
            for name in failures:
                await eventually(heard(lambda ear=ears[name]: ear.told() == BOTH), WITHIN, f"{name} hears both")
    times = {name: len(ears[name].words) for name in failures}
    assert times == dict.fromkeys(failures, 2) | {"deaf": 3}  # it took one whose answer nobody heard
    first, second, _ = ears["deaf"].words
    assert first.message == second.message
    assert ears["busy"].asked[1] - ears["busy"].asked[0] >= 8
    assert "Traceback" not in daemon.text


# -------------------------------------------------------------------------------------------------------------- kills


async def _as_soon_as_it_is_acknowledged(daemon: Daemon, agent: Voice, ears: Ears) -> None:
    await say(agent, "CRITICAL")


async def _while_the_message_is_on_its_way(daemon: Daemon, agent: Voice, ears: Ears) -> None:
    ears["ops"].answers.append("hang")
    await say(agent, "CRITICAL")
    await eventually(heard(lambda: ears["ops"].asked), WITHIN, "the message is on its way")


async def _before_the_answer_was_heard(daemon: Daemon, agent: Voice, ears: Ears) -> None:
    ears["ops"].on_word = lambda: daemon.signal(signal.SIGKILL)
    agent.say("CRITICAL")
    await daemon.ended(WITHIN)
    ears["ops"].on_word = lambda: None


async def _after_the_message(daemon: Daemon, agent: Voice, ears: Ears) -> None:
    await say(agent, "CRITICAL")
    await eventually(heard(lambda: ears["ops"].words), WITHIN, "the message is there")


@pytest.mark.parametrize(
    "until",
    [
        _as_soon_as_it_is_acknowledged,
        _while_the_message_is_on_its_way,
        _before_the_answer_was_heard,
        _after_the_message,
    ],
)
async def test_a_kill_at_any_point_changes_no_message(tmp_path: Path, until: Callable[..., Any]) -> None:
    async with listening("ops") as ears:
        daemon = told_by(tmp_path / "daemon", ears.channels())
        agent = Voice("web-1", daemon.url)
        async with together(daemon, agent):
            await until(daemon, agent, ears)
            await daemon.kill()
            await daemon.start()
            await eventually(heard(lambda: ears["ops"].told() == BOTH[:1]), WITHIN, "it is told after the restart")
            await say(agent, "OK")
            await eventually(heard(lambda: len(ears["ops"].told()) > 1), WITHIN, "the end is told")
            assert ears["ops"].told() == BOTH
            assert len(ears["ops"].of_problem()) == 1
    assert len(ears["ops"].words) <= 3


async def test_what_may_have_been_told_before_a_kill_is_ended_though_it_is_over_by_then(tmp_path: Path) -> None:
    async with listening("ops") as ears:
        daemon = told_by(tmp_path / "daemon", ears.channels())
        agent = Voice("web-1", daemon.url)
        async with together(daemon, agent):
            await _before_the_answer_was_heard(daemon, agent, ears)
            ears["ops"].answers.append("500")  # it is over before it can be told again
            await daemon.start()
            await say(agent, "OK")
            await eventually(heard(lambda: ears["ops"].told() == BOTH), WITHIN, "the end is told")


async def test_the_end_of_what_was_told_comes_though_the_host_was_removed(tmp_path: Path) -> None:
    async with listening("ops") as ears:
        daemon = told_by(tmp_path / "daemon", ears.channels())
        agent = Voice("web-1", daemon.url)
        async with together(daemon, agent):
            await say(agent, "CRITICAL")
            await eventually(heard(lambda: ears["ops"].words), WITHIN, "it is told")
        removal = Program("hbd", ["agent", "remove", "web-1", "-c", str(daemon.config_file)], daemon.folder)
        await removal.start()
        assert await removal.ended(20) == 0, removal.text
        async with daemon:
            await eventually(heard(lambda: ears["ops"].told() == BOTH), WITHIN, "the end is told")


# ---------------------------------------------------------------------------------------------------------------- mail


class Mailbox:
    """A mail server's ends. to_data: its answers to the next letters; then it takes all."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.to_data: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.to_data:
            return self.to_data.pop(0)
        self.letters.append(message_from_bytes(cast(bytes, envelope.original_content), policy=default))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


@pytest.mark.parametrize("tls", ["none", "starttls"])
async def test_mail_arrives_after_greylisting_and_is_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = None
    if tls == "starttls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue("mail"))
    mailbox = Mailbox()
    mailbox.to_data.append("451 try again later")
    serve = partial(SMTP, mailbox, hostname="mail.example.org", tls_context=context, require_starttls=tls == "starttls")
    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    settings = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "tls": tls}
    people = {"type": "email", "from": "hbd@example.org", "to": ["bob@example.org"]}
    daemon = told_by(tmp_path / "daemon", {"mail": people | settings})
    agent = Voice("web-1", daemon.url)
    async with server, together(daemon, agent):
        await say(agent, "CRITICAL")
        await eventually(heard(lambda: mailbox.letters), WITHIN, "the second try is taken")
        await say(agent, "OK")
        await eventually(heard(lambda: len(mailbox.letters) == 2), WITHIN, "the end is told")
    subjects = [letter["Subject"] for letter in mailbox.letters]
    assert subjects[0] == "CRITICAL web-1: Queue 95 > 90"
    assert subjects[1].startswith("OK web-1: Queue 1")
    assert len({letter["References"] for letter in mailbox.letters}) == 1
    assert mailbox.encrypted == [tls == "starttls"] * 2


# ------------------------------------------------------------------------------------------------------------- scripts


async def test_a_script_gets_the_problem_and_its_end_and_is_run_again_when_it_fails(tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    script = folder / "tell"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "seen = pathlib.Path('seen')\n"
        "if not seen.exists(): seen.touch(); sys.exit(1)\n"
        "with open('told', 'a') as told: told.write(sys.stdin.read() + '\\n')\n"
    )
    script.chmod(0o755)
    told = folder / "told"

    def messages() -> list[dict[str, Any]]:
        return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []

    channels = {"local": {"type": "script", "program": "tell"}}
    daemon = told_by(tmp_path / "daemon", channels, notifications={"scripts": str(folder)})
    agent = Voice("web-1", daemon.url)
    async with together(daemon, agent):
        await say(agent, "CRITICAL")
        await eventually(heard(messages), WITHIN, "the script is run again")
        await say(agent, "OK")
        await eventually(heard(lambda: len(messages()) == 2), WITHIN, "the end is told")
    problems = [message["problems"][0] for message in messages()]
    assert [(one["host"], one["metric_path"], one["number"], one["level"]) for one in problems] == [
        ("web-1", PATH, 1, "CRITICAL"),
        ("web-1", PATH, 2, "OK"),
    ]


# -------------------------------------------------------------------------------------------------------- Alertmanager


class Manager:
    """A real Alertmanager that tells nobody."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        self._folder = folder
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Manager]:
        config = self._folder / "alertmanager.yml"
        config.write_text('{"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}')
        with (self._folder / "alertmanager.log").open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={self._folder}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
                stdout=output,
                stderr=output,
            )
        try:
            async with aiohttp.ClientSession() as self._http:
                await eventually(self._answers, 20, "the Alertmanager is ready")
                yield self
        finally:
            process.kill()
            await process.wait()

    async def _answers(self) -> bool:
        try:
            await self.firing()
        except aiohttp.ClientError:
            return False
        return True

    async def firing(self) -> list[dict[str, Any]]:
        assert self._http is not None
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        async with self._http.get(url, raise_for_status=True) as answer:
            return cast(list[dict[str, Any]], await answer.json())

    async def labels(self) -> list[dict[str, str]]:
        return [alert["labels"] for alert in await self.firing()]


async def test_an_alertmanager_has_what_is_open_as_bad_as_it_is_over_a_kill_and_loses_what_is_over(
    tmp_path: Path,
) -> None:
    async with Manager(tmp_path / "alertmanager").running() as manager:
        channel = {"type": "alertmanager", "url": f"http://127.0.0.1:{manager.port}", "labels": ["site=north"]}
        daemon = told_by(tmp_path / "daemon", {"prometheus": channel})
        agent = Voice("web-1", daemon.url)

        async def fires(*severities: str) -> bool:
            about = {"alertname": PATH, "instance": "web-1", "site": "north"}
            return await manager.labels() == [about | {"severity": severity} for severity in severities]

        async with together(daemon, agent):
            await say(agent, "WARNING")
            await eventually(partial(fires, "warning"), WITHIN, "the warning fires")
            await say(agent, "CRITICAL")
            await eventually(partial(fires, "critical"), WITHIN, "it is critical instead")
            (before,) = await manager.firing()
            await daemon.kill()
            await daemon.start()

            async def renewed() -> bool:
                (now,) = await manager.firing()
                return bool(now["endsAt"] > before["endsAt"])

            await eventually(renewed, WITHIN, "it is kept alive after the restart")
            await say(agent, "OK")
            await eventually(fires, WITHIN, "nothing fires any more")
